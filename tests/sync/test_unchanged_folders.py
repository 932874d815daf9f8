"""Folders that are in step are known by their fingerprint, and forgotten with the first thing that changes."""

import json
import os
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from servers import KeptServer
from support.law import sitecustomize as law
from support.program import MTIME, Node, Program, run_to_end, tree, write

from async_mirror.model.candidates import Candidates
from async_mirror.model.change import Job, Move, RemoveFile, SendFile
from async_mirror.model.entry import Entry, Kind, Listing, Tally
from async_mirror.model.outcome import Done, Pending
from async_mirror.model.plan import FolderPlan, plan_folder
from async_mirror.model.selection import Selection
from async_mirror.source.look import look
from async_mirror.source.scan import read_folder, walk
from async_mirror.state.opening import open_state
from async_mirror.state.store import State

ALL = Selection()
TALLY = Tally(2, 6, 1)


def file(path: str, size: int = 3) -> Entry:
    return Entry(path, Kind.FILE, size, 10, 0o644, 1, digest=b"known")


def folder(path: str) -> Entry:
    return Entry(path, Kind.FOLDER, mode=0o755, inode=5)


# What the state keeps.


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state/state.sqlite3"


@pytest.fixture
def state(path: Path) -> Iterator[State]:
    with open_state(path) as opened:
        opened.hold([folder("a"), file("a/1"), folder("a/b"), file("a/b/1"), folder("c"), file("c/1"), folder("new")])
        opened.note_in_step(Listing(each, fingerprint=b"f", known=TALLY) for each in ("", "a", "a/b", "c", "new"))
        yield opened


def in_step(state: State) -> set[str]:
    return {each for each in ("", "a", "a/b", "c", "new", "new/b") if state.in_step(each, b"f") == TALLY}


def commit(state: State, change: SendFile | RemoveFile | Move, held: Entry | None) -> None:
    job = Job(change, "t", 1)
    state.begin([job])
    state.commit([Done(job, change, held)], 0.0)


CHANGES: dict[str, tuple[Callable[[State], object], set[str]]] = {
    "nothing": (lambda state: state.learn(root="/"), set()),
    "held anew": (lambda state: state.hold([file("a/1")]), {"a"}),
    "held too": (lambda state: state.hold([file("a/2")]), {"a"}),
    "held otherwise": (lambda state: state.hold([file("c/1", 4), file("a/b/1", 4)]), {"a/b", "c"}),
    "sent": (lambda state: commit(state, SendFile(file("c/2"), None, "new"), file("c/2")), {"c"}),
    "removed": (lambda state: commit(state, RemoveFile(file("c/1"), "gone"), None), {"c"}),
    "dropped": (lambda state: state.drop(["a"]), {"", "a", "a/b"}),
    "dropped with nothing in it": (lambda state: state.drop(["new"]), {"", "new"}),
    "voided": (lambda state: state.void("a/b"), {"a", "a/b"}),
    "looked at": (
        lambda state: state.resolve(Pending("c/1", Candidates((None,)), file("c/1")), None, 0, again=False),
        {"c"},
    ),
    "moved": (lambda state: commit(state, Move(file("c/2"), file("a/1"), ""), file("c/2")), {"a", "c"}),
    "moved with all below it": (
        lambda state: commit(state, Move(folder("new"), folder("a"), "", inside=(("", b""),)), folder("new")),
        {"", "a", "a/b", "new"},
    ),
}


@pytest.mark.parametrize(("change", "changed"), CHANGES.values(), ids=CHANGES)
def test_folder_is_in_step_until_what_is_held_in_it_changes(
    state: State, change: Callable[[State], object], changed: set[str]
) -> None:
    assert in_step(state) == {"", "a", "a/b", "c", "new"}
    change(state)
    assert in_step(state) == {"", "a", "a/b", "c", "new"} - changed


def test_other_programs_that_change_what_is_held_have_it_forgotten_too(state: State, path: Path) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE held SET size = 7 WHERE folder = CAST('a' AS BLOB)")
        database.execute("UPDATE held SET folder = CAST('new' AS BLOB) WHERE folder = CAST('c' AS BLOB)")
    assert in_step(state) == {""}


def test_only_the_same_fingerprint_is_in_step(state: State) -> None:
    assert state.in_step("a", b"g") is None
    state.note_in_step([Listing("a", fingerprint=b"g", known=TALLY)])
    assert (state.in_step("a", b"g"), state.in_step("a", b"f")) == (TALLY, None)


def test_folder_of_more_bytes_than_can_be_counted_is_compared_each_time(state: State) -> None:
    much = Tally(2, 1 << 63, 0)
    state.note_in_step([Listing("a", fingerprint=b"g", known=much), Listing("c", fingerprint=b"g", known=TALLY)])
    assert (state.in_step("a", b"g"), state.in_step("c", b"g")) == (None, TALLY)


