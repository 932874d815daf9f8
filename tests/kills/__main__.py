"""The command line: `tests/kills/run -n 300`. Exit 0 if nothing was wrong after any kill, 1 if something was.

With `--faults` it is no kill at a random moment, but a refusal, a hang, a cut, or a kill at a random command, through
a proxy. With `--done FILE` a run that was ended goes on where it was.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from random import Random

from faults.proxy import FtpProxy
from histories.progress import OK, Progress, add_argument
from servers import REAL, FtpServer, RealKind, Tls
from support.law import sitecustomize as law

from .killing import Killing, Wrong


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="kills", description="Kill the program at random moments on real servers.")
    parser.add_argument("-n", "--kills", type=int, default=300, help="how many, over all servers (300)")
    parser.add_argument("--seed", type=int, default=0, help="what the moments and the changes are drawn by (0)")
    parser.add_argument("--kind", choices=REAL, action="append", help="this server alone (all three)")
    parser.add_argument("--tls", choices=["plain", "tls"], action="append", help="with or without TLS alone (both)")
    parser.add_argument("--faults", action="store_true", help="let something go wrong at a command; without TLS")
    add_argument(parser)
    return parser.parse_args()


def main() -> int:
    """Kill on each server so many times, and tell what was wrong."""
    arguments = _arguments()
    kinds, ways = arguments.kind or list(REAL), arguments.tls or ["plain", "tls"]
    ways = ["faults"] if arguments.faults else ways
    servers = [(kind, way) for kind in kinds for way in ways]
    progress = Progress(arguments.done)
    for number, (kind, way) in enumerate(servers):
        kills = arguments.kills * (number + 1) // len(servers) - arguments.kills * number // len(servers)
        left = [name for n in range(1, kills + 1) if (name := f"{kind} {way} {n}") not in progress.results]
        if left:
            _kill(kind, way, left, progress, arguments.seed)
    wrong = sum(result != OK for result in progress.results.values())
    print(f"{len(progress.results)} kills, {wrong} with something wrong afterwards")
    return 1 if wrong else 0


def _kill(kind: RealKind, way: str, names: list[str], progress: Progress, seed: int) -> None:
    """Kill on one server, once for each name."""
    begun = time.monotonic()
    tls: Tls = "explicit" if way == "tls" else ""
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        base = Path(folder)
        os.environ.setdefault(law.VARIABLE, folder)
        with ExitStack() as stack:
            server = stack.enter_context(FtpServer(kind, base / "docroot", base / "server", tls=tls))
            proxy = stack.enter_context(FtpProxy(server.port)) if way == "faults" else None
            killing = Killing(base, server, Random(f"{seed} {names[0]}"), proxy)
            once = killing.fault_once if proxy else killing.kill_once
            for name in names:
                try:
                    once()
                    progress.note(name, OK)
                except Wrong as error:
                    progress.note(name, str(error))
                    print(f"{name}: {error}", flush=True)
                    killing.begin_anew()
    seconds = time.monotonic() - begun
    print(f"{kind:10} {way:5}  {killing.kills} kills, {killing.at_work} while it worked; {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
