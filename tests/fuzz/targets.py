"""What must hold of whatever a server sends, as functions of arbitrary bytes. Knows nothing of who makes them up."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from itertools import pairwise

from async_mirror.ftp.wire import figures, listing, replies
from async_mirror.ftp.wire.figures import UnreadableLineError
from async_mirror.ftp.wire.list_lines import parse_list
from async_mirror.ftp.wire.listing import ListingParser, parse_facts
from async_mirror.ftp.wire.replies import Reply, ReplyError, ReplyParser
from async_mirror.ftp.wire.reply_flow import GREETING, OutOfStep, PendingReply, ReplyFlow
from async_mirror.model import odd_names, paths
from async_mirror.model.entry import UNKNOWN, Entry
from async_mirror.model.secret import Secret
from async_mirror.remote.errors import ConnectionBroken
from async_mirror.remote.session import RemoteListing

SECRET = "hunter2"
LOGIN = ("USER", "PASS", "ACCT")
TRANSFERS = ("STOR", "MLSD", "LIST")
_SESSION = (GREETING, *LOGIN, "FEAT", "EPSV", "PASV", "STOR", "SIZE", "RNFR", "RNTO", "QUIT")
SCRIPTS = (
    *(_SESSION[place:] for place in range(len(_SESSION))),
    ("NOOP", "PWD", "NOOP"),
    ("STOR", "NOOP", "SIZE", "EPSV", "MFMT", "RNFR", "RNTO", "STOR", "SIZE", "EPSV"),
    ("MLSD", "NOOP", "LIST", "NOOP"),
    (),
)
_NOW = 1_781_524_800.0  # 15 June 2026
_FOLDERS = ("", "f", "a/b c")
_BEYOND = 2**63  # what the state cannot hold


def cuttings(data: bytes) -> Iterator[list[bytes]]:
    """Yield some ways in which a network may hand the bytes over; the same ones for the same bytes."""
    yield [data]
    if len(data) <= 200:
        yield [data[place : place + 1] for place in range(len(data))]
    chance = random.Random(zlib.crc32(data))
    places = sorted(chance.randint(0, len(data)) for _ in range(8))
    yield [data[start:end] for start, end in pairwise([0, *places, len(data)])]


# Replies.


def read_replies(data: bytes) -> None:
    """The same replies come of the same bytes, whatever the pieces; no byte is lost, and no bound exceeded."""
    first, *others = [_replies(pieces) for pieces in cuttings(data)]
    assert all(other == first for other in others), (first, others)
    read, error = first
    lines = [line for each in read for line in each.lines]
    sent = data.split(b"\n")
    for line, raw in zip(lines, sent, strict=False):
        whole = raw.removesuffix(b"\r")
        assert paths.encode(line) in {whole, whole[4:], _without_telnet(whole)[4:]}, (line, raw)
    longest, unread = max(map(len, sent)), b"\n".join(sent[len(lines) :])
    assert error or longest <= replies.LONGEST_LINE
    assert "endless line" not in error or longest > replies.LONGEST_LINE
    assert "endless reply" not in error or len(unread) >= replies.LONGEST_REPLY
    for each in read:
        assert 100 <= each.code <= 699
        assert sum(map(len, each.lines)) <= replies.LONGEST_REPLY


def _without_telnet(line: bytes) -> bytes:
    while line[:1] == b"\xff" and line[1:2] in {b"\xfb", b"\xfc", b"\xfd", b"\xfe"} and len(line) >= 3:
        line = line[3:]
    return line


def _replies(pieces: list[bytes]) -> tuple[list[Reply], str]:
    parser = ReplyParser()
    read: list[Reply] = []
    try:
        for piece in pieces:
            read.extend(parser.feed(piece))
    except ReplyError as error:
        return read, repr(error)
    return read, ""


def judge_lines(data: bytes) -> None:
    """What lines are taken for can be used as it is, and costs little, however long they are."""
    lines = tuple(line.removesuffix("\r") for line in paths.decode(data).split("\n"))
    for code in (211, 227, 229, 257, 550):
        _judge(Reply(code, lines))
    for line in lines:
        _assert_time(figures.parse_time(line.strip()))
        assert UNKNOWN <= figures.parse_size(line.strip()) < _BEYOND
        for read in (partial(parse_facts, itself=True), partial(parse_list, now=_NOW)):
            with suppress(UnreadableLineError):
                if (found := read(line.removeprefix(" "), "f")) and found[1]:
                    _assert_figures(found[1])


def _judge(told: Reply) -> None:
    assert told.text.startswith(str(told.code))
    assert "\n" not in told.text
    paths.encode(told.text)
    assert told.too_many in {True, False}
    assert told.no_space in {True, False}
    for port in (replies.parse_epsv(told), replies.parse_pasv(told)):
        assert port is None or 1 <= port <= 65535
    path = replies.parse_path(told)
    assert path is None or odd_names.refusal(path) is None, path  # it will stand in commands
    for feature in replies.parse_features(told):
        assert feature == feature.upper()
        assert " " not in feature


def _assert_figures(entry: Entry) -> None:
    assert 0 <= entry.size < _BEYOND
    assert UNKNOWN <= entry.mode <= 0o777
    _assert_time(entry.mtime_ns)


def _assert_time(mtime_ns: int) -> None:
    assert -_BEYOND <= mtime_ns < _BEYOND, mtime_ns


# Listings.


def read_mlsd(data: bytes) -> None:
    """What MLSD brings names nothing outside its folder, and no figure that cannot be kept."""
    _assert_listing(data, facts=True)


def read_list(data: bytes) -> None:
    """So it is with LIST."""
    _assert_listing(data, facts=False)


def _assert_listing(data: bytes, *, facts: bool) -> None:
    folder = _FOLDERS[len(data) % len(_FOLDERS)]
    found, *others = [_listing(pieces, folder, facts=facts) for pieces in cuttings(data)]
    assert all(other == found for other in others), (found, others)
    if found is None:
        return
    lines = data.split(b"\n")
    assert max(map(len, lines)) <= replies.LONGEST_LINE
    assert len(lines) - 1 <= listing.MOST_LINES
    for entry in found.entries:
        before, name = paths.split(entry.path)
        assert before == folder
        assert paths.is_one_component(name), name
        assert paths.encode(name) in data
        _assert_figures(entry)
    for name in found.others:
        assert paths.is_one_component(name), name
    for name in found.oddities:
        assert not paths.is_one_component(name), name
    assert len({entry.path for entry in found.entries}) == len(found.entries)
    assert sum(map(len, (found.entries, found.others, found.oddities, found.unreadable))) <= len(lines)
    assert found.exact is facts


def _listing(pieces: list[bytes], folder: str, *, facts: bool) -> RemoteListing | None:
    """Return what was read, or None for an endless one."""
    parser = ListingParser(folder, facts=facts, now=_NOW)
    for piece in pieces:
        parser.feed(piece)
    return None if parser.endless else parser.end()


# The flow of replies.


def match_replies(data: bytes) -> None:
    """Replies go to the commands in order, or the flow ends; no secret is told, and little is kept.

    The first byte says which of the scripts was sent before the first reply.
    """
    script = SCRIPTS[data[0] % len(SCRIPTS)] if data else SCRIPTS[0]
    first, *others = [_talk(script, pieces) for pieces in cuttings(data[1:])]
    assert all(other == first for other in others), (first, others)


def _talk(script: tuple[str, ...], pieces: list[bytes]) -> list[str]:
    """Return how it ended: for the flow and for each command."""
    flow = ReplyFlow[PendingReply](Secret(SECRET))
    pending = [PendingReply(command, length) for length, command in enumerate(script, 6)]
    flow.expect(*pending)
    raised = _raised(flow, pieces)
    final = [each for each in _replies(pieces)[0] if each.code >= 200]
    answered = [each.outcome for each in pending if isinstance(each.outcome, Reply)]
    assert [each.code for each in answered] == _in_order(script, [each.code for each in final[: len(answered)]])
    assert [each.command for each in answered] == [each.command for each in pending if each.has_ended]
    assert raised or len(answered) == len(final)
    assert list(flow.pending) == [each for each in pending if not each.has_ended]
    assert flow.in_flight == sum(each.length for each in flow.pending)
    for told in answered:
        assert SECRET not in told.text or (told.code < 400 and told.command not in LOGIN), told
    if raised is None:
        return ["", *(each.text for each in answered)]
    _assert_is_told(raised, final)
    flow.fail(raised)
    assert all(each.has_ended and each.has_begun for each in pending)
    return [type(raised).__name__, raised.told, *(each.text for each in answered)]


def _raised(flow: ReplyFlow[PendingReply], pieces: list[bytes]) -> ConnectionBroken | None:
    for piece in pieces:
        try:
            flow.feed(piece)
        except ConnectionBroken as broken:
            return broken
        rest, lines = len(flow._parser._rest), sum(map(len, flow._parser._lines))
        assert rest <= replies.LONGEST_LINE
        assert lines <= replies.LONGEST_REPLY
    return None


def _in_order(script: tuple[str, ...], codes: list[int]) -> list[int]:
    """Return the codes as the commands got them: the one disorder that is borne is a NOOP before its transfer."""
    for place, (transfer, behind) in enumerate(pairwise(script)):
        if transfer in TRANSFERS and behind == "NOOP" and codes[place : place + 1] == [200]:
            codes[place : place + 2] = codes[place : place + 2][::-1]
    return codes


def _assert_is_told(raised: ConnectionBroken, final: list[Reply]) -> None:
    assert SECRET not in raised.told
    farewell = any(each.is_farewell for each in final)
    assert isinstance(raised, OutOfStep) or farewell, raised


TARGETS = {target.__name__: target for target in (read_replies, judge_lines, read_mlsd, read_list, match_replies)}
