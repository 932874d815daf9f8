"""The upload of one file: under a temporary name, and once all of it is there, its final one; or in place."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from typing import Any

from async_mirror.crew.work import Progress
from async_mirror.jobs import trials
from async_mirror.jobs.attempt import Attempt
from async_mirror.jobs.bandwidth import LONGEST_PIECE
from async_mirror.jobs.content import if_known
from async_mirror.jobs.existing import doubled, is_double, is_kept, is_there, kept
from async_mirror.jobs.trials import Blame, name_problem
from async_mirror.model.candidates import Candidates, added, held_after, observed
from async_mirror.model.change import REPLACES, TRIES_PER_ATTEMPT, SendFile
from async_mirror.model.entry import UNKNOWN, Entry
from async_mirror.model.outcome import NO_MODES, NO_MTIMES, UNTOLD, Outcome, Problem
from async_mirror.model.paths import parent
from async_mirror.model.settings import Existing
from async_mirror.model.temporary_names import IN_PLACE
from async_mirror.remote.errors import NO_CHANGES, InTheWay, Refusal
from async_mirror.remote.session import Barred, Published, Reader, Target
from async_mirror.source import files

NOT_ATOMIC = "this server cannot rename over an existing file, so a replaced file is missing for a moment"
NO_RENAMES = "this server refuses all renames, which atomic uploads need (--in-place does without)"


_OVERWRITE = Existing.OVERWRITE
_MUCH = 1 << 20
"""Bytes; before more are sent it is known what has the name that they are to get."""


class _Flow:
    """The bytes of a file on their way: no faster than they may, and told of as they leave (see `remote.Content`)."""

    def __init__(self, file: files.LocalFile, piece: int, progress: Progress) -> None:
        self.size = file.size
        self.whole = None if piece else file.whole
        self._file = file
        self._piece = piece
        self._progress = progress

    def all_left(self) -> None:
        """Take note that all has left, if that was not in blocks."""
        if self.whole is not None:
            self._file.sent = len(self.whole)
            self._progress.advanced(len(self.whole))

    def reader(self) -> Reader | None:
        return None if self._piece else self._file.reader()

    def advanced(self, amount: int) -> None:
        self._progress.advanced(amount)

    async def blocks(self) -> AsyncIterator[bytes]:
        piece = self._piece or LONGEST_PIECE
        async for block in self._file.blocks():
            for start in range(0, len(block), piece):
                part = block[start : start + piece]
                if self._piece:
                    await self._progress.may_do(len(part))
                yield part
                self._progress.advanced(len(part))


class Upload:
    """One file on its way, as it was scanned, with what its path held before; sent is what is read."""

    def __init__(self, attempt: Attempt, change: SendFile) -> None:
        """Prepare the upload of a job's file, or of one that the job turned out to need."""
        self._attempt = attempt
        self._temporaries = attempt.temporaries
        self._change = change
        self._path = attempt.path
        self._is_stored = False
        self._noted = change.entry if change is attempt.job.change else None
        self._asks = change.asks and self._path not in attempt.doubts
        if change.why == REPLACES:
            attempt.replaces = True

    async def outcome(self) -> Outcome:
        """Send the file as it is now, or settle what an attempt before this one did."""
        attempt = self._attempt
        if problem := await name_problem(attempt) or await self._kept() or await self._prepared():
            return problem
        for _ in range(TRIES_PER_ATTEMPT):
            outcome = await self._send_in_some_way()
            if outcome is not None:
                return outcome
        return attempt.failed(Problem.BUSY, "changed during both attempts")

    async def _prepared(self) -> Outcome | None:
        """See that nothing of an attempt before this one is left, and settle it if all bytes of that are there."""
        attempt = self._attempt
        if (barred := attempt.session.barred(parent(self._path))) and barred is not Barred.UPLOADS:
            return attempt.failed(Problem.REFUSED, NO_CHANGES if barred is Barred.CHANGES else NO_RENAMES)
        if self._temporaries.strays:
            await attempt.session.remove_files(self._temporaries.strays)
            self._temporaries.strays = ()
        if self._temporaries.left_behind and (outcome := await self._finish_previous()):
            return outcome
        if self._path in attempt.doubts and await attempt.session.size(self._path) is not None:
            await attempt.session.remove_files(self._temporaries.asides)  # another one would find them in its way
        if self._change.compares and (outcome := await if_known(attempt, self._change)):
            return outcome
        await self._temporaries.note(1 << self._temporaries.shape)
        return None

    async def _kept(self) -> Outcome | None:
        """Return what comes of it if others have the name, and keep it. Asks first where much would be sent in vain."""
        attempt = self._attempt
        decides = attempt.publisher.existing is not _OVERWRITE
        double = self._change.double
        if double and self._path not in attempt.doubts and await is_double(attempt.session, self._path, double):
            return doubled(attempt, double)
        if self._asks and (decides or self._change.entry.size > _MUCH):
            attempt.replaces = await is_there(attempt.session, self._path)
            self._asks = False
        return await kept(attempt) if is_kept(attempt) else None

    async def _send_in_some_way(self) -> Outcome | None:
        """Send the file; once more if it was the temporary's name that the server refused."""
        try:
            return await self._send_once()
        except Refusal as refusal:
            if not await self._is_for_the_name(refusal):
                raise
        self._temporaries.tries -= 1  # the name differs by its shape already, and only so many are cleaned up
        return await self._send_once()

    async def _is_for_the_name(self, refusal: Refusal) -> bool:
        """Tell whether the temporary's name was refused, and another is known now; raise what tells more if not."""
        attempt = self._attempt
        if refusal.transient or refusal.no_space or isinstance(refusal, InTheWay):
            return False
        if not self._temporaries.left_behind or await attempt.missing_folder() is not None:
            return False
        if not self._is_stored:
            return await trials.why_not_stored(attempt) is Blame.TEMPORARY_NAME
        match await trials.why_not_renamed(attempt):
            case Blame.TEMPORARY_NAME:
                return True
            case Blame.THIS_FILE:
                raise Refusal(f"uploaded, but the server refuses this name: {refusal}", refusal.reply)
            case Blame.ANY_FILE:
                raise Refusal(f"{NO_RENAMES}: {refusal}", refusal.reply)

    async def _send_once(self) -> Outcome | None:
        """Send the file as it is now; None if it changed meanwhile, and nothing came of it."""
        source, gone = self._attempt.publisher.source, "deleted from the source meanwhile"
        file = None
        try:
            file = await files.open_settled(source, self._path)
            if file is None:
                return self._attempt.skipped(gone)
            return None if file.settles_in_s else await self._send(file)
        except OSError as error:
            await self._temporaries.drop()
            return self._attempt.failed(Problem.UNREADABLE, error.strerror or str(error))
        finally:
            if file:
                file.close()

    async def _send(self, file: files.LocalFile) -> Outcome | None:
        attempt = self._attempt
        sent = None

        def all_sent() -> None:
            nonlocal sent
            flow.all_left()
            mode = file.entry.mode if attempt.publisher.perms else UNKNOWN
            sent = file.entry._replace(digest=file.digest, mode=mode)
            attempt.progress.left()

        path = await self._begun(file.entry)
        flow = _Flow(file, attempt.publisher.piece, attempt.progress)
        try:
            target = Target(self._path) if self._asks else None
            size = await attempt.session.store(path, flow, all_sent, target)
        finally:
            attempt.bytes_sent += file.sent
            self._temporaries.holds = sent if file.is_unchanged() else None
        if target:
            attempt.replaces, self._asks = target.is_there, False
        if not self._temporaries.holds:
            await self._temporaries.drop()
            return None
        self._is_stored = True
        if size != file.sent:
            await self._temporaries.drop()
            detail = f"uploaded {file.sent} bytes, the site has {size}"
            return attempt.failed(Problem.INCOMPLETE, detail, transient=True)
        return await self._publish(self._temporaries.holds)

    async def _begun(self, _: Entry) -> str:
        """Return the path under which a version is sent."""
        self._temporaries.left_behind = self._temporaries.next()
        self._temporaries.holds = None
        self._is_stored = False
        return self._temporaries.left_behind

    async def _note(self, version: Entry) -> None:
        """See that it is noted for good which version may come to be at the path, if it is not the one that was."""
        if self._noted is None or version.marks != self._noted.marks:
            await self._attempt.progress.keep(version)

    async def _publish(self, version: Entry) -> Outcome:
        """Give the temporary its final name, once it is noted for good which version may come to be there."""
        attempt = self._attempt
        await self._note(version)
        mode = version.mode if attempt.publisher.perms else None
        with attempt.touching((self._path, self._change.held, version)):
            published: Published = await attempt.session.publish(
                self._temporaries.left_behind, version, mode, self._temporaries.aside
            )
        attempt.confirm(self._path, version)
        self._temporaries.left_behind = ""
        if published.aside or not attempt.is_first:
            await attempt.session.remove_files(self._temporaries.asides)
        return self._done(version, published)

    def _done(self, version: Entry, published: Published) -> Outcome:
        return self._attempt.done(
            version,
            UNTOLD if self._attempt.replaces is None else "",
            "" if published.atomic else NOT_ATOMIC,
            "" if published.mtime_set else NO_MTIMES,
            "" if published.mode_set else NO_MODES,
            change=self._done_change,
        )

    @property
    def _done_change(self) -> SendFile:
        """What was done: it may have replaced what others had."""
        return self._change._replace(why=REPLACES) if self._attempt.replaces else self._change

    async def _finish_previous(self) -> Outcome | None:
        """Settle what the attempt before this one left: take it over if it is whole, else see that it is gone.

        A server process that wakes up late must find nothing to rename, so its temporary is gone before anything else
        is done. A whole one is published as it is: its reply was lost, not its bytes.
        """
        attempt = self._attempt
        version = self._temporaries.holds
        if version and version.same_content_as(self._change.entry):
            size = await attempt.session.size(self._temporaries.left_behind)
            if size == version.size:
                if self._asks:
                    attempt.replaces, self._asks = await is_there(attempt.session, self._path), False
                return await self._publish(version)
            if size is None and await self._is_published(version):
                self._temporaries.left_behind = ""
                await attempt.session.remove_files(self._temporaries.asides)
                return attempt.done(version, change=self._done_change)
        await self._temporaries.drop()
        return None

    async def _is_published(self, version: Entry) -> bool:
        """Tell whether the site shows this version, and nothing else that may be there looks like it."""
        doubt = self._attempt.doubts.get(self._path)
        if doubt is None:
            return False
        seen = await self._attempt.session.look(self._path)
        held = held_after(self._path, doubt, seen, sets_times=self._attempt.session.sets_times)
        return held is not None and held.size != UNKNOWN and held.is_content_of(version)


