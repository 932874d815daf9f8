"""A real FTP server with its files in memory, well-behaved until a cue says otherwise.

It must not know the program under test; ready-made misbehaviour is in `reactions`.
"""

from __future__ import annotations

import calendar
import re
import socket
import ssl
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from . import BLOCK, HOST, Background, Cue, Cues, Refused, StoredTree, arm_reset, text, timestamp
from .wire import Wire

PARTIAL_CONTENTS_UP_TO = 1 << 20  # longer partial contents add nothing: the shorter ones already show the tear


class Handshake(NamedTuple):
    """A TLS handshake that came to its end; the number is that of the control connection."""

    number: int
    of_data: bool
    version: str | None
    resumed: bool


class ScriptedServer(Background):
    """An FTP server on the loopback address that listens from construction to `close` and reacts to cues.

    `log` has every command as (connection number from 1, line); `history` the contents each path outside the
    temporaries has shown, None for absent. `limit` and `without` may be changed at any time.

    With a context for `tls` it speaks TLS when it is asked to, if `implicit` from the first byte on; it asks nobody to,
    so that a client that goes on without is seen to. `clear_log` has the lines that came outside TLS.
    """

    def __init__(
        self,
        *,
        limit: int | None = None,
        without: Collection[str] = (),
        case_insensitive: bool = False,
        tls: ssl.SSLContext | None = None,
        implicit: bool = False,
        requires_reuse: bool = False,
    ) -> None:
        super().__init__()
        self.limit = limit
        self.without = set(without)
        self.tls, self.implicit, self.requires_reuse = tls, implicit, requires_reuse
        self.clear_log: list[str] = []
        self.handshakes: list[Handshake] = []
        self.wires: list[Wire] = []
        self.data_seconds = 10.0
        self.site = StoredTree(case_insensitive=case_insensitive)
        self.files, self.folders, self.history = self.site.files, self.site.folders, self.site.history
        self.put = self.site.put
        self.log: list[tuple[int, str]] = []
        self.connections = self.refused_connections = self.open_connections = self.most_connections = 0
        self._cues: Cues[Exchange] = Cues()
        self._listener = self.listen()
        self.port: int = self._listener.getsockname()[1]
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
            sock, _ = self._listener.accept()
            self.connections += 1
            connection = Connection(self, self.track(sock), self.connections)
            self.spawn(connection.serve)


class Connection:
    """One control connection, served strictly one command after the other in its own thread."""

    def __init__(self, server: ScriptedServer, sock: socket.socket, number: int) -> None:
        self.server, self.site, self.sock, self.number = server, server.site, sock, number
        self.wire = server.wire(sock)
        self.admitted = server.enter()
        self.ended = self.logged_in = self.protects_data = False
        self.folder = b"/"
        self.listener: socket.socket | None = None
        self.rename_source: bytes | None = None
        self._counted = self.admitted
        self._unread = b""
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
        received, self._unread = self._unread, b""
        self.wire.secure(self.server.tls, received)
        self.server.note_handshake(self.number, self.wire)

    def next_line(self) -> bytes | None:
        """Return the next command line, logged, without its CRLF; None when the client has left."""
        while b"\n" not in self._unread:
            try:
                block = self.wire.recv(BLOCK)
            except OSError:
                return None
            if not block:
                return None
            self._unread += block
            self._came_in_clear = self.wire.tls is None
        line, _, self._unread = self._unread.partition(b"\n")
        line = line.removesuffix(b"\r")
        with self.site.changed:
            self.server.log.append((self.number, line.decode("utf-8", "surrogateescape")))
            if self._came_in_clear:
                self.server.clear_log.append(self.server.log[-1][1])
            self.site.changed.notify_all()
        return line

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
        return b"/" + b"/".join(parts)

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


