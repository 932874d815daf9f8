"""Reads settings from a TOML file into click's default map. Knows the options' types, not their meaning."""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click

from async_mirror.model.settings import UsageError

NAME = "async-mirror.toml"

_TABLES = "mirror"
MIRROR = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
"""What a mirror may be called: nothing that could be an option, a path or a site."""


class ConfigError(UsageError):
    """The file cannot be used; the text names file, key, and what is allowed."""


class File(NamedTuple):
    """A configuration file: what all mirrors have in common, what each has of its own, and which one is meant.

    "" means what they have in common; None one that is not among them, or it is not known yet.
    """

    path: Path
    common: Mapping[str, Any]
    mirrors: Mapping[str, Mapping[str, Any]]
    mirror: str | None = None

    def has_own(self, param: click.Parameter) -> bool:
        """Tell whether a parameter is in the table of the mirror that is meant."""
        return param.name in self.mirrors.get(self.mirror or "", ())

    def name_of(self, param: click.Parameter) -> str:
        """Return what a parameter is called in the file, with its table if it is in that of the mirror."""
        return f"{_TABLES}.{self.mirror}.{key(param)}" if self.has_own(param) else key(param)


def use(ctx: click.Context, chosen: Path | None, params: Iterable[click.Parameter], common: str) -> None:
    """Make the file's settings the defaults of a command. A relative path in it counts from the file's folder.

    The file is the `chosen` one, else the one in the current folder, else the one in the user's configuration folder,
    else none. A link is judged by what it leads to; one that leads nowhere is no missing file. Options of the group
    `common` may not be in the table of a mirror. A context that was made with a File for its object uses that. Raises
    ConfigError.
    """
    if not isinstance(ctx.obj, File):
        path = chosen or _found()
        if path is None:
            return
        ctx.obj = _file(path, {key(param): param for param in params if param.expose_value}, common)
    ctx.default_map = {**ctx.obj.common, **ctx.obj.mirrors.get(ctx.obj.mirror or "", {})}


def _file(path: Path, known: Mapping[str, click.Parameter], common: str) -> File:
    written = _read(path)
    tables = written.pop(_TABLES, {})
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise ConfigError(f"{path}: mirror must be a table for each mirror, as in [mirror.shop]")
    if wrong := next((name for name in tables if not MIRROR.fullmatch(name)), None):
        raise ConfigError(f"{path}: a mirror cannot be called {wrong!r}: use letters, digits, _, - and .")
    own = {name: param for name, param in known.items() if getattr(param, "group", "") != common}
    mirrors = {}
    for name, table in tables.items():
        if wrong := next((each for each in table if each.replace("_", "-") in known.keys() - own.keys()), None):
            raise ConfigError(f"{path}: {wrong} is the same for all mirrors: write it above [{_TABLES}.{name}]")
        mirrors[name] = _settings(path, table, own, f"{_TABLES}.{name}.")
    return File(path, _settings(path, written, known), mirrors)


def _settings(path: Path, table: dict[str, Any], known: Mapping[str, click.Parameter], where: str = "") -> Any:
    """Return the values of a table by the names of the parameters; `where` it is goes before the keys in errors."""
    settings: dict[str, Any] = {}
    for written, value in table.items():
        name = written.replace("_", "-")
        param = known.get(name)
        if param is None:
            raise ConfigError(f"{path}: {_unknown(written, known)}{f' (in [{where[:-1]}])' * bool(where)}")
        if param.name in settings:
            raise ConfigError(f"{path}: duplicate key {where}{name} (with - and _): keep one")
        settings[str(param.name)] = _checked(path, where + name, param, value)
    return settings


def file(ctx: click.Context) -> Path | None:
    """Return the file that is in use, if there is one."""
    return ctx.obj.path if isinstance(ctx.obj, File) else None


def key(param: click.Parameter) -> str:
    """Return what a parameter is called in the file."""
    return str(param.name).replace("_", "-")


def in_toml(name: str) -> str:
    """Return a mirror's name as it stands in the heading of its table."""
    return f'"{name}"' if "." in name else name


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
