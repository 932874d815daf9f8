"""Opens and reads single files of the source, and never writes. Knows nothing of the site."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from async_mirror.model import paths
from async_mirror.model.entry import Entry
from async_mirror.multi import batched

if TYPE_CHECKING:
    import blake3
from async_mirror.source.look import NO_FILE, entry_of, local_path, open_folder
from async_mirror.source.mounts import mounts

BLOCK = 256 * 1024
SMALL = 64 * 1024
"""Bytes that a file may have to be read when it is opened."""
_WHOLE_SECOND_TICK_NS = 2_000_000_000
_TICK_NS = 20_000_000
_PLAINLY = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def settling_seconds(mtime_ns: int, now_ns: int) -> float:
    """Return how long to wait before a file is read, so that a later write would get another mtime.

    One clock tick of the kernel; 2 s for a whole second, which may come from a file system that has no finer ones.
    """
    tick = _WHOLE_SECOND_TICK_NS if mtime_ns % 1_000_000_000 == 0 else _TICK_NS
    wait = mtime_ns + tick - now_ns
    return wait / 1e9 if 0 < wait <= tick else 0.0


_DIGEST_BYTES = 16


def new_hash() -> "blake3.blake3":
    """Return what digests: large files wait for little else, and with AVX-512 SHA-256 takes three times as long."""
    import blake3  # noqa: PLC0415 - a pass that sends nothing needs none

    return blake3.blake3()


class _Reader:
    """Reads an open file in a thread, by a descriptor of its own, and has `take` take note of each block."""

    def __init__(self, descriptor: int, size: int, take: Callable[[memoryview], None]) -> None:
        self.size = size
        self._descriptor = os.dup(descriptor)
        self._take = take
        self._place = 0

    def read_into(self, buffer: memoryview) -> int:
        room = buffer[: self.size - self._place]
        read = os.preadv(self._descriptor, [room], self._place)
        self._take(room[:read])
        self._place += read
        return read

    def close(self) -> None:
        os.close(self._descriptor)


class LocalFile:
    """A file of the source, open for one reading (a `Content`). A small one has been read: `whole` is it.

    What is read is the file that was there when it was opened: no link is followed, a FIFO does not block.
    """

    def __init__(
        self, descriptor: int, entry: Entry, times: tuple[int, int], whole: bytes | None, settles_in_s: float
    ) -> None:
        """Hold an open file; see `open_file`."""
        self.entry = entry
        self.size = entry.size
        self.sent = 0
        self.whole = whole
        self.settles_in_s = settles_in_s
        """How long to wait before what was read can be believed to be of this mtime alone; then it is read anew."""
        self._descriptor = descriptor
        self._times = times
        self.hash = new_hash()
        if whole is not None:
            self.hash.update(whole)

    @property
    def digest(self) -> bytes:
        """The digest of what was read so far."""
        return self.hash.digest(_DIGEST_BYTES)

    async def blocks(self) -> AsyncIterator[bytes]:
        """Yield the file's bytes, as many as it had when it was opened at the most."""
        if self.whole is not None:
            self.sent = len(self.whole)
            if self.whole:
                yield self.whole
            return
        import aiofiles  # noqa: PLC0415 - nor this

        async with aiofiles.open(self._descriptor, "rb", buffering=0, closefd=False) as file:
            while self.sent < self.size:
                block = await file.read(min(BLOCK, self.size - self.sent))
                if not block:
                    return
                self._take(block)
                yield block

    def reader(self) -> _Reader | None:
        """Return what a thread may read the file by, once, in place of `blocks`; None for a small one."""
        return _Reader(self._descriptor, self.size, self._take) if self.whole is None else None

    def _take(self, block: bytes | memoryview) -> None:
        self.hash.update(block)
        self.sent += len(block)

    def is_unchanged(self) -> bool:
        """Tell whether all of the file was read, and was not written to meanwhile."""
        status = os.fstat(self._descriptor)
        return self.sent == self.size == status.st_size and self._times == (status.st_mtime_ns, status.st_ctime_ns)

    def go_on_after(self, earlier: "LocalFile") -> None:
        """Begin where an earlier reading of the same version ended."""
        if self.whole is None and self.entry.marks == earlier.entry.marks:
            self.sent = os.lseek(self._descriptor, earlier.sent, os.SEEK_SET)
            self.hash = earlier.hash

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


async def open_file(root: bytes, path: str) -> LocalFile | None:
    """Open a regular file; None when there is none at the path (any more). Raises OSError when it cannot be read.

    It was looked at just before, so on a disk of this machine opening it takes no time, nor does reading what is in
    memory. All else is done in a thread.
    """
    at_hand, until_s = _KNOWN.get(root, (None, 0.0))
    if time.monotonic() > until_s:
        at_hand = None
    opened = None if at_hand is None else _open(root, path, at_hand)
    if opened is None:
        opened = await batched(_open_all, _discard)((root, path))
    match opened:
        case OSError():
            raise opened
        case LocalFile():
            return opened
        case _:
            return None


_KNOWN_FOR_S = 60.0
_KNOWN: dict[bytes, tuple[int | None, float]] = {}
"""How each source is read in the event loop (see `_how_at_hand`), and until when that holds; found out in a thread."""


