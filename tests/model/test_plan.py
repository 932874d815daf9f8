"""What one folder's listing and the held rows make necessary."""

from collections import Counter
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_mirror.model.change import MakeFolder, Move, SendFile, SetAttributes, path_of
from async_mirror.model.entry import UNKNOWN, Entry, Kind, Listing, Marks
from async_mirror.model.odd_names import folded
from async_mirror.model.plan import CHANGED_BENEATH, UNREAD, FolderPlan, Swap, plan_folder, plan_read

NFC, NFD = "caf\u00e9", "cafe\u0301"


def a_file(path: str, size: int = 1, mtime_ns: int = 10, mode: int = 0o644, inode: int = 1) -> Entry:
    return Entry(path, Kind.FILE, size, mtime_ns, mode, inode)


def a_folder(path: str, mode: int = 0o755, inode: int = 1, mount: bool = False) -> Entry:
    return Entry(path, Kind.FOLDER, 0, 0, mode, inode, mount)


def plan_of(found: Iterable[Entry], held: Iterable[Entry], *, complete: bool = True) -> FolderPlan:
    return plan_folder(Listing("", tuple(found), complete), held)


@pytest.mark.parametrize(
    ("found", "held", "expected"),
    [
        pytest.param(
            [a_file("a")], [], FolderPlan(changes=[SendFile(a_file("a"), None, "new")]), id="a new file is sent"
        ),
        pytest.param(
            [a_folder("a")],
            [],
            FolderPlan(
                changes=[MakeFolder(a_folder("a"), "new")],
                modes=[SetAttributes(a_folder("a"), a_folder("a", UNKNOWN), "new")],
            ),
            id="a new folder is made and gets its mode afterwards",
        ),
        pytest.param(
            [a_file("a", size=2)],
            [a_file("a")],
            FolderPlan(changes=[SendFile(a_file("a", size=2), a_file("a"), "size 1 -> 2")]),
            id="another size",
        ),
        pytest.param(
            [a_file("a", mtime_ns=11)],
            [a_file("a")],
            FolderPlan(changes=[SendFile(a_file("a", mtime_ns=11), a_file("a"), "newer", compares=True)]),
            id="a later mtime",
        ),
        pytest.param(
            [a_file("a", mtime_ns=9)],
            [a_file("a")],
            FolderPlan(changes=[SendFile(a_file("a", mtime_ns=9), a_file("a"), "older", compares=True)]),
            id="an earlier mtime",
        ),
        pytest.param(
            [a_file("a")],
            [a_file("a", size=UNKNOWN)],
            FolderPlan(changes=[SendFile(a_file("a"), a_file("a", UNKNOWN), "state of the site unknown")]),
            id="an unknown held size",
        ),
        pytest.param(
            [a_file("a", size=0)],
            [a_file("a", size=UNKNOWN)],
            FolderPlan(changes=[SendFile(a_file("a", 0), a_file("a", UNKNOWN), "state of the site unknown")]),
            id="an unknown held size is not that of an empty file",
        ),
        pytest.param(
            [a_file("a", mode=0o600)],
            [a_file("a")],
            FolderPlan(changes=[SetAttributes(a_file("a", mode=0o600), a_file("a"), "mode 644 -> 600")]),
            id="only the mode of a file",
        ),
        pytest.param(
            [a_file("a")],
            [a_file("a", mode=UNKNOWN)],
            FolderPlan(changes=[SetAttributes(a_file("a"), a_file("a", mode=UNKNOWN), "mode unknown -> 644")]),
            id="a held mode that is not known",
        ),
        pytest.param(
            [a_folder("a", 0o500)],
            [a_folder("a")],
            FolderPlan(modes=[SetAttributes(a_folder("a", 0o500), a_folder("a"), "mode 755 -> 500")]),
            id="only the mode of a folder waits for its content",
        ),
        pytest.param(
            [a_file("a", size=2, mode=0o600)],
            [a_file("a")],
            FolderPlan(changes=[SendFile(a_file("a", size=2, mode=0o600), a_file("a"), "size 1 -> 2")]),
            id="a changed file takes its mode along",
        ),
        pytest.param(
            [a_file("a", inode=2)],
            [a_file("a")._replace(digest=b"d")],
            FolderPlan(touched=[a_file("a", inode=2)]),
            id="only the inode: it is to be read, and nothing is sent",
        ),
        pytest.param(
            [a_file("a")._replace(ctime_ns=7)],
            [a_file("a")._replace(digest=b"d", ctime_ns=UNKNOWN)],
            FolderPlan(refreshed=[a_file("a")._replace(digest=b"d", ctime_ns=7)]),
            id="a row from before ctimes were kept takes the present one",
        ),
        pytest.param(
            [a_file("a", inode=2)._replace(ctime_ns=7)],
            [a_file("a")._replace(ctime_ns=UNKNOWN)],
            FolderPlan(touched=[a_file("a", inode=2)._replace(ctime_ns=7)]),
            id="such a row of another inode never does",
        ),
        pytest.param(
            [a_file("a")._replace(ctime_ns=7)],
            [a_file("a")._replace(ctime_ns=6)],
            FolderPlan(touched=[a_file("a")._replace(ctime_ns=7)]),
            id="only the ctime: it is to be read",
        ),
        pytest.param(
            [a_file("a", mode=0o600)._replace(ctime_ns=7)],
            [a_file("a")._replace(digest=b"d", ctime_ns=6, site_size=1, site_mtime_ns=5)],
            FolderPlan(
                changes=[
                    SetAttributes(
                        a_file("a", mode=0o600)._replace(digest=b"d", ctime_ns=6, site_size=1, site_mtime_ns=5),
                        a_file("a")._replace(digest=b"d", ctime_ns=6, site_size=1, site_mtime_ns=5),
                        "mode 644 -> 600",
                    )
                ],
                touched=[a_file("a", mode=0o600)._replace(ctime_ns=7)],
            ),
            id="a mode is set without a word about the content, which is to be read",
        ),
        pytest.param(
            [a_folder("a", inode=2)],
            [a_folder("a")],
            FolderPlan(refreshed=[a_folder("a", inode=2)]),
            id="only the inode of a folder",
        ),
        pytest.param(
            [a_folder("a", mount=True)],
            [a_folder("a")],
            FolderPlan(refreshed=[a_folder("a", mount=True)]),
            id="something was mounted there",
        ),
        pytest.param(
            [a_folder("a", inode=2)],
            [a_folder("a", mount=True)],
            FolderPlan(unmounted=["a"], refreshed=[a_folder("a", inode=2, mount=True)]),
            id="a mount is gone, and stays remembered",
        ),
        pytest.param(
            [],
            [a_folder("a", mount=True)],
            FolderPlan(unmounted=["a"], gone=[a_folder("a", mount=True)]),
            id="a mount is gone together with its folder",
        ),
        pytest.param(
            [a_file("a")],
            [a_folder("a")],
            FolderPlan(swaps=[Swap(a_file("a"), a_folder("a"))]),
            id="a folder became a file",
        ),
        pytest.param(
            [a_folder("a")],
            [a_file("a")],
            FolderPlan(swaps=[Swap(a_folder("a"), a_file("a"))]),
            id="a file became a folder",
        ),
        pytest.param([], [a_file("a")], FolderPlan(gone=[a_file("a")]), id="a file is gone"),
        pytest.param([], [a_folder("a")], FolderPlan(gone=[a_folder("a")]), id="a folder is gone"),
        pytest.param(
            [a_file("a")],
            [a_file("A")],
            FolderPlan(changes=[Move(a_file("a"), a_file("A"), "renamed from A", twin=True)]),
            id="a file renamed in case alone",
        ),
        pytest.param(
            [a_file("a", size=9)],
            [a_file("A")],
            FolderPlan(changes=[Move(a_file("a", size=9), a_file("A"), "renamed from A", twin=True)]),
            id="a file renamed in case alone, with other content",
        ),
        pytest.param(
            [a_file(NFD)],
            [a_file(NFC)],
            FolderPlan(changes=[Move(a_file(NFD), a_file(NFC), f"renamed from {NFC}", twin=True)]),
            id="a file renamed in Unicode form alone",
        ),
        pytest.param(
            [a_folder("a")],
            [a_folder("A")],
            FolderPlan(
                changes=[Move(a_folder("a"), a_folder("A"), "renamed from A", twin=True)],
                modes=[SetAttributes(a_folder("a"), a_folder("a", UNKNOWN), "new")],
            ),
            id="a folder renamed in case alone",
        ),
        pytest.param(
            [a_file("a")],
            [a_folder("A")],
            FolderPlan(changes=[SendFile(a_file("a"), None, "new")], gone=[a_folder("A")]),
            id="names of different kinds are no twins",
        ),
        pytest.param(
            [a_file("a"), a_file("A")],
            [a_file("A")],
            FolderPlan(doubles=[SendFile(a_file("a"), None, "new", double="A")]),
            id="a name that is still there is nobody's old name",
        ),
        pytest.param(
            [a_file("x/a")],
            [a_file("x/A")],
            FolderPlan(changes=[Move(a_file("x/a"), a_file("x/A"), "renamed from x/A", twin=True)]),
            id="twins below the root",
        ),
        pytest.param([], [], FolderPlan(), id="nothing and nothing"),
    ],
)
def test_each_case_alone(found: list[Entry], held: list[Entry], expected: FolderPlan) -> None:
    assert plan_of(found, held) == expected


