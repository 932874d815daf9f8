"""The time that is left, forecast in the middle of passes over a line that is simulated, clock and all."""

import random
from collections.abc import Iterator, Sequence
from itertools import product

import pytest

from async_mirror.crew.cap import Climb, FixedCap
from async_mirror.ui.activity import Activity, Errand
from async_mirror.ui.text import time_left
from async_mirror.ui.time_left import TimeLeft

STEP_S = 0.05
ROUND_TRIPS, ROUND_TRIP_S = 2, 0.06
BYTES_PER_S = 1_000_000
SMALL = [int(size) for size in (random.Random(20).lognormvariate(9, 1) for _ in range(350))]
LARGE = [20_000_000, 12_000_000, 8_000_000]
MIXED = random.Random(21).sample([*SMALL, *LARGE], len(SMALL) + len(LARGE))


class Lane:
    """A connection over the line: so many round trips for a file, then its bytes, as many as its share of the rate."""

    def __init__(self, number: int, opens_at: float = 0.0) -> None:
        self.number = number
        self.opens_at = opens_at
        self.path = ""
        self.left = 0.0
        self.moves_from = 0.0


class Line:
    """A pass in simulated time: files of these sizes, over so many connections, or as many as `Climb` finds right."""

    def __init__(self, sizes: Sequence[int], lanes: int | Climb, round_trips: int) -> None:
        self.sizes = sizes
        self.waiting = list(enumerate(sizes))
        self.cap = lanes if isinstance(lanes, Climb) else FixedCap(lanes)
        self.crew = [Lane(number) for number in range(self.cap.lanes)]
        self.round_trips = round_trips
        self.done, self.amount, self.measured = 0, 0.0, (0.0, 0, 0.0)
        self.seen = Activity()
        self.seen.begin(0.0)
        self.seen.scanned = True
        for size in sizes:
            self.seen.planned(size)

    @property
    def goes_on(self) -> bool:
        return bool(self.waiting or self.seen.lanes)

    def set_out(self, now: float) -> None:
        while len(self.crew) < self.cap.lanes:
            self.crew.append(Lane(len(self.crew), now + 8 * ROUND_TRIP_S))
        for lane in self.crew[: self.cap.lanes]:
            if not lane.path and self.waiting and lane.opens_at <= now:
                number, size = self.waiting.pop(0)
                lane.path, lane.left, lane.moves_from = str(number), size, now + self.round_trips * ROUND_TRIP_S
                self.seen.set_out(lane.number, Errand("uploading", lane.path, size, now))

    def move(self, now: float) -> None:
        moving = [lane for lane in self.crew if lane.path and lane.moves_from < now]
        for lane in moving:
            amount = min(lane.left, BYTES_PER_S * STEP_S / len(moving))
            lane.left -= amount
            self.amount += amount
            self.seen.advanced(lane.number, lane.path, round(amount))
            if lane.left <= 0:
                self.done += 1
                self.seen.came_back(lane.number, lane.path)
                self.seen.finished(self.sizes[int(lane.path)])
                lane.path = ""
        then, done, before = self.measured
        if now - then >= 0.5:
            amount = round(self.amount - before)
            self.cap.measured(now - then, self.done - done, amount, self.cap.lanes, busy=bool(self.waiting))
            self.measured = now, self.done, self.amount


def forecasts(sizes: Sequence[int], lanes: int | Climb, round_trips: int = ROUND_TRIPS) -> Iterator[float | None]:
    """Yield what is told of the time left after each step."""
    line, now = Line(sizes, lanes, round_trips), 0.0
    while line.goes_on:
        line.set_out(now)
        line.seen.sample(now)
        now += STEP_S
        line.move(now)
        yield line.seen.seconds_left()


