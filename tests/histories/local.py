"""The source: a real folder, what is done to it, and what a stat of it says in virtual time. Knows no program.

The disk's own clock is too coarse for histories of milliseconds, and its numbers differ from run to run: inodes and
change times are ours, everything else is the disk's.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from .world import EPOCH, Killed, World

OLD = EPOCH - 200_000_000
"""A date that many files have in common."""
_NS = 1_000_000_000

_SHOWN = 300

INNER = "in"
"""The folder that is a mirror of its own in some histories."""
_INNER = INNER.encode()
Act = tuple[str, ...]
"""What somebody does, and to what: all text, so that it can be printed and read."""


class Local:
    """A source folder. `ever` are the paths that it has had, `contents` the whole contents."""

    def __init__(self, world: World, folder: Path, *, alike: bool = True) -> None:
        self.world = world
        self._alike = alike
        self._seen: dict[tuple[bytes, int, int], bytes] = {}
        self.root = self.where = os.fsencode(folder)
        """Its path, and where it is at the moment."""
        self.away_since: dict[bytes, float] = {}
        """Since when a folder that is the source of a mirror is not where it belongs: b"" for the whole source."""
        self.ever: set[bytes] = set()
        self.contents: set[bytes] = set()
        self.touched: set[bytes] = set()
        self._past: dict[bytes, list[tuple[bytes, int]]] = {}
        self._away = self.root + b".away"
        self._known: dict[int, tuple[int, int]] = {}
        self._free: list[int] = []
        self._made = 0
        os.mkdir(self.root)
        os.mkdir(self._away)
        self._note_all()

    # What is there.

    def at(self, path: bytes) -> bytes:
        return os.path.join(self.where, path)

    def has(self, path: bytes) -> bool:
        return os.path.lexists(self.at(path))

    def tree(self) -> dict[bytes, bytes | None]:
        """Return what is to be mirrored: contents by path, None for a folder."""
        found: dict[bytes, bytes | None] = {}
        for path in self._all():
            mode = os.lstat(self.at(path)).st_mode
            if stat.S_ISDIR(mode):
                found[path] = None
            elif stat.S_ISREG(mode):
                found[path] = Path(os.fsdecode(self.at(path))).read_bytes()
        return found

    def left_out(self) -> set[bytes]:
        """Return what is neither file nor folder; nothing is said of such a path, nor of what is below it."""
        return {
            path
            for path in self._all()
            if stat.S_IFMT(os.lstat(self.at(path)).st_mode) not in {stat.S_IFREG, stat.S_IFDIR}
        }

    def _all(self, below: bytes = b"") -> Iterator[bytes]:
        for name in sorted(os.listdir(self.at(below))):
            path = os.path.join(below, name)
            yield path
            if stat.S_ISDIR(os.lstat(self.at(path)).st_mode):
                yield from self._all(path)

    def marks(self) -> dict[bytes, tuple[int, ...]]:
        """Return what tells of each path that something happened to it."""
        found = ((path, self.stat_of(os.lstat(self.at(path)))) for path in self._all())
        return {
            path: (each.st_mode, each.st_ino, each.st_size, each.st_mtime_ns, each.st_ctime_ns) for path, each in found
        }

    def touched_since(self, before: dict[bytes, tuple[int, ...]]) -> frozenset[str]:
        """Return the folders in which something happened since then, as the kernel would have told of it."""
        now = self.marks()
        changed = [path for path in before.keys() | now.keys() if before.get(path) != now.get(path)]
        return frozenset(os.path.dirname(path).decode("utf-8", "surrogateescape") for path in changed)

    # What a stat says.

    def stat_of(self, real: os.stat_result) -> os.stat_result:
        """Return a stat result with the inode and the change time that are ours, if the file is."""
        if (known := self._known.get(real.st_ino)) is None:
            return real
        inode, changed_ns = known
        changed = changed_ns / _NS
        ten = (*real[:1], inode, *real[2:9], int(changed))
        more = {"st_atime_ns": real.st_atime_ns, "st_mtime_ns": real.st_mtime_ns, "st_ctime_ns": changed_ns}
        return os.stat_result(ten, more | {"st_atime": real.st_atime, "st_mtime": real.st_mtime, "st_ctime": changed})

    def _note_all(self) -> None:
        """Give what is new an inode, perhaps one that has become free, and note what is there."""
        there: set[int] = set()
        for folder in {self.root: 0, self.where: 0, self._away: 0, self.root + b".inner": 0}:
            if not os.path.isdir(folder):
                continue
            for status in [os.lstat(folder), *_below(folder)]:
                there.add(status.st_ino)
                if status.st_ino not in self._known:
                    self._known[status.st_ino] = (self._new_inode(), self._moment_ns())
        for gone in [real for real in self._known if real not in there]:
            self._free.append(self._known.pop(gone)[0])
        for path in self._all():
            self.ever.add(path)
            if stat.S_ISREG(os.lstat(self.at(path)).st_mode):
                self.contents.add(Path(os.fsdecode(self.at(path))).read_bytes())

    def _new_inode(self) -> int:
        if self._free and self.world.chance.random() < 0.6:
            return self._free.pop()
        self._made += 1
        return 1000 + self._made

    def _moment_ns(self) -> int:
        """Return the present; each time it is a little later."""
        self.world.now += 0.00001
        return int(self.world.local_wall * _NS)

    def _changed(self, path: bytes) -> None:
        with suppress(OSError):
            real = os.lstat(self.at(path)).st_ino
            if real in self._known:
                self._known[real] = (self._known[real][0], self._moment_ns())

    # What is done.

    def do(self, act: Act) -> bool:
        """Do something, and tell whether it could be done."""
        verb, *details = act
        done = False
        with suppress(OSError):
            getattr(self, f"_{verb}")(*(os.fsencode(each) for each in details))
            done = True
        self._note_all()
        self.world.note(f"   local {' '.join(map(repr, act))}{'' if done else ' (impossible)'}")
        return done

    def _write(self, path: bytes, size: bytes, when: bytes) -> None:
        """Write a new content in place; sizes are few, so that many files are alike."""
        self._keep(path)
        content = self._content(size)
        self._make_parent(path)
        descriptor = os.open(self.at(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644)
        try:
            os.write(descriptor, content)
        finally:
            os.close(descriptor)
        self._date(path, when)

    def _replace(self, path: bytes, size: bytes, when: bytes) -> None:
        """Put a new file in the place of whatever file there is, as editors do."""
        self._keep(path)
        self._make_parent(path)
        new = self._away + b"/new"
        Path(os.fsdecode(new)).write_bytes(self._content(size))
        os.rename(new, self.at(path))
        self._note_all()
        self._date(path, when)

    def _append(self, path: bytes) -> None:
        self._keep(path)
        with open(self.at(path), "r+b", opener=_plainly) as file:
            file.seek(0, 2)
            file.write(b" and more")
        self._date(path, b"now")

    def _touch(self, path: bytes) -> None:
        self._date(path, b"now")

    def _chmod(self, path: bytes) -> None:
        mode = os.lstat(self.at(path)).st_mode
        if stat.S_ISREG(mode):
            os.chmod(self.at(path), 0o600 if mode & 0o777 == 0o644 else 0o644)
        elif stat.S_ISDIR(mode):
            os.chmod(self.at(path), 0o700 if mode & 0o777 == 0o755 else 0o755)
        self._changed(path)

    def _remove(self, path: bytes) -> None:
        self._keep(path)
        if stat.S_ISDIR(os.lstat(self.at(path)).st_mode):
            shutil.rmtree(self.at(path))
        else:
            os.unlink(self.at(path))

    def _rename(self, old: bytes, new: bytes) -> None:
        self._make_parent(new)
        os.rename(self.at(old), self.at(new))
        self._changed(new)

    def _swap(self, one: bytes, other: bytes) -> None:
        for path in (one, other):
            os.lstat(self.at(path))
        between = self._away + b"/between"
        os.rename(self.at(one), between)
        os.rename(self.at(other), self.at(one))
        os.rename(between, self.at(other))
        self._changed(one)
        self._changed(other)

    def _twin(self, one: bytes, other: bytes) -> None:
        """Write another content of the same size and date."""
        status = os.lstat(self.at(one))
        if stat.S_ISREG(status.st_mode):
            self._write(other, b"%d" % status.st_size, b"old")
            self._stamp(other, status.st_mtime_ns)

    def _stash(self, path: bytes) -> None:
        """Move something out of the source."""
        os.rename(self.at(path), self._stashed(path))

    def _unstash(self, path: bytes) -> None:
        """Move it back, as it was."""
        if not self.has(path):
            os.rename(self._stashed(path), self.at(path))
            self._changed(path)

    def _stashed(self, path: bytes) -> bytes:
        return self._away + b"/" + path.replace(b"/", b"%")

    def _restore(self, path: bytes) -> None:
        """Put back an old version, with its date."""
        if not self._past.get(path):
            self._write(path, b"5", b"old")
            return
        content, mtime_ns = self._past[path][-1]
        self._keep(path)
        self._make_parent(path)
        Path(os.fsdecode(self.at(path))).write_bytes(content)
        self._note_all()
        self._stamp(path, mtime_ns)

    def _folder(self, path: bytes) -> None:
        os.makedirs(self.at(path))

    def _link(self, path: bytes) -> None:
        if self.has(path):
            self._remove(path)
        self._make_parent(path)
        os.symlink(b"k", self.at(path))

    def _kind(self, path: bytes) -> None:
        """Make a folder of a file, and a file of a folder."""
        was_folder = stat.S_ISDIR(os.lstat(self.at(path)).st_mode)
        self._remove(path)
        if was_folder:
            self._write(path, b"5", b"old")
        else:
            self._write(path + b"/inner", b"5", b"old")

    def _rebuild(self, path: bytes) -> None:
        """Remove a folder and make it again, its files with another content and one date."""
        below = [each for each in self._all(path) if stat.S_ISREG(os.lstat(self.at(each)).st_mode)]
        shutil.rmtree(self.at(path))
        self._note_all()
        for each in below:
            self._write(each, b"5", b"old")

    # What is done to the folder itself.

    def _source(self, what: bytes) -> None:
        """Have it gone, or empty, as a disk that is not mounted; have it back; or put a copy in its place.

        Of the inner mirror's source alone: have it gone, or back.
        """
        if what in {b"away", b"empty"}:
            self._go_away(empty=what == b"empty")
        elif what == b"back":
            self.come_back()
        elif what == b"inner away":
            os.rename(self.at(_INNER), self.root + b".inner")
            self.away_since[_INNER] = self.world.now
        elif what == b"inner back":
            self.inner_comes_back()
        elif self.where == self.root:
            new, old = self.root + b".new", self._away + b"/copied"
            shutil.copytree(os.fsdecode(self.root), os.fsdecode(new), symlinks=True)
            os.rename(self.root, old)
            os.rename(new, self.root)
            shutil.rmtree(old)

    def _go_away(self, *, empty: bool) -> None:
        if self.where == self.root:
            self.where = self.root + b".gone"
            os.rename(self.root, self.where)
            self.away_since[b""] = self.world.now
        if empty:
            os.mkdir(self.root)

    def come_back(self) -> None:
        """Have the folder where it belongs."""
        if self.where != self.root:
            with suppress(FileNotFoundError):
                os.rmdir(self.root)
            os.rename(self.where, self.root)
            self.where = self.root
            del self.away_since[b""]

    def inner_comes_back(self) -> None:
        """Have the inner mirror's source where it belongs, in place of what came there meanwhile."""
        if self.away_since.pop(_INNER, None) is not None:
            shutil.rmtree(self.at(_INNER), ignore_errors=True)
            os.rename(self.root + b".inner", self.at(_INNER))
            self._note_all()

    # How.

    def _content(self, size: bytes) -> bytes:
        """Return a content that is nowhere like another; of small ones the first bytes tell."""
        self._made += 1
        number = b"%05d" % (self._made % 100_000)
        much = int(size)
        return (number * (much // 5 + 1) if much > _SHOWN else number.ljust(much, b"."))[:much]

    def _keep(self, path: bytes) -> None:
        with suppress(OSError):
            status = os.lstat(self.at(path))
            if stat.S_ISREG(status.st_mode):
                content = Path(os.fsdecode(self.at(path))).read_bytes()
                self._past.setdefault(path, []).append((content, status.st_mtime_ns))

    def _make_parent(self, path: bytes) -> None:
        os.makedirs(os.path.dirname(self.at(path)), exist_ok=True)

    def _date(self, path: bytes, when: bytes) -> None:
        self._note_all()
        now_ns = self._moment_ns()
        dates = {b"old": OLD * _NS, b"now": now_ns, b"second": now_ns // _NS * _NS}
        self._stamp(path, dates[when])

    def _was_like(self, path: bytes, mtime_ns: int) -> bool:
        """Tell whether the path had another content of this size and date."""
        size = os.lstat(self.at(path)).st_size
        content = Path(os.fsdecode(self.at(path))).read_bytes()
        return self._seen.setdefault((path, size, mtime_ns), content) != content

    def _stamp(self, path: bytes, mtime_ns: int) -> None:
        if not self._alike and self._was_like(path, mtime_ns):
            mtime_ns = self._moment_ns()
        os.utime(self.at(path), ns=(mtime_ns, mtime_ns), follow_symlinks=False)
        self._changed(path)


def _plainly(path: Any, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW)


def _below(folder: bytes) -> Iterator[os.stat_result]:
    with os.scandir(folder) as items:
        for item in sorted(items, key=lambda each: each.name):
            yield item.stat(follow_symlinks=False)
            if item.is_dir(follow_symlinks=False):
                yield from _below(item.path)


class _Item:
    """An entry of a folder, with our stat."""

    def __init__(self, real: os.DirEntry[Any], local: Local) -> None:
        self._real = real
        self._local = local
        self.name, self.path = real.name, real.path

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        return self._local.stat_of(self._real.stat(follow_symlinks=follow_symlinks))

    def inode(self) -> int:
        return self.stat(follow_symlinks=False).st_ino

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        return self._real.is_dir(follow_symlinks=follow_symlinks)

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        return self._real.is_file(follow_symlinks=follow_symlinks)

    def is_symlink(self) -> bool:
        return self._real.is_symlink()


class System:
    """Stands for the module `os`: what it says of files of the source is in virtual time, and in order.

    Signals that the program sends to itself go where all go that it is sent; 0 is none.
    """

    def __init__(self, local: Callable[[], Local], take: Callable[[int], None]) -> None:
        self._local = local
        self._signal = take

    def kill(self, process: int, signum: int) -> None:
        if process != os.getpid():
            os.kill(process, signum)
        elif signum:
            self._signal(signum)

    def open(self, path: Any, *arguments: Any, **options: Any) -> int:
        if path == "/dev/tty":  # nobody sits there
            raise OSError(errno.ENXIO, os.strerror(errno.ENXIO))
        return os.open(path, *arguments, **options)

    def _exit(self, _: int) -> None:
        self._signal(signal.SIGKILL)
        raise Killed

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def stat(self, *arguments: Any, **options: Any) -> os.stat_result:
        return self._local().stat_of(os.stat(*arguments, **options))

    def lstat(self, *arguments: Any, **options: Any) -> os.stat_result:
        return self._local().stat_of(os.lstat(*arguments, **options))

    def fstat(self, descriptor: int) -> os.stat_result:
        return self._local().stat_of(os.fstat(descriptor))

    @contextmanager
    def scandir(self, *arguments: Any) -> Iterator[Iterator[_Item]]:
        with os.scandir(*arguments) as items:
            yield iter([_Item(each, self._local()) for each in sorted(items, key=lambda item: item.name)])
