"""One pass: recover, survey, publish, settle, remember. Leaves how many things are done at once to `multi`."""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from itertools import chain, groupby
from typing import assert_never

from async_mirror import multi
from async_mirror.crew.ledger import DEATHS, EXCUSES
from async_mirror.crew.patience import Patience
from async_mirror.crew.stop import Stop
from async_mirror.crew.work import Finished
from async_mirror.jobs.attempt import doubts_of
from async_mirror.jobs.compare import Compare, Compared
from async_mirror.jobs.perform import Answer, Item
from async_mirror.jobs.recover import Recovered, Settled, by_folder
from async_mirror.model import escape, odd_names, paths
from async_mirror.model.change import (
    CHANGED,
    FOUND,
    MISSING,
    REPLACES,
    TRIES_PER_ATTEMPT,
    Change,
    Job,
    MakeFolder,
    Move,
    RemoveFile,
    RemoveFolder,
    SendFile,
    SetAttributes,
    path_of,
)
from async_mirror.model.entry import UNKNOWN, Entry, Kind, Listing
from async_mirror.model.outcome import (
    UNCOMPARED,
    Done,
    Failed,
    Failure,
    InDoubt,
    Outcome,
    Problem,
    Skipped,
    Unmanaged,
)
from async_mirror.model.plan import FolderPlan, Swap, plan_folder
from async_mirror.model.settings import Existing
from async_mirror.model.temporary_names import IN_PLACE
from async_mirror.multi import Offload
from async_mirror.remote.errors import RemoteError
from async_mirror.source.look import is_gone, look
from async_mirror.source.opened_folder import OpenedFolder
from async_mirror.source.scan import read_folder, walk
from async_mirror.state.journal import LOOKED_AT_AGAIN_AFTER_S
from async_mirror.state.store import State
from async_mirror.sync.deletions import Removal
from async_mirror.sync.examination import Examination
from async_mirror.sync.feed import BEGUN_AT_ONCE, Feed
from async_mirror.sync.folder_gates import Gates
from async_mirror.sync.folder_renames import Renamed
from async_mirror.sync.forecast import BEGINS_AFTER, Ahead
from async_mirror.sync.mirror import (
    Mirror,
    MirrorCrew,
    crew_for,
    learn_altered,
    learn_limits,
    learn_one_for_two,
    remember,
    shape_of_temporaries,
    takes_for_one,
)
from async_mirror.sync.room import Room
from async_mirror.ui.text import plural

PUBLISHING_OVERLAP = 2
QUICK_OVERLAP = 8
COMMITTED_AT_ONCE = 256
COMMITTED_EVERY_S = 0.5
_DOUBLE = SendFile | MakeFolder
"""Changes that may have a double."""
_BUILT_UPON = {Move, RemoveFolder}
"""Changes that others may be planned upon: what came of them is remembered at once."""
SCANNED_FOR_S, SCANNED_AT_ONCE = 0.02, 64
CLEAN_UP_SECONDS = 3.0
PLANNER = 3
"""To be counted up when a listing may be planned otherwise than before: what was in step may be so no longer."""
NAMES_TOLD, LONGEST_NAME = 10, 255
"""How many names that no site may have are told of a folder, and how much of each."""

Beside = Callable[[Coroutine[None, None, None]], None]


