"""The control connection: commands out, replies in, bounded in time. Knows FTP's grammar, not its meaning.

`reply_flow` decides which reply answers what; here is what that takes: a transport, a clock, and tasks that wait.
"""

import asyncio
import math
import socket
import ssl
from collections import deque
from collections.abc import Iterable, Sequence
from time import monotonic

from async_mirror.ftp.wire.replies import Reply
from async_mirror.ftp.wire.reply_flow import GREETING, PendingReply, ReplyFlow
from async_mirror.model import paths
from async_mirror.model.secret import NO_SECRET, Secret
from async_mirror.remote.errors import ConnectionBroken

WINDOW = 1200
"""Bytes of commands in flight. ProFTPD 1.3.8 joins two commands when one of its reads ends between CR and LF."""

WIDE_WINDOW = 8 * 1024
"""The same for vsftpd, as far as that says who it is."""

QUICK_SECONDS = 15.0
"""How long a server may take for what costs it nothing, whatever the time-out is: one that is silent then stays so."""

_ACKNOWLEDGED_LATE_S = 0.035
"""A reply that comes so long after another one may have waited for a late acknowledgement: Linux waits for 40 ms."""
_PROMPT_READS = 100
"""So many reads are acknowledged at once before it is seen again whether the server waits for that."""

_QUICK = frozenset({"AUTH", "PBSZ", "PROT", "FEAT", "SYST", "OPTS", "TYPE", "CWD", "PWD"})

_REMEDIES = {
    GREETING: "raise --timeout if the server looks up client names, which can take long",
    "PASS": "raise --timeout if the server is slow to check passwords",
    "AUTH": "a firewall may block AUTH TLS: try ftps://, or ask the site's host",
}
_REMEDY_FOR_QUICK = "the server hangs or a firewall blocks the command: ask the site's host"
_REMEDY = "raise --timeout if the server is slow"


def length_of(*commands: str) -> int:
    """Return how many bytes commands take on the wire."""
    return len(paths.encode("\r\n".join((*commands, ""))))


class AwaitedReply(PendingReply):
    """A pending reply that tasks can wait for; once one does, it is `due` so many `seconds` later."""

    due = math.inf
    seconds = 0.0
    _future: "asyncio.Future[Reply] | None" = None
    _begins: "asyncio.Future[None] | None" = None

    @property
    def reply(self) -> "asyncio.Future[Reply]":
        """The reply as something to wait for; most have come before anybody does."""
        if self._future is None:
            self._future = asyncio.get_running_loop().create_future()
            self._hand_over()
        return self._future

    def begun(self) -> "asyncio.Future[None]":
        """Return what is done once the server began to do the command, or will never."""
        if self._begins is None:
            self._begins = asyncio.get_running_loop().create_future()
        return self._begins

    def begin(self) -> None:
        """Wake who waits for the server to begin."""
        self.has_begun = True  # as above; to ask the base costs a call for each reply
        if self._begins and not self._begins.done():
            self._begins.set_result(None)

    def end(self, outcome: Reply | ConnectionBroken) -> None:
        """Wake who waits for the reply."""
        self.outcome = outcome
        self.has_begun = self.has_ended = True
        if self._begins:
            self.begin()
        if self._future:
            self._hand_over()

    def _hand_over(self) -> None:
        if self._future is None or self.outcome is None or self._future.done():
            return
        if isinstance(self.outcome, Reply):
            self._future.set_result(self.outcome)
        else:
            self._future.set_exception(self.outcome)
            self._future.exception()


class ControlLock:
    """Lets no other task write to the control connection while one task must have it, as during a transfer.

    That task may take it again. All others wait until it is free, and need not take it to write a command or a few.
    """

    def __init__(self) -> None:
        """Begin with no holder."""
        self.holder: asyncio.Task[object] | None = None
        """The task that has it, None while none does."""
        self._depth = 0
        self._queue: deque[asyncio.Future[None]] = deque()

    async def until_free(self) -> None:
        """Wait until no other task has it."""
        while self.holder is not None and self.holder is not asyncio.current_task():
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._queue.append(turn)
            await turn

    async def __aenter__(self) -> None:
        """Take it once it is free."""
        if self.holder is not None:
            await self.until_free()
        self.holder = asyncio.current_task()
        self._depth += 1

    async def __aexit__(self, *exception: object) -> None:
        """Let go of it, and let all see who wait."""
        self._depth -= 1
        if not self._depth:
            self.holder = None
            while self._queue:
                turn = self._queue.popleft()
                if not turn.done():
                    turn.set_result(None)


