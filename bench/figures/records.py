"""The records of a benchmark put in order, and the page that is made of them. Knows no way to get more of them."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

Record = dict[str, Any]
Records = Sequence[Record]


@dataclass(slots=True)
class Measurement:
    """What was found of one cell: its record, its line, its runs, and what went wrong with all of it."""

    cell: Record
    line: Record | None = None
    runs: list[Record] = field(default_factory=list)
    failure: str = ""

    @property
    def name(self) -> str:
        """Return the cell's name."""
        name: str = self.cell["cell"]
        return name

    def of(self, contender: str) -> list[Record]:
        """Return the runs of one contender."""
        return [run for run in self.runs if run["contender"] == contender]

    def good(self, contender: str) -> list[Record]:
        """Return its runs that count."""
        return [run for run in self.of(contender) if run["good"]]

    def wall(self, contender: str) -> float | None:
        """Return the median of its good runs."""
        return median(self.good(contender), "wall_s")

    def best(self, family: str) -> tuple[str, float] | None:
        """Return the quickest contender of a family, and its time."""
        names = [n for n, f in zip(self.cell["contenders"], self.cell["families"], strict=True) if f == family]
        walls = [(wall, name) for name in names if (wall := self.wall(name)) is not None]
        return (min(walls)[1], min(walls)[0]) if walls else None

    def killed_s(self, contenders: Iterable[str]) -> float | None:
        """Return after how long a run of one of them was killed, None if none was."""
        return max((run["wall_s"] for name in contenders for run in self.of(name) if run["timed_out"]), default=None)


def median(runs: Iterable[Record], key: str) -> float | None:
    """Return the middle one, None of none."""
    values = [run[key] for run in runs]
    return statistics.median(values) if values else None


def load(path: Path) -> list[Record]:
    """Read records, one JSON object per line."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def merged(old: Records, new: Records, existing: Iterable[str]) -> list[Record]:
    """Put new records after old ones, without those of cells that were measured again or that there no longer are."""
    stays = set(existing) - {record.get("cell") for record in new}
    gauged = {record["rtt_ms"] for record in new if record["kind"] == "line" and not record["cell"]}
    kept = [record for record in old if record.get("cell") in stays]
    if not kept:
        return list(new)
    machines = [record for record in old if record["kind"] == "machine"]
    lines = [r for r in old if r["kind"] == "line" and r.get("cell") == "" and r["rtt_ms"] not in gauged]
    return [*machines, *lines, *kept, *new]


def measurements(records: Records) -> list[Measurement]:
    """Put runs to their cells; of a cell that was measured more than once the last time counts."""
    found: dict[str, Measurement] = {}
    lines: dict[str, Record] = {}
    for record in records:
        match record["kind"]:
            case "line":
                lines[record["cell"]] = record
            case "cell":
                found.pop(record["cell"], None)
                found[record["cell"]] = Measurement(record, lines.get(record["cell"]))
            case "run":
                found[record["cell"]].runs.append(record)
            case "failure" if record["cell"] in found:
                found[record["cell"]].failure = record["words"]
    return list(found.values())


_FAR: Final = "line100-", "steady100-", "tls100-"
_NEAR: Final = "line20-", "steady20-", "tls20-"


def round_trips(measured: Iterable[Measurement]) -> Callable[[Measurement, str], float | None]:
    """Return what tells the round trips that each lane spends on a file.

    That is the slope of wall time over two delays, so that what does not depend on the delay is not in it.
    """
    by_name = {measurement.name: measurement for measurement in measured}

    def told(measurement: Measurement, contender: str) -> float | None:
        name = measurement.name
        for near, far in zip(_NEAR, _FAR, strict=True):
            name = name.replace(far, near)
        one = by_name.get(name)
        other = by_name.get(name.replace("20-", "100-", 1))
        if not one or not other or one is other or one.cell["files"] != other.cell["files"]:
            return None
        walls = one.wall(contender), other.wall(contender)
        if walls[0] is None or walls[1] is None:
            return None
        slope = (walls[1] - walls[0]) * 1000 / float(other.cell["rtt_ms"] - one.cell["rtt_ms"])
        return slope * int(one.cell["lanes"]) / int(one.cell["files"])

    return told
