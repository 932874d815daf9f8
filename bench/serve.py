"""Runs one of the tests' real servers in the namespace it was started in, until its standard input ends."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path
from typing import Final

_TESTS: Final = Path(__file__).resolve().parents[1] / "tests"


def main() -> None:
    """Start it, tell in a line of JSON how to log in, and wait."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind")
    parser.add_argument("docroot", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("host")
    given = parser.parse_args()
    sys.path.insert(0, str(_TESTS))
    server_class = importlib.import_module("servers").FtpServer
    with server_class(given.kind, given.docroot, given.work, host=given.host, log=False) as server:
        print(json.dumps({"port": server.port, "user": server.user, "password": server.password}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
