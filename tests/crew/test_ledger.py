"""What becomes of an item after each attempt, without a loop, a lane or a clock."""

from __future__ import annotations

import pytest

from async_mirror.crew.ledger import DEATHS, EXCUSES, Ledger, Ticket
from async_mirror.crew.patience import Patience
from async_mirror.crew.work import Finished, Performed

AGAIN = Performed("refused", again=True)


def ledger(retries: int = 2) -> tuple[Ledger[str, str], Ticket[str, str]]:
    made: Ledger[str, str] = Ledger(Patience(retries=retries))
    return made, made.enter("item")


def test_an_item_that_was_done_ends_with_its_result_and_is_told_once() -> None:
    book, ticket = ledger()
    assert book.after(ticket, Performed("done"), excused=False, last=False) is None
    assert (book.outstanding, book.items) == (0, 1)
    assert book.finished() == [Finished("item", "done")]
    assert book.finished() == []


@pytest.mark.parametrize("retries", [0, 1, 5])
def test_an_item_is_tried_again_as_often_as_patience_says(retries: int) -> None:
    book, ticket = ledger(retries)
    pauses = [book.after(ticket, AGAIN, excused=False, last=False) for _ in range(retries + 1)]
    assert all(pause is not None and pause > 0 for pause in pauses[:-1])
    assert pauses[-1] is None
    assert book.finished() == [Finished("item", "refused")]


def test_an_excused_attempt_is_made_again_at_once_and_costs_none_of_the_retries() -> None:
    book, ticket = ledger(retries=1)
    assert [book.after(ticket, AGAIN, excused=True, last=False) for _ in range(EXCUSES)] == [0.0] * EXCUSES
    assert book.after(ticket, AGAIN, excused=True, last=False), "the excuses are used up, and this attempt counts"
    assert book.after(ticket, AGAIN, excused=True, last=False) is None


def test_the_last_attempt_ends_an_item_whatever_is_left_of_its_retries() -> None:
    book, ticket = ledger(retries=9)
    assert book.after(ticket, AGAIN, excused=False, last=True) is None
    assert book.outstanding == 0


def test_what_kills_one_worker_after_the_other_is_given_up_with_the_last_that_is_known_of_it() -> None:
    book, ticket = ledger()
    assert [book.died(ticket, "gone", f"lost {number}") for number in range(DEATHS)] == [True] * (DEATHS - 1) + [False]
    (finished,) = book.finished()
    assert finished == Finished("item", f"lost {DEATHS - 1}", f"gone, {DEATHS} times")


def test_an_item_that_is_given_up_ends_with_what_the_attempt_before_said() -> None:
    book, ticket = ledger()
    book.after(ticket, AGAIN, excused=False, last=False)
    book.give_up(ticket)
    assert book.finished() == [Finished("item", "refused")]


def test_an_item_that_no_attempt_saw_ends_unbegun() -> None:
    book, ticket = ledger()
    book.give_up(ticket)
    assert [finished.unbegun for finished in book.finished()] == [True]


def test_a_death_is_forgotten_once_an_attempt_was_heard_of() -> None:
    book, ticket = ledger()
    book.died(ticket, "gone", "lost")
    book.after(ticket, AGAIN, excused=False, last=False)
    book.give_up(ticket)
    assert book.finished() == [Finished("item", "refused")]


@pytest.mark.parametrize("attempt", [1, 2, 3, 10, 1000])
def test_pauses_double_with_jitter_up_to_a_limit(attempt: int) -> None:
    patience = Patience(first_seconds=0.5, most_seconds=30.0)
    longest = min(30.0, 0.5 * 2 ** min(attempt - 1, 20))
    assert all(longest / 2 <= patience.pause(attempt) <= longest for _ in range(100))
