"""What was learned about servers, for all mirrors of one user of this program. Knows no server."""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from async_mirror.state import private_files

NAME = "hosts.db"

_TABLE = """CREATE TABLE IF NOT EXISTS facts
(host TEXT, name TEXT, value INTEGER, learned REAL, PRIMARY KEY (host, name))"""

_HARMLESS = (sqlite3.Error, OSError, ValueError, TypeError)
"""What a file that is damaged may lead to, or that somebody else wrote, or linked, or a name that is no text."""


class Hosts:
    """Numbers about hosts and users, with the time when each was learned. It may be lost, so it raises nothing."""

    def __init__(self, path: Path | None = None) -> None:
        """Keep them in a file; without one nothing is kept."""
        self._path = path

    def number(self, host: str, name: str, within_seconds: float) -> int:
        """Return what was learned, if it was learned so lately; 0 for nothing."""
        with suppress(*_HARMLESS), self._open() as database:
            row = database.execute(
                "SELECT value, learned FROM facts WHERE host = ? AND name = ?", (host, name)
            ).fetchone()
            if row and 0 <= time.time() - row[1] < within_seconds:
                return int(row[0])
        return 0

    def learn(self, host: str, name: str, value: int) -> None:
        """Remember a number."""
        with suppress(*_HARMLESS), self._open() as database, database:
            database.execute("INSERT OR REPLACE INTO facts VALUES (?, ?, ?, ?)", (host, name, value, time.time()))

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        kept = private_files.connect(self._path, os.O_RDONLY, timeout=5) if self._path else sqlite3.connect(":memory:")
        with closing(kept) as database:
            database.execute(_TABLE)
            yield database
