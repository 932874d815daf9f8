"""Walking real folders."""

import errno
import os
import shutil
import signal
import socket
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import FrameType

import pytest

from async_mirror.model import paths, temporary_names
from async_mirror.model.entry import Entry, Kind, Listing
from async_mirror.model.selection import Selection
from async_mirror.source.look import entry_of, is_there
from async_mirror.source.scan import read_folder, walk

ALL = Selection()
Item = os.DirEntry[str]
NOBODY = 65534


@pytest.fixture(autouse=True)
def _no_hang() -> Iterator[None]:
    """End a test that blocks, because opening a FIFO would."""

    def on_alarm(signum: int, frame: FrameType | None) -> None:
        raise TimeoutError("the scan blocks")

    before = signal.signal(signal.SIGALRM, on_alarm)
    signal.alarm(30)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def open_path() -> Iterator[Path]:
    """Return a folder that every user can reach, which pytest's own is not."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o700)
    for place, folders, _ in os.walk(folder):
        for name in folders:
            os.chmod(os.path.join(place, name), 0o700)  # before it is walked
    shutil.rmtree(folder)


@contextmanager
def as_plain_user() -> Iterator[None]:
    """Be a user whom permissions bind."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def plant(root: Path, *paths: str) -> None:
    """Make files, and folders where a path ends in a slash."""
    for path in paths:
        place = root / path
        if path.endswith("/"):
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(path.encode())


def listings(root: Path, selection: Selection = ALL) -> dict[str, Listing]:
    return {listing.folder: listing for listing in walk(os.fsencode(root), selection)}


def paths_of(root: Path, selection: Selection = ALL) -> set[str]:
    found = (listing.entries for listing in listings(root, selection).values())
    return {entry.path + "/" * entry.is_folder for entries in found for entry in entries}


def test_a_tree_is_walked_breadth_first_and_parents_come_first(tmp_path: Path) -> None:
    plant(tmp_path, "a/b/c/d/x", "a/e/", "f/g/h", "i", "f/j/k/l", "m/")
    order = [listing.folder for listing in walk(os.fsencode(tmp_path), ALL)]
    assert order[0] == ""
    assert sorted(order) == sorted(["", "a", "a/b", "a/b/c", "a/b/c/d", "a/e", "f", "f/g", "f/j", "f/j/k", "m"])
    depths = [folder.count("/") for folder in order[1:]]
    assert depths == sorted(depths)
    assert all(paths.parent(folder) in order[:at] for at, folder in enumerate(order) if at)


def test_every_file_and_folder_is_listed_in_its_own_folder(tmp_path: Path) -> None:
    plant(tmp_path, "a/b/x", "a/y", "z", "a/empty/")
    for folder, listing in listings(tmp_path).items():
        assert {paths.parent(entry.path) for entry in listing.entries} <= {folder}
    assert paths_of(tmp_path) == {"a/", "a/b/", "a/b/x", "a/y", "z", "a/empty/"}


def test_a_walk_may_begin_below_the_root(tmp_path: Path) -> None:
    plant(tmp_path, "a/b/x", "c/y")
    assert [listing.folder for listing in walk(os.fsencode(tmp_path), ALL, "a")] == ["a", "a/b"]


def test_an_entry_says_what_the_disk_says(tmp_path: Path) -> None:
    plant(tmp_path, "f", "d/")
    os.utime(tmp_path / "f", ns=(1, 1_234_567_890_123_456_789))
    os.chmod(tmp_path / "f", 0o4640)
    os.chmod(tmp_path / "d", 0o1750)
    found = {entry.path: entry for entry in listings(tmp_path)[""].entries}
    inode = {name: os.stat(tmp_path / name).st_ino for name in "fd"}
    assert found["f"] == Entry(
        "f", Kind.FILE, 1, 1_234_567_890_123_456_789, 0o640, inode["f"], ctime_ns=os.stat(tmp_path / "f").st_ctime_ns
    )
    assert found["d"] == Entry("d", Kind.FOLDER, 0, 0, 0o750, inode["d"])


