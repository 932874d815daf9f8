"""Speed is earned from each server by harmless proofs, kept through what any network does, and given back for cause."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from faults import HOST, reactions, traits, zoo
from faults.exchange import Exchange, Reaction
from faults.proxy import FtpProxy
from faults.reactions import ALWAYS
from faults.scripted import Backends, ScriptedServer, Trait
from servers import PASSWORD, REAL, USER, FtpServer, KeptServer, Kind
from support.mirror import Mirror, answer_at_once, contents, count, temporaries_of, tree_of
from support.program import Program, tree

from async_mirror.ftp.session import connect
from async_mirror.model.facts import Facts
from async_mirror.model.secret import Secret
from async_mirror.model.site import Site
from async_mirror.remote.errors import TooQuick

FILES = 12
PATIENT = ("--timeout", "10s")
"""Longer than any wait for a reply in a quick manner."""
Serve = Callable[..., ScriptedServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Make scripted servers of these traits, and close them."""
    made: list[ScriptedServer] = []

    def make(*its: Trait) -> ScriptedServer:
        server = ScriptedServer(*its)
        server.data_seconds = 10.0
        answer_at_once(server)
        made.append(server)
        return server

    yield make
    for server in made:
        server.close()


def filled(mirror: Mirror, first: int = 0, files: int = FILES) -> None:
    for number in range(first, first + files):
        mirror.write(f"folder {number % 3}/file {number}", f"content {number}")


def facts(state: Path) -> dict[str, int]:
    """Return what is remembered, the least of what several servers at the address have."""
    with closing(sqlite3.connect(state / "hosts.db")) as database:
        return dict(database.execute("SELECT name, min(value) FROM known GROUP BY name"))


def rungs(state: Path) -> list[int | None]:
    """Return how it stands with the three rungs: 1 proved, 0 given back, None not tried."""
    known = facts(state)
    return [known.get(f"rung {rung}") for rung in (1, 2, 3)]


def proofs(commands: list[str]) -> int:
    """Count the commands that stand in proofs only: two in the first, one in each of the others."""
    return commands.count("NOOP")


WAYS: dict[str, tuple[tuple[Trait, ...], list[int | None]]] = {
    "any": ((), [1, 1, 1]),
    "uftpd": (zoo.UFTPD[:1], [0, None, None]),
    "nodeftpd": (zoo.NODEFTPD, [0, None, None]),
    "squeezes": ((traits.squeezes_blanks_of_a_read,), [0, None, None]),
    "cuts": ((traits.cuts_when_commands_come_together,), [0, None, None]),
    "twisted": (zoo.TWISTED, [1, 0, None]),
    "ftp-srv": (zoo.FTP_SRV, [1, 0, 0]),
    "drops behind": ((traits.drops_what_comes_behind_a_transfer,), [1, 1, 0]),
}
each_way = pytest.mark.parametrize(("its", "expected"), WAYS.values(), ids=WAYS)


def mirrored(mirror: Mirror, server: ScriptedServer, *options: str) -> str:
    """Run a pass that may not fail, after which the site holds the source's content and nothing of ours."""
    ran = mirror.run(*options)
    assert ran.code == 0, ran.said
    assert contents(tree_of(server)) == contents(tree(mirror.source)), ran.said
    return ran.said


@pytest.mark.few(3)
@each_way
def test_server_is_asked_as_it_can_bear_and_each_thing_is_found_out_once(
    serve: Serve, tmp_path: Path, its: tuple[Trait, ...], expected: list[int | None]
) -> None:
    server = serve(*its)
    mirror = Mirror(tmp_path, server.port, options=(*PATIENT, "--retries", "0"))
    filled(mirror)
    begun = time.monotonic()
    said = mirrored(mirror, server)
    assert time.monotonic() - begun < 15
    assert [each or 0 for each in rungs(mirror.state)] == [each or 0 for each in expected], said
    before, connections = proofs(server.commands()), server.connections
    filled(mirror, FILES)
    mirrored(mirror, server)
    assert proofs(server.commands()) == before, server.commands()
    assert server.connections - connections <= 3


