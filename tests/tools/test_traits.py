"""The scripted server's traits are what they say; ftplib and raw sockets are the clients."""

from __future__ import annotations

import ftplib
import io
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import ClassVar

import pytest
from faults import HOST, reactions, sites, traits, zoo
from faults.scripted import Backends, ScriptedServer, Trait

SILENT_S = 0.3
BOUND_S = 5.0


class Client(ftplib.FTP):
    """A session that is logged in, with commands and replies as they are."""

    opened: ClassVar[list[Client]] = []

    def __init__(self, server: ScriptedServer | Backends) -> None:
        super().__init__(encoding="latin-1")
        self.opened.append(self)
        self.connect(HOST, server.port, BOUND_S)
        self.login("user", "password")

    def ask(self, command: str) -> str:
        self.putcmd(command)
        return self.getmultiline()

    def send(self, *commands: str) -> None:
        """Send commands in one write."""
        assert self.sock
        self.sock.sendall("".join(command + "\r\n" for command in commands).encode("latin-1"))

    def answers(self, *commands: str) -> list[str]:
        """Return the codes of the answers to commands sent in one write."""
        self.send(*commands)
        return [self.getmultiline()[:3] for _ in commands]

    def is_silent(self) -> bool:
        assert self.sock
        self.sock.settimeout(SILENT_S)
        try:
            return not self.sock.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            return True
        finally:
            self.sock.settimeout(BOUND_S)

    def store(self, path: str, content: bytes = b"content") -> str:
        try:
            return self.storbinary(f"STOR {path}", io.BytesIO(content))
        except ftplib.Error as refusal:
            return str(refusal)

    def listing(self, command: str) -> str:
        found: list[str] = []
        self.retrlines(command, found.append)
        return "\n".join(found)

    def names(self, command: str) -> set[str]:
        """Return the names in a listing, but for the folder itself and the one above."""
        return {line.rpartition(" ")[2] for line in self.listing(command).splitlines()} - {".", ".."}


Make = Callable[..., ScriptedServer]


@pytest.fixture(autouse=True)
def _clients_leave() -> Iterator[None]:
    yield
    while Client.opened:
        Client.opened.pop().close()


@pytest.fixture
def make() -> Iterator[Make]:
    """Make servers with these traits, closed at the end."""
    with ExitStack() as stack:
        yield lambda *traits: stack.enter_context(ScriptedServer(*traits))


# Which commands there are, and how they are read.


@pytest.mark.parametrize(
    ("trait", "command"),
    [
        (traits.drops_the_rest_of_a_read, "STOR f"),
        (traits.takes_the_rest_for_a_parameter, "STOR f\r\nSIZE f"),
        (traits.squeezes_blanks_of_a_read, "STOR f SIZE f"),
    ],
)
def test_one_read_is_one_command(make: Make, trait: Trait, command: str) -> None:
    server = make(trait)
    client = Client(server)
    data = socket.create_connection(client.makepasv())
    client.send("STOR f", "SIZE f")
    assert client.getresp().startswith("150")
    data.close()
    assert client.getresp().startswith("226")
    assert client.is_silent()
    assert server.commands()[-1] == command
    assert list(server.files) == [b"/" + command.removeprefix("STOR ").encode()]


def test_commands_that_come_together_can_end_the_connection(make: Make) -> None:
    client = Client(make(traits.cuts_when_commands_come_together))
    assert client.ask("NOOP").startswith("200")
    client.send("NOOP", "PWD", "NOOP")
    with pytest.raises(EOFError):
        client.getresp()


def test_what_comes_behind_a_transfer_can_be_lost(make: Make) -> None:
    client = Client(make(traits.drops_what_comes_behind_a_transfer))
    with socket.create_connection(client.makepasv()):
        client.send("STOR f", "NOOP")
        assert client.getresp().startswith("150")
    assert client.getresp().startswith("226")
    assert client.is_silent()
    assert client.ask("PWD").startswith("257")


