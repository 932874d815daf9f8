"""What takes the place of a file or folder of the source between a look and a read does no harm, whatever it is.

Nothing waits for luck here: the swap is made between two calls, or by the server when it gets a certain command.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from faults import reactions
from faults.scripted import Exchange, ScriptedServer
from support.mirror import Mirror, contents, tree_of

from async_mirror.model.entry import Kind
from async_mirror.model.selection import Selection
from async_mirror.source.files import digest_of, has_digest, open_file
from async_mirror.source.look import is_gone, is_there, look
from async_mirror.source.scan import read_folder

OUTSIDE = b"outside of the source"
INSIDE = b"a file of the source"

Replace = Callable[[Path], None]


@pytest.fixture(autouse=True)
def _no_hang() -> Iterator[None]:
    """End a test that blocks, because opening a FIFO would."""

    def on_alarm(signum: int, frame: FrameType | None) -> None:
        raise TimeoutError("it blocks")

    before = signal.signal(signal.SIGALRM, on_alarm)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


# What may take the place of a file.


def a_fifo(path: Path) -> None:
    os.mkfifo(path)


def a_link_out(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def a_link_within(path: Path) -> None:
    (path.parent / "other").write_bytes(INSIDE)
    path.symlink_to("other")


def a_dangling_link(path: Path) -> None:
    path.symlink_to("nowhere")


def a_link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


def a_socket(path: Path) -> None:
    os.mknod(path, stat.S_IFSOCK | 0o600)


def an_endless_device(path: Path) -> None:
    try:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))  # as /dev/zero
        path.open("rb").close()
    except PermissionError:
        pytest.skip("no devices can be made or opened here")


def a_folder(path: Path) -> None:
    path.mkdir()
    (path / "in it").write_bytes(OUTSIDE)


def nothing(path: Path) -> None:
    assert not path.exists()


NO_FILES: list[Replace] = [
    a_fifo,
    a_link_out,
    a_link_within,
    a_dangling_link,
    a_link_to_itself,
    a_socket,
    an_endless_device,
    a_folder,
    nothing,
]
all_can_be_made = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make a device")
in_its_place = pytest.mark.parametrize("replace", NO_FILES, ids=lambda replace: replace.__name__)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A source with `above/folder/file`, beside `outside` with things of the same names."""
    for place, content in (("source/above", INSIDE), ("outside", OUTSIDE)):
        (tmp_path / place / "folder").mkdir(parents=True)
        (tmp_path / place / "folder/file").write_bytes(content)
    (tmp_path / "empty").mkdir()
    return tmp_path / "source"


def content_of(root: Path, path: str) -> bytes | None:
    """Read a file as it is read to be sent."""

    async def read() -> bytes | None:
        file = await open_file(os.fsencode(root), path)
        if file is None:
            return None
        try:
            return b"".join([block async for block in file.blocks()])
        finally:
            file.close()

    return asyncio.run(read())


def digest(root: Path, path: str) -> bytes | None:
    return asyncio.run(digest_of(os.fsencode(root), path))


@in_its_place
def test_what_takes_the_place_of_a_file_is_not_read(root: Path, replace: Replace) -> None:
    path = "above/folder/file"
    known = digest(root, path)
    assert (content_of(root, path), has_digest(os.fsencode(root), path, known or b"")) == (INSIDE, True)
    (found,) = read_folder(os.fsencode(root), "above/folder", Selection()).entries
    assert (found.path, found.kind) == (path, Kind.FILE)
    (root / path).unlink()
    replace(root / path)
    before = open_descriptors()
    assert content_of(root, path) is None
    assert digest(root, path) is None
    assert not has_digest(os.fsencode(root), path, known or b"")
    assert open_descriptors() == before
    seen = look(os.fsencode(root), path)
    assert seen is None or seen.is_folder
    assert is_there(os.fsencode(root), path) is (replace is not nothing)
    assert is_gone(os.fsencode(root), path) is (replace is nothing)


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("swapped", ["above", "above/folder"])
def test_what_lies_behind_a_link_that_took_the_place_of_a_folder_is_not_read(root: Path, swapped: str) -> None:
    path = "above/folder/file"
    shutil.rmtree(root / swapped)
    (root / swapped).symlink_to(root.parent / "outside" / Path(swapped).relative_to("above"))
    assert (root / path).read_bytes() == OUTSIDE, "there is something to be tempted by"
    assert content_of(root, path) is None
    assert digest(root, path) is None
    assert look(os.fsencode(root), path) is None
    assert is_there(os.fsencode(root), path), "it left the mirror, it was not removed"
    assert not read_folder(os.fsencode(root), "above/folder", Selection()).entries


