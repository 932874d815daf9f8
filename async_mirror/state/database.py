"""An open database and how it fails: its errors told in one line, its transactions. Knows no table."""

import errno
import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class StateError(Exception):
    """The state cannot be used; the text says why and what to do."""


class DamagedStateError(StateError):
    """The database is no database any more; its file is to be set aside."""

    def __init__(self, path: Path, error: Exception) -> None:
        """Say so, and what comes next."""
        super().__init__(
            f"the state {path} is damaged ({error}) and was set aside: run sync again; it lists the site, adopts what"
            " is equal, and deletes nothing that it does not track"
        )


class NoRoomError(StateError):
    """There is no room for the state on its disk, or in the user's quota; there may be later."""


class Database:
    """An open database. Its methods block; they are called from one thread at a time."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        """Hold an open connection; `path` is what messages name."""
        self.path = path
        self.lacks_room = False
        """True from when there was no room until something could be written again."""
        self._damaged = False
        self._connection = connection

    def close(self) -> None:
        """Close the connection; set the file aside if it turned out to be damaged."""
        self._connection.close()
        if self._damaged:
            set_aside(self.path)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Lend the connection. Raises StateError for whatever SQLite raises."""
        try:
            with explained(self.path):
                yield self._connection
        except DamagedStateError:
            self._damaged = True
            raise
        except NoRoomError:
            self.lacks_room = True
            raise

    @contextmanager
    def transaction(self, *, durable: bool) -> Iterator[sqlite3.Connection]:
        """Commit or roll back as one. What is `durable` survives a power failure too."""
        with self.reading() as connection:
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
        self.lacks_room = False


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Raise StateError in place of what SQLite or the system raises about a state; DamagedStateError if it is that."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            raise DamagedStateError(path, error) from error
        is_full = getattr(error, "sqlite_errorcode", 0) in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE}
        raise (NoRoomError if is_full else StateError)(_unusable(path, error)) from error
    except sqlite3.Error as error:
        raise StateError(_unusable(path, error)) from error
    except OSError as error:
        if error.errno == errno.ELOOP:
            text = f"the state {path} is a symbolic link: put the file itself there"
            raise StateError(text) from error
        is_full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        raise (NoRoomError if is_full else StateError)(_unusable(path, error.strerror)) from error


def set_aside(path: Path) -> None:
    """Give a damaged database another name, so that the next one to open it begins anew."""
    with suppress(FileNotFoundError):
        os.replace(path, path.with_suffix(f".damaged-{secrets.token_hex(3)}"))
    for extra in ("-wal", "-shm"):
        path.with_name(path.name + extra).unlink(missing_ok=True)


def _unusable(path: Path, reason: object) -> str:
    return f"cannot use the state {path} ({reason}): check permissions and free space"
