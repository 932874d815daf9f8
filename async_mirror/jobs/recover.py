"""What became of a path that a run left half-done, found out on the site."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import NamedTuple

from async_mirror.jobs.folder_check import is_at_new_name, spelled, unlisted, was_renamed
from async_mirror.jobs.trials import Nothing, remove_trial
from async_mirror.model.candidates import added, held_after
from async_mirror.model.entry import Entry
from async_mirror.model.odd_names import odd_traits
from async_mirror.model.outcome import Failure, Pending, Problem
from async_mirror.model.paths import parent, split
from async_mirror.remote.errors import CannotBeSent, ConnectionBroken, Refusal
from async_mirror.remote.session import Barred, RemoteSession

_TOGETHER = 1000
"""Paths that are looked at together; what is learned of them is kept once all are through."""


class Settled(NamedTuple):
    """What a pending path turned out to hold; None for nothing, or nothing that is ours.

    `moved` says that it is a folder that has come from its origin, and that `is_whole` if just what was in it came
    along; `is_others` that what is there is not ours, `stays` that temporaries may be left that the site does not let
    go. What is `unlisted` beside it differs in case or Unicode form alone, and is not there.
    """

    pending: Pending
    held: Entry | None = None
    failure: Failure | None = None
    moved: bool = False
    is_whole: bool = True
    is_others: bool = False
    stays: bool = False
    unlisted: tuple[str, ...] = ()


class Recover(NamedTuple):
    """Look what became of paths of one folder that a run left half-done."""

    folder: str
    pending: tuple[Pending, ...]


class Recovered(NamedTuple):
    """What became of them."""

    settled: tuple[Settled, ...]

    @property
    def failure(self) -> Failure | None:
        """What went wrong with any of them; what may yet go right, if there is such."""
        failures = [each.failure for each in self.settled if each.failure]
        return next((each for each in failures if each.transient), failures[0] if failures else None)


def by_folder(pending: Iterable[Pending]) -> Iterator[Recover]:
    """Yield what is to be looked at together; `pending` comes in order of path."""
    folders: dict[str, list[Pending]] = {}
    for each in pending:
        folders.setdefault(parent(each.path), []).append(each)
    for folder, some in folders.items():
        for start in range(0, len(some), _TOGETHER):
            yield Recover(folder, tuple(some[start : start + _TOGETHER]))


async def settle_all(
    session: RemoteSession,
    recover: Recover,
    previous: Recovered | None = None,
    *,
    clean: bool = True,
    in_place: bool = False,
) -> Recovered:
    """Settle all paths of a folder, those together that need no more than a look; not those settled `previous`ly.

    If files are written `in_place`, temporaries that cannot be removed are in the way of nothing.
    """
    settled = {each.pending.path: each for each in (previous.settled if previous else ()) if not each.failure}
    left = [each for each in recover.pending if each.path not in settled]
    with suppress(Refusal, ConnectionBroken):  # whose it is, and whether it happens again, is seen one by one
        settled |= await _settle_together(session, [each for each in left if _is_plain(each)], clean=clean)
    for each in left:
        if each.path not in settled:
            settled[each.path] = await settle(session, each, clean=clean, in_place=in_place)
    for each in recover.pending:
        new = settled.get(each.twin)
        if new and settled[each.path].is_others and not (new.held or new.failure):
            settled[each.twin] = await _under_its_old_name(session, new)
    return Recovered(tuple(settled[each.path] for each in recover.pending))


async def _under_its_old_name(session: RemoteSession, new: Settled) -> Settled:
    """Look whether a site that takes two names for one has what was to get the new one under the old one."""
    with suppress(Refusal, ConnectionBroken):
        found = _settled(session, new.pending, await session.look(new.pending.path))
        return new._replace(held=found.held, is_others=False) if found.held else new
    return new


def _is_plain(pending: Pending) -> bool:
    return not (pending.boxes or pending.origin or _is_by_name(pending))


def _is_by_name(pending: Pending) -> bool:
    """Tell whether some sites may take the path for another one, so that only a listing shows what has its name."""
    return bool(pending.twin or pending.alike or pending.below_alike)


async def _settle_together(session: RemoteSession, pending: Sequence[Pending], *, clean: bool) -> dict[str, Settled]:
    """Settle paths by one look at all of them, but for those of which an old version may have to be put back."""
    leftovers = [path for each in pending for path in each.leftovers] if clean else []
    asides = [aside for each in pending for aside in each.asides]
    places = [each.path for each in pending]
    seen = await session.look_at([*places, *asides], without=leftovers) if pending else []
    there = dict(zip([*places, *asides], seen, strict=True))
    doubtful = (each for each in pending if clean and _hinges_on_times(session, each, there[each.path]))
    if first := next(doubtful, None):
        await _prove_times(session, first.leftovers[0])
    return {
        each.path: _settled(session, each, there[each.path])
        for each in pending
        if not any(there.get(aside) for aside in each.asides)
    }


def _settled(session: RemoteSession, pending: Pending, seen: Entry | None, *, moved: bool = False) -> Settled:
    held = held_after(pending.path, pending.candidates, seen, sets_times=session.sets_times)
    return Settled(pending, held, moved=moved, is_others=held is None and seen is not None)


def _hinges_on_times(session: RemoteSession, pending: Pending, seen: Entry | None) -> bool:
    """Tell whether a file is taken for another's for no more than its time, and times can be tried."""
    if seen is None or not session.sets_times or not pending.leftovers:
        return False
    by_time, by_size = (held_after(pending.path, pending.candidates, seen, sets_times=each) for each in (True, False))
    return by_size is not None and by_time is None


