"""Content decides what is sent: another date, owner or inode alone does not, and equal marks hide no other content."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from faults.exchange import Exchange
from faults.reactions import ALWAYS
from faults.scripted import ScriptedServer
from servers import ServerFactory
from servers.configuration import library_path
from servers.kinds import servers_folder
from support.mirror import Mirror, assert_mirrored, assert_same, count
from support.program import MTIME, Program, contents, touch, tree, write

NAMES = [f"{number}.html" for number in range(5)]


def a_tree(mirror: Mirror, names: list[str] = NAMES) -> None:
    for name in names:
        mirror.write(name, f"page {name:>8}")


def touch_all(mirror: Mirror, names: list[str] = NAMES, mtime_s: int = MTIME + 1000) -> None:
    for name in names:
        touch(mirror.source / name, mtime_s)


def replace(mirror: Mirror, name: str, content: str) -> None:
    """Put another file in the place of one: its size and date are the same, its inode and ctime are others."""
    write(mirror.source / "new", content, MTIME).replace(mirror.source / name)


def swap(source: Path, one: str, other: str) -> None:
    (source / one).rename(source / "aside")
    (source / other).rename(source / one)
    (source / "aside").rename(source / other)


def chown_all(folder: Path) -> None:
    for path in folder.rglob("*"):
        os.chown(path, path.stat().st_uid, path.stat().st_gid)


def adopt(mirror: Mirror, server: ScriptedServer, names: list[str] = NAMES) -> None:
    """Have the site hold what the source does before the first pass."""
    for name in names:
        path = mirror.source / name
        server.site.put(f"/{name}".encode(), path.read_bytes(), mtime=MTIME, mode=0o644)


def forget_digests(mirror: Mirror) -> None:
    """Leave the state as it is before anybody has read what was adopted."""
    import sqlite3
    from contextlib import closing

    (state,) = mirror.state.glob("*.sqlite3")
    with closing(sqlite3.connect(state)) as database, database:
        database.execute("UPDATE held SET digest = x''")


def summary(mirror: Mirror, *options: str) -> dict[str, object]:
    ran = mirror.run("--json", "-q", *options)
    assert ran.code == 0, ran.said
    found: dict[str, object] = json.loads(ran.said.splitlines()[-1])
    return found


# Row 110.


@pytest.mark.parametrize("multi", ["S", "A3", "T2", "P2"])
def test_fresh_checkout_of_the_same_content_is_dated_and_not_sent(
    mirror: Mirror, server: ScriptedServer, multi: str
) -> None:
    a_tree(mirror)
    assert_mirrored(mirror, server, "--multi", multi)
    stored = count(server, "STOR")
    touch_all(mirror)
    ran = summary(mirror, "--multi", multi)
    assert (count(server, "STOR") - stored, ran["uploaded_files"], ran["dates_set"]) == (0, 0, len(NAMES))
    assert_same(mirror, server)
    assert summary(mirror, "--multi", multi)["connections"] == 0


def test_touched_file_of_other_content_is_sent_and_takes_no_second_turn(mirror: Mirror, server: ScriptedServer) -> None:
    a_tree(mirror)
    assert_mirrored(mirror, server)
    touch_all(mirror)
    mirror.write(NAMES[0], f"PAGE {NAMES[0]:>8}", MTIME + 1000)
    ran = summary(mirror)
    assert (ran["uploaded_files"], ran["dates_set"]) == (1, len(NAMES) - 1)
    assert_same(mirror, server)


def test_mode_goes_along_with_a_date(mirror: Mirror, server: ScriptedServer) -> None:
    a_tree(mirror)
    assert_mirrored(mirror, server)
    touch_all(mirror)
    (mirror.source / NAMES[0]).chmod(0o600)
    assert summary(mirror)["uploaded_files"] == 0
    assert_same(mirror, server)


def test_server_that_sets_no_dates_is_sent_nothing_and_asked_once(tmp_path: Path, server: ScriptedServer) -> None:
    server.without |= {"MFMT", "SITE UTIME"}
    mirror = Mirror(tmp_path, server.port)
    a_tree(mirror)
    assert mirror.run().code == 0
    stored = count(server, "STOR")
    touch_all(mirror)
    ran = summary(mirror)
    assert (count(server, "STOR") - stored, ran["dates_set"], ran["unchanged_files"]) == (0, 0, len(NAMES))
    assert summary(mirror)["connections"] == 0


def test_dry_run_tells_of_dates_and_uploads_as_they_come(mirror: Mirror, server: ScriptedServer) -> None:
    a_tree(mirror)
    assert_mirrored(mirror, server)
    touch_all(mirror)
    mirror.write(NAMES[0], f"PAGE {NAMES[0]:>8}", MTIME + 1000)
    replace(mirror, NAMES[1], f"PAGE {NAMES[1]:>8}")
    dry, wet = summary(mirror, "--dry-run"), summary(mirror)
    keys = ("uploaded_files", "dates_set", "unchanged_files", "uploaded_bytes")
    assert [dry[key] for key in keys] == [wet[key] for key in keys]
    assert wet["uploaded_files"] == 2
    assert_same(mirror, server)


def test_touched_file_that_is_gone_from_the_site_is_sent(mirror: Mirror, server: ScriptedServer) -> None:
    a_tree(mirror)
    assert_mirrored(mirror, server)
    server.site.remove_file(f"/{NAMES[0]}".encode())
    touch_all(mirror)
    assert summary(mirror)["uploaded_files"] == 1
    assert_same(mirror, server)


def test_file_that_changes_back_after_a_lost_rename_is_sent_again(mirror: Mirror, server: ScriptedServer) -> None:
    """What the state holds is no measure once another version may have taken its place."""
    path = mirror.write("page", "one")
    assert_mirrored(mirror, server)
    write(path, "two", MTIME + 10)

    def lose(exchange: Exchange) -> None:
        exchange.perform()
        write(path, "one", MTIME + 20)
        exchange.connection.hang_up()

    server.on("RNTO", lose)
    for _ in range(2):
        assert mirror.run().code == 0
    assert_same(mirror, server)


# Row 111.


@pytest.mark.parametrize("multi", ["S", "A3", "T2", "P2"])
def test_other_content_of_the_same_size_and_date_is_sent(mirror: Mirror, server: ScriptedServer, multi: str) -> None:
    a_tree(mirror)
    assert_mirrored(mirror, server, "--multi", multi)
    replace(mirror, NAMES[0], f"PAGE {NAMES[0]:>8}")
    swap(mirror.source, NAMES[1], NAMES[2])
    assert summary(mirror, "--multi", multi)["uploaded_files"] == 3
    assert_same(mirror, server)


def test_chown_sends_nothing_and_asks_nobody(mirror: Mirror, server: ScriptedServer) -> None:
    a_tree(mirror)
    assert_mirrored(mirror, server)
    chown_all(mirror.source)
    ran = summary(mirror)
    assert (ran["connections"], ran["unchanged_files"]) == (0, len(NAMES))
    assert summary(mirror)["unchanged_files"] == 0


def test_ctime_and_inode_are_left_out_if_they_are_to_be(mirror: Mirror, server: ScriptedServer) -> None:
    a_tree(mirror)
    assert_mirrored(mirror, server, "--no-ctime")
    replace(mirror, NAMES[0], f"PAGE {NAMES[0]:>8}")
    ran = summary(mirror, "--no-ctime")
    assert (ran["connections"], ran["unchanged_files"]) == (0, 0)


MANY = [f"{number // 100}/{number}" for number in range(10_000)]


@pytest.fixture
def adopted(tmp_path: Path, server_factory: ServerFactory) -> Program:
    program = Program(tmp_path, server_factory("pyftpdlib"))
    for name in MANY:
        program.write(name, f"page {name:>8}")
    fill(program)
    return program


def fill(program: Program) -> None:
    shutil.copytree(program.source, program.site, dirs_exist_ok=True)
    result = program.sync()
    assert result.code == 0, result.err
    assert program.commands("STOR") == []


def read_all(program: Program) -> list[str]:
    """Run passes until all files were read that chown has touched; return what was sent. A pass reads for some time."""
    published: list[str] = []
    for number in range(20):
        result = program.sync("--json")
        assert result.code == 0, result.err
        assert result.err.count("have a new ctime or inode") == 1 or number
        published += program.published()
        if not json.loads(result.out)["unchanged_files"]:
            break
    return sorted(published)


def test_chown_of_ten_thousand_adopted_files_sends_none_and_a_swap_among_them_is_seen(adopted: Program) -> None:
    chown_all(adopted.source)
    swap(adopted.source, MANY[7], MANY[4321])
    assert read_all(adopted) == sorted([MANY[7], MANY[4321]])
    assert contents(adopted.site) == contents(adopted.source)
    assert (adopted.sync().code, adopted.server.connections()) == (0, 0)


class Stacked:
    """A source on a file system that is stacked upon a folder, and can be mounted anew."""

    def __init__(self, program: Program, kind: str) -> None:
        below = {name: program.home.parent / name for name in ("lower", "upper", "work")}
        for folder in below.values():
            folder.mkdir()
        layers = f"lowerdir={below['lower']},upperdir={below['upper']},workdir={below['work']}"
        bindfs = servers_folder() / "usr/bin/bindfs"
        self._how: list[str | Path] = ["mount", "-t", "overlay", "overlay", "-o", layers, program.source]
        if kind == "fuse":
            self._how = [bindfs, below["lower"], program.source]
        self.program = program
        for name in MANY:
            write(below["lower"] / name, f"page {name:>8}")

    def mount(self) -> None:
        environment = os.environ | {"LD_LIBRARY_PATH": library_path()}
        subprocess.run(self._how, check=True, capture_output=True, env=environment)

    def unmount(self) -> None:
        subprocess.run(["umount", self.program.source], check=True, capture_output=True)


@pytest.fixture(params=["overlay", "fuse"])
def stacked(request: pytest.FixtureRequest, tmp_path: Path, server_factory: ServerFactory) -> Iterator[Stacked]:
    program = Program(tmp_path, server_factory("pyftpdlib"))
    stacked = Stacked(program, request.param)
    try:
        stacked.mount()
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no {request.param} here: {error}")
    yield stacked
    with suppress(subprocess.CalledProcessError):
        stacked.unmount()


@pytest.mark.exhaustive
def test_chown_on_a_stacked_file_system_sends_none_and_a_swap_is_seen(stacked: Stacked) -> None:
    """What overlayfs copies up has another ctime, and a new mounting may show other inodes."""
    program = stacked.program
    fill(program)
    stacked.unmount()
    stacked.mount()
    assert program.sync().code == 0
    assert program.commands("STOR", "RETR") == []
    chown_all(program.source)
    swap(program.source, MANY[7], MANY[4321])
    assert read_all(program) == sorted([MANY[7], MANY[4321]])
    assert contents(program.site) == contents(program.source)


# What nobody has read.


def test_adopted_file_gets_a_digest_in_the_pass_that_adopts_it(mirror: Mirror, server: ScriptedServer) -> None:
    a_tree(mirror)
    adopt(mirror, server)
    assert mirror.run().code == 0
    assert (count(server, "STOR"), count(server, "RETR")) == (0, 0)
    touch_all(mirror)
    assert summary(mirror)["dates_set"] == len(NAMES)
    assert (count(server, "STOR"), count(server, "RETR")) == (0, 0)


def test_file_that_nobody_has_read_is_compared_with_the_site_unless_it_was_another_one(
    mirror: Mirror, server: ScriptedServer
) -> None:
    a_tree(mirror)
    adopt(mirror, server)
    assert mirror.run().code == 0
    forget_digests(mirror)
    touch_all(mirror, NAMES[:2])
    swap(mirror.source, NAMES[3], NAMES[4])
    replace(mirror, NAMES[2], f"page {NAMES[2]:>8}")
    ran = mirror.run()
    assert (count(server, "STOR"), count(server, "RETR")) == (2, 3)
    assert f"tracked as {NAMES[3]} before (same inode and date)" in ran.said
    assert_same(mirror, server)


@pytest.mark.parametrize(("options", "sent"), [((), 5), (("--max-verify-uploads", "2"), 2)])
def test_what_cannot_be_compared_is_sent_within_a_limit(
    mirror: Mirror, server: ScriptedServer, options: tuple[str, ...], sent: int
) -> None:
    server.on("RETR", lambda exchange: exchange.reply(b"550 Permission denied."), ALWAYS)
    a_tree(mirror)
    adopt(mirror, server)
    assert mirror.run().code == 0
    forget_digests(mirror)
    touch_all(mirror)
    ran = mirror.run("--json", *options)
    assert ran.code == (sent < 5), ran.said
    assert count(server, "STOR") == sent
    assert f'"done": {sent}, "failed": 0, "not_attempted": {5 - sent}' in ran.said
    assert ran.said.count("content cannot be compared with the site") == sent
    assert ("3 files that may have changed cannot be compared" in ran.said) == (sent == 2)


# Sites that no state knows.


def offering(server: ScriptedServer, feature: bytes) -> None:
    def feat(exchange: Exchange) -> None:
        exchange.reply(exchange.perform().replace(b"211-Features:", b"211-Features:\r\n " + feature))

    server.on("FEAT", feat, ALWAYS)


Hash = Callable[[bytes], bytes]


def telling(server: ScriptedServer, verb: str, reckon: Hash, reply: bytes = b"250 %s") -> None:
    def tell(exchange: Exchange) -> None:
        exchange.reply(reply % reckon(exchange.site.file(exchange.path).content))

    server.on(verb, tell, ALWAYS)


def by(name: str) -> Hash:
    return lambda content: hashlib.new(name, content).hexdigest().upper().encode()


HASHES: dict[str, tuple[bytes, str, Hash, bytes]] = {
    "HASH": (b"HASH SHA-1*;SHA-256;MD5", "HASH", by("sha256"), b"213 SHA-256 0-13 %s file"),
    "XSHA256": (b"XSHA256", "XSHA256", by("sha256"), b"250 %s"),
    "XSHA1": (b"XSHA1", "XSHA1", by("sha1"), b"250 XSHA1 %s"),
    "XMD5": (b"XMD5", "XMD5", by("md5"), b"251 %s"),
    "XCRC": (b"XCRC filename;start;end", "XCRC", lambda content: b"%X" % zlib.crc32(content), b"250 %s"),
}


@pytest.mark.parametrize("kind", HASHES)
def test_hashes_of_the_site_are_believed_once_one_was_right(mirror: Mirror, server: ScriptedServer, kind: str) -> None:
    feature, verb, reckon, reply = HASHES[kind]
    offering(server, feature)
    telling(server, verb, reckon, reply)
    server.on("OPTS", lambda exchange: exchange.reply(b"200 Done."), ALWAYS)
    a_tree(mirror)
    adopt(mirror, server)
    server.site.put(f"/{NAMES[3]}".encode(), b"of the same l", mtime=MTIME, mode=0o644)
    ran = mirror.run("--existing-equal", "content", "--multi", "A1")
    assert ran.code == 0, ran.said
    assert (count(server, "RETR"), count(server, "STOR"), count(server, verb)) == (1, 1, len(NAMES)), ran.said
    assert ("CRC-32" in ran.said) == (kind == "XCRC")
    assert_same(mirror, server, ran.said)


def test_hash_that_was_wrong_once_is_not_asked_for_again(mirror: Mirror, server: ScriptedServer) -> None:
    offering(server, b"XSHA256")
    telling(server, "XSHA256", lambda _: b"ab" * 32)
    a_tree(mirror)
    adopt(mirror, server)
    for _ in range(2):
        ran = mirror.run("--existing-equal", "content", "--multi", "A1", "--rescan")
        assert ran.code == 0, ran.said
        assert (count(server, "RETR"), count(server, "STOR"), count(server, "XSHA256")) == (len(NAMES), 0, 1), ran.said


def test_server_that_is_silent_to_a_hash_command_is_read_back(mirror: Mirror, server: ScriptedServer) -> None:
    offering(server, b"XSHA256")
    server.on("XSHA256", lambda exchange: exchange.connection.hang_up(), ALWAYS)
    a_tree(mirror)
    adopt(mirror, server)
    ran = mirror.run("--existing-equal", "content", "--multi", "A1")
    assert ran.code == 0, ran.said
    assert (count(server, "RETR"), count(server, "STOR"), count(server, "XSHA256")) == (len(NAMES), 0, 1), ran.said


@pytest.mark.parametrize(
    ("rule", "sent"),
    [pytest.param("time", 2, id="time"), pytest.param("size", 0, id="size"), pytest.param("content", 2, id="content")],
)
@pytest.mark.parametrize("multi", ["S", "P2"])
def test_what_counts_as_equal_is_chosen(
    mirror: Mirror, server: ScriptedServer, rule: str, sent: int, multi: str
) -> None:
    """Two have other content, one of them the same date; two have another date, one of them the same content."""
    mirror.write("equal", "same")
    mirror.write("dated", "same")
    mirror.write("written", "same")
    mirror.write("both", "same")
    for name, content, mtime_s in (
        ("equal", b"same", MTIME),
        ("dated", b"same", MTIME - 99),
        ("written", b"else", MTIME),
        ("both", b"else", MTIME - 99),
    ):
        server.site.put(f"/{name}".encode(), content, mtime=mtime_s, mode=0o644)
    ran = summary(mirror, "--existing-equal", rule, "--multi", multi)
    assert ran["uploaded_files"] == sent
    assert ran["adopted_files"] == 4 - sent
    if rule == "content":
        assert_same(mirror, server)
    assert summary(mirror, "--existing-equal", rule, "--multi", multi)["connections"] == 0


def test_proftpd_tells_hashes(tmp_path: Path, server_factory: ServerFactory) -> None:
    options = {"LoadModule": "mod_digest.c", "DigestEngine": "on"}
    program = Program(tmp_path, server_factory("proftpd", options=options))
    for name in NAMES:
        program.write(name, f"page {name:>8}")
    shutil.copytree(program.source, program.site, dirs_exist_ok=True)
    (program.site / NAMES[3]).write_text("of the same ..")
    result = program.sync("--existing-equal", "content", "--multi", "A1")
    assert result.code == 0, result.err
    assert (len(program.commands("RETR")), program.published()) == (1, [NAMES[3]]), result.err
    assert {path: node.content for path, node in tree(program.site).items()} == {
        path: node.content for path, node in tree(program.source).items()
    }
