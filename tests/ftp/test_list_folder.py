"""A folder is listed on servers that take LIST in their own way; the session is back in the root afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import pytest
from faults import reactions, sites
from faults.reactions import ALWAYS
from faults.scripted import Exchange, ScriptedServer, Trait
from servers import PASSWORD, USER, KeptServer, Kind

from async_mirror.ftp.session import FtpSession, connect
from async_mirror.model.secret import Secret
from async_mirror.model.site import Site
from async_mirror.remote.errors import Refusal

SITE = {
    "": {".htaccess", "a", "a b", "b", "a c", "c", "c d", "d", "empty", "[ab]"},
    "a": {"in a"},
    "a b": {".hidden", "in a b"},
    "b": {"in b"},
    "a c": {"in a c"},
    "c d": {"in c d"},
    "empty": set(),
    "[ab]": {"in brackets", "folder"},
    "[ab]/folder": {"deep"},
}
"""What each folder holds; what is not a key is a file."""
FOLDERS = {each.rpartition("/")[2] for each in SITE}
Result = TypeVar("Result")


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(without={"MLSD", "MLST"}) as server:
        for folder, names in SITE.items():
            server.folders.add(f"/{folder}".encode())
            for name in names - FOLDERS:
                server.put(f"/{folder}/{name}".replace("//", "/").encode(), b"content")
        yield server


def in_session(port: int, ask: Callable[[FtpSession], Awaitable[Result]]) -> Result:
    async def talk() -> Result:
        session = await connect(Site("ftp", "127.0.0.1", port, USER, ""), Secret(PASSWORD), timeout_seconds=5)
        try:
            return await ask(session)
        finally:
            await session.close()

    return asyncio.run(talk())


async def check_all(session: FtpSession) -> None:
    for path in [*SITE, *reversed(SITE)]:
        listing = await session.list_folder(path)
        assert listing is not None
        assert listing.complete
        found = {entry.path.rpartition("/")[2]: entry for entry in listing.entries}
        assert found.keys() == SITE[path]
        assert {name for name, entry in found.items() if entry.is_folder} == SITE[path] & FOLDERS
        assert {entry.size for entry in found.values() if not entry.is_folder} <= {len(b"content")}
    assert await session.list_folder("absent") is None
    assert await session.list_folder("a/in a") is None
    assert await session.size("a/in a") == len(b"content")  # it is in the root again


def no_option_for_the_moment(exchange: Exchange) -> None:
    if exchange.argument.startswith(b"-a"):
        exchange.reply(b"451 -a: no such folder.")
    else:
        exchange.reply(exchange.perform())


def no_path(exchange: Exchange) -> None:
    if exchange.argument not in {b"", b"-a"}:
        exchange.listing = b""
    exchange.reply(exchange.perform())


FORMATS = (
    sites.lists_as_dos,
    sites.lists_as_dos_with_centuries,
    sites.lists_as_dos_with_commas,
    sites.lists_as_eplf,
    sites.lists_groups_with_blanks,
    sites.lists_no_groups,
    sites.lists_sizes_glued_to_the_group,
    sites.lists_iso_dates,
    sites.lists_days_first,
)


@pytest.mark.parametrize("trait", FORMATS)
def test_each_folder_is_listed_in_each_format(server: ScriptedServer, trait: Trait) -> None:
    trait(server)
    in_session(server.port, check_all)


@pytest.mark.parametrize(
    "trait",
    [
        sites.lists_nothing_with_options,
        sites.takes_each_word_of_list_for_a_name,
        sites.ignores_paths_of_list,
    ],
)
def test_each_folder_is_listed_where_options_and_blanks_are_misread(server: ScriptedServer, trait: Trait) -> None:
    trait(server)
    in_session(server.port, check_all)


@pytest.mark.parametrize("react", [no_option_for_the_moment, no_path])
def test_each_folder_is_listed_where_an_option_or_a_path_is_refused(
    server: ScriptedServer, react: Callable[[Exchange], None]
) -> None:
    server.on("LIST", react, times=ALWAYS)
    in_session(server.port, check_all)


@pytest.mark.parametrize("kind", ["inetutils", "vsftpd", "simple-ftpd"])
def test_each_folder_is_listed_by_a_real_server_without_mlsd(kept_server: KeptServer, kind: Kind) -> None:
    server = kept_server(kind)
    for folder, names in SITE.items():
        (server.docroot / folder).mkdir(exist_ok=True, parents=True)
        for name in names - FOLDERS:
            (server.docroot / folder / name).write_bytes(b"content")
    in_session(server.port, check_all)


def test_whether_list_heeds_a_path_is_found_out_by_one_listing(server: ScriptedServer) -> None:
    in_session(server.port, check_all)
    assert sum("am-absent-" in line for line in server.commands()) <= 1


def test_whether_list_heeds_a_path_is_not_found_out_while_no_listing_is_to_be_had(server: ScriptedServer) -> None:
    async def ask(session: FtpSession) -> None:
        with pytest.raises(Refusal) as refused:
            await session.list_folder("a")
        assert refused.value.transient
        await check_all(session)

    def busy_once(exchange: Exchange) -> None:
        if b"am-absent-" in exchange.argument and next(times, None):
            exchange.reply(b"425 Not now.")
        else:
            exchange.reply(exchange.perform())

    times = iter([True])
    sites.ignores_paths_of_list(server)
    server.on("LIST", busy_once, times=ALWAYS)
    in_session(server.port, ask)


def test_folder_that_cannot_be_listed_in_any_way_is_refused_and_not_absent(server: ScriptedServer) -> None:
    async def ask(session: FtpSession) -> None:
        with pytest.raises(Refusal, match="LIST"):
            await session.list_folder("a")
        assert await session.size("a/in a") == len(b"content")

    server.on("LIST", reactions.permission_denied, times=ALWAYS)
    in_session(server.port, ask)


def test_session_that_is_interrupted_inside_a_folder_is_not_used_again(server: ScriptedServer) -> None:
    async def ask(session: FtpSession) -> bool:
        listing = asyncio.ensure_future(session.list_folder("[ab]"))
        await asyncio.to_thread(entered.reached.wait, 10)
        listing.cancel()
        await asyncio.wait([listing])
        return session.usable

    entered = server.on("CWD", lambda _: None)
    assert not in_session(server.port, ask)


@pytest.mark.parametrize("times", [3, 30])
def test_listing_that_fails_because_a_temporary_was_renamed_meanwhile_is_asked_for_again(
    server: ScriptedServer, times: int
) -> None:
    vanished = reactions.say(b"550 ENOENT: no such file or directory, stat '/site/a/.am-0123abcd-0123456789z0.part'")
    for _ in range(times):
        server.on("LIST", vanished, when=lambda exchange: exchange.argument.endswith(b"a"))

    async def ask(session: FtpSession) -> set[str]:
        listing = await session.list_folder("a")
        assert listing is not None
        return {entry.path for entry in listing.entries}

    if times == 3:
        assert in_session(server.port, ask) == {"a/in a"}
        assert [command for command in server.commands() if command.startswith("LIST")][:4] == ["LIST -a a"] * 4
    else:
        with pytest.raises(Refusal) as refused:
            in_session(server.port, ask)
        assert refused.value.transient
