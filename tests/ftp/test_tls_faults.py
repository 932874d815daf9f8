"""What servers, and who is on the way, do wrong with TLS, and what is right then; the rows are those of docs/faults.md.

Whatever they do: no name, no password and no byte of a file crosses the wire outside TLS.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import re
import shutil
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

import pytest
from faults import reactions
from faults.identities import Identities
from faults.proxy import FtpProxy
from faults.reactions import ALWAYS
from faults.scripted import Exchange, Reaction, ScriptedServer
from faults.wire import Wire
from servers import PASSWORD, REAL, USER, RealKind, ServerFactory
from support.mirror import Mirror, Ran, answer_at_once, count, temporaries_of, tree_of
from support.program import MTIME, contents

from async_mirror.ftp import session
from async_mirror.ftp.wire.tls import Tls, tls_of
from async_mirror.model.secret import Secret
from async_mirror.model.site import Site, Trust
from async_mirror.remote.errors import ConnectionBroken, RemoteError, Untrusted

CANARY = b"a canary that crosses the wire enciphered or not at all"
OLD = b"what the site had before"
SECRETS = (USER.encode(), PASSWORD.encode(), CANARY, b"page.html")
FINGERPRINT = "sha256:[0-9a-f]{64}"
TROUBLE = {
    "expired": "has expired",
    "early": "is not valid yet",
    "self-signed": "is self-signed",
    "unknown-ca": "unknown CA",
    "wrong-host": "is for another host",
}
SUCCESS = b"226 Transfer complete."
SCHEMES = ("ftpes", "ftps")


Serve = Callable[..., ScriptedServer]
Aim = Callable[..., Mirror]
Meet = Callable[..., RemoteError]


@pytest.fixture
def serve(identities: Identities) -> Iterator[Serve]:
    """Make servers that hold an old version of the page, with the good certificate unless told otherwise."""
    with ExitStack() as stack:

        def make(
            tls: ssl.SSLContext | None = None, *, implicit: bool = False, requires_reuse: bool = False
        ) -> ScriptedServer:
            context = tls or identities["good"].context()
            server = ScriptedServer(tls=context, implicit=implicit, requires_reuse=requires_reuse)
            stack.enter_context(server)
            server.data_seconds = 1.0
            answer_at_once(server)
            server.put(b"/page.html", OLD)
            return server

        yield make


@pytest.fixture
def server(serve: Serve) -> ScriptedServer:
    return serve()


@pytest.fixture
def plain_server() -> Iterator[ScriptedServer]:
    """Serve without TLS, and hold an old version of the page."""
    with ScriptedServer() as server:
        server.put(b"/page.html", OLD)
        yield server


@pytest.fixture
def aim(tmp_path: Path, identities: Identities) -> Aim:
    """Make mirrors of one page that trust the known authority alone, unless other options are given."""

    def make(port: int, scheme: str = "ftpes", *trust: str | Path) -> Mirror:
        options = ("--multi", "A1", "--retries", "1", *(trust or ("--ca-cert", identities.ca_file)))
        mirror = Mirror(tmp_path, port, scheme=scheme, options=options)
        mirror.write("page.html", CANARY)
        return mirror

    return make


@pytest.fixture
def mirror(aim: Aim, server: ScriptedServer) -> Mirror:
    return aim(server.port)


@pytest.fixture
def meet(identities: Identities) -> Meet:
    """Open sessions in vain, each with a trust of its own, and return why; the good authority is trusted."""

    def open_in_vain(port: int, scheme: str = "ftpes", *, pin: str = "", timeout_seconds: float = 5.0) -> RemoteError:
        trust = Trust(pin=pin.removeprefix("sha256:")) if pin else Trust(ca_cert=identities.ca_file)
        site = Site(scheme, "127.0.0.1", port, USER, "")

        async def bounded() -> None:
            async with asyncio.timeout(15):
                await session.connect(site, Secret(PASSWORD), tls=Tls(trust), timeout_seconds=timeout_seconds)

        with pytest.raises((Untrusted, ConnectionBroken)) as caught:
            asyncio.run(bounded())
        return caught.value

    return open_in_vain


def shown(server: ScriptedServer) -> dict[bytes, bytes]:
    """Return what a visitor of the site sees of it, who is not shown temporaries."""
    return {path: node.content for path, node in tree_of(server).items() if b".am-" not in path}


def assert_nothing_leaked(server: ScriptedServer) -> None:
    assert set(server.clear_log) <= {"AUTH TLS", "QUIT"}
    assert [secret for secret in SECRETS if server.heard(secret)] == []


def assert_never_named(server: ScriptedServer) -> None:
    """See that the server heard of nobody, not even enciphered."""
    assert set(server.commands()) <= {"AUTH TLS", "QUIT"}
    assert [secret for secret in SECRETS if server.heard(secret)] == []


def assert_says(error: RemoteError, *words: str) -> None:
    said = f"{error.told} ({error.advice})"
    for word in words:
        assert re.search(word, said), said


def assert_said(ran: Ran, *words: str) -> None:
    """See that the program said this behind its first line, which has the name of the test in a path, and no secret."""
    said = ran.said.partition("\n")[2]
    for word in words:
        assert re.search(word, said, re.MULTILINE), (word, said)
    assert "Traceback" not in said
    assert PASSWORD not in said


def assert_refused(ran: Ran, server: ScriptedServer, *words: str) -> None:
    """See that a run ended with 4 and these words, and that the site and what is secret are as they were."""
    assert ran.code == 4, ran.said
    assert_said(ran, *words)
    assert server.history[b"/page.html"] == [OLD], ran.said
    assert_nothing_leaked(server)


def assert_sent(ran: Ran, server: ScriptedServer) -> None:
    assert ran.code == 0, ran.said
    assert_said(ran)
    assert shown(server) == {b"page.html": CANARY}
    assert temporaries_of(server) == []
    assert server.history[b"/page.html"] == [OLD, CANARY]
    assert_nothing_leaked(server)


def test_server_that_does_not_know_the_curve_that_is_offered_first_is_offered_all(
    serve: Serve, aim: Aim, identities: Identities
) -> None:
    context = identities["good"].context()
    context.set_ecdh_curve("secp384r1")
    server = serve(tls=context)
    assert_sent(aim(server.port).run(), server)


# 39: certificates.


@pytest.mark.smoke
@pytest.mark.parametrize("scheme", SCHEMES)
def test_trusted_server_gets_the_file_and_all_is_enciphered(serve: Serve, aim: Aim, scheme: str) -> None:
    server = serve(implicit=scheme == "ftps", requires_reuse=True)
    ran = aim(server.port, scheme).run()
    assert_sent(ran, server)
    assert "insecure" not in ran.said.lower()
    assert "warning" not in ran.said


# Row 39.
@pytest.mark.smoke
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("kind", TROUBLE)
def test_certificate_in_doubt_is_named_with_its_fingerprint_and_the_login_not_begun(
    serve: Serve, meet: Meet, identities: Identities, kind: str, scheme: str
) -> None:
    server = serve(identities[kind].context(), implicit=scheme == "ftps")
    error = meet(server.port, scheme)
    assert isinstance(error, Untrusted)
    assert_says(error, TROUBLE[kind], identities[kind].fingerprint, "--tls-pin")
    assert_never_named(server)


# Row 39.
def test_certificate_for_another_host_says_for_which(serve: Serve, meet: Meet, identities: Identities) -> None:
    assert_says(meet(serve(identities["wrong-host"].context()).port), r"elsewhere\.example")


# Row 39: what is wrong is told in each mode, from wherever it was found.
@pytest.mark.parametrize("mode", ["A3", "T2", "P2"])
def test_certificate_in_doubt_ends_every_mode_with_4(serve: Serve, aim: Aim, identities: Identities, mode: str) -> None:
    server = serve(identities["expired"].context())
    ran = aim(server.port).run("--multi", mode)
    assert_refused(ran, server, "has expired", identities["expired"].fingerprint, "--tls-pin")
    assert_never_named(server)


# Row 39: an authority that this machine does not know.
def test_certificate_of_a_private_authority_is_not_trusted_without_being_told(aim: Aim, server: ScriptedServer) -> None:
    ran = aim(server.port, "ftpes", "--tls", "explicit").run()
    assert_refused(ran, server, "unknown CA", FINGERPRINT, "--ca-cert", "--tls-pin")
    assert_never_named(server)


# Row 39: it is looked at over a connection of its own, which may fail.
def test_certificate_in_doubt_that_cannot_be_looked_at_is_named_nevertheless(
    serve: Serve, meet: Meet, identities: Identities
) -> None:
    server = serve(identities["expired"].context())
    server.on("CONNECT", reactions.turn_away(), when=reactions.nth_connection(2))
    assert_says(meet(server.port), "has expired")
    assert_never_named(server)


# Row 39: a certificate that has signed itself is its own authority.
def test_self_signed_certificate_is_trusted_when_it_is_named_as_an_authority(
    serve: Serve, aim: Aim, identities: Identities
) -> None:
    server = serve(identities["self-signed"].context())
    assert_sent(aim(server.port, "ftpes", "--ca-cert", identities["self-signed"].file).run(), server)


# Row 39: a pin takes the place of all other checks.
@pytest.mark.parametrize("kind", ["expired", "self-signed", "wrong-host"])
def test_pinned_certificate_will_do_whatever_is_wrong_with_it(
    serve: Serve, aim: Aim, identities: Identities, kind: str
) -> None:
    server = serve(identities[kind].context(), requires_reuse=True)
    assert_sent(aim(server.port, "ftpes", "--tls-pin", identities[kind].fingerprint).run(), server)


# Row 39: so that a certificate that others would trust will not do.
@pytest.mark.parametrize("scheme", SCHEMES)
def test_certificate_that_is_not_the_pinned_one_is_refused_however_good(
    serve: Serve, meet: Meet, identities: Identities, scheme: str
) -> None:
    server = serve(implicit=scheme == "ftps")
    error = meet(server.port, scheme, pin=identities["other"].fingerprint)
    assert isinstance(error, Untrusted)
    assert_says(error, "pin", identities["good"].fingerprint)
    assert_never_named(server)


# Row 39.
def test_wrong_pin_ends_with_4_and_tells_the_fingerprint(
    aim: Aim, server: ScriptedServer, identities: Identities
) -> None:
    ran = aim(server.port, "ftpes", "--tls-pin", identities["other"].fingerprint).run()
    assert_refused(ran, server, "pin", identities["good"].fingerprint)
    assert_never_named(server)


# Row 39.
@pytest.mark.parametrize("kind", ["self-signed", "wrong-host"])
def test_insecure_trusts_any_certificate_and_says_so_at_both_ends(
    serve: Serve, aim: Aim, identities: Identities, kind: str
) -> None:
    server = serve(identities[kind].context())
    ran = aim(server.port, "ftpes", "--insecure").run()
    assert_sent(ran, server)
    assert re.search(r"\n[^\n]*warning.*--insecure.*\n(.*\n)*.*uploaded +page.html", ran.said), ran.said
    assert re.search(r"pass: .*INSECURE.*\n\Z", ran.said), ran.said


# 40: no TLS on the control connection.


# Row 40.
@pytest.mark.parametrize(
    "reply",
    [
        b"500 Unknown command.",
        b"502 Command not implemented.",
        b"504 Unknown mechanism.",
        b"530 Please log in.",
        b"534 Policy.",
        b"431 Not at the moment.",
        b"200 Done.",
        b"230 Logged in.",
        b"235 That will do.",
        b"334 More, please.",
    ],
    ids=lambda reply: str(reply[:3], "ascii"),
)
def test_auth_that_is_not_answered_by_234_ends_it(server: ScriptedServer, meet: Meet, reply: bytes) -> None:
    server.on("AUTH", reactions.say(reply), times=ALWAYS)
    assert_says(meet(server.port), reply.decode())
    assert_never_named(server)
    assert server.handshakes == []


# Row 40: it says no, and begins nevertheless.
@pytest.mark.parametrize("reply", [b"200 Done.", b"334 More, please.", b"502 No."], ids=["200", "334", "502"])
def test_handshake_that_is_on_offer_in_spite_of_the_answer_is_not_taken(
    server: ScriptedServer, meet: Meet, reply: bytes
) -> None:
    server.on("AUTH", reactions.perform_but_say(reply), times=ALWAYS)
    assert_says(meet(server.port), reply.decode())
    assert_never_named(server)
    assert server.handshakes == []


# Row 40.
def test_server_without_tls_ends_it_with_4_and_the_way_out_is_named(plain_server: ScriptedServer, aim: Aim) -> None:
    ran = aim(plain_server.port).run()
    assert_refused(ran, plain_server, "502 Command not implemented", "ftp://")
    assert_never_named(plain_server)


# Row 40.
@pytest.mark.parametrize("scheme", SCHEMES)
def test_greeting_that_says_logged_in_is_not_believed(serve: Serve, meet: Meet, scheme: str) -> None:
    server = serve(implicit=scheme == "ftps")
    server.on("CONNECT", reactions.say(b"230 Welcome, you are logged in."), times=ALWAYS)
    error = meet(server.port, scheme)
    assert isinstance(error, Untrusted)
    assert_says(error, "230 Welcome")
    assert_never_named(server)


# Row 42.
@pytest.mark.smoke
@pytest.mark.parametrize(
    "more",
    [
        b"230 Logged in.\r\n",
        b"230 log",
        b"2",
        b"211-Features:\r\n MLST\r\n211 End\r\n",
        b"211-Features:\r\n",
        b"331 Password, please.\r\n230 Logged in.\r\n200 Done.\r\n200 Done.\r\n",
    ],
    ids=["reply", "half a line", "one byte", "FEAT", "half a FEAT", "whole login"],
)
def test_whatever_comes_between_234_and_tls_ends_it(server: ScriptedServer, meet: Meet, more: bytes) -> None:
    server.on("AUTH", reactions.with_more_behind(more), times=ALWAYS)
    error = meet(server.port)
    assert isinstance(error, Untrusted)
    assert_says(error, "before TLS")
    assert_never_named(server)


# Row 34, 42: it is not even a reply.
@pytest.mark.parametrize("more", [b"\r\n", b"x" * 100_000], ids=["empty line", "long line"])
def test_garbage_between_234_and_tls_ends_it(server: ScriptedServer, meet: Meet, more: bytes) -> None:
    server.on("AUTH", reactions.with_more_behind(more), times=ALWAYS)
    assert_says(meet(server.port), "before TLS|reply is not FTP|endless line")
    assert_never_named(server)


# Row 40, 42: what the program makes of it.
@pytest.mark.parametrize(
    ("verb", "lie"),
    [
        ("AUTH", reactions.say(b"230 Logged in.")),
        ("AUTH", reactions.with_more_behind(b"230 Logged in.\r\n")),
        ("AUTH", reactions.with_more_behind(b"230 log")),
        ("CONNECT", reactions.say(b"230 Logged in.")),
        ("PROT", reactions.say(b"536 Only C.")),
    ],
    ids=["AUTH 230", "behind AUTH", "half a line behind AUTH", "greeting", "PROT"],
)
def test_lie_about_tls_ends_with_4(mirror: Mirror, server: ScriptedServer, verb: str, lie: Reaction) -> None:
    server.on(verb, lie, times=ALWAYS)
    assert_refused(mirror.run(), server, "error")
    assert count(server, "STOR") + count(server, "MLSD") == 0


def speak_plainly_on(exchange: Exchange) -> None:
    """Promise TLS, and answer what should begin it in plain text."""
    exchange.connection.send(b"234 Go ahead.\r\n")
    exchange.connection.wire.recv(65536)
    reactions.say_then_only_listen(b"230 Logged in.\r\n" * 20)(exchange)


def hang_up_instead(exchange: Exchange) -> None:
    """Promise TLS, and leave when it should begin."""
    exchange.connection.send(b"234 Go ahead.\r\n")
    exchange.connection.wire.recv(65536)
    exchange.connection.hang_up()


# Row 40, 42.
@pytest.mark.parametrize(
    ("lie", "words"),
    [
        (speak_plainly_on, "TLS"),
        (hang_up_instead, "closed|reset"),
        (reactions.say_then_only_listen(b"234 Go ahead.\r\n"), "did not answer the TLS handshake within 0.5 s"),
    ],
    ids=["plain text", "end", "silence"],
)
def test_handshake_that_was_promised_and_never_comes_ends_it(
    server: ScriptedServer, meet: Meet, lie: Reaction, words: str
) -> None:
    server.on("AUTH", lie, times=ALWAYS)
    assert_says(meet(server.port, timeout_seconds=0.5), words)
    assert_never_named(server)


# Row 14, 40.
def test_handshake_that_is_never_answered_from_the_first_byte_ends_it(plain_server: ScriptedServer, meet: Meet) -> None:
    plain_server.on("CONNECT", reactions.say_then_only_listen(), times=ALWAYS)
    assert_says(meet(plain_server.port, "ftps", timeout_seconds=0.5), "did not answer the TLS handshake within 0.5 s")
    assert_never_named(plain_server)


# Row 16: each byte comes in time, the handshake does not.
def test_handshake_that_dribbles_in_is_not_waited_for_longer_than_the_time_out(
    server: ScriptedServer, meet: Meet
) -> None:
    server.on("AUTH", reactions.dribble_tls(0.1), times=ALWAYS)
    assert_says(meet(server.port, timeout_seconds=0.5), "did not answer the TLS handshake within 0.5 s")
    assert_never_named(server)


# Row 16.
def test_handshake_of_data_that_dribbles_in_is_not_waited_for_longer_than_the_time_out(
    mirror: Mirror, server: ScriptedServer
) -> None:
    server.on("STOR", reactions.dribble_tls(0.3))
    assert_sent(mirror.run("--timeout", "1s"), server)


# Row 16: what comes without end must not keep the time-out from being noticed.
def test_handshake_of_data_that_is_flooded_ends_with_the_time_out(mirror: Mirror, server: ScriptedServer) -> None:
    server.on("STOR", reactions.flood_handshake)
    assert_sent(mirror.run("--timeout", "1s"), server)


def greet_then_only_listen(exchange: Exchange) -> None:
    reactions.say_then_only_listen(exchange.perform() + b"\r\n")(exchange)


# Row 40: the wrong scheme.
def test_plain_text_where_tls_was_expected_at_once_ends_it_and_names_the_other_scheme(
    plain_server: ScriptedServer, aim: Aim
) -> None:
    plain_server.on("CONNECT", greet_then_only_listen, times=ALWAYS)
    ran = aim(plain_server.port, "ftps").run()
    assert_refused(ran, plain_server, "does not support implicit TLS on this port", "ftpes://")
    assert_never_named(plain_server)


# Row 40: the wrong scheme.
@pytest.mark.parametrize("scheme", ["ftp", "ftpes"])
def test_server_that_waits_for_tls_at_once_is_given_up_and_the_other_scheme_named(
    serve: Serve, meet: Meet, scheme: str
) -> None:
    server = serve(implicit=True)
    assert_says(meet(server.port, scheme, timeout_seconds=0.5), "silent for 0.5 s", "ftps://")
    assert_never_named(server)


# Row 40.
def test_server_that_knows_only_old_tls_is_refused(serve: Serve, meet: Meet, identities: Identities) -> None:
    server = serve(identities["good"].context(oldest=ssl.TLSVersion.TLSv1_1, newest=ssl.TLSVersion.TLSv1_1))
    assert_says(meet(server.port), r"version|1\.2")
    assert_never_named(server)


# Row 40: it ends later, when the password is about to be sent, or a file.
@pytest.mark.parametrize("verb", ["USER", "PASS", "PROT"])
def test_session_does_not_go_on_in_plain_text_when_tls_ends(server: ScriptedServer, meet: Meet, verb: str) -> None:
    server.on(verb, reactions.strip_tls, times=ALWAYS)
    assert_says(meet(server.port), "closed the connection")
    assert_nothing_leaked(server)


# Row 40.
@pytest.mark.parametrize("verb", ["EPSV", "STOR", "RNTO"])
def test_file_is_sent_over_a_new_connection_when_tls_ends(mirror: Mirror, server: ScriptedServer, verb: str) -> None:
    server.on(verb, reactions.strip_tls)
    assert_sent(mirror.run(), server)


# Row 34.
@pytest.mark.parametrize("lie", [reactions.endless_reply, reactions.huge_reply()], ids=["reply", "line"])
@pytest.mark.parametrize("verb", ["CONNECT", "AUTH", "PBSZ"])
def test_endless_words_around_the_handshake_end_it(
    server: ScriptedServer, meet: Meet, verb: str, lie: Reaction
) -> None:
    server.on(verb, lie, times=ALWAYS)
    error = meet(server.port)
    assert len(error.told) < 5000
    assert_nothing_leaked(server)


# 41: no TLS on data connections.


# Row 41.
@pytest.mark.parametrize(
    ("verb", "reply"),
    [
        ("PBSZ", b"500 Unknown command."),
        ("PBSZ", b"503 No."),
        ("PROT", b"502 Command not implemented."),
        ("PROT", b"534 Policy."),
        ("PROT", b"536 Only C."),
        ("PROT", b"431 Not at the moment."),
    ],
    ids=lambda value: value if isinstance(value, str) else str(value[:3], "ascii"),
)
def test_refused_protection_of_data_ends_it(server: ScriptedServer, meet: Meet, verb: str, reply: bytes) -> None:
    server.on(verb, reactions.say(reply), times=ALWAYS)
    assert_says(meet(server.port), reply.decode())
    assert_nothing_leaked(server)


# Row 41.
@pytest.mark.parametrize("verb", ["STOR", "MLSD"])
def test_plain_data_connection_after_a_promise_of_tls_carries_nothing(
    mirror: Mirror, server: ScriptedServer, verb: str
) -> None:
    server.on(verb, reactions.data_in_the_clear, times=ALWAYS)
    ran = mirror.run("--timeout", "1s", "--retries", "0")
    assert ran.code in {1, 4}, ran.said
    assert_said(ran, "(?i)data connection")
    assert set(server.history[b"/page.html"]) <= ({OLD} if verb == "STOR" else {OLD, CANARY})
    assert_nothing_leaked(server)


# Row 39, 41.
@pytest.mark.parametrize("verb", ["STOR", "MLSD"])
@pytest.mark.parametrize("kind", ["self-signed", "wrong-host"])
def test_data_connection_with_a_certificate_in_doubt_carries_nothing(
    mirror: Mirror, server: ScriptedServer, identities: Identities, kind: str, verb: str
) -> None:
    server.on(verb, reactions.secure_data_with(identities[kind].context()), times=ALWAYS)
    assert_refused(mirror.run(), server, "data connection", TROUBLE[kind])


# Row 39, 41.
def test_data_connection_with_a_certificate_in_doubt_tells_its_fingerprint(
    mirror: Mirror, server: ScriptedServer, identities: Identities
) -> None:
    server.on("STOR", reactions.secure_data_with(identities["expired"].context()), times=ALWAYS)
    assert_refused(mirror.run(), server, "data connection", identities["expired"].fingerprint)


# Row 39, 41: it does not come right by trying again.
def test_data_connection_with_a_certificate_in_doubt_is_fatal_without_another_try(
    mirror: Mirror, server: ScriptedServer, identities: Identities
) -> None:
    server.on("STOR", reactions.secure_data_with(identities["expired"].context()), times=ALWAYS)
    assert_refused(mirror.run("--retries", "0"), server, "data connection", "has expired")


# Row 39, 41.
@pytest.mark.parametrize("mode", ["A3", "T2", "P2"])
def test_data_connection_with_a_certificate_in_doubt_ends_every_mode_with_4(
    mirror: Mirror, server: ScriptedServer, identities: Identities, mode: str
) -> None:
    server.on("STOR", reactions.secure_data_with(identities["expired"].context()), times=ALWAYS)
    ran = mirror.run("--multi", mode)
    assert_refused(ran, server, "data connection", "has expired")


# Row 39, 41: trusted by everybody else, but another one than was pinned.
def test_data_connection_with_another_certificate_than_the_pinned_one_carries_nothing(
    aim: Aim, server: ScriptedServer, identities: Identities
) -> None:
    server.on("STOR", reactions.secure_data_with(identities["other"].context()), times=ALWAYS)
    ran = aim(server.port, "ftpes", "--tls-pin", identities["good"].fingerprint).run()
    assert_refused(ran, server, "data connection", "pin", identities["other"].fingerprint)


# Row 41: a farm of servers may well have more than one.
def test_data_connection_with_another_certificate_that_is_trusted_will_do(
    mirror: Mirror, server: ScriptedServer, identities: Identities
) -> None:
    server.on("STOR", reactions.secure_data_with(identities["other"].context()), times=ALWAYS)
    assert_sent(mirror.run(), server)


# 43: sessions.


# Row 43.
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_session_of_the_control_connection_is_taken_up_where_that_is_required(
    serve: Serve, aim: Aim, identities: Identities, version: ssl.TLSVersion
) -> None:
    server = serve(identities["good"].context(oldest=version, newest=version), requires_reuse=True)
    ran = aim(server.port).run()
    assert_sent(ran, server)
    assert all(each.resumed for each in server.handshakes if each.of_data)


# Row 43.
@pytest.mark.parametrize("reply", [b"522 Session reuse required.", b"425 Unable to build data connection."])
def test_refused_session_is_replaced_and_the_file_sent_again(
    mirror: Mirror, server: ScriptedServer, reply: bytes
) -> None:
    server.on("STOR", reactions.refuse_data(reply))
    assert_sent(mirror.run(), server)
    assert [line for line in server.log if line[1].startswith("STOR")][-1][0] > 1


# Row 43.
@pytest.mark.parametrize("reply", [b"522 Session reuse required.", b"425 Unable to build data connection."])
def test_session_that_is_never_taken_fails_the_file_and_not_for_ever(
    mirror: Mirror, server: ScriptedServer, reply: bytes
) -> None:
    server.on("STOR", reactions.refuse_data(reply), times=ALWAYS)
    ran = mirror.run()
    assert ran.code == 1, ran.said
    assert_said(ran, reply.decode())
    assert shown(server) == {b"page.html": OLD}
    assert 2 <= count(server, "STOR") <= 4
    assert_nothing_leaked(server)


# Row 43: there is no ticket to be had.
@pytest.mark.parametrize("requires_reuse", [False, True])
def test_server_without_tickets_gets_the_file_unless_it_wants_one(
    serve: Serve, aim: Aim, identities: Identities, requires_reuse: bool
) -> None:
    context = identities["good"].context(oldest=ssl.TLSVersion.TLSv1_3, tickets=0)
    server = serve(context, requires_reuse=requires_reuse)
    ran = aim(server.port).run()
    if not requires_reuse:
        assert_sent(ran, server)
        return
    assert ran.code == 1, ran.said
    assert_said(ran, "session reuse required")
    assert shown(server) == {b"page.html": OLD}
    assert_nothing_leaked(server)


# Row 43.
def test_tickets_that_come_after_all_was_sent_cost_no_file(serve: Serve, aim: Aim, identities: Identities) -> None:
    server = serve(identities["good"].context(oldest=ssl.TLSVersion.TLSv1_3))
    server.on("STOR", reactions.tickets_after_the_data, times=ALWAYS)
    assert_sent(aim(server.port).run(), server)
    assert count(server, "STOR") == 1


# 10, 11, 33: what is cut.


# Row 11.
@pytest.mark.parametrize("notify", [True, False])
def test_upload_that_the_server_cuts_and_calls_a_success_is_not_published(
    mirror: Mirror, server: ScriptedServer, notify: bool
) -> None:
    cue = server.on("STOR", reactions.close_data_after(7, SUCCESS, notify=notify), times=ALWAYS)
    ran = mirror.run()
    assert ran.code == 1, ran.said
    assert shown(server) == {b"page.html": OLD}
    cue.times_left = 1
    assert_sent(mirror.run(), server)


# Row 17: of bytes that are altered on a plain line nobody learns if as many arrive; TLS tells.
def test_upload_that_is_altered_on_the_way_is_sent_again(mirror: Mirror, server: ScriptedServer) -> None:
    mirror.write("page.html", os.urandom(200_000), MTIME + 9)
    usual = server.wire

    def altered(sock: socket.socket) -> Wire:
        wire = usual(sock)
        hear = wire._hear

        def hear_altered(size: int) -> bytes:
            block = hear(size)
            return block[:-1] + bytes([block[-1] ^ 1]) if len(block) > 1000 else block

        wire._hear = hear_altered  # type: ignore[method-assign]
        return wire

    def alter(exchange: Exchange) -> None:
        server.wire = altered  # type: ignore[method-assign]
        try:
            exchange.reply(exchange.perform())
        finally:
            server.wire = usual  # type: ignore[method-assign]

    cue = server.on("STOR", alter)
    ran = mirror.run("--multi", "S")
    assert cue.reached.is_set()
    assert ran.code == 0, ran.said
    assert count(server, "STOR") == 2
    assert shown(server) == {b"page.html": (mirror.source / "page.html").read_bytes()}


# Row 33.
@pytest.mark.parametrize(
    "listing",
    [
        reactions.data_without_close_notify,
        reactions.truncate_listing(40, notify=False),
        reactions.truncate_listing(0, notify=False),
    ],
    ids=["whole", "cut", "empty"],
)
def test_listing_whose_end_is_in_doubt_is_told_and_destroys_nothing(
    mirror: Mirror, server: ScriptedServer, listing: Reaction
) -> None:
    mirror.write("folder/ours.txt", b"ours")
    mirror.write("folder/gone.txt", b"gone")
    assert mirror.run().code == 0
    server.put(b"/folder/theirs.txt", b"theirs")
    shutil.rmtree(mirror.state)
    (mirror.source / "folder/gone.txt").unlink()
    before = shown(server)
    server.on("MLSD", listing, times=ALWAYS)
    ran = mirror.run()
    assert ran.code == 0, ran.said
    assert_said(ran, "cut its listing of / short")
    assert shown(server) == before
    assert_nothing_leaked(server)


# 34, 45: other lies, told through TLS.


# Row 45.
@pytest.mark.parametrize("verb", ["EPSV", "PASV"])
def test_foreign_address_is_not_connected_to_in_tls_either(mirror: Mirror, server: ScriptedServer, verb: str) -> None:
    if verb == "PASV":
        server.without.add("EPSV")
    server.on("PASV", reactions.pasv_from(b"192,0,2,1"), times=ALWAYS)
    server.on("EPSV", reactions.epsv_from(b"192.0.2.1"), times=ALWAYS)
    assert_sent(mirror.run(), server)


# Row 34.
@pytest.mark.parametrize("lie", [reactions.endless_reply, reactions.huge_reply()], ids=["reply", "line"])
def test_endless_words_through_tls_cost_one_connection_and_no_file(
    mirror: Mirror, server: ScriptedServer, lie: Reaction
) -> None:
    server.on("STOR", lie)
    server.on("RNTO", lie)
    assert_sent(mirror.run("--retries", "3"), server)


# Row 34.
@pytest.mark.exhaustive
def test_endless_listing_through_tls_ends(mirror: Mirror, server: ScriptedServer) -> None:
    server.on("MLSD", reactions.endless_listing, times=ALWAYS)
    ran = mirror.run("--retries", "0")
    assert ran.code == 1, ran.said
    assert_said(ran, "endless listing")
    assert set(server.history[b"/page.html"]) <= {OLD, CANARY}
    assert_nothing_leaked(server)


# 40, 42, on the servers of the field: somebody is on the way.


class Attack(NamedTuple):
    """A proxy in front of a real server, and a mirror that trusts this server and takes the proxy for it."""

    proxy: FtpProxy
    mirror: Mirror
    docroot: Path


@pytest.fixture(params=REAL)
def attack(request: pytest.FixtureRequest, server_factory: ServerFactory, aim: Aim) -> Iterator[Attack]:
    kind: RealKind = request.param
    real_server = server_factory(kind, tls=True)
    with FtpProxy(real_server.port) as proxy:
        mirror = aim(proxy.port, "ftpes", "--ca-cert", real_server.certificates.ca)
        yield Attack(proxy, mirror, real_server.docroot)


def assert_fails(attack: Attack, *words: str) -> None:
    """See that a run ends with 4 and these words, and that the attacker has heard nothing but the wish for TLS."""
    ran = attack.mirror.run()
    assert ran.code == 4, ran.said
    assert_said(ran, *words)
    assert contents(attack.docroot) == {}
    assert attack.proxy.connections > 0
    assert {line for _, line in attack.proxy.commands} <= {b"AUTH TLS"}
    assert [secret for secret in SECRETS for heard in attack.proxy.heard if secret in heard] == []


# Row 42: the measure of what follows.
def test_proxy_that_only_listens_hears_nothing(attack: Attack) -> None:
    ran = attack.mirror.run()
    assert ran.code == 0, ran.said
    assert contents(attack.docroot) == {"page.html": CANARY}
    assert [line for _, line in attack.proxy.commands] == [b"AUTH TLS"]
    assert [secret for secret in SECRETS for heard in attack.proxy.heard if secret in heard] == []


# Row 42.
@pytest.mark.parametrize("more", [b"230 Logged in.\r\n", b"230 log"], ids=["reply", "half a line"])
def test_reply_that_an_attacker_adds_before_tls_ends_it(attack: Attack, more: bytes) -> None:
    attack.proxy.on_reply(b"234", reactions.inject(more), times=ALWAYS)
    assert_fails(attack, "before TLS")


# Row 40.
@pytest.mark.parametrize("reply", [b"502 Command not implemented.", b"230 Logged in."], ids=["502", "230"])
def test_attacker_who_answers_auth_for_the_server_does_not_get_the_login(attack: Attack, reply: bytes) -> None:
    attack.proxy.on_reply(b"211", reactions.rewrite(b" AUTH TLS\r\n", b""), times=ALWAYS)
    attack.proxy.on_command(b"AUTH", reactions.answer(reply), times=ALWAYS)
    assert_fails(attack, reply.decode())


# Row 40.
def test_attacker_who_says_that_all_are_logged_in_does_not_get_the_files(attack: Attack) -> None:
    attack.proxy.on_reply(b"220", reactions.rewrite(b"220", b"230"), times=ALWAYS)
    assert_fails(attack, "230")


# What is asked for in several places.


@pytest.mark.parametrize("where", ["variable", "file"])
def test_encryption_that_was_typed_is_not_taken_away_by_what_ranks_lower(
    mirror: Mirror, server: ScriptedServer, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text('tls = "off"' if where == "file" else "")
    if where == "variable":
        monkeypatch.setenv("ASYNC_MIRROR_TLS", "off")
    ran = mirror.run("--config", str(settings))
    assert ran.code == 2
    assert "switches TLS off" in ran.said
    assert server.connections == 0


def test_client_certificate_is_not_shown_to_who_is_only_looked_at(identities: Identities) -> None:
    trust = Trust(ca_cert=identities.ca_file, client_cert=identities["good"].file)
    wrong_host = ssl.SSLCertVerificationError()
    wrong_host.verify_code = 62
    tls = Tls(trust)
    assert shown_to_server(tls.context, identities)
    assert not shown_to_server(tls.to_look(wrong_host), identities)


def shown_to_server(ours: ssl.SSLContext, identities: Identities) -> bytes | None:
    """Return the certificate that a server gets to see."""
    context = identities["good"].context()
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_verify_locations(identities.ca_file)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(up, down, server_side=True)
    client = ours.wrap_bio(down, up, server_hostname="localhost")
    for end in (client, server, client, server):
        with suppress(ssl.SSLWantReadError):
            end.do_handshake()
    return server.getpeercert(binary_form=True)


@pytest.mark.parametrize("age_s", [0.0, 3600.0])
def test_doubt_about_a_data_connection_is_told_once_and_soon_or_never(
    age_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = Tls(Trust(insecure=True))
    peer = tls.context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO())
    doubt = tls.distrust("somebody", Untrusted("is not the one"), peer)
    later = time.monotonic() + age_s
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert tls.take_doubt() is (None if age_s else doubt)
    assert tls.take_doubt() is None


def test_mirrors_in_one_process_have_doubts_of_their_own_even_with_the_same_trust() -> None:
    sites = [Site("ftpes", host, 21, USER, "") for host in ("one", "other", "third")]
    one, other, third = (tls_of(site, Trust(insecure=True)) for site in sites)
    assert one
    assert other
    assert third
    peer = one.context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO())
    doubts = [each.distrust("somebody", Untrusted("is not the one"), peer) for each in (one, other)]
    assert [one.take_doubt(), other.take_doubt(), third.take_doubt()] == [*doubts, None]


def test_what_tls_needs_travels_to_a_worker_with_whom_to_trust_and_without_a_doubt(identities: Identities) -> None:
    tls = Tls(Trust(ca_cert=identities.ca_file, client_cert=identities["good"].file))
    peer = tls.context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO())
    tls.distrust("somebody", Untrusted("is not the one"), peer)
    there = pickle.loads(pickle.dumps(tls))
    assert there.take_doubt() is None
    assert shown_to_server(there.context, identities)
