"""Counts what a pass that was cut short did not come to, by one more look at the source. Changes nothing."""

import time
from collections import Counter
from collections.abc import Iterator
from collections.abc import Set as AbstractSet

from async_mirror.crew.off_loop import Awaited, Face
from async_mirror.crew.stop import Stop
from async_mirror.model import paths
from async_mirror.model.change import Change, Move, RemoveFile, SendFile, path_of
from async_mirror.model.entry import UNKNOWN, Entry, Listing
from async_mirror.model.plan import plan_folder
from async_mirror.model.selection import Selection
from async_mirror.model.settings import Settings
from async_mirror.planning.folder_renames import Renamed
from async_mirror.source.scan import walk
from async_mirror.state.awaitable import AwaitableState
from async_mirror.state.database import StateError
from async_mirror.state.store import State
from async_mirror.ui.report import Report
from async_mirror.ui.summary import is_counted
from async_mirror.ui.text import verb_of

LONGEST_S, LONGEST_AT_THE_END_S = 30.0, 2.0
"""How long the look may take, and how long once the end was asked for."""
COUNTED_FOR_S = 0.02


class Remaining:
    """What the source has and the site does not, and the reverse, but for what the pass has accounted for."""

    def __init__(
        self, root: bytes, state: State, settings: Settings, selection: Selection, accounted: AbstractSet[str]
    ) -> None:
        """Begin with nothing counted."""
        self._settings = settings
        self._selection = selection
        self._accounted = accounted
        self._state = state
        self._walking = walk(root, self._selection, "", state.in_step)
        self._renamed = Renamed(root, state, self._selection)
        self._counted: Counter[str] = Counter()
        self._new: dict[int, int] = {}
        self._moved: set[str] = set()
        self._gone: list[Entry] = []

    def count_some(self) -> bool:
        """Count for a moment; tell whether all is counted."""
        end = time.monotonic() + COUNTED_FOR_S
        for listing in self._walking:
            if not listing.known and not self._is_moved(listing.folder):
                self._count(listing)
            if time.monotonic() > end:
                return False
        return True

    def total(self) -> Counter[str]:
        """Return how many changes of each verb there are to be made."""
        for entry in self._removals():
            if entry.digest and self._new.get(entry.inode) in {entry.size, UNKNOWN}:
                self._counted.update({"renamed": 1, "uploaded": -1})
            else:
                self._add(RemoveFile(entry, ""))
        return +self._counted

    def _count(self, listing: Listing) -> None:
        held = self._selection.visible(self._state.held_in(listing.folder))
        known = {entry.path for entry in held}
        renamed = self._renamed.moves(listing, known) if self._settings.delete else {}
        plan = plan_folder(listing, held, renamed=renamed, perms=self._settings.perms)
        for change in [*plan.changes, *plan.doubles, *plan.modes]:
            self._add(change)
        for swap in plan.swaps:
            if not swap.entry.is_folder:
                self._add(SendFile(swap.entry, None, ""))
        self._gone += [*plan.gone, *(swap.held for swap in plan.swaps)]

    def _add(self, change: Change) -> None:
        if isinstance(change, Move) and change.entry.is_folder:
            self._moved.update((change.entry.path, change.held.path))
        if is_counted(change) and path_of(change) not in self._accounted:
            self._counted[verb_of(change)] += 1
            if isinstance(change, SendFile) and not change.held:
                self._new[change.entry.inode] = change.entry.size

    def _removals(self) -> Iterator[Entry]:
        """Yield the held files that are gone from the source and are to go from the site."""
        for entry in self._gone if self._settings.delete else ():
            below = self._state.held_below(entry.path) if entry.is_folder else [entry]
            for held in below:
                if not held.is_folder and not self._is_moved(held.path) and self._selection.includes_with_parents(held):
                    yield held

    def _is_moved(self, path: str) -> bool:
        return not self._moved.isdisjoint([*paths.lineage(path), path])


class _Counting(Face[Remaining]):
    count_some = Awaited(Remaining.count_some)
    total = Awaited(Remaining.total)


async def tell_remaining(
    report: Report, root: bytes, state: AwaitableState, settings: Settings, selection: Selection, *, stop: Stop
) -> None:
    """Tell the report what is still to be done, if that is found out in time."""
    accounted = report.counts.failed_paths | report.counts.skipped_paths
    remaining = _Counting(Remaining(root, state.blocking, settings, selection, accounted), state.off_loop)
    begun = time.monotonic()
    try:
        while not await remaining.count_some():
            if time.monotonic() - begun > (LONGEST_AT_THE_END_S if stop.requested else LONGEST_S):
                return
        report.recounted(await remaining.total())
    except StateError:
        return  # what kept the pass from going on was told
