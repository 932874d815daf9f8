"""What the process that keeps mirrors answers: how far each is, and that a pass begins or ends. Touches no disk."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from async_mirror.crew.alarm import Alarm
from async_mirror.service.condition import Live, is_under_way, live_of
from async_mirror.state.store import State
from async_mirror.sync.mirror import Mirror


class Kept(Protocol):
    """A mirror that this process keeps."""

    @property
    def name(self) -> str:
        """What it is called in the configuration file, "" for one that is in none of its tables."""
        ...

    @property
    def state(self) -> State:
        """Its state, which is locked."""
        ...

    @property
    def mirror(self) -> Mirror:
        """What is mirrored."""
        ...

    @property
    def alarm(self) -> Alarm:
        """What wakes it."""
        ...


class Desk:
    """Answers requests `{"ask": "status" | "now" | "pause", "state": the path of the state}`."""

    def __init__(self, find: Callable[[str], Kept | None], clock: Callable[[], float] = time.monotonic) -> None:
        """Answer for the mirrors that are found by the paths of their states."""
        self._find = find
        self._clock = clock
        self._moved: WeakKeyDictionary[object, tuple[tuple[int, ...], float]] = WeakKeyDictionary()

    def answer(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Answer a request, whatever is in it."""
        kept = self._find(str(request.get("state")))
        if kept is None:
            return {"error": "this process does not keep that mirror"}
        match request.get("ask"):
            case "status":
                return asdict(self.live(kept))
            case "now":
                kept.alarm.ring()
            case "pause":
                kept.alarm.halt()
            case _:
                return {"error": "ask for status, now or pause"}
        return {"pid": os.getpid()}

    def follow(self, kept: Kept) -> bool:
        """Take note of how far a mirror is; return whether a pass is under way."""
        activity = kept.mirror.report.activity
        if is_passing := is_under_way(activity):
            activity.sample(self._clock())
        return is_passing

    def live(self, kept: Kept) -> Live:
        """Return how far a mirror is."""
        activity, now = kept.mirror.report.activity, self._clock()
        numbers = (activity.passes, activity.bytes_sent, activity.files_done, activity.folders_compared)
        was, since = self._moved.get(kept.alarm, ((), now))
        if was != numbers:
            since = activity.begun if not any(numbers[1:]) else now
            self._moved[kept.alarm] = numbers, since
        return live_of(activity, kept.mirror.report.counts, pid=os.getpid(), still_s=now - since, now=now)
