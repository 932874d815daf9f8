"""What of a state survives a power failure: all up to the last transaction that was made durable. Knows no table.

SQLite is asked what it does: a transaction under `PRAGMA synchronous = FULL` is on the disk with all before it, others
may be lost. Before the first that may be, the files are copied.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

_STATE = ".sqlite3"
"""By its name a state is told from what is known of servers, which nothing depends on."""


class Durable:
    """Copies of one folder of databases, kept in another."""

    def __init__(self, folder: Path, kept: Path) -> None:
        self._folder = folder
        self._kept = kept
        self._full = True
        self._commits = False

    def watch(self, connection: sqlite3.Connection) -> None:
        """Watch a database that was opened: whatever was written before is on the disk."""
        self._forget()
        connection.set_trace_callback(self._see)

    def settle(self) -> None:
        """Take it that somebody else has written what is durable: with it all that was written before is."""
        self._settle()
        self._forget()

    def survivors(self) -> Path:
        """Return the folder with what would be there after a power failure."""
        self._settle()
        return self._kept if self._kept.exists() else self._folder

    def _see(self, statement: str) -> None:
        self._settle()
        match statement.split():
            case ["PRAGMA", "synchronous", "=", level]:
                self._full = level == "FULL"
            case ["BEGIN", *_] if not (self._full or self._kept.exists()):
                shutil.copytree(self._folder, self._kept)
            case ["COMMIT", *_]:
                self._commits = True

    def _settle(self) -> None:
        if self._commits and self._full:
            self._forget()
        self._commits = False

    def _forget(self) -> None:
        shutil.rmtree(self._kept, ignore_errors=True)


class Room:
    """The room on the disk of a state. Where there is none SQLite itself says so, of whatever is to be written.

    Triggers write to a database of a few pages, in memory, which the program does not see.
    """

    def __init__(self) -> None:
        self.is_full = False
        self._connections: list[sqlite3.Connection] = []

    def watch(self, connection: sqlite3.Connection) -> None:
        """Have a database that was opened keep to it."""
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("CREATE TEMP TABLE disk (content)")
        connection.execute("PRAGMA temp.max_page_count = 1")
        self._connections = [each for each in self._connections if _is_open(each)] + [connection]
        if self.is_full:
            self.fill()

    def fill(self) -> None:
        """Leave no room."""
        self.is_full = True
        for each in self._open_ones("main", "table"):
            for what in ("INSERT", "UPDATE", "DELETE"):
                each.connection.execute(
                    f"CREATE TEMP TRIGGER IF NOT EXISTS {what}_{each.name} BEFORE {what} ON main.{each.name}"
                    " BEGIN INSERT INTO disk VALUES (zeroblob(10000)); END"
                )

    def free(self) -> None:
        """Leave room enough."""
        self.is_full = False
        for each in self._open_ones("temp", "trigger"):
            each.connection.execute(f"DROP TRIGGER temp.{each.name}")

    def _open_ones(self, database: str, kind: str) -> Iterator[_Thing]:
        for connection in filter(_is_open, self._connections):
            found = connection.execute(f"SELECT name FROM {database}.sqlite_master WHERE type = ?", (kind,))
            yield from [_Thing(connection, name) for (name,) in found.fetchall()]


class _Thing(NamedTuple):
    """What is in an open database."""

    connection: sqlite3.Connection
    name: str


def _is_open(connection: sqlite3.Connection) -> bool:
    with suppress(sqlite3.ProgrammingError):
        return connection.total_changes >= 0
    return False


class Sqlite:
    """Stands for the module `sqlite3`: has each state that is opened for writing watched."""

    durable: Durable | None = None
    room: Room | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(sqlite3, name)

    def connect(self, database: Any, *arguments: Any, **more: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = sqlite3.connect(database, *arguments, **more)
        if "mode=rw" in str(database):
            if self.room:
                self.room.watch(connection)
            if self.durable and _STATE in str(database):
                self.durable.watch(connection)
        return connection
