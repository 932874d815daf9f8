"""The schedule of passes: when one begins, what it ends with. What happens inside one is `one_pass`'s."""

import asyncio
import math
import time
from collections.abc import Callable, Collection
from contextlib import closing, suppress
from dataclasses import replace
from enum import IntEnum
from functools import partial

from async_mirror.crew.alarm import Alarm, Wish
from async_mirror.crew.patience import Patience
from async_mirror.crew.stop import Stop
from async_mirror.jobs.perform import WrongSite
from async_mirror.model.escape import shown
from async_mirror.model.outcome import Problem
from async_mirror.model.paths import parent
from async_mirror.multi import Offload
from async_mirror.planning.remaining import tell_remaining
from async_mirror.planning.scope import EVERYTHING, Scope
from async_mirror.remote.errors import LoginFailed, RemoteError, RootMissing, SiteUnusable
from async_mirror.source.opened_folder import OpenedFolder
from async_mirror.state.awaitable import AwaitableState
from async_mirror.state.database import StateError
from async_mirror.state.store import State
from async_mirror.sync.guards import open_source
from async_mirror.sync.mirror import Apart, Mirror, know_root, one_connection
from async_mirror.sync.one_pass import Pass
from async_mirror.ui.health import Beat, Failing
from async_mirror.ui.last_pass import LastPass, left_by
from async_mirror.ui.summary import Counts

FIRST_RETRY_SECONDS = 10.0
LOGIN_RETRY_SECONDS = 300.0
LONGEST_RETRY_SECONDS = 3600.0
_OF_SERVER = Patience(first_seconds=FIRST_RETRY_SECONDS, most_seconds=LONGEST_RETRY_SECONDS)
_OF_LOGIN = Patience(first_seconds=LOGIN_RETRY_SECONDS, most_seconds=LONGEST_RETRY_SECONDS)
GUARDED_SECONDS = 10.0
"""For so long after a guard tripped changes are gathered: each costs a look at everything, and is told again."""
PAUSE_LOOKED_AT_SECONDS = 60.0
PAUSED = "paused: nothing is done until `{resume}`"
RESUME = "async-mirror resume"


class Exit(IntEnum):
    """What a run ends with; 128 + signal number beside."""

    MIRRORED = 0
    PARTLY = 1
    USAGE = 2
    LOGIN = 3
    CONNECTION = 4
    SAFETY = 5
    STATE = 6
    PLANNED = 7
    """A dry run that found something to do; 0 unless the code was asked for."""


ENDING = (Exit.STATE, Exit.USAGE)
"""What the next pass would not be better after."""
ENDING_OF_SEVERAL = (Exit.STATE,)
"""The same for one of several mirrors: another one may have its folder on the site, and let go of it."""


def exit_for(error: Exception) -> Exit:
    """Return the exit code for what kept a pass from going on."""
    if isinstance(error, StateError):
        return Exit.STATE
    if isinstance(error, WrongSite):
        return Exit.USAGE
    return Exit.LOGIN if isinstance(error, LoginFailed) else Exit.CONNECTION


class Schedule:
    """When the next full pass is due, on a clock that cannot be set.

    Full passes start `every_seconds` apart; what is late is skipped. After a pass that found no connection, or no room
    for the state, the next one comes sooner, later each time, but not for what will last (unknown host, certificate not
    trusted); after a refused login it comes late, for servers lock accounts. What only looks at a few folders moves
    none of this, unless it fails like that.
    """

    def __init__(self, every_seconds: float, now: float, ahead: float = 0.0) -> None:
        """Begin with a pass that is due; those after it begin so many seconds earlier than an interval after this."""
        self.due = now
        self._every = every_seconds
        self._begun = now - ahead
        self._failed = 0
        self._changes_from = now

    def left(self, now: float) -> float:
        """Return how many seconds are left until the next full pass."""
        return max(0.0, self.due - now)

    def left_for_changes(self, now: float) -> float:
        """Return how many seconds are left until a pass over what changed in the source may begin."""
        return max(0.0, self._changes_from - now)

    def ended(self, code: Exit, now: float, *, whole: bool, will_last: bool = False) -> None:
        """Note how a pass ended, and whether what ended it will last."""
        failed = code in {Exit.CONNECTION, Exit.LOGIN, Exit.STATE, Exit.USAGE}
        self._failed = self._failed + 1 if failed else 0
        if whole or failed:
            self.due = now + self._wait(code, now, will_last=will_last)
        guarded = GUARDED_SECONDS if code is Exit.SAFETY else 0.0
        self._changes_from = self.due if failed else min(self.due, now + guarded)

    def _wait(self, code: Exit, now: float, *, will_last: bool) -> float:
        late = now - self._begun
        wait = math.floor(late / self._every) * self._every + self._every - late
        if code in {Exit.CONNECTION, Exit.STATE} and not will_last:
            return min(wait, _OF_SERVER.pause(self._failed))
        if code is Exit.LOGIN:
            return max(wait, _OF_LOGIN.pause(self._failed))
        return wait


