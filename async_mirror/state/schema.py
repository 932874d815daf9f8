"""The tables, how a version of a file becomes a row, and how an older state becomes one of today. Knows no file."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import Any, NamedTuple, TypeVar

from async_mirror.model.entry import Entry, Kind

T = TypeVar("T")

ABSENT = 0
"""What stands for the kind of a version that is nothing at all."""

VERSION_COLUMNS = {
    "kind": "INTEGER NOT NULL",
    "size": "INTEGER NOT NULL",
    "mtime_ns": "INTEGER NOT NULL",
    "mode": "INTEGER NOT NULL",
    "inode": "INTEGER NOT NULL",
    "mount": "INTEGER NOT NULL",
    "digest": "BLOB NOT NULL",
    "ctime_ns": "INTEGER NOT NULL DEFAULT -1",
    "site_size": "INTEGER NOT NULL DEFAULT -1",
    "site_mtime_ns": "INTEGER NOT NULL DEFAULT -1",
}
"""What every table keeps of a version: the fields of an Entry after its path, in their order.

To add one: a field at the end of Entry, a line here whose default is what older rows get, and a step in `_STEPS`.
"""


class Table(NamedTuple):
    """A table, its columns with their declarations, and those of them that no two rows have in common."""

    name: str
    columns: dict[str, str]
    key: str

    @property
    def names(self) -> str:
        """The columns as a statement names them."""
        return ", ".join(self.columns)

    @property
    def definition(self) -> str:
        """The statement that makes the table if it is not there."""
        columns = ", ".join(f"{name} {declared}" for name, declared in self.columns.items())
        return f"CREATE TABLE IF NOT EXISTS {self.name} ({columns}, PRIMARY KEY ({self.key})) WITHOUT ROWID"


FACTS = Table("facts", {"name": "TEXT", "value": "TEXT NOT NULL"}, "name")
"""What was learned, and what was asked for and lasts, as a pause will."""

HELD = Table("held", {"folder": "BLOB NOT NULL", "name": "BLOB NOT NULL", **VERSION_COLUMNS}, "folder, name")
"""What the site is known to hold."""

PENDING = Table(
    "pending",
    {
        "path": "BLOB NOT NULL",
        "token": "TEXT NOT NULL",
        "tries": "INTEGER NOT NULL",
        "other": "BLOB NOT NULL",
        "look_after": "INTEGER NOT NULL DEFAULT 0",
        "answered": "INTEGER NOT NULL DEFAULT 0",
        "anything": "INTEGER NOT NULL DEFAULT 0",
        "noted": "INTEGER NOT NULL DEFAULT 1",
        "shapes": "INTEGER NOT NULL DEFAULT 1",
        **VERSION_COLUMNS,
    },
    "path, token",
)
"""What is being done: a row for each path that a job touches, until it is known what came of it.

`tries` is how many temporary names the job may have used, `shapes` has a bit for each shape that they may have, `other`
the second path of a rename, `look_after` when the path is to be looked at (0: at once; see `due`), `answered` that
nothing that was sent for it can still be done by the server, `anything` that no set of versions tells what may be
there, `noted` that the version is one of them.
"""

CANDIDATES = Table(
    "candidates",
    {"path": "BLOB NOT NULL", "token": "TEXT NOT NULL", "number": "INTEGER NOT NULL", **VERSION_COLUMNS},
    "path, token, number",
)
"""What else may be at a pending path, beside what is held and what is noted there; goes with its row in `pending`."""

PARTIAL = Table(
    "partial",
    {"path": "BLOB NOT NULL", "temporary": "BLOB NOT NULL", "stored": "INTEGER NOT NULL", **VERSION_COLUMNS},
    "path",
)
"""Room for uploads to be resumed: the bytes of a version that a temporary is known to hold. Nobody writes it yet."""

IN_STEP = Table(
    "in_step",
    {
        "folder": "BLOB",
        "fingerprint": "BLOB NOT NULL",
        "files": "INTEGER NOT NULL",
        "size": "INTEGER NOT NULL",
        "excluded": "INTEGER NOT NULL",
    },
    "folder",
)
"""The folders in which nothing is to be done; the triggers forget one with the first row of it that changes."""

TABLES = (FACTS, HELD, PENDING, CANDIDATES, PARTIAL, IN_STEP)

UNREAD = "kind = 1 AND digest = x'' AND size >= 0"
"""What is held of a known version whose content was not read."""

_AROUND = (
    f"CREATE INDEX IF NOT EXISTS held_unread ON held (folder, name) WHERE {UNREAD}",
    "CREATE INDEX IF NOT EXISTS held_inode ON held (inode) WHERE kind = 1",
    "CREATE INDEX IF NOT EXISTS held_folder_inode ON held (inode) WHERE kind = 2",
    """CREATE TRIGGER IF NOT EXISTS held_inserted AFTER INSERT ON held BEGIN
    DELETE FROM in_step WHERE folder = NEW.folder;
END""",
    """CREATE TRIGGER IF NOT EXISTS held_updated
AFTER UPDATE OF folder, name, kind, size, mtime_ns, mode, inode, mount, ctime_ns ON held BEGIN
    DELETE FROM in_step
    WHERE folder IN (OLD.folder, NEW.folder, CAST(ltrim(OLD.folder || '/' || OLD.name, '/') AS BLOB));
END""",
    """CREATE TRIGGER IF NOT EXISTS held_deleted AFTER DELETE ON held BEGIN
    DELETE FROM in_step WHERE folder IN (OLD.folder, CAST(ltrim(OLD.folder || '/' || OLD.name, '/') AS BLOB));
