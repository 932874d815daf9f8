"""The one file of multiprogramming: whatever starts something stands here. Knows neither FTP nor files.

A crew schedules items on lanes, each with a session of its own. One coroutine, the lane, does all the work: it opens a
session when it first needs one, takes an item, performs it, gives back the result and replaces a session that broke.
Its hands work in this event loop, in a thread or in a process: that is all the difference between A, T and P.

The second half is what any program needs: an event loop and signals, threads for what blocks, programs.
"""

import asyncio
import gc
import itertools
import logging
import os
import signal
import socket
import subprocess
import threading
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from contextvars import copy_context
from functools import cache
from typing import Any, Generic, Protocol, Self, TypeVar
from weakref import WeakKeyDictionary

from async_mirror.crew.broker import Broker, Share
from async_mirror.crew.cap import Cap, FixedCap, Meter
from async_mirror.crew.door import Door
from async_mirror.crew.ledger import Ledger, Ticket
from async_mirror.crew.mode import Mode
from async_mirror.crew.parking import Parking
from async_mirror.crew.patience import Patience
from async_mirror.crew.stop import Stop, cancel, ended
from async_mirror.crew.wire import LogOver, Wire
from async_mirror.crew.work import Finished, Hands, I, NotBegun, Performed, R, S, Terms, Watcher, WorkerDied
from async_mirror.crew.workers import LAST_SECONDS, FarHands, Worker

_log = logging.getLogger("async_mirror")

ROOM_PER_LANE = 32
_MEASURED_EVERY_S = 0.5
_MOST_AT_ONCE = 64
_MOST_STEPS = 256
"""Threads at work in steps: as many as there may be lanes."""
_HALTS_WITHIN_S = 2.0
_NOT_FOR_WORKERS = signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1
_BESIDE, _LONG_S = 4, 0.002
"""A batch that has taken so long gets others beside it, so many in all."""

A = TypeVar("A")
T = TypeVar("T")

_WAKE: Ticket[Any, Any] = Ticket(None)
"""What is put up for a lane that waits, to have it look for an item that was left to the free ones."""


class _Desk(Generic[I, R]):
    """Where items wait: for any lane, for one that is free, or for their next attempt."""

    def __init__(self, ledger: Ledger[I, R], room: int, news: asyncio.Event) -> None:
        self.closing = asyncio.Event()
        self.room = asyncio.Semaphore(room)
        self.idle = 0
        self.todo: asyncio.Queue[Ticket[I, R] | None] = asyncio.Queue()
        self._ledger = ledger
        self._news = news
        self._left: deque[Ticket[I, R]] = deque()
        self._resting: dict[Ticket[I, R], asyncio.TimerHandle] = {}

    @property
    def is_short_of_lanes(self) -> bool:
        """True if something waits that no idle lane will take."""
        return self.idle < self.todo.qsize() and not self.closing.is_set()

    def put(self, ticket: Ticket[I, R]) -> None:
        """Put an item up for whichever lane is free, for the first time or once more."""
        self._resting.pop(ticket, None)
        if self.closing.is_set():
            self.refuse(ticket)
        else:
            self.todo.put_nowait(ticket)

    def rest(self, ticket: Ticket[I, R], seconds: float, put: Callable[[Ticket[I, R]], None]) -> None:
        """Let an item rest, and `put` it then."""
        self._resting[ticket] = asyncio.get_running_loop().call_later(seconds, put, ticket)

    def leave_to_others(self, ticket: Ticket[I, R]) -> None:
        """Take back an item that clashes with what a lane does, for whichever is free first."""
        if self.closing.is_set():
            self.refuse(ticket)
        else:
            self._left.append(ticket)

    def wake(self) -> bool:
        """Have a lane that waits for an item see whether one was left to it."""
        if self._left:
            self.todo.put_nowait(_WAKE)
        return bool(self._left)

    def left_over(self) -> Ticket[I, R] | None:
        """Give a lane that is not busy an item that was left to the free ones, if there is one."""
        return self._left.popleft() if self._left else None

    def refuse(self, ticket: Ticket[I, R]) -> None:
        """End an item that is not wanted any more when its turn comes."""
        self._ledger.give_up(ticket)
        self._news.set()

    def close(self, lanes: int) -> None:
        """Give up what waits, and send so many lanes home."""
        self.closing.set()
        while not self.todo.empty():
            if (ticket := self.todo.get_nowait()) and ticket is not _WAKE:
                self._ledger.give_up(ticket)
        while self._left:
            self._ledger.give_up(self._left.popleft())
        for ticket, timer in self._resting.items():
            timer.cancel()
            self._ledger.give_up(ticket)
        self._resting.clear()
        for _ in range(lanes):
            self.todo.put_nowait(None)


