"""How a mirror is at one moment: from what its state says, and what the process that keeps it answers. Pure.

The process measures on a clock that cannot be set. The state holds times of the day; it is read where none answers.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from async_mirror.model.escape import shown
from async_mirror.ui.activity import PAUSED, Activity
from async_mirror.ui.health import Failing
from async_mirror.ui.last_pass import INTERRUPTED, LastPass
from async_mirror.ui.summary import Counts

STILL_S = 60.0
"""A pass that has not moved on for so long is not called an upload."""


class Kind(StrEnum):
    """How a mirror is, in words that stay the same from version to version (see docs/json.md)."""

    NEW = "never synced"
    STARTING = "starting"
    IN_SYNC = "in sync"
    UPLOADING = "uploading"
    DEGRADED = "degraded"
    FAILING = "failing"
    STOPPED = "stopped for safety"
    INTERRUPTED = "interrupted"
    PAUSED = "paused"


class Process(StrEnum):
    """What is known of the process that keeps a mirror."""

    RUNNING = "running"
    SILENT = "silent"
    """The state is locked, and no process answers."""
    NONE = "not running"
    DIED = "died"
    """It ended without a word: it was killed, or the machine went down."""


@dataclass(frozen=True, kw_only=True)
class Live:
    """What the process that keeps a mirror answers; lengths of time in seconds."""

    pid: int
    phase: str
    under_way_s: float | None
    """For how long a pass has been under way, None while none is."""
    files_done: int
    files_total: int
    bytes_done: int
    bytes_total: int
    bytes_per_s: float
    left_s: float | None
    still_s: float
    """For how long the pass has not moved on, as far as anybody asked."""
    connections: int
    failed: int
    next_pass_in_s: float | None
    last_pass_ago_s: float | None
    trouble: str
    """What ended the last pass, for which the state may have had no room; why the server is away, while one is."""

    @classmethod
    def read(cls, answer: Mapping[str, Any]) -> "Live | None":
        """Read what `asdict` made; None for what is no such thing."""
        try:
            return cls(**{field.name: answer[field.name] for field in fields(cls)})
        except KeyError:
            return None


def is_under_way(activity: Activity) -> bool:
    """Tell whether a pass is under way."""
    return activity.passes > 0 and activity.resting_until is None and activity.phase != PAUSED


def live_of(activity: Activity, counts: Counts, *, pid: int, still_s: float, now: float) -> Live:
    """Return what there is to answer now, by the clock that the activity's times are of."""
    under_way = is_under_way(activity)
    left = activity.seconds_left() if under_way else None
    until = None if activity.phase == PAUSED else activity.resting_until
    return Live(
        pid=pid,
        phase=activity.state if under_way else activity.phase,
        under_way_s=round(now - activity.begun, 1) if under_way else None,
        files_done=activity.files_done,
        files_total=activity.files_total,
        bytes_done=activity.bytes_so_far,
        bytes_total=activity.bytes_total,
        bytes_per_s=round(activity.rates(now)[0], 1) if under_way else 0.0,
        left_s=None if left is None or not math.isfinite(left) else round(left, 1),
        still_s=round(still_s, 1) if under_way else 0.0,
        connections=len(activity.lanes),
        failed=activity.failed,
        next_pass_in_s=None if until is None else round(max(0.0, until - now), 1),
        last_pass_ago_s=None if under_way or not activity.passes else round(now - activity.begun - counts.seconds, 1),
        trouble=_why_away(activity) if under_way else counts.trouble,
    )


def _why_away(activity: Activity) -> str:
    return next((each.why for each in activity.retrying.values() if each.why), "") if activity.is_away else ""


@dataclass(frozen=True, kw_only=True)
class Condition:
    """How a mirror is. Times are in seconds since 1970."""

    name: str
    resume: str
    """The command that ends a pause."""
    source: str
    destination: str
    state: str
    """The path of its state."""
    is_known: bool
    """Whether there is a state."""
    kind: Kind
    process: Process
    holder: str
    """Who has the state locked, in words."""
    live: Live | None
    paused_since: float | None
    last: LastPass | None
    failing: Failing
    server: Sequence[tuple[str, str, int | str]]
    """What was learned about the server: of what, a name, a value."""

    def as_json(self, now: float) -> dict[str, object]:
        """Return it by names that stay the same from version to version (see docs/json.md)."""
        live = asdict(self.live) if self.live else dict.fromkeys(field.name for field in fields(Live))
        last = self.last
        return {
            "name": self.name,
            "source": self.source,
            "destination": self.destination,
            "state": self.state,
            "condition": self.kind,
            "process": self.process,
            "pid": live["pid"],
            "paused_since": _day(self.paused_since),
            "pass": self._passing(),
            "next_pass_in_s": live["next_pass_in_s"],
            "last_pass": last
            and {
                "ended": _day(self.last_ended(now)),
                "seconds": round(last.seconds, 3),
                "result": last.result,
                "since": _day(last.since),
                "told": last.told,
                "why": last.why,
                "first_failures": last.failures,
            },
            "failing": self.failing.number,
            "failing_paths": [{"path": shown(path), "since": _day(at)} for path, at in self.failing.longest()],
            "server": [{"of": of, "name": name, "value": value} for of, name, value in self.server],
        }

    def _passing(self) -> dict[str, object] | None:
        if self.live is None or self.live.under_way_s is None:
            return None
        live = asdict(self.live)
        left_out = {"pid", "under_way_s", "next_pass_in_s", "last_pass_ago_s"}
        return {"seconds": live["under_way_s"], **{key: value for key, value in live.items() if key not in left_out}}

    def last_ended(self, now: float) -> float | None:
        """Return when the last pass ended, by the clock of the day as it is now: it may have been set meanwhile."""
        if self.live and self.live.last_pass_ago_s is not None:
            return now - self.live.last_pass_ago_s
        return self.last.ended if self.last else None


def kind_of(live: Live | None, last: LastPass | None, failing: Failing, *, paused: bool) -> Kind:
    """Tell how a mirror is, from what is known of it."""
    found = _kind_by(last, failing)
    if paused:
        return Kind.PAUSED
    if live and live.trouble:
        return Kind.FAILING
    if live and _uploads(live, was_failing=found is Kind.FAILING):
        return Kind.UPLOADING
    return Kind.STARTING if live and found is Kind.NEW else found


def _uploads(live: Live, *, was_failing: bool) -> bool:
    """Tell whether a pass has something to do and gets on with it."""
    moved = live.files_done or live.bytes_done or not was_failing
    return live.under_way_s is not None and live.files_total > 0 and live.still_s < STILL_S and bool(moved)


def _kind_by(last: LastPass | None, failing: Failing) -> Kind:
    if last is None:
        return Kind.NEW
    if last.result == "mirrored" and failing.number:  # it looked at a few folders alone
        return Kind.DEGRADED
    return _KINDS.get(last.result, Kind.FAILING)


_KINDS = {
    "mirrored": Kind.IN_SYNC,
    "partly": Kind.DEGRADED,
    "safety": Kind.STOPPED,
    INTERRUPTED: Kind.INTERRUPTED,
}


def _day(seconds: float | None) -> str | None:
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return None
