"""What `ls` prints: what would be mirrored of the source. Connects to nothing."""

import errno
import os
from collections.abc import Iterator

from async_mirror.model.settings import UsageError
from async_mirror.options.asked import AskedList
from async_mirror.options.resolve import selection_of, source_of
from async_mirror.source.scan import walk
from async_mirror.ui.text import quoted


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