async def keep(
    mirror: Mirror,
    state: State,
    stop: Stop,
    alarm: Alarm,
    *,
    once: bool,
    ahead: float = 0.0,
    exit_code: bool = False,
    resume: str = RESUME,
    ending: Collection[Exit] = ENDING,
    is_unsettled: Callable[[str], bool] = EVERYTHING.is_unsettled,
) -> int:
    """Run one pass, or one after the other until asked to stop; return the exit code.

    A dry run that found something to do ends with 7 if `exit_code`, else with 0. `resume` is the command that ends a
    pause.

    The schedule, so many seconds `ahead`, says when the next full pass is due; the alarm may wake the mirror before, to
    look at a few folders, and there at what is not `is_unsettled`. A state that cannot be used ends even the longest
    run, unless there is no room for it: there may be later.
    """
    clock = asyncio.get_running_loop().time
    schedule = Schedule(mirror.settings.every_seconds, clock(), ahead)
    wish = Wish(whole=True)
    stop.listen(mirror.report.ending)
    if mirror.rescan:
        state.learn(surveyed=None)
    mirror = mirror if once else replace(mirror, half_read={})
    while True:
        if once and _is_paused(mirror, state):
            mirror.report.begin()
            mirror.report.warn(PAUSED.format(resume=resume))
            mirror.report.end("paused", Exit.PARTLY, None)
            return Exit.PARTLY
        if await _was_paused(mirror, state, stop, alarm, resume):
            wish = Wish(whole=True)
        if stop.requested:
            mirror.report.say("stopped")
            return 128 + stop.signum
        with alarm.passing(stop) as own:
            code = await run_pass(mirror, state, own, Scope(None if wish.whole else wish.folders, is_unsettled))
        if stop.requested:
            mirror.report.end("interrupted", 128 + stop.signum, None)
            return 128 + stop.signum
        ends = once or (code in ending and not state.lacks_room)
        if own.requested and code not in ending:
            mirror.report.end("paused", Exit.PARTLY, None)
            code, wish = Exit.PARTLY, Wish(whole=True)
        elif ends:
            told = Exit.MIRRORED if code is Exit.PLANNED and not exit_code else code
            mirror.report.end(code.name.lower(), told, None)
            return told
        else:
            schedule.ended(code, clock(), whole=wish.whole, will_last=mirror.report.counts.will_last)
            mirror.report.end(code.name.lower(), code, schedule.left(clock()), delayed=code is Exit.LOGIN)
            wish = await _next_wish(schedule, alarm, stop)
            if code is Exit.SAFETY:  # what was held back may not be had piece by piece, nor be forgotten
                wish = Wish(whole=True)
        if ends:
            return code


def _is_paused(mirror: Mirror, state: State) -> bool:
    """Tell whether the mirror is paused, which its state remembers. A state that is broken shows in the pass."""
    with suppress(StateError):
        return state.fact("paused") is not None and not mirror.dry_run
    return False


async def _was_paused(mirror: Mirror, state: State, stop: Stop, alarm: Alarm, resume: str) -> bool:
    """Wait while the mirror is paused; tell whether it was, for what was wished for meanwhile is forgotten.

    Who resumes it rings the alarm; where that cannot be, it is looked at.
    """
    if not _is_paused(mirror, state):
        return False
    mirror.report.paused(PAUSED.format(resume=resume))
    while not stop.requested and _is_paused(mirror, state):
        await alarm.wait(PAUSE_LOOKED_AT_SECONDS, stop)
    if not stop.requested:
        mirror.report.say("resumed: a pass begins")
    return True


async def _next_wish(schedule: Schedule, alarm: Alarm, stop: Stop) -> Wish:
    """Wait until a pass is wished for or due; changes are gathered as long as the schedule wants it."""
    clock = asyncio.get_running_loop().time
    folders: frozenset[str] = frozenset()
    while True:
        left = schedule.left_for_changes if folders else schedule.left
        wish = await alarm.wait(left(clock()), stop)
        folders |= wish.folders
        whole = wish.whole or not schedule.left(clock())
        if whole or stop.requested or (folders and not schedule.left_for_changes(clock())):
            return Wish(whole, folders)


