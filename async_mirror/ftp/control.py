"""The control connection: commands out, replies in, in order, bounded in time. Knows FTP's grammar, not its meaning."""

import asyncio
import math
import ssl
from collections import deque
from collections.abc import Sequence
from typing import Any

import aioftp
from aioftp.common import Code

from async_mirror.ftp.replies import Reply, ReplyError, ReplyParser
from async_mirror.ftp.tls import reason
from async_mirror.model import escape, paths
from async_mirror.remote.errors import ConnectionBroken

WINDOW = 1200
"""Bytes of commands in flight. ProFTPD 1.3.8 joins two commands when one of its reads ends between CR and LF."""

WIDE_WINDOW = 8 * 1024
"""The same for vsftpd, as far as that says who it is."""


GREETING = "the connection was made"

_LONGEST_TOLD = 80
"""Characters of what is no reply that are told."""
_SHORTEST_HIDDEN = 4
_HIDDEN = "***"

_READ_AT_MOST = 64 * 1024
"""asyncio would map 256 KiB anew for every read."""

_TRANSFERS = ("STOR", "MLSD", "LIST")

_SUCCESS = {
    "EPSV": frozenset({229}),
    "PASV": frozenset({227}),
    "SIZE": frozenset({213}),
    "RNFR": frozenset({350}),
    "STOR": frozenset({226, 250}),
    **dict.fromkeys(("MLSD", "LIST"), frozenset({200, 226, 250})),  # 200 is aioftp's server's
    "NOOP": frozenset({200}),
}
"""The codes with which a server says yes to these; another yes answers another command."""


def length_of(*commands: str) -> int:
    """Return how many bytes commands take on the wire."""
    return sum((len(each) if each.isascii() else len(paths.encode(each))) + 2 for each in commands)


class Expected:
    """A reply that is to come; once somebody waits for it, it is `due` so many `seconds` later."""

    __slots__ = ("_begins", "_outcome", "_reply", "command", "due", "has_begun", "length", "seconds")

    def __init__(self, command: str, length: int) -> None:
        """Expect the reply to a command of so many bytes on the wire."""
        self.command = command
        self.length = length
        self.due = math.inf
        self.seconds = 0.0
        self.has_begun = False
        self._outcome: Reply | ConnectionBroken | None = None
        self._reply: asyncio.Future[Reply] | None = None
        self._begins: asyncio.Future[None] | None = None

    @property
    def has_ended(self) -> bool:
        """True once the reply has come, or cannot come any more."""
        return self._outcome is not None

    @property
    def reply(self) -> "asyncio.Future[Reply]":
        """The reply as something to wait for; most have come before anybody does."""
        if self._reply is None:
            self._reply = asyncio.get_running_loop().create_future()
            self._hand_over()
        return self._reply

    def take(self) -> Reply:
        """Return the reply that has come, or raise why it cannot."""
        if isinstance(self._outcome, Reply):
            return self._outcome
        assert self._outcome is not None
        raise self._outcome

    def begun(self) -> "asyncio.Future[None]":
        """Return what is done once the server began to do it, or will never."""
        if self._begins is None:
            self._begins = asyncio.get_running_loop().create_future()
        return self._begins

    def begin(self) -> None:
        """Note that the server began to do it, or will never."""
        self.has_begun = True
        if self._begins and not self._begins.done():
            self._begins.set_result(None)

    def end(self, outcome: Reply | ConnectionBroken) -> None:
        """Note what came of it."""
        self._outcome = outcome
        self.has_begun = True
        if self._begins:
            self.begin()
        if self._reply:
            self._hand_over()

    def _hand_over(self) -> None:
        if self._reply is None or self._outcome is None or self._reply.done():
            return
        if isinstance(self._outcome, Reply):
            self._reply.set_result(self._outcome)
        else:
            self._reply.set_exception(self._outcome)
            self._reply.exception()