@dataclass
class Exchange:
    """One command and what becomes of it; a reaction may set the fields below before `perform`."""

    connection: Connection
    verb: str
    argument: bytes
    data_limit: int | None = None
    """Close the data connection after that many bytes."""
    data_reset: bool = False
    """Close it with RST then."""
    stored_limit: int | None = None
    """Receive everything but store only that many bytes."""
    listing: bytes | None = None
    """Send this instead of the true listing."""
    begins_tls: bool = False
    """Shake hands on the control connection after the reply."""
    data_tls: ssl.SSLContext | None = None
    """Have the data connection's handshake with this, not with what the control connection has."""
    data_clear: bool = False
    """Speak plain text on the data connection although it was to be protected."""
    data_refusal: bytes = b""
    """Take the data connection, TLS too, and then refuse it with this reply."""
    data_notify: bool = True
    """End TLS on the data connection before TCP."""
    data_pause: Callable[[], object] | None = None
    """Send one byte of TLS at a time on the data connection, the handshake's too, each followed by this."""
    tickets_last: bool = False
    """Hold back the tickets for the data connection until the client has sent all: only so can it miss them."""

    @property
    def site(self) -> StoredTree:
        """The site the command acts on."""
        return self.connection.site

    @property
    def path(self) -> bytes:
        """The absolute path the argument names; for MFMT and SITE CHMOD the one after their other operands."""
        words_before = {"MFMT": 1, "SITE": 2}.get(self.verb, 0)
        return self.connection.path(self.argument.split(b" ", words_before)[-1])

    @property
    def _first_word(self) -> str:
        return self.argument.split(b" ")[0].decode("ascii", "replace").upper()

    def perform(self) -> bytes:
        """Do what the command asks, data connection included, and return the final reply, unsent."""
        try:
            return self._behaviour()(self)
        except Refused as refused:
            return refused.reply

    def reply(self, reply: bytes, behind: bytes = b"") -> None:
        """Send a reply, and more in the same write; a 421 or 221 ends the connection, one to AUTH may begin TLS."""
        is_farewell = reply[:4] in (b"421 ", b"221 ")
        if is_farewell:
            self.connection.count_out()
        self.connection.send(reply + b"\r\n" + behind)
        if is_farewell:
            self.connection.hang_up()
        elif self.begins_tls:
            self.connection.secure()

    @contextmanager
    def accepted(self, listener: socket.socket) -> Iterator[Wire]:
        """Accept the data connection; closed at the end. Its loss becomes a 426, its absence a 425."""
        server = self.connection.server
        with server.held(listener):
            try:
                data, _ = listener.accept()
            except TimeoutError:
                raise Refused(b"425 No data connection.") from None
        with server.held(data):
            try:
                wire = server.wire(data)
                self._protect(wire)
                yield wire
            except OSError:
                raise Refused(b"426 Data connection lost.") from None

    def _protect(self, wire: Wire) -> None:
        """Shake hands on the data connection, which real servers do only now, after the 150."""
        server = self.connection.server
        context = self.data_tls or server.tls
        if context and self.connection.protects_data and not self.data_clear:
            wait = partial(server.wait_for_fin, wire.sock) if self.tickets_last else None
            wire.pause = self.data_pause
            wire.secure(context, before_tickets=wait)
            done = server.note_handshake(self.connection.number, wire, of_data=True)
            if server.requires_reuse and not done.resumed:
                raise Refused(b"522 SSL connection failed: session reuse required.")
        if self.data_refusal:
            raise Refused(self.data_refusal)

    def _behaviour(self) -> Callable[[Exchange], bytes]:
        hidden = self.connection.server.without
        if self.verb in hidden or (self.verb == "SITE" and f"SITE {self._first_word}" in hidden):
            raise Refused(b"500 Unknown command.")
        if self.verb not in BEHAVIOURS:
            raise Refused(b"502 Command not implemented.")
        if not self.connection.logged_in and self.verb not in BEFORE_LOGIN:
            raise Refused(b"530 Please log in.")
        return BEHAVIOURS[self.verb]


def _auth(exchange: Exchange) -> bytes:
    if exchange.connection.server.tls is None:
        return b"502 Command not implemented."
    if exchange.connection.wire.tls:
        return b"503 TLS is on already."
    if exchange._first_word not in ("TLS", "TLS-C", "SSL"):
        return b"504 Unknown mechanism."
    exchange.begins_tls = True
    return b"234 Go ahead."


