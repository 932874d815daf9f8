"""How a mirror that runs is asked: who may, what is refused, and that nobody holds it up."""

from __future__ import annotations

import asyncio
import json
import os
import select
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import pytest
from support.program import PROJECT

from async_mirror.service import channel
from async_mirror.service.channel import MOST_ASKED_BYTES, MOST_CLIENTS, Names, Unanswered, ask, name_of

T = TypeVar("T")
Asked = Mapping[str, Any]
ANSWER = {"phase": "resting"}
CLIENT = """
import contextlib, os, socket, sys
if sys.argv[2:] == ["nobody"]:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
client = socket.socket(socket.AF_UNIX)
client.connect(sys.argv[1])
with contextlib.suppress(BrokenPipeError):
    client.sendall(b"{}\\n")
print(client.recv(9999).decode())
"""


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Give a folder with a short name: the address of a socket has at most 108 bytes."""
    with TemporaryDirectory(prefix="am-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Make what is asked about; the folder above it may be entered by all."""
    folder = tmp_path / "state"
    folder.mkdir()
    (folder / "one.sqlite3").touch()
    return folder / "one.sqlite3"


def served(
    meanwhile: Callable[[Names], Awaitable[T]],
    *states: Path,
    runtime: Path | None = None,
    answer: Callable[[Asked], Asked] = lambda _: ANSWER,
) -> T:
    """Return what is found while somebody answers."""

    async def both() -> T:
        async with channel.answering(answer, str(runtime) if runtime else None) as names:
            for each in states:
                assert await names.add(each) == ""
            return await meanwhile(names)

    return asyncio.run(both())


async def asked(state: Path, runtime: Path | None = None) -> dict[str, Any]:
    return await asyncio.to_thread(ask, state, {"ask": "status"}, str(runtime) if runtime else None)


async def said(path: Path, request: bytes) -> Any:
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(request)
    line = await reader.readline()
    writer.close()
    return json.loads(line)


def socket_of(state: Path) -> Path:
    return state.parent / "sockets" / name_of(state)


def test_a_request_is_answered_and_the_folder_is_for_this_user_alone(state: Path) -> None:
    requests: list[Asked] = []

    def answer(request: Asked) -> Asked:
        requests.append(request)
        return ANSWER

    async def found(_: Names) -> tuple[dict[str, Any], int]:
        return await asked(state), socket_of(state).parent.stat().st_mode & 0o777

    assert served(found, state, answer=answer) == (ANSWER, 0o700)
    assert requests == [{"ask": "status"}]


def test_the_users_folder_for_sockets_goes_before_that_beside_the_state(state: Path, tmp_path: Path) -> None:
    runtime = tmp_path / "run"

    async def found(_: Names) -> list[str]:
        assert await asked(state, runtime=runtime) == ANSWER
        return os.listdir(runtime / "async-mirror")

    assert name_of(state) in served(found, state, runtime=runtime)
    assert not socket_of(state).exists()


def test_a_path_longer_than_an_address_may_be_leads_to_it_nevertheless(state: Path, tmp_path: Path) -> None:
    runtime = tmp_path / ("r" * 120)

    async def found(_: Names) -> dict[str, Any]:
        assert (runtime / "async-mirror" / name_of(state)).is_socket()
        return await asked(state, runtime=runtime)

    assert served(found, state, runtime=runtime) == ANSWER


def test_many_states_are_answered_for_over_one_descriptor(state: Path) -> None:
    states = [state, *(state.with_name(f"{number}.sqlite3") for number in range(20))]
    for each in states:
        each.touch()

    async def found(names: Names) -> list[dict[str, Any]]:
        before = len(os.listdir("/proc/self/fd"))
        for each in states[1:]:
            assert await names.add(each) == ""
        assert len(os.listdir("/proc/self/fd")) == before
        names.remove(states[3])
        return [await asked(each) for each in states if each != states[3]]

    assert served(found, state) == [ANSWER] * 20
    assert os.listdir(socket_of(state).parent) == []


def test_a_name_that_a_killed_process_left_is_taken_over(state: Path) -> None:
    socket_of(state).parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(socket_of(state)))
    with pytest.raises(Unanswered, match="refused"):
        ask(state, {}, None)
    assert served(lambda _: asked(state), state) == ANSWER


