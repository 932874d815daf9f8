"""What a lane does with a session: opens it, performs items on it, judges errors. Picklable; knows no schedule."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, assert_never

from async_mirror.crew.far import Performed, Verdict
from async_mirror.jobs import compare, recover
from async_mirror.jobs.apply import Progress, Publisher
from async_mirror.jobs.compare import Compare, Compared
from async_mirror.jobs.recover import Settled
from async_mirror.model.change import Job, Outcome, Pending, Problem
from async_mirror.model.escape import shown
from async_mirror.model.facts import Fact, Facts
from async_mirror.model.secret import Secret
from async_mirror.model.site import Site
from async_mirror.remote.errors import ConnectionRefused, LoginFailed, SiteUnusable
from async_mirror.remote.session import Connect, RootedSession

Item = Job | Compare | Pending
Result = Outcome | Compared | Settled


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

    def lost(self, item: Item, previous: Answer | None, what: str) -> Answer | None:
        """Return what stands for an attempt that nobody heard of again, for the one that follows it."""
        if not isinstance(item, Job):
            return previous
        before = previous.result if previous else None
        outcome = self.publisher.lost(item, before if isinstance(before, Outcome) else None, what)
        return Answer(outcome, previous.root if previous else "", made_root=False)

    async def perform(
        self, session: RootedSession, item: Item, previous: Answer | None, progress: Progress
    ) -> Performed[Answer]:
        """Perform one item of whatever kind."""
        result = await self._result(session, item, previous, progress)
        failure = result.failure
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
            case Pending():
                progress.left()
                return await recover.settle(session, item)
            case Job():
                before = previous.result if previous else None
                return await self.do(session, item, before if isinstance(before, Outcome) else None, progress)
            case _ as never:
                assert_never(never)

    async def do(self, session: RootedSession, job: Job, before: Outcome | None, progress: Progress) -> Outcome:
        """Carry out a job."""
        return await self.publisher.perform(session, job, before, progress)
