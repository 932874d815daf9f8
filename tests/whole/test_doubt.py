"""Something changes between two attempts, between scan and upload, between kill and recovery: the site is right soon.

Each case ends in quiet: within two passes the site is equal, and a third one does not even connect.
"""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from faults import reactions
from faults.reactions import ALWAYS, say
from faults.scripted import Behaviour, Exchange, Reaction, ScriptedServer
from faults.traits import instead
from support.mirror import Mirror, answer_at_once, assert_mirrored, count, ended, temporaries_of, tree_of
from support.program import MTIME, tree, write

Change = Callable[[], object]


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        answer_at_once(server)
        server.data_seconds = 1.0
        yield server


@pytest.fixture
def mirror(tmp_path: Path, server: ScriptedServer) -> Mirror:
    mirror = Mirror(tmp_path, server.port, options=["--multi", "A1"])
    mirror.write("stays.txt", "stays")
    return mirror


def assert_right_in_the_end(mirror: Mirror, server: ScriptedServer) -> None:
    """Run passes in quiet: equal within two, and the third is silent."""
    for _ in range(2):
        ran = mirror.run()
        assert ran.code == 0, ran.said
    assert tree_of(server) == tree(mirror.source), ran.said
    assert temporaries_of(server) == []
    before = server.connections
    assert mirror.run().code == 0
    assert server.connections == before


def after(change: Change, *, lost: bool = True) -> Reaction:
    """Do the command, then change something here, and lose the reply, or give it."""

    def react(exchange: Exchange) -> None:
        reply = exchange.perform()
        change()
        if lost:
            exchange.connection.hang_up()
        else:
            exchange.reply(reply)

    return react


def between_scan_and_upload(server: ScriptedServer, change: Change) -> None:
    """Change something once the scan is over and nothing was read: at the login, which waits for the first job."""
    server.on("PASS", after(change, lost=False))


class Killed:
    """A pass that is killed at a command."""

    def __init__(self, mirror: Mirror) -> None:
        self.mirror = mirror
        self.process: subprocess.Popen[str] | None = None

    def at(self, *, performs: bool) -> Reaction:
        def react(exchange: Exchange) -> None:
            assert self.process
            if performs:
                exchange.perform()
            self.process.kill()
            self.process.wait()
            exchange.connection.hang_up()

        return react

    def run(self, *options: str) -> None:
        self.process = self.mirror.start(*options)
        ended(self.process)
        assert self.process.returncode == -9


def swap(mirror: Mirror) -> None:
    """Let two files change places."""
    (mirror.source / "p").rename(mirror.source / "aside")
    (mirror.source / "q").rename(mirror.source / "p")
    (mirror.source / "aside").rename(mirror.source / "q")


# Row 76.
@pytest.mark.parametrize("verb", ["USER", "STOR", "RNTO"])
@pytest.mark.parametrize("performs", [True, False])
def test_two_files_alike_that_changed_places_are_right_after_a_kill(
    mirror: Mirror, server: ScriptedServer, verb: str, performs: bool
) -> None:
    mirror.write("p", "first ")
    mirror.write("q", "second")
    assert_mirrored(mirror, server)
    swap(mirror)
    killed = Killed(mirror)
    server.on(verb, killed.at(performs=performs))
    killed.run()
    assert_right_in_the_end(mirror, server)


# Row 76.
def test_two_files_alike_that_changed_places_are_right_after_a_lost_reply(
    mirror: Mirror, server: ScriptedServer
) -> None:
    mirror.write("p", "first ")
    mirror.write("q", "second")
    assert_mirrored(mirror, server)
    swap(mirror)
    server.on("RNTO", after(lambda: swap(mirror)))
    mirror.run()
    assert_right_in_the_end(mirror, server)


# Row 76, of one file alone.
@pytest.mark.parametrize("is_new", [False, True], ids=["tracked", "new"])
@pytest.mark.parametrize("in_place", [True, False], ids=["written over", "replaced"])
def test_a_file_written_anew_with_the_same_size_and_date_after_a_kill_is_sent(
    mirror: Mirror, server: ScriptedServer, in_place: bool, is_new: bool
) -> None:
    if not is_new:
        mirror.write("page.html", "an older one")
    assert_mirrored(mirror, server)
    page = mirror.write("page.html", "first ", MTIME + 60)
    killed = Killed(mirror)
    server.on("RNTO", killed.at(performs=True))
    killed.run()
    if not in_place:
        page.rename(page.with_name("as it was"))
    write(page, "second", MTIME + 60)
    assert_right_in_the_end(mirror, server)


