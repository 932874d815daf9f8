"""What is inside a folder, told so that state and site can be compared. Knows neither state nor schedule."""

from async_mirror.model import odd_names, paths, temporary_names
from async_mirror.model.change import Inside
from async_mirror.model.entry import Entry, fingerprint
from async_mirror.remote.errors import Refusal
from async_mirror.remote.session import RemoteSession


async def shows(session: RemoteSession, folder: str, inside: Inside, *, state_id: str = "") -> bool:
    """Tell whether the site's listings show just this inside a folder: nothing of others, nothing missing.

    Temporaries of the state with this id do not count: a run would remove them before. Each folder below is listed,
    too, for all that is in it goes where its topmost folder goes; to make and remove each would take as many commands.
    What is cut short or not to be listed shows nothing. Raises Refusal for the moment.
    """
    try:
        for below, expected in inside:
            listing = await session.list_folder(paths.join(folder, below) if below else folder)
            if listing is None or not listing.complete or listing.others or listing.oddities:
                return False
            lasting = (each for each in listing.entries if not (state_id and _is_temporary(state_id, each)))
            if fingerprint(lasting) != expected:
                return False
    except Refusal as refusal:
        if refusal.transient:
            raise
        return False
    return bool(inside)


def _is_temporary(state_id: str, entry: Entry) -> bool:
    return temporary_names.is_temporary_of(state_id, paths.split(entry.path)[1])


async def was_renamed(session: RemoteSession, old: str, new: str, inside: Inside, *, twin: bool = False) -> bool:
    """Tell whether a folder has its new name already: what was inside is there, and nothing has the old name.

    Of a `twin` both names may be one to the site: only a listing shows which of them it has, whatever is in it.
    """
    if twin and (await spelled(session, old) is not None or await spelled(session, new) is None):
        return False
    is_found = await session.look(old) is not None
    return twin if is_found else await shows(session, new, inside)


async def is_at_new_name(session: RemoteSession, old: str, new: str, *, twin: bool = False) -> bool:
    """Tell whether there is a folder of the new name, and nothing of the old one."""
    if twin:
        return await spelled(session, old) is None and await spelled(session, new) is not None
    seen = await session.look(new) if await session.look(old) is None else None
    return seen is not None and seen.is_folder


async def spelled(session: RemoteSession, path: str) -> Entry | None:
    """Look for a path by its exact name, which only a listing shows; its time is to the second, or UNKNOWN."""
    listing = await session.list_folder(paths.parent(path))
    entry = next((entry for entry in listing.entries if entry.path == path), None) if listing else None
    if entry is None or entry.is_folder or (listing and listing.exact):
        return entry
    (mtime_ns,) = await session.modified([path])
    return entry._replace(mtime_ns=mtime_ns)


async def unlisted(session: RemoteSession, path: str, others: tuple[str, ...]) -> tuple[str, ...]:
    """Return which of the others beside a path are not there, if one listing shows the path, and would show them."""
    listing = await session.list_folder(paths.parent(path))
    listed = {entry.path for entry in listing.entries} if listing else set()
    if listing is None or path not in listed:
        return ()
    names = {each: paths.split(each)[1] for each in others if each not in listed}
    return tuple(each for each, name in names.items() if name not in listing.others and listing.shows_absence_of(name))


async def other_spelling(session: RemoteSession, path: str) -> str:
    """Return the name by which a folder is listed if that differs in case or Unicode form alone, else "".

    It is "" too where the listing may not show all that is there.
    """
    listing = await session.list_folder(paths.parent(path))
    listed = {entry.path for entry in listing.entries} if listing else set()
    if listing is None or path in listed or not listing.shows_absence_of(paths.split(path)[1]):
        return ""
    return next((each for each in sorted(listed) if odd_names.folded(each) == odd_names.folded(path)), "")