def judged(told: Sequence[float | None], begin: float = 0.25) -> list[tuple[float, float]]:
    """Return what was told from here on of the pass, and what was true, but for the last tenth."""
    steps = range(round(len(told) * begin), len(told) * 9 // 10)
    return [(left, (len(told) - step) * STEP_S) for step in steps if (left := told[step]) is not None]


ORDERS = {"small first": [*SMALL, *LARGE], "large first": [*LARGE, *SMALL], "mixed": MIXED}
of_each_order = pytest.mark.parametrize("order", ORDERS)


@pytest.mark.parametrize("lanes", [1, 2, 4, 8, 16])
@of_each_order
def test_what_is_told_after_a_quarter_of_the_pass_is_within_30_percent(order: str, lanes: int) -> None:
    for left, truth in judged(list(forecasts(ORDERS[order], lanes))):
        assert left == pytest.approx(truth, rel=0.3), f"{truth:.1f} s before the end"


@pytest.mark.parametrize(
    ("order", "lanes"), [*(("mixed", each) for each in (1, 2, 4, 8, 16)), *product(ORDERS, (8, 16))]
)
def test_it_is_told_from_a_quarter_on_where_small_and_large_files_were_seen_by_then(order: str, lanes: int) -> None:
    told = list(forecasts(ORDERS[order], lanes))
    assert None not in told[len(told) // 4 : len(told) * 9 // 10]


@pytest.mark.parametrize("lanes", [1, 2])
def test_nothing_is_told_of_large_files_before_the_first_one_nor_of_small_ones(lanes: int) -> None:
    told = list(forecasts(ORDERS["small first"], lanes))
    begins = len(told) - round(sum(LARGE) / BYTES_PER_S / STEP_S)
    assert told[len(told) // 10 : begins - 20] == [None] * (begins - 20 - len(told) // 10)
    told = list(forecasts(ORDERS["large first"], lanes))
    ends = round(sum(LARGE) / BYTES_PER_S / STEP_S)
    assert set(told[:ends]) == {None}
    assert None not in told[ends + 60 : len(told) * 9 // 10]


@pytest.mark.parametrize("order", ["small first", "mixed"])
def test_while_more_connections_are_tried_it_is_told_and_a_third_on_within_30_percent(order: str) -> None:
    told = list(forecasts(ORDERS[order], Climb(16)))
    assert told[len(told) // 2] is not None
    for left, truth in judged(told, begin=0.34):
        assert left == pytest.approx(truth, rel=0.3), f"{truth:.1f} s before the end"


def test_small_files_that_seem_to_cost_nothing_beside_large_ones_are_not_forecast_so() -> None:
    told = list(forecasts([*LARGE, *SMALL], 4, round_trips=12))
    assert told[-200] is not None
    for left, truth in judged(told, begin=0.0):
        assert left == pytest.approx(truth, rel=0.5)


def test_a_line_that_becomes_slower_is_believed_within_minutes() -> None:
    seen = TimeLeft()
    for _ in range(600):
        seen.add(1.0, 10, 10_000)
    for _ in range(300):
        seen.add(1.0, 1, 1000)
    assert seen.left(100, 100_000, 1) == pytest.approx(100, rel=0.3)
    for rate in (1_000_000, 100_000):
        for _ in range(300):
            seen.saw_line(1.0, rate)
    assert seen.left(1, 10_000_000, 1) == pytest.approx(100, rel=0.3)


def test_nothing_is_told_in_the_first_moments() -> None:
    seen = TimeLeft()
    seen.add(2.0, 10, 10_000)
    assert seen.left(100, 100_000, 1) is None
    seen.add(2.0, 10, 10_000)
    assert seen.left(100, 100_000, 1) == pytest.approx(20)


def test_files_without_bytes_have_their_time_too() -> None:
    seen = TimeLeft()
    for _ in range(10):
        seen.add(1.0, 10, 0)
    assert seen.left(50, 0, 1) == pytest.approx(5)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.2, "5 s"),
        (4, "5 s"),
        (33, "35 s"),
        (83, "1m25s"),
        (131, "2m10s"),
        (845, "14m"),
        (3500, "1h"),
        (20_000, "5h30m"),
    ],
)
def test_a_forecast_is_rounded_to_what_it_is_worth(seconds: float, told: str) -> None:
    assert time_left(seconds) == f"about {told} left"
