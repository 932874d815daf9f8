"""How work ends: the wish to stop, and waiting for tasks that were cancelled."""

import asyncio
import signal
from collections.abc import Callable, Iterable
from typing import Any


class Stop:
    """A request to end, made once from outside and looked at everywhere."""

    def __init__(self) -> None:
        """Begin without a request."""
        self.signum = 0
        self._event = asyncio.Event()
        self._listeners: set[Callable[[], None]] = set()

    @property
    def requested(self) -> bool:
        """True once the end was asked for."""
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
