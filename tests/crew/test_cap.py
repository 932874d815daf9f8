"""How many lanes are right, on links that are simulated: what they bring is a function of how many lanes there are."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_mirror.crew.cap import FIRST_LANES, HOLD_WINDOWS, ITEM, WINDOW_S, Climb, Level, Meter, Sample, decide

pytestmark = pytest.mark.smoke

Link = Callable[[int], float]
MOST = 16
SETTLED = 60
"""Windows after which a climb is expected to be where it belongs: a minute."""


def round_trips(knee: int) -> Link:
    """Each lane waits for replies, until something else is the bottleneck."""
    return lambda lanes: 10.0 * min(lanes, knee)


def falling_after(knee: int) -> Link:
    """More lanes than this get in each other's way."""
    return lambda lanes: 10.0 * knee * (lanes / knee if lanes <= knee else knee / lanes)


def bandwidth(share: float) -> Link:
    """Each lane gets this share of the line, until it is full."""
    return lambda lanes: 100.0 * min(1.0, share * lanes)


def friction(lanes: int) -> float:
    """Bring a little less with each lane."""
    return 10.0 * lanes / (1 + 0.1 * (lanes - 1))


@dataclass
class Ride:
    """A climb on a link, and which levels it was at."""

    link: Link
    climb: Climb = field(default_factory=lambda: Climb(MOST))
    noise: float = 0.0
    seed: int = 0
    lanes: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.luck = random.Random(self.seed)

    def go(self, windows: int) -> Ride:
        for _ in range(windows):
            lanes = self.climb.lanes
            assert 1 <= lanes <= self.climb.most
            self.lanes.append(lanes)
            work = self.link(lanes) * ITEM * self.luck.uniform(1 - self.noise, 1 + self.noise)
            self.climb.measured(WINDOW_S, 0, int(work), lanes, busy=True)
        return self

    def share(self, windows: int) -> float:
        """Return what share of the most that could be had the last windows brought."""
        best = max(self.link(lanes) for lanes in range(1, self.climb.most + 1))
        return sum(map(self.link, self.lanes[-windows:])) / windows / best


LINKS = {
    "round trips to 4": (round_trips(4), {4}),
    "round trips to 8": (round_trips(8), {8, 9}),
    "round trips to 12": (round_trips(12), {12, 13}),
    "round trips and no knee": (round_trips(1000), {MOST}),
    "one processor": (round_trips(1), {1, 2}),
    "two processors": (round_trips(2), {2}),
    "falls after 3": (falling_after(3), {3}),
    "falls after 6": (falling_after(6), {6}),
    "a line that six fill": (bandwidth(1 / 6), {6}),
    "friction": (friction, {13, MOST}),
}


@pytest.mark.parametrize("name", LINKS)
def test_climb_finds_the_knee_within_a_minute_and_stays_there(name: str) -> None:
    link, right = LINKS[name]
    ride = Ride(link).go(SETTLED)
    assert ride.climb.found in right
    ride.go(300)
    assert ride.climb.found in right
    assert ride.share(300) > 0.95


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("name", LINKS)
def test_climb_brings_nearly_all_that_can_be_had_of_a_noisy_link(name: str, seed: int) -> None:
    link, _ = LINKS[name]
    ride = Ride(link, noise=0.15, seed=seed).go(100 + 400)
    assert ride.share(400) > 0.8


@pytest.mark.parametrize("name", ["round trips to 4", "one processor", "two processors", "falls after 3"])
def test_noise_does_not_make_it_drift_to_lanes_that_bring_nothing(name: str) -> None:
    averages = []
    for seed in range(10):
        ride = Ride(LINKS[name][0], noise=0.15, seed=seed).go(2000)
        averages.append(sum(ride.lanes[-1000:]) / 1000)
    assert sum(averages) / len(averages) < 2 + max(LINKS[name][1])


