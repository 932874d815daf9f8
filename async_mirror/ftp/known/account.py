"""What an account sees of a server, and may do there: names, listings, removals, what is not allowed. Pure."""

from collections.abc import Iterable

from async_mirror.ftp.known.identity import DAY_S, Identity
from async_mirror.ftp.known.list_ways import Known
from async_mirror.model import odd_names, temporary_names
from async_mirror.model.facts import Fact
from async_mirror.model.site import Site

ACCOUNT_LASTS_S = 90 * DAY_S
_LIST_WAYS = ("LIST -a", "LIST of a path")
_MOST_REMOVAL = 3
"""The greatest number that stands for what a removal comes to; it means something to others alone."""
_BARRED = "not allowed"


class Account:
    """What is known of the account of a site, on the server that one session speaks to."""

    def __init__(self, identity: Identity, site: Site) -> None:
        """Begin with what is known."""
        self._identity = identity
        self._facts = identity.facts
        self._of = f"account {site.account}"
        self._removal = f"removal by {site.user}"
        self._has_renamed = False

    def _find(self, of: str, name: str, value: int | str, lasts_s: float = ACCOUNT_LASTS_S) -> None:
        self._facts.find(Fact(of, name, value, lasts_s))

    # Names.

    @property
    def kept(self) -> frozenset[str]:
        """Odd traits of names that the site was seen to keep."""
        kept = [odd_names.kept(self._facts, of) for of in self._identity.accounts]
        return frozenset(set.intersection(*kept) if kept else ())

    def keeps(self, traits: Iterable[str]) -> None:
        """Note odd traits that it keeps."""
        for of in self._identity.accounts:
            for trait in traits:
                self._facts.find(odd_names.as_kept(trait, of))

    @property
    def shape(self) -> int:
        """The shape of temporary names that the account takes, as far as is known."""
        return temporary_names.known_shape(self._facts, self._of)

    def takes_shape(self, shape: int) -> None:
        """Note that the account takes temporary names of this shape, and none of those before it."""
        told = (
            f"this server refuses names like {temporary_names.SHAPES[0].replace('*', '…')}:"
            f" temporary files are named {temporary_names.SHAPES[shape].replace('*', '…')}"
        )
        self._facts.find(Fact(self._of, temporary_names.FACT, shape, ACCOUNT_LASTS_S, told=told))

    # What is not allowed. It holds for a pass: the right may be given meanwhile.

    def renamed(self) -> None:
        """Note that something was renamed."""
        if not self._has_renamed:
            self._has_renamed = True
            self._find(self._of, "renames", 1, 0)

    @property
    def bars(self) -> bool:
        """True if something is not allowed somewhere."""
        return bool(self._facts.names(self._of, _BARRED))

    def barred(self, folder: str) -> int:
        """Return what is not allowed in a folder; 0 if nothing is known."""
        return self._facts.number(self._of, _BARRED) or self._facts.number(self._of, f"{_BARRED} in {folder}")

    def found_barred(self, folder: str, what: int, told: str) -> None:
        """Note what is not allowed in a folder; if that was `told`, nowhere, unless something was renamed."""
        anywhere = told and not self._facts.number(self._of, "renames")
        name = _BARRED if anywhere else f"{_BARRED} in {folder}"
        self._facts.find(Fact(self._of, name, what, 0, told=told, is_note=True))

    # Removing.

    @property
    def removal(self) -> int:
        """What RMD of a folder that is not empty comes to, at the worst of the servers that it may meet; 0: unknown."""
        known = [self._facts.number(of, self._removal) for of in self._identity.of]
        worst = min((each for each in known if each > 1), default=1)
        return worst if known and (worst > 1 or 0 not in known) and worst <= _MOST_REMOVAL else 0

    def found_removal(self, removal: int, told: str) -> None:
        """Note what it comes to on this server, for this user."""
        self._identity.find(self._removal, removal, ACCOUNT_LASTS_S, told)

    # What there is not.

    def absent(self, verb: str) -> str | None:
        """Return what the server says to a command about what is not there ("": nothing clear), None if not known."""
        told = {self._facts.value(of, f"absent {verb}") for of in self._identity.accounts}
        known = told.pop() if len(told) == 1 else None if None in told or not told else ""
        return None if known is None else str(known)

    def say_absent(self, verb: str, pattern: str, *, lasts: bool = True) -> None:
        """Note what it says to that; for this pass alone if that does not last."""
        for of in self._identity.accounts:
            self._find(of, f"absent {verb}", pattern, ACCOUNT_LASTS_S * lasts)

    # Listings.

    @property
    def list_ways(self) -> Known:
        """What is known of the ways in which the account may ask for a listing."""
        return Known(*(self._seen_on_all(name) for name in _LIST_WAYS))

    @list_ways.setter
    def list_ways(self, known: Known) -> None:
        seen = [(name, value) for name, value in zip(_LIST_WAYS, known, strict=True) if value is not None]
        for of in self._identity.accounts:
            for name, value in seen:
                self._find(of, name, int(value))

    def _seen_on_all(self, name: str) -> bool | None:
        """Return what was seen of all of the servers alike."""
        values = {self._facts.value(of, name) for of in self._identity.accounts}
        return values == {1} if values in ({0}, {1}) else None
