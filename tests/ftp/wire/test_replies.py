"""Replies are read by RFC 959, in whatever pieces they come, and never at unbounded cost."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_mirror.ftp.wire.replies import (
    LONGEST_LINE,
    LONGEST_REPLY,
    Reply,
    ReplyError,
    ReplyParser,
    parse_epsv,
    parse_features,
    parse_pasv,
    parse_path,
)


def read(raw: bytes) -> list[Reply]:
    return list(ReplyParser().feed(raw))


def reply(text: str) -> Reply:
    (only,) = read(text.encode() + b"\r\n")
    return only


READ: list[tuple[bytes, list[Reply]]] = [
    (b"220 (vsFTPd 3.0.3)\r\n", [Reply(220, ("(vsFTPd 3.0.3)",))]),
    (b"250 \r\n", [Reply(250, ("",))]),
    (b"250\r\n", [Reply(250, ("",))]),
    (b"226 bare line feed\n", [Reply(226, ("bare line feed",))]),
    (b"150 a\r\n226 b\r\n213 0\r\n", [Reply(150, ("a",)), Reply(226, ("b",)), Reply(213, ("0",))]),
    # vsftpd, Pure-FTPd: RFC 2389 indents what is in the middle.
    (b"211-Features:\r\n EPSV\r\n UTF8\r\n211 End\r\n", [Reply(211, ("Features:", " EPSV", " UTF8", "End"))]),
    # ProFTPD may begin every line with the code; a middle one may also begin with another code and a space.
    (b"230-one\r\n230-two\r\n230 end\r\n", [Reply(230, ("one", "230-two", "end"))]),
    (b"230-one\r\n220 two\r\n 230 three\r\n2304 four\r\n230 end\r\n", [
        Reply(230, ("one", "220 two", " 230 three", "2304 four", "end")),
    ]),
    (b"226-\r\n\r\n226 x\r\n", [Reply(226, ("", "", "x"))]),
    (b"550 caf\xe9: no such file\r\n", [Reply(550, ("caf\udce9: no such file",))]),
    (b"550 caf\xc3\xa9\r\n", [Reply(550, ("caf\u00e9",))]),
    # ProFTPD and inetutils answer options of Telnet that they found in a name.
    (b"\xff\xfc\r250-Start\r\n type=dir; /\r\n250 End\r\n", [Reply(250, ("Start", " type=dir; /", "End"))]),
    (b"\xff\xfe\x01\xff\xfc\x02226 x\r\n", [Reply(226, ("x",))]),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "replies"), READ)
def test_replies_are_read_as_rfc_959_has_them(raw: bytes, replies: list[Reply]) -> None:
    assert read(raw) == replies


@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 400 Bad Request\r\n",
        b"22 too short\r\n",
        b"2260 too long\r\n",
        b"226_no mark\r\n",
        b"022 no such class\r\n",
        b"926 no such class\r\n",
        b" 226 indented\r\n",
        "\u0662\u0662\u0660 Arabic digits\r\n".encode(),
        b"\r\n",
        b"\x16\x03\x01 TLS\r\n",
        b"22\r\n",
        b"2\r\n",
        b"226 first\r\ngarbage\r\n",
    ],
)
def test_what_is_no_reply_is_an_error(raw: bytes) -> None:
    with pytest.raises(ReplyError):
        read(raw)


def feed_again_and_again(parser: ReplyParser, piece: bytes, length: int) -> None:
    """Feed one piece until so many bytes have come."""
    for _ in range(length // len(piece)):
        list(parser.feed(piece))


def pieces_of(raw: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(raw) + 1) for cut in cuts), len(raw)]
    return [raw[start:end] for start, end in pairwise(places)]


@given(st.lists(st.sampled_from(READ), max_size=5), st.lists(st.integers(0, 10_000), max_size=20))
def test_pieces_in_which_replies_come_do_not_matter(chosen: list[tuple[bytes, list[Reply]]], cuts: list[int]) -> None:
    parser = ReplyParser()
    raw = b"".join(each for each, _ in chosen)
    found = [each for piece in pieces_of(raw, cuts) for each in parser.feed(piece)]
    assert found == [each for _, replies in chosen for each in replies]


@pytest.mark.parametrize("bad", [b"no reply\r\n", b"x" * (LONGEST_LINE + 1), b"226-" + b"x\r\n" * (LONGEST_REPLY // 3)])
def test_replies_before_what_is_none_are_read_whether_it_comes_with_them_or_after(bad: bytes) -> None:
    for pieces in ([b"250 ok\r\n" + bad], [b"250 ok\r\n", bad]):
        parser = ReplyParser()
        found: list[Reply] = []
        with pytest.raises(ReplyError):
            found.extend(each for piece in pieces for each in parser.feed(piece))
        assert found == [Reply(250, ("ok",))]


LINES = st.lists(
    st.one_of(
        st.binary(max_size=30),
        st.tuples(st.sampled_from([b"226", b"226-", b"226 ", b"550-", b"999", b"1x3"]), st.binary(max_size=9)).map(
            b"".join
        ),
    ),
    max_size=12,
).map(b"\r\n".join)


@given(LINES, st.lists(st.integers(0, 10_000), max_size=20))
def test_arbitrary_bytes_in_arbitrary_pieces_give_replies_or_the_one_error(raw: bytes, cuts: list[int]) -> None:
    parser = ReplyParser()
    try:
        replies = [each for piece in pieces_of(raw, cuts) for each in parser.feed(piece)]
    except ReplyError:
        return
    for each in replies:
        assert 100 <= each.code <= 699
        assert each.lines
        assert "\n" not in each.text
        # What any of them is asked for must hold for all of them.
        parse_epsv(each)
        parse_pasv(each)
        parse_path(each)
        parse_features(each)
        assert each.too_many in {True, False}
        assert each.no_space in {True, False}


def test_endless_line_is_an_error_before_it_is_kept() -> None:
    with pytest.raises(ReplyError):
        feed_again_and_again(ReplyParser(), b"x" * 1000, LONGEST_LINE + 2000)


def test_line_that_is_too_long_is_an_error_though_it_comes_whole() -> None:
    with pytest.raises(ReplyError):
        read(b"226 " + b"x" * LONGEST_LINE + b"\r\n")


@pytest.mark.parametrize("line", [b"x" * 998 + b"\r\n", b"\r\n", b"\n"], ids=["long", "empty", "bare"])
def test_endless_reply_is_an_error(line: bytes) -> None:
    parser = ReplyParser()
    list(parser.feed(b"226-\r\n"))
    with pytest.raises(ReplyError):
        feed_again_and_again(parser, line * (65536 // len(line)), LONGEST_REPLY + 2 * 65536)


def test_many_short_replies_are_no_endless_reply() -> None:
    parser = ReplyParser()
    piece = b"250 ok\r\n" * 10_000
    assert sum(len(list(parser.feed(piece))) for _ in range(60)) == 600_000


@pytest.mark.parametrize("hostile", ["max ", "limit ", "client limi ", "too man", "quot", '"" "', "(|||", "1,2,3,"])
def test_cost_of_judging_a_hostile_reply_is_bounded(hostile: str) -> None:
    lines = (hostile * (2000 // len(hostile)),) * 10
    told = Reply(550, lines)
    start = time.process_time()
    for judged in (told.too_many, told.no_space, parse_epsv(told), parse_pasv(told), parse_path(told)):
        assert judged is None or isinstance(judged, bool | int | str)
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    ("text", "succeeded", "continues", "transient", "unknown"),
    [
        ("150 Opening", False, False, False, False),
        ("226 Done", True, False, False, False),
        ("350 Ready", False, True, False, False),
        ("450 Busy", False, False, True, False),
        ("500 Unknown command", False, False, False, True),
        ("502 Not implemented", False, False, False, True),
        ("504 Unknown command", False, False, False, True),
        ("530 Please login", False, False, False, False),
        ("550 No such file", False, False, False, False),
    ],
)
def test_class_of_a_reply_is_in_its_code(
    text: str, succeeded: bool, continues: bool, transient: bool, unknown: bool
) -> None:
    told = reply(text)
    assert (told.succeeded, told.continues, told.transient, told.unknown_command) == (
        succeeded,
        continues,
        transient,
        unknown,
    )


@pytest.mark.parametrize(
    ("text", "too_many"),
    [
        ("421 There are too many connections from your internet address.", True),
        ("421 Too many connections (2) from this IP", True),
        ("421 Too many connections from the same IP address.", True),
        ("421 Too many connections", True),
        ("530 Sorry, the maximum number of clients (2) from your host are already connected.", True),
        ("530 Sorry, maximum users 3 reached", True),
        ("530 Login incorrect.", False),
        ("530 Login authentication failed", False),
        ("530 Authentication failed.", False),
        ("230 Not too many clients, welcome", False),
        ("550 maximum.txt: No such file or directory", False),
    ],
)
def test_too_many_clients_is_told_apart_from_a_wrong_password(text: str, too_many: bool) -> None:
    assert reply(text).too_many is too_many


@pytest.mark.parametrize(
    ("text", "no_space"),
    [
        ("452 Insufficient storage space", True),
        ("552 Quota exceeded: [user] won't be saved", True),
        ("451 Failure writing to local file: No space left on device", True),
        ("550 File too large or disk quota exceeded", True),
        ("550 No such file or directory", False),
        ("553 Could not create file.", False),
        ("226 No space was needed", False),
    ],
)
def test_full_site_is_recognised(text: str, no_space: bool) -> None:
    assert reply(text).no_space is no_space


@pytest.mark.parametrize(
    ("text", "port"),
    [
        ("229 Entering Extended Passive Mode (|||6446|).", 6446),
        ("229 Extended Passive mode OK (|||30001|)", 30001),
        ("229 anything (!!!65535!)", 65535),
        ("229 port zero (|||0|)", None),
        ("229 port beyond (|||65536|)", None),
        ("229 port far beyond (|||123456|)", None),
        ("229 mixed (|!|6446|)", None),
        ("229 an address (|1|127.0.0.1|6446|)", None),
        ("229 nothing", None),
        ("229 (||||)", None),
    ],
)
def test_port_of_epsv_is_read(text: str, port: int | None) -> None:
    assert parse_epsv(reply(text)) == port


@pytest.mark.parametrize(
    ("text", "port"),
    [
        ("227 Entering Passive Mode (127,0,0,1,117,48)", 117 * 256 + 48),
        ("227 Entering Passive Mode (127,0,0,1,117,48).", 117 * 256 + 48),
        ("227 Entering passive mode 127,0,0,1,4,1", 1025),
        ("227 =127,0,0,1,4,1", 1025),
        ("227 Entering Passive Mode (127,0,0,1,0,0)", None),
        ("227 Entering Passive Mode (127,0,0,1,256,1)", None),
        ("227 Entering Passive Mode (300,0,0,1,4,1)", None),
        ("227 Entering Passive Mode (127,0,0,1,4)", None),
        ("227 nothing", None),
    ],
)
def test_port_of_pasv_is_read(text: str, port: int | None) -> None:
    assert parse_pasv(reply(text)) == port


def test_features_are_read_with_what_follows_them() -> None:
    raw = b"211-Features:\r\n MDTM\r\n MLST modify*;type*;\r\n  utf8 \r\n REST STREAM\r\n211 End\r\n"
    (told,) = read(raw)
    assert parse_features(told) == {"MDTM": "", "MLST": "modify*;type*;", "UTF8": "", "REST": "STREAM"}


def test_reply_of_one_line_has_no_features() -> None:
    assert parse_features(reply("211 no features")) == {}


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('257 "/" is the current directory', "/"),
        ('257 "/a ""quoted"" folder" is your current location', '/a "quoted" folder'),
        ('257 "/caf\u00e9"', "/caf\u00e9"),
        ('257 ""', ""),
        ("257 no quotes", None),
        ('257 "/never\rin a command"', None),
        ('257 "/nor\0this"', None),
        ('257 "no end', None),
    ],
)
def test_quoted_path_is_read(text: str, path: str | None) -> None:
    assert parse_path(reply(text)) == path


def test_text_of_a_reply_is_one_line() -> None:
    (told,) = read(b"550-first\r\n  second \r\n\r\n550 last\r\n")
    assert told.text == "550 first / second / last"


@pytest.mark.parametrize("end", ["\r", "\0"])
def test_path_that_no_command_can_hold_is_none(end: str) -> None:
    assert parse_path(Reply(257, (f'"/a{end}DELE b" is here',))) is None
