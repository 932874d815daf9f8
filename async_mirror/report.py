"""Tells a person what happens: one line per event that matters, a summary per pass. Decides nothing."""

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import assert_never

from async_mirror.change import (
    NO_MODES,
    Change,
    Failure,
    MakeFolder,
    Move,
    Outcome,
    Problem,
    RemoveFile,
    RemoveFolder,
    SendFile,
    SetAttributes,
    path_of,
)
from async_mirror.entry import UNKNOWN, Listing
from async_mirror.names import shown

log = logging.getLogger("async_mirror")

_SAME_PROBLEM_SHOWN = 20
_PRESENT = {"made": "make", "sent": "send", "moved": "move", "removed": "remove", "changed": "change"}


def human_size(size: int) -> str:
    """Return a number of bytes as people read it: 999 B, 1.0 KB, 2.5 MB."""
    if size < 1000:
        return f"{size} B"
    number = float(size)
    for unit in ("KB", "MB", "GB", "TB", "PB"):
        number /= 1000
        if number < 999.95 or unit == "PB":
            break
    return f"{number:.1f} {unit}"


def _plural(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _quoted(path: str) -> str:
    """Return a path as it is shown: in quotes if blanks at its ends could be missed."""
    text = shown(path) or "/"
    return text if path.strip(" ") == path else f"'{text}'"


def described(change: Change) -> tuple[str, str]:
    """Return (verb, the rest) for a change."""
    path = _quoted(path_of(change))
    match change:
        case MakeFolder(_, why):
            return "made", f"{path}/  ({why})"
        case SendFile(entry, _, why):
            return "sent", f"{path}  {human_size(entry.size)}  ({shown(why)})"
        case SetAttributes(entry, _, why):
            return "mode", f"{path}{'/' * entry.is_folder}  ({why})"
        case Move(entry, held):
            return "moved", f"{_quoted(held.path)} -> {path}{'/' * entry.is_folder}"
        case RemoveFile(held, why):
            size = "" if held.size == UNKNOWN else f"  {human_size(held.size)}"
            return "removed", f"{path}{size}  ({why})"
        case RemoveFolder(_, why):
            return "removed", f"{path}/  ({why})"
        case _ as never:
            assert_never(never)


@dataclass
class Counts:
    """What one pass came to."""

    files: int = 0
    folders: int = 0
    bytes_in_source: int = 0
    links: int = 0
    specials: int = 0
    excluded: int = 0
    adopted: int = 0
    foreign: int = 0
    done: Counter[str] = field(default_factory=Counter)
    bytes_sent: int = 0
    given_up: int = 0
    problems: Counter[Problem] = field(default_factory=Counter)
    halts: list[str] = field(default_factory=list)
    scanned: bool = False
    cut_short: bool = False
    interrupted: bool = False
    connections: int = 0
    seconds: float = 0.0

    @property
    def failures(self) -> int:
        """How many paths were not mirrored."""
        return sum(self.problems.values())

    @property
    def changed(self) -> int:
        """How many changes were made."""
        return sum(self.done.values())


class Report:
    """Turns what happens in a pass into log lines and counts. `dry_run` words it as a plan."""

    def __init__(self, *, dry_run: bool = False) -> None:
        """Begin with nothing to tell."""
        self.counts = Counts()
        self._dry_run = dry_run
        self._said: set[str] = set()

    def begin(self) -> None:
        """Begin a pass."""
        self.counts = Counts()

    def listing(self, listing: Listing) -> None:
        """Count what a folder holds, and tell what could not be read."""
        counts = self.counts
        for entry in listing.entries:
            if entry.is_folder:
                counts.folders += 1
            else:
                counts.files += 1
                counts.bytes_in_source += entry.size
        counts.links += listing.links
        counts.specials += listing.specials
        counts.excluded += listing.excluded
        for path in sorted(listing.others):
            log.debug("%-7s  %s  (a link or a special file)", "left out", _quoted(path))
        for path, reason in listing.problems:
            self.failure(Failure(path, Problem.UNREADABLE, reason))

    def outcome(self, outcome: Outcome) -> None:
        """Tell what came of one job."""
        counts = self.counts
        counts.bytes_sent += outcome.bytes_sent
        path = _quoted(path_of(outcome.job.change))
        for note in outcome.notes:
            self.note(note)
        if outcome.failure:
            self.failure(outcome.failure)
        elif isinstance(outcome.job.change, SetAttributes) and NO_MODES in outcome.notes:
            if outcome.job.change.why != "new":
                log.warning("%-7s  %s  (the server does not set its mode, which stays as it is)", "skipped", path)
        elif outcome.skipped:
            log.info("%-7s  %s  (%s)", "skipped", path, outcome.skipped)
        elif outcome.given_up:
            counts.given_up += 1
            log.warning(
                "%-7s  %s/  (it holds things that are not ours, so it stays; it is no longer looked after)",
                "kept",
                path,
            )
        else:
            change = outcome.job.change
            if isinstance(change, Move) and not outcome.moved:
                change = SendFile(change.entry, None, "new")
            self._done(change)

    def _done(self, change: Change) -> None:
        if isinstance(change, SetAttributes) and change.entry.is_folder and change.why == "new":
            return
        verb, rest = described(change)
        folder = isinstance(change, MakeFolder | RemoveFolder)
        self.counts.done[f"{verb} folder" if folder else verb] += 1
        if self._dry_run:
            print(f"{_PRESENT.get(verb, verb):7}  {rest}")
        else:
            log.info("%-7s  %s", verb, rest)

    def failure(self, failure: Failure) -> None:
        """Tell that a path is not mirrored; of many failures of one kind only the first are told one by one."""
        self.counts.problems[failure.problem] += 1
        line = f"{_quoted(failure.path)}  {failure.problem}: {shown(failure.detail)}"
        if self.counts.problems[failure.problem] <= _SAME_PROBLEM_SHOWN:
            log.error("%-7s  %s", "failed", line)
        else:
            log.debug("%-7s  %s", "failed", line)

    def again(self, failure: Failure, seconds: float) -> None:
        """Tell of a failure for the moment, and when the path is tried again."""
        line = f"{_quoted(failure.path)}  {failure.problem}: {shown(failure.detail)}"
        log.info("%-7s  %s; trying again in %.1f s", "waiting", line, seconds)

    def not_tried(self, path: str) -> None:
        """Count a path whose folder could not be made; that was told already."""
        self.counts.problems[Problem.NOT_TRIED] += 1
        log.debug("%-7s  %s  %s", "failed", _quoted(path), Problem.NOT_TRIED)

    def note(self, text: str) -> None:
        """Tell something that is worth knowing once."""
        if text not in self._said:
            self._said.add(text)
            log.info("%-7s  %s", "note", shown(text))

    def halt(self, text: str) -> None:
        """Tell that a guard tripped."""
        self.counts.halts.append(text)
        log.error("%-7s  %s", "halted", text)

    def trouble(self, text: str) -> None:
        """Tell that the pass as a whole could not go on."""
        self.counts.cut_short = True
        log.error("%-7s  %s", "trouble", shown(text))

    def waiting(self, error: Exception, seconds: float) -> None:
        """Tell that a connection could not be had, and when it is tried again."""
        log.info("%-7s  %s; trying again in %.1f s", "waiting", shown(str(error)), seconds)

    def say(self, text: str) -> None:
        """Tell how things go."""
        log.info("%s", shown(text))

    def summary(self) -> None:
        """Tell what the pass came to."""
        counts = self.counts
        for problem, number in counts.problems.items():
            if number > _SAME_PROBLEM_SHOWN:
                log.error("%-7s  and %s: %s", "failed", _plural(number - _SAME_PROBLEM_SHOWN, "more path"), problem)
        line = ", ".join(self._parts())
        source = f"{_plural(counts.files, 'file')} in {_plural(counts.folders, 'folder')}"
        source += f", {human_size(counts.bytes_in_source)}"
        left_out = ", ".join(self._left_out())
        if counts.scanned:
            log.info("source: %s%s", source, f" (left out: {left_out})" if left_out else "")
        level = logging.WARNING if counts.failures or counts.halts else logging.INFO
        log.log(level, "%s: %s; %s in %.1f s over %s%s", self._title, line,
                human_size(counts.bytes_sent), counts.seconds, _plural(counts.connections, "connection"),
                f"; FAILED: {self._failed()}" if counts.failures else "")  # fmt: skip

    @property
    def _title(self) -> str:
        if self._dry_run:
            return "plan, nothing was changed"
        return "pass, interrupted" if self.counts.interrupted else "pass"

    def _parts(self) -> Iterable[str]:
        done, counts = self.counts.done, self.counts
        if counts.adopted:
            yield f"found {_plural(counts.adopted, 'file')} there already"
        for past, nouns in (
            ("made", {"made folder": "folder"}),
            ("sent", {"sent": "file"}),
            ("changed", {"mode": "mode"}),
            ("moved", {"moved": "path"}),
            ("removed", {"removed": "file", "removed folder": "folder"}),
        ):
            if numbers := [_plural(done[key], noun) for key, noun in nouns.items() if done[key]]:
                yield f"{self._verb(past)} {' and '.join(numbers)}"
        if not done and not counts.adopted:
            whole = counts.scanned and not (counts.failures or counts.halts or counts.cut_short or counts.interrupted)
            yield "nothing to do" if whole else "nothing done"
        if counts.given_up:
            yield f"kept {_plural(counts.given_up, 'path')} with things of others"

    def _verb(self, past: str) -> str:
        return _PRESENT.get(past, past) if self._dry_run else past

    def _left_out(self) -> Iterable[str]:
        counts = self.counts
        for number, noun in (
            (counts.excluded, "excluded path"),
            (counts.links, "link"),
            (counts.specials, "special file"),
        ):
            if number:
                yield _plural(number, noun)

    def _failed(self) -> str:
        return ", ".join(f"{number:,} x {problem}" for problem, number in self.counts.problems.items())
