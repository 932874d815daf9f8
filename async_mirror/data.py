"""A data connection: a socket that takes a file's bytes, and ways to end it that no server misunderstands."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import suppress

from async_mirror.control import Expected
from async_mirror.remote import Content
from async_mirror.replies import Reply

PIECE = 64 * 1024
"""Bytes that must be on their way within one time-out: the least progress that counts as any."""


class ContentFailedError(Exception):
    """The content itself could not be read; that is no fault of the connection."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


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


async def send(data: socket.socket, content: Content, expected: Expected, timeout_seconds: float) -> None:
    """Send all of the content. Raises OSError (a time-out too), or ContentFailedError if it cannot be read."""
    loop = asyncio.get_running_loop()
    async for block in _blocks(content):
        for start in range(0, len(block), PIECE):
            if expected.reply.done():
                raise ConnectionResetError("the server ended the transfer")
            async with asyncio.timeout(timeout_seconds):
                await loop.sock_sendall(data, memoryview(block)[start : start + PIECE])


def wake_if_refused(data: socket.socket, reply: "asyncio.Future[Reply]") -> None:
    """End what waits on a data connection that the server, having refused the command, will never use."""
    if not reply.cancelled() and (reply.exception() or not reply.result().succeeded):
        with suppress(OSError):
            data.shutdown(socket.SHUT_RDWR)


def reset(data: socket.socket) -> None:
    """Close with a reset: a clean close would make the server take what it has for the whole file."""
    data.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    data.close()
