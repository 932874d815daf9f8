"""The second phase of a pass, the first time only: what the site has already is taken over. Changes nothing there."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import partial
from itertools import chain

from async_mirror import multi
from async_mirror.jobs.adopt import Compare, Compared
from async_mirror.model import paths
from async_mirror.model.entry import Entry, Listing
from async_mirror.model.plan import FolderPlan, plan_folder
from async_mirror.source.scan import walk
from async_mirror.sync.context import Context
from async_mirror.sync.mirror import MirrorCrew, learn_altered
from async_mirror.sync.results import Handler, perform
from async_mirror.ui.activity import LISTING
from async_mirror.ui.text import plural

LISTED_AT_ONCE = 2
"""How many folders each connection is given at once."""
NAMES_TOLD, LONGEST_NAME = 10, 255
"""How many names that no site may have are told of a folder, and how much of each."""


class Adoption(Handler[Compare, Compared]):
    """Compares each folder that the site has with what the source has there, and with what it is thought to hold."""

    def __init__(self, context: Context) -> None:
        """Begin with the root."""
        super().__init__(context)
        self._there: set[str] = {""}
        self._under_way: dict[str, asyncio.Event] = {}
        self._listings: dict[str, Listing] = {}
        self._adopted: list[Entry] = []
        self._in_step: list[Listing] = []
        self._untimed = 0

    async def run(self, crew: MirrorCrew) -> None:
        """Look at the site, unless that was done once."""
        if await self._state.fact("surveyed"):
            return
        self._report.phase(LISTING)
        await perform(crew, self._compares(), self, LISTED_AT_ONCE)
        if unmanaged := self._report.counts.unmanaged:
            hint = "" if self._report.names_excluded else "--rescan --dry-run -v names each of them"
            self._report.note(f"{plural(unmanaged, 'unmanaged path')} on the site, left alone", hint)
        if self._untimed:
            files = plural(self._untimed, "file")
            self._report.note(
                f"{files} uploaded: the site has no usable modification times to compare",
                "--existing-equal size takes files of the same size as equal",
            )
        if not self._context.stop.requested and not self._site.unseen:
            await self._state.learn(surveyed=f"{time.time():.0f}")

    # What is compared.

    async def _compares(self) -> AsyncGenerator[Compare, None]:
        """Yield the comparison of each folder that the site has and the source has or had, parents first."""
        holds = await self._state.held.is_anything()
        seen = set()
        scan = partial(walk, self._context.root, self._context.selection)
        async with aclosing(multi.stream(scan)) as listings:
            async for batch in listings:
                for listing in batch:
                    seen.add(listing.folder)
                    if await self._is_on_site(listing.folder):
                        yield await self._compare(listing, holds=holds)
        for folder in await self._state.held.folders() if holds else ():
            if folder not in seen and await self._is_on_site(folder):
                yield await self._compare(Listing(folder), holds=True)

    async def _is_on_site(self, folder: str) -> bool:
        if folder and (parent := self._under_way.get(paths.parent(folder))):
            await parent.wait()
        return folder in self._there

    async def _compare(self, listing: Listing, *, holds: bool) -> Compare:
        folder = listing.folder
        self._under_way[folder] = asyncio.Event()
        self._listings[folder] = listing
        held = await self._state.held.in_folder(folder) if holds else ()
        return Compare(folder, listing.entries, tuple(held))

    # What was found.

    async def record(self, results: Sequence[Compared], unbegun: Sequence[Compare]) -> None:
        """Take over what was found; folders that were not listed are so in a later pass."""
        self._adopted += chain.from_iterable(each.adopted for each in results)
        if lost := [path for each in results for path in each.lost]:
            await self.commit()
            await self._state.held.drop(lost)
        for compared in results:
            self._note_in_step(compared)
            self._learn(compared)
            self._tell_unmanaged(compared)
            self._tell_listing(compared)
            self._is_through(compared.folder)
        if self.is_late:
            await self.commit()

    async def commit(self) -> None:
        """Remember what was adopted."""
        adopted, self._adopted = self._adopted, []
        in_step, self._in_step = self._in_step, []
        if adopted:
            await self._state.held.add(adopted)
        if in_step:
            await self._state.held.note_in_step(in_step)
        await super().commit()

    def cut_short(self, item: Compare, error: str) -> None:
        """Tell of a folder that was not compared."""
        self._site.unseen.add(item.folder)
        self._is_through(item.folder)
        self._tell(item.folder, error)

    def _is_through(self, folder: str) -> None:
        self._listings.pop(folder, None)
        if event := self._under_way.pop(folder, None):
            event.set()

    def _note_in_step(self, compared: Compared) -> None:
        """Note a folder in which there is nothing to do: what was adopted is all that is held there."""
        listing = self._listings[compared.folder]
        plan = plan_folder(listing, compared.adopted, perms=self._context.settings.perms)
        if listing.fingerprint and not compared.failure and plan == FolderPlan():
            self._in_step.append(listing)

    def _learn(self, compared: Compared) -> None:
        self._there |= compared.folders
        self._untimed += len(compared.untimed)
        self._report.compared(compared.found, compared.confirmed)
        self._site.saw(compared)
        if compared.failure:
            self._site.unseen.add(compared.folder)
            self._report.failure(compared.failure)
        learn_altered(self._context.mirror, compared.altered)

    def _tell_unmanaged(self, compared: Compared) -> None:
        listing, selection = self._listings[compared.folder], self._context.selection

        def why(entry: Entry) -> str:
            if entry.path in listing.others:
                return f"{listing.kind_of_other(entry.path)} in the source"
            return f"excluded: {rule}" if (rule := selection.rule(entry)) else "not in the source"

        self._report.unmanaged(compared.unmanaged, why)

    def _tell_listing(self, compared: Compared) -> None:
        for note in compared.notes:
            self._report.note(note)
        folder = compared.folder or "/"
        if compared.cut:
            self._report.note(f"the server cut its listing of {folder} short: missing files are uploaded again")
        if compared.unreadable:
            self._report.note(f"the listing of {folder} has unreadable lines: {_some(compared.unreadable)}")
        if compared.oddities:
            named = _some(compared.oddities)
            self._report.note(f"ignored invalid names in the listing of {folder}: {named}")


def _some(told: tuple[str, ...]) -> str:
    """Return as many names or lines as anybody wants to read, none at full length."""
    more = f" and {len(told) - NAMES_TOLD:,} more" if len(told) > NAMES_TOLD else ""
    return ", ".join(each[:LONGEST_NAME] for each in told[:NAMES_TOLD]) + more
