"""Lanes, sessions and items, with toys for all three: no site, no file, no clock."""

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.toys import Fatal, Judge, Refused, Trouble

from async_mirror.crew.cap import FixedCap
from async_mirror.crew.ledger import EXCUSES
from async_mirror.crew.mode import MOST_LANES, Mode
from async_mirror.crew.patience import Patience
from async_mirror.crew.stop import Stop
from async_mirror.crew.work import Finished, Performed, Progress, Terms, Verdict
from async_mirror.multi import ROOM_PER_LANE, Crew, Offload, beside, run, stream

pytestmark = pytest.mark.smoke

T = TypeVar("T")
AT_ONCE = Patience(retries=5, first_seconds=0.0)
NEVER = Patience(retries=5, first_seconds=1000.0, most_seconds=1000.0)
A1, A2, A8, SERIAL = Mode("A", 1), Mode("A", 2), Mode("A", 8), Mode("S", 1)


# The toys.


@dataclass(eq=False)
class ToySession:
    toy: "Toy"
    usable: bool = True
    closed: bool = False
    under_way: int = 0
    most_under_way: int = 0
    performed: list[int] = field(default_factory=list)

    async def close(self) -> None:
        assert not self.closed
        await self.toy.closing(self)
        self.closed = True
        self.toy.now_open -= 1


Work = Callable[[ToySession, int, str | None, Progress], Awaitable[Performed[str]]]


async def at_once(session: ToySession, item: int, previous: str | None, progress: Progress) -> Performed[str]:
    await asyncio.sleep(0)
    return Performed(f"did {item}")


async def welcome(toy: "Toy") -> None:
    await asyncio.sleep(0)


async def farewell(session: ToySession) -> None:
    await asyncio.sleep(0)


class Toy(Judge):
    """The hands of a crew, that write down all that they are asked for."""

    def __init__(
        self,
        work: Work = at_once,
        opening: Callable[["Toy"], Awaitable[None]] = welcome,
        closing: Callable[[ToySession], Awaitable[None]] = farewell,
    ) -> None:
        self.work = work
        self.opening = opening
        self.closing = closing
        self.tries = 0
        self.now_open = 0
        self.most_open = 0
        self.sessions: list[ToySession] = []
        self.begun: dict[int, list[str | None]] = {}
        self.cut: list[int] = []
        self.faults: list[str] = []

    async def open(self) -> ToySession:
        self.tries += 1
        await self.opening(self)
        session = ToySession(self)
        self.sessions.append(session)
        self.now_open += 1
        self.most_open = max(self.most_open, self.now_open)
        return session

    async def perform(self, session: ToySession, item: int, previous: str | None, progress: Progress) -> Performed[str]:
        if session.closed:
            self.faults.append(f"{item} on a closed session")
        self.begun.setdefault(item, []).append(previous)
        session.performed.append(item)
        session.under_way += 1
        session.most_under_way = max(session.most_under_way, session.under_way)
        try:
            return await self.work(session, item, previous, progress)
        except asyncio.CancelledError:
            self.cut.append(item)
            raise
        finally:
            session.under_way -= 1


ToyCrew = Crew[ToySession, int, str]


class Source:
    """Items from 0 up, that are counted as they are taken; `after` happens when they are all gone."""

    def __init__(self, count: int, after: Callable[[], Awaitable[None]] | None = None) -> None:
        self.count = count
        self.after = after
        self.taken: list[int] = []
        self.closed = False

    async def items(self) -> AsyncGenerator[int, None]:
        try:
            for item in range(self.count):
                self.taken.append(item)
                yield item
            if self.after is not None:
                await self.after()
        finally:
            self.closed = True


def play(scenario: Coroutine[Any, Any, T]) -> T:
    """Run a scenario to its end: a hang is a failure, and so is a task that outlives it."""

    async def bounded() -> T:
        try:
            async with asyncio.timeout(10):
                return await scenario
        finally:
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left, left

    return asyncio.run(bounded())


def a_crew(
    toy: Toy,
    mode: Mode = A8,
    patience: Patience = AT_ONCE,
    *,
    stop: Stop | None = None,
    limit: int | None = None,
    grace_seconds: float = 1000.0,
) -> ToyCrew:
    cap = FixedCap(min(mode.lanes, limit or mode.lanes))
    return Crew(toy, mode, stop or Stop(), patience, cap=cap, terms=Terms(grace_seconds=grace_seconds))


async def all_done(crew: ToyCrew, source: Source, overlap: int = 1) -> list[Finished[int, str]]:
    """Return what became of all items, in the order in which they ended."""
    ended: list[Finished[int, str]] = []
    async with crew:
        async for batch in crew.run(source.items(), overlap):
            assert batch
            ended.extend(batch)
    assert source.closed
    return ended


async def hang() -> None:
    await asyncio.Event().wait()


async def spin(times: int = 200) -> None:
    """Let everything that can go on go on."""
    for _ in range(times):
        await asyncio.sleep(0)


def other_tasks() -> set["asyncio.Task[Any]"]:
    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}


def results_of(ended: Iterable[Finished[int, str]]) -> dict[int, str | None]:
    return {done.item: done.result for done in ended}


# Modes and patience.


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("A", Mode("A", 0)),
        ("a", Mode("A", 0)),
        ("a8", Mode("A", 8)),
        ("A1", Mode("A", 1)),
        (" A32 ", Mode("A", 32)),
        ("A256", Mode("A", MOST_LANES)),
        ("t4", Mode("T", 4)),
        ("P6", Mode("P", 6)),
        ("T", Mode("T", os.cpu_count() or 1)),
        ("p", Mode("P", os.cpu_count() or 1)),
        ("S", Mode("S", 1)),
        ("s", Mode("S", 1)),
    ],
)
def test_a_mode_is_read_and_written(text: str, mode: Mode) -> None:
    assert Mode.parse(text) == mode
    assert Mode.parse(str(mode)) == mode


@pytest.mark.parametrize(
    "text", ["A0", "A257", "A-1", "A1.5", "A 8", "8", "8A", "S1", "S2", "X", "AS", "", " ", "A8\n9", "T0", "P257", "TP"]
)
def test_what_is_no_mode_is_refused_with_one_line_that_says_what_is(text: str) -> None:
    with pytest.raises(ValueError, match=r"invalid mode .*: use A .* or S ") as caught:
        Mode.parse(text)
    assert "\n" not in str(caught.value)
    assert repr(text) in str(caught.value)


@given(st.integers(1, 100))
def test_serial_overlaps_nothing_whatever_is_wanted(wanted: int) -> None:
    assert SERIAL.overlap(wanted) == 1
    assert A8.overlap(wanted) == wanted


@given(st.integers(1, 10_000), st.floats(0, 100), st.floats(0, 100))
def test_a_pause_doubles_up_to_a_limit_and_has_jitter(attempt: int, first: float, most: float) -> None:
    longest = min(most, first * 2 ** min(attempt - 1, 20))
    assert longest / 2 <= Patience(5, first, most).pause(attempt) <= longest


