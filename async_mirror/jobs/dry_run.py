"""What would come of a pass: looks at the site, changes nothing there."""

from dataclasses import dataclass, field

from async_mirror.jobs import folders, recover
from async_mirror.jobs.attempt import Attempt, Progress
from async_mirror.jobs.compare import Compare, Compared
from async_mirror.jobs.existing import doubled, is_double, is_there, kept
from async_mirror.jobs.perform import Answer, Hands, Item, Result
from async_mirror.jobs.recover import Recover, Recovered, Settled
from async_mirror.jobs.removal_proof import NOT_OURS
from async_mirror.model import paths, temporary_names
from async_mirror.model.change import (
    FOUND,
    REPLACES,
    Change,
    Job,
    MakeFolder,
    Move,
    RemoveFile,
    RemoveFolder,
    SendFile,
    SetAttributes,
    path_of,
)
from async_mirror.model.entry import Entry
from async_mirror.model.outcome import Done, Failed, Failure, Outcome, Problem, Unmanaged
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
    """Looks, and only pretends to do.

    `away` are the paths on the site that were removed or renamed so, `former` the old paths of folders by the new ones.
    """

    away: set[str] = field(default_factory=set)
    former: dict[str, str] = field(default_factory=dict)

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
        outcome: Outcome = Done(job, change, pretended(change), bytes_sent=_size(change))
        if not isinstance(session, Nowhere) and not isinstance(change, RemoveFile | SetAttributes):
            try:
                outcome = await self._looked(session, change, Attempt(self.publisher, session, job, before, progress))
            except (Refusal, ConnectionBroken) as error:
                outcome = Failed(job, Failure(path_of(change), Problem.REFUSED, error.told))
        if isinstance(outcome, Done):
            self._note(outcome.change)
        return outcome

    def _note(self, change: Change) -> None:
        if isinstance(change, Move | RemoveFile | RemoveFolder):
            self.away.add(self._on_site(change.held.path))
        if isinstance(change, Move) and change.entry.is_folder:
            self.former[change.entry.path] = change.held.path

    def _on_site(self, path: str) -> str:
        """Return where on the site a path is that has been renamed with its folder."""
        for folder in [path, *paths.lineage(path)[::-1]]:
            if old := self.former.get(folder):
                return self._on_site(old + path[len(folder) :])
        return path

    async def _looked(
        self, session: RootedSession, change: MakeFolder | SendFile | Move | RemoveFolder, attempt: Attempt
    ) -> Outcome:
        """Say what would come of a change, given what the site has there."""
        job = attempt.job
        if isinstance(change, RemoveFolder):
            is_ours = await self._holds_nothing_else(session, self._on_site(change.held.path))
            return Done(job, change, None) if is_ours else Unmanaged(job, NOT_OURS)
        if isinstance(change, Move) and change.entry.is_folder and not await self._goes_as_a_whole(session, change):
            change = MakeFolder(change.entry, "new", asks=change.asks)
        if isinstance(change, MakeFolder) and (reason := await folders.in_the_way(session, change.entry.path)):
            return Failed(job, Failure(change.entry.path, Problem.REFUSED, reason))
        double = "" if isinstance(change, Move) else change.double
        if double and await is_double(session, change.entry.path):
            return doubled(attempt, double)
        attempt.replaces = change.why == REPLACES or (change.asks and await _has_name(session, change))
        if not isinstance(change, MakeFolder) and (outcome := kept(attempt)):
            return outcome
        told = _told(change, attempt.replaces)
        return Done(job, told, pretended(told), bytes_sent=_size(told))

    async def _goes_as_a_whole(self, session: RootedSession, change: Move) -> bool:
        old, new = (each._replace(path=self._on_site(each.path)) for each in (change.held, change.entry))
        return await folders.goes_as_a_whole(session, change._replace(held=old, entry=new))

    async def _holds_nothing_else(self, session: RootedSession, folder: str) -> bool:
        """Tell whether a folder holds only what was pretended to go, or a temporary file of ours."""
        listing = await session.list_folder(folder)
        if listing is None:
            return True
        ours = self.publisher.state_id
        return not (listing.others or listing.oddities) and all(
            each.path in self.away or temporary_names.is_temporary_of(ours, paths.split(each.path)[1])
            for each in listing.entries
        )

    async def _likely(self, change: Change) -> Change:
        """Return what a change would be in the end: a file that is not the one that was sent is not renamed."""
        match change:
            case Move(entry, held, twin=False) if not entry.is_folder:
                if await digest_of(self.publisher.source, entry.path) != held.digest:
                    return SendFile(entry, None, "new", asks=change.asks)
        return change


async def _has_name(session: RootedSession, change: MakeFolder | SendFile | Move) -> bool | None:
    """Tell whether something has the name already that a change would give."""
    if not change.entry.is_folder:
        return await is_there(session, change.entry.path)
    return await session.look(change.entry.path) is not None


def _told(change: MakeFolder | SendFile | Move, replaces: bool | None) -> Change:
    """Return a change that says what it would find or replace."""
    if isinstance(change, MakeFolder):
        return change._replace(why=change.why if replaces is False else FOUND)
    return change._replace(why=REPLACES) if replaces and not change.entry.is_folder else change


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