def _pbsz(exchange: Exchange) -> bytes:
    return b"200 PBSZ=0" if exchange.connection.wire.tls else b"503 AUTH first."


def _prot(exchange: Exchange) -> bytes:
    if exchange.connection.wire.tls is None:
        return b"503 AUTH first."
    if exchange._first_word not in ("P", "C"):
        return b"536 Only P and C."
    exchange.connection.protects_data = exchange._first_word == "P"
    return b"200 Done."


def _pass(exchange: Exchange) -> bytes:
    exchange.connection.logged_in = True
    return b"230 Logged in."


def _feat(exchange: Exchange) -> bytes:
    hidden = exchange.connection.server.without
    shown = [name for name in ("EPSV", "MDTM", "MFMT", "SIZE", "UTF8") if name not in hidden]
    if not hidden & {"MLST", "MLSD"}:
        shown.append("MLST type*;size*;modify*;UNIX.mode*;")
    if exchange.connection.server.tls:
        shown += [name for name in ("AUTH TLS", "PBSZ", "PROT") if name.split(" ")[0] not in hidden]
    return "\r\n ".join(["211-Features:", *shown]).encode() + b"\r\n211 End"


def _opts(exchange: Exchange) -> bytes:
    word = exchange._first_word
    known = word in ("UTF8", "MLST") and word not in exchange.connection.server.without
    return b"200 Done." if known else b"501 Option not understood."


def _cwd(exchange: Exchange) -> bytes:
    exchange.site.children(exchange.path)
    exchange.connection.folder = exchange.path
    return b"250 Done."


def _epsv(exchange: Exchange) -> bytes:
    if exchange._first_word == "ALL":
        return b"200 Done."
    if exchange.argument not in (b"", b"1"):
        return b"522 Network protocol not supported, use (1)"
    return b"229 Entering Extended Passive Mode (|||%d|)" % exchange.connection.listen_for_data()


def _pasv(exchange: Exchange) -> bytes:
    port = exchange.connection.listen_for_data()
    return f"227 Entering Passive Mode ({HOST.replace('.', ',')},{port >> 8},{port & 255}).".encode()


def _stor(exchange: Exchange) -> bytes:
    site = exchange.site
    site.require_storable(exchange.path)
    listener = exchange.connection.announce_data()
    site.put(exchange.path, b"")
    with exchange.accepted(listener) as data:
        _receive(exchange, data)
    return b"226 Transfer complete."


def _receive(exchange: Exchange, data: Wire) -> None:
    """Store what arrives, every partial content visible, as on a real server; what came before a loss is kept."""
    content = bytearray()
    kept = slice(exchange.stored_limit)
    try:
        while room := min(BLOCK, BLOCK if exchange.data_limit is None else exchange.data_limit - len(content)):
            block = data.recv(room)
            if not block:
                break
            content += block
            if len(content) <= PARTIAL_CONTENTS_UP_TO:
                exchange.site.put(exchange.path, bytes(content[kept]))
        _end_data(exchange, data)
    finally:
        exchange.site.put(exchange.path, bytes(content[kept]))


def _send(exchange: Exchange, content: bytes) -> bytes:
    with exchange.accepted(exchange.connection.announce_data()) as data:
        data.sendall(content[: exchange.data_limit])
        _end_data(exchange, data)
    return b"226 Transfer complete."


def _end_data(exchange: Exchange, data: Wire) -> None:
    if exchange.data_reset:
        arm_reset(data.sock)
    else:
        data.end(notify=exchange.data_notify)  # FIN now: a close with unread bytes would send RST


def _mfmt(exchange: Exchange) -> bytes:
    if not (found := re.match(rb"(\d{14})(\.\d+)? .", exchange.argument)):
        return b"501 Not a time and a path."
    mtime = calendar.timegm(time.strptime(found[1].decode(), "%Y%m%d%H%M%S"))
    exchange.site.set_mtime(exchange.path, mtime)
    return b"213 Modify=%s; %s" % (found[1], exchange.path)


