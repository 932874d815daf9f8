"""What a server's protocol is like all the time: traits for `ScriptedServer`, small, to be put together at will.

A plain name is a trait; a call such as `lacks("RNFR")` returns one. `sites` has those of names, listings and folders,
`zoo` whole servers.
"""

from __future__ import annotations

import random
import re
import select
import socket
import time
from collections.abc import Callable
from functools import partial

from . import HOST
from .behaviours import BEHAVIOURS
from .exchange import Behaviour, Exchange
from .scripted import Connection, ScriptedServer, Trait
from .tree import Refused

TRANSFERS = ("STOR", "RETR", "MLSD", "LIST")
PORTS = ("EPSV", "PASV")
CREATING = ("STOR", "MKD", "RNTO")

Change = Callable[[Exchange, Behaviour], bytes]
"""Returns the final reply to a command, given how it is answered as usual."""


def instead(change: Change, *verbs: str) -> Trait:
    """Have these commands answered in another way."""

    def trait(server: ScriptedServer) -> None:
        for verb in verbs:
            server.behaviours[verb] = partial(_changed, change, server.behaviours[verb])

    return trait


def _changed(change: Change, usual: Behaviour, exchange: Exchange) -> bytes:
    return change(exchange, usual)


def outcome(exchange: Exchange, usual: Behaviour) -> bytes:
    """Return the usual reply, a refusal, too."""
    try:
        return usual(exchange)
    except Refused as refused:
        return refused.reply


# Which commands there are, and how they are read.


def lacks(*features: str) -> Trait:
    """Know nothing of these commands; "SITE CHMOD" is one, too."""
    return lambda server: server.without.update(features)


def one_read_is_one_command(command: Callable[[bytes], bytes | None]) -> Trait:
    """Take what one read brings for one command, which this function makes of it; None ends the connection."""

    def trait(server: ScriptedServer) -> None:
        server.command_of_read = command

    return trait


drops_the_rest_of_a_read = one_read_is_one_command(lambda block: block.partition(b"\r\n")[0])
takes_the_rest_for_a_parameter = one_read_is_one_command(bytes.strip)
cuts_when_commands_come_together = one_read_is_one_command(lambda block: None if block.count(b"\n") > 1 else block)
squeezes_blanks_of_a_read = one_read_is_one_command(lambda block: b" ".join(block.split()))


def _forget(exchange: Exchange, usual: Behaviour) -> bytes:
    reply = usual(exchange)
    exchange.connection.unread = b""
    return reply


drops_what_comes_behind_a_transfer = instead(_forget, *TRANSFERS)
"""Never see the commands that came in the same write as a transfer's, or during it."""


def takes_lines_up_to(size: int) -> Trait:
    """Refuse longer commands."""

    def change(exchange: Exchange, usual: Behaviour) -> bytes:
        line = exchange.verb.encode() + b" " + exchange.argument
        return usual(exchange) if len(line) <= size else b"500 Command line too long."

    return instead(change, *(verb for verb in BEHAVIOURS if verb != "CONNECT"))


def greets_with(make: Callable[[], bytes]) -> Trait:
    """Greet with another text each time."""

    def change(exchange: Exchange, usual: Behaviour) -> bytes:
        greeting = usual(exchange)
        return b"220 " + make() if greeting.startswith(b"220") else greeting

    return instead(change, "CONNECT")


def _random_greeting() -> bytes:
    now = time.strftime("%H:%M:%S").encode()
    return b"Local time is now %s. You are user number %d of 50. [%032x]" % (
        now,
        random.randrange(50),
        random.getrandbits(128),
    )


greets_with_times_and_numbers = greets_with(_random_greeting)
greets_with_a_random_name = greets_with(
    lambda: b"Welcome to " + bytes(random.choices(b"abcdefgijklmnopqrstuvwxyz", k=8))
)
"""As if each connection met another machine; the one before only tells the time and counts."""


# Replies.


def says(verb: str, reply: bytes) -> Trait:
    """Answer this when the command has succeeded."""

    def change(exchange: Exchange, usual: Behaviour) -> bytes:
        done = usual(exchange)
        return reply if done.startswith(b"2") else done

    return instead(change, verb)


def when_absent(verb: str, reply: bytes) -> Trait:
    """Answer this about a path that does not exist."""
    return instead(lambda exchange, usual: usual(exchange) if exchange.site.exists(exchange.path) else reply, verb)


