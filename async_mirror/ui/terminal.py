"""Shows on a terminal what is going on, with log lines scrolling above it. Knows rich, and nothing of how a run works.

A frame is drawn over the one before, row by row, and never erased first, so that nothing flickers. (Rich's own `Live`
erases, loses its place when the terminal is made narrower, and draws once for each line that is printed above it.)
"""

import asyncio
import logging
import math
import os
import select
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Self

from rich.console import Console
from rich.text import Text

from async_mirror.model.escape import shown
from async_mirror.ui.activity import Activity
from async_mirror.ui.layout import Page, picture

REFRESH_EVERY_S = 0.125
WIDEST, HIGHEST = 500, 200
LINES_WAITING = 10_000
"""The latest lines that are printed once a terminal goes on that was stopped (Ctrl-S)."""

_TO_LINE_END = "\x1b[K"
_TO_SCREEN_END = "\x1b[J"
# From the second column: tmux keeps in its history what is erased from the very first cell on.
_WIPE = f" {_TO_SCREEN_END}\r{_TO_LINE_END}"
_HIDE_CURSOR, _SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
# Terminals differ on how wide an emoji is; a row that comes out wider than was counted is cut, and does not wrap.
_WRAP_OFF, _WRAP_ON = "\x1b[?7l", "\x1b[?7h"


OnSignal = Callable[[signal.Signals, Callable[[], None] | None], None]
"""Has a function called in this event loop when a signal comes; None: no more."""


def _no_signals(_signum: signal.Signals, _call: Callable[[], None] | None) -> None:
    """Have no function called."""


