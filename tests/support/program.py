"""The whole program as a process of its own between a source, a state folder and a server; and what trees hold.

Knows of the product only its command line.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import select
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from servers import PASSWORD, USER, FtpServer, Tls

from support.forked import Started
from support.law import sitecustomize as law

PROJECT: Final = Path(__file__).resolve().parents[2]
PROGRAM: Final = (sys.executable, "-m", "async_mirror")
LONGEST_SECONDS: Final = 60
MTIME: Final = 1_700_000_000
"""When files were last changed, unless a test says otherwise: long ago, because what is fresh is left to settle."""

_FRACTION_NS = 250_000_000
_SCHEMES: Final[dict[Tls, str]] = {"": "ftp", "explicit": "ftpes", "implicit": "ftps"}


class Result(NamedTuple):
    """What a run came to."""

    code: int
    out: str
    err: str


class Node(NamedTuple):
    """What a tree has at a path: of a folder neither time nor content counts, of a link the content is its target."""

    kind: str
    mode: int
    mtime_s: int
    content: bytes


class Program:
    """A source folder, a state folder, a site, and the command that makes the one a mirror of the other.

    The source is made, the state folder is not.
    """

    def __init__(self, folder: Path, server: FtpServer) -> None:
        self.server = server
        self.site = server.docroot
        self.source = folder / "source"
        self.state = folder / "state"
        self.home = folder / "home"
        self.password_file = folder / "password"
        scheme = _SCHEMES[server.tls]
        host = f"[{server.host}]" if ":" in server.host else server.host
        self.url = f"{scheme}://{USER}@{host}:{server.port}/"
        self.environment = {"PATH": os.defpath, "HOME": str(self.home), "LANG": "C.UTF-8"} | law.environment()
        self._prefix: list[str] = []
        self.source.mkdir()
        self.home.mkdir()
        self.password_file.write_text(f"{PASSWORD}\n")

    def sync(self, *options: str | Path, password: bool = True) -> Result:
        """Run one pass, after which nothing was counted yet on the server but this pass."""
        self.server.mark()
        return self.run(*self.arguments("--once", *options, password=password))

    def bind_by_permissions(self) -> None:
        """Let file modes bind the program although root runs it; who else may not even be able to enter its folders."""
        if os.geteuid() == 0:
            self._prefix = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]

    def run(self, *arguments: str | Path, seconds: float = LONGEST_SECONDS) -> Result:
        """Run the program with these arguments to its end; fail when that takes longer."""
        return run_to_end([*self._prefix, *PROGRAM, *arguments], self.environment, seconds=seconds)

    @contextlib.contextmanager
    def started(self, *options: str | Path, out: int = subprocess.DEVNULL) -> Iterator[Running]:
        """Start the program and let the test deal with it; it is killed at the end if it still runs.

        With `out=PIPE` the test can read its standard output too.
        """
        process = Started[bytes](
            [*PROGRAM, *self.arguments(*options)],
            cwd=PROJECT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.PIPE,
        )
        with process:
            try:
                yield Running(process)
            finally:
                process.kill()

    def arguments(self, *options: str | Path, password: bool = True) -> list[str | Path]:
        """Return the command line of `sync` with these options beside the usual ones."""
        secret: list[str | Path] = ["--password-file", self.password_file] if password else []
        trust: list[str | Path] = ["--ca-cert", self.server.certificates.ca] if self.server.tls else []
        return ["sync", *secret, *trust, "--state-dir", self.state, *options, "--", self.source, self.url]

    def write(self, path: str | bytes, content: bytes | str = b"", mtime_s: int = MTIME, mode: int = 0o644) -> Path:
        """Write a file of the source, and the folders above it."""
        return write(self.source / os.fsdecode(path), content, mtime_s, mode)

    def commands(self, *verbs: str) -> list[str]:
        """List the commands with these verbs that the last pass sent."""
        return [command for command in self.server.commands() if command.split(" ")[0] in verbs]

    def published(self) -> list[str]:
        """List what the last pass renamed something to, in order of name."""
        return sorted(command.partition(" ")[2] for command in self.commands("RNTO"))


def run_to_end(
    argv: Sequence[str | Path],
    environment: Mapping[str, str],
    *,
    folder: Path = PROJECT,
    seconds: float = LONGEST_SECONDS,
) -> Result:
    """Run a command that finds the package to its end, with nothing to read; fail when that takes longer."""
    process = Started[bytes](
        argv,
        cwd=folder,
        env={"PYTHONPATH": str(PROJECT), **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        try:
            out, err = process.communicate(timeout=seconds)
        finally:
            process.kill()
    return Result(process.returncode, out.decode(errors="replace"), err.decode(errors="replace"))


class Running:
    """The program while it runs; what it says on standard error is read as far as it is waited for."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stderr is not None
        self.pid = process.pid
        self.out = process.stdout or io.BytesIO()
        self.said = ""
        self._process = process
        self._errors = process.stderr
        self._unread = 0

    def wait_for(self, pattern: str, seconds: float = 30) -> str:
        """Return the next line that the pattern is found in; fail when it is not said in time."""
        end = time.monotonic() + seconds
        while True:
            for line in self._new_lines():
                if re.search(pattern, line):
                    return line
            ready, _, _ = select.select([self._errors], [], [], max(0.0, end - time.monotonic()))
            block = os.read(self._errors.fileno(), 1 << 16) if ready else b""
            assert block, f"{pattern!r} was not said: {self.said}"
            self.said += block.decode(errors="replace")

    def _new_lines(self) -> Iterator[str]:
        while (end := self.said.find("\n", self._unread)) >= 0:
            line = self.said[self._unread : end]
            self._unread = end + 1
            yield line

    def wait(self) -> int:
        """Read all that it says until it ends, and return the exit code."""
        self.said += self._errors.read().decode(errors="replace")
        return self._process.wait(LONGEST_SECONDS)

    def end(self, number: signal.Signals, within_seconds: float) -> int:
        """Send a signal and return the exit code; fail when the end takes longer."""
        self._process.send_signal(number)
        try:
            return self._process.wait(within_seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{number.name} did not end it within {within_seconds} s: {self.said}") from None


class AtTerminal:
    """The program at a terminal of its own, which has no size and no colours; `said` is what it has written there."""

    def __init__(self, process: subprocess.Popen[bytes], ours: int) -> None:
        self.process = process
        self.said = b""
        self._ours = ours

    def read(self) -> bool:
        """Read what is written next; False if there will be no more."""
        try:
            block = os.read(self._ours, 1 << 16)
        except OSError:  # the other end is gone
            return False
        self.said += block
        return bool(block)

    def wait_for(self, text: bytes) -> None:
        """Read until this has been written; fail if the program ends before."""
        while text not in self.said:
            assert self.read(), self.said

    def wait_to_be_asked(self) -> None:
        """Read until the program asks for something."""
        while not self.said.endswith(b": "):
            assert self.read(), self.said

    def type(self, keys: bytes) -> None:
        """Press keys, as soon as the program has asked for something."""
        self.wait_to_be_asked()
        os.write(self._ours, keys)

    def end(self) -> int:
        """Read all until it ends, and return the exit code."""
        while self.read():
            pass
        return self.process.wait(LONGEST_SECONDS)


@contextlib.contextmanager
def at_terminal(argv: Sequence[str | Path], environment: Mapping[str, str]) -> Iterator[AtTerminal]:
    """Start a command at a terminal; it is killed at the end if it still runs."""
    ours, theirs = os.openpty()
    process = Started[bytes](
        argv, cwd=PROJECT, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    with process:
        try:
            yield AtTerminal(process, ours)
        finally:
            process.kill()
            os.close(ours)


def eventually(condition: Callable[[], bool], what: str, seconds: float = 30) -> None:
    """Wait for what can be seen but tells nobody; fail when it does not come true in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"this did not come true in {seconds} s: {what}"
        time.sleep(0.01)


def write(path: Path, content: bytes | str = b"", mtime_s: int = MTIME, mode: int = 0o644) -> Path:
    """Write a file and the folders above it; the mtime gets a fraction, which a site may not keep."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)
    touch(path, mtime_s)
    return path


def touch(path: Path, mtime_s: int) -> None:
    """Set a file's mtime."""
    mtime_ns = mtime_s * 10**9 + _FRACTION_NS
    os.utime(path, ns=(mtime_ns, mtime_ns))


def tree(root: Path) -> dict[bytes, Node]:
    """Return all below a folder by its path in bytes."""
    found: dict[bytes, Node] = {}
    start = os.fsencode(root)
    for folder, folders, files in os.walk(start):
        for name in folders + files:
            path = os.path.join(folder, name)
            found[os.path.relpath(path, start)] = _node(path)
    return found


def _node(path: bytes) -> Node:
    status = os.lstat(path)
    mode = stat.S_IMODE(status.st_mode)
    mtime_s = status.st_mtime_ns // 10**9
    if stat.S_ISDIR(status.st_mode):
        return Node("folder", mode, 0, b"")
    if stat.S_ISLNK(status.st_mode):
        return Node("link", 0, mtime_s, os.readlink(path))
    if stat.S_ISSOCK(status.st_mode):
        return Node("socket", mode, 0, b"")
    return Node("file", mode, mtime_s, Path(os.fsdecode(path)).read_bytes())


def names(root: Path) -> set[str]:
    """Return the paths below a folder, those of folders with a slash."""
    return {os.fsdecode(path) + "/" * (node.kind == "folder") for path, node in tree(root).items()}


def contents(root: Path) -> dict[str, bytes]:
    """Return the files below a folder with what is in them."""
    return {os.fsdecode(path): node.content for path, node in tree(root).items() if node.kind == "file"}


def untouched(root: Path) -> dict[bytes, tuple[Sequence[int], bytes]]:
    """Return all that can be told of a tree: unequal if anything was written, even the same again."""
    found: dict[bytes, tuple[Sequence[int], bytes]] = {}
    for path, node in tree(root).items():
        status = os.lstat(os.path.join(os.fsencode(root), path))
        found[path] = ((status.st_ino, status.st_mode, status.st_mtime_ns, status.st_ctime_ns), node.content)
    return found
