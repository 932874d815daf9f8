"""Writes a fact into a state that another process may have open. Knows not what the facts mean."""

import sqlite3
from contextlib import closing
from pathlib import Path

from async_mirror.state import private_files
from async_mirror.state.database import StateError, explained


def note_in(path: Path, name: str, value: str | None) -> None:
    """Remember a fact, None forgets it; who has the state open finds it. Raises StateError, also for none."""
    if not path.is_file():
        raise StateError(f"never synced (no state {path}): run sync, with the same settings")
    with explained(path):
        private_files.refuse_links(path)
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=10)) as database, database:
            if value is None:
                database.execute("DELETE FROM facts WHERE name = ?", (name,))
            else:
                database.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))