def test_the_size_of_a_sparse_file_is_exact(tmp_path: Path) -> None:
    with (tmp_path / "big").open("wb") as file:
        file.truncate(5 * 2**30 + 1)
    [entry] = listings(tmp_path)[""].entries
    assert entry.size == 5 * 2**30 + 1


def test_links_are_counted_and_never_followed(tmp_path: Path) -> None:
    plant(tmp_path, "in/a/x", "out/secret/y")
    (tmp_path / "in/loop").symlink_to(".")
    (tmp_path / "in/a/up").symlink_to("..")
    (tmp_path / "in/away").symlink_to(tmp_path / "out")
    (tmp_path / "in/file").symlink_to(tmp_path / "out/secret/y")
    (tmp_path / "in/dangling").symlink_to("nowhere")
    (tmp_path / "in/self").symlink_to("self")
    assert paths_of(tmp_path / "in") == {"a/", "a/x"}
    found = listings(tmp_path / "in")
    assert (found[""].links, found["a"].links) == (found[""].others, frozenset({"a/up"}))
    assert found[""].others == {"loop", "away", "file", "dangling", "self"}
    assert all(listing.complete and not listing.problems for listing in found.values())


def test_special_files_are_counted_and_never_opened(tmp_path: Path) -> None:
    plant(tmp_path, "x")
    os.mkfifo(tmp_path / "fifo")
    os.mknod(tmp_path / "socket", stat.S_IFSOCK | 0o600)
    [listing] = walk(os.fsencode(tmp_path), ALL)
    assert [entry.path for entry in listing.entries] == ["x"]
    assert (listing.others, listing.links) == (frozenset({"fifo", "socket"}), frozenset())
    assert listing.complete
    assert not listing.problems


def test_a_socket_that_is_in_use_is_a_special_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
        assert listings(tmp_path)[""].kind_of_other("s") == "a special file"


def test_what_is_not_selected_is_counted_and_not_entered(tmp_path: Path) -> None:
    plant(tmp_path, "a.log", "b", "build/x/y", "c/d.log", "c/e")
    found = listings(tmp_path, Selection(patterns=("*.log", "build/")))
    assert sorted(found) == ["", "c"]
    assert (found[""].excluded, found["c"].excluded) == (2, 1)


def test_depth_bounds_the_walk(tmp_path: Path) -> None:
    plant(tmp_path, "a", "b/c", "b/d/e")
    assert paths_of(tmp_path, Selection(max_depth=1)) == {"a"}
    assert paths_of(tmp_path, Selection(max_depth=2)) == {"a", "b/", "b/c"}


def test_temporaries_of_whatever_state_are_not_seen(tmp_path: Path) -> None:
    plant(
        tmp_path,
        temporary_names.temporary("0123abcd", "1"),
        temporary_names.temporary("ffffffff", "2x") + "/x",
        ".am-mine.part",
        "x",
    )
    [listing] = walk(os.fsencode(tmp_path), ALL)
    assert {entry.path for entry in listing.entries} == {".am-mine.part", "x"}
    assert (listing.excluded, listing.others) == (0, frozenset())


def test_an_unreadable_folder_is_incomplete_and_a_problem_and_the_rest_is_read(open_path: Path) -> None:
    plant(open_path, "a/x", "b/y", "b/c/z")
    os.chmod(open_path / "a", 0)
    with as_plain_user():
        found = listings(open_path)
    assert found["a"] == Listing("a", complete=False, problems=(("a", os.strerror(errno.EACCES)),))
    assert found[""].complete
    assert {entry.path for entry in found["b"].entries} == {"b/y", "b/c"}


def test_a_folder_that_can_be_listed_and_not_searched_is_incomplete_with_a_problem_for_each_name(
    open_path: Path,
) -> None:
    plant(open_path, "a/x", "a/y")
    os.chmod(open_path / "a", 0o444)
    with as_plain_user():
        listing = listings(open_path)["a"]
    assert not listing.complete
    assert sorted(path for path, _ in listing.problems) == ["a/x", "a/y"]
    assert not listing.entries


def test_an_unreadable_root_is_a_problem(open_path: Path) -> None:
    plant(open_path, "x")
    os.chmod(open_path, 0)
    with as_plain_user():
        [listing] = walk(os.fsencode(open_path), ALL)
    assert not listing.complete
    assert [path for path, _ in listing.problems] == [""]


