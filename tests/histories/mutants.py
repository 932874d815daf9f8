"""Finds out whether the machine finds mistakes: makes some in copies of the program, and looks for each.

    python -m tests.histories.mutants --number 20 --histories 2000

A mistake is found when a history fails that does not fail without it. Exit 1 if one is not found.
"""

from __future__ import annotations

import argparse
import importlib.util
import multiprocessing
import os
import subprocess
import sys
import time
from multiprocessing.pool import Pool
from pathlib import Path
from typing import NamedTuple

from . import mutations
from .player import Player, folder


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="mutants", description="See whether mistakes made on purpose are found.")
    parser.add_argument("--number", type=int, default=20, help="how many mistakes (20)")
    parser.add_argument("-n", "--histories", type=int, default=2000, help="how many histories each (2000)")
    parser.add_argument("--draw", help="what the mistakes are drawn by (the hash of the commit)")
    parser.add_argument("--seed", type=int, default=0, help="the seed of the first history (0)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (one per core)")
    parser.add_argument("--package", type=Path, help="the folder that holds async_mirror (where it is installed)")
    parser.add_argument("--unlike", action="store_true", help="as for the histories")
    parser.add_argument("--only", type=int, help="look for this one alone")
    parser.add_argument("--list", action="store_true", help="tell the mistakes, and look for none")
    return parser.parse_args()


class Task(NamedTuple):
    """Look for the first history that fails, leaving out those that fail anyway."""

    number: int
    base: str
    package: Path
    seeds: range
    failing: frozenset[int]
    unlike: bool


class Looked(NamedTuple):
    """Which histories failed; the first one alone where there is a mistake to be found."""

    number: int
    failed: list[tuple[int, str]]
    seconds: float


def _look(task: Task) -> Looked:
    begun = time.monotonic()
    sys.path.insert(0, str(task.package))
    failed = []
    player = Player(task.base, unlike=task.unlike)
    for seed in task.seeds:
        if seed in task.failing:
            continue
        verdict = player.play(player.draw(seed))
        if verdict.law:
            failed.append((seed, f"{verdict.law}: {verdict.how}"))
            if task.number:
                break
    return Looked(task.number, failed, time.monotonic() - begun)


def main() -> int:
    """Draw mistakes, look for each, and tell which were found, and how soon."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        again = [sys.executable, "-m", f"{__package__}.mutants", *sys.argv[1:]]
        os.execve(sys.executable, again, os.environ | {"PYTHONHASHSEED": "0"})
    arguments = _arguments()
    package = _package(arguments.package)
    drawn_by = arguments.draw or _hash(package)
    chosen = list(enumerate(mutations.draw(package, arguments.number, drawn_by), 1))
    chosen = [each for each in chosen if arguments.only in {None, each[0]}]
    print(f"{len(chosen)} of {mutations.count(package)} mistakes, drawn by {drawn_by}")
    if arguments.list:
        print(*(f"{number:4}  {mutation}" for number, mutation in chosen), sep="\n")
        return 0
    missed = 0
    with folder() as base, multiprocessing.Pool(arguments.jobs, maxtasksperchild=1) as pool:
        failing = _failing(pool, base, package, arguments)
        tasks = []
        for number, mutation in chosen:
            copy = Path(base) / f"mistake{number}"
            mutation.write(package, copy)
            tasks.append(Task(number, base, copy, _seeds(arguments), failing, arguments.unlike))
        told = dict(chosen)
        for looked in pool.imap_unordered(_look, tasks, chunksize=1):
            found = looked.failed
            missed += not found
            how = f"seed {found[0][0]}: {found[0][1]}" if found else "NOT FOUND"
            print(f"{looked.number:4}  {told[looked.number]}\n      {how}  ({looked.seconds:.0f} s)", flush=True)
    print(f"{len(chosen) - missed} of {len(chosen)} found within {arguments.histories} histories")
    return 1 if missed else 0


def _failing(pool: Pool, base: str, package: Path, arguments: argparse.Namespace) -> frozenset[int]:
    """Return the seeds that fail without a mistake of ours."""
    seeds = _seeds(arguments)
    step = -(-len(seeds) // (4 * arguments.jobs))
    parts = [seeds[start : start + step] for start in range(0, len(seeds), step)]
    tasks = [Task(0, base, package.parent, part, frozenset(), arguments.unlike) for part in parts]
    failed = frozenset(seed for looked in pool.imap_unordered(_look, tasks, 1) for seed, _ in looked.failed)
    if failed:
        print(f"{len(failed)} histories fail without a mistake, and are left out", flush=True)
    return failed


def _seeds(arguments: argparse.Namespace) -> range:
    return range(arguments.seed, arguments.seed + arguments.histories)


def _package(folder: Path | None) -> Path:
    if folder:
        return folder.resolve() / mutations.NAME
    found = importlib.util.find_spec(mutations.NAME)
    assert found, "the program is installed"
    return Path(str(found.origin)).parent


def _hash(package: Path) -> str:
    command = ["git", "-C", str(package), "rev-parse", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
