"""Hands jobs on once their folders are on the site; those that have to wait hold up no others."""

from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from itertools import chain

from async_mirror.model import paths
from async_mirror.model.change import Change, Job, MakeFolder, path_of
from async_mirror.multi import Offload
from async_mirror.state.store import State
from async_mirror.sync.folder_gates import Gates

BEGUN_AT_ONCE = 256
MOST_KEPT_BACK = 4096
"""How many jobs may wait for their folders before the scan waits with them."""


class Feed:
    """Notes jobs as pending before they are handed on, each as `asking` returns its change.

    `not_tried` is told of those whose folder never is there.
    """

    def __init__(
        self,
        state: State,
        offload: Offload,
        gates: Gates,
        *,
        asking: Callable[[Change], Change],
        not_tried: Callable[[Change], None],
    ) -> None:
        """Begin with nothing kept back."""
        self._state = state
        self._offload = offload
        self._gates = gates
        self._asking = asking
        self._not_tried = not_tried
        self._kept_back: dict[str, list[Job]] = {}

    async def begun(self, jobs: list[Job], *, all_of_them: bool = True) -> AsyncGenerator[Job, None]:
        """Note jobs, some at a time, and yield each whose folder is there; then those that were kept back before.

        If not `all_of_them`, some may be kept back for the next call. What is not asked for any more is forgotten.
        """
        finished = False
        try:
            for start in range(0, len(jobs), BEGUN_AT_ONCE):
                some = jobs[start : start + BEGUN_AT_ONCE]
                await self._offload(self._state.begin, some)
                async with aclosing(self._ready(some)) as ready:
                    async for job in ready:
                        yield job
            while self._count() > (0 if all_of_them else MOST_KEPT_BACK):
                if not (released := self._released()):
                    await self._gates.opening()
                async with aclosing(self._ready(released)) as ready:
                    async for job in ready:
                        yield job
            finished = True
        finally:
            if not finished:
                await self.give_up()

    async def give_up(self) -> None:
        """Forget what is kept back."""
        jobs = list(chain.from_iterable(self._kept_back.values()))
        self._kept_back.clear()
        if jobs:
            await self._offload(self._state.abandon, jobs)

    async def _ready(self, jobs: Iterable[Job]) -> AsyncGenerator[Job, None]:
        """Yield what may be done now, also of what was kept back; keep the rest back."""
        waiting = deque(jobs)
        untried: list[Job] = []
        try:
            while waiting:
                waiting.extend(self._released())
                job = waiting.popleft()
                folder = paths.parent(path_of(job.change))
                if shut := self._gates.shut_above(folder) or self._shut_double(job.change):
                    self._kept_back.setdefault(shut, []).append(job)
                elif self._gates.is_lacking(folder):
                    untried.append(job)
                    self._not_tried(job.change)
                else:
                    yield job._replace(change=self._asking(job.change))
        finally:
            if waiting or untried:
                await self._offload(self._state.abandon, [*waiting, *untried])

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
