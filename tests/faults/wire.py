"""A server's end of a connection, plain until it is told to shake hands, and what came in as it crossed the wire.

Knows nothing of FTP. TLS runs over memory, not over the socket, so that every byte on the wire is seen.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from . import BLOCK

HEARD_UP_TO = 1 << 20

Result = TypeVar("Result")


class Wire:
    """A connected socket with TLS on top, if any; `heard` has its first mebibyte as it came in, enciphered or not.

    With a `pause` TLS leaves one byte at a time, each followed by it.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.heard = bytearray()
        self.pause: Callable[[], object] | None = None
        self.tls: ssl.SSLObject | None = None
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()

    def secure(
        self, context: ssl.SSLContext, received: bytes = b"", before_tickets: Callable[[], None] | None = None
    ) -> None:
        """Shake hands as the server; `received` came in before. In TLS 1.3 the tickets leave at the very end."""
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._incoming.write(received)
        self._drive(self.tls.do_handshake)
        if before_tickets:
            before_tickets()
        self._flush()

    def recv(self, size: int) -> bytes:
        """Return what came in, b"" at its end; with TLS that is a close_notify, and an end without one is an error."""
        if self.tls is None:
            return self._hear(size)
        tls = self.tls
        with suppress(ssl.SSLZeroReturnError):
            return self._drive(lambda: tls.read(size))
        return b""

    def sendall(self, data: bytes) -> None:
        """Send all of it."""
        if self.tls is None:
            self.sock.sendall(data)
            return
        tls, rest = self.tls, memoryview(data)
        while rest:
            rest = rest[self._drive(lambda: tls.write(rest[:BLOCK])) :]  # noqa: B023 - called at once
            self._flush()

    def end(self, *, notify: bool = True) -> None:
        """Tell that nothing more comes: by close_notify, if secure, unless told not to, and FIN."""
        if notify:
            self.strip()
        self.sock.shutdown(socket.SHUT_WR)

    def strip(self) -> None:
        """End TLS by close_notify, if there is any, and go on in plain text."""
        if self.tls:
            with suppress(ssl.SSLError):  # that the other side has not said so yet
                self.tls.unwrap()
            self._flush()
            self.tls = None

    def _hear(self, size: int) -> bytes:
        block = self.sock.recv(size)
        self.heard += block[: HEARD_UP_TO - len(self.heard)]
        return block

    def _drive(self, act: Callable[[], Result]) -> Result:
        while True:
            try:
                return act()
            except ssl.SSLWantReadError:
                self._flush()
                if block := self._hear(BLOCK):
                    self._incoming.write(block)
                else:
                    self._incoming.write_eof()
            except ssl.SSLError:
                self._flush()  # the alert that tells why
                raise

    def _flush(self) -> None:
        waiting = self._outgoing.read()
        if self.pause is None:
            self.sock.sendall(waiting)
            return
        for byte in waiting:
            self.sock.sendall(bytes([byte]))
            self.pause()
