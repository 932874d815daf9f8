"""How fast bytes may leave, on a clock that the tests turn."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_mirror.jobs.bandwidth import LONGEST_PIECE, Pace

RATES = st.floats(1000, 1e9)


def test_without_a_limit_nothing_waits() -> None:
    pace = Pace()
    assert pace.piece == 0
    assert pace.wait_for(10**12, 5.0) == 0
    assert pace.wait_for(10**12, 5.0) == 0


@pytest.mark.parametrize("lanes", [1, 8])
def test_ten_seconds_bring_what_the_limit_says(lanes: int) -> None:
    rate = 5_000_000.0
    pace = Pace(rate)
    free_at = [100.0] * lanes
    sent = 0
    while min(free_at) < 110:
        lane = free_at.index(min(free_at))
        free_at[lane] += pace.wait_for(pace.piece, free_at[lane])
        sent += pace.piece * (free_at[lane] < 110)
    assert sent / 10 == pytest.approx(rate, rel=0.02)


@given(rate=RATES, steps=st.lists(st.tuples(st.integers(0, LONGEST_PIECE), st.floats(0, 3)), min_size=1, max_size=50))
def test_no_stretch_of_time_ever_brings_more_than_the_limit(rate: float, steps: list[tuple[int, float]]) -> None:
    pace = Pace(rate)
    now = 1000.0
    left: list[tuple[float, int]] = []
    for amount, pause in steps:
        left.append((now + pace.wait_for(amount, now), amount))
        now += pause
    for index, (begin, _) in enumerate(left):
        for last in range(index, len(left)):
            brought = sum(amount for _, amount in left[index:last])
            assert brought <= rate * (left[last][0] - begin + 0.1) * (1 + 1e-6) + 1e-3


@given(rate=RATES)
def test_pieces_are_small_enough_for_an_even_flow(rate: float) -> None:
    assert 1 <= Pace(rate).piece <= max(512, min(LONGEST_PIECE, rate / 10))
