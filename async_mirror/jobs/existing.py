"""What is done where others may have the name of what is to be published."""

from async_mirror.jobs.attempt import Attempt
from async_mirror.model.outcome import KEPT, Outcome, Problem
from async_mirror.model.paths import split
from async_mirror.model.settings import Existing
from async_mirror.remote.errors import FOLDER_IN_THE_WAY, Refusal
from async_mirror.remote.session import RemoteSession

_OVERWRITE = Existing.OVERWRITE


async def is_there(session: RemoteSession, path: str) -> bool | None:
    """Tell whether there is a file; None if the site does not tell. Nothing is replaced by a rename onto a folder."""
    try:
        return await session.size(path) is not None
    except Refusal as refusal:
        if refusal.transient:
            raise
        return None


async def is_double(session: RemoteSession, path: str, double: str) -> bool:
    """Tell whether the site takes a path and its `double` for one: both are there, and only one of them is listed."""
    if await session.look(path) is None:
        return False
    missing = await _not_listed(session, path, double)
    if missing != double:
        return missing == path
    if await session.look(double) is None:
        return False
    return await _not_listed(session, path, double) == double  # and was not made since it was listed


async def _not_listed(session: RemoteSession, path: str, double: str) -> str | None:
    """Return which of two paths a folder does not list, None if it lists both or does not tell."""
    folder, name = split(path)
    listing = await session.list_folder(folder)
    if listing is None or {name, split(double)[1]} & {*listing.others}:
        return None
    listed = {entry.path for entry in listing.entries}
    missing = path if path not in listed else double  # a site that lower-cases names lists the second by its own name
    return None if missing in listed or not listing.shows_absence_of(split(missing)[1]) else missing


def doubled(attempt: Attempt, double: str) -> Outcome:
    """Tell that a site takes two names for one."""
    return attempt.failed(Problem.SAME_NAME, f"the other one is {double}")


async def is_folder(session: RemoteSession, path: str) -> bool:
    """Tell whether there is a folder, of which some servers tell a size; what the site does not tell is none."""
    try:
        seen = await session.look(path)
    except Refusal as refusal:
        if refusal.transient:
            raise
        return False
    return seen is not None and seen.is_folder


def is_kept(attempt: Attempt) -> bool:
    """Tell whether what others have, or may have, at the path of a job is to stay."""
    return attempt.replaces is not False and attempt.publisher.existing is not _OVERWRITE


async def kept(attempt: Attempt) -> Outcome:
    """Return what comes of a job if it stays; a folder would stay in any case, and is told as that."""
    if await is_folder(attempt.session, attempt.path):
        return attempt.failed(Problem.REFUSED, FOLDER_IN_THE_WAY)
    if attempt.publisher.existing is Existing.SKIP:
        return attempt.skipped(KEPT)
    return attempt.failed(
        Problem.EXISTS, "" if attempt.replaces else "the server does not tell whether a file of this name exists"
    )
