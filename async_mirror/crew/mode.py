"""The mode: where lanes work and how many there are, as the user writes it. Pure."""

import os
import re
from dataclasses import dataclass

MOST_LANES = 256


@dataclass(frozen=True, slots=True)
class Mode:
    """Where the hands of the lanes work, and how many lanes there are; 0 lets the crew find out."""

    kind: str
    lanes: int

    ALLOWED = (
        "A (asynchronous, as many connections as help), A<n>, T<n> (threads), P<n> (processes), T, P (one per core)"
        f" or S (serial); n is the number of connections, 1 to {MOST_LANES}"
    )

    @classmethod
    def parse(cls, text: str) -> "Mode":
        """Read a mode, in either case. Raises ValueError with one line that says what is allowed."""
        found = re.fullmatch(r"([ATP])([0-9]{0,9})|S", text.strip().upper())
        if not found:
            raise ValueError(f"invalid mode {text!r}: use {cls.ALLOWED}")
        kind = found[1] or "S"
        if found[2]:
            lanes = int(found[2])
            if not 1 <= lanes <= MOST_LANES:
                raise ValueError(f"invalid mode {text!r}: use {cls.ALLOWED}")
        else:
            lanes = {"S": 1, "A": 0}.get(kind, min(MOST_LANES, os.cpu_count() or 1))
        return cls(kind, lanes)

    @property
    def is_near(self) -> bool:
        """True if the hands work in the event loop, so that a session can go from one lane to another."""
        return self.kind in {"A", "S"}

    def overlap(self, wanted: int) -> int:
        """Return how many performs may overlap on one session: serial means one, whatever was wanted."""
        return 1 if self.kind == "S" else wanted

    def __str__(self) -> str:
        """Return the mode as the user would write it."""
        return self.kind if self.kind == "S" or not self.lanes else f"{self.kind}{self.lanes}"
