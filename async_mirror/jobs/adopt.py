"""Adopts what the site has already: compares a folder of the site with what should be there, entry by entry."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from os.path import splitext
from typing import NamedTuple

from async_mirror.jobs.attempt import Publisher
from async_mirror.jobs.content import same_content
from async_mirror.model import odd_names, temporary_names
from async_mirror.model.candidates import unknown
from async_mirror.model.entry import UNKNOWN, Entry, Kind
from async_mirror.model.outcome import Failure, Problem
from async_mirror.model.paths import join, split
from async_mirror.model.settings import ExistingEqual
from async_mirror.remote.errors import ConnectionBroken, Refusal
from async_mirror.remote.session import RemoteListing, RemoteSession

_SECOND_NS = 1_000_000_000
TIMES, ALL_TIMES = "times", "all times"


class Compare(NamedTuple):
    """List a remote folder and compare it with what the source has there, and with what it is thought to hold."""

    folder: str
    entries: tuple[Entry, ...]
    held: tuple[Entry, ...] = ()


MayRead = Callable[[int], Awaitable[None]]


class Compared(NamedTuple):
    """What a remote folder holds that the source has too: `adopted` equals it, of `folders` it has the like.

    `found` counts the files among them that the source has just so and that were not held, `confirmed` those that
    were. `adopted` holds what is as it was thought to be, too, `changed` are the paths of what was held and is
    another version now, `lost` those of what is not (any more). `differing` are paths of files that both have and
    that are not equal; they will be replaced. `unmanaged` is what the source does not have and what is not held; it
    is not ours. What a `complete` listing does not show is not there; if its name begins with a dot, only if
    `shows_dot_names`. `unsure` are paths of the source that may be there although they are not shown as such: they
    are there as a folder, or in another case or Unicode form, or nothing with their extension is, which a server
    may hide. `untimed` are files that differ in nothing but their times, on a site that is not known to set any,
    and were too large to be read back: what the site shows of each, and what the source has. `altered` says what
    the site was seen to alter of what was sent: `TIMES` to two seconds, `ALL_TIMES`, or names in their "case" or
    "form".
    """

    folder: str
    adopted: tuple[Entry, ...] = ()
    found: int = 0
    confirmed: int = 0
    lost: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    folders: frozenset[str] = frozenset()
    differing: tuple[str, ...] = ()
    unmanaged: tuple[Entry, ...] = ()
    cut: bool = False
    oddities: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    complete: bool = False
    shows_dot_names: bool = False
    unsure: tuple[str, ...] = ()
    untimed: tuple[tuple[Entry, Entry], ...] = ()
    altered: frozenset[str] = frozenset()
    notes: frozenset[str] = frozenset()
    failure: Failure | None = None


async def compare(session: RemoteSession, task: Compare, equal: "Equal | None" = None) -> Compared:
    """List a folder and tell which of the source's entries the site holds already: by size and mtime, or as `equal`."""
    try:
        listing = await session.list_folder(task.folder)
        gone = Compared(task.folder, lost=tuple(entry.path for entry in task.held))
        compared = await _compared(session, task, listing, equal) if listing else gone
        return await _read_back(session, compared, equal) if compared.untimed and equal else compared
    except Refusal as refusal:
        failure = Failure(task.folder, Problem.REFUSED, refusal.told, refusal.transient)
    except ConnectionBroken as broken:
        failure = Failure(task.folder, broken.problem, broken.told, transient=True)
    return Compared(task.folder, failure=failure)


CHEAP = 64 * 1024
"""Bytes of a file that costs hardly more to read than to send again."""
CHEAP_IN_ALL = 4 * 1024 * 1024
"""Bytes of all that is read back of one folder because it is cheap."""


class Equal:
    """Whether existing files are equal to those of the source, by other than their size and time.

    By size alone or by content, whatever the publisher says; if that is by time, those that a site gives no times are
    compared by content where that is cheap. Nothing is changed if `dry`.
    """

    def __init__(self, publisher: Publisher, session: RemoteSession, may_read: MayRead, *, dry: bool = False) -> None:
        """Compare with the source of a publisher."""
        self._publisher = publisher
        self._session = session
        self._may_read = may_read
        self.dry = dry
        self.notes: set[str] = set()

    @property
    def by_time(self) -> bool:
        """True if size and time decide, as far as the site keeps times."""
        return self._publisher.existing_equal is ExistingEqual.TIME

    async def version(self, seen: Entry, here: Entry) -> Entry | None:
        """Return what is held from now on if a file is equal, None if not.

        A site that sets times is to get that of the source, too: what is held has the one that it shows.
        """
        if seen.is_folder or here.is_folder:
            return _as_seen(here, seen) if may_be(seen, here) else None
        if seen.size != here.size:
            return None
        if self._publisher.existing_equal is ExistingEqual.SIZE:
            return _as_seen(here, seen)
        if (local := await self.same(here)) is None:
            return None
        is_dated = may_be(seen, local) or seen.mtime_ns == UNKNOWN or not self._session.may_set_times
        return _as_seen(local if is_dated else local._replace(mtime_ns=seen.mtime_ns), seen)

    async def same(self, here: Entry) -> Entry | None:
        """Return a file as it is read now if the site has the same content, None if not, or if that cannot be told."""
        try:
            found = await same_content(self._session, self._publisher.source, here, self._may_read)
        except OSError:  # the upload will tell it
            return None
        self.notes |= {found.note} - {""}
        return found.local if found.is_same else None


