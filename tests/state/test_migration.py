"""A state of an older version becomes one of today, whole or not at all, and stays beside it as it was."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from async_mirror.model.candidates import Candidates
from async_mirror.model.change import path_of
from async_mirror.model.entry import UNKNOWN, Entry, Kind
from async_mirror.model.outcome import Pending
from async_mirror.model.plan import plan_folder
from async_mirror.model.selection import Selection
from async_mirror.source.scan import walk
from async_mirror.state import schema
from async_mirror.state.database import DamagedStateError, StateError
from async_mirror.state.opening import facts_of, open_copy, open_state

VERSION_1 = """
PRAGMA journal_mode = WAL;
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
PRAGMA user_version = 1;
"""
LATER_IN_VERSION_1 = """
CREATE INDEX held_folder_inode ON held (inode) WHERE kind = 2;
CREATE TABLE in_step (
    folder BLOB PRIMARY KEY, fingerprint BLOB NOT NULL, files INTEGER NOT NULL, size INTEGER NOT NULL,
    excluded INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TRIGGER held_inserted AFTER INSERT ON held BEGIN
    DELETE FROM in_step WHERE folder = NEW.folder;
END;
CREATE TRIGGER held_updated AFTER UPDATE ON held BEGIN
    DELETE FROM in_step
    WHERE folder IN (OLD.folder, NEW.folder, CAST(ltrim(OLD.folder || '/' || OLD.name, '/') AS BLOB));
END;
CREATE TRIGGER held_deleted AFTER DELETE ON held BEGIN
    DELETE FROM in_step WHERE folder IN (OLD.folder, CAST(ltrim(OLD.folder || '/' || OLD.name, '/') AS BLOB));
END;
INSERT INTO in_step VALUES (x'', x'01', 2, 3, 0);
"""
"""What the first states of the version lack."""
FILES = "WITH RECURSIVE each (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM each WHERE n + 1 < ?)"
HELD = f"""{FILES} INSERT INTO held
SELECT CAST('folder ' || n / 1000 AS BLOB), CAST('file ' || n AS BLOB), 1, n, 10 * n, 420, n + 1, 0, randomblob(16)
FROM each"""
PENDING = f"""{FILES} INSERT INTO pending
SELECT CAST('file ' || n AS BLOB), 1, n, 10 * n, 420, n + 1, 0, 'token' || n, 4, x'' FROM each"""


def make_version_1(path: Path, *, held: int = 0, pending: int = 0, first: bool = False) -> Path:
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript(VERSION_1 + ("" if first else LATER_IN_VERSION_1))
        database.execute("INSERT INTO facts VALUES ('id', '0123abcd'), ('surveyed', '7')")
        database.execute(HELD, (held,)) if held else None
        database.execute(PENDING, (pending,)) if pending else None
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state/ftp.example.org-key.sqlite3"


@pytest.fixture(params=[False, True], ids=["last of version 1", "first of version 1"])
def old(path: Path, request: pytest.FixtureRequest) -> Path:
    return make_version_1(path, first=request.param)


def shape(path: Path) -> dict[str, object]:
    """Return the columns of each table, and what is around them."""
    with closing(sqlite3.connect(path)) as database:
        found = database.execute("SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite%'").fetchall()
        return {
            name: sorted(row[1:] for row in database.execute(f"PRAGMA table_info({name})")) if kind == "table" else sql
            for kind, name, sql in found
        }


def test_migrated_state_has_the_tables_of_a_new_one(old: Path, tmp_path: Path) -> None:
    for each in (old, tmp_path / "new/state.sqlite3"):
        open_state(each).close()
    migrated, new = shape(old), shape(tmp_path / "new/state.sqlite3")
    assert migrated == new


def test_migrated_state_knows_what_it_knew_and_that_it_knows_no_more(old: Path) -> None:
    with closing(sqlite3.connect(old)) as database, database:
        database.execute("INSERT INTO held VALUES (x'', CAST('d' AS BLOB), 2, 0, 0, 493, 5, 1, x'')")
        database.execute("INSERT INTO held VALUES (CAST('d' AS BLOB), CAST('f' AS BLOB), 1, 3, 10, 420, -1, 0, x'ab')")
        database.execute("INSERT INTO pending VALUES (CAST('n' AS BLOB), 1, 4, 20, 416, 6, 0, 'abcz', 2, x'')")
        database.execute(
            "INSERT INTO pending VALUES (CAST('d/f' AS BLOB), NULL, NULL, NULL, NULL, NULL, NULL, '', 0, x'')"
        )
    file = Entry("d/f", Kind.FILE, 3, 10, 0o644, (1 << 64) - 1, digest=b"\xab", ctime_ns=UNKNOWN)
    with open_state(old) as state:
        assert (state.id, state.fact("surveyed")) == ("0123abcd", "7")
        assert state.held_below("") == [Entry("d", Kind.FOLDER, 0, 0, 0o755, 5, mount=True, ctime_ns=UNKNOWN), file]
        leftovers = tuple(f".am-0123abcd-abcz{each}.part" for each in "01")
        aside = ".am-0123abcd-abczo.part"
        new = Entry("n", Kind.FILE, 4, 20, 0o640, 6, ctime_ns=UNKNOWN)
        assert state.pending(0.0) == [
            Pending("d/f", Candidates((file, None)), file, boxes=("d/.am-0123abcd-p.part",)),
            Pending("n", Candidates((None, new)), None, leftovers, (aside,), earlier=(new,)),
        ]


def test_no_folder_of_a_migrated_state_is_in_step(old: Path) -> None:
    with open_state(old) as state:
        assert state.in_step("", b"\x01") is None


def test_files_that_are_as_they_were_take_their_present_ctime_in_the_first_pass_and_no_others(path: Path) -> None:
    source = path.parent.parent / "source"
    source.mkdir()
    for name in ("same", "other inode", "longer"):
        (source / name).write_text(name)
    make_version_1(path)
    with closing(sqlite3.connect(path)) as database, database:
        for name in ("same", "other inode", "longer"):
            status = (source / name).stat()
            inode, size = status.st_ino + (name == "other inode"), status.st_size - (name == "longer")
            row = (name.encode(), size, status.st_mtime_ns, status.st_mode & 0o777, inode)
            database.execute("INSERT INTO held VALUES (x'', ?, 1, ?, ?, ?, ?, 0, x'ab')", row)
    with open_state(path) as state:
        [listing] = walk(bytes(source), Selection(), "", state.in_step)
        plan = plan_folder(listing, state.held_in(""))
        state.hold(plan.refreshed)
        assert [path_of(change) for change in plan.changes] == ["longer"]
        assert [entry.path for entry in plan.touched] == ["other inode"]
        ctimes = {entry.path: entry.ctime_ns for entry in state.held_in("")}
    assert ctimes == {"same": (source / "same").stat().st_ctime_ns, "other inode": UNKNOWN, "longer": UNKNOWN}


def test_copy_of_what_was_migrated_stays_beside_it_for_this_user_alone(old: Path) -> None:
    before = content(old)
    open_state(old).close()
    kept = old.with_suffix(".v1")
    assert content(kept) == before
    assert (version(kept), kept.stat().st_mode & 0o777) == (1, 0o600)
    kept.unlink()
    open_state(old).close()
    assert sorted(each.suffix for each in old.parent.iterdir()) == [".lock", ".sqlite3"], "there was nothing to keep"


def test_dry_run_on_an_older_state_leaves_it_as_it_is(old: Path) -> None:
    before = content(old)
    with open_copy(old) as state:
        assert state.fact("surveyed") == "7"
    assert (content(old), version(old)) == (before, 1)
    assert not old.with_suffix(".v1").exists()


def test_facts_of_an_older_state_are_read_without_migrating_it(old: Path) -> None:
    assert facts_of(old)["surveyed"] == "7"
    assert version(old) == 1


def test_million_rows_migrate_in_under_half_a_minute(path: Path) -> None:
    make_version_1(path, held=1_000_000)
    begun = time.monotonic()
    with open_state(path) as state:
        took_s = time.monotonic() - begun
        assert state.count_held_files() == 1_000_000
    assert took_s < 30
    assert count(path.with_suffix(".v1"), "held") == 1_000_000


# Killed.

KEPT = ("facts", "held", "pending")
OPEN = """
import os, resource, signal, sys
from pathlib import Path
from async_mirror.state.opening import open_state

path, point, most_bytes = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
touching = {"execute", "backup", "connect", "unlink", "replace", "fsync", "open", "close"}
calls = 0

def count(frame, event, function):
    global calls
    if event == "c_call" and function.__name__ in touching:
        calls += 1
        if calls == point:
            os.kill(os.getpid(), signal.SIGKILL)

if most_bytes:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN if point < 0 else signal.SIG_DFL)
sys.setprofile(count)
state = open_state(path)
sys.setprofile(None)
print(calls)
"""
"""Opens a state and kills itself: at a call that touches files, or in the midst of one that writes beyond some bytes.

