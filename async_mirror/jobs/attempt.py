"""One attempt at one job: what it has touched on the site, what it may leave there, how it ends."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import assert_never

from async_mirror.crew.work import Progress
from async_mirror.model import paths, temporary_names
from async_mirror.model.candidates import Candidates, added
from async_mirror.model.change import Deed, Job, SetAttributes, Shapes, path_of
from async_mirror.model.entry import Entry
from async_mirror.model.outcome import (
    Done,
    Doubt,
    Failed,
    Failure,
    InDoubt,
    Left,
    Outcome,
    Problem,
    Skipped,
    Unmanaged,
)
from async_mirror.model.settings import Existing, ExistingEqual
from async_mirror.remote.errors import CannotBeSent, ConnectionBroken, Refusal
from async_mirror.remote.session import RemoteSession


@dataclass(frozen=True, slots=True)
class Publisher:
    """What all jobs of a mirror share: source, whose temporaries they are, whether modes are mirrored.

    `piece` is the most bytes to send without asking whether more may be sent; 0 where there is no limit. `shape` is
    that of all temporaries; None if it is to be found out which one the server takes. `existing` says what is done
    about files of others, `existing_equal` which of them are adopted. Files are written `in_place` if that is asked
    for; what a session that was lost may still write there is waited for, `timeout_seconds` at the most.
    """

    source: bytes
    state_id: str
    perms: bool = True
    piece: int = 0
    shape: int | None = None
    existing: Existing = Existing.OVERWRITE
    in_place: bool = False
    timeout_seconds: float = 60.0
    existing_equal: ExistingEqual = ExistingEqual.TIME


class Temporaries:
    """What an attempt has, or an earlier one may have left, beside the path of its job.

    `left_behind` names the temporary that may be on the site; if it `holds` a version, all bytes of that one were sent.
    `strays` are temporaries of attempts without a result, the `box` is the folder of a trial. No name is used
    before the journal has its shape.
    """

    def __init__(self, publisher: Publisher, session: RemoteSession, job: Job, left: Left, progress: Progress) -> None:
        """Go on from what was left."""
        self.tries = left.tries
        self.shapes = job.shapes | left.shapes
        self.shape = session.shape if publisher.shape is None else publisher.shape
        self.left_behind = left.temporary
        self.holds = left.holds
        self.strays = left.strays
        self.box = left.box
        self._publisher = publisher
        self._session = session
        self._job = job
        self._path = path_of(job.change)
        self._progress = progress

    @property
    def are_left(self) -> bool:
        """True if any may be on the site."""
        return bool(self.left_behind or self.strays or self.box)

    async def drop(self) -> None:
        """Remove the temporary that may be on the site."""
        if self.left_behind:
            await self._session.remove_files([self.left_behind])
            self.left_behind = ""
            self.holds = None

    # Shapes of names.

    @property
    def shapes_to_try(self) -> list[int]:
        """The present shape of temporary names, then the others, unless it was chosen."""
        others = temporary_names.FOUND_OUT if self._publisher.shape is None else ()
        return [self.shape, *(each for each in range(len(others)) if each != self.shape)]

    async def note(self, bit: int) -> None:
        """See that it is noted for good in which shape a temporary may be that is to be made; each has its bit."""
        if not self.shapes & bit:
            self.shapes |= bit
            await self._progress.keep(Shapes(self._path, self.shapes))

    # Names.

    def next(self) -> str:
        """Return the path of another temporary."""
        self.tries += 1
        return self._beside(self._job.temporary_token(self.tries - 1))

    @property
    def latest(self) -> str:
        """The path of the latest temporary, in the present shape."""
        return self._beside(self._job.temporary_token(self.tries - 1))

    @property
    def spare(self) -> str:
        """The path of a temporary that is not there now: unlike what is put aside, it never gets the final name."""
        last = self._job.tries - 1
        return self._beside(self._job.temporary_token(last if self.tries <= last else 0))

    def aside(self) -> str:
        """Return the path that an old version gets while the new one takes its place."""
        return self._beside(self._job.aside_token)

    @property
    def asides(self) -> list[str]:
        """All paths that an old version may have got."""
        token = self._job.aside_token
        return [self._beside(token, each) for each in temporary_names.shapes_in(self.shapes)]

    def probe_box(self, shape: int) -> str:
        """Return the path of the folder in which it is tried whether the site keeps odd names."""
        return self._beside(self._job.probe_token, shape)

    def _beside(self, token: str, shape: int | None = None) -> str:
        folder, name = paths.split(self._path)
        of_shape = self.shape if shape is None else shape
        return paths.join(folder, temporary_names.temporary(self._publisher.state_id, token, of_shape, name))


class Attempt:
    """One attempt at one job.

    `doubts` has what may be at each path that was touched and not confirmed, in this attempt or one before. What
    `progress` is to keep is an Entry that may be on the site beside the one that was scanned, or Shapes of temporaries.
    """

    def __init__(
        self, publisher: Publisher, session: RemoteSession, job: Job, previous: Outcome | None, progress: Progress
    ) -> None:
        """Go on from where the attempt before ended."""
        left = left_by(previous)
        self.publisher = publisher
        self.session = session
        self.job = job
        self.path = path_of(job.change)
        self.progress = progress
        self.is_first = previous is None
        self.temporaries = Temporaries(publisher, session, job, left, progress)
        self.unanswered = left.unanswered
        self.replaces = left.replaces
        self.doubts = dict(doubts_of(previous))
        self.failure = previous.failure if previous and isinstance(previous, Failed | InDoubt) else None
        self.bytes_sent = 0

    # What is touched.

    def touching(self, *changes: tuple[str, Entry | None, Entry | None]) -> "_Touching":
        """Touch paths, each given with what it held and what it will hold; where that is refused, all is as it was."""
        return _Touching(self, changes)

    def confirm(self, path: str, version: Entry | None) -> None:
        """Note that just this is at a path now."""
        self.doubts[path] = Candidates((version,))

    # How it ends.

    def done(self, held: Entry | None, *notes: str, change: Deed | None = None) -> Done:
        """Tell that it was done, perhaps by another change than the one that was asked for."""
        told = tuple(filter(None, notes))
        left = self.doubts.items()
        doubts = tuple([Doubt(path, each) for path, each in left if path != self.path and not each.are_one])
        return Done(self.job, change or self.job.change, held, told, self.bytes_sent, self._is_late, doubts)

    def unmanaged(self, why: str) -> Unmanaged:
        """Tell that what is there is not ours."""
        return Unmanaged(self.job, why, self.bytes_sent, unanswered=self._is_late)

    def skipped(self, why: str) -> Outcome:
        """Tell that nothing is to be done; unless it is not known what an attempt before this one did."""
        if self.is_in_doubt:
            failure = self.failure or Failure(self.path, Problem.BUSY, why)
            return self._failed(failure._replace(transient=False))
        return Skipped(self.job, why, self.bytes_sent)

    def failed(self, problem: Problem, detail: str, *, transient: bool = False, missing: str | None = None) -> Outcome:
        """Tell of a failure that left the site as it was before this attempt."""
        return self._failed(Failure(self.path, problem, detail, transient), missing)

    def _failed(self, failure: Failure, missing: str | None = None) -> Outcome:
        if self.is_in_doubt:
            return InDoubt(self.job, failure, self._doubts, missing, self._left, self.bytes_sent)
        return Failed(self.job, failure, missing, self._left, self.bytes_sent)

    async def refused(self, refusal: Refusal) -> Outcome:
        """Clean up after the server said no; find out whether the folder is missing."""
        missing = None
        perhaps_full = self._without_names(refusal.reply) if refusal.perhaps_full else ""
        try:
            await self.temporaries.drop()
            if not refusal.transient:
                missing = await self.missing_folder()
        except (Refusal, ConnectionBroken):
            pass
        problem = Problem.NO_SPACE if refusal.no_space else Problem.REFUSED
        if isinstance(refusal, CannotBeSent):
            problem = Problem.UNSENDABLE
        transient = refusal.transient and not refusal.no_space
        return self._failed(Failure(self.path, problem, refusal.told, transient, perhaps_full), missing)

    def _without_names(self, reply: str) -> str:
        """Return what was said of a temporary as of any other; the name of a folder may be a common word."""
        folder, name = paths.split(self.temporaries.left_behind)
        for each in filter(None, (self.temporaries.left_behind, name)):
            reply = reply.replace(each, "")
        return reply.replace(f"/{folder}", "/") if folder else reply

    async def missing_folder(self) -> str | None:
        """Return the topmost folder above the path that is not there, if any."""
        change = self.job.change
        itself = isinstance(change, SetAttributes) and change.entry.is_folder
        for folder in [*paths.lineage(self.path), *([self.path] if itself else [])]:
            if await self.session.look(folder) is None:
                return folder
        return None

    def broken(self, error: ConnectionBroken) -> Outcome:
        """Tell of a connection that broke: what it was sent last may be done, or not, or be done later."""
        self.unanswered = self.unanswered or not error.by_server
        failure = Failure(self.path, error.problem, error.told, transient=True)
        return InDoubt(self.job, failure, self._doubts, None, self._left, self.bytes_sent)

    @property
    def is_in_doubt(self) -> bool:
        """True if the site has to be looked at."""
        return bool(self.doubts) or self._is_late

    @property
    def _is_late(self) -> bool:
        """True if there may be a temporary, now or once the server does what it was sent."""
        return self.unanswered or self.temporaries.are_left

    @property
    def _doubts(self) -> tuple[Doubt, ...]:
        return tuple(Doubt(path, candidates) for path, candidates in self.doubts.items())

    @property
    def _left(self) -> Left:
        ours = self.temporaries
        left = (ours.left_behind, ours.holds, ours.tries, ours.shapes, ours.strays, ours.box)
        return Left(*left, unanswered=self.unanswered, replaces=self.replaces)


class _Touching:
    """What an attempt touches; where that is refused, all is as it was."""

    def __init__(self, attempt: Attempt, changes: Iterable[tuple[str, Entry | None, Entry | None]]) -> None:
        self._attempt = attempt
        self._before = attempt.doubts
        attempt.doubts = dict(self._before)
        for path, old, new in changes:
            attempt.doubts[path] = added(attempt.doubts.get(path) or Candidates((old,)), [new])

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind and issubclass(kind, Refusal):
            self._attempt.doubts = self._before


NOTHING_LEFT = Left()


def left_by(outcome: Outcome | None) -> Left:
    """Return what an attempt left for the next one."""
    if outcome is None:
        return NOTHING_LEFT
    match outcome:
        case Failed() | InDoubt():
            return outcome.left
        case Done() | Skipped() | Unmanaged():
            return NOTHING_LEFT
        case _ as never:
            assert_never(never)


def doubts_of(outcome: Outcome | None) -> tuple[Doubt, ...]:
    """Return what an attempt left in doubt."""
    return outcome.doubts if isinstance(outcome, InDoubt) else ()
