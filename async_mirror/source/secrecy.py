"""Which files of the program's own would be published with the source. Opens none of them."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from async_mirror.model.entry import Entry, Kind
from async_mirror.model.selection import Selection


def published(private: Iterable[tuple[str, Path]], source: Path, selection: Selection) -> Iterator[str]:
    """Yield what to say of each private file that lies in a resolved source, and is not left out.

    `private` has files with what is in them; each is resolved now, and need not exist.
    """
    for what, file in private:
        resolved = Path(os.path.realpath(file))
        if resolved.is_relative_to(source) and selection.includes_with_parents(
            Entry(resolved.relative_to(source).as_posix(), Kind.FILE)
        ):
            yield f"the file {file} with the {what} lies in the source and would be published: move it, or --exclude it"


def holds_state(source: Path, state_folder: Path) -> str:
    """Return what to say of a state folder that lies in a resolved source, "" if it does not."""
    inside = Path(os.path.realpath(state_folder)).is_relative_to(source)
    return f"the state folder {state_folder} lies in the source: choose another with --state-dir" * inside
