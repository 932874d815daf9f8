"""What was touched in the source, until it has been quiet for a while. Pure: is told the time, and looks at nothing."""

from dataclasses import dataclass
from enum import Enum

from async_mirror.crew.alarm import Wish
from async_mirror.model import paths

FEW = 100
"""So many paths that wait are single changes; more are a burst, whose end is waited for."""
RESTLESS, LONGEST_FEW, LONGEST, LONGEST_GONE = 4, 2, 20, 120
"""In settle times: after how long a path that is never quiet holds up no other; how long single changes hold up what is
quiet itself, and how long a burst does; how long what goes on holds up a deletion."""
MOST = 50_000


class Touch(Enum):
    """What happened to a path."""

    CHANGED = "written, or there now"
    GONE = "deleted, or renamed to elsewhere"


@dataclass(slots=True)
class _Touched:
    """A path that was touched: the folder to look at, and when."""

    folder: str
    first_s: float
    last_s: float
    gone: bool


class Burst:
    """Gathers touched paths until each may be looked at.

    When nothing has been touched for the settle time, all may. While changes go on, a path that is quiet may soon, if
    there are few; what is gone waits until all is quiet, for it may be on its way back.
    """

    def __init__(self, settle_s: float) -> None:
        """Begin with nothing touched."""
        self._settle_s = settle_s
        self._touched: dict[str, _Touched] = {}
        self._whole_since_s: float | None = None

    def touch(self, folder: str, name: str, now_s: float, what: Touch = Touch.CHANGED) -> None:
        """Note that a name in a folder was touched, or with "" the folder as a whole."""
        path = paths.join(folder, name) if name else f"{folder}/"
        known = self._touched.pop(path, None)
        if len(self._touched) >= MOST:
            self.lose(now_s)
        first_s = known.first_s if known else now_s
        self._touched[path] = _Touched(folder, first_s, now_s, what is Touch.GONE)

    def lose(self, now_s: float) -> None:
        """Note that what was touched is not known (any more): everything is to be looked at."""
        self._touched.clear()
        if self._whole_since_s is None:
            self._whole_since_s = now_s
        self._touched["/"] = _Touched("", now_s, now_s, gone=False)

    def __len__(self) -> int:
        """Return how many paths wait; 0 if nothing was touched."""
        return len(self._touched)

    def __contains__(self, path: str) -> bool:
        """Tell whether a path is not quiet, or gone and perhaps on its way back; from any thread."""
        return path in self._touched

    def due_s(self, now_s: float) -> float | None:
        """Return in how many seconds there may be something to take; None if nothing was touched."""
        if not self._touched:
            return None
        calm_at, longest = self._calm_at(), self._longest()
        times = [self._whole_at(calm_at)] if self._whole_since_s is not None else self._times(calm_at, longest)
        return max(0.0, min(times) - now_s)

    def take(self, now_s: float) -> Wish | None:
        """Take what may be looked at now; None for nothing."""
        calm_at, longest = self._calm_at(), self._longest()
        if self._whole_since_s is not None:
            if self._whole_at(calm_at) > now_s:
                return None
            self._touched.clear()
            self._whole_since_s = None
            return Wish(whole=True)
        ready = [path for path, each in self._touched.items() if self._ready_at(each, calm_at, longest) <= now_s]
        folders = frozenset(self._touched.pop(path).folder for path in ready)
        return Wish(whole=False, folders=folders) if ready else None

    def _times(self, calm_at: float, longest: float) -> list[float]:
        return [self._ready_at(each, calm_at, longest) for each in self._touched.values()]

    def _ready_at(self, touched: _Touched, calm_at: float, longest: float) -> float:
        quiet_at = touched.last_s + self._settle_s
        held_up_until = touched.first_s + (LONGEST_GONE if touched.gone else longest) * self._settle_s
        return max(quiet_at, min(calm_at, held_up_until))

    def _whole_at(self, calm_at: float) -> float:
        assert self._whole_since_s is not None
        return min(calm_at, self._whole_since_s + LONGEST_GONE * self._settle_s)

    def _calm_at(self) -> float:
        """Return when all is quiet, but for what never is."""
        restless_s = RESTLESS * self._settle_s
        lasts = (each.last_s for each in self._touched.values() if each.last_s - each.first_s <= restless_s)
        return max(lasts, default=0.0) + self._settle_s

    def _longest(self) -> float:
        return LONGEST_FEW if sum(not each.gone for each in self._touched.values()) <= FEW else LONGEST
