"""Tries whether a site keeps an odd name as it is, before anything bears it."""

from collections.abc import Iterator
from contextlib import contextmanager

from async_mirror.jobs.attempt import Attempt
from async_mirror.model import odd_names, paths
from async_mirror.model.outcome import Outcome, Problem
from async_mirror.remote.errors import Refusal
from async_mirror.remote.session import RemoteSession

_MOST_LEVELS = 20
"""So deep a name may be taken apart: one that is tried holds fewer marks that some server takes for a slash."""


async def name_problem(attempt: Attempt) -> Outcome | None:
    """Refuse a name that this site would alter."""
    traits = odd_names.odd_traits(paths.split(attempt.path)[1])
    if not traits or traits <= attempt.session.kept:
        return None
    if await _alters(attempt, traits):
        return attempt.failed(Problem.ALTERED, "the server does not keep such a name as it is; rename it in the source")
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
    refused = None
    for shape in attempt.shapes_to_try:
        await attempt.note_shape(shape)
        attempt.box = attempt.probe_box(shape)
        try:
            await attempt.session.make_folder(attempt.box)
        except Refusal as refusal:
            attempt.box = ""
            refused = refused or refusal
            if refusal.transient:
                raise
        else:
            return attempt.box
    assert refused is not None
    raise refused


async def drop_box(attempt: Attempt) -> None:
    """Remove the folder that may be there, and remember it if the server did not say that it is gone."""
    if await remove_trial(attempt.session, attempt.box, odd_names.odd_traits(paths.split(attempt.path)[1])):
        attempt.box = ""


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
