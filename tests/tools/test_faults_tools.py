"""The scripted server and the proxy do what their cues say; ftplib is the client."""

from __future__ import annotations

import ftplib
import hashlib
import io
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest
from faults import HOST, Background, reactions
from faults.identities import Identities
from faults.proxy import Action, FtpProxy
from faults.scripted import Reaction, ScriptedServer

GIVE_UP_SECONDS = 0.3
BOUND_SECONDS = 5.0
LOST = (EOFError, ConnectionResetError, BrokenPipeError)

Connect = Callable[..., ftplib.FTP]


@contextmanager
def _ends_at_once(tool: Background) -> Iterator[None]:
    try:
        yield
    finally:
        before = time.monotonic()
        tool.close()
        assert time.monotonic() - before < 1.0
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(type(tool).__name__)]
    assert tool.failures == []


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    with _ends_at_once(server):
        yield server


@pytest.fixture
def proxy(server: ScriptedServer) -> Iterator[FtpProxy]:
    proxy = FtpProxy(server.port)
    with _ends_at_once(proxy):
        yield proxy


class _Client(ftplib.FTP):
    """Byte-exact names, and EPSV where a test asks for it."""

    encoding = "latin-1"

    def use_epsv(self) -> None:
        self.af = socket.AF_INET6


@pytest.fixture
def connect() -> Iterator[Callable[..., _Client]]:
    clients: list[_Client] = []

    def log_in(tool: ScriptedServer | FtpProxy, timeout: float = BOUND_SECONDS) -> _Client:
        client = _Client(encoding="latin-1")
        clients.append(client)
        client.connect(HOST, tool.port, timeout)
        client.login("user", "password")
        return client

    yield log_in
    for client in clients:
        client.close()


def _store(client: ftplib.FTP, path: str, content: bytes) -> str:
    return client.storbinary(f"STOR {path}", io.BytesIO(content))


def _store_in_vain(client: ftplib.FTP, path: str) -> None:
    """Send what the server does not wait for, and raise its reply."""
    with suppress(*LOST), client.transfercmd(f"STOR {path}") as data:
        data.sendall(b"content")
    client.voidresp()


def _fetch(client: ftplib.FTP, command: str) -> bytes:
    parts: list[bytes] = []
    client.retrbinary(command, parts.append)
    return b"".join(parts)


def _raw(tool: ScriptedServer | FtpProxy) -> socket.socket:
    return socket.create_connection((HOST, tool.port), BOUND_SECONDS)


def _read_until(sock: socket.socket, end: bytes) -> bytes:
    received = b""
    while not received.endswith(end):
        block = sock.recv(65536)
        assert block, received
        received += block
    return received


# The scripted server behaves.


@pytest.fixture(params=["direct", "through the proxy"])
def endpoint(request: pytest.FixtureRequest, server: ScriptedServer) -> Iterator[ScriptedServer | FtpProxy]:
    if request.param == "direct":
        yield server
        return
    proxy = FtpProxy(server.port)
    with _ends_at_once(proxy):
        yield proxy


@pytest.mark.parametrize("epsv", [False, True], ids=["PASV", "EPSV"])
def test_the_usual_commands_work(
    endpoint: ScriptedServer | FtpProxy, server: ScriptedServer, connect: Connect, epsv: bool
) -> None:
    client = connect(endpoint)
    if epsv:
        client.af = socket.AF_INET6
    assert "MFMT" in client.sendcmd("FEAT")
    assert client.mkd("/a") == "/a"
    client.cwd("a")
    assert client.pwd() == "/a"
    assert _store(client, "new", b"content").startswith("226")
    assert client.size("new") == 7
    assert client.sendcmd("MFMT 20200102030405 new").startswith("213")
    assert client.sendcmd("MDTM new") == "213 20200102030405"
    assert client.sendcmd("SITE CHMOD 600 /a/new").startswith("200")
    assert "UNIX.mode=0600; /a/new" in client.sendcmd("MLST new")
    client.rename("new", "/renamed")
    assert _fetch(client, "RETR /renamed") == b"content"
    facts = dict(client.mlsd("/"))
    assert facts["renamed"]["size"] == "7"
    assert facts["renamed"]["modify"] == "20200102030405"
    assert re.search(rb"-rw------- .* 7 Jan 02  2020 renamed\r\n", _fetch(client, "LIST -a /"))
    assert "renamed" in client.sendcmd("STAT /")
    client.delete("/renamed")
    client.rmd("/a")
    assert client.quit().startswith("221")
    assert server.files == {}
    assert server.folders == {b"/"}


def test_refusals_are_those_of_a_real_server(server: ScriptedServer, connect: Connect) -> None:
    client = connect(server)
    server.put(b"/folder/file", b"old")
    refused = {
        "MKD /folder": "550", "MKD /no/x": "550", "RMD /folder": "550", "RMD /no": "550", "DELE /no": "550",
        "DELE /folder": "550", "SIZE /folder": "550", "RNFR /no": "550", "RNTO /x": "503", "CWD /folder/file": "550",
        "STOR /no/x": "550", "STOR /folder": "550", "STOR /x": "425", "EPSV 2": "522", "MLST /no": "550",
        "MFMT yesterday /folder/file": "501", "SITE UTIME x": "504", "APPE /x": "502",
    }  # fmt: skip
    for command, code in refused.items():
        with pytest.raises(ftplib.Error, match=f"^{code}"):
            client.sendcmd(command)
    assert server.files[b"/folder/file"].content == b"old"


def test_commands_before_the_login_are_refused(server: ScriptedServer) -> None:
    with _raw(server) as sock:
        sock.sendall(b"PWD\r\n")
        assert b"530" in _read_until(sock, b"in.\r\n")


