"""Which server it is: by a fingerprint of what it says of itself, whatever time or number stands in it. Pure."""

import re
from hashlib import sha256

from async_mirror.ftp.wire.replies import Reply, parse_features
from async_mirror.model.facts import Fact, Facts
from async_mirror.model.site import Site

DAY_S = 24 * 3600.0
SERVER_LASTS_S = 90 * DAY_S
MOST_FINGERPRINTS = 4
"""With more in a day, an address gets only what all of them bear."""
_JUDGED = 1000
"""Characters of a greeting, or of a feature, that are looked at: a hostile one must not cost more."""

_VARIABLE = re.compile(
    r"\b\d{1,2}:\d\d(?::\d\d)?\b|\b(?:mon|tue|wed|thu|fri|sat|sun|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)\w*\b"
    r"|\b\d{4}-\d\d-\d\d\b|\b\d{1,2}[./]\d{1,2}[./]\d{4}\b|\b\d{1,3}(?:\.\d{1,3}){3}\b|\b(?=\w*\d)[0-9a-f-]{8,}\b"
    r"|(?<![\w.])\d+(?![\w.]*\w)",
    re.IGNORECASE,
)
"""What differs from one greeting of a server to the next: times, dates, addresses, long hex, counters; no versions."""


def mark_of(*texts: str) -> str:
    """Return a short mark of texts, in which what varies from one session to the next does not count."""
    told = "\n".join(_VARIABLE.sub("#", text[:_JUDGED]) for text in texts)
    return sha256(told.encode("utf-8", "surrogateescape")).hexdigest()[:16]


class Identity:
    """The server that one session speaks to, or all that it may be, and the facts about it that sessions share.

    Until `identify` has told which server it is, nothing is known, and only what every server allows is done.
    """

    def __init__(self, facts: Facts, site: Site) -> None:
        """Begin with what is known of an address."""
        secured = "" if site.scheme == "ftp" else f" {site.scheme}"
        self.address = f"{site.host.lower()}:{site.port}{secured}"
        self.facts = facts
        self.of: list[str] = []
        """What facts about it are of: a name for each server that it may be."""
        self.lists = False
        """True if the server lists what it offers (FEAT)."""
        self.offers: dict[str, str] = {}
        self._account = f"account {site.account} "
        self._of_address = f"address {self.address}"
        self._of_server = f"server {self.address} "
        self._begin = ""

    def read_features(self, greeting: str, reply: Reply) -> None:
        """Take the reply to FEAT: with the greeting it is the first half of the fingerprint."""
        self.lists = reply.succeeded
        self.offers = parse_features(reply) if reply.succeeded else {}
        self._begin = mark_of(greeting, *sorted(f"{name} {rest}" for name, rest in self.offers.items()))

    def recognise(self) -> bool:
        """Take it for the one server known to begin so, until SYST shows otherwise; True if there is just one."""
        known = self.facts.names(self._of_address, "known ")
        alike = [mark for mark in known if mark.startswith(self._begin)]
        if len(alike) == 1 and not self._is_mixed:
            self._choose(alike)
            return True
        return False

    def identify(self, system: Reply) -> None:
        """Take the reply to SYST, the other half of the fingerprint."""
        mark = f"{self._begin}{mark_of(system.text)}"
        seen = self._seen
        if mark not in seen and len(seen) < MOST_FINGERPRINTS:
            self.facts.find(Fact(self._of_address, f"seen {mark}", 1, DAY_S))
            self.facts.find(Fact(self._of_address, f"known {mark}", 1, SERVER_LASTS_S))
        elif mark not in seen:
            self.facts.find(Fact(self._of_address, "mixed", 1, DAY_S))
        self._choose(self._seen if self._is_mixed else [mark])

    @property
    def _seen(self) -> list[str]:
        return self.facts.names(self._of_address, "seen ")

    @property
    def _is_mixed(self) -> bool:
        return bool(self.facts.number(self._of_address, "mixed"))

    def _choose(self, marks: list[str]) -> None:
        self.of = [f"{self._of_server}{mark}" for mark in marks]

    @property
    def accounts(self) -> list[str]:
        """The account on each of the servers: another one may say other things to it."""
        return [of.replace(self._of_server, self._account, 1) for of in self.of]

    def number(self, name: str) -> int:
        """Return what all of the servers have: 0 if it is known of one that it does not, or not known."""
        return min((self.facts.number(of, name) for of in self.of), default=0)

    def generation(self, name: str) -> int:
        """Tell how often it was found to be otherwise, on the server where that was most often."""
        return max((self.facts.generation(of, name) for of in self.of), default=0)

    def find(
        self, name: str, value: int, lasts_s: float = SERVER_LASTS_S, told: str = "", *, is_note: bool = False
    ) -> bool:
        """Note what was found out about the server; return whether that is news."""
        facts = [Fact(of, name, value, lasts_s, told=told, is_note=is_note) for of in self.of]
        news = [self.facts.find(fact) for fact in facts]
        return any(news)
