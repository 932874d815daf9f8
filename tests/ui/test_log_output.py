"""What is written where: the screen, the log file, its old ones, JSON for machines, and disks that are full."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import select
import signal
import subprocess
import termios
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from servers import USER, ServerFactory
from support.program import (
    MTIME,
    PROGRAM,
    PROJECT,
    Program,
    Result,
    contents,
    eventually,
    names,
    run_to_end,
    touch,
    tree,
    write,
)

from async_mirror import multi
from async_mirror.engine import Exit
from async_mirror.ui import log_output
from async_mirror.ui.events import Event
from async_mirror.ui.log_output import Pipe, keep_flushing, never_waiting

CANARY = "canary-Pass"


def documented(heading: str) -> dict[str, set[str]]:
    """Return the keys of a table in docs/json.md, each with what is said to be in it."""
    text = (PROJECT / "docs/json.md").read_text(encoding="utf-8")
    section = text.partition(heading)[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \| (.*) \|$", section, re.MULTILINE)
    values = [(keys, {each for each in re.findall(r"`([^`]+)`", told) if each[0] != "-"}) for keys, told in rows]
    return {key: told for keys, told in values for key in re.findall(r"`(\w+)`", keys)}


OF_A_PASS = documented("## `--json`")
OF_AN_EVENT = documented("## `--log-format json`")
EVENTS = documented("## Events")


@pytest.fixture
def program(program: Program) -> Program:
    program.password_file.chmod(0o600)
    program.environment["TZ"] = "UTC"
    return program


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "sync.log"


def lines_of(text: str) -> list[tuple[str, str]]:
    """Return level and text of each line of a log, of a screen without levels; fail when a line has no time."""
    found: list[tuple[str, str]] = []
    for line in text.splitlines():
        parts = re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{3}  (\w+) *|())  (.*)", line)
        assert parts, line
        found.append((parts[1] or "", parts[3]))
    return found


def objects_of(text: str) -> list[dict[str, Any]]:
    """Return the JSON objects of a text that holds one per line, and nothing else."""
    return [json.loads(line) for line in text.splitlines()]


def only_object(result: Result) -> dict[str, Any]:
    """Return the one object that a run printed; fail when it lacks a documented key or has another."""
    (found,) = objects_of(result.out)
    assert found.keys() == OF_A_PASS.keys()
    assert found["exit_code"] == result.code
    return found


# The log file.


def test_log_file_has_all_that_the_screen_has_and_more(program: Program, log: Path) -> None:
    program.write("deep/file", "content")
    program.write("a\nb", "content")
    result = program.sync("--log-file", log)
    assert result.code == 1
    on_screen, in_file = lines_of(result.err), lines_of(log.read_text())
    assert [text for _, text in in_file if text in {text for _, text in on_screen}] == [text for _, text in on_screen]
    more = [(level, text.split()[0]) for level, text in in_file if text not in {text for _, text in on_screen}]
    assert ("DEBUG", "begun") in more
    assert {level for level, _ in in_file} == {"DEBUG", "INFO", "ERROR", "WARNING"}
    assert not [text for _, text in on_screen if text.startswith("begun")]


def test_log_file_is_whole_however_little_the_screen_has(program: Program, log: Path) -> None:
    program.write("file", "content")
    result = program.sync("--quiet", "--log-file", log)
    assert result == (0, "", "")
    assert {"uploaded", "begun", "pass:"} <= {text.split()[0] for _, text in lines_of(log.read_text())}


def test_verbose_screen_has_what_the_log_file_has(program: Program, log: Path) -> None:
    program.write("file", "content")
    result = program.sync("--verbose", "--log-file", log)
    assert [text for _, text in lines_of(result.err)] == [text for _, text in lines_of(log.read_text())]


def test_log_of_a_day_gone_by_is_put_aside_and_five_are_kept(program: Program, log: Path) -> None:
    program.write("file", "content")
    days = ["2025-12-29", "2025-12-30", "2025-12-31", "2026-01-01", "2026-01-02", "2026-01-03"]
    for day in days:
        write(log.with_name(f"sync.log.{day}"), f"of {day}\n")
    others = [write(log.with_name(name), "of others") for name in ("sync.log.old", "other.log.2026-01-01")]
    write(log, "of 2026-01-04\n", mtime_s=int(datetime(2026, 1, 4, 12, tzinfo=UTC).timestamp()))
    assert program.sync("--log-file", log).code == 0
    old = {path.name: path.read_text() for path in log.parent.glob("sync.log.2*")}
    assert old == {f"sync.log.{day}": f"of {day}\n" for day in [*days[2:], "2026-01-04"]}
    assert "of 2026-01-04" not in log.read_text()
    assert "pass: uploaded 1 file" in log.read_text()
    assert [path.read_text() for path in others] == ["of others", "of others"]


@pytest.mark.parametrize(("hours_ago", "put_aside"), [(13, True), (11, False)])
def test_a_day_ends_at_midnight_where_the_program_runs(
    program: Program, log: Path, hours_ago: int, put_aside: bool
) -> None:
    now = datetime.now(UTC)
    west = now.hour - 12
    program.environment["TZ"] = f"NOON{west:+}"  # a zone in which it is between 12 and 1 in the afternoon now
    write(log, "of before\n", mtime_s=int(now.timestamp()) - hours_ago * 3600)
    assert program.sync("--log-file", log).code == 0
    day = (now - timedelta(hours=west + hours_ago)).date()
    assert [path.name for path in log.parent.glob("sync.log.*")] == [f"sync.log.{day}"] * put_aside
    assert ("of before" in log.read_text()) is not put_aside


def test_log_of_the_same_day_is_gone_on_with(program: Program, log: Path) -> None:
    program.write("file", "content")
    assert program.sync("--log-file", log).code == 0
    before = log.read_text()
    touch(log, int(datetime.now(UTC).timestamp()) + 86_400)  # midnight may come at any moment
    assert program.sync("--log-file", log).code == 0
    assert log.read_text().startswith(before)
    assert log.read_text().count("pass: ") == 2
    assert [path.name for path in log.parent.glob("sync.log*")] == ["sync.log"]


def test_log_file_that_cannot_be_opened_is_told_in_one_line_before_anything_is_done(
    program: Program, tmp_path: Path
) -> None:
    program.bind_by_permissions()
    program.write("file", "content")
    locked = write(tmp_path / "locked", mode=0o400)
    in_locked = write(tmp_path / "folder/sync.log")
    in_locked.parent.chmod(0o500)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    missing = tmp_path / "missing/sync.log"
    for path in (missing, tmp_path, locked, in_locked, pipe, Path("/proc/sync.log"), Path("/dev/null")):
        result = program.sync("--log-file", path)
        assert (result.code, result.out) == (2, "")
        (line,) = result.err.splitlines()
        assert str(path) in line
        assert (program.server.connections(), program.state.exists()) == (0, False)


def sync_with_log_of(program: Program, log: Path, room: int) -> Result:
    """Run a pass with a log file that has room for so many bytes more; no other file comes near its size."""
    most = 1 << 28
    with log.open("wb") as stream:
        stream.truncate(most - room)
    arguments = program.arguments("--once", "--log-file", log)
    return run_to_end(["prlimit", f"--fsize={most}", *PROGRAM, *arguments], program.environment)


def test_log_file_without_any_room_is_an_error_before_anything_is_done(program: Program, log: Path) -> None:
    program.write("file", "content")
    result = sync_with_log_of(program, log, 0)
    assert (result.code, result.out) == (2, "")
    (line,) = result.err.splitlines()
    assert f"cannot write the log file {log}" in line
    assert (program.server.connections(), program.state.exists()) == (0, False)


def test_log_file_that_finds_no_room_later_is_told_of_once_and_stops_nothing(program: Program, log: Path) -> None:
    for number in range(5):
        program.write(f"{number}", "content")
    result = sync_with_log_of(program, log, 300)
    assert result.code == 0
    assert tree(program.site) == tree(program.source)
    assert len(re.findall("File too large", result.err)) == 1
    others = [line for line in result.err.splitlines() if "File too large" not in line]
    assert len(lines_of("\n".join(others))) == len(others) > 5


# JSON for machines.


def fill(program: Program) -> None:
    """Give the source what a first pass tells of in as many ways as there are."""
    program.password_file.chmod(0o644)
    program.write("folder/file", "content")
    program.write("folder/renamed", "other content")
    program.write("removed", "content")
    program.write("left/removed", "content")
    program.write("moded", "content")
    program.write("dated", "content")
    (program.source / "link").symlink_to("nowhere")


def change(program: Program) -> None:
    """Change the source so that a pass has something of each kind to do, and two things to fail at."""
    (program.source / "folder/renamed").rename(program.source / "folder/under a new name")
    (program.source / "moded").chmod(0o600)
    os.utime(program.source / "dated", (MTIME + 60, MTIME + 60))
    (program.source / "removed").unlink()
    (program.source / "left/removed").unlink()
    (program.source / "left").rmdir()
    write(program.site / "www/left/of others")
    program.server.adopt()
    program.write("a\nb", "content")


def events(program: Program, log: Path, server_factory: ServerFactory) -> list[dict[str, Any]]:
    """Return what runs that meet with as much as can be met with write into a log."""
    program.url += "www"
    options = ("--log-file", log, "--log-format", "json")
    fill(program)
    assert program.sync("--dry-run", "--json", *options).code == 0
    assert program.sync(*options).code == 0
    change(program)
    assert program.sync("--dry-run", "--json", *options).code == 1
    assert program.sync(*options).code == 1
    program.source.rename(program.source.with_name("moved away"))
    assert program.sync(*options).code == 5
    program.source.with_name("moved away").rename(program.source)
    program.write("folder/file", "changed content")
    program.server.stop()
    assert program.sync("--retries", "1", *options).code == 4
    program.server.start()
    without_modes = Program(log.with_name("other"), server_factory("aioftp"))
    without_modes.write("file", "content")
    assert without_modes.sync(*options).code == 0
    (without_modes.source / "file").chmod(0o600)
    assert without_modes.sync(*options).code == 0
    os.utime(without_modes.source / "file", (MTIME + 60, MTIME + 60))
    assert without_modes.sync(*options).code == 0
    return objects_of(log.read_text())


def test_log_as_json_has_the_documented_events_and_keys_and_no_others(
    program: Program, log: Path, server_factory: ServerFactory
) -> None:
    log.with_name("other").mkdir()
    found = events(program, log, server_factory)
    assert {each["event"] for each in found} == EVENTS.keys()
    assert {each["level"] for each in found} == OF_AN_EVENT["level"]
    of_passes = [each for each in found if each["event"] == "pass"]
    others = [each for each in found if each["event"] != "pass"]
    assert {key for each in others for key in each} == OF_AN_EVENT.keys()
    assert all({"time", "level", "event", "text"} <= each.keys() for each in others)
    for each in of_passes:
        assert each.keys() == (OF_A_PASS.keys() - {"dry_run"}) | {"level", "event", "text"}
    for each in found:
        assert datetime.fromisoformat(each["time"]).tzinfo == UTC
        assert isinstance(each["text"], str)
        assert "\n" not in each["text"]
    assert {each["connection"] for each in others if each["event"] == "begun"} <= set(range(1, 9))
    sent = {each["path"]: each["bytes"] for each in others if each["event"] == "uploaded"}
    assert sent["folder/file"] == len("content")
    refused = [each for each in others if each["event"] == "failed" and each["path"] == "a\\x0ab"]
    assert len(refused) == 3
    assert all(each["level"] == "error" and each["problem"] and each["detail"] for each in refused)


def test_documented_events_are_those_that_the_program_has() -> None:
    assert list(EVENTS) == list(Event)


def test_log_as_json_is_json_on_the_screen_too(program: Program) -> None:
    program.write("file", "content")
    program.write("a\nb", "content")
    found = objects_of(program.sync("--log-format", "json").err)
    assert {"uploaded", "failed", "pass"} <= {each["event"] for each in found}
    assert "begun" not in {each["event"] for each in found}


def test_pass_is_told_as_one_object_with_the_documented_keys(program: Program) -> None:
    program.write("folder/file", "content")
    program.write("other", "more content")
    program.write("a.tmp")
    (program.source / "link").symlink_to("nowhere")
    write(program.site / "of others")
    result = program.sync("--json", "--exclude-ext", ".tmp", "--multi", "S")
    found = only_object(result)
    assert datetime.fromisoformat(found.pop("time")).tzinfo == UTC
    assert found.pop("seconds") > 0
    assert found == {
        "source": str(program.source),
        "destination": program.url,
        "dry_run": False,
        "result": "mirrored",
        "exit_code": 0,
        "caution": None,
        "connections": 1,
        "source_files": 2,
        "source_folders": 1,
        "source_bytes": 19,
        "excluded": 1,
        "links": 1,
        "special_files": 0,
        "adopted_files": 0,
        "confirmed_files": 0,
        "unmanaged": 1,
        "created_folders": 1,
        "uploaded_files": 2,
        "uploaded_bytes": 19,
        "dates_set": 0,
        "unchanged_files": 0,
        "overwritten_files": 0,
        "skipped_files": 0,
        "existing_unknown": 0,
        "changed_modes": 0,
        "renamed": 0,
        "deleted_files": 0,
        "deleted_folders": 0,
        "no_longer_managed": 0,
        "incomplete": False,
        "partial": False,
        "planned": 2,
        "done": 2,
        "failed": 0,
        "not_attempted": 0,
        "failures": {},
        "first_failures": [],
        "stopped": [],
        "error": None,
        "next_pass_in_s": None,
    }
    assert result.err, "the log is written all the same"


def test_unchanged_pass_and_one_that_changes_things_are_told_in_numbers(program: Program) -> None:
    program.write("moved", "content")
    program.write("gone/removed", "other content")
    program.write("moded", "more content")
    assert program.sync().code == 0
    found = only_object(program.sync("--json", "--quiet"))
    assert (found["connections"], found["uploaded_files"], found["source_files"]) == (0, 0, 3)
    (program.source / "moved").rename(program.source / "under a new name")
    (program.source / "moded").chmod(0o600)
    (program.source / "gone/removed").unlink()
    (program.source / "gone").rmdir()
    numbers = ("renamed", "changed_modes", "deleted_files", "deleted_folders", "uploaded_files")
    plan = only_object(program.sync("--json", "--dry-run"))
    done = only_object(program.sync("--json"))
    assert [plan[key] for key in numbers] == [done[key] for key in numbers] == [1, 1, 1, 1, 0]
    assert (plan["dry_run"], done["dry_run"]) == (True, False)


def test_failures_are_told_by_kind_and_the_first_of_each_one_by_one(program: Program) -> None:
    for number in range(25):
        program.write(f"a\n{number:02}", "content")
    program.write("file", "content")
    write(program.site / "file/of others")
    program.server.adopt()
    found = only_object(program.sync("--json", "--retries", "0", "--multi", "S"))
    assert (found["result"], found["failed"]) == ("partly", 26)
    assert sorted(found["failures"].values()) == [1, 25]
    first = found["first_failures"]
    assert all(each.keys() == {"path", "problem", "detail"} for each in first)
    assert {each["path"] for each in first} <= {*(f"a\\x0a{number:02}" for number in range(25)), "file"}
    assert sorted(Counter(each["problem"] for each in first).values()) == [1, 20]
    assert {each["problem"] for each in first} == found["failures"].keys()


def test_failing_connection_is_told_as_an_object(program: Program) -> None:
    program.write("file", "content")
    program.server.stop()
    found = only_object(program.run(*program.arguments("--once", "--json", "--retries", "0")))
    assert (found["result"], found["exit_code"], found["uploaded_files"]) == ("connection", 4, 0)
    assert f"127.0.0.1:{program.server.port}" in found["error"]


def test_refused_login_is_told_as_an_object_without_the_password(program: Program, log: Path) -> None:
    program.write("file", "content")
    program.environment["ASYNC_MIRROR_DESTINATION"] = f"127.0.0.1,{USER},{CANARY},,{program.server.port}"
    options = ("--once", "--json", "-v", "--log-file", log)
    result = program.run("sync", "--state-dir", program.state, *options, program.source)
    found = only_object(result)
    assert (found["result"], found["exit_code"]) == ("login", 3)
    assert USER in found["error"]
    assert CANARY not in result.out + result.err + log.read_text()


def test_tripped_guard_is_told_as_an_object(program: Program) -> None:
    program.write("file", "content")
    assert program.sync().code == 0
    (program.source / "file").unlink()
    found = only_object(program.sync("--json"))
    assert (found["result"], found["exit_code"], found["deleted_files"]) == ("safety", 5, 0)
    (halt,) = found["stopped"]
    assert "--allow-empty-source" in halt


def test_documented_results_are_those_that_a_pass_can_have() -> None:
    assert OF_A_PASS["result"] == {each.name.lower() for each in Exit} | {"interrupted", "paused"}


def test_dry_run_with_json_prints_nothing_but_its_object(program: Program) -> None:
    program.write("file", "content")
    found = only_object(program.sync("--json", "--dry-run"))
    assert (found["dry_run"], found["uploaded_files"], found["uploaded_bytes"]) == (True, 1, 7)
    assert names(program.site) == set()


def test_long_run_tells_an_object_per_pass(program: Program) -> None:
    program.write("file", "content")
    with program.started("--json", "--every", "1s", out=subprocess.PIPE) as running:
        told = [json.loads(running.out.readline()) for _ in range(3)]
        assert running.end(signal.SIGTERM, within_seconds=10) == 143
        told += objects_of(running.out.read().decode())
    assert [each["uploaded_files"] for each in told[:3]] == [1, 0, 0]
    assert all(each.keys() == OF_A_PASS.keys() for each in told)
    assert all(0 < each["next_pass_in_s"] <= 1 for each in told[:3])
    assert len({each["time"] for each in told}) == len(told)


def test_pass_that_a_signal_cuts_short_is_told_as_an_object(program: Program) -> None:
    program.write("file", b"x" * 1_000_000)
    with program.started("--json", "--bwlimit", "1k", "-v", out=subprocess.PIPE) as running:
        running.wait_for("begun ")
        assert running.end(signal.SIGTERM, within_seconds=10) == 143
        (found,) = objects_of(running.out.read().decode())
    assert found.keys() == OF_A_PASS.keys()
    assert (found["result"], found["exit_code"], found["uploaded_files"]) == ("interrupted", 143, 0)
    assert found["next_pass_in_s"] is None


def test_full_disk_under_standard_output_is_told_in_one_line(program: Program) -> None:
    program.write("file", "content")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*PROGRAM, *program.arguments("--once", "--json", "--quiet")],
            cwd=PROJECT,
            env=program.environment,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "No space left on device" in line
    assert contents(program.site) == contents(program.source)
    assert program.sync().code == 0
    assert program.server.connections() == 0


# Pipes.


@pytest.fixture
def pipe() -> Iterator[tuple[int, Pipe]]:
    """Give the end of a pipe from which a test may read, and what writes to it."""
    ours, theirs = os.pipe()
    with open(theirs, "w", encoding="utf-8") as stream:
        writes = never_waiting(stream, "standard error")
        assert isinstance(writes, Pipe)
        yield ours, writes
    os.close(ours)


def read_all(end: int, pipe: Pipe) -> str:
    """Read what a pipe has now, and what waits for that."""
    found = b""
    while True:
        pipe.flush()
        os.set_blocking(end, False)
        try:
            found += os.read(end, 1 << 20)
        except BlockingIOError:
            return found.decode()


def test_a_pipe_that_is_not_read_holds_nothing_up_and_has_every_line_once_it_is_read(pipe: tuple[int, Pipe]) -> None:
    lines = [f"{number} {'x' * (number % 9000)}\n" for number in range(300)]
    for line in lines:
        pipe[1].write(line)
    assert read_all(*pipe) == "".join(lines)


def test_of_too_many_lines_the_oldest_are_dropped_and_how_many_is_told(
    pipe: tuple[int, Pipe], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(log_output, "MOST_WAITING", 10_000)
    monkeypatch.setattr(logging.getLogger("async_mirror"), "propagate", False)
    monkeypatch.setattr(logging.getLogger("async_mirror"), "handlers", [caplog.handler])
    for number in range(20_000):
        pipe[1].write(f"line {number}\n")
    read = read_all(*pipe).splitlines()
    assert read[-1] == "line 19999"
    assert [record.getMessage() for record in caplog.records] == [
        f"warning   standard error was not read for a while: {20_000 - len(read):,} lines of it dropped"
    ]


def test_lines_that_nobody_has_read_at_the_end_are_told_as_lost(
    pipe: tuple[int, Pipe], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(logging.getLogger("async_mirror"), "propagate", False)
    monkeypatch.setattr(logging.getLogger("async_mirror"), "handlers", [caplog.handler])
    for number in range(20_000):
        pipe[1].write(f"line {number}\n")
    pipe[1].close(0.0)
    read = read_all(*pipe).splitlines()
    whole = len(read) - (read[-1] != f"line {len(read) - 1}")
    assert [record.getMessage() for record in caplog.records] == [
        f"warning   standard error was not read for a while: {20_000 - whole:,} lines of it dropped"
    ]


def test_what_waits_is_written_when_it_is_read_although_nothing_new_comes(pipe: tuple[int, Pipe]) -> None:
    text = "x" * 149_999 + "\n"
    pipe[1].write(text)

    async def read(end: BinaryIO) -> bytes:
        async with asyncio.timeout(60), multi.beside() as start:
            start(keep_flushing(pipe[1]))
            return await multi.in_thread(end.read, len(text))

    with open(pipe[0], "rb", closefd=False) as end:
        assert asyncio.run(read(end)).decode() == text


def test_nothing_is_kept_for_a_reader_that_is_gone() -> None:
    ours, theirs = os.pipe()
    with open(theirs, "w", encoding="utf-8") as stream:
        pipe = Pipe(stream, "standard error")
        pipe.write("x" * 200_000)
        os.close(ours)
        with pytest.raises(BrokenPipeError):
            pipe.flush()
        pipe.flush()
        for _ in range(2):
            with pytest.raises(BrokenPipeError):
                pipe.write("x")
            pipe.flush()


def test_a_terminal_that_is_stopped_holds_nothing_up_and_has_every_line_once_it_goes_on() -> None:
    ours, theirs = os.openpty()
    with open(theirs, "w", encoding="utf-8") as stream:
        pipe = never_waiting(stream, "standard error")
        assert isinstance(pipe, Pipe)
        termios.tcflow(theirs, termios.TCOOFF)
        pipe.write("line 1\n")
        pipe.write("line 2\n")
        assert not select.select([ours], [], [], 0)[0]
        termios.tcflow(theirs, termios.TCOON)
        pipe.close(60.0)
        assert os.read(ours, 100) == b"line 1\r\nline 2\r\n"
    os.close(ours)


def test_a_file_is_written_to_as_it_is(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file:
        assert never_waiting(file, "standard error") is file


def test_standard_error_that_is_not_read_delays_no_file(program: Program) -> None:
    for number in range(400):
        program.write(f"{number:03}-{'x' * 200}")
    with program.started("--once", "-v", "--multi", "S") as running:
        eventually(lambda: set(os.listdir(program.site)) >= set(os.listdir(program.source)), "all is on the site")
        assert running.wait() == 0
    assert running.said.count("  uploaded  ") == 400
    assert "dropped" not in running.said
