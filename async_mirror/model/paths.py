"""Names and paths as text and as bytes, names that need care, temporary names. Pure: asks nobody."""

import re
import unicodedata

TEMPORARY = re.compile(r"\.am-[0-9a-f]{8}-[0-9a-z]+\.part")

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ud800-\udfff]")
"""What a terminal would obey, what turns the order of the text around it, and what is no character at all.

Joiners, which no emoji and no Persian word can do without, alter nothing but their neighbours' shape.
"""
_SPECIAL = r'\x01-\x1f\x7f\\:*?"<>|'
_ODD = re.compile(rf"^ |[ .]$|[{_SPECIAL}]|[^\x00-\x7f]")
_TELNET = re.compile("\udcff[\udcf0-\udcff]")
_MISREAD = re.compile("[\x01-\x1f\x7f]|" + _TELNET.pattern)
_ODD_CHARACTER = re.compile(rf"[{_SPECIAL}]")


def encode(path: str) -> bytes:
    """Return the bytes of a path, as the local disk and the wire have them."""
    return path.encode("utf-8", "surrogateescape")


def decode(raw: bytes) -> str:
    """Return the text of a path's bytes; bytes that are no UTF-8 survive the way back."""
    return raw.decode("utf-8", "surrogateescape")


def shown(text: str) -> str:
    r"""Return text fit for a terminal or a log: what is `CONTROL` as `\x..` or `\u....`, nothing else changed."""
    return CONTROL.sub(lambda found: _escape(found[0]), text)


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def join(folder: str, name: str) -> str:
    """Return the path of `name` inside `folder`."""
    return f"{folder}/{name}" if folder else name


def split(path: str) -> tuple[str, str]:
    """Return (folder, name) of a path."""
    folder, _, name = path.rpartition("/")
    return folder, name


def parent(path: str) -> str:
    """Return the folder that holds `path`; "" is the root."""
    return path.rpartition("/")[0]


def lineage(path: str) -> list[str]:
    """Return the folders above `path`, topmost first, without the root."""
    parts = path.split("/")[:-1]
    return ["/".join(parts[: depth + 1]) for depth in range(len(parts))]


def is_inside(path: str, folder: str) -> bool:
    """Tell whether `path` is `folder` or lies below it."""
    return not folder or path == folder or path.startswith(folder + "/")


def folded(name: str) -> str:
    """Return what a site that ignores case and Unicode form may take the name for."""
    return unicodedata.normalize("NFC", name).casefold()


def refusal(name: str) -> str | None:
    """Say why a local name can never be sent, or None. CR, LF and NUL would end a command (RFC 959, 5.3)."""
    if "\r" in name or "\n" in name or "\0" in name:
        return "its name holds a line break, which FTP cannot carry"
    return None


def is_one_component(name: str) -> bool:
    """Tell whether a name from the server is a plain component: not empty, no `/`, no NUL, neither `.` nor `..`."""
    return name not in {"", ".", ".."} and "/" not in name and refusal(name) is None


def may_be_misread(name: str) -> bool:
    """Tell whether a server may list a name as it is, and yet take it for another one in a command.

    Pure-FTPd reads `_` for a control character, ProFTPD nothing for a pair of Telnet's, in DELE as in STOR.
    """
    return _MISREAD.search(name) is not None


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
        return "\udcff"
    return "\u00e9" if code < 0x100 else "\u6f22" if code < 0x10000 else "\U0001f600"


def sample(traits: frozenset[str]) -> str:
    """Return a name that has all these odd traits."""
    lead = " " if "^ " in traits else ""
    tail = " " if " $" in traits else "." if ".$" in traits else ""
    middle = "x".join(sorted(traits - {"^ ", " $", ".$"}))
    return f"{lead}x{middle}x{tail}"


def temporary(state_id: str, token: str) -> str:
    """Return a temporary name that no web server runs or shows, and that tells whose it is."""
    return f".am-{state_id}-{token}.part"


def is_temporary(name: str) -> bool:
    """Tell whether a name is one that `temporary` makes, for whatever state."""
    return name.startswith(".am-") and TEMPORARY.fullmatch(name) is not None
