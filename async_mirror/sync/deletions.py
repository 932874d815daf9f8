"""The fourth phase of a pass: what is deleted from the source is removed from the site, within the guards."""

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from itertools import groupby

from async_mirror.model import odd_names, paths
from async_mirror.model.candidates import unknown
from async_mirror.model.change import Job, RemoveFile, RemoveFolder, path_of
from async_mirror.model.entry import Entry
from async_mirror.model.outcome import Failed, Failure, InDoubt, Problem, Skipped
from async_mirror.source.look import look
from async_mirror.sync.context import Context
from async_mirror.sync.feed import BEGUN_AT_ONCE, Feed, Jobs
from async_mirror.sync.guards import Guards
from async_mirror.sync.mirror import MirrorCrew
from async_mirror.sync.results import JobResults, perform

REMOVED_AT_ONCE = 8
"""How many removals each connection is given at once."""


class Deletions:
    """What one pass found deleted from the source: files go first, then folders, deepest first."""

    def __init__(self, context: Context, guards: Guards, jobs: Jobs, feed: Feed) -> None:
        """Begin with nothing gone."""
        self.gone: dict[str, Entry] = {}
        self._staying: set[str] = set()
        self._spared: set[str] = set()
        self._context = context
        self._held = context.state.held
        self._guards = guards
        self._jobs = jobs
        self._feed = feed
        self._results = _Results(context, feed, self)

    # What is gone, and what stays nevertheless.

    def spare(self, path: str) -> None:
        """Remove nothing at or below a path that was renamed, or may have been."""
        self.gone.pop(path, None)
        self._spared.add(path)

    def keep_folders_of(self, path: str) -> None:
        """Keep all folders above a path that stays."""
        self._staying.update(paths.lineage(path))

    async def _candidates(self) -> tuple[list[Entry], list[Entry]]:
        """Return the held files and folders that are to go, those that something of another kind replaces among them.

        What was mirrored and is left out now stays, and so do the folders above it; below what was a mount point
        everything stays. What may be on its way back has its turn when it is quiet there.
        """
        files: list[Entry] = []
        folders: list[Entry] = []
        for entry in [*self.gone.values(), *(swap.held for swap in self._context.aside.swaps)]:
            if self._guards.keep_below_mounts(entry.path):
                continue
            if self._context.scope.is_unsettled(entry.path):
                self.keep_folders_of(entry.path)
                continue
            below = await self._held.below(entry.path) if entry.is_folder else []
            for held in [*below, entry]:
                if not self._spared.isdisjoint([*paths.lineage(held.path), held.path]) or (
                    held is not entry and not self._context.selection.includes_with_parents(held)
                ):
                    self.keep_folders_of(held.path)
                else:
                    (folders if held.is_folder else files).append(held)
        return files, folders

    # The phase.

    async def run(self, crew: MirrorCrew) -> None:
        """Remove what is deleted from the source, if all guards let it go."""
        if not self._context.settings.delete:
            self._tell_swaps()
            return
        await self._guards.look_for_lost_mounts()
        files, folders = await self._candidates()
        if not await self._guards.allow(files) or not (files or folders):
            return
        if not await self._guards.is_of_this_source():
            return
        self._context.aside.at_risk += await self._doubt_twins(files)
        why = "deleted from the source"
        await self._remove(crew, [RemoveFile(held, why) for held in files])
        folders.sort(key=_depth, reverse=True)
        at_once = 1  # the first one finds out for all what comes of a removal, if that is not known
        for _, level in groupby(folders, _depth):
            empty = [RemoveFolder(held, why) for held in level if held.path not in self._staying]
            while empty:
                await self._remove(crew, empty[:at_once])
                empty, at_once = empty[at_once:], len(folders)

    def _tell_swaps(self) -> None:
        for swap in self._context.aside.swaps:
            detail = "file/folder conflict on the site: run once without --no-delete"
            self._context.report.failure(Failure(swap.entry.path, Problem.NOT_TRIED, detail))

    async def _doubt_twins(self, files: Iterable[Entry]) -> list[Entry]:
        """Doubt what differs from a removed file in case or Unicode form alone: on some sites the two are one file.

        Returns what the source has of those now, to be sent again.
        """
        at_risk: list[Entry] = []
        for folder, group in groupby(sorted(files), lambda entry: paths.parent(entry.path)):
            removed = {entry.path for entry in group}
            folded = {odd_names.folded(path) for path in removed}
            twins = [
                entry
                for entry in await self._held.in_folder(folder)
                if entry.path not in removed and not entry.is_folder and odd_names.folded(entry.path) in folded
            ]
            if twins:
                await self._held.add(list(map(unknown, twins)))
            at_risk += [entry for twin in twins if (entry := look(self._context.root, twin.path))]
        return at_risk

    async def _remove(self, crew: MirrorCrew, removals: Sequence[RemoveFile | RemoveFolder]) -> None:
        await perform(crew, self._removals(removals), self._results, REMOVED_AT_ONCE)

    async def _removals(self, removals: Sequence[RemoveFile | RemoveFolder]) -> AsyncGenerator[Job, None]:
        """Yield the jobs that delete something, for as long as the source is the folder that the pass has scanned."""
        for start in range(0, len(removals), BEGUN_AT_ONCE):
            if not await self._guards.is_of_this_source():
                return
            async with aclosing(self._feed.begun(self._jobs.of(removals[start : start + BEGUN_AT_ONCE]))) as begun:
                async for job in begun:
                    yield job


class _Results(JobResults):
    """What comes of removals: what stays keeps the folders above it."""

    def __init__(self, context: Context, feed: Feed, deletions: Deletions) -> None:
        super().__init__(context, feed)
        self._deletions = deletions

    def not_done(self, outcome: Failed | InDoubt | Skipped) -> None:
        self._deletions.keep_folders_of(path_of(outcome.job.change))


def _depth(entry: Entry) -> int:
    return entry.path.count("/")
