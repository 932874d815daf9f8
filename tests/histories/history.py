"""A history as data: what is done to source and site, what goes wrong when, with what kind of server. Printable."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from .kinds import Kind
from .local import INNER, Act

SITE_ACTS = {"put", "impostor", "take"}
"""Acts on the site; all others are on the source."""


@dataclass(frozen=True)
class Incident:
    """What happens at the n-th command of a kind in a pass ("*": of any; CONNECT: a connection; DATA: a file's bytes;
    PIECE: some of those of a large one).

    WORK is what the program does off its event loop, with its state or its source. Before it is done or after, before
    its reply; acts first, then the fault, if any.
    """

    verb: str
    number: int
    moment: str
    acts: tuple[Act, ...] = ()
    fault: str = ""
    times: int = 1
    """At so many such commands in a row: what lasts outlives all that is tried again."""

    def __str__(self) -> str:
        what = "; ".join(" ".join(act) for act in self.acts)
        last = f" to {self.number + self.times - 1}" if self.times > 1 else ""
        return f"{self.moment} {self.verb} {self.number}{last}: {what}{' => ' if self.fault else ''}{self.fault}"

    def is_at(self, number: int) -> bool:
        """Tell whether it happens at the n-th command of its kind."""
        return self.number <= number < self.number + self.times


@dataclass(frozen=True)
class Phase:
    """What is done while the program does not run, so long after the last pass, and what happens in its next one."""

    acts: tuple[Act, ...] = ()
    incidents: tuple[Incident, ...] = ()
    seconds: float = 1.0


@dataclass(frozen=True)
class History:
    """All of it. The seed decides how long things take, and what becomes of commands whose sender is gone."""

    seed: int
    kind: Kind
    connections: int
    phases: tuple[Phase, ...]
    options: tuple[str, ...] = ()
    alike: bool = True
    """False: a file that is written anew never has the size and the date that it had, which some programs go by."""
    old_state: bool = False
    """True: the state that the first pass leaves is one of version 1, which knows no change times."""
    stays: bool = False
    """True: the program stays, watches its source, and goes on from phase to phase."""
    inner: bool = False
    """True: one folder is a mirror of its own, kept by the same process, in the same place of the site."""

    def acts(self) -> Iterator[Act]:
        """Yield all that is done, between the passes and in them."""
        for phase in self.phases:
            yield from phase.acts
            for incident in phase.incidents:
                yield from incident.acts

    def story(self) -> str:
        """Return the history as a person reads it."""
        lines = [f"seed {self.seed}, {self.connections} connections, server: {self.kind}", *self.options]
        lines += ["the first pass leaves a state of version 1"] * self.old_state
        lines += ["the program stays"] * self.stays
        lines += [f"{INNER} is a mirror of its own"] * self.inner
        for number, phase in enumerate(self.phases, 1):
            lines.append(f"  {number}. after {phase.seconds:g} s: {'; '.join(' '.join(act) for act in phase.acts)}")
            lines += [f"       {incident}" for incident in phase.incidents]
        return "\n".join(lines)

    def dumps(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def loads(cls, text: str) -> History:
        raw: dict[str, Any] = json.loads(text)
        phases = tuple(
            Phase(
                _acts(each["acts"]),
                tuple(Incident(**{**one, "acts": _acts(one["acts"])}) for one in each["incidents"]),
                each["seconds"],
            )
            for each in raw["phases"]
        )
        more = {"options": tuple(raw["options"]), "alike": raw["alike"]}
        more |= {name: raw.get(name, False) for name in ("old_state", "stays", "inner")}
        return cls(raw["seed"], Kind(**raw["kind"]), raw["connections"], phases, **more)


def _acts(raw: list[list[str]]) -> tuple[Act, ...]:
    return tuple(tuple(each) for each in raw)
