"""Sessions that one crew leaves for the next, as long as there is one soon. Starts nothing."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic

from async_mirror.crew.broker import Parked, Share
from async_mirror.crew.stop import set_within
from async_mirror.crew.work import S

LONGEST_S = 60.0
"""How long an unused session is kept; servers end idle ones after minutes."""
MOST = 2


class Parking(Generic[S]):
    """Keeps sessions open between crews; `run` it beside, to have them closed in time. Each keeps its permit.

    `resume` tells whether one that was idle is of use still. Where another crew waits for a permit, one is closed.
    """

    def __init__(self, resume: Callable[[S], Awaitable[bool]], longest_s: float = LONGEST_S) -> None:
        """Keep nothing yet."""
        self.is_open = False
        self._resume = resume
        self._longest_s = longest_s
        self._kept: list[tuple[S, Parked, float]] = []
        self._unwanted: list[tuple[S, Parked]] = []
        self._news = asyncio.Event()

    def takes(self, session: S, share: Share) -> bool:
        """Tell whether a session may be left here."""
        return self.is_open and session.usable and len(self._kept) < MOST and not share.is_wanted

    def leave(self, session: S, share: Share) -> None:
        """Keep a session, with its permit."""
        parked = share.park(self._make_room)
        self._kept.append((session, parked, asyncio.get_running_loop().time() + self._longest_s))
        self._news.set()

    async def take(self, share: Share) -> S | None:
        """Return a session of those that were left, its permit now being of that share; None if there is none."""
        while self._kept:
            session, parked, _ = self._kept.pop()
            parked.become(share)
            resumed = False
            try:
                resumed = await self._resume(session)
            finally:
                if not resumed:
                    share.release()
            if resumed:
                return session
            await session.close()
        return None

    async def run(self) -> None:
        """Close unused sessions in time; at the end all."""
        self.is_open = True
        try:
            while True:
                await self._close_unwanted()
                await set_within(self._news, self._left_s())
                self._news.clear()
        finally:
            self.is_open = False
            self._make_room(len(self._kept))
            await self._close_unwanted()

    def _make_room(self, sessions: int = 1) -> None:
        for _ in range(min(sessions, len(self._kept))):
            self._unwanted.append(self._kept.pop(0)[:2])
        self._news.set()

    def _left_s(self) -> float:
        until = min((until for _, _, until in self._kept), default=None)
        return self._longest_s if until is None else max(0.0, until - asyncio.get_running_loop().time())

    async def _close_unwanted(self) -> None:
        now = asyncio.get_running_loop().time()
        self._make_room(sum(until <= now for _, _, until in self._kept))
        self._news.clear()
        while self._unwanted:
            session, parked = self._unwanted.pop()
            try:
                await session.close()
            finally:
                parked.release()
