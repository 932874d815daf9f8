"""What is done where others may have the name of what is to be published."""

from async_mirror.jobs.attempt import Attempt
from async_mirror.model.outcome import KEPT, Outcome, Problem
from async_mirror.model.paths import split
from async_mirror.model.settings import Existing
from async_mirror.remote.errors import Refusal
from async_mirror.remote.session import RemoteSession


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
    folder, name = split(path)
    listing = await session.list_folder(folder)
    if listing is None or {name, split(double)[1]} & {*listing.others}:
        return False
    listed = {entry.path for entry in listing.entries}
    missing = path if path not in listed else double  # a site that lower-cases names lists the second by its own name
    if missing in listed or not listing.shows_absence_of(split(missing)[1]):
        return False
    return missing == path or await session.look(double) is not None


def doubled(attempt: Attempt, double: str) -> Outcome:
    """Tell that a site takes two names for one."""
    return attempt.failed(Problem.SAME_NAME, f"the other one is {double}")


def kept(attempt: Attempt) -> Outcome | None:
    """Return what comes of a job if what others have, or may have, is to stay."""
    existing = attempt.publisher.existing
    if attempt.replaces is False or existing is Existing.OVERWRITE:
        return None
    if existing is Existing.SKIP:
        return attempt.skipped(KEPT)
    detail = "" if attempt.replaces else "the server does not tell whether there is anything"
    return attempt.failed(Problem.EXISTS, detail)
