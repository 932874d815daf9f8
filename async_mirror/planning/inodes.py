"""Whether the inodes of files count, for each file system of the source. Looks at source and state."""

from collections.abc import Callable, Iterable, Sequence

from async_mirror.crew.off_loop import Awaited, Face
from async_mirror.model import escape, paths
from async_mirror.model.entry import Entry, Listing
from async_mirror.source.mounts import Mount
from async_mirror.state.store import State


class Inodes:
    """Whether inodes count, for each file system of the source. Where they may be made up, they have to be proved.

    The proof is another mounting that shows the same ones: they count from then on, or never, if it shows others.
    """

    def __init__(self, state: State, find: Callable[[], Sequence[Mount]]) -> None:
        """Find the file systems when they are first asked for."""
        self._find = find
        self._state = state
        self._mounts: Sequence[Mount] | None = None
        self._count: dict[Mount, bool] = {}
        self._same: dict[Mount, int] = {}
        self._other: dict[Mount, int] = {}

    def mount_of(self, folder: str) -> Mount | None:
        """Return the file system that a folder is on, if the system tells."""
        if self._mounts is None:
            self._mounts = self._find()
            for mount in self._mounts:
                self._recall(mount)
        return next((each for each in self._mounts if not each.folder or paths.is_inside(folder, each.folder)), None)

    def _recall(self, mount: Mount) -> None:
        verdict, _, identity = (self._state.fact(_fact(mount)) or "").partition(" ")
        self._count[mount] = mount.keeps_inodes or verdict == _SAME
        if not mount.keeps_inodes and verdict == _ONCE and identity != mount.identity:
            self._same[mount] = self._other[mount] = 0

    def count_in(self, folder: str) -> bool:
        """Tell whether they count in a folder."""
        mount = self.mount_of(folder)
        return mount is None or self._count[mount]

    def saw(self, listing: Listing, held: Iterable[Entry]) -> None:
        """Compare the inodes of files that were not written to."""
        if self._mounts is not None and not self._same:  # as nearly always
            return
        mount = self.mount_of(listing.folder)
        if mount is None or mount not in self._same:
            return
        if listing.known:
            self._same[mount] += listing.known.files
            return
        now = {entry.path: entry for entry in listing.entries if not entry.is_folder}
        for old in held:
            if (entry := now.get(old.path)) and entry.marks[:3] == old.marks[:3]:
                seen = self._same if entry.inode == old.inode else self._other
                seen[mount] += 1

    def learn(self) -> None:
        """Remember what was seen of each file system whose inodes may be made up."""
        for mount in self._mounts or ():
            before = self._state.fact(_fact(mount))
            if mount.keeps_inodes or (before and mount not in self._same):
                continue
            verdict = _ONCE
            if mount in self._same and (self._same[mount] or self._other[mount]):
                verdict = _OTHER if self._other[mount] else _SAME
            self._state.learn(**{_fact(mount): f"{verdict} {mount.identity}"})


_ONCE, _SAME, _OTHER = "once", "same", "other"
"""How it stands with the inodes of a mount: seen at one mounting, the same at two, or others."""


def _fact(mount: Mount) -> str:
    return f"inodes of {mount.kind.decode('ascii', 'replace')} at {escape.shown(mount.folder)}"


class AwaitableInodes(Face[Inodes]):
    """Inodes as who must not block sees them."""

    learn = Awaited(Inodes.learn)
