"""Toy work for crews whose hands work elsewhere; what it did is written down in a folder, because nothing is shared."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pickle
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from async_mirror.crew.work import Performed, Progress, Verdict

STUCK = -1
"""What is told to have advanced by what asks for the end and then does not end."""
_SEAT_SECONDS = 0.5


class Refused(Exception):
    """The site has too many sessions."""


class Fatal(Exception):
    """The password is wrong."""


class Trouble(Exception):
    """Something went wrong where the test wants it."""


class Odd(Exception):
    """An error that does not travel: what is raised on the other side lacks an argument."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} and {second}")


class Unpicklable:
    """What does not even leave."""

    def __reduce__(self) -> NoReturn:
        raise pickle.PicklingError("I stay here")


class Errand(NamedTuple):
    """An item: what each attempt at it does, and what is carried there and back."""

    number: int
    acts: tuple[str, ...] = ()
    load: bytes = b""


class Did(NamedTuple):
    """A result: which attempt it was, what the attempt before said, and where it was done."""

    number: int
    attempt: int
    previous: int
    pid: int
    thread: int
    load: bytes = b""


@dataclass(eq=False)
class Seat:
    """A session: it has one of the site's seats, which the kernel frees with the process if need be."""

    toy: Toy
    descriptor: int
    usable: bool = True
    closed: bool = False
    under_way: int = 0

    async def close(self) -> None:
        if self.under_way or self.closed:
            self.toy.note("faults: closed twice or while something was under way")
        self.closed = True
        await asyncio.sleep(0)
        os.close(self.descriptor)


class Judge:
    """What all toys say of an error, and of what was under way when a connection was lost."""

    def lost(self, item: int, previous: str | None, what: str) -> str | None:
        return previous

    def clash(self, item: Any, other: Any) -> bool:
        return False

    def learned(self, since: int) -> list[str]:
        return []

    def learn(self, found: Sequence[str]) -> None:
        assert not found

    def judge(self, error: Exception) -> Verdict:
        match error:
            case Fatal():
                return Verdict.FATAL
            case Refused():
                return Verdict.REFUSED
            case _:
                return Verdict.BROKEN


@dataclass(frozen=True)
class Toy(Judge):
    """Hands that do what an errand says. `openings` is how each try to open a session ends; more of them go well."""

    folder: str
    in_process: bool
    seats: int = 256
    openings: tuple[str, ...] = ()

    async def open(self) -> Seat:
        nth = self.note("openings")
        self.append("times", f"{time.monotonic()}\n")
        await asyncio.sleep(0)
        match self.openings[nth] if nth < len(self.openings) else "fine":
            case "refused":
                raise Refused("421 too many")
            case "broken":
                raise ConnectionError
            case "fatal":
                raise Fatal("530 wrong password")
            case "odd":
                raise Odd("one", "two")
            case "die":
                self.die()
            case "hang":
                self.note("hanging")
                await asyncio.Event().wait()
            case "die soon":
                asyncio.get_running_loop().call_soon(self.die)
        return Seat(self, self.seat())

    def seat(self) -> int:
        """Take a free seat; it is a fault if there is none. A process that dies may take a moment to leave its own."""
        end = time.monotonic() + (_SEAT_SECONDS if self.in_process else 0.0)
        while True:
            for number in range(self.seats):
                seat = os.open(f"{self.folder}/seat-{number}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                try:
                    fcntl.flock(seat, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    os.close(seat)
                else:
                    return seat
            if time.monotonic() >= end:
                self.note("faults: more sessions than seats")
                return os.open(os.devnull, os.O_RDWR)
            time.sleep(0.01)

    async def perform(self, session: Seat, item: Errand, previous: Did | None, progress: Progress) -> Performed[Did]:
        attempt = self.note(f"begun {item.number}")
        if session.closed:
            self.note("faults: performed on a closed session")
        session.under_way += 1
        try:
            return await self.act(session, item, attempt, previous, progress)
        finally:
            session.under_way -= 1
            self.note(f"over {item.number}")

    async def act(
        self, session: Seat, item: Errand, attempt: int, previous: Did | None, progress: Progress
    ) -> Performed[Did]:
        act = item.acts[attempt] if attempt < len(item.acts) else "fine"
        before = previous.attempt if previous else -1
        did = Did(item.number, attempt, before, os.getpid(), threading.get_ident(), item.load)
        await asyncio.sleep(0)
        for word in act.split():
            match word:
                case "leave":
                    progress.left()
                    await asyncio.sleep(0)
                case "advance":
                    progress.advanced(1)
                case "tell":
                    progress.advanced(os.getpid())
                case "ask":
                    await progress.may_do(item.number)
                case "keep":
                    await progress.keep(item.number)
                case "break":
                    session.usable = False
                case "raise":
                    raise Trouble(f"with {item.number}")
                case "odd":
                    raise Odd("one", "two")
                case "cancelled":
                    raise asyncio.CancelledError
                case "die":
                    self.die()
                case "stick":
                    progress.advanced(STUCK)
                    await asyncio.Event().wait()
                case "hang":
                    await asyncio.Event().wait()
                case "block":
                    threading.Event().wait()
                case "unpicklable":
                    return Performed(did._replace(load=Unpicklable()))  # type: ignore[arg-type]
                case "again":
                    return Performed(did, again=True)
                case "fine":
                    pass
                case _:
                    raise AssertionError(word)
        return Performed(did)

    def die(self) -> NoReturn:
        """End what it works in: a process at once, a thread as threads end."""
        if self.in_process:
            os._exit(7)
        raise SystemExit(7)

    def note(self, what: str) -> int:
        """Write down that something happened, and return how often it had before."""
        return self.append(what, ".") - 1

    def append(self, what: str, text: str) -> int:
        """Write more of something down, and return how much there is."""
        notes = os.open(f"{self.folder}/{what}", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            fcntl.flock(notes, fcntl.LOCK_EX)  # or two that write at once would both see the later size
            os.write(notes, text.encode())
            return os.fstat(notes).st_size
        finally:
            os.close(notes)

    def noted(self, what: str) -> int:
        """Return how often something happened."""
        path = Path(self.folder, what)
        return path.stat().st_size if path.exists() else 0

    def times(self) -> list[float]:
        """Return when sessions were opened."""
        return [float(line) for line in Path(self.folder, "times").read_text().splitlines()]

    @property
    def faults(self) -> list[str]:
        """Return what ought not to have happened."""
        return [path.name for path in Path(self.folder).glob("faults*")]
