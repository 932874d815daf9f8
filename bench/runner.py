"""Measures cells: the contenders take turns, each run is verified, each becomes a record. Prints no table."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from bench import trees
from bench.cells import KIB, MIB, Cell, Contender, Corpus, Job
from bench.gauge import gauge
from bench.line import PROJECT, Line, helper, laid, python, within
from bench.machine import describe, server_version
from bench.measure import measure

Record = Mapping[str, Any]
Keep = Callable[[Record], None]

_SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108
_SPARE: Final = 1024 * MIB
_LAST_WORDS: Final = 300
_SERVER_RESTS_S: Final = 0.3
_WARM_UP: Final = Corpus(8, KIB, KIB, per_folder=4)


@dataclass(slots=True)
class Place:
    """Where things are: trees in memory if there is room, what a contender writes for itself on the disk."""

    trees: Path
    work: Path
    servers: Path = field(default_factory=lambda: Path(os.environ.get("ASYNC_MIRROR_SERVERS", PROJECT / ".servers")))

    @property
    def site(self) -> Path:
        """The server's docroot."""
        return self.trees / "site"

    @contextmanager
    def source(self, corpus: Corpus) -> Iterator[tuple[Path, int]]:
        """Make a source: yield its folder and its bytes; it goes when it is done with."""
        root = self.trees / "source"
        try:
            yield root, trees.make(corpus, root)
        finally:
            shutil.rmtree(root, ignore_errors=True)

    def clear_site(self) -> None:
        """Empty the docroot, which the running server goes on using."""
        for path in self.site.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


@contextmanager
def placed(cells: Iterable[Cell]) -> Iterator[Place]:
    """Find room for source and site of the largest cell: in /dev/shm, else on the disk."""
    needed = 2 * max(cell.corpus.room for cell in cells) + _SPARE
    in_memory = _SHARED_MEMORY.is_dir() and min(shutil.disk_usage(_SHARED_MEMORY).free, _free_memory()) > needed
    with ExitStack() as stack:
        folders = [
            Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="async-mirror-bench-", dir=parent)))
            for parent in (_SHARED_MEMORY if in_memory else None, None)
        ]
        place = Place(*folders)
        place.site.mkdir()
        yield place


def _free_memory() -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) * KIB for line in lines if line.startswith("MemAvailable:"))


def run(cells: Iterable[Cell], keep: Keep) -> None:
    """Measure the cells one after the other."""
    cells = list(cells)
    with placed(cells) as place:
        keep({"kind": "machine", **describe(place.site, place.work)})
        for cell in cells:
            with laid(cell.rtt_ms) as line, _served(cell, line, place) as session:
                keep({"kind": "line", "rtt_ms": cell.rtt_ms, "gauged": gauge(line)})
                session.measure_all(keep)


@contextmanager
def _served(cell: Cell, line: Line, place: Place) -> Iterator[_Session]:
    """Start the cell's server at the far end of the line."""
    where = [str(place.site), str(place.work / "server"), line.host]
    with helper(within(line.server, python("serve", cell.server, *where))) as (_, told):
        login = json.loads(told)
        password_file = place.work / "password"
        password_file.write_text(login["password"])
        password_file.chmod(0o600)
        yield _Session(cell, line, place, Job(Path(), Path(), line.host, login["port"], login["user"], password_file))
    shutil.rmtree(place.work / "server")


@dataclass(slots=True)
class _Session:
    """A cell with its server running; `login` is a job that lacks its folders."""

    cell: Cell
    line: Line
    place: Place
    login: Job

    def measure_all(self, keep: Keep) -> None:
        """Warm up, then run all rounds; a contender that ran out of time is not asked again."""
        with self.place.source(_WARM_UP) as (source, _):
            for contender in self.cell.contenders:
                self._run(contender, source)
        given_up: set[str] = set()
        with self.place.source(self.cell.corpus) as (source, size):
            keep(self._about(size))
            for number in range(self.cell.runs):
                for contender in in_turn(self.cell.contenders, number):
                    if contender.name in given_up:
                        continue
                    record = self._run(contender, source)
                    keep({"kind": "run", "cell": self.cell.name, "round": number + 1, **record})
                    if record["timed_out"]:
                        given_up.add(contender.name)

    def _about(self, size: int) -> Record:
        return {
            "kind": "cell",
            "cell": self.cell.name,
            "title": self.cell.title,
            "server": server_version(self.cell.server, self.place.servers),
            "files": self.cell.corpus.files,
            "bytes": size,
            "rtt_ms": self.cell.rtt_ms,
            "contenders": [contender.name for contender in self.cell.contenders],
        }

    def _run(self, contender: Contender, source: Path) -> Record:
        """Let one contender fill the empty site once, and look at what it did."""
        work = self.place.work / "contender"
        work.mkdir()
        output = self.place.work / "output"
        job = Job(source, work, self.login.host, self.login.port, self.login.user, self.login.password_file)
        argv = within(self.line.client, contender.command(job))
        measured = measure(argv, _environment(work), work, output)
        time.sleep(_SERVER_RESTS_S)
        difference = trees.compare(source, self.place.site)
        self.place.clear_site()
        shutil.rmtree(work)
        good = measured.code == 0 and not measured.timed_out and difference.same
        good = good and not (contender.keeps_mtimes and difference.mtime)
        good = good and not (contender.keeps_modes and difference.mode)
        words = "" if good else output.read_text(errors="replace").strip()[-_LAST_WORDS:]
        return {
            "contender": contender.name,
            "good": good,
            **_rounded(asdict(measured)),
            "difference": asdict(difference),
            "words": words,
        }


def in_turn(contenders: tuple[Contender, ...], number: int) -> tuple[Contender, ...]:
    """Return the order of a round: each round begins with another contender, every other one goes backwards."""
    step = -1 if number % 2 else 1
    return tuple(contenders[(number + step * place) % len(contenders)] for place in range(len(contenders)))


def _environment(home: Path) -> dict[str, str]:
    """Return an environment without the caller's settings; the project's own code goes before any installed."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "LC_ALL": "C.UTF-8", "PYTHONPATH": str(PROJECT)}


def _rounded(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in fields.items()}
