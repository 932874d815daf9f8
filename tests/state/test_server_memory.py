"""What was learned about servers is kept as long as it holds, and its loss or damage harms nobody."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from support.program import PROJECT

from async_mirror.state.server_memory import NAME, Hosts

pytestmark = pytest.mark.smoke

HOUR = 3600.0
EVER = float("inf")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / NAME


def age(path: Path, seconds: float) -> None:
    """Make all that is known older."""
    with closing(sqlite3.connect(path)) as database, database:
        assert database.execute("UPDATE facts SET learned = learned - ?", (seconds,)).rowcount == 1


def test_what_was_learned_is_known_to_the_next_one(path: Path) -> None:
    Hosts(path).learn("me@host:21", "most connections", 3)
    assert Hosts(path).number("me@host:21", "most connections", HOUR) == 3
    Hosts(path).learn("me@host:21", "most connections", 7)
    assert Hosts(path).number("me@host:21", "most connections", HOUR) == 7


def test_hosts_users_and_facts_are_kept_apart(path: Path) -> None:
    hosts = Hosts(path)
    for number, (account, name) in enumerate([("a@h:21", "x"), ("b@h:21", "x"), ("a@h:2121", "x"), ("a@h:21", "y")]):
        hosts.learn(account, name, number + 1)
    assert [hosts.number(account, "x", EVER) for account in ("a@h:21", "b@h:21", "a@h:2121", "c@h:21")] == [1, 2, 3, 0]
    assert hosts.number("a@h:21", "y", EVER) == 4


def test_what_is_too_old_is_not_known_any_more(path: Path) -> None:
    hosts = Hosts(path)
    hosts.learn("me@host:21", "most connections", 3)
    age(path, HOUR - 60)
    assert hosts.number("me@host:21", "most connections", HOUR) == 3
    age(path, 120)
    assert hosts.number("me@host:21", "most connections", HOUR) == 0
    assert hosts.number("me@host:21", "most connections", EVER) == 3


def test_what_was_learned_in_the_future_is_not_believed(path: Path) -> None:
    Hosts(path).learn("me@host:21", "connections", 3)
    age(path, -HOUR)
    assert Hosts(path).number("me@host:21", "connections", EVER) == 0


def test_without_a_file_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Hosts().learn("me@host:21", "connections", 3)
    assert Hosts().number("me@host:21", "connections", EVER) == 0
    assert list(tmp_path.iterdir()) == []


def test_only_the_user_may_read_it(path: Path) -> None:
    Hosts(path).learn("me@host:21", "connections", 3)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def empty(path: Path) -> None:
    path.write_bytes(b"")


def garbage(path: Path) -> None:
    path.write_bytes(b"no database at all " * 1000)


def torn(path: Path) -> None:
    Hosts(path).learn("me@host:21", "connections", 3)
    path.write_bytes(path.read_bytes()[:5000] + b"\xff" * 3192)


def of_another_make(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE facts (something TEXT)")


def odd_values(path: Path) -> None:
    Hosts(path).learn("me@host:21", "connections", 3)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE facts SET value = 'many', learned = 'long ago'")


def null_values(path: Path) -> None:
    Hosts(path).learn("me@host:21", "connections", 3)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE facts SET value = NULL, learned = NULL")


def a_folder(path: Path) -> None:
    path.mkdir()


def a_link_to_nowhere(path: Path) -> None:
    path.symlink_to(path.parent / "nowhere" / "to be found")


@pytest.mark.parametrize(
    "damage", [empty, garbage, torn, of_another_make, odd_values, null_values, a_folder, a_link_to_nowhere]
)
def test_damaged_file_is_as_good_as_none(path: Path, damage: Callable[[Path], None]) -> None:
    damage(path)
    hosts = Hosts(path)
    assert hosts.number("me@host:21", "connections", EVER) in {0, 3}
    hosts.learn("me@host:21", "connections", 5)
    assert hosts.number("me@host:21", "connections", EVER) in {0, 5}


def test_folder_that_is_not_there_does_not_matter(tmp_path: Path) -> None:
    hosts = Hosts(tmp_path / "not there" / NAME)
    hosts.learn("me@host:21", "connections", 5)
    assert hosts.number("me@host:21", "connections", EVER) == 0


def test_user_whose_name_is_no_text_does_not_matter(path: Path) -> None:
    hosts = Hosts(path)
    hosts.learn("m\udce9@host:21", "connections", 5)
    assert hosts.number("m\udce9@host:21", "connections", EVER) in {0, 5}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to take from a process what lets it write anywhere")
def test_file_that_cannot_be_written_is_still_read(path: Path) -> None:
    Hosts(path).learn("me@host:21", "connections", 3)
    path.chmod(0o400)
    path.parent.chmod(0o500)
    program = f"""
from pathlib import Path
from async_mirror.state.server_memory import Hosts
hosts = Hosts(Path({str(path)!r}))
hosts.learn("me@host:21", "connections", 9)
print(hosts.number("me@host:21", "connections", 3600.0))
"""
    bound = ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner,-chown", "--inh-caps=-all"]
    command = [*bound, sys.executable, "-c", program]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, cwd=PROJECT)
    assert ran.stdout == "3\n"


LEARNER = """
import sys
from pathlib import Path
from async_mirror.state.server_memory import Hosts
hosts = Hosts(Path(sys.argv[1]))
for number in range(1, 101):
    hosts.learn(sys.argv[2], "connections", number)
    assert hosts.number(sys.argv[2], "connections", 3600.0) == number
"""


def test_two_processes_may_learn_at_the_same_time(path: Path) -> None:
    command = [sys.executable, "-c", LEARNER, str(path)]
    learners = [
        subprocess.Popen([*command, account], stderr=subprocess.PIPE, cwd=PROJECT)
        for account in ("a@host:21", "b@host:21")
    ]
    assert [(learner.communicate()[1], learner.returncode) for learner in learners] == [(b"", 0)] * 2
    assert [Hosts(path).number(account, "connections", EVER) for account in ("a@host:21", "b@host:21")] == [100, 100]
