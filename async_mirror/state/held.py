"""What the site is known to hold, and in which folders of it nothing is to be done. Knows neither site nor source."""

import sqlite3
from collections.abc import Iterable, Iterator

from async_mirror.model.entry import UNKNOWN, Entry, Kind, Listing, Tally
from async_mirror.model.paths import decode, encode, split
from async_mirror.state.database import Database
from async_mirror.state.schema import (
    HELD,
    IN_STEP,
    UNREAD,
    VERSION_COLUMNS,
    chunks,
    entry_of,
    insert,
    marks,
    row_of,
    signed,
)

_MOST_BYTES = (1 << 63) - 1
_VERSION = ", ".join(VERSION_COLUMNS)


class Held:
    """What is held. The methods block; they are called from one thread at a time."""

    def __init__(self, database: Database) -> None:
        """Read and write an open database."""
        self._database = database

    def held(self, path: str) -> Entry | None:
        """Return what is held at one path."""
        folder, name = split(path)
        return next(iter(self._found("folder = ? AND name = ?", (encode(folder), encode(name)))), None)

    def held_in(self, folder: str) -> list[Entry]:
        """Return what is held directly in a folder."""
        prefix = folder + "/" if folder else ""
        with self._database.reading() as connection:
            rows = connection.execute(f"SELECT name, {_VERSION} FROM held WHERE folder = ?", (encode(folder),))
            return [entry_of(prefix + decode(row[0]), row[1:]) for row in rows.fetchall()]

    def held_below(self, folder: str) -> list[Entry]:
        """Return all that is held below a folder, in no order."""
        return self._found(*_below(folder))

    def held_through(self, folder: str) -> Iterator[tuple[str, list[Entry]]]:
        """Yield a folder, and each held one below it, with what is held directly in it."""
        waiting = [folder]
        while waiting:
            each = waiting.pop()
            entries = self.held_in(each)
            yield each, entries
            waiting += [entry.path for entry in entries if entry.is_folder]

    def held_with_inodes(self, inodes: Iterable[int]) -> list[Entry]:
        """Return the held files that had one of these inodes when they were sent or adopted."""
        found: list[Entry] = []
        for some in chunks(map(signed, inodes)):
            found += self._found(f"inode IN ({marks(len(some))}) AND kind = 1", some)
        return found

    def _found(self, condition: str, values: Iterable[object]) -> list[Entry]:
        with self._database.reading() as connection:
            rows = connection.execute(f"SELECT {HELD.names} FROM held WHERE {condition}", tuple(values))
            return [entry_of(_path(row[0], row[1]), row[2:]) for row in rows]

    def held_folders(self) -> list[str]:
        """Return the paths of all held folders, a folder before what is below it."""
        with self._database.reading() as connection:
            rows = connection.execute("SELECT folder, name FROM held WHERE kind = 2 ORDER BY folder")
            return [_path(folder, name) for folder, name in rows]

    def count_held_files(self, folder: str = "") -> int:
        """Return how many files are held below a folder."""
        condition, values = _below(folder)
        with self._database.reading() as connection:
            return int(
                connection.execute(f"SELECT count(*) FROM held WHERE kind = 1 AND ({condition})", values).fetchone()[0]
            )

    def held_unread(self, after: str, most: int) -> list[Entry]:
        """Return some held files that have no digest, in an order of their paths, those that come after a path."""
        where = f"({UNREAD}) AND (folder, name) > (?, ?) ORDER BY folder, name LIMIT ?"
        return self._found(where, (*map(encode, split(after)), most))

    def hold_digests(self, entries: Iterable[Entry]) -> None:
        """Record the digests of held files whose marks are still those."""
        with self._database.transaction(durable=False) as connection:
            for entry in entries:
                folder, name = split(entry.path)
                connection.execute(
                    "UPDATE held SET digest = ? WHERE folder = ? AND name = ? AND size = ? AND mtime_ns = ?"
                    " AND ctime_ns = ? AND inode = ?",
                    (entry.digest, encode(folder), encode(name), *entry.marks[:3], signed(entry.inode)),
                )

    def holds_anything(self) -> bool:
        """Tell whether anything is held."""
        with self._database.reading() as connection:
            return connection.execute("SELECT 1 FROM held LIMIT 1").fetchone() is not None

    def hold(self, entries: Iterable[Entry]) -> None:
        """Record entries as held, as they are."""
        with self._database.transaction(durable=False) as connection:
            hold(connection, entries)

    def drop(self, paths: Iterable[str]) -> None:
        """Forget what is not there, or not ours, any more; folders with all below them."""
        with self._database.transaction(durable=False) as connection:
            for path in paths:
                forget(connection, path)

    def void(self, folder: str) -> None:
        """Forget a folder and all below it: the site turned out not to have it."""
        with self._database.transaction(durable=True) as connection:
            forget(connection, folder)

    # Which folders are in step with the source: a listing with this fingerprint and what is held there make no change.
    # The database itself forgets a folder with the first row of it that changes, by whatever statement.

    def keep_rules(self, rules: str) -> None:
        """Have those folders forgotten that were in step by other rules than these."""
        with self._database.reading() as connection:
            kept = connection.execute("SELECT 1 FROM facts WHERE name = 'rules' AND value = ?", (rules,)).fetchone()
        if not kept:
            with self._database.transaction(durable=False) as connection:
                connection.execute("DELETE FROM in_step")
                connection.execute("INSERT OR REPLACE INTO facts VALUES ('rules', ?)", (rules,))

    def in_step(self, folder: str, fingerprint: bytes) -> Tally | None:
        """Return what is known of a folder with this fingerprint, if it is in step."""
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT files, size, excluded FROM in_step WHERE folder = ? AND fingerprint = ?",
                (encode(folder), fingerprint),
            ).fetchone()
        return Tally(*row) if row else None

    def note_in_step(self, listings: Iterable[Listing]) -> None:
        """Record folders as being in step, as they were listed."""
        with self._database.transaction(durable=False) as connection:
            tallies = ((each, each.tally) for each in listings)
            sane = ((each, tally) for each, tally in tallies if tally.size <= _MOST_BYTES)
            insert(connection, IN_STEP, ((encode(each.folder), each.fingerprint, *tally) for each, tally in sane))


