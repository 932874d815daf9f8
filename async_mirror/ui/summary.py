"""What became of a pass: what was counted, and the summary of it in words and for JSON. Pure."""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from async_mirror.model.change import Change, MakeFolder, RemoveFile, RemoveFolder, SendFile, SetAttributes
from async_mirror.model.entry import UNKNOWN
from async_mirror.model.escape import shown
from async_mirror.model.outcome import Problem
from async_mirror.ui.text import human_size, human_time, plural

FILES = {
    "uploaded": "uploaded",
    "dated": "dated",
    "unchanged": "compared",
    "renamed": "renamed",
    "deleted": "deleted",
    "mode": "changed",
}
"""The verbs of what is counted as planned, with what an incomplete pass calls them: all but those of folders."""
PRESENT = {
    "created": "create",
    "uploaded": "upload",
    "dated": "date",
    "renamed": "rename",
    "deleted": "delete",
    "changed": "change",
    "set": "set",
}


NOTHING = "nothing done"
STOPPED = "stopped for safety: "


def next_pass_told(seconds: float | None, *, delayed: bool) -> str:
    """Return when the next pass begins, as the end of a sentence; "" if there is to be none."""
    later = " (later than usual: servers lock accounts after failed logins)" if delayed else ""
    return "" if seconds is None else f"; next pass in {human_time(seconds)}{later}"


def is_counted(change: Change) -> bool:
    """Tell whether a change counts as planned: folders created and deleted do not, nor does their first mode."""
    if isinstance(change, MakeFolder | RemoveFolder):
        return False
    return not (isinstance(change, SetAttributes) and change.entry.is_folder and change.held.mode == UNKNOWN)


def is_of_a_folder(change: Change) -> bool:
    """Tell whether a change is of a folder."""
    if isinstance(change, RemoveFile):
        return False
    return isinstance(change, RemoveFolder) or change.entry.is_folder


def bytes_of(change: Change) -> int:
    """Return how many bytes a change uploads."""
    return change.entry.size if isinstance(change, SendFile) else 0


