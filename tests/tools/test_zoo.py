"""The servers that few have tried have the traits for which they are here, on the wire; a raw socket is the client."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator

import pytest
from servers import PASSWORD, USER, FtpServer, KeptServer, Kind

SILENT_S = 0.5


class Session:
    """A control connection that is logged in."""

    def __init__(self, server: FtpServer) -> None:
        self.docroot = server.docroot
        self._host = server.host
        self.sock = socket.create_connection((server.host, server.port), 20)
        self._lines = self.sock.makefile("rb")
        self.reply()
        for command in (f"USER {USER}", f"PASS {PASSWORD}", "TYPE I"):
            self.ask(command)

    def reply(self) -> str:
        """Return the last line of the next reply."""
        while not re.match(rb"\d{3} ", line := self._lines.readline()):
            assert line, "the server has left"
        return line.decode("latin-1").removesuffix("\r\n")

    def send(self, *commands: str) -> None:
        """Send commands in one write."""
        self.sock.sendall("".join(command + "\r\n" for command in commands).encode())

    def ask(self, command: str) -> str:
        self.send(command)
        return self.reply()

    def is_silent(self) -> bool:
        self.sock.settimeout(SILENT_S)
        try:
            return not self.sock.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            return True
        finally:
            self.sock.settimeout(20)

    def data(self) -> socket.socket:
        """Connect to a fresh passive port."""
        self.send("PASV")
        return self.connect_to(self.reply())

    def connect_to(self, reply: str) -> socket.socket:
        """Connect to the port that an answer to PASV or EPSV names."""
        found = re.search(r"(?:\d,(\d+),|\|\|\|)(\d+)[|)]", reply)
        assert found, reply
        return socket.create_connection((self._host, int(found[1] or 0) * 256 + int(found[2])), 20)

    def store(self, path: str, content: bytes = b"content") -> str:
        with self.data() as data:
            opening = self.ask(f"STOR {path}")
            if opening.startswith("1"):
                data.sendall(content)
        return self.reply() if opening.startswith("1") else opening

    def listing(self, command: str) -> str:
        """Return what comes over the data connection, or the refusal."""
        with self.data() as data:
            opening = self.ask(command)
            if not opening.startswith("1"):
                return opening
            found = b"".join(iter(lambda: data.recv(65536), b""))
        assert self.reply().startswith("226")
        return found.decode("latin-1")


Open = Callable[[Kind], Session]


@pytest.fixture
def session(kept_server: KeptServer) -> Iterator[Open]:
    opened: list[Session] = []

    def open_on(kind: Kind) -> Session:
        opened.append(Session(kept_server(kind)))
        return opened[-1]

    yield open_on
    for each in opened:
        each.sock.close()


@pytest.mark.parametrize("kind", ["inetutils", "twisted", "ftp-srv"])
def test_several_commands_in_one_write_are_answered_in_order(kind: Kind, session: Open) -> None:
    client = session(kind)
    client.send("NOOP", "PWD", "NOOP")
    assert [client.reply()[:3] for _ in range(3)] == ["200", "257", "200"]


@pytest.mark.parametrize(
    ("kind", "reply"), [("nodeftpd", "202 Not supported"), ("simple-ftpd", '504 Unsupported type "I PWD NOOP".')]
)
def test_one_read_is_taken_for_one_command(kind: Kind, reply: str, session: Open) -> None:
    client = session(kind)
    client.send("TYPE I", "PWD", "NOOP")
    assert client.reply() == reply
    assert client.is_silent()


@pytest.mark.parametrize(("kind", "name"), [("nodeftpd", "f\r\nSIZE f"), ("simple-ftpd", "f SIZE f")])
def test_what_comes_behind_a_stor_becomes_part_of_the_name(kind: Kind, name: str, session: Open) -> None:
    client = session(kind)
    with client.data():
        client.send("STOR f", "SIZE f")
        client.reply()
    client.reply()
    assert [path.name for path in client.docroot.iterdir()] == [name]


@pytest.mark.parametrize("kind", ["ftp-srv", "nodeftpd", "simple-ftpd"])
def test_half_a_command_is_taken_for_one_when_it_comes_alone(kind: Kind, session: Open) -> None:
    client = session(kind)
    client.sock.sendall(b"PW")
    assert client.reply().startswith("502")
    client.sock.sendall(b"D\r\n")
    assert client.reply().startswith("502")


@pytest.mark.parametrize("command", ["EPSV", "PASV"])
def test_twisted_does_nothing_after_asking_for_a_port_until_somebody_connects(command: str, session: Open) -> None:
    client = session("twisted")
    client.send(command, "NOOP")
    opening = client.reply()
    assert client.is_silent()
    with client.connect_to(opening):
        assert client.reply().startswith("200")


def test_twisted_takes_every_command_between_rnfr_and_rnto_for_a_mistake(session: Open) -> None:
    client = session("twisted")
    assert client.ask("RNFR absent").startswith("350")
    assert client.ask("NOOP").startswith("503")
    assert client.ask("RNTO other").startswith("550")
    assert client.ask("NOOP").startswith("200")


def test_a_port_asked_for_ahead_is_void_on_ftp_srv_once_the_transfer_before_ends(session: Open) -> None:
    client = session("ftp-srv")
    with client.data() as data:
        client.send("LIST", "PASV")
        assert [client.reply()[:3] for _ in range(3)] == ["150", "226", "227"]
        assert b"".join(iter(lambda: data.recv(65536), b"")) == b"\r\n"
    assert client.ask("NOOP").startswith("200")  # by then it has closed the port of before, and the newest with it
    assert client.ask("STOR f") == "550 No connector setup, send PASV or PORT"


@pytest.mark.parametrize(
    ("kind", "replies"),
    [
        ("inetutils", {"SIZE nix": "550 nix: not a plain file.", "MLST nix": "500", "RNFR nix": "550"}),
        ("twisted", {"SIZE nix": "550 ['nix']: No such file or directory.", "MLST nix": "502", "RNFR nix": "350"}),
        ("ftp-srv", {"SIZE nix": "550 ENOENT", "DELE nix": "550 ENOENT", "RNFR nix": "550", "MLST nix": "502"}),
        (
            "nodeftpd",
            {
                "SIZE nix": "450 Failed to get size of file",
                "DELE nix": "550 Permission denied",
                "RNFR nix": "350",
                "RMD nix": "550 Delete operation failed",
            },
        ),
        ("simple-ftpd", {"SIZE nix": "502", "DELE nix": "550 ENOENT", "RMD nix": "250", "NOOP": "502", "EPSV": "502"}),
    ],
)
def test_absence_has_many_faces(kind: Kind, replies: dict[str, str], session: Open) -> None:
    client = session(kind)
    for command, reply in replies.items():
        assert client.ask(command).startswith(reply), command


@pytest.mark.parametrize(("kind", "size"), [("ftp-srv", "213 File status"), ("nodeftpd", "213 0")])
def test_size_of_an_empty_file(kind: Kind, size: str, session: Open) -> None:
    client = session(kind)
    assert client.store("empty", b"").startswith("226")
    assert client.ask("SIZE empty") == size


@pytest.mark.parametrize(
    ("kind", "replies"),
    [
        ("twisted", {"MKD a": "257", "MKD a/b/c": "257", "SIZE a": "213 4096", "DELE a": "550"}),
        ("ftp-srv", {"MKD a": "257", "MKD a/b/c": "257", "DELE a/b/c": "250", "DELE a/b": "250", "SIZE a": "213 4096"}),
        ("inetutils", {"MKD a": "257", "MKD b/c": "550", "DELE a": "250", "SIZE a": "550"}),
        ("nodeftpd", {"MKD a": "257", "MKD a/b/c": "550", "SIZE a": "213 4096", "DELE a": "550"}),
    ],
)
def test_some_make_every_folder_above_and_some_delete_a_folder_as_a_file(
    kind: Kind, replies: dict[str, str], session: Open
) -> None:
    client = session(kind)
    for command, reply in replies.items():
        assert client.ask(command).startswith(reply), command


def test_simple_ftpd_removes_a_folder_with_all_in_it(session: Open) -> None:
    client = session("simple-ftpd")
    assert client.ask("MKD a").startswith("257")
    assert client.store("a/theirs").startswith("226")
    assert client.ask("RMD a").startswith("250")
    assert client.ask("CWD a").startswith("550")


def test_simple_ftpd_lists_only_in_ascii(session: Open) -> None:
    client = session("simple-ftpd")
    client.store("file")
    assert client.listing("LIST") == "550 data encoding must be set to utf8 for listing."
    client.ask("TYPE A")
    assert client.listing("LIST").endswith(" file\r\n")


@pytest.mark.parametrize(
    ("kind", "listing"),
    [
        ("inetutils", "a: No such file or directory\nfolder: No such file or directory\n"),
        ("twisted", "550 ['-a a folder']: No such file or directory."),
        ("ftp-srv", r"-rw.* inside\r\n"),
        ("nodeftpd", r"-rw.* inside\r\n"),
    ],
)
def test_options_and_blanks_of_list(kind: Kind, listing: str, session: Open) -> None:
    client = session(kind)
    client.ask("MKD a folder")
    client.store("a folder/inside")
    found = client.listing("LIST -a a folder")
    assert found == listing or re.fullmatch(listing, found)
    client.ask("CWD a folder")
    line_end = "\n" if kind == "inetutils" else "\r\n"  # it sends listings, too, as TYPE I tells it
    assert client.listing("LIST -a").endswith(" inside" + line_end)


@pytest.mark.parametrize(
    ("kind", "given", "kept"),
    [
        ("ftp-srv", 'a "quoted" name', "a quoted name"),
        ("ftp-srv", "minus -b blank", "minus blank"),
        ("nodeftpd", " ends ", "ends"),
        ("simple-ftpd", "two  blanks", "two blanks"),
        ("twisted", "caf\u00e9", "caf\u00c3\u00a9"),
    ],
)
def test_some_alter_names(kind: Kind, given: str, kept: str, session: Open) -> None:
    client = session(kind)
    client.store("temporary")
    assert client.ask("RNFR temporary").startswith("350")
    assert client.ask(f"RNTO {given}").startswith("250")
    assert [path.name for path in client.docroot.iterdir()] == [kept]
