"""What goes wrong while the source keeps changing, so that no attempt finds what the one before found.

The rows are those of docs/faults.md. `tests/histories/run sweep` does the same at every command, in virtual time.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from faults import reactions
from faults.reactions import ALWAYS
from faults.scripted import Exchange, Reaction, ScriptedServer
from servers import REAL, FtpServer, RealKind, ServerFactory
from support.mirror import Mirror, Ran, assert_mirrored, assert_same, count, temporaries_of, with_memory
from support.program import MTIME, PROGRAM, Program, eventually, names, tree, write

OLD, NEW, ALIKE, LONGER = "the old page", "the new page", "another page", "a page that is longer than all the others"
PAGE = "folder/page.txt"


def _rewrite_alike(source: Path) -> None:
    """Write another content of the same size and date."""
    write(source / PAGE, ALIKE, MTIME + 5)


def _rewrite(source: Path) -> None:
    write(source / PAGE, LONGER, MTIME + 9)


def _go_back(source: Path) -> None:
    """Write the old version, with its date: time goes backwards."""
    write(source / PAGE, OLD)


def _remove(source: Path) -> None:
    (source / PAGE).unlink()


def _rename(source: Path) -> None:
    (source / PAGE).rename(source / "folder/other.txt")


def _change_case(source: Path) -> None:
    (source / PAGE).rename(source / "folder/PAGE.TXT")


def _swap(source: Path) -> None:
    (source / PAGE).rename(source / "between")
    (source / "folder/twin.txt").rename(source / PAGE)
    (source / "between").rename(source / "folder/twin.txt")


def _become_a_folder(source: Path) -> None:
    (source / PAGE).unlink()
    write(source / PAGE / "inside.txt", OLD)


def _move_the_folder(source: Path) -> None:
    (source / "folder").rename(source / "elsewhere")


CHANGES = {
    "rewritten alike": _rewrite_alike,
    "rewritten": _rewrite,
    "as it was": _go_back,
    "gone": _remove,
    "renamed": _rename,
    "in other case": _change_case,
    "swapped": _swap,
    "a folder": _become_a_folder,
    "elsewhere with its folder": _move_the_folder,
}
FAULTS: dict[str, tuple[str, Reaction]] = {
    "STOR is lost": ("STOR", reactions.close_before_performing),
    "226 is lost": ("STOR", reactions.close_before_replying),
    "data are cut": ("STOR", reactions.close_data_after(4)),
    "RNTO is lost": ("RNTO", reactions.close_before_performing),
    "250 is lost": ("RNTO", reactions.close_before_replying),
}


def changing(reaction: Reaction, act: Callable[[], object]) -> Reaction:
    """React, once the source was changed."""

    def react(exchange: Exchange) -> None:
        act()
        reaction(exchange)

    return react


def settled(mirror: Mirror, server: ScriptedServer, *options: str) -> Ran:
    """Run passes until one mirrors all, three at the most, and see that nothing but the source is on the site."""
    for _ in range(3):
        ran = mirror.run(*options)
        if ran.code == 0:
            break
    assert ran.code == 0, ran.said
    assert_mirrored(mirror, server, *options)
    assert not temporaries_of(server)
    return ran


# Rows 9, 10, 13, 26, 46, 49, 52, 53.
@pytest.mark.few(6)
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(
    ("fault", "replaces"),
    [*((fault, True) for fault in FAULTS), *((fault, False) for fault in ("RNTO is lost", "250 is lost"))],
    ids=lambda each: {True: "over", False: "in steps"}.get(each, each),
)
def test_a_source_that_changes_between_two_attempts_is_right_in_the_end(
    mirror: Mirror, server: ScriptedServer, fault: str, change: str, replaces: bool
) -> None:
    verb, reaction = FAULTS[fault]
    mirror.write(PAGE, OLD)
    mirror.write("folder/twin.txt", "of same size", MTIME + 5)
    assert mirror.run().code == 0
    mirror.write(PAGE, NEW, MTIME + 5)
    act = changing(reaction, lambda: CHANGES[change](mirror.source))
    cue = server.on(verb, act, when=lambda exchange: b"/folder/" in exchange.path)
    if not replaces:
        server.on("RNTO", reactions.refuse_existing_target, times=ALWAYS)
    mirror.run("--multi", "S")
    assert cue.reached.is_set()
    settled(mirror, server, "--multi", "A4")
    versions = {None, *(each.encode() for each in (OLD, NEW, ALIKE, LONGER, "of same size"))}
    seen = {content for path, all_ in server.history.items() if b".am-" not in path for content in all_}
    assert seen <= versions, "torn"


# Row 63: the names that servers and shells give a meaning to.
@pytest.mark.few(4)
@pytest.mark.parametrize("name", ['q"q"', "back\\slash", "*", "[a]", "~home", "-l", " before", "after ", "a  b", "%2F"])
def test_a_name_with_a_meaning_elsewhere_is_right_when_its_reply_is_lost(
    mirror: Mirror, server: ScriptedServer, name: str
) -> None:
    for each in (name, f"in {name}/file"):
        mirror.write(each, OLD)
    assert mirror.run().code == 0
    mirror.write(name, NEW, MTIME + 5)
    (mirror.source / f"in {name}").rename(mirror.source / f"was {name}")
    act = changing(reactions.close_before_replying, lambda: mirror.write(name, LONGER, MTIME + 9))
    cue = server.on("RNTO", act, when=lambda exchange: exchange.path == b"/" + name.encode())
    mirror.run("--multi", "S")
    assert cue.reached.is_set()
    settled(mirror, server)


# Row 25.
@pytest.mark.parametrize("verb", ["MLSD", "MLST", "EPSV", "SIZE", "MFMT", "SITE"])
@pytest.mark.parametrize("reply", [b"500 Unknown command.", b"502 Not implemented."])
def test_a_command_that_is_lacking_keeps_no_later_change_from_the_site(
    mirror: Mirror, server: ScriptedServer, verb: str, reply: bytes
) -> None:
    for each in (PAGE, "folder/twin.txt", "gone.txt", "from.txt"):
        mirror.write(each, f"{OLD} {each}")
    server.on(verb, reactions.say(reply), times=ALWAYS)
    assert mirror.run().code == 0
    mirror.write(PAGE, NEW, MTIME + 5)
    _swap(mirror.source)
    (mirror.source / "gone.txt").unlink()
    (mirror.source / "from.txt").rename(mirror.source / "to.txt")
    (mirror.source / "to.txt").chmod(0o600)
    ran = mirror.run()
    assert ran.code == 0, ran.said
    found = {path: content for path, (content, _, _) in server.files.items()}
    assert found == {
        b"/" + os.fsencode(path.relative_to(mirror.source)): path.read_bytes()
        for path in mirror.source.rglob("*")
        if path.is_file()
    }
    assert len(re.findall("this server does not", ran.said)) <= 1


# Row 21: a mirror that stays, and whose password was changed.
def test_a_login_that_is_refused_later_is_not_tried_again_soon(mirror: Mirror, server: ScriptedServer) -> None:
    mirror.write("first.txt", "content")
    changed = threading.Event()
    server.on("PASS", reactions.say(b"530 Login incorrect."), times=ALWAYS, when=lambda _: changed.is_set())
    with mirror.start("--every", "1s", "--multi", "A4", stays=True) as process:
        assert process.stdout
        assert any("next pass in" in line for line in process.stdout)
        changed.set()
        for number in range(30):
            mirror.write(f"{number}.txt", "content")
        last = next(line for line in process.stdout if "servers lock accounts" in line)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert "incomplete: 0 of 30 uploaded, 0 failed, 30 not attempted; " in last
    assert re.search(r"next pass in [2-5]m", last), "servers lock accounts"
    assert count(server, "PASS") == 2


# Row 61.
def test_a_sparse_file_above_4_gib_is_told_to_the_byte_in_bounded_memory(
    mirror: Mirror, server: ScriptedServer
) -> None:
    size = 5 * 2**30 + 1
    os.truncate(mirror.write("sparse.bin", ""), size)
    ran = mirror.run("--dry-run", "--json", before=with_memory(400))
    assert ran.code == 0, ran.said
    assert f'"source_bytes": {size}' in ran.said
    assert f'"uploaded_bytes": {size}' in ran.said


# Row 65.
def test_a_hundred_levels_are_made_and_removed(mirror: Mirror, server: ScriptedServer) -> None:
    levels = 100
    bottom = mirror.source / "/".join("d" * levels)
    bottom.mkdir(parents=True)
    mirror.write("stays.txt", "content")
    ran = mirror.run("--multi", "A4")
    assert ran.code == 0, ran.said[-2000:]
    assert max(path.count(b"/") for path in server.folders) == levels
    shutil.rmtree(mirror.source / "d")
    ran = mirror.run("--multi", "A4")
    assert ran.code == 0, ran.said[-2000:]
    assert len(server.folders) == 1


# Row 70.
@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--max-delete", "many"], 2),
        (["--timeout", "0"], 2),
        (["--tls", "off", "--insecure"], 2),
        (["--client-key", "/nowhere"], 2),
        (["--config", "/nowhere.toml"], 2),
        (["--log-file", "/nowhere/log"], 2),
        (["--exclude-from", "/nowhere"], 2),
    ],
)
def test_a_wrong_configuration_ends_it_before_it_connects(
    mirror: Mirror, server: ScriptedServer, options: list[str], code: int
) -> None:
    mirror.write("file", "content")
    assert mirror.run(*options).code == code
    assert (server.connections, mirror.state.exists()) == (0, False)


# Row 70: what was mirrored to another folder, or from another source, is not known to this mirror.
def test_another_destination_or_source_removes_nothing_of_the_first(
    tmp_path: Path, mirror: Mirror, server: ScriptedServer
) -> None:
    for number in range(4):
        mirror.write(f"{number}.txt", f"content {number}")
    assert mirror.run().code == 0
    first = dict(server.files)
    other = tmp_path / "other"
    other.mkdir()
    second = Mirror(other, server.port, "second")
    second.state = mirror.state
    second.write("new.txt", "new")
    assert second.run().code == 0
    for path in mirror.source.iterdir():
        path.rename(second.source / path.name)
    assert second.run().code == 0
    assert {path: server.files[path] for path in first} == first
    assert mirror.run().code == 5, "its source is empty now, and nothing is removed for that"
    assert {path: server.files[path] for path in first} == first


# Row 8: what was written last before the power went may be missing, or garbage.
@pytest.mark.parametrize("lost", ["nothing", "the last page", "half", "its last byte", "all", "garbage at the end"])
def test_a_state_that_lost_what_was_written_last_is_readable_or_set_aside(
    mirror: Mirror, server: ScriptedServer, lost: str
) -> None:
    for number in range(20):
        mirror.write(f"folder/{number}.txt", f"content {number}")
    mirror.write("stays.txt", "content")
    assert mirror.run().code == 0
    for number in range(20):
        mirror.write(f"folder/{number}.txt", f"content {number}, changed", MTIME + 5)
    killed = threading.Event()
    act = changing(reactions.stay_silent, killed.set)
    server.on("RNTO", act, when=lambda _: count(server, "RNTO") > 25)
    process = mirror.start("--multi", "A2", "--timeout", "60s")
    assert killed.wait(60)
    process.kill()
    process.communicate(timeout=30)
    (log,) = mirror.state.glob("*.sqlite3-wal")
    content = log.read_bytes()
    assert len(content) > WAL_PAGE
    kept = {
        "nothing": content,
        "the last page": content[:-WAL_PAGE],
        "half": content[: len(content) // 2],
        "its last byte": content[:-1],
        "all": b"",
        "garbage at the end": content[:-WAL_PAGE] + b"\xa5" * WAL_PAGE,
    }
    log.write_bytes(kept[lost])
    for shared in mirror.state.glob("*-shm"):
        shared.unlink()  # it is in memory alone, and gone with the power
    before = {path for path in server.files if b".am-" not in path}
    ran = mirror.run()
    assert ran.code in {0, 6}, ran.said
    assert before <= set(server.files), "nothing is taken for gone from the source"
    if ran.code == 6:
        ran = mirror.run()
    assert ran.code == 0, ran.said
    assert {path: content for path, (content, _, _) in server.files.items() if b".am-" not in path} == {
        b"/" + os.fsencode(path.relative_to(mirror.source)): path.read_bytes()
        for path in mirror.source.rglob("*")
        if path.is_file()
    }


WAL_PAGE = 4096 + 24


# On the servers of the field.


@pytest.fixture
def program(real_server: FtpServer, tmp_path: Path) -> Program:
    return Program(tmp_path, real_server)


in_each_real = pytest.mark.parametrize("real_server", REAL, indirect=True)


# Row 27.
@in_each_real
def test_a_folder_that_may_not_be_written_fails_its_own_paths_alone(program: Program) -> None:
    for name in ("locked/old.txt", "locked/gone.txt", "open/old.txt"):
        program.write(name, OLD)
    assert program.sync().code == 0
    (program.site / "locked").chmod(0o555)
    try:
        for name in ("locked/old.txt", "locked/new.txt", "open/old.txt", "open/new.txt"):
            program.write(name, NEW, MTIME + 5)
        (program.source / "locked/gone.txt").unlink()
        result = program.sync("--no-perms")
        assert result.code == 1
        assert "locked/old.txt  refused by the server" in result.err
        assert {name for name in names(program.site) if name.startswith("locked/")} == {
            "locked/", "locked/old.txt", "locked/gone.txt",
        }  # fmt: skip
        assert (program.site / "locked/old.txt").read_text() == OLD
        assert {(program.site / f"open/{name}.txt").read_text() for name in ("old", "new")} == {NEW}
    finally:
        (program.site / "locked").chmod(0o755)
    assert program.sync().code == 0
    assert tree(program.site) == tree(program.source)


# Row 32.
@in_each_real
def test_what_others_put_into_a_folder_that_is_removed_stays_on_each_server(program: Program) -> None:
    for name in ("leaving/a.txt", "leaving/deep/b.txt", "stays.txt"):
        program.write(name, OLD)
    assert program.sync().code == 0
    write(program.site / "leaving/deep/theirs.txt", "theirs")
    program.server.adopt()
    shutil.rmtree(program.source / "leaving")
    result = program.sync("--max-delete", "100%")
    assert result.code == 0, result.err
    assert names(program.site) == {"leaving/", "leaving/deep/", "leaving/deep/theirs.txt", "stays.txt"}
    assert result.err.count("no longer managed)") == 2
    program.write("leaving/deep/b.txt", NEW)
    assert program.sync().code == 0
    assert names(program.site) >= {"leaving/deep/theirs.txt", "leaving/deep/b.txt"}


@contextmanager
def mounted(folder: Path, *how: str | Path) -> Iterator[None]:
    """Mount a small file system over a folder for a while, or whatever else."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", *(how or ("-t", "tmpfs", "-o", "size=1m,mode=755", "none")), folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


