"""That no test leans on another test: what several use stands in `tests/support/`."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


def imported(source: str) -> Iterator[str]:
    """Yield what a module imports, wherever in it, by its full names."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            origin = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            yield from (origin + alias.name for alias in node.names)


def other_tests(source: str) -> list[str]:
    return [name for name in imported(source) if any(part.startswith("test_") for part in name.split("."))]


@pytest.mark.parametrize("path", sorted(TESTS.rglob("*.py")), ids=lambda path: path.relative_to(TESTS).as_posix())
def test_nothing_is_imported_from_a_test(path: Path) -> None:
    assert other_tests(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("line", ["import test_one", "from test_one import two", "from ftp import test_one"])
def test_import_from_a_test_is_noticed(line: str) -> None:
    assert len(other_tests(f"def late():\n    {line}\n")) == 1
