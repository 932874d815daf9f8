"""What a server does, tried on files and folders of our own: odd names, temporary names, removals of folders."""

from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import contextmanager
from enum import Enum, auto

from async_mirror.jobs.attempt import Attempt
from async_mirror.model import odd_names, paths, temporary_names
from async_mirror.model.outcome import Outcome, Problem
from async_mirror.model.paths import parent
from async_mirror.remote.errors import NO_CHANGES, Refusal
from async_mirror.remote.session import Barred, RemoteListing, RemoteSession, Removal

_MOST_LEVELS = 20
"""So deep a name may be taken apart: one that is tried holds fewer marks that some server takes for a slash."""


async def name_problem(attempt: Attempt) -> Outcome | None:
    """Refuse a name that this site would alter."""
    traits = odd_names.odd_traits(paths.split(attempt.path)[1])
    if not traits or traits <= attempt.session.kept:
        return None
    if await _alters(attempt, traits):
        return attempt.failed(Problem.ALTERED, "the server changes such names: rename it in the source")
    return None


async def _alters(attempt: Attempt, traits: frozenset[str]) -> bool:
    """Try odd names inside a folder of our own, where they do no harm and a listing is short.

    What the server refuses outright it will refuse of the name itself, so that is no alteration.
    """
    session, box = attempt.session, await make_box(attempt)
    tried = paths.join(box, odd_names.sample(traits))
    found: list[str] | None = None
    try:
        await session.make_folder(tried)
    except Refusal as refusal:
        if refusal.transient:
            raise
    else:
        listing = await session.list_folder(box)
        found = [entry.path for entry in listing.entries] if listing else []
    await drop_box(attempt)
    if found == [tried]:
        session.keeps(traits)
    return found is not None and found != [tried]


async def make_box(attempt: Attempt) -> str:
    """Make the folder, in the first shape of name that the server takes; it is noted before."""
    ours = attempt.temporaries
    refused = None
    for shape in ours.shapes_to_try:
        await ours.note(1 << shape)
        ours.box = ours.probe_box(shape)
        try:
            await attempt.session.make_folder(ours.box)
        except Refusal as refusal:
            ours.box = ""
            refused = refused or refusal
            if refusal.transient:
                raise
        else:
            return ours.box
    assert refused is not None
    raise refused


async def drop_box(attempt: Attempt) -> None:
    """Remove the folder that may be there, and remember it if the server did not say that it is gone."""
    if await remove_trial(attempt.session, attempt.temporaries.box, odd_names.odd_traits(paths.split(attempt.path)[1])):
        attempt.temporaries.box = ""


async def remove_trial(session: RemoteSession, box: str, traits: frozenset[str]) -> bool:
    """Remove a folder of ours in which a name with such traits may have been tried: some list it as what it is not."""
    with _may_be_kept():
        await session.remove_folder(paths.join(box, odd_names.sample(traits)))
    return await remove_box(session, box)


async def remove_box(session: RemoteSession, folder: str, levels: int = _MOST_LEVELS) -> bool:
    """Remove a folder of ours with all that a name has become in it; tell whether the server said that it is gone.

    What it keeps for good decides nothing, and is looked at once more, later. Raises Refusal for the moment.
    """
    with _may_be_kept():
        listing = await session.list_folder(folder) if levels else None
        for entry in listing.entries if listing else ():
            await remove_box(session, entry.path, levels - 1)
    with _may_be_kept():
        await session.remove_folder(folder)
        return True
    return False


@contextmanager
def _may_be_kept() -> Iterator[None]:
    """Let the server refuse for good. Raises Refusal for the moment."""
    try:
        yield
    except Refusal as refusal:
        if refusal.transient:
            raise


class Nothing:
    """The content of an empty file."""

    size = 0
    whole = b""

    def reader(self) -> None:
        return None

    def advanced(self, amount: int) -> None:
        pass

    async def blocks(self) -> AsyncIterator[bytes]:
        yield b""


class Blame(Enum):
    """What it is that was refused."""

    TEMPORARY_NAME = auto()
    """The temporary's name: the attempt has another shape now, which is kept for the account."""
    THIS_FILE = auto()
    """What was sent, or the name that it was to get: the like of it was done with an empty temporary."""
    ANY_FILE = auto()
    """The same is refused to any temporary."""


async def why_not_stored(attempt: Attempt) -> Blame:
    """Find out why a temporary could not be written. Raises Refusal for the moment, or for want of room."""
    if attempt.session.barred(parent(attempt.path)):
        return Blame.ANY_FILE
    return await _try_shapes(attempt, renames=False)


async def why_not_renamed(attempt: Attempt) -> Blame:
    """Find out why a temporary could not get its final name, and remove it. Raises as `why_not_stored` does.

    Raises Refusal, too, if it can be neither renamed nor removed; then no other is tried, for that would stay as well.
    """
    if await _is_renamed(attempt):
        await attempt.temporaries.drop()
        return Blame.THIS_FILE
    try:
        await attempt.temporaries.drop()
    except Refusal as refusal:
        if refusal.transient:
            raise
        attempt.session.found_barred(parent(attempt.path), Barred.CHANGES)
        raise Refusal(NO_CHANGES, refusal.reply) from None
    return await _try_shapes(attempt, renames=True)


