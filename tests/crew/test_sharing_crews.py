"""Crews that share what one account may have: each gets its turn, whatever the others have to do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

import pytest

from async_mirror.crew.broker import SLICE_S, Broker
from async_mirror.crew.cap import FixedCap
from async_mirror.crew.mode import Mode
from async_mirror.crew.patience import Patience
from async_mirror.crew.stop import Stop
from async_mirror.crew.work import Performed, Progress, Verdict
from async_mirror.multi import Crew, start


class TooMany(Exception):
    """The site has no room for one more session."""


class Site:
    """Counts the sessions that are open, and refuses more than it has room for."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.open = self.most_open = 0


class Visit:
    usable = True

    def __init__(self, site: Site) -> None:
        self.site = site

    async def close(self) -> None:
        await asyncio.sleep(0)
        self.site.open -= 1


class Visitor:
    """Hands that do next to nothing."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.did: list[int] = []

    async def open(self) -> Visit:
        if self.site.open >= self.site.room:
            raise TooMany
        self.site.open += 1
        self.site.most_open = max(self.site.most_open, self.site.open)
        await asyncio.sleep(0)
        return Visit(self.site)

    async def perform(self, session: Visit, item: int, previous: str | None, progress: Progress) -> Performed[str]:
        await asyncio.sleep(0.001)
        self.did.append(item)
        return Performed("done")

    def judge(self, error: Exception) -> Verdict:
        return Verdict.REFUSED if isinstance(error, TooMany) else Verdict.BROKEN

    def clash(self, item: int, other: int) -> bool:
        return False

    def lost(self, item: int, previous: str | None, what: str) -> str | None:
        return previous

    def learned(self, since: int) -> Sequence[Any]:
        return ()

    def learn(self, found: Sequence[Any]) -> None:
        pass


async def items(number: int, after: Callable[[], Any] | None = None) -> AsyncGenerator[int, None]:
    for item in range(number):
        yield item
    if after:
        await after()


async def done(visitor: Visitor, broker: Broker, cap: int, work: AsyncGenerator[int, None], stop: Stop) -> None:
    crew: Crew[Visit, int, str] = Crew(
        visitor, Mode("A", cap), stop, Patience(), cap=broker.share("account", FixedCap(cap))
    )
    async with crew:
        async for _ in crew.run(work):
            pass


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - what is waited for tells nobody
        await asyncio.sleep(0.001)


def play(scenario: Any) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await scenario

    asyncio.run(bounded())


@pytest.mark.parametrize("is_idle", [False, True], ids=["busy", "idle"])
def test_a_crew_that_waits_gets_the_only_session_after_a_slice_whatever_the_other_does(is_idle: bool) -> None:
    now = 0.0

    async def scenario() -> None:
        nonlocal now
        site, stop, never = Site(1), Stop(), asyncio.Event()
        broker = Broker(lambda: now)
        long, short = Visitor(site), Visitor(site)
        endless = start(done(long, broker, 1, items(1 if is_idle else 10**9, never.wait), stop))
        await until(lambda: bool(long.did))
        waiting = start(done(short, broker, 1, items(3), Stop()))
        await until(lambda: bool(broker._lenders["account"]._asked))
        assert short.did == []
        now += SLICE_S
        await waiting
        assert short.did == [0, 1, 2]
        assert not endless.done()
        if not is_idle:
            so_far = len(long.did)
            await until(lambda: len(long.did) > so_far)
        stop.request()
        await endless
        assert site.most_open == 1

    play(scenario())


def test_crews_that_are_refused_find_how_many_there_may_be_together() -> None:
    async def scenario() -> None:
        site, broker = Site(3), Broker()
        visitors = [Visitor(site) for _ in range(3)]
        working = [start(done(each, broker, 8, items(200), Stop())) for each in visitors]
        await asyncio.gather(*working)
        assert [len(each.did) for each in visitors] == [200] * 3
        assert site.open == 0

    play(scenario())


def test_crews_never_have_more_sessions_than_the_largest_of_them_may() -> None:
    async def scenario() -> None:
        site, broker = Site(100), Broker()
        visitors = [Visitor(site) for _ in range(5)]
        working = [
            start(done(each, broker, cap, items(100), Stop()))
            for each, cap in zip(visitors, [4, 2, 4, 1, 4], strict=True)
        ]
        await asyncio.gather(*working)
        assert [len(each.did) for each in visitors] == [100] * 5
        assert site.most_open == 4

    play(scenario())
