"""When the next full pass is due, whatever wakes the mirror in between."""

import pytest

from async_mirror.engine import (
    FIRST_RETRY_SECONDS,
    GUARDED_SECONDS,
    LOGIN_RETRY_SECONDS,
    LONGEST_RETRY_SECONDS,
    Exit,
    Schedule,
)

EVERY = 900.0
BEGUN = 1000.0


def schedule(*passes: tuple[Exit, float, bool]) -> Schedule:
    """Return what passes leave: how each ended, how long after the beginning, and whether it looked at everything."""
    made = Schedule(EVERY, BEGUN)
    for code, after, whole in passes:
        made.ended(code, BEGUN + after, whole=whole)
    return made


def test_the_first_pass_is_due_at_once() -> None:
    assert schedule().left(BEGUN) == 0


@pytest.mark.parametrize(("after", "due"), [(5, EVERY), (EVERY - 1, EVERY), (EVERY, 2 * EVERY), (4000, 5 * EVERY)])
def test_full_passes_begin_so_far_apart_and_what_is_late_is_skipped(after: float, due: float) -> None:
    assert schedule((Exit.MIRRORED, after, True)).due == pytest.approx(BEGUN + due)


@pytest.mark.parametrize("code", [Exit.MIRRORED, Exit.PARTLY, Exit.SAFETY])
def test_a_pass_over_a_few_folders_does_not_move_the_next_full_pass(code: Exit) -> None:
    made = schedule((Exit.MIRRORED, 5, True), (code, 850, False), (code, 950, False))
    assert made.due == BEGUN + EVERY
    assert made.left(BEGUN + 950) == 0


def test_a_pass_that_was_asked_for_leaves_the_schedule_as_it_is() -> None:
    assert schedule((Exit.MIRRORED, 5, True), (Exit.MIRRORED, 300, True)).due == pytest.approx(BEGUN + EVERY)


@pytest.mark.parametrize("whole", [True, False])
def test_a_server_that_is_away_is_tried_again_soon_and_left_in_peace_until_then(whole: bool) -> None:
    made = schedule((Exit.MIRRORED, 5, True), (Exit.CONNECTION, 50, whole))
    assert FIRST_RETRY_SECONDS / 2 <= made.left(BEGUN + 50) <= FIRST_RETRY_SECONDS
    assert made.left_for_changes(BEGUN + 50) == made.left(BEGUN + 50)
    made.ended(Exit.MIRRORED, BEGUN + 70, whole=True)
    assert made.left_for_changes(BEGUN + 70) == 0
    assert made.due == pytest.approx(BEGUN + EVERY)


@pytest.mark.parametrize("code", [Exit.CONNECTION, Exit.STATE])
def test_a_server_that_stays_away_is_tried_at_least_once_an_hour_but_ever_less_often(code: Exit) -> None:
    made = Schedule(86400.0, BEGUN)
    for _ in range(12):
        made.ended(code, BEGUN, whole=True)
    assert LONGEST_RETRY_SECONDS / 2 <= made.left(BEGUN) <= LONGEST_RETRY_SECONDS


def test_a_state_without_room_is_tried_again_soon() -> None:
    made = schedule((Exit.MIRRORED, 5, True), (Exit.STATE, 50, True))
    assert FIRST_RETRY_SECONDS / 2 <= made.left(BEGUN + 50) <= FIRST_RETRY_SECONDS


@pytest.mark.parametrize("whole", [True, False])
def test_a_login_that_was_refused_is_not_tried_again_soon_whatever_changes(whole: bool) -> None:
    made = schedule((Exit.MIRRORED, 5, True), (Exit.LOGIN, EVERY - 1, whole))
    assert made.left(BEGUN + EVERY) >= LOGIN_RETRY_SECONDS / 2 - 1
    assert made.left_for_changes(BEGUN + EVERY) == made.left(BEGUN + EVERY)


@pytest.mark.parametrize("whole", [True, False])
def test_after_a_guard_tripped_changes_wait_a_while_but_not_longer_than_the_next_full_pass(whole: bool) -> None:
    made = schedule((Exit.MIRRORED, 5, True), (Exit.SAFETY, 50, whole))
    assert made.left_for_changes(BEGUN + 50) == GUARDED_SECONDS
    made.ended(Exit.MIRRORED, BEGUN + 100, whole=True)
    assert made.left_for_changes(BEGUN + 100) == 0
    made.ended(Exit.SAFETY, BEGUN + EVERY - 1, whole=False)
    assert made.left_for_changes(BEGUN + EVERY - 1) == made.left(BEGUN + EVERY - 1) == 1
