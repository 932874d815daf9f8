"""A password that can be recognised in any spelling is given in every way, everything goes wrong, and it is looked for.

It may be in the one command that carries it, and nowhere else: not in what is written or logged, at any level; not in
what is remembered, in command lines, in names on the site; not in what objects say of themselves.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest
from faults import reactions
from faults.reactions import ALWAYS
from faults.scripted import Exchange, Reaction, ScriptedServer
from support.mirror import AS_PLAIN_USER
from support.program import LONGEST_SECONDS, PROGRAM, PROJECT, at_terminal, write

from async_mirror.crew.mode import Mode
from async_mirror.crew.patience import Patience
from async_mirror.ftp.session import connect
from async_mirror.ftp.wire.replies import Reply
from async_mirror.jobs.attempt import Publisher
from async_mirror.jobs.dry_run import DryHands
from async_mirror.jobs.perform import Hands
from async_mirror.model.secret import Secret
from async_mirror.model.settings import Settings
from async_mirror.model.site import Site
from async_mirror.options.credentials import Place, find_login
from async_mirror.sync.mirror import Mirror
from async_mirror.ui.report import Report

CORE = "cAnary"
CANARY = f'{CORE}"\\ %41\u00e9'
"""Each of its characters but those of the core is spelled otherwise somewhere: in JSON, in a URL, in Python, in FTP."""
USER = "me"
HERE = f"/www/{CANARY}"
"""Where a server may say that we are."""


def spellings() -> Iterator[bytes]:
    """Yield what is in any text that has the password in it, however it is spelled."""
    yield CORE.encode()
    yield CORE.encode("utf-16-le")
    yield CORE.encode().hex().encode()
    for before in range(3):  # base64 has three, by what comes before
        whole = base64.b64encode(b"\0" * before + CORE.encode())
        yield whole[4 * (before > 0) : len(whole) - 4 * ((before + len(CORE)) % 3 > 0)]


SPELLINGS = tuple(spellings())


def test_the_password_would_be_found_in_any_spelling() -> None:
    raw = CANARY.encode()
    texts = [
        raw,
        quote(CANARY, safe="").encode(),
        json.dumps(CANARY).encode(),
        repr(CANARY).encode(),
        raw.hex().encode(),
    ]
    texts += [CANARY.encode("utf-16-le"), CANARY.replace('"', '""').encode(), CANARY.encode("latin-1")]
    texts += [base64.b64encode(b"x" * before + raw) for before in range(6)]
    for text in texts:
        assert leaks(text), text
    assert not leaks(b"an innocent canary; cAn ary")


def leaks(data: bytes) -> list[bytes]:
    return [data[max(0, data.find(each) - 60) :][:200] for each in SPELLINGS if each in data]


# The ways in which it is given: arguments and variables.

Way = Callable[["Run"], tuple[Sequence[str | Path], dict[str, str]]]


def by_file(run: Run) -> tuple[Sequence[str | Path], dict[str, str]]:
    return ("--password-file", write(run.folder / "secret", CANARY, mode=0o600), run.source, run.url), {}


def by_variable(run: Run) -> tuple[Sequence[str | Path], dict[str, str]]:
    return (run.source, run.url), {"ASYNC_MIRROR_PASSWORD": CANARY}


def by_netrc(run: Run) -> tuple[Sequence[str | Path], dict[str, str]]:
    escaped = CANARY.replace("\\", "\\\\").replace('"', '\\"')
    text = f'machine other login you password "{escaped}"\nmachine 127.0.0.1 login {USER} password "{escaped}"\n'
    write(run.home / ".netrc", text, mode=0o600)
    return (run.source, run.url), {}


def by_configured_destination(run: Run) -> tuple[Sequence[str | Path], dict[str, str]]:
    config = write(run.folder / "configuration.toml", f"destination = '{run.original}'\n", mode=0o600)
    return ("--config", config, run.source), {}


def by_destination_variable(run: Run) -> tuple[Sequence[str | Path], dict[str, str]]:
    return (run.source,), {"ASYNC_MIRROR_DESTINATION": run.original}


WAYS: tuple[Way, ...] = (by_file, by_variable, by_netrc, by_configured_destination, by_destination_variable)
each_way = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)

EVERYTHING_LOGGED = """
import logging
logging.basicConfig(level=logging.DEBUG)
for name in ("aioftp", "aioftp.client", "asyncio"):
    logging.getLogger(name).setLevel(logging.DEBUG)
"""
"""Runs before the program, as an administrator's own `sitecustomize` may."""


