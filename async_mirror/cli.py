"""The command line: options become settings, parts are put together, results become exit codes. No logic."""

import io
import os
import sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from async_mirror import __version__
from async_mirror.model.escape import shown
from async_mirror.model.settings import UsageError
from async_mirror.options import config_file
from async_mirror.options.click_types import Command, Failed
from async_mirror.options.commands import HEALTHCHECK, LIST
from async_mirror.options.declared import CONTEXT, SYNC

if TYPE_CHECKING:
    from async_mirror.ftp.wire.tls import Tls
    from async_mirror.model.facts import Facts
    from async_mirror.model.secret import Secret
    from async_mirror.model.settings import Settings
    from async_mirror.model.site import Site, Trust
    from async_mirror.options.asked import Asked
    from async_mirror.options.credentials import Login
    from async_mirror.remote.session import RootedSession
    from async_mirror.state.store import State
    from async_mirror.sync.mirror import Mirror
    from async_mirror.ui.report import Report
    from async_mirror.ui.terminal import Display


DEFAULT_STATS_S = 60.0
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
        click.echo(f"async-mirror: {shown(str(error).replace(chr(10), ' '))}", err=True)
        code = known
    _let_go_of_streams()
    sys.exit(code or 0)


def _exit_code(error: Exception) -> int | None:
    """Return what the command ends with for an error that is told in one line."""
    from async_mirror.state.database import StateError

    match error:
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


@click.group(context_settings=CONTEXT)
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
def sync(**options: Any) -> int:
    """Mirror the folder SOURCE to DESTINATION, pass after pass.

    \b
    See what would be done:  async-mirror sync --dry-run ./site ftpes://me@host/www
    One pass:                async-mirror sync --once ./site ftpes://me@host/www
    Every 15 minutes:        async-mirror sync --every 15m ./site ftpes://me@host/www
    As configured:           async-mirror sync

    \b
    DESTINATION is ftpes://user@host[:port]/path (ftps:// for implicit TLS, ftp://
    without TLS). The path starts at the login folder, with // or /%2F at the
    server's root. The folder is created if it does not exist.

    \b
    Each option can also be set in the environment (--every as ASYNC_MIRROR_EVERY) and
    in a TOML file (every = "15m"). The command line overrides the environment, which
    overrides the file.

    \b
    Exit code: 0 all mirrored, 1 some not, 2 wrong use, 3 login refused, 4 no
    connection or certificate not trusted, 5 stopped for safety, 6 state not usable or
    in use, 7 something to do (--dry-run --exit-code), 130/143 signal.
    """  # fmt: skip
    from async_mirror.ftp.wire.tls import tls_of
    from async_mirror.options import resolve
    from async_mirror.options.asked import Asked
    from async_mirror.state.opening import open_copy, open_state, open_to_others

    asked = Asked(**options)
    source = resolve.source_of(asked)
    login = resolve.login_of(asked)
    settings = resolve.settings_of(asked, source, login)
    trust = resolve.trust_of(asked, login.site)
    tls = tls_of(login.site, trust)
    file = resolve.state_file_of(asked, source, login.site)
    mirror, display = _mirror(asked, settings, login, trust, file.path.parent, tls=tls)
    with open_copy(file.found) if mirror.dry_run else open_state(*file) as state:
        mirror.report.say(f"{settings.source} -> {settings.site.shown}")
        for warning, hint in resolve.warnings_about(login, trust):
            mirror.report.warn(warning, hint)
        if warning := open_to_others(file.path):
            mirror.report.warn(warning)
        if state.holder:
            mirror.report.warn(f"another run is under way ({state.holder}): what it is doing now is planned here, too")
        return _run(mirror, state, display, asked)


@cli.command("config", cls=Command, params=SYNC, context_settings=CONTEXT)
def show_config(**options: Any) -> None:
    """Print the settings and where each comes from.

    The output is a configuration file, without secrets.
    """
    from async_mirror.options import resolve
    from async_mirror.options.asked import Asked

    asked = Asked(**options)
    context = click.get_current_context()
    lines = [resolve.setting_line(context, param, asked) for param in SYNC if param.expose_value]
    used = config_file.file(context)
    click.echo(f"# configuration file: {shown(str(used)) if used else 'none'}")
    click.echo("\n".join(lines))
    if asked.destination:
        try:
            where = resolve.login_of(asked).where or "none found: sync prompts for it"
        except UsageError as error:
            where = str(error)
        click.echo(f"# password: {shown(where)}")


@cli.command("ls", cls=Command, params=LIST, context_settings=CONTEXT)
def list_source(**options: Any) -> None:
    """List what would be mirrored of SOURCE, without connecting."""
    from async_mirror.options.asked import AskedList
    from async_mirror.options.listed import lines

    for line in lines(AskedList(**options)):
        click.echo(line)


