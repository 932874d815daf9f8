"""What the site has already, where a name is to be used."""

import asyncio

from support.memory_site import MemorySession, MemorySite

from async_mirror.jobs.existing import is_double
from async_mirror.model.entry import Entry
from async_mirror.remote.session import RemoteListing


class LateSession(MemorySession):
    """A session on a site where another connection puts a file just after a folder was listed."""

    async def list_folder(self, path: str) -> RemoteListing | None:
        listing = await super().list_folder(path)
        self._site.put("DOCS", b"from another connection")
        return listing


class OneForTwoSession(MemorySession):
    """A session on a site that takes names for one that differ in case alone."""

    async def look(self, path: str) -> Entry | None:
        return await super().look(path.lower())


def site() -> MemorySite:
    made = MemorySite()
    made.put("docs", b"the first")
    return made


def test_a_name_that_came_after_the_listing_is_no_second_name_for_the_same() -> None:
    assert not asyncio.run(is_double(LateSession(site()), "docs", "DOCS"))


def test_a_site_that_shows_one_of_two_and_has_both_takes_them_for_one() -> None:
    assert asyncio.run(is_double(OneForTwoSession(site()), "docs", "DOCS"))
