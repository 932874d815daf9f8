"""A source that is changed as people, editors and builds change one, by chance; and what then has to come true."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from support.editors import WAYS

SAVES: Final = [save for name, save in WAYS.items() if name != "Emacs"]
"""Each leaves nothing behind."""
BULK, BULK_FILES = "bulk", 250
"""More than half of what the source holds, so that a guard trips when it is gone."""
BURST_FILES = 50
MOST_BURSTS = 2
FOLDERS, MOST_FILES = 6, 120


@dataclass
class Change:
    """What was done to a source, and what of it is not on the site yet: contents by path, None for what is gone."""

    mirror: str
    kind: str
    left: dict[str, bytes | None]
    at: float = field(default_factory=time.monotonic)
    """When it was last written to."""
    quiet_since: float = 0.0
    """When the source was last touched before it was seen: what is gone waits until all is quiet."""
    apart: str = ""
    """Why it does not count among those made while all was well."""
    seen_at: float = 0.0

    @property
    def latency(self) -> float:
        """Return how long it took."""
        return self.seen_at - self.at

    @property
    def latency_in_quiet(self) -> float:
        """Return how long it took since it could: what is gone from where it was waits until nothing changes."""
        return self.seen_at - (self.quiet_since if self.kind in WAITS_FOR_QUIET else self.at)


WAITS_FOR_QUIET: Final = frozenset({"delete", "rename", "move", "burst deleted"})


class Source:
    """The source of one mirror; `taken` tells whether a path is one whose last change is not on the site yet."""

    def __init__(self, name: str, folder: Path, chance: Random) -> None:
        """Fill it; the folder is there."""
        self.name = name
        self.folder = folder
        self._chance = chance
        self._number = 0
        self._bursts: list[str] = []
        self.files: dict[str, bytes] = {}
        self.make_bulk()
        for _ in range(MOST_FILES // 2):
            self._put(self._free_name(), self._content())

    def change(self, is_taken: Callable[[str], bool], *, deletes: bool) -> Change:
        """Change something that nobody looks out for, in a way that is drawn; without deletions if they are held up."""
        free = [path for path in self.files if not self._is_apart(path) and not is_taken(path)]
        ways: list[tuple[int, Callable[[list[str]], Change]]] = [(50, self._write), (20, self._new)]
        if deletes:
            ways += [(10, self._rename), (10 if len(free) < MOST_FILES else 30, self._delete), (3, self._move)]
        if len(free) < MOST_FILES // 4:
            ways = ways[1:2]
        way: Callable[[list[str]], Change] = self._chance.choices(
            [call for _, call in ways], [weight for weight, _ in ways]
        )[0]
        return way(free)

    # One change.

    def _write(self, free: list[str]) -> Change:
        path = self._chance.choice(free)
        self.files[path] = content = self._content()
        self._chance.choice(SAVES)(self.folder / path, content)
        return Change(self.name, "write", {path: content})

    def _new(self, free: list[str]) -> Change:
        path, content = self._free_name(), self._content(self._chance.choice([100, 1000, 1000, 200_000]))
        self._put(path, content)
        return Change(self.name, "new", {path: content})

    def _rename(self, free: list[str]) -> Change:
        old, new = self._chance.choice(free), self._free_name()
        (self.folder / new).parent.mkdir(exist_ok=True)
        (self.folder / old).rename(self.folder / new)
        self.files[new] = self.files.pop(old)
        return Change(self.name, "rename", {old: None, **self._without_empty(old), new: self.files[new]})

    def _delete(self, free: list[str]) -> Change:
        path = self._chance.choice(free)
        (self.folder / path).unlink()
        del self.files[path]
        return Change(self.name, "delete", {path: None, **self._without_empty(path)})

    def _move(self, free: list[str]) -> Change:
        """Rename a folder with all that it holds."""
        folders = {path.split("/")[0] for path in free}
        folders -= {path.split("/")[0] for path in self.files.keys() - set(free)}
        if not folders:
            return self._new(free)
        old, new = self._chance.choice(sorted(folders)), f"moved-{self._next()}"
        (self.folder / old).rename(self.folder / new)
        left: dict[str, bytes | None] = {old: None}
        for path in self._below(old):
            to = new + path.removeprefix(old)
            self.files[to] = left[to] = self.files.pop(path)
        return Change(self.name, "move", left)

    def _without_empty(self, path: str) -> dict[str, bytes | None]:
        """Remove the folder of a path if nothing is in it any more."""
        folder = path.split("/", maxsplit=1)[0]
        if any(self._below(folder)):
            return {}
        (self.folder / folder).rmdir()
        return {folder: None}

    # Many at once.

    def burst(self) -> list[Change]:
        """Write many files in a new folder, as a build does; an old one of that kind goes away."""
        folder = f"burst-{self._next()}"
        self._bursts.append(folder)
        made: dict[str, bytes | None] = {}
        for number in range(BURST_FILES):
            path = f"{folder}/{number % 5}/{number}"
            made[path] = self._put(path, self._content(300))
        changes = [Change(self.name, "burst", made)]
        if len(self._bursts) > MOST_BURSTS:
            old = self._bursts.pop(0)
            changes.append(Change(self.name, "burst deleted", {**self._remove(old), old: None}))
        return changes

    def take_bulk_away(self, to: Path) -> None:
        """Move more than half of the files out of the source."""
        (self.folder / BULK).rename(to)

    def put_bulk_back(self, again: Path) -> None:
        """Move them back."""
        again.rename(self.folder / BULK)

    def delete_bulk(self) -> None:
        """Delete more than half of the files."""
        self._remove(BULK)

    def make_bulk(self) -> dict[str, bytes | None]:
        """Write so many files, and return them."""
        paths = [f"{BULK}/{number // 50}/{number}" for number in range(BULK_FILES)]
        return {path: self._put(path, self._content(200)) for path in paths}

    def _remove(self, folder: str) -> dict[str, bytes | None]:
        shutil.rmtree(self.folder / folder)
        gone = list(self._below(folder))
        for path in gone:
            del self.files[path]
        return dict.fromkeys(gone)

    # Names and contents.

    def _below(self, folder: str) -> Iterable[str]:
        return [path for path in self.files if path.startswith(f"{folder}/")]

    def _is_apart(self, path: str) -> bool:
        return path.startswith((f"{BULK}/", "burst-"))

    def _put(self, path: str, content: bytes) -> bytes:
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_bytes(content)
        self.files[path] = content
        return content

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _free_name(self) -> str:
        return f"folder {self._chance.randrange(FOLDERS)}/page {self._next()}.html"

    def _content(self, size: int = 0) -> bytes:
        """Return a content of its own, of few sizes."""
        head = b"%s %d " % (self.name.encode(), self._next())
        return head + self._chance.randbytes(max(0, (size or self._chance.choice([40, 40, 400])) - len(head)))
