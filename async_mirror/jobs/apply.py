"""Carries out one Change on one RemoteSession and says what came of it. Knows no library, no state, no schedule."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol, assert_never

from async_mirror.jobs.bandwidth import LONGEST_PIECE
from async_mirror.jobs.folder_check import shows, was_renamed
from async_mirror.model import odd_names, paths, temporary_names
from async_mirror.model.change import (
    NO_MODES,
    TRIES_PER_ATTEMPT,
    Failure,
    Job,
    MakeFolder,
    Move,
    Outcome,
    Problem,
    RemoveFile,
    RemoveFolder,
    SendFile,
    SetAttributes,
    path_of,
)
from async_mirror.model.entry import UNKNOWN, Entry
from async_mirror.remote.errors import ConnectionBroken, Refusal
from async_mirror.remote.session import Published, Reader, RemoteSession
from async_mirror.source import files, look

NOT_ATOMIC = "this server does not rename onto a file that is there: for a moment a replaced file is absent"
NO_MTIMES = "this server does not set every modification time: some files bear that of their upload"


class Progress(Protocol):
    """Who is told how a job gets on."""

    def left(self) -> None:
        """All that is to be sent has left."""
        ...

    def advanced(self, amount: int) -> None:
        """So many more bytes have left."""
        ...

    async def may_do(self, amount: int) -> None:
        """Wait until so many more bytes may be sent."""
        ...


@dataclass(frozen=True, slots=True)
class Publisher:
    """What all jobs of a mirror share: source, whose temporaries they are, whether modes are mirrored.

    `piece` is the most bytes to send without asking whether more may be sent; 0 where there is no limit.
    """

    source: bytes
    state_id: str
    perms: bool = True
    piece: int = 0

    async def perform(self, session: RemoteSession, job: Job, previous: Outcome | None, progress: Progress) -> Outcome:
        """Carry out a job; whatever the site does, an Outcome comes back. `previous` is that of the last attempt."""
        attempt = _Attempt(self, session, job, previous, progress)
        try:
            outcome = await attempt.outcome()
        except Refusal as refusal:
            outcome = await attempt.refused(refusal)
        except ConnectionBroken as broken:
            outcome = attempt.broken(broken)
        return outcome._replace(bytes_sent=attempt.bytes_sent)

    def lost(self, job: Job, previous: Outcome | None, what: str) -> Outcome:
        """Return what stands for an attempt that nobody heard of again: its temporaries may be anywhere."""
        before = previous or Outcome(job, None)
        folder = paths.parent(path_of(job.change))
        attempts = range(before.tries, before.tries + TRIES_PER_ATTEMPT)
        made = [temporary_names.temporary(self.state_id, job.temporary_token(attempt)) for attempt in attempts]
        return Outcome(
            job,
            before.held,
            Failure(path_of(job.change), Problem.CONNECTION, what, transient=True),
            certain=False,
            tries=before.tries + TRIES_PER_ATTEMPT,
            strays=(*before.strays, *filter(None, [before.temporary]), *(paths.join(folder, name) for name in made)),
        )


class _Flow:
    """The bytes of a file on their way: no faster than they may, and told of as they leave (a `Content`)."""

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


class _Attempt:
    """One attempt at one job. `left_behind` names the temporary that may be on the site, `sending` what is in it."""

    def __init__(
        self, publisher: Publisher, session: RemoteSession, job: Job, previous: Outcome | None, progress: Progress
    ) -> None:
        self.publisher = publisher
        self.session = session
        self.job = job
        self.path = path_of(job.change)
        self.previous = previous
        self.progress = progress
        self.tries = previous.tries if previous else 0
        self.left_behind = previous.temporary if previous else ""
        self.strays = previous.strays if previous else ()
        self.sending = previous.held if previous else None
        self.whole = previous.whole if previous else False
        self.bytes_sent = 0

    async def outcome(self) -> Outcome:
        if not isinstance(self.job.change, SendFile | Move):
            self.progress.left()
        match self.job.change:
            case MakeFolder(entry):
                return await self.make_folder(entry)
            case SendFile(entry):
                return await self.send(entry)
            case SetAttributes(entry, held):
                return await self.set_attributes(entry, held)
            case Move() as move:
                return await (self.move_folder(move) if move.inside else self.move(move))
            case RemoveFile(held):
                return await self.remove_file(held)
            case RemoveFolder(held):
                return await self.remove_folder(held)
            case _ as never:
                assert_never(never)

    # How an attempt ends.

    def done(self, held: Entry | None, *notes: str) -> Outcome:
        return Outcome(self.job, held, notes=tuple(note for note in notes if note))

    def skipped(self, why: str) -> Outcome:
        return Outcome(self.job, None, skipped=why)

    def failed(self, problem: Problem, detail: str, *, transient: bool = False) -> Outcome:
        """Tell of a failure that left the path as it was; a temporary that is still named is for the next attempt."""
        failure = Failure(self.path, problem, detail, transient)
        return Outcome(
            self.job,
            None,
            failure,
            certain=not (self.left_behind or self.strays),
            temporary=self.left_behind,
            tries=self.tries,
            strays=self.strays,
        )

    async def refused(self, refusal: Refusal) -> Outcome:
        """Clean up after the server said no; find out whether the folder is missing."""
        missing = None
        try:
            await self.drop_temporary()
            if not refusal.transient:
                missing = await self.missing_folder()
        except (Refusal, ConnectionBroken):
            pass
        problem = Problem.NO_SPACE if refusal.no_space else Problem.REFUSED
        transient = refusal.transient and not refusal.no_space
        return self.failed(problem, refusal.told, transient=transient)._replace(missing=missing)

    async def missing_folder(self) -> str | None:
        change = self.job.change
        itself = isinstance(change, SetAttributes) and change.entry.is_folder
        for folder in [*paths.lineage(self.path), *([self.path] if itself else [])]:
            if await self.session.look(folder) is None:
                return folder
        return None

    def broken(self, error: ConnectionBroken) -> Outcome:
        """Tell of a connection that broke: what is on the site is not known until somebody looks."""
        return Outcome(
            self.job,
            self.sending,
            Failure(self.path, error.problem, error.told, transient=True),
            certain=False,
            temporary=self.left_behind,
            whole=self.whole,
            tries=self.tries,
            strays=self.strays,
        )

    # The six changes.

    async def make_folder(self, entry: Entry) -> Outcome:
        if problem := await self.name_problem():
            return problem
        try:
            await self.session.make_folder(entry.path)
        except Refusal as refusal:
            seen = await self.session.look(entry.path)
            if seen is not None and not seen.is_folder:
                what = "a file of others is in the way (remove it from the site, or rename the folder)"
                raise Refusal(what, refusal.reply) from None
            raise
        return self.done(entry._replace(mode=UNKNOWN))

    async def set_attributes(self, entry: Entry, held: Entry) -> Outcome:
        mode = entry.mode | 0o700 if entry.is_folder else entry.mode
        try:
            was_set = await self.session.set_mode(entry.path, mode)
        except Refusal as refusal:
            if refusal.transient or (entry.is_folder and await self.session.look(entry.path) is None):
                raise
            was_set = False
        if not was_set and held.digest:
            return await self.send(entry)
        return self.done(entry._replace(digest=held.digest), "" if was_set else NO_MODES)

    async def move(self, move: Move) -> Outcome:
        entry, held = move.entry, move.held
        if problem := await self.name_problem():
            return problem
        same_content = entry.is_folder or await self.has_digest(entry.path, held.digest)
        if not same_content and not move.twin:
            return await self.send(entry)
        try:
            await self.session.rename(held.path, entry.path)
        except Refusal:
            if entry.is_folder and await self.session.look(entry.path) is None:
                raise
            if not entry.is_folder and not await self.was_moved(move):
                return await self.send(entry)
        if entry.is_folder:
            return self.moved_folder(move)
        if not same_content:
            outcome = await self.send(entry)
            done = not outcome.failure and not outcome.skipped
            return outcome._replace(moved=True, certain=outcome.certain and done)
        mtime_set = entry.mtime_ns == held.mtime_ns or await self.session.set_mtime(entry.path, entry.mtime_ns)
        if not self.publisher.perms:
            entry = entry._replace(mode=held.mode)
        mode_set = entry.mode == held.mode or await self.set_mode_quietly(entry)
        notes = ("" if mtime_set else NO_MTIMES, "" if mode_set else NO_MODES)
        return self.done(entry._replace(digest=held.digest), *notes)._replace(moved=True)

    async def move_folder(self, move: Move) -> Outcome:
        """Rename a folder with all that is in it, if that is ours alone; else, and in doubt, make the new one.

        A name that is taken is left alone: some servers rename onto an empty folder, which may be somebody else's.
        """
        if problem := await self.name_problem():
            return problem
        old, new = move.held.path, move.entry.path
        try:
            if self.previous and await was_renamed(self.session, old, new, move.inside):
                return self.moved_folder(move)
            if await self.session.look(new) is None and await shows(self.session, old, move.inside):
                await self.session.rename(old, new)
                return self.moved_folder(move)
        except Refusal:
            pass
        return await self.make_folder(move.entry)

    def moved_folder(self, move: Move) -> Outcome:
        entry, held = move.entry, move.held
        return self.done(entry._replace(mode=held.mode, mount=entry.mount or held.mount))._replace(moved=True)

    async def was_moved(self, move: Move) -> bool:
        """Tell whether a refused rename was done by an earlier attempt, whose reply was lost."""
        if not move.twin and await self.session.size(move.held.path) is not None:
            return False
        return await self.session.size(move.entry.path) == move.held.size

    async def set_mode_quietly(self, entry: Entry) -> bool:
        try:
            return await self.session.set_mode(entry.path, entry.mode)
        except Refusal:
            return False

    async def has_digest(self, path: str, digest: bytes) -> bool:
        try:
            return bool(digest) and await files.digest_of(self.publisher.source, path) == digest
        except OSError:
            return False

    async def remove_file(self, held: Entry) -> Outcome:
        if outcome := self.is_back(held):
            return outcome
        try:
            await self.session.remove_files([held.path])
        except Refusal:
            seen = await self.session.look(held.path)
            if seen is None or not seen.is_folder:
                raise
            return self.done(None)._replace(given_up=True)
        return self.done(None)

    async def remove_folder(self, held: Entry) -> Outcome:
        if outcome := self.is_back(held):
            return outcome
        try:
            await self.session.remove_folder(held.path)
        except Refusal:
            listing = await self.session.list_folder(held.path)
            if listing is None or not (listing.entries or listing.others or listing.oddities):
                raise
            return self.done(None)._replace(given_up=True)
        return self.done(None)

    def is_back(self, held: Entry) -> Outcome | None:
        """Look at the source once more: what is there again is not removed, unless as something of the other kind."""
        try:
            there = look.is_there(self.publisher.source, held.path)
        except OSError as error:
            return self.failed(Problem.UNREADABLE, error.strerror or str(error))
        now = look.look(self.publisher.source, held.path) if there else None
        if not there or (now and now.kind is not held.kind):
            return None
        return self.skipped("it is in the source again")

    # Publishing one file.

    async def send(self, entry: Entry) -> Outcome:
        if problem := await self.name_problem():
            return problem
        if self.strays:
            await self.session.remove_files(self.strays)
            self.strays = ()
        if self.left_behind and (outcome := await self.finish_previous(entry)):
            return outcome
        for _ in range(TRIES_PER_ATTEMPT):
            outcome = await self.send_once()
            if outcome is not None:
                return outcome
        return self.failed(Problem.BUSY, "it was begun twice, and changed both times")

    async def send_once(self) -> Outcome | None:
        """Send the file as it is now; None if it changed meanwhile, and nothing came of it."""
        try:
            file = await files.open_file(self.publisher.source, self.path)
        except OSError as error:
            return self.failed(Problem.UNREADABLE, error.strerror or str(error))
        if file is None:
            return self.skipped("it is no longer in the source")
        try:
            if file.settles_in_s:
                file.close()
                await asyncio.sleep(file.settles_in_s)
                file = await files.open_file(self.publisher.source, self.path)
                if file is None:
                    return self.skipped("it is no longer in the source")
            return None if file.settles_in_s else await self.publish(file)
        except OSError as error:
            await self.drop_temporary()
            return self.failed(Problem.UNREADABLE, error.strerror or str(error))
        finally:
            if file:
                self.bytes_sent += file.sent
                file.close()

    async def publish(self, file: files.LocalFile) -> Outcome | None:
        def all_sent() -> None:
            flow.all_left()
            mode = file.entry.mode if self.publisher.perms else UNKNOWN
            self.sending = file.entry._replace(digest=file.digest, mode=mode)
            self.whole = True
            self.progress.left()

        self.left_behind = self.temporary()
        self.whole = False
        flow = _Flow(file, self.publisher.piece, self.progress)
        try:
            size = await self.session.store(self.left_behind, flow, all_sent)
        finally:
            all_left, self.whole = self.whole, False
            self.whole = all_left and file.is_unchanged()
        if not self.whole:
            await self.drop_temporary()
            return None
        if size != file.sent:
            await self.drop_temporary()
            detail = f"{file.sent} bytes were sent, the site has {size}"
            return self.failed(Problem.INCOMPLETE, detail, transient=True)
        assert self.sending is not None, "all was sent"
        return await self.rename_into_place(self.sending)

    async def rename_into_place(self, entry: Entry) -> Outcome:
        mode = entry.mode if self.publisher.perms else None
        published: Published = await self.session.publish(self.left_behind, entry, mode, self.aside)
        if self.previous:
            await self.session.remove_files([self.aside])
        self.left_behind = ""
        return self.done(
            entry,
            "" if published.atomic else NOT_ATOMIC,
            "" if published.mtime_set else NO_MTIMES,
            "" if published.mode_set else NO_MODES,
        )

    async def finish_previous(self, entry: Entry) -> Outcome | None:
        """Settle what the attempt before this one left: take it over if it is whole, else see that it is gone.

        A server process that wakes up late must find nothing to rename, so its temporary is gone before anything else
        is done. A whole one is published as it is: its reply was lost, not its bytes.
        """
        sending = self.sending
        if self.whole and sending and sending.same_content_as(entry):
            size = await self.session.size(self.left_behind)
            if size == sending.size:
                return await self.rename_into_place(sending)
            if size is None and await self.is_published(sending):
                await self.session.remove_files([self.aside])
                return self.done(sending)
        await self.drop_temporary()
        return None

    async def is_published(self, entry: Entry) -> bool:
        """Tell whether the site shows this version, and not just one that looks like it from there."""
        change = self.job.change
        before = change.held if isinstance(change, SendFile) else None
        if before and _seen_as(before) == _seen_as(entry):
            return False
        seen = await self.session.look(entry.path)
        return seen is not None and not seen.is_folder and _seen_as(seen) == _seen_as(entry)

    async def drop_temporary(self) -> None:
        if self.left_behind:
            await self.session.remove_files([self.left_behind])
            self.left_behind = ""

    def temporary(self) -> str:
        token = self.job.temporary_token(self.tries)
        self.tries += 1
        return self.beside(temporary_names.temporary(self.publisher.state_id, token))

    @property
    def aside(self) -> str:
        return self.beside(temporary_names.temporary(self.publisher.state_id, self.job.aside_token))

    def beside(self, name: str) -> str:
        return paths.join(paths.parent(self.path), name)

    # Names.

    async def name_problem(self) -> Outcome | None:
        """Refuse a name that this site would alter, before anything bears it."""
        traits = odd_names.odd_traits(paths.split(self.path)[1])
        if traits <= self.session.kept:
            return None
        if await self.alters(traits):
            return self.failed(
                Problem.ALTERED, "the server does not keep such a name as it is; rename it in the source"
            )
        return None

    async def alters(self, traits: frozenset[str]) -> bool:
        """Try odd names inside a folder of our own, where they do no harm and a listing is short.

        What the server refuses outright it will refuse of the name itself, so that is no alteration.
        """
        box = self.beside(temporary_names.temporary(self.publisher.state_id, self.job.probe_token))
        tried = paths.join(box, odd_names.sample(traits))
        await self.session.make_folder(box)
        found = []
        refused = False
        try:
            await self.session.make_folder(tried)
        except Refusal:
            refused = True
        else:
            listing = await self.session.list_folder(box)
            found = [entry.path for entry in listing.entries] if listing else []
        for path in found:
            await self.session.remove_folder(path)
        await self.session.remove_folder(box)
        if found == [tried]:
            self.session.kept.update(traits)
        return not refused and found != [tried]


def _seen_as(entry: Entry) -> tuple[int, int]:
    """Return what of a version a site shows: its size, and its mtime to the second."""
    return entry.size, entry.mtime_ns // 1_000_000_000
