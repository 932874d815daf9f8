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

from async_mirror.model.facts import Fact
from async_mirror.state.server_memory import MOST_FACTS, MOST_SERVERS, NAME, ServerMemory

pytestmark = pytest.mark.smoke

HOUR = 3600.0
HERE = "host:21"


def fact(name: str = "x", value: int | str = 3, generation: int = 1, *, of: str = "me", lasts_s: float = HOUR) -> Fact:
    return Fact(of, name, value, lasts_s, generation)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / NAME


def age(path: Path, seconds: float) -> None:
    """Make all that is known older."""
    with closing(sqlite3.connect(path)) as database, database:
        assert database.execute("UPDATE known SET learned = learned - ?", (seconds,)).rowcount == 1


def test_what_was_learned_is_known_to_the_next_one(path: Path) -> None:
    ServerMemory(path).learn(HERE, [fact(value=3), fact("y", "text")])
    assert sorted(ServerMemory(path).recall(HERE)) == [fact(value=3), fact("y", "text")]


def test_later_generation_replaces_an_earlier_one_and_no_other_way_round(path: Path) -> None:
    memory = ServerMemory(path)
    memory.learn(HERE, [fact(value=1, generation=2)])
    memory.learn(HERE, [fact(value=5, generation=1)])
    assert memory.recall(HERE) == [fact(value=1, generation=2)]
    memory.learn(HERE, [fact(value=0, generation=3)])
    assert memory.recall(HERE) == [fact(value=0, generation=3)]


def test_servers_subjects_and_names_are_kept_apart(path: Path) -> None:
    memory = ServerMemory(path)
    facts = [fact(value=1), fact(value=2, of="you"), fact("y", 3)]
    memory.learn(HERE, facts)
    memory.learn("host:2121", [fact(value=4)])
    assert sorted(memory.recall(HERE)) == sorted(facts)
    assert memory.recall("host:2121") == [fact(value=4)]
    assert memory.recall("elsewhere:21") == []


def test_fact_is_known_as_long_as_it_lasts_and_then_may_be_learned_anew(path: Path) -> None:
    memory = ServerMemory(path)
    memory.learn(HERE, [fact(generation=9)])
    age(path, HOUR - 60)
    assert memory.recall(HERE) == [fact(generation=9)]
    age(path, 120)
    assert memory.recall(HERE) == []
    memory.learn(HERE, [fact(value=7)])
    assert memory.recall(HERE) == [fact(value=7)]


def test_fact_that_does_not_last_is_not_kept(path: Path) -> None:
    memory = ServerMemory(path)
    memory.learn(HERE, [fact(lasts_s=0)])
    assert memory.recall(HERE) == []


def test_what_was_learned_in_the_future_is_not_believed(path: Path) -> None:
    ServerMemory(path).learn(HERE, [fact()])
    age(path, -HOUR)
    assert ServerMemory(path).recall(HERE) == []


def test_no_more_servers_are_kept_than_the_limit_and_the_oldest_is_forgotten(path: Path) -> None:
    memory = ServerMemory(path)
    memory.learn("first:21", [fact()])
    age(path, 60)
    with closing(sqlite3.connect(path)) as database, database:
        database.executemany(
            "INSERT INTO known SELECT ?, of, name, value, lasts_s, generation, learned + 9 FROM known WHERE server = ?",
            [(f"server{number}:21", "first:21") for number in range(MOST_SERVERS - 1)],
        )
    memory.learn("last:21", [fact()])
    assert memory.recall("first:21") == []
    assert memory.recall("server0:21")
    assert memory.recall("last:21")


def test_no_more_facts_of_a_server_are_kept_than_the_limit(path: Path) -> None:
    memory = ServerMemory(path)
    memory.learn(HERE, [fact(str(number)) for number in range(MOST_FACTS + 50)])
    assert len(memory.recall(HERE)) == MOST_FACTS


def test_without_a_file_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ServerMemory().learn(HERE, [fact()])
    assert ServerMemory().recall(HERE) == []
    assert list(tmp_path.iterdir()) == []


def test_only_the_user_may_read_it(path: Path) -> None:
    ServerMemory(path).learn(HERE, [fact()])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def empty(path: Path) -> None:
    path.write_bytes(b"")


