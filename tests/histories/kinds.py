"""The kinds of servers that there are. New behaviour is one field here, and the place in `server` that acts on it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from random import Random
from typing import Any


@dataclass(frozen=True)
class Kind:
    """What a server does; the first value of each is that of most servers."""

    renames_over: bool = True
    mlst: bool = True
    size: bool = True
    times: str = "set"
    """"set" by MFMT, or "told" and not to be set, or "refused", though MFMT is offered, or "none" """
    heeds_case: bool = True
    removes_full_folders: bool = False
    chmod: bool = True
    overtakes: bool = False
    """answers NOOP while a transfer is under way"""
    one_read_one_command: bool = False
    """takes one command of each read, and loses what came with it"""
    hears_during_transfers: bool = True
    """or loses what comes while a transfer is under way"""
    keeps_ports: bool = True
    """or forgets, shortly after a transfer, the passive port that was asked for last"""
    dot_names: bool = True
    """or refuses to make anything whose name begins with a dot"""
    in_place: bool = False
    """renames nothing, and the program is told to write files in place"""

    def __str__(self) -> str:
        odd = [
            f"{field.name}={getattr(self, field.name)}"
            for field in fields(self)
            if getattr(self, field.name) != field.default
        ]
        return ", ".join(odd) or "plain"

    def simpler(self) -> list[Kind]:
        """Return the kinds that differ from this one by one thing less."""
        return [
            Kind(**{**asdict(self), field.name: field.default})
            for field in fields(self)
            if getattr(self, field.name) != field.default
        ]


_OTHERWISE: dict[str, tuple[float, Any]] = {
    "renames_over": (0.3, False),
    "mlst": (0.15, False),
    "size": (0.05, False),
    "times": (0.25, ""),
    "chmod": (0.15, False),
    "overtakes": (0.1, True),
    "heeds_case": (0.15, False),
    "removes_full_folders": (0.15, True),
    "one_read_one_command": (0.1, True),
    "hears_during_transfers": (0.1, False),
    "keeps_ports": (0.1, False),
    "dot_names": (0.1, False),
    "in_place": (0.06, True),
}
"""How often a server does otherwise than most."""


def draw(chance: Random) -> Kind:
    """Draw a kind: half of all servers are plain in all."""
    if chance.random() < 0.4:
        return Kind()
    chosen = {name: value for name, (often, value) in _OTHERWISE.items() if chance.random() < often}
    if "times" in chosen:
        chosen["times"] = chance.choice(["told", "none", "refused"])
    if chosen.get("mlst") is False:
        chosen.pop("size", None)
    if "removes_full_folders" in chosen:
        chosen.pop("dot_names", None)  # whether listings show such names cannot be tried: empty folders stay
    return Kind(**chosen)


NAMED = {
    "plain": Kind(),
    "no-rename-over": Kind(renames_over=False),
    "no-mlst": Kind(mlst=False),
    "no-size": Kind(size=False),
    "times-told": Kind(times="told"),
    "no-times": Kind(times="none"),
    "times-refused": Kind(times="refused"),
    "ignores-case": Kind(heeds_case=False),
    "recursive-rmd": Kind(removes_full_folders=True),
    "no-chmod": Kind(chmod=False),
    "overtakes": Kind(overtakes=True),
    "one-read-one-command": Kind(one_read_one_command=True),
    "deaf-during-transfers": Kind(hears_during_transfers=False),
    "forgets-ports": Kind(keeps_ports=False),
    "in-place": Kind(in_place=True),
    "in-place-no-mlst": Kind(in_place=True, mlst=False),
    "in-place-no-times": Kind(in_place=True, times="none"),
    "in-place-times-told": Kind(in_place=True, times="told"),
    "no-dot-names": Kind(dot_names=False),
}
