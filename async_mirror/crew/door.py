"""Opens the sessions of all lanes: the first alone, never too many a second, and fewer where more are refused."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Generic

from async_mirror.crew.broker import Share
from async_mirror.crew.parking import Parking
from async_mirror.crew.patience import Patience
from async_mirror.crew.stop import cancel, set_within
from async_mirror.crew.work import Hands, S, Setback, Verdict, Watcher
from async_mirror.crew.workers import FarHands

OPENINGS_PER_S = 20
LONGEST_WAIT_S = 1.0
"""How long a lane waits for a permit, with an item in hand, while others of its crew could do that."""


class Door(Generic[S]):
    """Lends a permit with each session. What it learns of the server's limits goes to the cap."""

    def __init__(
        self,
        limits: Share,
        patience: Patience,
        closing: asyncio.Event,
        *,
        watcher: Watcher[Any, Any],
        failed: Callable[[], None],
        greet: Callable[[], None],
        parking: Parking[S] | None = None,
    ) -> None:
        """Open nothing yet, and nothing more once `closing`. `failed` is called when no session can be had.

        Sessions come from the `parking`, if there are any, and are left there at the end.
        """
        self._parking = parking
        self.resumed = 0
        self.limits = limits
        self.refused = False
        self.failure: Exception | None = None
        self.opened = self.open_now = self.most_open = 0
        self._patience = patience
        self._closing = closing
        self._watcher = watcher
        self._failed = failed
        self._greet = greet
        self._openings: deque[float] = deque(maxlen=OPENINGS_PER_S)
        self._first = asyncio.Lock()
        self._opening: set[asyncio.Task[Any]] = set()

    async def open(self, hands: Hands[S, Any, Any], lane: int, *, had_one: bool) -> S | None:
        """Open a session for a lane; None means that the lane is to retire.

        The very first session is opened alone: a wrong password is tried once, not once per lane.
        """
        if self._parking and (session := await self._parking.take(self.limits)):
            self.resumed += 1
            self._has_one_more()
            return session
        try:
            async with asyncio.timeout(LONGEST_WAIT_S if self.open_now else None):
                await self.limits.acquire()
        except TimeoutError:
            return None
        if had_one:
            self._watcher.opening(lane)
        opened = None
        try:
            opened = await self._opened(hands, lane, had_one)
        finally:
            self._watcher.opened(lane, is_open=opened is not None)
            if opened is None:
                self.limits.release()
        return opened

    async def leave(self, session: S) -> None:
        """End a session and take back its permit, or leave both for the next crew."""
        if self._parking and self._closing.is_set() and self._parking.takes(session, self.limits):
            self.open_now -= 1
            self._parking.leave(session, self.limits)
            return
        try:
            await session.close()
        finally:
            self.open_now -= 1
            self.limits.release()

    def crowded(self) -> bool:
        """Have fewer sessions from now on, if there is more than one; tell whether there is."""
        if self.open_now <= 1:
            return False
        self.refused = True
        self.limits.lower(self.open_now - 1)
        return True

    def fail(self, error: Exception) -> None:
        """Take note that no session can be had, and why."""
        self.failure = self.failure or error
        self._failed()

    def close(self) -> None:
        """Cut short what is being opened."""
        cancel(self._opening)

    async def _opened(self, hands: Hands[S, Any, Any], lane: int, had_one: bool) -> S | None:
        if not self.opened:
            async with self._first:
                if not self.opened:
                    return await self._try_to_open(hands, lane, had_one)
        return await self._try_to_open(hands, lane, had_one)

    async def _try_to_open(self, hands: Hands[S, Any, Any], lane: int, had_one: bool) -> S | None:
        failures = 0
        since = asyncio.get_running_loop().time()
        while not self._closing.is_set():
            try:
                return await self._open_one(hands)
            except Exception as error:  # noqa: BLE001 - whatever it is, `judge` says what it means
                failures += 1
                error_met = error
                lasted = asyncio.get_running_loop().time() - since
                is_last = self._patience.is_at_end(failures, lasted)
                if self._gives_up(hands.judge(error), error, is_last, had_one):
                    return None
            pause = self._patience.pause(failures)
            self._watcher.waiting(Setback(lane, error_met, pause, lasted, alone=not self.open_now))
            await set_within(self._closing, pause)
        return None

    async def _open_one(self, hands: Hands[S, Any, Any]) -> S:
        task = asyncio.current_task()
        assert task is not None
        self._opening.add(task)
        try:
            if isinstance(hands, FarHands):
                await hands.start()  # that may take longer than the turn lasts
            await self._turn_to_open()
            session = await hands.open()
            try:
                self._greet()
            except BaseException:
                await session.close()
                raise
        finally:
            self._opening.discard(task)
        self.opened += 1
        self._has_one_more()
        return session

    def _has_one_more(self) -> None:
        self.open_now += 1
        self.most_open = max(self.most_open, self.open_now)

    async def _turn_to_open(self) -> None:
        """Wait until one more opening is not one too many in any second: some servers ban for that."""
        clock = asyncio.get_running_loop().time
        turn = now = clock()
        if len(self._openings) == OPENINGS_PER_S:
            turn = max(now, self._openings[0] + 1.0)
        self._openings.append(turn)
        await asyncio.sleep(turn - now)

    def _gives_up(self, verdict: Verdict, error: Exception, is_last: bool, had_one: bool) -> bool:
        hopeless = verdict is Verdict.FATAL or is_last
        others = self.open_now or self.limits.lent_to_others
        refused = verdict is Verdict.REFUSED and not had_one and others
        if not self.open_now and not refused:
            if hopeless:
                self.fail(error)
            return hopeless
        if refused:
            self.refused = True
            self.limits.lower(self.open_now + len(self._opening))
        elif hopeless:
            self.limits.lower(self.limits.lanes - 1)
        return bool(refused) or hopeless
