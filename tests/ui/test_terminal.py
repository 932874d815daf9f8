"""What somebody sees who watches: frames on paper of any size, and a real terminal."""

from __future__ import annotations

import asyncio
import fcntl
import io
import logging
import os
import select
import signal
import struct
import subprocess
import sys
import termios
import textwrap
import time
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import pyte
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console, Group
from rich.text import Text

from async_mirror import multi
from async_mirror.model.change import Job, SendFile
from async_mirror.model.entry import Entry, Kind
from async_mirror.model.outcome import Done, Failure, Problem, Skipped
from async_mirror.ui.activity import Activity, Errand
from async_mirror.ui.layout import Page, rows
from async_mirror.ui.log_output import set_up
from async_mirror.ui.report import Report
from async_mirror.ui.terminal import Display

PATIENCE_S = 20.0
TITLE = "/srv/site -> ftp://me@host/www"


# Frames.


def passing(*, files: int = 2000, size: int = 100_000, done: int = 0, scanned: bool = True) -> Activity:
    """Return a pass that began at 0, and is at its 10th second; two connections did what is done in 8 s."""
    activity = Activity()
    activity.begin(0.0)
    activity.phase = "uploading"
    for _ in range(files):
        activity.planned(size)
    for lane in (1, 2):
        activity.set_out(lane, Errand("uploading", "done", size, 0.0))
    activity.sample(0.0)
    for number in range(done):
        turn, lane = number // 2, 1 + number % 2
        activity.set_out(lane, Errand("uploading", "done", size, turn * 2 * 8.0 / done))
        activity.advanced(lane, "done", size)
        activity.came_back(lane, "done")
        activity.finished(size)
    for lane in (1, 2):
        activity.came_back(lane, "done")
    activity.scanned = scanned
    return activity


def busy(
    activity: Activity, lane: int, path: str, sent: int = 0, *, size: int = 1_000_000, verb: str = "uploading"
) -> None:
    """Have a connection at work on a path since the 8th second."""
    activity.set_out(lane, Errand(verb, path, size, 8.0))
    activity.advanced(lane, path, sent)


def seen(
    activity: Activity, width: int = 80, height: int = 24, *, now: float = 10.0, ascii_only: bool = False
) -> list[str]:
    """Return the rows of a frame, printed by a console that would wrap what is too wide."""
    activity.sample(now)
    frame = rows(activity, TITLE, now, Page(width, height, ascii_only))
    console = Console(width=width, file=io.StringIO(), color_system=None)
    with console.capture() as printed:
        console.print(Group(*frame), end="")
    return printed.get().removesuffix("\n").split("\n")


def test_a_pass_shows_what_is_done_of_what_how_fast_and_by_whom() -> None:
    activity = passing(done=500)
    busy(activity, 1, "photos/IMG_1.jpg", 450_000)
    busy(activity, 2, "old/index.html", size=0, verb="deleting")
    activity.fail("photos/IMG_0.jpg  refused by the server: 550 no")
    activity.renamed, activity.deleted = 2, 7
    assert seen(activity, 80)[2] == "500 of 2,000 files   2 renamed   7 deleted   about 25 s left   1 failed"
    assert seen(activity, 110) == [
        f"{TITLE:87}uploading  pass 1, 10 s",
        "━" * 26 + "─" * 79 + "  25%",
        "500 of 2,000 files   50.5 of 200.0 MB   5.0 MB/s   2 renamed   7 deleted   about 25 s left   1 failed",
        f"{'  1 uploading photos/IMG_1.jpg':95}45%  225.0 KB/s",
        "  2 deleting old/index.html",
        "failed photos/IMG_0.jpg  refused by the server: 550 no",
    ]


def test_a_narrow_terminal_shows_the_share_and_the_name() -> None:
    activity = passing(done=500)
    busy(activity, 1, "photos/2024/summer holidays/IMG_1.jpg", 450_000)
    activity.fail("photos/2024/summer holidays/IMG_0.jpg  refused by the server: 550 no")
    assert seen(activity, 40, 12) == [
        "uploading  pass 1, 10 s",
        "━" * 8 + "─" * 27 + "  25%",
        "500 of 2,000 files   1 failed",
        "photos/2024/summer holid…/IMG_1.jpg  45%",
        "photos/20…/IMG_0.jpg  refused by the se…",
    ]


def test_while_the_source_is_looked_at_no_total_is_final() -> None:
    activity = passing(done=500, scanned=False)
    _, bar, numbers = seen(activity)
    assert set(bar) == {"─"}
    assert numbers == "500 of 2,000 files so far   50.0 of 200.0 MB   5.0 MB/s"


