"""What a server can do, what it cannot bear, and its quirks: one entry each. Makes `model.facts` of replies. Pure.

Three kinds of facts, by what they are about and how long they hold: the server as its fingerprint shows it and the
account, 90 days each, and the path between here and there, one hour.

Speed is earned in three rungs, each proved harmlessly (see `proofs`) and only when those below it hold. One is given
back, with those above it, at once for a conclusive oddity: an answer that fits no command, or out of order. What any
network may bring about (silence, a cut, 421) is a doubt: the next session repeats the proof, and only if that fails,
or a second doubt follows soon, the rung is given back, for a week.
"""

import math
from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple

from async_mirror.ftp.fingerprint import mark_of
from async_mirror.ftp.list_ways import Known
from async_mirror.ftp.path_between import PathBetween
from async_mirror.ftp.replies import Reply, parse_features
from async_mirror.model import odd_names, temporary_names
from async_mirror.model.facts import Fact, Facts
from async_mirror.model.site import Site

_DAY_S = 24 * 3600.0
SERVER_LASTS_S = ACCOUNT_LASTS_S = 90 * _DAY_S
GIVEN_BACK_FOR_S = 7 * _DAY_S
MOST_FINGERPRINTS = 4
"""With more in a day, an address gets only what all of them bear."""
_IN_DOUBT, _PROVED_AGAIN = 1, 2
"""How it stands with a rung that was doubted."""
_TRUSTED_AFTER = 20
"""So many writes that got through in a manner make up for a doubt in it."""

_LIST_WAYS = ("LIST -a", "LIST of a path")

_SHORT_LINE = 250
SHORT_COMMAND = _SHORT_LINE - len("\r\n")
"""Characters of ASCII that any server takes as one line."""
LONG_LINE = "a long line"
NO_UTF8 = "names that are no UTF-8"
_CUTS_THAT_PROVE = 2

_MOST_REMOVAL = 3
"""The greatest number that stands for what a removal comes to; it means something to others alone."""

_BARRED = "not allowed"


class Rung(IntEnum):
    """A manner of being quick."""

    TOGETHER = 1
    """Several commands in one write."""
    AHEAD = 2
    """A port for the next transfer, asked for before that."""
    BEHIND = 3
    """Commands behind a transfer in the same write."""


TOGETHER, AHEAD, BEHIND = Rung

