"""Starts the program as a fork of a process that has loaded it already, which costs a tenth of a start from nothing.

It is a process of its own all the same, and a child of the tests': it has the arguments, environment, folder, streams
and session that it was given, it can be killed, and ends as `python -m async_mirror` does. Such a process is there for
each environment that Python itself reads. Outside of `loaded` all programs start from nothing, as those do that need
something else. Linux only.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import os
import pickle
import pkgutil
import runpy
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, AnyStr, Final, NamedTuple

PROJECT: Final = Path(__file__).resolve().parents[2]
MODULE: Final = "async_mirror"
LATE: Final = ("blake3", "encodings.idna", "platformdirs.unix")
"""What a pass loads when it needs it, and most passes do."""

_USUAL = {"PYTHONPATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"}
_NOT_GIVEN = (None, None, True, (), False, None, None, None, -1, -1)
"""What Popen hands on where nothing was said."""
_SET_CHILD_SUBREAPER = 36
_LONGEST = 1 << 17
_loaded: dict[frozenset[tuple[str, str]], _Loaded] | None = None


class _Start(NamedTuple):
    """How a program is started."""

    argv: list[str]
    environment: dict[str, str]
    folder: str
    leads_session: bool
    umask: int


class _Loaded:
    """A process that has loaded the program; it ends with this one."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._asks, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.forked", str(theirs.fileno())],
                cwd=PROJECT,
                env=environment | {"PATH": os.defpath},
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    def fork(self, start: _Start, streams: list[int]) -> int:
        """Return the process id of a program that is started, and is a child of this process."""
        with self._lock:
            socket.send_fds(self._asks, [pickle.dumps(tuple(start))], streams)
            return int(self._asks.recv(_LONGEST))

    def end(self) -> None:
        self._asks.close()
        self._process.wait()


@contextmanager
def loaded() -> Iterator[None]:
    """Let programs that are started meanwhile be forks."""
    global _loaded  # noqa: PLW0603
    before, _loaded = _loaded, {}
    ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1)  # a fork is handed on to this process
    try:
        yield
    finally:
        for each in _loaded.values():
            each.end()
        _loaded = before


class Started(subprocess.Popen[AnyStr]):
    """A program that was started: ours as a fork, if it may be, and anything else as ever."""

    def _execute_child(self, args: Any, executable: Any, preexec_fn: Any, *rest: Any) -> None:
        close_fds, pass_fds, cwd, env, _, _, shell, *pipes = rest[:13]
        *_, gid, gids, uid, umask, leads_session, group = rest[13:]
        argv = [os.fsdecode(each) for each in args]
        env = os.environ if env is None else env
        environment = {os.fsdecode(name): os.fsdecode(value) for name, value in env.items()}
        given = (executable, preexec_fn, close_fds, pass_fds, shell, gid, gids, uid, umask, group)
        is_ours = argv[:3] == [sys.executable, "-m", MODULE] and given == _NOT_GIVEN
        loaded = _loaded_for(environment) if is_ours else None
        if loaded is None:
            super()._execute_child(args, executable, preexec_fn, *rest)  # type: ignore[misc]
            return
        start = _Start(argv, environment, os.fsdecode(cwd or os.getcwd()), leads_session, _umask())
        theirs = [pipe if pipe != -1 else number for number, pipe in enumerate((pipes[0], pipes[3], pipes[5]))]
        self.pid = loaded.fork(start, theirs)
        self._child_created = True
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]


def _loaded_for(environment: dict[str, str]) -> _Loaded | None:
    """Return a process that has loaded the program, in an environment in which Python does nothing unusual."""
    read = {name: value for name, value in environment.items() if name.startswith(("PYTHON", "LC_", "LANG"))}
    unusual = any(name.startswith("PYTHON") for name in read.keys() - _USUAL)
    if _loaded is None or unusual:
        return None
    if (key := frozenset(read.items())) not in _loaded:
        _loaded[key] = _Loaded(read)
    return _loaded[key]


def _umask() -> int:
    """Return the umask, which is not changed for that even for a moment."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1], 8) for line in lines if line.startswith("Umask:"))


def _serve(asked: socket.socket) -> tuple[_Start, list[int]]:
    """Fork for each that asks, and return in the forks; end when nobody can ask any more."""
    while True:
        message, streams, *_ = socket.recv_fds(asked, _LONGEST, 3)
        if not message:
            sys.exit()
        reads, writes = os.pipe()
        if (between := os.fork()) == 0:
            if pid := os.fork():
                os.write(writes, b"%d" % pid)
                os._exit(0)
            os.close(reads)
            os.close(writes)
            return _Start(*pickle.loads(message)), streams
        os.waitpid(between, 0)  # its child has another parent now
        asked.send(os.read(reads, 32))
        for each in (reads, writes, *streams):
            os.close(each)


def _become(start: _Start, streams: list[int]) -> None:
    """Make of this process what a new one would be."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    if start.leads_session:
        os.setsid()
    os.umask(start.umask)
    os.chdir(start.folder)
    os.environ.clear()
    os.environ.update(start.environment)
    time.tzset()
    sys.orig_argv[:] = start.argv
    sys.argv[:] = start.argv[2:]
    sys.path[0] = start.folder
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        before = getattr(sys, name)
        by_line = number == 2 or os.isatty(number)
        file: Any = os.fdopen(number, "rww"[number], 1 if by_line else -1, before.encoding, before.errors)
        if number and os.environ.get("PYTHONUNBUFFERED"):
            file.reconfigure(write_through=True)
        setattr(sys, name, file)
        setattr(sys, f"__{name}__", file)
    if law := sys.modules.get("sitecustomize"):
        importlib.reload(law)


def _main() -> None:
    """Load the program, and be it in each fork."""
    package = importlib.import_module(MODULE)
    own = (name for _, name, _ in pkgutil.walk_packages(package.__path__, f"{MODULE}."))
    for name in (*own, *LATE):
        if name != f"{MODULE}.__main__":
            importlib.import_module(name)
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as asked:
        start, streams = _serve(asked)
    _become(start, streams)
    runpy.run_module(MODULE, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _main()
