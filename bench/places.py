"""Where a cell's files are: trees in memory if there is room, what the contenders write for themselves on the disk."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.cells import KIB, MIB, Cell, Corpus
from bench.line.network import PROJECT

SERVERS: Final = Path(os.environ.get("ASYNC_MIRROR_SERVERS", PROJECT / ".servers"))

_SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108
_SPARE: Final = 1024 * MIB


@dataclass(frozen=True, slots=True)
class Place:
    """One folder for trees, one for the rest."""

    trees: Path
    work: Path

    @property
    def source(self) -> Path:
        """The folder that is mirrored."""
        return self.trees / "source"

    @property
    def site(self) -> Path:
        """The server's docroot."""
        return self.trees / "site"

    @property
    def state(self) -> Path:
        """What async-mirror has learned of the site before a run."""
        return self.work / "state"

    @contextmanager
    def part(self, name: str) -> Iterator[Place]:
        """Make a place of its own for a cell, which goes when it is done with."""
        place = Place(self.trees / name, self.work / name)
        place.site.mkdir(parents=True)
        place.work.mkdir()
        try:
            yield place
        finally:
            shutil.rmtree(place.trees, ignore_errors=True)
            shutil.rmtree(place.work, ignore_errors=True)

    def clear_site(self) -> None:
        """Empty the docroot, which the running server goes on using."""
        for path in self.site.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


@contextmanager
def placed(cells: Sequence[Cell], beside: int) -> Iterator[Place]:
    """Find room for source and site of the largest cell, or of as many of them as run beside one another."""
    bytes_needed = _most(cells, beside, lambda corpus: corpus.room) + _SPARE
    files_needed = _most(cells, beside, lambda corpus: corpus.files)
    in_memory = _SHARED_MEMORY.is_dir() and _free_memory() > bytes_needed
    in_memory = in_memory and os.statvfs(_SHARED_MEMORY).f_favail > files_needed
    with (
        tempfile.TemporaryDirectory(
            prefix="async-mirror-bench-", dir=_SHARED_MEMORY if in_memory else None, ignore_cleanup_errors=True
        ) as trees,
        tempfile.TemporaryDirectory(prefix="async-mirror-bench-", ignore_cleanup_errors=True) as work,
    ):
        yield Place(Path(trees), Path(work))


def _most(cells: Sequence[Cell], beside: int, amount: Callable[[Corpus], int]) -> int:
    """Return how much the trees may be of the largest cell that is alone, or of the largest that are side by side."""
    alone = [2 * amount(cell.corpus) for cell in cells if cell.alone]
    others = sorted((2 * amount(cell.corpus) for cell in cells if not cell.alone), reverse=True)
    return max([*alone, sum(others[:beside])])


def _free_memory() -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    available = next(int(line.split()[1]) * KIB for line in lines if line.startswith("MemAvailable:"))
    return min(available, shutil.disk_usage(_SHARED_MEMORY).free)
