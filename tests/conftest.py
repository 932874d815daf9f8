"""Fixtures that every test may ask for."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import pytest
from faults.identities import Identities
from faults.scripted import ScriptedServer
from hypothesis import settings
from servers import KINDS, REAL, ZOO, FtpServer, KeptServer, Kind, ServerFactory, Tls, TlsVersion, available
from support import forked
from support.here import Here
from support.law import sitecustomize as law
from support.mirror import Mirror, answer_at_once
from support.program import Program
from support.short_form import left_to_the_long_form, spent

settings.register_profile("calm", deadline=None, print_blob=True)  # a machine may be busy with something else
settings.load_profile("calm")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the long form be asked for."""
    parser.addoption("--all", action="store_true", help="run what is exhaustive, too")


def pytest_configure(config: pytest.Config) -> None:
    """Begin as a program in a terminal does, however the tests were started: `nohup` leaves SIGHUP ignored."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave to the long form what is exhaustive, unless single tests were named; begin with what takes longest."""
    items.sort(key=lambda item: ("whole" not in item.path.parts, "tools" not in item.path.parts))
    if config.getoption("--all") or config.getoption("-m") or any("::" in argument for argument in config.args):
        return
    left = left_to_the_long_form(items)
    config.hook.pytest_deselected(items=left)
    items[:] = [item for item in items if item not in set(left)]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Count in the last lines what was not run here, and why, and tell what each kind of test took of its budget."""
    reasons = Counter(
        report.longrepr[2] for report in terminalreporter.getreports("skipped") if isinstance(report.longrepr, tuple)
    )
    for reason, number in reasons.most_common():
        terminalreporter.write_line(f"{number} not run here: {reason.removeprefix('Skipped: ')}")
    reports = [each for some in terminalreporter.stats.values() for each in some if isinstance(each, pytest.TestReport)]
    terminalreporter.write_line(spent(reports, terminalreporter.config.getoption("numprocesses", None) or 1))


@pytest.fixture(scope="session", autouse=True)
def law_of_multi(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Watch, in all tests and in the programs that they run, that nothing but `multi.py` starts anything."""
    folder = tmp_path_factory.mktemp("law")
    os.environ[law.VARIABLE] = str(folder)
    law.install()
    yield folder
    assert {line for file in folder.iterdir() for line in file.read_text().splitlines()} == set()


@pytest.fixture(scope="session", autouse=True)
def forks(request: pytest.FixtureRequest, law_of_multi: Path) -> Iterator[None]:
    """Start programs from what is loaded in the short form; from nothing in the long one, and if it is measured."""
    if request.config.getoption("--all") or request.config.getoption("-m") or "COVERAGE_FOLDER" in os.environ:
        yield
        return
    with forked.loaded():
        yield


def _require(kind: Kind) -> None:
    reason = available(kind)
    if reason and os.environ.get("CI") == "true":
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


@pytest.fixture(scope="session")
def identities(tmp_path_factory: pytest.TempPathFactory) -> Identities:
    """Make good and bad certificates for the servers that lie."""
    return Identities(tmp_path_factory.mktemp("identities"))


@pytest.fixture
def server_factory(tmp_path: Path) -> Iterator[ServerFactory]:
    """Make servers of the test's own, with FtpServer's keywords; a docroot is made unless one is given."""
    with ExitStack() as stack:
        made = 0

        def make(kind: Kind, docroot: Path | None = None, **keywords: object) -> FtpServer:
            nonlocal made
            _require(kind)
            made += 1
            work = tmp_path / f"server-{made}"
            server = FtpServer(kind, docroot or tmp_path / f"docroot-{made}", work, **keywords)  # type: ignore[arg-type]
            return stack.enter_context(server)

        yield make


@pytest.fixture(scope="session")
def kept_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeptServer]:
    """Keep one server of each sort for the whole session, because most tests need nothing but an empty one."""
    kept: dict[tuple[Kind, Tls, str], FtpServer] = {}
    with ExitStack() as stack:

        def get(kind: Kind, tls: Tls = "", tls_version: Literal["", TlsVersion] = "") -> FtpServer:
            _require(kind)
            sort = (kind, tls, tls_version)
            if sort not in kept:
                folder = tmp_path_factory.mktemp(kind)
                server = FtpServer(kind, folder / "docroot", folder / "server", tls=tls, tls_version=tls_version)
                kept[sort] = stack.enter_context(server)
            kept[sort].reset()
            return kept[sort]

        yield get


@pytest.fixture(params=KINDS)
def any_server(request: pytest.FixtureRequest, kept_server: KeptServer) -> FtpServer:
    """Run the test once on each kind of server, with an empty docroot and nothing counted yet."""
    return kept_server(request.param)


@pytest.fixture(params=REAL)
def real_server(request: pytest.FixtureRequest, kept_server: KeptServer) -> FtpServer:
    """Run the test once on each of the real servers, with an empty docroot and nothing counted yet."""
    return kept_server(request.param)


@pytest.fixture(params=ZOO)
def zoo_server(request: pytest.FixtureRequest, kept_server: KeptServer) -> FtpServer:
    """Run the test once on each of the servers that few have tried, with an empty docroot and nothing counted yet."""
    return kept_server(request.param)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """Give the test a scripted server that waits for no data connection for long."""
    with ScriptedServer() as server:
        server.data_seconds = 1.0
        answer_at_once(server)
        yield server


@pytest.fixture
def mirror(tmp_path: Path, server: ScriptedServer) -> Mirror:
    """Give the test a source, and passes of the program between it and the scripted server."""
    return Mirror(tmp_path, server.port)


@pytest.fixture
def program(server_factory: ServerFactory, tmp_path: Path) -> Program:
    """Give the test a source, and the program between it and a server that is there for it alone."""
    return Program(tmp_path, server_factory("pyftpdlib"))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """Give the test a folder in which it runs the program without a process of its own."""
    return Here(tmp_path, monkeypatch, capsys)
