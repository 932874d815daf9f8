"""What the fault tools share: background threads that end together, cues, and the in-memory site.

`scripted` is an FTP server that misbehaves on cue, `proxy` a relay that cuts; neither knows the program under test.
"""

import re
import socket
import stat
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Generic, NamedTuple, Self, TypeVar

HOST = "127.0.0.1"
CLOSING_SECONDS = 1.0
BLOCK = 65536
TEMPORARY = b".am-"
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


class Refused(Exception):
    """A command that cannot be done; the text is its reply."""

    def __init__(self, reply: bytes) -> None:
        super().__init__(reply)
        self.reply = reply


class StoredFile(NamedTuple):
    """A file of the site; the mtime in whole seconds, UTC."""

    content: bytes
    mtime: int
    mode: int


class StoredTree:
    """Files and folders by absolute path, and for each final path the sequence of contents it has shown.

    `changed` guards all of it and is notified of every change.
    """

    def __init__(self, *, case_insensitive: bool = False) -> None:
        self.files: dict[bytes, StoredFile] = {}
        self.folders: set[bytes] = {b"/"}
        self.folder_modes: dict[bytes, int] = {}
        self.history: dict[bytes, list[bytes | None]] = {}
        self.case_insensitive = case_insensitive
        self.seconds = 1
        """How exact its times are."""
        self.listed: Callable[[bytes], bytes | None] = bytes
        """What a listing shows of a name, None for nothing."""
        self.changed = threading.Condition()

    def locate(self, path: bytes) -> bytes:
        """Return the path in the site's spelling; parts that do not exist keep the given one."""
        if not self.case_insensitive or path == b"/":
            return path
        with self.changed:
            spelled = join(self.locate(parent_of(path)), name_of(path))
            known = (*self.files, *self.folders)
            return next((each for each in known if fold(each) == fold(spelled)), spelled)

    def exists(self, path: bytes) -> bool:
        """Say whether a file or folder is at this path."""
        return self.locate(path) in self.files or self.locate(path) in self.folders

    def file(self, path: bytes) -> StoredFile:
        """Return the file at this path or refuse."""
        try:
            return self.files[self.locate(path)]
        except KeyError:
            raise Refused(b"550 No such file.") from None

    def put(self, path: bytes, content: bytes, *, mtime: int | None = None, mode: int | None = None) -> None:
        """Set a file's content, making the folders above it; an existing file keeps its mode."""
        with self.changed:
            path = self.locate(path)
            self.folders.update(folders_above(path))
            old = self.files.get(path)
            if mode is None:
                mode = old.mode if old else 0o644
            self.files[path] = StoredFile(content, self._rounded(int(time.time()) if mtime is None else mtime), mode)
            self._show(path)

    def require_parent(self, path: bytes) -> None:
        """Refuse when there is no folder to hold this path."""
        if self.locate(parent_of(path)) not in self.folders:
            raise Refused(b"550 No such folder.")

    def require_storable(self, path: bytes) -> None:
        """Refuse when STOR could not open this path."""
        self.require_parent(path)
        if self.locate(path) in self.folders:
            raise Refused(b"550 Is a folder.")

    def set_mtime(self, path: bytes, mtime: int) -> None:
        """Change the modification time of a file."""
        with self.changed:
            self.files[self.locate(path)] = self.file(path)._replace(mtime=self._rounded(mtime))
            self.changed.notify_all()

    def _rounded(self, mtime: int) -> int:
        return mtime // self.seconds * self.seconds

    def set_mode(self, path: bytes, mode: int) -> None:
        """Change the permission bits of a file or folder."""
        with self.changed:
            path = self.locate(path)
            if path in self.folders:
                self.folder_modes[path] = mode
            else:
                self.files[path] = self.file(path)._replace(mode=mode)
            self.changed.notify_all()

    def remove_file(self, path: bytes) -> None:
        """Remove a file or refuse."""
        with self.changed:
            self.file(path)
            del self.files[self.locate(path)]
            self._show(self.locate(path))

    def make_folder(self, path: bytes) -> None:
        """Make one folder or refuse."""
        with self.changed:
            self.require_parent(path)
            if self.exists(path):
                raise Refused(b"550 File exists.")
            self.folders.add(self.locate(path))
            self.changed.notify_all()

    def remove_folder(self, path: bytes) -> None:
        """Remove an empty folder or refuse."""
        with self.changed:
            if self.children(path):
                raise Refused(b"550 Folder not empty.")
            if self.locate(path) == b"/":
                raise Refused(b"550 Permission denied.")
            self.folders.discard(self.locate(path))
            self.folder_modes.pop(self.locate(path), None)
            self.changed.notify_all()

    def children(self, folder: bytes) -> list[bytes]:
        """Return the paths directly in a folder, sorted, or refuse."""
        with self.changed:
            folder = self.locate(folder)
            if folder not in self.folders:
                raise Refused(b"550 No such folder.")
            return sorted(each for each in (*self.files, *self.folders) if each != b"/" and parent_of(each) == folder)

    def facts(self, path: bytes) -> bytes:
        """Return the MLSx facts of a path with the space that ends them, or refuse."""
        with self.changed:
            if (known := self.locate(path)) in self.folders:
                return b"type=dir;UNIX.mode=%04o; " % self.folder_modes.get(known, 0o755)
            content, mtime, mode = self.file(path)
            return b"type=file;size=%d;modify=%s;UNIX.mode=%04o; " % (len(content), timestamp(mtime), mode)

    def mlsd_lines(self, folder: bytes) -> list[bytes]:
        """Return the MLSD lines of what is in a folder."""
        with self.changed:
            return [self.facts(path) + shown for path, shown in self._shown(self.children(folder))]

    def unix_lines(self, path: bytes) -> list[bytes]:
        """Return the `ls -l` lines of what is in a folder, or of one file."""
        with self.changed:
            paths = [self.locate(path)] if self.locate(path) in self.files else self.children(path)
            return [self._unix_start(each) + shown for each, shown in self._shown(paths)]

    def _shown(self, paths: list[bytes]) -> Iterator[tuple[bytes, bytes]]:
        for path in paths:
            if (shown := self.listed(name_of(path))) is not None:
                yield path, shown

    def _unix_start(self, path: bytes) -> bytes:
        folder = StoredFile(b"", 0, stat.S_IFDIR | self.folder_modes.get(path, 0o755))
        content, mtime, mode = self.files.get(path, folder)
        recent = 0 <= time.time() - mtime < 180 * 86400  # as /bin/ls: minutes for half a year, then only the day
        day = time.strftime("%b %d %H:%M" if recent else "%b %d  %Y", time.gmtime(mtime))
        kind = stat.filemode(mode if path in self.folders else mode | stat.S_IFREG)
        return f"{kind} 1 ftp ftp {len(content):12d} {day} ".encode()

    def rename(self, source: bytes, target: bytes) -> None:
        """Rename in one step, replacing an existing file as POSIX does; the target's spelling is the given one."""
        with self.changed:
            self.require_parent(target)
            source, replaced = self.locate(source), self.locate(target)
            if not self.exists(source):
                raise Refused(b"550 No such file or folder.")
            target = join(self.locate(parent_of(target)), name_of(target))
            is_folder = source in self.folders
            if replaced != source and (replaced in self.folders or (is_folder and replaced in self.files)):
                raise Refused(b"550 Target exists.")
            if is_folder and target.startswith(source + b"/"):
                raise Refused(b"550 A folder cannot move into itself.")
            if replaced != source:
                self.files.pop(replaced, None)
            moved = self._move(source, target)
            for path in (replaced, *moved):
                self._show(path)

    def _move(self, source: bytes, target: bytes) -> list[bytes]:
        """Give everything at and below `source` its new path; return all file paths concerned."""
        shown: list[bytes] = []
        for path in [each for each in (*self.files, *self.folders) if (each + b"/").startswith(source + b"/")]:
            moved = target + path[len(source) :]
            if path in self.files:
                self.files[moved] = self.files.pop(path)
                shown += (path, moved)
            else:
                self.folders.remove(path)
                self.folders.add(moved)
                if path in self.folder_modes:
                    self.folder_modes[moved] = self.folder_modes.pop(path)
        return shown

    def _show(self, path: bytes) -> None:
        """Add what is now visible at a final path to its history, if it differs from what was."""
        content = self.files[path].content if path in self.files else None
        shown = self.history.get(path, [None])[-1]
        if TEMPORARY not in path and content != shown:
            self.history.setdefault(path, []).append(content)
        self.changed.notify_all()


