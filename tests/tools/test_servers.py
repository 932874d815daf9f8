"""The test servers do what the tests that rely on them take for granted."""

from __future__ import annotations

import contextlib
import ftplib
import functools
import hashlib
import io
import os
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from servers import (
    ALL,
    KINDS,
    NPM_PACKAGES,
    PASSWORD,
    REAL,
    TLS_MODES,
    TLS_VERSIONS,
    UID,
    USER,
    FtpServer,
    KeptServer,
    Kind,
    ServerFactory,
    Tls,
    TlsVersion,
    available,
)
from servers.certificates import HOSTS, KEY_PASSWORD, Certificate, Certificates

FROZEN_REPLY_TIMEOUT_S = 0.3

# What a third client reads under max_per_ip=2. ProFTPD greets and refuses at login, in answer to PASS, with the code of
# a wrong password; its MaxConnectionsPerHost refuses in place of the greeting. The others: in place of the greeting.
REFUSALS: dict[Kind, str] = {
    "vsftpd": "421 There are too many connections from your internet address.",
    "proftpd": "530 Sorry, the maximum number of clients (2) from your host are already connected.",
    "pure-ftpd": "421 Too many connections (2) from this IP",
    "pyftpdlib": "421 Too many connections from the same IP address.",
    "aioftp": "421 Too many connections",
    "twisted": "421 Too many users right now, try again in a few minutes.",
    **dict.fromkeys(("inetutils", *NPM_PACKAGES), ""),  # closed without a word
}


@pytest.fixture(params=ALL)
def any_server(request: pytest.FixtureRequest, kept_server: KeptServer) -> FtpServer:
    """Run the test once on each kind, those included that few have tried."""
    return kept_server(request.param)


class Client(ftplib.FTP):
    """Leaves without QUIT where the server does not know it."""

    def quit(self) -> str:
        with contextlib.suppress(ftplib.error_perm):
            return super().quit()
        self.close()
        return ""


def log_in(server: FtpServer) -> ftplib.FTP:
    client = Client(timeout=20)
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


@pytest.mark.parametrize("kind", ALL)
def test_third_connection_is_refused_under_a_limit_of_two(kind: Kind, server_factory: ServerFactory) -> None:
    server = server_factory(kind, max_per_ip=2)
    with log_in(server), log_in(server):
        with pytest.raises((ftplib.Error, EOFError)) as refusal:
            log_in(server)
        assert str(refusal.value) == REFUSALS[kind]
        assert server.connections() == (3 if kind == "proftpd" else 2)


@pytest.mark.parametrize("kind", ALL)
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


@pytest.mark.parametrize("kind", ALL)
def test_no_process_is_left_after_stop(kind: Kind, server_factory: ServerFactory) -> None:
    server = server_factory(kind)
    with log_in(server), log_in(server):
        pids = server.processes()
        assert all(is_alive(pid) for pid in pids)
        assert len(pids) >= (3 if kind in (*REAL, "inetutils") else 1)
        server.stop()
        assert [pid for pid in pids if is_alive(pid)] == []
        assert server.processes() == []
    with pytest.raises(ConnectionRefusedError):
        log_in(server)


@pytest.mark.parametrize("kind", ALL)
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


class TlsClient(ftplib.FTP_TLS):
    """ftplib's client with the control connection's TLS session on data connections, if so told; and with ftps."""

    def __init__(self, server: FtpServer, *, context: ssl.SSLContext | None = None, reuse: bool = True) -> None:
        super().__init__(context=context or trusting(server), timeout=20)
        self._server = server
        self._reuse = reuse
        self.data_versions: set[str | None] = set()
        self.reused: set[bool | None] = set()

    def log_in(self) -> None:
        if self._server.tls == "implicit":
            self.host = self._server.host
            plain = socket.create_connection((self.host, self._server.port), self.timeout)
            self.sock: ssl.SSLSocket = self.context.wrap_socket(plain, server_hostname=self.host)
            self.af = self.sock.family
            self.file = self.sock.makefile("r", encoding=self.encoding)
            self.getresp()
        else:
            self.connect(self._server.host, self._server.port)
        self.login(USER, PASSWORD)
        self.prot_p()

    def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[ssl.SSLSocket, int | None]:
        plain, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        session = self.sock.session if self._reuse else None
        data = self.context.wrap_socket(plain, server_hostname=self.host, session=session)
        self.data_versions.add(data.version())
        self.reused.add(data.session_reused)
        return data, size


