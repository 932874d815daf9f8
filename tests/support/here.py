"""The program in the test's own process, in a folder and with an environment of its own; for what needs no server.

Knows of the product only its command line.
"""

from __future__ import annotations

import os
import sys
import tomllib
from pathlib import Path
from typing import Final

import pytest

from async_mirror.cli import main
from support.messages import unexplained
from support.program import Result, write

FILE: Final = "async-mirror.toml"


class Here:
    """The program in this process, in a folder and with an environment of its own."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder / "here"
        self.users = folder / "home/.config/async-mirror"
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        self.folder.mkdir()
        self.users.mkdir(parents=True)
        for name in os.environ:
            if name.startswith(("ASYNC_MIRROR_", "XDG_")) or name == "NETRC":
                monkeypatch.delenv(name)
        monkeypatch.setenv("HOME", str(folder / "home"))
        monkeypatch.chdir(self.folder)

    def run(self, *arguments: str | Path, **environment: str) -> Result:
        """Run the program with these arguments; of the environment's names the first part is left out."""
        with self._monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["async-mirror", *map(str, arguments)])
            for name, value in environment.items():
                patch.setenv(f"ASYNC_MIRROR_{name}", value)
            with pytest.raises(SystemExit) as ended:
                main()
        out, err = self._capsys.readouterr()
        assert isinstance(ended.value.code, int)
        assert not (lines := unexplained(err)), f"docs/messages.md does not explain {lines}"
        return Result(ended.value.code, out, err)

    def config(self, *arguments: str | Path, **environment: str) -> dict[str, tuple[object, str]]:
        """Return what is in force: value and origin by key."""
        result = self.run("config", *arguments, **environment)
        assert (result.code, result.err) == (0, "")
        return printed(result.out)

    def refused(self, *arguments: str | Path, **environment: str) -> str:
        """Return the one line with which what is configured is refused."""
        result = self.run("config", *arguments, **environment)
        assert (result.code, result.out) == (2, "")
        (line,) = result.err.splitlines()
        return line

    def write(self, toml: str, path: str | Path = FILE) -> Path:
        """Write a file of settings."""
        return write(self.folder / path, toml, mode=0o600)


def printed(out: str) -> dict[str, tuple[object, str]]:
    """Return the settings that `config` printed: value and origin by key."""
    found: dict[str, tuple[object, str]] = {}
    for line in out.splitlines():
        setting, _, origin = line.rpartition("  # ")
        for key, value in tomllib.loads(setting).items():
            found[key] = (value, origin)
    return found