def test_two_new_twins_of_one_held_file_get_one_move_and_one_upload() -> None:
    plan = plan_of([a_file(NFC), a_file(NFD)], [a_file(NFC.upper())])
    assert [type(change) for change in plan.changes] == [Move, SendFile]
    assert not plan.gone


def test_one_new_twin_of_two_held_files_takes_one_of_them_and_the_other_is_gone() -> None:
    plan = plan_of([a_file("aa")], [a_file("AA"), a_file("Aa")])
    [move] = plan.changes
    assert isinstance(move, Move)
    assert {move.held.path, *(entry.path for entry in plan.gone)} == {"AA", "Aa"}


def test_changes_keep_the_order_in_which_they_were_read() -> None:
    found = [a_file("a", 2), a_folder("b"), a_file("c", mode=0o600), a_file("d")]
    held = [a_file("c"), a_file("a")]
    assert sorted(path_of(change) for change in plan_of(found, held).changes) == ["a", "b", "c", "d"]
    assert [path_of(change) for change in plan_of(found, []).changes] == ["a", "b", "c", "d"]


def test_an_incomplete_listing_yields_no_removal_no_move_and_no_unmounted_folder() -> None:
    held = [a_file("A"), a_folder("b"), a_folder("c", mount=True)]
    plan = plan_of([a_file("a"), a_file("n")], held, complete=False)
    sends = [SendFile(a_file("a"), None, "new"), SendFile(a_file("n"), None, "new")]
    assert plan == FolderPlan(changes=[*sends])


