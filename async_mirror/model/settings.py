"""What the user asked for, immutable and checked. Knows neither how it is written nor what is done with it."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from async_mirror.model.site import Site

SLOWEST_BYTES_PER_S = 1000


class UsageError(ValueError):
    """What the user wrote cannot be meant; the text says what is wrong and what to write."""


class Existing(StrEnum):
    """What is done about a file of others that has the name of one of the source."""

    OVERWRITE = "overwrite"
    SKIP = "skip"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class DeleteLimit:
    """How many held files one pass may remove: a number, or a percentage of those held once there are so many."""

    number: int | None = None
    percent: float = 50.0
    counts_from: int = 21

    def allows(self, removals: int, held: int) -> bool:
        """Tell whether `removals` out of `held` files are within the limit."""
        if self.number is not None:
            return removals <= self.number
        if held < self.counts_from:
            return True
        return removals * 100 <= held * self.percent

    def __str__(self) -> str:
        """Return the limit as the user would write it."""
        return str(self.number) if self.number is not None else f"{self.percent:g}%"


@dataclass(frozen=True)
class Settings:
    """All that a run needs to know except how many lanes it has and what is secret. Its defaults are the options'."""

    source: Path
    """The absolute path as it was given, links kept: each pass resolves it anew."""
    site: Site
    max_depth: int | None = None
    excluded_extensions: frozenset[str] = field(default_factory=frozenset)
    patterns: tuple[str, ...] = ()
    existing: Existing = Existing.OVERWRITE
    delete: bool = True
    delete_limit: DeleteLimit = field(default_factory=DeleteLimit)
    allow_empty_source: bool = False
    allow_unmounted: bool = False
    perms: bool = True
    timeout_seconds: float = 60.0
    every_seconds: float = 900.0
    bytes_per_s: float | None = None
    shape: int | None = None
    """That of temporary names, by its number in `temporary_names.SHAPES`; None if it is to be found out."""
    private: tuple[tuple[str, Path], ...] = ()
    """Files that must not be published, each with what is in it."""
