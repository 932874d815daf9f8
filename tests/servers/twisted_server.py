"""Twisted's FTP server as a program, which logs connections and commands; knows nothing of the tests that run it."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any, TextIO

from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.portal import Portal
from twisted.internet import reactor
from twisted.protocols import ftp


class Realm(ftp.BaseFTPRealm):  # type: ignore[misc]
    """Gives every user the docroot."""

    def getHomeDirectory(self, avatarId: object) -> object:  # noqa: N802, N803 - Twisted's names
        """Return the folder that a user sees as the root."""
        return self.anonymousRoot


def make_protocol(log: TextIO) -> Any:
    """Return a protocol class that writes each command to the log before it is carried out."""

    class LoggingFTP(ftp.FTP):  # type: ignore[misc]
        def connectionMade(self) -> None:  # noqa: N802 - Twisted's name
            log.write("CONNECT\n")
            super().connectionMade()

        def lineReceived(self, line: bytes) -> None:  # noqa: N802 - Twisted's name
            shown = b"PASS ***" if line.upper().startswith(b"PASS ") else line
            log.write(f"COMMAND {shown.decode('utf-8', 'surrogateescape')}\n")
            super().lineReceived(line)

    return LoggingFTP


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--docroot", required=True)
    parser.add_argument("--user", required=True)
    parser.add_argument("--password", required=True)
    parser.add_argument("--max-connections", type=int, default=0, help="0: no limit")
    parser.add_argument("--log", default=os.devnull)
    arguments = parser.parse_args()
    os.umask(0o022)
    users = InMemoryUsernamePasswordDatabaseDontUse()
    users.addUser(arguments.user, arguments.password)
    with Path(arguments.log).open("a", buffering=1, errors="surrogateescape") as log:
        factory = ftp.FTPFactory(Portal(Realm(arguments.docroot), [users]))
        factory.protocol = make_protocol(log)
        factory.connectionLimit = arguments.max_connections or None
        reactor.listenTCP(arguments.port, factory, interface=arguments.host)
        reactor.run()


if __name__ == "__main__":
    main()
