"""Tries whether a site keeps an odd name as it is, before anything bears it."""

from async_mirror.jobs.attempt import Attempt
from async_mirror.model import odd_names, paths
from async_mirror.model.outcome import Outcome, Problem
from async_mirror.remote.errors import Refusal


async def name_problem(attempt: Attempt) -> Outcome | None:
    """Refuse a name that this site would alter."""
    traits = odd_names.odd_traits(paths.split(attempt.path)[1])
    if traits <= attempt.session.kept:
        return None
    if await _alters(attempt, traits):
        return attempt.failed(Problem.ALTERED, "the server does not keep such a name as it is; rename it in the source")
    return None


async def _alters(attempt: Attempt, traits: frozenset[str]) -> bool:
    """Try odd names inside a folder of our own, where they do no harm and a listing is short.

    What the server refuses outright it will refuse of the name itself, so that is no alteration.
    """
    session, box = attempt.session, attempt.probe_box
    tried = paths.join(box, odd_names.sample(traits))
    attempt.box = True
    await session.make_folder(box)
    found = []
    refused = False
    try:
        await session.make_folder(tried)
    except Refusal:
        refused = True
    else:
        listing = await session.list_folder(box)
        found = [entry.path for entry in listing.entries] if listing else []
    for path in found:
        await session.remove_folder(path)
    await session.remove_folder(box)
    attempt.box = False
    if found == [tried]:
        session.kept.update(traits)
    return not refused and found != [tried]
