"""Opens the source when a pass begins, and sees that it is fit to be mirrored. Changes nothing."""

import os
from pathlib import Path

from async_mirror.model import escape
from async_mirror.model.settings import Settings
from async_mirror.multi import Offload
from async_mirror.source.opened_folder import OpenedFolder
from async_mirror.source.scan import read_folder
from async_mirror.source.secrecy import holds_state, published
from async_mirror.state.store import State
from async_mirror.sync.mirror import Mirror


async def open_source(mirror: Mirror, state: State, offload: Offload) -> OpenedFolder | None:
    """Open the folder that the source leads to now; None where nothing may be done in this pass, which is told."""
    try:
        source = await offload(OpenedFolder.at, os.fsencode(mirror.settings.source))
    except OSError as error:
        mirror.report.halt(_unreadable(mirror.settings, error.strerror))
        return None
    if reason := await offload(_unfit, mirror, state, source):
        mirror.report.halt(reason)
        return None
    if (resolved := Path(os.fsdecode(source))) != mirror.settings.source:
        mirror.report.note(f"the source {mirror.settings.source} is {resolved} in this pass")
    return source


def _unfit(mirror: Mirror, state: State, source: OpenedFolder) -> str:
    """Return why nothing may be done: what must stay private is inside, or nothing can be read, or is there."""
    settings, resolved = mirror.settings, Path(os.fsdecode(source))
    exposed = next(published(settings.private, resolved, mirror.selection), "")
    if said := holds_state(resolved, state.path.parent) or exposed:
        return f"{escape.shown(said)}. Nothing is done in this pass"
    listing = read_folder(source, "", mirror.selection)
    if listing.entries:
        return ""
    if not listing.complete:
        return _unreadable(settings, listing.problems[0][1] if listing.problems else "")
    if state.holds_anything() and not settings.allow_empty_source:
        options = "--allow-empty-source" + " --max-delete 100%" * settings.delete
        return (
            f"the source {escape.shown(str(settings.source))} is empty and the site is not: nothing is done."
            f" If that is meant, run once with {options}"
        )
    return ""


def _unreadable(settings: Settings, reason: str | None) -> str:
    return (
        f"the source {escape.shown(str(settings.source))} cannot be read ({reason or 'it cannot be opened'}):"
        " nothing is done. See that it is there, mounted, and may be read by this user"
    )
