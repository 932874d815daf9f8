"""Every command in the README is run, and every option is in it."""

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from servers import PASSWORD, USER

from async_mirror.cli import sync

PROJECT = Path(__file__).parent.parent
README = (PROJECT / "README.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) for line in block.splitlines()]
EVERYDAY = [command for command in COMMANDS if command.startswith("async-mirror")]


def test_the_readme_has_commands_of_every_sort() -> None:
    assert len(EVERYDAY) >= 5
    assert sum("demo" in command for command in COMMANDS) == 1
    assert COMMANDS.count("tests/run") == 1
    assert len(COMMANDS) == len(EVERYDAY) + 2


@pytest.mark.parametrize("command", EVERYDAY)
def test_everyday_command_does_what_it_says(command: str, server_factory, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    server = server_factory("pyftpdlib")
    site = tmp_path / "site"
    (site / "drafts").mkdir(parents=True)
    for name in ("index.html", "notes.tmp", "drafts/ready.html", "drafts/idea.html"):
        (site / name).write_text(name)
    (tmp_path / ".ftp-password").write_text(PASSWORD + "\n")
    text = command.replace("me@ftp.example.org", f"{USER}@127.0.0.1:{server.port}").replace("~/", f"{tmp_path}/")
    environment = os.environ | {
        "PYTHONPATH": str(PROJECT),
        "HOME": str(tmp_path),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "ASYNC_MIRROR_PASSWORD": PASSWORD,
    }
    argv = [sys.executable, "-m", "async_mirror", *shlex.split(text)[1:]]
    process = subprocess.Popen(argv, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    if "--once" not in command:
        assert any("next pass in" in line for line in process.stderr)
        process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == (0 if "--once" in command else 128 + signal.SIGTERM), errors
    arrived = {path.name for path in (server.docroot / "www").glob("**/*")} if "--dry-run" not in command else set()
    assert ("index.html" in arrived) is ("--dry-run" not in command)
    assert ("notes.tmp" in arrived) is ("--dry-run" not in command and "--exclude-ext" not in command)


def test_the_readme_installs_and_runs_the_demonstration_in_a_fresh_clone(tmp_path: Path) -> None:
    command = next(command for command in COMMANDS if "demo" in command)
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(PROJECT), str(clone)], check=True, timeout=60)
    environment = {key: value for key, value in os.environ.items() if key not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    environment["PATH"] = f"{Path(sys.executable).resolve().parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-c", command], cwd=clone, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "files are equal" in done.stdout


def test_every_option_is_in_the_readme() -> None:
    table = README.partition("### Options of `sync`")[2].partition("Exit codes:")[0]
    for parameter in sync.params:
        if parameter.param_type_name == "option":
            assert any(option in table for option in (*parameter.opts, *parameter.secondary_opts)), parameter.name
    told = set(re.findall(r"`(--[a-z-]+)", table))
    known = {option for parameter in sync.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert told <= known
