"""The first phase of a pass: what a run left half-done is looked at on the site, and settled. Plans nothing."""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import replace

from async_mirror.crew.stop import Stop
from async_mirror.jobs.recover import Recover, Recovered, Settled, by_folder
from async_mirror.model import paths
from async_mirror.model.change import MakeFolder
from async_mirror.model.entry import Entry, Kind
from async_mirror.model.outcome import Pending
from async_mirror.remote.errors import RemoteError
from async_mirror.sync.context import Context
from async_mirror.sync.deletions import Deletions
from async_mirror.sync.mirror import MirrorCrew
from async_mirror.sync.results import Handler, perform
from async_mirror.ui.text import plural

LOOKED_AT_ONCE = 8
"""How many folders each connection is given at once."""
CLEAN_UP_SECONDS = 3.0


class Recovery(Handler[Recover, Recovered]):
    """Settles what is pending, when a pass begins, and when it was asked to end."""

    def __init__(self, context: Context, deletions: Deletions) -> None:
        """Begin with nothing looked at."""
        super().__init__(context)
        self._deletions = deletions
        self._of_others: set[str] = set()

    async def run(self, crew: MirrorCrew) -> None:
        """Settle what earlier runs left, and learn what is in doubt after all."""
        if pending := await self._state.journal.pending(time.monotonic()):
            if not self._state.blocking.holder:
                await self._wait_for_writers(pending)
            await self._settle(crew, pending)
        self._site.in_doubt = await self._state.journal.open_paths() - self._of_others

    async def clean_up(self) -> None:
        """After the request to end: settle what was cut short and remove its temporaries, if that is quickly done."""
        left = await self._state.journal.pending(time.monotonic())
        if not (pending := [each for each in left if not each.may_be_written]):
            return
        self._report.say("cleaning up")
        quickly = replace(self._context.mirror.patience, retries=0, retry_for_seconds=0.0)
        crew = await self._context.crew(Stop(), quickly)
        try:
            async with asyncio.timeout(CLEAN_UP_SECONDS), crew:
                await self._settle(crew, pending)
        except (TimeoutError, RemoteError):
            self._report.say("interrupted uploads are recovered at the next start")

    async def _wait_for_writers(self, pending: Sequence[Pending]) -> None:
        """Tell what is looked at; wait until no session that was lost can still write a file itself."""
        left = plural(len(pending), "path")
        self._report.say(f"recovering {left} of an interrupted run")
        if not self._context.mirror.dry_run and any(each.may_be_written for each in pending):
            await self._context.stop.pause(self._context.settings.timeout_seconds)

    async def _settle(self, crew: MirrorCrew, pending: Sequence[Pending]) -> None:
        if renamed := [each for each in pending if each.origin or each.twin]:
            await perform(crew, _each(by_folder(renamed)), self, LOOKED_AT_ONCE)
            left = {each.path for each in pending} - {each.path for each in renamed}
            anew = await self._state.journal.pending(time.monotonic())  # what came along with a folder is held there
            pending = [each for each in anew if each.path in left]
        if pending:
            await perform(crew, _each(by_folder(pending)), self, LOOKED_AT_ONCE)

    # What was found.

    async def record(self, results: Sequence[Recovered], unbegun: Sequence[Recover]) -> None:
        """Remember what became of paths; those that were not looked at stay pending."""
        for recovered in results:
            for each in recovered.settled:
                await self._record_one(each)
        if self.is_late:
            await self.commit()

    async def _record_one(self, settled: Settled) -> None:
        pending = settled.pending
        if settled.failure:
            self._report.failure(settled.failure)
            self._site.unsettled.add(pending.path)
            for folder in paths.lineage(pending.path):
                self._deletions.spare(folder)
            if pending.origin:
                self._deletions.spare(pending.origin)
                self._context.gates.open(MakeFolder(Entry(pending.path, Kind.FOLDER), ""), made=False)
            return
        again = not pending.answered or (settled.stays and not self._context.settings.in_place)
        if settled.unlisted:  # what is open itself is for its own look to settle
            await self._state.held.drop(set(settled.unlisted) - await self._state.journal.open_paths())
        await self._state.journal.resolve(
            pending, settled.held, time.monotonic(), again=again, moved=settled.moved, known=settled.is_whole
        )
        if settled.is_others:
            self._of_others.add(pending.path)
        if settled.stays:
            self._report.note("temporary files of an earlier run stay: the server does not delete them")

    def cut_short(self, item: Recover, error: str) -> None:
        """Tell of a folder that was not looked at to the end."""
        self._site.unseen.add(item.folder)
        self._tell(item.folder, error)


async def _each(items: Iterable[Recover]) -> AsyncGenerator[Recover, None]:
    for each in items:
        yield each
