"""Reads settings from a TOML file into click's default map. Knows the options' types, not their meaning."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from async_mirror.model.settings import UsageError

NAME = "async-mirror.toml"

_FILE = f"{__name__}.file"


class ConfigError(UsageError):
    """The file cannot be used; the text names file, key, and what is allowed."""


def use(ctx: click.Context, chosen: Path | None, params: Iterable[click.Parameter]) -> None:
    """Make the file's settings the defaults of a command. A relative path in it counts from the file's folder.

    The file is the `chosen` one, else the one in the current folder, else the one in the user's configuration folder,
    else none. A link is judged by what it leads to; one that leads nowhere is no missing file. Raises ConfigError.
    """
    path = chosen or _found()
    if path is None:
        return
    known = {key(param): param for param in params if param.expose_value}
    settings: dict[str, Any] = {}
    for written, value in _read(path).items():
        name = written.replace("_", "-")
        param = known.get(name)
        if param is None:
            raise ConfigError(f"{path}: {_unknown(written, known)}")
        if param.name in settings:
            raise ConfigError(f"{path}: duplicate key {name} (with - and _): keep one")
        settings[str(param.name)] = _checked(path, name, param, value)
    ctx.default_map = settings
    ctx.meta[_FILE] = path


def file(ctx: click.Context) -> Path | None:
    """Return the file that is in use, if there is one."""
    found: Path | None = ctx.meta.get(_FILE)
    return found


def key(param: click.Parameter) -> str:
    """Return what a parameter is called in the file."""
    return str(param.name).replace("_", "-")


def _found() -> Path | None:
    here = Path(NAME)
    if os.path.lexists(here):
        if os.path.exists(here) and here.stat().st_uid not in {0, os.geteuid()}:
            raise ConfigError(f"{here.absolute()} belongs to another user: name it with --config if you trust it")
        return here
    from platformdirs import user_config_path  # noqa: PLC0415 - only needed here

    users = user_config_path("async-mirror") / NAME
    return users if os.path.lexists(users) else None  # in a home that may not be entered there is none for us


def _read(path: Path) -> dict[str, Any]:
    import tomllib  # noqa: PLC0415 - only needed when there is a file

    try:
        with path.open("rb") as stream:
            return tomllib.load(stream)
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # broken, not UTF-8, or made to be hard to read
        raise ConfigError(f"the configuration {path} is not valid TOML: {error}") from None


def _unknown(written: str, known: Iterable[str]) -> str:
    names = sorted(known)
    if written.replace("_", "-") == "password":
        return "no password in this file: use password-file"
    import difflib  # noqa: PLC0415 - only needed here

    close = difflib.get_close_matches(written.replace("_", "-").removeprefix("no-"), names, 1)
    meant = f" (did you mean {close[0]}?)" if close else ""
    return f"unknown key {written}{meant}; allowed are {', '.join(names)}"


def _checked(path: Path, name: str, param: click.Parameter, value: Any) -> Any:
    allowed, example, fits = _wanted(param)
    if not (isinstance(value, list) and all(map(fits, value)) if param.multiple else fits(value)):
        if param.multiple:
            allowed, example = f"a list, each {allowed}", f"[{example}]"
        raise ConfigError(f"{path}: {name} must be {allowed}, as in {name} = {example}")
    if isinstance(param.type, click.Path):
        return [_beside(path, each) for each in value] if param.multiple else _beside(path, value)
    return value


def _beside(path: Path, value: str) -> str:
    return os.path.normpath(os.path.join(os.path.abspath(path.parent), os.path.expanduser(value)))


def _wanted(param: click.Parameter) -> tuple[str, str, Any]:
    """Return what a value must be in words, an example, and a test of it."""
    if isinstance(param.type, click.types.BoolParamType):
        return "true or false", "true", lambda value: isinstance(value, bool)
    if isinstance(param.type, click.types.IntParamType):
        return "a whole number", "3", lambda value: isinstance(value, int) and not isinstance(value, bool)
    if isinstance(param.type, click.Choice):
        choices = [str(choice) for choice in param.type.choices]
        return f"one of {', '.join(choices)}", f'"{choices[0]}"', lambda value: value in choices
    if getattr(param.type, "numbers", False):
        return "a text or a number", '"…"', lambda value: type(value) in {str, int, float}
    if isinstance(param.type, click.Path):
        return "a path", '"…"', lambda value: isinstance(value, str) and value != ""
    return "a text", '"…"', lambda value: isinstance(value, str)
