"""The names of temporaries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_mirror.model import odd_names, paths, temporary_names
from async_mirror.model.change import Job, MakeFolder
from async_mirror.model.entry import Entry, Kind

TOKENS = st.builds(
    lambda token, number, end: Job(MakeFolder(Entry("x", Kind.FOLDER), ""), f"{token}{number:x}z", 4).token + end,
    st.text("0123456789abcdef", min_size=8, max_size=8),
    st.integers(1, 1 << 40),
    st.sampled_from(["0", "17", "o", "p"]),
)


@given(
    st.text("0123456789abcdef", min_size=8, max_size=8),
    TOKENS,
    st.integers(0, len(temporary_names.SHAPES) - 1),
    st.text(max_size=20),
)
def test_a_temporary_name_of_any_shape_is_recognised_and_fits(
    state_id: str, token: str, shape: int, final: str
) -> None:
    name = temporary_names.temporary(state_id, token, shape, final)
    assert temporary_names.is_temporary(name)
    assert paths.is_one_component(name)
    assert len(paths.encode(name)) <= 255
    assert not odd_names.odd_traits(name)


def test_a_temporary_name_says_whose_it_is_and_nothing_else() -> None:
    assert temporary_names.temporary("0123abcd", "7f") == ".am-0123abcd-7f.part"
    for shape in range(len(temporary_names.FOUND_OUT)):
        assert temporary_names.temporary("0123abcd", "7f", shape, "index.php") == temporary_names.temporary(
            "0123abcd", "7f", shape
        )


@pytest.mark.parametrize(
    ("final", "name"),
    [
        ("index.html", "am-0123abcd-7f.html"),
        ("a.tar.gz", "am-0123abcd-7f.gz"),
        ("README", "am-0123abcd-7f"),
        ("a.\u00e9t\u00e9", "am-0123abcd-7f"),
        ("a. b", "am-0123abcd-7f"),
    ],
)
def test_the_last_shape_alone_has_the_extension_of_the_file_if_that_is_a_plain_one(final: str, name: str) -> None:
    assert temporary_names.temporary("0123abcd", "7f", 4, final) == name


@pytest.mark.parametrize(
    "name",
    [
        "am-20260101-report",
        "am-20260101-report.txt",
        "am-0123abcd-0123456789z0.tar.gz",
        "am-0123abcd-0123456789z",
        "am-0123abcd-01234567z0",
        "am-0123abcd-1.temp",
        "..am-0123abcd-1.part",
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
