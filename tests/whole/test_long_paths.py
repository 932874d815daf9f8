"""A path that is longer than the server's line is never sent, and told as that; the connection is not blamed."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults import reactions
from faults.reactions import ALWAYS
from faults.scripted import Exchange, Reaction, ScriptedServer
from servers import Kind, ServerFactory
from support.mirror import Mirror, assert_mirrored, contents, tree_of
from support.program import Program, names

LONG = "/".join(f"{level}{'d' * 199}" for level in range(3))


def test_end_of_a_long_line_is_never_taken_for_a_command(server_factory: ServerFactory, tmp_path: Path) -> None:
    program = Program(tmp_path, server_factory("inetutils"))
    (program.site / "keep.txt").write_text("somebody else's")
    program.server.adopt()
    start = f"{'a' * 200}/{'b' * 200}/"
    program.write(f"{start}{'c' * (511 - len('MKD ') - len(start))}DELE keep.txt/page.html", "page")
    program.write("other.txt", "other")
    ran = program.sync("--multi", "A2")
    assert ran.code == 1, ran.err
    assert {"keep.txt", "other.txt"} <= names(program.site)
    assert "path too long for this server" in ran.err
    assert "connection lost" not in ran.err


@pytest.mark.parametrize("kind", ["vsftpd", "proftpd", "pure-ftpd"])
def test_long_path_is_mirrored_where_the_server_takes_it(
    kind: Kind, server_factory: ServerFactory, tmp_path: Path
) -> None:
    program = Program(tmp_path, server_factory(kind))
    program.write(f"{LONG}/page.html", "page")
    ran = program.sync("--multi", "A2")
    assert ran.code == 0, ran.err
    assert (program.site / LONG / "page.html").read_text() == "page"


def is_long(exchange: Exchange) -> bool:
    return len(exchange.path) > 300


@pytest.mark.parametrize(
    "reaction", [reactions.close_before_replying, reactions.say(b"500 Line too long.")], ids=["closed", "500"]
)
def test_server_that_does_not_bear_a_long_line_mirrors_all_else(
    mirror: Mirror, server: ScriptedServer, reaction: Reaction
) -> None:
    mirror.write(f"{LONG}/page.html", "page")
    mirror.write("other.txt", "other")
    for verb in ("CWD", "MKD"):
        server.on(verb, reaction, times=ALWAYS, when=is_long)
    ran = mirror.run("--multi", "S")
    assert ran.code == 1, ran.said
    assert contents(tree_of(server)) == {b"other.txt": b"other"}
    assert "path too long for this server" in ran.said
    assert "1 failed (invalid name for FTP)" in ran.said


def test_one_cut_is_not_taken_for_a_line_that_is_too_long(mirror: Mirror, server: ScriptedServer) -> None:
    mirror.write(f"{LONG}/page.html", "page")
    server.on("CWD", reactions.close_before_replying, times=1, when=is_long)
    assert_mirrored(mirror, server)
