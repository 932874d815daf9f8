"""What is seen of this process from outside: it answers questions about its mirrors, and informs systemd."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from async_mirror import multi
from async_mirror.crew.stop import Stop
from async_mirror.service import channel
from async_mirror.service.channel import Names
from async_mirror.service.desk import Desk, Kept
from async_mirror.service.systemd import Notifier
from async_mirror.service.told import brief

TOLD_EVERY_S = 10.0
SAMPLED_EVERY_S, LOOKED_EVERY_S = 1.0, 2.0
"""How often it is noted how far a pass is, for what is left is told by that; and looked whether one is under way."""


class Presence:
    """Has the mirrors known that this process keeps; others come and go."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Begin without any mirror, and unseen."""
        self.notifier = Notifier(environment)
        self.desk = Desk(self._kept_by)
        self._runtime = environment.get("XDG_RUNTIME_DIR")
        self._kept: dict[str, Kept] = {}
        self._names: Names | None = None
        self._is_ready = False

    def _kept_by(self, state: str) -> Kept | None:
        return next((each for each in self._kept.values() if str(each.state.path) == state), None)

    async def add(self, kept: Kept) -> None:
        """Let a mirror be asked about whose state is locked; where that cannot be, it is told."""
        self._kept[kept.name] = kept
        if self._names and (trouble := await self._names.add(kept.state.path)):
            kept.mirror.report.note(f"no socket for `status` ({trouble}): it reads the state file, `now` sends SIGUSR1")
        self._tell_ready()

    def remove(self, kept: Kept) -> None:
        """Let a mirror be asked about no longer, whose state is to be unlocked."""
        self._kept.pop(kept.name, None)
        if self._names:
            self._names.remove(kept.state.path)

    @asynccontextmanager
    async def seen(self, stop: Stop) -> AsyncIterator[None]:
        """Be seen from outside meanwhile."""
        stop.listen(self.notifier.stopping)
        async with multi.beside() as start, channel.answering(self.desk.answer, self._runtime) as self._names:
            start(self._follow())
            yield

    def _tell_ready(self) -> None:
        if not self._is_ready:
            self._is_ready = True
            self.notifier.ready()

    async def _follow(self) -> None:
        """Take note of how far passes are, and give signs of life: where the event loop hangs, there are none."""
        clock = asyncio.get_running_loop().time
        every = min(TOLD_EVERY_S, (self.notifier.watchdog_s or TOLD_EVERY_S) / 2)
        due = clock()
        while True:
            busy = [each for each in self._kept.values() if self.desk.follow(each)]
            if self.notifier.is_wanted and clock() >= due:
                due = clock() + every
                self.notifier.alive(brief({name: self.desk.live(each) for name, each in self._kept.items()}))
            await asyncio.sleep(min(SAMPLED_EVERY_S if busy else LOOKED_EVERY_S, every))
            self._tell_ready()  # a mirror whose state is not free yet is waited for by the others alone
