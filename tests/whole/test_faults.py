"""What servers, networks and disks do wrong, and what is right then; the rows are those of docs/faults.md."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from faults import reactions, text
from faults.proxy import Action, FtpProxy, Passage
from faults.reactions import ALWAYS
from faults.scripted import Exchange, Reaction, ScriptedServer
from servers import REAL, FtpServer, RealKind, ServerFactory
from support.mirror import (
    AS_PLAIN_USER,
    Mirror,
    assert_mirrored,
    assert_same,
    contents,
    count,
    ended,
    in_folder,
    temporaries_of,
    tree_of,
)
from support.program import MTIME, eventually, touch, tree

from async_mirror.model.temporary_names import FOUND_OUT


@pytest.fixture
def proxy(server: ScriptedServer) -> Iterator[FtpProxy]:
    with FtpProxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def through_proxy(tmp_path: Path, proxy: FtpProxy) -> Mirror:
    return Mirror(tmp_path, proxy.port)


def some_files(mirror: Mirror, number: int = 6) -> None:
    for each in range(number):
        mirror.write(f"folder/{each}.txt", f"content {each}")


# 9 to 18: connections.


# Row 9.
@pytest.mark.few(2)
@pytest.mark.parametrize("verb", [b"PASS", b"EPSV", b"STOR", b"RNTO"])
def test_control_connection_that_is_cut_is_replaced(
    through_proxy: Mirror, server: ScriptedServer, proxy: FtpProxy, verb: bytes
) -> None:
    some_files(through_proxy)
    proxy.on_command(verb, reactions.cut)
    proxy.on_command(verb, reactions.reset)
    proxy.on_command(verb, reactions.forward_then_cut)
    assert_mirrored(through_proxy, server, "--multi", "A3")


# Row 10.
@pytest.mark.parametrize("action", [reactions.cut, reactions.reset], ids=["FIN", "RST"])
def test_data_connection_that_is_cut_leaves_no_trace(
    through_proxy: Mirror, server: ScriptedServer, proxy: FtpProxy, action: Action
) -> None:
    through_proxy.write("long.bin", b"x" * 400_000)
    proxy.on_data_after(100_000, action, times=2, during=b"STOR")
    assert_mirrored(through_proxy, server)
    assert server.history[b"/long.bin"] == [b"x" * 400_000]


# Row 10.
@pytest.mark.parametrize("breaks", [reactions.close_data_after(7), reactions.reset_data_after(7)], ids=["FIN", "RST"])
def test_data_connection_that_the_server_ends_leaves_no_trace(
    mirror: Mirror, server: ScriptedServer, breaks: Reaction
) -> None:
    mirror.write("page.html", "a whole page")
    server.on("STOR", breaks, times=2)
    assert_mirrored(mirror, server)
    assert server.history[b"/page.html"] == [b"a whole page"]


# Row 11.
def test_file_that_arrived_incomplete_is_not_published_although_the_server_said_226(
    mirror: Mirror, server: ScriptedServer
) -> None:
    server.put(b"/page.html", b"what was there")
    mirror.write("page.html", "a whole page")
    cue = server.on("STOR", reactions.truncate_stored(5), times=ALWAYS)
    ran = mirror.run()
    assert ran.code == 1, ran.said
    assert contents(tree_of(server)) == {b"page.html": b"what was there"}
    cue.times_left = 0
    assert_mirrored(mirror, server)


# Row 11, on the servers of the field.
@pytest.mark.few(1)
def test_file_cut_short_by_an_early_end_of_data_is_never_published(tmp_path: Path, real_server: FtpServer) -> None:
    with FtpProxy(real_server.port) as proxy:
        mirror = Mirror(tmp_path, proxy.port)
        mirror.write("page.html", b"x" * 200_000)
        cue = proxy.on_data_after(50_000, reactions.early_fin, times=ALWAYS, during=b"STOR")
        ran = mirror.run("--retries", "1")
        assert ran.code == 1, ran.said
        assert list(real_server.docroot.iterdir()) == []
        cue.times_left = 0
        again = mirror.run()
        assert again.code == 0, again.said
        assert tree(real_server.docroot) == tree(mirror.source)


# Row 13.
@pytest.mark.parametrize("verb", [b"STOR", b"SIZE", b"MFMT", b"RNTO"])
def test_whole_file_is_not_sent_again_when_a_reply_is_lost(
    through_proxy: Mirror, server: ScriptedServer, proxy: FtpProxy, verb: bytes
) -> None:
    through_proxy.write("page.html", "a whole page")
    proxy.lose_reply(verb)
    assert_mirrored(through_proxy, server)
    assert count(server, "STOR") == 1
    assert server.history[b"/page.html"] == [b"a whole page"]


# Row 13.
@pytest.mark.few(1)
@pytest.mark.parametrize("verb", [b"DELE", b"RMD", b"MKD", b"RNTO"])
def test_change_whose_reply_is_lost_is_done_once(
    through_proxy: Mirror, server: ScriptedServer, proxy: FtpProxy, verb: bytes
) -> None:
    through_proxy.write("old/gone.txt", "gone")
    through_proxy.write("from.txt", "moved")
    through_proxy.write("stays.txt", "stays")
    assert_mirrored(through_proxy, server)
    shutil.rmtree(through_proxy.source / "old")
    (through_proxy.source / "from.txt").rename(through_proxy.source / "to.txt")
    through_proxy.write("new/new.txt", "new")
    proxy.lose_reply(verb)
    assert_mirrored(through_proxy, server)


# Row 13: the temporary is gone, and what has the final name looks like the new version but is not.
def test_old_version_of_the_same_size_and_second_is_not_taken_for_the_new_one(
    mirror: Mirror, server: ScriptedServer
) -> None:
    page = mirror.write("page.html", "aaaa")
    assert_mirrored(mirror, server)
    status = page.stat()
    page.write_text("bbbb")
    os.utime(page, ns=(status.st_mtime_ns + 1_000_000, status.st_mtime_ns + 1_000_000))

    def lose_the_upload(exchange: Exchange) -> None:
        exchange.perform()
        exchange.site.remove_file(exchange.path)
        exchange.connection.hang_up()

    server.on("STOR", lose_the_upload)
    assert_mirrored(mirror, server)


# Row 14.
def test_half_open_connection_is_given_up_and_the_stall_is_named(
    through_proxy: Mirror, server: ScriptedServer, proxy: FtpProxy
) -> None:
    some_files(through_proxy)
    proxy.on_command(b"SIZE", reactions.freeze())
    ran = assert_mirrored(through_proxy, server, "--multi", "A1", "-v", "--timeout", "1s")
    assert re.search(r"silent for 1 s after SIZE", ran.said), ran.said


# Row 14.
@pytest.mark.few(1)
@pytest.mark.parametrize("verb", [b"USER", b"MKD", b"EPSV", b"STOR", b"RNTO"])
def test_network_that_stays_half_open_ends_the_pass_and_names_the_stall(
    through_proxy: Mirror, proxy: FtpProxy, verb: bytes
) -> None:
    some_files(through_proxy, 2)
    proxy.on_command(verb, reactions.freeze(), times=ALWAYS)
    ran = through_proxy.run("--timeout", "1s", "--retries", "0")
    assert ran.code in {1, 4}, ran.said
    assert re.search(r"silent for|did not answer within|time-out", ran.said), ran.said


# Row 15.
def test_data_connection_that_nobody_accepts_times_out_and_is_tried_again(
    mirror: Mirror, server: ScriptedServer
) -> None:
    mirror.write("long.bin", b"x" * 100_000)
    server.on("STOR", reactions.never_accept_data)
    assert_mirrored(mirror, server, "--timeout", "1s")


# Row 16.
@pytest.mark.parametrize("verb", ["FEAT", "RNTO"])
def test_reply_that_dribbles_in_is_not_waited_for_longer_than_the_time_out(
    mirror: Mirror, server: ScriptedServer, verb: str
) -> None:
    mirror.write("page.html", "page")
    server.on(verb, reactions.dribble(0.5))
    assert_mirrored(mirror, server, "--timeout", "1s")


# Row 16.
def test_data_that_trickles_is_given_up(through_proxy: Mirror, server: ScriptedServer, proxy: FtpProxy) -> None:
    through_proxy.write("long.bin", os.urandom(12_000_000))
    proxy.on_data_after(100_000, reactions.throttle(10), during=b"STOR")
    assert_mirrored(through_proxy, server, "--timeout", "1s")


# Row 18.
def test_restart_of_the_server_loses_no_file(tmp_path: Path, real_server: FtpServer) -> None:
    mirror = Mirror(tmp_path, real_server.port)
    some_files(mirror, 60)
    process = mirror.start("--multi", "A3", "--retries", "6")
    try:
        eventually(lambda: sum(line.startswith("STOR") for line in real_server.commands()) > 5, "some files were sent")
        real_server.restart()
    finally:
        ran = ended(process)
    assert ran.code == 0, ran.said
    assert tree(real_server.docroot) == tree(mirror.source)


# 19 to 27: refusals.


# Row 19.
@pytest.mark.parametrize("limit", [1, 3])
def test_limit_of_connections_is_kept_to_and_every_file_mirrored(
    mirror: Mirror, server: ScriptedServer, limit: int
) -> None:
    some_files(mirror, 30)
    server.limit = limit
    ran = assert_mirrored(mirror, server, "--multi", "A8")
    assert f"the server allows only {limit} connection" in ran.said
    refused = server.refused_connections
    mirror.write("another.txt", "another")
    some_files(mirror, 40)
    assert_mirrored(mirror, server, "--multi", "A8")
    assert server.refused_connections == refused


# Row 19, on the servers of the field.
@pytest.mark.parametrize("kind", REAL)
def test_limit_of_a_real_server_is_kept_to_and_every_file_mirrored(
    tmp_path: Path, server_factory: ServerFactory, kind: RealKind
) -> None:
    server = server_factory(kind, max_per_ip=2)
    mirror = Mirror(tmp_path, server.port)
    some_files(mirror, 30)
    ran = mirror.run("--multi", "A8")
    assert ran.code == 0, ran.said
    assert tree(server.docroot) == tree(mirror.source)


# Row 19.
@pytest.mark.few(2)
@pytest.mark.parametrize("verb", ["EPSV", "STOR", "RNTO", "MLSD"])
def test_421_in_the_middle_of_a_session_is_recovered_from(mirror: Mirror, server: ScriptedServer, verb: str) -> None:
    some_files(mirror)
    mirror.write("gone.txt", "gone")
    server.on(verb, reactions.say(b"421 Service not available, closing control connection."))
    ran = mirror.run("--multi", "A2")
    assert ran.code == 0, ran.said
    (mirror.source / "gone.txt").unlink()
    assert_mirrored(mirror, server, "--multi", "A2")


# Row 20.
@pytest.mark.parametrize("verb", ["USER", "PASS"])
def test_refused_login_is_tried_once_and_ends_with_3(mirror: Mirror, server: ScriptedServer, verb: str) -> None:
    some_files(mirror)
    server.on(verb, reactions.say(b"530 Login incorrect."), times=ALWAYS)
    ran = mirror.run("--multi", "A8")
    assert ran.code == 3, ran.said
    assert count(server, "USER") == 1


# Row 21.
def test_login_refused_in_mid_run_is_not_hammered_at(mirror: Mirror, server: ScriptedServer) -> None:
    some_files(mirror, 40)
    server.on("SIZE", reactions.close_before_performing, times=ALWAYS, when=lambda _: count(server, "SIZE") > 4)
    server.on("PASS", reactions.say(b"530 Login incorrect."), times=ALWAYS, when=lambda _: count(server, "SIZE") > 4)
    ran = mirror.run("--multi", "A4")
    assert ran.code == 3, ran.said
    refused = count(server, "PASS") - 4
    assert refused <= 4, f"{refused} refused logins"


# Row 22.
def test_refused_file_does_not_hold_up_the_others(mirror: Mirror, server: ScriptedServer) -> None:
    some_files(mirror)
    mirror.write("refused/file.txt", "refused")
    cue = server.on("STOR", reactions.permission_denied, times=ALWAYS, when=in_folder(b"/refused"))
    ran = mirror.run()
    assert ran.code == 1, ran.said
    assert set(contents(tree_of(server))) == {b"folder/%d.txt" % number for number in range(6)}
    assert count(server, "STOR") <= 7 + len(FOUND_OUT), "the file once, and an empty one for each other temporary name"
    cue.times_left = 0
    assert_mirrored(mirror, server)


# Row 23.
@pytest.mark.parametrize("reply", [b"552 Quota exceeded.", b"452 Insufficient storage space."])
@pytest.mark.parametrize("size", [20, 9_000_000])
def test_full_site_keeps_the_old_version_and_no_temporary(
    mirror: Mirror, server: ScriptedServer, reply: bytes, size: int
) -> None:
    mirror.write("page.bin", "old")
    assert_mirrored(mirror, server)
    mirror.write("page.bin", b"n" * size)
    cue = server.on("STOR", reactions.close_data_after(10, reply), times=ALWAYS)
    ran = mirror.run()
    assert ran.code == 1, ran.said
    assert contents(tree_of(server)) == {b"page.bin": b"old"}
    assert "page.bin  no space on the site" in ran.said
    cue.times_left = 0
    assert_mirrored(mirror, server)


# Row 24.
def test_refused_name_is_reported_once_and_not_tried_again_in_the_pass(mirror: Mirror, server: ScriptedServer) -> None:
    mirror.write("bad.name", "bad")
    server.on("RNTO", reactions.say(b"553 File name not allowed."), times=ALWAYS)
    ran = mirror.run()
    assert ran.code == 1, ran.said
    assert len(re.findall("bad.name", ran.said)) == 1
    assert count(server, "STOR") <= 1 + len(FOUND_OUT), "the file once, and an empty one for each temporary name"
    assert tree_of(server) == {}


# Row 25.
@pytest.mark.few(2)
@pytest.mark.parametrize(
    ("verb", "reply"),
    [
        ("MLSD", b"500 Unknown command."),
        ("MLST", b"502 Not implemented."),
        ("EPSV", b"500 Unknown command."),
        ("SIZE", b"502 Not implemented."),
        ("MFMT", b"500 Unknown command."),
        ("SITE", b"502 Not implemented."),
    ],
)
def test_command_that_the_server_lacks_is_done_without_and_said_once(
    mirror: Mirror, server: ScriptedServer, verb: str, reply: bytes
) -> None:
    some_files(mirror)
    mirror.write("mode.txt", "mode", mode=0o600)
    server.put(b"/there.txt", b"there", mtime=MTIME)
    mirror.write("there.txt", "there")
    server.on(verb, reactions.say(reply), times=ALWAYS)
    ran = mirror.run("--multi", "A2")
    assert ran.code == 0, ran.said
    assert contents(tree_of(server)) == contents(tree(mirror.source))
    assert count(server, verb) <= 6, server.commands()  # on each connection what waited for its turn, and its question
    mirror.write("folder/1.txt", "changed content")
    (mirror.source / "folder/2.txt").unlink()
    again = mirror.run("--multi", "A2")
    assert again.code == 0, again.said
    assert contents(tree_of(server)) == contents(tree(mirror.source))
    before = server.connections
    assert mirror.run().code == 0
    assert server.connections == before


# Row 25.
@pytest.mark.parametrize("verb", ["MFMT", "SITE"])
def test_attributes_that_the_server_cannot_set_are_said_once(mirror: Mirror, server: ScriptedServer, verb: str) -> None:
    some_files(mirror)
    server.without.add(verb)
    ran = mirror.run()
    assert ran.code == 0
    assert len(re.findall("the server does not set every", ran.said)) == 1, ran.said


# Row 26.
def test_server_that_does_not_replace_is_served_in_steps_with_a_warning(mirror: Mirror, server: ScriptedServer) -> None:
    some_files(mirror)
    assert_mirrored(mirror, server)
    for number in range(6):
        mirror.write(f"folder/{number}.txt", f"changed content {number}")
    server.on("RNTO", reactions.refuse_existing_target, times=ALWAYS)
    ran = assert_mirrored(mirror, server, "--multi", "A2")
    assert ran.said.count("cannot rename over an existing file") == 1


# Row 26: the second step is refused for good.
def test_old_version_comes_back_when_the_second_step_of_a_replacement_is_refused(
    mirror: Mirror, server: ScriptedServer
) -> None:
    mirror.write("page.html", "old")
    assert_mirrored(mirror, server)
    mirror.write("page.html", "new!")

    def from_the_new(exchange: Exchange) -> bool:
        source = exchange.connection.rename_source or b""
        return exchange.path == b"/page.html" and exchange.site.file(source).content == b"new!"

    cue = server.on("RNTO", reactions.permission_denied, times=ALWAYS, when=from_the_new)
    ran = mirror.run()
    assert ran.code == 1, ran.said
    assert contents(tree_of(server)) == {b"page.html": b"old"}
    cue.times_left = 0
    assert_mirrored(mirror, server)


# 28 to 38: what is on the site.


# Row 28.
@pytest.mark.parametrize("depth", ["a", "a/b", "a/b/c"])
def test_folder_that_somebody_removed_is_made_again_with_all_it_held(
    mirror: Mirror, server: ScriptedServer, depth: str
) -> None:
    for path in ("a/1.txt", "a/b/2.txt", "a/b/c/3.txt", "a/b/c/4.txt"):
        mirror.write(path, path)
    assert_mirrored(mirror, server)
    lost = f"/{depth}".encode()
    with server.site.changed:
        for gone in [each for each in server.files if each.startswith(lost + b"/")]:
            del server.files[gone]
        server.folders.difference_update({path for path in server.folders if (path + b"/").startswith(lost + b"/")})
    mirror.write("a/b/c/3.txt", "changed")
    ran = mirror.run()
    assert ran.code == 0, ran.said
    assert_same(mirror, server, ran.said)


# Row 28: the root itself.
def test_root_that_somebody_removed_is_made_again(tmp_path: Path, server: ScriptedServer) -> None:
    mirror = Mirror(tmp_path, server.port, "www/site")
    mirror.write("a/1.txt", "one")
    mirror.write("2.txt", "two")
    assert mirror.run().code == 0
    with server.site.changed:
        server.files.clear()
        server.folders.clear()
        server.folders.add(b"/")
    mirror.write("2.txt", "two, changed")
    ran = mirror.run()
    assert ran.code == 0, ran.said
    assert contents(tree_of(server)) == {b"www/site/a/1.txt": b"one", b"www/site/2.txt": b"two, changed"}


# Row 29.
def test_file_of_others_where_a_folder_must_be_is_not_replaced(mirror: Mirror, server: ScriptedServer) -> None:
    server.put(b"/images", b"a file of somebody else's")
    mirror.write("images/1.png", "one")
    mirror.write("other.txt", "other")
    ran = mirror.run()
    assert ran.code == 1, ran.said
    assert contents(tree_of(server)) == {b"images": b"a file of somebody else's", b"other.txt": b"other"}
    assert temporaries_of(server) == []


# Row 29.
@pytest.mark.parametrize("replaces", [True, False], ids=["server replaces", "server does not replace"])
def test_folder_of_others_where_a_file_must_be_is_not_touched(
    mirror: Mirror, server: ScriptedServer, replaces: bool
) -> None:
    mirror.write("a.txt", "old")
    assert_mirrored(mirror, server)
    server.put(b"/page/keep.txt", b"of somebody else")
    if not replaces:
        server.on("RNTO", reactions.refuse_existing_target, times=ALWAYS)
    mirror.write("a.txt", "new!")
    mirror.write("page", "I want to be a file")
    ran = mirror.run("--multi", "S")
    assert contents(tree_of(server)) == {b"a.txt": b"new!", b"page/keep.txt": b"of somebody else"}, ran.said
    assert ran.code == 1, ran.said


# Row 29, 48.
@pytest.mark.parametrize("replaces", [True, False], ids=["server replaces", "server does not replace"])
def test_kinds_that_change_are_followed_where_it_is_ours(
    mirror: Mirror, server: ScriptedServer, replaces: bool
) -> None:
    mirror.write("one", "a file")
    mirror.write("two/inside/deep.txt", "a folder")
    assert_mirrored(mirror, server)
    if not replaces:
        server.on("RNTO", reactions.refuse_existing_target, times=ALWAYS)
    (mirror.source / "one").unlink()
    mirror.write("one/inside/deep.txt", "a folder now")
    shutil.rmtree(mirror.source / "two")
    mirror.write("two", "a file now")
    assert_mirrored(mirror, server)


# Row 30.
def test_folder_that_appears_while_it_is_made_is_taken(mirror: Mirror, server: ScriptedServer) -> None:
    some_files(mirror)
    server.on("MKD", reactions.perform_but_say(b"550 File exists."))
    assert_mirrored(mirror, server)


# Row 32.
def test_unknown_file_in_a_folder_to_be_removed_is_kept_and_said(mirror: Mirror, server: ScriptedServer) -> None:
    mirror.write("stays.txt", "stays")
    mirror.write("out/below/ours.txt", "ours")
    assert_mirrored(mirror, server)
    server.put(b"/out/below/theirs.txt", b"theirs")
    shutil.rmtree(mirror.source / "out")
    ran = mirror.run()
    assert ran.code == 0, ran.said
    assert contents(tree_of(server)) == {b"stays.txt": b"stays", b"out/below/theirs.txt": b"theirs"}
    assert re.search("out/below.* no longer managed", ran.said), ran.said


# Row 33, 68.
@pytest.mark.parametrize("listing", [reactions.empty_listing, reactions.truncate_listing(30)], ids=["empty", "cut"])
def test_listing_that_is_not_whole_destroys_nothing(mirror: Mirror, server: ScriptedServer, listing: Reaction) -> None:
    some_files(mirror)
    assert_mirrored(mirror, server)
    server.put(b"/folder/theirs.txt", b"theirs")
    shutil.rmtree(mirror.state)
    (mirror.source / "folder/3.txt").unlink()
    before = contents(tree_of(server))
    server.on("MLSD", listing, times=ALWAYS)
    server.log.clear()
    ran = mirror.run()
    assert ran.code == 0, ran.said
    assert contents(tree_of(server)) == before
    assert [line for line in server.commands() if line.startswith(("DELE", "RMD")) and ".am-" not in line] == []


def test_what_is_to_be_done_in_a_folder_that_could_not_be_looked_at_is_done(
    mirror: Mirror, server: ScriptedServer
) -> None:
    some_files(mirror)
    assert_mirrored(mirror, server)
    for file in (mirror.source / "folder").iterdir():
        file.unlink()

    def list_others(exchange: Exchange) -> None:
        exchange.reply(b"450 Not now." if exchange.argument == b"folder" else exchange.perform())

    server.on("MLSD", list_others, times=ALWAYS)
    ran = mirror.run("--rescan", "--retries", "0")
    assert ran.code == 1, ran.said
    assert_same(mirror, server, ran.said)


# Row 33: an empty listing of a folder that cannot be removed.
def test_folder_that_cannot_be_removed_and_seems_empty_is_reported(mirror: Mirror, server: ScriptedServer) -> None:
    mirror.write("stays.txt", "stays")
    mirror.write("out/ours.txt", "ours")
    assert_mirrored(mirror, server)
    server.put(b"/out/theirs.txt", b"theirs")
    shutil.rmtree(mirror.source / "out")
    server.on("MLSD", reactions.empty_listing, times=ALWAYS)
    ran = mirror.run()
    assert ran.code == 1, ran.said
    assert server.files[b"/out/theirs.txt"].content == b"theirs"


# Row 34.
@pytest.mark.parametrize("verb", ["STOR", "RNTO"])
@pytest.mark.parametrize(
    "reaction",
    [
        reactions.huge_reply(),
        reactions.endless_reply,
        reactions.say_bytes(b"garbage\r\n"),
        reactions.say_bytes(b"\0\r\n"),
    ],
    ids=["huge", "endless", "garbage", "NUL"],
)
def test_malformed_reply_costs_one_connection_and_no_file(
    mirror: Mirror, server: ScriptedServer, reaction: Reaction, verb: str
) -> None:
    some_files(mirror, 3)
    server.on(verb, reaction)
    assert_mirrored(mirror, server, "--multi", "A2")


# Row 34.
def test_endless_listing_costs_one_connection_and_no_file(mirror: Mirror, server: ScriptedServer) -> None:
    some_files(mirror)
    cue = server.on("MLSD", reactions.send_listing(b"x" * 1_000_000))
    assert_mirrored(mirror, server)
    assert cue.reached.is_set()


# Row 34.
def test_size_that_no_file_has_is_asked_for_in_another_way(mirror: Mirror, server: ScriptedServer) -> None:
    some_files(mirror)
    server.on("SIZE", reactions.say(b"213 " + b"9" * 5000))
    assert_mirrored(mirror, server)


# Row 34.
def test_path_that_no_command_can_hold_is_not_used(mirror: Mirror, server: ScriptedServer) -> None:
    mirror.write("-x.txt", "a name that goes behind the path of the root, if that is known")
    server.on("PWD", reactions.say(b'257 "/a\rb" is where you are'), times=ALWAYS)
    assert_mirrored(mirror, server)


# Row 34, 35.
@pytest.mark.parametrize(
    "reaction", [reactions.non_utf8_reply, reactions.odd_middle_lines], ids=["not UTF-8", "odd lines"]
)
def test_odd_but_legal_replies_are_understood(mirror: Mirror, server: ScriptedServer, reaction: Reaction) -> None:
    some_files(mirror)
    mirror.write("gone.txt", "gone")
    for verb in (
        "CONNECT",
        "USER",
        "PASS",
        "TYPE",
        "CWD",
        "STOR",
        "MFMT",
        "SITE",
        "RNFR",
        "RNTO",
        "MKD",
        "DELE",
        "QUIT",
    ):
        server.on(verb, reaction, times=ALWAYS)
    assert_mirrored(mirror, server)
    (mirror.source / "gone.txt").unlink()
    assert_mirrored(mirror, server)
    assert server.connections <= 16


# Row 36.
@pytest.mark.few(1)
@pytest.mark.parametrize("before", [False, True], ids=["behind", "before"])
@pytest.mark.parametrize("verb", ["EPSV", "SIZE", "RNTO", "DELE"])
def test_reply_that_nobody_asked_for_costs_one_connection_and_no_file(
    mirror: Mirror, server: ScriptedServer, verb: str, before: bool
) -> None:
    some_files(mirror, 3)
    mirror.write("gone.txt", "gone")
    assert_mirrored(mirror, server, "--multi", "A1")
    (mirror.source / "gone.txt").unlink()
    mirror.write("new/1.txt", "new")
    for number in range(3):
        mirror.write(f"folder/{number}.txt", f"changed content {number}")
    server.on(verb, reactions.with_unsolicited(b"250 Something else is done.", before=before))
    ran = mirror.run("--multi", "A1")
    assert ran.code in {0, 1}, ran.said
    if ran.code == 0:
        assert_same(mirror, server, ran.said)
    assert_mirrored(mirror, server, "--multi", "A1")
    assert ran.code == 0, ran.said


# Row 36: success and refusal for one command.
@pytest.mark.few(1)
@pytest.mark.parametrize("verb", ["RNTO", "DELE", "MKD"])
def test_success_and_refusal_in_one_breath_is_not_taken_for_success(
    mirror: Mirror, server: ScriptedServer, verb: str
) -> None:
    mirror.write("folder/page.html", "page")
    mirror.write("gone.txt", "gone")
    assert_mirrored(mirror, server)
    (mirror.source / "gone.txt").unlink()
    mirror.write("folder/page.html", "page, changed")
    mirror.write("new/page.html", "new")
    server.on(verb, reactions.say_bytes(b"250 Done.\r\n550 Permission denied.\r\n"))
    first = mirror.run("--multi", "S")
    assert first.code == 1 or tree_of(server) == tree(mirror.source), first.said
    assert_mirrored(mirror, server)


def list_also(*names: bytes) -> Reaction:
    """Answer MLSD with what is there, and with a file of each of these names."""

    def react(exchange: Exchange) -> None:
        lies = [b"type=file;size=1;modify=20260101000000; " + name for name in names]
        exchange.listing = text([*exchange.site.mlsd_lines(exchange.path), *lies])
        exchange.reply(exchange.perform())

    return react


# Row 37.
def test_malicious_names_in_a_listing_are_never_used(mirror: Mirror, server: ScriptedServer) -> None:
    some_files(mirror)
    server.put(b"/folder/3.txt", b"content 3", mtime=MTIME)
    server.on("MLSD", list_also(*reactions.MALICIOUS_NAMES), times=ALWAYS)
    ran = mirror.run()
    assert ran.code == 0, ran.said
    assert_same(mirror, server)
    assert not [line for line in server.commands() if ".." in line or "etc/passwd" in line or "a/b" in line]
    assert "\0" not in ran.said
    assert "\r" not in ran.said


# Row 37.
def test_malicious_names_in_a_listing_are_shown_escaped(mirror: Mirror, server: ScriptedServer) -> None:
    some_files(mirror)
    server.on("MLSD", list_also(b"..", b"../up", b"nul\0inside"), times=ALWAYS)
    ran = mirror.run()
    assert r"nul\x00inside" in ran.said, ran.said


# Row 38.
@pytest.mark.parametrize("known", [False, True], ids=["first pass", "later pass"])
def test_links_on_a_real_site_are_not_followed(tmp_path: Path, real_server: FtpServer, known: bool) -> None:
    outside = real_server.docroot / "outside"
    outside.mkdir()
    (outside / "page.html").write_text("outside of the mirror")
    site = real_server.docroot / "www"
    site.mkdir()
    mirror = Mirror(tmp_path, real_server.port, "www")
    if known:
        mirror.write("other.txt", "other")
        real_server.adopt()
        assert mirror.run().code == 0
    (site / "folder").symlink_to("../outside")
    (site / "page.html").symlink_to("../outside/page.html")
    (site / "loop").symlink_to(".")
    real_server.adopt()
    mirror.write("folder/page.html", "ours, in a folder")
    mirror.write("page.html", "ours")
    mirror.run("--retries", "1")
    assert {path.name: path.read_text() for path in outside.iterdir()} == {"page.html": "outside of the mirror"}
    assert (site / "loop").is_symlink()


# Row 45.
def test_address_in_a_passive_reply_is_not_believed(mirror: Mirror, server: ScriptedServer) -> None:
    some_files(mirror)
    server.without.add("EPSV")
    server.on("PASV", reactions.pasv_from(b"192,0,2,1"), times=ALWAYS)
    assert_mirrored(mirror, server)


# 46 to 53, 72 to 75: a source that changes.


class HeldUpload:
    """Takes the first part of a file, waits, and takes the rest."""

    def __init__(self, server: ScriptedServer, first: int) -> None:
        self.server = server
        self.first = first
        self.begun = threading.Event()
        self.go_on = threading.Event()

    def react(self, exchange: Exchange) -> None:
        listener = exchange.connection.announce_data()
        content = bytearray()
        with exchange.accepted(listener) as data:
            while len(content) < self.first and (block := data.recv(self.first - len(content))):
                content += block
            self.begun.set()
            self.server.wait_for(self.go_on)
            while block := data.recv(1 << 20):
                content += block
        exchange.site.put(exchange.path, bytes(content))
        exchange.reply(b"226 Transfer complete.")


LARGE = 24_000_000


def _append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"b" * 1000)


def _shrink(path: Path) -> None:
    os.truncate(path, LARGE // 2)


def _rewrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"b" * LARGE)


def _rewrite_and_restore_the_time(path: Path) -> None:
    status = path.stat()
    _rewrite(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(b"b" * LARGE)
    other.replace(path)


# Row 46.
@pytest.mark.parametrize("change", [_append, _shrink, _rewrite, _rewrite_and_restore_the_time, _replace])
def test_file_that_changes_while_it_is_sent_is_never_published_torn(
    mirror: Mirror, server: ScriptedServer, change: Callable[[Path], None]
) -> None:
    path = mirror.write("large.bin", b"a" * LARGE)
    upload = HeldUpload(server, 1_000_000)
    server.on("STOR", upload.react)
    process = mirror.start("--timeout", "20s")
    try:
        assert upload.begun.wait(20)
        change(path)
    finally:
        upload.go_on.set()
        ran = ended(process)
    versions = {b"a" * LARGE, path.read_bytes()}
    for shown in server.history[b"/large.bin"]:
        assert shown in versions, "a torn version was published"
    assert ran.code in {0, 1}, ran.said
    if change is not _rewrite_and_restore_the_time:
        again = mirror.run()
        assert again.code == 0, again.said
        assert server.files[b"/large.bin"].content == path.read_bytes()
    assert temporaries_of(server) == []


# Row 46: it changes each time.
def test_file_that_keeps_changing_is_reported_as_busy(mirror: Mirror, server: ScriptedServer) -> None:
    path = mirror.write("log.txt", "line 1\n")

    def append_meanwhile(exchange: Exchange) -> None:
        with path.open("a") as file:
            file.write("another line\n")
        exchange.reply(exchange.perform())

    cue = server.on("STOR", append_meanwhile, times=ALWAYS)
    ran = mirror.run()
    assert ran.code == 1, ran.said
    assert "log.txt  changed during the upload" in ran.said
    assert tree_of(server) == {}
    assert count(server, "STOR") == 2
    cue.times_left = 0
    assert_mirrored(mirror, server)


# Row 47.
def test_file_removed_while_it_is_sent_is_gone_after_the_next_pass(mirror: Mirror, server: ScriptedServer) -> None:
    path = mirror.write("large.bin", b"a" * LARGE)
    mirror.write("stays.txt", "stays")
    upload = HeldUpload(server, 1_000_000)
    server.on("STOR", upload.react, when=lambda exchange: b"large" in exchange.path or count(server, "STOR") == 1)
    process = mirror.start("--timeout", "20s", "--multi", "S")
    try:
        assert upload.begun.wait(20)
        path.unlink()
    finally:
        upload.go_on.set()
        ran = ended(process)
    assert ran.code in {0, 1}, ran.said
    assert_mirrored(mirror, server)


# Row 52.
@pytest.mark.parametrize("insensitive", [True, False], ids=["insensitive", "sensitive"])
@pytest.mark.parametrize("rebuilt", [False, True], ids=["renamed", "rebuilt"])
def test_names_that_change_their_case_alone_are_right_everywhere(
    tmp_path: Path, rebuilt: bool, insensitive: bool
) -> None:
    with ScriptedServer(case_insensitive=insensitive) as server:
        mirror = Mirror(tmp_path, server.port)
        for path in ("README", "Docs/a.txt", "Docs/Below/b.txt", "Docs/gone.txt"):
            mirror.write(path, path)
        assert_mirrored(mirror, server)
        (mirror.source / "README").rename(mirror.source / "readme")
        (mirror.source / "Docs").rename(mirror.source / "docs")
        (mirror.source / "docs/Below").rename(mirror.source / "docs/below")
        (mirror.source / "docs/gone.txt").unlink()
        if rebuilt:
            for path in ("readme", "docs/a.txt", "docs/below/b.txt"):
                (mirror.source / path).unlink()
                mirror.write(path, f"another {path}")
        assert_mirrored(mirror, server)


# Row 53.
def test_swapped_files_and_cycles_never_end_in_wrong_content(mirror: Mirror, server: ScriptedServer) -> None:
    for number, name in enumerate("abcde"):
        mirror.write(name, name * 10, mtime_s=MTIME + number)
    assert_mirrored(mirror, server)
    for cycle in (["a", "b"], ["c", "d", "e"]):
        (mirror.source / cycle[0]).rename(mirror.source / "aside")
        for to, name in itertools.pairwise(cycle):
            (mirror.source / name).rename(mirror.source / to)
        (mirror.source / "aside").rename(mirror.source / cycle[-1])
    assert_mirrored(mirror, server)


# Row 53: nothing but the inode tells.
def test_swapped_files_of_one_size_and_time_never_end_in_wrong_content(mirror: Mirror, server: ScriptedServer) -> None:
    mirror.write("a", "aaaa")
    mirror.write("b", "bbbb")
    assert_mirrored(mirror, server)
    (mirror.source / "a").rename(mirror.source / "aside")
    (mirror.source / "b").rename(mirror.source / "a")
    (mirror.source / "aside").rename(mirror.source / "b")
    assert_mirrored(mirror, server)


# Row 53.
def test_rebuilt_tree_that_uses_inodes_again_never_ends_in_wrong_content(
    mirror: Mirror, server: ScriptedServer
) -> None:
    for name in "abcd":
        mirror.write(f"old/{name}", name * 10)
    assert_mirrored(mirror, server)
    (mirror.source / "new").mkdir()
    for name, content in zip("abcd", "bcda", strict=True):
        target = mirror.source / "new" / name
        (mirror.source / "old" / name).rename(target)
        with target.open("r+b") as file:
            file.write(content.encode() * 10)
        touch(target, MTIME)
    (mirror.source / "old").rmdir()
    assert_mirrored(mirror, server)


# Row 53: a chain, in which a name is left and taken in one pass.
def test_chain_of_renames_never_ends_in_wrong_content(mirror: Mirror, server: ScriptedServer) -> None:
    for number, name in enumerate("abc"):
        mirror.write(name, name * 10, mtime_s=MTIME + number)
    assert_mirrored(mirror, server)
    for old, new in ("cd", "bc", "ab"):
        (mirror.source / old).rename(mirror.source / new)
    assert_mirrored(mirror, server)


# Row 58.
def test_more_removals_than_allowed_halt_the_pass_and_say_how_to_go_on(mirror: Mirror, server: ScriptedServer) -> None:
    some_files(mirror, 30)
    assert_mirrored(mirror, server)
    before = tree_of(server)
    for number in range(20):
        (mirror.source / f"folder/{number}.txt").unlink()
    ran = mirror.run()
    assert ran.code == 5, ran.said
    assert tree_of(server) == before
    found = re.search(r"--max-delete \d+$", ran.said, re.MULTILINE)
    assert found, ran.said
    assert_mirrored(mirror, server, *found[0].split(" "))


# Row 74.
def test_folder_that_is_built_again_while_the_pass_runs_is_not_removed(mirror: Mirror, server: ScriptedServer) -> None:
    mirror.write("out/below/page.html", "page")
    mirror.write("out/gone.html", "gone for good")
    mirror.write("other.txt", "other")
    assert_mirrored(mirror, server)
    shutil.rmtree(mirror.source / "out")
    mirror.write("other.txt", "other, changed")
    server.history.clear()

    def build_again(exchange: Exchange) -> None:
        mirror.write("out/below/page.html", "page, built again")
        exchange.reply(exchange.perform())

    server.on("STOR", build_again)
    ran = mirror.run("--multi", "S")
    assert ran.code == 0, ran.said
    assert None not in server.history.get(b"/out/below/page.html", [])
    assert_mirrored(mirror, server)
    assert None not in server.history[b"/out/below/page.html"]


# Row 75, 54.
def test_folder_that_nobody_may_write_to_is_filled_and_unreadable_file_reported(
    tmp_path: Path, real_server: FtpServer
) -> None:
    mirror = Mirror(tmp_path, real_server.port, before=AS_PLAIN_USER)
    mirror.write("closed/1.txt", "one")
    mirror.write("secret.txt", "secret", mode=0o000)
    mirror.write("open.txt", "open")
    (mirror.source / "closed").chmod(0o555)
    ran = mirror.run()
    assert ran.code == 1, ran.said
    assert "secret.txt" in ran.said
    assert contents(tree(real_server.docroot)) == {b"closed/1.txt": b"one", b"open.txt": b"open"}
    (mirror.source / "closed").chmod(0o755)
    mirror.write("closed/2.txt", "two")
    (mirror.source / "closed").chmod(0o555)
    (mirror.source / "secret.txt").chmod(0o644)
    again = mirror.run()
    assert again.code == 0, again.said
    assert contents(tree(real_server.docroot)) == contents(tree(mirror.source))


# 67 to 69: the state.


def _state_file(mirror: Mirror) -> Path:
    (path,) = mirror.state.glob("*.sqlite3")
    return path


# Row 67.
def test_corrupt_state_is_set_aside_and_nothing_is_removed(mirror: Mirror, server: ScriptedServer) -> None:
    some_files(mirror)
    assert_mirrored(mirror, server)
    server.put(b"/folder/theirs.txt", b"theirs")
    (mirror.source / "folder/3.txt").unlink()
    before = tree_of(server)
    _state_file(mirror).write_bytes(b"no database" * 1000)
    ran = mirror.run()
    assert ran.code == 6, ran.said
    assert tree_of(server) == before
    again = mirror.run()
    assert again.code == 0, again.said
    assert tree_of(server) == before


# Row 67.
def test_state_of_a_newer_version_is_not_touched(mirror: Mirror, server: ScriptedServer) -> None:
    some_files(mirror)
    assert_mirrored(mirror, server)
    with contextlib.closing(sqlite3.connect(_state_file(mirror))) as database:
        database.execute("PRAGMA user_version = 99")
    mirror.write("new.txt", "new")
    before = server.connections
    for _ in range(2):
        ran = mirror.run()
        assert ran.code == 6, ran.said
    assert server.connections == before


# Row 68.
def test_old_state_is_not_trusted_with_what_the_site_holds_now(mirror: Mirror, server: ScriptedServer) -> None:
    mirror.write("a.txt", "a")
    mirror.write("b.txt", "b")
    assert_mirrored(mirror, server)
    old = mirror.state.with_name("old state")
    shutil.copytree(mirror.state, old)
    mirror.write("c.txt", "c")
    (mirror.source / "b.txt").unlink()
    assert_mirrored(mirror, server)
    shutil.rmtree(mirror.state)
    old.rename(mirror.state)
    mirror.write("a.txt", "a, changed")
    assert_mirrored(mirror, server)


# Row 69.
def test_state_that_cannot_be_written_keeps_the_site_as_it_is(mirror: Mirror, server: ScriptedServer) -> None:
    some_files(mirror)
    assert_mirrored(mirror, server)
    before, connections = tree_of(server), server.connections
    mirror.write("new.txt", "new")
    (mirror.source / "folder/1.txt").unlink()
    for path in (*mirror.state.iterdir(), mirror.state):
        path.chmod(0o500 if path.is_dir() else 0o400)
    ran = mirror.run(before=AS_PLAIN_USER)
    assert ran.code == 6, ran.said
    assert tree_of(server) == before
    assert server.connections == connections


# Row 69.
@pytest.mark.parametrize("room", [0, 60_000])
def test_full_disk_of_the_state_stops_the_pass_with_6(mirror: Mirror, server: ScriptedServer, room: int) -> None:
    some_files(mirror, 300)
    ran = mirror.run(before=("prlimit", f"--fsize={room}"))
    assert ran.code == 6, ran.said
    if room <= 4096:
        assert tree_of(server) == {}
    assert len(server.files) < 300
    assert_mirrored(mirror, server)


# Row 69: it fills up in a later pass, in the middle of everything.
def test_state_that_fills_up_in_mid_run_stops_the_changes_and_the_next_pass_converges(
    mirror: Mirror, server: ScriptedServer
) -> None:
    some_files(mirror, 300)
    assert_mirrored(mirror, server)
    for number in range(100):
        mirror.write(f"folder/{number}.txt", f"changed content {number}")
        mirror.write(f"folder/{number} new.txt", f"new content {number}")
        (mirror.source / f"folder/{number + 100}.txt").unlink()
    size = _state_file(mirror).stat().st_size
    ran = mirror.run(before=("prlimit", f"--fsize={size}"))
    assert ran.code == 6, ran.said
    assert_mirrored(mirror, server)


# Row 71.
@pytest.mark.few(1)
@pytest.mark.parametrize("verb", ["STOR", "MFMT", "RNTO"])
def test_stalled_server_process_that_wakes_up_late_changes_nothing(
    mirror: Mirror, server: ScriptedServer, verb: str
) -> None:
    mirror.write("page.html", "old")
    assert_mirrored(mirror, server)
    mirror.write("page.html", "newer")
    wake = threading.Event()
    server.on(verb, reactions.perform_after(wake))
    ran = mirror.run("--multi", "A1", "--timeout", "1s")
    assert ran.code == 0, ran.said
    mirror.write("page.html", "the newest")
    assert mirror.run("--multi", "A1").code == 0
    wake.set()
    assert server.wait_until(lambda: server.open_connections == 0)
    assert server.files[b"/page.html"].content == b"the newest"
    assert server.history[b"/page.html"] == [b"old", b"newer", b"the newest"]


def has_woken_up(server: FtpServer) -> bool:
    """Tell whether a stalled session has run what it had; vsftpd waits in STOR for a data connection that is gone."""
    stored = sum(command.startswith("STOR") for command in server.commands())
    return server.session_pids() == [] or (server.kind == "vsftpd" and stored == 4)


# Row 71, on the servers of the field.
@pytest.mark.few(1)
@pytest.mark.parametrize("verb", [b"STOR", b"RNTO"])
@pytest.mark.parametrize("kind", REAL)
def test_stalled_process_of_a_real_server_that_wakes_up_late_changes_nothing(
    tmp_path: Path, server_factory: ServerFactory, kind: RealKind, verb: bytes
) -> None:
    real_server = server_factory(kind)
    with FtpProxy(real_server.port) as proxy:
        mirror = Mirror(tmp_path, proxy.port)
        mirror.write("page.html", "old")
        assert mirror.run().code == 0
        eventually(lambda: real_server.session_pids() == [], "the first session has ended")
        mirror.write("page.html", "newer")
        stopped: list[int] = []

        def stall(passage: Passage) -> None:
            stopped.extend(real_server.session_pids())
            for pid in stopped:
                os.kill(pid, signal.SIGSTOP)
            passage.forward()

        proxy.on_command(verb, stall)
        ran = mirror.run("--multi", "A1", "--timeout", "1s")
        assert ran.code == 0, ran.said
        assert stopped
        assert (real_server.docroot / "page.html").read_text() == "newer"
        mirror.write("page.html", "the newest")
        assert mirror.run("--multi", "A1").code == 0
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        eventually(partial(has_woken_up, real_server), "the stalled session has gone on")
        assert (real_server.docroot / "page.html").read_text() == "the newest"
        if verb != b"STOR":
            assert [path.name for path in real_server.docroot.iterdir()] == ["page.html"]