def test_an_incomplete_listing_still_sends_what_was_read() -> None:
    found = [a_file("a", 2), a_file("b", mode=0o600), a_folder("c")]
    plan = plan_of(found, [a_file("a"), a_file("b"), a_file("c"), a_file("d")], complete=False)
    assert [path_of(change) for change in plan.changes] == ["a", "b"]
    assert plan.swaps == [Swap(a_folder("c"), a_file("c"))]


def test_what_became_a_link_or_a_special_file_is_kept_on_the_site() -> None:
    listing = Listing("", (), others=frozenset({"a", "b"}))
    assert plan_folder(listing, [a_file("a"), a_folder("b"), a_file("c")]) == FolderPlan(gone=[a_file("c")])


def test_a_new_file_with_a_known_origin_is_moved() -> None:
    old = a_file("old/name", inode=7)
    new = a_file("new", inode=7)
    plan = plan_folder(Listing("", (new, a_file("other"))), [], {"new": old})
    assert plan.moves == [Move(new, old, "renamed from old/name")]
    assert plan.changes == [SendFile(a_file("other"), None, "new")]


def test_an_origin_in_the_same_folder_is_moved_and_also_told_as_gone() -> None:
    old, new = a_file("old", inode=7), a_file("new", inode=7)
    plan = plan_folder(Listing("", (new,)), [old], {"new": old})
    assert plan == FolderPlan(moves=[Move(new, old, "renamed from old")], gone=[old])


