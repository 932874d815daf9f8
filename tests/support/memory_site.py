"""A site in memory and the session to it: what the protocol of `remote` promises, without a network.

Must not know FTP: it stands for whatever keeps the promises, with the weaknesses that its knobs give it.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from async_mirror.model.entry import UNKNOWN, Entry, Kind
from async_mirror.model.paths import is_inside, join, parent, split
from async_mirror.remote.errors import ConnectionBroken, ConnectionRefused, Refusal
from async_mirror.remote.session import (
    Barred,
    Content,
    Published,
    RemoteListing,
    RemoteSession,
    Removal,
    SiteHash,
    Target,
)

SECOND_NS = 1_000_000_000

T = TypeVar("T")


class MemoryFile(NamedTuple):
    """A file of the site; the mtime in whole seconds once a session has set it."""

    content: bytes
    mtime_ns: int
    mode: int = 0o644


@dataclass(eq=False)
class MemorySite:
    """Files and folders by path, "" being the root; `folders` gives the modes. The first fields are the knobs.

    `replaces`: a rename may take the name of an existing file. `alters_names`: a leading or trailing space becomes
    `_` without a word, as on Pure-FTPd. `limit`: how many sessions may be open. `down`: nobody answers any more.
    """

    replaces: bool = True
    sets_mtime: bool = True
    sets_mode: bool = True
    ignores_case: bool = False
    alters_names: bool = False
    limit: int | None = None
    down: bool = False
    shape: int = 0
    files: dict[str, MemoryFile] = field(default_factory=dict)
    folders: dict[str, int] = field(default_factory=lambda: {"": 0o755})
    opened: int = 0
    most_open: int = 0
    sessions: set["MemorySession"] = field(default_factory=set)

    def enter(self, session: "MemorySession") -> None:
        """Let a session in, or raise what a server's door would."""
        if self.down:
            raise ConnectionBroken("nobody listens")
        if self.limit is not None and len(self.sessions) >= self.limit:
            raise ConnectionRefused("too many sessions", "421 Too many connections")
        self.sessions.add(session)
        self.opened += 1
        self.most_open = max(self.most_open, len(self.sessions))

    def locate(self, path: str) -> str:
        """Return the path in the site's spelling; the parts that are not there keep the given one."""
        if self.alters_names:
            path = re.sub(r"(?<![^/]) | (?![^/])", "_", path)
        if not self.ignores_case or not path:
            return path
        folder, name = split(path)
        spelled = join(self.locate(folder), name)
        known = (*self.files, *self.folders)
        return next((each for each in known if each.casefold() == spelled.casefold()), spelled)

    def file(self, path: str) -> MemoryFile:
        """Return the file at a path, or refuse."""
        found = self.files.get(self.locate(path))
        if found is None:
            raise Refusal(f"{path}: no such file", "550 No such file")
        return found

    def put(self, path: str, content: bytes, mtime_ns: int | None = None, mode: int | None = None) -> None:
        """Set a file's content, as STOR does: into an existing folder, an existing file keeping its mode."""
        path = self.vacate(path)
        if path in self.folders:
            raise Refusal(f"{path}: is a folder", "553 Is a folder")
        if mode is None:
            mode = self.files[path].mode if path in self.files else 0o644
        self.files[path] = MemoryFile(content, time.time_ns() if mtime_ns is None else mtime_ns, mode)

    def vacate(self, path: str) -> str:
        """Return the path as the site spells it, or refuse if no folder could hold it."""
        path = self.locate(path)
        if parent(path) not in self.folders or not path:
            raise Refusal(f"{path}: no folder to hold it", "550 No such folder")
        return path

    def children(self, folder: str) -> Iterator[str]:
        """Yield the paths directly in a folder."""
        folder = self.locate(folder)
        return (path for path in (*self.files, *self.folders) if path and parent(path) == folder)

    def entry(self, path: str) -> Entry | None:
        """Return what is at a path; its `path` is the given one."""
        at = self.locate(path)
        if at in self.folders:
            return Entry(path, Kind.FOLDER, mtime_ns=UNKNOWN, mode=self.folders[at])
        if at in self.files:
            content, mtime_ns, mode = self.files[at]
            return Entry(path, Kind.FILE, len(content), mtime_ns // SECOND_NS * SECOND_NS, mode)
        return None

    def rename(self, old: str, new: str) -> None:
        """Rename a file, or a folder with all it holds; a file may take the name of a file if the site `replaces`."""
        source, target = self.locate(old), self.vacate(new)
        if source not in self.files and source not in self.folders:
            raise Refusal(f"{old}: no such file or folder", "550 No such file or folder")
        if target != source:
            replaceable = self.replaces and source in self.files and target not in self.folders
            if (self.entry(target) and not replaceable) or is_inside(target, source):
                raise Refusal(f"{new}: cannot be taken", "550 File exists")
            self.files.pop(target, None)
        if target == source and self.ignores_case:
            target = join(parent(source), split(new)[1])
        self.files.update(_moved(self.files, source, target))
        self.folders.update(_moved(self.folders, source, target))

    def set_mode(self, path: str, mode: int) -> bool:
        """Set the 0o777 bits, if the site can."""
        at = self.locate(path)
        if self.sets_mode and at in self.folders:
            self.folders[at] = mode
        elif self.sets_mode:
            self.files[at] = self.file(path)._replace(mode=mode)
        return self.sets_mode

    def set_mtime(self, path: str, mtime_ns: int) -> bool:
        """Set a file's modification time, to the second, if the site can."""
        if self.sets_mtime:
            self.files[self.locate(path)] = self.file(path)._replace(mtime_ns=mtime_ns // SECOND_NS * SECOND_NS)
        return self.sets_mtime


def _moved(table: dict[str, T], source: str, target: str) -> dict[str, T]:
    """Take out of a table what is at and below `source`, and return it under its new paths."""
    paths = [path for path in table if is_inside(path, source)]
    return {target + path[len(source) :]: table.pop(path) for path in paths}


class MemorySession:
    """A session to a MemorySite. A file that is being stored is there at once and grows block by block."""

    def __init__(self, site: MemorySite) -> None:
        """Open a session, or raise ConnectionRefused, or ConnectionBroken when the site is down."""
        self._kept: set[str] = set()
        self._site = site
        self._storing = asyncio.Lock()
        site.enter(self)

    @property
    def usable(self) -> bool:
        return self in self._site.sessions and not self._site.down

    @property
    def kept(self) -> set[str]:
        return self._kept

    def keeps(self, traits: Iterable[str]) -> None:
        self._kept.update(traits)

    @property
    def shape(self) -> int:
        return self._site.shape

    def takes_shape(self, shape: int) -> None:
        self._site.shape = shape

    @property
    def removal(self) -> Removal | None:
        return Removal.REFUSED

    def found_removal(self, removal: Removal) -> None:
        raise AssertionError(removal)

    def barred(self, folder: str) -> Barred | None:
        return None

    def found_barred(self, folder: str, what: Barred) -> None:
        raise AssertionError(what)

    @property
    def sets_times(self) -> bool:
        return self._site.sets_mtime

    @property
    def may_set_times(self) -> bool:
        return self._site.sets_mtime

    def _reach(self) -> MemorySite:
        if not self.usable:
            self._site.sessions.discard(self)
            raise ConnectionBroken("the session is over")
        return self._site

    @contextmanager
    def _all_or_broken(self) -> Iterator[None]:
        try:
            yield
        except Refusal:
            raise
        except BaseException:
            self._site.sessions.discard(self)
            raise

    async def store(self, path: str, content: Content, left: Callable[[], None], target: Target | None = None) -> int:
        async with self._storing:
            if target:
                target.is_there = await self.size(target.path) is not None
            self._reach().put(path, b"")
            with self._all_or_broken():
                async for block in content.blocks():
                    site = self._reach()
                    site.put(path, site.file(path).content + block)
                left()
                await asyncio.sleep(0)
                return len(self._reach().file(path).content)

    async def size(self, path: str) -> int | None:
        site = self._reach()
        found = site.files.get(site.locate(path))
        return None if found is None else len(found.content)

    async def hash_of(self, path: str, size: int) -> SiteHash | None:
        return None

    def found_hash(self, by: str, *, is_right: bool) -> None:
        raise AssertionError(by)

    async def read_back(
        self, path: str, most: int, take: Callable[[bytes], None], may_read: Callable[[int], Awaitable[None]]
    ) -> bool:
        content = self._reach().file(path).content
        take(content)
        await may_read(len(content))
        return True

    async def publish(self, temporary: str, entry: Entry, mode: int | None, aside: Callable[[], str]) -> Published:
        site = self._reach()
        mtime_set = site.set_mtime(temporary, entry.mtime_ns)
        mode_set = mode is None or site.set_mode(temporary, mode)
        if site.replaces or site.locate(entry.path) not in site.files:
            site.rename(temporary, entry.path)
            return Published(mtime_set, mode_set, atomic=True)
        site.file(temporary)
        site.rename(entry.path, aside())
        with self._all_or_broken():
            await asyncio.sleep(0)  # between the two renames others can see that nothing has the name
        self._reach().rename(temporary, entry.path)
        return Published(mtime_set, mode_set, atomic=False, aside=True)

    async def set_mode(self, path: str, mode: int) -> bool:
        return self._reach().set_mode(path, mode)

    async def set_mtime(self, path: str, mtime_ns: int) -> bool:
        return self._reach().set_mtime(path, mtime_ns)

    async def prove_times(self, path: str) -> None:
        self._reach().set_mtime(path, 0)

    async def rename(self, old: str, new: str) -> None:
        self._reach().rename(old, new)

    async def make_folder(self, path: str) -> bool:
        site = self._reach()
        at = site.vacate(path)
        if at in site.files:
            raise Refusal(f"{path}: is a file", "550 File exists")
        is_new = at not in site.folders
        site.folders.setdefault(at, 0o755)
        return is_new

    async def remove_files(self, paths: Sequence[str]) -> None:
        site = self._reach()
        for path in paths:
            if site.locate(path) in site.folders:
                raise Refusal(f"{path}: is a folder", "550 Is a folder")
            site.files.pop(site.locate(path), None)

    async def remove_folder(self, path: str) -> None:
        site = self._reach()
        at = site.locate(path)
        if not at or at in site.files or any(site.children(at)):
            raise Refusal(f"{path}: cannot be removed", "550 Folder not empty")
        site.folders.pop(at, None)

    async def list_folder(self, path: str) -> RemoteListing | None:
        site = self._reach()
        if site.locate(path) not in site.folders:
            return None
        found = [site.entry(child) for child in site.children(path)]
        return RemoteListing(tuple(entry for entry in found if entry), exact=True)

    async def modified(self, paths: Iterable[str]) -> list[int]:
        found = map(self._reach().entry, paths)
        return [UNKNOWN if entry is None else entry.mtime_ns for entry in found]

    async def look(self, path: str) -> Entry | None:
        return self._reach().entry(path)

    async def look_at(self, paths: Sequence[str], *, without: Sequence[str] = ()) -> list[Entry | None]:
        await self.remove_files(without)
        return [await self.look(path) for path in paths]

    async def close(self) -> None:
        self._site.sessions.discard(self)


_: type[RemoteSession] = MemorySession
