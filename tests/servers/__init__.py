"""Real FTP servers, and some written in Python or JavaScript, as processes of the tests' own, each with its own log.

Knows nothing of the product. Linux only: readiness is read from /proc/net/tcp, so that no probe shows up in a log.
"""

from __future__ import annotations

import importlib.util
import os
import random
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self, get_args

from servers.certificates import Certificate, Certificates
from servers.processes import Namespace, kill, listens, living, parent, send_signal
from servers.system_log import Syslog

RealKind = Literal["vsftpd", "proftpd", "pure-ftpd"]
ZooKind = Literal["inetutils", "twisted", "ftp-srv", "nodeftpd", "simple-ftpd"]
Kind = Literal[
    "vsftpd",
    "proftpd",
    "pure-ftpd",
    "pyftpdlib",
    "aioftp",
    "inetutils",
    "twisted",
    "ftp-srv",
    "nodeftpd",
    "simple-ftpd",
]
Options = Mapping[str, object]
Tls = Literal["", "explicit", "implicit"]
TlsVersion = Literal["1.2", "1.3"]

REAL: Final[tuple[RealKind, ...]] = get_args(RealKind)
ZOO: Final[tuple[ZooKind, ...]] = get_args(ZooKind)
"""Servers that few have tried, each with traits of its own."""
ALL: Final[tuple[Kind, ...]] = get_args(Kind)
KINDS: Final[tuple[Kind, ...]] = tuple(kind for kind in ALL if kind not in ZOO)
"""Those that every part of the program is tested with."""
NPM_PACKAGES: Final[Mapping[Kind, str]] = {"ftp-srv": "ftp-srv", "nodeftpd": "ftpd", "simple-ftpd": "simple-ftpd"}
TLS_MODES: Final[Mapping[Kind, tuple[Tls, ...]]] = {
    "vsftpd": ("explicit", "implicit"),
    "proftpd": ("explicit", "implicit"),
    "pure-ftpd": ("explicit",),  # implicit TLS is a matter of compiling it, and Debian does not
    "pyftpdlib": ("explicit", "implicit"),
    "aioftp": ("implicit",),
    **dict.fromkeys(ZOO, ()),
}
TLS_VERSIONS: Final[tuple[TlsVersion, ...]] = get_args(TlsVersion)
USER: Final = "tester"
PASSWORD: Final = "s3cret-Pass"
UID: Final = 2121

_HERE = Path(__file__).resolve().parent
_PASSWORD_HASH = "$6$asyncmirror$MFfOEmz1hIj5dWG4QgnVLrK6G8Itt.Buzy2AuRk9B.qlGidGTwffNgWCIEBfY/vRsKoId1HMcUr1mGek.voFg/"
_TIMEOUT_S = 15
# For the library, because vsftpd and Pure-FTPd have no setting for it.
_ONE_TLS_VERSION = """\
openssl_conf = all
[all]
ssl_conf = ssl
[ssl]
system_default = versions
[versions]
MinProtocol = TLSv{0}
MaxProtocol = TLSv{0}
"""
# Below the kernel's usual ephemeral ports: a client's own socket must not take the port while the server restarts.
_CONTROL_PORTS = range(20000, 29999)
_PASSIVE_PORTS = (30000, 60000)

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
_IN_NAMESPACE: Final = (*REAL, "inetutils")


def servers_folder() -> Path:
    """Tell where `tests/servers/fetch` unpacks the real servers."""
    return Path(os.environ.get("ASYNC_MIRROR_SERVERS") or _HERE.parents[1] / ".servers").resolve()


@cache
def _has_mount_namespaces() -> bool:
    unshare = shutil.which("unshare") or "false"
    return subprocess.run([unshare, "-m", "true"], check=False, capture_output=True).returncode == 0


