"""Every command on every page is run, or marked with the reason why not; every file that a page shows is understood."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import ssl
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from servers import PASSWORD, USER, FtpServer, KeptServer, available
from support import pages
from support.pages import ALL, PAGES, Block
from support.program import PROJECT, write

from async_mirror.options.click_types import ENVIRONMENT, variable
from async_mirror.options.declared import SYNC

NOT_RUN = 20
SYSTEM = re.compile(r"(?<![\w./:])/(?=(etc|opt|srv|var)/)")
"""Where a path begins that belongs to the whole machine."""


class World:
    """A home like the one on the pages: a site, passwords, the commands; and a server that is all servers."""

    def __init__(self, folder: Path, server: FtpServer) -> None:
        self.root = folder
        self.home = folder / "home/me"
        self.server = server
        for name in ("index.html", "notes.tmp", "drafts/ready.html", "drafts/idea.html", "pictures/1.jpg"):
            write(self.home / "site" / name, name)
        (self.home / "current").symlink_to("site")
        for file in (self.home / ".ftp-password", folder / "etc/async-mirror/password"):
            write(file, PASSWORD + "\n", mode=0o600)
        write(self.home / ".netrc", f"machine 127.0.0.1 login {USER} password {PASSWORD}\n", mode=0o600)
        stand_in = f'#!/bin/sh\nexec {sys.executable} {Path(pages.__file__).with_name("stand_in.py")} "$@"\n'
        for place in (folder / "bin", self.home / ".local/bin", folder / "opt/async-mirror/bin"):
            write(place / "async-mirror", stand_in, mode=0o755)
        write(folder / "bin/pip", "#!/bin/sh\n", mode=0o755)
        write(folder / "bin/pass", f'#!/bin/sh\ntest "$*" = "show ftp/example" && echo {PASSWORD}\n', mode=0o755)
        certificate = re.search(
            "-----BEGIN C.*?-----END C[^-]*-----", server.certificates.server.read_text(), re.DOTALL
        )
        assert certificate is not None
        self.fingerprint = hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate[0])).hexdigest()
        shutil.copy(server.certificates.ca, self.home / "ca.pem")
        self.environment = {
            "HOME": str(self.home),
            "PATH": f"{folder}/bin:{os.defpath}",
            "PYTHONPATH": str(PROJECT),
            "SSL_CERT_FILE": str(server.certificates.ca),
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",  # on a terminal, too, a plan is printed line by line
        }

    def here(self, text: str) -> str:
        """Return what a page says with the names of this place."""
        text = re.sub(r"\bme@ftp\.example\.(org|net)\b", f"{USER}@127.0.0.1:{self.server.port}", text)
        text = re.sub(r"\bftp\.example\.(org|net)\b", "127.0.0.1", text)
        text = text.replace("FINGERPRINT", self.fingerprint).replace("/home/me", str(self.home))
        return SYSTEM.sub(f"{self.root}/", text)

    def there(self, text: str) -> str:
        """Return what was said here with the names of the page."""
        text = text.replace(str(self.home), "/home/me").replace(f"{self.root}/", "/")
        text = text.replace(f"{USER}@127.0.0.1:{self.server.port}", "me@ftp.example.org")
        text = text.replace(f"127.0.0.1:{self.server.port}", "ftp.example.org:21").replace(
            "127.0.0.1", "ftp.example.org"
        )
        return text.replace(self.fingerprint, "FINGERPRINT").replace(f"'{USER}'", "'me'")

    def file(self, path: str) -> Path:
        if path == "crontab -e":
            return self.root / "crontab"
        if path.startswith("~/"):
            return self.home / path[2:]
        return self.root / path[1:] if path.startswith("/") else self.home / path

    def write(self, block: Block) -> Path:
        return write(self.file(block.path), self.here(block.text), mode=0o600)

    def run(self, command: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command of this place, with what it says on standard error among the rest."""
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=self.home,
            env=self.environment if environment is None else dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )


@pytest.fixture
def world(tmp_path: Path, kept_server: KeptServer) -> World:
    """Take a real server; where there is none one written in Python will do, but not in CI."""
    is_real = not available("proftpd") or os.environ.get("CI") == "true"
    return World(tmp_path, kept_server("proftpd" if is_real else "pyftpdlib", "explicit"))


@pytest.mark.few(6)
@pytest.mark.parametrize("page", [page for page in PAGES if any(block.page == page for block in ALL)])
def test_a_reader_who_does_all_that_a_page_says_gets_what_it_shows(page: str, world: World) -> None:
    for block in pages.blocks(page):
        if block.is_commands and not block.why_not_run:
            _run(world, block)
        elif block.path:
            _understand(world, block)


def _run(world: World, block: Block) -> None:
    if block.is_in_a_clone:
        assert not (said := _in_a_clone(block.text, world.root)), f"{block}\n{said}"
    elif block.kind == "sh":
        done = world.run(world.here(block.text))
        assert done.returncode == 0, f"{block}\n{done.stdout}"
    else:
        for command, expected in pages.session(block):
            printed = world.there(world.run(world.here(command)).stdout)
            assert pages.prints(expected, printed), f"{block}: {command}\n{printed}"


_IN_A_CLONE: dict[str, str] = {}