# What became of an item.


def test_done_tells_a_result_an_error_and_an_item_that_nobody_began() -> None:
    assert not Finished(1, "did").unbegun
    assert not Finished(1, None, "interrupted").unbegun
    assert not Finished(1, "did", "interrupted").unbegun
    assert Finished(1, None).unbegun


@pytest.mark.parametrize("mode", [SERIAL, A1, A8])
def test_all_items_are_performed_once(mode: Mode) -> None:
    toy, source = Toy(), Source(1000)
    ended = play(all_done(a_crew(toy, mode), source, 2))
    assert sorted(ended) == [Finished(item, f"did {item}") for item in range(1000)]
    assert all(previous == [None] for previous in toy.begun.values())
    assert len(toy.sessions) == toy.most_open == mode.lanes
    assert all(session.closed for session in toy.sessions)


def test_serial_performs_in_order() -> None:
    ended = play(all_done(a_crew(Toy(), SERIAL), Source(100), 8))
    assert [done.item for done in ended] == list(range(100))


def test_no_items_open_no_session() -> None:
    toy = Toy()
    assert play(all_done(a_crew(toy), Source(0))) == []
    assert toy.tries == 0


def test_a_crew_that_is_never_used_opens_no_session() -> None:
    async def scenario() -> None:
        async with a_crew(Toy()):
            pass

    play(scenario())


def test_few_items_open_few_sessions() -> None:
    toy = Toy()
    play(all_done(a_crew(toy), Source(2)))
    assert toy.tries <= 2


def test_items_that_come_one_by_one_need_one_session() -> None:
    toy = Toy()

    async def scenario() -> None:
        ended = asyncio.Event()

        async def items() -> AsyncGenerator[int, None]:
            for item in range(10):
                ended.clear()
                yield item
                await ended.wait()

        async with a_crew(toy) as crew:
            async for _ in crew.run(items()):
                await spin()
                ended.set()

    play(scenario())
    assert toy.tries == 1
    assert toy.sessions[0].performed == list(range(10))


def test_a_crew_performs_one_run_after_the_other_on_the_same_sessions() -> None:
    toy = Toy()

    async def scenario() -> list[int]:
        items = []
        async with a_crew(toy, A2) as crew:
            for count in (50, 0, 70):
                ended = [done async for batch in crew.run(Source(count).items(), 2) for done in batch]
                items.append(len(ended))
            assert crew.door.opened == crew.door.most_open == 2
        return items

    assert play(scenario()) == [50, 0, 70]
    assert toy.tries == 2


def test_a_limit_lowers_the_cap_and_never_raises_it() -> None:
    async def caps() -> list[int]:
        return [a_crew(Toy(), A8, limit=limit).door.limits.lanes for limit in (None, 3, 8, 9, 1, 0)]

    assert play(caps()) == [8, 3, 8, 8, 1, 8]


def test_a_limit_bounds_the_open_sessions() -> None:
    toy = Toy()
    play(all_done(a_crew(toy, limit=3), Source(100)))
    assert toy.most_open == 3


class NotingCap(FixedCap):
    """Writes down what it is told, and lets a test wait until that is so much."""

    def __init__(self, lanes: int, enough: int) -> None:
        super().__init__(lanes)
        self.enough = enough
        self.told: list[tuple[int, int, int, bool]] = []
        self.told_enough = asyncio.Event()

    def measured(self, seconds: float, items: int, amount: int, lanes: int, *, busy: bool) -> None:
        self.told.append((items, amount, lanes, busy))
        if len(self.told) == self.enough:
            self.told_enough.set()


def test_cap_is_told_what_the_open_sessions_brought() -> None:
    async def scenario() -> None:
        cap = NotingCap(2, enough=1)
        all_there = asyncio.Event()

        async def say_all_there() -> None:
            all_there.set()

        async def work(session: ToySession, item: int, previous: str | None, progress: Progress) -> Performed[str]:
            await all_there.wait()
            progress.advanced(10)
            if item in {40, 41}:
                await cap.told_enough.wait()
            return Performed("fine")

        await all_done(Crew(Toy(work), A2, Stop(), AT_ONCE, cap=cap), Source(60, after=say_all_there))
        assert cap.told == [(40, 420, 2, True)]

    play(scenario())


def test_time_in_which_a_lane_had_nothing_to_do_is_not_called_busy() -> None:
    async def scenario() -> None:
        cap = NotingCap(2, enough=3)

        async def work(session: ToySession, item: int, previous: str | None, progress: Progress) -> Performed[str]:
            if item == 0:
                await cap.told_enough.wait()
            return Performed("fine")

        await all_done(Crew(Toy(work), A2, Stop(), AT_ONCE, cap=cap), Source(3))
        assert [busy for *_, busy in cap.told] == [False] * 3

    play(scenario())


# Trying again.


async def never_good(session: ToySession, item: int, previous: str | None, progress: Progress) -> Performed[str]:
    await asyncio.sleep(0)
    return Performed(f"{previous or 'tried'}!", again=True)


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_retries_stop_when_patience_is_over_and_each_sees_the_result_before(retries: int) -> None:
    toy = Toy(never_good)
    ended = play(all_done(a_crew(toy, A2, Patience(retries, 0.0)), Source(3)))
    assert results_of(ended) == dict.fromkeys(range(3), "tried" + "!" * (retries + 1))
    seen = [None, *("tried" + "!" * count for count in range(1, retries + 1))]
    assert toy.begun == dict.fromkeys(range(3), seen)


@pytest.mark.parametrize("retries", [0, 2])
def test_excused_attempts_come_before_those_that_count_and_are_not_endless(retries: int) -> None:
    async def work(session: ToySession, item: int, previous: str | None, progress: Progress) -> Performed[str]:
        return Performed(f"{previous or 'tried'}!", again=True, excused=True)

    toy = Toy(work)
    ended = play(all_done(a_crew(toy, A2, Patience(retries, 0.0)), Source(3)))
    assert results_of(ended) == dict.fromkeys(range(3), "tried" + "!" * (EXCUSES + 1 + retries))


def test_crowded_sessions_become_fewer_and_no_item_fails_for_that() -> None:
    async def work(session: ToySession, item: int, previous: str | None, progress: Progress) -> Performed[str]:
        await asyncio.sleep(0)
        crowded = session.toy.now_open > 2
        session.usable = not crowded
        return Performed("crowded" if crowded else "fine", again=crowded, crowded=crowded)

    async def scenario() -> None:
        crew = a_crew(Toy(work), A8, Patience(0, 0.0))
        ended = await all_done(crew, Source(200))
        assert {done.result for done in ended} == {"fine"}
        assert crew.door.refused
        assert crew.door.limits.lanes <= 2

    play(scenario())


def test_an_item_that_rests_holds_up_nobody() -> None:
    done_by_others = asyncio.Event()

    async def work(session: ToySession, item: int, previous: str | None, progress: Progress) -> Performed[str]:
        if item == 9:
            done_by_others.set()
        if item == 0 and not done_by_others.is_set():
            return Performed("too early", again=True)
        return Performed("fine")

    ended = play(all_done(a_crew(Toy(work), A1, Patience(1, 0.01)), Source(10)))
    assert [done.item for done in ended] == [*range(1, 10), 0]
    assert {done.result for done in ended} == {"fine"}


