"""What is remembered is for this user alone, and no link that somebody put in its way is followed."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from faults import reactions
from faults.scripted import Exchange, ScriptedServer
from support.mirror import Mirror, contents, tree_of

from async_mirror.model.facts import Fact
from async_mirror.state import private_files, server_memory
from async_mirror.state.database import StateError
from async_mirror.state.opening import facts_of, open_copy, open_state

VICTIM = b"of somebody else, and not to be written to"


@pytest.fixture
def mirror(mirror: Mirror) -> Mirror:
    mirror.write("file", "content")
    return mirror


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    path = tmp_path / "victim"
    path.write_bytes(VICTIM)
    path.chmod(0o644)
    return path


def assert_untouched(victim: Path) -> None:
    assert victim.read_bytes() == VICTIM
    assert stat.S_IMODE(victim.stat().st_mode) == 0o644
    assert sorted(path.name for path in victim.parent.iterdir() if path.name.startswith("victim")) == ["victim"]


def modes_in(folder: Path) -> dict[str, int]:
    """Return the mode of a folder, as `.`, and of all that is in it."""
    found = {path.name: path for path in (folder, *folder.iterdir())}
    return {name: stat.S_IMODE(path.lstat().st_mode) for name, path in found.items()}


def database_of(mirror: Mirror) -> Path:
    (path,) = mirror.state.glob("*.sqlite3")
    return path


# Modes.


@pytest.mark.parametrize("umask", ["000", "022", "077"])
def test_what_is_made_is_for_this_user_alone_at_every_moment(
    mirror: Mirror, server: ScriptedServer, umask: str
) -> None:
    seen: list[dict[str, int]] = []
    mirror.state = mirror.state / "made/too"
    above = [mirror.state.parent, mirror.state.parent.parent]

    def look(exchange: Exchange) -> None:
        seen.append(modes_in(mirror.state))
        reactions.behave(exchange)

    server.on("*", look, times=reactions.ALWAYS)
    mirror.before = ("sh", "-c", f'umask {umask}; exec "$@"', "sh")
    ran = mirror.run()
    assert ran.code == 0, ran.said
    seen.append(modes_in(mirror.state))
    kinds = {Path(name).suffix for modes in seen for name in modes if "." in name}
    assert kinds == {".lock", ".sqlite3", ".sqlite3-wal", ".sqlite3-shm", ".db"}
    for modes in seen:
        assert modes.pop("too") == modes.pop("sockets") == 0o700
        assert set(modes.values()) == {0o600}, modes
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in above] == [0o700, 0o700]


@pytest.mark.parametrize(("mode", "warned"), [(0o755, False), (0o775, False), (0o777, True), (0o1777, True)])
def test_folder_that_is_there_keeps_its_mode_and_is_warned_of_if_anybody_may_write(
    mirror: Mirror, mode: int, warned: bool
) -> None:
    mirror.state.mkdir()
    mirror.state.chmod(mode)
    ran = mirror.run()
    assert ran.code == 0, ran.said
    assert (f"other users can write to the state folder {mirror.state}: " in ran.said) is warned
    modes = modes_in(mirror.state)
    assert modes.pop("state") == mode
    assert modes.pop("sockets") == 0o700
    assert set(modes.values()) == {0o600}


def test_state_that_others_could_read_is_closed_to_them(mirror: Mirror) -> None:
    assert mirror.run().code == 0
    for path in mirror.state.iterdir():
        if path.is_file():
            path.chmod(0o644)
    assert mirror.run().code == 0
    database = database_of(mirror)
    modes = modes_in(mirror.state)
    [root] = [name for name in modes if name.startswith("root-")]
    assert modes == {
        "state": 0o700,
        root: 0o600,
        "roots.lock": 0o600,
        database.name: 0o600,
        database.with_suffix(".lock").name: 0o600,
        server_memory.NAME: 0o600,
        "sockets": 0o700,
    }


# Links.


@pytest.mark.parametrize("suffix", [".sqlite3", ".sqlite3-wal", ".sqlite3-shm", ".sqlite3-journal", ".lock"])
@pytest.mark.parametrize("dangling", [False, True], ids=["to a file", "to nothing"])
def test_link_in_place_of_a_file_of_the_state_is_not_followed(
    mirror: Mirror, server: ScriptedServer, victim: Path, suffix: str, dangling: bool
) -> None:
    assert mirror.run().code == 0
    database = database_of(mirror)
    path = database.with_name(database.stem + suffix)
    path.unlink(missing_ok=True)
    path.symlink_to(victim.with_name("not there") if dangling else victim)
    mirror.write("another", "content")
    before = server.connections
    ran = mirror.run()
    assert (ran.code, server.connections) == (6, before), ran.said
    assert " is a symbolic link: put the file itself there" in ran.said
    assert path.is_symlink()
    assert not victim.with_name("not there").exists()
    assert_untouched(victim)


@pytest.mark.parametrize("dangling", [False, True], ids=["to a file", "to nothing"])
def test_link_in_place_of_what_is_known_of_hosts_is_not_followed_and_stops_nothing(
    mirror: Mirror, server: ScriptedServer, victim: Path, dangling: bool
) -> None:
    mirror.state.mkdir()
    (mirror.state / server_memory.NAME).symlink_to(victim.with_name("not there") if dangling else victim)
    server.limit = 1  # which is worth remembering
    for number in range(20):
        mirror.write(f"folder/{number}", "content")
    ran = mirror.run("--multi", "A4")
    assert (ran.code, len(contents(tree_of(server)))) == (0, 21), ran.said
    assert not victim.with_name("not there").exists()
    assert_untouched(victim)


def test_empty_file_behind_a_link_is_no_place_for_a_database(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.touch(0o644)
    link = tmp_path / server_memory.NAME
    link.symlink_to(victim)
    server_memory.ServerMemory(link).learn("host:21", [Fact("me@host:21", "connections", 3, 60.0)])
    assert (victim.read_bytes(), stat.S_IMODE(victim.stat().st_mode)) == (b"", 0o644)


def test_state_folder_may_be_reached_through_links(mirror: Mirror, tmp_path: Path) -> None:
    (tmp_path / "private/var").mkdir(parents=True)
    (tmp_path / "var").symlink_to("private/var")
    (tmp_path / "private/var/elsewhere").mkdir()
    (tmp_path / "private/var/linked").symlink_to("elsewhere")
    mirror.state = tmp_path / "var/linked"
    assert mirror.run().code == 0
    ran = mirror.run()
    assert ran.code == 0, ran.said
    assert "no connection needed" in ran.said
    assert list((tmp_path / "private/var/elsewhere").glob("*.sqlite3"))


@pytest.mark.parametrize("suffix", ["", "-wal"])
def test_looking_at_a_state_follows_no_link_either(tmp_path: Path, victim: Path, suffix: str) -> None:
    path = tmp_path / "state.sqlite3"
    with open_state(path):
        pass
    other = path.rename(tmp_path / "other.sqlite3") if not suffix else victim
    Path(f"{path}{suffix}").symlink_to(other)
    for look in (facts_of, open_copy):
        with pytest.raises(StateError, match="is a symbolic link: put the file itself there"):
            look(path)


@pytest.mark.parametrize("there", [True, False], ids=["an old state", "a new state"])
def test_link_that_is_put_there_at_the_last_moment_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    """SQLite follows a link in place of a database, and opens it by name after we looked."""
    path, other = tmp_path / "state.sqlite3", tmp_path / "other.sqlite3"
    if there:
        with open_state(path):
            pass
    with open_state(other) as state:
        before = state.id
    true = sqlite3.connect

    def meddled(*arguments: object, **options: object) -> sqlite3.Connection:
        path.unlink()
        path.symlink_to(other)
        return true(*arguments, **options)  # type: ignore[no-any-return,call-overload]

    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", meddled)
        with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
            private_files.connect(path, os.O_RDWR)
        path.unlink()
        path.touch(0o600)
        with pytest.raises(StateError, match="is a symbolic link: put the file itself there"):
            open_state(path)
    with open_state(other) as state:
        assert state.id == before


# Other things in the place of files.


def a_fifo(path: Path) -> None:
    os.mkfifo(path)


def a_folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("suffix", [".sqlite3", ".lock"])
@pytest.mark.parametrize("make", [a_fifo, a_folder])
def test_what_is_no_file_in_place_of_the_state_ends_the_run(
    mirror: Mirror, server: ScriptedServer, make: Callable[[Path], None], suffix: str
) -> None:
    assert mirror.run().code == 0
    path = database_of(mirror).with_suffix(suffix)
    path.unlink(missing_ok=True)
    make(path)
    before = server.connections
    ran = mirror.run()
    assert (ran.code, server.connections) == (6, before), ran.said
    assert "cannot use the state" in ran.said


@pytest.mark.parametrize("make", [a_fifo, a_folder])
def test_what_is_no_file_in_place_of_what_is_known_of_hosts_stops_nothing(
    mirror: Mirror, make: Callable[[Path], None]
) -> None:
    mirror.state.mkdir()
    make(mirror.state / server_memory.NAME)
    ran = mirror.run()
    assert ran.code == 0, ran.said
