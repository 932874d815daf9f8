"""How fast bytes may leave, over all connections together. Pure: the clock's time goes in, a wait comes out."""

LONGEST_PIECE = 64 * 1024
_PIECES_PER_S = 20
_CREDIT_S = 0.1


class Pace:
    """A limit in bytes per second, or none. What was not used counts for a tenth of a second at the most."""

    def __init__(self, bytes_per_s: float | None = None) -> None:
        """Begin with nothing sent."""
        self._bytes_per_s = bytes_per_s
        self._free_at = float("-inf")

    @property
    def piece(self) -> int:
        """The most bytes to ask for at once: few enough for an even flow. 0 if there is no limit."""
        if self._bytes_per_s is None:
            return 0
        return max(512, min(LONGEST_PIECE, int(self._bytes_per_s / _PIECES_PER_S)))

    def wait_for(self, amount: int, now: float) -> float:
        """Reserve so many bytes, and return the seconds to wait before they may leave."""
        if self._bytes_per_s is None:
            return 0.0
        start = max(self._free_at, now - _CREDIT_S)
        self._free_at = start + amount / self._bytes_per_s
        return max(0.0, start - now)
