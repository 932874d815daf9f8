"""Makes of a benchmark's records what the report shows: medians by cell and contender. Knows nothing of pages."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Iterator, Mapping
from itertools import permutations
from pathlib import Path
from typing import Any

Record = Mapping[str, Any]
Told = dict[str, Any]

_ABOUT = ("files", "concerned", "bytes", "rtt_ms", "lanes", "server", "server_kind", "tls", "task")
_MEASURED = ("wall_s", "cpu_s", "peak_bytes")


def load(path: Path) -> list[Record]:
    """Read records, one JSON object per line."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def medians(records: Iterable[Record]) -> Told:
    """Return the last machine, and each cell with what its contenders' good runs came to.

    Of a cell that was measured more than once the last time counts. A contender without a good run has no figures.
    """
    cells: dict[str, Told] = {}
    machine: Record = {}
    for record in records:
        match record["kind"]:
            case "machine":
                machine = record
            case "cell":
                cells[record["cell"]] = {key: record.get(key) for key in _ABOUT} | {"runs": _empty(record)}
            case "run" if record["cell"] in cells:
                cells[record["cell"]]["runs"].setdefault(record["contender"], []).append(record)
    told = {name: _cell(cell) for name, cell in cells.items()}
    for near, far, name, trips in _round_trips(told):
        told[near]["contenders"][name]["round_trips"] = told[far]["contenders"][name]["round_trips"] = trips
    return {"machine": machine, "cells": told}


def _empty(cell: Record) -> dict[str, list[Record]]:
    return {contender: [] for contender in cell["contenders"]}


def _cell(cell: Told) -> Told:
    runs: dict[str, list[Record]] = cell.pop("runs")
    return cell | {"contenders": {name: _contender(of_it) for name, of_it in runs.items()}}


def _contender(runs: Iterable[Record]) -> Told:
    all_of_it = list(runs)
    good = [run for run in all_of_it if run["good"]]
    told: Told = {"runs": len(all_of_it), "good": len(good)}
    told["family"] = next((run.get("family") for run in all_of_it), None)
    return told | {key: statistics.median(run[key] for run in good) for key in _MEASURED if good}


def _round_trips(cells: Mapping[str, Told]) -> Iterator[tuple[str, str, str, float]]:
    """Yield what each lane spends on a file: how wall time grows with the delay, for the cells that differ in it alone.

    What does not depend on the delay, such as the start, is not in it.
    """
    alike = ("files", "lanes", "server_kind", "tls", "task")
    for (near, one), (far, other) in permutations(cells.items(), 2):
        if not (one["rtt_ms"] and other["rtt_ms"] and one["rtt_ms"] < other["rtt_ms"]):
            continue
        if near.partition("-")[2] != far.partition("-")[2] or any(one[key] != other[key] for key in alike):
            continue
        for name, told in one["contenders"].items():
            walls = told.get("wall_s"), other["contenders"].get(name, {}).get("wall_s")
            if walls[0] is not None and walls[1] is not None:
                slope = (walls[1] - walls[0]) * 1000 / (other["rtt_ms"] - one["rtt_ms"])
                yield near, far, name, slope * one["lanes"] / one["files"]
