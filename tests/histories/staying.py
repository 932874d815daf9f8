"""A program that stays: it keeps mirroring from phase to phase, watches its source, and is asked this and that."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from . import package
from .history import SITE_ACTS
from .outside import OUTSIDE_ACTS
from .wire import Life

if TYPE_CHECKING:
    from .play import Stage

EVERY_S = 600
"""How often it looks at everything."""
_SOON_S, _POLLED_S = 20.0, 70.0
"""In so long a change is on the site: of a folder that is watched, and of one that is polled."""
_MOST_STARTS = 12


class Staying:
    """The phases of a history, played to one run of the program: one that ends is followed by another."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self._left = list(stage.history.phases)
        self._is_over = False
        self._changes = 0

    def play(self) -> None:
        """Play all phases, and what is seen in quiet."""
        for _ in range(_MOST_STARTS):
            self.stage.mirrors.configure()
            had_room = self.stage.outside.full_since is None
            result = self.stage.run(meanwhile=self._begin)
            self.stage.events.end()
            if result and had_room and self.stage.outside.ended is not self.stage.outside.life:
                self.stage.world.found("it stays until it is asked to end", f"exit {result.code}")
            if self._is_over:
                return
            self.stage.world.rest(1.0)
        self.stage.world.found("it goes on", f"it has ended {_MOST_STARTS} times")

    def _begin(self, life: Life) -> None:
        self._go_on(life, self._steps(life))

    def _go_on(self, life: Life, steps: Iterator[float]) -> None:
        if not life.dead and (seconds := next(steps, None)) is not None:
            self.stage.world.after(seconds, self._go_on, life, steps)

    def _steps(self, life: Life) -> Iterator[float]:
        """Do one thing after the other, and say after how many seconds the next follows."""
        stage = self.stage
        while self._left:
            phase = self._left.pop(0)
            stage.events.begin(phase.incidents, "staying")
            for act in phase.acts:
                stage.do(act)
            yield 60 + phase.seconds
            stage.events.end()
        stage.world.note("-- quiet, and it stays")
        stage.end_trouble()
        passes = len(package.passes_told())
        stage.outside.ask("now")
        yield 5.0
        yield from self._see_that_it_goes_on(passes)
        yield from self._see_that_all_is_looked_at_in_time()
        stage.learn(package.log_so_far())
        stage.compare(_code())
        yield from self._see_that_changes_are_noticed()
        if stage.history.seed % 2:
            yield from self._see_that_it_pauses()
        else:
            yield from self._see_that_it_reloads()
        self._is_over = True
        stage.outside.send(signal.SIGTERM)

    def _see_that_it_goes_on(self, passes: int) -> Iterator[float]:
        """Who asks for a pass gets one, unless one is under way for long."""
        yield 300.0
        if len(package.passes_told()) <= passes:
            self.stage.world.found("a pass that is asked for begins", "none has ended since")

    def _see_that_all_is_looked_at_in_time(self) -> Iterator[float]:
        """A pass over everything begins in each interval, whatever the clock on the wall says."""
        code, passes = _code(), len(_whole())
        yield 2.5 * EVERY_S
        if not code and len(_whole()) < passes + 2:
            self.stage.world.found("all is looked at in time", f"{len(_whole()) - passes} times in {2.5 * EVERY_S:g} s")

    def _change(self) -> None:
        """Do what was done before the last pass, and make a folder that is filled before anybody can watch it."""
        for phase in self.stage.history.phases[-1:]:
            for act in phase.acts:
                if act[0] not in {*SITE_ACTS, *OUTSIDE_ACTS, "source"}:
                    self.stage.do(act)
        self._changes += 1
        self.stage.do(("write", "k", str(5 + self._changes), "now"))
        self.stage.do(("write", f"new{self._changes}/in/it", "5", "old"))

    def _see_that_changes_are_noticed(self) -> Iterator[float]:
        """What is done is on the site soon after, without a pass over everything."""
        code = _code()
        self._change()
        is_slow = self.stage.kernel.is_short or "--bwlimit=100K" in self.stage.history.options
        yield _POLLED_S if is_slow else _SOON_S
        if not code:
            self.stage.compare(_code())

    def _see_that_it_pauses(self) -> Iterator[float]:
        """While it is paused it does nothing; what was done meanwhile is on the site soon after."""
        stage = self.stage
        code = _code()
        stage.outside.ask("pause")
        yield 90.0
        before = stage.server.commands
        self._change()
        yield 1.2 * EVERY_S
        if stage.server.commands != before:
            stage.world.found("nothing is done while it is paused", f"{stage.server.commands - before} commands")
        stage.outside.ask("resume")
        yield _POLLED_S
        if not code:
            stage.compare(_code())

    def _see_that_it_reloads(self) -> Iterator[float]:
        """What is wrong with the configuration is told, and it goes on; what is right is heeded."""
        stage = self.stage
        told = package.log_so_far().count("was not reloaded")
        stage.outside.do(("reload", "broken"))
        yield 5.0
        if package.log_so_far().count("was not reloaded") != told + 1:
            stage.world.found("a broken configuration is told once", package.log_so_far()[-300:])
        yield from self._see_that_changes_are_noticed()
        stage.outside.do(("reload", "sooner"))
        yield 60.0
        yield from self._see_that_changes_are_noticed()


def _code() -> int:
    """Return the worst that was told of the last pass over everything and of those since, of all mirrors.

    A pass over what was touched says nothing of the rest: what was told before counts on.
    """
    codes: dict[str | None, int] = {}
    for each in package.passes_told():
        before = codes.get(each.get("mirror"), 0) if each["partial"] else 0
        codes[each.get("mirror")] = max(before, int(each["exit_code"]))
    return max(codes.values(), default=0)


def _whole() -> list[dict[str, Any]]:
    """Return what was told of the passes over everything."""
    return [each for each in package.passes_told() if not each["partial"]]
