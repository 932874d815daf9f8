"""Failures are told with path, kind, detail and hint, and what others wrote in them harms no terminal and no log."""

import json
import logging
import re
from collections.abc import Iterator

import pytest

from async_mirror.crew.work import Setback
from async_mirror.model.change import SendFile
from async_mirror.model.entry import Entry, Kind
from async_mirror.model.outcome import Failure, Problem
from async_mirror.remote.errors import ConnectionBroken, ConnectionRefused, Refusal
from async_mirror.ui.log_output import JsonLines
from async_mirror.ui.report import SAME_PROBLEM_SHOWN, Report


class Heard(logging.Handler):
    """Keeps the records of the log."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def lines(self, event: str, least: int = logging.WARNING) -> list[str]:
        """Return what was told of an event, verb and all."""
        return [
            record.getMessage()
            for record in self.records
            if record.levelno >= least and getattr(record, "event", "") == event
        ]

    def objects(self, event: str) -> list[dict[str, object]]:
        """Return what the log in JSON says of an event."""
        found = [json.loads(JsonLines().format(record)) for record in self.records]
        return [each for each in found if each["event"] == event]


@pytest.fixture
def heard() -> Iterator[Heard]:
    log = logging.getLogger("async_mirror")
    handler = Heard()
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    yield handler
    log.removeHandler(handler)
    log.setLevel(level)


@pytest.fixture
def report() -> Report:
    report = Report()
    report.begin()
    return report


EVIL = "\x1b[2J\x07\r\nEVIL\u202e"
ESCAPED = r"\x1b[2J\x07\x0d\x0aEVIL\u202e"


def refused(path: str, reply: str = "550 Permission denied") -> Failure:
    return Failure(path, Problem.REFUSED, Refusal("the server answered STOR with", reply).told)


def test_failure_tells_path_problem_and_reply_with_its_code(heard: Heard, report: Report) -> None:
    report.failure(refused("pictures/a b.jpg"))
    assert heard.lines("failed") == [
        "failed    pictures/a b.jpg  refused by the server: the server answered STOR with: 550 Permission denied"
    ]


def test_path_and_reply_cannot_write_on_the_terminal(heard: Heard, report: Report) -> None:
    report.failure(refused(f"a{EVIL}b\udcff", f"550 no{EVIL}"))
    assert heard.lines("failed") == [
        rf"failed    a{ESCAPED}b\xff  refused by the server: the server answered STOR with: 550 no{ESCAPED}"
    ]
    report.again(refused(f"a{EVIL}b", f"450 wait{EVIL}"), 1.0, 0)
    report.outage.waiting(Setback(1, ConnectionRefused("host:21 has too many clients", f"421 full{EVIL}"), 1.0))
    report.trouble(f"the server closed the connection: 421 bye{EVIL}")
    report.note(f"the folder {EVIL} is gone")
    report.warn(f"others can read {EVIL}")
    for record in heard.records:
        assert not re.search("[\x00-\x1f\x7f\u202e]", record.getMessage()), record.getMessage()
        assert "EVIL" in record.getMessage() or getattr(record, "event", "") == "hint"


def test_repeated_failures_of_one_kind_are_folded(heard: Heard, report: Report) -> None:
    for number in range(SAME_PROBLEM_SHOWN + 214):
        report.failure(refused(f"file {number}"))
    report.failure(Failure("other", Problem.UNREADABLE, "Permission denied"))
    assert len(heard.lines("failed")) == SAME_PROBLEM_SHOWN + 1
    assert len(heard.lines("failed", logging.DEBUG)) == SAME_PROBLEM_SHOWN + 214 + 1
    report.end("partly", 1, None)
    assert heard.lines("failed")[SAME_PROBLEM_SHOWN + 1 :] == ["failed    and 214 more paths: refused by the server"]
    assert "; 235 failed (234 refused by the server, 1 cannot be read)" in heard.lines("pass")[0]


def test_as_many_failures_as_are_shown_are_not_folded(heard: Heard, report: Report) -> None:
    for number in range(SAME_PROBLEM_SHOWN):
        report.failure(refused(f"file {number}"))
    report.end("partly", 1, None)
    assert [line for line in heard.lines("failed") if "more path" in line] == []
    report.begin()
    for number in range(SAME_PROBLEM_SHOWN + 1):
        report.failure(refused(f"file {number}"))
    report.end("partly", 1, None)
    assert heard.lines("failed")[-1] == "failed    and 1 more path: refused by the server"


def test_paths_below_a_folder_that_was_refused_crowd_out_no_failure(heard: Heard, report: Report) -> None:
    report.scanned()
    report.failure(refused("folder"))
    for number in range(SAME_PROBLEM_SHOWN + 5):
        report.not_tried(SendFile(Entry(f"folder/{number}", Kind.FILE), None, "new"))
    report.failure(Failure("in the way", Problem.NOT_TRIED, "file/folder conflict on the site"))
    assert [line.split("  ")[2].strip() for line in heard.lines("failed")] == ["folder", "in the way"]
    report.end("partly", 1, None)
    assert heard.lines("failed")[2:] == []
    assert "2 failed, 25 not attempted" in heard.lines("pass")[0]


def test_advice_comes_once_for_each_kind_and_pass(heard: Heard, report: Report) -> None:
    for _ in range(2):
        heard.records.clear()
        report.begin()
        for number in range(30):
            report.failure(refused(f"file {number}"))
            report.failure(Failure(f"other {number}", Problem.BUSY))
        assert heard.lines("hint") == [
            f"hint      {Problem.REFUSED.advice}",
            f"hint      {Problem.BUSY.advice}",
        ]


def test_log_in_json_has_path_problem_and_detail_apart(heard: Heard, report: Report) -> None:
    report.failure(refused(f"a{EVIL}b", f"550 no{EVIL}"))
    (failure,) = heard.objects("failed")
    assert failure["level"] == "error"
    assert failure["path"] == f"a{ESCAPED}b"
    assert failure["problem"] == "refused by the server"
    assert failure["detail"] == f"the server answered STOR with: 550 no{ESCAPED}"
    assert failure["text"] == f"a{ESCAPED}b  refused by the server: the server answered STOR with: 550 no{ESCAPED}"
    (hint,) = heard.objects("hint")
    assert (hint["problem"], hint["level"]) == ("refused by the server", "error")
    report.trouble("no more")
    report.end("partly", 1, None)
    (ending,) = heard.objects("pass")
    assert ending["failures"] == {"refused by the server": 1}
    assert ending["first_failures"] == [
        {"path": failure["path"], "problem": failure["problem"], "detail": failure["detail"]}
    ]


def away(lane: int, lasted: float, *, alone: bool = True) -> Setback:
    return Setback(lane, ConnectionRefused("host:21 has too many clients", "421 Later"), 2.0, lasted, alone)


def test_a_server_that_goes_and_comes_back_is_told_in_two_lines(heard: Heard, report: Report) -> None:
    for lasted in (0.1, 1.2, 3.0):
        for lane in (1, 2, 3, 4):
            report.outage.waiting(away(lane, lasted))
    report.end("connection", 4, 10.0)
    report.begin()
    report.outage.waiting(away(1, 5.0))
    for lane in (1, 2):
        report.outage.opened(lane, is_open=True)
    (gone,) = heard.lines("warning")
    (back,) = heard.lines("note")
    assert gone.startswith(
        "warning   server unreachable: host:21 has too many clients: 421 Later; 4 connections retrying"
    )
    assert back.startswith("note      server reachable again after ")


def test_connections_that_are_lost_alike_are_told_once_a_pass(heard: Heard, report: Report) -> None:
    for _ in range(2):
        report.begin()
        for number in range(4):
            report.again(Failure(f"file {number}", Problem.CONNECTION, "the server closed the connection"), 0.5, 0)
        report.again(Failure("file 5", Problem.CONNECTION, "the server was silent for 60 s after STOR"), 0.5, 0)
    told = [line.partition("lost: ")[2] for line in heard.lines("note", logging.INFO)]
    assert (
        told
        == [
            "the server closed the connection; retrying in 0.5 s",
            "the server was silent for 60 s after STOR; retrying in 0.5 s",
        ]
        * 2
    )
    assert len(heard.lines("note", logging.DEBUG)) == 10


def test_a_connection_that_is_lost_and_opened_again_at_once_is_not_told(heard: Heard, report: Report) -> None:
    report.outage.opening(1)
    report.outage.waiting(away(1, 0.9))
    assert report.activity.state == "unreachable"
    report.outage.opened(1, is_open=True)
    assert heard.lines("warning") == heard.lines("note") == []
    assert not report.activity.retrying


def test_a_connection_that_cannot_be_opened_beside_others_is_no_server_that_is_away(
    heard: Heard, report: Report
) -> None:
    report.outage.waiting(away(1, 2.0, alone=False))
    assert heard.lines("warning") == []
    report.outage.waiting(away(1, 3.0, alone=False))
    assert heard.lines("warning")[0].startswith("warning   cannot open a connection: host:21 has too many clients")


def test_the_same_error_is_told_once_in_passes_that_follow_one_another(heard: Heard, report: Report) -> None:
    for number in range(3):
        report.begin()
        report.trouble("cannot connect to host:21", "check the host")
        report.end("connection", 4, 10.0)
        assert report.counts.trouble == "cannot connect to host:21", number
    assert heard.lines("error") == ["error     cannot connect to host:21"]
    assert heard.lines("hint") == ["hint      check the host"]
    report.begin()
    report.end("mirrored", 0, 10.0)
    report.begin()
    report.trouble("cannot connect to host:21")
    assert len(heard.lines("error")) == 2


def test_what_fails_is_shown_since_its_first_pass_until_one_is_good(report: Report) -> None:
    report.end("partly", 1, 10.0)
    first = report.activity.state
    assert first.startswith("failing since ")
    report._failing_since = "failing since then"
    report.begin()
    report.end("connection", 4, 10.0)
    assert report.activity.state == "failing since then"
    report.begin()
    report.end("mirrored", 0, 10.0)
    assert report.activity.state == "in sync"


def test_hostile_reply_does_not_fill_the_log() -> None:
    told = ConnectionBroken("unexpected reply from the server", "220 " + "x" * 4_000_000).told
    assert told.startswith("unexpected reply from the server: 220 xxx")
    assert len(told) < 2000


def halted(report: Report, text: str) -> None:
    """Have a pass stopped for safety."""
    report.begin()
    report.halt(text, "run once with more", "would be deleted: a")
    report.end("safety", 5, 60.0)


def test_what_stops_each_pass_is_told_whole_once_and_in_a_line_until_it_changes(heard: Heard, report: Report) -> None:
    halted(report, "1 of 1 files")
    assert heard.lines("error") == ["error     stopped for safety: 1 of 1 files"]
    assert heard.lines("hint") == ["hint      run once with more"]
    assert heard.lines("info", logging.INFO) == ["would be deleted: a"]
    for _ in range(2):
        heard.records.clear()
        halted(report, "1 of 1 files")
        (line,) = [record.getMessage() for record in heard.records if record.levelno > logging.DEBUG]
        assert line.startswith("still stopped for safety: 1 of 1 files; incomplete: ")
    heard.records.clear()
    halted(report, "2 of 2 files")
    assert heard.lines("error") == ["error     stopped for safety: 2 of 2 files"]
    assert len(heard.lines("hint")) == 1
    assert "still" not in heard.lines("pass")[0]
    report.begin()
    report.end("mirrored", 0, 60.0)
    heard.records.clear()
    halted(report, "2 of 2 files")
    assert len(heard.lines("error")) == 1, "it was lifted meanwhile"


def test_connections_that_were_opened_again_are_not_told_as_more_at_once(heard: Heard, report: Report) -> None:
    report.counts.connections, report.counts.at_once, report.counts.scanned = 20, 8, True
    report.end("mirrored", 0, None)
    (line,) = heard.lines("pass", logging.INFO)
    assert line.endswith(" over 8 connections")
