"""How long to wait before trying again, and how often. Pure: no loop, no clock."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Patience:
    """How long to wait before trying again: doubled each time, with jitter, up to a limit; and how often."""

    retries: int = 5
    first_seconds: float = 0.5
    most_seconds: float = 30.0

    def pause(self, attempt: int) -> float:
        """Return the seconds to wait before the attempt that follows `attempt` failed ones (from 1)."""
        from random import uniform  # noqa: PLC0415 - who only asks for help waits for nothing

        longest: float = min(self.most_seconds, self.first_seconds * 2.0 ** min(attempt - 1, 20))
        return longest * uniform(0.5, 1.0)  # noqa: S311
