"""Makes jobs of changes, and hands them on once their folders are on the site; those that wait hold up no others."""

import secrets
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Iterator
from itertools import chain

from async_mirror.crew.ledger import DEATHS, EXCUSES
from async_mirror.model import odd_names, paths
from async_mirror.model.change import (
    TRIES_PER_ATTEMPT,
    Change,
    Job,
    MakeFolder,
    Move,
    RemoveFile,
    RemoveFolder,
    SendFile,
    path_of,
)
from async_mirror.model.outcome import Failure, Problem
from async_mirror.model.settings import Existing
from async_mirror.model.temporary_names import IN_PLACE
from async_mirror.sync.context import Context
from async_mirror.sync.mirror import shape_of_temporaries, takes_for_one

BEGUN_AT_ONCE = 256
MOST_KEPT_BACK = 4096
"""How many jobs may wait for their folders before the scan waits with them."""
_DOUBLE = SendFile | MakeFolder
"""Changes that may have a double."""


class Jobs:
    """Makes jobs of changes: numbers them, and tells of those that cannot be carried out."""

    def __init__(self, context: Context) -> None:
        """Begin with no job made."""
        self.made = 0
        self._token = secrets.token_hex(4)
        self._mirror = context.mirror
        self._report = context.report
        self._site = context.site
        self._gates = context.gates
        self._room = context.room

    def of(self, changes: Iterable[Change]) -> list[Job]:
        """Return a job for each change that may be made now."""
        settings = self._mirror.settings
        tries = TRIES_PER_ATTEMPT * (self._mirror.patience.retries + DEATHS + EXCUSES)
        shapes = 1 << shape_of_temporaries(self._mirror)
        if settings.in_place:
            tries, shapes = 0, shapes | IN_PLACE * (settings.existing is Existing.OVERWRITE)
        jobs = []
        for change in changes:
            path = path_of(change)
            if path in self._site.unsettled or (isinstance(change, Move) and self._brings_doubt(change)):
                continue
            if not self._room.takes(change):
                self._room.wait(change)
                continue
            if isinstance(change, SendFile):
                change = self._site.explained(change)  # noqa: PLW2901
            self.made += 1
            makes = isinstance(change, SendFile) or not isinstance(change, RemoveFile | RemoveFolder)
            jobs.append(Job(change, f"{self._token}{self.made:x}z", tries, shapes * makes))
            self._gates.shut(change)
            self._report.planned(change)
        return jobs

    def _brings_doubt(self, move: Move) -> bool:
        """Tell whether a rename would take along what could not be looked at: then it waits for the next pass."""
        if not any(paths.is_inside(each, move.held.path) for each in self._site.unsettled):
            return False
        self._report.not_tried(move)
        self._gates.open(move, made=False)
        return True

    def can_be_sent(self, change: Change) -> bool:
        """Tell whether a command can name a path; report it if not."""
        reason = odd_names.refusal(paths.split(path_of(change))[1])
        if reason:
            self._report.failure(Failure(path_of(change), Problem.UNSENDABLE, reason), change)
            self._gates.open(change, made=False)
        return reason is None

    def can_be_told_apart(self, change: Change) -> bool:
        """Tell whether the site has a name of its own for a path, as far as is known; report it if not."""
        double = change.double if isinstance(change, _DOUBLE) else ""
        if not double or not takes_for_one(self._mirror, path_of(change), double):
            return True
        self._report.failure(Failure(path_of(change), Problem.SAME_NAME, f"the other one is {double}"), change)
        self._gates.open(change, made=False)
        return False


class Feed:
    """Notes jobs as pending before they are handed on."""

    def __init__(self, context: Context) -> None:
        """Begin with nothing kept back."""
        self._journal = context.state.journal
        self._gates = context.gates
        self._site = context.site
        self._report = context.report
        self._waiting: deque[Job] = deque()
        self._untried: list[Job] = []
        self._kept_back: dict[str, list[Job]] = {}

    async def begun(self, jobs: list[Job], *, all_of_them: bool = True) -> AsyncGenerator[Job, None]:
        """Note jobs, some at a time, and yield each whose folder is there; then those that were kept back before.

        If not `all_of_them`, some may be kept back for the next call. What is not asked for any more is forgotten.
        """
        finished = False
        try:
            for start in range(0, len(jobs), BEGUN_AT_ONCE):
                some = jobs[start : start + BEGUN_AT_ONCE]
                await self._journal.begin(some)
                self._waiting.extend(some)
                for job in self._ready():
                    yield job
                await self._abandon_untried()
            while self._count() > (0 if all_of_them else MOST_KEPT_BACK):
                self._waiting.extend(self._released())
                if not self._waiting:
                    await self._gates.opening()
                for job in self._ready():
                    yield job
                await self._abandon_untried()
            finished = True
        finally:
            if not finished:
                await self.give_up()

    async def give_up(self) -> None:
        """Forget what is kept back, and what waits for its turn."""
        jobs = [*self._waiting, *self._untried, *chain.from_iterable(self._kept_back.values())]
        self._waiting.clear()
        self._untried.clear()
        self._kept_back.clear()
        if jobs:
            await self._journal.abandon(jobs)

    async def _abandon_untried(self) -> None:
        untried, self._untried = self._untried, []
        if untried:
            await self._journal.abandon(untried)

    def _ready(self) -> Iterator[Job]:
        """Yield what may be done now, also of what was kept back; keep the rest back."""
        waiting = self._waiting
        while waiting:
            if self._kept_back:
                waiting.extend(self._released())
            job = waiting.popleft()
            change = job.change
            folder = paths.parent(path_of(change))
            if shut := self._gates.shut_above(folder) or self._shut_double(change):
                self._kept_back.setdefault(shut, []).append(job)
            elif self._gates.is_lacking(folder):
                self._untried.append(job)
                self._not_tried(change)
            else:
                asking = self._site.asking(change)
                yield job if asking is change else job._replace(change=asking)

    def _shut_double(self, change: Change) -> str:
        """Return the folder that may be the same to the site, while that is being made."""
        double = change.double if isinstance(change, MakeFolder) else ""
        return double if double and self._gates.is_shut(double) else ""

    def _released(self) -> list[Job]:
        """Take out what was kept back for folders that are not being made any more."""
        opened = [folder for folder in self._kept_back if not self._gates.is_shut(folder)]
        return list(chain.from_iterable(self._kept_back.pop(folder) for folder in opened))

    def _count(self) -> int:
        return sum(map(len, self._kept_back.values()))

    def _not_tried(self, change: Change) -> None:
        """Tell of a change whose folder never is there, unless it is made again."""
        path = path_of(change)
        self._report.finished(change, done=False)
        if not any(paths.is_inside(path, each) for each in self._site.newly_missing):
            self._report.not_tried(change)
        self._gates.open(change, made=False)
