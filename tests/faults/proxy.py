"""A TCP relay in front of an FTP server that cuts, loses, delays or corrupts on cue.

Replies are held until whole, so that 227 and 229 can be rewritten; after a 234, or if too long, bytes pass as they are.
"""

from __future__ import annotations

import re
import socket
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from . import BLOCK, HOST, Background, Cue, Cues, arm_reset, reply_length

HELD_UP_TO = 1 << 18
TRANSFERS = (b"STOR", b"APPE", b"RETR", b"LIST", b"NLST", b"MLSD")


@dataclass
class Session:
    """What a control connection and its data connections have in common."""

    number: int
    frozen_until: threading.Event | None = None
    bytes_per_second: int | None = None
    last_transfer: bytes = b""
    is_opaque: bool = False
    unanswered: deque[bytes] = field(default_factory=lambda: deque([b"CONNECT"]))

    def note_command(self, verb: bytes) -> None:
        """Expect a reply to a command that is about to be forwarded."""
        self.unanswered.append(verb)
        if verb in TRANSFERS:
            self.last_transfer = verb


@dataclass
class Passage:
    """What reached a cue: a command, a write of several, a whole reply, or a count of bytes (the payload is empty).

    The verb is that of the command, of the one a reply answers, or of the last transfer command that passed.
    """

    link: Link
    kind: str
    payload: bytes
    verb: bytes
    target: socket.socket
    count: int = 0

    def forward(self) -> None:
        """Let the payload pass."""
        if self.kind in ("command", "write"):
            for verb in verbs_of(self.payload):
                self.link.session.note_command(verb)
        self.link.deliver(self.target, self.payload)


Action = Callable[[Passage], None]


def verbs_of(lines: bytes) -> list[bytes]:
    """Return the verbs of whole command lines."""
    return [verb_of(line) for line in lines.split(b"\n")[:-1]]


def verb_of(line: bytes) -> bytes:
    """Return the verb of a command line in capitals."""
    return line.strip().split(b" ")[0].upper()


class FtpProxy(Background):
    """Relays FTP to a port of the loopback address until `close`.

    `commands` has (connection number, line) of all before TLS, `heard` for each connection what the client sent,
    `writes` what came over control connections at a time. `late_seconds` is how late replies come, all that wait at
    once, as over a long line.
    """

    def __init__(self, upstream_port: int) -> None:
        super().__init__()
        self.upstream_port = upstream_port
        self.commands: list[tuple[int, bytes]] = []
        self.connections = self.data_connections = 0
        self.heard: list[bytearray] = []
        self.writes: list[bytes] = []
        self.late_seconds = 0.0
        self.cues: Cues[Passage] = Cues()
        self.counted_sizes: set[int] = {0}
        self._listener = self.listen()
        self.port: int = self._listener.getsockname()[1]
        self.spawn(self._accept_connections)

    def on_command(self, verb: bytes, action: Action, times: int | None = 1) -> Cue[Passage]:
        """Act instead of forwarding the next `times` (None: all) commands of this verb."""
        return self._on("command", lambda it: it.verb == verb, action, times)

    def on_write(self, action: Action, times: int | None = 1, *, of: int = 2, verb: bytes = b"") -> Cue[Passage]:
        """Act instead of forwarding commands that came together, at least so many, this verb among them if given."""
        return self._on("write", lambda it: it.count >= of and verb in (b"", *verbs_of(it.payload)), action, times)

    def on_reply(self, code: bytes, action: Action, times: int | None = 1, *, to: bytes = b"") -> Cue[Passage]:
        """Act instead of forwarding replies that start with `code`, of any command or only of `to`, even pipelined."""
        return self._on("reply", lambda it: it.payload.startswith(code) and to in (b"", it.verb), action, times)

    def lose_reply(self, to: bytes, times: int | None = 1) -> Cue[Passage]:
        """Let a command pass, drop its final reply and cut: the client cannot know what became of it."""
        return self._on("reply", lambda it: it.verb == to and it.payload[:1] != b"1", lambda it: it.link.end(), times)

    def on_data_after(self, size: int, action: Action, times: int | None = 1, *, during: bytes = b"") -> Cue[Passage]:
        """Act when a data connection has passed that many bytes (0: at once), of any or only of this transfer verb."""
        self.counted_sizes.add(size)
        return self._on("data", lambda it: it.count == size and during in (b"", it.verb), action, times)

    def on_control_after(self, size: int, action: Action, times: int | None = 1) -> Cue[Passage]:
        """Act when a control connection has passed that many bytes, both directions taken together."""
        self.counted_sizes.add(size)
        return self._on("control", lambda it: it.count == size, action, times)

    def _on(self, kind: str, test: Callable[[Passage], bool], action: Action, times: int | None) -> Cue[Passage]:
        return self.cues.add(lambda passage: passage.kind == kind and test(passage), action, times)

    def _accept_connections(self) -> None:
        while not self.closing.is_set():
            client = self.track(self._listener.accept()[0])
            self.connections += 1
            self.spawn(self.join, ControlLink, client, self.upstream_port, Session(self.connections))

    def join(self, kind: type[Link], client: socket.socket, upstream_port: int, session: Session) -> None:
        """Connect upstream and relay until both sides have ended."""
        with self.held(client), self.held(socket.create_connection((HOST, upstream_port))) as upstream:
            kind(self, client, upstream, session).relay()