def _site(exchange: Exchange) -> bytes:
    if not (found := re.match(rb"CHMOD ([0-7]+) .", exchange.argument, re.IGNORECASE)):
        return b"504 SITE command not understood."
    exchange.site.set_mode(exchange.path, int(found[1], 8))
    return b"200 Done."


def _mkd(exchange: Exchange) -> bytes:
    exchange.site.make_folder(exchange.path)
    return quoted(exchange.path) + b" made."


def _rmd(exchange: Exchange) -> bytes:
    exchange.site.remove_folder(exchange.path)
    return b"250 Done."


def _dele(exchange: Exchange) -> bytes:
    exchange.site.remove_file(exchange.path)
    return b"250 Done."


def _rnfr(exchange: Exchange) -> bytes:
    if not exchange.site.exists(exchange.path):
        return b"550 No such file or folder."
    exchange.connection.rename_source = exchange.path
    return b"350 Ready for RNTO."


def _rnto(exchange: Exchange) -> bytes:
    source, exchange.connection.rename_source = exchange.connection.rename_source, None
    if source is None:
        return b"503 RNFR first."
    exchange.site.rename(source, exchange.path)
    return b"250 Done."


def _mlsd(exchange: Exchange) -> bytes:
    lines = [b"type=cdir; .", b"type=pdir; ..", *exchange.site.mlsd_lines(exchange.path)]
    return _send(exchange, text(lines) if exchange.listing is None else exchange.listing)


def _stat(exchange: Exchange) -> bytes:
    if not exchange.argument:
        return b"211 All is well."
    return b"213-Status follows:\r\n" + _unix_listing(exchange) + b"213 End of status"


def _unix_listing(exchange: Exchange) -> bytes:
    """List a folder or one file; leading words with a dash are options, as for /bin/ls."""
    if exchange.listing is not None:
        return exchange.listing
    argument = exchange.argument
    while argument.startswith(b"-"):
        argument = argument.partition(b" ")[2]
    return text(exchange.site.unix_lines(exchange.connection.path(argument)))


def quoted(path: bytes) -> bytes:
    """Return the start of a 257 reply, inner quotes doubled (RFC 959, appendix II)."""
    return b'257 "' + path.replace(b'"', b'""') + b'"'


Reaction = Callable[[Exchange], None]
BEFORE_LOGIN = ("CONNECT", "USER", "PASS", "FEAT", "QUIT", "AUTH", "PBSZ", "PROT")
BEHAVIOURS: dict[str, Callable[[Exchange], bytes]] = {
    "CONNECT": lambda its: b"220 Scripted server." if its.connection.admitted else b"421 Too many connections.",
    "USER": lambda _: b"331 Password, please.",
    "PASS": _pass,
    "FEAT": _feat,
    "AUTH": _auth,
    "PBSZ": _pbsz,
    "PROT": _prot,
    "OPTS": _opts,
    "NOOP": lambda _: b"200 Done.",
    "TYPE": lambda _: b"200 Done.",
    "QUIT": lambda _: b"221 Goodbye.",
    "PWD": lambda its: quoted(its.connection.folder) + b" is the current folder.",
    "CWD": _cwd,
    "EPSV": _epsv,
    "PASV": _pasv,
    "STOR": _stor,
    "RETR": lambda its: _send(its, its.site.file(its.path).content),
    "SIZE": lambda its: b"213 %d" % len(its.site.file(its.path).content),
    "MDTM": lambda its: b"213 " + timestamp(its.site.file(its.path).mtime),
    "MFMT": _mfmt,
    "SITE": _site,
    "MKD": _mkd,
    "RMD": _rmd,
    "DELE": _dele,
    "RNFR": _rnfr,
    "RNTO": _rnto,
    "MLSD": _mlsd,
    "MLST": lambda its: b"250-Listing\r\n %s\r\n250 End" % (its.site.facts(its.path) + its.path),
    "LIST": lambda its: _send(its, _unix_listing(its)),
    "STAT": _stat,
}
