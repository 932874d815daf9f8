"""What one attempt at a file leaves behind is published by the next one only if it is a version that was there."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import pytest
from support.memory_site import MemoryFile, MemorySession, MemorySite
from support.program import MTIME, write

from async_mirror.jobs import apply
from async_mirror.jobs.attempt import Attempt, Publisher
from async_mirror.model.candidates import Candidates
from async_mirror.model.change import Job, MakeFolder, RemoveFolder, SendFile, SetAttributes, Shapes
from async_mirror.model.entry import Entry, Kind
from async_mirror.model.outcome import (
    OTHER_SPELLING,
    Done,
    Doubt,
    Failed,
    Failure,
    InDoubt,
    Left,
    Outcome,
    Problem,
    Skipped,
    Unmanaged,
)
from async_mirror.model.temporary_names import IN_PLACE
from async_mirror.remote.errors import CannotBeSent, ConnectionBroken, NoPort, Refusal
from async_mirror.remote.session import Content, Target
from async_mirror.source.look import look


class NoProgress:
    def left(self) -> None: ...
    def advanced(self, amount: int) -> None: ...
    async def may_do(self, amount: int) -> None: ...
    async def keep(self, what: Entry | Shapes) -> None: ...


class Noted(NoProgress):
    """Counts what is noted for good while jobs are done: each costs a transaction."""

    def __init__(self) -> None:
        self.what: list[Entry | Shapes] = []

    async def keep(self, what: Entry | Shapes) -> None:
        self.what.append(what)


def test_nothing_more_is_noted_for_a_thousand_quiet_files_and_one_version_for_each_that_changed_since_the_scan(
    tmp_path: Path,
) -> None:
    names = [f"f{number}" for number in range(1000)]
    for name in names:
        write(tmp_path / name, "old", MTIME)
    entries = [entry for name in names if (entry := look(bytes(tmp_path), name))]
    changed = names[::100]
    for name in changed:
        write(tmp_path / name, "newer", MTIME + 1)
    session, noted = MemorySession(MemorySite()), Noted()

    async def publish() -> None:
        publisher = Publisher(bytes(tmp_path), "0" * 8)
        for number, entry in enumerate(entries):
            job = Job(SendFile(entry, None, "new"), f"{number}", 4)
            assert isinstance(await apply.perform(publisher, session, job, None, noted), Done)

    asyncio.run(publish())
    assert len(entries) == 1000
    assert [each.path for each in noted.what] == changed
    assert all(isinstance(each, Entry) and each.size == len("newer") for each in noted.what)


class CutSession(MemorySession):
    """Ends once the file is there: at once, or at the next command; and then the source's file is another."""

    def __init__(self, site: MemorySite, source: Path, *, confirms: bool) -> None:
        super().__init__(site)
        self._source = source
        self._confirms = confirms

    async def store(self, path: str, content: Content, left: Callable[[], None], target: Target | None = None) -> int:
        size = await super().store(path, content, left, target)
        write(self._source / "file", "new", MTIME)
        if not self._confirms:
            raise ConnectionBroken("it was cut")
        return size

    async def remove_files(self, paths: Iterable[str]) -> None:
        raise ConnectionBroken("it was cut")


@pytest.mark.parametrize("confirms", [True, False])
def test_what_changed_while_it_was_sent_is_not_published_by_the_next_attempt(tmp_path: Path, confirms: bool) -> None:
    write(tmp_path / "file", "old", MTIME)
    site, publisher = MemorySite(), Publisher(bytes(tmp_path), "0" * 8)
    entry = look(bytes(tmp_path), "file")
    assert entry
    job = Job(SendFile(entry, None, "new"), "t", 4)

    async def perform(session: MemorySession, previous: Outcome | None) -> Outcome:
        return await apply.perform(publisher, session, job, previous, NoProgress())

    cut = asyncio.run(perform(CutSession(site, tmp_path, confirms=confirms), None))
    assert isinstance(cut, InDoubt)
    assert cut.left.temporary in site.files
    assert cut.left.holds is None
    assert "file" not in site.files
    done = asyncio.run(perform(MemorySession(site), cut))
    assert isinstance(done, Done)
    assert {path: file.content for path, file in site.files.items()} == {"file": b"new"}


