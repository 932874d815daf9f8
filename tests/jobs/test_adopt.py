"""What a folder of the site is taken for, given what the source has and what the site was thought to hold."""

import asyncio
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.memory_site import MemoryFile, MemorySession, MemorySite

from async_mirror.jobs.adopt import Compare, Compared, compare
from async_mirror.model.candidates import unknown
from async_mirror.model.entry import UNKNOWN, Entry, Kind
from async_mirror.remote.session import RemoteListing

S = 1_000_000_000
OLD, NEW = 1000 * S, 2000 * S


def file(path: str, size: int = 3, mtime_ns: int = OLD, digest: bytes = b"known") -> Entry:
    return Entry(path, Kind.FILE, size, mtime_ns, 0o644, digest=digest)


def shown(entry: Entry) -> Entry:
    """Return a version that the site showed with the source's own size and time."""
    return entry._replace(site_size=entry.size, site_mtime_ns=entry.mtime_ns)


def folder(path: str) -> Entry:
    return Entry(path, Kind.FOLDER, mode=0o755)


class Shortened(MemorySession):
    """A session whose listings leave names out; `tells` says whether the server owns up to it."""

    left_out: tuple[str, ...] = ()
    tells = False

    async def list_folder(self, path: str) -> RemoteListing | None:
        listing = await super().list_folder(path)
        assert listing is not None
        kept = tuple(entry for entry in listing.entries if entry.path not in self.left_out)
        return RemoteListing(kept, listing.exact, cut=self.tells)


def site(**files: tuple[int, int]) -> MemorySite:
    """Return a site with files of these sizes and mtimes."""
    return MemorySite(files={path: MemoryFile(b"x" * size, mtime_ns) for path, (size, mtime_ns) in files.items()})


def looked_at(
    at: MemorySite, source: Iterable[Entry] = (), held: Iterable[Entry] = (), *left_out: str, tells: bool = False
) -> Compared:
    async def look() -> Compared:
        session = Shortened(at)
        session.left_out, session.tells = left_out, tells
        return await compare(session, Compare("", tuple(source), tuple(held)))

    return asyncio.run(look())


def test_what_was_in_doubt_stays_in_doubt() -> None:
    doubtful = file("a", UNKNOWN, OLD)._replace(digest=b"")
    found = looked_at(site(a=(3, OLD)), [file("a", 3, OLD + 5)], [doubtful])
    assert found.adopted == (doubtful,), "the site's file looks like the source's, and may be the one before it"
    assert not found.lost


def test_what_the_site_holds_as_it_was_sent_keeps_what_is_known_of_it() -> None:
    held = [file("a"), file("b")]
    found = looked_at(site(a=(3, OLD), b=(3, OLD)), [file("a", digest=b""), file("b", 9, NEW)], held)
    assert set(found.adopted) == {shown(each) for each in held}
    assert (found.lost, found.differing) == ((), ())


@pytest.mark.parametrize("name", ["a\tb", "a\udcff\udcffb"])
def test_what_a_server_may_take_for_another_name_is_not_adopted(name: str) -> None:
    found = looked_at(site(**{name: (3, OLD)}), [file(name)])
    assert (found.adopted, found.differing) == ((), (name,))
    found = looked_at(site(**{name: (3, OLD)}), [file(name)], [file(name)])
    assert found.adopted == (shown(file(name)),), "it was sent, so this server is known to take it for what it is"


def test_what_another_version_replaced_is_ours_of_no_known_version() -> None:
    found = looked_at(site(a=(4, NEW)), [file("a")], [file("a")])
    assert found.adopted == (file("a", UNKNOWN, digest=b""),)
    assert not found.differing, "it is no file of others"


def test_what_is_newer_on_the_site_and_in_the_source_is_adopted() -> None:
    found = looked_at(site(a=(4, NEW)), [file("a", 4, NEW, b"")], [file("a")])
    assert found.adopted == (shown(file("a", 4, NEW, b"")),)


def test_what_somebody_put_in_the_place_of_a_removed_file_is_not_ours_any_more() -> None:
    found = looked_at(site(a=(3, NEW), b=(3, OLD)), [], [file("a"), file("b")])
    assert found.lost == ("a",)
    assert [seen.path for seen in found.unmanaged] == ["a"]


def test_where_no_times_are_kept_a_file_of_the_same_size_is_still_ours() -> None:
    found = looked_at(site(a=(3, NEW), b=(7, NEW)), [], [file("a"), file("b")])
    assert found.adopted == (file("a"),)
    assert found.lost == ("b",)


