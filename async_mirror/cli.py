"""The command line: what each command takes and prints, and which errors become which exit codes. No logic."""

import io
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from async_mirror import __version__
from async_mirror.model.escape import shown
from async_mirror.model.settings import UsageError, UsageErrors
from async_mirror.options import config_file
from async_mirror.options.click_types import Command, is_own
from async_mirror.options.commands import LIST
from async_mirror.options.declared import CONTEXT, SYNC
from async_mirror.options.questions import HEALTHCHECK, MIRROR, STATUS

if TYPE_CHECKING:
    from collections.abc import Callable

    from async_mirror.service.asking import Target

PIPE_CLOSED = 128 + signal.SIGPIPE
_NO_ARGUMENTS: Any = getattr(click.exceptions, "NoArgsIsHelpError", ())  # click before 8.2 prints the help itself


def main() -> None:
    """Run the command; every error of use is one line on standard error."""
    _have_streams()
    try:
        code = cli(prog_name="async-mirror", standalone_mode=False)
    except _NO_ARGUMENTS as error:
        click.echo(error.ctx.get_help() if error.ctx else "")
        code = error.exit_code
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        hint = f" (see {context.command_path} --help)" if context else ""
        click.echo(f"async-mirror: {shown(error.format_message().replace(chr(10), ' '))}{hint}", err=True)
        code = error.exit_code
    except click.Abort:
        code = 130
    except OSError as error:
        if error.filename:
            raise
        click.echo(f"async-mirror: cannot write to standard output: {error.strerror}", err=True)
        code = 1
    except Exception as error:
        if (known := _exit_code(error)) is None:
            raise
        for text in error.texts if isinstance(error, UsageErrors) else (str(error),):
            click.echo(f"async-mirror: {shown(text.replace(chr(10), ' '))}", err=True)
        code = known
    _let_go_of_streams()
    sys.exit(code or 0)


def _exit_code(error: Exception) -> int | None:
    """Return what the command ends with for an error that is told in one line."""
    from async_mirror.state.database import StateError

    match error:
        case UsageErrors(code=code):
            return code
        case UsageError():
            return 2
        case StateError():
            return 6
        case _:
            return None


