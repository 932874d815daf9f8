"""The figures that README and site show are those that were measured."""

import re

import pytest
from support.pages import PAGES
from support.program import PROJECT

RESULTS = (PROJECT / "bench/RESULTS.md").read_text(encoding="utf-8")
PAGE = PAGES["docs/benchmarks.md"]
README = PAGES["README.md"]


def cells(line: str) -> list[str]:
    return [cell.strip(" *`") for cell in line.split("|")[1:-1]]


def measured(cell: str) -> list[str]:
    """Return what a cell took with async-mirror, lftp and rclone, as a page shows it."""
    (row,) = [cells(line) for line in RESULTS.splitlines() if line.startswith(f"| `{cell}` |")]
    figures = [re.sub(r"\*|\(.*", "", each).strip() for each in row[5:8]]
    return [f"{float(each):.1f} s" if re.fullmatch(r"[\d.]+", each) else each for each in figures]


ROWS = [cells(line) for line in PAGE.splitlines() if re.match(r"\| .* \| `[a-z]+[\w-]*` \|", line)]


@pytest.mark.parametrize(("cell", "shown"), [(row[1], row[2:]) for row in ROWS])
def test_a_figure_on_the_page_is_the_one_that_was_measured(cell: str, shown: list[str]) -> None:
    assert shown == measured(cell)


def test_the_figures_of_the_readme_are_on_the_page() -> None:
    rows = [cells(line) for line in README.splitlines() if re.match(r"\| .* s \|", line)]
    assert len(rows) == 3
    assert [row[1:] for row in rows if row[1:] not in [each[2:] for each in ROWS]] == []


def test_the_figures_of_the_modes_are_those_that_were_measured() -> None:
    modes = {row[0]: row[1:] for row in map(cells, RESULTS.splitlines()) if len(row) == 6}
    measured = {f"{mode}8": modes[f"{mode}<n>"][3] for mode in "ATP"} | {"A": modes["A"][3], "S": modes["S"][0]}
    shown = dict(re.findall(r"`([ATPS]8?)` ([\d.]+) s", PAGE.rstrip().split("\n\n")[-1]))
    assert shown == measured
