"""The tool that makes mistakes on purpose: what it draws, and which tests it takes for each."""

from __future__ import annotations

import ast
from pathlib import Path

import coverage
from histories import mutations
from mutants.__main__ import DECIDING
from mutants.reach import Reach

PACKAGE = Path(__file__).parents[2] / mutations.NAME


def test_what_is_drawn_is_the_same_for_one_seed_and_each_is_another_program() -> None:
    drawn = mutations.draw(PACKAGE, 8, "seed", DECIDING)
    assert drawn == mutations.draw(PACKAGE, 8, "seed", DECIDING)
    assert drawn != mutations.draw(PACKAGE, 8, "another", DECIDING)
    for mutation in drawn:
        before = ast.unparse(ast.parse((PACKAGE / mutation.module).read_text()))
        assert ast.unparse(ast.parse(mutation.text)) != before, mutation


def test_mistakes_are_made_in_all_that_decides() -> None:
    assert len(mutations.targets(PACKAGE, DECIDING)) >= len(DECIDING.modules) - 1
    assert mutations.count(PACKAGE, DECIDING) > 500


def test_tests_that_reach_a_statement_come_quick_ones_first_and_one_of_each_sort(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "module.py").write_text("def f(a):\n    if (\n        a\n    ):\n        return 1\n    return 2\n")
    reached = {
        "tests/t.py::one[a]": [2],
        "tests/t.py::one[b]": [3, 5],
        "tests/t.py::two": [2, 6],
        "tests/t.py::no": [6],
    }
    folder = tmp_path / "reach" / "tests+t.py"
    folder.mkdir(parents=True)
    data = coverage.CoverageData(str(folder / "data.1"))
    for test, lines in reached.items():
        data.set_context(test)
        data.add_lines({str(package / "module.py"): lines})
    data.write()
    seconds = {"tests/t.py::one[a]": 1, "tests/t.py::one[b]": 2, "tests/t.py::two": 3, "tests/t.py::no": 4}
    (folder / "seconds").write_text("".join(f"{test}\t{time}\n" for test, time in seconds.items()))
    reach = Reach(tmp_path / "reach", package)
    module = Path("module.py")
    assert reach.tests(module, 3, 60) == ["tests/t.py::one[a]", "tests/t.py::two", "tests/t.py::one[b]"]
    assert reach.tests(module, 2, 4) == ["tests/t.py::one[a]", "tests/t.py::two"]
    assert reach.tests(module, 2, 3) == ["tests/t.py::one[a]", "tests/t.py::one[b]"]
    assert reach.tests(module, 5, 60) == ["tests/t.py::one[b]"]
    assert reach.tests(module, 3, 60, {"tests/t.py::two"}) == ["tests/t.py::two"]
    assert reach.tests(module, 1, 60) == []
