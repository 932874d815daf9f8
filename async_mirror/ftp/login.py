"""The beginning of an FTP session: greeting, TLS, login. Knows what servers say when they turn one away."""

import os
import re
import socket
import ssl
from contextlib import suppress
from typing import Any

import aioftp
from aioftp.errors import StatusCodeError

from async_mirror.ftp.wire.client import Client
from async_mirror.ftp.wire.control import Control
from async_mirror.ftp.wire.replies import Reply
from async_mirror.ftp.wire.tls import Certificate, Tls, TooNarrow, is_not_tls, reason, untrusted
from async_mirror.model import escape
from async_mirror.model.secret import NO_SECRET, Secret
from async_mirror.model.site import Site
from async_mirror.remote.errors import (
    ConnectionBroken,
    ConnectionRefused,
    LoginFailed,
    RemoteError,
    UnknownHost,
    Untrusted,
)

_WANTS_TLS = re.compile(r"\b(?:tls|ssl)\b|encrypt|cleartext", re.IGNORECASE)
_REFUSES_OURS = re.compile("ALERT_(?:UNKNOWN_CA|BAD_CERT|UNSUPPORTED_CERT|CERTIFICATE_(?:REVOKED|EXPIRED|UNKNOWN))")
_JUDGED = 400
"""Characters of a reply that are looked at."""
_TRICK = "try another network; if that does not help, ask the site's host"
_CLEAR_TEXT = "ask the site's host about TLS, or try ftps://; ftp:// is unencrypted"


def client_for(
    site: Site, context: ssl.SSLContext | None, timeout_seconds: float, secret: Secret = NO_SECRET
) -> Client:
    """Return a client that is not connected yet, and will be in TLS from the first byte if the site is so."""
    return Client(Control(timeout_seconds, secret), context if site.scheme == "ftps" else None)


UNKNOWN_HOST = frozenset({socket.EAI_NONAME, socket.EAI_NODATA})
"""What the lookup of a name ends with that does not exist; after any other error it may go well later."""


async def greet(client: Client, site: Site, tls: Tls | None) -> None:
    """Connect, read the greeting, and go on in TLS if there is to be any.

    Raises ConnectionBroken, ConnectionRefused when there are too many clients, and Untrusted when TLS is not available
    with the server that was meant. Nothing was said then but the wish for TLS. Raises TooNarrow when it is to be tried
    once more, with another client.
    """
    if tls and (doubt := tls.take_doubt()):
        raise doubt
    where = f"{site.host}:{site.port}"
    try:
        await _connect(client, site, tls.context if tls else None)
        if tls:
            assert client.control.peer is not None
            tls.check(client.control.peer, where)
    except ssl.SSLCertVerificationError as error:
        client.control.break_off("its certificate is not trusted")
        assert tls is not None
        seen = await _look(site, tls.to_look(error), client.control.timeout_seconds)
        raise untrusted(where, error, seen) from None
    except ssl.SSLError as error:
        if tls and tls.widen(error):
            raise TooNarrow from None
        raise _no_tls(site, error) from None
    except OSError as error:
        if isinstance(error, socket.gaierror) and error.errno in UNKNOWN_HOST:
            raise UnknownHost(f"unknown host {site.host}") from None
        raise ConnectionBroken(_not_connected(where, error)) from None


def _not_connected(where: str, error: OSError) -> str:
    if isinstance(error, TimeoutError) and not error.errno:  # one of our own bounds
        return f"{where} {error}"
    why = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
    return f"cannot connect to {where}: {why or 'the server closed the connection'}"  # asyncio's has no text


async def _connect(client: Client, site: Site, context: ssl.SSLContext | None) -> None:
    where = f"{site.host}:{site.port}"
    try:
        await client.connect(site.host, site.port)
    except StatusCodeError as error:
        reply = _reply_of(error)
        if reply.succeeded:
            raise Untrusted(f"{where} accepted a login without a user (possible attack)", _TRICK, reply.text) from None
        if reply.too_many:
            raise _too_many(where, reply) from None
        raise ConnectionBroken(f"{where} does not answer like an FTP server", reply.text) from None
    except ConnectionBroken as broken:
        if site.scheme != "ftps":
            broken.advice = f"{broken.advice}; if the port is for implicit TLS (usually 990), write ftps://"
        raise
    if context and site.scheme == "ftpes":
        await _ask_for_tls(client, where)
        await client.start_tls(context)


async def _ask_for_tls(client: Client, where: str) -> None:
    """Send AUTH TLS (RFC 4217). What follows the answer must be TLS, so nothing may have come with it."""
    try:
        await client.command("AUTH TLS", "234")
    except StatusCodeError as error:
        reply = _reply_of(error)
        otherwise = Untrusted(f"{where} rejected AUTH TLS", _CLEAR_TEXT, reply.text)
        raise _refused(where, reply, otherwise) from None
    except ConnectionBroken as broken:
        if broken.reply:
            raise Untrusted(f"{where} sent data before TLS started (possible attack)", _TRICK, broken.reply) from None
        raise
    if client.control.broken or not client.control.flow.is_quiet:
        raise Untrusted(f"{where} sent data before TLS started (possible attack)", _TRICK)


