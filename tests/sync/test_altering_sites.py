"""Sites that alter what they are given, names or times: what they hold of ours is recognised, and not sent again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faults.reactions import ALWAYS, say
from faults.scripted import ScriptedServer, Trait
from faults.sites import forgets_times, keeps_times_to, lower_cases_names
from faults.traits import lacks
from support.mirror import Mirror, answer_at_once, contents, count, temporaries_of, tree_of
from support.program import MTIME, tree

Serve = Callable[..., ScriptedServer]
TWO_SECONDS = "this server rounds modification times to two seconds"
NO_TIMES = "this server accepts modification times but does not show them as set"
CASE = "this server changes upper and lower case in names"
ODD: dict[str, tuple[Trait, ...]] = {
    "lower case": (lower_cases_names,),
    "lower case, no MLSD": (lower_cases_names, lacks("MLSD", "MLST")),
    "two seconds": (keeps_times_to(2),),
    "two seconds, no MLSD": (keeps_times_to(2), lacks("MLSD", "MLST")),
    "no times": (lacks("MFMT", "MDTM", "SITE"),),
    "says that it sets times": (forgets_times,),
    "all of it": (lower_cases_names, keeps_times_to(2)),
}
TOLD: dict[str, set[str]] = {
    "lower case": {CASE},
    "lower case, no MLSD": {CASE},
    "two seconds": {TWO_SECONDS},
    "two seconds, no MLSD": {TWO_SECONDS},
    "no times": set(),
    "says that it sets times": set(),  # seen and told when the first file was sent
    "all of it": {CASE, TWO_SECONDS},
}
"""What is told when the site is looked at again, once."""


@pytest.fixture
def serve() -> Iterator[Serve]:
    made: list[ScriptedServer] = []

    def make(*its: Trait) -> ScriptedServer:
        server = ScriptedServer(*its)
        answer_at_once(server)
        made.append(server)
        return server

    yield make
    for server in made:
        server.close()


@pytest.mark.parametrize("odd", ODD)
def test_nothing_tracked_is_sent_again(odd: str, serve: Serve, tmp_path: Path) -> None:
    server = serve(*ODD[odd])
    mirror = Mirror(tmp_path, server.port)
    for number, name in enumerate(("README", "Docs/Index.html", "Docs/Other", "plain", "Last")):
        mirror.write(name, f"{number}" * (number + 1), MTIME + number)
    ran = mirror.run()
    assert (ran.code, NO_TIMES in ran.said) == (0, odd == "says that it sets times"), ran.said
    sent = count(server, "STOR")
    for is_news in (True, False):
        ran = mirror.run("--rescan")
        assert ran.code == 0, ran.said
        assert {each for each in (TWO_SECONDS, NO_TIMES, CASE) if each in ran.said} == (TOLD[odd] if is_news else set())
        assert count(server, "STOR") == sent, ran.said
        assert "left alone" not in ran.said
    mirror.write("README", "changed")
    ran = mirror.run()
    assert (ran.code, count(server, "STOR")) == (0, sent + 1), ran.said
    assert "overwritten" not in ran.said
    assert not temporaries_of(server)


def test_a_file_that_was_written_just_now_proves_no_times(serve: Serve, tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, serve(forgets_times).port)
    mirror.write("now", "its time is that of its upload", int(time.time()))
    assert NO_TIMES not in mirror.run().said
    mirror.write("before", "its time is another one", MTIME)
    assert NO_TIMES in mirror.run().said


@pytest.mark.parametrize("answer", [b"450 Busy.", b"550 Permission denied."])
def test_a_time_that_was_not_told_once_is_no_proof_against_a_server(
    serve: Serve, tmp_path: Path, answer: bytes
) -> None:
    server = serve(lacks("MLSD", "MLST"))
    server.on("MDTM", say(answer), when=lambda exchange: b" " not in exchange.argument)
    mirror = Mirror(tmp_path, server.port, options=("--multi", "S"))
    for name, asked in (("first", 1), ("second", 2), ("third", 2)):
        mirror.write(name, name)
        ran = mirror.run()
        assert (ran.code, NO_TIMES in ran.said) == (0, False), ran.said
        assert count(server, "MDTM") == asked, "asked until it was told, and then no more"


def test_a_file_that_is_written_in_place_proves_times_too(serve: Serve, tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, serve(forgets_times).port, options=("--in-place",))
    mirror.write("file", "content")
    assert NO_TIMES in mirror.run().said


def test_new_state_tells_what_it_replaces_under_another_spelling(serve: Serve, tmp_path: Path) -> None:
    server = serve(lower_cases_names)
    server.site.put(b"/readme", b"theirs, and older")
    mirror = Mirror(tmp_path, server.port)
    mirror.write("README", "ours")
    ran = mirror.run()
    assert "(1 overwritten)" in ran.said


@pytest.mark.parametrize("its", [(), (lacks("MLSD", "MLST"),)], ids=["MLSD", "LIST"])
def test_what_a_site_without_times_holds_already_is_compared_by_content_if_it_is_small(
    its: tuple[Trait, ...], serve: Serve, tmp_path: Path
) -> None:
    server = serve(*its, *ODD["no times"])
    mirror = Mirror(tmp_path, server.port)
    for name in ("same", "other"):
        mirror.write(name, f"content of {name}")
        server.site.put(f"/{name}".encode(), f"content of {name}".encode())
    server.site.put(b"/other", b"cOntent of other")
    mirror.write("large", b"x" * 70_000)
    server.site.put(b"/large", b"x" * 70_000)
    planned = mirror.run("--dry-run")
    assert count(server, "STOR") == 0
    ran = mirror.run()
    assert ran.code == 0, ran.said
    assert count(server, "STOR") == 2
    assert contents(tree_of(server)) == contents(tree(mirror.source))
    for said in (planned.said, ran.said):
        assert "1 file uploaded: the site has no usable modification times to compare" in said
        assert "hint      --existing-equal size takes files of the same size as equal" in said
    assert mirror.run("--rescan").code == 0
    assert count(server, "STOR") == 2


def test_a_file_that_cannot_be_read_back_is_sent(serve: Serve, tmp_path: Path) -> None:
    server = serve(*ODD["no times"])
    server.on("RETR", say(b"550 Permission denied."), ALWAYS)
    mirror = Mirror(tmp_path, server.port)
    mirror.write("same", "content")
    server.site.put(b"/same", b"content")
    ran = mirror.run()
    assert (ran.code, count(server, "STOR")) == (0, 1), ran.said