class LateSession(MemorySession):
    """Is lost at the next upload: by a close of the server, or in silence."""

    def __init__(self, site: MemorySite, *, closes: bool) -> None:
        super().__init__(site)
        self._closes = closes

    async def store(self, path: str, content: Content, left: Callable[[], None], target: Target | None = None) -> int:
        self._site.put(path, b"n")
        raise ConnectionBroken("it was lost", by_server=self._closes)


def test_what_a_lost_session_may_still_do_is_looked_after_even_if_the_path_turns_out_to_be_of_others() -> None:
    job = Job(RemoveFolder(Entry("a", Kind.FOLDER), ""), "t", 4)
    lost = Attempt(Publisher(b"", "0" * 8), MemorySession(MemorySite()), job, None, NoProgress())
    previous = lost.broken(ConnectionBroken("it was cut"))
    outcome = Attempt(lost.publisher, lost.session, job, previous, NoProgress()).unmanaged("others have it")
    assert isinstance(outcome, Unmanaged)
    assert outcome.unanswered


def sent_in_place_after(closes: bool, folder: Path, timeout_seconds: float) -> tuple[Outcome, MemorySite]:
    """Send a file in place once over a session that is lost, and once more."""
    write(folder / "file", "new", MTIME)
    site = MemorySite(files={"file": MemoryFile(b"old", MTIME)})
    publisher = Publisher(bytes(folder), "0" * 8, in_place=True, timeout_seconds=timeout_seconds)
    entry = look(bytes(folder), "file")
    assert entry
    job = Job(SendFile(entry, entry._replace(digest=b"old"), "newer"), "t", 0, 1 | IN_PLACE)

    async def perform() -> Outcome:
        lost = await apply.perform(publisher, LateSession(site, closes=closes), job, None, NoProgress())
        assert isinstance(lost, InDoubt)
        assert lost.doubts[0].candidates.torn
        async with asyncio.timeout(10):
            return await apply.perform(publisher, MemorySession(site), job, lost, NoProgress())

    return asyncio.run(perform()), site


def test_what_the_server_has_closed_is_written_in_place_again_at_once(tmp_path: Path) -> None:
    done, site = sent_in_place_after(closes=True, folder=tmp_path, timeout_seconds=1e6)
    assert isinstance(done, Done)
    assert site.files["file"].content == b"new"


@pytest.mark.exhaustive
def test_what_a_lost_session_may_still_write_is_not_written_in_place_before_a_time_out(tmp_path: Path) -> None:
    with pytest.raises(TimeoutError):
        sent_in_place_after(closes=False, folder=tmp_path, timeout_seconds=1e6)
    done, _ = sent_in_place_after(closes=False, folder=tmp_path, timeout_seconds=0.01)
    assert isinstance(done, Done)
    assert done.unanswered


# One attempt.

FILE = Entry("d/a", Kind.FILE, 3, 5, 0o644)
SENT = Job(SendFile(FILE, None, "new"), "t", 4)
LEFT = Left("d/left", FILE, 2, 6, ("stray",), "box", unanswered=True, replaces=None)
FAILURE = Failure("d/a", Problem.CONNECTION, "it was cut", transient=True)
DOUBT = Doubt("d/a", Candidates((None, FILE)))
NOTHING = Left(shapes=SENT.shapes)


class Noting(NoProgress):
    """Keeps what is to be noted."""

    def __init__(self) -> None:
        self.kept: list[Entry | Shapes] = []

    async def keep(self, what: Entry | Shapes) -> None:
        self.kept.append(what)