def parent_of(path: bytes) -> bytes:
    """Return the folder that holds an absolute path."""
    return path.rpartition(b"/")[0] or b"/"


def name_of(path: bytes) -> bytes:
    """Return the last part of a path."""
    return path.rpartition(b"/")[2]


def join(folder: bytes, name: bytes) -> bytes:
    """Return the path of a name in a folder."""
    return folder.rstrip(b"/") + b"/" + name


def fold(path: bytes) -> str:
    """Return what two spellings of one path have in common on a case-insensitive site."""
    return path.decode("utf-8", "surrogateescape").lower()


def folders_above(path: bytes) -> set[bytes]:
    """Return every folder that must exist for this path to exist."""
    above = {b"/"}
    while (path := parent_of(path)) != b"/":
        above.add(path)
    return above


def timestamp(mtime: int) -> bytes:
    """Return a time as MDTM and MLSD write it."""
    return time.strftime("%Y%m%d%H%M%S", time.gmtime(mtime)).encode()


def text(lines: list[bytes]) -> bytes:
    """Return lines as a listing sends them."""
    return b"".join(line + b"\r\n" for line in lines)


def reply_length(data: bytes) -> int:
    """Return how many bytes the first reply has (RFC 959 4.2), or 0 if it is not whole yet."""
    if re.match(rb"\d{3}-", data):
        last_line = re.search(rb"^%b .*\n" % data[:3], data, re.MULTILINE)
        return last_line.end() if last_line else 0
    return data.find(b"\n") + 1