# Row 77.
def test_two_adopted_files_alike_that_changed_places_are_noticed(mirror: Mirror, server: ScriptedServer) -> None:
    for path, content in (("p", "first "), ("q", "second")):
        mirror.write(path, content)
        server.put(b"/" + path.encode(), content.encode(), mtime=MTIME, mode=0o644)
    assert_mirrored(mirror, server)
    swap(mirror)
    assert_right_in_the_end(mirror, server)


# Rows 78 and 81, with and without renames onto a file.
@pytest.mark.parametrize("in_steps", [False, True], ids=["one step", "two steps"])
@pytest.mark.parametrize("then", ["gone", "restored", "changed", "changed alike"])
@pytest.mark.parametrize("is_new", [False, True], ids=["tracked", "new"])
def test_a_file_whose_publication_is_in_doubt_is_right_whatever_becomes_of_it(
    mirror: Mirror, server: ScriptedServer, is_new: bool, then: str, in_steps: bool
) -> None:
    if not is_new:
        mirror.write("page.html", "version 1")
    assert_mirrored(mirror, server)
    page = mirror.write("page.html", "version 2", MTIME + 60)
    changes: dict[str, Change] = {
        "gone": page.unlink,
        "restored": lambda: write(page, "version 1"),
        "changed": lambda: write(page, "version 3, longer", MTIME + 120),
        "changed alike": lambda: write(page, "version 4", MTIME + 60),
    }
    server.on("RNTO", after(changes[then]), when=reactions.for_path(b"/page.html"))
    if in_steps:
        server.on("RNTO", reactions.refuse_existing_target, times=ALWAYS)
    mirror.run()
    assert_right_in_the_end(mirror, server)


# Row 78.
def test_a_file_that_changed_since_the_scan_and_is_gone_after_a_lost_reply_is_deleted(
    mirror: Mirror, server: ScriptedServer
) -> None:
    assert_mirrored(mirror, server)
    page = mirror.write("page.html", "version 1")
    between_scan_and_upload(server, lambda: write(page, "version 2, a little later", MTIME + 60))
    server.on("RNTO", after(page.unlink))
    mirror.run()
    assert_right_in_the_end(mirror, server)


# Row 79.
def test_a_file_that_is_back_after_the_reply_to_its_deletion_was_lost_is_there_in_the_end(
    mirror: Mirror, server: ScriptedServer
) -> None:
    page = mirror.write("page.html", "content")
    assert_mirrored(mirror, server)
    elsewhere = page.rename(mirror.source.with_name("elsewhere"))
    server.on("DELE", after(lambda: elsewhere.rename(page)))
    mirror.run()
    assert_right_in_the_end(mirror, server)


# Row 80.
@pytest.mark.parametrize("new", ["b", "A"], ids=["another name", "another case"])
def test_a_file_that_is_gone_after_the_reply_to_its_rename_was_lost_is_gone(
    mirror: Mirror, server: ScriptedServer, new: str
) -> None:
    page = mirror.write("a", "content")
    assert_mirrored(mirror, server)
    renamed = page.rename(mirror.source / new)
    server.on("RNTO", after(renamed.unlink))
    mirror.run()
    assert_right_in_the_end(mirror, server)


# Row 80.
@pytest.mark.parametrize("is_folder", [False, True], ids=["file", "folder"])
def test_the_old_name_of_a_rename_whose_reply_was_lost_is_there_if_the_source_has_it_again(
    mirror: Mirror, server: ScriptedServer, is_folder: bool
) -> None:
    inside = "/page" if is_folder else ""
    mirror.write(f"old{inside}", "content")
    assert_mirrored(mirror, server)
    (mirror.source / "old").rename(mirror.source / "new")

    def is_back_and_differs() -> None:
        mirror.write(f"old{inside}", "content")
        write(mirror.source / f"new{inside}", "other content", MTIME + 60)
        if is_folder:
            server.put(b"/new/theirs", b"theirs")
        server.put(b"/new/theirs", b"theirs") if is_folder else None

    server.on("RNTO", after(is_back_and_differs))
    mirror.run()
    for _ in range(2):
        ran = mirror.run()
        assert ran.code == 0, ran.said
    there = {path: each for path, each in tree_of(server).items() if b"theirs" not in path}
    assert there == tree(mirror.source), ran.said


