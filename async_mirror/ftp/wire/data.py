"""Data connections, plain and in TLS: bytes out or in, and ends that no server misunderstands. Knows no command."""

import asyncio
import errno
import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

from async_mirror.ftp.wire.bulk_sender import PIECE, Bulk
from async_mirror.ftp.wire.replies import Reply
from async_mirror.multi import in_steps
from async_mirror.remote.errors import ContentFailedError
from async_mirror.remote.session import Content, Reader

_RECEIVED = 64 * 1024
_BLOCK = 1024 * 1024
"""Bytes of a large file that are read, digested and sent at once: with fewer, threads hinder one another."""
_SEALED_BLOCK = 256 * 1024
"""The same in TLS, where more would not stay in the processor's cache until it is enciphered."""
_NEAR_BUFFER = 256 * 1024
"""Bytes that the kernel may hold of what stays on this machine: the server is to find them in the processor's cache."""
_ENDED = "the server ended the transfer"


async def _blocks(content: Content) -> AsyncIterator[bytes]:
    blocks = content.blocks()
    while True:
        try:
            block = await anext(blocks)
        except StopAsyncIteration:
            return
        except Exception as error:
            raise ContentFailedError(error) from error
        yield block


def _reader(content: Content) -> Reader | None:
    try:
        return content.reader()
    except OSError as error:
        raise ContentFailedError(error) from error


def _is_bare_end(error: ssl.SSLError) -> bool:
    """Tell whether the other side ended without close_notify; Python 3.11.2 has no SSLEOFError for that."""
    return isinstance(error, ssl.SSLEOFError) or error.reason == "UNEXPECTED_EOF_WHILE_READING"


