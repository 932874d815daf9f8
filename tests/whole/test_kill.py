"""Killed at any moment: each final path is old or new, the next pass converges, and no temporary is left.

The rows are those of docs/faults.md. Nothing here waits for time to pass: a cue of the scripted server, or what a real
server's log has, says when the program is killed.
"""

from __future__ import annotations

import itertools
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from faults.reactions import ALWAYS, permission_denied, refuse_existing_target, say
from faults.scripted import Exchange, ScriptedServer
from servers import REAL, FtpServer
from support.mirror import Mirror, answer_at_once, temporaries_of, tree_of
from support.program import MTIME, Node, eventually, tree

Contents = Mapping[bytes, bytes]
Allowed = Mapping[bytes, "set[bytes | None]"]

VERBS = ("STOR", "SIZE", "MFMT", "SITE", "RNFR", "RNTO", "DELE", "MKD", "RMD")
KEPT_BY_A_RENAME = b"the content of a file that is only renamed"


def write_first_version(mirror: Mirror) -> None:
    for path in ("same.txt", "changed.txt", "sub/changed.txt", "sub/deep/changed.txt", "gone.txt", "chmod.txt"):
        mirror.write(path, f"first {path}")
    mirror.write("sub/longer.bin", b"1" * 300_000)
    mirror.write("leaving/a.txt", "a")
    mirror.write("leaving/below/b.txt", "b")
    mirror.write("renamed from.txt", KEPT_BY_A_RENAME)
    mirror.write("file then folder", "I was a file")
    mirror.write("folder then file/inside.txt", "inside")
    for number in range(8):
        mirror.write(f"many/{number}.txt", f"first {number}")


def write_second_version(mirror: Mirror) -> None:
    """Change the source so that every kind of change is needed."""
    for path in ("changed.txt", "sub/changed.txt", "sub/deep/changed.txt"):
        mirror.write(path, f"second {path}, longer")
    mirror.write("sub/longer.bin", b"2" * 310_000)
    for number in range(0, 8, 2):
        mirror.write(f"many/{number}.txt", f"second {number}")
    (mirror.source / "gone.txt").unlink()
    shutil.rmtree(mirror.source / "leaving")
    (mirror.source / "renamed from.txt").rename(mirror.source / "sub/renamed to.txt")
    (mirror.source / "chmod.txt").chmod(0o600)
    (mirror.source / "file then folder").unlink()
    mirror.write("file then folder/inside.txt", "I am in a folder")
    shutil.rmtree(mirror.source / "folder then file")
    mirror.write("folder then file", "I am a file")
    mirror.write("new.txt", "new")
    mirror.write("fresh/new.txt", "new in a new folder")
    mirror.write("fresh/below/new.txt", "new further below")
    (mirror.source / "fresh").chmod(0o750)


def contents(nodes: Mapping[bytes, Node]) -> dict[bytes, bytes]:
    return {path: node.content for path, node in nodes.items() if node.kind == "file"}


def allowed_between(old: Contents, new: Contents) -> dict[bytes, set[bytes | None]]:
    """Return what each path may hold meanwhile: a whole version, or nothing where one of the trees has nothing."""
    return {path: {old.get(path), new.get(path)} for path in {*old, *new}}


def assert_old_or_new(site: Contents, allowed: Allowed) -> None:
    torn = {path: site.get(path) for path, versions in allowed.items() if site.get(path) not in versions}
    strangers = {path for path in site if path not in allowed and b".am-" not in path}
    assert not torn
    assert not strangers


@dataclass
class Prepared:
    """A site that holds the first version, a source that has the second, and the state in between."""

    server: ScriptedServer
    mirror: Mirror
    first: dict[bytes, Node]
    allowed: dict[bytes, set[bytes | None]]
    commands: Counter[str]

    def reset(self) -> None:
        """Go back to the first version on the site and in the state."""
        site = self.server.site
        assert self.server.wait_until(lambda: self.server.open_connections == 0)
        with site.changed:
            site.files.clear()
            site.folders.clear()
            site.folders.add(b"/")
            site.folder_modes.clear()
            for path, node in self.first.items():
                if node.kind == "file":
                    site.put(b"/" + path, node.content, mtime=node.mtime_s, mode=node.mode)
                else:
                    site.folders.add(b"/" + path)
                    site.folder_modes[b"/" + path] = node.mode
            site.history.clear()
        shutil.rmtree(self.mirror.state)
        shutil.copytree(self.kept_state, self.mirror.state)

    @property
    def kept_state(self) -> Path:
        return self.mirror.state.with_name("kept state")

    def assert_history_is_whole(self, server: ScriptedServer) -> None:
        for path, shown in server.history.items():
            assert set(shown) - {None} <= self.allowed[path[1:]] - {None}, path
            if None not in self.allowed[path[1:]]:
                assert None not in shown, path

    def assert_converges(self, *options: str) -> None:
        again = self.mirror.run(*options)
        assert again.code == 0, again.said
        self.assert_history_is_whole(self.server)
        assert tree_of(self.server) == tree(self.mirror.source), again.said
        assert temporaries_of(self.server) == []
        connections = self.server.connections
        idle = self.mirror.run(*options)
        assert idle.code == 0, idle.said
        assert self.server.connections == connections, f"something was left for a third pass: {idle.said}"


