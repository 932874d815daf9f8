"""Folders of a site: listed in such ways as the server takes, made, removed. Knows MLSD, LIST, MKD and RMD."""

import secrets
import time
from typing import NamedTuple

from async_mirror.ftp.exchange import Exchange, are_short
from async_mirror.ftp.known import quirks
from async_mirror.ftp.known.list_ways import Known, Shown, Way, best, learned, next_way, shown_by
from async_mirror.ftp.lookup import Lookup
from async_mirror.ftp.wire.listing import ListingParser
from async_mirror.ftp.wire.replies import Refused, Reply, check
from async_mirror.model.paths import parent, split
from async_mirror.model.temporary_names import named_in
from async_mirror.remote.errors import LINK_IN_THE_WAY, Refusal
from async_mirror.remote.session import RemoteListing

_LISTED_AGAIN = 4
"""So often a listing is asked for again that failed because a temporary got its final name meanwhile: simple-ftpd."""


class Answer(NamedTuple):
    """What came of a listing that was asked for."""

    reply: Reply
    listing: RemoteListing
    shown: Shown


class Folders:
    """Deals with folders over one session."""

    def __init__(self, exchange: Exchange) -> None:
        """Ask by an exchange."""
        self._exchange = exchange
        self._features = exchange.features
        self.lookup = Lookup(exchange, self.listing)

    async def make(self, path: str) -> bool:
        """Make by MKD; a refusal for what is there counts as done if it is a folder, and no link to one."""
        (reply,) = await self._exchange.ask(f"MKD {self._exchange.name(path)}")
        if reply.succeeded:
            return True
        if not await self.lookup.is_folder(path):
            raise Refused(reply)
        listing = await self.listing(parent(path))
        if listing and split(path)[1] in listing.others:
            raise Refusal(LINK_IN_THE_WAY, reply.text)
        return False

    async def remove(self, path: str) -> None:
        """Remove by RMD; a refusal for what is absent counts as done."""
        (reply,) = await self._exchange.ask(f"RMD {self._exchange.name(path)}")
        if not reply.succeeded and await self.lookup.look(path) is not None:
            raise Refused(reply)

    async def listing(self, path: str) -> RemoteListing | None:
        """List by MLSD, else by LIST, in such ways as the server takes."""
        answer = await self.answer(path)
        return answer.listing if answer else None

    async def answer(self, path: str) -> "Answer | None":
        """Return the best answer, None when there is no such folder."""
        if self.lookup.knows_facts:
            answer = await self._fetch(f"MLSD {self._exchange.name(path)}", path, facts=True)
            if answer.shown is Shown.FOLDER:
                return answer
            if not answer.reply.unknown_command:
                if answer.reply.transient:
                    raise Refused(answer.reply)
                if not await self.lookup.is_folder(path):
                    await self._no_folder(path, answer.reply)
                    return None
                if answer.reply.succeeded:
                    return answer
            if answer.reply.unknown_command:
                self._features.lack("MLST")
        return await self._list_in_some_way(path)

    async def _no_folder(self, path: str, reply: Reply) -> None:
        """Raise if what can be neither listed nor entered is there all the same."""
        if await self.lookup.is_forbidden(path):
            raise Refused(reply)

    async def _list_in_some_way(self, path: str) -> "Answer | None":
        answers: list[Answer] = []
        asked: list[tuple[Way, Shown]] = []
        is_folder = not path
        while way := next_way(path, asked, self._features.account.list_ways):
            answer = await self._ask(way, path)
            if answer.reply.transient and answer.reply.code not in quirks.OF_THE_PATH:
                raise Refused(answer.reply)
            is_folder = is_folder or answer.shown is Shown.FOLDER or (way.inside and answer.reply.succeeded)
            if not is_folder and not answer.reply.transient:
                is_folder = await self.lookup.is_folder(path)
                if not is_folder:
                    await self._no_folder(path, answer.reply)
                    return None
            answers.append(answer)
            asked.append((way, answer.shown))
        ways = self._features.account.list_ways
        known = learned(path, asked, ways)
        if known.path and ways.path is None and await self._ignores_paths(known):
            self._features.account.list_ways = known._replace(path=False)
            return await self._list_in_some_way(path)
        self._features.account.list_ways = known
        answer = answers[best(path, asked)]
        check(answer.reply)
        return answer

    async def _ignores_paths(self, known: Known) -> bool:
        """Tell whether LIST of what cannot be there shows something: then it shows where one is, whatever is asked."""
        answer = await self._ask(Way(inside=False, all=bool(known.option)), f"am-absent-{secrets.token_hex(8)}")
        if answer.reply.transient and answer.reply.code not in quirks.OF_THE_PATH:
            raise Refused(answer.reply)
        return answer.shown in {Shown.FOLDER, Shown.NAMES}

    async def _ask(self, way: Way, path: str) -> "Answer":
        if not way.inside:
            return await self._fetch(f"{way.command} {self._exchange.name(path)}", path)
        if not path:
            return await self._fetch(way.command, path)
        if not self._exchange.root:
            raise Refusal("the server does not support PWD, which is needed to enter a folder and return")
        async with self._exchange.lock:
            try:
                (entered,) = await self._exchange.ask(f"CWD {self._exchange.name(path)}")
                refused = Answer(entered, RemoteListing((), False), Shown.REFUSED)
                answer = await self._fetch(way.command, path) if entered.succeeded else refused
                (back,) = await self._exchange.ask(f"CWD {self._exchange.root}")
            except BaseException:
                self._exchange.control.break_off("it was left in a folder")
                raise
        self._exchange.check_back(back)
        return answer

    async def _fetch_as_text(self, command: str, parser: ListingParser) -> tuple[Reply, bool]:
        async with self._exchange.lock:
            await self._exchange.ask("TYPE A")
            fetched = await self._exchange.transfers.fetch(command, parser)
            (back,) = await self._exchange.ask("TYPE I")
        check(back)
        return fetched

    async def _fetch(self, command: str, path: str, *, facts: bool = False, again: int = _LISTED_AGAIN) -> "Answer":
        if not are_short((command,)):
            await self._exchange.see_that_lines_fit(command)
        parser = ListingParser(path, facts=facts, now=time.time())
        if self._features.lacks(quirks.LISTING_AS_IMAGE):
            reply, whole = await self._fetch_as_text(command, parser)
        else:
            reply, whole = await self._exchange.transfers.fetch(command, parser)
            if quirks.wants_text(reply):
                self._features.lack(quirks.LISTING_AS_IMAGE)
                return await self._fetch(command, path, facts=facts)
        if not reply.succeeded and (vanished := named_in(reply.text)) and vanished not in command:
            if again:
                return await self._fetch(command, path, facts=facts, again=again - 1)
            raise Refusal(
                "the server does not list a folder while something in it gets its name", reply.text, transient=True
            )
        listing = parser.end(cut=not whole or "truncated" in reply.text.lower())
        shown = shown_by(listing, shows_itself=parser.shows_itself) if reply.succeeded else Shown.REFUSED
        return Answer(reply, listing, shown)
