"""Keeps two mirrors of an account from having one root, in whatever process, and knows which have roots below it.

Each root that was ever kept has a file beside the states, which is locked as long as it is kept. It is named for the
host as it was given. A host may have other names, so the file also says where the server was reached.
"""

import fcntl
import hashlib
import json
import os
import re
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from async_mirror.model.escape import shown
from async_mirror.state import private_files
from async_mirror.state.database import StateError, explained

_TURN_SECONDS = 5.0
"""A turn takes a moment: who has it for so long is stopped, or its machine is."""


class _Keeper(NamedTuple):
    """What a file says: which mirror has or had the root, in which process, and by which state."""

    root: str = ""
    mirror: str = ""
    process: str = ""
    state: str = ""
    place: str = ""
    """A key for the server as it was reached, and the account there."""

    @classmethod
    def read(cls, descriptor: int) -> "_Keeper":
        """Read it; what is no such thing says nothing."""
        with suppress(ValueError, TypeError):
            return cls(*map(str, json.loads(os.pread(descriptor, 20_000, 0))))
        return cls()

    def __str__(self) -> str:
        """Name the mirror and its process."""
        return f"{shown(self.mirror or 'another mirror')} ({shown(self.process or 'another process')})"


class RootLock:
    """A mirror's hold on its root; `inner` has the roots of others below it, by their paths there."""

    def __init__(
        self,
        state: Path,
        account: Iterable[str],
        mirror: str,
        *,
        inner: Iterable[tuple[str, str]] = (),
        holds: bool = True,
    ) -> None:
        """Hold nothing yet. `account` is host, port and user, the same for each spelling; a dry run holds nothing.

        `inner` is what is known of others already, which may have left no file yet.
        """
        self._known = dict(inner)
        self.inner = self._known.copy()
        self._state = state
        self._host, *self._login = account
        self._account = _key("\0".join((self._host, *self._login)))
        self._place = ""
        self._mirror = mirror
        self._holds = holds
        self._held: dict[str, int] = {}

    def claim(self, root: str, place: str = "") -> str:
        """Take a root, as the server names it, at `place` if that is known; return who has it, "" for no other.

        Raises StateError.
        """
        root = f"/{re.sub('/+', '/', root).strip('/')}"
        if self._holds and root not in self._held and (keeper := self._lock(root)):
            return keeper
        key = _key("\0".join((place, *self._login)))
        if place and key != self._place:
            if self._holds and (keeper := self._settle(root, key)):
                return keeper
            self._place = key
        self.inner = self._known | dict(self._below(root))
        return ""

    def close(self) -> None:
        """Let others have it."""
        for descriptor in self._held.values():
            os.close(descriptor)
        self._held.clear()
        self._place = ""

    def _path(self, root: str) -> Path:
        return self._state.parent / f"root-{self._account}-{_key(root)}.lock"

    def _lock(self, root: str) -> str:
        path = self._path(root)
        with explained(path), self._turn():
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                private_files.close_to_others(descriptor)
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                before = _Keeper.read(descriptor)
                self._sign(descriptor, root, before.place if before.state == self._state.name else "")
            except BlockingIOError:
                keeper = str(_Keeper.read(descriptor))
                os.close(descriptor)
                return keeper
            except BaseException:
                os.close(descriptor)
                raise
        self._held[root] = descriptor
        return ""

    def _settle(self, root: str, place: str) -> str:
        """Note where the server was reached; return who has the root there, under another name of the host."""
        with explained(self._path(root)), self._turn():
            for each in self._kept_now():
                if (each.root, each.place) == (root, place) and each.state != self._state.name:
                    self._sign(self._held[root], root, "")  # where it was in an earlier run blocks no other mirror
                    return str(each)
            self._sign(self._held[root], root, place)
        return ""

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Do it alone: of two that take one root at once the second one is to see the first. Raises StateError."""
        path = self._state.parent / "roots.lock"
        with explained(path):
            turn = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            private_files.close_to_others(turn)
            _take_turn(turn, path)
            yield
        finally:
            os.close(turn)

    def _kept_now(self) -> Iterator[_Keeper]:
        """Yield what the files of roots that are kept now say."""
        for path in self._state.parent.glob("root-*.lock"):
            with suppress(OSError):
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    yield _Keeper.read(descriptor)
                finally:
                    os.close(descriptor)

    def _sign(self, descriptor: int, root: str, place: str) -> None:
        """Write what the file says, in one write and over all that it said: others may read it at any moment."""
        keeper = _Keeper(root, shown(self._mirror), _this_process(), self._state.name, place)
        if _Keeper.read(descriptor) != keeper:
            text = json.dumps(keeper).encode()
            os.pwrite(descriptor, text.ljust(os.fstat(descriptor).st_size), 0)

    def _below(self, root: str) -> Iterator[tuple[str, str]]:
        """Yield where others have their roots, by whatever name of the host, as long as their states are there."""
        for path in self._state.parent.glob("root-*.lock"):
            with suppress(OSError):
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
                try:
                    other = _Keeper.read(descriptor)
                finally:
                    os.close(descriptor)
                if not path.name.startswith(f"root-{self._account}-") and other.place != (self._place or None):
                    continue
                inside = other.root.removeprefix(f"{root.rstrip('/')}/")
                is_another = other.state not in {"", self._state.name} and (self._state.parent / other.state).exists()
                if is_another and inside not in {"", other.root}:
                    yield inside, other.mirror


def _take_turn(descriptor: int, path: Path) -> None:
    """Lock it and say who has it from now on. Raises StateError, with who has it, if that takes too long.

    It does not wait for the lock itself: the mirrors of this process stand still meanwhile.
    """
    end = time.monotonic() + _TURN_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                holder = os.pread(descriptor, 200, 0).decode("utf-8", "replace").strip() or "another process"
                raise StateError(f"{path} is locked by {shown(holder)}, which may be stopped: end it") from None
            time.sleep(0.01)
        else:
            with suppress(OSError):  # no room to say who has it
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, _this_process().encode(), 0)
            return


def _this_process() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"


def _key(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]
