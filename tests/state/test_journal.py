"""What is open stays open until it is known what came of it, with all that may be there, whoever is killed."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from async_mirror.model.candidates import MOST, Candidates, held_after
from async_mirror.model.change import Change, Job, MakeFolder, Move, RemoveFile, RemoveFolder, SendFile
from async_mirror.model.entry import UNKNOWN, Entry, Kind
from async_mirror.model.outcome import (
    Done,
    Doubt,
    Failed,
    Failure,
    InDoubt,
    Left,
    Outcome,
    Pending,
    Problem,
    Skipped,
    Unmanaged,
)
from async_mirror.model.temporary_names import IN_PLACE
from async_mirror.state.opening import open_state
from async_mirror.state.schema import LOOKED_AT_AGAIN_AFTER_S
from async_mirror.state.store import State

NOW = 1_000_000.0
LATER = int(NOW) + LOOKED_AT_AGAIN_AFTER_S


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    with open_state(tmp_path / "state/state.sqlite3") as opened:
        yield opened


def file(path: str, size: int = 3) -> Entry:
    return Entry(path, Kind.FILE, size, 10, 0o644, 7, digest=b"%d" % size, ctime_ns=11)


def folder(path: str) -> Entry:
    return Entry(path, Kind.FOLDER, mode=0o755, inode=5)


def job(change: Change, token: str = "t", tries: int = 2) -> Job:
    return Job(change, token, tries)


def send(path: str, size: int = 3, token: str = "t") -> Job:
    return job(SendFile(file(path, size), None, "new"), token)


def failure(path: str) -> Failure:
    return Failure(path, Problem.CONNECTION)


def in_doubt(of: Job, *versions: Entry | None, unanswered: bool = True) -> InDoubt:
    path = of.change.held.path if isinstance(of.change, RemoveFile | RemoveFolder) else of.change.entry.path
    doubt = Doubt(path, Candidates(versions))
    return InDoubt(of, failure(path), (doubt,), left=Left(unanswered=unanswered))


def versions(pending: Pending) -> set[Entry | None]:
    return set(pending.candidates.versions)


def rows(state: State, table: str = "pending") -> int:
    with state._database.reading() as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


# What may be at an open path.

BEGUN: dict[str, tuple[Change, dict[str, set[Entry | None]]]] = {
    "new file": (SendFile(file("n"), None, ""), {"n": {None, file("n")}}),
    "other version": (SendFile(file("a", 5), file("a"), ""), {"a": {file("a"), file("a", 5)}}),
    "removed file": (RemoveFile(file("a"), ""), {"a": {file("a"), None}}),
    "removed folder": (RemoveFolder(folder("d"), ""), {"d": {folder("d"), None}}),
    "renamed file": (Move(file("b"), file("a"), ""), {"a": {file("a"), None}, "b": {None, file("b")}}),
}


@pytest.mark.parametrize(("change", "expected"), BEGUN.values(), ids=BEGUN)
def test_path_of_a_begun_job_may_hold_what_it_held_and_what_the_job_leaves(
    state: State, change: Change, expected: dict[str, set[Entry | None]]
) -> None:
    state.hold([file("a"), folder("d")])
    state.begin([job(change)])
    assert {each.path: versions(each) for each in state.pending(NOW)} == expected
    assert not any(each.answered for each in state.pending(NOW))


def test_what_is_read_in_place_of_what_was_noted_is_one_candidate_more(state: State) -> None:
    state.begin([send("a", 3)])
    for _ in range(2):
        state.add_candidate("a", "t", file("a", 4))
    [pending] = state.pending(NOW)
    assert pending.candidates.versions == (None, file("a", 3), file("a", 4))


def test_more_candidates_than_are_told_apart_are_anything(state: State) -> None:
    state.begin([send("a", 0)])
    for size in range(1, MOST + 2):
        state.add_candidate("a", "t", file("a", size))
    [pending] = state.pending(NOW)
    assert pending.candidates == Candidates((), anything=True)
    assert rows(state, "candidates") == 0


def test_jobs_of_several_passes_that_left_a_path_open_are_looked_at_together(state: State) -> None:
    state.begin([send("a", 3, "s")])
    state.begin([send("a", 4, "t")])
    [pending] = state.pending(NOW)
    assert versions(pending) == {None, file("a", 3), file("a", 4)}
    assert len(pending.leftovers) == 4
    assert len(pending.asides) == 2
    assert set(pending.leftovers).isdisjoint(pending.asides)


def test_temporaries_are_looked_for_only_where_a_file_was_uploaded(state: State) -> None:
    state.hold([file("a")])
    state.begin([job(RemoveFile(file("a"), "")), job(MakeFolder(folder("d"), ""))])
    assert [(each.leftovers, each.asides) for each in state.pending(NOW)] == [((), ())] * 2


def test_both_paths_of_a_rename_in_case_alone_are_known_as_such(state: State) -> None:
    state.hold([folder("dir"), file("dir/f")])
    state.begin([job(Move(folder("DIR"), folder("dir"), "", twin=True))])
    new, old = state.pending(NOW)
    assert (new.path, new.twin, new.origin, len(new.inside)) == ("DIR", "dir", "dir", 1)
    assert (old.path, old.twin, old.origin, old.inside) == ("dir", "DIR", "", ())


# What came of a job.

BEFORE = file("a", 1)
CLOSED: dict[str, tuple[Outcome, Entry | None]] = {
    "uploaded": (Done(send("a"), send("a").change, file("a")), file("a")),
    "removed": (Done(job(RemoveFile(BEFORE, "")), RemoveFile(BEFORE, ""), None), None),
    "nothing to do": (Skipped(send("a"), ""), BEFORE),
    "failed": (Failed(send("a"), failure("a")), BEFORE),
    "not ours": (Unmanaged(send("a"), ""), None),
}


@pytest.mark.parametrize(("outcome", "held"), CLOSED.values(), ids=CLOSED)
def test_known_outcome_closes_the_path_and_says_what_is_held(
    state: State, outcome: Outcome, held: Entry | None
) -> None:
    state.hold([BEFORE])
    state.begin([outcome.job])
    state.add_candidate("a", "t", file("a", 9))
    state.commit([outcome], NOW)
    assert state.held("a") == held
    assert (rows(state), rows(state, "candidates")) == (0, 0)


def test_what_is_in_doubt_may_be_what_the_attempts_say_and_what_was_noted_meanwhile(state: State) -> None:
    state.hold([BEFORE])
    state.begin([send("a", 3)])
    state.add_candidate("a", "t", file("a", 4))
    state.commit([in_doubt(send("a", 3), None, file("a", 5))], NOW)
    [pending] = state.pending(NOW)
    assert versions(pending) == {BEFORE, None, file("a", 4), file("a", 5)}, (
        "what was noted before is told by the attempt"
    )
    assert state.held("a") == BEFORE


@pytest.mark.parametrize("unanswered", [True, False])
def test_path_in_doubt_says_whether_what_was_sent_may_still_be_done(state: State, unanswered: bool) -> None:
    state.begin([send("a")])
    state.commit([in_doubt(send("a"), file("a"), unanswered=unanswered)], NOW)
    assert [each.answered for each in state.pending(NOW)] == [not unanswered]


@pytest.mark.parametrize("unanswered", [False, True])
def test_confirmed_version_replaces_all_that_older_jobs_may_have_left_but_temporaries_and_what_may_still_be_done(
    state: State, unanswered: bool
) -> None:
    older = [job(RemoveFile(file("a"), ""), "r", tries=0), send("a", 3, "s")]
    state.begin(older)
    state.commit([in_doubt(each, file("a", 3), unanswered=unanswered) for each in older], NOW)
    state.begin([send("a", 4, "t")])
    state.commit([Done(send("a", 4, "t"), send("a", 4).change, file("a", 4))], NOW)
    assert state.held("a") == file("a", 4)
    [left] = state.pending(NOW)
    assert versions(left) == {file("a", 4)}
    assert (len(left.leftovers), len(left.asides), left.answered) == (2, 1, not unanswered)
    assert rows(state) == 1 + unanswered


def test_path_that_was_done_while_an_older_attempt_may_still_be_is_looked_at_five_minutes_later(state: State) -> None:
    done = send("a")
    state.begin([done])
    state.commit([Done(done, done.change, file("a"), unanswered=True)], NOW)
    assert (state.held("a"), state.pending(NOW), state.pending(LATER - 1)) == (file("a"), [], [])
    [pending] = state.pending(LATER)
    assert (pending.candidates.versions, pending.answered) == ((file("a"),), True)
    assert pending.leftovers


@pytest.mark.parametrize(
    ("moment", "is_due"),
    [
        pytest.param(0.0, False, id="at the start"),
        pytest.param(LOOKED_AT_AGAIN_AFTER_S - 1, False, id="in the first five minutes"),
        pytest.param(LOOKED_AT_AGAIN_AFTER_S, True, id="after five minutes"),
        pytest.param(NOW - 1, True, id="long after, at a time as when it was noted"),
        pytest.param(NOW, False, id="where it may be of this start"),
    ],
)
def test_later_look_is_due_when_the_machine_that_was_started_anew_runs_for_five_minutes(
    state: State, moment: float, *, is_due: bool
) -> None:
    done = send("a")
    state.begin([done])
    state.commit([Done(done, done.change, file("a"), unanswered=True)], NOW)
    assert [each.answered for each in state.pending(moment)] == [True] * is_due


def test_later_look_outlives_a_job_that_is_done_meanwhile(state: State) -> None:
    first, second = send("a", 3, "s"), send("a", 4, "t")
    state.begin([first])
    state.commit([Done(first, first.change, file("a"), unanswered=True)], NOW)
    state.begin([second])
    state.commit([Done(second, second.change, file("a", 4))], NOW)
    assert state.pending(NOW) == []
    [pending] = state.pending(LATER)
    assert pending.candidates.versions == (file("a", 4),)


def test_later_look_that_is_not_due_does_not_count_as_answered(state: State) -> None:
    first, second = send("a", 3, "s"), send("a", 4, "t")
    state.begin([first])
    state.commit([Done(first, first.change, file("a"), unanswered=True)], NOW)
    state.begin([second])
    state.commit([in_doubt(second, file("a", 4), unanswered=False)], NOW)
    assert [each.answered for each in state.pending(NOW)] == [False]
    assert [each.answered for each in state.pending(LATER)] == [True]


def test_move_that_became_an_upload_leaves_what_is_held_under_the_old_name(state: State) -> None:
    state.hold([file("a")])
    move = job(Move(file("b"), file("a"), ""))
    state.begin([move])
    state.commit([Done(move, SendFile(file("b"), None, "new"), file("b"))], NOW)
    assert (state.held("a"), state.held("b"), rows(state)) == (file("a"), file("b"), 0)


@pytest.mark.parametrize("unanswered", [True, False])
def test_move_that_became_an_upload_and_may_have_been_done_before_leaves_its_origin_in_doubt(
    state: State, unanswered: bool
) -> None:
    state.hold([file("a")])
    move = job(Move(file("b"), file("a"), ""))
    state.begin([move])
    doubts = (Doubt("a", Candidates((file("a"), None))),)
    done = Done(move, SendFile(file("b", 5), None, ""), file("b", 5), unanswered=unanswered, doubts=doubts)
    state.commit([done], NOW)
    [origin] = state.pending(NOW)
    assert (origin.path, versions(origin), origin.answered) == ("a", {file("a"), None}, not unanswered)
    assert [each.path for each in state.pending(LATER)] == (["a", "b"] if unanswered else ["a"])
    state.resolve(origin, None, NOW, again=False)
    assert state.held("a") is None
    assert state.held("b") == file("b", 5)


def test_each_job_that_may_have_tried_an_odd_name_may_have_left_its_box(state: State) -> None:
    state.begin([send("x ", token="one"), send("x ", token="two"), send("a", token="three")])
    odd = next(each for each in state.pending(NOW) if each.path == "x ")
    assert len(set(odd.boxes)) == 2
    assert not [box for each in state.pending(NOW) if each.path == "a" for box in each.boxes]


def test_doubt_about_a_path_that_the_job_did_not_note_is_kept_too(state: State) -> None:
    move = job(Move(folder("new"), folder("old"), "", inside=(("", b"1"),)))
    state.hold([folder("old")])
    state.begin([move])
    doubts = (Doubt("new", Candidates((None, folder("new")))), Doubt("old", Candidates((None,))))
    state.commit([InDoubt(move, failure("new"), doubts)], NOW)
    assert {each.path: versions(each) for each in state.pending(NOW)} == {
        "new": {None, folder("new")},
        "old": {folder("old"), None},
    }


def test_jobs_that_were_never_begun_leave_nothing_open(state: State) -> None:
    jobs = [send("a"), job(Move(file("c"), file("b"), ""))]
    state.begin(jobs)
    state.abandon(jobs)
    assert rows(state) == 0


# What was found.


def test_looked_at_path_is_closed_or_looked_at_once_more(state: State) -> None:
    state.begin([send("a")])
    [pending] = state.pending(NOW)
    state.resolve(pending, file("a"), NOW, again=True)
    assert (state.held("a"), state.pending(NOW), rows(state, "candidates")) == (file("a"), [], 0)
    [again] = state.pending(LATER)
    assert (again.candidates.versions, again.answered, again.leftovers) == ((file("a"),), True, pending.leftovers)
    state.resolve(again, None, LATER, again=False)
    assert (state.held("a"), rows(state)) == (None, 0)


ORDERS: dict[str, Callable[[list[Pending]], list[Pending]]] = {"new first": list, "old first": lambda them: them[::-1]}


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("moved", [True, False])
def test_all_below_a_folder_renamed_in_case_alone_follows_it_or_is_forgotten(
    state: State, order: Callable[[list[Pending]], list[Pending]], moved: bool
) -> None:
    state.hold([folder("dir"), folder("dir/sub"), file("dir/sub/f")])
    state.begin([job(Move(folder("DIR"), folder("dir"), "", twin=True))])
    for pending in order(state.pending(NOW)):
        state.resolve(
            pending,
            folder("DIR") if pending.path == "DIR" else None,
            NOW,
            again=False,
            moved=moved and pending.path == "DIR",
        )
    below = {"DIR/sub", "DIR/sub/f"} if moved else set()
    assert {entry.path for entry in state.held_below("")} == {"DIR", *below}
    assert rows(state) == 0


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_nothing_is_held_below_a_folder_of_which_neither_name_is_there_though_both_are_looked_at_once_more(
    state: State, order: Callable[[list[Pending]], list[Pending]]
) -> None:
    state.hold([folder("dir"), file("dir/f")])
    state.begin([job(Move(folder("DIR"), folder("dir"), "", twin=True))])
    for pending in order(state.pending(NOW)):
        state.resolve(pending, None, NOW, again=True)
    assert state.held_below("") == []
    assert len(state.pending(LATER)) == 2


def test_what_an_upload_in_place_of_a_rename_in_case_alone_may_have_replaced_is_not_known_any_more(
    state: State,
) -> None:
    state.hold([file("a")])
    rename = job(Move(file("A", 5), file("a"), "", twin=True))
    state.begin([rename])
    state.commit([Done(rename, SendFile(file("A", 5), None, "new"), file("A", 5))], NOW)
    held = {entry.path: (entry.size, entry.digest) for entry in state.held_below("")}
    assert held == {"A": (5, b"5"), "a": (UNKNOWN, b"")}
    assert rows(state) == 0


# What is written in place.


def in_place(change: Change) -> Job:
    return Job(change, "t", 0, 1 | IN_PLACE)


@pytest.mark.parametrize(
    ("change", "torn"),
    [
        (SendFile(file("a", 5), file("a"), ""), {"a"}),
        (Move(file("b"), file("a"), ""), {"b"}),
        (MakeFolder(folder("d"), ""), set()),
        (RemoveFile(file("a"), ""), set()),
    ],
)
def test_a_file_that_is_written_in_place_may_be_torn_until_it_is_looked_at_for_good(
    change: Change, torn: set[str], state: State
) -> None:
    state.hold([file("a")])
    state.begin([in_place(change)])
    pending = state.pending(NOW)
    assert {each.path for each in pending if each.candidates.torn} == torn
    assert {each.path for each in pending if each.may_be_written} == torn
    assert not any(each.leftovers for each in pending)
    for each in pending:
        state.resolve(each, each.held, NOW, again=True)
    assert state.pending(NOW) == []
    late = state.pending(LATER)
    assert {each.path for each in late if each.candidates.torn} == torn
    assert not any(each.may_be_written for each in late)


def test_a_confirmed_upload_in_place_leaves_nothing_open(state: State) -> None:
    sent = in_place(SendFile(file("a", 5), None, "new"))
    state.begin([sent])
    state.commit([Done(sent, sent.change, file("a", 5))], NOW)
    assert rows(state) == 0
    assert state.held("a") == file("a", 5)


def test_what_was_torn_is_held_as_a_file_of_no_known_version(state: State) -> None:
    sent = in_place(SendFile(file("a", 5), file("a"), "newer"))
    state.hold([file("a")])
    state.begin([sent])
    (pending,) = state.pending(NOW)
    left = held_after("a", pending.candidates, Entry("a", Kind.FILE, 2, 99), sets_times=True)
    assert left
    state.resolve(pending, left, NOW, again=False)
    held = state.held("a")
    assert held
    assert (held.size, held.digest) == (UNKNOWN, b"")


# Single rules.


def test_temporaries_may_have_any_shape_that_was_noted(state: State) -> None:
    state.begin([Job(SendFile(file("a"), None, ""), "t", 1, 1), send("b", token="u")])
    before = {each.path: each.leftovers for each in state.pending(NOW)}
    state.note_shapes("a", "t", 1 << 1)
    after = {each.path: each.leftovers for each in state.pending(NOW)}
    assert set(after["a"]) == {*before["a"], f"am-{state.id}-t0.part"}
    assert after["b"] == before["b"]


def test_renamed_file_is_held_with_what_the_site_showed_of_it(state: State) -> None:
    move = job(Move(file("b"), file("a"), ""))
    state.hold([file("a")])
    state.commit([Done(move, move.change, file("b")._replace(site_size=3, site_mtime_ns=9))], NOW)
    assert (state.held("a"), state.held("b")) == (None, file("b")._replace(site_size=3, site_mtime_ns=9))
    state.commit([Done(job(Move(file("c"), file("b"), "")), Move(file("c"), file("b"), ""), None)], NOW)
    assert (state.held("b"), state.held("c")) == (None, file("c"))


def test_path_beside_which_another_differs_in_case_alone_is_looked_at_by_its_name(state: State) -> None:
    state.hold([file("d/A")])
    state.begin([send("d/a", token="1"), send("d/b", token="2"), send("A", token="3"), send("a", token="4")])
    alike = {each.path: each.alike for each in state.pending(NOW)}
    assert alike == {"d/a": ("d/A",), "d/b": (), "A": ("a",), "a": ("A",)}


def test_folder_that_was_to_be_renamed_is_looked_at_with_what_was_in_it(state: State) -> None:
    state.hold([folder("o"), file("o/x"), folder("o/f"), file("o/f/y")])
    state.begin([job(Move(folder("n"), folder("o"), ""))])
    [pending] = state.pending(NOW)
    assert (pending.path, pending.origin, pending.candidates.versions) == ("n", "o", (None, folder("n")))
    assert [below for below, _ in pending.inside] == ["", "f"]
    state.drop(["o"])
    [pending] = state.pending(NOW)
    assert not pending.inside


def test_file_that_was_to_be_renamed_may_come_late_as_what_it_was(state: State) -> None:
    state.hold([file("a", 5)])
    state.begin([job(Move(file("b", 3), file("a", 3), ""))])
    by_path = {each.path: each for each in state.pending(NOW)}
    assert versions(by_path["b"]) == {None, file("b", 3), file("b", 5)}
    assert versions(by_path["a"]) == {file("a", 5), None}


def test_versions_that_stood_there_or_were_to_are_known_where_one_may_have_been_set_aside(state: State) -> None:
    state.begin([send("a", 3, token="1"), send("a", 4, token="2")])
    [pending] = state.pending(NOW)
    assert pending.earlier == (file("a", 3), file("a", 4))
    state.commit([in_doubt(send("a", 3, token="1")), in_doubt(send("a", 4, token="2"))], NOW)
    state.begin([job(RemoveFile(file("b"), ""))])
    assert {each.path: each.earlier for each in state.pending(NOW)}["b"] == ()


def test_path_that_is_of_others_and_has_nothing_late_is_closed(state: State) -> None:
    state.hold([file("a"), file("b")])
    jobs = [job(RemoveFile(file("a"), ""), "1"), job(RemoveFile(file("b"), ""), "2")]
    state.begin(jobs)
    state.commit([Unmanaged(jobs[0], "why"), Unmanaged(jobs[1], "why", unanswered=True)], NOW)
    assert (state.held("a"), state.held("b")) == (None, None)
    assert state.open_paths() == {"b"}
    assert state.pending(NOW) == []
    assert [each.path for each in state.pending(LATER)] == ["b"]


def test_folder_that_came_from_its_origin_takes_all_below_along(state: State) -> None:
    for known in (True, False):
        state.hold([folder("o"), file("o/x")])
        state.begin([job(Move(folder("n"), folder("o"), ""), f"t{known}")])
        [pending] = state.pending(NOW)
        state.resolve(pending, folder("n"), NOW, again=False, moved=True, known=known)
        held = state.held("n/x")
        assert held
        assert (held.size, held.digest) == (UNKNOWN, b"3" if known else b"")
        assert state.held("o") is None
        assert state.held("o/x") is None
        state.drop(["n"])
