"""What is taken for one server, and how its rungs are won, doubted and given back."""

from __future__ import annotations

import math
import time

import pytest

from async_mirror.ftp.known.features import Features
from async_mirror.ftp.known.identity import MOST_FINGERPRINTS
from async_mirror.ftp.known.list_ways import Known
from async_mirror.ftp.known.quirks import LONG_LINE
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
    assert seen(facts, second).known.level == 3


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
    assert seen(facts, **({"greeting": "220 (vsFTPd 3.0.3)"} | other)).known.level == 0  # type: ignore[arg-type]


def test_order_in_which_features_are_listed_does_not_matter() -> None:
    facts = Facts()
    proved(facts)
    assert seen(facts, features=("Features:", "SIZE", "MDTM", "End")).known.level == 3


def test_rung_is_not_tried_before_those_below_it_hold() -> None:
    facts = Facts()
    session = seen(facts)
    assert not session.rungs.may_prove(Rung.AHEAD)
    assert not session.rungs.may_prove(Rung.BEHIND)
    assert session.rungs.may_prove(Rung.TOGETHER)
    assert not seen(facts).rungs.may_prove(Rung.TOGETHER)
    session.rungs.proved(Rung.TOGETHER, holds=True)
    assert session.known.level == 1
    assert not session.rungs.may_prove(Rung.BEHIND)
    assert session.rungs.may_prove(Rung.AHEAD)


@pytest.mark.parametrize("rung", Rung)
def test_rung_that_is_given_back_takes_those_above_it_along_and_is_not_tried_again(rung: Rung) -> None:
    facts = Facts()
    session = proved(facts)
    assert session.rungs.give_back(rung, session.known.generations[rung])
    assert session.known.level == rung - 1
    assert not any(seen(facts).rungs.may_prove(each) for each in Rung)
    assert sum(fact.is_note for fact in facts.log) == 1


def test_write_that_left_before_a_rung_was_lost_and_won_again_cannot_give_it_back() -> None:
    facts = Facts()
    session = proved(facts)
    assert session.known.level == 3
    before = session.known.generations[Rung.BEHIND]
    assert session.rungs.give_back(Rung.BEHIND, before)
    session.rungs.proved(Rung.BEHIND, holds=True)
    assert not session.rungs.give_back(Rung.BEHIND, before)
    assert session.known.level == 3


def test_what_befalls_many_sessions_at_once_is_one_doubt_and_costs_no_rung() -> None:
    facts = Facts()
    proved(facts)
    sessions = [seen(facts) for _ in range(8)]
    assert [session.rungs.doubt(Rung.TOGETHER) for session in sessions] == [False] * 8
    assert sessions[0].known.level == 3
    assert seen(facts).known.level == 0  # until the proof was repeated


def test_proof_is_repeated_by_the_next_session_alone_and_the_rung_is_held() -> None:
    facts = Facts()
    proved(facts).rungs.doubt(Rung.BEHIND)
    first, second = seen(facts), seen(facts)
    assert first.rungs.may_prove(Rung.BEHIND)
    assert not second.rungs.may_prove(Rung.BEHIND)
    first.rungs.proved(Rung.BEHIND, holds=True)
    assert first.known.level == second.known.level == 3
    assert not seen(facts).rungs.may_prove(Rung.BEHIND)


def test_second_doubt_soon_after_the_first_gives_the_rung_back() -> None:
    facts = Facts()
    proved(facts).rungs.doubt(Rung.BEHIND)
    assert seen(facts).rungs.doubt(Rung.BEHIND)
    assert seen(facts).known.level == 2


def test_doubt_long_after_the_first_is_a_first_one() -> None:
    facts = Facts()
    proved(facts).rungs.doubt(Rung.BEHIND)
    session = seen(facts)
    assert session.rungs.may_prove(Rung.BEHIND)
    session.rungs.proved(Rung.BEHIND, holds=True)
    for _ in range(20):
        session.rungs.passed(Rung.BEHIND)
    assert not seen(facts).rungs.doubt(Rung.BEHIND)
    assert session.known.level == 3


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
    assert seen(facts, "220 another").known.level == 2
    assert seen(facts, "220 yet another").known.level == 2
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


def of_two(facts: Facts) -> tuple[Features, Features, Features]:
    """Return sessions with two servers of one address, and one that may be with either."""
    greetings = [f"220 {letter * 5}" for letter in "abcdef"]
    known = [seen(facts, greeting) for greeting in greetings[:MOST_FINGERPRINTS]]
    return known[0], known[1], seen(facts, greetings[-1])


def test_before_the_server_is_known_nothing_is() -> None:
    facts = Facts()
    seen(facts).have("HASH")
    session = Features(facts, SITE)
    assert (session.known.level, session.account.removal, session.hash_stands("HASH"), session.longest_line) == (
        0,
        0,
        0,
        250,
    )
    assert session.known.generations[Rung.TOGETHER] == 0
    assert (session.account.absent("SIZE"), session.too_long_line) == (None, math.inf)
    assert not session.has("HASH")
    assert not session.rungs.doubt(Rung.TOGETHER)
    assert not session.rungs.may_prove(Rung.TOGETHER)


