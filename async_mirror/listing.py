"""Listings of remote folders, read from bytes: MLSD (RFC 3659) and LIST as Unix servers write it. Pure."""

import re
import time
from datetime import UTC, datetime

from async_mirror import names
from async_mirror.entry import UNKNOWN, Entry, Kind
from async_mirror.remote import RemoteListing

_UNIX = re.compile(
    r"([-dlbcps])([-rwxsStT]{9})[+.@]?\s+\d+(?:\s+\S+){1,2}?\s+(\d+)\s+"
    r"([A-Za-z]{3})\s+(\d{1,2})\s+(\d{1,2}:\d{2}|\d{4}) (.*)",
    re.DOTALL | re.ASCII,
)
_TIME = re.compile(r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(?:\.(\d{1,9})\d*)?", re.ASCII)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAY_S = 86400
_NS = 1_000_000_000


class UnreadableLineError(ValueError):
    """A line of a listing that means nothing to us."""


def parse_time(text: str) -> int:
    """Return the ns of `YYYYMMDDHHMMSS[.fraction]` in UTC (RFC 3659, 2.3); UNKNOWN for anything else."""
    found = _TIME.fullmatch(text)
    if not found:
        return UNKNOWN
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    seconds = _seconds((year, month, day), hour, minute, second)
    return UNKNOWN if seconds is None else seconds * _NS + int((found[7] or "0").ljust(9, "0"))


def _seconds(date: tuple[int, int, int], hour: int = 0, minute: int = 0, second: int = 0) -> int | None:
    """Return the seconds since 1970 of a moment in UTC, None if there is no such moment."""
    leap = second == 60
    try:
        moment = datetime(*date, hour, minute, second - leap, tzinfo=UTC)
    except ValueError:
        return None
    return int(moment.timestamp()) + leap


def format_time(mtime_ns: int) -> str:
    """Return `YYYYMMDDHHMMSS` in UTC; fractions are dropped, for some servers refuse them."""
    return time.strftime("%Y%m%d%H%M%S", time.gmtime(mtime_ns // _NS))


def parse_facts(line: str, folder: str, *, itself: bool = False) -> tuple[str, Entry | None] | None:
    """Read a line of MLSD or MLST: (name, entry); the entry is None for links and the like.

    Returns None for the listed folder itself and its parent, unless `itself` is wanted, as from MLST.
    Raises UnreadableLineError.
    """
    facts_text, space, name = line.partition(" ")
    facts = {}
    for fact in facts_text.split(";"):
        key, _, value = fact.partition("=")
        facts[key.lower()] = value
    kind = facts.get("type", "").lower()
    if kind in {"cdir", "pdir"} and not itself:
        return None
    if not space or not name or "=" not in facts_text:
        raise UnreadableLineError(line)
    path = names.join(folder, name)
    modified = parse_time(facts.get("modify", ""))
    mode = _octal(facts.get("unix.mode", ""))
    if kind in {"dir", "cdir", "pdir"}:
        return name, Entry(path, Kind.FOLDER, 0, modified, mode)
    if kind == "file":
        return name, Entry(path, Kind.FILE, _size(facts.get("size", "")), modified, mode)
    return name, None


def _size(text: str) -> int:
    if not re.fullmatch(r"\d{1,19}", text, re.ASCII) or int(text) >= 1 << 63:
        raise UnreadableLineError(text)
    return int(text)


def _octal(text: str) -> int:
    return int(text, 8) & 0o777 if re.fullmatch(r"[0-7]{3,7}", text) else UNKNOWN


def parse_unix(line: str, folder: str, now: float) -> tuple[str, Entry | None] | None:
    """Read a line of LIST; see `parse_facts`. Dates without a year are the latest that do not lie in the future.

    Raises UnreadableLineError.
    """
    found = _UNIX.fullmatch(line)
    if not found:
        if re.match(r"total \d+", line):
            return None
        raise UnreadableLineError(line)
    kind, rights, size, month, day, clock, name = found.groups()
    if name in {".", ".."}:
        return None
    if kind == "l":
        return name.partition(" -> ")[0], None
    if kind not in "-d":
        return name, None
    modified = _unix_time(month, int(day), clock, now)
    mode = sum(1 << 8 - place for place, right in enumerate(rights) if right not in "-ST")
    is_folder = kind == "d"
    entry_kind = Kind.FOLDER if is_folder else Kind.FILE
    return name, Entry(names.join(folder, name), entry_kind, 0 if is_folder else _size(size), modified, mode)


def _unix_time(month_name: str, day: int, clock: str, now: float) -> int:
    if month_name.lower() not in _MONTHS:
        return UNKNOWN
    month = _MONTHS.index(month_name.lower()) + 1
    if ":" not in clock:
        seconds = _seconds((int(clock), month, day))
        return UNKNOWN if seconds is None else seconds * _NS
    hour, minute = (int(part) for part in clock.split(":"))
    this_year = time.gmtime(now).tm_year
    for year in range(this_year + 1, this_year - 9, -1):
        seconds = _seconds((year, month, day), hour, minute)
        if seconds is not None and seconds <= now + _DAY_S:
            return seconds * _NS
    return UNKNOWN


def parse_listing(raw: bytes, folder: str, *, facts: bool, now: float, cut: bool = False) -> RemoteListing:
    """Read a whole listing of a folder; it counts as cut if a line of it cannot be read.

    Names that are not one plain component are kept apart as oddities.
    """
    entries: dict[str, Entry] = {}
    others: list[str] = []
    oddities: list[str] = []
    for raw_line in raw.split(b"\n"):
        line = names.decode(raw_line).removesuffix("\r")
        try:
            read = (parse_facts(line, folder) if facts else parse_unix(line, folder, now)) if line else None
        except UnreadableLineError:
            cut = True
            continue
        if read is None:
            continue
        name, entry = read
        if not names.is_one_component(name):
            oddities.append(name)
        elif entry is None:
            others.append(name)
        else:
            entries[name] = entry
    return RemoteListing(tuple(entries.values()), facts, cut, tuple(others), tuple(oddities))