def _in_a_clone(commands: str, folder: Path) -> str:
    """Run commands in a clone where nothing is installed yet; return what they said if they failed.

    What several pages say is run once.
    """
    if commands not in _IN_A_CLONE:
        clone = folder / "clone"
        subprocess.run(["git", "clone", "--quiet", str(PROJECT), str(clone)], check=True, timeout=60)
        environment = {key: value for key, value in os.environ.items() if key not in {"PYTHONPATH", "VIRTUAL_ENV"}}
        environment["PATH"] = f"{Path(sys.executable).resolve().parent}:{os.environ['PATH']}"
        argv = ["bash", "-euo", "pipefail", "-c", commands]
        done = subprocess.run(
            argv, cwd=clone, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        _IN_A_CLONE[commands] = done.stdout + done.stderr if done.returncode else ""
    return _IN_A_CLONE[commands]


def _understand(world: World, block: Block) -> None:
    path = world.write(block)
    match block.kind:
        case "toml":
            done = world.run(f"async-mirror config --config {shlex.quote(str(path))}")
            assert done.returncode == 0, f"{block}\n{done.stdout}"
            assert "# configuration file: " in done.stdout
        case "yaml":
            for command, environment in _steps(yaml.safe_load(path.read_text(encoding="utf-8"))):
                done = world.run(command, world.environment | environment)
                assert done.returncode == 0, f"{block}: {command}\n{done.stdout}"
        case "ini":
            assert _complaints(world, path) == "", block
        case _ if block.path == "crontab -e":
            for line in filter(lambda line: line and not line.startswith("#"), path.read_text().splitlines()):
                entry = re.fullmatch(r"(?:@[a-z]+|(?:[\d*/,-]+ +){5})(.*)", line)
                assert entry, f"{block}: {line}"
                bare = {key: world.environment[key] for key in ("HOME", "PYTHONPATH", "SSL_CERT_FILE")}
                done = world.run(entry[1], bare | {"PATH": "/usr/bin:/bin"})
                assert (done.returncode, done.stdout) == (0, ""), f"{block}: {line}\n{done.stdout}"


def _steps(job: Any) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the scripts in the file of a CI service, each with the secrets that it is given."""
    if isinstance(job, list):
        for each in job:
            yield from _steps(each)
    elif isinstance(job, dict):
        given = {**job.get("variables", {}), **job.get("env", {})}
        scripts = [job["run"]] if "run" in job else job.get("script", [])
        if scripts:
            yield "\n".join(scripts), {key: PASSWORD for key in given if key.endswith("_PASSWORD")}
        for each in job.values():
            yield from _steps(each)


def _complaints(world: World, unit: Path) -> str:
    analyze = shutil.which("systemd-analyze")
    if not analyze:
        if os.environ.get("CI") == "true":
            pytest.fail("no systemd-analyze here: install systemd")
        return ""
    if unit.suffix == ".conf":  # settings for the unit that the repository has
        settings, unit = unit, unit.parent.with_suffix("")
        shutil.copy(PROJECT / "contrib/async-mirror.service", unit)
        unit.write_text(world.here(unit.read_text()) + settings.read_text())
    whose = "--user" if world.home in unit.parents else "--system"
    unit.write_text(unit.read_text().replace("%h", str(world.home)))
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(world.root)}
    argv = [analyze, "verify", whose, "--man=no", "--recursive-errors=no", str(unit)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, env=environment)
    return done.stdout + done.stderr


def test_what_is_not_run_has_its_reason_and_is_counted() -> None:
    reasons = Counter(block.page for block in ALL if block.why_not_run)
    assert sum(reasons.values()) == NOT_RUN, reasons
    for block in ALL:
        assert block.comment == "" or block.why_not_run or block.is_in_a_clone, f"{block}: {block.comment}"
        assert not block.comment or block.is_commands, block


def test_every_block_is_of_a_kind_that_is_tested_or_only_to_be_looked_at() -> None:
    for block in ALL:
        if not block.kind.startswith("{"):  # a directive of MyST's
            assert block.kind in {*pages.COMMANDS, *pages.FILES, ""}, f"{block}: {block.kind}"
            assert block.path or block.kind in {*pages.COMMANDS, "text", ""}, f"{block} names no file in its first line"


@pytest.mark.parametrize("page", PAGES)
def test_no_block_of_a_page_is_overlooked(page: str) -> None:
    assert PAGES[page].count("```") == 2 * len(list(pages.blocks(page)))


def test_every_variable_that_a_page_names_is_one_of_the_programs() -> None:
    known = {variable(param) for param in SYNC} | {f"{ENVIRONMENT}_PASSWORD", f"{ENVIRONMENT}_COMPLETE"}
    for page, text in PAGES.items():
        assert set(re.findall(rf"\b{ENVIRONMENT}_[A-Z_]+\b", text)) <= known, page


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        (["sent  a"], "sent  a\n", True),
        (["sent  a"], "sent  b\n", False),
        (["…", "sent  a"], "one\ntwo\nsent  a\n", True),
        (["2026-01-02 03:04:05  in 0.4 s over 2 connections"], "2027-01-02 03:04:06  in 9.1 s over 1 connection", True),
        (["sent  a"], "sent  a\nsent  b\n", False),
    ],
)
def test_what_is_printed_is_compared_with_what_is_shown(expected: list[str], printed: str, same: bool) -> None:
    assert pages.prints(expected, printed) is same
