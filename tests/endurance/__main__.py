"""The command line: `tests/endurance/run --minutes 120 --log FILE`. Exit 0 only if all held."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from servers import ZOO
from support.law import sitecustomize as law

from endurance.course import Course
from endurance.mirrors import mirrors
from endurance.summary import Summary


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="endurance", description="Keep five mirrors for hours while all changes.")
    parser.add_argument("--minutes", type=float, default=120, help="for how long (120)")
    parser.add_argument("--seed", type=int, default=0, help="what changes and incidents are drawn by (0)")
    parser.add_argument("--log", type=Path, metavar="FILE", help="write there, too")
    parser.add_argument("--zoo", choices=ZOO, default="inetutils", help="the fourth server (inetutils)")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="work there, and leave all there")
    return parser.parse_args()


def main() -> int:
    """Run it, and tell what came of it."""
    arguments = _arguments()
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    log = arguments.log.open("a") if arguments.log else None

    def say(text: str) -> None:
        for out in filter(None, (sys.stdout, log)):
            print(text, file=out, flush=True)

    with _folder(arguments.keep) as folder:
        os.environ.setdefault(law.VARIABLE, str(folder))
        with mirrors(folder, arguments.seed, arguments.zoo) as five:
            course = Course(five, 60 * arguments.minutes, arguments.seed)
            summary = Summary(course)
            course.run(lambda minute: say(summary.line(minute)))
    for line in summary.lines():
        say(line)
    return 1 if summary.broken else 0


@contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    """Give a folder to work in, which is removed afterwards unless it is to be kept."""
    if kept:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept
        return
    with tempfile.TemporaryDirectory(prefix="endurance-") as folder:
        yield Path(folder)


if __name__ == "__main__":
    sys.exit(main())
