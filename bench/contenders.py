"""Who is compared: tools with their settings, and how each is called. Knows nothing of cells, servers or figures."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Final


@dataclass(frozen=True, slots=True)
class Job:
    """What a contender is told: mirror `source` to the site over `lanes` connections.

    `state` is where async-mirror remembers what the site holds; `ca` is the issuer to trust if TLS is asked for;
    `renames` asks for what recognizes renamed files, where that is an option.
    """

    source: Path
    state: Path
    host: str
    port: int
    user: str
    password_file: Path
    lanes: int
    ca: Path | None = None
    renames: bool = False

    @property
    def password(self) -> str:
        """Read the password, for tools that want it on the command line."""
        return self.password_file.read_text()


@dataclass(frozen=True, slots=True)
class Contender:
    """A tool with its settings: how it is called, and whether it promises to keep mtimes and modes.

    `family` is what it is compared as in the summary.
    """

    name: str
    family: str
    command: Callable[[Job], list[str]]
    keeps_mtimes: bool = False
    keeps_modes: bool = False

    @property
    def learns(self) -> bool:
        """Tell whether it has a memory of the site that a job may find filled."""
        return self.family == "ours"


def _async_mirror(multi: str, job: Job) -> list[str]:
    argv = [sys.executable, "-m", "async_mirror", "sync", "--once", "--quiet", "--no-progress", "--multi", multi]
    argv += ["--state-dir", str(job.state), "--password-file", str(job.password_file)]
    argv += ["--ca-cert", str(job.ca)] if job.ca else []
    scheme = "ftpes" if job.ca else "ftp"
    return [*argv, str(job.source), f"{scheme}://{job.user}@{job.host}:{job.port}/"]


def _lftp(settings: str, options: str, job: Job) -> list[str]:
    """Call lftp without anybody's settings but these; where there is no TLS it does not have to ask for it."""
    security = (
        f"set ftp:ssl-force yes; set ftp:ssl-protect-data yes; set ssl:ca-file {job.ca};"
        if job.ca
        else "set ftp:ssl-allow no;"
    )
    script = (
        f"set net:timeout 30; set net:max-retries 5; set net:connection-limit {job.lanes}; {security} {settings}"
        f" open -u {job.user},{job.password} ftp://{job.host}:{job.port};"
        f" mirror --reverse --delete --parallel={job.lanes} {options} {job.source}/ /"
    )
    return ["lftp", "--norc", "-c", script]


# Two commands in one write; no ALLO; MDTM sets the mtime where there is no MFMT; no SITE CHMOD.
_PIPELINED: Final = (
    "set ftp:sync-mode off; set ftp:use-allo no; set ftp:use-feat yes; set ftp:use-mdtm-overloaded yes;"
    " set ftp:use-tvfs yes;"
)
# Lists over the control connection: saves the data connections, loses the seconds of mtimes.
_BY_STAT: Final = " set ftp:use-mlsd no; set ftp:use-stat-for-list yes;"


@cache
def _obscured(password: str) -> str:
    """Return a password as rclone wants it."""
    told = subprocess.run(["rclone", "obscure", password], check=True, capture_output=True, text=True)  # noqa: S603, S607
    return told.stdout.strip()


def _rclone(job: Job) -> list[str]:
    lanes = str(job.lanes)
    argv = ["rclone", "sync", "--config", "", "--check-first", "--create-empty-src-dirs"]
    argv += ["--transfers", lanes, "--checkers", lanes, "--ftp-concurrency", str(job.lanes + 1), "--ftp-writing-mdtm"]
    argv += ["--ftp-host", job.host, "--ftp-port", str(job.port), "--ftp-user", job.user]
    argv += ["--ftp-pass", _obscured(job.password)]
    argv += ["--track-renames", "--track-renames-strategy", "modtime,leaf"] if job.renames else []
    trust = ["env", f"SSL_CERT_FILE={job.ca}"] if job.ca else []
    argv += ["--ftp-explicit-tls"] if job.ca else []
    return [*trust, *argv, str(job.source), ":ftp:/"]


def _of_ours(module: str, job: Job) -> list[str]:
    """Call an uploader that is a module of the benchmark."""
    argv = [sys.executable, "-m", f"bench.{module}", job.host, str(job.port), job.user, str(job.password_file)]
    return [*argv, str(job.source), "--lanes", str(job.lanes), *(["--ca", str(job.ca)] if job.ca else [])]


def ours(multi: str) -> Contender:
    """Return async-mirror in one of its modes."""
    return Contender(multi, "ours", partial(_async_mirror, multi), keeps_mtimes=True, keeps_modes=True)


LFTP: Final = Contender("lftp", "lftp", partial(_lftp, "", ""))
LFTP_TUNED: Final = Contender("lftp tuned", "lftp", partial(_lftp, _PIPELINED, "--no-perms"))
LFTP_STAT: Final = Contender("lftp tuned, STAT", "lftp", partial(_lftp, _PIPELINED + _BY_STAT, "--no-perms"))
RCLONE: Final = Contender("rclone", "rclone", _rclone)
MINIMAL: Final = Contender("minimal", "minimal", partial(_of_ours, "uploaders.minimal"))
FTPLIB: Final = Contender("ftplib loop", "ftplib", partial(_of_ours, "uploaders.ftplib_loop"))
