"""What is going on at this moment: how much is done of how much, how fast, by whom. Pure: the time is told to it."""

import math
from collections import deque
from dataclasses import dataclass, field, fields
from typing import NamedTuple

from async_mirror.ui.time_left import LARGE, TimeLeft

RATE_OVER_S = 5.0
LANE_KEPT_S = 10.0
_IDLE_AFTER_S = 1.0
_SAMPLES_EVERY_S = 0.25
FAILURES_KEPT = 3
SMALL = LARGE
"""Bytes of an upload from which on it has a row of its own."""
SCANNING, LISTING, UPLOADING, STOPPING = "scanning", "listing the site", "uploading", "stopping"
"""The phases of a pass."""
PAUSED = "paused"
IN_SYNC = "in sync"


@dataclass(slots=True)
class Errand:
    """What one connection does now. `size` is 0 where there are no bytes to upload."""

    verb: str
    path: str
    size: int
    begun: float
    sent: int = 0

    def bytes_per_s(self, now: float) -> float:
        """Return how fast it was since it began."""
        elapsed = now - self.begun
        return self.sent / elapsed if elapsed > 0 else 0.0


class Retry(NamedTuple):
    """A connection that is to be opened again: why the last attempt failed ("" if there was none), when the next is."""

    why: str
    at: float