class Control:
    """What is under way on one control connection. Once `broken`, it stays so.

    Commands leave when the loop comes round, so that what is sent by one who was just answered, and by the next one
    in the queue, goes out in one write. One timer watches over all replies that somebody waits for.
    """

    def __init__(self, timeout_seconds: float) -> None:
        """Begin without a transport; the first thing expected is whatever `expect` says."""
        self.timeout_seconds = timeout_seconds
        self._loop = asyncio.get_running_loop()
        self.transport: asyncio.Transport | None = None
        self.broken: ConnectionBroken | None = None
        self.alert: ssl.SSLError | None = None
        self.in_flight = 0
        self.window = WINDOW
        self.secret = self._secret_in_paths = ""
        self.greeting = ""
        self.out_of_step = False
        self.overtaken = False
        self._waiting: deque[Expected] = deque()
        self._parser = ReplyParser()
        self._leaving: list[bytes] = []
        self._watch: asyncio.TimerHandle | None = None

    @property
    def peer(self) -> ssl.SSLObject | None:
        """The other end as TLS knows it, None without TLS."""
        found: ssl.SSLObject | None = self.transport.get_extra_info("ssl_object") if self.transport else None
        return found

    def hide(self, secret: str) -> None:
        """Keep a secret out of all that is told of replies."""
        self.secret = secret.strip()
        self._secret_in_paths = self.secret.replace('"', '""')

    @property
    def is_quiet(self) -> bool:
        """True if nothing was received but what was waited for."""
        return self.broken is None and not self._waiting and self._parser.is_idle

    # From the network.

    def received(self, data: bytes) -> None:
        """Take bytes from the server."""
        try:
            replies = self._parser.feed(data)
            while not self.broken and (reply := next(replies, None)):
                self._on_reply(reply)
        except ReplyError as error:
            self.break_off(str(error), repr(escape.shown(self.discreet(error.line)[:_LONGEST_TOLD])))

    def _on_reply(self, reply: Reply) -> None:
        if not self._waiting:
            reply = self._made_discreet(reply)
            closing = "the server closed the connection" if reply.code == 421 else "the server spoke unasked"
            self.break_off(closing, reply.text, by_server=reply.code == 421)
        elif reply.code < 200:
            self._waiting[0].begin()
        else:
            expected = self._answered(reply.code)
            command = expected.command
            reply = self._made_discreet(reply, command)
            if reply.code < 400 and command in _SUCCESS and reply.code not in _SUCCESS[command]:
                self.out_of_step = True
                self.break_off(f"the server's answers are out of step at {command}", reply.text)
                return
            self._waiting.remove(expected)
            self.in_flight -= expected.length
            expected.end(reply)
            if command == GREETING:
                self.greeting = reply.text
            elif reply.code == 421:
                self.break_off("the server closed the connection", reply.text, by_server=True)

    def _answered(self, code: int) -> Expected:
        """Return what a reply answers: the oldest command; or NOOP, if the server did that during a transfer."""
        oldest = self._waiting[0]
        if code == 200 and oldest.command in _TRANSFERS and len(self._waiting) > 1:
            following = self._waiting[1]
            if following.command == "NOOP":
                self.overtaken = True
                return following
        return oldest

    def _made_discreet(self, reply: Reply, command: str = "") -> Reply:
        """Return a reply with the verb that it answers, and with what may be told of it."""
        text = "\n".join(reply.lines)
        told = self.discreet(text)
        return Reply(reply.code, reply.lines, command, () if told == text else tuple(told.split("\n")))

    @property
    def _at_login(self) -> bool:
        return bool(self._waiting) and self._waiting[0].command in {"USER", "PASS", "ACCT"}

    def discreet(self, text: str) -> str:
        """Return text without the password, which some servers repeat: it will be shown, logged, remembered.

        One of a few letters is in many words, and is looked for only where it was just told. In a path of RFC 959 a
        quotation mark is written twice.
        """
        secret, written = self.secret, self._secret_in_paths
        if not secret or not (secret in text or written in text):
            return text
        if not (self._at_login or len(secret) >= _SHORTEST_HIDDEN):
            return text
        return text.replace(secret, _HIDDEN).replace(written, _HIDDEN)

    def break_off(self, why: str, said: str = "", *, by_server: bool = False) -> None:
        """Give the connection up; whoever waits on it is told why, what the server said, and whether that ended it."""
        if not self.broken:
            self.broken = ConnectionBroken(why, said, by_server=by_server)
        if self._watch:
            self._watch.cancel()
            self._watch = None
        self._leaving.clear()
        for expected in self._waiting:
            expected.end(self.broken)
        self._waiting.clear()
        if self.transport:
            self.transport.abort()

    # To the network.

    def expect(self, command: str, length: int = 0) -> Expected:
        """Expect a reply to what was sent, or to nothing in the case of the greeting."""
        if self.broken:
            raise self.broken
        expected = Expected(command, length)
        self._waiting.append(expected)
        self.in_flight += length
        return expected

    def send(self, *commands: str) -> list[Expected]:
        """Send commands in one write, perhaps with others, and expect a reply to each."""
        wire = [paths.encode(command) for command in commands]
        together = b"".join(wire)
        if b"\r" in together or b"\n" in together or b"\0" in together:
            raise ValueError("a command must not hold CR, LF or NUL")
        verbs = (command.partition(" ")[0] for command in commands)
        expected = [self.expect(verb, len(line) + 2) for verb, line in zip(verbs, wire, strict=True)]
        if not self._leaving:  # whoever waits for its turn to send gets it in the next round
            self._loop.call_soon(self._loop.call_soon, self.flush)
        self._leaving += wire
        return expected

    def flush(self) -> None:
        """Let what was sent leave now."""
        if self._leaving and self.transport:
            leaving, self._leaving = self._leaving, []
            self.transport.write(b"\r\n".join([*leaving, b""]))

    async def reply(self, expected: Expected, timeout_seconds: float | None = None) -> Reply:
        """Wait for a reply, for a bounded time; whoever gives up waiting leaves the connection out of step: broken."""
        if not expected.has_ended:
            self._watch_over(expected, timeout_seconds or self.timeout_seconds)
            try:
                await expected.reply
            except asyncio.CancelledError:
                self.break_off("it was interrupted")
                raise
        return self._settled(expected)

    async def replies(self, expected: Sequence[Expected]) -> list[Reply]:
        """Wait for several replies, for a bounded time each; most have come before anybody waits for them."""
        for each in expected:
            if not each.has_ended:
                await self.reply(each)
        return [self._settled(each) for each in expected]

    def _settled(self, expected: Expected) -> Reply:
        reply = expected.take()
        if self.broken and self.broken.reply not in {"", reply.text}:  # which reply answers what is not sure any more
            raise self.broken
        return reply

    async def begun(self, expected: Expected) -> None:
        """Wait until the server began to do something (a reply of 1xx), or answered; for a bounded time."""
        if not expected.has_begun:
            self._watch_over(expected, self.timeout_seconds)
            await expected.begun()
            expected.due = math.inf  # how long all of it takes is another matter

    def _watch_over(self, expected: Expected, seconds: float) -> None:
        expected.seconds = seconds
        expected.due = self._loop.time() + seconds
        if self._watch is None or self._watch.when() > expected.due:
            if self._watch:
                self._watch.cancel()
            self._watch = self._loop.call_at(expected.due, self._look_at_watch)

    def _look_at_watch(self) -> None:
        """Break off if a reply is overdue; else look again when the next one is due."""
        self._watch = None
        first = min(self._waiting, key=lambda each: each.due, default=None)
        if first is None or first.due == math.inf:
            return
        if first.due <= self._loop.time():
            self.break_off(f"the server was silent for {round(first.seconds, 1):g} s after {first.command}")
        else:
            self._watch = self._loop.call_at(first.due, self._look_at_watch)

    async def room(self, length: int) -> None:
        """Wait until so many bytes of commands may be sent."""
        while self.in_flight and self.in_flight + length > self.window and self._waiting:
            oldest = self._waiting[0]
            if oldest.due == math.inf:
                self._watch_over(oldest, self.timeout_seconds)
            await asyncio.wait({oldest.reply})
            if self.broken:
                raise self.broken


