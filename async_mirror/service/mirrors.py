"""Keeps mirrors beside each other: what happens to one is its own. Knows not how they are put together."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, closing
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import click

from async_mirror import multi
from async_mirror.crew.alarm import Alarm
from async_mirror.crew.stop import Stop
from async_mirror.engine import ENDING, ENDING_OF_SEVERAL, Exit, keep
from async_mirror.service.plan import Plan
from async_mirror.service.presence import Presence
from async_mirror.service.watching import IsUnsettled, Watching, nothing_watched
from async_mirror.state.database import StateError
from async_mirror.state.opening import open_copy, open_state, open_to_others
from async_mirror.state.root_lock import RootLock
from async_mirror.state.store import State
from async_mirror.sync.mirror import Mirror
from async_mirror.ui.activity import Activity
from async_mirror.ui.log_output import name_lines

_log = logging.getLogger("async_mirror")

_BEST_FIRST = (
    Exit.MIRRORED,
    Exit.PLANNED,
    Exit.PARTLY,
    Exit.CONNECTION,
    Exit.LOGIN,
    Exit.USAGE,
    Exit.SAFETY,
    Exit.STATE,
)
CRASHED = Exit.PARTLY
INTERNAL = "internal error: this is a defect of async-mirror, please report it with the log of -v"
_APART = 0.618034
"""How far on in the interval the next mirror's passes begin: by the golden section they are apart, however many."""

Shown = Callable[[Plan, Activity], AbstractContextManager[None]]
Start = Callable[[Coroutine[Any, Any, None]], None]


def worst(codes: Iterable[int]) -> int:
    """Return the exit code that counts most; that of a signal goes before all others."""
    return max(codes, key=lambda code: _BEST_FIRST.index(Exit(code)) if code < 128 else code, default=Exit.MIRRORED)


class Kept(NamedTuple):
    """A mirror whose state is open."""

    name: str
    mirror: Mirror
    state: State
    alarm: Alarm


