"""The third phase of a pass: what the scan finds is planned and sent while the scan goes on. Removes nothing."""

from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Iterator
from contextlib import aclosing

from async_mirror import multi
from async_mirror.model import paths
from async_mirror.model.change import FOUND, Change, Job, MakeFolder, Move, SendFile
from async_mirror.model.entry import Entry, Listing
from async_mirror.model.outcome import Done, Failed, Failure, InDoubt, Problem, Skipped
from async_mirror.model.plan import FolderPlan
from async_mirror.planning.examination import Examination
from async_mirror.planning.folder_renames import Renamed
from async_mirror.planning.forecast import Ahead
from async_mirror.planning.planner import Planning
from async_mirror.sync.context import Context
from async_mirror.sync.deletions import Deletions
from async_mirror.sync.feed import Feed, Jobs
from async_mirror.sync.guards import Guards
from async_mirror.sync.mirror import MirrorCrew
from async_mirror.sync.results import JobResults, perform
from async_mirror.ui.activity import UPLOADING

SENT_AT_ONCE = 2
"""How many jobs each connection is given at once."""

Beside = Callable[[Coroutine[None, None, None]], None]


class Publishing:
    """Makes, sends and renames what plans say. What needs the whole picture is set aside."""

    def __init__(
        self,
        context: Context,
        jobs: Jobs,
        feed: Feed,
        *,
        guards: Guards,
        deletions: Deletions,
        planning: Planning,
        renamed: Renamed,
        examination: Examination,
    ) -> None:
        """Begin with nothing scanned."""
        self.results = _Results(context, feed, deletions=deletions, renamed=renamed)
        self._report = context.report
        self._context = context
        self._state = context.state
        self._aside = context.aside
        self._site = context.site
        self._selection = context.selection
        self._jobs = jobs
        self._feed = feed
        self._guards = guards
        self._deletions = deletions
        self._planning = planning
        self._examination = examination
        wanted = context.scope.is_whole and context.report.wants_forecast
        self._ahead = Ahead(context.root, context.selection, context.state, context.report, wanted=wanted)

    async def run(self, crew: MirrorCrew) -> None:
        """Publish what the scan finds, then what was renamed, then what the site may take for what is there by now."""
        self._report.phase(UPLOADING)
        async with multi.beside() as start:
            await perform(crew, self._below("", start), self.results, SENT_AT_ONCE)
        await self.send(crew, filter(self._is_sure, self._likely_moves()))
        await self.send_doubles(crew)

    async def send(self, crew: MirrorCrew, changes: Iterable[Change], at_once: int = 1) -> None:
        """Carry changes out."""
        await perform(crew, self._feed.begun(self._jobs.of(changes)), self.results, at_once)

    async def send_doubles(self, crew: MirrorCrew) -> None:
        """Send what the site may take for what is there by now."""
        doubles, self._aside.doubles = self._aside.doubles, []
        await self.send(crew, doubles)

    async def again(self, crew: MirrorCrew, entries: Iterable[Entry]) -> None:
        """Publish entries that the site does not hold, folders with all below them."""
        await perform(crew, self._again(entries), self.results, SENT_AT_ONCE)

    async def begun(self, plan: FolderPlan) -> AsyncGenerator[Job, None]:
        """Return what yields the jobs of a plan, each once its folder is there; set aside what has to wait."""
        return self._feed.begun(await self._take(plan))

    # The scan.

    async def _some(self, walking: Iterator[Listing]) -> list[tuple[Listing, FolderPlan]]:
        """Return what was planned next, once no other mirror scans the disk; meanwhile others may be waited for."""
        async with self._context.disk:
            return await self._planning.some(walking)

    async def _below(self, start: str, beside: Beside | None = None) -> AsyncGenerator[Job, None]:
        """Scan from a folder on and yield what is to be done at once; the rest is set aside.

        Once there is much to do, what is still to come is counted `beside`, if it is shown.
        """
        walking = self._planning.blocking.walk(start) if start else self._planning.blocking.scan()
        while planned := await self._some(walking):
            jobs: list[Job] = []
            for listing, plan in planned:
                self._ahead.planned()
                if self._context.gates.is_below_moved(listing.folder):
                    async with aclosing(self._feed.begun(jobs)) as begun:
                        async for job in begun:
                            yield job
                    jobs = []
                    await self._context.gates.is_made(listing.folder)
                    listing, plan = await self._planning.anew(listing)  # noqa: PLW2901
                if not start:
                    await self._note_listing(listing)
                if any(_is_kept_back(listing.folder, start, swap.entry.path) for swap in self._aside.swaps):
                    continue
                if not listing.known:
                    jobs += await self._take(plan)
            if beside and self._ahead.is_due(self._jobs.made):
                beside(self._ahead.look())
            async with aclosing(self._feed.begun(jobs, all_of_them=False)) as begun:
                async for job in begun:
                    yield job
        if not start:
            self._report.scanned()
        async with aclosing(self._feed.begun([])) as begun:
            async for job in begun:
                yield job

    async def _again(self, entries: Iterable[Entry]) -> AsyncGenerator[Job, None]:
        for entry in entries:
            async with aclosing(await self.begun(await self._planning.alone(entry))) as begun:
                async for job in begun:
                    yield job
            if entry.is_folder:
                async with aclosing(self._below(entry.path)) as jobs:
                    async for job in jobs:
                        yield job

    async def _note_listing(self, listing: Listing) -> None:
        self._report.listing(listing, self._selection.rule)
        for entry in listing.left_out:
            if other := self._selection.mistaken_for(entry):
                detail = f"the other one is {other}, which belongs to another mirror"
                self._report.failure(Failure(entry.path, Problem.SAME_NAME, detail))
        if not listing.folder:
            await self._guards.saw_source(is_mount=listing.mount)

    async def _take(self, plan: FolderPlan) -> list[Job]:
        """Set aside what has to wait, and return jobs for the rest."""
        self._aside.moves += filter(self._jobs.can_be_sent, plan.moves)
        doubles = filter(self._jobs.can_be_sent, plan.doubles)
        self._aside.doubles += filter(self._jobs.can_be_told_apart, doubles)
        self._aside.swaps += plan.swaps
        self._examination.take(plan)
        self._aside.modes += plan.modes
        await self._guards.saw_unmounted(plan.unmounted)
        self._deletions.gone.update((entry.path, entry) for entry in plan.gone)
        if plan.refreshed:
            await self._state.held.add(plan.refreshed)
        changes = filter(self._jobs.can_be_sent, await self._examination.compared(plan.changes))
        return self._jobs.of(
            change for change in changes if self._jobs.can_be_told_apart(change) and self._is_sure(change)
        )

    def _is_sure(self, change: Change) -> bool:
        """Tell whether a change, if it is a rename, takes nothing along that could not be looked at; else it waits."""
        if not isinstance(change, Move) or not self._site.is_unsettled_below(change.held.path):
            return True
        self._deletions.spare(change.held.path)
        self._report.not_tried(change)
        self._context.gates.open(change, made=False)
        return False

    def _likely_moves(self) -> Iterator[Change]:
        """Yield the moves whose origin is gone indeed and wanted once; what is left is sent."""
        taken: set[str] = set()
        for move in self._aside.moves:
            origin = move.held.path
            if origin in taken or not any(each in self._deletions.gone for each in [*paths.lineage(origin), origin]):
                yield SendFile(move.entry, None, "new")
            else:
                taken.add(origin)
                yield move


