"""What an FTP server says: replies, facts, lines of a listing (RFC 959, 3659)."""

from __future__ import annotations

import time

from .kinds import Kind
from .site import Node


def reply(code: int, lines: tuple[str, ...]) -> bytes:
    *more, last = lines
    text = [f"{code}-{more[0]}", *more[1:]] if more else []
    return "".join(f"{line}\r\n" for line in [*text, f"{code} {last}"]).encode("utf-8", "surrogateescape")


def stamp(moment: float) -> str:
    return time.strftime("%Y%m%d%H%M%S", time.gmtime(int(moment)))


def facts(kind: Kind, node: Node, what: str, name: bytes) -> bytes:
    told = f"type={what or ('dir' if node.content is None else 'file')};"
    if node.content is not None:
        told += f"size={len(node.content)};"
    if kind.times != "none":
        told += f"modify={stamp(node.mtime)};"
    return f"{told}UNIX.mode=0{node.mode:o}; ".encode() + name


def unix(name: bytes, node: Node, now: float) -> bytes:
    then = time.gmtime(node.mtime)
    month = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"][then.tm_mon - 1]
    recent = now - node.mtime < 180 * 86400
    clock = f"{then.tm_hour:02}:{then.tm_min:02}" if recent else f" {then.tm_year}"
    letter = "d" if node.content is None else "-"
    rights = "".join(right if node.mode >> 8 - place & 1 else "-" for place, right in enumerate("rwxrwxrwx"))
    size = len(node.content or b"")
    return f"{letter}{rights} 1 ftp ftp {size} {month} {then.tm_mday:2} {clock} ".encode() + name