@pytest.fixture(scope="module")
def prepared_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prepared]:
    with ScriptedServer() as server:
        server.data_seconds = 0.5
        answer_at_once(server)
        mirror = Mirror(tmp_path_factory.mktemp("killed"), server.port)
        write_first_version(mirror)
        assert mirror.run().code == 0
        first = tree(mirror.source)
        write_second_version(mirror)
        allowed = allowed_between(contents(first), contents(tree(mirror.source)))
        prepared = Prepared(server, mirror, first, allowed, Counter())
        shutil.copytree(mirror.state, prepared.kept_state)
        server.log.clear()
        whole = mirror.run("--multi", "A1", "--max-delete", "100%")
        assert whole.code == 0, whole.said
        assert tree_of(server) == tree(mirror.source), whole.said
        prepared.commands.update(line.split(" ")[0] for line in server.commands())
        yield prepared


@pytest.fixture
def prepared(prepared_once: Prepared) -> Prepared:
    prepared_once.reset()
    return prepared_once


@dataclass
class Moment:
    """The n-th command of a verb has come, and the server waits before it acts on it, or before it answers."""

    server: ScriptedServer
    performs: bool
    keeps_on: bool

    def __post_init__(self) -> None:
        self.reached = threading.Event()
        self.over = threading.Event()

    def react(self, exchange: Exchange) -> None:
        reply = exchange.perform() if self.performs else None
        self.reached.set()
        self.server.wait_for(self.over)
        if self.keeps_on:
            exchange.reply(exchange.perform() if reply is None else reply)
        else:
            exchange.connection.hang_up()


def nth(number: int) -> Callable[[Exchange], bool]:
    """Match the n-th exchange that is looked at."""
    lock = threading.Lock()
    seen = 0

    def is_it(_: Exchange) -> bool:
        nonlocal seen
        with lock:
            seen += 1
            return seen == number

    return is_it


def kill_at(prepared: Prepared, verb: str, number: int, moment: Moment, *options: str) -> None:
    cue = prepared.server.on(verb, moment.react, when=nth(number))
    process = prepared.mirror.start(*options)
    try:
        assert moment.reached.wait(30), f"{verb} number {number} never came"
    finally:
        process.kill()
        process.communicate(timeout=30)
        cue.times_left = 0


LOST, PERFORMED, DRAINED = (False, False), (True, False), (False, True)


