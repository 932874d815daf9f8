"""Parameters that tell where their value is from: the command line, the environment or a file. Knows no option."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from async_mirror.options import config_file

ENVIRONMENT = "ASYNC_MIRROR"

_SOURCES = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT, ParameterSource.DEFAULT_MAP)
"""Where a value may be from, the one that goes before the others first."""
RANKS = range(5)
IN_ENVIRONMENT, IN_TABLE = 1, 2

_RAW = f"{__name__}.raw"
_WRITTEN = f"{__name__}.written"


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
            self.fail("empty path", param, ctx)
        if "\0" in os.fspath(value):
            self.fail("a path cannot contain NUL", param, ctx)
        return super().convert(os.path.expanduser(value), param, ctx)


# Parameters.


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
                return f"{ctx.obj.name_of(self)} in {ctx.obj.path}"
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
    """An argument that may come from elsewhere as well. Of a mirror that is in the file it does not come from words."""

    def consume_value(self, ctx: click.Context, opts: Any) -> tuple[Any, ParameterSource]:
        """Find the value; a word on the command line may name a mirror."""
        named = isinstance(ctx.obj, config_file.File) and ctx.obj.mirror is not None
        return super().consume_value(ctx, {} if named else opts)


class Command(click.Command):
    """A command for a SOURCE and a DESTINATION, or for mirrors of the file; its help shows options in groups."""

    allow_extra_args = True

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep what was written, for the context of each mirror."""
        ctx.meta[_WRITTEN] = tuple(args)
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Return what may be written."""
        return ["[OPTIONS]", "[SOURCE DESTINATION | NAME...]"]

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
            return str(config_file.file(ctx))
        case ParameterSource.COMMANDLINE:
            return "command line"
        case _:
            return "default"


def rank(ctx: click.Context, param: click.Parameter) -> int:
    """Return how far down a parameter's value is from: command line, environment, the mirror's table, the file, else.

    The first of these is 0, and goes before all others.
    """
    source = ctx.get_parameter_source(str(param.name))
    if source not in _SOURCES:
        return len(RANKS) - 1
    return _SOURCES.index(source) + (source is ParameterSource.DEFAULT_MAP and not ctx.obj.has_own(param))


def is_own(ctx: click.Context, param: click.Parameter) -> bool:
    """Tell whether a value in force is of the mirror that a context is for, and of no other one."""
    named = isinstance(ctx.obj, config_file.File) and ctx.obj.mirror
    return not named or rank(ctx, param) == IN_TABLE


def variable(param: click.Parameter) -> str:
    """Return the name of the environment variable of a parameter."""
    return f"{ENVIRONMENT}_{str(param.name).upper()}"


def written(ctx: click.Context) -> list[str]:
    """Return the command line that a context was made of, without the command."""
    return list(ctx.meta[_WRITTEN])


def words(ctx: click.Context, *arguments: click.Parameter) -> list[str]:
    """Return the words on the command line that are neither options nor their values."""
    given = [each for each in arguments if origin(ctx, each) == "command line"]
    return [*(str(ctx.meta[_RAW][each.name]) for each in given), *ctx.args]


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
