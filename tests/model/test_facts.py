"""Facts are told on, replaced by later ones alone, and found out by one at a time."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_mirror.model.facts import Fact, Facts

pytestmark = pytest.mark.smoke


def fact(name: str = "x", value: int = 1, generation: int = 1) -> Fact:
    return Fact("server", name, value, 60.0, generation)


def test_what_is_found_otherwise_is_of_a_later_generation() -> None:
    facts = Facts()
    assert facts.find(fact(value=1))
    assert not facts.find(fact(value=1))
    assert facts.find(fact(value=0))
    assert facts.log == [fact(value=1, generation=1), fact(value=0, generation=2)]
    assert facts.value("server", "x") == 0


def test_earlier_generation_replaces_nothing() -> None:
    facts = Facts([fact(value=0, generation=3)])
    assert not facts.learn([fact(value=1, generation=2), fact(value=1, generation=3)])
    assert facts.value("server", "x") == 0


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from("xyz"), st.integers(0, 3)), max_size=30))
def test_all_who_are_told_what_the_others_logged_know_the_same(found: list[tuple[int, str, int]]) -> None:
    hub, workers = Facts(), [Facts() for _ in range(3)]
    for who, name, value in found:
        workers[who].find(Fact("server", name, value, 60.0))
        hub.learn(workers[who].log)
        for worker in workers:
            worker.learn(hub.log)
    names = {name for _, name, _ in found}
    for worker in workers:
        assert [worker.value("server", name) for name in names] == [hub.value("server", name) for name in names]


def test_news_are_told_once() -> None:
    facts = Facts()
    facts.find(fact())
    assert facts.news() == [fact()]
    assert facts.news() == []
    facts.find(fact("y"))
    assert facts.news() == [fact("y")]


def test_one_at_a_time_may_find_something_out() -> None:
    facts = Facts()
    assert facts.claim("server", "x")
    assert not facts.claim("server", "x")
    assert facts.claim("server", "y")
    facts.release("server", "x")
    assert facts.claim("server", "x")


def test_only_the_first_of_several_copies_may_find_anything_out() -> None:
    facts = Facts([fact()])
    first, second = (pickle.loads(pickle.dumps(facts)) for _ in range(2))
    assert first.value("server", "x") == second.value("server", "x") == 1
    assert first.claim("server", "y")
    assert not second.claim("server", "y")
    assert not facts.claim("server", "y")
