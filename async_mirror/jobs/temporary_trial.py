"""Finds out, by empty temporaries, whether it is their name that a server refuses, or something else."""

from collections.abc import AsyncIterator, Awaitable
from enum import Enum, auto

from async_mirror.jobs.attempt import Attempt
from async_mirror.model.paths import parent
from async_mirror.remote.errors import NO_CHANGES, Refusal
from async_mirror.remote.session import Barred


class Nothing:
    """The content of an empty file."""

    size = 0
    whole = b""

    def reader(self) -> None:
        return None

    def advanced(self, amount: int) -> None:
        pass

    async def blocks(self) -> AsyncIterator[bytes]:
        yield b""


class Blame(Enum):
    """What it is that was refused."""

    TEMPORARY_NAME = auto()
    """The temporary's name: the attempt has another shape now, which is kept for the account."""
    THIS_FILE = auto()
    """What was sent, or the name that it was to get: the like of it was done with an empty temporary."""
    ANY_FILE = auto()
    """The same is refused to any temporary."""


async def why_not_stored(attempt: Attempt) -> Blame:
    """Find out why a temporary could not be written. Raises Refusal for the moment, or for want of room."""
    if attempt.session.barred(parent(attempt.path)):
        return Blame.ANY_FILE
    return await _try_shapes(attempt, renames=False)


async def why_not_renamed(attempt: Attempt) -> Blame:
    """Find out why a temporary could not get its final name, and remove it. Raises as `why_not_stored` does.

    Raises Refusal, too, if it can be neither renamed nor removed; then no other is tried, for that would stay as well.
    """
    if await _is_renamed(attempt):
        await attempt.drop_temporary()
        return Blame.THIS_FILE
    try:
        await attempt.drop_temporary()
    except Refusal as refusal:
        if refusal.transient:
            raise
        attempt.session.found_barred(parent(attempt.path), Barred.CHANGES)
        raise Refusal(NO_CHANGES, refusal.reply) from None
    return await _try_shapes(attempt, renames=True)


async def _try_shapes(attempt: Attempt, *, renames: bool) -> Blame:
    """Try each shape, the present one first."""
    present = attempt.shape
    for shape in attempt.shapes_to_try:
        attempt.shape = shape
        await attempt.note_shape()
        if await _bears(attempt, renames=renames):
            if shape == present:
                return Blame.THIS_FILE
            attempt.session.takes_shape(shape)
            return Blame.TEMPORARY_NAME
    attempt.shape = present
    attempt.session.found_barred(parent(attempt.path), Barred.RENAMES if renames else Barred.UPLOADS)
    return Blame.ANY_FILE


async def _bears(attempt: Attempt, *, renames: bool) -> bool:
    """Tell whether an empty temporary is taken in the present shape, and renamed if that is asked; remove it."""
    session = attempt.session
    attempt.left_behind = attempt.temporary
    taken = await _is_taken(session.store(attempt.left_behind, Nothing(), lambda: None))
    if taken and renames:
        taken = await _is_renamed(attempt)
    try:
        await attempt.drop_temporary()
    except Refusal:
        attempt.strays = (*attempt.strays, attempt.left_behind)
    return taken


async def _is_renamed(attempt: Attempt) -> bool:
    """Tell whether the temporary was not refused another name for good; until that is answered it may bear either."""
    strays, spare = attempt.strays, attempt.spare
    attempt.strays = (*strays, spare)
    try:
        taken = await _is_taken(attempt.session.rename(attempt.left_behind, spare))
    except Refusal:
        attempt.strays = strays
        raise
    attempt.strays = strays
    if taken:
        attempt.left_behind = spare
    return taken


async def _is_taken(asked: Awaitable[object]) -> bool:
    """Tell whether what was asked was not refused for good."""
    try:
        await asked
    except Refusal as refusal:
        if refusal.transient or refusal.no_space:
            raise
        return False
    return True
