"""Reads the configuration again when a signal says so, and changes no more than what changed in it."""

import asyncio
import errno
import logging
import os
import signal
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import click

from async_mirror import multi
from async_mirror.model.escape import shown
from async_mirror.model.secret import Secret
from async_mirror.model.settings import UsageError
from async_mirror.options import config_file
from async_mirror.options.click_types import written
from async_mirror.options.credentials import Login
from async_mirror.service.mirrors import Mirrors
from async_mirror.service.plan import Plan, plans_of, with_passwords
from async_mirror.service.systemd import Notifier
from async_mirror.ui.events import Event, tell


def is_for_reload() -> bool:
    """Tell whether SIGHUP asks for a reload: with a terminal it says that this one is gone, under nohup nothing."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return False
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY))
    except OSError:
        return True
    return False


def tell_if_ignored(context: click.Context) -> None:
    """Tell how a changed file comes into force where SIGHUP is ignored."""
    if config_file.file(context) and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        tell(logging.INFO, Event.NOTE, "SIGHUP is ignored, as under nohup: restart after a change of the configuration")


async def reload_when_told(mirrors: Mirrors, context: click.Context, notifier: Notifier) -> None:
    """Wait for SIGHUP again and again; what is wrong with the configuration is told, and the mirrors go on."""
    told = asyncio.Event()
    multi.on_signal(signal.SIGHUP, told.set)
    while True:
        await told.wait()
        told.clear()
        notifier.reloading()
        try:
            plans = await multi.in_thread(_plans_again, context, mirrors.plans)
        except (UsageError, click.ClickException) as error:
            text = error.format_message() if isinstance(error, click.ClickException) else str(error)
            tell(
                logging.ERROR, Event.ERROR, shown(f"the configuration was not reloaded, the old settings stay: {text}")
            )
        else:
            tell(logging.INFO, Event.INFO, "the configuration was reloaded")
            await mirrors.become(plans)
        notifier.ready()


def _plans_again(context: click.Context, known: Mapping[str, Plan]) -> list[Plan]:
    if (used := config_file.file(context)) and not os.path.exists(used):  # no other one is meant
        raise UsageError(f"cannot read the configuration {used}: {os.strerror(errno.ENOENT)}")
    fresh = context.command.make_context(context.command_path, written(context))
    with fresh.scope(cleanup=False):
        return with_passwords(plans_of(fresh), partial(_as_before, known))


def _as_before(known: Mapping[str, Plan], login: Login, _source: Path) -> Secret:
    """Return a password, also one that was asked for at the start. Raises UsageError for another one."""
    if (password := login.ask()) is not None:
        return password
    for plan in known.values():
        if plan.login.site.account == login.site.account and plan.login.password is None:
            return plan.password
    raise UsageError(f"no password for {login.site.shown}: give --password-file or --password-command")