def test_half_a_command_is_one_when_it_comes_alone(make: Make) -> None:
    client = Client(make(traits.drops_the_rest_of_a_read))
    assert client.sock
    client.sock.sendall(b"PW")
    assert client.getmultiline().startswith("502")


def test_commands_that_are_lacking_are_unknown(make: Make) -> None:
    client = Client(make(traits.lacks("RNFR", "SITE")))
    assert client.ask("RNFR a").startswith("500")
    assert client.ask("SITE CHMOD 644 a").startswith("500")


def test_long_lines_are_refused(make: Make) -> None:
    client = Client(make(traits.takes_lines_up_to(20)))
    assert client.ask("MKD " + "x" * 16).startswith("257")
    assert client.ask("MKD " + "x" * 17).startswith("500")


@pytest.mark.parametrize("trait", [traits.greets_with_times_and_numbers, traits.greets_with_a_random_name])
def test_greetings_differ(make: Make, trait: Trait) -> None:
    server = make(trait)
    greetings = [Client(server).welcome for _ in range(3)]
    assert len(set(greetings)) == 3
    server.limit = 3
    with pytest.raises(ftplib.error_temp, match="421"):
        Client(server)


# Replies.


def test_one_command_can_be_answered_in_another_way(make: Make) -> None:
    server = make(traits.says("MKD", b"200 Command OK"))
    client = Client(server)
    assert client.ask("MKD a") == "200 Command OK"
    assert b"/a" in server.folders
    assert client.ask("MKD a").startswith("550")


def test_all_that_fails_in_the_file_system_can_be_refused_in_one_way(make: Make) -> None:
    client = Client(make(*zoo.BFTPD))
    for command in ("CWD nix", "DELE nix", "RMD nix", "MKD no/way", "RNFR nix", "MLST nix"):
        assert client.ask(command).startswith("451"), command
    assert client.ask("SIZE nix").startswith("550")
    assert client.ask("MKD absent/root").startswith("451")
    assert client.ask("MKD absent").startswith("257")
    assert client.store("no/way").startswith("451")
    assert client.ask("RNTO x").startswith("503")


def test_an_empty_file_can_have_no_size(make: Make) -> None:
    server = make(traits.tells_no_size_of_an_empty_file)
    client = Client(server)
    server.put(b"/empty", b"")
    server.put(b"/full", b"x")
    assert [client.ask(f"SIZE {name}") for name in ("empty", "full")] == ["213 File status", "213 1"]


# The data connection.


@pytest.mark.parametrize("command", ["EPSV", "PASV"])
def test_nothing_is_read_after_a_port_until_somebody_connects(make: Make, command: str) -> None:
    client = Client(make(traits.waits_for_data_after_a_port))
    client.send(command, "NOOP")
    reply = client.getresp()
    assert client.is_silent()
    assert client.sock
    address = ftplib.parse227(reply) if command == "PASV" else ftplib.parse229(reply, client.sock.getpeername())
    with socket.create_connection(address):
        assert client.getresp().startswith("200")


def test_a_port_that_nobody_connects_to_is_answered_a_second_time(make: Make) -> None:
    server = make(traits.waits_for_data_after_a_port)
    server.data_seconds = SILENT_S
    client = Client(server)
    client.send("EPSV", "NOOP")
    assert [client.getline()[:3] for _ in range(3)] == ["229", "550", "200"]


@pytest.mark.parametrize("refusal", ["550 No connector setup, send PASV or PORT", "503 Bad sequence.", "425 No."])
def test_a_port_asked_for_behind_a_transfer_can_be_void(make: Make, refusal: str) -> None:
    client = Client(make(traits.voids_ports_with(refusal.encode())))
    data = socket.create_connection(client.makepasv())
    assert client.answers("LIST", "PASV", "NOOP") == ["150", "226", "227"]
    assert client.getresp().startswith("200")
    assert client.ask("STOR f") == refusal
    data.close()
    assert client.store("f").startswith("226")


