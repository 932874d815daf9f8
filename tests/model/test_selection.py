"""Which paths belong to the mirror."""

from posixpath import dirname

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_mirror.model.entry import Entry, Kind
from async_mirror.model.selection import Selection


def at(path: str) -> Entry:
    """Return an entry; a path that ends in a slash is a folder."""
    return Entry(path.rstrip("/"), Kind.FOLDER if path.endswith("/") else Kind.FILE)


NAMES = st.sampled_from(["a", "b", "build", "x.log", "keep.log", ".c", "d e", "\udcff.log", "a.tar.gz"])
PATHS = st.lists(NAMES, min_size=1, max_size=5).map("/".join)
ENTRIES = st.builds(Entry, PATHS, st.sampled_from(Kind))
PATTERNS = st.lists(
    st.sampled_from(["*.log", "!keep.log", "build/", "/a", "**/b", "a/**", "!a", "d e", "*", "!*/", "b/*/a"]),
    max_size=4,
)
SELECTIONS = st.builds(
    Selection,
    st.none() | st.integers(1, 5),
    st.frozensets(st.sampled_from([".log", ".gz"])),
    PATTERNS.map(tuple),
)


@given(SELECTIONS, ENTRIES)
def test_a_rule_is_named_for_each_entry_that_is_excluded_and_for_no_other(selection: Selection, entry: Entry) -> None:
    assert bool(selection.rule(entry)) is not selection.includes(entry)


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("a/b/c", "--max-depth 2"),
        ("a/x.tmp", "--exclude-ext .tmp"),
        ("drafts/idea", "--exclude drafts/*"),
        ("drafts/ready", ""),
        ("build/", "--exclude build/"),
        ("build", ""),
    ],
)
def test_the_rule_is_the_one_that_decided(path: str, rule: str) -> None:
    selection = Selection(2, frozenset({".tmp"}), ("build/", "drafts/*", "!drafts/ready"))
    assert selection.rule(at(path)) == rule


@pytest.mark.parametrize(
    ("depth", "path", "taken"),
    [
        (1, "a", True),
        (1, "a/", False),
        (1, "a/b", False),
        (2, "a/", True),
        (2, "a/b", True),
        (2, "a/b/", False),
        (2, "a/b/c", False),
        (3, "a/b/", True),
        (None, "a/b/c/d/e/f/g/", True),
    ],
)
def test_depth_counts_the_files_directly_in_the_source_as_1(depth: int | None, path: str, taken: bool) -> None:
    selection = Selection(max_depth=depth)
    assert selection.includes(at(path)) is taken
    assert selection.includes_with_parents(at(path)) is taken


@pytest.mark.parametrize(
    ("path", "taken"),
    [
        ("a.gz", False),
        ("a.tar.gz", False),
        ("x/y/a.gz", False),
        ("a.gz.txt", True),
        ("gz", True),
        (".gz", True),
        ("x.gz/a", True),
        ("a.GZ", True),
        ("a.", True),
        ("a.gz/", True),
        (" .gz", False),
        ("\udcff.gz", False),
        ("a\n.gz", False),
    ],
)
def test_an_extension_is_what_follows_the_last_dot_of_a_file_name(path: str, taken: bool) -> None:
    assert Selection(excluded_extensions=frozenset({".gz"})).includes_with_parents(at(path)) is taken


def test_a_hidden_name_and_a_name_without_a_dot_have_no_extension() -> None:
    selection = Selection(excluded_extensions=frozenset({".bashrc", ".", ".Makefile"}))
    assert all(selection.includes(at(path)) for path in (".bashrc", "x/.bashrc", "Makefile", "x.y/Makefile"))


@pytest.mark.parametrize(
    ("patterns", "path", "taken"),
    [
        ("*.log", "a.log", False),
        ("*.log", "x/y/a.log", False),
        ("*.log", "a.log/", False),
        ("*.log", "a.log/kept", False),
        ("*.log", "a.log.txt", True),
        ("*.log !keep.log", "keep.log", True),
        ("*.log !keep.log", "x/keep.log", True),
        ("*.log !keep.log", "x/lost.log", False),
        ("!keep.log *.log", "keep.log", False),
        ("build/", "build/", False),
        ("build/", "build", True),
        ("build/", "build/a", False),
        ("build/", "x/build/", False),
        ("build/", "x/build/y/z", False),
        ("build/", "builder/", True),
        ("build/ !build/keep", "build/keep", False),
        ("build/* !build/keep", "build/", True),
        ("build/* !build/keep", "build/keep", True),
        ("build/* !build/keep", "build/lost", False),
        ("/x", "x", False),
        ("/x", "x/", False),
        ("/x", "x/y", False),
        ("/x", "a/x", True),
        ("a/b", "a/b", False),
        ("a/b", "c/a/b", True),
        ("**/b/c", "b/c", False),
        ("**/b/c", "x/y/b/c", False),
        ("**/b/c", "b/x/c", True),
        ("a/**", "a/", True),
        ("a/** !a/keep", "a/keep", True),
        ("a/**", "a/x", False),
        ("a/**", "a/x/y", False),
        ("a/**", "b/a/x", True),
        ("a/**/z", "a/z", False),
        ("a/**/z", "a/b/c/z", False),
        ("a/**/z", "b/z", True),
        ("a/*/z", "a/z", True),
        ("a/*/z", "a/b/z", False),
        ("a/*/z", "a/b/c/z", True),
        ("?.txt", "a.txt", False),
        ("?.txt", "ab.txt", True),
        ("[ab].txt", "b.txt", False),
        ("[!ab].txt", "b.txt", True),
        ("[!ab].txt", "c.txt", False),
        (r"\!x", "!x", False),
        (r"\#x", "#x", False),
        ("#x", "#x", True),
        (r"\*", "*", False),
        (r"\*", "a", True),
        ("* !*/ !*.html", "c.html", True),
        ("* !*/ !*.html", "a/", True),
        ("* !*/ !*.html", "a/b/c.html", True),
        ("* !*/ !*.html", "a/b/c.txt", False),
        ("*.log !a/", "a/b.log", False),
        ("secret/ !/docs/", "docs/secret/", False),
        ("secret !/docs", "docs/secret/key", False),
        ("secret !/docs", "docs/plain", True),
        ("/* !/a /a/* !/a/b", "a/b/c", True),
        ("/* !/a /a/* !/a/b", "a/c", False),
        ("/* !/a /a/* !/a/b", "c", False),
        ("*.log", "\udce9.log", False),
        ("*.log", " .log", False),
        ("\u00e9", "e\u0301", True),
    ],
)
def test_patterns_mean_what_they_mean_to_git(patterns: str, path: str, taken: bool) -> None:
    assert Selection(patterns=tuple(patterns.split(" "))).includes_with_parents(at(path)) is taken