def an_attempt(
    job: Job = SENT, previous: Outcome | None = None, site: MemorySite | None = None, shape: int | None = None
) -> Attempt:
    publisher = Publisher(b"", "0" * 8, shape=shape)
    return Attempt(publisher, MemorySession(site or MemorySite(folders={"": 0, "d": 0})), job, previous, Noting())


def test_an_attempt_goes_on_from_where_the_one_before_ended() -> None:
    first = an_attempt()
    assert first.is_first
    assert not first.is_in_doubt
    again = an_attempt(previous=InDoubt(SENT, FAILURE, (DOUBT,), left=LEFT))
    assert not again.is_first
    assert (
        again.temporaries.left_behind,
        again.temporaries.holds,
        again.temporaries.tries,
        again.temporaries.shapes,
    ) == ("d/left", FILE, 2, 7)
    assert (again.temporaries.strays, again.temporaries.box, again.unanswered, again.replaces) == (
        ("stray",),
        "box",
        True,
        None,
    )
    assert (again.doubts, again.failure) == ({"d/a": DOUBT.candidates}, FAILURE)


@pytest.mark.parametrize("previous", [Failed(SENT, FAILURE, left=LEFT), Done(SENT, SENT.change, FILE, doubts=(DOUBT,))])
def test_what_failed_leaves_something_for_the_next_attempt_and_no_doubts(previous: Outcome) -> None:
    again = an_attempt(previous=previous)
    assert not again.doubts
    assert again.temporaries.tries == (2 if isinstance(previous, Failed) else 0)
    assert again.failure == (FAILURE if isinstance(previous, Failed) else None)


@pytest.mark.parametrize("error", [Refusal("no"), ConnectionBroken("it was cut"), None])
def test_what_was_touched_is_in_doubt_unless_it_was_refused(error: Exception | None) -> None:
    attempt = an_attempt(previous=InDoubt(SENT, FAILURE, (DOUBT,)))
    newer, folder = FILE._replace(size=4), Entry("e", Kind.FOLDER)
    with suppress(Refusal, ConnectionBroken), attempt.touching(("d/a", FILE, newer), ("e", folder, None)):
        if error:
            raise error
    expected = {"d/a": DOUBT.candidates}
    if not isinstance(error, Refusal):
        expected = {"d/a": Candidates((None, FILE, newer)), "e": Candidates((folder, None))}
    assert attempt.doubts == expected
    attempt.confirm("e", None)
    assert attempt.doubts["e"] == Candidates((None,))


def test_what_is_done_tells_which_other_paths_are_in_doubt() -> None:
    attempt = an_attempt(previous=InDoubt(SENT, FAILURE, (DOUBT, Doubt("e", Candidates((None, FILE))))))
    attempt.confirm("f", None)
    done = attempt.done(FILE, "", "a note")
    assert done == Done(SENT, SENT.change, FILE, ("a note",), doubts=(Doubt("e", Candidates((None, FILE))),))


@pytest.mark.parametrize(
    "left", [Left("left"), Left(strays=("stray",)), Left(box="box"), Left(unanswered=True), Left(tries=2, shapes=3)]
)
def test_what_may_come_late_is_looked_after(left: Left) -> None:
    is_late = left._replace(tries=0, shapes=0) != Left()
    attempt = an_attempt(previous=Failed(SENT, FAILURE, left=left))
    assert attempt.is_in_doubt is is_late
    assert attempt.done(FILE).unanswered is is_late
    outcome = attempt.unmanaged("others have it")
    assert isinstance(outcome, Unmanaged)
    assert outcome.unanswered is is_late


def test_what_needs_nothing_is_skipped_unless_an_attempt_before_may_have_done_something() -> None:
    assert an_attempt().skipped("why") == Skipped(SENT, "why")
    assert an_attempt(previous=Failed(SENT, FAILURE)).skipped("why") == Skipped(SENT, "why")
    after = an_attempt(previous=InDoubt(SENT, FAILURE, (DOUBT,))).skipped("why")
    assert after == InDoubt(SENT, FAILURE._replace(transient=False), (DOUBT,), left=NOTHING)
    busy = an_attempt()
    busy.unanswered = True
    left = NOTHING._replace(unanswered=True)
    assert busy.skipped("why") == InDoubt(SENT, Failure("d/a", Problem.BUSY, "why"), (), left=left)


