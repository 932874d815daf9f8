"""What became of a path that a run left half-done, found out on the site."""

from typing import NamedTuple

from async_mirror.jobs.folder_check import spelled, was_renamed
from async_mirror.model.candidates import held_after
from async_mirror.model.entry import Entry
from async_mirror.model.outcome import Failure, Pending, Problem
from async_mirror.remote.errors import ConnectionBroken, Refusal
from async_mirror.remote.session import RemoteSession


class Settled(NamedTuple):
    """What a pending path turned out to hold; None for nothing, or nothing that is ours.

    `moved` says that it is a folder that has come from its origin with all that was in it.
    """

    pending: Pending
    held: Entry | None = None
    failure: Failure | None = None
    moved: bool = False


async def settle(session: RemoteSession, pending: Pending, *, clean: bool = True) -> Settled:
    """Look at what a change that was cut short did, and remove its temporaries (unless not to `clean`)."""
    try:
        if clean and pending.leftovers:
            await session.remove_files(pending.leftovers)
        if clean and pending.box:
            await _remove_box(session, pending.box)
        seen = await _look(session, pending)
        if clean and pending.asides:
            seen = await _settle_asides(session, pending, seen)
        moved = bool(pending.origin and seen) and await was_renamed(
            session, pending.origin, pending.path, pending.inside, twin=bool(pending.twin)
        )
    except Refusal as refusal:
        detail = f"while what an earlier run left there was looked at, {refusal.told}"
        return Settled(pending, failure=Failure(pending.path, Problem.REFUSED, detail, refusal.transient))
    except ConnectionBroken as broken:
        detail = f"while what an earlier run left there was looked at, {broken.told}"
        return Settled(pending, failure=Failure(pending.path, Problem.CONNECTION, detail, transient=True))
    held = held_after(pending.path, pending.candidates, seen, sets_times=session.sets_times)
    return Settled(pending, held, moved=moved)


async def _look(session: RemoteSession, pending: Pending) -> Entry | None:
    return await (spelled(session, pending.path) if pending.twin else session.look(pending.path))


async def _settle_asides(session: RemoteSession, pending: Pending, seen: Entry | None) -> Entry | None:
    """Give the old version its name back where nothing has that; remove it only where something stands."""
    for aside in pending.asides:
        if seen is not None:
            await session.remove_files([aside])
        elif await session.size(aside) is not None:
            await session.rename(aside, pending.path)
            seen = await _look(session, pending)
    return seen


async def _remove_box(session: RemoteSession, box: str) -> None:
    listing = await session.list_folder(box)
    for entry in listing.entries if listing else ():
        await session.remove_folder(entry.path)
    await session.remove_folder(box)