def through(program: Program, proxies: Callable[[int], FtpProxy]) -> FtpProxy:
    """Have the program reach its server by a relay."""
    proxy = proxies(program.server.port)
    program.url = program.url.replace(f":{program.server.port}/", f":{proxy.port}/")
    return proxy


@pytest.fixture
def proxies() -> Iterator[Callable[[int], FtpProxy]]:
    """Make relays, and close them."""
    made: list[FtpProxy] = []

    def make(port: int) -> FtpProxy:
        made.append(FtpProxy(port))
        return made[-1]

    yield make
    for proxy in made:
        proxy.close()


def some(program: Program, first: int = 0, files: int = FILES) -> None:
    for number in range(first, first + files):
        program.write(f"folder {number % 3}/file {number}", f"content {number}")


def noops(proxy: FtpProxy) -> int:
    return sum(line == b"NOOP" for _, line in proxy.commands)


@pytest.mark.parametrize("mode", ["S", "A8", "T4", "P2"])
@pytest.mark.parametrize("kind", REAL)
def test_each_proof_is_made_once_for_all_connections_and_never_again(
    kind: Kind, mode: str, kept_server: KeptServer, tmp_path: Path, proxies: Callable[[int], FtpProxy]
) -> None:
    program = Program(tmp_path, kept_server(kind))
    proxy = through(program, proxies)
    some(program)
    assert program.sync("--multi", mode).code == 0
    assert noops(proxy) == 4, proxy.commands  # two in the first proof, one in each of the others
    assert rungs(program.state) == [1, 1, 1]
    some(program, FILES)
    assert program.sync("--multi", mode).code == 0
    assert noops(proxy) == 4
    assert tree(program.site) == tree(program.source)


FAULTS = {"cut": reactions.cut, "stall": reactions.drop}
WRITES = {"proof 1": b"PWD", "proof 2": b"EPSV", "proof 3": b"STOR"}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("kind", REAL)
def test_proof_that_the_network_spoils_once_is_repeated_and_all_rungs_are_held(
    kind: Kind, write: str, fault: str, kept_server: KeptServer, tmp_path: Path, proxies: Callable[[int], FtpProxy]
) -> None:
    program = Program(tmp_path, kept_server(kind))
    proxy = through(program, proxies)
    some(program)
    cue = proxy.on_write(FAULTS[fault], verb=WRITES[write])
    ran = program.sync("--multi", "A2", "--timeout", "5s", "--retries", "0")
    assert cue.reached.is_set()
    assert ran.code == 0, ran.err
    assert rungs(program.state) == [1, 1, 1], ran.err
    assert tree(program.site) == tree(program.source)


@pytest.mark.few(2)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("verb", [b"RNTO", b"STOR"])
@pytest.mark.parametrize("kind", REAL)
def test_quick_write_that_the_network_spoils_once_makes_no_server_slow(
    kind: Kind, verb: bytes, fault: str, kept_server: KeptServer, tmp_path: Path, proxies: Callable[[int], FtpProxy]
) -> None:
    program = Program(tmp_path, kept_server(kind))
    proxy = through(program, proxies)
    some(program)
    assert program.sync("--multi", "A2").code == 0
    some(program, FILES, 4 * FILES)
    cue = proxy.on_write(FAULTS[fault], of=3, verb=verb)
    ran = program.sync("--multi", "A2", "--timeout", "5s", "--retries", "0")
    assert cue.reached.is_set()
    assert ran.code == 0, ran.err
    assert rungs(program.state) == [1, 1, 1], ran.err
    assert tree(program.site) == tree(program.source)