# Row 1, 2, 3.
@pytest.mark.few(5)
@pytest.mark.parametrize(
    "becomes", [LOST, PERFORMED, DRAINED], ids=["is lost", "is done", "is done with all behind it"]
)
@pytest.mark.parametrize(
    ("verb", "which"),
    [*itertools.product(VERBS, ["first"]), *itertools.product(("STOR", "RNTO", "DELE"), ("middle", "last"))],
)
def test_killed_when_a_command_was_sent_that(
    prepared: Prepared, verb: str, which: str, becomes: tuple[bool, bool]
) -> None:
    options = ("--multi", "A1", "--max-delete", "100%")
    count = prepared.commands[verb]
    number = {"first": 1, "middle": (count + 1) // 2, "last": count}[which]
    moment = Moment(prepared.server, *becomes)
    kill_at(prepared, verb, number, moment, *options)
    moment.over.set()
    assert prepared.server.wait_until(lambda: prepared.server.open_connections == 0)
    assert_old_or_new(contents(tree_of(prepared.server)), prepared.allowed)
    prepared.assert_converges(*options)


# Row 1, 71: what the server process had queued runs when all is mirrored again.
@pytest.mark.few(3)
@pytest.mark.parametrize("verb", ["MFMT", "SITE", "RNFR", "RNTO", "DELE", "RMD"])
def test_server_process_that_wakes_up_after_the_restart_changes_nothing(prepared: Prepared, verb: str) -> None:
    options = ("--multi", "A1", "--max-delete", "100%")
    moment = Moment(prepared.server, performs=False, keeps_on=True)
    kill_at(prepared, verb, 1, moment, *options)
    prepared.assert_converges(*options)
    moment.over.set()
    assert prepared.server.wait_until(lambda: prepared.server.open_connections == 0)
    assert tree_of(prepared.server) == tree(prepared.mirror.source)
    prepared.assert_history_is_whole(prepared.server)


# Row 1, with many connections.
@pytest.mark.few(3)
@pytest.mark.parametrize(
    ("verb", "number"), [("STOR", 9), ("SIZE", 6), ("RNTO", 4), ("RNTO", 12), ("DELE", 3), ("MKD", 2)]
)
def test_killed_while_several_connections_work(prepared: Prepared, verb: str, number: int) -> None:
    moment = Moment(prepared.server, performs=True, keeps_on=False)
    kill_at(prepared, verb, number, moment, "--multi", "A4", "--max-delete", "100%")
    moment.over.set()
    assert prepared.server.wait_until(lambda: prepared.server.open_connections == 0)
    assert_old_or_new(contents(tree_of(prepared.server)), prepared.allowed)
    prepared.assert_converges("--multi", "A4", "--max-delete", "100%")


# Row 1: killed again and again, mostly while it recovers.
def test_killed_in_the_middle_of_its_recoveries_it_converges(prepared: Prepared) -> None:
    options = ("--multi", "A2", "--max-delete", "100%")
    for number in (40, 18, 33, 60, 90, 140):
        moment = Moment(prepared.server, performs=True, keeps_on=False)
        kill_at(prepared, "*", number, moment, *options)
        moment.over.set()
        assert prepared.server.wait_until(lambda: prepared.server.open_connections == 0)
        assert_old_or_new(contents(tree_of(prepared.server)), prepared.allowed)
    prepared.assert_converges(*options)


# The rest starts from an empty site each time.


@pytest.fixture
def server(server: ScriptedServer) -> ScriptedServer:
    server.data_seconds = 0.5
    return server


def kill_when(mirror: Mirror, server: ScriptedServer, verb: str, number: int = 1, *, performs: bool = True) -> None:
    """Kill a pass when the n-th command of a verb was done (or not); what is queued behind it is lost."""
    moment = Moment(server, performs, keeps_on=False)
    server.on(verb, moment.react, when=nth(number))
    process = mirror.start("--multi", "A1")
    try:
        assert moment.reached.wait(30), f"{verb} number {number} never came"
    finally:
        process.kill()
        process.communicate(timeout=30)
        moment.over.set()
    assert server.wait_until(lambda: server.open_connections == 0)


def assert_mirrored(mirror: Mirror, server: ScriptedServer) -> None:
    ran = mirror.run("--multi", "A1")
    assert ran.code == 0, ran.said
    assert tree_of(server) == tree(mirror.source), ran.said
    assert temporaries_of(server) == []
    connections = server.connections
    assert mirror.run().code == 0
    assert server.connections == connections


# Row 1, while a folder of the program's own tries whether the site keeps an odd name.
@pytest.mark.parametrize("performs", [True, False], ids=["is done", "is lost"])
@pytest.mark.parametrize(("verb", "number"), [("MKD", 2), ("MKD", 3), ("RMD", 1), ("RMD", 2)])
def test_killed_while_odd_names_are_tried_leaves_nothing_behind(
    mirror: Mirror, server: ScriptedServer, verb: str, number: int, performs: bool
) -> None:
    mirror.write("folder/\u00e9t\u00e9.txt", "summer")
    kill_when(mirror, server, verb, number, performs=performs)
    assert_mirrored(mirror, server)


# Row 1, 28: the folder in which names were tried is gone since.
def test_folder_that_is_gone_after_a_kill_while_odd_names_were_tried_is_made_again(
    mirror: Mirror, server: ScriptedServer
) -> None:
    mirror.write("folder/\u00e9t\u00e9.txt", "summer")
    kill_when(mirror, server, "MKD", 2)
    with server.site.changed:
        server.folders.intersection_update({b"/"})
    assert_mirrored(mirror, server)


# Row 26: between the two steps of a replacement that is not atomic.
@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("performs", [True, False], ids=["is done", "is lost"])
def test_killed_in_the_middle_of_a_replacement_in_steps_it_converges(
    mirror: Mirror, server: ScriptedServer, number: int, performs: bool
) -> None:
    mirror.write("page.html", "old")
    assert mirror.run().code == 0

    mirror.write("page.html", "new!")
    moment = Moment(server, performs, keeps_on=False)

    def react(exchange: Exchange) -> None:
        if performs and exchange.site.exists(exchange.path):
            moment.performs = False  # the server would refuse
        moment.react(exchange)

    server.on("RNTO", react, when=nth(number))
    server.on("RNTO", refuse_existing_target, times=ALWAYS)
    process = mirror.start("--multi", "A1")
    assert moment.reached.wait(30)
    process.kill()
    process.communicate(timeout=30)
    moment.over.set()
    assert server.wait_until(lambda: server.open_connections == 0)
    assert server.history[b"/page.html"][-1] in {b"old", b"new!", None}
    assert_mirrored(mirror, server)
    assert set(server.history[b"/page.html"]) <= {None, b"old", b"new!"}


# Row 26, 13: the same without a kill: the connection is lost between the steps.
@pytest.mark.parametrize("number", [1, 2, 3])
def test_connection_lost_in_the_middle_of_a_replacement_in_steps_leaves_no_temporary(
    mirror: Mirror, server: ScriptedServer, number: int
) -> None:
    mirror.write("page.html", "old")
    assert mirror.run().code == 0

    def perform_and_hang_up(exchange: Exchange) -> None:
        if not exchange.site.exists(exchange.path):
            exchange.perform()
        exchange.connection.hang_up()

    server.on("RNTO", perform_and_hang_up, when=nth(number))
    server.on("RNTO", refuse_existing_target, times=ALWAYS)
    mirror.write("page.html", "new!")
    assert_mirrored(mirror, server)


# Row 52, 1.
@pytest.mark.parametrize("insensitive", [True, False], ids=["insensitive", "sensitive"])
@pytest.mark.parametrize("performs", [True, False], ids=["is done", "is lost"])
@pytest.mark.parametrize("content", ["the same", "another content"])
def test_killed_while_the_case_of_a_file_is_changed_it_converges(
    tmp_path: Path, content: str, performs: bool, insensitive: bool
) -> None:
    with ScriptedServer(case_insensitive=insensitive) as server:
        mirror = Mirror(tmp_path, server.port)
        mirror.write("README", "the same")
        assert mirror.run().code == 0
        (mirror.source / "README").rename(mirror.source / "readme")
        if content != "the same":
            mirror.write("readme", content)
        kill_when(mirror, server, "RNTO", performs=performs)
        assert_mirrored(mirror, server)


# Row 52, 1.
@pytest.mark.parametrize("insensitive", [True, False], ids=["insensitive", "sensitive"])
@pytest.mark.parametrize("performs", [True, False], ids=["is done", "is lost"])
@pytest.mark.parametrize("rebuilt", [False, True], ids=["renamed", "rebuilt"])
def test_killed_while_the_case_of_a_folder_is_changed_it_converges(
    tmp_path: Path, rebuilt: bool, performs: bool, insensitive: bool
) -> None:
    with ScriptedServer(case_insensitive=insensitive) as server:
        mirror = Mirror(tmp_path, server.port)
        for name in ("a", "b/c", "gone"):
            mirror.write(f"Docs/{name}", name)
        assert mirror.run().code == 0
        (mirror.source / "Docs").rename(mirror.source / "docs")
        (mirror.source / "docs/gone").unlink()
        if rebuilt:
            for name in ("a", "b/c"):
                (mirror.source / "docs" / name).unlink()
                mirror.write(f"docs/{name}", f"another {name}")
        kill_when(mirror, server, "RNTO", performs=performs)
        assert_mirrored(mirror, server)
        shown = server.history.get(b"/docs/a", [])
        new = (mirror.source / "docs/a").read_bytes()
        assert None not in shown[shown.index(new) :], "what had just been published was removed again"


# Row 53, 1, 2: a folder that was renamed with all that is in it, and what may come to it before the next pass.
THEN = {
    "and stays": (),
    "and renamed back": (("b", "a"),),
    "and renamed again": (("b", "c"),),
    "and another has its old name": (("stays", "a"),),
    "and gone": (("b", ""),),
}


@pytest.mark.few(3)
@pytest.mark.parametrize("then", THEN.values(), ids=THEN)
@pytest.mark.parametrize("performs", [True, False], ids=["is done", "is lost"])
@pytest.mark.parametrize("verb", ["MLSD", "RNFR", "RNTO", "SITE"])
def test_killed_while_a_folder_is_renamed_it_converges(
    mirror: Mirror, server: ScriptedServer, verb: str, performs: bool, then: tuple[tuple[str, str], ...]
) -> None:
    write_folders(mirror)
    (mirror.source / "a").rename(mirror.source / "b")
    (mirror.source / "b").chmod(0o750)
    (mirror.source / "b/gone").unlink()
    mirror.write("b/deep/changed", "second")
    server.log.clear()
    kill_when(mirror, server, verb, performs=performs)
    for old, new in then:
        if new:
            (mirror.source / old).rename(mirror.source / new)
        else:
            shutil.rmtree(mirror.source / old)
    assert_mirrored(mirror, server)
    stored = [line for line in server.commands() if line.startswith("STOR")]
    assert len(stored) <= 2 or then, "what was renamed is known by its content, and not sent"


def write_folders(mirror: Mirror) -> None:
    for name in ("a", "stays"):
        for path in ("0", "1", "2", "3", "gone", "deep/changed", "deep/0", "deep/1"):
            mirror.write(f"{name}/{path}", f"first {name} {path}")
    ran = mirror.run()
    assert ran.code == 0, ran.said


# Row 53, 2: what became of the folder cannot be found out at once.
def test_nothing_is_removed_or_sent_while_it_is_not_known_whether_a_folder_was_renamed(
    mirror: Mirror, server: ScriptedServer
) -> None:
    write_folders(mirror)
    (mirror.source / "a").rename(mirror.source / "b")
    kill_when(mirror, server, "RNTO")
    cue = server.on("MLSD", say(b"450 Not now."), times=ALWAYS)
    server.log.clear()
    ran = mirror.run("--retries", "0")
    assert ran.code == 1, ran.said
    told = [line for line in server.commands() if ".am-" not in line]
    assert not [line for line in told if line.startswith(("DELE", "RMD", "MKD", "RNFR"))]
    assert contents(tree_of(server)) == contents(tree(mirror.source))
    cue.times_left = 0
    server.log.clear()
    assert_mirrored(mirror, server)
    assert not [line for line in server.commands() if line.startswith(("STOR", "RNFR"))]


# Row 53, 1, 32: the folder could not be renamed, and its new name was made when the kill came.
@pytest.mark.few(1)
@pytest.mark.parametrize("performs", [True, False], ids=["is done", "is lost"])
@pytest.mark.parametrize("verb", ["MKD", "RNTO", "DELE", "RMD"])
def test_killed_after_a_folder_could_not_be_renamed_it_converges(
    mirror: Mirror, server: ScriptedServer, verb: str, performs: bool
) -> None:
    write_folders(mirror)
    (mirror.source / "a").rename(mirror.source / "b")
    (mirror.source / "b/gone").unlink()
    server.on("RNFR", permission_denied, times=1)
    kill_when(mirror, server, verb, performs=performs)
    assert_mirrored(mirror, server)


# Row 53, 1: somebody else removed what was to be renamed, so that its new name, made anew, holds nothing of it.
def test_folder_made_before_a_kill_is_not_taken_for_the_renamed_one(mirror: Mirror, server: ScriptedServer) -> None:
    write_folders(mirror)
    (mirror.source / "a").rename(mirror.source / "b")
    with server.site.changed:
        for path in [path for path in (*server.files, *server.folders) if path.startswith(b"/a")]:
            server.files.pop(path, None)
            server.folders.discard(path)
    kill_when(mirror, server, "MKD")
    assert_mirrored(mirror, server)


# Row 53, 2: a Move that was done and not confirmed, with another mode and content that changed behind it.
def test_killed_after_a_rename_that_changes_the_mode_too_sets_the_mode(mirror: Mirror, server: ScriptedServer) -> None:
    mirror.write("a.txt", "moved")
    assert mirror.run().code == 0
    (mirror.source / "a.txt").rename(mirror.source / "b.txt")
    (mirror.source / "b.txt").chmod(0o600)
    kill_when(mirror, server, "RNTO")
    assert_mirrored(mirror, server)


# Row 72.
def test_version_restored_after_a_kill_is_published_although_it_is_what_the_state_held(
    mirror: Mirror, server: ScriptedServer
) -> None:
    mirror.write("page.html", "v1", mtime_s=1_600_000_000)
    assert mirror.run().code == 0
    mirror.write("page.html", "v2", mtime_s=1_700_000_000)
    kill_when(mirror, server, "RNTO")
    assert server.files[b"/page.html"].content == b"v2"
    mirror.write("page.html", "v1", mtime_s=1_600_000_000)
    assert_mirrored(mirror, server)
    assert server.files[b"/page.html"].content == b"v1"


# Row 72, where size and mtime tell nothing: same size, and no mtimes on the site.
def test_version_restored_after_a_kill_is_published_where_the_site_has_no_times(
    mirror: Mirror, server: ScriptedServer
) -> None:
    server.without |= {"MFMT", "MLST", "MLSD", "MDTM"}
    mirror.write("page.html", "v1", mtime_s=1_600_000_000)
    assert mirror.run().code == 0
    mirror.write("page.html", "v2", mtime_s=1_700_000_000)
    kill_when(mirror, server, "RNTO")
    mirror.write("page.html", "v1", mtime_s=1_600_000_000)
    assert mirror.run().code == 0
    assert server.files[b"/page.html"].content == b"v1"


# Row 1: the file is gone when the pass that was killed is looked after.
def test_file_deleted_after_the_kill_leaves_the_site_too(mirror: Mirror, server: ScriptedServer) -> None:
    mirror.write("stays.txt", "stays")
    mirror.write("page.html", "first version")
    kill_when(mirror, server, "RNTO", 2)
    for name in ("page.html", "stays.txt"):
        (mirror.source / name).unlink()
    mirror.write("other.txt", "other")
    assert_mirrored(mirror, server)


# Row 1: a temporary that cannot be removed at once is not forgotten.
def test_temporary_that_the_server_does_not_remove_at_once_goes_in_a_later_pass(
    mirror: Mirror, server: ScriptedServer
) -> None:
    mirror.write("page.html", "whole page")
    kill_when(mirror, server, "SIZE")
    assert temporaries_of(server) != []
    server.on("DELE", permission_denied, times=1, when=lambda exchange: exchange.path in exchange.site.files)
    assert mirror.run().code in {0, 1}
    assert mirror.run().code == 0
    assert temporaries_of(server) == []
    assert tree_of(server) == tree(mirror.source)


# Row 1, on the servers of the field.
KILL_POINTS = (("STOR", 1), ("STOR", 7), ("SITE", 3), ("RNTO", 2), ("MKD", 1), ("DELE", 2))


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("multi", "real_server"),
    [*(("A4", kind) for kind in REAL), ("T4", "vsftpd"), ("P3", "proftpd")],
    indirect=["real_server"],
)
def test_killed_at_many_points_on_a_real_server_it_converges(
    tmp_path: Path, real_server: FtpServer, multi: str
) -> None:
    mirror = Mirror(tmp_path, real_server.port)
    options = ("--multi", multi, "--max-delete", "100%")
    write_generation(mirror, 0)
    assert mirror.run(*options).code == 0
    for generation, (verb, number) in enumerate(KILL_POINTS, 1):
        old = contents(tree(mirror.source))
        write_generation(mirror, generation)
        allowed = allowed_between(old, contents(tree(mirror.source)))
        real_server.mark()
        process = mirror.start(*options)
        try:
            eventually(partial(has_come, real_server, verb, number), f"{verb} number {number}")
        finally:
            process.kill()
            process.communicate(timeout=30)
        assert_old_or_new(contents(site_of(real_server)), allowed)
        again = mirror.run(*options)
        assert again.code == 0, again.said
        assert tree(real_server.docroot) == tree(mirror.source), (verb, number, again.said)
        real_server.mark()
        assert mirror.run(*options).code == 0
        assert real_server.commands() == []


def has_come(server: FtpServer, verb: str, number: int) -> bool:
    return sum(command.split(" ")[0] == verb for command in server.commands()) >= number


def site_of(server: FtpServer) -> dict[bytes, Node]:
    """Return the docroot's tree while a session that lost its client may still be changing it."""
    while True:
        try:
            return tree(server.docroot)
        except FileNotFoundError:
            continue


def write_generation(mirror: Mirror, generation: int) -> None:
    """Change, add and remove, so that each generation differs from the one before."""
    for number in range(6):
        mirror.write(f"changing/{number}.txt", f"generation {generation} of {number}".encode() * 40, MTIME + generation)
    mirror.write("changing/large.bin", bytes([generation]) * (400_000 + generation), MTIME + generation)
    mirror.write("same.txt", "the same")
    if generation:
        shutil.rmtree(mirror.source / f"folder {generation - 1}")
    for number in range(4):
        mirror.write(f"folder {generation}/below/{number}.txt", f"{generation} {number}")
