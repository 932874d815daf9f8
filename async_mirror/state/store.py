"""What the site is known to hold, what is being done to it, what was learned. SQLite; knows neither site nor source."""

import errno
import fcntl
import hashlib
import os
import re
import secrets
import shutil
import socket
import sqlite3
import stat
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from itertools import chain, groupby, islice
from pathlib import Path
from typing import Self, TypeVar

from async_mirror.model import escape, odd_names, temporary_names
from async_mirror.model.change import Inside, Job, MakeFolder, Move, Outcome, Pending, RemoveFile, RemoveFolder, path_of
from async_mirror.model.entry import UNKNOWN, Entry, Kind, Listing, Tally, fingerprint
from async_mirror.model.paths import decode, encode, join, parent, split
from async_mirror.state import private_files

VERSION = 1
ORPHANS_END_SECONDS = 10.0
_AT_ONCE = 64
_BEYOND = 1 << 63

_TABLES = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE held (
    folder BLOB NOT NULL, name BLOB NOT NULL, kind INTEGER NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
    mode INTEGER NOT NULL, inode INTEGER NOT NULL, mount INTEGER NOT NULL, digest BLOB NOT NULL,
    PRIMARY KEY (folder, name)
) WITHOUT ROWID;
CREATE INDEX held_inode ON held (inode) WHERE kind = 1;
CREATE TABLE pending (
    path BLOB PRIMARY KEY, kind INTEGER, size INTEGER, mtime_ns INTEGER, mode INTEGER, inode INTEGER, mount INTEGER,
    token TEXT NOT NULL, tries INTEGER NOT NULL, twin BLOB NOT NULL
) WITHOUT ROWID;
"""
_LATER = """
CREATE INDEX IF NOT EXISTS held_folder_inode ON held (inode) WHERE kind = 2;
CREATE TABLE IF NOT EXISTS in_step (
    folder BLOB PRIMARY KEY, fingerprint BLOB NOT NULL, files INTEGER NOT NULL, size INTEGER NOT NULL,
    excluded INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TRIGGER IF NOT EXISTS held_inserted AFTER INSERT ON held BEGIN
    DELETE FROM in_step WHERE folder = NEW.folder;
END;
CREATE TRIGGER IF NOT EXISTS held_updated AFTER UPDATE ON held BEGIN
    DELETE FROM in_step
    WHERE folder IN (OLD.folder, NEW.folder, CAST(ltrim(OLD.folder || '/' || OLD.name, '/') AS BLOB));
END;
CREATE TRIGGER IF NOT EXISTS held_deleted AFTER DELETE ON held BEGIN
    DELETE FROM in_step WHERE folder IN (OLD.folder, CAST(ltrim(OLD.folder || '/' || OLD.name, '/') AS BLOB));
END;
"""
"""What a state of this version may lack; older programs of the version get along with it."""
_COLUMNS = "folder, name, kind, size, mtime_ns, mode, inode, mount, digest"


T = TypeVar("T")


class StateError(Exception):
    """The state cannot be used; the text says why and what to do."""


class DamagedStateError(StateError):
    """The database is no database any more; its file is to be set aside."""

    def __init__(self, path: Path, error: Exception) -> None:
        """Say so, and what comes next."""
        super().__init__(
            f"the state {path} is damaged ({error}) and is set aside beside it. Nothing more was done. The next run"
            " looks at the site again and takes over what is there already; it removes nothing that it does not know"
        )


def _unusable(path: Path, reason: object) -> str:
    return f"the state {path} cannot be used ({reason}): see that this user may write there, and that there is room"


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            raise DamagedStateError(path, error) from error
        raise StateError(_unusable(path, error)) from error
    except sqlite3.Error as error:
        raise StateError(_unusable(path, error)) from error
    except OSError as error:
        if error.errno == errno.ELOOP:
            text = f"the state {path} is a symbolic link, which is not followed: put the file itself there"
            raise StateError(text) from error
        raise StateError(_unusable(path, error.strerror)) from error


class State:
    """The state of one mirror, open and locked. Its methods block; they are called from one thread at a time."""

    def __init__(self, path: Path, database: sqlite3.Connection, lock: int | None) -> None:
        """Hold an open database; see `open_state`."""
        self.path = path
        self._database = database
        self._lock = lock
        self._damaged = False
        self.id = self._fact_or("id", lambda: secrets.token_hex(4))

    def __enter__(self) -> Self:
        """Be closed at the end of a `with`."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close the database and let the next process have it."""
        self.close()

    @property
    def descriptors(self) -> tuple[int, ...]:
        """The descriptors that keep the state locked, for as long as any process has them open."""
        return () if self._lock is None else (self._lock,)

    def close(self) -> None:
        """Close the database and let the next process have it."""
        self._database.close()
        if self._lock is not None:
            if self._damaged:
                _set_aside(self.path)
            os.close(self._lock)
            self._lock = None

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            with _explained(self.path):
                yield
        except DamagedStateError:
            self._damaged = True
            raise

    @contextmanager
    def _transaction(self, *, durable: bool) -> Iterator[sqlite3.Connection]:
        """Commit or roll back as one. What is `durable` survives a power failure too."""
        with self._explained():
            self._database.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            with self._database:
                self._database.execute("BEGIN IMMEDIATE")
                yield self._database

    # Facts.

    def fact(self, name: str) -> str | None:
        """Return what was learned under a name, if anything."""
        with self._explained():
            row = self._database.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else None

    def learn(self, **facts: str | None) -> None:
        """Remember facts; None forgets one."""
        with self._transaction(durable=True) as database:
            for name, value in facts.items():
                if value is None:
                    database.execute("DELETE FROM facts WHERE name = ?", (name,))
                else:
                    database.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def _fact_or(self, name: str, make: Callable[[], str]) -> str:
        value = self.fact(name)
        if value is None:
            value = make()
            self.learn(**{name: value})
        return value

    # What is held.

    def held_in(self, folder: str) -> list[Entry]:
        """Return what is held directly in a folder."""
        with self._explained():
            rows = self._database.execute(f"SELECT {_COLUMNS} FROM held WHERE folder = ?", (encode(folder),))
            prefix = folder + "/" if folder else ""
            return [_entry_at(prefix + decode(row[1]), row) for row in rows.fetchall()]

    def held_below(self, folder: str) -> list[Entry]:
        """Return all that is held below a folder, in no order."""
        with self._explained():
            condition, values = _below(folder)
            return [
                _entry(row) for row in self._database.execute(f"SELECT {_COLUMNS} FROM held WHERE {condition}", values)
            ]

    def held_with_inodes(self, inodes: Iterable[int]) -> list[Entry]:
        """Return the held files that had one of these inodes when they were sent, and whose content is known."""
        found: list[Entry] = []
        with self._explained():
            for some in _chunks(map(_signed, inodes)):
                rows = self._database.execute(
                    f"SELECT {_COLUMNS} FROM held WHERE inode IN ({_marks(len(some))}) AND kind = 1 AND digest != x''",
                    some,
                )
                found += [_entry(row) for row in rows.fetchall()]
        return found

    def held_through(self, folder: str) -> Iterator[tuple[str, list[Entry]]]:
        """Yield a folder, and each held one below it, with what is held directly in it."""
        waiting = [folder]
        while waiting:
            each = waiting.pop()
            entries = self.held_in(each)
            yield each, entries
            waiting += [entry.path for entry in entries if entry.is_folder]

    def held_folders_with_inode(self, inode: int) -> list[Entry]:
        """Return the held folders that had this inode when they were last seen."""
        with self._explained():
            rows = self._database.execute(
                f"SELECT {_COLUMNS} FROM held WHERE inode = ? AND kind = 2", (_signed(inode),)
            )
            return [_entry(row) for row in rows]

    def held(self, path: str) -> Entry | None:
        """Return what is held at one path."""
        folder, name = split(path)
        with self._explained():
            row = self._database.execute(
                f"SELECT {_COLUMNS} FROM held WHERE folder = ? AND name = ?", (encode(folder), encode(name))
            ).fetchone()
        return _entry(row) if row else None

    def count_held_files(self) -> int:
        """Return how many files are held."""
        with self._explained():
            return int(self._database.execute("SELECT count(*) FROM held WHERE kind = 1").fetchone()[0])

    def holds_anything(self) -> bool:
        """Tell whether anything is held."""
        with self._explained():
            return self._database.execute("SELECT 1 FROM held LIMIT 1").fetchone() is not None

    def hold(self, entries: Iterable[Entry]) -> None:
        """Record entries as held, as they are."""
        with self._transaction(durable=False) as database:
            _hold(database, entries)

    def held_folders(self) -> list[str]:
        """Return the paths of all held folders, a folder before what is below it."""
        with self._explained():
            rows = self._database.execute("SELECT folder, name FROM held WHERE kind = 2 ORDER BY folder")
            return [decode(folder + b"/" + name if folder else name) for folder, name in rows]

    def drop(self, paths: Iterable[str]) -> None:
        """Forget what is not there, or not ours, any more; folders with all below them."""
        with self._transaction(durable=False) as database:
            for path in paths:
                _forget(database, path)

    def void(self, folder: str) -> None:
        """Forget a folder and all below it: the site turned out not to have it."""
        with self._transaction(durable=True) as database:
            _forget(database, folder)

    # Which folders are in step with the source: a listing with this fingerprint and what is held there make no change.
    # The database itself forgets a folder with the first row of it that changes, whoever changes it.

    def keep_rules(self, rules: str) -> None:
        """Have those folders forgotten that were in step by other rules than these."""
        if self.fact("rules") != rules:
            with self._transaction(durable=False) as database:
                database.execute("DELETE FROM in_step")
                database.execute("INSERT OR REPLACE INTO facts VALUES ('rules', ?)", (rules,))

    def in_step(self, folder: str, fingerprint: bytes) -> Tally | None:
        """Return what is known of a folder with this fingerprint, if it is in step."""
        with self._explained():
            row = self._database.execute(
                "SELECT files, size, excluded FROM in_step WHERE folder = ? AND fingerprint = ?",
                (encode(folder), fingerprint),
            ).fetchone()
        return Tally(*row) if row else None

    def note_in_step(self, listings: Iterable[Listing]) -> None:
        """Record folders as being in step, as they were listed."""
        with self._transaction(durable=False) as database:
            tallies = ((each, each.tally) for each in listings)
            sane = ((each, tally) for each, tally in tallies if tally.size < _BEYOND)
            _insert(database, "in_step", ((encode(each.folder), each.fingerprint, *tally) for each, tally in sane))

    # What is being done.

    def begin(self, jobs: Iterable[Job]) -> None:
        """Record jobs as pending, for good, before anything is done about them on the site."""
        with self._transaction(durable=True) as database:
            _insert(database, "pending", (row for job in jobs for row in _pending_rows(job)))

    def abandon(self, jobs: Iterable[Job]) -> None:
        """Forget pending jobs that were never begun on the site."""
        with self._transaction(durable=False) as database:
            _settle(database, jobs)

    def commit(self, outcomes: Iterable[Outcome]) -> None:
        """Turn pending into held, as far as the outcomes are certain."""
        with self._transaction(durable=False) as database:
            certain = [outcome for outcome in outcomes if outcome.certain]
            done = [outcome for outcome in certain if not outcome.failure and not outcome.skipped]
            for adds, group in groupby(done, _only_adds):
                if adds:
                    _hold(database, (outcome.held for outcome in group if outcome.held))
                else:
                    for outcome in group:
                        _apply(database, outcome)
            _settle(database, (outcome.job for outcome in certain))

    def pending(self) -> list[Pending]:
        """Return what was begun and never confirmed."""
        with self._explained():
            rows = self._database.execute("SELECT * FROM pending").fetchall()
        return [self._pending(row) for row in rows]

    def is_pending(self, folder: str) -> bool:
        """Tell whether anything is being done, or in doubt, at a path or below it."""
        raw = encode(folder)
        with self._explained():
            found = self._database.execute(
                "SELECT 1 FROM pending WHERE path = ? OR (path > ? AND path < ?) LIMIT 1", (raw, raw + b"/", raw + b"0")
            )
            return found.fetchone() is not None

    def _pending(self, row: tuple[object, ...]) -> Pending:
        raw, kind, size, mtime_ns, mode, inode, mount, token, tries, other = row
        path = decode(raw)  # type: ignore[arg-type]
        twin, origin = decode(other), ""  # type: ignore[arg-type]
        if odd_names.folded(twin) != odd_names.folded(path):
            twin, origin = "", twin
        expected = Entry(path, Kind(kind), size, mtime_ns, mode, inode, bool(mount)) if kind else None  # type: ignore[arg-type]
        if not token:
            return Pending(path, expected, self.held(path), twin=twin)
        folder = parent(path)
        job = Job(MakeFolder(Entry(path, Kind.FOLDER), ""), str(token), int(str(tries)))
        tokens = [job.temporary_token(attempt) for attempt in range(job.tries)] + [job.aside_token]
        leftovers = tuple(join(folder, temporary_names.temporary(self.id, each)) for each in tokens)
        odd = odd_names.odd_traits(split(path)[1])
        box = join(folder, temporary_names.temporary(self.id, job.probe_token)) if odd else ""
        inside = self._inside(origin) if origin else ()
        return Pending(path, expected, self.held(path), leftovers, box, twin, origin, inside)

    def _inside(self, folder: str) -> Inside:
        return tuple((each[len(folder) + 1 :], fingerprint(held)) for each, held in self.held_through(folder))

    def resolve(self, pending: Pending, held: Entry | None, *, moved: bool = False) -> None:
        """Record what a pending path turned out to hold; `moved` says that it has come from its origin."""
        with self._transaction(durable=False) as database:
            if held is not None:
                if pending.twin and held.is_folder and pending.expected:
                    _move_below(database, pending.twin, held.path)
                if moved:
                    _move_below(database, pending.origin, held.path)
                    _forget(database, pending.origin)
                _hold(database, [held])
            elif pending.twin and not pending.expected:
                _forget_one(database, pending.path)
            else:
                _forget(database, pending.path)
            database.execute("DELETE FROM pending WHERE path = ?", (encode(pending.path),))


_Row = tuple[bytes, bytes, int, int, int, int, int, int, bytes]


def _entry(row: _Row) -> Entry:
    folder, name = row[:2]
    return _entry_at(decode(folder + b"/" + name if folder else name), row)


def _entry_at(path: str, row: _Row) -> Entry:
    _, _, kind, size, mtime_ns, mode, inode, mount, digest = row
    return Entry(path, _KINDS[kind], size, mtime_ns, mode, _unsigned(inode), bool(mount), digest)


_KINDS = {int(kind): kind for kind in Kind}


def _signed(inode: int) -> int:
    return inode - (1 << 64) if inode >= _BEYOND else inode


def _unsigned(inode: int) -> int:
    return inode + (1 << 64) if inode < 0 else inode


def _hold(database: sqlite3.Connection, entries: Iterable[Entry]) -> None:
    def rows() -> Iterator[tuple[object, ...]]:
        for entry in entries:
            folder, name = split(entry.path)
            _, kind, size, mtime_ns, mode, inode, mount, digest = entry
            yield encode(folder), encode(name), kind, size, mtime_ns, mode, _signed(inode), mount, digest

    _insert(database, "held", rows())


def _chunks(values: Iterable[T]) -> Iterator[list[T]]:
    """Yield values in lists that one statement takes: each step of one lets go of the interpreter, and that costs."""
    waiting = iter(values)
    while some := list(islice(waiting, _AT_ONCE)):
        yield some


def _marks(number: int) -> str:
    return ", ".join("?" * number)


def _insert(database: sqlite3.Connection, table: str, rows: Iterable[tuple[object, ...]]) -> None:
    for some in _chunks(rows):
        each = f"({_marks(len(some[0]))})"
        values = ", ".join([each] * len(some))
        database.execute(f"INSERT OR REPLACE INTO {table} VALUES {values}", list(chain.from_iterable(some)))


def _below(folder: str) -> tuple[str, tuple[bytes, ...]]:
    if not folder:
        return "1", ()
    raw = encode(folder)
    return "folder = ? OR (folder > ? AND folder < ?)", (raw, raw + b"/", raw + b"0")


def _forget(database: sqlite3.Connection, path: str) -> None:
    condition, values = _below(path)
    database.execute(f"DELETE FROM held WHERE {condition}", values)
    _forget_one(database, path)


def _forget_one(database: sqlite3.Connection, path: str) -> None:
    folder, name = split(path)
    database.execute("DELETE FROM held WHERE folder = ? AND name = ?", (encode(folder), encode(name)))


def _only_adds(outcome: Outcome) -> bool:
    """Tell whether all that an outcome means to the state is what is held at its path now."""
    change = outcome.job.change
    return not isinstance(change, RemoveFile | RemoveFolder) and not (isinstance(change, Move) and outcome.moved)


def _apply(database: sqlite3.Connection, outcome: Outcome) -> None:
    change, held = outcome.job.change, outcome.held
    if isinstance(change, RemoveFile | RemoveFolder):
        _forget(database, change.held.path)
        return
    if isinstance(change, Move) and outcome.moved:
        if change.entry.is_folder:
            _move_below(database, change.held.path, change.entry.path)
        _forget(database, change.held.path)
    assert held is not None, "what was done leaves something there"
    _hold(database, [held])


def _move_below(database: sqlite3.Connection, old: str, new: str) -> None:
    """Let what is held below a folder follow its rename; by its digest alone it can be known for the same again."""
    condition, values = _below(old)
    database.execute(
        f"UPDATE OR REPLACE held SET folder = CAST(? || substr(folder, ?) AS BLOB),"
        f" size = CASE kind WHEN {Kind.FILE} THEN {UNKNOWN} ELSE size END WHERE {condition}",
        (encode(new), len(encode(old)) + 1, *values),
    )


def _pending_rows(job: Job) -> Iterator[tuple[object, ...]]:
    change = job.change
    path = encode(path_of(change))
    nothing = (None, None, None, None, None, None, "", 0)
    if isinstance(change, RemoveFile | RemoveFolder):
        yield path, *nothing, b""
        return
    entry = change.entry
    other = b""
    if isinstance(change, Move):
        old = encode(change.held.path)
        other = old if change.twin or entry.is_folder else b""
        if change.twin or not entry.is_folder:
            yield old, *nothing, path if change.twin else b""
    version = (entry.kind, entry.size, entry.mtime_ns, entry.mode, _signed(entry.inode), entry.mount)
    yield path, *version, job.token, 0 if entry.is_folder else job.tries, other


def _settle(database: sqlite3.Connection, jobs: Iterable[Job]) -> None:
    for some in _chunks((row[0], row[7]) for job in jobs for row in _pending_rows(job)):
        pairs = ", ".join(["(?, ?)"] * len(some))
        database.execute(
            f"DELETE FROM pending WHERE (path, token) IN (VALUES {pairs})", list(chain.from_iterable(some))
        )


# Opening.


def state_path(folder: Path, binding: Iterable[str]) -> Path:
    """Return the file of the mirror that is bound to these texts (source, host, port, user, root)."""
    parts = list(binding)
    key = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    label = re.sub(r"[^A-Za-z0-9.-]+", "_", parts[1])[:40]
    return folder / f"{label}-{key}.sqlite3"


def facts_of(path: Path) -> dict[str, str]:
    """Return what a state has learned, while another process may be using it. Raises StateError, also for none."""
    if not path.is_file():
        raise StateError(f"no pass was ever made: there is no state {path}; see that sync has the same settings")
    try:
        with _explained(path):
            private_files.refuse_links(path)
            with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=10)) as database:
                return dict(database.execute("SELECT name, value FROM facts"))
    except DamagedStateError:
        raise StateError(f"the state {path} is damaged; the next run of sync sets it aside") from None


