"""What a small file costs on the wire: commands, writes, data connections, counted by a relay that answers late.

Each write waits for the replies to the one before it, so that a write is a round trip; connecting costs another one.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults.proxy import FtpProxy, Passage
from servers import REAL, FtpServer, KeptServer, Kind
from support.program import MTIME, Program

FEW, MANY = 20, 60
LATE_SECONDS = 0.03
TAIL = ("MTIME", "SITE", "RNFR", "RNTO")


@pytest.fixture
def proxies() -> Iterator[list[FtpProxy]]:
    """Keep the relays of a test, and close them."""
    made: list[FtpProxy] = []
    yield made
    for proxy in made:
        proxy.close()


def counted(folder: Path, server: FtpServer, proxies: list[FtpProxy], files: int, *, later: bool = False) -> FtpProxy:
    """Mirror so many new files of a known server over one connection, and return the relay that carried them.

    It is the first pass of a mirror, or a `later` one.
    """
    server.reset()
    folder.mkdir()
    program = Program(folder, server)
    proxy = FtpProxy(server.port)
    proxies.append(proxy)
    straight, relayed = program.url, program.url.replace(f":{server.port}/", f":{proxy.port}/")
    program.url = relayed if later else straight
    for name in ("first", "second", "third") if later else ():  # what the server says of a free name is known then
        program.write(name)
        assert program.sync("--multi", "A1").code == 0
    if not later:  # a new mirror of a server whose manners are known
        assert program.sync("--multi", "A1").code == 0
        os.remove(next(program.state.glob("*.sqlite3")))
    for number in range(files):
        path = program.source / f"file-{number:03}"
        path.write_bytes(b"x" * (number * 97 % 8192))
        os.utime(path, (MTIME, MTIME))
    program.url = relayed
    proxy.late_seconds = LATE_SECONDS
    assert program.sync("--multi", "A1").code == 0
    assert len(os.listdir(server.docroot)) == files + 3 * later
    return proxy


def verbs(proxy: FtpProxy) -> Counter[str]:
    """Count the commands; the ways to set an mtime count as one."""
    names = (line.decode().split(" ")[0] for _, line in proxy.commands)
    return Counter("MTIME" if name in {"MFMT", "MDTM"} else name for name in names)


@pytest.mark.few(1)
@pytest.mark.parametrize("kind", REAL)
def test_small_file_costs_seven_commands_and_one_write(
    kind: Kind, kept_server: KeptServer, tmp_path: Path, proxies: list[FtpProxy]
) -> None:
    few = counted(tmp_path / "few", kept_server(kind), proxies, FEW)
    many = counted(tmp_path / "many", kept_server(kind), proxies, MANY)
    more = MANY - FEW
    difference = verbs(many) - verbs(few)
    assert difference == Counter({"STOR": more, "SIZE": more, "EPSV": more} | dict.fromkeys(TAIL, more))
    assert many.data_connections - few.data_connections == more
    assert len(many.writes) - len(few.writes) <= 1.1 * more


@pytest.mark.few(1)
@pytest.mark.parametrize("kind", REAL)
def test_new_file_of_a_later_pass_costs_eight_commands_and_one_write(
    kind: Kind, kept_server: KeptServer, tmp_path: Path, proxies: list[FtpProxy]
) -> None:
    few = counted(tmp_path / "few", kept_server(kind), proxies, FEW, later=True)
    many = counted(tmp_path / "many", kept_server(kind), proxies, MANY, later=True)
    more = MANY - FEW
    difference = verbs(many) - verbs(few)
    assert difference == Counter({"STOR": more, "SIZE": 2 * more, "EPSV": more} | dict.fromkeys(TAIL, more))
    assert len(many.writes) - len(few.writes) <= 1.1 * more
    assert any(re.search(rb"(?m)^RNTO .*\r\nSIZE .*\r\nSTOR .*\r\nSIZE ", write) for write in many.writes)


@pytest.mark.exhaustive
def test_small_file_costs_two_writes_where_nothing_may_be_sent_during_a_transfer(
    kept_server: KeptServer, tmp_path: Path, proxies: list[FtpProxy]
) -> None:
    few = counted(tmp_path / "few", kept_server("pyftpdlib"), proxies, FEW)
    many = counted(tmp_path / "many", kept_server("pyftpdlib"), proxies, MANY)
    more = MANY - FEW
    assert verbs(many)["STOR"] - verbs(few)["STOR"] == more
    assert len(many.writes) - len(few.writes) <= 2.1 * more
    assert not any(re.search(rb"(?m)^STOR .*\n(?!NOOP).", write) for write in many.writes)


@pytest.mark.few(1)
@pytest.mark.parametrize("kind", REAL)
def test_rename_is_never_on_the_wire_before_its_file_is_confirmed(
    kind: Kind, kept_server: KeptServer, tmp_path: Path, proxies: list[FtpProxy]
) -> None:
    proxy = counted(tmp_path / "many", kept_server(kind), proxies, MANY)
    sent: set[bytes] = set()
    for write in proxy.writes:
        renamed = set(re.findall(rb"(?m)^RNFR (\S+)", write))
        stored = set(re.findall(rb"(?m)^STOR (\S+)", write))
        assert renamed <= sent
        assert not renamed & stored
        sent |= stored


@pytest.mark.parametrize("kind", [*REAL, "pyftpdlib"])
def test_manners_of_a_server_are_found_out_once_and_remembered(
    kind: Kind, kept_server: KeptServer, tmp_path: Path, proxies: list[FtpProxy]
) -> None:
    server = kept_server(kind)
    program = Program(tmp_path, server)
    (program.source / "first").write_bytes(b"1")
    os.utime(program.source / "first", (MTIME, MTIME))
    proxy = FtpProxy(server.port)
    proxies.append(proxy)
    program.url = program.url.replace(f":{server.port}/", f":{proxy.port}/")
    assert program.sync("--multi", "A1").code == 0
    assert verbs(proxy)["NOOP"] == 4  # two in the first proof, one in each of the others
    (program.source / "second").write_bytes(b"2")
    os.utime(program.source / "second", (MTIME, MTIME))
    assert program.sync("--multi", "A1").code == 0
    assert verbs(proxy)["NOOP"] == 4  # two in the first proof, one in each of the others
    assert set(os.listdir(server.docroot)) == {"first", "second"}


def test_transfer_may_take_longer_than_a_time_out_where_150_is_waited_for(
    kept_server: KeptServer, tmp_path: Path, proxies: list[FtpProxy]
) -> None:
    server = kept_server("pyftpdlib")
    program = Program(tmp_path, server)
    (program.source / "large").write_bytes(os.urandom(700_000))
    os.utime(program.source / "large", (MTIME, MTIME))
    proxy = FtpProxy(server.port)
    proxies.append(proxy)
    program.url = program.url.replace(f":{server.port}/", f":{proxy.port}/")

    def slow_down(passage: Passage) -> None:
        passage.link.session.bytes_per_second = 250_000

    proxy.on_data_after(0, slow_down, during=b"STOR")
    result = program.sync("--multi", "A1", "--timeout", "1s")
    assert result.code == 0, result.err
    assert "connection lost" not in result.err
    assert (server.docroot / "large").read_bytes() == (program.source / "large").read_bytes()
