"""Names that need care: what a site may alter, take for another one, or cannot be sent at all. Pure."""

import re
import unicodedata
from functools import lru_cache

from async_mirror.model.facts import Fact, Facts

_KEEPS = "keeps "
KEPT_LASTS_S = 90 * 86400.0
_SPECIAL = r'\x01-\x1f\x7f\\:*?"<>|'
_ODD = re.compile(rf"^ |[ .]$|[{_SPECIAL}]|[^\x00-\x7f]")
_TELNET = re.compile("\udcff[\udcf0-\udcff]")
_MISREAD = re.compile("[\x01-\x1f\x7f]|" + _TELNET.pattern)
_ODD_CHARACTER = re.compile(rf"[{_SPECIAL}]")


def kept(facts: Facts, of: str) -> set[str]:
    """Return the odd traits that are seen to be kept in names, `of` an account on a server."""
    return set(facts.names(of, _KEEPS))


def as_kept(trait: str, of: str) -> Fact:
    """Return what notes that a trait is kept."""
    return Fact(of, _KEEPS + trait, 1, KEPT_LASTS_S)


def kept_anywhere(facts: Facts, account: str) -> set[str]:
    """Return the odd traits that any server was seen to keep in names that this account makes."""
    return {trait for of in facts.about(f"account {account} ") for trait in kept(facts, of)}


def folded(name: str) -> str:
    """Return what a site that ignores case and Unicode form may take the name for."""
    return unicodedata.normalize("NFC", name).casefold()


def differ_in(one: str, other: str) -> str:
    """Say in what two names differ that a site may take for one: "case" or "form"."""
    same = unicodedata.normalize("NFC", one) == unicodedata.normalize("NFC", other)
    return "form" if same else "case"


def refusal(name: str) -> str | None:
    """Say why a local name can never be sent, or None. CR, LF and NUL would end a command (RFC 959, 5.3)."""
    if "\r" in name or "\n" in name or "\0" in name:
        return "its name contains a line break, which FTP cannot transmit"
    return None


def may_be_misread(name: str) -> bool:
    """Tell whether a server may list a name as it is, and yet take it for another one in a command.

    Pure-FTPd reads `_` for a control character, ProFTPD nothing for a pair of Telnet's, in DELE as in STOR.
    """
    return _MISREAD.search(name) is not None


@lru_cache(maxsize=1024)  # each name is asked for when a lane takes it, and when it is used
def odd_traits(name: str) -> frozenset[str]:
    """Return what in a name some servers are known to alter silently.

    Pure-FTPd turns a leading or trailing space and TAB into `_`; servers on Windows drop a trailing dot or space
    and read `\\` and `:` their own way; ProFTPD takes Telnet's 0xFF pairs out; others convert what is not ASCII.
    Each trait is a sample to try it with.
    """
    if not _ODD.search(name):
        return frozenset()
    traits = set(_ODD_CHARACTER.findall(name))
    if name[0] == " ":
        traits.add("^ ")
    if name[-1] in " .":
        traits.add(name[-1] + "$")
    if _TELNET.search(name):
        traits.update(("\udcff\udcff", "\udcff\udcf4"))
    for character in name:
        code = ord(character)
        if code > 0x7F:
            traits.add(_sample_of_class(code))
    return frozenset(traits)


def _sample_of_class(code: int) -> str:
    if 0xDC80 <= code <= 0xDCFF:
        return chr(code) if code == 0xDCFF else "\udce9"
    return "\u00e9" if code < 0x100 else "\u6f22" if code < 0x10000 else "\U0001f600"


def sample(traits: frozenset[str]) -> str:
    """Return a name that has all these odd traits."""
    lead = " " if "^ " in traits else ""
    tail = " " if " $" in traits else "." if ".$" in traits else ""
    middle = "x".join(sorted(traits - {"^ ", " $", ".$"}))
    return f"{lead}x{middle}x{tail}"