class Crew(Generic[S, I, R]):
    """Lanes over one event loop, never more than the cap says, and never more open sessions."""

    def __init__(
        self,
        hands: Hands[S, I, R],
        mode: Mode,
        stop: Stop,
        patience: Patience | None = None,
        *,
        watcher: Watcher[I, R] | None = None,
        cap: Cap | Share | None = None,
        terms: Terms[I] | None = None,
        parking: Parking[S] | None = None,
    ) -> None:
        """Prepare a crew; nothing is opened before there is an item to perform.

        `cap` says how many lanes there are, or what share of those of several crews; else the mode does.
        """
        limits = cap if isinstance(cap, Share) else Broker().share(None, cap or FixedCap(mode.lanes))
        self.hands = hands
        self.watcher = watcher or Watcher()
        self.terms = terms or Terms()
        self.overlap = 1
        self.ending = 0
        self.meter = Meter()
        self._mode = mode
        self._stop = stop
        self._ledger: Ledger[I, R] = Ledger(patience or Patience())
        self._news = asyncio.Event()
        self._desk = _Desk(self._ledger, limits.most * ROOM_PER_LANE, self._news)
        self._feeding: set[asyncio.Task[None]] = set()
        self._lanes: dict[asyncio.Task[None], _Lane[S, I, R]] = {}
        self._measuring: asyncio.TimerHandle | None = None
        closing = self._desk.closing
        self.door: Door[S] = Door(
            limits,
            self._ledger.patience,
            closing,
            watcher=self.watcher,
            failed=self._begin_closing,
            greet=self.terms.opened,
            parking=parking,
        )

    async def __aenter__(self) -> Self:
        """Listen for the request to end."""
        self._stop.listen(self._stopped)
        if self._stop.requested:
            self._stopped()
        return self

    async def __aexit__(self, *exception: object) -> None:
        """End all lanes and their sessions."""
        self._stop.forget(self._stopped)
        if self._measuring:
            self._measuring.cancel()
        self._begin_closing()
        cancel(self._feeding)
        if exception[0] is not None:
            self._cut()
        await ended(self._feeding)
        await ended(self._lanes)

    def _stopped(self) -> None:
        """Let what has begun go on for a while, then cut it."""
        self._begin_closing()
        asyncio.get_running_loop().call_later(self.terms.grace_seconds, self._cut)

    async def run(self, items: AsyncGenerator[I, None], overlap: int = 1) -> AsyncGenerator[list[Finished[I, R]], None]:
        """Perform all items, and yield what ended, in lists. Every item that was taken from `items` ends exactly once.

        `overlap` is how many performs may be under way on one session. Items are taken as there is room for them.
        When the end is requested, or no session can be had (`failure`), what has begun may finish and the rest ends
        unbegun. What `items` raises is raised here, after all that was taken has ended.
        """
        self.overlap = self._mode.overlap(overlap)
        feeding = start(self._feed(items))
        feeding.add_done_callback(lambda _: self._news.set())
        self._feeding.add(feeding)
        feeding.add_done_callback(self._feeding.discard)
        try:
            while batch := await self._next(feeding):
                yield batch
                for _ in batch:
                    self._desk.room.release()
            if not feeding.cancelled():
                feeding.result()
        finally:
            feeding.cancel()
            await ended({feeding})
            await items.aclose()

    async def _feed(self, items: AsyncGenerator[I, None]) -> None:
        while True:
            await self._desk.room.acquire()
            try:
                item = await anext(items)
            except StopAsyncIteration:
                self._desk.room.release()
                return
            self.put(self._ledger.enter(item))

    async def _next(self, feeding: "asyncio.Task[None]") -> list[Finished[I, R]]:
        while True:
            if self._desk.closing.is_set() and not feeding.done():
                feeding.cancel()
                await ended({feeding})
            if batch := self._ledger.finished():
                return batch
            if feeding.done() and not self._ledger.outstanding:
                return []
            self._news.clear()
            await self._news.wait()

    def _cut(self) -> None:
        """Cancel what runs; a lane that is saying goodbye to its session is let finish, which is bounded."""
        cancel(task for task, lane in self._lanes.items() if not lane.ending)

    def _begin_closing(self) -> None:
        if not self._desk.closing.is_set():
            self._desk.close(len(self._lanes))
            self.door.close()
            self._news.set()

    def _staff(self) -> None:
        """Add lanes while there is work that no idle lane will take."""
        while self._desk.is_short_of_lanes and self._manned < self.door.limits.lanes:
            self._desk.idle += 1  # until it has taken its first item
            numbers = {lane.number for lane in self._lanes.values()}
            number = next(number for number in itertools.count(1) if number not in numbers)
            lane = _Lane(self, number, _placed(self.hands, self._mode, self.terms.kept))
            task = start(lane.work())
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
        self.meter.tell(self.door.limits, loop.time(), self._ledger.items, self.door.open_now, idle=self._desk.idle > 0)
        if self._desk.idle and self._manned > self.door.limits.lanes:
            self._desk.todo.put_nowait(_WAKE)  # a lane that only waits is to see that others want its session
        self._measuring = loop.call_later(_MEASURED_EVERY_S, self._measure)
        self._staff()

    def _lane_ended(self, lane: "asyncio.Task[None]") -> None:
        self.ending -= self._lanes.pop(lane).ending
        if not lane.cancelled() and (error := lane.exception()):
            self.door.fail(error if isinstance(error, Exception) else RuntimeError(repr(error)))
        self._staff()
        self._news.set()

    # What a lane asks of its crew.

    def put(self, ticket: Ticket[I, R]) -> None:
        """Put an item up for whichever lane is free, for the first time or once more."""
        self._desk.put(ticket)
        self._staff()

    def leave_to_others(self, ticket: Ticket[I, R]) -> None:
        """Take back an item that clashes with what a lane does, for whichever is free first."""
        self._desk.leave_to_others(ticket)
        self.wake()

    def wake(self) -> None:
        """Have a lane that waits for an item see whether one was left to it."""
        if self._desk.wake():
            self._staff()

    async def take(self, *, first: bool, busy: bool) -> Ticket[I, R] | None:
        """Give a lane, which may be busy, its next item, perhaps its first one; None means that the lane is to end."""
        self._desk.idle += not first
        try:
            if self._desk.closing.is_set() or self._manned > self.door.limits.lanes:
                return None
            self.meter.busy = self.meter.busy and not self._desk.todo.empty()
            if not busy and (left := self._desk.left_over()):
                return left
            while (ticket := await self._desk.todo.get()) and not self.terms.wanted(ticket.item):
                self._desk.refuse(ticket)
            return ticket
        finally:
            self._desk.idle -= 1

    def give(self, ticket: Ticket[I, R], performed: Performed[R]) -> None:
        """Take a result, and let the item rest before another attempt if it deserves one."""
        excused = performed.again and (performed.excused or (performed.crowded and self.door.crowded()))
        pause = self._ledger.after(ticket, performed, excused=excused, last=self._desk.closing.is_set())
        if pause is None:
            self._news.set()
            return
        self.watcher.again(performed.result, pause)
        if pause:
            self._desk.rest(ticket, pause, self.put)
        else:
            self.put(ticket)

    def died(self, ticket: Ticket[I, R], what: str) -> None:
        """Give an item to another lane, unless it seems to be what kills them."""
        if self._ledger.died(ticket, what, self.hands.lost(ticket.item, ticket.previous, what)):
            self.put(ticket)
        self._news.set()

    def end(self, ticket: Ticket[I, R], error: str) -> None:
        """End an item for good, with the result of the attempt before."""
        self._ledger.end(ticket, ticket.previous, error)
        self._news.set()


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

    async def ready_for(self, ticket: Ticket[I, R]) -> bool:
        """Have a usable session; else give the item back, and tell that there is none."""
        ready = False
        try:
            if self.session is not None and not self.session.usable:
                await ended(self.running)
                await self.close_session()
            if self.session is None:
                self.session = await self.crew.door.open(self.hands, self.number, had_one=self.had_one)
                self.had_one = True
            ready = self.session is not None
        finally:
            if not ready:
                self.crew.put(ticket)
        return ready

    async def begin(self, ticket: Ticket[I, R]) -> None:
        """Start an item, and wait until the next one may start."""
        progress = _Progress(self, ticket.item)
        task = start(self.perform(ticket, progress))
        self.running[task] = ticket.item
        while not progress.has_left or len(self.running) >= self.crew.overlap:
            self.turn = asyncio.get_running_loop().create_future()
            await self.turn

    def nudge(self) -> None:
        """Let the lane see whether the next item may start."""
        if self.turn and not self.turn.done():
            self.turn.set_result(None)

    async def perform(self, ticket: Ticket[I, R], progress: "_Progress[I]") -> None:
        assert self.session is not None
        self.crew.watcher.begun(self.number, ticket.item)
        try:
            performed = await self.hands.perform(self.session, ticket.item, ticket.previous, progress)
        except asyncio.CancelledError:
            self.crew.end(ticket, "interrupted")
        except NotBegun:
            self.crew.put(ticket)
        except WorkerDied as death:
            self.crew.died(ticket, str(death))
        except Exception as error:  # noqa: BLE001 - every escape becomes a result
            self.crew.end(ticket, f"{type(error).__name__}: {error}")
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
            await self.crew.door.leave(session)
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
        crew = self._lane.crew
        crew.meter.amount += amount
        crew.watcher.advanced(self._lane.number, self._item, amount)

    async def may_do(self, amount: int) -> None:
        if wait_for := self._lane.crew.terms.wait_for:
            await asyncio.sleep(wait_for(amount, asyncio.get_running_loop().time()))

    async def keep(self, what: Any) -> None:
        if keep := self._lane.crew.terms.keep:
            await keep(self._item, what)


