"""aioftp's own server as a program, which logs connections and commands; knows nothing of the tests that run it."""

from __future__ import annotations

import argparse
import asyncio
import os
import ssl
from pathlib import Path
from typing import TextIO

import aioftp
from aioftp.common import StreamIO


class LoggingServer(aioftp.Server):
    """Writes each command to the log before it is carried out, and waits first when told to."""

    def __init__(self, arguments: argparse.Namespace, log: TextIO) -> None:
        user = aioftp.User(arguments.user, arguments.password, base_path=arguments.docroot)
        limit = arguments.max_connections or None
        super().__init__([user], maximum_connections=limit, ssl=make_context(arguments) if arguments.tls else None)
        self._log = log
        self._delay_s = arguments.delay_ms / 1000

    async def dispatcher(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Log a connection that the limit will not turn away."""
        if not self.available_connections.locked():
            self._log.write("CONNECT\n")
        await super().dispatcher(reader, writer)

    async def parse_command(self, stream: StreamIO, censor_commands: tuple[str] = ("pass",)) -> tuple[str, str]:
        """Log the command line without a password."""
        verb, argument = await super().parse_command(stream, censor_commands)
        self._log.write(f"COMMAND {verb} {'***' if verb == 'pass' else argument}".removesuffix(" ") + "\n")
        await asyncio.sleep(self._delay_s)
        return verb, argument


def make_context(arguments: argparse.Namespace) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(arguments.certificate)
    if arguments.tls_version:
        version = ssl.TLSVersion[f"TLSv{arguments.tls_version.replace('.', '_')}"]
        context.minimum_version = context.maximum_version = version
    if arguments.client_ca:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(arguments.client_ca)
    return context


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--docroot", type=Path, required=True)
    parser.add_argument("--user", required=True)
    parser.add_argument("--password", required=True)
    parser.add_argument("--max-connections", type=int, default=0, help="0: no limit")
    parser.add_argument("--log", default=os.devnull)
    parser.add_argument("--delay-ms", type=float, default=0, help="wait so long before carrying out a command")
    parser.add_argument("--tls", choices=["implicit"])
    parser.add_argument("--tls-version", choices=["1.2", "1.3"])
    parser.add_argument("--certificate", help="certificate and key in one file")
    parser.add_argument("--client-ca", help="clients must show a certificate that is from it")
    os.umask(0o022)
    arguments = parser.parse_args()
    with Path(arguments.log).open("a", buffering=1, errors="surrogateescape") as log:
        asyncio.run(LoggingServer(arguments, log).run(arguments.host, arguments.port))


if __name__ == "__main__":
    main()
