"""What `ls` prints: what would be mirrored of the source. Connects to nothing."""

import errno
import os
from collections.abc import Iterator

import click

from async_mirror.model.settings import UsageError
from async_mirror.options.asked import AskedList
from async_mirror.options.mirrors import context_of, sources_of
from async_mirror.options.resolve import selection_of, source_of
from async_mirror.source.scan import walk
from async_mirror.ui.text import quoted


def lines_of(context: click.Context) -> Iterator[str]:
    """Yield the lines of the mirrors that the command is meant for; of several each with the name of its mirror.

    Raises UsageError and click.ClickException.
    """
    names, errors = sources_of(context), []
    for name in names:
        own = context_of(name, context)
        with own.scope(cleanup=False):
            asked = AskedList(**own.params)
        lead = f"{name}  " if len(names) > 1 else ""
        try:
            yield from (f"{lead}{line}" for line in lines(asked))
        except UsageError as error:  # the others are listed all the same
            errors.append(str(error))
    if errors:
        raise UsageError("; ".join(errors))


def lines(asked: AskedList) -> Iterator[str]:
    """Yield a line for each path that would be mirrored, in order; if `verbose`, for each other one, with the rule.

    Raises UsageError for what cannot be read, once all else is listed.
    """
    source, selection = source_of(asked), selection_of(asked)
    if not source.is_dir():
        raise UsageError(f"cannot read the source {asked.source}: {os.strerror(errno.ENOENT)}")
    found: list[tuple[str, str]] = []
    unread: list[str] = []
    for listing in walk(os.fsencode(os.path.realpath(source)), selection):
        unread += [f"cannot read {quoted(path)}: {reason}" for path, reason in listing.problems]
        found += [(entry.path, "/" * entry.is_folder) for entry in listing.entries]
        if asked.verbose:
            found += [(e.path, f"{'/' * e.is_folder}  (excluded: {selection.rule(e)})") for e in listing.left_out]
            found += [(path, f"  (skipped: {listing.kind_of_other(path)})") for path in listing.others]
    yield from (f"{quoted(path)}{more}" for path, more in sorted(found))
    if unread:
        raise UsageError("; ".join(unread))
