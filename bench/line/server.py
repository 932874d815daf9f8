"""Runs one of the tests' real servers in the namespace it was started in, until its standard input ends."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Final

_TESTS: Final = Path(__file__).resolve().parents[2] / "tests"
# The tests want servers as strict as they can be, which is stricter than their packages make them.
_AS_PACKAGED: Final = {"vsftpd": {"strict_ssl_read_eof": "NO"}}


def main() -> None:
    """Start it, tell in a line of JSON how to log in, and wait; a line asks which commands came since the last one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind")
    parser.add_argument("docroot", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("host")
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--log", action="store_true", help="what commands are counted from")
    given = parser.parse_args()
    sys.path.insert(0, str(_TESTS))
    server_class = importlib.import_module("servers").FtpServer
    options = _AS_PACKAGED.get(given.kind) if given.tls else None
    with server_class(
        given.kind, given.docroot, given.work, host=given.host, log=given.log, tls=given.tls, options=options
    ) as server:
        login = {"port": server.port, "user": server.user, "password": server.password}
        print(json.dumps(login | {"ca": str(server.certificates.ca)}), flush=True)
        for _ in sys.stdin:
            print(json.dumps(_counted(server.commands())), flush=True)
            server.mark()


def _counted(commands: list[str]) -> dict[str, int]:
    """Count by verb, SITE's by what it is to do."""
    words = (command.upper().split() for command in commands)
    verbs = Counter(" ".join(said[:2]) if said[0] == "SITE" else said[0] for said in words if said)
    return dict(verbs.most_common())


if __name__ == "__main__":
    main()
