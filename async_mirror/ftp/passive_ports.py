"""Ports where the server waits for a data connection: asked for, asked for ahead, tried. Knows EPSV and PASV.

A kind of port (EPSV or PASV) that was not reached within the hour is tried: connected to before any transfer is begun,
for a short time, and the other kind after it. A firewall may know only one of them.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, NamedTuple

from async_mirror.ftp.known.features import Features
from async_mirror.ftp.known.rungs import AHEAD
from async_mirror.ftp.wire.control import AwaitedReply, Control
from async_mirror.ftp.wire.data import Data
from async_mirror.ftp.wire.replies import Refused, Reply, parse_epsv, parse_pasv, parse_pasv_address
from async_mirror.remote.errors import ConnectionBroken, NoPort, Refusal

PORT_LASTS_S = 5.0
"""How long a port is used that was asked for ahead: servers close it again, firewalls forget it."""

Address = tuple[Any, ...]


class SessionSpent(Exception):
    """What was tried left the session out of step, silent, or cut; the next one knows better."""


class Port(NamedTuple):
    """A port to be connected to, of a kind; `ahead` if it was asked for before its transfer could begin.

    `generation` is that of the rung at that time. `data` is connected to it already, or None.
    """

    command: str
    address: Address
    ahead: bool = False
    generation: int = 0
    data: Data | None = None

    @property
    def number(self) -> int:
        """The port itself."""
        return int(self.address[1])


class _Asked(NamedTuple):
    pending: AwaitedReply
    at: float
    generation: int


class PassivePorts:
    """The ports of one session. If `believed`, the address in a reply to PASV is used, else always the server's."""

    def __init__(
        self, control: Control, features: Features, new_data: Callable[[], Data], *, believed: bool = False
    ) -> None:
        """Begin with no port; `new_data` makes what connects to one."""
        self._control = control
        self._features = features
        self._new_data = new_data
        self._believed = believed
        self._asked: _Asked | None = None
        self._latest: AwaitedReply | None = None
        self._kept: tuple[Port, float] | None = None
        self._loop = asyncio.get_running_loop()

    def ask_ahead(self, pending: AwaitedReply) -> None:
        """Take note of a request for the port of the next transfer, which was sent with something else."""
        self._latest = pending
        self._asked = _Asked(pending, self._loop.time(), self._features.known.generations[AHEAD])

    @property
    def awaited(self) -> AwaitedReply | None:
        """The request for a port that went behind a listing and was not answered yet, before whatever follows."""
        return self._asked.pending if self._asked and not self._asked.pending.has_ended else None

    @property
    def are_refused(self) -> bool:
        """True if the last port that was asked for was refused, for there is none for this session."""
        outcome = self._latest.outcome if self._latest else None
        return isinstance(outcome, Reply) and _is_of_session(outcome)

    async def take(self) -> Port:
        """Return a port for a transfer: one that was asked for ahead, or a new one.

        Raises Refusal if none can be reached, NoPort if the server has none for this session.
        """
        if kept := self._take_kept():
            return kept
        asked, self._asked = self._asked, None
        if asked and self._loop.time() - asked.at < PORT_LASTS_S:
            reply = await self._control.reply(asked.pending, self._features.path.patience_s)
            command = asked.pending.command
            if command in self._features.known.reached and (address := self._address_in(reply)):
                return Port(command, address, True, asked.generation)
        return await self._new()

    async def try_kind(self) -> None:
        """See, before any transfer, which kind of port can be reached, if that is not known; keep the connection.

        If none can, nothing is learned: the first transfer tells of it. Raises NoPort, and SessionSpent if the server
        does nothing more until a client connects to a port that cannot be reached.
        """
        if not self._features.reaches(self._features.passive_command):
            asked, self._asked = self._asked, None
            with suppress(Refusal):
                self._kept = await self._reached_or_spent(asked and asked.pending), self._loop.time()

    def close(self) -> None:
        """Let go of a connection that no transfer came for, cleanly: there are servers that a reset ends."""
        if self._kept and self._kept[0].data:
            self._kept[0].data.close()
        self._kept = None

    def _take_kept(self) -> Port | None:
        if self._kept is None:
            return None
        port, at = self._kept
        if self._loop.time() - at < PORT_LASTS_S:
            self._kept = None
            return port
        self.close()
        return None

    async def _new(self) -> Port:
        command = self._features.passive_command
        if self._features.reaches(command) and (address := await self._ask(command)):
            return Port(command, address)
        return await self._reached()

    async def _reached(self, asked: AwaitedReply | None = None) -> Port:
        """Connect to a port of the first kind that can be reached, and keep in mind which that was."""
        unreached: dict[str, str] = {}
        for command in self._features.known.passive:
            address = await (self._ask_again(command, unreached) if unreached else self._ask(command, asked))
            asked = None
            if address is None:
                continue
            data = self._new_data()
            try:
                await data.connect(address, self._features.path.patience_for_data_s)
            except (OSError, TimeoutError) as error:
                data.reset()
                unreached[command] = f"no data connection to port {address[1]}: {str(error) or 'time-out'}"
            except BaseException:
                data.reset()
                raise
            else:
                self._features.path.reached(command, unreached)
                return Port(command, address, data=data)
        raise Refusal("; ".join(unreached.values()), transient=True)

    async def _reached_or_spent(self, asked: AwaitedReply | None) -> Port:
        try:
            return await self._reached(asked)
        except NoPort:
            raise
        except ConnectionBroken:
            if self._features.path.was_in_vain(self._features.known.passive[-1]):
                raise SessionSpent from None
            raise

    # What the server says.

    async def _ask_again(self, command: str, unreached: Iterable[str]) -> Address | None:
        """Ask for a port of another kind than those that were not reached, and bear in mind if that is of no use."""
        try:
            return await self._ask(command, patience_s=self._features.path.patience_s)
        except ConnectionBroken:
            self._features.path.in_vain(unreached)
            raise

    async def _ask(
        self, command: str, asked: AwaitedReply | None = None, patience_s: float | None = None
    ) -> Address | None:
        """Ask for a port, unless that was done; None if the server does not know this way of asking."""
        pending = self._latest = asked or self._control.send(command)[0]
        reply = await self._control.reply(pending, patience_s)
        if address := self._address_in(reply):
            return address
        if command == "PASV" or reply.transient:
            raise Refused(reply)
        self._features.lack(command)
        return None

    def _address_in(self, reply: Reply) -> Address | None:
        """Return where to connect to: the control connection's own address, whatever the server says of addresses.

        None if the reply names no port; raises NoPort if that is because there is none for this session.
        """
        if _is_of_session(reply):
            self._control.break_off("the server has no free data port", reply.text)
            raise NoPort("the server has no free data port", reply.text)
        assert self._control.transport is not None
        address = self._control.transport.get_extra_info("peername")
        if reply.code == 229 and (port := parse_epsv(reply)):
            return (address[0], port, *address[2:])
        if reply.code == 227 and (port := parse_pasv(reply)):
            return (parse_pasv_address(reply), port) if self._believed else (address[0], port, *address[2:])
        return None


def _is_of_session(reply: Reply) -> bool:
    """Tell whether a refusal of a port is about the session: vsftpd says 500 OOPS when all ports are taken."""
    return reply.code >= 400 and (reply.code == 425 or reply.is_farewell)