With a point below 0 such a write fails, as on a full disk.
"""


def open_elsewhere(path: Path, point: int = 0, most_bytes: int = 0) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", OPEN, str(path), str(point), str(most_bytes)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


def restored(path: Path, original: bytes) -> None:
    for each in path.parent.iterdir():
        each.unlink()
    path.write_bytes(original)


def assert_old_or_new_opens(path: Path, before: dict[str, list[object]]) -> bool:
    """See that the state is one of the two, and that it opens; tell whether it was the new one."""
    found = version(path)
    assert found in (1, 2)
    assert found == 2 or content(path) == before
    open_state(path).close()
    assert [count(path, table) for table in KEPT] == [len(before[table]) for table in KEPT]
    assert content(path.with_suffix(".v1")) == before
    assert version(path.with_suffix(".v1")) == 1
    assert {each.suffix for each in path.parent.iterdir()} == {".lock", ".sqlite3", ".v1"}
    return found == 2


def test_killed_before_or_after_any_call_of_a_migration_the_old_or_the_new_state_opens(path: Path) -> None:
    make_version_1(path, held=50, pending=5)
    before, original = content(path), path.read_bytes()
    calls = int(open_elsewhere(path).stdout)
    found = []
    for point in range(1, calls + 1):
        restored(path, original)
        assert open_elsewhere(path, point).returncode == -signal.SIGKILL
        found.append(assert_old_or_new_opens(path, before))
    assert found == sorted(found), "once new, it stays new"
    assert {True, False} == set(found)


def parts_of_what_is_written(path: Path) -> Iterator[int]:
    """Yield numbers of bytes: of the copy, and beyond it of the log of the one transaction."""
    size = path.stat().st_size
    yield from (1, 4096, size // 2, size - 4096)
    yield from (size + 4096, size + size // 8, size + size // 4)


def test_killed_in_the_midst_of_writing_the_old_state_opens(path: Path) -> None:
    make_version_1(path, held=50, pending=8_000)
    before, original = content(path), path.read_bytes()
    for most_bytes in parts_of_what_is_written(path):
        restored(path, original)
        assert open_elsewhere(path, most_bytes=most_bytes).returncode == -signal.SIGXFSZ
        assert path.with_suffix(".v1").exists() == (most_bytes > len(original))
        assert not assert_old_or_new_opens(path, before)


def test_without_room_for_a_migration_one_line_says_so_and_the_old_state_stays(path: Path) -> None:
    make_version_1(path, held=50, pending=8_000)
    before, original = content(path), path.read_bytes()
    for most_bytes in parts_of_what_is_written(path):
        restored(path, original)
        failed = open_elsewhere(path, -1, most_bytes)
        last = failed.stderr.strip().splitlines()[-1]
        assert re.match(r"async_mirror\.state\.database\.(NoRoom|State)Error: cannot use the state", last)
        assert last.endswith("check permissions and free space")
        assert not path.with_suffix(".v1-new").exists()
        assert not assert_old_or_new_opens(path, before)


# Damaged, or newer.


def test_newer_state_is_refused_in_one_line_and_left_as_it_is(path: Path) -> None:
    open_state(path).close()
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    before = path.read_bytes()
    for opening in (open_state, open_copy):
        with pytest.raises(StateError) as raised:
            opening(path)
        assert (
            str(raised.value)
            == f"the state {path} was written by a newer version of async-mirror: install that version"
        )
    assert path.read_bytes() == before


DAMAGES = {
    "a table is missing": "DROP TABLE held",
    "a column is missing": "ALTER TABLE held DROP COLUMN digest",
    "another program's": "PRAGMA user_version = 0",
    "a version that never was": "PRAGMA user_version = -1",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("migrated", [True, False])
def test_state_that_is_not_whole_is_set_aside_in_one_line(path: Path, damage: str, migrated: bool) -> None:
    make_version_1(path, held=3)
    if migrated:
        open_state(path).close()
    with closing(sqlite3.connect(path)) as database:
        for trigger in ("held_inserted", "held_updated", "held_deleted"):
            database.execute(f"DROP TRIGGER {trigger}")
        if migrated:
            database.execute("DROP INDEX held_unread")
        database.execute(damage)
    with pytest.raises(StateError) as raised:
        open_copy(path)
    assert str(raised.value) == f"the state {path} is damaged: run sync, which sets it aside and lists the site again"
    with pytest.raises(DamagedStateError) as raised:
        open_state(path)
    assert str(raised.value).startswith(f"the state {path} is damaged (")
    assert "\n" not in str(raised.value)
    [aside] = path.parent.glob("*.damaged-*")
    with open_state(path) as state:
        assert not state.holds_anything()
    assert aside.exists()


def test_torn_pages_of_an_older_state_are_no_state(path: Path) -> None:
    make_version_1(path, held=5000)
    size = path.stat().st_size
    with path.open("r+b") as file:
        for page in range(4096, size, 4096):
            file.seek(page)
            file.write(os.urandom(64))
    with pytest.raises(DamagedStateError):
        open_state(path)
    assert list(path.parent.glob("*.damaged-*"))


def version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as database:
        return int(database.execute("PRAGMA user_version").fetchone()[0])


def count(path: Path, table: str) -> int:
    with closing(sqlite3.connect(path)) as database:
        return int(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def content(path: Path) -> dict[str, list[object]]:
    with closing(sqlite3.connect(path)) as database:
        tables = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {table: database.execute(f"SELECT * FROM {table}").fetchall() for table in tables}