def test_an_exception_becomes_a_result_and_the_session_goes_on() -> None:
    async def work(session: ToySession, item: int, previous: str | None, progress: Progress) -> Performed[str]:
        await asyncio.sleep(0)
        if item % 2:
            raise Trouble(f"with {item}")
        return Performed("fine")

    toy = Toy(work)
    ended = play(all_done(a_crew(toy, A1), Source(4)))
    assert ended == [
        Finished(0, "fine"),
        Finished(1, None, "Trouble: with 1"),
        Finished(2, "fine"),
        Finished(3, None, "Trouble: with 3"),
    ]
    assert toy.tries == 1


def test_an_exception_in_a_later_attempt_keeps_the_result_of_the_one_before() -> None:
    async def work(session: ToySession, item: int, previous: str | None, progress: Progress) -> Performed[str]:
        if previous:
            raise Trouble("again")
        return Performed("half", again=True)

    assert play(all_done(a_crew(Toy(work)), Source(1))) == [Finished(0, "half", "Trouble: again")]


# Overlap.


async def overlaps(mode: Mode, overlap: int, *, leaves: bool) -> Toy:
    """Perform items that all wait for as many to be under way on their session as are allowed, or for a while."""
    wanted = mode.overlap(overlap) if leaves else 1

    async def work(session: ToySession, item: int, previous: str | None, progress: Progress) -> Performed[str]:
        if leaves:
            progress.left()
        for _ in range(50):
            if session.most_under_way >= wanted:
                break
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        return Performed("fine")

    toy = Toy(work)
    await all_done(a_crew(toy, mode), Source(40), overlap)
    return toy


@pytest.mark.parametrize("overlap", [1, 2, 5])
def test_left_lets_the_next_item_begin_up_to_the_overlap(overlap: int) -> None:
    toy = play(overlaps(A2, overlap, leaves=True))
    assert [session.most_under_way for session in toy.sessions] == [overlap, overlap]


def test_without_left_the_next_item_waits() -> None:
    toy = play(overlaps(A2, 5, leaves=False))
    assert [session.most_under_way for session in toy.sessions] == [1, 1]


def test_serial_never_overlaps_whatever_is_wanted() -> None:
    toy = play(overlaps(SERIAL, 5, leaves=True))
    assert [session.most_under_way for session in toy.sessions] == [1]


def test_the_next_item_begins_as_soon_as_left_is_called_and_not_before() -> None:
    begun = {item: asyncio.Event() for item in range(2)}
    order = []

    async def work(session: ToySession, item: int, previous: str | None, progress: Progress) -> Performed[str]:
        begun[item].set()
        order.append(f"{item} begins")
        if item == 0:
            await spin(20)
            order.append("0 leaves")
            progress.left()
            await begun[1].wait()
        order.append(f"{item} ends")
        return Performed("fine")

    play(all_done(a_crew(Toy(work), A1), Source(2), 2))
    assert order[:3] == ["0 begins", "0 leaves", "1 begins"]


class Particular(Toy):
    """Hands of which one item wants a session for itself."""

    def __init__(self, work: Work, lone: int) -> None:
        super().__init__(work)
        self.lone = lone

    def clash(self, item: int, other: int) -> bool:
        return self.lone in (item, other)


@pytest.mark.parametrize("lone", [1, 2, 7])
def test_lone_item_begins_on_a_session_where_nothing_is_under_way_and_keeps_it_for_itself(lone: int) -> None:
    beside = []

    async def work(session: ToySession, item: int, previous: str | None, progress: Progress) -> Performed[str]:
        progress.left()
        if item == lone:
            beside.append(session.under_way)
            await spin()
            beside.append(session.under_way)
        else:
            await spin(10)
        return Performed("fine")

    toy = Particular(work, lone=lone)
    ended = play(all_done(a_crew(toy, A2), Source(40), 2))
    assert len(ended) == 40
    assert beside == [1, 1]


def test_lone_item_goes_to_a_lane_that_is_free_while_another_is_busy_for_long() -> None:
    release = asyncio.Event()

    async def work(session: ToySession, item: int, previous: str | None, progress: Progress) -> Performed[str]:
        progress.left()
        if item == 0:
            await release.wait()
        if item == 29:
            release.set()
        await spin(3)
        return Performed("fine")

    order = [each.item for each in play(all_done(a_crew(Particular(work, lone=1), A2), Source(30), 2))]
    assert order.index(1) < order.index(29)
    assert sorted(order) == list(range(30))


def test_lone_item_that_waits_when_the_stop_comes_ends_unbegun() -> None:
    stop = Stop()

    async def work(session: ToySession, item: int, previous: str | None, progress: Progress) -> Performed[str]:
        progress.left()
        await spin(20)
        stop.request()
        return Performed("fine")

    ended = play(all_done(a_crew(Particular(work, lone=1), A1, stop=stop), Source(2), 2))
    assert {each.item: each.unbegun for each in ended} == {0: False, 1: True}


def test_left_may_be_called_twice_and_too_late() -> None:
    kept: list[Callable[[], None]] = []

    async def work(session: ToySession, item: int, previous: str | None, progress: Progress) -> Performed[str]:
        progress.left()
        progress.left()
        for each in kept:
            each()
        kept.append(progress.left)
        await spin(10)
        return Performed("fine")

    toy = Toy(work)
    assert len(play(all_done(a_crew(toy, A1), Source(20), 2))) == 20
    assert toy.sessions[0].most_under_way == 2


# Back-pressure.


@pytest.mark.parametrize("mode", [SERIAL, A2])
def test_items_are_taken_only_as_far_as_there_is_room_while_nobody_looks_at_the_results(mode: Mode) -> None:
    toy, source = Toy(), Source(1000)

    async def scenario() -> int:
        count = 0
        async with a_crew(toy, mode) as crew, aclosing(crew.run(source.items(), 2)) as batches:
            count += len(await anext(batches))
            await spin(5000)
            assert len(source.taken) <= mode.lanes * ROOM_PER_LANE
            async for batch in batches:
                count += len(batch)
                assert len(source.taken) <= count + mode.lanes * ROOM_PER_LANE
        return count

    assert play(scenario()) == 1000


# Sessions that cannot be had, and sessions that break.


@pytest.mark.parametrize("mode", [SERIAL, A1, A8, Mode("A", 256)])
def test_a_fatal_first_open_is_tried_once_and_every_item_ends_unbegun(mode: Mode) -> None:
    error = Fatal("530 wrong password")

    async def opening(toy: Toy) -> None:
        await spin(5)
        raise error

    async def scenario() -> None:
        toy, source = Toy(opening=opening), Source(10_000)
        crew = a_crew(toy, mode)
        ended = await all_done(crew, source, 2)
        assert toy.tries == 1
        assert crew.door.failure is error
        assert crew.door.opened == crew.door.most_open == 0
        assert Counter(done.item for done in ended) == Counter(source.taken)
        assert all(done.unbegun for done in ended)
        assert len(source.taken) <= mode.lanes * ROOM_PER_LANE

    play(scenario())


