"""The test servers do what the tests that rely on them take for granted."""

from __future__ import annotations

import ftplib
import io
import os
import ssl
from pathlib import Path

import pytest
from servers import KINDS, PASSWORD, REAL, UID, USER, FtpServer, Kind, ServerFactory, available

FROZEN_REPLY_TIMEOUT_S = 0.3

# What a third client reads under max_per_ip=2. ProFTPD greets and refuses at login, in answer to PASS, with the code of
# a wrong password; its MaxConnectionsPerHost refuses in place of the greeting. The others: in place of the greeting.
REFUSALS: dict[Kind, str] = {
    "vsftpd": "421 There are too many connections from your internet address.",
    "proftpd": "530 Sorry, the maximum number of clients (2) from your host are already connected.",
    "pure-ftpd": "421 Too many connections (2) from this IP",
    "pyftpdlib": "421 Too many connections from the same IP address.",
    "aioftp": "421 Too many connections",
}


def log_in(server: FtpServer) -> ftplib.FTP:
    client = ftplib.FTP(timeout=20)
    try:
        client.connect(server.host, server.port)
        client.login(USER, PASSWORD)
    except BaseException:
        client.close()
        raise
    return client


def store(client: ftplib.FTP, name: str, content: bytes) -> None:
    client.storbinary(f"STOR {name}", io.BytesIO(content))


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_stored_file_lands_in_the_docroot(any_server: FtpServer) -> None:
    with log_in(any_server) as client:
        store(client, "a b.txt", b"content\n")
        stored = any_server.docroot / "a b.txt"
        assert stored.read_bytes() == b"content\n"
        assert stored.stat().st_mode & 0o777 == 0o644


def test_docroot_starts_empty_and_belongs_to_the_servers_user(any_server: FtpServer) -> None:
    assert list(any_server.docroot.iterdir()) == []
    assert any_server.docroot.stat().st_uid == (UID if os.geteuid() == 0 else os.geteuid())


def test_client_may_change_what_a_test_put_there(any_server: FtpServer) -> None:
    folder = any_server.docroot / "folder"
    folder.mkdir(mode=0o755)
    (folder / "old").write_text("old")
    any_server.adopt()
    with log_in(any_server) as client:
        store(client, "folder/old", b"new")
        store(client, "folder/added", b"added")
        client.delete("folder/added")
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"old": "new"}


def test_commands_are_told_in_order_once_each_and_without_the_password(any_server: FtpServer) -> None:
    with log_in(any_server) as client:
        client.voidcmd("TYPE I")
        client.voidcmd("TYPE I")
        client.sendcmd("pwd")
        store(client, "naïve 'a'.txt", b"x")
        seen = [line for line in any_server.commands() if not line.startswith(("PASV", "EPSV"))]
    name = "na??ve" if any_server.kind == "vsftpd" else "naïve"
    assert seen == [f"USER {USER}", "PASS ***", "TYPE I", "TYPE I", "PWD", "TYPE I", f"STOR {name} 'a'.txt"]


def test_connections_are_counted_exactly_from_where_they_were_marked(any_server: FtpServer) -> None:
    assert any_server.connections() == 0
    for number in (1, 2, 3):
        with log_in(any_server):
            assert any_server.connections() == number
    any_server.mark()
    assert any_server.connections() == 0
    with log_in(any_server):
        assert any_server.connections() == 1


def test_many_commands_are_all_told(any_server: FtpServer) -> None:
    with log_in(any_server) as client:
        for number in range(300):
            client.sendcmd("PWD" if number % 3 else "TYPE I")
        told = [line for line in any_server.commands() if line in {"PWD", "TYPE I"}]
    assert told == ["PWD" if number % 3 else "TYPE I" for number in range(300)]


@pytest.mark.parametrize("kind", KINDS)
def test_third_connection_is_refused_under_a_limit_of_two(kind: Kind, server_factory: ServerFactory) -> None:
    server = server_factory(kind, max_per_ip=2)
    with log_in(server), log_in(server):
        with pytest.raises(ftplib.Error) as refusal:
            log_in(server)
        assert str(refusal.value) == REFUSALS[kind]
        assert server.connections() == (3 if kind == "proftpd" else 2)


