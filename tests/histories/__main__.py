"""The command line of the machine that looks for mistakes.

    python -m tests.histories --histories 50000          a night's work (--tally FILE: in several nights)
    python -m tests.histories --replay 4711              one history, and all that went over the wire
    python -m tests.histories --file FAILED.json         the same, of one that was kept; of several, those that fail

Exit 0 if nothing was found, 1 if something was.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from .history import History
from .known import name_of
from .package import NAME
from .player import Player, folder
from .tally import OtherCodeError, Tally, code_of


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="histories", description="Look for mistakes in generated histories.")
    parser.add_argument("-n", "--histories", type=int, default=500, help="how many (500)")
    parser.add_argument("--seed", type=int, default=0, help="the seed of the first one; the next has the next (0)")
    parser.add_argument("--seconds", type=float, default=1e9, help="begin no more after so long")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (one per core)")
    parser.add_argument("--kind", help="one kind of server: see kinds.NAMED")
    parser.add_argument("--unlike", action="store_true", help="no file is written anew with the size and date it had")
    parser.add_argument("--replay", type=int, metavar="SEED", help="play one history and print all of it")
    parser.add_argument("--file", type=Path, nargs="+", default=[], help="play histories that were kept")
    parser.add_argument("--shrink", type=int, default=20, help="how many that break the same law are shrunk (20)")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="put what fails there, shrunk, as JSON")
    parser.add_argument("--package", type=Path, metavar="FOLDER", help="the folder that holds async_mirror (this one)")
    parser.add_argument("--tally", type=Path, metavar="FILE", help="keep there what is counted, and go on from it")
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


class _Worker:
    """What a process has: a player, and how many histories that break a law were shrunk."""

    player: Player
    most_shrunk: int
    shrunk: Counter[str]


def _begin(base: str, options: argparse.Namespace) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _Worker.player = Player(base, options.kind, unlike=options.unlike)
    _Worker.shrunk = Counter()
    _Worker.most_shrunk = -(-options.shrink // options.jobs)


def _play(seed: int) -> Played:
    player = _Worker.player
    history = player.draw(seed)
    verdict = player.play(history)
    failure = None
    if law := verdict.law:
        _Worker.shrunk[law] += 1
        shrunk = player.shrink(history, law) if _Worker.shrunk[law] <= _Worker.most_shrunk else history
        last = player.play(shrunk)
        failure = Failure(name_of(shrunk, last), last.law, last.how, history.dumps(), shrunk.dumps(), shrunk.story())
    return Played(seed, verdict.trivial, verdict.coverage, failure)


def _look(arguments: argparse.Namespace) -> int:
    """Play many histories, tell each failure when it is found, and at the end what happened and what was found."""
    begun = time.monotonic()
    try:
        tally = _tally(arguments)
    except OtherCodeError as error:
        print(error, file=sys.stderr)
        return 2
    before = tally.seconds
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for batch in _batches(arguments, tally.done):
            for played in batch:
                _take(played, tally, arguments)
                if tally.names.total() >= arguments.most:
                    raise KeyboardInterrupt
            tally.seconds = before + time.monotonic() - begun
            if arguments.tally:
                tally.save(arguments.tally)
    except KeyboardInterrupt:
        print("cut short: what was played last may be played again", file=sys.stderr)
    tally.seconds = before + time.monotonic() - begun
    print(tally)
    return 1 if tally.names else 0


def _tally(arguments: argparse.Namespace) -> Tally:
    if not arguments.tally:
        return Tally(arguments.seed)
    package = find_spec(NAME)
    assert package
    assert package.origin
    code = code_of(Path(package.origin).parent, Path(__file__).parent)
    return Tally.load(arguments.tally, arguments.seed, f"{code} {arguments.kind} {arguments.unlike}")


def _take(played: Played, tally: Tally, arguments: argparse.Namespace) -> None:
    failure = played.failure
    tally.add(trivial=played.trivial, coverage=played.coverage, name=failure.name if failure else "")
    if failure:
        print(f"{failure.name}\n{failure.story}\n  !! {failure.law}: {failure.how}\n", flush=True)
        _keep(arguments.keep, played)


def _batches(arguments: argparse.Namespace, done: int) -> Iterator[Iterator[Played]]:
    """Play histories, some for each process at a time, as long as there is time."""
    end = time.monotonic() + arguments.seconds
    seeds = range(arguments.seed, arguments.seed + arguments.histories)
    some = 25 * arguments.jobs
    with folder() as base, multiprocessing.Pool(arguments.jobs, _begin, (base, arguments)) as pool:
        for start in range(done, len(seeds), some):
            if time.monotonic() > end:
                return
            yield pool.imap_unordered(_play, seeds[start : start + some])


def _keep(into: Path | None, played: Played) -> None:
    if into and played.failure:
        into.mkdir(parents=True, exist_ok=True)
        name = played.failure.name.replace(" ", "-").replace(":", "").strip("()")
        (into / f"{name}-{played.seed}.json").write_text(played.failure.shrunk + "\n")


def _replay(arguments: argparse.Namespace) -> int:
    """Play one history and print it, or several and print those that break a law."""
    failed = 0
    with folder() as base:
        player = Player(base, arguments.kind)
        histories = [History.loads(file.read_text()) for file in arguments.file] or [player.draw(arguments.replay)]
        for history in histories:
            verdict = player.play(history)
            failed += bool(verdict.law)
            if verdict.law or len(histories) == 1:
                print(history.story(), *verdict.transcript, sep="\n")
                print(f"!! {verdict.law}: {verdict.how}" if verdict.law else "nothing was found")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
