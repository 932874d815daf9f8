"""Listings of remote folders, read from bytes: MLSD (RFC 3659) and LIST as Unix servers write it. Pure."""

import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from operator import itemgetter

from async_mirror.ftp import replies
from async_mirror.model import paths
from async_mirror.model.entry import UNKNOWN, Entry, Kind
from async_mirror.remote.session import RemoteListing

LONGEST_LISTING = 192 * 1024 * 1024
"""Bytes; a million files have 100 to 190 bytes each. What is kept of them may take four times as many, as text."""
MOST_LINES = 1_500_000
"""An entry takes 300 bytes of memory or more, however short its line is."""
_MOST_ODDITIES = 100

_UNIX = re.compile(
    r"([-dlbcps])([-rwxsStT]{9})[+.@]?\s+\d+(?:\s+\S+){1,2}?\s+(\d+)\s+"
    r"([A-Za-z]{3})\s+(\d{1,2})\s+(\d{1,2}:\d{2}|\d{4}) (.*)",
    re.DOTALL | re.ASCII,
)
_SIZE = re.compile(r"\d{1,19}", re.ASCII)
_TIME = re.compile(r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(?:\.(\d{1,9})\d*)?", re.ASCII)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_PLAIN = {
    "type": "file",
    "size": r"(?P<size>\d{1,18})",
    "modify": r"(?P<day>(?:19|20)\d{6})(?P<hour>[01]\d|2[0-3])(?P<minute>[0-5]\d)(?P<second>[0-5]\d)",
    "unix.mode": r"(?P<mode>[0-7]{3,7})",
}
"""The facts of a file that matter, as nearly all servers write them."""
_ANYTHING = r"[^; \n]*+"
_LONGEST_FACTS = 400
"""Characters; longer ones are not worth an expression of their own."""
_DAY_S = 86400
_NS = 1_000_000_000
_BEYOND = 1 << 63
"""What the state cannot keep as a size or a time."""


class UnreadableLineError(ValueError):
    """A line of a listing that means nothing to us."""


def parse_time(text: str) -> int:
    """Return the ns of `YYYYMMDDHHMMSS[.fraction]` in UTC (RFC 3659, 2.3); UNKNOWN for anything else."""
    found = _TIME.fullmatch(text)
    if not found:
        return UNKNOWN
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    return _kept(_seconds((year, month, day), hour, minute, second), int((found[7] or "0").ljust(9, "0")))


def _kept(seconds: int | None, fraction_ns: int = 0) -> int:
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
    path = paths.join(folder, name)
    modified = parse_time(facts.get("modify", ""))
    mode = _octal(facts.get("unix.mode", ""))
    if kind in {"dir", "cdir", "pdir"}:
        return name, Entry(path, Kind.FOLDER, 0, modified, mode)
    if kind == "file":
        return name, Entry(path, Kind.FILE, _known_size(facts.get("size", "")), modified, mode)
    return name, None


def parse_size(text: str) -> int:
    """Return the bytes that a number says, as after SIZE (RFC 3659, 4); UNKNOWN if no file can have them."""
    size = int(text) if _SIZE.fullmatch(text) else UNKNOWN
    return size if size < _BEYOND else UNKNOWN


def _known_size(text: str) -> int:
    size = parse_size(text)
    if size == UNKNOWN:
        raise UnreadableLineError(text)
    return size


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
    return name, Entry(paths.join(folder, name), entry_kind, 0 if is_folder else _known_size(size), modified, mode)


def _unix_time(month_name: str, day: int, clock: str, now: float) -> int:
    if month_name.lower() not in _MONTHS:
        return UNKNOWN
    month = _MONTHS.index(month_name.lower()) + 1
    if ":" not in clock:
        return _kept(_seconds((int(clock), month, day)))
    hour, minute = (int(part) for part in clock.split(":"))
    this_year = time.gmtime(now).tm_year
    for year in range(this_year + 1, this_year - 9, -1):
        seconds = _seconds((year, month, day), hour, minute)
        if seconds is not None and seconds <= now + _DAY_S:
            return seconds * _NS
    return UNKNOWN


_Fields = tuple[str, str, str, str, str, str, str, str]