def test_what_was_below_what_is_a_file_now_is_gone(root: Path) -> None:
    shutil.rmtree(root / "above")
    (root / "above").write_bytes(b"a file now")
    assert content_of(root, "above/folder/file") is None
    assert is_gone(os.fsencode(root), "above/folder/file")
    assert look(os.fsencode(root), "above/folder/file") is None


def test_file_that_is_open_is_read_though_a_link_has_its_name_by_now(root: Path) -> None:
    async def read() -> tuple[bytes, bool]:
        file = await open_file(os.fsencode(root), "above/folder/file")
        assert file is not None
        (root / "above/folder/file").unlink()
        (root / "above/folder/file").symlink_to("/etc/passwd")
        try:
            return b"".join([block async for block in file.blocks()]), file.is_unchanged()
        finally:
            file.close()

    assert asyncio.run(read()) == (INSIDE, False)


@pytest.mark.parametrize("target", ["outside", "empty"])
@pytest.mark.parametrize("swapped", ["above", "above/folder"])
def test_there_is_no_moment_at_which_a_swap_makes_a_file_seem_gone_or_another(
    root: Path, monkeypatch: pytest.MonkeyPatch, swapped: str, target: str
) -> None:
    """A link takes a folder's place before each of the calls that a look makes, one after the other."""
    path, place = "above/folder/file", root / swapped
    inode = (root / path).stat().st_ino
    for ask in (is_there, look):
        swaps = 0
        for call in range(1, 20):
            with monkeypatch.context() as patch:
                before_call(patch, call, lambda: swap(place, root.parent / target))
                found = ask(os.fsencode(root), path)
            if place.is_symlink():
                swaps += 1
                place.unlink()
                place.with_name("aside").rename(place)
            if ask is is_there:
                assert found, f"it seems gone if the swap comes before call {call}"
            else:
                assert found is None or found.inode == inode  # type: ignore[union-attr]  # what `look` returns
        assert swaps >= 2, "the swaps came too late to matter"


def swap(place: Path, target: Path) -> None:
    place.rename(place.with_name("aside"))
    place.symlink_to(target)


def before_call(patch: pytest.MonkeyPatch, call: int, act: Callable[[], None]) -> None:
    """Do something before the n-th of the calls that look at the disk."""
    made = 0
    true = {name: getattr(os, name) for name in ("open", "stat", "lstat")}

    def meddled(name: str) -> Callable[..., Any]:
        def look(*arguments: Any, **options: Any) -> Any:
            nonlocal made
            made += 1
            if made == call:
                patch.undo()
                act()
            return true[name](*arguments, **options)

        return look

    for name in true:
        patch.setattr(os, name, meddled(name))


# The whole program; the server makes the swap.


@pytest.fixture
def mirror(tmp_path: Path, mirror: Mirror) -> Mirror:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_bytes(OUTSIDE)
    (tmp_path / "empty").mkdir()
    return mirror


def when_stored(server: ScriptedServer, folder: bytes, act: Callable[[], None]) -> None:
    """Do something when the first file arrives in a folder: all that is in it was seen by then."""

    def react(exchange: Exchange) -> None:
        act()
        reactions.behave(exchange)

    server.on("STOR", react, when=lambda exchange: os.path.dirname(exchange.path) == folder)


def all_shown(server: ScriptedServer) -> set[bytes]:
    """Return all contents that any path, temporaries too, shows or has shown."""
    shown = {content for contents in server.history.values() for content in contents if content}
    return shown | {file.content for file in server.files.values()}


def assert_nothing_from_outside(server: ScriptedServer) -> None:
    passwd = Path("/etc/passwd").read_bytes()
    assert not [content for content in all_shown(server) if OUTSIDE in content or content in passwd]


def replace_all(paths: dict[Replace, Path]) -> None:
    for replace, path in paths.items():
        path.unlink()
        replace(path)


@all_can_be_made
def test_files_that_are_swapped_before_their_turn_are_left_for_the_next_pass(
    mirror: Mirror, server: ScriptedServer
) -> None:
    mirror.write("first", "the first")
    paths = {replace: mirror.write(f"folder/{replace.__name__}", INSIDE) for replace in NO_FILES}
    when_stored(server, b"/folder", lambda: replace_all(paths))
    ran = mirror.run("--multi", "S")
    assert ran.code == 0, ran.said
    for replace in NO_FILES:
        assert f"folder/{replace.__name__}  (deleted from the source meanwhile)" in ran.said
    assert contents(tree_of(server)) == {b"first": b"the first"}
    assert_nothing_from_outside(server)


