"""Watches a source, and tells where something changed once it is quiet there. Knows neither pass nor site."""

import asyncio
import time
from collections.abc import Callable, Iterable

from async_mirror.crew.stop import set_within
from async_mirror.model import paths, temporary_names
from async_mirror.model.entry import FILE, FOLDER, Entry
from async_mirror.model.selection import Selection
from async_mirror.multi import beside, in_thread
from async_mirror.source import elsewhere
from async_mirror.source import notices as kernel
from async_mirror.source.burst import Burst, Touch
from async_mirror.source.notices import Notices
from async_mirror.source.watched_tree import POLL_S, WatchedTree

SHARE = 20
"""What is polled is left alone for so many times as long as it took."""
_LONG_S = 3600.0

Ring = Callable[[Iterable[str] | None], None]
"""Is told the folders in which something changed; None: everything is to be looked at."""


class SourceWatch:
    """Watches one source: `stand`, and then `run` beside. What is left out of the mirror is not watched."""

    def __init__(
        self,
        source: bytes,
        selection: Selection,
        *,
        settle_s: float,
        ring: Ring,
        note: Callable[[str], object],
        notices: Notices | None,
        poll_s: float = POLL_S,
    ) -> None:
        """Prepare to watch; `note` is told what a user should know. Without `notices` the system is asked otherwise."""
        self._selection = selection
        self._ring = ring
        self._note = note
        self._poll_s = poll_s
        self._burst = Burst(settle_s)
        self._source = source
        self._elsewhere = notices is None and elsewhere.is_installed()
        self._tree = WatchedTree(source, selection, notices, self, polls=not self._elsewhere)
        self._woken = asyncio.Event()
        self._stood = asyncio.Event()
        self._strayed = False
        self._new: list[str] = []
        self._left: set[str] = set()

    async def stand(self) -> None:
        """Have everything watched that there is now. A pass that begins afterwards and a later notice miss nothing."""
        await in_thread(self._tree.stand)
        self._stood.set()
        self._tell_notes()

    async def run(self) -> None:
        """Tell of changes for as long as this runs."""
        try:
            async with beside() as start:
                start(self._poll())
                if self._elsewhere:
                    start(self._listen())
                while True:
                    due_s = self._burst.due_s(_now())
                    await set_within(self._woken, _LONG_S if due_s is None else due_s)
                    self._woken.clear()
                    await self._keep_up()
                    await self._take()
        finally:
            self._tree.close()

    def halt(self) -> None:
        """Have what looks through the source end soon: the end was asked for."""
        self._tree.halted = True

    def is_unsettled(self, path: str) -> bool:
        """Tell whether a path is being changed, or is gone and may be on its way back; from any thread."""
        return path in self._burst

    def noticed(self, number: int, name: str, what: int) -> None:
        """Learn what happened to a name in a folder."""
        if name in self._tree.way.get(number, ()):
            self._look_for_root()
        if (folder := self._tree.watched.get(number)) is None:
            return
        if not name:
            self._noticed_itself(number, folder, what)
            return
        path, is_folder = paths.join(folder, name), bool(what & kernel.IS_FOLDER)
        if temporary_names.is_temporary(name) or not self._selection.includes(
            Entry(path, FOLDER if is_folder else FILE)
        ):
            return
        gone = what & (kernel.DELETE | kernel.MOVED_FROM)
        self._touch(folder, name, Touch.GONE if gone else Touch.CHANGED)
        if is_folder:
            self._noticed_folder(path, what)

    def missed(self) -> None:
        """Learn that notices were lost."""
        self._lose()

    def _noticed_itself(self, number: int, folder: str, what: int) -> None:
        if what & kernel.IGNORED:
            self._tree.watched.pop(number, None)
        elif not folder and what & (kernel.DELETE_SELF | kernel.MOVE_SELF | kernel.UNMOUNT):
            self._look_for_root()
        elif what & kernel.UNMOUNT:
            self._follow(folder)

    def _noticed_folder(self, path: str, what: int) -> None:
        if what & kernel.MOVED_FROM:
            self._left.add(path)
        elif what & (kernel.CREATE | kernel.MOVED_TO) or path in self._tree.unreadable:
            self._follow(path)

    def _follow(self, folder: str) -> None:
        self._new.append(folder)
        self._woken.set()

    def _look_for_root(self) -> None:
        self._strayed = True
        self._woken.set()

    def _touch(self, folder: str, name: str, what: Touch = Touch.CHANGED, *, at_s: float | None = None) -> None:
        if not self._burst:
            self._woken.set()
        self._burst.touch(folder, name, _now() if at_s is None else at_s, what)

    def _lose(self) -> None:
        self._burst.lose(_now())
        self._woken.set()

    async def _keep_up(self) -> None:
        """Watch what is new, and no more what has left."""
        if self._strayed:
            self._strayed = False
            if await in_thread(self._tree.is_astray):
                self._lose()
            await in_thread(self._tree.watch_way)
        if self._new or self._left:
            new, self._new = self._new, []
            left, self._left = self._left, set()
            noticed_s = _now()
            for folder in await in_thread(self._tree.follow, left, new):
                self._touch(folder, "", at_s=noticed_s)
            self._tell_notes()

    async def _take(self) -> None:
        wish = self._burst.take(_now())
        if wish and wish.whole:
            await self.stand()
            self._ring(None)
        elif wish:
            self._ring(wish.folders)

    async def _listen(self) -> None:
        """Take note of what a system tells that is not Linux, for as long as it does; then all is polled."""
        try:
            while True:
                self._stood.clear()
                async for some in elsewhere.changes(self._source, self._stood):
                    for path, gone in some:
                        self._told(path, Touch.GONE if gone else Touch.CHANGED)
        except (OSError, RuntimeError) as error:
            self._note(f"the system reports no more changes in the source ({error}): it is polled every {POLL_S:.0f} s")
            self._tree.polls = True
            self._lose()

    def _told(self, path: str, what: Touch) -> None:
        folder, name = paths.split(path)
        if not temporary_names.is_temporary(name) and self._selection.includes_with_parents(Entry(path, FILE)):
            self._touch(folder, name, what)

    async def _poll(self) -> None:
        """Look now and then whether the source is still the same, and at what is not watched."""
        pause_s = self._poll_s
        while True:
            await asyncio.sleep(pause_s)
            begun = time.monotonic()
            if await in_thread(self._tree.is_astray):
                self._lose()
            changed, new = await in_thread(self._tree.poll)
            for folder in changed:
                self._touch(folder, "")
            for folder in new:
                self._follow(folder)
            pause_s = max(self._poll_s, SHARE * (time.monotonic() - begun))

    def _tell_notes(self) -> None:
        for note in self._tree.notes:
            self._note(note)
        self._tree.notes.clear()


def _now() -> float:
    return asyncio.get_running_loop().time()
