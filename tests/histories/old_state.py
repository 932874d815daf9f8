"""Makes a state of today one of version 1, as if the program had been of that time until now. Knows its tables."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

_COLUMNS = "folder, name, kind, size, mtime_ns, mode, inode, mount, digest"
_TABLES = f"""
PRAGMA journal_mode = WAL;
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE held ({_COLUMNS.replace(",", " NOT NULL,")} NOT NULL, PRIMARY KEY (folder, name)) WITHOUT ROWID;
CREATE TABLE pending (
    path BLOB PRIMARY KEY, kind INTEGER, size INTEGER, mtime_ns INTEGER, mode INTEGER, inode INTEGER, mount INTEGER,
    token TEXT NOT NULL, tries INTEGER NOT NULL, twin BLOB NOT NULL
) WITHOUT ROWID;
PRAGMA user_version = 1;
"""


def make_old(folder: Path) -> bool:
    """Make the state in a folder one of version 1, unless something is in doubt, which that could not keep."""
    return any(map(_make_old, list(folder.rglob("*.sqlite3"))))


def _make_old(path: Path) -> bool:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        if connection.execute("SELECT 1 FROM pending").fetchone():
            return False
        facts = connection.execute("SELECT name, value FROM facts").fetchall()
        held = connection.execute(f"SELECT {_COLUMNS} FROM held").fetchall()
    for each in path.parent.glob(path.name + "*"):
        each.unlink()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(_TABLES)
        connection.executemany("INSERT INTO facts VALUES (?, ?)", facts)
        connection.executemany(f"INSERT INTO held VALUES ({', '.join('?' * len(_COLUMNS.split()))})", held)
        connection.commit()
    path.chmod(0o600)
    return True