async def run_pass(mirror: Mirror, state: State, stop: Stop, scope: Scope) -> Exit:
    """Run one pass; whatever goes wrong becomes an exit code."""
    report = mirror.report
    report.begin()
    begun = time.monotonic()
    offload = Offload()
    failure = Exit.MIRRORED
    try:
        await _run_pass(mirror, AwaitableState(state, offload), stop, scope)
    except (StateError, RemoteError) as error:
        report.trouble(*_told(error))
        failure = exit_for(error)
        report.counts.will_last = isinstance(error, SiteUnusable)
    finally:
        offload.close()
    counts = report.counts
    counts.interrupted = stop.requested
    counts.seconds = time.monotonic() - begun
    code = _exit_of(counts, failure)
    if mirror.dry_run and code is Exit.MIRRORED and counts.has_changes:
        code = Exit.PLANNED
    if code is not Exit.STATE:
        try:
            _leave_beat(mirror, state, code, scope)
        except StateError as error:
            report.trouble(str(error))
            code = Exit.STATE
    return code


def _leave_beat(mirror: Mirror, state: State, code: Exit, scope: Scope) -> None:
    """Note how the pass ended, for those who ask how the mirror is."""
    counts, now, result = mirror.report.counts, time.time(), code.name.lower()
    last = left_by(counts, result, now, LastPass.read(state.fact("last_pass")))
    facts = {"last_result": result, "last_pass": str(last)}
    failed = Failing.read(state.fact("failing"))
    if counts.is_whole and not counts.partial:
        failing = failed.followed_by(counts.failures, counts.failed_paths, now)
        facts |= {"last_good": str(Beat(now, counts.seconds, mirror.settings.every_seconds)), "failing": str(failing)}
    elif counts.is_whole and (failed.number or counts.failures):
        failing = failed.joined_by(counts.failed_paths, now, partial(_was_looked_at, state, scope))
        facts |= {"failing": str(failing)}
    state.learn(**facts)


def _was_looked_at(state: State, scope: Scope, path: str) -> bool:
    """Tell whether a pass over a few folders has looked at a path, and not only at the folder that it is in."""
    held = state.held(path)
    is_folder = held is not None and held.is_folder
    return parent(path) in (scope.folders or ()) and not is_folder and not scope.leaves_alone(path)


def _told(error: StateError | RemoteError) -> tuple[str, str]:
    """Return what happened, with what the server said, and what to do."""
    return (str(error), "") if isinstance(error, StateError) else (error.told, error.advice)


async def _run_pass(mirror: Mirror, state: AwaitableState, stop: Stop, scope: Scope) -> None:
    await know_root(mirror, state)
    source = await open_source(mirror, state)
    if source is None:
        return
    if not await state.fact("surveyed"):
        scope = scope.widened()
    mirror.report.counts.partial = not scope.is_whole
    with closing(source):
        try:
            await _run_pass_over(mirror, state, stop, source, scope)
        except (StateError, RemoteError):
            await _tell_remaining(mirror, state, stop, source)
            raise
        if stop.requested or mirror.report.counts.halts:
            await _tell_remaining(mirror, state, stop, source)


async def _tell_remaining(mirror: Mirror, state: AwaitableState, stop: Stop, source: OpenedFolder) -> None:
    if mirror.report.counts.partial:
        return  # it was not to look at everything
    await tell_remaining(mirror.report, source, state, mirror.settings, mirror.selection, stop=stop)


async def _run_pass_over(mirror: Mirror, state: AwaitableState, stop: Stop, source: OpenedFolder, scope: Scope) -> None:
    try:
        await Pass(mirror, state, stop, source, scope).run()
    except Apart as error:
        mirror.report.begin_again()
        await state.learn(root=shown(error.root))
        await know_root(mirror, state)
        await Pass(mirror, state, stop, source, scope.widened()).run()
    except RootMissing as error:
        mirror.report.begin_again()
        settings = mirror.settings
        async with one_connection(mirror):
            session = await mirror.connect(
                settings.site,
                mirror.password,
                facts=mirror.facts,
                timeout_seconds=settings.timeout_seconds,
                create_root=True,
            )
            await session.close()
        if session.made_root:  # a server that refuses to enter it for a moment may say the same
            mirror.report.note(f"{error}: creating it again and uploading everything")
            await state.held.void("")
        await state.learn(surveyed=None)
        await Pass(mirror, state, stop, source, scope.widened()).run()


def _exit_of(counts: Counts, failure: Exit) -> Exit:
    if failure is Exit.STATE:
        return failure
    if counts.halts:
        return Exit.SAFETY
    if failure is not Exit.MIRRORED:
        return failure
    if counts.problems[Problem.LED_ELSEWHERE]:
        return Exit.CONNECTION
    return Exit.PARTLY if counts.failures else Exit.MIRRORED
