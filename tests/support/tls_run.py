"""Mirrors thousands of small files over TLS, to each kind of server in each version; run by hand: see --help.

Knows of the product only its command line and what it tells as JSON.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from servers import KINDS, TLS_MODES, TLS_VERSIONS, FtpServer, available

from support.program import Program, contents

LONGEST_SECONDS = 3600
FILES_PER_FOLDER = 100
EMPTY_EVERY = 25
LARGE_EVERY = 500
SHOWN = 5


def main() -> None:
    """Run what was asked for, a line each, and exit with 1 if anything was not as it must be."""
    given = parse()
    bad = 0
    for kind, tls, version, mode in itertools.product(given.kinds, given.tls, given.versions, given.modes):
        if tls not in TLS_MODES[kind]:
            continue
        if reason := available(kind):
            sys.exit(reason)
        print(f"{kind:10} {tls} {version} {mode:3}", end="", flush=True)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            with FtpServer(kind, folder / "site", folder / "server", tls=tls, tls_version=version, log=False) as server:
                program = Program(folder, server)
                program.password_file.chmod(0o600)
                fill(program, given.transfers)
                begun = time.monotonic()
                wrong = list(run(program, mode))
                print(f" {time.monotonic() - begun:7.1f} s ", "; ".join(wrong[:SHOWN]) or "good", flush=True)
                bad += bool(wrong)
    sys.exit(1 if bad else 0)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Mirror many small files over TLS, in every combination.")
    parser.add_argument("--transfers", type=int, default=5000, metavar="N", help="so many files each time")
    parser.add_argument("--kinds", type=some_of(*KINDS), default=KINDS, metavar=",".join(KINDS))
    parser.add_argument("--tls", type=some_of("explicit", "implicit"), default=["explicit", "implicit"])
    parser.add_argument("--versions", type=some_of(*TLS_VERSIONS), default=TLS_VERSIONS, metavar="1.2,1.3")
    parser.add_argument("--modes", type=lambda text: text.split(","), default=["A8"], metavar="A8,T8,P8,S")
    return parser.parse_args()


def some_of(*known: str) -> Callable[[str], list[str]]:
    def words(text: str) -> list[str]:
        if unknown := set(text.split(",")) - set(known):
            raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: not one of {', '.join(known)}")
        return text.split(",")

    return words


def fill(program: Program, files: int) -> None:
    """Write the source, the same each time: small files, some of them empty, some of half a megabyte."""
    chance = random.Random(files)
    for number in range(files):
        size = chance.randint(1, 8192)
        if number % EMPTY_EVERY == 0:
            size = 0
        elif number % LARGE_EVERY == 1:
            size = 500_000
        program.write(f"folder-{number // FILES_PER_FOLDER}/file-{number}", chance.randbytes(size))


def run(program: Program, mode: str) -> Iterator[str]:
    """Mirror once and yield what is not as it must be, with the first words about it."""
    arguments = program.arguments("--once", "--multi", mode, "--json", "--log-format", "json")
    result = program.run(*arguments, seconds=LONGEST_SECONDS)
    if result.code != 0:
        yield f"exit code {result.code}: {result.err[:500]}"
        return
    told = json.loads(result.out)
    source = contents(program.source)
    allowed = int(mode[1:] or 1)
    if told["connections"] > allowed:
        yield f"{told['connections']} connections, so some were replaced"
    if extra := told["uploaded_bytes"] - sum(map(len, source.values())):
        yield f"{extra} bytes were sent again"
    for line in result.err.splitlines():
        event = json.loads(line)
        if event["level"] != "info" or "retrying in" in event["text"]:
            yield f"{event['event']}: {event['text']}"
    if contents(program.site) != source:
        yield "the site is not as the source is"


if __name__ == "__main__":
    main()
