"""A server's process for one session: commands in, replies out, a data connection. Knows no command's meaning."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from . import answers
from .kinds import Kind
from .site import No, Node
from .wire import Connection, Pipe
from .world import World

_FORGOTTEN_PORT_S = 60.0
_LATEST_S = 290.0
"""No later than so long after it fell asleep a process does what it was sent; else never."""
_NEVER_S = 1e9
_TRANSFERS = {"STOR", "MLSD", "LIST"}


class Trouble(Protocol):
    """Who is asked, before and after each command, whether something happens."""

    def before(self, session: Process, verb: str, line: bytes) -> bool:
        """Tell whether the session is to go on with the command as usual."""
        ...

    def after(self, session: Process, verb: str, reply: bytes) -> bool:
        """Tell whether the reply is to be sent as usual."""
        ...

    def content(self, session: Process, node: Node, pipe: Pipe) -> int:
        """Return how many bytes of a file that comes are kept, -1 for all."""
        ...


class Process:
    """One session: its commands are done one after the other, however early they come.

    `gone` says that the client has left, `ended` that the process has; a process whose client is gone may yet do what
    is queued: now, later or never.
    """

    def __init__(self, world: World, kind: Kind, trouble: Trouble, connection: Connection, number: int) -> None:
        self.world, self.kind, self.trouble = world, kind, trouble
        self.connection, self.number = connection, number
        self.commands = 0
        """How many were done for a client that was there: what is done late nobody sends."""
        self.queue: deque[bytes] = deque()
        self.busy = True
        self.gone = self.ended = self.was_left = False
        self.asleep_until = self._latest = 0.0
        self.full = False
        self._port = 0
        self._pipe: Pipe | None = None
        self._on_pipe: Callable[[Pipe], None] | None = None
        self._rest = b""
        self._verb = ""

    def __str__(self) -> str:
        return f"#{self.number}"

    # Commands in, replies out.

    def greet(self) -> None:
        self._verb = "CONNECT"
        if self.trouble.before(self, "CONNECT", b""):
            self.say(220, "ready")

    def received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\r\n")
        if self.kind.one_read_one_command and lines:
            lines, self._rest = lines[:1], b""
        if not self.kind.hears_during_transfers and self.busy and self._verb in _TRANSFERS:
            lines = []
        self.queue.extend(lines)
        if self.kind.overtakes and self.busy and self.queue and self.queue[0] == b"NOOP" and self._verb in _TRANSFERS:
            self.queue.popleft()
            self.connection.reply(b"200 yes\r\n")
        self.go_on()

    def left(self, *, abruptly: bool) -> None:
        """The client has closed the connection. Abruptly: what is queued is done now, later or never."""
        self.was_left = not self.ended
        self.gone = True
        if abruptly and self.queue and not self.ended:
            self.orphan()
        elif not self.queue and not self.busy:
            self.ended = True

    def orphan(self) -> None:
        """Lose the client."""
        self.gone = True
        fate = self.world.chance.random()
        if fate < 0.4:
            self.ended = True
        elif fate < 0.6:
            self.sleep(self.world.chance.choice([0.5, 3.0, 20.0, 100.0, 200.0]))

    def sleep(self, seconds: float) -> None:
        self._latest = self._latest or self.world.now + _LATEST_S
        wakes = min(self.world.now + seconds, max(self._latest, self.world.now)) if seconds < _NEVER_S else _NEVER_S
        self.asleep_until = max(self.asleep_until, wakes)
        self.world.note(f"{self} sleeps {seconds:g} s, {len(self.queue)} queued")
        self.world.at(self.asleep_until, self.go_on)

    def go_on(self) -> None:
        if self.queue and not self.busy and not self.ended and self.world.now >= self.asleep_until:
            self.busy = True
            self.world.after(0.0002 + self.world.delay(), self._begin, self.queue.popleft())

    def _begin(self, line: bytes) -> None:
        if self.ended:
            return
        if self.world.now < self.asleep_until:
            self.world.at(self.asleep_until, self._begin, line)
            return
        verb = line.split(b" ", 1)[0].decode("latin-1").upper()
        self._verb = verb
        self.commands += not self.gone
        self.world.note(f"{self} > {line.decode('utf-8', 'backslashreplace')}")
        if self.trouble.before(self, verb, line):
            self.perform(line)

    def perform(self, line: bytes) -> None:
        verb, _, argument = line.partition(b" ")
        do = getattr(self, f"do_{verb.decode('latin-1').lower()}", None)
        if do is None:
            self.say(500, "unknown")
            return
        try:
            do(argument)
        except No as no:
            self.say(550, str(no))

    def refuse(self, line: bytes, code: int, text: str) -> None:
        """Refuse the command under way without a reason."""
        self.say(code, text)

    def say(self, code: int, *lines: str) -> None:
        """Give the final reply to the command under way, and go on with the next one."""
        self.say_raw(answers.reply(code, lines))

    def say_raw(self, reply: bytes) -> None:
        self.busy = False
        if self.trouble.after(self, self._verb, reply):
            self.deliver(reply)
        self.go_on()

    def deliver(self, reply: bytes) -> None:
        self.world.note(f"{self} < {reply.decode('utf-8', 'backslashreplace').rstrip()}")
        self.connection.reply(reply)

    def hang_up(self) -> None:
        """End the process."""
        self.ended = True
        self.queue.clear()
        self.connection.hang_up()
        if self._pipe:
            self._pipe.sever()

    # Data connections.

    def joined(self, port: int, pipe: Pipe) -> bool:
        if port != self._port or self.ended:
            return False
        self._pipe = pipe
        if self._on_pipe:
            on_pipe, self._on_pipe = self._on_pipe, None
            on_pipe(pipe)
        return True

    @property
    def has_port(self) -> bool:
        return bool(self._port)

    def with_pipe(self, use: Callable[[Pipe], None]) -> None:
        """Use the data connection once it is there; wait for it for a minute, if a port was asked for."""
        if not self._port:
            self.say(425, "no port was asked for")
        elif self._pipe:
            use(self._pipe)
        else:
            self._on_pipe = use
            self.world.after(_FORGOTTEN_PORT_S, self._give_up, use)

    def _give_up(self, use: Callable[[Pipe], None]) -> None:
        if self._on_pipe is use:
            self._on_pipe = None
            self._port = 0
            self.say(425, "nobody came")

    def done_with_pipe(self) -> None:
        self._pipe, self._port = None, 0
        if not self.kind.keeps_ports:
            self.world.after(self.world.delay(), self._forget_port)

    def _forget_port(self) -> None:
        if not self._pipe and not self._on_pipe:
            self._port = 0
