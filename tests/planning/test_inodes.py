"""On which file systems the inodes of files count."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from async_mirror.model.entry import Entry, Kind, Listing, Tally
from async_mirror.planning.inodes import Inodes
from async_mirror.source.mounts import Mount, mounts
from async_mirror.state.opening import open_state
from async_mirror.state.store import State

FIRST, SECOND, THIRD = (f"boot {number} 0:40" for number in (1, 2, 3))
MADE_UP = [b"nfs", b"nfs4", b"cifs", b"smb3", b"fuse", b"fuse.sshfs", b"9p", b"virtiofs", b"vfat", b"overlay"]


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    with open_state(tmp_path / "state.sqlite3") as state:
        yield state


def a_file(inode: int, ctime_ns: int = 7) -> Entry:
    return Entry("f", Kind.FILE, 1, 10, 0o644, inode, ctime_ns=ctime_ns)


def look(state: State, identity: str, now: Listing | None = None, kind: bytes = b"nfs4") -> bool:
    """Look at a file system in one pass; return whether inodes count in it."""
    inodes = Inodes(state, lambda: [Mount("", kind, identity)])
    count = inodes.count_in("")
    inodes.saw(now or Listing("", (a_file(1),)), [a_file(1)])
    inodes.learn()
    return count


@pytest.mark.parametrize("kind", MADE_UP)
def test_inodes_that_may_be_made_up_count_once_another_mounting_has_shown_the_same(state: State, kind: bytes) -> None:
    seen = [look(state, identity, kind=kind) for identity in (FIRST, FIRST, SECOND, SECOND, THIRD)]
    assert seen == [False, False, False, True, True]


def test_inodes_that_another_mounting_shows_otherwise_never_count(state: State) -> None:
    others = Listing("", (a_file(2),))
    assert not any([look(state, FIRST), look(state, SECOND, others), look(state, SECOND), look(state, THIRD)])
    assert not look(state, THIRD)


def test_file_that_was_written_to_meanwhile_proves_nothing(state: State) -> None:
    written = Listing("", (a_file(2, ctime_ns=8),))
    assert not any([look(state, FIRST), look(state, SECOND, written), look(state, SECOND)])
    assert not look(state, THIRD)
    assert look(state, THIRD)


def test_folder_that_is_as_it_was_proves_its_inodes(state: State) -> None:
    as_it_was = Listing("", known=Tally(3, 3, 0))
    assert not any([look(state, FIRST), look(state, SECOND, as_it_was)])
    assert look(state, SECOND)


@pytest.mark.parametrize("kind", [b"ext4", b"xfs", b"btrfs", b"tmpfs", b"zfs"])
def test_inodes_of_a_disk_count_at_once(state: State, kind: bytes) -> None:
    assert look(state, FIRST, kind=kind)
    assert state.fact("inodes of ext4 at /") is None


def test_each_folder_is_on_the_file_system_that_begins_above_it(state: State) -> None:
    inodes = Inodes(state, lambda: [Mount("a/b", b"nfs4", FIRST), Mount("a", b"ext4", FIRST), Mount("", b"9p", FIRST)])
    assert [inodes.count_in(folder) for folder in ("a/b/c", "a/b", "a/bc", "a", "", "ab")] == [
        False,
        False,
        True,
        True,
        False,
        False,
    ]


def test_system_tells_of_the_file_systems_of_a_source() -> None:
    assert [each.kind for each in mounts(b"/proc/self") if not each.folder] == [b"proc"]
    assert {"proc", "sys"} <= {each.folder for each in mounts(b"/")}