@dataclass
class Run:
    """The program between a source and a server, its logs as talkative as can be; all that it leaves is looked at."""

    folder: Path
    server: ScriptedServer
    port: int = 0
    before: Sequence[str] = ()
    customized: str = EVERYTHING_LOGGED
    said: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.source, self.home, self.state = (self.folder / name for name in ("source", "home", "state"))
        self.log = self.folder / "log"
        for path in (self.source, self.home):
            path.mkdir()
        for number in range(3):
            write(self.source / f"in/{number}", f"content {number}")

    @property
    def url(self) -> str:
        return f"ftp://{USER}@127.0.0.1:{self.port or self.server.port}/www"

    @property
    def original(self) -> str:
        return f"127.0.0.1,{USER},{CANARY},www,{self.port or self.server.port}"

    def begin(self, way: Way, *options: str | Path, command: str = "sync") -> subprocess.Popen[bytes]:
        secret, variables = way(self)
        write(self.folder / "python/sitecustomize.py", self.customized)
        environment = {
            "PATH": os.defpath,
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(self.folder / "python"),
            "PYTHONASYNCIODEBUG": "1",
        }
        usual: list[str | Path] = ["--state-dir", self.state]
        if command == "sync":
            usual += ["--once", "-v", "--timeout", "2s", "--retries", "2", "--log-file", self.log]
        return subprocess.Popen(
            [*self.before, *PROGRAM, command, *usual, *options, *secret],
            cwd=PROJECT,
            env=environment | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def end(self, process: subprocess.Popen[bytes]) -> tuple[int, str]:
        """Wait for the end, look at everything, and return code and standard error."""
        with process:
            out, err = process.communicate(timeout=LONGEST_SECONDS)
        self.said += (out, err)
        self.look()
        return process.returncode, err.decode()

    def run(self, way: Way, *options: str | Path, command: str = "sync") -> tuple[int, str]:
        return self.end(self.begin(way, *options, command=command))

    def look(self) -> None:
        """Fail if the password is anywhere but in the command that carries it, and in the path that the server told."""
        kept = [path for path in (self.state, self.log) if path.exists()]
        files = [each for path in kept for each in (path.rglob("*") if path.is_dir() else (path,)) if each.is_file()]
        for path in files:
            assert not leaks(path.read_bytes()), (path, leaks(path.read_bytes()))
            assert not leaks(os.fsencode(path))
        for said in self.said:
            assert not leaks(said), leaks(said)
        names = b"\n".join([*self.server.files, *self.server.folders])
        contents = b"\n".join(file.content for file in self.server.files.values())
        assert not leaks(names + contents)
        sent = {line for line in self.server.commands() if leaks(os.fsencode(line))}
        assert sent <= {f"PASS {CANARY}", f"CWD {HERE}"}, sent


@pytest.fixture
def run(tmp_path: Path, server: ScriptedServer) -> Run:
    return Run(tmp_path, server)


def echo(code: bytes) -> Reaction:
    """Answer with the password in every line."""
    said = CANARY.encode()
    return reactions.say(b"%b-%b\r\n %b and %b\r\n%b %b" % (code, said, said, said.replace(b'"', b'""'), code, said))


def perform_and_echo(exchange: Exchange) -> None:
    """Do the command, and answer its code with the password."""
    exchange.reply(exchange.perform()[:4] + CANARY.encode())


# Failures.


@each_way
def test_login_that_is_refused_with_an_echo(run: Run, server: ScriptedServer, way: Way) -> None:
    server.on("USER", echo(b"331"))
    server.on("PASS", echo(b"530"), times=ALWAYS)
    code, said = run.run(way, "--json", "--log-format", "json" if way in WAYS[::2] else "text")
    assert (code, server.commands().count(f"PASS {CANARY}")) == (3, 1), said
    assert "refused the login of user 'me'" in said
    assert "530 *** / *** and *** / ***" in said
    assert run.run(way, command="status")[0] == 0
    assert b"530 *** / *** and *** / ***" in run.said[-2], "status tells why, as the log did"


MODES = ("S", "A3", "T2", "P2")


@pytest.mark.few(2)
@pytest.mark.parametrize(("multi", "way"), [*zip(MODES, WAYS, strict=False)], ids=MODES)
def test_replies_that_repeat_it(run: Run, server: ScriptedServer, multi: str, way: Way) -> None:
    """Commands are answered with it once or always: as a success, a failure for the moment or for good, nonsense."""
    said = CANARY.encode()
    server.put(b"/www/in/2", b"of others")
    server.on("CONNECT", echo(b"421"))
    server.on("CONNECT", echo(b"220"), times=ALWAYS)
    server.on("USER", echo(b"331"), times=ALWAYS)
    server.on("PASS", echo(b"430"))
    server.on("FEAT", reactions.say(b"211-%b\r\n MLST %b\r\n MFMT\r\n %b\r\n211 %b" % ((said,) * 4)), times=ALWAYS)
    server.on("PWD", reactions.say(b'257 "%b" %b' % (HERE.replace('"', '""').encode(), said)), times=ALWAYS)
    server.on("TYPE", echo(b"200"), times=ALWAYS)
    server.on("STOR", echo(b"450"))
    server.on("STOR", reactions.say_bytes(b"nonsense " + said + b"\r\n"))
    server.on("STOR", reactions.with_unsolicited(b"226 " + said))
    server.on("STOR", perform_and_echo)
    server.on("STOR", echo(b"550"))
    server.on("SIZE", echo(b"213"))
    server.on("SIZE", reactions.say(b"226 " + said))
    server.on("RNTO", echo(b"550"))
    server.on("RNTO", echo(b"421"))
    server.on("MKD", echo(b"550"))
    server.on("MLSD", echo(b"450"))
    server.on("SITE", echo(b"550"), times=ALWAYS)
    server.on("QUIT", echo(b"221"), times=ALWAYS)
    for options in (("--json", "--log-format", "json"), ()):
        run.run(way, "--multi", multi, *options)
        asked, said_by_it = run.run(way, *options[:1], command="status")
        assert asked == 0, said_by_it
    logged = run.log.read_text()
    for told in ("450 *** / *** and *** / ***", "550 *** / *** and *** / ***", "421 ***"):
        assert told in logged, f"{told} is not in {logged}"


def test_passive_replies_that_repeat_it(run: Run, server: ScriptedServer) -> None:
    server.on("EPSV", echo(b"229"), times=ALWAYS)
    server.on("PASV", echo(b"227"), times=ALWAYS)
    code, said = run.run(by_variable)
    assert code == 1, said
    assert "PASV with: 227 ***" in said


def test_server_that_cuts(run: Run, server: ScriptedServer) -> None:
    server.on("PASS", lambda exchange: exchange.connection.hang_up())
    server.on("STOR", lambda exchange: exchange.connection.hang_up(reset=True))
    code, said = run.run(by_netrc, "-v")
    assert code == 0, said
    assert said.count("retrying") >= 2


def test_nobody_at_the_port_and_nothing_in_the_source(run: Run) -> None:
    run.port = 1
    code, said = run.run(by_configured_destination, "--log-format", "json")
    assert code == 4, said
    for path in run.source.glob("in/*"):
        path.chmod(0)
    run.before = AS_PLAIN_USER
    run.port = 0
    code, said = run.run(by_destination_variable)
    assert code == 1, said
    assert "cannot be read" in said


def test_dry_run(run: Run, server: ScriptedServer) -> None:
    for verb in ("PASS", "PWD", "QUIT"):
        server.on(verb, perform_and_echo, times=ALWAYS)
    code, said = run.run(by_file, "--dry-run", "--json")
    assert code == 0, said
    code, said = run.run(by_file, "--dry-run")
    assert code == 0, said


@each_way
def test_settings_and_health(run: Run, way: Way) -> None:
    code, said = run.run(way, command="config")
    assert code == 0, said
    code, said = run.run(way, command="healthcheck")
    assert code == 1, said


BROKEN = [
    "destination = {original}\n",
    "destination = '{original}'\ndestination = '{original}'\n",
    "destination = '{original}\n",
    "destination = ['{original}']\n",
    "destination = {{url = '{original}'}}\n",
    "password = '{password}'\n",
    "max-depth = '{password}'\n",
    "destination = 'ftp://me:{password}@127.0.0.1/'\n",
    "destination = '{original},port,more'\n",
]


def test_configuration_that_is_no_good(run: Run) -> None:
    config = run.folder / "broken.toml"
    for number, text in enumerate(BROKEN):
        filled = text.format(original=run.original, password=CANARY)
        write(config, filled, mode=0o600)
        process = run.begin(lambda _: (("--config", config), {}), command=("sync", "config")[number % 2])
        code, said = run.end(process)
        assert code == 2, (filled, said)
    write(config, f"destination = '{run.original}'\n".encode("latin-1"), mode=0o600)
    code, said = run.end(run.begin(lambda _: (("--config", config), {})))
    assert code == 2, said


def test_state_that_is_damaged(run: Run) -> None:
    assert run.run(by_file)[0] == 0
    (database,) = run.state.glob("*.sqlite3")
    database.write_bytes(b"no database at all " * 100)
    code, said = run.run(by_file)
    assert code == 6, said


# What is not foreseen: libraries that fail where they never do.

NO_HASHES = """
import blake3
def fail():
    raise RuntimeError("no hashes today")
blake3.blake3 = fail
"""
NO_DATABASE = """
import sqlite3
def fail(*_, **__):
    raise RuntimeError("no databases today")
sqlite3.connect = fail
"""
NO_WRITING = """
import asyncio.selector_events as events
true = events._SelectorSocketTransport.write
def write(self, data):
    if data.startswith(b"PASS"):
        raise RuntimeError("no passwords today")
    return true(self, data)
events._SelectorSocketTransport.write = write
"""


@pytest.mark.parametrize(
    ("trouble", "multi", "told"),
    [
        (NO_HASHES, "P2", "internal error: RuntimeError: no hashes today"),
        (NO_HASHES, "A2", "internal error: RuntimeError: no hashes today"),
        (NO_DATABASE, "S", "Traceback (most recent call last)"),
        (NO_WRITING, "A2", "Traceback (most recent call last)"),
        (NO_WRITING, "P2", "Traceback (most recent call last)"),
    ],
    ids=["hash-P", "hash-A", "database", "login-A", "login-P"],
)
def test_error_of_ours(run: Run, trouble: str, multi: str, told: str) -> None:
    run.customized += trouble
    code, said = run.run(by_variable, "--multi", multi)
    assert code == 1, said
    assert told in said, said


# While it runs.


def processes(pid: int) -> Iterator[int]:
    """Yield a process and all that come from it."""
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from processes(int(child))


@pytest.mark.few(2)
@pytest.mark.parametrize(
    ("number", "multi", "way"),
    [
        (signal.SIGINT, "P2", by_configured_destination),
        (signal.SIGTERM, "P2", by_file),
        (signal.SIGTERM, "A2", by_destination_variable),
        (signal.SIGINT, "T2", by_netrc),
    ],
    ids=["SIGINT-P", "SIGTERM-P", "SIGTERM-A", "SIGINT-T"],
)
def test_run_that_is_looked_at_and_ended_by_a_signal(
    run: Run, server: ScriptedServer, number: signal.Signals, multi: str, way: Way
) -> None:
    go_on = threading.Event()
    held = server.on("STOR", reactions.reply_after(go_on), times=ALWAYS)
    process = run.begin(way, "--multi", multi)
    assert held.reached.wait(30)
    found = list(processes(process.pid))
    assert len(found) >= (3 if multi == "P2" else 1)
    for pid in found:
        for name in ("cmdline", "comm", "stat", "status", "maps"):
            assert not leaks(Path(f"/proc/{pid}/{name}").read_bytes()), name
    run.look()
    assert list(run.state.glob("*-wal")), "what is written ahead was looked at, too"
    process.send_signal(number)
    code, said = run.end(process)
    go_on.set()
    assert code == 128 + number, said


def test_password_that_is_typed(run: Run, server: ScriptedServer) -> None:
    server.on("PASS", echo(b"530"), times=ALWAYS)
    command: list[str | Path] = [
        *PROGRAM,
        "sync",
        "-v",
        "--once",
        "--state-dir",
        run.state,
        "--log-file",
        run.log,
        run.source,
        run.url,
    ]
    environment = {"PATH": os.defpath, "HOME": str(run.home), "LANG": "C.UTF-8", "TERM": "xterm"}
    with at_terminal(command, environment) as terminal:
        terminal.type(CANARY.encode() + b"\n")
        assert terminal.end() == 3
    assert re.search(rb"530 \*\*\*", terminal.said)
    run.said.append(terminal.said)
    run.look()
    assert f"PASS {CANARY}" in server.commands()


# What objects say of themselves.


def test_nothing_says_it_of_itself(tmp_path: Path, server: ScriptedServer) -> None:
    site = Site("ftp", "127.0.0.1", server.port, USER, "")
    settings = Settings(tmp_path, site)
    login = find_login(site, [Place("somewhere", Secret(CANARY)), Place("elsewhere")], {})
    assert login.password == Secret(CANARY)
    publisher = Publisher(b"", "0123abcd")
    made = [
        make(connect=connect, site=site, password=Secret(CANARY), timeout_seconds=1.0, publisher=publisher,
             create_root=True, expected_root="")
        for make in (Hands, DryHands)
    ]  # fmt: skip
    mirror = Mirror(settings, Mode("S", 1), connect, Secret(CANARY), Report(), Patience())

    async def session_parts() -> list[str]:
        session = await connect(site, Secret(CANARY), timeout_seconds=5)
        control = session._control
        expected = control.expect("PASS")
        control.received(b"530 you said " + CANARY.encode() + b"\r\n")
        parts = [repr(each) for each in (session, control, expected, await expected.reply)]
        await session.close()
        return [*parts, repr(control.broken), str(control.broken)]

    assert not leaks(repr(Place("somewhere", Secret(CANARY))).encode())
    told = [*map(repr, [settings, login, *made, mirror]), *map(str, [settings, login, *made, mirror])]
    for text in [*told, *asyncio.run(session_parts())]:
        assert not leaks(text.encode("utf-8", "surrogateescape")), text


def test_reply_keeps_for_itself_what_may_not_be_told() -> None:
    reply = Reply(530, ("for sesame", "  "), secret=Secret("sesame"))
    assert (reply.told, reply.text, repr(reply)) == (["for ***", "  "], "530 for ***", "Reply('530 for ***')")
