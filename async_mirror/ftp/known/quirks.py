"""Quirks of servers, one entry each: what they are remembered by, and what shows them. Pure.

A new quirk is one entry here, and the place that acts on it. Names are as `Features.have` and `Features.lack` keep
them for months, so they do not change. What a server offers (FEAT), and says that it does not know, is no quirk.
"""

import re

from async_mirror.ftp.wire.replies import Reply

LONG_LINE = "a long line"
"""Bytes of a line that it takes as one: there are servers that take the rest of it for another command."""
NO_UTF8 = "names that are no UTF-8"
"""There are servers that end the connection at such a name."""
LISTING_AS_IMAGE = "listings with TYPE I"
"""simple-ftpd lists with TYPE A alone."""
SHOWN_TEMPORARIES = "our temporaries in listings"
"""A server may hide just these, and show all other names with a dot (`hide_file={.am*}`)."""
REPLACING = "renaming over an existing file"
"""One in five cannot: the old version has to be put aside first."""
SIZE_OF_FILE = "SIZE of a file"
"""Until it was seen to tell one, what it says of nothing may be what it says of everything."""
EARLY_END = "an early end of a data connection"
"""ProFTPD says 226 only after our end; others take an end before the listing has come for a lost transfer."""
TIMES = {"MFMT": "MFMT", "MDTM": "MDTM with a time", "SITE UTIME": "SITE UTIME"}
"""The commands that set times, as they are known; MDTM without a time is another command."""
TIMES_AS_SET = "showing times as they were set"
"""Some take a command for it and set none, or take the time for one of another time zone."""
NO_TIMES_ANY_MORE = "this server does not set modification times any more: files are compared by size"
NO_TIMES = "this server accepts modification times but does not show them as set: files are compared by size"

LOST_BY_SITE = frozenset({"^ ", " $", "\t", '"'})
"""Odd traits with which ProFTPD takes the argument of SITE CHMOD for another name: it splits it at blanks."""
SLOW_ON_DISK = frozenset({"DELE", "RMD", "MKD", "RNTO", "CWD"})
"""Commands that may keep a disk busy."""
OF_THE_PATH = frozenset({450, 451})
"""Refusals "for the moment" that servers give for good, too, of a path that they do not find."""

_JUDGED = 400
"""Characters of a reply that are looked at: a hostile one must not cost more."""
_ABSENT = re.compile(r"no such|not found|(?:not|n't) exist", re.IGNORECASE)
_WANTS_TEXT = re.compile(r"\b(?:encoding|ascii|TYPE A)\b", re.IGNORECASE)
_VOID_PORT = re.compile(r"\b(?:PASV|EPSV)\b.*\b(?:PORT|EPRT)\b|\b(?:PORT|EPRT)\b.*\b(?:PASV|EPSV)\b|No connector")


def takes_long_writes(greeting: str) -> bool:
    """Tell whether it is vsftpd, as far as that says so: others join commands when a read ends between two."""
    return "vsFTPd" in greeting


def is_absent_now(reply: Reply) -> bool:
    """Tell whether 4xx for entering a folder means that there is none: bftpd."""
    return reply.transient and _ABSENT.search(reply.text[:_JUDGED]) is not None


def is_for_the_moment(reply: Reply, of_root: Reply) -> bool:
    """Tell whether 4xx for what cannot be there may be said of all things just then: the root, which is there, too."""
    if not reply.transient or is_absent_now(reply):
        return False
    return of_root.transient or reply.code not in OF_THE_PATH


def wants_text(reply: Reply) -> bool:
    """Tell whether a listing was refused because of TYPE I."""
    return reply.code == 550 and _WANTS_TEXT.search(reply.text[:_JUDGED]) is not None


def is_void_port(reply: Reply) -> bool:
    """Tell whether a transfer was refused because of its port: ftp-srv closes the newest one when a transfer ends."""
    return reply.code in {425, 503} or (reply.code == 550 and _VOID_PORT.search(reply.text[:_JUDGED]) is not None)
