"""What docs/messages.md says, and whether it explains what a run has said.

Knows of the product only that document.
"""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Iterator
from functools import cache
from itertools import chain

from support.program import PROJECT

DOCUMENT = PROJECT / "docs/messages.md"
EXIT_CODES = "Exit codes"
FAILED = "Paths that were not mirrored"

_EXPLAINED = {"failed", "hint", "note", "warning", "error"}
_OF_CLICK = re.compile(
    r"No such |Missing |Got unexpected |Option '|Invalid value: |'.*' is not (one of|a valid)|-?\d+ is not in the range"
)
_OF_SYSTEM = tuple(map(os.strerror, errno.errorcode))


@cache
def rows() -> list[tuple[str, list[str]]]:
    """Return the rows of all tables: the heading that they stand under, and their cells."""
    found = []
    for section in DOCUMENT.read_text(encoding="utf-8").split("\n## ")[1:]:
        heading, _, text = section.partition("\n")
        for line in text.splitlines():
            cells = [cell.strip() for cell in line.strip("|").split(" | ")] if line.startswith("| ") else []
            if cells and not cells[0].startswith(("message", "code", "kind")):
                found.append((heading, cells))
    return found


def quoted(cell: str) -> str | None:
    """Return what a cell quotes if it is a quotation and nothing else."""
    found = re.fullmatch(r"(`+)(.+)\1", cell)
    return found[2] if found and found[1] not in found[2] else None


@cache
def told() -> list[str]:
    """Return all messages that have a row."""
    cells = chain.from_iterable(cells for heading, cells in rows() if heading != EXIT_CODES)
    return [text for cell in cells if (text := quoted(cell))]


@cache
def kinds() -> dict[str, str]:
    """Return the kinds of failures with the advice that comes with each."""
    three = [cells for heading, cells in rows() if heading == FAILED and len(cells) == 3]
    return {quoted(kind) or kind: quoted(advice) or advice for kind, _, advice in three}


def begins(text: str, row: str) -> bool:
    """Tell whether a text begins with the words of a row."""
    return bool(re.match(".*?".join(map(re.escape, row.split("…"))), text))


def is_told(text: str) -> bool:
    """Tell whether a text has a row that is more than what is put behind others."""
    return any(begins(text, row) for row in told() if not row.startswith(("…;", "…,")))


def unexplained(said: str) -> list[str]:
    """Return the lines of a run that tell of something to be done and have no row."""
    return [text for event, text in _events(said) if not _is_explained(event, text)]


def _events(said: str) -> Iterator[tuple[str, str]]:
    """Yield event and text of each line that is a message."""
    for line in map(_without_time, said.splitlines()):
        if line.startswith("{"):
            found = json.loads(line)
            event, text = found.get("event", ""), found.get("text", "")
        elif line.startswith("async-mirror: "):
            event, text = "use", line.removeprefix("async-mirror: ")
        else:
            event, _, text = line.partition("  ")
        if event in _EXPLAINED | {"use"}:
            yield event, text.strip()


def _without_time(line: str) -> str:
    return re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  ", "", line)


def _is_explained(event: str, text: str) -> bool:
    if event == "failed":
        return _is_failure(text)
    if event == "hint":
        return text in kinds().values() or is_told(text)
    if event == "use":
        text = re.sub(r"^(Invalid value for .*?|\S+\.toml): ", "", text)
        return bool(_OF_CLICK.match(text)) or is_told(text) or is_told(f"async-mirror: {text}")
    text = re.sub("^(stopped for safety|server unreachable|cannot open a connection): ", "", text)
    return is_told(text) or _is_failure(text)


def _is_failure(text: str) -> bool:
    """Tell whether a text is a path and why it failed, or how many more did."""
    found = re.search(rf"(?:  |^and [\d,]+ more paths?: )({'|'.join(map(re.escape, kinds()))})(?:$|: )", text)
    detail = text[found.end() :] if found else ""
    return bool(found) and (not detail or is_told(detail) or detail.startswith(_OF_SYSTEM))