class Pass:
    """One pass while it runs: what the scan set aside for the end, and which folders are still being made."""

    def __init__(self, mirror: Mirror, state: State, stop: Stop, offload: Offload, root: OpenedFolder) -> None:
        self.mirror = mirror
        self.root = root
        self.settings = mirror.settings
        self.report = mirror.report
        self.selection = mirror.selection
        self.state = state
        self.stop = stop
        self.offload = offload
        self.token = secrets.token_hex(4)
        self.jobs_made = 0
        self.confirmed: list[Outcome] = []
        self.adopted: list[Entry] = []
        self.in_step: list[Listing] = []
        self.committed_at = time.monotonic()
        self.root_known = False
        self.moves: list[Move] = []
        self.doubles: list[SendFile] = []
        self.swaps: list[Swap] = []
        self.modes: list[SetAttributes] = []
        self.gates = Gates()
        self.feed = Feed(state, offload, self.gates, asking=self._asking, not_tried=self._not_tried)
        self.room = Room()
        self.ahead = Ahead(root, self.selection, state, offload, self.report)
        self.renamed = Renamed(root, state, self.selection)
        self.removal = Removal(self.settings, state, offload, self.selection, self.report)
        self.examination = Examination(root, state, self.settings, offload, stop, half_read=mirror.half_read)
        self.uncompared: list[SendFile] = []
        self.voided: set[str] = set()
        self.unsettled: set[str] = set()
        self.unseen: set[str] = set()
        self.at_risk: list[Entry] = []
        self.missing: set[str] = set()
        self.compared: dict[str, asyncio.Event] = {}
        self.listings: dict[str, Listing] = {}
        self.there: set[str] = {""}
        self.differing: set[str] = set()
        self.known: dict[str, bool] = {}
        """The folders of which it is known what they hold, and whether that is so of names with a dot, too."""
        self.unsure: set[str] = set()
        self.freed: set[str] = set()
        """The paths that something of another kind had until it was removed in this pass."""
        self.untimed = 0
        self.changed: dict[str, str] = {}
        """Why files are sent that the site, when it was looked at, did not show as they were sent."""
        self.in_doubt: set[str] = set()
        self.of_others: set[str] = set()

    # The pass.

    async def run(self) -> None:
        """Run the pass. Raises StateError or RemoteError when it cannot go on; all else is reported."""
        try:
            await self._run()
        finally:
            if self.stop.requested and not self.mirror.dry_run:
                await self._clean_up()

    async def _run(self) -> None:
        self.root_known = bool(await self.offload(self.state.fact, "root"))
        settings = self.settings
        await self.offload(self.state.keep_rules, f"{PLANNER} {self.selection.rules} {settings.perms} {settings.ctime}")
        crew = await self._crew(self.stop, self.mirror.patience)
        try:
            async with crew:
                await self._recover(crew)
                self.in_doubt = await self.offload(self.state.open_paths) - self.of_others
                if not await self.offload(self.state.fact, "surveyed"):
                    self.report.phase("looking at the site")
                    await self._survey(crew)
                self.report.phase("mirroring")
                async with multi.beside() as start:
                    await self._perform(crew, self._publish("", start), PUBLISHING_OVERLAP)
                await self._settle(crew)
            if not self.mirror.dry_run:
                await self.examination.digest()
        finally:
            self._tell_room()
            self.report.counts.connections += crew.door.opened
            learn_limits(crew, self.mirror)
            await remember(self.mirror, self.offload)

    async def _crew(self, stop: Stop, patience: Patience) -> MirrorCrew:
        return await crew_for(self.mirror, self.root, self.state, self.offload, self.room, stop=stop, patience=patience)

    async def _perform(self, crew: MirrorCrew, items: AsyncGenerator[Item, None], overlap: int = 1) -> None:
        """Have the crew perform items, and record what comes of them as it comes."""
        try:
            async with aclosing(crew.run(items, overlap)) as batches:
                async for batch in batches:
                    await self._record(batch)
        finally:
            await self.feed.give_up()
            await self._commit()
        if crew.door.failure:
            raise crew.door.failure

    # What comes back.

    async def _record(self, batch: list[Finished[Item, Answer]]) -> None:
        unbegun: list[Job] = []
        outcomes: list[Outcome] = []
        comparisons: list[Compared] = []
        for done in batch:
            if done.error:
                self._cut_short(done)
            elif done.result is None:
                if isinstance(done.item, Job):
                    unbegun.append(done.item)
            else:
                if done.result.made_root or not self.root_known:
                    await self._learn_site(done.result)
                match done.result.result:
                    case (Done() | Skipped() | Unmanaged() | Failed() | InDoubt()) as outcome:
                        outcomes.append(outcome)
                    case Compared() as compared:
                        comparisons.append(compared)
                    case Recovered(settled):
                        for each in settled:
                            await self._record_settled(each)
        if comparisons:
            await self._record_comparisons(comparisons)
        await self._record_outcomes(outcomes, unbegun)

    async def _record_outcomes(self, outcomes: list[Outcome], unbegun: list[Job]) -> None:
        self.confirmed += outcomes
        if self._is_commit_due(outcomes):
            await self._commit()
        if unbegun:
            await self.offload(self.state.abandon, unbegun)
        for outcome in outcomes:
            self.report.finished(outcome.job.change)
            for each in self.room.settled(outcome):
                self._record_outcome(each)
        for job in unbegun:
            self.gates.open(job.change, made=False)
            if not self.room.takes(job.change):
                self.report.finished(job.change)
                self.room.wait(job.change)

    def _is_commit_due(self, outcomes: Iterable[Outcome]) -> bool:
        """Tell whether what was confirmed is to be remembered now: others may build upon it, or it is a good deal.

        Until then it is pending, and would be looked at once more after a kill.
        """
        return (
            len(self.confirmed) >= COMMITTED_AT_ONCE
            or time.monotonic() - self.committed_at > COMMITTED_EVERY_S
            or not _BUILT_UPON.isdisjoint(type(each.job.change) for each in outcomes)
        )

    async def _commit(self) -> None:
        confirmed, self.confirmed = self.confirmed, []
        adopted, self.adopted = self.adopted, []
        in_step, self.in_step = self.in_step, []
        self.committed_at = time.monotonic()
        if adopted:
            await self.offload(self.state.hold, adopted)
        if in_step:
            await self.offload(self.state.note_in_step, in_step)
        if confirmed:
            await self.offload(self.state.commit, confirmed, time.time())
        await remember(self.mirror, self.offload)

    async def _learn_site(self, answer: Answer) -> None:
        if answer.made_root:
            self.known[""] = True
            self.report.made_root(answer.root or self.settings.site.root)
        if answer.root and not self.root_known:
            self.root_known = True
            await self.offload(partial(self.state.learn, root=escape.shown(answer.root)))

    def _cut_short(self, done: Finished[Item, Answer]) -> None:
        """Tell of a perform that ended without a result; what it did is not known, so it stays pending."""
        if isinstance(done.item, Job):
            path = path_of(done.item.change)
            self.report.finished(done.item.change)
            self.gates.open(done.item.change, made=False)
            if isinstance(done.item.change, Move) and done.item.change.entry.is_folder:
                self.removal.spare(done.item.change.held.path)
        else:
            path = done.item.folder
            self.unseen.add(path)
            self._compared(path)
        if not self.stop.requested:
            self.report.failure(Failure(path, Problem.INTERNAL, done.error))

    def _record_outcome(self, outcome: Outcome) -> None:
        change = outcome.job.change
        match outcome:
            case Failed(_, _, str(missing)) | InDoubt(_, _, _, str(missing)) if missing not in self.voided:
                self.missing.add(missing)
            case Skipped(Job(SendFile() as upload), why) if why == UNCOMPARED:
                self.uncompared.append(upload)
            case _:
                self.report.outcome(outcome)
        made = True
        match outcome:
            case Done():
                self._record_done(change, outcome)
            case Failed() | InDoubt():
                made = False
                self._stays(change)
                self._learn_from(change, outcome.failure)
                self.in_doubt.update(doubt.path for doubt in doubts_of(outcome))
                if isinstance(change, Move) and change.entry.is_folder:
                    self.removal.spare(change.held.path)
            case Skipped():
                self._stays(change)
            case Unmanaged():
                pass
            case _ as never:
                assert_never(never)
        if isinstance(change, Move):
            self.renamed.settled(change)
        self.gates.open(change, made=made)

    def _learn_from(self, change: Change, failure: Failure) -> None:
        if failure.problem is Problem.SAME_NAME and isinstance(change, MakeFolder | SendFile):
            learn_one_for_two(self.mirror, path_of(change), change.double)

    def _stays(self, change: Change) -> None:
        if isinstance(change, RemoveFile | RemoveFolder):
            self.removal.keep_folders_of(change.held.path)

    def _record_done(self, wanted: Change, done: Done) -> None:
        """Note what follows from a folder that is new, from a rename, or from one that became something else."""
        if isinstance(done.change, MakeFolder) and done.change.why != FOUND:
            self.known[done.change.entry.path] = True
        if not isinstance(wanted, Move):
            return
        if isinstance(done.change, Move):
            self.removal.spare(wanted.held.path)
            if not wanted.entry.is_folder and done.held and not wanted.entry.same_content_as(done.held):
                self.at_risk.append(wanted.entry)
        elif wanted.twin:
            self.removal.gone[wanted.held.path] = wanted.held

    # Recover.

    async def _recover(self, crew: MirrorCrew) -> None:
        pending = await self.offload(self.state.pending, time.time())
        if pending:
            if self.state.holder:
                await self._perform(crew, _each(by_folder(pending)), QUICK_OVERLAP)
                return
            left = plural(len(pending), "path")
            self.report.say(f"looking what became of {left} that an earlier run left half-done")
            if not self.mirror.dry_run and any(each.may_be_written for each in pending):
                await self.stop.pause(self.settings.timeout_seconds)
            await self._perform(crew, _each(by_folder(pending)), QUICK_OVERLAP)

    async def _record_settled(self, settled: Settled) -> None:
        if settled.failure:
            self.report.failure(settled.failure)
            self.unsettled.add(settled.pending.path)
            if settled.pending.origin:
                self.removal.spare(settled.pending.origin)
                self.gates.open(MakeFolder(Entry(settled.pending.path, Kind.FOLDER), ""), made=False)
        else:
            is_over = settled.pending.answered and (self.settings.in_place or not settled.stays)
            look_after = 0 if is_over else int(time.time() + LOOKED_AT_AGAIN_AFTER_S)
            resolve = partial(self.state.resolve, look_after=look_after, moved=settled.moved, known=settled.is_whole)
            await self.offload(resolve, settled.pending, settled.held)
            if settled.is_others:
                self.of_others.add(settled.pending.path)
            if settled.stays:
                self.report.note(
                    "temporary files of an earlier run stay on the site, which does not let them be deleted"
                )

    async def _clean_up(self) -> None:
        """After the request to end: settle what was cut short and remove its temporaries, if that is quickly done."""
        left = await self.offload(self.state.pending, time.time())
        if not (pending := [each for each in left if not each.may_be_written]):
            return
        self.report.say("cleaning up")
        quickly = replace(self.mirror.patience, retries=0)
        crew = await self._crew(Stop(), quickly)
        try:
            async with asyncio.timeout(CLEAN_UP_SECONDS), crew:
                await self._perform(crew, _each(by_folder(pending)), QUICK_OVERLAP)
        except (TimeoutError, RemoteError):
            self.report.say("what was cut short is noted, and settled at the next start")

    # Survey.

    async def _survey(self, crew: MirrorCrew) -> None:
        await self._perform(crew, self._compares(), PUBLISHING_OVERLAP)
        counts = self.report.counts
        if counts.foreign:
            things = plural(counts.foreign, "thing")
            self.report.note(f"left alone on the site, because they are neither ours nor in the source: {things}")
        if self.untimed:
            files = plural(self.untimed, "file")
            self.report.note(
                f"the site does not show by their times whether it holds these already, so they are sent: {files}"
                " (--existing-equal size takes what has the same size for the same)"
            )
        if not self.stop.requested and not self.unseen:
            await self.offload(partial(self.state.learn, surveyed=f"{time.time():.0f}"))

    async def _compares(self) -> AsyncGenerator[Item, None]:
        """Yield the comparison of each folder that the site has and the source has or had, parents first."""
        holds = await self.offload(self.state.holds_anything)
        seen = set()
        async with aclosing(multi.stream(partial(walk, self.root, self.selection))) as listings:
            async for batch in listings:
                for listing in batch:
                    seen.add(listing.folder)
                    if await self._is_on_site(listing.folder):
                        yield await self._compare(listing, holds=holds)
        for folder in await self.offload(self.state.held_folders) if holds else ():
            if folder not in seen and await self._is_on_site(folder):
                yield await self._compare(Listing(folder), holds=True)

    async def _is_on_site(self, folder: str) -> bool:
        if folder and (parent := self.compared.get(paths.parent(folder))):
            await parent.wait()
        return folder in self.there

    async def _compare(self, listing: Listing, *, holds: bool) -> Compare:
        folder = listing.folder
        self.compared[folder] = asyncio.Event()
        self.listings[folder] = listing
        held = await self.offload(self.state.held_in, folder) if holds else ()
        return Compare(folder, listing.entries, tuple(held))

    async def _record_comparisons(self, comparisons: list[Compared]) -> None:
        self.adopted += chain.from_iterable(each.adopted for each in comparisons)
        if lost := [path for each in comparisons for path in each.lost]:
            await self._commit()
            await self.offload(self.state.drop, lost)
        for compared in comparisons:
            self._note_in_step(compared)
            self._tell_compared(compared)
            self._compared(compared.folder)

    def _note_in_step(self, compared: Compared) -> None:
        """Note a folder in which there is nothing to do: what was adopted is all that is held there."""
        listing = self.listings[compared.folder]
        plan = plan_folder(listing, compared.adopted, perms=self.settings.perms)
        if listing.fingerprint and not compared.failure and plan == FolderPlan():
            self.in_step.append(listing)

    def _tell_compared(self, compared: Compared) -> None:
        self.there |= compared.folders
        self.report.compared(compared.found, compared.foreign)
        self.differing.update(compared.differing)
        self.unsure.update(compared.unsure)
        self.untimed += len(compared.untimed)
        self.changed.update(dict.fromkeys(compared.changed, CHANGED))
        self.changed.update(dict.fromkeys(compared.lost, MISSING))
        if compared.complete:
            self.known[compared.folder] = self.known.get(compared.folder, False) or compared.shows_dot_names
        if compared.failure:
            self.unseen.add(compared.folder)
            self.report.failure(compared.failure)
        learn_altered(self.mirror, compared.altered)
        for note in compared.notes:
            self.report.note(note)
        folder = compared.folder or "/"
        if compared.cut:
            self.report.note(f"the server cut its listing of {folder} short; what it left out is sent again")
        if compared.unreadable:
            self.report.note(f"the listing of {folder} has lines that cannot be read: {_some(compared.unreadable)}")
        if compared.oddities:
            named = _some(compared.oddities)
            self.report.note(f"the server lists in {folder} names that no site may have, which are left alone: {named}")

    def _compared(self, folder: str) -> None:
        self.listings.pop(folder, None)
        if event := self.compared.pop(folder, None):
            event.set()

    # Publish.

    async def _publish(self, start: str, beside: Beside | None = None) -> AsyncGenerator[Item, None]:
        """Scan from a folder on and yield what is to be done at once; the rest is set aside for `_settle`.

        Once there is much to do, what is still to come is counted `beside`, if somebody watches.
        """
        walking = walk(self.root, self.selection, start, self.state.in_step)
        while planned := await self.offload(self._plan_some, walking):
            jobs: list[Job] = []
            for listing, plan in planned:
                self.ahead.planned()
                if self.gates.is_below_moved(listing.folder):
                    async with aclosing(self.feed.begun(jobs)) as begun:
                        async for job in begun:
                            yield job
                    jobs = []
                    await self.gates.is_made(listing.folder)
                    listing, plan = await self.offload(self._plan_anew, listing)  # noqa: PLW2901
                if not start:
                    await self._note_listing(listing)
                if any(_is_kept_back(listing.folder, start, swap.entry.path) for swap in self.swaps):
                    continue
                if not listing.known:
                    jobs += await self._take_plan(plan)
            if beside and self.report.watched and self.jobs_made > BEGINS_AFTER and not self.ahead.begun:
                beside(self.ahead.look())
            async with aclosing(self.feed.begun(jobs, all_of_them=False)) as begun:
                async for job in begun:
                    yield job
        if not start:
            self.report.scanned()
        async with aclosing(self.feed.begun([])) as begun:
            async for job in begun:
                yield job

    def _plan_some(self, walking: Iterator[Listing]) -> list[tuple[Listing, FolderPlan]]:
        """Scan and plan for a moment, in one thread: two would spend more on taking turns than on their work."""
        planned: list[tuple[Listing, FolderPlan]] = []
        end = time.monotonic() + SCANNED_FOR_S
        for listing in walking:
            planned.append((listing, self._plan(listing)))
            if time.monotonic() > end or len(planned) == SCANNED_AT_ONCE:
                break
        if in_step := [each for each, plan in planned if each.fingerprint and not each.known and plan == FolderPlan()]:
            self.state.note_in_step(in_step)
        return planned

    def _plan_anew(self, listing: Listing) -> tuple[Listing, FolderPlan]:
        """Plan once more after a rename: what is known of a folder was of what was held there before."""
        if listing.known:
            listing = read_folder(self.root, listing.folder, self.selection)
        return listing, self._plan(listing)

    def _plan(self, listing: Listing) -> FolderPlan:
        """Plan a folder. Nothing but its listing, what is held there, and the rules decides whether that is empty."""
        if listing.known:
            self.renamed.saw(listing.folder)
            self.examination.saw(listing, ())
            return FolderPlan()
        held = self.selection.visible(self.state.held_in(listing.folder))
        self.examination.saw(listing, held)
        known = {entry.path for entry in held}
        new = [entry for entry in listing.entries if entry.path not in known and not entry.is_folder]
        origins = self._origins(new) if new and self.settings.delete else {}
        renamed = self.renamed.moves(listing, known) if self.settings.delete else {}
        marks = self.examination.marks(listing.folder)
        plan = plan_folder(listing, held, origins, renamed, perms=self.settings.perms, marks=marks)
        plan.changes = [self._with_inside(each) if isinstance(each, Move) else each for each in plan.changes]
        return plan

    def _with_inside(self, move: Move) -> Move:
        """Tell of a folder that is renamed in case or Unicode form alone what is held in it: others may have more."""
        if move.twin and move.entry.is_folder:
            return move._replace(inside=self.renamed.inside(move.held.path))
        return move

    def _origins(self, new: Iterable[Entry]) -> dict[str, Entry]:
        """Find, for new files, the held file of the same inode and size whose own path is gone, and not left out."""
        origins: dict[str, Entry] = {}
        of_inode = {entry.inode: entry for entry in new}
        for held in self.state.held_with_inodes(of_inode):
            if not held.digest:
                continue
            entry = of_inode[held.inode]
            same_size = held.size in {entry.size, UNKNOWN}
            if same_size and self.selection.includes_with_parents(held) and is_gone(self.root, held.path):
                origins[entry.path] = held
        return origins

    async def _note_listing(self, listing: Listing) -> None:
        self.report.listing(listing)
        if listing.folder:
            return
        was_mount = await self.offload(self.state.fact, "source_is_mount")
        if was_mount and not listing.mount and not self.settings.allow_unmounted:
            self.removal.unmounted.append("")
        elif bool(was_mount) != listing.mount:
            await self.offload(partial(self.state.learn, source_is_mount="yes" if listing.mount else None))

    async def _take_plan(self, plan: FolderPlan) -> list[Job]:
        """Set aside what has to wait, and return jobs for the rest."""
        self.moves += filter(self._can_be_sent, plan.moves)
        doubles = filter(self._can_be_sent, plan.doubles)
        self.doubles += filter(self._can_be_told_apart, doubles)
        self.swaps += plan.swaps
        self.examination.take(plan)
        self.modes += plan.modes
        if not self.settings.allow_unmounted:
            self.removal.unmounted += plan.unmounted
        elif plan.unmounted:
            held = [await self.offload(self.state.held, path) for path in plan.unmounted]
            await self.offload(self.state.hold, [entry._replace(mount=False) for entry in held if entry])
        self.removal.gone.update((entry.path, entry) for entry in plan.gone)
        if plan.refreshed:
            await self.offload(self.state.hold, plan.refreshed)
        changes = filter(self._can_be_sent, await self.examination.compared(plan.changes))
        return self._jobs(change for change in changes if self._can_be_told_apart(change))

    def _can_be_told_apart(self, change: Change) -> bool:
        """Tell whether the site has a name of its own for a path, as far as is known; report it if not."""
        double = change.double if isinstance(change, _DOUBLE) else ""
        if not double or not takes_for_one(self.mirror, path_of(change), double):
            return True
        self.report.failure(Failure(path_of(change), Problem.SAME_NAME, f"the other one is {double}"), change)
        self.gates.open(change, made=False)
        return False

    def _can_be_sent(self, change: Change) -> bool:
        reason = odd_names.refusal(paths.split(path_of(change))[1])
        if reason:
            self.report.failure(Failure(path_of(change), Problem.UNSENDABLE, reason), change)
            self.gates.open(change, made=False)
        return reason is None

    def _jobs(self, changes: Iterable[Change]) -> list[Job]:
        tries = TRIES_PER_ATTEMPT * (self.mirror.patience.retries + DEATHS + EXCUSES)
        shapes = 1 << shape_of_temporaries(self.mirror)
        if self.settings.in_place:
            tries, shapes = 0, shapes | IN_PLACE * (self.settings.existing is Existing.OVERWRITE)
        jobs = []
        for change in changes:
            path = path_of(change)
            if path in self.unsettled:
                continue
            if not self.room.takes(change):
                self.room.wait(change)
                continue
            if isinstance(change, SendFile):
                change = self._explained(change)  # noqa: PLW2901
            self.jobs_made += 1
            makes = isinstance(change, SendFile) or not isinstance(change, RemoveFile | RemoveFolder)
            jobs.append(Job(change, f"{self.token}{self.jobs_made:x}z", tries, shapes * makes))
            self.gates.shut(change)
            self.report.planned(change)
        return jobs

    def _explained(self, change: SendFile) -> SendFile:
        """Give as the reason of an upload what was seen of the file when the site was looked at, if anything was."""
        path = change.entry.path
        if path in self.in_doubt:
            return change._replace(compares=False) if change.compares else change
        why = REPLACES if path in self.differing else self.changed.get(path)
        return change._replace(why=why) if why else change

    def _asking(self, change: Change) -> Change:
        """Have the site asked before a name is used that nobody is known to have, nor not to have."""
        match change:
            case SendFile(held=None) | MakeFolder() | Move():
                path = change.entry.path
                folder, name = paths.split(path)
                is_listed = folder in self.known and (self.known[folder] or not name.startswith("."))
                is_listed = is_listed and path not in self.differing and path not in self.unsure
                if change.why == REPLACES or path in self.in_doubt or path in self.freed or is_listed:
                    return change
                return change._replace(asks=True)
        return change

    def _not_tried(self, change: Change) -> None:
        path = path_of(change)
        self.report.finished(change)
        if not any(paths.is_inside(path, each) for each in self.missing - self.voided):
            self.report.not_tried(change)
        self.gates.open(change, made=False)

    # Settle.

    async def _settle(self, crew: MirrorCrew) -> None:
        """Do what needs the whole picture, in this order: moves, removals, what takes the place of something, modes."""
        await self._perform(crew, self.feed.begun(self._jobs(self._likely_moves())))
        await self._send_doubles(crew)
        if self.stop.requested:
            return
        await self._remove(crew)
        await self._resume_uploads(crew)
        swapped = [swap.entry for swap in self.swaps if not await self.offload(self.state.held, swap.entry.path)]
        self.freed.update(entry.path for entry in swapped)
        await self._perform(crew, self._publish_again([*swapped, *self.at_risk]), PUBLISHING_OVERLAP)
        await self._set_modes(crew)
        await self._examine(crew)
        while (missing := self.missing - self.voided) and not self.stop.requested:
            topmost = {each for each in missing if not missing.intersection(paths.lineage(each))}
            await self._make_missing(crew, topmost)
            await self._send_doubles(crew)
            self.voided |= missing
            await self._set_modes(crew)

    async def _examine(self, crew: MirrorCrew) -> None:
        """Read what may have other content than it seems to, and upload that."""
        await self._perform(crew, self._examined(), PUBLISHING_OVERLAP)
        if not self.uncompared or self.stop.requested:
            return
        uncompared, self.uncompared = self.uncompared, []
        within = await self.examination.uploads_left()
        uploads = [change._replace(why=UNCOMPARED, compares=False) for change in uncompared[:within]]
        await self._perform(crew, self.feed.begun(self._jobs(uploads)), PUBLISHING_OVERLAP)
        if later := len(uncompared) - len(uploads):
            self.report.warn(
                f"{plural(later, 'file')} that may have changed cannot be compared with the site: not sent in this"
                f" pass, for --max-verify-uploads is {self.settings.verify_limit}"
            )

    async def _examined(self) -> AsyncGenerator[Item, None]:
        async with aclosing(self.examination.found(self.report.note)) as found:
            async for plan in found:
                self.report.unchanged(len(plan.refreshed))
                async with aclosing(self.feed.begun(await self._take_plan(plan))) as begun:
                    async for job in begun:
                        yield job

    async def _resume_uploads(self, crew: MirrorCrew) -> None:
        """Try one of the uploads that wait for room, now that all is deleted that may be; if it fits, do the others."""
        while self.room.is_full and not self.room.is_sure and not self.stop.requested:
            if (trial := self.room.try_one()) is None:
                return
            await self._perform(crew, self.feed.begun(self._jobs([trial])), PUBLISHING_OVERLAP)
        if not self.room.is_full:
            await self._perform(crew, self.feed.begun(self._jobs(self.room.resumed())), PUBLISHING_OVERLAP)

    def _tell_room(self) -> None:
        """Tell what found no room, and how much was not tried for that."""
        tried, untried = self.room.left()
        for failed in tried:
            self._record_outcome(failed)
        if untried and not self.stop.requested:
            for change in untried:
                self.report.not_tried(change)
            self.report.warn(f"the site has no room left: {plural(len(untried), 'file')} not tried in this pass")

    async def _send_doubles(self, crew: MirrorCrew) -> None:
        """Send what the site may take for what is there by now."""
        doubles, self.doubles = self.doubles, []
        await self._perform(crew, self.feed.begun(self._jobs(doubles)))

    async def _set_modes(self, crew: MirrorCrew) -> None:
        modes = [change for change in self.modes if not self.gates.is_unmade(change.entry.path)]
        self.modes.clear()
        await self._perform(crew, self.feed.begun(self._jobs(modes)), QUICK_OVERLAP)

    def _likely_moves(self) -> Iterator[Change]:
        """Yield the moves whose origin is gone indeed and wanted once; what is left is sent."""
        taken: set[str] = set()
        for move in self.moves:
            origin = move.held.path
            if origin in taken or not any(each in self.removal.gone for each in [*paths.lineage(origin), origin]):
                yield SendFile(move.entry, None, "new")
            else:
                taken.add(origin)
                yield move

    async def _publish_again(self, entries: Iterable[Entry]) -> AsyncGenerator[Item, None]:
        """Publish entries that the site does not hold, folders with all below them."""
        for entry in entries:
            held = None if entry.is_folder else await self.offload(self.state.held, entry.path)
            listing = Listing(paths.parent(entry.path), (entry,))
            marks = self.examination.marks(listing.folder)
            plan = plan_folder(listing, [held] if held else (), perms=self.settings.perms, marks=marks)
            async with aclosing(self.feed.begun(await self._take_plan(plan))) as begun:
                async for job in begun:
                    yield job
            if entry.is_folder:
                async with aclosing(self._publish(entry.path)) as items:
                    async for item in items:
                        yield item

    async def _make_missing(self, crew: MirrorCrew, missing: set[str]) -> None:
        """Make folders that somebody removed from the site, and send again what they held."""
        self.voided |= missing
        self.gates.forget(missing)
        entries = []
        for folder in sorted(missing):
            self.report.note(f"the folder {folder} is gone from the site: it is made again")
            await self.offload(self.state.void, folder)
            if (entry := look(self.root, folder)) and entry.is_folder:
                entries.append(entry)
        await self._perform(crew, self._publish_again(entries), PUBLISHING_OVERLAP)

    # Remove.

    async def _remove(self, crew: MirrorCrew) -> None:
        """Remove what is gone from the source: files, then folders deepest first, within the guards."""
        if not self.settings.delete:
            for swap in self.swaps:
                detail = "something of another kind has this name on the site, and --no-delete keeps it"
                self.report.failure(Failure(swap.entry.path, Problem.NOT_TRIED, detail))
            return
        if not self.settings.allow_unmounted:
            self.removal.unmounted += await self.offload(self.root.lost_mounts)
        files, folders = await self.removal.candidates(swap.held for swap in self.swaps)
        if not (files or folders) or not await self.removal.is_allowed(files):
            return
        if not await self.removal.is_of_this_source(self.root):
            return
        self.at_risk += await self.removal.doubt_twins(self.root, files)
        why = "gone from the source"
        await self._perform(crew, self._removals([RemoveFile(held, why) for held in files]), QUICK_OVERLAP)
        folders.sort(key=_depth, reverse=True)
        at_once = 1  # the first one finds out for all what comes of a removal, if that is not known
        for _, level in groupby(folders, _depth):
            empty = [RemoveFolder(held, why) for held in level if self.removal.may_go(held)]
            while empty:
                await self._perform(crew, self._removals(empty[:at_once]), QUICK_OVERLAP)
                empty, at_once = empty[at_once:], len(folders)

    async def _removals(self, removals: Sequence[RemoveFile | RemoveFolder]) -> AsyncGenerator[Item, None]:
        """Yield the jobs that delete something, for as long as the source is the folder that the pass has scanned."""
        for start in range(0, len(removals), BEGUN_AT_ONCE):
            if not await self.removal.is_of_this_source(self.root):
                return
            async with aclosing(self.feed.begun(self._jobs(removals[start : start + BEGUN_AT_ONCE]))) as begun:
                async for job in begun:
                    yield job


async def _each(items: Iterable[Item]) -> AsyncGenerator[Item, None]:
    for each in items:
        yield each


def _some(told: tuple[str, ...]) -> str:
    """Return as many names or lines as anybody wants to read, none at full length."""
    more = f" and {len(told) - NAMES_TOLD:,} more" if len(told) > NAMES_TOLD else ""
    return ", ".join(each[:LONGEST_NAME] for each in told[:NAMES_TOLD]) + more


def _is_kept_back(folder: str, start: str, swapped: str) -> bool:
    """Tell whether a folder takes the place of a file that is still there, and its turn comes later."""
    return paths.is_inside(folder, swapped) and not paths.is_inside(start, swapped)


def _depth(entry: Entry) -> int:
    return entry.path.count("/")
