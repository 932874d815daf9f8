"""A source, a scripted server, and passes of the program between them, each a process of its own."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from faults.scripted import Exchange, ScriptedServer
from faults.tree import TEMPORARY
from servers import PASSWORD, USER

from support.forked import Started
from support.messages import unexplained
from support.program import LONGEST_SECONDS, MTIME, PROGRAM, PROJECT, Node, tree, write

AS_PLAIN_USER = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all")
"""Take from root what lets it read and write whatever it likes."""


class Ran(NamedTuple):
    """What a run came to, and all that it said."""

    code: int
    said: str


class Mirror:
    """A source folder, a state folder, and the program between them and whatever listens on a port.

    `before` comes before the program's name, `options` come with those of every run.
    """

    def __init__(
        self,
        folder: Path,
        port: int,
        root: str = "",
        *,
        scheme: str = "ftp",
        options: Sequence[str | Path] = (),
        before: Sequence[str] = (),
    ) -> None:
        self.source = folder / "source"
        self.state = folder / "state"
        self.source.mkdir()
        self.source.chmod(0o755)
        self._password_file = folder / "password"
        self._password_file.write_text(PASSWORD)
        self._password_file.chmod(0o600)
        self._url = f"{scheme}://{USER}@127.0.0.1:{port}/{root}"
        self.options = options
        self.before = before

    def write(self, path: str, content: bytes | str, mtime_s: int = MTIME, mode: int = 0o644) -> Path:
        return write(self.source / path, content, mtime_s, mode)

    def start(self, *options: str, before: Sequence[str] = (), stays: bool = False) -> subprocess.Popen[str]:
        """Start one pass, or one that `stays`; an option given here wins over the usual ones."""
        usual = [
            *["--once"] * (not stays),
            "--multi",
            "A3",
            "--timeout",
            "2s",
            "--retries",
            "3",
            *map(str, self.options),
        ]
        places = ["--password-file", str(self._password_file), "--state-dir", str(self.state)]
        return Started[str](
            [*self.before, *before, *PROGRAM, "sync", *places, *usual, *options, "--", str(self.source), self._url],
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )

    def run(self, *options: str, before: Sequence[str] = ()) -> Ran:
        return ended(self.start(*options, before=before))


def ended(process: subprocess.Popen[str]) -> Ran:
    """Wait for the end of a pass; one that hangs is killed and fails the test."""
    with process:
        try:
            said, _ = process.communicate(timeout=LONGEST_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            said, _ = process.communicate()
            raise AssertionError(f"it did not end in {LONGEST_SECONDS} s: {said}") from None
    assert not (lines := unexplained(said)), f"docs/messages.md does not explain {lines}"
    return Ran(process.returncode, said)


def tree_of(server: ScriptedServer) -> dict[bytes, Node]:
    """Return what the site holds, as `program.tree` does for a folder."""
    site = server.site
    with site.changed:
        nodes = {path[1:]: Node("folder", site.folder_modes.get(path, 0o755), 0, b"") for path in site.folders}
        nodes |= {path[1:]: Node("file", mode, mtime, content) for path, (content, mtime, mode) in site.files.items()}
    del nodes[b""]
    return nodes


def answer_at_once(server: ScriptedServer) -> None:
    """Let each reply leave at once, on every connection: what is pipelined is else answered in steps of 40 ms."""
    server._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def temporaries_of(server: ScriptedServer) -> list[bytes]:
    return [path for path in (*server.files, *server.folders) if TEMPORARY.search(path)]


def assert_same(mirror: Mirror, server: ScriptedServer, said: str = "") -> None:
    assert tree_of(server) == tree(mirror.source), said


def assert_mirrored(mirror: Mirror, server: ScriptedServer, *options: str) -> Ran:
    """Run a pass that mirrors everything, and one more that has nothing to do."""
    ran = mirror.run(*options)
    assert ran.code == 0, ran.said
    assert_same(mirror, server, ran.said)
    before = server.connections
    again = mirror.run(*options)
    assert again.code == 0, again.said
    assert server.connections == before, again.said
    return ran


def contents(nodes: Mapping[bytes, Node]) -> dict[bytes, bytes]:
    return {path: node.content for path, node in nodes.items() if node.kind == "file"}


def count(server: ScriptedServer, verb: str) -> int:
    return sum(line.split(" ")[0] == verb for line in server.commands())


def in_folder(folder: bytes) -> Callable[[Exchange], bool]:
    """Match commands about what is directly in this folder."""
    return lambda exchange: exchange.path.rpartition(b"/")[0] == folder


MIB = 1024


def with_memory(mebibytes: int) -> tuple[str, ...]:
    """Run a program with so much memory for its data."""
    return ("sh", "-c", f'ulimit -d {mebibytes * MIB}; exec "$@"', "sh")