def test_a_first_open_that_never_works_is_given_up_and_loses_no_item() -> None:
    async def opening(toy: Toy) -> None:
        await asyncio.sleep(0)
        raise ConnectionError(f"try {toy.tries}")

    async def scenario() -> None:
        toy, source = Toy(opening=opening), Source(100)
        crew = a_crew(toy, A8, Patience(3, 0.0))
        ended = await all_done(crew, source)
        assert isinstance(crew.door.failure, ConnectionError)
        assert sorted(done.item for done in ended) == source.taken
        assert all(done.unbegun for done in ended)
        assert 4 <= toy.tries <= 8 * 4

    play(scenario())


def test_a_first_open_that_works_in_the_end_is_no_failure() -> None:
    async def opening(toy: Toy) -> None:
        await asyncio.sleep(0)
        if toy.tries <= 3:
            raise ConnectionError

    async def scenario() -> None:
        toy = Toy(opening=opening)
        crew = a_crew(toy, A8, Patience(3, 0.0))
        assert len(await all_done(crew, Source(100))) == 100
        assert crew.door.failure is None
        assert crew.door.limits.lanes == 8

    play(scenario())


@pytest.mark.parametrize(("seconds", "tries"), [(0.0, 2), (60.0, 21)])
def test_a_server_that_is_away_is_tried_again_for_as_long_as_that_is_asked_for(seconds: float, tries: int) -> None:
    async def opening(toy: Toy) -> None:
        await asyncio.sleep(0)
        if toy.tries <= 20:
            raise ConnectionError(f"try {toy.tries}")

    async def scenario() -> None:
        toy, source = Toy(opening=opening), Source(1)
        crew = a_crew(toy, Mode.parse("S"), Patience(1, 0.0, retry_for_seconds=seconds))
        ended = await all_done(crew, source)
        assert toy.tries == tries
        assert (crew.door.failure is None) is bool(seconds)
        assert [done.unbegun for done in ended] == [not seconds]

    play(scenario())


def test_what_cannot_get_better_is_not_tried_again_however_long_that_is_asked_for() -> None:
    async def opening(toy: Toy) -> None:
        raise Fatal

    async def scenario() -> None:
        toy = Toy(opening=opening)
        crew = a_crew(toy, Mode.parse("S"), Patience(5, 0.0, retry_for_seconds=3600.0))
        await all_done(crew, Source(1))
        assert toy.tries == 1

    play(scenario())


def test_the_first_session_is_opened_alone_and_the_others_together() -> None:
    alone: list[int] = []
    together = asyncio.Event()

    async def opening(toy: Toy) -> None:
        if toy.tries == 8:
            together.set()
        if not toy.sessions:
            await spin(20)
            alone.append(toy.tries)
        else:
            await together.wait()

    toy = Toy(slowly, opening)
    assert len(play(all_done(a_crew(toy), Source(100)))) == 100
    assert alone == [1]
    assert toy.most_open == 8


def a_site_for(sessions: int) -> Callable[[Toy], Awaitable[None]]:
    async def opening(toy: Toy) -> None:
        await asyncio.sleep(0)
        if toy.now_open >= sessions:
            raise Refused("421 too many connections")

    return opening


async def slowly(session: ToySession, item: int, previous: str | None, progress: Progress) -> Performed[str]:
    await spin(10)
    return Performed("fine")


@pytest.mark.parametrize("allowed", [1, 3, 7])
def test_refused_opens_shrink_the_cap_to_what_the_site_allows_and_lose_nothing(allowed: int) -> None:
    async def scenario() -> None:
        toy = Toy(slowly, a_site_for(allowed))
        crew = a_crew(toy)
        ended = await all_done(crew, Source(300))
        assert results_of(ended) == dict.fromkeys(range(300), "fine")
        assert toy.most_open == crew.door.limits.lanes == allowed
        assert crew.door.refused
        assert crew.door.failure is None
        assert toy.tries <= 8

    play(scenario())


def test_a_site_that_refuses_nobody_leaves_the_cap_as_it_is() -> None:
    async def scenario() -> None:
        crew = a_crew(Toy(slowly, a_site_for(8)))
        await all_done(crew, Source(300))
        assert crew.door.limits.lanes == crew.door.most_open == 8
        assert not crew.door.refused

    play(scenario())


def test_a_site_that_refuses_everybody_is_a_failure_in_the_end() -> None:
    async def scenario() -> None:
        crew = a_crew(Toy(opening=a_site_for(0)), patience=Patience(2, 0.0))
        ended = await all_done(crew, Source(20))
        assert isinstance(crew.door.failure, Refused)
        assert all(done.unbegun for done in ended)

    play(scenario())


def test_a_session_that_broke_is_closed_before_another_is_opened() -> None:
    async def work(session: ToySession, item: int, previous: str | None, progress: Progress) -> Performed[str]:
        await asyncio.sleep(0)
        session.usable = False
        return Performed("lost it", again=previous is None)

    toy = Toy(work)
    ended = play(all_done(a_crew(toy, A1), Source(5)))
    assert len(ended) == 5
    assert toy.tries == 10
    assert toy.most_open == 1
    assert not toy.faults


def test_a_session_that_broke_is_closed_only_when_nothing_is_under_way_on_it() -> None:
    second_begun, third_taken = asyncio.Event(), asyncio.Event()
    under_way_at_close = []

    async def work(session: ToySession, item: int, previous: str | None, progress: Progress) -> Performed[str]:
        progress.left()
        if item == 0:
            await second_begun.wait()
            session.usable = False
        elif item == 1:
            second_begun.set()
            await third_taken.wait()
            await spin(20)
        return Performed("fine")

    async def closing(session: ToySession) -> None:
        under_way_at_close.append(session.under_way)

    async def say_third() -> None:
        third_taken.set()

    toy = Toy(work, closing=closing)
    assert len(play(all_done(a_crew(toy, A1), Source(3, after=say_third), 2))) == 3
    assert under_way_at_close == [0, 0]
    assert [session.performed for session in toy.sessions] == [[0, 1], [2]]


def test_a_lane_that_had_a_session_waits_for_its_place_when_it_is_refused_once() -> None:
    async def opening(toy: Toy) -> None:
        await asyncio.sleep(0)
        if toy.tries in {9, 10}:
            raise Refused

    async def work(session: ToySession, item: int, previous: str | None, progress: Progress) -> Performed[str]:
        await spin(10)
        session.usable = item != 20
        return Performed("fine")

    async def scenario() -> None:
        toy = Toy(work, opening)
        crew = a_crew(toy)
        assert len(await all_done(crew, Source(200))) == 200
        assert crew.door.limits.lanes == 8
        assert toy.tries >= 11

    play(scenario())


