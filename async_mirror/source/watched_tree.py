"""Has the kernel watch each folder of a source, and what leads to it. Looks itself where the kernel tells nothing.

What is here blocks, so it is called in a thread. Knows nothing of what follows from a change.
"""

import errno
import os
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from async_mirror.model import escape, paths
from async_mirror.model.entry import FOLDER, Entry, Listing
from async_mirror.model.selection import Selection
from async_mirror.source.look import open_folder
from async_mirror.source.mounts import mounts
from async_mirror.source.notices import Listener, Notices
from async_mirror.source.opened_folder import OpenedFolder
from async_mirror.source.scan import read_folder

POLL_S = 30.0
"""How often is looked at what is not watched."""
MOST_LINKS = 40
"""As many as the kernel follows on one way."""
_LIMIT = Path("/proc/sys/fs/inotify/max_user_watches")


class WatchedTree:
    """The folders of one source that are watched, or polled. The source is not kept open: it can be unmounted."""

    def __init__(
        self, source: bytes, selection: Selection, notices: Notices | None, listener: Listener, *, polls: bool = True
    ) -> None:
        """Begin with nothing watched; without `notices` everything is polled, unless it is watched elsewhere."""
        self.polls = polls
        self.halted = False
        self.watched: dict[int, str] = {}
        self.way: dict[int, set[str]] = {}
        self.unreadable: set[str] = set()
        self.notes: list[str] = []
        self._polled: dict[str, int] = {}
        self._lacking = 0
        self._reason = OSError()
        self._added: set[int] = set()
        self._root: tuple[int, int] | None = None
        self._source = os.path.abspath(source)
        self._selection = selection
        self._notices = notices
        self._listener = listener

    def stand(self) -> None:
        """Watch the source that there is now, and nothing else."""
        self._forget(list(self.watched))
        self._polled.clear()
        self.unreadable.clear()
        self._lacking = 0
        self.watch_way()
        try:
            root = OpenedFolder.at(self._source)
        except OSError:
            self._root = None
            return
        self._root = _identity(os.fstat(root.descriptor))
        self._add(root, [""])
        if self._lacking:
            self.notes.append(self._told_lacking())

    def is_astray(self) -> bool:
        """Tell whether the source is not the folder any more that is watched, or is there again."""
        try:
            return _identity(os.stat(self._source)) != self._root
        except OSError:
            return self._root is not None

    def follow(self, left: Collection[str], new: Iterable[str]) -> list[str]:
        """Watch what is new, with all below it, and no more what has left; return the folders that are new."""
        here = self.watched.copy().items() if left else ()
        stale = {number for number, folder in here if any(paths.is_inside(folder, each) for each in left)}
        self._added.clear()
        root = self._open()
        found = self._add(root, new) if root else []
        self._forget(stale - self._added)
        return found

    def poll(self) -> tuple[list[str], list[str]]:
        """Look at what is not watched; return the folders in which something changed, and those that are new."""
        changed: list[str] = []
        new: list[str] = []
        root = self._open() if self._polled else None
        for folder, before in self._polled.copy().items() if root else ():
            assert root is not None
            if self.halted:
                break
            listing = read_folder(root, folder, self._selection)
            if (mark := _mark(listing)) != before:
                changed.append(folder)
                if folder in self._polled:
                    self._polled[folder] = mark
                new += [each.path for each in listing.entries if each.is_folder and each.path not in self._polled]
            if not listing.complete and not listing.problems:
                self._polled.pop(folder, None)
        return changed, new

    def watch_way(self) -> None:
        """Watch the folders that lead to the source for what does, links among them."""
        before, self.way = self.way, {}
        way: dict[int, set[str]] = {}
        for folder, name in _way(self._source) if self._notices else ():
            try:
                descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except OSError:
                continue
            try:
                number = self._listen(descriptor)
                way.setdefault(number, set()).add(paths.decode(name))
            except OSError:
                continue
            finally:
                os.close(descriptor)
        self.way = way
        self._forget(before.keys() - way.keys() - self.watched.keys())

    def close(self) -> None:
        """Watch nothing any more."""
        if self._notices:
            self._notices.leave(self._listener)

    def _open(self) -> OpenedFolder | None:
        """Return the source if it is still the one that is watched."""
        try:
            root = OpenedFolder.at(self._source)
        except OSError:
            return None
        return root if _identity(os.fstat(root.descriptor)) == self._root else None

    def _add(self, root: OpenedFolder, folders: Iterable[str]) -> list[str]:
        """Watch folders, and what is below them, parents first; return those that could be read."""
        silent = self._silent(root)
        found: list[str] = []
        waiting = deque(folders)
        while waiting and not self.halted:
            folder = waiting.popleft()
            try:
                descriptor = open_folder(root, folder)
            except OSError as error:
                self._could_not(folder, error)
                continue
            try:
                polled = next((is_silent for above, is_silent in silent if paths.is_inside(folder, above)), False)
                if polled or not self._watch(folder, descriptor):
                    self._polled[folder] = _mark(read_folder(root, folder, self._selection))
                waiting.extend(self._below(folder, descriptor))
                found.append(folder)
            except OSError as error:
                self._could_not(folder, error)
            finally:
                os.close(descriptor)
        return found

    def _below(self, folder: str, descriptor: int) -> Iterator[str]:
        """Yield the selected folders in a folder."""
        with os.scandir(descriptor) as items:
            names = [paths.decode(os.fsencode(each.name)) for each in items if each.is_dir(follow_symlinks=False)]
        inside = (Entry(paths.join(folder, name), FOLDER) for name in names)
        return (each.path for each in inside if self._selection.includes(each))

    def _watch(self, folder: str, descriptor: int) -> bool:
        """Have the kernel watch a folder; tell whether it does."""
        if self._notices is None:
            return not self.polls
        try:
            number = self._listen(descriptor)
        except OSError as error:
            self._lacking += 1
            self._reason = error
            return False
        self.watched[number] = folder
        self._added.add(number)
        return True

    def _listen(self, descriptor: int) -> int:
        assert self._notices is not None
        return self._notices.listen(descriptor, self._listener)

    def _forget(self, numbers: Collection[int]) -> None:
        for number in numbers:
            self.watched.pop(number, None)
        if self._notices and numbers:
            self._notices.forget([number for number in numbers if number not in self.way], self._listener)

    def _could_not(self, folder: str, error: OSError) -> None:
        if error.errno in {errno.EACCES, errno.EPERM}:
            self.unreadable.add(folder)

    def _silent(self, root: bytes) -> list[tuple[str, bool]]:
        """Return where file systems begin in the source, those further down first, and whether they are silent."""
        found = mounts(root)
        kinds = sorted({each.kind.decode("ascii", "replace") for each in found if not each.tells_of_changes})
        if kinds:
            where = "on" if len(found) == 1 else "partly on"
            self.notes.append(
                f"the source is {where} {', '.join(kinds)}, where the kernel does not report all changes:"
                f" it is polled every {POLL_S:.0f} s"
            )
        return [(each.folder, not each.tells_of_changes) for each in found]

    def _told_lacking(self) -> str:
        folders = len(self.watched) + self._lacking
        told = (
            f"only {len(self.watched):,} of the {folders:,} folders in {escape.shown(os.fsdecode(self._source))} can be"
            f" watched ({self._reason.strerror}): the others are polled every {POLL_S:.0f} s"
        )
        if self._reason.errno != errno.ENOSPC:
            return told
        return f"{told}; set fs.inotify.max_user_watches to {1 << (_limit() + self._lacking).bit_length()}"


def _limit() -> int:
    try:
        return int(_LIMIT.read_text())
    except (OSError, ValueError):
        return 0


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _mark(listing: Listing) -> int:
    """Return what differs, in this process, when anything that is mirrored does."""
    return hash((listing.complete, listing.entries, listing.others))


def _way(path: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield each folder on the way that an absolute path leads, and the name in it that leads on; follow links."""
    here, links = b"/", 0
    ahead = path.split(b"/")[::-1]
    while ahead and links <= MOST_LINKS:
        name = ahead.pop()
        if name in {b"", b"."}:
            continue
        if name == b"..":
            here = os.path.dirname(here)
            continue
        yield here, name
        here = os.path.join(here, name)
        try:
            target = os.readlink(here)
        except OSError:
            continue
        links += 1
        here = b"/" if target.startswith(b"/") else os.path.dirname(here)
        ahead += target.split(b"/")[::-1]
