"""Hands that work in a worker, a thread or a process with an event loop of its own: both ends of that talk.

A worker has one session at a time. It does what it is asked for over a socket: open a session, perform an item on it,
close it. The socket ends with the worker, however that ends, and the worker with the socket. Nothing is started here:
tasks are by the `Start`, and workers by the `Place`, that is handed in.
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Generic, NamedTuple, Protocol

from async_mirror.crew import wire
from async_mirror.crew.stop import cancel, ended
from async_mirror.crew.work import Hands, I, NotBegun, Performed, Progress, R, Session, Verdict, WorkerDied

LAST_SECONDS = 3.0
"""How long a worker may take to end before its process is killed (a thread is left to itself)."""
_ADVANCES_EVERY_S = 0.1
_log = logging.getLogger("async_mirror")
DIED = "its worker died"

Start = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]
"""Starts a coroutine beside."""


class Place(Protocol):
    """Where one worker at a time works."""

    async def start(self, hands: Hands[Any, Any, Any], end: socket.socket) -> None:
        """Start a worker that serves this end of a socket, and closes it."""
        ...

    async def clear(self) -> None:
        """See that the worker is gone, in the end by force if that can be; one that is half-started, too."""
        ...


class Worker:
    """Does what it is asked for, each thing in a task of its own."""

    def __init__(self, hands: Hands[Any, Any, Any], talk: wire.Wire, start: Start) -> None:
        self._hands = hands
        self._wire = talk
        self._start = start
        self._session: Session | None = None
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._progress: dict[int, _FarProgress] = {}

    async def work(self) -> None:
        try:
            async for message in self._wire.messages():
                self._take(message)
        finally:
            cancel(self._tasks.values())
            await ended(self._tasks.values())
            if self._session:
                await self._session.close()
            self._wire.close()

    def _take(self, message: Any) -> None:
        match message:
            case wire.Learned(found):
                self._hands.learn(found)
            case wire.Cancel(call):
                cancel([self._tasks[call]] if call in self._tasks else [])
            case wire.Go(call):
                if call in self._progress:
                    self._progress[call].go.set()
            case _:
                task = self._start(self._answer(message))
                self._tasks[message.call] = task
                task.add_done_callback(lambda task: self._forget(message.call, task))

    def _forget(self, call: int, task: asyncio.Task[None]) -> None:
        self._tasks.pop(call, None)
        if not task.cancelled():
            task.exception()  # what ended the worker is not an error that was overlooked

    async def _answer(self, request: wire.Request) -> None:
        try:
            result = await self._done(request)
            self._wire.tell(self._hands)
            self._wire.send(wire.Answer(request.call, result, self._session is not None and self._session.usable))
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - whatever it is, who asked wants to know
            self._wire.tell(self._hands)
            self._wire.send(wire.Raised(request.call, wire.portable(error)))

    async def _done(self, request: wire.Request) -> Any:
        match request:
            case wire.Hello():
                return None
            case wire.Open():
                self._session = await self._hands.open()
                return None
            case wire.Close(call):
                await ended(task for other, task in self._tasks.items() if other != call)
                session, self._session = self._session, None
                return await session.close() if session else None
            case wire.Perform(call, item, previous):
                if self._session is None or not self._session.usable:
                    raise NotBegun
                self._progress[call] = progress = _FarProgress(self._wire, call)
                try:
                    return await self._hands.perform(self._session, item, previous, progress)
                finally:
                    progress.tell()
                    del self._progress[call]


class _FarProgress:
    """Progress of an item in a worker: what is to be said goes over the wire, and not too often."""

    def __init__(self, talk: wire.Wire, call: int) -> None:
        self.go = asyncio.Event()
        self._wire = talk
        self._call = call
        self._amount = 0
        self._told = 0.0

    def left(self) -> None:
        self.tell()
        self._wire.send(wire.Left(self._call))

    def advanced(self, amount: int) -> None:
        self._amount += amount
        if asyncio.get_running_loop().time() - self._told >= _ADVANCES_EVERY_S:
            self.tell()

    def tell(self) -> None:
        """Say what was not said yet."""
        if self._amount:
            self._wire.send(wire.Advanced(self._call, self._amount))
            self._told = asyncio.get_running_loop().time()
            self._amount = 0

    async def may_do(self, amount: int) -> None:
        await self._ask(wire.MayDo(self._call, amount))

    async def keep(self, what: Any) -> None:
        await self._ask(wire.Keep(self._call, what))

    async def _ask(self, question: wire.MayDo | wire.Keep) -> None:
        """Ask and wait for the answer; a perform asks one thing at a time."""
        self.go.clear()
        self._wire.send(question)
        await self.go.wait()


class FarSession:
    """A session in a worker, as its lane sees it."""

    def __init__(self, hands: "FarHands[Any, Any]") -> None:
        """Be usable."""
        self.usable = True
        self._hands = hands

    async def close(self) -> None:
        """End the session, if its worker still lives."""
        self.usable = False
        try:
            async with asyncio.timeout(LAST_SECONDS):
                await self._hands.ask(wire.Close)
        except WorkerDied:
            pass
        except TimeoutError:
            self._hands.hang_up()


class _Call(NamedTuple):
    answer: "asyncio.Future[Any]"
    progress: Progress | None


class FarHands(Generic[I, R]):
    """Hands that work in a thread, or in a process of their own.

    The worker is started when a session is to be opened, and again if it died. What it was doing raises WorkerDied.
    """

    def __init__(self, hands: Hands[Any, I, R], place: Place, start: Start) -> None:
        """Take the hands that are to work in that place."""
        self._hands = hands
        self._place = place
        self._start = start
        self._wire: wire.Wire | None = None
        self._listening: asyncio.Task[None] | None = None
        self._session: FarSession | None = None
        self._calls: dict[int, _Call] = {}
        self._asked = 0
        self._answering: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Start the worker if there is none, and wait until it answers."""
        if self._wire is None:
            await self._start_worker()
            await self.ask(wire.Hello)

    async def open(self) -> FarSession:
        """Open a session in the worker, and start that if need be."""
        await self.start()
        await self.ask(wire.Open)
        self._session = FarSession(self)
        return self._session

    async def perform(self, session: FarSession, item: I, previous: R | None, progress: Progress) -> Performed[R]:
        """Have the worker do one item. Raises NotBegun if the session broke before, WorkerDied if the worker did."""
        performed: Performed[R] = await self.ask(wire.Perform, item, previous, progress=progress)
        return performed

    def judge(self, error: Exception) -> Verdict:
        """Say what an error of `open` means."""
        return Verdict.BROKEN if isinstance(error, WorkerDied) else self._hands.judge(error)

    def clash(self, item: I, other: I) -> bool:
        """Tell whether two items are not to be under way together, as far as is known here."""
        return self._hands.clash(item, other)

    def lost(self, item: I, previous: R | None, what: str) -> R | None:
        """Return what stands for an attempt whose worker died."""
        return self._hands.lost(item, previous, what)

    def learned(self, since: int) -> Sequence[Any]:
        """Return what was found out anywhere."""
        return self._hands.learned(since)

    def learn(self, found: Sequence[Any]) -> None:
        """Take over what was found out elsewhere; the worker is told with what it is asked next."""
        self._hands.learn(found)

    async def ask(self, request: Callable[..., Any], *details: Any, progress: Progress | None = None) -> Any:
        """Ask the worker for something, and wait for its answer. Raises what it raised, or WorkerDied."""
        if self._wire is None:
            raise WorkerDied(DIED)
        self._asked += 1
        call = self._asked
        self._calls[call] = _Call(asyncio.get_running_loop().create_future(), progress)
        try:
            self._wire.tell(self._hands)
            self._wire.send(request(call, *details))
            return await self._calls[call].answer
        except asyncio.CancelledError:
            if self._wire:
                self._wire.send(wire.Cancel(call))
            raise
        finally:
            del self._calls[call]

    async def _start_worker(self) -> None:
        await self._end_worker()
        ours, theirs = socket.socketpair()
        try:
            self._wire = talk = await wire.Wire.over(ours)
        except BaseException:
            theirs.close()
            raise
        self._listening = self._start(self._listen(talk))
        await self._place.start(self._hands, theirs)

    async def _listen(self, talk: wire.Wire) -> None:
        """Take what the worker says; when that ends, so has the worker."""
        try:
            async for message in talk.messages():
                self._hear(talk, message)
        finally:
            self._wire = None
            self._note(usable=False)
            talk.close()
            for call in self._calls.values():
                if not call.answer.done():
                    call.answer.set_exception(WorkerDied(DIED))

    def _note(self, *, usable: bool) -> None:
        if self._session:
            self._session.usable = usable

    def _hear(self, talk: wire.Wire, message: Any) -> None:
        if isinstance(message, wire.Learned):
            self._hands.learn(message.found)
            return
        if isinstance(message, wire.Logged):
            _log.handle(logging.makeLogRecord(message.record))
            return
        call = self._calls.get(message.call)
        if call is None:
            return
        match message:
            case wire.Left() if call.progress:
                call.progress.left()
            case wire.Advanced(_, amount) if call.progress:
                call.progress.advanced(amount)
            case wire.MayDo(number, amount) if call.progress:
                self._answer(talk, number, call.progress.may_do(amount))
            case wire.Keep(number, what) if call.progress:
                self._answer(talk, number, call.progress.keep(what))
            case wire.Answer(_, result, usable):
                self._note(usable=usable)
                if not call.answer.done():
                    call.answer.set_result(result)
            case wire.Raised(_, error):
                if isinstance(error, NotBegun):
                    self._note(usable=False)
                if not call.answer.done():
                    call.answer.set_exception(error)

    def _answer(self, talk: wire.Wire, number: int, waiting: Coroutine[Any, Any, None]) -> None:
        """Let a perform go on once what it asked for is done; what that raises ends the perform."""
        answering = self._start(self._let_go(talk, number, waiting))
        self._answering.add(answering)
        answering.add_done_callback(self._answering.discard)

    async def _let_go(self, talk: wire.Wire, number: int, waiting: Coroutine[Any, Any, None]) -> None:
        try:
            await waiting
            talk.send(wire.Go(number))
        except Exception as error:  # noqa: BLE001 - whatever it is, who asked for the item is told
            talk.send(wire.Cancel(number))
            if (call := self._calls.get(number)) and not call.answer.done():
                call.answer.set_exception(error)

    async def close(self) -> None:
        """End the worker: politely, then by force if it is a process."""
        cancel(self._answering)
        await ended(self._answering)
        self.hang_up()
        await self._end_worker()

    def hang_up(self) -> None:
        """Let the worker know that it is to end."""
        if self._wire:
            self._wire.close()
            self._wire = None

    async def _end_worker(self) -> None:
        if self._listening:
            cancel([self._listening])
            await ended([self._listening])
        await self._place.clear()
