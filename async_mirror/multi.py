"""Schedules items on lanes, each with a session of its own. Knows concurrency, and neither FTP nor files.

One coroutine, the lane, does all the work: it opens a session when it first needs one, takes an item, performs it,
gives back the result and replaces a session that broke. Its hands work in this event loop, in a thread or in a process:
that is all the difference between A, T and P. Everything else here decides how many lanes there are.

Tasks, threads, processes, queues and semaphores are made here and in two modules of `crew` on which this one
stands, which know nothing of the program either: `far` (hands elsewhere) and `off_loop` (what any program needs of an
event loop).
"""

import asyncio
import itertools
import os
import random
import re
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, Self, TypeVar

from async_mirror.crew.far import FarHands, Hands, NotBegun, Performed, Session, Verdict, WorkerDied
from async_mirror.crew.stop import Stop, cancel, ended, set_within

MOST_LANES = 256
ROOM_PER_LANE = 32
DEATHS = 3
"""How often what works on an item may die before the item is given up."""
EXCUSES = 3
"""How often an attempt at an item may be none of the item's and not count."""
OPENINGS_PER_S = 20
MEASURED_EVERY_S = 0.5

S = TypeVar("S", bound=Session)
I = TypeVar("I")  # noqa: E741
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Mode:
    """Where the hands of the lanes work, and how many lanes there are; 0 lets the crew find out."""

    kind: str
    lanes: int

    ALLOWED = (
        "A (asynchronous, as many connections as help), A<n>, T<n> (threads), P<n> (processes), T, P (one per core)"
        f" or S (serial); n is the number of connections, 1 to {MOST_LANES}"
    )

    @classmethod
    def parse(cls, text: str) -> "Mode":
        """Read a mode, in either case. Raises ValueError with one line that says what is allowed."""
        found = re.fullmatch(r"([ATP])([0-9]{0,9})|S", text.strip().upper())
        if not found:
            raise ValueError(f"{text!r} is no mode: use {cls.ALLOWED}")
        kind = found[1] or "S"
        if found[2]:
            lanes = int(found[2])
            if not 1 <= lanes <= MOST_LANES:
                raise ValueError(f"{text!r} is no mode: use {cls.ALLOWED}")
        else:
            lanes = {"S": 1, "A": 0}.get(kind, min(MOST_LANES, os.cpu_count() or 1))
        return cls(kind, lanes)

    def overlap(self, wanted: int) -> int:
        """Return how many performs may overlap on one session: serial means one, whatever was wanted."""
        return 1 if self.kind == "S" else wanted

    def hands(self, hands: Hands[S, I, R], kept: Iterable[int]) -> Hands[Any, I, R]:
        """Return hands for one lane, where this mode has them work."""
        return FarHands(hands, in_process=self.kind == "P", kept=kept) if self.kind in "TP" else hands

    def __str__(self) -> str:
        """Return the mode as the user would write it."""
        return self.kind if self.kind == "S" or not self.lanes else f"{self.kind}{self.lanes}"


class Cap(Protocol):
    """How many lanes are right."""

    @property
    def lanes(self) -> int:
        """The number at this moment, 1 or more."""
        ...

    @property
    def most(self) -> int:
        """More than this it never is."""
        ...

    def lower(self, lanes: int) -> None:
        """More than so many sessions cannot be had."""
        ...

    def measured(self, seconds: float, items: int, amount: int, lanes: int, *, busy: bool) -> None:
        """Learn what so many lanes brought; `busy` says that all had work all the time."""
        ...


class FixedCap:
    """As many lanes as were asked for, fewer if they cannot be had."""

    def __init__(self, lanes: int) -> None:
        """Ask for so many."""
        self.most = max(1, lanes)
        self.lanes = self.most

    def lower(self, lanes: int) -> None:
        """More than so many cannot be had."""
        self.lanes = max(1, min(self.lanes, lanes))

    def measured(self, seconds: float, items: int, amount: int, lanes: int, *, busy: bool) -> None:
        """Learn nothing."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait before trying again: doubled each time, with jitter, up to a limit; and how often."""

    retries: int = 5
    first_seconds: float = 0.5
    most_seconds: float = 30.0

    def pause(self, attempt: int) -> float:
        """Return the seconds to wait before the attempt that follows `attempt` failed ones (from 1)."""
        longest: float = min(self.most_seconds, self.first_seconds * 2.0 ** min(attempt - 1, 20))
        return longest * random.uniform(0.5, 1.0)  # noqa: S311


