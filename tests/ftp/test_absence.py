"""What is not there, and what only looks so: no code of a reply means by itself that a name is free."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faults import reactions
from faults.exchange import Behaviour, Exchange
from faults.scripted import ScriptedServer, Trait
from faults.sites import hides_dot_names, hides_names
from faults.traits import instead, lacks, refuses_with, when_absent
from servers import REAL, ZOO, KeptServer, Kind
from support.messages import told
from support.mirror import Mirror, answer_at_once
from support.program import Program, Result

from async_mirror.ftp.wire.absence import is_like, pattern_of
from async_mirror.ftp.wire.replies import Reply

THEIRS, OURS = "theirs, which is longer", "ours"
MOST = 1 << 20
RANDOM = "am-absent-0123456789abcdef"
REPLACES = "overwrites a different file"
Serve = Callable[..., ScriptedServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Make scripted servers of these traits, and close them."""
    made: list[ScriptedServer] = []

    def make(*its: Trait) -> ScriptedServer:
        server = ScriptedServer(*its)
        answer_at_once(server)
        made.append(server)
        return server

    yield make
    for server in made:
        server.close()


def said(result: Result) -> str:
    return result.out + result.err


def always(reply: bytes) -> Callable[[Exchange, Behaviour], bytes]:
    return lambda exchange, usual: reply


def asked_of_nothing(server: ScriptedServer) -> int:
    return sum("am-absent-" in line for line in server.commands())


# What is said.


@pytest.mark.parametrize(
    ("said", "of"),
    [
        ("550 No such file or directory.", "No such file or directory."),
        ("550 /root/am-absent-0123456789abcdef: not a plain file.", "/root/a/b: not a plain file."),
        ("450 'am-absent-0123456789abcdef'?", "'b'?"),
        ("550 \udce9trange: am-absent-0123456789abcdef", "\udce9trange: b"),
    ],
)
def test_what_is_said_of_nothing_is_known_again_with_another_name(said: str, of: str) -> None:
    code, text = int(said[:3]), said[4:]
    pattern = pattern_of(Reply(code, (text,)), ["/root/" + RANDOM, RANDOM])
    names = ["/root/a/b", "a/b", "b"]
    assert is_like(pattern, Reply(code, (of,)), names)
    assert not is_like(pattern, Reply(code + 1, (of,)), names)
    assert not is_like(pattern, Reply(code, (of + " b",)), names)


@pytest.mark.parametrize(
    "said", ["213 0", "550 Permission denied", "550 No such file, or access denied", "502 Unknown", "450 Try again"]
)
def test_what_may_be_said_of_something_else_tells_nothing_of_absence(said: str) -> None:
    assert not pattern_of(Reply(int(said[:3]), (said[4:],)), [RANDOM])


# Not listed is not absent.


@pytest.mark.few(4)
@pytest.mark.parametrize("kind", [*REAL, "pyftpdlib", "aioftp", *ZOO])
def test_file_of_others_that_came_between_two_passes_is_told_as_replaced(
    kind: Kind, kept_server: KeptServer, tmp_path: Path
) -> None:
    server = kept_server(kind)
    program = Program(tmp_path, server)
    program.write("first", "there before")
    assert program.sync().code == 0
    for name in ("mine", "free"):
        program.write(name, OURS)
    (server.docroot / "mine").write_text(THEIRS)
    server.adopt()

    failed = program.sync("--existing", "fail")
    assert (failed.code, (server.docroot / "mine").read_text()) == (1, THEIRS), said(failed)
    assert "mine  already on the site (--existing fail)" in said(failed)
    assert (server.docroot / "free").read_text() == OURS
    skipped = program.sync("--existing", "skip")
    assert (skipped.code, (server.docroot / "mine").read_text()) == (0, THEIRS), said(skipped)
    assert "1 existing file skipped" in said(skipped)
    planned = program.sync("--dry-run")
    assert REPLACES in said(planned), said(planned)
    replaced = program.sync()
    assert (replaced.code, (server.docroot / "mine").read_text()) == (0, OURS), said(replaced)
    assert said(replaced).count(REPLACES) == 1
    assert "(1 overwritten)" in said(replaced)
    assert "possibly overwritten" not in said(replaced)


ODD: dict[str, tuple[Trait, ...]] = {
    "451 for nothing": (refuses_with(b"451 Error: No such file or directory."), lacks("MLSD", "MLST")),
    "450 for nothing": (when_absent("SIZE", b"450 Failed to get size of file"), lacks("MLSD", "MLST")),
    "501 for nothing": (when_absent("MLST", b"501 Not a valid pathname."), lacks("SIZE")),
    "SIZE forbidden": (instead(always(b"550 Permission denied."), "SIZE"),),
    "SIZE and MLST forbidden": (instead(always(b"550 Permission denied."), "SIZE", "MLST"),),
    "SIZE says nothing": (instead(always(b"550 Failed."), "SIZE"), lacks("MLST", "MLSD")),
    "213 without a number": (instead(always(b"213 File status"), "SIZE"),),
    "no SIZE, no MLST": (lacks("SIZE", "MLST", "MLSD"),),
    "lists nothing": (hides_names(b""),),
}