@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.parametrize(("before", "after"), [(3, 12), (12, 3), (8, 1), (2, 16)])
def test_climb_follows_a_link_that_changes(before: int, after: int, noise: float) -> None:
    ride = Ride(round_trips(before), noise=noise, seed=before).go(100)
    ride.link = round_trips(after)
    ride.go(200)
    assert ride.share(50) > 0.85
    assert sum(ride.lanes[-50:]) / 50 < after + 4


def test_link_that_becomes_slow_for_all_costs_no_lanes_for_long() -> None:
    ride = Ride(round_trips(8)).go(100)
    ride.link = lambda lanes: 0.2 * round_trips(8)(lanes)
    ride.go(100)
    assert ride.share(50) > 0.95


def test_link_that_becomes_fast_again_is_climbed_again() -> None:
    ride = Ride(round_trips(8)).go(100)
    ride.link = round_trips(1)
    ride.go(100)
    ride.link = round_trips(8)
    ride.go(100)
    assert ride.share(50) > 0.85


def test_climb_starts_small_and_adds_as_long_as_it_helps() -> None:
    ride = Ride(round_trips(1000)).go(10)
    assert ride.lanes[0] == FIRST_LANES == 2
    assert ride.lanes[:7] == sorted(set(ride.lanes[:7]))


def test_climb_starts_where_it_was_and_tries_to_go_beyond_now_and_then() -> None:
    ride = Ride(round_trips(6), Climb(MOST, 6)).go(4 * HOLD_WINDOWS)
    assert ride.lanes[0] == 6
    assert max(ride.lanes) > 6
    assert ride.lanes.count(6) > 3 * HOLD_WINDOWS
    assert ride.climb.found == 6


@pytest.mark.parametrize(("most", "first", "lanes"), [(16, 40, 16), (1, None, 1), (3, 0, 2), (0, 5, 1), (16, None, 2)])
def test_first_lanes_are_within_bounds(most: int, first: int | None, lanes: int) -> None:
    assert Climb(most, first).lanes == lanes


def test_what_cannot_be_had_lowers_the_ceiling_for_good() -> None:
    ride = Ride(round_trips(1000)).go(20)
    ride.climb.lower(3)
    assert (ride.climb.lanes, ride.climb.most) == (3, 3)
    ride.lanes.clear()
    ride.go(100)
    assert max(ride.lanes) == 3
    ride.climb.lower(7)
    assert ride.climb.most == 3
    ride.climb.lower(0)
    assert (ride.climb.lanes, ride.climb.most) == (1, 1)


def test_files_rule_where_they_are_small_and_bytes_where_they_are_large() -> None:
    small, large = Climb(MOST), Climb(MOST)
    for _ in range(10):
        small.measured(WINDOW_S, 50 * small.lanes, 50 * 100 * small.lanes, small.lanes, busy=True)
        large.measured(WINDOW_S, 1, 5_000_000 * large.lanes, large.lanes, busy=True)
    assert small.lanes == large.lanes == MOST


def test_windows_in_which_somebody_was_idle_teach_nothing() -> None:
    climb = Climb(MOST)
    before = climb.level
    for _ in range(100):
        climb.measured(WINDOW_S, 10, 0, climb.lanes, busy=False)
        climb.measured(WINDOW_S, 10, 0, climb.lanes - 1, busy=True)
        climb.measured(WINDOW_S / 2, 10, 0, climb.lanes, busy=True)
    assert climb.level == before
    assert climb.found == 0


def test_nothing_done_at_all_teaches_nothing() -> None:
    climb = Climb(MOST)
    for _ in range(100):
        climb.measured(WINDOW_S, 0, 0, climb.lanes, busy=True)
    assert climb.lanes == FIRST_LANES


def test_short_stretches_are_put_together_to_windows() -> None:
    climb = Climb(MOST)
    for _ in range(4):
        climb.measured(WINDOW_S / 4, 10, 0, climb.lanes, busy=True)
    assert climb.found == FIRST_LANES
    assert climb.level.best_rate == 40 * ITEM / WINDOW_S


def test_sample_of_another_number_of_lanes_changes_nothing() -> None:
    level = Level(4, MOST, best=4, best_rate=100.0)
    assert decide(level, Sample(1.0, 1e9, 5)) is level