def test_nothing_is_in_step_by_other_rules(state: State, path: Path) -> None:
    state.keep_rules("these")
    assert in_step(state) == set(), "the rules were not known"
    state.note_in_step([Listing("a", fingerprint=b"f", known=TALLY)])
    state.close()
    with open_state(path) as again:
        again.keep_rules("these")
        assert in_step(again) == {"a"}
        again.keep_rules("others")
        assert in_step(again) == set()


def test_rules_are_the_same_text_in_every_process_and_tell_all_that_is_selected() -> None:
    some = Selection(3, frozenset({".a", ".b", ".c"}), ("x", "!y"))
    assert some.rules == "3 ['.a', '.b', '.c'] ('x', '!y')"
    others = [Selection(2, some.excluded_extensions, some.patterns), Selection(3, frozenset({".a"}), some.patterns)]
    assert len({each.rules for each in [some, *others, Selection(3, some.excluded_extensions, ("x",))]}) == 4


# What the scan tells.


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "source"
    write(root / "d/one", "1", MTIME)
    write(root / "d/two", "22", MTIME)
    (root / "d/below").mkdir()
    (root / "d/link").symlink_to("one")
    return root


def listed(source: Path, known: Tally | None = None) -> Listing:
    return read_folder(bytes(source), "d", ALL, lambda *_: known)


def test_known_folder_is_listed_without_its_files(source: Path) -> None:
    whole, known = listed(source), listed(source, TALLY)
    assert [entry.path for entry in known.entries] == ["d/below"]
    assert (known.others, known.links, known.complete) == (frozenset({"d/link"}), frozenset({"d/link"}), True)
    assert (whole.known, whole.tally, known.tally) == (None, Tally(2, 3, 0), TALLY)
    assert whole.fingerprint == known.fingerprint != b""


def change_places(d: Path) -> None:
    (d / "one").rename(d / "x")
    (d / "two").rename(d / "one")
    (d / "x").rename(d / "two")


def change_nothing_but_the_ctime(d: Path) -> None:
    before = (d / "one").stat()
    while (d / "one").stat().st_ctime_ns == before.st_ctime_ns:
        (d / "one").chmod(before.st_mode)


def make_a_folder_of_the_link(d: Path) -> None:
    (d / "link").unlink()
    (d / "link").mkdir()


def make_a_file_of_the_folder(d: Path) -> None:
    (d / "below").rmdir()
    write(d / "below", "", MTIME)


DIFFERENCES: dict[str, Callable[[Path], object]] = {
    "size": lambda d: write(d / "one", "longer", MTIME),
    "time": lambda d: write(d / "one", "1", MTIME + 1),
    "mode": lambda d: (d / "one").chmod(0o600),
    "ctime": change_nothing_but_the_ctime,
    "inode": lambda d: write(d / "x", "1", MTIME).rename(d / "one"),
    "one more": lambda d: write(d / "three", "", MTIME),
    "one less": lambda d: (d / "two").unlink(),
    "other name": lambda d: (d / "two").rename(d / "too"),
    "mode of a folder": lambda d: (d / "below").chmod(0o700),
    "changed places": change_places,
    "folder for a link": make_a_folder_of_the_link,
    "file for a folder": make_a_file_of_the_folder,
}


@pytest.mark.parametrize("change", DIFFERENCES.values(), ids=DIFFERENCES)
def test_whatever_differs_in_a_folder_gives_it_another_fingerprint(
    source: Path, change: Callable[[Path], object]
) -> None:
    before = listed(source).fingerprint
    assert listed(source).fingerprint == before
    change(source / "d")
    assert listed(source).fingerprint not in {before, b""}


def test_folder_that_cannot_be_read_whole_is_never_known(source: Path) -> None:
    (source / "d").rename(source / "e")
    (source / "d").symlink_to("e")
    gone = listed(source, TALLY)
    assert (gone.complete, gone.fingerprint, gone.known) == (False, b"", None)