async def _try_shapes(attempt: Attempt, *, renames: bool) -> Blame:
    """Try each shape, the present one first."""
    ours = attempt.temporaries
    present = ours.shape
    for shape in ours.shapes_to_try:
        ours.shape = shape
        await ours.note(1 << shape)
        if await _takes(attempt, renames=renames):
            if shape == present:
                return Blame.THIS_FILE
            attempt.session.takes_shape(shape)
            return Blame.TEMPORARY_NAME
    ours.shape = present
    attempt.session.found_barred(parent(attempt.path), Barred.RENAMES if renames else Barred.UPLOADS)
    return Blame.ANY_FILE


async def _takes(attempt: Attempt, *, renames: bool) -> bool:
    """Tell whether an empty temporary is taken in the present shape, and renamed if that is asked; remove it."""
    ours = attempt.temporaries
    session = attempt.session
    ours.left_behind = ours.latest
    taken = await _is_taken(session.store(ours.left_behind, Nothing(), lambda: None))
    if taken and renames:
        taken = await _is_renamed(attempt)
    try:
        await ours.drop()
    except Refusal:
        ours.strays = (*ours.strays, ours.left_behind)
    return taken


async def _is_renamed(attempt: Attempt) -> bool:
    """Tell whether the temporary was not refused another name for good; until that is answered it may bear either."""
    ours = attempt.temporaries
    strays, spare = ours.strays, ours.spare
    ours.strays = (*strays, spare)
    try:
        taken = await _is_taken(attempt.session.rename(ours.left_behind, spare))
    except Refusal:
        ours.strays = strays
        raise
    ours.strays = strays
    if taken:
        ours.left_behind = spare
    return taken


async def _is_taken(asked: Awaitable[object]) -> bool:
    """Tell whether what was asked was not refused for good."""
    try:
        await asked
    except Refusal as refusal:
        if refusal.transient or refusal.no_space:
            raise
        return False
    return True


NOT_OURS = "contains unmanaged files or folders"
NOT_SURE = "this server deletes folders with their content, and its listing does not prove that this one is empty"


async def why_it_stays(attempt: Attempt, folder: str) -> str:
    """Tell why a folder may not be removed, "" if it may: where it would go with all that is in it, it is listed first.

    What others put there between that look and the removal is removed, too; no client can help that.
    """
    session = attempt.session
    removal = session.removal or await _prove(attempt)
    if removal is Removal.REFUSED:
        return ""
    listing = await session.list_folder(folder)
    if listing and not listing.is_empty and await cleared(attempt, listing):
        listing = await session.list_folder(folder)
    if listing is None:
        return ""
    if not listing.is_empty:
        return NOT_OURS
    return "" if removal is Removal.WHOLE and listing.complete else NOT_SURE


async def cleared(attempt: Attempt, listing: RemoteListing) -> bool:
    """Remove what is in a folder if that is only temporaries of ours: a server may do a STOR long after it was sent."""
    state_id = attempt.publisher.state_id
    names = [paths.split(entry.path)[1] for entry in listing.entries if not entry.is_folder]
    ours = [name for name in names if temporary_names.is_temporary_of(state_id, name)]
    if not listing.complete or listing.others or listing.oddities or len(ours) < len(listing.entries):
        return False
    await attempt.session.remove_files([entry.path for entry in listing.entries])
    return True


async def _prove(attempt: Attempt) -> Removal:
    """Remove a folder of ours that holds another. Raises Refusal if that cannot be tried."""
    box = await make_box(attempt)
    try:
        removal = await _tried(attempt.session, box)
    finally:
        if await remove_box(attempt.session, box):
            attempt.temporaries.box = ""
    attempt.session.found_removal(removal)
    return removal


async def _tried(session: RemoteSession, box: str) -> Removal:
    inside = paths.join(box, "x")
    await session.make_folder(inside)
    try:
        await session.remove_folder(box)
    except Refusal as refusal:
        if refusal.transient and not await _go_one_by_one(session, inside, box):
            raise
        return Removal.REFUSED
    return Removal.WHOLE if await _shows_dot_names(session, box) else Removal.BLIND


async def _go_one_by_one(session: RemoteSession, *folders: str) -> bool:
    """Tell whether folders can be removed now: what was refused "for the moment" before was refused for good."""
    try:
        for folder in folders:
            await session.remove_folder(folder)
    except Refusal:
        return False
    return True


async def _shows_dot_names(session: RemoteSession, box: str) -> bool:
    hidden = paths.join(box, ".x")
    try:
        await session.make_folder(box)
        await session.make_folder(hidden)
    except Refusal:
        return False
    listing = await session.list_folder(box)
    return listing is not None and [entry.path for entry in listing.entries] == [hidden]
