"""How a file that was sent gets its time, its mode and its final name. Knows MFMT and its kin, CHMOD, RNFR and RNTO."""

import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from contextlib import suppress

from async_mirror.ftp.exchange import Exchange
from async_mirror.ftp.known import quirks
from async_mirror.ftp.lookup import Lookup
from async_mirror.ftp.wire.figures import format_time
from async_mirror.ftp.wire.replies import Refused, Reply, check
from async_mirror.model import odd_names
from async_mirror.model.entry import UNKNOWN, Entry
from async_mirror.model.paths import split
from async_mirror.remote.errors import FOLDER_IN_THE_WAY, ConnectionBroken, InTheWay, Refusal
from async_mirror.remote.session import Published

_COARSE_NS = 2_000_000_000
"""FAT keeps times to two seconds."""
_LONG_AGO_NS = 1_000_000_000 * 1_000_000_000
_FRESH_NS = 60_000_000_000
"""A file that changed so shortly before has the time of its upload, about: where no time is set, it looks as if."""


class Publishing:
    """Sets attributes and renames over one session."""

    def __init__(self, exchange: Exchange, lookup: Lookup) -> None:
        """Ask by an exchange."""
        self._exchange = exchange
        self._features = exchange.features
        self._lookup = lookup
        self._may_prove_time = True

    @property
    def sets_times(self) -> bool:
        """True if the server was seen to show a time that it was told: some take a command for it, and do not."""
        return self._features.was_seen(quirks.TIMES_AS_SET) and not self._features.lacks(quirks.TIMES_AS_SET)

    @property
    def may_set_times(self) -> bool:
        """True if the server offers MFMT, or was seen to take a command for it, and not to show another time then."""
        taken = any(map(self._features.has, quirks.TIMES.values()))
        return taken and not self._features.lacks(quirks.TIMES_AS_SET)

    async def publish(self, temporary: str, entry: Entry, mode: int | None, aside: Callable[[], str]) -> Published:
        """Set attributes and rename, in one write where the server takes that."""
        lacked = self._features.known.lacked
        commands, atomic = {}, quirks.REPLACING not in lacked
        if verb := self._mtime_verb(lacked):
            commands["mtime"] = self._set_mtime_command(verb, temporary, entry.mtime_ns)
        if mode is not None and "SITE CHMOD" not in lacked:  # the temporary's name is a plain one
            commands["mode"] = self._set_mode_command(temporary, mode)
        if not atomic and await self._lookup.size(entry.path) is not None:
            commands["old from"], commands["old to"] = self._rename_commands(entry.path, aside())
        commands["new from"], commands["new to"] = self._rename_commands(temporary, entry.path)
        replies = dict(zip(commands, await self._exchange.ask(*commands.values()), strict=True))
        put_aside = "old to" in replies and self._was_renamed(replies["old from"], replies["old to"])
        if not self._was_renamed(replies["new from"], replies["new to"]):
            refused = _rename_refusal(replies["new from"], replies["new to"])
            await self._see_that_it_stayed(temporary, replies["new from"], refused)
            if "old to" in replies:
                if put_aside:
                    await self._put_back(aside(), entry.path)
                raise refused
            await self._publish_in_steps(temporary, entry.path, aside(), refused)
            atomic, put_aside = False, True
        self._features.account.renamed()
        mode_set = mode is None or ("mode" in replies and replies["mode"].succeeded)
        if not mode_set and "mode" in replies and replies["mode"].unknown_command:
            self._features.lack("SITE CHMOD")
        mtime_set = "mtime" in replies and replies["mtime"].succeeded
        if mtime_set:
            self._features.have(quirks.TIMES[verb])
            await self._prove_time(entry.path, entry.mtime_ns)
        elif "mtime" in replies and self._doubts_mtime(verb, replies["mtime"]):
            self._features.lack(quirks.TIMES[verb])
            with suppress(Refusal):  # the file itself is published by now
                mtime_set = await self.set_mtime(entry.path, entry.mtime_ns)
        return Published(mtime_set, mode_set, atomic, put_aside)

    async def _prove_time(self, path: str, mtime_ns: int) -> None:
        """See once whether the server shows the time that it was told for a file, which is not about now.

        A server that shows none, be it for the moment, is asked once in a session.
        """
        if self.sets_times or self._features.lacks(quirks.TIMES_AS_SET) or not self._may_prove_time:
            return
        if abs(time.time_ns() - mtime_ns) < _FRESH_NS:
            return
        self._may_prove_time = False
        with suppress(Refusal):  # the file itself is published by now
            await self._see_time(path, mtime_ns)

    async def _see_time(self, path: str, mtime_ns: int) -> None:
        seen = await self._lookup.look(path)
        if seen is None or seen.mtime_ns == UNKNOWN:
            return
        if abs(seen.mtime_ns - mtime_ns) < _COARSE_NS:
            self._features.have(quirks.TIMES_AS_SET)
        else:
            self._features.lack(quirks.TIMES_AS_SET, quirks.NO_TIMES)

    async def prove_times(self, path: str) -> None:
        """See by a file of no use whether times are still set and shown: by now it may be another server."""
        if verb := self._mtime_verb(self._features.known.lacked):
            (reply,) = await self._exchange.ask(self._set_mtime_command(verb, path, _LONG_AGO_NS))
            if reply.succeeded:
                await self._see_time(path, _LONG_AGO_NS)
            elif not reply.transient:
                self._features.lack(quirks.TIMES_AS_SET, quirks.NO_TIMES_ANY_MORE)

    async def _publish_in_steps(self, temporary: str, final: str, aside: str, refused: Refusal) -> None:
        """Rename where a file is in the way: that one first, and back if need be. Some tell a size of a folder, too."""
        if await self._lookup.is_folder(final):
            raise InTheWay(FOLDER_IN_THE_WAY, refused.reply)
        if refused.transient or await self._lookup.size(temporary) is None or await self._lookup.size(final) is None:
            raise refused
        await self.rename(final, aside)
        try:
            await self.rename(temporary, final)
        except Refusal:
            await self._put_back(aside, final)
            raise
        self._features.lack(quirks.REPLACING)

    async def _put_back(self, aside: str, final: str) -> None:
        try:
            await self.rename(aside, final)
        except Refusal as refusal:  # what has the final name is not known any more: look at it
            self._exchange.control.break_off("the old version could not be restored")
            raise ConnectionBroken("the old version could not be restored", refusal.reply) from None

    def _rename_commands(self, old: str, new: str) -> tuple[str, str]:
        return f"RNFR {self._exchange.name(old)}", f"RNTO {self._exchange.name(new)}"

    def _set_mtime_command(self, verb: str, path: str, mtime_ns: int) -> str:
        return f"{verb} {format_time(mtime_ns)} {self._exchange.name(path)}"

    def _set_mode_command(self, path: str, mode: int) -> str:
        return f"SITE CHMOD {mode:03o} {self._exchange.name(path)}"

    async def set_mtime(self, path: str, mtime_ns: int) -> bool:
        """Set the modification time by the first command that this server takes; forget those that it does not."""
        while verb := self._mtime_verb(self._features.known.lacked):
            (reply,) = await self._exchange.ask(self._set_mtime_command(verb, path, mtime_ns))
            if reply.succeeded:
                self._features.have(quirks.TIMES[verb])
                await self._prove_time(path, mtime_ns)
                return True
            if not self._doubts_mtime(verb, reply) or await self._lookup.size(path) is None:
                return False
            self._features.lack(quirks.TIMES[verb])
        return False

    def _mtime_verb(self, lacked: AbstractSet[str]) -> str:
        """Return the command that sets times where some are lacked, as far as is known; "" for none."""
        for verb in ("MFMT",) if "MFMT" in self._features.identity.offers else ("MDTM", "SITE UTIME"):
            if quirks.TIMES[verb] not in lacked:
                return verb
        return ""

    def _doubts_mtime(self, verb: str, reply: Reply) -> bool:
        """Tell whether a refusal means that the command is not understood: a guessed one may be taken for a query."""
        return reply.unknown_command or not self._features.has(quirks.TIMES[verb])

    async def set_mode(self, path: str, mode: int) -> bool:
        """Set the permission bits by SITE CHMOD; False where that is unknown."""
        if self._features.lacks("SITE CHMOD"):
            return False
        if odd_names.odd_traits(split(path)[1]) & quirks.LOST_BY_SITE:
            raise Refusal("SITE CHMOD may take the name for another one")
        (reply,) = await self._exchange.ask(self._set_mode_command(path, mode))
        if reply.unknown_command:
            self._features.lack("SITE CHMOD")
            return False
        check(reply)
        return True

    async def rename(self, old: str, new: str) -> None:
        """Rename by RNFR and RNTO."""
        first, second = await self._exchange.ask(*self._rename_commands(old, new))
        if not self._was_renamed(first, second):
            refused = _rename_refusal(first, second)
            await self._see_that_it_stayed(old, first, refused)
            raise refused

    async def _see_that_it_stayed(self, old: str, first: Reply, refused: Refusal) -> None:
        """Look whether what RNTO was refused for is there still: there are servers that rename, and fail after that."""
        try:
            is_gone = first.continues and await self._lookup.look(old) is None
        except Refusal:
            return
        if is_gone:
            what = "the server refused a rename, and yet the file is gone"
            self._exchange.control.break_off(what, refused.reply)
            raise ConnectionBroken(what, refused.reply)

    def _was_renamed(self, first: Reply, second: Reply) -> bool:
        """Tell whether RNFR and RNTO renamed a file; a server that took another one's RNFR for it is not believed."""
        if second.succeeded and not first.continues:
            what = "the server renamed the wrong file"
            self._exchange.control.break_off(what, first.text)
            raise ConnectionBroken(what, first.text)
        return second.succeeded


def _rename_refusal(first: Reply, second: Reply) -> Refusal:
    """Return the refusal of a rename: what RNFR said if it was not taken, for RNTO then says only "bad sequence"."""
    return Refused(second if first.continues else first)
