"""A folder goes only if nothing of others goes with it, whatever the server's RMD does."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from faults import reactions
from faults.scripted import ScriptedServer, Trait
from faults.sites import hides_dot_names, refuses_dot_names, removes_recursively
from faults.traits import lacks
from servers import KeptServer
from support.mirror import Mirror, assert_mirrored, count, temporaries_of
from support.program import Program, names

Make = Callable[..., tuple[ScriptedServer, Mirror]]


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Make]:
    """Make a mirror of two folders on a server with some traits; one of them is deleted from the source then."""
    with ExitStack() as stack:

        def make(*traits: Trait) -> tuple[ScriptedServer, Mirror]:
            server = stack.enter_context(ScriptedServer(*traits))
            mirror = Mirror(tmp_path, server.port)
            for path in ("index.html", "gallery/1.jpg", "gallery/below/2.jpg"):
                mirror.write(path, f"content of {path}")
            assert_mirrored(mirror, server)
            shutil.rmtree(mirror.source / "gallery")
            return server, mirror

        yield make


@pytest.mark.parametrize("other", ["gallery/theirs", "gallery/.theirs", "gallery/below/theirs", "gallery/new/theirs"])
@pytest.mark.parametrize("traits", [(removes_recursively,), (), (removes_recursively, lacks("MLSD", "MLST"))])
def test_what_others_put_into_a_folder_stays_whatever_rmd_does(
    traits: tuple[Trait, ...], other: str, made: Make
) -> None:
    server, mirror = made(*traits)
    if "new" in other:
        server.folders.add(b"/gallery/new")
    server.put(b"/" + other.encode(), b"theirs")
    ran = mirror.run()
    assert ran.code == 0, ran.said
    assert set(server.files) == {b"/index.html", b"/" + other.encode()}
    assert "contains unmanaged files or folders" in ran.said
    assert temporaries_of(server) == []


@pytest.mark.parametrize("traits", [(removes_recursively,), (), (removes_recursively, lacks("MLSD", "MLST"))])
def test_a_folder_that_is_empty_goes_whatever_rmd_does(traits: tuple[Trait, ...], made: Make) -> None:
    server, mirror = made(*traits)
    assert_mirrored(mirror, server)
    assert server.folders == {b"/"}


def test_a_temporary_of_ours_that_came_late_keeps_no_folder_where_rmd_removes_all(made: Make) -> None:
    server, mirror = made(removes_recursively)
    sent = [line.split(" ", 1)[1] for line in server.commands() if line.startswith("STOR gallery/")]
    for temporary in sent:  # as a server does that was sent STOR and wakes up
        server.put(b"/" + temporary.encode(), b"content")
    assert sent
    assert_mirrored(mirror, server)
    assert server.folders == {b"/"}


@pytest.mark.parametrize("trait", [hides_dot_names, refuses_dot_names])
def test_where_rmd_removes_all_and_dot_names_may_not_be_seen_the_folder_stays_and_is_told(
    trait: Trait, made: Make
) -> None:
    server, mirror = made(removes_recursively, trait)
    server.put(b"/gallery/.theirs", b"theirs")
    ran = mirror.run()
    assert ran.code == 0, ran.said
    assert b"/gallery/.theirs" in server.files
    assert "does not prove that this one is empty" in ran.said or "not ours" in ran.said
    assert temporaries_of(server) == []


@pytest.mark.parametrize("traits", [(removes_recursively,), ()])
def test_a_listing_that_cannot_be_read_does_not_show_an_empty_folder(traits: tuple[Trait, ...], made: Make) -> None:
    server, mirror = made(*traits, lacks("MLSD", "MLST"))
    server.put(b"/gallery/theirs", b"theirs")
    garbled = reactions.send_listing(b"?? theirs ??\r\n")
    server.on("LIST", garbled, None, when=lambda exchange: exchange.path.startswith(b"/gallery"))
    ran = mirror.run()
    assert set(server.files) == {b"/index.html", b"/gallery/theirs"}
    assert "contains unmanaged files or folders" in ran.said


def test_what_is_hidden_beside_a_name_with_a_dot_is_no_reason_to_trust_a_listing_that_is_cut(made: Make) -> None:
    server, mirror = made(removes_recursively)
    server.put(b"/gallery/theirs", b"theirs")
    cut = reactions.truncate_listing(0)
    server.on("MLSD", cut, None, when=lambda exchange: exchange.path.startswith(b"/gallery"))
    mirror.run()
    assert b"/gallery/theirs" in server.files


@pytest.mark.parametrize("name", [b".am-%s-0123456789z0.part", b"am-%s-0123456789z0"])
@pytest.mark.parametrize("traits", [(removes_recursively,), ()])
def test_a_late_temporary_of_ours_alone_keeps_no_folder_whatever_rmd_does(
    traits: tuple[Trait, ...], name: bytes, made: Make
) -> None:
    server, mirror = made(*traits)
    (state_id,) = {found[1] for line in server.commands() if (found := re.match(r"STOR .*am-([0-9a-f]{8})-", line))}
    server.put(b"/gallery/" + name % state_id.encode(), b"late")
    assert_mirrored(mirror, server)
    assert server.folders == {b"/"}


def test_it_is_found_out_once(made: Make) -> None:
    server, mirror = made()
    server.log.clear()
    assert_mirrored(mirror, server, "--multi", "S")
    assert (count(server, "MKD"), count(server, "RMD")) == (2, 2 + 3)
    mirror.write("folder/x", "x")
    assert_mirrored(mirror, server, "--multi", "S")
    shutil.rmtree(mirror.source / "folder")
    server.log.clear()
    assert_mirrored(mirror, server, "--multi", "S")
    assert (count(server, "MKD"), count(server, "RMD")) == (0, 1)


@pytest.mark.parametrize("mode", ["A8", "P2"])
def test_many_connections_find_it_out_once(mode: str, made: Make) -> None:
    server, mirror = made()
    (mirror.source / "gallery/below").mkdir(parents=True)
    for number in range(16):
        mirror.write(f"folder {number}/x", "x")
    assert_mirrored(mirror, server, "--multi", mode)
    for number in range(16):
        shutil.rmtree(mirror.source / f"folder {number}")
    server.log.clear()
    assert_mirrored(mirror, server, "--multi", mode, "--max-delete", "100%")
    assert (count(server, "MKD"), len(server.folders)) == (2, 1 + 2)


@pytest.mark.parametrize(("verb", "number"), [("MKD", 0), ("MKD", 1), ("MKD", 2), ("RMD", 0), ("RMD", 1)])
def test_a_run_killed_while_it_finds_out_leaves_nothing_for_good(verb: str, number: int, made: Make) -> None:
    server, mirror = made(removes_recursively)
    for _ in range(number):
        server.on(verb, reactions.behave)
    reached = server.on(verb, reactions.perform_then_stay_silent)
    process = mirror.start("--multi", "S")
    assert reached.reached.wait(30)
    process.kill()
    process.communicate()
    assert_mirrored(mirror, server)


def test_simple_ftpd_removes_no_folder_with_what_others_put_there(kept_server: KeptServer, tmp_path: Path) -> None:
    program = Program(tmp_path, kept_server("simple-ftpd"))
    program.write("index.html", "content")
    (program.source / "gallery").mkdir()
    first = program.sync("--multi", "S")
    assert first.code == 0, first.err
    (program.site / "gallery/.theirs").write_text("theirs")
    (program.source / "gallery").rmdir()
    ran = program.sync("--multi", "S")
    assert ran.code == 0, ran.err
    assert names(program.site) == {"index.html", "gallery/", "gallery/.theirs"}