class Data:
    """One data connection, for one transfer; each step takes `timeout_seconds` at the most, or raises TimeoutError.

    All of its methods raise OSError when the connection fails. `whole` tells whether the end of what was received is
    sure to be what the server meant as the end.
    """

    whole = True

    def __init__(self, family: int, timeout_seconds: float) -> None:
        """Make a socket, not connected yet."""
        self._timeout_seconds = timeout_seconds
        self._is_connected = False
        self._received = PIECE
        self._due = 0.0
        self._loop = asyncio.get_running_loop()
        self._reply: asyncio.Future[Reply]
        self._socket = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK, socket.IPPROTO_TCP)

    def heed(self, reply: "asyncio.Future[Reply]") -> None:
        """Take note of what the server's last word on the transfer will be."""
        self._reply = reply
        reply.add_done_callback(self._wake)

    async def open(self, address: tuple[Any, ...]) -> None:
        """Connect, if that was not done before, and be ready for the transfer, whose command was sent."""
        if not self._is_connected:
            await self.connect(address, self._timeout_seconds)

    async def connect(self, address: tuple[Any, ...], seconds: float) -> None:
        """Connect within so many seconds; on a short way that is done before anybody could wait for it."""
        code = self._socket.connect_ex(address)
        if code == errno.EINPROGRESS and self._socket.connect_ex(address) not in {0, errno.EISCONN}:
            async with asyncio.timeout(seconds):
                await self._loop.sock_connect(self._socket, address)
        elif code not in {0, errno.EINPROGRESS}:
            raise OSError(code, os.strerror(code))
        self._is_connected = True

    async def send(self, content: Content) -> None:
        """Send all of the content, and that this was all. Raises ContentFailedError if it cannot be read."""
        if content.whole is not None:
            await self._send_whole(content.whole)
            return
        self._delay_nothing()
        reader = _reader(content)
        if reader is not None:
            await self._send_bulk(reader, content.advanced)
        else:
            await self._send_blocks(content)
        await self.finish()

    def _delay_nothing(self) -> None:
        """Have each piece leave as it comes, however small the one before it was."""
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    async def _send_bulk(self, reader: Reader, advanced: Callable[[int], None]) -> None:
        """Send many bytes off the event loop: none of them passes it."""
        bulk = self._bulk(reader)
        self._reply.add_done_callback(bulk.halt)
        try:
            await in_steps(bulk, advanced)
        except OSError:
            if not self._reply.done():
                raise
        finally:
            self._reply.remove_done_callback(bulk.halt)
        if not bulk.ended:
            raise ConnectionResetError(_ENDED)

    async def _send_blocks(self, content: Content) -> None:
        async for block in _blocks(content):
            for start in range(0, len(block), PIECE):
                if self._reply.done():
                    raise ConnectionResetError(_ENDED)
                async with asyncio.timeout(self._timeout_seconds):
                    await self._send(memoryview(block)[start : start + PIECE])

    async def _send_whole(self, whole: bytes) -> None:
        """Send a few bytes, which `close` ends; if the other side takes them at once, nothing waits."""
        sent = 0
        if whole:
            with suppress(BlockingIOError):
                sent = self._socket.send(whole)
        if sent < len(whole):
            async with asyncio.timeout(self._timeout_seconds):
                await self._send(memoryview(whole)[sent:])

    async def receive(self) -> bytes:
        """Return the next bytes, none at the end."""
        if self._received >= PIECE:
            self._received = 0
            self._due = self._loop.time() + self._timeout_seconds
        async with asyncio.timeout_at(self._due):
            block = await self._receive()
        self._received += len(block)
        return block

    async def finish(self) -> None:
        """Say that nothing more will be sent."""
        self._socket.shutdown(socket.SHUT_WR)

    async def drain(self) -> None:
        """Wait until the server has closed its side, or has answered: closed earlier, it might lose what was sent."""

    def close(self) -> None:
        """Let go of a connection that has done its work."""
        self._socket.close()

    def reset(self) -> None:
        """Break off: a clean close would make the server take what it has for the whole file."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def _bulk(self, reader: Reader) -> Bulk:
        with suppress(OSError):  # a connection that is cut already tells so when it is used
            if self._socket.getsockname()[0] == self._socket.getpeername()[0]:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _NEAR_BUFFER)
        return Bulk(reader, memoryview, _BLOCK, self._socket, self._timeout_seconds)

    async def _send(self, piece: memoryview) -> None:
        await self._loop.sock_sendall(self._socket, piece)

    async def _receive(self) -> bytes:
        return await self._loop.sock_recv(self._socket, _RECEIVED)

    def _wake(self, reply: "asyncio.Future[Reply]") -> None:
        """End what waits for a server that, having refused the command, will never use the connection."""
        if not reply.cancelled() and (reply.exception() or not reply.result().succeeded):
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)


class SecureData(Data):
    """A data connection in TLS, which begins after the command was sent: servers do not expect it earlier.

    With the control connection's `session`, which many servers insist on (RFC 4217, 10.2). At the end close_notify and
    FIN leave together; asyncio's own transport would hold FIN back for a round trip.
    """

    def __init__(
        self, family: int, timeout_seconds: float, context: ssl.SSLContext, host: str, session: ssl.SSLSession | None
    ) -> None:
        """Make a socket and what encrypts for it; `host` is whose certificate is to be shown."""
        self._arrived = ssl.MemoryBIO()
        self._leaving = ssl.MemoryBIO()
        self.peer = context.wrap_bio(self._arrived, self._leaving, server_hostname=host, session=session)
        super().__init__(family, timeout_seconds)
        self._delay_nothing()

    async def open(self, address: tuple[Any, ...]) -> None:
        """Connect, and agree upon TLS. Raises ssl.SSLCertVerificationError among other OSErrors."""
        await super().open(address)
        async with asyncio.timeout(self._timeout_seconds):
            await self._shake_hands()

    async def _shake_hands(self) -> None:
        while True:
            try:
                self.peer.do_handshake()
                break
            except ssl.SSLWantReadError:
                await self._flush()
                await self._fill()
        await self._flush()

    async def finish(self) -> None:
        """Say that nothing more will be sent, in TLS too."""
        with suppress(ssl.SSLError):  # the other side's end need not have come yet
            self.peer.unwrap()
        async with asyncio.timeout(self._timeout_seconds):
            await self._flush()
        await super().finish()

    async def drain(self) -> None:
        """Take what the server still sends, late session tickets for example: unread they would make close a reset."""
        self._reply.add_done_callback(self._stop_receiving)
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(self._timeout_seconds):
                while await self._discard():
                    pass

    async def _discard(self) -> bytes:
        await asyncio.sleep(0)  # as in `_fill`
        return await super()._receive()

    async def _send_whole(self, whole: bytes) -> None:
        async with asyncio.timeout(self._timeout_seconds):
            self._encrypt(memoryview(whole))
            await self.finish()

    def _encrypt(self, piece: memoryview) -> None:
        while piece:
            piece = piece[self.peer.write(piece) :]

    def _bulk(self, reader: Reader) -> Bulk:
        return Bulk(reader, self._seal, _SEALED_BLOCK, self._socket, self._timeout_seconds)

    def _seal(self, piece: memoryview) -> memoryview:
        self._encrypt(piece)
        return memoryview(self._leaving.read())

    async def _send(self, piece: memoryview) -> None:
        self._encrypt(piece)
        await self._flush()

    async def _receive(self) -> bytes:
        while True:
            try:
                return self.peer.read(_RECEIVED)
            except ssl.SSLWantReadError:
                await self._fill()
            except ssl.SSLError as error:
                if not _is_bare_end(error):
                    raise
                self.whole = False
                return b""

    async def _fill(self) -> None:
        await asyncio.sleep(0)  # receiving what is there already lets nothing else run, not even a time-out
        block = await self._loop.sock_recv(self._socket, _RECEIVED)
        if block:
            self._arrived.write(block)
        else:
            self._arrived.write_eof()

    async def _flush(self) -> None:
        if block := self._leaving.read():
            await self._loop.sock_sendall(self._socket, block)

    def _stop_receiving(self, _: "asyncio.Future[Reply]") -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RD)
