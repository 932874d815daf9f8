"""A site without room: uploads pause, what may go is deleted, one upload is tried, the rest is told in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults import reactions
from faults.reactions import ALWAYS
from faults.scripted import ScriptedServer
from faults.sites import has_room_for
from support.mirror import Mirror, answer_at_once, assert_same, contents, count, temporaries_of, tree_of

QUOTA, FAILURE = b"552 Quota exceeded.", b"451 Failure writing to local file."


@pytest.mark.parametrize("reply", [QUOTA, FAILURE])
@pytest.mark.parametrize("multi", ["S", "A3", "T2", "P2"])
def test_full_site_is_not_asked_for_each_of_many_files(tmp_path: Path, reply: bytes, multi: str) -> None:
    with ScriptedServer(has_room_for(1000, reply)) as server:
        answer_at_once(server)
        mirror = Mirror(tmp_path, server.port)
        for number in range(200):
            mirror.write(f"{number % 70}/{number}.bin", b"x" * 100)
        ran = mirror.run("--multi", multi)
        assert ran.code == 1, ran.said
        assert len(contents(tree_of(server))) in {9, 10}, ran.said
        assert count(server, "STOR") < 40, "200 uploads were tried on a full site"
        assert ran.said.count("the site is full") == 1, ran.said
        assert not temporaries_of(server)


def test_deletions_make_room_for_what_waits(tmp_path: Path) -> None:
    with ScriptedServer(has_room_for(1100, FAILURE)) as server:
        answer_at_once(server)
        mirror = Mirror(tmp_path, server.port)
        for number in range(10):
            mirror.write(f"old/{number}.bin", b"o" * 100)
        assert mirror.run().code == 0
        for number in range(10):
            (mirror.source / f"old/{number}.bin").unlink()
            mirror.write(f"{number % 5}/{number}.bin", b"n" * 100)
        ran = mirror.run("--multi", "A2")
        assert ran.code == 0, ran.said
        assert_same(mirror, server, ran.said)


def test_a_file_that_is_refused_alone_costs_no_other(mirror: Mirror, server: ScriptedServer) -> None:
    for number in range(20):
        mirror.write(f"folder/{number}.bin", b"x" * 100)
    mirror.write("folder/large.bin", b"x" * 999)
    server.on("STOR", reactions.say(QUOTA), times=1)
    ran = mirror.run("--multi", "S")
    assert ran.code == 1, ran.said
    assert len(contents(tree_of(server))) == 20, ran.said
    assert "the site is full" not in ran.said
    assert ran.said.count("no space on the site:") >= 1


def test_a_local_error_in_one_folder_alone_is_not_taken_for_a_full_site(mirror: Mirror, server: ScriptedServer) -> None:
    for number in range(12):
        mirror.write(f"sick/{number}.bin", "x")
        mirror.write(f"well/{number}.bin", "x")
    server.on("STOR", reactions.say(FAILURE), times=ALWAYS, when=lambda exchange: b"/sick/" in exchange.path)
    ran = mirror.run("--multi", "S", "--retries", "0")
    assert ran.code == 1, ran.said
    assert set(contents(tree_of(server))) == {b"well/%d.bin" % number for number in range(12)}
    assert "the site is full" not in ran.said


def test_folders_with_names_that_are_in_every_reply_are_told_apart_all_the_same(tmp_path: Path) -> None:
    with ScriptedServer(has_room_for(1000, FAILURE)) as server:
        answer_at_once(server)
        mirror = Mirror(tmp_path, server.port)
        for number in range(100):
            mirror.write(f"{['4', '5', '1', 'a', 'e', 'local', 'file'][number % 7]}/{number}.bin", b"x" * 100)
        ran = mirror.run("--multi", "S")
        assert ran.code == 1, ran.said
        assert ran.said.count("the site is full") == 1, ran.said
