"""Ready-made reactions for `ScriptedServer.on`, and actions for `FtpProxy.on_...`: each is one fault.

A plain name is a reaction; a call such as `say(...)` returns one.
"""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from . import BLOCK, text
from .proxy import Action, Passage
from .scripted import Exchange, Reaction
from .tree import TEMPORARY, Refused

ALWAYS = None
"""For `times=`: react to every matching command."""

MALICIOUS_NAMES = (b"..", b"/etc/passwd", b"../up", b"a/b", b"nul\0inside", b"cr\rinside", b"latin-\xe9", b"")
ODD_LIST_LINES = (
    b"total 3",
    b"01-31-26  03:04PM       <DIR>          dos folder",
    b"01-31-26  03:04PM                 1234 dos file.txt",
    b"+i8388621.29609,m824255902,/,\teplf folder",
    b"lrwxrwxrwx 1 ftp ftp 4 Jan 01 00:00 link -> goal",
    b"-rw-r--r-- 1 group with spaces 3 Jan 01 00:00 spaced",
    b"-rw-r--r-- 1 ftp ftp not-a-size Jan 01 00:00 sizeless",
    b"brw-rw---- 1 root disk 8, 0 Jan 01 00:00 device",
    b"?????????? ? ? ? ? ? unreadable",
    b"",
)


# Predicates for `when=`.


def nth_connection(number: int) -> Callable[[Exchange], bool]:
    """Match on the n-th control connection, counted from 1."""
    return lambda exchange: exchange.connection.number == number


def for_path(path: bytes) -> Callable[[Exchange], bool]:
    """Match commands about this absolute path."""
    return lambda exchange: exchange.path == path


def for_final_path(exchange: Exchange) -> bool:
    """Match commands about a path outside the temporaries."""
    return not TEMPORARY.search(exchange.path)


# Replies instead of the command.


def behave(exchange: Exchange) -> None:
    """Do as usual: for a cue that only tells when a command came."""
    exchange.reply(exchange.perform())


def say(reply: bytes) -> Reaction:
    """Answer with this reply and do nothing; a 421 closes the connection."""
    return lambda exchange: exchange.reply(reply)


def say_bytes(data: bytes) -> Reaction:
    """Send exactly these bytes, no CRLF added, and do nothing."""

    def react(exchange: Exchange) -> None:
        exchange.connection.send(data)

    return react


not_implemented = say(b"502 Command not implemented.")
permission_denied = say(b"550 Permission denied.")
disk_full = say(b"452 No space left on device.")


def turn_away(reply: bytes = b"421 Too many connections.") -> Reaction:
    """Answer and close the control connection: for CONNECT, USER or PASS."""

    def react(exchange: Exchange) -> None:
        exchange.connection.count_out()
        exchange.reply(reply)
        exchange.connection.hang_up()

    return react


def perform_but_say(reply: bytes) -> Reaction:
    """Do the command, then lie about its outcome; after AUTH the handshake comes all the same."""

    def react(exchange: Exchange) -> None:
        exchange.perform()
        exchange.reply(reply)

    return react


# Silence, delay, closing.


def stay_silent(exchange: Exchange) -> None:
    """Do nothing and say nothing, to this and all later commands, until the client gives up."""
    while exchange.connection.next_line() is not None:
        pass


def say_then_only_listen(data: bytes = b"") -> Reaction:
    """Send exactly these bytes, and nothing more whatever comes: not even a handshake is answered."""

    def react(exchange: Exchange) -> None:
        exchange.connection.send(data)
        while exchange.connection.wire.recv(BLOCK):
            pass

    return react


def perform_then_stay_silent(exchange: Exchange) -> None:
    """Do the command but never answer again."""
    exchange.perform()
    stay_silent(exchange)


def close_before_performing(exchange: Exchange) -> None:
    """Close the control connection instead."""
    exchange.connection.hang_up()


def close_before_replying(exchange: Exchange) -> None:
    """Do the command, then close the control connection: the outcome stays unknown to the client."""
    exchange.perform()
    exchange.connection.hang_up()


def close_after_replying(exchange: Exchange) -> None:
    """Do the command, answer, then close the control connection."""
    exchange.reply(exchange.perform())
    exchange.connection.hang_up()


def reset_before_performing(exchange: Exchange) -> None:
    """Send RST on the control connection instead."""
    exchange.connection.hang_up(reset=True)


def reset_before_replying(exchange: Exchange) -> None:
    """Do the command, then send RST on the control connection."""
    exchange.perform()
    exchange.connection.hang_up(reset=True)


def perform_after(event: threading.Event) -> Reaction:
    """Wait for the test's event, then do the command: a server process that stalls and wakes."""

    def react(exchange: Exchange) -> None:
        exchange.connection.server.wait_for(event)
        exchange.reply(exchange.perform())

    return react


def reply_after(event: threading.Event) -> Reaction:
    """Do the command at once but answer only after the test's event."""

    def react(exchange: Exchange) -> None:
        reply = exchange.perform()
        exchange.connection.server.wait_for(event)
        exchange.reply(reply)

    return react


