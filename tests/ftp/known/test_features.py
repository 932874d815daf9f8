"""What is taken for one server, and how its rungs are won, doubted and given back."""

from __future__ import annotations

import time

import pytest

from async_mirror.ftp.known.features import Features
from async_mirror.ftp.known.identity import MOST_FINGERPRINTS
from async_mirror.ftp.known.rungs import Rung
from async_mirror.ftp.wire.replies import Reply
from async_mirror.model.facts import Facts
from async_mirror.model.site import Site

pytestmark = pytest.mark.smoke

SITE = Site("ftp", "ftp.example", 21, "me", "")
FEATURES = ("Features:", "MDTM", "SIZE", "End")


def seen(
    facts: Facts, greeting: str = "220 ready", features: tuple[str, ...] = FEATURES, system: str = "UNIX"
) -> Features:
    """Return what a session may count on that was greeted so."""
    session = Features(facts, SITE)
    session.identity.read_features(greeting, Reply(211, features))
    session.recognise()
    session.identify(Reply(215, (system,)))
    return session


def proved(facts: Facts, *rungs: Rung, greeting: str = "220 ready") -> Features:
    session = seen(facts, greeting)
    for rung in rungs or Rung:
        assert session.rungs.may_prove(rung)
        session.rungs.proved(rung, holds=True)
    return session


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("220 Local time is now 13:05. Server port: 21.", "220 Local time is now 07:59. Server port: 21."),
        ("220 You are user number 1 of 50 allowed.", "220 You are user number 17 of 50 allowed."),
        ("220 node [3f0c9a11b2d4e6f8]", "220 node [99aa88bb77cc66dd]"),
        ("220 ProFTPD 1.3.8 [10.0.0.1] Mon Nov 30 2026", "220 ProFTPD 1.3.8 [10.0.0.2] Tue Dec 01 2026"),
        ("220 session 1b4e28ba-2fa1-11d2-883f-0016d3cca427", "220 session 6fa459ea-ee8a-3ca4-894e-db77e160355e"),
    ],
)
def test_what_varies_from_one_greeting_to_the_next_makes_no_other_server(first: str, second: str) -> None:
    facts = Facts()
    proved(facts, greeting=first)
    assert seen(facts, second).level == 3


@pytest.mark.parametrize(
    "other",
    [
        {"greeting": "220 (vsFTPd 3.0.5)"},
        {"features": ("Features:", "MDTM", "End")},
        {"system": "Windows_NT"},
    ],
)
def test_other_version_features_or_system_are_another_server(other: dict[str, str]) -> None:
    facts = Facts()
    proved(facts, greeting="220 (vsFTPd 3.0.3)")
    assert seen(facts, **({"greeting": "220 (vsFTPd 3.0.3)"} | other)).level == 0  # type: ignore[arg-type]


def test_order_in_which_features_are_listed_does_not_matter() -> None:
    facts = Facts()
    proved(facts)
    assert seen(facts, features=("Features:", "SIZE", "MDTM", "End")).level == 3


def test_rung_is_not_tried_before_those_below_it_hold() -> None:
    facts = Facts()
    session = seen(facts)
    assert not session.rungs.may_prove(Rung.AHEAD)
    assert not session.rungs.may_prove(Rung.BEHIND)
    assert session.rungs.may_prove(Rung.TOGETHER)
    assert not seen(facts).rungs.may_prove(Rung.TOGETHER)
    session.rungs.proved(Rung.TOGETHER, holds=True)
    assert session.level == 1
    assert not session.rungs.may_prove(Rung.BEHIND)
    assert session.rungs.may_prove(Rung.AHEAD)


@pytest.mark.parametrize("rung", Rung)
def test_rung_that_is_given_back_takes_those_above_it_along_and_is_not_tried_again(rung: Rung) -> None:
    facts = Facts()
    session = proved(facts)
    assert session.rungs.give_back(rung, session.known.generations[rung])
    assert session.level == rung - 1
    assert not any(seen(facts).rungs.may_prove(each) for each in Rung)
    assert sum(fact.is_note for fact in facts.log) == 1