@pytest.mark.parametrize("replace", [a_fifo, a_link_out, a_folder], ids=lambda replace: replace.__name__)
def test_file_that_is_swapped_while_it_is_sent_is_not_published(
    mirror: Mirror, server: ScriptedServer, replace: Replace
) -> None:
    path = mirror.write("file", INSIDE)

    def act() -> None:
        path.unlink()
        replace(path)

    when_stored(server, b"/", act)
    ran = mirror.run("--multi", "S")
    assert ran.code == 0, ran.said
    assert contents(tree_of(server)) == {}
    assert all_shown(server) <= {INSIDE}


def test_folder_that_is_swapped_for_a_link_before_its_turn_brings_nothing_from_outside(
    mirror: Mirror, server: ScriptedServer
) -> None:
    mirror.write("first", "the first")
    mirror.write("folder/file", INSIDE)
    when_stored(server, b"/", lambda: swap_for_link(mirror, "folder", "outside"))
    ran = mirror.run("--multi", "S")
    assert ran.code == 0, ran.said
    assert_nothing_from_outside(server)
    assert mirror.run().code == 0
    assert contents(tree_of(server)) == {b"first": b"the first"}


def swap_for_link(mirror: Mirror, folder: str, target: str) -> None:
    shutil.rmtree(mirror.source / folder)
    (mirror.source / folder).symlink_to(mirror.source.parent / target)


@all_can_be_made
def test_renamed_files_that_are_swapped_before_they_are_hashed_are_no_moves(
    mirror: Mirror, server: ScriptedServer
) -> None:
    old = {replace: mirror.write(f"folder/{replace.__name__}-old", INSIDE) for replace in NO_FILES}
    assert mirror.run().code == 0
    new = {replace: path.rename(path.with_name(replace.__name__)) for replace, path in old.items()}
    mirror.write("folder/new", "a new one")
    when_stored(server, b"/folder", lambda: replace_all(new))
    ran = mirror.run("--multi", "S", "--max-delete", "100%")
    assert ran.code == 0, ran.said
    assert contents(tree_of(server)) == {b"folder/new": b"a new one"}
    assert not [line for line in server.commands() if line.startswith("RNFR") and line.endswith("-old")]
    assert_nothing_from_outside(server)


@pytest.mark.parametrize("target", ["outside", "empty"])
def test_file_is_not_removed_when_a_link_takes_the_place_of_its_folder(
    mirror: Mirror, server: ScriptedServer, target: str
) -> None:
    mirror.write("folder/stays", "stays")
    gone = mirror.write("folder/gone", INSIDE)
    assert mirror.run().code == 0
    gone.unlink()
    mirror.write("folder/stays", "stays, changed")
    when_stored(server, b"/folder", lambda: swap_for_link(mirror, "folder", target))
    ran = mirror.run("--multi", "S")
    assert ran.code == 0, ran.said
    assert "folder/gone  (back in the source)" in ran.said
    assert server.files[b"/folder/gone"].content == INSIDE


def test_folder_that_comes_back_as_a_link_keeps_what_it_held(mirror: Mirror, server: ScriptedServer) -> None:
    mirror.write("first", "the first")
    gone = mirror.write("folder/gone", INSIDE)
    assert mirror.run().code == 0
    shutil.rmtree(gone.parent)
    mirror.write("first", "the first, changed")
    when_stored(server, b"/", lambda: gone.parent.symlink_to(mirror.source.parent / "empty"))
    ran = mirror.run("--multi", "S")
    assert ran.code == 0, ran.said
    assert server.files[b"/folder/gone"].content == INSIDE


@pytest.mark.parametrize(("age_s", "waits"), [(0, True), (10, False)])
def test_file_that_may_be_written_again_within_its_tick_is_not_believed_yet(
    tmp_path: Path, age_s: int, waits: bool
) -> None:
    (tmp_path / "file").write_bytes(b"x")
    changed = int(time.time()) - age_s  # a whole second: it lasts two
    os.utime(tmp_path / "file", (changed, changed))

    async def settles_in_s() -> float:
        file = await open_file(os.fsencode(tmp_path), "file")
        assert file is not None
        file.close()
        return file.settles_in_s

    assert (asyncio.run(settles_in_s()) > 0) == waits
