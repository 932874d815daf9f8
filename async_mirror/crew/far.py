"""Hands, and hands that work in a thread or a process of their own. Knows neither FTP nor files.

A worker has its own event loop and one session at a time. It does what it is asked for over a socket: open a session,
perform an item on it, close it. The socket ends with the worker, however that ends, and the worker with the socket.
"""

import asyncio
import logging
import multiprocessing
import pickle
import signal
import socket
import struct
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from enum import Enum
from multiprocessing import reduction, resource_tracker
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from async_mirror.crew.off_loop import in_new_loop
from async_mirror.crew.stop import cancel, ended

LAST_SECONDS = 3.0
"""How long a worker may take to end before its process is killed (a thread is left to itself)."""
_ADVANCES_EVERY_S = 0.1
DIED = "what worked on it died"
_LENGTH = struct.Struct("!I")
_log = logging.getLogger("async_mirror")

S = TypeVar("S", bound="Session")
I = TypeVar("I")  # noqa: E741
R = TypeVar("R")
I_contra = TypeVar("I_contra", contravariant=True)


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

    async def may_do(self, amount: int) -> None:
        """Wait until so much more may be done, where there is a limit for all lanes together."""
        ...

    async def keep(self, what: Any) -> None:
        """Wait until something about the item is kept for good, whatever becomes of who works on it. May raise."""
        ...


class Performed(NamedTuple, Generic[R]):
    """A result, and whether the item deserves another attempt.

    `excused` says that this attempt was none of the item's: the next one is made at once, and does not count more,
    unless that happens to one item again and again. `crowded` says the same, and that there are too many sessions.
    """

    result: R
    again: bool = False
    excused: bool = False
    crowded: bool = False


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

    def clash(self, item: I_contra, other: I_contra) -> bool:
        """Tell whether an item is not to begin on a session on which the other one is under way."""
        ...

    def lost(self, item: I_contra, previous: R | None, what: str) -> R | None:
        """Return what stands for an attempt that nobody heard of again, for the one that follows it."""
        ...

    def learned(self, since: int) -> Sequence[Any]:
        """Return what was found out, in order, but for the first `since`: all hands are to know it. Picklable."""
        ...

    def learn(self, found: Sequence[Any]) -> None:
        """Take over what other hands found out; what is known already is no news."""
        ...


class WorkerDied(Exception):
    """The thread or process that did it is gone."""


class NotBegun(Exception):
    """The session was of no more use before the item was begun."""


# What is said over the socket. `call` numbers what was asked for.


class _Hello(NamedTuple):
    call: int


class _Open(NamedTuple):
    call: int


class _Perform(NamedTuple):
    call: int
    item: Any
    previous: Any


class _Close(NamedTuple):
    call: int


class _Cancel(NamedTuple):
    call: int


class _Go(NamedTuple):
    call: int


class _Learned(NamedTuple):
    """What was found out is told, either way, before whatever else is said."""

    found: Sequence[Any]


class _Logged(NamedTuple):
    """What a worker process has for the log, which is in the main process."""

    record: dict[str, Any]


_Request = _Hello | _Open | _Perform | _Close


class _Left(NamedTuple):
    call: int


class _Advanced(NamedTuple):
    call: int
    amount: int


class _MayDo(NamedTuple):
    call: int
    amount: int


class _Keep(NamedTuple):
    call: int
    what: Any


class _Answer(NamedTuple):
    call: int
    result: Any
    usable: bool


class _Raised(NamedTuple):
    call: int
    error: BaseException


class _Wire:
    """Messages over a socket, in order."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._told = 0

    def tell(self, hands: Hands[Any, Any, Any]) -> None:
        """Send what these hands found out since this was last called."""
        if found := hands.learned(self._told):
            self._told += len(found)
            self.send(_Learned(found))

    @classmethod
    async def over(cls, end: socket.socket) -> "_Wire":
        return cls(*await asyncio.open_connection(sock=end))

    def send(self, message: Any) -> None:
        raw = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        self._writer.write(_LENGTH.pack(len(raw)) + raw)

    async def messages(self) -> AsyncIterator[Any]:
        """Yield what the other side sends, until it ends."""
        with suppress(asyncio.IncompleteReadError, OSError):
            while True:
                (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
                yield pickle.loads(await self._reader.readexactly(length))  # noqa: S301 - from our own process

    def close(self) -> None:
        self._writer.close()


# In the worker.


def work_in_thread(hands: Hands[Any, Any, Any], end: socket.socket, *, has_log: bool = True) -> None:
    """Be a worker until the other side ends; what is logged goes there, unless this process `has_log` itself."""
    try:
        with suppress(SystemExit):
            in_new_loop(_serve(hands, end, has_log=has_log))
    finally:
        end.close()


def work_in_process(hands: Hands[Any, Any, Any], end: socket.socket, _kept: Iterable["Kept"], log_level: int) -> None:
    """Be a worker until the other side ends. A signal is the main process's business; it ends the worker."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    _log.setLevel(log_level)
    _log.propagate = False
    work_in_thread(hands, end, has_log=False)


