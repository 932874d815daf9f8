"""What every RemoteSession keeps: one suite for the site in memory and for FTP against each server.

What is on a site is looked at behind the session's back: in the memory site, or in the server's docroot.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

import pytest
from servers import KINDS, FtpServer, KeptServer, ServerFactory
from support.memory_site import SECOND_NS
from support.subjects import MTIME_S, SECURE, SILENCE_SECONDS, SUBJECTS, FtpSubject, MemorySubject, Subject

from async_mirror.model.entry import UNKNOWN, Entry
from async_mirror.model.entry import Kind as EntryKind
from async_mirror.model.paths import encode, join, split
from async_mirror.remote.errors import ConnectionBroken, Refusal, RemoteError
from async_mirror.remote.session import Published, RemoteListing, RemoteSession, Target

SECONDS_PER_TEST = 20
BLOCK = 65536
DAY_NS = 86_400 * SECOND_NS

T = TypeVar("T")


@pytest.fixture
def subject(request: pytest.FixtureRequest, kept_server: KeptServer) -> Subject:
    match request.param:
        case "memory" | "memory-unable" as kind:
            return MemorySubject(able=kind == "memory")
        case server:
            return FtpSubject(kept_server(*SECURE.get(server, (server,))))


@pytest.fixture(params=[*KINDS, *SECURE])
def ftp_subject(request: pytest.FixtureRequest, kept_server: KeptServer) -> FtpSubject:
    return FtpSubject(kept_server(*SECURE.get(request.param, (request.param,))))


on_every_site = pytest.mark.parametrize("subject", [*SUBJECTS, *SECURE], indirect=True)


class Bytes:
    """Content from memory: a little as a whole, more in blocks; `then` is awaited before a further block would be."""

    def __init__(
        self,
        content: bytes,
        *,
        size: int | None = None,
        block: int = BLOCK,
        then: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        self.size = len(content) if size is None else size
        self.whole = content if len(content) <= block and then is None else None
        self._content = content
        self._block = block
        self._then = then

    def reader(self) -> None:
        return None

    def advanced(self, amount: int) -> None:
        raise AssertionError("nobody was given a reader")

    async def blocks(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._content), self._block):
            yield self._content[start : start + self._block]
        if self._then:
            await self._then()


def nothing() -> None:
    """Stand for a `left` that nobody needs."""


def run(conversation: Callable[[RemoteSession], Coroutine[Any, Any, T]], subject: Subject) -> T:
    """Open a session, do what the test is about, close it: within bounded time."""

    async def bounded() -> T:
        async with asyncio.timeout(SECONDS_PER_TEST):
            session = await subject.open()
            try:
                return await conversation(session)
            finally:
                await session.close()

    return asyncio.run(bounded())


def file_entry(path: str, content: bytes = b"", mtime_ns: int = MTIME_S * SECOND_NS, mode: int = 0o644) -> Entry:
    return Entry(path, EntryKind.FILE, len(content), mtime_ns, mode)


async def publish(
    session: RemoteSession, path: str, content: bytes, mode: int | None = 0o644, *, left: Callable[[], None] = nothing
) -> Published:
    """Store and publish, and remove the version that was put aside, if any."""
    folder, name = split(path)
    temporary = join(folder, f".am-0123abcd-{len(name)}{hash(name):x}.part")
    before = await session.size(path)
    size = await session.store(temporary, Bytes(content), left)
    aside = f"{temporary}-aside"
    published = await session.publish(temporary, file_entry(path, content), mode, lambda: aside)
    assert size == len(content)
    assert await session.size(aside) == (before if published.aside else None), "the old version is kept by then"
    await session.remove_files([aside] * published.aside)
    return published


async def listed(session: RemoteSession, folder: str = "") -> RemoteListing:
    listing = await session.list_folder(folder)
    assert listing is not None
    assert not listing.cut
    assert not listing.oddities
    return listing


def pattern(size: int) -> bytes:
    """Return content in which no two blocks are alike and every byte value occurs, CR, LF and 0xFF among them."""
    return bytes((place * 7 + place // 251) % 256 for place in range(size))


# Storing.


@on_every_site
@pytest.mark.parametrize("size", [0, 1, BLOCK, 2**20 + 3])
def test_stored_content_arrives_and_its_size_agrees(subject: Subject, size: int) -> None:
    content = pattern(size)

    async def conversation(session: RemoteSession) -> None:
        assert await session.store("temporary", Bytes(content), nothing) == size
        assert await session.size("temporary") == size

    run(conversation, subject)
    assert subject.content("temporary") == content


@on_every_site
def test_store_replaces_what_an_earlier_attempt_left_whole(subject: Subject) -> None:
    subject.put("temporary", b"a longer earlier attempt")
    assert run(lambda session: session.store("temporary", Bytes(b"new"), nothing), subject) == 3
    assert subject.content("temporary") == b"new"


@on_every_site
@pytest.mark.parametrize("size", [0, 1, 2**20 + 3])
def test_left_is_called_exactly_once_and_before_store_returns(subject: Subject, size: int) -> None:
    events: list[str] = []

    async def conversation(session: RemoteSession) -> None:
        await session.store("temporary", Bytes(pattern(size)), lambda: events.append("left"))
        events.append("returned")

    run(conversation, subject)
    assert events == ["left", "returned"]


@on_every_site
def test_left_is_not_called_while_bytes_are_still_to_come(subject: Subject) -> None:
    events: list[str] = []

    async def last_block_was_asked_for() -> None:
        events.append("read to the end")

    async def conversation(session: RemoteSession) -> None:
        content = Bytes(pattern(3 * BLOCK), then=last_block_was_asked_for)
        await session.store("temporary", content, lambda: events.append("left"))

    run(conversation, subject)
    assert events == ["read to the end", "left"]


@on_every_site
@pytest.mark.parametrize("announced", [10, 1000])
def test_size_returned_is_the_sites_even_when_the_content_is_not_as_long_as_announced(
    subject: Subject, announced: int
) -> None:
    size = run(lambda session: session.store("temporary", Bytes(b"x" * 500, size=announced), nothing), subject)
    content = subject.content("temporary")
    assert content is not None
    assert size == len(content)


@on_every_site
@pytest.mark.parametrize("path", ["absent/temporary", "folder"])
def test_store_where_no_file_can_be_is_refused_and_the_session_goes_on(subject: Subject, path: str) -> None:
    subject.put_folder("folder")

    async def conversation(session: RemoteSession) -> None:
        with pytest.raises(Refusal):
            await session.store(path, Bytes(b"content"), nothing)
        assert session.usable
        await publish(session, "file", b"content")

    run(conversation, subject)
    assert subject.content("file") == b"content"


@on_every_site
@pytest.mark.parametrize(
    "error", [OSError("the disk went away"), LookupError("not the network's")], ids=["os", "other"]
)
@pytest.mark.parametrize("sent", [0, 1, BLOCK, 5 * BLOCK])
def test_content_that_fails_in_the_middle_never_looks_complete(subject: Subject, sent: int, error: Exception) -> None:
    async def fail() -> None:
        raise error

    async def conversation(session: RemoteSession) -> None:
        whole = sent + BLOCK
        with pytest.raises((type(error), RemoteError)):
            await session.store("temporary", Bytes(pattern(sent), size=whole, then=fail), nothing)
        if session.usable:
            assert await session.size("temporary") != whole
            await publish(session, "file", b"content")
            assert subject.content("file") == b"content"
        other = await subject.open()
        try:
            assert await other.size("temporary") != whole
            await other.remove_files(["temporary"])
        finally:
            await other.close()

    run(conversation, subject)
    assert "temporary" not in subject.names()


@on_every_site
def test_session_is_not_usable_after_a_cancellation_in_the_middle_of_a_store(subject: Subject) -> None:
    async def conversation(session: RemoteSession) -> None:
        reached = asyncio.Event()

        async def wait_for_ever() -> None:
            reached.set()
            await asyncio.Event().wait()

        content = Bytes(pattern(BLOCK), size=2 * BLOCK, then=wait_for_ever)
        storing = asyncio.ensure_future(session.store("temporary", content, nothing))
        await reached.wait()
        storing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await storing
        assert not session.usable
        with pytest.raises(ConnectionBroken):
            await session.size("temporary")

    run(conversation, subject)


# Publishing.


@on_every_site
@pytest.mark.parametrize("mode", [0o644, 0o600, 0o755, 0o444])
def test_publish_gives_name_mtime_and_mode_as_far_as_the_site_can(subject: Subject, mode: int) -> None:
    async def conversation(session: RemoteSession) -> Published:
        await session.store("temporary", Bytes(b"content"), nothing)
        entry = file_entry("final", b"content", MTIME_S * SECOND_NS + 987_654_321, mode)
        return await session.publish("temporary", entry, mode, lambda: "aside")

    able = subject.sets_attributes
    assert run(conversation, subject) == Published(mtime_set=able, mode_set=able, atomic=True)
    assert subject.names() == {"final"}
    assert subject.content("final") == b"content"
    if able:
        assert (subject.mtime_s("final"), subject.mode("final")) == (MTIME_S, mode)


@on_every_site
def test_publish_replaces_an_existing_file_and_leaves_neither_temporary_nor_aside(subject: Subject) -> None:
    async def conversation(session: RemoteSession) -> None:
        first = await publish(session, "final", b"first")
        second = await publish(session, "final", b"second version")
        third = await publish(session, "final", b"3rd", 0o600)
        assert first.atomic
        assert (second.atomic, third.atomic) == (subject.replaces, subject.replaces)
        assert third.mtime_set is third.mode_set is subject.sets_attributes

    run(conversation, subject)
    assert subject.names() == {"final"}
    assert subject.content("final") == b"3rd"
    if subject.sets_attributes:
        assert (subject.mtime_s("final"), subject.mode("final")) == (MTIME_S, 0o600)


@on_every_site
def test_publish_without_a_mode_leaves_the_mode(subject: Subject) -> None:
    async def conversation(session: RemoteSession) -> int:
        await session.store("temporary", Bytes(b""), nothing)
        before = subject.mode("temporary")
        await session.publish("temporary", file_entry("final", mode=0o600), None, lambda: "aside")
        return before

    assert run(conversation, subject) == subject.mode("final") != 0o600


@on_every_site
def test_publish_after_a_replacement_gives_new_names_in_one_step_or_says_so(subject: Subject) -> None:
    async def conversation(session: RemoteSession) -> None:
        for path in ("a", "a", "b", "b", "c"):
            await publish(session, path, path.encode())

    run(conversation, subject)
    assert {name: subject.content(name) for name in subject.names()} == {"a": b"a", "b": b"b", "c": b"c"}


@on_every_site
@pytest.mark.parametrize("replaced_before", [False, True])
def test_publish_of_an_absent_temporary_is_refused_and_the_old_version_stays(
    subject: Subject, replaced_before: bool
) -> None:
    subject.put("final", b"old version")

    async def conversation(session: RemoteSession) -> None:
        if replaced_before:
            await publish(session, "other", b"first")
            await publish(session, "other", b"second")
        with pytest.raises(Refusal):
            await session.publish("absent", file_entry("final"), 0o644, lambda: "aside")
        assert session.usable

    run(conversation, subject)
    assert subject.content("final") == b"old version"
    assert subject.names() == {"final", "other"} if replaced_before else {"final"}


@on_every_site
@pytest.mark.parametrize("replaced_before", [False, True])
def test_publish_onto_a_folder_is_refused_and_the_folder_keeps_what_it_holds(
    subject: Subject, replaced_before: bool
) -> None:
    subject.put_folder("folder")
    subject.put("folder/inside", b"inside")

    async def conversation(session: RemoteSession) -> None:
        if replaced_before:
            await publish(session, "other", b"first")
            await publish(session, "other", b"second")
        await session.store("temporary", Bytes(b"content"), nothing)
        with pytest.raises(Refusal):
            await session.publish("temporary", file_entry("folder", b"content"), 0o644, lambda: "aside")
        assert session.usable

    run(conversation, subject)
    assert subject.content("folder/inside") == b"inside"


@on_every_site
def test_failed_publish_does_not_make_the_site_seem_less_able(subject: Subject) -> None:
    async def conversation(session: RemoteSession) -> None:
        with pytest.raises(Refusal):
            await session.publish("absent", file_entry("final"), 0o644, lambda: "aside")
        published = await publish(session, "final", b"content", 0o600)
        able = subject.sets_attributes
        assert published == Published(mtime_set=able, mode_set=able, atomic=True)

    run(conversation, subject)
    if subject.sets_attributes:
        assert (subject.mtime_s("final"), subject.mode("final")) == (MTIME_S, 0o600)


# Several at once.


@on_every_site
@pytest.mark.parametrize("size", [0, 10, 5 * BLOCK])
def test_two_stores_started_together_both_arrive(subject: Subject, size: int) -> None:
    async def conversation(session: RemoteSession) -> None:
        first = session.store("first", Bytes(b"1" * size), nothing)
        second = session.store("second", Bytes(b"2" * size), nothing)
        assert list(await asyncio.gather(first, second)) == [size, size]

    run(conversation, subject)
    assert (subject.content("first"), subject.content("second")) == (b"1" * size, b"2" * size)


@on_every_site
def test_stores_publications_and_looks_interleave_on_one_session(subject: Subject) -> None:
    subject.put("other", b"other")

    async def conversation(session: RemoteSession) -> None:
        found = await asyncio.gather(
            publish(session, "a", pattern(BLOCK)),
            session.size("other"),
            publish(session, "b", b""),
            session.make_folder("folder"),
            publish(session, "c", b"c" * 10),
            session.look("other"),
            session.list_folder("folder"),
            session.modified(["other"]),
        )
        assert found[1] == 5
        look = found[5]
        assert isinstance(look, Entry)
        assert look.size == 5

    run(conversation, subject)
    assert {name: subject.content(name) for name in "abc"} == {"a": pattern(BLOCK), "b": b"", "c": b"c" * 10}
    assert subject.names() == {"a", "b", "c", "other", "folder"}


async def publish_overlapping(session: RemoteSession, files: Sequence[tuple[str, bytes]]) -> None:
    """Publish as a lane with overlap 2 does: the next begins when the data of this one has left."""
    before: asyncio.Task[Published] | None = None
    async with asyncio.TaskGroup() as group:
        for path, content in files:
            left = asyncio.Event()
            task = group.create_task(publish(session, path, content, left=left.set))
            await left.wait()
            if before:
                await before
            before = task


@on_every_site
def test_two_hundred_files_are_published_one_after_the_other_with_overlap(subject: Subject) -> None:
    files = [(f"file-{number}", pattern(number * 37 % 4096)) for number in range(200)]
    run(lambda session: publish_overlapping(session, files), subject)
    assert {name: subject.content(name) for name in subject.names()} == dict(files)
    if subject.sets_attributes:
        assert {subject.mtime_s(name) for name, _ in files} == {MTIME_S}


@on_every_site
def test_refused_store_in_an_overlap_harms_neither_the_one_before_nor_the_one_after(subject: Subject) -> None:
    async def conversation(session: RemoteSession) -> None:
        results = await asyncio.gather(
            publish(session, "before", b"before"),
            publish(session, "absent/middle", b"middle"),
            publish(session, "after", b"after"),
            return_exceptions=True,
        )
        assert isinstance(results[1], Refusal)
        assert session.usable

    run(conversation, subject)
    assert {name: subject.content(name) for name in subject.names()} == {"before": b"before", "after": b"after"}


@on_every_site
def test_store_tells_whether_others_have_the_final_name(subject: Subject) -> None:
    subject.put("theirs", b"theirs")
    subject.put_folder("folder")
    subject.put("folder/theirs", b"")

    async def told(session: RemoteSession, path: str) -> bool | None:
        target = Target(path)
        assert await session.store("temporary", Bytes(b"content"), nothing, target) == len(b"content")
        return target.is_there

    async def conversation(session: RemoteSession) -> list[bool | None]:
        names = ("theirs", "free", "folder/theirs", "folder/free", "no folder/free", "theirs")
        return [await told(session, path) for path in names]

    assert run(conversation, subject) == [True, False, True, False, False, True]


@on_every_site
@pytest.mark.parametrize("size", [0, 1, 2**20 + 3])
def test_file_is_read_back_as_it_is_and_the_session_goes_on(subject: Subject, size: int) -> None:
    content, read, asked = pattern(size), bytearray(), 0
    subject.put("file", content)

    async def may_read(amount: int) -> None:
        nonlocal asked
        asked += amount

    async def conversation(session: RemoteSession) -> None:
        assert await session.read_back("file", size, read.extend, may_read)
        with pytest.raises(Refusal):
            await session.read_back("absent", size, read.extend, may_read)
        assert await session.store("after", Bytes(b"after"), nothing) == 5

    run(conversation, subject)
    assert (bytes(read), asked) == (content, size)


def test_file_that_is_longer_than_it_can_be_ends_the_session(ftp_subject: FtpSubject) -> None:
    ftp_subject.put("file", pattern(2**20))

    async def may_read(_: int) -> None:
        return

    async def conversation(session: RemoteSession) -> None:
        with pytest.raises(ConnectionBroken):
            await session.read_back("file", 1000, lambda _: None, may_read)
        assert not session.usable

    run(conversation, ftp_subject)


@on_every_site
def test_made_folder_is_told_from_one_that_was_found(subject: Subject) -> None:
    subject.put_folder("there")
    assert run(lambda session: session.make_folder("there"), subject) is False
    assert run(lambda session: session.make_folder("new"), subject) is True


def test_rename_goes_out_ahead_of_the_next_files_data_command(real_server: FtpServer) -> None:
    files = [(f"file-{number}", b"content") for number in range(10)]
    run(lambda session: publish_overlapping(session, files), FtpSubject(real_server))
    verbs = [command.partition(" ")[0] for command in real_server.commands()]
    assert [verb for verb in verbs if verb in {"STOR", "RNTO"}] == ["STOR", "RNTO"] * len(files)


# Removing.


@on_every_site
def test_removing_what_is_absent_succeeds(subject: Subject) -> None:
    async def conversation(session: RemoteSession) -> None:
        await session.remove_files(["absent"])
        await session.remove_files(["absent/absent"])
        await session.remove_files([])
        await session.remove_folder("absent")
        await session.remove_folder("absent/absent")

    run(conversation, subject)
    assert subject.names() == set()


@on_every_site
def test_several_files_are_removed_at_once_though_some_are_absent(subject: Subject) -> None:
    for number in range(0, 100, 2):
        subject.put(f"a file with a rather long name, number {number}")
    subject.put("kept")
    paths = [f"a file with a rather long name, number {number}" for number in range(100)]
    run(lambda session: session.remove_files(paths), subject)
    assert subject.names() == {"kept"}


@on_every_site
def test_removing_a_folder_that_is_not_empty_is_refused(subject: Subject) -> None:
    subject.put_folder("folder")
    subject.put("folder/.hidden", b"kept")

    async def conversation(session: RemoteSession) -> None:
        with pytest.raises(Refusal):
            await session.remove_folder("folder")
        assert session.usable

    run(conversation, subject)
    assert subject.content("folder/.hidden") == b"kept"


@on_every_site
def test_empty_folder_is_removed(subject: Subject) -> None:
    subject.put_folder("folder")
    run(lambda session: session.remove_folder("folder"), subject)
    assert subject.names() == set()


@on_every_site
def test_folder_is_not_removed_as_a_file_nor_a_file_as_a_folder(subject: Subject) -> None:
    subject.put_folder("folder")
    subject.put("file")

    async def conversation(session: RemoteSession) -> None:
        with pytest.raises(Refusal):
            await session.remove_files(["folder"])
        with pytest.raises(Refusal):
            await session.remove_folder("file")

    run(conversation, subject)
    assert subject.names() == {"folder", "file"}


# Folders and names.


@on_every_site
def test_making_a_folder_twice_succeeds(subject: Subject) -> None:
    async def conversation(session: RemoteSession) -> None:
        for path in ("folder", "folder", "folder/inner", "folder/inner"):
            await session.make_folder(path)

    run(conversation, subject)
    assert (subject.names(), subject.names("folder"), subject.names("folder/inner")) == ({"folder"}, {"inner"}, set())


@on_every_site
def test_making_a_folder_over_a_file_is_refused(subject: Subject) -> None:
    subject.put("file", b"content")

    async def conversation(session: RemoteSession) -> None:
        with pytest.raises(Refusal):
            await session.make_folder("file")
        with pytest.raises(Refusal):
            await session.make_folder("file/inner")
        assert session.usable

    run(conversation, subject)
    assert subject.content("file") == b"content"


@on_every_site
def test_files_and_folders_are_renamed_with_what_they_hold(subject: Subject) -> None:
    subject.put("file", b"content")
    subject.put_folder("folder")
    subject.put("folder/inside", b"inside")

    async def conversation(session: RemoteSession) -> None:
        await session.rename("folder", "renamed folder")
        await session.rename("file", "renamed folder/moved file")

    run(conversation, subject)
    assert subject.names() == {"renamed folder"}
    assert subject.content("renamed folder/inside") == b"inside"
    assert subject.content("renamed folder/moved file") == b"content"


@on_every_site
def test_renaming_what_is_absent_or_into_what_is_absent_is_refused(subject: Subject) -> None:
    subject.put("file")

    async def conversation(session: RemoteSession) -> None:
        with pytest.raises(Refusal):
            await session.rename("absent", "other")
        with pytest.raises(Refusal):
            await session.rename("file", "absent/file")
        assert session.usable

    run(conversation, subject)
    assert subject.names() == {"file"}


# Looking.


@on_every_site
@pytest.mark.parametrize("path", ["absent", "absent/absent", "folder", "file/inner"])
def test_size_is_none_for_what_is_no_file(subject: Subject, path: str) -> None:
    subject.put_folder("folder")
    subject.put("file", b"12345")
    assert run(lambda session: session.size(path), subject) is None


@on_every_site
@pytest.mark.parametrize("path", ["absent", "absent/absent", "file/inner"])
def test_looking_at_what_is_not_there_finds_nothing(subject: Subject, path: str) -> None:
    subject.put("file", b"12345")
    assert run(lambda session: session.look(path), subject) is None


@on_every_site
def test_looking_tells_a_file_a_folder_and_nothing_apart(subject: Subject) -> None:
    subject.put_folder("folder")
    subject.put("folder/file", b"12345")

    async def conversation(session: RemoteSession) -> None:
        folder = await session.look("folder")
        file = await session.look("folder/file")
        assert folder is not None
        assert file is not None
        assert (folder.path, folder.kind) == ("folder", EntryKind.FOLDER)
        assert (file.path, file.kind, file.size) == ("folder/file", EntryKind.FILE, 5)
        assert file.mtime_ns in {UNKNOWN, MTIME_S * SECOND_NS}
        assert file.mode in {UNKNOWN, subject.mode("folder/file")}
        assert folder.mode in {UNKNOWN, subject.mode("folder")}
        assert await session.size("folder/file") == 5

    run(conversation, subject)


@on_every_site
def test_looking_at_the_root_finds_a_folder(subject: Subject) -> None:
    root = run(lambda session: session.look(""), subject)
    assert root is not None
    assert root.is_folder


@on_every_site
def test_modified_is_exact_to_the_second_in_the_order_asked_and_never_a_guess(subject: Subject) -> None:
    async def conversation(session: RemoteSession) -> list[int]:
        for number in range(3):
            await session.store("temporary", Bytes(b""), nothing)
            entry = file_entry(f"file {number}", mtime_ns=(MTIME_S - number * 40_000_000) * SECOND_NS + 1)
            await session.publish("temporary", entry, 0o644, lambda: "aside")
        return await session.modified(iter(["file 2", "absent", "file 0", "file 1"]))

    found = run(conversation, subject)
    truth = [subject.mtime_s("file 2"), None, subject.mtime_s("file 0"), subject.mtime_s("file 1")]
    exact = [UNKNOWN if mtime_s is None else mtime_s * SECOND_NS for mtime_s in truth]
    if subject.sets_attributes:
        assert (
            found
            == exact
            == [(MTIME_S - 80_000_000) * SECOND_NS, UNKNOWN, MTIME_S * SECOND_NS, (MTIME_S - 40_000_000) * SECOND_NS]
        )
    else:
        assert all(told in {UNKNOWN, true} for told, true in zip(found, exact, strict=True))


@on_every_site
@pytest.mark.parametrize("mtime_s", [1, 946_684_799, MTIME_S, 2_000_000_000])
def test_mtime_is_set_to_the_second_or_said_not_to_be(subject: Subject, mtime_s: int) -> None:
    subject.put("file")

    async def conversation(session: RemoteSession) -> None:
        assert await session.set_mtime("file", mtime_s * SECOND_NS + 999_999_999) is subject.sets_attributes
        if subject.sets_attributes:
            assert await session.modified(["file"]) == [mtime_s * SECOND_NS]

    run(conversation, subject)
    assert subject.mtime_s("file") == (mtime_s if subject.sets_attributes else MTIME_S)


@on_every_site
def test_mode_is_set_or_said_not_to_be(subject: Subject) -> None:
    subject.put("file")
    subject.put_folder("folder")
    able = subject.sets_attributes

    async def conversation(session: RemoteSession) -> None:
        assert await session.set_mode("file", 0o604) is able
        assert await session.set_mode("folder", 0o705) is able
        if able:
            with pytest.raises(Refusal):
                await session.set_mode("absent", 0o604)
            assert await session.set_mode("file", 0o640) is True

    run(conversation, subject)
    if able:
        assert (subject.mode("file"), subject.mode("folder")) == (0o640, 0o705)


@on_every_site
def test_refused_mtime_does_not_make_the_site_seem_less_able(subject: Subject) -> None:
    subject.put("file")

    async def conversation(session: RemoteSession) -> None:
        try:
            assert not await session.set_mtime("absent", 0)
        except Refusal:
            assert subject.sets_attributes
        assert await session.set_mtime("file", SECOND_NS) is subject.sets_attributes

    run(conversation, subject)


# Listing.


@on_every_site
def test_listing_shows_files_and_folders_with_their_sizes_dot_files_too(subject: Subject) -> None:
    subject.put_folder("folder")
    subject.put_folder("folder/.inner")
    subject.put("folder/.hidden", b"1")
    subject.put("folder/file", b"12345")
    subject.put("folder/empty")

    async def conversation(session: RemoteSession) -> None:
        entries = (await listed(session, "folder")).entries
        assert {(entry.path, entry.kind) for entry in entries} == {
            ("folder/.inner", EntryKind.FOLDER),
            ("folder/.hidden", EntryKind.FILE),
            ("folder/file", EntryKind.FILE),
            ("folder/empty", EntryKind.FILE),
        }
        sizes = {entry.path: entry.size for entry in entries if not entry.is_folder}
        assert sizes == {"folder/.hidden": 1, "folder/file": 5, "folder/empty": 0}
        assert [entry.path for entry in (await listed(session)).entries] == ["folder"]

    run(conversation, subject)


@on_every_site
def test_listing_tells_mtimes_to_the_second_or_that_they_are_not_exact_and_true_modes(subject: Subject) -> None:
    subject.put("file", b"12345")
    listing = run(listed, subject)
    (entry,) = listing.entries
    truth = subject.mtime_s("file") * SECOND_NS
    assert entry.mtime_ns == truth if listing.exact else abs(entry.mtime_ns - truth) <= DAY_NS
    assert entry.mode in {UNKNOWN, subject.mode("file")}


@on_every_site
def test_listing_of_an_empty_folder_is_empty(subject: Subject) -> None:
    subject.put_folder("folder")

    async def conversation(session: RemoteSession) -> None:
        assert (await listed(session, "folder")).entries == ()

    run(conversation, subject)


@on_every_site
@pytest.mark.parametrize("path", ["absent", "absent/absent", "file", "file/inner"])
def test_listing_of_what_is_no_folder_is_none_without_waiting_for_a_time_out(subject: Subject, path: str) -> None:
    subject.put("file", b"content")

    async def conversation(session: RemoteSession) -> None:
        async with asyncio.timeout(2):
            assert await session.list_folder(path) is None
        assert session.usable

    run(conversation, subject)


@pytest.mark.few(5)
@on_every_site
def test_listing_of_many_files_is_whole(subject: Subject) -> None:
    subject.put_folder("folder")
    expected = {f"folder/a file with a rather long name, number {number}" for number in range(300)}
    for path in expected:
        subject.put(path)

    async def conversation(session: RemoteSession) -> None:
        for _ in range(3):
            assert {entry.path for entry in (await listed(session, "folder")).entries} == expected

    run(conversation, subject)


def test_listing_that_pure_ftpd_truncates_is_marked_as_cut(server_factory: ServerFactory) -> None:
    server = server_factory("pure-ftpd", options={"-L": "50:5"})
    for number in range(80):
        (server.docroot / f"file {number}").touch()
    listing = run(lambda session: session.list_folder(""), FtpSubject(server))
    assert listing is not None
    assert listing.cut


# Odd names.

ODD_NAMES = (
    ".hidden",
    "in side",
    "two  spaces",
    " leading",
    "trailing ",
    " ",
    "trailing.",
    "...",
    "[x]",
    "[x]*?",
    "*",
    "-la",
    "~",
    "~root",
    "$HOME",
    "%41",
    "#",
    "semi;colon=equals; type=dir; x",
    "name -> goal",
    '\'single\' "double" ""',
    "back\\slash",
    "tab\tinside",
    "trailing tab\t",
    "control\x01\x1b[31m",
    "delete\x7f",
    "caf\u00e9",
    "cafe\u0301",
    "\u6f22\u5b57",
    "\U0001f600",
    "Latin-1 \udce9",
    "\udcff",
    "Telnet \udcff\udcf4",
    "12-31-26  03:04PM       <DIR>          x",
    "x" * 255,
)

NOT_UTF_8 = frozenset(name for name in ODD_NAMES if name.encode("utf-8", "replace") != encode(name))
CONTROLS = frozenset(name for name in ODD_NAMES if not name.replace("\udcff", "").isprintable()) - NOT_UTF_8

# What a server cannot be told: field guide section 1, or measured while this suite was written where it says so.
UNTELLABLE: dict[str, frozenset[str]] = {
    # Telnet's IAC IP is taken out of a command (measured).
    "proftpd": frozenset({"Telnet \udcff\udcf4"}),
    # A trailing space, TAB and every other control character (measured) become `_`; `\` is refused. A leading space
    # does too, unless it stands behind a `/` that is not that of `./` (measured).
    "pure-ftpd": CONTROLS | {"trailing ", " ", "back\\slash"},
    # What is no UTF-8 becomes U+FFFD (measured).
    "pyftpdlib": NOT_UTF_8,
    # Commands lose all white space at their end; what is no UTF-8 ends the connection (measured).
    "aioftp": NOT_UTF_8 | {"trailing ", " ", "trailing tab\t"},
}
# A folder of such a name cannot be made there though a file can: `550 Invalid directory name` for `*` (measured).
UNMAKEABLE: dict[str, frozenset[str]] = {**UNTELLABLE, "proftpd": UNTELLABLE["proftpd"] | {"[x]*?", "*"}}
# What a server cannot tell in a listing (measured).
UNLISTABLE: dict[str, frozenset[str]] = {
    # Names with control characters are left out without a word, in MLSD, LIST and NLST.
    "pure-ftpd": CONTROLS,
    # What is no UTF-8 is told as `?`.
    "pyftpdlib": NOT_UTF_8,
    # What is no UTF-8 ends the connection.
    "aioftp": NOT_UTF_8,
}


def _cases(impossible: dict[str, frozenset[str]]) -> list[tuple[str, str]]:
    # Not over TLS: it carries names, and does not look at them.
    return [(subject, name) for subject in SUBJECTS for name in ODD_NAMES if name not in impossible.get(subject, ())]


@pytest.mark.few(60)
@pytest.mark.parametrize(("subject", "name"), _cases(UNTELLABLE), indirect=["subject"])
def test_file_with_an_odd_name_is_published_found_and_removed(subject: Subject, name: str) -> None:
    async def conversation(session: RemoteSession) -> None:
        await session.store("temporary", Bytes(b"content"), nothing)
        await session.publish("temporary", file_entry(name, b"content"), 0o644, lambda: "aside")
        assert (subject.names(), subject.content(name)) == ({name}, b"content")
        assert await session.size(name) == 7
        found = await session.look(name)
        assert found is not None
        assert (found.path, found.kind, found.size) == (name, EntryKind.FILE, 7)
        await session.rename(name, "plain")
        await session.rename("plain", name)
        await session.remove_files([name])

    run(conversation, subject)
    assert subject.names() == set()


@pytest.mark.few(60)
@pytest.mark.parametrize(("subject", "name"), _cases(UNMAKEABLE), indirect=["subject"])
def test_folder_with_an_odd_name_is_made_filled_emptied_and_removed(subject: Subject, name: str) -> None:
    inside = f"{name}/{name}"

    async def conversation(session: RemoteSession) -> None:
        await session.make_folder(name)
        await session.make_folder(name)
        assert (await listed(session, name)).entries == ()
        await session.store(inside, Bytes(b"content"), nothing)
        assert (subject.names(), subject.names(name), subject.content(inside)) == ({name}, {name}, b"content")
        assert [entry.path for entry in (await listed(session, name)).entries] == [inside]
        await session.remove_files([inside])
        await session.remove_folder(name)

    run(conversation, subject)
    assert subject.names() == set()


@pytest.mark.few(100)
@pytest.mark.parametrize(("subject", "name"), _cases(UNLISTABLE), indirect=["subject"])
def test_listing_shows_an_odd_name_byte_for_byte(subject: Subject, name: str) -> None:
    subject.put(name, b"content")
    subject.put_folder("folder")
    subject.put_folder(f"folder/{name}")

    async def conversation(session: RemoteSession) -> None:
        listing = await listed(session)
        assert {(entry.path, entry.kind) for entry in listing.entries} == {
            (name, EntryKind.FILE),
            ("folder", EntryKind.FOLDER),
        }
        inner = await listed(session, "folder")
        assert [(entry.path, entry.kind) for entry in inner.entries] == [(f"folder/{name}", EntryKind.FOLDER)]

    run(conversation, subject)


# The end of a session.

CALLS: dict[str, Callable[[RemoteSession], Awaitable[object]]] = {
    "store": lambda session: session.store("file", Bytes(b"content"), nothing),
    "size": lambda session: session.size("file"),
    "publish": lambda session: session.publish("temporary", file_entry("file"), 0o644, lambda: "aside"),
    "set_mode": lambda session: session.set_mode("file", 0o644),
    "set_mtime": lambda session: session.set_mtime("file", 0),
    "rename": lambda session: session.rename("file", "other"),
    "make_folder": lambda session: session.make_folder("folder"),
    "remove_files": lambda session: session.remove_files(["file"]),
    "remove_folder": lambda session: session.remove_folder("folder"),
    "list_folder": lambda session: session.list_folder(""),
    "modified": lambda session: session.modified(["file"]),
    "look": lambda session: session.look("file"),
}
# A session that knows that its site cannot do a thing says so without asking.
ASKED_BY_EVERY_SESSION = [call for call in CALLS if call not in {"set_mode", "set_mtime"}]


@on_every_site
@pytest.mark.parametrize("call", ASKED_BY_EVERY_SESSION)
def test_call_after_the_server_stopped_says_that_the_connection_is_broken(subject: Subject, call: str) -> None:
    subject.put("file")

    async def conversation(session: RemoteSession) -> None:
        assert await session.size("file") == 0
        subject.stop()
        with pytest.raises(ConnectionBroken):
            await CALLS[call](session)
        assert not session.usable
        with pytest.raises(ConnectionBroken):
            await CALLS[call](session)

    run(conversation, subject)


@on_every_site
def test_server_that_stops_during_a_store_breaks_everything_that_is_under_way(subject: Subject) -> None:
    async def conversation(session: RemoteSession) -> None:
        async def stop() -> None:
            subject.stop()

        content = Bytes(pattern(BLOCK), size=BLOCK, then=stop)
        results = await asyncio.gather(
            session.store("temporary", content, nothing),
            session.size("temporary"),
            session.store("next", Bytes(b"next"), nothing),
            return_exceptions=True,
        )
        assert isinstance(results[0], ConnectionBroken)
        assert isinstance(results[2], ConnectionBroken)
        assert not session.usable

    run(conversation, subject)


@on_every_site
def test_closing_twice_is_fine_and_ends_the_session(subject: Subject) -> None:
    async def conversation(session: RemoteSession) -> None:
        assert session.usable
        await session.close()
        assert not session.usable
        await session.close()
        with pytest.raises(ConnectionBroken):
            await session.size("file")

    run(conversation, subject)


@on_every_site
def test_closing_is_fine_when_the_server_is_gone(subject: Subject) -> None:
    async def conversation(session: RemoteSession) -> None:
        subject.stop()
        await session.close()
        assert not session.usable

    run(conversation, subject)


@pytest.mark.few(2)
def test_server_that_falls_silent_breaks_every_session_within_its_time_out(ftp_subject: FtpSubject) -> None:
    async def fails(session: RemoteSession, call: str) -> str:
        try:
            async with asyncio.timeout(SECONDS_PER_TEST / 2):
                await CALLS[call](session)
        except ConnectionBroken:
            return "broken" if not session.usable else "usable"
        except TimeoutError:
            return "hung"
        return "answered"

    async def conversation(_: RemoteSession) -> None:
        sessions = [await ftp_subject.open(timeout_seconds=SILENCE_SECONDS) for _ in CALLS]
        try:
            ftp_subject.server.freeze()
            ends = await asyncio.gather(*(fails(session, call) for session, call in zip(sessions, CALLS, strict=True)))
            assert dict(zip(CALLS, ends, strict=True)) == dict.fromkeys(CALLS, "broken")
        finally:
            ftp_subject.server.thaw()
            for session in sessions:
                await session.close()

    run(conversation, ftp_subject)
