"""Takes what happens in a run: a log record per event that matters, counts, what is going on. Decides nothing."""

import json
import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import assert_never

from async_mirror.model.change import (
    REPLACES,
    Change,
    Deed,
    MakeFolder,
    Move,
    RemoveFile,
    RemoveFolder,
    SendFile,
    SetAttributes,
    path_of,
)
from async_mirror.model.entry import Entry, Listing
from async_mirror.model.escape import shown
from async_mirror.model.outcome import (
    KEPT,
    NO_MODES,
    UNTOLD,
    Done,
    Failed,
    Failure,
    InDoubt,
    Outcome,
    Problem,
    Skipped,
    Unmanaged,
)
from async_mirror.ui.activity import PAUSED, STOPPING, Activity, Errand
from async_mirror.ui.events import Event, log, tell, tell_skipped, tell_with_hint
from async_mirror.ui.outage import Outage
from async_mirror.ui.summary import PRESENT, STOPPED, Counts, bytes_of, is_counted, is_of_a_folder, next_pass_told
from async_mirror.ui.text import described, human_time, plural, quoted, verb_of

SAME_PROBLEM_SHOWN = 20
_OF_FOLDERS = MakeFolder | RemoveFolder
_REMOVALS = RemoveFile | RemoveFolder
_OF_CONNECTIONS = {Problem.CONNECTION, Problem.TOO_QUICK, Problem.PERHAPS_TOO_QUICK, Problem.NO_PORT}
_STOPPING_TEXT = "stopping: finishing transfers (3 s); Ctrl-C again to quit now"


