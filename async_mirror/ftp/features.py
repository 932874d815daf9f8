"""What a server can do, what it cannot bear, and its quirks: one entry each. Makes `model.facts` of replies. Pure.

Three kinds of facts, by what they are about and how long they hold: the server as its fingerprint shows it and the
account, 90 days each, and the path between here and there, one hour.

Speed is earned in three rungs, each proved harmlessly (see `proofs`) and only when those below it hold. One is given
back, with those above it, at once for a conclusive oddity: an answer that fits no command, or out of order. What any
network may bring about (silence, a cut, 421) is a doubt: the next session repeats the proof, and only if that fails,
or a second doubt follows soon, the rung is given back, for a week.
"""

import math
import re
from collections.abc import Iterable
from enum import IntEnum
from hashlib import sha256

from async_mirror.ftp.replies import Reply, parse_features
from async_mirror.model import odd_names
from async_mirror.model.facts import Fact, Facts
from async_mirror.model.site import Site
from async_mirror.model.temporary_names import FACT, FOUND_OUT, SHAPES

_HOUR_S = 3600.0
_DAY_S = 24 * _HOUR_S
SERVER_LASTS_S = ACCOUNT_LASTS_S = 90 * _DAY_S
PATH_LASTS_S = _HOUR_S
GIVEN_BACK_FOR_S = 7 * _DAY_S
MOST_FINGERPRINTS = 4
"""With more in a day, an address gets only what all of them bear."""
_IN_DOUBT, _PROVED_AGAIN = 1, 2
"""How it stands with a rung that was doubted."""
_TRUSTED_AFTER = 20
"""So many writes that got through in a manner make up for a doubt in it."""

_SHORT_LINE = 250
SHORT_COMMAND = _SHORT_LINE - len("\r\n")
"""Characters of ASCII that any server takes as one line."""
_CUTS_THAT_PROVE = 2

_JUDGED = 1000
"""Characters of a greeting, or of a feature, that are looked at: a hostile one must not cost more."""

_MOST_REMOVAL = 3
"""The greatest number that stands for what a removal comes to; it means something to others alone."""

_VARIABLE = re.compile(
    r"\b\d{1,2}:\d\d(?::\d\d)?\b|\b(?:mon|tue|wed|thu|fri|sat|sun|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)\w*\b"
    r"|\b\d{4}-\d\d-\d\d\b|\b\d{1,2}[./]\d{1,2}[./]\d{4}\b|\b\d{1,3}(?:\.\d{1,3}){3}\b|\b(?=\w*\d)[0-9a-f-]{8,}\b"
    r"|(?<![\w.])\d+(?![\w.]*\w)",
    re.IGNORECASE,
)
"""What differs from one greeting of a server to the next: times, dates, addresses, long hex, counters; no versions."""


class Rung(IntEnum):
    """A manner of being quick."""

    TOGETHER = 1
    """Several commands in one write."""
    AHEAD = 2
    """A port for the next transfer, asked for before that."""
    BEHIND = 3
    """Commands behind a transfer in the same write."""


MANNERS = {
    Rung.TOGETHER: "several commands at once",
    Rung.AHEAD: "a data port asked for in advance",
    Rung.BEHIND: "commands behind a transfer",
}


