"""What one attempt at a file leaves behind is published by the next one only if it is a version that was there."""

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from support.memory_site import MemoryFile, MemorySession, MemorySite
from support.program import MTIME, write

from async_mirror.jobs import apply
from async_mirror.jobs.attempt import Attempt, Publisher
from async_mirror.model.change import Job, RemoveFolder, SendFile, Shapes
from async_mirror.model.entry import Entry, Kind
from async_mirror.model.outcome import Done, InDoubt, Outcome, Unmanaged
from async_mirror.model.temporary_names import IN_PLACE
from async_mirror.remote.errors import ConnectionBroken
from async_mirror.remote.session import Content, Target
from async_mirror.source.look import look


class NoProgress:
    def left(self) -> None: ...
    def advanced(self, amount: int) -> None: ...
    async def may_do(self, amount: int) -> None: ...
    async def keep(self, what: Entry | Shapes) -> None: ...


class CutSession(MemorySession):
    """Ends once the file is there: at once, or at the next command; and then the source's file is another."""

    def __init__(self, site: MemorySite, source: Path, *, confirms: bool) -> None:
        super().__init__(site)
        self._source = source
        self._confirms = confirms

    async def store(self, path: str, content: Content, left: Callable[[], None], target: Target | None = None) -> int:
        size = await super().store(path, content, left, target)
        write(self._source / "file", "new", MTIME)
        if not self._confirms:
            raise ConnectionBroken("it was cut")
        return size

    async def remove_files(self, paths: Iterable[str]) -> None:
        raise ConnectionBroken("it was cut")


@pytest.mark.parametrize("confirms", [True, False])
def test_what_changed_while_it_was_sent_is_not_published_by_the_next_attempt(tmp_path: Path, confirms: bool) -> None:
    write(tmp_path / "file", "old", MTIME)
    site, publisher = MemorySite(), Publisher(bytes(tmp_path), "0" * 8)
    entry = look(bytes(tmp_path), "file")
    assert entry
    job = Job(SendFile(entry, None, "new"), "t", 4)

    async def perform(session: MemorySession, previous: Outcome | None) -> Outcome:
        return await apply.perform(publisher, session, job, previous, NoProgress())

    cut = asyncio.run(perform(CutSession(site, tmp_path, confirms=confirms), None))
    assert isinstance(cut, InDoubt)
    assert cut.left.temporary in site.files
    assert cut.left.holds is None
    assert "file" not in site.files
    done = asyncio.run(perform(MemorySession(site), cut))
    assert isinstance(done, Done)
    assert {path: file.content for path, file in site.files.items()} == {"file": b"new"}


class LateSession(MemorySession):
    """Is lost at the next upload: by a close of the server, or in silence."""

    def __init__(self, site: MemorySite, *, closes: bool) -> None:
        super().__init__(site)
        self._closes = closes

    async def store(self, path: str, content: Content, left: Callable[[], None], target: Target | None = None) -> int:
        self._site.put(path, b"n")
        raise ConnectionBroken("it was lost", by_server=self._closes)


def test_what_a_lost_session_may_still_do_is_looked_after_even_if_the_path_turns_out_to_be_of_others() -> None:
    job = Job(RemoveFolder(Entry("a", Kind.FOLDER), ""), "t", 4)
    lost = Attempt(Publisher(b"", "0" * 8), MemorySession(MemorySite()), job, None, NoProgress())
    previous = lost.broken(ConnectionBroken("it was cut"))
    outcome = Attempt(lost.publisher, lost.session, job, previous, NoProgress()).unmanaged("others have it")
    assert isinstance(outcome, Unmanaged)
    assert outcome.unanswered


def sent_in_place_after(closes: bool, folder: Path, timeout_seconds: float) -> tuple[Outcome, MemorySite]:
    """Send a file in place once over a session that is lost, and once more."""
    write(folder / "file", "new", MTIME)
    site = MemorySite(files={"file": MemoryFile(b"old", MTIME)})
    publisher = Publisher(bytes(folder), "0" * 8, in_place=True, timeout_seconds=timeout_seconds)
    entry = look(bytes(folder), "file")
    assert entry
    job = Job(SendFile(entry, entry._replace(digest=b"old"), "newer"), "t", 0, 1 | IN_PLACE)

    async def perform() -> Outcome:
        lost = await apply.perform(publisher, LateSession(site, closes=closes), job, None, NoProgress())
        assert isinstance(lost, InDoubt)
        assert lost.doubts[0].candidates.torn
        async with asyncio.timeout(10):
            return await apply.perform(publisher, MemorySession(site), job, lost, NoProgress())

    return asyncio.run(perform()), site


def test_what_the_server_has_closed_is_written_in_place_again_at_once(tmp_path: Path) -> None:
    done, site = sent_in_place_after(closes=True, folder=tmp_path, timeout_seconds=1e6)
    assert isinstance(done, Done)
    assert site.files["file"].content == b"new"


def test_what_a_lost_session_may_still_write_is_not_written_in_place_before_a_time_out(tmp_path: Path) -> None:
    with pytest.raises(TimeoutError):
        sent_in_place_after(closes=False, folder=tmp_path, timeout_seconds=1e6)
    done, _ = sent_in_place_after(closes=False, folder=tmp_path, timeout_seconds=0.01)
    assert isinstance(done, Done)
    assert done.unanswered
