"""Finds out what is at many paths, and removes files, by few commands: one by one, or by the listings of folders."""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress

from async_mirror.ftp.exchange import Exchange
from async_mirror.ftp.folders import Answer, Folders
from async_mirror.ftp.known import quirks
from async_mirror.ftp.known.list_ways import Shown
from async_mirror.ftp.lookup import Lookup, read_facts, told_time
from async_mirror.ftp.wire.replies import Refused
from async_mirror.model.entry import UNKNOWN, Entry, Kind
from async_mirror.model.paths import parent, split
from async_mirror.model.temporary_names import is_temporary
from async_mirror.remote.errors import Refusal

_ASKED_ONE_BY_ONE = 8
"""So many paths of a folder are asked for one by one before its listing costs less."""
_REMOVED_UNSEEN = 16
"""So many paths of a folder that may be there are removed before it is listed which of them are."""


class BatchLookup:
    """Looks at many paths over one session."""

    def __init__(self, exchange: Exchange, folders: Folders, lookup: Lookup) -> None:
        """Ask by these."""
        self._exchange = exchange
        self._features = exchange.features
        self._folders = folders
        self._lookup = lookup

    async def modified(self, paths: Iterable[str]) -> list[int]:
        """Ask MDTM for each."""
        replies = await self._exchange.ask(*(f"MDTM {self._exchange.name(path)}" for path in paths))
        return [told_time(reply) for reply in replies]

    async def look_at(self, paths: Sequence[str], *, without: Sequence[str] = ()) -> list[Entry | None]:
        """Send DELE for each of `without`, and MLST for each path; else list their folders, once each, and ask MDTM."""
        listed = await self._listed(without)
        without = _perhaps_there(without, listed, shows_temporaries=self._features.has(quirks.SHOWN_TEMPORARIES))
        replies = await self._exchange.ask(*(f"DELE {self._exchange.name(path)}" for path in without))
        refused = {path: reply for path, reply in zip(without, replies, strict=True) if not reply.succeeded}
        by_facts = self._lookup.knows_facts
        looked = [*refused, *paths]
        seen = await (
            self._look_by_facts(looked) if by_facts else self._look_by_listings(looked, refused.keys(), listed)
        )
        for path, reply in refused.items():
            if seen[path] is not None:
                raise Refused(reply)
        return [seen[path] for path in paths]

    async def _listed(self, paths: Sequence[str]) -> "dict[str, Answer]":
        """List the folders in which many paths are to be removed."""
        listed: dict[str, Answer] = {}
        for folder, some in _by_folder(paths).items():
            with suppress(Refusal):
                answer = await self._folders.answer(folder) if len(some) > _REMOVED_UNSEEN else None
                if answer:
                    listed[folder] = answer
                    if any(is_temporary(split(entry.path)[1]) for entry in answer.listing.entries):
                        self._features.have(quirks.SHOWN_TEMPORARIES)
        return listed

    async def _look_by_facts(self, paths: Sequence[str]) -> dict[str, Entry | None]:
        replies = await self._exchange.ask(*(f"MLST {self._exchange.name(path)}" for path in paths))
        seen: dict[str, Entry | None] = {}
        for path, reply in zip(paths, replies, strict=True):
            seen[path] = read_facts(reply, path)
            if not seen[path] and not await self._lookup.is_absent("MLST", reply, path):
                seen[path] = await self._lookup.look(path)
        return seen

    async def _look_by_listings(
        self, paths: Sequence[str], refused: AbstractSet[str], listed: "Mapping[str, Answer]"
    ) -> dict[str, Entry | None]:
        """Look for each path in the listing of its folder, where that costs less than to ask for one after the other.

        What is not listed is asked for, unless DELE was `refused` for it and the listing leaves out no dot names.
        """
        seen: dict[str, Entry | None] = {}
        for folder, some in _by_folder(paths).items():
            answer = listed.get(folder) or (
                await self._folders.answer(folder) if len(some) > _ASKED_ONE_BY_ONE else None
            )
            if answer is None or not answer.listing.complete:
                seen |= {path: await self._lookup.look(path) for path in some}
            else:
                seen |= await self._look_in(answer, some, refused)
        return seen

    async def _look_in(
        self, answer: "Answer", paths: Sequence[str], refused: AbstractSet[str]
    ) -> dict[str, Entry | None]:
        listed = {entry.path: entry for entry in answer.listing.entries}
        absent = refused - listed.keys() if answer.shown is Shown.FOLDER else frozenset[str]()
        asked = [path for path in paths if path not in absent]
        seen: dict[str, Entry | None] = dict.fromkeys(paths)
        for path, mtime_ns in zip(asked, await self.modified(asked), strict=True):
            entry = listed.get(path)
            if entry and not entry.is_folder:
                seen[path] = Entry(path, Kind.FILE, entry.size, mtime_ns, UNKNOWN)
            elif entry or mtime_ns != UNKNOWN or split(path)[1] in answer.listing.others:
                seen[path] = await self._lookup.look(path)
        return seen


def _perhaps_there(paths: Iterable[str], listed: Mapping[str, Answer], *, shows_temporaries: bool) -> list[str]:
    """Leave out what is not there for sure, given the listings of some folders by a server that may hide ours."""
    there = {entry.path for answer in listed.values() for entry in answer.listing.entries}
    places = ((path, listed.get(parent(path))) for path in paths)
    return [
        path
        for path, answer in places
        if answer is None or path in there or not (shows_temporaries and answer.listing.complete)
    ]


def _by_folder(paths: Iterable[str]) -> dict[str, list[str]]:
    by_folder: dict[str, list[str]] = {}
    for path in paths:
        by_folder.setdefault(parent(path), []).append(path)
    return by_folder