@dataclass(slots=True, weakref_slot=True)
class Activity:
    """The state of a run as the display shows it. Times are on one monotonic clock, in seconds."""

    phase: str = ""
    passes: int = 0
    begun: float = 0.0
    files_total: int = 0
    files_done: int = 0
    files_undone: int = 0
    """How many planned changes failed or were not attempted."""
    bytes_total: int = 0
    bytes_done: int = 0
    bytes_undone: int = 0
    renamed: int = 0
    deleted: int = 0
    folders_compared: int = 0
    scanned: bool = False
    bytes_sent: int = 0
    lanes: dict[int, Errand] = field(default_factory=dict)
    retrying: dict[int, Retry] = field(default_factory=dict)
    """The connections that are being opened again, by number."""
    failed: int = 0
    failures: deque[str] = field(default_factory=lambda: deque(maxlen=FAILURES_KEPT))
    resting_until: float | None = None
    last_result: str = ""
    trouble: str = ""
    """Since when the mirror fails, in words; "" if the last pass was good."""
    _time_left: TimeLeft = field(default_factory=TimeLeft)
    _turns: dict[int, Errand] = field(default_factory=dict)
    """The small file that each connection is busy with, or was a moment ago."""
    _at_work: dict[int, float] = field(default_factory=dict)
    _large_at: dict[int, float] = field(default_factory=dict)
    _furthest: int = 0
    _samples: deque[tuple[float, int, int]] = field(default_factory=deque)
    _last: tuple[float, int] | None = None
    """Time and bytes done at the last sample, if a large file was under way then."""

    def begin(self, now: float) -> None:
        """Begin a pass; what the last one came to stays to be seen."""
        fresh = Activity(SCANNING, self.passes + 1, now, last_result=self.last_result, trouble=self.trouble)
        for each in fields(self):
            setattr(self, each.name, getattr(fresh, each.name))

    def planned(self, size: int) -> None:
        """Note that there is one more change to make, with so many bytes to upload."""
        self.foreseen(1, size)

    def foreseen(self, files: int, size: int) -> None:
        """Note that so many more changes will have to be planned, or fewer."""
        self.files_total += files
        self.bytes_total += size

    def finished(self, size: int, *, done: bool = True) -> None:
        """Note that a planned change ended, and whether it is done: else it failed, or was not attempted."""
        if done:
            self.files_done += 1
            self.bytes_done += size
        else:
            self.files_undone += 1
            self.bytes_undone += size

    def set_out(self, lane: int, errand: Errand) -> None:
        """Note what a connection does from now on."""
        if before := self._turns.pop(lane, None):
            self._time_left.add(errand.begun - before.begun, 1, before.size)
        if errand.size < SMALL:
            self._turns[lane] = errand
        self.lanes[lane] = errand

    def advanced(self, lane: int, path: str, amount: int) -> None:
        """Note that so many bytes left."""
        self.bytes_sent += amount
        errand = self.lanes.get(lane)
        if errand and errand.path == path:
            errand.sent += amount

    def came_back(self, lane: int, path: str) -> None:
        """Note that a connection is through with something."""
        errand = self.lanes.get(lane)
        if errand and errand.path == path:
            del self.lanes[lane]

    def retry(self, lane: int, why: str, at: float) -> None:
        """Note that a connection is opened again, and when the next attempt is."""
        self.retrying[lane] = Retry(why, at)

    def fail(self, line: str) -> None:
        """Note a failure; the last few are kept."""
        self.failed += 1
        self.failures.append(line)

    def rest(self, until: float, result: str, trouble: str = "", phase: str = "resting") -> None:
        """Note that nothing is done until then, the result of the pass, and since when the mirror fails.

        While it is paused that is until infinity.
        """
        self.phase = phase
        self.trouble = trouble
        for each in (self.lanes, self.retrying, self._at_work):
            each.clear()
        self.resting_until = until
        self.last_result = result

    # What can be told from it.

    @property
    def is_away(self) -> bool:
        """True if the server cannot be reached: connections are opened again, and none is at work."""
        return bool(self.retrying) and not self.lanes

    @property
    def state(self) -> str:
        """The state in a word or two."""
        if self.resting_until is not None and self.phase != PAUSED:
            return self.trouble or IN_SYNC
        return "unreachable" if self.is_away and any(each.why for each in self.retrying.values()) else self.phase

    @property
    def bytes_so_far(self) -> int:
        """Bytes of what is done, and of what is under way; never less than at the last sample.

        It would be less while a file waits for its reply and the next one is under way, or when one begins again.
        """
        under_way = sum(min(errand.sent, errand.size) for errand in self.lanes.values())
        return min(self.bytes_total - self.bytes_undone, max(self._furthest, self.bytes_done + under_way))

    def lanes_of_late(self, now: float) -> list[int]:
        """Return the connections at work, and those that were a moment ago: one between two files keeps its place."""
        of_late = (lane for lane, at in self._at_work.items() if now - at < LANE_KEPT_S)
        return sorted({*self.lanes, *self.retrying, *of_late})

    def is_idle(self, lane: int, now: float) -> bool:
        """Tell whether a connection has had nothing to do for longer than it takes to get the next file."""
        return lane not in self.lanes and now - self._at_work.get(lane, -math.inf) > _IDLE_AFTER_S

    def has_large(self, lane: int, now: float) -> bool:
        """Tell whether a connection uploads a large file, or did so a moment ago."""
        errand = self.lanes.get(lane)
        is_large = errand is not None and errand.size >= SMALL
        return is_large or now - self._large_at.get(lane, -math.inf) < LANE_KEPT_S

    def sample(self, now: float) -> None:
        """Take note of how far things are; the rates are of the last seconds of such notes."""
        self._furthest = self.bytes_so_far
        for lane in [lane for lane in self._turns if self.is_idle(lane, now)]:
            del self._turns[lane]
        self._at_work = {lane: at for lane, at in self._at_work.items() if now - at < LANE_KEPT_S}
        self._at_work.update(dict.fromkeys(self.lanes, now))
        for lane, errand in self.lanes.items():
            if errand.size >= SMALL:
                self._large_at[lane] = now
        self._learn(now)
        if self._samples and now - self._samples[-1][0] < _SAMPLES_EVERY_S:
            return
        self._samples.append((now, self.bytes_sent, self.files_done))
        while len(self._samples) > 2 and now - self._samples[0][0] > RATE_OVER_S:
            self._samples.popleft()

    def _learn(self, now: float) -> None:
        """Learn how fast the line is from what left since the last sample, if a large file was under way."""
        if self._last:
            then, size = self._last
            self._time_left.saw_line(now - then, self._furthest - size)
        is_large = any(errand.size >= SMALL for errand in self.lanes.values())
        self._last = (now, self._furthest) if is_large else None

    def rates(self, now: float) -> tuple[float, float]:
        """Return (bytes per s, files per s) of late."""
        if not self._samples:
            return 0.0, 0.0
        then, sent, done = self._samples[0]
        elapsed = now - then
        if elapsed < _SAMPLES_EVERY_S:
            return 0.0, 0.0
        return (self.bytes_sent - sent) / elapsed, (self.files_done - done) / elapsed

    def seconds_left(self) -> float | None:
        """Return how long it will take, once that can be told; never while the server is away."""
        files = self.files_total - self.files_done - self.files_undone
        if not self.scanned or files <= 0 or self.is_away:
            return None
        size = max(0, self.bytes_total - self.bytes_undone - self.bytes_so_far)
        return self._time_left.left(files, size, max(1, len(self._at_work)))
