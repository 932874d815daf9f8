"""Names and paths as text and as bytes."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from async_mirror.model import escape, odd_names, paths, temporary_names

CALM = settings(deadline=None, print_blob=True)

RAW_NAMES = st.binary(min_size=1, max_size=255).map(lambda raw: raw.replace(b"\0", b"~").replace(b"/", b"-"))
TURNING = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
LOCAL_NAMES = RAW_NAMES.map(paths.decode)
RAW_PATHS = st.lists(RAW_NAMES, min_size=1, max_size=5).map(b"/".join)
PATHS = RAW_PATHS.map(paths.decode)
PLAIN = st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]))
ODD = st.lists(LOCAL_NAMES, max_size=8).map(lambda some: frozenset().union(*map(odd_names.odd_traits, some)))


@CALM
@given(RAW_PATHS)
def test_every_byte_of_a_local_path_survives_the_way_to_text_and_back(raw: bytes) -> None:
    assert paths.encode(paths.decode(raw)) == raw


@CALM
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_what_is_text_survives_the_way_to_bytes_and_back(text: str) -> None:
    assert paths.decode(paths.encode(text)) == text


@CALM
@given(RAW_PATHS, RAW_PATHS)
def test_two_paths_are_one_text_only_if_they_are_one_in_bytes(one: bytes, other: bytes) -> None:
    assert (paths.decode(one) == paths.decode(other)) is (one == other)


@CALM
@given(st.text() | PATHS)
def test_shown_holds_no_control_character_and_can_be_written_as_utf_8(text: str) -> None:
    shown = escape.shown(text)
    assert not any(unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} for character in shown)
    assert not any(unicodedata.bidirectional(character) in TURNING for character in shown)
    assert not {"\u061c", "\u200e", "\u200f"} & set(shown)
    assert shown.encode().decode() == shown


@CALM
@given(PLAIN)
def test_shown_leaves_plain_text_alone(text: str) -> None:
    assert escape.shown(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\r", r"a\x0ab\x0d"),
        ("\x1b[31m", r"\x1b[31m"),
        ("\x7f\x9b", r"\x7f\x9b"),
        ("caf\udce9", r"caf\xe9"),
        ("\udcff", r"\xff"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("\u2028\u2066", r"\u2028\u2066"),
        ("a\u200fb\u200ec\u061cd", r"a\u200fb\u200ec\u061cd"),
        ("\u2069\u206a\u206f", r"\u2069\u206a\u206f"),
        ("\U0001f469\u200d\U0001f4bb \u0645\u06cc\u200c\u062e", "\U0001f469\u200d\U0001f4bb \u0645\u06cc\u200c\u062e"),
        ("\ud800", r"\ud800"),
        ("na\u00efve \u6f22\U0001f600 *?", "na\u00efve \u6f22\U0001f600 *?"),
    ],
)
def test_shown_escapes_what_a_terminal_would_obey(text: str, shown: str) -> None:
    assert escape.shown(text) == shown


@CALM
@given(st.text("0123456789abcdef", min_size=8, max_size=8), st.text("0123456789abcdefxyz", min_size=1, max_size=40))
def test_a_temporary_name_is_recognised_and_fits(state_id: str, token: str) -> None:
    name = temporary_names.temporary(state_id, token)
    assert temporary_names.is_temporary(name)
    assert paths.is_one_component(name)
    assert len(paths.encode(name)) <= 255
    assert not odd_names.odd_traits(name)


def test_a_temporary_name_says_whose_it_is_and_nothing_else() -> None:
    assert temporary_names.temporary("0123abcd", "7f") == ".am-0123abcd-7f.part"


@CALM
@given(LOCAL_NAMES)
def test_a_sample_has_exactly_the_traits_of_the_name_that_it_stands_for(name: str) -> None:
    traits = odd_names.odd_traits(name)
    assert odd_names.odd_traits(odd_names.sample(traits)) == traits


@CALM
@given(ODD)
def test_a_sample_of_many_names_fits_and_is_one_component(traits: frozenset[str]) -> None:
    sample = odd_names.sample(traits - {"\r", "\n"})
    assert paths.is_one_component(sample)
    assert not temporary_names.is_temporary(sample)
    assert len(paths.encode(sample)) <= 255


@pytest.mark.parametrize(
    "name",
    [
        "am-0123abcd-1.part",
        ".am-0123abcd-1.parts",
        ".am-0123abcd-1.part.html",
        ".am-0123abc-1.part",
        ".am-0123abcde-1.part",
        ".am-0123ABCD-1.part",
        ".am-0123abcg-1.part",
        "x.am-0123abcd-1.part",
        ".am-0123abcd.part",
        ".am-0123abcd-.part",
        ".am-0123abcd-1.part\n",
        " .am-0123abcd-1.part",
        ".am-0123abcd-1x1.part ",
        "",
    ],
)
def test_a_name_that_only_resembles_a_temporary_is_the_users_own(name: str) -> None:
    assert not temporary_names.is_temporary(name)


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
        ("\udce9", {"\udcff"}),
        (" \u00e9:\udc80.", {"^ ", "\u00e9", ":", "\udcff", ".$"}),
    ],
)
def test_odd_traits_are_what_servers_are_known_to_alter(name: str, traits: set[str]) -> None:
    assert odd_names.odd_traits(name) == traits


@CALM
@given(st.text("abcXYZ019_-,;=+@!$&'()[]{}~^%#", min_size=1))
def test_a_plain_ascii_name_has_no_odd_trait(name: str) -> None:
    assert not odd_names.odd_traits(name)


@CALM
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


@pytest.mark.parametrize(
    "name", ["", ".", "..", "/", "/x", "x/", "a/b", "../x", "\0", "a\0b", "a\rb", "a\nb", "\r\n", "x\n"]
)
def test_a_name_that_could_lead_elsewhere_is_not_one_component(name: str) -> None:
    assert not paths.is_one_component(name)


@pytest.mark.parametrize("name", ["a", "...", "..a", " ", "-", "~", "a\\b", "\udcff", "C:", "*"])
def test_an_odd_but_harmless_name_is_one_component(name: str) -> None:
    assert paths.is_one_component(name)


@pytest.mark.parametrize("name", ["a\nb", "a\rb", "a\0b", "\r\n"])
def test_a_line_break_in_a_name_is_refused_with_a_reason(name: str) -> None:
    assert odd_names.refusal(name)


@CALM
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


@CALM
@given(st.text())
def test_folding_does_not_see_the_unicode_form(name: str) -> None:
    assert odd_names.folded(unicodedata.normalize("NFD", name)) == odd_names.folded(unicodedata.normalize("NFC", name))


@CALM
@given(PATHS)
def test_split_and_join_undo_each_other(path: str) -> None:
    folder, name = paths.split(path)
    assert paths.join(folder, name) == path
    assert paths.parent(path) == folder
    assert "/" not in name


@CALM
@given(PATHS)
def test_the_lineage_of_a_path_leads_down_to_its_parent(path: str) -> None:
    chain = ["", *paths.lineage(path), path]
    assert [paths.parent(below) for below in chain[1:]] == chain[:-1]


def test_a_path_in_the_root_has_no_lineage() -> None:
    assert paths.lineage("a") == []
    assert paths.lineage("a/b/c") == ["a", "a/b"]


@CALM
@given(PATHS)
def test_a_path_is_inside_itself_its_lineage_and_the_root(path: str) -> None:
    assert all(paths.is_inside(path, folder) for folder in ["", path, *paths.lineage(path)])
    assert not paths.is_inside(path, path + "/below")


@pytest.mark.parametrize(("path", "folder"), [("ab", "a"), ("a", "a/b"), ("", "a"), ("ab/c", "a"), ("b/a", "a")])
def test_a_path_that_merely_begins_alike_is_not_inside(path: str, folder: str) -> None:
    assert not paths.is_inside(path, folder)
