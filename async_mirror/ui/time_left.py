"""How long the rest of a pass takes: a x files + b x bytes of each connection, fitted from what this pass did. Pure."""

from dataclasses import dataclass

LARGE = 1_000_000
"""Bytes of a file from which on its bytes take the time, and not the commands for it."""
_WINDOW_S = 0.5
_FILE, _BYTE = 0.1, 1e-6
"""How much work a file and a byte are, about: only what weighs as much as what depends on it."""
_FADES = 0.995
"""What a window counts for once there is another one: a line that became slower is believed within minutes."""
_WORTH_S, _WORTH_SHARE = 3.0, 0.02
"""For how long, and of what share of the work, there must be windows before a forecast is worth something."""
_UNLIKE = 8.0
"""By what factor small files that are left may be larger or smaller, on average, than those that were seen."""


@dataclass(slots=True)
class TimeLeft:
    """Fits seconds = a x files + b x bytes, a and b >= 0, to what connections did with small files, by least squares.

    Connections do that beside each other. What large files take is told by the bytes that left over all connections
    while there was one: all together are no quicker than that.
    """

    seconds: float = 0.0
    _files_files: float = 0.0
    _bytes_bytes: float = 0.0
    _files_bytes: float = 0.0
    _seconds_files: float = 0.0
    _seconds_bytes: float = 0.0
    _open: tuple[float, float, float] = (0.0, 0.0, 0.0)
    _small: tuple[float, float] = (0.0, 0.0)
    """How many small files were seen, and their bytes."""
    _line: tuple[float, float] = (0.0, 0.0)
    """For how many seconds a large file was under way, of late, and the bytes that left meanwhile."""

    def saw_line(self, seconds: float, size: float) -> None:
        """Take note of how many bytes left over all connections in so many seconds with a large file among them."""
        before_s, before = self._line
        fades = _FADES ** (seconds / _WINDOW_S)
        self._line = before_s * fades + seconds, before * fades + size

    def add(self, seconds: float, files: float, size: float) -> None:
        """Take note that a connection was busy for so many seconds with so many small files, of these bytes in all."""
        seconds, files, size = (one + more for one, more in zip(self._open, (seconds, files, size), strict=True))
        is_whole = seconds >= _WINDOW_S
        self._open = (0.0, 0.0, 0.0) if is_whole else (seconds, files, size)
        if is_whole:
            self._learn(seconds, files, size)

    def _learn(self, seconds: float, files: float, size: float) -> None:
        """Add a window, scaled to one unit of work: else quick ones would outweigh slow ones."""
        self.seconds += seconds
        self._small = self._small[0] + files, self._small[1] + size
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

    @property
    def _mean(self) -> float:
        """Bytes of a small file, on average."""
        return self._small[1] / max(1, self._small[0])

    def left(self, files: float, size: float, connections: int) -> float | None:
        """Return the seconds for so many more files and bytes; None as long as that is worth nothing."""
        per_file, per_byte = self.costs()
        line_s, line_bytes = self._line
        by_line = size * line_s / line_bytes if line_bytes else 0.0
        small = min(size, files * self._mean) if line_bytes else size
        work = per_file * files + per_byte * small + by_line
        seen_s = self.seconds + line_s
        if not self._is_known(files, size) or seen_s < max(_WORTH_S, _WORTH_SHARE * work):
            return None
        return max(work / connections, by_line)

    def _is_known(self, files: float, size: float) -> bool:
        """Tell whether the like of the files that are left was seen."""
        mean = size / max(files, 1.0)
        are_large_known = self._line[0] >= 1.0 or mean <= max(self._mean, 1.0) * _UNLIKE
        are_small_known = (self._small[0] > 0 and mean * _UNLIKE >= self._mean) or mean >= LARGE
        return are_large_known and are_small_known
