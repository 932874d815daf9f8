"""Where a server refuses the names of temporaries another one is found, kept, and cleaned up as ever."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from faults import reactions
from faults.scripted import Exchange, ScriptedServer, Trait
from faults.sites import (
    alters_new_names,
    lists_question_marks,
    makes_folders_above,
    refuses_dot_names,
    refuses_names,
    takes_backslashes_for_slashes,
)
from faults.traits import lacks
from faults.tree import TEMPORARY
from support.mirror import Mirror, assert_mirrored, assert_same, count, ended, in_folder, temporaries_of

Make = Callable[..., tuple[ScriptedServer, Mirror]]


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Make]:
    with ExitStack() as stack:

        def make(*traits: Trait) -> tuple[ScriptedServer, Mirror]:
            server = stack.enter_context(ScriptedServer(*traits))
            mirror = Mirror(tmp_path, server.port)
            for path in ("index.html", "caf\u00e9", "folder/a.txt", "folder/b", "\u00fcmlaut/c"):
                mirror.write(path, f"content of {path}")
            return server, mirror

        yield make


def stored(server: ScriptedServer) -> list[str]:
    """Return the last parts of the paths that were uploaded."""
    return [line.rpartition("/")[2].removeprefix("STOR ") for line in server.commands() if line.startswith("STOR")]


def in_plain_shape(exchange: Exchange) -> bool:
    """Match commands about a temporary without a dot before its name."""
    return b"/am-" in exchange.path


@pytest.mark.parametrize("mode", ["S", "A3", "P2"])
@pytest.mark.parametrize(
    ("refused", "taken"),
    [
        (rb"^\.", r"am-[^.]*\.part"),
        (rb"\.part$", r"am-[^.]*\.tmp"),
        (rb"^\.|\.part$", r"am-[^.]*\.tmp"),
        (rb"\.(part|tmp)$", r"am-[^.]*"),
    ],
)
def test_all_is_mirrored_under_the_first_temporary_name_that_the_server_takes(
    refused: bytes, taken: str, mode: str, made: Make
) -> None:
    server, mirror = made(refuses_names(refused))
    assert_mirrored(mirror, server, "--multi", mode)
    server.log.clear()
    mirror.write("index.html", "another content")
    mirror.write("folder/new", "new")
    assert_mirrored(mirror, server, "--multi", mode)
    assert len(stored(server)) == 2
    assert all(re.fullmatch(taken, name) for name in stored(server))


@pytest.mark.parametrize(
    ("shape", "name"),
    [("am-*", r"am-[^.]*"), ("am-*.EXT", r"am-[^.]*(\.html|\.txt|)"), (".am-*.part", r"\.am-.*\.part")],
)
def test_the_name_that_was_asked_for_is_used_from_the_first_file_on(shape: str, name: str, made: Make) -> None:
    server, mirror = made()
    assert_mirrored(mirror, server, "--temp-name", shape)
    assert len(stored(server)) == 5
    assert all(re.fullmatch(name, each) for each in stored(server))


def test_no_other_name_is_tried_than_the_one_that_was_asked_for(made: Make) -> None:
    server, mirror = made(refuses_dot_names)
    assert mirror.run("--temp-name", ".am-*.part").code == 1
    assert all(name.startswith(".am-") for name in stored(server))
    assert_mirrored(mirror, server)


def test_a_refused_final_name_is_told_and_no_temporary_name_blamed(made: Make) -> None:
    server, mirror = made(refuses_names(rb"\.php$"))
    mirror.write("folder/x.php", "<?php")
    ran = mirror.run()
    assert ran.code == 1
    assert "folder/x.php" in ran.said
    assert "uploaded, but the server refuses this name" in ran.said
    assert all(name.startswith(".am-") for name in stored(server))
    assert temporaries_of(server) == []
    (mirror.source / "folder/x.php").unlink()
    assert_mirrored(mirror, server)


def test_a_server_that_renames_nothing_is_told_of(made: Make) -> None:
    server, mirror = made(lacks("RNFR", "RNTO"))
    ran = mirror.run()
    assert ran.code == 1
    assert "this server refuses all renames," in ran.said
    assert server.files == {}


def test_a_folder_where_nothing_may_be_written_is_not_taken_for_a_refusal_of_names(made: Make) -> None:
    server, mirror = made()
    refusal = reactions.say(b"550 Permission denied.")
    server.on("STOR", refusal, None, when=lambda exchange: exchange.path.startswith(b"/folder/"))
    ran = mirror.run("-v")
    assert ran.code == 1
    assert "temporary files are named" not in ran.said
    assert {b"/index.html", "/caf\u00e9".encode(), "/\u00fcmlaut/c".encode()} == server.files.keys()


def test_where_nothing_may_be_written_that_is_found_out_once_and_each_file_is_told_of(made: Make) -> None:
    server, mirror = made()
    for number in range(20):
        mirror.write(f"folder/{number}", "x")
    server.on("STOR", reactions.say(b"550 Permission denied."), None, when=in_folder(b"/folder"))
    ran = mirror.run("--multi", "S", "-v")
    assert ran.code == 1
    refused = [line for line in server.commands() if line.startswith("STOR folder/")]
    assert len(refused) <= 22 + 4, "more empty files were tried than once in each shape"
    assert all(f"folder/{number}  refused by the server" in ran.said for number in range(20)), ran.said


def test_where_nothing_can_be_renamed_no_more_files_are_sent(made: Make) -> None:
    server, mirror = made(lacks("RNFR", "RNTO"))
    for number in range(20):
        mirror.write(f"folder/{number}", "x")
    ran = mirror.run("--multi", "S", "-v")
    assert ran.code == 1
    sent = [line for line in server.commands() if line.startswith("STOR folder/")]
    assert len(sent) <= 1 + 4
    assert all(
        f"folder/{number}  refused by the server: this server refuses all renames," in ran.said for number in range(20)
    )
    assert server.files == {}


@pytest.mark.parametrize("before", ["", "am-*.tmp"])
def test_what_a_killed_run_left_is_removed_whatever_the_name_was_and_is(before: str, made: Make) -> None:
    server, mirror = made(*([] if before else [refuses_dot_names]))
    options = ["--temp-name", before] if before else []
    started = server.on(
        "STOR",
        reactions.perform_then_stay_silent,
        when=lambda exchange: re.search(rb"/am-.*", exchange.path) is not None,
    )
    process = mirror.start("--multi", "S", *options)
    assert started.reached.wait(30)
    process.kill()
    process.communicate()
    server.put(b"/am-0123abcd-0123456789z0", b"of another mirror")
    (mirror.source / "am-0123abcd-0123456789z1.tmp").write_text("left in the source by a mirror of this folder")
    ran = mirror.run("--temp-name", "am-*.part")
    assert ran.code == 0, ran.said
    assert temporaries_of(server) == [b"/am-0123abcd-0123456789z0"]


def test_a_temporary_that_a_kill_left_whole_is_gone_after_the_name_was_changed(made: Make) -> None:
    server, mirror = made(refuses_dot_names)
    killed = server.on("RNFR", reactions.stay_silent)
    process = mirror.start("--multi", "S")
    assert killed.reached.wait(30)
    process.kill()
    process.communicate()
    assert temporaries_of(server) != []
    ran = mirror.run("--temp-name", "am-*.tmp")
    assert ran.code == 0, ran.said
    assert_same(mirror, server)


def test_a_name_is_found_with_few_commands(made: Make) -> None:
    server, mirror = made(refuses_dot_names)
    assert_mirrored(mirror, server, "--multi", "S")
    assert count(server, "STOR") <= 5 + 3
    assert not any(TEMPORARY.search(path) for path in server.history)


# Odd names of the source's own.


@pytest.mark.parametrize("mode", ["A2", "T2"])
def test_an_odd_folder_waits_for_no_upload_that_takes_long_and_nothing_else_waits_for_it(mode: str, made: Make) -> None:
    server, mirror = made()
    for number in range(40):
        mirror.write(f"site/\u00e4/{number}", "in an odd folder")
        mirror.write(f"site/plain/{number}", "in a plain one")
    release = threading.Event()
    held = server.on("STOR", reactions.reply_after(release), when=lambda exchange: exchange.path.count(b"/") == 1)
    process = mirror.start("--multi", mode, "--timeout", "60s")
    try:
        assert held.reached.wait(30)
        wanted = {f"/site/{folder}/{number}".encode() for folder in ("\u00e4", "plain") for number in range(40)}
        assert server.wait_until(lambda: wanted <= server.files.keys(), 60)
    finally:
        release.set()
    ran = ended(process)
    assert ran.code == 0, ran.said
    assert_same(mirror, server, ran.said)


@pytest.mark.parametrize(
    "traits",
    [
        (takes_backslashes_for_slashes, makes_folders_above),
        (takes_backslashes_for_slashes,),
        (lists_question_marks, lacks("MLSD", "MLST")),
        (alters_new_names(lambda name: name.replace(b"\\", b"_")),),
    ],
)
def test_nothing_stays_of_what_was_tried_however_the_server_alters_it(traits: tuple[Trait, ...], made: Make) -> None:
    server, mirror = made(*traits)
    mirror.write("back\\slash", "one")
    mirror.write("many\\back\\slashes\\", "two")
    ran = mirror.run()
    assert [path for path in (*server.files, *server.folders) if TEMPORARY.search(path)] == []
    assert {b"/index.html", b"/folder/b"} <= server.files.keys(), ran.said
    for path in (mirror.source / "back\\slash", mirror.source / "many\\back\\slashes\\"):
        assert path.read_bytes() in {file.content for file in server.files.values()} or path.name in ran.said


def test_a_server_that_removes_no_folders_keeps_no_odd_name_from_being_mirrored(made: Make) -> None:
    server, mirror = made()
    server.on("RMD", reactions.say(b"550 Permission denied."), None)
    ran = mirror.run()
    assert ran.code == 0, ran.said
    assert {"/caf\u00e9".encode(), "/\u00fcmlaut/c".encode()} <= server.files.keys()


def test_a_trial_that_was_cut_short_leaves_nothing_although_another_one_has_found_it_out_meanwhile(made: Make) -> None:
    server, mirror = made()
    busy = reactions.say(b"450 Busy.")
    for _ in range(2):
        server.on("MLSD", busy, when=lambda exchange: bool(TEMPORARY.search(exchange.path)))
    ran = mirror.run("--multi", "A2")
    assert ran.code == 0, ran.said
    assert "Busy" in ran.said
    assert temporaries_of(server) == []