def _no_tls(site: Site, error: ssl.SSLError) -> Untrusted:
    where = f"{site.host}:{site.port}"
    if is_not_tls(error) and site.scheme == "ftps":
        advice = "write ftpes:// (explicit TLS, usually port 21)"
        return Untrusted(f"{where} does not support implicit TLS on this port", advice)
    if is_not_tls(error):
        return Untrusted(f"{where} accepted AUTH TLS but did not start TLS", _TRICK)
    advice = "the server may require a client certificate (--client-cert) or lack TLS 1.2: ask the site's host"
    if error.reason and _REFUSES_OURS.search(error.reason):
        advice = "the server rejects the certificate of --client-cert: ask the site's host for a valid one"
    return Untrusted(f"TLS handshake with {where} failed: {reason(error)}", advice)


async def _look(site: Site, context: ssl.SSLContext, timeout_seconds: float) -> Certificate | None:
    """Return the certificate that a site shows, without saying anything to it but the wish for TLS."""
    client = client_for(site, context, timeout_seconds)
    with suppress(RemoteError, OSError):
        try:
            await _connect(client, site, context)
            return Certificate.of(client.control.peer) if client.control.peer else None
        finally:
            client.control.break_off("it was only looked at")
    return None


async def log_in(client: Client, site: Site, password: Secret) -> None:
    """Say who we are, and have data connections protected if the control connection is (RFC 4217, 9).

    Raises LoginFailed, ConnectionRefused (too many clients), ConnectionBroken (not now), or Untrusted if the server
    requires TLS and the site was named without, or would send files in clear text.
    """
    where = f"{site.host}:{site.port}"
    user = site.user or aioftp.DEFAULT_USER
    code = ""
    try:
        code, _ = await _first_command(client, site, f"USER {user}")
        if code == "331":
            code, _ = await client.command(f"PASS {password.reveal()}", ("2xx", "332"), censor_after=5)
        if code == "332":
            await client.command("ACCT ", "2xx")
    except StatusCodeError as error:
        reply = _reply_of(error)
        if not site.is_encrypted and _WANTS_TLS.search(reply.text[:_JUDGED]):
            raise Untrusted(f"{where} requires TLS", "write ftpes:// instead of ftp://", reply.text) from None
        refused = LoginFailed(f"{where} refused the login of user {escape.shown(user)!r}", reply.text)
        wants_account = code == "332" and not reply.transient
        raise _refused(where, reply, refused, sure=wants_account or _is_about_the_user(reply)) from None
    if site.is_encrypted:
        await _protect(client, where)


async def _first_command(client: Client, site: Site, command: str) -> tuple[str, Any]:
    """Send what TLS 1.3 may yet forbid: there a server looks at our certificate when the handshake is done for us."""
    try:
        code, lines = await client.command(command, ("2xx", "33x"))
    except ConnectionBroken as broken:
        if client.control.alert:
            raise _no_tls(site, client.control.alert) from None
        if site.is_encrypted and not broken.reply:
            broken.advice = f"{broken.advice}; the server may require a client certificate (--client-cert)"
        raise
    return code, lines


async def _protect(client: Client, where: str) -> None:
    for command in ("PBSZ 0", "PROT P"):
        try:
            await client.command(command, "2xx")
        except StatusCodeError as error:
            reply = _reply_of(error)
            otherwise = Untrusted(f"{where} refused to encrypt data connections ({command})", _CLEAR_TEXT, reply.text)
            raise _refused(where, reply, otherwise) from None


def _is_about_the_user(reply: Reply) -> bool:
    """Tell whether a reply to USER or PASS turns this user down: 530 and its kin, 430, or one more question.

    All else is about the session (`500 OOPS`, 421, 425, 503) or about what the server can do: a password that is
    right must not count as wrong, nor a wrong one be asked again and again, which locks accounts.
    """
    return reply.code // 10 == 53 or reply.code == 430 or reply.continues


def _refused(where: str, reply: Reply, otherwise: RemoteError, *, sure: bool | None = None) -> RemoteError:
    """Return what a refusal means: it may be none later, unless it is `sure`; by default, if its code is final."""
    if reply.too_many:
        return _too_many(where, reply)
    if sure is None:
        sure = not reply.transient and not reply.is_farewell
    return otherwise if sure else ConnectionBroken(f"{where} accepts no logins at the moment", reply.text)


def _too_many(where: str, reply: Reply) -> ConnectionRefused:
    return ConnectionRefused(f"{where} has too many clients", reply.text)


def _reply_of(error: StatusCodeError) -> Reply:
    return Reply(int(error.received_codes[0]), tuple(error.info))
