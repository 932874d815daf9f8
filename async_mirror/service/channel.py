"""How a mirror that runs is asked: one JSON line each way over a Unix socket. Knows not what is asked, nor of mirrors.

Only this user and root get an answer. A name in the folder of sockets stands for a state; it is replaced only by who
has that state locked. Where no socket can be made there is none, and who asks finds none.
"""

import asyncio
import hashlib
import json
import os
import secrets
import socket
import stat
import struct
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from async_mirror import multi
from async_mirror.state import private_files

MOST_ASKED_BYTES = 4096
MOST_ANSWERED_BYTES = 1 << 18
MOST_CLIENTS = 8
ANSWERS_WITHIN_S = 5.0
_LONGEST_ADDRESS = 107
_FOLDER = "async-mirror"
_BESIDE_STATE = "sockets"
_DOOR = ".door"
"""What the name ends with under which a process listens; the names of its states lead to the same socket."""

Answer = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""What answers a request: at once, without waiting for anything, and never with a secret."""


class Unanswered(Exception):
    """No process answered; the text says why."""


# Where sockets are.


def folders_of(state: Path, runtime: str | None, owner: int | None = None) -> Iterator[Path]:
    """Yield where the socket of a state may be: below the user's folder for such things, else beside the state.

    Who asks may be another user than the `owner` of the state, with another folder of the first kind.
    """
    if runtime and os.path.isabs(runtime):
        yield Path(runtime) / _FOLDER
    if owner is not None:
        yield Path(f"/run/user/{owner}") / _FOLDER
    yield state.parent / _BESIDE_STATE


def name_of(state: Path) -> str:
    """Return the name of the socket of a state."""
    return f"{hashlib.sha256(os.fsencode(state)).hexdigest()[:20]}.sock"


@contextmanager
def _address(path: Path) -> Iterator[str]:
    """Give the address of a socket: its path, or a short way to it where that is longer than an address may be."""
    if len(os.fsencode(path)) <= _LONGEST_ADDRESS:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


# The end that answers.


class Names:
    """Under which names this process can be asked: one for each state that it has locked."""

    def __init__(self, answer: Answer, runtime: str | None, stack: AsyncExitStack) -> None:
        """Begin without any; the stack holds what is open."""
        self._desk = _Desk(answer)
        self._runtime = runtime
        self._stack = stack
        self._doors: dict[Path, Path] = {}
        self._names: dict[Path, Path] = {}

    async def add(self, state: Path) -> str:
        """Be asked about a state from now on; return what is in the way of that, "" for nothing.

        The first folder that will do is taken. All names in a folder lead to one socket.
        """
        if not hasattr(socket, "SO_PEERCRED"):
            return "this system does not tell who asks"
        trouble = "there is no folder for a socket"
        for folder in folders_of(state, self._runtime):
            try:
                if folder not in self._doors:
                    self._doors[folder] = await self._stack.enter_async_context(_listening_in(folder, self._desk))
                _give_name(self._doors[folder], folder / name_of(state))
            except OSError as error:
                trouble = error.strerror or str(error)
            else:
                self._names[state] = folder / name_of(state)
                return ""
        return trouble

    def remove(self, state: Path) -> None:
        """Be no longer asked about a state, as long as it is locked."""
        if name := self._names.pop(state, None):
            with suppress(OSError):
                name.unlink()

    def close(self) -> None:
        """Be no longer asked about any."""
        for state in tuple(self._names):
            self.remove(state)


@asynccontextmanager
async def answering(answer: Answer, runtime: str | None) -> AsyncIterator[Names]:
    """Answer questions about the states that are added."""
    async with AsyncExitStack() as stack:
        names = Names(answer, runtime, stack)
        stack.callback(names.close)
        yield names


@asynccontextmanager
async def _listening_in(folder: Path, desk: "_Desk") -> AsyncIterator[Path]:
    """Listen on a new socket in a folder that is this user's alone."""
    _make_private(folder)
    _clear(folder)
    path = folder / f"{os.getpid()}-{secrets.token_hex(4)}{_DOOR}"
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _address(path) as address:  # Python 3.13 looks there again at the end
            door.bind(address)
            path.chmod(0o600)
            async with multi.listening(door, desk.serve, MOST_ASKED_BYTES):
                yield path
    finally:
        door.close()
        path.unlink(missing_ok=True)