def upload(attempt: Attempt, change: SendFile) -> Coroutine[Any, Any, Outcome]:
    """Publish a file that replaces what is held."""
    way = InPlace if attempt.publisher.in_place else Upload
    return way(attempt, change).outcome()


class InPlace(Upload):
    """The upload of a file under its final name, for servers that can neither rename nor delete.

    Until its size is seen to be right, and then its time and mode are set, a part of it may be there: a torn version.
    """

    _before: Entry | None = None

    async def _prepared(self) -> Outcome | None:
        """Wait until no session that was lost can still write the file; look what has the name, if not done yet."""
        attempt = self._attempt
        if attempt.unanswered and self._path in attempt.doubts:
            await asyncio.sleep(attempt.publisher.timeout_seconds)
        if self._change.compares and (outcome := await if_known(attempt, self._change)):
            return outcome
        if self._change.held is None and (self._asks or attempt.replaces is not False):
            self._before = await attempt.session.look(self._path)
            attempt.replaces, self._asks = self._before is not None, False
        return None

    async def _send_in_some_way(self) -> Outcome | None:
        try:
            return await self._send_once()
        except Refusal:
            with suppress(Refusal):
                await self._settle_refused()
            raise

    async def _begun(self, version: Entry) -> str:
        attempt = self._attempt
        await self._note(version)
        await self._temporaries.note(IN_PLACE)
        before = attempt.doubts.get(self._path, Candidates((self._change.held,)))
        attempt.doubts[self._path] = added(before._replace(torn=True), [version])
        return self._path

    async def _settle_refused(self) -> None:
        """Find out whether what was refused has touched the file; remove the part that may be there of a new one."""
        attempt, session = self._attempt, self._attempt.session
        if not attempt.is_first:
            return
        seen = await session.look(self._path)
        if not self._is_as_before(seen):
            if self._change.held or attempt.replaces is not False:
                return
            await session.remove_files([self._path])
        attempt.doubts.pop(self._path, None)

    def _is_as_before(self, seen: Entry | None) -> bool:
        """Tell whether the site shows what it had when this was begun, and that by a time which nothing torn has."""
        if self._change.held is None or seen is None:
            return self._change.held is None and seen == self._before
        alike = observed(Candidates((self._change.held,)), seen, sets_times=self._attempt.session.sets_times)
        return bool(alike.versions) and seen.mtime_ns != UNKNOWN

    async def _publish(self, version: Entry) -> Outcome:
        """Set time and mode of what is there now, whole."""
        attempt, session = self._attempt, self._attempt.session
        mtime_set = await session.set_mtime(self._path, version.mtime_ns)
        mode_set = not attempt.publisher.perms
        with suppress(Refusal):
            mode_set = mode_set or await session.set_mode(self._path, version.mode)
        attempt.confirm(self._path, version)
        return self._done(version, Published(mtime_set, mode_set, atomic=True))
