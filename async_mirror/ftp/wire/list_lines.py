"""Lines of LIST in the formats that servers are known to use: Unix, NetWare, NetPresenz, DOS, EPLF. Pure.

No standard says what LIST shows. A format that is not known for sure makes a line unreadable rather than misread.
"""

import re
from functools import cache, lru_cache

from async_mirror.ftp.wire.figures import UnreadableLineError, kept, known_size, parse_date, parse_mode
from async_mirror.model import paths
from async_mirror.model.entry import UNKNOWN, Entry, Kind

Read = tuple[str, Entry | None]
"""A name, and what it is the name of; None for links and the like."""

# Blanks and digits are counted, and never tried again: the cost of a line has to grow with its length alone.
_GAP = "[ \t]{1,80}+"
_N = "[0-9]{1,2}"
_DAY = "(?:0?[1-9]|[12][0-9]|3[01])"
_YEAR = "[0-9]{4}"
_CLOCK = f"{_N}:[0-9]{{2}}(?::[0-9]{{2}})?"
_EXACT = rf"{_N}:[0-9]{{2}}:[0-9]{{2}}\.[0-9]{{1,9}}(?:[ ][-+][0-9]{{4}})?"
_MONTH = r"(?:[^\W\d_]|[\udc80-\udcff]){3,12}+"
"""A month's name in any language and encoding."""
_WEEKDAY = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_MARK = "[^\0-\x7f]{0,3}+"
"""The word for year, month or day behind its number, in Asian languages."""
_PLAIN_DATES = (
    # Jun  7 12:34, Thu Jun  7 12:34:56 2012, 06-07 12:34:56 2012
    rf"(?:(?:{_WEEKDAY}{_GAP})?{_MONTH}\.?{_GAP}{_N}|{_N}[-/]{_N})"
    rf"{_GAP}(?:{_N}:[0-9]{{2}}:[0-9]{{2}}{_GAP}{_YEAR}|{_CLOCK}|{_YEAR})"
    # 7. Juni, 12:34
    rf"|{_DAY}\.?{_GAP}{_MONTH}\.?,?{_GAP}(?:{_CLOCK}|(?:19|20)[0-9]{{2}})"
    # Jun 07, 2012 12:34
    rf"|{_MONTH}{_GAP}{_N},{_GAP}{_YEAR}(?:{_GAP}{_CLOCK})?"
    # 2012-06-07 12:34, 2012-06-07T12:34:56Z, 2012.06.07
    rf"|{_YEAR}[-/.]{_N}[-/.]{_N}(?:{_GAP}(?:{_EXACT}|{_CLOCK})|T{_CLOCK}Z?|[ ]{{0,20}})"
    # 06/07/12, 07-jun-12, 07.06.2012 12:34
    rf"|{_N}(?:[-/.]{_N}[-/.]|-{_MONTH}-)(?:{_YEAR}|1?[0-9]{{2}})(?:{_GAP}{_CLOCK}|[ ]{{0,20}})"
)
_DATES_OF_NUMBERS = (
    rf"(?:0?[1-9]|1[0-2]){_MARK}{_GAP}{_DAY}{_MARK}{_GAP}(?:{_CLOCK}|(?:19|20)[0-9]{{2}}{_MARK})"
    rf"|{_YEAR}{_MARK}{_GAP}{_N}[^\0-\x7f]{{1,3}}+{_GAP}{_N}{_MARK}"
)
"""Such a date may be taken for owner, group and size: a line that has a plain one is never read so."""


@cache  # most servers send lines of one kind, or none at all
def _unix_with(dates: str) -> re.Pattern[str]:
    """Return what reads a line of Unix with such dates: kind, rights, `[` of NetWare, size, date, name.

    Between rights and size stand links, owner and group, or only some of them, and with blanks in them; the size may
    be glued to them. None of them has a colon, so no clock is ever passed over in search of a date.
    """
    usual = rf"{_GAP}[0-9]++{_GAP}[^\s:]++{_GAP}[^\s:]++{_GAP}"
    return re.compile(
        rf"([-dlbcpsD])(?:([-rwxsStTlL]{{9}})[+.@]{{0,2}}|[ ]?(\[)[-A-Z]{{1,10}}\])(?:{usual}|[ \t][^:]{{0,250}}?)"
        rf"(?<![-+.,0-9])([0-9]{{1,19}}){_GAP}({dates})(?(3)[ ]{{1,80}}|[ ])(.*)",
        re.DOTALL,
    )


