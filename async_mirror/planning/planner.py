"""Scans the source and plans what is to be done, folder after folder. Looks at source and state; changes no site."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace

from async_mirror.crew.off_loop import Awaited, Face
from async_mirror.model.change import Move
from async_mirror.model.entry import UNKNOWN, Entry, Listing, Marks
from async_mirror.model.paths import parent
from async_mirror.model.plan import FolderPlan, plan_folder
from async_mirror.model.selection import Selection
from async_mirror.model.settings import Settings
from async_mirror.planning.folder_renames import Renamed
from async_mirror.planning.inodes import Inodes
from async_mirror.planning.scope import EVERYTHING, Scope
from async_mirror.source.look import is_gone
from async_mirror.source.scan import read_folder, walk
from async_mirror.state.store import State

SCANNED_FOR_S, SCANNED_AT_ONCE = 0.02, 64


class Planner:
    """Plans one pass. Its methods block, and are called from one thread at a time: two would take turns only."""

    def __init__(
        self,
        root: bytes,
        state: State,
        settings: Settings,
        selection: Selection,
        *,
        renamed: Renamed,
        inodes: Inodes,
        names_all: bool,
        scope: Scope = EVERYTHING,
    ) -> None:
        """Plan for what is selected, in the scope of the pass; unless it `names_all`, unchanged folders are counted."""
        self._root = root
        self._state = state
        self._settings = settings
        self._selection = selection
        self._renamed = renamed
        self._inodes = inodes
        self._tally = None if names_all else state.in_step
        self._scope = scope

    def scan(self) -> Iterator[Listing]:
        """Return the scan of all that the pass looks at; it reads as it is asked."""
        return self._scope.listings(self._root, self._selection, self._state, self._tally)

    def walk(self, start: str) -> Iterator[Listing]:
        """Return the scan from a folder on; it reads as it is asked."""
        return walk(self._root, self._selection, start, self._tally)

    def some(self, walking: Iterator[Listing]) -> list[tuple[Listing, FolderPlan]]:
        """Scan and plan for a moment; nothing, once the scan is at its end."""
        planned: list[tuple[Listing, FolderPlan]] = []
        end = time.monotonic() + SCANNED_FOR_S
        for listing in walking:
            planned.append(self._plan(listing))
            if time.monotonic() > end or len(planned) == SCANNED_AT_ONCE:
                break
        if in_step := [each for each, plan in planned if each.fingerprint and not each.known and plan == FolderPlan()]:
            self._state.note_in_step(in_step)
        return planned

    def anew(self, listing: Listing) -> tuple[Listing, FolderPlan]:
        """Plan once more after a rename: what is known of a folder was of what was held there before."""
        if listing.known:
            listing = read_folder(self._root, listing.folder, self._selection)
        return self._plan(listing)

    def alone(self, entry: Entry) -> FolderPlan:
        """Plan one entry of which the site has nothing, or of which it is not known what it has."""
        held = None if entry.is_folder else self._state.held(entry.path)
        listing = Listing(parent(entry.path), (entry,))
        marks = self._marks(listing.folder)
        return plan_folder(listing, [held] if held else (), perms=self._settings.perms, marks=marks)

    def _plan(self, listing: Listing) -> tuple[Listing, FolderPlan]:
        """Plan a folder. Nothing but its listing, what is held there, and the rules decides whether that is empty.

        A folder in which something is left alone is not in step, whatever is planned: its listing is not remembered.
        """
        if listing.known:
            self._renamed.saw(listing.folder)
            self._inodes.saw(listing, ())
            return listing, FolderPlan()
        visible = self._selection.visible(self._state.held_in(listing.folder))
        held = [entry for entry in visible if not self._scope.leaves_alone(entry.path)]
        if len(held) < len(visible):
            listing = replace(listing, fingerprint=b"")
        self._inodes.saw(listing, held)
        known = {entry.path for entry in held}
        new = [entry for entry in listing.entries if entry.path not in known and not entry.is_folder]
        origins = self._origins(new) if new and self._settings.delete else {}
        renamed = self._renamed.moves(listing, known) if self._settings.delete else {}
        marks = self._marks(listing.folder)
        plan = plan_folder(listing, held, origins, renamed, perms=self._settings.perms, marks=marks)
        plan.changes = [self._with_inside(each) if isinstance(each, Move) else each for each in plan.changes]
        return listing, plan

    def _marks(self, folder: str) -> Marks:
        """Tell which marks count for the files of a folder."""
        if not self._settings.ctime:
            return Marks(ctime=False, inode=False)
        return Marks(inode=self._inodes.count_in(folder))

    def _with_inside(self, move: Move) -> Move:
        """Tell of a folder that is renamed in case or Unicode form alone what is held in it: others may have more."""
        if move.twin and move.entry.is_folder:
            return move._replace(inside=self._renamed.inside(move.held.path))
        return move

    def _origins(self, new: Iterable[Entry]) -> dict[str, Entry]:
        """Find, for new files, the held file of the same inode and size whose own path is gone, and not left out."""
        origins: dict[str, Entry] = {}
        of_inode = {entry.inode: entry for entry in new}
        for held in self._state.held_with_inodes(of_inode):
            if not held.digest:
                continue
            entry = of_inode[held.inode]
            same_size = held.size in {entry.size, UNKNOWN}
            if same_size and self._selection.includes_with_parents(held) and is_gone(self._root, held.path):
                origins[entry.path] = held
        return origins


class Planning(Face[Planner]):
    """The planner as who must not block sees it."""

    some = Awaited(Planner.some)
    anew = Awaited(Planner.anew)
    alone = Awaited(Planner.alone)