# Row 82.
@pytest.mark.parametrize("mode", ["A1", "T1", "P1"])
def test_a_file_that_changed_since_the_scan_is_deleted_though_the_run_that_sent_it_was_killed(
    mirror: Mirror, server: ScriptedServer, mode: str
) -> None:
    assert_mirrored(mirror, server)
    page = mirror.write("page.html", "version 1")
    between_scan_and_upload(server, lambda: write(page, "version 2, a bit more", MTIME + 60))
    killed = Killed(mirror)
    server.on("RNTO", killed.at(performs=True))
    killed.run("--multi", mode)
    page.unlink()
    assert_right_in_the_end(mirror, server)


# Row 83.
def test_a_file_renamed_in_case_alone_and_deleted_before_its_new_content_is_sent_leaves_nothing(
    mirror: Mirror, server: ScriptedServer
) -> None:
    page = mirror.write("a", "old content")
    assert_mirrored(mirror, server)
    page.unlink()
    renamed = mirror.write("A", "new")
    server.on("RNTO", after(renamed.unlink, lost=False))
    mirror.run()
    assert_right_in_the_end(mirror, server)


# Row 84.
@pytest.mark.parametrize("path", [b"/dir/theirs", b"/dir/below/theirs"])
def test_a_rename_in_case_alone_takes_nothing_of_others_along(
    mirror: Mirror, server: ScriptedServer, path: bytes
) -> None:
    mirror.write("dir/ours", "ours")
    mirror.write("dir/below/ours", "ours")
    assert_mirrored(mirror, server)
    server.put(path, b"theirs")
    (mirror.source / "dir").rename(mirror.source / "DIR")
    for _ in range(2):
        ran = mirror.run()
        assert ran.code == 0, ran.said
    assert server.files[path].content == b"theirs"
    assert {each for each in server.files if each.endswith(b"/ours")} == {b"/DIR/ours", b"/DIR/below/ours"}


# Row 84.
def test_a_site_that_ignores_case_renames_a_folder_with_all_that_is_in_it(tmp_path: Path) -> None:
    with ScriptedServer(case_insensitive=True) as server:
        mirror = Mirror(tmp_path, server.port)
        mirror.write("dir/ours", "ours")
        assert_mirrored(mirror, server)
        server.put(b"/dir/theirs", b"theirs")
        (mirror.source / "dir").rename(mirror.source / "DIR")
        ran = mirror.run()
        assert ran.code == 0, ran.said
        assert {path: file.content for path, file in server.files.items()} == {
            b"/DIR/ours": b"ours",
            b"/DIR/theirs": b"theirs",
        }


# Row 85.
def test_a_file_of_the_same_size_that_somebody_else_put_there_is_not_taken_for_our_rename(
    mirror: Mirror, server: ScriptedServer
) -> None:
    page = mirror.write("a", "ours!!")
    assert_mirrored(mirror, server)
    server.site.remove_file(b"/a")
    server.put(b"/b", b"theirs", mtime=MTIME)
    page.rename(mirror.source / "b")
    assert_right_in_the_end(mirror, server)


# Row 86.
def test_an_old_version_that_was_set_aside_comes_back_where_the_new_one_finds_no_room(
    mirror: Mirror, server: ScriptedServer
) -> None:
    mirror.write("page.html", "version 1")
    assert_mirrored(mirror, server)
    mirror.write("page.html", "version 2", MTIME + 60)
    killed = Killed(mirror)
    server.on("RNTO", killed.at(performs=True), when=lambda its: its.connection.rename_source == b"/page.html")
    server.on("RNTO", reactions.refuse_existing_target, times=ALWAYS)
    killed.run()
    assert b"/page.html" not in server.files
    full = server.on("STOR", reactions.close_data_after(1, b"552 Quota exceeded."), times=ALWAYS)
    assert mirror.run().code == 1
    assert server.files[b"/page.html"].content == b"version 1"
    full.times_left = 0
    assert_right_in_the_end(mirror, server)


