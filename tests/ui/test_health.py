"""Whether a mirror is kept: what counts as healthy, and what the command says of real passes."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import time
from pathlib import Path

import pytest
from servers import PASSWORD, USER
from support.program import Node, Program, Result, tree, write

from async_mirror.ui.health import ALLOWANCE_S, MOST_REMEMBERED, Beat, Failing, complaint

NOW = 1_800_000_000.0
HOUR = 3600.0


def beat(age_s: float, seconds: float = 0.0, every_seconds: float = HOUR) -> str:
    return str(Beat(NOW - age_s, seconds, every_seconds))


# What is healthy.


@pytest.mark.parametrize(
    ("last_good", "healthy"),
    [
        (beat(0), True),
        (beat(2 * HOUR), True),
        (beat(2 * HOUR + ALLOWANCE_S), True),
        (beat(2 * HOUR + ALLOWANCE_S + 1), False),
        (beat(3 * HOUR), False),
        (beat(3 * HOUR, seconds=HOUR), True),
        (beat(4 * HOUR + ALLOWANCE_S, seconds=HOUR), True),
        (beat(4 * HOUR + ALLOWANCE_S + 1, seconds=HOUR), False),
        (beat(30, every_seconds=1), True),
        (beat(ALLOWANCE_S + 3, every_seconds=1), False),
        (beat(-1), True),
        (beat(-2 * HOUR), True),
        (beat(-3 * HOUR), False),
    ],
)
def test_a_pass_is_young_for_two_intervals_and_twice_the_time_that_it_took(last_good: str, healthy: bool) -> None:
    assert (complaint(last_good, "mirrored", NOW) is None) is healthy


@pytest.mark.parametrize("last_result", ["mirrored", "partly", "login", "connection", "safety", "usage", None])
def test_a_young_pass_is_healthy_whatever_came_after_it(last_result: str | None) -> None:
    assert complaint(beat(10), last_result, NOW) is None


@pytest.mark.parametrize("last_good", [None, beat(10 * HOUR)])
@pytest.mark.parametrize(
    ("last_result", "told"),
    [("login", "login refused"), ("connection", "connection failed"), ("safety", "stopped for safety")],
)
def test_what_the_last_pass_ended_with_is_told_beside(last_good: str | None, last_result: str, told: str) -> None:
    assert str(complaint(last_good, last_result, NOW)).endswith(f"; last error: {told}")


@pytest.mark.parametrize("last_result", ["mirrored", "partly", None])
def test_a_pass_that_went_through_is_not_told_as_a_reason(last_result: str | None) -> None:
    assert "last pass" not in str(complaint(None, last_result, NOW))
    assert complaint(beat(10 * HOUR), last_result, NOW) == ("last complete pass 10h ago (limit 2h01m)")


def test_what_a_pass_leaves_reads_back() -> None:
    left = Beat(1_800_000_000.125, 0.5, 900.0)
    assert Beat.read(str(left)) == left


# What fails, and since when.


def test_what_goes_on_failing_keeps_its_time_and_what_does_not_is_forgotten() -> None:
    first = Failing().followed_by(2, {"a", "b"}, NOW)
    second = first.followed_by(2, {"b", "c"}, NOW + HOUR)
    assert second == Failing(2, {"b": NOW, "c": NOW + HOUR})
    assert Failing.read(str(second)) == second
    assert second.seconds(NOW + 2 * HOUR) == 2 * HOUR
    assert second.followed_by(0, set(), NOW + 2 * HOUR) == Failing()


def test_of_many_failing_paths_those_that_fail_longest_are_remembered_and_named() -> None:
    old = Failing().followed_by(1, {"zz"}, NOW - HOUR)
    many = old.followed_by(5_000, {"zz", *map(str, range(4_999))}, NOW)
    assert (many.number, len(many.since), many.seconds(NOW)) == (5_000, MOST_REMEMBERED, HOUR)
    told = many.told(NOW)
    assert told.startswith("5,000 paths not mirrored: zz (for 1h), ")
    assert told.endswith("and 4,990 more")


@pytest.mark.parametrize("text", [None, "", "nonsense", "[]", "[1]", "[1, 2]", '["x", {}]', '[1, {"a": "b"}]', "{}"])
def test_a_damaged_memory_of_what_fails_is_read_as_nothing_failing(text: str | None) -> None:
    assert Failing.read(text) == Failing()


# Real passes.


@pytest.fixture
def program(program: Program) -> Program:
    program.password_file.chmod(0o600)
    return program


def check(program: Program, *options: str) -> Result:
    """Ask whether the mirror is kept; whatever the answer is, nothing is changed and nobody is asked."""
    before, connections = kept(program), program.server.connections()
    result = program.run("healthcheck", *options, "--state-dir", program.state, program.source, program.url)
    assert program.server.connections() == connections
    assert kept(program) == before
    return result


def kept(program: Program) -> dict[bytes, Node]:
    """Return what the state folder holds, but for what SQLite has there for readers and writers to meet."""
    return {name: node for name, node in tree(program.state).items() if not name.endswith((b"-shm", b"-wal"))}


def reason(result: Result) -> str:
    """Return the one line that tells why a mirror is not kept; fail when it is."""
    assert (result.code, result.out) == (1, "")
    (line,) = result.err.splitlines()
    return line


def is_degraded(result: Result) -> bool:
    """Tell whether the passes go through and paths fail, in one line on standard output."""
    return (result.code, result.err) == (0, "") and bool(re.fullmatch("degraded: .*\n", result.out))


def is_healthy(result: Result) -> bool:
    """Tell whether the answer is good, in one line on standard output."""
    return (result.code, result.err) == (0, "") and bool(re.fullmatch("healthy.*\n", result.out))


def age(program: Program, seconds: float) -> None:
    """Let the last good pass have ended so much earlier."""
    (path,) = program.state.glob("*.sqlite3")
    database = sqlite3.connect(path)
    (text,) = database.execute("SELECT value FROM facts WHERE name = 'last_good'").fetchone()
    left = Beat.read(text)
    assert 0 <= time.time() - left.ended < 60
    aged = left._replace(ended=left.ended - seconds)
    database.execute("UPDATE facts SET value = ? WHERE name = 'last_good'", (str(aged),))
    database.commit()
    database.close()


def fail_since(program: Program, seconds: float) -> None:
    """Let what fails have failed for so much longer."""
    (path,) = program.state.glob("*.sqlite3")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        (text,) = database.execute("SELECT value FROM facts WHERE name = 'failing'").fetchone()
        left = Failing.read(text)
        aged = left._replace(since={path: since - seconds for path, since in left.since.items()})
        database.execute("UPDATE facts SET value = ? WHERE name = 'failing'", (str(aged),))


def test_a_mirror_is_healthy_after_a_good_pass_and_not_before(program: Program) -> None:
    program.write("file", "content")
    assert "never synced (no state " in reason(check(program))
    assert program.sync("--dry-run").code == 0
    assert "never synced (no state " in reason(check(program)), "a dry run is no pass"
    assert program.sync().code == 0
    assert is_healthy(check(program))
    other = program.run("healthcheck", "--state-dir", program.state, program.source, f"{program.url}other")
    assert "never synced (no state " in reason(other)


def test_a_file_that_the_server_refuses_does_not_make_a_pass_bad(program: Program) -> None:
    program.write("file", "content")
    program.write("in the way", "content")
    write(program.site / "in the way/of others")
    program.server.adopt()
    assert program.sync("--retries", "0").code == 1
    assert check(program).code == 0


def test_a_path_that_fails_makes_it_degraded_until_it_is_mirrored(program: Program) -> None:
    program.write("file", "content")
    program.write("a\nb", "no site may have such a name")
    assert program.sync().code == 1
    told = check(program)
    assert is_degraded(told), told
    assert re.match(r"degraded: 1 path not mirrored: a\\x0ab \(for \d\.\d s\); last complete pass ", told.out)
    assert reason(check(program, "--strict")).startswith("async-mirror: degraded: 1 path not mirrored: ")
    assert is_degraded(check(program, "--strict-after", "1h"))
    fail_since(program, HOUR + 1)
    assert program.sync().code == 1
    assert is_degraded(check(program))
    assert "(for 1h)" in reason(check(program, "--strict-after", "1h"))
    (program.source / "a\nb").unlink()
    assert program.sync().code == 0
    assert is_healthy(check(program, "--strict"))
    assert is_healthy(check(program, "--strict-after", "1h"))


def test_an_hour_of_failing_begins_anew_once_a_path_was_mirrored_in_between(program: Program) -> None:
    odd = program.write("a\nb", "no site may have such a name")
    program.write("file", "content")
    assert program.sync().code == 1
    fail_since(program, HOUR)
    odd.unlink()
    assert program.sync().code == 0
    program.write("a\nb", "again")
    assert program.sync().code == 1
    assert is_degraded(check(program, "--strict-after", "1m"))


def test_a_mirror_that_is_too_old_is_unhealthy_whatever_failed(program: Program) -> None:
    program.write("a\nb", "no site may have such a name")
    program.write("file", "content")
    assert program.sync("--every", "1s").code == 1
    age(program, HOUR)
    assert reason(check(program)).startswith("async-mirror: unhealthy: last complete pass 1h ago")


def test_a_mirror_that_was_not_kept_for_long_is_not_healthy_until_the_next_pass(program: Program) -> None:
    program.write("file", "content")
    assert program.sync("--every", "1s").code == 0
    age(program, 50)
    assert check(program).code == 0
    age(program, 50)
    assert re.search(r"last complete pass 1m\d\ds ago \(limit 1m\d\ds\)$", reason(check(program)))
    assert program.sync("--every", "1h").code == 0
    age(program, HOUR)
    assert check(program).code == 0


def test_a_server_that_went_away_is_told_as_the_reason(program: Program) -> None:
    program.write("file", "content")
    program.server.stop()
    arguments = program.arguments("--once", "--retries", "0", "--every", "1s")
    assert program.run(*arguments).code == 4
    assert re.search("never synced; last error: connection failed", reason(check(program)))
    program.server.start()
    assert program.run(*arguments).code == 0
    program.server.stop()
    program.write("other", "content")
    assert program.run(*arguments).code == 4
    assert check(program).code == 0, "the last good pass is young"
    age(program, HOUR)
    assert re.search("last complete pass 1h ago.*; last error: connection failed", reason(check(program)))


def test_a_pass_that_a_guard_halted_is_no_good_one(program: Program) -> None:
    program.write("file", "content")
    assert program.sync("--every", "1s").code == 0
    age(program, HOUR)
    (program.source / "file").unlink()
    assert program.sync("--every", "1s").code == 5
    assert re.search("last complete pass 1h ago.*; last error: stopped for safety", reason(check(program)))


def test_a_running_mirror_can_be_asked_about(program: Program) -> None:
    program.write("file", "content")
    with program.started("--every", "1h") as running:
        running.wait_for("next pass in")
        result = program.run("healthcheck", "--state-dir", program.state, program.source, program.url)
        assert is_healthy(result)
        assert program.run(*program.arguments("--once")).code == 6, "the running one has its lock"


def test_an_interrupted_pass_is_no_good_one(program: Program) -> None:
    program.write("file", b"x" * 1_000_000)
    with program.started("--bwlimit", "1k", "-v") as running:
        running.wait_for("begun ")
    assert "never synced" in reason(check(program))


def test_a_mirror_is_named_by_the_environment_and_the_file_as_for_sync(program: Program, tmp_path: Path) -> None:
    program.write("file", "content")
    config = write(
        tmp_path / "mine.toml",
        f"source = 'source'\ndestination = '{program.url}'\nstate-dir = 'state'\npassword-file = 'password'\n"
        "every = '1h'\nexclude = ['*.tmp']\nlog-file = 'log'\nonce = true\n",
    )
    assert program.run("sync", "--config", config).code == 0
    log = (tmp_path / "log").read_text()
    assert is_healthy(program.run("healthcheck", "--config", config))
    assert (tmp_path / "log").read_text() == log
    program.environment |= {
        "ASYNC_MIRROR_SOURCE": str(program.source),
        "ASYNC_MIRROR_DESTINATION": program.url,
        "ASYNC_MIRROR_STATE_DIR": str(program.state),
    }
    assert program.run("healthcheck").code == 0
    config.write_text("nonsense = 1\n")
    result = program.run("healthcheck", "--config", config)
    assert (result.code, "nonsense" in result.err) == (2, True)


def test_the_user_is_found_where_sync_finds_it(program: Program) -> None:
    program.write("file", "content")
    write(program.home / ".netrc", f"machine 127.0.0.1 login {USER} password {PASSWORD}\n", mode=0o600)
    program.url = program.url.replace(f"{USER}@", "")
    assert program.sync(password=False).code == 0
    assert is_healthy(check(program))
    program.environment["ASYNC_MIRROR_PASSWORD_FILE"] = str(program.password_file)
    refused = program.sync(password=False)
    assert refused.code == 2, "a password file and no user"
    assert check(program) == refused, "it looked at the mirror of another user"


def test_a_state_that_cannot_be_read_is_a_reason(program: Program) -> None:
    program.write("file", "content")
    assert program.sync().code == 0
    (path,) = program.state.glob("*.sqlite3")
    whole = path.read_bytes()
    path.write_bytes(b"garbage!" * (len(whole) // 8))
    assert str(path) in reason(check(program))


def test_a_pass_over_a_few_folders_changes_what_it_knows_of_what_fails() -> None:
    failing = Failing(3, {"a/1": 10.0, "b/2": 20.0, "b/3": 30.0})
    joined = failing.joined_by({"b/3", "c/4"}, 40.0, lambda path: path.startswith("b/"))
    assert joined == Failing(3, {"a/1": 10.0, "b/3": 30.0, "c/4": 40.0})
    assert joined.joined_by((), 50.0, lambda _: False) == joined
