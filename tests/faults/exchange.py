"""One command on a connection of the scripted server: what it is about, and what becomes of it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from .tree import Refused, StoredTree
from .wire import Wire

if TYPE_CHECKING:
    from .scripted import Connection

BEFORE_LOGIN = ("CONNECT", "USER", "PASS", "FEAT", "QUIT", "AUTH", "PBSZ", "PROT")


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
    afterwards: Callable[[], object] | None = None
    """Do this once the reply has left, before the next command is read."""

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
    def first_word(self) -> str:
        """The argument's first word in capitals."""
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
        if self.afterwards:
            self.afterwards()

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

    def _behaviour(self) -> Behaviour:
        server = self.connection.server
        if self.verb in server.without or (self.verb == "SITE" and f"SITE {self.first_word}" in server.without):
            raise Refused(b"500 Unknown command.")
        if self.verb not in server.behaviours:
            raise Refused(b"502 Command not implemented.")
        if not self.connection.logged_in and self.verb not in BEFORE_LOGIN:
            raise Refused(b"530 Please log in.")
        return server.behaviours[self.verb]


Behaviour = Callable[[Exchange], bytes]
Reaction = Callable[[Exchange], None]
