"""How a server says that something is not there, as seen of a name that cannot exist. Pure."""

import re
from collections.abc import Iterable

from async_mirror.ftp.wire.replies import Reply
from async_mirror.model import paths

_NAME = "\0"
"""Stands for the name in what was said of it; no reply has it."""
_LONGEST = 400
_AMBIGUOUS = re.compile(
    r"denied|permi(?:ssion|tted)|forbidden|allowed|privilege|authori[sz]|access|busy|later|try again|too many|temporar",
    re.IGNORECASE,
)
"""What is forbidden, or not available for the moment, would be told in the same words."""


def pattern_of(reply: Reply, names: Iterable[str]) -> str:
    """Return what was said of something that cannot be there, with its names cut out, the longest of them first.

    It is "" if that tells nothing: it was no refusal, or means what is forbidden, too, or the command is not known.
    """
    text = _text(reply)
    if not 400 <= reply.code < 600 or reply.unknown_command or len(text) > _LONGEST or _AMBIGUOUS.search(text):
        return ""
    for name in names:
        text = text.replace(_bytes_of(name), _NAME)
    return text


def is_like(pattern: str, reply: Reply, names: Iterable[str]) -> bool:
    """Tell whether just the same was said of something else, one of whose names is in it."""
    text = _text(reply)
    return bool(pattern) and any(pattern.replace(_NAME, _bytes_of(name)) == text for name in names)


def _text(reply: Reply) -> str:
    return f"{reply.code} {_bytes_of(' / '.join(reply.lines))}"


def _bytes_of(text: str) -> str:
    """Return a character for each byte: not all that servers say is UTF-8, and it is to be kept as text."""
    return paths.encode(text).decode("latin-1")