async def _compared(session: RemoteSession, task: Compare, listing: RemoteListing, equal: "Equal | None") -> Compared:
    source = {entry.path: entry for entry in task.entries}
    held = {entry.path: entry for entry in task.held}
    there = await _there(session, listing, source, held)
    adopted: list[Entry] = []
    differing: list[str] = []
    lost: list[str] = []
    untimed: list[tuple[Entry, Entry]] = []
    unsure: list[str] = []
    changed: list[str] = []
    unmanaged: list[Entry] = []
    strange: dict[str, Entry] = {}
    both = [(there[entry.path], entry) for entry in task.held if not entry.is_folder and entry.path in there]
    keeps_times = any(may_be(seen, entry) for seen, entry in both)
    is_dated = any(_same_second(seen.mtime_ns, entry.mtime_ns) for seen, entry in both)
    restamps = session.may_set_times and not is_dated and _restamps(both)
    sets_times = is_dated or (session.may_set_times and not restamps)
    start = len(join(task.folder, ""))
    new = source.keys() - held.keys()
    for path, seen in there.items():
        known, here = held.pop(path, None), source.get(path)
        like = here if known or not odd_names.may_be_misread(path[start:]) else None
        if like and not known and equal and not equal.by_time:
            version = await equal.version(seen, like)
        else:
            version = _version(seen, known, like, keeps_times=keeps_times, sets_times=sets_times)
        if version:
            adopted.append(version)
            changed += [path] if known and version.size == UNKNOWN != known.size else []
            continue
        lost += [path] if known else []
        if here is None:
            if not temporary_names.is_temporary(path[start:]):
                unmanaged.append(seen)
                strange[odd_names.folded(path)] = seen
        elif seen.is_folder:
            unsure.append(path)
        else:
            differing.append(path)
            untimed += [(seen, like)] if like and not known and not sets_times and seen.size == like.size else []
    unlisted = await _unlisted(session, held.values(), strange, complete=listing.complete)
    respelled = {folded: entry for entry in unlisted if (folded := odd_names.folded(entry.path)) in strange}
    missing = [path for path in source if path not in there]
    shown = set(map(_extension, there)) if there else set(map(_extension, missing))
    unsure += [path for path in missing if odd_names.folded(path) in strange or _extension(path) not in shown]
    lost += held.keys() - {entry.path for entry in unlisted}
    spellings = {strange[folded].path for folded in respelled}
    as_here = [
        entry.path in new
        for entry in adopted
        if entry.kind is Kind.FILE and _is_here(entry, source.get(entry.path), is_new=entry.path in new)
    ]
    return Compared(
        task.folder,
        (*adopted, *unlisted),
        sum(as_here),
        len(as_here) - sum(as_here),
        tuple(lost),
        tuple(changed),
        frozenset(entry.path for entry in (*adopted, *unlisted) if entry.kind is Kind.FOLDER),
        tuple(differing),
        tuple(entry for entry in unmanaged if entry.path not in spellings),
        listing.cut,
        listing.oddities,
        listing.unreadable,
        listing.complete,
        listing.shows_dot_names,
        tuple(unsure),
        tuple(untimed),
        frozenset(
            [TIMES] * any(_is_rounded(seen, entry) for seen, entry in both)
            + [ALL_TIMES] * restamps
            + [odd_names.differ_in(entry.path, strange[folded].path) for folded, entry in respelled.items()]
        ),
        frozenset(equal.notes if equal else ()),
    )


async def _read_back(session: RemoteSession, compared: Compared, equal: Equal) -> Compared:
    """Take over files whose content is the source's, though no time shows it; they get their time if that can be."""
    same: dict[str, Entry] = {}
    seen_of = {here: seen for seen, here in compared.untimed}
    for here in cheap(seen_of):
        if version := await equal.same(here):
            dated = not equal.dry and await session.set_mtime(here.path, version.mtime_ns)
            seen = seen_of[here]
            same[here.path] = _as_seen(version, seen._replace(mtime_ns=UNKNOWN) if dated else seen)
    return compared._replace(
        adopted=(*compared.adopted, *same.values()),
        found=compared.found + len(same),
        differing=tuple(path for path in compared.differing if path not in same),
        untimed=tuple((seen, here) for seen, here in compared.untimed if here.path not in same and here.size > CHEAP),
        notes=frozenset(equal.notes),
    )


def cheap(entries: Iterable[Entry]) -> list[Entry]:
    """Return as many as are worth reading back."""
    left, some = CHEAP_IN_ALL, []
    for entry in entries:
        if entry.size <= min(CHEAP, left):
            left -= entry.size
            some.append(entry)
    return some


