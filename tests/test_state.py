"""What is held is found again."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from async_mirror.entry import Entry, Kind
from async_mirror.state import State, open_state


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    with open_state(tmp_path / "state/state.sqlite3") as opened:
        yield opened


def file(path: str, inode: int = 1) -> Entry:
    return Entry(path, Kind.FILE, 3, 10, 0o644, inode, digest=b"known")


@pytest.mark.parametrize("inode", [1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
def test_any_inode_that_a_file_system_may_give_is_found_again(state: State, inode: int) -> None:
    state.hold([file("a", inode)])
    assert state.held_with_inode(inode) == [file("a", inode)]
