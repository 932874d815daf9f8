"""Starts a program for each connection, with the connection as its standard input and output, as inetd does."""

from __future__ import annotations

import socket
import subprocess
import sys


def main() -> None:
    host, port, most, *command = sys.argv[1:]
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    children: list[subprocess.Popen[bytes]] = []
    with socket.create_server((host, int(port)), family=family, backlog=128) as listener:
        while True:
            connection = listener.accept()[0]
            children = [child for child in children if child.poll() is None]
            with connection:  # one too many is closed without a word
                if not int(most) or len(children) < int(most):
                    children.append(subprocess.Popen(command, stdin=connection.fileno(), stdout=connection.fileno()))


if __name__ == "__main__":
    main()
