"""The program's event loop: how it is run, and what is done off it. Knows nothing of the program."""

import asyncio
import gc
import os
import signal
import threading
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, Generic, Protocol, TypeVar
from weakref import WeakKeyDictionary

from async_mirror.crew.stop import Stop, cancel, ended

A = TypeVar("A")
T = TypeVar("T")
_MOST_AT_ONCE = 64
_MOST_STEPS = 256
"""Threads at work in steps: as many as there may be lanes."""
_HALTS_WITHIN_S = 2.0
_BESIDE, _LONG_S = 4, 0.002
"""A batch that has taken so long gets others beside it, so many in all."""


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
    gc.set_threshold(20_000, 20, 50)  # entries, futures and replies come and go by the thousand, without circles
    return in_new_loop(supervised())


def in_new_loop(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in an event loop of its own: uvloop's if that is installed, else asyncio's."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(main)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop  # noqa: PLC0415 - it may not be there
    except ImportError:
        return asyncio.new_event_loop
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


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
                    waiting.exception()  # what the step raised matters to nobody any more
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
        """Call this function; `discard` gets the results that nobody waits for any more."""
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
        loop.run_in_executor(None, self._function, arguments).add_done_callback(done)


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
        cancel(tasks)
        await ended(tasks)
    for task in tasks:
        if not task.cancelled():
            task.result()
