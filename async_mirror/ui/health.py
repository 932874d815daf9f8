"""Tells whether a mirror is kept as it ought to be, from what its passes left in the state. Pure."""

import json
import math
from typing import NamedTuple

from async_mirror.ui.text import human_time

ALLOWANCE_S = 60.0


class Beat(NamedTuple):
    """What a good pass leaves: when it ended (seconds since 1970), how long it took, how often there is to be one."""

    ended: float
    seconds: float
    every_seconds: float

    def __str__(self) -> str:
        """Return it as the state keeps it."""
        return json.dumps(self)

    @classmethod
    def read(cls, text: str) -> "Beat":
        """Read what `str` wrote; what is no such thing is read as a pass of 1970."""
        try:
            beat = cls(*map(float, json.loads(text)))
        except (ValueError, TypeError):
            return cls(0.0, 0.0, 0.0)
        return beat if all(map(math.isfinite, beat)) else cls(0.0, 0.0, 0.0)


def praise(last_good: str, now: float) -> str:
    """Return what to say where there is nothing to complain of."""
    return f"healthy: the last good pass ended {human_time(now - Beat.read(last_good).ended)} ago"


def complaint(last_good: str | None, last_result: str | None, now: float) -> str | None:
    """Return why the mirror is not healthy, or None.

    It is while the last good pass is younger than two intervals and twice the time that it took.
    """
    ending = f"; the last pass ended with: {last_result}" if last_result not in {None, "mirrored", "partly"} else ""
    if last_good is None:
        return f"no pass has ended well yet{ending}"
    beat = Beat.read(last_good)
    age = now - beat.ended
    allowed = 2 * beat.every_seconds + 2 * beat.seconds + ALLOWANCE_S
    if -allowed <= age <= allowed:
        return None
    if age < 0:
        return f"the last good pass ended {human_time(-age)} from now, by this machine's clock{ending}"
    return f"the last good pass ended {human_time(age)} ago, which is more than {human_time(allowed)}{ending}"