def test_server_that_lists_no_features_is_told_from_its_greeting() -> None:
    facts = Facts()
    session = Features(facts, SITE)
    session.identity.read_features("220 ready", Reply(500, ("unknown",)))
    assert not session.recognise()
    session.identify(Reply(215, ("UNIX",)))
    assert (session.identity.lists, session.identity.offers) == (False, {})
    session.have("HASH")
    again = Features(facts, SITE)
    again.identity.read_features("220 ready", Reply(500, ("unknown",)))
    assert again.recognise()
    assert again.has("HASH")


def test_server_that_may_be_one_of_several_is_not_recognised_by_its_beginning() -> None:
    facts = Facts()
    for system in ("UNIX", "Windows_NT"):
        seen(facts, system=system)
    session = Features(facts, SITE)
    session.identity.read_features("220 ready", Reply(211, FEATURES))
    assert not session.recognise()


def test_proof_of_which_nothing_came_may_be_made_by_another() -> None:
    facts = Facts()
    session = seen(facts)
    assert session.rungs.may_prove(Rung.TOGETHER)
    session.rungs.proved(Rung.TOGETHER, holds=None)
    assert seen(facts).rungs.may_prove(Rung.TOGETHER)


def test_proof_that_fails_gives_the_rung_back_and_that_is_told_once() -> None:
    facts = Facts()
    session = proved(facts, Rung.TOGETHER)
    session.rungs.may_prove(Rung.AHEAD)
    session.rungs.proved(Rung.AHEAD, holds=False)
    assert not session.rungs.may_prove(Rung.AHEAD)
    assert not session.rungs.may_prove(Rung.BEHIND)
    assert [fact.told for fact in facts.log if fact.is_note] == [
        "this server does not support a data port asked for in advance: uploads are slower (next attempt in 7 days)"
    ]


def test_what_a_server_was_seen_to_do_is_known_to_all_sessions() -> None:
    facts = Facts()
    session = seen(facts)
    assert not session.has("MFMT")
    for _ in range(2):
        session.have("MFMT")
    assert session.has("MFMT")
    assert seen(facts).has("MFMT")
    assert seen(Facts()).has("SIZE")
    assert not seen(facts, "220 another").has("MFMT")


def test_command_that_is_found_lacking_is_lacking_at_once() -> None:
    session = seen(Facts())
    assert not session.lacks("SIZE")
    session.lack("SIZE")
    assert session.lacks("SIZE")


@pytest.mark.parametrize(("is_right", "stands"), [(True, 1), (False, -1)])
def test_hash_that_was_right_or_wrong_once_is_known_for_that(is_right: bool, stands: int) -> None:
    facts = Facts()
    seen(facts).found_hash("HASH SHA-256", is_right=is_right)
    assert seen(facts).hash_stands("HASH SHA-256") == stands
    assert facts.log[-1].told.endswith("right" if is_right else "wrong")


def test_odd_names_are_kept_by_a_server_that_was_seen_to_and_by_several_only_if_all_were() -> None:
    facts = Facts()
    first, second, either = of_two(facts)
    first.account.keeps(["^ "])
    assert "^ " in first.known.kept
    assert "^ " not in second.known.kept
    assert "^ " not in either.known.kept


def test_shape_of_temporary_names_is_that_of_the_account() -> None:
    facts = Facts()
    seen(facts).account.takes_shape(1)
    assert seen(facts).known.shape == 1
    assert facts.log[-1].told == ("this server refuses names like .am-….part: temporary files are named am-….part")


# What is not allowed.


def test_what_is_not_allowed_in_one_folder_is_known_of_that_one() -> None:
    session = seen(Facts())
    assert session.account.barred("a") == 0
    session.account.found_barred("a", 2, "")
    assert (session.account.barred("a"), session.account.barred("b")) == (2, 0)


def test_what_is_told_of_a_server_that_has_renamed_nothing_is_not_allowed_anywhere() -> None:
    session = seen(Facts())
    session.account.found_barred("a", 2, "nothing can be renamed")
    assert session.account.barred("b") == 2


def test_what_is_told_of_a_server_that_has_renamed_something_is_of_that_folder_alone() -> None:
    facts = Facts()
    for _ in range(2):
        seen(facts).account.renamed()
    session = seen(facts)
    session.account.found_barred("a", 2, "nothing can be renamed")
    assert (session.account.barred("a"), session.account.barred("b")) == (2, 0)


def test_what_is_not_allowed_and_cuts_by_chance_are_forgotten_with_the_pass() -> None:
    facts = Facts()
    session = seen(facts)
    known = facts.lasting()
    session.account.found_barred("a", 2, "")
    session.cut_at(LONG_LINE)
    session.rungs.doubt(Rung.TOGETHER)
    assert len(facts.log) > len(known)
    assert facts.lasting() == known


