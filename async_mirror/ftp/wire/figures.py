"""Sizes, times and modes as servers write them: in facts (RFC 3659), in LIST, in replies. Pure: asks no clock."""

import re
import time
from datetime import UTC, datetime
from functools import lru_cache

from async_mirror.model.entry import UNKNOWN

_SIZE = re.compile(r"\d{1,19}", re.ASCII)
_TIME = re.compile(r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(?:\.(\d{1,9})\d*)?", re.ASCII)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_CLOCK = re.compile(r"(\d{1,2}):(\d\d)(?::(\d\d))?(?:\.\d+(?: [-+]\d{4})?)? ?(?:([AP])M?)?", re.ASCII | re.IGNORECASE)
_WORD = re.compile(r"(?!(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)\b)(?:[^\W\d_]|[\udc80-\udcff]){3,}")
_DAY_S = 86400
_NS = 1_000_000_000
_BEYOND = 1 << 63
"""What the state cannot keep as a size or a time."""


class UnreadableLineError(ValueError):
    """A line of a listing that means nothing to us."""


def parse_size(text: str) -> int:
    """Return the bytes that a number says, as after SIZE (RFC 3659, 4); UNKNOWN if no file can have them."""
    size = int(text) if _SIZE.fullmatch(text) else UNKNOWN
    return size if size < _BEYOND else UNKNOWN


def known_size(text: str) -> int:
    """Return what `parse_size` does. Raises UnreadableLineError where that is UNKNOWN."""
    size = parse_size(text)
    if size == UNKNOWN:
        raise UnreadableLineError(text)
    return size


def parse_mode(text: str) -> int:
    """Return the 0o777 bits of an octal mode; UNKNOWN for anything else."""
    return int(text, 8) & 0o777 if re.fullmatch(r"[0-7]{3,7}", text) else UNKNOWN


def parse_time(text: str) -> int:
    """Return the ns of `YYYYMMDDHHMMSS[.fraction]` in UTC (RFC 3659, 2.3); UNKNOWN for anything else."""
    found = _TIME.fullmatch(text)
    if not found:
        return UNKNOWN
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    return kept(_seconds((year, month, day), hour, minute, second), int((found[7] or "0").ljust(9, "0")))


def format_time(mtime_ns: int) -> str:
    """Return `YYYYMMDDHHMMSS` in UTC; fractions are dropped, for some servers refuse them."""
    return time.strftime("%Y%m%d%H%M%S", time.gmtime(mtime_ns // _NS))


def kept(seconds: int | None, fraction_ns: int = 0) -> int:
    """Return a moment in ns, UNKNOWN if there is none or it is too far from 1970 to be kept."""
    ns = UNKNOWN if seconds is None else seconds * _NS + fraction_ns
    return ns if -_BEYOND <= ns < _BEYOND else UNKNOWN


def _seconds(date: tuple[int, int, int], hour: int = 0, minute: int = 0, second: int = 0) -> int | None:
    """Return the seconds since 1970 of a moment in UTC, None if there is no such moment."""
    leap = second == 60
    try:
        moment = datetime(*date, hour, minute, second - leap, tzinfo=UTC)
    except ValueError:
        return None
    return int(moment.timestamp()) + leap


def parse_date(text: str, now: float) -> int:
    """Return the ns of a date of LIST, as if it were in UTC; UNKNOWN if there is no such day, or in other languages.

    A date without a year is the latest that does not lie in the future.
    """
    clock = _CLOCK.search(text)
    if clock is None:
        return kept(_midnight(text, now + _DAY_S))
    day, seconds, latest = text[: clock.start()] + text[clock.end() :], _since_midnight(*clock.groups()), now + _DAY_S
    midnight = _midnight(day, latest)
    if midnight is not None and midnight + seconds > latest:
        midnight = _midnight(day, latest - seconds)
    return UNKNOWN if midnight is None or seconds > _DAY_S else kept(midnight + seconds)


def _since_midnight(hour: str, minute: str, second: str | None, half: str | None) -> int:
    """Return seconds, more than a day has if there is no such time."""
    hours = int(hour) % 12 + 12 * (half in "Pp") if half else int(hour)
    if hours > 23 or int(minute) > 59:
        return _DAY_S + 1
    return hours * 3600 + int(minute) * 60 + int(second or 0)


@lru_cache(maxsize=4096)
def _midnight(day: str, latest: float) -> int | None:
    """Return the seconds since 1970 when a day began, of the `latest` year that may be if the day has none."""
    date = _date(day)
    if date is None:
        return None
    year, month, number = date
    if year is not None:
        return _seconds((year, month, number))
    this_year = time.gmtime(latest).tm_year
    midnights = (_seconds((each, month, number)) for each in range(this_year, this_year - 9, -1))
    return next((each for each in midnights if each is not None and each <= latest), None)


def _date(text: str) -> tuple[int | None, int, int] | None:
    """Return (year, month, day); the year is None if there is none. 04-05-06 is 5 April, 04.05.06 is 4 May."""
    word = _WORD.search(text)
    numbers = re.findall(r"[0-9]+", text)
    if word:
        if word[0][:3].lower() not in _MONTHS:
            return None
        numbers.insert(0, str(_MONTHS.index(word[0][:3].lower()) + 1))
    elif len(numbers[0]) == 4:
        numbers.append(numbers.pop(0))
    elif int(numbers[0]) > 12 or "." in text:
        numbers[:2] = reversed(numbers[:2])
    month, day, *year = numbers
    return _year(year[0]) if year else None, int(month), int(day)


def _year(text: str) -> int:
    """Return a year of four digits, of two, or counted from 1900."""
    year = int(text)
    if len(text) > 3:
        return year
    return year + (2000 if year < 70 else 1900)
