"""What may be at a path is reduced to one version only when that is sure: all small cases, on sites of all kinds."""

from collections.abc import Iterable, Iterator
from itertools import combinations, product

import pytest

from async_mirror.model.candidates import MOST, Candidates, added, held_after, observed, unknown
from async_mirror.model.entry import UNKNOWN, Entry, Kind

SECOND = 1_000_000_000
NOTHING = Candidates((None,))
FOLDER = Entry("p", Kind.FOLDER)
SITES = "sets times", "own times", "no times"
UPLOADED_AT, UPLOADED_BEFORE = 99 * SECOND, 70 * SECOND


def seen_on(site: str, version: Entry | None) -> Entry | None:
    """Return what a site shows that holds this version: what it showed before, else what an upload leaves."""
    if version is None or version.is_folder:
        return version
    times = {"sets times": version.mtime_ns, "own times": UPLOADED_AT, "no times": UNKNOWN}
    shown = times[site] if version.site_size == UNKNOWN else version.site_mtime_ns
    return Entry("p", Kind.FILE, version.size, shown)


def versions_on(site: str, sizes: Iterable[int] = (1, 2)) -> Iterator[Entry]:
    """Yield every version there is: of two sizes, dates and contents, each as little or as well known as may be."""
    for size, date, content, known, was_seen in product(sizes, (5, 60), (1, 2), ("", "marks", "digest"), (False, True)):
        entry = Entry("p", Kind.FILE, size, date * SECOND, 0o644, inode=content, ctime_ns=7 if known == "marks" else 0)
        if known == "digest":
            entry = entry._replace(digest=b"%d" % content)
        if was_seen:
            times = {"sets times": entry.mtime_ns, "own times": UPLOADED_BEFORE + date, "no times": UNKNOWN}
            entry = entry._replace(site_size=size, site_mtime_ns=times[site])
        yield entry


def sets_on(site: str) -> Iterator[tuple[Entry | None, ...]]:
    """Yield sets of what may be there: all of up to two, and of three those that are alike in size."""
    everything = [None, FOLDER, *versions_on(site)]
    alike = [None, *versions_on(site, (1,))]
    for number in (1, 2):
        yield from combinations(everything, number)
    yield from combinations(alike, 3)


@pytest.mark.parametrize("site", SITES)
def test_a_version_is_believed_only_if_it_is_the_content_that_is_there(site: str) -> None:
    for versions in sets_on(site):
        candidates = added(Candidates(()), versions)
        for truth in versions:
            seen = seen_on(site, truth)
            if candidates.anything or (truth and truth.site_size != UNKNOWN and truth not in candidates.versions):
                continue  # it was put there once more, and shows what an upload leaves: among the versions, too
            held = held_after("p", candidates, seen, sets_times=site == "sets times")
            assert (held is None) == (truth is None), (candidates, truth)
            if held and truth:
                assert held.kind is truth.kind
                assert held.is_folder or held.size == UNKNOWN or held.inode == truth.inode, (candidates, truth)


@pytest.mark.parametrize("site", SITES)
def test_what_is_seen_only_takes_candidates_away_and_never_the_true_one(site: str) -> None:
    for versions in sets_on(site):
        candidates = Candidates(versions)
        for truth in versions:
            seen = seen_on(site, truth)
            left = observed(candidates, seen, sets_times=site == "sets times")
            assert truth in left.versions
            assert set(left.versions) <= set(versions)
            assert observed(left, seen, sets_times=site == "sets times") == left


@pytest.mark.parametrize("site", SITES)
def test_the_only_version_that_may_be_there_stays_held_with_what_the_site_shows(site: str) -> None:
    for version in versions_on(site):
        seen = seen_on(site, version)
        held = held_after("p", Candidates((version,)), seen, sets_times=site == "sets times")
        assert seen
        assert held == version._replace(site_size=seen.size, site_mtime_ns=seen.mtime_ns)


@pytest.mark.parametrize("site", SITES)
def test_what_looks_like_no_candidate_is_not_ours(site: str) -> None:
    foreign = Entry("p", Kind.FILE, 3, UPLOADED_AT)
    for versions in sets_on(site):
        assert held_after("p", added(Candidates(()), versions), foreign) is None


def test_of_the_same_size_as_ours_but_another_date_it_is_not_ours_where_dates_are_set() -> None:
    impostor = Entry("p", Kind.FILE, 1, UPLOADED_AT)
    for version in versions_on("sets times", (1,)):
        assert held_after("p", Candidates((None, version)), impostor, sets_times=True) is None


def test_of_the_same_size_as_ours_but_another_date_it_is_not_believed_where_dates_are_not_known_to_be_set() -> None:
    for version in versions_on("own times", (1,)):
        if version.site_size == UNKNOWN:
            held = held_after("p", Candidates((None, version)), seen_on("own times", version))
            assert held
            assert (held.size, held.digest) == (UNKNOWN, b"")


