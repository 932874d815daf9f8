"""The names of temporaries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_mirror.model import odd_names, paths, temporary_names


@given(st.text("0123456789abcdef", min_size=8, max_size=8), st.text("0123456789abcdefxyz", min_size=1, max_size=40))
def test_a_temporary_name_is_recognised_and_fits(state_id: str, token: str) -> None:
    name = temporary_names.temporary(state_id, token)
    assert temporary_names.is_temporary(name)
    assert paths.is_one_component(name)
    assert len(paths.encode(name)) <= 255
    assert not odd_names.odd_traits(name)


def test_a_temporary_name_says_whose_it_is_and_nothing_else() -> None:
    assert temporary_names.temporary("0123abcd", "7f") == ".am-0123abcd-7f.part"


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
