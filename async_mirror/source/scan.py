"""Walks the source breadth-first, one Listing per folder. Reads local folders; knows nothing of state or site."""

import errno
import hashlib
import marshal
import os
import stat
import sys
from collections import deque
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet

from async_mirror.model import paths, temporary_names
from async_mirror.model.entry import Entry, Listing, Tally
from async_mirror.model.selection import Selection
from async_mirror.source.look import Found, begins_another, entry_from, open_folder
from async_mirror.source.opened_folder import OpenedFolder

_AS_WE_DO = (sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()) == ("utf-8", "surrogateescape")
"""True where Python makes text of names as `paths` does."""
_MARSHAL = 2
"""The version of Python's own format that writes equal values as equal bytes, whatever else refers to them."""

Tallies = Callable[[str, bytes], Tally | None]
"""Returns what is known of a folder (its path, relative to the root) that has this fingerprint."""


def walk(root: bytes, selection: Selection, start: str = "", tally: Tallies | None = None) -> Iterator[Listing]:
    """Yield the listing of `start` (relative to `root`) and of every selected folder below it, parents first.

    A folder that cannot be read, or that vanishes meanwhile, comes as an incomplete listing; nothing is raised.
    Where `tally` knows a folder by its fingerprint, its listing has that in place of the files.
    """
    waiting = deque([start])
    while waiting:
        listing = read_folder(root, waiting.popleft(), selection, tally)
        yield listing
        waiting.extend(entry.path for entry in listing.entries if entry.is_folder)


def read_folder(root: bytes, folder: str, selection: Selection, tally: Tallies | None = None) -> Listing:
    """Return the listing of one folder; never raises for what the disk answers."""
    reading = _Reading(folder, selection)
    points = root.mount_points if isinstance(root, OpenedFolder) else ()
    try:
        descriptor = open_folder(root, folder)
        try:
            reading.mount = not folder and ("" in points or begins_another(descriptor))
            reading.read(descriptor, {paths.split(each)[1] for each in points if each and paths.parent(each) == folder})
        finally:
            os.close(descriptor)
    except OSError as error:
        reading.fail(folder, error)
    return reading.listing(tally)


class _Reading:
    """One folder while it is being read."""

    def __init__(self, folder: str, selection: Selection) -> None:
        self.folder = folder
        self.selection = selection
        self.found: list[Found] = []
        self.problems: list[tuple[str, str]] = []
        self.complete = True
        self.mount = False

    def fail(self, path: str, error: OSError) -> None:
        self.complete = False
        vanished = error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP} and self.folder
        if not vanished:
            self.problems.append((path, error.strerror or str(error)))

    def read(self, descriptor: int, mounted: AbstractSet[str]) -> None:
        """Read what is there; what is on another device is mounted, whether the system tells of that or not."""
        device, add = os.fstat(descriptor).st_dev, self.found.append
        with os.scandir(descriptor) as items:
            for item in items:
                name = item.name if _AS_WE_DO else paths.decode(os.fsencode(item.name))
                try:
                    status = item.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                except OSError as error:
                    self.fail(paths.join(self.folder, name), error)
                    continue
                mode, inode, size = status.st_mode, status.st_ino, status.st_size
                mount = status.st_dev != device or name in mounted
                add((name, mode, inode, size, status.st_mtime_ns, status.st_ctime_ns, mount))

    def listing(self, tally: Tallies | None) -> Listing:
        fingerprint = self.fingerprint() if self.complete else b""
        known = tally(self.folder, fingerprint) if tally and fingerprint else None
        entries: list[Entry] = []
        others: list[str] = []
        links: list[str] = []
        left_out: list[Entry] = []
        prefix = self.folder + "/" if self.folder else ""
        for found in [each for each in self.found if not stat.S_ISREG(each[1])] if known else self.found:
            name, mode = found[:2]
            if temporary_names.is_temporary(name):
                continue
            entry = entry_from(prefix, found)
            if entry is None:
                others.append(prefix + name)
                links += [prefix + name] if stat.S_ISLNK(mode) else []
            elif self.selection.includes(entry):
                entries.append(entry)
            else:
                left_out.append(entry)
        return Listing(
            self.folder,
            tuple(entries),
            self.complete,
            frozenset(others),
            tuple(self.problems),
            frozenset(links),
            len(left_out),
            self.mount,
            b"" if any(map(self.selection.mistaken_for, left_out)) else fingerprint,  # told of in each pass
            known,
            tuple(left_out),
        )

    def fingerprint(self) -> bytes:
        return hashlib.blake2b(marshal.dumps(sorted(self.found), _MARSHAL), digest_size=16).digest()
