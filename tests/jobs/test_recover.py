"""What became of a path that a run left half-done is found out by looking, and told as it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

import pytest
from support.memory_site import MemoryFile, MemorySession, MemorySite

from async_mirror.jobs.recover import Recover, Recovered, Settled, by_folder, settle, settle_all
from async_mirror.model.candidates import Candidates
from async_mirror.model.entry import UNKNOWN, Entry, Kind, fingerprint
from async_mirror.model.outcome import Failure, Pending, Problem
from async_mirror.remote.errors import CannotBeSent, ConnectionBroken, NoPort, Refusal
from async_mirror.remote.session import Barred, Content, Target

SECOND = 1_000_000_000
TEMPORARY, OTHER_TEMPORARY, ASIDE, BOX = (f".am-00000000-{token}.part" for token in ("t0", "t1", "to", "tp"))
NO = Refusal("it was refused", "550 No")
LATER = Refusal("it was refused", "450 Later", transient=True)


def version(content: str, path: str = "a") -> Entry:
    """Return a version whose date tells it from the others."""
    return Entry(path, Kind.FILE, len(content), len(content) * SECOND, 0o644, digest=content.encode())


def there(content: str) -> MemoryFile:
    return MemoryFile(content.encode(), len(content) * SECOND)


OLD, NEW = version("old"), version("newer")


def pending(**more: object) -> Pending:
    return Pending("a", Candidates((OLD, NEW)), OLD)._replace(**more)  # type: ignore[arg-type]


def session(site: MemorySite | None = None, /, **files: str) -> Judging:
    if site is None:
        site = MemorySite(files={path: there(content) for path, content in files.items()})
    return Judging(site)


class Judging(MemorySession):
    """Refuses what it is told to, and takes note of what was looked at and of what was found out."""

    def __init__(self, site: MemorySite) -> None:
        super().__init__(site)
        self.refused: dict[str, Exception] = {}
        self.found: list[tuple[str, Barred]] = []
        self.looks: list[str] = []

    def refusing(self, **errors: Exception) -> Judging:
        self.refused |= errors
        return self

    def _check(self, what: str) -> None:
        if error := self.refused.get(what):
            raise error

    def found_barred(self, folder: str, what: Barred) -> None:
        self.found.append((folder, what))

    async def look(self, path: str) -> Entry | None:
        self.looks.append(path)
        self._check("look")
        return await super().look(path)

    async def look_at(self, paths: Sequence[str], *, without: Sequence[str] = ()) -> list[Entry | None]:
        self._check("look_at")
        return await super().look_at(paths, without=without)

    async def remove_files(self, paths: Iterable[str]) -> None:
        self._check("remove_files")
        await super().remove_files(list(paths))

    async def store(self, path: str, content: Content, left: Callable[[], None], target: Target | None = None) -> int:
        self._check("store")
        return await super().store(path, content, left, target)

    async def rename(self, old: str, new: str) -> None:
        self._check("rename")
        await super().rename(old, new)


def settled(session: MemorySession, pending: Pending, *, clean: bool = True, in_place: bool = False) -> Settled:
    return asyncio.run(settle(session, pending, clean=clean, in_place=in_place))


def all_of(
    session: MemorySession, *pending: Pending, previous: Recovered | None = None, clean: bool = True
) -> Recovered:
    return asyncio.run(settle_all(session, Recover("", pending), previous, clean=clean))


# Together.


def test_paths_of_a_folder_are_looked_at_together_but_not_too_many() -> None:
    many = [Pending(f"d/{number:04}", Candidates((None,)), None) for number in range(2001)]
    groups = list(by_folder([Pending("a", Candidates((None,)), None), *many]))
    assert [(each.folder, len(each.pending)) for each in groups] == [("", 1), ("d", 1000), ("d", 1000), ("d", 1)]
    assert [each for group in groups[1:] for each in group.pending] == many


def test_each_path_holds_what_is_seen_there_and_no_temporary_is_left() -> None:
    site = session(a="newer", b="old", **{TEMPORARY: "ne"})
    others = pending(path="b", candidates=Candidates((None, version("newest", "b"))), held=None)
    gone = pending(path="c", candidates=Candidates((version("old", "c"), None)))
    recovered = all_of(site, pending(leftovers=(TEMPORARY,)), others, gone)
    assert recovered.failure is None
    assert [(each.held.digest if each.held else None, each.is_others) for each in recovered.settled] == [
        (b"newer", False),
        (None, True),
        (None, False),
    ]
    assert TEMPORARY not in site._site.files
    assert not any(each.moved or each.stays for each in recovered.settled)


class Believing(Judging):
    """Is believed to set times, until that is tried."""

    believed = True

    @property
    def sets_times(self) -> bool:
        return self.believed

    async def prove_times(self, path: str) -> None:
        assert self._site.files[path].content == b""
        self.believed = False


@pytest.mark.parametrize(("kind", "is_others"), [(Judging, True), (Believing, False)])
def test_a_file_is_anothers_for_its_time_alone_only_where_times_are_still_set(
    kind: type[Judging], is_others: bool
) -> None:
    site = MemorySite(files={"a": MemoryFile(b"newer", 99 * SECOND)})
    (settled,) = all_of(kind(site), pending(leftovers=(TEMPORARY,))).settled
    assert (settled.is_others, settled.held is None) == (is_others, is_others)
    assert set(site.files) == {"a"}


def test_who_only_looks_leaves_temporaries() -> None:
    site = session(a="newer", **{TEMPORARY: "ne"})
    assert all_of(site, pending(leftovers=(TEMPORARY,)), clean=False).failure is None
    assert TEMPORARY in site._site.files


def test_what_was_settled_before_is_not_looked_at_again_but_what_failed_is() -> None:
    first, second = pending(), pending(path="b", candidates=Candidates((version("old", "b"),)))
    before = Recovered((Settled(first, OLD), Settled(second, failure=Failure("b", Problem.REFUSED))))
    site = session(a="newer", b="old")
    recovered = all_of(site, first, second, previous=before)
    assert recovered.settled[0] is before.settled[0]
    assert [each.failure for each in recovered.settled] == [None, None]
    assert site.looks == ["b"]


@pytest.mark.parametrize("error", [NO, ConnectionBroken("it was cut")])
def test_where_they_cannot_be_looked_at_together_each_is_alone(error: Exception) -> None:
    site = session(a="newer", b="old").refusing(look_at=error)
    recovered = all_of(site, pending(), pending(path="b", candidates=Candidates((version("old", "b"),))))
    assert [each.held.digest for each in recovered.settled if each.held] == [b"newer", b"old"]


@pytest.mark.parametrize(
    ("error", "problem", "transient"),
    [
        (NO, Problem.REFUSED, False),
        (LATER, Problem.REFUSED, True),
        (ConnectionBroken("it was cut"), Problem.CONNECTION, True),
        (NoPort("there is none"), Problem.NO_PORT, True),
    ],
)
def test_what_cannot_be_looked_at_is_told_as_failed(error: Exception, problem: Problem, transient: bool) -> None:
    failure = all_of(session(a="old").refusing(look_at=error, look=error), pending()).failure
    assert failure
    assert (failure.path, failure.problem, failure.transient) == ("a", problem, transient)
    assert str(error) in failure.detail


def test_what_may_yet_go_right_is_told_of_first() -> None:
    for_good, for_now = (Failure("a", Problem.REFUSED, transient=each) for each in (False, True))
    assert Recovered((Settled(pending(), failure=for_good), Settled(pending(), failure=for_now))).failure is for_now
    assert Recovered((Settled(pending(), failure=for_good), Settled(pending()))).failure is for_good
    assert Recovered((Settled(pending()),)).failure is None


def test_path_that_no_command_can_name_never_was_on_the_site() -> None:
    error = CannotBeSent("too long")
    assert all_of(session(a="old").refusing(look_at=error, look=error), pending()).settled == (Settled(pending()),)


# Old versions that were set aside.


@pytest.mark.parametrize("together", [True, False])
def test_old_version_that_was_set_aside_gets_its_name_back_where_nothing_has_it(together: bool) -> None:
    site = session(**{ASIDE: "old"})
    aside = pending(asides=(ASIDE,))
    found = all_of(site, aside).settled[0] if together else settled(site, aside)
    assert found.held
    assert found.held.digest == b"old"
    assert site._site.files == {"a": there("old")}


def test_old_version_that_was_set_aside_is_removed_once_the_new_one_is_there() -> None:
    site = session(a="newer", **{ASIDE: "old"})
    found = settled(site, pending(asides=(ASIDE,)))
    assert found.held
    assert found.held.digest == b"newer"
    assert site._site.files == {"a": there("newer")}


def test_who_only_looks_tells_what_would_have_its_name_back() -> None:
    site = session(**{ASIDE: "old"})
    found = settled(site, pending(asides=("nothing", ASIDE)), clean=False)
    assert found.held
    assert (found.held.path, found.held.digest) == ("a", b"old")
    assert site._site.files == {ASIDE: there("old")}
    site = session(a="newer", **{ASIDE: "old"})
    assert settled(site, pending(asides=(ASIDE,)), clean=False).held == NEW._replace(
        site_size=5, site_mtime_ns=5 * SECOND
    )


def test_an_earlier_version_that_gets_its_name_back_is_ours() -> None:
    site = session(**{ASIDE: "oldest"})
    aside = pending(asides=(ASIDE,))
    assert settled(site, aside).is_others
    site = session(**{ASIDE: "oldest"})
    found = settled(site, aside._replace(earlier=(version("oldest"),)))
    assert found.held
    assert found.held.digest == b"oldest"
    assert not found.is_others


# Temporaries that stay.


def test_temporary_that_cannot_be_removed_for_the_moment_is_tried_again() -> None:
    found = settled(session(a="old", **{TEMPORARY: ""}).refusing(remove_files=LATER), pending(leftovers=(TEMPORARY,)))
    assert found.failure
    assert found.failure.transient


def test_temporary_that_cannot_be_removed_is_in_the_way_of_nothing_where_files_are_written_in_place() -> None:
    site = session(a="newer", **{TEMPORARY: ""}).refusing(remove_files=NO, rename=NO)
    found = settled(site, pending(leftovers=(TEMPORARY,)), in_place=True)
    assert found.stays
    assert found.held
    assert not site.found


@pytest.mark.parametrize(
    ("refused", "stays"),
    [
        ({"rename": NO}, False),
        ({"rename": LATER}, True),
        ({"store": NO, "rename": NO}, True),
        ({}, True),
    ],
)
def test_where_nothing_can_be_renamed_either_it_fails_and_that_is_known(
    refused: dict[str, Exception], stays: bool
) -> None:
    site = session(a="newer", **{OTHER_TEMPORARY: ""}).refusing(remove_files=NO, **refused)
    found = settled(site, pending(leftovers=(TEMPORARY, OTHER_TEMPORARY)))
    assert found.stays is stays
    assert (found.failure is None) is stays
    assert site.found == ([] if stays else [("", Barred.CHANGES)])


def test_temporaries_that_are_not_there_bar_nothing() -> None:
    site = session(a="newer").refusing(remove_files=NO, rename=NO)
    assert settled(site, pending(leftovers=(TEMPORARY,))).stays
    assert not site.found


def test_folder_in_which_an_odd_name_was_tried_is_removed() -> None:
    site = session(a="newer")
    site._site.folders |= {BOX: 0o755, f"{BOX}/xx": 0o755}
    settled(site, pending(boxes=(BOX,)), clean=False)
    assert BOX in site._site.folders
    assert settled(site, pending(boxes=(BOX,))).held
    assert BOX not in site._site.folders
    site._site.folders |= {BOX: 0o755}
    assert all_of(site, pending(boxes=(BOX,))).failure is None
    assert BOX not in site._site.folders


# Names that are one to some sites, and folders that came from elsewhere.


@pytest.mark.parametrize("also", [{"twin": "A"}, {"alike": ("A",)}])
def test_name_that_may_be_that_of_another_is_looked_for_as_it_is_spelled(also: dict[str, object]) -> None:
    site = session(MemorySite(ignores_case=True, files={"A": there("newer")}))
    assert all_of(site, pending(**also)).settled[0].held is None
    site = session(MemorySite(ignores_case=True, files={"a": there("newer")}))
    assert all_of(site, pending(**also)).settled[0].held
    assert not site.looks


FOLDER = Entry("n", Kind.FOLDER)
INSIDE = (("", fingerprint([Entry("n/x", Kind.FILE)])),)


def a_folder(**more: object) -> Pending:
    return Pending("n", Candidates((None, FOLDER)), None, origin="o", inside=INSIDE)._replace(**more)  # type: ignore[arg-type]


def a_site(*folders: str, inside: Sequence[str] = ("n/x",)) -> MemorySite:
    files = {path: there("old") for path in inside}
    return MemorySite(files=files, folders={"": 0o755} | dict.fromkeys(folders, 0o755))


@pytest.mark.parametrize(
    ("site", "moved", "is_whole"),
    [
        pytest.param(a_site("n"), True, True, id="with just what was in it"),
        pytest.param(a_site("n", inside=("n/x", "n/y")), True, False, id="with more in it"),
        pytest.param(a_site("n", "o", inside=("o/x",)), False, False, id="made, and the old one is there"),
        pytest.param(a_site("o", inside=("o/x",)), False, True, id="not there"),
    ],
)
def test_folder_that_was_to_be_renamed_has_come_or_not(site: MemorySite, moved: bool, is_whole: bool) -> None:
    found = all_of(session(site), a_folder()).settled[0]
    assert (found.moved, found.is_whole) == (moved, is_whole)
    assert (found.held is None) == ("n" not in site.folders)


def test_folder_renamed_in_case_alone_has_come_once_it_is_listed_so() -> None:
    for name, moved in (("N", False), ("n", True)):
        site = a_site(name, inside=(f"{name}/x", f"{name}/y"))
        site.ignores_case = True
        found = all_of(session(site), a_folder(origin="N", twin="N")).settled[0]
        assert (found.moved, found.held is not None) == (moved, moved)


@pytest.mark.parametrize(
    ("folders", "unlisted"),
    [
        pytest.param(("n",), ("N",), id="it is there alone"),
        pytest.param(("n", "N"), (), id="both are there"),
        pytest.param(("N",), (), id="the other one is there"),
    ],
)
def test_twin_in_case_that_the_site_does_not_list_beside_a_new_folder_is_not_there(
    folders: Sequence[str], unlisted: tuple[str, ...]
) -> None:
    made = Pending("n", Candidates((None, FOLDER)), None, alike=("N",))
    site = a_site(*folders, inside=())
    site.ignores_case = len(folders) == 1
    assert all_of(session(site), made).settled[0].unlisted == unlisted


def test_folder_renamed_in_case_alone_has_come_though_others_have_something_in_it() -> None:
    found = all_of(session(a_site("n", inside=("n/x", "n/y"))), a_folder(origin="N", twin="N")).settled[0]
    assert (found.moved, found.is_whole) == (True, False)


def test_file_of_unknown_version_is_held_as_such() -> None:
    site = session(a="third")
    found = all_of(site, pending(candidates=Candidates((), anything=True))).settled[0]
    assert found.held == Entry("a", Kind.FILE, UNKNOWN)
