"""What was asked for, wherever it was written: a field for each parameter of a command, by its name."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from async_mirror.crew.mode import Mode
    from async_mirror.model.settings import FileLimit


_PRINTED = {"quiet", "verbose", "no_progress", "json", "log_file", "log_format"}


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedMirror:
    """Which mirror is meant: what every command needs."""

    source: Path | None
    destination: str | None
    password_file: Path | None
    password_command: str | None
    tls: str | None
    state_dir: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedHealth(AskedMirror):
    """What `healthcheck` may be asked for."""

    strict: bool
    strict_after: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedList:
    """What `ls` may be asked for."""

    source: Path | None
    exclude: tuple[str, ...]
    exclude_from: tuple[Path, ...]
    exclude_ext: tuple[str, ...]
    max_depth: int | None
    verbose: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked(AskedMirror):
    """All that `sync` may be asked for; seconds, bytes per second and numbers of connections are read already."""

    exclude: tuple[str, ...]
    exclude_from: tuple[Path, ...]
    exclude_ext: tuple[str, ...]
    max_depth: int | None
    perms: bool
    every: float
    watch: bool
    settle: float
    once: bool
    dry_run: bool
    rescan: bool
    existing: str
    existing_equal: str
    ctime: bool
    max_verify_uploads: "FileLimit | None"
    delete: bool
    max_delete: "FileLimit | None"
    allow_empty_source: bool
    allow_unmounted: bool
    multi: "Mode"
    max_connections: int
    bwlimit: float | None
    timeout: float
    retries: int
    retry_for: float | None
    temp_name: str | None
    in_place: bool
    pasv_address: Literal["control", "server"]
    ca_cert: Path | None
    tls_pin: str | None
    client_cert: Path | None
    client_key: Path | None
    insecure: bool
    quiet: bool
    verbose: bool
    stats: float | None
    exit_code: bool
    no_progress: bool
    json: bool
    log_file: Path | None
    log_format: Literal["text", "json"]

    @property
    def of_mirror(self) -> dict[str, object]:
        """What makes a difference to the mirror; the rest only to what is printed."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name not in _PRINTED}
