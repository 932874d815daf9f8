"""What the fault tools share: background threads that end together, and cues.

`scripted` is an FTP server that misbehaves on cue, `proxy` a relay that cuts; neither knows the program under test.
"""

import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Generic, Self, TypeVar

from .tree import Refused as Refused

HOST = "127.0.0.1"
CLOSING_SECONDS = 1.0
BLOCK = 65536
ESTABLISHED = 1

Event = TypeVar("Event")


class Cue(Generic[Event]):
    """A reaction waiting for its event; `reached` is set as soon as it is taken, before the reaction runs."""

    def __init__(self, matches: Callable[[Event], bool], react: Callable[[Event], None], times: int | None) -> None:
        self.matches = matches
        self.react = react
        self.times_left = times
        self.reached = threading.Event()


class Cues(Generic[Event]):
    """The registered cues in order; the first one that matches and is not used up takes the event."""

    def __init__(self) -> None:
        self._cues: list[Cue[Event]] = []
        self._lock = threading.Lock()

    def add(self, matches: Callable[[Event], bool], react: Callable[[Event], None], times: int | None) -> Cue[Event]:
        """Register a cue for the next `times` matching events, or for all of them when `times` is None."""
        cue = Cue(matches, react, times)
        with self._lock:
            self._cues.append(cue)
        return cue

    def take(self, event: Event) -> Cue[Event] | None:
        """Return the cue for this event, used up by one, or None."""
        with self._lock:
            cue = next((cue for cue in self._cues if cue.times_left != 0 and cue.matches(event)), None)
            if cue is None:
                return None
            if cue.times_left is not None:
                cue.times_left -= 1
            cue.reached.set()
            return cue


class Background:
    """Threads with blocking sockets that all end at `close`; also a context manager."""

    def __init__(self) -> None:
        self.closing = threading.Event()
        self.failures: list[Exception] = []
        self._threads: list[threading.Thread] = []
        self._sockets: set[socket.socket] = set()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if error is None and self.failures:
            raise self.failures[0]

    def spawn(self, target: Callable[..., None], *arguments: object) -> threading.Thread:
        """Run a function in a thread that `close` waits for."""
        name = f"{type(self).__name__}.{target.__name__}"
        thread = threading.Thread(target=self._run, args=(target, *arguments), name=name, daemon=True)
        with self._lock:
            self._threads = [each for each in self._threads if each.is_alive()]
            self._threads.append(thread)
            thread.start()
        return thread

    def _run(self, target: Callable[..., None], *arguments: object) -> None:
        try:
            target(*arguments)
        except OSError:
            pass  # a peer that goes away, or close(), ends the thread: not a failure of the tool
        except Exception as failure:  # noqa: BLE001 - kept for __exit__, else a broken reaction would go unseen
            self.failures.append(failure)

    def listen(self, receive_buffer: int | None = None) -> socket.socket:
        """Open a tracked listener on a free port of the loopback address."""
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer is not None:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        listener.bind((HOST, 0))
        listener.listen(100)
        return self.track(listener)

    def track(self, sock: socket.socket) -> socket.socket:
        """Have `close` wake whoever is blocked on this socket."""
        with self._lock:
            self._sockets.add(sock)
            too_late = self.closing.is_set()
        if too_late:
            shut(sock)
        return sock

    def release(self, sock: socket.socket) -> None:
        """Close a tracked socket."""
        with self._lock:
            self._sockets.discard(sock)
        sock.close()

    @contextmanager
    def held(self, sock: socket.socket) -> Iterator[socket.socket]:
        """Track a socket and close it at the end of the block."""
        try:
            yield self.track(sock)
        finally:
            self.release(sock)

    def wait_for(self, event: threading.Event | None) -> None:
        """Wait until the event, if there is one, is set or the tool is closed."""
        while event and not self.closing.is_set() and not event.wait(0.02):
            pass

    def wait_for_fin(self, sock: socket.socket) -> None:
        """Wait until the other side has sent all that it will (Linux), or the tool is closed."""
        while sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == ESTABLISHED:
            if self.closing.wait(0.005):
                return

    def close(self) -> None:
        """End every thread and close every socket; raise if a thread does not end within a second."""
        with self._lock:
            self.closing.set()
            for sock in self._sockets:
                shut(sock)
        deadline = time.monotonic() + CLOSING_SECONDS
        while thread := next((each for each in self._threads if each.is_alive()), None):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{thread.name} did not end")
            thread.join(0.1)
        for sock in list(self._sockets):
            self.release(sock)


def shut(sock: socket.socket) -> None:
    """End both directions, which also wakes a thread blocked in accept, recv or send on it (Linux)."""
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def arm_reset(sock: socket.socket) -> None:
    """Make the coming close of this socket send RST instead of FIN."""
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def text(lines: list[bytes]) -> bytes:
    """Return lines as a listing sends them."""
    return b"".join(line + b"\r\n" for line in lines)


def reply_length(data: bytes) -> int:
    """Return how many bytes the first reply has (RFC 959 4.2), or 0 if it is not whole yet."""
    if re.match(rb"\d{3}-", data):
        last_line = re.search(rb"^%b .*\n" % data[:3], data, re.MULTILINE)
        return last_line.end() if last_line else 0
    return data.find(b"\n") + 1
