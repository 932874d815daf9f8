"""pyftpdlib as a program, which logs connections and commands; knows nothing of the tests that run it."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any, TextIO

from OpenSSL import SSL
from pyftpdlib import handlers  # type: ignore[import-untyped]
from pyftpdlib.authorizers import DummyAuthorizer  # type: ignore[import-untyped]
from pyftpdlib.servers import FTPServer  # type: ignore[import-untyped]


def make_handler(arguments: argparse.Namespace, log: TextIO) -> Any:
    """Return a handler class that writes each command to the log before it is carried out."""
    base: Any = handlers.TLS_FTPHandler if arguments.tls else handlers.FTPHandler

    class LoggingHandler(base):  # type: ignore[misc]
        def handle(self) -> None:
            if arguments.tls == "implicit":
                self.secure_connection(self.ssl_context)
            super().handle()

        def on_connect(self) -> None:
            log.write("CONNECT\n")

        def pre_process_command(self, line: str, cmd: str, arg: str) -> None:
            log.write(f"COMMAND {'PASS ***' if cmd == 'PASS' else line}\n")
            super().pre_process_command(line, cmd, arg)

    LoggingHandler.timeout = arguments.timeout
    LoggingHandler.authorizer = DummyAuthorizer()
    LoggingHandler.authorizer.add_user(arguments.user, arguments.password, arguments.docroot, perm=arguments.perm)
    if arguments.tls:
        LoggingHandler.ssl_context = make_context(arguments)
        LoggingHandler.tls_control_required = LoggingHandler.tls_data_required = True
    return LoggingHandler


def make_context(arguments: argparse.Namespace) -> SSL.Context:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.use_certificate_chain_file(arguments.certificate)
    context.use_privatekey_file(arguments.certificate)
    if arguments.tls_version:
        version = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}[arguments.tls_version]
        context.set_min_proto_version(version)
        context.set_max_proto_version(version)
    if arguments.client_ca:
        context.load_verify_locations(arguments.client_ca)
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)
        context.set_session_id(b"tests")  # else no session with a client's certificate is resumed
    return context


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--docroot", required=True)
    parser.add_argument("--user", required=True)
    parser.add_argument("--password", required=True)
    parser.add_argument("--max-connections", type=int, default=0, help="from one address; 0: no limit")
    parser.add_argument("--log", default=os.devnull)
    parser.add_argument("--tls", choices=["explicit", "implicit"], help="it is required then")
    parser.add_argument("--tls-version", choices=["1.2", "1.3"])
    parser.add_argument("--certificate", help="certificate and key in one file")
    parser.add_argument("--client-ca", help="clients must show a certificate that is from it")
    parser.add_argument("--perm", default="elradfmwMT", help="what the user may do, a letter each")
    parser.add_argument("--timeout", type=int, default=300, help="seconds without a command until the session ends")
    arguments = parser.parse_args()
    os.umask(0o022)
    with Path(arguments.log).open("a", buffering=1, errors="surrogateescape") as log:
        server = FTPServer((arguments.host, arguments.port), make_handler(arguments, log))
        server.max_cons_per_ip = arguments.max_connections
        server.serve_forever(handle_exit=False)


if __name__ == "__main__":
    main()
