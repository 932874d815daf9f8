"""A dry run tells what the run then does: each path once, with its true reason, whatever others have on the site."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest
from faults import reactions
from faults.reactions import ALWAYS
from faults.scripted import ScriptedServer
from servers import FtpServer
from support.mirror import Mirror, Ran, ended, tree_of
from support.program import MTIME, Program, touch, untouched, write

PAST = {"create": "created", "upload": "uploaded", "rename": "renamed", "delete": "deleted", "mode": "mode"}
_VERBS = "created?|upload(?:ed)?|renamed?|deleted?|mode"
DONE = re.compile(rf"(?:[-\d]+ [:\d]+  )?({_VERBS}) +(.*)|(?:[-\d]+ [:\d]+  )?(note) +(.*: kept on the site, .*)")


def told(said: str) -> list[tuple[str, str]]:
    """Return what a run or a dry run said that was or would be done, in order of the paths."""
    found = [DONE.fullmatch(line) for line in said.splitlines()]
    return sorted((PAST.get(each[1], each[1] or each[3]), each[2] or each[4]) for each in found if each)


def assert_foretold(mirror: Mirror, server: ScriptedServer, *options: str) -> Ran:
    """See that a dry run tells just what the run after it does, that both exit alike, and return the dry run."""
    before = tree_of(server), untouched(mirror.state)
    plan = mirror.run("--dry-run", *options)
    assert (tree_of(server), untouched(mirror.state)) == before
    ran = mirror.run(*options)
    assert told(plan.said) == told(ran.said), plan.said + ran.said
    assert plan.code == ran.code
    return plan


# Folders that were renamed, with something of others in them.


@pytest.mark.parametrize(
    "theirs",
    [
        ("/a/theirs",),
        ("/a/deep/theirs",),
        ("/a/their own/file",),
        ("/a/deep/.hidden",),
        ("/b/theirs",),
        ("/b/1",),
        ("/b/deep/theirs", "/a/theirs"),
        (),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("multi", ["S", "A4"])
def test_a_renamed_folder_is_foretold_whatever_others_have_in_it(
    mirror: Mirror, server: ScriptedServer, theirs: Sequence[str], multi: str
) -> None:
    for name in ("1", "2", "3", "deep/4", "deep/5"):
        mirror.write(f"a/{name}", f"content of {name}")
    assert mirror.run().code == 0
    for path in theirs:
        server.put(path.encode(), b"theirs")
    (mirror.source / "a").rename(mirror.source / "b")
    assert_foretold(mirror, server, "--multi", multi)


def test_a_folder_that_is_gone_is_foretold_to_stay_where_others_have_something_in_it(
    mirror: Mirror, server: ScriptedServer
) -> None:
    for name in ("gone/1", "gone/deep/2", "empty/3", "stays"):
        mirror.write(name, f"content of {name}")
    assert mirror.run().code == 0
    server.put(b"/gone/deep/theirs", b"theirs")
    for name in ("gone/1", "gone/deep/2", "empty/3"):
        (mirror.source / name).unlink()
    for name in ("gone/deep", "gone", "empty"):
        (mirror.source / name).rmdir()
    plan = assert_foretold(mirror, server, "--max-delete", "100%")
    assert ("deleted", "empty/  (deleted from the source)") in told(plan.said)
    assert [path.split("/")[0] for verb, path in told(plan.said) if verb == "note"] == ["gone"] * 2


# A site that is looked at again.


def test_what_is_unmanaged_is_named_with_its_reason_where_that_is_asked_for(
    mirror: Mirror, server: ScriptedServer
) -> None:
    mirror.write("index.html", "content")
    (mirror.source / "link").symlink_to("nowhere")
    for name in (b"/link", b"/left.tmp", b"/theirs/deep.html"):
        server.put(name, b"theirs")
    ran = mirror.run("--exclude", "*.tmp")
    assert "hint      --rescan --dry-run -v names each of them" in ran.said
    ran = mirror.run("--exclude", "*.tmp", "--rescan", "--dry-run", "-v")
    assert sorted(line.partition("skipped   ")[2] for line in ran.said.splitlines() if "unmanaged: " in line) == [
        "left.tmp  (unmanaged: excluded: --exclude *.tmp)",
        "link  (unmanaged: a symbolic link in the source)",
        "theirs/  (unmanaged: not in the source)",
    ]


def test_each_path_of_a_rescan_is_counted_once_and_with_its_true_reason(mirror: Mirror, server: ScriptedServer) -> None:
    for number in range(6):
        mirror.write(f"{number}.txt", f"content of {number}")
    assert mirror.run().code == 0
    server.put(b"/0.txt", b"other content, which somebody put there")
    del server.files[b"/1.txt"]
    mirror.write("2.txt", "longer content in the source")
    touch(mirror.source / "3.txt", MTIME + 100)
    mirror.write("new.txt", "new")
    server.put(b"/theirs.txt", b"theirs")
    mirror.write("theirs.txt", "ours")
    for options in (["--rescan", "--dry-run"], ["--rescan"]):
        ran = mirror.run(*options)
        assert ran.code == 0, ran.said
        assert "2 tracked files found unchanged on the site" in ran.said
        reasons = {path.split("  ")[0]: path.rpartition("  ")[2] for verb, path in told(ran.said) if verb == "uploaded"}
        assert reasons == {
            "0.txt": "(changed on the site)",
            "1.txt": "(missing on the site)",
            "2.txt": "(size 12 -> 28)",
            "new.txt": "(new)",
            "theirs.txt": "(overwrites a different file)",
        }, ran.said


def test_a_rescan_is_foretold(mirror: Mirror, server: ScriptedServer) -> None:
    for number in range(6):
        mirror.write(f"folder/{number}.txt", f"content of {number}")
    assert mirror.run().code == 0
    server.put(b"/folder/0.txt", b"other content")
    del server.files[b"/folder/1.txt"]
    (mirror.source / "folder/2.txt").unlink()
    (mirror.source / "folder/3.txt").rename(mirror.source / "renamed.txt")
    assert_foretold(mirror, server, "--rescan")


# Beside a run.


def test_a_dry_run_beside_a_run_says_that_it_is_under_way(mirror: Mirror, server: ScriptedServer) -> None:
    for number in range(4):
        mirror.write(f"{number}.txt", "content")
    server.on("STOR", reactions.stay_silent, times=ALWAYS)
    process = mirror.start("--multi", "S", "--timeout", "60s")
    assert server.wait_until(lambda: any("STOR" in line for line in server.commands()), 30)
    plan = mirror.run("--dry-run")
    process.send_signal(signal.SIGTERM)
    assert ended(process).code == 143
    assert plan.code == 0, plan.said
    assert f"another run is under way (process {process.pid} on " in plan.said
    assert "of an interrupted run" not in plan.said
    assert len(told(plan.said)) == 4
    assert "another run is under way" not in mirror.run("--dry-run").said


@pytest.mark.parametrize("real_server", ["vsftpd"], indirect=True)
def test_a_dry_run_keeps_no_run_from_its_state(real_server: FtpServer, tmp_path: Path) -> None:
    program = Program(tmp_path, real_server)
    program.write("file", "content")
    with program.started("--every", "1h") as running:
        running.wait_for("next pass in")
        assert "another run is under way" in program.sync("--dry-run").err
    write(program.source / "other", "content")
    result = program.sync()
    assert (result.code, "under way" in result.err) == (0, False)


# What it ends with.


def objects(said: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in said.splitlines() if line.startswith("{")]


def test_a_dry_run_is_told_as_planned_and_exits_7_only_if_asked(mirror: Mirror, server: ScriptedServer) -> None:
    mirror.write("b/page", "content")
    mirror.write("a.txt", "content")
    plan = mirror.run("--dry-run", "--json")
    assert (plan.code, objects(plan.said)[0]["result"]) == (0, "planned")
    asked = mirror.run("--dry-run", "--json", "--exit-code")
    assert (asked.code, objects(asked.said)[0]["exit_code"]) == (7, 7)
    assert mirror.run().code == 0
    idle = mirror.run("--dry-run", "--json", "--exit-code")
    assert (idle.code, objects(idle.said)[0]["result"]) == (0, "mirrored")


def test_what_is_planned_is_told_in_order_of_the_paths(mirror: Mirror, server: ScriptedServer) -> None:
    for name in ("b/page", "a.txt", "c", "b.txt"):
        mirror.write(name, name)
    lines = [
        line.split() for line in mirror.run("--dry-run").said.splitlines() if line.startswith(("create", "upload"))
    ]
    assert [path for _, path, *_ in lines] == ["a.txt", "b/", "b.txt", "b/page", "c"]
    told = objects(mirror.run("--dry-run", "--json", "--log-format", "json").said)
    planned = [(each["action"], each["path"]) for each in told if each.get("event") == "planned"]
    assert planned == [("upload", "a.txt"), ("create", "b"), ("upload", "b.txt"), ("upload", "b/page"), ("upload", "c")]
