"""What of a state survives a power failure: all up to the last transaction that was made durable. Knows no table.

SQLite is asked what it does: a transaction under `PRAGMA synchronous = FULL` is on the disk with all before it, others
may be lost. Before the first that may be, the files are copied.
"""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from typing import Any


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


class Sqlite:
    """Stands for the module `sqlite3`: has a `Durable` watch each database that is opened for writing."""

    durable: Durable | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(sqlite3, name)

    def connect(self, database: Any, *arguments: Any, **more: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = sqlite3.connect(database, *arguments, **more)
        if self.durable and "mode=rw" in str(database) and "servers" not in str(database):
            self.durable.watch(connection)
        return connection