@dataclass
class _Running:
    """A mirror that was started, and has not ended."""

    plan: Plan
    ahead: float
    stop: Stop = field(default_factory=Stop)
    alarm: Alarm = field(default_factory=Alarm)
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Mirrors:
    """The mirrors that this process keeps."""

    def __init__(
        self,
        make: Callable[[Plan], Mirror],
        shown: Shown,
        presence: Presence,
        *,
        watching: Watching,
        stop: Stop,
        start: Start,
    ) -> None:
        """Begin without any. `make` puts one together; it is `shown` how far it is; those whose state is locked are
        known to `presence`; the request to end ends all.
        """
        self._claimed: list[RootLock] = []
        self._shown = shown
        self._make = make
        self._watching = watching
        self._presence = presence
        self._stop = stop
        self._start = start
        self._running: dict[str, _Running] = {}
        self._codes: dict[str, int] = {}
        self._started = 0
        self._is_changing = False
        self._over = asyncio.Event()

    @property
    def plans(self) -> Mapping[str, Plan]:
        """What runs, by name."""
        return {name: each.plan for name, each in self._running.items()}

    @property
    def code(self) -> int:
        """What all of it comes to."""
        return worst(self._codes.values())

    async def over(self) -> None:
        """Wait until every mirror has ended, or one so that all must."""
        await self._over.wait()
        for roots in self._claimed:
            roots.close()

    def begin(self, plan: Plan) -> None:
        """Start a mirror. Its passes begin where in the interval the fewest others do."""
        ahead = self._started * _APART % 1 * plan.settings.every_seconds
        self._started += 1
        self._running[plan.name] = running = _Running(plan, ahead)
        self._start(self._run(running))

    async def become(self, plans: Iterable[Plan]) -> None:
        """End the mirrors that are in no plan any more, start those that are new, and restart those that changed."""
        wanted = {plan.name: plan for plan in plans}
        gone = [each for name, each in self._running.items() if name not in wanted or not wanted[name].is_as(each.plan)]
        self._is_changing = True
        for each in gone:
            _log.info("%s", _told_of(each.plan.name, "restarts" if each.plan.name in wanted else "ends"))
            each.stop.request()
        for each in gone:
            await each.ended.wait()
            self._codes.pop(each.plan.name, None)
        for name in [name for name in wanted if name not in self._running and not self._stop.requested]:
            self.begin(wanted[name])
        self._is_changing = False
        self._see_whether_over()

    def ring(self) -> None:
        """Ask each mirror for a pass now."""
        for each in self._running.values():
            each.alarm.ring()

    async def _run(self, running: _Running) -> None:
        name = running.plan.name
        name_lines(name)
        heard = lambda: running.stop.request(self._stop.signum)  # noqa: E731 - to be forgotten again
        self._stop.listen(heard)
        try:
            self._codes[name] = await self._kept(running)
        except BaseException:
            self._over.set()
            raise
        finally:
            self._stop.forget(heard)
            del self._running[name]
            running.ended.set()
            self._see_whether_over()

    def _see_whether_over(self) -> None:
        if not self._running and not self._is_changing:
            self._over.set()

    async def _kept(self, running: _Running) -> int:
        """Keep a mirror; one of several tries again, at its next turn, what ends one that is alone."""
        plan, stop = running.plan, running.stop
        mirror = self._make(plan)
        while True:
            code = await self._tried(mirror, running)
            if code not in (*ENDING, CRASHED) or plan.once or not plan.name:
                return code
            await running.alarm.wait(plan.settings.every_seconds, stop)
            if stop.requested:
                return 128 + stop.signum

    async def _tried(self, mirror: Mirror, running: _Running) -> int:
        plan = running.plan
        try:
            return await self._with_state(mirror, running)
        except click.ClickException:
            raise
        except Exception as error:  # whatever it is, the others go on
            if not plan.name:
                raise
            return _told_end(mirror, plan, error)

    async def _with_state(self, mirror: Mirror, running: _Running) -> int:
        plan = running.plan
        opening = (open_copy, plan.file.found) if mirror.dry_run else (open_state, *plan.file)
        with closing(await multi.in_thread(*opening)) as state:
            _say_first(mirror, plan, state)
            kept = Kept(plan.name, mirror, state, running.alarm)
            try:
                if not mirror.dry_run:
                    await self._presence.add(kept)
                async with self._watched(mirror, running) as is_unsettled:
                    with self._shown(plan, mirror.report.activity):
                        return await keep(
                            mirror,
                            state,
                            running.stop,
                            running.alarm,
                            once=plan.once,
                            ahead=running.ahead,
                            exit_code=plan.asked.exit_code,
                            resume=f"async-mirror resume {plan.called}".rstrip(),
                            ending=ENDING_OF_SEVERAL if plan.name else ENDING,
                            is_unsettled=is_unsettled,
                        )
            finally:
                self._presence.remove(kept)
                if mirror.roots and plan.once:
                    self._claimed.append(mirror.roots)  # as long as others of this run may claim the same
                elif mirror.roots:
                    mirror.roots.close()

    def _watched(self, mirror: Mirror, running: _Running) -> AbstractAsyncContextManager[IsUnsettled]:
        if running.plan.once or not mirror.settings.watch:
            return nothing_watched()
        return self._watching.of(mirror, running.alarm, running.stop)


def _told_end(mirror: Mirror, plan: Plan, error: Exception) -> Exit:
    """Tell what ended a mirror, as the end of a pass, and return the exit code."""
    code = Exit.STATE if isinstance(error, StateError) else CRASHED
    mirror.report.begin()
    mirror.report.trouble(str(error) if code is Exit.STATE else INTERNAL)
    if code is CRASHED:
        _log.debug("%s", INTERNAL, exc_info=error)
    mirror.report.end(code.name.lower(), code, None if plan.once else plan.settings.every_seconds)
    return code


def _say_first(mirror: Mirror, plan: Plan, state: State) -> None:
    report = mirror.report
    report.say(f"{plan.settings.source} -> {plan.settings.site.shown}")
    for warning, hint in plan.warnings:
        report.warn(warning, hint)
    if warning := open_to_others(plan.file.path):
        report.warn(warning)
    if state.holder:
        report.warn(f"another run is under way ({state.holder}): what it is doing now is planned here, too")


def _told_of(name: str, what: str) -> str:
    return f"mirror {name} {what}" if name else f"the mirror {what}"
