"""Paths as text and as bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.paths import PATHS, RAW_PATHS

from async_mirror.model import paths


@given(RAW_PATHS)
def test_every_byte_of_a_local_path_survives_the_way_to_text_and_back(raw: bytes) -> None:
    assert paths.encode(paths.decode(raw)) == raw


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_what_is_text_survives_the_way_to_bytes_and_back(text: str) -> None:
    assert paths.decode(paths.encode(text)) == text


@given(RAW_PATHS, RAW_PATHS)
def test_two_paths_are_one_text_only_if_they_are_one_in_bytes(one: bytes, other: bytes) -> None:
    assert (paths.decode(one) == paths.decode(other)) is (one == other)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "/", "/x", "x/", "a/b", "../x", "\0", "a\0b", "a\rb", "a\nb", "\r\n", "x\n"]
)
def test_a_name_that_could_lead_elsewhere_is_not_one_component(name: str) -> None:
    assert not paths.is_one_component(name)


@pytest.mark.parametrize("name", ["a", "...", "..a", " ", "-", "~", "a\\b", "\udcff", "C:", "*"])
def test_an_odd_but_harmless_name_is_one_component(name: str) -> None:
    assert paths.is_one_component(name)


@given(PATHS)
def test_split_and_join_undo_each_other(path: str) -> None:
    folder, name = paths.split(path)
    assert paths.join(folder, name) == path
    assert paths.parent(path) == folder
    assert "/" not in name


@given(PATHS)
def test_the_lineage_of_a_path_leads_down_to_its_parent(path: str) -> None:
    chain = ["", *paths.lineage(path), path]
    assert [paths.parent(below) for below in chain[1:]] == chain[:-1]


def test_a_path_in_the_root_has_no_lineage() -> None:
    assert paths.lineage("a") == []
    assert paths.lineage("a/b/c") == ["a", "a/b"]


@given(PATHS)
def test_a_path_is_inside_itself_its_lineage_and_the_root(path: str) -> None:
    assert all(paths.is_inside(path, folder) for folder in ["", path, *paths.lineage(path)])
    assert not paths.is_inside(path, path + "/below")


@pytest.mark.parametrize(("path", "folder"), [("ab", "a"), ("a", "a/b"), ("", "a"), ("ab/c", "a"), ("b/a", "a")])
def test_a_path_that_merely_begins_alike_is_not_inside(path: str, folder: str) -> None:
    assert not paths.is_inside(path, folder)