class _Reader(asyncio.StreamReader):
    """Hands what arrives straight to the control connection; nothing is ever left to be read from it."""

    def __init__(self, control: Control) -> None:
        super().__init__()
        self._control = control

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]  # typeshed asks for less than asyncio gives
        self._control.received(data)

    def feed_eof(self) -> None:
        self._control.break_off("the server closed the connection", by_server=True)
        super().feed_eof()

    def set_exception(self, exc: BaseException) -> None:
        self._control.alert = exc if isinstance(exc, ssl.SSLError) else None
        ended = isinstance(exc, ConnectionResetError)
        self._control.break_off(f"the connection was lost ({reason(exc)})", by_server=ended)


class _Protocol(asyncio.StreamReaderProtocol):
    """Ends with the server's end: in TLS nothing can be sent after it, and asyncio would warn of the wish to."""

    def eof_received(self) -> bool:
        super().eof_received()
        return False


class Client(aioftp.Client):
    """aioftp's client with our own control connection under it.

    Its own reader takes Latin-1 for an error, multi-line replies of any length, and one command at a time.
    """

    def __init__(self, control: Control, implicit: ssl.SSLContext | None = None) -> None:
        """Be a client over `control`, which gets its transport when `connect` is called: in TLS if it is `implicit`."""
        super().__init__(ssl=implicit)
        self.control = control

    async def _open_connection(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        loop = asyncio.get_running_loop()
        reader = _Reader(self.control)
        protocol = _Protocol(reader)
        greeting = self.control.expect(GREETING)
        self._greeting = greeting
        async with asyncio.timeout(self.control.timeout_seconds):
            transport, _ = await loop.create_connection(lambda: protocol, host, port, ssl=self.ssl)
        if hasattr(transport, "max_size"):
            transport.max_size = _READ_AT_MOST
        self.control.transport = transport
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Go on in TLS on the same connection. Raises OSError; ssl.SSLError is one."""
        writer = self.stream.writer
        async with asyncio.timeout(self.control.timeout_seconds):
            await writer.start_tls(context, server_hostname=self.server_host)
        self.control.transport = writer.transport  # type: ignore[assignment]  # of a connection it is no other kind

    async def command(
        self,
        command: str | None = None,
        expected_codes: str | tuple[str, ...] = (),
        wait_codes: str | tuple[str, ...] = (),
        censor_after: int | None = None,
    ) -> Any:
        """Do what aioftp's own method does; preliminary replies never come this far."""
        expected = self._greeting if command is None else self.control.send(command)[0]
        self.control.flush()
        reply = await self.control.reply(expected)
        code, told = Code(str(reply.code)), list(reply.told or reply.lines)
        accepted = (expected_codes,) if isinstance(expected_codes, str) else expected_codes
        if accepted:
            self.check_codes(tuple(Code(each) for each in accepted), code, told)
        return code, told
