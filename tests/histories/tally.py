"""What many histories came to; kept in a file, so that a run that is cut goes on where it was. Plays none itself."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field, fields
from pathlib import Path


class OtherCodeError(Exception):
    """What was counted was counted of other code, or from another seed."""


@dataclass
class Tally:
    """How many were played and what was found: of each mistake how often, and after how many first."""

    seed: int
    code: str = ""
    done: int = 0
    trivial: int = 0
    seconds: float = 0.0
    names: Counter[str] = field(default_factory=Counter)
    first: dict[str, int] = field(default_factory=dict)
    coverage: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, *, trivial: bool, coverage: Counter[tuple[str, str]], name: str = "") -> None:
        """Count one history, and what it failed by, if it did."""
        self.done += 1
        self.trivial += trivial
        self.coverage += coverage
        if name:
            self.names[name] += 1
            self.first.setdefault(name, self.done)

    def __str__(self) -> str:
        lines = ["fault x phase: how often each happened at which command of which pass", *self._table()]
        lines += [
            f"{number:6} x {name}, first after {self.first[name]} histories"
            for name, number in self.names.most_common()
        ]
        share = self.trivial / max(1, self.done)
        lines.append(
            f"{self.done} histories from seed {self.seed}, {self.trivial} of them trivial ({share:.0%}),"
            f" {self.names.total()} failed; {self.seconds:.0f} s"
        )
        return "\n".join(lines)

    def _table(self) -> list[str]:
        faults = sorted({fault for fault, _ in self.coverage})
        head = f"{'':22}" + "".join(f"{fault:>11}" for fault in faults)
        phases = sorted({phase for _, phase in self.coverage})
        counts = [[self.coverage[fault, phase] or "-" for fault in faults] for phase in phases]
        rows = zip(phases, counts, strict=True)
        return [head, *(f"{phase:22}" + "".join(f"{count:>11}" for count in row) for phase, row in rows)]

    def save(self, path: Path) -> None:
        """Put it into a file, whole or not at all."""
        plain = {each.name: getattr(self, each.name) for each in fields(self)}
        raw = plain | {"coverage": [[*key, number] for key, number in self.coverage.items()]}
        new = path.with_name(path.name + ".new")
        new.write_text(json.dumps(raw))
        new.replace(path)

    @classmethod
    def load(cls, path: Path, seed: int, code: str) -> Tally:
        """Return what was counted so far, nothing if there is no such file. Raises OtherCodeError."""
        if not path.exists():
            return cls(seed, code)
        raw = json.loads(path.read_text())
        if (raw["seed"], raw["code"]) != (seed, code):
            raise OtherCodeError(f"{path} counts histories of other code, or from another seed: choose another file")
        coverage = Counter({(fault, phase): number for fault, phase, number in raw.pop("coverage")})
        return cls(**raw | {"coverage": coverage, "names": Counter(raw["names"])})


def code_of(*folders: Path) -> str:
    """Return what tells the code in folders from any other."""
    texts = (path.read_bytes() for folder in folders for path in sorted(folder.rglob("*.py")))
    return hashlib.blake2b(b"\0".join(texts), digest_size=8).hexdigest()