@pytest.mark.parametrize("odd", ODD)
def test_name_is_looked_up_in_the_next_way_where_one_does_not_tell(odd: str, serve: Serve, tmp_path: Path) -> None:
    server = serve(*ODD[odd])
    mirror = Mirror(tmp_path, server.port)
    mirror.write("folder/first", "there before")
    ran = mirror.run()
    assert ran.code == 0, ran.said
    for name in ("mine", "free"):
        mirror.write(f"folder/{name}", OURS)
    server.site.put(b"/folder/mine", THEIRS.encode())
    ran = mirror.run()
    assert ran.code == 0, ran.said
    assert ran.said.count(REPLACES) == 1
    assert "possibly overwritten" not in ran.said
    mirror.write("folder/another", OURS)
    before = asked_of_nothing(server)
    assert mirror.run().code == 0
    may_pass = odd == "SIZE and MLST forbidden"  # of the root, too
    assert (asked_of_nothing(server) > before) == may_pass, "it was remembered what the server says of nothing"


@pytest.mark.parametrize("existing", ["overwrite", "skip", "fail"])
def test_name_of_which_the_server_tells_nothing_is_counted_as_such(existing: str, serve: Serve, tmp_path: Path) -> None:
    server = serve(instead(always(b"550 Permission denied."), "LIST", "MLSD", "MLST"))
    mirror = Mirror(tmp_path, server.port)
    mirror.write("first", "there before")
    mirror.run()
    server.behaviours["SIZE"] = lambda exchange: (
        b"213 4" if exchange.path.endswith(b".part") else b"550 Permission denied."
    )
    mirror.write("second", OURS)
    ran = mirror.run("--existing", existing)
    assert ("1 possibly overwritten (the server does not say)" in ran.said) == (existing == "overwrite"), ran.said
    assert (b"/second" in server.files) == (existing == "overwrite")


def test_dot_name_is_asked_for_where_listings_hide_such_names(serve: Serve, tmp_path: Path) -> None:
    server = serve(hides_dot_names)
    server.site.put(b"/.theirs", THEIRS.encode())
    mirror = Mirror(tmp_path, server.port)
    mirror.write(".theirs", OURS)
    mirror.write("plain", OURS)
    ran = mirror.run()
    assert ran.said.count(REPLACES) == 1, ran.said
    assert not any(line == "SIZE plain" for line in server.commands())


def test_file_above_a_mebibyte_is_asked_for_before_it_is_sent(serve: Serve, tmp_path: Path) -> None:
    server = serve()
    mirror = Mirror(tmp_path, server.port)
    mirror.write("first", "there before")
    assert mirror.run().code == 0
    server.site.put(b"/large", THEIRS.encode())
    mirror.write("large", "x" * (MOST + 1))
    assert REPLACES in mirror.run().said
    verbs = [line.split(" ")[0] for line in server.commands() if line.startswith(("STOR", "SIZE large"))]
    assert verbs[-2:] == ["SIZE", "STOR"]


def test_target_of_a_rename_is_asked_for(serve: Serve, tmp_path: Path) -> None:
    server = serve()
    mirror = Mirror(tmp_path, server.port)
    for name in ("one", "two"):
        mirror.write(name, OURS + name)
    assert mirror.run().code == 0
    server.site.put(b"/taken", THEIRS.encode())
    os.rename(mirror.source / "one", mirror.source / "taken")
    os.rename(mirror.source / "two", mirror.source / "free")
    ran = mirror.run("--existing", "fail")
    assert (ran.code, server.files[b"/taken"].content) == (1, THEIRS.encode()), ran.said
    assert server.files[b"/free"].content == (OURS + "two").encode()
    ran = mirror.run()
    assert (ran.code, server.files[b"/taken"].content) == (0, (OURS + "one").encode()), ran.said
    assert REPLACES in ran.said


def test_folder_that_can_be_neither_listed_nor_entered_is_not_taken_for_absent(serve: Serve, tmp_path: Path) -> None:
    server = serve()
    mirror = Mirror(tmp_path, server.port)
    mirror.write("shut/file", OURS)
    assert mirror.run().code == 0
    shut = [verb for verb in ("MLSD", "LIST", "CWD") if verb in server.behaviours]
    for verb in shut:
        usual = server.behaviours[verb]
        server.behaviours[verb] = lambda exchange, usual=usual: (  # type: ignore[misc]
            b"550 Permission denied." if exchange.path.startswith(b"/shut") else usual(exchange)
        )
    ran = mirror.run("--rescan")
    assert "shut  refused by the server" in ran.said, ran.said
    assert "uploaded  " not in ran.said


def test_every_word_about_names_of_others_is_explained() -> None:
    assert "already on the site (--existing fail)" in told()


LOST = {
    "cut": reactions.close_before_replying,
    "reset": reactions.reset_before_replying,
    "silent": reactions.perform_then_stay_silent,
}


@pytest.mark.parametrize("lost", LOST)
@pytest.mark.parametrize("again", [True, False], ids=["tried again", "in the next pass"])
@pytest.mark.parametrize("theirs", [True, False], ids=["theirs", "free"])
def test_what_an_attempt_of_our_own_may_have_left_is_not_told_as_that_of_others(
    lost: str, again: bool, theirs: bool, serve: Serve, tmp_path: Path
) -> None:
    server = serve()
    mirror = Mirror(tmp_path, server.port)
    mirror.write("first", "there before")
    assert mirror.run().code == 0
    if theirs:
        server.site.put(b"/new", THEIRS.encode())
    mirror.write("new", OURS)
    server.on("RNTO", LOST[lost], times=1)
    told = mirror.run(*([] if again else ["--retries", "0"])).said
    mirror.write("new", "ours, and another one")
    later = mirror.run()
    assert server.files[b"/new"].content == b"ours, and another one", later.said
    assert REPLACES not in later.said
    if again:
        assert (REPLACES in told) == theirs
