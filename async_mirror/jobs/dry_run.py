"""What would come of a pass: looks at the site, changes nothing there."""

from dataclasses import dataclass, field
from typing import TypeGuard

from async_mirror.crew.work import Progress
from async_mirror.jobs import folders, recover
from async_mirror.jobs.adopt import Compare, Compared
from async_mirror.jobs.attempt import Attempt
from async_mirror.jobs.content import SAME, compared
from async_mirror.jobs.existing import doubled, is_double, is_folder, is_kept, is_there, kept
from async_mirror.jobs.perform import Answer, Hands, Item, Result
from async_mirror.jobs.recover import Recover, Recovered, Settled
from async_mirror.jobs.single_files import renamed
from async_mirror.jobs.trials import NOT_OURS
from async_mirror.model import paths, temporary_names
from async_mirror.model.change import (
    FOUND,
    REPLACES,
    Change,
    Deed,
    Job,
    MakeFolder,
    Move,
    RemoveFile,
    RemoveFolder,
    SendFile,
    SetAttributes,
    SetDate,
    path_of,
)
from async_mirror.model.entry import Entry
from async_mirror.model.outcome import UNCOMPARED, Done, Failed, Failure, Outcome, Problem, Unmanaged
from async_mirror.remote.errors import FOLDER_IN_THE_WAY, ConnectionBroken, Refusal, RootMissing
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

    is_dry = True

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
            attempt = Attempt(self.publisher, session, job, before, progress)
            try:
                known = await self._known(attempt, change) if isinstance(change, SendFile) else None
                outcome = known or await self._looked(session, change, attempt)
            except Refusal as refusal:
                outcome = Failed(job, Failure(path_of(change), Problem.REFUSED, refusal.told, refusal.transient))
            except ConnectionBroken as broken:
                outcome = Failed(job, Failure(path_of(change), broken.problem, broken.told, transient=True))
        if isinstance(outcome, Done):
            self._note(outcome.change)
        return outcome

    def _note(self, change: Deed) -> None:
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

    async def _known(self, attempt: Attempt, change: SendFile) -> Outcome | None:
        """Say whether just the date of a file would be set, if the site can, or nothing; None if it would be sent."""
        if not change.compares or change.held is None:
            return None
        try:
            found = await compared(attempt, change, change.held)
        except OSError:
            return None
        if found.is_same is None and found.local:
            return attempt.skipped(UNCOMPARED)
        if not found.is_same or not found.local:
            return None
        is_set = found.local.mtime_ns != change.held.mtime_ns
        return attempt.done(found.local, found.note, change=SetDate(found.local, change.held, SAME, is_set))

    async def _looked(
        self, session: RootedSession, change: MakeFolder | SendFile | Move | RemoveFolder, attempt: Attempt
    ) -> Outcome:
        """Say what would come of a change, given what the site has there."""
        job = attempt.job
        if isinstance(change, RemoveFolder):
            is_ours = await self._holds_nothing_else(session, self._on_site(change.held.path))
            return Done(job, change, None) if is_ours else Unmanaged(job, NOT_OURS)
        if isinstance(change, Move) and change.entry.is_folder and not await self._goes_whole(session, change):
            change = MakeFolder(change.entry, "new", asks=change.asks)
        is_new = isinstance(change, MakeFolder) and self._on_site(change.entry.path) not in self.away
        if is_new and (reason := await folders.in_the_way(session, change.entry.path)):
            return Failed(job, Failure(change.entry.path, Problem.REFUSED, reason))
        if change.asks and not change.entry.is_folder and await is_folder(session, change.entry.path):
            return Failed(job, Failure(change.entry.path, Problem.REFUSED, FOLDER_IN_THE_WAY))
        if _is_plain_move(change) and await is_there(session, self._on_site(change.held.path)) is False:
            change = SendFile(change.entry, None, "new", asks=change.asks)
        double = "" if isinstance(change, Move) else change.double
        if double and await is_double(session, change.entry.path, double):
            return doubled(attempt, double)
        attempt.replaces = change.why == REPLACES or (change.asks and await _has_name(session, change))
        if not isinstance(change, MakeFolder) and is_kept(attempt):
            return await kept(attempt)
        told = _told(change, attempt.replaces)
        return Done(job, told, await self._pretended(told), bytes_sent=_size(told))

    async def _pretended(self, change: Change) -> Entry | None:
        """Return what the site would hold after a change; a twin is renamed though its content may be another."""
        if isinstance(change, Move) and change.twin and not change.entry.is_folder:
            is_same = await digest_of(self.publisher.source, change.entry.path) == change.held.digest
            return change.entry if is_same else renamed(change.entry, change.held)
        return pretended(change)

    async def _goes_whole(self, session: RootedSession, change: Move) -> bool:
        old, new = (each._replace(path=self._on_site(each.path)) for each in (change.held, change.entry))
        return await folders.goes_whole(session, change._replace(held=old, entry=new), self.publisher.state_id)

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
        if _is_plain_move(change) and await digest_of(self.publisher.source, change.entry.path) != change.held.digest:
            return SendFile(change.entry, None, "new", asks=change.asks)
        return change


def _is_plain_move(change: Change) -> TypeGuard[Move]:
    """Tell whether a file is to be renamed if it is there, and is what was sent."""
    return isinstance(change, Move) and not (change.twin or change.entry.is_folder)


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
    return None if isinstance(change, RemoveFile | RemoveFolder) else change.entry


def _size(change: Change) -> int:
    return change.entry.size if isinstance(change, SendFile) else 0
