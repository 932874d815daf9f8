"""No name, user, password or folder ends a command and begins another one, wherever it is from."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

import pytest
from faults import reactions
from faults.scripted import ScriptedServer
from servers import PASSWORD, USER
from support.here import Here
from support.mirror import Mirror, assert_same, contents, tree_of
from support.program import PROGRAM, at_terminal, write

from async_mirror.ftp.session import connect
from async_mirror.ftp.wire.control import Control
from async_mirror.model.secret import Secret
from async_mirror.model.site import Site
from async_mirror.remote.errors import Refusal

CANARY = "canary-Pass"
BREAKS = ("\r", "\n", "\r\n", "\0")
FORBIDDEN = re.compile("[\r\n\0]")


@pytest.fixture
def here(here: Here) -> Here:
    write(here.folder / "site/file", "content")
    return here


# What users write.


def refused(here: Here, server: ScriptedServer, *arguments: str | Path, **environment: str) -> str:
    """Return the one line that says no before there is a connection."""
    result = here.run("sync", "--once", *arguments, **environment)
    assert (result.code, result.out, server.connections) == (2, "", 0), result.err
    (line,) = result.err.splitlines()
    assert CANARY not in line
    assert "FTP cannot transmit" in line
    return line


def percent(text: str) -> str:
    return "".join(f"%{ord(character):02x}" for character in text)


@pytest.mark.parametrize("end", BREAKS, ids=percent)
def test_line_break_in_the_destination_is_refused_wherever_it_is_written(
    here: Here, server: ScriptedServer, end: str
) -> None:
    injected = f"{end}DELE file"
    port = server.port
    in_url = (f"ftp://me{percent(injected)}@127.0.0.1:{port}/", f"ftp://me@127.0.0.1:{port}/www{percent(injected)}")
    raw = (
        f"ftp://me{injected}@127.0.0.1:{port}/",
        f"ftp://me@127.0.0.1:{port}/www{injected}",
        f"127.0.0.1,me{injected},{CANARY},www,{port}",
        f"127.0.0.1,me,{CANARY}{injected},www,{port}",
        f"127.0.0.1,me,{CANARY},www{injected},{port}",
        f"127.0.0.1{injected},me,{CANARY},www,{port}",
    )
    for written in (*in_url, *([] if end == "\0" else raw)):
        refused(here, server, "site", DESTINATION=written, PASSWORD=PASSWORD)
        if "," not in written:
            refused(here, server, "site", written, PASSWORD=PASSWORD)
    for written in (*in_url, *raw):
        text = written.replace("\r", "\\r").replace("\n", "\\n").replace("\0", "\\u0000")
        here.write(f'source = "site"\ndestination = "{text}"', "file.toml")
        refused(here, server, "--config", "file.toml", PASSWORD=PASSWORD)


@pytest.mark.parametrize("end", BREAKS, ids=percent)
def test_line_break_in_the_password_is_refused_wherever_it_is_kept(
    here: Here, server: ScriptedServer, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"ftp://me@127.0.0.1:{server.port}/"
    secret = f"{CANARY}{end}DELE file"
    file = write(here.folder / "password", secret.encode(), mode=0o600)
    assert str(file) in refused(here, server, "site", url, "--password-file", file)
    refused(here, server, "site", url, PASSWORD_FILE=str(file))
    if end != "\0":
        assert "ASYNC_MIRROR_PASSWORD" in refused(here, server, "site", url, PASSWORD=secret)
    logins = write(here.folder / "netrc", f'machine 127.0.0.1 login me password "{secret}"\n', mode=0o600)
    monkeypatch.setenv("NETRC", str(logins))
    assert f"the password from {logins}" in refused(here, server, "site", url)


@pytest.mark.parametrize("end", BREAKS, ids=percent)
def test_line_break_in_the_user_of_the_logins_is_refused(
    here: Here, server: ScriptedServer, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f'machine 127.0.0.1 login "me{end}DELE file" password {CANARY}\n'
    logins = write(here.folder / "netrc", text, mode=0o600)
    monkeypatch.setenv("NETRC", str(logins))
    assert f"the user from {logins}" in refused(here, server, "site", f"ftp://127.0.0.1:{server.port}/")


def test_nul_that_is_typed_as_the_password_is_refused(tmp_path: Path, server: ScriptedServer) -> None:
    write(tmp_path / "site/file", "content")
    url = f"ftp://me@127.0.0.1:{server.port}/"
    command: list[str | Path] = [*PROGRAM, "sync", "--once", "--state-dir", tmp_path / "state", tmp_path / "site", url]
    with at_terminal(command, {"PATH": os.defpath, "HOME": str(tmp_path), "LANG": "C.UTF-8"}) as terminal:
        terminal.type(CANARY.encode() + b"\x16\x00DELE file\n")  # ^V keeps the terminal from reading the NUL itself
        terminal.wait_for(b"FTP cannot transmit")
        assert terminal.end() == 2
    assert server.connections == 0
    assert CANARY.encode() not in terminal.said


TELNET = ("%ff%ff", "%ff%f4", "%ff%fb%01", "%ff%f0")


@pytest.mark.parametrize("pair", TELNET)
def test_what_a_server_may_take_for_telnet_is_refused_in_user_and_folder(
    here: Here, server: ScriptedServer, pair: str
) -> None:
    """ProFTPD takes such pairs out, and would make the mirror in a folder of another name."""
    for url in (f"ftp://m{pair}e@127.0.0.1:{server.port}/", f"ftp://me@127.0.0.1:{server.port}/a{pair}b/c"):
        refused(here, server, "site", url, PASSWORD=PASSWORD)


# What is in the source.


@pytest.mark.parametrize("multi", ["S", "A3", "T2", "P2"])
def test_line_break_in_a_name_is_told_and_nothing_else_suffers(
    mirror: Mirror, server: ScriptedServer, multi: str
) -> None:
    server.put(b"/injected", b"of others")
    good = ("page.html", "folder/page.html", "deep/er/page.html")
    bad = [f"a{end}DELE injected" for end in BREAKS[:3]] + ["\n", "\r", "folder/b\r\nRMD injected", "folder\nx/c/d"]
    for path in (*good, *bad):
        mirror.write(path, f"content of {path!r}")
    (mirror.source / "link\nx").symlink_to("page.html")
    ran = mirror.run("--multi", multi)
    assert ran.code == 1, ran.said
    assert {path.decode() for path in contents(tree_of(server))} == {*good, "injected"}
    for path in (*bad[:-1], "folder\nx"):
        told = re.escape(path.replace("\r", "\\x0d").replace("\n", "\\x0a"))
        assert re.search(rf"failed +'?{told}'?  invalid name for FTP: its name contains a line break", ran.said), (
            ran.said
        )
    assert "7 failed (invalid name for FTP)" in ran.said
    assert "1 not attempted" in ran.said
    assert_only_whole_commands(server)


def assert_only_whole_commands(server: ScriptedServer) -> None:
    """See that no line is the rest of a name, and none holds what would end it for another server."""
    assert server.commands()
    for line in server.commands():
        assert not FORBIDDEN.search(line), line
        assert not line.startswith(("DELE injected", "RMD injected", "x")), line


def test_file_that_gets_a_line_break_into_its_name_is_removed_under_the_old_one(
    mirror: Mirror, server: ScriptedServer
) -> None:
    mirror.write("stays", "stays")
    old = mirror.write("old", "content")
    mirror.write("folder/inside", "inside")
    assert mirror.run().code == 0
    old.rename(old.with_name("new\r\nDELE injected"))
    (mirror.source / "folder").rename(mirror.source / "folder\nx")
    mirror.write("stays", "stays, changed")
    ran = mirror.run("--max-delete", "100%")
    assert ran.code == 1, ran.said
    assert contents(tree_of(server)) == {b"stays": b"stays, changed"}
    assert_only_whole_commands(server)
    plan = mirror.run("--dry-run")
    assert plan.code == 1
    assert "2 failed (invalid name for FTP)" in plan.said


# What the server says.


@pytest.mark.parametrize("end", ["\r", "\0"], ids=percent)
def test_path_with_a_line_break_is_not_believed_to_be_where_we_are(
    mirror: Mirror, server: ScriptedServer, end: str
) -> None:
    server.put(b"/injected", b"of others")
    for name in ("~tilde", "-dash", " blank", "plain"):
        mirror.write(name, "content")
    server.on("PWD", reactions.say(f'257 "/{end}DELE injected"'.encode()), times=reactions.ALWAYS)
    ran = mirror.run()
    assert "internal error" not in ran.said
    assert_only_whole_commands(server)
    assert {path.decode() for path in contents(tree_of(server))} >= {"plain", "injected", "-dash"}


# Should all else fail.


class Wire(asyncio.Transport):
    """Takes what is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += data


