"""Finds the folders of the source that were renamed. Looks at source and state, never at the site."""

import os
from collections import Counter, deque
from collections.abc import Container, Iterator
from itertools import islice

from async_mirror.model import odd_names, paths
from async_mirror.model.change import Inside, Move
from async_mirror.model.entry import UNKNOWN, Entry, Listing, fingerprint
from async_mirror.model.selection import Selection
from async_mirror.source.files import has_digest
from async_mirror.source.look import is_gone, is_mount, open_folder
from async_mirror.source.scan import read_folder
from async_mirror.state.store import State

READ, SMALL = 16, 1 << 20
"""So many files, none larger than this, are read before a folder counts as renamed; afterwards all are."""


class Renamed:
    """The folders that one pass finds renamed.

    Such a folder has the inode of a held one whose path is gone, and most of the held files are in it as they were
    sent. It is renamed on the site with all that is in it. What is not the same after all, or gone, is sent or removed
    afterwards: a file that came along is known by its digest alone, and read before it is believed.
    """

    def __init__(self, root: bytes, state: State, selection: Selection) -> None:
        """Begin with nothing renamed."""
        self._root = root
        self._state = state
        self._selection = selection
        self._seen: set[str] = set()
        self._under_way: dict[str, str] = {}
        self._above: Counter[str] = Counter()
        self._beside: dict[str, set[str]] = {}
        self._settled: deque[Move] = deque()

    def moves(self, listing: Listing, known: Container[str]) -> dict[str, Move]:
        """Return, by path, the renames that bring folders of a listing to the site; `known` are held there already.

        From a listing that is not complete nothing is renamed.
        """
        while self._settled:
            self._forget(self._settled.popleft())
        self.saw(listing.folder)
        self._beside.clear()
        new = [entry for entry in listing.entries if entry.is_folder and entry.path not in known]
        found = (move for entry in new for move in islice(self._moves_to(entry), 1))
        return {move.entry.path: move for move in found} if listing.complete else {}

    def saw(self, folder: str) -> None:
        """Note that a folder was listed: it is not renamed in this pass, for something in it may be under way."""
        self._seen.add(folder)

    def inside(self, folder: str) -> Inside:
        """Return what the site is known to hold in a folder."""
        through = self._state.held_through(folder)
        return tuple((_follow(below, folder, "").lstrip("/"), fingerprint(rows)) for below, rows in through)

    def settled(self, move: Move) -> None:
        """Note that a folder was renamed, or that nothing came of it; may be called in another thread than `moves`."""
        self._settled.append(move)

    def _forget(self, move: Move) -> None:
        if self._under_way.pop(move.held.path, None):
            self._above.subtract(paths.lineage(move.held.path))

    def _moves_to(self, entry: Entry) -> Iterator[Move]:
        for held in self._state.movable_folders(entry.inode):
            if inside := self._may_be_renamed(held, entry):
                if held.path not in self._under_way:
                    self._under_way[held.path] = entry.path
                    self._above.update(paths.lineage(held.path))
                yield Move(entry, held, f"renamed from {held.path}", inside=inside)

    def _may_be_renamed(self, held: Entry, entry: Entry) -> Inside:
        """Tell whether a folder may be renamed by what it holds; nothing if it may not.

        It may if it is gone from its path for sure and nothing under way concerns it, no part of it is left out, and
        most of it is in the new one. What the site alone knows, that others have something in it, decides later.
        """
        return self._inside(held, entry) if self._is_gone_from(held, entry) else ()

    def _is_gone_from(self, held: Entry, entry: Entry) -> bool:
        """Tell whether a held folder is gone for sure, not left out, and nothing else is under way that concerns it.

        What differs in case or Unicode form alone may be one folder to the site: a twin has the first claim.
        """
        old, new = held.path, entry.path
        return (
            old not in self._seen
            and odd_names.folded(old) != odd_names.folded(new)
            and self._under_way.get(old, new) == new
            and not self._above[old]
            and self._under_way.keys().isdisjoint(paths.lineage(old))
            and self._is_mirrored(held)
            and is_gone(self._root, old)
            and not self._has_twin(old)
            and not self._lost_its_mount(old)
        )

    def _has_twin(self, path: str) -> bool:
        """Tell whether the topmost gone part of a path is there in another case or Unicode form; in doubt it is."""
        gone = next((each for each in [*paths.lineage(path), path] if is_gone(self._root, each)), path)
        folder, name = paths.split(gone)
        try:
            beside = self._beside.get(folder) or self._beside.setdefault(folder, _folded_names(self._root, folder))
        except OSError:
            return True
        return odd_names.folded(name) in beside

    def _lost_its_mount(self, path: str) -> bool:
        above = filter(None, map(self._state.held, [*paths.lineage(path), path]))
        return any(each.mount and not is_mount(self._root, each.path) for each in above)

    def _inside(self, held: Entry, entry: Entry) -> Inside:
        """Return what a folder holds; nothing if part of that is left out, or most of it is not in the new one."""
        inside: list[tuple[str, bytes]] = []
        files, alike = 0, 0
        small: list[Entry] = []
        for folder, rows in self._state.held_through(held.path):
            pairs = [(row, _follow(row.path, held.path, entry.path)) for row in rows]
            if not all(self._is_mirrored(row) and self._is_mirrored(row._replace(path=path)) for row, path in pairs):
                return ()
            inside.append((_follow(folder, held.path, "").lstrip("/"), fingerprint(rows)))
            listing = read_folder(self._root, _follow(folder, held.path, entry.path), self._selection)
            there = {found.path: found for found in listing.entries}
            same = [there[path]._replace(digest=row.digest) for row, path in pairs if _is_alike(row, there.get(path))]
            files += sum(not row.is_folder for row in rows)
            alike += len(same)
            small += [each for each in same if 0 < each.size <= SMALL][: READ - len(small)]
        most = alike * 2 > files
        return tuple(inside) if most and all(has_digest(self._root, each.path, each.digest) for each in small) else ()

    def _is_mirrored(self, held: Entry) -> bool:
        return self._selection.includes_with_parents(held)


def _folded_names(root: bytes, folder: str) -> set[str]:
    descriptor = open_folder(root, folder)
    try:
        return {odd_names.folded(paths.decode(os.fsencode(name))) for name in os.listdir(descriptor)}
    finally:
        os.close(descriptor)


def _follow(path: str, old: str, new: str) -> str:
    """Return the path that something below a folder gets when the folder is renamed."""
    return new + path[len(old) :]


def _is_alike(held: Entry, found: Entry | None) -> bool:
    if found is None or held.is_folder or found.is_folder or not held.digest:
        return False
    same_size = held.size in {found.size, UNKNOWN}
    return same_size and (held.inode, held.mtime_ns) == (found.inode, found.mtime_ns)
