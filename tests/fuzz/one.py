"""Feeds one target with what libFuzzer makes up: `python -m fuzz.one TARGET [its options]`. Knows nothing of FTP."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["async_mirror"]):
    from async_mirror.ftp.wire import listing, replies
    from fuzz.targets import TARGETS


def main() -> None:
    # Small bounds are reached by small inputs.
    replies.LONGEST_LINE = 300
    replies.LONGEST_REPLY = 600
    listing.LONGEST_LISTING = 4000
    listing.MOST_LINES = 40
    _, name, *options = sys.argv
    atheris.Setup([name, *options], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