_DOS = (
    rf"(?s)((?:{_N}[-/.]{_N}[-/.](?:{_YEAR}|[0-9]{{2}})|{_YEAR}[-/.]{_N}[-/.]{_N}){_GAP}"
    rf"{_CLOCK}[ ]?(?:[AaPp][Mm]?)?){_GAP}"
    r"(?:<([A-Z]{3,12})>(?:[ ]{10}|[ \t]{1,80})|([0-9]{1,3}(?:[,.][0-9]{3}){1,6}|[0-9]{1,19})[ ])(.*)"
)
_EPLF = re.compile(r"\+([^\t]{0,1000})\t(.*)", re.DOTALL)
_TOTAL = r"(?i)(?:total|insgesamt|totale|totaal|totalt|razem|celkem|итого|合計|合计|总计|总用量)[ :]{1,9}(?:of )?[0-9]"


def parse_list(line: str, folder: str, now: float) -> Read | None:
    """Read a line of LIST: (name, entry); `now` is for dates without a year. None for a line that names nothing.

    The folder itself and its parent come as `.` and `..`. Raises UnreadableLineError.
    """
    first = line[:1]
    if first in "-dlbcpsD":
        if found := _unix_with(_PLAIN_DATES).fullmatch(line) or _unix_with(_DATES_OF_NUMBERS).fullmatch(line):
            return _of_unix(found, folder, now)
    elif first == "+":
        if found := _EPLF.fullmatch(line):
            return _of_eplf(found[2], found[1].split(","), folder)
    elif found := re.fullmatch(_DOS, line):
        return _of_dos(found, folder, now)
    if re.match(_TOTAL, line):
        return None
    raise UnreadableLineError(line)


def _of_unix(found: re.Match[str], folder: str, now: float) -> Read:
    kind, rights, _, size, date, name = found.groups()
    if kind == "-":
        return name, _file(folder, name, known_size(size), parse_date(date, now), _mode(rights))
    if kind == "d":
        return name, _folder(folder, name, parse_date(date, now), _mode(rights))
    return name.partition(" -> ")[0] if kind == "l" else name, None


@lru_cache(maxsize=512)
def _mode(rights: str | None) -> int:
    """Return the bits of `rwxr-xr-x`; UNKNOWN for those of NetWare."""
    if rights is None:
        return UNKNOWN
    return sum(1 << 8 - place for place, right in enumerate(rights) if right not in "-STlL")


def _of_dos(found: re.Match[str], folder: str, now: float) -> Read:
    date, kind, size, name = found.groups()
    if kind is None:
        return name, _file(folder, name, known_size(re.sub("[,.]", "", size)), parse_date(date, now))
    if kind == "DIR":
        return name, _folder(folder, name, parse_date(date, now))
    return name.partition(" [")[0], None


def _of_eplf(name: str, facts: list[str], folder: str) -> Read:
    """Read what Bernstein's "easily parsed LIST format" says: `/` of a folder, `r` of a file, `s`ize, `m`time, `up`."""
    values = {fact[:1]: fact[1:] for fact in facts}
    modified = kept(int(values["m"])) if re.fullmatch("[0-9]{1,19}", values.get("m", "")) else UNKNOWN
    mode = parse_mode(values.get("u", "").removeprefix("p"))
    if "/" in values:
        return name, _folder(folder, name, modified, mode)
    if "r" in values:
        return name, _file(folder, name, known_size(values.get("s", "")), modified, mode)
    return name, None


def _file(folder: str, name: str, size: int, modified: int, mode: int = UNKNOWN) -> Entry:
    return Entry(paths.join(folder, name), Kind.FILE, size, modified, mode)


def _folder(folder: str, name: str, modified: int, mode: int = UNKNOWN) -> Entry:
    return Entry(paths.join(folder, name), Kind.FOLDER, 0, modified, mode)
