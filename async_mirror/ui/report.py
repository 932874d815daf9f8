"""Takes what happens in a run: a log record per event that matters, counts, what is going on. Decides nothing."""

import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
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
from async_mirror.model.entry import Listing
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
from async_mirror.remote.errors import RemoteError
from async_mirror.ui.activity import Activity, Errand
from async_mirror.ui.counts import PRESENT, Counts, is_counted
from async_mirror.ui.text import described, human_size, human_time, plural, quoted, verb_of

log = logging.getLogger("async_mirror")

SAME_PROBLEM_SHOWN = 20
_OF_FOLDERS = MakeFolder | RemoveFolder
ENDING = (
    "ending: what is done within 3 s is finished, the rest is cut off and begun anew next time;"
    " asked once more, it ends at once"
)


class Report:
    """Turns what happens into log records, `counts` of the pass, and the `activity` of the moment."""

    def __init__(
        self,
        *,
        dry_run: bool = False,
        tell_pass: Callable[[str], None] | None = None,
        watched: bool = False,
        about: Mapping[str, str] | None = None,
        caution: str = "",
    ) -> None:
        """Begin with nothing to tell. `about` names what is mirrored, for who reads about several mirrors;
        `caution` is what the end of each pass is to remind of.

        A dry run is worded as a plan, and the plan is printed; `tell_pass` gets one JSON object per pass instead.
        `watched` says that somebody looks at `activity`.
        """
        self.counts = Counts()
        self.activity = Activity()
        self.watched = watched
        self._dry_run = dry_run
        self._tell_pass = tell_pass
        self._about = dict(about or {})
        self._lead = f"{self._about['mirror']}  " if "mirror" in self._about else ""
        self._caution = caution
        self._said: set[str] = set()
        self._failures_told: Counter[Problem] = Counter()
        self._source = ""
        self._ending = False

    @property
    def is_followed(self) -> bool:
        """True if somebody wants to know what each connection is doing."""
        return self.watched or log.isEnabledFor(logging.DEBUG)

    def begin(self) -> None:
        """Begin a pass."""
        self.counts = Counts()
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

    def ending(self) -> None:
        """Tell that the end was asked for, and what is still to come."""
        if self.activity.resting_until is None:
            self.phase("ending")
            self.say(ENDING)
        self._ending = True

    # What is found.

    def listing(self, listing: Listing) -> None:
        """Count what a folder holds, and tell what could not be read."""
        counts = self.counts
        files, size, excluded = listing.tally
        counts.files += files
        counts.bytes_in_source += size
        counts.excluded += excluded
        counts.folders += sum(entry.is_folder for entry in listing.entries)
        counts.links += listing.links
        counts.specials += listing.specials
        for path in sorted(listing.others):
            _tell(logging.DEBUG, "left out", f"{quoted(path)}  (a link or a special file)", path=path)
        for path, reason in listing.problems:
            self.failure(Failure(path, Problem.UNREADABLE, reason))

    def scanned(self) -> None:
        """Note that all of the source was looked at."""
        self.counts.scanned = self.activity.scanned = True

    def compared(self, adopted: int, foreign: int) -> None:
        """Count what a folder of the site was found to hold."""
        self.counts.adopted += adopted
        self.counts.foreign += foreign
        self.activity.folders_compared += 1

    # What is done.

    def planned(self, change: Change) -> None:
        """Note that a change is to be made."""
        if self.watched and not _is_of_a_folder(change):
            self.activity.planned(_bytes_to_send(change))

    def foreseen(self, files: int, size: int) -> None:
        """Note that so many more changes will be planned, or fewer."""
        self.activity.foreseen(files, size)

    def foreseen_all(self) -> None:
        """Note that all that will be planned is foreseen."""
        self.activity.scanned = True

    def finished(self, change: Change) -> None:
        """Note that a planned change ended, whatever came of it."""
        if self.watched and not _is_of_a_folder(change):
            self.activity.finished(_bytes_to_send(change))

    def set_out(self, lane: int, verb: str, path: str, size: int) -> None:
        """Note what a connection does now."""
        self.activity.set_out(lane, Errand(verb, path, size, time.monotonic()))
        if log.isEnabledFor(logging.DEBUG) and not self._dry_run:
            _tell(logging.DEBUG, "begun", f"{verb} {quoted(path)} over connection {lane}", path=path, connection=lane)

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
                _tell(logging.INFO, "skipped", f"{quoted(path)}  ({why})", path=path)
            case Unmanaged(job, why):
                self.counts.given_up += 1
                named = quoted(path) + "/" * isinstance(job.change, RemoveFolder)
                text = f"{named}  ({why}: it stays, and is no longer looked after)"
                _tell(logging.WARNING, "given up", text, path=path)
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
                text = f"{quoted(path)}  (the server does not set its mode, which stays as it is)"
                _tell(logging.WARNING, "skipped", text, path=path)
            return
        if isinstance(wanted, Move) and isinstance(change, MakeFolder):
            old = wanted.held.path
            self.note(f"the folder {old} could not be renamed as a whole: what is in it is renamed or sent by itself")
        self._done(change)

    def unchanged(self, files: int) -> None:
        """Count files that were read, because they might have changed, and had not."""
        if files:
            self.counts.done["same"] += files

    def _done(self, change: Deed) -> None:
        if isinstance(change, SetAttributes) and change.entry.is_folder and change.why == "new":
            return
        verb = verb_of(change)
        self.counts.replacing += change.why == REPLACES and isinstance(change, SendFile | Move)
        folder = isinstance(change, _OF_FOLDERS)
        self.counts.done[f"{verb} folder" if folder else verb] += 1
        if self._dry_run:
            verb = PRESENT.get(verb, verb)
        if self._dry_run and not self._tell_pass:
            print(f"{self._lead}{verb:7}  {described(change)}")
        elif log.isEnabledFor(logging.INFO):
            size = change.entry.size if isinstance(change, SendFile) else None
            _tell(logging.INFO, verb, described(change), path=path_of(change), bytes=size)

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
        _tell(
            logging.ERROR if told else logging.DEBUG,
            "failed",
            line,
            path=failure.path,
            problem=str(problem),
            detail=failure.detail,
        )
        if told:
            self._failures_told[problem] += 1
            counts.first_failures.append(
                {"path": shown(failure.path), "problem": str(problem), "detail": shown(failure.detail)}
            )
        if told and self._failures_told[problem] == 1:
            _tell(logging.ERROR, "advice", f"what {problem}: {problem.advice}", problem=str(problem))

    def again(self, failure: Failure, seconds: float, bytes_sent: int) -> None:
        """Tell of a failure for the moment, and when the path is tried again."""
        self.counts.bytes_sent += bytes_sent
        line = f"{quoted(failure.path)}  {failure.problem}: {shown(failure.detail)}"
        _tell(logging.INFO, "waiting", f"{line}; trying again in {human_time(seconds)}", path=failure.path)

    def not_tried(self, change: Change) -> None:
        """Count a change that something stands in the way of; that was told already."""
        if is_counted(change):
            self.counts.untried[verb_of(change)] += 1
        path = path_of(change)
        text = f"{quoted(path)}  {Problem.NOT_TRIED}"
        _tell(logging.DEBUG, "failed", text, path=path, problem=str(Problem.NOT_TRIED), detail="")

    def recounted(self, untried: Mapping[str, int]) -> None:
        """Note all that the pass did not come to, by the verbs of the changes."""
        self.counts.untried = Counter(untried)
        self.counts.recounted = True

    def note(self, text: str) -> bool:
        """Tell something that is worth knowing once; return whether it was new."""
        if text in self._said:
            return False
        self._said.add(text)
        _tell(logging.INFO, "note", shown(text))
        return True

    def found_out(self, text: str) -> None:
        """Tell, whoever wants to know all, what the server was found to do."""
        _tell(logging.DEBUG, "found out", text)

    def made_root(self, root: str) -> None:
        """Tell that the destination's folder was not there; a slip of the pen makes one like that."""
        if self._dry_run:
            self.note(f"the destination's folder is not there and would be made: {root}")
        else:
            self.note(f"the destination's folder was not there and was made: {root}")

    def warn(self, text: str) -> None:
        """Tell something that the user should change, but that is in the way of nothing."""
        _tell(logging.WARNING, "warning", shown(text))

    def halt(self, text: str) -> None:
        """Tell that a guard tripped."""
        self.counts.halts.append(text)
        _tell(logging.ERROR, "halted", text)

    def trouble(self, text: str) -> None:
        """Tell that the pass as a whole could not go on."""
        self.counts.trouble = shown(text)
        _tell(logging.ERROR, "trouble", shown(text))

    def waiting(self, error: Exception, seconds: float) -> None:
        """Tell that a connection could not be had, and when it is tried again."""
        told = error.told if isinstance(error, RemoteError) else str(error)
        text = f"{shown(told)}; trying again in {human_time(seconds)}"
        self.activity.waiting = text
        _tell(logging.INFO, "waiting", text)

    def say(self, text: str) -> None:
        """Tell how things go."""
        _tell(logging.INFO, "", shown(text))

    # What it came to.

    def end(self, result: str, code: int, next_in_s: float | None, *, delayed: bool = False) -> None:
        """Tell what the pass came to, and when the next one begins if there is to be one; `delayed` if not sooner."""
        counts = self.counts
        for problem, told in self._failures_told.items():
            if more_paths := counts.problems[problem] - told:
                more = plural(more_paths, "more path")
                _tell(logging.ERROR, "failed", f"and {more}: {problem}", problem=str(problem))
        if counts.scanned and not counts.partial and counts.source() != self._source:
            self._source = counts.source()
            _tell(logging.INFO, "", f"source: {self._source}")
        sentence = "; ".join(filter(None, [self._sentence(), self._caution]))
        bad = counts.failures or counts.halts or counts.trouble or self._caution
        ending = {
            **self._about,
            "result": result,
            "exit_code": code,
            "caution": self._caution or None,
            **counts.as_json(),
            "next_pass_in_s": next_in_s and round(next_in_s, 1),
        }
        _tell(
            logging.WARNING if bad else logging.INFO,
            "",
            f"{sentence}{_next_pass(next_in_s, delayed)}",
            event="pass",
            **ending,
        )
        if next_in_s is not None:
            self.activity.rest(time.monotonic() + next_in_s, counts.trouble or sentence)
        if self._tell_pass:
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            self._tell_pass(json.dumps({"time": now, "dry_run": self._dry_run, **ending}))

    def _sentence(self) -> str:
        counts = self.counts
        if self._dry_run:
            title = f"{'incomplete ' * counts.is_incomplete}plan, nothing was changed: "
        elif counts.is_incomplete:
            title = f"{counts.incomplete()}; "
        else:
            what = "changes" if counts.partial else "pass"
            title = f"{what}, interrupted: " if counts.interrupted else f"{what}: "
        text = f"{title}{counts.sentence(planned=self._dry_run)}"
        if self._dry_run:
            size = f", {human_size(counts.bytes_sent)}" if counts.bytes_sent else ""
            text += f"{size}; looked for {human_time(counts.seconds)}"
        elif counts.bytes_sent or counts.connections:
            text += f"; {human_size(counts.bytes_sent)} in {human_time(counts.seconds)}"
            text += f" over {plural(counts.connections, 'connection')}"
        else:
            needed = " needed" if counts.is_whole else ""
            text += f"; {human_time(counts.seconds)}, no connection{needed}"
        return f"{text}; FAILED: {counts.by_problem()}" if counts.failed else text


def _is_of_a_folder(change: Change) -> bool:
    if isinstance(change, RemoveFile):
        return False
    return isinstance(change, RemoveFolder) or change.entry.is_folder


def _next_pass(seconds: float | None, delayed: bool) -> str:
    if seconds is None:
        return ""
    return f"; next pass in {human_time(seconds)}{', not sooner because servers lock accounts' * delayed}"


def _bytes_to_send(change: Change) -> int:
    return change.entry.size if isinstance(change, SendFile) else 0


def _tell(level: int, verb: str, text: str, *, event: str = "", **fields: object) -> None:
    """Make a log record: a line for people; `event` and `fields`, but for those that are None, for machines."""
    line = f"{verb:7}  {text}" if verb else text
    told = {key: value for key, value in fields.items() if value is not None or event}
    log.log(level, "%s", line, extra={"event": event or verb or "info", "text": text, "fields": told})