@pytest.mark.parametrize("kind", KINDS)
def test_restart_drops_clients_and_keeps_port_files_and_counts(kind: Kind, server_factory: ServerFactory) -> None:
    server = server_factory(kind)
    port = server.port
    with log_in(server) as client:
        store(client, "kept.txt", b"kept")
        server.restart()
        with pytest.raises(ftplib.all_errors):
            client.voidcmd("NOOP")
    assert server.port == port
    with log_in(server) as client:
        listing: list[str] = []
        client.retrlines("LIST", listing.append)
        assert [line for line in listing if line.endswith(" kept.txt")]
    assert server.connections() == 2


@pytest.mark.parametrize("kind", KINDS)
def test_no_process_is_left_after_stop(kind: Kind, server_factory: ServerFactory) -> None:
    server = server_factory(kind)
    with log_in(server), log_in(server):
        pids = server.processes()
        assert all(is_alive(pid) for pid in pids)
        assert len(pids) >= (3 if kind in REAL else 1)
        server.stop()
        assert [pid for pid in pids if is_alive(pid)] == []
        assert server.processes() == []
    with pytest.raises(ConnectionRefusedError):
        log_in(server)


@pytest.mark.parametrize("kind", KINDS)
def test_frozen_server_can_be_stopped(kind: Kind, server_factory: ServerFactory) -> None:
    server = server_factory(kind)
    with log_in(server):
        pids = server.processes()
        server.freeze()
        server.stop()
        assert [pid for pid in pids if is_alive(pid)] == []


def test_frozen_server_is_silent_and_goes_on_when_thawed(any_server: FtpServer) -> None:
    with log_in(any_server) as client:
        assert client.sock is not None
        any_server.freeze()
        client.sock.settimeout(FROZEN_REPLY_TIMEOUT_S)
        client.putcmd("NOOP")
        with pytest.raises(TimeoutError):
            client.sock.recv(1)
        any_server.thaw()
        client.sock.settimeout(20)
        assert client.sock.recv(4096)[:4] in {b"200 ", b"502 "}  # aioftp's server knows no NOOP


def test_one_session_can_be_killed_alone(real_server: FtpServer) -> None:
    assert real_server.session_pids() == []
    with log_in(real_server) as first, log_in(real_server) as second:
        sessions = real_server.session_pids()
        assert len(sessions) == 2
        os.kill(sessions[0], 9)
        with pytest.raises(ftplib.all_errors):  # vsftpd's other process still says 500 OOPS: child died
            first.voidcmd("NOOP")
        second.voidcmd("NOOP")


def test_failed_start_tells_why(server_factory: ServerFactory) -> None:
    with pytest.raises(RuntimeError, match=r"vsftpd did not start: .*no_such_setting"):
        server_factory("vsftpd", options={"no_such_setting": "YES"})


def test_proftpd_can_deny_overwriting(server_factory: ServerFactory) -> None:
    server = server_factory("proftpd", options={"deny_overwrite": True})
    with log_in(server) as client:
        store(client, "once", b"1")
        with pytest.raises(ftplib.error_perm, match=r"^550"):
            store(client, "once", b"2")


class ReusingFtpTls(ftplib.FTP_TLS):
    """ftplib's client with the control connection's TLS session on data connections, as servers insist."""

    def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[ssl.SSLSocket, int | None]:
        plain, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        assert isinstance(self.sock, ssl.SSLSocket)
        wrapped = self.context.wrap_socket(plain, server_hostname=self.host, session=self.sock.session)
        return wrapped, size


@pytest.mark.parametrize("kind", REAL)
def test_tls_is_required_and_verifies(kind: Kind, server_factory: ServerFactory) -> None:
    server = server_factory(kind, tls=True)
    with pytest.raises(ftplib.Error):
        log_in(server)
    context = ssl.create_default_context(cafile=str(server.ca_file))
    with ReusingFtpTls(context=context, timeout=20) as client:
        client.connect(server.host, server.port)
        client.login(USER, PASSWORD)
        client.prot_p()
        store(client, "secret", b"content")
        assert (server.docroot / "secret").read_bytes() == b"content"
        assert "STOR secret" in server.commands()


def test_real_servers_are_refused_without_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for kind in REAL:
        assert "root" in available(kind)
        with pytest.raises(RuntimeError, match="root"):
            FtpServer(kind, tmp_path / "docroot", tmp_path / "work").start()
