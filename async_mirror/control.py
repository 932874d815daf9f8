"""The control connection: commands out, replies in, in order, bounded in time. Knows FTP's grammar, not its meaning."""

import asyncio
import ssl
from collections import deque
from typing import Any

import aioftp
from aioftp.common import Code

from async_mirror import names
from async_mirror.remote import ConnectionBroken
from async_mirror.replies import Reply, ReplyError, ReplyParser
from async_mirror.tls import reason

WINDOW = 1200
"""Bytes of commands in flight. ProFTPD 1.3.8 joins two commands when one of its reads ends between CR and LF."""


GREETING = "the connection was made"

_LONGEST_TOLD = 80
"""Characters of what is no reply that are told."""
_SHORTEST_HIDDEN = 4
_HIDDEN = "***"

_SUCCESS = {"EPSV": 229, "PASV": 227, "SIZE": 213, "RNFR": 350}
"""The one code with which a server says yes to these; another yes answers another command."""


class Expected:
    """A reply that is to come."""

    __slots__ = ("command", "length", "reply")

    def __init__(self, command: str, length: int) -> None:
        """Expect the reply to a command of so many bytes on the wire."""
        self.command = command
        self.length = length
        self.reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()


class Control:
    """What is under way on one control connection. Once `broken`, it stays so."""

    def __init__(self, timeout_seconds: float) -> None:
        """Begin without a transport; the first thing expected is whatever `expect` says."""
        self.timeout_seconds = timeout_seconds
        self.transport: asyncio.Transport | None = None
        self.broken: ConnectionBroken | None = None
        self.alert: ssl.SSLError | None = None
        self.in_flight = 0
        self.secret = ""
        self._waiting: deque[Expected] = deque()
        self._parser = ReplyParser()

    @property
    def peer(self) -> ssl.SSLObject | None:
        """The other end as TLS knows it, None without TLS."""
        found: ssl.SSLObject | None = self.transport.get_extra_info("ssl_object") if self.transport else None
        return found

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
            self.break_off(str(error), repr(names.shown(self.discreet(error.line)[:_LONGEST_TOLD])))

    def _on_reply(self, reply: Reply) -> None:
        reply = reply._replace(told=tuple(map(self.discreet, reply.lines)))
        if not self._waiting:
            closing = "the server closed the connection" if reply.code == 421 else "the server spoke unasked"
            self.break_off(closing, reply.text)
        elif reply.code >= 200:
            expected = self._waiting[0]
            if reply.code < 400 and _SUCCESS.get(expected.command, reply.code) != reply.code:
                self.break_off(f"the server's answers are out of step at {expected.command}", reply.text)
                return
            self._waiting.popleft()
            self.in_flight -= expected.length
            if not expected.reply.done():
                expected.reply.set_result(reply._replace(command=expected.command))
            if reply.code == 421 and expected.command != GREETING:
                self.break_off("the server closed the connection", reply.text)

    @property
    def _at_login(self) -> bool:
        return bool(self._waiting) and self._waiting[0].command in {"USER", "PASS", "ACCT"}

    def discreet(self, text: str) -> str:
        """Return text without the password, which some servers repeat: it will be shown, logged, remembered.

        One of a few letters is in many words, and is looked for only where it was just told. In a path of RFC 959 a
        quotation mark is written twice.
        """
        secret = self.secret.strip()
        if not secret or not (self._at_login or len(secret) >= _SHORTEST_HIDDEN):
            return text
        return text.replace(secret, _HIDDEN).replace(secret.replace('"', '""'), _HIDDEN)

    def break_off(self, why: str, said: str = "") -> None:
        """Give the connection up; whoever waits on it is told why, and what the server said."""
        if not self.broken:
            self.broken = ConnectionBroken(why, said)
        for expected in self._waiting:
            if not expected.reply.done():
                expected.reply.set_exception(self.broken)
                expected.reply.exception()
        self._waiting.clear()
        if self.transport:
            self.transport.abort()

    # To the network.

    def expect(self, command: str, length: int = 0) -> Expected:
        """Expect a reply to what was sent, or to nothing in the case of the greeting."""
        expected = Expected(command, length)
        if self.broken:
            raise self.broken
        self._waiting.append(expected)
        self.in_flight += length
        return expected

    def send(self, *commands: str) -> list[Expected]:
        """Send commands in one write and expect a reply to each."""
        assert self.transport is not None
        wire = [names.encode(command) + b"\r\n" for command in commands]
        for line in wire:
            if b"\r" in line[:-2] or b"\n" in line[:-2] or b"\0" in line:
                raise ValueError("a command must not hold CR, LF or NUL")
        expected = [
            self.expect(command.partition(" ")[0], len(line)) for command, line in zip(commands, wire, strict=True)
        ]
        self.transport.write(b"".join(wire))
        return expected

    async def reply(self, expected: Expected, timeout_seconds: float | None = None) -> Reply:
        """Wait for a reply, for a bounded time; whoever gives up waiting leaves the connection out of step: broken."""
        seconds = timeout_seconds or self.timeout_seconds
        try:
            async with asyncio.timeout(seconds):
                reply = await expected.reply
        except TimeoutError:
            self.break_off(f"the server was silent for {round(seconds, 1):g} s after {expected.command}")
            assert self.broken is not None
            raise self.broken from None
        except asyncio.CancelledError:
            self.break_off("it was interrupted")
            raise
        spoke_on = self.broken is not None and self.broken.reply not in {"", reply.text}
        if self.broken and spoke_on:  # which reply answers what is not sure any more
            raise self.broken
        return reply

    async def room(self, length: int) -> None:
        """Wait until so many bytes of commands may be sent."""
        while self.in_flight and self.in_flight + length > WINDOW and self._waiting:
            oldest = self._waiting[0]
            await asyncio.wait({oldest.reply}, timeout=self.timeout_seconds)
            if not oldest.reply.done():
                self.break_off(f"the server was silent for {self.timeout_seconds:g} s after {oldest.command}")
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
        self._control.break_off("the server closed the connection")
        super().feed_eof()

    def set_exception(self, exc: BaseException) -> None:
        self._control.alert = exc if isinstance(exc, ssl.SSLError) else None
        self._control.break_off(f"the connection was lost ({reason(exc)})")


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
        reply = await self.control.reply(expected)
        code, told = Code(str(reply.code)), list(reply.told)
        accepted = (expected_codes,) if isinstance(expected_codes, str) else expected_codes
        if accepted:
            self.check_codes(tuple(Code(each) for each in accepted), code, told)
        return code, told