class Watcher(Generic[I, R]):
    """Is told what happens in a crew. This one does not listen."""

    def waiting(self, error: Exception, seconds: float) -> None:
        """No session could be had; it is tried again in so many seconds."""

    def again(self, result: R, seconds: float) -> None:
        """An item is tried again in so many seconds."""

    def begun(self, lane: int, item: I) -> None:
        """A lane (numbered from 1) began an attempt at an item."""

    def advanced(self, lane: int, item: I, amount: int) -> None:
        """So much more of an item is done."""

    def ended(self, lane: int, item: I) -> None:
        """An attempt at an item ended."""


class Finished(NamedTuple, Generic[I, R]):
    """An item that ended: with a result; or with an `error` (its perform raised, or was cut short); or unbegun."""

    item: I
    result: R | None
    error: str = ""

    @property
    def unbegun(self) -> bool:
        """True if no perform ever saw the item."""
        return self.result is None and not self.error


@dataclass(eq=False, slots=True)
class _Ticket(Generic[I, R]):
    item: I
    attempt: int = 0
    previous: R | None = None
    deaths: int = 0
    death: str = ""
    excuses: int = 0


_WAKE: _Ticket[Any, Any] = _Ticket(None)
"""What is put up for a lane that waits, to have it look for an item that was left to the free ones."""


