"""The files and folders of a site, in memory; knows nothing of connections."""

from __future__ import annotations

import re
import stat
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator
from typing import NamedTuple

TEMPORARY = re.compile(rb"(?:^|/)\.?am-[0-9a-f]{1,8}-?[^/]*$")
"""A path of a temporary in whatever shape."""


class Refused(Exception):
    """A command that cannot be done; the text is its reply."""

    def __init__(self, reply: bytes) -> None:
        super().__init__(reply)
        self.reply = reply


class StoredFile(NamedTuple):
    """A file of the site; the mtime in whole seconds, UTC."""

    content: bytes
    mtime: int
    mode: int


class StoredTree:
    """Files and folders by absolute path, and for each final path the sequence of contents it has shown.

    `changed` guards all of it and is notified of every change.
    """

    def __init__(self, *, case_insensitive: bool = False) -> None:
        self.files: dict[bytes, StoredFile] = {}
        self.folders: set[bytes] = {b"/"}
        self.folder_modes: dict[bytes, int] = {}
        self.history: dict[bytes, list[bytes | None]] = {}
        self.case_insensitive = case_insensitive
        self.seconds = 1
        """How exact its times are."""
        self.listed: Callable[[bytes], bytes | None] = bytes
        """What a listing shows of a name, None for nothing."""
        self.line_start: Callable[[StoredFile | None], bytes] | None = None
        """How a line begins in another form than that of `ls -l`, before the name; None is for a folder."""
        self.changed = threading.Condition()

    def locate(self, path: bytes) -> bytes:
        """Return the path in the site's spelling; parts that do not exist keep the given one."""
        if not self.case_insensitive or path == b"/":
            return path
        with self.changed:
            spelled = join(self.locate(parent_of(path)), name_of(path))
            known = (*self.files, *self.folders)
            return next((each for each in known if fold(each) == fold(spelled)), spelled)

    def exists(self, path: bytes) -> bool:
        """Say whether a file or folder is at this path."""
        return self.locate(path) in self.files or self.locate(path) in self.folders

    def file(self, path: bytes) -> StoredFile:
        """Return the file at this path or refuse."""
        try:
            return self.files[self.locate(path)]
        except KeyError:
            raise Refused(b"550 No such file.") from None

    def put(self, path: bytes, content: bytes, *, mtime: int | None = None, mode: int | None = None) -> None:
        """Set a file's content, making the folders above it; an existing file keeps its mode."""
        with self.changed:
            path = self.locate(path)
            self.folders.update(folders_above(path))
            old = self.files.get(path)
            if mode is None:
                mode = old.mode if old else 0o644
            self.files[path] = StoredFile(content, self._rounded(int(time.time()) if mtime is None else mtime), mode)
            self._show(path)

    def require_parent(self, path: bytes) -> None:
        """Refuse when there is no folder to hold this path."""
        if self.locate(parent_of(path)) not in self.folders:
            raise Refused(b"550 No such folder.")

    def require_storable(self, path: bytes) -> None:
        """Refuse when STOR could not open this path."""
        self.require_parent(path)
        if self.locate(path) in self.folders:
            raise Refused(b"550 Is a folder.")

    def set_mtime(self, path: bytes, mtime: int) -> None:
        """Change the modification time of a file."""
        with self.changed:
            self.files[self.locate(path)] = self.file(path)._replace(mtime=self._rounded(mtime))
            self.changed.notify_all()

    def _rounded(self, mtime: int) -> int:
        return mtime // self.seconds * self.seconds

    def set_mode(self, path: bytes, mode: int) -> None:
        """Change the permission bits of a file or folder."""
        with self.changed:
            path = self.locate(path)
            if path in self.folders:
                self.folder_modes[path] = mode
            else:
                self.files[path] = self.file(path)._replace(mode=mode)
            self.changed.notify_all()

    def remove_file(self, path: bytes) -> None:
        """Remove a file or refuse."""
        with self.changed:
            self.file(path)
            del self.files[self.locate(path)]
            self._show(self.locate(path))

    def make_folder(self, path: bytes) -> None:
        """Make one folder or refuse."""
        with self.changed:
            self.require_parent(path)
            if self.exists(path):
                raise Refused(b"550 File exists.")
            self.folders.add(self.locate(path))
            self.changed.notify_all()

    def remove_folder(self, path: bytes) -> None:
        """Remove an empty folder or refuse."""
        with self.changed:
            if self.children(path):
                raise Refused(b"550 Folder not empty.")
            if self.locate(path) == b"/":
                raise Refused(b"550 Permission denied.")
            self.folders.discard(self.locate(path))
            self.folder_modes.pop(self.locate(path), None)
            self.changed.notify_all()

    def children(self, folder: bytes) -> list[bytes]:
        """Return the paths directly in a folder, sorted, or refuse."""
        with self.changed:
            folder = self.locate(folder)
            if folder not in self.folders:
                raise Refused(b"550 No such folder.")
            return sorted(each for each in (*self.files, *self.folders) if each != b"/" and parent_of(each) == folder)

    def facts(self, path: bytes) -> bytes:
        """Return the MLSx facts of a path with the space that ends them, or refuse."""
        with self.changed:
            if (known := self.locate(path)) in self.folders:
                return b"type=dir;UNIX.mode=%04o; " % self.folder_modes.get(known, 0o755)
            content, mtime, mode = self.file(path)
            return b"type=file;size=%d;modify=%s;UNIX.mode=%04o; " % (len(content), timestamp(mtime), mode)

    def mlsd_lines(self, folder: bytes) -> list[bytes]:
        """Return the MLSD lines of what is in a folder."""
        with self.changed:
            return [self.facts(path) + shown for path, shown in self._shown(self.children(folder))]

    def unix_lines(self, path: bytes) -> list[bytes]:
        """Return the `ls -l` lines of what is in a folder, or of one file."""
        with self.changed:
            paths = [self.locate(path)] if self.locate(path) in self.files else self.children(path)
            return [self._line_start(each) + shown for each, shown in self._shown(paths)]

    def _shown(self, paths: list[bytes]) -> Iterator[tuple[bytes, bytes]]:
        for path in paths:
            if (shown := self.listed(name_of(path))) is not None:
                yield path, shown

    def _line_start(self, path: bytes) -> bytes:
        return self.line_start(self.files.get(path)) if self.line_start else self._unix_start(path)

    def _unix_start(self, path: bytes) -> bytes:
        folder = StoredFile(b"", 0, stat.S_IFDIR | self.folder_modes.get(path, 0o755))
        content, mtime, mode = self.files.get(path, folder)
        recent = 0 <= time.time() - mtime < 180 * 86400  # as /bin/ls: minutes for half a year, then only the day
        day = time.strftime("%b %d %H:%M" if recent else "%b %d  %Y", time.gmtime(mtime))
        kind = stat.filemode(mode if path in self.folders else mode | stat.S_IFREG)
        return f"{kind} 1 ftp ftp {len(content):12d} {day} ".encode()

    def rename(self, source: bytes, target: bytes) -> None:
        """Rename in one step, replacing an existing file as POSIX does; the target's spelling is the given one."""
        with self.changed:
            self.require_parent(target)
            source, replaced = self.locate(source), self.locate(target)
            if not self.exists(source):
                raise Refused(b"550 No such file or folder.")
            target = join(self.locate(parent_of(target)), name_of(target))
            is_folder = source in self.folders
            if replaced != source and (replaced in self.folders or (is_folder and replaced in self.files)):
                raise Refused(b"550 Target exists.")
            if is_folder and target.startswith(source + b"/"):
                raise Refused(b"550 A folder cannot move into itself.")
            if replaced != source:
                self.files.pop(replaced, None)
            moved = self._move(source, target)
            for path in (replaced, *moved):
                self._show(path)

    def _move(self, source: bytes, target: bytes) -> list[bytes]:
        """Give everything at and below `source` its new path; return all file paths concerned."""
        shown: list[bytes] = []
        for path in [each for each in (*self.files, *self.folders) if (each + b"/").startswith(source + b"/")]:
            moved = target + path[len(source) :]
            if path in self.files:
                self.files[moved] = self.files.pop(path)
                shown += (path, moved)
            else:
                self.folders.remove(path)
                self.folders.add(moved)
                if path in self.folder_modes:
                    self.folder_modes[moved] = self.folder_modes.pop(path)
        return shown

    def _show(self, path: bytes) -> None:
        """Add what is now visible at a final path to its history, if it differs from what was."""
        content = self.files[path].content if path in self.files else None
        shown = self.history.get(path, [None])[-1]
        if not TEMPORARY.search(path) and content != shown:
            self.history.setdefault(path, []).append(content)
        self.changed.notify_all()


def parent_of(path: bytes) -> bytes:
    """Return the folder that holds an absolute path."""
    return path.rpartition(b"/")[0] or b"/"


def name_of(path: bytes) -> bytes:
    """Return the last part of a path."""
    return path.rpartition(b"/")[2]


def join(folder: bytes, name: bytes) -> bytes:
    """Return the path of a name in a folder."""
    return folder.rstrip(b"/") + b"/" + name


def fold(path: bytes) -> str:
    """Return what two spellings of one path have in common on a site that ignores case and Unicode form, as APFS."""
    return unicodedata.normalize("NFC", path.decode("utf-8", "surrogateescape")).lower()


def folders_above(path: bytes) -> set[bytes]:
    """Return every folder that must exist for this path to exist."""
    above = {b"/"}
    while (path := parent_of(path)) != b"/":
        above.add(path)
    return above


def timestamp(mtime: int) -> bytes:
    """Return a time as MDTM and MLSD write it."""
    return time.strftime("%Y%m%d%H%M%S", time.gmtime(mtime)).encode()
