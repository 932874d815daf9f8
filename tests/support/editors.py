"""The ways in which editors save a file: what they do to its folder, step by step."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

Save = Callable[[Path, bytes], None]


def in_place(file: Path, content: bytes) -> None:
    """VS Code, nano, Emacs from the second time on: opened with O_TRUNC, written in pieces, synced."""
    with file.open("wb", buffering=0) as written:
        for begin in range(0, len(content), 8):
            written.write(content[begin : begin + 8])
        os.fsync(written.fileno())


def vim(file: Path, content: bytes) -> None:
    """Swap file all along; a probe; the old file renamed to the backup, a new one written, the backup deleted."""
    swap, probe, backup = file.with_name(f".{file.name}.swp"), file.with_name("4913"), file.with_name(f"{file.name}~")
    swap.write_bytes(b"b0VIM")
    probe.write_bytes(b"")
    probe.chmod(0o644)
    probe.unlink()
    file.rename(backup)
    in_place(file, content)
    file.chmod(0o644)
    backup.unlink()
    swap.unlink()


def emacs(file: Path, content: bytes) -> None:
    """A link as lock, an auto-saved file; the old file renamed to a backup that stays, a new one written."""
    lock, saved = file.with_name(f".#{file.name}"), file.with_name(f"#{file.name}#")
    lock.symlink_to("me@here.1234:1700000000")
    saved.write_bytes(content[:5])
    file.rename(file.with_name(f"{file.name}~"))
    in_place(file, content)
    file.chmod(0o644)
    saved.unlink()
    lock.unlink()


def jetbrains(file: Path, content: bytes) -> None:
    """ "Safe write": written beside, the old file out of the way, the new one in its place, the old one deleted."""
    new, old = file.with_name(f"{file.name}~jb_tmp~"), file.with_name(f"{file.name}~jb_old~")
    in_place(new, content)
    file.rename(old)
    new.rename(file)
    old.unlink()


def libreoffice(file: Path, content: bytes) -> None:
    """A lock file, a temporary one beside, renamed over the old one."""
    lock, new = file.with_name(f".~lock.{file.name}#"), file.with_name("lu4711abc.tmp")
    lock.write_bytes(b",me,here,01.12.2026 10:00;")
    in_place(new, content)
    new.replace(file)
    lock.unlink()


def delete_and_create(file: Path, content: bytes) -> None:
    """Some uploaders and build tools: deleted, then made anew."""
    file.unlink()
    in_place(file, content)


def beside_and_rename(file: Path, content: bytes) -> None:
    """Written beside and renamed over it, as whoever wants it atomic does."""
    new = file.with_name(f"{file.name}.new")
    in_place(new, content)
    new.replace(file)


WAYS: dict[str, Save] = {
    "vim": vim,
    "Emacs": emacs,
    "VS Code": in_place,
    "JetBrains": jetbrains,
    "LibreOffice": libreoffice,
    "delete and create": delete_and_create,
    "beside and rename": beside_and_rename,
}
LEFT_BEHIND = {"Emacs": "{}~"}
"""What stays beside the file."""
