"""The command line: `tests/mutants/run --number 200`. Exit 0 if so many mistakes were found as are asked for.

The first run records which tests reach which lines. What is through is noted in a folder, and a run that was ended goes
on where it was.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from histories import mutations
from histories.mutations import Choice, Mutation
from histories.progress import Progress

from .reach import Reach, record

PROJECT = Path(__file__).parents[2]
DECIDING = Choice(("plan", "candidates", "recover", "journal", "attempt", "features", "identity", "rungs", "account"))
SHORT = ("model", "state", "jobs", "ftp", "remote", "source", "planning", "sync")
"""The folders of tests that need no whole program."""
LONG = (*SHORT, "tools/test_histories.py", "whole")
_SLOWER, _STARTS_S = 10, 60
"""So many times slower than when it was recorded a test with a mistake may be, and the start of all: a machine is busy.
"""
_MISSED = "NOT FOUND"
_BY_ALL = "ONLY BY --all"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="mutants", description="See whether the tests find mistakes made on purpose.")
    parser.add_argument("tests", nargs="*", type=Path, help="record these files of tests alone, if they are not yet")
    parser.add_argument("--number", type=int, default=200, help="how many mistakes (200)")
    parser.add_argument("--seed", help="what they are drawn by (the hash of the commit)")
    parser.add_argument("--only", choices=["short"], help="leave out the tests of the whole program, and the histories")
    parser.add_argument(
        "--seconds", type=float, default=60, help="run tests that took so long together, quick first (60)"
    )
    parser.add_argument("--least", type=int, default=85, help="how many of a hundred have to be found (85)")
    parser.add_argument(
        "--folder", type=Path, default=PROJECT / "build/mutants", help="where all is kept (build/mutants)"
    )
    parser.add_argument("--forms", action="store_true", help="see whether the short form finds what --all finds")
    parser.add_argument("--again", action="store_true", help="run the tests once more for mistakes that were not found")
    parser.add_argument(
        "--record", action="store_true", help="record which tests reach which lines, and make no mistake"
    )
    parser.add_argument("--list", action="store_true", help="tell the mistakes, and make none")
    return parser.parse_args()


def main() -> int:
    """Record, draw, run, and tell."""
    arguments = _arguments()
    seed = arguments.seed or _commit()
    drawn = mutations.draw(PROJECT / mutations.NAME, arguments.number, seed, DECIDING)
    print(
        f"{len(drawn)} of {mutations.count(PROJECT / mutations.NAME, DECIDING)} mistakes, drawn by {seed}", flush=True
    )
    if arguments.list:
        print(*drawn, sep="\n")
        return 0
    files = [each.resolve() for each in arguments.tests] or _files(SHORT if arguments.only else LONG)
    form = "-all" if arguments.forms else ""
    recorded = arguments.folder / f"reach{form}"
    record(recorded, PROJECT, files, *["--all"] * arguments.forms)
    if arguments.record:
        return 0
    reach = Reach(recorded, PROJECT / mutations.NAME)
    return _run(drawn, reach, arguments, Progress(arguments.folder / f"results{form}-{seed[:12]}"))


def _run(drawn: list[Mutation], reach: Reach, arguments: argparse.Namespace, progress: Progress) -> int:
    copy = _copy(arguments.folder / "copy")
    short = _short_form() if arguments.forms else None
    for mutation in drawn:
        before = progress.results.get(str(mutation))
        if before is None or (arguments.again and before.startswith(_MISSED)):
            result = _found(copy, mutation, reach, arguments.seconds, short)
            progress.note(str(mutation), result)
            print(f"{mutation}\n      {result}", flush=True)
    results = [(str(each), progress.results[str(each)]) for each in drawn]
    missed = [each for each in results if each[1].startswith((_MISSED, _BY_ALL))]
    print("", *(f"{mistake}\n      {result}" for mistake, result in missed), sep="\n")
    by_all = sum(result.startswith(_BY_ALL) for _, result in missed)
    found = len(drawn) - len(missed) + by_all
    print(f"{found} of {len(drawn)} found ({found / len(drawn):.0%}), {by_all} of them not by the short form")
    return 0 if found * 100 >= len(drawn) * arguments.least and not by_all else 1


def _found(copy: Path, mutation: Mutation, reach: Reach, seconds: float, short: frozenset[str] | None) -> str:
    """Tell which test finds a mistake: one of the short form, if that is given, or else one of the others."""
    place = (mutation.module, mutation.line)
    reaching = reach.tests(*place, seconds, short)
    result = _found_by(copy, mutation, reaching, sum(reach.seconds[test] for test in reaching))
    if short is None or not result.startswith(_MISSED):
        return result
    others = reach.tests(*place, seconds, reach.seconds.keys() - short)
    of_others = _found_by(copy, mutation, others, sum(reach.seconds[test] for test in others))
    return f"{result}, and by {len(others)} others" if of_others.startswith(_MISSED) else f"{_BY_ALL}: {of_others}"


def _short_form() -> frozenset[str]:
    """Return the tests of the short form."""
    command = [sys.executable, "-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider"]
    told = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    return frozenset(line for line in told.splitlines() if "::" in line)


def _found_by(copy: Path, mutation: Mutation, tests: list[str], seconds: float) -> str:
    """Tell which test finds a mistake."""
    if not tests:
        return f"{_MISSED}: no test reaches it"
    file = copy / mutations.NAME / mutation.module
    file.write_text(mutation.text)
    try:
        options = ["-q", "-x", "--tb=no", "-p", "no:cacheprovider", "--basetemp", str(copy.parent / "temporary")]
        with subprocess.Popen(
            [sys.executable, "-m", "pytest", *options, *tests],
            cwd=copy,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as ran:
            try:
                told, _ = ran.communicate(timeout=seconds * _SLOWER + _STARTS_S)
            except subprocess.TimeoutExpired:
                return "found: a test does not end"
            finally:
                _end(ran)
    finally:
        shutil.copy2(PROJECT / mutations.NAME / mutation.module, file)
    lines = [line for line in told.splitlines() if line.startswith(("FAILED", "ERROR", "E  "))]
    return f"found by {lines[0] if lines else told[-200:]}" if ran.returncode else f"{_MISSED} by {len(tests)} tests"


def _end(ran: subprocess.Popen[str]) -> None:
    """End a run with all that it has started."""
    try:
        os.killpg(ran.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _copy(into: Path) -> Path:
    """Copy what is tested and its tests, so that a mistake is nowhere else."""
    shutil.rmtree(into, ignore_errors=True)
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        (into / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(PROJECT / name, into / name)
    if (servers := PROJECT / ".servers").exists():
        (into / ".servers").symlink_to(servers.resolve())
    return into


def _files(places: tuple[str, ...]) -> list[Path]:
    tests = PROJECT / "tests"
    found = [tests / each for each in places if each.endswith(".py")]
    return found + [file for each in places for file in sorted((tests / each).rglob("test_*.py"))]


def _commit() -> str:
    command = ["git", "-C", str(PROJECT), "rev-parse", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
