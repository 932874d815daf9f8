"""Only a reply about the user is a wrong login, which is never asked again; all else is about the session."""

from __future__ import annotations

import asyncio

import pytest
from faults import HOST, reactions
from faults.reactions import ALWAYS
from faults.scripted import ScriptedServer
from servers import PASSWORD, REAL, USER, FtpServer, KeptServer, Kind

from async_mirror.ftp.session import connect
from async_mirror.model.secret import Secret
from async_mirror.model.site import Site
from async_mirror.remote.errors import ConnectionBroken, ConnectionRefused, LoginFailed, RemoteError, Untrusted

REPLIES: dict[str, type[RemoteError]] = {
    "530 Login incorrect.": LoginFailed,
    "530 Sorry, Authentication failed.": LoginFailed,
    "530 User cannot log in, home directory inaccessible.": LoginFailed,
    "430 Invalid username or password.": LoginFailed,
    "532 Need account for storing files.": LoginFailed,
    "535 Failed security check.": LoginFailed,
    "331 Password required.": LoginFailed,
    "331 One-time password: ": LoginFailed,
    "530 Sorry, the maximum number of clients (3) for this user are already connected.": ConnectionRefused,
    "421 Too many connections (8) from this IP": ConnectionRefused,
    "421 Service not available.": ConnectionRefused,
    "534 Policy requires SSL.": Untrusted,
    "500 OOPS: vsf_sysutil_recv_peek: no data": ConnectionBroken,
    "500 OOPS: priv_sock_get_result": ConnectionBroken,
    "500 OOPS: vsftpd: refusing to run with writable root inside chroot()": ConnectionBroken,
    "425 Can't open a session.": ConnectionBroken,
    "431 Temporarily unavailable resource to process security.": ConnectionBroken,
    "450 The user data base is busy.": ConnectionBroken,
    "451 Local error.": ConnectionBroken,
    "454 Later.": ConnectionBroken,
    "500 Command not understood.": ConnectionBroken,
    "501 Syntax error.": ConnectionBroken,
    "503 Login with USER first.": ConnectionBroken,
    "550 Permission denied.": ConnectionBroken,
}


def turned_away(port: int, password: str = PASSWORD) -> RemoteError:
    async def log_in() -> None:
        async with asyncio.timeout(20):
            session = await connect(Site("ftp", HOST, port, USER, ""), Secret(password), timeout_seconds=10)
            await session.close()

    with pytest.raises(RemoteError) as caught:
        asyncio.run(log_in())
    return caught.value


@pytest.mark.parametrize("verb", ["USER", "PASS"])
@pytest.mark.parametrize(("reply", "expected"), REPLIES.items(), ids=REPLIES)
def test_reply_to_a_login_is_about_the_user_or_about_the_session(
    server: ScriptedServer, verb: str, reply: str, expected: type[RemoteError]
) -> None:
    if verb == "USER" and reply.startswith("331"):
        verb = "PASS"
    server.on(verb, reactions.say(reply.encode()), times=ALWAYS)
    error = turned_away(server.port)
    assert type(error) is expected, error.told
    assert reply.strip() in error.told


@pytest.mark.parametrize("reply", ["502 Not implemented.", "532 Need account.", "503 Bad sequence."])
def test_account_that_is_asked_for_and_not_taken_is_a_wrong_login(server: ScriptedServer, reply: str) -> None:
    server.on("PASS", reactions.say(b"332 Need account for login."))
    server.on("ACCT", reactions.say(reply.encode()))
    assert type(turned_away(server.port)) is LoginFailed


@pytest.mark.parametrize("kind", REAL)
def test_wrong_password_is_a_wrong_login_for_each_real_server(kind: Kind, kept_server: KeptServer) -> None:
    assert type(turned_away(kept_server(kind).port, "wrong")) is LoginFailed


def test_wrong_password_is_a_wrong_login_for_servers_that_few_have_tried(zoo_server: FtpServer) -> None:
    assert type(turned_away(zoo_server.port, "wrong")) is LoginFailed
