"""Every option, declared once: name, type, default, help, group. From the command line, the environment or a file."""

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from async_mirror import config
from async_mirror.settings import parse_delete_limit, parse_extension, parse_interval, parse_rate

ENVIRONMENT = "ASYNC_MIRROR"
CONTEXT: dict[str, Any] = {
    "max_content_width": 100,
    "auto_envvar_prefix": ENVIRONMENT,
    "help_option_names": ["-h", "--help"],
}

_RAW = f"{__name__}.raw"


class Failed(click.ClickException):
    """Ends the command with one line and an exit code."""

    def __init__(self, text: str, code: int) -> None:
        """Say why, and which code."""
        super().__init__(text)
        self.exit_code = code  # type: ignore[misc]  # click reads it from the instance


# Types.


class Parsed(click.ParamType):  # type: ignore[type-arg]  # not generic in older versions of click
    """A text that a function makes sense of. `numbers` says that a number in the file will do as well."""

    def __init__(self, name: str, parse: Callable[[str], Any], *, numbers: bool = False) -> None:
        """Name the type, and what raises ValueError for a text that cannot be meant."""
        self.name = name
        self.numbers = numbers
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return what the text means."""
        if ctx and ctx.resilient_parsing:
            return value  # a shell waits for completions, and needs no meaning
        try:
            return self._parse(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)

    def split_envvar_value(self, rv: str) -> list[str]:
        """Split at blanks and commas."""
        return re.findall(r"[^\s,]+", rv)


class Pattern(click.ParamType):  # type: ignore[type-arg]
    """A pattern as in .gitignore, where a blank that belongs to it is written with a backslash."""

    name = "pattern"

    def split_envvar_value(self, rv: str) -> list[str]:
        r"""Split at blanks and line breaks, but not at `\ `."""
        return re.findall(r"(?:\\\s|\S)+", rv)


class FileName(click.Path):
    """A path, in which `~` is the home folder. An empty one is a slip, and would mean the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        if not os.fspath(value):
            self.fail("it is empty", param, ctx)
        if "\0" in os.fspath(value):
            self.fail("no path holds a NUL character", param, ctx)
        return super().convert(os.path.expanduser(value), param, ctx)


def _mode(text: str) -> Any:
    from async_mirror.multi import Mode  # noqa: PLC0415 - asyncio is not needed to print help

    return Mode.parse(text)


MODE = Parsed("mode", _mode)
INTERVAL = Parsed("interval", parse_interval, numbers=True)
LIMIT = Parsed("limit", parse_delete_limit, numbers=True)
RATE = Parsed("rate", parse_rate, numbers=True)
EXTENSION = Parsed("extension", parse_extension)
PATH = FileName(path_type=Path)


# Parameters that tell where their value is from.


class _Sourced(click.Parameter):
    """Remembers its value as it was given, and names where it is from when it is wrong."""

    def consume_value(self, ctx: click.Context, opts: Any) -> tuple[Any, ParameterSource]:
        """Find the value, and remember it."""
        value, source = super().consume_value(ctx, opts)
        ctx.meta.setdefault(_RAW, {})[self.name] = value
        return value, source

    def get_error_hint(self, ctx: click.Context | None) -> str:
        """Name the option as the user gave it."""
        match ctx and ctx.get_parameter_source(str(self.name)):
            case ParameterSource.ENVIRONMENT:
                return variable(self)
            case ParameterSource.DEFAULT_MAP if ctx:
                return f"{config.key(self)} in {config.file(ctx)}"
            case _:
                return super().get_error_hint(ctx)


class Option(_Sourced, click.Option):
    """An option of one of the groups that the help is made of."""

    def __init__(self, *args: Any, group: str = "", unset: str = "", **kwargs: Any) -> None:
        """Belong to a group; `unset` says what is done if nothing is given and there is no plain default."""
        super().__init__(*args, **kwargs)
        self.group = group
        self.unset = unset


class Argument(_Sourced, click.Argument):
    """An argument that may come from elsewhere as well."""