def test_a_port_asked_for_ahead_of_the_first_transfer_serves_it(make: Make) -> None:
    client = Client(make(traits.voids_ports))
    client.send("PASV", "NOOP")
    address = ftplib.parse227(client.getresp())
    assert client.getresp().startswith("200")
    with socket.create_connection(address) as data:
        assert client.ask("STOR f").startswith("150")
        data.sendall(b"x")
    assert client.getresp().startswith("226")


def test_ports_can_be_few(make: Make) -> None:
    server = make(traits.has_ports(2))
    first, second, third = (Client(server) for _ in range(3))
    address = first.makepasv()
    second.makepasv()
    second.makepasv()  # its own is given back first
    third.send("PASV")
    assert [third.getline()[:9] for _ in range(2)] == ["500 OOPS:", "500 OOPS:"]
    with pytest.raises(EOFError):
        third.getline()
    with socket.create_connection(address):
        first.send("LIST")
        assert first.getresp().startswith("150")
        assert first.getresp().startswith("226")
        assert Client(server).makepasv()


def test_a_client_that_leaves_gives_its_port_back(make: Make) -> None:
    server = make(traits.has_ports(1))
    first = Client(server)
    first.makepasv()
    first.close()
    assert server.wait_until(lambda: server.open_connections == 0)
    assert Client(server).makepasv()


@pytest.mark.parametrize("silent", [False, True])
def test_the_port_of_epsv_can_be_out_of_reach(make: Make, silent: bool) -> None:
    client = Client(make(traits.blocks_epsv(silent=silent)))
    assert client.sock
    address = ftplib.parse229(client.ask("EPSV"), client.sock.getpeername())
    with pytest.raises(TimeoutError if silent else ConnectionRefusedError):
        socket.create_connection(address, SILENT_S)
    assert client.store("f").startswith("226")


def test_an_upload_that_was_cut_can_be_called_a_success(make: Make) -> None:
    server = make(traits.forgives_a_cut)
    client = Client(server)
    with client.transfercmd("STOR f") as data:
        data.sendall(b"half")
        assert server.wait_until(lambda: server.history.get(b"/f", [])[-1:] == [b"half"])
        data.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert client.getresp().startswith("226")
    assert server.files[b"/f"].content == b"half"


def test_a_disk_can_be_full(make: Make) -> None:
    server = make(sites.has_room_for(10))
    client = Client(server)
    assert client.store("a", b"12345").startswith("226")
    assert client.store("b", b"123456").startswith("451")
    assert server.files[b"/b"].content == b"12345"
    client.delete("b")
    assert client.store("a", b"12345678").startswith("226")


# Names and times.


def test_names_can_be_refused(make: Make) -> None:
    server = make(sites.refuses_dot_names)
    client = Client(server)
    assert client.store(".a").startswith("553")
    assert client.store("a").startswith("226")
    assert client.ask("RNFR a").startswith("350")
    assert client.ask("RNTO .a").startswith("553")
    assert client.ask("MKD .well-known").startswith("553")
    assert list(server.files) == [b"/a"]


def test_names_can_be_spelled_in_one_way(make: Make) -> None:
    client = Client(make(sites.lower_cases_names))
    assert client.store("README").startswith("226")
    assert client.ask("SIZE Readme") == "213 7"
    assert client.listing("LIST").endswith(" readme")


def test_a_site_can_take_names_apart_into_letters_and_marks(make: Make) -> None:
    server = make(sites.decomposes_names)
    client = Client(server)
    client.encoding = "utf-8"
    composed, apart = "caf\u00e9", "cafe\u0301"
    client.sock.sendall(f"MKD {composed}\r\n".encode())  # type: ignore[union-attr]
    assert client.getresp().startswith("257")
    assert server.folders == {b"/", f"/{apart}".encode()}
    for name in (composed, apart):
        client.sock.sendall(f"CWD /{name}\r\n".encode())  # type: ignore[union-attr]
        assert client.getresp().startswith("250")


