"""The network a cell is measured in: namespaces of its own and, if there is a delay, the wire between them.

All of it is held by processes that end with this one: nothing has a name on the machine, nothing is left behind.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Final, NamedTuple

from bench.line import delay

PROJECT: Final = Path(__file__).resolve().parents[2]


class Line(NamedTuple):
    """Where the client runs, where the server runs, under which address it is reached, and what carries the packets."""

    client: Path
    server: Path
    host: str
    wire: int = 0

    def opened(self) -> int:
        """Return how many TCP connections the client's namespace has opened; in passive mode all are the client's."""
        text = self.client.parents[1].joinpath("net/snmp").read_text()
        names, values = (line.split() for line in text.splitlines() if line.startswith("Tcp:"))
        return int(dict(zip(names, values, strict=True))["ActiveOpens"])

    def wire_s(self) -> float:
        """Return the CPU seconds that the wire has taken: as many as seconds went by, and it is what limits."""
        if not self.wire:
            return 0
        fields = Path(f"/proc/{self.wire}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Helper(NamedTuple):
    """A process of the benchmark's own: its pid, the line with which it said that it is ready, and its two ends."""

    pid: int
    said: str
    stdin: IO[str]
    stdout: IO[str]

    def ask(self, question: str) -> str:
        """Write a line and return the one that comes back."""
        print(question, file=self.stdin, flush=True)
        return self.stdout.readline()


def within(namespace: Path, argv: Sequence[str]) -> list[str]:
    """Return the command line that runs a command in a network namespace, as the same process."""
    return ["nsenter", f"--net={namespace}", *argv]


def python(module: str, *arguments: str) -> list[str]:
    """Return the command line of a module of the benchmark."""
    return [sys.executable, "-m", f"bench.{module}", *arguments]


@contextmanager
def helper(argv: Sequence[str]) -> Iterator[Helper]:
    """Run a helper and yield it when it is ready; it ends when its input does."""
    with subprocess.Popen(  # noqa: S603
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=PROJECT,
        process_group=0,  # Ctrl-C is for the one that started it
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        said = process.stdout.readline()
        if not said:
            raise RuntimeError(f"{' '.join(argv)} did not start")
        try:
            yield Helper(process.pid, said.strip(), process.stdin, process.stdout)
        finally:
            process.stdin.close()
            process.wait()


@contextmanager
def laid(rtt_ms: float) -> Iterator[Line]:
    """Lay a line of this round-trip time; 0 is plain loopback, client and server in one namespace."""
    with ExitStack() as stack:
        spaces = [_namespace(stack) for _ in range(2 if rtt_ms else 1)]
        if not rtt_ms:
            yield Line(spaces[0], spaces[0], "127.0.0.1")
            return
        half = ["--delay-ms", str(rtt_ms / 2)]
        carrier = stack.enter_context(helper(python("line.delay", *map(str, spaces), *half)))
        yield Line(spaces[0], spaces[1], delay.SERVER, carrier.pid)


def _namespace(stack: ExitStack) -> Path:
    holder = stack.enter_context(helper(["unshare", "--net", *python("line.holder")]))
    return Path(f"/proc/{holder.pid}/ns/net")
