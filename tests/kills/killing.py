"""Kills the program at a random moment of a pass, or lets something go wrong at a random command of it.

Then it sees what is on the site, and again after the next passes.
"""

from __future__ import annotations

import itertools
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random

from faults import reactions
from faults.proxy import Action, FtpProxy, Passage
from faults.tree import TEMPORARY
from servers import FtpServer
from support.program import MTIME, PROGRAM, PROJECT, Node, Program, tree

FILES = [f"{folder}/{name}" for folder in ("a", "b", "a/deep") for name in ("1", "2", "3", "4")]
MODES = ["S", "A4", "A2", "T3", "P2"]
FAULTS: dict[str, Action] = {
    "450": reactions.answer(b"450 Not now."),
    "550": reactions.answer(b"550 No."),
    "hang": reactions.freeze(),
    "cut before": reactions.cut,
    "cut after": reactions.forward_then_cut,
}
"""What may go wrong at a command, beside a kill."""
LATE_S = 20.0
"""How long a session that lost its client may go on with what it was sent."""


class Wrong(Exception):
    """What was wrong."""


class Killing:
    """A source that keeps changing, a real server, and a program between them that is killed again and again."""

    def __init__(self, folder: Path, server: FtpServer, chance: Random, proxy: FtpProxy | None = None) -> None:
        """Begin with some files that are mirrored, through a proxy if things are to go wrong there."""
        self.server = server
        self._proxy = proxy
        self.chance = chance
        self.kills = self.at_work = 0
        self._folder = folder
        self._lives = 0
        self._commands = 60
        self._mtime_s = MTIME
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget source, state and site."""
        self._lives += 1
        self.server.reset()
        home = self._folder / f"life{self._lives}"
        home.mkdir()
        self.program = Program(home, self.server)
        if self._proxy:
            self.program.url = self.program.url.replace(f":{self.server.port}/", f":{self._proxy.port}/")
        self.program.password_file.chmod(0o600)
        for path in FILES:
            self._write(path)
        begun = time.monotonic()
        self._converge("at first")
        self._pass_takes = time.monotonic() - begun

    def kill_once(self) -> None:
        """Change the source, kill a pass at some moment, perhaps change the source again, and see what comes of it."""
        versions = [_files(self.program.source)]
        self._change()
        versions.append(_files(self.program.source))
        moment = self.chance.uniform(0, self._pass_takes)
        mode = self.chance.choice(MODES)
        told = f"killed after {moment:.3f} s with --multi {mode}"
        begun = time.monotonic()
        was_killed = self._kill_after(moment, mode)
        if not was_killed:
            self._pass_takes = max(0.1, time.monotonic() - begun)
        self.kills += 1
        self.at_work += was_killed
        self._see_old_or_new(versions, told)
        if self.chance.random() < 0.5:
            self._change()
        self._converge(told)

    def fault_once(self) -> None:
        """Change the source, and again when something goes wrong at some command, and see what comes of it."""
        assert self._proxy
        versions = [_files(self.program.source)]
        self._change()
        versions.append(_files(self.program.source))
        fault = self.chance.choice(["kill", *FAULTS])
        number, mode = self.chance.randint(1, self._commands), self.chance.choice(MODES)
        told = f"{fault} at command {number} with --multi {mode}"
        before = len(self._proxy.commands)
        with self._pass(mode, "--timeout", "3", "--retries", "1") as process:

            def act(passage: Passage) -> None:
                self._change()
                versions.append(_files(self.program.source))
                if fault == "kill":
                    process.kill()
                else:
                    FAULTS[fault](passage)

            cue = self._proxy.cues.add(_nth_command(number), act, 1)
            process.wait()
            cue.times_left = 0
        if not cue.reached.is_set():
            self._commands = max(1, len(self._proxy.commands) - before)
        self.kills += 1
        self.at_work += cue.reached.is_set()
        self._see_old_or_new(versions, told)
        self._converge(told)

    def _pass(self, mode: str, *options: str) -> subprocess.Popen[bytes]:
        arguments = self.program.arguments("--once", "--multi", mode, "--max-delete", "100%", *options)
        return subprocess.Popen(
            [*PROGRAM, *arguments],
            cwd=PROJECT,
            env=self.program.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def _kill_after(self, seconds: float, mode: str) -> bool:
        """Tell whether the pass was still under way."""
        with self._pass(mode) as process:
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                return True
        return False

    # The source.

    def _write(self, path: str) -> None:
        """Write a new content; many are of one size, and some of one date."""
        self._mtime_s += self.chance.choice([0, 0, 1, 7])
        size = self.chance.choice([10, 10, 10, 500, 300_000])
        (self.program.source / path).parent.mkdir(parents=True, exist_ok=True)
        self.program.write(path, self.chance.randbytes(size), self._mtime_s)

    def _change(self) -> None:
        source = self.program.source
        for _ in range(self.chance.randint(2, 8)):
            one, other = self.chance.sample(FILES, 2)
            match self.chance.choice(["write", "write", "write", "remove", "rename", "swap", "chmod", "folder"]):
                case "write":
                    self._write(one)
                case "remove":
                    (source / one).unlink(missing_ok=True)
                case "rename" if (source / one).exists() and not (source / other).exists():
                    (source / other).parent.mkdir(parents=True, exist_ok=True)
                    (source / one).rename(source / other)
                case "swap" if (source / one).exists() and (source / other).exists():
                    (source / one).rename(source / "between")
                    (source / other).rename(source / one)
                    (source / "between").rename(source / other)
                case "chmod" if (source / one).exists():
                    (source / one).chmod(self.chance.choice([0o600, 0o644]))
                case "folder" if (source / "b").exists():
                    shutil.rmtree(source / "c", ignore_errors=True)
                    (source / "b").rename(source / "c")
        self.program.write("stays", "so that the source is never empty")

    # The laws.

    def _see_old_or_new(self, versions: Sequence[Mapping[bytes, bytes]], told: str) -> None:
        for path, content in _files(self.server.docroot).items():
            if TEMPORARY.search(path):
                continue
            if not any(version.get(path) == content for version in versions):
                known = any(path in version for version in versions)
                raise Wrong(f"{told}: {path!r} has {'neither of its versions' if known else 'never been there'}")

    def _converge(self, told: str) -> None:
        """See that the next pass, or the one after it, makes both equal, and that then there is nothing to do."""
        said = ""
        end = time.monotonic() + LATE_S
        while True:
            result = self.program.sync("--multi", "A4", "--max-delete", "100%")
            said += result.err
            if result.code == 0 and tree(self.server.docroot) == tree(self.program.source):
                break
            if time.monotonic() > end:
                raise Wrong(f"{told}: exit {result.code}, {self._differences()}: {said[-3000:]}")
        result = self.program.sync("--multi", "A4")
        if result.code or self.server.connections():
            raise Wrong(f"{told}: there is still something to do: {result.err[-1000:]}")

    def _differences(self) -> list[bytes]:
        there, here = tree(self.server.docroot), tree(self.program.source)
        return [path for path in there.keys() | here.keys() if there.get(path) != here.get(path)]


def _nth_command(number: int) -> Callable[[Passage], bool]:
    seen = itertools.count(1)
    return lambda passage: passage.kind == "command" and next(seen) == number


def _files(folder: Path) -> dict[bytes, bytes]:
    """Return what a folder holds while a session that lost its client may still be changing it."""
    while True:
        try:
            found: Mapping[bytes, Node] = tree(folder)
        except FileNotFoundError:
            continue
        return {path: node.content for path, node in found.items() if node.kind == "file"}
