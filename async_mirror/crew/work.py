"""The words in which a crew and those who use it speak. Starts nothing."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

S = TypeVar("S", bound="Session")
I = TypeVar("I")  # noqa: E741
R = TypeVar("R")
I_contra = TypeVar("I_contra", contravariant=True)


class Verdict(Enum):
    """What an error while a session was opened means."""

    BROKEN = "try again"
    REFUSED = "too many sessions: try with fewer"
    FATAL = "trying again does not help"


class Session(Protocol):
    """What a lane must know of a session."""

    @property
    def usable(self) -> bool:
        """False once a new session is needed."""
        ...

    async def close(self) -> None:
        """End the session; bounded in time, and never raises."""
        ...


class Progress(Protocol):
    """What a perform tells while it is under way."""

    def left(self) -> None:
        """What I had to send has left: the next item may begin on this session."""
        ...

    def advanced(self, amount: int) -> None:
        """So much more of the item is done."""
        ...

    async def may_do(self, amount: int) -> None:
        """Wait until so much more may be done, where there is a limit for all lanes together."""
        ...

    async def keep(self, what: Any) -> None:
        """Wait until something about the item is kept for good, whatever becomes of who works on it. May raise."""
        ...


class Performed(NamedTuple, Generic[R]):
    """A result, and whether the item deserves another attempt.

    `excused` says that this attempt was none of the item's: the next one is made at once, and does not count more,
    unless that happens to one item again and again. `crowded` says the same, and that there are too many sessions.
    """

    result: R
    again: bool = False
    excused: bool = False
    crowded: bool = False


class Hands(Protocol[S, I_contra, R]):
    """The work itself, as the crew sees it."""

    async def open(self) -> S:
        """Open a session. Whatever it raises is shown to `judge`."""
        ...

    async def perform(self, session: S, item: I_contra, previous: R | None, progress: Progress) -> Performed[R]:
        """Do one item. `previous` is the result of the attempt before this one."""
        ...

    def judge(self, error: Exception) -> Verdict:
        """Say what an error of `open` means."""
        ...

    def clash(self, item: I_contra, other: I_contra) -> bool:
        """Tell whether an item is not to begin on a session on which the other one is under way."""
        ...

    def lost(self, item: I_contra, previous: R | None, what: str) -> R | None:
        """Return what stands for an attempt without a result, for the one that follows it."""
        ...

    def learned(self, since: int) -> Sequence[Any]:
        """Return what was found out, in order, but for the first `since`: all hands are to know it. Picklable."""
        ...

    def learn(self, found: Sequence[Any]) -> None:
        """Take over what other hands found out; what is known already is no news."""
        ...


class Setback(NamedTuple):
    """A lane could not open a session for `lasted` seconds by now, and tries again in `seconds`.

    `alone` says that no lane has a session now.
    """

    lane: int
    error: Exception
    seconds: float
    lasted: float = 0.0
    alone: bool = True


class Watcher(Generic[I, R]):
    """Is told what happens in a crew. This one does not listen."""

    def opening(self, lane: int) -> None:
        """A lane that had a session opens another one."""

    def waiting(self, setback: Setback) -> None:
        """No session could be opened, and it is tried again."""

    def opened(self, lane: int, *, is_open: bool) -> None:
        """A lane has a session now, or goes without."""

    def again(self, result: R, seconds: float) -> None:
        """An item is tried again in so many seconds."""

    def begun(self, lane: int, item: I) -> None:
        """A lane (numbered from 1) began an attempt at an item."""

    def advanced(self, lane: int, item: I, amount: int) -> None:
        """So much more of an item is done."""

    def ended(self, lane: int, item: I) -> None:
        """An attempt at an item ended."""


class Finished(NamedTuple, Generic[I, R]):
    """An item that ended: with a result; or with an `error` (its perform raised, or was cut short); or unbegun."""

    item: I
    result: R | None
    error: str = ""

    @property
    def unbegun(self) -> bool:
        """True if no perform ever saw the item."""
        return self.result is None and not self.error


@dataclass(frozen=True, slots=True)
class Terms(Generic[I]):
    """What all lanes of a crew keep to.

    `wait_for(amount, now)` reserves so much of what all lanes together may do, and returns the seconds to wait before.
    `keep(item, what)` is awaited when a perform has something kept for good. What is not `wanted` when its turn comes
    is not tried (any more). What `opened` raises of a session that was just opened counts as if that had failed. Worker
    processes hold the descriptors `kept`. Once the end is requested, what has begun may go on for `grace_seconds`.
    """

    wait_for: Callable[[int, float], float] | None = None
    keep: Callable[[I, Any], Awaitable[None]] | None = None
    wanted: Callable[[I], bool] = lambda _: True
    opened: Callable[[], None] = lambda: None
    kept: Iterable[int] = ()
    grace_seconds: float = 3.0


class WorkerDied(Exception):
    """The thread or process that did it is gone."""


class NotBegun(Exception):
    """The session was of no more use before the item was begun."""