needs_mounts = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount a file system")


# Row 23.
@pytest.mark.exhaustive
@needs_mounts
@pytest.mark.parametrize("kind", REAL)
def test_a_disk_that_is_full_keeps_the_old_version_until_the_source_is_smaller(
    tmp_path: Path, server_factory: ServerFactory, kind: RealKind
) -> None:
    docroot = tmp_path / "docroot"
    with mounted(docroot):
        program = Program(tmp_path, server_factory(kind, docroot))
        program.write("page.bin", b"o" * 100_000)
        program.write("small.txt", OLD)
        assert program.sync().code == 0
        program.write("page.bin", b"n" * 2_000_000, MTIME + 5)
        program.write("small.txt", NEW, MTIME + 5)
        result = program.sync()
        assert result.code == 1, result.err
        assert (docroot / "page.bin").read_bytes() == b"o" * 100_000
        assert names(docroot) == {"page.bin", "small.txt"}, "no temporary is left"
        program.write("page.bin", b"s" * 50_000, MTIME + 9)
        result = program.sync()
        assert result.code == 0, result.err
        assert tree(docroot) == tree(program.source)
        program.server.stop()


# Row 56.
@needs_mounts
def test_what_was_mirrored_from_a_mount_stays_when_that_is_gone(mirror: Mirror, server: ScriptedServer) -> None:
    mirror.write("stays.txt", OLD)
    with mounted(mirror.source / "disk"):
        for number in range(3):
            mirror.write(f"disk/{number}.txt", f"content {number}")
        assert mirror.run().code == 0
        assert_same(mirror, server)
        before = dict(server.files)
    mirror.write("stays.txt", NEW, MTIME + 5)
    for options in ([], ["--max-delete", "100%"]):
        ran = mirror.run(*options)
        assert ran.code == 5, ran.said
        assert "disk is no longer a mount point" in ran.said
        assert {path: server.files[path] for path in before if path.startswith(b"/disk/")} == {
            path: content for path, content in before.items() if path.startswith(b"/disk/")
        }
    assert server.files[b"/stays.txt"][0] == NEW.encode()
    assert mirror.run("--allow-unmounted", "--max-delete", "100%").code == 0
    assert_same(mirror, server)


