"""How long the rest of a pass takes: a x files + b x bytes, fitted from what was seen in this pass. Pure."""

import math
from dataclasses import dataclass

_WINDOW_S = 0.5
_FILE, _BYTE = 0.1, 1e-6
"""How much work a file and a byte are, about: only what weighs as much as what depends on it."""
_FADES = 0.995
"""What a window counts for once there is another one: a line that became slower is believed within minutes."""
_WORTH_S, _WORTH_SHARE = 3.0, 0.02
"""For how long, and of what share of the work, there must be windows before a forecast is worth something."""
_BEYOND = 64.0
"""By what factor the files that are left may be larger, on average, than any that was seen, or smaller."""


@dataclass(slots=True)
class TimeLeft:
    """Fits seconds = a x files + b x bytes, a and b >= 0, to windows of a pass by least squares."""

    seconds: float = 0.0
    _files_files: float = 0.0
    _bytes_bytes: float = 0.0
    _files_bytes: float = 0.0
    _seconds_files: float = 0.0
    _seconds_bytes: float = 0.0
    _open: tuple[float, float, float] = (0.0, 0.0, 0.0)
    _smallest: float = math.inf
    _largest: float = 0.0

    def saw(self, size: float, done: float) -> None:
        """Take note of a file of this size, of which so much is done."""
        self._smallest = min(self._smallest, size)
        self._largest = max(self._largest, done)

    def add(self, seconds: float, files: float, size: float) -> None:
        """Take note that so many files and bytes were done in so many seconds of work."""
        seconds, files, size = (one + more for one, more in zip(self._open, (seconds, files, size), strict=True))
        is_whole = seconds >= _WINDOW_S and (files > 0 or size > 0)
        self._open = (0.0, 0.0, 0.0) if is_whole else (seconds, files, size)
        if is_whole:
            self._learn(seconds, files, size)

    def _learn(self, seconds: float, files: float, size: float) -> None:
        """Add a window, scaled to one unit of work: else quick ones would outweigh slow ones."""
        self.seconds += seconds
        work = files * _FILE + size * _BYTE
        seconds, files, size = seconds / work, files / work, size / work
        for name, more in (
            ("_files_files", files * files),
            ("_bytes_bytes", size * size),
            ("_files_bytes", files * size),
            ("_seconds_files", seconds * files),
            ("_seconds_bytes", seconds * size),
        ):
            setattr(self, name, getattr(self, name) * _FADES + more)

    def costs(self) -> tuple[float, float]:
        """Return the seconds for a file and for a byte."""
        determinant = self._files_files * self._bytes_bytes - self._files_bytes**2
        if determinant > 1e-9 * self._files_files * self._bytes_bytes:
            per_file = (self._seconds_files * self._bytes_bytes - self._seconds_bytes * self._files_bytes) / determinant
            per_byte = (self._seconds_bytes * self._files_files - self._seconds_files * self._files_bytes) / determinant
            if per_file >= 0 and per_byte >= 0:
                return per_file, per_byte
        by_bytes = self._seconds_bytes / self._bytes_bytes if self._bytes_bytes else 0.0
        by_files = self._seconds_files / self._files_files if self._files_files else 0.0
        return (0.0, by_bytes) if self._explains_more(by_bytes, by_files) else (by_files, 0.0)

    def _explains_more(self, by_bytes: float, by_files: float) -> bool:
        """Tell whether bytes alone say more of the time than files alone."""
        return by_bytes * self._seconds_bytes > by_files * self._seconds_files

    def left(self, files: float, size: float) -> float | None:
        """Return the seconds for so many more files and bytes; None as long as that is worth nothing."""
        per_file, per_byte = self.costs()
        left = per_file * files + per_byte * size
        mean = size / max(files, 1.0)
        is_known = self._smallest / _BEYOND <= mean <= max(self._largest, 1.0) * _BEYOND
        is_worth_something = self.seconds >= max(_WORTH_S, _WORTH_SHARE * left)
        return left if is_known and is_worth_something else None
