"""What the kernel tells of folders that are watched, and what it does not: stands for the module `asyncinotify`.

Knows no program. What happened in a folder shows when it is looked at again, after whatever was done to the source.
"""

from __future__ import annotations

import asyncio
import errno
import os
import stat
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from .world import World

ATTRIB, CLOSE_WRITE, MOVED_FROM, MOVED_TO, CREATE, DELETE = 0x4, 0x8, 0x40, 0x80, 0x100, 0x200
DELETE_SELF, MOVE_SELF, OVERFLOW, IGNORED, IS_FOLDER = 0x400, 0x800, 0x4000, 0x8000, 0x4000_0000

Marks = tuple[int, ...]
Mask = int


class Watch(NamedTuple):
    """A folder that is watched."""

    wd: int


class Event(NamedTuple):
    """What happened to a name in a folder, or to that itself."""

    watch: Watch | None
    mask: int
    name: str | None = None


@dataclass
class _Watched:
    """A folder, held open, and what was in it when it was looked at last."""

    watch: Watch
    descriptor: int
    is_ours: bool
    there: dict[bytes, Marks] = field(default_factory=dict)
    itself: tuple[int, bytes] = (0, b"")


class Kernel:
    """What is watched of one history's folder, by the program that runs at the moment."""

    def __init__(self, world: World, base: bytes, stat_of: Callable[[os.stat_result], os.stat_result]) -> None:
        self._world = world
        self._base = base
        self._stat_of = stat_of
        self._watched: dict[tuple[int, int], _Watched] = {}
        self._made = 0
        self._loses = False
        self._latest = 0.0
        self.most = 1000
        """How many folders may be watched."""
        self.reader: Inotify | None = None

    @property
    def is_short(self) -> bool:
        """True if not all may be watched."""
        return self.most < 1000

    def open(self, reader: Inotify) -> None:
        """Have a reader, of which a process may have few."""
        if self.reader:
            self._world.found("one inotify instance for all mirrors", "there is another one")
        self.reader = reader

    def forget(self) -> None:
        """Watch nothing any more, for who wanted it is gone."""
        for each in self._watched.values():
            os.close(each.descriptor)
        self._watched.clear()
        self.reader = None

    def lose(self) -> None:
        """Have no room for what happens next."""
        self._loses = True

    @property
    def watches(self) -> list[Watch]:
        return [each.watch for each in self._watched.values()]

    def add(self, path: str) -> Watch:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        status = os.fstat(descriptor)
        key = status.st_dev, status.st_ino
        if key in self._watched:
            os.close(descriptor)
            return self._watched[key].watch
        where = os.fsencode(os.readlink(f"/proc/self/fd/{descriptor}"))
        is_ours = where == self._base or where.startswith(self._base + b"/")
        if is_ours and sum(each.is_ours for each in self._watched.values()) >= self.most:
            os.close(descriptor)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._made += 1
        self._watched[key] = new = _Watched(Watch(self._made), descriptor, is_ours)
        if is_ours:
            new.there, new.itself = self._look_at(descriptor), _name(descriptor)
        return new.watch

    def remove(self, watch: Watch) -> None:
        for key, each in list(self._watched.items()):
            if each.watch == watch:
                os.close(each.descriptor)
                del self._watched[key]

    def look(self) -> None:
        """Tell of what has happened, a moment later."""
        events = [event for each in list(self._watched.values()) if each.is_ours for event in self._news(each)]
        if events and self.reader:
            if self._loses:
                events, self._loses = [Event(None, OVERFLOW)], False
            self._latest = max(self._latest, self._world.now + self._world.delay())  # the kernel keeps their order
            self._world.at(self._latest, self.reader.arrive, events)

    def _news(self, each: _Watched) -> list[Event]:
        before, each.there = each.there, self._look_at(each.descriptor)
        events = []
        for name in sorted(before.keys() | each.there.keys()):
            was, now = before.get(name), each.there.get(name)
            if was != now:
                events += [Event(each.watch, mask, os.fsdecode(name)) for mask in self._masks(was, now)]
        was_itself, each.itself = each.itself, _name(each.descriptor)
        if not os.fstat(each.descriptor).st_nlink:
            events += [Event(each.watch, DELETE_SELF), Event(each.watch, IGNORED)]
            self.remove(each.watch)
        elif was_itself != each.itself:
            events.append(Event(each.watch, MOVE_SELF))
        return events

    def _masks(self, was: Marks | None, now: Marks | None) -> list[int]:
        folder = IS_FOLDER * stat.S_ISDIR((now or was or (0,))[0])
        if was and now and was[:2] == now[:2]:
            return [ATTRIB | folder] if folder else [CLOSE_WRITE]
        gone = [MOVED_FROM | IS_FOLDER * stat.S_ISDIR(was[0])] if was else []
        return gone + ([MOVED_TO | folder] if now else [])

    def _look_at(self, descriptor: int) -> dict[bytes, Marks]:
        where = os.fsencode(os.readlink(f"/proc/self/fd/{descriptor}"))
        found = {}
        for name in os.listdir(descriptor):
            if where != self._base or name == "source":
                real = os.lstat(name, dir_fd=descriptor)
                status = self._stat_of(real)
                if stat.S_ISDIR(real.st_mode):  # one made anew is another, though it may bear the same number in a stat
                    marks: Marks = (real.st_mode, real.st_ino)
                else:
                    marks = (status.st_mode, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
                found[os.fsencode(name)] = marks
        return found


def _name(descriptor: int) -> tuple[int, bytes]:
    """Return what a folder is called, and where."""
    try:
        above = os.stat("..", dir_fd=descriptor).st_ino
    except OSError:
        above = 0
    return above, os.path.basename(os.fsencode(os.readlink(f"/proc/self/fd/{descriptor}")))


class Inotify:
    """Stands for the class of that name; `kernel` is the one of the present history."""

    kernel: Kernel

    def __init__(self, **_: object) -> None:
        self._kernel = Inotify.kernel
        self._kernel.open(self)
        self._events: deque[Event] = deque()
        self._waiting: asyncio.Future[None] | None = None

    @property
    def watches(self) -> list[Watch]:
        return self._kernel.watches

    def add_watch(self, path: object, _: Mask) -> Watch:
        return self._kernel.add(str(path))

    def rm_watch(self, watch: Watch) -> None:
        self._kernel.remove(watch)

    def arrive(self, events: list[Event]) -> None:
        self._events.extend(events)
        if self._waiting and not self._waiting.done():
            self._waiting.set_result(None)

    async def get(self) -> Event:
        while not self._events:
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        return self._events.popleft()

    def close(self) -> None:
        if self._kernel.reader is self:
            self._kernel.forget()