def test_write_that_left_before_a_rung_was_lost_and_won_again_cannot_give_it_back() -> None:
    facts = Facts()
    session = proved(facts)
    assert session.level == 3
    before = session.known.generations[Rung.BEHIND]
    assert session.rungs.give_back(Rung.BEHIND, before)
    session.rungs.proved(Rung.BEHIND, holds=True)
    assert not session.rungs.give_back(Rung.BEHIND, before)
    assert session.level == 3


def test_what_befalls_many_sessions_at_once_is_one_doubt_and_costs_no_rung() -> None:
    facts = Facts()
    proved(facts)
    sessions = [seen(facts) for _ in range(8)]
    assert [session.rungs.doubt(Rung.TOGETHER) for session in sessions] == [False] * 8
    assert sessions[0].level == 3
    assert seen(facts).level == 0  # until the proof was repeated


def test_proof_is_repeated_by_the_next_session_alone_and_the_rung_is_held() -> None:
    facts = Facts()
    proved(facts).rungs.doubt(Rung.BEHIND)
    first, second = seen(facts), seen(facts)
    assert first.rungs.may_prove(Rung.BEHIND)
    assert not second.rungs.may_prove(Rung.BEHIND)
    first.rungs.proved(Rung.BEHIND, holds=True)
    assert first.level == second.level == 3
    assert not seen(facts).rungs.may_prove(Rung.BEHIND)


def test_second_doubt_soon_after_the_first_gives_the_rung_back() -> None:
    facts = Facts()
    proved(facts).rungs.doubt(Rung.BEHIND)
    assert seen(facts).rungs.doubt(Rung.BEHIND)
    assert seen(facts).level == 2


def test_doubt_long_after_the_first_is_a_first_one() -> None:
    facts = Facts()
    proved(facts).rungs.doubt(Rung.BEHIND)
    session = seen(facts)
    assert session.rungs.may_prove(Rung.BEHIND)
    session.rungs.proved(Rung.BEHIND, holds=True)
    for _ in range(20):
        session.rungs.passed(Rung.BEHIND)
    assert not seen(facts).rungs.doubt(Rung.BEHIND)
    assert session.level == 3


def test_proof_that_two_sessions_do_not_survive_is_not_made_again() -> None:
    facts = Facts()
    for given_back in (False, True):
        session = seen(facts)
        assert session.rungs.may_prove(Rung.TOGETHER)
        assert session.rungs.doubt(Rung.TOGETHER) is given_back
    assert not seen(facts).rungs.may_prove(Rung.TOGETHER)


def test_address_of_more_servers_than_one_may_tell_apart_gets_what_all_of_them_bear() -> None:
    facts = Facts()
    for number in range(MOST_FINGERPRINTS):
        proved(facts, *list(Rung)[: 3 if number else 2], greeting=f"220 {'abcde'[number] * 5}")
    assert seen(facts, "220 another").level == 2
    assert seen(facts, "220 yet another").level == 2
    assert not seen(facts, "220 one more").rungs.may_prove(Rung.BEHIND)


def test_command_that_the_server_says_it_has_is_lacking_for_one_session_only() -> None:
    facts = Facts()
    session = seen(facts)
    session.lack("SIZE")
    session.lack("SITE CHMOD")
    assert session.lacks("SIZE")
    assert not seen(facts).lacks("SIZE")
    assert seen(facts).lacks("SITE CHMOD")


def test_way_to_data_ports_is_known_of_the_address_and_not_of_the_server() -> None:
    facts = Facts()
    seen(facts).path.reached("PASV", ["EPSV"])
    other = seen(facts, "220 another")
    assert other.known.passive == ("PASV",)
    assert other.reaches("PASV")


@pytest.mark.parametrize("text", ["1" * 200_000 + "x", "a-" * 100_000, "1." * 100_000, "12:" * 70_000, "jan" * 70_000])
def test_hostile_greeting_costs_no_time(text: str) -> None:
    begun = time.perf_counter()
    seen(Facts(), f"220 {text}")
    assert time.perf_counter() - begun < 1
