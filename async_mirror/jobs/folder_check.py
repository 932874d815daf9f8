"""What is inside a folder, told so that state and site can be compared. Knows neither state nor schedule."""

import hashlib
from collections.abc import Iterable

from async_mirror import names
from async_mirror.change import Inside
from async_mirror.entry import Entry
from async_mirror.remote import Refusal, RemoteSession


def fingerprint(entries: Iterable[Entry]) -> bytes:
    """Return what tells by names and kinds what is in one folder; sizes are not always known of what is held."""
    lines = sorted(b"%d %s" % (entry.kind, names.encode(names.split(entry.path)[1])) for entry in entries)
    return hashlib.blake2b(b"\0".join(lines), digest_size=16).digest()


async def shows(session: RemoteSession, folder: str, inside: Inside) -> bool:
    """Tell whether the site's listings show just this inside a folder: nothing of others, nothing missing.

    Each folder below is listed, too, for all that is in it goes where its topmost folder goes; to make and remove each
    would take as many commands. What is cut short or not to be listed shows nothing. Raises Refusal for the moment.
    """
    try:
        for below, expected in inside:
            listing = await session.list_folder(names.join(folder, below) if below else folder)
            if listing is None or listing.cut or listing.others or listing.oddities:
                return False
            if fingerprint(listing.entries) != expected:
                return False
    except Refusal as refusal:
        if refusal.transient:
            raise
        return False
    return bool(inside)


async def was_renamed(session: RemoteSession, old: str, new: str, inside: Inside) -> bool:
    """Tell whether a folder bears its new name already: what was inside is there, and the old name is nobody's."""
    return await session.look(old) is None and await shows(session, new, inside)