def test_a_fatal_open_while_others_are_open_costs_one_lane_and_no_item() -> None:
    async def opening(toy: Toy) -> None:
        await asyncio.sleep(0)
        if toy.now_open >= 1:
            raise Fatal

    async def scenario() -> None:
        crew = a_crew(Toy(slowly, opening))
        ended = await all_done(crew, Source(100))
        assert results_of(ended) == dict.fromkeys(range(100), "fine")
        assert crew.door.failure is None
        assert crew.door.limits.lanes == 1

    play(scenario())


def test_a_judge_that_fails_ends_the_run_and_loses_no_item() -> None:
    class Confused(Toy):
        def judge(self, error: Exception) -> Verdict:
            raise Trouble("no idea")

    async def opening(toy: Toy) -> None:
        raise ConnectionError

    async def scenario() -> None:
        source = Source(50)
        crew = a_crew(Confused(opening=opening))
        ended = await all_done(crew, source)
        assert isinstance(crew.door.failure, Trouble)
        assert sorted(done.item for done in ended) == source.taken
        assert all(done.unbegun for done in ended)

    play(scenario())


def test_a_session_that_fails_to_close_ends_the_run_and_loses_no_item() -> None:
    async def work(session: ToySession, item: int, previous: str | None, progress: Progress) -> Performed[str]:
        session.usable = False
        return Performed("fine")

    async def closing(session: ToySession) -> None:
        raise Trouble("it never raises, they said")

    async def scenario() -> None:
        source = Source(50)
        crew = a_crew(Toy(work, closing=closing), A2)
        ended = await all_done(crew, source)
        assert isinstance(crew.door.failure, Trouble)
        assert sorted(done.item for done in ended) == source.taken

    play(scenario())


# The request to end.


def test_a_stop_remembers_the_first_signal_and_tells_its_listeners() -> None:
    async def scenario() -> None:
        stop, told = Stop(), []

        def listener() -> None:
            told.append(stop.requested)

        assert not stop.requested
        assert not await stop.pause(0.001)
        stop.listen(listener)
        stop.request(signal.SIGINT)
        stop.forget(listener)
        stop.request(signal.SIGTERM)
        assert stop.signum == signal.SIGINT
        assert told == [True]
        assert await stop.pause(1000)

    play(scenario())


def test_a_stop_ends_a_pause_that_is_under_way() -> None:
    async def scenario() -> None:
        stop = Stop()
        asyncio.get_running_loop().call_soon(stop.request)
        assert await stop.pause(1000)

    play(scenario())


def test_a_stop_before_the_start_takes_nothing_and_opens_nothing() -> None:
    async def scenario() -> None:
        toy, stop, source = Toy(), Stop(), Source(10)
        stop.request()
        async with a_crew(toy, stop=stop) as crew:
            assert [batch async for batch in crew.run(source.items())] == []
        assert source.taken == []
        assert toy.tries == 0

    play(scenario())


def test_a_stop_while_idle_ends_at_once_and_closes_the_items() -> None:
    async def scenario() -> None:
        toy, stop, source = Toy(), Stop(), Source(3, after=hang)
        ended = []
        async with a_crew(toy, stop=stop) as crew:
            async for batch in crew.run(source.items()):
                ended.extend(batch)
                if len(ended) == 3:
                    asyncio.get_running_loop().call_soon(stop.request)
        assert results_of(ended) == {item: f"did {item}" for item in range(3)}
        assert source.closed
        assert all(session.closed for session in toy.sessions)

    play(scenario())


def test_what_runs_when_the_stop_comes_may_finish_within_the_grace_and_the_rest_ends_unbegun() -> None:
    async def scenario() -> None:
        stop, both = Stop(), asyncio.Event()

        async def work(session: ToySession, item: int, previous: str | None, progress: Progress) -> Performed[str]:
            if item == 1:
                stop.request()
                asyncio.get_running_loop().call_later(0.01, both.set)
            await both.wait()
            return Performed("finished")

        toy, source = Toy(work), Source(1000)
        ended = await all_done(a_crew(toy, A2, stop=stop), source)
        assert Counter(done.item for done in ended) == Counter(source.taken)
        assert {done.item for done in ended if done.result} == {0, 1} == set(toy.begun)
        assert all(done.unbegun for done in ended if done.item > 1)
        assert not toy.cut

    play(scenario())


@pytest.mark.parametrize("grace_seconds", [0.0, 0.02])
def test_what_still_runs_when_the_grace_is_over_is_cut_and_reported(grace_seconds: float) -> None:
    async def scenario() -> None:
        stop = Stop()

        async def work(session: ToySession, item: int, previous: str | None, progress: Progress) -> Performed[str]:
            progress.left()
            if item == 3:
                stop.request()
            await hang()
            return Performed("never")

        toy, source = Toy(work), Source(100)
        ended = await all_done(a_crew(toy, A2, stop=stop, grace_seconds=grace_seconds), source, 2)
        assert Counter(done.item for done in ended) == Counter(source.taken)
        assert {done.item: done.error for done in ended if done.error} == dict.fromkeys(range(4), "interrupted")
        assert sorted(toy.cut) == [0, 1, 2, 3]
        assert all(done.unbegun for done in ended if not done.error)
        assert all(session.closed for session in toy.sessions)

    play(scenario())


def test_a_perform_that_is_cut_may_still_give_a_result() -> None:
    async def scenario() -> None:
        stop = Stop()

        async def work(session: ToySession, item: int, previous: str | None, progress: Progress) -> Performed[str]:
            stop.request()
            with suppress(asyncio.CancelledError):
                await hang()
            await spin(20)
            return Performed("tidied up", again=True)

        ended = await all_done(a_crew(Toy(work), A1, stop=stop, grace_seconds=0.0), Source(1))
        assert ended == [Finished(0, "tidied up")]

    play(scenario())


def test_a_stop_ends_an_open_that_hangs() -> None:
    async def scenario() -> None:
        stop = Stop()

        async def opening(toy: Toy) -> None:
            stop.request()
            await hang()

        toy, source = Toy(opening=opening), Source(20)
        crew = a_crew(toy, stop=stop)
        ended = await all_done(crew, source)
        assert toy.tries == 1
        assert crew.door.failure is None
        assert Counter(done.item for done in ended) == Counter(source.taken)
        assert all(done.unbegun for done in ended)

    play(scenario())


def test_a_stop_ends_the_wait_before_another_open() -> None:
    async def scenario() -> None:
        stop = Stop()

        async def opening(toy: Toy) -> None:
            asyncio.get_running_loop().call_later(0.01, stop.request)
            raise ConnectionError

        crew = a_crew(Toy(opening=opening), patience=NEVER, stop=stop)
        ended = await all_done(crew, Source(3))
        assert all(done.unbegun for done in ended)
        assert crew.door.failure is None

    play(scenario())


def test_a_stop_ends_an_item_that_rests_with_the_result_it_had() -> None:
    async def scenario() -> None:
        stop = Stop()

        async def work(session: ToySession, item: int, previous: str | None, progress: Progress) -> Performed[str]:
            asyncio.get_running_loop().call_later(0.01, stop.request)
            return Performed("not yet", again=True)

        ended = await all_done(a_crew(Toy(work), patience=NEVER, stop=stop), Source(1))
        assert ended == [Finished(0, "not yet")]

    play(scenario())


