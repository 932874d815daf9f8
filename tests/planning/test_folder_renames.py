"""A folder that was renamed is renamed on the site in one step, if nobody else has anything in it."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from faults import reactions
from faults.scripted import Exchange, Reaction, ScriptedServer
from servers import REAL, FtpServer
from support.memory_site import MemorySession, MemorySite
from support.mirror import Mirror, Ran, answer_at_once, count, temporaries_of, tree_of
from support.program import MTIME, Program, contents, tree, untouched, write

from async_mirror.jobs import apply
from async_mirror.jobs.attempt import Publisher
from async_mirror.jobs.recover import Settled, settle
from async_mirror.model.candidates import Candidates
from async_mirror.model.change import Job, MakeFolder, Move, RemoveFile, Shapes
from async_mirror.model.entry import Entry, Kind, Listing, fingerprint
from async_mirror.model.outcome import Done, Doubt, Failed, Failure, InDoubt, Outcome, Pending, Problem
from async_mirror.model.selection import Selection
from async_mirror.planning.folder_renames import SMALL, Renamed
from async_mirror.remote.errors import ConnectionBroken, Refusal
from async_mirror.remote.session import RemoteListing
from async_mirror.source.files import digest_of
from async_mirror.source.look import look
from async_mirror.source.scan import read_folder
from async_mirror.state.opening import open_state
from async_mirror.state.store import State

DAY = 86_400

# On the servers of the field.


@pytest.fixture
def program(real_server: FtpServer, tmp_path: Path) -> Program:
    return Program(tmp_path, real_server)


def mirrored(program: Program, *options: str) -> str:
    """Run a pass that mirrors everything, and one more that finds nothing to do."""
    result = program.sync(*options)
    assert result.code == 0, result.err
    assert tree(program.site) == tree(program.source)
    return result.err


MODES = [("S", "vsftpd"), ("T4", "vsftpd"), ("P3", "vsftpd"), *(("A4", kind) for kind in REAL)]


@pytest.mark.few(2)
@pytest.mark.parametrize(("multi", "real_server"), MODES, indirect=["real_server"])
def test_folder_of_many_files_is_renamed_in_one_step(program: Program, multi: str) -> None:
    for number in range(300):
        program.write(f"before/{number}", f"content {number}", MTIME + number)
    for number in range(20):
        program.write(f"before/deep/er {number}/file", f"more {number}")
    program.write(b"before/latin-\xe9/\xff", "odd")
    mirrored(program, "--multi", multi)
    (program.source / "before").rename(program.source / "after")
    said = mirrored(program, "--multi", multi, "--max-delete", "0")
    assert program.commands("RNFR", "RNTO") == ["RNFR before", "RNTO after"]
    assert not program.commands("STOR", "DELE", "MKD", "RMD", "MFMT")
    assert "renamed 1 path" in said
    mirrored(program, "--multi", multi)
    assert not program.server.commands()


# In all the ways that a source may change meanwhile, on a scripted server.


def write_first(mirror: Mirror) -> None:
    for name in ("a", "x/a", "stays"):
        for number in range(4):
            mirror.write(f"{name}/{number}", f"{name} {number}", MTIME + number)
        for number in range(3):
            mirror.write(f"{name}/deep/{number}", f"{name} deep {number}", MTIME + number)
    for number in range(9):
        mirror.write(f"x/{number}", f"x {number}")


def ran_to(mirror: Mirror, server: ScriptedServer, *options: str) -> Ran:
    """Run a pass that mirrors all, and another that has nothing to do; the server's log is that of the first."""
    server.log.clear()
    ran = mirror.run(*options)
    assert ran.code == 0, ran.said
    assert tree_of(server) == tree(mirror.source), ran.said
    assert temporaries_of(server) == []
    log = list(server.log)
    again = mirror.run(*options)
    assert again.code == 0, again.said
    assert len(server.log) == len(log), f"something was left to be done: {again.said}"
    return ran