@needs_mounts
@pytest.mark.parametrize("where", ["", "disk"])
def test_what_was_mirrored_from_a_bind_mount_of_the_same_disk_stays_when_that_is_gone(
    where: str, mirror: Mirror, server: ScriptedServer, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (mirror.source / "stays").mkdir()
    (mirror.source / "stays/there").write_text("beneath the mount or beside it")
    with mounted(mirror.source / where, "--bind", elsewhere):
        for number in range(3):
            (elsewhere / f"{number}.txt").write_text(f"content {number}")
        assert mirror.run().code == 0
        assert_same(mirror, server)
        before = dict(server.files)
    ran = mirror.run("--max-delete", "100%")
    assert ran.code == 5, ran.said
    assert f"{where or 'the source'} is no longer a mount point" in ran.said
    assert before.items() <= server.files.items()
    assert mirror.run("--allow-unmounted", "--max-delete", "100%").code == 0
    assert_same(mirror, server)


@needs_mounts
def test_a_folder_that_is_bound_onto_itself_is_no_mount_that_could_be_missed(
    mirror: Mirror, server: ScriptedServer
) -> None:
    (mirror.source / "folder").mkdir()
    for folder in (mirror.source, mirror.source / "folder"):
        with mounted(folder, "--bind", folder):
            mirror.write("folder/gone", OLD)
            assert mirror.run("--max-delete", "100%").code == 0
            (mirror.source / "folder/gone").unlink()
            mirror.write("folder/stays", OLD)
        assert mirror.run("--max-delete", "100%").code == 0
        assert_same(mirror, server)


@needs_mounts
def test_nothing_is_deleted_when_a_bind_mount_goes_while_the_pass_runs(
    mirror: Mirror, server: ScriptedServer, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "content.txt").write_text(OLD)
    mirror.write("first.txt", OLD)
    with mounted(mirror.source / "disk", "--bind", elsewhere):
        assert mirror.run().code == 0
        (elsewhere / "content.txt").unlink()
        mirror.write("first.txt", NEW, MTIME + 5)
        reply = threading.Event()
        held = server.on("STOR", reactions.reply_after(reply))
        process = mirror.start("--max-delete", "100%")
        assert held.reached.wait(30)
    reply.set()
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 5, said
    assert "disk is no longer a mount point" in said
    assert b"/disk/content.txt" in server.files


# Row 7.
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make a namespace of processes")
@pytest.mark.parametrize("when", ["idle", "at work"])
def test_the_first_process_of_a_container_heeds_sigterm(tmp_path: Path, program: Program, when: str) -> None:
    program.write("file", b"x" * (1_000_000 if when == "at work" else 10))
    slow = ["--bwlimit", "10k"] if when == "at work" else []
    command = ["unshare", "--pid", "--fork", "--kill-child", *PROGRAM, *program.arguments("--every", "1h", "-v", *slow)]
    with subprocess.Popen(command, env=program.environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        assert any(("begun " if when == "at work" else "next pass in") in line for line in process.stderr)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGTERM)
        process.stderr.read()
        assert process.wait(15) == 143
    eventually(lambda: not [name for name in names(program.site) if ".am-" in name], "no temporary is left")
