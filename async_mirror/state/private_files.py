"""Makes and opens what is this user's alone: folders, and SQLite databases. Knows nothing of what is in them."""

import errno
import os
import sqlite3
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

_DATABASE = ("", "-wal", "-shm", "-journal")
"""What the names of a database's files end with."""


def make_folder(folder: Path) -> None:
    """Make a folder that only this user may enter, and those above it; what is there stays as it is."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def connect(path: Path, access: int, **options: Any) -> sqlite3.Connection:
    """Open a database, for this user alone if it has to be made, and through no link that others put there.

    `access` is os.O_RDWR where it must be possible to write, os.O_RDONLY where it need not. Raises OSError, ELOOP for a
    link, and sqlite3.Error.
    """
    refuse_links(path)
    ours = os.open(path, access | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    try:
        close_to_others(ours)
        database: sqlite3.Connection = sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, **options)
        # SQLite opens by name, and follows links: see that the name still is the file's, whose inode is not free for
        # others as long as it is open. SQLite has taken no lock yet, which our close would take from it.
        if not os.path.samestat(os.fstat(ours), os.lstat(path)):
            database.close()
            raise _link()
    finally:
        os.close(ours)
    return database


def refuse_links(path: Path) -> None:
    """Raise OSError, ELOOP, for a link in place of any file of a database."""
    if any(os.path.islink(f"{path}{suffix}") for suffix in _DATABASE):
        raise _link()


def _link() -> OSError:
    return OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def close_to_others(descriptor: int) -> None:
    """See that a file is for this user alone, if it is this user's."""
    if stat.S_IMODE(os.fstat(descriptor).st_mode) & 0o077:
        with suppress(OSError):
            os.fchmod(descriptor, 0o600)


def make_durable(path: Path) -> None:
    """Have a file, or the names in a folder, survive a power failure."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
