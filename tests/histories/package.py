"""The program under test, and all that it has of this machine; the only module here that knows it.

It is driven by its command line. Its modules are found by walking the package, and what they hold of clock, chance,
disk and network is replaced by what they get in a history, whatever they are called and wherever they stand.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import io
import json
import logging
import os
import pkgutil
import random
import secrets
import shutil
import socket
import sqlite3
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from . import kernel
from .durable import Durable, Room, Sqlite
from .local import INNER, Local, System
from .loop import VirtualLoop
from .wire import HOST, PASSWORD, Socket
from .world import Found, Killed, World

NAME = "async_mirror"
OWN_ERROR = "internal error"
"""What it is called in the program's summary that something was never to happen."""


def believed(state: Path, torn: Sequence[bytes]) -> list[bytes]:
    """Return those of the paths of which a state believes to know what the site has, or that nothing is there."""
    with tempfile.TemporaryDirectory() as copy:
        for database in state.rglob("*.sqlite3*") if torn else ():
            shutil.copy(database, copy)
        held: set[bytes] = set()
        for name in Path(copy).glob("*.sqlite3"):
            with contextlib.closing(sqlite3.connect(name)) as connection, contextlib.suppress(sqlite3.OperationalError):
                held |= {path for (path,) in connection.execute("SELECT path FROM pending")}
                rows = connection.execute("SELECT folder, name FROM held WHERE kind = 1 AND size = -1")
                held |= {folder + b"/" + name if folder else name for folder, name in rows}
        return [path for path in torn if not held & {path, path.removeprefix(f"{INNER}/".encode())}]


class _Now:
    """What stands for the world at this moment."""

    world: World | None = None
    local: Local | None = None
    signal: Callable[[int], None] = staticmethod(lambda _: None)
    """Takes the signals that the program is sent."""
    touched: frozenset[str] | None = None
    """The folders that the pass is told of, as by the kernel; None: it looks at everything."""


class _Clock:
    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def time(self) -> float:
        return _Now.world.local_wall if _Now.world else 0.0

    def time_ns(self) -> int:
        return int(self.time() * 1e9)

    def monotonic(self) -> float:
        return _Now.world.now if _Now.world else 0.0

    def sleep(self, seconds: float) -> None:
        if _Now.world:
            _Now.world.rest(seconds)


class _Secrets:
    def __getattr__(self, name: str) -> Any:
        return getattr(secrets, name)

    def token_hex(self, size: int) -> str:
        return _Now.world.own_chance.randbytes(size).hex() if _Now.world else "0" * 2 * size


class _Chance:
    def __getattr__(self, name: str) -> Any:
        return getattr(_Now.world.own_chance if _Now.world else random, name)


class _Sockets:
    socket = Socket

    def __getattr__(self, name: str) -> Any:
        return getattr(socket, name)


class _Threads:
    """Stands for a pool of threads: what it is given is done at once."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def submit(self, work: Callable[[], Any]) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(work())
        except Exception as error:  # noqa: BLE001 - whatever it is, who asked wants to know
            future.set_exception(error)
        return future

    def shutdown(self, *_: object, **__: object) -> None:
        pass


class _Garbage:
    """Nothing is frozen, and no threshold is changed: many histories share this process."""

    def __getattr__(self, _: str) -> Any:
        return lambda *_: None


def _local() -> Local | _NoLocal:
    return _Now.local or _NoLocal()


class _NoLocal:
    def stat_of(self, real: os.stat_result) -> os.stat_result:
        return real


def _signal(signum: int) -> None:
    _Now.signal(signum)


_CLOCK = _Clock()
_SQLITE = Sqlite()
_STAND_INS: list[tuple[object, object]] = [
    (time, _CLOCK),
    (time.monotonic, _CLOCK.monotonic),
    (time.time, _CLOCK.time),
    (secrets, _Secrets()),
    (random, _Chance()),
    (socket, _Sockets()),
    (sqlite3, _SQLITE),
    (gc, _Garbage()),
    (ThreadPoolExecutor, _Threads),
    (os, System(_local, _signal)),  # type: ignore[arg-type]
]


def _modules() -> list[ModuleType]:
    package = importlib.import_module(NAME)
    names = [each.name for each in pkgutil.walk_packages(package.__path__, f"{NAME}.")]
    return [importlib.import_module(name) for name in names if not name.endswith(("__main__", ".demo"))]


def prepare(home: Path) -> None:
    """Import all of the program, and put it into a world of ours; nothing of this user's is to be found."""
    os.umask(0o022)
    for name in [name for name in os.environ if name.startswith(("ASYNC_MIRROR_", "XDG_")) or name == "NETRC"]:
        del os.environ[name]
    os.environ["HOME"] = str(home)
    sys.modules["uvloop"] = None  # type: ignore[assignment]
    sys.modules["asyncinotify"] = kernel
    warnings.simplefilter("ignore")
    for module in _modules():
        for name, value in list(vars(module).items()):
            for real, stand_in in _STAND_INS:
                if value is real:
                    setattr(module, name, stand_in)
    _tell_of_touched_folders(importlib.import_module(f"{NAME}.engine"))
    importlib.import_module("aioftp")
    for name, password in (("password", PASSWORD), ("wrong-password", "of another")):
        (home / name).write_text(f"{password}\n")
        (home / name).chmod(0o600)


