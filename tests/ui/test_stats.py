"""Where there is no display, a long pass prints a line now and then, and a short one none."""

import asyncio
import logging
import time
from collections.abc import Iterator

import pytest

from async_mirror.ui.activity import LISTING, UPLOADING, Activity, Errand
from async_mirror.ui.stats import Stats, progress


@pytest.fixture(autouse=True)
def _heard(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    log = logging.getLogger("async_mirror")
    propagates, log.propagate = log.propagate, False
    log.addHandler(caplog.handler)
    with caplog.at_level(logging.INFO, logger="async_mirror"):
        yield
    log.removeHandler(caplog.handler)
    log.propagate = propagates


def a_pass(begun: float = 0.0) -> Activity:
    activity = Activity()
    activity.begin(begun)
    activity.phase = UPLOADING
    for _ in range(100):
        activity.planned(1_000_000)
    activity.finished(1_000_000)
    activity.finished(1_000_000, done=False)
    activity.fail("a  refused by the server")
    return activity


def looked(stats: Stats, first: int, last: int) -> None:
    for second in range(first, last + 1):
        stats.look(float(second))


def test_a_line_a_minute_is_printed_while_a_pass_lasts(caplog: pytest.LogCaptureFixture) -> None:
    activity = a_pass()
    stats = Stats(activity, 60.0)
    looked(stats, 1, 59)
    assert caplog.messages == []
    looked(stats, 60, 185)
    assert len(caplog.messages) == 3
    assert caplog.messages[0] == "uploading: 1 of 100 files so far, 1.0 MB of 100.0 MB, 0 B/s, 1 failed"


def test_passes_shorter_than_that_and_the_time_between_them_print_nothing(caplog: pytest.LogCaptureFixture) -> None:
    activity = a_pass()
    stats = Stats(activity, 60.0)
    looked(stats, 1, 50)
    activity.rest(900.0, "pass: uploaded 1 file")
    looked(stats, 51, 899)
    activity.begin(900.0)
    looked(stats, 901, 959)
    assert caplog.messages == []
    looked(stats, 960, 960)
    assert caplog.messages == ["scanning: 0 of 0 files so far"]


def test_nothing_is_printed_while_the_server_is_away(caplog: pytest.LogCaptureFixture) -> None:
    activity = a_pass()
    activity.retry(1, "connection refused", 10.0)
    looked(Stats(activity, 60.0), 1, 130)
    assert caplog.messages == []


def test_progress_tells_rate_and_time_left_once_they_are_known() -> None:
    activity = a_pass()
    activity.scanned = True
    for second in range(30):
        activity.set_out(1, Errand("uploading", str(second), 1_000_000, float(second)))
        activity.sample(float(second))
        activity.advanced(1, str(second), 1_000_000)
        activity.came_back(1, str(second))
        activity.finished(1_000_000)
        activity.set_out(1, Errand("uploading", "next", 1_000_000, second + 1.0))
    activity.sample(30.0)
    assert progress(activity, 30.0) == (
        "uploading: 31 of 100 files, 31.0 MB of 100.0 MB, 1.0 MB/s, 1 failed, about 1m10s left"
    )


def test_listing_the_site_counts_folders() -> None:
    activity = Activity(LISTING, folders_compared=1203)
    assert progress(activity, 0.0) == "listing the site: 1,203 folders"


def test_it_looks_by_itself_for_as_long_as_it_is_shown(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("async_mirror.ui.stats.SAMPLED_EVERY_S", 0.001)

    async def main() -> None:
        with Stats(a_pass(time.monotonic()), 0.01).shown():
            async with asyncio.timeout(20):
                while len(caplog.messages) < 3:  # noqa: ASYNC110
                    await asyncio.sleep(0)
        told, later = len(caplog.messages), asyncio.Event()
        asyncio.get_running_loop().call_later(0.02, later.set)  # a look that is due before that would come first
        await later.wait()
        assert len(caplog.messages) == told

    asyncio.run(main())
