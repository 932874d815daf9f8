"""How the sessions of one account are shared: by a clock of the test's own, and without a loop where nothing waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_mirror.crew.broker import SLICE_S, Broker, Share
from async_mirror.crew.cap import Climb, FixedCap


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def broker(clock: Clock) -> Broker:
    return Broker(clock)


def taking(share: Share, number: int = 1) -> None:
    """Take permits that are there at once."""

    async def take() -> None:
        async with asyncio.timeout(0.01):
            for _ in range(number):
                await share.acquire()

    asyncio.run(take())


def waiting(share: Share) -> Callable[[], bool]:
    """Ask for a permit, and return what tells whether it was lent."""
    lent: list[bool] = []
    share._lender.ask(share, lambda: lent.append(True))
    return lambda: bool(lent)


def test_one_alone_has_all_that_its_cap_allows(broker: Broker) -> None:
    share = broker.share("site", FixedCap(4))
    assert share.lanes == 4
    taking(share, 4)
    assert share.lanes == 4
    assert not waiting(share)()


def test_keys_have_nothing_to_do_with_each_other(broker: Broker) -> None:
    one, other = broker.share("one", FixedCap(2)), broker.share("other", FixedCap(2))
    taking(one, 2)
    taking(other, 2)
    assert one.lanes == other.lanes == 2


def test_who_waits_gets_the_permit_that_is_given_back(broker: Broker) -> None:
    one, other = broker.share("site", FixedCap(2)), broker.share("site", FixedCap(2))
    taking(one, 2)
    is_lent = waiting(other)
    assert not is_lent()
    assert one.lanes == 1
    one.release()
    assert is_lent()


def test_who_has_least_comes_first(broker: Broker) -> None:
    one, other, third = (broker.share("site", FixedCap(3)) for _ in range(3))
    taking(one, 2)
    taking(other)
    has_more, has_none = waiting(other), waiting(third)
    one.release()
    assert (has_more(), has_none()) == (False, True)


def test_the_only_permit_goes_round_by_slices(broker: Broker, clock: Clock) -> None:
    one, other = broker.share("site", FixedCap(1)), broker.share("site", FixedCap(1))
    taking(one)
    is_lent = waiting(other)
    assert one.lanes == 1
    clock.now += SLICE_S
    assert one.lanes == 0
    one.release()
    assert is_lent()
    back = waiting(one)
    assert (one.lanes, other.lanes) == (1, 1)
    clock.now += SLICE_S
    assert other.lanes == 0
    other.release()
    assert back()


def test_who_has_more_than_its_part_makes_room_and_nobody_else(broker: Broker, clock: Clock) -> None:
    one, other, third = (broker.share("site", FixedCap(4)) for _ in range(3))
    taking(one, 3)
    taking(other)
    waiting(third)
    clock.now += SLICE_S
    assert (one.lanes, other.lanes) == (2, 1)


def test_of_what_is_busy_each_has_its_part(broker: Broker) -> None:
    one, other = broker.share("site", FixedCap(8)), broker.share("site", FixedCap(8))
    taking(one, 7)
    taking(other)
    other.measured(0.5, 10, 0, 1, busy=True)
    assert one.lanes == 4
    other.measured(0.5, 10, 0, 1, busy=False)
    assert one.lanes == 7


def test_a_refusal_lowers_what_all_may_have(broker: Broker) -> None:
    one, other = broker.share("site", FixedCap(8)), broker.share("site", FixedCap(8))
    taking(one, 3)
    taking(other)
    other.lower(0)
    other.release()
    assert one.lanes == 3
    assert not waiting(other)()
    one.release()
    one.release()
    one.release()
    taking(one, 2)


def test_a_refusal_is_forgotten_once_nobody_has_any(broker: Broker) -> None:
    one = broker.share("site", FixedCap(8))
    taking(one)
    one.lower(1)
    one.release()
    assert one.lanes == 1  # its own cap remembers
    assert broker.share("site", FixedCap(8)).lanes == 8


def test_the_larger_cap_is_that_of_all_and_each_keeps_to_its_own(broker: Broker) -> None:
    small, large = broker.share("site", FixedCap(2)), broker.share("site", FixedCap(6))
    taking(small, 2)
    assert small.lanes == 2
    taking(large, 4)
    assert not waiting(large)()


def test_all_climb_together(broker: Broker) -> None:
    caps = Climb(16), Climb(16)
    one, other = (broker.share("site", cap) for cap in caps)
    taking(one)
    taking(other)
    for _ in range(4):
        for share in (one, other):
            share.measured(0.5, 50, 0, 1, busy=True)
    assert caps[0].found == 2
    assert caps[0].lanes == 3
    assert caps[1].found == 0


def test_who_gives_up_waiting_takes_no_permit(broker: Broker) -> None:
    async def give_up() -> None:
        one, other = broker.share("site", FixedCap(1)), broker.share("site", FixedCap(1))
        await one.acquire()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await other.acquire()
        one.release()
        assert (one.lent, other.lent, other.waiting) == (0, 0, 0)
        async with asyncio.timeout(1):
            await one.acquire()

    asyncio.run(give_up())


steps = st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["ask", "give", "lower", "later", "short"])), max_size=60)


@given(st.integers(1, 5), steps)
def test_never_more_are_lent_than_may_be_and_none_is_kept_from_who_waits(
    most: int, steps: list[tuple[int, str]]
) -> None:
    clock = Clock()
    broker = Broker(clock)
    shares = [broker.share("site", FixedCap(most)) for _ in range(4)]
    lender = shares[0]._lender
    for number, step in steps:
        share = shares[number]
        match step:
            case "ask":
                waiting(share)
            case "give" if share.lent:
                share.release()
            case "lower" if share.lent > 1:
                share.lower(share.lent - 1)
            case "later":
                clock.now += SLICE_S
            case "short":
                share.measured(0.5, 1, 1, share.lent, busy=True)
        limit = lender._most(lender._cap or FixedCap(most))
        assert step == "lower" or lender.lent <= most
        if any(each.waiting for each in shares):
            assert lender.lent >= limit
        starving = [each for each in shares if each.waiting and not each.lent]
        if starving and lender.lent <= limit:
            clock.now += SLICE_S
            assert any(each.lanes < each.lent for each in shares if each.lent)
