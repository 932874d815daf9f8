"""Which hash commands a server offers, and which hash a reply tells."""

from __future__ import annotations

import hashlib

import pytest

from async_mirror.ftp.wire.hashes import offered, parse_hash
from async_mirror.ftp.wire.replies import Reply

SHA256, SHA1, MD5 = (hashlib.new(name, b"content").hexdigest() for name in ("sha256", "sha1", "md5"))


@pytest.mark.parametrize(
    ("features", "names"),
    [
        ({}, []),
        ({"HASH": "SHA-256;SHA-512;SHA-1;MD5*;CRC32"}, ["HASH sha256", "HASH sha512", "HASH sha1", "HASH md5"]),
        ({"XCRC": "", "XMD5": "", "XSHA1": "", "XSHA256": ""}, ["XSHA256 sha256", "XSHA1 sha1", "XMD5 md5"]),
        ({"HASH": "sha-1;SHA-256*", "XMD5": "a;b"}, ["HASH sha256", "HASH sha1", "XMD5 md5"]),
        ({"HASH": "", "MD5": "", "HASHES": "SHA-256"}, []),
        ({"HASH": "TIGER;WHIRLPOOL"}, []),
    ],
)
def test_strongest_command_comes_first(features: dict[str, str], names: list[str]) -> None:
    assert [each.name for each in offered(features)][: len(names)] == names
    assert {each.algorithm for each in offered(features)} - {name.split(" ")[1] for name in names} <= {"crc32"}


@pytest.mark.parametrize(
    ("text", "algorithm", "told"),
    [
        (f"SHA-256 0-7 {SHA256} name", "sha256", SHA256),
        (f"SHA-256 0-7 {SHA256.upper()} {SHA256[::-1]}", "sha256", SHA256),
        (SHA1.upper(), "sha1", SHA1),
        (f"XMD5 {MD5}", "md5", MD5),
        ("00C0FFEE", "crc32", "00c0ffee"),
        ("C0FFEE", "crc32", "00c0ffee"),
        (" c0ffee ", "crc32", "00c0ffee"),
        (SHA256, "sha1", None),
        (f"{SHA256}0", "sha256", None),
        (f"a-{MD5}", "md5", None),
        ("done", "crc32", None),
        ("", "md5", None),
    ],
)
def test_hash_of_the_right_length_is_read(text: str, algorithm: str, told: str | None) -> None:
    read = parse_hash(Reply(213, (text,)), algorithm)
    assert (read and read.hex()) == told
    assert parse_hash(Reply(550, (text,)), algorithm) is None