class _LogToMain(logging.Handler):
    """Sends what is logged to the main process, as plain text."""

    def __init__(self, wire: _Wire) -> None:
        super().__init__()
        self._wire = wire

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._wire.send(
                _Logged(
                    record.__dict__ | {"msg": self.format(record), "args": None, "exc_info": None, "exc_text": None}
                )
            )
        except Exception:  # noqa: BLE001 - as all handlers do
            self.handleError(record)


class Kept:
    """A file descriptor that a worker process holds open for as long as it lives, a lock for example."""

    def __init__(self, descriptor: int) -> None:
        """Name the descriptor."""
        self.descriptor = descriptor

    def __reduce__(self) -> tuple[Callable[[Any], "Kept"], tuple[Any]]:
        """Travel to a process that is being spawned."""
        return _kept, (reduction.DupFd(self.descriptor),)


def _kept(duplicate: Any) -> Kept:
    return Kept(duplicate.detach())


async def _serve(hands: Hands[Any, Any, Any], end: socket.socket, *, has_log: bool) -> None:
    wire = await _Wire.over(end)
    if not has_log:
        _log.addHandler(_LogToMain(wire))
    await _Worker(hands, wire).work()


class _Worker:
    """Does what it is asked for, each thing in a task of its own."""

    def __init__(self, hands: Hands[Any, Any, Any], wire: _Wire) -> None:
        self._hands = hands
        self._wire = wire
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
            case _Learned(found):
                self._hands.learn(found)
            case _Cancel(call):
                cancel([self._tasks[call]] if call in self._tasks else [])
            case _Go(call):
                if call in self._progress:
                    self._progress[call].go.set()
            case _:
                task = asyncio.create_task(self._answer(message))
                self._tasks[message.call] = task
                task.add_done_callback(lambda task: self._forget(message.call, task))

    def _forget(self, call: int, task: asyncio.Task[None]) -> None:
        self._tasks.pop(call, None)
        if not task.cancelled():
            task.exception()  # what ended the worker is nothing that somebody forgot to look at

    async def _answer(self, request: _Request) -> None:
        try:
            result = await self._done(request)
            self._wire.tell(self._hands)
            self._wire.send(_Answer(request.call, result, self._session is not None and self._session.usable))
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - whatever it is, who asked wants to know
            self._wire.tell(self._hands)
            self._wire.send(_Raised(request.call, _portable(error)))

    async def _done(self, request: _Request) -> Any:
        match request:
            case _Hello():
                return None
            case _Open():
                self._session = await self._hands.open()
                return None
            case _Close(call):
                await ended(task for other, task in self._tasks.items() if other != call)
                session, self._session = self._session, None
                return await session.close() if session else None
            case _Perform(call, item, previous):
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

    def __init__(self, wire: _Wire, call: int) -> None:
        self.go = asyncio.Event()
        self._wire = wire
        self._call = call
        self._amount = 0
        self._told = 0.0

    def left(self) -> None:
        self.tell()
        self._wire.send(_Left(self._call))

    def advanced(self, amount: int) -> None:
        self._amount += amount
        if asyncio.get_running_loop().time() - self._told >= _ADVANCES_EVERY_S:
            self.tell()

    def tell(self) -> None:
        """Say what was not said yet."""
        if self._amount:
            self._wire.send(_Advanced(self._call, self._amount))
            self._told = asyncio.get_running_loop().time()
            self._amount = 0

    async def may_do(self, amount: int) -> None:
        await self._ask(_MayDo(self._call, amount))

    async def keep(self, what: Any) -> None:
        await self._ask(_Keep(self._call, what))

    async def _ask(self, question: _MayDo | _Keep) -> None:
        """Ask and wait for the answer; a perform asks one thing at a time."""
        self.go.clear()
        self._wire.send(question)
        await self.go.wait()


