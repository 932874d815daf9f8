"""Finds out what is at a path: by SIZE, MLST, a listing, in this order, until one of them tells.

No code of a reply means by itself that there is nothing. What a server says of that is learned once for an account,
from names that cannot exist; whatever it says otherwise, the next way decides.
"""

import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from async_mirror.ftp.exchange import Exchange
from async_mirror.ftp.known import quirks
from async_mirror.ftp.wire.absence import is_like, pattern_of
from async_mirror.ftp.wire.figures import UnreadableLineError, parse_size, parse_time
from async_mirror.ftp.wire.listing import parse_facts
from async_mirror.ftp.wire.replies import Reply
from async_mirror.model.entry import UNKNOWN, Entry, Kind
from async_mirror.model.paths import join, parent, split
from async_mirror.remote.errors import Refusal
from async_mirror.remote.session import RemoteListing

_NOT_TOLD: Final = Entry("", Kind.FILE, UNKNOWN)
"""Stands for what one way did not tell; the next one may."""


class Lookup:
    """Looks at single paths over one session."""

    def __init__(self, exchange: Exchange, list_folder: Callable[[str], Awaitable[RemoteListing | None]]) -> None:
        """Ask by these."""
        self._exchange = exchange
        self._features = exchange.features
        self._list_folder = list_folder
        self._learned_anew = False

    @property
    def knows_size(self) -> bool:
        """True unless the server does not know SIZE."""
        return not self._features.lacks("SIZE")

    @property
    def knows_facts(self) -> bool:
        """True if the server may know MLST and MLSD."""
        identity = self._features.identity
        offered = not identity.lists or "MLST" in identity.offers or "MLSD" in identity.offers
        return offered and not self._features.lacks("MLST")

    def size_command(self, path: str) -> str:
        """Return the command that asks for a size; "" where that is not known."""
        return "" if "SIZE" in self._features.known.lacked else f"SIZE {self._exchange.name(path)}"

    # What is there.

    async def size(self, path: str, reply: Reply | None = None) -> int | None:
        """Return the size of a file, UNKNOWN if nothing tells it, None if there is none; `reply` is one to SIZE."""
        size = await self._by_size(path, reply)
        if size != UNKNOWN:
            return size
        entry = await self._by_facts(path)
        if entry and not entry.is_folder and entry.size == UNKNOWN:
            entry = await self.listed(path)
        return entry.size if entry and not entry.is_folder else None

    async def is_there(self, path: str, reply: Reply | None = None) -> bool | None:
        """Tell whether a file is there, None if that cannot be told; `reply` is one to SIZE."""
        try:
            return await self.size(path, reply) is not None
        except Refusal:
            return None

    async def look(self, path: str) -> Entry | None:
        """Return what is at a path, None for nothing. Raises Refusal if that cannot be told."""
        entry = await self._by_facts(path)
        if entry is not _NOT_TOLD:
            return entry
        if await self.is_folder(path):
            return Entry(path, Kind.FOLDER, 0, UNKNOWN, UNKNOWN)
        size = await self._by_size(path)
        if size == UNKNOWN:
            return await self.listed(path)
        if size is None:
            return None
        (reply,) = await self._exchange.ask(f"MDTM {self._exchange.name(path)}")
        return Entry(path, Kind.FILE, size, told_time(reply), UNKNOWN)

    async def listed(self, path: str) -> Entry | None:
        """Look a path up in its folder's listing. Raises Refusal if that does not tell."""
        listing = await self._list_folder(parent(path))
        if listing is None:
            return None
        if found := next((entry for entry in listing.entries if entry.path == path), None):
            return found
        name = split(path)[1]
        if name in listing.others:
            return Entry(path, Kind.FILE, UNKNOWN, UNKNOWN)
        if listing.shows_absence_of(name):
            return None
        raise Refusal("the server does not tell whether it exists")

    async def is_folder(self, path: str) -> bool:
        """Try to enter the folder, and come back in the same breath; once more after a refusal for the moment.

        Who says that twice says it of what is not there: bftpd's 451.
        """
        entered = await self._enter(path)
        if entered.transient:
            entered = await self._enter(path)
        return entered.succeeded

    async def _enter(self, path: str) -> Reply:
        if not self._exchange.root:
            raise Refusal("the server does not support PWD, which is needed to tell folders from files")
        async with self._exchange.lock:
            entered, back = await self._exchange.ask(f"CWD {self._exchange.name(path)}", f"CWD {self._exchange.root}")
        self._exchange.check_back(back)
        return entered

    async def is_forbidden(self, folder: str) -> bool:
        """Tell whether a folder that can be neither listed nor entered is there all the same."""
        if not folder:
            return True
        entry = await self._by_facts(folder)
        entry = await self.listed(folder) if entry is _NOT_TOLD else entry
        return entry is not None and entry.is_folder

    async def _by_size(self, path: str, reply: Reply | None = None) -> int | None:
        if not self.knows_size:
            return UNKNOWN
        if reply is None:
            (reply,) = await self._exchange.ask(self.size_command(path))
        if (size := self.told_size(reply)) != UNKNOWN:
            return size
        absent = await self.is_absent("SIZE", reply, path) and self._features.has(quirks.SIZE_OF_FILE)
        return None if absent else UNKNOWN

    def told_size(self, reply: Reply) -> int:
        """Return the size that a reply to SIZE tells, UNKNOWN for none."""
        size = parse_size(reply.lines[0].strip()) if reply.code == 213 else UNKNOWN
        if size != UNKNOWN:
            self._features.have(quirks.SIZE_OF_FILE)
        return size

    async def _by_facts(self, path: str) -> Entry | None:
        if not self.knows_facts:
            return _NOT_TOLD
        (reply,) = await self._exchange.ask(f"MLST {self._exchange.name(path)}")
        entry = read_facts(reply, path)
        return None if entry is None and await self.is_absent("MLST", reply, path) else entry or _NOT_TOLD

    # What there is not.

    async def is_absent(self, verb: str, reply: Reply, path: str) -> bool:
        """Tell whether a reply says of a path what the server says of a name that cannot exist."""
        if reply.unknown_command:
            self._features.lack(verb)
        if reply.succeeded or reply.unknown_command:
            return False
        said = self._features.account.absent(verb)
        may_err = said is not None and said.startswith("4") and not (reply.transient or self._learned_anew)
        if said is None or may_err:  # it may have been said for the moment, of all things
            self._learned_anew = may_err
            await self._learn_absence()
        return is_like(self._features.account.absent(verb) or "", reply, self._names(path))

    async def _learn_absence(self) -> None:
        """Learn what is said of what cannot be there; what tells nothing is asked twice, for that may be chance."""
        verbs = ["SIZE"] * self.knows_size + ["MLST"] * self.knows_facts
        if verbs and (told_nothing := await self._ask_for_nothing(verbs, verbs[-1])):
            await self._ask_for_nothing(told_nothing, verbs[-1])

    async def _ask_for_nothing(self, verbs: Sequence[str], of_root: str) -> list[str]:
        """Ask for what cannot be there, and for the root, which is; return the commands that told nothing.

        What is said of both tells nothing in this pass.
        """
        name = f"am-absent-{secrets.token_hex(8)}"
        *replies, root = await self._exchange.ask(
            *(f"{verb} {name}" for verb in verbs), f"{of_root} {self._exchange.name('')}"
        )
        patterns = [self._pattern(verb, reply, root, name) for verb, reply in zip(verbs, replies, strict=True)]
        for verb, reply, pattern in zip(verbs, replies, patterns, strict=True):
            tells_for_good = bool(pattern) or (root.succeeded and not reply.transient)
            self._features.account.say_absent(verb, pattern, lasts=tells_for_good)
        return [verb for verb, pattern in zip(verbs, patterns, strict=True) if not pattern]

    def _pattern(self, verb: str, reply: Reply, root: Reply, name: str) -> str:
        pattern = "" if quirks.is_for_the_moment(reply, root) else pattern_of(reply, self._names(name))
        return "" if verb == "MLST" and is_like(pattern, root, self._names("")) else pattern

    def _names(self, path: str) -> list[str]:
        """Return the names by which a server may call a path, the longest first."""
        in_parts = "', '".join(path.split("/"))  # Twisted's
        whole = join(self._exchange.root.rstrip("/"), path) if self._exchange.root else path
        names = {whole, self._exchange.name(path), path, in_parts, split(path)[1]}
        return sorted(filter(None, names), key=len, reverse=True) or [""]


def told_time(reply: Reply) -> int:
    """Return the time that MDTM told, in ns; UNKNOWN for none."""
    return parse_time(reply.lines[0].strip()) if reply.code == 213 else UNKNOWN


def read_facts(reply: Reply, path: str) -> Entry | None:
    """Return what a reply to MLST tells of a path; None if it does not."""
    if not reply.succeeded or len(reply.lines) < 2:
        return None
    try:
        read = parse_facts(reply.lines[1].removeprefix(" "), parent(path), itself=True)
    except UnreadableLineError:
        return None
    return read[1]._replace(path=path) if read and read[1] else None
