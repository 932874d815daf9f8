"""What the display shows of several mirrors: a row each."""

from __future__ import annotations

import pytest

from async_mirror.ui.activity import Activity
from async_mirror.ui.layout import Page, picture, rows

NOW = 1000.0


def passing(done: int = 5, total: int = 10) -> Activity:
    activity = Activity()
    activity.begin(NOW - 10)
    activity.phase = "mirroring"
    activity.files_total, activity.files_done, activity.scanned = total, done, True
    return activity


def resting(result: str = "pass: nothing to do") -> Activity:
    activity = Activity()
    activity.begin(NOW - 10)
    activity.rest(NOW + 120, result)
    return activity


def drawn(activities: dict[str, Activity], width: int = 80, height: int = 24) -> list[str]:
    return [row.plain for row in picture(activities, NOW, Page(width, height))]


def test_one_alone_is_drawn_as_ever() -> None:
    page = Page(80, 24)
    assert picture({"shop": passing()}, NOW, page) == rows(passing(), "shop", NOW, page)


def test_several_have_a_row_each_those_at_work_first() -> None:
    found = drawn({"shop": resting(), "long-name": passing()})
    assert [line.split()[0] for line in found] == ["long-name", "shop"]
    assert "50%" in found[0]
    assert "next pass in 2m" in found[1]
    assert "nothing to do" in found[1]


def test_those_that_find_no_room_are_counted() -> None:
    found = drawn({f"mirror-{number}": resting() for number in range(100)}, height=20)
    assert len(found) == 15
    assert found[-1] == "and 86 more mirrors"


@pytest.mark.parametrize("width", [10, 20, 40, 200])
def test_no_row_is_wider_than_the_page(width: int) -> None:
    activities = {"a" * 64: passing(), "b\x1b[2J": resting("pass: " + "x" * 300)}
    found = drawn(activities, width)
    assert all(len(line) <= width for line in found)
    assert not any("\x1b" in line for line in found)