def test_what_fails_is_in_doubt_if_anything_is() -> None:
    failure = Failure("d/a", Problem.EXISTS, "others have it", transient=True)
    assert an_attempt().failed(Problem.EXISTS, "others have it", transient=True) == Failed(SENT, failure, left=NOTHING)
    in_doubt = an_attempt(previous=InDoubt(SENT, FAILURE, (DOUBT,), left=LEFT))
    found = in_doubt.failed(Problem.EXISTS, "others have it", missing="d")
    assert found == InDoubt(SENT, failure._replace(transient=False), (DOUBT,), "d", LEFT._replace(shapes=7))


@pytest.mark.parametrize(
    ("refusal", "problem", "transient"),
    [
        (Refusal("no", "550 No"), Problem.REFUSED, False),
        (Refusal("no", "450 No", transient=True), Problem.REFUSED, True),
        (Refusal("no", "452 No", transient=True, no_space=True), Problem.NO_SPACE, False),
        (CannotBeSent("too long"), Problem.UNSENDABLE, False),
    ],
)
def test_a_refusal_is_told_as_what_it_is(refusal: Refusal, problem: Problem, transient: bool) -> None:
    outcome = asyncio.run(an_attempt().refused(refusal))
    assert isinstance(outcome, Failed)
    assert outcome.failure == Failure("d/a", problem, refusal.told, transient)
    assert outcome.left == NOTHING


@pytest.mark.parametrize("transient", [True, False])
def test_after_a_refusal_the_temporary_is_removed_and_the_folder_looked_for(transient: bool) -> None:
    site = MemorySite(files={"left": MemoryFile(b"", 0)})
    attempt = an_attempt(previous=Failed(SENT, FAILURE, left=Left("left", FILE)), site=site)
    outcome = asyncio.run(attempt.refused(Refusal("no", transient=transient)))
    assert not site.files
    assert isinstance(outcome, Failed)
    assert outcome.missing == (None if transient else "d")
    assert outcome.left == NOTHING


def test_words_that_may_mean_a_full_site_are_told_without_the_names_of_the_file() -> None:
    attempt = an_attempt(previous=Failed(SENT, FAILURE, left=Left("d/.am-x.part")))
    reply = "451 /d/.am-x.part: cannot write .am-x.part in /d: code d"
    outcome = asyncio.run(attempt.refused(Refusal("no", reply, transient=True, perhaps_full=True)))
    assert isinstance(outcome, Failed)
    assert outcome.failure.perhaps_full == "451 /: cannot write  in /: code d"
    top = an_attempt(previous=Failed(SENT, FAILURE, left=Left("x.part")))
    outcome = asyncio.run(top.refused(Refusal("no", "451 /x.part", perhaps_full=True)))
    assert isinstance(outcome, Failed)
    assert outcome.failure.perhaps_full == "451 /"
    outcome = asyncio.run(an_attempt().refused(Refusal("no", "451 /x.part")))
    assert isinstance(outcome, Failed)
    assert outcome.failure.perhaps_full == ""


DEEP = Entry("d/e/f", Kind.FOLDER, mode=0o700)


@pytest.mark.parametrize(
    ("job", "folders", "missing"),
    [
        (Job(MakeFolder(DEEP, ""), "t", 1), ["d", "d/e"], None),
        (Job(MakeFolder(DEEP, ""), "t", 1), ["d"], "d/e"),
        (Job(MakeFolder(DEEP, ""), "t", 1), [], "d"),
        (Job(SetAttributes(DEEP, DEEP, ""), "t", 1), ["d", "d/e"], "d/e/f"),
        (Job(SetAttributes(DEEP, DEEP, ""), "t", 1), ["d", "d/e", "d/e/f"], None),
        (Job(SetAttributes(FILE, FILE, ""), "t", 1), ["d"], None),
    ],
)
def test_topmost_folder_that_is_not_there_is_missing(job: Job, folders: list[str], missing: str | None) -> None:
    site = MemorySite(folders=dict.fromkeys(["", *folders], 0))
    assert asyncio.run(an_attempt(job, site=site).missing_folder()) == missing


