"""A mirror that watches its source: what is saved is on the site soon, once, and nothing else of it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from servers import ServerFactory
from support.editors import WAYS
from support.program import Program, Running, contents, eventually

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="inotify is Linux's")

SETTLE = ("--watch", "--settle", "200ms", "--every", "1h")
FIRST = "pass: .*next pass"
CHANGES = "changes: .*next pass"


@pytest.fixture
def program(server_factory: ServerFactory, tmp_path: Path) -> Program:
    return Program(tmp_path, server_factory("vsftpd"))


@contextmanager
def watching(program: Program, *options: str) -> Iterator[Running]:
    """Have the program watch, after its first pass."""
    with program.started(*SETTLE, *options) as running:
        running.wait_for(FIRST)
        program.server.mark()
        yield running


def are_equal(program: Program) -> bool:
    return contents(program.source) == contents(program.site)


def passes(running: Running) -> int:
    """Return how many passes over changes have ended, as far as was read."""
    return len(re.findall(CHANGES, running.said))


def test_each_way_to_save_is_one_upload_and_nothing_else(program: Program) -> None:
    page = program.write("blog/page.html", b"as it was")
    with watching(program, "--exclude", "*~") as running:
        for number, (name, save) in enumerate(WAYS.items()):
            program.server.mark()
            content = b"as %s saves it, %d" % (name.encode(), number)
            save(page, content)
            running.wait_for(CHANGES)
            assert (program.site / "blog" / "page.html").read_bytes() == content, (name, running.said)
            assert len(program.commands("STOR")) == 1, name
            assert program.published() == ["blog/page.html"], name
            assert program.commands("DELE", "RMD", "MKD") == [], name
        assert passes(running) == len(WAYS)


def test_only_what_was_touched_is_looked_at(program: Program) -> None:
    for number in range(5):
        program.write(f"{number}/inner/page", b"x")
    with program.started(*SETTLE, "--json", out=subprocess.PIPE) as running:
        running.wait_for(FIRST)
        program.write("3/inner/other", b"y")
        running.wait_for(CHANGES)
        first, changes = (json.loads(running.out.readline()) for _ in range(2))
    assert (first["partial"], first["source_files"], first["source_folders"]) == (False, 5, 10)
    assert (changes["partial"], changes["uploaded_files"]) == (True, 1)
    assert (changes["source_files"], changes["source_folders"]) == (2, 5), "the source itself and the one folder"


def test_what_is_renamed_is_renamed_on_the_site(program: Program) -> None:
    program.write("a/page", b"a page")
    for number in range(4):
        program.write(f"old/{number}", f"{number}")
    with watching(program) as running:
        (program.source / "a" / "page").rename(program.source / "b")
        running.wait_for(CHANGES)
        (program.source / "old").rename(program.source / "a" / "new")
        running.wait_for(CHANGES)
        assert program.commands("STOR", "DELE") == []
        assert program.published() == ["a/new", "b"]
        assert are_equal(program)


def test_what_comes_into_the_tree_and_leaves_it_is_followed(program: Program, tmp_path: Path) -> None:
    program.write("page", b"x")
    outside = tmp_path / "outside"
    (outside / "inner").mkdir(parents=True)
    (outside / "inner" / os.fsdecode(b"caf\xe9\xff")).write_bytes(b"bytes that are no UTF-8")
    with watching(program, "--max-delete", "100%") as running:
        outside.rename(program.source / "here")
        running.wait_for(CHANGES)
        assert are_equal(program)
        assert len(contents(program.site)) == 2
        (program.source / "here").rename(outside)
        running.wait_for(CHANGES)
        assert are_equal(program)
        assert not (program.site / "here").exists()


BUILD = """
import os, shutil, sys
out = sys.argv[1]
shutil.rmtree(out)
for number in range(500):
    folder = f"{out}/{number // 50}"
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/{number}", "w") as file:
        file.write(f"built again {number}")
