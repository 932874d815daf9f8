"""Reads files that look as they were and yet may not be, within bounds; gives unread held files a digest.

A ctime or an inode that changed may mean another content, or nothing at all: `chown -R`, a backup agent, hard links.
Where it is most of a file system, so many files are read in each pass that nothing else is held up.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence

from async_mirror.crew.off_loop import Awaited, Face
from async_mirror.crew.stop import Stop
from async_mirror.jobs.bandwidth import Pace
from async_mirror.model import paths
from async_mirror.model.change import Change, SendFile
from async_mirror.model.entry import Entry
from async_mirror.model.plan import FolderPlan, plan_read
from async_mirror.model.settings import Settings
from async_mirror.planning.inodes import AwaitableInodes, Inodes
from async_mirror.source.files import HalfRead, read_file
from async_mirror.source.look import look
from async_mirror.source.mounts import Mount
from async_mirror.source.opened_folder import OpenedFolder
from async_mirror.state.awaitable import AwaitableState
from async_mirror.state.store import State

MANY_FILES, MANY_PERCENT = 1000, 10
"""If more files and more of those held below a mount were touched, it is the file system that touched them."""
READ_FOR_S = 10.0
READ_BYTES_PER_S = 100e6
"""What is read in one pass of what can wait; a file that takes longer is read on in the next."""
MOST_WAITING = 100_000
"""So many touched files are kept in mind; what is beyond is found again by the next pass."""
AT_ONCE = 64


class _Files:
    """Files as they are and as they are held. The methods block."""

    def __init__(self, root: OpenedFolder, state: State) -> None:
        self._root = root
        self._state = state

    def changed(self, some: Iterable[str]) -> list[tuple[Entry, Entry]]:
        """Return files as they are now and as they are held, but for those that were sent meanwhile."""
        found = ((look(self._root, path), self._state.held(path)) for path in some)
        files = [(now, held) for now, held in found if now and held and not (now.is_folder or held.is_folder)]
        return [(now, held) for now, held in files if now.marks != held.marks]

    def now(self, path: str) -> Entry | None:
        """Return what is there now."""
        return look(self._root, path)

    def others(self, uploads: Sequence[SendFile]) -> dict[str, str]:
        """Return which other file each was, if it was one that is not where it was."""
        now = {(each.entry.inode, *each.entry.marks[:2]): each.entry.path for each in uploads}
        others: dict[str, str] = {}
        for held in self._state.held_with_inodes({inode for inode, *_ in now}):
            path = now.get((held.inode, *held.marks[:2]))
            if path and path != held.path and not self._is_there(held):
                others[path] = held.path
        return others

    def _is_there(self, held: Entry) -> bool:
        there = look(self._root, held.path)
        return there is not None and there.inode == held.inode


class _AwaitableFiles(Face[_Files]):
    others = Awaited(_Files.others)
    changed = Awaited(_Files.changed)
    now = Awaited(_Files.now)


class Examination:
    """What is to be read in one pass: what plans say that has to be, and what was not read yet."""

    def __init__(
        self,
        root: OpenedFolder,
        state: AwaitableState,
        settings: Settings,
        inodes: Inodes,
        stop: Stop,
        *,
        half_read: HalfRead | None = None,
    ) -> None:
        """Begin with nothing to be read but what is left of files that the pass before has `half_read`.

        None says that no pass comes after this one.
        """
        self._half_read = half_read
        self._root = root
        self._state = state
        self._settings = settings
        self._stop = stop
        self._files = _AwaitableFiles(_Files(root, state.blocking), state.off_loop)
        self._inodes = AwaitableInodes(inodes, state.off_loop)
        self._unsized: list[str] = []
        self._touched: defaultdict[Mount | None, list[str]] = defaultdict(list)
        self._uploads_left: int | None = None

    def take(self, plan: FolderPlan) -> None:
        """Take note of what a plan has to be read."""
        self._unsized += [entry.path for entry in plan.unsized]
        for entry in plan.touched:
            waiting = self._touched[self._inodes.blocking.mount_of(paths.parent(entry.path))]
            if len(waiting) < MOST_WAITING:
                waiting.append(entry.path)

    # What is uploaded though it may be unchanged.

    async def uploads_left(self) -> int:
        """Return how many files may yet be uploaded in this pass that were not compared with anything."""
        if self._uploads_left is None:
            self._uploads_left = self._settings.verify_limit.share_of(await self._state.held.count_files())
        return self._uploads_left

    async def compared(self, changes: Sequence[Change]) -> Sequence[Change]:
        """Have the site asked for no file that was another one, as its inode and date tell, within the limit."""
        unread = {each.entry.path: each for each in changes if isinstance(each, SendFile) and self._is_open(each)}
        if not unread:
            return changes
        left, others = await self.uploads_left(), await self._files.others(list(unread.values()))
        sure = {path: _told_by_inode(unread[path], others[path]) for path in list(others)[:left]}
        self._uploads_left = left - len(sure)
        return [sure.get(each.entry.path, each) if isinstance(each, SendFile) else each for each in changes]

    def _is_open(self, upload: SendFile) -> bool:
        """Tell whether the site is to say if a file has changed, and its inode, where that counts, is another."""
        held, folder = upload.held, paths.parent(upload.entry.path)
        if not upload.compares or held is None or held.digest or upload.entry.inode == held.inode:
            return False
        return self._settings.ctime and self._inodes.blocking.count_in(folder)

    # What is read.

    async def found(self, note: Callable[[str], object]) -> AsyncGenerator[FolderPlan, None]:
        """Read what is to be read, some files at a time, and yield what is to be done about them."""
        await self._inodes.learn()
        async for plan in self._read_all(self._unsized, _Bounds(self._stop)):
            yield plan
        for mount, touched in self._touched.items():
            bounds = _Bounds(self._stop)
            if await self._is_file_system(mount, touched):
                note(_told(mount, len(touched)))
                bounds = _Bounds(self._stop, READ_FOR_S)
            async for plan in self._read_all(touched, bounds):
                yield plan

    async def _is_file_system(self, mount: Mount | None, touched: Sequence[str]) -> bool:
        if len(touched) <= MANY_FILES:
            return False
        held = await self._state.held.count_files(mount.folder if mount else "")
        return len(touched) * 100 > held * MANY_PERCENT

    async def _read_all(self, waiting: Sequence[str], bounds: "_Bounds") -> AsyncGenerator[FolderPlan, None]:
        for start in range(0, len(waiting), AT_ONCE):
            some = waiting[start : start + AT_ONCE]
            plan = FolderPlan()
            for now, held in await self._files.changed(some):
                if bounds.are_reached:
                    break
                if read := (await self._content(held, bounds) if held.digest else now):
                    _add(plan, plan_read(read, held, perms=self._settings.perms))
            yield plan
            if bounds.are_reached:
                return

    async def _content(self, held: Entry, bounds: "_Bounds") -> Entry | None:
        await bounds.spend(held.size)

        def go_on(_: bytes) -> None:
            if self._stop.requested or (self._half_read is not None and bounds.are_reached):
                raise InterruptedError

        try:
            return await read_file(self._root, held.path, go_on, self._half_read)
        except OSError:  # it is read again in the next pass, and told of if it is to be sent
            return None

    # Digests.

    async def digest(self) -> None:
        """Read files that were adopted unread, as they were then, and keep their digests; the rest in later passes."""
        bounds = _Bounds(self._stop, READ_FOR_S)
        after = ""
        while rows := await self._state.held.unread(after, AT_ONCE):
            digested: list[Entry] = []
            for held in rows:
                if bounds.are_reached:
                    break
                if digest := await self._digest_of(held, bounds):
                    digested.append(held._replace(digest=digest))
            if digested:
                await self._state.held.add_digests(digested)
            if bounds.are_reached:
                return
            after = rows[-1].path

    async def _digest_of(self, held: Entry, bounds: "_Bounds") -> bytes:
        """Return the digest of a file that has the marks it had when it was adopted, before and after."""
        now = await self._files.now(held.path)
        if now is None or now.marks != held.marks:
            return b""
        if self._half_read is None and held.size > READ_FOR_S * READ_BYTES_PER_S:
            return b""  # no pass goes on with it; if it is needed, the site is asked
        read = await self._content(held, bounds)
        return read.digest if read and read.marks == held.marks else b""


class _Bounds:
    """How much may be read: for so many seconds, at a rate that leaves the disk to others; all, if no time is given."""

    def __init__(self, stop: Stop, seconds: float | None = None) -> None:
        self._stop = stop
        self._until = None if seconds is None else time.monotonic() + seconds
        self._pace = Pace(None if seconds is None else READ_BYTES_PER_S)

    @property
    def are_reached(self) -> bool:
        return self._stop.requested or (self._until is not None and time.monotonic() > self._until)

    async def spend(self, size: int) -> None:
        """Wait until so many bytes may be read, but not for longer than anything may be."""
        now = time.monotonic()
        wait = self._pace.wait_for(max(size, 0), now)
        if wait and self._until is not None:
            await self._stop.pause(min(wait, max(0.0, self._until - now)))
        else:
            await asyncio.sleep(0)  # what is read from memory lets nothing else run


def _told_by_inode(upload: SendFile, other: str) -> SendFile:
    return upload._replace(why=f"tracked as {other} before (same inode and date)", compares=False)


def _add(plan: FolderPlan, more: FolderPlan) -> None:
    plan.changes += more.changes
    plan.refreshed += more.refreshed


def _told(mount: Mount | None, touched: int) -> str:
    below = f"below {mount.folder} " if mount and mount.folder else ""
    return (
        f"{touched:,} files {below}have a new ctime or inode but the same size and date (chown, backup or new mount):"
        " some are read in each pass to find changes (--no-ctime: never)"
    )
