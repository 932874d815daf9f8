"""What one pass concludes from uploads that found no room on the site."""

from __future__ import annotations

from async_mirror.model.change import Job, SendFile
from async_mirror.model.entry import Entry, Kind
from async_mirror.model.outcome import Done, Failed, Failure, Outcome, Problem
from async_mirror.sync.room import Room


def upload(path: str, size: int = 5) -> SendFile:
    return SendFile(Entry(path, Kind.FILE, size), None, "new")


def done(path: str) -> Done:
    change = upload(path)
    return Done(Job(change, "t", 1), change, change.entry)


def full(path: str, size: int = 5) -> Failed:
    return Failed(Job(upload(path, size), "t", 1), Failure(path, Problem.NO_SPACE, "552"))


def local_error(path: str, said: str = "451 Failure writing.") -> Failed:
    failure = Failure(path, Problem.REFUSED, said, transient=True, perhaps_full=said)
    return Failed(Job(upload(path), "t", 1), failure)


def told(room: Room, *outcomes: Outcome) -> list[Outcome]:
    return [each for outcome in outcomes for each in room.settled(outcome)]


def test_three_files_without_room_and_no_success_between_stop_the_uploads() -> None:
    room = Room()
    assert told(room, full("a"), full("b")) == []
    assert not room.is_full
    told(room, full("c"))
    assert room.is_full
    assert not room.takes(upload("d"))
    room.wait(upload("d"))
    assert room.left() == ([full("a"), full("b"), full("c")], [upload("d")])


def test_file_that_finds_no_room_between_others_that_do_is_too_large_itself() -> None:
    room = Room()
    outcomes = [outcome for name in "abcd" for outcome in (full(name), done(f"small {name}"))]
    assert told(room, *outcomes) == outcomes
    assert not room.is_full
    assert room.left() == ([], [])


def test_a_single_failure_at_the_end_is_told_as_its_own() -> None:
    room = Room()
    told(room, done("a"), full("b"))
    assert room.left() == ([full("b")], [])


def test_the_same_local_error_in_three_folders_means_that_the_site_is_full() -> None:
    room = Room()
    for path in ("a/1", "a/2", "b/1", "b/2"):
        room.heard(local_error(path))
    assert not room.is_full
    room.heard(local_error("c/1"))
    assert room.is_full


def test_different_local_errors_and_those_with_a_success_between_mean_nothing() -> None:
    room = Room()
    for folder in "abcdef":
        room.heard(local_error(f"{folder}/1", f"451 Virus {folder}."))
    for folder in "abcdef":
        room.heard(local_error(f"{folder}/1"))
        told(room, done(f"{folder}/2"))
    assert not room.is_full


def test_what_is_tried_after_the_deletions_is_the_smallest_with_any_content() -> None:
    room = Room()
    told(room, full("a", 300), full("b", 20), full("c", 100))
    room.wait(upload("empty", 0))
    trial = room.try_one()
    assert trial == upload("b", 20)
    assert room.takes(upload("b", 20))
    assert not room.takes(upload("a", 300))


def test_one_success_lets_all_others_go_on_and_one_failure_ends_it() -> None:
    fits, does_not = Room(), Room()
    for room in (fits, does_not):
        told(room, full("a"), full("b"), full("c"))
        room.wait(upload("d"))
        assert room.try_one() == upload("a")
    assert told(fits, done("a")) == [done("a")]
    assert not fits.is_full
    assert fits.resumed() == [upload("b"), upload("c"), upload("d")]
    assert told(does_not, full("a")) == []
    assert does_not.is_sure
    tried, untried = does_not.left()
    assert {each.failure.path for each in tried} == {"a", "b", "c"}
    assert untried == [upload("d")]


def test_a_local_error_that_turned_out_to_mean_a_full_site_is_told_as_that() -> None:
    room = Room()
    for folder in "abc":
        room.heard(local_error(f"{folder}/1"))
    told(room, local_error("a/1"))
    ([failed], _) = room.left()
    assert failed.failure.problem is Problem.NO_SPACE
