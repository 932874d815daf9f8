"""A syslog for one server, at a socket in its work folder; knows nothing of what is logged."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

_TIMEOUT_S = 15


class Syslog:
    """Stands in for syslog at a socket and writes each message as a line; the server waits for nobody else."""

    _FLUSH = b"\0flush"
    _CLOSE = b"\0close"

    def __init__(self, path: Path, log: Path) -> None:
        path.unlink(missing_ok=True)
        self._log = log
        self._folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
        self._address = f"/proc/self/fd/{self._folder}/{path.name}"  # a socket's path may have 107 bytes at most
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self._address)
        self._flushed = threading.Event()
        self._thread = threading.Thread(target=self._collect, daemon=True)
        self._thread.start()

    def flush(self) -> None:
        """Return when all that was sent so far is written: datagrams keep their order, and ours is the last."""
        self._flushed.clear()
        self._socket.sendto(self._FLUSH, self._address)
        assert self._flushed.wait(_TIMEOUT_S), "the thread that collects syslog has ended"

    def close(self) -> None:
        """Write what was sent and give everything back."""
        self._socket.sendto(self._CLOSE, self._address)
        self._thread.join()
        self._socket.close()
        os.close(self._folder)

    def _collect(self) -> None:
        with self._log.open("ab", buffering=0) as log:
            while (message := self._socket.recv(1 << 16)) != self._CLOSE:
                if message == self._FLUSH:
                    self._flushed.set()
                else:
                    log.write(message.rstrip(b"\0\n").replace(b"\n", b" ") + b"\n")
