"""What wakes a mirror before its time: changes that were noticed, or a person who wants a pass now. Starts nothing."""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from async_mirror.crew.stop import Stop, set_within


class Wish(NamedTuple):
    """What the next pass is to look at."""

    whole: bool
    """Everything: it was asked for, or it is time."""
    folders: frozenset[str] = frozenset()
    """Paths of folders, relative to the source, in which something changed."""


class Alarm:
    """Gathers wishes for a pass until one begins; call from the event loop's thread."""

    def __init__(self) -> None:
        """Begin without a wish."""
        self._rung = asyncio.Event()
        self._whole = False
        self._folders: set[str] = set()
        self._passing: Stop | None = None

    def ring(self, folders: Iterable[str] | None = None) -> None:
        """Ask for a pass over so many folders, or over everything."""
        if folders is None:
            self._whole = True
        else:
            self._folders.update(folders)
        self._rung.set()

    def halt(self) -> None:
        """Have the pass that is under way end soon; if there is none, wake what waits for the next one."""
        if self._passing:
            self._passing.request()
        else:
            self.ring()

    @contextmanager
    def passing(self, stop: Stop) -> Iterator[Stop]:
        """Give a pass a request to end of its own: it comes with that of the program, or with `halt`."""
        self._passing = own = Stop()

        def end() -> None:
            own.request(stop.signum)

        if stop.requested:
            end()
        stop.listen(end)
        try:
            yield own
        finally:
            stop.forget(end)
            self._passing = None

    async def wait(self, seconds: float, stop: Stop) -> Wish:
        """Wait until something is wished for, the end is asked for, or so many seconds went by; take the wish.

        When the time has gone by the wish is for nothing. A wish made during a pass is there at once.
        """
        with self._heard(stop):
            await set_within(self._rung, seconds)
        wish = Wish(self._whole, frozenset(self._folders))
        self._rung.clear()
        self._whole = False
        self._folders.clear()
        return wish

    @contextmanager
    def _heard(self, stop: Stop) -> Iterator[None]:
        """Have the request to end wake what waits, too."""
        if stop.requested:
            self._rung.set()
        stop.listen(self._rung.set)
        try:
            yield
        finally:
            stop.forget(self._rung.set)
