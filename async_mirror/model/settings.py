"""What the user asked for, immutable and checked. Knows neither how it is written nor what is done with it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from async_mirror.model.site import Site

SLOWEST_BYTES_PER_S = 1000


class UsageError(ValueError):
    """What the user wrote cannot be meant; the text says what is wrong and what to write."""


class UsageErrors(UsageError):
    """What the user wrote about several mirrors cannot be meant: a text for each, and the exit code of the worst."""

    def __init__(self, texts: Iterable[str], code: int = 2) -> None:
        """Have these texts."""
        self.texts = tuple(texts)
        self.code = code
        super().__init__("; ".join(self.texts))


class Existing(StrEnum):
    """What is done about a file of others that has the name of one of the source."""

    OVERWRITE = "overwrite"
    SKIP = "skip"
    FAIL = "fail"


class ExistingEqual(StrEnum):
    """What of an existing file has to be as in the source for it to be adopted."""

    TIME = "time"
    """Size and time, as far as the server keeps times."""
    SIZE = "size"
    CONTENT = "content"


@dataclass(frozen=True, slots=True)
class FileLimit:
    """How many of the held files one pass may touch: a number, or a percentage of them once there are so many."""

    number: int | None = None
    percent: float = 50.0
    counts_from: int = 21

    def allows(self, files: int, held: int) -> bool:
        """Tell whether so many files out of `held` ones are within the limit."""
        return files <= self.share_of(held)

    def share_of(self, held: int) -> int:
        """Return how many files out of `held` ones are within the limit."""
        if self.number is not None:
            return self.number
        return held if held < self.counts_from else int(held * self.percent / 100)

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
    existing_equal: ExistingEqual = ExistingEqual.TIME
    ctime: bool = True
    verify_limit: FileLimit = field(default_factory=lambda: FileLimit(percent=10.0))
    delete: bool = True
    delete_limit: FileLimit = field(default_factory=FileLimit)
    allow_empty_source: bool = False
    allow_unmounted: bool = False
    perms: bool = True
    timeout_seconds: float = 60.0
    every_seconds: float = 900.0
    watch: bool = False
    settle_seconds: float = 0.5
    shape: int | None = None
    """That of temporary names, by its number in `temporary_names.SHAPES`; None if it is to be found out."""
    in_place: bool = False
    """Whether files are written under their final names, which laws 1 and 2 forbid."""
    private: tuple[tuple[str, Path], ...] = ()
    """Files that must not be published, each with what is in it."""
