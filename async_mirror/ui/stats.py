"""Prints a line of progress every now and then where there is no display. Decides nothing."""

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from async_mirror.ui.activity import LISTING, Activity
from async_mirror.ui.events import Event, tell
from async_mirror.ui.text import human_size, plural, time_left

SAMPLED_EVERY_S = 1.0


class Stats:
    """Tells every `every_s` seconds of a pass how far it is, for as long as it is shown."""

    def __init__(self, activity: Activity, every_s: float) -> None:
        """Prepare to tell of an activity whose times are `time.monotonic`'s."""
        self._activity = activity
        self._every_s = every_s
        self._told_at = (0.0, 0.0)
        """When the pass began that was told of last, and when that was."""
        self._timer: asyncio.TimerHandle

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Tell from here on, on the running event loop."""
        loop = asyncio.get_running_loop()

        def tick() -> None:
            self.look(time.monotonic())
            self._timer = loop.call_later(SAMPLED_EVERY_S, tick)

        self._timer = loop.call_later(SAMPLED_EVERY_S, tick)
        try:
            yield
        finally:
            self._timer.cancel()

    def look(self, now: float) -> None:
        """Take a sample, and tell how far the pass is if that is due."""
        activity = self._activity
        if not activity.passes or activity.resting_until is not None:
            return
        activity.sample(now)
        begun, told = self._told_at
        if begun != activity.begun:
            told = activity.begun
        if now - told < self._every_s:
            return
        self._told_at = (activity.begun, now)
        if not activity.is_away:
            tell(logging.INFO, Event.INFO, progress(activity, now))


def progress(activity: Activity, now: float) -> str:
    """Return how far a pass is in one line."""
    if activity.phase == LISTING:
        return f"{LISTING}: {plural(activity.folders_compared, 'folder')}"
    so_far = "" if activity.scanned else " so far"
    parts = [f"{activity.files_done:,} of {plural(activity.files_total, 'file')}{so_far}"]
    if activity.bytes_total:
        parts.append(f"{human_size(activity.bytes_so_far)} of {human_size(activity.bytes_total)}")
        parts.append(f"{human_size(activity.rates(now)[0])}/s")
    if activity.failed:
        parts.append(f"{activity.failed:,} failed")
    if (left := activity.seconds_left()) is not None:
        parts.append(time_left(left))
    return f"{activity.phase}: {', '.join(parts)}"