def test_a_server_that_renames_something_else_than_it_was_told_to_is_not_believed(
    mirror: Mirror, server: ScriptedServer
) -> None:
    mirror.write("a.txt", "version 1")
    assert_mirrored(mirror, server)
    mirror.write("a.txt", "version 2", MTIME + 60)

    def refuse_and_remember_the_one_before(exchange: Exchange) -> None:
        exchange.connection.rename_source = b"/stays.txt"
        exchange.reply(b"550 Not this one.")

    server.on("RNFR", refuse_and_remember_the_one_before)
    mirror.run()
    mirror.write("stays.txt", "stays, and is sent anew", MTIME + 60)
    assert_right_in_the_end(mirror, server)


@pytest.mark.parametrize("reply", [b"451 Local error.", b"550 Failed."])
def test_a_file_whose_rename_was_refused_and_yet_done_goes_with_that_of_the_source(
    mirror: Mirror, server: ScriptedServer, reply: bytes
) -> None:
    assert_mirrored(mirror, server)
    page = mirror.write("page.html", "version 1")

    def rename_and_refuse(exchange: Exchange) -> None:
        exchange.perform()
        page.unlink()
        exchange.reply(reply)

    server.on("RNTO", rename_and_refuse)
    mirror.run()
    assert_right_in_the_end(mirror, server)


def assert_second_version_goes_after_a_kill(mirror: Mirror, server: ScriptedServer) -> None:
    """Publish another version, killed once it has its name, and delete it: two runs remove it from the site."""
    page = mirror.write("page.html", "version 2, which is longer", MTIME + 60)
    killed = Killed(mirror)
    server.on("RNTO", killed.at(performs=True))
    killed.run()
    page.unlink()
    for _ in range(2):
        mirror.run()
    assert set(server.files) == {b"/stays.txt"}


@pytest.mark.parametrize("hours", [-5, 3])
@pytest.mark.parametrize("was_there", [True, False])
def test_what_a_killed_run_left_goes_from_a_site_that_shows_other_times_than_it_was_told(
    mirror: Mirror, server: ScriptedServer, hours: int, was_there: bool
) -> None:
    def set_in_another_zone(exchange: Exchange, usual: Behaviour) -> bytes:
        reply = usual(exchange)
        exchange.site.set_mtime(exchange.path, exchange.site.file(exchange.path).mtime + hours * 3600)
        return reply

    instead(set_in_another_zone, "MFMT")(server)
    if was_there:
        mirror.write("page.html", "version 1")
    mirror.run()
    assert_second_version_goes_after_a_kill(mirror, server)
    sent = count(server, "STOR")
    mirror.run("--rescan")
    assert count(server, "STOR") == sent, "what is unchanged is not sent again for its time"


@pytest.mark.parametrize("answer", [b"213 Done.", b"550 Not allowed."])
def test_what_a_killed_run_left_goes_from_a_site_that_sets_times_no_more(
    mirror: Mirror, server: ScriptedServer, answer: bytes
) -> None:
    mirror.write("page.html", "version 1")
    mirror.run()
    server.on("MFMT", say(answer), times=ALWAYS)
    assert_second_version_goes_after_a_kill(mirror, server)


def test_a_folder_in_whose_place_others_put_a_file_is_given_up(mirror: Mirror, server: ScriptedServer) -> None:
    folder = mirror.source / "folder"
    folder.mkdir()
    assert_mirrored(mirror, server)
    server.site.remove_folder(b"/folder")
    server.put(b"/folder", b"theirs")
    folder.rmdir()
    ran = mirror.run()
    assert ran.code == 0, ran.said
    assert server.files[b"/folder"].content == b"theirs"
    before = server.connections
    assert mirror.run().code == 0
    assert server.connections == before


# What a stalled server may still do.


@contextmanager
def database_of(mirror: Mirror) -> Iterator[sqlite3.Connection]:
    """Open the state's database, and commit what is done to it."""
    [path] = mirror.state.glob("*.sqlite3")
    with closing(sqlite3.connect(path)) as database, database:
        yield database


def due_at(mirror: Mirror, seconds: float) -> None:
    """Let all that waits for a later look be due so much earlier."""
    with database_of(mirror) as database:
        database.execute("UPDATE pending SET look_after = max(1, look_after - ?) WHERE look_after > 0", (seconds,))