@lru_cache(maxsize=64)
def _reader(keys: tuple[str, ...]) -> Callable[[str], Iterator[_Fields]] | None:
    """Return what reads many lines at once, most of them of files with these facts in this order, and plain names.

    It gives (name, size, day, hour, minute, second, mode, "") of each of those, and the line itself as the last field
    of any other. None if there is no reading such lines at once.
    """
    wanted = [key.lower() for key in keys]
    if len(set(wanted)) < len(wanted) or not {"type", "size", "modify"}.issubset(wanted):
        return None
    facts = "".join(f"{re.escape(key)}={_PLAIN.get(key.lower(), _ANYTHING)};" for key in keys)
    mode = "" if "unix.mode" in wanted else "(?P<mode>)"
    name = r"(?P<name>[^./\0\r\n][^/\0\r\n]*+)\r?"
    lines = re.compile(rf"^(?:{facts}{mode} {name}|(?P<line>.+))$", re.MULTILINE | re.ASCII)
    fields = ("name", "size", "day", "hour", "minute", "second", "mode", "line")
    in_order = itemgetter(*(lines.groupindex[field] - 1 for field in fields))
    return lambda text: map(in_order, lines.findall(text))


def _reader_for(text: str) -> Callable[[str], Iterator[_Fields]] | None:
    """Return what reads lines like that of the first file in a listing; most of the others are like it."""
    of_lines = (line.partition(" ")[0] for line in text.split("\n"))
    facts = next((facts for facts in of_lines if "type=file;" in facts), "")
    *each, rest = facts.split(";")
    return None if rest or len(facts) > _LONGEST_FACTS else _reader(tuple(fact.partition("=")[0] for fact in each))


@lru_cache(maxsize=4096)
def _midnight(day: str) -> int:
    """Return when a day began, as `parse_time` does."""
    return parse_time(f"{day}000000")


class ListingParser:
    """Turns the bytes of a whole listing, as they come, into entries; `end` gives what they are."""

    def __init__(self, folder: str, *, facts: bool, now: float) -> None:
        """Begin with nothing received of a folder's listing, which is of MLSD (`facts`) or of LIST."""
        self.endless = False
        """True once it is longer than any honest one; nothing more is taken then."""
        self.shows_itself = False
        """True once it is of a folder for sure; some servers list a file, or nothing, without complaint."""
        self._folder = folder
        self._prefix = paths.join(folder, "")
        self._facts = facts
        self._now = now
        self._reader: Callable[[str], Iterator[_Fields]] | None = None
        self._rest = b""
        self._bytes = 0
        self._lines = 0
        self._entries: dict[str, Entry] = {}
        self._others: list[str] = []
        self._oddities: list[str] = []
        self._cut = False

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        lines, _, self._rest = (self._rest + data).rpartition(b"\n")
        self._bytes += len(data)
        self._lines += data.count(b"\n")
        self.endless = self.endless or (
            self._bytes > LONGEST_LISTING
            or self._lines > MOST_LINES
            or (len(lines) > replies.LONGEST_LINE and max(map(len, lines.split(b"\n"))) > replies.LONGEST_LINE)
            or len(self._rest) > replies.LONGEST_LINE
        )
        if self.endless:
            self._rest = b""
            return
        self.shows_itself = self.shows_itself or (self._facts and self._bytes > 0)
        self._read(lines)

    def end(self, *, cut: bool = False) -> RemoteListing:
        """Take the last line, and return the listing; it counts as cut if a line of it could not be read.

        Names that are not one plain component are kept apart as oddities, as many as anybody wants to read of.
        """
        self._read(self._rest)
        entries = tuple(self._entries.values())
        cut = cut or self._cut or self.endless
        return RemoteListing(entries, self._facts, cut, tuple(self._others), tuple(self._oddities))

    def _read(self, raw: bytes) -> None:
        text = paths.decode(raw)
        self._reader = self._reader or (_reader_for(text) if self._facts else None)
        if self._reader is None:
            for line in text.split("\n"):
                self._read_line(line)
            return
        for name, size, day, hour, minute, second, mode, line in self._reader(text):
            if line:
                self._read_line(line)
                continue
            path, modified = self._prefix + name, _midnight(day)
            if modified != UNKNOWN:
                modified += (int(hour) * 3600 + int(minute) * 60 + int(second)) * _NS
            bits = int(mode, 8) & 0o777 if mode else UNKNOWN
            self._entries[path] = Entry(path, Kind.FILE, int(size), modified, bits)

    def _read_line(self, raw: str) -> None:
        line = raw.removesuffix("\r")
        self.shows_itself = self.shows_itself or line.endswith(" .")
        try:
            read = self._parse(line) if line else None
        except UnreadableLineError:
            self._cut = True
            return
        if read is None:
            return
        name, entry = read
        if not paths.is_one_component(name):
            if len(self._oddities) < _MOST_ODDITIES:
                self._oddities.append(name)
        elif entry is None:
            self._others.append(name)
        else:
            self._entries[entry.path] = entry

    def _parse(self, line: str) -> tuple[str, Entry | None] | None:
        return parse_facts(line, self._folder) if self._facts else parse_unix(line, self._folder, self._now)
