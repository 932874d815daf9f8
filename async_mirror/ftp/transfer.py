"""Transfers over one session: files and listings, one at a time, each over a data connection. Knows no other command.

Where the server does its commands strictly one after the other, what follows a file's STOR is sent along with it: its
SIZE, and the EPSV for the next file. So the port of the next data connection is known before it is needed, and a small
file costs two round trips. Nothing else is written between a STOR and its 226.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple, NoReturn, Protocol

from async_mirror.ftp.data_connections import DataConnections
from async_mirror.ftp.known import quirks
from async_mirror.ftp.known.features import Features
from async_mirror.ftp.known.rungs import AHEAD, BEHIND, TOGETHER, Rung
from async_mirror.ftp.passive_ports import PassivePorts, Port
from async_mirror.ftp.wire.control import AwaitedReply, Control, ControlLock, length_of
from async_mirror.ftp.wire.data import Data, SecureData
from async_mirror.ftp.wire.replies import Refused, Reply
from async_mirror.ftp.wire.reply_flow import OutOfStep
from async_mirror.ftp.wire.tls import Tls, reason
from async_mirror.remote.errors import (
    ConnectionBroken,
    ContentFailedError,
    LedElsewhere,
    NoPort,
    PerhapsTooQuick,
    Refusal,
    TooQuick,
    Untrusted,
)
from async_mirror.remote.session import Content

_SEND_BUFFER = 4 * 1024 * 1024
_EXPLANATION_SECONDS = 5.0
_FOLLOWS_WITHIN_S = 1.0
"""How long to wait, after a refusal, for what was sent along with the refused command: it tells whether that was it."""
_PROBE = ["NOOP"]
_PASSIVE = ("EPSV", "PASV")

_Lost = TooQuick | PerhapsTooQuick | NoPort
"""Ends of a session that are no failure of what was asked for."""


class Sink(Protocol):
    """Takes what a server sends over a data connection."""

    what: str
    """What it is: a listing, or a file."""
    endless: bool
    """True once that is longer than any honest answer; nothing more is taken then."""

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        ...


class Transfers:
    """The one data connection that a session may have at a time, and the right to the control connection meanwhile."""

    def __init__(
        self, control: Control, host: str, tls: Tls | None, features: Features, *, pasv_address_believed: bool = False
    ) -> None:
        """Begin with a session that is logged in; `host` is whose certificate data connections are to show."""
        self._control = control
        self._features = features
        self._connections = DataConnections(control, host, tls)
        self._lost: _Lost | None = None
        self.ports = PassivePorts(control, features, self._connections.new, believed=pasv_address_believed)
        self.lock = ControlLock()

    # The right to the control connection.

    def judge(self, broken: ConnectionBroken, rung: int, generation: int) -> ConnectionBroken:
        """Return what it means that a session broke after a write in the manner of a rung (0 for none): note it.

        A conclusive oddity gives the rung back, and what was asked is to be asked again, more slowly; anything else is
        a doubt, and a doubt comes seldom twice. Neither is a failure of what was asked for.
        """
        if isinstance(broken, LedElsewhere):
            return broken
        if self._lost and self._control.broken:  # by another one, whom this session served, too
            return type(self._lost)(str(self._lost), self._lost.reply, by_server=broken.by_server)
        judged = broken if isinstance(broken, _Lost) else self._judged(broken, rung, generation)
        if isinstance(judged, _Lost):
            self._lost = judged
        return judged

    def _judged(self, broken: ConnectionBroken, rung: int, generation: int) -> ConnectionBroken:
        if self.ports.are_refused:
            return NoPort("the server has no free data port", broken.reply)
        if not rung:
            return broken
        if isinstance(broken, OutOfStep):
            self._features.rungs.give_back(Rung(rung), generation)
            return TooQuick(str(broken), broken.reply)
        if self._features.rungs.doubt(Rung(rung)):
            return TooQuick(str(broken), broken.reply, by_server=broken.by_server)
        perhaps = PerhapsTooQuick(str(broken), broken.reply, by_server=broken.by_server)
        perhaps.advice = broken.advice
        return perhaps

    # Data connections.

    async def _begin(self, command: str, along: list[str], before: str = "") -> "_Begun":
        """Send a transfer's command, with what goes `before` it and `along` in the same write if there is room."""
        asked = await self._ask(before, command) if before else None
        port = await self.ports.take()
        data = port.data or self._connections.new()
        try:
            first = [before] if before and not asked else []
            length = length_of(*first, command, *along)
            if length > self._control.window:
                along, length = [], length_of(*first, command)
            await self._control.room(min(length, self._control.window))
            sent = self._control.send(*first, command, *along)
            self._control.flush()
            asked = sent.pop(0) if first else asked
            expected, *following = sent
        except BaseException:
            data.reset()
            raise
        rung = BEHIND if along else AHEAD if port.ahead else TOGETHER if first else 0
        begun = _Begun(data, port, expected, along, following, rung, self._features.known.generations[rung], asked)
        if along and along[-1] in _PASSIVE:
            self.ports.ask_ahead(following[-1])
        return begun

    async def _ask(self, question: str, command: str) -> AwaitedReply | None:
        """Ask something by itself, and wait for the reply, unless it may go in one write with a command.

        Nothing comes between a port and its transfer where ports are not asked for ahead.
        """
        if self._features.known.level >= AHEAD and length_of(question, command) <= self._control.window:
            return None
        await self._control.room(self._control.window)
        (asked,) = self._control.send(question)
        await asyncio.wait({asked.reply}, timeout=self._control.timeout_seconds)
        return asked

    async def _open(self, begun: "_Begun") -> None:
        """Connect to where the server waits; the command is sent already."""
        data, port = begun.data, begun.port
        try:
            data.heed(begun.expected.reply)
            await data.open(port.address)
            if isinstance(data, SecureData):
                self._connections.check(data)
        except (ssl.SSLError, Untrusted) as error:
            data.reset()
            self._connections.distrust(data, error)
            await self._explain(begun, f"no data connection to port {port.number}: {reason(error)}")
        except (OSError, TimeoutError) as error:
            data.reset()
            self._features.path.doubt(port.command)
            await self._explain(begun, f"no data connection to port {port.number}: {str(error) or 'time-out'}")
        except BaseException:
            data.reset()
            self._control.break_off("interrupted")
            raise

    async def _explain(self, begun: "_Begun", what: str) -> NoReturn:
        """Raise for a data connection that failed: by the server's own word if it comes soon, else the session ends."""
        if self._control.broken:  # and this is why
            raise self._control.broken
        try:
            reply = await self._control.reply(begun.expected, self._briefly)
        except ConnectionBroken as error:
            raise ConnectionBroken(what, error.reply, by_server=error.by_server) from None
        await self._check(begun, reply)
        raise Refusal(what, reply.text, transient=True)

    @property
    def _briefly(self) -> float:
        return min(_EXPLANATION_SECONDS, self._control.timeout_seconds)

    async def _check(self, begun: "_Begun", reply: Reply) -> None:
        """Raise if a transfer was refused; in TLS a new session may be what is missing, as after an hour or two.

        Whether it was indeed the transfer is seen from the replies to what was sent along.
        """
        if reply.code in {425, 522} and self._connections.tls:
            self._control.break_off("the server refused the data connection", reply.text)
            raise ConnectionBroken("the server refused the data connection", reply.text, by_server=True)
        if not reply.succeeded:
            if begun.following:
                await asyncio.wait([each.reply for each in begun.following], timeout=_FOLLOWS_WITHIN_S)
            if self._control.broken:
                raise self._control.broken
            if quirks.is_void_port(reply):
                self._give_port_back(begun, reply)
            raise Refused(reply)

    def _give_port_back(self, begun: "_Begun", reply: Reply) -> None:
        """Raise for a port that turned out void: another one may do. One asked for ahead tells of the server's ways."""
        if begun.port.ahead and reply.code != 425:
            self._features.rungs.give_back(AHEAD, begun.port.generation)
        elif begun.port.ahead:
            self._features.rungs.doubt(AHEAD)
            self._control.break_off("the server refused the data connection", reply.text)
        elif reply.code == 425:
            return
        raise TooQuick("the server closed the data port", reply.text, by_server=True)

    # Files.

    async def store(
        self, command: str, size_command: str, content: Content, left: Callable[[], None], before: str = ""
    ) -> tuple[Reply, Reply | None, Reply | None]:
        """Send a file, and return the reply to that, to `size_command`, and to what is asked `before`, if anything is.

        Raises Refused, Refusal for a data connection that failed, ConnectionBroken, and whatever `content` raises.
        """
        async with self.lock:
            known = self._features.known
            after = [size_command] if size_command else []
            after += known.passive[:1] if known.level >= AHEAD else ()
            proves = known.level < BEHIND and self._features.rungs.may_prove(BEHIND)
            along = _PROBE if proves else after if known.level >= BEHIND else []
            rung, generation = 0, 0
            try:
                begun = await self._begin(command, along, before)
                rung, generation = begun.rung, begun.generation
                await self._send_content(begun, content, left)
                reply = await self._control.reply(begun.expected, self._patience(content.size))
                await self._check(begun, reply)
                if proves:
                    await self._prove_behind(begun)
                answers = await self._answers(begun, after)
                told = await self._control.reply(begun.asked) if begun.asked else None
            except ConnectionBroken as broken:
                raise self.judge(broken, rung, generation) from None
            finally:
                if proves:
                    self._features.rungs.release(BEHIND)
            return reply, answers[0] if size_command else None, told

    async def _answers(self, begun: "_Begun", after: list[str]) -> list[Reply | None]:
        """Return the replies to what follows a file; those that did not go along are asked for now.

        What was swallowed behind the transfer (Pure-FTPd says 500 to that) counts as not asked.
        """
        if after and begun.along == after:
            self._features.rungs.passed(BEHIND)
            replies = await self._control.replies(begun.following, self._features.path.patience_s)
            return [None if each.unknown_command else each for each in replies]
        following = self._control.send(*after) if after else []
        if following and after[-1] in _PASSIVE:
            self.ports.ask_ahead(following[-1])
        return list(await self._control.replies(following))

    async def _prove_behind(self, begun: "_Begun") -> None:
        """Note whether the server did one thing after the other: NOOP behind a transfer is answered after that."""
        if not begun.following:  # there was no room for it in one write
            return
        noop = begun.following[0]
        await asyncio.wait({noop.reply}, timeout=self._features.path.patience_s)
        if noop.has_ended:
            holds = noop.take().code == 200 and not self._control.flow.overtaken
            self._features.rungs.proved(BEHIND, holds=holds)
        else:
            self._features.rungs.proved(BEHIND, holds=False)
            self._control.break_off("the server was silent after NOOP")
            raise TooQuick("no reply to a command sent during a transfer")

    async def _send_content(self, begun: "_Begun", content: Content, left: Callable[[], None]) -> None:
        await self._open(begun)
        data = begun.data
        try:
            if self._features.known.level < BEHIND:  # pyftpdlib loses what comes and ends before it reads the command
                await self._control.begun(begun.expected)
            await data.send(content)
            left()
            await data.drain()
        except (OSError, TimeoutError) as error:
            data.reset()
            await self._explain(begun, f"the data connection failed: {str(error) or 'time-out'}")
        except ContentFailedError as failed:
            data.reset()
            with suppress(ConnectionBroken):
                await self._control.reply(begun.expected, self._briefly)
            raise failed.error from None
        except BaseException:
            data.reset()
            self._control.break_off("interrupted")
            raise
        data.close()

    def _patience(self, size: int) -> float:
        """Return how long the last reply may take: what the kernel still holds must leave, the server must flush."""
        return self._control.timeout_seconds + min(size, _SEND_BUFFER) / 32_768 + size / 20e6

    # Listings.

    async def fetch(self, command: str, sink: Sink) -> tuple[Reply, bool]:
        """Give `sink` what a command sends over its data connection; return its reply, and whether that was all."""
        async with self.lock:
            quick = self._features.known.level >= BEHIND
            rung, generation = 0, 0
            early = (
                quick
                and sink.what == "listing"
                and self._connections.tls is None
                and not self._features.lacks(quirks.EARLY_END)
            )
            try:
                begun = await self._begin(command, [self._features.passive_command] if quick else [])
                rung, generation = begun.rung, begun.generation
                reply = await self._fetched(begun, sink, early=early)
                if early and reply.transient:
                    self._features.lack(quirks.EARLY_END)
                elif quirks.is_void_port(reply):
                    self._give_port_back(begun, reply)
            except ConnectionBroken as broken:
                raise self.judge(broken, rung, generation) from None
            return reply, begun.data.whole

    async def _fetched(self, begun: "_Begun", sink: Sink, *, early: bool) -> Reply:
        try:
            await self._open(begun)
            await self._receive(begun, sink, early)
        except Refused as refused:  # which the end of the data connection may tell of first
            return refused.answer
        return await self._control.reply(begun.expected)

    async def _receive(self, begun: "_Begun", sink: Sink, early: bool) -> None:
        """Take all that comes. ProFTPD says 226 only after our end, which may come `early`: at once."""
        data = begun.data
        try:
            if early:
                await data.finish()
            while not sink.endless and (block := await data.receive()):
                sink.feed(block)
                await asyncio.sleep(0)  # receiving what is there already lets nothing else run
                if isinstance(sink, Taken):
                    await sink.may_read(len(block))
            with suppress(OSError):  # it has all been received
                await data.finish()
        except (OSError, TimeoutError) as error:
            data.reset()
            await self._explain(begun, f"the data connection failed: {str(error) or 'time-out'}")
        except BaseException:
            data.reset()
            self._control.break_off("interrupted")
            raise
        data.close()
        if sink.endless:
            self._control.break_off(f"the server sent an endless {sink.what}")


class Taken:
    """Hands the bytes of a file on, up to a number of them; `may_read` is awaited after each block."""

    what = "file"

    def __init__(self, most: int, take: Callable[[bytes], None], may_read: Callable[[int], Awaitable[None]]) -> None:
        """Hand on to `take`."""
        self.endless = False
        self._left = most
        self._take = take
        self.may_read = may_read

    def feed(self, data: bytes) -> None:
        """Hand the next bytes on."""
        self._left -= len(data)
        self.endless = self._left < 0
        self._take(data)


class _Begun(NamedTuple):
    """A transfer whose command is sent, `along` with others whose replies are `following`; `asked` went before it.

    `rung` is its manner, 0 for none, and `generation` that of the rung.
    """

    data: Data
    port: Port
    expected: AwaitedReply
    along: list[str]
    following: list[AwaitedReply]
    rung: int
    generation: int
    asked: AwaitedReply | None