def open_copy(path: Path) -> State:
    """Return a copy of a state in memory, which can be changed without a trace; a new one if there is none.

    Raises StateError if it cannot be read.
    """
    copy = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    if path.exists():
        with _explained(path), tempfile.TemporaryDirectory(prefix="async-mirror-") as folder:
            private_files.refuse_links(path)
            for suffix in ("", "-wal"):
                with suppress(FileNotFoundError):
                    shutil.copyfile(f"{path}{suffix}", f"{folder}/copy{suffix}")
            with closing(sqlite3.connect(f"{folder}/copy")) as database:
                database.backup(copy)
    _prepare(copy, path)
    return State(path, copy, None)


def open_state(path: Path) -> State:
    """Open a state and lock it, and make it if it is not there.

    Raises StateError: in use (the text names by whom), from a newer version, or damaged (then it is set aside).
    """
    with _explained(path):
        private_files.make_folder(path.parent)
    lock = _lock(path.with_suffix(".lock"))
    try:
        with _explained(path):
            database = _open_sound(path)
        return State(path, database, lock)
    except BaseException as error:
        if isinstance(error, DamagedStateError):
            _set_aside(path)
        os.close(lock)
        raise


def open_to_others(path: Path) -> str:
    """Say that anybody may put files where a state is, "" if it is not so."""
    try:
        writable = path.parent.stat().st_mode & stat.S_IWOTH
    except OSError:
        return ""
    return f"others on this machine can write to the state folder {path.parent}: run chmod o-w on it" * bool(writable)


