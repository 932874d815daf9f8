"""What one folder's listing and what the site is known to hold make necessary. Pure: no I/O, no clock, no logging."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from async_mirror.model.change import Change, MakeFolder, Move, SendFile, SetAttributes
from async_mirror.model.entry import UNKNOWN, Entry, Listing, Marks
from async_mirror.model.odd_names import folded
from async_mirror.model.paths import split

ALL_MARKS = Marks()
UNREAD = "possibly changed; the content on the site is not known"
CHANGED_BENEATH = "content changed, size and date did not"
"""Why a file is sent of which only the ctime or the inode told."""


class Swap(NamedTuple):
    """A file where the site holds a folder, or the reverse: `held` has to go before `entry` can come."""

    entry: Entry
    held: Entry


@dataclass(slots=True)
class FolderPlan:
    """What is to be done about one folder.

    `changes` can be carried out at once, in their order. The rest needs the whole picture and waits until the scan is
    over: `moves`, `swaps`, what is `gone` from the source, the `modes` of folders, set after their content, and
    `doubles`, files with names that some sites take for that of another one, which goes first.
    `refreshed` are held entries of which only what is local changed. Below `unmounted` folders nothing may be removed.
    `touched` files have the size and date of what is held and another ctime or inode; `unsized` ones can be known by
    their content alone: both are to be read, see `plan_read`.
    """

    changes: list[Change] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    swaps: list[Swap] = field(default_factory=list)
    gone: list[Entry] = field(default_factory=list)
    modes: list[SetAttributes] = field(default_factory=list)
    doubles: list[SendFile] = field(default_factory=list)
    refreshed: list[Entry] = field(default_factory=list)
    touched: list[Entry] = field(default_factory=list)
    unsized: list[Entry] = field(default_factory=list)
    unmounted: list[str] = field(default_factory=list)


def plan_folder(
    listing: Listing,
    held: Iterable[Entry],
    origins: Mapping[str, Entry] | None = None,
    renamed: Mapping[str, Move] | None = None,
    *,
    perms: bool = True,
    marks: Marks = ALL_MARKS,
) -> FolderPlan:
    """Compare a folder's listing with what is held there.

    `held` are the visible held entries of the folder; what is a link or a special file now counts as not visible.
    `marks` says which marks count there.
    `origins` gives, for new files, the held file that has the same
    inode and whose own path is gone; `renamed`, for new folders, the Move that brings one with all that is in it.
    From a listing that is not complete nothing is ever gone, and no folder renamed.
    """
    plan = FolderPlan()
    missing = {entry.path: entry for entry in held if entry.path not in listing.others}
    new: list[Entry] = []
    for entry in listing.entries:
        old = missing.pop(entry.path, None)
        if old is None:
            new.append(entry)
        elif old.kind is not entry.kind:
            plan.swaps.append(Swap(entry, old))
            plan.unmounted.extend([entry.path] if old.mount else [])
        else:
            _plan_known(plan, entry, old, marks, perms=perms)
    if not listing.complete:
        missing.clear()
    doubles = _doubles(new, plan.changes, listing) if new or plan.changes else {}
    if new:
        moves = renamed if renamed and listing.complete else {}
        _plan_new(plan, new, _take_twins(new, missing), origins or {}, moves, doubles=doubles, perms=perms)
    if doubles:
        _keep_apart(plan, doubles)
    plan.unmounted.extend(entry.path for entry in missing.values() if entry.mount)
    plan.gone.extend(missing.values())
    return plan


def plan_read(now: Entry, held: Entry, *, perms: bool = True) -> FolderPlan:
    """Plan what is to be done about a `touched` or `unsized` file, given what the source has now, its digest too.

    Where what is held was not read, the site is to tell.
    """
    plan = FolderPlan()
    if held.size != UNKNOWN and not now.same_content_as(held):
        _plan_changed(plan, now, held)
    elif not held.digest:
        plan.changes.append(SendFile(now, held, UNREAD, compares=True))
    elif now.digest != held.digest:
        plan.changes.append(SendFile(now, held, CHANGED_BENEATH))
    else:
        same = held._replace(size=now.size, inode=now.inode, ctime_ns=now.ctime_ns)
        plan.refreshed.append(same)
        _plan_known(plan, now, same, ALL_MARKS, perms=perms)
    return plan


def _plan_known(plan: FolderPlan, entry: Entry, held: Entry, marks: Marks, *, perms: bool) -> None:
    if held.mount and not entry.mount:
        plan.unmounted.append(entry.path)
        entry = entry._replace(mount=True)
    if not entry.same_content_as(held):
        _plan_changed(plan, entry, held)
        return
    touched = not entry.is_folder and not marks.agree(entry, held)
    if touched:
        plan.touched.append(entry)
    refreshed = _refreshed(entry, held, touched=touched)
    if perms and entry.mode != held.mode:
        change = SetAttributes(refreshed._replace(mode=entry.mode), held, _why_mode(entry, held))
        (plan.modes if entry.is_folder else plan.changes).append(change)
    elif refreshed != held:
        plan.refreshed.append(refreshed)


def _plan_changed(plan: FolderPlan, entry: Entry, held: Entry) -> None:
    if held.size == UNKNOWN and held.digest:
        plan.unsized.append(entry)
        return
    plan.changes.append(SendFile(entry, held, why_sent(entry, held), compares=entry.size == held.size))


def _refreshed(entry: Entry, held: Entry, *, touched: bool) -> Entry:
    """Return what is held with what is local as it is now.

    The marks of a `touched` file stay, for it was not read since. A held ctime stays, too, where none is known it
    becomes the present one.
    """
    if touched:
        return held
    ctime_ns = held.ctime_ns if held.ctime_ns > 0 else entry.ctime_ns
    return held._replace(inode=entry.inode, mount=entry.mount, ctime_ns=ctime_ns)


def _plan_new(
    plan: FolderPlan,
    new: list[Entry],
    twins: Mapping[str, Entry],
    origins: Mapping[str, Entry],
    renamed: Mapping[str, Move],
    *,
    doubles: Mapping[str, str],
    perms: bool,
) -> None:
    taken = {twin.path for twin in twins.values()}
    for entry in new:
        twin = twins.get(entry.path)
        origin = origins.get(entry.path)
        if twin is not None:
            plan.changes.append(Move(entry, twin, f"renamed from {twin.path}", twin=True))
            plan.unmounted.extend([entry.path] if twin.mount and not entry.mount else [])
        elif entry.path in doubles and not entry.is_folder:
            plan.doubles.append(SendFile(entry, None, "new", double=doubles[entry.path]))
        elif entry.is_folder:
            move = None if entry.path in doubles else renamed.get(entry.path)
            make = MakeFolder(entry, "new", double=doubles.get(entry.path, ""))
            plan.changes.append(move if move and move.held.path not in taken else make)
        elif origin is not None and origin.path not in taken:
            plan.moves.append(Move(entry, origin, f"renamed from {origin.path}"))
        else:
            plan.changes.append(SendFile(entry, None, "new"))
        if perms and entry.is_folder:
            plan.modes.append(SetAttributes(entry, entry._replace(mode=UNKNOWN), "new"))


def _keep_apart(plan: FolderPlan, doubles: Mapping[str, str]) -> None:
    """Have changed files wait that a site may take for another one, though both are held."""
    waiting = [each for each in plan.changes if isinstance(each, SendFile) and each.held and each.entry.path in doubles]
    plan.changes = [each for each in plan.changes if each not in waiting]
    plan.doubles += [each._replace(double=doubles[each.entry.path]) for each in waiting]


def _doubles(new: Iterable[Entry], changes: Iterable[Change], listing: Listing) -> dict[str, str]:
    """Return the new and the changed paths that a site may take for another one of the folder, and that one.

    What the site holds already goes first, else what comes first in order of names. Where both are held, others may
    have removed one before the other was made: then neither goes first.
    """
    alike: dict[str, list[str]] = {}
    for entry in listing.entries:
        alike.setdefault(folded(entry.path), []).append(entry.path)  # what is above them is the same for all
    if len(alike) == len(listing.entries):
        return {}
    is_new = {entry.path for entry in new}
    fresh = is_new.union(each.entry.path for each in changes if isinstance(each, SendFile))
    doubles: dict[str, str] = {}
    for some in alike.values():
        first, *others = sorted(some, key=lambda path: (path in is_new, path))
        doubles |= {path: first for path in others if path in fresh}
        if first in fresh and others and others[0] not in is_new:
            doubles[first] = others[0]
    return doubles


def _take_twins(new: list[Entry], missing: dict[str, Entry]) -> dict[str, Entry]:
    """Pair new paths with missing ones that differ in case or Unicode form alone; those are missing no longer."""
    if not missing:
        return {}
    candidates = {(folded(split(path)[1]), old.kind): old for path, old in missing.items()}
    twins = {}
    for entry in new:
        twin = candidates.pop((folded(split(entry.path)[1]), entry.kind), None)
        if twin is not None:
            twins[entry.path] = missing.pop(twin.path)
    return twins


def why_sent(entry: Entry, held: Entry) -> str:
    """Say in words why a held file is sent again."""
    if held.size == UNKNOWN:
        return "state of the site unknown"
    if entry.size != held.size:
        return f"size {held.size} -> {entry.size}"
    return "newer" if entry.mtime_ns > held.mtime_ns else "older"


def _why_mode(entry: Entry, held: Entry) -> str:
    before = "unknown" if held.mode == UNKNOWN else f"{held.mode:03o}"
    return f"mode {before} -> {entry.mode:03o}"
