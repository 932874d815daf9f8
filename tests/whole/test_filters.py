"""Real servers that refuse names: temporary files get others, and nothing of them is left, whatever the filter is."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from servers import Kind, ServerFactory
from support.program import MTIME, Program, eventually, names, tree

DOTS, PARTS, PLAIN = r"\.am-[^.]*\.part", r"am-[^.]*\.part", r"am-[^.]*\.tmp"


class Filter(NamedTuple):
    """How a server is told to refuse names, and what temporaries are called there."""

    kind: Kind
    options: dict[str, Any]
    taken: str


FILTERS = {
    "vsftpd dots": Filter("vsftpd", {"deny_file": "{.*}"}, PARTS),
    "vsftpd part": Filter("vsftpd", {"deny_file": "{*.part}"}, PLAIN),
    "vsftpd both": Filter("vsftpd", {"deny_file": "{.*,*.part,*.tmp}"}, r"am-[^.]*"),
    "proftpd dots": Filter("proftpd", {"PathDenyFilter": r'"(^|/)[.][^/]*$"'}, PARTS),
    "proftpd part": Filter("proftpd", {"PathDenyFilter": r'"[.]part$"'}, PLAIN),
    "proftpd unknown": Filter("proftpd", {"PathAllowFilter": '"^[-A-Za-z0-9/]*([.](html|txt|tmp))?$"'}, PLAIN),
    "pure-ftpd dots": Filter("pure-ftpd", {"-x": "-z"}, PARTS),
}
FINAL: dict[Kind, dict[str, Any]] = {
    "vsftpd": {"deny_file": "{*.php}"},
    "proftpd": {"PathDenyFilter": r'"[.]php$"'},
}


def stored(program: Program) -> list[str]:
    """Return the last parts of the paths that the last pass uploaded, or tried to."""
    return [command.rpartition("/")[2].removeprefix("STOR ") for command in program.commands("STOR")]


def filled(folder: Path, factory: ServerFactory, kind: Kind, options: dict[str, Any]) -> Program:
    program = Program(folder, factory(kind, options=options))
    for path in ("index.html", "one.txt", "folder/two.txt", "folder/below/three.txt"):
        program.write(path, f"content of {path}")
    return program


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("mode", ["S", "A3"])
def test_a_real_server_that_refuses_names_gets_others_that_are_kept_in_mind(
    name: str, mode: str, server_factory: ServerFactory, tmp_path: Path
) -> None:
    kind, options, taken = FILTERS[name]
    program = filled(tmp_path, server_factory, kind, options)
    first = program.sync("--multi", mode)
    assert first.code == 0, first.err
    assert tree(program.site) == tree(program.source)
    program.write("folder/two.txt", "another content", MTIME + 5)
    program.write("folder/new.txt", "new")
    later = program.sync("--multi", mode)
    assert later.code == 0, later.err
    assert tree(program.site) == tree(program.source)
    assert len(stored(program)) == 2
    assert all(re.fullmatch(taken, each) for each in stored(program))
    program.sync("--multi", mode)
    assert program.server.connections() == 0


@pytest.mark.parametrize("kind", FINAL)
def test_a_real_server_that_refuses_the_final_name_is_told_of_by_that(
    kind: Kind, server_factory: ServerFactory, tmp_path: Path
) -> None:
    program = filled(tmp_path, server_factory, kind, FINAL[kind])
    program.write("folder/x.php", "<?php")
    ran = program.sync("--multi", "S")
    assert ran.code == 1, ran.err
    assert "folder/x.php" in ran.err
    assert "uploaded, but the server refuses this name" in ran.err
    assert all(re.fullmatch(DOTS, each) for each in stored(program))
    assert names(program.site) == names(program.source) - {"folder/x.php"}


@pytest.mark.few(3)
@pytest.mark.parametrize("name", [name for name in FILTERS if "unknown" not in name])
@pytest.mark.parametrize("choice", ["", "am-*.tmp", "am-*.EXT"])
def test_what_a_kill_left_under_one_name_is_gone_after_another_was_chosen(
    name: str, choice: str, server_factory: ServerFactory, tmp_path: Path
) -> None:
    kind, options, _ = FILTERS[name]
    if choice == "am-*.tmp" and "both" in name:
        choice = "am-*"
    program = filled(tmp_path, server_factory, kind, options)
    assert program.sync().code == 0
    program.write("folder/large.bin", os.urandom(3_000_000))
    with program.started("--once", "--multi", "S", "--bwlimit", "400k") as running:
        eventually(lambda: any("am-" in each for each in names(program.site)), "a temporary is there")
        os.kill(running.pid, 9)
        running.wait()
    ran = program.sync(*(["--temp-name", choice] if choice else []))
    assert ran.code == 0, ran.err
    assert tree(program.site) == tree(program.source)


@pytest.mark.parametrize(
    ("kind", "options"), [("vsftpd", {"deny_file": "{.*}"}), ("proftpd", {"PathDenyFilter": r'"(^|/)[.][^/]*$"'})]
)
def test_a_filter_that_comes_later_holds_up_no_file(
    kind: Kind, options: dict[str, Any], server_factory: ServerFactory, tmp_path: Path
) -> None:
    program = filled(tmp_path, server_factory, kind, {})
    program.write("folder/large.bin", os.urandom(3_000_000))
    with program.started("--once", "--multi", "S", "--bwlimit", "400k") as running:
        eventually(lambda: any("am-" in each for each in names(program.site)), "a temporary is there")
        os.kill(running.pid, 9)
        running.wait()
    program.server.stop()
    program.server = server_factory(kind, program.site, port=program.server.port, options=options)
    ran = program.sync()
    assert ran.code == 0, ran.err
    assert {each for each in names(program.site) if ".am-" not in each} == names(program.source)