def trusting(server: FtpServer) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=server.certificates.ca)


@pytest.fixture(params=[(kind, tls) for kind in KINDS for tls in TLS_MODES[kind]], ids="-".join)
def secure_server(request: pytest.FixtureRequest, server_factory: ServerFactory) -> Callable[..., FtpServer]:
    """Make a server of each kind, in each way that it knows TLS."""
    return functools.partial(server_factory, request.param[0], tls=request.param[1])


@pytest.mark.parametrize("version", TLS_VERSIONS)
def test_files_are_stored_over_tls_with_the_session_of_the_control_connection(
    secure_server: Callable[..., FtpServer], version: TlsVersion
) -> None:
    server = secure_server(tls_version=version)
    with TlsClient(server) as client:
        client.log_in()
        store(client, "empty", b"")
        store(client, "secret", b"content" * 10_000)
        assert client.sock.version() == f"TLSv{version}"
        assert client.data_versions == {f"TLSv{version}"}
        assert client.reused == {server.kind != "pure-ftpd" or version == "1.2"}
    assert {path.name: path.read_bytes() for path in server.docroot.iterdir()} == {
        "empty": b"",
        "secret": b"content" * 10_000,
    }
    assert "STOR secret" in server.commands()


@pytest.mark.parametrize(("version", "other"), [("1.2", ssl.TLSVersion.TLSv1_3), ("1.3", ssl.TLSVersion.TLSv1_2)])
def test_only_the_version_asked_for_is_spoken(
    secure_server: Callable[..., FtpServer], version: TlsVersion, other: ssl.TLSVersion
) -> None:
    server = secure_server(tls_version=version)
    context = trusting(server)
    context.minimum_version = context.maximum_version = other
    assert_no_login(server, context)


def assert_no_login(server: FtpServer, context: ssl.SSLContext) -> None:
    client = TlsClient(server, context=context)
    with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
        client.log_in()
    client.close()
    assert [command for command in server.commands() if command.startswith("USER")] == []


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "explicit" in TLS_MODES[kind]])
def test_plain_login_and_plain_data_are_refused_where_tls_is_explicit(
    kind: Kind, server_factory: ServerFactory
) -> None:
    server = server_factory(kind, tls="explicit")
    with pytest.raises(ftplib.Error):
        log_in(server)
    with TlsClient(server) as client:
        client.log_in()
        with pytest.raises(ftplib.Error):
            begin_in_the_clear(client)


def begin_in_the_clear(client: TlsClient) -> None:
    client.prot_c()
    ftplib.FTP.ntransfercmd(client, "STOR plain")


@pytest.mark.parametrize("version", TLS_VERSIONS)
@pytest.mark.parametrize("tls", ["explicit", "implicit"])
@pytest.mark.parametrize(("kind", "code"), [("vsftpd", "522"), ("proftpd", "425")])
def test_transfer_without_the_session_is_refused_when_the_old_content_is_lost(
    kind: Kind, code: str, tls: Tls, version: TlsVersion, server_factory: ServerFactory
) -> None:
    server = server_factory(kind, tls=tls, tls_version=version)
    (server.docroot / "file").write_text("old")
    server.adopt()
    with TlsClient(server, reuse=False) as client:
        client.log_in()
        with contextlib.suppress(OSError), client.transfercmd("STOR file") as data:  # it may be closed by now
            data.sendall(b"new")
        with pytest.raises(ftplib.Error, match=f"^{code}"):
            client.voidresp()
    assert (server.docroot / "file").read_bytes() == b""


@pytest.mark.parametrize("version", TLS_VERSIONS)
def test_vsftpd_insists_on_close_notify(version: TlsVersion, server_factory: ServerFactory) -> None:
    server = server_factory("vsftpd", tls="explicit", tls_version=version)
    with TlsClient(server) as client:
        client.log_in()
        data = client.transfercmd("STOR file")
        data.sendall(b"content")
        data.close()
        with pytest.raises(ftplib.Error, match=r"^426"):
            client.voidresp()


