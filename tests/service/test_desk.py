"""What the process that keeps mirrors answers, and to which questions."""

from __future__ import annotations

import asyncio
import os
from typing import NamedTuple

import pytest

from async_mirror.crew.alarm import Alarm
from async_mirror.crew.stop import Stop
from async_mirror.service.desk import Desk
from async_mirror.state.store import State
from async_mirror.sync.mirror import Mirror
from async_mirror.ui.report import Report


class Reporting(NamedTuple):
    """As much of a mirror as is asked about."""

    report: Report


class Kept(NamedTuple):
    """A mirror that is kept."""

    name: str
    mirror: Mirror
    state: State
    alarm: Alarm


@pytest.fixture
def kept() -> Kept:
    return Kept("", Reporting(Report(watched=True)), None, Alarm())  # type: ignore[arg-type]  # no more is needed


def test_a_pass_that_moves_on_is_told_from_one_that_hangs(kept: Kept) -> None:
    now = 1_000.0
    desk = Desk({"state": kept}.get, lambda: now)
    activity = kept.mirror.report.activity
    activity.begin(now)
    now += 50
    assert desk.live(kept).still_s == 50, "it never moved"
    activity.advanced(1, "file", 1_000)
    now += 10
    assert desk.live(kept).still_s == 0
    now += 100
    assert desk.live(kept).still_s == 100
    activity.finished(1_000)
    assert desk.live(kept).still_s == 0
    activity.begin(now)
    now += 5
    assert desk.live(kept).still_s == 5, "another pass begins anew"


def test_each_question_is_answered_and_done_what_it_asks_for(kept: Kept) -> None:
    desk = Desk({"state": kept}.get)
    about = {"state": "state"}
    assert desk.answer({"ask": "status", **about})["pid"] == os.getpid()
    assert desk.answer({"ask": "now", **about}) == {"pid": os.getpid()}
    assert asyncio.run(kept.alarm.wait(60, Stop())).whole
    with kept.alarm.passing(Stop()) as own:
        assert desk.answer({"ask": "pause", **about}) == {"pid": os.getpid()}
        assert own.requested


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ({}, "does not keep that mirror"),
        ({"ask": "status"}, "does not keep that mirror"),
        ({"ask": "status", "state": "another"}, "does not keep that mirror"),
        ({"ask": "status", "state": ["state"]}, "does not keep that mirror"),
        ({"state": "state"}, "ask for status, now or pause"),
        ({"ask": "end", "state": "state"}, "ask for status, now or pause"),
        ({"ask": ["now"], "state": "state"}, "ask for status, now or pause"),
    ],
)
def test_what_is_no_question_is_told_so(kept: Kept, request_: dict[str, object], error: str) -> None:
    assert error in Desk({"state": kept}.get).answer(request_)["error"]
