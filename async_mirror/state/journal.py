"""What is being done to the site, noted before it is done, and what came of it. Knows neither site nor source."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, groupby
from typing import NamedTuple, TypeGuard

from async_mirror.model import odd_names, temporary_names
from async_mirror.model.candidates import Candidates, added, unknown
from async_mirror.model.change import (
    Inside,
    Job,
    MakeFolder,
    Move,
    RemoveFile,
    RemoveFolder,
    SendFile,
    SetAttributes,
    SetDate,
    path_of,
    touched,
    touches,
)
from async_mirror.model.entry import Entry, Kind, fingerprint
from async_mirror.model.outcome import Done, InDoubt, Outcome, Pending, Unmanaged
from async_mirror.model.paths import decode, encode, join, lineage, split
from async_mirror.state.held import Held, forget, forget_one, hold, holds, is_any, move_below
from async_mirror.state.schema import (
    ABSENT,
    CANDIDATES,
    PENDING,
    VERSION_COLUMNS,
    Row,
    chunks,
    due,
    insert,
    later,
    marks,
    row_of,
    signed,
    version_of,
)

_KNOWN = Done | Unmanaged
"""What tells what is held."""
_REMOVALS = RemoveFile | RemoveFolder
_VERSION = ", ".join(VERSION_COLUMNS)
_NOTED_LATER = f"noted = noted AND (kind = {Kind.FOLDER.value} OR kind = {Kind.FILE.value} AND other != x'')"
"""What was noted may no longer come to be there, for its temporary is gone; but a folder may still be made, or renamed,
and so may a file that was sent before.
"""


class Journal(Held):
    """What is held, and what is being done about it. The methods block; they are called from one thread at a time.

    A path that a job touches is open until it is known what came of it, and what was sent about it can be done no more.
    """

    id: str

    def begin(self, jobs: Iterable[Job]) -> None:
        """Open the paths of jobs, for good, before anything is done about them on the site."""
        with self._database.transaction(durable=True) as connection:
            insert(connection, PENDING, chain.from_iterable(map(_rows, jobs)))

    def abandon(self, jobs: Iterable[Job]) -> None:
        """Forget jobs that were never begun on the site."""
        with self._database.transaction(durable=False) as connection:
            _close(connection, _keys(jobs))

    def add_candidate(self, path: str, token: str, version: Entry | None) -> None:
        """Record, for good, what else a job may put at an open path from now on; None for nothing."""
        with self._database.transaction(durable=True) as connection:
            _add_candidates(connection, (encode(path), token), Candidates((version,)))

    def note_shapes(self, path: str, token: str, shapes: int) -> None:
        """Record, for good, in which shapes the temporaries of a job may be from now on."""
        with self._database.transaction(durable=True) as connection:
            connection.execute(
                "UPDATE pending SET shapes = shapes | ? WHERE path = ? AND token = ?", (shapes, encode(path), token)
            )

    def commit(self, outcomes: Iterable[Outcome], now: float) -> None:
        """Record what came of jobs. `now` is `time.monotonic()`: from it is reckoned when to look again."""
        every = list(outcomes)
        known = [outcome for outcome in every if isinstance(outcome, _KNOWN)]
        confirmed = [outcome for outcome in known if isinstance(outcome, Done)]
        open_still = list(filter(_stays_open, every))
        closed = [outcome for outcome in every if not _stays_open(outcome)] if open_still else every
        with self._database.transaction(durable=False) as connection:
            for adds, group in groupby(known, _only_adds):
                if adds:
                    hold(connection, (each.held for each in group if isinstance(each, Done) and each.held))
                else:
                    for outcome in group:
                        _apply(connection, outcome)
            _close(connection, _keys([each.job for each in closed]))
            for each in open_still:
                _keep_open(connection, each, later(now))
            _close_older(connection, (path for outcome in confirmed for path in touched(outcome.change)))

    def movable_folders(self, inode: int) -> list[Entry]:
        """Return the held folders that were last seen with this inode, but for those in which something is open."""
        found = self._found("inode = ? AND kind = 2", (signed(inode),))
        return [each for each in found if not self._has_open(each.path)]

    def _has_open(self, folder: str) -> bool:
        """Tell whether anything is being done, or in doubt, at a path or below it."""
        raw = encode(folder)
        with self._database.reading() as connection:
            return is_any(connection, "pending WHERE path = ? OR (path > ? AND path < ?)", raw, raw + b"/", raw + b"0")

    def open_paths(self) -> set[str]:
        """Return all paths of which it is not known for good what is there."""
        with self._database.reading() as connection:
            return {decode(path) for (path,) in connection.execute("SELECT DISTINCT path FROM pending")}

    def pending(self, now: float) -> list[Pending]:
        """Return the open paths that are to be looked at, once it is `due`; each once, with all that is open there."""
        with self._database.reading() as connection:
            rows = connection.execute(
                f"SELECT path, token, tries, other, anything, noted, answered OR look_after AND {due(now)}, shapes,"
                f" {_VERSION} FROM pending WHERE path IN (SELECT path FROM pending WHERE {due(now)})"
                " ORDER BY path, token"
            ).fetchall()
            opened = [_Open._make((*row[:8], row[8:])) for row in rows]
            alike = _alike(connection, {each.path for each in opened})
            return [self._pending(connection, list(rows), alike) for _, rows in groupby(opened, lambda each: each.path)]

    def _pending(self, connection: sqlite3.Connection, rows: list["_Open"], alike: "_Alike") -> Pending:
        path = decode(rows[0].path)
        held = self.held(path)
        others = [(decode(row.other), row.version[0]) for row in rows if row.other]
        origin = next((other for other, kind in others if kind == Kind.FOLDER), "")
        made = MakeFolder(Entry(path, Kind.FOLDER), "")
        uploads = [Job(made, row.token, row.tries, row.shapes) for row in rows if row.makes and row.tries]
        is_odd = bool(odd_names.odd_traits(split(path)[1]))
        boxed = [Job(made, row.token, row.tries, row.shapes) for row in rows if is_odd or not row.makes]
        return Pending(
            path,
            added(_candidates_at(connection, path, held, rows), self._late(path, rows)),
            held,
            self._temporaries(path, ((job, job.temporary_token(n)) for job in uploads for n in range(job.tries))),
            self._temporaries(path, ((job, job.aside_token) for job in uploads)),
            self._temporaries(path, ((job, job.probe_token) for job in boxed)),
            next((other for other, _ in others if odd_names.folded(other) == odd_names.folded(path)), ""),
            origin,
            self._inside(origin) if origin and self.held(origin) else (),
            all(row.answered for row in rows),
            alike.get(rows[0].path, ()),
            tuple(version for row in rows if row.tries and (version := version_of(path, row.version))),
            any(alike.get(encode(each)) for each in lineage(path)),
        )

    def _late(self, path: str, rows: Iterable["_Open"]) -> Iterator[Entry]:
        """Yield what is held where a file is to come from: a rename that is late may bring that."""
        for row in rows:
            if row.other and row.version[0] == Kind.FILE and (held := self.held(decode(row.other))):
                yield held._replace(path=path)

    def _temporaries(self, path: str, tokens: Iterable[tuple[Job, str]]) -> tuple[str, ...]:
        folder, name = split(path)
        return tuple(
            join(folder, temporary_names.temporary(self.id, token, shape, name))
            for job, token in tokens
            for shape in temporary_names.shapes_in(job.shapes)
        )

    def _inside(self, folder: str) -> Inside:
        return tuple((each[len(folder) + 1 :], fingerprint(held)) for each, held in self.held_through(folder))

    def resolve(
        self, pending: Pending, left: Entry | None, now: float, *, again: bool, moved: bool = False, known: bool = True
    ) -> None:
        """Record what is held at an open path that was looked at; `moved` says that it has come from its origin.

        What came along with it is `known` to be all that was there, or may have been changed since. The path is
        closed, or looked at `again` later. `now` is the time: what is due by then has yet to be looked at.
        """
        with self._database.transaction(durable=False) as connection:
            _record_found(connection, pending, left, now, moved=moved, known=known)
            where = (encode(pending.path),)
            if again:
                update = f"UPDATE pending SET look_after = ?, {_NOTED_LATER}, anything = 0 WHERE path = ?"
                connection.execute(update, (later(now), *where))
                connection.execute("DELETE FROM candidates WHERE path = ?", where)
            else:
                connection.execute("DELETE FROM pending WHERE path = ?", where)


# Rows.

_Alike = Mapping[bytes, tuple[str, ...]]


class _Open(NamedTuple):
    """A row of an open path. Its version is what was noted of it, though that may count no more."""

    path: bytes
    token: str
    tries: int
    other: bytes
    anything: int
    noted: int
    answered: int
    shapes: int
    version: Row

    @property
    def makes(self) -> bool:
        """True if the job was to leave something at the path."""
        return bool(self.version[0] != ABSENT)

    @property
    def writes_in_place(self) -> bool:
        """True if a part of a file may be at the path."""
        return self.version[0] == Kind.FILE and bool(self.shapes & temporary_names.IN_PLACE)


def _candidates_at(connection: sqlite3.Connection, path: str, held: Entry | None, rows: Iterable[_Open]) -> Candidates:
    candidates = Candidates((held,))
    for row in rows:
        noted_there = [version_of(path, row.version)] if row.noted else []
        more = _candidates(connection, (row.path, row.token)).versions
        anything, torn = candidates.anything or bool(row.anything), candidates.torn or row.writes_in_place
        candidates = added(candidates._replace(anything=anything, torn=torn), [*noted_there, *more])
    return candidates


def _alike(connection: sqlite3.Connection, paths: Iterable[bytes]) -> _Alike:
    """Return for each path those of ours that may be beside it and differ in case or Unicode form alone, if any do."""
    by_folder: dict[str, set[str]] = {}
    for (path,) in connection.execute("SELECT DISTINCT path FROM pending"):
        folder, name = split(decode(path))
        by_folder.setdefault(folder, set()).add(name)
    found: dict[bytes, tuple[str, ...]] = {}
    for folder in {split(decode(path))[0] for path in paths}:
        held = connection.execute("SELECT name FROM held WHERE folder = ?", (encode(folder),))
        names = by_folder[folder].union(decode(name) for (name,) in held)
        for _, group in groupby(sorted(names, key=odd_names.folded), odd_names.folded):
            same = {join(folder, name) for name in group}
            found |= {encode(each): tuple(same - {each}) for each in same}
    return found


def _rows(job: Job) -> list[tuple[object, ...]]:
    """Return the rows of a job: for each path that it touches, what it may make of that."""
    change, path, rows = job.change, path_of(job.change), []
    tries = 0 if isinstance(change, _REMOVALS) or change.entry.is_folder else job.tries
    for each, _, version in touches(change):
        own = each == path
        rows.append(_row(each, job.token, version, _other(change, each), tries * own, shapes=job.shapes * own))
    return rows


def _other(change: object, path: str) -> str:
    """Return the second path of a rename."""
    if not isinstance(change, Move):
        return ""
    return change.entry.path if path == change.held.path else change.held.path


def _row(
    path: str,
    token: str,
    version: Entry | None,
    other: str,
    tries: int,
    *,
    shapes: int = 1,
    is_noted: bool = True,
) -> tuple[object, ...]:
    return encode(path), token, tries, encode(other), 0, 0, 0, is_noted, shapes, *row_of(version)


def _keys(jobs: Iterable[Job]) -> Iterator[tuple[bytes, str]]:
    return ((encode(path), job.token) for job in jobs for path in touched(job.change))


def _close(connection: sqlite3.Connection, keys: Iterable[tuple[bytes, str]]) -> None:
    for some in chunks(keys):
        pairs = ", ".join(["(?, ?)"] * len(some))
        connection.execute(
            f"DELETE FROM pending WHERE (path, token) IN (VALUES {pairs})", list(chain.from_iterable(some))
        )


def _close_older(connection: sqlite3.Connection, paths: Iterable[str]) -> None:
    """Close what older jobs left open at paths: what is confirmed now replaces all that may have been there.

    Temporaries of theirs may be left beside it, and a server may still do what it was sent: then it is looked at again.
    """
    for confirmed in chunks(map(encode, paths)):
        rows = connection.execute(f"SELECT path FROM pending WHERE path IN ({marks(len(confirmed))})", confirmed)
        some = [path for (path,) in rows]
        if not some:  # as nearly always
            continue
        older = f"look_after = 0 AND path IN ({marks(len(some))})"
        connection.execute(f"DELETE FROM pending WHERE tries = 0 AND answered AND {older}", some)
        connection.execute(f"UPDATE pending SET {_NOTED_LATER}, anything = 0 WHERE {older}", some)
        connection.execute(f"DELETE FROM candidates WHERE path IN ({marks(len(some))})", some)


def _candidates(connection: sqlite3.Connection, key: tuple[bytes, str]) -> Candidates:
    rows = connection.execute(f"SELECT {_VERSION} FROM candidates WHERE path = ? AND token = ? ORDER BY number", key)
    return Candidates(tuple(version_of(decode(key[0]), row) for row in rows))


def _add_candidates(connection: sqlite3.Connection, key: tuple[bytes, str], more: Candidates) -> None:
    known = _candidates(connection, key)
    candidates = added(known._replace(anything=more.anything), more.versions)
    connection.execute("DELETE FROM candidates WHERE path = ? AND token = ?", key)
    insert(
        connection, CANDIDATES, ((*key, *numbered, *row_of(each)) for *numbered, each in enumerate(candidates.versions))
    )
    if candidates.anything:
        connection.execute("UPDATE pending SET anything = 1 WHERE path = ? AND token = ?", key)


# What came of jobs.


def _only_adds(outcome: Done | Unmanaged) -> bool:
    """Tell whether all that an outcome means to the state is what is held at its path now."""
    match outcome:
        case Done(job, SendFile()):
            return not (isinstance(job.change, Move) and job.change.twin)
        case Done(_, MakeFolder(spelled=old)):
            return not old
        case Done(_, SetAttributes() | SetDate()):
            return True
    return False


def _apply(connection: sqlite3.Connection, outcome: Done | Unmanaged) -> None:
    match outcome:
        case Unmanaged(job):
            forget(connection, path_of(job.change))
        case Done(_, Move(entry, old), held):
            if entry.is_folder:
                move_below(connection, old.path, entry.path)
            forget(connection, old.path)
            hold(connection, [held or entry])
        case Done(
            Job(Move(_, old, twin=True)), SendFile(), held
        ):  # to some sites it has replaced what has the old name
            hold(connection, [unknown(old), *filter(None, [held])])
        case Done(_, MakeFolder(entry, spelled=old), held):
            move_below(connection, old, entry.path, known=False)
            forget(connection, old)
            hold(connection, filter(None, [held]))
        case Done(_, RemoveFile(gone) | RemoveFolder(gone)):
            forget(connection, gone.path)


def _stays_open(outcome: Outcome) -> TypeGuard[Done | InDoubt | Unmanaged]:
    if isinstance(outcome, Done):
        return bool(outcome.unanswered or outcome.doubts)
    return isinstance(outcome, InDoubt) or (isinstance(outcome, Unmanaged) and outcome.unanswered)


def _keep_open(connection: sqlite3.Connection, outcome: Done | InDoubt | Unmanaged, later: int) -> None:
    """Keep paths of a job open: those in doubt with their candidates, others until nothing can be done any more."""
    in_doubt = isinstance(outcome, InDoubt)
    unanswered = outcome.left.unanswered if isinstance(outcome, InDoubt) else outcome.unanswered
    doubts = () if isinstance(outcome, Unmanaged) else outcome.doubts
    doubted = {(encode(doubt.path), outcome.job.token): doubt for doubt in doubts}
    keys = set(_keys([outcome.job]))
    waiting = set() if in_doubt else keys - doubted.keys()
    if not unanswered:
        _close(connection, waiting)
    for key in keys:
        connection.execute(
            f"UPDATE pending SET {_NOTED_LATER}, answered = ?, look_after = ? WHERE path = ? AND token = ?",
            (not unanswered, later if key in waiting else 0, *key),
        )
    for key in waiting:
        connection.execute("DELETE FROM candidates WHERE path = ? AND token = ?", key)
    for key, doubt in doubted.items():
        if key not in keys:
            insert(connection, PENDING, [_row(doubt.path, outcome.job.token, None, "", 0, is_noted=False)])
        _add_candidates(connection, key, doubt.candidates)


def _record_found(
    connection: sqlite3.Connection, pending: Pending, left: Entry | None, now: float, *, moved: bool, known: bool
) -> None:
    """Record what is held at a path; of the two of a rename whichever is looked at last takes what is below along."""
    if moved and left:
        move_below(connection, pending.origin, left.path, known=known)
        forget(connection, pending.origin)
    elif pending.origin and pending.twin and not holds(connection, pending.origin):
        forget(connection, pending.origin)
    if left:
        hold(connection, [left])
    elif pending.twin and is_any(connection, f"pending WHERE path = ? AND {due(now)}", encode(pending.twin)):
        forget_one(connection, pending.path)
    else:
        forget(connection, pending.path)