# Lanes whose hands work elsewhere.


def _placed(hands: Hands[S, I, R], mode: Mode, kept: Iterable[int]) -> Hands[Any, I, R]:
    """Return hands for one lane, where the mode has them work; worker processes hold the descriptors `kept`."""
    match mode.kind:
        case "T":
            return FarHands(hands, _Thread(), start)
        case "P":
            return FarHands(hands, _Process(kept), start)
        case _:
            return hands


class _Thread:
    """A worker in a thread of this process, which can be asked to end but not be made to."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None

    async def start(self, hands: Hands[Any, Any, Any], end: socket.socket) -> None:
        self._thread = threading.Thread(target=copy_context().run, args=(_work, hands, end), name="lane", daemon=True)
        try:
            self._thread.start()
        except BaseException:
            end.close()
            raise

    async def clear(self) -> None:
        if self._thread and self._thread.ident:
            await in_thread(self._thread.join, LAST_SECONDS)
        self._thread = None


class Kept:
    """A file descriptor that a worker process holds open for as long as it lives, a lock for example."""

    def __init__(self, descriptor: int) -> None:
        """Name the descriptor."""
        self.descriptor = descriptor

    def __reduce__(self) -> tuple[Callable[[Any], "Kept"], tuple[Any]]:
        """Travel to a process that is being spawned."""
        from multiprocessing import reduction

        return _kept, (reduction.DupFd(self.descriptor),)


def _kept(duplicate: Any) -> Kept:
    return Kept(duplicate.detach())


class _Process:
    """A worker in a process of its own, which holds some descriptors open too."""

    def __init__(self, kept: Iterable[int]) -> None:
        self._kept = [Kept(descriptor) for descriptor in kept]
        self._process: Any = None
        self._starting: asyncio.Future[None] | None = None

    async def start(self, hands: Hands[Any, Any, Any], end: socket.socket) -> None:
        import multiprocessing

        context = multiprocessing.get_context("spawn")
        arguments = (hands, end, self._kept, _log.getEffectiveLevel())
        self._process = context.Process(target=_work_in_process, args=arguments, name="lane", daemon=True)
        self._starting = starting = in_thread(_start_without_signals, self._process)
        starting.add_done_callback(lambda _: end.close())
        await asyncio.wait({starting})
        starting.result()

    async def clear(self) -> None:
        if self._starting:
            await asyncio.wait({self._starting})
        if self._process and self._process.ident:
            await in_thread(self._process.join, LAST_SECONDS)
            if self._process.is_alive():
                self._process.kill()
                await in_thread(self._process.join)
            self._process.close()
        self._process = None


def _start_without_signals(process: Any) -> None:
    """Start a process to which a Ctrl-C in the terminal says nothing, not even while it starts."""
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # with the first process, this would let the signals through again
    signal.pthread_sigmask(signal.SIG_BLOCK, _NOT_FOR_WORKERS)
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _NOT_FOR_WORKERS)


def _work(hands: Hands[Any, Any, Any], end: socket.socket, *, has_log: bool = True) -> None:
    """Be a worker until the other side ends, where the log is kept unless this process `has_log` itself."""

    async def serve() -> None:
        talk = await Wire.over(end)
        if not has_log:
            _log.addHandler(LogOver(talk))
        await Worker(hands, talk, start).work()

    try:
        with suppress(SystemExit):
            _in_new_loop(serve())
    finally:
        end.close()


def _work_in_process(hands: Hands[Any, Any, Any], end: socket.socket, _kept: Iterable[Kept], log_level: int) -> None:
    """Be a worker until the other side ends. A signal is the main process's business; it ends the worker."""
    for signum in _NOT_FOR_WORKERS:
        signal.signal(signum, signal.SIG_IGN)
    _log.setLevel(log_level)
    _work(hands, end, has_log=False)