def dribble_tls(seconds_per_byte: float) -> Reaction:
    """Do the command, and send TLS one byte at a time: on the data connection, or after AUTH on the control one."""

    def react(exchange: Exchange) -> None:
        pause = partial(exchange.connection.server.closing.wait, seconds_per_byte)
        if exchange.verb == "AUTH":
            exchange.connection.wire.pause = pause
        exchange.data_pause = pause
        exchange.reply(exchange.perform())

    return react


# Malformed replies.


def dribble(seconds_per_byte: float = 1.0) -> Reaction:
    """Do the command and send the reply one byte at a time."""

    def react(exchange: Exchange) -> None:
        for byte in exchange.perform() + b"\r\n":
            exchange.connection.send(bytes([byte]))
            if exchange.connection.server.closing.wait(seconds_per_byte):
                return

    return react


def huge_reply(size: int = 4 << 20) -> Reaction:
    """Do the command and answer its code followed by a line of megabytes."""
    return _reshape(lambda reply: reply[:4] + b"x" * size)


def non_utf8_reply(exchange: Exchange) -> None:
    """Do the command and answer its code with Latin-1 text."""
    _reshape(lambda reply: reply[:4] + b"ferm\xe9 \xff\xfe")(exchange)


def odd_middle_lines(exchange: Exchange) -> None:
    """Do the command and answer in several lines, legal by RFC 959 4.2, that look like the end and are not."""
    middle = [b"550 looks like another reply", b"", b" 226 indented", b"226-another opening", b"12", b"no code at all"]
    _reshape(lambda reply: b"\r\n".join([reply[:3] + b"-first", *middle, reply]))(exchange)


def endless_reply(exchange: Exchange) -> None:
    """Answer with a multi-line reply that never ends, until the client gives up or the server is closed."""
    exchange.connection.send(b"200-first\r\n")
    while exchange.connection.send(b" and so on\r\n" * 1000):
        pass


def with_unsolicited(reply: bytes = b"226 Something else is done.", *, before: bool = False) -> Reaction:
    """Do the command and send one more reply, after or before the true one, in the same write."""
    return _reshape(lambda true: reply + b"\r\n" + true if before else true + b"\r\n" + reply)


def with_more_behind(data: bytes) -> Reaction:
    """Do the command and send more bytes in the same write: behind a 234, what an attacker puts before TLS."""
    return lambda exchange: exchange.reply(exchange.perform(), data)


def _reshape(change: Callable[[bytes], bytes]) -> Reaction:
    return lambda exchange: exchange.reply(change(exchange.perform()))


# The data connection.


def never_accept_data(exchange: Exchange) -> None:
    """Say 150 but leave the data connection in the listener's backlog, until the client gives up."""
    exchange.connection.send(b"150 Here we go.\r\n")
    stay_silent(exchange)


def close_data_after(size: int, reply: bytes = b"426 Transfer aborted.", *, notify: bool = True) -> Reaction:
    """Close the data connection after that many bytes in either direction, TLS too if there is any, and answer."""
    return _break_data(size, reply, reset=False, notify=notify)


def reset_data_after(size: int, reply: bytes = b"426 Transfer aborted.") -> Reaction:
    """Send RST on the data connection after that many bytes in either direction, and answer."""
    return _break_data(size, reply, reset=True)


def truncate_listing(size: int, *, notify: bool = True) -> Reaction:
    """Send only the first bytes of a listing and say all went well."""
    return close_data_after(size, b"226 Transfer complete.", notify=notify)


def truncate_stored(size: int) -> Reaction:
    """Receive the whole file, store only its first bytes, and say all went well."""

    def react(exchange: Exchange) -> None:
        exchange.stored_limit = size
        exchange.reply(exchange.perform())

    return react


def _break_data(size: int, reply: bytes, *, reset: bool, notify: bool = True) -> Reaction:
    def react(exchange: Exchange) -> None:
        exchange.data_limit, exchange.data_reset, exchange.data_notify = size, reset, notify
        true = exchange.perform()
        exchange.reply(reply if true.startswith(b"226") else true)

    return react


def pasv_from(host: bytes) -> Reaction:
    """Answer PASV with another host, comma-separated, and the true port."""
    return _reshape(lambda reply: re.sub(rb"\(\d+,\d+,\d+,\d+,", b"(" + host + b",", reply))


def strip_tls(exchange: Exchange) -> None:
    """End TLS on the control connection, and go on in plain text as if nothing had happened."""
    exchange.connection.wire.strip()
    exchange.reply(exchange.perform())


# The data connection's TLS.


def flood_handshake(exchange: Exchange) -> None:
    """Answer the handshake of the data connection with what TLS passes over, without end, until the client gives up."""
    hello_requests = b"\x16\x03\x03\x00\x04\x00\x00\x00\x00" * 8192
    with suppress(OSError), exchange.connection.announce_data() as listener, listener.accept()[0] as data:
        while not exchange.connection.server.closing.is_set():
            data.sendall(hello_requests)


