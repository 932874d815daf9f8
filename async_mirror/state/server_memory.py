"""What was learned about servers, for all mirrors of one user of this program. Knows not what the facts mean."""

import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from async_mirror.model.facts import Fact
from async_mirror.state import private_files

NAME = "hosts.db"
MOST_SERVERS = 1000
MOST_FACTS = 300
"""Of one server; beyond these limits, what was learned longest ago is forgotten."""

_TABLE = """CREATE TABLE IF NOT EXISTS known (server TEXT, of TEXT, name TEXT, value, lasts_s REAL, generation INTEGER,
learned REAL, PRIMARY KEY (server, of, name)) WITHOUT ROWID"""
_VALID = "learned < :now + 60 AND learned + lasts_s > :now"
"""What is from the future is not believed, but for what another process may learn at this moment."""
_LEARN = f"""INSERT INTO known VALUES (:server, :of, :name, :value, :lasts_s, :generation, :now)
ON CONFLICT DO UPDATE SET value = excluded.value, lasts_s = excluded.lasts_s, generation = excluded.generation,
learned = excluded.learned WHERE excluded.generation > generation OR NOT ({_VALID})"""
_FORGET = (
    f"DELETE FROM known WHERE NOT ({_VALID})",
    """DELETE FROM known WHERE server IN
    (SELECT server FROM known GROUP BY server ORDER BY max(learned) DESC LIMIT -1 OFFSET :servers)""",
    """DELETE FROM known WHERE server = :server AND (of, name) IN
    (SELECT of, name FROM known WHERE server = :server ORDER BY learned DESC LIMIT -1 OFFSET :facts)""",
)

_HARMLESS = (sqlite3.Error, OSError, ValueError, TypeError)
"""What a file that is damaged may lead to, or that others wrote, or linked, or a name that is no text."""


class ServerMemory:
    """Facts about servers, each as long as it holds. Several processes may share it; losing it costs time only.

    It raises nothing: what cannot be read is not known, and what cannot be written is not kept.
    """

    def __init__(self, path: Path | None = None, *, learns: bool = True) -> None:
        """Keep them in a file; without one nothing is kept. One that does not learn reads the file, and makes none."""
        self._path = path
        self._learns = learns

    def recall(self, server: str) -> list[Fact]:
        """Return all that is known about a server and still holds."""
        with suppress(*_HARMLESS), self._open() as database:
            rows = database.execute(
                f"SELECT of, name, value, lasts_s, generation FROM known WHERE server = :server AND {_VALID}",
                {"server": server, "now": time.time()},
            )
            return [Fact(*row) for row in rows if _is_fact(row)]
        return []

    def learn(self, server: str, facts: Iterable[Fact]) -> None:
        """Keep facts that last, each unless a later one about the same is known."""
        lasting = [fact for fact in facts if fact.lasts_s]
        if not lasting or not self._learns:
            return
        about = {"server": server, "now": time.time(), "servers": MOST_SERVERS, "facts": MOST_FACTS}
        with suppress(*_HARMLESS), self._open() as database, database:
            database.executemany(_LEARN, [about | fact._asdict() for fact in lasting])
            for statement in _FORGET:
                database.execute(statement, about)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(self._connected()) as database:
            database.execute(_TABLE)
            yield database

    def _connected(self) -> sqlite3.Connection:
        if self._path is None:
            return sqlite3.connect(":memory:")
        if self._learns:
            return private_files.connect(self._path, os.O_RDONLY, timeout=5)
        private_files.refuse_links(self._path)
        return sqlite3.connect(f"{self._path.as_uri()}?mode=ro", uri=True, timeout=5)


def _is_fact(row: tuple[object, ...]) -> bool:
    of, name, value, lasts_s, generation = row
    texts = isinstance(of, str) and isinstance(name, str)
    return texts and isinstance(value, int | str) and isinstance(lasts_s, float) and isinstance(generation, int)
