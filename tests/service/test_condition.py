"""How a mirror is: what is made of what its state says and what its process answers, and how that is worded."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import pytest

from async_mirror.service.condition import STILL_S, Condition, Kind, Live, Process, kind_of, live_of
from async_mirror.service.told import brief, headline, told
from async_mirror.ui.activity import PAUSED, Activity
from async_mirror.ui.health import Failing
from async_mirror.ui.last_pass import LastPass
from async_mirror.ui.summary import Counts

NOW = 1_800_000_000.0
IDLE = Live(
    pid=7,
    phase="resting",
    under_way_s=None,
    files_done=0,
    files_total=0,
    bytes_done=0,
    bytes_total=0,
    bytes_per_s=0.0,
    left_s=None,
    still_s=0.0,
    connections=0,
    failed=0,
    next_pass_in_s=600.0,
    last_pass_ago_s=120.0,
    trouble="",
)
BUSY = replace(
    IDLE,
    phase="publishing",
    under_way_s=30.0,
    files_done=3,
    files_total=10,
    bytes_done=1_000_000,
    bytes_total=4_000_000,
    bytes_per_s=100_000.0,
    left_s=30.0,
    next_pass_in_s=None,
    last_pass_ago_s=None,
)
LAST = LastPass(NOW - 120, 3.0, "mirrored", NOW - 7200, "uploaded 1 file", (), ())


def condition(**changes: Any) -> Condition:
    usual: dict[str, Any] = {
        "name": "shop",
        "resume": "`async-mirror resume shop`",
        "source": "/srv/shop",
        "destination": "ftpes://me@host/www",
        "state": "/state/shop.sqlite3",
        "is_known": True,
        "kind": Kind.IN_SYNC,
        "process": Process.RUNNING,
        "holder": "",
        "live": IDLE,
        "paused_since": None,
        "last": LAST,
        "failing": Failing(),
        "server": [],
    }
    return Condition(**usual | changes)


@pytest.mark.parametrize(
    ("live", "result", "paused", "kind"),
    [
        (None, None, False, Kind.NEW),
        (IDLE, None, False, Kind.STARTING),
        (replace(BUSY, files_total=0), None, False, Kind.STARTING),
        (BUSY, None, False, Kind.UPLOADING),
        (BUSY, "mirrored", False, Kind.UPLOADING),
        (BUSY, "connection", False, Kind.UPLOADING),
        (replace(BUSY, files_done=0, bytes_done=0), "connection", False, Kind.FAILING),
        (replace(BUSY, still_s=STILL_S), "mirrored", False, Kind.IN_SYNC),
        (replace(BUSY, files_total=0), "mirrored", False, Kind.IN_SYNC),
        (IDLE, "mirrored", False, Kind.IN_SYNC),
        (None, "mirrored", False, Kind.IN_SYNC),
        (IDLE, "partly", False, Kind.DEGRADED),
        (IDLE, "safety", False, Kind.STOPPED),
        (IDLE, "login", False, Kind.FAILING),
        (None, "interrupted", False, Kind.INTERRUPTED),
        (replace(IDLE, trouble="no room"), "mirrored", False, Kind.FAILING),
        (BUSY, "mirrored", True, Kind.PAUSED),
        (None, None, True, Kind.PAUSED),
    ],
)
def test_how_a_mirror_is_follows_from_what_is_known(
    live: Live | None, result: str | None, paused: bool, kind: Kind
) -> None:
    last = LAST._replace(result=result) if result else None
    assert kind_of(live, last, Failing(), paused=paused) is kind


def test_a_pass_over_a_few_folders_does_not_make_good_what_fails_in_others() -> None:
    assert kind_of(IDLE, LAST, Failing(1, {"a": NOW}), paused=False) is Kind.DEGRADED


def test_what_a_process_answers_reads_back_and_what_is_no_answer_is_none() -> None:
    assert Live.read(json.loads(json.dumps(asdict(BUSY)))) == BUSY
    assert Live.read({"pid": 1}) is None


def test_a_pass_that_is_under_way_tells_how_far_it_is() -> None:
    activity = Activity()
    activity.begin(100.0)
    for _ in range(4):
        activity.planned(1_000)
    activity.scanned = True
    activity.finished(1_000)
    activity.advanced(1, "a", 1_000)
    live = live_of(activity, Counts(), pid=1, still_s=0.0, now=110.0)
    assert (live.under_way_s, live.files_done, live.files_total, live.bytes_total) == (10.0, 1, 4, 4_000)
    activity.sample(110.0)
    later = live_of(activity, Counts(), pid=1, still_s=5.0, now=120.0)
    assert (later.still_s, later.next_pass_in_s, later.last_pass_ago_s) == (5.0, None, None)


def test_a_server_that_is_away_during_a_pass_is_told_with_why() -> None:
    activity = Activity()
    activity.begin(100.0)
    activity.planned(1_000)
    activity.retry(1, "connection refused", 115.0)
    live = live_of(activity, Counts(), pid=1, still_s=0.0, now=110.0)
    assert (live.phase, live.trouble) == ("unreachable", "connection refused")
    assert kind_of(live, LAST, Failing(), paused=False) is Kind.FAILING
    assert headline(condition(kind=Kind.FAILING, live=live), NOW) == "failing: connection refused"


def test_between_passes_it_tells_when_the_next_one_comes_and_the_last_one_ended() -> None:
    activity = Activity()
    activity.begin(100.0)
    activity.rest(1_000.0, "pass: nothing to do")
    live = live_of(activity, Counts(seconds=20.0), pid=1, still_s=9.0, now=400.0)
    assert (live.under_way_s, live.next_pass_in_s, live.last_pass_ago_s) == (None, 600.0, 280.0)
    assert live_of(activity, Counts(), pid=1, still_s=9.0, now=2_000.0).next_pass_in_s == 0.0
    activity.phase = PAUSED
    assert live_of(activity, Counts(), pid=1, still_s=9.0, now=400.0).next_pass_in_s is None


def test_a_clock_that_was_set_moves_no_time_of_a_mirror_that_runs() -> None:
    assert condition().last_ended(NOW + 86_400) == NOW + 86_400 - 120
    assert condition(live=None).last_ended(NOW + 86_400) == NOW - 120
    back = "\n".join(told(condition(live=None, process=Process.NONE), NOW - 86_400))
    assert "23h58m from now, by this machine's clock, took 3.0 s" in back


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "in sync"),
        (
            {"kind": Kind.UPLOADING, "live": BUSY},
            "uploading: 3 of 10 files, 1.0 MB of 4.0 MB, 100.0 KB/s, about 30 s left",
        ),
        (
            {"kind": Kind.UPLOADING, "live": replace(BUSY, left_s=None, bytes_per_s=0.0)},
            "uploading: 3 of 10 files, 1.0 MB of 4.0 MB, time left not known yet",
        ),
        ({"kind": Kind.DEGRADED, "failing": Failing(2, {"a": NOW})}, "degraded: 2 paths not mirrored"),
        (
            {"kind": Kind.FAILING, "last": LAST._replace(why=("no route\nto host",))},
            "failing for 2h: no route\\x0ato host",
        ),
        (
            {"kind": Kind.FAILING, "live": replace(IDLE, trouble="no room")},
            "failing: no room",
        ),
        ({"kind": Kind.STOPPED, "last": LAST._replace(why=("the source is empty",))}, "stopped for safety for 2h: the"),
        ({"kind": Kind.PAUSED, "paused_since": NOW - 60}, "paused for 1m: resume it with `async-mirror resume shop`"),
        ({"kind": Kind.PAUSED, "paused_since": NOW + 60}, "paused for 0.0 s"),
        ({"kind": Kind.STARTING}, "starting: the first pass is under way"),
        ({"kind": Kind.NEW, "last": None}, "never synced"),
    ],
)
def test_one_line_says_how_it_is(changes: dict[str, Any], line: str) -> None:
    assert headline(condition(**changes), NOW).startswith(line)
    assert next(told(condition(**changes), NOW)).startswith(f"shop: {line}")


def test_what_fails_is_named_with_why_and_for_how_long() -> None:
    failures = ({"path": "a", "problem": "was refused", "detail": "550 no"},)
    failing = Failing(12, {"b": NOW - 3600, "a": NOW - 60})
    lines = list(told(condition(kind=Kind.DEGRADED, failing=failing, last=LAST._replace(failures=failures)), NOW))
    assert lines[-3:] == [
        "  failing       b (for 1h)",
        "  failing       a  was refused: 550 no (for 1m)",
        "                and 10 more",
    ]


def test_what_was_learned_about_the_server_is_named_where_people_know_what_it_is() -> None:
    learned = {
        "has MFMT": 1,
        "lacks renaming over an existing file": 1,
        "lacks XSHA": 1,
        "lacks MLSD": 1,
        "lacks a long line": 1,
        "most connections": 1,
        "known 5e1f": 1,
        "removal by me": 3,
        "EPSV": 0,
        "rung 1": 1,
        "rung 2": 0,
        "PASV": 1,
        "one name for two: case": 1,
    }
    lines = list(told(condition(server=[("server", *each) for each in learned.items()]), NOW))
    at = next(index for index, line in enumerate(lines) if line.startswith("  server  "))
    assert [line[len("  server        ") :] for line in lines[at:]] == [
        "data connections with EPSV: no",
        "sets modification times with MFMT: yes",
        "renames over files: no",
        "connections allowed: 1",
        "ignores case in names: yes",
        "deletes folders with their content: yes",
        "accepts a data port asked for in advance: no",
        "does not know MLSD, XSHA",
    ]


def test_what_runs_and_what_does_not_is_said() -> None:
    def process(**changes: Any) -> str:
        return next(line for line in told(condition(**changes), NOW) if "  process" in line)

    assert process().endswith("running (pid 7)")
    assert process(live=None, process=Process.NONE).endswith("not running; this is from the state file")
    silent = process(live=None, process=Process.SILENT, holder="process 9 on box")
    assert silent.endswith("process 9 on box is running and does not answer; this is from the state file")


def test_the_json_has_the_same_keys_whatever_is_known() -> None:
    known = condition(live=BUSY, paused_since=NOW).as_json(NOW)
    unknown = condition(live=None, last=None, is_known=False, kind=Kind.NEW, process=Process.NONE).as_json(NOW)
    assert json.loads(json.dumps(known)).keys() == unknown.keys()
    assert (unknown["pass"], unknown["last_pass"], unknown["pid"]) == (None, None, None)
    assert condition(paused_since=1e300).as_json(NOW)["paused_since"] is None, "no calendar has that"


def test_one_line_tells_of_many_mirrors_in_short() -> None:
    assert brief({"": IDLE}) == "next pass in 10m"
    assert brief({}) == ""
    told = brief({"shop": replace(BUSY, bytes_total=0), "blog": replace(IDLE, failed=2)})
    assert told == "2 mirrors: shop: 3 of 10 files, 100.0 KB/s, about 30 s left; blog: next pass in 10m, 2 paths failed"
