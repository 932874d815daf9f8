"""What is read in the background: large files over several passes; what was another file is known by its inode."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.program import MTIME, write

from async_mirror.crew.stop import Stop
from async_mirror.model.change import SendFile
from async_mirror.model.entry import Entry
from async_mirror.model.plan import FolderPlan
from async_mirror.model.settings import FileLimit, Settings
from async_mirror.model.site import Site
from async_mirror.multi import Offload
from async_mirror.planning import examination
from async_mirror.planning.examination import Examination
from async_mirror.planning.inodes import Inodes
from async_mirror.source.files import HalfRead, digest_of
from async_mirror.source.look import look
from async_mirror.source.opened_folder import OpenedFolder
from async_mirror.state.awaitable import AwaitableState
from async_mirror.state.opening import open_state
from async_mirror.state.store import State

LARGE = 1 << 29


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    with open_state(tmp_path / "state.sqlite3") as state:
        yield state


@pytest.fixture
def root(tmp_path: Path) -> OpenedFolder:
    (tmp_path / "source").mkdir()
    return OpenedFolder.at(bytes(tmp_path / "source"))


def now(root: OpenedFolder, path: str) -> Entry:
    found = look(root, path)
    assert found
    return found


def a_pass(
    root: OpenedFolder, state: State, offload: Offload, half_read: HalfRead | None, limit: int = 10
) -> Examination:
    settings = Settings(Path(root.decode()), Site("ftp", "host", 21, None, ""), verify_limit=FileLimit(limit))
    inodes = Inodes(state, lambda: ())
    return Examination(root, AwaitableState(state, offload), settings, inodes, Stop(), half_read=half_read)


def a_large_file(root: OpenedFolder, state: State) -> None:
    """Have a file adopted that no pass reads through."""
    with (Path(root.decode()) / "large").open("wb") as file:
        file.truncate(LARGE)
    state.hold([now(root, "large")])


def digest(root: OpenedFolder, state: State, half_read: HalfRead | None) -> bytes:
    """Read in the background for one pass."""

    async def read() -> None:
        offload = Offload()
        try:
            await a_pass(root, state, offload, half_read).digest()
        finally:
            offload.close()

    asyncio.run(read())
    held = state.held("large")
    assert held
    return held.digest


def read_a_part(root: OpenedFolder, state: State, half_read: HalfRead) -> int:
    """Read in as many passes as are needed to begin; return how far that came."""
    before = sum(each.sent for each in half_read.values())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(examination, "READ_FOR_S", 0.05)
        while (read := sum(each.sent for each in half_read.values())) == before:
            assert not digest(root, state, half_read)
    return read


def test_large_file_is_read_over_several_passes(root: OpenedFolder, state: State) -> None:
    a_large_file(root, state)
    half_read: HalfRead = {}
    assert 0 < read_a_part(root, state, half_read) < read_a_part(root, state, half_read) < LARGE
    assert digest(root, state, half_read) == asyncio.run(digest_of(root, "large"))
    assert not half_read


def test_large_file_that_changed_between_two_passes_is_read_from_its_beginning(
    root: OpenedFolder, state: State
) -> None:
    a_large_file(root, state)
    half_read: HalfRead = {}
    read_a_part(root, state, half_read)
    with (Path(root.decode()) / "large").open("r+b") as file:
        file.write(b"another")
    state.hold([now(root, "large")])
    assert digest(root, state, half_read) == asyncio.run(digest_of(root, "large"))


def test_large_file_is_not_begun_if_no_pass_is_to_go_on_with_it(
    root: OpenedFolder, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_large_file(root, state)
    monkeypatch.setattr(examination, "READ_BYTES_PER_S", LARGE / 20)
    assert not digest(root, state, None)
    monkeypatch.undo()
    assert digest(root, state, None)


# Many files that were touched alike.


@pytest.mark.parametrize(
    ("touched", "held", "is_file_system"),
    [
        pytest.param(1000, 1000, False, id="no more than a thousand"),
        pytest.param(1001, 10_010, False, id="a tenth of what is held"),
        pytest.param(1001, 10_009, True, id="more than both"),
    ],
)
def test_many_files_that_were_touched_are_read_within_bounds_and_few_at_once(
    root: OpenedFolder, state: State, touched: int, held: int, is_file_system: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(touched):
        (Path(root.decode()) / f"{number}").write_text("content")
    files = [now(root, f"{number}") for number in range(touched)]
    state.hold(each._replace(ctime_ns=1, digest=b"read") for each in files)
    state.hold(files[0]._replace(path=f"{number}") for number in range(touched, held))
    monkeypatch.setattr(examination, "READ_FOR_S", -1.0)
    notes: list[str] = []

    async def read() -> int:
        offload = Offload()
        try:
            one_pass = a_pass(root, state, offload, None)
            one_pass.take(FolderPlan(touched=files))
            return sum([len(plan.changes) async for plan in one_pass.found(notes.append)])
        finally:
            offload.close()

    assert asyncio.run(read()) == (0 if is_file_system else touched)
    assert len(notes) == is_file_system


# What was another file.


def judged(root: OpenedFolder, state: State, *paths: str, limit: int = 10) -> dict[str, SendFile]:
    """Return what is done about files that nobody has read and that seem to have changed."""

    async def judge() -> dict[str, SendFile]:
        offload = Offload()
        try:
            held = {path: state.held(path) for path in paths}
            uploads = [SendFile(now(root, path), held[path], "newer", compares=True) for path in paths]
            return {
                each.entry.path: each
                for each in await a_pass(root, state, offload, None, limit).compared(uploads)
                if isinstance(each, SendFile)
            }
        finally:
            offload.close()

    return asyncio.run(judge())


def two_swapped(root: OpenedFolder, state: State) -> Path:
    source = Path(root.decode())
    for name in "ab":
        (source / name).write_text(name)
    state.hold([now(root, "a"), now(root, "b")])
    (source / "a").rename(source / "between")
    (source / "b").rename(source / "a")
    (source / "between").rename(source / "b")
    return source


def test_file_that_was_another_tracked_one_is_sent_and_not_compared(root: OpenedFolder, state: State) -> None:
    two_swapped(root, state)
    found = judged(root, state, "a", "b")
    assert [(path, each.compares) for path, each in found.items()] == [("a", False), ("b", False)]
    assert found["a"].why == "tracked as b before (same inode and date)"


def test_only_so_many_are_sent_for_their_inodes_and_the_others_compared(root: OpenedFolder, state: State) -> None:
    two_swapped(root, state)
    assert sorted(each.compares for each in judged(root, state, "a", "b", limit=1).values()) == [False, True]


def test_file_that_has_an_inode_of_another_and_its_own_date_is_compared(root: OpenedFolder, state: State) -> None:
    """A tree that was copied anew has the numbers of the old one, in another order."""
    source = two_swapped(root, state)
    (source / "a").touch()
    assert [each.compares for each in judged(root, state, "a").values()] == [True]


def test_file_that_is_another_name_of_a_tracked_one_is_compared(root: OpenedFolder, state: State) -> None:
    """Tools that save room make hard links of files with the same content."""
    source = Path(root.decode())
    for name in "ab":
        write(source / name, "content", MTIME)
    state.hold([now(root, "a"), now(root, "b")])
    (source / "a").unlink()
    os.link(source / "b", source / "a")
    assert [each.compares for each in judged(root, state, "a").values()] == [True]


def test_file_that_was_read_is_compared_by_what_was_read(root: OpenedFolder, state: State) -> None:
    two_swapped(root, state)
    for name in "ab":
        held = state.held(name)
        assert held
        state.hold([held._replace(digest=b"read")])
    assert all(each.compares for each in judged(root, state, "a", "b").values())
