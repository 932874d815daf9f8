"""All that stops a pass, or the deletions of one: each guard says why, and how to override it. Changes no site."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from async_mirror.crew.off_loop import Awaited, Face
from async_mirror.model import escape, paths
from async_mirror.model.entry import Entry, Listing
from async_mirror.model.settings import Settings
from async_mirror.source.opened_folder import OpenedFolder
from async_mirror.source.scan import read_folder
from async_mirror.source.secrecy import holds_state, published
from async_mirror.state.awaitable import AwaitableState
from async_mirror.state.store import State
from async_mirror.sync.context import Context
from async_mirror.sync.mirror import Mirror
from async_mirror.ui.text import quoted

NAMED = 10
"""How many files are named that would have been too many to remove."""

# What stops a pass.


async def open_source(mirror: Mirror, state: AwaitableState) -> OpenedFolder | None:
    """Open the folder that the source leads to now; None where nothing may be done in this pass, which is told."""
    source = _AwaitableSource(_Source(mirror, state.blocking), state.off_loop)
    try:
        folder = await source.open()
    except OSError as error:
        mirror.report.halt(*_unreadable(mirror.settings, error.strerror))
        return None
    if reason := await source.unfit(folder):
        mirror.report.halt(*reason)
        return None
    if (resolved := Path(os.fsdecode(folder))) != mirror.settings.source:
        mirror.report.note(f"the source {mirror.settings.source} leads to {resolved}")
    return folder


class _Source:
    """The source, before anything is done. The methods block."""

    def __init__(self, mirror: Mirror, state: State) -> None:
        self._settings = mirror.settings
        self._selection = mirror.selection
        self._state = state

    def open(self) -> OpenedFolder:
        """Open it. Raises OSError."""
        return OpenedFolder.at(os.fsencode(self._settings.source))

    def unfit(self, source: OpenedFolder) -> tuple[str, ...]:
        """Return why nothing may be done, and a hint: private files are inside, or nothing is readable, or all is gone.

        Empty if all is well.
        """
        settings, resolved = self._settings, Path(os.fsdecode(source))
        exposed = next(published(settings.private, resolved, self._selection), "")
        if said := holds_state(resolved, self._state.path.parent) or exposed:
            return (escape.shown(said),)
        listing = read_folder(source, "", self._selection)
        if listing.entries:
            return ()
        if not listing.complete:
            return _unreadable(settings, listing.problems[0][1] if listing.problems else "")
        if self._state.may_hold_anything() and not settings.allow_empty_source:
            options = "--allow-empty-source" + " --max-delete 100%" * settings.delete
            told = _told_empty(escape.shown(str(settings.source)), listing)
            return (told, f"if this is intended, run once with {options}")
        return ()


def _told_empty(source: str, listing: Listing) -> str:
    """Return what to say of a source in which nothing is to be mirrored: all may be excluded, or links."""
    numbers = ((listing.excluded, "excluded"), (len(listing.others), "skipped: links or special files"))
    if not (why := ", ".join(f"{number:,} {what}" for number, what in numbers if number)):
        return f"the source {source} is empty and the site is not"
    return f"nothing in the source {source} is mirrored ({why}) and the site is not empty"


class _AwaitableSource(Face[_Source]):
    open = Awaited(_Source.open)
    unfit = Awaited(_Source.unfit)


def _unreadable(settings: Settings, reason: str | None) -> tuple[str, str]:
    return (
        f"cannot read the source {escape.shown(str(settings.source))}: {reason or 'it cannot be opened'}",
        "check that it exists, is mounted, and is readable for this user",
    )


# What stops deletions.


class _AwaitableFolder(Face[OpenedFolder]):
    is_at = Awaited(OpenedFolder.is_at)
    lost_mounts = Awaited(OpenedFolder.lost_mounts)


class _Removed(NamedTuple):
    """What passes over a few folders have removed since the last one over everything."""

    files: int = 0
    of: int = 0
    """How many files the site held before the first of them."""

    @classmethod
    def read(cls, fact: str | None) -> "_Removed":
        """Read what was kept."""
        return cls(*map(int, fact.split())) if fact else cls()

    def with_more(self, removals: int, held: int) -> tuple[int, int]:
        """Return how many files are gone with so many more, and of how many; what others took the place of is not."""
        gone = min(self.files + removals, self.of - held + removals)
        return (gone, self.of) if gone > removals else (removals, held)

    def followed_by(self, removals: int, held: int) -> "_Removed":
        """Return what it is with so many more."""
        return _Removed(self.files + removals, self.of or held) if removals else self

    def __str__(self) -> str:
        """Return what is to be kept."""
        return f"{self.files} {self.of}"


class Guards:
    """What one pass may not delete: below what was a mount point, too much at once, after the source was exchanged."""

    def __init__(self, context: Context) -> None:
        """Begin with nothing unmounted."""
        self._settings = context.settings
        self._report = context.report
        self._scope = context.scope
        self._state = context.state
        self._folder = _AwaitableFolder(context.root, context.state.off_loop)
        self._unmounted: list[str] = []

    # Mount points.

    async def saw_source(self, *, is_mount: bool) -> None:
        """Take note whether the source itself is a mount point."""
        was_mount = await self._state.fact("source_is_mount")
        if was_mount and not is_mount and not self._settings.allow_unmounted:
            self._unmounted.append("")
        elif bool(was_mount) != is_mount:
            await self._state.learn(source_is_mount="yes" if is_mount else None)

    async def saw_unmounted(self, folders: Sequence[str]) -> None:
        """Take note of folders that were mount points and are none now."""
        if not self._settings.allow_unmounted:
            self._unmounted += folders
        elif folders:
            held = [await self._state.held.at(path) for path in folders]
            await self._state.held.add([entry._replace(mount=False) for entry in held if entry])

    async def look_for_lost_mounts(self) -> None:
        """See whether anything was unmounted since the pass began."""
        if not self._settings.allow_unmounted:
            self._unmounted += await self._folder.lost_mounts()

    def keep_below_mounts(self, path: str) -> bool:
        """Tell whether a path is to stay, for it is below or above what was a mount point; say so, once."""
        if not any(paths.is_inside(path, each) or paths.is_inside(each, path) for each in self._unmounted):
            return False
        where = ", ".join(escape.shown(each) or "the source" for each in self._unmounted[:3])
        self._halt(
            f"{where} is no longer a mount point: nothing below it is deleted",
            "if this is intended, run once with --allow-unmounted",
        )
        return True

    # How much, and of what.

    async def allow(self, files: Sequence[Entry]) -> bool:
        """Tell whether so many files may go at once; if not, say so, name the first, and how to override.

        What passes over a few folders remove counts together until a pass over everything is allowed to do its own.
        """
        held, before = await self._state.held.count_files(), _Removed.read(await self._state.fact("removed"))
        removals, of = before.with_more(len(files), held)
        limit = self._settings.delete_limit
        if files and not limit.allows(removals, of):
            self._tell_too_many(files, removals, of)
            return False
        after = None if self._scope.is_whole else before.followed_by(len(files), held)
        if after != before and (after or before.files):
            await self._state.learn(removed=after and str(after))
        return True

    def _tell_too_many(self, files: Sequence[Entry], removals: int, of: int) -> None:
        since = f", with the {earlier:,} since the last full pass" if (earlier := removals - len(files)) > 0 else ""
        limit = self._settings.delete_limit
        named = ", ".join(quoted(entry.path) for entry in files[:NAMED])
        more = f" and {len(files) - NAMED:,} more" if len(files) > NAMED else ""
        self._report.halt(
            f"{removals:,} of {of:,} tracked files would be deleted{since} (--max-delete {limit}): nothing is deleted",
            f"if this is intended, run once with --max-delete {removals}",
            f"would be deleted: {named}{more}",
        )

    async def is_of_this_source(self) -> bool:
        """Tell whether the source still leads to the folder that the pass has scanned; if not, say so, once."""
        source = self._settings.source
        if await self._folder.is_at(os.fsencode(source)):
            return True
        self._halt(
            f"the source {escape.shown(str(source))} was replaced or deleted during the pass: nothing more is deleted",
            "nothing to do if another pass follows; else run it once more",
        )
        return False

    def _halt(self, text: str, hint: str) -> None:
        if not any(halt.startswith(text) for halt in self._report.counts.halts):
            self._report.halt(text, hint)
