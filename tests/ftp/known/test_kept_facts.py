"""What an account was seen to do with listings and names is kept: neither another worker nor a later run asks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from faults import sites, traits
from faults.scripted import ScriptedServer
from support.mirror import Mirror, answer_at_once, contents, tree_of
from support.program import tree

MODES = pytest.mark.parametrize("mode", ["A3", "P2"])


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(traits.lacks("MLSD", "MLST")) as server:
        answer_at_once(server)
        yield server


def mirrored(mirror: Mirror, server: ScriptedServer, *options: str) -> list[str]:
    """Run a pass that may not fail, and return the commands that it sent."""
    before = len(server.commands())
    ran = mirror.run("--retries", "0", *options)
    assert ran.code == 0, ran.said
    assert contents(tree_of(server)) == contents(tree(mirror.source)), ran.said
    return server.commands()[before:]


@MODES
def test_option_of_list_that_shows_nothing_is_tried_in_one_run_only(
    server: ScriptedServer, tmp_path: Path, mode: str
) -> None:
    sites.lists_nothing_with_options(server)
    mirror = Mirror(tmp_path, server.port, options=("--multi", mode))
    for number in range(12):
        mirror.write(f"folder {number}/file", "content")
    mirrored(mirror, server)
    learning = mirrored(mirror, server, "--rescan")
    assert any(command.startswith("LIST -a") for command in learning)
    later = mirrored(mirror, server, "--rescan")
    assert any(command.startswith("LIST") for command in later)
    assert not any(command.startswith("LIST -a") for command in later)


@MODES
def test_path_that_list_takes_for_two_names_is_tried_in_one_run_only(
    server: ScriptedServer, tmp_path: Path, mode: str
) -> None:
    sites.takes_list_options_for_a_name(server)
    mirror = Mirror(tmp_path, server.port, options=("--multi", mode))
    for number in range(6):
        mirror.write(f"folder{number}/file", "content")
    mirrored(mirror, server)
    mirrored(mirror, server, "--rescan")
    later = mirrored(mirror, server, "--rescan")
    assert sum(command.startswith("LIST") for command in later) == 7, later


@MODES
def test_odd_name_is_tried_in_one_run_only(server: ScriptedServer, tmp_path: Path, mode: str) -> None:
    mirror = Mirror(tmp_path, server.port, options=("--multi", mode))
    mirror.write("folder/caf\u00e9", "content")
    tried = mirrored(mirror, server)
    assert sum(command.startswith("MKD") for command in tried) == 3, tried  # the folder, the box, the name in that
    mirror.write("folder/th\u00e9", "content")
    mirror.write("other/caf\u00e9", "content")
    later = mirrored(mirror, server)
    assert [command for command in later if command.startswith("MKD")] == ["MKD other"]


@MODES
def test_two_names_that_are_taken_for_one_are_tried_in_one_run_only(
    server: ScriptedServer, tmp_path: Path, mode: str
) -> None:
    sites.lower_cases_names(server)
    mirror = Mirror(tmp_path, server.port, options=("--multi", mode, "--retries", "0"))
    mirror.write("readme", "one")
    mirror.write("README", "two")
    said = mirror.run().said
    assert "the server ignores case or Unicode form in names" in said
    mirror.write("about", "one")
    mirror.write("ABOUT", "two")
    before = len(server.commands())
    said = mirror.run().said
    assert "the server ignores case" not in said, "it is told once"
    later = server.commands()[before:]
    assert sum(command.startswith("STOR") for command in later) == 1, later