def test_new_names_can_be_altered(make: Make) -> None:
    client = Client(make(sites.alters_new_names(bytes.strip)))
    assert client.store(" a ").startswith("226")
    assert client.ask("SIZE  a ").startswith("550")
    assert client.ask("SIZE a") == "213 7"


def test_times_can_be_kept_to_two_seconds(make: Make) -> None:
    server = make(sites.keeps_times_to(2))
    client = Client(server)
    client.store("f")
    assert server.files[b"/f"].mtime % 2 == 0
    assert client.ask("MFMT 20200102030405 f").startswith("213")
    assert client.ask("MDTM f") == "213 20200102030404"


def test_times_can_be_forgotten(make: Make) -> None:
    server = make(sites.forgets_times)
    client = Client(server)
    client.store("f")
    before = server.files[b"/f"].mtime
    assert client.ask("MFMT 20200102030405 f").startswith("213")
    assert server.files[b"/f"].mtime == before


# Listings, folders and renames.


def test_listings_can_hide_names_and_spell_them_otherwise(make: Make) -> None:
    hides, marks = make(sites.hides_dot_names), make(sites.lists_question_marks)
    for server in (hides, marks):
        server.put(b"/.hidden", b"")
        server.put(b"/caf\xe9", b"")
    assert Client(hides).names("MLSD") == {"caf\xe9"}
    assert Client(marks).names("LIST") == {".hidden", "caf?"}
    assert Client(hides).ask("SIZE .hidden") == "213 0"
    with pytest.raises(ftplib.error_perm, match="not empty"):
        Client(hides).rmd("/")


@pytest.mark.parametrize(
    ("trait", "folder", "file"),
    [
        (sites.lists_as_dos, "01-01-70  12:00AM       <DIR>          a", "01-02-20  03:04AM                 1234 b c"),
        (
            sites.lists_as_dos_with_centuries,
            "01-01-1970  12:00AM       <DIR>          a",
            "01-02-2020  03:04AM                 1234 b c",
        ),
        (
            sites.lists_as_dos_with_commas,
            "1970/01/01  00:00    <DIR>          a",
            "2020/01/02  03:04             1,234 b c",
        ),
        (sites.lists_as_eplf, "+/,\ta", "+m1577934245,s1234,r,\tb c"),
        (
            sites.lists_groups_with_blanks,
            "drwxr-xr-x 1 DOMAIN\\some user DOMAIN\\domain users  4096 Jan 01  1970 a",
            "-rw-r--r-- 1 DOMAIN\\some user DOMAIN\\domain users  1234 Jan 02  2020 b c",
        ),
        (
            sites.lists_no_groups,
            "drwxr-xr-x 1 ftp  4096 Jan 01  1970 a",
            "-rw-r--r-- 1 ftp  1234 Jan 02  2020 b c",
        ),
        (
            sites.lists_sizes_glued_to_the_group,
            "drwxr-xr-x 1 ftp a-long-name-of-a-group 4096 Jan 01  1970 a",
            "-rw-r--r-- 1 ftp a-long-name-of-a-group 1234 Jan 02  2020 b c",
        ),
        (
            sites.lists_iso_dates,
            "drwxr-xr-x 1 ftp ftp  4096 1970-01-01 00:00 a",
            "-rw-r--r-- 1 ftp ftp  1234 2020-01-02 03:04 b c",
        ),
        (
            sites.lists_days_first,
            "drwxr-xr-x 1 ftp ftp  4096 01 Jan  1970 a",
            "-rw-r--r-- 1 ftp ftp  1234 02 Jan  2020 b c",
        ),
    ],
)
def test_listings_have_many_forms(make: Make, trait: Trait, folder: str, file: str) -> None:
    server = make(trait)
    server.put(b"/b c", b"x" * 1234, mtime=1577934245)
    server.folders.add(b"/a")
    client = Client(server)
    assert client.listing("LIST").split("\n") == [folder, file]
    assert [line for line in client.ask("STAT /").split("\n") if line.endswith("b c")] == [file]


