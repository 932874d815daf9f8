"""Commands that tell the hash of a file, as FEAT offers them, and what they answer. Pure.

HASH (draft-bryan-ftp-hash) has the algorithm chosen by OPTS; XSHA256, XSHA1, XMD5 and XCRC are older.
"""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from async_mirror.ftp.wire.replies import Reply

_ALGORITHMS = {"SHA-256": "sha256", "SHA-512": "sha512", "SHA-1": "sha1", "MD5": "md5", "CRC32": "crc32"}
_OLDER = {"sha256": "XSHA256", "sha512": "XSHA512", "sha1": "XSHA1", "md5": "XMD5", "crc32": "XCRC"}
_DIGITS = {"sha256": 64, "sha512": 128, "sha1": 40, "md5": 32, "crc32": 8}


class HashCommand(NamedTuple):
    """A command, and what has to be sent once before it, if anything."""

    verb: str
    algorithm: str
    choice: str = ""

    @property
    def name(self) -> str:
        """What it is remembered by."""
        return f"{self.verb} {self.algorithm}"


def offered(features: Mapping[str, str]) -> Iterator[HashCommand]:
    """Yield the hash commands that a server offers, the strongest first."""
    listed = {each.strip().rstrip("*").upper() for each in features.get("HASH", "").split(";")}
    for name, algorithm in _ALGORITHMS.items():
        if name in listed:
            yield HashCommand("HASH", algorithm, f"OPTS HASH {name}")
        if _OLDER[algorithm] in features:
            yield HashCommand(_OLDER[algorithm], algorithm)


def parse_hash(reply: Reply, algorithm: str) -> bytes | None:
    """Return the hash in a reply, None if there is none; a name that looks like one stands behind it."""
    digits = _DIGITS[algorithm]
    text = " ".join(reply.lines)[:1000] if reply.succeeded else ""
    if algorithm == "crc32" and (short := re.fullmatch(r"\s*([0-9a-f]{1,8})\s*", text, re.IGNORECASE)):
        return bytes.fromhex(short[1].zfill(digits))
    found = re.search(rf"(?<![\w.-])[0-9a-f]{{{digits}}}(?![\w.-])", text, re.IGNORECASE)
    return bytes.fromhex(found[0]) if found else None