@pytest.mark.parametrize(
    ("there", "notes"), [("D", (OTHER_SPELLING,)), ("d", ()), ("d.", ())], ids=["otherwise", "so", "not at all"]
)
def test_folder_that_is_there_under_another_spelling_is_told(
    there: str, notes: tuple[str, ...], tmp_path: Path
) -> None:
    session = MemorySession(MemorySite(ignores_case=True, folders={"": 0, there: 0}))
    job = Job(MakeFolder(Entry("d", Kind.FOLDER), "new"), "t", 1)
    outcome = asyncio.run(apply.perform(Publisher(bytes(tmp_path), "0" * 8), session, job, None, NoProgress()))
    assert isinstance(outcome, Done)
    assert outcome.notes == notes


@pytest.mark.parametrize(("by_server", "before"), [(True, False), (False, False), (True, True)])
def test_what_was_sent_may_still_be_done_unless_the_server_ended_the_session(by_server: bool, before: bool) -> None:
    attempt = an_attempt(previous=Failed(SENT, FAILURE, left=Left(unanswered=before)))
    outcome = attempt.broken(NoPort("there is none", by_server=by_server))
    assert isinstance(outcome, InDoubt)
    assert outcome.left.unanswered is (before or not by_server)
    assert outcome.failure == Failure("d/a", Problem.NO_PORT, "there is none", transient=True)


# Temporaries.


def test_temporaries_are_numbered_and_none_has_the_name_of_another() -> None:
    attempt = an_attempt()
    names = [attempt.temporaries.next() for _ in range(SENT.tries)]
    assert names == [f"d/.am-00000000-t{number}.part" for number in range(4)]
    assert attempt.temporaries.latest == names[-1]
    assert attempt.temporaries.spare == names[0]
    others = [attempt.temporaries.aside(), attempt.temporaries.probe_box(1)]
    assert others == ["d/.am-00000000-to.part", "d/am-00000000-tp.part"]
    attempt.temporaries.tries = 1
    assert attempt.temporaries.spare == names[3]
    attempt.temporaries.tries = 3
    assert attempt.temporaries.spare == names[3]


@pytest.mark.parametrize(("chosen", "shapes"), [(None, [0, 1, 2, 3]), (2, [2])])
def test_shapes_are_tried_unless_one_was_chosen(chosen: int | None, shapes: list[int]) -> None:
    assert an_attempt(shape=chosen).temporaries.shapes_to_try == shapes
    assert an_attempt(site=MemorySite(shape=1), shape=chosen).temporaries.shapes_to_try == (
        [1, 0, 2, 3] if chosen is None else [2]
    )


def test_shape_is_noted_once_before_it_is_used() -> None:
    attempt = an_attempt()
    for bit in (1, 4, 4, 1):
        asyncio.run(attempt.temporaries.note(bit))
    assert isinstance(attempt.progress, Noting)
    assert attempt.progress.kept == [Shapes("d/a", 1 | 4)]
    assert attempt.temporaries.asides == ["d/.am-00000000-to.part", "d/am-00000000-to.tmp"]


def test_temporary_that_is_dropped_holds_nothing_any_more() -> None:
    site = MemorySite(files={"left": MemoryFile(b"", 0)})
    attempt = an_attempt(previous=Failed(SENT, FAILURE, left=Left("left", FILE)), site=site)
    asyncio.run(attempt.temporaries.drop())
    assert (attempt.temporaries.left_behind, attempt.temporaries.holds, site.files) == ("", None, {})
