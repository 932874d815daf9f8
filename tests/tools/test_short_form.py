"""The short form of the suite: what it runs, and what it leaves to the long one."""

import pytest

pytest_plugins = ["pytester"]

CONFTEST = """
from support.short_form import left_to_the_long_form

def pytest_collection_modifyitems(items):
    left = left_to_the_long_form(items)
    items[:] = [item for item in items if item not in set(left)]
"""
MARKS = "[pytest]\nmarkers =\n    few(n): x\n    exhaustive: x\n"


def runs_of(pytester: pytest.Pytester, test: str) -> list[str]:
    """Return the parameters with which the short form runs a test."""
    pytester.makeini(MARKS)
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(f"import pytest\n\n{test}")
    result = pytester.runpytest("--collect-only", "-q")
    return [line.partition("::test_it")[2] for line in result.outlines if "::" in line]


def test_each_value_of_each_parameter_is_run_once(pytester: pytest.Pytester) -> None:
    test = '@pytest.mark.parametrize("x", [1, 2])\n@pytest.mark.parametrize("y", "abc")\ndef test_it(x, y): ...'
    assert runs_of(pytester, test) == ["[a-1]", "[b-2]", "[c-1]"]


def test_each_row_of_a_table_is_run(pytester: pytest.Pytester) -> None:
    test = '@pytest.mark.parametrize(("x", "y"), [(1, 1), (1, 2), (2, 1), (2, 2)])\ndef test_it(x, y): ...'
    assert runs_of(pytester, test) == ["[1-1]", "[1-2]", "[2-1]", "[2-2]"]


def test_values_of_a_fixture_count_as_parameters(pytester: pytest.Pytester) -> None:
    test = (
        "@pytest.fixture(params='ab')\ndef z(request): return request.param\n\n"
        "@pytest.mark.parametrize('x', [1, 2])\ndef test_it(x, z): ..."
    )
    assert len(runs_of(pytester, test)) == 2


def test_few_are_spread_over_all_and_what_is_exhaustive_is_left_out(pytester: pytest.Pytester) -> None:
    test = '@pytest.mark.few(2)\n@pytest.mark.parametrize("x", [0, 1, 2, 3])\ndef test_it(x): ...'
    assert runs_of(pytester, test) == ["[0]", "[2]"]
    assert runs_of(pytester, "@pytest.mark.exhaustive\ndef test_it(): ...") == []


def test_a_test_without_parameters_is_run(pytester: pytest.Pytester) -> None:
    assert runs_of(pytester, "def test_it(): ...") == [""]
