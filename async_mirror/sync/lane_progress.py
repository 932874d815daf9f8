"""Tells the report what the crew is doing. Knows both, and decides nothing."""

from async_mirror.crew.work import Setback, Watcher
from async_mirror.jobs.adopt import Compare
from async_mirror.jobs.perform import Answer, Item, failure_of
from async_mirror.jobs.recover import Recover
from async_mirror.model.change import Job, SendFile, path_of
from async_mirror.model.outcome import Outcome
from async_mirror.sync.room import Room
from async_mirror.ui.report import Report
from async_mirror.ui.text import doing


class Watch(Watcher[Item, Answer]):
    """A watcher that puts what a lane does into words."""

    def __init__(self, report: Report, room: Room) -> None:
        """Tell this report, and what knows of the room on the site."""
        self._report = report
        self._room = room
        self._follows = report.is_followed

    def opening(self, lane: int) -> None:
        """Tell that a connection is opened again."""
        self._report.outage.opening(lane)

    def waiting(self, setback: Setback) -> None:
        """Tell that a connection could not be opened."""
        self._report.outage.waiting(setback)

    def opened(self, lane: int, *, is_open: bool) -> None:
        """Tell that a connection is open, or given up."""
        self._report.outage.opened(lane, is_open=is_open)

    def again(self, result: Answer, seconds: float) -> None:
        """Tell that a path is tried again."""
        if isinstance(result.result, Outcome):
            self._room.heard(result.result)
        if failure := failure_of(result.result):
            sent = result.result.bytes_sent if isinstance(result.result, Outcome) else 0
            self._report.again(failure, seconds, sent)

    def begun(self, lane: int, item: Item) -> None:
        """Tell what a connection does now, if anybody wants to know."""
        if not self._follows:
            return
        size = item.change.entry.size if isinstance(item, Job) and isinstance(item.change, SendFile) else 0
        self._report.set_out(lane, _verb(item), _path(item), size)

    def advanced(self, lane: int, item: Item, amount: int) -> None:
        """Tell that bytes left."""
        if self._follows:
            self._report.activity.advanced(lane, _path(item), amount)

    def ended(self, lane: int, item: Item) -> None:
        """Tell that a connection is through with something."""
        if self._follows:
            self._report.activity.came_back(lane, _path(item))


def _verb(item: Item) -> str:
    match item:
        case Job(change):
            return doing(change)
        case Compare():
            return "listing"
        case Recover():
            return "recovering"


def _path(item: Item) -> str:
    return path_of(item.change) if isinstance(item, Job) else item.folder
