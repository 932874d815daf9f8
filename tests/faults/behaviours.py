"""What the scripted server does when it behaves: one function a command, which returns the final reply, unsent."""

from __future__ import annotations

import calendar
import re
import time

from . import BLOCK, HOST, arm_reset, text
from .exchange import Behaviour, Exchange
from .tree import timestamp
from .wire import Wire

PARTIAL_CONTENTS_UP_TO = 1 << 20  # longer partial contents add nothing: the shorter ones already show the tear


def _auth(exchange: Exchange) -> bytes:
    if exchange.connection.server.tls is None:
        return b"502 Command not implemented."
    if exchange.connection.wire.tls:
        return b"503 TLS is on already."
    if exchange.first_word not in ("TLS", "TLS-C", "SSL"):
        return b"504 Unknown mechanism."
    exchange.begins_tls = True
    return b"234 Go ahead."


def _pbsz(exchange: Exchange) -> bytes:
    return b"200 PBSZ=0" if exchange.connection.wire.tls else b"503 AUTH first."


def _prot(exchange: Exchange) -> bytes:
    if exchange.connection.wire.tls is None:
        return b"503 AUTH first."
    if exchange.first_word not in ("P", "C"):
        return b"536 Only P and C."
    exchange.connection.protects_data = exchange.first_word == "P"
    return b"200 Done."


def _pass(exchange: Exchange) -> bytes:
    exchange.connection.logged_in = True
    return b"230 Logged in."


def _feat(exchange: Exchange) -> bytes:
    hidden = exchange.connection.server.without
    shown = [name for name in ("EPSV", "MDTM", "MFMT", "SIZE", "UTF8") if name not in hidden]
    if not hidden & {"MLST", "MLSD"}:
        shown.append("MLST type*;size*;modify*;UNIX.mode*;")
    if exchange.connection.server.tls:
        shown += [name for name in ("AUTH TLS", "PBSZ", "PROT") if name.split(" ")[0] not in hidden]
    return "\r\n ".join(["211-Features:", *shown]).encode() + b"\r\n211 End"


def _opts(exchange: Exchange) -> bytes:
    word = exchange.first_word
    known = word in ("UTF8", "MLST") and word not in exchange.connection.server.without
    return b"200 Done." if known else b"501 Option not understood."


def _cwd(exchange: Exchange) -> bytes:
    exchange.site.children(exchange.path)
    exchange.connection.folder = exchange.path
    return b"250 Done."


def _epsv(exchange: Exchange) -> bytes:
    if exchange.first_word == "ALL":
        return b"200 Done."
    if exchange.argument not in (b"", b"1"):
        return b"522 Network protocol not supported, use (1)"
    return b"229 Entering Extended Passive Mode (|||%d|)" % exchange.connection.listen_for_data()


def _pasv(exchange: Exchange) -> bytes:
    port = exchange.connection.listen_for_data()
    return f"227 Entering Passive Mode ({HOST.replace('.', ',')},{port >> 8},{port & 255}).".encode()


def _stor(exchange: Exchange) -> bytes:
    site = exchange.site
    site.require_storable(exchange.path)
    listener = exchange.connection.announce_data()
    site.put(exchange.path, b"")
    with exchange.accepted(listener) as data:
        _receive(exchange, data)
    return b"226 Transfer complete."


def _receive(exchange: Exchange, data: Wire) -> None:
    """Store what arrives, every partial content visible, as on a real server; what came before a loss is kept."""
    content = bytearray()
    kept = slice(exchange.stored_limit)
    try:
        while room := min(BLOCK, BLOCK if exchange.data_limit is None else exchange.data_limit - len(content)):
            block = data.recv(room)
            if not block:
                break
            content += block
            if len(content) <= PARTIAL_CONTENTS_UP_TO:
                exchange.site.put(exchange.path, bytes(content[kept]))
        _end_data(exchange, data)
    finally:
        exchange.site.put(exchange.path, bytes(content[kept]))


def _send(exchange: Exchange, content: bytes) -> bytes:
    with exchange.accepted(exchange.connection.announce_data()) as data:
        data.sendall(content[: exchange.data_limit])
        _end_data(exchange, data)
    return b"226 Transfer complete."


def _end_data(exchange: Exchange, data: Wire) -> None:
    if exchange.data_reset:
        arm_reset(data.sock)
    else:
        data.end(notify=exchange.data_notify)  # FIN now: a close with unread bytes would send RST


