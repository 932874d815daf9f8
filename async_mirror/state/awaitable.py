"""The state as who must not block sees it: by noun, each method to be awaited. Knows not where the work is done."""

from collections.abc import Awaitable
from functools import partial

from async_mirror.crew.off_loop import Awaited, Face, OffLoop
from async_mirror.state.server_memory import ServerMemory
from async_mirror.state.store import State


class AwaitableHeld(Face[State]):
    """What the site is known to hold (see `held.Held`)."""

    at = Awaited(State.held)
    in_folder = Awaited(State.held_in)
    below = Awaited(State.held_below)
    folders = Awaited(State.held_folders)
    unread = Awaited(State.held_unread)
    count_files = Awaited(State.count_held_files)
    is_anything = Awaited(State.holds_anything)
    add = Awaited(State.hold)
    add_digests = Awaited(State.hold_digests)
    drop = Awaited(State.drop)
    void = Awaited(State.void)
    keep_rules = Awaited(State.keep_rules)
    note_in_step = Awaited(State.note_in_step)


class AwaitableJournal(Face[State]):
    """What is being done about it (see `journal.Journal`)."""

    begin = Awaited(State.begin)
    abandon = Awaited(State.abandon)
    add_candidate = Awaited(State.add_candidate)
    note_shapes = Awaited(State.note_shapes)
    commit = Awaited(State.commit)
    open_paths = Awaited(State.open_paths)
    pending = Awaited(State.pending)
    resolve = Awaited(State.resolve)


class AwaitableState(Face[State]):
    """The state of one mirror; `blocking` is the same for who works off the loop."""

    def __init__(self, blocking: State, off_loop: OffLoop) -> None:
        """Put faces before an open state."""
        super().__init__(blocking, off_loop)
        self.held = AwaitableHeld(blocking, off_loop)
        self.journal = AwaitableJournal(blocking, off_loop)

    fact = Awaited(State.fact)

    def learn(self, **facts: str | None) -> Awaitable[None]:
        """Remember facts; None forgets one."""
        return self.off_loop(partial(self.blocking.learn, **facts))


class AwaitableMemory(Face[ServerMemory]):
    """What was learned about servers."""

    recall = Awaited(ServerMemory.recall)
    learn = Awaited(ServerMemory.learn)
