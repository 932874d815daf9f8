"""Sessions that one crew leaves for the next: no more than there may be, and none that is of no use."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from async_mirror.crew.broker import Broker, Share
from async_mirror.crew.cap import FixedCap
from async_mirror.crew.parking import MOST, Parking
from async_mirror.multi import beside

LONGEST_S = 30.0
FOR_EVER_S = 3600.0


@dataclass(eq=False)
class Seat:
    """A session that is of use until it is closed, or somebody says otherwise."""

    usable: bool = True
    is_lost: bool = False
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    async def close(self) -> None:
        self.closed.set()


async def is_of_use(seat: Seat) -> bool:
    return not seat.is_lost


Act = Callable[[Parking[Seat], Callable[[], Share]], Awaitable[None]]


def run(act: Act, permits: int = 3, longest_s: float = FOR_EVER_S) -> None:
    """Do something with a parking that runs; each share is of the same permits."""

    async def main() -> None:
        broker = Broker()
        parking: Parking[Seat] = Parking(is_of_use, longest_s)
        async with asyncio.timeout(LONGEST_S), beside() as start:
            start(parking.run())
            await asyncio.sleep(0)
            await act(parking, lambda: broker.share("account", FixedCap(permits)))

    asyncio.run(main())


async def left(parking: Parking[Seat], share: Share) -> Seat:
    """Leave a session, as a crew does at its end."""
    await share.acquire()
    seat = Seat()
    assert parking.takes(seat, share)
    parking.leave(seat, share)
    return seat


def test_a_session_that_was_left_is_taken_with_its_permit() -> None:
    async def act(parking: Parking[Seat], share: Callable[[], Share]) -> None:
        seat = await left(parking, share())
        mine, other = share(), share()
        assert await parking.take(mine) is seat
        assert await parking.take(mine) is None
        assert (mine.lent, mine.lent_to_others) == (1, 0)
        await other.acquire()
        assert mine.lent_to_others == 1

    run(act)


def test_a_session_that_was_lost_meanwhile_is_closed_and_its_permit_is_free() -> None:
    async def act(parking: Parking[Seat], share: Callable[[], Share]) -> None:
        seat = await left(parking, share())
        seat.is_lost = True
        mine = share()
        assert await parking.take(mine) is None
        assert seat.closed.is_set()
        assert (mine.lent, mine.lent_to_others) == (0, 0)
        await mine.acquire()

    run(act, permits=1)


def test_where_a_permit_is_waited_for_a_session_that_is_only_kept_makes_room() -> None:
    async def act(parking: Parking[Seat], share: Callable[[], Share]) -> None:
        seat = await left(parking, share())
        other = share()
        await other.acquire()
        assert seat.closed.is_set()
        assert (other.lent, other.lent_to_others) == (1, 0)
        assert parking.takes(Seat(), other)

    run(act, permits=1)


def test_nothing_is_left_while_others_wait_for_a_permit() -> None:
    async def act(parking: Parking[Seat], share: Callable[[], Share]) -> None:
        mine, other = share(), share()
        await mine.acquire()
        async with beside() as start:
            start(_acquire(other))
            await asyncio.sleep(0)
            assert mine.is_wanted
            assert not parking.takes(Seat(), mine)
            mine.release()

    run(act, permits=1)


async def _acquire(share: Share) -> None:
    await share.acquire()


def test_what_nobody_takes_is_closed_in_time_and_all_at_the_end() -> None:
    seats: list[Seat] = []

    async def act(parking: Parking[Seat], share: Callable[[], Share]) -> None:
        mine = share()
        seats.append(await left(parking, mine))
        await seats[0].closed.wait()
        await mine.acquire()

    async def leave_one(parking: Parking[Seat], share: Callable[[], Share]) -> None:
        seats.append(await left(parking, share()))

    run(act, permits=1, longest_s=0.01)
    run(leave_one)
    assert seats[1].closed.is_set()


def test_only_so_many_are_kept_and_none_that_is_broken_or_when_nothing_runs() -> None:
    async def act(parking: Parking[Seat], share: Callable[[], Share]) -> None:
        mine = share()
        assert not parking.takes(Seat(usable=False), mine)
        for _ in range(MOST):
            await left(parking, mine)
        assert not parking.takes(Seat(), mine)

    run(act)
    assert not Parking[Seat](is_of_use).takes(Seat(), Broker().share("account", FixedCap(1)))


def test_sessions_that_are_kept_leave_as_many_lanes_as_without() -> None:
    async def act(parking: Parking[Seat], share: Callable[[], Share]) -> None:
        first = share()
        await left(parking, first)
        await left(parking, first)
        mine = share()
        assert mine.lanes == 3
        await parking.take(mine)
        assert mine.lanes == 3

    run(act)
