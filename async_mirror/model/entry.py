"""What a file or folder is, here or on the site. Pure data: knows neither disk nor network."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from async_mirror.model import paths

UNKNOWN = -1
"""A size, mtime or mode that is unknown; a held size of UNKNOWN equals no local size."""


class Kind(IntEnum):
    """The two kinds of things that are mirrored."""

    FILE = 1
    FOLDER = 2


FILE, FOLDER = Kind
"""The same, for what is done for each file: in Python 3.11 an attribute of an Enum costs more than a call."""


class Entry(NamedTuple):
    """One file or folder. `path` is relative to the root, `/`-separated, "" for the root itself.

    Every byte of a local name is kept (surrogateescape, see `paths`). `mode` holds the 0o777 bits,
    `mount` says that something is mounted at a folder, `digest` is of the bytes that were sent.

    What is held has what the source had when it was sent, and beside it what the site showed: `site_size`, UNKNOWN
    until it was seen, and `site_mtime_ns` as that server tells it, UNKNOWN if it does not. A held `ctime_ns` is the one
    that the content was read at, or taken for that of the site: 0 if none is known to be, UNKNOWN in a state from
    before ctimes were kept. Without a `digest` what is held was not read.
    """

    path: str
    kind: Kind
    size: int = 0
    mtime_ns: int = 0
    mode: int = UNKNOWN
    inode: int = 0
    mount: bool = False
    digest: bytes = b""
    ctime_ns: int = 0
    site_size: int = UNKNOWN
    site_mtime_ns: int = UNKNOWN

    @property
    def is_folder(self) -> bool:
        """True for a folder."""
        return self.kind is FOLDER

    def same_content_as(self, other: "Entry") -> bool:
        """Tell whether two entries of one path look like the same version: kind, and for files size and mtime."""
        if self.kind is not other.kind:
            return False
        return self.is_folder or (self.size == other.size and self.mtime_ns == other.mtime_ns)

    def is_content_of(self, other: "Entry") -> bool:
        """Tell whether two files have the same content for sure: the digest says so, or every mark of one version."""
        if self.digest and other.digest:
            return self.digest == other.digest
        return self.ctime_ns > 0 and self.marks == other.marks

    @property
    def marks(self) -> tuple[int, int, int, int]:
        """What tells a version of a file from another in the source: size, mtime, ctime, inode."""
        return self.size, self.mtime_ns, self.ctime_ns, self.inode


class Marks(NamedTuple):
    """Which marks of a file, beside size and mtime, tell that it was written or replaced; not all do everywhere."""

    ctime: bool = True
    inode: bool = True

    def agree(self, entry: Entry, held: Entry) -> bool:
        """Tell whether a file has the marks it had when its content was read; without a ctime of then, any will do."""
        if self.inode and entry.inode != held.inode:
            return False
        return not self.ctime or held.ctime_ns <= 0 or entry.ctime_ns == held.ctime_ns


class Tally(NamedTuple):
    """What a folder holds, in numbers: selected files, their bytes, and what the selection leaves out."""

    files: int
    size: int
    excluded: int


@dataclass(frozen=True, slots=True)
class Listing:
    """One source folder as it was read.

    `complete` is False when reading failed in any way: no removal may ever be derived from such a listing. `others`
    are the paths of what is neither file nor folder, `links` those of them that are symbolic links; `problems` are
    (path, reason) pairs; `excluded` counts what is left out by rule; `mount` says that the root is a mount point.
    `fingerprint` is of all that was read, if that was complete. What is `known` of a folder that is as it was
    stands for the files in it, which are then not among the entries.
    """

    folder: str
    entries: tuple[Entry, ...] = ()
    complete: bool = True
    others: frozenset[str] = frozenset()
    problems: tuple[tuple[str, str], ...] = ()
    links: frozenset[str] = frozenset()
    excluded: int = 0
    mount: bool = False
    fingerprint: bytes = b""
    known: Tally | None = None
    left_out: tuple[Entry, ...] = ()
    """What is excluded, if that is not a matter of number only."""

    @property
    def tally(self) -> Tally:
        """What the folder holds, in numbers."""
        if self.known:
            return self.known
        sizes = [entry.size for entry in self.entries if not entry.is_folder]
        return Tally(len(sizes), sum(sizes), self.excluded)

    def kind_of_other(self, path: str) -> str:
        """Return in words what one of `others` is."""
        return "a symbolic link" if path in self.links else "a special file"


def fingerprint(entries: Iterable[Entry]) -> bytes:
    """Return what tells by names and kinds what is in one folder; sizes are not always known of what is held."""
    lines = sorted(b"%d %s" % (entry.kind, paths.encode(paths.split(entry.path)[1])) for entry in entries)
    return hashlib.blake2b(b"\0".join(lines), digest_size=16).digest()
