"""What a pass looks at that was told where something changed."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.program import write

from async_mirror.model.entry import Listing
from async_mirror.model.selection import Selection
from async_mirror.planning.scope import EVERYTHING, Scope
from async_mirror.source.scan import walk
from async_mirror.state.opening import open_state
from async_mirror.state.store import State

ALL = Selection()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for folder in ("", "a/", "a/deep/", "b/", "b/deep/deeper/"):
        write(tmp_path / "source" / f"{folder}page", "x")
    return tmp_path / "source"


@pytest.fixture
def state(tmp_path: Path, source: Path) -> Iterator[State]:
    """Return the state after a pass over the source."""
    with open_state(tmp_path / "state/state.sqlite3") as opened:
        for listing in walk(os.fsencode(source), ALL):
            opened.hold(listing.entries)
        yield opened


def listings(scope: Scope, source: Path, state: State, selection: Selection = ALL) -> dict[str, Listing]:
    """Return what is looked at, in its order."""
    found = list(scope.listings(os.fsencode(source), selection, state, state.in_step))
    assert len(found) == len({listing.folder for listing in found}), "looked at twice"
    return {listing.folder: listing for listing in found}


def looked_at(source: Path, state: State, *folders: str, unsettled: str = "") -> list[str]:
    scope = Scope(frozenset(folders), lambda path: path == unsettled)
    return list(listings(scope, source, state))


def test_everything_is_all_folders(source: Path, state: State) -> None:
    assert set(listings(EVERYTHING, source, state)) == {"", "a", "b", "a/deep", "b/deep", "b/deep/deeper"}


def test_only_what_was_touched_is_looked_at_and_the_source_itself(source: Path, state: State) -> None:
    assert looked_at(source, state, "b/deep") == ["", "b/deep"]
    assert looked_at(source, state, "b/deep", "a") == ["", "a", "b/deep"]
    assert looked_at(source, state) == [""]


def test_new_folders_are_looked_at_with_all_below_after_what_is_above(source: Path, state: State) -> None:
    write(source / "b/new/inner/page", "x")
    assert looked_at(source, state, "b") == ["", "b", "b/new", "b/new/inner"]
    assert looked_at(source, state, "b/new/inner") == ["", "b", "b/new", "b/new/inner"]


def test_what_lies_in_a_file_of_the_site_is_found_from_above(source: Path, state: State) -> None:
    (source / "a/page").unlink()
    write(source / "a/page/inner/page", "x")
    assert looked_at(source, state, "a/page/inner") == ["", "a", "a/page", "a/page/inner"]


def test_folders_that_are_gone_show_nothing_that_could_be_deleted(source: Path, state: State) -> None:
    shutil.rmtree(source / "b")
    scope = Scope(frozenset({"b/deep"}))
    listing = listings(scope, source, state)["b/deep"]
    assert not listing.complete
    assert (listing.entries, listing.problems) == ((), ())


def test_above_a_mount_point_is_looked_whether_it_is_one_still(source: Path, state: State) -> None:
    held = state.held("b/deep")
    assert held
    state.hold([held._replace(mount=True)])
    assert looked_at(source, state, "b/deep/deeper") == ["", "b", "b/deep/deeper"]


def test_what_is_unsettled_is_left_for_its_turn(source: Path, state: State) -> None:
    write(source / "b/new/page", "x")
    assert looked_at(source, state, "b", unsettled="b/new") == ["", "b"]
    scope = Scope(frozenset({"b"}), lambda path: path == "b/page")
    listing = listings(scope, source, state)["b"]
    assert {entry.path for entry in listing.entries} == {"b/deep", "b/new"}
    assert not listing.fingerprint, "or it would be noted as being in step"
    assert scope.leaves_alone("b/page")
    assert not Scope(None, lambda path: True).leaves_alone("b/page")


def test_what_is_left_out_of_the_mirror_is_not_looked_at(source: Path, state: State) -> None:
    write(source / "b/node_modules/page", "x")
    scope = Scope(frozenset({"b"}))
    assert list(listings(scope, source, state, Selection(patterns=("node_modules/",)))) == ["", "b"]


def test_of_a_folder_that_is_in_step_the_files_are_not_compared(source: Path, state: State) -> None:
    found = listings(Scope(frozenset({"a"})), source, state)
    state.note_in_step(found.values())
    again = listings(Scope(frozenset({"a"})), source, state)
    assert all(listing.known for listing in again.values())
