"""Which servers there are, who logs in to them, where they lie, and whether they can be run here."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final, Literal, get_args

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

IN_NAMESPACE: Final = (*REAL, "inetutils")
"""Those that see their own mounts, work as another user and have a process for each client."""


def servers_folder() -> Path:
    """Tell where `tests/servers/fetch` unpacks the real servers."""
    return Path(os.environ.get("ASYNC_MIRROR_SERVERS") or Path(__file__).resolve().parents[2] / ".servers").resolve()


def npm_folder() -> Path:
    """Tell where its packages from npm are."""
    return servers_folder() / "npm/node_modules"


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
    if kind not in IN_NAMESPACE:
        return "" if importlib.util.find_spec(kind) else f"the package {kind} is not installed"
    if os.geteuid() != 0:
        return f"{kind} needs root, to have a mount namespace and to become the docroot's user"
    if not (servers_folder() / ".fetched").exists():
        return f"no {kind} in {servers_folder()}: run tests/servers/fetch"
    return "" if _has_mount_namespaces() else f"{kind} needs mount namespaces, and unshare -m is refused here"


def _npm_available(package: str) -> str:
    if not shutil.which("node"):
        return "there is no node here"
    is_there = (npm_folder() / package).is_dir()
    return "" if is_there else f"no {package} in {npm_folder()}: run tests/servers/fetch, which needs npm"