def _extension(path: str) -> str:
    return splitext(split(path)[1])[1].lower()


def _version(
    seen: Entry, known: Entry | None, here: Entry | None, *, keeps_times: bool, sets_times: bool
) -> Entry | None:
    """Return what is held at a path from now on, given what was held and what the source has; None for nothing.

    What was held and is another version now is still ours if the source has it, so that it is sent again; else only if
    it has the size that it had and nothing here has its time, for there are servers that set no mtimes. On one that is
    not known to set any, a version that was never seen there is known by its size, and from now on by its time.
    """
    if known and known.size == UNKNOWN:
        return known if known.kind is seen.kind else None
    for version in (known, here):
        if version and may_be(seen, version):
            return _as_seen(version, seen)
    if known is None or known.is_folder or seen.is_folder:
        return None
    if not sets_times and known.site_mtime_ns == UNKNOWN and known.size == seen.size:
        return _as_seen(known, seen)
    if here:
        return unknown(known)
    return known if known.size == seen.size and not keeps_times else None


def _is_here(held: Entry, here: Entry | None, *, is_new: bool) -> bool:
    """Tell whether the source has what is held now, or what is adopted for its content and gets its date later."""
    if here is None or here.kind is not held.kind:
        return False
    return here.same_content_as(held) or (is_new and bool(held.digest) and here.size == held.size)


def _as_seen(version: Entry, seen: Entry) -> Entry:
    mode = version.mode if seen.mode == UNKNOWN else seen.mode
    return version._replace(mode=mode, site_size=seen.size, site_mtime_ns=seen.mtime_ns)


def _is_rounded(seen: Entry, known: Entry) -> bool:
    """Tell whether a site shows another second than the one that was set, and the same all the same."""
    is_other = seen.mtime_ns // _SECOND_NS != known.mtime_ns // _SECOND_NS
    return is_other and seen.size == known.size and _same_second(seen.mtime_ns, known.mtime_ns)


def _restamps(both: Sequence[tuple[Entry, Entry]]) -> bool:
    """Tell whether a site only says that it sets times: all of several files are as large as what was sent, and newer.

    What an older backup brought back would be older.
    """
    return len(both) > 1 and all(
        seen.size == known.size and known.site_mtime_ns == UNKNOWN and seen.mtime_ns > known.mtime_ns
        for seen, known in both
    )


async def _unlisted(
    session: RemoteSession, held: Iterable[Entry], strange: Mapping[str, Entry], *, complete: bool
) -> list[Entry]:
    """Return what a listing left out though it is there: one look at each, for listings are cut without a word.

    What is `strange`, by its folded name, may be what is held, in the spelling of the site.
    """
    files = [entry for entry in held if not entry.is_folder]
    folders = [entry for entry in held if entry.is_folder]
    if not complete:
        return [*map(unknown, files), *folders]
    times = await session.modified([entry.path for entry in files]) if files else []
    there = ((entry, mtime_ns) for entry, mtime_ns in zip(files, times, strict=True) if mtime_ns != UNKNOWN)
    found = [
        _respelled(entry, strange, mtime_ns) or await _hidden(session, entry, mtime_ns) for entry, mtime_ns in there
    ]
    for folder in folders:
        seen = await session.look(folder.path)
        found += [folder] if seen and seen.is_folder else []
    return found


async def _hidden(session: RemoteSession, held: Entry, mtime_ns: int) -> Entry:
    """Return a held file that is there although no listing shows it, as it was sent if it has that size and time."""
    size = await session.size(held.path)
    seen = Entry(held.path, Kind.FILE, UNKNOWN if size is None else size, mtime_ns)
    return _as_seen(held, seen) if seen.size != UNKNOWN and may_be(seen, held) else unknown(held)


def _respelled(held: Entry, strange: Mapping[str, Entry], mtime_ns: int) -> Entry | None:
    """Return a held file that is listed under another spelling of its name, as it was sent; None if it is not."""
    listed = strange.get(odd_names.folded(held.path))
    seen = listed and listed._replace(mtime_ns=mtime_ns)
    return _as_seen(held, seen) if seen and may_be(seen, held) else None


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


def may_be(seen: Entry, version: Entry) -> bool:
    """Tell whether what was seen on the site may be this version: it is as the site showed it, or as the source has it.

    Once the site has shown its own time for a version, no other is compared with it.
    """
    if seen.kind is not version.kind or seen.is_folder:
        return seen.kind is version.kind
    if version.site_mtime_ns != UNKNOWN:
        return seen.size == version.site_size and _same_second(seen.mtime_ns, version.site_mtime_ns)
    return seen.size == version.size and _same_second(seen.mtime_ns, version.mtime_ns)


def _same_second(seen_ns: int, known_ns: int) -> bool:
    """Tell whether a time is the one that was set: FAT keeps just the even seconds."""
    kept_to_ns = _SECOND_NS if seen_ns // _SECOND_NS % 2 else 2 * _SECOND_NS
    return seen_ns != UNKNOWN and abs(known_ns - seen_ns) < kept_to_ns
