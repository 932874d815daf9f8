"""Which paths belong to the mirror: depth, extensions, patterns. Pure: looks at paths, never at the disk."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from os.path import splitext

from async_mirror.model.entry import Entry
from async_mirror.model.odd_names import folded
from async_mirror.model.paths import lineage

_BELOW = "ps_d"
"""The group with which pathspec marks where a rule's own name ends and what lies below it begins."""


@dataclass(frozen=True)
class Selection:
    """What is mirrored. `max_depth` 1 means the files directly in the source; extensions are given as `.tmp`.

    `patterns` have the meaning that gitignore gives them; a folder that is left out takes all below it along. What has
    the path of one that is set `apart` belongs to others; so may, to some sites, what differs from it in case or
    Unicode form alone.
    """

    max_depth: int | None = None
    excluded_extensions: frozenset[str] = field(default_factory=frozenset)
    patterns: tuple[str, ...] = ()
    apart: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Fail early on a pattern that means nothing: ValueError."""
        for pattern in self.patterns:
            if pattern.removeprefix("!").startswith("./"):
                meant = pattern.replace("./", "/", 1)
                raise ValueError(f"pattern {pattern!r} matches nothing (.gitignore syntax): write {meant!r}")
            try:
                _compiled([pattern])
            except (ValueError, re.error):
                text = f"invalid pattern {pattern!r}: write a backslash before a literal [ or !"
                raise ValueError(text) from None

    @property
    def rules(self) -> str:
        """All that decides what is mirrored, as one text."""
        apart = f" {sorted(self.apart)}" if self.apart else ""
        return f"{self.max_depth} {sorted(self.excluded_extensions)} {self.patterns}{apart}"

    @cached_property
    def _rules(self) -> list[tuple[re.Pattern[str], bool]]:
        """The patterns as expressions, the last first, each with whether it leaves out (or takes back in)."""
        return _compiled(self.patterns)[::-1] if self.patterns else []

    def rule(self, entry: Entry) -> str:
        """Return what, mostly an option, excludes an entry of a folder that is itself included, "" if none does."""
        path, is_folder = entry.path, entry.is_folder
        if self.max_depth is not None and path.count("/") + 1 + is_folder > self.max_depth:
            return f"--max-depth {self.max_depth}"
        if path in self.apart:
            return "it belongs to another mirror"
        if not is_folder and splitext(path)[1] in self.excluded_extensions:
            return f"--exclude-ext {splitext(path)[1]}"
        for pattern in reversed(self.patterns):
            for rule, leaves_out in _compiled([pattern]):
                if _names(rule, path, is_folder):
                    return f"--exclude {pattern}" if leaves_out else ""
        return f"the site may take it for {other}" if (other := self._like(path)) else ""

    @cached_property
    def _takes_all(self) -> bool:
        return self.max_depth is None and not (self.excluded_extensions or self.patterns or self.apart)

    def includes(self, entry: Entry) -> bool:
        """Tell whether an entry of a folder that is itself included belongs to the mirror."""
        return self._takes_all or self._includes(entry.path, entry.is_folder)

    def mistaken_for(self, entry: Entry) -> str:
        """Return what is set apart that a site may take an entry for, "" if nothing else leaves that out."""
        other = self._like(entry.path)
        return other if other and self._is_chosen(entry.path, entry.is_folder) else ""

    def includes_with_parents(self, entry: Entry) -> bool:
        """Tell whether an entry and all folders above it belong to the mirror."""
        if self._takes_all:
            return True
        return all(self._includes(folder, True) for folder in lineage(entry.path)) and self.includes(entry)

    def visible(self, entries: Iterable[Entry]) -> list[Entry]:
        """Return the entries of an included folder that belong to the mirror."""
        return list(entries) if self._takes_all else [entry for entry in entries if self.includes(entry)]

    def _includes(self, path: str, is_folder: bool) -> bool:
        return self._is_chosen(path, is_folder) and not self._like(path)

    @cached_property
    def _alike(self) -> dict[str, str]:
        return {folded(path): path for path in self.apart}

    def _like(self, path: str) -> str:
        return self._alike.get(folded(path), "") if self.apart and path not in self.apart else ""

    def _is_chosen(self, path: str, is_folder: bool) -> bool:
        if self.max_depth is not None and path.count("/") + 1 + is_folder > self.max_depth:
            return False
        if path in self.apart:
            return False
        if not is_folder and self.excluded_extensions and splitext(path)[1] in self.excluded_extensions:
            return False
        return not self._leaves_out(path, is_folder)

    def _leaves_out(self, path: str, is_folder: bool) -> bool:
        """Apply the last rule that names the path itself; what is above it was looked at on the way down, as git does.

        pathspec's own matching lets a rule that names a folder decide about everything below it, even against a later
        rule that takes the folder back in.
        """
        return next((leaves_out for rule, leaves_out in self._rules if _names(rule, path, is_folder)), False)


def _compiled(patterns: Iterable[str]) -> list[tuple[re.Pattern[str], bool]]:
    from pathspec import GitIgnoreSpec, RegexPattern  # noqa: PLC0415 - it takes long, and most have no patterns

    return [
        (pattern.regex, pattern.include)
        for pattern in GitIgnoreSpec.from_lines(patterns).patterns
        if isinstance(pattern, RegexPattern) and pattern.include is not None and pattern.regex is not None
    ]


def _names(rule: re.Pattern[str], path: str, is_folder: bool) -> bool:
    if any(not found.groupdict().get(_BELOW) for found in rule.finditer(path)):
        return True
    ends = [found.end(_BELOW) for found in rule.finditer(path + "/") if found.groupdict().get(_BELOW)]
    return is_folder and len(path) + 1 in ends
