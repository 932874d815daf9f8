"""An event loop in virtual time, whose network is `wire`'s and whose threads do their work at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Self

from .wire import Life, Socket, connect, connect_control
from .world import MOST_SECONDS, Killed, World


class _Task(asyncio.Task[Any]):
    """A task whose place in a set is the same in every run."""

    _made = 0

    def __new__(cls, *_: Any, **__: Any) -> Self:
        task = super().__new__(cls)
        _Task._made += 1
        task.number = _Task._made
        return task

    number: int

    def __hash__(self) -> int:
        return self.number

    def __eq__(self, other: object) -> bool:
        return self is other


class _Selector:
    """Waits for nothing: what happens in the world is what this loop's time consists of."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[object]:
        loop, world = self._loop, self._loop.world
        if loop.life.dead:
            raise Killed
        until = None if timeout is None else world.now + timeout
        waits = not loop.has_ready  # else all that is due by now happens, and no more
        reached = world.happen(until, lambda: (waits and loop.has_ready) or loop.life.dead)
        if loop.life.dead:
            raise Killed
        if world.now - loop.begun > MOST_SECONDS:
            world.found("bounded", f"a pass has taken {MOST_SECONDS:g} s")
        if not reached and not loop.has_ready:
            world.found("bounded", "the program waits for what will never come")
        return []

    def close(self) -> None:
        pass


class VirtualLoop(asyncio.BaseEventLoop):
    """See the module."""

    def __init__(self, world: World, life: Life) -> None:
        super().__init__()
        self.world = world
        self.life = life
        self.begun = world.now
        self._selector = _Selector(self)
        _Task._made = 0
        self.set_task_factory(lambda loop, coroutine, **more: _Task(coroutine, loop=loop, **more))
        self.set_exception_handler(self._take)
        self.troubles: list[str] = []
        self.signals: dict[int, tuple[Any, ...]] = {}
        """What is called when a signal comes."""

    @property
    def has_ready(self) -> bool:
        return bool(self._ready)  # type: ignore[attr-defined]

    def time(self) -> float:
        return self.world.now

    def _take(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not self.life.dead and "exception" in context and "never retrieved" not in context["message"]:
            self.troubles.append(f"{context['message']}: {context['exception']!r}")

    # What BaseEventLoop leaves to others.

    def _process_events(self, _: list[object]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass

    def add_signal_handler(self, signum: int, *call: Any) -> None:  # type: ignore[override]
        self.signals[signum] = call

    def remove_signal_handler(self, signum: int) -> bool:
        return self.signals.pop(signum, None) is not None

    def run_in_executor(self, _: Any, function: Callable[..., Any], *arguments: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """Do it now, and tell so soon; nobody is told any more by who was killed before or after."""
        future = self.create_future()
        self.life.at_work("before")
        if self.life.dead:
            return future
        try:
            result = function(*arguments)
            self.life.at_work("after")
        except Exception as error:  # noqa: BLE001 - whatever it is, who asked wants to know
            self.call_soon(_fail, future, error)
        else:
            if self.world.chance.random() < 0.2:
                self.call_later(self.world.delay(), _finish, future, result)
            else:
                self.call_soon(_finish, future, result)
        return future

    async def create_connection(self, factory: Any, host: Any = None, port: Any = None, **more: Any) -> Any:  # type: ignore[override]
        return await connect_control(self, factory, (host, port), more.get("sock"))

    async def sock_connect(self, sock: Socket, address: Any) -> None:  # type: ignore[override]
        await connect(self, sock, address)

    async def sock_sendall(self, sock: Socket, data: bytes) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        sock.send(data)

    async def sock_recv(self, sock: Socket, size: int) -> bytes:  # type: ignore[override]
        return await sock.receive(size)


def _finish(future: asyncio.Future[Any], result: object) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