def test_names_are_bytes(endpoint: ScriptedServer | FtpProxy, server: ScriptedServer, connect: Connect) -> None:
    name = b' f\xe9 "\xff"\\*[ '
    client = connect(endpoint)
    _store(client, name.decode("latin-1"), b"x")
    assert server.files.keys() == {b"/" + name}
    assert _fetch(client, "MLSD").endswith(b"; " + name + b"\r\n")
    assert "STOR " + name.decode("utf-8", "surrogateescape") in server.commands(1)


def test_pipelined_commands_are_answered_in_order(endpoint: ScriptedServer | FtpProxy, connect: Connect) -> None:
    client = connect(endpoint)
    host, port = client.makepasv()
    assert client.sock is not None
    client.sock.sendall(b"STOR /f\r\nSIZE /f\r\nEPSV\r\n")
    with socket.create_connection((host, port)) as data:
        data.sendall(b"12345")
    assert [client.getline()[:5] for _ in range(4)] == ["150 H", "226 T", "213 5", "229 E"]


def test_connections_are_counted_and_limited(server: ScriptedServer, connect: Connect) -> None:
    server.limit = 2
    first = connect(server)
    connect(server)
    with pytest.raises(ftplib.error_temp, match="421 Too many"):
        connect(server)
    assert first.quit().startswith("221")
    connect(server).sendcmd("NOOP")
    assert (server.connections, server.refused_connections) == (4, 1)
    assert (server.open_connections, server.most_connections) == (2, 2)
    assert server.commands(4) == ["USER user", "PASS password", "NOOP"]


def test_hidden_features_leave_feat_and_answer_500(server: ScriptedServer, connect: Connect) -> None:
    server.without = {"MLSD", "MFMT", "SITE CHMOD"}
    client = connect(server)
    assert not re.search("MLST|MFMT", client.sendcmd("FEAT"))
    for command in ("MLSD", "MFMT 20200101000000 /f", "SITE CHMOD 600 /f"):
        with pytest.raises(ftplib.error_perm, match=r"^500"):
            client.sendcmd(command)


def test_a_case_insensitive_site_keeps_the_first_spelling_until_a_rename(connect: Connect) -> None:
    server = ScriptedServer(case_insensitive=True)
    with _ends_at_once(server):
        client = connect(server)
        client.mkd("/Folder")
        _store(client, "/FOLDER/Name", b"one")
        _store(client, "/folder/NAME", b"two")
        assert {path: file.content for path, file in server.files.items()} == {b"/Folder/Name": b"two"}
        client.rename("/folder/name", "/folder/nAME")
        assert list(server.files) == [b"/Folder/nAME"]
        _store(client, "/other", b"three")
        client.rename("/other", "/folder/NAME")
        assert {path: file.content for path, file in server.files.items()} == {b"/Folder/NAME": b"three"}
        client.close()


def test_a_folder_is_renamed_with_all_below_it(server: ScriptedServer, connect: Connect) -> None:
    server.put(b"/a/b/file", b"x")
    server.put(b"/ab", b"y")
    connect(server).rename("/a", "/c")
    assert server.folders == {b"/", b"/c", b"/c/b"}
    assert server.files.keys() == {b"/c/b/file", b"/ab"}
    assert server.history[b"/a/b/file"] == [b"x", None]


def test_history_shows_half_a_file_only_without_a_temporary(server: ScriptedServer, connect: Connect) -> None:
    server.put(b"/direct", b"old")
    server.put(b"/safe", b"old")
    client = connect(server)
    data = client.transfercmd("STOR /direct")
    data.sendall(b"ha")
    assert server.wait_until(lambda: server.history[b"/direct"][-1] == b"ha")
    data.sendall(b"lf")
    data.close()
    client.voidresp()
    _store(client, "/.am-1", b"new")
    client.rename("/.am-1", "/safe")
    client.delete("/safe")
    assert server.history == {b"/direct": [b"old", b"", b"ha", b"half"], b"/safe": [b"old", b"new", None]}


# The server misbehaves on cue.


def test_a_cue_is_used_up_and_tells_when_it_is_reached(server: ScriptedServer, connect: Connect) -> None:
    client = connect(server)
    elsewhere = server.on("SIZE", reactions.say(b"213 7"), when=reactions.for_path(b"/elsewhere"))
    cue = server.on("SIZE", reactions.say(b"213 99"), times=2)
    server.put(b"/f", b"x")
    assert [client.size("/f") for _ in range(3)] == [99, 99, 1]
    assert cue.reached.is_set()
    assert not elsewhere.reached.is_set()


@pytest.mark.parametrize("verb", ["MLSD", "SIZE", "MFMT", "EPSV", "SITE"])
def test_any_command_can_be_refused(server: ScriptedServer, connect: Connect, verb: str) -> None:
    server.on(verb, reactions.not_implemented, times=reactions.ALWAYS)
    client = connect(server)
    for _ in range(2):
        with pytest.raises(ftplib.error_perm, match=r"^502"):
            client.sendcmd(verb)


def test_silence_lasts_until_the_client_gives_up(server: ScriptedServer, connect: Connect) -> None:
    server.on("NOOP", reactions.stay_silent)
    client = connect(server, GIVE_UP_SECONDS)
    with pytest.raises(TimeoutError):
        client.sendcmd("NOOP")
    client.close()
    assert server.wait_until(lambda: server.open_connections == 0)


def test_a_command_can_be_done_and_never_answered(server: ScriptedServer, connect: Connect) -> None:
    server.on("MKD", reactions.perform_then_stay_silent)
    with pytest.raises(TimeoutError):
        connect(server, GIVE_UP_SECONDS).mkd("/a")
    assert b"/a" in server.folders


