"""Asks for a password on a terminal, once all else that can be known to be wrong is told."""

import socket
import sys
from dataclasses import replace
from pathlib import Path

import click

from async_mirror.model.escape import shown
from async_mirror.model.secret import Secret
from async_mirror.model.settings import UsageError
from async_mirror.model.site import Site
from async_mirror.options.click_types import Failed
from async_mirror.options.credentials import Login, sendable

SAFETY = 5
"""The exit code for a source that does not exist, as a pass would end with it."""


def password_for(login: Login, source: Path) -> Secret:
    """Return the password, and ask for it if there is none. Raises UsageError, or Failed without a source."""
    password = login.ask()
    return password if password is not None else _ask(login, source)


def _ask(login: Login, source: Path) -> Secret:
    if not source.is_dir():
        raise Failed(f"the source {source} does not exist", SAFETY)
    if not sys.stdin.isatty():
        raise UsageError(
            f"no password for {login.site.shown}: use --password-file, --password-command, ASYNC_MIRROR_PASSWORD_FILE,"
            " ASYNC_MIRROR_PASSWORD or ~/.netrc"
        )
    _check_host(login.site)
    answer = Secret(click.prompt(f"Password for {shown(login.site.shown)}", hide_input=True, err=True))
    try:
        sendable(replace(login, password=answer, where="your answer"))
    except ValueError as error:
        raise UsageError(str(error)) from None
    return answer


def _check_host(site: Site) -> None:
    """Raise UsageError if there is no such host; what cannot be looked up now may be there later."""
    from async_mirror.ftp.login import UNKNOWN_HOST  # noqa: PLC0415 - a run that needs no prompt may need no FTP

    try:
        socket.getaddrinfo(site.host, site.port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno in UNKNOWN_HOST:
            raise UsageError(f"unknown host {site.host}: check its spelling, and the network") from None