def test_the_bar_is_full_when_all_is_done_and_not_before() -> None:
    activity = passing(files=1000, done=999)
    busy(activity, 1, "last", 100_000, size=100_000)
    assert seen(activity)[1].endswith(" 99%")
    activity.came_back(1, "last")
    activity.finished(100_000)
    assert seen(activity)[1] == "━" * 75 + " 100%"


def test_a_pass_without_bytes_counts_files() -> None:
    activity = passing(files=10, size=0, done=5)
    assert seen(activity)[1:] == ["━" * 37 + "─" * 38 + "  50%", "5 of 10 files   about 10 s left"]


def test_sizes_of_different_magnitude_keep_their_units() -> None:
    assert "900.0 KB of 90.0 MB" in seen(passing(files=1000, size=90_000, done=10))[2]


def test_a_pass_that_finds_nothing_to_send_says_so_and_for_how_long() -> None:
    activity = Activity()
    activity.begin(0.0)
    assert seen(activity, now=83.0) == [
        "/srv/site -> ftp://me@host/www                           scanning  pass 1, 1m23s",
        "─" * 75,
        "nothing to upload so far",
    ]


def test_listing_the_site_counts_folders() -> None:
    activity = passing(files=0, scanned=False)
    activity.phase, activity.folders_compared = "listing the site", 1203
    busy(activity, 1, "photos", size=0, verb="listing")
    assert seen(activity)[2:] == ["1,203 folders listed", "  1 listing photos"]


def test_a_server_that_is_away_is_shown_in_one_row_while_no_connection_works() -> None:
    activity = passing(files=1)
    for lane in (1, 2, 3, 4):
        activity.retry(lane, "cannot connect to host:21: Connection refused", 12.5 + lane)
    shown = seen(activity, 100)
    assert shown[0].endswith("unreachable  pass 1, 10 s")
    assert shown[3:] == [
        "server unreachable, 4 connections retrying, next in 4 s: cannot connect to host:21: Connection refu…"
    ]


def test_a_connection_that_is_opened_again_beside_others_says_so() -> None:
    activity = passing()
    busy(activity, 1, "a")
    activity.retry(2, "", 10.0)
    activity.retry(3, "no answer", 12.5)
    assert [row.strip() for row in seen(activity)[4:]] == ["2 reconnecting", "3 reconnecting, next attempt in 3 s"]


def test_connections_that_only_do_small_files_share_a_row() -> None:
    activity = passing(done=500)
    busy(activity, 1, "video.mp4", 450_000)
    for lane in (2, 3, 4):
        activity.set_out(lane, Errand("uploading", f"pages/{lane}.html", 4000, 9.0 + lane / 10))
    assert [row.split("   ")[0] for row in seen(activity)[3:]] == [
        "  1 uploading video.mp4",
        "3 connections: small files, 50/s  pages/4.html",
    ]


@pytest.mark.parametrize(
    ("now", "left"),
    [(0.0, "14m32s"), (0.9, "14m32s"), (1.0, "14m31s"), (812.0, "1m"), (865.5, "7 s"), (872.0, "0 s"), (999.0, "0 s")],
)
def test_between_passes_the_next_one_is_counted_down_to(now: float, left: str) -> None:
    activity = passing()
    activity.rest(872.0, "pass: uploaded 3 files; 2.3 MB in 4.0 s over 8 connections")
    assert seen(activity, now=now) == [
        "/srv/site -> ftp://me@host/www                             in sync  after pass 1",
        f"next pass in {left}",
        "pass: uploaded 3 files; 2.3 MB in 4.0 s over 8 connections",
    ]


def test_a_long_result_takes_two_rows_and_no_more() -> None:
    activity = passing()
    activity.fail("a  refused by the server")
    activity.rest(20.0, "pass: uploaded 3 files and deleted 4 files and 12 folders; 12 failed (refused by the server)")
    assert seen(activity, 40, 12)[2:] == [
        "pass: uploaded 3 files and deleted 4",
        "files and 12 folders; 12 failed (refuse…",
        "a  refused by the server",
    ]


def test_a_connection_between_two_files_keeps_its_row() -> None:
    activity = passing()
    for lane in (1, 2, 3):
        busy(activity, lane, f"file {lane}")
    activity.sample(10.0)
    before = seen(activity)
    activity.came_back(2, "file 2")
    after = seen(activity, now=10.2)
    assert after[4].strip() == "2 idle"
    assert [before[3], before[5]] == [after[3].replace("0.0 B/s", "0 B/s"), after[5]]
    assert len(seen(activity, now=21.0)) == len(before) - 1