def test_an_item_that_deserves_another_attempt_does_not_get_it_once_the_stop_came() -> None:
    async def scenario() -> None:
        stop = Stop()

        async def work(session: ToySession, item: int, previous: str | None, progress: Progress) -> Performed[str]:
            stop.request()
            await spin(20)
            return Performed("half", again=True)

        ended = await all_done(a_crew(Toy(work), A1, NEVER, stop=stop), Source(1))
        assert ended == [Finished(0, "half")]

    play(scenario())


def test_a_stop_reaches_items_that_wait_in_their_own_time() -> None:
    async def scenario() -> None:
        stop = Stop()
        asyncio.get_running_loop().call_later(0.01, stop.request)
        source = Source(0, after=hang)
        assert await all_done(a_crew(Toy(), stop=stop), source) == []

    play(scenario())


# Errors of those around the crew.


def test_an_error_of_the_items_comes_out_after_all_that_was_taken_has_ended() -> None:
    async def fail() -> None:
        raise Trouble("no more items")

    async def scenario() -> None:
        ended = []
        source = Source(30, after=fail)
        async with a_crew(Toy(slowly), A2) as crew:

            async def consume() -> None:
                async for batch in crew.run(source.items(), 2):
                    ended.extend(batch)

            with pytest.raises(Trouble, match="no more items"):
                await consume()
            assert results_of(ended) == dict.fromkeys(range(30), "fine")
            again = [done async for batch in crew.run(Source(100).items()) for done in batch]
            assert len(again) == 100

    play(scenario())


@pytest.mark.parametrize("overlap", [1, 2])
def test_an_error_of_the_consumer_cuts_everything_and_leaves_nothing_behind(overlap: int) -> None:
    async def work(session: ToySession, item: int, previous: str | None, progress: Progress) -> Performed[str]:
        progress.left()
        if item:
            await hang()
        return Performed("fine")

    async def scenario() -> None:
        toy, source = Toy(work), Source(3, after=hang)

        async def consume() -> None:
            async with a_crew(toy) as crew, aclosing(crew.run(source.items(), overlap)) as batches:
                async for _ in batches:
                    raise Trouble

        with pytest.raises(Trouble):
            await consume()
        assert not other_tasks()
        assert source.closed
        assert sorted(toy.cut) == sorted(set(toy.begun) - {0})
        assert all(session.closed for session in toy.sessions)

    play(scenario())


def test_an_error_of_the_consumer_leaves_nothing_behind_even_if_the_run_is_still_referred_to() -> None:
    """A plain `async for` does not close what it iterates over, so the crew has to end the feeding itself."""

    async def scenario() -> None:
        toy, source = Toy(), Source(100_000)
        crew = a_crew(toy)
        batches = crew.run(source.items())

        async def consume() -> None:
            async with crew:
                async for _ in batches:
                    raise Trouble

        with pytest.raises(Trouble):
            await consume()
        taken = len(source.taken)
        left = other_tasks()
        await spin()
        await batches.aclose()
        assert not left
        assert len(source.taken) == taken

    play(scenario())


def test_a_consumer_that_breaks_off_leaves_nothing_behind() -> None:
    async def scenario() -> None:
        toy, source = Toy(slowly), Source(1000)
        async with a_crew(toy) as crew:
            async with aclosing(crew.run(source.items(), 2)) as batches:
                async for _ in batches:
                    break
            assert source.closed
        assert not other_tasks()
        assert not toy.cut
        assert all(session.closed for session in toy.sessions)

    play(scenario())


def test_a_crew_whose_task_is_cancelled_leaves_nothing_behind() -> None:
    async def work(session: ToySession, item: int, previous: str | None, progress: Progress) -> Performed[str]:
        if item == 3:
            running.set()
        await hang()
        return Performed("never")

    async def scenario() -> None:
        toy, source = Toy(work), Source(100)
        task = asyncio.get_running_loop().create_task(all_done(a_crew(toy), source))
        await running.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await spin(5)
        assert not other_tasks()
        assert all(session.closed for session in toy.sessions)
        assert set(toy.cut) == set(toy.begun)

    running = asyncio.Event()
    play(scenario())


def test_an_error_of_the_consumer_while_cut_performs_tidy_up_leaves_no_task_behind() -> None:
    """After a stop the lanes are cancelled once; an error on top cancels them again, in the midst of their clean-up."""

    async def scenario() -> None:
        stop = Stop()

        async def work(session: ToySession, item: int, previous: str | None, progress: Progress) -> Performed[str]:
            if item == 1:
                stop.request()
            try:
                await hang()
            finally:
                await spin(50 * item)
            return Performed("never")

        toy = Toy(work)

        async def consume() -> None:
            crew = a_crew(toy, A2, stop=stop, grace_seconds=0.0)
            async with crew, aclosing(crew.run(Source(2).items())) as batches:
                async for _ in batches:
                    raise Trouble

        with pytest.raises(Trouble):
            await consume()
        left = other_tasks()
        under_way = [session.under_way for session in toy.sessions]
        closed = [session.closed for session in toy.sessions]
        await spin()
        assert not left
        assert under_way == [0, 0]
        assert closed == [True, True]

    play(scenario())


def test_an_error_of_the_consumer_does_not_cut_the_closing_of_a_session_short() -> None:
    async def scenario() -> None:
        stop, closing_begun = Stop(), asyncio.Event()

        async def closing(session: ToySession) -> None:
            closing_begun.set()
            await spin(50)

        toy = Toy(closing=closing)

        async def consume() -> None:
            async with a_crew(toy, A1, stop=stop) as crew:
                async for _ in crew.run(Source(1, after=hang).items()):
                    stop.request()
                await closing_begun.wait()
                raise Trouble

        with pytest.raises(Trouble):
            await consume()
        assert [session.closed for session in toy.sessions] == [True]

    play(scenario())


def test_the_end_of_the_grace_does_not_cut_the_closing_of_a_session_short() -> None:
    """One lane has nothing more to do and says goodbye while the other one's perform is cut."""

    async def scenario() -> None:
        stop, cut = Stop(), asyncio.Event()

        async def work(session: ToySession, item: int, previous: str | None, progress: Progress) -> Performed[str]:
            if item == 1:
                stop.request()
                return Performed("fine")
            try:
                await hang()
            finally:
                cut.set()
            return Performed("never")

        async def closing(session: ToySession) -> None:
            await cut.wait()
            await spin(50)

        toy = Toy(work, closing=closing)
        ended = await all_done(a_crew(toy, A2, stop=stop, grace_seconds=0.02), Source(2))
        assert results_of(ended) == {0: None, 1: "fine"}
        assert [session.closed for session in toy.sessions] == [True, True]

    play(scenario())


# Under any mix of troubles.


