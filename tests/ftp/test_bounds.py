"""Whatever a server sends without end, a run with little memory ends in time, says what it was, and does the rest."""

from __future__ import annotations

import re
from contextlib import suppress

import pytest
from faults import Refused, reactions
from faults.reactions import ALWAYS
from faults.scripted import Exchange, Reaction, ScriptedServer
from support.mirror import Mirror, contents, tree_of, with_memory


@pytest.fixture
def mirror(mirror: Mirror) -> Mirror:
    for number in range(3):
        mirror.write(f"file {number}", f"content {number}")
    return mirror


def without_end(piece: bytes, *, first: bytes = b"") -> Reaction:
    """Send this again and again, until the client gives up."""
    block = piece * max(1, (1 << 18) // len(piece))

    def react(exchange: Exchange) -> None:
        if exchange.verb == "RNTO":  # what it then says of it is true
            exchange.perform()
        exchange.connection.send(first)
        while exchange.connection.send(block):
            pass

    return react


def list_without_end(piece: bytes) -> Reaction:
    """Answer a listing with a data connection that never ends, until the client gives up."""
    block = piece * max(1, (1 << 18) // len(piece))

    def react(exchange: Exchange) -> None:
        with suppress(Refused), exchange.accepted(exchange.connection.announce_data()) as data:
            while True:
                data.sendall(block)

    return react


LINE, REPLY = "the server sent an endless line", "the server sent an endless reply"
REPLIES = {
    "line": (without_end(b"x", first=b"250 "), LINE),
    "line of a longer reply": (without_end(b"x", first=b"250-first\r\n"), LINE),
    "reply of long lines": (without_end(b"x" * 998 + b"\r\n", first=b"250-first\r\n"), REPLY),
    "reply of short lines": (without_end(b"ab\n", first=b"250-first\r\n"), REPLY),
    "reply of empty lines": (without_end(b"\n", first=b"250-first\r\n"), REPLY),
    "garbage": (without_end(b"\0\xff\n"), "the server's reply is not FTP"),
}
each_reply = pytest.mark.parametrize(("reaction", "said"), REPLIES.values(), ids=REPLIES)


@each_reply
def test_endless_reply_costs_a_connection_and_no_file(
    mirror: Mirror, server: ScriptedServer, reaction: Reaction, said: str
) -> None:
    server.on("STOR", reaction)
    ran = mirror.run("--multi", "A2", "--timeout", "20s", before=with_memory(200))
    assert ran.code == 0, ran.said
    assert f": {said}" in ran.said
    assert len(contents(tree_of(server))) == 3


@pytest.mark.parametrize("verb", ["CONNECT", "FEAT"])
@each_reply
def test_endless_reply_before_anything_is_done_ends_the_pass(
    mirror: Mirror, server: ScriptedServer, verb: str, reaction: Reaction, said: str
) -> None:
    server.on(verb, reaction, times=reactions.ALWAYS)
    ran = mirror.run("--retries", "0", "--timeout", "20s", before=with_memory(200))
    assert ran.code == 4, ran.said
    assert f"error     {said}" in ran.said
    assert len(ran.said) < 4000
    assert contents(tree_of(server)) == {}


@pytest.mark.parametrize("verb", ["CONNECT", "STOR", "RNTO"])
def test_preliminary_replies_without_end_are_no_answer(mirror: Mirror, server: ScriptedServer, verb: str) -> None:
    server.on(verb, without_end(b"150 Wait.\r\n"))
    ran = mirror.run("--multi", "S", "--timeout", "1s", before=with_memory(200))
    assert ran.code == 0, ran.said
    what = "connecting" if verb == "CONNECT" else verb
    assert f"the server was silent for 1 s after {what}" in ran.said
    assert len(contents(tree_of(server))) == 3


@pytest.mark.parametrize("verb", ["PWD", "STOR", "RNTO"])
def test_replies_without_end_that_nobody_asked_for_cost_a_connection_and_no_file(
    mirror: Mirror, server: ScriptedServer, verb: str
) -> None:
    mirror.write("gone", "gone")
    assert mirror.run().code == 0
    (mirror.source / "gone").unlink()
    mirror.write("new", "new")
    server.on(verb, without_end(b"250 Done.\r\n"))
    ran = mirror.run("-v", "--multi", "S", before=with_memory(200))
    assert mirror.run().code == 0, ran.said
    assert set(contents(tree_of(server))) == {b"file 0", b"file 1", b"file 2", b"new"}, ran.said
    assert ran.code == 0, ran.said
    noticed = re.search("replies out of order|unexpected reply from the server", ran.said)
    assert noticed or verb == "RNTO"  # after which a run may be over before anything more comes


@pytest.mark.few(2)
@pytest.mark.parametrize(
    "piece",
    [b"x" * 1000, b"type=file;size=1;modify=20260101000000; name\r\n", b"\n", b"type=file; /no/name\n"],
    ids=["a line", "names", "nothing", "odd names"],
)
def test_endless_listing_is_told_and_nothing_is_taken_for_its_content(
    mirror: Mirror, server: ScriptedServer, piece: bytes
) -> None:
    server.on("MLSD", list_without_end(piece))
    ran = mirror.run("--retries", "0", "--multi", "S", "--timeout", "60s", before=with_memory(800))
    assert ran.code == 1, ran.said
    assert "failed    /  connection lost: the server sent an endless listing\n" in ran.said
    assert len(contents(tree_of(server))) == 3
    again = mirror.run()
    assert again.code == 0, again.said


def test_long_replies_are_told_in_short(mirror: Mirror, server: ScriptedServer) -> None:
    server.on(
        "STOR", reactions.say(b"550-" + b"\r\n".join([b"x" * 1000] * 60) + b"\r\n550 End"), times=reactions.ALWAYS
    )
    ran = mirror.run("--multi", "S")
    assert ran.code == 1
    assert max(map(len, ran.said.splitlines())) < 1200
    assert ran.said.count("refused by the server: the server answered STOR with: 550 xxx") == 3


def test_many_names_that_no_site_may_have_are_told_in_short(mirror: Mirror, server: ScriptedServer) -> None:
    lies = b"".join(b"type=file;size=1; ../%d%s\r\n" % (number, b"x" * 5000) for number in range(2000))
    server.on("MLSD", reactions.send_listing(b"type=cdir; .\r\n" + lies), times=reactions.ALWAYS)
    ran = mirror.run()
    assert ran.code == 0, ran.said
    (line,) = [line for line in ran.said.splitlines() if "ignored invalid names in" in line]
    assert ": ../0xxx" in line
    assert " more" in line
    assert len(line) < 4000


def test_lines_that_cannot_be_read_are_told_in_short_and_nothing_is_taken_for_absent_there(
    mirror: Mirror, server: ScriptedServer
) -> None:
    assert mirror.run().code == 0
    lines = b"ls: \x1b[2Jthe disk is gone\r\n" + b"?" * 5000 + b"\r\n"
    server.on("MLSD", reactions.send_listing(b"type=cdir; .\r\n" + lines * 50), times=reactions.ALWAYS)
    ran = mirror.run("--rescan")
    (line,) = [line for line in ran.said.splitlines() if "unreadable lines" in line]
    assert "the listing of / has unreadable lines: ls: \\x1b[2Jthe disk is gone, ???" in line
    assert " more" in line
    assert len(line) < 4000
    assert "short" not in ran.said
    assert ran.code == 0, ran.said
    assert set(contents(tree_of(server))) == {b"file 0", b"file 1", b"file 2"}


def test_listing_that_dribbles_in_is_not_waited_for_much_longer_than_the_time_out(
    mirror: Mirror, server: ScriptedServer
) -> None:
    server.on("MLSD", reactions.dribble_listing(0.05), times=ALWAYS)
    ran = mirror.run("--timeout", "1s", "--retries", "0")
    assert ran.code == 1
    assert "the data connection failed: time-out" in ran.said
