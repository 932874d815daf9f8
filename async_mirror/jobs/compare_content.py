"""Whether a file of the site has the content of one of the source. Sends nothing, changes nothing.

The site is asked for a hash where it is known to tell the truth; else the file is read back. A hash is believed once
one was that of the bytes read back: the first file that is compared proves the command, or rules it out.
"""

import hashlib
import zlib
from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol

from async_mirror.model.entry import UNKNOWN, Entry
from async_mirror.remote.errors import Refusal
from async_mirror.remote.session import RemoteSession, SiteHash
from async_mirror.source.files import new_hash, read_file

BY_CRC = "contents were compared by CRC-32, which takes one in 4 billion that differ for the same"
"""The note of a comparison that no stronger hash was to be had for."""


class Hashing(Protocol):
    """What digests bytes."""

    def update(self, data: bytes) -> None:
        """Take more bytes."""
        ...

    def digest(self) -> bytes:
        """Return the digest of all bytes so far."""
        ...


class _Crc32:
    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


class SameContent(NamedTuple):
    """How a comparison ended: None if the site tells nothing. `local` is the file as it was read, with its digest."""

    is_same: bool | None
    local: Entry | None = None
    note: str = ""


async def same_content(
    session: RemoteSession, source: bytes, entry: Entry, may_read: Callable[[int], Awaitable[None]]
) -> SameContent:
    """Compare a file of the source, as it is read now, with the site's of the same path.

    `may_read` is awaited as bytes are read back. Raises OSError if the source cannot be read.
    """
    path = entry.path
    told = await session.hash_of(path, entry.size)
    ours = _hashing(told.algorithm) if told else None
    local = await read_file(source, path, ours.update if ours else None)
    if local is None:
        return SameContent(None)
    if told and ours and told.is_proved:
        return SameContent(ours.digest() == told.value, local, BY_CRC * (told.algorithm == "crc32"))
    if await _size(session, path) not in {local.size, UNKNOWN}:
        return SameContent(is_same=False, local=local)
    return SameContent(await _is_read_back(session, local, told, may_read), local)


async def _size(session: RemoteSession, path: str) -> int | None:
    try:
        return await session.size(path)
    except Refusal:
        return UNKNOWN


async def _is_read_back(
    session: RemoteSession, local: Entry, told: SiteHash | None, may_read: Callable[[int], Awaitable[None]]
) -> bool | None:
    """Read a file back and compare it; what the site told of it is proved by that, or ruled out."""
    content, theirs = new_hash(), _hashing(told.algorithm) if told else None

    def take(block: bytes) -> None:
        content.update(block)
        if theirs:
            theirs.update(block)

    try:
        if not await session.read_back(local.path, local.size, take, may_read):
            return None
    except Refusal as refusal:
        if refusal.transient:
            raise
        return None
    if told and theirs and local.size:
        session.found_hash(told.by, is_right=theirs.digest() == told.value)
    return content.digest(len(local.digest)) == local.digest


def _hashing(algorithm: str) -> Hashing:
    return _Crc32() if algorithm == "crc32" else hashlib.new(algorithm, usedforsecurity=False)
