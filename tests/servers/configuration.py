"""How each kind of server is configured and called; knows nothing of what becomes of the processes."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from servers.certificates import Certificates
from servers.kinds import NPM_PACKAGES, PASSWORD, UID, USER, Kind, Tls, TlsVersion, npm_folder, servers_folder

Options = Mapping[str, object]

_HERE = Path(__file__).resolve().parent
_PASSWORD_HASH = "$6$asyncmirror$MFfOEmz1hIj5dWG4QgnVLrK6G8Itt.Buzy2AuRk9B.qlGidGTwffNgWCIEBfY/vRsKoId1HMcUr1mGek.voFg/"
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
PASSIVE_PORTS: Final = (30000, 60000)


@dataclass(frozen=True)
class Configuration:
    """What a server is to be like, with a folder for its files; see `FtpServer`."""

    kind: Kind
    docroot: Path
    work: Path
    host: str
    port: int
    max_per_ip: int
    log: Path | None
    tls: Tls
    tls_version: Literal["", TlsVersion]
    certificates: Certificates
    client_certificate: bool
    options: Options

    @property
    def syslog(self) -> Path | None:
        """The socket at which the server expects syslog, if it logs there."""
        return self.work / "syslog" if self.log and self.kind in ("pure-ftpd", "inetutils") else None

    @property
    def is_ipv6(self) -> bool:
        """Tell whether the host is an IPv6 address."""
        return ":" in self.host

    def command_line(self) -> tuple[list[str], dict[str, str]]:
        """Write the files that the server needs, and return how it is called and its environment."""
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
                return self._program(), os.environ | {"NODE_PATH": str(npm_folder())}

    def _in_namespace(self, argv: list[str], mounts: list[str]) -> tuple[list[str], dict[str, str]]:
        """Run the mounts and then the server in a mount namespace, where the docroot lies at `_site`."""
        bind = f"mount --bind {shlex.quote(str(self.docroot))} {self._site}"
        server = f"exec env LD_LIBRARY_PATH={shlex.quote(library_path())} {shlex.join(argv)}"
        script = " && ".join([bind, *mounts, server])
        unshare = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "TZ": "UTC"}
        if self.tls_version:
            openssl = self._write("openssl.cnf", _ONE_TLS_VERSION.format(self.tls_version))
            environment["OPENSSL_CONF"] = str(openssl)
        return unshare, environment

    @property
    def _site(self) -> Path:
        """A folder every Debian has, covered only inside the namespace, and needed by nothing there."""
        needed = (servers_folder(), self.work)
        candidates = [Path(name) for name in ("/srv", "/media", "/mnt", "/opt")]
        return next(p for p in candidates if p.is_dir() and not any(path.is_relative_to(p) for path in needed))

    def _write(self, name: str, text: str) -> Path:
        path = self.work / name
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
        empty = self.work / "empty"
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
            "pasv_min_port": PASSIVE_PORTS[0],
            "pasv_max_port": PASSIVE_PORTS[1],
            "max_clients": 0,
            "max_per_ip": self.max_per_ip,
            "seccomp_sandbox": "NO",  # its list of system calls is older than today's libraries
        }
        if self.is_ipv6:
            settings |= {"listen": "NO", "listen_ipv6": "YES", "listen_address6": self.host}
        else:
            settings |= {"listen": "YES", "listen_ipv6": "NO", "listen_address": self.host}
        if self.log:
            settings |= {"xferlog_enable": "YES", "log_ftp_protocol": "YES", "vsftpd_log_file": self.log}
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
        if self.client_certificate:
            settings |= {"require_cert": "YES", "validate_cert": "YES", "ca_certs_file": self.certificates.client_ca}
        settings |= self.options
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
            "UseIPv6": "on" if self.is_ipv6 else "off",
            "User": "nobody",
            "Group": "nogroup",
            "Umask": "022",
            "PidFile": f'"{self.work}/pid"',
            "ScoreboardFile": f'"{self.work}/scoreboard"',
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
            "PassivePorts": f"{PASSIVE_PORTS[0]} {PASSIVE_PORTS[1]}",
            "DelayEngine": "off",
        }
        if self.max_per_ip:
            settings["MaxClientsPerHost"] = self.max_per_ip
        if self.log:
            # ExtendedLog is written after the reply; the debug log has a command before it is carried out
            settings |= {"SystemLog": f'"{self.log}"', "DebugLevel": 4}
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
        if self.client_certificate:
            settings |= {"TLSVerifyClient": "on", "TLSCACertificateFile": f'"{self.certificates.client_ca}"'}
        options = dict(self.options)
        if options.pop("deny_overwrite", False):
            settings["AllowOverwrite"] = "off"
        settings |= options
        conf = self._write("proftpd.conf", "".join(f"{key} {value}\n" for key, value in settings.items()))
        return [str(servers_folder() / "usr/sbin/proftpd"), "-n", "-q", "-c", str(conf)], []

    def _pure_ftpd(self) -> tuple[list[str], list[str]]:
        users = self._write("users", f"{USER}:{_PASSWORD_HASH}:{UID}:{UID}::{self._site}/./::::::::::::\n")
        database = self.work / "users.pdb"
        subprocess.run(
            [servers_folder() / "usr/bin/pure-pw", "mkdb", database, "-f", users],
            check=True,
            capture_output=True,
            env={"LD_LIBRARY_PATH": library_path()},
        )
        switches: dict[str, object] = {
            "-S": f"{self.host},{self.port}",
            "-l": f"puredb:{database}",
            "-g": self.work / "pid",
            "-c": 200,
            "-p": f"{PASSIVE_PORTS[0]}:{PASSIVE_PORTS[1]}",
            "-U": "133:022",
            "-f": "ftp" if self.log else "none",
        }
        if self.max_per_ip:
            switches["-C"] = self.max_per_ip
        if self.tls:
            switches |= {"-Y": 3, "-2": self.certificates.server}
        if self.client_certificate:
            files = (self.certificates.server, self.certificates.client_ca)
            both = self._write("server-and-client-ca.pem", "".join(path.read_text() for path in files))
            switches |= {"-2": both, "-J": "-C:HIGH"}
        switches |= self.options
        flags = ["-A", "-E", "-H", "-6" if self.is_ipv6 else "-4", "-D", "-z", *(["-d"] if self.log else [])]
        argv = [str(servers_folder() / "usr/sbin/pure-ftpd"), *flags]
        argv += [word for switch, value in switches.items() for word in (switch, str(value))]
        mounts = ["mount -t tmpfs none /run"]  # the server keeps a folder of its own there
        if self.log:
            mounts += self._private_dev()
        return argv, mounts

    def _private_dev(self) -> list[str]:
        """Mounts for a /dev with a syslog of our own: the machine's has none, or the wrong one."""
        old = self.work / "dev"
        old.mkdir(exist_ok=True)
        dev = shlex.quote(str(old))
        return [
            f"mount --rbind /dev {dev}",
            "mount -t tmpfs none /dev",
            f"for n in null zero random urandom; do : >/dev/$n && mount --bind {dev}/$n /dev/$n || exit 1; done",
            f"ln -s {shlex.quote(str(self.syslog))} /dev/log",
        ]

    def _inetutils(self) -> tuple[list[str], list[str]]:
        """A whole /etc, because the list of users to be locked into their folders is a file that few machines have."""
        self._write("etc/passwd", f"{USER}:x:{UID}:{UID}::{self._site}:/bin/sh\n")
        self._write("etc/shadow", f"{USER}:{_PASSWORD_HASH}:19000:0:99999:7:::\n")
        self._write("etc/shells", "/bin/sh\n")
        etc = self._write("etc/ftpchroot", f"{USER}\n").parent
        if Path("/etc/ld.so.cache").exists():
            shutil.copy("/etc/ld.so.cache", etc)  # for the Python of inetd.py
        argv = [sys.executable, str(_HERE / "inetd.py"), self.host, str(self.port), str(self.max_per_ip)]
        argv += [str(servers_folder() / "usr/sbin/ftpd"), "--auth", "default", "--umask", "022"]
        mounts = [f"mount --bind {shlex.quote(str(etc))} /etc"]
        if self.log:
            argv += ["--logging", "--debug"]
            mounts += self._private_dev()
        argv += [word for switch, value in self.options.items() for word in (switch, str(value))]
        return argv, mounts

    def _program(self) -> list[str]:
        if self.kind in NPM_PACKAGES:
            argv = ["node", str(_HERE / "npm_server.js"), self.kind]
        else:
            argv = [sys.executable, str(_HERE / f"{self.kind}_server.py")]
        argv += ["--host", self.host, "--port", str(self.port), "--docroot", str(self.docroot)]
        argv += ["--user", USER, "--password", PASSWORD, "--max-connections", str(self.max_per_ip)]
        if self.log:
            argv += ["--log", str(self.log)]
        if self.tls:
            argv += ["--certificate", str(self.certificates.server), "--tls", self.tls]
            argv += ["--tls-version", self.tls_version] if self.tls_version else []
            argv += ["--client-ca", str(self.certificates.client_ca)] if self.client_certificate else []
        for name, value in self.options.items():
            argv += [f"--{name.replace('_', '-')}", str(value)]
        return argv


def library_path() -> str:
    """Return where the libraries are that this machine lacks for what was fetched."""
    return ":".join(str(folder) for part in ("lib", "usr/lib") for folder in servers_folder().glob(f"{part}/*-linux-*"))