@pytest.mark.parametrize(("multi", "kept"), [("S", [1, 1]), ("A8", [])])
def test_manner_that_is_cut_again_and_again_is_given_back_and_no_file_fails(
    serve: Serve, tmp_path: Path, proxies: Callable[[int], FtpProxy], multi: str, kept: list[int]
) -> None:
    """Where items overlap on a session, what belongs to two may leave in one write, and cost lower rungs, too."""
    server = serve()
    proxy = proxies(server.port)
    mirror = Mirror(tmp_path, proxy.port, options=PATIENT)
    filled(mirror)
    mirrored(mirror, server)
    proxy.on_write(reactions.cut, ALWAYS, of=3, verb=b"STOR")
    filled(mirror, FILES)
    said = mirrored(mirror, server, "--retries", "0", "--multi", multi)
    assert rungs(mirror.state)[2] == 0, said
    assert rungs(mirror.state)[: len(kept)] == kept, said


BEARING = {
    "any": (),
    "one read, one command": zoo.NODEFTPD,
    "forgets ports": zoo.FTP_SRV,
    "waits for data": zoo.TWISTED,
}


@pytest.mark.few(2)
@pytest.mark.parametrize("mode", ["A8", "P3"])
@pytest.mark.parametrize("its", BEARING.values(), ids=BEARING)
@pytest.mark.parametrize("silent", [False, True], ids=["refused", "silent"])
def test_one_connection_finds_out_that_the_ports_of_epsv_cannot_be_reached_and_all_use_pasv(
    serve: Serve, tmp_path: Path, silent: bool, its: tuple[Trait, ...], mode: str
) -> None:
    server = serve(traits.blocks_epsv(silent=silent), *its)
    mirror = Mirror(tmp_path, server.port, options=(*PATIENT, "--retries", "0", "--multi", mode))
    filled(mirror, files=40)
    said = mirrored(mirror, server)
    assert said.count("no data connections with EPSV: using") == 1
    assert count(server, "EPSV") == 1
    filled(mirror, FILES)
    mirrored(mirror, server)
    assert count(server, "EPSV") == 1


@pytest.mark.parametrize("its", BEARING.values(), ids=BEARING)
@pytest.mark.parametrize(
    "reply", [b"500 OOPS: priv_sock_get_int", b"421 No port.", b"425 No port."], ids=["500", "421", "425"]
)
def test_fewer_ports_than_connections_make_fewer_connections(
    serve: Serve, tmp_path: Path, reply: bytes, its: tuple[Trait, ...]
) -> None:
    server = serve(*its, traits.has_ports(2, reply))
    mirror = Mirror(tmp_path, server.port, options=(*PATIENT, "--multi", "A8", "--retries", "0"))
    filled(mirror, files=60)
    said = mirrored(mirror, server)
    assert "failed" not in said
    assert "the server allows only" in said


def test_port_is_asked_for_directly_before_its_transfer_by_who_may_ask_for_none_ahead(
    serve: Serve, tmp_path: Path
) -> None:
    server = serve(*zoo.NODEFTPD)
    mirror = Mirror(tmp_path, server.port, options=(*PATIENT, "--multi", "A3"))
    for first in (0, FILES):  # the second time, names are asked for before they are used
        filled(mirror, first)
        mirrored(mirror, server)
    for number in range(1, server.connections + 1):
        commands = server.commands(number)
        transfers = [place for place, each in enumerate(commands) if each.split(" ")[0] in {"STOR", "LIST"}]
        assert all(commands[place - 1] in {"EPSV", "PASV"} for place in transfers), commands


def test_greeting_that_tells_time_and_counts_is_that_of_one_server(serve: Serve, tmp_path: Path) -> None:
    server = serve(traits.greets_with_times_and_numbers)
    mirror = Mirror(tmp_path, server.port, options=(*PATIENT, "--multi", "A8"))
    filled(mirror)
    mirrored(mirror, server)
    assert proofs(server.commands()) == 4
    filled(mirror, FILES)
    mirrored(mirror, server)
    assert proofs(server.commands()) == 4