# What any program needs.


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
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            signals.append(signal.SIGHUP)
        for signum in signals:
            loop.add_signal_handler(signum, on_signal, signum)
        try:
            return await main(stop)
        finally:
            for signum in signals:
                loop.remove_signal_handler(signum)

    gc.freeze()  # what was imported stays
    gc.set_threshold(20_000, 5, 5)  # entries, futures and replies come and go by the thousand; a pass leaves a circle
    return _in_new_loop(supervised())


def _in_new_loop(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in an event loop of its own: uvloop's if that is installed, else asyncio's."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(main)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop  # it may not be there
    except ImportError:
        return asyncio.new_event_loop
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def start(coroutine: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
    """Start a coroutine beside."""
    return asyncio.create_task(coroutine)


def in_thread(function: Callable[..., T], *arguments: object) -> "asyncio.Future[T]":
    """Call a function in some thread."""
    return asyncio.get_running_loop().run_in_executor(None, function, *arguments)


def on_signal(signum: signal.Signals, call: Callable[[], None] | None) -> None:
    """Have a function called in this event loop when a signal comes; None: no more."""
    loop = asyncio.get_running_loop()
    if call:
        loop.add_signal_handler(signum, call)
    else:
        loop.remove_signal_handler(signum)


def run_program(words: Sequence[str]) -> "subprocess.CompletedProcess[bytes]":
    """Run a program to its end and keep what it prints. Raises OSError, or ValueError for a NUL in its words."""
    return subprocess.run(words, stdout=subprocess.PIPE, check=False)  # noqa: S603 - that is what was asked for


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


class Steps(Protocol):
    """What a thread does in steps, none of them long."""

    @property
    def goes_on(self) -> bool:
        """True while there is a next step."""
        ...

    def step(self) -> int:
        """Do a step, in a thread, and return what it came to."""
        ...

    def halt(self) -> None:
        """Have the step that is under way, and all of it, end soon."""
        ...

    def close(self) -> None:
        """Let go of what steps use, in whatever thread."""
        ...


@cache
def _for_streams() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_MOST_STEPS, thread_name_prefix="stream")


@cache
def _for_steps() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_MOST_STEPS, thread_name_prefix="steps")


