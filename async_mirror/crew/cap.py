"""How many lanes are right: climbs while that brings more, steps back when it does not. Pure: no clock, no lanes.

What brings more is told by one figure, the work per second: an item counts like `ITEM` bytes, so that files per second
rule where they are small and bytes per second where they are large.
"""

from typing import NamedTuple, Protocol

ITEM = 100_000
WINDOW_S = 1.0
GAIN = 0.25
"""The least share of what the added lanes should have brought, had they been as good as those before, to go on."""
LOSS = 0.75
"""What is left of the best rate when it is time to see whether fewer lanes do as well."""
AS_MUCH = 0.95
"""What share of the best rate fewer lanes must bring to do as well."""
HOLD_WINDOWS = 10
FIRST_LANES = 2


class Cap(Protocol):
    """How many lanes are right."""

    @property
    def lanes(self) -> int:
        """The number at this moment, 1 or more."""
        ...

    @property
    def most(self) -> int:
        """More than this it never is."""
        ...

    def lower(self, lanes: int) -> None:
        """More than so many sessions cannot be had."""
        ...

    def measured(self, seconds: float, items: int, amount: int, lanes: int, *, busy: bool) -> None:
        """Learn what so many lanes brought; `busy` says that all had work all the time."""
        ...


class FixedCap:
    """As many lanes as were asked for, fewer if they cannot be had."""

    def __init__(self, lanes: int) -> None:
        """Ask for so many."""
        self.most = max(1, lanes)
        self.lanes = self.most

    def lower(self, lanes: int) -> None:
        """More than so many cannot be had."""
        self.lanes = max(1, min(self.lanes, lanes))

    def measured(self, seconds: float, items: int, amount: int, lanes: int, *, busy: bool) -> None:
        """Learn nothing."""


class Sample(NamedTuple):
    """What so many lanes brought in so many seconds, all of them at work all the time."""

    seconds: float
    work: float
    lanes: int

    @property
    def rate(self) -> float:
        """Work per second."""
        return self.work / self.seconds


class Level(NamedTuple):
    """Where the climb is: `lanes` now, `best` so far with its rate, how long to stay, and which way to try next."""

    lanes: int
    most: int
    best: int = 0
    best_rate: float = 0.0
    hold: int = 0
    rising: bool = True


def decide(level: Level, sample: Sample) -> Level:
    """Return the next level, given what the present one brought. A try that does well is followed by another one.

    After one that did not, the other way is tried next: more lanes may bring more, and fewer as much.
    """
    if sample.lanes != level.lanes:
        return level
    if level.best in {0, level.lanes}:
        return _at_best(level, sample.rate)
    if _does_well(level, sample.rate):
        return _tried(level._replace(best=level.lanes, best_rate=sample.rate))
    return _held(level._replace(lanes=level.best))


def _does_well(level: Level, rate: float) -> bool:
    expected = level.best_rate * level.lanes / level.best
    more = level.best_rate + GAIN * (expected - level.best_rate)
    return rate >= (more if level.rising else AS_MUCH * level.best_rate)


def _at_best(level: Level, rate: float) -> Level:
    if level.best and rate < LOSS * level.best_rate:
        return _tried(level._replace(best_rate=rate, rising=False))
    level = level._replace(best=level.lanes, best_rate=(level.best_rate + rate) / 2 if level.best else rate)
    return level._replace(hold=level.hold - 1) if level.hold else _tried(level)


def _tried(level: Level) -> Level:
    """Return the level with half as many lanes more than the best, or a quarter less."""
    change = max(1, level.best // 2) if level.rising else -max(1, level.best // 4)
    lanes = max(1, min(level.most, level.best + change))
    return level._replace(lanes=lanes) if lanes != level.best else _held(level)


def _held(level: Level) -> Level:
    return level._replace(hold=HOLD_WINDOWS, rising=not level.rising)


class Climb:
    """A cap that finds itself."""

    def __init__(self, most: int, first: int | None = None) -> None:
        """Begin at `first` lanes, what was found right before, and never go beyond `most`."""
        most = max(1, most)
        self.level = Level(max(1, min(first or FIRST_LANES, most)), most)
        self._seconds = self._work = 0.0

    @property
    def lanes(self) -> int:
        """The number that is right as far as is known."""
        return self.level.lanes

    @property
    def most(self) -> int:
        """More than this it never is."""
        return self.level.most

    @property
    def found(self) -> int:
        """The number that brought most; 0 as long as nothing was measured."""
        return self.level.best

    def lower(self, lanes: int) -> None:
        """More than so many sessions cannot be had."""
        lanes = max(1, lanes)
        self.level = self.level._replace(
            lanes=min(self.level.lanes, lanes), most=min(self.level.most, lanes), best=min(self.level.best, lanes)
        )

    def measured(self, seconds: float, items: int, amount: int, lanes: int, *, busy: bool) -> None:
        """Learn what so many lanes brought; what they did while they were not all busy says nothing."""
        if not busy or lanes != self.level.lanes:
            self._seconds = self._work = 0.0
            return
        self._seconds += seconds
        self._work += items * ITEM + amount
        if self._seconds >= WINDOW_S and self._work:
            self.level = decide(self.level, Sample(self._seconds, self._work, lanes))
            self._seconds = self._work = 0.0


class Meter:
    """What the lanes brought since the cap was last told."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.amount = 0
        self.busy = True
        self._told = (0.0, 0, 0)

    def tell(self, cap: Cap, now: float, items: int, lanes: int, *, idle: bool) -> None:
        """Tell the cap: so many items have ended in all, and `idle` says that a lane has nothing to do now."""
        then, before, amount = self._told
        self._told = now, items, self.amount
        if then:
            busy = self.busy and not idle
            cap.measured(now - then, items - before, self.amount - amount, lanes, busy=busy)
            self.busy = not idle
