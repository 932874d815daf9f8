"""Lets everything go wrong once at each command of one history in which the source keeps changing.

    python -m tests.histories.sweep                      every command x every fault x S and A4 x every kind of server
    python -m tests.histories.sweep --done FILE          the same, as often as it is ended and begun again
    python -m tests.histories.sweep --sample 200         so many of them, drawn by --seed
    python -m tests.histories.sweep --kind plain --replay 3:17:after:cut:A4

Exit 0 if no law was broken, 1 if one was.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import NamedTuple

from .history import History, Incident, Phase
from .kinds import NAMED
from .local import Act
from .play import Verdict
from .player import Player, folder
from .progress import OK, Progress, add_argument

FAULTS = (
    ("before", "refuse:450"),
    ("before", "refuse:421"),
    ("before", "refuse:550"),
    ("before", "refuse:500"),
    ("before", "stall:never"),
    ("after", "stall:never"),
    ("before", "cut"),
    ("after", "cut"),
    ("before", "kill"),
    ("after", "kill"),
)
"""4xx, 5xx, a hang, a cut and a kill, before a command is done and after."""
KINDS = sorted(NAMED.keys() - {"forgets-ports"})
"""The kinds of servers; on one that forgets ports the history fails even if nothing goes wrong."""
MODES = {"S": (1, ("--multi=S",)), "A4": (4, ())}


def _during(verb: str, number: int, *acts: Act) -> Incident:
    return Incident(verb, number, "after", acts)


SCRIPT = (
    Phase(
        (("write", "a", "5", "old"), ("write", "b", "5", "old"), ("write", "d/x", "5", "old"), ("put", "theirs")),
        (_during("STOR", 2, ("write", "a", "5", "now")),),
    ),
    Phase(
        (
            ("swap", "a", "b"),
            ("rename", "d", "e"),
            ("kind", "e/x"),
            ("rename", "k", "n"),
            ("write", "c", "9", "now"),
            ("put", "d/theirs"),
        ),
        (_during("RNTO", 2, ("append", "c")), _during("DELE", 1, ("write", "k", "5", "old"))),
        30.0,
    ),
)
"""Files come, change, change places, are renamed, with their folder too, change their kind, and go, some just then."""
AFTERWARDS: tuple[Act, ...] = (
    ("write", "a", "5", "now"),
    ("swap", "a", "b"),
    ("restore", "a"),
    ("remove", "b"),
    ("remove", "c"),
    ("stash", "a"),
    ("touch", "n"),
)
"""What is done to the source when the fault happens: each in turn, so that no attempt finds what the last one found."""


class Case(NamedTuple):
    """A fault at one command of one pass."""

    kind: str
    mode: str
    phase: int
    number: int
    moment: str
    fault: str

    def __str__(self) -> str:
        return f"{self.phase}:{self.number}:{self.moment}:{self.fault.replace(':', '=')}:{self.mode}"

    @classmethod
    def read(cls, kind: str, text: str) -> Case:
        phase, number, moment, fault, mode = text.split(":")
        return cls(kind, mode, int(phase), int(number), moment, fault.replace("=", ":"))

    def history(self, seed: int) -> History:
        """Return the history with the fault, and with a change of the source in the same moment."""
        act = AFTERWARDS[(self.number + self.phase) % len(AFTERWARDS)]
        incident = Incident("*", self.number, self.moment, (act,), self.fault)
        phases = [
            replace(phase, incidents=(*phase.incidents, incident)) if number == self.phase else phase
            for number, phase in enumerate(SCRIPT)
        ]
        return _history(self.kind, self.mode, tuple(phases), seed)


def _history(kind: str, mode: str, phases: tuple[Phase, ...], seed: int) -> History:
    connections, options = MODES[mode]
    return History(seed, NAMED[kind], connections, phases, options)


def commands(player: Player, kind: str, mode: str) -> list[int]:
    """Return how many commands each pass has if nothing goes wrong; what breaks a law even then fails at once."""
    verdict = player.play(_history(kind, mode, SCRIPT, 0))
    assert not verdict.law, f"{kind} {mode}, without any fault: {verdict.law}: {verdict.how}"
    passes: list[int] = []
    for line in verdict.transcript:
        passes += [0] if line.endswith(" -- the program begins") else []
        if re.match(r" *[\d.]+ #\d+ > ", line):
            passes[-1] += 1
    return passes[: len(SCRIPT)]


def cases(player: Player, kinds: list[str], modes: list[str]) -> Iterator[Case]:
    """Yield all there are."""
    for kind, mode in itertools.product(kinds, modes):
        for phase, number in enumerate(commands(player, kind, mode)):
            for command, (moment, fault) in itertools.product(range(1, number + 1), FAULTS):
                yield Case(kind, mode, phase, command, moment, fault)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="sweep", description="Let everything go wrong at each command of a history.")
    parser.add_argument("--kind", choices=KINDS, action="append", help="this kind of server alone (all)")
    parser.add_argument("--mode", choices=MODES, action="append", help="this mode alone (S and A4)")
    parser.add_argument("--sample", type=int, metavar="N", help="so many of all cases, drawn by the seed (all of them)")
    parser.add_argument("--seed", type=int, default=0, help="for the sample, and for how long things take (0)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (one per core)")
    add_argument(parser)
    parser.add_argument("--replay", metavar="CASE", help="play one case, as a failure names it, and print all of it")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="put each history that fails there, as JSON")
    return parser.parse_args()


class _Worker:
    """What a process has."""

    player: Player
    seed: int


def _begin(base: str, seed: int) -> None:
    _Worker.player = Player(base)
    _Worker.seed = seed


def _play(case: Case) -> tuple[Case, Verdict]:
    return case, _Worker.player.play(case.history(_Worker.seed))


def main() -> int:
    """Play what is asked for, and tell each failure when it is found."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        again = [sys.executable, "-m", (__package__ or "histories") + ".sweep", *sys.argv[1:]]
        os.execve(sys.executable, again, os.environ | {"PYTHONHASHSEED": "0"})
    arguments = _arguments()
    kinds, modes = arguments.kind or KINDS, arguments.mode or list(MODES)
    with folder() as base:
        if arguments.replay:
            return _replay(Case.read(kinds[0], arguments.replay), Player(base), arguments.seed)
        with multiprocessing.Pool(1, _begin, (base, 0)) as pool:  # what counts has imported the program
            chosen = pool.apply(_all_cases, (kinds, modes))
        if arguments.sample is not None:
            chosen = Random(arguments.seed).sample(chosen, min(arguments.sample, len(chosen)))
        return _sweep(chosen, base, arguments)


