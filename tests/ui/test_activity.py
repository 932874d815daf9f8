"""What can be told of a run from what was noted of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_mirror.ui.activity import FAILURES_KEPT, LANE_KEPT_S, RATE_OVER_S, SMALL, Activity, Errand

SIZES = st.integers(0, 10**12)


def activity(*sizes: int, scanned: bool = True) -> Activity:
    """Return what a pass looks like, begun at 0, that is to send files of these sizes."""
    begun = Activity()
    begun.begin(0.0)
    for size in sizes:
        begun.planned(size)
    begun.scanned = scanned
    return begun


def sent(seen: Activity, lane: int, path: str, size: int) -> None:
    """Send a file and be done with it."""
    seen.set_out(lane, Errand("uploading", path, size, 0.0))
    seen.advanced(lane, path, size)
    seen.came_back(lane, path)
    seen.finished(size)


# How far it is.


def test_bytes_under_way_count_as_they_leave() -> None:
    seen = activity(100, 50)
    seen.set_out(1, Errand("uploading", "a", 100, 0.0))
    seen.advanced(1, "a", 30)
    assert (seen.bytes_so_far, seen.bytes_done, seen.bytes_sent) == (30, 0, 30)


def test_more_bytes_than_a_file_has_are_no_progress() -> None:
    seen = activity(100, 50)
    seen.set_out(1, Errand("uploading", "a", 100, 0.0))
    seen.advanced(1, "a", 130)
    assert seen.bytes_so_far == 100


def test_bytes_of_a_file_that_the_lane_is_through_with_belong_to_no_other() -> None:
    seen = activity(100, 50)
    seen.set_out(1, Errand("uploading", "a", 100, 0.0))
    seen.set_out(1, Errand("uploading", "b", 50, 0.0))
    seen.advanced(1, "a", 100)
    seen.came_back(1, "a")
    assert seen.lanes[1].path == "b"
    assert seen.lanes[1].sent == 0


def test_progress_never_goes_back_while_it_is_watched() -> None:
    seen = activity(100, 50)
    seen.set_out(1, Errand("uploading", "a", 100, 0.0))
    seen.advanced(1, "a", 100)
    seen.sample(1.0)
    seen.set_out(1, Errand("uploading", "b", 50, 1.0))
    assert seen.bytes_so_far == 100
    seen.finished(100)
    seen.advanced(1, "b", 10)
    assert seen.bytes_so_far == 110


@given(st.lists(SIZES), st.lists(st.tuples(st.integers(1, 3), SIZES, SIZES)))
def test_what_is_done_is_never_more_than_the_whole(planned: list[int], errands: list[tuple[int, int, int]]) -> None:
    seen = activity(*planned)
    for now, (lane, size, amount) in enumerate(errands):
        before = seen.bytes_so_far
        seen.sample(float(now))
        seen.set_out(lane, Errand("uploading", "a", size, 0.0))
        seen.advanced(lane, "a", amount)
        assert before <= seen.bytes_so_far <= seen.bytes_total


# How fast it is.


def test_rates_are_of_the_last_seconds_only() -> None:
    seen = activity(*[1000] * 100)
    for second in range(51):
        seen.sample(float(second))
        for number in range(2 if second < 30 else 1):
            sent(seen, 1, f"{second}-{number}", 1000)
    seen.sample(51.0)
    assert seen.rates(51.0) == pytest.approx((1000.0, 1.0), rel=0.01)


def test_a_rate_falls_to_nothing_when_nothing_moves() -> None:
    seen = activity(1000, 1000)
    seen.sample(0.0)
    sent(seen, 1, "a", 1000)
    assert seen.rates(1.0) == (1000.0, 1.0)
    for tenth in range(1, int(RATE_OVER_S) * 10 + 20):
        seen.sample(tenth / 10)
    assert seen.rates(RATE_OVER_S + 2) == (0.0, 0.0)


def test_there_is_no_rate_before_there_are_two_moments_to_compare() -> None:
    seen = activity(1000)
    sent(seen, 1, "a", 1000)
    assert seen.rates(5.0) == (0.0, 0.0)
    seen.sample(5.0)
    assert seen.rates(5.0) == (0.0, 0.0)


def test_samples_do_not_pile_up() -> None:
    seen = activity(1)
    for tick in range(80_000):
        seen.sample(tick / 8)
    assert len(seen._samples) < 60


@pytest.mark.parametrize(("now", "speed"), [(0.0, 0.0), (-1.0, 0.0), (2.0, 50.0), (4.0, 25.0)])
def test_a_connection_is_as_fast_as_it_was_since_it_began(now: float, speed: float) -> None:
    assert Errand("uploading", "a", 200, 0.0, sent=100).bytes_per_s(now) == speed


# How long it takes.


def under_way(*sizes: int, seconds: int, scanned: bool = True) -> Activity:
    """Return a pass in which a file of 1,000 bytes is done every second, with these files still to come."""
    seen = activity(*[1000] * seconds, *sizes, scanned=scanned)
    for second in range(seconds):
        seen.set_out(1, Errand("uploading", str(second), 1000, float(second)))
        seen.sample(float(second))
        seen.advanced(1, str(second), 1000)
        seen.came_back(1, str(second))
        seen.finished(1000)
        seen.sample(second + 1.0)
    seen.set_out(1, Errand("uploading", "next", 1000, float(seconds)))
    seen.sample(float(seconds))
    return seen


def test_the_time_left_is_what_files_like_those_that_are_done_took() -> None:
    assert under_way(*[1000] * 30, seconds=10).seconds_left() == pytest.approx(30)


def test_the_time_left_is_not_told_while_there_may_be_more_to_do() -> None:
    seen = under_way(1000, seconds=10, scanned=False)
    assert seen.seconds_left() is None
    seen.scanned = True
    assert seen.seconds_left() is not None


def test_the_time_left_is_not_told_when_there_is_nothing_left() -> None:
    assert under_way(seconds=10).seconds_left() is None
    failing = under_way(1000, seconds=10)
    failing.finished(1000, done=False)
    assert failing.seconds_left() is None


def test_the_time_left_is_never_told_while_the_server_is_away() -> None:
    seen = under_way(1000, seconds=10)
    assert seen.seconds_left() is not None
    seen.lanes.clear()
    seen.retry(1, "connection refused", 12.0)
    assert seen.seconds_left() is None


def test_a_server_that_was_away_costs_no_file_its_time() -> None:
    seen = under_way(*[1000] * 30, seconds=10)
    seen.came_back(1, "next")
    for second in range(11, 600):
        seen.sample(float(second))
    assert seen.seconds_left() == pytest.approx(30, rel=0.1)


@given(st.lists(SIZES, max_size=20), st.integers(0, 20), st.floats(0, 1e6))
def test_the_time_left_is_never_negative(sizes: list[int], done: int, now: float) -> None:
    seen = activity(*sizes)
    seen.set_out(2, Errand("uploading", "large", 10**9, 0.0))
    seen.sample(0.0)
    for number, size in enumerate(sizes[:done]):
        sent(seen, 1, str(number), size)
    seen.sample(now)
    left = seen.seconds_left()
    assert left is None or left >= 0


# What is not done.


def test_what_failed_is_never_counted_as_done() -> None:
    seen = activity(100, 50, 30)
    seen.finished(100)
    seen.finished(50, done=False)
    assert (seen.files_done, seen.files_undone, seen.files_total) == (1, 1, 3)
    assert seen.bytes_so_far == 100


# Who is at work.


def test_a_connection_between_two_files_keeps_its_place_for_a_while() -> None:
    seen = activity(1, 1)
    seen.set_out(2, Errand("uploading", "a", 1, 0.0))
    seen.set_out(1, Errand("uploading", "b", 1, 0.0))
    seen.sample(0.0)
    seen.came_back(2, "a")
    seen.sample(0.5)
    assert seen.lanes_of_late(0.5) == [1, 2]
    assert not seen.is_idle(2, 0.5)
    assert seen.is_idle(2, 2.0)
    assert seen.lanes_of_late(LANE_KEPT_S - 0.1) == [1, 2]
    assert seen.lanes_of_late(LANE_KEPT_S) == [1]


def test_a_connection_at_work_is_never_idle_however_long_it_takes() -> None:
    seen = activity(1)
    seen.set_out(1, Errand("uploading", "a", 1, 0.0))
    assert seen.lanes_of_late(10_000.0) == [1]
    assert not seen.is_idle(1, 10_000.0)


def test_the_server_is_away_while_connections_are_opened_again_and_none_works() -> None:
    seen = activity(1)
    seen.retry(2, "the server does not answer", 5.0)
    assert (seen.is_away, seen.state) == (True, "unreachable")
    seen.set_out(1, Errand("uploading", "a", 1, 0.0))
    assert (seen.is_away, seen.state) == (False, "scanning")


def test_a_connection_that_is_opened_again_for_the_first_time_is_not_called_away() -> None:
    seen = activity(1)
    seen.retry(2, "", 5.0)
    assert seen.state == "scanning"


@pytest.mark.parametrize(("trouble", "state"), [("", "in sync"), ("failing since 14:03", "failing since 14:03")])
def test_between_passes_the_state_is_whether_the_last_one_mirrored_all(trouble: str, state: str) -> None:
    seen = activity(1)
    seen.rest(100.0, "pass: uploaded 1 file", trouble)
    assert seen.state == state


def test_a_connection_with_a_large_file_keeps_its_row_for_a_while() -> None:
    seen = activity(SMALL)
    seen.set_out(1, Errand("uploading", "a", SMALL, 0.0))
    seen.set_out(2, Errand("uploading", "b", SMALL - 1, 0.0))
    seen.sample(0.0)
    seen.came_back(1, "a")
    assert [seen.has_large(lane, LANE_KEPT_S - 1) for lane in (1, 2)] == [True, False]
    assert not seen.has_large(1, LANE_KEPT_S)


# From pass to pass.


def test_only_the_last_failures_are_kept_and_all_are_counted() -> None:
    seen = activity()
    for number in range(10):
        seen.fail(str(number))
    assert seen.failed == 10
    assert list(seen.failures) == ["7", "8", "9"][-FAILURES_KEPT:]


def test_at_rest_the_last_result_and_failures_stay_and_nobody_works() -> None:
    seen = activity(1)
    seen.set_out(1, Errand("uploading", "a", 1, 0.0))
    seen.sample(0.0)
    seen.fail("a  refused by the server")
    seen.rest(100.0, "pass: uploaded 1 file")
    assert (seen.resting_until, seen.last_result) == (100.0, "pass: uploaded 1 file")
    assert seen.lanes_of_late(0.1) == []
    assert list(seen.failures) == ["a  refused by the server"]


def test_a_new_pass_begins_with_nothing_but_the_last_result() -> None:
    seen = activity(100, 100)
    seen.sample(0.0)
    sent(seen, 1, "a", 100)
    seen.set_out(1, Errand("uploading", "b", 100, 0.0))
    seen.advanced(1, "b", 50)
    seen.sample(1.0)
    seen.fail("b  refused by the server")
    seen.retry(3, "no answer", 2.0)
    seen.folders_compared = 7
    seen.finished(100, done=False)
    seen.rest(100.0, "pass: uploaded 1 file", "failing since 14:03")
    seen.begin(100.0)
    expected = Activity()
    expected.begin(100.0)
    expected.passes, expected.last_result, expected.trouble = 2, "pass: uploaded 1 file", "failing since 14:03"
    assert seen == expected
    assert seen.rates(101.0) == (0.0, 0.0)