def _mark(*texts: str) -> str:
    """Return a short mark of texts, in which what varies from one session to the next does not count."""
    told = "\n".join(_VARIABLE.sub("#", text[:_JUDGED]) for text in texts)
    return sha256(told.encode("utf-8", "surrogateescape")).hexdigest()[:16]


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
        self._path = f"path {address}"
        self._user = site.account
        self._account = f"account {site.account}"
        self._removal = f"removal by {site.user}"
        self._of: list[str] = []
        self._begin = ""
        self._level = 0
        self._read_at = -1
        self._generations = [0] * (len(Rung) + 1)
        self._doubts: dict[Rung, int] = {}
        self._until_trusted: dict[Rung, int] = {}
        self._lacks_now: set[str] = set()
        self._seen_now: set[str] = set()
        self._lacked: set[str] = set()
        self.round_trip_s = facts.number(self._path, "round trip") / 1000
        self.lists = False
        """True if the server lists what it offers (FEAT)."""
        self.offers: dict[str, str] = {}

    # Which server it is.

    def read_features(self, greeting: str, reply: Reply) -> None:
        """Take the reply to FEAT: with the greeting it is the first half of the fingerprint."""
        self.lists = reply.succeeded
        self.offers = parse_features(reply) if reply.succeeded else {}
        self._begin = _mark(greeting, *sorted(f"{name} {rest}" for name, rest in self.offers.items()))

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
        mark = f"{self._begin}{_mark(system.text)}"
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
    def level(self) -> int:
        """The highest rung that holds together with all below it; 0 for none."""
        if self._read_at != len(self._facts.log):
            self._read()
        return self._level

    def _read(self) -> None:
        """Read what is asked for each file, so that it costs nothing unless something was found out meanwhile."""
        self._read_at = len(self._facts.log)
        self._level = next((rung - 1 for rung in Rung if not self._holds(rung)), len(Rung))
        self._generations = [0, *(self._generation(_name_of(rung)) for rung in Rung)]
        self._lacked = {name for of in self._of for name in self._facts.names(of, "lacks ")} | self._lacks_now

    def _holds(self, rung: Rung) -> bool:
        """Tell whether a rung was proved; to a session that was begun in doubt of it, only if it was proved again."""
        begun_in_doubt = self._number(_doubts_of(rung)) == _IN_DOUBT and self._is_latest_doubt(rung)
        return self._number(_name_of(rung)) == 1 and not begun_in_doubt

    def _is_latest_doubt(self, rung: Rung) -> bool:
        """Tell whether this session was begun after the last doubt in a rung."""
        return self._generation(_doubts_of(rung)) == self._doubts[rung]

    def generation(self, rung: int) -> int:
        """Tell how often a rung was won and lost: what leaves now may lose no later one."""
        if self._read_at != len(self._facts.log):
            self._read()
        return self._generations[rung]

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
        return command in self.offers or self._number(f"has {command}") == 1

    def have(self, command: str) -> None:
        """Note that the server did what a command asks."""
        if command not in self._seen_now:
            self._seen_now.add(command)
            self._find(f"has {command}", 1)

    def lacks(self, command: str) -> bool:
        """Tell whether the server does not know a command."""
        if self._read_at != len(self._facts.log):
            self._read()
        return command in self._lacked

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

    @property
    def kept(self) -> set[str]:
        """The odd traits of names that the site was seen to keep."""
        return odd_names.kept(self._facts, self._user)

    def keeps(self, traits: Iterable[str]) -> None:
        """Note odd traits that it keeps."""
        for trait in traits:
            self._facts.find(odd_names.as_kept(trait, self._user))

    @property
    def shape(self) -> int:
        """The shape of temporary names that the account takes, as far as is known."""
        shape = self._facts.number(self._account, FACT)
        return shape if 0 <= shape < len(FOUND_OUT) else 0

    def takes_shape(self, shape: int) -> None:
        """Note that the account takes temporary names of this shape, and none of those before it."""
        told = (
            f"this server refuses names such as {SHAPES[0].replace('*', '…')}:"
            f" temporary files are called {SHAPES[shape].replace('*', '…')} there"
        )
        self._find_of(self._account, FACT, shape, ACCOUNT_LASTS_S, told)

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
        self._find("cuts at a long line", 0, 0)

    def line_not_taken(self, length: int) -> None:
        """Note that it took no line of so many bytes."""
        self._find("line too long", int(min(self.too_long_line, length)))

    def cut_at_long_line(self) -> bool:
        """Note that the connection was lost at a long line; tell whether that proves anything: once is chance."""
        cuts = self._number("cuts at a long line") + 1
        self._find("cuts at a long line", cuts, 0)
        return cuts >= _CUTS_THAT_PROVE

    # The way to data ports.

    @property
    def passive_command(self) -> str:
        """EPSV; or PASV where that is not known, or its ports cannot be reached from here."""
        return self.passive_commands[0]

    @property
    def passive_commands(self) -> list[str]:
        """The ways to ask for a port, the best one first."""
        blocked = self._facts.value(self._path, "EPSV") == 0
        return ["PASV"] if blocked or self.lacks("EPSV") else ["EPSV", "PASV"]

    def reaches(self, command: str) -> bool:
        """Tell whether a port of this kind was reached within the hour."""
        return self._facts.number(self._path, command) == 1

    def reached(self, command: str, failed: Iterable[str]) -> None:
        """Note that a port of this kind could be reached, and those of others not."""
        self._find_of(self._path, command, 1, PATH_LASTS_S)
        for other in failed:
            told = f"data ports of {other} cannot be reached: {command} is used instead"
            self._find_of(self._path, other, 0, PATH_LASTS_S, told, is_note=True)

    def doubt_path(self, command: str) -> None:
        """Note that a port of this kind was not reached once: the next one is tried with care."""
        self._find_of(self._path, command, -1, 0)

    # Waiting.

    def timed(self, seconds: float) -> None:
        """Take note of how long an exchange took that needed no work of the server."""
        if not self.round_trip_s or seconds < self.round_trip_s:
            self.round_trip_s = seconds
        if self._facts.value(self._path, "round trip") is None:
            self._find_of(self._path, "round trip", max(1, round(seconds * 1000)), PATH_LASTS_S)

    @property
    def patience_s(self) -> float:
        """How long a reply in a quick manner may be missing before another manner is taken."""
        return max(2.0, 4 * self.round_trip_s)

    @property
    def patience_for_data_s(self) -> float:
        """How long a data connection of a kind that is not proved may take."""
        return max(3.0, 4 * self.round_trip_s)


def _name_of(rung: Rung) -> str:
    return f"rung {rung.value}"


def _doubts_of(rung: Rung) -> str:
    return f"doubts of rung {rung.value}"
