"""Looks at the folders of the servers on disk for what was changed in the sources, and takes the time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from endurance.changing import Change

LOOKS_EACH_S: Final = 0.03


class Site:
    """What one mirror has published, and the changes that are not there yet. Safe to use from any thread."""

    def __init__(self, name: str, folder: Path) -> None:
        """Look in a folder, which need not be there yet."""
        self.name = name
        self.folder = folder
        self.seen: list[Change] = []
        self.superseded = 0
        self.why_apart: set[str] = set()
        """What is the matter now, so that what is changed meanwhile does not count among the rest."""
        self._waiting: list[Change] = []
        self._lock = threading.RLock()

    @property
    def waiting(self) -> list[Change]:
        """Return what is not there yet."""
        with self._lock:
            return list(self._waiting)

    def is_taken(self, path: str) -> bool:
        """Tell whether the last change of a path, or of a folder above it, is not there yet."""
        with self._lock:
            return any(at in change.left for change in self._waiting for at in _and_above(path))

    def expect(self, change: Change) -> None:
        """Look out for a change from now on; what it makes untrue of those before is looked for no longer."""
        with self._lock:
            change.apart = change.apart or ", ".join(sorted(self.why_apart))
            change.quiet_since = change.at
            for other in self._waiting:
                other.quiet_since = change.at
                for path, content in change.left.items():
                    _forget(other, path, content)
            self.superseded += sum(not other.left for other in self._waiting)
            self._waiting = [*(other for other in self._waiting if other.left), change]

    def set_apart(self, why: str) -> None:
        """Count nothing that is not there yet, nor what is changed until `count_again`, among the rest."""
        with self._lock:
            self.why_apart.add(why)
            for change in self._waiting:
                change.apart = change.apart or why

    def count_again(self, why: str) -> None:
        """Undo `set_apart`."""
        with self._lock:
            self.why_apart.discard(why)

    def look(self) -> list[Change]:
        """Look once, and return the changes that were seen for the first time."""
        with self._lock:
            now = time.monotonic()
            for change in self._waiting:
                for path in [path for path, content in change.left.items() if self._is_there(path, content)]:
                    del change.left[path]
            seen = [change for change in self._waiting if not change.left]
            self._waiting = [change for change in self._waiting if change.left]
            for change in seen:
                change.seen_at = now
            self.seen += seen
            return seen

    def _is_there(self, path: str, content: bytes | None) -> bool:
        try:
            status = (self.folder / path).lstat()
            return content is not None and status.st_size == len(content) and self._content(path) == content
        except (FileNotFoundError, NotADirectoryError):
            return content is None

    def _content(self, path: str) -> bytes:
        return (self.folder / path).read_bytes()


def _forget(change: Change, path: str, content: bytes | None) -> None:
    """Look no longer for what cannot be since a path has a content, or is gone with all below it."""
    change.left.pop(path, None)
    if content is not None:
        for above in _and_above(path):
            if change.left.get(above, b"") is None:
                del change.left[above]
    else:
        for below in [each for each in change.left if each.startswith(f"{path}/")]:
            del change.left[below]


def _and_above(path: str) -> Iterator[str]:
    while path:
        yield path
        path = path.rpartition("/")[0]