def hold(connection: sqlite3.Connection, entries: Iterable[Entry]) -> None:
    """Record entries as held."""
    insert(connection, HELD, map(_row, entries))


def _row(entry: Entry) -> tuple[object, ...]:
    folder, _, name = encode(entry.path).rpartition(b"/")
    return folder, name, *row_of(entry)


def forget(connection: sqlite3.Connection, path: str) -> None:
    """Forget what is held at a path, and all below it."""
    condition, values = _below(path)
    connection.execute(f"DELETE FROM held WHERE {condition}", values)
    forget_one(connection, path)


def forget_one(connection: sqlite3.Connection, path: str) -> None:
    """Forget what is held at a path itself."""
    folder, name = split(path)
    connection.execute("DELETE FROM held WHERE folder = ? AND name = ?", (encode(folder), encode(name)))


def holds(connection: sqlite3.Connection, path: str) -> bool:
    """Tell whether something is held at a path."""
    return is_any(connection, "held WHERE folder = ? AND name = ?", *map(encode, split(path)))


def is_any(connection: sqlite3.Connection, rows: str, *values: object) -> bool:
    """Tell whether there are such rows."""
    return connection.execute(f"SELECT 1 FROM {rows} LIMIT 1", values).fetchone() is not None


def move_below(connection: sqlite3.Connection, old: str, new: str, *, known: bool = True) -> None:
    """Let what is held below a folder follow its rename; by its digest alone it can be known for the same again.

    Not `known`, what came along may have been changed: nothing is known of it but that it is ours.
    """
    condition, values = _below(old)
    forgets = "" if known else ", digest = x''"
    connection.execute(
        f"UPDATE OR REPLACE held SET folder = CAST(? || substr(folder, ?) AS BLOB),"
        f" size = CASE kind WHEN {Kind.FILE} THEN {UNKNOWN} ELSE size END{forgets} WHERE {condition}",
        (encode(new), len(encode(old)) + 1, *values),
    )


def _path(folder: bytes, name: bytes) -> str:
    return decode(folder + b"/" + name if folder else name)


def _below(folder: str) -> tuple[str, tuple[bytes, ...]]:
    if not folder:
        return "1", ()
    raw = encode(folder)
    return "folder = ? OR (folder > ? AND folder < ?)", (raw, raw + b"/", raw + b"0")