def refuses_with(reply: bytes, *but: str) -> Trait:
    """Answer all that fails in the file system with one reply, except to these commands."""

    def change(exchange: Exchange, usual: Behaviour) -> bytes:
        usual_reply = outcome(exchange, usual)
        return reply if usual_reply.startswith(b"550") else usual_reply

    return instead(change, *(verb for verb in BEHAVIOURS if verb not in ("CONNECT", *but)))


def _size(exchange: Exchange, usual: Behaviour) -> bytes:
    reply = usual(exchange)
    return b"213 File status" if reply == b"213 0" else reply


tells_no_size_of_an_empty_file = instead(_size, "SIZE")


# The data connection.


def _wait_for_data(connection: Connection) -> None:
    poll = select.poll()
    if connection.listener:  # else nobody can reach it
        poll.register(connection.listener, select.POLLIN)
    poll.register(connection.sock, select.POLLRDHUP)
    if not poll.poll(connection.server.data_seconds * 1000):
        connection.send(b"550 Requested action not taken: internal server error\r\n")


def _port_then_wait(exchange: Exchange, usual: Behaviour) -> bytes:
    exchange.afterwards = partial(_wait_for_data, exchange.connection)
    return usual(exchange)


waits_for_data_after_a_port = instead(_port_then_wait, *PORTS)
"""After EPSV or PASV read nothing until the data connection is there; after `data_seconds` answer a second time."""


def voids_ports_with(refusal: bytes) -> Trait:
    """Close the newest passive port when a transfer ends, and with it one that was asked for behind it.

    EPSV and PASV are answered all the same, and only the next transfer is refused.
    """

    def trait(server: ScriptedServer) -> None:
        voided: set[Connection] = set()
        instead(partial(_transfer_that_voids, voided, refusal), *TRANSFERS)(server)
        instead(partial(_port_that_may_be_void, voided), *PORTS)(server)

    return trait


def _transfer_that_voids(voided: set[Connection], refusal: bytes, exchange: Exchange, usual: Behaviour) -> bytes:
    reply = outcome(exchange, usual)
    if re.search(rb"^(EPSV|PASV)\b", exchange.connection.unread, re.MULTILINE | re.IGNORECASE):
        voided.add(exchange.connection)
    return refusal if reply.startswith(b"425 Use") else reply


def _port_that_may_be_void(voided: set[Connection], exchange: Exchange, usual: Behaviour) -> bytes:
    reply, connection = usual(exchange), exchange.connection
    if connection in voided and connection.listener:
        voided.discard(connection)
        connection.server.release(connection.listener)
        connection.listener = None
    return reply


voids_ports = voids_ports_with(b"550 No connector setup, send PASV or PORT")


def has_ports(count: int, reply: bytes = b"500 OOPS: vsf_sysutil_bind\r\n500 OOPS: priv_sock_get_int") -> Trait:
    """Have so many passive ports for all connections together; one that is told OOPS ends, as vsftpd's do."""

    def trait(server: ScriptedServer) -> None:
        holders: set[Connection] = set()

        def port(exchange: Exchange, usual: Behaviour) -> bytes:
            with server.site.changed:
                holders.discard(exchange.connection)
                holders.intersection_update([each for each in holders if each.listener and not each.ended])
                if len(holders) >= count:
                    exchange.afterwards = exchange.connection.hang_up if b"OOPS" in reply else None
                    return reply
                holders.add(exchange.connection)
                return usual(exchange)

        instead(port, *PORTS)(server)

    return trait


def blocks_epsv(*, silent: bool = False) -> Trait:
    """Announce a port with EPSV that cannot be reached: connecting is refused or, if silent, never answered."""

    def trait(server: ScriptedServer) -> None:
        port = _dead_port(server, silent=silent)
        instead(lambda *_: b"229 Entering Extended Passive Mode (|||%d|)" % port, "EPSV")(server)

    return trait


def _dead_port(server: ScriptedServer, *, silent: bool) -> int:
    """Return a port that stays closed or, if silent, one with a full queue: the kernel drops what comes then."""
    bound = server.track(socket.socket())
    bound.bind((HOST, 0))
    if silent:
        bound.listen(0)
        server.track(socket.create_connection(bound.getsockname()))
    return int(bound.getsockname()[1])


def _forgive(exchange: Exchange, usual: Behaviour) -> bytes:
    reply = outcome(exchange, usual)
    return b"226 Transfer complete." if reply.startswith(b"426") else reply


forgives_a_cut = instead(_forgive, "STOR")
"""Call an upload a success whose data connection was reset."""
