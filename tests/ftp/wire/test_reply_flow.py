"""Which reply answers which command is decided by tables alone: no socket, no clock, no event loop."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_mirror.ftp.wire.replies import Reply, parse_epsv
from async_mirror.ftp.wire.reply_flow import GREETING, PendingReply, ReplyFlow
from async_mirror.model.secret import Secret
from async_mirror.remote.errors import ConnectionBroken


class Met(NamedTuple):
    """What a flow made of an answer: the flow, what it was to answer, and what it raised."""

    flow: ReplyFlow[PendingReply]
    pending: list[PendingReply]
    raised: ConnectionBroken | None

    @property
    def codes(self) -> list[int | None]:
        return [each.outcome.code if isinstance(each.outcome, Reply) else None for each in self.pending]

    @property
    def texts(self) -> list[str]:
        return [each.take().text for each in self.pending]

    @property
    def end(self) -> str:
        return f"{type(self.raised).__name__}: {self.raised.told}" if self.raised else ""


def meet(commands: Sequence[str], *pieces: bytes, secret: str = "") -> Met:
    """Send commands, all before the first answer, and let the answer come in pieces."""
    flow = ReplyFlow[PendingReply](Secret(secret))
    pending = [PendingReply(command, length) for length, command in enumerate(commands, 6)]
    flow.expect(*pending)
    try:
        for piece in pieces:
            flow.feed(piece)
    except ConnectionBroken as broken:
        return Met(flow, pending, broken)
    return Met(flow, pending, None)


IN_ORDER: dict[str, tuple[str, bytes, list[int | None]]] = {
    "one": ("PWD", b'257 "/" is here\r\n', [257]),
    "several": ("USER PASS SYST", b"331 password?\r\n230 welcome\r\n215 UNIX\r\n", [331, 230, 215]),
    "not all yet": ("USER PASS SYST", b"331 password?\r\n230 welcome\r\n21", [331, 230, None]),
    "lines": ("PASS FEAT", b"230-a\r\n230-b\r\n230 c\r\n211-f\r\n 226 no end\r\n211 g\r\n", [230, 211]),
    "refusals": ("STOR SIZE EPSV", b"553 no\r\n550 none\r\n500 what\r\n", [553, 550, 500]),
    "a refusal before a success": ("STOR SIZE EPSV", b"451 disk\r\n213 5\r\n229 (|||5|)\r\n", [451, 213, 229]),
    "begun": ("STOR SIZE", b"150 go\r\n226 done\r\n213 5\r\n", [226, 213]),
    "begun and again": ("STOR", b"120 wait\r\n125 wait\r\n150 go\r\n250 done\r\n", [250]),
    "begun, which such a command never is": ("DELE RNFR", b"150 go\r\n250 gone\r\n350 to?\r\n", [250, 350]),
    "transfers as some end them": ("MLSD LIST MLSD", b"200 a\r\n226 b\r\n250 c\r\n", [200, 226, 250]),
    "NOOP after its transfer": ("STOR NOOP", b"150 go\r\n226 done\r\n200 hm\r\n", [226, 200]),
    "any success where nothing is known of it": ("MKD CWD SITE", b"200 a\r\n200 b\r\n214 c\r\n", [200, 200, 214]),
}


@pytest.mark.parametrize(("commands", "raw", "codes"), IN_ORDER.values(), ids=IN_ORDER)
def test_replies_go_to_the_commands_in_the_order_in_which_those_were_sent(
    commands: str, raw: bytes, codes: list[int | None]
) -> None:
    for pieces in ([raw], [raw[place : place + 1] for place in range(len(raw))]):
        met = meet(commands.split(), *pieces)
        assert (met.codes, met.end) == (codes, "")
        assert not met.flow.overtaken
        assert [each.command for each in met.flow.pending] == commands.split()[len(codes) - codes.count(None) :]
        assert met.flow.in_flight == sum(each.length for each in met.flow.pending)
        assert met.flow.is_quiet == (None not in codes)


def test_reply_tells_which_command_it_answers() -> None:
    met = meet(["RNFR", "RNTO"], b"350 to?\r\n250 done\r\n")
    assert [each.take().command for each in met.pending] == ["RNFR", "RNTO"]


def test_greeting_is_answered_before_all_commands_and_remembered() -> None:
    met = meet([GREETING, "USER"], b"120 soon\r\n220-the\r\n220 server\r\n331 password?\r\n")
    assert (met.codes, met.flow.greeting, met.end) == ([220, 331], "220 the / server", "")


@pytest.mark.parametrize("rest", [b"2", b"226-more\r\n", b"226-more\r\n226"])
def test_flow_is_not_quiet_while_a_reply_to_nothing_has_begun_to_come(rest: bytes) -> None:
    assert meet(["PWD"], b'257 "/"\r\n').flow.is_quiet
    met = meet(["PWD"], b'257 "/"\r\n' + rest)
    assert (met.flow.is_quiet, met.end) == (False, "")


def test_preliminary_reply_begins_the_oldest_command_and_ends_none() -> None:
    met = meet(["STOR", "SIZE"], b"150 go\r\n")
    assert [each.has_begun for each in met.pending] == [True, False]
    assert not any(each.has_ended for each in met.pending)
    assert not met.flow.is_quiet


OVERTAKING: dict[str, tuple[str, bytes, list[int | None]]] = {
    "a file": ("STOR NOOP", b"200 hm\r\n226 done\r\n", [226, 200]),
    "a file that was begun": ("STOR NOOP", b"150 go\r\n200 hm\r\n226 done\r\n", [226, 200]),
    "a file that is refused then": ("STOR NOOP", b"200 hm\r\n553 no\r\n", [553, 200]),
    "a listing": ("MLSD NOOP", b"150 go\r\n200 hm\r\n226 done\r\n", [226, 200]),
    "a file that does not end": ("STOR NOOP", b"200 hm\r\n", [None, 200]),
}


@pytest.mark.parametrize(("commands", "raw", "codes"), OVERTAKING.values(), ids=OVERTAKING)
def test_noop_that_overtakes_a_transfer_is_borne_and_noted(commands: str, raw: bytes, codes: list[int | None]) -> None:
    met = meet(commands.split(), raw)
    assert (met.codes, met.end, met.flow.overtaken) == (codes, "", True)
    assert met.flow.in_flight == sum(each.length for each in met.flow.pending)


ODD: dict[str, tuple[str, bytes, list[int | None], str]] = {
    "to nothing": ("", b"226 done\r\n", [], "unexpected reply from the server: 226 done"),
    "one too many": ("PWD", b'257 "/"\r\n257 "/"\r\n', [257], 'unexpected reply from the server: 257 "/"'),
    "begun, and nothing was sent": ("", b"150 go\r\n", [], "unexpected reply from the server: 150 go"),
    "the next one's": ("STOR SIZE", b"213 5\r\n", [None] * 2, "replies out of order after STOR: 213 5"),
    "the one's after that": (
        "STOR SIZE EPSV", b"226 ok\r\n229 (|||5|)\r\n", [226, None, None],
        "replies out of order after SIZE: 229 (|||5|)",
    ),
    "of a file to EPSV": ("EPSV", b"226 ok\r\n", [None], "replies out of order after EPSV: 226 ok"),
    "of PASV to EPSV": ("EPSV", b"227 (1,2)\r\n", [None], "replies out of order after EPSV: 227 (1,2)"),
    "of RNTO to RNFR": ("RNFR RNTO", b"250 ok\r\n", [None] * 2, "replies out of order after RNFR: 250 ok"),
    "of RNFR to SIZE": ("SIZE", b"350 to?\r\n", [None], "replies out of order after SIZE: 350 to?"),
    "of PWD to NOOP": ("NOOP PWD NOOP", b"200 a\r\n200 b\r\n257 c\r\n", [200, 200, None],
                       "replies out of order after NOOP: 257 c"),
    "200 to a file, and NOOP is not next": ("STOR SIZE NOOP", b"200 hm\r\n", [None] * 3,
                                            "replies out of order after STOR: 200 hm"),
    "200 to a file": ("STOR", b"200 hm\r\n", [None], "replies out of order after STOR: 200 hm"),
    "no reply": ("DELE", b"gone\r\n", [None], "the server's reply is not FTP: 'gone'"),
    "no reply behind one": ("DELE RMD", b"250 gone\r\n?\r\n", [250, None], "the server's reply is not FTP: '?'"),
    "no reply, to nothing": ("", b"\x1b[31m\r\n", [], "the server's reply is not FTP: '\\\\x1b[31m'"),
}  # fmt: skip


@pytest.mark.parametrize(("commands", "raw", "codes", "said"), ODD.values(), ids=ODD)
def test_answer_that_fits_no_command_is_a_conclusive_oddity(
    commands: str, raw: bytes, codes: list[int | None], said: str
) -> None:
    met = meet(commands.split(), raw + b"250 more\r\n" * 3)
    assert (met.codes, met.end) == (codes, f"OutOfStep: {said}")


FAREWELLS: dict[str, tuple[str, bytes, list[int | None], str]] = {
    "unasked": ("", b"421 Timeout.\r\n", [], "421 Timeout."),
    "in answer": ("RNFR RNTO", b"421 Timeout.\r\n", [421, None], "421 Timeout."),
    "in answer to a transfer": ("STOR SIZE", b"150 go\r\n421 No.\r\n", [421, None], "421 No."),
    "vsftpd's, unasked": ("", b"500 OOPS: child died\r\n", [], "500 OOPS: child died"),
    "vsftpd's, in answer": ("PASV", b"500 OOPS: priv_sock_get_int\r\n", [500], "500 OOPS: priv_sock_get_int"),
}


@pytest.mark.parametrize(("commands", "raw", "codes", "said"), FAREWELLS.values(), ids=FAREWELLS)
def test_farewell_ends_a_connection_and_is_no_conclusive_oddity(
    commands: str, raw: bytes, codes: list[int | None], said: str
) -> None:
    met = meet(commands.split(), raw + b"250 more\r\n")
    assert (met.codes, met.end) == (codes, f"ConnectionBroken: the server closed the connection: {said}")


@pytest.mark.parametrize("raw", [b"421 Too many.\r\n", b"500 OOPS: no\r\n"])
def test_greeting_that_turns_away_is_an_answer(raw: bytes) -> None:
    met = meet([GREETING], raw)
    assert (met.texts, met.end) == ([raw.decode().strip()], "")


def test_what_failed_is_told_to_all_that_is_pending() -> None:
    met = meet(["STOR", "SIZE", "EPSV"], b"150 go\r\n226 done\r\n")
    cut = ConnectionBroken("the server closed the connection")
    met.flow.fail(cut)
    assert met.codes == [226, None, None]
    assert met.pending[0].take().code == 226
    for each in met.pending[1:]:
        assert (each.has_ended, each.has_begun) == (True, True)
        with pytest.raises(ConnectionBroken) as caught:
            each.take()
        assert caught.value is cut
    assert not met.flow.pending


ANSWERS = st.sampled_from(
    [("STOR", 226), ("MLSD", 226), ("SIZE", 213), ("EPSV", 229), ("PASV", 227), ("RNFR", 350), ("RNTO", 250),
     ("NOOP", 200), ("MKD", 257), ("DELE", 250), ("SIZE", 550), ("STOR", 452), ("EPSV", 500)]
)  # fmt: skip


@given(st.lists(st.tuples(ANSWERS, st.integers(0, 2), st.booleans())), st.lists(st.integers(1, 40), max_size=30))
def test_honest_server_is_never_out_of_step(said: list[tuple[tuple[str, int], int, bool]], lengths: list[int]) -> None:
    raw = b""
    for number, ((_, code), preliminary, in_lines) in enumerate(said):
        raw += b"150 go\r\n" * preliminary + b"%d-more\r\n 226 no end\r\n" % code * in_lines
        raw += b"%d %d\r\n" % (code, number)
    pieces = []
    for length in lengths:
        pieces.append(raw[:length])
        raw = raw[length:]
    met = meet([command for (command, _), *_ in said], *pieces, raw)
    assert met.end == ""
    assert met.codes == [code for (_, code), *_ in said]
    assert [each.take().lines[-1] for each in met.pending] == [str(number) for number in range(len(said))]
    assert (met.flow.overtaken, met.flow.in_flight, met.flow.is_quiet) == (False, 0, True)


# Secrets.


def test_password_that_a_server_repeats_is_not_passed_on() -> None:
    raw = b"530-no such user\r\n530 or password (S3cret pass)\r\n550 S3cret pass: no such file\r\n"
    met = meet(["PASS", "STOR"], raw, secret="S3cret pass")
    assert met.texts == ["530 no such user / or password (***)", "550 ***: no such file"]


@pytest.mark.parametrize("code", [213, 226, 257, 350, 421, 450, 550])
def test_password_is_told_of_no_reply_whatever_its_code(code: int) -> None:
    told = meet(["DELE"], b"%d it is S3cret, I know\r\n" % code, secret="S3cret").pending[0].take()
    assert told.text == f"{code} it is ***, I know"
    assert told.lines == ("it is S3cret, I know",), "what it says still counts"
    assert "S3cret" not in repr(told)


def test_password_that_is_a_number_is_no_trouble_to_numbers() -> None:
    met = meet(["EPSV"], b"229 Entering Extended Passive Mode (|||12345|)\r\n", secret="1234")
    assert parse_epsv(met.pending[0].take()) == 12345


def test_password_of_a_few_letters_is_looked_for_at_the_login_alone() -> None:
    met = meet(["PASS", "DELE"], b"530 no is wrong\r\n550 no such file\r\n", secret="no")
    assert met.texts == ["530 *** is wrong", "550 no such file"]
    for commands, told in ((["PASS"], "'*** is ***ne'"), (["DELE"], "'no is none'")):
        broken = meet(commands, b"no is none\r\n", secret="no").raised
        assert broken is not None
        assert broken.reply == told


@pytest.mark.parametrize(
    ("commands", "raw", "told"),
    [
        ("", b"220 S3cret pass unasked\r\n", "unexpected reply from the server: 220 *** unasked"),
        ("", b"421 S3cret pass\r\n", "the server closed the connection: 421 ***"),
        ("", b"S3cret pass is no reply\r\n", "the server's reply is not FTP: '*** is no reply'"),
        ("PASS", b"PASS S3cret pass\r\n", "the server's reply is not FTP: 'PASS ***'"),
        (
            "PASS",
            b"x" * 75 + b" S3cret pass\r\n",
            "the server's reply is not FTP: '" + "x" * 75 + " ***'",
        ),
        ("EPSV", b"230 S3cret pass\r\n", "replies out of order after EPSV: 230 ***"),
        ("EPSV", b"500 EPSV?\r\n230 S3cret pass\r\n", "unexpected reply from the server: 230 ***"),
    ],
)
def test_password_is_not_told_where_the_connection_is_given_up(commands: str, raw: bytes, told: str) -> None:
    broken = meet(commands.split(), raw, secret="S3cret pass").raised
    assert broken is not None
    assert broken.told == told


# Bounds.


def test_no_reply_is_told_without_control_characters() -> None:
    broken = meet([], b"\x1b[31mboo\x07" * 100 + b"\r\n").raised
    assert broken is not None
    assert broken.told.isprintable()
    assert len(broken.told) < 500


def test_long_talk_leaves_nothing_behind() -> None:
    flow = ReplyFlow[PendingReply]()
    tracemalloc.start()
    for _ in range(1000):
        flow.expect(PendingReply("DELE", 10))
        flow.feed(b"250-" + b"x" * 1000 + b"\r\n250 gone\r\n")
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 100_000
    assert flow.is_quiet
