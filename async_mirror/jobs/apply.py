"""Carries out one Change on one RemoteSession and says what came of it. Knows no library, no state, no schedule."""

from collections.abc import Coroutine
from typing import Any, assert_never

from async_mirror.crew.work import Progress
from async_mirror.jobs import folders, single_files
from async_mirror.jobs.attempt import Attempt, Publisher, doubts_of, left_by
from async_mirror.jobs.trials import drop_box
from async_mirror.jobs.upload import upload
from async_mirror.model import paths, temporary_names
from async_mirror.model.candidates import Candidates, added
from async_mirror.model.change import (
    TRIES_PER_ATTEMPT,
    Job,
    MakeFolder,
    Move,
    RemoveFile,
    RemoveFolder,
    SendFile,
    SetAttributes,
    path_of,
    touches,
)
from async_mirror.model.outcome import Doubt, Failure, InDoubt, Left, Outcome, Problem
from async_mirror.remote.errors import ConnectionBroken, Refusal
from async_mirror.remote.session import RemoteSession


async def perform(
    publisher: Publisher, session: RemoteSession, job: Job, previous: Outcome | None, progress: Progress
) -> Outcome:
    """Carry out a job; whatever the site does, an Outcome comes back. `previous` is that of the last attempt."""
    attempt = Attempt(publisher, session, job, previous, progress)
    try:
        if attempt.temporaries.box:  # of an attempt before, what it was to find out may be known by now
            await drop_box(attempt)
        return await _outcome(attempt)
    except Refusal as refusal:
        return await attempt.refused(refusal)
    except ConnectionBroken as broken:
        return attempt.broken(broken)


def _outcome(attempt: Attempt) -> Coroutine[Any, Any, Outcome]:
    """Return what carries out the job."""
    change = attempt.job.change
    if isinstance(change, SendFile):
        return upload(attempt, change)
    if not isinstance(change, Move):
        attempt.progress.left()
    match change:
        case SetAttributes():
            return single_files.set_attributes(attempt, change)
        case Move(entry):
            return (folders.move if entry.is_folder else single_files.move)(attempt, change)
        case RemoveFile(held):
            return single_files.remove(attempt, held)
        case MakeFolder(entry):
            return folders.make(attempt, entry)
        case RemoveFolder(held):
            return folders.remove(attempt, held)
        case _ as never:
            assert_never(never)


def lost(publisher: Publisher, job: Job, previous: Outcome | None, what: str) -> Outcome:
    """Return what stands for an attempt without a result: all that it may have done is in doubt."""
    left = left_by(previous)
    folder = paths.parent(path_of(job.change))
    attempts = range(left.tries, left.tries + TRIES_PER_ATTEMPT)
    name = paths.split(path_of(job.change))[1]
    made = [
        temporary_names.temporary(publisher.state_id, job.temporary_token(attempt), shape, name)
        for attempt in attempts
        for shape in range(len(temporary_names.SHAPES))
        if not publisher.in_place
    ]
    before = {doubt.path: doubt.candidates for doubt in doubts_of(previous)}
    is_asked = isinstance(job.change, SendFile | Move) and job.change.asks and path_of(job.change) not in before
    doubts = {
        path: added(before.get(path, Candidates((old,), torn=publisher.in_place)), [new])
        for path, old, new in touches(job.change)
    }
    return InDoubt(
        job,
        Failure(path_of(job.change), Problem.CONNECTION, what, transient=True),
        tuple(Doubt(path, candidates) for path, candidates in (before | doubts).items()),
        left=Left(
            tries=left.tries + TRIES_PER_ATTEMPT,
            shapes=left.shapes,
            strays=(*left.strays, *filter(None, [left.temporary]), *(paths.join(folder, each) for each in made)),
            box=left.box,
            unanswered=True,
            replaces=None if is_asked else left.replaces,
        ),
    )
