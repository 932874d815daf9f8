"""Tells how well a mirror is kept, from what its passes left in the state. Pure."""

import json
import math
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from async_mirror.ui.text import human_time, plural, quoted

ALLOWANCE_S = 60.0
MOST_REMEMBERED, MOST_NAMED = 100, 10
"""How many failing paths are remembered, and how many are named."""


_COMPLETE = {None, "mirrored", "partly"}
_RESULTS = {
    "partly": "some paths not mirrored",
    "usage": "the destination is in use by another mirror, or is not the one that was mirrored before",
    "login": "login refused",
    "connection": "connection failed",
    "safety": "stopped for safety",
    "state": "state not usable",
}


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


class Failing(NamedTuple):
    """How many paths the last good pass did not mirror, and since when (seconds since 1970) each of the first fails."""

    number: int = 0
    since: Mapping[str, float] = {}

    def __str__(self) -> str:
        """Return it as the state keeps it."""
        return json.dumps(self)

    @classmethod
    def read(cls, text: str | None) -> "Failing":
        """Read what `str` wrote; what is no such thing is read as nothing failing."""
        try:
            number, since = json.loads(text or "")
            return cls(int(number), {str(path): float(time) for path, time in since.items()})
        except (ValueError, TypeError, AttributeError):
            return cls()

    def followed_by(self, number: int, paths: Collection[str], now: float) -> "Failing":
        """Return what a good pass leaves that ended now: what failed before keeps its time."""
        still = {path: time for path, time in self.since.items() if path in paths}
        new = sorted(set(paths) - still.keys())[: MOST_REMEMBERED - len(still)]
        return Failing(number, still | dict.fromkeys(new, now))

    def joined_by(self, paths: Collection[str], now: float, is_over: Callable[[str], bool]) -> "Failing":
        """Return what a good pass over a few folders leaves; it tells of what failed before whether that is over."""
        still = {path: time for path, time in self.since.items() if path in paths or not is_over(path)}
        new = sorted(set(paths) - still.keys())
        number = self.number - (len(self.since) - len(still)) + len(new)
        return Failing(number, still | dict.fromkeys(new[: MOST_REMEMBERED - len(still)], now))

    def seconds(self, now: float) -> float:
        """Return for how long the first of the paths has been failing."""
        return now - min(self.since.values(), default=now)

    def longest(self) -> list[tuple[str, float]]:
        """Return the paths that have been failing for longest, each with the time since when."""
        return sorted(self.since.items(), key=lambda each: each[1])[:MOST_NAMED]

    def told(self, now: float) -> str:
        """Name the paths that fail, those that do so for longest first."""
        first = self.longest()
        named = ", ".join(f"{quoted(path)} (for {human_time(now - since)})" for path, since in first)
        more = f" and {self.number - len(first):,} more" if self.number > len(first) else ""
        return f"{plural(self.number, 'path')} not mirrored: {named}{more}"


def praise(last_good: str, now: float, last_result: str | None = None) -> str:
    """Return what to say where there is nothing to complain of yet."""
    return f"healthy: {_age(last_good, now)}{_ending(last_result)}"


def result_told(result: str) -> str:
    """Return what a pass ended with in words."""
    return _RESULTS.get(result, result)


def _ending(last_result: str | None) -> str:
    return "" if last_result in _COMPLETE else f"; last error: {result_told(str(last_result))}"


def regret(last_good: str, failing: Failing, now: float) -> str:
    """Return what to say where the passes go through, and some paths fail."""
    return f"degraded: {failing.told(now)}; {_age(last_good, now)}"


def _age(last_good: str, now: float) -> str:
    return f"last complete pass {human_time(now - Beat.read(last_good).ended)} ago"


def complaint(last_good: str | None, last_result: str | None, now: float) -> str | None:
    """Return why the mirror is not healthy, or None.

    It is while the last good pass is younger than two intervals and twice the time that it took.
    """
    ending = _ending(last_result)
    if last_good is None:
        return f"never synced{ending}"
    beat = Beat.read(last_good)
    age = now - beat.ended
    allowed = 2 * beat.every_seconds + 2 * beat.seconds + ALLOWANCE_S
    if -allowed <= age <= allowed:
        return None
    if age < 0:
        return f"the last complete pass is {human_time(-age)} in the future: was the clock set back?{ending}"
    return f"last complete pass {human_time(age)} ago (limit {human_time(allowed)}){ending}"
