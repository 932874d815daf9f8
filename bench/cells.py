"""What is measured: tables of corpora, contenders and cells. Knows nothing of how."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

KIB: Final = 1 << 10
MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Corpus:
    """A made-up source: so many files of `least` to `most` bytes, `per_folder` to a folder (0: all at the top)."""

    files: int
    least: int
    most: int
    per_folder: int = 0

    @property
    def room(self) -> int:
        """Return how many bytes it may take."""
        return self.files * (self.most + 4 * KIB)

    def __str__(self) -> str:
        """Say it in words."""
        if self.least == self.most:
            return f"{self.files:,} files of {self.most // MIB} MiB"
        return f"{self.files:,} files of {self.least / KIB:.1f} to {self.most // KIB} KiB"


@dataclass(frozen=True, slots=True)
class Job:
    """What a contender is told: mirror `source` to the site; `work` is a folder of its own, new for each run."""

    source: Path
    work: Path
    host: str
    port: int
    user: str
    password_file: Path


@dataclass(frozen=True, slots=True)
class Contender:
    """A tool with its settings: how it is called, and whether it promises to keep mtimes and modes."""

    name: str
    command: Callable[[Job], list[str]]
    keeps_mtimes: bool = True
    keeps_modes: bool = True


def _async_mirror(multi: str, job: Job) -> list[str]:
    argv = [sys.executable, "-m", "async_mirror", "sync", "--once", "--quiet", "--no-progress", "--multi", multi]
    argv += ["--state-dir", str(job.work / "state"), "--password-file", str(job.password_file)]
    return [*argv, str(job.source), f"ftp://{job.user}@{job.host}:{job.port}/"]


MODES: Final = tuple(Contender(multi, partial(_async_mirror, multi)) for multi in ("S", "A", "A8", "T8", "P8"))


@dataclass(frozen=True, slots=True)
class Cell:
    """One comparison: the contenders take turns at the same corpus, server and line, `runs` times each."""

    name: str
    corpus: Corpus
    server: str
    rtt_ms: float
    runs: int
    contenders: tuple[Contender, ...] = MODES

    @property
    def title(self) -> str:
        """Say in words what is done."""
        line = f"over a line of {self.rtt_ms:g} ms" if self.rtt_ms else "on loopback"
        return f"{self.corpus} to {self.server} {line}"

    def quick(self) -> Cell:
        """Return the same comparison, too small and too short to be quoted."""
        corpus = self.corpus
        if corpus.most >= MIB:
            small = replace(corpus, least=corpus.least // 16, most=corpus.most // 16)
        else:
            small = replace(corpus, files=max(20, corpus.files // 10))
        return replace(self, corpus=small, runs=1)


CELLS: Final = (
    Cell("loopback-small", Corpus(2000, 200, 8 * KIB, per_folder=25), "vsftpd", rtt_ms=0, runs=7),
    Cell("loopback-large", Corpus(4, 256 * MIB, 256 * MIB), "vsftpd", rtt_ms=0, runs=5),
    Cell("delay-small", Corpus(500, 200, 8 * KIB, per_folder=25), "vsftpd", rtt_ms=20, runs=3),
)