# What it answers, of one server and of several.


@pytest.mark.parametrize(
    ("found", "removal"),
    [((), 0), ((1,), 0), ((1, 1, 1, 1), 1), ((2,), 2), ((3, 2), 2), ((1, 3), 3), ((4,), 0)],
)
def test_removal_is_known_at_its_worst(found: tuple[int, ...], removal: int) -> None:
    facts = Facts()
    greetings = [f"220 {letter * 5}" for letter in "abcde"]
    sessions = [seen(facts, greeting) for greeting in greetings[:MOST_FINGERPRINTS]]
    for session, number in zip(sessions, found, strict=False):
        session.account.found_removal(number, "")
    assert seen(facts, greetings[-1]).account.removal == removal


def test_what_is_said_of_what_is_absent_is_known_only_if_all_servers_say_the_same() -> None:
    facts = Facts()
    sessions = [seen(facts, f"220 {letter * 5}") for letter in "abcd"[:MOST_FINGERPRINTS]]
    either = seen(facts, "220 eeeee")
    sessions[0].account.say_absent("SIZE", "550 %s: no such file")
    assert sessions[0].account.absent("SIZE") == "550 %s: no such file"
    assert sessions[1].account.absent("SIZE") is None
    assert either.account.absent("SIZE") is None
    for session in sessions[1:]:
        session.account.say_absent("SIZE", "550 %s: no such file")
    assert either.account.absent("SIZE") == "550 %s: no such file"
    sessions[1].account.say_absent("SIZE", "550 nothing")
    assert either.account.absent("SIZE") == ""


def test_ways_of_a_listing_are_known_only_if_all_servers_bear_the_same() -> None:
    facts = Facts()
    sessions = [seen(facts, f"220 {letter * 5}") for letter in "abcd"[:MOST_FINGERPRINTS]]
    either = seen(facts, "220 eeeee")
    sessions[0].account.list_ways = Known(True, None)
    assert sessions[0].account.list_ways == Known(True, None)
    assert either.account.list_ways == Known(None, None)
    for session in sessions[1:]:
        session.account.list_ways = Known(True, False)
    assert either.account.list_ways == Known(True, None)
    sessions[0].account.list_ways = Known(False, False)
    assert either.account.list_ways == Known(None, False)


# Lines.


def test_lines_that_were_taken_or_not_are_known() -> None:
    facts = Facts()
    session = seen(facts)
    session.line_taken(200)
    assert (session.longest_line, session.too_long_line) == (250, math.inf)
    session.line_taken(600)
    session.line_taken(400)
    session.line_not_taken(2000)
    session.line_not_taken(3000)
    assert (seen(facts).longest_line, seen(facts).too_long_line) == (600, 2000)


def test_one_cut_at_a_long_line_is_chance_unless_none_was_taken_since() -> None:
    facts = Facts()
    assert not seen(facts).cut_at(LONG_LINE)
    seen(facts).line_taken(600)
    assert not seen(facts).cut_at(LONG_LINE)
    assert seen(facts).cut_at(LONG_LINE)


# Data ports.


@pytest.mark.parametrize(
    ("offered", "blocked", "vain", "passive"),
    [
        (True, (), (), ("EPSV", "PASV")),
        (False, (), (), ("PASV",)),
        (True, ("EPSV",), (), ("PASV",)),
        (True, (), ("EPSV",), ("PASV", "EPSV")),
    ],
)
def test_best_way_to_a_port_is_the_one_that_leads_there(
    offered: bool, blocked: tuple[str, ...], vain: tuple[str, ...], passive: tuple[str, ...]
) -> None:
    session = seen(Facts())
    if not offered:
        session.lack("EPSV")
    if blocked:
        session.path.reached("PASV", blocked)
    session.path.in_vain(vain)
    assert session.known.passive == passive
    assert session.passive_command == passive[0]
    assert session.reaches("PASV") == bool(blocked)
    assert not session.reaches("EPSV")


def test_write_of_a_session_that_began_before_a_doubt_makes_up_for_none() -> None:
    facts = Facts()
    session = proved(facts)
    seen(facts).rungs.doubt(Rung.BEHIND)
    session.rungs.passed(Rung.BEHIND)
    assert seen(facts).known.level == 2


def test_nineteen_writes_make_up_for_no_doubt() -> None:
    facts = Facts()
    proved(facts).rungs.doubt(Rung.BEHIND)
    session = seen(facts)
    for _ in range(19):
        session.rungs.passed(Rung.BEHIND)
    assert seen(facts).rungs.doubt(Rung.BEHIND)


def test_server_that_answers_feat_lists_what_it_offers() -> None:
    assert seen(Facts()).identity.lists


def test_what_is_not_allowed_is_a_note() -> None:
    facts = Facts()
    seen(facts).account.found_barred("a", 2, "nothing can be renamed")
    assert facts.log[-1].is_note
