"""What is measured: corpora, and a table of cells. Knows nothing of how."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from bench.contenders import (
    FTPLIB,
    LFTP,
    LFTP_STAT,
    LFTP_TUNED,
    MINIMAL,
    RCLONE,
    Contender,
    ours,
)

KIB: Final = 1 << 10
MIB: Final = 1 << 20

Task = Literal["first", "unchanged", "delta", "rename", "survey"]
SERVERS: Final = ("vsftpd", "proftpd", "pure-ftpd")

_OVERHEAD: Final = 5 * KIB + KIB // 2
"""Of a file in memory: half a page that is not full, or one of a few bytes, and what the kernel notes of it."""
_ROUND_TRIPS: Final = 30
"""More than any contender needs for a file: what takes longer is stuck."""
_SHORTEST_LIMIT_S: Final = 180.0


@dataclass(frozen=True, slots=True)
class Corpus:
    """A made-up source: so many files of `least` to `most` bytes, `per_folder` to a folder (0: all at the top).

    With a `total` sizes are log-normal, as on real sites, and make up about that together.
    """

    files: int
    least: int
    most: int
    per_folder: int = 0
    total: int = 0

    @property
    def room(self) -> int:
        """Return how many bytes it may take."""
        return (self.total or self.files * self.most) + self.files * _OVERHEAD

    def __str__(self) -> str:
        """Say it in words."""
        folders = f" in {-(-self.files // self.per_folder):,} folders" if self.per_folder else ""
        if self.total:
            return f"{self.files:,} files, log-normal, {self.total / 1e6:,.0f} MB together{folders}"
        if self.least == self.most:
            return f"{self.files:,} files of {self.most // MIB} MiB"
        if self.most < KIB:
            return f"{self.files:,} files of {self.least} to {self.most} bytes{folders}"
        return f"{self.files:,} files of {self.least / KIB:.1f} to {self.most // KIB} KiB{folders}"


SMALL: Final = Corpus(1000, 200, 8 * KIB, per_folder=25)
SITE: Final = Corpus(2000, 100, 20 * MIB, per_folder=20, total=150_000_000)
LARGE: Final = Corpus(4, 512 * MIB, 512 * MIB)
MANY: Final = Corpus(100_000, 0, 64, per_folder=50)
TWO_FOLDERS: Final = Corpus(20_000, 0, 64, per_folder=10_000)


@dataclass(frozen=True, slots=True)
class Cell:
    """One comparison: the contenders take turns at the same task, corpus, server and line, `runs` times each.

    Tasks: `first` fills an empty site; `unchanged` finds nothing to do; `delta` finds `touched` files changed;
    `rename` finds a folder of `touched` files renamed; `survey` is `unchanged` without any memory of the site.
    `once` names contenders that are run once, since they take long. `counted` has the server log and counts commands.
    """

    name: str
    task: Task
    corpus: Corpus
    server: str
    contenders: tuple[Contender, ...]
    rtt_ms: float = 0
    lanes: int = 8
    runs: int = 3
    tls: bool = False
    touched: int = 0
    once: tuple[str, ...] = ()
    counted: bool = False
    brief: Corpus | None = None
    limit_s: float = 0

    @property
    def concerned(self) -> int:
        """Return how many files the task is about."""
        return self.touched or self.corpus.files

    @property
    def title(self) -> str:
        """Say in words what is done."""
        line = f"over a line of {self.rtt_ms:g} ms" if self.rtt_ms else "on loopback"
        tls = " with TLS" if self.tls else ""
        to = f"to {self.server}{tls} {line}, N = {self.lanes}"
        match self.task:
            case "first":
                return f"{self.corpus}, {to}"
            case "unchanged":
                return f"Nothing changed: {self.corpus}, {to}"
            case "delta":
                return f"{self.touched:,} changed of {self.corpus}, {to}"
            case "rename":
                return f"A folder of {self.touched:,} files renamed, {self.corpus}, {to}"
            case "survey":
                return f"All is there, nothing is remembered: {self.corpus}, {to}"

    @property
    def alone(self) -> bool:
        """Tell whether nothing may run beside it: without a delay it is the CPU that is measured."""
        return not self.rtt_ms

    @property
    def load(self) -> float:
        """Return how busy it keeps the machine: files a lane and round trip; of a rename most is one after another."""
        return (self.lanes if self.task != "rename" else 2) / self.rtt_ms if self.rtt_ms else 0

    @property
    def expected_s(self) -> float:
        """Return about how long it takes, to begin with what takes longest."""
        waiting = (20 if self.task == "rename" else 7) * self.concerned * self.rtt_ms / 1000 / self.lanes
        return waiting * sum(1 if c.name in self.once else self.runs for c in self.contenders)

    @property
    def longest_s(self) -> float:
        """Return when to give up a run."""
        waiting = _ROUND_TRIPS * self.corpus.files * self.rtt_ms / 1000 / self.lanes
        return self.limit_s or max(_SHORTEST_LIMIT_S, waiting)

    def only(self, names: Sequence[str]) -> tuple[Contender, ...]:
        """Return those of the contenders that have one of these names."""
        return tuple(contender for contender in self.contenders if contender.name in names)

    def of(self, files: int) -> Cell:
        """Return the same comparison of another number of files."""
        return self._with(replace(self.corpus, files=files))

    def quick(self) -> Cell:
        """Return the same comparison, too small and too short to be quoted."""
        return replace(self._with(self.brief or self.corpus), runs=1)

    def _with(self, corpus: Corpus) -> Cell:
        return replace(self, corpus=corpus, touched=self.touched * corpus.files // self.corpus.files)


def _peers(lanes: int) -> tuple[Contender, ...]:
    return (ours(f"A{lanes}"), LFTP, LFTP_TUNED, RCLONE, MINIMAL)


def _lines() -> Iterator[Cell]:
    """Yield small files over both lines; fewer where one connection does it all, as many in both, for the slope."""
    for rtt_ms in (20, 100):
        for server in SERVERS:
            for lanes in (1, 4, 8, 16):
                corpus = SMALL if lanes > 1 else replace(SMALL, files=250)
                often = rtt_ms == 20 and lanes == 8
                brief = replace(SMALL, files=60) if often else None
                name, runs, once = f"line{rtt_ms}-{server}-N{lanes}", 3 if often else 2, _long_ones(rtt_ms, lanes)
                yield Cell(name, "first", corpus, server, _peers(lanes), rtt_ms, lanes, runs, once=once, brief=brief)


def _steady_lines() -> Iterator[Cell]:
    """Yield more files over the most connections: logging in, sixteen times, is a small part of them."""
    for rtt_ms in (20, 100):
        for server in SERVERS:
            some, corpus = (ours("A16"), MINIMAL), replace(SMALL, files=4000)
            yield Cell(f"steady{rtt_ms}-{server}-N16", "first", corpus, server, some, rtt_ms, 16, 2)


def _long_ones(rtt_ms: float, lanes: int) -> tuple[str, ...]:
    """Return who is run once, since it takes minutes, and as long each time."""
    if rtt_ms / lanes > 20:
        return RCLONE.name, LFTP.name, LFTP_TUNED.name
    return () if rtt_ms == 20 and lanes == 8 else (RCLONE.name,)


def _tls_lines() -> Iterator[Cell]:
    """Yield the same with TLS; at 100 ms what the slope is asked of."""
    corpus = replace(SMALL, files=500)
    for server in SERVERS:
        yield Cell(
            f"tls20-{server}-N8",
            "first",
            corpus,
            server,
            _peers(8),
            20,
            tls=True,
            limit_s=90,
            brief=replace(SMALL, files=40),
        )
        some = (ours("A8"), LFTP_TUNED, MINIMAL)
        yield Cell(f"tls100-{server}-N8", "first", corpus, server, some, 100, runs=2, tls=True)


def _modes() -> Iterator[Cell]:
    """Yield async-mirror's own modes over the number of connections; the peers' figures are those of line20-vsftpd."""
    for lanes in (1, 2, 4, 8, 16):
        corpus = SMALL if lanes > 1 else replace(SMALL, files=250)
        modes = [f"{mode}{lanes}" for mode in "ATP"]
        modes += ["S"] if lanes == 1 else []
        modes += ["A"] if lanes == 8 else []
        brief = replace(SMALL, files=60) if lanes == 8 else None
        yield Cell(f"modes-N{lanes}", "first", corpus, "vsftpd", tuple(map(ours, modes)), 20, lanes, 2, brief=brief)
    some = tuple(map(ours, ("S", "A", "A8", "T8", "P8")))
    yield Cell("modes-cpu", "first", replace(SMALL, files=2000), "vsftpd", some)
    yield Cell("modes-large", "first", Corpus(4, 256 * MIB, 256 * MIB), "vsftpd", some)


def _large() -> Iterator[Cell]:
    brief = Corpus(4, 32 * MIB, 32 * MIB)
    plain = (ours("A4"), LFTP, RCLONE)
    yield Cell("large-plain", "first", LARGE, "vsftpd", plain, lanes=4, runs=5, brief=brief)
    for server in ("vsftpd", "pure-ftpd"):
        tls = (*plain, FTPLIB)
        some = brief if server == "vsftpd" else None
        yield Cell(f"large-tls-{server}", "first", LARGE, server, tls, lanes=4, tls=True, limit_s=120, brief=some)


def _later_passes() -> Iterator[Cell]:
    """Yield what is done to a site that has most of it."""
    lister = (ours("A8"), LFTP, LFTP_TUNED, LFTP_STAT, RCLONE)
    small, alone = replace(MANY, files=5000), (ours("A8"),)
    yield Cell("unchanged-100k", "unchanged", MANY, "proftpd", lister, brief=small)
    yield Cell("unchanged-100k-20ms", "unchanged", MANY, "proftpd", lister, 20, runs=2)
    yield Cell("unchanged-1m", "unchanged", replace(MANY, files=1_000_000), "proftpd", alone)
    yield Cell("delta-20ms", "delta", MANY, "proftpd", alone, 20, touched=1000)
    yield Cell("delta-counted", "delta", MANY, "proftpd", alone, touched=1000, runs=1, counted=True, brief=small)
    mover, once = (ours("A8"), LFTP, RCLONE), (LFTP.name, RCLONE.name)
    few = replace(TWO_FOLDERS, files=200, per_folder=100)
    yield Cell(
        "rename-20ms", "rename", TWO_FOLDERS, "proftpd", mover, 20, touched=10_000, once=once, brief=few, limit_s=600
    )
    for server in SERVERS:
        brief = replace(MANY, files=2000) if server == "proftpd" else None
        yield Cell(
            f"survey-{server}",
            "survey",
            MANY,
            server,
            (ours("A8"), RCLONE),
            20,
            runs=2,
            once=(RCLONE.name,),
            brief=brief,
        )


CELLS: Final = (
    Cell(
        "loopback-vsftpd-N8",
        "first",
        replace(SMALL, files=5000),
        "vsftpd",
        _peers(8),
        runs=5,
        brief=replace(SMALL, files=500),
    ),
    Cell("site-20ms", "first", SITE, "proftpd", _peers(8), 20, once=(RCLONE.name,)),
    *_large(),
    *_later_passes(),
    *_lines(),
    *_steady_lines(),
    *_tls_lines(),
    *_modes(),
)
