"""A folder that is opened once and stays the same, whatever its name leads to afterwards. Reads nothing in it."""

import os
from functools import cached_property
from typing import Self

from async_mirror.multi import Kept
from async_mirror.source.mounts import mount_points


class OpenedFolder(bytes):
    """The path of a folder that is held open: what is read by this path is read in that folder.

    It stays open until it is closed, or nothing refers to it. A worker process gets a descriptor of its own.
    """

    descriptor = -1
    _had_links = False

    @classmethod
    def at(cls, path: bytes) -> Self:
        """Resolve a path and open the folder that it leads to. Raises OSError."""
        resolved = os.path.realpath(path)
        return cls._holding(resolved, os.open(resolved, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW))

    @classmethod
    def _holding(cls, path: bytes, descriptor: int) -> Self:
        folder = cls(path)
        folder.descriptor = descriptor
        folder._had_links = os.fstat(descriptor).st_nlink > 0  # there are file systems that count none
        return folder

    def __reduce__(self) -> tuple[object, ...]:
        """Travel to a process that is being spawned."""
        return _arrived, (bytes(self), Kept(self.descriptor))

    def close(self) -> None:
        """Let go of the folder, in which nothing is read any more."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __del__(self) -> None:
        """Close the folder."""
        self.close()

    @property
    def is_deleted(self) -> bool:
        """True once the folder has no name any more."""
        return self._had_links and not os.fstat(self.descriptor).st_nlink

    @property
    def device(self) -> int:
        """The number of the file system that it is on."""
        return os.fstat(self.descriptor).st_dev

    @cached_property
    def mount_points(self) -> frozenset[str]:
        """The folders at which something was mounted when this was first asked."""
        return mount_points(self)

    def lost_mounts(self) -> frozenset[str]:
        """Return those at which nothing is mounted any more."""
        return self.mount_points - mount_points(self) if self.mount_points else frozenset()

    def is_at(self, path: bytes) -> bool:
        """Tell whether a path leads to this folder, and not to another one or nowhere."""
        try:
            return os.path.samestat(os.stat(path), os.fstat(self.descriptor))
        except OSError:
            return False


def _arrived(path: bytes, kept: Kept) -> OpenedFolder:
    return OpenedFolder._holding(path, kept.descriptor)  # noqa: SLF001 - a part of the class
