"""Sends many bytes in a thread, where they are read, digested and enciphered, too. Knows neither files nor TLS."""

import select
import socket
from collections.abc import Callable
from time import monotonic

from async_mirror.remote.errors import ContentFailedError
from async_mirror.remote.session import Reader

PIECE = 64 * 1024
"""Bytes that must be on their way within one time-out: the least progress that counts as any."""
_STEP_S = 0.1


class Bulk:
    """What is to be sent over a connection that is open, in steps of a tenth of a second (see `multi.in_steps`).

    It has a hold of its own on the connection, so a thread that is late, because of a disk, does no harm to others.
    Memory is that of one block, and of what `seal` makes of it, however many bytes there are.
    """

    def __init__(
        self,
        reader: Reader,
        seal: Callable[[memoryview], memoryview],
        block_size: int,
        connection: socket.socket,
        timeout_seconds: float,
    ) -> None:
        """Begin with nothing sent; `seal` gives what is sent in place of a block that was read. Takes `reader` over."""
        self.ended = False
        self._halted = False
        self._reader = reader
        self._seal = seal
        self._timeout_seconds = timeout_seconds
        self._waited = 0.0
        self._since_wait = 0
        self._block = memoryview(bytearray(min(block_size, max(1, reader.size))))
        self._waiting = self._block[:0]
        self._untold = 0
        try:
            self._socket = connection.dup()
        except OSError:
            reader.close()
            raise

    @property
    def goes_on(self) -> bool:
        """True while there may be more to send, and it is wanted."""
        return not (self.ended or self._halted)

    def halt(self, *_: object) -> None:
        """Have the step that is under way end now, if this is not what it waits for: the disk."""
        self._halted = True

    def close(self) -> None:
        """Let go of the connection and of what is read; call when no step is under way."""
        self._socket.close()
        self._reader.close()

    def step(self) -> int:
        """Send for a while; return how many bytes of the content have left. Blocks: call in a thread.

        Raises ContentFailedError when it cannot be read, OSError when the connection fails, TimeoutError when it takes
        less than PIECE bytes in the time that they may take.
        """
        left = 0
        end = monotonic() + _STEP_S
        while self.goes_on and (now := monotonic()) < end:
            if not self._waiting and not self._fill():
                self.ended = True
                break
            try:
                sent = self._socket.send(self._waiting)
            except BlockingIOError:
                self._wait(end - now)
                continue
            self._waiting = self._waiting[sent:]
            self._count(sent)
            told = min(sent, self._untold) if self._waiting else self._untold
            self._untold -= told
            left += told
        return left

    def _fill(self) -> bool:
        try:
            size = self._reader.read_into(self._block)
        except Exception as error:
            raise ContentFailedError(error) from error
        self._untold = size
        self._waiting = self._seal(self._block[:size])
        return size > 0

    def _wait(self, seconds: float) -> None:
        poll = select.poll()
        poll.register(self._socket, select.POLLOUT)
        began = monotonic()
        poll.poll(max(1.0, min(seconds, self._timeout_seconds - self._waited) * 1000))
        self._waited += monotonic() - began
        if self._waited >= self._timeout_seconds:
            raise TimeoutError

    def _count(self, sent: int) -> None:
        self._since_wait += sent
        if self._since_wait >= PIECE:
            self._since_wait = 0
            self._waited = 0.0