def _mfmt(exchange: Exchange) -> bytes:
    if not (found := re.match(rb"(\d{14})(\.\d+)? .", exchange.argument)):
        return b"501 Not a time and a path."
    mtime = calendar.timegm(time.strptime(found[1].decode(), "%Y%m%d%H%M%S"))
    exchange.site.set_mtime(exchange.path, mtime)
    return b"213 Modify=%s; %s" % (found[1], exchange.path)


def _site(exchange: Exchange) -> bytes:
    if not (found := re.match(rb"CHMOD ([0-7]+) .", exchange.argument, re.IGNORECASE)):
        return b"504 SITE command not understood."
    exchange.site.set_mode(exchange.path, int(found[1], 8))
    return b"200 Done."


def _mkd(exchange: Exchange) -> bytes:
    exchange.site.make_folder(exchange.path)
    return quoted(exchange.path) + b" made."


def _rmd(exchange: Exchange) -> bytes:
    exchange.site.remove_folder(exchange.path)
    return b"250 Done."


def _dele(exchange: Exchange) -> bytes:
    exchange.site.remove_file(exchange.path)
    return b"250 Done."


def _rnfr(exchange: Exchange) -> bytes:
    if not exchange.site.exists(exchange.path):
        return b"550 No such file or folder."
    exchange.connection.rename_source = exchange.path
    return b"350 Ready for RNTO."


def _rnto(exchange: Exchange) -> bytes:
    source, exchange.connection.rename_source = exchange.connection.rename_source, None
    if source is None:
        return b"503 RNFR first."
    exchange.site.rename(source, exchange.path)
    return b"250 Done."


def _mlsd(exchange: Exchange) -> bytes:
    lines = [b"type=cdir; .", b"type=pdir; ..", *exchange.site.mlsd_lines(exchange.path)]
    return _send(exchange, text(lines) if exchange.listing is None else exchange.listing)


def _stat(exchange: Exchange) -> bytes:
    if not exchange.argument:
        return b"211 All is well."
    return b"213-Status follows:\r\n" + _unix_listing(exchange) + b"213 End of status"


def _unix_listing(exchange: Exchange) -> bytes:
    """List a folder or one file; leading words with a dash are options, as for /bin/ls."""
    if exchange.listing is not None:
        return exchange.listing
    argument = exchange.argument
    while argument.startswith(b"-"):
        argument = argument.partition(b" ")[2]
    return text(exchange.site.unix_lines(exchange.connection.path(argument)))


def quoted(path: bytes) -> bytes:
    """Return the start of a 257 reply, inner quotes doubled (RFC 959, appendix II)."""
    return b'257 "' + path.replace(b'"', b'""') + b'"'


BEHAVIOURS: dict[str, Behaviour] = {
    "CONNECT": lambda its: b"220 Scripted server." if its.connection.admitted else b"421 Too many connections.",
    "USER": lambda _: b"331 Password, please.",
    "PASS": _pass,
    "FEAT": _feat,
    "AUTH": _auth,
    "PBSZ": _pbsz,
    "PROT": _prot,
    "OPTS": _opts,
    "SYST": lambda _: b"215 UNIX Type: L8",
    "NOOP": lambda _: b"200 Done.",
    "TYPE": lambda _: b"200 Done.",
    "QUIT": lambda _: b"221 Goodbye.",
    "PWD": lambda its: quoted(its.connection.folder) + b" is the current folder.",
    "CWD": _cwd,
    "EPSV": _epsv,
    "PASV": _pasv,
    "STOR": _stor,
    "RETR": lambda its: _send(its, its.site.file(its.path).content),
    "SIZE": lambda its: b"213 %d" % len(its.site.file(its.path).content),
    "MDTM": lambda its: b"213 " + timestamp(its.site.file(its.path).mtime),
    "MFMT": _mfmt,
    "SITE": _site,
    "MKD": _mkd,
    "RMD": _rmd,
    "DELE": _dele,
    "RNFR": _rnfr,
    "RNTO": _rnto,
    "MLSD": _mlsd,
    "MLST": lambda its: b"250-Listing\r\n %s\r\n250 End" % (its.site.facts(its.path) + its.path),
    "LIST": lambda its: _send(its, _unix_listing(its)),
    "STAT": _stat,
}
