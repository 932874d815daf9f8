"""The rooms stay rooms: few modules in each, none of them long, no object that knows too much, nobody that blocks."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import async_mirror

PACKAGE = Path(async_mirror.__file__).parent
ROOMS = sorted(str(path.parent.relative_to(PACKAGE)) for path in PACKAGE.glob("*/**/__init__.py"))
MODULES = [path for path in sorted(PACKAGE.rglob("*.py")) if path.name != "multi.py"]
LARGER = ("RemoteSession", "FtpSession", "Report", "Door")
"""What a session does, as a protocol says; a method for each thing that is told; what counts who goes in and out."""


def sizes(module: Path) -> Iterator[tuple[str, int, int]]:
    """Yield each class of a module, how many methods it has, and how many attributes they give it."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.ClassDef):
            methods = [each for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
            yield node.name, len(methods), len(set_on_self(methods))


def set_on_self(methods: list[ast.FunctionDef | ast.AsyncFunctionDef]) -> set[str]:
    return {
        node.attr
        for method in methods
        for node in ast.walk(method)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self"
    }


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_has_at_most_fourteen_modules(room: str) -> None:
    assert 0 < len([path for path in (PACKAGE / room).glob("*.py") if path.name != "__init__.py"]) <= 14


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_is_short_and_its_objects_are_small(module: Path) -> None:
    assert len(module.read_text().splitlines()) <= 400
    assert [each for each in sizes(module) if (each[1] > 20 or each[2] > 15) and each[0] not in LARGER] == []


@pytest.mark.parametrize("room", ["sync", "jobs", "model"])
def test_a_pass_reads_as_if_nothing_blocked(room: str) -> None:
    words = ("offload", "executor", "in_thread", "threading")
    texts = {path.name: path.read_text().lower() for path in (PACKAGE / room).glob("*.py")}
    assert [name for name, text in texts.items() if any(word in text for word in words)] == []
