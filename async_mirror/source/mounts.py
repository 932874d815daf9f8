"""Which file systems the source lies on, where they begin, and whether their inodes mean anything.

Knows nothing of site or state.
"""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from async_mirror.model import paths

_MADE_UP = re.compile(rb"nfs|cifs|smb|fuse|9p|virtiofs|v?fat|msdos|overlay")
"""The beginnings of the kinds that may make up inodes when they are mounted, or forget them at any time."""
_SILENT = re.compile(rb"nfs|cifs|smb|fuse|9p|vboxsf|virtiofs|prl_fs|vmhgfs|drvfs|ceph|afs|lustre|gfs2|ocfs2")
"""The beginnings of the kinds on which other machines may change something, of which the kernel here tells nothing."""


class Mount(NamedTuple):
    """A file system at `folder` of the source and below; "" if it begins there or above. `identity`: which mounting."""

    folder: str
    kind: bytes
    identity: str

    @property
    def keeps_inodes(self) -> bool:
        """True for a file system on which a file has one inode for as long as it is there."""
        return _MADE_UP.match(self.kind) is None

    @property
    def tells_of_changes(self) -> bool:
        """True for a file system of which the kernel tells each change."""
        return _SILENT.match(self.kind) is None


def mounts(root: bytes) -> Sequence[Mount]:
    """Return the file systems of a source, those further down first; none where the system does not tell."""
    try:
        real, points = os.path.realpath(root), _points()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        above = max((point for point in points if _is_below(real, point)), key=len, default=None)
        below = sorted((point for point in points if _is_below(point, real) and point != real), key=len, reverse=True)
        found = [(_inside(point, real), points[point]) for point in below]
        found += [("", points[above])] if above else []
        return [_mount(folder, line, boot) for folder, line in found]
    except (OSError, IndexError, ValueError):
        return []


def mount_points(root: bytes) -> frozenset[str]:
    """Return the folders of a source at which something is mounted, "" for the source itself.

    What is bound onto itself, as systemd does to protect it, is none. Empty where the system does not tell.
    """
    try:
        real, points = os.path.realpath(root), _points()
        return frozenset(_inside(each, real) for each in points if _is_below(each, real) and _hides(each, points))
    except (OSError, IndexError, ValueError):
        return frozenset()


def _points() -> dict[bytes, Sequence[bytes]]:
    """Return the lines of mountinfo by their mount points (proc(5)); of several at one the last is seen."""
    lines = [line.split(b" ") for line in Path("/proc/self/mountinfo").read_bytes().splitlines()]
    return {_unescaped(line[4]): line for line in lines}


def _hides(point: bytes, points: Mapping[bytes, Sequence[bytes]]) -> bool:
    """Tell whether a folder is another one while something is mounted there than it would be without."""
    above = max((each for each in points if each != point and _is_below(point, each)), key=len, default=None)
    if above is None:
        return True
    (device, start), (below_device, below) = ((line[2], _unescaped(line[3])) for line in (points[point], points[above]))
    return (device, start) != (below_device, os.path.join(below, os.path.relpath(point, above)))


def _mount(folder: str, line: Sequence[bytes], boot: str) -> Mount:
    number, device = line[0].decode("ascii"), line[2].decode("ascii")
    return Mount(folder, line[line.index(b"-") + 1], f"{boot} {number} {device}")


def _unescaped(point: bytes) -> bytes:
    return re.sub(rb"\\([0-7]{3})", lambda code: bytes([int(code[1], 8)]), point)


def _inside(point: bytes, root: bytes) -> str:
    return paths.decode(point[len(root.rstrip(b"/")) + 1 :])


def _is_below(path: bytes, folder: bytes) -> bool:
    return path == folder or path.startswith(folder.rstrip(b"/") + b"/")