def open_paths(mirror: Mirror) -> set[bytes]:
    with database_of(mirror) as database:
        return {row[0] for row in database.execute("SELECT path FROM pending")}


# Row 71, for what was sent about the path itself.
def test_what_a_stalled_server_does_long_after_the_retry_is_noticed_five_minutes_later(
    mirror: Mirror, server: ScriptedServer
) -> None:
    page = mirror.write("page.html", "content")
    assert_mirrored(mirror, server)
    page.unlink()
    server.on("DELE", reactions.stay_silent)
    ran = mirror.run("--timeout", "1s")
    assert ran.code == 0, ran.said
    mirror.write("page.html", "content")
    assert_right_in_the_end(mirror, server)
    server.site.remove_file(b"/page.html")  # as the server that was sent DELE does when it wakes up
    assert open_paths(mirror) == {b"page.html"}
    due_at(mirror, 290)
    before = server.connections
    assert mirror.run().code == 0
    assert server.connections == before
    due_at(mirror, 10)
    assert_right_in_the_end(mirror, server)
    assert open_paths(mirror) == set()


# Row 71.
def test_a_folder_that_a_stalled_server_makes_long_after_it_was_removed_is_removed_once_more(
    mirror: Mirror, server: ScriptedServer
) -> None:
    assert_mirrored(mirror, server)
    folder = mirror.source / "folder"
    folder.mkdir()
    server.on("MKD", reactions.stay_silent)
    assert mirror.run("--timeout", "1s").code == 0
    folder.rmdir()
    assert_right_in_the_end(mirror, server)
    server.site.make_folder(b"/folder")  # as the server that was sent MKD does when it wakes up
    due_at(mirror, 300)
    assert_right_in_the_end(mirror, server)
    assert open_paths(mirror) == set()


# Row 71.
def test_a_folder_is_removed_though_a_stalled_server_did_put_a_temporary_of_ours_into_it(
    mirror: Mirror, server: ScriptedServer
) -> None:
    mirror.write("folder/page.html", "content")
    assert_mirrored(mirror, server)
    sent = {line.split(" ", 1)[1] for line in server.commands() if line.startswith("STOR folder/")}
    assert sent
    (mirror.source / "folder/page.html").unlink()
    (mirror.source / "folder").rmdir()
    for temporary in sent:  # as the server that was sent STOR does when it wakes up
        server.put(b"/" + temporary.encode(), b"content")
    assert_right_in_the_end(mirror, server)
    assert b"/folder" not in server.site.folders


@pytest.mark.parametrize("verb", ["DELE", "RNTO", "STOR"])
def test_what_a_server_that_closed_the_connection_was_sent_is_not_waited_for(
    mirror: Mirror, server: ScriptedServer, verb: str
) -> None:
    mirror.write("gone.txt", "gone")
    assert_mirrored(mirror, server)
    (mirror.source / "gone.txt").unlink()
    mirror.write("new.txt", "new")
    server.on(verb, reactions.close_before_replying)
    assert mirror.run().code == 0
    assert open_paths(mirror) == set()
    assert_right_in_the_end(mirror, server)


# Names read back from the state.


@pytest.mark.parametrize("name", [b"..", b"a/../..", b"/etc/passwd", b"a\rDELE stays.txt", b"a\nDELE stays.txt"])
@pytest.mark.parametrize("kind", [1, 2], ids=["file", "folder"])
def test_a_name_that_a_forged_state_holds_never_becomes_a_command(
    mirror: Mirror, server: ScriptedServer, name: bytes, kind: int
) -> None:
    assert_mirrored(mirror, server)
    with database_of(mirror) as database:
        database.execute("CREATE TEMP TABLE forged AS SELECT * FROM held")
        database.execute("UPDATE forged SET folder = x'', name = ?, kind = ?", (name, kind))
        database.execute("INSERT INTO held SELECT * FROM forged")
    before = len(server.log)
    for options in ([], ["--rescan"]):
        ran = mirror.run("--max-delete", "100%", *options)
        assert ran.code == 1, ran.said
        assert "the state contains an invalid path" in ran.said
    said = server.commands()[before:]
    assert not [line for line in said if ".." in line or "/etc" in line or line.startswith(("DELE", "RMD"))], said
    assert b"/stays.txt" in server.files
