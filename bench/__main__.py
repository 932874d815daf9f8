"""The command line of the benchmark: which cells, how often, where the figures go."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from bench import runner
from bench.cell_run import Record
from bench.cells import CELLS, SERVERS, Cell
from bench.figures import tables
from bench.figures.records import load, merged

_HERE: Final = Path(__file__).resolve().parent
_KEPT: Final = (_HERE / "results.jsonl", _HERE / "RESULTS.md")
_LAST: Final = (_HERE / "last.jsonl", _HERE / "LAST.md")
_LEAST_RUNS: Final = 3
_BESIDE: Final = 16


def main() -> None:
    """Measure what was asked for, write its records and its tables, and print the tables."""
    given = _parse()
    if given.table:
        print(tables.markdown(load(given.table)))
        return
    cells = _chosen(given)
    if given.list:
        print("\n".join(f"{cell.name:24} {cell.title}" for cell in cells))
        return
    if reason := _hindrance(cells):
        sys.exit(f"bench: {reason}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    good = _measure(cells, given.jobs)
    if given.append or _whole(given):
        _keep(whole=not given.append)
        print("\n" + _KEPT[1].read_text())
    else:
        print("\n" + _LAST[1].read_text())
    sys.exit(0 if good else 1)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench/run", description="Compare async-mirror. Needs Linux and root.")
    parser.add_argument("--quick", action="store_true", help="a few cells, small, one run each: does it work at all?")
    parser.add_argument("--only", action="append", default=[], metavar="TEXT", help="cells with this in their name")
    parser.add_argument("--tools", metavar="A8,lftp", help="only these contenders")
    parser.add_argument("--runs", type=int, metavar="N", help="so many runs of each, instead of the cell's number")
    parser.add_argument("--server", choices=SERVERS, help="instead of the cell's")
    parser.add_argument("--files", type=int, metavar="N", help="so many files, instead of the cell's number")
    jobs = "so many cells side by side at most, of those that have a delay (default: %(default)s)"
    parser.add_argument("--jobs", type=int, default=_BESIDE, metavar="K", help=jobs)
    append = "put the figures into RESULTS.md and results.jsonl, in the place of older ones of the same cells"
    parser.add_argument("--append", action="store_true", help=append)
    parser.add_argument("--list", action="store_true", help="measure nothing, print the cells that would be")
    parser.add_argument("--table", type=Path, metavar="FILE", help="measure nothing, print the tables of these records")
    return parser.parse_args()


def _chosen(given: argparse.Namespace) -> list[Cell]:
    """Return the cells as the command line wants them."""
    cells = [cell for cell in CELLS if all(text in cell.name for text in given.only)]
    if given.quick:
        cells = [cell.quick() for cell in cells if cell.brief]
    if given.runs:
        cells = [replace(cell, runs=given.runs, once=()) for cell in cells]
    if given.server:
        cells = [replace(cell, server=given.server) for cell in cells]
    if given.files:
        cells = [cell.of(given.files) for cell in cells]
    if given.tools:
        cells = [replace(cell, contenders=cell.only(given.tools.split(","))) for cell in cells]
    return [cell for cell in cells if cell.contenders]


def _whole(given: argparse.Namespace) -> bool:
    """Tell whether this is what `RESULTS.md` shows: everything, often enough."""
    chosen = given.quick or given.only or given.tools or given.server or given.files
    return not chosen and (given.runs is None or given.runs >= _LEAST_RUNS)


def _hindrance(cells: Sequence[Cell]) -> str:
    """Tell why nothing can be measured, or ""."""
    if not cells:
        return f"no such cell; there are {', '.join(cell.name for cell in CELLS)}"
    if sys.platform != "linux" or os.geteuid() != 0:
        return "it needs Linux and root: the servers run in namespaces of their own"
    missing = [tool for tool in ("unshare", "nsenter", "lftp", "rclone") if not shutil.which(tool)]
    if missing:
        return f"{' and '.join(missing)} missing"
    if any(cell.rtt_ms for cell in cells) and not Path("/dev/net/tun").exists():
        return "a line with a delay needs /dev/net/tun; --only loopback does without"
    return ""


def _measure(cells: Sequence[Cell], beside: int) -> bool:
    """Write records as they come, then the tables; tell whether all runs of async-mirror were good."""
    started = time.monotonic()
    with _LAST[0].open("w") as file:

        def keep(record: Record) -> None:
            file.write(json.dumps(record) + "\n")
            file.flush()
            if record["kind"] in ("run", "failure"):
                print(f"{time.monotonic() - started:5.0f} s  {_told(record)}", flush=True)

        runner.run(cells, beside, keep)
    records = load(_LAST[0])
    _LAST[1].write_text(tables.markdown(records))
    ours = [record["good"] for record in records if record["kind"] == "run" and record["family"] == "ours"]
    return all(ours) and not any(record["kind"] == "failure" for record in records)


def _keep(*, whole: bool) -> None:
    """Make the last figures those that are shown, or add them to those."""
    records = load(_LAST[0])
    if not whole and _KEPT[0].exists():
        records = merged(load(_KEPT[0]), records, {cell.name for cell in CELLS})
    _KEPT[0].write_text("".join(json.dumps(record) + "\n" for record in records))
    _KEPT[1].write_text(tables.markdown(records))


def _told(record: Record) -> str:
    """Return a run in one line."""
    if record["kind"] == "failure":
        return f"{record['cell']:22} FAILED: {record['words']}"
    mark = "" if record["good"] else f"  NOT GOOD: {record['code']} {record['difference']} {record['words']}"
    peak = record["peak_bytes"] / (1 << 20)
    return (
        f"{record['cell']:22} {record['round']:2} {record['contender']:16} {record['wall_s']:7.2f} s"
        f"  CPU {record['cpu_s']:6.2f} s  {peak:4.0f} MiB  {record['connections']:6} connections{mark}"
    )


if __name__ == "__main__":
    main()