@dataclass(frozen=True)
class Step:
    """One attempt at an item: how it goes on, and how it ends."""

    ends: str
    before: int
    leaves: bool
    after: int


@dataclass(frozen=True)
class Mix:
    mode: Mode
    limit: int | None
    overlap: int
    retries: int
    items: tuple[tuple[Step, ...], ...]
    opens: tuple[str, ...]
    stop_after: int | None
    items_fail: bool
    consumer_spins: int

    @property
    def grace_seconds(self) -> float:
        return 0.0 if any(step.ends == "hang" for steps in self.items for step in steps) else 1000.0


STEPS = st.builds(
    Step,
    st.sampled_from(["fine", "again", "raise", "break", "break again", "break raise"] * 2 + ["hang"]),
    st.integers(0, 2),
    st.booleans(),
    st.integers(0, 2),
)
MIXES = st.builds(
    Mix,
    st.sampled_from([SERIAL, A1, A2, Mode("A", 3), Mode("A", 5)]),
    st.none() | st.integers(1, 6),
    st.integers(1, 4),
    st.integers(0, 2),
    st.lists(st.lists(STEPS, max_size=4).map(tuple), max_size=12).map(tuple),
    st.lists(st.sampled_from(["fine", "fine", "refused", "broken", "fatal"]), max_size=8).map(tuple),
    st.none() | st.integers(0, 8),
    st.booleans(),
    st.integers(0, 3),
)


class MixedToy(Toy):
    """Does what a mix says; what it says nothing about goes well. What hangs asks for the end first."""

    def __init__(self, mix: Mix, stop: Stop) -> None:
        super().__init__(self.as_planned, self.as_the_door_opens)
        self.mix = mix
        self.stop = stop
        self.last: dict[int, str] = {}

    async def as_the_door_opens(self, toy: Toy) -> None:
        at = toy.tries - 1
        await asyncio.sleep(0)
        match self.mix.opens[at] if at < len(self.mix.opens) else "fine":
            case "refused":
                raise Refused
            case "broken":
                raise ConnectionError
            case "fatal":
                raise Fatal

    async def as_planned(
        self, session: ToySession, item: int, previous: str | None, progress: Progress
    ) -> Performed[str]:
        attempt = len(self.begun[item]) - 1
        if previous != self.last.get(item):
            self.faults.append(f"{item} was shown {previous}")
        steps = self.mix.items[item]
        step = steps[attempt] if attempt < len(steps) else Step("fine", 0, False, 0)
        await spin(step.before)
        if step.leaves:
            progress.left()
        await spin(step.after)
        if step.ends == "hang":
            self.stop.request()
            await hang()
        if "break" in step.ends:
            session.usable = False
        if "raise" in step.ends:
            raise Trouble(f"{item}.{attempt}")
        self.last[item] = f"{item}.{attempt}"
        return Performed(self.last[item], again="again" in step.ends)


async def mixed(mix: Mix) -> None:
    async def fail() -> None:
        if mix.items_fail:
            raise Trouble("no more items")

    stop = Stop()
    toy, source = MixedToy(mix, stop), Source(len(mix.items), after=fail)
    patience = Patience(mix.retries, 0.0)
    crew = a_crew(toy, mix.mode, patience, stop=stop, limit=mix.limit, grace_seconds=mix.grace_seconds)
    cap = crew.door.limits.lanes
    ended: list[Finished[int, str]] = []
    failed = False
    async with crew:
        try:
            async for batch in crew.run(source.items(), mix.overlap):
                ended.extend(batch)
                await spin(mix.consumer_spins)
                if mix.stop_after is not None and len(ended) >= mix.stop_after:
                    stop.request()
        except Trouble:
            failed = True
    assert not other_tasks()
    assert not toy.faults
    assert source.closed
    assert Counter(done.item for done in ended) == Counter(source.taken)
    cut_short = stop.requested or crew.door.failure is not None
    assert cut_short or source.taken == list(range(len(mix.items)))
    assert failed is mix.items_fail or cut_short
    for done in ended:
        assert done.unbegun is (done.item not in toy.begun)
        assert not done.unbegun or cut_short
        assert done.result == toy.last.get(done.item)
        cut = done.item in toy.cut
        assert done.error == ("interrupted" if cut else "") or done.error.startswith(f"Trouble: {done.item}.")
        assert not cut or stop.requested
    assert all(len(seen) <= mix.retries + 1 for seen in toy.begun.values())
    assert toy.most_open == crew.door.most_open <= cap
    assert len(toy.sessions) == crew.door.opened
    assert toy.now_open == 0
    assert all(session.closed and session.under_way == 0 for session in toy.sessions)
    allowed = 1 if mix.mode.kind == "S" else mix.overlap
    assert all(session.most_under_way <= allowed for session in toy.sessions)
    assert 1 <= crew.door.limits.lanes <= cap
    assert crew.door.failure is None or isinstance(crew.door.failure, Fatal | Refused | ConnectionError)


@settings(max_examples=400)
@given(MIXES)
def test_every_item_ends_exactly_once_under_any_mix_of_troubles(mix: Mix) -> None:
    play(mixed(mix))


# What runs beside the loop.


@pytest.mark.parametrize("bound", [1, 2, 64, 1000])
def test_a_stream_yields_everything_in_order(bound: int) -> None:
    async def scenario() -> list[int]:
        return [item async for batch in stream(lambda: iter(range(500)), bound) for item in batch]

    assert play(scenario()) == list(range(500))


def test_a_stream_yields_no_empty_list_and_an_empty_one_yields_nothing() -> None:
    async def scenario() -> list[list[int]]:
        empty: list[int] = []
        assert [batch async for batch in stream(lambda: iter(empty))] == []
        return [batch async for batch in stream(lambda: iter(range(100)), 3)]

    assert all(play(scenario()))


@pytest.mark.parametrize("bound", [1, 2, 5])
def test_a_stream_is_at_most_its_bound_ahead(bound: int) -> None:
    """The loop is held up meanwhile, so that nothing is taken however long the thread has time."""
    asked: list[int] = []
    held_up, one_too_many = threading.Event(), threading.Event()

    def numbers() -> Iterator[int]:
        held_up.wait(10)
        for number in range(100):
            asked.append(number)
            if len(asked) > bound:
                one_too_many.set()
            yield number

    async def scenario() -> bool:
        verdicts: list[bool] = []

        def hold_up() -> None:
            held_up.set()
            verdicts.append(one_too_many.wait(0.2))

        asyncio.get_running_loop().call_soon(hold_up)
        async with aclosing(stream(numbers, bound)) as batches:
            await anext(batches)
        return verdicts[0]

    assert play(scenario()) is False


def test_a_stream_gives_its_items_and_then_its_error() -> None:
    def numbers() -> Iterator[int]:
        yield from range(10)
        raise Trouble("in the thread")

    async def scenario() -> list[int]:
        seen: list[int] = []

        async def consume() -> None:
            async for batch in stream(numbers, 2):
                seen.extend(batch)

        with pytest.raises(Trouble, match="in the thread"):
            await consume()
        return seen

    assert play(scenario()) == list(range(10))


