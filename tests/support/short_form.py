"""Which runs of a test the short form of the suite makes: each value of each parameter, not each combination.

A test that runs on each real server runs on one, which differs from test to test. What a mark says goes first:
`exhaustive` runs in the long form alone, `few(n)` gives n runs spread over all of them. Each kind of test has a budget.
"""

from collections.abc import Iterable, Sequence
from zlib import crc32

import pytest

Choice = tuple[tuple[str, ...], tuple[int, ...]]
"""Arguments that are given together, and which of their values: by identity, as pytest passes the same object on."""
BUDGET_S = {"units": 60, "whole program": 150, "zoo": 60, "histories": 60}
"""How long the short form may be at each kind of test on two cores that do nothing else."""
_KINDS = {
    "tests/whole/test_every_server.py": "zoo",
    "tests/remote/": "zoo",
    "tests/tools/test_servers.py": "zoo",
    "tests/tools/test_zoo.py": "zoo",
    "tests/tools/test_histories.py": "histories",
    "tests/tools/test_sweep.py": "histories",
    "tests/whole/": "whole program",
    "tests/docs/": "whole program",
}
"""By where tests lie; the others are units."""


def spent(reports: Iterable[pytest.TestReport], at_a_time: int) -> str:
    """Tell what each kind of test took of its budget, if so many ran at a time."""
    seconds = dict.fromkeys(BUDGET_S, 0.0)
    for report in reports:
        kind = next((kind for place, kind in _KINDS.items() if report.nodeid.startswith(place)), "units")
        seconds[kind] += report.duration / at_a_time
    return ", ".join(f"{kind} {seconds[kind]:.0f} of {most} s" for kind, most in BUDGET_S.items())


def left_to_the_long_form(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """Return the runs that the short form does without."""
    runs: dict[str, list[pytest.Item]] = {}
    for item in items:
        runs.setdefault(item.nodeid.partition("[")[0], []).append(item)
    kept = {id(item) for each in runs.values() for item in _kept(each)}
    return [item for item in items if id(item) not in kept]


def _kept(runs: Sequence[pytest.Item]) -> Iterable[pytest.Item]:
    runs = [run for run in runs if run.get_closest_marker("exhaustive") is None]
    few = runs[0].get_closest_marker("few") if runs else None
    if few is None and _is_for_each_real_server(runs):
        return [runs[crc32(runs[0].nodeid.partition("[")[0].encode()) % len(runs)]]
    if few is None:
        return _each_choice_once(runs)
    number = min(few.args[0], len(runs))
    return [runs[place * len(runs) // number] for place in range(number)]


def _is_for_each_real_server(runs: Sequence[pytest.Item]) -> bool:
    """Tell whether the runs differ in the real server alone: one of them is enough, another one for another test."""
    callspecs = [getattr(run, "callspec", None) for run in runs]
    return all(each is not None and list(each.params) == ["real_server"] for each in callspecs) and bool(runs)


def _each_choice_once(runs: Sequence[pytest.Item]) -> Iterable[pytest.Item]:
    """Yield runs until each choice was made; the run that makes most new ones goes first."""
    choices = {id(run): set(_choices(run)) for run in runs}
    rest = list(runs)
    made: set[Choice] = set()
    while rest:
        best = max(rest, key=lambda run: len(choices[id(run)] - made))
        if choices[id(best)] <= made and made:
            return
        yield best
        rest.remove(best)
        made |= choices[id(best)]


def _choices(run: pytest.Item) -> Iterable[Choice]:
    callspec = getattr(run, "callspec", None)
    if callspec is None:
        return
    together: dict[str, tuple[str, ...]] = {}
    for mark in run.iter_markers("parametrize"):
        names = mark.args[0].split(",") if isinstance(mark.args[0], str) else mark.args[0]
        group = tuple(name.strip() for name in names)
        together.update(dict.fromkeys(group, group))
    for group in dict.fromkeys(together.get(name, (name,)) for name in callspec.params):
        yield group, tuple(id(callspec.params[name]) for name in group if name in callspec.params)