class Command(click.Command):
    """A command whose help shows its options in groups."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, group by group."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and not isinstance(param, click.Argument):
                groups.setdefault(getattr(param, "group", "") or "Other", []).append(record)
        for group, records in groups.items():
            with formatter.section(group):
                formatter.write_dl(records)


def origin(ctx: click.Context, param: click.Parameter) -> str:
    """Return where a parameter's value is from: `command line`, the variable's name, the file, or `default`."""
    match ctx.get_parameter_source(str(param.name)):
        case ParameterSource.ENVIRONMENT:
            return variable(param)
        case ParameterSource.DEFAULT_MAP:
            return str(config.file(ctx))
        case ParameterSource.COMMANDLINE:
            return "command line"
        case _:
            return "default"


def variable(param: click.Parameter) -> str:
    """Return the name of the environment variable of a parameter."""
    return f"{ENVIRONMENT}_{str(param.name).upper()}"


def as_given(ctx: click.Context, param: click.Parameter) -> Any:
    """Return a parameter's value as it may stand in any file; None if it was not given and has no default."""
    value = ctx.meta[_RAW].get(param.name) if isinstance(param.type, Parsed) else ctx.params[str(param.name)]
    if isinstance(value, list | tuple):
        return [_absolute(each) for each in value]
    if isinstance(value, bool | int | float | None):
        return value
    return _absolute(value) if isinstance(value, str | Path) else None


def _absolute(value: object) -> str:
    return os.path.abspath(value) if isinstance(value, Path) else str(value)


def _look_for_slips(environment: Iterable[str]) -> None:
    """Refuse a variable that is nearly one of ours: what it was to switch off or leave out would be done."""
    prefix = f"{ENVIRONMENT}_"
    known = {str(param.name).upper() for param in SYNC} | {"PASSWORD"}
    for written in environment:
        name = written.removeprefix(prefix)
        if name == written or name in known:
            continue
        if name.startswith("NO_") and name[3:] in known:
            raise Failed(f"the environment has {written}, which is no setting: write {prefix}{name[3:]}=no", 2)
        import difflib  # noqa: PLC0415 - only needed here

        if close := difflib.get_close_matches(name, sorted(known), 1, 0.7):
            raise Failed(f"the environment has {written}, which is no setting: did you mean {prefix}{close[0]}?", 2)


def _read_config(ctx: click.Context, _: click.Parameter, path: Path | None) -> None:
    if not ctx.resilient_parsing:
        _look_for_slips(os.environ)
        try:
            config.use(ctx, path, SYNC)
        except config.ConfigError as error:
            raise Failed(str(error), 2) from None


# The parameters.

_WHAT, _WHEN, _SAFETY = "What is mirrored", "When", "Safety"
_CONNECTION, _OUTPUT, _FILES = "Connection", "Output", "Files of its own"

SOURCE = Argument(["source"], type=PATH, required=False, envvar=f"{ENVIRONMENT}_SOURCE")
DESTINATION = Argument(["destination"], required=False, envvar=f"{ENVIRONMENT}_DESTINATION")
CONFIG = Option(
    ["--config"],
    type=PATH,
    is_eager=True,
    expose_value=False,
    callback=_read_config,
    metavar="FILE",
    group=_FILES,
    help=f"Settings in TOML.  [default: {config.NAME} here, else in the user's configuration folder]",
)
STATE_DIR = Option(
    ["--state-dir"],
    type=PATH,
    metavar="FOLDER",
    group=_FILES,
    unset="it is in the user's state folder",
    help="Where to remember what the site holds.  [default: the user's state folder]",
)
PASSWORD_FILE = Option(
    ["--password-file"],
    type=PATH,
    metavar="FILE",
    group=_CONNECTION,
    help="Where the password is.  [else: ASYNC_MIRROR_PASSWORD, ~/.netrc, a prompt]",
)