class _Results(JobResults):
    """What comes of publishing: what follows from a folder that is new, or from a rename."""

    def __init__(self, context: Context, feed: Feed, *, deletions: Deletions, renamed: Renamed) -> None:
        super().__init__(context, feed)
        self._deletions = deletions
        self._renamed = renamed

    def done(self, wanted: Change, done: Done) -> None:
        if isinstance(done.change, MakeFolder) and done.change.why != FOUND:
            self._site.listed[done.change.entry.path] = True
        elif isinstance(done.change, MakeFolder) and done.change.spelled:
            self._deletions.spare(done.change.spelled)
        if isinstance(wanted, Move):
            self._moved(wanted, done)
            self._renamed.settled(wanted)

    def _moved(self, wanted: Move, done: Done) -> None:
        """Note what follows from a rename, or from what became of it."""
        if isinstance(done.change, Move):
            self._deletions.spare(wanted.held.path)
            if not wanted.entry.is_folder and done.held and not wanted.entry.same_content_as(done.held):
                self._context.aside.at_risk.append(wanted.entry)
        elif wanted.twin:
            self._deletions.gone[wanted.held.path] = wanted.held

    def not_done(self, outcome: Failed | InDoubt | Skipped) -> None:
        change = outcome.job.change
        if isinstance(change, Move):
            if not isinstance(outcome, Skipped):
                self._spare(change)
            self._renamed.settled(change)

    def cut_short(self, item: Job, error: str) -> None:
        super().cut_short(item, error)
        if isinstance(item.change, Move):
            self._spare(item.change)

    def _spare(self, move: Move) -> None:
        """Remove nothing of a folder that may have been renamed."""
        if move.entry.is_folder:
            self._deletions.spare(move.held.path)


def _is_kept_back(folder: str, start: str, swapped: str) -> bool:
    """Tell whether a folder takes the place of a file that is still there, and its turn comes later."""
    return paths.is_inside(folder, swapped) and not paths.is_inside(start, swapped)
