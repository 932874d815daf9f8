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

from bench import runner, table
from bench.cells import CELLS, MODES, Cell
from bench.runner import Record

_HERE: Final = Path(__file__).resolve().parent
_KEPT: Final = (_HERE / "results.jsonl", _HERE / "RESULTS.md")
_LAST: Final = (_HERE / "last.jsonl", _HERE / "LAST.md")
_LEAST_RUNS: Final = 3


def main() -> None:
    """Measure what was asked for, write its records and its table, and print the table."""
    given = _parse()
    if given.table:
        print(table.markdown(table.load(given.table)))
        return
    cells = _chosen(given)
    if reason := _hindrance(cells):
        sys.exit(f"bench: {reason}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    good = _measure(cells)
    print("\n" + _LAST[1].read_text())
    if _whole(given):
        for last, kept in zip(_LAST, _KEPT, strict=True):
            os.replace(last, kept)
    sys.exit(0 if good else 1)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench/run", description="Measure async-mirror. Needs Linux and root.")
    parser.add_argument("--quick", action="store_true", help="small trees, one run each: does it work at all?")
    parser.add_argument("--only", action="append", default=[], metavar="TEXT", help="cells with this in their name")
    parser.add_argument("--modes", metavar="S,A8", help="only these contenders")
    parser.add_argument("--runs", type=int, metavar="N", help="so many runs of each, instead of the cell's number")
    parser.add_argument("--server", choices=["vsftpd", "proftpd", "pure-ftpd"], help="instead of the cell's")
    parser.add_argument("--table", type=Path, metavar="FILE", help="measure nothing, print the table of these records")
    return parser.parse_args()


def _chosen(given: argparse.Namespace) -> list[Cell]:
    """Return the cells as the command line wants them."""
    cells = [cell for cell in CELLS if all(text in cell.name for text in given.only)]
    if given.quick:
        cells = [cell.quick() for cell in cells]
    if given.runs:
        cells = [replace(cell, runs=given.runs) for cell in cells]
    if given.server:
        cells = [replace(cell, server=given.server) for cell in cells]
    if given.modes:
        wanted = given.modes.split(",")
        cells = [replace(cell, contenders=tuple(c for c in MODES if c.name in wanted)) for cell in cells]
    return [cell for cell in cells if cell.contenders]


def _whole(given: argparse.Namespace) -> bool:
    """Tell whether this is what `RESULTS.md` shows: everything, often enough."""
    chosen = given.quick or given.only or given.modes or given.server
    return not chosen and (given.runs is None or given.runs >= _LEAST_RUNS)


def _hindrance(cells: Sequence[Cell]) -> str:
    """Tell why nothing can be measured, or ""."""
    if not cells:
        return f"no such cell; there are {', '.join(cell.name for cell in CELLS)}"
    if sys.platform != "linux" or os.geteuid() != 0:
        return "it needs Linux and root: the servers run in namespaces of their own"
    missing = [tool for tool in ("unshare", "nsenter") if not shutil.which(tool)]
    if missing:
        return f"{' and '.join(missing)} of util-linux missing"
    if any(cell.rtt_ms for cell in cells) and not Path("/dev/net/tun").exists():
        return "a line with a delay needs /dev/net/tun; --only loopback does without"
    return ""


def _measure(cells: Sequence[Cell]) -> bool:
    """Write records as they come, then the table; tell whether all runs were good."""
    started = time.monotonic()
    with _LAST[0].open("w") as file:

        def keep(record: Record) -> None:
            file.write(json.dumps(record) + "\n")
            file.flush()
            if record["kind"] == "run":
                print(f"{time.monotonic() - started:5.0f} s  {_told(record)}", flush=True)

        runner.run(cells, keep)
    records = table.load(_LAST[0])
    _LAST[1].write_text(table.markdown(records))
    return all(record["good"] for record in records if record["kind"] == "run")


def _told(run: Record) -> str:
    """Return a run in one line."""
    mark = "" if run["good"] else f"  NOT GOOD: {run['code']} {run['difference']} {run['words']}"
    peak = run["peak_bytes"] / (1 << 20)
    return (
        f"{run['cell']:15} {run['round']:2} {run['contender']:4} {run['wall_s']:7.2f} s  CPU {run['cpu_s']:6.2f} s"
        f"  {peak:4.0f} MiB in {run['processes']}{mark}"
    )


if __name__ == "__main__":
    main()