class Display:
    """Draws activities at the bottom of a terminal, many times a second, on the event loop that it is shown in."""

    def __init__(
        self,
        activities: Mapping[str, Activity],
        *,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
        on_signal: OnSignal = _no_signals,
    ) -> None:
        """Prepare a display of activities, by their titles, on standard error. `clock` is the one of their times.

        `lines_above` is the log handler that goes with it, for as long as the process lasts.
        """
        self.lines_above = LinesAbove(self)
        self._activities = activities
        self._console = console or Console(stderr=True, markup=False, emoji=False, highlight=False)
        self._clock = clock
        self._on_signal = on_signal
        self._lines: deque[Text] = deque(maxlen=LINES_WAITING)
        self._cells: list[int] = []
        self._picture = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._draws = True

    @contextmanager
    def shown(self) -> Iterator[Self]:
        """Show it from here on; at the end only the lines above it are left, and the cursor is as it was.

        Where nothing can be drawn over, on a dumb terminal or off a terminal, there are only the lines.
        """
        if self._console.is_interactive:
            self._loop = asyncio.get_running_loop()
            if signal.getsignal(signal.SIGTSTP) is signal.SIG_DFL:
                self._on_signal(signal.SIGTSTP, self._suspend)
            self._refresh()
        try:
            yield self
        finally:
            self.restore()

    def restore(self) -> None:
        """Leave the terminal as it was, for good; does nothing the second time."""
        if self._loop:
            self._on_signal(signal.SIGTSTP, None)
        if self._timer:
            self._timer.cancel()
        self._loop = self._timer = None
        self._draw([])

    def print_above(self, line: Text) -> None:
        """Print a line above, whole, for the terminal to wrap: with the next frame, at once if there is none."""
        self._lines.append(line)
        if self._timer is None or not self._draws:
            self._draw([])

    def _refresh(self) -> None:
        assert self._loop is not None
        self._timer = None  # should the drawing fail, lines are not kept for it
        self._draw(self._frame())
        if self._draws:
            self._timer = self._loop.call_later(REFRESH_EVERY_S, self._refresh)

    def _frame(self) -> list[Text]:
        now, console = self._clock(), self._console
        try:
            page = Page(
                min(max(1, console.width - 1), WIDEST), min(console.height, HIGHEST), console.options.ascii_only
            )
            for activity in self._activities.values():
                activity.sample(now)
            return picture(self._activities, now, page) if self._in_front() else []
        except Exception:  # noqa: BLE001 - what cannot be drawn must not end the run
            self._draws = False
            return []

    def _in_front(self) -> bool:
        """Tell whether the terminal is ours: in the background (`&`, `bg`) it is the shell's, and gets lines only."""
        try:
            return os.tcgetpgrp(self._console.file.fileno()) == os.getpgrp()
        except OSError:
            return True

    def _suspend(self) -> None:
        """Give the terminal back before Ctrl-Z stops the process; the next frame is drawn wherever the cursor is."""
        assert self._loop is not None
        self._draw([])
        self._on_signal(signal.SIGTSTP, None)
        signal.raise_signal(signal.SIGTSTP)
        self._on_signal(signal.SIGTSTP, self._suspend)

    def _draw(self, frame: list[Text]) -> None:
        """Draw a frame over the last one, below the lines that came in since; an empty frame takes it away."""
        if not self._is_taken():
            return
        above = [self._lines.popleft() for _ in range(len(self._lines))]
        try:
            out = self._drawn(above, frame)
        except Exception:  # noqa: BLE001 - what cannot be drawn must not end the run
            self._draws = False
            out = "".join(f"{line.plain}\n" for line in above)
        with suppress(OSError):  # the terminal is gone; what is done goes on
            self._console.file.write(out)
            self._console.file.flush()

    def _is_taken(self) -> bool:
        """Tell whether the terminal takes anything now: not while it is stopped (Ctrl-S). The end waits for that."""
        room = select.poll()
        try:
            room.register(self._console.file, select.POLLOUT)
            return self._loop is None or bool(room.poll(0))
        except (OSError, ValueError):  # no file at all
            return True

    def _drawn(self, above: list[Text], frame: list[Text]) -> str:
        picture = f"{_TO_LINE_END}\n".join(self._in_codes(frame))
        if not above and picture == self._picture:
            return ""
        out = self._to_top() + "".join(self._over(above)) + self._below(picture)
        self._picture, self._cells = picture, [row.cell_len for row in frame]
        return out

    def _to_top(self) -> str:
        """Return the way to the last frame's first row; rows too wide for a narrower terminal were wrapped by it."""
        width = max(1, self._console.width)
        up = sum(max(1, math.ceil(cells / width)) for cells in self._cells[:-1])
        return "\r" * bool(self._cells) + f"\x1b[{up}A" * bool(up)

    def _over(self, lines: list[Text]) -> Iterator[str]:
        for line, text in zip(lines, self._in_codes(lines), strict=True):
            if not self._cells:
                yield f"{text}\n"
            elif line.cell_len < self._console.width:
                yield f"{text}{_TO_LINE_END}\n"
            else:
                yield f"{_WIPE}{text}\n"

    def _below(self, picture: str) -> str:
        if picture:
            return f"{_HIDE_CURSOR}{_WRAP_OFF}{picture}{_TO_SCREEN_END}{_WRAP_ON}\r"
        return _WIPE + _SHOW_CURSOR if self._cells else ""

    def _in_codes(self, texts: list[Text]) -> list[str]:
        if not texts:
            return []
        with self._console.capture() as captured:
            self._console.print(*texts, sep="\n", end="", soft_wrap=True)
        return captured.get().split("\n")


class LinesAbove(logging.Handler):
    """Prints log records above a display: names as they are, no markup; time and verb dim, trouble in colour."""

    def __init__(self, display: Display) -> None:
        """Print above this display."""
        super().__init__()
        self._display = display

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record; a line break in it begins a new line, any other control character is escaped."""
        try:
            for line in self.format(record).split("\n"):
                self._display.print_above(_styled(shown(line), record))
        except Exception:  # noqa: BLE001 - what cannot be logged must not end the run
            self.handleError(record)


def _styled(line: str, record: logging.LogRecord) -> Text:
    if record.levelno >= logging.WARNING:
        return Text(line, "red" if record.levelno >= logging.ERROR else "yellow")
    text = Text(line)
    message = getattr(record, "text", "")
    if message and line.endswith(message):
        text.stylize("dim", 0, len(line) - len(message))
    return text