async def in_steps(work: Steps, tell: Callable[[int], None]) -> None:
    """Do all of the steps in threads, and tell here what each came to; what one raises is raised.

    However it ends, `close` is called once no step is under way any more. A cancellation halts the work and waits for
    that, but not for ever: a thread that a dead disk holds closes what it used itself, should it ever come back.
    """
    step: Future[int] | None = None
    waiting: asyncio.Future[int] | None = None
    try:
        while work.goes_on:
            step = _for_steps().submit(work.step)
            waiting = asyncio.wrap_future(step)
            await asyncio.wait({waiting})
            tell(waiting.result())
    finally:
        work.halt()
        try:
            if waiting and not waiting.done():
                await asyncio.wait({waiting}, timeout=_HALTS_WITHIN_S)
                if not waiting.cancel():
                    waiting.exception()  # what the step raised does not matter any more
        finally:
            if step is None:
                work.close()
            else:
                step.add_done_callback(lambda _: work.close())


class Batched(Generic[A, T]):
    """Calls a function in a thread. What is asked for while it works goes together into its next call.

    The function gets a list and returns as many results. A call that takes long, as on a slow disk, gets others beside.
    """

    def __init__(self, function: Callable[[Sequence[A]], Sequence[T]], discard: Callable[[T], None]) -> None:
        """Call this function; `discard` gets the results that are not awaited any more."""
        self._function = function
        self._discard = discard
        self._waiting: list[tuple[A, asyncio.Future[T]]] = []
        self._running = 0
        self._looks = False

    async def __call__(self, argument: A) -> T:
        """Return what the function makes of an argument."""
        loop = asyncio.get_running_loop()
        result: asyncio.Future[T] = loop.create_future()
        self._waiting.append((argument, result))
        if not self._running:
            self._call(loop)
        elif not self._looks:
            self._looks = True
            loop.call_later(_LONG_S, self._look, loop)
        try:
            return await result
        except asyncio.CancelledError:
            if result.done() and not result.cancelled() and not result.exception():
                self._discard(result.result())
            raise

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Help what has waited for so long, unless there are enough calls under way."""
        if self._waiting and self._running < _BESIDE:
            self._call(loop)
        self._looks = bool(self._waiting)
        if self._looks:
            loop.call_later(_LONG_S, self._look, loop)

    def _call(self, loop: asyncio.AbstractEventLoop) -> None:
        asked, self._waiting = self._waiting[:_MOST_AT_ONCE], self._waiting[_MOST_AT_ONCE:]
        self._running += 1

        def done(called: "asyncio.Future[Sequence[T]]") -> None:
            self._running -= 1
            if self._waiting:
                self._call(loop)
            error = called.exception()
            results: Sequence[T] = () if error else called.result()
            for index, (_, waiting) in enumerate(asked):
                if error and not waiting.done():
                    waiting.set_exception(error)
                elif not error and waiting.done():
                    self._discard(results[index])
                elif not error:
                    waiting.set_result(results[index])

        arguments = [argument for argument, _ in asked]
        in_thread(self._function, arguments).add_done_callback(done)


_batched: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Any, Batched[Any, Any]]] = WeakKeyDictionary()


def batched(function: Callable[[Sequence[A]], Sequence[T]], discard: Callable[[T], None]) -> Batched[A, T]:
    """Return what calls a function in batches, the same for all who run in this event loop."""
    of_loop = _batched.setdefault(asyncio.get_running_loop(), {})
    if function not in of_loop:
        of_loop[function] = Batched(function, discard)
    return of_loop[function]


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

    pumping = asyncio.wrap_future(_for_streams().submit(pump))  # it may wait for room: not where others need a thread
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

    def begin(coroutine: Coroutine[Any, Any, None]) -> None:
        tasks.add(task := start(coroutine))
        task.add_done_callback(lambda _: None if task.cancelled() or task.exception() else tasks.discard(task))

    try:
        yield begin
    finally:
        cancel(tasks)
        await ended(tasks)
    for task in tasks:
        if not task.cancelled():
            task.result()


@asynccontextmanager
async def listening(
    door: socket.socket,
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]],
    most_bytes: int,
) -> AsyncIterator[None]:
    """Have everybody served beside who connects to a Unix socket, and read lines of so many bytes from them."""
    async with beside() as begin:
        server = await asyncio.start_unix_server(lambda *ends: begin(serve(*ends)), sock=door, limit=most_bytes)
        try:
            yield
        finally:
            server.close()