def test_a_held_file_with_an_origin_is_not_moved() -> None:
    plan = plan_folder(Listing("", (a_file("a", 2),)), [a_file("a")], {"a": a_file("b")})
    assert not plan.moves
    assert [path_of(change) for change in plan.changes] == ["a"]


def test_a_twin_comes_before_an_origin() -> None:
    plan = plan_folder(Listing("", (a_file("a"),)), [a_file("A")], {"a": a_file("A")})
    assert plan == FolderPlan(changes=[Move(a_file("a"), a_file("A"), "renamed from A", twin=True)])


@pytest.mark.parametrize("order", [list, reversed])
def test_a_held_file_that_moves_to_its_twin_is_nobody_elses_origin(
    order: Callable[[list[Entry]], Iterable[Entry]],
) -> None:
    """`mv A b; touch a`: on a site that ignores case, renaming A once more would take the new `a` away."""
    old = a_file("A", inode=7)
    found = order([a_file("a", inode=8), a_file("b", inode=7)])
    plan = plan_folder(Listing("", tuple(found)), [old], {"b": old})
    moved = [change.held.path for change in [*plan.changes, *plan.moves] if isinstance(change, Move)]
    assert moved == ["A"]


def whole(new: str, old: str) -> dict[str, Move]:
    """Return how a folder comes that was renamed with all that is in it."""
    return {new: Move(a_folder(new), a_folder(old), f"renamed from {old}", inside=(("", b"known"),))}


def test_a_new_folder_that_was_renamed_comes_whole_before_anything_in_it() -> None:
    found = [a_folder("new"), a_folder("other"), a_file("file")]
    renamed = whole("new", "old/place")
    plan = plan_folder(Listing("", tuple(found)), [], None, renamed)
    assert plan.changes[:2] == [renamed["new"], MakeFolder(a_folder("other"), "new")]
    assert [mode.entry.path for mode in plan.modes] == ["new", "other"]
    assert not plan.moves


def test_a_renamed_folder_that_may_have_to_be_made_instead_leaves_its_old_name_gone() -> None:
    plan = plan_folder(Listing("", (a_folder("new"),)), [a_folder("old")], None, whole("new", "old"))
    assert plan.gone == [a_folder("old")]


def test_a_folder_that_moves_to_its_twin_is_not_renamed_to_another() -> None:
    found = (a_folder("A"), a_folder("new"))
    plan = plan_folder(Listing("", found), [a_folder("a")], None, whole("new", "a"))
    assert [type(change) for change in plan.changes] == [Move, MakeFolder]


def test_a_held_folder_or_a_swapped_one_is_not_renamed() -> None:
    plan = plan_folder(Listing("", (a_folder("new"),)), [a_folder("new")], None, whole("new", "old"))
    assert not plan.changes
    plan = plan_folder(Listing("", (a_folder("new"),)), [a_file("new")], None, whole("new", "old"))
    assert not plan.changes


def test_no_folder_is_renamed_from_an_incomplete_listing() -> None:
    plan = plan_folder(Listing("", (a_folder("new"),), complete=False), [], None, whole("new", "old"))
    assert plan.changes == [MakeFolder(a_folder("new"), "new")]


