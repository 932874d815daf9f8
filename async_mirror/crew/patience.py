"""How long to wait before trying again, and how often. Pure: no loop, no clock."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Patience:
    """How long to wait before trying again: doubled each time, with jitter, up to a limit; and how often.

    A connection is tried `retries` times, and then again for as long as `retry_for_seconds` are not over.
    """

    retries: int = 5
    first_seconds: float = 0.5
    most_seconds: float = 30.0
    retry_for_seconds: float = 0.0

    def is_at_end(self, failures: int, seconds: float) -> bool:
        """Tell whether a connection is given up after so many failures in a row, in so many seconds."""
        return failures > self.retries and seconds >= self.retry_for_seconds

    def pause(self, attempt: int) -> float:
        """Return the seconds to wait before the attempt that follows `attempt` failed ones (from 1)."""
        from random import uniform  # noqa: PLC0415 - who only asks for help waits for nothing

        longest: float = min(self.most_seconds, self.first_seconds * 2.0 ** min(attempt - 1, 20))
        return longest * uniform(0.5, 1.0)  # noqa: S311