def renames(server: ScriptedServer) -> list[str]:
    """List the renames that were asked for, without those that publish a file."""
    by_connection = sorted(server.log, key=lambda entry: entry[0])  # in the order of each connection
    told = [line.partition(" ") for _, line in by_connection]
    pairs = itertools.pairwise(told)
    return sorted(f"{old} -> {new}" for (one, _, old), (two, _, new) in pairs if (one, two) == ("RNFR", "RNTO"))


def moved(server: ScriptedServer) -> list[str]:
    return [each for each in renames(server) if ".am-" not in each]


def stored(server: ScriptedServer) -> int:
    return count(server, "STOR")


class Case(NamedTuple):
    """What happens in the source (from, to; no `to` removes, `=` writes), and what that must come to."""

    steps: tuple[str, ...]
    moved: list[str]
    stored: int = 0


def carry_out(mirror: Mirror, steps: Iterable[str]) -> None:
    for step in steps:
        if step.startswith("="):
            mirror.write(step[1:], f"new content of {step[1:]}", MTIME + DAY)
        elif " -> " in step:
            old, new = step.split(" -> ")
            (mirror.source / new).parent.mkdir(parents=True, exist_ok=True)
            (mirror.source / old).rename(mirror.source / new)
        elif (mirror.source / step).is_dir():
            shutil.rmtree(mirror.source / step)
        else:
            (mirror.source / step).unlink()


CASES = {
    "it got another name": Case(("a -> b",), ["a -> b"]),
    "it went into another folder": Case(("a -> stays/b",), ["a -> stays/b"]),
    "it went into another folder under its own name": Case(("a -> x/deep/a",), ["a -> x/deep/a"]),
    "it came out of another folder": Case(("x/a -> b",), ["x/a -> b"]),
    "it came out of a folder that is gone": Case(("x/a -> b", "x"), ["x/a -> b"]),
    "the folder above it got another name": Case(("x -> y",), ["x -> y"]),
    "it got another name in a folder that did": Case(("x -> y", "y/a -> y/b"), ["x -> y", "y/a -> y/b"]),
    "three of a line got other names": Case(
        ("x -> y", "y/a -> y/b", "y/b/deep -> y/b/deeper"), ["x -> y", "y/a -> y/b", "y/b/deep -> y/b/deeper"]
    ),
    "a folder in it got another name, and it is mostly that": Case(
        ("a/deep -> a/a", "a -> b", "x/a -> x/b", *(f"x/{n}" for n in range(9)), "x -> y"),
        ["a -> b", "b/deep -> b/a", "x/a -> y/b"],
    ),
    "another went into it": Case(("a -> b", "stays -> b/s"), ["a -> b", "stays -> b/s"]),
    "one file changed": Case(("a -> b", "=b/1"), ["a -> b"], 1),
    "a file came": Case(("a -> b", "=b/new"), ["a -> b"], 1),
    "some files went": Case(("a -> b", "b/1", "b/deep/2"), ["a -> b"]),
    "a folder in it went": Case(("a -> b", "b/deep"), ["a -> b"]),
    "a file in it got another name": Case(("a -> b", "b/1 -> b/one"), ["a -> b", "b/1 -> b/one"]),
    "a file in it became a folder": Case(("a -> b", "b/1", "=b/1/file"), ["a -> b"], 1),
    "a folder in it became a file": Case(("a -> b", "b/deep", "=b/deep"), ["a -> b"], 1),
    "two followed each other": Case(("stays -> c", "a -> b"), ["a -> b", "stays -> c"]),
}


