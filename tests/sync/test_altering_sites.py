"""Sites that alter what they are given, names or times: what they hold of ours is recognised, and not sent again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faults.scripted import ScriptedServer, Trait
from faults.sites import forgets_times, keeps_times_to, lower_cases_names
from faults.traits import lacks
from support.mirror import Mirror, answer_at_once, count, temporaries_of
from support.program import MTIME

Serve = Callable[..., ScriptedServer]
ODD: dict[str, tuple[Trait, ...]] = {
    "lower case": (lower_cases_names,),
    "lower case, no MLSD": (lower_cases_names, lacks("MLSD", "MLST")),
    "two seconds": (keeps_times_to(2),),
    "two seconds, no MLSD": (keeps_times_to(2), lacks("MLSD", "MLST")),
    "no times": (lacks("MFMT", "MDTM", "SITE"),),
    "says that it sets times": (forgets_times,),
    "all of it": (lower_cases_names, keeps_times_to(2)),
}


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
    assert mirror.run().code == 0
    sent = count(server, "STOR")
    for _ in range(2):
        ran = mirror.run("--rescan")
        assert ran.code == 0, ran.said
        assert count(server, "STOR") == sent, ran.said
        assert "left alone" not in ran.said
    mirror.write("README", "changed")
    ran = mirror.run()
    assert (ran.code, count(server, "STOR")) == (0, sent + 1), ran.said
    assert "in the place of others" not in ran.said
    assert not temporaries_of(server)


def test_new_state_tells_what_it_replaces_under_another_spelling(serve: Serve, tmp_path: Path) -> None:
    server = serve(lower_cases_names)
    server.site.put(b"/readme", b"theirs, and older")
    mirror = Mirror(tmp_path, server.port)
    mirror.write("README", "ours")
    ran = mirror.run()
    assert "(1 in the place of others on the site)" in ran.said
