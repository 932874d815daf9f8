"""What is done about a folder: made, renamed with all that is in it, removed."""

from async_mirror.jobs.attempt import Attempt
from async_mirror.jobs.existing import doubled, is_double
from async_mirror.jobs.folder_check import is_at_new_name, other_spelling, shows, spelled
from async_mirror.jobs.single_files import is_back
from async_mirror.jobs.trials import NOT_OURS, cleared, name_problem, why_it_stays
from async_mirror.model import paths
from async_mirror.model.candidates import Candidates
from async_mirror.model.change import FOUND, MakeFolder, Move
from async_mirror.model.entry import UNKNOWN, Entry
from async_mirror.model.outcome import OLD_SPELLING, OTHER_SPELLING, Done, Doubt, Outcome
from async_mirror.remote.errors import LINK_IN_THE_WAY, Refusal
from async_mirror.remote.session import RemoteSession

_FILE_IN_THE_WAY = "an unmanaged file is in the way: delete it on the site, or rename the folder"


async def in_the_way(session: RemoteSession, path: str) -> str:
    """Look at the site and return why a folder cannot be made there, as far as that is to be seen; "" if it can."""
    seen = await session.look(path)
    if seen is None or not seen.is_folder:
        return _FILE_IN_THE_WAY if seen else ""
    listing = await session.list_folder(paths.parent(path))
    return LINK_IN_THE_WAY if listing and paths.split(path)[1] in listing.others else ""


async def make(attempt: Attempt, entry: Entry) -> Outcome:
    """Make a folder; it is fine if it is there."""
    if problem := await name_problem(attempt):
        return problem
    made = entry._replace(mode=UNKNOWN)
    try:
        with attempt.touching((entry.path, None, made)):
            is_new = await attempt.session.make_folder(entry.path)
    except Refusal as refusal:
        seen = await attempt.session.look(entry.path)
        if seen is not None and not seen.is_folder:
            raise Refusal(_FILE_IN_THE_WAY, refusal.reply) from None
        raise
    double = change.double if isinstance(change := attempt.job.change, MakeFolder) else ""
    if double and await is_double(attempt.session, entry.path, double):
        if is_new:  # somebody has removed the other one, which goes first all the same
            await attempt.session.remove_folder(entry.path)
        attempt.doubts.pop(entry.path, None)
        return doubled(attempt, double)
    if is_new:
        return attempt.done(made, change=MakeFolder(entry, "new"))
    listed = await other_spelling(attempt.session, entry.path)
    spelled_as = "" if listed == double else listed  # the double is another folder, as was seen just now
    note = OTHER_SPELLING if spelled_as else ""
    return attempt.done(made, note, change=MakeFolder(entry, FOUND, spelled=spelled_as))


async def move(attempt: Attempt, change: Move) -> Outcome:
    """Rename a folder with all that is in it, if that is ours alone; else, and in doubt, make the new one.

    A name that is taken is left alone: some servers rename onto an empty folder, which may be somebody else's.
    """
    if problem := await name_problem(attempt):
        return problem
    session, old, new = attempt.session, change.held.path, change.entry.path
    moved = change.entry._replace(mode=change.held.mode, mount=change.entry.mount or change.held.mount)
    was_tried = new in attempt.doubts
    try:
        if was_tried and await is_at_new_name(
            session, old, new, twin=change.twin
        ):  # whatever others have in it meanwhile
            attempt.confirm(old, None)
            return attempt.done(moved)
        if change.twin and await _has_both_names(session, new):
            return await _respelled(attempt, old, moved)
        if is_free := await _is_free_to_move(session, change):
            with attempt.touching((new, None, moved)):
                await session.rename(old, new)
        if is_free or await _is_called_so(session, change):
            attempt.confirm(old, None)
            return attempt.done(moved)
    except Refusal as refusal:
        if refusal.transient:
            raise
    outcome = await make(attempt, change.entry)
    if isinstance(outcome, Done) and was_tried:
        return outcome._replace(doubts=(Doubt(old, Candidates((change.held, None))),))
    return outcome


async def goes_whole(session: RemoteSession, change: Move, state_id: str) -> bool:
    """Tell whether `move` would rename a folder, as far as the site shows that; else it makes one.

    What a run removes before, temporaries of the state with this id, does not count.
    """
    try:
        twins = change.twin and await _has_both_names(session, change.entry.path)
        return twins or await _is_free_to_move(session, change, state_id) or await _is_called_so(session, change)
    except Refusal:
        return False


async def _is_free_to_move(session: RemoteSession, change: Move, state_id: str = "") -> bool:
    if await session.look(change.entry.path) is not None:
        return False
    return await shows(session, change.held.path, change.inside, state_id=state_id)


async def _has_both_names(session: RemoteSession, new: str) -> bool:
    """Tell whether the site takes the new name for the old one, and lists it as that."""
    return await session.look(new) is not None and await spelled(session, new) is None


async def _is_called_so(session: RemoteSession, change: Move) -> bool:
    """Tell whether the site takes two names for one, and lists the new one: it has not taken the old one before."""
    old, new = change.held.path, change.entry.path
    return change.twin and await is_at_new_name(session, old, new, twin=True) and await session.look(old) is not None


async def _respelled(attempt: Attempt, old: str, moved: Entry) -> Outcome:
    """Rename what has both names to the site already, if the site will; what others have in it is found by either."""
    note = ""
    try:
        with attempt.touching((moved.path, None, moved)):
            await attempt.session.rename(old, moved.path)
    except Refusal as refusal:
        if refusal.transient:
            raise
        note = OLD_SPELLING
    attempt.confirm(old, None)
    return attempt.done(moved, note)


async def remove(attempt: Attempt, held: Entry) -> Outcome:
    """Remove a folder, unless the source has it again, or others have something in it or in its place."""
    if outcome := is_back(attempt, held):
        return outcome
    if stays := await why_it_stays(attempt, held.path):
        return attempt.unmanaged(stays)
    try:
        await _remove(attempt, held)
    except Refusal:
        seen = await attempt.session.look(held.path)
        if seen is not None and not seen.is_folder:
            return attempt.unmanaged("replaced on the site by an unmanaged file")
        listing = await attempt.session.list_folder(held.path)
        if listing is None or listing.is_empty:
            raise
        if not await cleared(attempt, listing):
            return attempt.unmanaged(NOT_OURS)
        await _remove(attempt, held)
    return attempt.done(None)


async def _remove(attempt: Attempt, held: Entry) -> None:
    with attempt.touching((held.path, held, None)):
        await attempt.session.remove_folder(held.path)
