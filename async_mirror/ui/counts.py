"""What one pass came to, in numbers and in one sentence. Pure."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from async_mirror.model.change import Change, MakeFolder, RemoveFolder, SetAttributes
from async_mirror.model.entry import UNKNOWN
from async_mirror.model.outcome import Problem
from async_mirror.ui.text import human_size, plural

FILES = {
    "sent": "uploaded",
    "dated": "dated",
    "same": "compared",
    "moved": "renamed",
    "removed": "deleted",
    "mode": "changed",
}
"""The verbs of what is counted as planned: all but folders made and removed."""
PRESENT = {
    "made": "make",
    "sent": "send",
    "dated": "date",
    "moved": "move",
    "removed": "remove",
    "changed": "change",
    "set": "set",
}


def is_counted(change: Change) -> bool:
    """Tell whether a change counts as planned: folders made and removed do not, nor does their first mode."""
    if isinstance(change, MakeFolder | RemoveFolder):
        return False
    return not (isinstance(change, SetAttributes) and change.entry.is_folder and change.held.mode == UNKNOWN)


@dataclass
class Counts:
    """What one pass came to.

    `done` counts by verb: `made folder`, `sent`, `dated`, `same`, `mode`, `moved`, `removed` (`… folder`).
    """

    files: int = 0
    folders: int = 0
    bytes_in_source: int = 0
    links: int = 0
    specials: int = 0
    excluded: int = 0
    adopted: int = 0
    foreign: int = 0
    done: Counter[str] = field(default_factory=Counter)
    replacing: int = 0
    kept: int = 0
    untold: int = 0
    bytes_sent: int = 0
    given_up: int = 0
    problems: Counter[Problem] = field(default_factory=Counter)
    failing: Counter[str] = field(default_factory=Counter)
    """Of what failed, how many changes there were of each verb."""
    untried: Counter[str] = field(default_factory=Counter)
    recounted: bool = False
    """True if `untried` has all that a pass that was cut short did not come to."""
    failed_paths: set[str] = field(default_factory=set)
    skipped_paths: set[str] = field(default_factory=set)
    first_failures: list[dict[str, str]] = field(default_factory=list)
    halts: list[str] = field(default_factory=list)
    trouble: str = ""
    scanned: bool = False
    partial: bool = False
    """True if only folders were looked at in which something was seen to change."""
    interrupted: bool = False
    connections: int = 0
    seconds: float = 0.0

    @property
    def failed(self) -> int:
        """How many paths failed."""
        return self.problems.total()

    @property
    def not_attempted(self) -> int | None:
        """How many changes were planned and not tried; None if that is not known."""
        return self.untried.total() if self.is_whole or self.recounted else None

    @property
    def planned(self) -> int | None:
        """How many changes there were to make, folders made and removed left out; None if that is not known."""
        return None if self.not_attempted is None else self._done + self.failed + self.not_attempted

    @property
    def _done(self) -> int:
        return sum(self.done[verb] for verb in FILES)

    @property
    def failures(self) -> int:
        """How many paths were not mirrored, whether or not that was tried."""
        return self.failed + self.untried.total()

    @property
    def is_incomplete(self) -> bool:
        """True if the pass was cut short: there is, or may be, what it did not try."""
        return bool(self.untried or self.halts or self.trouble) or not (self.is_whole or self.recounted)

    @property
    def is_whole(self) -> bool:
        """True if the pass went through to its end, and nothing was in its way but single paths."""
        return self.scanned and not (self.halts or self.trouble or self.interrupted)

    def as_json(self) -> dict[str, object]:
        """Return the numbers by names that stay the same from version to version (see docs/json.md)."""
        done = self.done
        return {
            "seconds": round(self.seconds, 3),
            "partial": self.partial,
            "connections": self.connections,
            "source_files": self.files,
            "source_folders": self.folders,
            "source_bytes": self.bytes_in_source,
            "excluded": self.excluded,
            "links": self.links,
            "special_files": self.specials,
            "adopted_files": self.adopted,
            "foreign": self.foreign,
            "made_folders": done["made folder"],
            "sent_files": done["sent"],
            "replacing_files": self.replacing,
            "kept_files": self.kept,
            "existing_unknown": self.untold,
            "sent_bytes": self.bytes_sent,
            "dates_set": done["dated"],
            "unchanged_files": done["same"],
            "changed_modes": done["mode"],
            "moved": done["moved"],
            "removed_files": done["removed"],
            "removed_folders": done["removed folder"],
            "given_up": self.given_up,
            "incomplete": self.is_incomplete,
            "planned": self.planned,
            "done": self._done,
            "failed": self.failed,
            "not_attempted": self.not_attempted,
            "failures": {str(problem): number for problem, number in self.problems.items()},
            "first_failures": self.first_failures,
            "halts": self.halts,
            "trouble": self.trouble or None,
        }

    def source(self) -> str:
        """Return what the source holds, and what of it is left out by rule."""
        text = f"{plural(self.files, 'file')} in {plural(self.folders, 'folder')}, {human_size(self.bytes_in_source)}"
        left_out = ", ".join(
            plural(number, noun)
            for number, noun in (
                (self.excluded, "excluded path"),
                (self.links, "link"),
                (self.specials, "special file"),
            )
            if number
        )
        return f"{text} (left out: {left_out})" if left_out else text

    def sentence(self, *, planned: bool = False) -> str:
        """Return what was done in one sentence; `planned` words it as what would be done."""
        return ", ".join(self._parts(planned))

    def _parts(self, planned: bool) -> Iterable[str]:
        done = self.done
        if self.adopted:
            yield f"found {plural(self.adopted, 'file')} there already"
        for past, nouns in (
            ("made", {"made folder": "folder"}),
            ("sent", {"sent": "file"}),
            ("set", {"dated": "date"}),
            ("changed", {"mode": "mode"}),
            ("moved", {"moved": "path"}),
            ("removed", {"removed": "file", "removed folder": "folder"}),
        ):
            others = self.replacing if past == "sent" else 0
            replacing = f" ({others:,} in the place of others on the site)" if others else ""
            if numbers := [plural(done[key], noun) for key, noun in nouns.items() if done[key]]:
                yield f"{PRESENT[past] if planned else past} {' and '.join(numbers)}{replacing}"
        if done["same"]:
            yield f"{plural(done['same'], 'touched file')} with the same content"
        if self.untold:
            yield f"{plural(self.untold, 'name')} not known to be free before"
        if self.kept:
            yield f"left {plural(self.kept, 'file')} of others as they are"
        if not done and not self.adopted:
            yield "nothing to do" if self.is_whole and not self.failures else "nothing done"
        if self.given_up:
            yield f"gave up {plural(self.given_up, 'path')} with things of others"

    def incomplete(self) -> str:
        """Return how much of what was planned a pass came to that was cut short."""
        if self.not_attempted is None:
            return f"incomplete: {self.done['sent']:,} uploaded, {self.failed:,} failed, the rest not attempted"
        planned = self.done + self.failing + self.untried
        kinds = [f"{self.done[verb]:,} of {planned[verb]:,} {FILES[verb]}" for verb in FILES if planned[verb]]
        done = ", ".join(kinds or ["0 of 0 uploaded"])
        return f"incomplete: {done}, {self.failed:,} failed, {self.not_attempted:,} not attempted"

    def by_problem(self) -> str:
        """Return how many paths failed, by kind."""
        return ", ".join(f"{number:,} x {problem}" for problem, number in self.problems.items())