class Link:
    """A data connection: two sockets and the two threads between them."""

    kind = "data"

    def __init__(self, proxy: FtpProxy, client: socket.socket, upstream: socket.socket, session: Session) -> None:
        self.proxy, self.client, self.upstream, self.session = proxy, client, upstream, session
        self.ended = self.corrupts_next = False
        self.closed_to: set[socket.socket] = set()
        self._passed = 0
        self._unfinished = {client: b"", upstream: b""}
        self._heard = bytearray()
        proxy.heard.append(self._heard)
        self._counting = threading.RLock()

    def relay(self) -> None:
        """Pass bytes both ways until both sides have ended."""
        self._count_reached(self.upstream)
        backward = self.proxy.spawn(self._pump, self.upstream, self.client)
        self._pump(self.client, self.upstream)
        backward.join()

    def end(self, *, reset: bool = False) -> None:
        """End both connections with FIN, or with RST, which leaves when the pumps have let go of the sockets."""
        self.ended = True
        for sock in (self.client, self.upstream):
            if reset:
                arm_reset(sock)
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RD if reset else socket.SHUT_RDWR)

    def deliver(self, target: socket.socket, data: bytes) -> None:
        """Send bytes, stopping at each counted size for its cue; at the session's rate if it has one."""
        while data and not self.ended:
            self.proxy.wait_for(self.session.frozen_until)
            with self._counting:  # else the other direction would pass more before the cue acts
                piece, data = self._split(data)
                if self.corrupts_next:
                    self.corrupts_next, piece = False, bytes([piece[0] ^ 0xFF]) + piece[1:]
                if target not in self.closed_to and not self.ended:
                    target.sendall(piece)
                self._count_reached(target)
            if self.session.bytes_per_second:
                self.proxy.closing.wait(len(piece) / self.session.bytes_per_second)

    def pass_on(self, block: bytes, target: socket.socket) -> None:
        """Deal with what one side has sent; b"" is its end."""
        self.deliver(target, block)

    def _split(self, data: bytes) -> tuple[bytes, bytes]:
        """Count and return what may go at once, and the rest."""
        rooms = [size - self._passed for size in self.proxy.counted_sizes.copy() if size > self._passed]
        if self.session.bytes_per_second:
            rooms.append(max(1, self.session.bytes_per_second // 10))
        room = min([len(data), *rooms])
        self._passed += room
        return data[:room], data[room:]

    def _count_reached(self, target: socket.socket) -> None:
        passage = Passage(self, self.kind, b"", self.session.last_transfer, target, self._passed)
        if self._passed in self.proxy.counted_sizes and (cue := self.proxy.cues.take(passage)):
            cue.react(passage)

    def _receive(self, source: socket.socket) -> bytes:
        block = source.recv(BLOCK)
        if source is self.client:
            self._heard += block
        return block

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        try:
            block = b"not ended"
            while block and not self.ended:
                block = self._receive(source)
                self.proxy.wait_for(self.session.frozen_until)
                self.pass_on(block, target)
            if not self.ended:
                target.shutdown(socket.SHUT_WR)
        except OSError as loss:
            self.end(reset=isinstance(loss, ConnectionResetError))


class ControlLink(Link):
    """A control connection: knows where its commands and replies begin and which belong together."""

    kind = "control"

    def _receive(self, source: socket.socket) -> bytes:
        if source is self.upstream and self.proxy.late_seconds:
            source.recv(1, socket.MSG_PEEK)
            self.proxy.closing.wait(self.proxy.late_seconds)
        block = super()._receive(source)
        if source is self.client:
            self.proxy.writes.append(block)
        return block

    def pass_on(self, block: bytes, target: socket.socket) -> None:
        """Pass whole commands or replies; the rest waits for more, or passes at the end."""
        self._unfinished[target] += block
        if not self.session.is_opaque:
            (self._pass_commands if target is self.upstream else self._pass_replies)()
        self.session.is_opaque |= len(self._unfinished[target]) > HELD_UP_TO
        if self.session.is_opaque or not block:
            rest, self._unfinished[target] = self._unfinished[target], b""
            self.deliver(target, rest)

    def _pass_commands(self) -> None:
        """Forward commands, those that came together in one write where no cue stands between."""
        together = b""
        whole, newline, self._unfinished[self.upstream] = self._unfinished[self.upstream].rpartition(b"\n")
        lines = re.findall(rb"[^\n]*\n", whole + newline)
        write = Passage(self, "write", whole + newline, b"", self.upstream, len(lines))
        if cue := self.proxy.cues.take(write):
            self._note(*lines)
            cue.react(write)
            return
        for line in lines:
            self._note(line)
            verb = verb_of(line)
            passage = Passage(self, "command", line, verb, self.upstream)
            if cue := self.proxy.cues.take(passage):
                self.deliver(self.upstream, together)
                together = b""
                cue.react(passage)
            else:
                self.session.note_command(verb)
                together += line
        self.deliver(self.upstream, together)

    def _note(self, *lines: bytes) -> None:
        for line in lines:
            self.proxy.commands.append((self.session.number, line.removesuffix(b"\n").removesuffix(b"\r")))

    def _pass_replies(self) -> None:
        waiting = self.session.unanswered
        while not self.session.is_opaque and (length := reply_length(self._unfinished[self.client])):
            reply = self._unfinished[self.client][:length]
            self._unfinished[self.client] = self._unfinished[self.client][length:]
            verb = b"" if not waiting else waiting[0] if reply.startswith(b"1") else waiting.popleft()
            self.session.is_opaque = reply.startswith(b"234")  # before the client can answer with its TLS handshake
            passage = Passage(self, "reply", self._with_own_port(reply), verb, self.client)
            cue = self.proxy.cues.take(passage)
            (cue.react if cue else Passage.forward)(passage)

    def _with_own_port(self, reply: bytes) -> bytes:
        """Return a passive reply with a port of the proxy's in place of the upstream's; any other unchanged."""
        if found := re.match(rb"229 .*\(\|\|\|(\d{1,5})\|\)", reply):
            return reply.replace(found[1], b"%d" % self._open_data_port(int(found[1])))
        if found := re.match(rb"227 .*\(127,0,0,1,(\d{1,3}),(\d{1,3})\)", reply):
            port = self._open_data_port(int(found[1]) * 256 + int(found[2]))
            return b"227 Entering Passive Mode (127,0,0,1,%d,%d).\r\n" % divmod(port, 256)
        return reply

    def _open_data_port(self, upstream_port: int) -> int:
        listener = self.proxy.listen(receive_buffer=BLOCK)  # small, so that a throttled client feels it
        self.proxy.spawn(self._carry_data, listener, upstream_port)
        return int(listener.getsockname()[1])

    def _carry_data(self, listener: socket.socket, upstream_port: int) -> None:
        with self.proxy.held(listener):
            client = self.proxy.track(listener.accept()[0])
        self.proxy.data_connections += 1
        self.proxy.join(Link, client, upstream_port, self.session)