def test_without_permissions_modes_are_neither_compared_nor_set() -> None:
    found = [a_file("a", mode=0o600), a_folder("b", 0o500), a_folder("c"), a_file("d", mode=0o600, inode=2)]
    held = [a_file("a"), a_folder("b"), a_file("d")]
    plan = plan_folder(Listing("", tuple(found)), held, perms=False)
    assert plan == FolderPlan(changes=[MakeFolder(a_folder("c"), "new")], touched=[a_file("d", mode=0o600, inode=2)])


@pytest.mark.parametrize("perms", [True, False])
def test_a_mount_that_is_gone_is_remembered_even_if_the_mode_changed_too(perms: bool) -> None:
    """Below the mount point there is another folder, usually of another mode; the guard must hold in the next pass."""
    found, held = a_folder("a", 0o700, inode=2), {"a": a_folder("a", 0o755, mount=True)}
    listing = Listing("", (found,))
    for _ in range(3):
        plan = plan_folder(listing, held.values(), perms=perms)
        assert plan.unmounted == ["a"]
        carry_out(plan, held)


def test_a_mount_point_that_became_a_file_protects_what_was_below_it() -> None:
    plan = plan_of([a_file("a")], [a_folder("a", mount=True)])
    assert plan.unmounted == ["a"]


# What holds for whatever is found and held.

NAMES = ["a", "A", "b", "B", NFC, NFD, NFC.upper(), "c"]
FILES = st.builds(a_file, st.sampled_from(NAMES), *map(st.integers, (0, 0), (2, 2)), st.sampled_from([0o644, 0o600]))
FOUND = st.one_of(
    FILES.flatmap(lambda entry: st.builds(entry._replace, inode=st.integers(1, 3))),
    st.builds(a_folder, st.sampled_from(NAMES), st.sampled_from([0o755, 0o500]), st.integers(1, 3), st.booleans()),
)
HELD = FOUND.flatmap(
    lambda entry: (
        st.builds(
            entry._replace,
            size=st.sampled_from([entry.size, UNKNOWN]),
            mode=st.sampled_from([entry.mode, UNKNOWN]),
        )
        if entry.kind is Kind.FILE
        else st.builds(entry._replace, mode=st.sampled_from([entry.mode, UNKNOWN]))
    )
)


def folders_of(entries: st.SearchStrategy[Entry]) -> st.SearchStrategy[list[Entry]]:
    return st.lists(entries, max_size=8, unique_by=lambda entry: entry.path)


@st.composite
def situations(draw: st.DrawFn) -> tuple[Listing, list[Entry], dict[str, Entry], bool]:
    """Return a listing, what is held, the origins of some new files, and whether modes are mirrored."""
    found, held = draw(folders_of(FOUND)), draw(folders_of(HELD))
    old = {entry.path for entry in held}
    here = {entry.path for entry in found}
    sources = [entry for entry in held if entry.kind is Kind.FILE and entry.path not in here] + [a_file("away/x")]
    new = [entry.path for entry in found if entry.kind is Kind.FILE and entry.path not in old]
    origins = draw(st.dictionaries(st.sampled_from(new), st.sampled_from(sources))) if new else {}
    return Listing("", tuple(found), draw(st.booleans())), held, origins, draw(st.booleans())


def carry_out(plan: FolderPlan, held: dict[str, Entry]) -> None:
    """Do to a model of the site what `apply` and the engine would do, all of it with success."""
    for change in [*plan.changes, *plan.moves, *plan.doubles]:
        match change:
            case MakeFolder(entry):
                held[entry.path] = entry._replace(mode=UNKNOWN)
            case SendFile(entry) | SetAttributes(entry):
                held[entry.path] = entry
            case Move(entry, old):
                held.pop(old.path, None)
                held[entry.path] = entry._replace(mode=old.mode) if entry.is_folder else entry
    for swap in plan.swaps:
        held[swap.entry.path] = swap.entry
    for gone in plan.gone:
        held.pop(gone.path, None)
    for entry in [*plan.refreshed, *plan.touched]:  # what was touched is read, and is what it was
        held[entry.path] = entry
    for mode in plan.modes:
        held[mode.entry.path] = mode.entry


