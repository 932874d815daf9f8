"""aioftp's client with our own control connection under it. Knows how a connection is made and secured."""

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import aioftp
from aioftp.common import Code

from async_mirror.ftp.wire.control import Control
from async_mirror.ftp.wire.reply_flow import GREETING
from async_mirror.ftp.wire.tls import reason
from async_mirror.model.escape import shown

CONNECT_SECONDS = 15.0
"""How long each address of a host may take to accept a connection."""

SLOW_GREETING_SECONDS = 10.0
"""After so long without a greeting it is told what is waited for."""

_READ_AT_MOST = 64 * 1024
"""asyncio would map 256 KiB anew for every read."""


_log = logging.getLogger("async_mirror")


@asynccontextmanager
async def _within(seconds: float, otherwise: str) -> AsyncIterator[None]:
    """Bound what is done; the text of the TimeoutError is what the host did not do, to stand behind its name."""
    try:
        async with asyncio.timeout(seconds) as bound:
            yield
    except TimeoutError:
        if not bound.expired():
            raise
        raise TimeoutError(f"{otherwise} within {seconds:g} s") from None


async def _connected(address: tuple[Any, ...], seconds: float) -> socket.socket:
    """Return a connection to one address, as `getaddrinfo` gives them. Raises OSError."""
    family, kind, protocol, _, place = address
    connection = socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol)
    try:
        async with _within(seconds, "did not answer"):
            await asyncio.get_running_loop().sock_connect(connection, place)
    except BaseException:
        connection.close()
        raise
    return connection


class _Reader(asyncio.StreamReader):
    """Hands what arrives straight to the control connection; nothing is ever left to be read from it."""

    def __init__(self, control: Control) -> None:
        super().__init__()
        self._control = control

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]  # typeshed asks for less than asyncio gives
        self._control.received(data)

    def feed_eof(self) -> None:
        self._control.break_off("the server closed the connection", by_server=True)
        super().feed_eof()

    def set_exception(self, exc: BaseException) -> None:
        self._control.alert = exc if isinstance(exc, ssl.SSLError) else None
        ended = isinstance(exc, ConnectionResetError)
        self._control.break_off(f"the connection was lost ({reason(exc)})", by_server=ended)


class _Protocol(asyncio.StreamReaderProtocol):
    """Ends with the server's end: in TLS nothing can be sent after it, and asyncio would warn of the wish to."""

    def eof_received(self) -> bool:
        super().eof_received()
        return False


class Client(aioftp.Client):
    """aioftp's client with our own control connection under it.

    Its own reader takes Latin-1 for an error, multi-line replies of any length, and one command at a time.
    """

    def __init__(self, control: Control, implicit: ssl.SSLContext | None = None) -> None:
        """Be a client over `control`, which gets its transport when `connect` is called: in TLS if it is `implicit`."""
        super().__init__(ssl=implicit)
        self.control = control

    async def _open_connection(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        loop = asyncio.get_running_loop()
        reader = _Reader(self.control)
        protocol = _Protocol(reader)
        self._greeting = self.control.expect(GREETING)
        connection = await self._reach(host, port)
        seconds = self.control.timeout_seconds
        tls: dict[str, Any] = {}
        if self.ssl:
            tls = {"ssl": self.ssl, "server_hostname": host, "ssl_handshake_timeout": 2 * seconds}  # ours is `seconds`
        async with self._handshake(seconds):
            transport, _ = await loop.create_connection(lambda: protocol, sock=connection, **tls)
        if hasattr(transport, "max_size"):
            transport.max_size = _READ_AT_MOST
        self.control.transport = transport
        self._tell_of_slow_greeting(f"{host}:{port}")
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)

    async def _reach(self, host: str, port: int) -> socket.socket:
        """Return a connection to the first of the host's addresses that accepts one. Raises OSError."""
        seconds = self.control.timeout_seconds
        async with _within(seconds, "could not be resolved"):
            addresses = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        failed = OSError("this host has no address")
        for address in addresses:
            try:
                return await _connected(address, min(CONNECT_SECONDS, seconds))
            except OSError as error:
                failed = error
        raise failed

    @staticmethod
    def _handshake(seconds: float) -> AbstractAsyncContextManager[None]:
        return _within(seconds, "did not answer the TLS handshake")

    def _tell_of_slow_greeting(self, where: str) -> None:
        text = f"still waiting for the greeting of {shown(where)}"
        told = {"event": "note", "text": text, "fields": {}}
        tell = asyncio.get_running_loop().call_later(
            SLOW_GREETING_SECONDS, lambda: _log.info("note      %s", text, extra=told)
        )
        self._greeting.reply.add_done_callback(lambda _: tell.cancel())

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Go on in TLS on the same connection. Raises OSError; ssl.SSLError is one."""
        writer = self.stream.writer
        async with self._handshake(self.control.quick_seconds):
            await writer.start_tls(context, server_hostname=self.server_host)
        self.control.transport = writer.transport  # type: ignore[assignment]  # of a connection it is no other kind

    async def command(
        self,
        command: str | None = None,
        expected_codes: str | tuple[str, ...] = (),
        wait_codes: str | tuple[str, ...] = (),
        censor_after: int | None = None,
    ) -> Any:
        """Do what aioftp's own method does; preliminary replies never come this far."""
        expected = self._greeting if command is None else self.control.send(command)[0]
        self.control.flush()
        reply = await self.control.reply(expected)
        code, told = Code(str(reply.code)), reply.told
        accepted = (expected_codes,) if isinstance(expected_codes, str) else expected_codes
        if accepted:
            self.check_codes(tuple(Code(each) for each in accepted), code, told)
        return code, told
