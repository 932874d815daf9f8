"""Shows on a terminal what is going on, with log lines scrolling above it. Knows rich, and nothing of how a run works.

A frame is drawn over the one before, row by row, and never erased first, so that nothing flickers. (Rich's own `Live`
erases, loses its place when the terminal is made narrower, and draws once for each line that is printed above it.)
"""

import asyncio
import logging
import math
import os
import signal
import textwrap
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple, Self

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from async_mirror.activity import Activity, Errand
from async_mirror.names import shown
from async_mirror.wording import human_size, human_time, plural, quoted

REFRESH_EVERY_S = 0.125
NARROW = 60

_UP = "\x1b[{}A"
_TO_LINE_END = "\x1b[K"
_TO_SCREEN_END = "\x1b[J"
# From the second column: tmux keeps in its history what is erased from the very first cell on.
_WIPE = f" {_TO_SCREEN_END}\r{_TO_LINE_END}"
_HIDE_CURSOR, _SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
# Terminals differ on how wide an emoji is; a row that comes out wider than was counted is cut, and does not wrap.
_WRAP_OFF, _WRAP_ON = "\x1b[?7l", "\x1b[?7h"


class Page(NamedTuple):
    """The room there is: cells of a row, rows of the screen, and whether only ASCII can be written."""

    width: int
    height: int
    ascii_only: bool = False

    @property
    def dots(self) -> str:
        """What stands for what was cut out."""
        return "..." if self.ascii_only else "…"

    def said(self, text: str) -> str:
        """Return text as this terminal can show it, on one row, without control characters."""
        text = shown(text)
        return text.encode("ascii", "backslashreplace").decode() if self.ascii_only else text

    def cut(self, text: str, cells: int) -> str:
        """Return text in so many cells at most, its end cut off if need be."""
        if cell_len(text) <= cells:
            return text
        return set_cell_size(set_cell_size(text, max(0, cells - len(self.dots))) + self.dots, cells)

    def fitted(self, path: str, cells: int) -> str:
        """Return a path in so many cells at most; of its parts the name goes last, and the name's ends after that."""
        if cell_len(path) <= cells:
            return path
        folder, slash, name = path.rpartition("/")
        head = cells - len(self.dots) - cell_len(slash + name)
        if slash and head >= 0:
            return set_cell_size(folder, head) + self.dots + slash + name
        tail = max(0, cells - len(self.dots)) // 2
        return self.cut(name, cells - tail) + _last_cells(name, tail)


def _last_cells(text: str, cells: int) -> str:
    for taken, character in enumerate(reversed(text)):
        cells -= cell_len(character)
        if cells < 0:
            return text[len(text) - taken :]
    return text


