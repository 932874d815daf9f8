"""What a pass leaves in the state for whoever asks later."""

import pytest

from async_mirror.ui.last_pass import MOST_CHARACTERS, MOST_FAILURES, LastPass, left_by
from async_mirror.ui.summary import Counts

NOW = 1_800_000_000.0
BROKEN = '[1, 2, "mirrored", 3, "", ["why"], [{"path": "a"}]]'


def test_what_a_pass_leaves_reads_back() -> None:
    counts = Counts(seconds=2.5, halts=["the source is empty"], trouble="no connection")
    counts.first_failures.append({"path": "a", "problem": "was refused", "detail": "550 no"})
    left = left_by(counts, "safety", NOW, None)
    assert LastPass.read(str(left)) == left
    assert left.why == ("the source is empty", "no connection")
    assert left.failures == ({"path": "a", "problem": "was refused", "detail": "550 no"},)


def test_passes_that_end_alike_keep_the_time_of_the_first_of_them() -> None:
    first = left_by(Counts(trouble="gone"), "connection", NOW, None)
    second = left_by(Counts(trouble="still gone"), "connection", NOW + 60, first)
    assert (second.since, second.ended) == (NOW, NOW + 60)
    assert left_by(Counts(), "mirrored", NOW + 120, second).since == NOW + 120


def test_a_pass_that_was_interrupted_is_not_taken_for_one_that_mirrored_everything() -> None:
    assert left_by(Counts(interrupted=True), "mirrored", NOW, None).result == "interrupted"


def test_what_is_left_is_bounded_whatever_failed() -> None:
    failure = {"path": "p" * 5_000, "problem": "was refused", "detail": "d" * 100_000}
    counts = Counts(first_failures=[failure] * 200, trouble="t" * 100_000)
    left = left_by(counts, "partly", NOW, None)
    assert len(str(left)) < MOST_FAILURES * 3 * MOST_CHARACTERS * 2
    assert left.failures[0]["detail"].endswith("d…")


@pytest.mark.parametrize(
    "text", [None, "", "nonsense", "[]", "[1]", BROKEN, '[1, "x", "", 3, "", [], []]', "{}", "NaN"]
)
def test_a_damaged_memory_of_the_last_pass_is_read_as_none(text: str | None) -> None:
    assert LastPass.read(text) is None


def test_times_that_are_no_times_are_no_pass() -> None:
    assert LastPass.read('[Infinity, 1, "mirrored", 1, "", [], []]') is None
