"""The program's event loop: how it is run and asked to end, and what is done off it. Knows nothing of the program."""

import asyncio
import os
import signal
import threading
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, TypeVar

T = TypeVar("T")


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
        return await set_within(self._event, seconds)

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
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
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
        cancel(tasks)
        await ended(tasks)
    for task in tasks:
        if not task.cancelled():
            task.result()


def cancel(tasks: Iterable["asyncio.Task[Any]"]) -> None:
    """Cancel tasks; what ends meanwhile does not matter."""
    for task in list(tasks):
        task.cancel()


async def ended(tasks: Iterable["asyncio.Task[None]"]) -> None:
    """Wait until tasks have ended, those that are added meanwhile too; what they raise stays with them."""
    while running := {task for task in tasks if not task.done()}:
        await asyncio.wait(running)


async def set_within(event: asyncio.Event, seconds: float) -> bool:
    """Wait for an event for so many seconds; tell whether it came."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
