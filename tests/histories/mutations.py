"""Makes small mistakes in the program's text, one at a time, by its syntax tree. Writes only copies."""

from __future__ import annotations

import ast
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

NAME = "async_mirror"
_TARGETS = ("plan", "planner", "candidates", "recover", "recovery", "journal", "attempt", "apply", "upload")
"""Modules that decide what becomes of a path; where they are not there yet, see _INSTEAD."""
_INSTEAD = {"journal": ("store", "state"), "recover": ("survey",)}

_LEFT_OUT = re.compile(
    r"strerror|NO_[MR]\w+|NOT_ATOMIC|UNTOLD|^'|else f?'|mount|progress|bytes_sent|piece|transient|_MUCH|MOST\b|_AT_ONCE"
    r"|_ASKED\w+|_TOGETHER|assert_never|asks|replaces|REPLACES|[dD]ecides|target|kept\(|durable=False"
)
"""What breaks no law of the histories: what is told to people, of files of others too, right or wrong; how fast it
goes, and how much of something is much; when it is tried again, in this pass or the next; what no history has (mount
points), and what is never carried out.
"""
_OTHER: dict[type[ast.AST], type[ast.AST]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip


@dataclass(frozen=True)
class Mutation:
    """A mistake: in which module, on which line and in which column, and what it is."""

    module: Path
    line: int
    column: int
    what: str
    text: str

    def write(self, package: Path, folder: Path) -> None:
        """Copy the package into a folder, with the mistake in it."""
        shutil.copytree(package, folder / NAME, ignore=shutil.ignore_patterns("__pycache__"))
        (folder / NAME / self.module).write_text(self.text)

    def __str__(self) -> str:
        return f"{self.module}:{self.line}:{self.column}: {self.what}"


@dataclass(frozen=True)
class Choice:
    """Where mistakes are made: in modules of these names, in no function of these, in nothing that looks like this."""

    modules: Sequence[str]
    functions_left_out: frozenset[str] = frozenset()
    left_out: re.Pattern[str] = re.compile(r"(?!)")


FOR_HISTORIES = Choice(_TARGETS, frozenset({"lost"}), _LEFT_OUT)
"""What histories can find; `lost` is only done for workers in other processes."""


def draw(package: Path, number: int, seed: str, choice: Choice = FOR_HISTORIES) -> list[Mutation]:
    """Draw so many different mistakes out of all; the same seed and text give the same ones."""
    places = [place for module in targets(package, choice) for place in _places(package, module, choice)]
    chosen = Random(seed).sample(places, min(number, len(places)))
    return [place() for place in chosen]


def count(package: Path, choice: Choice = FOR_HISTORIES) -> int:
    """Return how many mistakes there are to be drawn from."""
    return sum(1 for module in targets(package, choice) for _ in _places(package, module, choice))


def targets(package: Path, choice: Choice = FOR_HISTORIES) -> list[Path]:
    """Return the modules that mistakes are made in."""
    there = {path.stem: path.relative_to(package) for path in sorted(package.rglob("*.py"))}
    wanted = [name for name in choice.modules if name in there]
    missing = [others for name, others in _INSTEAD.items() if name in choice.modules and name not in there]
    return [there[name] for name in [*wanted, *(other for others in missing for other in others if other in there)]]


def _places(package: Path, module: Path, choice: Choice) -> Iterator[Callable[[], Mutation]]:
    tree = ast.parse((package / module).read_text())
    nodes = list(_inside_functions(tree, choice))
    for index, (_, node) in enumerate(nodes):
        for variant in range(len(_mistakes(node))):
            yield partial(_make, tree, module, choice, index, variant)


def _make(tree: ast.Module, module: Path, choice: Choice, index: int, variant: int) -> Mutation:
    copy = deepcopy(tree)
    parent, node = list(_inside_functions(copy, choice))[index]
    before = ast.unparse(node).split("\n")[0]
    line, column = getattr(node, "lineno", 0), getattr(node, "col_offset", 0)
    mistaken = _mistakes(node)[variant]()
    _replace(parent, node, mistaken)
    text = ast.unparse(ast.fix_missing_locations(copy)) + "\n"
    after = ast.unparse(mistaken).split("\n")[0]
    return Mutation(module, line, column, f"{before}   ==>   {after}", text)


def _inside_functions(tree: ast.AST, choice: Choice) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Yield (parent, node) of all that is carried out, but for what is left out."""
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for statement in function.body if function.name not in choice.functions_left_out else ():
            yield from _carried_out(function, statement, choice.left_out)


def _carried_out(parent: ast.AST, node: ast.AST, left_out: re.Pattern[str]) -> Iterator[tuple[ast.AST, ast.AST]]:
    if isinstance(node, ast.JoinedStr | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Assert):
        return
    is_simple = isinstance(node, ast.Expr | ast.Assign | ast.AugAssign | ast.Raise) or not isinstance(node, ast.stmt)
    if is_simple and left_out.search(ast.unparse(node)):
        return
    yield parent, node
    for child in ast.iter_child_nodes(node):
        if not isinstance(node, ast.Raise):
            yield from _carried_out(node, child, left_out)


def _mistakes(node: ast.AST) -> list[Callable[[], ast.AST]]:
    """Return what may be made of a node: each a mistake that still is a program."""
    match node:
        case ast.Compare(ops=[operator]):
            other = _OTHER[type(operator)]
            return [lambda: ast.Compare(node.left, [other()], node.comparators)]  # type: ignore[list-item]
        case ast.BoolOp():
            other = _OTHER[type(node.op)]
            turned = partial(_turned, node, other)
            return [turned, *(partial(_itself, part) for part in node.values)]
        case ast.UnaryOp(op=ast.Not()):
            return [lambda: node.operand]
        case ast.If() | ast.While():
            return [lambda: type(node)(ast.UnaryOp(ast.Not(), node.test), node.body, node.orelse)]
        case ast.IfExp():
            return [lambda: ast.IfExp(node.test, node.orelse, node.body)]
        case ast.Constant(value=bool()):
            return [lambda: ast.Constant(not node.value)]
        case ast.Constant(value=int(number)):
            return [lambda: ast.Constant(number + 1)]
        case ast.BinOp(op=ast.Add() | ast.Sub()):
            sign = ast.Sub if isinstance(node.op, ast.Add) else ast.Add
            return [lambda: ast.BinOp(node.left, sign(), node.right)]
        case ast.Expr(value=ast.Call(func=ast.Attribute(attr="close"))):
            return []
        case ast.Expr(value=ast.Call() | ast.Await()) | ast.AugAssign() | ast.Raise():
            return [ast.Pass]
        case ast.Assign(targets=[ast.Attribute()]):
            return [ast.Pass]
        case ast.Call(func=ast.Attribute(attr="_replace")):
            return [partial(_without, node, index) for index in range(len(node.keywords))]
        case _:
            return []


def _turned(node: ast.BoolOp, operator: Any) -> ast.AST:
    return ast.BoolOp(operator(), node.values)


def _itself(node: ast.AST) -> ast.AST:
    return node


def _without(call: ast.Call, index: int) -> ast.Call:
    return ast.Call(call.func, call.args, call.keywords[:index] + call.keywords[index + 1 :])


def _replace(parent: ast.AST, node: ast.AST, other: ast.AST) -> None:
    for name, value in ast.iter_fields(parent):
        if value is node:
            setattr(parent, name, other)
        elif isinstance(value, list) and any(each is node for each in value):
            setattr(parent, name, [other if each is node else each for each in value])
