"""In which ways to ask LIST for a folder until an answer can be trusted. Pure: sends nothing, keeps nothing.

LIST has no options (RFC 959, 4.1.3), yet most servers hide names with a dot unless asked with `-a`. Others take `-a`
for the name of a folder, and say that it is empty; or take a path with a blank for two.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

from async_mirror.remote.session import RemoteListing

_BLANKS, _PATTERNS = frozenset(" \t"), frozenset("*?[]{}\\")
"""What some servers divide an argument at, and what they take for a pattern of names."""


class Way(NamedTuple):
    """A way to ask: from `inside` the folder, after CWD, or by its path; with `-a`, for `all`, or without."""

    inside: bool
    all: bool

    @property
    def command(self) -> str:
        """The command; the path has to follow unless it is asked from inside."""
        return "LIST -a" if self.all else "LIST"


class Shown(IntEnum):
    """What an answer shows, the best first."""

    FOLDER = 1
    """The folder itself: a dot."""
    NAMES = 2
    """Names, but no dot. It may be a file that was listed, or something else."""
    GARBLED = 3
    """Lines that cannot be read, among others or alone: error messages perhaps."""
    NOTHING = 4
    REFUSED = 5


class Known(NamedTuple):
    """What is known of a server: whether it takes `-a`, and whether it takes a path; None if that was not seen."""

    option: bool | None = None
    path: bool | None = None


Asked = Sequence[tuple[Way, Shown]]
"""The ways in which a folder was asked for, and what each answer showed."""


def shown_by(listing: RemoteListing, *, shows_itself: bool) -> Shown:
    """Judge the listing of an answer that was no refusal."""
    if listing.unreadable:
        return Shown.GARBLED
    if shows_itself:
        return Shown.FOLDER
    return Shown.NAMES if listing.entries or listing.others or listing.oddities else Shown.NOTHING


def next_way(path: str, asked: Asked, known: Known) -> Way | None:
    """Return in which way to ask for a folder next; None if the last answer can be trusted, or no way is left.

    In the root, one is inside already. More may be `known` by now than when the asking began.
    """
    if asked and _stands(path, *asked[-1], known):
        return None
    places = [True] if not path or _PATTERNS & set(path) or known.path is False else [False, True]
    options = [True, False] if known.option is None else [known.option]
    tried = [way for way, _ in asked]
    ways = (Way(inside, option) for inside in places for option in options)
    return next((way for way in ways if way not in tried), None)


def _stands(path: str, way: Way, shown: Shown, known: Known) -> bool:
    sure_place = way.inside or not _BLANKS & set(path)
    match shown:
        case Shown.FOLDER:
            return True
        case Shown.NAMES:
            return sure_place
        case Shown.GARBLED:
            return sure_place and known.option is not None
        case Shown.NOTHING:
            return sure_place and known.option is not None and (way.inside or known.path is True)
        case Shown.REFUSED:
            return False


def best(path: str, asked: Asked) -> int:
    """Return which answer counts: the best, of equals the first; what a path with blanks brought comes last."""
    blanks = bool(_BLANKS & set(path))

    def rank(number: int) -> tuple[bool, bool, Shown]:
        way, shown = asked[number]
        return shown is Shown.REFUSED, blanks and not way.inside and shown is not Shown.FOLDER, shown

    return min(range(len(asked)), key=rank)


def learned(path: str, asked: Asked, known: Known) -> Known:
    """Return what is known of the server after a folder was asked for."""
    way, shown = asked[best(path, asked)]
    worse = [other for other, what in asked if what > shown]
    option, by_path = known
    if not way.all and Way(way.inside, all=True) in worse:
        option = False
    if shown < Shown.NOTHING:
        option = True if way.all else option
        if not way.inside:
            by_path = True
        elif not _BLANKS & set(path) and any(not other.inside for other in worse):
            by_path = False
    return Known(option, by_path)
