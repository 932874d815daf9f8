"""What is through of a long run, noted as it comes, so that a run that was ended goes on where it was."""

from __future__ import annotations

import argparse
from pathlib import Path

OK = "ok"
"""What came of a thing with which nothing was wrong."""


def add_argument(parser: argparse.ArgumentParser) -> None:
    """Let a command be told where to note it."""
    parser.add_argument("--done", type=Path, metavar="FILE", help="note there what is through, and leave that out")


class Progress:
    """What came of each thing that is through: lines of a file, or nothing but memory."""

    def __init__(self, file: Path | None) -> None:
        """Read what an earlier run noted; its last line may be cut."""
        self._file = file
        text = file.read_text() if file and file.exists() else ""
        lines = text[: text.rfind("\n") + 1].splitlines()
        self.results = dict(line.split("\t", 1) for line in lines)
        if file and text and not text.endswith("\n"):
            file.write_text("".join(f"{line}\n" for line in lines))

    def note(self, name: str, result: str) -> None:
        """Note what came of something, in one line."""
        self.results[name] = result.replace("\n", " | ").replace("\t", " ")
        if self._file:
            with self._file.open("a") as lines:
                lines.write(f"{name}\t{self.results[name]}\n")
