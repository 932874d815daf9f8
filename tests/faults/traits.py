"""What whole servers are like: ready-made traits for `ScriptedServer`, small, to be put together at will.

A plain name is a trait; a call such as `keeps_times_to(2)` returns one; a name in capitals is a server as it was seen
on the wire, for `ScriptedServer(*UFTPD)`.
"""

from __future__ import annotations

import random
import re
import select
import socket
import time
from collections.abc import Callable
from functools import partial

from . import HOST, text
from .behaviours import BEHAVIOURS
from .exchange import Behaviour, Exchange
from .scripted import Connection, ScriptedServer, Trait
from .tree import Refused, StoredTree, name_of

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


def one_read_is_one_command(command: Callable[[bytes], bytes]) -> Trait:
    """Take what one read brings for one command, which this function makes of it."""

    def trait(server: ScriptedServer) -> None:
        server.command_of_read = command

    return trait


drops_the_rest_of_a_read = one_read_is_one_command(lambda block: block.partition(b"\r\n")[0])
takes_the_rest_for_a_parameter = one_read_is_one_command(bytes.strip)
squeezes_blanks_of_a_read = one_read_is_one_command(lambda block: b" ".join(block.split()))


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


greets_at_random = greets_with(_random_greeting)


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
    assert connection.listener is not None
    poll = select.poll()
    poll.register(connection.listener, select.POLLIN)
    poll.register(connection.sock, select.POLLRDHUP)
    if not poll.poll(connection.server.data_seconds * 1000):
        connection.send(b"550 Requested action not taken: internal server error\r\n")


def _port_then_wait(exchange: Exchange, usual: Behaviour) -> bytes:
    exchange.afterwards = partial(_wait_for_data, exchange.connection)
    return usual(exchange)


waits_for_data_after_a_port = instead(_port_then_wait, *PORTS)
"""After EPSV or PASV read nothing until the data connection is there; after `data_seconds` answer a second time."""


def voids_ports(server: ScriptedServer) -> None:
    """Close the newest passive port when a transfer ends, and with it one that was asked for behind it, unanswered."""
    voided: set[Connection] = set()

    def transfer(exchange: Exchange, usual: Behaviour) -> bytes:
        reply = outcome(exchange, usual)
        if re.search(rb"^(EPSV|PASV)\b", exchange.connection.unread, re.MULTILINE | re.IGNORECASE):
            voided.add(exchange.connection)
        return b"550 No connector setup, send PASV or PORT" if reply.startswith(b"425 Use") else reply

    def port(exchange: Exchange, usual: Behaviour) -> bytes:
        reply, connection = usual(exchange), exchange.connection
        if connection in voided and connection.listener:
            voided.discard(connection)
            server.release(connection.listener)
            connection.listener = None
        return reply

    instead(transfer, *TRANSFERS)(server)
    instead(port, *PORTS)(server)


def has_ports(count: int, reply: bytes = b"500 OOPS: vsf_sysutil_bind\r\n500 OOPS: priv_sock_get_int") -> Trait:
    """Have so many passive ports for all connections together; one that gets none ends, as vsftpd's do."""

    def trait(server: ScriptedServer) -> None:
        holders: set[Connection] = set()

        def port(exchange: Exchange, usual: Behaviour) -> bytes:
            with server.site.changed:
                holders.discard(exchange.connection)
                holders.intersection_update([each for each in holders if each.listener and not each.ended])
                if len(holders) >= count:
                    exchange.afterwards = exchange.connection.hang_up
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


def has_room_for(size: int, reply: bytes = b"451 Failure writing to local file.") -> Trait:
    """Be full with so many bytes of files: what comes beyond is lost, and the upload refused at its end."""

    def change(exchange: Exchange, usual: Behaviour) -> bytes:
        others = sum(len(file.content) for path, file in exchange.site.files.items() if path != exchange.path)
        exchange.stored_limit = room = max(0, size - others)
        done = usual(exchange)
        return done if len(exchange.site.file(exchange.path).content) < room else reply

    return instead(change, "STOR")


# Names and times.


def refuses_names(pattern: bytes, reply: bytes = b"553 Prohibited file name.") -> Trait:
    """Make nothing whose last part matches."""

    def change(exchange: Exchange, usual: Behaviour) -> bytes:
        return reply if re.search(pattern, name_of(exchange.path)) else usual(exchange)

    return instead(change, *CREATING)


refuses_dot_names = refuses_names(rb"^\.")


