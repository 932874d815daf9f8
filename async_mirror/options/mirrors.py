"""Which mirrors a command is meant for: those of the configuration file, or the one that is written out."""

import os
import shlex
from pathlib import Path

import click

from async_mirror.model.settings import UsageError
from async_mirror.model.site import Site
from async_mirror.options import config_file
from async_mirror.options.click_types import IN_ENVIRONMENT, rank, words, written
from async_mirror.options.declared import CONFIG, DESTINATION, SOURCE, STATE_DIR
from async_mirror.options.destination import is_original_form


def names_of(context: click.Context) -> list[str]:
    """Return the names of the mirrors that a command is meant for, "" for one that is in no table of the file.

    In a file with tables the words are names, all mirrors being meant without any; unless there are two and the second
    is a site. Raises UsageError for a name that is not there.
    """
    given = words(context, SOURCE, DESTINATION)
    file = context.obj if isinstance(context.obj, config_file.File) else None
    if file is None or not file.mirrors or (len(given) == 2 and _is_site(given[1])):
        if len(given) > 2:
            raise click.UsageError(f"Got unexpected extra arguments ({' '.join(given[2:])})", context)
        return [""]
    if unknown := [word for word in given if word not in file.mirrors]:
        word = f"mirror {unknown[0]}" if config_file.MIRROR.fullmatch(unknown[0]) else "such mirror"  # no password
        raise UsageError(
            f"there is no {word} in {file.path}, which has {', '.join(file.mirrors)}: give names, or a folder and a"
            " site such as ftpes://user@host/path"
        )
    return list(dict.fromkeys(given) or file.mirrors)


def sources_of(context: click.Context) -> list[str]:
    """Return the same for a command that takes a folder alone: a word that is no mirror's name is a folder."""
    given = words(context, SOURCE)
    if len(given) == 1 and not (isinstance(context.obj, config_file.File) and given[0] in context.obj.mirrors):
        return [""]
    return names_of(context)


def called(name: str, context: click.Context, source: Path, site: Site) -> str:
    """Return the words, quoted for a shell, by which any command finds the mirror again; never with a password.

    What the configuration file says is left out, if no other file than the usual one is in use.
    """
    given = []
    if _is_by_hand(context, CONFIG):
        given += ["--config", os.path.abspath(config_file.file(context) or "")]
    if _is_by_hand(context, STATE_DIR):
        given += ["--state-dir", os.path.abspath(context.params["state_dir"])]
    if name:
        given.append(name)
    elif _is_by_hand(context, SOURCE) or _is_by_hand(context, DESTINATION):
        given += [str(source), site.shown]
    return shlex.join(given)


def _is_by_hand(context: click.Context, param: click.Parameter) -> bool:
    return rank(context, param) <= IN_ENVIRONMENT


def _is_site(word: str) -> bool:
    return "://" in word or is_original_form(word)


def context_of(name: str, context: click.Context) -> click.Context:
    """Return a context in which the settings of one mirror are in force: its table's over those of all mirrors.

    Raises click.ClickException for a value that cannot be meant.
    """
    return _context(name, context) if name else context


def context_in_common(context: click.Context) -> click.Context:
    """Return a context with what all mirrors of the file have in common, or the one mirror without a table has."""
    return context if names_of(context) == [""] else _context("", context)


def _context(name: str, context: click.Context) -> click.Context:
    file: config_file.File = context.obj
    return context.command.make_context(context.command_path, written(context), obj=file._replace(mirror=name))
