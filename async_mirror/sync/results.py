"""What becomes of what a crew has done: told, remembered, learned from. Knows no crew but by what it gives back."""

import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from typing import Any, Generic, TypeVar, assert_never

from async_mirror.crew.work import Finished
from async_mirror.jobs.attempt import doubts_of
from async_mirror.jobs.perform import Answer, Item
from async_mirror.model.change import Change, Job, MakeFolder, Move, RemoveFolder, SendFile, path_of
from async_mirror.model.escape import shown
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
from async_mirror.state.database import StateError
from async_mirror.sync.context import Context
from async_mirror.sync.feed import Feed
from async_mirror.sync.mirror import MirrorCrew, learn_one_for_two, remember

COMMITTED_AT_ONCE = 256
COMMITTED_EVERY_S = 0.5
_BUILT_UPON = {Move, RemoveFolder}
"""Changes that others may be planned upon: what came of them is remembered at once."""

I = TypeVar("I", bound=Item)  # noqa: E741
R = TypeVar("R")


class Handler(ABC, Generic[I, R]):
    """What is made of the results of one kind of item; what came of an item is of that kind (see `jobs.perform`)."""

    def __init__(self, context: Context) -> None:
        """Begin with nothing to be remembered."""
        self._context = context
        self._report = context.report
        self._state = context.state
        self._site = context.site
        self._committed_at = time.monotonic()

    async def take(self, batch: list[Finished[Any, Any]], failure: Exception | None = None) -> None:
        """Take what has come; a `failure` of the state is told when it ends the pass, and of no item."""
        unbegun: list[I] = []
        results: list[R] = []
        for done in batch:
            if done.error:
                self.cut_short(done.item, "" if isinstance(failure, StateError) else done.error)
            elif done.result is None:
                unbegun.append(done.item)
            else:
                if done.result.made_root or not self._site.has_root:
                    await self._learn_root(done.result)
                results.append(done.result.result)
        await self.record(results, unbegun)

    @abstractmethod
    async def record(self, results: Sequence[R], unbegun: Sequence[I]) -> None:
        """Take results, and items that were not begun."""

    @abstractmethod
    def cut_short(self, item: I, error: str) -> None:
        """Tell of an item that ended without a result, "" for nothing; what was done is not known: it stays pending."""

    async def commit(self) -> None:
        """Remember what is to be remembered; more may follow."""
        self._committed_at = time.monotonic()
        await remember(self._context.mirror, self._context.memory)

    async def close(self) -> None:
        """Take note that no more comes for now."""
        await self.commit()

    @property
    def is_late(self) -> bool:
        """True if what has come is to be remembered now."""
        return time.monotonic() - self._committed_at > COMMITTED_EVERY_S

    def _tell(self, path: str, error: str) -> None:
        if error and not self._context.stop.requested:
            self._report.failure(Failure(path, Problem.INTERNAL, error))

    async def _learn_root(self, answer: Answer) -> None:
        if answer.made_root:
            self._site.listed[""] = True
            self._report.made_root(answer.root or self._context.settings.site.root)
        if answer.root and not self._site.has_root:
            self._site.has_root = True
            await self._state.learn(root=shown(answer.root))


async def perform(crew: MirrorCrew, items: AsyncGenerator[I, None], handler: Handler[I, Any], overlap: int = 1) -> None:
    """Have a crew perform items, and hand what comes of them to its handler as it comes.

    Raises what kept the crew from going on.
    """
    try:
        async with aclosing(crew.run(items, overlap)) as batches:
            async for batch in batches:
                await handler.take(batch, crew.door.failure)
    finally:
        await handler.close()
    if crew.door.failure:
        raise crew.door.failure


class JobResults(Handler[Job, Outcome]):
    """What came of jobs: told once it is confirmed, and remembered some at a time."""

    def __init__(self, context: Context, feed: Feed) -> None:
        """Begin with nothing confirmed."""
        super().__init__(context)
        self._feed = feed
        self._gates = context.gates
        self._room = context.room
        self._confirmed: list[Outcome] = []

    def done(self, wanted: Change, done: Done) -> None:
        """Note what follows from what was done, which may not be what was wanted."""

    def not_done(self, outcome: Failed | InDoubt | Skipped) -> None:
        """Note what follows from what was not done, or may not have been."""

    async def record(self, results: Sequence[Outcome], unbegun: Sequence[Job]) -> None:
        """Remember outcomes if it is time; tell of them."""
        self._confirmed += results
        if self._is_commit_due(results):
            await self.commit()
        if unbegun:
            await self._state.journal.abandon(unbegun)
        for outcome in results:
            self._report.finished(outcome.job.change, done=not isinstance(outcome, Failed | InDoubt))
            for each in self._room.settled(outcome):
                self.tell(each)
        for job in unbegun:
            self._gates.open(job.change, made=False)
            if not self._room.takes(job.change):
                self._report.put_off(job.change)
                self._room.wait(job.change)

    def cut_short(self, item: Job, error: str) -> None:
        """Tell of a job that ended without an outcome."""
        self._report.finished(item.change, done=False)
        self._gates.open(item.change, made=False)
        self._tell(path_of(item.change), error)

    def _is_commit_due(self, outcomes: Iterable[Outcome]) -> bool:
        """Tell whether what was confirmed is to be remembered now: others may build upon it, or it is a good deal.

        Until then it is pending, and would be looked at once more after a kill.
        """
        return (
            len(self._confirmed) >= COMMITTED_AT_ONCE
            or time.monotonic() - self._committed_at > COMMITTED_EVERY_S
            or not _BUILT_UPON.isdisjoint(type(each.job.change) for each in outcomes)
        )

    async def commit(self) -> None:
        """Remember what was confirmed."""
        confirmed, self._confirmed = self._confirmed, []
        if confirmed:
            await self._state.journal.commit(confirmed, time.monotonic())
        await super().commit()

    async def close(self) -> None:
        """Forget what is kept back, and remember what was confirmed."""
        await self._feed.give_up()
        await self.commit()

    def tell(self, outcome: Outcome) -> None:
        """Tell what came of one job, and learn from it."""
        change = outcome.job.change
        match outcome:
            case Done():
                self._report.outcome(outcome)
                self.done(change, outcome)
            case Unmanaged():
                self._report.outcome(outcome)
            case Skipped():
                if outcome.why == UNCOMPARED and isinstance(change, SendFile):
                    self._context.aside.uncompared.append(change)
                else:
                    self._report.outcome(outcome)
                self.not_done(outcome)
            case Failed() | InDoubt():
                self._tell_not_done(outcome)
            case _ as never:
                assert_never(never)
        self._gates.open(change, made=not isinstance(outcome, Failed | InDoubt))

    def _tell_not_done(self, outcome: Failed | InDoubt) -> None:
        if outcome.missing is None or outcome.missing in self._site.voided:
            self._report.outcome(outcome)
        else:
            self._site.missing.add(outcome.missing)
        self._learn_from(outcome.job.change, outcome.failure)
        self._site.in_doubt.update(doubt.path for doubt in doubts_of(outcome))
        self.not_done(outcome)

    def _learn_from(self, change: Change, failure: Failure) -> None:
        if failure.problem is Problem.SAME_NAME and isinstance(change, MakeFolder | SendFile):
            learn_one_for_two(self._context.mirror, path_of(change), change.double)
