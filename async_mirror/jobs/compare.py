"""Reads the site: what it holds of ours already, what became of changes that were cut short. Publishes nothing."""

from collections.abc import Iterable
from typing import NamedTuple

from async_mirror import names
from async_mirror.change import Failure, Pending, Problem
from async_mirror.entry import UNKNOWN, Entry, Kind
from async_mirror.inside import was_renamed
from async_mirror.remote import ConnectionBroken, Refusal, RemoteListing, RemoteSession

_SECOND_NS = 1_000_000_000


class Compare(NamedTuple):
    """List a remote folder and compare it with what the source has there, and with what it is thought to hold."""

    folder: str
    entries: tuple[Entry, ...]
    held: tuple[Entry, ...] = ()


class Compared(NamedTuple):
    """What a remote folder holds that the source has too: `adopted` equals it, of `folders` it has the like.

    `found` counts the files among them. `adopted` holds what is
    as it was thought to be, too, and `lost` are the paths of what is not (any more).
    `differing` are paths of files that both have and that are not equal; they will be replaced. `foreign` counts what
    the source does not have and what is not held; it is not ours.
    """

    folder: str
    adopted: tuple[Entry, ...] = ()
    found: int = 0
    lost: tuple[str, ...] = ()
    folders: frozenset[str] = frozenset()
    differing: tuple[str, ...] = ()
    foreign: int = 0
    cut: bool = False
    oddities: tuple[str, ...] = ()
    failure: Failure | None = None


class Settled(NamedTuple):
    """What a pending path turned out to hold; None for nothing, or nothing that is ours.

    `moved` says that it is a folder that has come from its origin with all that was in it.
    """

    pending: Pending
    held: Entry | None = None
    failure: Failure | None = None
    moved: bool = False


async def compare(session: RemoteSession, task: Compare) -> Compared:
    """List a folder and tell which of the source's entries the site holds already, by size and mtime."""
    try:
        listing = await session.list_folder(task.folder)
        gone = Compared(task.folder, lost=tuple(entry.path for entry in task.held))
        return await _compared(session, task, listing) if listing else gone
    except Refusal as refusal:
        failure = Failure(task.folder, Problem.REFUSED, refusal.told, refusal.transient)
    except ConnectionBroken as broken:
        failure = Failure(task.folder, Problem.CONNECTION, broken.told, transient=True)
    return Compared(task.folder, failure=failure)


async def _compared(session: RemoteSession, task: Compare, listing: RemoteListing) -> Compared:
    source = {entry.path: entry for entry in task.entries}
    held = {entry.path: entry for entry in task.held}
    there = await _there(session, listing, source, held)
    adopted: list[Entry] = []
    differing: list[str] = []
    lost: list[str] = []
    foreign = 0
    keeps_times = any(
        not entry.is_folder and entry.path in there and _may_be(there[entry.path], entry) for entry in task.held
    )
    start = len(names.join(task.folder, ""))
    for path, seen in there.items():
        known, here = held.pop(path, None), source.get(path)
        like = here if known or not names.may_be_misread(path[start:]) else None
        if version := _version(seen, known, like, keeps_times=keeps_times):
            adopted.append(version)
            continue
        lost += [path] if known else []
        if here is None:
            foreign += not names.is_temporary(path[start:])
        elif not seen.is_folder:
            differing.append(path)
    unlisted = await _unlisted(session, held.values(), cut=listing.cut)
    lost += held.keys() - {entry.path for entry in unlisted}
    return Compared(
        task.folder,
        (*adopted, *unlisted),
        sum(entry.kind is Kind.FILE and entry.path in source for entry in adopted),
        tuple(lost),
        frozenset(entry.path for entry in (*adopted, *unlisted) if entry.kind is Kind.FOLDER),
        tuple(differing),
        foreign,
        listing.cut,
        listing.oddities,
    )


def _version(seen: Entry, known: Entry | None, here: Entry | None, *, keeps_times: bool) -> Entry | None:
    """Return what is held at a path from now on, given what was held and what the source has; None for nothing.

    What was held and is another version now is still ours if the source has it, so that it is sent again; else only if
    it has the size that it had and nothing here has its time, for there are servers that set no mtimes.
    """
    if known and known.size == UNKNOWN:
        return known if known.kind is seen.kind else None
    for version in (known, here):
        if version and _may_be(seen, version):
            return version if seen.mode in {UNKNOWN, version.mode} else version._replace(mode=seen.mode)
    if known is None or known.is_folder or seen.is_folder:
        return None
    if here:
        return _doubted(known)
    return known if known.size == seen.size and not keeps_times else None


async def _unlisted(session: RemoteSession, held: Iterable[Entry], *, cut: bool) -> list[Entry]:
    """Return what a listing left out though it is there: one look at each, for listings are cut without a word."""
    files = [entry for entry in held if not entry.is_folder]
    folders = [entry for entry in held if entry.is_folder]
    if cut:
        return [*map(_doubted, files), *folders]
    times = await session.modified([entry.path for entry in files]) if files else []
    found = [_doubted(entry) for entry, mtime_ns in zip(files, times, strict=True) if mtime_ns != UNKNOWN]
    for folder in folders:
        seen = await session.look(folder.path)
        found += [folder] if seen and seen.is_folder else []
    return found


def _doubted(held: Entry) -> Entry:
    """Return a held file of a version that nobody knows any more; it is sent again."""
    return held._replace(size=UNKNOWN, digest=b"")


async def _there(
    session: RemoteSession, listing: RemoteListing, source: dict[str, Entry], held: dict[str, Entry]
) -> dict[str, Entry]:
    """Return what the folder holds by path; where the listing is not exact, with the mtimes that matter asked for."""
    there = {entry.path: entry for entry in listing.entries}
    if not listing.exact:
        sizes = [(path, version.size) for versions in (source, held) for path, version in versions.items()]
        doubtful = {path for path, size in sizes if path in there and there[path].size == size} - {
            path for path, seen in there.items() if seen.is_folder
        }
        paths = sorted(doubtful)
        times = await session.modified(paths) if paths else []
        there |= {path: there[path]._replace(mtime_ns=mtime_ns) for path, mtime_ns in zip(paths, times, strict=True)}
    return there


def _same_second(here: Entry, seen: Entry) -> bool:
    return seen.mtime_ns != UNKNOWN and abs(here.mtime_ns - seen.mtime_ns) < _SECOND_NS


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
        return Settled(pending, failure=Failure(pending.path, Problem.CONNECTION, detail, transient=True))
    return Settled(pending, verdict(pending, seen), moved=moved)


async def _spelled(session: RemoteSession, path: str) -> Entry | None:
    """Look for a path by its exact name, which only a listing shows."""
    listing = await session.list_folder(names.parent(path))
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
    candidates = [version for version in (pending.expected, pending.held) if version and _may_be(seen, version)]
    if len(candidates) == 1:
        sure = candidates[0] is pending.held and seen.mode == UNKNOWN
        return candidates[0] if sure else candidates[0]._replace(mode=seen.mode)
    ours = pending.held or (candidates[0] if candidates else None)
    if ours is None:
        return None
    if ours.is_folder:
        return ours._replace(mode=UNKNOWN) if seen.is_folder else None
    return None if seen.is_folder else ours._replace(size=UNKNOWN, digest=b"")


def _may_be(seen: Entry, version: Entry) -> bool:
    if seen.kind is not version.kind:
        return False
    return seen.kind is Kind.FOLDER or (seen.size == version.size and _same_second(version, seen))
