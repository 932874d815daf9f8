"""What is held is found again: by inode, and under the name that its folder has now."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from async_mirror.model.change import Change, Job, MakeFolder, Move, RemoveFile, SendFile
from async_mirror.model.entry import UNKNOWN, Entry, Kind
from async_mirror.model.outcome import Done
from async_mirror.model.paths import decode
from async_mirror.state.opening import open_state
from async_mirror.state.store import State


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    with open_state(tmp_path / "state/state.sqlite3") as opened:
        yield opened


def file(path: str, inode: int = 1) -> Entry:
    return Entry(path, Kind.FILE, 3, 10, 0o644, inode, digest=b"known")


def folder(path: str, inode: int = 1) -> Entry:
    return Entry(path, Kind.FOLDER, mode=0o755, inode=inode)


@pytest.mark.parametrize("inode", [1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
def test_any_inode_that_a_file_system_may_give_is_found_again(state: State, inode: int) -> None:
    state.hold([file("a", inode), folder("b", inode)])
    assert state.held_with_inodes([inode]) == [file("a", inode)]
    assert state.movable_folders(inode) == [folder("b", inode)]


def test_what_is_below_a_renamed_folder_follows_it_to_the_byte_and_nothing_else_does(state: State) -> None:
    odd = decode(b"caf\xe9/\xff % _")
    inside = [file("old/f"), folder("old/caf\udce9"), file(f"old/{odd}"), file("old/x/y/z")]
    beside = [file("older/f"), file("old-f/f"), file("f"), file("old0/f")]
    state.hold([folder("old", 5), *inside, *beside])
    move = Move(folder("new/name", 5), folder("old", 5), "", inside=(("", b""),))
    state.commit([Done(Job(move, "t", 1), move, folder("new/name", 5))], 0.0)
    followed = [
        entry._replace(path=f"new/name{entry.path[3:]}", size=0 if entry.is_folder else UNKNOWN) for entry in inside
    ]
    assert sorted(state.held_below("")) == sorted([folder("new/name", 5), *followed, *beside])


def test_folder_that_is_being_renamed_is_pending_with_all_that_tells_it_from_others(state: State) -> None:
    state.hold([folder("old", 5), file("old/f"), folder("old/x"), file("old/x/g"), file("older")])
    move = Move(folder("new", 5), folder("old", 5), "", inside=(("", b"1"),))
    job = Job(move, "t", 1)
    state.begin([job])
    [pending] = state.pending(0.0)
    assert (pending.path, pending.origin, pending.twin) == ("new", "old", "")
    assert sorted(below for below, _ in pending.inside) == ["", "x"]
    assert len({fingerprint for _, fingerprint in pending.inside}) == 2
    state.abandon([job])
    assert state.pending(0.0) == []


@pytest.mark.parametrize(
    ("change", "may"),
    [
        pytest.param(MakeFolder(folder("d"), ""), True, id="a folder"),
        pytest.param(SendFile(file("f"), None, ""), True, id="a file"),
        pytest.param(RemoveFile(file("f"), ""), False, id="a removal"),
    ],
)
def test_what_was_begun_may_be_on_the_site_until_it_is_known(state: State, change: Change, *, may: bool) -> None:
    assert not state.may_hold_anything()
    state.begin([Job(change, "t", 1)])
    assert (state.holds_anything(), state.may_hold_anything()) == (False, may)
    [pending] = state.pending(0.0)
    state.resolve(pending, None, 0.0, again=False)
    assert not state.may_hold_anything()


def test_what_is_held_is_on_the_site(state: State) -> None:
    state.hold([file("f")])
    assert state.may_hold_anything()
