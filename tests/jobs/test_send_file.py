"""What is uploaded is what is read: another version than the scanned one is noted for good before it may be there."""

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from support.memory_site import MemorySession, MemorySite
from support.program import MTIME, write

from async_mirror.jobs import apply
from async_mirror.jobs.attempt import Publisher
from async_mirror.model.change import Job, Move, SendFile, SetAttributes, Shapes
from async_mirror.model.entry import Entry
from async_mirror.model.outcome import Done, InDoubt, Outcome
from async_mirror.remote.errors import ConnectionBroken, Refusal
from async_mirror.remote.session import Published
from async_mirror.source.look import look


class Noted:
    """Notes what is to be kept, and what the site had by then."""

    def __init__(self, site: MemorySite) -> None:
        self.kept: list[tuple[Entry, bool]] = []
        self._site = site

    def left(self) -> None: ...
    def advanced(self, amount: int) -> None: ...
    async def may_do(self, amount: int) -> None: ...

    async def keep(self, what: Entry | Shapes) -> None:
        assert isinstance(what, Entry)
        self.kept.append((what, what.path in self._site.files))


def scanned(source: Path, path: str) -> Entry:
    entry = look(bytes(source), path)
    assert entry
    return entry


def performed(source: Path, session: MemorySession, jobs: Iterable[Job], noted: Noted) -> list[Outcome]:
    async def perform() -> list[Outcome]:
        publisher = Publisher(bytes(source), "0" * 8)
        return [await apply.perform(publisher, session, job, None, noted) for job in jobs]

    return asyncio.run(perform())


def test_a_thousand_files_that_are_as_they_were_scanned_are_noted_no_further(tmp_path: Path) -> None:
    site = MemorySite()
    noted = Noted(site)
    paths = [f"{number}.txt" for number in range(1000)]
    for path in paths:
        write(tmp_path / path, path, MTIME)
    jobs = [Job(SendFile(scanned(tmp_path, path), None, "new"), path, 4) for path in paths]
    changed = paths[3], paths[500], paths[998]
    for path in changed:
        write(tmp_path / path, "another version", MTIME)
    outcomes = performed(tmp_path, MemorySession(site), jobs, noted)
    assert all(isinstance(outcome, Done) for outcome in outcomes)
    assert site.files.keys() == set(paths)
    assert [(version.path, was_there) for version, was_there in noted.kept] == [(path, False) for path in changed]
    assert all(version.marks == scanned(tmp_path, version.path).marks for version, _ in noted.kept)
    assert all(version.digest for version, _ in noted.kept)


@pytest.mark.parametrize("change", ["size", "mtime", "ctime", "inode"])
def test_each_mark_of_a_version_counts(tmp_path: Path, change: str) -> None:
    site = MemorySite()
    noted = Noted(site)
    path = write(tmp_path / "a", "content", MTIME)
    job = Job(SendFile(scanned(tmp_path, "a"), None, "new"), "t", 4)
    match change:
        case "size":
            write(path, "longer content", MTIME)
        case "mtime":
            write(path, "content", MTIME + 1)
        case "ctime":
            path.chmod(0o600)
        case "inode":
            write(tmp_path / "b", "content", MTIME).replace(path)
    performed(tmp_path, MemorySession(site), [job], noted)
    assert len(noted.kept) == 1


def test_what_is_sent_in_place_of_a_rename_or_a_mode_is_noted(tmp_path: Path) -> None:
    class OfAnotherOwner(MemorySession):
        async def set_mode(self, path: str, mode: int) -> bool:
            raise Refusal("not yours", "550 not yours")

    site = MemorySite()
    noted = Noted(site)
    write(tmp_path / "a", "a", MTIME)
    write(tmp_path / "b", "b", MTIME)
    a, b = scanned(tmp_path, "a"), scanned(tmp_path, "b")
    was_there = Entry("old", a.kind, a.size, a.mtime_ns, inode=a.inode, digest=b"another")
    held = b._replace(mode=0o600, digest=b"known")
    jobs = [Job(Move(a, was_there, "renamed"), "1", 4), Job(SetAttributes(b, held, "mode"), "2", 4)]
    outcomes = performed(tmp_path, OfAnotherOwner(site), jobs, noted)
    assert [outcome.change for outcome in outcomes if isinstance(outcome, Done)] == [
        SendFile(a, None, "new"),
        SendFile(b, held, "mode"),
    ]
    assert [version.path for version, _ in noted.kept] == ["a", "b"]


class Cut(MemorySession):
    """A session that is cut when a file gets its final name: before it does, or after."""

    performs = True
    by_server = True

    async def publish(self, temporary: str, entry: Entry, mode: int | None, aside: Callable[[], str]) -> Published:
        if self.performs:
            await super().publish(temporary, entry, mode, aside)
        raise ConnectionBroken("it was cut", by_server=self.by_server)


@pytest.mark.parametrize("by_server", [True, False])
@pytest.mark.parametrize("performs", [True, False])
def test_a_publication_without_a_reply_leaves_both_versions_in_doubt(
    tmp_path: Path, performs: bool, by_server: bool
) -> None:
    site = MemorySite()
    site.put("a", b"old")
    write(tmp_path / "a", "new", MTIME)
    held = Entry("a", scanned(tmp_path, "a").kind, 3, 5, digest=b"old")
    session = Cut(site)
    session.performs, session.by_server = performs, by_server
    job = Job(SendFile(scanned(tmp_path, "a"), held, "newer"), "t", 4)
    [outcome] = performed(tmp_path, session, [job], Noted(site))
    assert isinstance(outcome, InDoubt)
    [doubt] = outcome.doubts
    old, new = doubt.candidates.versions
    assert old == held
    assert new
    assert new.marks == scanned(tmp_path, "a").marks
    assert outcome.left.unanswered is not by_server


def test_a_connection_that_is_cut_before_the_rename_leaves_no_path_in_doubt(tmp_path: Path) -> None:
    class NoRoom(MemorySession):
        async def store(self, *_: object) -> int:
            raise ConnectionBroken("it was cut")

    site = MemorySite()
    write(tmp_path / "a", "new", MTIME)
    [outcome] = performed(
        tmp_path, NoRoom(site), [Job(SendFile(scanned(tmp_path, "a"), None, "new"), "t", 4)], Noted(site)
    )
    assert isinstance(outcome, InDoubt)
    assert outcome.doubts == ()
    assert outcome.left.temporary
