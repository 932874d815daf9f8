"""Processes of a server by their ids: which there are, what they listen on, and an end to them all. Linux only.

Knows nothing of FTP.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Self

_TIMEOUT_S = 15
_LISTEN = "0A"


class Namespace:
    """A mount namespace, held open: the kernel gives the number of one that has gone to the next, maybe not ours."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._identity = os.readlink(f"/proc/self/fd/{descriptor}")

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """Return the namespace of a process, or None when it has ended or has not left ours."""
        try:
            namespace = cls(os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC))
        except OSError:
            return None
        if os.getpid() in namespace.members():
            namespace.close()
            return None
        return namespace

    def members(self) -> list[int]:
        """List the processes in it, but for those that have begun to end."""
        return [int(name) for name in os.listdir("/proc") if name.isdecimal() and self._holds(name)]

    def close(self) -> None:
        """Let it go."""
        os.close(self._descriptor)

    def _holds(self, pid: str) -> bool:
        try:
            return os.readlink(f"/proc/{pid}/ns/mnt") == self._identity
        except OSError:  # ended, or another user's
            return False


def listens(pid: int, port: int) -> bool:
    """Tell whether this process, not just any, listens on the port."""
    sockets = {
        f"socket:[{fields[9]}]"
        for table in Path("/proc/net").glob("tcp*")  # tcp6 is not there without IPv6
        for line in table.read_text().splitlines()[1:]
        if (fields := line.split())[3] == _LISTEN and fields[1].endswith(f":{port:04X}")
    }
    try:
        return bool(sockets) and any(os.readlink(fd) in sockets for fd in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:  # a descriptor or the process went away meanwhile
        return False


def living(pids: Iterable[int]) -> list[int]:
    """List those that have not ended, oldest first."""
    states = {pid: _status(pid) for pid in pids}
    return sorted((pid for pid in states if states[pid][0] not in "ZX"), key=lambda pid: (states[pid][2], pid))


def parent(pid: int) -> int:
    """Return the parent of a process, 0 when it has gone."""
    return _status(pid)[1]


def kill(pids: Callable[[], list[int]]) -> None:
    """Kill until none is left; raise RuntimeError about a process that does not die."""
    while doomed := pids():
        watched = [fd for pid in doomed if (fd := _watch(pid)) is not None]
        send_signal(doomed, signal.SIGSTOP)  # all at once: vsftpd's child else reports its parent's death to the client
        send_signal(doomed, signal.SIGKILL)
        try:
            for fd in watched:
                poll = select.poll()
                poll.register(fd, select.POLLIN)
                if not poll.poll(_TIMEOUT_S * 1000):
                    raise RuntimeError(f"of {doomed} not all die")
        finally:
            for fd in watched:
                os.close(fd)


def send_signal(pids: Iterable[int], number: signal.Signals) -> None:
    """Send it to each that has not ended."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def _watch(pid: int) -> int | None:
    """Open a descriptor that is readable once the process has ended; a dying process hides its namespace earlier."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


def _status(pid: int) -> tuple[str, int, int]:
    """Return state, parent and start time of a process; state Z when it has gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return "Z", 0, 0
    return fields[0], int(fields[1]), int(fields[19])