def _find_out(root: bytes) -> None:
    if time.monotonic() > _KNOWN.get(root, (None, 0.0))[1]:
        _KNOWN[root] = (_how_at_hand(root), time.monotonic() + _KNOWN_FOR_S)


def _how_at_hand(root: bytes) -> int | None:
    """Return the flags with which preadv gives what is in memory and never waits; None if a file system may wait.

    One of the network may even wait for its server to open a file, for ever perhaps. What is mounted below counts, too.
    """
    flags = {_AT_HAND.get(mount.kind) for mount in mounts(root)}
    return flags.pop() if len(flags) == 1 else None


_IF_IN_MEMORY = getattr(os, "RWF_NOWAIT", 0)
_AT_HAND = {b"tmpfs": 0, b"ramfs": 0}
if _IF_IN_MEMORY:
    _AT_HAND |= dict.fromkeys((b"ext4", b"xfs", b"btrfs", b"f2fs", b"overlay"), _IF_IN_MEMORY)


class _Nothing:
    """Stands for a path at which there is no regular file."""


_Opened = LocalFile | OSError | _Nothing


def _discard(opened: _Opened) -> None:
    if isinstance(opened, LocalFile):
        opened.close()


def _open_all(wanted: Sequence[tuple[bytes, str]]) -> list[_Opened]:
    for root in {root for root, _ in wanted}:
        _find_out(root)
    return [_open(root, path, None) or _Nothing() for root, path in wanted]


def _open(root: bytes, path: str, at_hand: int | None) -> _Opened | None:
    """Open a file and read it if it is small; with the flags `at_hand`, None if that would mean to wait."""
    try:
        descriptor = _open_plainly(root, path, "", os.O_RDONLY)
    except OSError as error:
        return _Nothing() if error.errno in NO_FILE else error
    kept = False
    try:
        now_ns = time.time_ns()
        status = os.fstat(descriptor)
        entry = entry_of(path, status)
        if entry is None or entry.is_folder:
            return _Nothing()
        whole = None
        if 0 < entry.size <= SMALL:
            whole = _read(descriptor, entry.size, at_hand)
            if whole is None:
                return None
        elif not entry.size:
            whole = b""
        kept = True
        times = (status.st_mtime_ns, status.st_ctime_ns)
        return LocalFile(descriptor, entry, times, whole, settling_seconds(entry.mtime_ns, now_ns))
    except OSError as error:
        return error
    finally:
        if not kept:
            os.close(descriptor)


def _read(descriptor: int, size: int, at_hand: int | None) -> bytes | None:
    """Return the first bytes of a file, as many as there are; with flags, None for what is not in memory."""
    if at_hand is None:
        return os.pread(descriptor, size, 0)
    block = bytearray(size)
    try:
        read = os.preadv(descriptor, [block], 0, at_hand)
    except OSError:  # not in memory; or a file system that cannot tell
        return None
    return bytes(block) if read == size else None


def _open_plainly(root: bytes, path: str, _: str, flags: int) -> int:
    folder, name = paths.split(path)
    inside = open_folder(root, folder)
    try:
        return os.open(paths.encode(name), flags | _PLAINLY, dir_fd=inside)
    finally:
        os.close(inside)


async def open_settled(root: bytes, path: str) -> LocalFile | None:
    """Open a file as `open_file` does, after a short wait if it was written to just now; see `settling_seconds`."""
    file = await open_file(root, path)
    if file and file.settles_in_s:
        file.close()
        await asyncio.sleep(file.settles_in_s)
        file = await open_file(root, path)
    return file


HalfRead = dict[str, LocalFile]
"""The files of which a part was read, by their paths; they are closed."""


async def read_file(
    root: bytes, path: str, take: Callable[[bytes], None] | None = None, half_read: HalfRead | None = None
) -> Entry | None:
    """Read a file, and return it with its digest; None if it is gone, or changed meanwhile. `take` gets all blocks.

    If `take` raises, the file is `half_read`, and the next reading goes on from there. Raises OSError when it cannot be
    read.
    """
    file = await open_settled(root, path)
    if file is None:
        return None
    if half_read and (earlier := half_read.pop(path, None)):
        file.go_on_after(earlier)
    try:
        async for block in file.blocks():
            if take:
                take(block)
        sure = file.is_unchanged() and not file.settles_in_s
        return file.entry._replace(digest=file.digest) if sure else None
    except InterruptedError:
        if half_read is not None:
            half_read[path] = file
        raise
    finally:
        file.close()


async def digest_of(root: bytes, path: str) -> bytes | None:
    """Return the digest of a file's content; None if it is gone, or changed while it was read."""
    read = await read_file(root, path)
    return read.digest if read else None


def has_digest(root: bytes, path: str, digest: bytes) -> bool:
    """Tell whether a file has the content of that digest now; blocks while it reads."""
    try:
        with open(local_path(root, path), "rb", buffering=0, opener=partial(_open_plainly, root, path)) as file:
            entry = entry_of(path, os.fstat(file.fileno()))
            if entry is None or entry.is_folder:
                return False
            content = new_hash()
            while block := file.read(BLOCK):
                content.update(block)
            return content.digest(_DIGEST_BYTES) == digest
    except OSError:
        return False