def _portable(error: BaseException) -> BaseException:
    """Return an exception that arrives on the other side."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    except Exception:  # noqa: BLE001 - exceptions may do anything when they are unpickled
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


# On the other side.


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
                await self._hands.ask(_Close)
        except WorkerDied:
            pass
        except TimeoutError:
            self._hands.hang_up()


class _Call(NamedTuple):
    answer: "asyncio.Future[Any]"
    progress: Progress | None


def _start_without_signals(process: Any) -> None:
    """Start a process to which a Ctrl-C in the terminal says nothing, not even while it starts."""
    signals = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    resource_tracker.ensure_running()  # with the first process, this would let the signals through again
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)


class FarHands(Generic[I, R]):
    """Hands that work in a thread, or in a process of their own.

    The worker is started when a session is to be opened, and again if it died. What it was doing raises WorkerDied.
    """

    def __init__(self, hands: Hands[Any, I, R], *, in_process: bool, kept: Iterable[int] = ()) -> None:
        """Take the hands that are to work there; a process holds the descriptors `kept` open too."""
        self._hands = hands
        self._in_process = in_process
        self._kept = [Kept(descriptor) for descriptor in kept]
        self._wire: _Wire | None = None
        self._listening: asyncio.Task[None] | None = None
        self._worker: Any = None
        self._starting: asyncio.Future[None] | None = None
        self._session: FarSession | None = None
        self._calls: dict[int, _Call] = {}
        self._asked = 0
        self._answering: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Start the worker if there is none, and wait until it answers."""
        if self._wire is None:
            await self._start()
            await self.ask(_Hello)

    async def open(self) -> FarSession:
        """Open a session in the worker, and start that if need be."""
        await self.start()
        await self.ask(_Open)
        self._session = FarSession(self)
        return self._session

    async def perform(self, session: FarSession, item: I, previous: R | None, progress: Progress) -> Performed[R]:
        """Have the worker do one item. Raises NotBegun if the session broke before, WorkerDied if the worker did."""
        performed: Performed[R] = await self.ask(_Perform, item, previous, progress=progress)
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
                self._wire.send(_Cancel(call))
            raise
        finally:
            del self._calls[call]

    async def _start(self) -> None:
        await self._end_worker()
        ours, theirs = socket.socketpair()
        try:
            self._wire = wire = await _Wire.over(ours)
        except BaseException:
            theirs.close()
            raise
        self._listening = asyncio.create_task(self._listen(wire))
        if self._in_process:
            arguments = (self._hands, theirs, self._kept, _log.getEffectiveLevel())
            context = multiprocessing.get_context("spawn")
            self._worker = context.Process(target=work_in_process, args=arguments, name="lane", daemon=True)
            starting = asyncio.get_running_loop().run_in_executor(None, _start_without_signals, self._worker)
            starting.add_done_callback(lambda _: theirs.close())
            self._starting = starting
            await asyncio.wait({starting})
            starting.result()
        else:
            self._worker = threading.Thread(target=work_in_thread, args=(self._hands, theirs), name="lane", daemon=True)
            try:
                self._worker.start()
            except BaseException:
                theirs.close()
                raise

    async def _listen(self, wire: _Wire) -> None:
        """Take what the worker says; when that ends, so has the worker."""
        try:
            async for message in wire.messages():
                self._hear(wire, message)
        finally:
            self._wire = None
            self._note(usable=False)
            wire.close()
            for call in self._calls.values():
                if not call.answer.done():
                    call.answer.set_exception(WorkerDied(DIED))

    def _note(self, *, usable: bool) -> None:
        if self._session:
            self._session.usable = usable

    def _hear(self, wire: _Wire, message: Any) -> None:
        if isinstance(message, _Learned):
            self._hands.learn(message.found)
            return
        if isinstance(message, _Logged):
            _log.handle(logging.makeLogRecord(message.record))
            return
        call = self._calls.get(message.call)
        if call is None:
            return
        match message:
            case _Left() if call.progress:
                call.progress.left()
            case _Advanced(_, amount) if call.progress:
                call.progress.advanced(amount)
            case _MayDo(number, amount) if call.progress:
                self._answer(wire, number, call.progress.may_do(amount))
            case _Keep(number, what) if call.progress:
                self._answer(wire, number, call.progress.keep(what))
            case _Answer(_, result, usable):
                self._note(usable=usable)
                if not call.answer.done():
                    call.answer.set_result(result)
            case _Raised(_, error):
                if isinstance(error, NotBegun):
                    self._note(usable=False)
                if not call.answer.done():
                    call.answer.set_exception(error)

    def _answer(self, wire: _Wire, number: int, waiting: Coroutine[Any, Any, None]) -> None:
        """Let a perform go on once what it asked for is done; what that raises ends the perform."""
        answering = asyncio.create_task(self._let_go(wire, number, waiting))
        self._answering.add(answering)
        answering.add_done_callback(self._answering.discard)

    async def _let_go(self, wire: _Wire, number: int, waiting: Coroutine[Any, Any, None]) -> None:
        try:
            await waiting
            wire.send(_Go(number))
        except Exception as error:  # noqa: BLE001 - whatever it is, who asked for the item is told
            wire.send(_Cancel(number))
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
        """See that the worker is gone, in the end by force if it is a process; one that is half-started, too."""
        if self._starting:
            await asyncio.wait({self._starting})
        if self._listening:
            cancel([self._listening])
            await ended([self._listening])
        if self._worker and self._worker.ident:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(None, self._worker.join, LAST_SECONDS)
            if self._in_process:
                if self._worker.is_alive():
                    self._worker.kill()
                    await loop.run_in_executor(None, self._worker.join)
                self._worker.close()
        self._worker = None
