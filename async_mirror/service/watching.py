"""Has the sources watched of all mirrors of this process, with what they share for that. Knows no passes."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from async_mirror import multi
from async_mirror.crew.alarm import Alarm
from async_mirror.crew.stop import Stop
from async_mirror.planning.scope import EVERYTHING
from async_mirror.source.notices import Notices
from async_mirror.source.watch import SourceWatch
from async_mirror.source.watched_tree import POLL_S
from async_mirror.sync.mirror import Mirror

IsUnsettled = Callable[[str], bool]
Start = Callable[[Coroutine[Any, Any, None]], None]


class Watching:
    """What all watches of a process share: it may have few inotify instances."""

    def __init__(self, start: Start) -> None:
        """Share nothing before the first source is to be watched; `start` starts what listens for all."""
        self._start = start
        self._notices: Notices | None = None
        self._reason = ""
        self._sharing = asyncio.Lock()

    @asynccontextmanager
    async def of(self, mirror: Mirror, alarm: Alarm, stop: Stop) -> AsyncIterator[IsUnsettled]:
        """Have changes in a mirror's source ring its alarm; give what tells whether a path is being changed."""
        settings, note = mirror.settings, mirror.report.note
        notices = await self._shared()
        if self._reason:
            note(f"cannot use inotify ({self._reason}): the source is polled every {POLL_S:.0f} s")
        watch = SourceWatch(
            os.fsencode(settings.source),
            mirror.selection,
            settle_s=settings.settle_seconds,
            ring=alarm.ring,
            note=note,
            notices=notices,
        )
        stop.listen(watch.halt)
        try:
            await watch.stand()
            async with multi.beside() as start:
                start(watch.run())
                start(mirror.parking.run())
                yield watch.is_unsettled
        finally:
            stop.forget(watch.halt)

    async def _shared(self) -> Notices | None:
        async with self._sharing:
            if self._notices is None and not self._reason:
                await self._make()
        return self._notices

    async def _make(self) -> None:
        try:
            self._notices = await multi.in_thread(Notices)
        except (ImportError, OSError, RuntimeError) as error:
            self._reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        else:
            self._start(self._notices.run())

    def close(self) -> None:
        """Let go of what was shared."""
        if self._notices:
            self._notices.close()


@asynccontextmanager
async def watching() -> AsyncIterator[Watching]:
    """Share what watches need for as long as this lasts."""
    async with multi.beside() as start:
        made = Watching(start)
        yield made
    made.close()


@asynccontextmanager
async def nothing_watched() -> AsyncIterator[IsUnsettled]:
    """Watch nothing."""
    yield EVERYTHING.is_unsettled
