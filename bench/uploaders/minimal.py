"""The least that an uploader can do: blocking sockets in threads, commands pipelined, two round trips a file.

It stands for the floor. It keeps no state, looks at nothing that is there, publishes files half if it is cut off, and
knows three servers. A file's STOR leaves together with the command for its mtime and with EPSV for the next file, while
the data connection is being made; what then comes back is read together. vsftpd takes a round trip more, TLS, too.
"""

from __future__ import annotations

import os
import re
import select
import socket
import ssl
import sys
import threading  # not the product: what it is compared with
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from bench.uploaders.shared import Given, Upload, folders, given, uploads

_TIMEOUT_S: Final = 60
_BLOCK: Final = 1 << 20
_WINDOW: Final = 1200
"""Bytes of commands on their way at most: ProFTPD 1.3.8 joins two when a read of its ends between CR and LF."""


class _Control:
    """A control connection, logged in."""

    def __init__(self, told: Given) -> None:
        self._host = told.host
        self._tls = told.tls
        self._socket = socket.create_connection((told.host, told.port), timeout=_TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._replies = self._socket.makefile("rb")
        self.expect("220")
        if told.tls:
            self._secure(told.tls)
        for command, code in ((f"USER {told.user}", "331"), (f"PASS {told.password}", "230"), ("TYPE I", "200")):
            self.ask(command, code)

    def _secure(self, context: ssl.SSLContext) -> None:
        self.ask("AUTH TLS", "234")
        self._socket = context.wrap_socket(self._socket, server_hostname=self._host)
        self._replies = self._socket.makefile("rb")
        self.send("PBSZ 0", "PROT P")
        self.expect("200")
        self.expect("200")

    def send(self, *commands: str) -> None:
        """Send commands in one write."""
        self._socket.sendall("".join(f"{command}\r\n" for command in commands).encode())

    def ask(self, command: str, code: str) -> str:
        """Send a command and read its reply."""
        self.send(command)
        return self.expect(code)

    def expect(self, *codes: str) -> str:
        """Read a reply, which must have one of the codes."""
        first = line = self._line()
        lines = [line]
        while line[:3] != first[:3] or line[3:4] == "-":
            line = self._line()
            lines.append(line)
        if not first.startswith(codes):
            raise RuntimeError(f"{first.strip()!r} instead of {' or '.join(codes)}")
        return "".join(lines)

    def _line(self) -> str:
        line = self._replies.readline()
        if not line:
            raise EOFError("the server has closed the control connection")
        return line.decode("utf-8", "replace")

    def connect(self) -> socket.socket:
        """Read the reply to EPSV and begin to connect."""
        found = re.search(r"\|\|\|(\d+)\|", self.expect("229"))
        assert found
        data = socket.socket()
        data.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        data.setblocking(False)
        data.connect_ex((self._host, int(found[1])))
        return data

    def fill(self, data: socket.socket, local: str) -> socket.socket:
        """Wait for the connection, send the file and its end; return the socket, to be kept until the reply has come.

        With TLS it is closed only then, and the server's close_notify is not waited for: a socket closed while tickets
        of TLS 1.3 are unread is reset, and the server loses the file's end.
        """
        poll = select.poll()
        poll.register(data, select.POLLOUT)
        poll.poll(_TIMEOUT_S * 1000)
        if error := data.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(error, os.strerror(error))
        data.settimeout(_TIMEOUT_S)
        if self._tls:
            assert isinstance(self._socket, ssl.SSLSocket)
            data = self._tls.wrap_socket(data, server_hostname=self._host, session=self._socket.session)
        descriptor = os.open(local, os.O_RDONLY)
        while block := os.read(descriptor, _BLOCK):
            data.sendall(block)
        os.close(descriptor)
        if isinstance(data, ssl.SSLSocket):
            data.setblocking(False)
            with suppress(ssl.SSLWantReadError, OSError):
                data.unwrap()
        data.shutdown(socket.SHUT_WR)
        return data


def _make_folders(control: _Control, names: Iterable[str]) -> None:
    """Make all, as many at once as are safe."""
    outstanding: deque[int] = deque()
    for name in names:
        command = f"MKD {name}"
        while outstanding and sum(outstanding) + len(command) > _WINDOW:
            control.expect("257")
            outstanding.popleft()
        control.send(command)
        outstanding.append(len(command) + 2)
    for _ in outstanding:
        control.expect("257")


def _send_files(control: _Control, setter: str, waiting: deque[Upload]) -> None:
    """Send what is waiting until nothing is; `waiting` is shared with the other threads."""
    control.send("EPSV")
    while True:
        try:
            upload = waiting.popleft()
        except IndexError:
            break
        data = control.connect()
        control.send(f"STOR {upload.remote}", f"{setter} {upload.time} {upload.remote}", "EPSV")
        data = control.fill(data, upload.local)
        control.expect("150", "125")
        control.expect("226")
        data.close()
        control.expect("213")
    control.expect("229")
    control.ask("QUIT", "221")


def _lane(told: Given, setter: str, waiting: deque[Upload], failures: list[str]) -> None:
    try:
        _send_files(_Control(told), setter, waiting)
    except (OSError, EOFError, RuntimeError) as error:
        failures.append(f"{type(error).__name__}: {error}")


def main() -> None:
    """Make the folders over one connection, then send the files over all."""
    told = given(__doc__)
    control = _Control(told)
    setter = "MFMT" if "MFMT" in control.ask("FEAT", "211") else "MDTM"  # vsftpd sets with MDTM
    _make_folders(control, folders(told.source))
    control.send("QUIT")
    waiting, failures = deque(uploads(told.source)), list[str]()
    lanes = [threading.Thread(target=_lane, args=(told, setter, waiting, failures)) for _ in range(told.lanes)]
    for lane in lanes:
        lane.start()
    for lane in lanes:
        lane.join()
    sys.exit("\n".join(failures) or 0)


if __name__ == "__main__":
    main()