"""


def test_a_build_that_begins_with_a_deletion_is_one_pass_or_two_and_deletes_nothing_that_comes_back(
    program: Program,
) -> None:
    for number in range(500):
        program.write(f"out/{number // 50}/{number}", f"built {number}")
    program.write("out/old", b"not built any more")
    with watching(program, "--settle", "1s") as running:
        subprocess.run([sys.executable, "-c", BUILD, str(program.source / "out")], check=True)
        running.wait_for(CHANGES)
        eventually(lambda: are_equal(program), "the site is as the source")
        program.write("last", b"x")
        eventually((program.site / "last").exists, "the last change is there")
        while "last" not in (running.wait_for(CHANGES), running.said)[1]:
            pass
        assert passes(running) <= 3
        assert program.commands("DELE") == ["DELE out/old"]
        assert program.commands("RMD") == []


def test_what_is_left_out_costs_no_pass(program: Program) -> None:
    program.write("page", b"x")
    program.write("node_modules/inner/x", b"x")
    with watching(program, "--exclude", "node_modules/", "--exclude", "*.log") as running:
        program.write("node_modules/inner/y", b"y")
        program.write("access.log", b"GET /")
        program.write("page", b"y")
        running.wait_for(CHANGES)
        program.write("page", b"z")
        running.wait_for(CHANGES)
        assert passes(running) == 2
        assert program.published() == ["page", "page"]


def test_a_source_that_is_switched_is_mirrored_as_a_whole(program: Program) -> None:
    releases = program.source.with_name("releases")
    program.source.rmdir()
    for release in ("1", "2"):
        (releases / release / "inner").mkdir(parents=True)
        (releases / release / "inner" / "page").write_text(f"release {release}")
    program.source.symlink_to(releases / "1")
    with watching(program) as running:
        new = releases.with_name("new")
        new.symlink_to(releases / "2")
        new.replace(program.source)
        running.wait_for(FIRST)
        assert (program.site / "inner" / "page").read_text() == "release 2"
        (releases / "2" / "inner" / "page").write_text("release 2.1")
        running.wait_for(CHANGES)
        assert (program.site / "inner" / "page").read_text() == "release 2.1"


TOO_MANY = r"tracked files would be deleted.*--max-delete 50%"


def test_too_many_deletions_are_held_back_as_always_and_the_rest_goes_on(program: Program) -> None:
    for number in range(30):
        program.write(f"many/{number}", f"{number}")
    with watching(program) as running:
        shutil.rmtree(program.source / "many")
        program.write("page", b"x")
        running.wait_for(TOO_MANY)
        running.wait_for("changes: .*next pass|incomplete: .*next pass")
        assert (program.site / "page").read_bytes() == b"x"
        assert len(contents(program.site)) == 31


def test_what_was_too_much_to_delete_is_not_deleted_piece_by_piece(program: Program) -> None:
    for number in range(30):
        program.write(f"{number % 3}/{number}", f"{number}")
    with watching(program) as running:
        shutil.rmtree(program.source / "0")
        shutil.rmtree(program.source / "1")
        running.wait_for(TOO_MANY)
        running.wait_for("incomplete: ")
        program.write("page", b"x")
        program.write("0/page", b"x")
        running.wait_for(TOO_MANY)
        running.wait_for("incomplete: ")
        assert (program.site / "page").read_bytes() == (program.site / "0/page").read_bytes() == b"x"
        assert len(contents(program.site)) == 32, "it is still too much, whatever was changed since"
    assert program.sync("--max-delete", "20").code == 0
    assert are_equal(program)


def test_what_is_deleted_little_by_little_counts_together(program: Program) -> None:
    for number in range(30):
        program.write(f"many/{number}", f"{number}")
    with watching(program) as running:
        for number in range(15):
            (program.source / "many" / str(number)).unlink()
            running.wait_for(CHANGES)
        assert len(contents(program.site)) == 15
        (program.source / "many" / "15").unlink()
        running.wait_for(r"16 of 30 tracked files would be deleted, with the 15 since the last full pass")
        running.wait_for("incomplete: ")
        assert len(contents(program.site)) == 15
    ran = program.sync()
    assert (ran.code, len(contents(program.site))) == (5, 15), "not by a restart either"
    assert program.sync("--max-delete", "16").code == 0
    assert are_equal(program)


def test_what_others_take_the_place_of_again_and_again_is_not_too_much(program: Program) -> None:
    for number in range(24):
        program.write(f"0/{number}", f"{number}")
    with watching(program) as running:
        for build in range(1, 4):
            for number in range(24):
                program.write(f"{build}/{number}", f"{build}, {number}")
            running.wait_for(CHANGES)
            shutil.rmtree(program.source / f"{build - 1}")
            running.wait_for(CHANGES)
            assert are_equal(program)


def test_what_fails_is_told_until_it_is_mirrored(program: Program) -> None:
    def healthcheck() -> str:
        return program.run("healthcheck", "--state-dir", program.state, program.source, program.url).out

    program.write("inner/page", b"x")
    with watching(program) as running:
        line_break = program.write("inner/a\nb", b"y")
        running.wait_for(CHANGES)
        program.write("page", b"x")
        running.wait_for(CHANGES)
        assert "degraded: 1 path not mirrored" in healthcheck()
        line_break.unlink()
        program.write("inner/page", b"new")
        running.wait_for(CHANGES)
        assert "healthy" in healthcheck()


def test_a_connection_stays_open_for_the_next_change(program: Program) -> None:
    page = program.write("page", b"as it was")
    with watching(program) as running:
        for number in range(3):
            page.write_text(f"version {number}")
            running.wait_for(CHANGES)
        assert len(program.commands("STOR")) == 3
        assert program.server.connections() == 0, "since the first pass"
        assert "over 1 connection" in running.said
        assert running.end(signal.SIGTERM, 5) == 128 + signal.SIGTERM
    eventually(lambda: not program.server.session_pids(), "the session has ended")


def test_a_connection_that_the_server_ended_meanwhile_is_replaced_without_a_word(program: Program) -> None:
    page = program.write("page", b"as it was")
    with watching(program) as running:
        before = running.said
        for pid in program.server.session_pids():
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: not program.server.session_pids(), "the session has ended")
        page.write_text("after that")
        running.wait_for(CHANGES)
        assert (program.site / "page").read_text() == "after that"
        told = running.said.removeprefix(before)
        assert len(told.splitlines()) == 2, told
        assert program.server.connections() == 1


def test_a_folder_of_the_site_that_somebody_deleted_meanwhile_is_filled_again(program: Program) -> None:
    program.url += "www"
    page = program.write("page", b"as it was")
    program.write("inner/other", b"and another one")
    with watching(program) as running:
        shutil.rmtree(program.site / "www")
        page.write_text("after that")
        running.wait_for("creating it again and uploading everything")
        running.wait_for(r"(pass|changes): .*next pass")
        assert contents(program.site / "www") == contents(program.source)


@pytest.mark.parametrize("multi", ["S", "T2", "P2"])
def test_it_watches_in_each_mode(program: Program, multi: str) -> None:
    page = program.write("page", b"as it was")
    with watching(program, "--multi", multi) as running:
        for number in range(2):
            page.write_text(f"version {number}")
            running.wait_for(CHANGES)
            assert (program.site / "page").read_text() == f"version {number}"


def test_a_signal_ends_it_while_it_watches(program: Program) -> None:
    program.write("page", b"x")
    with watching(program) as running:
        assert running.end(signal.SIGTERM, 5) == 128 + signal.SIGTERM


def state_of(program: Program) -> dict[str, Any]:
    done = program.run("status", "--json", "--state-dir", program.state, program.source, program.url)
    found = json.loads(done.out)
    assert isinstance(found, dict)
    return found


def test_what_changes_while_it_is_paused_is_mirrored_afterwards(program: Program) -> None:
    page = program.write("page", b"x")
    command = ("--state-dir", program.state, program.source, program.url)
    with watching(program) as running:
        assert program.run("pause", *command).code == 0
        eventually(lambda: state_of(program)["condition"] == "paused", "it is paused")
        page.write_text("changed meanwhile")
        assert program.run("resume", *command).code == 0
        running.wait_for(FIRST)
        assert page.read_text() == (program.site / "page").read_text()