async def _prove_times(session: RemoteSession, temporary: str) -> None:
    """See whether the site still gives files the time that it is told, where something can be written."""
    with suppress(Refusal):
        await session.store(temporary, Nothing(), lambda: None)
        await session.prove_times(temporary)
    await session.remove_files([temporary])


async def settle(session: RemoteSession, pending: Pending, *, clean: bool = True, in_place: bool = False) -> Settled:
    """Look at what a change that was cut short did, and remove its temporaries (unless not to `clean`)."""
    stays = False
    try:
        if clean and pending.leftovers:
            stays = await _stay(session, pending, in_place=in_place)
        for box in pending.boxes if clean else ():
            await remove_trial(session, box, odd_traits(split(pending.path)[1]))
        seen = await _look(session, pending)
        settle_asides = _settle_asides if clean else _would_be_back
        if pending.asides and (back := await settle_asides(session, pending, seen)) != seen:
            seen, pending = back, pending._replace(candidates=added(pending.candidates, pending.earlier))
        moved, is_whole = await _came(session, pending) if pending.origin and seen else (False, True)
        if clean and not stays and _hinges_on_times(session, pending, seen):
            await _prove_times(session, pending.leftovers[0])
        others = tuple(each for each in pending.alike if each != pending.twin)  # which has a look of its own
        gone = await unlisted(session, pending.path, others) if others and seen else ()
    except CannotBeSent:  # so nothing ever was
        return Settled(pending)
    except Refusal as refusal:
        detail = f"while recovering an interrupted upload: {refusal.told}"
        return Settled(pending, failure=Failure(pending.path, Problem.REFUSED, detail, refusal.transient))
    except ConnectionBroken as broken:
        detail = f"while recovering an interrupted upload: {broken.told}"
        return Settled(pending, failure=Failure(pending.path, broken.problem, detail, transient=True))
    return _settled(session, pending, seen, moved=moved)._replace(is_whole=is_whole, stays=stays, unlisted=gone)


async def _came(session: RemoteSession, pending: Pending) -> tuple[bool, bool]:
    """Tell whether a folder has come from its origin, and with just what was in it: others may have changed that."""
    old, new = pending.origin, pending.path
    if await was_renamed(session, old, new, pending.inside, twin=bool(pending.twin)):
        return True, True
    return await is_at_new_name(session, old, new, twin=bool(pending.twin)), False


async def _stay(session: RemoteSession, pending: Pending, *, in_place: bool) -> bool:
    """Remove temporaries; tell whether some stay, which is in the way of nothing unless none can ever be renamed."""
    try:
        await session.remove_files(pending.leftovers)
    except Refusal as refusal:
        if refusal.transient:
            raise
        if not in_place and await _is_fixed(session, pending.leftovers):
            session.found_barred(parent(pending.path), Barred.CHANGES)
            raise
        return True
    return False


async def _is_fixed(session: RemoteSession, temporaries: Sequence[str]) -> bool:
    """Tell whether a temporary that cannot be removed can be written, but not renamed: it is not its name that bars it.

    So it is seen without making another one that would stay, too.
    """
    for temporary, other in pairwise([*temporaries, temporaries[0]]):
        if await session.size(temporary) is not None:
            try:
                await session.store(temporary, Nothing(), lambda: None)
            except Refusal:
                return False
            try:
                await session.rename(temporary, other)
            except Refusal as refusal:
                return not refusal.transient
            return False
    return False


async def _look(session: RemoteSession, pending: Pending) -> Entry | None:
    if not _is_by_name(pending):
        return await session.look(pending.path)
    seen = await spelled(session, pending.path)
    may_have_kept_its_name = pending.twin and pending.origin and pending.held
    return await session.look(pending.path) if seen is None and may_have_kept_its_name else seen


async def _settle_asides(session: RemoteSession, pending: Pending, seen: Entry | None) -> Entry | None:
    """Give the old version its name back where nothing has that; remove it only where something stands."""
    for aside in pending.asides:
        if seen is not None:
            await session.remove_files([aside])
        elif await session.size(aside) is not None:
            await session.rename(aside, pending.path)
            seen = await _look(session, pending)
    return seen


async def _would_be_back(session: RemoteSession, pending: Pending, seen: Entry | None) -> Entry | None:
    """Return what would be seen at a path once an old version had its name back."""
    for aside in pending.asides:
        if seen is None and (there := await session.look(aside)):
            seen = there._replace(path=pending.path)
    return seen