def _have_streams() -> None:
    """Open standard streams that the caller closed, and have any name be written to them."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - for as long as we live
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _let_go_of_streams() -> None:
    """Flush the streams; a reader that is gone does not change the exit code."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class _Commands(click.Group):
    """The commands. One whose reader is gone, as `head` is after ten lines, ends as by SIGPIPE, without a word."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was chosen."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            return PIPE_CLOSED


@click.group(cls=_Commands, context_settings=CONTEXT)
@click.version_option(
    __version__,
    prog_name="async-mirror",
    message="%(prog)s %(version)s",
    allow_from_autoenv=False,  # ASYNC_MIRROR_VERSION is whatever an image's maker means by it
)
def cli() -> None:
    """One-way mirror: local folder to FTP or FTPS site, over many connections at once.

    \b
    Try it, nothing to set up:  async-mirror demo
    See what would be done:     async-mirror sync --dry-run ./site ftpes://me@host/www
    Mirror, pass after pass:    async-mirror sync ./site ftpes://me@host/www
    """


@cli.command(cls=Command, params=SYNC, context_settings=CONTEXT)
def sync(**_: Any) -> int:
    """Mirror the folder SOURCE to DESTINATION, pass after pass.

    \b
    See what would be done:  async-mirror sync --dry-run ./site ftpes://me@host/www
    One pass:                async-mirror sync --once ./site ftpes://me@host/www
    Every 15 minutes:        async-mirror sync --every 15m ./site ftpes://me@host/www
    As configured:           async-mirror sync
    Mirrors of the file:     async-mirror sync shop blog

    \b
    DESTINATION is ftpes://user@host[:port]/path (ftps:// for implicit TLS, ftp://
    without TLS). The path starts at the login folder, with // or /%2F at the
    server's root. The folder is created if it does not exist.

    \b
    Each option can also be set in the environment (--every as ASYNC_MIRROR_EVERY) and
    in a TOML file (every = "15m"). The command line overrides the environment, which
    overrides the file.

    \b
    The file may have a table [mirror.NAME] for each of several mirrors, over what it
    says above them. Then `sync` keeps all of them, or those whose NAME is given. Two
    arguments, the second a URL, are SOURCE and DESTINATION; others are NAMEs. Of
    several exit codes the first of these counts: 130/143, 6, 5, 2, 3, 4, 1, 7, 0.
    Without a terminal, and not under nohup, SIGHUP reads the file again.

    \b
    Exit code: 0 all mirrored, 1 some not, 2 wrong use, 3 login refused, 4 no
    connection or certificate not trusted, 5 stopped for safety, 6 state not usable or
    in use, 7 something to do (--dry-run --exit-code), 130/143 signal.
    """  # fmt: skip
    from async_mirror.service.assemble import run

    return run(click.get_current_context())


@cli.command("config", cls=Command, params=SYNC, context_settings=CONTEXT)
def show_config(**_: Any) -> None:
    """Print the settings and where each comes from.

    The output is a configuration file, without secrets.
    """
    from async_mirror.options.mirrors import context_in_common, context_of, names_of

    context = click.get_current_context()
    with context_in_common(context).scope(cleanup=False) as common:
        lines = _setting_lines(common)
    used = config_file.file(context)
    click.echo(f"# configuration file: {shown(str(used)) if used else 'none'}")
    click.echo("\n".join(lines))
    for name in filter(None, names_of(context)):
        own = context_of(name, context)
        with own.scope(cleanup=False):
            click.echo("\n".join(("", f"[mirror.{config_file.in_toml(name)}]", *_setting_lines(own))))


def _setting_lines(context: click.Context) -> list[str]:
    """Return what is in force, for a mirror of the file only what is of its own; and where the password is."""
    from async_mirror.options import resolve
    from async_mirror.options.asked import Asked

    asked = Asked(**context.params)
    lines = [
        resolve.setting_line(context, param, asked) for param in SYNC if param.expose_value and is_own(context, param)
    ]
    if asked.destination:
        try:
            where = resolve.login_of(asked).where or "none found: sync prompts for it"
        except UsageError as error:
            where = str(error)
        lines.append(f"# password: {shown(where)}")
    return lines


@cli.command("ls", cls=Command, params=LIST, context_settings=CONTEXT)
def list_source(**_: Any) -> None:
    """List what would be mirrored, without connecting.

    Of SOURCE, or of the mirrors of the configuration file, or of those whose NAME is given.
    """
    from async_mirror.options.listed import lines_of

    for line in lines_of(click.get_current_context()):
        click.echo(line)


@cli.command(cls=Command, params=STATUS, context_settings=CONTEXT)
def status(as_json: bool, **_: Any) -> None:
    """Show the condition of each mirror, and why.

    \b
    The mirror of ./site:            async-mirror status ./site ftpes://me@host/www
    All in the configuration file:   async-mirror status
    One of them, for a program:      async-mirror status --json shop

    A mirror is starting, in sync, uploading (how far, time left), degraded or failing (which paths, why, since when),
    stopped for safety, or paused. The process that keeps it is asked. Where none answers, that is said, and the state
    file tells how the last pass ended.
    """
    from async_mirror.service import asking

    for line in asking.status(asking.targets(click.get_current_context()), as_json=as_json):
        click.echo(line)


@cli.command(cls=Command, params=MIRROR, context_settings=CONTEXT)
def now(**_: Any) -> None:
    """Begin a pass at once.

    The process that keeps the mirror begins it. SIGUSR1 begins one of each of its mirrors.
    """
    from async_mirror.service import asking

    _tell_each(asking.now)


@cli.command(cls=Command, params=MIRROR, context_settings=CONTEXT)
def pause(**_: Any) -> None:
    """Pause the mirror until `resume`.

    A pass that is under way is cut short. The pause outlives a restart, `status` shows it, and `healthcheck` calls it
    degraded.
    """
    from async_mirror.service import asking

    _tell_each(asking.pause)


@cli.command(cls=Command, params=MIRROR, context_settings=CONTEXT)
def resume(**_: Any) -> None:
    """Resume after `pause`; a pass begins at once."""
    from async_mirror.service import asking

    _tell_each(asking.resume)


def _tell_each(do: "Callable[[Target], str]") -> None:
    from async_mirror.service import asking

    for line in asking.each(asking.targets(click.get_current_context()), do):
        click.echo(line)


@cli.command(
    cls=Command,
    params=HEALTHCHECK,
    context_settings=CONTEXT,
    short_help="Exit with 0 if the mirror is up to date.",
)
def healthcheck(strict: bool, strict_after: float | None, **_: Any) -> int:
    """Tell whether the mirror is up to date, without connecting: exit 1 if it is unhealthy, with the reason, else 0.

    \b
    healthy    the last complete pass mirrored everything
    degraded   some paths were not mirrored, and are named, or it is paused (exit 1 with --strict)
    starting   the first pass is under way, and goes on
    unhealthy  the last complete pass is older than twice the --every of `sync`

    SOURCE and DESTINATION, the environment or the file name the mirror as for `sync`, NAME one of several in the file.
    The worst of several counts. The interval is the --every of the last `sync`: set it for a `sync --once` that cron
    starts, too.
    """  # fmt: skip
    from async_mirror.service import asking, checkup

    found = [
        checkup.checked(target, 0.0 if strict else strict_after)
        for target in asking.targets(click.get_current_context())
    ]
    for each in found:
        click.echo(shown(each.text) if each.code == 0 else f"async-mirror: {shown(each.text)}", err=each.code > 0)
    return max(each.code for each in found)


@cli.command(context_settings=CONTEXT, short_help="Demonstrate it on this machine.")
@click.argument("folder", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))
def demo(folder: Path | None) -> int:
    """Demonstrate it on this machine: start a server, mirror to it, change files, mirror again.

    FOLDER is copied first and never changed; without it a small web site is generated.
    """
    from async_mirror.demo import show

    return show(folder)
