"""What a lane does with a session: opens it, performs items on it, judges errors. Picklable; knows no schedule."""

from collections.abc import Collection, Coroutine, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, ClassVar, NamedTuple, assert_never

from async_mirror.crew.work import Performed, Progress, Verdict
from async_mirror.jobs import adopt, recover
from async_mirror.jobs.adopt import Compare, Compared, Equal
from async_mirror.jobs.attempt import Publisher
from async_mirror.jobs.recover import Recover, Recovered, Settled
from async_mirror.model import odd_names
from async_mirror.model.change import Job, MakeFolder, Move, SendFile, path_of
from async_mirror.model.escape import shown
from async_mirror.model.facts import Fact, Facts
from async_mirror.model.outcome import Done, Failed, Failure, InDoubt, Outcome, Problem, Skipped, Unmanaged
from async_mirror.model.paths import is_plain, split
from async_mirror.model.secret import Secret
from async_mirror.model.site import Site
from async_mirror.remote.errors import ConnectionRefused, LoginFailed, SiteUnusable
from async_mirror.remote.session import Connect, RootedSession

Item = Job | Compare | Recover
Result = Outcome | Compared | Recovered

_NAMING = SendFile | MakeFolder | Move
"""The changes after which there is a name that was not there."""


ROOT, PLACE = "root", "place"
"""The name of the fact where a session was after login."""


class WrongSite(SiteUnusable):
    """The site's root is not the one that the state was made with, or another mirror's."""

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.advice = advice


class Answer(NamedTuple):
    """A result, the root of the session that it was had on, and whether that session made it."""

    result: Result
    root: str
    made_root: bool


