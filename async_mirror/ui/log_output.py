"""Where log records go, and how they are written there."""

import asyncio
import errno
import json
import logging
import os
import select
import stat
from collections import deque
from contextlib import suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from async_mirror.model.escape import shown
from async_mirror.ui.events import Event, is_of_no_file, tell
from async_mirror.ui.text import plural

FILES_KEPT = 5
MOST_WAITING = 4 * 1024 * 1024
"""Bytes of lines that wait until a pipe is read."""
_FLUSHED_EVERY_S = 1.0

_mirror: ContextVar[str] = ContextVar("mirror", default="")
_DATE = "%Y-%m-%d %H:%M:%S"
_log = logging.getLogger("async_mirror")


def name_lines(mirror: str) -> None:
    """Have what is logged from here on, in this task and those that it starts, name the mirror; "" is none."""
    _mirror.set(mirror)


class _Named(logging.Filter):
    """Has each record name the mirror that it is of."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Name it, and let the record pass."""
        mirror = _mirror.get()
        record.mirror = mirror
        record.lead = f"{mirror}  " if mirror else ""
        return True


class Pipe:
    """Writes lines to a pipe that may be read slowly, or not at all, and never waits for that.

    Lines that do not fit are written later. If too many wait, the oldest are dropped; how many is told in the log.
    """

    def __init__(self, stream: TextIO, name: str) -> None:
        """Write to a pipe or a socket, which has a name for people."""
        stream.flush()
        self._name = name
        self._encoding = stream.encoding
        self._descriptor = stream.fileno()
        self._room = select.poll()
        self._room.register(self._descriptor, select.POLLOUT)
        self._begun = b""
        self._lines: deque[bytes] = deque()
        self._waiting = self._dropped = 0

    def write(self, text: str) -> None:
        """Write a line once there is room, after those that wait. Raises OSError if the other end is closed."""
        line = text.encode(self._encoding, "backslashreplace")
        self._lines.append(line)
        self._waiting += len(line)
        self.flush()
        while self._waiting > MOST_WAITING:
            self._waiting -= len(self._lines.popleft())
            self._dropped += 1

    def flush(self, wait_s: float | None = 0.0) -> None:
        """Write what waits as long as there is room, or will be in so many seconds; None waits until all is read.

        What leaves at once is what a pipe with any room takes without a wait (POSIX, PIPE_BUF). Raises OSError if the
        other end is closed; what waited for it is forgotten.
        """
        timeout = None if wait_s is None else wait_s * 1000
        try:
            while (self._begun or self._next()) and self._room.poll(timeout):
                self._begun = self._begun[os.write(self._descriptor, self._begun[: select.PIPE_BUF]) :]
        except OSError:
            self._forget()
            raise
        if not self._begun:
            self._tell_dropped()

    def close(self, wait_s: float | None) -> None:
        """Write what waits as by `flush`, and tell in the log how many lines are lost because they were not read."""
        self.flush(wait_s)
        self._dropped += len(self._lines) + bool(self._begun)
        self._forget()
        self._tell_dropped()

    def _forget(self) -> None:
        self._begun, self._waiting = b"", 0
        self._lines.clear()

    def _tell_dropped(self) -> None:
        dropped, self._dropped = self._dropped, 0
        if dropped:
            lines = plural(dropped, "line")
            tell(logging.WARNING, Event.WARNING, f"{self._name} was not read for a while: {lines} of it dropped")

    def _next(self) -> bool:
        """Begin the next line, if there is one."""
        if self._lines:
            self._begun = self._lines.popleft()
            self._waiting -= len(self._begun)
        return bool(self._begun)


def never_waiting(stream: TextIO, name: str) -> TextIO | Pipe:
    """Return what writes to a stream without waiting for a reader; the stream itself if it is a file.

    A terminal that was stopped with Ctrl-S is not read either.
    """
    try:
        mode = os.fstat(stream.fileno()).st_mode
    except (OSError, ValueError):  # closed, or no file at all
        return stream
    return Pipe(stream, name) if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stream.isatty() else stream


async def keep_flushing(*outputs: TextIO | Pipe | logging.Handler) -> None:
    """Write what waits for the reader of a pipe also while there is nothing new to write."""
    while True:
        await asyncio.sleep(_FLUSHED_EVERY_S)
        for each in outputs:
            with suppress(OSError):  # the next write to it tells
                each.flush()


class TextLines(logging.Formatter):
    """Lines for people, with nothing in them that a terminal would obey: libraries write here too, and tracebacks."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, or lines."""
        return "\n".join(map(shown, super().format(record).split("\n")))


class JsonLines(logging.Formatter):
    """One JSON object per record: time, level, event, text, and what else the event has (see docs/json.md)."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object, on one line."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        text = shown(getattr(record, "text", None) or record.getMessage())
        event = getattr(record, "event", "info")
        fields = getattr(record, "fields", {})
        mirror = getattr(record, "mirror", "")
        named = {"mirror": mirror} if mirror else {}
        told = {key: shown(value) if isinstance(value, str) else value for key, value in (named | fields).items()}
        return json.dumps({"time": time, "level": record.levelname.lower(), "event": event, "text": text, **told})


def set_up(
    screen: logging.Handler, *, quiet: bool, verbose: bool, file: Path | None, as_json: bool, is_screen_text: bool
) -> None:
    """Send the log to the screen, and all of it to a file if there is to be one. Raises OSError if that cannot be.

    `is_screen_text` says that there is a display: JSON stays off it, and so does a line per file if not `verbose`.
    """
    _log.handlers.clear()
    _log.propagate = False
    _log.setLevel(logging.DEBUG if verbose or file else logging.WARNING if quiet else logging.INFO)
    screen.setLevel(logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO)
    text = TextLines("%(asctime)s  %(lead)s%(message)s", _DATE)
    if is_screen_text and not verbose:
        screen.addFilter(is_of_no_file)
    screen.setFormatter(JsonLines() if as_json and not is_screen_text else text)
    screen.addFilter(_Named())
    _log.addHandler(screen)
    logging.getLogger().addHandler(screen)  # what libraries have to say must not write into a display
    if file:
        _refuse_what_is_no_file(file)
        from async_mirror.ui.daily_file import DailyFile  # noqa: PLC0415 - most runs have none, and it is large

        handler = DailyFile(file, when="midnight", backupCount=FILES_KEPT, encoding="utf-8", errors="backslashreplace")
        _try(file)
        handler.addFilter(_Named())
        handler.setFormatter(
            JsonLines()
            if as_json
            else TextLines("%(asctime)s.%(msecs)03d  %(levelname)-7s  %(lead)s%(message)s", _DATE)
        )
        _log.addHandler(handler)


def _refuse_what_is_no_file(file: Path) -> None:
    """Raise OSError for what would block, or be renamed at midnight, and where nothing can be renamed then."""
    if file.exists() and not file.is_file():
        raise OSError(errno.EINVAL, "it is not a regular file")
    if file.parent.is_dir() and not os.access(file.parent, os.W_OK | os.X_OK, effective_ids=True):
        raise OSError(errno.EACCES, "its folder cannot be written, where a new file begins at midnight")


def _try(file: Path) -> None:
    """Write to a file, and take it back. Raises OSError."""
    with file.open("ab") as stream:
        size = stream.tell()
        stream.write(b"\n")
        stream.flush()
        stream.truncate(size)
