"""A pass that was cut short says so first, and how much of what was planned is done, failed, and not attempted."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faults import reactions
from faults.reactions import ALWAYS
from faults.scripted import Exchange, ScriptedServer
from faults.sites import has_room_for
from faults.tree import TEMPORARY
from support.mirror import Mirror, Ran, answer_at_once, contents, ended, tree_of

in_each_mode = pytest.mark.parametrize("multi", ["S", "A4", "T2", "P2"])
MOST_UNDER_WAY = 8
"""How many files may be on the site without a reply that says so."""
SENTENCE = re.compile(
    r"incomplete: (?P<done>\d+) of (?P<planned>\d+) uploaded, (?P<failed>\d+) failed, (?P<rest>\d+) not attempted; "
)


def told(ran: Ran) -> dict[str, Any]:
    """Return the object of the only pass."""
    (line,) = [line for line in ran.said.splitlines() if line.startswith('{"time"') and '"dry_run"' in line]
    return dict(json.loads(line))


def assert_adds_up(ran: Ran, server: ScriptedServer, planned: int) -> dict[str, Any]:
    """See that sentence and object agree with each other, with the site, and with what there was to do."""
    found = told(ran)
    assert found["incomplete"], ran.said
    on_site = len(contents(tree_of(server)))
    assert found["done"] == found["uploaded_files"] <= on_site <= found["done"] + MOST_UNDER_WAY, ran.said
    assert found["planned"] == planned == found["done"] + found["failed"] + found["not_attempted"], ran.said
    sentence = SENTENCE.search(ran.said)
    assert sentence, ran.said
    assert [int(each) for each in sentence.groups()] == [
        found[key] for key in ("done", "planned", "failed", "not_attempted")
    ]
    return found


def once_published(server: ScriptedServer, number: int) -> Callable[[Exchange], bool]:
    """Match whatever comes once the site has so many whole files."""
    return lambda _: sum(not TEMPORARY.search(path) for path in server.files) >= number


@in_each_mode
def test_a_server_that_is_lost_leaves_the_rest_not_attempted(
    mirror: Mirror, server: ScriptedServer, multi: str
) -> None:
    for number in range(60):
        mirror.write(f"{number % 7}/{number}.txt", f"{number}")
    server.on("CONNECT", reactions.turn_away(b"421 Going down."), times=ALWAYS, when=once_published(server, 10))
    server.on("*", reactions.close_before_performing, times=ALWAYS, when=once_published(server, 10))
    ran = mirror.run("--json", "--multi", multi, "--retries", "1")
    assert ran.code == 4, ran.said
    found = assert_adds_up(ran, server, planned=60)
    assert found["not_attempted"] > 20


@in_each_mode
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_the_rest_not_attempted(
    mirror: Mirror, server: ScriptedServer, multi: str, number: signal.Signals
) -> None:
    for each in range(500):
        mirror.write(f"{each % 7}/{each}.txt", "x" * 400)
    process = mirror.start("--json", "--multi", multi, "--bwlimit", "10k")
    assert server.wait_until(lambda: once_published(server, 5)(None), 30)  # type: ignore[arg-type]
    process.send_signal(number)
    ran = ended(process)
    assert ran.code == 128 + number, ran.said
    found = assert_adds_up(ran, server, planned=500)
    assert (found["result"], found["failed"]) == ("interrupted", 0)
    assert found["not_attempted"] > 400


@in_each_mode
def test_a_full_site_leaves_what_was_not_tried(tmp_path: Path, multi: str) -> None:
    with ScriptedServer(has_room_for(1000, b"552 Quota exceeded.")) as server:
        answer_at_once(server)
        mirror = Mirror(tmp_path, server.port)
        for number in range(200):
            mirror.write(f"{number % 70}/{number}.bin", b"x" * 100)
        ran = mirror.run("--json", "--multi", multi)
        assert ran.code == 1, ran.said
        found = assert_adds_up(ran, server, planned=200)
        assert 0 < found["failed"] < 40
        assert "skipped" not in found["failures"]


@in_each_mode
def test_a_guard_leaves_all_deletions_not_attempted(mirror: Mirror, server: ScriptedServer, multi: str) -> None:
    for number in range(40):
        mirror.write(f"{number % 7}/{number}.txt", f"{number}")
    mirror.write("keeps.txt", "stays")
    assert mirror.run("--multi", multi).code == 0
    for path in mirror.source.glob("?/*"):
        path.unlink()
    mirror.write("new.txt", "new")
    ran = mirror.run("--json", "--multi", multi)
    assert ran.code == 5, ran.said
    assert "incomplete: 1 of 1 uploaded, 0 of 40 deleted, 0 failed, 40 not attempted; " in ran.said
    found = told(ran)
    assert (found["planned"], found["done"], found["failed"], found["not_attempted"]) == (41, 1, 0, 40)


def test_files_below_a_folder_that_is_refused_are_not_attempted(mirror: Mirror, server: ScriptedServer) -> None:
    for number in range(9):
        mirror.write(f"folder/{number}.txt", "content")
    mirror.write("file.txt", "content")
    server.on("MKD", reactions.say(b"550 No."), times=ALWAYS)
    ran = mirror.run("--json", "--multi", "S")
    assert ran.code == 1, ran.said
    assert "incomplete: 1 of 10 uploaded, 1 failed, 9 not attempted; " in ran.said
    assert told(ran)["failures"] == {"refused by the server": 1}


def test_what_failed_alone_makes_no_pass_incomplete(mirror: Mirror, server: ScriptedServer) -> None:
    for number in range(3):
        mirror.write(f"{number}.txt", "content")
    mirror.write("a\nb", "no site may have this name")
    ran = mirror.run("--json", "--multi", "S")
    found = told(ran)
    assert "incomplete" not in ran.said.replace('"incomplete"', "")
    assert [found[key] for key in ("incomplete", "planned", "done", "failed", "not_attempted")] == [False, 4, 3, 1, 0]


def test_renames_deletions_and_modes_that_were_not_attempted_are_counted_as_such(
    mirror: Mirror, server: ScriptedServer
) -> None:
    for name in ("a", "b", "c", "d/e", "d/f", "d/g/h"):
        mirror.write(f"old/{name}", f"content of {name}")
    mirror.write("gone", "soon")
    mirror.write("moded", "content")
    mirror.write("kept/by rule", "content")
    assert mirror.run("--multi", "S").code == 0
    (mirror.source / "old").rename(mirror.source / "new")
    (mirror.source / "gone").unlink()
    (mirror.source / "moded").rename(mirror.source / "moved")
    (mirror.source / "kept/by rule").chmod(0o600)
    server.on("CONNECT", reactions.turn_away(b"421 Going down."), times=ALWAYS)
    ran = mirror.run("--json", "--multi", "S", "--retries", "0")
    assert ran.code == 4, ran.said
    assert "incomplete: 0 of 2 renamed, 0 of 1 deleted, 0 of 1 changed, 0 failed, 4 not attempted; " in ran.said


def test_a_source_that_is_not_there_leaves_it_open_what_there_is_to_do(mirror: Mirror, server: ScriptedServer) -> None:
    mirror.write("file", "content")
    assert mirror.run().code == 0
    mirror.source.rename(mirror.source.with_name("elsewhere"))
    ran = mirror.run("--json")
    assert ran.code == 5, ran.said
    assert "incomplete: 0 uploaded, 0 failed, the rest not attempted; " in ran.said
    found = told(ran)
    assert (found["planned"], found["not_attempted"], found["done"]) == (None, None, 0)


def test_a_dry_run_that_is_cut_short_says_so_first(mirror: Mirror, server: ScriptedServer) -> None:
    mirror.write("file", "content")
    server.on("CONNECT", reactions.turn_away(b"421 Going down."), times=ALWAYS)
    ran = mirror.run("--dry-run", "--retries", "0")
    assert ran.code == 4, ran.said
    assert "dry run, incomplete: " in ran.said
