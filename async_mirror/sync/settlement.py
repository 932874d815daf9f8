"""The last phase of a pass: what takes the place of something, what was not tried for room, modes, missing folders."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from async_mirror.model import paths
from async_mirror.model.change import Job
from async_mirror.model.outcome import UNCOMPARED
from async_mirror.planning.examination import Examination
from async_mirror.source.look import look
from async_mirror.sync.context import Context
from async_mirror.sync.mirror import MirrorCrew
from async_mirror.sync.publishing import SENT_AT_ONCE, Publishing
from async_mirror.sync.results import perform
from async_mirror.ui.text import plural

SET_AT_ONCE = 8
"""How many modes each connection is given at once."""


class Settlement:
    """Does what can be done once all is scanned and removed."""

    def __init__(self, context: Context, publishing: Publishing, examination: Examination) -> None:
        """Begin with nothing settled."""
        self._context = context
        self._settings = context.settings
        self._report = context.report
        self._held = context.state.held
        self._site = context.site
        self._room = context.room
        self._aside = context.aside
        self._publishing = publishing
        self._examination = examination

    async def run(self, crew: MirrorCrew) -> None:
        """Do it, in this order: what found no room, what takes the place of something, modes, what has to be read."""
        await self._resume_uploads(crew)
        swapped = [swap.entry for swap in self._aside.swaps if not await self._held.at(swap.entry.path)]
        self._site.freed.update(entry.path for entry in swapped)
        await self._publishing.again(crew, [*swapped, *self._aside.at_risk])
        await self._set_modes(crew)
        await self._examine(crew)
        while (missing := self._site.newly_missing) and not self._context.stop.requested:
            topmost = {each for each in missing if not missing.intersection(paths.lineage(each))}
            await self._make_missing(crew, topmost)
            await self._publishing.send_doubles(crew)
            self._site.voided |= missing
            await self._set_modes(crew)

    # Room.

    async def _resume_uploads(self, crew: MirrorCrew) -> None:
        """Try one of the uploads that wait for room, now that all is deleted that may be; if it fits, do the others."""
        while self._room.is_full and not self._room.is_sure and not self._context.stop.requested:
            if (trial := self._room.try_one()) is None:
                return
            await self._publishing.send(crew, [trial], SENT_AT_ONCE)
        if not self._room.is_full:
            await self._publishing.send(crew, self._room.resumed(), SENT_AT_ONCE)

    def tell_room(self) -> None:
        """Tell what found no room, and how much was not tried for that."""
        tried, untried = self._room.left()
        for failed in tried:
            self._publishing.results.tell(failed)
        if untried and not self._context.stop.requested:
            for change in untried:
                self._report.not_tried(change)
            self._report.warn(f"the site is full: {plural(len(untried), 'file')} not attempted")

    # Modes.

    async def _set_modes(self, crew: MirrorCrew) -> None:
        modes, self._aside.modes = self._aside.modes, []
        there = [change for change in modes if not self._context.gates.is_unmade(change.entry.path)]
        await self._publishing.send(crew, there, SET_AT_ONCE)

    # What may have other content than it seems to.

    async def _examine(self, crew: MirrorCrew) -> None:
        """Read what may have other content than it seems to, and upload that."""
        await perform(crew, self._examined(), self._publishing.results, SENT_AT_ONCE)
        if not self._aside.uncompared or self._context.stop.requested:
            return
        uncompared, self._aside.uncompared = self._aside.uncompared, []
        within = await self._examination.uploads_left()
        uploads = [change._replace(why=UNCOMPARED, compares=False) for change in uncompared[:within]]
        await self._publishing.send(crew, uploads, SENT_AT_ONCE)
        if later := uncompared[within:]:
            for change in later:
                self._report.not_tried(change)
            self._report.warn(
                f"{plural(len(later), 'file')} that may have changed cannot be compared with the site: uploaded later",
                f"raise --max-verify-uploads ({self._settings.verify_limit}) to upload all in one pass",
            )

    async def _examined(self) -> AsyncGenerator[Job, None]:
        async with aclosing(self._examination.found(self._report.note)) as found:
            async for plan in found:
                self._report.unchanged(len(plan.refreshed))
                async with aclosing(await self._publishing.begun(plan)) as begun:
                    async for job in begun:
                        yield job

    # Folders that are gone from the site.

    async def _make_missing(self, crew: MirrorCrew, missing: set[str]) -> None:
        """Create folders that others deleted from the site, and upload again what they held."""
        self._site.voided |= missing
        self._context.gates.forget(missing)
        entries = []
        for folder in sorted(missing):
            self._report.note(f"the folder {folder} is missing on the site: creating it again")
            await self._held.void(folder)
            if (entry := look(self._context.root, folder)) and entry.is_folder:
                entries.append(entry)
        await self._publishing.again(crew, entries)
