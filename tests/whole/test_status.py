"""A mirror that is kept is asked how it is, for a pass at once, to pause and to go on."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from servers import PASSWORD, ServerFactory
from support.forked import Started
from support.program import PROGRAM, PROJECT, Program, Result, Running, contents, eventually, write

SLOWLY = ("--bwlimit", "20k")
AS_NOBODY = """
import os, socket, sys
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
client = socket.socket(socket.AF_UNIX)
client.connect(sys.argv[1])
print(client.recv(999).decode())
"""


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Give a folder with a short name: the address of a socket has at most 108 bytes."""
    with TemporaryDirectory(prefix="am-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture
def program(server_factory: ServerFactory, tmp_path: Path) -> Program:
    made = Program(tmp_path, server_factory("pyftpdlib"))
    made.password_file.chmod(0o600)
    return made


def command(program: Program, what: str, *options: str) -> Result:
    """Run a command about the mirror."""
    return program.run(what, *options, "--state-dir", program.state, program.source, program.url)


def named(program: Program) -> str:
    """Return the words by which hints name the mirror."""
    return shlex.join(["--state-dir", str(program.state), str(program.source), program.url])


def asked(program: Program) -> dict[str, Any]:
    """Return what `status --json` tells of the one mirror."""
    result = command(program, "status", "--json")
    assert (result.code, result.err) == (0, ""), result
    found = json.loads(result.out)
    assert isinstance(found, dict)
    return found


def told(program: Program) -> str:
    result = command(program, "status")
    assert (result.code, result.err) == (0, ""), result
    return result.out


@contextmanager
def started(program: Program, argv: Sequence[str]) -> Iterator[Running]:
    """Start a command in the environment of the program; it is killed at the end if it still runs."""
    process = Started[bytes](
        argv, cwd=PROJECT, env=program.environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    with process:
        try:
            yield Running(process)
        finally:
            process.kill()


def the_socket(program: Program) -> Path:
    (found,) = program.state.glob("sockets/*.sock")
    return found


def upload_slowly(program: Program) -> None:
    program.write("small", "content")
    program.write("big", b"x" * 4_000_000)


def is_uploading(program: Program) -> bool:
    now = asked(program)
    return bool(now["condition"] == "uploading" and now["pass"]["bytes_done"] > 0)


# How it is.


def test_before_the_first_run_it_is_said_that_there_is_no_state(program: Program) -> None:
    assert told(program).startswith("never synced\n")
    assert "which is not there" in told(program)
    assert command(program, "pause").code == 6


def test_it_tells_what_is_so_while_it_runs_and_after_it_was_killed(program: Program) -> None:
    program.write("file", "content")
    with program.started("--every", "1h") as running:
        running.wait_for("next pass in")
        now = asked(program)
        assert (now["condition"], now["process"], now["pid"]) == ("in sync", "running", running.pid)
        assert (now["last_pass"]["result"], now["last_pass"]["told"]) == ("mirrored", "uploaded 1 file")
        assert 3500 < now["next_pass_in_s"] <= 3600
        assert f"running (pid {running.pid})" in told(program)
        os.kill(running.pid, signal.SIGKILL)
        running.wait()
    later = asked(program)
    assert (later["condition"], later["process"], later["next_pass_in_s"]) == ("in sync", "died", None)
    assert "it was killed, or the machine went down; this is from the state file" in told(program)
    assert program.sync().code == 0
    assert asked(program)["process"] == "not running"
    assert "not running; this is from the state file" in told(program)


def test_an_upload_tells_how_far_it_is_and_how_long_it_will_take(program: Program) -> None:
    upload_slowly(program)
    with program.started("--every", "1h", *SLOWLY) as running:
        eventually(lambda: is_uploading(program), "the file is under way")
        eventually(lambda: asked(program)["pass"]["left_s"] is not None, "the time left is known")
        now = asked(program)["pass"]
        assert (now["files_total"], now["bytes_total"]) == (2, 4_000_007)
        assert 0 < now["bytes_done"] < now["bytes_total"]
        assert 30 < now["left_s"] < 600
        assert told(program).startswith("uploading: ")
        health = command(program, "healthcheck")
        assert (health.code, health.err) == (0, "")
        assert health.out.startswith("starting: the first pass has been under way for ")
        assert running.end(signal.SIGTERM, 15) == 143
    assert asked(program)["condition"] == "interrupted"
    assert command(program, "healthcheck").err == "async-mirror: unhealthy: never synced\n"


def test_what_fails_is_told_with_why_and_since_when(program: Program) -> None:
    program.write("file", "content")
    program.write("a\nb", "no site may have such a name")
    with program.started("--every", "1h") as running:
        running.wait_for("next pass in")
        now = asked(program)
        assert (now["condition"], now["failing"]) == ("degraded", 1)
        (path,) = now["failing_paths"]
        assert path["path"] == "a\\x0ab"
        (failure,) = now["last_pass"]["first_failures"]
        assert failure["path"] == "a\\x0ab"
        first, *lines = told(program).splitlines()
        assert first == "degraded: 1 path not mirrored"
        assert any(f"failing       a\\x0ab  {failure['problem']}" in line for line in lines), lines


def test_a_server_that_is_away_and_a_guard_are_told_with_why_and_since_when(program: Program) -> None:
    program.write("file", "content")
    assert program.sync().code == 0
    (program.source / "file").unlink()
    assert program.sync().code == 5
    stopped = asked(program)
    assert stopped["condition"] == "stopped for safety"
    assert "empty" in stopped["last_pass"]["why"][0]
    assert told(program).startswith("stopped for safety for ")
    program.server.stop()
    program.write("file", "other content")
    for _ in range(2):
        assert program.run(*program.arguments("--once", "--retries", "0")).code == 4
    failing = asked(program)
    assert failing["condition"] == "failing"
    assert failing["last_pass"]["since"] <= failing["last_pass"]["ended"]
    assert failing["last_pass"]["why"][0] in told(program)


def test_who_asks_needs_no_password(program: Program) -> None:
    program.write("file", "content")
    assert program.sync().code == 0
    program.password_file.unlink()
    program.environment["ASYNC_MIRROR_PASSWORD_FILE"] = str(program.password_file)
    assert asked(program)["condition"] == "in sync"
    assert command(program, "healthcheck").code == 0


def test_what_was_learned_about_the_server_is_told(program: Program) -> None:
    program.write("file", "content")
    assert program.sync().code == 0
    learned = asked(program)["server"]
    assert learned
    assert all(set(each) == {"of", "name", "value"} for each in learned)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, who may become another user")
def test_no_answer_holds_the_password_and_nobody_else_gets_one(program: Program) -> None:
    program.write("file", "content")
    with program.started("--every", "1h") as running:
        running.wait_for("next pass in")
        result = command(program, "status", "--json")
        client = socket.socket(socket.AF_UNIX)
        with client:
            client.connect(str(the_socket(program)))
            client.sendall(json.dumps({"ask": "status", "state": json.loads(result.out)["state"]}).encode() + b"\n")
            answer = client.makefile().readline()
        assert json.loads(answer)["pid"] == running.pid
        assert PASSWORD not in answer + result.out + told(program)
        for folder in (the_socket(program).parent, *list(the_socket(program).parents)[:-1]):
            folder.chmod(folder.stat().st_mode | 0o011)
        the_socket(program).chmod(0o777)
        done = subprocess.run(
            [PROGRAM[0], "-c", AS_NOBODY, the_socket(program)], capture_output=True, text=True, check=True
        )
        assert "only the user who runs it" in done.stdout


def test_clients_that_are_stuck_delay_no_pass(program: Program) -> None:
    program.write("file", "content")
    with program.started("--every", "1h") as running, ExitStack() as stack:
        running.wait_for("next pass in")
        for _ in range(40):
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(str(the_socket(program)))
            client.send(b"{")
        program.write("other", "content")
        os.kill(running.pid, signal.SIGUSR1)
        running.wait_for("pass: uploaded 1 file", seconds=4)
        eventually(lambda: asked(program)["process"] == "running", "the stuck clients are cut off")


def test_a_socket_that_a_killed_process_left_is_replaced_by_the_next_one(program: Program) -> None:
    program.write("file", "content")
    with program.started("--every", "1h") as running:
        running.wait_for("next pass in")
        os.kill(running.pid, signal.SIGKILL)
        running.wait()
    left = the_socket(program)
    assert asked(program)["process"] == "died"
    with program.started("--every", "1h") as running:
        running.wait_for("next pass in")
        assert the_socket(program) == left
        assert asked(program)["pid"] == running.pid
        assert running.end(signal.SIGTERM, 5) == 143
    assert not left.exists()


def test_the_runtime_folder_may_be_far_away(program: Program, tmp_path: Path) -> None:
    runtime = tmp_path / ("r" * 120)
    runtime.mkdir(mode=0o700)
    program.environment["XDG_RUNTIME_DIR"] = str(runtime)
    program.write("file", "content")
    with program.started("--every", "1h") as running:
        running.wait_for("next pass in")
        assert asked(program)["pid"] == running.pid
        assert list(runtime.glob("async-mirror/*.sock"))
        assert not list(program.state.glob("sockets/*.sock"))


def test_where_no_socket_can_be_made_the_state_tells_and_a_signal_asks(program: Program) -> None:
    """A file stands where the folder for sockets would be."""
    program.write("file", "content")
    write(program.state / "sockets")
    program.state.chmod(0o700)
    with program.started("--every", "1h") as running:
        running.wait_for("no socket for `status`")
        running.wait_for("next pass in")
        now = asked(program)
        assert (now["condition"], now["process"], now["pid"]) == ("in sync", "silent", None)
        assert f"process {running.pid} on" in told(program)
        program.write("other", "content")
        result = command(program, "now")
        assert (result.code, f"process {running.pid} does not answer" in result.out) == (0, True), result
        running.wait_for("pass: uploaded 1 file")
        assert "paused once the pass" in command(program, "pause").out
        assert command(program, "resume").code == 0


def test_a_first_pass_is_known_to_go_on_by_its_state_where_no_socket_can_be_made(program: Program) -> None:
    upload_slowly(program)
    write(program.state / "sockets")
    program.state.chmod(0o700)
    with program.started("--every", "1h", *SLOWLY) as running:
        running.wait_for("no socket for `status`")
        eventually(
            lambda: command(program, "healthcheck").out == "starting: the first pass is under way\n", "it is starting"
        )
        assert running.end(signal.SIGTERM, 15) == 143
    assert command(program, "healthcheck").code == 1


# A pass now, and none.


def test_a_pass_comes_at_once_when_it_is_asked_for(program: Program) -> None:
    program.write("file", "content")
    with program.started("--every", "1h") as running:
        running.wait_for("next pass in")
        program.write("other", "content")
        assert command(program, "now").code == 0
        running.wait_for("pass: uploaded 1 file")
    refused = command(program, "now")
    assert (refused.code, "no process keeps this mirror" in refused.err) == (2, True)


def test_a_pause_cuts_the_pass_short_and_survives_a_restart(program: Program) -> None:
    upload_slowly(program)
    with program.started("--every", "1h", *SLOWLY) as running:
        eventually(lambda: is_uploading(program), "the file is under way")
        paused = f"paused: nothing is done until `async-mirror resume {named(program)}`"
        assert command(program, "pause").out == f"{paused}\n"
        running.wait_for(re.escape(paused))
        _is_paused(program, running)
        os.kill(running.pid, signal.SIGUSR1)
        assert running.end(signal.SIGTERM, 5) == 143
    assert asked(program)["condition"] == "paused"
    with program.started("--every", "1s") as running:
        running.wait_for("paused: ")
        _is_paused(program, running)
        assert "big" not in contents(program.site)
        assert command(program, "resume").code == 0
        running.wait_for("resumed: a pass begins")
        running.wait_for("next pass in")
    assert contents(program.site) == contents(program.source)
    assert asked(program)["paused_since"] is None


def test_the_pause_of_a_mirror_that_waits_and_its_end_are_told_at_once(program: Program) -> None:
    program.write("file", "content")
    with program.started("--every", "1h") as running:
        running.wait_for("next pass in")
        assert command(program, "pause").code == 0
        running.wait_for("paused: nothing is done until ")
        assert command(program, "resume").code == 0
        running.wait_for("resumed: a pass begins")
        running.wait_for("next pass in")


def _is_paused(program: Program, running: Running) -> None:
    now = asked(program)
    assert (now["condition"], now["pid"], now["pass"]) == ("paused", running.pid, None)
    assert told(program).startswith("paused for ")
    health = command(program, "healthcheck")
    assert (health.code, health.out.startswith("degraded: paused for ")) == (0, True), health
    assert command(program, "healthcheck", "--strict").code == 1
    assert command(program, "healthcheck", "--strict-after", "1h").code == 0
    refused = command(program, "now")
    assert (refused.code, "it is paused" in refused.err) == (2, True)


def test_one_pass_by_hand_respects_the_pause_and_a_dry_run_shows_what_it_would_do(program: Program) -> None:
    program.write("file", "content")
    assert program.sync().code == 0
    assert command(program, "pause").code == 0
    since = asked(program)["paused_since"]
    assert command(program, "pause").code == 0
    assert asked(program)["paused_since"] == since
    program.write("other", "content")
    once = program.sync("--json")
    assert (once.code, "paused: nothing is done" in once.err) == (1, True)
    told = json.loads(once.out)
    assert (told["result"], told["exit_code"]) == ("paused", 1)
    assert "other" in program.sync("--dry-run").out
    assert command(program, "resume").out == "resumed: the next run will mirror it\n"
    assert program.sync().code == 0


# Several mirrors, and a clock that is set.


def test_each_of_several_mirrors_is_asked_by_its_name(program: Program, tmp_path: Path) -> None:
    file = write(
        tmp_path / "several.toml",
        f"state-dir = '{program.state}'\npassword-file = '{program.password_file}'\nevery = '1h'\n"
        f"[mirror.shop]\nsource = '{program.source}'\ndestination = '{program.url}shop'\n"
        f"[mirror.blog]\nsource = '{program.source}'\ndestination = '{program.url}blog'\n",
    )

    def tell(*arguments: str) -> Result:
        return program.run(*arguments, "--config", file)

    program.write("file", "content")
    program.environment["ASYNC_MIRROR_CONFIG"] = str(file)
    with started(program, [*PROGRAM, "sync"]) as running:
        eventually(
            lambda: _kinds(tell("status", "--json")) == {"shop": "in sync", "blog": "in sync"}, "both are in sync"
        )
        assert tell("status", "shop").out.startswith("shop: in sync\n")
        resume = f"async-mirror resume --config {file} blog"
        assert tell("pause", "blog").out == f"blog: paused: nothing is done until `{resume}`\n"
        running.wait_for(f"blog  paused: nothing is done until `{resume}`")
        program.write("other", "content")
        refused = tell("now")
        assert (refused.code, "it is paused" in refused.err) == (2, True)
        eventually(lambda: "shop/other" in contents(program.site), "the one that is not paused has its pass")
        eventually(
            lambda: _kinds(tell("status", "--json")) == {"shop": "in sync", "blog": "paused"}, "it is in sync again"
        )
        assert tell("healthcheck", "--strict").err.startswith("async-mirror: blog: degraded: paused for ")
        assert running.end(signal.SIGTERM, 10) == 143
    assert set(contents(program.site)) == {"shop/file", "shop/other", "blog/file"}


def _kinds(result: Result) -> dict[str, str]:
    return {each["name"]: each["condition"] for each in map(json.loads, result.out.splitlines())}


CLOCK = """
import sys, time
from pathlib import Path

real, offset = time.time, Path(sys.argv.pop(1))
time.time = lambda: real() + float(offset.read_text())
from async_mirror.cli import main
main()
"""


@pytest.mark.few(1)
@pytest.mark.parametrize("day_s", [86_400, -86_400])
def test_a_clock_that_is_set_disturbs_neither_the_schedule_nor_what_is_told(
    program: Program, tmp_path: Path, day_s: int
) -> None:
    """The clock is set for the program alone: that of the machine belongs to others, too."""
    offset = write(tmp_path / "offset", "0")
    program.write("file", "content")
    argv = [PROGRAM[0], "-c", CLOCK, str(offset), *map(str, program.arguments("--every", "2s"))]
    with started(program, argv) as running:
        running.wait_for("next pass in")
        os.replace(write(tmp_path / "new offset", str(day_s)), offset)
        for _ in range(3):
            running.wait_for("next pass in", seconds=10)
        program.write("other", "content")
        running.wait_for("pass: uploaded 1 file", seconds=10)
        now = asked(program)
        assert now["next_pass_in_s"] <= 2
        ended = datetime.fromisoformat(now["last_pass"]["ended"]).timestamp()
        assert abs(ended - time.time()) < 30, "it is told by the clock of who asks"
        assert re.search(r"last pass     \d+\.\d s ago, took ", told(program))


# A disk that is full.


@pytest.fixture
def disk(program: Program) -> Iterator[Path]:
    """Give the state a disk of its own."""
    program.state.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m,mode=700", "none", program.state], check=True)
    yield program.state
    subprocess.run(["umount", "--lazy", program.state], check=True)


def fill(disk: Path) -> Path:
    """Fill a disk to its last byte with one file."""
    with contextlib.suppress(OSError), (disk / "filler").open("wb", 0) as filler:
        while filler.write(b"x" * 4096):
            pass
    return disk / "filler"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, who may mount a disk")
def test_a_state_folder_that_is_full_is_told_and_survived(program: Program, disk: Path) -> None:
    program.write("file", "content")
    with program.started("--every", "1h") as running:
        running.wait_for("next pass in")
        filler = fill(disk)
        for number in range(300):
            program.write(f"{number}/with a name that takes some room {'x' * 100}", f"{number}")
        assert command(program, "now").code == 0
        running.wait_for("cannot use the state .*database or disk is full")
        running.wait_for("next pass in")
        now = asked(program)
        assert (now["condition"], now["process"]) == ("failing", "running")
        assert "database or disk is full" in told(program).splitlines()[0]
        assert command(program, "pause").code == 6, "it cannot be noted"
        filler.unlink()
        assert command(program, "now").code == 0
        running.wait_for("created 300 folders, uploaded 300 files.* next pass in")
        assert asked(program)["condition"] == "in sync"
        assert contents(program.site) == contents(program.source)
        assert running.end(signal.SIGTERM, 10) == 143


# systemd.


def test_systemd_is_told_that_it_is_up_how_it_is_that_it_lives_and_that_it_ends(
    program: Program, tmp_path: Path
) -> None:
    program.write("file", "content")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(30)
        program.environment |= {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1000000"}
        with program.started("--every", "1h") as running:
            assert systemd.recv(4096) == b"READY=1" or systemd.recv(4096) == b"READY=1"
            running.wait_for("next pass in")
            heard = [systemd.recv(4096) for _ in range(4)]
            assert any(b"WATCHDOG=1\nSTATUS=next pass in 59m" in each for each in heard), heard
            running.end(signal.SIGTERM, 5)
        last = heard[-1]
        while last != b"STOPPING=1":
            last = systemd.recv(4096)
