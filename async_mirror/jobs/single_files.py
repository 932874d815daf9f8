"""What is done about a single file but to upload it: renamed, deleted, given its mode."""

from async_mirror.jobs.attempt import Attempt
from async_mirror.jobs.content import set_mode_quietly
from async_mirror.jobs.existing import is_kept, is_there, kept
from async_mirror.jobs.folder_check import spelled
from async_mirror.jobs.trials import name_problem
from async_mirror.jobs.upload import upload
from async_mirror.model.candidates import held_after, unknown
from async_mirror.model.change import REPLACES, Move, SendFile, SetAttributes
from async_mirror.model.entry import UNKNOWN, Entry
from async_mirror.model.outcome import NO_MODES, NO_MTIMES, UNTOLD, Outcome, Problem
from async_mirror.remote.errors import Refusal
from async_mirror.source import files, look


async def set_attributes(attempt: Attempt, change: SetAttributes) -> Outcome:
    """Set the mode of a file or folder; a file whose mode is refused may be of another owner: it is replaced."""
    entry, held = change.entry, change.held
    mode = entry.mode | 0o700 if entry.is_folder else entry.mode
    is_refused = False
    try:
        was_set = await attempt.session.set_mode(entry.path, mode)
    except Refusal as refusal:
        if refusal.transient or (entry.is_folder and await attempt.session.look(entry.path) is None):
            raise
        was_set, is_refused = False, True
    if is_refused and held.digest:
        return await upload(attempt, SendFile(entry, held, change.why))
    now = entry._replace(digest=held.digest, site_size=held.site_size, site_mtime_ns=held.site_mtime_ns)
    return attempt.done(now, "" if was_set else NO_MODES)


async def move(attempt: Attempt, change: Move) -> Outcome:
    """Rename a file, if it is the one that was sent under the old name; else upload it.

    A twin is renamed in any case: what is to be uploaded in its place comes afterwards.
    """
    entry, held = change.entry, change.held
    if problem := await name_problem(attempt):
        return problem
    if change.asks and entry.path not in attempt.doubts:
        attempt.replaces = await _is_there(attempt, change)
    if is_kept(attempt):
        return await kept(attempt)
    same_content = await _has_digest(attempt, entry.path, held.digest)
    moved = held._replace(path=entry.path)
    if not (same_content or change.twin) or not await _rename(attempt, change, moved):
        return await upload(attempt, SendFile(entry, None, REPLACES if attempt.replaces else "new"))
    attempt.confirm(held.path, None)
    attempt.confirm(entry.path, moved)
    if not same_content:
        return _moved(attempt, change, renamed(entry, held))
    mtime_set = entry.mtime_ns == held.mtime_ns or await _set_date(attempt, moved, entry.mtime_ns)
    mode = entry.mode if attempt.publisher.perms else held.mode
    mode_set = mode == held.mode or await set_mode_quietly(attempt.session, entry.path, entry.mode)
    notes = ("" if mtime_set else NO_MTIMES, "" if mode_set else NO_MODES)
    return _moved(attempt, change, entry._replace(digest=held.digest, mode=mode), *notes)


async def _set_date(attempt: Attempt, moved: Entry, mtime_ns: int) -> bool:
    """Set the date of what was renamed; the new one is noted before, for a run may be killed once it is set."""
    dated = moved._replace(mtime_ns=mtime_ns, site_mtime_ns=UNKNOWN)
    await attempt.progress.keep(dated)
    with attempt.touching((moved.path, moved, dated)):
        return await attempt.session.set_mtime(moved.path, mtime_ns)


def _moved(attempt: Attempt, change: Move, held: Entry, *notes: str) -> Outcome:
    """Tell of a rename, and of what it may have replaced."""
    told = change._replace(why=REPLACES) if attempt.replaces else change
    return attempt.done(held, UNTOLD if attempt.replaces is None else "", *notes, change=told)


async def _is_there(attempt: Attempt, change: Move) -> bool | None:
    """Tell whether others have the new name; to some sites it is the old one, too, of a twin."""
    there = await is_there(attempt.session, change.entry.path)
    if there and change.twin:
        return await spelled(attempt.session, change.entry.path) is not None
    return there


def renamed(entry: Entry, held: Entry) -> Entry:
    """Return what is held once a twin was renamed whose content is not known to be the same."""
    moved = held._replace(path=entry.path)
    return moved if _is_as_adopted(entry, held) else unknown(moved)


def _is_as_adopted(entry: Entry, held: Entry) -> bool:
    """Tell whether a file whose content was not read is the one that was held, as far as its marks tell."""
    return not held.digest and entry.same_content_as(held) and entry.inode == held.inode


async def _rename(attempt: Attempt, change: Move, moved: Entry) -> bool:
    """Rename a file; False if the server refuses, unless an attempt whose reply was lost has done it.

    After such an attempt the old name may be another's: what is there is not renamed if it is not what was held.
    """
    old, new = change.held.path, change.entry.path
    if not change.twin and old in attempt.doubts and not await _is_still(attempt, change.held):
        return await _was_renamed(attempt, change, moved)
    try:
        with attempt.touching((old, change.held, None), (new, None, moved)):
            await attempt.session.rename(old, new)
    except Refusal:
        return await _was_renamed(attempt, change, moved)
    return True


async def _is_still(attempt: Attempt, held: Entry) -> bool:
    """Tell whether a path has what was held there, as far as the site shows it."""
    seen = await attempt.session.look(held.path)
    known = held_after(held.path, attempt.doubts[held.path], seen, sets_times=attempt.session.sets_times)
    return known is not None and known.size != UNKNOWN and known.is_content_of(held)


async def _was_renamed(attempt: Attempt, change: Move, moved: Entry) -> bool:
    """Tell whether an earlier attempt has renamed it: what has the new name is that, and does not only look like it."""
    doubt = attempt.doubts.get(moved.path)
    if doubt is None or (not change.twin and await attempt.session.size(change.held.path) is not None):
        return False
    seen = await attempt.session.look(moved.path)
    held = held_after(moved.path, doubt, seen, sets_times=attempt.session.sets_times)
    return held is not None and held.size != UNKNOWN and held.is_content_of(moved)


async def _has_digest(attempt: Attempt, path: str, digest: bytes) -> bool:
    try:
        return bool(digest) and await files.digest_of(attempt.publisher.source, path) == digest
    except OSError:
        return False


async def remove(attempt: Attempt, held: Entry) -> Outcome:
    """Delete a file, unless the source has it again."""
    if outcome := is_back(attempt, held):
        return outcome
    try:
        with attempt.touching((held.path, held, None)):
            await attempt.session.remove_files([held.path])
    except Refusal:
        seen = await attempt.session.look(held.path)
        if seen is None or not seen.is_folder:
            raise
        return attempt.unmanaged("replaced on the site by an unmanaged folder")
    return attempt.done(None)


def is_back(attempt: Attempt, held: Entry) -> Outcome | None:
    """Look at the source once more: what is there again is not removed, unless as something of the other kind."""
    source = attempt.publisher.source
    try:
        there = look.is_there(source, held.path)
    except OSError as error:
        return attempt.failed(Problem.UNREADABLE, error.strerror or str(error))
    now = look.look(source, held.path) if there else None
    if not there or (now and now.kind is not held.kind):
        return None
    return attempt.skipped("back in the source")
