"""Makes the source trees, the same ones each time, and compares a site's tree with its source."""

from __future__ import annotations

import os
import random
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.cells import MIB, Corpus

_OLDEST: Final = 1_600_000_000
_YOUNGEST: Final = 1_700_000_000
_MODES: Final = (0o644,) * 18 + (0o755, 0o600)
_NAMES_SHOWN: Final = 5


def make(corpus: Corpus, root: Path) -> int:
    """Write the corpus into a new folder and return its bytes; mtimes are old, so that nothing is left to settle."""
    chance = random.Random(repr(corpus))  # noqa: S311
    root.mkdir(parents=True)
    total = 0
    for number in range(corpus.files):
        folder = root / f"folder-{number // corpus.per_folder:04d}" if corpus.per_folder else root
        folder.mkdir(exist_ok=True)
        size = chance.randint(corpus.least, corpus.most)
        path = folder / f"file-{number:05d}.bin"
        _write(path, size, chance)
        path.chmod(chance.choice(_MODES))
        mtime = chance.randrange(_OLDEST, _YOUNGEST)
        os.utime(path, (mtime, mtime))
        total += size
    return total


def _write(path: Path, size: int, chance: random.Random) -> None:
    with path.open("wb") as file:
        while size:
            block = min(size, MIB)
            file.write(chance.randbytes(block))
            size -= block


@dataclass(slots=True)
class Difference:
    """How a site differs from its source, in numbers of paths; a file's mtime counts in whole seconds."""

    missing: int = 0
    extra: int = 0
    content: int = 0
    mtime: int = 0
    mode: int = 0
    names: list[str] = field(default_factory=list)

    @property
    def same(self) -> bool:
        """True if every path is there, with its content, and no other."""
        return not (self.missing or self.extra or self.content)

    def note(self, kind: str, path: str) -> None:
        """Remember the first few names."""
        if len(self.names) < _NAMES_SHOWN:
            self.names.append(f"{kind} {path}")


def compare(source: Path, site: Path) -> Difference:
    """Compare two trees, contents byte by byte."""
    wanted, found = _tree(source), _tree(site)
    difference = Difference()
    for path in sorted(found.keys() - wanted.keys()):
        difference.extra += 1
        difference.note("extra", path)
    for path, status in wanted.items():
        if path not in found or stat.S_IFMT(found[path].st_mode) != stat.S_IFMT(status.st_mode):
            difference.missing += 1
            difference.note("missing", path)
        elif stat.S_ISREG(status.st_mode):
            _compare_files(source / path, site / path, difference)
    return difference


def _compare_files(source: Path, site: Path, difference: Difference) -> None:
    one, other = source.stat(), site.stat()
    difference.mtime += int(one.st_mtime) != int(other.st_mtime)
    difference.mode += stat.S_IMODE(one.st_mode) != stat.S_IMODE(other.st_mode)
    if one.st_size != other.st_size or not _same_content(source, site):
        difference.content += 1
        difference.note("content", site.name)


def _same_content(one: Path, other: Path) -> bool:
    with one.open("rb", buffering=0) as left, other.open("rb", buffering=0) as right:
        while block := left.read(MIB):
            if block != right.read(MIB):
                return False
        return not right.read(1)


def _tree(root: Path) -> dict[str, os.stat_result]:
    found: dict[str, os.stat_result] = {}
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            path = Path(folder, name)
            found[str(path.relative_to(root))] = path.lstat()
    return found
