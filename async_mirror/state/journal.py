"""What is being done to the site, noted before it is done, and what came of it. Knows neither site nor source."""

import sqlite3
from collections.abc import Iterable, Iterator
from itertools import chain, groupby
from typing import Any

from async_mirror.model import odd_names, temporary_names
from async_mirror.model.change import Inside, Job, MakeFolder, Move, Outcome, Pending, RemoveFile, RemoveFolder, path_of
from async_mirror.model.entry import Entry, Kind, fingerprint
from async_mirror.model.paths import decode, encode, join, parent, split
from async_mirror.state.held import Held, forget, forget_one, hold, move_below
from async_mirror.state.schema import CANDIDATES, PENDING, VERSION_COLUMNS, chunks, insert, row_of, version_of

MOST_CANDIDATES = 8
_VERSION = ", ".join(VERSION_COLUMNS)


class Journal(Held):
    """What is held, and what is being done about it. The methods block; they are called from one thread at a time."""

    id: str

    def begin(self, jobs: Iterable[Job]) -> None:
        """Record jobs as pending, for good, before anything is done about them on the site."""
        with self._database.transaction(durable=True) as connection:
            insert(connection, PENDING, (row for job in jobs for row in _pending_rows(job)))

    def add_candidate(self, path: str, token: str, version: Entry | None) -> None:
        """Record, for good, what else may be at a pending path from now on; None for nothing.

        Beyond MOST_CANDIDATES anything may be there.
        """
        row, where = row_of(version), (encode(path), token)
        with self._database.transaction(durable=True) as connection:
            known = connection.execute(
                f"SELECT {_VERSION} FROM candidates WHERE path = ? AND token = ?", where
            ).fetchall()
            if row in known:
                return
            insert(connection, CANDIDATES, [(*where, len(known), *row)])
            (number,) = connection.execute("SELECT count(*) FROM candidates WHERE path = ?", where[:1]).fetchone()
            if number > MOST_CANDIDATES:
                connection.execute("UPDATE pending SET anything = 1 WHERE path = ? AND token = ?", where)

    def abandon(self, jobs: Iterable[Job]) -> None:
        """Forget pending jobs that were never begun on the site."""
        with self._database.transaction(durable=False) as connection:
            _settle(connection, jobs)

    def commit(self, outcomes: Iterable[Outcome]) -> None:
        """Turn pending into held, as far as the outcomes are certain."""
        with self._database.transaction(durable=False) as connection:
            certain = [outcome for outcome in outcomes if outcome.certain]
            done = [outcome for outcome in certain if not outcome.failure and not outcome.skipped]
            for adds, group in groupby(done, _only_adds):
                if adds:
                    hold(connection, (outcome.held for outcome in group if outcome.held))
                else:
                    for outcome in group:
                        _apply(connection, outcome)
            _settle(connection, (outcome.job for outcome in certain))

    def pending(self) -> list[Pending]:
        """Return what was begun and never confirmed."""
        with self._database.reading() as connection:
            rows = connection.execute(f"SELECT path, token, tries, other, {_VERSION} FROM pending").fetchall()
        return [self._pending(row) for row in rows]

    def is_pending(self, folder: str) -> bool:
        """Tell whether anything is being done, or in doubt, at a path or below it."""
        raw = encode(folder)
        with self._database.reading() as connection:
            found = connection.execute(
                "SELECT 1 FROM pending WHERE path = ? OR (path > ? AND path < ?) LIMIT 1", (raw, raw + b"/", raw + b"0")
            )
            return found.fetchone() is not None

    def _pending(self, row: tuple[Any, ...]) -> Pending:
        raw, token, tries, other = row[:4]
        path = decode(raw)
        expected = version_of(path, row[4:])
        twin, origin = decode(other), ""
        if odd_names.folded(twin) != odd_names.folded(path):
            twin, origin = "", twin
        if expected is None:
            return Pending(path, expected, self.held(path), twin=twin)
        folder = parent(path)
        job = Job(MakeFolder(Entry(path, Kind.FOLDER), ""), token, tries)
        tokens = [job.temporary_token(attempt) for attempt in range(job.tries)] + [job.aside_token]
        leftovers = tuple(join(folder, temporary_names.temporary(self.id, each)) for each in tokens)
        odd = odd_names.odd_traits(split(path)[1])
        box = join(folder, temporary_names.temporary(self.id, job.probe_token)) if odd else ""
        inside = self._inside(origin) if origin else ()
        return Pending(path, expected, self.held(path), leftovers, box, twin, origin, inside)

    def _inside(self, folder: str) -> Inside:
        return tuple((each[len(folder) + 1 :], fingerprint(held)) for each, held in self.held_through(folder))

    def resolve(self, pending: Pending, held: Entry | None, *, moved: bool = False) -> None:
        """Record what a pending path turned out to hold; `moved` says that it has come from its origin."""
        with self._database.transaction(durable=False) as connection:
            if held is not None:
                if pending.twin and held.is_folder and pending.expected:
                    move_below(connection, pending.twin, held.path)
                if moved:
                    move_below(connection, pending.origin, held.path)
                    forget(connection, pending.origin)
                hold(connection, [held])
            elif pending.twin and not pending.expected:
                forget_one(connection, pending.path)
            else:
                forget(connection, pending.path)
            connection.execute("DELETE FROM pending WHERE path = ?", (encode(pending.path),))


def _pending_rows(job: Job) -> Iterator[tuple[object, ...]]:
    """Yield the rows of a job: for each path that it touches, what it makes of that."""
    change = job.change
    path = encode(path_of(change))
    if isinstance(change, RemoveFile | RemoveFolder):
        yield _pending_row(path, job.token, None)
        return
    entry = change.entry
    other = b""
    if isinstance(change, Move):
        old = encode(change.held.path)
        other = old if change.twin or entry.is_folder else b""
        if change.twin or not entry.is_folder:
            yield _pending_row(old, job.token, None, path if change.twin else b"")
    yield _pending_row(path, job.token, entry, other, 0 if entry.is_folder else job.tries)


def _pending_row(
    path: bytes, token: str, version: Entry | None, other: bytes = b"", tries: int = 0
) -> tuple[object, ...]:
    return path, token, tries, other, 0, 0, 0, 1, *row_of(version)


def _settle(connection: sqlite3.Connection, jobs: Iterable[Job]) -> None:
    for some in chunks(row[:2] for job in jobs for row in _pending_rows(job)):
        pairs = ", ".join(["(?, ?)"] * len(some))
        connection.execute(
            f"DELETE FROM pending WHERE (path, token) IN (VALUES {pairs})", list(chain.from_iterable(some))
        )


def _only_adds(outcome: Outcome) -> bool:
    """Tell whether all that an outcome means to the state is what is held at its path now."""
    change = outcome.job.change
    return not isinstance(change, RemoveFile | RemoveFolder) and not (isinstance(change, Move) and outcome.moved)


def _apply(connection: sqlite3.Connection, outcome: Outcome) -> None:
    change, held = outcome.job.change, outcome.held
    if isinstance(change, RemoveFile | RemoveFolder):
        forget(connection, change.held.path)
        return
    if isinstance(change, Move) and outcome.moved:
        if change.entry.is_folder:
            move_below(connection, change.held.path, change.entry.path)
        forget(connection, change.held.path)
    assert held is not None, "what was done leaves something there"
    hold(connection, [held])
