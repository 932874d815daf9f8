"""What systemd is told, over a socket like the one that it gives."""

import os
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from async_mirror.service.systemd import Notifier


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """Listen as systemd does; give the socket and its address as systemd writes it."""
    name = f"@{secrets.token_hex(8)}" if request.param == "abstract" else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listens:
        listens.bind(name.replace("@", "\0", 1))
        listens.settimeout(10)
        yield listens, name


def test_each_word_is_systemds(systemd: tuple[socket.socket, str]) -> None:
    listens, address = systemd
    notifier = Notifier({"NOTIFY_SOCKET": address})
    assert notifier.is_wanted
    notifier.ready()
    assert listens.recv(4096) == b"READY=1"
    notifier.alive("in sync\nREADY=0 " + "x" * 10_000)
    words = listens.recv(1 << 16).split(b"\n")
    assert words[0] == b"WATCHDOG=1"
    assert words[1].startswith(b"STATUS=in sync READY=0 xxx"), "no line of ours becomes a word to systemd"
    assert len(words[1]) < 400
    notifier.reloading()
    assert listens.recv(4096).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
    notifier.stopping()
    assert listens.recv(4096) == b"STOPPING=1"


def test_where_nobody_listens_nothing_is_said_and_nothing_fails(tmp_path: Path) -> None:
    silent = Notifier({"WATCHDOG_USEC": "1000000"})
    assert (silent.is_wanted, silent.watchdog_s) == (False, None)
    silent.ready()
    gone = Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    gone.alive("in sync")


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({"WATCHDOG_USEC": "120000000"}, 120.0),
        ({"WATCHDOG_USEC": "120000000", "WATCHDOG_PID": str(os.getpid())}, 120.0),
        ({"WATCHDOG_USEC": "120000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_that_of_this_process(environment: dict[str, str], seconds: float | None) -> None:
    assert Notifier({"NOTIFY_SOCKET": "@none", **environment}).watchdog_s == seconds
