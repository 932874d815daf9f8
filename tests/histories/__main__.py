"""The command line of the machine that looks for mistakes.

    python -m tests.histories --histories 50000          a night's work
    python -m tests.histories --replay 4711              one history, and all that went over the wire
    python -m tests.histories --file FAILED.json         the same, of one that was kept

Exit 0 if nothing was found, 1 if something was.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="histories", description="Look for mistakes in generated histories.")
    parser.add_argument("-n", "--histories", type=int, default=500, help="how many (500)")
    parser.add_argument("--seed", type=int, default=0, help="the seed of the first one; the next has the next (0)")
    parser.add_argument("--seconds", type=float, default=1e9, help="begin no more after so long")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (one per core)")
    parser.add_argument("--kind", help="one kind of server: see kinds.NAMED")
    parser.add_argument("--unlike", action="store_true", help="no file is written anew with the size and date it had")
    parser.add_argument("--replay", type=int, metavar="SEED", help="play one history and print all of it")
    parser.add_argument("--file", type=Path, help="play a history that was kept")
    parser.add_argument("--shrink", type=int, default=20, help="how many that break the same law are shrunk (20)")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="put what fails there, shrunk, as JSON")
    parser.add_argument("--package", type=Path, metavar="FOLDER", help="the folder that holds async_mirror (this one)")
    parser.add_argument("--most", type=int, default=10**9, help="end after so many failures")
    return parser.parse_args()


def main() -> int:
    """Do what is asked for; first of all with hashes that are the same in every run."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        again = [sys.executable, "-m", (__package__ or "histories"), *sys.argv[1:]]
        os.execve(sys.executable, again, os.environ | {"PYTHONHASHSEED": "0"})
    arguments = _arguments()
    if arguments.package:
        sys.path.insert(0, str(arguments.package.resolve()))
    if arguments.replay is not None or arguments.file:
        return _replay(arguments)
    return _look(arguments)


@dataclass
class Failure:
    """A history that failed: as it was drawn, and shrunk."""

    name: str
    law: str
    how: str
    drawn: str
    shrunk: str
    story: str


@dataclass
class Played:
    """What a worker tells of one history."""

    seed: int
    trivial: bool
    coverage: Counter[tuple[str, str]]
    failure: Failure | None


_BASE = Path()
_OPTIONS = argparse.Namespace()
_SHRUNK: Counter[str] = Counter()


def _begin(options: argparse.Namespace) -> None:
    """Make a worker ready, in a folder in memory where there is one."""
    global _BASE, _OPTIONS  # noqa: PLW0603 - a worker is made once
    from . import package

    memory = Path("/dev/shm")
    _BASE = Path(tempfile.mkdtemp(prefix="histories-", dir=memory if os.access(memory, os.W_OK) else None))
    _OPTIONS = options
    package.prepare(_BASE)


def _play(seed: int) -> Played:
    from .draw import draw
    from .kinds import NAMED
    from .known import name_of
    from .play import play
    from .shrink import shrink

    kind = NAMED[_OPTIONS.kind] if _OPTIONS.kind else None
    history = draw(seed, kind, alike=not _OPTIONS.unlike)
    verdict = play(history, _BASE)
    failure = None
    if verdict.law:
        shrunk = history
        _SHRUNK[verdict.law] += 1
        if _SHRUNK[verdict.law] <= max(1, _OPTIONS.shrink // _OPTIONS.jobs) * bool(_OPTIONS.shrink):
            shrunk = shrink(history, lambda each: play(each, _BASE).law == verdict.law)
        last = play(shrunk, _BASE)
        failure = Failure(name_of(shrunk, last), last.law, last.how, history.dumps(), shrunk.dumps(), shrunk.story())
    return Played(seed, verdict.trivial, verdict.coverage, failure)


def _look(arguments: argparse.Namespace) -> int:
    begun = time.monotonic()
    coverage: Counter[tuple[str, str]] = Counter()
    names: Counter[str] = Counter()
    first: dict[str, int] = {}
    done = trivial = 0
    with multiprocessing.Pool(arguments.jobs, _begin, (arguments,)) as pool:
        try:
            for played in pool.imap_unordered(_play, _seeds(arguments, begun), chunksize=5):
                done += 1
                trivial += played.trivial
                coverage += played.coverage
                if failure := played.failure:
                    names[failure.name] += 1
                    first.setdefault(failure.name, done)
                    print(f"{failure.name}\n{failure.story}\n  !! {failure.law}: {failure.how}\n", flush=True)
                    _keep(arguments.keep, played)
                    if names.total() >= arguments.most:
                        break
        finally:
            folders = pool.map(_folder, range(arguments.jobs * 4))
    for folder in set(folders):
        shutil.rmtree(folder, ignore_errors=True)
    _print_coverage(coverage)
    for name, number in names.most_common():
        print(f"{number:6} x {name}, first after {first[name]} histories")
    seconds = time.monotonic() - begun
    print(
        f"{done} histories from seed {arguments.seed}, {trivial} of them trivial ({trivial / max(1, done):.0%}),"
        f" {names.total()} failed; {seconds:.0f} s"
    )
    return 1 if names else 0


def _folder(_: int) -> Path:
    return _BASE


def _seeds(arguments: argparse.Namespace, begun: float) -> Iterator[int]:
    for seed in range(arguments.seed, arguments.seed + arguments.histories):
        if time.monotonic() - begun > arguments.seconds:
            return
        yield seed


def _keep(folder: Path | None, played: Played) -> None:
    if folder and played.failure:
        folder.mkdir(parents=True, exist_ok=True)
        name = played.failure.name.replace(" ", "-").replace(":", "").strip("()")
        (folder / f"{name}-{played.seed}.json").write_text(played.failure.shrunk + "\n")


def _print_coverage(coverage: Counter[tuple[str, str]]) -> None:
    faults = sorted({fault for fault, _ in coverage})
    print("fault x phase: how often each happened at which command of which pass")
    print(f"{'':22}" + "".join(f"{fault:>11}" for fault in faults))
    for phase in sorted({phase for _, phase in coverage}):
        print(f"{phase:22}" + "".join(f"{coverage[fault, phase] or '-':>11}" for fault in faults))


def _replay(arguments: argparse.Namespace) -> int:
    _begin(arguments)
    from .draw import draw
    from .history import History
    from .kinds import NAMED
    from .play import play

    if arguments.file:
        history = History.loads(arguments.file.read_text())
    else:
        kind = NAMED[arguments.kind] if arguments.kind else None
        history = draw(arguments.replay, kind, alike=not arguments.unlike)
    if arguments.kind:
        history = replace(history, kind=NAMED[arguments.kind])
    verdict = play(history, _BASE)
    print(history.story(), *verdict.transcript, sep="\n")
    print(f"!! {verdict.law}: {verdict.how}" if verdict.law else "nothing was found")
    shutil.rmtree(_BASE)
    return 1 if verdict.law else 0


if __name__ == "__main__":
    sys.exit(main())
