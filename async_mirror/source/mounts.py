"""Which file systems the source lies on, and whether their inodes mean anything. Knows nothing of site or state."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from async_mirror.model import paths

_MADE_UP = re.compile(rb"nfs|cifs|smb|fuse|9p|virtiofs|v?fat|msdos|overlay")
"""The beginnings of the kinds that may make up inodes when they are mounted, or forget them at any time."""


class Mount(NamedTuple):
    """A file system at `folder` of the source and below; "" if it begins there or above. `identity`: which mounting."""

    folder: str
    kind: bytes
    identity: str

    @property
    def keeps_inodes(self) -> bool:
        """True for a file system on which a file has one inode for as long as it is there."""
        return _MADE_UP.match(self.kind) is None


def mounts(root: bytes) -> Sequence[Mount]:
    """Return the file systems of a source, those further down first; none where the system does not tell."""
    try:
        real = os.path.realpath(root)
        lines = [line.split(b" ") for line in Path("/proc/self/mountinfo").read_bytes().splitlines()]
        points = {_unescaped(line[4]): line for line in lines}
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        above = max((point for point in points if _is_below(real, point)), key=len, default=None)
        below = sorted((point for point in points if _is_below(point, real) and point != real), key=len, reverse=True)
        found = [(_inside(point, real), points[point]) for point in below]
        found += [("", points[above])] if above else []
        return [_mount(folder, line, boot) for folder, line in found]
    except (OSError, IndexError, ValueError):
        return []


def _mount(folder: str, line: Sequence[bytes], boot: str) -> Mount:
    number, device = line[0].decode("ascii"), line[2].decode("ascii")
    return Mount(folder, line[line.index(b"-") + 1], f"{boot} {number} {device}")


def _unescaped(point: bytes) -> bytes:
    return re.sub(rb"\\([0-7]{3})", lambda code: bytes([int(code[1], 8)]), point)


def _inside(point: bytes, root: bytes) -> str:
    return paths.decode(point[len(root.rstrip(b"/")) + 1 :])


def _is_below(path: bytes, folder: bytes) -> bool:
    return path == folder or path.startswith(folder.rstrip(b"/") + b"/")