@dataclass(frozen=True)
class Hands:
    """Does the work of a pass. `expected_root` is where the state was made, as it is shown, if that is known."""

    connect: Connect
    site: Site
    password: Secret
    timeout_seconds: float
    publisher: Publisher
    create_root: bool
    expected_root: str
    facts: Facts = field(default_factory=Facts)
    is_dry: ClassVar[bool] = False

    async def open(self) -> RootedSession:
        """Open a session, and see that it is where it should be."""
        session = await self.connect(
            self.site,
            self.password,
            facts=self.facts,
            timeout_seconds=self.timeout_seconds,
            create_root=self.create_root,
        )
        if session.root:
            for name, value in ((PLACE, session.place), (ROOT, session.root)):
                self.facts.find(Fact(f"account {self.site.account}", name, value, 0.0))
        if self.expected_root and session.root and shown(session.root) != self.expected_root:
            await session.close()
            raise WrongSite(
                f"{self.site.shown} is now the folder {shown(session.root)} of the server, and was"
                f" {self.expected_root} before",
                "name the old folder in the destination, or use another --state-dir for a new mirror",
            )
        return session

    def judge(self, error: Exception) -> Verdict:
        """Say what an error of `open` means for the crew."""
        if isinstance(error, ConnectionRefused):
            return Verdict.REFUSED
        return Verdict.FATAL if isinstance(error, LoginFailed | SiteUnusable) else Verdict.BROKEN

    def clash(self, item: Item, other: Item) -> bool:
        """Tell whether one would hold up the other: nothing is written on a session while a file is on its way.

        What a folder holds waits for that. Names are tried with several commands, which nothing is to come between.
        """
        makes = isinstance(item, Job) and isinstance(item.change, MakeFolder)
        if makes and isinstance(other, Job) and isinstance(other.change, SendFile):
            return True
        return self._is_tried(item) or self._is_tried(other)

    def _is_tried(self, item: Item) -> bool:
        """Tell whether it is tried first whether the site keeps the name."""
        if not isinstance(item, Job) or not isinstance(item.change, _NAMING):
            return False
        traits = odd_names.odd_traits(split(item.change.entry.path)[1])
        return bool(traits) and not traits <= odd_names.kept_anywhere(self.facts, self.site.account)

    def lost(self, item: Item, previous: Answer | None, what: str) -> Answer | None:
        """Return what stands for an attempt without a result, for the one that follows it."""
        if not isinstance(item, Job):
            return previous
        from async_mirror.jobs.apply import lost  # noqa: PLC0415 - a pass in which nothing changed needs none of that

        before = previous.result if previous else None
        outcome = lost(self.publisher, item, before if isinstance(before, Outcome) else None, what)
        return Answer(outcome, previous.root if previous else "", made_root=False)

    async def perform(
        self, session: RootedSession, item: Item, previous: Answer | None, progress: Progress
    ) -> Performed[Answer]:
        """Perform one item of whatever kind."""
        result = _refused(item) or await self._result(session, item, previous, progress)
        answer = Answer(result, session.root, session.made_root)
        failure = failure_of(result)
        if failure is None:
            return Performed(answer)
        return Performed(
            answer,
            again=failure.transient,
            excused=failure.problem in {Problem.TOO_QUICK, Problem.PERHAPS_TOO_QUICK},
            crowded=failure.problem is Problem.NO_PORT,
        )

    def learned(self, since: int) -> Sequence[Fact]:
        """Return what was found out about the server since."""
        return self.facts.log[since:]

    def learn(self, found: Sequence[Fact]) -> None:
        """Take over what other hands found out about it."""
        self.facts.learn(found)

    def _result(
        self, session: RootedSession, item: Item, previous: Answer | None, progress: Progress
    ) -> Coroutine[Any, Any, Result]:
        """Return what comes to the result."""
        match item:
            case Job():
                before = previous.result if previous else None
                return self.do(session, item, before if before and isinstance(before, Outcome) else None, progress)
            case Compare():
                progress.left()
                return self.compare(session, item, previous, progress)
            case Recover():
                progress.left()
                return self.recover(session, item, previous)
            case _ as never:
                assert_never(never)

    async def compare(
        self, session: RootedSession, item: Compare, previous: Answer | None, progress: Progress
    ) -> Compared:
        """Compare a folder; where times decide, no file is read back once that has failed."""
        equal = Equal(self.publisher, session, progress.may_do, dry=self.is_dry)
        return await adopt.compare(session, item, None if previous and equal.by_time else equal)

    async def recover(self, session: RootedSession, item: Recover, previous: Answer | None) -> Recovered:
        """Look what became of paths that a run left half-done."""
        before = previous.result if previous else None
        known = before if isinstance(before, Recovered) else None
        return await recover.settle_all(session, item, known, in_place=self.publisher.in_place)

    def do(
        self, session: RootedSession, job: Job, before: Outcome | None, progress: Progress
    ) -> Coroutine[Any, Any, Outcome]:
        """Carry out a job."""
        from async_mirror.jobs.apply import perform  # noqa: PLC0415 - a pass without changes needs none of that

        return perform(self.publisher, session, job, before, progress)


def failure_of(result: Result) -> Failure | None:
    """Return what went wrong, if anything did."""
    match result:
        case Done() | Skipped() | Unmanaged():
            return None
        case Failed() | InDoubt() | Compared() | Recovered():
            return result.failure
        case _ as never:
            assert_never(never)


def _refused(item: Item) -> Result | None:
    """Refuse an item with a path that no file of the source can have: a damaged or forged state may name one."""
    if all(map(is_plain, _paths(item))):
        return None
    path = next(path for path in _paths(item) if not is_plain(path))
    failure = Failure(
        path, Problem.NOT_TRIED, "the state contains an invalid path (outside the mirror, or with a line break)"
    )
    match item:
        case Job():
            return Failed(item, failure)
        case Compare():
            return Compared(item.folder, failure=failure)
        case Recover():
            return Recovered(tuple(Settled(each, failure=failure._replace(path=each.path)) for each in item.pending))
        case _ as never:
            assert_never(never)


def _paths(item: Item) -> Collection[str]:
    """Return the paths of an item that may become commands."""
    match item:
        case Job():
            change = item.change
            return (change.entry.path, change.held.path) if isinstance(change, Move) else (path_of(change),)
        case Compare():
            return item.folder, *(entry.path for entry in item.held)
        case Recover():
            return tuple(chain.from_iterable((each.path, each.twin, each.origin) for each in item.pending))
        case _ as never:
            assert_never(never)
