"""Which mirror has which root of an account, by files that any process can see."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

import pytest

from async_mirror.state.database import StateError
from async_mirror.state.root_lock import RootLock

ACCOUNT = ("ftp.example.org", "ftp", "me")


def lock(folder: Path, name: str, account: tuple[str, ...] = ACCOUNT, *, holds: bool = True) -> RootLock:
    state = folder / f"{name}.sqlite3"
    state.touch()
    return RootLock(state, account, name, holds=holds)


@pytest.mark.parametrize(
    ("one", "other"), [("/www", "/www"), ("/www", "/www/"), ("//www//shop", "/www/shop"), ("/", "//")]
)
def test_one_root_has_one_mirror_however_it_is_spelled(tmp_path: Path, one: str, other: str) -> None:
    first, second = lock(tmp_path, "shop"), lock(tmp_path, "blog")
    assert first.claim(one) == ""
    assert second.claim(other).startswith(f"shop (process {os.getpid()} on ")
    assert first.claim(one) == ""
    first.close()
    assert second.claim(other) == ""


def test_another_account_has_roots_of_its_own(tmp_path: Path) -> None:
    first = lock(tmp_path, "shop")
    second = lock(tmp_path, "blog", ("ftp.example.org", "ftp", "you"))
    assert first.claim("/www") == second.claim("/www") == ""
    assert first.claim("/") == ""
    assert first.inner == {}


@pytest.mark.parametrize(("outer", "inner", "path"), [("/", "/www", "www"), ("/www", "/www/shop/x", "shop/x")])
def test_the_outer_one_knows_the_inner_also_when_that_has_ended(
    tmp_path: Path, outer: str, inner: str, path: str
) -> None:
    first, second = lock(tmp_path, "shop"), lock(tmp_path, "www")
    assert first.claim(inner) == second.claim(outer) == ""
    assert (first.inner, second.inner) == ({}, {path: "shop"})
    first.close()
    second.claim(outer)
    assert second.inner == {path: "shop"}
    (tmp_path / "shop.sqlite3").unlink()
    second.claim(outer)
    assert second.inner == {}


def test_a_folder_whose_name_begins_alike_is_not_inside(tmp_path: Path) -> None:
    first, second = lock(tmp_path, "shop"), lock(tmp_path, "www")
    assert first.claim("/www2") == second.claim("/www") == ""
    assert second.inner == {}


def test_a_dry_run_holds_nothing_and_knows_the_inner(tmp_path: Path) -> None:
    first, dry = lock(tmp_path, "shop"), lock(tmp_path, "www", holds=False)
    assert first.claim("/www/shop") == dry.claim("/www") == ""
    assert dry.inner == {"shop": "shop"}
    assert lock(tmp_path, "blog").claim("/www") == ""


@pytest.mark.parametrize("content", ["", "{", "[[1], 2, 3, 4, 5, 6]", json.dumps(["/www/x"] * 9), "\0" * 100])
def test_a_file_that_says_nothing_keeps_nobody_from_anything(tmp_path: Path, content: str) -> None:
    first, second = lock(tmp_path, "shop"), lock(tmp_path, "www")
    assert first.claim("/www/shop") == ""
    [file] = tmp_path.glob("root-*.lock")
    file.write_text(content)
    assert second.claim("/www") == ""
    assert second.inner == {}
    assert lock(tmp_path, "blog").claim("/www/shop") == "another mirror (another process)"


def test_two_names_of_one_host_are_one_site_once_it_was_reached(tmp_path: Path) -> None:
    first, second = lock(tmp_path, "shop"), lock(tmp_path, "blog", ("www.example.org", "ftp", "me"))
    assert first.claim("/www") == second.claim("/www") == ""
    assert first.claim("/www", "192.0.2.7") == ""
    for _ in range(2):
        assert second.claim("/www", "192.0.2.7").startswith(f"shop (process {os.getpid()} on ")
    second.close()
    assert second.claim("/www/shop", "192.0.2.7") == "", "it is another root"
    first.close()
    assert second.claim("/www", "192.0.2.7") == ""


def test_a_mirror_that_was_refused_a_place_keeps_the_first_one_from_nothing(tmp_path: Path) -> None:
    first, second = lock(tmp_path, "shop"), lock(tmp_path, "blog", ("www.example.org", "ftp", "me"))
    assert first.claim("/www", "192.0.2.7") == ""
    assert second.claim("/www", "192.0.2.7") != ""
    assert first.claim("/www", "192.0.2.8") == ""
    assert first.claim("/www", "192.0.2.7") == ""


def test_a_shorter_name_in_the_file_takes_the_place_of_a_longer_one(tmp_path: Path) -> None:
    longer = lock(tmp_path, "a-shop-with-a-long-name")
    assert longer.claim("/www") == ""
    longer.close()
    shorter = lock(tmp_path, "s")
    assert shorter.claim("/www") == ""
    assert lock(tmp_path, "blog").claim("/www").startswith("s (process ")


@pytest.mark.parametrize(
    ("account", "place"),
    [
        (("b.example.org", "ftp", "me"), "192.0.2.8"),
        (("b.example.org", "2121", "me"), "192.0.2.7"),
        (("b.example.org", "ftp", "you"), "192.0.2.7"),
    ],
)
def test_another_address_port_or_user_is_another_site(tmp_path: Path, account: tuple[str, ...], place: str) -> None:
    first, second = lock(tmp_path, "shop"), lock(tmp_path, "blog", account)
    assert first.claim("/", "192.0.2.7") == second.claim("/", place) == ""


def test_nested_roots_are_known_by_any_name_of_the_host_also_while_the_inner_begins_again(tmp_path: Path) -> None:
    inner, outer = lock(tmp_path, "shop"), lock(tmp_path, "www", ("www.example.org", "ftp", "me"))
    assert inner.claim("/www/shop", "192.0.2.7") == outer.claim("/www") == ""
    assert outer.inner == {}, "it is not known yet which server that is"
    assert outer.claim("/www", "192.0.2.7") == ""
    assert outer.inner == {"shop": "shop"}
    inner.close()
    assert lock(tmp_path, "shop").claim("/www/shop") == ""
    assert outer.claim("/www") == ""
    assert outer.inner == {"shop": "shop"}
    dry = lock(tmp_path, "www", ("ftp.example.net", "ftp", "me"), holds=False)
    dry.claim("/", "192.0.2.7")
    assert dry.inner == {"www/shop": "shop"}
    dry.claim("/", "192.0.2.8")
    assert dry.inner == {}


def test_a_process_that_is_stopped_in_its_turn_stops_no_other_and_is_named(tmp_path: Path) -> None:
    first, second = lock(tmp_path, "shop"), lock(tmp_path, "blog")
    assert first.claim("/www") == ""
    with (tmp_path / "roots.lock").open() as stopped:
        fcntl.flock(stopped, fcntl.LOCK_EX)
        with pytest.raises(StateError, match=f"locked by process {os.getpid()} on .*, which may be stopped"):
            second.claim("/blog")
    assert second.claim("/blog") == ""
