"""Puts a mirror together from what was asked for, and runs it."""

import logging
import os
import signal
import sys
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from async_mirror import multi
from async_mirror.crew.alarm import Alarm
from async_mirror.crew.patience import Patience
from async_mirror.crew.stop import Stop
from async_mirror.engine import keep
from async_mirror.jobs.bandwidth import Pace
from async_mirror.model.escape import shown
from async_mirror.model.secret import Secret
from async_mirror.model.settings import Settings, UsageError
from async_mirror.model.site import Trust
from async_mirror.options import resolve
from async_mirror.options.asked import Asked
from async_mirror.options.click_types import Failed
from async_mirror.options.credentials import Login, sendable
from async_mirror.service.presence import Presence
from async_mirror.service.sessions import ftp_session
from async_mirror.state import server_memory
from async_mirror.state.opening import open_copy, open_state, open_to_others
from async_mirror.state.server_memory import ServerMemory
from async_mirror.state.store import State
from async_mirror.sync.mirror import Mirror
from async_mirror.ui.log_output import set_up
from async_mirror.ui.report import Report

if TYPE_CHECKING:
    from async_mirror.ui.terminal import Display


class Kept(NamedTuple):
    """A mirror that is kept."""

    name: str
    mirror: Mirror
    state: State
    alarm: Alarm


def run(asked: Asked) -> int:
    """Keep the mirror that was asked for; return the exit code. Raises UsageError and StateError."""
    source = resolve.source_of(asked)
    login = resolve.login_of(asked)
    settings = resolve.settings_of(asked, source, login)
    trust = resolve.trust_of(asked, login.site)
    file = resolve.state_file_of(asked, source, login.site)
    mirror, display = _mirror(asked, settings, login, trust, file.path.parent)
    with open_copy(file.found) if mirror.dry_run else open_state(*file) as state:
        mirror.report.say(f"{settings.source} -> {settings.site.shown}")
        for warning in filter(None, (*resolve.warnings_about(login, trust), open_to_others(file.path))):
            mirror.report.warn(warning)
        if state.holder:
            mirror.report.warn(f"another run is under way ({state.holder}): what it is doing now is planned here, too")
        return _run(mirror, state, display, once=asked.once or asked.dry_run)


def _mirror(
    asked: Asked, settings: Settings, login: Login, trust: Trust, state_folder: Path
) -> tuple[Mirror, "Display | None"]:
    watched = _is_watched(asked)
    tell_pass = _print_pass if asked.json else None
    about = {"source": shown(str(settings.source)), "destination": shown(settings.site.shown)}
    caution = resolve.caution_about(trust)
    report = Report(
        dry_run=asked.dry_run, tell_pass=tell_pass, watched=watched or not asked.once, about=about, caution=caution
    )
    display = _display(report, f"{settings.source} -> {settings.site.shown}") if watched else None
    _set_up_log(asked, display)
    password = _password(login)
    mirror = Mirror(
        settings=settings,
        mode=asked.multi,
        connect=partial(ftp_session, trust=trust, pasv_address_believed=asked.pasv_address == "server"),
        password=password,
        report=report,
        patience=Patience(retries=asked.retries),
        max_connections=asked.max_connections,
        memory=ServerMemory(state_folder / server_memory.NAME, learns=not asked.dry_run),
        pace=Pace(asked.bwlimit),
        dry_run=asked.dry_run,
        rescan=asked.rescan,
    )
    return mirror, display


def _print_pass(line: str) -> None:
    try:
        click.echo(line)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left in it would fail again at exit
        raise Failed(f"standard output cannot be written: {error.strerror}", 1) from None


def _password(login: Login) -> Secret:
    password = login.ask()
    return password if password is not None else _ask_password(login)


def _ask_password(login: Login) -> Secret:
    if not sys.stdin.isatty():
        raise UsageError(
            f"no password for {login.site.shown}: give --password-file, --password-command, ASYNC_MIRROR_PASSWORD_FILE,"
            " ASYNC_MIRROR_PASSWORD or an entry in ~/.netrc"
        )
    answer = Secret(click.prompt(f"Password for {shown(login.site.shown)}", hide_input=True, err=True))
    try:
        sendable(replace(login, password=answer, where="your answer"))
    except ValueError as error:
        raise UsageError(str(error)) from None
    return answer


def _is_watched(asked: Asked) -> bool:
    """Tell whether there is a terminal that nothing else is printed on."""
    prints = asked.dry_run or (asked.json and sys.stdout.isatty())
    unwanted = asked.no_progress or asked.quiet or prints
    return not unwanted and sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def _display(report: Report, title: str) -> "Display | None":
    from async_mirror.ui.terminal import Display  # noqa: PLC0415 - rich is not needed without a terminal

    try:
        return Display(report.activity, title, on_signal=multi.on_signal)
    except ValueError:  # rich makes no sense of the environment
        return None


def _set_up_log(asked: Asked, display: "Display | None") -> None:
    file: Path | None = asked.log_file
    try:
        set_up(
            display.lines_above if display else logging.StreamHandler(sys.stderr),
            quiet=asked.quiet,
            verbose=asked.verbose,
            file=file,
            as_json=asked.log_format == "json",
            is_screen_text=display is not None,
        )
    except OSError as error:
        raise UsageError(f"the log file {file} cannot be written ({error.strerror}): name another --log-file") from None


def _run(mirror: Mirror, state: State, display: "Display | None", *, once: bool) -> int:
    async def program(stop: Stop) -> int:
        kept = Kept("", mirror, state, Alarm())
        presence = Presence(os.environ)
        multi.on_signal(signal.SIGUSR1, kept.alarm.ring)
        with display.shown() if display else nullcontext():
            async with presence.seen(stop):
                if not mirror.dry_run:
                    await presence.add(kept)
                return await keep(mirror, state, stop, kept.alarm, once=once)

    return multi.run(program, display.restore if display else None)