class Crew(Generic[S, I, R]):
    """Lanes over one event loop, never more than `cap` of them, and never more open sessions."""

    def __init__(
        self,
        hands: Hands[S, I, R],
        mode: Mode,
        stop: Stop,
        patience: Patience | None = None,
        *,
        watcher: Watcher[I, R] | None = None,
        cap: Cap | None = None,
        wait_for: Callable[[int, float], float] | None = None,
        keep: Callable[[I, Any], Awaitable[None]] | None = None,
        kept: Iterable[int] = (),
        wanted: Callable[[I], bool] | None = None,
        grace_seconds: float = 3.0,
    ) -> None:
        """Prepare a crew; nothing is opened before there is an item to perform.

        `cap` says how many lanes there are, else the mode does. `wait_for(amount, now)` reserves so much of what all
        lanes together may do, and returns the seconds to wait before. `keep(item, what)` is awaited when a perform has
        something kept for good. Worker processes hold the descriptors `kept`. What is not `wanted` when its turn comes
        is not tried (any more).
        """
        self.limits = cap or FixedCap(mode.lanes)
        self.refused = False
        self.failure: Exception | None = None
        self.opened = 0
        self.most_open = 0
        self.hands = hands
        self.overlap = 1
        self.ending = 0
        self.watcher = watcher or Watcher()
        self._mode = mode
        self._stop = stop
        self._patience = patience or Patience()
        self._grace_seconds = grace_seconds
        self._deadline: float | None = None
        self._todo: asyncio.Queue[_Ticket[I, R] | None] = asyncio.Queue()
        self._left: deque[_Ticket[I, R]] = deque()
        self._room = asyncio.Semaphore(self.limits.most * ROOM_PER_LANE)
        self._permits = asyncio.Semaphore(self.limits.most)
        self._wait_for = wait_for
        self._keep = keep
        self._kept = tuple(kept)
        self._wanted = wanted or (lambda _: True)
        self._openings: deque[float] = deque(maxlen=OPENINGS_PER_S)
        self._measuring: asyncio.TimerHandle | None = None
        self._measured = (0.0, 0, 0)
        self._items = self._amount = 0
        self._busy = True
        self._door = asyncio.Lock()
        self._proved = False
        self._open = 0
        self._idle = 0
        self._lanes: dict[asyncio.Task[None], _Lane[S, I, R]] = {}
        self._feeding: set[asyncio.Task[None]] = set()
        self._opening: set[asyncio.Task[Any]] = set()
        self._resting: dict[_Ticket[I, R], asyncio.TimerHandle] = {}
        self._results: deque[Finished[I, R]] = deque()
        self._outstanding = 0
        self._closing = asyncio.Event()
        self._news = asyncio.Event()

    @property
    def cap(self) -> int:
        """How many lanes there may be at this moment."""
        return self.limits.lanes

    async def __aenter__(self) -> Self:
        """Listen for the request to end."""
        self._stop.listen(self._news.set)
        return self

    async def __aexit__(self, *exception: object) -> None:
        """End all lanes and their sessions."""
        self._stop.forget(self._news.set)
        if self._measuring:
            self._measuring.cancel()
        self._begin_closing()
        cancel(self._feeding)
        if exception[0] is not None:
            self._cut()
        await ended(self._feeding)
        await ended(self._lanes)

    async def run(self, items: AsyncGenerator[I, None], overlap: int = 1) -> AsyncGenerator[list[Finished[I, R]], None]:
        """Perform all items, and yield what ended, in lists. Every item that was taken from `items` ends exactly once.

        `overlap` is how many performs may be under way on one session. Items are taken as there is room for them.
        When the end is requested, or no session can be had (`failure`), what has begun may finish and the rest ends
        unbegun. What `items` raises is raised here, after all that was taken has ended.
        """
        self.overlap = self._mode.overlap(overlap)
        feeding = asyncio.create_task(self._feed(items))
        feeding.add_done_callback(lambda _: self._news.set())
        self._feeding.add(feeding)
        feeding.add_done_callback(self._feeding.discard)
        try:
            while batch := await self._next(feeding):
                yield batch
                for _ in batch:
                    self._room.release()
            if not feeding.cancelled():
                feeding.result()
        finally:
            feeding.cancel()
            await ended({feeding})
            await items.aclose()

    async def _feed(self, items: AsyncGenerator[I, None]) -> None:
        while True:
            await self._room.acquire()
            try:
                item = await anext(items)
            except StopAsyncIteration:
                self._room.release()
                return
            self._outstanding += 1
            self.put(_Ticket(item))

    async def _next(self, feeding: "asyncio.Task[None]") -> list[Finished[I, R]]:
        while True:
            if self._stop.requested and self._deadline is None:
                self._deadline = asyncio.get_running_loop().time() + self._grace_seconds
                self._begin_closing()
            if self._closing.is_set() and not feeding.done():
                feeding.cancel()
                await ended({feeding})
            if self._results:
                batch = list(self._results)
                self._results.clear()
                return batch
            if feeding.done() and not self._outstanding:
                return []
            self._news.clear()
            try:
                async with asyncio.timeout_at(self._deadline):
                    await self._news.wait()
            except TimeoutError:
                self._deadline = float("inf")
                self._cut()

    def _cut(self) -> None:
        """Cancel what runs; a lane that is saying goodbye to its session is let finish, which is bounded."""
        cancel(task for task, lane in self._lanes.items() if not lane.ending)

    def _begin_closing(self) -> None:
        if self._closing.is_set():
            return
        self._closing.set()
        while not self._todo.empty():
            if (ticket := self._todo.get_nowait()) and ticket is not _WAKE:
                self._give_up(ticket)
        while self._left:
            self._give_up(self._left.popleft())
        for ticket, timer in self._resting.items():
            timer.cancel()
            self._give_up(ticket)
        self._resting.clear()
        for _ in self._lanes:
            self._todo.put_nowait(None)
        cancel(self._opening)

    def _fail(self, error: Exception) -> None:
        self.failure = self.failure or error
        self._begin_closing()
        self._news.set()

    def _staff(self) -> None:
        """Add lanes while there is work that no idle lane will take."""
        while self._idle < self._todo.qsize() and self._manned < self.cap and not self._closing.is_set():
            self._idle += 1  # until it has taken its first item
            numbers = {lane.number for lane in self._lanes.values()}
            number = next(number for number in itertools.count(1) if number not in numbers)
            lane = _Lane(self, number, self._mode.hands(self.hands, self._kept))
            task = asyncio.create_task(lane.work())
            self._lanes[task] = lane
            task.add_done_callback(self._lane_ended)
        if self._lanes and not self._measuring:
            self._measure()

    @property
    def _manned(self) -> int:
        return len(self._lanes) - self.ending

    def _measure(self) -> None:
        """Tell the cap what the lanes brought, every now and then."""
        loop = asyncio.get_running_loop()
        then, items, amount = self._measured
        self._measured = now, *_ = loop.time(), self._items, self._amount
        if then:
            busy = self._busy and not self._idle
            self.limits.measured(now - then, self._items - items, self._amount - amount, self._open, busy=busy)
            self._busy = not self._idle
        self._measuring = loop.call_later(MEASURED_EVERY_S, self._measure)
        self._staff()

    def _lane_ended(self, lane: "asyncio.Task[None]") -> None:
        self.ending -= self._lanes.pop(lane).ending
        if not lane.cancelled() and (error := lane.exception()):
            self._fail(error if isinstance(error, Exception) else RuntimeError(repr(error)))
        self._staff()
        self._news.set()

    # What a lane asks of its crew.

    def put(self, ticket: _Ticket[I, R]) -> None:
        """Put an item up for whichever lane is free, for the first time or once more."""
        self._resting.pop(ticket, None)
        if self._closing.is_set():
            self._give_up(ticket)
        else:
            self._todo.put_nowait(ticket)
            self._staff()

    def leave_to_others(self, ticket: _Ticket[I, R]) -> None:
        """Take back an item that clashes with what a lane does, for whichever is free first."""
        if self._closing.is_set():
            self._give_up(ticket)
        else:
            self._left.append(ticket)
            self.wake()

    def wake(self) -> None:
        """Have a lane that waits for an item see whether one was left to it."""
        if self._left:
            self._todo.put_nowait(_WAKE)
            self._staff()

    async def take(self, *, first: bool, busy: bool) -> _Ticket[I, R] | None:
        """Give a lane, which may be busy, its next item, perhaps its first one; None means that the lane is to end."""
        self._idle += not first
        try:
            if self._closing.is_set() or self._manned > self.cap:
                return None
            if self._left and not busy:
                return self._left.popleft()
            self._busy = self._busy and not self._todo.empty()
            while (ticket := await self._todo.get()) and not self._wanted(ticket.item):
                self._give_up(ticket)
            return ticket
        finally:
            self._idle -= 1

    def give(self, ticket: _Ticket[I, R], performed: Performed[R]) -> None:
        """Take a result, and let the item rest before another attempt if it deserves one."""
        ticket.previous = performed.result
        ticket.death = ""
        if performed.again and self._is_excused(ticket, performed):
            self.watcher.again(performed.result, 0.0)
            self.put(ticket)
            return
        ticket.attempt += 1
        if not performed.again or self._closing.is_set() or ticket.attempt > self._patience.retries:
            self.end(ticket, performed.result)
        else:
            pause = self._patience.pause(ticket.attempt)
            self.watcher.again(performed.result, pause)
            self._resting[ticket] = asyncio.get_running_loop().call_later(pause, self.put, ticket)

    def _is_excused(self, ticket: _Ticket[I, R], performed: Performed[R]) -> bool:
        """Tell whether an attempt does not count; where there are too many sessions there are fewer from now on."""
        if performed.crowded and self._open > 1:
            self.refused = True
            self.limits.lower(self._open - 1)
        elif not performed.excused:
            return False
        ticket.excuses += 1
        return ticket.excuses <= EXCUSES

    def died(self, ticket: _Ticket[I, R], what: str) -> None:
        """Give an item to another lane, unless it seems to be what kills them."""
        ticket.deaths += 1
        ticket.death = what
        ticket.previous = self.hands.lost(ticket.item, ticket.previous, what)
        if ticket.deaths < DEATHS:
            self.put(ticket)
        else:
            self.end(ticket, ticket.previous, f"{what}, {DEATHS} times")

    def _give_up(self, ticket: _Ticket[I, R]) -> None:
        """End an item that is not tried again. What an attempt did that nobody heard of is not known."""
        self.end(ticket, ticket.previous, ticket.death)

    def advanced(self, lane: int, item: I, amount: int) -> None:
        """Take note that so much more of an item is done."""
        self._amount += amount
        self.watcher.advanced(lane, item, amount)

    async def may_do(self, amount: int) -> None:
        """Wait until so much more may be done."""
        if self._wait_for:
            await asyncio.sleep(self._wait_for(amount, asyncio.get_running_loop().time()))

    async def keep(self, item: I, what: Any) -> None:
        """Wait until something about an item is kept for good."""
        if self._keep:
            await self._keep(item, what)

    def end(self, ticket: _Ticket[I, R], result: R | None, error: str = "") -> None:
        """End an item for good."""
        self._items += 1
        self._outstanding -= 1
        self._results.append(Finished(ticket.item, result, error))
        self._news.set()

    async def open(self, hands: Hands[S, I, R], *, had_one: bool) -> S | None:
        """Open a session for a lane; None means that the lane is to retire.

        The very first session is opened alone: a wrong password is tried once, not once per lane.
        """
        await self._permits.acquire()
        session = None
        try:
            session = await self._opened(hands, had_one)
        finally:
            if session is None:
                self._permits.release()
        return session

    async def _opened(self, hands: Hands[S, I, R], had_one: bool) -> S | None:
        if not self._proved:
            async with self._door:
                if not self._proved:
                    return await self._try_to_open(hands, had_one)
        return await self._try_to_open(hands, had_one)

    async def _try_to_open(self, hands: Hands[S, I, R], had_one: bool) -> S | None:
        failures = 0
        while not self._closing.is_set():
            try:
                return await self._open_one(hands)
            except Exception as error:  # noqa: BLE001 - whatever it is, `judge` says what it means
                failures += 1
                error_met = error
                if self._gives_up(hands.judge(error), error, failures, had_one):
                    return None
            pause = self._patience.pause(failures)
            self.watcher.waiting(error_met, pause)
            await set_within(self._closing, pause)
        return None

    async def _open_one(self, hands: Hands[S, I, R]) -> S:
        task = asyncio.current_task()
        assert task is not None
        self._opening.add(task)
        try:
            if isinstance(hands, FarHands):
                await hands.start()  # that may take longer than the turn lasts
            await self._turn_to_open()
            session = await hands.open()
        finally:
            self._opening.discard(task)
        self._proved = True
        self._open += 1
        self.opened += 1
        self.most_open = max(self.most_open, self._open)
        return session

    async def _turn_to_open(self) -> None:
        """Wait until one more opening is not one too many in any second: some servers ban for that."""
        clock = asyncio.get_running_loop().time
        turn = now = clock()
        if len(self._openings) == OPENINGS_PER_S:
            turn = max(now, self._openings[0] + 1.0)
        self._openings.append(turn)
        await asyncio.sleep(turn - now)

    def _gives_up(self, verdict: Verdict, error: Exception, failures: int, had_one: bool) -> bool:
        hopeless = verdict is Verdict.FATAL or failures > self._patience.retries
        if not self._open:
            if hopeless:
                self._fail(error)
            return hopeless
        refused = verdict is Verdict.REFUSED and not had_one
        if refused:
            self.refused = True
            self.limits.lower(self._open + len(self._opening))
        elif hopeless:
            self.limits.lower(self.cap - 1)
        return refused or hopeless

    async def close(self, session: S) -> None:
        """End a session and free its permit."""
        try:
            await session.close()
        finally:
            self._open -= 1
            self._permits.release()


