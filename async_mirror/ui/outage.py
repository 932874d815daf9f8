"""Tells of a server that cannot be reached: in one line when it goes, in one when it is back. Decides nothing."""

import logging
import time

from async_mirror.crew.work import Setback
from async_mirror.model.escape import shown
from async_mirror.remote.errors import RemoteError
from async_mirror.ui.activity import Activity
from async_mirror.ui.events import Event, tell
from async_mirror.ui.text import human_time, plural

TOLD_AFTER_S, TOLD_AFTER_BESIDE_OTHERS_S = 1.0, 3.0
"""After how long it is told, if no connection is open, and if others are."""


class Outage:
    """Lasts from pass to pass, until a connection is open again."""

    def __init__(self, activity: Activity) -> None:
        """Begin with a server that can be reached."""
        self._activity = activity
        self._since: float | None = None

    def opening(self, lane: int) -> None:
        """Note that a connection is opened again."""
        self._activity.retry(lane, "", time.monotonic())

    def waiting(self, setback: Setback) -> None:
        """Note that a connection could not be opened."""
        error, now = setback.error, time.monotonic()
        why = shown(error.told if isinstance(error, RemoteError) else str(error))
        self._activity.retry(setback.lane, why, now + setback.seconds)
        told_after = TOLD_AFTER_S if setback.alone else TOLD_AFTER_BESIDE_OTHERS_S
        is_news = self._since is None and setback.lasted >= told_after
        if is_news:
            self._since = now - setback.lasted
        lead = "server unreachable" if setback.alone else "cannot open a connection"
        retrying = plural(len(self._activity.retrying), "connection")
        text = f"{lead}: {why}; {retrying} retrying, next in {human_time(setback.seconds)}"
        tell(logging.WARNING if is_news else logging.DEBUG, Event.WARNING, text)

    def opened(self, lane: int, *, is_open: bool) -> None:
        """Note that a connection is open, or given up."""
        self._activity.retrying.pop(lane, None)
        if is_open and self._since is not None:
            tell(
                logging.WARNING,
                Event.NOTE,
                f"server reachable again after {human_time(time.monotonic() - self._since)}",
            )
            self._since = None
