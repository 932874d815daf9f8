"""What is still to come is counted beside a scan that waits; the numbers are told to the report alone."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.program import write

from async_mirror.model.change import Job, SendFile
from async_mirror.model.outcome import Done
from async_mirror.model.selection import Selection
from async_mirror.multi import Offload
from async_mirror.planning.forecast import Ahead
from async_mirror.source.scan import walk
from async_mirror.state.awaitable import AwaitableState
from async_mirror.state.opening import open_state
from async_mirror.state.store import State
from async_mirror.ui.report import Report

SELECTION = Selection(patterns=("*.tmp",))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for folder in ("", "a/", "a/deep/", "b/", "c/"):
        for number in range(3):
            write(tmp_path / "source" / f"{folder}{number}", "x" * 100)
    write(tmp_path / "source/left out.tmp", "x" * 100)
    return tmp_path / "source"


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    with open_state(tmp_path / "state/state.sqlite3") as opened:
        yield opened


def looked(source: Path, state: State, *, planned_before: int = 0) -> tuple[Ahead, Report]:
    """Return what is foreseen after the scan planned so many folders and somebody looked ahead."""
    report = Report(watched=True)

    async def look() -> Ahead:
        offload = Offload()
        ahead = Ahead(bytes(source), SELECTION, AwaitableState(state, offload), report)
        for _ in range(planned_before):
            ahead.planned()
        await ahead.look()
        offload.close()
        return ahead

    return asyncio.run(look()), report


def test_all_that_will_be_planned_is_foreseen(source: Path, state: State) -> None:
    _, report = looked(source, state)
    assert (report.activity.files_total, report.activity.bytes_total) == (15, 1500)
    assert report.activity.scanned
    assert not report.counts.scanned, "the scan itself is not at its end"


@pytest.mark.parametrize("planned_before", range(6))
def test_what_the_scan_planned_already_is_not_counted_twice(source: Path, state: State, planned_before: int) -> None:
    ahead, report = looked(source, state, planned_before=planned_before)
    assert report.activity.files_total == 15 - 3 * planned_before
    for left in range(5 - planned_before, 0, -1):
        assert report.activity.files_total == 3 * left
        ahead.planned()
    assert (report.activity.files_total, report.activity.bytes_total) == (0, 0)


def test_what_the_site_holds_already_is_nothing_to_come(source: Path, state: State) -> None:
    for listing in walk(bytes(source), SELECTION):
        if listing.folder in {"a", "b"}:
            jobs = [Job(SendFile(entry, None, "new"), "t", 1) for entry in listing.entries if not entry.is_folder]
            state.begin(jobs)
            state.commit(
                [Done(job, job.change, job.change.entry) for job in jobs if isinstance(job.change, SendFile)], 0.0
            )
    _, report = looked(source, state)
    assert report.activity.files_total == 9
