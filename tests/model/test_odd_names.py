"""Names that servers are known to alter, and those that differ little."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.paths import LOCAL_NAMES, PLAIN

from async_mirror.model import odd_names, paths, temporary_names

ODD = st.lists(LOCAL_NAMES, max_size=8).map(lambda some: frozenset().union(*map(odd_names.odd_traits, some)))


@given(LOCAL_NAMES)
def test_a_sample_has_exactly_the_traits_of_the_name_that_it_stands_for(name: str) -> None:
    traits = odd_names.odd_traits(name)
    assert odd_names.odd_traits(odd_names.sample(traits)) == traits


@given(ODD)
def test_a_sample_of_many_names_fits_and_is_one_component(traits: frozenset[str]) -> None:
    sample = odd_names.sample(traits - {"\r", "\n"})
    assert paths.is_one_component(sample)
    assert not temporary_names.is_temporary(sample)
    assert len(paths.encode(sample)) <= 255


@pytest.mark.parametrize(
    ("name", "traits"),
    [
        ("index.html", set()),
        (".bashrc", set()),
        ("a b", set()),
        ("-r", set()),
        ("~x[1]", set()),
        (" a", {"^ "}),
        ("a ", {" $"}),
        ("a.", {".$"}),
        (" ", {"^ ", " $"}),
        ("a. ", {" $"}),
        ("a\tb", {"\t"}),
        ("a:b*c", {":", "*"}),
        ("a\\b", {"\\"}),
        ('<"|?>', {"<", '"', "|", "?", ">"}),
        ("\x7f\x01", {"\x7f", "\x01"}),
        ("\u00e9\u00ff", {"\u00e9"}),
        ("\u6f22\u0301", {"\u6f22"}),
        ("\U0001f600", {"\U0001f600"}),
        ("\udce9\udc80", {"\udce9"}),
        ("\udcff", {"\udcff"}),
        (" \u00e9:\udc80.", {"^ ", "\u00e9", ":", "\udce9", ".$"}),
    ],
)
def test_odd_traits_are_what_servers_are_known_to_alter(name: str, traits: set[str]) -> None:
    assert odd_names.odd_traits(name) == traits


@given(st.text("abcXYZ019_-,;=+@!$&'()[]{}~^%#", min_size=1))
def test_a_plain_ascii_name_has_no_odd_trait(name: str) -> None:
    assert not odd_names.odd_traits(name)


@given(LOCAL_NAMES)
def test_whatever_is_not_plain_ascii_has_an_odd_trait(name: str) -> None:
    assert odd_names.odd_traits(name) or (name.isascii() and name.isprintable())


@pytest.mark.parametrize(
    "name", ["a\tb", "\x01", "a\x7f", "a\x1b[31m", "\udcff\udcff", "a\udcff\udcfb\x01b", "c\udcff\udcf0"]
)
def test_a_name_that_a_server_takes_for_another_one_may_be_misread(name: str) -> None:
    assert odd_names.may_be_misread(name)


@pytest.mark.parametrize("name", ["a b", " a ", "\u00e9", "a\udcff", "\udcffb", "\udcff\udcef", "a\\b", "\u202e"])
def test_a_name_that_is_only_odd_may_not_be_misread(name: str) -> None:
    assert not odd_names.may_be_misread(name)


@pytest.mark.parametrize("name", ["a\nb", "a\rb", "a\0b", "\r\n"])
def test_a_line_break_in_a_name_is_refused_with_a_reason(name: str) -> None:
    assert odd_names.refusal(name)


@given(PLAIN)
def test_a_plain_name_is_never_refused(name: str) -> None:
    assert odd_names.refusal(name) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("README.md", "readme.MD"),
        ("caf\u00e9", "cafe\u0301"),
        ("CAF\u00c9", "cafe\u0301"),
        ("Stra\u00dfe", "STRASSE"),
        ("\uac00", "\u1100\u1161"),
    ],
)
def test_names_that_differ_in_case_or_form_alone_fold_to_one(one: str, other: str) -> None:
    assert odd_names.folded(one) == odd_names.folded(other)


@pytest.mark.parametrize(("one", "other"), [("a", "b"), ("e", "\u00e9"), ("a ", "a"), ("\udce9", "\udcea")])
def test_names_that_differ_otherwise_do_not_fold_to_one(one: str, other: str) -> None:
    assert odd_names.folded(one) != odd_names.folded(other)


@given(st.text())
def test_folding_does_not_see_the_unicode_form(name: str) -> None:
    assert odd_names.folded(unicodedata.normalize("NFD", name)) == odd_names.folded(unicodedata.normalize("NFC", name))
