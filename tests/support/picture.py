"""Draws docs/display.svg: what the live display and the log show in the middle of a pass that was made up.

`PYTHONPATH=tests python -m support.picture` draws it again. All that is in it was put into words by the program itself.
"""

import inspect
import io
import logging
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

from async_mirror.ui import log_output
from async_mirror.ui.activity import Activity, Errand
from async_mirror.ui.layout import Page, rows
from async_mirror.ui.terminal import Display

PICTURE = Path(__file__).resolve().parents[2] / "docs/display.svg"
WIDTH, HEIGHT = 96, 24
TITLE = "./site -> ftpes://me@ftp.example.org/www"

_BEGUN = 1000.0
_MB = 1_000_000
_LINES = (
    (logging.INFO, "created", "pictures/2024"),
    (logging.INFO, "uploaded", "index.html  (newer)"),
    (logging.INFO, "uploaded", "pictures/2024/harbour.jpg  (new)"),
    (logging.INFO, "renamed", "drafts/ready.html -> articles/ready.html"),
    (logging.ERROR, "failed", "private/notes.txt  cannot be read: Permission denied"),
    (logging.INFO, "uploaded", "articles/boats.html  (size 4.1 KB -> 5.0 KB)"),
)

_UNDER_WAY = (
    ("video/harbour-at-dawn.mp4", 38 * _MB, 31 * _MB, 2_300_000),
    ("pictures/2024/lighthouse.jpg", 2_400_000, 1_700_000, 1_100_000),
    ("pictures/2024/market.jpg", 3_100_000, 400_000, 900_000),
    ("articles/tides.html", 52_000, 40_000, 500_000),
)


def _activity() -> Activity:
    """Make up a pass that has gone on for 24 s."""
    activity = Activity()
    activity.begin(_BEGUN)
    activity.phase, activity.scanned = "uploading", True
    activity.planned(212 * _MB)
    activity.foreseen(1283, 0)
    activity.finished(98 * _MB)
    activity.files_done, activity.bytes_sent = 811, 74 * _MB
    for number in range(40):
        activity.set_out(1, Errand("uploading", f"articles/{number}.html", 40_000, _BEGUN + number * 0.1))
    for lane, (path, size, sent, rate) in enumerate(_UNDER_WAY, start=1):
        activity.set_out(lane, Errand("uploading", path, size, _BEGUN + 24 - sent / rate, sent))
    activity.sample(_BEGUN + 19)
    activity.bytes_sent, activity.files_done = 98 * _MB, 1_037
    activity.sample(_BEGUN + 24)
    activity.fail("private/notes.txt  cannot be read: Permission denied")
    return activity


class _Above(Display):
    """Keeps the lines that the log prints above."""

    def __init__(self, activity: Activity) -> None:
        super().__init__({TITLE: activity}, console=Console(file=io.StringIO()))
        self.above: list[Text] = []

    def print_above(self, line: Text) -> None:
        self.above.append(line)


def _lines(display: _Above) -> list[Text]:
    """Let the log's own handler and formatter write the lines."""
    handler = display.lines_above
    handler.setFormatter(log_output.TextLines("2026-05-04 09:41:07  %(message)s"))
    for level, verb, text in _LINES:
        record = logging.makeLogRecord({"levelno": level, "msg": f"{verb:8}  {text}", "text": text})
        handler.emit(record)
    return display.above


_NO_FONT_FROM_ELSEWHERE = re.compile(r"@font-face \{\{.*?\}\}\s*", re.DOTALL)


def draw() -> str:
    """Return the picture as SVG, the same each time."""
    activity = _activity()
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    frame = rows(activity, TITLE, _BEGUN + 24, Page(WIDTH - 1, HEIGHT))
    console.print(*_lines(_Above(activity)), *frame, sep="\n", soft_wrap=True)
    default = inspect.signature(Console.export_svg).parameters["code_format"].default
    return console.export_svg(
        title="async-mirror sync",
        code_format=_NO_FONT_FROM_ELSEWHERE.sub("", default).replace("Fira Code, monospace", "monospace"),
        unique_id="display",
    )


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
    sys.stdout.write(f"{PICTURE.name} is drawn\n")