def test_connections_beyond_the_height_are_counted() -> None:
    activity = passing()
    for lane in range(1, 21):
        busy(activity, lane, f"file {lane}")
    shown = seen(activity, height=12)
    assert len(shown) == 9
    assert [row.split()[0] for row in shown[3:8]] == ["1", "2", "3", "4", "5"]
    assert shown[8] == "and 15 more connections"


def test_where_there_is_not_room_for_all_those_at_work_are_shown() -> None:
    activity = passing()
    for lane in range(1, 21):
        busy(activity, lane, f"file {lane}")
    activity.sample(8.0)
    for lane in range(1, 19):
        activity.came_back(lane, f"file {lane}")
    assert [row.split()[0] for row in seen(activity, height=12)[3:8]] == ["1", "2", "3", "19", "20"]


def test_failures_leave_room_for_connections() -> None:
    activity = passing()
    for number in range(3):
        busy(activity, number + 1, f"file {number}")
        activity.fail(f"path {number}  refused by the server")
    assert [row.split()[0] for row in seen(activity, height=12)[3:]] == ["1", "2", "3", "failed", "failed"]
    assert seen(activity, height=12)[-1] == "failed path 2  refused by the server"


def test_names_are_shown_as_they_are_or_escaped_and_never_obeyed() -> None:
    activity = passing()
    names = ["[red]a[/red] :smile:", "esc\x1b[31m\x1b[2J", "line\nbreak", "stray\udcff", " blank ", "\u202ertl"]
    for lane, name in enumerate(names, 1):
        busy(activity, lane, name)
    assert [row[14:].split("     ")[0] for row in seen(activity)[3:]] == [
        "[red]a[/red] :smile:",
        "esc\\x1b[31m\\x1b[2J",
        "line\\x0abreak",
        "stray\\xff",
        "' blank '",
        "\\u202ertl",
    ]


def test_without_unicode_everything_is_ascii() -> None:
    activity = passing(done=500)
    busy(activity, 1, "f\u00e9/\u6f22" + "x" * 100 + "/name.txt", 1)
    activity.fail("\u6f22  refused by the server")
    shown = seen(activity, ascii_only=True)
    assert all(row.isascii() for row in shown)
    assert shown[3].startswith("  1 uploading f\\xe9/\\u6f22xxx")
    assert ".../name.txt" in shown[3]


@pytest.mark.parametrize(
    ("path", "cells", "fitted"),
    [
        ("photos/2024/IMG.jpg", 19, "photos/2024/IMG.jpg"),
        ("photos/2024/IMG.jpg", 18, "photos/20…/IMG.jpg"),
        ("photos/2024/IMG.jpg", 9, "…/IMG.jpg"),
        ("photos/2024/IMG.jpg", 6, "IMG…pg"),
        ("a-very-long-name.tar.gz", 11, "a-ver…ar.gz"),
        ("a-very-long-name.tar.gz", 1, "…"),
        ("a-very-long-name.tar.gz", 0, ""),
        ("\u6f22\u5b57\u6f22\u5b57/\u6f22.jpg", 12, "\u6f22\u5b57…/\u6f22.jpg"),
        ("\u6f22\u5b57\u6f22\u5b57\u6f22\u5b57", 8, "\u6f22\u5b57…\u5b57"),
        ("/", 1, "/"),
    ],
)
def test_of_a_path_that_is_too_long_the_name_stays(path: str, cells: int, fitted: str) -> None:
    assert Page(80, 24).fitted(path, cells) == fitted
    assert cell_len(fitted) <= cells


ODD_TEXT = st.text(
    st.one_of(st.characters(), st.sampled_from("\u6f22\U0001f600\u200d\ufe0f\u0301\u2764/ [")), max_size=60
)


