"""Listings of remote folders, read from bytes: MLSD (RFC 3659) and LIST as Unix servers write it. Pure."""

import calendar
import re
import time

from async_mirror import names
from async_mirror.entry import UNKNOWN, Entry, Kind
from async_mirror.remote import RemoteListing

_UNIX = re.compile(
    r"([-dlbcps])([-rwxsStT]{9})[+.@]?\s+\d+(?:\s+\S+){1,2}?\s+(\d+)\s+"
    r"([A-Za-z]{3})\s+(\d{1,2})\s+(\d{1,2}:\d{2}|\d{4}) (.*)",
    re.DOTALL,
)
_TIME = re.compile(r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(?:\.(\d{1,9})\d*)?")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAY_S = 86400
_NS = 1_000_000_000


def parse_time(text: str) -> int:
    """Return the ns of `YYYYMMDDHHMMSS[.fraction]` in UTC (RFC 3659, 2.3); UNKNOWN for anything else."""
    found = _TIME.fullmatch(text)
    if not found:
        return UNKNOWN
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    if not (1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second <= 60):
        return UNKNOWN
    seconds = calendar.timegm((year, month, day, hour, minute, second))
    return seconds * _NS + int((found[7] or "0").ljust(9, "0"))


def format_time(mtime_ns: int) -> str:
    """Return `YYYYMMDDHHMMSS` in UTC; fractions are dropped, for some servers refuse them."""
    return time.strftime("%Y%m%d%H%M%S", time.gmtime(mtime_ns // _NS))


def parse_facts(line: str, folder: str) -> tuple[str, Entry | None] | None:
    """Read a line of MLSD or MLST: (name, entry); the entry is None for links and the like.

    Returns None for the folder itself, its parent, and what cannot be read.
    """
    facts_text, space, name = line.partition(" ")
    if not space or not name:
        return None
    facts = {}
    for fact in facts_text.split(";"):
        key, _, value = fact.partition("=")
        facts[key.lower()] = value
    kind = facts.get("type", "").lower()
    if kind in {"cdir", "pdir"}:
        return None
    path = names.join(folder, name)
    modified = parse_time(facts.get("modify", ""))
    mode = _octal(facts.get("unix.mode", ""))
    if kind == "dir":
        return name, Entry(path, Kind.FOLDER, 0, modified, mode)
    if kind == "file" and facts.get("size", "").isdecimal():
        return name, Entry(path, Kind.FILE, int(facts["size"]), modified, mode)
    return name, None


def _octal(text: str) -> int:
    return int(text, 8) & 0o777 if re.fullmatch(r"[0-7]{3,7}", text) else UNKNOWN


def parse_unix(line: str, folder: str, now: float) -> tuple[str, Entry | None] | None:
    """Read a line of LIST; see `parse_facts`. Dates without a year are the latest that do not lie in the future."""
    found = _UNIX.fullmatch(line)
    if not found:
        return None
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
    return name, Entry(names.join(folder, name), entry_kind, 0 if is_folder else int(size), modified, mode)


def _unix_time(month_name: str, day: int, clock: str, now: float) -> int:
    if month_name.lower() not in _MONTHS or not 1 <= day <= 31:
        return UNKNOWN
    month = _MONTHS.index(month_name.lower()) + 1
    if ":" not in clock:
        return calendar.timegm((int(clock), month, day, 0, 0, 0)) * _NS
    hour, minute = (int(part) for part in clock.split(":"))
    this_year = time.gmtime(now).tm_year
    for year in (this_year + 1, this_year, this_year - 1):
        seconds = calendar.timegm((year, month, day, hour, minute, 0))
        if seconds <= now + _DAY_S:
            return seconds * _NS
    return UNKNOWN


def parse_listing(raw: bytes, folder: str, *, facts: bool, now: float, cut: bool = False) -> RemoteListing:
    """Read a whole listing of a folder. Names that are not one plain component are kept apart as oddities."""
    entries: dict[str, Entry] = {}
    others: list[str] = []
    oddities: list[str] = []
    for raw_line in raw.split(b"\n"):
        line = names.decode(raw_line).removesuffix("\r")
        read = parse_facts(line, folder) if facts else parse_unix(line, folder, now)
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
