"""Walks the source breadth-first, one Listing per folder. Reads local folders; knows nothing of state or site."""

import errno
import os
import stat
import sys
from collections import deque
from collections.abc import Iterator

from async_mirror import names
from async_mirror.entry import Entry, Listing
from async_mirror.selection import Selection
from async_mirror.source import entry_of, open_folder

_AS_WE_DO = (sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()) == ("utf-8", "surrogateescape")
"""True where Python makes text of names as `names` does."""


def walk(root: bytes, selection: Selection, start: str = "") -> Iterator[Listing]:
    """Yield the listing of `start` (relative to `root`) and of every selected folder below it, parents first.

    A folder that cannot be read, or that vanishes meanwhile, comes as an incomplete listing; nothing is raised.
    """
    waiting = deque([start])
    while waiting:
        listing = read_folder(root, waiting.popleft(), selection)
        yield listing
        waiting.extend(entry.path for entry in listing.entries if entry.is_folder)


def read_folder(root: bytes, folder: str, selection: Selection) -> Listing:
    """Return the listing of one folder; never raises for what the disk answers."""
    reading = _Reading(folder, selection)
    try:
        reading.mount = not folder and os.path.ismount(root)
        descriptor = open_folder(root, folder)
        try:
            reading.read(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        reading.fail(folder, error)
    return reading.listing()


class _Reading:
    """One folder while it is being read."""

    def __init__(self, folder: str, selection: Selection) -> None:
        self.folder = folder
        self.selection = selection
        self.entries: list[Entry] = []
        self.others: set[str] = set()
        self.problems: list[tuple[str, str]] = []
        self.complete = True
        self.mount = False
        self.links = self.specials = self.excluded = 0

    def fail(self, path: str, error: OSError) -> None:
        self.complete = False
        vanished = error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP} and self.folder
        if not vanished:
            self.problems.append((path, error.strerror or str(error)))

    def read(self, descriptor: int) -> None:
        device = os.fstat(descriptor).st_dev
        prefix = self.folder + "/" if self.folder else ""
        with os.scandir(descriptor) as found:
            for item in found:
                name = item.name if _AS_WE_DO else names.decode(os.fsencode(item.name))
                if not names.is_temporary(name):
                    self._take(prefix + name, item, device)

    def _take(self, path: str, item: os.DirEntry[str], device: int) -> None:
        try:
            status = item.stat(follow_symlinks=False)
        except FileNotFoundError:
            return
        except OSError as error:
            self.fail(path, error)
            return
        entry = entry_of(path, status, device)
        if entry is None:
            self.others.add(path)
            if stat.S_ISLNK(status.st_mode):
                self.links += 1
            else:
                self.specials += 1
        elif self.selection.includes(entry):
            self.entries.append(entry)
        else:
            self.excluded += 1

    def listing(self) -> Listing:
        return Listing(
            self.folder,
            tuple(self.entries),
            self.complete,
            frozenset(self.others),
            tuple(self.problems),
            self.links,
            self.specials,
            self.excluded,
            self.mount,
        )