class Report:
    """Turns what happens into log records, `counts` of the pass, and the `activity` of the moment."""

    def __init__(
        self,
        *,
        dry_run: bool = False,
        tell_pass: Callable[[str], None] | None = None,
        print_line: Callable[[str], None] = print,
        watched: bool = False,
        forecast_after_s: float = 0.0,
        names_excluded: bool = False,
        about: Mapping[str, str] | None = None,
        caution: str = "",
    ) -> None:
        """Begin with nothing to tell. `about` names what is mirrored, for who reads about several mirrors;
        `caution` is what the end of each pass is to remind of.

        A dry run is worded as a plan, which is printed in the end; `tell_pass` gets one JSON object per pass instead.
        `watched` says that somebody looks at `activity`, and after so many seconds of a pass wants to know all that is
        still to come. Excluded paths are counted, and told one by one if `names_excluded`.
        """
        self.counts = Counts()
        self.activity = Activity()
        self.outage = Outage(self.activity)
        self.watched = watched
        self.names_excluded = names_excluded
        self._forecast_after_s = forecast_after_s
        self._dry_run = dry_run
        self._tell_pass = tell_pass
        self._print = print_line
        self._about = dict(about or {})
        self._lead = f"{self._about['mirror']}  " if "mirror" in self._about else ""
        self._caution = caution
        self._said: set[str] = set()
        self._failures_told: Counter[Problem] = Counter()
        self._source = ""
        self._ending = False
        self._losses: set[str] = set()
        self._plan: list[tuple[str, str, str]] = []
        self._last_trouble = self._failing_since = ""
        self._last_halts: list[str] = []

    @property
    def is_followed(self) -> bool:
        """True if what each connection is doing is shown."""
        return self.watched or log.isEnabledFor(logging.DEBUG)

    @property
    def wants_forecast(self) -> bool:
        """True if what is still to come is to be counted ahead."""
        return self.watched and time.monotonic() - self.activity.begun >= self._forecast_after_s

    def begin(self) -> None:
        """Begin a pass."""
        self._last_trouble = self.counts.trouble
        self.counts = Counts()
        self._plan.clear()
        self._losses.clear()
        self._failures_told.clear()
        self.activity.begin(time.monotonic())

    def begin_again(self) -> None:
        """Begin the same pass anew."""
        self.activity.passes -= 1
        self.begin()

    def phase(self, name: str) -> None:
        """Tell what the pass is about now."""
        if not self._ending:
            self.activity.phase = name

    def paused(self, text: str) -> None:
        """Tell that nothing is done for now, and what ends that."""
        self.activity.rest(math.inf, self.activity.last_result, self.activity.trouble, PAUSED)
        self.say(text)

    def ending(self) -> None:
        """Tell that the end was asked for, and what is still to come."""
        if self.activity.resting_until is None:
            self.phase(STOPPING)
            self.say(_STOPPING_TEXT)
        self._ending = True

    # What is found.

    def listing(self, listing: Listing, rule: Callable[[Entry], str]) -> None:
        """Count what a folder holds, and tell what could not be read; `rule` says why an entry is excluded."""
        counts = self.counts
        files, size, excluded = listing.tally
        counts.files += files
        counts.bytes_in_source += size
        counts.excluded += excluded
        counts.folders += sum(entry.is_folder for entry in listing.entries)
        counts.links += len(listing.links)
        counts.specials += len(listing.others) - len(listing.links)
        for entry in listing.left_out if self.names_excluded else ():
            tell_skipped(entry.path, f"excluded: {rule(entry)}", is_folder=entry.is_folder)
        for path in sorted(listing.others):
            tell_skipped(path, listing.kind_of_other(path))
        for path, reason in listing.problems:
            self.failure(Failure(path, Problem.UNREADABLE, reason))

    def scanned(self) -> None:
        """Note that all of the source was looked at."""
        self.counts.scanned = self.activity.scanned = True

    def compared(self, adopted: int, confirmed: int) -> None:
        """Count what a folder of the site was found to hold: files that are adopted, or are as they were tracked."""
        self.counts.adopted += adopted
        self.counts.confirmed += confirmed
        self.activity.folders_compared += 1

    def unmanaged(self, entries: Collection[Entry], why: Callable[[Entry], str]) -> None:
        """Count what is on the site and stays as it is; `why` says the reason, where each path is named."""
        self.counts.unmanaged += len(entries)
        for entry in entries if self.names_excluded else ():
            tell_skipped(entry.path, f"unmanaged: {why(entry)}", is_folder=entry.is_folder)

    # What is done.

    def planned(self, change: Change) -> None:
        """Note that a change is to be made."""
        if self.watched and not is_of_a_folder(change):
            self.activity.planned(bytes_of(change))

    def foreseen(self, files: int, size: int) -> None:
        """Note that so many more changes will be planned, or fewer."""
        self.activity.foreseen(files, size)

    def foreseen_all(self) -> None:
        """Note that all that will be planned is foreseen."""
        self.activity.scanned = True

    def finished(self, change: Change, *, done: bool = True) -> None:
        """Note that a planned change ended, and whether it is done."""
        if self.watched and not is_of_a_folder(change):
            self.activity.finished(bytes_of(change), done=done)

    def put_off(self, change: Change) -> None:
        """Note that a planned change waits, and is planned again later if at all."""
        if self.watched and not is_of_a_folder(change):
            self.activity.foreseen(-1, -bytes_of(change))

    def set_out(self, lane: int, verb: str, path: str, size: int) -> None:
        """Note what a connection does now."""
        self.activity.set_out(lane, Errand(verb, path, size, time.monotonic()))
        if log.isEnabledFor(logging.DEBUG) and not self._dry_run:
            tell(
                logging.DEBUG, Event.BEGUN, f"{verb} {quoted(path)} over connection {lane}", path=path, connection=lane
            )

    def outcome(self, outcome: Outcome) -> None:
        """Tell what came of one job."""
        self.counts.bytes_sent += outcome.bytes_sent
        path = path_of(outcome.job.change)
        match outcome:
            case Done():
                self._tell_done(outcome, path)
            case Skipped(_, why):
                self.counts.kept += why == KEPT
                self.counts.skipped_paths.add(path)
                tell(logging.INFO, Event.SKIPPED, f"{quoted(path)}  ({why})", path=path)
            case Unmanaged(job, why):
                self.counts.given_up += 1
                named = quoted(path) + "/" * isinstance(job.change, RemoveFolder)
                tell(logging.WARNING, Event.NOTE, f"{named}  ({why}: kept on the site, no longer managed)", path=path)
            case Failed(job, failure) | InDoubt(job, failure):
                self.failure(failure, job.change)
            case _ as never:
                assert_never(never)

    def _tell_done(self, outcome: Done, path: str) -> None:
        for note in outcome.notes:
            self.note(note)
        self.counts.untold += UNTOLD in outcome.notes
        wanted, change = outcome.job.change, outcome.change
        if isinstance(wanted, SetAttributes) and NO_MODES in outcome.notes:
            if wanted.why != "new":
                text = f"{quoted(path)}  (the server does not change its mode)"
                tell(logging.WARNING, Event.SKIPPED, text, path=path)
            return
        if isinstance(wanted, Move) and isinstance(change, MakeFolder):
            old = wanted.held.path
            self.note(f"cannot rename the folder {old} in one step; its files are renamed or uploaded one by one")
        self._done(change)

    def unchanged(self, files: int) -> None:
        """Count files that were read, because they might have changed, and had not."""
        if files:
            self.counts.done["unchanged"] += files

    def _done(self, change: Deed) -> None:
        if isinstance(change, SetAttributes) and change.entry.is_folder and change.why == "new":
            return
        verb = verb_of(change)
        self.counts.replacing += change.why == REPLACES and isinstance(change, SendFile | Move)
        folder = isinstance(change, _OF_FOLDERS)
        self.counts.done[f"{verb} folder" if folder else verb] += 1
        self.activity.renamed += isinstance(change, Move)
        self.activity.deleted += isinstance(change, _REMOVALS)
        if self._dry_run:
            self._plan.append((path_of(change), PRESENT.get(verb, verb), described(change)))
        elif log.isEnabledFor(logging.INFO):
            size = change.entry.size if isinstance(change, SendFile) else None
            tell(logging.INFO, Event(verb), described(change), path=path_of(change), bytes=size)

    # What goes wrong.

    def failure(self, failure: Failure, change: Change | None = None) -> None:
        """Tell that a path is not mirrored, and which change failed if one did.

        Of many failures of one kind only the first are told one by one.
        """
        counts, problem = self.counts, failure.problem
        counts.problems[problem] += 1
        counts.failed_paths.add(path_of(change) if change else failure.path)
        if change and is_counted(change):
            counts.failing[verb_of(change)] += 1
        line = f"{quoted(failure.path)}  {problem}{': ' if failure.detail else ''}{shown(failure.detail)}"
        told = self._failures_told[problem] < SAME_PROBLEM_SHOWN
        self.activity.fail(line)
        level = logging.ERROR if told else logging.DEBUG
        tell(level, Event.FAILED, line, path=failure.path, problem=str(problem), detail=failure.detail)
        if told:
            self._failures_told[problem] += 1
            counts.first_failures.append(
                {"path": shown(failure.path), "problem": str(problem), "detail": shown(failure.detail)}
            )
        if told and self._failures_told[problem] == 1:
            tell(logging.ERROR, Event.HINT, problem.advice, problem=str(problem))

    def again(self, failure: Failure, seconds: float, bytes_sent: int) -> None:
        """Tell of a failure for the moment, and when the path is tried again; of connections lost alike once a pass."""
        self.counts.bytes_sent += bytes_sent
        line = f"{quoted(failure.path)}  {failure.problem}: {shown(failure.detail)}"
        loss = f"{failure.problem}: {failure.detail}" if failure.problem in _OF_CONNECTIONS else ""
        level = logging.DEBUG if loss in self._losses else logging.INFO
        self._losses.update({loss} - {""})
        tell(level, Event.NOTE, f"{line}; retrying in {human_time(seconds)}", path=failure.path)

    def not_tried(self, change: Change) -> None:
        """Count a change that something stands in the way of; that was told already."""
        if is_counted(change):
            self.counts.untried[verb_of(change)] += 1
        path = path_of(change)
        text = f"{quoted(path)}  {Problem.NOT_TRIED}"
        tell(logging.DEBUG, Event.FAILED, text, path=path, problem=str(Problem.NOT_TRIED), detail="")

    def recounted(self, untried: Mapping[str, int]) -> None:
        """Note all that the pass did not come to, by the verbs of the changes."""
        self.counts.untried = Counter(untried)
        self.counts.recounted = True

    def note(self, text: str, hint: str = "") -> bool:
        """Tell something that is worth knowing once; return whether it was new."""
        if text in self._said:
            return False
        self._said.add(text)
        tell_with_hint(logging.INFO, Event.NOTE, shown(text), hint)
        return True

    def found_out(self, text: str) -> None:
        """Tell with -v what the server was found to do."""
        tell(logging.DEBUG, Event.NOTE, text)

    def made_root(self, root: str) -> None:
        """Tell that the destination folder did not exist: it may be misspelled."""
        if self._dry_run:
            self.note(f"the destination folder does not exist and would be created: {root}")
        else:
            self.note(f"created the destination folder {root}")

    def warn(self, text: str, hint: str = "") -> None:
        """Tell something that the user should change, but that is in the way of nothing."""
        tell_with_hint(logging.WARNING, Event.WARNING, shown(text), hint)

    def halt(self, text: str, hint: str = "", names: str = "") -> None:
        """Tell that a guard tripped, and what would have been done; in detail only if it did not stop the last pass."""
        self.counts.halts.append(f"{text} ({hint})" if hint else text)
        self.counts.stopped_by = self.counts.stopped_by or text
        level = logging.DEBUG if self.counts.halts[-1] in self._last_halts else logging.ERROR
        tell_with_hint(level, Event.ERROR, f"{STOPPED}{text}", hint)
        if names:
            tell(min(level, logging.INFO), Event.INFO, names)

    def trouble(self, text: str, hint: str = "") -> None:
        """Tell that the pass as a whole could not go on; in detail only if it is what the pass before ended with."""
        self.counts.trouble = shown(text)
        level = logging.DEBUG if self.counts.trouble == self._last_trouble else logging.ERROR
        tell_with_hint(level, Event.ERROR, self.counts.trouble, hint)

    def say(self, text: str) -> None:
        """Tell how things go."""
        tell(logging.INFO, Event.INFO, shown(text))

    # What it came to.

    def end(self, result: str, code: int, next_in_s: float | None, *, delayed: bool = False) -> None:
        """Tell what the pass came to, and when the next one begins if there is to be one; `delayed` if not sooner."""
        counts = self.counts
        for problem, told in self._failures_told.items():
            if more_paths := counts.problems[problem] - told:
                more = plural(more_paths, "more path")
                tell(logging.ERROR, Event.FAILED, f"and {more}: {problem}", problem=str(problem))
        self._tell_plan()
        source = counts.source(named=self.names_excluded)
        if counts.scanned and not counts.partial and source != self._source:
            tell(logging.INFO, Event.INFO, f"source: {source}")
            self._source = source
        parts = [counts.still(self._last_halts), counts.summary(dry_run=self._dry_run), self._caution]
        sentence = "; ".join(filter(None, parts))
        self._last_halts = counts.halts
        bad = counts.failures or counts.halts or counts.trouble or self._caution
        ending = {
            **self._about,
            "result": result,
            "exit_code": code,
            "caution": self._caution or None,
            **counts.as_json(),
            "next_pass_in_s": next_in_s and round(next_in_s, 1),
        }
        level = logging.WARNING if bad else logging.INFO
        tell(level, Event.PASS, f"{sentence}{next_pass_told(next_in_s, delayed=delayed)}", **ending)
        if next_in_s is not None:
            self.activity.rest(time.monotonic() + next_in_s, counts.trouble or sentence, self._failing(result))
        if self._tell_pass:
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            self._tell_pass(json.dumps({"time": now, "dry_run": self._dry_run, **ending}))

    def _failing(self, result: str) -> str:
        """Return since when passes have not mirrored all, in words; "" if the last one did."""
        if result == "mirrored":
            self._failing_since = ""
        elif not self._failing_since:
            self._failing_since = f"failing since {datetime.now().astimezone():%Y-%m-%d %H:%M}"
        return self._failing_since

    def _tell_plan(self) -> None:
        """Print what a dry run would do, in order of the paths; with JSON on standard output it goes to the log."""
        for path, verb, text in sorted(self._plan):
            if self._tell_pass:
                tell(logging.INFO, Event.PLANNED, f"{verb} {text}", action=verb, path=path)
            else:
                self._print(f"{self._lead}{verb:6}  {text}")
