"""What of the source a pass looks at: all of it, or the folders in which something changed. Changes nothing."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from async_mirror.model import paths
from async_mirror.model.entry import Listing
from async_mirror.model.selection import Selection
from async_mirror.source.scan import Tallies, read_folder, walk
from async_mirror.state.store import State


@dataclass(frozen=True)
class Scope:
    """All of the source if `folders` is None; else these, without the paths that are unsettled: their turn comes."""

    folders: frozenset[str] | None = None
    is_unsettled: Callable[[str], bool] = lambda _: False

    @property
    def is_whole(self) -> bool:
        """True if everything is looked at."""
        return self.folders is None

    def widened(self) -> "Scope":
        """Return that of a pass which looks at everything."""
        return replace(self, folders=None)

    def leaves_alone(self, path: str) -> bool:
        """Tell whether a path in a folder that is looked at is not: it is being changed, or may come back."""
        return not self.is_whole and self.is_unsettled(path)

    def listings(self, root: bytes, selection: Selection, state: State, tally: Tallies | None) -> Iterator[Listing]:
        """Yield the listing of each folder, parents first; of those that are new with all below."""
        if self.folders is None:
            yield from walk(root, selection, "", tally)
            return
        waiting = deque(sorted(self._starts(state), key=lambda path: (bool(path), path.count("/"), path)))
        known = set(waiting)
        while waiting:
            listing = self._without_unsettled(read_folder(root, waiting.popleft(), selection, tally))
            yield listing
            held = {entry.path for entry in state.held_in(listing.folder) if entry.is_folder}
            new = [each.path for each in listing.entries if each.is_folder and each.path not in held | known]
            known.update(new)
            waiting.extend(new)

    def _starts(self, state: State) -> set[str]:
        """Return the folders to begin with: what the site does not have yet is found from the first that it has.

        The source itself is among them, and so is what is above a mount point: whether that is one still is seen there.
        """
        starts = {""}
        for folder in self.folders or ():
            deepest = ""
            for above in [*paths.lineage(folder), folder] if folder else ():
                held = state.held(above)
                if held is None or not held.is_folder:
                    break
                deepest = above
                if held.mount:
                    starts.add(paths.parent(above))
            starts.add(deepest)
        return starts

    def _without_unsettled(self, listing: Listing) -> Listing:
        """Leave out what is unsettled; such a folder is not noted as being in step."""
        settled = tuple(entry for entry in listing.entries if not self.is_unsettled(entry.path))
        if len(settled) == len(listing.entries):
            return listing
        return replace(listing, entries=settled, fingerprint=b"")


EVERYTHING = Scope()
