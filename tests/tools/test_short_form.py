"""The short form of the suite: what it runs, and what it leaves to the long one."""

import pytest
from support.short_form import spent

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


def test_what_was_spent_is_told_by_kind_as_if_all_workers_were_busy() -> None:
    def report(nodeid: str, seconds: float) -> pytest.TestReport:
        return pytest.TestReport(nodeid, ("", 0, ""), {}, "passed", None, "call", duration=seconds)

    reports = [
        report("tests/whole/test_cli.py::test_it", 30),
        report("tests/whole/test_every_server.py::test_it", 20),
        report("tests/tools/test_sweep.py::test_it", 10),
        report("tests/tools/test_traits.py::test_it", 4),
        report("tests/test_multi.py::test_it", 4),
    ]
    expected = "units 4 of 60 s, whole program 15 of 150 s, zoo 10 of 60 s, histories 5 of 60 s"
    assert spent(reports, 2) == expected