def spells(spelling: Callable[[bytes], bytes]) -> Trait:
    """Take every path in this spelling, so that what was made as README is found as readme, under either name."""

    def trait(server: ScriptedServer) -> None:
        server.spell = spelling

    return trait


def alters_new_names(change_name: Callable[[bytes], bytes]) -> Trait:
    """Give what is made another name than was asked for, under which it is not found again."""

    def change(exchange: Exchange, usual: Behaviour) -> bytes:
        folder, slash, name = exchange.argument.rpartition(b"/")
        exchange.argument = folder + slash + change_name(name)
        return usual(exchange)

    return instead(change, *CREATING)


lower_cases_names = spells(bytes.lower)


def keeps_times_to(seconds: int) -> Trait:
    """Round times down to so many seconds, as FAT does to two."""

    def trait(server: ScriptedServer) -> None:
        server.site.seconds = seconds

    return trait


def _keep_time(exchange: Exchange, usual: Behaviour) -> bytes:
    mtime = exchange.site.file(exchange.path).mtime
    reply = usual(exchange)
    exchange.site.set_mtime(exchange.path, mtime)
    return reply


forgets_times = instead(_keep_time, "MFMT")
"""Answer as if the time had been set, and keep that of the upload."""


# Listings, folders and renames.


def lists_names_as(shown: Callable[[bytes], bytes | None]) -> Trait:
    """Show other names in listings than those under which things are found, None for nothing."""

    def trait(server: ScriptedServer) -> None:
        server.site.listed = shown

    return trait


def hides_names(pattern: bytes) -> Trait:
    """Leave names out of listings that match."""
    return lists_names_as(lambda name: None if re.search(pattern, name) else name)


hides_dot_names = hides_names(rb"^\.")
lists_question_marks = lists_names_as(lambda name: re.sub(rb"[^\x20-\x7e]", b"?", name))


def _list_by_name(exchange: Exchange, usual: Behaviour) -> bytes:
    exchange.listing = text(exchange.site.unix_lines(exchange.path))
    return usual(exchange)


takes_list_options_for_a_name = instead(_list_by_name, "LIST")


def _list_nothing(exchange: Exchange, usual: Behaviour) -> bytes:
    if exchange.argument.startswith(b"-"):
        exchange.listing = b""
    return usual(exchange)


lists_nothing_with_options = instead(_list_nothing, "LIST")


def _list_words(exchange: Exchange, usual: Behaviour) -> bytes:
    words = [word for word in exchange.argument.split() if not word.startswith(b"-")]
    if len(words) > 1:
        exchange.listing = text([word + b": No such file or directory" for word in words])
    return usual(exchange)


takes_each_word_of_list_for_a_name = instead(_list_words, "LIST")


def _remove_all(site: StoredTree, folder: bytes) -> None:
    for path in site.children(folder):
        if path in site.folders:
            _remove_all(site, path)
        else:
            site.remove_file(path)
    site.remove_folder(folder)


def _rmd(exchange: Exchange, _: Behaviour) -> bytes:
    _remove_all(exchange.site, exchange.path)
    return b"250 Done."


removes_recursively = instead(_rmd, "RMD")


def _rnto(exchange: Exchange, usual: Behaviour) -> bytes:
    return b"550 File exists." if exchange.site.exists(exchange.path) else usual(exchange)


renames_onto_nothing = instead(_rnto, "RNTO")
"""Refuse to rename onto what exists."""


# Servers.

UFTPD = (drops_the_rest_of_a_read, lacks("RNFR", "RNTO", "SITE"), says("MKD", b"200 Command OK"))
BFTPD = (refuses_with(b"451 Error: No such file or directory.", "SIZE"),)
APACHE = (
    when_absent("MLST", b"501 Not a valid pathname."),
    when_absent("DELE", b"450 No permission to delete."),
    hides_dot_names,
    renames_onto_nothing,
)
NODEFTPD = (
    takes_the_rest_for_a_parameter,
    when_absent("SIZE", b"450 Failed to get size of file"),
    when_absent("DELE", b"550 Permission denied"),
    lacks("MLSD", "MLST", "MFMT", "SITE"),
)
FTP_SRV = (voids_ports, tells_no_size_of_an_empty_file, lacks("MLSD", "MLST", "MFMT"))
TWISTED = (waits_for_data_after_a_port, lacks("MLSD", "MLST", "MFMT", "SITE", "STAT"))
VSFTPD_WITH_TWO_PORTS = (has_ports(2), lacks("MLSD", "MLST", "MFMT"))
BUSYBOX = (lists_question_marks, lacks("MLSD", "MLST", "MFMT", "SITE"))