def dribble_listing(seconds_per_byte: float) -> Reaction:
    """Send a listing byte by byte, and begin anew at its end, until the client gives up."""

    def react(exchange: Exchange) -> None:
        server = exchange.connection.server
        with suppress(OSError), exchange.connection.announce_data() as listener, listener.accept()[0] as data:
            while not server.closing.wait(seconds_per_byte):
                data.sendall(b"x")

    return react


def secure_data_with(context: ssl.SSLContext) -> Reaction:
    """Do the transfer with another certificate than the control connection's, and without its sessions."""
    return _with_data(data_tls=context)


def refuse_data(reply: bytes) -> Reaction:
    """Take the data connection, TLS too, then refuse it: as on real servers, STOR has emptied the file by then."""
    return _with_data(data_refusal=reply)


def _with_data(**fields: Any) -> Reaction:
    return lambda exchange: exchange.reply(replace(exchange, **fields).perform())


data_in_the_clear = _with_data(data_clear=True)
data_without_close_notify = _with_data(data_notify=False)
tickets_after_the_data = _with_data(tickets_last=True)
no_session_reuse = refuse_data(b"522 SSL connection failed; session reuse required: see require_ssl_reuse option")


def epsv_from(host: bytes) -> Reaction:
    """Answer EPSV with another host, which has no place there (RFC 2428), and the true port."""
    return _reshape(lambda reply: reply.replace(b"(|||", b"(|1|" + host + b"|"))


garbled_epsv = say(b"229 Entering Extended Passive Mode (|||not-a-port|)")
garbled_pasv = say(b"227 Entering Passive Mode (127,0,0,1,999)")


# Listings and renames.


def send_listing(listing: bytes) -> Reaction:
    """Answer MLSD, LIST or STAT with this text as the listing."""

    def react(exchange: Exchange) -> None:
        exchange.listing = listing
        exchange.reply(exchange.perform())

    return react


def list_names(*names: bytes) -> Reaction:
    """Answer MLSD with a file of each of these names."""
    return send_listing(text([b"type=file;size=1;modify=20260101000000; " + name for name in names]))


empty_listing = send_listing(b"")
odd_list = send_listing(text(list(ODD_LIST_LINES)))


def endless_listing(exchange: Exchange) -> None:
    """Send a listing that never ends, until the client gives up."""
    lines = text([b"type=file;size=1;modify=20260101000000; one of many"] * 10_000)
    with suppress(Refused), exchange.accepted(exchange.connection.announce_data()) as data:
        while True:
            data.sendall(lines)


def refuse_existing_target(exchange: Exchange) -> None:
    """Refuse RNTO onto what exists, as aioftp's own server does."""
    if exchange.site.exists(exchange.path):
        exchange.reply(b"550 File exists.")
    else:
        behave(exchange)


# Actions for `FtpProxy`. On a command or reply they come instead of forwarding it.


def cut(passage: Passage) -> None:
    """End the connection, both sides, with FIN."""
    passage.link.end()


def forward_then_cut(passage: Passage) -> None:
    """Let it pass, then end the connection with FIN before anything can come back."""
    link = passage.link
    link.closed_to.add(link.client if passage.target is link.upstream else link.upstream)
    passage.forward()
    passage.link.end()


def reset(passage: Passage) -> None:
    """End the connection, both sides, with RST."""
    passage.link.end(reset=True)


def drop(passage: Passage) -> None:
    """Lose it; the connection stays."""


def early_fin(passage: Passage) -> None:
    """Tell the server that the client has sent everything; what it still sends is lost."""
    passage.link.closed_to.add(passage.link.upstream)
    passage.link.upstream.shutdown(socket.SHUT_WR)


def corrupt(passage: Passage) -> None:
    """Invert the bits of the next byte."""
    passage.link.corrupts_next = True
    passage.forward()


def freeze(until: threading.Event | None = None) -> Action:
    """Forward nothing more on the control connection and its data connections, sockets open, until the event."""

    def act(passage: Passage) -> None:
        passage.link.session.frozen_until = until or threading.Event()
        passage.forward()

    return act


def throttle(bytes_per_second: int) -> Action:
    """Slow down the control connection and its data connections from here on."""

    def act(passage: Passage) -> None:
        passage.link.session.bytes_per_second = bytes_per_second
        passage.forward()

    return act


def answer(reply: bytes) -> Action:
    """Answer a command oneself; the server never hears of it."""
    return lambda passage: passage.link.deliver(passage.link.client, reply + b"\r\n")


def rewrite(old: bytes, new: bytes) -> Action:
    """Let it pass with other words in it."""

    def act(passage: Passage) -> None:
        passage.payload = passage.payload.replace(old, new)
        passage.forward()

    return act


def inject(data: bytes) -> Action:
    """Let it pass with more bytes behind it in the same write, as an attacker before the TLS handshake does."""

    def act(passage: Passage) -> None:
        passage.payload += data
        passage.forward()

    return act