@pytest.mark.parametrize("end", BREAKS, ids=percent)
def test_command_with_a_line_break_is_not_sent_nor_any_with_it(end: str) -> None:
    async def scenario() -> tuple[bytes, int]:
        control = Control(1.0)
        control.transport = wire = Wire()
        with pytest.raises(ValueError, match="CR, LF or NUL"):
            control.send("DELE a", f"DELE b{end}DELE c")
        return wire.sent, control.flow.in_flight

    assert asyncio.run(scenario()) == (b"", 0)


def test_session_survives_a_name_that_cannot_be_sent(server: ScriptedServer) -> None:
    async def scenario() -> None:
        site = Site("ftp", "127.0.0.1", server.port, USER, "")
        session = await connect(site, Secret(PASSWORD), timeout_seconds=5)
        with pytest.raises(ValueError, match="CR, LF or NUL"):
            await session.make_folder("a\r\nDELE b")
        with pytest.raises(Refusal):
            await session.rename("absent", "new")
        await session.make_folder("a")
        await session.close()

    asyncio.run(scenario())
    assert b"/a" in server.folders


def test_only_what_cannot_be_sent_is_left_out(mirror: Mirror, server: ScriptedServer) -> None:
    names = ("a\x0bb", "a\x0cb", "a\x85b", "a\u2028b", "a\x1bb", "a\tb")
    for name in names:
        mirror.write(name, "content")
    ran = mirror.run()
    assert ran.code == 0, ran.said
    assert_same(mirror, server)
