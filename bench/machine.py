"""What the figures were measured on: as much as is needed to judge them, nothing that names the machine."""

from __future__ import annotations

import gzip
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypedDict

from async_mirror import __version__

_PACKAGES: Final = {"vsftpd": "vsftpd", "proftpd": "proftpd-core", "pure-ftpd": "pure-ftpd"}


class Machine(TypedDict):
    """The machine, the versions, and where the files were."""

    date: str
    cpu: str
    cores: int
    memory_gib: int
    system: str
    python: str
    program: str
    peers: list[str]
    load: float
    site: str
    state: str


def describe(site: Path, state: Path) -> Machine:
    """Describe this machine, now; `site` and `state` are where those are kept."""
    release = platform.freedesktop_os_release()
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": _field("/proc/cpuinfo", "model name") or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(int(_field("/proc/meminfo", "MemTotal").split()[0]) / (1 << 20)),
        "system": f"{release['PRETTY_NAME']}, Linux {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "program": f"async-mirror {__version__}",
        "peers": [_version(tool) for tool in ("lftp", "rclone")],
        "load": round(os.getloadavg()[0], 2),
        "site": _file_system(site),
        "state": _file_system(state),
    }


def server_version(kind: str, servers: Path) -> str:
    """Return a server's name with the version of its package."""
    changelog = servers / f"usr/share/doc/{_PACKAGES[kind]}/changelog.Debian.gz"
    try:
        with gzip.open(changelog, "rt") as text:
            return f"{kind} {text.readline().split('(')[1].split(')')[0]}"
    except (OSError, IndexError):
        return kind


def _version(tool: str) -> str:
    """Return a tool's name with the version of its package."""
    asked = ["dpkg-query", "--show", "--showformat", "${Package} ${Version}", tool]
    told = subprocess.run(asked, check=False, capture_output=True, text=True)  # noqa: S603
    return told.stdout.strip() or tool


def _field(file: str, name: str) -> str:
    lines = (line.partition(":") for line in Path(file).read_text().splitlines())
    return next((value.strip() for key, _, value in lines if key.strip() == name), "")


def _file_system(path: Path) -> str:
    """Return the kind of file system that a path is on."""
    mounts = [line.split()[1:3] for line in Path("/proc/self/mounts").read_text().splitlines()]
    holding = [(len(point), kind) for point, kind in mounts if path.resolve().is_relative_to(point)]
    return max(holding)[1] if holding else "unknown"
