"""Names that a real server hides in its listings are there all the same: what is not listed is not absent."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from servers import Kind, ServerFactory
from support.program import MTIME, Program, eventually, tree

HIDDEN: Mapping[Kind, Mapping[str, Any]] = {
    "vsftpd": {"hide_file": "{*.bak}"},
    "proftpd": {"<Directory />\nHideFiles": '"[.]bak$"\n</Directory>'},
}


@pytest.fixture(params=HIDDEN)
def hiding(request: pytest.FixtureRequest, server_factory: ServerFactory, tmp_path: Path) -> Program:
    """Give the test a site of others with a file that is shown and one that is hidden."""
    program = Program(tmp_path, server_factory(request.param, options=HIDDEN[request.param]))
    for path in ("shop/index.html", "shop/old.bak"):
        (program.site / path).parent.mkdir(exist_ok=True)
        (program.site / path).write_text("theirs")
        program.write(path, f"ours, {path}")
    program.server.adopt()
    return program


@pytest.mark.parametrize("existing", ["overwrite", "skip", "fail"])
def test_what_is_hidden_is_told_or_kept_as_any_other_file_of_others(existing: str, hiding: Program) -> None:
    ran = hiding.sync("--existing", existing)
    assert ran.code == (1 if existing == "fail" else 0), ran.err
    theirs = {path for path in ("shop/index.html", "shop/old.bak") if (hiding.site / path).read_text() == "theirs"}
    if existing == "overwrite":
        assert ran.err.count("overwrites a different file") == 2, ran.err
        assert not theirs
    else:
        assert theirs == {"shop/index.html", "shop/old.bak"}, ran.err


def test_what_is_hidden_is_mirrored_once(hiding: Program) -> None:
    assert hiding.sync().code == 0
    assert tree(hiding.site) == tree(hiding.source)
    again = hiding.sync("--rescan")
    assert again.code == 0, again.err
    assert hiding.commands("STOR", "DELE") == [], again.err
    hiding.write("shop/old.bak", "another content", MTIME + 7)
    assert hiding.sync("--rescan").code == 0
    assert len(hiding.commands("STOR")) == 1
    (hiding.source / "shop/old.bak").unlink()
    assert hiding.sync("--rescan").code == 0
    assert tree(hiding.site) == tree(hiding.source)


def test_a_temporary_that_a_killed_run_left_is_removed_although_no_listing_shows_it(
    server_factory: ServerFactory, tmp_path: Path
) -> None:
    program = Program(tmp_path, server_factory("vsftpd", options={"hide_file": "{.am*}"}))
    (program.site / ".shown").write_text("names with a dot are shown, but ours")
    for number in range(12):
        program.write(f"{number}.bin", bytes(200_000))
    options = ("--multi", "A8", "--retries", "3")
    with program.started("--once", *options, "--bwlimit", "400k") as running:
        eventually(lambda: len(temporaries(program)) >= 4, "four temporaries")
        os.kill(running.pid, signal.SIGKILL)
    assert temporaries(program)
    ran = program.sync(*options)
    assert ran.code == 0, ran.err
    assert temporaries(program) == []


def temporaries(program: Program) -> list[str]:
    return [path.name for path in program.site.iterdir() if path.name.startswith(".am-")]
