"""What is at one path of the source. Follows no links below the root, writes nothing."""

import errno
import os
import stat

from async_mirror.model import paths
from async_mirror.model.entry import FILE, FOLDER, Entry
from async_mirror.source.mounts import mount_points
from async_mirror.source.opened_folder import OpenedFolder

_NO_FOLDER = {errno.ENOTDIR, errno.ELOOP}
NO_FILE = {errno.ENOENT, *_NO_FOLDER, errno.EISDIR, errno.ENXIO}
"""How an open fails on nothing, a link, a folder, a socket: on what took a file's place since the last look."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_LONGEST_NS = (1 << 63) - 1
"""As far from 1970 as a time can be kept, some 292 years; what lies beyond counts as that."""


def local_path(root: bytes, path: str) -> bytes:
    """Return the local path, as bytes, of a path of the mirror."""
    return os.path.join(root, paths.encode(path)) if path else root


Found = tuple[str, int, int, int, int, int, bool]
"""A name in a folder with its mode, inode, size, mtime_ns, ctime_ns, and whether something is mounted there."""


def entry_of(path: str, status: os.stat_result) -> Entry | None:
    """Return the entry that a stat result stands for, or None for what is not mirrored (links, special files)."""
    found = (path, status.st_mode, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns, False)
    return entry_from("", found)


def entry_from(prefix: str, found: Found) -> Entry | None:
    """Return the entry of what was found in a folder with its path and "/" as prefix; None for what is not mirrored."""
    name, mode, inode, size, mtime_ns, ctime_ns, mount = found
    if stat.S_ISREG(mode):
        if not (-_LONGEST_NS <= mtime_ns <= _LONGEST_NS and -_LONGEST_NS <= ctime_ns <= _LONGEST_NS):
            mtime_ns, ctime_ns = _nearest(mtime_ns), _nearest(ctime_ns)
        return Entry(prefix + name, FILE, size, mtime_ns, mode & 0o777, inode, False, b"", ctime_ns)
    if stat.S_ISDIR(mode):
        return Entry(prefix + name, FOLDER, 0, 0, mode & 0o777, inode, mount)
    return None


def _nearest(time_ns: int) -> int:
    return max(-_LONGEST_NS, min(time_ns, _LONGEST_NS))


def open_folder(root: bytes, folder: str) -> int:
    """Open a folder of the source and return its descriptor; no link below the root is followed on the way.

    Raises OSError; NotADirectoryError when a link is in the way, ESTALE where the root itself was deleted.
    """
    if not isinstance(root, OpenedFolder):
        above = os.open(root, _FOLDER)
        try:
            return _open_below(above, folder)
        finally:
            os.close(above)
    try:
        if not folder and root.is_deleted:  # "." can still be opened then
            raise FileNotFoundError
        return _open_below(root.descriptor, folder)
    except FileNotFoundError:
        if root.is_deleted:  # else all that was in it would look deleted
            raise OSError(errno.ESTALE, "the source was deleted") from None
        raise


def _open_below(start: int, folder: str) -> int:
    above = start
    for part in paths.encode(folder).split(b"/") if folder else (b".",):
        try:
            below = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=above)
        finally:
            if above != start:
                os.close(above)
        above = below
    return above


def is_mount(root: bytes, folder: str) -> bool:
    """Tell whether something is mounted at a folder of the source; False for what is none."""
    try:
        descriptor = open_folder(root, folder)
    except OSError:
        return False
    try:
        return begins_another(descriptor) or folder in mount_points(root)
    finally:
        os.close(descriptor)


def begins_another(descriptor: int) -> bool:
    """Tell whether another file system begins at an open folder, or the system's root is there."""
    here, above = os.fstat(descriptor), os.stat(b"..", dir_fd=descriptor)
    return here.st_dev != above.st_dev or here.st_ino == above.st_ino


def is_there(root: bytes, path: str) -> bool:
    """Tell whether the source has anything at a path, if only a dangling link; raise OSError if that is not known.

    What lies behind a link counts as there: it left the mirror, it was not removed.
    """
    try:
        _status(root, path)
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno not in _NO_FOLDER:
            raise
        return _leads_through_link(root, path)
    return True


def _leads_through_link(root: bytes, path: str) -> bool:
    """Tell whether the first thing above a path that is no folder is a link; in doubt it is."""
    for folder in paths.lineage(path):
        mode = _status(root, folder).st_mode
        if not stat.S_ISDIR(mode):
            return stat.S_ISLNK(mode)
    return True


def _status(root: bytes, path: str) -> os.stat_result:
    """Return what is at a path itself; no link below the root is followed on the way. Raises OSError."""
    folder, name = paths.split(path)
    inside = open_folder(root, folder)
    try:
        return os.stat(paths.encode(name) or b".", dir_fd=inside, follow_symlinks=False)
    finally:
        os.close(inside)


def is_gone(root: bytes, path: str) -> bool:
    """Tell whether the source has nothing at a path for sure."""
    try:
        return not is_there(root, path)
    except OSError:
        return False


def look(root: bytes, path: str) -> Entry | None:
    """Return what the source has at a path now; None for nothing, and for what is not mirrored."""
    try:
        return entry_of(path, _status(root, path))
    except OSError:
        return None