def _make_private(folder: Path) -> None:
    """Make a folder for this user alone; raise PermissionError for one that is not."""
    private_files.make_folder(folder)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise PermissionError(0, f"{folder} is not this user's alone")


def _clear(folder: Path) -> None:
    """Remove the sockets that killed processes have listened on; each had a name that is never given again."""
    for path in folder.glob(f"*{_DOOR}"):
        with suppress(OSError), closing(socket.socket(socket.AF_UNIX)) as probe, _address(path) as address:
            probe.setblocking(False)
            try:
                probe.connect(address)
            except ConnectionRefusedError:
                path.unlink()


def _give_name(door: Path, name: Path) -> None:
    """Have a name lead to a socket, whatever was left there by who had the state before."""
    new = name.with_suffix(f".{secrets.token_hex(4)}")
    os.link(door, new)
    try:
        os.replace(new, name)
    except OSError:
        new.unlink()
        raise


class _Desk:
    """Answers clients, so many at a time, each within seconds."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._clients = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the one request of a client, or cut it off."""
        self._clients += 1
        try:
            async with asyncio.timeout(ANSWERS_WITHIN_S):
                writer.write(_line(await self._answered(reader, writer)))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (OSError, TimeoutError):
            pass
        finally:
            self._clients -= 1
            writer.transport.abort()

    async def _answered(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Mapping[str, Any]:
        if self._clients > MOST_CLIENTS:
            return {"error": f"{MOST_CLIENTS} others are asking: try again"}
        if not _may_ask(_peer(writer.get_extra_info("socket"))):
            return {"error": "only the user who runs it, and root, may ask"}
        try:
            request = json.loads(await reader.readuntil(b"\n"))
        except (asyncio.LimitOverrunError, asyncio.IncompleteReadError):
            return {"error": f"a request is one line of at most {MOST_ASKED_BYTES} bytes"}
        except (ValueError, RecursionError):
            return {"error": "a request is a JSON object"}
        return self._answer(request) if isinstance(request, dict) else {"error": "a request is a JSON object"}


def _line(answer: Mapping[str, Any]) -> bytes:
    line = json.dumps(answer).encode() + b"\n"
    return line if len(line) <= MOST_ANSWERED_BYTES else b'{"error": "the answer is too long"}\n'


def _peer(connection: Any) -> int:
    """Return who is at the other end of a Unix socket."""
    _, user, _ = struct.unpack(
        "3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    )
    return int(user)


def _may_ask(user: int) -> bool:
    return user in {0, os.geteuid()}


# The end that asks.


def ask(state: Path, request: Mapping[str, Any], runtime: str | None) -> dict[str, Any]:
    """Ask the process that keeps a state; return its answer. Raises Unanswered.

    Only what the owner of the state, this user or root says is believed.
    """
    try:
        owner = state.stat().st_uid
    except OSError:
        raise Unanswered("there is no state") from None
    reasons = []
    for folder in folders_of(state, runtime, owner):
        try:
            return _ask(folder / name_of(state), request, {0, os.geteuid(), owner})
        except (OSError, ValueError, TypeError) as error:
            reasons.append(error)
    real = [each for each in reasons if not isinstance(each, FileNotFoundError)]
    raise Unanswered(str(real[0]) if real else "there is no socket")


def _ask(path: Path, request: Mapping[str, Any], believed: set[int]) -> dict[str, Any]:
    end = time.monotonic() + ANSWERS_WITHIN_S
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as connection, _address(path) as address:
        connection.settimeout(ANSWERS_WITHIN_S)
        connection.connect(address)
        if _peer(connection) not in believed:
            raise PermissionError(f"the socket {path} belongs to another user")
        with suppress(BrokenPipeError):  # a refusal may come before the request is heard
            connection.sendall(json.dumps(request).encode() + b"\n")
        return dict(json.loads(_read_line(connection, end)))


def _read_line(connection: socket.socket, end: float) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        connection.settimeout(max(0.01, end - time.monotonic()))
        block = connection.recv(1 << 16)
        line += block
        if not block or len(line) > MOST_ANSWERED_BYTES or time.monotonic() > end:
            raise ValueError("it broke off")
    return line