def _tell_of_touched_folders(engine: ModuleType) -> None:
    """Have a run's one pass look at what was touched alone, where that is known, as if the run had watched before."""
    scope = engine.Scope
    engine.Scope = lambda folders, *more: scope(_Now.touched if folders is None else folders, *more)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Mirrors:
    """The mirror of a source, or that and the one of a folder in it, which a file configures then."""

    source: Path
    state: Path
    home: Path
    inner: str = ""
    in_file: bool = False

    def words(self, *, password: bool = False) -> tuple[str, ...]:
        """Return what a command is told of them."""
        words: tuple[str, ...] = ("--state-dir", str(self.state))
        if self.inner or self.in_file:
            return (*words, "--config", str(self._file))
        if password:
            words += ("--password-file", str(self.home / "password"))
        return (*words, str(self.source), f"ftp://lab@{HOST}/www")

    @property
    def _file(self) -> Path:
        return self.source.with_name("mirrors.toml")

    def configure(self, *, every: int = 600, broken: bool = False, twice: bool = False, wrong: bool = False) -> None:
        """Write the file: `twice` with a second mirror of one root, `wrong` with a wrong inner password."""
        tables = [("outer", ""), *[(self.inner, self.inner)] * bool(self.inner), *[("other", "")] * twice]
        text = f'every = "{every}s"\n' + "".join(self._table(*each, wrong=wrong) for each in tables)
        self._file.write_text("[mirror\n" * broken + text)

    def _table(self, name: str, folder: str, *, wrong: bool) -> str:
        password = "wrong-password" if wrong and folder else "password"
        return (
            f'[mirror.{name}]\npassword-file = "{self.home}/{password}"\n'
            f'source = "{self.source / folder}"\ndestination = "ftp://lab@{HOST}/{Path("www") / folder}"\n'
        )


class Result:
    """How a pass ended: its exit code, and what each mirror told of it."""

    def __init__(self, code: int, told: list[dict[str, Any]], log: str) -> None:
        self.code = code
        self._told = told
        self.log = log

    @property
    def is_pass(self) -> bool:
        """True if any mirror tells of a pass."""
        return bool(self._told)

    def told(self, what: str) -> int:
        """Return a number that was told, of all mirrors together."""
        return sum(each[what] for each in self._told)

    @property
    def problems(self) -> dict[str, int]:
        found: Counter[str] = Counter()
        for each in self._told:
            found.update(each.get("failures") or {})
        return dict(found)


@contextlib.contextmanager
def at_hand(world: World, local: Local, signal: Callable[[int], None]) -> Any:
    """Let the program see this world and this source, while it runs and while what is left of it is let go."""
    before, sys.unraisablehook = sys.unraisablehook, lambda _: None
    _Now.world, _Now.local, _Now.signal = world, local, signal
    random.seed(world.own_chance.random())  # for what is imported only where it is used
    try:
        yield
    finally:
        _Now.world = _Now.local = None
        sys.unraisablehook = before


@contextlib.contextmanager
def unheard() -> Iterator[None]:
    """Let nobody hear what is said meanwhile."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def sync(
    loop: VirtualLoop,
    mirrors: Mirrors,
    options: Sequence[str],
    *,
    durable: Durable | None = None,
    room: Room | None = None,
    touched: frozenset[str] | None = None,
    stays: bool = False,
) -> Result:
    """Run one pass of all mirrors in this loop; `durable` sees what of a state survives a power failure.

    It looks at the `touched` folders only, if it is told of any. One that `stays` watches, pass after pass.
    """
    _SQLITE.durable, _SQLITE.room = durable, room
    _Now.touched = touched
    before = asyncio.new_event_loop
    asyncio.new_event_loop = lambda: loop
    try:
        how = "--watch" if stays else "--once"
        code, out, errors = _run("sync", how, "--json", "--no-progress", *options, *mirrors.words(password=True))
    finally:
        asyncio.new_event_loop = before
        _SQLITE.durable = _SQLITE.room = _Now.touched = None
        logging.getLogger().handlers.clear()
        logging.getLogger(NAME).handlers.clear()
    return Result(code, [json.loads(line) for line in out.splitlines()], errors)


def passes_told() -> list[dict[str, Any]]:
    """Return what the program has told of its passes up to now."""
    assert isinstance(sys.stdout, io.StringIO)
    return [json.loads(line) for line in sys.stdout.getvalue().splitlines()]


def log_so_far() -> str:
    """Return what the program has logged up to now."""
    assert isinstance(sys.stderr, io.StringIO)
    return sys.stderr.getvalue()


def ask(command: str, mirrors: Mirrors) -> int:
    """Run another of its commands, in a process of its own that the program may be beside; return the exit code."""
    watched, _SQLITE.durable = _SQLITE.durable, None
    try:
        what, *names = command.split()
        code, _, _ = _run(what, *mirrors.words(), *names)
    finally:
        _SQLITE.durable = watched
    if watched:
        watched.settle()
    return code


def _run(*arguments: str) -> tuple[int, str, str]:
    """Run a command as the program does, and return its exit code and what it printed."""
    out, errors = io.StringIO(), io.StringIO()
    before, sys.argv = sys.argv, [NAME, *arguments]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            importlib.import_module(f"{NAME}.cli").main()
    except (Found, Killed) as end:
        end.log = errors.getvalue()
        raise
    except SystemExit as end:
        return int(end.code or 0), out.getvalue(), errors.getvalue()
    finally:
        sys.argv = before
    raise AssertionError("a command ends with an exit code")
