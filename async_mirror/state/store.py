"""What is remembered of one mirror: what is held, what is being done, what was learned. Knows no site, no source."""

import secrets
from pathlib import Path
from typing import Self

from async_mirror.state.database import Database
from async_mirror.state.journal import Journal
from async_mirror.state.lock import unlock
from async_mirror.state.schema import ABSENT


class State(Journal):
    """The state of one mirror, open and locked. Its methods block; they are called from one thread at a time."""

    def __init__(self, database: Database, lock: int | None, holder: str = "") -> None:
        """Hold an open database; see `opening.open_state`. A copy names the `holder` of what it was copied from."""
        super().__init__(database)
        self._lock = lock
        self.holder = holder
        self.id = self.fact("id") or self._new_id()

    def __enter__(self) -> Self:
        """Be closed at the end of a `with`."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close the database and let the next process have it."""
        self.close()

    @property
    def path(self) -> Path:
        """The file that the state is in."""
        return self._database.path

    @property
    def lacks_room(self) -> bool:
        """True if the last error was that there is no room: it may be used again later."""
        return self._database.lacks_room

    @property
    def descriptors(self) -> tuple[int, ...]:
        """The descriptors that keep the state locked, for as long as any process has them open."""
        return () if self._lock is None else (self._lock,)

    def close(self) -> None:
        """Close the database and let the next process have it."""
        self._database.close()
        if self._lock is not None:
            unlock(self._lock)
            self._lock = None

    def may_hold_anything(self) -> bool:
        """Tell whether anything is held, or may be once it is known what became of what was begun."""
        query = "SELECT 1 FROM held UNION ALL SELECT 1 FROM pending WHERE noted AND kind != ? LIMIT 1"
        with self._database.reading() as connection:
            return connection.execute(query, (ABSENT,)).fetchone() is not None

    def _new_id(self) -> str:
        new = secrets.token_hex(4)
        self.learn(id=new)
        return new

    def fact(self, name: str) -> str | None:
        """Return what was learned under a name, if anything."""
        with self._database.reading() as connection:
            row = connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else None

    def learn(self, **facts: str | None) -> None:
        """Remember facts; None forgets one."""
        with self._database.transaction(durable=True) as connection:
            for name, value in facts.items():
                if value is None:
                    connection.execute("DELETE FROM facts WHERE name = ?", (name,))
                else:
                    connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))