@pytest.mark.few(6)
@pytest.mark.parametrize("multi", ["S", "A3"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_renamed_in_one_step_when(mirror: Mirror, server: ScriptedServer, case: Case, multi: str) -> None:
    write_first(mirror)
    ran_to(mirror, server, "--multi", multi)
    carry_out(mirror, case.steps)
    ran = ran_to(mirror, server, "--multi", multi, "--max-delete", "10")
    assert moved(server) == case.moved, ran.said
    assert stored(server) == case.stored, ran.said


OTHERWISE = {
    "most of it changed": ("a -> b", *(f"=b/{number}" for number in range(4))),
    "most of it went": ("a -> b", "b/0", "b/1", "b/2", "b/3"),
    "another has the old name": ("a -> b", "=a/another"),
    "a file has the old name": ("a -> b", "=a"),
    "two changed places": ("a -> aside", "stays -> a", "aside -> stays"),
    "three changed places": ("a -> aside", "stays -> a", "x -> stays", "aside -> x"),
    "one followed another": ("stays -> c", "a -> stays"),
    "it came out of a folder that got another name": ("x/a -> b", "x -> y"),
    "it came out of one that changed its case": ("x/a -> b", "x -> X"),
    "another has its old name in another case": ("a -> b", "=A/another"),
    "it changed its case": ("a -> A",),
    "it went where only the case differs": ("x/a -> X/a",),
}


ENDINGS = [  # no site to which x and X are one can hold both of them
    pytest.param(steps, insensitive, id=f"{name}-{'insensitive' if insensitive else 'sensitive'}")
    for name, steps in OTHERWISE.items()
    for insensitive in (False, True)
    if not (insensitive and "x/a -> X/a" in steps)
]


@pytest.mark.few(6)
@pytest.mark.parametrize(("steps", "insensitive"), ENDINGS)
def test_ends_right_when(tmp_path: Path, steps: tuple[str, ...], insensitive: bool) -> None:
    with ScriptedServer(case_insensitive=insensitive) as server:
        answer_at_once(server)
        mirror = Mirror(tmp_path, server.port)
        write_first(mirror)
        ran_to(mirror, server)
        carry_out(mirror, steps)
        ran_to(mirror, server)


def test_what_was_there_already_was_read_since_and_is_renamed(mirror: Mirror, server: ScriptedServer) -> None:
    write_first(mirror)
    ran_to(mirror, server)
    shutil.rmtree(mirror.state)
    carry_out(mirror, ("=new",))
    ran_to(mirror, server)
    carry_out(mirror, ("a -> b",))
    ran_to(mirror, server)
    assert (moved(server), stored(server)) == (["a -> b"], 0)


def test_rebuilt_folder_that_has_the_inodes_of_the_old_one_never_shows_its_content(
    mirror: Mirror, server: ScriptedServer
) -> None:
    for number in range(6):
        mirror.write(f"build-1/{number}", f"first  {number}")
    ran_to(mirror, server)
    carry_out(mirror, ("build-1 -> build-2",))  # as if the file system had used all inodes again
    for number in range(6):
        mirror.write(f"build-2/{number}", f"second {number}")
    server.history.clear()
    ran_to(mirror, server)
    assert moved(server) == []
    for number in range(6):
        assert server.history[b"/build-2/%d" % number] == [b"second %d" % number]


def test_file_that_only_looks_the_same_is_sent_after_the_rename(mirror: Mirror, server: ScriptedServer) -> None:
    for number in range(5):
        mirror.write(f"a/{number}", f"content {number}")
    mirror.write("a/large", b"1" * (SMALL + 1))
    ran_to(mirror, server)
    carry_out(mirror, ("a -> b",))
    mirror.write("b/large", b"2" * (SMALL + 1))
    ran_to(mirror, server)
    assert moved(server) == ["a -> b"]
    assert stored(server) == 1


def test_nothing_is_renamed_when_nothing_may_be_removed(mirror: Mirror, server: ScriptedServer) -> None:
    write_first(mirror)
    ran_to(mirror, server)
    before = tree_of(server)
    carry_out(mirror, ("a -> b",))
    server.log.clear()
    assert mirror.run("--no-delete").code == 0
    assert moved(server) == []
    assert tree_of(server) == before | tree(mirror.source)
    ran_to(mirror, server)


@pytest.mark.parametrize("option", ["--exclude=/a/deep/1", "--exclude=/b/deep/1", "--exclude=deep/", "--max-depth=2"])
def test_what_is_left_out_now_stays_where_it_is(mirror: Mirror, server: ScriptedServer, option: str) -> None:
    write_first(mirror)
    ran_to(mirror, server)
    before = contents_of(server)
    carry_out(mirror, ("a -> stays/b" if option == "--max-depth=2" else "a -> b",))
    ran = mirror.run(option)
    assert ran.code == 0, ran.said
    after = contents_of(server)
    assert not [each for each in moved(server) if each.startswith("a -> ")]
    left_out = {path: content for path, content in before.items() if path.startswith(b"a/deep")}
    if option == "--exclude=/b/deep/1":
        assert b"b/deep/1" not in after
    elif option == "--exclude=/a/deep/1":
        assert after[b"a/deep/1"] == after[b"b/deep/1"] == before[b"a/deep/1"]
    else:
        assert left_out.items() <= after.items()


def contents_of(server: ScriptedServer) -> dict[bytes, bytes]:
    return {path: node.content for path, node in tree_of(server).items() if node.kind == "file"}


def test_dry_run_tells_of_one_rename_and_changes_nothing(mirror: Mirror, server: ScriptedServer) -> None:
    write_first(mirror)
    ran_to(mirror, server)
    carry_out(mirror, ("x -> y", "y/a -> y/b", "=y/b/1", "y/b/2"))
    before, state = tree_of(server), untouched(mirror.state)
    plan = mirror.run("--dry-run")
    assert plan.code == 0
    assert (tree_of(server), untouched(mirror.state)) == (before, state)
    told = [
        re.split(r" {2,}", line)[:2]
        for line in plan.said.splitlines()
        if re.match(r"(rename|upload|delete|create) ", line)
    ]
    assert sorted(told) == [["delete", "y/b/2"], ["rename", "x -> y/"], ["rename", "y/a -> y/b/"], ["upload", "y/b/1"]]
    ran_to(mirror, server)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, whom no permission binds")
@pytest.mark.parametrize("real_server", ["vsftpd"], indirect=True)
def test_folder_that_cannot_be_read_keeps_what_it_had_on_the_site(program: Program) -> None:
    for name in ("0", "1", "2", "deep/0"):
        program.write(f"a/{name}", f"content of {name}")
    mirrored(program)
    program.bind_by_permissions()
    (program.source / "a").rename(program.source / "b")
    (program.source / "b/deep").chmod(0)
    result = program.sync()
    assert result.code == 1
    assert contents(program.site).keys() == {"b/0", "b/1", "b/2", "b/deep/0"}
    (program.source / "b/deep").chmod(0o755)
    assert program.sync().code == 0
    assert tree(program.site) == tree(program.source)


# When the site does not let it, or something of others is there.


@pytest.mark.parametrize("theirs", [b"/a/theirs", b"/a/deep/theirs", b"/a/their own/file", b"/a/deep/.hidden"])
def test_what_others_have_in_it_stays_where_it_is(mirror: Mirror, server: ScriptedServer, theirs: bytes) -> None:
    write_first(mirror)
    ran_to(mirror, server)
    server.put(theirs, b"theirs")
    carry_out(mirror, ("a -> b",))
    server.log.clear()
    ran = mirror.run()
    assert ran.code == 0, ran.said
    assert contents_of(server) == contents_in(mirror) | {theirs[1:]: b"theirs"}
    assert "a -> b" not in moved(server)
    assert stored(server) == 0, "each file is renamed by itself"
    assert "cannot rename the folder a in one step" in ran.said


def contents_in(mirror: Mirror) -> dict[bytes, bytes]:
    return {path: node.content for path, node in tree(mirror.source).items() if node.kind == "file"}


@pytest.mark.parametrize("theirs", [None, b"/b/theirs", b"/b/1"])
def test_name_that_is_taken_on_the_site_is_not_taken_from_others(
    mirror: Mirror, server: ScriptedServer, theirs: bytes | None
) -> None:
    write_first(mirror)
    ran_to(mirror, server)
    with server.site.changed:
        server.folders.add(b"/b")
    if theirs:
        server.put(theirs, b"theirs")
    carry_out(mirror, ("a -> b",))
    ran = mirror.run()
    assert ran.code == 0, ran.said
    kept = {b"b/theirs": b"theirs"} if theirs == b"/b/theirs" else {}
    assert contents_of(server) == contents_in(mirror) | kept
    assert "a -> b" not in moved(server)


@pytest.mark.parametrize(
    ("verb", "reaction"),
    [
        ("RNTO", reactions.permission_denied),
        ("RNFR", reactions.permission_denied),
        ("MLSD", reactions.empty_listing),
        ("MLSD", reactions.truncate_listing(30)),
    ],
    ids=["RNTO", "RNFR", "empty", "cut"],
)
def test_in_doubt_the_content_comes_by_itself(
    mirror: Mirror, server: ScriptedServer, verb: str, reaction: Reaction
) -> None:
    write_first(mirror)
    ran_to(mirror, server)
    carry_out(mirror, ("a -> b",))
    server.on(verb, reaction, times=1)
    ran = ran_to(mirror, server)
    assert "cannot rename the folder a in one step" in ran.said


@pytest.mark.parametrize(
    ("verb", "reaction"), [("RNTO", reactions.say(b"451 Not now.")), ("MLSD", reactions.say(b"450 Not now."))]
)
def test_folder_that_is_not_renamed_for_the_moment_is_renamed_a_moment_later(
    mirror: Mirror, server: ScriptedServer, verb: str, reaction: Reaction
) -> None:
    write_first(mirror)
    ran_to(mirror, server)
    carry_out(mirror, ("a -> b",))
    server.on(verb, reaction, times=1)
    ran = ran_to(mirror, server)
    assert "in one step" not in ran.said
    assert set(moved(server)) == {"a -> b"}


def test_folder_that_only_a_plain_listing_shows_is_renamed_as_a_whole(mirror: Mirror, server: ScriptedServer) -> None:
    write_first(mirror)
    ran_to(mirror, server)
    carry_out(mirror, ("a -> b",))
    server.on("MLSD", reactions.permission_denied, times=1)
    ran_to(mirror, server)
    assert moved(server) == ["a -> b"]


def test_folder_that_others_removed_is_made_anew(mirror: Mirror, server: ScriptedServer) -> None:
    write_first(mirror)
    ran_to(mirror, server)
    with server.site.changed:
        for path in [each for each in (*server.files, *server.folders) if each.startswith(b"/a")]:
            server.files.pop(path, None)
            server.folders.discard(path)
    carry_out(mirror, ("a -> b",))
    ran_to(mirror, server)
    assert stored(server) == 7


@pytest.mark.parametrize("verb", ["RNFR", "RNTO", "MLSD", "MLST"])
@pytest.mark.parametrize("performs", [False, True], ids=["lost", "done"])
def test_lost_connection_costs_no_file(mirror: Mirror, server: ScriptedServer, verb: str, performs: bool) -> None:
    write_first(mirror)
    ran_to(mirror, server)
    carry_out(mirror, ("a -> b", "=b/1"))

    def react(exchange: Exchange) -> None:
        if performs:
            exchange.perform()
        exchange.connection.hang_up()

    server.on(verb, react, times=1)
    ran = ran_to(mirror, server)
    assert stored(server) == 1, ran.said
    assert set(moved(server)) == {"a -> b"}


def test_name_that_the_server_would_alter_is_reported(tmp_path: Path) -> None:
    site = MemorySite(alters_names=True)
    site.folders |= {"old": 0o755}
    site.put("old/f", b"123")
    outcome = performed(site, a_move("old", "new ", site))
    assert isinstance(outcome, Failed)
    assert site.files.keys() == {"old/f"}


# What apply and recovery do on a site in memory.


def a_move(old: str, new: str, site: MemorySite) -> Move:
    return Move(Entry(new, Kind.FOLDER), Entry(old, Kind.FOLDER, mode=0o750), "", inside=inside_of(site, old))


def inside_of(site: MemorySite, folder: str) -> tuple[tuple[str, bytes], ...]:
    folders = [path for path in site.folders if path == folder or path.startswith(folder + "/")]
    found = {path: [entry for child in site.children(path) if (entry := site.entry(child))] for path in folders}
    return tuple((path[len(folder) + 1 :], fingerprint(entries)) for path, entries in found.items())


class NoProgress:
    def left(self) -> None: ...
    def advanced(self, amount: int) -> None: ...
    async def may_do(self, amount: int) -> None: ...
    async def keep(self, what: Entry | Shapes) -> None: ...


def performed(site: MemorySite, move: Move, previous: Outcome | None = None) -> Outcome:
    async def perform() -> Outcome:
        publisher = Publisher(b"/nowhere", "0" * 8)
        return await apply.perform(publisher, MemorySession(site), Job(move, "t", 2), previous, NoProgress())

    return asyncio.run(perform())


@pytest.fixture
def site() -> MemorySite:
    site = MemorySite()
    site.folders |= {"old": 0o755, "old/x": 0o755, "old/x/empty": 0o755}
    for path in ("old/f", "old/g", "old/x/f"):
        site.put(path, path.encode())
    return site


def test_all_goes_in_one_step_and_keeps_the_mode_until_it_is_set(site: MemorySite) -> None:
    outcome = performed(site, a_move("old", "new", site))
    assert isinstance(outcome, Done)
    assert isinstance(outcome.change, Move)
    assert outcome.held == Entry("new", Kind.FOLDER, mode=0o750)
    assert site.files.keys() == {"new/f", "new/g", "new/x/f"}
    assert site.folders.keys() == {"", "new", "new/x", "new/x/empty"}


@pytest.mark.parametrize("path", ["old/theirs", "old/x/theirs", "old/x/empty/theirs"])
@pytest.mark.parametrize("kind", [Kind.FILE, Kind.FOLDER])
def test_nothing_of_others_goes_along(site: MemorySite, path: str, kind: Kind) -> None:
    move = a_move("old", "new", site)
    if kind is Kind.FILE:
        site.put(path, b"theirs")
    else:
        site.folders[path] = 0o755
    before = set(site.files)
    outcome = performed(site, move)
    assert isinstance(outcome, Done)
    assert isinstance(outcome.change, MakeFolder)
    assert outcome.held == Entry("new", Kind.FOLDER)
    assert site.files.keys() == before
    assert {"old", "new"} <= site.folders.keys()


def was_renamed(outcome: Outcome) -> bool:
    return isinstance(outcome, Done) and isinstance(outcome.change, Move)


def test_retry_whose_rename_was_done_knows_it_by_what_is_there(site: MemorySite) -> None:
    move = a_move("old", "new", site)
    lost = InDoubt(Job(move, "t", 2), Failure("new", Problem.CONNECTION), (Doubt("new", MADE),))
    site.rename("old", "new")
    assert was_renamed(performed(site, move, lost))
    site.put("new/theirs", b"")
    assert was_renamed(performed(site, move, lost)), "others may have put something into it meanwhile"
    site.put("old", b"")
    assert not was_renamed(performed(site, move, lost)), "the new one may be somebody else's folder"


def test_name_that_somebody_has_is_not_mistaken_for_a_rename_that_was_done(site: MemorySite) -> None:
    move = a_move("old", "new", site)
    site.rename("old", "new")
    assert not was_renamed(performed(site, move)), "nothing was tried before"


MADE = Candidates((None, Entry("new", Kind.FOLDER)))
SITUATIONS = {
    "it was renamed": ([("old", "new")], True, "new"),
    "it was not": ([], False, None),
    "the new one was made": ([("", "new")], False, "new"),
    "it was renamed and is not alike": ([("old", "new"), ("", "new/theirs")], True, "new"),
    "it is elsewhere": ([("old", "elsewhere")], False, None),
}


@pytest.mark.parametrize(("done", "was_moved", "held"), SITUATIONS.values(), ids=SITUATIONS)
def test_recovery_tells_a_rename_that_was_done(
    site: MemorySite, done: list[tuple[str, str]], was_moved: bool, held: str | None
) -> None:
    pending = Pending("new", MADE, None, origin="old", inside=inside_of(site, "old"))
    for old, new in done:
        if old:
            site.rename(old, new)
        else:
            site.folders[new] = 0o755
    settled = settled_on(MemorySession(site), pending)
    assert settled.failure is None
    assert (settled.moved, settled.held and settled.held.path) == (was_moved, held)


class Unlisted(MemorySession):
    """A session that may not list, or not now."""

    error: Exception = Refusal("no")

    async def list_folder(self, path: str) -> RemoteListing | None:
        raise self.error


def settled_on(session: MemorySession, pending: Pending) -> Settled:
    return asyncio.run(settle(session, pending))


@pytest.mark.parametrize(
    ("error", "later"),
    [(Refusal("no"), False), (Refusal("busy", transient=True), True), (ConnectionBroken("cut"), True)],
)
def test_recovery_that_cannot_look_now_waits_and_one_that_never_can_does_not(
    site: MemorySite, error: Exception, later: bool
) -> None:
    pending = Pending("new", MADE, None, origin="old", inside=inside_of(site, "old"))
    site.rename("old", "new")
    session = Unlisted(site)
    session.error = error
    settled = settled_on(session, pending)
    assert (settled.failure is not None) == later
    assert settled.moved != later, "it bears the new name, whatever is in it"


# Which folders count as renamed.


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    with open_state(tmp_path / "state/state.sqlite3") as opened:
        yield opened


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "local"
    for number in range(4):
        write(root / f"p/old/{number}", f"content {number}")
    write(root / "q/file", "beside")
    return root


def hold_all(state: State, source: Path) -> None:
    """Hold all that the source has now."""
    root = bytes(source)
    paths = [str(path.relative_to(source)) for path in source.rglob("*")]
    entries = [entry for path in paths if (entry := look(root, path))]
    state.hold(
        entry._replace(digest=b"" if entry.is_folder else asyncio.run(digest_of(root, entry.path)) or b"")
        for entry in entries
    )


def found(
    renamed: Renamed, source: Path, folder: str = "q", change: Callable[[Listing], Listing] = lambda listing: listing
) -> dict[str, str]:
    """Return the folders of a listing that were renamed, with their old paths."""
    listing = change(read_folder(bytes(source), folder, Selection()))
    return {path: move.held.path for path, move in renamed.moves(listing, {"q/file"}).items()}


def rename(source: Path, old: str = "p/old", new: str = "q/new") -> None:
    (source / old).rename(source / new)


def test_folder_is_found_by_inode_and_content(source: Path, state: State) -> None:
    hold_all(state, source)
    rename(source)
    renamed = Renamed(bytes(source), state, Selection())
    assert found(renamed, source) == {"q/new": "p/old"}
    assert found(renamed, source) == {"q/new": "p/old"}, "who asks again is told the same"


def test_nothing_is_renamed_from_an_incomplete_listing(source: Path, state: State) -> None:
    hold_all(state, source)
    rename(source)
    renamed = Renamed(bytes(source), state, Selection())
    cut = lambda listing: Listing(listing.folder, listing.entries, complete=False)  # noqa: E731
    assert found(renamed, source, change=cut) == {}


def test_folder_that_was_still_there_in_this_pass_is_not_renamed_in_it(source: Path, state: State) -> None:
    hold_all(state, source)
    renamed = Renamed(bytes(source), state, Selection())
    found(renamed, source, "p/old")
    rename(source)
    assert found(renamed, source) == {}
    assert found(Renamed(bytes(source), state, Selection()), source) == {"q/new": "p/old"}


@pytest.mark.parametrize("path", ["p/old", "p/old/0"])
def test_folder_with_something_in_doubt_is_not_renamed(source: Path, state: State, path: str) -> None:
    hold_all(state, source)
    rename(source)
    jobs = [Job(RemoveFile(Entry(each, Kind.FILE), ""), each, 1) for each in (path, "p/older", "q/new/0")]
    state.begin(jobs)
    assert found(Renamed(bytes(source), state, Selection()), source) == {}
    state.abandon(jobs[:1])
    state.resolve(Pending(path, Candidates((None,)), state.held(path)), state.held(path), 0, again=False)
    assert found(Renamed(bytes(source), state, Selection()), source) == {"q/new": "p/old"}


@pytest.mark.parametrize("where", ["p", "p/old"])
def test_nothing_moves_away_from_a_mount_that_is_gone(source: Path, state: State, where: str) -> None:
    hold_all(state, source)
    held = state.held(where)
    assert held
    state.hold([held._replace(mount=True)])
    rename(source)
    assert found(Renamed(bytes(source), state, Selection()), source) == {}


@pytest.mark.parametrize(("kept", "is_found"), [(3, True), (2, False), (1, False), (0, False)])
def test_most_of_the_files_must_be_there(source: Path, state: State, kept: int, is_found: bool) -> None:
    hold_all(state, source)
    rename(source)
    for number in range(kept, 4):
        write(source / f"q/new/{number}", f"another content of {number}")
    assert bool(found(Renamed(bytes(source), state, Selection()), source)) == is_found


def test_other_content_of_the_same_size_time_and_inode_is_seen(source: Path, state: State) -> None:
    hold_all(state, source)
    rename(source)
    for number in range(4):
        write(source / f"q/new/{number}", f"CONTENT {number}")
    assert found(Renamed(bytes(source), state, Selection()), source) == {}


def test_files_whose_content_is_not_known_are_no_evidence(source: Path, state: State) -> None:
    hold_all(state, source)
    state.hold([entry._replace(digest=b"") for entry in state.held_below("p/old")])
    rename(source)
    assert found(Renamed(bytes(source), state, Selection()), source) == {}


def test_two_places_cannot_both_be_where_it_went(source: Path, state: State) -> None:
    hold_all(state, source)
    shutil.copytree(source / "p/old", source / "q/copy")
    rename(source)
    inodes = {entry.path: entry for entry in read_folder(bytes(source), "q", Selection()).entries}
    inode = inodes["q/new"].inode

    def bound(listing: Listing) -> Listing:
        """As if one were mounted in two places."""
        return Listing(listing.folder, tuple(entry._replace(inode=inode) for entry in listing.entries))

    for number in range(4):  # a hard link has the inode of what it is linked to
        (source / f"q/copy/{number}").unlink()
        os.link(source / f"q/new/{number}", source / f"q/copy/{number}")
    assert len(found(Renamed(bytes(source), state, Selection()), source, change=bound)) == 1


@pytest.mark.parametrize("order", [("top", "inner"), ("inner", "top")])
def test_of_two_renames_one_in_the_other_the_second_waits_for_the_next_pass(
    source: Path, state: State, order: tuple[str, str]
) -> None:
    write(source / "p/file", "in p")
    hold_all(state, source)
    rename(source, "p/old", "q/inner")
    rename(source, "p", "q/top")
    renamed = Renamed(bytes(source), state, Selection())

    def only(name: str) -> Callable[[Listing], Listing]:
        return lambda listing: Listing("q", tuple(each for each in listing.entries if each.path == f"q/{name}"))

    write(source / "q/top/second", "in p")
    first = found(renamed, source, change=only(order[0]))
    second = found(renamed, source, change=only(order[1]))
    assert (len(first), len(second)) in {(1, 0), (0, 1)}