def test_the_only_version_there_may_be_is_ours_but_not_believed_under_another_date_than_it_was_given() -> None:
    for version in versions_on("sets times", (1,)):
        if version.site_size == UNKNOWN:
            held = held_after("p", Candidates((version,)), Entry("p", Kind.FILE, 1, UPLOADED_AT), sets_times=True)
            assert held
            assert held.size == UNKNOWN


def test_of_the_same_size_as_ours_it_is_not_believed_to_be_there_where_no_times_are_told() -> None:
    for version in versions_on("no times"):
        seen = seen_on("no times", version)
        assert seen
        for candidates in (Candidates((None, version)), Candidates((version, None))):
            held = held_after("p", candidates, seen, sets_times=True)
            assert held
            assert held.is_folder or held.size == UNKNOWN


def test_a_digest_that_is_not_known_equals_nothing() -> None:
    old = Entry("p", Kind.FILE, 1, 5 * SECOND, inode=1, digest=b"1")
    new = Entry("p", Kind.FILE, 1, 5 * SECOND, inode=1)
    candidates = added(Candidates((old,)), [new])
    assert candidates.versions == (old, new)
    held = held_after("p", candidates, seen_on("sets times", new), sets_times=True)
    assert held
    assert held.size == UNKNOWN


def test_a_version_put_there_once_more_is_one_candidate_of_unknown_date() -> None:
    old = Entry("p", Kind.FILE, 1, 5 * SECOND, digest=b"1", site_size=1, site_mtime_ns=UPLOADED_BEFORE)
    again = Entry("p", Kind.FILE, 1, 5 * SECOND, digest=b"1")
    assert added(Candidates((old,)), [again]) == Candidates((again,))


def test_more_than_eight_candidates_are_anything_that_no_look_reduces() -> None:
    versions = [Entry("p", Kind.FILE, size, digest=b"%d" % size) for size in range(MOST + 1)]
    assert added(NOTHING, versions[: MOST - 1]) == Candidates((None, *versions[: MOST - 1]))
    anything = added(NOTHING, versions[:MOST])
    assert anything == Candidates((), anything=True)
    assert added(anything, [None]) == anything
    for seen in (None, FOLDER, seen_on("sets times", versions[1])):
        assert observed(anything, seen) == anything
        assert held_after("p", anything, seen) == Entry("p", Kind.FILE, UNKNOWN)


def test_a_version_of_ours_that_nobody_knows_is_ruled_out_by_nothing_but_absence() -> None:
    lost = Entry("p", Kind.FILE, UNKNOWN)
    for site in SITES:
        for version in versions_on(site):
            assert held_after("p", Candidates((lost, None)), seen_on(site, version)) == lost
    assert held_after("p", Candidates((lost, None)), None) is None
    assert held_after("p", Candidates((lost, None)), FOLDER) is None


# What is written in place.


@pytest.mark.parametrize("site", SITES)
def test_a_torn_version_is_never_taken_for_a_whole_one_nor_for_somebody_elses(site: str) -> None:
    """A part of a version may have any size, also that of another one; its date is that of its upload."""
    for versions in sets_on(site):
        candidates = added(Candidates((), torn=True), versions)
        for size in range(4):
            seen = Entry("p", Kind.FILE, size, UNKNOWN if site == "no times" else UPLOADED_AT)
            held = held_after("p", candidates, seen, sets_times=site == "sets times")
            assert held, candidates
            assert not held.is_folder
            assert held.size == UNKNOWN, candidates
            assert not held.digest


@pytest.mark.parametrize("site", SITES)
def test_where_a_version_may_be_torn_a_whole_one_is_believed_only_if_it_is_there(site: str) -> None:
    for versions in sets_on(site):
        candidates = added(Candidates((), torn=True), versions)
        for truth in versions:
            seen = seen_on(site, truth)
            if truth and truth.site_size != UNKNOWN and truth not in candidates.versions:
                continue
            held = held_after("p", candidates, seen, sets_times=site == "sets times")
            assert (held is None) == (truth is None), (candidates, truth)
            if held and truth and not truth.is_folder:
                assert held.size == UNKNOWN or held.inode == truth.inode, (candidates, truth)


def test_a_version_that_bears_the_date_it_was_given_is_whole_where_dates_are_set() -> None:
    for version in versions_on("sets times"):
        seen = seen_on("sets times", version)
        candidates = added(Candidates((None,), torn=True), [version])
        assert observed(candidates, seen, sets_times=True) == Candidates((version,))
        held = held_after("p", candidates, seen, sets_times=True)
        assert held
        assert held.size == version.size


def test_nothing_at_all_is_not_torn() -> None:
    assert held_after("p", Candidates((None,), torn=True), None) is None
    assert observed(Candidates((None,), torn=True), None) == NOTHING
    assert not Candidates((None,), torn=True).are_one


# Single rules.


