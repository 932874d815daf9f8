"""Two names of the source that a site takes for one: one of them is mirrored, the other is told of, pass after pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faults.scripted import ScriptedServer
from support.mirror import Mirror, answer_at_once, assert_mirrored, contents, temporaries_of, tree_of

from async_mirror.model.entry import Entry, Kind, Listing
from async_mirror.model.plan import plan_folder

DOUBLE = "same name as another file for this server"
Serve = Callable[..., ScriptedServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    made: list[ScriptedServer] = []

    def make(*, folds: bool = True, without: frozenset[str] = frozenset()) -> ScriptedServer:
        server = ScriptedServer(case_insensitive=folds, without=without)
        answer_at_once(server)
        made.append(server)
        return server

    yield make
    for server in made:
        server.close()


@pytest.mark.parametrize("without", [(), ("MLSD", "MLST")], ids=["MLST", "LIST"])
@pytest.mark.parametrize(
    ("first", "second"), [("README.md", "readme.md"), ("cafe\u0301", "caf\u00e9")], ids=["case", "form"]
)
def test_one_of_two_files_is_mirrored_and_the_other_told_of_in_each_pass(
    first: str, second: str, without: tuple[str, ...], serve: Serve, tmp_path: Path
) -> None:
    server = serve(without=frozenset(without))
    mirror = Mirror(tmp_path, server.port)
    mirror.write(first, "the long one")
    mirror.write(second, "short")
    mirror.write("other", "content")
    for again in (False, True, True):
        before = server.connections
        ran = mirror.run()
        assert ran.code == 1, ran.said
        assert f"{second}  {DOUBLE}: the other one is {first}" in ran.said
        assert contents(tree_of(server)) == {first.encode(): b"the long one", b"other": b"content"}
        assert not again or server.connections == before, "it was found out already"
    assert not temporaries_of(server)


def test_both_are_mirrored_where_the_site_tells_them_apart(serve: Serve, tmp_path: Path) -> None:
    server = serve(folds=False)
    mirror = Mirror(tmp_path, server.port)
    for name in ("README", "readme", "Docs/a", "docs/a", "docs/b", "DOCS"):
        mirror.write(name, name)
    assert_mirrored(mirror, server)


def test_one_of_two_folders_is_mirrored_with_nothing_of_the_other(serve: Serve, tmp_path: Path) -> None:
    server = serve()
    mirror = Mirror(tmp_path, server.port)
    for name in ("Docs/a", "Docs/b", "docs/b", "docs/c/d"):
        mirror.write(name, name)
    for _ in range(2):
        ran = mirror.run()
        assert ran.code == 1, ran.said
        assert f"docs  {DOUBLE}: the other one is Docs" in ran.said
        assert contents(tree_of(server)) == {b"Docs/a": b"Docs/a", b"Docs/b": b"Docs/b"}


def test_what_the_site_holds_goes_first(serve: Serve, tmp_path: Path) -> None:
    server = serve()
    mirror = Mirror(tmp_path, server.port)
    mirror.write("readme", "first")
    assert mirror.run().code == 0
    mirror.write("README", "second")
    ran = mirror.run()
    assert f"README  {DOUBLE}: the other one is readme" in ran.said
    assert contents(tree_of(server)) == {b"readme": b"first"}


def test_the_other_one_takes_the_place_of_one_that_is_gone(serve: Serve, tmp_path: Path) -> None:
    server = serve()
    mirror = Mirror(tmp_path, server.port)
    mirror.write("README", "first")
    mirror.write("readme", "second")
    assert mirror.run().code == 1
    (mirror.source / "README").unlink()
    ran = mirror.run()
    assert ran.code == 0, ran.said
    assert contents(tree_of(server)) == {b"readme": b"second"}


def test_no_name_is_a_double_of_what_is_in_another_folder_or_of_itself() -> None:
    entries = tuple(Entry(f"folder/{name}", Kind.FILE, 1) for name in ("a", "b", "B", "c"))
    plan = plan_folder(Listing("folder", entries), [])
    assert [(change.entry.path, change.double) for change in plan.doubles] == [("folder/b", "folder/B")]
    held = [entries[1]._replace(mode=entries[1].mode)]
    plan = plan_folder(Listing("folder", entries), held)
    assert [(change.entry.path, change.double) for change in plan.doubles] == [("folder/B", "folder/b")]