NAMES = st.sampled_from(["a", "b", "b/a", "b/b", "c", "c/a"])
STEPS = st.lists(
    st.tuples(st.sampled_from(["write", "touch", "chmod", "remove", "hold", "drop", "void", "pass"]), NAMES),
    max_size=20,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_what_is_in_step_needs_nothing_whatever_happened_before(steps: list[tuple[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as name, open_state(Path(name) / "state/state.sqlite3") as state:
        source = Path(name) / "source"
        for each in ("b", "c"):
            (source / each).mkdir(parents=True)
        state.hold(entry for each in ("b", "c") if (entry := look(bytes(source), each)))
        for number, (step, path) in enumerate([*steps, ("pass", ""), ("pass", "")]):
            match step:
                case "write" if not (source / path).is_dir():
                    write(source / path, "x" * (number % 3), MTIME)
                case "touch" if (source / path).exists():
                    os.utime(source / path, (MTIME, MTIME + number))
                case "chmod" if (source / path).exists():
                    (source / path).chmod(0o700 + number)
                case "remove" if (source / path).is_file():
                    (source / path).unlink()
                case "hold":
                    state.hold(entry for entry in [look(bytes(source), path)] if entry)
                case "drop":
                    state.drop([path])
                case "void":
                    state.void(path)
                case "pass":
                    plan_all(bytes(source), state)


def plan_all(source: bytes, state: State) -> None:
    for listing in walk(source, ALL, "", state.in_step):
        whole = read_folder(source, listing.folder, ALL)
        plan = plan_folder(whole, state.held_in(listing.folder))
        if listing.known:
            assert (plan, listing.known) == (FolderPlan(), whole.tally)
        elif plan == FolderPlan():
            state.note_in_step([listing])


# What the program does.


@pytest.fixture
def program(kept_server: KeptServer, tmp_path: Path) -> Program:
    made = Program(tmp_path, kept_server("vsftpd"))
    for number in range(3):
        made.write(f"a/{number}", f"content {number}")
        made.write(f"b/deep/{number}.tmp", f"content {number}")
    (made.source / "a/link").symlink_to("0")
    return made


def without_links(nodes: dict[bytes, Node]) -> dict[bytes, Node]:
    return {path: node for path, node in nodes.items() if node.kind != "link"}


def told(program: Program, *options: str) -> dict[str, object]:
    """Run a pass and return what it tells of the source."""
    result = program.sync("--json", *options)
    assert result.code == 0, result.err
    [end] = [each for line in result.out.splitlines() if "source_files" in (each := json.loads(line))]
    return {name: end[name] for name in end if name.startswith(("source", "excluded", "links", "special", "uploaded"))}


def test_pass_over_what_is_in_step_tells_and_does_the_same(program: Program) -> None:
    first = told(program)
    assert (first["source_files"], first["links"], first["uploaded_files"]) == (6, 1, 6)
    unchanged = {**first, "uploaded_files": 0, "uploaded_bytes": 0}
    assert [told(program) for _ in range(3)] == [unchanged] * 3
    program.write("a/1", "other content")
    assert told(program)["uploaded_files"] == 1
    assert tree(program.site) == without_links(tree(program.source))
    assert told(program, "--exclude", "*.tmp")["excluded"] == 3
    program.write("b/deep/2.tmp", "content of another length")
    assert [told(program)["uploaded_files"] for _ in range(2)] == [1, 0]
    assert tree(program.site) == without_links(tree(program.source))


def test_files_that_the_site_lost_with_their_folder_are_sent_although_the_source_is_in_step(program: Program) -> None:
    told(program)
    told(program)
    for each in program.site.glob("b/deep/*"):
        each.unlink()
    (program.site / "b/deep").rmdir()
    program.write("b/deep/3.tmp", "one more")
    assert told(program)["uploaded_files"] == 4
    assert tree(program.site) == without_links(tree(program.source))


def test_folder_that_was_renamed_there_and_back_is_compared_with_what_is_held_in_it_now(program: Program) -> None:
    (program.source / "a/sub").mkdir()
    told(program)
    (program.source / "a").rename(program.source / "z")
    program.write("z/sub/file")
    told(program)
    (program.source / "z").rename(program.source / "a")
    (program.source / "a/sub/file").unlink()
    told(program)
    assert tree(program.site) == without_links(tree(program.source))


NOT_NEEDED = {
    "aiofiles",
    "logging.handlers",
    "multiprocessing.context",
    "async_mirror.ftp.session",
    "async_mirror.jobs.apply",
    "async_mirror.jobs.dry_run",
}
"""Large modules that only those need who connect, send, log to a file, or start processes."""


def test_a_pass_in_which_nothing_changed_imports_nothing_that_only_others_need(program: Program) -> None:
    program.write("folder/page", "content")
    assert program.sync().code == 0
    environment = {name: value for name, value in program.environment.items() if name not in law.environment()}
    command = [sys.executable, "-X", "importtime", "-m", "async_mirror", *map(str, program.arguments("--once"))]
    result = run_to_end(command, environment)
    assert result.code == 0
    assert "nothing to do" in result.err
    imported = {line.rpartition("|")[2].strip() for line in result.err.splitlines() if line.startswith("import time:")}
    assert "async_mirror.sync.one_pass" in imported
    assert imported & NOT_NEEDED == set()