class Control:
    """What is under way on one control connection. Once `broken`, it stays so.

    `broken` tells why by its class, and so does whatever waits: `reply_flow.OutOfStep` is a conclusive oddity of the
    server (what it said fits no command, or came out of order), any other ConnectionBroken an ambiguous one (silence,
    a cut, 421). `flow.overtaken` tells of the one disorder that breaks nothing.

    Commands leave when the loop comes round, so that what is sent by one who was just answered, and by the next one
    in the queue, goes out in one write. One timer watches over all awaited replies.
    """

    def __init__(self, timeout_seconds: float, secret: Secret = NO_SECRET) -> None:
        """Begin without a transport; the first thing expected is whatever `expect` says."""
        self.timeout_seconds = timeout_seconds
        self.flow = ReplyFlow[AwaitedReply](secret)
        self.transport: asyncio.Transport | None = None
        self.broken: ConnectionBroken | None = None
        self.alert: ssl.SSLError | None = None
        self.window = WINDOW
        self._loop = asyncio.get_running_loop()
        self._leaving: list[bytes] = []
        self._read_at = math.inf
        self._prompt_reads = 0
        self._watch: asyncio.TimerHandle | None = None

    @property
    def peer(self) -> ssl.SSLObject | None:
        """The other end as TLS knows it, None without TLS."""
        found: ssl.SSLObject | None = self.transport.get_extra_info("ssl_object") if self.transport else None
        return found

    # From the network.

    def received(self, data: bytes) -> None:
        """Take bytes from the server."""
        if self.broken:
            return
        try:
            self.flow.feed(data)
        except ConnectionBroken as broken:
            self._give_up(broken)
        now = monotonic()
        if now - self._read_at >= _ACKNOWLEDGED_LATE_S:
            self._prompt_reads = _PROMPT_READS
        self._read_at = now if self.flow.pending else math.inf
        if self._prompt_reads and self.flow.pending:
            self._acknowledge()

    def _acknowledge(self) -> None:
        """Let a server that waits for that know at once what arrived.

        Many hold a second reply back until the first one is acknowledged (Nagle), and a kernel that has nothing else
        to send does that after 40 ms. A reply that comes so late has the next ones acknowledged by themselves.
        """
        self._prompt_reads -= 1
        if self.transport and (connection := self.transport.get_extra_info("socket")):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def break_off(self, why: str, said: str = "", *, by_server: bool = False) -> None:
        """Give the connection up; all that wait on it are told why, what the server said, and whether that ended it."""
        self._give_up(ConnectionBroken(why, said, by_server=by_server))

    def _give_up(self, broken: ConnectionBroken) -> None:
        if not self.broken:
            self.broken = broken
        if self._watch:
            self._watch.cancel()
            self._watch = None
        self._leaving.clear()
        self.flow.fail(self.broken)
        if self.transport:
            self.transport.abort()

    # To the network.

    def expect(self, command: str) -> AwaitedReply:
        """Expect a reply that no command asks for: the greeting."""
        if self.broken:
            raise self.broken
        pending = AwaitedReply(command)
        self.flow.expect(pending)
        return pending

    def send(self, *commands: str) -> list[AwaitedReply]:
        """Send commands in one write, perhaps with others, and expect a reply to each."""
        if self.broken:
            raise self.broken
        text = "".join(commands)
        if "\r" in text or "\n" in text or "\0" in text:
            raise ValueError("a command must not hold CR, LF or NUL")
        lines = commands if text.isascii() else map(paths.encode, commands)
        pending = [
            AwaitedReply(each.partition(" ")[0], len(line) + 2) for each, line in zip(commands, lines, strict=True)
        ]
        self.flow.expect(*pending)
        if not self._leaving:  # a task that waits for its turn to send gets it in the next round
            self._loop.call_soon(self._loop.call_soon, self.flush)
        self._leaving.append(paths.encode("\r\n".join((*commands, ""))))
        return pending

    def flush(self) -> None:
        """Let what was sent leave now."""
        if self._leaving and self.transport:
            leaving, self._leaving = self._leaving, []
            self.transport.write(b"".join(leaving))

    async def reply(self, pending: AwaitedReply, timeout_seconds: float | None = None) -> Reply:
        """Wait for a reply, for a bounded time; who gives up waiting leaves the connection out of step: broken."""
        if not pending.has_ended:
            if timeout_seconds is None:
                timeout_seconds = self._patience(pending) if pending.command in _QUICK else self.timeout_seconds
            self._watch_over(pending, timeout_seconds)
            try:
                await pending.reply
            except asyncio.CancelledError:
                self.break_off("interrupted")
                raise
        reply = pending.take()
        if self.broken:
            self._doubt(reply)
        return reply

    async def replies(self, pending: Sequence[AwaitedReply], timeout_seconds: float | None = None) -> list[Reply]:
        """Wait for several replies, for a bounded time each; most have come before anybody waits for them."""
        for each in pending:
            if not each.has_ended:
                await self.reply(each, timeout_seconds)
        return self.come(pending)

    def come(self, pending: Iterable[AwaitedReply]) -> list[Reply]:
        """Return replies that have come. Raises ConnectionBroken for one that cannot, or where that is not sure."""
        replies = [each.take() for each in pending]
        if self.broken:
            self._doubt(*replies)
        return replies

    def _doubt(self, *replies: Reply) -> None:
        """Raise if the connection broke at another reply: which one answers what is not sure any more."""
        if self.broken and any(self.broken.reply not in {"", reply.text} for reply in replies):
            raise self.broken

    async def begun(self, pending: AwaitedReply) -> None:
        """Wait until the server began to do something (a reply of 1xx), or answered; for a bounded time."""
        if not pending.has_begun:
            self._watch_over(pending, self.timeout_seconds)
            await pending.begun()
            pending.due = math.inf  # how long all of it takes is another matter

    @property
    def quick_seconds(self) -> float:
        """How long a server may take for what costs it nothing."""
        return min(QUICK_SECONDS, self.timeout_seconds)

    def _patience(self, pending: AwaitedReply) -> float:
        """Return how long a reply may take; what is quick must wait for the slow commands before it, too."""
        is_quick = pending.command in _QUICK and pending is self.flow.pending[0]
        return self.quick_seconds if is_quick else self.timeout_seconds

    def _watch_over(self, pending: AwaitedReply, seconds: float) -> None:
        pending.seconds = seconds
        pending.due = self._loop.time() + seconds
        if self._watch is None or self._watch.when() > pending.due:
            if self._watch:
                self._watch.cancel()
            self._watch = self._loop.call_at(pending.due, self._look_at_watch)

    def _look_at_watch(self) -> None:
        """Break off if a reply is overdue; else look again when the next one is due."""
        self._watch = None
        first = min(self.flow.pending, key=lambda each: each.due, default=None)
        if first is None or first.due == math.inf:
            return
        if first.due <= self._loop.time():
            self._give_up(self._silence(first))
        else:
            self._watch = self._loop.call_at(first.due, self._look_at_watch)

    def _silence(self, overdue: AwaitedReply) -> ConnectionBroken:
        silence = ConnectionBroken(f"the server was silent for {round(overdue.seconds, 1):g} s after {overdue.command}")
        in_vain = overdue.seconds < self.timeout_seconds
        silence.advice = _REMEDIES.get(overdue.command, _REMEDY_FOR_QUICK if in_vain else _REMEDY)
        return silence

    async def room(self, length: int) -> None:
        """Wait until so many bytes of commands may be sent."""
        flow = self.flow
        while flow.in_flight and flow.in_flight + length > self.window and flow.pending:
            oldest = flow.pending[0]
            if oldest.due == math.inf:
                self._watch_over(oldest, self._patience(oldest))
            await asyncio.wait({oldest.reply})
            if self.broken:
                raise self.broken