@given(folders_of(FOUND), st.booleans())
def test_a_folder_that_is_held_as_it_is_needs_nothing(entries: list[Entry], perms: bool) -> None:
    assert plan_folder(Listing("", tuple(entries)), entries, perms=perms) == FolderPlan()


@given(situations())
def test_every_entry_is_mentioned_at_most_once(situation: tuple[Listing, list[Entry], dict[str, Entry], bool]) -> None:
    listing, held, origins, perms = situation
    plan = plan_folder(listing, held, origins, perms=perms)
    mentioned = Counter(map(path_of, [*plan.changes, *plan.moves, *plan.doubles]))
    mentioned.update(swap.entry.path for swap in plan.swaps)
    mentioned.update(entry.path for entry in plan.refreshed)
    assert all(count == 1 for count in mentioned.values())
    assert mentioned.keys() <= {entry.path for entry in listing.entries}
    assert all(count == 1 for count in Counter(mode.entry.path for mode in plan.modes).values())
    assert len(set(plan.unmounted)) == len(plan.unmounted)


@given(situations())
def test_every_held_entry_is_known_moved_to_its_twin_or_gone(
    situation: tuple[Listing, list[Entry], dict[str, Entry], bool],
) -> None:
    listing, held, origins, perms = situation
    plan = plan_folder(listing, held, origins, perms=perms)
    twins = [change.held for change in plan.changes if isinstance(change, Move)]
    here = {entry.path for entry in listing.entries}
    absent = sorted(entry for entry in held if entry.path not in here)
    assert sorted(twins + plan.gone) == (absent if listing.complete else [])


@given(situations())
def test_twins_differ_in_case_or_form_alone_and_are_of_one_kind(
    situation: tuple[Listing, list[Entry], dict[str, Entry], bool],
) -> None:
    listing, held, origins, perms = situation
    plan = plan_folder(listing, held, origins, perms=perms)
    for change in plan.changes:
        if isinstance(change, Move):
            assert change.twin
            assert change.entry.kind is change.held.kind
            assert change.entry.path != change.held.path
            assert folded(change.entry.path) == folded(change.held.path)
    assert not any(move.twin for move in plan.moves)


@given(situations())
def test_from_an_incomplete_listing_nothing_is_gone_or_renamed(
    situation: tuple[Listing, list[Entry], dict[str, Entry], bool],
) -> None:
    listing, held, origins, perms = situation
    partial = Listing("", listing.entries, complete=False)
    plan = plan_folder(partial, held, origins, perms=perms)
    assert not plan.gone
    assert not any(isinstance(change, Move) for change in plan.changes)
    known = {entry.path for entry in listing.entries}
    assert known.issuperset(plan.unmounted)


@given(situations())
def test_without_permissions_no_mode_is_ever_set(
    situation: tuple[Listing, list[Entry], dict[str, Entry], bool],
) -> None:
    listing, held, origins, _ = situation
    plan = plan_folder(listing, held, origins, perms=False)
    assert not plan.modes
    assert not any(isinstance(change, SetAttributes) for change in plan.changes)


@given(situations())
def test_carrying_out_a_plan_converges(situation: tuple[Listing, list[Entry], dict[str, Entry], bool]) -> None:
    listing, rows, origins, perms = situation
    held = {entry.path: entry for entry in rows}
    carry_out(plan_folder(listing, rows, origins, perms=perms), held)
    again = plan_folder(listing, held.values(), perms=perms)
    assert again == FolderPlan(unmounted=again.unmounted)
    if listing.complete:
        assert held.keys() == {entry.path for entry in listing.entries}
    for entry in listing.entries:
        assert entry.same_content_as(held[entry.path])


