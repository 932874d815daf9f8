"""The source is named as given: a link is one mirror, whatever it leads to, and a pass works on one folder alone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from faults.reactions import behave
from faults.scripted import Exchange, ScriptedServer
from servers import ServerFactory
from support.mirror import Mirror, contents, tree_of
from support.program import MTIME, Program, names, write


@pytest.fixture
def linked(mirror: Mirror) -> Mirror:
    """Let the source be a link to the first of two releases."""
    mirror.source.rmdir()
    releases = mirror.source.parent / "releases"
    for name in ("same.html", "old.html", "older.html"):
        write(releases / "1" / name, f"{name} of the first release", MTIME)
    write(releases / "2/same.html", "of the second one, and longer", MTIME + 5)
    write(releases / "2/new.html", "new", MTIME)
    mirror.source.symlink_to("releases/1")
    return mirror


def switch(mirror: Mirror) -> None:
    """Let the link lead to the second release, in one step."""
    beside = mirror.source.with_name("beside")
    beside.symlink_to("releases/2")
    os.replace(beside, mirror.source)


def release(mirror: Mirror, number: int) -> dict[bytes, bytes]:
    folder = mirror.source.parent / f"releases/{number}"
    return {os.fsencode(each.name): each.read_bytes() for each in folder.iterdir()}


def during(server: ScriptedServer, verb: str, act: Callable[[], object]) -> None:
    """Have something happen when a command comes for the first time, before it is answered."""

    def react(exchange: Exchange) -> None:
        act()
        behave(exchange)

    server.on(verb, react, times=1)


@pytest.mark.parametrize("multi", ["S", "A3", "T2", "P2"])
def test_switched_link_is_one_mirror(linked: Mirror, server: ScriptedServer, multi: str) -> None:
    assert linked.run("--multi", multi).code == 0
    assert contents(tree_of(server)) == release(linked, 1)
    switch(linked)
    ran = linked.run("--multi", multi)
    assert ran.code == 0, ran.said
    assert contents(tree_of(server)) == release(linked, 2)
    assert len(list(linked.state.glob("*.sqlite3"))) == 1


@pytest.mark.parametrize("multi", ["S", "T2", "P2"])
def test_pass_works_on_the_release_that_it_began_with(linked: Mirror, server: ScriptedServer, multi: str) -> None:
    during(server, "STOR", lambda: switch(linked))
    ran = linked.run("--multi", multi)
    assert ran.code == 0, ran.said
    assert contents(tree_of(server)) == release(linked, 1)


@pytest.mark.parametrize("verb", ["STOR", "RNTO"])
def test_nothing_is_removed_once_the_link_was_switched(linked: Mirror, server: ScriptedServer, verb: str) -> None:
    assert linked.run().code == 0
    (linked.source / "old.html").unlink()
    linked.write("another.html", "another")
    during(server, verb, lambda: switch(linked))
    ran = linked.run()
    assert ran.code == 5, ran.said
    assert "was replaced or deleted during the pass" in ran.said
    assert b"old.html" in contents(tree_of(server))
    assert linked.run().code == 0
    assert contents(tree_of(server)) == release(linked, 2)


@pytest.mark.parametrize("replaced", [False, True], ids=["removed", "replaced"])
def test_folder_that_is_deleted_while_it_is_mirrored_empties_nothing(
    mirror: Mirror, server: ScriptedServer, replaced: bool
) -> None:
    for number in range(5):
        mirror.write(f"folder/{number}.txt", "content")
    assert mirror.run().code == 0
    before = contents(tree_of(server))
    (mirror.source / "folder/0.txt").unlink()
    mirror.write("new.txt", "new")

    def vanish() -> None:
        shutil.rmtree(mirror.source)
        if replaced:
            mirror.source.mkdir()

    during(server, "RNTO", vanish)
    ran = mirror.run("--multi", "S")
    assert ran.code == 5, ran.said
    assert before.items() <= contents(tree_of(server)).items()


def test_state_of_where_the_link_leads_is_taken_over(linked: Mirror, server: ScriptedServer) -> None:
    given = linked.source
    linked.source = given.resolve()
    assert linked.run().code == 0
    linked.source = given
    before = server.connections
    dry = linked.run("--dry-run")
    assert dry.code == 0, dry.said
    assert "nothing to do" in dry.said
    (former,) = linked.state.glob("*.sqlite3")
    ran = linked.run()
    assert ran.code == 0, ran.said
    assert server.connections == before, "the state was not taken over"
    (file,) = linked.state.glob("*.sqlite3")
    assert file != former
    switch(linked)
    assert linked.run().code == 0
    assert contents(tree_of(server)) == release(linked, 2)


def test_state_that_another_run_has_is_not_taken_over(linked: Mirror, server: ScriptedServer) -> None:
    given = linked.source
    linked.source = given.resolve()
    assert linked.run().code == 0
    linked.write("more.html", "more")
    found: list[tuple[int, str]] = []

    def run_by_the_link() -> None:
        linked.source = given
        ran = linked.run()
        found.append((ran.code, ran.said))

    during(server, "STOR", run_by_the_link)
    assert linked.run("--timeout", "30s").code == 0
    ((code, said),) = found
    assert code == 6, said
    assert "already running (process " in said
    assert len(list(linked.state.glob("*.sqlite3"))) == 1


@pytest.fixture
def private(tmp_path: Path) -> dict[str, Path]:
    """Name what must not be published, and the folder that it is in."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "secret").mkdir()
    return {"state": tmp_path / "state", "password": tmp_path / "secret", "log": tmp_path / "logs"}


@pytest.mark.parametrize("what", ["state", "password", "log"])
def test_what_must_not_be_published_is_looked_for_in_each_pass_where_the_link_leads_then(
    program: Program, private: dict[str, Path], what: str
) -> None:
    program.source.rmdir()
    first = program.source.with_name("first")
    write(first / "page.html", "page", MTIME)
    program.source.symlink_to(first)
    shutil.copy(program.password_file, private["password"] / "password")
    program.password_file = private["password"] / "password"
    with program.started("--every", "1s", "--log-file", private["log"] / "run.log") as running:
        running.wait_for("next pass in")
        program.source.unlink()
        program.source.symlink_to(private[what])
        said = running.wait_for("stopped for safety: ")
        assert "lies in the source" in said
        running.wait_for("next pass in")
        program.source.unlink()
        program.source.symlink_to(first)
        running.wait_for("nothing to do")
    assert names(program.site) == {"page.html"}
    again = program.source.with_name("again")
    again.symlink_to(private[what])
    program.source = again
    assert program.sync("--log-file", private["log"] / "run.log").code == 2


def test_dry_run_tells_of_a_link_in_the_way_as_the_pass_does(server_factory: ServerFactory, tmp_path: Path) -> None:
    program = Program(tmp_path, server_factory("proftpd"))
    write(program.site / "real/keep", "theirs", MTIME)
    (program.site / "domains").symlink_to("real")
    program.server.adopt()
    program.write("domains/x.html", "1")
    for options in (["--dry-run"], []):
        ran = program.sync(*options)
        assert ran.code == 1, ran.err
        assert "domains  refused by the server: a symbolic link is in the way" in ran.err


def test_two_dots_behind_a_link_lead_to_where_the_system_says(linked: Mirror, server: ScriptedServer) -> None:
    second = release(linked, 2)
    linked.source = linked.source / "../2"
    assert linked.run().code == 0
    assert contents(tree_of(server)) == second
