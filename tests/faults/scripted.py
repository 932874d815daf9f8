"""A real FTP server with its files in memory, well-behaved until a cue or a trait says otherwise.

It must not know the program under test; ready-made misbehaviour is in `reactions`, what whole servers are like in
`traits`.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Collection
from contextlib import suppress
from itertools import cycle
from typing import NamedTuple

from . import BLOCK, Background, Cue, Cues, arm_reset
from .behaviours import BEHAVIOURS
from .exchange import Behaviour, Exchange, Reaction
from .tree import Refused, StoredTree
from .wire import Wire

__all__ = ["Backends", "Behaviour", "Connection", "Exchange", "Handshake", "Reaction", "ScriptedServer", "Trait"]


class Handshake(NamedTuple):
    """A TLS handshake that came to its end; the number is that of the control connection."""

    number: int
    of_data: bool
    version: str | None
    resumed: bool


class ScriptedServer(Background):
    """An FTP server on the loopback address that listens from construction to `close` and reacts to cues.

    `traits` are what it is like all the time, whatever the cues: see the module of that name. `site` is for backends
    that share one.

    `log` has every command as (connection number from 1, line); `history` the contents each path outside the
    temporaries has shown, None for absent. `limit` and `without` may be changed at any time.

    With a context for `tls` it speaks TLS when it is asked to, if `implicit` from the first byte on; it asks nobody to,
    so that a client that goes on without is seen to. `clear_log` has the lines that came outside TLS.
    """

    def __init__(
        self,
        *traits: Trait,
        limit: int | None = None,
        without: Collection[str] = (),
        case_insensitive: bool = False,
        tls: ssl.SSLContext | None = None,
        implicit: bool = False,
        requires_reuse: bool = False,
        site: StoredTree | None = None,
    ) -> None:
        super().__init__()
        self.limit = limit
        self.without = set(without)
        self.tls, self.implicit, self.requires_reuse = tls, implicit, requires_reuse
        self.clear_log: list[str] = []
        self.handshakes: list[Handshake] = []
        self.wires: list[Wire] = []
        self.data_seconds = 10.0
        self.behaviours: dict[str, Behaviour] = dict(BEHAVIOURS)
        self.spell: Callable[[bytes], bytes] = bytes
        self.command_of_read: Callable[[bytes], bytes | None] | None = None
        self.site = site or StoredTree(case_insensitive=case_insensitive)
        self.files, self.folders, self.history = self.site.files, self.site.folders, self.site.history
        self.put = self.site.put
        self.log: list[tuple[int, str]] = []
        self.connections = self.refused_connections = self.open_connections = self.most_connections = 0
        self._cues: Cues[Exchange] = Cues()
        self._listener = self.listen()
        self.port: int = self._listener.getsockname()[1]
        for trait in traits:
            trait(self)
        self.spawn(self._accept_connections)

    def on(
        self,
        verb: str,
        reaction: Reaction,
        times: int | None = 1,
        when: Callable[[Exchange], bool] | None = None,
    ) -> Cue[Exchange]:
        """Have the next `times` (None: all) matching commands answered by a reaction instead of as usual.

        The verb "CONNECT" stands for the greeting, "*" for any command. The cue's `reached` is set when it is taken.
        """

        def matches(exchange: Exchange) -> bool:
            named = exchange.verb == verb or (verb == "*" and exchange.verb != "CONNECT")
            return named and (when is None or when(exchange))

        return self._cues.add(matches, reaction, times)

    def commands(self, number: int | None = None) -> list[str]:
        """Return the commands of one connection, or of all, in order of arrival."""
        return [line for connection, line in self.log if number in (None, connection)]

    def heard(self, canary: bytes) -> bool:
        """Say whether these bytes came in as they are, on whatever connection: enciphered ones do not."""
        return any(canary in wire.heard for wire in self.wires)

    def wait_until(self, is_true: Callable[[], bool], seconds: float = 5.0) -> bool:
        """Wait for something about the site, the log or the open connections, and say whether it came true."""
        with self.site.changed:
            return self.site.changed.wait_for(is_true, seconds)

    def answer(self, exchange: Exchange) -> None:
        """Run the reaction that waits for this exchange, or behave."""
        cue = self._cues.take(exchange)
        if cue is None:
            exchange.reply(exchange.perform())
        else:
            cue.react(exchange)

    def wire(self, sock: socket.socket) -> Wire:
        """Return the wire over an accepted socket, which is remembered."""
        self.wires.append(Wire(sock))
        return self.wires[-1]

    def note_handshake(self, number: int, wire: Wire, *, of_data: bool = False) -> Handshake:
        """Remember a handshake that has come to its end, and return what it came to."""
        assert wire.tls is not None
        done = Handshake(number, of_data, wire.tls.version(), bool(wire.tls.session_reused))
        self.handshakes.append(done)
        return done

    def enter(self) -> bool:
        """Count a connection in, unless the limit is reached."""
        with self.site.changed:
            if self.limit is not None and self.open_connections >= self.limit:
                self.refused_connections += 1
                return False
            self.open_connections += 1
            self.most_connections = max(self.most_connections, self.open_connections)
            return True

    def leave(self) -> None:
        """Count a connection out."""
        with self.site.changed:
            self.open_connections -= 1
            self.site.changed.notify_all()

    def _accept_connections(self) -> None:
        while not self.closing.is_set():
            self.take(self._listener.accept()[0])

    def take(self, sock: socket.socket) -> None:
        """Serve a control connection that was accepted, here or elsewhere."""
        self.connections += 1
        self.spawn(Connection(self, self.track(sock), self.connections).serve)


Trait = Callable[[ScriptedServer], None]
"""Makes a server different from the ordinary, for good."""


class Backends(Background):
    """One address behind which servers answer in turn, one connection each; they are closed by whoever made them."""

    def __init__(self, *servers: ScriptedServer) -> None:
        super().__init__()
        self._servers = cycle(servers)
        self._listener = self.listen()
        self.port: int = self._listener.getsockname()[1]
        self.spawn(self._hand_on)

    def _hand_on(self) -> None:
        while not self.closing.is_set():
            next(self._servers).take(self._listener.accept()[0])


class Connection:
    """One control connection, served strictly one command after the other in its own thread."""

    def __init__(self, server: ScriptedServer, sock: socket.socket, number: int) -> None:
        self.server, self.site, self.sock, self.number = server, server.site, sock, number
        self.wire = server.wire(sock)
        self.admitted: bool = server.enter()
        self.ended = self.logged_in = self.protects_data = False
        self.folder: bytes = b"/"
        self.listener: socket.socket | None = None
        self.rename_source: bytes | None = None
        self._counted = self.admitted
        self.unread = b""
        self._came_in_clear = True

    def serve(self) -> None:
        """Greet, then answer commands until the client leaves or a reaction ends the connection."""
        try:
            if self.server.implicit:
                self.secure()
            self.server.answer(Exchange(self, "CONNECT", b""))
            while not self.ended and (line := self.next_line()) is not None:
                verb, _, argument = line.partition(b" ")
                self.server.answer(Exchange(self, verb.decode("ascii", "replace").upper(), argument))
        finally:
            self.hang_up()
            if self.listener is not None:
                self.server.release(self.listener)

    def secure(self) -> None:
        """Shake hands; what came behind the command that asked for it is taken for a part of the handshake."""
        assert self.server.tls is not None
        received, self.unread = self.unread, b""
        self.wire.secure(self.server.tls, received)
        self.server.note_handshake(self.number, self.wire)

    def next_line(self) -> bytes | None:
        """Return the next command line, logged, without its CRLF; None when the client has left."""
        line = self._take_line()
        if line is None:
            return None
        with self.site.changed:
            self.server.log.append((self.number, line.decode("utf-8", "surrogateescape")))
            if self._came_in_clear:
                self.server.clear_log.append(self.server.log[-1][1])
            self.site.changed.notify_all()
        return line

    def _take_line(self) -> bytes | None:
        whole = self.server.command_of_read
        while not (self.unread if whole else b"\n" in self.unread):
            if not (block := self._read()):
                return None
            self.unread += block
        if whole:
            block, self.unread = self.unread, b""
            line = whole(block)
        else:
            line, _, self.unread = self.unread.partition(b"\n")
        return line.removesuffix(b"\n").removesuffix(b"\r") if line is not None else None

    def _read(self) -> bytes:
        with suppress(OSError):
            block = self.wire.recv(BLOCK)
            self._came_in_clear = self.wire.tls is None
            return block
        return b""

    def send(self, data: bytes) -> bool:
        """Send bytes as they are and say whether it worked: the queued commands of a client that left still run."""
        with suppress(OSError):
            self.wire.sendall(data)
            return True
        return False

    def count_out(self) -> None:
        """Make room for another connection; done before the client can see that this one ends."""
        if self._counted:
            self._counted = False
            self.server.leave()

    def hang_up(self, *, reset: bool = False) -> None:
        """Close the control connection with FIN, or with RST."""
        self.ended = True
        self.count_out()
        if reset:
            arm_reset(self.sock)
        else:
            with suppress(OSError):  # unread commands would turn the close into an RST
                self.wire.end()
                while self.sock.recv(BLOCK, socket.MSG_DONTWAIT):
                    pass
        self.server.release(self.sock)

    def path(self, argument: bytes) -> bytes:
        """Return the absolute path an argument names."""
        parts: list[bytes] = []
        for part in (argument if argument.startswith(b"/") else self.folder + b"/" + argument).split(b"/"):
            if part == b"..":
                del parts[-1:]
            elif part not in (b"", b"."):
                parts.append(part)
        return self.server.spell(b"/" + b"/".join(parts))

    def listen_for_data(self) -> int:
        """Open a fresh passive port."""
        if self.listener is not None:
            self.server.release(self.listener)
        self.listener = self.server.listen()
        self.listener.settimeout(self.server.data_seconds)
        return int(self.listener.getsockname()[1])

    def announce_data(self) -> socket.socket:
        """Say 150 and return the passive port to accept on, or refuse."""
        listener, self.listener = self.listener, None
        if listener is None:
            raise Refused(b"425 Use EPSV or PASV first.")
        self.send(b"150 Here we go.\r\n")
        return listener
