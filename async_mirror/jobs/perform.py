"""What a lane does with a session: opens it, performs items on it, judges errors. Picklable; knows no schedule."""

from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, assert_never

from async_mirror import survey
from async_mirror.apply import Progress, Publisher
from async_mirror.change import Change, Job, Move, Outcome, Pending, RemoveFile, RemoveFolder, SetAttributes
from async_mirror.entry import Entry
from async_mirror.names import shown
from async_mirror.remote import ConnectionRefused, LoginFailed, Manners, RemoteSession, RootMissing, SiteUnusable
from async_mirror.settings import Site
from async_mirror.source import digest_of
from async_mirror.survey import Compare, Compared, Settled
from async_mirror.workers import Performed, Verdict

Item = Job | Compare | Pending
Result = Outcome | Compared | Settled


class RootedSession(RemoteSession, Protocol):
    """A session that tells where it is."""

    root: str
    """The absolute path of the site's root, "" if the server does not say, or names the password in it."""

    made_root: bool
    """True if the root was not there and this session made it."""


class Connect(Protocol):
    """Opens sessions; see `ftp.connect`."""

    def __call__(
        self, site: Site, password: str, *, manners: Manners, timeout_seconds: float, create_root: bool
    ) -> Awaitable[RootedSession]:
        """Open a session in the site's root."""
        ...


class WrongSite(SiteUnusable):
    """The site's root is not the one that the state was made with."""

    advice = ""


class Answer(NamedTuple):
    """A result, the root of the session that it was had on, whether that session made it, and what was found out."""

    result: Result
    root: str
    made_root: bool
    in_order: bool | None = None


@dataclass(frozen=True)
class Hands:
    """Does the work of a pass. `expected_root` is where the state was made, as it is shown, if that is known."""

    connect: Connect
    site: Site
    password: str = field(repr=False)
    timeout_seconds: float
    publisher: Publisher
    create_root: bool
    expected_root: str
    manners: Manners = field(default_factory=Manners)

    async def open(self) -> RootedSession:
        """Open a session, and see that it is where it ought to be."""
        session = await self.connect(
            self.site,
            self.password,
            manners=self.manners,
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
        again = failure is not None and failure.transient
        return Performed(Answer(result, session.root, session.made_root, self.manners.in_order), again)

    async def _result(self, session: RootedSession, item: Item, previous: Answer | None, progress: Progress) -> Result:
        match item:
            case Compare():
                progress.left()
                return await survey.compare(session, item)
            case Pending():
                progress.left()
                return await survey.settle(session, item)
            case Job():
                before = previous.result if previous else None
                return await self.do(session, item, before if isinstance(before, Outcome) else None, progress)
            case _ as never:
                assert_never(never)

    async def do(self, session: RootedSession, job: Job, before: Outcome | None, progress: Progress) -> Outcome:
        """Carry out a job."""
        return await self.publisher.perform(session, job, before, progress)


class Nowhere:
    """Stands for the session of a dry run on a site whose root is not there yet."""

    usable = True
    made_root = True

    def __init__(self, root: str) -> None:
        """Name the root that is not there."""
        self.root = root

    async def close(self) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class DryHands(Hands):
    """Looks, and only pretends to do."""

    async def open(self) -> RootedSession:
        """Open a session, if there is a root to be in."""
        try:
            return await super().open()
        except RootMissing:
            return Nowhere(self.site.root)  # type: ignore[return-value]  # nothing is asked of it, see `_result`

    async def _result(self, session: RootedSession, item: Item, previous: Answer | None, progress: Progress) -> Result:
        if isinstance(session, Nowhere) and isinstance(item, Compare):
            return Compared(item.folder, lost=tuple(entry.path for entry in item.held))
        if isinstance(session, Nowhere) and isinstance(item, Pending):
            return Settled(item)
        if isinstance(item, Pending):
            return await survey.settle(session, item, clean=False)
        return await super()._result(session, item, previous, progress)

    async def do(self, session: RootedSession, job: Job, before: Outcome | None, progress: Progress) -> Outcome:
        """Say what would come of it."""
        held = pretended(job.change)
        change = job.change
        moved = isinstance(change, Move) and (
            change.entry.is_folder or change.twin
            or await digest_of(self.publisher.source, change.entry.path) == change.held.digest
        )  # fmt: skip
        return Outcome(job, held, bytes_sent=0 if moved else _size(change), moved=moved)


def pretended(change: Change) -> Entry | None:
    """Return what the site would hold after a change."""
    return None if isinstance(change, RemoveFile | RemoveFolder) else change.entry


def _size(change: Change) -> int:
    return 0 if isinstance(change, RemoveFile | RemoveFolder | SetAttributes) else change.entry.size
