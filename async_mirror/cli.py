"""The command line: options become settings, parts are put together, results become exit codes. No logic."""

import io
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from async_mirror import __version__

if TYPE_CHECKING:
    from async_mirror.hands import RootedSession
    from async_mirror.settings import Settings, Site

T = TypeVar("T")

_CONTEXT = {
    "max_content_width": 100,
    "auto_envvar_prefix": "ASYNC_MIRROR",
    "help_option_names": ["-h", "--help"],
}


def main() -> None:
    """Run the command; every error of use is one line on standard error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = cli(prog_name="async-mirror", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else "")
        code = error.exit_code
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        hint = f" (see {context.command_path} --help)" if context else ""
        click.echo(f"async-mirror: {error.format_message().replace(chr(10), ' ')}{hint}", err=True)
        code = error.exit_code
    except click.Abort:
        code = 130
    sys.exit(code or 0)


@click.group(context_settings=_CONTEXT)
@click.version_option(__version__, prog_name="async-mirror", message="%(prog)s %(version)s")
def cli() -> None:
    """Keep an FTP site identical to a local folder, pass after pass, over many connections at once.

    \b
    Try it, with nothing to set up:     async-mirror demo
    See what would be done:             async-mirror sync --once --dry-run ./site ftp://me@host/www
    Keep the site a mirror:             async-mirror sync ./site ftp://me@host/www
    """


@cli.command(context_settings=_CONTEXT)
@click.argument("source", type=click.Path(path_type=Path, readable=False))
@click.argument("destination")
@click.option(
    "--multi",
    default="A",
    show_default=True,
    metavar="MODE",
    help="A: asynchronous, 8 connections; A<n>: n connections; S: serial.",
)
@click.option(
    "--every",
    default="15m",
    show_default=True,
    metavar="INTERVAL",
    help="How often a pass begins: 90s, 15m, 1h30m or plain seconds.",
)
@click.option("--once", is_flag=True, help="Run one pass and exit.")
@click.option("-n", "--dry-run", is_flag=True, help="Print what a pass would do, and change nothing anywhere.")
@click.option(
    "--max-depth", type=click.IntRange(min=1), metavar="N", help="How deep to go; 1 means the files directly in SOURCE."
)
@click.option(
    "--exclude-ext", multiple=True, metavar="EXT", help="Leave out files with this extension, as in .tmp (repeatable)."
)
@click.option(
    "--exclude",
    multiple=True,
    metavar="PATTERN",
    help="Leave out what matches this pattern, as in .gitignore (repeatable).",
)
@click.option(
    "--delete/--no-delete",
    default=True,
    show_default=True,
    help="Whether to remove from the site what is gone from SOURCE.",
)
@click.option(
    "--max-delete",
    show_default="50% from 21 held files on",
    metavar="N|N%",
    help="Remove nothing if a pass would remove more files than this, or this share of what is held.",
)
@click.option("--allow-empty-source", is_flag=True, help="Go on although SOURCE is empty and the site is not.")
@click.option("--allow-unmounted", is_flag=True, help="Go on although a folder that was a mount point is none now.")
@click.option("--perms/--no-perms", default=True, show_default=True, help="Whether to mirror file modes.")
@click.option(
    "--password-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where the password is. Else: ASYNC_MIRROR_PASSWORD_FILE, ASYNC_MIRROR_PASSWORD, ~/.netrc, a prompt.",
)
@click.option(
    "--state-dir",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Where to remember what the site holds.  [default: the user's state folder]",
)
@click.option(
    "--timeout",
    default="60s",
    show_default=True,
    metavar="INTERVAL",
    help="How long a connection may make no progress.",
)
@click.option(
    "--retries",
    default=5,
    show_default=True,
    type=click.IntRange(min=0),
    help="How often to try again what failed for the moment.",
)
@click.option("-q", "--quiet", is_flag=True, help="Tell only of trouble.")
@click.option("-v", "--verbose", is_flag=True, help="Tell more.")
def sync(**options: Any) -> int:
    """Make DESTINATION a mirror of the folder SOURCE, and keep it one.

    \b
    DESTINATION is ftp://user@host[:port]/path; the path starts at the login folder,
    with // or /%2F at the server's root. It is made if it is not there.

    \b
    Exit code: 0 all mirrored, 1 some paths not, 2 wrong use, 3 login refused,
    4 no connection or no such folder to be had, 5 halted for safety, 6 state not usable
    (or in use by another run), 130/143 ended by a signal.
    """  # fmt: skip
    from async_mirror import multi
    from async_mirror.engine import keep
    from async_mirror.one_pass import Mirror
    from async_mirror.report import Report
    from async_mirror.state import StateError, open_copy, open_state, state_path

    _set_up_log(quiet=options["quiet"], verbose=options["verbose"])
    settings, mode, password = _settings(options)
    folder = _state_folder(options["state_dir"], settings.source)
    mirror = Mirror(
        settings=settings,
        mode=mode,
        connect=ftp_session,
        password=password,
        report=Report(dry_run=options["dry_run"]),
        patience=multi.Patience(retries=options["retries"]),
        dry_run=options["dry_run"],
    )
    path = state_path(folder, (str(settings.source), *settings.site.binding))
    try:
        with open_copy(path) if mirror.dry_run else open_state(path) as state:
            mirror.report.say(f"{settings.source} -> {settings.site.shown}")
            return multi.run(lambda stop: keep(mirror, state, stop, once=options["once"] or options["dry_run"]))
    except StateError as error:
        raise Failed(str(error), 6) from None


async def ftp_session(site: "Site", password: str, *, timeout_seconds: float, create_root: bool) -> "RootedSession":
    """Open an FTP session; FTP is imported when the first one is needed."""
    from async_mirror.ftp import connect

    return await connect(site, password, timeout_seconds=timeout_seconds, create_root=create_root)


def _settings(options: dict[str, Any]) -> tuple["Settings", Any, str]:
    from async_mirror.multi import Mode
    from async_mirror.password import find_password
    from async_mirror.selection import Selection
    from async_mirror.settings import (
        DeleteLimit,
        Settings,
        parse_delete_limit,
        parse_destination,
        parse_extension,
        parse_interval,
    )

    try:
        mode = _parsed("--multi", Mode.parse, options["multi"])
        site = parse_destination(options["destination"])
        if site.scheme != "ftp":
            raise Failed(f"{site.scheme}:// is not there yet: only ftp:// is, which is not encrypted", 2)
        site, password = find_password(site, options["password_file"], os.environ)
        settings = Settings(
            source=_source(options["source"]),
            site=site,
            max_depth=options["max_depth"],
            excluded_extensions=frozenset(
                _parsed("--exclude-ext", parse_extension, each) for each in options["exclude_ext"]
            ),
            patterns=options["exclude"],
            delete=options["delete"],
            delete_limit=(
                _parsed("--max-delete", parse_delete_limit, options["max_delete"])
                if options["max_delete"]
                else DeleteLimit()
            ),
            allow_empty_source=options["allow_empty_source"],
            allow_unmounted=options["allow_unmounted"],
            perms=options["perms"],
            timeout_seconds=_parsed("--timeout", parse_interval, options["timeout"]),
            every_seconds=_parsed("--every", parse_interval, options["every"]),
        )
        Selection(settings.max_depth, settings.excluded_extensions, settings.patterns)
    except ValueError as error:
        raise Failed(str(error), 2) from None
    return settings, mode, password if password is not None else _ask_password(settings.site)


def _parsed(option: str, parse: Callable[[str], T], text: str) -> T:
    """Parse an option's value; what is wrong with it is told with the option's name."""
    try:
        return parse(text)
    except ValueError as error:
        raise Failed(f"{option}: {error} (see async-mirror sync --help)", 2) from None


def _source(path: Path) -> Path:
    resolved = path.expanduser().resolve()
    if resolved.exists() and not resolved.is_dir():
        raise Failed(f"the source {path} is no folder", 2)
    return resolved


def _ask_password(site: "Site") -> str:
    if not sys.stdin.isatty():
        raise Failed(
            f"no password for {site.shown}: give --password-file, ASYNC_MIRROR_PASSWORD_FILE, ASYNC_MIRROR_PASSWORD"
            " or an entry in ~/.netrc",
            2,
        )
    return str(click.prompt(f"Password for {site.shown}", hide_input=True, err=True))


def _state_folder(chosen: Path | None, source: Path) -> Path:
    from platformdirs import user_state_path

    folder = (chosen or user_state_path("async-mirror")).expanduser().resolve()
    if folder.is_relative_to(source):
        raise Failed(f"the state folder {folder} lies in the source: choose another with --state-dir", 2)
    return folder


class Failed(click.ClickException):
    """Ends the command with one line and an exit code."""

    def __init__(self, text: str, code: int) -> None:
        """Say why, and which code."""
        super().__init__(text)
        self.exit_code = code  # type: ignore[misc]  # click reads it from the instance


def _set_up_log(*, quiet: bool, verbose: bool) -> None:
    logging.basicConfig(format="%(asctime)s  %(message)s", datefmt="%Y-%m-%d %H:%M:%S", stream=sys.stderr)
    level = logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO
    logging.getLogger("async_mirror").setLevel(level)


@cli.command(context_settings=_CONTEXT)
@click.argument("folder", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))
def demo(folder: Path | None) -> int:
    """Show the whole of it on this machine: a server, a mirror, changes, the mirror again.

    FOLDER is copied first and never touched; without it a small web site is made up.
    """
    from async_mirror.demo import show

    return show(folder)
