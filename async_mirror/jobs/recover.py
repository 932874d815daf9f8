"""What became of a path that a run left half-done, found out on the site."""

from typing import NamedTuple

from async_mirror.jobs.compare import may_be
from async_mirror.jobs.folder_check import was_renamed
from async_mirror.model import paths
from async_mirror.model.change import Failure, Pending, Problem
from async_mirror.model.entry import UNKNOWN, Entry
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
        seen = await (_spelled(session, pending.path) if pending.twin else session.look(pending.path))
        moved = bool(pending.origin and seen) and await was_renamed(
            session, pending.origin, pending.path, pending.inside
        )
    except Refusal as refusal:
        detail = f"while what an earlier run left there was looked at, {refusal.told}"
        return Settled(pending, failure=Failure(pending.path, Problem.REFUSED, detail, refusal.transient))
    except ConnectionBroken as broken:
        detail = f"while what an earlier run left there was looked at, {broken.told}"
        return Settled(pending, failure=Failure(pending.path, broken.problem, detail, transient=True))
    return Settled(pending, verdict(pending, seen), moved=moved)


async def _spelled(session: RemoteSession, path: str) -> Entry | None:
    """Look for a path by its exact name, which only a listing shows."""
    listing = await session.list_folder(paths.parent(path))
    return next((entry for entry in listing.entries if entry.path == path), None) if listing else None


async def _remove_box(session: RemoteSession, box: str) -> None:
    listing = await session.list_folder(box)
    for entry in listing.entries if listing else ():
        await session.remove_folder(entry.path)
    await session.remove_folder(box)


def verdict(pending: Pending, seen: Entry | None) -> Entry | None:
    """Decide what is held. What could be either version is ours, of a version that is not known."""
    if seen is None:
        return None
    candidates = [version for version in (pending.expected, pending.held) if version and may_be(seen, version)]
    if len(candidates) == 1:
        sure = candidates[0] is pending.held and seen.mode == UNKNOWN
        return candidates[0] if sure else candidates[0]._replace(mode=seen.mode)
    ours = pending.held or (candidates[0] if candidates else None)
    if ours is None:
        return None
    if ours.is_folder:
        return ours._replace(mode=UNKNOWN) if seen.is_folder else None
    return None if seen.is_folder else ours._replace(size=UNKNOWN, digest=b"")
