"""Real FTP servers, and some written in Python or JavaScript, as processes of the tests' own, each with its own log.

Knows nothing of the product. Linux only: readiness is read from /proc/net/tcp, so that no probe shows up in a log.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from servers.certificates import Certificate, Certificates
from servers.configuration import Configuration, Options
from servers.kinds import (
    ALL,
    IN_NAMESPACE,
    KINDS,
    NPM_PACKAGES,
    PASSWORD,
    REAL,
    TLS_MODES,
    TLS_VERSIONS,
    UID,
    USER,
    ZOO,
    Kind,
    RealKind,
    Tls,
    TlsVersion,
    ZooKind,
    available,
    servers_folder,
)
from servers.processes import Namespace, kill, listens, living, parent, send_signal
from servers.system_log import Syslog

__all__ = [
    "ALL",
    "KINDS",
    "NPM_PACKAGES",
    "PASSWORD",
    "REAL",
    "TLS_MODES",
    "TLS_VERSIONS",
    "UID",
    "USER",
    "ZOO",
    "FtpServer",
    "KeptServer",
    "Kind",
    "RealKind",
    "ServerFactory",
    "Tls",
    "TlsVersion",
    "ZooKind",
    "available",
    "servers_folder",
]

_TIMEOUT_S = 15
# Below the kernel's usual ephemeral ports: a client's own socket must not take the port while the server restarts.
_CONTROL_PORTS = range(20000, 29999)

# How each log tells of a command and of an accepted connection.
_COMMAND: Mapping[Kind, re.Pattern[str]] = {
    "vsftpd": re.compile(r'\[pid (?P<pid>\d+)\] (?:\[[^]]*\] )?FTP command: Client "[^"]*", "(?P<line>.*)"$'),
    # OPTS UTF8 is dispatched once more as OPTS_UTF8
    "proftpd": re.compile(
        r"proftpd\[(?P<pid>\d+)\] .*?: dispatching PRE_CMD command '(?P<line>(?!OPTS_).*)' to mod_core$"
    ),
    "pure-ftpd": re.compile(r"\[DEBUG\] Command \[(?P<verb>[^]]*)\] \[(?P<argument>.*)\]$"),
    "inetutils": re.compile(r"ftpd\[(?P<pid>\d+)\]: command: (?P<line>.*)$"),
}
_PROGRAMS_COMMAND = re.compile(r"^COMMAND (?P<line>.*)$")
_CONNECTION: Mapping[Kind, re.Pattern[str]] = {
    "vsftpd": re.compile(r'\[pid \d+\] CONNECT: Client "[^"]*"$'),
    "proftpd": re.compile(r": FTP session opened\.$"),
    "pure-ftpd": re.compile(r"\[INFO\] New connection from "),
    "inetutils": re.compile(r"ftpd\[\d+\]: connection from "),
}
_PROGRAMS_CONNECTION = re.compile(r"^CONNECT$")


class FtpServer:
    """One FTP server on a loopback address for the user `tester`, from `start` (or `with`) to `stop`.

    The real servers and inetutils' see the docroot by a bind mount in a mount namespace of their own, so that it may
    lie below folders which only root can enter, as pytest's do; no permission outside the docroot is changed. When root
    runs the tests the docroot belongs to uid and gid 2121, as which those work; what is written in Python or JavaScript
    works as the caller. `work` is a folder for the server's configuration and logs. `max_per_ip` 0 means no limit;
    inetutils' and npm's close what is too much without a word. `port` 0 means any free one, kept for the life of the
    object. `host` is 127.0.0.1, ::1 or whatever the machine has.

    `tls` is explicit or implicit (see TLS_MODES; True is explicit), always required, for logins and for data, and as
    strict as the server can be: vsftpd and ProFTPD insist on the session of the control connection, vsftpd on
    close_notify, too. `tls_version` is the only one that the server speaks, "" leaves it to the server. `certificate`
    tells what is wrong with the server's, if anything; the files are named by `certificates`. With
    `client_certificate` clients must show one, too.

    `options` are settings of the server's own: directives of vsftpd.conf or proftpd.conf, command-line switches of
    Pure-FTPd ({"-I": 1}) and inetutils-ftpd, attributes of pyftpdlib's handler ({"timeout": 2}), `delay_ms` for
    aioftp's server; and, for ProFTPD, {"deny_overwrite": True}.
    """

    user = USER
    password = PASSWORD

    def __init__(
        self,
        kind: Kind,
        docroot: Path,
        work: Path,
        *,
        max_per_ip: int = 0,
        log: bool = True,
        tls: Tls | bool = "",
        tls_version: Literal["", TlsVersion] = "",
        certificate: Certificate = "good",
        client_certificate: bool = False,
        host: str = "127.0.0.1",
        port: int = 0,
        options: Options | None = None,
    ) -> None:
        self.kind = kind
        self.docroot = docroot.resolve()
        self.host = host
        self.port = port
        self.tls: Tls = "explicit" if tls is True else tls or ""
        self.certificates = Certificates(work.resolve(), certificate, host)
        self._work = work.resolve()
        self._max_per_ip = max_per_ip
        self._log = work.resolve() / "server.log" if log else None
        self._log_offset = 0
        self._tls_version = tls_version
        self._client_certificate = client_certificate
        self._options = dict(options or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._namespace: Namespace | None = None
        self._syslog: Syslog | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        """Tell whether the server's main process lives."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server and return when it listens; raise RuntimeError with its last words when it does not."""
        if self._process is not None:
            raise RuntimeError(f"{self.kind} was started already")
        if reason := available(self.kind):
            raise RuntimeError(reason)
        if self.tls and self.tls not in TLS_MODES[self.kind]:
            raise RuntimeError(f"{self.kind} knows no {self.tls} TLS")
        self._work.mkdir(parents=True, exist_ok=True)
        self.docroot.mkdir(parents=True, exist_ok=True)
        self.adopt()
        self.port = self.port or _free_port(self.host)
        if self.tls and not self.certificates.server.exists():
            self.certificates.make()
        configuration = self._configuration()
        argv, environment = configuration.command_line()
        if configuration.syslog and self._log:
            self._syslog = Syslog(configuration.syslog, self._log)
        output = self._work / "output"
        with output.open("wb") as out:
            stdin = out if self.kind == "vsftpd" else subprocess.DEVNULL  # where vsftpd says why it cannot start
            self._process = subprocess.Popen(
                argv, stdin=stdin, stdout=out, stderr=out, start_new_session=True, env=environment
            )
        listening = self._wait_until_listening()
        if self.kind in IN_NAMESPACE:
            self._namespace = Namespace.of(self._process.pid)
        if not listening:
            self.stop()
            raise RuntimeError(f"{self.kind} did not start: {output.read_text(errors='replace')[-2000:].strip()}")

    def stop(self) -> None:
        """Kill every process of the server, frozen or not, and return when none is left; do nothing when stopped."""
        if self._process is None:
            return
        kill(self.processes)
        self._process.wait()
        self._process = None
        if self._namespace:
            self._namespace.close()
            self._namespace = None
        if self._syslog:
            self._syslog.close()
            self._syslog = None

    def restart(self) -> None:
        """Stop, dropping all clients, and start again on the same port; what was logged still counts."""
        self.stop()
        self.start()

    def reset(self) -> None:
        """Make a server fit for the next test: running, without clients, its docroot empty, counting from here.

        Those in Python and JavaScript serve every client in one process: a client left by a test stays connected.
        """
        if self.running:
            self.thaw()
            kill(self._children)
        else:
            self.stop()
        for path in self.docroot.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        if not self.running:
            self.start()
        self.adopt()
        self.mark()

    def adopt(self) -> None:
        """Give all that is in the docroot to the servers' user, after a test has put something there as root."""
        if os.geteuid() != 0:
            return
        os.chown(self.docroot, UID, UID)
        for folder, folders, files in os.walk(self.docroot):
            for name in folders + files:
                os.chown(Path(folder) / name, UID, UID, follow_symlinks=False)

    def freeze(self) -> None:
        """Stop every process of the server, the clients' too, with SIGSTOP: the kernel still accepts connections."""
        stopped: set[int] = set()
        while fresh := set(self.processes()) - stopped:
            send_signal(fresh, signal.SIGSTOP)
            stopped |= fresh

    def thaw(self) -> None:
        """Let a frozen server go on."""
        send_signal(self.processes(), signal.SIGCONT)

    def processes(self) -> list[int]:
        """List the pids of every live process of the server, the main one included, oldest first."""
        if self._namespace:
            # vsftpd's sessions leave the process group, and their children may be orphaned: the namespace they keep
            return living(self._namespace.members())
        return living([self._process.pid] if self._process else [])

    def session_pids(self) -> list[int]:
        """List the processes that read the clients' commands, one for each client, oldest first.

        Empty for the servers in Python and JavaScript, which have none. Reliable once a client is logged in.
        """
        if self._process is None or self.kind not in IN_NAMESPACE:
            return []
        parent_of = {pid: parent(pid) for pid in self._children()}
        if self.kind == "vsftpd":  # the process that speaks to the client is the child of one that keeps privileges
            return [pid for pid in parent_of if pid not in parent_of.values()]
        return [pid for pid, parent in parent_of.items() if parent == self._process.pid]

    def mark(self) -> None:
        """Make `commands` and `connections` count from here on."""
        self._log_offset += len(self._new_log())

    def commands(self) -> list[str]:
        """List what clients sent, such as "STOR a.txt", as the server's log tells: verbs in capitals, no password.

        Complete up to the last command whose reply a client has read. vsftpd's log has ? for each byte beyond ASCII,
        ProFTPD's lacks double quotes and trailing blanks, that of aioftp's server trailing blanks.
        """
        found: list[str] = []
        pending: dict[str, str] = {}
        for match in self._matches(_COMMAND.get(self.kind, _PROGRAMS_COMMAND)):
            parts = match.groupdict()
            line = parts["line"] if "line" in parts else " ".join(filter(None, match.groups()))
            verb, blank, argument = line.partition(" ")
            line = "PASS ***" if verb.upper() == "PASS" else verb.upper() + blank + argument
            if self.kind == "proftpd":
                # two handlers of mod_core take every command, and the log has a line for each
                if pending.pop(parts["pid"], None) == line:
                    continue
                pending[parts["pid"]] = line
            found.append(line)
        return found

    def connections(self) -> int:
        """Count the control connections that the server took, as its log tells.

        Exact when each client has read its greeting. Not counted are those turned away at the door for their number;
        ProFTPD's limit refuses at login, after the greeting, and so they do count there.
        """
        return sum(1 for _ in self._matches(_CONNECTION.get(self.kind, _PROGRAMS_CONNECTION)))

    def _matches(self, pattern: re.Pattern[str]) -> list[re.Match[str]]:
        lines = self._new_log().decode("utf-8", "surrogateescape").split("\n")
        return [match for line in lines if (match := pattern.search(line))]

    def _new_log(self) -> bytes:
        if self._log is None:
            raise RuntimeError("this server was made with log=False")
        if self._syslog:
            self._syslog.flush()
        if not self._log.exists():
            return b""
        whole = self._log.read_bytes()[self._log_offset :]
        return whole[: whole.rfind(b"\n") + 1]

    def _children(self) -> list[int]:
        main = self._process.pid if self._process else 0
        return [pid for pid in self.processes() if pid != main]

    def _wait_until_listening(self) -> bool:
        assert self._process is not None
        end = time.monotonic() + _TIMEOUT_S
        while self._process.poll() is None and time.monotonic() < end:
            if listens(self._process.pid, self.port):
                return True
            time.sleep(0.005)
        return False

    def _configuration(self) -> Configuration:
        return Configuration(
            self.kind,
            self.docroot,
            self._work,
            self.host,
            self.port,
            self._max_per_ip,
            self._log,
            self.tls,
            self._tls_version,
            self.certificates,
            self._client_certificate,
            self._options,
        )


ServerFactory = Callable[..., FtpServer]
"""Makes and starts a server that is stopped when the test ends: `(kind, **FtpServer's keywords)`."""

KeptServer = Callable[..., FtpServer]
"""Returns a server that other tests use too, with an empty docroot: `(kind, tls, tls_version)`."""


def _free_port(host: str) -> int:
    for port in random.SystemRandom().sample(_CONTROL_PORTS, 100):
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    raise RuntimeError("no free port for a server")
