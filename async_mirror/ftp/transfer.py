"""Transfers over one session: files and listings, one at a time, each over a data connection. Knows no other command.

Where the server does its commands strictly one after the other, what follows a file's STOR is sent along with it: its
SIZE, and the EPSV for the next file. So the port of the next data connection is known before it is needed, and a small
file costs two round trips. Nothing else is written between a STOR and its 226.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple, NoReturn

from async_mirror.ftp.control import AwaitedReply, Control, ControlLock, length_of
from async_mirror.ftp.data import Data, SecureData
from async_mirror.ftp.listing import ListingParser
from async_mirror.ftp.replies import Reply, parse_epsv, parse_pasv
from async_mirror.ftp.reply_flow import OutOfStep
from async_mirror.ftp.tls import Tls, concerns_trust, reason
from async_mirror.remote.errors import ConnectionBroken, ContentFailedError, LedElsewhere, Refusal, Untrusted
from async_mirror.remote.session import Content, Manners

PORT_LASTS_S = 5.0
"""How long a port is used that was asked for in advance: servers close it again, firewalls forget it."""
_SEND_BUFFER = 4 * 1024 * 1024
_EXPLANATION_SECONDS = 5.0
_FOLLOWS_WITHIN_S = 1.0
"""How long to wait, after a refusal, for what was sent along with the refused command: it tells whether that was it."""
_DATA_CONNECTION = "the data connection"
_PROBE = ["NOOP"]


class Refused(Refusal):
    """The server said no to a command."""

    def __init__(self, answer: Reply) -> None:
        """Tell to which, and keep what it said."""
        what = f"the server answered {answer.command} with"
        super().__init__(
            what,
            answer.text,
            transient=answer.transient,
            no_space=answer.no_space,
            perhaps_full=answer.code == 451 and answer.command == "STOR" and not answer.no_space,
        )
        self.answer = answer


class Transfers:
    """The one data connection that a session may have at a time, and the right to the control connection meanwhile."""

    def __init__(self, control: Control, host: str, tls: Tls | None, manners: Manners) -> None:
        """Begin with a session that is logged in; `host` is whose certificate data connections are to show."""
        self.sequential = False
        self._control = control
        self._host = host
        self._tls = tls
        self._manners = manners
        self._ticket: ssl.SSLSession | None = None
        self._extended_passive = True
        self._ahead: AwaitedReply | None = None
        self._asked_at = 0.0
        self._loop = asyncio.get_running_loop()
        self.lock = ControlLock()

    # The right to the control connection.

    @property
    def is_free(self) -> bool:
        """True while nothing is transferred."""
        return self.lock.is_free

    async def until_free(self) -> None:
        """Wait until a command may be written."""
        await self.lock.until_free()

    # Ports.

    @property
    def _passive_command(self) -> str:
        return "EPSV" if self._extended_passive else "PASV"

    def _ask_ahead(self, expected: AwaitedReply) -> None:
        self._ahead = expected
        self._asked_at = self._loop.time()

    async def _port(self) -> int:
        """Return a port where the server waits: one that was asked for in advance, or a new one."""
        ahead, self._ahead = self._ahead, None
        if ahead and self._loop.time() - self._asked_at < PORT_LASTS_S:
            reply = await self._control.reply(ahead)
            if port := parse_epsv(reply) if reply.code == 229 else parse_pasv(reply) if reply.code == 227 else None:
                return port
        return await self._new_port()

    async def _new_port(self) -> int:
        if self._extended_passive:
            reply = await self._control.reply(self._control.send("EPSV")[0])
            if reply.code == 229 and (port := parse_epsv(reply)):
                return port
            if reply.transient:
                raise Refused(reply)
            self._extended_passive = False
        reply = await self._control.reply(self._control.send("PASV")[0])
        if reply.code == 227 and (port := parse_pasv(reply)):
            return port
        raise Refused(reply)

    # Data connections.

    def _new_data(self) -> Data:
        """Make what will connect to the control connection's own address, whatever the server says of addresses."""
        assert self._control.transport is not None
        address = self._control.transport.get_extra_info("peername")
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        seconds = self._control.timeout_seconds
        try:
            if self._tls is None:
                return Data(family, seconds)
            peer = self._control.peer
            assert peer is not None
            if self._ticket is None or not self._ticket.has_ticket:  # in TLS 1.3 it comes some time after the handshake
                self._ticket = peer.session
            return SecureData(family, seconds, self._tls.context, self._host, self._ticket)
        except OSError as error:
            raise Refusal(f"no data connection can be made: {error.strerror}", transient=True) from None

    async def _begin(self, command: str, after: list[str]) -> "_Begun":
        """Send a transfer's command, with as much of what comes `after` it as this server takes in the same write."""
        port = await self._port()
        data = self._new_data()
        try:
            along = self._goes_along(command, after)
            await self._control.room(min(length_of(command, *along), self._control.window))
            expected, *following = self._control.send(command, *along)
            self._control.flush()
        except BaseException:
            data.reset()
            raise
        if along == after:
            self._ask_ahead(following[-1])
        return _Begun(data, port, expected, along, following)

    def _goes_along(self, command: str, after: list[str]) -> list[str]:
        along = after if self._manners.in_order else [] if self._manners.in_order is False else _PROBE
        return [] if self.sequential or length_of(command, *along) > self._control.window else along

    async def _learn(self, begun: "_Begun") -> None:
        """Note whether the server did one thing after the other, if that was not known."""
        if begun.along == _PROBE:
            reply = await self._control.reply(begun.following[0])
            self._manners.in_order = reply.succeeded and not self._control.flow.overtaken

    @contextmanager
    def _in_step(self) -> Iterator[None]:
        """Take note of a server whose replies turn out not to be in order."""
        try:
            yield
        except OutOfStep:
            self._manners.in_order = False
            raise

    async def _open(self, begun: "_Begun") -> None:
        """Connect to where the server waits; the command is sent already."""
        data, port, expected, *_ = begun
        assert self._control.transport is not None
        address = self._control.transport.get_extra_info("peername")
        try:
            data.heed(expected.reply)
            await data.open((address[0], port, *address[2:]))
            if self._tls and isinstance(data, SecureData):
                self._tls.check(data.peer, _DATA_CONNECTION)
        except (ssl.SSLError, Untrusted) as error:
            data.reset()
            if isinstance(data, SecureData) and (isinstance(error, Untrusted) or concerns_trust(error)):
                self._distrust(error, data.peer)
            await self._explain(begun, f"no data connection to port {port}: {reason(error)}")
        except (OSError, TimeoutError) as error:
            data.reset()
            await self._explain(begun, f"no data connection to port {port}: {str(error) or 'time-out'}")
        except BaseException:
            data.reset()
            self._control.break_off("it was interrupted")
            raise

    def _distrust(self, error: ssl.SSLError | Untrusted, peer: ssl.SSLObject) -> NoReturn:
        """End the session because of whom a data connection leads to; the next session is not opened either."""
        assert self._tls is not None
        doubt = self._tls.distrust(_DATA_CONNECTION, error, peer)
        self._control.break_off(str(doubt))
        raise LedElsewhere(str(doubt))

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
        if reply.code in {425, 522} and self._tls:
            self._control.break_off("the server does not take the data connection", reply.text)
            raise ConnectionBroken("the server does not take the data connection", reply.text)
        if not reply.succeeded:
            if begun.following:
                await asyncio.wait([each.reply for each in begun.following], timeout=_FOLLOWS_WITHIN_S)
            if self._control.broken:
                raise self._control.broken
            raise Refused(reply)

    # Files.

    async def store(
        self, command: str, size_command: str, content: Content, left: Callable[[], None]
    ) -> tuple[Reply, Reply | None]:
        """Send a file, and return the reply to that, and to `size_command` if there is one.

        Raises Refused, Refusal for a data connection that failed, ConnectionBroken, and whatever `content` raises.
        """
        async with self.lock:
            with self._in_step():
                after = [each for each in (size_command, self._passive_command) if each]
                begun = await self._begin(command, after)
                await self._send_content(begun, content, left)
                reply = await self._control.reply(begun.expected, self._patience(content.size))
                await self._check(begun, reply)
                await self._learn(begun)
                following = begun.following
                if begun.along != after:
                    following = self._control.send(*(after[:-1] if self.sequential else after))
                    if not self.sequential:
                        self._ask_ahead(following[-1])
                answers = await self._control.replies(following)
                return reply, answers[0] if size_command else None

    async def _send_content(self, begun: "_Begun", content: Content, left: Callable[[], None]) -> None:
        await self._open(begun)
        data = begun.data
        try:
            if not self._manners.in_order:  # pyftpdlib loses what comes and ends before it has read the command
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
            self._control.break_off("it was interrupted")
            raise
        data.close()

    def _patience(self, size: int) -> float:
        """Return how long the last reply may take: what the kernel still holds must leave, the server must flush."""
        return self._control.timeout_seconds + min(size, _SEND_BUFFER) / 32_768 + size / 20e6

    # Listings.

    async def fetch(self, command: str, listing: ListingParser) -> tuple[Reply, bool]:
        """Give `listing` what a command sends over its data connection; return its reply, and whether that was all."""
        async with self.lock:
            with self._in_step():
                begun = await self._begin(command, [self._passive_command])
                early = self._tls is None and self._manners.in_order is True and self._manners.bears_early_end
                try:
                    await self._open(begun)
                    await self._receive(begun, listing, early)
                except Refused as refused:  # which the end of the data connection may tell of first
                    reply = refused.answer
                else:
                    reply = await self._control.reply(begun.expected)
                if early and reply.transient:
                    self._manners.bears_early_end = False
                await self._learn(begun)
                return reply, begun.data.whole

    async def _receive(self, begun: "_Begun", listing: ListingParser, early: bool) -> None:
        """Take all that comes. ProFTPD says 226 only after our end, which may come `early`: at once."""
        data = begun.data
        try:
            if early:
                await data.finish()
            while not listing.endless and (block := await data.receive()):
                listing.feed(block)
                await asyncio.sleep(0)  # receiving what is there already lets nobody else run
            with suppress(OSError):  # it has all been received
                await data.finish()
        except (OSError, TimeoutError) as error:
            data.reset()
            await self._explain(begun, f"the data connection failed: {str(error) or 'time-out'}")
        except BaseException:
            data.reset()
            self._control.break_off("it was interrupted")
            raise
        data.close()
        if listing.endless:
            self._control.break_off("the server sent an endless listing")


class _Begun(NamedTuple):
    """A transfer whose command is sent, `along` with others whose replies are `following`."""

    data: Data
    port: int
    expected: AwaitedReply
    along: list[str]
    following: list[AwaitedReply]
