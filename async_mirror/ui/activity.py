"""What is going on at this moment: how much is done of how much, how fast, by whom. Pure: the time is told to it."""

import math
from collections import deque
from dataclasses import dataclass, field

RATE_OVER_S = 5.0
LANE_KEPT_S = 10.0
_IDLE_AFTER_S = 1.0
_SAMPLES_EVERY_S = 0.25
FAILURES_KEPT = 3


@dataclass(slots=True)
class Errand:
    """What one connection does now. `size` is 0 where there are no bytes to send."""

    verb: str
    path: str
    size: int
    begun: float
    sent: int = 0

    def bytes_per_s(self, now: float) -> float:
        """Return how fast it was since it began."""
        elapsed = now - self.begun
        return self.sent / elapsed if elapsed > 0 else 0.0


@dataclass(slots=True, weakref_slot=True)
class Activity:
    """The state of a run as somebody who watches wants to see it. Times are on one monotonic clock, in seconds."""

    phase: str = ""
    passes: int = 0
    begun: float = 0.0
    files_total: int = 0
    files_done: int = 0
    bytes_total: int = 0
    bytes_done: int = 0
    folders_compared: int = 0
    scanned: bool = False
    bytes_sent: int = 0
    lanes: dict[int, Errand] = field(default_factory=dict)
    failed: int = 0
    failures: deque[str] = field(default_factory=lambda: deque(maxlen=FAILURES_KEPT))
    waiting: str = ""
    resting_until: float | None = None
    last_result: str = ""
    _at_work: dict[int, float] = field(default_factory=dict)
    _furthest: int = 0
    _samples: deque[tuple[float, int, int]] = field(default_factory=deque)

    def begin(self, now: float) -> None:
        """Begin a pass; what the last one came to stays to be seen."""
        fresh = Activity()
        self.files_total = self.files_done = self.bytes_total = self.bytes_done = self.bytes_sent = 0
        self.folders_compared = self.failed = self._furthest = 0
        self.scanned = False
        self.failures, self.lanes = fresh.failures, fresh.lanes
        self._at_work, self._samples = fresh._at_work, fresh._samples
        self.phase, self.waiting = "looking at the source", ""
        self.passes += 1
        self.begun = now
        self.resting_until = None

    def planned(self, size: int) -> None:
        """Note that there is one more change to make, with so many bytes to send."""
        self.files_total += 1
        self.bytes_total += size

    def foreseen(self, files: int, size: int) -> None:
        """Note that so many more changes will have to be planned, or fewer."""
        self.files_total += files
        self.bytes_total += size

    def finished(self, size: int) -> None:
        """Note that a planned change ended, whatever came of it."""
        self.files_done += 1
        self.bytes_done += size

    def set_out(self, lane: int, errand: Errand) -> None:
        """Note what a connection does from now on."""
        self.lanes[lane] = errand
        self.waiting = ""

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

    def fail(self, line: str) -> None:
        """Note a failure; the last few are kept."""
        self.failed += 1
        self.failures.append(line)

    def rest(self, until: float, result: str) -> None:
        """Note that nothing is done until then, and what the pass came to."""
        self.phase = "resting"
        self.lanes.clear()
        self._at_work.clear()
        self.resting_until = until
        self.last_result = result

    # What can be told from it.

    @property
    def bytes_so_far(self) -> int:
        """Bytes of what is done, and of what is under way; never less than at the last sample.

        It would be less while a file waits for its reply and the next one is under way, or when one begins anew.
        """
        under_way = sum(min(errand.sent, errand.size) for errand in self.lanes.values())
        return min(self.bytes_total, max(self._furthest, self.bytes_done + under_way))

    def lanes_of_late(self, now: float) -> list[int]:
        """Return the connections at work, and those that were a moment ago: one between two files keeps its place."""
        return sorted({*self.lanes, *(lane for lane, at in self._at_work.items() if now - at < LANE_KEPT_S)})

    def is_idle(self, lane: int, now: float) -> bool:
        """Tell whether a connection has had nothing to do for longer than it takes to get the next file."""
        return lane not in self.lanes and now - self._at_work.get(lane, -math.inf) > _IDLE_AFTER_S

    def sample(self, now: float) -> None:
        """Take note of how far things are; the rates are of the last seconds of such notes."""
        self._furthest = self.bytes_so_far
        self._at_work.update(dict.fromkeys(self.lanes, now))
        if self._samples and now - self._samples[-1][0] < _SAMPLES_EVERY_S:
            return
        self._samples.append((now, self.bytes_sent, self.files_done))
        while len(self._samples) > 2 and now - self._samples[0][0] > RATE_OVER_S:
            self._samples.popleft()

    def rates(self, now: float) -> tuple[float, float]:
        """Return (bytes per s, files per s) of late."""
        if not self._samples:
            return 0.0, 0.0
        then, sent, done = self._samples[0]
        elapsed = now - then
        if elapsed < _SAMPLES_EVERY_S:
            return 0.0, 0.0
        return (self.bytes_sent - sent) / elapsed, (self.files_done - done) / elapsed

    def seconds_left(self, now: float) -> float | None:
        """Return how long it will take as far as can be told: once the scan is complete and something moves."""
        bytes_per_s, files_per_s = self.rates(now)
        bytes_left = self.bytes_total - self.bytes_so_far
        files_left = self.files_total - self.files_done
        if not self.scanned or not files_left:
            return None
        by_bytes = bytes_left / bytes_per_s if bytes_per_s else None
        by_files = files_left / files_per_s if files_per_s else None
        if by_bytes is None or by_files is None:
            return by_bytes if bytes_left else by_files
        return max(by_bytes, by_files) if bytes_left else by_files
