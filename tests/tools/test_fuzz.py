"""What the fuzz targets demand holds for what servers do send, whether there is a fuzzer or not."""

from __future__ import annotations

import pytest
from fuzz import seeds
from fuzz.targets import TARGETS

from async_mirror.ftp.wire.listing import ListingParser
from async_mirror.ftp.wire.replies import ReplyParser


@pytest.mark.parametrize("name", TARGETS)
def test_what_must_hold_holds_for_the_seeds_whole_and_cut_off(name: str) -> None:
    for seed in seeds.SEEDS[name]:
        for length in (len(seed), len(seed) // 2, 1, 0):
            TARGETS[name](seed[:length])


def test_seeds_are_what_servers_send() -> None:
    for talk in seeds.TALKS:
        codes = [reply.code for reply in ReplyParser().feed(talk)]
        assert codes[0] == 220
        assert {150, 226} <= set(codes) or {125, 226} <= set(codes)
    for raw in seeds.SEEDS["read_mlsd"][: len(seeds.MLSD)]:
        parser = ListingParser("", facts=True, now=0.0)
        parser.feed(raw)
        listing = parser.end()
        assert {entry.path for entry in listing.entries} == {"file", "folder"}
        assert not listing.cut
    for raw in seeds.SEEDS["read_list"][: len(seeds.LIST)]:
        parser = ListingParser("", facts=False, now=0.0)
        parser.feed(raw)
        listing = parser.end()
        assert {entry.path for entry in listing.entries} == {"file", "folder"}
        assert listing.complete
