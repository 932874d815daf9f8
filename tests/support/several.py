"""The program with several mirrors in one configuration file, as a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from servers import PASSWORD, USER

from support.forked import Started
from support.law import sitecustomize as law
from support.program import PROGRAM, PROJECT, Result, Running, run_to_end, write

Table = Mapping[str, object]


class Several:
    """Folders to mirror, a site, a state folder, and the file that names them; each mirror has a folder of its name."""

    def __init__(self, folder: Path, port: int, **common: object) -> None:
        self.folder = folder / "several"
        self.file = self.folder / "async-mirror.toml"
        self.state = self.folder / "state"
        self.url: Final = f"ftp://{USER}@127.0.0.1:{port}/"
        self.common: dict[str, object] = {"every": "1h", "password-file": "password", "state-dir": "state", **common}
        self.tables: dict[str, dict[str, object]] = {}
        self.environment = {"PATH": os.defpath, "HOME": str(self.folder), "LANG": "C.UTF-8"} | law.environment()
        self.folder.mkdir()
        self.say("password", PASSWORD)

    def say(self, name: str, password: str) -> None:
        """Write a file with a password."""
        (self.folder / name).write_text(f"{password}\n")
        (self.folder / name).chmod(0o600)

    def add(self, name: str, root: str | None = None, **settings: object) -> Path:
        """Add a mirror with one file in its folder, and return the folder."""
        source = self.folder / name
        write(source / f"of-{name}", name)
        destination = self.url + (name if root is None else root)
        self.tables[name] = {"source": name, "destination": destination, **settings}
        self.configure()
        return source

    def configure(self) -> None:
        """Write the file."""
        lines = [*_lines(self.common)]
        for name, table in self.tables.items():
            lines += [f"[mirror.{name}]", *_lines(table)]
        self.file.write_text("\n".join(lines) + "\n")

    def run(self, command: str, *arguments: str, seconds: float = 60) -> Result:
        """Run a command to its end."""
        return run_to_end(self._argv(command, arguments), self.environment, seconds=seconds)

    def once(self, *arguments: str) -> Result:
        """Run a pass of each mirror that is meant."""
        return self.run("sync", "--once", *arguments)

    @contextlib.contextmanager
    def started(self, *arguments: str) -> Iterator[Running]:
        """Keep the mirrors, without a terminal; the process is killed at the end if it still runs."""
        process = Started[bytes](
            self._argv("sync", arguments),
            cwd=PROJECT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        with process:
            try:
                yield Running(process)
            finally:
                process.kill()

    def _argv(self, command: str, arguments: Sequence[str]) -> list[str | Path]:
        return [*PROGRAM, command, "--config", self.file, *arguments]


def hang_up(running: Running) -> None:
    """Ask for a reload."""
    os.kill(running.pid, signal.SIGHUP)


def _lines(settings: Table) -> Iterator[str]:
    return (f"{key.replace('_', '-')} = {json.dumps(value)}" for key, value in settings.items())
