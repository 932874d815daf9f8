"""Proves what becomes of a folder that is removed while something is in it, on folders of our own."""

from async_mirror.jobs.attempt import Attempt
from async_mirror.jobs.odd_name_probe import make_box, remove_box
from async_mirror.model import paths, temporary_names
from async_mirror.remote.errors import Refusal
from async_mirror.remote.session import RemoteListing, RemoteSession, Removal

NOT_OURS = "it holds things that are not ours"
NOT_SURE = "this server removes a folder with all that is in it, and its listings do not show for sure that it is empty"


async def why_it_stays(attempt: Attempt, folder: str) -> str:
    """Tell why a folder may not be removed, "" if it may: where it would go with all that is in it, it is listed first.

    What somebody puts there between that look and the removal is removed, too; no client can help that.
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
            attempt.box = ""
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
