"""Takes a file whose content the site holds already for what it is: sets its date, and sends nothing."""

from async_mirror.jobs.attempt import Attempt
from async_mirror.jobs.compare_content import SameContent, same_content
from async_mirror.model.change import SendFile, SetDate
from async_mirror.model.entry import UNKNOWN, Entry
from async_mirror.model.outcome import NO_MODES, NO_MTIMES, UNCOMPARED, Outcome
from async_mirror.remote.errors import Refusal
from async_mirror.remote.session import RemoteSession
from async_mirror.source.files import read_file


async def if_known(attempt: Attempt, change: SendFile) -> Outcome | None:
    """Set the date of a file whose content is that of what is held; None if it is to be sent."""
    held = change.held
    if held is None or not _is_sure(attempt, held):
        return None
    try:
        found = await compared(attempt, change, held)
    except OSError:  # the upload will tell it
        return None
    if found.local is None or found.is_same is False:
        return None
    return attempt.skipped(UNCOMPARED) if found.is_same is None else await _set_date(attempt, change, held, found)


def _is_sure(attempt: Attempt, held: Entry) -> bool:
    """Tell whether nothing that an earlier attempt did may have another content than what is held."""
    doubt = attempt.doubts.get(held.path)
    if doubt is None:
        return True
    return not (doubt.anything or doubt.torn) and all(
        each and each.digest and each.digest == held.digest for each in doubt.versions
    )


async def compared(attempt: Attempt, change: SendFile, held: Entry) -> SameContent:
    """Compare a file of the source with what is held; with the site itself where nobody has read that."""
    source = attempt.publisher.source
    if not held.digest:
        return await same_content(attempt.session, source, change.entry, attempt.progress.may_do)
    local = await read_file(source, held.path)
    return SameContent(local is not None and local.digest == held.digest, local)


async def _set_date(attempt: Attempt, change: SendFile, held: Entry, found: SameContent) -> Outcome | None:
    """Set date and mode; None if the site turns out not to have the file."""
    assert found.local is not None
    session, path = attempt.session, held.path
    mode = found.local.mode if attempt.publisher.perms else held.mode
    version = found.local._replace(mode=mode, site_size=held.site_size, site_mtime_ns=held.site_mtime_ns)
    if version.marks != change.entry.marks:
        await attempt.progress.keep(version)
    dates = version.mtime_ns != held.mtime_ns
    with attempt.touching((path, held, version._replace(site_mtime_ns=UNKNOWN))):
        is_set = dates and await session.set_mtime(path, version.mtime_ns)
    if is_set:
        version = version._replace(site_mtime_ns=UNKNOWN)
    elif dates and await session.size(path) not in {version.size, UNKNOWN}:
        return None
    mode_set = mode == held.mode or await set_mode_quietly(session, path, mode)
    attempt.confirm(path, version)
    notes = ("" if is_set or not dates else NO_MTIMES, "" if mode_set else NO_MODES, found.note)
    return attempt.done(version, *notes, change=SetDate(version, held, SAME, is_set))


SAME = "its content is the same"
"""Why only a date was set."""


async def set_mode_quietly(session: RemoteSession, path: str, mode: int) -> bool:
    """Set a mode; False if the site refuses."""
    try:
        return await session.set_mode(path, mode)
    except Refusal:
        return False
