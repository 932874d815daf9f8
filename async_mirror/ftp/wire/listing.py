"""Listings of remote folders, read from bytes: MLSD (RFC 3659) and LIST. Pure."""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from operator import itemgetter

from async_mirror.ftp.wire import replies
from async_mirror.ftp.wire.figures import UnreadableLineError, known_size, parse_mode, parse_time
from async_mirror.ftp.wire.list_lines import Read, parse_list
from async_mirror.model import paths
from async_mirror.model.entry import UNKNOWN, Entry, Kind
from async_mirror.remote.session import RemoteListing

LONGEST_LISTING = 192 * 1024 * 1024
"""Bytes; a million files have 100 to 190 bytes each. What is kept of them may take four times as many, as text."""
MOST_LINES = 1_500_000
"""An entry takes 300 bytes of memory or more, however short its line is."""
_MOST_ODDITIES = 100
_MOST_SHOWN = 200
"""Characters of a line that cannot be read."""

_PLAIN = {
    "type": "file",
    "size": r"(?P<size>\d{1,18})",
    "modify": r"(?P<day>(?:19|20)\d{6})(?P<hour>[01]\d|2[0-3])(?P<minute>[0-5]\d)(?P<second>[0-5]\d)",
    "unix.mode": r"(?P<mode>[0-7]{3,7})",
}
"""The facts of a file that matter, as nearly all servers write them."""
_ANYTHING = r"[^;\n]*+"
_LONGEST_FACTS = 400
"""Characters; longer ones are not worth an expression of their own."""
_SELF_AND_PARENT = frozenset({".", ".."})
_HOUR_S = 3600
_NS = 1_000_000_000


def parse_facts(line: str, folder: str, *, itself: bool = False) -> Read | None:
    """Read a line of MLSD or MLST: (name, entry); the entry is None for links and the like.

    The facts end at the first semicolon before a blank: names of groups may hold blanks. Returns None for the listed
    folder itself and its parent, unless `itself` is wanted, as from MLST.
    Raises UnreadableLineError.
    """
    facts_text, space, name = line.partition("; " if "; " in line else " ")
    facts = {}
    for fact in facts_text.split(";"):
        key, _, value = fact.partition("=")
        facts[key.strip().lower()] = value  # some put a blank before the first, as in a reply to MLST
    kind = facts.get("type", "").lower()
    if kind in {"cdir", "pdir"} and not itself:
        return None
    if not space or not name or "=" not in facts_text:
        raise UnreadableLineError(line)
    path = paths.join(folder, name)
    modified = parse_time(facts.get("modify", ""))
    mode = parse_mode(facts.get("unix.mode", ""))
    if kind in {"dir", "cdir", "pdir"}:
        return name, Entry(path, Kind.FOLDER, 0, modified, mode)
    if kind == "file":
        return name, Entry(path, Kind.FILE, known_size(facts.get("size", "")), modified, mode)
    return name, None


_Fields = tuple[str, str, str, str, str, str, str, str]


@lru_cache(maxsize=64)
def _reader(keys: tuple[str, ...]) -> Callable[[str], Iterator[_Fields]] | None:
    """Return what reads many lines at once, most of them of files with these facts in this order, and plain names.

    It gives (name, size, day, hour, minute, second, mode, "") of each of those, and the line itself as the last field
    of any other. None if there is no reading such lines at once.
    """
    wanted = [key.strip().lower() for key in keys]
    if len(set(wanted)) < len(wanted) or not {"type", "size", "modify"}.issubset(wanted):
        return None
    facts = "".join(f"{re.escape(key)}={_PLAIN.get(fact, _ANYTHING)};" for key, fact in zip(keys, wanted, strict=True))
    mode = "" if "unix.mode" in wanted else "(?P<mode>)"
    name = r"(?P<name>[^./\0\r\n][^/\0\r\n]*+)\r?"
    lines = re.compile(rf"^(?:{facts}{mode} {name}|(?P<line>.+))$", re.MULTILINE | re.ASCII)
    fields = ("name", "size", "day", "hour", "minute", "second", "mode", "line")
    in_order = itemgetter(*(lines.groupindex[field] - 1 for field in fields))
    return lambda text: map(in_order, lines.findall(text))


def _reader_for(text: str) -> Callable[[str], Iterator[_Fields]] | None:
    """Return what reads lines like that of the first file in a listing; most of the others are like it."""
    of_lines = (line.partition("; ") for line in text.split("\n"))
    facts = next((facts for facts, end, _ in of_lines if end and "type=file;" in facts + end), "")
    if not 0 < len(facts) <= _LONGEST_FACTS:
        return None
    return _reader(tuple(fact.partition("=")[0] for fact in facts.split(";")))


@lru_cache(maxsize=4096)
def _midnight(day: str) -> int:
    """Return when a day began, as `parse_time` does."""
    return parse_time(f"{day}000000")


class ListingParser:
    """Turns the bytes of a whole listing, as they come, into entries; `end` gives what they are."""

    what = "listing"

    def __init__(self, folder: str, *, facts: bool, now: float) -> None:
        """Begin with nothing received of a folder's listing, which is of MLSD (`facts`) or of LIST."""
        self.endless = False
        """True once it is longer than any honest one; nothing more is taken then."""
        self.shows_itself = False
        """True once it is of a folder for sure; some servers list a file, or nothing, without complaint."""
        self._folder = folder
        self._prefix = paths.join(folder, "")
        self._facts = facts
        self._now = now // _HOUR_S * _HOUR_S  # so that dates that were worked out once are good for other listings
        self._reader: Callable[[str], Iterator[_Fields]] | None = None
        self._rest = b""
        self._bytes = 0
        self._lines = 0
        self._entries: dict[str, Entry] = {}
        self._others: list[str] = []
        self._oddities: list[str] = []
        self._unreadable: list[str] = []

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
        """Take the last line, and return the listing.

        Names that are not one plain component are kept apart as oddities, and so are lines that cannot be read: of
        both the first hundred.
        """
        self._read(self._rest)
        return RemoteListing(
            tuple(self._entries.values()),
            self._facts,
            cut or self.endless,
            tuple(self._others),
            tuple(self._oddities),
            tuple(self._unreadable),
            self.shows_itself and not self._facts,
        )

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
        try:
            read = self._parse(line) if line else None
        except UnreadableLineError:
            if len(self._unreadable) < _MOST_ODDITIES:
                self._unreadable.append(line[:_MOST_SHOWN])
            return
        if read is None:
            return
        name, entry = read
        if name in _SELF_AND_PARENT and not self._facts:
            self.shows_itself = self.shows_itself or name == "."
        elif not paths.is_one_component(name):
            if len(self._oddities) < _MOST_ODDITIES:
                self._oddities.append(name)
        elif entry is None:
            self._others.append(name)
        else:
            self._entries[entry.path] = entry

    def _parse(self, line: str) -> Read | None:
        return parse_facts(line, self._folder) if self._facts else parse_list(line, self._folder, self._now)
