"""Which folders of the site are being made, so that their content waits for them. Knows nothing of site or state."""

import asyncio
from collections.abc import Iterable

from async_mirror.model import paths
from async_mirror.model.change import Change, MakeFolder, Move

_MAKING = MakeFolder | Move


class Gates:
    """One gate for each folder that is being made or renamed; its content goes ahead once the folder is there."""

    def __init__(self) -> None:
        """Begin with all folders there."""
        self._making: dict[str, asyncio.Event] = {}
        self._unmade: set[str] = set()
        self._moved: set[str] = set()
        self._opening = asyncio.Event()

    def shut(self, change: Change) -> None:
        """Keep the content of a folder back that this change is about to make."""
        if isinstance(change, _MAKING) and change.entry.is_folder:
            self._making[change.entry.path] = asyncio.Event()
            if isinstance(change, Move):
                self._moved.add(change.entry.path)

    def open(self, change: Change, *, made: bool) -> None:
        """Let the content of a folder go ahead; or, if it could not be made, never."""
        if isinstance(change, _MAKING) and change.entry.is_folder:
            if not made:
                self._unmade.add(change.entry.path)
            if gate := self._making.pop(change.entry.path, None):
                gate.set()
            self._opening.set()
            self._opening = asyncio.Event()

    async def opening(self) -> None:
        """Wait until the next folder is made, or cannot be."""
        await self._opening.wait()

    def is_shut(self, folder: str) -> bool:
        """Tell whether a folder is being made."""
        return folder in self._making

    def shut_above(self, folder: str) -> str:
        """Return the topmost of a folder and all above it that is being made; "" for none, or if one never will be."""
        if not self._making:
            return ""
        for each in [*paths.lineage(folder), folder]:
            if each in self._unmade:
                return ""
            if each in self._making:
                return each
        return ""

    def is_lacking(self, folder: str) -> bool:
        """Tell whether a folder, or one above it, could not be made."""
        return bool(self._unmade) and any(each in self._unmade for each in [*paths.lineage(folder), folder])

    async def is_made(self, folder: str) -> bool:
        """Wait until a folder and all above it are there; tell whether they are."""
        for each in [*paths.lineage(folder), folder]:
            if gate := self._making.get(each):
                await gate.wait()
            if each in self._unmade:
                return False
        return True

    def is_unmade(self, folder: str) -> bool:
        """Tell whether a folder could not be made."""
        return folder in self._unmade

    def is_below_moved(self, folder: str) -> bool:
        """Tell whether a folder was renamed in this pass, or lies below one that was."""
        return bool(self._moved) and any(each in self._moved for each in [*paths.lineage(folder), folder])

    def forget(self, folders: Iterable[str]) -> None:
        """Give what lies in these folders another chance."""
        again = tuple(folders)
        self._unmade = {path for path in self._unmade if not any(paths.is_inside(path, each) for each in again)}
