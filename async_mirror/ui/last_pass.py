"""What the last pass leaves in the state for `status`: how it ended, why, and since when passes end so. Pure."""

import json
import math
from collections.abc import Mapping
from typing import NamedTuple

from async_mirror.ui.summary import Counts

MOST_FAILURES = 20
MOST_CHARACTERS = 400
INTERRUPTED = "interrupted"


class LastPass(NamedTuple):
    """How the last pass ended. Times are in seconds since 1970."""

    ended: float
    seconds: float
    result: str
    """The name of its exit code in small letters, or `interrupted`."""
    since: float
    """Since when passes end so, by the first of them."""
    told: str
    """What it did, in words."""
    why: tuple[str, ...]
    """What kept it from going on: the guards that tripped, or the error."""
    failures: tuple[Mapping[str, str], ...]
    """The first paths that failed: `path` as it is shown, `problem`, `detail`."""

    def __str__(self) -> str:
        """Return it as the state keeps it."""
        return json.dumps(self)

    @classmethod
    def read(cls, text: str | None) -> "LastPass | None":
        """Read what `str` wrote; what is no such thing is read as no pass."""
        try:
            ended, seconds, result, since, told, why, failures = json.loads(text or "")
            read = cls(
                float(ended),
                float(seconds),
                str(result),
                float(since),
                str(told),
                tuple(map(str, why)),
                tuple({key: str(each[key]) for key in ("path", "problem", "detail")} for each in failures),
            )
        except (ValueError, TypeError, KeyError):
            return None
        return read if all(map(math.isfinite, (read.ended, read.seconds, read.since))) else None


def left_by(counts: Counts, result: str, now: float, before: LastPass | None) -> LastPass:
    """Return what a pass leaves that ended now."""
    result = INTERRUPTED if counts.interrupted else result
    failures = (
        {key: _short(text) for key, text in failure.items()} for failure in counts.first_failures[:MOST_FAILURES]
    )
    return LastPass(
        now,
        counts.seconds,
        result,
        before.since if before and before.result == result else now,
        _short(counts.sentence()),
        tuple(map(_short, [*counts.halts, *filter(None, [counts.trouble])])),
        tuple(failures),
    )


def _short(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 1]}…"