def test_a_stream_that_cannot_even_begin_raises() -> None:
    def numbers() -> Iterator[int]:
        raise Trouble("at the start")

    async def scenario() -> None:
        with pytest.raises(Trouble):
            async for _ in stream(numbers):
                pass

    play(scenario())


@pytest.mark.parametrize("bound", [1, 64])
def test_a_stream_that_is_abandoned_ends_its_thread(bound: int) -> None:
    closed_in: list[int] = []

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed_in.append(threading.get_ident())

    async def scenario() -> None:
        async with aclosing(stream(endless, bound)) as batches:
            async for _ in batches:
                break
        assert len(closed_in) == 1
        assert closed_in[0] != threading.get_ident()

    play(scenario())


def test_a_stream_that_is_abandoned_while_its_thread_waits_for_room_ends_it() -> None:
    full, ended = threading.Event(), threading.Event()

    def endless() -> Iterator[int]:
        try:
            yield 1
            yield 2
            full.set()
            while True:
                yield 3
        finally:
            ended.set()

    async def scenario() -> None:
        async with aclosing(stream(endless, 2)) as batches:
            await anext(batches)
            full.wait(10)
            ended.wait(0.05)  # the thread is given the time to find that there is no room; the result needs no luck
        assert ended.is_set()

    play(scenario())


def test_a_stream_whose_consumer_fails_ends_its_thread() -> None:
    ended = threading.Event()

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            ended.set()

    async def scenario() -> None:
        async def consume() -> None:
            async with aclosing(stream(endless, 4)) as batches:
                async for _ in batches:
                    raise Trouble

        with pytest.raises(Trouble):
            await consume()
        assert ended.is_set()

    play(scenario())


def test_a_stream_does_not_hold_up_the_loop_while_it_waits() -> None:
    go_on = threading.Event()

    def numbers() -> Iterator[int]:
        yield 1
        go_on.wait(10)
        yield 2

    async def scenario() -> list[list[int]]:
        batches = []
        async for batch in stream(numbers):
            batches.append(batch)
            asyncio.get_running_loop().call_soon(go_on.set)
        return batches

    assert play(scenario()) == [[1], [2]]


def test_offload_does_everything_in_one_thread_of_its_own_and_in_order() -> None:
    order: list[int] = []

    def note(number: int) -> int:
        order.append(number)
        return threading.get_ident()

    async def scenario() -> None:
        offload = Offload()
        idents = {await offload(note, number) for number in range(5)}
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(offload(note, number)) for number in range(5, 50)]
        idents |= {task.result() for task in tasks}
        offload.close()
        assert order == list(range(50))
        assert len(idents) == 1
        assert threading.get_ident() not in idents

    play(scenario())


def test_offload_passes_on_exceptions_and_goes_on() -> None:
    def fail() -> None:
        raise Trouble("in the thread")

    async def scenario() -> None:
        offload = Offload()
        with pytest.raises(Trouble, match="in the thread"):
            await offload(fail)
        assert await offload(sum, [1, 2]) == 3
        offload.close()

    play(scenario())


def test_offload_has_no_thread_before_it_is_needed_and_none_after_it_is_closed() -> None:
    def threads() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name.startswith("offload")]

    async def scenario() -> None:
        offload = Offload()
        assert threads() == []
        await offload(int)
        assert len(threads()) == 1
        offload.close()
        assert threads() == []

    play(scenario())


# The program as a whole.


def test_run_returns_what_the_program_returns_and_gives_the_signals_back() -> None:
    async def main(stop: Stop) -> int:
        assert not stop.requested
        return 5

    before = signal.getsignal(signal.SIGTERM)
    assert run(main) == 5
    assert signal.getsignal(signal.SIGTERM) == before
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler


def test_run_passes_on_what_the_program_raises() -> None:
    async def main(stop: Stop) -> int:
        raise Trouble

    with pytest.raises(Trouble):
        run(main)


PROGRAM = """
import asyncio, os, sys
from async_mirror.multi import run

async def main(stop):
    os.write(1, b"ready\\n")
    await stop.pause(60)
    os.write(1, b"asked\\n")
    if sys.argv[1] == "stubborn":
        try:
            await asyncio.Event().wait()
        finally:
            os.write(1, b"unwound\\n")
    return 128 + stop.signum

sys.exit(run(main))
"""


@pytest.fixture
def a_program() -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []

    def start(manner: str) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
        command = [sys.executable, "-c", PROGRAM, manner]
        program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
        started.append(program)
        return program

    yield start
    for program in started:
        program.kill()
        program.communicate()


def said(program: subprocess.Popen[bytes]) -> bytes:
    assert program.stdout is not None
    return program.stdout.readline()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_asks_the_program_to_end_and_its_return_code_counts(
    a_program: Callable[[str], subprocess.Popen[bytes]], signum: signal.Signals
) -> None:
    program = a_program("polite")
    assert said(program) == b"ready\n"
    program.send_signal(signum)
    assert program.wait(10) == 128 + signum
    assert program.communicate() == (b"asked\n", b"")


@pytest.mark.parametrize(
    ("first", "second"),
    [(signal.SIGTERM, signal.SIGTERM), (signal.SIGTERM, signal.SIGINT), (signal.SIGINT, signal.SIGTERM)],
)
def test_a_second_signal_ends_the_program_at_once(
    a_program: Callable[[str], subprocess.Popen[bytes]], first: signal.Signals, second: signal.Signals
) -> None:
    program = a_program("stubborn")
    assert said(program) == b"ready\n"
    program.send_signal(first)
    assert said(program) == b"asked\n"
    program.send_signal(second)
    assert program.wait(10) == 128 + second
    assert program.communicate() == (b"", b"")


# Beside.


def test_what_runs_beside_gets_on_and_ends_with_the_block() -> None:
    told: list[str] = []

    async def endless(begun: asyncio.Event) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            told.append("ended")

    async def scenario() -> None:
        async with beside() as start:
            begun = asyncio.Event()
            start(endless(begun))
            await begun.wait()
        told.append("after")

    play(scenario())
    assert told == ["ended", "after"]


def test_what_has_ended_beside_is_not_kept_until_the_end_of_the_block() -> None:
    async def left() -> int:
        async with beside() as start:
            for _ in range(50):
                start(asyncio.sleep(0))
            for _ in range(5):
                await asyncio.sleep(0)
            return sum(isinstance(each, asyncio.Task) for each in gc.get_objects())

    assert asyncio.run(left()) < 10


def test_what_fails_beside_is_raised_at_the_end_of_the_block() -> None:
    async def failing() -> None:
        raise Trouble

    async def scenario() -> None:
        async with beside() as start:
            start(failing())
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    with pytest.raises(Trouble):
        play(scenario())


def test_what_fails_in_the_block_goes_before_what_runs_beside() -> None:
    async def scenario() -> None:
        async with beside() as start:
            start(asyncio.Event().wait())  # type: ignore[arg-type]
            raise Trouble

    with pytest.raises(Trouble):
        play(scenario())
