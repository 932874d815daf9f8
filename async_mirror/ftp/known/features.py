"""What a server can do, and what it cannot bear, as one session counts on it. Makes `model.facts` of replies. Pure.

Three kinds of facts, by what they are about and how long they hold: the server as its fingerprint shows it and the
account, 90 days each, and the path between here and there, one hour.
"""

import math
from typing import NamedTuple

from async_mirror.ftp.known.account import Account
from async_mirror.ftp.known.identity import Identity
from async_mirror.ftp.known.path_between import PathBetween
from async_mirror.ftp.known.quirks import LONG_LINE
from async_mirror.ftp.known.rungs import Rungs
from async_mirror.ftp.wire.replies import Reply
from async_mirror.model.facts import Facts
from async_mirror.model.site import Site

_SHORT_LINE = 250
SHORT_COMMAND = _SHORT_LINE - len("\r\n")
"""Characters of ASCII that any server takes as one line."""
_CUTS_THAT_PROVE = 2


class PerFile(NamedTuple):
    """What is asked for each file, as the facts had it when it was read from them.

    `level` is the highest rung that holds together with all below it, 0 for none. `generations` tells of each rung
    how often it was won and lost: what leaves now may lose no later one. `passive` has the ways to ask for a port, the
    best one first; those of `reached` led to one within the hour. `bars` says that something is not allowed somewhere.
    """

    level: int
    generations: tuple[int, ...]
    lacked: frozenset[str]
    passive: tuple[str, ...]
    reached: frozenset[str]
    kept: frozenset[str]
    shape: int
    bars: bool


class Features:
    """What one session may count on, read from the facts that all sessions with the server share."""

    def __init__(self, facts: Facts, site: Site) -> None:
        """Begin with what is known of an address."""
        self.identity = Identity(facts, site)
        self.account = Account(self.identity, site)
        self.rungs = Rungs(self.identity)
        self.path = PathBetween(facts, self.identity.address)
        self._log = facts.log
        self._read_at = -1
        self._read: PerFile
        self._lacks_now: set[str] = set()
        self._seen_now: set[str] = set()

    def recognise(self) -> bool:
        """Take the server for the one known to begin so, if there is just one, until SYST shows otherwise."""
        is_known = self.identity.recognise()
        if is_known:
            self._begin()
        return is_known

    def identify(self, system: Reply) -> None:
        """Take the reply to SYST, which tells for sure which server it is."""
        before = self.identity.of
        self.identity.identify(system)
        if self.identity.of != before:
            self._begin()

    def _begin(self) -> None:
        self._read_at = -1
        self.rungs.begin()

    # What is asked for each file.

    @property
    def known(self) -> PerFile:
        """What is asked for each file; it costs next to nothing unless something was found out meanwhile."""
        if self._read_at != len(self._log):
            self._read_at = len(self._log)
            self._read = self._reading()
        return self._read

    def _reading(self) -> PerFile:
        identity, path, account = self.identity, self.path, self.account
        lacked = frozenset(name for of in identity.of for name in identity.facts.names(of, "lacks ")) | self._lacks_now
        kinds = ["PASV"] if path.is_blocked("EPSV") or "EPSV" in lacked else ["EPSV", "PASV"]
        return PerFile(
            self.rungs.level,
            self.rungs.generations,
            lacked,
            tuple(sorted(kinds, key=path.was_in_vain)),
            frozenset(filter(path.reaches, kinds)),
            account.kept,
            account.shape,
            account.bars,
        )

    # Commands.

    def has(self, command: str) -> bool:
        """Tell whether the server was seen to do what a command asks, or says that it can."""
        return command in self.identity.offers or self.was_seen(command)

    def was_seen(self, command: str) -> bool:
        """Tell whether the server was seen to do what a command asks."""
        return command in self._seen_now or self.identity.number(f"has {command}") == 1

    def have(self, command: str) -> None:
        """Note that the server did what a command asks."""
        if command not in self._seen_now:
            self._seen_now.add(command)
            self.identity.find(f"has {command}", 1)

    def lacks(self, command: str) -> bool:
        """Tell whether the server does not know a command."""
        return command in self.known.lacked

    def lack(self, command: str, note: str = "") -> None:
        """Note that the server does not know a command: for this session alone, if it says that it does."""
        self._lacks_now.add(command)
        self._read_at = -1
        if command not in self.identity.offers:
            told = note or f"this server does not support {command}"
            self.identity.find(f"lacks {command}", 1, told=told, is_note=bool(note))

    # Hashes.

    def hash_stands(self, name: str) -> int:
        """Tell how it stands with a way to ask for hashes: 1 if one was right, -1 if one was wrong, 0 if unknown."""
        return self.identity.number(f"hash by {name}")

    def found_hash(self, name: str, *, is_right: bool) -> None:
        """Note whether a hash was right."""
        told = f"hashes of files by {name} of this server are " + ("right" if is_right else "wrong")
        self.identity.find(f"hash by {name}", 1 if is_right else -1, told=told)

    # Lines.

    @property
    def longest_line(self) -> int:
        """Bytes of the longest line that the server was seen to take as one; any server takes a short one."""
        return max(_SHORT_LINE, self.identity.number("long line"))

    @property
    def too_long_line(self) -> float:
        """Bytes of the shortest line that it was seen not to take."""
        return self.identity.number("line too long") or math.inf

    def line_taken(self, length: int) -> None:
        """Note that it took a line of so many bytes, the line end included."""
        self.identity.find("long line", max(self.longest_line, length))
        self.identity.find(f"cuts at {LONG_LINE}", 0, 0)

    def line_not_taken(self, length: int) -> None:
        """Note that it took no line of so many bytes."""
        self.identity.find("line too long", int(min(self.too_long_line, length)))

    def cut_at(self, what: str) -> bool:
        """Note that the connection was lost at a sort of line; tell whether that proves anything: once is chance."""
        cuts = self.identity.number(f"cuts at {what}") + 1
        self.identity.find(f"cuts at {what}", cuts, 0)
        return cuts >= _CUTS_THAT_PROVE

    # The way to data ports.

    @property
    def passive_command(self) -> str:
        """EPSV; or PASV where that is not known, or its ports cannot be reached from here."""
        return self.known.passive[0]

    def reaches(self, command: str) -> bool:
        """Tell whether a port of this kind was reached within the hour."""
        return command in self.known.reached
