"""Whether the site has room left, as far as uploads tell, and which of them wait for it. Pure."""

from collections import defaultdict
from collections.abc import Iterator
from typing import TypeGuard

from async_mirror.jobs.perform import Item
from async_mirror.model import paths
from async_mirror.model.change import Change, Job, Move, SendFile, path_of
from async_mirror.model.outcome import Done, Failed, Failure, InDoubt, Outcome, Problem

FILES = 3
"""So many files in a row without room, and no success between, mean that the site is full, not that they are large."""


Vain = Failed | InDoubt
"""What came of an upload that found no room; where the file itself was written, a part of it may be there."""


class Room:
    """The room on the site during one pass. Once it is `full`, uploads wait, until one that is tried fits.

    A server that says 451 for a full disk, and no more, says so of any file: it counts as full once files of so many
    different folders were answered alike.
    """

    def __init__(self) -> None:
        """Begin with room."""
        self.is_full = False
        self.is_sure = False
        """True if that was tried once more."""
        self._trial = ""
        self._uploaded_in_vain: set[str] = set()
        self._without: dict[str, Vain] = {}
        self._alike: defaultdict[str, set[str]] = defaultdict(set)
        self._waiting: dict[str, tuple[SendFile, Vain | None]] = {}

    # What may be done.

    def takes(self, change: Change) -> bool:
        """Tell whether a change may be made now; while the site is full no upload may, but the one that is tried."""
        if not self.is_full or path_of(change) == self._trial:
            return True
        return not (isinstance(change, SendFile) or path_of(change) in self._uploaded_in_vain)

    def takes_item(self, item: Item) -> bool:
        """Tell the same of an item."""
        return not (self.is_full and isinstance(item, Job)) or self.takes(item.change)

    def wait(self, change: Change) -> None:
        """Have an upload wait that was not tried."""
        if upload := _upload(change):
            self._waiting.setdefault(upload.entry.path, (upload, None))

    def try_one(self) -> SendFile | None:
        """Return the upload to be tried: the smallest one with any content, for what does not fit then never will."""
        waiting = (change for change, _ in self._waiting.values())
        trial = min(waiting, key=lambda change: (not change.entry.size, change.entry.size), default=None)
        if trial:
            self._trial = trial.entry.path
            del self._waiting[self._trial]
        return trial

    def resumed(self) -> list[SendFile]:
        """Return all that waited."""
        waiting, self._waiting = self._waiting, {}
        return [change for change, _ in waiting.values()]

    def left(self) -> tuple[list[Vain], list[SendFile]]:
        """Return what was tried in vain, and what was not tried."""
        tried = [*self._without.values(), *(failed for _, failed in self._waiting.values() if failed)]
        return tried, [change for change, failed in self._waiting.values() if not failed]

    # What is learned.

    def heard(self, outcome: Outcome) -> None:
        """Learn from an attempt, whether or not another one follows."""
        if not isinstance(outcome, Failed | InDoubt) or not _is_for_room(outcome.failure):
            return
        if self.is_full:
            self._uploaded_in_vain.add(outcome.failure.path)
        elif said := outcome.failure.perhaps_full:
            folders = self._alike[said]
            folders.add(paths.parent(outcome.failure.path))
            if len(folders) == FILES:
                self._pause()

    def settled(self, outcome: Outcome) -> list[Outcome]:
        """Learn what came of a job, and return what is to be told: a file without room may yet find some."""
        if isinstance(outcome, Done) and isinstance(outcome.change, SendFile):
            return [*self._fits(outcome.change.entry.path), outcome]
        if _is_in_vain(outcome) and not outcome.missing and (upload := _upload(outcome.job.change)):
            self.heard(outcome)
            return [*self._failed(upload, outcome)]
        return [outcome]

    def _fits(self, path: str) -> list[Vain]:
        """Take note of a success: those before it that found no room were too large themselves."""
        if path == self._trial:
            self.is_full = False
        self._alike.clear()
        own = list(self._without.values())
        self._without.clear()
        return own

    def _failed(self, change: SendFile, outcome: Vain) -> Iterator[Vain]:
        failure, path = outcome.failure, change.entry.path
        if not _is_for_room(failure) and not (self.is_full and failure.transient):
            yield outcome
        elif self.is_full:
            self.is_sure = self.is_sure or path == self._trial
            self._waiting[path] = (change, _without_room(outcome))
        elif failure.problem is Problem.NO_SPACE:
            self._without[path] = outcome
            if len(self._without) == FILES:
                self._pause()
        else:
            yield outcome

    def _pause(self) -> None:
        self.is_full = True
        for path, failed in self._without.items():
            if upload := _upload(failed.job.change):
                self._waiting[path] = (upload, failed)
        self._without.clear()


def _upload(change: Change) -> SendFile | None:
    """Return the upload that a change is, or may become: a file that is not the one that was sent is not renamed."""
    match change:
        case SendFile():
            return change
        case Move(entry) if not entry.is_folder:
            return SendFile(entry, None, "new")
    return None


def _is_in_vain(outcome: Outcome) -> TypeGuard[Vain]:
    return isinstance(outcome, Failed) or (isinstance(outcome, InDoubt) and _is_for_room(outcome.failure))


def _is_for_room(failure: Failure) -> bool:
    return failure.problem is Problem.NO_SPACE or bool(failure.perhaps_full)


def _without_room(failed: Vain) -> Vain:
    """Return a failure as one for lack of room, if that is what the server's words turned out to mean."""
    if not failed.failure.perhaps_full:
        return failed
    return failed._replace(failure=failed.failure._replace(problem=Problem.NO_SPACE))