def test_what_is_gone_from_the_site_is_held_no_longer() -> None:
    found = looked_at(site(), [file("a"), folder("d")], [file("a"), folder("d")])
    assert set(found.lost) == {"a", "d"}
    assert not found.adopted


def test_file_where_a_folder_was_and_the_reverse_are_not_ours() -> None:
    at = MemorySite(files={"d": MemoryFile(b"x", OLD)}, folders={"": 0o755, "a": 0o755})
    found = looked_at(at, [file("a"), folder("d")], [file("a"), folder("d")])
    assert set(found.lost) == {"a", "d"}
    assert found.differing == ("d",)


def test_what_a_listing_left_out_and_told_so_is_neither_lost_nor_claimed() -> None:
    at = site(a=(3, OLD), b=(3, OLD))
    at.folders["d"] = 0o755
    found = looked_at(at, [file("a"), folder("d")], [file("a"), file("b"), folder("d")], "a", "b", "d", tells=True)
    assert set(found.adopted) == {file("a", UNKNOWN, digest=b""), file("b", UNKNOWN, digest=b""), folder("d")}
    assert not found.lost
    assert found.folders == {"d"}


def test_what_a_listing_hides_is_held_if_it_is_as_it_was_sent_and_else_not_known() -> None:
    at = site(a=(3, OLD), b=(4, OLD), c=(3, NEW))
    at.folders["d"] = 0o755
    held = [file("a"), file("b"), file("c"), folder("d")]
    found = looked_at(at, held, held, *"abcd", tells=False)
    assert set(found.adopted) == {
        shown(file("a")),
        file("b", UNKNOWN, digest=b""),
        file("c", UNKNOWN, digest=b""),
        folder("d"),
    }
    assert not found.lost


def test_a_name_whose_like_is_not_shown_may_be_there() -> None:
    at = site(**{"a.html": (3, OLD), "b.bak": (3, OLD)})
    wanted = [file("a.html"), file("b.bak"), file("c.html")]
    assert looked_at(at, wanted, [], "b.bak").unsure == ("b.bak",)
    assert looked_at(site(), wanted, []).unsure == ()


NAMES = st.sampled_from("abc")
FILES = st.dictionaries(NAMES, st.tuples(st.integers(0, 1), st.sampled_from([OLD, NEW])), max_size=3)


@given(FILES, FILES, FILES, st.sets(NAMES), st.sets(NAMES), st.booleans())
def test_what_is_adopted_is_all_that_is_held_after_a_comparison(
    there: dict[str, tuple[int, int]],
    here: dict[str, tuple[int, int]],
    held: dict[str, tuple[int, int]],
    held_folders: set[str],
    left_out: set[str],
    tells: bool,
) -> None:
    known = [file(path, *held[path]) for path in held] + [folder(path) for path in held_folders - held.keys()]
    found = looked_at(site(**there), [file(path, *here[path]) for path in here], known, *left_out, tells=tells)
    adopted = {entry.path for entry in found.adopted}
    assert len(adopted) == len(found.adopted)
    assert adopted.isdisjoint(found.lost)
    assert {entry.path for entry in known} <= adopted | set(found.lost)


def test_what_lies_behind_the_cut_of_a_listing_is_sent_again() -> None:
    found = looked_at(site(), [file("a")], [file("a"), folder("d")], tells=True)
    assert set(found.adopted) == {file("a", UNKNOWN, digest=b""), folder("d")}


def test_what_shows_the_time_that_the_site_once_showed_for_it_is_as_it_was() -> None:
    held = file("a")._replace(site_size=3, site_mtime_ns=NEW)
    found = looked_at(site(a=(3, NEW)), [file("a")], [held])
    assert (found.adopted, found.lost, found.differing) == ((held,), (), ())


def test_what_shows_another_time_than_the_site_once_showed_for_it_is_another_version() -> None:
    held = file("a")._replace(site_size=3, site_mtime_ns=NEW)
    found = looked_at(site(a=(3, NEW + 5 * S)), [file("a")], [held])
    assert [(entry.size, entry.digest) for entry in found.adopted] == [(UNKNOWN, b"")]


@pytest.mark.parametrize("sets_mtime", [True, False])
def test_what_was_never_seen_is_known_by_its_size_only_where_no_times_are_set(sets_mtime: bool) -> None:
    at = site(a=(3, NEW))
    at.sets_mtime = sets_mtime
    found = looked_at(at, [file("a")], [file("a")])
    [version] = found.adopted
    assert version == (unknown(file("a")) if sets_mtime else file("a")._replace(site_size=3, site_mtime_ns=NEW))