@st.composite
def activities(draw: st.DrawFn) -> Activity:
    """Draw anything that may be going on."""
    activity = Activity()
    activity.begin(draw(st.floats(0, 1e6)))
    activity.phase = draw(st.sampled_from(["scanning", "listing the site", "uploading"]))
    for size in draw(st.lists(st.integers(0, 10**13), max_size=5)):
        activity.planned(size)
        if draw(st.booleans()):
            activity.finished(size)
    for lane in draw(st.sets(st.integers(1, 256), max_size=30)):
        activity.set_out(
            lane, Errand(draw(st.sampled_from(["uploading", "setting the mode of"])), draw(ODD_TEXT), 9, 0.0)
        )
        activity.lanes[lane].sent = draw(st.integers(0, 10**13))
    activity.sample(draw(st.floats(0, 1e6)))
    for line in draw(st.lists(ODD_TEXT, max_size=4)):
        activity.fail(line)
    for lane in draw(st.sets(st.integers(1, 256), max_size=9)):
        activity.retry(lane, draw(ODD_TEXT), draw(st.floats(0, 1e6)))
    activity.scanned = draw(st.booleans())
    if draw(st.booleans()):
        activity.rest(draw(st.floats(0, 1e6)), draw(ODD_TEXT))
    return activity


@settings(max_examples=50)
@given(activities(), ODD_TEXT, st.floats(0, 1e6), st.integers(1, 140), st.integers(1, 50), st.booleans())
def test_a_frame_fits_whatever_it_shows(
    activity: Activity, title: str, now: float, width: int, height: int, ascii_only: bool
) -> None:
    frame = rows(activity, title, now, Page(width, height, ascii_only))
    assert 1 <= len(frame) <= max(1, height * 3 // 4)
    for row in frame:
        assert row.cell_len <= width
        assert row.plain.isascii() or not ascii_only
        assert not any(unicodedata.category(character) == "Cc" for character in row.plain)


# A display on a screen that is looked into.


class Paper(io.StringIO):
    """A terminal's screen, and all that was ever written to it."""

    def __init__(self, columns: int = 80, lines: int = 24) -> None:
        super().__init__()
        self.screen = pyte.Screen(columns, lines)
        self._stream = pyte.Stream(self.screen)
        self.news = asyncio.Event()

    def write(self, text: str) -> int:
        self._stream.feed(text.replace("\n", "\r\n"))
        self.news.set()
        return super().write(text)

    @property
    def lines(self) -> list[str]:
        return filled(self.screen)

    async def next_frame(self) -> None:
        self.news.clear()
        async with asyncio.timeout(PATIENCE_S):
            await self.news.wait()


def filled(screen: pyte.Screen) -> list[str]:
    """Return what stands on a screen, without the empty rows below it."""
    return "\n".join(row.rstrip() for row in screen.display).rstrip("\n").split("\n")


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "COLUMNS", "LINES", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def console_on(paper: io.StringIO, columns: int = 80, lines: int = 24) -> Console:
    return Console(file=paper, force_terminal=True, width=columns, height=lines)


def display_on(paper: Paper, activity: Activity | None = None) -> Display:
    """Return a display whose clock stands still at the 10th second."""
    console = console_on(paper, paper.screen.columns, paper.screen.lines)
    return Display(
        {TITLE: activity or passing(done=500)}, console=console, clock=lambda: 10.0, on_signal=multi.on_signal
    )


def log_on(display: Display) -> logging.Logger:
    logger = logging.Logger("display under test")  # noqa: LOG001 - one of its own for each test
    display.lines_above.setFormatter(logging.Formatter("12:00:00  %(message)s"))
    logger.addHandler(display.lines_above)
    return logger


def test_lines_scroll_above_the_frame() -> None:
    async def main() -> None:
        paper = Paper(80, 10)
        display = display_on(paper)
        log = log_on(display)
        log.info("before")
        with display.shown():
            first = paper.lines
            for number in range(20):
                log.info("line %s", number)
            await paper.next_frame()
            assert paper.lines == [f"12:00:00  line {number}" for number in range(13, 20)] + first[1:]
            assert first[0] == "12:00:00  before"
            assert paper.screen.cursor.hidden
        log.info("after")
        assert paper.lines[-2:] == ["12:00:00  line 19", "12:00:00  after"]
        assert not paper.screen.cursor.hidden

    asyncio.run(main())


def test_a_terminal_that_is_stopped_holds_nothing_up_and_has_every_line_once_it_goes_on() -> None:
    async def main(display: Display, ours: int, theirs: int) -> None:
        log = log_on(display)
        with display.shown():
            os.read(ours, 1 << 16)
            termios.tcflow(theirs, termios.TCOOFF)
            log.info("a line")
            display._refresh()
            assert not select.select([ours], [], [], 0)[0]
            termios.tcflow(theirs, termios.TCOON)
        assert b"a line" in os.read(ours, 1 << 16)

    ours, theirs = os.openpty()
    with open(theirs, "w", encoding="utf-8") as stream:
        console = Console(file=stream, force_terminal=True)
        asyncio.run(main(Display({TITLE: passing()}, console=console, clock=lambda: 10.0), ours, theirs))
    os.close(ours)


def test_a_paused_mirror_is_shown_as_paused_and_names_no_next_pass() -> None:
    report = Report(watched=True)
    report.begin()
    report.end("mirrored", 0, 60.0)
    report.paused("paused: nothing is done until it is resumed")
    rows = seen(report.activity, 80, 12)
    assert "paused  after pass 1" in rows[0]
    assert rows[1] == "until it is resumed"


def test_frames_follow_one_another_without_a_task_or_a_thread() -> None:
    async def main() -> None:
        paper = Paper()
        activity = passing(done=500)
        with display_on(paper, activity).shown():
            for done in (501, 502, 503):
                activity.finished(100_000)
                await paper.next_frame()
                assert paper.lines[2].startswith(f"{done} of 2,000 files")
            assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


def test_a_row_that_comes_out_wider_than_was_counted_does_not_wrap() -> None:
    async def main() -> None:
        paper = Paper(80)
        activity = passing(done=500)
        for lane in (1, 2):
            busy(activity, lane, f"file {lane}")
        console = console_on(paper, columns=120)
        display = Display({TITLE: activity}, console=console, clock=lambda: 10.0)
        with display.shown():
            assert [row[:7].strip() for row in paper.lines[3:]] == ["1 upl", "2 upl"]
            paper.write("\n" + "x" * 100)
            assert paper.lines[-2:] == ["x" * 80, "x" * 20], "all else wraps as ever"

    asyncio.run(main())


def test_what_did_not_change_is_not_drawn_again() -> None:
    async def main() -> None:
        paper = Paper()
        display = display_on(paper)
        with display.shown():
            before = paper.getvalue()
            display._refresh()
            assert paper.getvalue() == before

    asyncio.run(main())


def test_a_frame_is_drawn_over_the_last_one_without_erasing_it_first() -> None:
    async def main() -> None:
        paper = Paper()
        activity = passing(done=500)
        display = display_on(paper, activity)
        log = log_on(display)
        with display.shown():
            drawn = len(paper.getvalue())
            activity.finished(100_000)
            log.info("a line")
            display._refresh()
            last = paper.getvalue()[drawn:]
            assert last.index("501 of") < last.index("\x1b[J")
            assert "\x1b[2K" not in last

    asyncio.run(main())


@pytest.mark.parametrize("length", [78, 79, 80, 81, 160, 161, 500])
def test_a_long_line_is_whole_for_the_terminal_to_wrap(length: int) -> None:
    async def main() -> None:
        paper = Paper()
        display = display_on(paper)
        text = "".join(f"{number:4}." for number in range(length))[-length:]
        with display.shown():
            frame = paper.lines
            display.print_above(Text(text))
            await paper.next_frame()
            assert text in paper.getvalue()
            assert (f"{text}\x1b[K" in paper.getvalue()) == (length < 80), "xterm would erase the last column"
            assert paper.lines == [row.rstrip() for row in (text[i : i + 80] for i in range(0, length, 80))] + frame
        assert "".join(row.ljust(80) for row in paper.lines).rstrip() == text

    asyncio.run(main())


def test_a_line_is_printed_as_it_is() -> None:
    async def main() -> None:
        paper = Paper()
        display = display_on(paper)
        log = log_on(display)
        with display.shown():
            log.info("[bold]x[/bold] [/red] :smile: \x1b[2J\x07 \u6f22\u5b57 \U0001f600 https://a.b/c 12 'q'")
            log.info("two\nlines")
            await paper.next_frame()
            assert (
                paper.getvalue().count(
                    "[bold]x[/bold] [/red] :smile: \\x1b[2J\\x07 \u6f22\u5b57 \U0001f600 https://a.b/c 12 'q'"
                )
                == 1
            )
            assert paper.lines[1:3] == ["12:00:00  two", "lines"]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("level", "no_color", "colour"),
    [
        (logging.INFO, "", "default"),
        (logging.WARNING, "", "brown"),
        (logging.ERROR, "", "red"),
        (logging.WARNING, "1", "default"),
        (logging.ERROR, "1", "default"),
    ],
)
def test_trouble_is_coloured_unless_colours_are_not_wanted(
    level: int, no_color: str, colour: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if no_color:
        monkeypatch.setenv("NO_COLOR", no_color)

    async def main() -> None:
        paper = Paper()
        activity = passing(done=500)
        activity.fail("a  refused by the server")
        display = display_on(paper, activity)
        with display.shown():
            log_on(display).log(level, "failed    a", extra={"text": "a"})
            await paper.next_frame()
            assert paper.screen.buffer[0][0].fg == colour
            assert paper.lines[-1] == "failed a  refused by the server"
            assert paper.screen.buffer[len(paper.lines) - 1][0].fg == ("default" if no_color else "red")

    asyncio.run(main())


def test_time_and_verb_of_a_line_are_dim() -> None:
    async def main() -> None:
        paper = Paper()
        display = display_on(paper)
        log_on(display).info("uploaded  a  1 B  (new)", extra={"text": "a  1 B  (new)"})
        assert paper.getvalue() == "\x1b[2m12:00:00  uploaded  \x1b[0ma  1 B  (new)\n"

    asyncio.run(main())


def test_an_exception_leaves_the_terminal_as_it_was() -> None:
    async def main() -> None:
        paper = Paper()
        display = display_on(paper)
        log = log_on(display)

        def work() -> None:
            with display.shown():
                log.info("the last line")
                raise KeyError("whatever")

        with pytest.raises(KeyError, match="whatever"):
            work()
        assert paper.lines == ["12:00:00  the last line"]
        assert (paper.screen.cursor.x, paper.screen.cursor.y, paper.screen.cursor.hidden) == (0, 1, False)
        drawn = paper.getvalue()
        display.restore()
        assert paper.getvalue() == drawn
        assert display._timer is None

    asyncio.run(main())


def test_a_display_that_was_never_shown_writes_nothing_of_its_own() -> None:
    paper = io.StringIO()
    display = Display({TITLE: passing()}, console=console_on(paper))
    display.restore()
    log_on(display).info("a line")
    display.restore()
    assert paper.getvalue() == "12:00:00  a line\n"


@pytest.mark.parametrize("off", ["a file", "a dumb terminal"])
def test_where_nothing_can_be_drawn_over_there_are_only_lines(off: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb" if off == "a dumb terminal" else "xterm")
    paper = io.StringIO()
    display = Display({TITLE: passing()}, console=Console(file=paper, force_terminal=off == "a dumb terminal"))

    async def main() -> None:
        with display.shown():
            log_on(display).error("a line")

    asyncio.run(main())
    assert paper.getvalue() == "12:00:00  a line\n"


def test_a_frame_that_a_narrower_terminal_wrapped_is_drawn_over_whole() -> None:
    async def main() -> None:
        paper = Paper(80, 30)
        activity = passing(done=500)
        for lane in (1, 2, 3):
            busy(activity, lane, f"a long name of a file {lane}", 450_000)
        console = console_on(paper, 80, 30)
        display = Display({TITLE: activity}, console=console, clock=lambda: 10.0)
        with display.shown():
            display.print_above(Text("a line"))
            display._refresh()
            rewrapped = Paper(50, 30)
            for row in paper.lines[:-1]:
                rewrapped.write(row + "\n")
            rewrapped.write(paper.lines[-1])
            rewrapped.screen.cursor.y -= 1
            rewrapped.write("\r")
            console.file, console.size = rewrapped, type(console.size)(50, 30)
            display._refresh()
            assert rewrapped.lines == ["a line", *seen(activity, 49, 30)]

    asyncio.run(main())


def test_a_drawing_that_fails_is_out_of_the_way_of_the_lines_and_of_the_run() -> None:
    async def main() -> None:
        paper = Paper()
        activity = passing()
        display = display_on(paper, activity)
        with display.shown():
            activity.phase = None  # type: ignore[assignment]
            display._refresh()
            display.print_above(Text("a line"))
            assert paper.lines == ["a line"]
        assert not paper.screen.cursor.hidden

    asyncio.run(main())


def test_a_terminal_that_went_away_stops_nothing() -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(5, "Input/output error")

    async def main() -> str:
        display = Display({TITLE: passing()}, console=console_on(Gone()))
        with display.shown():
            display.print_above(Text("a line"))
            display._refresh()
            return "went on"

    assert asyncio.run(main()) == "went on"


# A process on a terminal of its own.

CHILD = textwrap.dedent(
    """
    import asyncio, logging, os, signal, sys, time
    from async_mirror import multi
    from async_mirror.ui.activity import Activity, Errand
    from async_mirror.ui.terminal import Display

    async def main():
        activity = Activity()
        activity.begin(time.monotonic())
        display = Display({"/srv/site -> ftp://me@host/www": activity}, on_signal=multi.on_signal)
        log = logging.Logger("child")
        log.addHandler(display.lines_above)
        done = asyncio.Event()
        loop = asyncio.get_running_loop()

        def interrupted():
            if display.interrupts:
                display.restore()
                os._exit(130)
            display.interrupts = True
            log.info("stopping")

        def told():
            for line in os.read(int(sys.argv[1]), 65536).decode().splitlines():
                exec(line, {"activity": activity, "log": log, "done": done, "Errand": Errand, "now": time.monotonic()})

        display.interrupts = False
        loop.add_signal_handler(signal.SIGINT, interrupted)
        loop.add_reader(int(sys.argv[1]), told)
        with display.shown():
            await done.wait()

    asyncio.run(main())
    """
)
ON_TERMINAL = "import os, sys; os.login_tty(0); os.execv(sys.argv[1], sys.argv[1:])"


class Watched:
    """The child on a pseudo-terminal: what stands on its screen, and what scrolled out of it."""

    def __init__(self, folder: Path, columns: int = 80, lines: int = 24, shell: str = "") -> None:
        self.screen = pyte.HistoryScreen(columns, lines, history=1000, ratio=0.01)
        self._stream = pyte.ByteStream(self.screen)
        self.ours, theirs = os.openpty()
        self._orders, orders = os.pipe()[::-1]
        self.resize(columns, lines)
        script = folder / "child.py"
        script.write_text(CHILD)
        child = [sys.executable, str(script), str(orders)]
        if shell:
            child = ["/bin/sh", "-mc", shell.format(" ".join(child))]
        self.process = subprocess.Popen(
            [sys.executable, "-c", ON_TERMINAL, *child],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            pass_fds=[orders],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        os.close(theirs)
        os.close(orders)

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.screen.resize(lines, columns)

    def do(self, order: str) -> None:
        os.write(self._orders, f"{order}\n".encode())

    def press(self, keys: bytes) -> None:
        os.write(self.ours, keys)

    @property
    def lines(self) -> list[str]:
        return filled(self.screen)

    @property
    def scrolled_out(self) -> list[str]:
        return ["".join(row[x].data for x in range(self.screen.columns)).rstrip() for row in self.screen.history.top]

    def until(self, wanted: Callable[[list[str]], object]) -> None:
        """Read what is written until the screen is as wanted."""
        deadline = time.monotonic() + PATIENCE_S
        while not wanted(self.lines):
            if not self._read(max(0.0, deadline - time.monotonic())):
                pytest.fail("it never came to this; the screen is\n" + "\n".join(self.lines))

    def end(self) -> int:
        """Read to the end, and return the exit code."""
        while self._read(PATIENCE_S):
            pass
        return self.process.wait(PATIENCE_S)

    def _read(self, seconds: float) -> bool:
        ready, _, _ = select.select([self.ours], [], [], seconds)
        try:
            data = os.read(self.ours, 65536) if ready else b""
        except OSError:  # Linux says so when nobody holds the other side any more
            data = b""
        self._stream.feed(data)
        return bool(data)

    def close(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE_S)
        os.close(self.ours)
        os.close(self._orders)


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Callable[..., Watched]]:
    watched: list[Watched] = []

    def begin(columns: int = 80, lines: int = 24, shell: str = "") -> Watched:
        watched.append(Watched(tmp_path, columns, lines, shell))
        return watched[-1]

    yield begin
    for each in watched:
        each.close()


def has(text: str) -> Callable[[list[str]], bool]:
    return lambda lines: any(text in line for line in lines)


def test_on_a_terminal_the_scrollback_holds_log_lines_only(watch: Callable[..., Watched]) -> None:
    terminal = watch(80, 10)
    terminal.until(has("nothing to upload so far"))
    for lane in (1, 2, 3):
        terminal.do(f"activity.set_out({lane}, Errand('uploading', 'file {lane}', 10**6, now))")
    terminal.until(has("uploading file 3"))
    for number in range(50):
        terminal.do(f"log.info('line {number}')")
    terminal.until(has("line 49"))
    assert [line.split()[0] for line in terminal.lines[-4:]] == ["nothing", "1", "2", "3"]
    assert terminal.screen.cursor.hidden
    terminal.do("done.set()")
    assert terminal.end() == 0
    assert [*terminal.scrolled_out, *terminal.lines] == [f"line {number}" for number in range(50)]
    assert not terminal.screen.cursor.hidden
    assert (terminal.screen.cursor.x, terminal.screen.cursor.y) == (0, len(terminal.lines))


def test_on_a_terminal_of_40_columns_nothing_wraps_and_resizing_is_followed(watch: Callable[..., Watched]) -> None:
    terminal = watch(40, 12)
    terminal.until(has("nothing to upload so far"))
    terminal.do(f"activity.set_out(1, Errand('uploading', 'folder/{'x' * 100}.txt', 10**6, now))")
    terminal.do(
        "activity.set_out(2, Errand('uploading', '\\u6f22\\u5b57' * 30 + '\\U0001f468\\u200d\\U0001f469', 10**6, now))"
    )
    terminal.until(has("\u6f22"))
    assert len(terminal.lines) == 5
    assert terminal.lines[3].endswith("xxx.txt   0%")
    terminal.resize(100, 12)
    terminal.until(has("  1 uploading x"))
    assert len(terminal.lines) == 5
    assert terminal.lines[0].startswith("/srv/site -> ftp://me@host/www   ")
    terminal.resize(10, 3)
    terminal.until(lambda lines: lines == ["\u2500" * 4, "nothing"])
    terminal.do("done.set()")
    assert terminal.end() == 0
    assert terminal.lines == [""]


def test_the_second_ctrl_c_leaves_the_terminal_as_it_was(watch: Callable[..., Watched]) -> None:
    terminal = watch()
    terminal.until(has("nothing to upload so far"))
    before = termios.tcgetattr(terminal.ours)
    terminal.press(b"\x03")
    terminal.until(has("stopping"))
    terminal.press(b"\x03")
    assert terminal.end() == 130
    assert terminal.lines == ["stopping"]
    assert not terminal.screen.cursor.hidden
    assert terminal.screen.cursor.x == 0
    assert termios.tcgetattr(terminal.ours) == before


def test_ctrl_z_gives_the_terminal_back_until_the_process_goes_on(watch: Callable[..., Watched]) -> None:
    terminal = watch(shell="{}; echo stopped; read answer; fg")
    terminal.until(has("nothing to upload so far"))
    terminal.press(b"\x1a")
    terminal.until(lambda lines: lines[-1] == "stopped")
    assert not has("nothing to upload")(terminal.lines)
    assert not terminal.screen.cursor.hidden
    terminal.press(b"\n")
    terminal.until(has("nothing to upload so far"))
    assert terminal.screen.cursor.hidden
    assert has("stopped")(terminal.lines)
    terminal.do("done.set()")
    assert terminal.end() == 0
    assert not has("nothing to upload")(terminal.lines)


def test_in_the_background_there_are_only_lines(watch: Callable[..., Watched]) -> None:
    terminal = watch(shell="{} & read answer; fg")
    terminal.do("log.info('a line')")
    terminal.until(has("a line"))
    assert terminal.lines == ["a line"]
    assert not terminal.screen.cursor.hidden
    terminal.press(b"\n")
    terminal.until(has("nothing to upload so far"))
    assert terminal.screen.cursor.hidden
    terminal.do("done.set()")
    assert terminal.end() == 0


def test_signals_are_as_they_were_afterwards() -> None:
    async def main() -> None:
        with display_on(Paper()).shown():
            assert signal.getsignal(signal.SIGTSTP) is not signal.SIG_DFL

    before = signal.getsignal(signal.SIGTSTP)
    asyncio.run(main())
    assert signal.getsignal(signal.SIGTSTP) is before


# What scrolls above.


def test_above_a_display_there_is_no_line_per_file_unless_more_is_asked_for() -> None:
    def above(*, verbose: bool) -> list[str]:
        async def main() -> list[str]:
            paper = Paper()
            display = display_on(paper)
            set_up(display.lines_above, quiet=False, verbose=verbose, file=None, as_json=False, is_screen_text=True)
            report = Report()
            report.begin()
            with display.shown():
                entry = Entry("a", Kind.FILE, 1)
                report.outcome(Done(Job(SendFile(entry, None, "new"), "t", 1), SendFile(entry, None, "new"), entry))
                report.outcome(Skipped(Job(SendFile(entry, None, "new"), "t", 1), "exists"))
                report.note("worth knowing")
                report.failure(Failure("b", Problem.UNREADABLE))
                display._refresh()
                return [line[21:].split()[0] for line in paper.lines if line.startswith("20")]

        return asyncio.run(main())

    assert above(verbose=False) == ["note", "failed", "hint"]
    assert above(verbose=True) == ["uploaded", "skipped", "note", "failed", "hint"]
