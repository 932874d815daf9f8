"""What would come of a pass: looks at the site, changes nothing there."""

from dataclasses import dataclass

from async_mirror.jobs import folders, recover
from async_mirror.jobs.attempt import Progress
from async_mirror.jobs.compare import Compare, Compared
from async_mirror.jobs.perform import Answer, Hands, Item, Result
from async_mirror.jobs.recover import Recover, Recovered, Settled
from async_mirror.model.change import Change, Job, MakeFolder, Move, RemoveFile, RemoveFolder, SendFile
from async_mirror.model.entry import Entry
from async_mirror.model.outcome import Done, Failed, Failure, Outcome, Problem
from async_mirror.remote.errors import ConnectionBroken, Refusal, RootMissing
from async_mirror.remote.session import RootedSession
from async_mirror.source.files import digest_of


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
        if isinstance(session, Nowhere) and isinstance(item, Recover):
            return Recovered(tuple(map(Settled, item.pending)))
        if isinstance(item, Recover):
            return await recover.settle_all(session, item, clean=False)
        return await super()._result(session, item, previous, progress)

    async def do(self, session: RootedSession, job: Job, before: Outcome | None, progress: Progress) -> Outcome:
        """Say what would come of it."""
        change = await self._likely(job.change)
        if isinstance(change, MakeFolder) and not isinstance(session, Nowhere):
            try:
                reason = await folders.in_the_way(session, change.entry.path)
            except (Refusal, ConnectionBroken) as error:
                reason = error.told
            if reason:
                return Failed(job, Failure(change.entry.path, Problem.REFUSED, reason))
        return Done(job, change, pretended(change), bytes_sent=_size(change))

    async def _likely(self, change: Change) -> Change:
        """Return what a change would be in the end: a file that is not the one that was sent is not renamed."""
        match change:
            case Move(entry, held, twin=False) if not entry.is_folder:
                if await digest_of(self.publisher.source, entry.path) != held.digest:
                    return SendFile(entry, None, "new")
        return change


def pretended(change: Change) -> Entry | None:
    """Return what the site would hold after a change."""
    match change:
        case RemoveFile() | RemoveFolder():
            return None
        case Move(entry, held, twin=True) if not entry.same_content_as(held):
            return held._replace(path=entry.path)
    return change.entry


def _size(change: Change) -> int:
    return change.entry.size if isinstance(change, SendFile) else 0
