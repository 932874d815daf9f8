"""In which manners a server may be asked quickly: three rungs, won, doubted and given back. Pure.

Speed is earned rung by rung, each proved harmlessly (see `proofs`) and only when those below it hold. One is given
back, with those above it, at once for a conclusive oddity: an answer that fits no command, or out of order. What any
network may bring about (silence, a cut, 421) is a doubt: the next session repeats the proof, and only if that fails,
or a second doubt follows soon, the rung is given back, for a week.
"""

from enum import IntEnum

from async_mirror.ftp.known.identity import DAY_S, Identity

GIVEN_BACK_FOR_S = 7 * DAY_S
_IN_DOUBT, _PROVED_AGAIN = 1, 2
"""How it stands with a rung that was doubted."""
_TRUSTED_AFTER = 20
"""So many writes that got through in a manner make up for a doubt in it."""


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


class Rungs:
    """How it stands with the three rungs, as one session sees it."""

    def __init__(self, identity: Identity) -> None:
        """Begin before it is known which server it is; `begin` is called once more when it is."""
        self._identity = identity
        self._doubts: dict[Rung, int] = {}
        self._until_trusted: dict[Rung, int] = {}
        self.begin()

    def begin(self) -> None:
        """Begin a session with the server: doubts from now on are about what was not known now."""
        for rung in Rung:
            self._doubts[rung] = self._identity.generation(_doubts_of(rung))
            self._until_trusted[rung] = _TRUSTED_AFTER if self._identity.number(_doubts_of(rung)) else 0

    @property
    def level(self) -> int:
        """The highest rung that holds together with all below it; 0 for none. `PerFile.level` costs less."""
        return next((rung - 1 for rung in Rung if not self._holds(rung)), len(Rung))

    @property
    def generations(self) -> tuple[int, ...]:
        """How often each rung was won and lost, the first at index 1: what leaves now may lose no later one."""
        return (0, *(self._identity.generation(_name_of(rung)) for rung in Rung))

    def _holds(self, rung: Rung) -> bool:
        """Tell whether a rung was proved; to a session that was begun in doubt of it, only if it was proved again."""
        begun_in_doubt = self._identity.number(_doubts_of(rung)) == _IN_DOUBT and self._is_latest_doubt(rung)
        return self._identity.number(_name_of(rung)) == 1 and not begun_in_doubt

    def _is_latest_doubt(self, rung: Rung) -> bool:
        """Tell whether this session was begun after the last doubt in a rung."""
        return self._identity.generation(_doubts_of(rung)) == self._doubts[rung]

    def _is_open(self, rung: Rung) -> bool:
        """Tell whether a rung is to be proved: those below it hold, and it was neither proved nor given back."""
        of = self._identity.of
        return self.level >= rung - 1 and len(of) == 1 and self._identity.facts.value(of[0], _name_of(rung)) is None

    def may_prove(self, rung: Rung) -> bool:
        """Claim the proof of a rung: of one that is open, or in doubt. The claim ends with `proved`, or `doubt`."""
        in_doubt = self.level == rung - 1 and self._identity.number(_name_of(rung)) == 1
        may = self._is_open(rung) or in_doubt
        return may and self._identity.facts.claim(self._identity.of[0], _name_of(rung))

    def proved(self, rung: Rung, *, holds: bool | None) -> None:
        """Note how a proof ended; None if nothing came of it."""
        self.release(rung)
        if holds:
            self._identity.find(_name_of(rung), 1, told=f"this server accepts {MANNERS[rung]}")
            if self._identity.number(_doubts_of(rung)) == _IN_DOUBT:
                self._identity.find(_doubts_of(rung), _PROVED_AGAIN, 0)
                self._doubts[rung] = self._identity.generation(_doubts_of(rung))
        elif holds is False:
            self._give_back(rung)

    def release(self, rung: Rung) -> None:
        """Let another session prove a rung, if it was not proved."""
        self._identity.facts.release(self._identity.of[0], _name_of(rung))

    def give_back(self, rung: Rung, generation: int) -> bool:
        """Give back a rung, for what left under a generation of it; False if that was lost already."""
        return generation == self._identity.generation(_name_of(rung)) and self._give_back(rung)

    def _give_back(self, rung: Rung) -> bool:
        told = f"this server does not support {MANNERS[rung]}: uploads are slower (next attempt in 7 days)"
        news = self._identity.find(_name_of(rung), 0, GIVEN_BACK_FOR_S, told, is_note=True)
        for above in Rung:
            if above > rung:
                self._identity.find(_name_of(above), 0, GIVEN_BACK_FOR_S)
        return news

    def doubt(self, rung: Rung) -> bool:
        """Note a silence or a cut that followed a write in this manner; return whether the rung is given back for it.

        What befalls several sessions at once is one doubt: only those begun after the last one raise another.
        """
        name = _doubts_of(rung)
        if not self._identity.of or not self._is_latest_doubt(rung):
            return False
        self.release(rung)
        if self._identity.number(name):
            return self._give_back(rung)
        self._identity.find(name, _IN_DOUBT, 0)
        return False

    def passed(self, rung: Rung) -> None:
        """Note that a write in this manner got through: enough of them make up for a doubt."""
        if left := self._until_trusted[rung]:
            self._until_trusted[rung] = left - 1
            if left == 1:
                self._identity.find(_doubts_of(rung), 0, 0)


def _name_of(rung: Rung) -> str:
    return f"rung {rung.value}"


def _doubts_of(rung: Rung) -> str:
    return f"doubts of rung {rung.value}"
