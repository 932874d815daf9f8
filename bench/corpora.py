"""Makes the source trees, the same ones each time, changes and copies them, and compares a site with its source."""

from __future__ import annotations

import os
import random
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.cells import KIB, MIB, Corpus

_OLDEST: Final = 1_600_000_000
_YOUNGEST: Final = 1_700_000_000
_MODES: Final = (0o644,) * 18 + (0o755, 0o600)
_NAMES_SHOWN: Final = 5
_FAN_OUT: Final = 8
_SHAPE: Final = (9.6, 1.8)
"""Of a log-normal distribution of sizes: most files have some KiB, a few some MiB."""


def make(corpus: Corpus, root: Path) -> int:
    """Write the corpus into a new folder and return its bytes; mtimes are old, so that nothing is left to settle."""
    chance = random.Random(repr(corpus))  # noqa: S311
    root.mkdir(parents=True)
    folder = root
    for number, size in enumerate(sizes := _sizes(corpus, chance)):
        if corpus.per_folder and number % corpus.per_folder == 0:
            folder = root / _folder(number // corpus.per_folder)
            folder.mkdir()
        _write(f"{folder}/file-{number:05d}.bin", size, chance, chance.randrange(_OLDEST, _YOUNGEST))
    return sum(sizes)


def _sizes(corpus: Corpus, chance: random.Random) -> list[int]:
    if not corpus.total:
        return [chance.randint(corpus.least, corpus.most) for _ in range(corpus.files)]
    sizes = [min(corpus.most, chance.lognormvariate(*_SHAPE)) for _ in range(corpus.files)]
    scale = corpus.total / sum(sizes)
    return [max(corpus.least, int(size * scale)) for size in sizes]


def _folder(number: int) -> Path:
    """Return the path of a folder: eight are at the top, and each holds eight more, as far as there are any."""
    above = _folder(number // _FAN_OUT - 1) if number >= _FAN_OUT else Path()
    return above / f"folder-{number:04d}"


def _write(path: str, size: int, chance: random.Random, mtime: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    while size:
        size -= os.write(descriptor, chance.randbytes(min(size, MIB)))
    os.fchmod(descriptor, chance.choice(_MODES))
    os.utime(descriptor, (mtime, mtime))
    os.close(descriptor)


def change(root: Path, corpus: Corpus, number: int, times: int) -> None:
    """Write so many files anew, in folders all over the tree; others the next time, all younger than they were."""
    chance = random.Random(f"{corpus}{times}")  # noqa: S311
    for place in chance.sample(range(corpus.files), number):
        folder = _folder(place // corpus.per_folder)
        _write(f"{root}/{folder}/file-{place:05d}.bin", chance.randint(200, 8 * KIB), chance, _YOUNGEST + times * 60)


def rename(root: Path) -> None:
    """Give the first folder another name, or its old one again."""
    one, other = root / _folder(0), root / "another-name"
    if one.exists():
        one.rename(other)
    else:
        other.rename(one)


def copy(source: Path, site: Path) -> None:
    """Copy a source with all its mtimes and modes into a site, to whose owner it then belongs."""
    owner = site.stat()
    subprocess.run(["cp", "-a", f"{source}/.", site], check=True)  # noqa: S603, S607
    subprocess.run(["chown", "-R", f"{owner.st_uid}:{owner.st_gid}", site], check=True)  # noqa: S603, S607


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

    @property
    def none(self) -> bool:
        """True if mtimes and modes are the same, too."""
        return self.same and not (self.mtime or self.mode)

    def note(self, kind: str, path: str) -> None:
        """Remember the first few names."""
        if len(self.names) < _NAMES_SHOWN:
            self.names.append(f"{kind} {path}")


def compare(source: Path, site: Path) -> Difference:
    """Compare two trees, contents byte by byte."""
    difference = Difference()
    folders = [""]
    while folders:
        folders += _compare_folder(source, site, folders.pop(), difference)
    return difference


def _compare_folder(source: Path, site: Path, folder: str, difference: Difference) -> Iterator[str]:
    """Compare what two folders hold; yield the folders that both have."""
    wanted, found = _entries(source, folder), _entries(site, folder)
    for name in sorted(found.keys() - wanted.keys()):
        difference.extra += 1
        difference.note("extra", f"{folder}{name}")
    for name, entry in wanted.items():
        other = found.get(name)
        if other is None or entry.is_dir() != other.is_dir(follow_symlinks=False):
            difference.missing += 1
            difference.note("missing", f"{folder}{name}")
        elif entry.is_dir():
            yield f"{folder}{name}/"
        else:
            _compare_files(entry, other, difference)


def _compare_files(source: os.DirEntry[str], site: os.DirEntry[str], difference: Difference) -> None:
    one, other = source.stat(), site.stat(follow_symlinks=False)
    difference.mtime += int(one.st_mtime) != int(other.st_mtime)
    difference.mode += stat.S_IMODE(one.st_mode) != stat.S_IMODE(other.st_mode)
    if one.st_size != other.st_size or not _same_content(source.path, site.path):
        difference.content += 1
        difference.note("content", site.path)


def _same_content(one: str, other: str) -> bool:
    left, right = os.open(one, os.O_RDONLY), os.open(other, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        while block := os.read(left, MIB):
            if block != os.read(right, MIB):
                return False
        return not os.read(right, 1)
    finally:
        os.close(left)
        os.close(right)


def _entries(root: Path, folder: str) -> dict[str, os.DirEntry[str]]:
    with os.scandir(f"{root}/{folder}") as entries:
        return {entry.name: entry for entry in entries}
