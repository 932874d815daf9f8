"""docs/faults.md: each row has a test, and each test that it names is there."""

from __future__ import annotations

import ast
import re
from functools import cache

from support.program import PROJECT

PAGE = PROJECT / "docs/faults.md"
NOT_YET = {12}
"""The rows that wait for what the program cannot do yet; they say so."""


def rows() -> list[tuple[int, str, str]]:
    """Return number, what is done and tests of each row."""
    cells = [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if re.match(r"\| \d", line)
    ]
    return [(int(number), right, tests) for number, _, right, tests in cells]


@cache
def defined_in(path: str) -> set[str]:
    tree = ast.parse((PROJECT / "tests" / path).read_text(encoding="utf-8"))
    return {each.name for each in tree.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_the_rows_are_numbered_from_1_without_a_gap() -> None:
    numbers = [number for number, _, _ in rows()]
    assert sorted(numbers) == list(range(1, len(numbers) + 1))
    assert len(numbers) >= 112


def test_each_row_has_a_test_or_says_what_it_waits_for() -> None:
    without = {number for number, _, tests in rows() if "::" not in tests}
    assert without == NOT_YET
    for number, right, _ in rows():
        assert number not in NOT_YET or re.search("later|until|[Nn]ot yet", right)


def test_each_test_that_is_named_exists() -> None:
    named = [name for _, _, tests in rows() for name in re.findall(r"`([^`]+)`", tests)]
    assert len(named) > 200
    lacking = [name for name in named if name.split("::")[1] not in defined_in(name.split("::")[0])]
    assert not lacking
