"""One cell with its server running: the contenders take turns, each run is verified, each becomes a record."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from bench import corpora
from bench.cells import Cell
from bench.contenders import Contender, Job
from bench.line.network import PROJECT, Helper, Line, helper, python, within
from bench.machine import server_version
from bench.measure import Measured, measure
from bench.places import SERVERS, Place

Record = Mapping[str, Any]
Keep = Callable[[Record], None]

_LAST_WORDS: Final = 300
_SERVER_RESTS_S: Final = 0.3
_PRIMING_LIMIT_S: Final = 900.0


@contextmanager
def served(cell: Cell, line: Line, place: Place) -> Iterator[Session]:
    """Start the cell's server at the far end of the line."""
    options = [*(["--tls"] if cell.tls else []), *(["--log"] if cell.counted else [])]
    where = [str(place.site), str(place.work / "server"), line.host, *options]
    with helper(within(line.server, python("line.server", cell.server, *where))) as server:
        login = json.loads(server.said)
        password_file = place.work / "password"
        password_file.write_text(login["password"])
        password_file.chmod(0o600)
        job = Job(
            place.source,
            Path(),
            line.host,
            login["port"],
            login["user"],
            password_file,
            cell.lanes,
            Path(login["ca"]) if cell.tls else None,
            renames=cell.task == "rename",
        )
        yield Session(cell, line, place, server, job)


@dataclass(slots=True)
class Session:
    """A cell with its server; `job` lacks its state.

    `mirrored` tells that the site is the source's equal, mtimes and modes included; `known` that `place.state` has a
    memory of the site as it is.
    """

    cell: Cell
    line: Line
    place: Place
    server: Helper
    job: Job
    mirrored: bool = False
    known: bool = False
    changes: int = 0

    def measure_all(self, beside: int, keep: Keep) -> None:
        """Run all rounds; a contender that ran out of time is not asked again."""
        given_up: set[str] = set()
        keep(self._about(corpora.make(self.cell.corpus, self.place.source), beside))
        for number in range(self.cell.runs):
            for contender in in_turn(self.cell.contenders, number, self._first):
                if contender.name in given_up or (number and contender.name in self.cell.once):
                    continue
                record = self.run(contender)
                keep({"kind": "run", "cell": self.cell.name, "round": number + 1, **record})
                if record["timed_out"]:
                    given_up.add(contender.name)

    @property
    def _first(self) -> int:
        """Return who begins: not the same one in all cells that begin side by side."""
        return sum(self.cell.name.encode())

    def _about(self, size: int, beside: int) -> Record:
        cell = self.cell
        return {
            "kind": "cell",
            "cell": cell.name,
            "task": cell.task,
            "title": cell.title,
            "server": server_version(cell.server, SERVERS),
            "server_kind": cell.server,
            "tls": cell.tls,
            "rtt_ms": cell.rtt_ms,
            "lanes": cell.lanes,
            "files": cell.corpus.files,
            "concerned": cell.concerned,
            "bytes": size,
            "beside": beside,
            "contenders": [contender.name for contender in cell.contenders],
            "families": [contender.family for contender in cell.contenders],
        }

    def run(self, contender: Contender) -> Record:
        """Bring about what the task finds, let one contender do it, and look at what it did."""
        self._prepare(contender)
        opened, wire = self.line.opened(), self.line.wire_s()
        measured, words = self._call(contender, self.cell.longest_s, self.line.client)
        opened, wire = self.line.opened() - opened, self.line.wire_s() - wire
        time.sleep(_SERVER_RESTS_S)
        difference = corpora.compare(self.place.source, self.place.site)
        self.mirrored = difference.none
        self.known = self.mirrored and self.known and (contender.learns or self.cell.task == "unchanged")
        good = measured.code == 0 and not measured.timed_out and difference.same
        good = good and not (contender.keeps_mtimes and difference.mtime)
        good = good and not (contender.keeps_modes and difference.mode)
        return {
            "contender": contender.name,
            "family": contender.family,
            "good": good,
            **_rounded(asdict(measured)),
            "connections": opened,
            "wire_s": round(wire, 2),
            **({"commands": json.loads(self.server.ask("commands"))} if self.cell.counted else {}),
            "difference": asdict(difference),
            "words": "" if good else words,
        }

    def _prepare(self, contender: Contender) -> None:
        """Bring site, memory and source into the state that the task begins with."""
        task = self.cell.task
        if task == "first":
            self.place.clear_site()
        elif not self.mirrored:
            self.place.clear_site()
            corpora.copy(self.place.source, self.place.site)
            self.mirrored, self.known = True, False
        if task in ("first", "survey"):
            self.known = False
        if not self.known:
            shutil.rmtree(self.place.state, ignore_errors=True)
        if contender.learns and task in ("unchanged", "delta", "rename") and not self.known:
            self._teach(contender)
        if task == "delta":
            self.changes += 1
            corpora.change(self.place.source, self.cell.corpus, self.cell.touched, self.changes)
        elif task == "rename":
            corpora.rename(self.place.source)
        if self.cell.counted:
            self.server.ask("commands")

    def _teach(self, contender: Contender) -> None:
        """Let it get to know the site, uncounted, and from where the server is, so without the line's delay.

        Before a rename it sends all files itself: by those that it found it could not tell what was renamed.
        """
        if self.cell.task == "rename":
            self.place.clear_site()
        measured, words = self._call(contender, _PRIMING_LIMIT_S, self.line.server)
        self.mirrored = self.known = corpora.compare(self.place.source, self.place.site).none
        if measured.code or not self.known:
            raise RuntimeError(f"{contender.name} did not take over the site: exit code {measured.code}, {words}")

    def _call(self, contender: Contender, longest_s: float, where: Path) -> tuple[Measured, str]:
        """Run its command in a folder of its own, in that network namespace; return its last words, too."""
        home, output = self.place.work / "home", self.place.work / "output"
        home.mkdir()
        argv = within(where, contender.command(replace(self.job, state=self.place.state)))
        measured = measure(argv, _environment(home), home, output, longest_s)
        shutil.rmtree(home)
        return measured, output.read_text(errors="replace").strip()[-_LAST_WORDS:]


def in_turn(contenders: tuple[Contender, ...], number: int, first: int) -> tuple[Contender, ...]:
    """Return the order of a round: each round begins with another contender, every other one goes backwards."""
    step = -1 if number % 2 else 1
    return tuple(contenders[(first + number + step * place) % len(contenders)] for place in range(len(contenders)))


def _environment(home: Path) -> dict[str, str]:
    """Return an environment without the caller's settings; the project's own code goes before any installed."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "LC_ALL": "C.UTF-8", "PYTHONPATH": str(PROJECT)}


def _rounded(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in fields.items()}
