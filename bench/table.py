"""Writes Markdown from records. Knows what the runner's records hold, and no way to get more of them."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from bench.cells import MIB

_HEAD: Final = (
    "| | wall, s | least to most | {unit} | CPU, s | CPU of the machine, s | memory, MiB | processes | good runs |\n"
    "|---|--:|--:|--:|--:|--:|--:|--:|--:|"
)
_INTRO: Final = """\
# Results

Written by `bench/run`; [what is measured, and how](README.md). Medians of the good runs: those that ended with exit
code 0 and left a tree equal to the source, with the promised mtimes and modes. All else is marked and counted nowhere.
"""

Records = Sequence[dict[str, Any]]


def load(path: Path) -> Records:
    """Read records, one JSON object per line."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def markdown(records: Records) -> str:
    """Return all of it: the machine, the lines, a table for each cell."""
    parts = [_INTRO]
    parts += [_machine(record) for record in records if record["kind"] == "machine"]
    parts.append(_lines([record for record in records if record["kind"] == "line"]))
    for cell in (record for record in records if record["kind"] == "cell"):
        runs = [record for record in records if record["kind"] == "run" and record["cell"] == cell["cell"]]
        parts.append(_cell(cell, runs))
    return "\n".join(parts)


def _machine(machine: dict[str, Any]) -> str:
    return (
        "## The machine\n\n"
        f"{machine['date']}: {machine['cores']} cores of {machine['cpu']}, {machine['memory_gib']} GiB;"
        f" {machine['system']}; Python {machine['python']}; {machine['program']}.\n"
        f"Source and site on {machine['site']}, what async-mirror remembers on {machine['state']};"
        f" load {machine['load']} before the first run.\n"
    )


def _lines(lines: Records) -> str:
    """Return what each line turned out to be, the same for lines that are meant to be the same."""
    rows = [
        "| line | round trip, ms: least / median / most | one TCP stream, Mbit/s | congestion control |",
        "|---|--:|--:|---|",
    ]
    for line in lines:
        gauged = line["gauged"]
        name = f"{line['rtt_ms']:g} ms" if line["rtt_ms"] else "loopback"
        times = " / ".join(f"{value:.2f}" for value in gauged["rtt_ms"])
        rows.append(f"| {name} | {times} | {gauged['mbit_per_s']:,} | {gauged['congestion']} |")
    return "## The lines, measured before each cell\n\n" + "\n".join(rows) + "\n"


def _cell(cell: dict[str, Any], runs: Records) -> str:
    large = cell["bytes"] >= MIB * cell["files"]
    rows = [_row(cell, name, [run for run in runs if run["contender"] == name], large) for name in cell["contenders"]]
    head = _HEAD.format(unit="MiB/s" if large else "files/s")
    about = f"`{cell['cell']}`: {cell['bytes'] / MIB:,.1f} MiB, {cell['server']}."
    return "\n".join([f"## {cell['title']}\n", f"{about}\n", head, *rows, *_marks(runs), ""])


def _row(cell: dict[str, Any], name: str, runs: Records, large: bool) -> str:
    good = [run for run in runs if run["good"]]
    if not good:
        return f"| {name} |" + " |" * 7 + f" 0 of {len(runs)} |"
    walls = [run["wall_s"] for run in good]
    wall = statistics.median(walls)
    amount = cell["bytes"] / MIB if large else cell["files"]
    columns = [
        name,
        f"**{wall:.2f}**",
        f"{min(walls):.2f} to {max(walls):.2f}",
        f"{amount / wall:,.0f}",
        f"{_median(good, 'cpu_s'):.2f}",
        f"{_median(good, 'machine_s'):.2f}",
        f"{_median(good, 'peak_bytes') / MIB:.0f}",
        f"{_median(good, 'processes'):.0f}",
        f"{len(good)} of {len(runs)}",
    ]
    return "| " + " | ".join(columns) + " |"


def _median(runs: Iterable[dict[str, Any]], key: str) -> float:
    middle: float = statistics.median(run[key] for run in runs)
    return middle


def _marks(runs: Records) -> list[str]:
    """Return a line for each run that failed or left another tree."""
    lines = []
    for run in runs:
        if not run["good"]:
            counts = {key: value for key, value in run["difference"].items() if value and key != "names"}
            found = ", ".join(f"{key} {value}" for key, value in counts.items()) or "the tree is right"
            end = "killed, it took too long" if run["timed_out"] else f"exit code {run['code']}"
            lines.append(f"* **{run['contender']}**, round {run['round']}: {end}; {found}")
    return ["", *lines] if lines else []
