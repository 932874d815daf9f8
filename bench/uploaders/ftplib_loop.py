"""The loop that everybody writes first: ftplib, one connection, STOR after STOR, MFMT; no look at what is there."""

from __future__ import annotations

import ftplib
import socket
import ssl
from pathlib import Path
from typing import IO

from bench.uploaders.shared import Given, Upload, folders, given, uploads

_BLOCK = 1 << 16
_TIMEOUT_S = 60


class _FtpTls(ftplib.FTP_TLS):
    """Resumes the control connection's session on data connections, which servers insist on and ftplib does not do."""

    def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[socket.socket, int | None]:
        data, size = ftplib.FTP.ntransfercmd(self, cmd, rest)  # noqa: S321
        assert isinstance(self.sock, ssl.SSLSocket)
        return self.context.wrap_socket(data, server_hostname=self.host, session=self.sock.session), size

    def send(self, command: str, file: IO[bytes]) -> None:
        """Upload a file, its end told by close_notify."""
        with self.transfercmd(command) as data:
            while block := file.read(_BLOCK):
                data.sendall(block)
            assert isinstance(data, ssl.SSLSocket)
            data.unwrap()
        self.voidresp()


def main() -> None:
    """Log in, make the folders, send the files."""
    told = given(__doc__)
    client = _logged_in(told)
    client.voidcmd("TYPE I")
    for folder in folders(told.source):
        client.mkd(folder)
    for upload in uploads(told.source):
        _send(client, upload)
    client.quit()


def _logged_in(told: Given) -> ftplib.FTP:
    client = _FtpTls(context=told.tls, timeout=_TIMEOUT_S) if told.tls else ftplib.FTP(timeout=_TIMEOUT_S)  # noqa: S321
    client.connect(told.host, told.port)
    client.login(told.user, told.password)
    if isinstance(client, _FtpTls):
        client.prot_p()
    return client


def _send(client: ftplib.FTP, upload: Upload) -> None:
    with Path(upload.local).open("rb") as file:
        if isinstance(client, _FtpTls):
            client.send(f"STOR {upload.remote}", file)
        else:
            client.storbinary(f"STOR {upload.remote}", file, _BLOCK)
    try:
        client.voidcmd(f"MFMT {upload.time} {upload.remote}")
    except ftplib.error_perm:  # vsftpd has none
        client.voidcmd(f"MDTM {upload.time} {upload.remote}")


if __name__ == "__main__":
    main()
