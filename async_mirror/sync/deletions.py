"""What is to be removed from the site, and whether it may be. Looks at state and source; removes nothing itself."""

import os
from collections.abc import Iterable, Sequence
from itertools import groupby

from async_mirror.model import escape, odd_names, paths
from async_mirror.model.candidates import unknown
from async_mirror.model.entry import Entry
from async_mirror.model.selection import Selection
from async_mirror.model.settings import Settings
from async_mirror.multi import Offload
from async_mirror.source.look import look
from async_mirror.source.opened_folder import OpenedFolder
from async_mirror.state.store import State
from async_mirror.ui.report import Report
from async_mirror.ui.text import quoted

NAMED = 10
"""How many files are named that would have been too many to remove."""


class Removal:
    """What one pass found gone from the source, and the guards that it has to pass."""

    def __init__(
        self, settings: Settings, state: State, offload: Offload, selection: Selection, report: Report
    ) -> None:
        """Begin with nothing gone."""
        self.gone: dict[str, Entry] = {}
        self.unmounted: list[str] = []
        self._staying: set[str] = set()
        self._spared: set[str] = set()
        self._settings = settings
        self._state = state
        self._offload = offload
        self._selection = selection
        self._report = report

    def spare(self, path: str) -> None:
        """Remove nothing at or below a path that was renamed, or may have been."""
        self.gone.pop(path, None)
        self._spared.add(path)

    def keep_folders_of(self, path: str) -> None:
        """Keep all folders above a path that stays."""
        self._staying.update(paths.lineage(path))

    def may_go(self, folder: Entry) -> bool:
        """Tell whether nothing that stays is known to be in a folder."""
        return folder.path not in self._staying

    async def candidates(self, swapped: Iterable[Entry]) -> tuple[list[Entry], list[Entry]]:
        """Return the held files and folders that are to go, `swapped` ones among them.

        What was mirrored and is left out now stays, and so do the folders above it; below what was a mount point
        everything stays.
        """
        files: list[Entry] = []
        folders: list[Entry] = []
        for entry in [*self.gone.values(), *swapped]:
            if any(paths.is_inside(entry.path, each) or paths.is_inside(each, entry.path) for each in self.unmounted):
                self._halt_for_unmounted()
                continue
            below = await self._offload(self._state.held_below, entry.path) if entry.is_folder else []
            for held in [*below, entry]:
                if not self._spared.isdisjoint([*paths.lineage(held.path), held.path]) or (
                    held is not entry and not self._selection.includes_with_parents(held)
                ):
                    self.keep_folders_of(held.path)
                else:
                    (folders if held.is_folder else files).append(held)
        return files, folders

    def _halt_for_unmounted(self) -> None:
        where = ", ".join(escape.shown(each) or "the source" for each in self.unmounted[:3])
        text = (
            f"{where} was a mount point and is none now: nothing below it is removed."
            " If that is meant, run once with --allow-unmounted"
        )
        if text not in self._report.counts.halts:
            self._report.halt(text)

    async def is_allowed(self, files: Sequence[Entry]) -> bool:
        """Tell whether so many files may go at once; if not, say so, name the first, and how to override."""
        if not files:
            return True
        removals = len(files)
        held = await self._offload(self._state.count_held_files)
        limit = self._settings.delete_limit
        if limit.allows(removals, held):
            return True
        self._report.halt(
            f"{removals:,} of {held:,} held files would be removed, more than --max-delete {limit} allows:"
            f" nothing is removed in this pass. If that is meant, run once with --max-delete {removals}"
        )
        named = ", ".join(quoted(entry.path) for entry in files[:NAMED])
        more = f" and {removals - NAMED:,} more" if removals > NAMED else ""
        self._report.say(f"would be removed: {named}{more}")
        return False

    async def is_of_this_source(self, root: OpenedFolder) -> bool:
        """Tell whether the source still leads to the folder that the pass has scanned; if not, say so, once."""
        source = self._settings.source
        if await self._offload(root.is_at, os.fsencode(source)):
            return True
        text = (
            f"the source {escape.shown(str(source))} is another folder now than when the pass began, or gone:"
            " nothing more is removed in this pass. The next one mirrors what is there then"
        )
        if text not in self._report.counts.halts:
            self._report.halt(text)
        return False

    async def doubt_twins(self, root: bytes, files: Iterable[Entry]) -> list[Entry]:
        """Doubt what differs from a removed file in case or Unicode form alone: on some sites the two are one file.

        Returns what the source has of those now, to be sent again.
        """
        at_risk: list[Entry] = []
        for folder, group in groupby(sorted(files), lambda entry: paths.parent(entry.path)):
            removed = {entry.path for entry in group}
            folded = {odd_names.folded(path) for path in removed}
            twins = [
                entry
                for entry in await self._offload(self._state.held_in, folder)
                if entry.path not in removed and not entry.is_folder and odd_names.folded(entry.path) in folded
            ]
            if twins:
                await self._offload(self._state.hold, list(map(unknown, twins)))
            at_risk += [entry for twin in twins if (entry := look(root, twin.path))]
        return at_risk