MANNERS = {
    TOGETHER: "several commands at once",
    AHEAD: "a data port asked for in advance",
    BEHIND: "commands behind a transfer",
}


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
    """What one session may count on, read from the facts that all sessions with the server share.

    Until `identify` has told which server it is, nothing is known, and only what any server bears is done.
    """

    def __init__(self, facts: Facts, site: Site) -> None:
        """Begin with what is known of an address."""
        secured = "" if site.scheme == "ftp" else f" {site.scheme}"
        address = f"{site.host.lower()}:{site.port}{secured}"
        self._facts = facts
        self._address = f"address {address}"
        self._server = f"server {address} "
        self.path = PathBetween(facts, address)
        self._account = f"account {site.account}"
        self._removal = f"removal by {site.user}"
        self._of: list[str] = []
        self._begin = ""
        self._read_at = -1
        self._read: PerFile
        self._doubts: dict[Rung, int] = {}
        self._until_trusted: dict[Rung, int] = {}
        self._lacks_now: set[str] = set()
        self._seen_now: set[str] = set()
        self._has_renamed = False
        self.lists = False
        """True if the server lists what it offers (FEAT)."""
        self.offers: dict[str, str] = {}

    # Which server it is.

    def read_features(self, greeting: str, reply: Reply) -> None:
        """Take the reply to FEAT: with the greeting it is the first half of the fingerprint."""
        self.lists = reply.succeeded
        self.offers = parse_features(reply) if reply.succeeded else {}
        self._begin = mark_of(greeting, *sorted(f"{name} {rest}" for name, rest in self.offers.items()))

    def recognise(self) -> bool:
        """Take it for the one server known to begin so, until SYST shows otherwise; True if there is just one."""
        seen = self._known
        alike = [mark for mark in seen if mark.startswith(self._begin)]
        if len(alike) == 1 and not self._is_mixed:
            self._choose(alike)
            return True
        return False

    def identify(self, system: Reply) -> None:
        """Take the reply to SYST, the other half of the fingerprint."""
        mark = f"{self._begin}{mark_of(system.text)}"
        seen = self._seen
        if mark not in seen and len(seen) < MOST_FINGERPRINTS:
            self._find_of(self._address, f"seen {mark}", 1, _DAY_S)
            self._find_of(self._address, f"known {mark}", 1, SERVER_LASTS_S)
        elif mark not in seen:
            self._find_of(self._address, "mixed", 1, _DAY_S)
        self._choose(self._seen if self._is_mixed else [mark])

    @property
    def _seen(self) -> list[str]:
        return self._facts.names(self._address, "seen ")

    @property
    def _known(self) -> list[str]:
        return self._facts.names(self._address, "known ")

    @property
    def _is_mixed(self) -> bool:
        return bool(self._facts.number(self._address, "mixed"))

    def _choose(self, marks: list[str]) -> None:
        of = [f"{self._server}{mark}" for mark in marks]
        if of != self._of:
            self._of = of
            self._read_at = -1
            for rung in Rung:
                self._doubts[rung] = self._generation(_doubts_of(rung))
                self._until_trusted[rung] = _TRUSTED_AFTER if self._number(_doubts_of(rung)) else 0

    def _number(self, name: str) -> int:
        """Return what all of the servers have: 0 if it is known of one that it does not, or not known."""
        return min((self._facts.number(of, name) for of in self._of), default=0)

    def _generation(self, name: str) -> int:
        return max((self._facts.generation(of, name) for of in self._of), default=0)

    def _find(
        self, name: str, value: int, lasts_s: float = SERVER_LASTS_S, told: str = "", *, is_note: bool = False
    ) -> bool:
        facts = [Fact(of, name, value, lasts_s, told=told, is_note=is_note) for of in self._of]
        news = [self._facts.find(fact) for fact in facts]
        return any(news)

    def _find_of(
        self, of: str, name: str, value: int | str, lasts_s: float, told: str = "", *, is_note: bool = False
    ) -> None:
        self._facts.find(Fact(of, name, value, lasts_s, told=told, is_note=is_note))

    # The rungs.

    @property
    def known(self) -> PerFile:
        """What is asked for each file; it costs next to nothing unless something was found out meanwhile."""
        if self._read_at != len(self._facts.log):
            self._read_at = len(self._facts.log)
            self._read = self._reading()
        return self._read

    def _reading(self) -> PerFile:
        facts, path = self._facts, self.path
        lacked = frozenset(name for of in self._of for name in facts.names(of, "lacks ")) | self._lacks_now
        kinds = ["PASV"] if path.is_blocked("EPSV") or "EPSV" in lacked else ["EPSV", "PASV"]
        kept = [odd_names.kept(facts, of) for of in self._accounts]
        return PerFile(
            next((rung - 1 for rung in Rung if not self._holds(rung)), len(Rung)),
            (0, *(self._generation(_name_of(rung)) for rung in Rung)),
            lacked,
            tuple(sorted(kinds, key=path.was_in_vain)),
            frozenset(filter(path.reaches, kinds)),
            frozenset(set.intersection(*kept) if kept else ()),
            temporary_names.known_shape(facts, self._account),
            bool(facts.names(self._account, _BARRED)),
        )

    @property
    def level(self) -> int:
        """The highest rung that holds together with all below it; 0 for none."""
        return self.known.level

    def _holds(self, rung: Rung) -> bool:
        """Tell whether a rung was proved; to a session that was begun in doubt of it, only if it was proved again."""
        begun_in_doubt = self._number(_doubts_of(rung)) == _IN_DOUBT and self._is_latest_doubt(rung)
        return self._number(_name_of(rung)) == 1 and not begun_in_doubt

    def _is_latest_doubt(self, rung: Rung) -> bool:
        """Tell whether this session was begun after the last doubt in a rung."""
        return self._generation(_doubts_of(rung)) == self._doubts[rung]

    def generation(self, rung: int) -> int:
        """Tell how often a rung was won and lost: what leaves now may lose no later one."""
        return self.known.generations[rung]

    def is_open(self, rung: Rung) -> bool:
        """Tell whether a rung is to be proved: those below it hold, and it was neither proved nor given back."""
        return self.level >= rung - 1 and len(self._of) == 1 and self._facts.value(self._of[0], _name_of(rung)) is None

    def may_prove(self, rung: Rung) -> bool:
        """Claim the proof of a rung: of one that is open, or in doubt. The claim ends with `proved`, or `doubt`."""
        in_doubt = self.level == rung - 1 and self._number(_name_of(rung)) == 1
        return (self.is_open(rung) or in_doubt) and self._facts.claim(self._of[0], _name_of(rung))

    def proved(self, rung: Rung, *, holds: bool | None) -> None:
        """Note how a proof ended; None if nothing came of it."""
        self.release(rung)
        if holds:
            self._find(_name_of(rung), 1, told=f"this server accepts {MANNERS[rung]}")
            if self._number(_doubts_of(rung)) == _IN_DOUBT:
                self._find(_doubts_of(rung), _PROVED_AGAIN, 0)
                self._doubts[rung] = self._generation(_doubts_of(rung))
        elif holds is False:
            self._give_back(rung)

    def release(self, rung: Rung) -> None:
        """Let another session prove a rung, if it was not proved."""
        self._facts.release(self._of[0], _name_of(rung))

    def give_back(self, rung: Rung, generation: int) -> bool:
        """Give back a rung, for what left under a generation of it; False if that was lost already."""
        return generation == self._generation(_name_of(rung)) and self._give_back(rung)

    def _give_back(self, rung: Rung) -> bool:
        told = f"this server does not accept {MANNERS[rung]}: uploads are slower (tried again after 7 days)"
        news = self._find(_name_of(rung), 0, GIVEN_BACK_FOR_S, told, is_note=True)
        for above in Rung:
            if above > rung:
                self._find(_name_of(above), 0, GIVEN_BACK_FOR_S)
        return news

    def doubt(self, rung: Rung) -> bool:
        """Note a silence or a cut that followed a write in this manner; return whether the rung is given back for it.

        What befalls several sessions at once is one doubt: only those begun after the last one raise another.
        """
        name = _doubts_of(rung)
        if not self._of or not self._is_latest_doubt(rung):
            return False
        self.release(rung)
        if self._number(name):
            return self._give_back(rung)
        self._find(name, _IN_DOUBT, 0)
        return False

    def passed(self, rung: Rung) -> None:
        """Note that a write in this manner got through: enough of them make up for a doubt."""
        if left := self._until_trusted.get(rung, 0):
            self._until_trusted[rung] = left - 1
            if left == 1:
                self._find(_doubts_of(rung), 0, 0)

    # Commands.

    def has(self, command: str) -> bool:
        """Tell whether the server was seen to do what a command asks, or says that it can."""
        return command in self.offers or self.was_seen(command)

    def was_seen(self, command: str) -> bool:
        """Tell whether the server was seen to do what a command asks."""
        return command in self._seen_now or self._number(f"has {command}") == 1

    def have(self, command: str) -> None:
        """Note that the server did what a command asks."""
        if command not in self._seen_now:
            self._seen_now.add(command)
            self._find(f"has {command}", 1)

    def lacks(self, command: str) -> bool:
        """Tell whether the server does not know a command."""
        return command in self.known.lacked

    def lack(self, command: str) -> None:
        """Note that the server does not know a command: for this session alone, if it says that it does."""
        self._lacks_now.add(command)
        self._read_at = -1
        if command not in self.offers:
            self._find(f"lacks {command}", 1, told=f"this server does not support {command}")

    # Hashes.

    def hash_stands(self, name: str) -> int:
        """Tell how it stands with a way to ask for hashes: 1 if one was right, -1 if one was wrong, 0 if unknown."""
        return self._number(f"hash by {name}")

    def found_hash(self, name: str, *, is_right: bool) -> None:
        """Note whether a hash was right."""
        told = f"this server tells hashes of files by {name} that are " + ("right" if is_right else "wrong")
        self._find(f"hash by {name}", 1 if is_right else -1, told=told)

    # Names.

    def keeps(self, traits: Iterable[str]) -> None:
        """Note odd traits that it keeps."""
        for of in self._accounts:
            for trait in traits:
                self._facts.find(odd_names.as_kept(trait, of))

    def takes_shape(self, shape: int) -> None:
        """Note that the account takes temporary names of this shape, and none of those before it."""
        told = (
            f"this server refuses names such as {temporary_names.SHAPES[0].replace('*', '…')}:"
            f" temporary files are called {temporary_names.SHAPES[shape].replace('*', '…')} there"
        )
        self._find_of(self._account, temporary_names.FACT, shape, ACCOUNT_LASTS_S, told)

    # What is not allowed. It holds for a pass: somebody may give the right to it.

    def renamed(self) -> None:
        """Note that something was renamed."""
        if not self._has_renamed:
            self._has_renamed = True
            self._find_of(self._account, "renames", 1, 0)

    def barred(self, folder: str) -> int:
        """Return what is not allowed in a folder; 0 if nothing is known."""
        if not self.known.bars:
            return 0
        return self._facts.number(self._account, _BARRED) or self._facts.number(self._account, f"{_BARRED} in {folder}")

    def found_barred(self, folder: str, what: int, told: str) -> None:
        """Note what is not allowed in a folder; if that was `told`, nowhere, unless something was renamed."""
        anywhere = told and not self._facts.number(self._account, "renames")
        self._find_of(self._account, _BARRED if anywhere else f"{_BARRED} in {folder}", what, 0, told, is_note=True)

    # Removing.

    @property
    def removal(self) -> int:
        """What RMD of a folder that is not empty comes to, at the worst of the servers that it may meet; 0: unknown."""
        known = [self._facts.number(of, self._removal) for of in self._of]
        worst = min((each for each in known if each > 1), default=1)
        return worst if known and (worst > 1 or 0 not in known) and worst <= _MOST_REMOVAL else 0

    def found_removal(self, removal: int, told: str) -> None:
        """Note what it comes to on this server, for this user."""
        self._find(self._removal, removal, ACCOUNT_LASTS_S, told)

    # What there is not.

    def absent(self, verb: str) -> str | None:
        """Return what the server says to a command about what is not there ("": nothing clear), None if not known."""
        told = {self._facts.value(of, f"absent {verb}") for of in self._accounts}
        known = told.pop() if len(told) == 1 else None if None in told or not told else ""
        return None if known is None else str(known)

    def say_absent(self, verb: str, pattern: str) -> None:
        """Note what it says to that."""
        for of in self._accounts:
            self._find_of(of, f"absent {verb}", pattern, ACCOUNT_LASTS_S)

    @property
    def _accounts(self) -> list[str]:
        """The account on each of the servers: another one may say other things to it."""
        return [of.replace(self._server, f"{self._account} ", 1) for of in self._of]

    # Listings.

    @property
    def list_ways(self) -> Known:
        """What is known of the ways in which the account may ask for a listing."""
        return Known(*(self._seen_of_account(name) for name in _LIST_WAYS))

    @list_ways.setter
    def list_ways(self, known: Known) -> None:
        seen = [(name, value) for name, value in zip(_LIST_WAYS, known, strict=True) if value is not None]
        for of in self._accounts:
            for name, value in seen:
                self._find_of(of, name, int(value), ACCOUNT_LASTS_S)

    def _seen_of_account(self, name: str) -> bool | None:
        """Return what was seen of all of the servers alike."""
        values = {self._facts.value(of, name) for of in self._accounts}
        return values == {1} if values in ({0}, {1}) else None

    # Lines.

    @property
    def longest_line(self) -> int:
        """Bytes of the longest line that the server was seen to take as one; any server takes a short one."""
        return max(_SHORT_LINE, self._number("long line"))

    @property
    def too_long_line(self) -> float:
        """Bytes of the shortest line that it was seen not to take."""
        return self._number("line too long") or math.inf

    def line_taken(self, length: int) -> None:
        """Note that it took a line of so many bytes, the line end included."""
        self._find("long line", max(self.longest_line, length))
        self._find(f"cuts at {LONG_LINE}", 0, 0)

    def line_not_taken(self, length: int) -> None:
        """Note that it took no line of so many bytes."""
        self._find("line too long", int(min(self.too_long_line, length)))

    def cut_at(self, what: str) -> bool:
        """Note that the connection was lost at a sort of line; tell whether that proves anything: once is chance."""
        cuts = self._number(f"cuts at {what}") + 1
        self._find(f"cuts at {what}", cuts, 0)
        return cuts >= _CUTS_THAT_PROVE

    # The way to data ports.

    @property
    def passive_command(self) -> str:
        """EPSV; or PASV where that is not known, or its ports cannot be reached from here."""
        return self.known.passive[0]

    def reaches(self, command: str) -> bool:
        """Tell whether a port of this kind was reached within the hour."""
        return command in self.known.reached


def _name_of(rung: Rung) -> str:
    return f"rung {rung.value}"


def _doubts_of(rung: Rung) -> str:
    return f"doubts of rung {rung.value}"
