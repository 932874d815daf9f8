"""Samples of the two tools that let everything go wrong: the sweep in virtual time, and kills on real servers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from servers import REAL, available

ROOT = Path(__file__).parents[2]


def run(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": "tests"}
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900, check=False)


def test_no_law_is_broken_by_a_fault_at_any_command_of_a_sample() -> None:
    swept = run("tests.histories.sweep", "--sample", "120", "--jobs", str(os.cpu_count() or 1))
    assert swept.returncode == 0, swept.stdout + swept.stderr
    assert swept.stdout.splitlines()[-1].startswith("120 cases, 0 failed")


def test_sweep_that_was_ended_goes_on_where_it_was(tmp_path: Path) -> None:
    arguments = ("tests.histories.sweep", "--kind", "plain", "--mode", "S", "--sample", "6", "--jobs", "1")
    done = tmp_path / "done"
    whole = run(*arguments, "--done", str(done))
    assert whole.returncode == 0, whole.stdout + whole.stderr
    lines = done.read_text().splitlines(keepends=True)
    assert len(lines) == 6
    failed = lines[1].replace("\tok", "\ta law was broken")
    done.write_text("".join([lines[0], failed, lines[2][:-1]]))
    again = run(*arguments, "--done", str(done))
    assert again.returncode == 1
    assert again.stdout.splitlines()[-1].startswith("6 cases, 1 failed")
    assert sorted(done.read_text().splitlines(keepends=True)) == sorted([lines[0], failed, *lines[2:]])


@pytest.mark.exhaustive
@pytest.mark.parametrize("options", [(), ("--faults",)])
def test_nothing_is_wrong_after_a_sample_of_kills_and_faults(options: tuple[str, ...]) -> None:
    missing = [reason for kind in REAL if (reason := available(kind))]
    if missing and os.environ.get("CI") != "true":
        pytest.skip(missing[0])
    killed = run("kills", "-n", "6", *options)
    assert killed.returncode == 0, killed.stdout + killed.stderr
    assert killed.stdout.splitlines()[-1] == "6 kills, 0 with something wrong afterwards"