@pytest.mark.parametrize(
    ("reaction", "error", "is_done"),
    [
        (reactions.close_before_performing, EOFError, False),
        (reactions.close_before_replying, EOFError, True),
        (reactions.reset_before_performing, ConnectionResetError, False),
        (reactions.reset_before_replying, ConnectionResetError, True),
    ],
)
def test_the_control_connection_is_lost_before_the_reply(
    server: ScriptedServer, connect: Connect, reaction: Reaction, error: type[Exception], is_done: bool
) -> None:
    server.on("MKD", reaction)
    client = connect(server)
    with pytest.raises(error):
        client.mkd("/a")
    assert (b"/a" in server.folders) == is_done
    assert server.open_connections == 0


def test_the_control_connection_is_lost_after_the_reply(server: ScriptedServer, connect: Connect) -> None:
    server.on("MKD", reactions.close_after_replying)
    client = connect(server)
    assert client.mkd("/a") == "/a"
    with pytest.raises(LOST):
        client.sendcmd("NOOP")


@pytest.mark.parametrize("reply", [b"421 Too many connections.", b"530 Too many connections."])
def test_the_second_connection_is_turned_away(server: ScriptedServer, connect: Connect, reply: bytes) -> None:
    server.on("CONNECT", reactions.turn_away(reply), when=reactions.nth_connection(2))
    connect(server)
    with pytest.raises(ftplib.Error, match=reply.decode()):
        connect(server)
    connect(server)
    assert server.connections == 3


def test_what_was_stored_is_shorter_than_the_226_says(server: ScriptedServer, connect: Connect) -> None:
    server.on("STOR", reactions.truncate_stored(3))
    assert _store(connect(server), "/f", b"content").startswith("226")
    assert server.history[b"/f"] == [b"", b"con"]


@pytest.mark.parametrize("break_data", [reactions.close_data_after, reactions.reset_data_after])
def test_the_data_connection_breaks_in_the_middle(
    server: ScriptedServer, connect: Connect, break_data: Callable[[int], Reaction]
) -> None:
    server.on("STOR", break_data(1000))
    client = connect(server)
    with suppress(ConnectionResetError, BrokenPipeError), client.transfercmd("STOR /f") as data:
        for _ in range(1000):
            data.sendall(b"x" * 65536)
    with pytest.raises(ftplib.error_temp, match=r"^426"):
        client.voidresp()
    assert server.files[b"/f"].content == b"x" * 1000


def test_a_data_connection_reset_by_the_client_is_a_426(server: ScriptedServer, connect: Connect) -> None:
    client = connect(server)
    with client.transfercmd("STOR /f") as data:
        data.sendall(b"half")
        assert server.wait_until(lambda: server.history.get(b"/f", [])[-1:] == [b"half"])
        data.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    with pytest.raises(ftplib.error_temp, match=r"^426"):
        client.voidresp()


def test_the_data_connection_is_never_accepted(server: ScriptedServer, connect: Connect) -> None:
    server.on("STOR", reactions.never_accept_data)
    with pytest.raises(TimeoutError):
        _store(connect(server, GIVE_UP_SECONDS), "/f", b"content")
    assert server.files == {}


def test_a_data_connection_that_never_comes_is_a_425(server: ScriptedServer, connect: Connect) -> None:
    server.data_seconds = 0.05
    client = connect(server)
    client.makepasv()
    client.sendcmd("STOR /f")
    with pytest.raises(ftplib.error_temp, match=r"^425"):
        client.voidresp()


def test_pasv_answers_a_foreign_address(server: ScriptedServer, connect: Connect) -> None:
    server.on("PASV", reactions.pasv_from(b"192,0,2,1"))
    client = connect(server)
    assert client.sendcmd("PASV").startswith("227 Entering Passive Mode (192,0,2,1,")
    server.on("PASV", reactions.pasv_from(b"192,0,2,1"))
    assert _store(client, "/f", b"x").startswith("226")  # ftplib takes the control connection's address


def test_epsv_answers_a_foreign_address(server: ScriptedServer, connect: Connect) -> None:
    server.on("EPSV", reactions.epsv_from(b"192.0.2.1"))
    assert re.search(r"\(\|1\|192\.0\.2\.1\|\d+\|\)", connect(server).sendcmd("EPSV"))


def test_passive_replies_can_be_garbled(server: ScriptedServer, connect: Connect) -> None:
    server.on("PASV", reactions.garbled_pasv)
    server.on("EPSV", reactions.garbled_epsv)
    client = connect(server)
    with pytest.raises(ftplib.error_proto):
        client.makepasv()
    assert "not-a-port" in client.sendcmd("EPSV")


def test_rnto_refuses_an_existing_target(server: ScriptedServer, connect: Connect) -> None:
    server.on("RNTO", reactions.refuse_existing_target, times=reactions.ALWAYS)
    server.put(b"/new", b"new")
    server.put(b"/old", b"old")
    client = connect(server)
    with pytest.raises(ftplib.error_perm, match=r"^550"):
        client.rename("/new", "/old")
    client.rename("/new", "/free")
    assert server.files.keys() == {b"/free", b"/old"}


def test_a_listing_has_malicious_names(server: ScriptedServer, connect: Connect) -> None:
    server.on("MLSD", reactions.list_names(*reactions.MALICIOUS_NAMES))
    lines = _fetch(connect(server), "MLSD").split(b"\r\n")
    assert [line.partition(b"; ")[2] for line in lines[:-1]] == list(reactions.MALICIOUS_NAMES)


def test_a_listing_is_empty_truncated_or_odd(server: ScriptedServer, connect: Connect) -> None:
    server.put(b"/f", b"")
    server.on("MLSD", reactions.empty_listing)
    server.on("MLSD", reactions.truncate_listing(25))
    server.on("LIST", reactions.odd_list)
    server.on("STAT", reactions.odd_list)
    client = connect(server)
    assert [_fetch(client, "MLSD") for _ in range(2)] == [b"", b"type=cdir; .\r\ntype=pdir; "]
    assert tuple(_fetch(client, "LIST").split(b"\r\n")[:-1]) == reactions.ODD_LIST_LINES
    assert "<DIR>" in client.sendcmd("STAT /")


