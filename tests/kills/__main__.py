"""The command line: `tests/kills/run -n 300`. Exit 0 if nothing was wrong after any kill, 1 if something was."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from servers import REAL, FtpServer
from support.law import sitecustomize as law

from .killing import Killing, Wrong


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="kills", description="Kill the program at random moments on real servers.")
    parser.add_argument("-n", "--kills", type=int, default=300, help="how many, over all servers (300)")
    parser.add_argument("--seed", type=int, default=0, help="what the moments and the changes are drawn by (0)")
    parser.add_argument("--kind", choices=REAL, action="append", help="this server alone (all three)")
    parser.add_argument("--tls", choices=["plain", "tls"], action="append", help="with or without TLS alone (both)")
    return parser.parse_args()


def main() -> int:
    """Kill on each server so many times, and tell what was wrong."""
    arguments = _arguments()
    kinds, ways = arguments.kind or list(REAL), arguments.tls or ["plain", "tls"]
    servers = [(kind, way) for kind in kinds for way in ways]
    wrong = total = 0
    for number, (kind, way) in enumerate(servers):
        kills = arguments.kills * (number + 1) // len(servers) - arguments.kills * number // len(servers)
        begun = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="kills-") as name:
            base = Path(name)
            os.environ.setdefault(law.VARIABLE, name)
            with FtpServer(kind, base / "docroot", base / "server", tls=way == "tls") as server:
                killing = Killing(base, server, Random(f"{arguments.seed} {kind} {way}"))
                for _ in range(kills):
                    try:
                        killing.kill_once()
                    except Wrong as error:
                        wrong += 1
                        print(f"{kind} {way}, kill {killing.kills}: {error}", flush=True)
                        killing.begin_anew()
        total += killing.kills
        print(
            f"{kind:10} {way:5}  {killing.kills} kills, {killing.at_work} while it worked;"
            f" {time.monotonic() - begun:.0f} s",
            flush=True,
        )
    print(f"{total} kills, {wrong} with something wrong afterwards")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
