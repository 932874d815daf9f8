"""`--rescan`: the site is looked at again, because it or this machine was restored from a backup."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from servers import REAL, FtpServer
from support.program import MTIME, Program, contents, names, tree, untouched, write

in_both_modes = pytest.mark.parametrize("multi", ["S", "A8"])
in_all_modes = pytest.mark.parametrize(
    ("multi", "real_server"),
    [*((multi, kind) for multi in ("S", "A4") for kind in REAL), ("T4", "pure-ftpd"), ("P3", "vsftpd")],
    indirect=["real_server"],
)


@pytest.fixture
def program(real_server: FtpServer, tmp_path: Path) -> Program:
    made = Program(tmp_path, real_server)
    made.write("index.html", "<h1>Welcome</h1>")
    made.write("pages/one.html", "the first page")
    made.write("pages/two.html", "the second page")
    made.write("pages/deep/three.html", "the third page")
    made.write("img/a.png", b"\1" * 1000)
    made.write("img/b.png", b"\2" * 2000)
    assert made.sync().code == 0
    return made


@pytest.mark.few(4)
@in_all_modes
def test_site_restored_by_its_host_is_made_equal_again_and_the_rest_is_not_sent(program: Program, multi: str) -> None:
    write(program.site / "index.html", "an older page", MTIME - 1000)
    write(program.site / "img/a.png", b"\7" * 1000, MTIME - 1000)
    (program.site / "pages/one.html").unlink()
    shutil.rmtree(program.site / "pages/deep")
    (program.site / "img/b.png").chmod(0o600)
    assert program.sync("--multi", multi).code == 0
    assert program.server.connections() == 0, "nothing told it that the site changed"
    result = program.sync("--multi", multi, "--rescan")
    assert result.code == 0, result.err
    assert tree(program.site) == tree(program.source)
    assert program.published() == ["img/a.png", "index.html", "pages/deep/three.html", "pages/one.html"]
    assert program.sync("--multi", multi).code == 0
    assert program.server.connections() == 0


@in_both_modes
def test_machine_restored_from_a_backup_ends_in_its_own_tree_and_removes_nothing_newer(
    program: Program, multi: str
) -> None:
    backup = program.state.with_name("backup")
    shutil.copytree(program.state, backup / "state")
    shutil.copytree(program.source, backup / "source")
    program.write("index.html", "a newer page", MTIME + 1000)
    program.write("news/today.html", "published after the backup")
    (program.source / "img/b.png").unlink()
    assert program.sync("--multi", multi).code == 0
    assert tree(program.site) == tree(program.source)
    for folder in ("state", "source"):
        shutil.rmtree(program.source.parent / folder)
        shutil.copytree(backup / folder, program.source.parent / folder)
    result = program.sync("--multi", multi, "--rescan")
    assert result.code == 0, result.err
    assert contents(program.site) == contents(program.source) | {"news/today.html": b"published after the backup"}
    assert program.published() == ["img/b.png", "index.html"]


def test_unchanged_site_is_looked_at_and_not_touched(program: Program) -> None:
    before = untouched(program.site)
    result = program.sync("--rescan")
    assert result.code == 0
    assert "pass: 6 tracked files found unchanged on the site, nothing to do;" in result.err
    assert untouched(program.site) == before
    (program.source / "img/b.png").rename(program.source / "img/renamed.png")
    assert program.sync().code == 0
    assert tree(program.site) == tree(program.source)
    assert not program.commands("STOR"), "what the file holds was known before, and is still known"


@in_both_modes
def test_what_somebody_else_put_in_the_place_of_a_removed_file_stays(program: Program, multi: str) -> None:
    write(program.site / "pages/two.html", "somebody else's", MTIME + 5000)
    write(program.site / "pages/deep/three.html", "somebody else's too", MTIME + 5000)
    (program.source / "pages/one.html").unlink()
    (program.source / "pages/two.html").unlink()
    shutil.rmtree(program.source / "pages/deep")
    result = program.sync("--multi", multi, "--rescan")
    assert result.code == 0, result.err
    assert {name for name in names(program.site) if name.startswith("pages/")} == {
        "pages/",
        "pages/two.html",
        "pages/deep/",
        "pages/deep/three.html",
    }
    assert "no longer managed" in result.err
    assert program.sync().code == 0
    assert program.server.connections() == 0, "what is no longer managed is said once"


def test_dry_run_tells_what_a_rescan_would_bring_and_changes_nothing(program: Program) -> None:
    (program.site / "pages/one.html").unlink()
    before = untouched(program.site), untouched(program.state)
    result = program.sync("--rescan", "--dry-run")
    assert result.code == 0
    assert [line.split("  (")[0] for line in result.out.splitlines()] == ["upload  pages/one.html  14 B"]
    assert (untouched(program.site), untouched(program.state)) == before
    assert program.sync("--dry-run").out == ""


def test_left_out_files_are_still_held_after_a_rescan(program: Program) -> None:
    result = program.sync("--rescan", "--exclude", "img/")
    assert result.code == 0, result.err
    assert tree(program.site) == tree(program.source)
    (program.source / "img/a.png").unlink()
    assert program.sync("--rescan").code == 0
    assert tree(program.site) == tree(program.source), "it was known for ours all the time"


@pytest.mark.few(1)
def test_only_the_first_pass_of_a_long_run_looks_again(program: Program) -> None:
    program.server.mark()
    with program.started("--rescan", "--every", "1s", "--multi", "S") as running:
        running.wait_for("6 tracked files found unchanged on the site, nothing to do")
        running.wait_for("pass: nothing to do")
        running.wait_for("pass: nothing to do")
    assert program.server.connections() == 1


def test_folder_that_could_not_be_looked_at_is_looked_at_in_the_next_pass(program: Program) -> None:
    write(program.site / "pages/one.html", "somebody's", MTIME + 5000)
    (program.site / "pages").chmod(0)
    result = program.sync("--rescan")
    assert (result.code == 1) is (tree(program.site) != tree(program.source)), result.err
    (program.site / "pages").chmod(0o755)
    assert program.sync().code == 0
    assert tree(program.site) == tree(program.source)


def test_dry_run_of_a_rescan_tells_that_all_is_sent_to_a_site_that_is_gone(program: Program) -> None:
    program.url += "www"
    assert program.sync().code == 0
    shutil.rmtree(program.site / "www")
    result = program.sync("--rescan", "--dry-run")
    assert result.code == 0, result.err
    assert "does not exist and would be created" in result.err
    assert sum(line.startswith("upload ") for line in result.out.splitlines()) == 6
