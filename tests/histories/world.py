"""The clock and all chance of one history, and what is to happen at which moment. Knows neither program nor server."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from typing import Any, NoReturn

EPOCH = 1_800_000_000
"""What the clock on the wall says when a history begins, in seconds since 1970."""
MOST_SECONDS = 40_000.0
MOST_EVENTS = 60_000


class Found(SystemExit):
    """A mistake of the program: which law was broken, and how."""

    log = ""
    """What the program had said until then."""

    def __init__(self, law: str, how: str) -> None:
        super().__init__(f"{law}: {how}")
        self.law = law
        self.how = how


class Killed(SystemExit):
    """The program was killed; nothing of it runs any more."""

    log = ""


class World:
    """What passes by in one history. Two events of one moment happen in the order in which they were planned."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.own_chance = random.Random(seed + 1)
        """What the program draws from: its draws do not alter the schedule."""
        self.now = 0.0
        self.ahead = 0.0
        """How far the clock on the wall of the program's machine is ahead of the server's, in seconds."""
        self.transcript: list[str] = []
        self._events: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        self._planned = 0
        self._happened = 0

    @property
    def wall(self) -> float:
        return EPOCH + self.now

    @property
    def local_wall(self) -> float:
        return self.wall + self.ahead

    def note(self, line: str) -> None:
        self.transcript.append(f"{self.now:10.4f} {line}")

    def found(self, law: str, how: str) -> NoReturn:
        self.note(f"!! {law}: {how}")
        raise Found(law, how)

    def at(self, moment: float, act: Callable[..., object], *arguments: Any) -> None:
        """Have something happen at a moment, not before what is planned for it already."""
        self._planned += 1
        heapq.heappush(self._events, (max(moment, self.now), self._planned, act, arguments))

    def after(self, seconds: float, act: Callable[..., object], *arguments: Any) -> None:
        self.at(self.now + seconds, act, *arguments)

    def happen(self, until: float | None, enough: Callable[[], bool] = lambda: False) -> bool:
        """Let happen what is due until a moment, or as long as there is anything; stop early once it is enough.

        Tell whether the moment was reached.
        """
        while not enough() and self._events and (until is None or self._events[0][0] <= until):
            moment, _, act, arguments = heapq.heappop(self._events)
            self.now = max(self.now, moment)
            self._happened += 1
            if self._happened > MOST_EVENTS:
                self.found("bounded", "the program goes on and on")
            act(*arguments)
        if enough() or until is None:
            return False
        self.now = max(self.now, until)
        return True

    def rest(self, seconds: float) -> None:
        """Let time pass while the program does not run."""
        self.happen(self.now + seconds)

    def delay(self, most: float = 0.004) -> float:
        """Return how long something takes that takes a moment."""
        return self.chance.random() * most
