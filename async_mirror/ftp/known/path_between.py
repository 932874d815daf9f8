"""The path between here and a server: which kinds of data ports can be reached, and how long to wait. Pure."""

from collections.abc import Iterable

from async_mirror.model.facts import Fact, Facts

PATH_LASTS_S = 3600.0
_KINDS = ("EPSV", "PASV")
_BLOCKED, _REACHED, _DOUBTED, _IN_VAIN = 0, 1, -1, -2
"""How it stands with a kind of port."""


class PathBetween:
    """What one session knows of the path, read from the facts that all sessions share; they hold for an hour."""

    def __init__(self, facts: Facts, address: str) -> None:
        """Begin with what is known of the path to an address."""
        self._facts = facts
        self._of = f"path {address}"
        self._round_trip_s = facts.number(self._of, "round trip") / 1000
        self._be_patient()

    def _find(self, name: str, value: int, lasts_s: float, told: str = "", *, is_note: bool = False) -> None:
        self._facts.find(Fact(self._of, name, value, lasts_s, told=told, is_note=is_note))

    def is_blocked(self, command: str) -> bool:
        """Tell whether ports of this kind were not reached within the hour, while others were."""
        return self._facts.value(self._of, command) == _BLOCKED

    def reaches(self, command: str) -> bool:
        """Tell whether a port of this kind was reached within the hour."""
        return self._facts.value(self._of, command) == _REACHED

    def reached(self, command: str, failed: Iterable[str]) -> None:
        """Note that a port of this kind could be reached, and ports of other kinds could not."""
        self._find(command, _REACHED, PATH_LASTS_S)
        for other in {*failed, *filter(self.was_in_vain, _KINDS)}:
            told = f"no data connections with {other}: using {command}"
            self._find(other, _BLOCKED, PATH_LASTS_S, told, is_note=True)

    def doubt(self, command: str) -> None:
        """Note that a port of this kind was not reached once: the next one is tried with care."""
        self._find(command, _DOUBTED, 0)

    def in_vain(self, commands: Iterable[str]) -> None:
        """Note that ports of these kinds were not reached, and that the session could not try another kind after."""
        for command in commands:
            self._find(command, _IN_VAIN, 0)

    def was_in_vain(self, command: str) -> bool:
        """Tell whether another kind of port is to be tried first."""
        return self._facts.value(self._of, command) == _IN_VAIN

    def timed(self, seconds: float) -> None:
        """Take note of how long an exchange took that needed no work of the server."""
        if not self._round_trip_s or seconds < self._round_trip_s:
            self._round_trip_s = seconds
            self._be_patient()
        if self._facts.value(self._of, "round trip") is None:
            self._find("round trip", max(1, round(seconds * 1000)), PATH_LASTS_S)

    def _be_patient(self) -> None:
        self.patience_s = max(2.0, 4 * self._round_trip_s)
        """How long a reply in a quick manner may be missing before another manner is taken."""
        self.patience_for_data_s = max(3.0, 4 * self._round_trip_s)
        """How long a data connection of a kind that is not proved may take."""
