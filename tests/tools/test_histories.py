"""The machine that looks for mistakes: no history breaks a law, and a mistake that is made on purpose is found."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from histories.draw import draw
from histories.history import History
from histories.package import OWN_ERROR
from histories.shrink import shrink

from async_mirror.model.outcome import Problem

ROOT = Path(__file__).parents[2]
KEPT = sorted((ROOT / "tests/histories/kept").glob("*.json"))


def look(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.histories", *map(str, arguments)]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, errors="surrogateescape", timeout=600, check=False
    )


def test_no_law_is_broken_in_500_histories() -> None:
    looked = look("-n", "500", "--jobs", str(os.cpu_count() or 1), "--shrink", "3")
    assert looked.returncode == 0, looked.stdout + looked.stderr
    last = looked.stdout.splitlines()[-1]
    assert last.startswith("500 histories from seed 0, ")
    assert int(last.split(", ")[1].split(" ")[0]) <= 50, f"too many in which nothing happens: {last}"


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", ["in-place", "in-place-times-told"])
def test_no_law_is_broken_where_files_are_written_in_place(kind: str) -> None:
    looked = look("-n", "80", "--kind", kind, "--jobs", str(os.cpu_count() or 1), "--shrink", "1")
    assert looked.returncode == 0, looked.stdout + looked.stderr


def test_what_once_broke_a_law_breaks_none() -> None:
    looked = look("--file", *KEPT)
    assert looked.returncode == 0, looked.stdout + looked.stderr


def test_the_same_seed_gives_the_same_transcript_in_another_process() -> None:
    first, again, other = (look("--replay", seed).stdout for seed in ("7", "7", "8"))
    assert "the program begins" in first
    assert first == again
    assert first != other


def test_a_doubt_that_is_forgotten_is_found_and_found_again_among_histories_that_are_kept(tmp_path: Path) -> None:
    made = 0
    found = tmp_path / "found"
    for path in sorted((ROOT / "async_mirror").rglob("*.py")):
        text = path.read_text()
        mistaken = text.replace("return isinstance(outcome, InDoubt) or (", "return (")
        made += mistaken != text
        copy = tmp_path / "mistaken" / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(mistaken)
    assert made == 1, "the mistake is made"
    package = ("--package", tmp_path / "mistaken")
    some = ("-n", "1500", "--jobs", str(os.cpu_count() or 1), "--most", "1", "--shrink", "0", "--keep", found)
    assert look(*some, *package).returncode == 1
    (file,) = found.iterdir()
    assert look("--file", file, KEPT[0]).returncode == 0
    looked = look("--file", file, KEPT[0], *package)
    assert looked.returncode == 1
    assert History.loads(file.read_text()).story() in looked.stdout


def test_a_run_that_is_cut_goes_on_where_it_was(tmp_path: Path) -> None:
    whole = look("-n", "40", "--seed", "60", "--jobs", "2").stdout
    tally = ("--seed", "60", "--jobs", "1", "--tally", tmp_path / "tally")
    assert "25 histories from seed 60" in look("-n", "25", *tally).stdout
    begun = (tmp_path / "tally").read_bytes()
    resumed = look("-n", "40", *tally).stdout
    assert resumed.rpartition(";")[0] == whole.rpartition(";")[0]
    assert (tmp_path / "tally").read_bytes() != begun
    other = look("-n", "40", *tally, "--seed", "61")
    assert other.returncode == 2
    assert "from another seed" in other.stderr


def test_an_error_of_the_program_itself_is_known_by_what_it_tells() -> None:
    assert str(Problem.INTERNAL) == OWN_ERROR


def test_a_history_survives_being_written_down() -> None:
    for seed in range(50):
        assert History.loads(draw(seed).dumps()) == draw(seed)


def test_what_is_shrunk_keeps_only_what_it_fails_by() -> None:
    def fails(history: History) -> bool:
        return any(act[0] == "swap" for phase in history.phases for act in phase.acts)

    seed = next(seed for seed in range(1000) if fails(draw(seed)))
    shrunk = shrink(draw(seed), fails)
    (phase,) = (phase for phase in shrunk.phases if phase.acts)
    assert [act[0] for act in phase.acts] == ["swap"]
    assert not any(each.incidents for each in shrunk.phases)
