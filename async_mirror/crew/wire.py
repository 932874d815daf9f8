"""What a crew and a worker say to each other over a socket. Starts nothing."""

import asyncio
import pickle
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from async_mirror.crew.work import Hands

_LENGTH = struct.Struct("!I")


class Hello(NamedTuple):
    call: int


class Open(NamedTuple):
    call: int


class Perform(NamedTuple):
    call: int
    item: Any
    previous: Any


class Close(NamedTuple):
    call: int


class Cancel(NamedTuple):
    call: int


class Go(NamedTuple):
    call: int


class Learned(NamedTuple):
    """What was found out is told, either way, before whatever else is said."""

    found: Sequence[Any]


Request = Hello | Open | Perform | Close


class Left(NamedTuple):
    call: int


class Advanced(NamedTuple):
    call: int
    amount: int


class MayDo(NamedTuple):
    call: int
    amount: int


class Keep(NamedTuple):
    call: int
    what: Any


class Answer(NamedTuple):
    call: int
    result: Any
    usable: bool


class Raised(NamedTuple):
    call: int
    error: BaseException


class Wire:
    """Messages over a socket, in order."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._told = 0

    def tell(self, hands: Hands[Any, Any, Any]) -> None:
        """Send what these hands found out since this was last called."""
        if found := hands.learned(self._told):
            self._told += len(found)
            self.send(Learned(found))

    @classmethod
    async def over(cls, end: socket.socket) -> "Wire":
        return cls(*await asyncio.open_connection(sock=end))

    def send(self, message: Any) -> None:
        raw = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        self._writer.write(_LENGTH.pack(len(raw)) + raw)

    async def messages(self) -> AsyncIterator[Any]:
        """Yield what the other side sends, until it ends."""
        with suppress(asyncio.IncompleteReadError, OSError):
            while True:
                (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
                yield pickle.loads(await self._reader.readexactly(length))  # noqa: S301 - from our own process

    def close(self) -> None:
        self._writer.close()


def portable(error: BaseException) -> BaseException:
    """Return an exception that arrives on the other side."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    except Exception:  # noqa: BLE001 - exceptions may do anything when they are unpickled
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
