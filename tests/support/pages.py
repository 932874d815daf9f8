"""Reads the pages as a reader does: blocks of commands to paste, files to write, output to expect.

What stands in a comment right above a block counts: `<!-- not run: why -->`, or `<!-- in a clone -->`.
A block of text, TOML, YAML or INI whose first line is `# ` and a path is that file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from support.program import PROJECT

PAGES: Final = {
    path.relative_to(PROJECT).as_posix(): path.read_text(encoding="utf-8")
    for path in (PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md")))
}
COMMANDS: Final = {"sh", "console"}
FILES: Final = {"toml", "yaml", "ini", "text"}

_BLOCK: Final = re.compile(
    r"^(?:<!-- (?P<comment>[^\n]*) -->\n+)?```(?P<kind>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
_PATH: Final = re.compile(r"# (?P<path>[~\w./@-]+|crontab -e)\n")


class Block(NamedTuple):
    """One fenced block of a page."""

    page: str
    line: int
    kind: str
    text: str
    comment: str

    def __str__(self) -> str:
        """Name the place."""
        return f"{self.page}:{self.line}"

    @property
    def is_commands(self) -> bool:
        return self.kind in COMMANDS

    @property
    def why_not_run(self) -> str:
        return self.comment.removeprefix("not run: ") if self.comment.startswith("not run: ") else ""

    @property
    def is_in_a_clone(self) -> bool:
        return self.comment == "in a clone"

    @property
    def path(self) -> str:
        """The file that this block is, "" if it is none."""
        found = _PATH.match(self.text) if self.kind in FILES else None
        return found["path"] if found else ""


def blocks(page: str) -> Iterator[Block]:
    """Yield the blocks of a page in their order."""
    text = PAGES[page]
    for found in _BLOCK.finditer(text):
        line = text.count("\n", 0, found.start("kind")) + 1
        yield Block(page, line, found["kind"], found["text"], found["comment"] or "")


ALL: Final = [block for page in PAGES for block in blocks(page)]


def session(block: Block) -> list[tuple[str, list[str]]]:
    """Return the commands of a console, each with the lines that it is shown to print."""
    found: list[tuple[str, list[str]]] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


def prints(expected: list[str], printed: str) -> bool:
    """Tell whether a command printed what a page shows; `…` there is anything, times and durations are any."""
    pattern = "\n".join(re.escape(_without_times(line)).replace("…", ".*") for line in expected)
    return re.fullmatch(pattern, _without_times(printed.rstrip("\n")), re.DOTALL) is not None


def _without_times(text: str) -> str:
    text = re.sub(r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\b", "TIME", text)
    return re.sub(r"\d+\.\d s\b|\d+ connections?\b", "FIGURE", text)
