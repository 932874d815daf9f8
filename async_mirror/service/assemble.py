"""Puts mirrors together from what was asked for, with what they share, and runs them."""

import logging
import os
import resource
import signal
import sys
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TextIO
from weakref import WeakValueDictionary

import click

from async_mirror import multi
from async_mirror.crew.broker import Broker
from async_mirror.crew.patience import Patience
from async_mirror.crew.stop import Stop
from async_mirror.crew.turns import Turns
from async_mirror.jobs.bandwidth import Pace
from async_mirror.model.escape import shown
from async_mirror.model.settings import UsageError
from async_mirror.options import resolve
from async_mirror.options.asked import Asked
from async_mirror.options.click_types import Failed
from async_mirror.options.prompt import password_for
from async_mirror.service.mirrors import Mirrors
from async_mirror.service.plan import Plan, plans_of, with_passwords
from async_mirror.service.presence import Presence
from async_mirror.service.reload import is_for_reload, reload_when_told, tell_if_ignored
from async_mirror.service.sessions import ftp_session
from async_mirror.service.watching import watching
from async_mirror.state import server_memory
from async_mirror.state.root_lock import RootLock
from async_mirror.state.server_memory import ServerMemory
from async_mirror.sync.mirror import Mirror
from async_mirror.ui.activity import Activity
from async_mirror.ui.events import log
from async_mirror.ui.log_output import Pipe, keep_flushing, never_waiting, set_up
from async_mirror.ui.report import Report
from async_mirror.ui.stats import Stats

if TYPE_CHECKING:
    from async_mirror.ui.terminal import Display


DEFAULT_STATS_S = 60.0
UNREAD_S = 3.0
"""How long the last lines of a long run, or after a signal, wait for a pipe that is not read."""
_M_ARENA_MAX = -8
"""Of mallopt(3)."""
_Activities = WeakValueDictionary[str, Activity]
"""What is going on with each mirror, by its title, for as long as it is kept."""


def run(context: click.Context) -> int:
    """Keep the mirrors that a command is meant for; return the exit code. Raises UsageError and StateError."""
    plans = plans_of(context)
    asked = Asked(**context.params)
    activities: _Activities = WeakValueDictionary()
    out, err = never_waiting(sys.stdout, "standard output"), never_waiting(sys.stderr, "standard error")
    prints = any(plan.asked.dry_run for plan in plans)
    display = _display(activities) if _is_watched(asked, prints=prints) else None
    _set_up_log(asked, display, err)
    plans = with_passwords(plans, password_for)
    show = partial(_progress, is_watched=display is not None)
    make = partial(_mirror, Broker(), Turns(), activities, is_watched=display is not None, out=out)

    async def program(stop: Stop) -> int:
        presence = Presence(os.environ)
        with display.shown() if display else nullcontext():
            async with presence.seen(stop), watching() as watches, multi.beside() as start:
                start(keep_flushing(out, *log.handlers))
                mirrors = Mirrors(make, show, presence, watching=watches, stop=stop, start=start)
                for plan in plans:
                    mirrors.begin(plan)
                multi.on_signal(signal.SIGUSR1, mirrors.ring)
                if not all(plan.once for plan in plans):
                    tell_if_ignored(context)
                    if is_for_reload():
                        start(reload_when_told(mirrors, context, presence.notifier))
                await mirrors.over()
        return mirrors.code

    _have_descriptors()
    if not all(plan.once for plan in plans):
        share_heap()
    wait_s: float | None = UNREAD_S
    try:
        code = multi.run(program, display.restore if display else None)
        wait_s = None if code < 128 and all(plan.once for plan in plans) else UNREAD_S
    finally:
        _have_read(out, err, wait_s)
    return code


def _have_read(out: TextIO | Pipe, err: TextIO | Pipe, wait_s: float | None) -> None:
    """Write what still waits to be read, and wait for that: the work is done. A reader that is gone does no harm."""
    for each in (out, err):
        with suppress(OSError):
            each.close(wait_s) if isinstance(each, Pipe) else each.flush()