def rows(activity: Activity, title: str, now: float, page: Page) -> list[Text]:
    """Return what is to be seen now: at least one row, none wider than the page, and room left for log lines above."""
    room = max(1, page.height * 3 // 4)
    draw = _passing if activity.resting_until is None else _resting
    drawn = draw(activity, page.said(title), now, page, room)
    for row in drawn:
        row.truncate(page.width, overflow="crop")
    return drawn[:room]


def _passing(activity: Activity, title: str, now: float, page: Page, room: int) -> list[Text]:
    elapsed = _whole_time(now - activity.begun)
    where = _heading(title, f"pass {activity.passes}, {page.said(activity.phase)}, {elapsed}", page)
    found = [where, _bar(activity, page), Text(_numbers(activity, now, page))][-room:]
    if activity.waiting and not activity.lanes:
        found.append(Text(page.cut(f"waiting: {page.said(activity.waiting)}", page.width), "yellow"))
    failures = _failures(activity, page, (room - len(found)) // 3)
    return found + _lanes(activity, now, page, room - len(found) - len(failures)) + failures


def _resting(activity: Activity, title: str, now: float, page: Page, room: int) -> list[Text]:
    left = _whole_time(max(0.0, (activity.resting_until or 0.0) - now))
    found = [_heading(title, f"after pass {activity.passes}", page), Text(f"next pass in {left}", "bold")][-room:]
    first, *more = textwrap.wrap(page.said(activity.last_result), page.width) or [""]
    result = [first, page.cut(" ".join(more), page.width)] if more else [first]
    return found + [Text(line) for line in result] + _failures(activity, page, len(activity.failures))


def _heading(title: str, state: str, page: Page) -> Text:
    room = page.width - cell_len(state) - 2
    if page.width < NARROW or room < 10:
        return Text(page.cut(state, page.width), "bold")
    title = page.fitted(title, room)
    return Text.assemble((title, "bold"), " " * (room - cell_len(title) + 2), (state, "cyan"))


def _bar(activity: Activity, page: Page) -> Text:
    """Return the bar; as long as the source is being looked at, what is done is no share of anything yet."""
    full, rest = "#-" if page.ascii_only else "━─"
    share = _share_done(activity)
    cells = max(0, page.width - 5)
    done = int(cells * share)
    percent = f" {int(share * 100):3}%" if activity.scanned and activity.files_total else ""
    return Text.assemble((full * done, "green"), (rest * (cells - done), "dim"), (percent, "bold"))


def _share_done(activity: Activity) -> float:
    if not activity.scanned or not activity.files_total:
        return 0.0
    of_files = activity.files_done / activity.files_total
    if not activity.bytes_total or of_files == 1:
        return of_files
    return min(0.99, activity.bytes_so_far / activity.bytes_total)


def _numbers(activity: Activity, now: float, page: Page) -> str:
    """Return as many of the numbers as fit on a row."""
    if activity.phase == "looking at the site":
        return _longest((f"{plural(activity.folders_compared, 'folder')} looked at", "looking"), page)
    if not activity.files_total:
        return _longest(("nothing to send" if activity.scanned else "nothing to send so far", "nothing"), page)
    done, total = f"{activity.files_done:,}", f"{activity.files_total:,}"
    files = f"{done} of {total} files{'' if activity.scanned else ' so far'}"
    sizes, rate, left = _bytes(activity), f"{human_size(activity.rates(now)[0])}/s", _time_left(activity, now)
    if not activity.bytes_total:
        sizes = rate = ""
    choices = ((files, sizes, rate, left), (files, sizes, left), (files, left), (files,), (f"{done}/{total}",))
    return _longest(("   ".join(filter(None, choice)) for choice in choices), page)


def _longest(choices: Iterator[str] | tuple[str, ...], page: Page) -> str:
    text = ""
    for text in choices:
        if len(text) <= page.width:
            break
    return text


def _bytes(activity: Activity) -> str:
    done, total = human_size(activity.bytes_so_far), human_size(activity.bytes_total)
    number, unit = done.split(" ")
    return f"{number if total.endswith(f' {unit}') else done} of {total}"


def _time_left(activity: Activity, now: float) -> str:
    left = activity.seconds_left(now)
    return "" if left is None else f"{_whole_time(left)} left"


def _whole_time(seconds: float) -> str:
    """Return a length of time that changes once a second."""
    whole = math.ceil(seconds)
    return f"{whole} s" if whole < 10 else human_time(whole)


def _lanes(activity: Activity, now: float, page: Page, room: int) -> list[Text]:
    """Return a row for each connection; those at work come first if there is not room for all."""
    lanes = activity.lanes_of_late(now)
    if room < 1 or not lanes:
        return []
    kept = lanes
    if len(lanes) > room:
        kept = sorted(sorted(lanes, key=lambda lane: (activity.is_idle(lane, now), lane))[: room - 1])
    found = [_lane(lane, activity.lanes.get(lane), now, page) for lane in kept]
    more = len(lanes) - len(kept)
    return [*found, Text(f"and {plural(more, 'more connection')}", "dim")] if more else found


def _lane(lane: int, errand: Errand | None, now: float, page: Page) -> Text:
    number = f"{lane:3} " if page.width >= NARROW else ""
    if errand is None:
        return Text(f"{number}idle", "dim")
    verb = f"{errand.verb} " if number else ""
    percent = f" {min(100, errand.sent * 100 // errand.size):3}%" if errand.size else ""
    speed = f"{human_size(errand.bytes_per_s(now))}/s" if errand.size and number else ""
    speed = f"{speed:>12}" if speed else ""
    room = max(0, page.width - len(number) - len(verb) - len(percent) - len(speed))
    path = page.fitted(page.said(quoted(errand.path)), room)
    blanks = " " * (room - cell_len(path)) if percent else ""
    return Text.assemble((number + verb, "dim"), path, blanks, percent, (speed, "dim"))


def _failures(activity: Activity, page: Page, room: int) -> list[Text]:
    last = list(activity.failures)[-room:] if room > 0 else []
    return [Text(page.cut(_failure(page.said(line), page), page.width), "red") for line in last]


def _failure(line: str, page: Page) -> str:
    """Return a path and what is wrong with it; the path may be cut down to half of the row."""
    lead = "failed " if page.width >= NARROW else ""
    path, gap, why = line.partition("  ")
    return lead + page.fitted(path, max(page.width // 2, page.width - cell_len(lead + gap + why))) + gap + why


class Display:
    """Draws an activity at the bottom of a terminal, many times a second, on the event loop that it is shown in."""

    def __init__(
        self,
        activity: Activity,
        title: str,
        *,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare a display of `activity` on standard error. `clock` is the one that the activity's times are of."""
        self._activity = activity
        self._title = title
        self._console = console or Console(stderr=True, markup=False, emoji=False, highlight=False)
        self._clock = clock
        self._lines: deque[Text] = deque()
        self._cells: list[int] = []
        self._picture = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    @contextmanager
    def shown(self) -> Iterator[Self]:
        """Show it from here on; at the end only the lines above it are left, and the cursor is as it was.

        Where nothing can be drawn over, on a dumb terminal or off a terminal, there are only the lines.
        """
        if self._console.is_interactive:
            self._loop = asyncio.get_running_loop()
            if signal.getsignal(signal.SIGTSTP) is signal.SIG_DFL:
                self._loop.add_signal_handler(signal.SIGTSTP, self._suspend)
            self._refresh()
        try:
            yield self
        finally:
            self.restore()

    def restore(self) -> None:
        """Leave the terminal as it was, for good; does nothing the second time."""
        if self._timer and self._loop:
            self._timer.cancel()
            self._timer = None
            self._loop.remove_signal_handler(signal.SIGTSTP)
        self._draw([])

    def print_above(self, line: Text) -> None:
        """Print a line above, whole, for the terminal to wrap: with the next frame, at once if there is none."""
        self._lines.append(line)
        if self._timer is None:
            self._draw([])

    def _refresh(self) -> None:
        assert self._loop is not None
        now, console = self._clock(), self._console
        page = Page(max(1, console.width - 1), console.height, console.options.ascii_only)
        self._activity.sample(now)
        self._draw(rows(self._activity, self._title, now, page) if self._in_front() else [])
        self._timer = self._loop.call_later(REFRESH_EVERY_S, self._refresh)

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
        self._loop.remove_signal_handler(signal.SIGTSTP)
        signal.raise_signal(signal.SIGTSTP)
        self._loop.add_signal_handler(signal.SIGTSTP, self._suspend)

    def _draw(self, frame: list[Text]) -> None:
        """Draw a frame over the last one, below the lines that came in since; an empty frame takes it away."""
        above = [self._lines.popleft() for _ in range(len(self._lines))]
        picture = f"{_TO_LINE_END}\n".join(self._drawn(frame))
        if not above and picture == self._picture:
            return
        out = self._to_top() + "".join(self._over(above))
        if frame:
            out += f"{_HIDE_CURSOR}{_WRAP_OFF}{picture}{_TO_SCREEN_END}{_WRAP_ON}\r"
        elif self._cells:
            out += _WIPE + _SHOW_CURSOR
        self._picture, self._cells = picture, [row.cell_len for row in frame]
        with suppress(OSError):  # the terminal is gone; what is done goes on
            self._console.file.write(out)
            self._console.file.flush()

    def _to_top(self) -> str:
        """Return the way up to the last frame's first row; rows too wide for a narrower terminal were wrapped by it."""
        width = max(1, self._console.width)
        up = sum(max(1, math.ceil(cells / width)) for cells in self._cells[:-1])
        return _UP.format(up) if up else ""

    def _over(self, lines: list[Text]) -> Iterator[str]:
        for line, drawn in zip(lines, self._drawn(lines), strict=True):
            if not self._cells:
                yield f"{drawn}\n"
            elif line.cell_len < self._console.width:
                yield f"{drawn}{_TO_LINE_END}\n"
            else:
                yield f"{_WIPE}{drawn}\n"

    def _drawn(self, texts: list[Text]) -> list[str]:
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