def test_a_folder_that_vanished_meanwhile_is_incomplete_and_no_problem(tmp_path: Path) -> None:
    plant(tmp_path, "a/b/c", "d/e")
    walking = walk(os.fsencode(tmp_path), ALL)
    next(walking)
    shutil.rmtree(tmp_path / "a")
    shutil.rmtree(tmp_path / "d")
    (tmp_path / "d").write_bytes(b"a file now")
    rest = {listing.folder: listing for listing in walking}
    assert rest == {"a": Listing("a", complete=False), "d": Listing("d", complete=False)}


def test_a_missing_root_is_incomplete_and_a_problem(tmp_path: Path) -> None:
    [listing] = walk(os.fsencode(tmp_path / "gone"), ALL)
    assert listing == Listing("", complete=False, problems=(("", os.strerror(errno.ENOENT)),))


def test_a_root_that_is_a_file_is_incomplete_and_a_problem(tmp_path: Path) -> None:
    plant(tmp_path, "x")
    [listing] = walk(os.fsencode(tmp_path / "x"), ALL)
    assert listing == Listing("", complete=False, problems=(("", os.strerror(errno.ENOTDIR)),))


@pytest.mark.parametrize("replaced", ["a", "a/b"])
def test_a_folder_that_was_replaced_by_a_link_meanwhile_is_not_followed(tmp_path: Path, replaced: str) -> None:
    """Breadth-first, minutes may pass between seeing a folder and reading it (catalogue row 59: it never escapes)."""
    plant(tmp_path, "in/a/b/x", "out/secret", "out/b/secret")
    walking = walk(os.fsencode(tmp_path / "in"), ALL)
    seen = []
    for listing in walking:
        seen.append(listing)
        if any(entry.path == replaced for entry in listing.entries):
            shutil.rmtree(tmp_path / "in" / replaced)
            (tmp_path / "in" / replaced).symlink_to(tmp_path / "out")
    assert not any(entry.path.endswith("secret") for listing in seen for entry in listing.entries)
    assert not seen[-1].complete


def test_a_folder_above_that_was_replaced_by_a_link_meanwhile_is_not_followed(tmp_path: Path) -> None:
    plant(tmp_path, "in/a/b/x", "out/b/secret")
    walking = walk(os.fsencode(tmp_path / "in"), ALL)
    assert [next(walking).folder, next(walking).folder] == ["", "a"]
    shutil.rmtree(tmp_path / "in/a")
    (tmp_path / "in/a").symlink_to(tmp_path / "out")
    last = next(walking)
    assert last.folder == "a/b"
    assert not last.entries
    assert not last.complete


class Meddled:
    """What os.scandir returns, with something done to each item as it comes."""

    def __init__(self, real: AbstractContextManager[Iterator[Item]], meddle: Callable[[Item], Item]) -> None:
        self.real = real
        self.meddle = meddle

    def __enter__(self) -> Iterator[Item]:
        return map(self.meddle, self.real.__enter__())

    def __exit__(self, *exception: object) -> None:
        self.real.__exit__(None, None, None)


