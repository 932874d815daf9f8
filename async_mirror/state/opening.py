"""Finds, opens, migrates and copies states. Knows nothing of what they say."""

import hashlib
import os
import re
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from async_mirror.state import private_files, schema
from async_mirror.state.database import DamagedStateError, Database, StateError, explained, set_aside
from async_mirror.state.lock import holder_of, lock, unlock
from async_mirror.state.store import State


def state_path(folder: Path, binding: Iterable[str]) -> Path:
    """Return the file of the mirror that is bound to these texts (source, host, port, user, root)."""
    parts = list(binding)
    key = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    label = re.sub(r"[^A-Za-z0-9.-]+", "_", parts[1])[:40]
    return folder / f"{label}-{key}.sqlite3"


class StateFile(NamedTuple):
    """Where a state is, and its former path: a source was named there by where its links led."""

    path: Path
    former: Path

    @property
    def found(self) -> Path:
        """Where it is to be read, if anywhere."""
        return self.former if self.former.exists() and not self.path.exists() else self.path


def facts_of(path: Path) -> dict[str, str]:
    """Return what a state has learned, while another process may be using it. Raises StateError, also for none."""
    if not path.is_file():
        raise StateError(f"never synced (no state {path}): run sync, with the same settings")
    with _left_alone(path):
        private_files.refuse_links(path)
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=10)) as database:
            return dict(database.execute("SELECT name, value FROM facts"))


def open_copy(path: Path) -> State:
    """Return a copy of a state in memory, which can be changed without a trace; a new one if there is none.

    It knows who else has the state at this moment. Raises StateError if it cannot be read.
    """
    copy = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    try:
        with _left_alone(path):
            if path.exists():
                _read_into(copy, path)
            with _of_this_version(copy, path):
                schema.bring_up_to_date(copy)
    except BaseException:
        copy.close()
        raise
    return State(Database(path, copy), None, holder_of(path.with_suffix(".lock")))


def _read_into(copy: sqlite3.Connection, path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="async-mirror-") as folder:
        private_files.refuse_links(path)
        for suffix in ("", "-wal"):
            with suppress(FileNotFoundError):
                shutil.copyfile(f"{path}{suffix}", f"{folder}/copy{suffix}")
        with closing(sqlite3.connect(f"{folder}/copy")) as database:
            database.backup(copy)


def open_state(path: Path, former: Path | None = None) -> State:
    """Open a state and lock it, and make it if it is not there; one that is only at its `former` path is taken over.

    A state of an older version is migrated; a copy of it stays beside it. Raises StateError: in use (the text names by
    whom), from a newer version, or damaged (then it is set aside).
    """
    with explained(path):
        private_files.make_folder(path.parent)
    locked = lock(path.with_suffix(".lock"))
    try:
        if former and former != path and former.exists() and not path.exists():
            _take_over(former, path)
        with explained(path):
            return State(Database(path, _open_sound(path)), locked)
    except BaseException as error:
        if isinstance(error, DamagedStateError):
            set_aside(path)
        unlock(locked)
        raise


def _take_over(former: Path, path: Path) -> None:
    """Give a state its present path, in one step, while no other process has it."""
    locked = lock(former.with_suffix(".lock"))
    try:
        with explained(former):
            with closing(_open_sound(former)) as database:
                database.execute("PRAGMA journal_mode = DELETE")  # all of it is in one file then
            os.replace(former, path)
            private_files.make_durable(path.parent)
    except DamagedStateError:
        set_aside(former)
        raise
    finally:
        unlock(locked)


def open_to_others(path: Path) -> str:
    """Say that anybody may put files where a state is, "" if it is not so."""
    try:
        writable = path.parent.stat().st_mode & stat.S_IWOTH
    except OSError:
        return ""
    return f"other users can write to the state folder {path.parent}: run chmod o-w on it" * bool(writable)


@contextmanager
def _left_alone(path: Path) -> Iterator[None]:
    """Raise StateError as `explained` does, about a state that stays where it is, even if it is damaged."""
    try:
        with explained(path):
            yield
    except DamagedStateError:
        raise StateError(
            f"the state {path} is damaged: run sync, which sets it aside and lists the site again"
        ) from None


def _open_sound(path: Path) -> sqlite3.Connection:
    log = path.with_name(path.name + "-wal")
    was_cut_short = log.exists() and log.stat().st_size > 0
    database = private_files.connect(path, os.O_RDWR, isolation_level=None, check_same_thread=False, timeout=10)
    try:
        with _of_this_version(database, path) as number:
            if was_cut_short and (check := database.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
                raise DamagedStateError(path, ValueError(check))
            if 0 < number < schema.VERSION:
                _keep_copy(database, path.with_suffix(f".v{number}"))
            schema.bring_up_to_date(database)
        database.execute("PRAGMA journal_mode = WAL")
    except BaseException:
        database.close()
        raise
    return database


@contextmanager
def _of_this_version(database: sqlite3.Connection, path: Path) -> Iterator[int]:
    """Tell the version of a state that is to be brought up to date; refuse a newer one, and what is no state."""
    number = schema.number_of(database)
    if number > schema.VERSION:
        raise StateError(f"the state {path} was written by a newer version of async-mirror: install that version")
    if number < 0:
        raise DamagedStateError(path, ValueError("not a state file"))
    try:
        yield number
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_ERROR:
            raise DamagedStateError(path, error) from error
        raise


def _keep_copy(database: sqlite3.Connection, kept: Path) -> None:
    """Keep a copy of a state, for good; under its name there is a whole one or none."""
    making = kept.with_name(f"{kept.name}-new")
    making.unlink(missing_ok=True)
    try:
        with closing(private_files.connect(making, os.O_RDWR, isolation_level=None)) as copy:
            copy.execute("PRAGMA journal_mode = OFF")
            database.backup(copy)
        private_files.make_durable(making)
        os.replace(making, kept)
        private_files.make_durable(kept.parent)
    except BaseException:
        making.unlink(missing_ok=True)
        raise
