"""The whole program, as its user runs it, against the servers that its user meets."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import sqlite3
import sys
import time
import unicodedata
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
from servers import (
    PASSWORD,
    REAL,
    TLS_MODES,
    TLS_VERSIONS,
    USER,
    FtpServer,
    KeptServer,
    RealKind,
    ServerFactory,
    Tls,
    TlsVersion,
)
from support.program import (
    MTIME,
    PROGRAM,
    Node,
    Program,
    at_terminal,
    contents,
    eventually,
    names,
    touch,
    tree,
    untouched,
    write,
)

from async_mirror.state.schema import HELD

DAY = 86_400
MANY = 24
"""More files than the guard against removals lets go without asking: 20."""

MODES = ("S", "A4", "T4", "P3")
in_both_modes = pytest.mark.parametrize("multi", ["S", "A8"])
in_all_modes = pytest.mark.parametrize("multi", MODES)
on_one_server = pytest.mark.parametrize("real_server", ["vsftpd"], indirect=True)
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, whom no permission binds")


def in_all_modes_and_processes_on(server: RealKind) -> pytest.MarkDecorator:
    """Run a test on each server in each mode, in processes on one of them: they take their time to start."""
    rare = [pytest.mark.exhaustive]
    runs = [
        pytest.param(multi, kind, marks=rare if (mode - place) % len(REAL) and multi != "P3" else [])
        for mode, multi in enumerate(MODES)
        for place, kind in enumerate(REAL)
        if multi != "P3" or kind == server
    ]
    return pytest.mark.parametrize(("multi", "real_server"), runs, indirect=["real_server"])


@pytest.fixture
def program(real_server: FtpServer, tmp_path: Path) -> Program:
    return Program(tmp_path, real_server)


def fill(program: Program) -> None:
    """Give the source files, folders and modes of the usual kinds."""
    program.write("index.html", "<h1>Welcome</h1>")
    program.write("empty")
    program.write("private", "a secret", mode=0o600)
    program.write("bin/run", "#!/bin/sh\n", mode=0o755)
    program.write("bin/deep/er/still", "x" * 100_000)
    program.write("read only", "as it was", mode=0o444)
    program.write("old", "from before 2001", mtime_s=123_456_789)
    for number in range(12):
        program.write(f"img/{number:02}.png", bytes([number]) * (number * 1000 + 1), MTIME + number)
    (program.source / "nothing in it").mkdir()
    (program.source / "bin/deep").chmod(0o700)


def mirrored(program: Program, *options: str) -> None:
    """Run a pass that mirrors everything."""
    result = program.sync(*options)
    assert result.code == 0, result.err
    assert tree(program.site) == tree(program.source)


def summary(err: str) -> str:
    """Return the line that tells what the pass came to."""
    lines = [line for line in err.splitlines() if re.search(r"  (pass|dry run): ", line)]
    assert len(lines) == 1, err
    return lines[0]


# What a pass does.


@pytest.mark.smoke
@in_all_modes_and_processes_on("vsftpd")
def test_first_pass_makes_the_site_equal_and_an_unchanged_one_opens_no_connection(program: Program, multi: str) -> None:
    fill(program)
    mirrored(program, "--multi", multi)
    result = program.sync("--multi", multi)
    assert result.code == 0
    assert "nothing to do" in summary(result.err)
    assert program.server.connections() == 0


def over_tls() -> list[object]:
    """Each server in each version, 1.2 implicitly if it can; in threads and processes on one of them."""
    ways = [
        (kind, TLS_MODES[kind][0 if version == "1.3" else -1], version) for kind in REAL for version in TLS_VERSIONS
    ]
    runs = [(multi, *way) for way in ways for multi in ("S", "A4", *(("T3", "P3") if way == ways[0] else ()))]
    return [pytest.param(*run, marks=[pytest.mark.smoke] if run[0] == "A4" else []) for run in runs]


@pytest.mark.few(5)
@pytest.mark.parametrize(("multi", "kind", "tls", "version"), over_tls())
def test_site_is_kept_equal_over_tls(
    multi: str, kind: RealKind, tls: Tls, version: TlsVersion, kept_server: KeptServer, tmp_path: Path
) -> None:
    program = Program(tmp_path, kept_server(kind, tls, version))
    fill(program)
    mirrored(program, "--multi", multi)
    program.write("index.html", "<h1>Welcome back</h1>", MTIME + DAY)
    program.write("private", "", MTIME + DAY, mode=0o600)
    program.write("bin/empty too")
    (program.source / "img/05.png").rename(program.source / "img/five.png")
    (program.source / "bin/run").unlink()
    mirrored(program, "--multi", multi)
    assert program.published() == ["bin/empty too", "img/five.png", "index.html", "private"]
    assert "RNFR img/05.png" in program.commands("RNFR")
    assert program.commands("DELE") == ["DELE bin/run"]
    assert len(program.commands("STOR")) == 3
    result = program.sync("--multi", multi)
    assert result.code == 0
    assert "nothing to do" in summary(result.err)
    assert program.server.connections() == 0


@pytest.mark.few(1)
@pytest.mark.parametrize("version", TLS_VERSIONS)
def test_sessions_that_expire_in_the_middle_of_a_pass_are_replaced(
    version: TlsVersion, server_factory: ServerFactory, tmp_path: Path
) -> None:
    lifetime = {"TLSSessionCache": "internal: 1"}
    program = Program(tmp_path, server_factory("proftpd", tls="explicit", tls_version=version, options=lifetime))
    for number in range(6):
        program.write(f"{number}.bin", bytes(20_000))
    mirrored(program, "--multi", "S", "--bwlimit", "30k")
    assert program.server.connections() > 1
    assert len(program.commands("STOR")) > 6


@pytest.mark.few(1)
@pytest.mark.parametrize("version", TLS_VERSIONS)
@pytest.mark.parametrize("kind", ["vsftpd", "proftpd"])
def test_client_certificate_is_shown_and_asked_for(
    kind: RealKind, version: TlsVersion, server_factory: ServerFactory, tmp_path: Path
) -> None:
    program = Program(tmp_path, server_factory(kind, tls="explicit", tls_version=version, client_certificate=True))
    fill(program)
    result = program.sync("-v")
    assert (result.code, names(program.site)) == (4, set())
    assert "--client-cert" in result.err
    assert version == "1.3" or "retrying" not in result.err  # in 1.3 a reset may overtake the server's word
    assert not program.commands("USER", "PASS")
    files = program.server.certificates
    mirrored(program, "--client-cert", str(files.client_certificate), "--client-key", str(files.client_key))


@pytest.mark.parametrize("tls", ["", "explicit"])
@pytest.mark.parametrize("kind", REAL)
def test_site_is_mirrored_over_ipv6(kind: RealKind, tls: Tls, server_factory: ServerFactory, tmp_path: Path) -> None:
    program = Program(tmp_path, server_factory(kind, tls=tls, host="::1"))
    fill(program)
    mirrored(program)


@on_one_server
def test_concurrent_pass_never_uses_more_connections_than_it_may(program: Program) -> None:
    fill(program)
    mirrored(program, "--multi", "A3")
    assert 1 < program.server.connections() <= 3
    touch(program.source / "index.html", MTIME + DAY)
    touch(program.source / "private", MTIME + DAY)
    mirrored(program, "--multi", "S")
    assert program.server.connections() == 1


@in_all_modes_and_processes_on("proftpd")
def test_whatever_differs_in_content_is_sent_and_another_date_alone_is_set(program: Program, multi: str) -> None:
    for name in ("grown", "same size", "touched", "set back", "left alone"):
        program.write(f"folder/{name}", "before")
    mirrored(program, "--multi", multi)
    program.write("folder/grown", "before and after")
    program.write("folder/same size", "behind", MTIME + 1)
    touch(program.source / "folder/touched", MTIME + DAY)
    touch(program.source / "folder/set back", MTIME - DAY)
    program.write("folder/added", "new")
    program.write("added too/deep/file", "new")
    mirrored(program, "--multi", multi)
    changed = ["added", "grown", "same size"]
    assert program.published() == ["added too/deep/file", *(f"folder/{name}" for name in changed)]
    assert len(program.commands("STOR")) == 4
    assert len([command for command in program.commands("MFMT", "MDTM") if ".part" not in command]) == 2


@in_all_modes_and_processes_on("pure-ftpd")
def test_what_is_gone_from_the_source_is_removed(program: Program, multi: str) -> None:
    fill(program)
    mirrored(program, "--multi", multi)
    (program.source / "index.html").unlink()
    (program.source / "img/00.png").unlink()
    shutil.rmtree(program.source / "bin")
    (program.source / "nothing in it").rmdir()
    mirrored(program, "--multi", multi)
    assert not program.commands("STOR")


@in_all_modes_and_processes_on("vsftpd")
def test_renamed_files_are_renamed_on_the_site_and_not_sent(program: Program, multi: str) -> None:
    program.write("here/old name", "content", mode=0o600)
    program.write("here/touched", "more content")
    program.write("there/neighbour", "another")
    mirrored(program, "--multi", multi)
    (program.source / "here/old name").rename(program.source / "there/new name")
    (program.source / "here/touched").rename(program.source / "here/untouched")
    touch(program.source / "here/untouched", MTIME + DAY)
    mirrored(program, "--multi", multi)
    assert sorted(program.commands("RNFR")) == ["RNFR here/old name", "RNFR here/touched"]
    assert program.published() == ["here/untouched", "there/new name"]
    assert not program.commands("STOR", "DELE")


@on_one_server
def test_renamed_folder_takes_its_content_along(program: Program) -> None:
    program.write("before/deep/file", "content")
    program.write("before/file", "other content")
    mirrored(program)
    (program.source / "before").rename(program.source / "after")
    mirrored(program)
    assert not program.commands("STOR")


@on_one_server
def test_renamed_and_rewritten_file_is_sent(program: Program) -> None:
    program.write("before", "content")
    mirrored(program)
    (program.source / "before").rename(program.source / "after")
    program.write("after", "CONTENT", MTIME + DAY)
    mirrored(program)


@on_one_server
def test_renamed_in_letter_case_and_unicode_form_ends_right(program: Program) -> None:
    composed, decomposed = (unicodedata.normalize(form, "cafe\u0301") for form in ("NFC", "NFD"))
    program.write("README", "read me")
    program.write(f"Folder/{composed}", "au lait")
    mirrored(program)
    (program.source / "README").rename(program.source / "Readme")
    (program.source / f"Folder/{composed}").rename(program.source / f"Folder/{decomposed}")
    (program.source / "Folder").rename(program.source / "folder")
    mirrored(program)
    assert not program.commands("STOR", "DELE")


@on_one_server
def test_folder_rebuilt_in_another_letter_case_ends_right(program: Program) -> None:
    program.write("Folder/file", "one")
    mirrored(program)
    shutil.rmtree(program.source / "Folder")
    program.write("folder/file", "two")
    mirrored(program)


@in_all_modes_and_processes_on("proftpd")
def test_files_that_swap_names_end_right(program: Program, multi: str) -> None:
    for number, name in enumerate(("a", "b", "c", "d", "e")):
        program.write(name, f"this was {name}", MTIME + number)
    mirrored(program, "--multi", multi)
    for cycle in (("a", "b"), ("c", "d", "e")):
        source = program.source
        (source / cycle[0]).rename(source / "aside")
        for taken, freed in zip(cycle[1:], cycle, strict=False):
            (source / taken).rename(source / freed)
        (source / "aside").rename(source / cycle[-1])
    mirrored(program, "--multi", multi)
    assert contents(program.site)["a"] == b"this was b"


def test_changed_modes_are_set_without_sending_anything(program: Program) -> None:
    program.write("folder/file", "content", mode=0o644)
    program.write("folder/script", "content", mode=0o644)
    mirrored(program)
    (program.source / "folder/file").chmod(0o640)
    (program.source / "folder/script").chmod(0o755)
    (program.source / "folder").chmod(0o711)
    mirrored(program)
    assert len(program.commands("SITE")) == 3
    assert not program.commands("STOR")


def test_mtime_that_a_server_cannot_set_costs_no_other_file_its_own(program: Program) -> None:
    for number in range(20):
        program.write(f"{number:02}", "content", MTIME + number)
    for number in range(5):
        program.write(f"from before 1970, {number}", "content", -1 - number * DAY)
    assert program.sync("--multi", "S").code == 0
    mtimes = {path: node.mtime_s for path, node in tree(program.site).items()}
    assert [mtimes[b"%02d" % number] for number in range(20)] == [MTIME + number for number in range(20)]


@on_one_server
def test_file_from_the_far_future_keeps_no_other_from_being_mirrored(program: Program) -> None:
    program.write("from the year 2300", "content", 10_413_792_000)
    program.write("file", "content")
    result = program.sync()
    assert "Traceback" not in result.err
    assert "file" in contents(program.site)
    assert result.code == (0 if "from the year 2300" in contents(program.site) else 1)


@on_one_server
def test_modes_are_left_alone_when_they_are_not_to_be_mirrored(program: Program) -> None:
    program.write("file", "content", mode=0o600)
    assert program.sync("--no-perms").code == 0
    assert tree(program.site)[b"file"].mode == 0o644
    (program.source / "file").chmod(0o640)
    assert program.sync("--no-perms").code == 0
    assert program.server.connections() == 0
    (program.source / "file").rename(program.source / "renamed")
    assert program.sync("--no-perms").code == 0
    assert tree(program.site)[b"renamed"].mode == 0o644
    assert program.sync().code == 0
    assert tree(program.site)[b"renamed"].mode == 0o640
    assert not program.commands("STOR")


@pytest.mark.smoke
@in_all_modes_and_processes_on("pure-ftpd")
def test_files_and_folders_take_each_others_place(program: Program, multi: str) -> None:
    program.write("file", "was a file")
    program.write("folder/deep/file", "was in a folder")
    program.write("folder/file", "so was this")
    mirrored(program, "--multi", multi)
    (program.source / "file").unlink()
    shutil.rmtree(program.source / "folder")
    program.write("file/deep/file", "is in a folder")
    program.write("folder", "is a file")
    mirrored(program, "--multi", multi)


@in_all_modes_and_processes_on("vsftpd")
def test_rebuilt_tree_with_one_mtime_and_reused_inodes_ends_right(program: Program, multi: str) -> None:
    texts = [f"content {number:02}" for number in range(15)]
    for number, text in enumerate(texts):
        program.write(f"out/old-{number:02}", text)
    mirrored(program, "--multi", multi)
    out = program.source / "out"
    inodes = {path.stat().st_ino for path in out.iterdir()}
    for number, text in enumerate(texts[7:] + texts[:7]):
        (out / f"old-{number:02}").rename(out / f"new-{number:02}")  # as if the file system had used its inode again
        program.write(f"out/new-{number:02}", text)
    assert inodes == {path.stat().st_ino for path in out.iterdir()}
    mirrored(program, "--multi", multi)


def test_site_folder_is_made_where_the_destination_says(program: Program) -> None:
    program.write("file", "content")
    foreign = write(program.site / "elsewhere", "of others")
    program.url += "www/my%20site"
    first = program.sync()
    assert first.code == 0
    assert re.search("created the destination folder .*/www/my site", first.err)
    assert tree(program.site / "www/my site") == tree(program.source)
    (program.source / "file").unlink()
    program.write("other", "content of another")
    second = program.sync()
    assert second.code == 0
    assert "created the destination folder" not in second.err
    assert names(program.site) == {"elsewhere", "www/", "www/my site/", "www/my site/other"}
    assert foreign.read_text() == "of others"


# What is not ours.


def test_site_that_holds_the_tree_already_is_adopted(program: Program) -> None:
    fill(program)
    shutil.copytree(program.source, program.site, dirs_exist_ok=True)
    program.server.adopt()
    before = untouched(program.site)
    result = program.sync()
    assert (result.code, program.commands("STOR", "MKD", "RNTO")) == (0, [])
    assert f"{len(contents(program.source))} existing files adopted" in summary(result.err)
    assert untouched(program.site) == before
    (program.source / "index.html").unlink()
    shutil.rmtree(program.source / "bin/deep")
    mirrored(program)


def test_first_pass_sends_what_differs_and_keeps_what_is_foreign(program: Program) -> None:
    program.write("same", "content")
    program.write("differs", "here")
    program.write("other mtime", "content")
    shutil.copytree(program.source, program.site, dirs_exist_ok=True)
    write(program.site / "differs", "there!")
    write(program.site / "other mtime", "CONTENT", MTIME + 5)
    write(program.site / "foreign/file", "of others")
    program.server.adopt()
    result = program.sync()
    assert (result.code, program.published()) == (0, ["differs", "other mtime"])
    assert contents(program.site) == contents(program.source) | {"foreign/file": b"of others"}
    assert "1 unmanaged path on the site, left alone" in result.err


@pytest.mark.few(1)
def test_foreign_things_are_never_touched(program: Program) -> None:
    fill(program)
    mirrored(program)
    foreign = {"of others": b"1", "img/of others": b"2", "bin/deep/of others": b"3", "theirs/img/00.png": b"4"}
    for path, content in foreign.items():
        write(program.site / path, content)
    program.server.adopt()
    before = {path: node for path, node in untouched(program.site).items() if os.fsdecode(path) in foreign}
    shutil.rmtree(program.source / "img")
    shutil.rmtree(program.source / "bin")
    result = program.sync()
    assert result.code == 0
    assert contents(program.site) == contents(program.source) | foreign
    assert {path: node for path, node in untouched(program.site).items() if path in before} == before
    assert {"img/", "bin/", "bin/deep/"} <= names(program.site)
    assert "bin/deep/er/" not in names(program.site)
    assert "contains unmanaged files or folders" in result.err
    assert program.sync().code == 0
    assert program.server.connections() == 0


def test_foreign_things_in_the_way_are_kept_and_reported(program: Program) -> None:
    program.write("file here/in it", "content")
    program.write("folder here", "content")
    program.write("other", "content")
    write(program.site / "file here", "of others")
    write(program.site / "folder here/of others", "of others")
    program.server.adopt()
    result = program.sync("--retries", "1")
    assert result.code == 1
    assert contents(program.site) == {
        "file here": b"of others",
        "folder here/of others": b"of others",
        "other": b"content",
    }
    assert re.search(r"failed +file here ", result.err)
    assert re.search(r"failed +folder here ", result.err)


@pytest.mark.few(2)
@on_one_server
@pytest.mark.parametrize(
    "options",
    [["--exclude", "logs/"], ["--exclude", "/logs"], ["--exclude-ext", ".log"], ["--max-depth", "1"]],
    ids=" ".join,
)
def test_what_is_left_out_after_having_been_mirrored_stays(program: Program, options: list[str]) -> None:
    program.write("index", "content")
    program.write("logs/a.log", "first")
    program.write("logs/deep/b.log", "second")
    program.write("logs/deep/c.log", "third")
    mirrored(program)
    before = contents(program.site)
    program.write("logs/a.log", "first, changed")
    program.write("logs/added.log", "new")
    (program.source / "logs/deep/b.log").unlink()
    assert program.sync(*options).code == 0
    assert contents(program.site) == before
    assert program.server.connections() == 0
    mirrored(program)


@on_one_server
def test_what_is_left_out_is_not_renamed_away(program: Program) -> None:
    program.write("old", "content")
    mirrored(program)
    (program.source / "old").rename(program.source / "new")
    assert program.sync("--exclude", "old").code == 0
    assert contents(program.site) == {"old": b"content", "new": b"content"}


@on_one_server
def test_what_is_left_out_keeps_its_folder_when_that_is_gone(program: Program) -> None:
    program.write("index", "content")
    program.write("gone/kept.log", "content")
    program.write("gone/removed", "content")
    mirrored(program)
    shutil.rmtree(program.source / "gone")
    assert program.sync("--exclude-ext", "log").code == 0
    assert contents(program.site) == {"index": b"content", "gone/kept.log": b"content"}


@on_one_server
def test_what_a_symbolic_link_replaced_stays_on_the_site(program: Program) -> None:
    program.write("index", "content")
    program.write("file", "was here")
    program.write("folder/file", "was here too")
    mirrored(program)
    before = tree(program.site)
    for name in ("file", "folder"):
        moved = program.source.parent / f"moved {name}"
        (program.source / name).rename(moved)
        (program.source / name).symlink_to(moved)
    result = program.sync()
    assert result.code == 0
    assert "2 links" in result.err
    assert tree(program.site) == before


@on_one_server
def test_depth_of_one_mirrors_the_files_directly_in_the_source(program: Program) -> None:
    program.write("top", "content")
    program.write("folder/second", "content")
    program.write("folder/deep/third", "content")
    result = program.sync("--max-depth", "1")
    assert (result.code, names(program.site)) == (0, {"top"})
    assert program.sync("--max-depth", "2").code == 0
    assert names(program.site) == {"top", "folder/", "folder/second"}


@on_one_server
def test_links_and_special_files_are_left_out_and_counted(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = write(tmp_path / "outside/file", "not to be mirrored")
    program.write("folder/file", "content")
    links = {"file": "folder/file", "folder-link": "folder", "dangling": "nowhere", "out": str(outside)}
    links |= {"out-folder": str(outside.parent), "folder/loop": "..", "self": "self"}
    for name, target in links.items():
        (program.source / name).symlink_to(target)
    os.mkfifo(program.source / "fifo")
    monkeypatch.chdir(program.source)  # a socket's path may have 107 bytes at most
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        result = program.sync()
    assert result.code == 0
    assert contents(program.site) == {"folder/file": b"content"}
    assert f"(skipped: {len(links)} links, 2 special files; -v names them)" in result.err


# Guards.


@on_one_server
def test_empty_source_removes_nothing_unless_that_is_meant(program: Program) -> None:
    for number in range(MANY):
        program.write(f"folder/{number}", "content")
    mirrored(program)
    before = tree(program.site)
    result = program.sync("--exclude", "*")
    assert (result.code, "is mirrored (1 excluded) and the site is not empty" in result.err) == (5, True), result
    shutil.rmtree(program.source / "folder")
    result = program.sync()
    assert (result.code, program.server.connections()) == (5, 0)
    assert tree(program.site) == before
    advice = re.search(r"run once with (--.*)", result.err)
    assert advice, result.err
    mirrored(program, *advice[1].split())
    assert tree(program.site) == {}


@on_one_server
def test_missing_source_removes_nothing(program: Program) -> None:
    program.write("file", "content")
    mirrored(program)
    before = tree(program.site)
    program.source.rename(program.source.with_name("moved away"))
    result = program.sync("--allow-empty-source", "--max-delete", "100%")
    assert (result.code, program.server.connections()) == (5, 0)
    assert tree(program.site) == before
    program.source.with_name("moved away").rename(program.source)
    mirrored(program)


@on_one_server
def test_removing_most_of_the_mirror_needs_the_option_that_the_message_names(program: Program) -> None:
    for number in range(MANY):
        program.write(f"folder/{number}", "content")
    mirrored(program)
    for number in range(MANY // 2 + 1):
        (program.source / f"folder/{number}").unlink()
    program.write("added", "goes up all the same")
    result = program.sync()
    assert (result.code, program.commands("DELE", "RMD")) == (5, [])
    assert len(contents(program.site)) == MANY + 1
    advice = re.search(r"run once with (--max-delete \S+)", result.err)
    assert advice, result.err
    mirrored(program, *advice[1].split())


@on_one_server
def test_half_of_the_mirror_may_go_and_so_may_all_of_a_small_one(program: Program) -> None:
    for number in range(MANY):
        program.write(f"folder/{number}", "content")
    mirrored(program)
    for number in range(MANY // 2):
        (program.source / f"folder/{number}").unlink()
    mirrored(program)
    shutil.rmtree(program.source / "folder")
    program.write("only", "one")
    mirrored(program)


@on_one_server
def test_no_more_files_are_removed_than_allowed(program: Program) -> None:
    for number in range(5):
        program.write(f"file {number}", "content")
    mirrored(program)
    for number in range(3):
        (program.source / f"file {number}").unlink()
    assert program.sync("--max-delete", "2").code == 5
    assert len(contents(program.site)) == 5
    mirrored(program, "--max-delete", "3")


@on_one_server
def test_nothing_is_removed_when_removals_are_not_wanted(program: Program) -> None:
    program.write("gone", "content")
    program.write("folder/gone too", "content")
    program.write("renamed", "more content")
    program.write("stays", "content")
    mirrored(program)
    before = contents(program.site)
    (program.source / "gone").unlink()
    (program.source / "renamed").rename(program.source / "under a new name")
    shutil.rmtree(program.source / "folder")
    assert program.sync("--no-delete").code == 0
    assert contents(program.site) == before | {"under a new name": b"more content"}
    mirrored(program)


# Trying out.


@on_one_server
def test_dry_run_leaves_no_trace_when_nothing_was_ever_mirrored(program: Program) -> None:
    fill(program)
    for url in (program.url, program.url + "not/there/yet"):
        program.url = url
        result = program.sync("--dry-run")
        assert result.code == 0
        assert not program.state.exists()
        assert tree(program.site) == {}
        assert re.search(r"^upload +bin/run +10 B +\(new\)$", result.out, re.MULTILINE)


def test_dry_run_names_what_the_pass_then_does_and_changes_nothing(program: Program) -> None:
    for name in ("grown", "touched", "renamed", "moded", "gone", "folder/gone", "swapped/file", "set back"):
        program.write(name, f"content of {name}")
    mirrored(program)
    program.write("grown", "content of grown and more")
    program.write("added/file", "new")
    touch(program.source / "touched", MTIME + DAY)
    touch(program.source / "set back", MTIME - DAY)
    (program.source / "renamed").rename(program.source / "new name")
    (program.source / "moded").chmod(0o600)
    (program.source / "gone").unlink()
    shutil.rmtree(program.source / "folder")
    shutil.rmtree(program.source / "swapped")
    program.write("swapped", "is a file")

    site, state = untouched(program.site), tree(program.state)
    plan = program.sync("--dry-run")
    assert plan.code == 0
    assert untouched(program.site) == site
    assert tree(program.state) == state

    result = program.sync()
    present = {"created": "create", "uploaded": "upload", "dated": "date", "mode": "mode"}
    present |= {"renamed": "rename", "deleted": "delete"}
    told = [line.split("  ", 1)[1] for line in result.err.splitlines()]
    done = [line for line in told if line.split()[0] in present]
    assert sorted(line.split() for line in plan.out.splitlines()) == sorted(
        [present[words[0]], *words[1:]] for words in map(str.split, done)
    )
    assert [re.sub(r" {2,}", "  ", line) for line in plan.out.splitlines()] == [
        "create  added/  (new)",
        "upload  added/file  3 B  (new)",
        "delete  folder/  (deleted from the source)",
        "delete  folder/gone  22 B  (deleted from the source)",
        "delete  gone  15 B  (deleted from the source)",
        "upload  grown  25 B  (size 16 -> 25)",
        "mode  moded  (mode 644 -> 600)",
        "rename  renamed -> new name",
        "date  set back  (same content)",
        "delete  swapped/  (deleted from the source)",
        "upload  swapped  9 B  (new)",
        "delete  swapped/file  23 B  (deleted from the source)",
        "date  touched  (same content)",
    ], "in order of the paths"
    assert tree(program.site) == tree(program.source)


@on_one_server
def test_dry_run_trips_over_the_guards_too(program: Program) -> None:
    program.write("file", "content")
    mirrored(program)
    (program.source / "file").unlink()
    state = tree(program.state)
    assert program.sync("--dry-run").code == 5
    assert tree(program.state) == state


@on_one_server
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_dry_run_can_tell_of_any_name_on_any_terminal(program: Program, encoding: str) -> None:
    program.write("na\u00efve \u65e5\u672c", "content")
    program.environment["PYTHONIOENCODING"] = encoding
    assert program.sync("--dry-run").code == 0
    mirrored(program)


# Names.

KEPT_BY_ALL = [
    *(b"two  words", b'it\'s "quoted"', b"-rf", b"--", b"~", b"~root", b"[x]?", b"[", b"{a,b}", b"a;b&c|d$(e)`f`"),
    *(b"%20", b"#1", b"...", b".hidden", b"dot.", b"con", b"a:b", b"<>", b"latin-\xe9", b"a\xffb", b"z\xff"),
    *(b"lead", b"trail"),
    *(name.encode() for name in ("caf\u00e9", "cafe\u0301", "\u65e5\u672c", "\U0001f600", "n" * 255, "\u00fc" * 127)),
]
BLANK = [b" lead", b"trail ", b"\tlead", b"trail\t", b"tab\tin it", b" ", b"   \t"]
KEPT_BY_SOME = [*BLANK, b"back\\slash", b"\\", b"*", b"s*r", b"\x01\x1b[31m\x7f", b"z\xff\xff", b"l\xff\xf4ead"]


def write_by_name(program: Program, found: list[bytes]) -> None:
    for name in found:
        program.write(name, b"file " + name)
        program.write(b"in/" + name + b"/" + name, b"in " + name)


@pytest.mark.smoke
@in_all_modes_and_processes_on("proftpd")
def test_odd_names_are_kept_to_the_byte(program: Program, multi: str) -> None:
    write_by_name(program, KEPT_BY_ALL)
    mirrored(program, "--multi", multi)
    assert program.sync().code == 0
    assert program.server.connections() == 0
    program.write("stays", "content")
    for name in KEPT_BY_ALL:
        (program.source / os.fsdecode(name)).unlink()
    shutil.rmtree(program.source / "in")
    mirrored(program, "--multi", multi, "--max-delete", "100%")


@pytest.mark.few(1)
def test_names_that_a_server_alters_or_refuses_are_reported_and_never_stored_otherwise(program: Program) -> None:
    write_by_name(program, KEPT_BY_ALL + KEPT_BY_SOME)
    wanted = contents(program.source)
    result = program.sync()
    assert contents(program.site).items() <= wanted.items()
    assert names(program.site) <= names(program.source)
    missing = wanted.keys() - contents(program.site).keys()
    assert not missing & {os.fsdecode(name) for name in KEPT_BY_ALL}
    assert result.code == (1 if missing else 0)
    for path in missing:
        told = [re.escape(shown(each)) for each in (path, os.path.dirname(path)) if each]
        assert re.search(f"failed +'?({'|'.join(told)})'?  ", result.err), path
    if program.server.kind == "pure-ftpd":
        assert {os.fsdecode(name) for name in (b"trail ", b"trail\t", b"back\\slash")} <= missing
    if program.server.kind == "vsftpd":
        assert not missing
    before = tree(program.site)
    assert program.sync().code == result.code
    assert tree(program.site) == before


@pytest.mark.few(1)
def test_file_of_others_is_not_removed_for_one_that_the_server_takes_for_it(program: Program) -> None:
    """Pure-FTPd deletes `a_b` when told to delete a name with a TAB, ProFTPD takes pairs that begin with 0xFF out."""
    foreign = {b"a_b": b"of others", b"c\xffd": b"of others"}
    for name in (b"a\tb", b"c\xff\xffd"):
        program.write(name, "ours")
        write(program.site / os.fsdecode(name), "ours")
    for name in foreign:
        write(program.site / os.fsdecode(name), "of others")
    program.server.adopt()
    program.sync()
    for path in program.source.iterdir():
        path.unlink()
    program.write("stays", "content")
    program.sync("--max-delete", "100%")
    assert foreign.items() <= {os.fsencode(path): content for path, content in contents(program.site).items()}.items()


def shown(path: str) -> str:
    """Return a path as the program shows it: what a terminal would not, by its code."""
    return re.sub(r"[\x00-\x1f\x7f\udc80-\udcff]", lambda found: f"\\x{ord(found[0]) & 0xFF:02x}", path)


@pytest.mark.few(1)
def test_mode_is_never_set_on_what_has_nearly_the_same_name(program: Program) -> None:
    for path in ("file", "file ", "folder/file", "folder /file", "deep/file", "deep/ /file"):
        program.write(path, "content")
    program.sync()
    for path in ("file ", "folder ", "deep/ "):
        (program.source / path).chmod(0o700)
    program.sync()
    modes = {path: node.mode for path, node in tree(program.site).items()}
    assert [modes[path] for path in (b"file", b"folder", b"deep")] == [0o644, 0o755, 0o755]


@on_one_server
def test_line_break_in_a_name_is_refused_without_a_connection(program: Program) -> None:
    program.write("file", "content")
    mirrored(program)
    for name in ("a\nDELE file", "b\r", "folder\r\n/inside"):
        program.write(name, "content")
    result = program.sync()
    assert (result.code, program.server.connections()) == (1, 0)
    for shown in (r"a\x0aDELE file", r"b\x0d", r"folder\x0d\x0a"):
        assert f"{shown}  " in result.err
    assert names(program.site) == {"file"}


@on_one_server
def test_name_like_a_temporary_one_is_not_mirrored(program: Program) -> None:
    program.write(".am-0123abcd-1z0.part", "left by a mirror of this very folder")
    program.write("file", "content")
    assert program.sync().code == 0
    assert names(program.site) == {"file"}


# Permissions.


@pytest.mark.few(1)
@as_root
def test_readable_is_what_the_user_may_read_whatever_the_mode(program: Program) -> None:
    program.write("locked", "content", mode=0)
    program.write("closed/file", "content")
    program.write("closed/deep/file", "content")
    (program.source / "closed").chmod(0o555)
    (program.source / "closed/deep").chmod(0)
    assert program.sync().code == 0
    wanted = tree(program.source)
    wanted[b"closed"] = wanted[b"closed"]._replace(mode=0o755)
    wanted[b"closed/deep"] = wanted[b"closed/deep"]._replace(mode=0o700)
    assert tree(program.site) == wanted
    assert program.sync().code == 0
    assert program.server.connections() == 0
    program.write("closed/deep/added", "content")
    assert program.sync().code == 0
    assert "closed/deep/added" in contents(program.site)


@on_one_server
def test_what_cannot_be_read_is_reported_and_never_removed(program: Program) -> None:
    program.bind_by_permissions()
    program.write("locked file", "content")
    program.write("locked folder/deep/file", "content")
    program.write("listed only/file", "content")
    program.write("file", "content")
    mirrored(program)
    before = contents(program.site)
    program.write("locked file", "changed content", MTIME + DAY, mode=0)
    (program.source / "locked folder").chmod(0)
    (program.source / "listed only").chmod(0o444)
    program.write("file", "changed content")
    result = program.sync()
    assert result.code == 1
    assert contents(program.site) == before | {"file": b"changed content"}
    for path in ("locked file", "locked folder", "listed only/file"):
        assert re.search(f"failed +{path}  .*[Pp]ermission denied", result.err), path


@on_one_server
def test_unreadable_source_halts(program: Program) -> None:
    program.bind_by_permissions()
    program.write("file", "content")
    mirrored(program)
    program.source.chmod(0o444)
    result = program.sync()
    assert (result.code, names(program.site)) == (5, {"file"})


# The state.


@on_one_server
def test_second_process_on_a_state_is_told_who_has_it(program: Program) -> None:
    program.write("file", "content")
    with program.started("--every", "1h") as running:
        running.wait_for("next pass in")
        result = program.sync()
        assert result.code == 6
        assert re.search(rf"\b{running.pid}\b", result.err)
        assert program.server.connections() == 0
        assert program.sync("--dry-run").code == 0
    mirrored(program)


def state_file(program: Program) -> Path:
    (path,) = program.state.glob("*.sqlite3")
    return path


@pytest.mark.few(1)
@on_one_server
@pytest.mark.parametrize("kept_bytes", [0, 100, 4096], ids=["whole", "all but its header", "all but its first page"])
def test_damaged_state_is_set_aside_and_nothing_is_removed_for_it(program: Program, kept_bytes: int) -> None:
    for number in range(50):
        program.write(f"folder/{number}", "content")
    program.write("file", "content")
    mirrored(program)
    path = state_file(program)
    whole = path.read_bytes()
    path.write_bytes(whole[:kept_bytes] + b"garbage!" * ((len(whole) - kept_bytes) // 8))
    (program.source / "folder/0").unlink()
    result = program.sync()
    assert (result.code, program.commands("STOR", "DELE", "RNTO")) == (6, [])
    assert "set aside" in result.err
    result = program.sync()
    assert (result.code, program.commands("STOR", "DELE")) == (0, [])
    assert "50 existing files adopted" in summary(result.err)
    assert set(contents(program.site)) == {*contents(program.source), "folder/0"}


@on_one_server
def test_state_of_a_newer_version_is_left_as_it_is(program: Program) -> None:
    program.write("file", "content")
    mirrored(program)
    database = sqlite3.connect(state_file(program))
    database.execute("PRAGMA user_version = 99")
    database.close()
    before = state_file(program).read_bytes()
    for options in ([], ["--dry-run"]):
        result = program.sync(*options)
        assert (result.code, program.server.connections()) == (6, 0)
        assert "newer version" in result.err
    assert state_file(program).read_bytes() == before


@on_one_server
def test_lost_state_is_found_again_by_looking_and_nothing_is_removed(program: Program) -> None:
    fill(program)
    mirrored(program)
    shutil.rmtree(program.state)
    (program.source / "index.html").unlink()
    program.write("private", "another secret", mode=0o600)
    result = program.sync()
    assert (result.code, program.commands("DELE"), program.published()) == (0, [], ["private"])
    assert contents(program.site) == contents(program.source) | {"index.html": b"<h1>Welcome</h1>"}


@on_one_server
def test_state_folder_in_the_source_is_refused(program: Program) -> None:
    program.write("file", "content")
    program.state = program.source / "state"
    result = program.sync()
    assert (result.code, names(program.source)) == (2, {"file"})


# Passwords.


@pytest.mark.few(2)
@in_all_modes_and_processes_on("proftpd")
def test_wrong_password_is_tried_once(program: Program, multi: str) -> None:
    fill(program)
    program.password_file.write_text("wrong-Pass\n")
    result = program.sync("--multi", multi, "-v")
    assert result.code == 3
    assert len(program.commands("PASS")) == 1
    assert "wrong-Pass" not in result.out + result.err
    program.password_file.write_text(PASSWORD)
    mirrored(program)


@on_one_server
def test_password_is_found_where_users_keep_it(program: Program) -> None:
    program.write("file", "content")
    right, wrong = {"ASYNC_MIRROR_PASSWORD": PASSWORD}, {"ASYNC_MIRROR_PASSWORD": "wrong-Pass"}
    by_file = {"ASYNC_MIRROR_PASSWORD_FILE": str(program.password_file)}
    usual = program.environment

    def code(environment: dict[str, str], *, password: bool = False) -> int:
        program.environment = usual | environment
        result = program.sync("-v", password=password)
        assert PASSWORD not in result.out + result.err
        touch(program.source / "file", int((program.source / "file").stat().st_mtime) + 1)
        return result.code

    assert code({}) == 2
    assert code(right) == 0
    assert code(by_file) == 0
    assert code(wrong, password=True) == 0
    netrc = write(program.home / ".netrc", f"machine 127.0.0.1 login {USER} password {PASSWORD}\n", mode=0o600)
    assert code({}) == 0
    assert code(wrong) == 3
    program.url = program.url.replace(f"{USER}@", "")
    assert code({}) == 0
    netrc.unlink()
    elsewhere = write(program.home / "elsewhere", f"machine 127.0.0.1 login {USER} password {PASSWORD}\n", mode=0o600)
    assert code({"NETRC": str(elsewhere)}) == 0


# Wrong use.


@pytest.mark.few(10)
@on_one_server
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["SOURCE", "ftp://tester:s3cret-Pass@127.0.0.1:PORT/"], "password"),
        (["SOURCE", "ftp://tester:@127.0.0.1:PORT/"], "password"),
        (["SOURCE", "ftp://tester:s3cret-Pass@127.0.0.1:notaport/"], "port"),
        (["SOURCE", "ftp://tester:s3cret-Pass@[127.0.0.1:PORT/"], ""),
        (["SOURCE", "tester:s3cret-Pass@127.0.0.1"], "ftpes://user@host"),
        (["SOURCE", "http://127.0.0.1/"], "ftpes://"),
        (["SOURCE", "ftp://tester@/"], "host"),
        (["SOURCE", "ftp://tester@127.0.0.1:PORT/a/../b"], r"\.\."),
        (["SOURCE", "ftp://tester@127.0.0.1:PORT/a%0d%0aDELE%20b"], "control character"),
        (
            ["--multi", "X9", "SOURCE", "URL"],
            r"invalid mode 'X9': use A .*, A<n>, T<n> .*, P<n> .*, T, P .* or S .* 1 to 256",
        ),
        (["--multi", "A0", "SOURCE", "URL"], "invalid mode"),
        (["--multi", "t257", "SOURCE", "URL"], "invalid mode"),
        (["--multi", "P-1", "SOURCE", "URL"], "invalid mode"),
        (["--multi", "S2", "SOURCE", "URL"], "invalid mode"),
        (["--multi", "", "SOURCE", "URL"], "invalid mode"),
        (["--max-connections", "0", "SOURCE", "URL"], "max-connections"),
        (["--bwlimit", "fast", "SOURCE", "URL"], "rate"),
        (["--every", "soon", "SOURCE", "URL"], "interval"),
        (["--every", "0", "SOURCE", "URL"], "interval"),
        (["--timeout", "-1", "SOURCE", "URL"], "interval"),
        (["--max-delete", "most", "SOURCE", "URL"], "limit"),
        (["--max-delete", "101%", "SOURCE", "URL"], "limit"),
        (["--max-depth", "0", "SOURCE", "URL"], "max-depth"),
        (["--retries", "-1", "SOURCE", "URL"], "retries"),
        (["--exclude-ext", "a.b", "SOURCE", "URL"], "extension"),
        (["--exclude", "a[z-a]", "SOURCE", "URL"], ""),
        (["--password-file", "/nonexistent", "SOURCE", "URL"], "password file"),
        (["--nonsense", "SOURCE", "URL"], "--nonsense"),
        (["SOURCE"], "DESTINATION"),
        (["SOURCE/file", "URL"], "is not a folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_use_is_told_in_one_line(program: Program, arguments: list[str], said: str) -> None:
    program.write("file", "content")
    texts = {"SOURCE": str(program.source), "URL": program.url, "PORT": str(program.server.port)}
    usual: list[str | Path] = ["--once", "--password-file", program.password_file, "--state-dir", program.state]
    filled = [re.sub("|".join(texts), lambda found: texts[found[0]], argument) for argument in arguments]
    result = program.run("sync", *usual, *filled)
    assert (result.code, result.out) == (2, "")
    assert len(result.err.splitlines()) == 1
    assert re.search(said, result.err)
    assert PASSWORD not in result.err
    assert not program.state.exists()
    assert program.server.connections() == 0


# Trouble with the server.


def test_server_that_is_down_is_no_connection(server_factory: ServerFactory, tmp_path: Path) -> None:
    program = Program(tmp_path, server_factory("vsftpd"))
    program.write("file", "content")
    program.server.stop()
    result = program.sync("--retries", "0")
    assert result.code == 4
    assert f"127.0.0.1:{program.server.port}" in result.err
    assert "Traceback" not in result.err
    program.server.start()
    mirrored(program)


@pytest.mark.parametrize("multi", ["A8", "T6", "P5"])
@pytest.mark.parametrize("kind", REAL)
def test_fewer_clients_than_wanted_mirror_everything_and_the_limit_is_kept_in_mind(
    server_factory: ServerFactory, tmp_path: Path, kind: RealKind, multi: str
) -> None:
    program = Program(tmp_path, server_factory(kind, max_per_ip=3))
    for number in range(200):
        program.write(f"folder {number % 3}/{number}", "x" * number * 30)
    program.server.mark()
    result = program.sync("--multi", multi)
    assert (result.code, "failed" in result.err) == (0, False), result.err
    assert "the server allows only 3 connections" in result.err
    assert tree(program.site) == tree(program.source)
    eventually(lambda: program.server.session_pids() == [], "all sessions have ended")
    for number in range(200):
        touch(program.source / f"folder {number % 3}/{number}", MTIME + DAY)
    result = program.sync("--multi", multi)
    assert result.code == 0, result.err
    assert "the server allows only" not in result.err
    assert program.server.connections() <= 3
    assert tree(program.site) == tree(program.source)


@pytest.mark.few(2)
@in_all_modes
def test_later_passes_get_along_with_three_clients(server_factory: ServerFactory, tmp_path: Path, multi: str) -> None:
    kind: RealKind = REAL[MODES.index(multi) % len(REAL)]
    program = Program(tmp_path, server_factory(kind, max_per_ip=3))
    with program.started("--every", "1s", "--multi", multi) as running:
        for generation in range(3):
            for number in range(20):
                program.write(f"{number}", f"generation {generation} of {number}", MTIME + generation)
            eventually(lambda: is_mirrored(program), "the site is equal")
        assert running.end(signal.SIGTERM, within_seconds=10) == 143
    assert "failed" not in running.said
    assert program.server.session_pids() == []


def is_mirrored(program: Program) -> bool:
    """Tell whether the site is equal, while it may be changing."""
    with contextlib.suppress(FileNotFoundError):
        return contents(program.site) == contents(program.source)
    return False


def children_of(pid: int) -> list[int]:
    """List the processes that another one started, but for what the language's library has for itself."""
    found = [int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()]
    return [child for child in found if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


@pytest.mark.few(1)
@pytest.mark.parametrize("kind", REAL)
def test_process_that_is_killed_in_the_middle_costs_no_file(
    server_factory: ServerFactory, tmp_path: Path, kind: RealKind
) -> None:
    program = Program(tmp_path, server_factory(kind, options=SLOWLY[kind]))
    program.write("small", b"x")
    assert program.sync().code == 0, "from now on it is known that this server sets times"
    for number in range(9):
        program.write(f"{number}", bytes([number]) * 3_000_000)
    with program.started("--once", "--multi", "P3") as running:
        eventually(lambda: len(under_way(program)) == 3, "three files are under way")
        victim, *others = children_of(running.pid)
        assert len(others) == 2
        os.kill(victim, signal.SIGKILL)
        assert running.wait() == 0, running.said
    assert tree(program.site) == tree(program.source)
    assert len(program.commands("STOR")) == 1 + 9 + 1
    assert names(program.site) == names(program.source)
    assert program.sync().code == 0
    assert program.server.connections() == 0


@pytest.mark.exhaustive
def test_the_wish_for_a_pass_ends_no_process_that_hears_of_it_too(
    server_factory: ServerFactory, tmp_path: Path
) -> None:
    program = Program(tmp_path, server_factory("vsftpd", options=SLOWLY["vsftpd"]))
    write_big(program)
    with program.started("--once", "--multi", "P1") as running:
        eventually(lambda: is_under_way(program), "the big file is under way")
        for process in (running.pid, *children_of(running.pid)):
            os.kill(process, signal.SIGUSR1)
        assert running.wait() == 0, running.said
    assert len(program.commands("STOR")) == 1


def test_attempt_that_follows_a_death_has_a_temporary_of_its_own(server_factory: ServerFactory, tmp_path: Path) -> None:
    """The server's process for the connection that is gone may still rename what had the old name."""
    program = Program(tmp_path, server_factory("vsftpd", options=SLOWLY["vsftpd"]))
    program.write("large", b"x" * 3_000_000)
    with program.started("--once", "--multi", "P1") as running:
        eventually(lambda: is_under_way(program), "the file is under way")
        (worker,) = children_of(running.pid)
        os.kill(worker, signal.SIGKILL)
        assert running.wait() == 0, running.said
    stored = program.commands("STOR")
    assert len(stored) == len(set(stored)) == 2


@pytest.mark.exhaustive
def test_new_run_begins_only_when_the_processes_of_a_killed_one_are_gone(
    server_factory: ServerFactory, tmp_path: Path
) -> None:
    program = Program(tmp_path, server_factory("vsftpd", options=SLOWLY["vsftpd"]))
    write_big(program)
    program.write("small", "content")
    with program.started("--once", "--multi", "P2") as running:
        eventually(lambda: is_under_way(program), "the big file is under way")
        workers = children_of(running.pid)
        for worker in workers:
            os.kill(worker, signal.SIGSTOP)
        os.kill(running.pid, signal.SIGKILL)
    result = program.sync()
    assert (result.code, program.commands("USER")) == (6, [])
    assert f"process {running.pid}" in result.err
    for worker in workers:
        os.kill(worker, signal.SIGCONT)
    program.write("big", "small now")
    mirrored(program)
    assert not any(map(lives, workers))


@pytest.mark.exhaustive
def test_adaptive_run_keeps_to_what_the_server_allows_and_another_source_profits(
    server_factory: ServerFactory, tmp_path: Path
) -> None:
    program = Program(tmp_path, server_factory("vsftpd", max_per_ip=3, options=SLOWLY["vsftpd"]))
    write_many_large(program)
    first = program.sync("--multi", "A")
    assert (first.code, "failed" in first.err) == (0, False), first.err
    assert tree(program.site) == tree(program.source)
    assert "the server allows only 3 connections" in first.err
    (tmp_path / "other").mkdir()
    other = Program(tmp_path / "other", program.server)
    other.state = program.state
    other.url += "other/"
    write_many_large(other)
    second = other.sync("--multi", "A")
    assert second.code == 0, second.err
    assert "the server allows only" not in second.err
    assert program.server.connections() <= 3
    assert tree(program.site / "other") == tree(other.source)
    learned = sqlite3.connect(program.state / "hosts.db")
    account = f"account {USER}@127.0.0.1:{program.server.port}"
    assert dict(learned.execute("SELECT name, value FROM known WHERE of = ?", (account,)))["most connections"] == 3
    learned.close()


@pytest.mark.exhaustive
def test_adaptive_run_adds_connections_as_long_as_they_help_and_no_more_than_it_may(
    server_factory: ServerFactory, tmp_path: Path
) -> None:
    program = Program(tmp_path, server_factory("vsftpd", options=SLOWLY["vsftpd"]))
    write_many_large(program)
    mirrored(program, "--multi", "A", "--max-connections", "4")
    assert 2 < program.server.connections() <= 4


def write_many_large(program: Program) -> None:
    """Write so much that a slow server is busy for some seconds, on disk nothing at all."""
    for number in range(80):
        path = program.write(f"{number}")
        os.truncate(path, 1_000_000)
        touch(path, MTIME)


@pytest.mark.few(2)
@on_one_server
@in_all_modes
def test_bytes_leave_no_faster_than_they_may_over_all_connections(program: Program, multi: str) -> None:
    for number in range(12):
        program.write(f"{number}", b"x" * 50_000)
    begun = time.monotonic()
    mirrored(program, "--multi", multi, "--bwlimit", "300K")
    assert time.monotonic() - begun > 12 * 50_000 / 300_000 - 0.2


@pytest.mark.exhaustive
@on_one_server
def test_all_modes_end_in_the_same_tree_state_and_summary(program: Program) -> None:
    fill(program)
    write_by_name(program, KEPT_BY_ALL)
    ends = [outcome_of(program, multi) for multi in MODES]
    assert all(end == ends[0] for end in ends)
    assert ends[0].rows


class End(NamedTuple):
    """All that is left of a run."""

    tree: dict[bytes, Node]
    rows: list[tuple[object, ...]]
    pending: list[tuple[object, ...]]
    summaries: list[str]


def outcome_of(program: Program, multi: str) -> End:
    """Mirror a source to an empty site, change it, mirror it again and change it back."""
    program.server.reset()
    shutil.rmtree(program.state, ignore_errors=True)
    summaries = []
    for step in range(2):
        result = program.sync("--multi", multi, "--max-delete", "100%")
        assert result.code == 0, result.err
        summaries.append(
            re.sub(r".*  pass: |,? \d+ connections?|,? in [\d.]+ \w+|[\d.,]+ \w?B/s", "", summary(result.err))
        )
        if step == 0:
            (program.source / "index.html").rename(program.source / "home.html")
            program.write("private", "another secret", mode=0o640)
            (program.source / "img").rename(program.source / "gone")
    with closing(sqlite3.connect(state_file(program))) as state:
        kept = ", ".join(column for column in HELD.columns if column != "ctime_ns")
        rows = sorted(state.execute(f"SELECT {kept} FROM held").fetchall())
        times = {
            os.path.join(folder, name): ctime_ns
            for folder, name, ctime_ns in state.execute("SELECT folder, name, ctime_ns FROM held WHERE kind = 1")
        }
        pending = state.execute("SELECT * FROM pending").fetchall()
    end = End(tree(program.site), rows, pending, summaries)
    assert end.tree == tree(program.source)
    assert times == {path: os.stat(os.path.join(bytes(program.source), path)).st_ctime_ns for path in times}
    (program.source / "home.html").rename(program.source / "index.html")
    program.write("private", "a secret", mode=0o600)
    (program.source / "gone").rename(program.source / "img")
    return end


def test_folder_that_somebody_removed_is_made_again_with_all_that_was_in_it(program: Program) -> None:
    program.write("top/unchanged", "content")
    program.write("top/deep/changed", "before")
    program.write("top/deep/unchanged", "content")
    program.write("other/file", "content")
    mirrored(program)
    shutil.rmtree(program.site / "top")
    program.write("top/deep/changed", "before and after")
    mirrored(program)


@on_one_server
@in_both_modes
@pytest.mark.parametrize("change", ["file added", "folder added", "file renamed", "mode of file", "mode of folder"])
def test_folder_that_somebody_removed_is_made_again_whatever_changes_in_it(
    program: Program, multi: str, change: str
) -> None:
    program.write("top/unchanged", "content")
    program.write("top/deep/file", "content")
    mirrored(program, "--multi", multi)
    shutil.rmtree(program.site / "top")
    deep = program.source / "top/deep"
    match change:
        case "file added":
            write(deep / "added", "content")
        case "folder added":
            write(deep / "added/file", "content")
        case "file renamed":
            (deep / "file").rename(deep / "under a new name")
        case "mode of file":
            (deep / "file").chmod(0o600)
        case "mode of folder":
            deep.chmod(0o700)
    mirrored(program, "--multi", multi)


@on_one_server
def test_file_that_somebody_removed_is_no_trouble(program: Program) -> None:
    for name in ("changed", "renamed", "removed", "moded"):
        program.write(name, f"content of {name}")
    mirrored(program)
    for name in contents(program.source):
        (program.site / name).unlink()
    program.write("changed", "other content")
    (program.source / "renamed").rename(program.source / "under a new name")
    (program.source / "removed").unlink()
    (program.source / "moded").chmod(0o600)
    mirrored(program)


def test_site_root_that_somebody_removed_is_made_again(program: Program) -> None:
    program.url += "www"
    fill(program)
    assert program.sync().code == 0
    shutil.rmtree(program.site / "www")
    program.write("index.html", "<h1>Welcome back</h1>")
    assert program.sync().code == 0
    assert tree(program.site / "www") == tree(program.source)


# Running on.


def test_later_passes_bring_later_changes_even_after_the_server_was_down(
    server_factory: ServerFactory, tmp_path: Path
) -> None:
    program = Program(tmp_path, server_factory("vsftpd"))
    program.write("first", "content")
    with program.started("--every", "1s", "--retries", "0") as running:
        running.wait_for("pass: uploaded 1 file")
        program.write("second", "content")
        running.wait_for("pass: uploaded 1 file")
        assert contents(program.site) == contents(program.source)
        program.server.stop()
        program.write("third", "content")
        running.wait_for("error ")
        running.wait_for("next pass in")
        program.server.start()
        running.wait_for("pass: uploaded 1 file")
        assert contents(program.site) == contents(program.source)


@on_one_server
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signal_between_passes_ends_it_at_once(program: Program, number: signal.Signals, code: int) -> None:
    program.write("file", "content")
    with program.started("--every", "1h") as running:
        running.wait_for("next pass in")
        assert running.end(number, within_seconds=2) == code
    mirrored(program)


AT_HOME = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
"""Runs a command at a terminal that is its own, not only its input."""


def test_end_of_the_terminal_ends_it(program: Program) -> None:
    program.write("file", "content")
    argv = [sys.executable, "-c", AT_HOME, *PROGRAM, *program.arguments("--every", "1h", "--no-progress")]
    with at_terminal(argv, program.environment) as terminal:
        terminal.wait_for(b"next pass in")
        terminal.process.send_signal(signal.SIGHUP)
        assert terminal.end() == 129


@on_one_server
def test_sigusr1_brings_a_pass_at_once(program: Program) -> None:
    program.write("first", "content")
    with program.started("--every", "1h") as running:
        running.wait_for("next pass in")
        program.write("second", "content")
        os.kill(running.pid, signal.SIGUSR1)
        running.wait_for("pass: uploaded 1 file.* next pass in")
        assert running.end(signal.SIGTERM, within_seconds=5) == 143
    mirrored(program)


def test_server_that_is_down_does_not_end_it_and_a_signal_does(server_factory: ServerFactory, tmp_path: Path) -> None:
    program = Program(tmp_path, server_factory("vsftpd"))
    program.write("file", "content")
    program.server.stop()
    with program.started("--every", "1h", "--retries", "0") as running:
        running.wait_for("error ")
        running.wait_for("next pass in")
        assert running.end(signal.SIGTERM, within_seconds=2) == 143


SLOW_BYTES_PER_S = 4_000_000
SLOWLY = {
    "vsftpd": {"local_max_rate": SLOW_BYTES_PER_S},
    "proftpd": {"TransferRate": f"APPE,STOR {SLOW_BYTES_PER_S // 1000}"},
    "pure-ftpd": {"-T": f"{SLOW_BYTES_PER_S // 1000}:"},
}


def write_big(program: Program) -> None:
    """Write a file that takes a slow server over a minute, on disk nothing at all."""
    os.truncate(program.write("big"), 300_000_000)
    touch(program.source / "big", MTIME)


def under_way(program: Program) -> list[Path]:
    """List the temporaries that something has arrived in."""
    with contextlib.suppress(FileNotFoundError):
        return [path for path in program.site.glob(".am-*.part") if path.stat().st_size > 0]
    return []


def is_under_way(program: Program) -> bool:
    return bool(under_way(program))


@pytest.mark.few(2)
@pytest.mark.parametrize(
    ("multi", "kind"), [*(("A", kind) for kind in REAL), *zip(MODES, (*REAL, REAL[0]), strict=True)]
)
def test_signal_in_an_upload_ends_it_soon_and_leaves_nothing_half(
    server_factory: ServerFactory, tmp_path: Path, kind: RealKind, multi: str
) -> None:
    program = Program(tmp_path, server_factory(kind, options=SLOWLY[kind]))
    program.write("small", "content")
    mirrored(program)
    write_big(program)
    with program.started("--multi", multi) as running:
        eventually(lambda: is_under_way(program), "the big file is under way")
        workers = children_of(running.pid)
        assert bool(workers) is multi.startswith("P")
        assert running.end(signal.SIGTERM, within_seconds=10) == 143
        eventually(lambda: not any(map(lives, workers)), "no process of it is left", 2)
    assert names(program.site) == {"small"}


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.few(1)
@in_all_modes
def test_signal_while_the_server_hangs_ends_it_soon_and_the_next_pass_cleans_up(
    server_factory: ServerFactory, tmp_path: Path, multi: str
) -> None:
    program = Program(tmp_path, server_factory("vsftpd", options=SLOWLY["vsftpd"]))
    write_big(program)
    with program.started("--multi", multi) as running:
        eventually(lambda: is_under_way(program), "the big file is under way")
        program.server.freeze()
        assert running.end(signal.SIGTERM, within_seconds=10) == 143
    assert is_under_way(program)
    program.server.thaw()
    program.write("big", "small now")
    mirrored(program)


@pytest.mark.few(2)
@in_all_modes
def test_second_signal_ends_it_at_once(server_factory: ServerFactory, tmp_path: Path, multi: str) -> None:
    program = Program(tmp_path, server_factory("vsftpd", options=SLOWLY["vsftpd"]))
    write_big(program)
    with program.started("--multi", multi) as running:
        eventually(lambda: is_under_way(program), "the big file is under way")
        program.server.freeze()
        os.kill(running.pid, signal.SIGTERM)
        running.wait_for("cleaning up")
        assert running.end(signal.SIGINT, within_seconds=2) == 130
    program.server.thaw()
    program.write("big", "small now")
    mirrored(program)
