"""Schedules items on lanes, each with a session of its own. Knows concurrency, and neither FTP nor files.

One coroutine, the lane, does all the work: it opens a session when it first needs one, takes an item, performs it,
gives back the result and replaces a session that broke. Everything else here decides how many lanes there are.
Tasks, threads, queues and semaphores are made in this module and nowhere else.
"""

import asyncio
import itertools
import os
import random
import re
import signal
import threading
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, NamedTuple, Protocol, Self, TypeVar

MOST_LANES = 256
ROOM_PER_LANE = 32

T = TypeVar("T")
S = TypeVar("S", bound="Session")
I = TypeVar("I")  # noqa: E741
R = TypeVar("R")
I_contra = TypeVar("I_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class Mode:
    """How the lanes are run, and how many there are at most."""

    kind: str
    lanes: int

    ALLOWED = "A (asynchronous, 8 connections), A<n> with n from 1 to 256, or S (serial)"

    @classmethod
    def parse(cls, text: str) -> "Mode":
        """Read `A`, `A<n>` or `S`, in either case. Raises ValueError with one line that says what is allowed."""
        found = re.fullmatch(r"([ATPS])(\d{0,9})", text.strip().upper())
        if found and found[1] in "TP":
            raise ValueError(f"{text!r}: threads and processes are not there yet; use {cls.ALLOWED}")
        if not found or (found[1] == "S" and found[2]):
            raise ValueError(f"{text!r} is no mode: use {cls.ALLOWED}")
        lanes = 1 if found[1] == "S" else int(found[2] or 8)
        if not 1 <= lanes <= MOST_LANES:
            raise ValueError(f"{text!r} is no mode: use {cls.ALLOWED}")
        return cls(found[1], lanes)

    def overlap(self, wanted: int) -> int:
        """Return how many performs may overlap on one session: serial means one, whatever was wanted."""
        return 1 if self.kind == "S" else wanted

    def __str__(self) -> str:
        """Return the mode as the user would write it."""
        return self.kind if self.kind == "S" else f"{self.kind}{self.lanes}"


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


class Verdict(Enum):
    """What an error while a session was opened means."""

    BROKEN = "try again"
    REFUSED = "too many sessions: try with fewer"
    FATAL = "trying again does not help"


class Session(Protocol):
    """What a lane must know of a session."""

    @property
    def usable(self) -> bool:
        """False once a new session is needed."""
        ...

    async def close(self) -> None:
        """End the session; bounded in time, and never raises."""
        ...


class Progress(Protocol):
    """What a perform tells while it is under way."""

    def left(self) -> None:
        """What I had to send has left: the next item may begin on this session."""
        ...

    def advanced(self, amount: int) -> None:
        """So much more of the item is done."""
        ...


class Performed(NamedTuple, Generic[R]):
    """A result, and whether the item deserves another attempt."""

    result: R
    again: bool = False


class Hands(Protocol[S, I_contra, R]):
    """The work itself, as the crew sees it."""

    async def open(self) -> S:
        """Open a session. Whatever it raises is shown to `judge`."""
        ...

    async def perform(self, session: S, item: I_contra, previous: R | None, progress: Progress) -> Performed[R]:
        """Do one item. `previous` is the result of the attempt before this one."""
        ...

    def judge(self, error: Exception) -> Verdict:
        """Say what an error of `open` means."""
        ...


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


class Done(NamedTuple, Generic[I, R]):
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


class Stop:
    """A request to end, made once from outside and looked at everywhere."""

    def __init__(self) -> None:
        """Begin without a request."""
        self.signum = 0
        self._event = asyncio.Event()
        self._listeners: set[Callable[[], None]] = set()

    @property
    def requested(self) -> bool:
        """True once somebody asked for the end."""
        return self._event.is_set()

    def request(self, signum: int = signal.SIGTERM) -> None:
        """Ask for the end; call from the event loop's thread."""
        self.signum = self.signum or signum
        self._event.set()
        for listener in list(self._listeners):
            listener()

    async def pause(self, seconds: float) -> bool:
        """Wait so many seconds, less if the end is asked for; tell whether it is."""
        return await _set_within(self._event, seconds)

    def listen(self, listener: Callable[[], None]) -> None:
        """Have `listener` called when the end is asked for."""
        self._listeners.add(listener)

    def forget(self, listener: Callable[[], None]) -> None:
        """Undo `listen`."""
        self._listeners.discard(listener)


def run(main: Callable[[Stop], Coroutine[Any, Any, int]], last_act: Callable[[], None] | None = None) -> int:
    """Run a program until it returns its exit code.

    The first SIGINT, SIGTERM or SIGHUP (unless that is ignored, as under nohup) requests its end; a second one ends the
    process at once with 128 + signal number, after `last_act`.
    """

    async def supervised() -> int:
        stop = Stop()
        loop = asyncio.get_running_loop()

        def on_signal(signum: int) -> None:
            if stop.requested:
                if last_act:
                    last_act()
                os._exit(128 + signum)
            stop.request(signum)

        signals = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as under nohup
            signals.append(signal.SIGHUP)
        for signum in signals:
            loop.add_signal_handler(signum, on_signal, signum)
        try:
            return await main(stop)
        finally:
            for signum in signals:
                loop.remove_signal_handler(signum)

    return asyncio.run(supervised())


class Offload:
    """One thread that does, one after the other, what must not hold up the event loop."""

    def __init__(self) -> None:
        """Begin without a thread; it is made when first needed."""
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="offload")

    async def __call__(self, function: Callable[..., T], *arguments: object) -> T:
        """Call a function in the thread and return what it returns."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, *arguments)

    def close(self) -> None:
        """End the thread once what it has begun is done."""
        self._executor.shutdown(wait=True, cancel_futures=True)


async def stream(make: Callable[[], Iterator[T]], bound: int = 64) -> AsyncGenerator[list[T], None]:
    """Iterate in a thread, at most `bound` items ahead, and yield what is ready, in order, in lists."""
    loop = asyncio.get_running_loop()
    ready: deque[T] = deque()
    news = asyncio.Event()
    room = threading.Semaphore(bound)
    abandoned = False

    def pump() -> None:
        items = make()
        while room.acquire() and not abandoned:
            try:
                ready.append(next(items))
            except StopIteration:
                return
            if len(ready) == 1:
                loop.call_soon_threadsafe(news.set)

    pumping = loop.run_in_executor(None, pump)
    pumping.add_done_callback(lambda _: news.set())
    try:
        while not pumping.done() or ready:
            batch = [ready.popleft() for _ in range(len(ready))]
            if batch:
                room.release(len(batch))
                yield batch
            elif not pumping.done():
                news.clear()
                if not ready and not pumping.done():
                    await news.wait()
        pumping.result()
    finally:
        abandoned = True
        room.release()
        await asyncio.wait({pumping})


@asynccontextmanager
async def beside() -> AsyncIterator[Callable[[Coroutine[Any, Any, None]], None]]:
    """Give a function that starts a coroutine beside what is done; all end here, and what one raised is raised."""
    tasks: set[asyncio.Task[None]] = set()
    try:
        yield lambda coroutine: tasks.add(asyncio.create_task(coroutine))
    finally:
        _cancel(tasks)
        await _ended(tasks)
    for task in tasks:
        if not task.cancelled():
            task.result()


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
        limit: int | None = None,
        grace_seconds: float = 3.0,
    ) -> None:
        """Prepare a crew; nothing is opened before there is an item to perform. `limit` lowers the mode's cap."""
        self.cap = max(1, min(mode.lanes, limit or mode.lanes))
        self.refused = False
        self.failure: Exception | None = None
        self.opened = 0
        self.most_open = 0
        self.hands = hands
        self.overlap = 1
        self.watcher = watcher or Watcher()
        self._mode = mode
        self._stop = stop
        self._patience = patience or Patience()
        self._grace_seconds = grace_seconds
        self._deadline: float | None = None
        self._todo: asyncio.Queue[_Ticket[I, R] | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(self.cap * ROOM_PER_LANE)
        self._permits = asyncio.Semaphore(self.cap)
        self._door = asyncio.Lock()
        self._proved = False
        self._open = 0
        self._idle = 0
        self._lanes: dict[asyncio.Task[None], _Lane[S, I, R]] = {}
        self._feeding: set[asyncio.Task[None]] = set()
        self._opening: set[asyncio.Task[Any]] = set()
        self._resting: dict[_Ticket[I, R], asyncio.TimerHandle] = {}
        self._results: deque[Done[I, R]] = deque()
        self._outstanding = 0
        self._closing = asyncio.Event()
        self._news = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Listen for the request to end."""
        self._stop.listen(self._news.set)
        return self

    async def __aexit__(self, *exception: object) -> None:
        """End all lanes and their sessions."""
        self._stop.forget(self._news.set)
        self._begin_closing()
        _cancel(self._feeding)
        if exception[0] is not None:
            self._cut()
        await _ended(self._feeding)
        await _ended(self._lanes)

    async def run(self, items: AsyncGenerator[I, None], overlap: int = 1) -> AsyncGenerator[list[Done[I, R]], None]:
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
            await _ended({feeding})
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

    async def _next(self, feeding: "asyncio.Task[None]") -> list[Done[I, R]]:
        while True:
            if self._stop.requested and self._deadline is None:
                self._deadline = asyncio.get_running_loop().time() + self._grace_seconds
                self._begin_closing()
            if self._closing.is_set() and not feeding.done():
                feeding.cancel()
                await _ended({feeding})
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
        _cancel(task for task, lane in self._lanes.items() if not lane.ending)

    def _begin_closing(self) -> None:
        if self._closing.is_set():
            return
        self._closing.set()
        while not self._todo.empty():
            if ticket := self._todo.get_nowait():
                self.end(ticket, ticket.previous)
        for ticket, timer in self._resting.items():
            timer.cancel()
            self.end(ticket, ticket.previous)
        self._resting.clear()
        for _ in self._lanes:
            self._todo.put_nowait(None)
        _cancel(self._opening)

    def _fail(self, error: Exception) -> None:
        self.failure = self.failure or error
        self._begin_closing()
        self._news.set()

    def _staff(self) -> None:
        """Add a lane if there is work that no idle lane will take."""
        if self._idle < self._todo.qsize() and len(self._lanes) < self.cap and not self._closing.is_set():
            numbers = {lane.number for lane in self._lanes.values()}
            lane = _Lane(self, next(number for number in itertools.count(1) if number not in numbers))
            task = asyncio.create_task(lane.work())
            self._lanes[task] = lane
            task.add_done_callback(self._lane_ended)

    def _lane_ended(self, lane: "asyncio.Task[None]") -> None:
        del self._lanes[lane]
        if not lane.cancelled() and (error := lane.exception()):
            self._fail(error if isinstance(error, Exception) else RuntimeError(repr(error)))
        self._staff()
        self._news.set()

    # What a lane asks of its crew.

    def put(self, ticket: _Ticket[I, R]) -> None:
        """Put an item up for whichever lane is free, for the first time or once more."""
        self._resting.pop(ticket, None)
        if self._closing.is_set():
            self.end(ticket, ticket.previous)
        else:
            self._todo.put_nowait(ticket)
            self._staff()

    async def take(self) -> _Ticket[I, R] | None:
        """Give a lane its next item; None means that the lane is to end."""
        if self._closing.is_set():
            return None
        self._idle += 1
        try:
            return await self._todo.get()
        finally:
            self._idle -= 1

    def give(self, ticket: _Ticket[I, R], performed: Performed[R]) -> None:
        """Take a result, and let the item rest before another attempt if it deserves one."""
        ticket.previous = performed.result
        ticket.attempt += 1
        if not performed.again or self._closing.is_set() or ticket.attempt > self._patience.retries:
            self.end(ticket, performed.result)
        else:
            pause = self._patience.pause(ticket.attempt)
            self.watcher.again(performed.result, pause)
            self._resting[ticket] = asyncio.get_running_loop().call_later(pause, self.put, ticket)

    def end(self, ticket: _Ticket[I, R], result: R | None, error: str = "") -> None:
        """End an item for good."""
        self._outstanding -= 1
        self._results.append(Done(ticket.item, result, error))
        self._news.set()

    async def open(self, *, had_one: bool) -> S | None:
        """Open a session for a lane; None means that the lane is to retire.

        The very first session is opened alone: a wrong password is tried once, not once per lane.
        """
        await self._permits.acquire()
        session = None
        try:
            session = await self._opened(had_one)
        finally:
            if session is None:
                self._permits.release()
        return session

    async def _opened(self, had_one: bool) -> S | None:
        if not self._proved:
            async with self._door:
                if not self._proved:
                    return await self._try_to_open(had_one)
        return await self._try_to_open(had_one)

    async def _try_to_open(self, had_one: bool) -> S | None:
        failures = 0
        while not self._closing.is_set():
            try:
                return await self._open_one()
            except Exception as error:  # noqa: BLE001 - whatever it is, `judge` says what it means
                failures += 1
                error_met = error
                if self._gives_up(error, failures, had_one):
                    return None
            pause = self._patience.pause(failures)
            self.watcher.waiting(error_met, pause)
            await _set_within(self._closing, pause)
        return None

    async def _open_one(self) -> S:
        task = asyncio.current_task()
        assert task is not None
        self._opening.add(task)
        try:
            session = await self.hands.open()
        finally:
            self._opening.discard(task)
        self._proved = True
        self._open += 1
        self.opened += 1
        self.most_open = max(self.most_open, self._open)
        return session

    def _gives_up(self, error: Exception, failures: int, had_one: bool) -> bool:
        verdict = self.hands.judge(error)
        hopeless = verdict is Verdict.FATAL or failures > self._patience.retries
        if not self._open:
            if hopeless:
                self._fail(error)
            return hopeless
        refused = verdict is Verdict.REFUSED and not had_one
        if refused:
            self.refused = True
            self.cap = max(1, self._open + len(self._opening))
        elif hopeless:
            self.cap = max(1, self.cap - 1)
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

    def __init__(self, crew: Crew[S, I, R], number: int) -> None:
        self.crew = crew
        self.number = number
        self.session: S | None = None
        self.had_one = False
        self.running: set[asyncio.Task[None]] = set()
        self.ending = False

    async def work(self) -> None:
        try:
            while (ticket := await self.crew.take()) is not None:
                if not await self.ready_for(ticket):
                    return
                await self.begin(ticket)
            await _ended(self.running)
        finally:
            self.ending = True
            _cancel(self.running)
            await _ended(self.running)
            await self.close_session()

    async def ready_for(self, ticket: _Ticket[I, R]) -> bool:
        """Have a usable session; else give the item back, and tell that there is none."""
        ready = False
        try:
            if self.session is not None and not self.session.usable:
                await _ended(self.running)
                await self.close_session()
            if self.session is None:
                self.session = await self.crew.open(had_one=self.had_one)
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
        self.running.add(task)
        task.add_done_callback(self.running.discard)
        await progress.has_left.wait()
        while len(self.running) >= self.crew.overlap:
            await asyncio.wait(self.running, return_when=asyncio.FIRST_COMPLETED)

    async def perform(self, ticket: _Ticket[I, R], progress: "_Progress[I]") -> None:
        assert self.session is not None
        self.crew.watcher.begun(self.number, ticket.item)
        try:
            performed = await self.crew.hands.perform(self.session, ticket.item, ticket.previous, progress)
        except asyncio.CancelledError:
            self.crew.end(ticket, ticket.previous, "it was interrupted")
        except Exception as error:  # noqa: BLE001 - every escape becomes a result
            self.crew.end(ticket, ticket.previous, f"{type(error).__name__}: {error}")
        else:
            self.crew.give(ticket, performed)
        finally:
            self.crew.watcher.ended(self.number, ticket.item)
            progress.left()

    async def close_session(self) -> None:
        session, self.session = self.session, None
        if session is not None:
            before, self.ending = self.ending, True
            await self.crew.close(session)
            self.ending = before


class _Progress(Generic[I]):
    """The progress of one perform on its lane."""

    def __init__(self, lane: _Lane[Any, I, Any], item: I) -> None:
        self.has_left = asyncio.Event()
        self._lane = lane
        self._item = item

    def left(self) -> None:
        self.has_left.set()

    def advanced(self, amount: int) -> None:
        self._lane.crew.watcher.advanced(self._lane.number, self._item, amount)


def _cancel(tasks: Iterable["asyncio.Task[Any]"]) -> None:
    for task in list(tasks):
        task.cancel()


async def _ended(tasks: Iterable["asyncio.Task[None]"]) -> None:
    while running := {task for task in tasks if not task.done()}:
        await asyncio.wait(running)


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