STEPS = st.lists(st.floats(0.0, 1e12) | st.integers(0, 20), max_size=200)


@given(st.integers(1, 256), st.none() | st.integers(0, 300), STEPS)
def test_whatever_is_measured_and_refused_it_stays_within_bounds(
    most: int, first: int | None, steps: list[float | int]
) -> None:
    climb = Climb(most, first)
    ceiling = most
    for step in steps:
        if isinstance(step, int):
            climb.lower(step)
            ceiling = min(ceiling, max(1, step))
        else:
            climb.measured(WINDOW_S, 0, int(step), climb.lanes, busy=True)
        assert 1 <= climb.lanes <= climb.most == ceiling
        assert 0 <= climb.found <= ceiling


# Links that were recorded with `bench/run`: what so many lanes brought per second, of vsftpd.

OVER_20_MS = {1: 9.3, 2: 18.2, 3: 26.7, 4: 35.4, 6: 50.8, 8: 66.1, 12: 89.6, 16: 110.4}
"""500 files of 0.2 to 8 KiB over a line of 20 ms, files per second."""
LARGE_ON_LOOPBACK = {1: 265.0, 8: 354.0}
"""4 files of 256 MiB on loopback, MiB per second, one after the other and over 8 lanes."""


def recorded(brought: dict[int, float]) -> Link:
    """Return what was brought, between two records what lies between them, and beyond the last what that was."""

    def link(lanes: int) -> float:
        lanes = min(lanes, max(brought))
        below = max(known for known in brought if known <= lanes)
        above = min(known for known in brought if known >= lanes)
        share = (lanes - below) / (above - below) if above > below else 0.0
        return brought[below] + share * (brought[above] - brought[below])

    return link


def test_recorded_line_of_20_ms_is_climbed_to_the_top_within_ten_seconds() -> None:
    assert MOST in Ride(recorded(OVER_20_MS)).go(10).lanes


@pytest.mark.parametrize(("brought", "share"), [(OVER_20_MS, 0.8), (LARGE_ON_LOOPBACK, 0.7)])
@pytest.mark.parametrize("seed", range(5))
def test_recorded_links_bring_most_of_what_they_can(brought: dict[int, float], share: float, seed: int) -> None:
    """Seven more lanes bring a third more on loopback: that is too little for them to be right."""
    ride = Ride(recorded(brought), noise=0.1, seed=seed).go(SETTLED + 100)
    assert ride.share(100) > share


class Heard:
    """A cap that writes down what it is told."""

    lanes = most = 4

    def __init__(self) -> None:
        self.told: list[tuple[float, int, int, int, bool]] = []

    def lower(self, lanes: int) -> None:
        raise AssertionError

    def measured(self, seconds: float, items: int, amount: int, lanes: int, *, busy: bool) -> None:
        self.told.append((seconds, items, amount, lanes, busy))


def test_a_meter_tells_what_came_since_it_last_told() -> None:
    meter, heard = Meter(), Heard()
    meter.tell(heard, 10.0, 5, 2, idle=False)
    assert heard.told == [], "there is no time before the first look"
    meter.amount += 700
    meter.tell(heard, 10.5, 8, 2, idle=False)
    meter.tell(heard, 11.0, 8, 3, idle=False)
    assert heard.told == [(0.5, 3, 700, 2, True), (0.5, 0, 0, 3, True)]


def test_a_meter_says_whether_all_had_work_all_the_time() -> None:
    meter, heard = Meter(), Heard()
    meter.tell(heard, 1.0, 0, 2, idle=False)
    meter.busy = False
    meter.tell(heard, 2.0, 0, 2, idle=False)
    meter.tell(heard, 3.0, 0, 2, idle=True)
    meter.tell(heard, 4.0, 0, 2, idle=False)
    meter.tell(heard, 5.0, 0, 2, idle=False)
    assert [busy for *_, busy in heard.told] == [False, False, False, True]