SYNC: list[click.Parameter] = [
    SOURCE,
    DESTINATION,
    Option(
        ["--exclude"],
        type=Pattern(),
        multiple=True,
        metavar="PATTERN",
        group=_WHAT,
        help="Leave out what matches, as in .gitignore; !PATTERN takes back in (repeatable).",
    ),
    Option(
        ["--exclude-from"],
        type=PATH,
        multiple=True,
        metavar="FILE",
        group=_WHAT,
        help="Patterns, one per line, that come before those of --exclude (repeatable).",
    ),
    Option(
        ["--exclude-ext"],
        type=EXTENSION,
        multiple=True,
        metavar="EXT",
        group=_WHAT,
        help="Leave out files with this extension, as in .tmp (repeatable).",
    ),
    Option(
        ["--max-depth"],
        type=click.IntRange(min=1),
        metavar="N",
        group=_WHAT,
        unset="all is mirrored",
        help="How deep to go; 1 means the files directly in SOURCE.",
    ),
    Option(
        ["--perms/--no-perms"],
        default=True,
        show_default=True,
        group=_WHAT,
        help="Whether to mirror file modes.",
    ),
    Option(
        ["--every"],
        type=INTERVAL,
        default="15m",
        show_default=True,
        metavar="INTERVAL",
        group=_WHEN,
        help="How often a pass begins: 90s, 15m, 1h30m or plain seconds.",
    ),
    Option(["--once"], is_flag=True, group=_WHEN, help="Run one pass and exit."),
    Option(
        ["-n", "--dry-run"],
        is_flag=True,
        group=_WHEN,
        help="Print what one pass would do, and change nothing anywhere.",
    ),
    Option(
        ["--resurvey"],
        is_flag=True,
        group=_WHEN,
        help="Look at the site again first: after it, or this machine, was restored from a backup.",
    ),
    Option(
        ["--delete/--no-delete"],
        default=True,
        show_default=True,
        group=_SAFETY,
        help="Whether to remove from the site what is gone from SOURCE.",
    ),
    Option(
        ["--max-delete"],
        type=LIMIT,
        metavar="N|N%",
        group=_SAFETY,
        unset="it is 50%, from 21 held files on",
        help="Remove nothing if a pass would remove more files than this, or this share of what is held."
        "  [default: 50% from 21 held files on]",
    ),
    Option(
        ["--allow-empty-source"],
        is_flag=True,
        group=_SAFETY,
        help="Go on although SOURCE is empty and the site is not.",
    ),
    Option(
        ["--allow-unmounted"],
        is_flag=True,
        group=_SAFETY,
        help="Go on although a folder that was a mount point is none now.",
    ),
    Option(
        ["--multi"],
        type=MODE,
        default="A",
        show_default=True,
        metavar="MODE",
        group=_CONNECTION,
        help="A: asynchronous, as many connections as help; A<n>, T<n>, P<n>: n connections, as tasks, in"
        " threads, in processes (T, P: one per core); S: serial.",
    ),
    Option(
        ["--max-connections"],
        type=click.IntRange(1, 256),
        default=16,
        show_default=True,
        metavar="N",
        group=_CONNECTION,
        help="The most connections that A opens by itself.",
    ),
    Option(
        ["--bwlimit"],
        type=RATE,
        metavar="RATE",
        group=_CONNECTION,
        unset="there is no limit",
        help="Send no more than this, over all connections: 5M is 5,000,000 bytes per second.",
    ),
    Option(
        ["--timeout"],
        type=INTERVAL,
        default="60s",
        show_default=True,
        metavar="INTERVAL",
        group=_CONNECTION,
        help="How long a connection may make no progress.",
    ),
    Option(
        ["--retries"],
        type=click.IntRange(0, 100),
        default=5,
        show_default=True,
        metavar="N",
        group=_CONNECTION,
        help="How often to try again what failed for the moment.",
    ),
    PASSWORD_FILE,
    Option(["-q", "--quiet"], is_flag=True, group=_OUTPUT, help="Tell only of trouble."),
    Option(["-v", "--verbose"], is_flag=True, group=_OUTPUT, help="Tell more."),
    Option(
        ["--no-progress"],
        is_flag=True,
        group=_OUTPUT,
        help="Write plain lines on a terminal too, and do not show what is going on at the moment.",
    ),
    Option(
        ["--json"],
        is_flag=True,
        group=_OUTPUT,
        help="Print a JSON object per pass on standard output.",
    ),
    Option(
        ["--log-file"],
        type=PATH,
        metavar="FILE",
        group=_OUTPUT,
        help="Write a detailed log too; a new file at midnight, five old ones are kept.",
    ),
    Option(
        ["--log-format"],
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        group=_OUTPUT,
        help="How the log is written, on standard error and in the file.",
    ),
    CONFIG,
    STATE_DIR,
]
HEALTHCHECK: list[click.Parameter] = [SOURCE, DESTINATION, PASSWORD_FILE, CONFIG, STATE_DIR]
