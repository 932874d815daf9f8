"""aioftp's client with our own control connection under it. Knows how a connection is made and secured."""

import asyncio
import ssl
from typing import Any

import aioftp
from aioftp.common import Code

from async_mirror.ftp.control import Control
from async_mirror.ftp.reply_flow import GREETING
from async_mirror.ftp.tls import reason

_READ_AT_MOST = 64 * 1024
"""asyncio would map 256 KiB anew for every read."""


class _Reader(asyncio.StreamReader):
    """Hands what arrives straight to the control connection; nothing is ever left to be read from it."""

    def __init__(self, control: Control) -> None:
        super().__init__()
        self._control = control

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]  # typeshed asks for less than asyncio gives
        self._control.received(data)

    def feed_eof(self) -> None:
        self._control.break_off("the server closed the connection")
        super().feed_eof()

    def set_exception(self, exc: BaseException) -> None:
        self._control.alert = exc if isinstance(exc, ssl.SSLError) else None
        self._control.break_off(f"the connection was lost ({reason(exc)})")


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
        greeting = self.control.expect(GREETING)
        self._greeting = greeting
        async with asyncio.timeout(self.control.timeout_seconds):
            transport, _ = await loop.create_connection(lambda: protocol, host, port, ssl=self.ssl)
        if hasattr(transport, "max_size"):
            transport.max_size = _READ_AT_MOST
        self.control.transport = transport
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Go on in TLS on the same connection. Raises OSError; ssl.SSLError is one."""
        writer = self.stream.writer
        async with asyncio.timeout(self.control.timeout_seconds):
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
        code, told = Code(str(reply.code)), list(reply.told or reply.lines)
        accepted = (expected_codes,) if isinstance(expected_codes, str) else expected_codes
        if accepted:
            self.check_codes(tuple(Code(each) for each in accepted), code, told)
        return code, told