def available(kind: Kind) -> str:
    """Tell why this kind cannot be run here, or "" when it can."""
    if not Path("/proc/net/tcp").exists():
        return "the servers of the tests need Linux"
    if kind in NPM_PACKAGES:
        return _npm_available(NPM_PACKAGES[kind])
    if kind not in _IN_NAMESPACE:
        return "" if importlib.util.find_spec(kind) else f"the package {kind} is not installed"
    if os.geteuid() != 0:
        return f"{kind} needs root, to have a mount namespace and to become the docroot's user"
    if not (servers_folder() / ".fetched").exists():
        return f"no {kind} in {servers_folder()}: run tests/servers/fetch"
    return "" if _has_mount_namespaces() else f"{kind} needs mount namespaces, and unshare -m is refused here"


def _npm_available(package: str) -> str:
    if not shutil.which("node"):
        return "there is no node here"
    is_there = (_npm_folder() / package).is_dir()
    return "" if is_there else f"no {package} in {_npm_folder()}: run tests/servers/fetch, which needs npm"


class FtpServer:
    """One FTP server on a loopback address for the user `tester`, from `start` (or `with`) to `stop`.

    The real servers see the docroot by a bind mount in a mount namespace of their own, so that it may lie below folders
    which only root can enter, as pytest's do; no permission outside the docroot is changed. When root runs the tests
    the docroot belongs to uid and gid 2121, as which the real servers work; the Python servers work as the caller.
    `work` is a folder for the server's configuration and logs. `max_per_ip` 0 means no limit. `port` 0 means any free
    one, kept for the life of the object. `host` is 127.0.0.1, ::1 or whatever the machine has.

    `tls` is explicit or implicit (see TLS_MODES; True is explicit), always required, for logins and for data, and as
    strict as the server can be: vsftpd and ProFTPD insist on the session of the control connection, vsftpd on
    close_notify, too. `tls_version` is the only one that the server speaks, "" leaves it to the server. `certificate`
    tells what is wrong with the server's, if anything; the files are named by `certificates`. With
    `client_certificate` clients must show one, too.

    `options` are settings of the server's own: directives of vsftpd.conf or proftpd.conf, command-line switches of
    Pure-FTPd ({"-I": 1}), attributes of pyftpdlib's handler ({"timeout": 2}), `delay_ms` for aioftp's server; and, for
    ProFTPD, {"deny_overwrite": True}.
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
        self._ipv6 = ":" in host
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
        argv, environment = self._command_line()
        output = self._work / "output"
        with output.open("wb") as out:
            stdin = out if self.kind == "vsftpd" else subprocess.DEVNULL  # where vsftpd says why it cannot start
            self._process = subprocess.Popen(
                argv, stdin=stdin, stdout=out, stderr=out, start_new_session=True, env=environment
            )
        listening = self._wait_until_listening()
        if self.kind in _IN_NAMESPACE:
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

        The Python servers serve every client in one process: for them a client left by a test stays connected.
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
        if self._process is None or self.kind not in _IN_NAMESPACE:
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

    def _command_line(self) -> tuple[list[str], dict[str, str]]:
        match self.kind:
            case "vsftpd":
                return self._in_namespace(*self._vsftpd())
            case "proftpd":
                return self._in_namespace(*self._proftpd())
            case "pure-ftpd":
                return self._in_namespace(*self._pure_ftpd())
            case "inetutils":
                return self._in_namespace(*self._inetutils())
            case _:
                return self._program(), os.environ | {"NODE_PATH": str(_npm_folder())}

    def _in_namespace(self, argv: list[str], mounts: list[str]) -> tuple[list[str], dict[str, str]]:
        """Run the mounts and then the server in a mount namespace, where the docroot lies at `_site`."""
        bind = f"mount --bind {shlex.quote(str(self.docroot))} {self._site}"
        server = f"exec env LD_LIBRARY_PATH={shlex.quote(_library_path())} {shlex.join(argv)}"
        script = " && ".join([bind, *mounts, server])
        unshare = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "TZ": "UTC"}
        if self._tls_version:
            openssl = self._write("openssl.cnf", _ONE_TLS_VERSION.format(self._tls_version))
            environment["OPENSSL_CONF"] = str(openssl)
        return unshare, environment

    @property
    def _site(self) -> Path:
        """A folder every Debian has, covered only inside the namespace, and needed by nothing there."""
        needed = (servers_folder(), self._work)
        candidates = [Path(name) for name in ("/srv", "/media", "/mnt", "/opt")]
        return next(p for p in candidates if p.is_dir() and not any(path.is_relative_to(p) for path in needed))

    def _write(self, name: str, text: str) -> Path:
        path = self._work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o600)
        return path

    def _vsftpd(self) -> tuple[list[str], list[str]]:
        shell_users = (
            "root:x:0:0:root:/root:/bin/sh\n"
            "nobody:x:65534:65534::/nonexistent:/usr/sbin/nologin\n"
            "ftp:x:65533:65534::/nonexistent:/usr/sbin/nologin\n"
            f"{USER}:x:{UID}:{UID}::{self._site}:/bin/sh\n"
        )
        users = self._write("passwd", shell_users)
        users.chmod(0o644)
        shadow = self._write("shadow", f"{USER}:{_PASSWORD_HASH}:19000:0:99999:7:::\n")
        pam_rules = "auth required pam_unix.so\naccount required pam_unix.so\nsession required pam_permit.so\n"
        pam = self._write("pam.d/vsftpd", pam_rules).parent
        empty = self._work / "empty"
        empty.mkdir(exist_ok=True)
        settings: dict[str, object] = {
            "background": "NO",
            "listen_port": self.port,
            "anonymous_enable": "NO",
            "local_enable": "YES",
            "write_enable": "YES",
            "chmod_enable": "YES",
            "mdtm_write": "YES",
            "local_umask": "022",
            "chroot_local_user": "YES",
            "allow_writeable_chroot": "YES",
            "secure_chroot_dir": empty,
            "pam_service_name": "vsftpd",
            "use_localtime": "NO",
            "pasv_min_port": _PASSIVE_PORTS[0],
            "pasv_max_port": _PASSIVE_PORTS[1],
            "max_clients": 0,
            "max_per_ip": self._max_per_ip,
            "seccomp_sandbox": "NO",  # its list of system calls is older than today's libraries
        }
        if self._ipv6:
            settings |= {"listen": "NO", "listen_ipv6": "YES", "listen_address6": self.host}
        else:
            settings |= {"listen": "YES", "listen_ipv6": "NO", "listen_address": self.host}
        if self._log:
            settings |= {"xferlog_enable": "YES", "log_ftp_protocol": "YES", "vsftpd_log_file": self._log}
        if self.tls:
            settings |= {
                "ssl_enable": "YES",
                "implicit_ssl": "YES" if self.tls == "implicit" else "NO",
                "rsa_cert_file": self.certificates.server,
                "rsa_private_key_file": self.certificates.server,
                "force_local_data_ssl": "YES",
                "force_local_logins_ssl": "YES",
                "require_ssl_reuse": "YES",
                "strict_ssl_read_eof": "YES",
                "ssl_ciphers": "HIGH",
            }
        if self._client_certificate:
            settings |= {"require_cert": "YES", "validate_cert": "YES", "ca_certs_file": self.certificates.client_ca}
        settings |= self._options
        # vsftpd takes no blanks around the sign
        conf = self._write("vsftpd.conf", "".join(f"{key}={value}\n" for key, value in settings.items()))
        mounts = {users: "/etc/passwd", shadow: "/etc/shadow", pam: "/etc/pam.d"}
        binds = [f"mount --bind {shlex.quote(str(source))} {target}" for source, target in mounts.items()]
        return [str(servers_folder() / "usr/sbin/vsftpd"), str(conf)], binds

    def _proftpd(self) -> tuple[list[str], list[str]]:
        users = self._write("passwd", f"{USER}:{_PASSWORD_HASH}:{UID}:{UID}::{self._site}:/bin/sh\n")
        groups = self._write("group", f"{USER}:x:{UID}:\n")
        settings: dict[str, object] = {
            "ServerName": "tests",
            "ServerType": "standalone",
            "DefaultAddress": self.host,
            "Port": self.port,
            "UseIPv6": "on" if self._ipv6 else "off",
            "User": "nobody",
            "Group": "nogroup",
            "Umask": "022",
            "PidFile": f'"{self._work}/pid"',
            "ScoreboardFile": f'"{self._work}/scoreboard"',
            "ModulePath": f'"{servers_folder()}/usr/lib/proftpd"',
            "TransferLog": "none",
            "SystemLog": "none",
            "WtmpLog": "off",
            "UseReverseDNS": "off",
            "AuthPAM": "off",
            "AuthOrder": "mod_auth_file.c",
            "AuthUserFile": f'"{users}"',
            "AuthGroupFile": f'"{groups}"',
            "RequireValidShell": "off",
            "DefaultRoot": self._site,
            "AllowOverwrite": "on",
            "AllowStoreRestart": "on",
            "PassivePorts": f"{_PASSIVE_PORTS[0]} {_PASSIVE_PORTS[1]}",
            "DelayEngine": "off",
        }
        if self._max_per_ip:
            settings["MaxClientsPerHost"] = self._max_per_ip
        if self._log:
            # ExtendedLog is written after the reply; the debug log has a command before it is carried out
            settings |= {"SystemLog": f'"{self._log}"', "DebugLevel": 4}
        if self.tls:
            settings |= {
                "LoadModule": "mod_tls.c",
                "TLSEngine": "on",
                "TLSRequired": "on",
                "TLSECCertificateFile": f'"{self.certificates.server}"',
                "TLSECCertificateKeyFile": f'"{self.certificates.server}"',
                "TLSVerifyClient": "off",
                "TLSLog": "none",
            }
        if self.tls == "implicit":
            settings["TLSOptions"] = "UseImplicitSSL"
        if self._client_certificate:
            settings |= {"TLSVerifyClient": "on", "TLSCACertificateFile": f'"{self.certificates.client_ca}"'}
        options = dict(self._options)
        if options.pop("deny_overwrite", False):
            settings["AllowOverwrite"] = "off"
        settings |= options
        conf = self._write("proftpd.conf", "".join(f"{key} {value}\n" for key, value in settings.items()))
        return [str(servers_folder() / "usr/sbin/proftpd"), "-n", "-q", "-c", str(conf)], []

    def _pure_ftpd(self) -> tuple[list[str], list[str]]:
        users = self._write("users", f"{USER}:{_PASSWORD_HASH}:{UID}:{UID}::{self._site}/./::::::::::::\n")
        database = self._work / "users.pdb"
        subprocess.run(
            [servers_folder() / "usr/bin/pure-pw", "mkdb", database, "-f", users],
            check=True,
            capture_output=True,
            env={"LD_LIBRARY_PATH": _library_path()},
        )
        switches: dict[str, object] = {
            "-S": f"{self.host},{self.port}",
            "-l": f"puredb:{database}",
            "-g": self._work / "pid",
            "-c": 200,
            "-p": f"{_PASSIVE_PORTS[0]}:{_PASSIVE_PORTS[1]}",
            "-U": "133:022",
            "-f": "ftp" if self._log else "none",
        }
        if self._max_per_ip:
            switches["-C"] = self._max_per_ip
        if self.tls:
            switches |= {"-Y": 3, "-2": self.certificates.server}
        if self._client_certificate:
            files = (self.certificates.server, self.certificates.client_ca)
            both = self._write("server-and-client-ca.pem", "".join(path.read_text() for path in files))
            switches |= {"-2": both, "-J": "-C:HIGH"}
        switches |= self._options
        flags = ["-A", "-E", "-H", "-6" if self._ipv6 else "-4", "-D", "-z", *(["-d"] if self._log else [])]
        argv = [str(servers_folder() / "usr/sbin/pure-ftpd"), *flags]
        argv += [word for switch, value in switches.items() for word in (switch, str(value))]
        mounts = ["mount -t tmpfs none /run"]  # the server keeps a folder of its own there
        if self._log:
            mounts += self._own_syslog(self._log)
        return argv, mounts

    def _private_dev(self) -> list[str]:
        """Mounts for a /dev with a syslog of our own: the machine's has none, or the wrong one."""
        old = self._work / "dev"
        old.mkdir(exist_ok=True)
        dev = shlex.quote(str(old))
        return [
            f"mount --rbind /dev {dev}",
            "mount -t tmpfs none /dev",
            f"for n in null zero random urandom; do : >/dev/$n && mount --bind {dev}/$n /dev/$n || exit 1; done",
            f"ln -s {shlex.quote(str(self._work / 'syslog'))} /dev/log",
        ]

    def _inetutils(self) -> tuple[list[str], list[str]]:
        """A whole /etc, because the list of users to be locked into their folders is a file that few machines have."""
        self._write("etc/passwd", f"{USER}:x:{UID}:{UID}::{self._site}:/bin/sh\n")
        self._write("etc/shadow", f"{USER}:{_PASSWORD_HASH}:19000:0:99999:7:::\n")
        self._write("etc/shells", "/bin/sh\n")
        etc = self._write("etc/ftpchroot", f"{USER}\n").parent
        if Path("/etc/ld.so.cache").exists():
            shutil.copy("/etc/ld.so.cache", etc)  # for the Python of inetd.py
        argv = [sys.executable, str(_HERE / "inetd.py"), self.host, str(self.port), str(self._max_per_ip)]
        argv += [str(servers_folder() / "usr/sbin/ftpd"), "--auth", "default", "--umask", "022"]
        mounts = [f"mount --bind {shlex.quote(str(etc))} /etc"]
        if self._log:
            argv += ["--logging", "--debug"]
            mounts += self._own_syslog(self._log)
        argv += [word for switch, value in self._options.items() for word in (switch, str(value))]
        return argv, mounts

    def _own_syslog(self, log: Path) -> list[str]:
        self._syslog = Syslog(self._work / "syslog", log)
        return self._private_dev()

    def _program(self) -> list[str]:
        if self.kind in NPM_PACKAGES:
            argv = ["node", str(_HERE / "npm_server.js"), self.kind]
        else:
            argv = [sys.executable, str(_HERE / f"{self.kind}_server.py")]
        argv += ["--host", self.host, "--port", str(self.port), "--docroot", str(self.docroot)]
        argv += ["--user", USER, "--password", PASSWORD, "--max-connections", str(self._max_per_ip)]
        if self._log:
            argv += ["--log", str(self._log)]
        if self.tls:
            argv += ["--certificate", str(self.certificates.server), "--tls", self.tls]
            argv += ["--tls-version", self._tls_version] if self._tls_version else []
            argv += ["--client-ca", str(self.certificates.client_ca)] if self._client_certificate else []
        for name, value in self._options.items():
            argv += [f"--{name.replace('_', '-')}", str(value)]
        return argv


ServerFactory = Callable[..., FtpServer]
"""Makes and starts a server that is stopped when the test ends: `(kind, **FtpServer's keywords)`."""

KeptServer = Callable[..., FtpServer]
"""Returns a server that other tests use too, with an empty docroot: `(kind, tls, tls_version)`."""


def _npm_folder() -> Path:
    return servers_folder() / "npm/node_modules"


def _library_path() -> str:
    return ":".join(str(folder) for part in ("lib", "usr/lib") for folder in servers_folder().glob(f"{part}/*-linux-*"))


def _free_port(host: str) -> int:
    for port in random.SystemRandom().sample(_CONTROL_PORTS, 100):
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    raise RuntimeError("no free port for a server")
