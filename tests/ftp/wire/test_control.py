"""A control connection that was given up stays so, believes nothing more, keeps nothing, and tells why by its class."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
import tracemalloc

import pytest

from async_mirror.ftp.wire.control import AwaitedReply, Control
from async_mirror.ftp.wire.reply_flow import OutOfStep
from async_mirror.remote.errors import ConnectionBroken


@pytest.mark.parametrize("pieces", [[b"250 Done.\r\n", b"?\r\n"], [b"250 Done.\r\n?\r\n"], [b"250 Done.\r\n\r\n"]])
def test_reply_is_not_believed_when_what_is_none_follows_at_once(pieces: list[bytes]) -> None:
    async def scenario() -> None:
        control = Control(1.0)
        (pending,) = control.send("RNTO new")
        for piece in pieces:
            control.received(piece)
        with pytest.raises(OutOfStep, match="reply is not FTP"):
            await control.reply(pending)

    asyncio.run(scenario())


def test_connection_that_was_given_up_keeps_nothing_more() -> None:
    async def scenario() -> int:
        control = Control(1.0)
        control.received(b"220 unasked\r\n")
        tracemalloc.start()
        for _ in range(100):
            control.received(b"226-" + b"x" * 10_000 + b"\r\n")
        kept, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return kept

    assert asyncio.run(scenario()) < 100_000


def test_odd_answer_is_told_apart_from_a_cut_and_a_silence_by_all_that_wait() -> None:
    async def is_conclusive(said: bytes | None) -> bool:
        control = Control(0.05)
        pending = control.send("SIZE a", "SIZE b", "EPSV")
        if said is None:
            control.break_off("the server closed the connection")
        elif said:
            control.received(said)
        told = [await asyncio.wait_for(_broken(control, each), 5) for each in pending[1:]]
        assert told == [control.broken] * 2
        return isinstance(control.broken, OutOfStep)

    async def _broken(control: Control, pending: AwaitedReply) -> ConnectionBroken:
        with pytest.raises(ConnectionBroken) as caught:
            await control.reply(pending)
        return caught.value

    assert asyncio.run(is_conclusive(b"213 1\r\n229 (|||5|)\r\n"))
    for ambiguous in (None, b"", b"150 wait\r\n", b"421 Timeout\r\n"):
        assert not asyncio.run(is_conclusive(ambiguous)), ambiguous


FILES = 40


def answer_in_two_parts(listener: socket.socket) -> None:
    """Answer each line with two replies, the second of which leaves when the first was acknowledged (Nagle)."""
    connection, _ = listener.accept()
    with connection, connection.makefile("rb") as lines:
        for _ in lines:
            connection.sendall(b"150 Go on.\r\n")
            connection.sendall(b"226 Done.\r\n")


def test_server_that_waits_for_acknowledgements_is_not_kept_waiting_for_each() -> None:
    async def scenario(port: int) -> float:
        control = Control(5.0)

        class Protocol(asyncio.Protocol):
            def data_received(self, data: bytes) -> None:
                control.received(data)

        loop = asyncio.get_running_loop()
        control.transport, _ = await loop.create_connection(Protocol, "127.0.0.1", port)
        begun = time.monotonic()
        for number in range(FILES):
            (sent,) = control.send(f"STOR {number}")
            assert (await control.reply(sent)).code == 226
        control.break_off("it was enough")
        return time.monotonic() - begun

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=answer_in_two_parts, args=(listener,), daemon=True)
        server.start()
        took = asyncio.run(scenario(listener.getsockname()[1]))
        server.join(5)
    assert took < FILES * 0.04 / 2
