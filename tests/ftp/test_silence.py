"""Silence ends soon, however patient --timeout is, where an honest server is never slow; who is waited for is told."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from faults import HOST, reactions
from faults.reactions import ALWAYS
from faults.scripted import Exchange, ScriptedServer
from servers import PASSWORD, USER

from async_mirror.ftp.session import connect
from async_mirror.ftp.wire import client, control
from async_mirror.ftp.wire.tls import Tls
from async_mirror.model.secret import Secret
from async_mirror.model.site import Site, Trust
from async_mirror.remote.errors import ConnectionBroken

SOON, PATIENT = 0.3, 60.0


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        yield server


async def opened(
    port: int, *, timeout_seconds: float, scheme: str = "ftp", host: str = HOST, create_root: bool = True
) -> None:
    """Open a session and close it; hang for no longer than a test may."""
    site = Site(scheme, host, port, USER, "www")
    trust = Trust(insecure=scheme != "ftp")
    async with asyncio.timeout(20):
        session = await connect(
            site, Secret(PASSWORD), tls=Tls(trust), timeout_seconds=timeout_seconds, create_root=create_root
        )
        await session.close()


def why_not_opened(port: int, *, timeout_seconds: float, scheme: str = "ftp") -> ConnectionBroken:
    with pytest.raises(ConnectionBroken) as caught:
        asyncio.run(opened(port, timeout_seconds=timeout_seconds, scheme=scheme))
    return caught.value


@pytest.mark.parametrize("verb", ["AUTH", "FEAT", "TYPE", "CWD", "PWD"])
@pytest.mark.parametrize("without", [[], ["NOOP"]], ids=["in one write", "one by one"])
def test_command_that_costs_a_server_nothing_is_not_waited_for_as_long_as_the_time_out(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, verb: str, without: list[str]
) -> None:
    monkeypatch.setattr(control, "QUICK_SECONDS", SOON)
    server.without.update(without)
    server.on(verb, reactions.stay_silent, times=ALWAYS)
    broken = why_not_opened(server.port, timeout_seconds=PATIENT, scheme="ftpes" if verb == "AUTH" else "ftp")
    assert f"the server was silent for {SOON:g} s after {verb}" in broken.told
    assert "firewall " in broken.advice
    assert "--timeout" not in broken.advice, "more of it would help nothing"


@pytest.mark.parametrize(
    ("verb", "told", "advice"),
    [
        ("CONNECT", "connecting", "--timeout if the server looks up client names"),
        ("PASS", "PASS", "--timeout if the server is slow to check passwords"),
        ("MKD", "MKD", "--timeout if the server is slow"),
    ],
)
def test_command_that_may_take_a_server_long_is_waited_for_as_long_as_the_time_out(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, verb: str, told: str, advice: str
) -> None:
    monkeypatch.setattr(control, "QUICK_SECONDS", SOON / 3)
    server.on(verb, reactions.stay_silent, times=ALWAYS)
    broken = why_not_opened(server.port, timeout_seconds=SOON)
    assert f"the server was silent for {SOON:g} s after {told}" in broken.told
    assert advice in broken.advice


def test_quick_command_waits_for_the_slow_one_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "QUICK_SECONDS", 0.01)

    async def scenario() -> None:
        line = control.Control(5.0)
        _, behind = line.send("DELE a", "PWD")
        waiting = asyncio.ensure_future(line.reply(behind))
        done, _ = await asyncio.wait({waiting}, timeout=0.2)
        assert not done
        line.received(b'250 Gone.\r\n257 "/"\r\n')
        assert (await waiting).code == 257

    asyncio.run(scenario())


@pytest.fixture
def deaf_place() -> Iterator[tuple[str, int]]:
    """An address where a connection is neither accepted nor refused: its backlog is full, and stays so."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.2", 0))
        listener.listen(0)
        while True:
            one = stack.enter_context(socket.socket())
            one.settimeout(0.2)
            try:
                one.connect(listener.getsockname())
            except TimeoutError:
                break
        yield listener.getsockname()


def test_address_that_does_not_answer_is_given_up_soon_and_named(
    deaf_place: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "CONNECT_SECONDS", SOON)
    with pytest.raises(ConnectionBroken) as caught:
        asyncio.run(opened(deaf_place[1], host=deaf_place[0], timeout_seconds=PATIENT))
    assert caught.value.told == f"127.0.0.2:{deaf_place[1]} did not answer within {SOON:g} s"
    assert "check host, port and network" in caught.value.advice


def test_each_address_of_a_host_has_its_own_time(
    server: ScriptedServer, deaf_place: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "CONNECT_SECONDS", SOON)
    places = [deaf_place, deaf_place, (HOST, server.port)]
    asked: list[str] = []

    def resolve(host: str, *_: object, **__: object) -> list[tuple[object, ...]]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", place) for place in places]

    with monkeypatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", resolve)
        asyncio.run(opened(server.port, host="several.example", timeout_seconds=PATIENT))
    assert asked == ["several.example"]
    assert server.connections == 1


def test_why_no_address_can_be_reached_is_told(server: ScriptedServer) -> None:
    server.close()
    broken = why_not_opened(server.port, timeout_seconds=PATIENT)
    assert broken.told == f"cannot connect to {HOST}:{server.port}: Connection refused"


def test_slow_greeting_is_told_of_and_then_believed(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(client, "SLOW_GREETING_SECONDS", 0.05)
    told = threading.Event()

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.set()

    listener = Listener()
    logging.getLogger("async_mirror").addHandler(listener)
    server.on("CONNECT", reactions.reply_after(told))
    try:
        with caplog.at_level(logging.INFO, "async_mirror"):
            asyncio.run(opened(server.port, timeout_seconds=PATIENT))
    finally:
        logging.getLogger("async_mirror").removeHandler(listener)
    (record,) = caplog.records
    assert record.getMessage() == f"note      still waiting for the greeting of {HOST}:{server.port}"


def test_greeting_that_comes_in_time_is_not_told_of(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(client, "SLOW_GREETING_SECONDS", 0.3)

    def wait_longer(exchange: Exchange) -> None:
        exchange.connection.server.closing.wait(0.6)
        exchange.reply(exchange.perform())

    server.on("PWD", wait_longer)
    with caplog.at_level(logging.INFO, "async_mirror"):
        asyncio.run(opened(server.port, timeout_seconds=PATIENT))
    assert not caplog.records
