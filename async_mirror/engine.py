"""The schedule of passes: when one begins, what it ends with. What happens inside one is `one_pass`'s."""

import asyncio
import math
import random
import time
from enum import IntEnum

from async_mirror.crew.stop import Stop
from async_mirror.jobs.perform import WrongSite
from async_mirror.model.outcome import Problem
from async_mirror.multi import Offload
from async_mirror.planning.remaining import tell_remaining
from async_mirror.remote.errors import LoginFailed, RemoteError, RootMissing, SiteUnusable
from async_mirror.source.opened_folder import OpenedFolder
from async_mirror.state.awaitable import AwaitableState
from async_mirror.state.database import StateError
from async_mirror.state.store import State
from async_mirror.sync.guards import open_source
from async_mirror.sync.mirror import Mirror
from async_mirror.sync.one_pass import Pass
from async_mirror.ui.counts import Counts
from async_mirror.ui.health import Beat, Failing

FIRST_RETRY_SECONDS = 10.0
LOGIN_RETRY_SECONDS = 300.0
LONGEST_LOGIN_RETRY_SECONDS = 3600.0


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


def exit_for(error: Exception) -> Exit:
    """Return the exit code for what kept a pass from going on."""
    if isinstance(error, StateError):
        return Exit.STATE
    if isinstance(error, WrongSite):
        return Exit.USAGE
    return Exit.LOGIN if isinstance(error, LoginFailed) else Exit.CONNECTION


async def keep(mirror: Mirror, state: State, stop: Stop, *, once: bool, exit_code: bool = False) -> int:
    """Run one pass, or one after the other until asked to stop; return the exit code.

    A dry run that found something to do ends with 7 if `exit_code`, else with 0.

    Passes start `every_seconds` apart on the monotonic clock; what is late is skipped. After a pass that found no
    connection the next one comes sooner, later each time, but not for what will last (unknown host, certificate not
    trusted); after a refused login it comes late, for servers lock accounts. A state that cannot be used ends even the
    longest run.
    """
    clock = asyncio.get_running_loop().time
    every = mirror.settings.every_seconds
    begun = clock()
    failed = 0
    stop.listen(mirror.report.ending)
    if mirror.rescan:
        state.learn(surveyed=None)
    while True:
        code = await run_pass(mirror, state, stop)
        if stop.requested:
            mirror.report.end("interrupted", 128 + stop.signum, None)
            return 128 + stop.signum
        if once or code is Exit.STATE:
            ending = Exit.MIRRORED if code is Exit.PLANNED and not exit_code else code
            mirror.report.end(code.name.lower(), ending, None)
            return ending
        late = clock() - begun
        wait = math.floor(late / every) * every + every - late
        failed = failed + 1 if code in {Exit.CONNECTION, Exit.LOGIN} else 0
        if code is Exit.CONNECTION and not mirror.report.counts.will_last:
            wait = min(wait, _back_off(FIRST_RETRY_SECONDS, failed))
        elif code is Exit.LOGIN:
            wait = max(wait, min(_back_off(LOGIN_RETRY_SECONDS, failed), LONGEST_LOGIN_RETRY_SECONDS))
        mirror.report.end(code.name.lower(), code, wait, delayed=code is Exit.LOGIN)
        if await stop.pause(wait):
            mirror.report.say("stopped")
            return 128 + stop.signum


def _back_off(first_seconds: float, failed: int) -> float:
    return first_seconds * 2.0 ** min(failed - 1, 10) * random.uniform(0.5, 1.0)  # noqa: S311


async def run_pass(mirror: Mirror, state: State, stop: Stop) -> Exit:
    """Run one pass; whatever goes wrong becomes an exit code."""
    report = mirror.report
    report.begin()
    begun = time.monotonic()
    offload = Offload()
    failure = Exit.MIRRORED
    try:
        await _run_pass(mirror, AwaitableState(state, offload), stop)
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
            _leave_beat(mirror, state, code)
        except StateError as error:
            report.trouble(str(error))
            code = Exit.STATE
    return code


def _leave_beat(mirror: Mirror, state: State, code: Exit) -> None:
    """Note how the pass ended, for `healthcheck`."""
    counts = mirror.report.counts
    if counts.is_whole:
        now = time.time()
        beat = Beat(now, counts.seconds, mirror.settings.every_seconds)
        failing = Failing.read(state.fact("failing")).followed_by(counts.failures, counts.failed_paths, now)
        state.learn(last_result=code.name.lower(), last_good=str(beat), failing=str(failing))
    else:
        state.learn(last_result=code.name.lower())


def _told(error: StateError | RemoteError) -> tuple[str, str]:
    """Return what happened, with what the server said, and what to do."""
    return (str(error), "") if isinstance(error, StateError) else (error.told, error.advice)


async def _run_pass(mirror: Mirror, state: AwaitableState, stop: Stop) -> None:
    source = await open_source(mirror, state)
    if source is None:
        return
    try:
        await _run_pass_over(mirror, state, stop, source)
    except (StateError, RemoteError):
        await _tell_remaining(mirror, state, stop, source)
        raise
    if stop.requested or mirror.report.counts.halts:
        await _tell_remaining(mirror, state, stop, source)


async def _tell_remaining(mirror: Mirror, state: AwaitableState, stop: Stop, source: OpenedFolder) -> None:
    await tell_remaining(mirror.report, source, state, mirror.settings, mirror.selection, stop=stop)


async def _run_pass_over(mirror: Mirror, state: AwaitableState, stop: Stop, source: OpenedFolder) -> None:
    try:
        await Pass(mirror, state, stop, source).run()
    except RootMissing as error:
        mirror.report.begin_again()
        settings = mirror.settings
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
        await Pass(mirror, state, stop, source).run()


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