@pytest.mark.parametrize(
    ("trait", "replies"),
    [
        (sites.takes_list_options_for_a_name, {"LIST -a a folder": "550", "LIST a folder": "in", "LIST -a": "550"}),
        (sites.lists_nothing_with_options, {"LIST -a a folder": "", "LIST a folder": "in", "LIST -a": ""}),
        (
            sites.takes_each_word_of_list_for_a_name,
            {
                "LIST -a a folder": "a: No such file or directory\nfolder: No such file or directory",
                "LIST -a": "folder",
            },
        ),
    ],
)
def test_options_and_blanks_of_list_can_be_misunderstood(make: Make, trait: Trait, replies: dict[str, str]) -> None:
    server = make(trait)
    server.put(b"/a folder/in", b"")
    client = Client(server)
    for command, expected in replies.items():
        if expected == "550":
            with pytest.raises(ftplib.error_perm, match=r"^550"):
                client.listing(command)
        else:
            found = client.listing(command)
            assert found.endswith(expected) if expected else not found


def test_rmd_can_remove_all_that_is_in_a_folder(make: Make) -> None:
    server = make(sites.removes_recursively)
    server.put(b"/a/b/theirs", b"")
    server.put(b"/ab", b"")
    client = Client(server)
    assert client.ask("RMD nix").startswith("550")
    assert client.ask("RMD a").startswith("250")
    assert (set(server.files), server.folders) == ({b"/ab"}, {b"/"})


# Servers.


def test_uftpd(make: Make) -> None:
    client = Client(make(*zoo.UFTPD))
    client.send("TYPE I", "PWD", "NOOP")
    assert client.getresp().startswith("200")
    assert client.is_silent()
    assert [client.ask(command)[:3] for command in ("MKD a", "RNFR a", "RNTO b", "SITE CHMOD 644 a")] == [
        "200",
        "500",
        "500",
        "500",
    ]


def test_apache_ftpserver(make: Make) -> None:
    server = make(*zoo.APACHE)
    server.put(b"/.htaccess", b"")
    server.put(b"/a", b"")
    client = Client(server)
    assert [client.ask(f"{verb} nix")[:3] for verb in ("MLST", "DELE", "SIZE")] == ["501", "450", "550"]
    assert client.ask("DELE a").startswith("250")
    assert client.store("b").startswith("226")
    assert client.ask("RNFR b").startswith("350")
    assert client.ask("RNTO .htaccess").startswith("550")
    assert client.names("MLSD") == {"b"}


def test_nodeftpd(make: Make) -> None:
    client = Client(make(*zoo.NODEFTPD))
    assert [client.ask(f"{verb} nix") for verb in ("SIZE", "DELE")] == [
        "450 Failed to get size of file",
        "550 Permission denied",
    ]


def test_servers_behind_one_address_answer_in_turn_and_share_a_site() -> None:
    with ScriptedServer() as first:
        second = ScriptedServer(traits.lacks("MLSD"), site=first.site)
        with second, Backends(first, second) as address:
            clients = [Client(address) for _ in range(4)]
            assert ["MLST" in client.ask("FEAT") for client in clients] == [True, False] * 2
            assert clients[0].store("f").startswith("226")
            assert clients[1].ask("SIZE f") == "213 7"
            assert (first.connections, second.connections) == (2, 2)


def test_traits_and_cues_go_together(make: Make) -> None:
    server = make(traits.tells_no_size_of_an_empty_file)
    server.put(b"/empty", b"")
    server.on("SIZE", reactions.permission_denied)
    client = Client(server)
    assert [client.ask("SIZE empty")[:5] for _ in range(2)] == ["550 P", "213 F"]


def test_a_server_that_waits_ends_at_once(make: Make) -> None:
    server = make(traits.waits_for_data_after_a_port)
    client = Client(server)
    client.makepasv()
    before = time.monotonic()
    server.close()
    assert time.monotonic() - before < 1
