"""What happens to the program from outside, beside its source and its site: its clock, its disk, signals, commands."""

from __future__ import annotations

import signal
from collections.abc import Callable

from .durable import Room
from .kernel import Kernel
from .local import Act
from .wire import Life
from .world import World

OUTSIDE_ACTS = {"clock", "disk", "ask", "signal", "reload", "kernel"}


class Outside:
    """The machine that the program runs on, and who uses it. `life` is the program's last one."""

    def __init__(
        self,
        world: World,
        kernel: Kernel,
        *,
        command: Callable[[str], int],
        configure: Callable[[str], None],
        kill: Callable[[str], None],
    ) -> None:
        self.world = world
        self.room = Room()
        self.kernel = kernel
        self.full_since: float | None = None
        self.is_paused = False
        self._is_paused_in_part = False
        self.is_early = False
        """True once the clock was set back: files may be of the future then, and what was read of them not believed."""
        self.life: Life | None = None
        self.ended: Life | None = None
        """The last one that was asked to end."""
        self._command = command
        self._configure = configure
        self._kill = kill

    def do(self, act: Act) -> None:
        """Let something happen."""
        self.world.note(f"   outside {' '.join(act)}")
        match act:
            case ("clock", seconds):
                self.world.ahead += float(seconds)
                self.is_early |= float(seconds) < 0
            case ("disk", what):
                self._fill() if what == "full" else self._free()
            case ("ask", what):
                self.ask(what)
            case ("reload", what):
                self._configure(what)
                self.send(signal.SIGHUP)
            case ("kernel", what):
                self._watch(what)
            case ("signal", name):
                self.send(signal.Signals[name])

    def _fill(self) -> None:
        self.room.fill()
        self.full_since = self.world.now if self.full_since is None else self.full_since

    def _free(self) -> None:
        self.room.free()
        self.full_since = None

    def ask(self, what: str) -> None:
        """Run a command of the program that is not `sync`."""
        code = self._command(what)
        self.world.note(f"   {what}: exit {code}")
        if not code and what.startswith(("pause", "resume")):
            self.is_paused = what == "pause"
            self._is_paused_in_part = " " in what

    def _watch(self, what: str) -> None:
        match what:
            case "overflows":
                self.kernel.lose()
            case "is short of watches":
                self.kernel.most = 2

    def send(self, signum: int) -> None:
        """Send the program a signal."""
        life = self.life
        if signum == signal.SIGKILL:
            self._kill("kill")
        elif life and life.loop and not life.dead and (handler := life.loop.signals.get(signum)):
            self.ended = life if signum == signal.SIGTERM else self.ended
            life.loop.call_soon(*handler)

    def end_trouble(self) -> None:
        """Let nothing be in the program's way any more, but for the clock, which may well be right now."""
        self._free()
        if self.is_paused or self._is_paused_in_part:
            self.ask("resume")
