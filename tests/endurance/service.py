"""The service that is looked after: what it says, what it needs of the machine, and what it answers."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from support.program import PROGRAM, PROJECT, run_to_end
from support.several import Several

from async_mirror.service import channel

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Needs(NamedTuple):
    """What a process needs of the machine."""

    at: float
    rss_mb: float
    descriptors: int
    threads: int
    cpu_s: float
    waited_s: float
    """For how long its main thread was ready to run while others had the processors."""
    load: float
    """How many processes of the machine ran or were ready to."""


def needs_of(pid: int) -> Needs:
    """Look at a process."""
    process = Path(f"/proc/{pid}")
    fields = (process / "stat").read_text().rpartition(") ")[2].split()
    resident = int((process / "statm").read_text().split()[1]) * _PAGE / 1e6
    cpu = (int(fields[11]) + int(fields[12])) / _TICKS
    waited = int((process / "schedstat").read_text().split()[1]) / 1e9
    descriptors = sum(1 for _ in os.scandir(process / "fd"))
    return Needs(time.monotonic(), resident, descriptors, int(fields[17]), cpu, waited, os.getloadavg()[0])


class Ended(NamedTuple):
    """A pass that has ended."""

    at: float
    mirror: str
    result: str
    partial: bool
    seconds: float
    error: str


class Service:
    """The program with all mirrors, as one process; its log and its objects of passes are read as they come."""

    def __init__(self, several: Several) -> None:
        """Begin with the file of settings, which is written."""
        self.several = several
        self.log = several.folder / "service.log"
        self.passes: list[Ended] = []
        self.not_reloaded = 0
        self.pid = 0
        self._json = several.folder / "passes.json"
        self._read = {self.log: 0, self._json: 0}
        self._lock = threading.Lock()

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run it; what is left of it at the end is killed."""
        with self.log.open("wb") as log, self._json.open("wb") as out:
            argv: list[str | Path] = [*PROGRAM, "sync", "--json", "--config", self.several.file]
            process = subprocess.Popen(
                argv,
                cwd=PROJECT,
                env=self.several.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                start_new_session=True,
            )
        with process:
            self.pid = process.pid
            try:
                yield process
            finally:
                process.kill()

    def hang_up(self) -> None:
        """Have it read its settings again."""
        os.kill(self.pid, signal.SIGHUP)

    def read(self) -> None:
        """Read what it has said since."""
        with self._lock:
            self.not_reloaded += sum("was not reloaded" in line for line in self._lines(self.log))
            for line in self._lines(self._json):
                self.passes.append(_ended(json.loads(line)))

    def has_passed(self, mirror: str, since: float) -> bool:
        """Tell whether a pass of a mirror has ended since then, with all mirrored."""
        self.read()
        latest = itertools.takewhile(lambda each: each.at >= since, reversed(self.passes))
        return any(each.mirror == mirror and each.result == "mirrored" for each in latest)

    def _lines(self, file: Path) -> list[str]:
        with file.open("rb") as read:
            read.seek(self._read[file])
            block = read.read()
        whole = block[: block.rfind(b"\n") + 1]
        self._read[file] += len(whole)
        return whole.decode(errors="replace").splitlines()


def _ended(told: dict[str, Any]) -> Ended:
    seconds, error = told["seconds"] or 0.0, told["error"] or ""
    return Ended(time.monotonic(), told["mirror"], told["result"], told["partial"], seconds, error)


class Asker:
    """Asks `status` each second: by the real command each tenth time, by the socket that it uses the others."""

    COMMAND_EACH = 10

    def __init__(self, service: Service) -> None:
        self._service = service
        self._states: dict[str, Path] = {}
        self.by_socket: list[float] = []
        self.by_command: list[float] = []
        self.unanswered: list[str] = []
        self.conditions: dict[str, str] = {}
        self.history: list[tuple[float, dict[str, str]]] = []
        self.restarting = ""
        """The mirror that was told to: for a moment nobody keeps it."""

    def ask(self) -> None:
        """Ask once about all mirrors."""
        if (len(self.by_socket) + len(self.by_command)) % self.COMMAND_EACH == 0 or not self._states:
            self._by_command()
        else:
            self._by_socket()

    def _by_command(self) -> None:
        begun = time.monotonic()
        argv: list[str | Path] = [*PROGRAM, "status", "--json", "--config", self._service.several.file]
        result = run_to_end(argv, self._service.several.environment)
        self.by_command.append(time.monotonic() - begun)
        told = [json.loads(line) for line in result.out.splitlines()]
        self._states = {each["name"]: Path(each["state"]) for each in told}
        self.conditions = {each["name"]: each["condition"] for each in told}
        self.history.append((begun, self.conditions))
        silent = [each for each in told if each["process"] != "running" and each["name"] != self.restarting]
        if result.code or silent or not told:
            self.unanswered.append(f"status: exit {result.code}, {silent} {result.err}")

    def _by_socket(self) -> None:
        slowest = 0.0
        for name, state in self._states.items():
            begun = time.monotonic()
            try:
                answer = channel.ask(state, {"ask": "status", "state": str(state)}, None)
            except channel.Unanswered as error:
                answer = {"error": str(error)}
            if "error" in answer and name != self.restarting:
                self.unanswered.append(f"{name}: {answer['error']}")
            slowest = max(slowest, time.monotonic() - begun)
        self.by_socket.append(slowest)
