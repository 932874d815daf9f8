"""Proves what becomes of a folder that is removed while something is in it, on folders of our own."""

from async_mirror.jobs.attempt import Attempt
from async_mirror.jobs.odd_name_probe import make_box, remove_box
from async_mirror.model import paths
from async_mirror.remote.errors import Refusal
from async_mirror.remote.session import RemoteSession, Removal

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
    if listing is None:
        return ""
    if not listing.is_empty:
        return NOT_OURS
    return "" if removal is Removal.WHOLE and listing.complete else NOT_SURE


async def _prove(attempt: Attempt) -> Removal:
    """Remove a folder of ours that holds another; what cannot be tried is taken for the worst, and not noted."""
    try:
        box = await make_box(attempt)
    except Refusal as refusal:
        if refusal.transient:
            raise
        return Removal.BLIND
    try:
        removal = await _tried(attempt.session, box)
    finally:
        if await remove_box(attempt.session, box):
            attempt.box = ""
    if removal:
        attempt.session.found_removal(removal)
    return removal or Removal.BLIND


async def _tried(session: RemoteSession, box: str) -> Removal | None:
    try:
        await session.make_folder(paths.join(box, "x"))
    except Refusal:
        return None
    try:
        await session.remove_folder(box)
    except Refusal as refusal:
        if refusal.transient:
            raise
        return Removal.REFUSED
    return Removal.WHOLE if await _shows_dot_names(session, box) else Removal.BLIND


async def _shows_dot_names(session: RemoteSession, box: str) -> bool:
    hidden = paths.join(box, ".x")
    try:
        await session.make_folder(box)
        await session.make_folder(hidden)
    except Refusal:
        return False
    listing = await session.list_folder(box)
    return listing is not None and [entry.path for entry in listing.entries] == [hidden]
