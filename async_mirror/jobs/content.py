"""Whether a file of the site has the content of one of the source, and what is done if it has: nothing is sent.

The site is asked for a hash where it is known to tell the truth; else the file is read back. A hash is believed once
one was that of the bytes read back: the first file that is compared proves the command, or rules it out.
"""

import hashlib
import zlib
from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol

from async_mirror.jobs.attempt import Attempt
from async_mirror.model.change import SendFile, SetDate
from async_mirror.model.entry import UNKNOWN, Entry
from async_mirror.model.outcome import NO_MODES, NO_MTIMES, UNCOMPARED, Outcome
from async_mirror.remote.errors import Refusal
from async_mirror.remote.session import RemoteSession, SiteHash
from async_mirror.source.files import new_hash, read_file

BY_CRC = "contents were compared by CRC-32, which misses one difference in 4 billion"
"""The note of a comparison for which no stronger hash was available."""


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


async def if_known(attempt: Attempt, change: SendFile) -> Outcome | None:
    """Set the date of a file whose content is that of what is held; None if it is to be sent."""
    held = change.held
    if held is None or not _is_sure(attempt, held):
        return None
    try:
        found = await compared(attempt, change, held)
    except OSError:  # the upload will tell it
        return None
    if found.local is None or found.is_same is False:
        return None
    return attempt.skipped(UNCOMPARED) if found.is_same is None else await _set_date(attempt, change, held, found)


def _is_sure(attempt: Attempt, held: Entry) -> bool:
    """Tell whether nothing that an earlier attempt did may have another content than what is held."""
    doubt = attempt.doubts.get(held.path)
    if doubt is None:
        return True
    return not (doubt.anything or doubt.torn) and all(
        each and each.digest and each.digest == held.digest for each in doubt.versions
    )


async def compared(attempt: Attempt, change: SendFile, held: Entry) -> SameContent:
    """Compare a file of the source with what is held; with the site itself where that was not read."""
    source = attempt.publisher.source
    if not held.digest:
        return await same_content(attempt.session, source, change.entry, attempt.progress.may_do)
    local = await read_file(source, held.path)
    return SameContent(local is not None and local.digest == held.digest, local)


async def _set_date(attempt: Attempt, change: SendFile, held: Entry, found: SameContent) -> Outcome | None:
    """Set date and mode; None if the site turns out not to have the file."""
    assert found.local is not None
    session, path = attempt.session, held.path
    mode = found.local.mode if attempt.publisher.perms else held.mode
    version = found.local._replace(mode=mode, site_size=held.site_size, site_mtime_ns=held.site_mtime_ns)
    if version.marks != change.entry.marks:
        await attempt.progress.keep(version)
    dates = version.mtime_ns != held.mtime_ns
    with attempt.touching((path, held, version._replace(site_mtime_ns=UNKNOWN))):
        is_set = dates and await session.set_mtime(path, version.mtime_ns)
    if is_set:
        version = version._replace(site_mtime_ns=UNKNOWN)
    elif dates and await session.size(path) not in {version.size, UNKNOWN}:
        return None
    mode_set = mode == held.mode or await set_mode_quietly(session, path, mode)
    attempt.confirm(path, version)
    notes = ("" if is_set or not dates else NO_MTIMES, "" if mode_set else NO_MODES, found.note)
    return attempt.done(version, *notes, change=SetDate(version, held, SAME, is_set))


SAME = "same content"
"""Why only a date was set."""


async def set_mode_quietly(session: RemoteSession, path: str, mode: int) -> bool:
    """Set a mode; False if the site refuses."""
    try:
        return await session.set_mode(path, mode)
    except Refusal:
        return False
