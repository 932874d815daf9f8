"""The hash of a file, as the server tells it: asked for in the ways that it offers, the strongest first."""

from async_mirror.ftp.exchange import Exchange
from async_mirror.ftp.lookup import Lookup
from async_mirror.ftp.wire.hashes import HashCommand, offered, parse_hash
from async_mirror.ftp.wire.replies import Reply
from async_mirror.remote.errors import ConnectionBroken
from async_mirror.remote.session import SiteHash

_HASHED_BYTES_PER_S = 20e6


class SiteHashes:
    """Asks for hashes over one session."""

    def __init__(self, exchange: Exchange, lookup: Lookup) -> None:
        """Ask by an exchange."""
        self._exchange = exchange
        self._features = exchange.features
        self._lookup = lookup
        self._chosen = ""

    async def hash_of(self, path: str, size: int) -> SiteHash | None:
        """Ask by HASH, XSHA256, XSHA1, XMD5 or XCRC, whichever is offered and not known to tell what is wrong."""
        for command in offered(self._features.identity.offers):
            stands = self._features.hash_stands(command.name)
            if stands < 0 or self._features.lacks(command.name):
                continue
            reply = await self._ask_hash(command, path, size, is_proved=stands > 0)
            if value := parse_hash(reply, command.algorithm):
                return SiteHash(command.algorithm, value, command.name, is_proved=stands > 0)
            if stands == 0 and await self._lookup.size(path) is not None:
                self._features.lack(command.name)
        return None

    async def _ask_hash(self, command: HashCommand, path: str, size: int, *, is_proved: bool) -> Reply:
        """Have a hash reckoned, which may take a server long; a way that breaks the connection is not tried again."""
        control, line = self._exchange.control, f"{command.verb} {self._exchange.name(path)}"
        await self._exchange.see_that_lines_fit(line)
        try:
            async with self._exchange.lock:
                if command.choice and self._chosen != command.choice:
                    (chosen,) = await self._exchange.one_by_one([command.choice])
                    if not chosen.succeeded:
                        return chosen
                    self._chosen = command.choice
                await control.room(control.window)
                (awaited,) = control.send(line)
                return await control.reply(awaited, control.timeout_seconds + size / _HASHED_BYTES_PER_S)
        except ConnectionBroken:
            if not is_proved:
                self._features.found_hash(command.name, is_right=False)
            raise
