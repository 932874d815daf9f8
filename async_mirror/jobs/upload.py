"""Uploads one file in the way that was chosen: whole, or in place, so that its final name may bear a part of it."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from async_mirror.jobs.attempt import Attempt
from async_mirror.jobs.known_content import if_known
from async_mirror.jobs.send_file import Upload
from async_mirror.model.candidates import Candidates, added, observed
from async_mirror.model.entry import UNKNOWN, Entry
from async_mirror.model.outcome import Outcome
from async_mirror.model.temporary_names import IN_PLACE
from async_mirror.remote.errors import Refusal
from async_mirror.remote.session import Published


def upload(attempt: Attempt, entry: Entry, held: Entry | None, why: str) -> Coroutine[Any, Any, Outcome]:
    """Publish a file that replaces what is held."""
    way = InPlace if attempt.publisher.in_place else Upload
    return way(attempt, entry, held, why).outcome()


class InPlace(Upload):
    """The upload of a file under its final name, for servers that can neither rename nor delete.

    Until its size is seen to be right, and then its time and mode are set, a part of it may be there: a torn version.
    """

    _before: Entry | None = None

    async def _prepared(self) -> Outcome | None:
        """Wait until no session that was lost can still write the file; look what has the name, if nobody has."""
        attempt = self._attempt
        if attempt.unanswered and self._path in attempt.doubts:
            await asyncio.sleep(attempt.publisher.timeout_seconds)
        if self._change.compares and (outcome := await if_known(attempt, self._change)):
            return outcome
        if self._held is None and (self._asks or attempt.replaces is not False):
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
        await attempt.note(IN_PLACE)
        before = attempt.doubts.get(self._path, Candidates((self._held,)))
        attempt.doubts[self._path] = added(before._replace(torn=True), [version])
        return self._path

    async def _settle_refused(self) -> None:
        """Find out whether what was refused has touched the file; remove the part that may be there of a new one."""
        attempt, session = self._attempt, self._attempt.session
        if not attempt.is_first:
            return
        seen = await session.look(self._path)
        if not self._is_as_before(seen):
            if self._held or attempt.replaces is not False:
                return
            await session.remove_files([self._path])
        attempt.doubts.pop(self._path, None)

    def _is_as_before(self, seen: Entry | None) -> bool:
        """Tell whether the site shows what it had when this was begun, and that by a time which nothing torn has."""
        if self._held is None or seen is None:
            return self._held is None and seen == self._before
        alike = observed(Candidates((self._held,)), seen, sets_times=self._attempt.session.sets_times)
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
