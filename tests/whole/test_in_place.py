"""Servers that let nothing be renamed or deleted: that is said at once, and `--in-place` mirrors to them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from faults import reactions
from faults.scripted import ScriptedServer
from faults.traits import instead
from servers import Kind, ServerFactory
from support.mirror import Mirror, answer_at_once, assert_mirrored, assert_same, count, temporaries_of, tree_of
from support.program import MTIME, Program, contents, tree

DENIED = {"RNFR", "RNTO", "DELE"}
LIMITED: Mapping[Kind, Mapping[str, Any]] = {
    "vsftpd": {"cmds_denied": ",".join(sorted(DENIED))},
    "proftpd": {f"<Limit {' '.join(sorted(DENIED))}>\nDenyAll\n</Limit>": ""},
    "pyftpdlib": {"perm": "elrmwMT"},
}
SAID = "this server refuses all renames and deletions"

fixed = instead(lambda *_: b"550 Permission denied.", *DENIED)
"""Let nothing be renamed or deleted."""


@pytest.fixture(params=LIMITED)
def limited(request: pytest.FixtureRequest, server_factory: ServerFactory, tmp_path: Path) -> Program:
    """Give the test a program with a source of 31 files, and a server that lets nothing be renamed or deleted."""
    program = Program(tmp_path, server_factory(request.param, options=LIMITED[request.param]))
    for number in range(30):
        program.write(f"{number % 3}/{number}.txt", f"content {number}")
    program.write("index.html", "index")
    return program


@pytest.fixture
def made(tmp_path: Path) -> Iterator[tuple[ScriptedServer, Mirror]]:
    """Give the test a mirror in place."""
    with ScriptedServer(fixed) as server:
        server.data_seconds = 1.0
        answer_at_once(server)
        mirror = Mirror(tmp_path, server.port, options=["--in-place"])
        for path in ("index.html", "folder/a", "folder/b"):
            mirror.write(path, f"content of {path}")
        yield server, mirror


def test_it_is_said_at_once_how_such_a_server_can_be_mirrored_to_and_no_more_is_left_there(limited: Program) -> None:
    for number in range(3):
        ran = limited.sync("--multi", "S")
        assert ran.code == 1, ran.err
        assert "--in-place writes files under their final names" in ran.err
        assert sum(SAID in line and "note" in line for line in ran.err.splitlines()) == 1, ran.err
        assert len(contents(limited.site)) == 1, f"more was left by run {number + 1}"
        assert len(limited.commands("STOR")) == 1, "what was left is to be tried, and no file to be sent"


def test_in_place_all_is_mirrored_and_nothing_is_done_twice(limited: Program) -> None:
    first = limited.sync("--in-place", "--multi", "A3")
    assert first.code == 0, first.err
    assert contents(limited.site) == contents(limited.source)
    assert tree(limited.site) == tree(limited.source)
    again = limited.sync("--in-place")
    assert again.code == 0, again.err
    assert limited.server.connections() == 0
    for number in range(0, 30, 2):
        limited.write(f"{number % 3}/{number}.txt", f"another content {number}", MTIME + number)
    limited.write("0/new.txt", "new")
    changed = limited.sync("--in-place", "--multi", "A3")
    assert changed.code == 0, changed.err
    assert tree(limited.site) == tree(limited.source)
    assert not limited.commands(*DENIED)


def test_in_place_what_a_run_without_it_left_is_in_the_way_of_nothing(limited: Program) -> None:
    assert limited.sync("--multi", "S").code == 1
    ran = limited.sync("--in-place")
    assert ran.code == 0, ran.err
    assert "temporary files of an earlier run stay" in ran.err
    assert {path for path in contents(limited.site) if ".am-" not in path} == contents(limited.source).keys()
    limited.sync("--in-place")
    assert limited.server.connections() == 0


def test_a_right_that_is_given_later_ends_it(limited: Program, server_factory: ServerFactory) -> None:
    assert limited.sync("--multi", "S").code == 1
    limited.server.stop()
    server = server_factory(limited.server.kind, limited.site, port=limited.server.port)
    limited.server = server
    ran = limited.sync()
    assert ran.code == 0, ran.err
    assert tree(limited.site) == tree(limited.source)


def test_in_place_is_never_chosen_by_itself(tmp_path: Path) -> None:
    with ScriptedServer(fixed) as server:
        mirror = Mirror(tmp_path, server.port)
        mirror.write("index.html", "index")
        assert mirror.run().code == 1
        assert b"/index.html" not in server.files


@pytest.mark.few(2)
@pytest.mark.parametrize("multi", ["S", "A3", "T2", "P2"])
@pytest.mark.parametrize("verb", ["STOR", "SIZE", "MFMT", "SITE"])
def test_killed_in_place_it_converges(verb: str, multi: str, made: tuple[ScriptedServer, Mirror]) -> None:
    server, mirror = made
    assert_mirrored(mirror, server)
    for path in ("index.html", "folder/a", "folder/new"):
        mirror.write(path, f"another content of {path}")
    killed = server.on(verb, reactions.close_data_after(4) if verb == "STOR" else reactions.stay_silent)
    process = mirror.start("--multi", multi)
    assert killed.reached.wait(30)
    process.kill()
    process.communicate()
    assert_mirrored(mirror, server)


@pytest.mark.few(3)
@pytest.mark.parametrize(
    "reaction",
    [
        reactions.close_before_performing,
        reactions.close_before_replying,
        reactions.perform_then_stay_silent,
        reactions.close_data_after(4),
        reactions.reset_data_after(4),
        reactions.truncate_stored(4),
    ],
)
def test_what_was_cut_in_place_is_sent_again(reaction: Callable[..., Any], made: tuple[ScriptedServer, Mirror]) -> None:
    server, mirror = made
    server.on("STOR", reaction)
    ran = assert_mirrored(mirror, server, "--multi", "S")
    assert "overwrites a different file" not in ran.said
    assert temporaries_of(server) == []


def test_a_new_file_that_finds_no_room_leaves_no_part_where_that_can_be_removed(tmp_path: Path) -> None:
    with ScriptedServer() as server:
        mirror = Mirror(tmp_path, server.port, options=["--in-place"])
        mirror.write("index.html", "content")
        server.on("STOR", reactions.close_data_after(4, b"552 Quota exceeded."))
        assert mirror.run().code == 1
        assert server.files == {}
        assert_mirrored(mirror, server)


def test_a_part_that_stays_is_sent_again_and_never_taken_for_somebody_elses(
    made: tuple[ScriptedServer, Mirror],
) -> None:
    server, mirror = made
    server.on("STOR", reactions.close_data_after(4, b"552 Quota exceeded."))
    ran = mirror.run("--multi", "S")
    assert ran.code == 1, ran.said
    ran = mirror.run("--existing", "fail")
    assert ran.code == 0, ran.said
    assert_same(mirror, server)


@pytest.mark.parametrize("existing", ["skip", "fail"])
def test_in_place_what_others_have_stays_if_that_is_asked_for(
    existing: str, made: tuple[ScriptedServer, Mirror]
) -> None:
    server, mirror = made
    server.put(b"/folder/a", b"theirs")
    killed = server.on("STOR", reactions.stay_silent)
    process = mirror.start("--multi", "S", "--existing", existing)
    assert killed.reached.wait(30)
    process.kill()
    process.communicate()
    ran = mirror.run("--existing", existing)
    assert ran.code == (1 if existing == "fail" else 0), ran.said
    assert server.files[b"/folder/a"].content == b"theirs"
    assert {"index.html", "folder/b"} <= {path.decode() for path in tree_of(server)}


def test_a_file_that_is_refused_untouched_stays_what_it_was(made: tuple[ScriptedServer, Mirror]) -> None:
    server, mirror = made
    assert_mirrored(mirror, server)
    mirror.write("folder/a", "another content")
    server.on("STOR", reactions.say(b"553 Not now."))
    assert mirror.run().code == 1
    assert server.files[b"/folder/a"].content == b"content of folder/a"
    server.log.clear()
    assert_mirrored(mirror, server)
    assert count(server, "STOR") == 1


def test_a_part_of_what_left_the_source_is_removed_where_that_is_possible(tmp_path: Path) -> None:
    with ScriptedServer() as server:
        mirror = Mirror(tmp_path, server.port, options=["--in-place"])
        mirror.write("folder/a", "content")
        mirror.write("index.html", "index")
        assert_mirrored(mirror, server)
        mirror.write("folder/a", "another content")
        killed = server.on("STOR", reactions.close_data_after(4))
        process = mirror.start("--multi", "S")
        assert killed.reached.wait(30)
        process.kill()
        process.communicate()
        shutil.rmtree(mirror.source / "folder")
        assert_mirrored(mirror, server)
