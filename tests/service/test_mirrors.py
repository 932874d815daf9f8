"""How mirrors are kept beside each other, where no server is needed to see it."""

from __future__ import annotations

import itertools

import pytest

from async_mirror.engine import Exit
from async_mirror.service.mirrors import worst

ORDER = [0, 7, 1, 4, 3, 2, 5, 6, 130, 143]


@pytest.mark.parametrize(("better", "worse"), list(itertools.pairwise(ORDER)))
def test_of_two_exit_codes_the_worse_counts(better: int, worse: int) -> None:
    assert worst([better, worse, better]) == worst([worse, better]) == worse


def test_every_exit_code_has_its_place() -> None:
    assert set(Exit) <= set(ORDER)
    assert worst([]) == 0