def _have_descriptors() -> None:
    """Be allowed as many open files as this user can have: a mirror needs five, and more in a pass."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # not on each system as many as it says
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def share_heap() -> None:
    """Have all threads that are started from now on allocate from one heap, where the C library is glibc.

    It would give each its own, and what passes freed in one would be kept there: more from hour to hour.
    """
    with suppress(ImportError, OSError, AttributeError):  # another C library, or a small Python
        import ctypes  # noqa: PLC0415 - only who runs on needs it

        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def _mirror(
    broker: Broker, disks: Turns, activities: _Activities, plan: Plan, *, is_watched: bool, out: TextIO | Pipe
) -> Mirror:
    asked, settings = plan.asked, plan.settings
    about = {"source": shown(str(settings.source)), "destination": shown(settings.site.shown)}
    report = Report(
        dry_run=asked.dry_run,
        tell_pass=partial(_print_pass, out) if asked.json else None,
        print_line=_print_plan,
        watched=is_watched or not plan.once or _told_every_s(asked, is_watched=is_watched) > 0,
        forecast_after_s=0.0 if is_watched else (asked.stats or DEFAULT_STATS_S) / 2,
        names_excluded=asked.verbose,
        about={"mirror": plan.name, **about} if plan.name else about,
        caution=resolve.caution_about(plan.trust),
    )
    activities[plan.shown] = report.activity
    believed = asked.pasv_address == "server"
    return Mirror(
        settings=settings,
        mode=asked.multi,
        connect=partial(ftp_session, tls=plan.tls, pasv_address_believed=believed),
        password=plan.password,
        report=report,
        patience=Patience(retries=asked.retries, retry_for_seconds=asked.retry_for or 0.0),
        max_connections=asked.max_connections,
        memory=ServerMemory(plan.file.path.parent / server_memory.NAME, learns=not asked.dry_run),
        pace=Pace(asked.bwlimit),
        broker=broker,
        disks=disks,
        roots=RootLock(
            plan.file.path, settings.site.binding[:3], plan.shown, inner=plan.inner, holds=not asked.dry_run
        ),
        dry_run=asked.dry_run,
        rescan=asked.rescan,
    )


def _progress(plan: Plan, activity: Activity, *, is_watched: bool) -> AbstractContextManager[None]:
    """Return what tells, meanwhile, how far passes are, where there is no display that does."""
    every_s = _told_every_s(plan.asked, is_watched=is_watched)
    return Stats(activity, every_s).shown() if every_s else nullcontext()


def _told_every_s(asked: Asked, *, is_watched: bool) -> float:
    """Return how often a line tells how far a pass is; 0 for never, as with --quiet and no log file to read it in."""
    if not log.isEnabledFor(logging.INFO):
        return 0.0
    if asked.stats is None:
        return 0.0 if is_watched else DEFAULT_STATS_S
    return asked.stats


def _print_pass(out: TextIO | Pipe, line: str) -> None:
    try:
        out.write(f"{line}\n")
        out.flush()
    except OSError as error:
        _drop_output()
        raise Failed(f"cannot write to standard output: {error.strerror}", 1) from None


def _print_plan(line: str) -> None:
    """Print a line of a dry run. A reader that has seen enough is left in peace, and changes no exit code."""
    try:
        print(line)
    except BrokenPipeError:
        _drop_output()
    except OSError as error:
        _drop_output()
        raise Failed(f"cannot write to standard output: {error.strerror}", 1) from None


def _drop_output() -> None:
    """Have what is left in standard output go nowhere: it would fail again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _is_watched(asked: Asked, *, prints: bool) -> bool:
    """Tell whether there is a terminal that nothing else is printed on."""
    unwanted = asked.no_progress or asked.quiet or prints or (asked.json and sys.stdout.isatty())
    return not unwanted and sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def _display(activities: _Activities) -> "Display | None":
    from async_mirror.ui.terminal import Display  # noqa: PLC0415 - rich is not needed without a terminal

    try:
        return Display(activities, on_signal=multi.on_signal)
    except ValueError:  # rich makes no sense of the environment
        return None


def _set_up_log(asked: Asked, display: "Display | None", err: TextIO | Pipe) -> None:
    file: Path | None = asked.log_file
    try:
        set_up(
            display.lines_above if display else logging.StreamHandler(err),
            quiet=asked.quiet,
            verbose=asked.verbose,
            file=file,
            as_json=asked.log_format == "json",
            is_screen_text=display is not None,
        )
    except OSError as error:
        raise UsageError(f"cannot write the log file {file}: {error.strerror}") from None