def read_meddled(root: Path, monkeypatch: pytest.MonkeyPatch, meddle: Callable[[Item], Item]) -> Listing:
    real = os.scandir

    def scandir(path: int) -> Meddled:
        return Meddled(real(path), meddle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", scandir)
        return read_folder(os.fsencode(root), "", ALL)


def test_a_folder_whose_reading_fails_half_way_is_incomplete_and_keeps_what_was_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(tmp_path, "a", "b", "c")
    budget = [True, True]

    def fail_at_third(item: Item) -> Item:
        if not budget:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        budget.pop()
        return item

    listing = read_meddled(tmp_path, monkeypatch, fail_at_third)
    assert len(listing.entries) == 2
    assert not listing.complete
    assert listing.problems == (("", os.strerror(errno.EIO)),)


def test_a_file_that_vanishes_while_its_folder_is_read_is_simply_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(tmp_path, "a", "b", "c")

    def remove_b(item: Item) -> Item:
        if item.name == "b":
            (tmp_path / "b").unlink()
        return item

    listing = read_meddled(tmp_path, monkeypatch, remove_b)
    assert {entry.path for entry in listing.entries} == {"a", "c"}
    assert listing.complete


def test_a_thousand_levels_are_walked_and_none_is_missed(tmp_path: Path) -> None:
    place = os.fsencode(tmp_path)
    for _ in range(1000):
        place += b"/d"
        os.mkdir(place)
    try:
        last = max(walk(os.fsencode(tmp_path), ALL), key=lambda listing: len(listing.folder))
        assert last.folder == "/".join(["d"] * 1000)
        assert last.complete
    finally:
        while place != os.fsencode(tmp_path):
            os.rmdir(place)
            place = os.path.dirname(place)


def test_a_path_that_is_too_long_for_the_system_is_walked_all_the_same(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(20):
        os.mkdir("d" * 250, dir_fd=here)
        below = os.open("d" * 250, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    listings = list(walk(os.fsencode(tmp_path), ALL))
    assert all(listing.complete for listing in listings)
    assert listings[-1].folder == "/".join(["d" * 250] * 20)


@pytest.mark.parametrize(
    "raw", [b"caf\xe9", b"\xff\xfe", b"a\nb", b"\r\n", b" ", b"a\\b", b"*", b"-rf", b"\x01", b"x" * 255]
)
def test_an_odd_name_survives_byte_by_byte(tmp_path: Path, raw: bytes) -> None:
    folder = os.fsencode(tmp_path) + b"/" + raw
    os.mkdir(folder)
    with open(folder + b"/" + raw, "wb"):
        pass
    found = [entry for listing in walk(os.fsencode(tmp_path), ALL) for entry in listing.entries]
    assert [paths.encode(entry.path) for entry in found] == [raw, raw + b"/" + raw]
    assert is_there(os.fsencode(tmp_path), found[1].path)


def test_names_that_differ_in_bytes_alone_are_two_entries(tmp_path: Path) -> None:
    plant(tmp_path, "caf\u00e9", "cafe\u0301")
    assert paths_of(tmp_path) == {"caf\u00e9", "cafe\u0301"}


def test_a_folder_on_another_device_is_told_as_a_mount() -> None:
    if not os.path.ismount("/dev/shm"):
        pytest.skip("nothing is mounted at /dev/shm")
    [mounted] = [entry for entry in read_folder(b"/dev", "", ALL).entries if entry.path == "shm"]
    assert mounted.mount
    assert read_folder(b"/dev/shm", "", ALL).mount


def test_a_plain_folder_is_no_mount(tmp_path: Path) -> None:
    plant(tmp_path, "a/b/")
    found = listings(tmp_path)
    assert not any(listing.mount for listing in found.values())
    assert not any(entry.mount for listing in found.values() for entry in listing.entries)


def test_something_is_there_even_if_it_is_a_dangling_link(tmp_path: Path) -> None:
    plant(tmp_path, "f", "d/x")
    (tmp_path / "link").symlink_to("nowhere")
    root = os.fsencode(tmp_path)
    assert [is_there(root, path) for path in ("f", "d", "d/x", "link", "")] == [True] * 5
    assert [is_there(root, path) for path in ("g", "d/y", "f/x", "g/x")] == [False] * 4


def test_what_lies_behind_a_link_has_left_the_mirror_and_is_not_taken_for_removed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    assert is_there(os.fsencode(tmp_path), "link/x")


def test_a_look_that_fails_is_an_error_and_not_an_absence(open_path: Path) -> None:
    plant(open_path, "a/x")
    os.chmod(open_path / "a", 0)
    with as_plain_user(), pytest.raises(PermissionError):
        is_there(os.fsencode(open_path), "a/x")
    with pytest.raises(OSError, match="too long"):
        is_there(os.fsencode(open_path), "x" * 256)


def test_only_files_and_folders_are_entries(tmp_path: Path) -> None:
    plant(tmp_path, "f", "d/")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("f")
    kinds = {}
    for name in ("f", "d", "fifo", "link"):
        entry = entry_of(name, os.lstat(tmp_path / name))
        kinds[name] = entry.kind if entry else None
    assert kinds == {"f": Kind.FILE, "d": Kind.FOLDER, "fifo": None, "link": None}
