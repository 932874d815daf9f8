"""The network between the program and the server: control connections, data connections, cuts. Knows no FTP."""

from __future__ import annotations

import asyncio
import errno
import socket as real
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from .world import World

if TYPE_CHECKING:
    from .loop import VirtualLoop

HOST = "192.0.2.1"
PASSWORD = "lab-pw"
CONTROL_PORT = 21
_AT_ONCE = 32 * 1024
_AT_ONCE_S = 0.02
"""So much of a large file leaves in so long."""


class Session(Protocol):
    """The server's end of a control connection."""

    def received(self, data: bytes) -> None: ...

    def left(self, *, abruptly: bool) -> None: ...


class Peer(Protocol):
    """The server, as the network knows it."""

    def accept(self, connection: Connection) -> Session: ...

    def accept_data(self, port: int, pipe: Pipe) -> bool: ...


class Life:
    """One process of the program, from its start until it ends or is killed, and the network that it is on."""

    def __init__(self, world: World, peer: Peer) -> None:
        self.world = world
        self.peer = peer
        self.dead = False
        self.connections: list[Connection] = []
        self.pipes: list[Pipe] = []
        self.loop: VirtualLoop | None = None
        self.at_work: Callable[[str], None] = lambda _: None
        """Is told before and after what the program does off its event loop, with its state or its source."""
        self.at_piece: Callable[[], None] = lambda: None
        """Is told of each piece of a large file before it leaves."""
        self.remains: set[asyncio.Task[Any]] = set()
        """What was under way when it was killed: none of it goes on, not even to its end."""

    @property
    def open_connections(self) -> int:
        return sum(not connection.closed for connection in self.connections)

    def end(self) -> None:
        """Be killed: the kernel closes what was open; what had left before still arrives."""
        self.dead = True
        for pipe in self.pipes:
            pipe.client_ends(reset=False)
        for connection in self.connections:
            connection.client_leaves(abruptly=True)


class Lane:
    """One direction of a connection: what is sent first arrives first."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._last = 0.0

    def send(self, act: Callable[..., object], *arguments: Any) -> None:
        self._last = max(self._last, self._world.now + 0.0005 + self._world.delay())
        self._world.at(self._last, act, *arguments)


class Connection(asyncio.Transport):
    """A control connection, as the program's transport."""

    def __init__(self, life: Life, loop: VirtualLoop) -> None:
        super().__init__()
        self._life = life
        self._loop = loop
        self._protocol: Any = None
        self._up, self._down = Lane(life.world), Lane(life.world)
        self._early: list[bytes] = []
        self.session: Session | None = None
        self.closed = False
        self.cut = False
        """True once nothing passes in either direction any more."""

    def begin(self, protocol: Any) -> None:
        """Have a protocol take what comes, and what has come."""
        self._protocol = protocol
        protocol.connection_made(self)
        early, self._early = self._early, []
        for data in early:
            self._loop.call_soon(self._hand_over, data)
        if self.closed:
            self._loop.call_soon(self._lose, None)

    # The program's end.

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return (HOST, 21) if name == "peername" else default

    def is_closing(self) -> bool:
        return self.closed

    def write(self, data: Any) -> None:
        assert self.session is not None
        if not (self.closed or self.cut or self._life.dead):
            self._up.send(self.session.received, bytes(data))

    def close(self) -> None:
        self.client_leaves(abruptly=False)

    def abort(self) -> None:
        self.client_leaves(abruptly=True)

    def client_leaves(self, *, abruptly: bool) -> None:
        if self.closed:
            return
        self.closed = True
        if self.session and not self.cut:
            self._up.send(partial(self.session.left, abruptly=abruptly))
        if not self._life.dead:
            self._loop.call_soon(self._lose, None)

    def _lose(self, error: Exception | None) -> None:
        if self._protocol is not None and not self._life.dead:
            protocol, self._protocol = self._protocol, None
            protocol.connection_lost(error)

    # The server's end.

    def reply(self, data: bytes) -> None:
        if not self.cut:
            self._down.send(self._deliver, data)

    def _deliver(self, data: bytes) -> None:
        if not (self.closed or self._life.dead):
            self._loop.call_soon(self._hand_over, data)

    def _hand_over(self, data: bytes) -> None:
        if self._protocol is None:
            self._early.append(data)
        elif not self.closed:
            self._protocol.data_received(data)

    def hang_up(self) -> None:
        """Close from the server's end, with a reset if it had not read all that came; what it said arrives before."""
        reset = ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
        self._down.send(self._break, self._life.world.chance.choice([None, reset]))
        self.cut = True

    def sever(self) -> None:
        """Cut the line: the program is told by its own kernel, the server by nobody."""
        self._down.send(self._break, OSError(errno.EHOSTUNREACH, "No route to host"))
        self.cut = True

    def _break(self, error: Exception | None) -> None:
        if not (self.closed or self._life.dead):
            self.closed = True
            self._loop.call_soon(self._lose, error)


async def connect(loop: VirtualLoop, sock: Socket, address: Any) -> None:
    """Connect a socket with the server, or with a port that a session waits at."""
    life = loop.life
    await asyncio.sleep(0.0005 + loop.world.delay())
    if address[1] == CONTROL_PORT:
        sock.connection = Connection(life, loop)
        life.connections.append(sock.connection)
        sock.connection.session = life.peer.accept(sock.connection)
        return
    pipe = Pipe(life, sock)
    if not life.peer.accept_data(address[1], pipe):
        raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
    sock.joined(life, pipe)