def _all_cases(kinds: list[str], modes: list[str]) -> list[Case]:
    return list(cases(_Worker.player, kinds, modes))


def _sweep(chosen: list[Case], base: str, arguments: argparse.Namespace) -> int:
    begun = time.monotonic()
    progress = Progress(arguments.done)
    left = [case for case in chosen if f"{case.kind} {case}" not in progress.results]
    happened: Counter[str] = Counter()
    with multiprocessing.Pool(arguments.jobs, _begin, (base, arguments.seed)) as pool:
        for case, verdict in pool.imap_unordered(_play, left, 8):
            happened[case.fault] += any(fault == case.fault.partition(":")[0] for fault, _ in verdict.coverage)
            progress.note(f"{case.kind} {case}", f"{verdict.law}: {verdict.how}" if verdict.law else OK)
            if verdict.law:
                _tell_failed(case, verdict, arguments)
    print(f"faults that happened: {dict(happened)}")
    failed = Counter(case.kind for case in chosen if progress.results[f"{case.kind} {case}"] != OK)
    print(f"failed: {dict(failed)}")
    print(f"{len(chosen)} cases, {failed.total()} failed; {time.monotonic() - begun:.0f} s")
    return 1 if failed else 0


def _tell_failed(case: Case, verdict: Verdict, arguments: argparse.Namespace) -> None:
    print(f"--kind {case.kind} --replay {case}\n  !! {verdict.law}: {verdict.how}", flush=True)
    if arguments.keep:
        arguments.keep.mkdir(parents=True, exist_ok=True)
        (arguments.keep / f"{case.kind}-{case}.json").write_text(case.history(arguments.seed).dumps())


def _replay(case: Case, player: Player, seed: int) -> int:
    history = case.history(seed)
    verdict = player.play(history)
    print(history.story(), *verdict.transcript, sep="\n")
    print(f"!! {verdict.law}: {verdict.how}" if verdict.law else "nothing was found")
    return 1 if verdict.law else 0


if __name__ == "__main__":
    sys.exit(main())