@pytest.mark.parametrize(("kind", "tls"), [(kind, tls) for kind in KINDS for tls in ("", *TLS_MODES[kind])])
def test_files_are_stored_over_ipv6(kind: Kind, tls: Tls, server_factory: ServerFactory) -> None:
    server = server_factory(kind, tls=tls, host="::1")
    client: ftplib.FTP
    if tls:
        client = TlsClient(server)
        client.log_in()
    else:
        client = log_in(server)
    with client:
        store(client, "file", b"content")
        assert server.connections() == 1
    assert (server.docroot / "file").read_bytes() == b"content"


@pytest.mark.parametrize(
    ("certificate", "reason"),
    [
        ("expired", "certificate has expired"),
        ("early", "certificate is not yet valid"),
        ("self-signed", "self-signed certificate"),
        ("wrong-host", "IP address mismatch"),
        ("unknown-ca", "unable to get local issuer certificate"),
    ],
)
def test_certificate_has_the_flaw_asked_for(
    certificate: Certificate, reason: str, server_factory: ServerFactory
) -> None:
    server = server_factory("aioftp", tls="implicit", certificate=certificate)
    with pytest.raises(ssl.SSLCertVerificationError, match=reason):
        handshake(server, server.host)
    assert server.commands() == []


@pytest.mark.parametrize("host", HOSTS)
def test_good_certificate_is_for_each_name_of_the_loopback(host: str, server_factory: ServerFactory) -> None:
    server = server_factory("aioftp", tls="implicit")
    shown = handshake(server, host)
    assert hashlib.sha256(shown).hexdigest() == server.certificates.fingerprint()


def handshake(server: FtpServer, host: str) -> bytes:
    """Return the certificate that the server shows, once it is verified for the host."""
    with (
        socket.create_connection((server.host, server.port), 20) as plain,
        trusting(server).wrap_socket(plain, server_hostname=host) as wrapped,
    ):
        return wrapped.getpeercert(binary_form=True) or b""


@pytest.mark.parametrize("version", TLS_VERSIONS)
def test_client_needs_a_certificate_where_it_is_asked_for_one(
    secure_server: Callable[..., FtpServer], version: TlsVersion
) -> None:
    server = secure_server(tls_version=version, client_certificate=True)
    context = trusting(server)
    assert_no_login(server, context)
    context.load_cert_chain(server.certificates.client)
    with TlsClient(server, context=context) as client:
        client.log_in()
        store(client, "file", b"content")
    assert (server.docroot / "file").read_bytes() == b"content"


def test_certificate_of_another_ca_does_not_let_a_client_in(
    secure_server: Callable[..., FtpServer], tmp_path: Path
) -> None:
    server = secure_server(client_certificate=True)
    foreign = Certificates(tmp_path)
    foreign.make()
    context = trusting(server)
    context.load_cert_chain(foreign.client)
    assert_no_login(server, context)


def test_key_of_the_client_is_there_apart_and_encrypted(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    certificates.make()
    context = ssl.create_default_context()
    context.load_cert_chain(certificates.client_certificate, certificates.client_key)
    context.load_cert_chain(certificates.client_certificate, certificates.client_encrypted_key, KEY_PASSWORD)
    with pytest.raises(ssl.SSLError):
        context.load_cert_chain(certificates.client_certificate, certificates.client_encrypted_key, "wrong")


def test_certificates_are_others_when_made_again(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    certificates.make()
    before = certificates.fingerprint()
    certificates.make()
    assert certificates.fingerprint() != before


def test_tls_that_a_server_does_not_know_is_refused(server_factory: ServerFactory) -> None:
    with pytest.raises(RuntimeError, match="pure-ftpd knows no implicit TLS"):
        server_factory("pure-ftpd", tls="implicit")


def test_real_servers_are_refused_without_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for kind in REAL:
        assert "root" in available(kind)
        with pytest.raises(RuntimeError, match="root"):
            FtpServer(kind, tmp_path / "docroot", tmp_path / "work").start()