def test_folder_that_a_site_may_take_for_another_is_made_after_it_and_no_file() -> None:
    plan = plan_folder(Listing("", (a_folder("A"), a_folder("a"))), [])
    assert plan.changes == [MakeFolder(a_folder("A"), "new"), MakeFolder(a_folder("a"), "new", double="A")]
    assert not plan.doubles


def test_file_of_unknown_version_is_read_if_it_has_a_digest_and_else_sent() -> None:
    held = a_file("a")._replace(size=UNKNOWN, digest=b"one")
    assert plan_of([a_file("a")], [held]) == FolderPlan(unsized=[a_file("a")])
    held = held._replace(digest=b"")
    why = "state of the site unknown"
    assert plan_of([a_file("a")], [held]) == FolderPlan(changes=[SendFile(a_file("a"), held, why)])


def test_folder_at_which_something_is_mounted_now_is_held_as_such() -> None:
    now = a_folder("d", inode=2, mount=True)
    assert plan_of([now], [a_folder("d")]) == FolderPlan(refreshed=[now])


# What was read.


READ = a_file("a", inode=2)._replace(digest=b"one", ctime_ns=7)
HELD_READ = a_file("a")._replace(digest=b"one", ctime_ns=5, site_size=1, site_mtime_ns=3)


@pytest.mark.parametrize(
    ("now", "held", "expected"),
    [
        pytest.param(
            READ, HELD_READ, FolderPlan(refreshed=[HELD_READ._replace(inode=2, ctime_ns=7)]), id="the same content"
        ),
        pytest.param(
            READ._replace(digest=b"two"),
            HELD_READ,
            FolderPlan(changes=[SendFile(READ._replace(digest=b"two"), HELD_READ, CHANGED_BENEATH)]),
            id="another content",
        ),
        pytest.param(
            READ,
            HELD_READ._replace(digest=b""),
            FolderPlan(changes=[SendFile(READ, HELD_READ._replace(digest=b""), UNREAD, compares=True)]),
            id="nobody has read what is held: the site is to tell",
        ),
        pytest.param(
            READ._replace(size=2),
            HELD_READ,
            FolderPlan(changes=[SendFile(READ._replace(size=2), HELD_READ, "size 1 -> 2")]),
            id="written to since it was planned",
        ),
        pytest.param(
            READ,
            HELD_READ._replace(size=UNKNOWN),
            FolderPlan(refreshed=[HELD_READ._replace(inode=2, ctime_ns=7)]),
            id="known by its content alone, after a rename",
        ),
        pytest.param(
            READ._replace(mtime_ns=11),
            HELD_READ._replace(size=UNKNOWN),
            FolderPlan(
                refreshed=[HELD_READ._replace(inode=2, ctime_ns=7)],
                changes=[
                    SendFile(
                        READ._replace(mtime_ns=11),
                        HELD_READ._replace(inode=2, ctime_ns=7),
                        "newer",
                        compares=True,
                    )
                ],
            ),
            id="renamed, and touched then: its date is set",
        ),
    ],
)
def test_what_was_read_decides(now: Entry, held: Entry, expected: FolderPlan) -> None:
    assert plan_read(now, held) == expected


@pytest.mark.parametrize(
    ("marks", "touched"), [(Marks(), True), (Marks(inode=False), False), (Marks(False, False), False)]
)
def test_inode_that_does_not_count_is_kept_without_a_word(marks: Marks, touched: bool) -> None:
    held = a_file("a")._replace(digest=b"d", ctime_ns=7)
    now = a_file("a", inode=2)._replace(ctime_ns=7)
    plan = plan_folder(Listing("", (now,)), [held], marks=marks)
    assert plan == (FolderPlan(touched=[now]) if touched else FolderPlan(refreshed=[held._replace(inode=2)]))