def test_a_reply_is_huge(endpoint: ScriptedServer | FtpProxy, server: ScriptedServer) -> None:
    server.on("NOOP", reactions.huge_reply(3_000_000))
    with _raw(endpoint) as sock:
        sock.sendall(b"USER u\r\nPASS p\r\nNOOP\r\n")
        assert len(_read_until(sock, b"xx\r\n")) > 3_000_000


def test_a_reply_never_ends(endpoint: ScriptedServer | FtpProxy, server: ScriptedServer) -> None:
    server.on("NOOP", reactions.endless_reply)
    with _raw(endpoint) as sock:
        sock.sendall(b"NOOP\r\n")
        received = 0
        while received < 3_000_000:
            received += len(sock.recv(1 << 20))
    assert server.wait_until(lambda: server.open_connections == 0)


def test_a_reply_is_not_utf8_or_any_bytes(server: ScriptedServer, connect: Connect) -> None:
    server.on("NOOP", reactions.non_utf8_reply)
    server.on("NOOP", reactions.say_bytes(b"\0\n"))
    client = connect(server)
    assert client.sendcmd("NOOP") == "200 ferm\xe9 \xff\xfe"
    with pytest.raises(ftplib.error_proto):
        client.sendcmd("NOOP")


def test_a_multi_line_reply_has_odd_middle_lines(server: ScriptedServer, connect: Connect) -> None:
    server.on("NOOP", reactions.odd_middle_lines)
    reply = connect(server).sendcmd("NOOP")
    assert reply.startswith("200-first\n550 looks like another reply\n\n")
    assert reply.endswith("\n200 Done.")


@pytest.mark.parametrize("before", [True, False])
def test_a_reply_comes_unsolicited(server: ScriptedServer, connect: Connect, before: bool) -> None:
    server.on("NOOP", reactions.with_unsolicited(before=before))
    client = connect(server)
    codes = [client.sendcmd("NOOP")[:3], client.getline()[:3]]
    assert codes == (["226", "200"] if before else ["200", "226"])


def test_a_reply_dribbles(server: ScriptedServer, connect: Connect) -> None:
    server.on("NOOP", reactions.dribble(0.01))
    before = time.monotonic()
    assert connect(server).sendcmd("NOOP") == "200 Done."
    assert time.monotonic() - before > 0.09


def test_a_reply_or_a_command_waits_for_the_test(server: ScriptedServer, connect: Connect) -> None:
    go = threading.Event()
    slow_reply = server.on("MKD", reactions.reply_after(go), when=reactions.for_path(b"/done"))
    slow_command = server.on("MKD", reactions.perform_after(go), when=reactions.for_path(b"/waiting"))
    first, second = connect(server), connect(server)
    for client, path in ((first, "/done"), (second, "/waiting")):
        client.putcmd(f"MKD {path}")
    assert slow_reply.reached.wait(BOUND_SECONDS)
    assert slow_command.reached.wait(BOUND_SECONDS)
    assert server.wait_until(lambda: b"/done" in server.folders)
    assert b"/waiting" not in server.folders
    go.set()
    assert first.getresp().startswith("257")
    assert second.getresp().startswith("257")
    assert b"/waiting" in server.folders


def test_a_stalled_server_runs_the_queued_commands_of_a_client_that_left(
    server: ScriptedServer, connect: Connect
) -> None:
    server.put(b"/.am-1", b"old version")
    wake = threading.Event()
    stalled = server.on("NOOP", reactions.perform_after(wake))
    client = connect(server)
    assert client.sock is not None
    client.sock.sendall(b"NOOP\r\nRNFR /.am-1\r\nRNTO /f\r\n")
    assert stalled.reached.wait(BOUND_SECONDS)
    client.close()
    wake.set()
    assert server.wait_until(lambda: b"/f" in server.files)


def test_a_broken_reaction_fails_the_test() -> None:
    def broken(_: object) -> None:
        raise ZeroDivisionError

    def run_a_test() -> None:
        with ScriptedServer() as server, _raw(server) as sock:
            cue = server.on("NOOP", broken)
            sock.sendall(b"NOOP\r\n")
            assert cue.reached.wait(BOUND_SECONDS)

    with pytest.raises(ZeroDivisionError):
        run_a_test()


# The server speaks TLS, and lies.


class _TlsClient(ftplib.FTP_TLS):
    """Implicit TLS too, and data connections with the control connection's session where a test asks for it."""

    reuses = True
    raw: socket.socket

    def connect_implicitly(self, port: int) -> None:
        self.host = HOST
        self.raw = socket.create_connection((HOST, port), BOUND_SECONDS)
        self.af = self.raw.family
        self.sock = self.context.wrap_socket(self.raw, server_hostname=HOST)
        self.file = self.sock.makefile("r", encoding="latin-1")
        self.welcome = self.getresp()

    def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[socket.socket, int | None]:
        data, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        assert isinstance(self.sock, ssl.SSLSocket)
        if not self._prot_p:  # type: ignore[attr-defined]  # prot_p and prot_c set it
            return data, size
        session = self.sock.session if self.reuses else None
        return self.context.wrap_socket(data, server_hostname=HOST, session=session), size


Speak = Callable[..., _TlsClient]


