"""Draws, plays and shrinks histories, in a folder in memory where there is one."""

from __future__ import annotations

import tempfile
from pathlib import Path

from . import package
from .draw import draw
from .history import History
from .kinds import NAMED
from .play import Verdict, play
from .shrink import shrink

_MEMORY = Path("/dev/shm")


def folder() -> tempfile.TemporaryDirectory[str]:
    """Return a folder for players, in memory where there is one."""
    return tempfile.TemporaryDirectory(prefix="histories-", dir=_MEMORY if _MEMORY.is_dir() else None)


class Player:
    """Plays in this process, which has imported the program since; `kind` and `unlike` narrow what is drawn."""

    def __init__(self, base: str, kind: str | None = None, *, unlike: bool = False) -> None:
        self._base = Path(tempfile.mkdtemp(dir=base))
        self._kind = NAMED[kind] if kind else None
        self._alike = not unlike
        package.prepare(self._base)

    def draw(self, seed: int) -> History:
        return draw(seed, self._kind, alike=self._alike)

    def play(self, history: History) -> Verdict:
        return play(history, self._base)

    def shrink(self, history: History, law: str) -> History:
        """Shrink a history that breaks a law; what is left breaks it, too."""
        return shrink(history, lambda each: self.play(each).law == law)