@dataclass
class Counts:
    """What one pass came to.

    `done` counts by verb: `created folder`, `uploaded`, `dated`, `unchanged`, `mode`, `renamed`, `deleted`, `deleted
    folder`.
    """

    files: int = 0
    folders: int = 0
    bytes_in_source: int = 0
    links: int = 0
    specials: int = 0
    excluded: int = 0
    adopted: int = 0
    confirmed: int = 0
    unmanaged: int = 0
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
    """Why guards tripped, each with its hint."""
    stopped_by: str = ""
    """The first of them, without it."""
    trouble: str = ""
    will_last: bool = False
    """True if `trouble` will be the same in a while."""
    scanned: bool = False
    partial: bool = False
    """True if only folders were looked at in which something was seen to change."""
    interrupted: bool = False
    connections: int = 0
    """How many were opened, those opened again too, or kept from the pass before."""
    at_once: int = 0
    """How many of them there were at one time, at most."""
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
        """How many changes there were to make, folders created and deleted not counted; None if that is not known."""
        return None if self.not_attempted is None else self._done + self.failed + self.not_attempted

    @property
    def _done(self) -> int:
        return sum(self.done[verb] for verb in FILES)

    @property
    def has_changes(self) -> bool:
        """True if something was done to the site, or would be."""
        return any(number for verb, number in self.done.items() if verb != "unchanged")

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
            "confirmed_files": self.confirmed,
            "unmanaged": self.unmanaged,
            "created_folders": done["created folder"],
            "uploaded_files": done["uploaded"],
            "overwritten_files": self.replacing,
            "skipped_files": self.kept,
            "existing_unknown": self.untold,
            "uploaded_bytes": self.bytes_sent,
            "dates_set": done["dated"],
            "unchanged_files": done["unchanged"],
            "changed_modes": done["mode"],
            "renamed": done["renamed"],
            "deleted_files": done["deleted"],
            "deleted_folders": done["deleted folder"],
            "no_longer_managed": self.given_up,
            "incomplete": self.is_incomplete,
            "planned": self.planned,
            "done": self._done,
            "failed": self.failed,
            "not_attempted": self.not_attempted,
            "failures": {str(problem): number for problem, number in self.problems.items()},
            "first_failures": self.first_failures,
            "stopped": self.halts,
            "error": self.trouble or None,
        }

    def source(self, *, named: bool) -> str:
        """Return what the source holds, and what of it is skipped by rule; unless that is `named`, what names it."""
        text = f"{plural(self.files, 'file')} in {plural(self.folders, 'folder')}, {human_size(self.bytes_in_source)}"
        excluded = [f"{self.excluded:,} excluded"] if self.excluded else []
        others = ((self.links, "link"), (self.specials, "special file"))
        skipped = ", ".join([*excluded, *(plural(number, noun) for number, noun in others if number)])
        return f"{text} (skipped: {skipped}{'' if named else '; -v names them'})" if skipped else text

    def sentence(self, *, planned: bool = False) -> str:
        """Return what was done in one sentence; `planned` words it as what would be done."""
        return ", ".join(self._parts(planned))

    def _parts(self, planned: bool) -> Iterable[str]:
        done = self.done
        if self.adopted:
            yield f"{plural(self.adopted, 'existing file')} adopted"
        if self.confirmed:
            yield f"{plural(self.confirmed, 'tracked file')} found unchanged on the site"
        for past, nouns in (
            ("created", {"created folder": "folder"}),
            ("uploaded", {"uploaded": "file"}),
            ("set", {"dated": "date"}),
            ("changed", {"mode": "mode"}),
            ("renamed", {"renamed": "path"}),
            ("deleted", {"deleted": "file", "deleted folder": "folder"}),
        ):
            overwritten = self.replacing if past == "uploaded" else 0
            replacing = f" ({overwritten:,} overwritten)" if overwritten else ""
            if numbers := [plural(done[key], noun) for key, noun in nouns.items() if done[key]]:
                yield f"{PRESENT[past] if planned else past} {' and '.join(numbers)}{replacing}"
        if done["unchanged"]:
            yield f"{plural(done['unchanged'], 'touched file')} with the same content"
        if self.untold:
            yield f"{self.untold:,} possibly overwritten (the server does not say)"
        if self.kept:
            yield f"{plural(self.kept, 'existing file')} skipped"
        if not done and not self.adopted:
            yield "nothing to do" if self.is_whole and not self.failures else NOTHING
        if self.given_up:
            yield f"{plural(self.given_up, 'path')} no longer managed (changed on the site)"

    def summary(self, *, dry_run: bool) -> str:
        """Return what a pass came to in one line."""
        sentence = self.sentence(planned=dry_run)
        if dry_run:
            text = f"dry run{', incomplete' * self.is_incomplete}: {sentence}"
        elif self.is_incomplete:
            text = self.incomplete() + f"; {sentence}" * (sentence != NOTHING)
        else:
            what = "changes" if self.partial else "pass"
            text = f"{what}{', interrupted' * self.interrupted}: {sentence}"
        if dry_run:
            size = f", {human_size(self.bytes_sent)}" if self.bytes_sent else ""
            text += f"{size}; took {human_time(self.seconds)}"
        elif self.bytes_sent or self.connections:
            text += f"; {human_size(self.bytes_sent)} in {human_time(self.seconds)}"
            text += f" over {plural(self.at_once, 'connection')}"
        else:
            needed = " needed" if self.is_whole else ""
            text += f"; {human_time(self.seconds)}, no connection{needed}"
        return f"{text}; {self.by_problem()}" if self.failed else text

    def still(self, before: Collection[str]) -> str:
        """Return what stopped the pass, if nothing but guards did that stopped the one `before`, too; else ""."""
        is_told = bool(self.halts) and set(self.halts) <= set(before)
        return f"still {STOPPED}{shown(self.stopped_by)}" if is_told else ""

    def incomplete(self) -> str:
        """Return how much of what was planned a pass came to that was cut short."""
        if self.not_attempted is None:
            return f"incomplete: {self.done['uploaded']:,} uploaded, {self.failed:,} failed, the rest not attempted"
        planned = self.done + self.failing + self.untried
        kinds = [f"{self.done[verb]:,} of {planned[verb]:,} {FILES[verb]}" for verb in FILES if planned[verb]]
        done = ", ".join(kinds or ["0 of 0 uploaded"])
        return f"incomplete: {done}, {self.failed:,} failed, {self.not_attempted:,} not attempted"

    def by_problem(self) -> str:
        """Return how many paths failed, and why: each kind with its number if there are several."""
        kinds = self.problems.items()
        why = ", ".join(f"{number:,} {problem}" if len(kinds) > 1 else str(problem) for problem, number in kinds)
        return f"{self.failed:,} failed ({why})"
