"""Every command in the README is run, and every option is in it."""

import hashlib
import os
import re
import shlex
import signal
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from servers import PASSWORD, USER, FtpServer, ServerFactory
from support.program import PROJECT

from async_mirror.cli import sync

README = (PROJECT / "README.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) for line in block.splitlines()]
EVERYDAY = [command for command in COMMANDS if command.startswith("async-mirror")]


def test_the_readme_has_commands_of_every_sort() -> None:
    assert len(EVERYDAY) >= 5
    assert sum("demo" in command for command in COMMANDS) == 1
    assert COMMANDS.count("tests/run") == 1
    assert len(COMMANDS) == len(EVERYDAY) + 2


SYNCS = [command for command in EVERYDAY if " sync " in f"{command} "]
OTHERS = [command for command in EVERYDAY if command not in SYNCS]
TOML = re.search(r"```toml\n(.*?)```", README, re.DOTALL)


class Place:
    """A folder with what the README names: a source, a configuration, a keeper of passwords, a server with TLS."""

    def __init__(self, folder: Path, server: FtpServer) -> None:
        self.folder = folder
        self.server = server
        (folder / "site/drafts").mkdir(parents=True)
        for name in ("index.html", "notes.tmp", "drafts/ready.html", "drafts/idea.html"):
            (folder / "site" / name).write_text(name)
        (folder / "current").symlink_to("site")
        (folder / ".ftp-password").write_text(PASSWORD + "\n")
        (folder / "bin").mkdir()
        (folder / "bin/pass").write_text(f'#!/bin/sh\ntest "$*" = "show ftp/example" && echo {PASSWORD}\n')
        (folder / "bin/pass").chmod(0o755)
        (self.ca,) = folder.glob("server-*/ca.pem")
        (certificate,) = folder.glob("server-*/server.pem")
        pem = re.search("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", certificate.read_text(), re.DOTALL)
        assert pem is not None
        self.fingerprint = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem[0])).hexdigest()

    def configure(self) -> None:
        """Write the file that the README shows."""
        assert TOML is not None
        (self.folder / "async-mirror.toml").write_text(self.here(TOML[1]))

    def here(self, text: str) -> str:
        """Return what the README says with this place's names."""
        text = text.replace("me@ftp.example.org", f"{USER}@127.0.0.1:{self.server.port}")
        return (
            text.replace("FINGERPRINT", self.fingerprint)
            .replace("~/", f"{self.folder}/")
            .replace("/etc/async-mirror/password", f"{self.folder}/.ftp-password")
        )

    def start(self, command: str) -> subprocess.Popen[str]:
        environment = os.environ | {
            "PYTHONPATH": str(PROJECT),
            "HOME": str(self.folder),
            "XDG_STATE_HOME": str(self.folder / "state"),
            "PATH": f"{self.folder}/bin:{os.defpath}",
        }
        if "--password-" not in command:
            environment["ASYNC_MIRROR_PASSWORD"] = PASSWORD
        if "--tls-pin" not in command:
            environment["ASYNC_MIRROR_CA_CERT"] = str(self.ca)
        argv = [sys.executable, "-m", "async_mirror", *shlex.split(self.here(command))[1:]]
        pipe = subprocess.PIPE
        return subprocess.Popen(argv, cwd=self.folder, env=environment, stdout=pipe, stderr=pipe, text=True)


@pytest.fixture
def place(server_factory: ServerFactory, tmp_path: Path) -> Place:
    return Place(tmp_path, server_factory("pyftpdlib", tls=True))


@pytest.mark.parametrize("command", SYNCS)
def test_everyday_command_does_what_it_says(command: str, place: Place) -> None:
    configured = command == "async-mirror sync"
    if configured:
        place.configure()
    process = place.start(command)
    assert process.stderr is not None
    if "--once" not in command:
        assert any("next pass in" in line for line in process.stderr)
        process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == (0 if "--once" in command else 128 + signal.SIGTERM), errors
    mirrored = place.server.docroot / "www"
    arrived = {path.name for path in mirrored.glob("**/*")} if "--dry-run" not in command else set()
    assert ("index.html" in arrived) is ("--dry-run" not in command)
    assert ("notes.tmp" in arrived) is not (configured or "--dry-run" in command or "--exclude-ext" in command)
    if configured:
        assert ("ready.html" in arrived, "idea.html" in arrived) == (True, False)


def test_the_other_commands_tell_what_is_configured_and_whether_it_is_kept(place: Place) -> None:
    config, healthcheck = OTHERS
    place.configure()
    out, errors = place.start(config).communicate(timeout=60)
    assert re.search(r'^multi = "A4" +# .*async-mirror.toml$', out, re.MULTILINE), errors
    before = place.start(healthcheck)
    before.communicate(timeout=60)
    assert before.returncode == 1
    synced = place.start("async-mirror sync --once ./site ftpes://me@ftp.example.org/www")
    synced.communicate(timeout=60)
    after = place.start(healthcheck)
    out, errors = after.communicate(timeout=60)
    assert after.returncode == 0, errors
    assert out.startswith("healthy")


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
