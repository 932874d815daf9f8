"""Programs that are forks of one that is loaded: they differ in nothing but time from those that start from nothing."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from servers.processes import parent
from support import forked
from support.program import PROGRAM, Result


@pytest.fixture(autouse=True)
def _loaded() -> Iterator[None]:
    with forked.loaded():
        yield


def ended(process: subprocess.Popen[bytes]) -> Result:
    with process:
        out, err = process.communicate(timeout=60)
    return Result(process.returncode, out.decode(), err.decode())


def environment(folder: Path, **more: str) -> dict[str, str]:
    return {"PATH": os.defpath, "HOME": str(folder), "LANG": "C.UTF-8", "PYTHONPATH": str(forked.PROJECT), **more}


STREAMS: Final[dict[str, Any]] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--version"], 0),
        (["ls", "."], 0),
        (["config", "--every", "5m"], 0),
        (["sync", "--bad"], 2),
        (["sync", "--once", "none", "ftp://me@127.0.0.1:9/"], 5),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_it_says_what_one_from_nothing_says(tmp_path: Path, arguments: list[str], code: int) -> None:
    (tmp_path / "n\xe4me").touch()
    given: dict[str, Any] = {"cwd": tmp_path, "env": environment(tmp_path, ASYNC_MIRROR_RETRIES="7"), **STREAMS}
    fork = ended(forked.Started[bytes]([*PROGRAM, *arguments], **given))
    assert fork.code == code
    assert fork == ended(subprocess.Popen([*PROGRAM, *arguments], **given))


def test_it_is_a_child_of_the_tests_that_leads_a_session_and_is_killed(tmp_path: Path) -> None:
    source, secret = tmp_path / "source", tmp_path / "password"
    source.mkdir()
    secret.write_text("secret")
    secret.chmod(0o600)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"ftp://me@127.0.0.1:{silent.getsockname()[1]}/"
        places: list[str | Path] = ["--password-file", secret, "--state-dir", tmp_path / "state", source, url]
        argv = [*PROGRAM, "sync", *places]
        process = forked.Started[bytes](argv, env=environment(tmp_path), start_new_session=True, **STREAMS)
        silent.settimeout(30)
        client, _ = silent.accept()
        with client:
            assert parent(process.pid) == os.getpid()
            assert os.getsid(process.pid) == process.pid
            assert process.poll() is None
            process.kill()
            assert ended(process).code == -9


def test_where_python_is_told_something_unusual_it_starts_from_nothing(tmp_path: Path) -> None:
    unusual = environment(tmp_path, PYTHONPROFILEIMPORTTIME="1")
    result = ended(forked.Started[bytes]([*PROGRAM, "--version"], env=unusual, **STREAMS))
    assert result.code == 0
    assert "import time:" in result.err