class _Lane(Generic[S, I, R]):
    """The one coroutine that does the work, wherever it runs."""

    def __init__(self, crew: Crew[S, I, R], number: int, hands: Hands[S, I, R]) -> None:
        self.crew = crew
        self.number = number
        self.hands = hands
        self.session: S | None = None
        self.had_one = False
        self.running: dict[asyncio.Task[Any], I] = {}
        self.turn: asyncio.Future[None] | None = None
        self.ending = False

    async def work(self) -> None:
        try:
            first = True
            while (ticket := await self.crew.take(first=first, busy=bool(self.running))) is not None:
                first = False
                if ticket is _WAKE:
                    continue
                if any(self.hands.clash(ticket.item, other) for other in self.running.values()):
                    self.crew.leave_to_others(ticket)
                    await ended(self.running)
                    continue
                if not await self.ready_for(ticket):
                    return
                await self.begin(ticket)
            await ended(self.running)
        finally:
            self.end()
            cancel(self.running)
            await ended(self.running)
            await self.close_session()
            if isinstance(self.hands, FarHands):
                await self.hands.close()

    async def ready_for(self, ticket: _Ticket[I, R]) -> bool:
        """Have a usable session; else give the item back, and tell that there is none."""
        ready = False
        try:
            if self.session is not None and not self.session.usable:
                await ended(self.running)
                await self.close_session()
            if self.session is None:
                self.session = await self.crew.open(self.hands, had_one=self.had_one)
                self.had_one = True
            ready = self.session is not None
        finally:
            if not ready:
                self.crew.put(ticket)
        return ready

    async def begin(self, ticket: _Ticket[I, R]) -> None:
        """Start an item, and wait until the next one may start."""
        progress = _Progress(self, ticket.item)
        task = asyncio.create_task(self.perform(ticket, progress))
        self.running[task] = ticket.item
        while not progress.has_left or len(self.running) >= self.crew.overlap:
            self.turn = asyncio.get_running_loop().create_future()
            await self.turn

    def nudge(self) -> None:
        """Let the lane see whether the next item may start."""
        if self.turn and not self.turn.done():
            self.turn.set_result(None)

    async def perform(self, ticket: _Ticket[I, R], progress: "_Progress[I]") -> None:
        assert self.session is not None
        self.crew.watcher.begun(self.number, ticket.item)
        try:
            performed = await self.hands.perform(self.session, ticket.item, ticket.previous, progress)
        except asyncio.CancelledError:
            self.crew.end(ticket, ticket.previous, "it was interrupted")
        except NotBegun:
            self.crew.put(ticket)
        except WorkerDied as death:
            self.crew.died(ticket, str(death))
        except Exception as error:  # noqa: BLE001 - every escape becomes a result
            self.crew.end(ticket, ticket.previous, f"{type(error).__name__}: {error}")
        else:
            self.crew.give(ticket, performed)
        finally:
            self.crew.watcher.ended(self.number, ticket.item)
            task = asyncio.current_task()
            assert task is not None
            self.running.pop(task, None)
            progress.left()
            if not self.running:
                self.crew.wake()

    async def close_session(self) -> None:
        session, self.session = self.session, None
        if session is not None:
            before = self.ending
            self.end()
            await self.crew.close(session)
            if not before:
                self.ending = False
                self.crew.ending -= 1

    def end(self) -> None:
        """Count as one that takes nothing more."""
        self.crew.ending += not self.ending
        self.ending = True


class _Progress(Generic[I]):
    """The progress of one perform on its lane."""

    def __init__(self, lane: _Lane[Any, I, Any], item: I) -> None:
        self.has_left = False
        self._lane = lane
        self._item = item

    def left(self) -> None:
        self.has_left = True
        self._lane.nudge()

    def advanced(self, amount: int) -> None:
        self._lane.crew.advanced(self._lane.number, self._item, amount)

    async def may_do(self, amount: int) -> None:
        await self._lane.crew.may_do(amount)

    async def keep(self, what: Any) -> None:
        await self._lane.crew.keep(self._item, what)
