"""The demonstration, as a new user runs it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.smoke


def run_demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "async_mirror", "demo", *arguments]
    return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)


def test_demo_mirrors_changes_mirrors_again_and_compares() -> None:
    done = run_demo()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing changed" in done.stdout
    assert "no connection" in done.stdout
    assert "all 60 files are equal" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert "cannot rename over an existing file" in done.stdout
    faster = re.search(r"(\d+\.\d) times as fast", done.stdout)
    assert faster
    assert float(faster[1]) > 1


def test_demo_takes_a_folder_and_leaves_it_alone(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    (folder / "deep" / "er").mkdir(parents=True)
    for number in range(7):
        (folder / "deep" / f"page {number}.html").write_text(f"{number}\n" * number)
    (folder / "link").symlink_to("nowhere")
    before = {path: path.lstat().st_mtime_ns for path in folder.rglob("*")}
    done = run_demo(str(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "files are equal" in done.stdout
    assert {path: path.lstat().st_mtime_ns for path in folder.rglob("*")} == before


def test_demo_of_an_empty_folder_is_no_error(tmp_path: Path) -> None:
    assert run_demo(str(tmp_path)).returncode == 0