def garbage(path: Path) -> None:
    path.write_bytes(b"no database at all " * 1000)


def torn(path: Path) -> None:
    ServerMemory(path).learn(HERE, [fact("connections")])
    path.write_bytes(path.read_bytes()[:5000] + b"\xff" * 3192)


def of_another_make(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE known (something TEXT)")


def odd_values(path: Path) -> None:
    ServerMemory(path).learn(HERE, [fact("connections")])
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE known SET value = x'00', learned = 'long ago'")


def null_values(path: Path) -> None:
    ServerMemory(path).learn(HERE, [fact("connections")])
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE known SET value = NULL, learned = 1, lasts_s = 1e12")


def a_folder(path: Path) -> None:
    path.mkdir()


def a_link_to_nowhere(path: Path) -> None:
    path.symlink_to(path.parent / "nowhere" / "to be found")


@pytest.mark.parametrize(
    "damage", [empty, garbage, torn, of_another_make, odd_values, null_values, a_folder, a_link_to_nowhere]
)
def test_damaged_file_is_as_good_as_none(path: Path, damage: Callable[[Path], None]) -> None:
    damage(path)
    memory = ServerMemory(path)
    assert memory.recall(HERE) in ([], [fact("connections")])
    memory.learn(HERE, [fact("connections", 5, 2)])
    assert memory.recall(HERE) in ([], [fact("connections")], [fact("connections", 5, 2)])


def test_folder_that_is_not_there_does_not_matter(tmp_path: Path) -> None:
    memory = ServerMemory(tmp_path / "not there" / NAME)
    memory.learn(HERE, [fact()])
    assert memory.recall(HERE) == []


def test_user_whose_name_is_no_text_does_not_matter(path: Path) -> None:
    memory = ServerMemory(path)
    memory.learn(HERE, [fact(of="m\udce9@host:21")])
    assert memory.recall(HERE) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to take from a process what lets it write anywhere")
def test_file_that_cannot_be_written_is_still_read(path: Path) -> None:
    ServerMemory(path).learn(HERE, [fact()])
    path.chmod(0o400)
    path.parent.chmod(0o500)
    program = f"""
from pathlib import Path
from async_mirror.model.facts import Fact
from async_mirror.state.server_memory import ServerMemory
memory = ServerMemory(Path({str(path)!r}))
memory.learn("{HERE}", [Fact("me", "x", 9, 3600.0, 2)])
print([fact.value for fact in memory.recall("{HERE}")])
"""
    bound = ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner,-chown", "--inh-caps=-all"]
    command = [*bound, sys.executable, "-c", program]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert ran.stdout == "[3]\n"


LEARNER = """
import sys
from pathlib import Path
from async_mirror.model.facts import Fact
from async_mirror.state.server_memory import ServerMemory
memory = ServerMemory(Path(sys.argv[1]))
for number in range(1, 101):
    memory.learn("host:21", [Fact(sys.argv[2], "x", number, 3600.0, number)])
    assert Fact(sys.argv[2], "x", number, 3600.0, number) in memory.recall("host:21")
"""


def test_two_processes_may_learn_at_the_same_time(path: Path) -> None:
    command = [sys.executable, "-c", LEARNER, str(path)]
    learners = [
        subprocess.Popen([*command, account], stderr=subprocess.PIPE, cwd=Path(__file__).parents[2])
        for account in ("a@host:21", "b@host:21")
    ]
    assert [(learner.communicate()[1], learner.returncode) for learner in learners] == [(b"", 0)] * 2
    assert [each.value for each in ServerMemory(path).recall(HERE)] == [100, 100]


def test_one_that_does_not_learn_reads_the_file_and_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / NAME
    ServerMemory(path, learns=False).learn(HERE, [fact()])
    assert ServerMemory(path, learns=False).recall(HERE) == []
    assert list(tmp_path.iterdir()) == []
    ServerMemory(path).learn(HERE, [fact(value=3)])
    before = path.read_bytes()
    reader = ServerMemory(path, learns=False)
    reader.learn(HERE, [fact(value=4)])
    assert reader.recall(HERE) == [fact(value=3)]
    assert [each.name for each in tmp_path.iterdir()] == [NAME]
    assert path.read_bytes() == before
