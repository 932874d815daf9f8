"""What the kernel tells of folders (inotify(7)), for all sources of a process together. Knows nothing of what they are.

A process may have few inotify instances, so there is one; of a folder that several listen to each is told.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from async_mirror.model import paths

MODIFY, ATTRIB, CLOSE_WRITE = 0x2, 0x4, 0x8
MOVED_FROM, MOVED_TO, CREATE, DELETE, DELETE_SELF, MOVE_SELF = 0x40, 0x80, 0x100, 0x200, 0x400, 0x800
UNMOUNT, OVERFLOW, IGNORED, IS_FOLDER = 0x2000, 0x4000, 0x8000, 0x4000_0000
_ONLY_FOLDERS = 0x0100_0000
_ASKED = (
    MODIFY | ATTRIB | CLOSE_WRITE | MOVED_FROM | MOVED_TO | CREATE | DELETE | DELETE_SELF | MOVE_SELF | _ONLY_FOLDERS
)
_READ_AT_ONCE = 240
"""So many notices with the longest names: 64 KiB."""


class Listener(Protocol):
    """Who listens to folders."""

    def noticed(self, number: int, name: str, what: int) -> None:
        """Learn that something happened to a name in a folder, or to the folder itself: "". Bits of inotify(7)."""
        ...

    def missed(self) -> None:
        """Learn that notices were lost."""
        ...


class Notices:
    """Listens to folders; `run` it beside. `listen` and `forget` may be called in a thread."""

    def __init__(self) -> None:
        """Ask the kernel for an instance; raise OSError if it has none. Loads the library, which takes 50 ms."""
        from asyncinotify import Inotify, Mask  # noqa: PLC0415 - only who watches needs it

        self._inotify = Inotify(cache_size=_READ_AT_ONCE)
        self._asked = Mask(_ASKED)
        self._all: set[Listener] = set()
        self._listeners: dict[int, tuple[Listener, ...]] = {}
        self._paths: dict[int, Path] = {}

    def listen(self, folder: int, listener: Listener) -> int:
        """Listen to a folder that is open, under a number that is its own. Raises OSError: ENOSPC for too many."""
        self._all.add(listener)
        path = self._paths.setdefault(folder, Path(f"/proc/self/fd/{folder}"))
        number = self._inotify.add_watch(path, self._asked).wd
        others = self._listeners.get(number, ())
        if listener not in others:
            self._listeners[number] = (*others, listener)
        return number

    def forget(self, numbers: Iterable[int], listener: Listener) -> None:
        """Listen to these folders no longer."""
        unheard: set[int] = set()
        for number in numbers:
            self._listeners[number] = tuple(each for each in self._listeners.get(number, ()) if each is not listener)
            if not self._listeners[number]:
                unheard.add(number)
                del self._listeners[number]
        for watch in self._inotify.watches if unheard else ():
            if watch.wd in unheard:
                with suppress(OSError):  # the folder is gone meanwhile, and its watch with it
                    self._inotify.rm_watch(watch)

    def leave(self, listener: Listener) -> None:
        """Listen to nothing any more for this listener."""
        self._all.discard(listener)
        self.forget([number for number, some in self._listeners.copy().items() if listener in some], listener)

    async def run(self) -> None:
        """Tell of what happens for as long as this runs."""
        while True:
            event = await self._inotify.get()
            name = paths.decode(os.fsencode(event.name or ""))
            self._tell(event.watch.wd if event.watch else -1, name, int(event.mask))

    def _tell(self, number: int, name: str, what: int) -> None:
        if what & OVERFLOW:
            for listener in self._all.copy():
                listener.missed()
        for listener in self._listeners.get(number, ()):
            listener.noticed(number, name, what)
        if what & IGNORED:
            self._listeners.pop(number, None)

    def close(self) -> None:
        """Listen to nothing any more."""
        self._inotify.close()