def test_what_killed_processes_listened_on_is_cleared_away_and_what_lives_stays(state: Path) -> None:
    folder = socket_of(state).parent
    folder.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(folder / "1-dead.door"))

    async def found(_: Names) -> tuple[bool, list[str]]:
        one = set(os.listdir(folder))
        async with channel.answering(lambda _: ANSWER, None) as others:
            assert await others.add(state.with_name("other.sqlite3")) == ""
            return one < set(os.listdir(folder)), os.listdir(folder)

    is_kept, names = served(found, state)
    assert is_kept
    assert "1-dead.door" not in names
    assert os.listdir(folder) == []


def test_where_nobody_answers_or_no_state_is_that_is_told(state: Path, tmp_path: Path) -> None:
    with pytest.raises(Unanswered, match="there is no socket"):
        ask(state, {}, None)
    with pytest.raises(Unanswered, match="there is no state"):
        ask(tmp_path / "none.sqlite3", {}, None)


def test_a_folder_that_others_may_enter_is_not_used(state: Path) -> None:
    socket_of(state).parent.mkdir(mode=0o755)

    async def added() -> str:
        async with channel.answering(lambda _: ANSWER, None) as names:
            return await names.add(state)

    assert "is not this user's alone" in asyncio.run(added())


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (b"x" * (MOST_ASKED_BYTES + 10) + b"\n", "at most 4096 bytes"),
        (b"x" * MOST_ASKED_BYTES * 4, "at most 4096 bytes"),
        (b"nonsense\n", "a JSON object"),
        (b"[1]\n", "a JSON object"),
        (b"[" * 4000 + b"\n", "a JSON object"),
        (b"\xff\xfe\n", "a JSON object"),
    ],
)
def test_a_request_that_is_too_long_or_none_is_refused(state: Path, request_: bytes, error: str) -> None:
    assert error in served(lambda _: said(socket_of(state), request_), state)["error"]


def test_an_answer_that_would_be_too_long_is_not_given(state: Path) -> None:
    answer = {"x": "y" * channel.MOST_ANSWERED_BYTES}
    assert served(lambda _: asked(state), state, answer=lambda _: answer) == {"error": "the answer is too long"}


def test_clients_that_are_stuck_hold_up_nobody_and_are_cut_off(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "ANSWERS_WITHIN_S", 0.5)

    async def found(_: Names) -> list[Any]:
        stuck = [await asyncio.open_unix_connection(str(socket_of(state))) for _ in range(MOST_CLIENTS)]
        answers: list[Any] = [await said(socket_of(state), b"{}\n")]
        for reader, writer in stuck:
            answers.append(await reader.read())
            writer.close()
        return [*answers, await said(socket_of(state), b"{}\n")]

    first, *cut, last = served(found, state)
    assert "try again" in first["error"]
    assert cut == [b""] * MOST_CLIENTS
    assert last == ANSWER


def test_a_client_that_does_not_read_is_cut_off(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "ANSWERS_WITHIN_S", 0.5)
    monkeypatch.setattr(channel, "MOST_ANSWERED_BYTES", 1 << 24)

    async def found(_: Names) -> bytes:
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(socket_of(state)))
        client.sendall(b"{}\n")
        assert await said(socket_of(state), b'{"short": true}\n') == ANSWER
        hung_up = select.poll()
        hung_up.register(client, select.POLLRDHUP)
        assert await asyncio.to_thread(hung_up.poll, 30_000), "it was not cut off"
        with client:
            got = b"".join(iter(lambda: client.recv(1 << 16), b""))
        return got[-1:]

    long = {"x": "y" * (1 << 22)}
    assert served(found, state, answer=lambda request: ANSWER if request else long) == b"y"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, who may become another user")
def test_another_user_gets_no_answer_and_root_does(state: Path) -> None:
    """The folder keeps others out; who gets in nevertheless, as over a descriptor, is known by the kernel's word."""

    async def by(*user: str) -> str:
        words = [sys.executable, "-c", CLIENT, str(socket_of(state)), *user]
        done = await asyncio.to_thread(subprocess.run, words, capture_output=True, text=True, check=False, cwd=PROJECT)
        return done.stdout + done.stderr

    async def found(_: Names) -> tuple[str, str, str]:
        kept_out = await by("nobody")
        for folder in (socket_of(state).parent, *list(state.parents)[:-1]):
            folder.chmod(folder.stat().st_mode | 0o011)
        socket_of(state).chmod(0o777)
        return kept_out, await by("nobody"), await by()

    kept_out, refused, answered = served(found, state)
    assert "PermissionError" in kept_out
    assert json.loads(refused) == {"error": "only the user who runs it, and root, may ask"}
    assert json.loads(answered) == ANSWER