@pytest.fixture
def speak(identities: Identities) -> Iterator[Speak]:
    clients: list[_TlsClient] = []

    def log_in(server: ScriptedServer, timeout: float = BOUND_SECONDS) -> _TlsClient:
        context = ssl.create_default_context(cafile=identities.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2  # which Debian's Python leaves to OpenSSL, as the next one
        context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
        client = _TlsClient(context=context, timeout=timeout)
        clients.append(client)
        if server.implicit:
            client.connect_implicitly(server.port)
        else:
            client.connect(HOST, server.port)
        client.login("user", "password")  # with AUTH before it
        client.prot_p()
        return client

    yield log_in
    for client in clients:
        client.close()


@pytest.fixture
def secure_server(identities: Identities) -> Iterator[ScriptedServer]:
    server = ScriptedServer(tls=identities["good"].context())
    with _ends_at_once(server):
        yield server


@pytest.mark.parametrize("implicit", [False, True], ids=["explicit", "implicit"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_files_and_listings_pass_through_tls_with_one_session(
    identities: Identities, speak: Speak, version: ssl.TLSVersion, implicit: bool
) -> None:
    context = identities["good"].context(oldest=version, newest=version)
    server = ScriptedServer(tls=context, implicit=implicit, requires_reuse=True)
    with _ends_at_once(server):
        client = speak(server)
        content = b"a canary and more " * 20_000
        assert _store(client, "/f", content).startswith("226")
        assert _fetch(client, "RETR /f") == content
        assert _fetch(client, "MLSD").endswith(b"; f\r\n")
        assert client.quit().startswith("221")
        assert server.clear_log == ([] if implicit else ["AUTH TLS"])
        assert not server.heard(b"canary")
        assert not server.heard(b"PASS password")
        assert [(each.of_data, each.resumed) for each in server.handshakes] == [(False, False), *[(True, True)] * 3]
        assert {each.version for each in server.handshakes} == {version.name.replace("_", ".")}


def test_what_crosses_the_wire_in_the_clear_is_heard(secure_server: ScriptedServer, speak: Speak) -> None:
    client = speak(secure_server)
    client.prot_c()
    assert _store(client, "/f", b"a canary").startswith("226")
    assert secure_server.heard(b"canary")
    with _raw(secure_server) as sock:
        sock.sendall(b"USER u\r\n")
        _read_until(sock, b"please.\r\n")
    assert secure_server.clear_log == ["AUTH TLS", "USER u"]
    assert secure_server.heard(b"USER u")


def test_refusals_about_tls_are_those_of_a_real_server(secure_server: ScriptedServer, speak: Speak) -> None:
    with _raw(secure_server) as sock:
        _read_until(sock, b"\r\n")
        for command, code in (("PBSZ 0", "503"), ("PROT P", "503"), ("AUTH NO", "504")):
            sock.sendall(f"{command}\r\n".encode())
            assert _read_until(sock, b"\r\n").startswith(code.encode())
    client = speak(secure_server)
    for again, code in (("AUTH TLS", "503"), ("PROT X", "536")):
        with pytest.raises(ftplib.error_perm, match=f"^{code}"):
            client.sendcmd(again)


def test_server_without_tls_knows_no_auth(server: ScriptedServer, connect: Connect) -> None:
    client = connect(server)
    assert "AUTH" not in client.sendcmd("FEAT")
    with pytest.raises(ftplib.error_perm, match=r"^502"):
        client.sendcmd("AUTH TLS")


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("expired", "expired"),
        ("early", "not yet valid"),
        ("self-signed", "self-signed"),
        ("wrong-host", "not valid for"),
        ("unknown-ca", "issuer"),
    ],
)
def test_bad_certificates_are_bad_in_one_way_each(identities: Identities, speak: Speak, kind: str, error: str) -> None:
    server = ScriptedServer(tls=identities[kind].context())
    with _ends_at_once(server):
        with pytest.raises(ssl.SSLCertVerificationError, match=error):
            speak(server)
        assert server.commands() == ["AUTH TLS"]


def test_old_tls_is_all_that_an_old_server_speaks(identities: Identities, speak: Speak) -> None:
    old = identities["good"].context(oldest=ssl.TLSVersion.TLSv1_1, newest=ssl.TLSVersion.TLSv1_1)
    server = ScriptedServer(tls=old)
    with _ends_at_once(server), pytest.raises(ssl.SSLError, match=r"(?i)protocol.version"):
        speak(server)


def test_fingerprint_is_that_of_the_certificate_that_the_server_shows(
    identities: Identities, secure_server: ScriptedServer, speak: Speak
) -> None:
    client = speak(secure_server)
    assert isinstance(client.sock, ssl.SSLSocket)
    shown = client.sock.getpeercert(binary_form=True)
    assert shown
    assert identities["good"].fingerprint == f"sha256:{hashlib.sha256(shown).hexdigest()}"


@pytest.mark.parametrize("tickets", [0, 2])
def test_session_that_the_client_cannot_take_up_is_refused_where_it_must(
    identities: Identities, speak: Speak, tickets: int
) -> None:
    context = identities["good"].context(oldest=ssl.TLSVersion.TLSv1_3, tickets=tickets)
    server = ScriptedServer(tls=context, requires_reuse=True)
    with _ends_at_once(server):
        client = speak(server)
        client.reuses = tickets == 0
        with pytest.raises(ftplib.error_perm, match=r"^522"):
            _store_in_vain(client, "/f")
        assert server.files[b"/f"].content == b""


@pytest.mark.parametrize("reply", [b"500 Unknown.", b"230 Logged in.", b"334 More, please."])
def test_auth_can_be_answered_by_anything_with_or_without_a_handshake(
    secure_server: ScriptedServer, reply: bytes
) -> None:
    secure_server.on("AUTH", reactions.say(reply))
    secure_server.on("AUTH", reactions.perform_but_say(reply))
    with _raw(secure_server) as sock:
        _read_until(sock, b"\r\n")
        for _ in range(2):
            sock.sendall(b"AUTH TLS\r\n")
            assert _read_until(sock, b"\r\n") == reply + b"\r\n"
        sock.sendall(b"USER u\r\n")
        assert b"331" not in sock.recv(1000)  # but an alert, or the end: this is no handshake
    assert secure_server.commands() == ["AUTH TLS", "AUTH TLS"]


@pytest.mark.parametrize("more", [b"230 Logged in.\r\n", b"230 log"])
def test_more_can_come_behind_the_234(identities: Identities, secure_server: ScriptedServer, more: bytes) -> None:
    secure_server.on("AUTH", reactions.with_more_behind(more))
    context = ssl.create_default_context(cafile=identities.ca_file)
    with _raw(secure_server) as sock:
        _read_until(sock, b"\r\n")
        sock.sendall(b"AUTH TLS\r\n")
        assert sock.recv(1000) == b"234 Go ahead.\r\n" + more
        with context.wrap_socket(sock, server_hostname=HOST) as secure:
            secure.sendall(b"NOOP\r\n")
            assert secure.recv(1000).startswith(b"530")


def test_handshake_can_be_left_without_an_answer(secure_server: ScriptedServer, speak: Speak) -> None:
    secure_server.on("AUTH", reactions.say_then_only_listen(b"234 Go ahead.\r\n"))
    with pytest.raises(TimeoutError):
        speak(secure_server, GIVE_UP_SECONDS)
    assert secure_server.wait_until(lambda: secure_server.open_connections == 0)
    assert secure_server.commands() == ["AUTH TLS"]


@pytest.mark.parametrize("kind", ["self-signed", "wrong-host", "other"])
def test_data_connection_can_have_another_certificate(
    identities: Identities, secure_server: ScriptedServer, speak: Speak, kind: str
) -> None:
    secure_server.on("STOR", reactions.secure_data_with(identities[kind].context()))
    client = speak(secure_server)
    if kind == "other":
        assert _store(client, "/f", b"content").startswith("226")
        assert not secure_server.handshakes[-1].resumed
        return
    with pytest.raises(ssl.SSLCertVerificationError):
        _store(client, "/f", b"content")
    with pytest.raises(ftplib.error_temp, match=r"^426"):
        client.voidresp()


def test_data_connection_can_speak_plain_text(secure_server: ScriptedServer, speak: Speak) -> None:
    secure_server.on("MLSD", reactions.data_in_the_clear)
    with pytest.raises(ssl.SSLError, match=r"(?i)wrong.version"):
        _fetch(speak(secure_server), "MLSD")


@pytest.mark.parametrize("reply", [b"522 No.", b"425 No."])
def test_data_connection_can_be_refused_when_the_file_is_emptied_already(
    secure_server: ScriptedServer, speak: Speak, reply: bytes
) -> None:
    secure_server.put(b"/f", b"old")
    secure_server.on("STOR", reactions.refuse_data(reply))
    client = speak(secure_server)
    with pytest.raises(ftplib.Error, match=reply.decode()):
        _store_in_vain(client, "/f")
    assert secure_server.files[b"/f"].content == b""
    assert _store(client, "/f", b"content").startswith("226")


@pytest.mark.parametrize("notify", [True, False])
def test_listing_can_end_with_or_without_a_word_of_tls(
    secure_server: ScriptedServer, speak: Speak, notify: bool
) -> None:
    secure_server.on("MLSD", reactions.behave if notify else reactions.data_without_close_notify)
    secure_server.on("MLSD", reactions.truncate_listing(25, notify=notify))
    client = speak(secure_server)
    for length in (29, 25):
        with client.transfercmd("MLSD") as data:
            assert isinstance(data, ssl.SSLSocket)
            data.suppress_ragged_eofs = False  # type: ignore[attr-defined]  # typeshed has it as an argument alone
            assert len(data.recv(1000)) == length
            if notify:
                assert data.recv(1) == b""
            else:
                with pytest.raises(ssl.SSLError, match=r"(?i)\beof (occurred in violation|while reading)"):
                    data.recv(1)
        assert client.voidresp().startswith("226")


def test_upload_that_ends_without_a_word_of_tls_is_a_426(secure_server: ScriptedServer, speak: Speak) -> None:
    client = speak(secure_server)
    data = client.transfercmd("STOR /f")
    data.sendall(b"content")
    data.close()
    with pytest.raises(ftplib.error_temp, match=r"^426"):
        client.voidresp()


@pytest.mark.parametrize("reads_on", [True, False])
def test_client_that_is_gone_before_the_tickets_come_gets_a_426(
    identities: Identities, speak: Speak, reads_on: bool
) -> None:
    server = ScriptedServer(tls=identities["good"].context(oldest=ssl.TLSVersion.TLSv1_3))
    server.on("STOR", reactions.tickets_after_the_data)
    with _ends_at_once(server):
        client = speak(server)
        data = client.transfercmd("STOR /f")
        assert isinstance(data, ssl.SSLSocket)
        data.sendall(b"content")
        data.settimeout(0)
        with suppress(ssl.SSLWantReadError):
            data.unwrap()
        data.settimeout(BOUND_SECONDS)
        data.shutdown(socket.SHUT_WR)
        while reads_on and data.recv(65536):
            pass
        data.close()
        assert client.getline().startswith("226" if reads_on else "426")


def test_tls_can_end_in_the_middle_of_a_session(secure_server: ScriptedServer, speak: Speak) -> None:
    secure_server.on("NOOP", reactions.strip_tls)
    client = speak(secure_server)
    assert isinstance(client.sock, ssl.SSLSocket)
    client.putcmd("NOOP")
    plain = client.sock.unwrap()
    assert plain.recv(1000) == b"200 Done.\r\n"
    plain.sendall(b"\r\nPWD\r\n")  # the client's own close_notify comes before it, and is no command
    assert b"\r\n257" in _read_until(plain, b"folder.\r\n")
    plain.close()
    assert secure_server.clear_log[-1] == "PWD"


@pytest.mark.parametrize("verb", ["AUTH", "STOR"])
def test_tls_can_dribble(secure_server: ScriptedServer, speak: Speak, verb: str) -> None:
    secure_server.on(verb, reactions.dribble_tls(0.01))
    with pytest.raises(TimeoutError):
        _store(speak(secure_server, GIVE_UP_SECONDS), "/f", b"content")


def test_cut_in_the_middle_of_an_upload_can_be_called_a_success(secure_server: ScriptedServer, speak: Speak) -> None:
    secure_server.on("STOR", reactions.close_data_after(3, b"226 Transfer complete."))
    client = speak(secure_server)
    with client.transfercmd("STOR /f") as data:
        data.sendall(b"content")
        assert client.voidresp().startswith("226")
    assert secure_server.files[b"/f"].content == b"con"


@pytest.mark.parametrize("verb", ["NOOP", "MLSD"])
def test_replies_and_listings_can_be_endless_through_tls(
    secure_server: ScriptedServer, speak: Speak, verb: str
) -> None:
    secure_server.on("NOOP", reactions.endless_reply)
    secure_server.on("MLSD", reactions.endless_listing)
    client = speak(secure_server)
    sock = client.transfercmd(verb) if verb == "MLSD" else client.sock
    if verb == "NOOP":
        client.putcmd(verb)
    assert sock
    received = 0
    while received < 3_000_000:
        received += len(sock.recv(1 << 20))
    sock.close()


# The proxy.


def test_commands_and_connections_are_counted_by_the_proxy(proxy: FtpProxy, connect: Connect) -> None:
    _store(connect(proxy), "/f", b"x")
    connect(proxy)
    assert (proxy.connections, proxy.data_connections) == (2, 1)
    assert [line for number, line in proxy.commands if number == 1][2:] == [b"TYPE I", b"PASV", b"STOR /f"]


@pytest.mark.parametrize(
    ("action", "is_done"), [(reactions.cut, False), (reactions.reset, False), (reactions.forward_then_cut, True)]
)
def test_the_proxy_cuts_at_a_command(
    proxy: FtpProxy, server: ScriptedServer, connect: Connect, action: Action, is_done: bool
) -> None:
    proxy.on_command(b"MKD", action)
    client = connect(proxy)
    with pytest.raises(LOST):
        client.mkd("/a")
    assert server.wait_until(lambda: server.open_connections == 0)
    assert (b"/a" in server.folders) == is_done
    connect(proxy).mkd("/b")


@pytest.mark.parametrize(("together", "is_cut"), [(b"NOOP\r\nPWD\r\n", True), (b"PWD\r\n", False)])
def test_the_proxy_cuts_commands_that_come_together(
    proxy: FtpProxy, server: ScriptedServer, connect: Connect, together: bytes, is_cut: bool
) -> None:
    proxy.on_write(reactions.cut, verb=b"PWD")
    client = connect(proxy)
    assert client.sock is not None
    client.sock.sendall(together)
    if is_cut:
        with pytest.raises(LOST):
            client.getline()
    else:
        assert client.getline().startswith("257")
    assert ("PWD" in server.commands()) != is_cut
    assert proxy.commands[-1][1] == b"PWD"


def test_the_proxy_stalls_a_write_of_several_commands_and_lets_it_go(proxy: FtpProxy, connect: Connect) -> None:
    thaw = threading.Event()
    cue = proxy.on_write(reactions.freeze(until=thaw), of=3)
    client = connect(proxy)
    assert client.sock is not None
    client.sock.sendall(b"NOOP\r\nPWD\r\n")
    assert [client.getline()[:3] for _ in range(2)] == ["200", "257"]
    client.sock.sendall(b"NOOP\r\nPWD\r\nTYPE I\r\n")
    assert cue.reached.wait(BOUND_SECONDS)
    proxy.on_reply(b"2", reactions.drop, to=b"PWD")
    thaw.set()
    assert [client.getline()[:3] for _ in range(2)] == ["200", "200"]


def test_the_proxy_cuts_after_a_reply(proxy: FtpProxy, connect: Connect) -> None:
    proxy.on_reply(b"257", reactions.forward_then_cut)
    client = connect(proxy)
    assert client.mkd("/a") == "/a"
    with pytest.raises(LOST):
        client.sendcmd("NOOP")


def test_the_proxy_loses_the_reply_to_one_of_several_pipelined_commands(
    proxy: FtpProxy, server: ScriptedServer, connect: Connect
) -> None:
    server.put(b"/.am-1", b"new")
    proxy.lose_reply(b"RNTO")
    client = connect(proxy)
    assert client.sock is not None
    client.sock.sendall(b"MKD /a\r\nRNFR /.am-1\r\nRNTO /f\r\nNOOP\r\n")
    assert [client.getline()[:3] for _ in range(2)] == ["257", "350"]
    with pytest.raises(LOST):
        client.getline()
    assert server.files.keys() == {b"/f"}


def test_the_proxy_drops_a_reply_and_goes_on(proxy: FtpProxy, connect: Connect) -> None:
    proxy.on_reply(b"2", reactions.drop, to=b"MKD")
    client = connect(proxy, GIVE_UP_SECONDS)
    with pytest.raises(TimeoutError):
        client.mkd("/a")


@pytest.mark.parametrize("size", [0, 1, 30, 60, 90])
def test_the_proxy_cuts_the_control_connection_after_so_many_bytes(
    proxy: FtpProxy, server: ScriptedServer, size: int
) -> None:
    cue = proxy.on_control_after(size, reactions.cut)
    received, sent = b"", 0
    with _raw(proxy) as sock, suppress(*LOST):
        while block := sock.recv(4096):
            received += block
            sent += sock.send(b"USER u\r\n")
    assert cue.reached.is_set()
    assert size - sent <= len(received) <= size
    assert server.wait_until(lambda: server.open_connections == 0)


@pytest.mark.parametrize(
    ("action", "code"), [(reactions.cut, "226"), (reactions.early_fin, "226"), (reactions.reset, "426")]
)
def test_the_proxy_breaks_the_data_connection_after_so_many_bytes(
    proxy: FtpProxy, server: ScriptedServer, connect: Connect, action: Action, code: str
) -> None:
    proxy.on_data_after(10, action, during=b"STOR")
    client = connect(proxy)
    with suppress(ConnectionResetError, BrokenPipeError), client.transfercmd("STOR /f") as data:
        for _ in range(100):
            data.sendall(b"x" * 100)
    assert client.getline().startswith(code)
    # An RST may overtake bytes the server has not read yet.
    assert len(server.files[b"/f"].content) <= 10
    assert code == "426" or server.files[b"/f"].content == b"x" * 10
    assert _store(client, "/f", b"whole").startswith("226")


def test_the_proxy_counts_bytes_only_during_the_transfer_asked_for(
    proxy: FtpProxy, server: ScriptedServer, connect: Connect
) -> None:
    server.put(b"/f", b"x" * 100)
    cue = proxy.on_data_after(10, reactions.cut, during=b"RETR")
    client = connect(proxy)
    assert b"/f"[1:] in _fetch(client, "MLSD")
    assert not cue.reached.is_set()
    assert _fetch(client, "RETR /f") == b"x" * 10


def test_the_proxy_passes_on_a_reset_of_the_data_connection(
    proxy: FtpProxy, server: ScriptedServer, connect: Connect
) -> None:
    client = connect(proxy)
    with client.transfercmd("STOR /f") as data:
        data.sendall(b"half")
        assert server.wait_until(lambda: server.history.get(b"/f", [])[-1:] == [b"half"])
        data.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    with pytest.raises(ftplib.error_temp, match=r"^426"):
        client.voidresp()


def test_the_proxy_freezes_and_thaws(proxy: FtpProxy, server: ScriptedServer, connect: Connect) -> None:
    thaw = threading.Event()
    proxy.on_command(b"MKD", reactions.freeze(until=thaw))
    client = connect(proxy, GIVE_UP_SECONDS)
    with pytest.raises(TimeoutError):
        client.mkd("/a")
    client.close()
    assert b"/a" not in server.folders
    assert server.open_connections == 1  # half-open: the server does not learn that the client has left
    thaw.set()
    assert server.wait_until(lambda: server.open_connections == 0)
    assert b"/a" in server.folders


def test_the_proxy_freezes_in_the_middle_of_a_file(proxy: FtpProxy, server: ScriptedServer, connect: Connect) -> None:
    proxy.on_data_after(10, reactions.freeze())
    client = connect(proxy, GIVE_UP_SECONDS)
    with pytest.raises(TimeoutError):
        _store(client, "/f", b"x" * 100)
    assert server.files[b"/f"].content == b"x" * 10


def test_the_proxy_throttles(proxy: FtpProxy, connect: Connect) -> None:
    proxy.on_data_after(0, reactions.throttle(1000))
    client = connect(proxy)
    before = time.monotonic()
    assert _store(client, "/f", b"x" * 200).startswith("226")
    assert time.monotonic() - before >= 0.2


def test_the_proxy_corrupts_one_byte(proxy: FtpProxy, server: ScriptedServer, connect: Connect) -> None:
    proxy.on_data_after(2, reactions.corrupt)
    assert _store(connect(proxy), "/f", b"abcd").startswith("226")
    assert server.files[b"/f"].content == b"ab\x9cd"


def test_the_proxy_injects_before_tls_and_then_lets_bytes_pass(proxy: FtpProxy, server: ScriptedServer) -> None:
    server.on("AUTH", reactions.say(b"234 Go ahead."))
    proxy.on_reply(b"234", reactions.inject(b"230 Logged in, says the attacker.\r\n"))
    with _raw(proxy) as sock:
        sock.sendall(b"AUTH TLS\r\n")
        assert _read_until(sock, b"attacker.\r\n").endswith(b"234 Go ahead.\r\n230 Logged in, says the attacker.\r\n")
        sock.sendall(b"\x16\x03\x01 no line end")
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(1) == b""
    assert [line for _, line in proxy.commands] == [b"AUTH TLS"]


def test_the_proxy_answers_for_the_server_and_rewrites_what_it_says(secure_server: ScriptedServer) -> None:
    proxy = FtpProxy(secure_server.port)
    proxy.on_reply(b"211", reactions.rewrite(b" AUTH TLS\r\n", b""))
    proxy.on_command(b"AUTH", reactions.answer(b"502 No."))
    with _ends_at_once(proxy), _raw(proxy) as sock:
        sock.sendall(b"FEAT\r\n")
        assert b"AUTH" not in _read_until(sock, b"211 End\r\n")
        sock.sendall(b"AUTH TLS\r\n")
        assert _read_until(sock, b"\r\n") == b"502 No.\r\n"
        sock.sendall(b"NOOP\r\n")
        assert _read_until(sock, b"\r\n").startswith(b"530")
        assert secure_server.commands() == ["FEAT", "NOOP"]
        assert proxy.heard == [b"FEAT\r\nAUTH TLS\r\nNOOP\r\n"]


def test_everything_ends_at_once_in_the_midst_of_things() -> None:
    server = ScriptedServer()
    proxy = FtpProxy(server.port)
    cues = (
        proxy.on_command(b"TYPE", reactions.freeze()),
        server.on("NOOP", reactions.dribble(60)),
        server.on("PWD", reactions.perform_after(threading.Event())),
        server.on("STAT", reactions.stay_silent),
        server.on("STOR", reactions.behave),
        server.on("FEAT", reactions.endless_reply),
    )
    commands = (b"TYPE I", b"NOOP", b"PWD", b"STAT", b"USER u\r\nPASS p\r\nEPSV\r\nSTOR /f", b"FEAT")
    with ExitStack() as stack:
        clients = [stack.enter_context(_raw(proxy)) for _ in commands]
        stack.enter_context(_ends_at_once(server))
        stack.enter_context(_ends_at_once(proxy))
        for client, command in zip(clients, commands, strict=True):
            client.sendall(command + b"\r\n")
        assert all(cue.reached.wait(BOUND_SECONDS) for cue in cues)
