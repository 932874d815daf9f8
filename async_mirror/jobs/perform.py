"""What a lane does with a session: opens it, performs items on it, judges errors. Picklable; knows no schedule."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, assert_never

from async_mirror.crew.work import Performed, Verdict
from async_mirror.jobs import apply, compare, recover
from async_mirror.jobs.attempt import Progress, Publisher
from async_mirror.jobs.compare import Compare, Compared
from async_mirror.jobs.recover import Recover, Recovered, Settled
from async_mirror.model import odd_names
from async_mirror.model.change import Job, MakeFolder, Move, RemoveFile, RemoveFolder, SendFile, SetAttributes, path_of
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


class WrongSite(SiteUnusable):
    """The site's root is not the one that the state was made with."""

    advice = ""


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

    async def open(self) -> RootedSession:
        """Open a session, and see that it is where it ought to be."""
        session = await self.connect(
            self.site,
            self.password,
            facts=self.facts,
            timeout_seconds=self.timeout_seconds,
            create_root=self.create_root,
        )
        if self.expected_root and session.root and shown(session.root) != self.expected_root:
            await session.close()
            raise WrongSite(
                f"{self.site.shown} is now the folder {shown(session.root)} of the server; what was mirrored is in"
                f" {self.expected_root}. Name that one, or use another --state-dir for a new mirror"
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
        sends = isinstance(other, Job) and isinstance(other.change, SendFile)
        return (makes and sends) or self._is_tried(item) or self._is_tried(other)

    def _is_tried(self, item: Item) -> bool:
        """Tell whether it is tried first whether the site keeps the name."""
        if not isinstance(item, Job) or isinstance(item.change, SetAttributes | RemoveFile | RemoveFolder):
            return False
        traits = odd_names.odd_traits(split(path_of(item.change))[1])
        return bool(traits) and not traits <= odd_names.kept(self.facts, self.site.account)

    def lost(self, item: Item, previous: Answer | None, what: str) -> Answer | None:
        """Return what stands for an attempt that nobody heard of again, for the one that follows it."""
        if not isinstance(item, Job):
            return previous
        before = previous.result if previous else None
        outcome = apply.lost(self.publisher, item, before if isinstance(before, Outcome) else None, what)
        return Answer(outcome, previous.root if previous else "", made_root=False)

    async def perform(
        self, session: RootedSession, item: Item, previous: Answer | None, progress: Progress
    ) -> Performed[Answer]:
        """Perform one item of whatever kind."""
        result = _refused(item) or await self._result(session, item, previous, progress)
        failure = failure_of(result)
        return Performed(
            Answer(result, session.root, session.made_root),
            again=failure is not None and failure.transient,
            excused=failure is not None and failure.problem is Problem.TOO_QUICK,
            crowded=failure is not None and failure.problem is Problem.NO_PORT,
        )

    def learned(self, since: int) -> Sequence[Fact]:
        """Return what was found out about the server since."""
        return self.facts.log[since:]

    def learn(self, found: Sequence[Fact]) -> None:
        """Take over what other hands found out about it."""
        self.facts.learn(found)

    async def _result(self, session: RootedSession, item: Item, previous: Answer | None, progress: Progress) -> Result:
        match item:
            case Compare():
                progress.left()
                return await compare.compare(session, item)
            case Recover():
                progress.left()
                return await self.recover(session, item, previous)
            case Job():
                before = previous.result if previous else None
                return await self.do(session, item, before if isinstance(before, Outcome) else None, progress)
            case _ as never:
                assert_never(never)

    async def recover(self, session: RootedSession, item: Recover, previous: Answer | None) -> Recovered:
        """Look what became of paths that a run left half-done."""
        before = previous.result if previous else None
        return await recover.settle_all(session, item, before if isinstance(before, Recovered) else None)

    async def do(self, session: RootedSession, job: Job, before: Outcome | None, progress: Progress) -> Outcome:
        """Carry out a job."""
        return await apply.perform(self.publisher, session, job, before, progress)


def failure_of(result: Result) -> Failure | None:
    """Return what went wrong, if anything did."""
    match result:
        case Failed() | InDoubt() | Compared() | Recovered():
            return result.failure
        case Done() | Skipped() | Unmanaged():
            return None
        case _ as never:
            assert_never(never)


def _refused(item: Item) -> Result | None:
    """Refuse an item with a path that no file of the source can have: a damaged or forged state may name one."""
    path = next((path for path in _paths(item) if not is_plain(path)), None)
    if path is None:
        return None
    failure = Failure(path, Problem.NOT_TRIED, "the state names a path that leads out of the mirror, or ends a command")
    match item:
        case Job():
            return Failed(item, failure)
        case Compare():
            return Compared(item.folder, failure=failure)
        case Recover():
            return Recovered(tuple(Settled(each, failure=failure._replace(path=each.path)) for each in item.pending))
        case _ as never:
            assert_never(never)


def _paths(item: Item) -> Iterable[str]:
    """Return the paths of an item that may become commands."""
    match item:
        case Job(Move(entry, held)):
            return entry.path, held.path
        case Job(change):
            return (path_of(change),)
        case Compare():
            return item.folder, *(entry.path for entry in item.held)
        case Recover():
            return (path for each in item.pending for path in (each.path, each.twin, each.origin))
        case _ as never:
            assert_never(never)