def _set_aside(path: Path) -> None:
    with suppress(FileNotFoundError):
        os.replace(path, path.with_suffix(f".damaged-{secrets.token_hex(3)}"))
    for extra in ("-wal", "-shm"):
        path.with_name(path.name + extra).unlink(missing_ok=True)


def _holder_after(lock: int, seconds: float) -> str:
    """Take the lock and return "", or return who has it; what a killed process left running is waited for so long."""
    end = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 200, 0).decode("utf-8", "replace").strip() or "another process"
            if time.monotonic() >= end or not _has_ended(holder):
                return holder
            time.sleep(0.05)
        else:
            return ""


def _has_ended(holder: str) -> bool:
    """Tell whether a process of this machine, as the lock names it, is gone."""
    named = re.fullmatch(r"process (\d+) on (.+)", holder)
    if not named or named[2] != socket.gethostname():
        return False
    try:
        os.kill(int(named[1]), 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    return False


def _lock(path: Path) -> int:
    with _explained(path):
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        private_files.close_to_others(lock)
    holder = _holder_after(lock, ORPHANS_END_SECONDS)
    if holder:
        os.close(lock)
        raise StateError(
            f"this mirror is already being kept by {escape.shown(holder)}, whose lock is {path}: let that end first"
        )
    with _explained(path):
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
    return lock


def _open_sound(path: Path) -> sqlite3.Connection:
    log = path.with_name(path.name + "-wal")
    was_cut_short = log.exists() and log.stat().st_size > 0
    database = private_files.connect(path, os.O_RDWR, isolation_level=None, check_same_thread=False, timeout=10)
    try:
        _prepare(database, path)
        database.execute("PRAGMA journal_mode = WAL")
        if was_cut_short and (check := database.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise DamagedStateError(path, ValueError(check))
    except BaseException:
        database.close()
        raise
    return database


def _prepare(database: sqlite3.Connection, path: Path) -> None:
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise StateError(f"the state {path} was written by a newer version of async-mirror: use that one")
    if version == 0:
        database.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {VERSION}; COMMIT;")
    database.executescript(f"BEGIN; {_LATER} COMMIT;")