def test_address_of_many_servers_gets_what_all_of_those_seen_bear(serve: Serve, tmp_path: Path) -> None:
    server = serve(traits.greets_with_a_random_name)
    mirror = Mirror(tmp_path, server.port, options=(*PATIENT, "--multi", "S"))
    for number in range(4):
        filled(mirror, number * FILES)
        mirrored(mirror, server)
    seen = proofs(server.commands())
    assert seen == 16
    for number in range(4, 8):
        filled(mirror, number * FILES)
        mirrored(mirror, server)
    assert proofs(server.commands()) == seen
    last = server.commands(server.connections)
    assert any(command.startswith("STOR") and last[place + 2] == "EPSV" for place, command in enumerate(last[:-2]))


def test_two_servers_behind_one_address_are_each_asked_as_they_can_bear(serve: Serve, tmp_path: Path) -> None:
    quick = serve(traits.lacks("MFMT"))
    slow = ScriptedServer(traits.drops_the_rest_of_a_read, site=quick.site)
    slow.data_seconds = 10.0
    with slow, Backends(quick, slow) as address:
        mirror = Mirror(tmp_path, address.port, options=(*PATIENT, "--multi", "A4", "--retries", "0"))
        filled(mirror)
        for number in range(1, 4):
            mirrored(mirror, quick)
            filled(mirror, number * FILES)
        assert proofs(quick.commands()) == 4
        assert proofs(slow.commands()) == 1  # the other one of the first proof was dropped


def test_root_is_made_whatever_the_server_says_of_its_absence(serve: Serve, tmp_path: Path) -> None:
    server = serve(*zoo.BFTPD)
    mirror = Mirror(tmp_path, server.port, "some/root", options=(*PATIENT, "--retries", "0"))
    filled(mirror)
    assert mirror.run().code == 0
    assert b"/some/root/folder 0/file 0" in server.files
    server.files.clear()
    server.folders.intersection_update({b"/"})
    filled(mirror, FILES)
    ran = mirror.run()
    assert ran.code == 0, ran.said
    assert {b"/some/root/folder 0/file 0", b"/some/root/folder 0/file 12"} <= set(server.files)


def test_first_contact_costs_few_round_trips_and_later_runs_none(
    kept_server: KeptServer, tmp_path: Path, proxies: Callable[[int], FtpProxy]
) -> None:
    program = Program(tmp_path, kept_server("proftpd"))
    proxy = through(program, proxies)
    some(program)
    proxy.late_seconds = 0.03
    assert program.sync("--multi", "A1").code == 0
    first = len(proxy.writes)
    some(program, FILES)
    assert program.sync("--multi", "A1").code == 0
    later = len(proxy.writes) - first
    assert first - later <= 12
    begin = [write for write in proxy.writes[first:] if b"STOR" not in write][:5]
    assert [write.split(b" ")[0].strip() for write in begin[:3]] == [b"USER", b"PASS", b"FEAT"]
    assert begin[3].startswith(b"SYST\r\nOPTS UTF8 ON\r\nTYPE I\r\nPWD\r\n")


LATE = {"void port": (traits.voids_ports, 1), "silence": (traits.drops_what_comes_behind_a_transfer, 2)}


@pytest.mark.few(1)
@pytest.mark.parametrize("mode", ["A16", "P2"])
@pytest.mark.parametrize(("trait", "rung"), LATE.values(), ids=LATE)
def test_rung_that_is_lost_in_mid_run_leaves_no_litter_and_no_storm_of_logins(
    serve: Serve, tmp_path: Path, trait: Trait, rung: int, mode: str
) -> None:
    server = serve()
    mirror = Mirror(tmp_path, server.port, options=(*PATIENT, "--multi", mode))
    filled(mirror, files=400)
    with mirror.start() as running:
        assert server.wait_until(lambda: count(server, "STOR") > 100, 30)
        trait(server)
        begun = count(server, "STOR")
        assert server.wait_until(lambda: count(server, "STOR") > begun + 60, 30)
        running.kill()
    killed = server.connections
    assert killed <= 2 * 16
    said = mirrored(mirror, server)
    assert temporaries_of(server) == []
    assert server.connections - killed <= 2 * 16 + 1  # what repeats the proof in vain is one more
    assert rungs(mirror.state)[rung] == 0, said