@cli.command(
    cls=Command,
    params=HEALTHCHECK,
    context_settings=CONTEXT,
    short_help="Exit with 0 if the mirror is up to date.",
)
def healthcheck(**options: Any) -> int:
    """Tell whether the mirror is up to date, without connecting: exit 0 if healthy or degraded, else 1 and the reason.

    \b
    healthy    the last complete pass mirrored everything
    degraded   some paths were not mirrored; they are named (exit 1 with --strict)
    unhealthy  the last complete pass is older than twice the --every of `sync`

    SOURCE and DESTINATION, or the environment and the file, name the mirror as for `sync`. The interval is the --every
    of the last `sync`: set it for a `sync --once` that cron starts, too.
    """  # fmt: skip
    import time

    from async_mirror.options import resolve
    from async_mirror.options.asked import AskedHealth
    from async_mirror.state.database import StateError
    from async_mirror.state.opening import facts_of
    from async_mirror.ui.health import Failing, complaint, praise, regret

    asked = AskedHealth(**options)
    file = resolve.state_file_of(asked, resolve.source_of(asked), resolve.login_of(asked).site)
    try:
        facts = facts_of(file.found)
    except StateError as error:
        raise Failed(str(error), 1) from None
    now = time.time()
    if reason := complaint(facts.get("last_good"), facts.get("last_result"), now):
        raise Failed(f"unhealthy: {reason}", 1)
    failing = Failing.read(facts.get("failing"))
    if not failing.number:
        click.echo(praise(facts["last_good"], now))
        return 0
    degraded = regret(facts["last_good"], failing, now)
    longest = 0.0 if asked.strict else asked.strict_after
    if longest is not None and failing.seconds(now) >= longest:
        raise Failed(degraded, 1)
    click.echo(degraded)
    return 0


@cli.command(context_settings=CONTEXT, short_help="Demonstrate it on this machine.")
@click.argument("folder", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))
def demo(folder: Path | None) -> int:
    """Demonstrate it on this machine: start a server, mirror to it, change files, mirror again.

    FOLDER is copied first and never changed; without it a small web site is generated.
    """
    from async_mirror.demo import show

    return show(folder)


# Putting the parts together.


def _mirror(
    asked: "Asked", settings: "Settings", login: "Login", trust: "Trust", state_folder: Path, *, tls: "Tls | None"
) -> tuple["Mirror", "Display | None"]:
    from async_mirror.crew.patience import Patience
    from async_mirror.jobs.bandwidth import Pace
    from async_mirror.options import resolve
    from async_mirror.options.prompt import password_for
    from async_mirror.state import server_memory
    from async_mirror.state.server_memory import ServerMemory
    from async_mirror.sync.mirror import Mirror
    from async_mirror.ui.report import Report

    watched = _is_watched(asked)
    tell_pass = _print_pass if asked.json else None
    about = {"source": shown(str(settings.source)), "destination": shown(settings.site.shown)}
    caution = resolve.caution_about(trust)
    report = Report(
        dry_run=asked.dry_run,
        tell_pass=tell_pass,
        watched=watched or asked.stats != 0,
        forecast_after_s=0.0 if watched else (asked.stats or DEFAULT_STATS_S) / 2,
        names_excluded=asked.verbose,
        about=about,
        caution=caution,
    )
    display = _display(report, f"{settings.source} -> {settings.site.shown}") if watched else None
    _set_up_log(asked, display)
    password = password_for(login, settings.source)
    mirror = Mirror(
        settings=settings,
        mode=asked.multi,
        connect=partial(ftp_session, tls=tls, pasv_address_believed=asked.pasv_address == "server"),
        password=password,
        report=report,
        patience=Patience(retries=asked.retries, retry_for_seconds=asked.retry_for or 0.0),
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
        raise Failed(f"cannot write to standard output: {error.strerror}", 1) from None


def _is_watched(asked: "Asked") -> bool:
    """Tell whether there is a terminal that nothing else is printed on."""
    prints = asked.dry_run or (asked.json and sys.stdout.isatty())
    unwanted = asked.no_progress or asked.quiet or prints
    return not unwanted and sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def _display(report: "Report", title: str) -> "Display | None":
    from async_mirror import multi
    from async_mirror.ui.terminal import Display

    try:
        return Display(report.activity, title, on_signal=multi.on_signal)
    except ValueError:  # rich makes no sense of the environment
        return None


def _set_up_log(asked: "Asked", display: "Display | None") -> None:
    import logging

    from async_mirror.ui.log_output import set_up

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
        raise UsageError(f"cannot write the log file {file}: {error.strerror}") from None


def _run(mirror: "Mirror", state: "State", display: "Display | None", asked: "Asked") -> int:
    from async_mirror import multi
    from async_mirror.crew.stop import Stop
    from async_mirror.engine import keep
    from async_mirror.ui.stats import Stats

    every = DEFAULT_STATS_S if asked.stats is None and not display else asked.stats
    stats = Stats(mirror.report.activity, every).shown if every else nullcontext

    async def program(stop: Stop) -> int:
        with display.shown() if display else nullcontext(), stats():
            once = asked.once or asked.dry_run
            return await keep(mirror, state, stop, once=once, exit_code=asked.exit_code)

    return multi.run(program, display.restore if display else None)


async def ftp_session(
    site: "Site",
    password: "Secret",
    *,
    tls: "Tls | None",
    facts: "Facts",
    timeout_seconds: float,
    create_root: bool,
    pasv_address_believed: bool = False,
) -> "RootedSession":
    """Open an FTP session; FTP is imported when the first one is needed."""
    from async_mirror.ftp.session import connect

    return await connect(
        site,
        password,
        tls=tls,
        facts=facts,
        timeout_seconds=timeout_seconds,
        create_root=create_root,
        pasv_address_believed=pasv_address_believed,
    )