@pytest.mark.parametrize(
    ("candidates", "are_one"),
    [
        (NOTHING, True),
        (Candidates((FOLDER,)), True),
        (Candidates((FOLDER,), anything=True), False),
        (Candidates((FOLDER,), torn=True), False),
        (Candidates((FOLDER, None)), False),
        (Candidates(()), False),
    ],
)
def test_it_is_known_what_is_there_only_if_it_is_one_whole_version(candidates: Candidates, are_one: bool) -> None:
    assert candidates.are_one is are_one


def test_folder_is_one_candidate_whatever_is_known_of_it() -> None:
    assert added(Candidates((FOLDER, None)), [FOLDER._replace(inode=7, ctime_ns=9)]).versions == (
        FOLDER._replace(inode=7, ctime_ns=9),
        None,
    )


@pytest.mark.parametrize(("off_ns", "is_like"), [(2 * SECOND - 1, True), (2 * SECOND, False), (-2 * SECOND, False)])
def test_date_that_a_site_was_told_may_be_off_by_less_than_two_seconds(off_ns: int, is_like: bool) -> None:
    version = Entry("p", Kind.FILE, 1, 50 * SECOND)
    seen = Entry("p", Kind.FILE, 1, 50 * SECOND + off_ns)
    assert bool(observed(Candidates((version,)), seen, sets_times=True).versions) is is_like


@pytest.mark.parametrize(("off_ns", "is_like"), [(SECOND - 1, True), (SECOND, False), (-1, False)])
def test_date_that_a_site_showed_once_is_that_second(off_ns: int, is_like: bool) -> None:
    version = Entry("p", Kind.FILE, 1, 50 * SECOND, site_size=1, site_mtime_ns=UPLOADED_AT)
    for sets_times in (True, False):
        seen = Entry("p", Kind.FILE, 1, UPLOADED_AT + off_ns)
        assert bool(observed(Candidates((version,)), seen, sets_times=sets_times).versions) is is_like


def test_size_that_a_site_shows_is_what_counts() -> None:
    version = Entry("p", Kind.FILE, 1, 50 * SECOND, site_size=2, site_mtime_ns=UNKNOWN)
    for size in (1, 2):
        seen = Entry("p", Kind.FILE, size, UNKNOWN)
        assert bool(observed(Candidates((version,)), seen).versions) is (size == 2)


def test_version_that_shows_the_date_it_showed_before_is_whole() -> None:
    version = Entry("p", Kind.FILE, 1, 50 * SECOND, site_size=1, site_mtime_ns=UPLOADED_AT)
    torn = Candidates((None, version), torn=True)
    assert observed(torn, Entry("p", Kind.FILE, 1, UPLOADED_AT)) == Candidates((version,))
    assert observed(torn, Entry("p", Kind.FILE, 1, UPLOADED_AT + 5 * SECOND)) == Candidates((), torn=True)
    assert observed(torn, Entry("p", Kind.FILE, 1, UNKNOWN)).torn


def test_of_a_version_that_nobody_knows_any_more_only_what_is_local_stays() -> None:
    version = Entry("p", Kind.FILE, 1, 5, 0o600, 7, digest=b"1", ctime_ns=9, site_size=2, site_mtime_ns=3)
    assert unknown(version) == Entry("p", Kind.FILE, UNKNOWN, 5, 0o600, 7)


def test_held_folder_has_the_mode_that_the_site_shows() -> None:
    assert held_after("p", Candidates((FOLDER, None)), FOLDER._replace(mode=0o700)) == FOLDER._replace(mode=0o700)


@pytest.mark.parametrize(("shown", "mode"), [(0o600, 0o600), (UNKNOWN, 0o644)])
def test_held_file_has_the_mode_that_the_site_shows_if_it_tells(shown: int, mode: int) -> None:
    version = Entry("p", Kind.FILE, 1, 5 * SECOND, 0o644, digest=b"1")
    held = held_after("p", Candidates((version,)), Entry("p", Kind.FILE, 1, 5 * SECOND, shown))
    assert held
    assert (held.mode, held.digest) == (mode, b"1")


def test_folder_is_known_by_its_kind_whatever_date_the_site_shows() -> None:
    seen = FOLDER._replace(mtime_ns=UPLOADED_AT)
    assert observed(Candidates((FOLDER, None)), seen, sets_times=True).versions == (FOLDER,)
    assert observed(Candidates((FOLDER, None)), Entry("p", Kind.FILE), sets_times=True).versions == ()


def test_of_two_that_are_the_same_one_is_kept_with_all_that_is_known() -> None:
    seen = Entry("p", Kind.FILE, 1, 5, 0o644, 7, ctime_ns=9, site_size=2, site_mtime_ns=UPLOADED_AT)
    read = seen._replace(digest=b"1", mode=0o600)
    assert added(Candidates((seen,)), [read]).versions == (read,)
    assert added(Candidates((read,)), [seen]).versions == (seen._replace(digest=b"1"),)
