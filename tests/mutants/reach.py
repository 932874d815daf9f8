"""Which tests reach a line: recorded once for each file of tests, in a folder, and read from there."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from functools import cache
from pathlib import Path

from coverage import CoverageData

from .names import CONFIGURATION

_LONGEST_S = 1800
"""So long a file of tests may take while it is recorded."""
_THROUGH = "through"


def record(folder: Path, project: Path, files: Iterable[Path], *options: str) -> None:
    """Run each file of tests that was not recorded yet, and keep what each test reached, and how long it took."""
    for file in files:
        into = folder / str(file.relative_to(project)).replace(os.sep, "+")
        if (into / _THROUGH).exists():
            continue
        into.mkdir(parents=True, exist_ok=True)
        measure = [sys.executable, "-m", "coverage", "run", f"--rcfile={CONFIGURATION}"]
        tests = ["-m", "pytest", "-q", "-p", "mutants.names", "-p", "no:cacheprovider", *options, str(file)]
        environment = os.environ | {"COVERAGE_FOLDER": str(into)}
        try:
            ran = subprocess.run(
                [*measure, *tests],
                cwd=project,
                env=environment,
                capture_output=True,
                text=True,
                timeout=_LONGEST_S,
                check=False,
            )
            told = ran.stdout.strip().rpartition("\n")[2]
        except subprocess.TimeoutExpired:
            told = "was not through in time"
        (into / _THROUGH).write_text(told + "\n")
        print(f"{file.relative_to(project)}: {told}", flush=True)


class Reach:
    """What was recorded."""

    def __init__(self, folder: Path, package: Path) -> None:
        """Read all of it. `package` is the text that it is about."""
        self._package = package
        self._data: list[CoverageData] = []
        self.seconds: dict[str, float] = {}
        for each in sorted(folder.glob("*/data.*")):
            data = CoverageData(str(each))
            data.read()
            self._data.append(data)
        for each in folder.glob("*/seconds"):
            for line in each.read_text().splitlines():
                test, seconds = line.rsplit("\t", 1)
                self.seconds[test] = float(seconds)

    def tests(self, module: Path, line: int, within_s: float, among: Container[str] | None = None) -> list[str]:
        """Return the tests that reach the statement of a line and take so long together: quick ones, many sorts first.

        Of tests that differ in their parameters alone one comes first, and the others when each sort had its turn.
        """
        found = {test for number in _statement(self._package / module, line) for test in self._reaching(module, number)}
        turns: Counter[str] = Counter()
        ordered = []
        for test in sorted(found & self.seconds.keys(), key=lambda test: (self.seconds[test], test)):
            sort = test.partition("[")[0]
            ordered.append((turns[sort], self.seconds[test], test))
            turns[sort] += 1
        chosen = []
        for _, seconds, test in sorted(ordered):
            if seconds <= within_s and (among is None or test in among):
                within_s -= seconds
                chosen.append(test)
        return chosen

    def _reaching(self, module: Path, line: int) -> set[str]:
        return self._by_line(module).get(line, set())

    @cache  # noqa: B019
    def _by_line(self, module: Path) -> dict[int, set[str]]:
        found: dict[int, set[str]] = {}
        for data in self._data:
            for name in data.measured_files():
                if name.endswith(f"/{self._package.name}/{module}"):
                    for line, contexts in data.contexts_by_lineno(name).items():
                        found.setdefault(line, set()).update(re.split(r"\|(?=tests/)", "|".join(contexts)))
        return found


@cache
def _statements(file: Path) -> Sequence[range]:
    """Return the lines of each statement, of one with a body those before that."""
    spans = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.stmt):
            body = getattr(node, "body", None)
            end = body[0].lineno if body else (node.end_lineno or node.lineno) + 1
            spans.append(range(node.lineno, max(end, node.lineno + 1)))
    return spans


def _statement(file: Path, line: int) -> range:
    return max((span for span in _statements(file) if line in span), key=lambda span: span.start)
