"""Which paths belong to the mirror: depth, extensions, patterns. Pure: looks at paths, never at the disk."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from os.path import splitext

from pathspec import GitIgnoreSpec

from async_mirror.entry import Entry
from async_mirror.names import lineage


@dataclass(frozen=True)
class Selection:
    """What is mirrored. `max_depth` 1 means the files directly in the source; extensions are given as `.tmp`.

    `patterns` have the meaning that gitignore gives them; a folder that is left out takes all below it along.
    """

    max_depth: int | None = None
    excluded_extensions: frozenset[str] = field(default_factory=frozenset)
    patterns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Fail early on a pattern that means nothing: ValueError."""
        _ = self._spec

    @cached_property
    def _spec(self) -> GitIgnoreSpec | None:
        return GitIgnoreSpec.from_lines(self.patterns) if self.patterns else None

    @cached_property
    def _takes_all(self) -> bool:
        return self.max_depth is None and not self.excluded_extensions and not self.patterns

    def includes(self, entry: Entry) -> bool:
        """Tell whether an entry of a folder that is itself included belongs to the mirror."""
        return self._takes_all or self._includes(entry.path, entry.is_folder)

    def includes_with_parents(self, entry: Entry) -> bool:
        """Tell whether an entry and all folders above it belong to the mirror."""
        if self._takes_all:
            return True
        return all(self._includes(folder, True) for folder in lineage(entry.path)) and self.includes(entry)

    def visible(self, entries: Iterable[Entry]) -> list[Entry]:
        """Return the entries of an included folder that belong to the mirror."""
        return [entry for entry in entries if self.includes(entry)]

    def _includes(self, path: str, is_folder: bool) -> bool:
        if self.max_depth is not None and path.count("/") + 1 + is_folder > self.max_depth:
            return False
        if not is_folder and self.excluded_extensions and splitext(path)[1] in self.excluded_extensions:
            return False
        return self._spec is None or not self._spec.match_file(path + "/" * is_folder)
