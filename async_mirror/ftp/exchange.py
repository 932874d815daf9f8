"""Commands of one session and their replies: in one write where the server takes that, and none too long for it."""

from collections.abc import Sequence

from async_mirror.ftp.known import quirks
from async_mirror.ftp.known.features import SHORT_COMMAND, Features
from async_mirror.ftp.known.rungs import AHEAD, BEHIND, TOGETHER
from async_mirror.ftp.transfer import Transfers
from async_mirror.ftp.wire.control import AwaitedReply, Control, length_of
from async_mirror.ftp.wire.replies import Reply
from async_mirror.ftp.wire.reply_flow import OutOfStep
from async_mirror.model.paths import is_utf8
from async_mirror.remote.errors import CannotBeSent, ConnectionBroken


class Exchange:
    """What all parts of a session ask by, and how they name paths."""

    def __init__(self, control: Control, features: Features, transfers: Transfers) -> None:
        """Begin with a session that is logged in."""
        self.control = control
        self.features = features
        self.transfers = transfers
        self.lock = transfers.lock
        self.root = ""
        """The absolute path of the site's root, "" if the server does not say."""

    async def ask(self, *commands: str) -> list[Reply]:
        """Send commands, in one write if this server takes that, and return their replies."""
        if not commands:
            return []
        if not are_short(commands):
            await self.see_that_lines_fit(*commands)
        if self.lock.holder is not None:
            await self.lock.until_free()
        control, known = self.control, self.features.known
        if known.level < AHEAD:  # there, a port is asked for directly before its transfer
            self.transfers.ports.close()
        if not known.level or control.flow.in_flight + length_of(*commands) > control.window:
            async with self.lock:
                return await self.one_by_one(commands)
        together = len(commands) > 1 or control.flow.in_flight > 0
        first = self.transfers.ports.awaited
        try:
            replies = await self._replies(control.send(*commands))
        except ConnectionBroken as broken:
            rung = BEHIND if first and not isinstance(first.outcome, Reply) else together * TOGETHER
            raise self.transfers.judge(broken, rung, known.generations[rung]) from None
        if together:
            self.features.rungs.passed(TOGETHER)
        return replies

    async def _replies(self, pending: Sequence[AwaitedReply]) -> list[Reply]:
        """Wait for replies; once the first has come, those that take a server no work are not waited for so long."""
        for each in pending:
            if not each.has_ended:
                quick = each is not pending[0] and each.command not in quirks.SLOW_ON_DISK
                await self.control.reply(each, self._quickly_s if quick else None)
        return self.control.come(pending)

    @property
    def _quickly_s(self) -> float:
        return min(self.features.path.patience_s, self.control.quick_seconds)

    async def see_that_lines_fit(self, *commands: str) -> None:
        """Raise CannotBeSent for a line that this server does not take as one, or at which it ends the connection.

        There are servers that take the end of a long line for another command, whatever a path may say there. So a
        harmless one of that length goes first: its path has a name that no file system can hold.
        """
        if not all(map(is_utf8, commands)):
            await self._see_that_bytes_fit()
        features, length = self.features, max(map(length_of, commands))
        if length <= features.longest_line:
            return
        if length < features.too_long_line:
            probe = await self._reply_to_probe(f"CWD {'x' * (length - 6)}", quirks.LONG_LINE)
            if probe and not probe.unknown_command:
                features.line_taken(length)
                return
        features.line_not_taken(length)
        raise CannotBeSent(f"path too long for this server: it accepts no line of {features.too_long_line:.0f} bytes")

    async def _see_that_bytes_fit(self) -> None:
        features = self.features
        if features.has(quirks.NO_UTF8):
            return
        if not features.lacks(quirks.NO_UTF8):
            if await self._reply_to_probe("CWD am-absent-\udce9-x", quirks.NO_UTF8):
                features.have(quirks.NO_UTF8)
                return
            features.lack(quirks.NO_UTF8)
        raise CannotBeSent("path is not UTF-8: this server closes the connection on such a path")

    async def _reply_to_probe(self, command: str, what: str) -> Reply | None:
        """Return how the server refuses an odd sort of line; None if it does not take such a line, or not as one.

        Raises ConnectionBroken for the first cut, which may be chance.
        """
        async with self.lock:
            await self.control.room(self.control.window)
            try:
                probe, after = await self.one_by_one([command, "PWD"])
            except OutOfStep:
                return None
            except ConnectionBroken:
                if not self.features.cut_at(what):
                    raise
                return None
            if probe.succeeded or not after.succeeded:
                self.control.break_off(f"the server does not take {what} as it is")
                return None
        return probe

    async def one_by_one(self, commands: Sequence[str]) -> list[Reply]:
        """Send commands one after the other; no more than one at a time to a server that cannot take more."""
        control = self.control
        expected: list[AwaitedReply] = []
        for command in commands:
            await control.room(length_of(command) if self.features.known.level else control.window)
            expected.extend(control.send(command))
        return await control.replies(expected)

    def name(self, path: str) -> str:
        """Return a path as it may stand in a command.

        A leading `~` or `-` means something else to servers, and Pure-FTPd alters a leading blank, even after `./`;
        behind the root's own path all of them are kept.
        """
        if path[:1] not in {"~", "-", " ", "\t"}:
            return path or "."
        return f"{self.root.rstrip('/')}/{path}" if self.root else f"./{path}"

    def check_back(self, back: Reply) -> None:
        """See that the root could be entered again."""
        if not back.succeeded:
            self.control.break_off("cannot return to the destination folder", back.text)


def are_short(commands: Sequence[str]) -> bool:
    """Tell whether each is, for sure, a line that any server takes as one."""
    return max(map(len, commands)) <= SHORT_COMMAND and "".join(commands).isascii()