async def connect_control(
    loop: VirtualLoop, factory: Callable[[], Any], address: tuple[Any, Any], sock: Socket | None
) -> Any:
    """Do what a loop's `create_connection` does, with a socket that is connected or with a new one."""
    if sock is None:
        sock = Socket()
        await connect(loop, sock, address)
    assert sock.connection is not None
    protocol = factory()
    sock.connection.begin(protocol)
    return sock.connection, protocol


class Pipe:
    """A data connection. What arrives before the server listens is kept for it."""

    def __init__(self, life: Life, sock: Socket) -> None:
        self.world = life.world
        self.life = life
        self._socket = sock
        self._up, self._down = Lane(life.world), Lane(life.world)
        self._on_data: Callable[[bytes], None] | None = None
        self._on_end: Callable[[bool], None] | None = None
        self._arrived: list[bytes | bool] = []
        self.ended = False
        self.cut = False

    def client_sends(self, data: bytes) -> None:
        if self.cut or self.life.dead:
            return
        middle = len(data) // 2
        for part in (data[:middle], data[middle:]):
            if part:
                self._up.send(self._arrive, part)

    def listen(self, on_data: Callable[[bytes], None], on_end: Callable[[bool], None]) -> None:
        """Have the server hear what arrives: bytes, and the end (True for a reset)."""
        self._on_data, self._on_end = on_data, on_end
        self._hand_over()

    def deafen(self) -> None:
        """Have nobody hear anything any more."""
        self.listen(lambda _: None, lambda _: None)

    def _arrive(self, what: bytes | bool) -> None:
        if not self.cut:
            self._arrived.append(what)
            self._hand_over()

    def _hand_over(self) -> None:
        while self._arrived and self._on_data and self._on_end:
            what = self._arrived.pop(0)
            if isinstance(what, bytes):
                self._on_data(what)
            else:
                self._on_end(what)

    def client_ends(self, *, reset: bool) -> None:
        if not self.ended:
            self.ended = True
            self._up.send(self._arrive, reset)

    def push(self, data: bytes) -> None:
        if not self.cut:
            self._down.send(self._socket.arrived, data)

    def finish(self) -> None:
        self._down.send(self._socket.over, None)

    def sever(self) -> None:
        """Break from the server's end; nothing passes any more."""
        self._arrive(True)
        self.cut = True
        self._down.send(self._socket.over, ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"))


class Socket:
    """Stands for the socket of a connection, `connection` for control or `pipe` for data."""

    def __init__(self, family: int = real.AF_INET, *_: Any) -> None:
        if family == real.AF_UNIX:  # nobody asks in a history, and the program goes without
            raise OSError(errno.EAFNOSUPPORT, "no such sockets here")
        self.connection: Connection | None = None
        self.pipe: Pipe | None = None
        self._life: Life | None = None
        self._blocks: list[bytes] = []
        self._over = False
        self._error: OSError | None = None
        self._waiting: asyncio.Future[None] | None = None
        self._lingers = True
        self._closed = False

    # Of a socket's methods those that are used.

    def setsockopt(self, _: int, option: int, value: Any) -> None:
        if option == real.SO_LINGER and value[:4] != b"\0\0\0\0":
            self._lingers = False

    def connect_ex(self, _: Any) -> int:
        return errno.EINPROGRESS

    def getsockname(self) -> tuple[str, int]:
        return "192.0.2.2", 40_000

    def getpeername(self) -> tuple[str, int]:
        return HOST, 40_001

    def send(self, data: bytes) -> int:
        if self._error:
            raise self._error
        assert self.pipe is not None
        self.pipe.client_sends(bytes(data))
        return len(data)

    def dup(self) -> _Slow:
        return _Slow(self)

    def shutdown(self, how: int) -> None:
        if how in {real.SHUT_WR, real.SHUT_RDWR} and self.pipe:
            self.pipe.client_ends(reset=False)
        if how in {real.SHUT_RD, real.SHUT_RDWR}:
            self.over(None)

    def close(self) -> None:
        if self.pipe and not self._closed:
            self.pipe.client_ends(reset=not self._lingers)
        if self.connection:
            self.connection.close()
        self._closed = True

    # What arrives.

    def joined(self, life: Life, pipe: Pipe) -> None:
        self._life, self.pipe = life, pipe
        life.pipes.append(pipe)

    def arrived(self, data: bytes) -> None:
        self._blocks.append(data)
        self._wake()

    def over(self, error: OSError | None) -> None:
        self._over = True
        self._error = error
        self._wake()

    def _wake(self) -> None:
        if self._waiting and not self._waiting.done() and not (self._life and self._life.dead):
            self._waiting.set_result(None)

    async def receive(self, size: int) -> bytes:
        while not self._blocks:
            if self._error:
                raise self._error
            if self._over:
                return b""
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        block = self._blocks.pop(0)
        if len(block) > size:
            self._blocks.insert(0, block[size:])
        return block[:size]


class _Slow:
    """Another hold of a socket, by which many bytes are sent: while they leave, things happen."""

    def __init__(self, of: Socket) -> None:
        self._of = of

    def send(self, data: memoryview) -> int:
        if pipe := self._of.pipe:
            pipe.world.now += _AT_ONCE_S
            pipe.life.at_piece()
        return self._of.send(bytes(data[:_AT_ONCE]))

    def close(self) -> None:
        pass
