"""A real FTP server with its files in memory, well-behaved until a cue says otherwise.

It must not know the program under test; ready-made misbehaviour is in `reactions`.
"""

from __future__ import annotations

import calendar
import re
import socket
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from . import BLOCK, HOST, Background, Cue, Cues, Refused, StoredTree, arm_reset, text, timestamp

PARTIAL_CONTENTS_UP_TO = 1 << 20  # longer partial contents add nothing: the shorter ones already show the tear


class ScriptedServer(Background):
    """An FTP server on the loopback address that listens from construction to `close` and reacts to cues.

    `log` has every command as (connection number from 1, line); `history` the contents each path outside the
    temporaries has shown, None for absent. `limit` and `without` may be changed at any time.
    """

    def __init__(
        self, *, limit: int | None = None, without: Collection[str] = (), case_insensitive: bool = False
    ) -> None:
        super().__init__()
        self.limit = limit
        self.without = set(without)
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
        self.admitted = server.enter()
        self.ended = self.logged_in = False
        self.folder = b"/"
        self.listener: socket.socket | None = None
        self.rename_source: bytes | None = None
        self._counted = self.admitted
        self._unread = b""

    def serve(self) -> None:
        """Greet, then answer commands until the client leaves or a reaction ends the connection."""
        try:
            self.server.answer(Exchange(self, "CONNECT", b""))
            while not self.ended and (line := self.next_line()) is not None:
                verb, _, argument = line.partition(b" ")
                self.server.answer(Exchange(self, verb.decode("ascii", "replace").upper(), argument))
        finally:
            self.hang_up()
            if self.listener is not None:
                self.server.release(self.listener)

    def next_line(self) -> bytes | None:
        """Return the next command line, logged, without its CRLF; None when the client has left."""
        while b"\n" not in self._unread:
            try:
                block = self.sock.recv(BLOCK)
            except OSError:
                return None
            if not block:
                return None
            self._unread += block
        line, _, self._unread = self._unread.partition(b"\n")
        line = line.removesuffix(b"\r")
        with self.site.changed:
            self.server.log.append((self.number, line.decode("utf-8", "surrogateescape")))
            self.site.changed.notify_all()
        return line

    def send(self, data: bytes) -> bool:
        """Send bytes as they are and say whether it worked: the queued commands of a client that left still run."""
        with suppress(OSError):
            self.sock.sendall(data)
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
                self.sock.shutdown(socket.SHUT_WR)
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

    @contextmanager
    def accepted(self, listener: socket.socket) -> Iterator[socket.socket]:
        """Accept the data connection; closed at the end. Its loss becomes a 426, its absence a 425."""
        with self.server.held(listener):
            try:
                data, _ = listener.accept()
            except TimeoutError:
                raise Refused(b"425 No data connection.") from None
        with self.server.held(data):
            try:
                yield data
            except OSError:
                raise Refused(b"426 Data connection lost.") from None


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

    def reply(self, reply: bytes) -> None:
        """Send a reply; a 421 or 221 ends the connection."""
        is_farewell = reply[:4] in (b"421 ", b"221 ")
        if is_farewell:
            self.connection.count_out()
        self.connection.send(reply + b"\r\n")
        if is_farewell:
            self.connection.hang_up()

    def _behaviour(self) -> Callable[[Exchange], bytes]:
        hidden = self.connection.server.without
        if self.verb in hidden or (self.verb == "SITE" and f"SITE {self._first_word}" in hidden):
            raise Refused(b"500 Unknown command.")
        if self.verb not in BEHAVIOURS:
            raise Refused(b"502 Command not implemented.")
        if not self.connection.logged_in and self.verb not in ("CONNECT", "USER", "PASS", "FEAT", "QUIT"):
            raise Refused(b"530 Please log in.")
        return BEHAVIOURS[self.verb]


def _pass(exchange: Exchange) -> bytes:
    exchange.connection.logged_in = True
    return b"230 Logged in."


def _feat(exchange: Exchange) -> bytes:
    hidden = exchange.connection.server.without
    shown = [name for name in ("EPSV", "MDTM", "MFMT", "SIZE", "UTF8") if name not in hidden]
    if not hidden & {"MLST", "MLSD"}:
        shown.append("MLST type*;size*;modify*;UNIX.mode*;")
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
    with exchange.connection.accepted(listener) as data:
        _receive(exchange, data)
    return b"226 Transfer complete."


def _receive(exchange: Exchange, data: socket.socket) -> None:
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
    with exchange.connection.accepted(exchange.connection.announce_data()) as data:
        data.sendall(content[: exchange.data_limit])
        _end_data(exchange, data)
    return b"226 Transfer complete."


def _end_data(exchange: Exchange, data: socket.socket) -> None:
    if exchange.data_reset:
        arm_reset(data)
    else:
        data.shutdown(socket.SHUT_WR)  # FIN now: a close with unread bytes would send RST


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
BEHAVIOURS: dict[str, Callable[[Exchange], bytes]] = {
    "CONNECT": lambda its: b"220 Scripted server." if its.connection.admitted else b"421 Too many connections.",
    "USER": lambda _: b"331 Password, please.",
    "PASS": _pass,
    "FEAT": _feat,
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
