"""The kinds of log records, and how one is made. docs/json.md promises them, and a test compares the two."""

import logging
from enum import StrEnum

from async_mirror.ui.text import quoted

log = logging.getLogger("async_mirror")


class Event(StrEnum):
    """What a record is about: the first word of its line, and `event` in JSON."""

    CREATED = "created"
    UPLOADED = "uploaded"
    RENAMED = "renamed"
    DELETED = "deleted"
    DATED = "dated"
    MODE = "mode"
    UNCHANGED = "unchanged"
    PLANNED = "planned"
    SKIPPED = "skipped"
    FAILED = "failed"
    WARNING = "warning"
    NOTE = "note"
    HINT = "hint"
    ERROR = "error"
    BEGUN = "begun"
    PASS = "pass"  # noqa: S105
    INFO = "info"


OF_FILES = frozenset(
    {Event.CREATED, Event.UPLOADED, Event.RENAMED, Event.DELETED, Event.DATED, Event.MODE, Event.SKIPPED}
)
"""What is told of each file or folder that is mirrored as it should be; a display counts these."""
_WITHOUT_A_WORD = {Event.PASS, Event.INFO}
"""The kinds whose lines begin with their text."""


def is_of_no_file(record: logging.LogRecord) -> bool:
    """Tell whether a record belongs above a display: one for each file would hide what matters."""
    return record.levelno >= logging.WARNING or getattr(record, "event", "") not in OF_FILES


def tell(level: int, event: Event, text: str, **fields: object) -> None:
    """Make a log record: a line for people; event and `fields` for machines, those that are None only for a pass."""
    line = text if event in _WITHOUT_A_WORD else f"{event:8}  {text}"
    told = {key: value for key, value in fields.items() if value is not None or event is Event.PASS}
    log.log(level, "%s", line, extra={"event": str(event), "text": text, "fields": told})


def tell_skipped(path: str, why: str, *, is_folder: bool = False) -> None:
    """Make a record of what is left as it is by a rule."""
    tell(logging.DEBUG, Event.SKIPPED, f"{quoted(path)}{'/' * is_folder}  ({why})", path=path)


def tell_with_hint(level: int, event: Event, text: str, hint: str) -> None:
    """Make a record, and one of what to do about it if there is a hint."""
    tell(level, event, text)
    if hint:
        tell(level, Event.HINT, hint)
