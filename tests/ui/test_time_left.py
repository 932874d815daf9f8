"""The time that is left, forecast in the middle of passes over a line that is simulated, clock and all."""

import random
from collections.abc import Iterator, Sequence

import pytest

from async_mirror.ui.activity import Activity, Errand
from async_mirror.ui.text import rounded_time
from async_mirror.ui.time_left import TimeLeft

STEP_S = 0.05
ROUND_TRIPS = 2
SMALL = [int(size) for size in (random.Random(20).lognormvariate(9, 1) for _ in range(350))]
LARGE = [20_000_000, 12_000_000, 8_000_000]
MIXED = random.Random(21).sample([*SMALL, *LARGE], len(SMALL) + len(LARGE))


class Lane:
    """A connection over the line: so many round trips for a file, then its bytes, as many as its share of the rate."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.path = ""
        self.left = 0.0
        self.moves_from = 0.0


def forecasts(
    sizes: Sequence[int], lanes: int, round_trip_s: float, bytes_per_s: float, round_trips: int = ROUND_TRIPS
) -> Iterator[float | None]:
    """Mirror files of these sizes in simulated time, and yield what is told of the time left after each step."""
    activity = Activity()
    activity.begin(0.0)
    activity.scanned = True
    for size in sizes:
        activity.planned(size)
    waiting, crew, now = list(enumerate(sizes)), [Lane(number) for number in range(lanes)], 0.0
    while waiting or activity.lanes:
        for lane in crew:
            if not lane.path and waiting:
                number, size = waiting.pop(0)
                lane.path, lane.left, lane.moves_from = str(number), size, now + round_trips * round_trip_s
                activity.set_out(lane.number, Errand("uploading", lane.path, size, now))
        activity.sample(now)
        now += STEP_S
        moving = [lane for lane in crew if lane.path and lane.moves_from < now]
        for lane in moving:
            amount = min(lane.left, bytes_per_s * STEP_S / len(moving))
            lane.left -= amount
            activity.advanced(lane.number, lane.path, round(amount))
            if lane.left <= 0:
                activity.came_back(lane.number, lane.path)
                activity.finished(sizes[int(lane.path)])
                lane.path = ""
        yield activity.seconds_left()


@pytest.mark.parametrize("lanes", [4, 8, 16])
@pytest.mark.parametrize(
    "sizes", [[*SMALL, *LARGE], [*LARGE, *SMALL], MIXED], ids=["small first", "large first", "mixed"]
)
def test_after_a_quarter_of_the_pass_the_time_left_is_within_30_percent(sizes: Sequence[int], lanes: int) -> None:
    told = list(forecasts(sizes, lanes, round_trip_s=0.06, bytes_per_s=1_000_000))
    later = range(len(told) // 4, len(told) * 9 // 10)
    for step in later:
        left, truth = told[step], (len(told) - step) * STEP_S
        assert left is None or left == pytest.approx(truth, rel=0.3), (
            f"after {step * STEP_S:.1f} s of {len(told) * STEP_S:.1f}"
        )
    assert sum(told[step] is None for step in later) * STEP_S < 1.0, "only while the first large file begins"


@pytest.mark.parametrize("lanes", [1, 2])
@pytest.mark.parametrize("sizes", [[*SMALL, *LARGE], [*LARGE, *SMALL]], ids=["small first", "large first"])
def test_nothing_is_told_of_files_that_are_quite_unlike_those_that_were_seen(sizes: Sequence[int], lanes: int) -> None:
    told = list(forecasts(sizes, lanes, round_trip_s=0.06, bytes_per_s=1_000_000))
    sure = [(left, (len(told) - step) * STEP_S) for step, left in enumerate(told) if left is not None]
    assert sum(truth * 0.5 < left < truth * 1.5 for left, truth in sure) > 0.8 * len(sure)


def test_small_files_that_seem_to_cost_nothing_beside_large_ones_are_not_forecast_so() -> None:
    told = list(forecasts([*LARGE, *SMALL], 4, round_trip_s=0.06, bytes_per_s=1_000_000, round_trips=12))
    assert told[-200] is not None
    for step, left in enumerate(told[: len(told) * 9 // 10]):
        assert left is None or left == pytest.approx((len(told) - step) * STEP_S, rel=0.5)


def test_a_line_that_becomes_slower_is_believed_within_minutes() -> None:
    seen = TimeLeft()
    seen.saw(1000, 1000)
    for _ in range(600):
        seen.add(1.0, 10, 10_000)
    for _ in range(300):
        seen.add(1.0, 1, 1000)
    assert seen.left(100, 100_000) == pytest.approx(100, rel=0.3)


def test_nothing_is_told_in_the_first_moments() -> None:
    seen = TimeLeft()
    seen.saw(1000, 1000)
    seen.add(2.0, 10, 10_000)
    assert seen.left(100, 100_000) is None
    seen.add(2.0, 10, 10_000)
    assert seen.left(100, 100_000) == pytest.approx(20)


def test_files_without_bytes_have_their_time_too() -> None:
    seen = TimeLeft()
    seen.saw(0, 0)
    for _ in range(10):
        seen.add(1.0, 10, 0)
    assert seen.left(50, 0) == pytest.approx(5)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.2, 5), (4, 5), (33, 35), (83, 85), (100, 100), (131, 130), (845, 840), (3500, 3600), (20_000, 19_800)],
)
def test_a_forecast_is_rounded_to_what_it_is_worth(seconds: float, told: float) -> None:
    assert rounded_time(seconds) == told