@pytest.mark.parametrize(
    ("pattern", "path", "taken"),
    [
        ("a b", "a b", False),
        ("a b", "a", True),
        ("trailing  ", "trailing", False),
        ("kept\\ ", "kept ", False),
        ("kept\\ ", "kept", True),
        ("", "a", True),
    ],
)
def test_spaces_in_a_pattern_count_unless_they_trail(pattern: str, path: str, taken: bool) -> None:
    assert Selection(patterns=(pattern,)).includes(at(path)) is taken


@pytest.mark.parametrize("pattern", ["!", "\\", "a\\", "[z-a]"])
def test_a_pattern_that_means_nothing_is_a_value_error_at_once(pattern: str) -> None:
    with pytest.raises(ValueError):
        Selection(patterns=("*.log", pattern))


def test_all_rules_have_to_agree() -> None:
    selection = Selection(2, frozenset({".tmp"}), ("secret*",))
    paths = ["a", "a.tmp", "secret", "x/", "x/a", "x/a.tmp", "x/secret", "x/y/", "x/y/a", "secrets/"]
    assert [path for path in paths if selection.includes_with_parents(at(path))] == ["a", "x/", "x/a"]


def test_visible_keeps_the_order_and_looks_at_the_entries_alone() -> None:
    entries = [at("out/b"), at("out/a.log"), at("out/c/"), at("out/a")]
    assert Selection(patterns=("*.log",)).visible(entries) == [at("out/b"), at("out/c/"), at("out/a")]


@given(ENTRIES)
def test_a_selection_without_rules_takes_everything(entry: Entry) -> None:
    assert Selection().includes(entry)
    assert Selection().includes_with_parents(entry)


@given(SELECTIONS, ENTRIES)
def test_what_belongs_to_the_mirror_has_parents_that_do(selection: Selection, entry: Entry) -> None:
    taken = selection.includes_with_parents(entry)
    assert not taken or selection.includes(entry)
    folder = dirname(entry.path)
    while folder:
        assert not taken or selection.includes(Entry(folder, Kind.FOLDER))
        assert not taken or selection.includes_with_parents(Entry(folder, Kind.FOLDER))
        folder = dirname(folder)


@given(SELECTIONS, ENTRIES)
def test_walking_down_finds_exactly_what_includes_with_parents_says(selection: Selection, entry: Entry) -> None:
    parts = entry.path.split("/")
    above = [Entry("/".join(parts[:count]), Kind.FOLDER) for count in range(1, len(parts))]
    found = all(selection.visible([step]) for step in [*above, entry])
    assert selection.includes_with_parents(entry) is found


@given(st.integers(1, 6), ENTRIES)
def test_depth_is_the_number_of_components_and_folders_need_room_below(depth: int, entry: Entry) -> None:
    components = len(entry.path.split("/")) + (entry.kind is Kind.FOLDER)
    assert Selection(max_depth=depth).includes(entry) is (components <= depth)


@pytest.mark.parametrize(("pattern", "meant"), [("./drafts", "'/drafts'"), ("!./drafts/a", "'!/drafts/a'")])
def test_pattern_that_could_never_match_is_refused_with_what_was_meant(pattern: str, meant: str) -> None:
    with pytest.raises(ValueError, match=meant):
        Selection(patterns=(pattern,))


def test_what_is_set_apart_is_not_mirrored_nor_what_is_below_it() -> None:
    selection = Selection(apart=frozenset({"a/b"}))
    included = {
        path: selection.includes_with_parents(Entry(path, kind))
        for path, kind in {"a": Kind.FOLDER, "a/b": Kind.FOLDER, "a/b/c": Kind.FILE, "a/bc": Kind.FILE}.items()
    }
    assert included == {"a": True, "a/b": False, "a/b/c": False, "a/bc": True}
    assert selection.rules != Selection().rules


def test_what_a_site_may_take_for_what_is_set_apart_is_not_mirrored_and_named() -> None:
    selection = Selection(patterns=("A/b",), apart=frozenset({"a/b", "d", "D"}))
    alike = {path: selection.mistaken_for(Entry(path, Kind.FOLDER)) for path in ("a/B", "a/b", "A/b", "a/bc", "d", "D")}
    assert alike == {"a/B": "a/b", "a/b": "", "A/b": "", "a/bc": "", "d": "", "D": ""}
    assert not selection.includes_with_parents(Entry("a/B/c", Kind.FILE))
    assert selection.includes(Entry("A", Kind.FOLDER))