END""",
    """CREATE TRIGGER IF NOT EXISTS pending_deleted AFTER DELETE ON pending BEGIN
    DELETE FROM candidates WHERE path = OLD.path AND token = OLD.token;
END""",
)


# Rows.

Row = tuple[Any, ...]
"""The values of VERSION_COLUMNS."""

_BEYOND = 1 << 63
_KINDS = {int(kind): kind for kind in Kind}
_NOTHING = (ABSENT, *Entry("", Kind.FILE)[2:])


def row_of(version: Entry | None) -> tuple[object, ...]:
    """Return the values of a version, or of nothing at all."""
    if version is None:
        return _NOTHING
    return (version if version.inode < _BEYOND else version._replace(inode=signed(version.inode)))[1:]


def entry_of(path: str, row: Row) -> Entry:
    """Return the version that a row tells of, which is not ABSENT."""
    kind, size, mtime_ns, mode, inode, mount = row[:6]
    return Entry(path, _KINDS[kind], size, mtime_ns, mode, _unsigned(inode), bool(mount), *row[6:])


def version_of(path: str, row: Row) -> Entry | None:
    """Return the version that a row tells of, None for nothing at all."""
    return None if row[0] == ABSENT else entry_of(path, row)


def signed(inode: int) -> int:
    """Return an inode as SQLite can keep it: in 64 bits with a sign."""
    return inode - (1 << 64) if inode >= _BEYOND else inode


def _unsigned(inode: int) -> int:
    return inode + (1 << 64) if inode < 0 else inode


def insert(connection: sqlite3.Connection, table: Table, rows: Iterable[tuple[object, ...]]) -> None:
    """Insert rows, each with a value for every column, in place of those that have the same key."""
    each = f"({marks(len(table.columns))})"
    for some in chunks(rows):
        values = ", ".join([each] * len(some))
        connection.execute(
            f"INSERT OR REPLACE INTO {table.name} ({table.names}) VALUES {values}", list(chain.from_iterable(some))
        )


_AT_ONCE = 64


def chunks(values: Iterable[T]) -> Iterator[list[T]]:
    """Yield values in lists that one statement takes: each step of one lets go of the interpreter, and that costs."""
    waiting = iter(values)
    while some := list(islice(waiting, _AT_ONCE)):
        yield some


def marks(number: int) -> str:
    """Return the placeholders of so many values."""
    return ", ".join("?" * number)


# When an open path is looked at.

LOOKED_AT_AGAIN_AFTER_S = 300


def later(now: float) -> int:
    """Return when a path is due that is looked at again. `now` is `time.monotonic()`: nobody sets that clock."""
    return int(now) + LOOKED_AT_AGAIN_AFTER_S


def due(now: float) -> str:
    """Return the condition of what is due, at that time.

    The clock begins anew with the machine: what no moment since can have noted is due once it has run for so long.
    """
    if now < LOOKED_AT_AGAIN_AFTER_S:
        return f"look_after <= {int(now)}"
    return f"(look_after <= {int(now)} OR look_after > {later(now)})"


# Versions of the state.


def number_of(connection: sqlite3.Connection) -> int:
    """Return the version of a state: 0 for a database with nothing in it, less for one that is no state."""
    (number,) = connection.execute("PRAGMA user_version").fetchone()
    if number == 0 and connection.execute("SELECT 1 FROM sqlite_master").fetchone():
        return -1
    return int(number)


def bring_up_to_date(connection: sqlite3.Connection) -> None:
    """Make the tables, or bring those of an older version to the present one, in one transaction.

    Raises sqlite3.OperationalError, SQLITE_ERROR, if what a state has is not there.
    """
    number = number_of(connection)
    if number < VERSION:
        connection.execute("PRAGMA synchronous = FULL")
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            if number:
                connection.execute("SELECT 1 FROM facts, held, pending LIMIT 0")
            for step in _STEPS[number - 1 :] if number else (_complete,):
                step(connection)
            connection.execute(f"PRAGMA user_version = {VERSION}")
    for table in TABLES:
        connection.execute(f"SELECT {table.names} FROM {table.name} LIMIT 0")


def _complete(connection: sqlite3.Connection) -> None:
    """Make the tables and columns that are missing; the rows that are there get the defaults, none is written."""
    for table in TABLES:
        connection.execute(table.definition)
        there = {row[1] for row in connection.execute(f"PRAGMA table_info({table.name})")}
        for name in [name for name in table.columns if name not in there]:
            connection.execute(f"ALTER TABLE {table.name} ADD COLUMN {name} {table.columns[name]}")
    for statement in _AROUND:
        connection.execute(statement)


def _from_1(connection: sqlite3.Connection) -> None:
    """Fill what 2 has: ctimes, what the site showed, candidates. Folders are compared anew: ctimes count there."""
    connection.execute("ALTER TABLE pending RENAME TO pending_1")
    connection.execute("DROP TRIGGER IF EXISTS held_updated")  # it was another one
    _complete(connection)
    connection.execute("DELETE FROM in_step")
    connection.execute(
        "INSERT INTO pending (path, token, tries, other, kind, size, mtime_ns, mode, inode, mount, digest)"
        " SELECT path, token, tries, twin, coalesce(kind, 0), coalesce(size, 0), coalesce(mtime_ns, 0),"
        " coalesce(mode, -1), coalesce(inode, 0), coalesce(mount, 0), x'' FROM pending_1"
    )
    connection.execute("DROP TABLE pending_1")


_STEPS: tuple[Callable[[sqlite3.Connection], None], ...] = (_from_1,)
"""What leads from each version to the next one. `_complete` alone does, if there is nothing to fill."""

VERSION = 1 + len(_STEPS)
