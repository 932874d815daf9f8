"""Counts what there will be to do while the scan waits for the lanes, for the display. Decides nothing."""

from collections.abc import Sequence
from contextlib import aclosing
from functools import partial

from async_mirror import multi
from async_mirror.crew.off_loop import Awaited, Face
from async_mirror.model.change import MakeFolder, SendFile
from async_mirror.model.entry import Listing
from async_mirror.model.plan import plan_folder
from async_mirror.model.selection import Selection
from async_mirror.source.scan import walk
from async_mirror.state.awaitable import AwaitableState
from async_mirror.state.store import State
from async_mirror.ui.report import Report

BEGINS_AFTER = 256
"""Jobs planned before it is worth the trouble: more than a moment's work."""


class _Forecast:
    """Counts what is to be done in folders. Blocks."""

    def __init__(self, selection: Selection, state: State) -> None:
        self._selection = selection
        self._state = state

    def count(self, batch: Sequence[Listing], known: int) -> list[tuple[int, int]]:
        """Return how many files and bytes there will be of each listing; of the first `known` nothing is foreseen."""
        return [(0, 0)] * min(known, len(batch)) + [self._changes(listing) for listing in batch[known:]]

    def _changes(self, listing: Listing) -> tuple[int, int]:
        held = self._selection.visible(self._state.held_in(listing.folder))
        changes = [change for change in plan_folder(listing, held).changes if not isinstance(change, MakeFolder)]
        return len(changes), sum(change.entry.size for change in changes if isinstance(change, SendFile))


class _AwaitableForecast(Face[_Forecast]):
    count = Awaited(_Forecast.count)


class Ahead:
    """A second look at the source, in the order of the scan, that is not held up by anything."""

    def __init__(
        self, root: bytes, selection: Selection, state: AwaitableState, report: Report, *, wanted: bool = True
    ) -> None:
        """Begin where the scan begins, if it is `wanted` at all."""
        self._wanted = wanted
        self._root = root
        self._selection = selection
        self._forecast = _AwaitableForecast(_Forecast(selection, state.blocking), state.off_loop)
        self._report = report
        self._planned = 0
        self._counted: dict[int, tuple[int, int]] = {}

    def planned(self) -> None:
        """Note that the scan planned one more listing: what was counted for it is not foreseen any more."""
        files, size = self._counted.pop(self._planned, (0, 0))
        self._planned += 1
        if files:
            self._report.foreseen(-files, -size)

    def is_due(self, jobs: int) -> bool:
        """Tell whether it is time to look, once so many jobs were made."""
        return self._wanted and jobs > BEGINS_AFTER

    async def look(self) -> None:
        """Count to the end, and tell that all is known; once is enough."""
        self._wanted = False
        index = 0
        async with aclosing(multi.stream(partial(walk, self._root, self._selection))) as listings:
            async for batch in listings:
                for count in await self._forecast.count(batch, max(0, self._planned - index)):
                    if index >= self._planned and count[0]:
                        self._counted[index] = count
                        self._report.foreseen(*count)
                    index += 1
        self._report.foreseen_all()
