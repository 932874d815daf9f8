"""Large files, which a thread sends: whole, or given up in bounded time with nothing left open, whatever happens."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest
from blake3 import blake3
from faults import Refused, reactions
from faults.identities import Identities
from faults.scripted import Exchange, ScriptedServer
from servers import PASSWORD, USER, KeptServer
from support.mirror import Mirror, answer_at_once, assert_mirrored, with_memory
from support.program import write
from support.subjects import SECURE, SUBJECTS, FtpSubject

from async_mirror.ftp.session import connect
from async_mirror.ftp.wire.tls import Tls
from async_mirror.model.secret import Secret
from async_mirror.model.site import MACHINE, Site, Trust
from async_mirror.remote.errors import ConnectionBroken, Refusal
from async_mirror.remote.session import Reader, RemoteSession
from async_mirror.source.files import LocalFile, open_file

T = TypeVar("T")
Talk = Callable[[RemoteSession], Awaitable[T]]

SIZE = 24 * 2**20 + 3
"""More than the kernel holds of a connection's bytes on both sides."""
FIRST = 1_000_000
SECONDS = 30


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A file in which no two blocks are alike."""
    numbers = b"".join(number.to_bytes(4, "big") * 64 for number in range(SIZE // 256 + 1))
    return write(tmp_path / "source/large.bin", numbers[:SIZE])


class Sent:
    """A file of the source as a content; `told` has what was said to have left."""

    whole = None

    def __init__(self, file: LocalFile) -> None:
        self.file = file
        self.size = file.size
        self.told: list[int] = []

    def reader(self) -> Reader | None:
        return self.file.reader()

    def advanced(self, amount: int) -> None:
        asyncio.get_running_loop()
        self.told.append(amount)

    async def blocks(self) -> AsyncIterator[bytes]:
        raise AssertionError("a large file was sent in blocks")
        yield b""


async def sent(session: RemoteSession, path: Path) -> Sent:
    """Store a file, and return what it was stored from."""
    file = await open_file(os.fsencode(path.parent), path.name)
    assert file
    content = Sent(file)
    try:
        assert await session.store("temporary", content, lambda: None) == file.size
        assert file.is_unchanged()
    finally:
        file.close()
    return content


@pytest.fixture(params=["plain", "TLS"])
def server(request: pytest.FixtureRequest, identities: Identities) -> Iterator[ScriptedServer]:
    with ExitStack() as stack:
        server = ScriptedServer(tls=identities["good"].context() if request.param == "TLS" else None)
        stack.enter_context(server)
        server.data_seconds = 5.0
        answer_at_once(server)
        yield server


@pytest.fixture
def talk(server: ScriptedServer, identities: Identities) -> Callable[..., Any]:
    """Open a session with the server, have a conversation, and see that no descriptor is left over."""

    def talk_to(conversation: Callable[[RemoteSession], Coroutine[Any, Any, T]], timeout_seconds: float = 60.0) -> T:
        trust = Trust(ca_cert=identities.ca_file) if server.tls else MACHINE
        site = Site("ftpes" if server.tls else "ftp", "127.0.0.1", server.port, USER, "")

        async def bounded() -> T:
            session = await connect(site, Secret(PASSWORD), tls=Tls(trust), timeout_seconds=timeout_seconds)
            try:
                async with asyncio.timeout(SECONDS):
                    return await conversation(session)
            finally:
                await session.close()

        return asyncio.run(bounded())

    return talk_to


def open_ends(path: Path) -> list[str]:
    """Return the descriptors of this process that have a file open."""
    found = []
    for each in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{each}") == str(path):
                found.append(each)
        except FileNotFoundError:
            pass
    return found


@pytest.mark.parametrize("kind", [*(kind for kind in SUBJECTS if "memory" not in kind), *SECURE])
def test_large_file_arrives_byte_for_byte_and_its_digest_is_that_of_the_bytes(
    kept_server: KeptServer, large: Path, kind: str
) -> None:
    subject = FtpSubject(kept_server(*SECURE.get(kind, (kind,))))

    async def conversation() -> Sent:
        session = await subject.open()
        try:
            async with asyncio.timeout(SECONDS):
                return await sent(session, large)
        finally:
            await session.close()

    content = asyncio.run(conversation())
    assert subject.content("temporary") == large.read_bytes()
    assert content.file.digest == blake3(large.read_bytes()).digest(length=16)
    assert sum(content.told) == SIZE
    assert open_ends(large) == []


@pytest.mark.parametrize("breaks", [reactions.close_data_after, reactions.reset_data_after], ids=["FIN", "RST"])
def test_cut_in_the_middle_is_told_by_the_servers_own_word(
    server: ScriptedServer, talk: Callable[..., Any], large: Path, breaks: Callable[[int], Any]
) -> None:
    server.on("STOR", breaks(FIRST))

    async def conversation(session: RemoteSession) -> None:
        with pytest.raises(Refusal) as refused:
            await sent(session, large)
        assert "426 Transfer aborted" in refused.value.told
        assert session.usable
        await sent(session, large)

    talk(conversation)
    assert server.files[b"/temporary"].content == large.read_bytes()
    assert open_ends(large) == []


def test_server_that_takes_no_more_is_given_up_after_the_time_out(
    server: ScriptedServer, talk: Callable[..., Any], large: Path
) -> None:
    given_up = threading.Event()

    def hold(exchange: Exchange) -> None:
        with suppress(Refused), exchange.accepted(exchange.connection.announce_data()) as data:
            data.recv(FIRST)
            server.wait_for(given_up)

    server.on("STOR", hold)

    async def conversation(session: RemoteSession) -> None:
        with pytest.raises((Refusal, ConnectionBroken)) as error:
            await sent(session, large)
        given_up.set()
        assert "the data connection failed: time-out" in error.value.told

    talk(conversation, timeout_seconds=1.0)
    assert open_ends(large) == []


@pytest.mark.parametrize("reply", [b"552 Quota exceeded.", b"451 Disk trouble.", b"226 I have enough."])
def test_answer_in_the_middle_ends_the_transfer_although_the_connection_stays_open(
    server: ScriptedServer, talk: Callable[..., Any], large: Path, reply: bytes
) -> None:
    ended = threading.Event()

    def answer_and_hold(exchange: Exchange) -> None:
        listener = exchange.connection.announce_data()
        with exchange.accepted(listener) as data:
            data.recv(FIRST)
            exchange.reply(reply)
            server.wait_for(ended)

    server.on("STOR", answer_and_hold)

    async def conversation(session: RemoteSession) -> None:
        with pytest.raises(Refusal) as refused:
            await sent(session, large)
        ended.set()
        assert reply.decode() in refused.value.told

    talk(conversation)
    assert open_ends(large) == []


def test_cancellation_resets_the_connection_so_that_nothing_looks_complete(
    server: ScriptedServer, talk: Callable[..., Any], large: Path
) -> None:
    begun, cancelled, over = threading.Event(), threading.Event(), threading.Event()
    ends: list[object] = []

    def take_some(exchange: Exchange) -> None:
        listener, content = exchange.connection.announce_data(), 0
        with exchange.accepted(listener) as data:
            while content < FIRST:
                content += len(data.recv(1 << 16))
            begun.set()
            server.wait_for(cancelled)
            try:
                while block := data.sock.recv(1 << 20):
                    content += len(block)
                ends.append("a clean end")
            except ConnectionResetError:
                ends.append("reset")
            over.set()

    server.on("STOR", take_some)

    async def conversation(session: RemoteSession) -> None:
        loop = asyncio.get_running_loop()
        storing = asyncio.create_task(sent(session, large))
        await loop.run_in_executor(None, begun.wait, SECONDS)
        storing.cancel()
        await asyncio.wait({storing})
        cancelled.set()
        assert storing.cancelled()
        assert open_ends(large) == []
        assert not session.usable
        await loop.run_in_executor(None, over.wait, SECONDS)

    talk(conversation)
    assert ends == ["reset"]


class Slow:
    """Content whose reader waits in the middle for something, as for a disk, and then fails if it is told to."""

    whole = None
    size = SIZE

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.reading, self.go_on, self.closed = threading.Event(), threading.Event(), threading.Event()
        self._blocks = 0

    def reader(self) -> Reader:
        return self

    def read_into(self, buffer: memoryview) -> int:
        self._blocks += 1
        if self._blocks > 4:
            self.reading.set()
            self.go_on.wait(SECONDS)
            if self.error:
                raise self.error
        return len(buffer)

    def close(self) -> None:
        self.closed.set()

    def advanced(self, amount: int) -> None:
        pass

    async def blocks(self) -> AsyncIterator[bytes]:
        raise AssertionError("it was sent in blocks")
        yield b""


def test_cancellation_does_not_wait_for_a_dead_disk_and_closes_nothing_under_its_thread(
    server: ScriptedServer, talk: Callable[..., Any]
) -> None:
    content = Slow()

    async def conversation(session: RemoteSession) -> None:
        storing = asyncio.create_task(session.store("temporary", content, lambda: None))
        await asyncio.get_running_loop().run_in_executor(None, content.reading.wait, SECONDS)
        storing.cancel()
        async with asyncio.timeout(10):
            await asyncio.wait({storing})
        assert storing.cancelled()
        assert not content.closed.is_set()
        content.go_on.set()
        assert await asyncio.get_running_loop().run_in_executor(None, content.closed.wait, SECONDS)

    talk(conversation)


def test_content_that_cannot_be_read_fails_as_such_and_the_session_goes_on(
    server: ScriptedServer, talk: Callable[..., Any], large: Path
) -> None:
    content = Slow(OSError(5, "the disk went away"))
    content.go_on.set()

    async def conversation(session: RemoteSession) -> None:
        with pytest.raises(OSError, match="the disk went away"):
            await session.store("temporary", content, lambda: None)
        assert content.closed.is_set()
        if session.usable:
            await sent(session, large)

    talk(conversation)


@pytest.mark.parametrize("mode", ["S", "A2", "T2", "P2"])
def test_large_files_are_mirrored_in_every_mode(tmp_path: Path, mode: str) -> None:
    with ScriptedServer() as server:
        answer_at_once(server)
        mirror = Mirror(tmp_path, server.port)
        for number in range(3):
            mirror.write(f"{number}.bin", bytes([number]) * 3_000_000)
        assert_mirrored(mirror, server, "--multi", mode)


@pytest.mark.parametrize("kind", ["vsftpd", "vsftpd-explicit-1.3"])
def test_memory_does_not_grow_with_a_file(tmp_path: Path, kept_server: KeptServer, kind: str) -> None:
    server = kept_server(*SECURE.get(kind, (kind,)))
    options = ("--ca-cert", server.certificates.ca) if server.tls else ()
    mirror = Mirror(tmp_path, server.port, scheme="ftpes" if server.tls else "ftp", options=options)
    path = mirror.write("large.bin", b"")
    size = 300 * 2**20
    os.truncate(path, size)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    ran = mirror.run("--multi", "S", "--timeout", "20s", before=with_memory(150))
    assert ran.code == 0, ran.said
    assert (server.docroot / "large.bin").stat().st_size == size
    server.reset()