class OneByte:
    """Content that has left at once."""

    size = 1
    whole = b"x"

    def reader(self) -> None:
        return None

    def advanced(self, amount: int) -> None:
        raise AssertionError("nobody was given a reader")

    async def blocks(self) -> AsyncIterator[bytes]:
        yield self.whole


def test_what_is_lost_behind_a_listing_costs_that_manner_and_no_other(serve: Serve) -> None:
    server, facts = serve(), Facts()

    async def scenario() -> None:
        site = Site("ftp", HOST, server.port, USER, "")
        session = await connect(site, Secret(PASSWORD), facts=facts, timeout_seconds=1)
        await session.store("a", OneByte(), lambda: None)
        traits.drops_what_comes_behind_a_transfer(server)
        await session.list_folder("")
        with pytest.raises(TooQuick):
            await session.remove_files(["a"])
        await session.close()

    asyncio.run(scenario())
    known = {fact.name: fact.value for fact in facts.lasting()}
    assert [known[f"rung {rung}"] for rung in (1, 2, 3)] == [1, 1, 0]


def test_nothing_more_is_to_come_of_a_transfer_that_was_refused_for_its_port(serve: Serve) -> None:
    server = serve()

    async def scenario() -> None:
        site = Site("ftp", HOST, server.port, USER, "")
        session = await connect(site, Secret(PASSWORD), facts=Facts(), timeout_seconds=1)
        await session.store("a", OneByte(), lambda: None)
        server.on("STOR", reactions.say(b"425 No port was asked for."))
        with pytest.raises(TooQuick) as refused:
            await session.store("a", OneByte(), lambda: None)
        assert refused.value.by_server
        await session.close()

    asyncio.run(scenario())


def at_another_address(exchange: Exchange) -> None:
    """Wait for data at another address than for commands, and say so."""
    listener = exchange.connection.server.track(socket.create_server(("127.0.0.2", 0)))
    listener.settimeout(10)
    exchange.connection.listener = listener
    exchange.reply(b"227 Entering Passive Mode (127,0,0,2,%d,%d)." % divmod(listener.getsockname()[1], 256))


def as_a_private_address(exchange: Exchange) -> None:
    """Name an address that is of use only on the other side of a router."""
    exchange.reply(exchange.perform().replace(b"(127,0,0,1", b"(127,9,9,9"))


@pytest.mark.parametrize(
    ("address", "answer"),
    [("server", at_another_address), ("control", as_a_private_address)],
    ids=["server", "control"],
)
def test_address_in_a_reply_to_pasv_is_used_only_if_that_is_asked_for(
    serve: Serve, tmp_path: Path, address: str, answer: Reaction
) -> None:
    server = serve(traits.lacks("EPSV"))
    server.on("PASV", answer, ALWAYS)
    mirror = Mirror(tmp_path, server.port, options=(*PATIENT, "--pasv-address", address))
    filled(mirror)
    mirrored(mirror, server)


@pytest.mark.few(2)
@pytest.mark.parametrize("mode", ["S", "A8", "P2"])
def test_every_file_gets_onto_a_server_that_few_have_tried_and_no_proof_is_repeated(
    zoo_server: FtpServer, tmp_path: Path, proxies: Callable[[int], FtpProxy], mode: str
) -> None:
    program = Program(tmp_path, zoo_server)
    proxy = through(program, proxies)
    some(program, files=30)
    ran = program.sync("--multi", mode, "--retries", "0")
    assert ran.code == 0, ran.err
    before = noops(proxy)
    some(program, 30)
    ran = program.sync("--multi", mode, "--retries", "0")
    assert ran.code == 0, ran.err
    assert noops(proxy) == before
    assert contents(tree(program.site)) == contents(tree(program.source))
