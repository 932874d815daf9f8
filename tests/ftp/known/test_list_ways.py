"""However a server takes LIST, its folders are shown in the end, and soon without asking twice."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatch

import pytest

from async_mirror.ftp.known.list_ways import Known, Shown, Way, best, learned, next_way, shown_by
from async_mirror.ftp.wire.listing import ListingParser

SITE = {
    "": [".htaccess", "a", "b", "empty", "a b", "no b", "[ab]"],
    "a": ["in a", ".a"],
    "b": ["in b"],
    "empty": [],
    "a b": ["in a b", ".hidden"],
    "no b": [],
    "[ab]": ["in brackets"],
}
"""What each folder holds; what is not a key is a file."""

Server = Callable[[str, str], list[str] | None]
"""Answers (the folder that one is in, the argument of LIST) with lines, or None for a refusal."""


def line(name: str) -> str:
    return f"{'d' if name in {*SITE, '.'} else '-'}rw-r--r-- 1 a b 5 Feb 29 2024 {name}"


def listed(folder: str, *, dots: bool) -> list[str]:
    return [line(name) for name in SITE[folder] if dots or not name.startswith(".")]


def of_ls(inside: str, argument: str) -> list[str] | None:
    """Answer as most servers do: `-a` shows names with dots, and the folder itself."""
    dots, path = argument.startswith("-a"), argument.removeprefix("-a").lstrip() or inside
    return None if path not in SITE else [line(".")] * dots + listed(path, dots=dots)


def without_dot(inside: str, argument: str) -> list[str] | None:
    return listed(argument.removeprefix("-a").lstrip() or inside, dots=True)


def option_is_a_name(inside: str, argument: str) -> list[str] | None:
    return [] if argument.startswith("-a") else of_ls(inside, argument)


def option_is_refused(inside: str, argument: str) -> list[str] | None:
    return None if argument.startswith("-a") else of_ls(inside, argument)


def option_is_a_missing_file(inside: str, argument: str) -> list[str] | None:
    if argument.startswith("-a"):
        return ["ls: -a: No such file or directory", *(of_ls(inside, argument[2:].strip()) or [])]
    return of_ls(inside, argument)


def divides_at_blanks(inside: str, argument: str) -> list[str] | None:
    """Answer as inetutils' ftpd does, which gives the argument to ls."""
    if " " not in argument.removeprefix("-a "):
        return of_ls(inside, argument)
    parts = argument.removeprefix("-a ").split()
    return [each for part in parts for each in (f"{part}:", *(of_ls(inside, f"-a {part}") or [f"ls: {part}: no"]))]


def takes_words_for_files(inside: str, argument: str) -> list[str] | None:
    parts = argument.removeprefix("-a ").split()
    return of_ls(inside, argument) if len(parts) < 2 else [line(part) for part in parts]


def takes_words_for_files_without_dot(inside: str, argument: str) -> list[str] | None:
    parts = argument.removeprefix("-a ").split()
    return without_dot(inside, argument) if len(parts) < 2 else [line(part) for part in parts]


def takes_patterns(inside: str, argument: str) -> list[str] | None:
    path = argument.removeprefix("-a").lstrip()
    matching = [name for name in SITE if path and fnmatch(name, path)]
    return (
        of_ls(inside, f"{argument[:2] if argument[:2] == '-a' else ''} {matching[0]}".lstrip())
        if matching
        else (of_ls(inside, argument))
    )


def takes_no_path(inside: str, argument: str) -> list[str] | None:
    return of_ls(inside, argument) if argument in {"", "-a"} else None


def takes_no_path_and_says_nothing(inside: str, argument: str) -> list[str] | None:
    return of_ls(inside, argument) if argument in {"", "-a"} else []


def takes_neither(inside: str, argument: str) -> list[str] | None:
    return of_ls(inside, argument) if argument == "" else []


SERVERS = [
    of_ls,
    without_dot,
    option_is_a_name,
    option_is_refused,
    option_is_a_missing_file,
    divides_at_blanks,
    takes_words_for_files,
    takes_words_for_files_without_dot,
    takes_patterns,
    takes_no_path,
    takes_no_path_and_says_nothing,
    takes_neither,
]
HIDING = {option_is_a_name, option_is_refused, option_is_a_missing_file, takes_neither}
"""Servers that show no names with dots, however they are asked."""


def ask(server: Server, path: str, known: Known) -> tuple[set[str], Known, int]:
    """Return the names that are found, what is known now, and how often was asked."""
    asked: list[tuple[Way, Shown]] = []
    found: list[set[str]] = []
    while way := next_way(path, asked, known):
        assert path or way.inside
        argument = way.command[5:] + ("" if way.inside else f" {path}")
        answer = server(path if way.inside else "", argument.strip())
        parser = ListingParser(path, facts=False, now=0.0)
        parser.feed("".join(f"{each}\r\n" for each in answer or []).encode())
        listing = parser.end()
        shown = Shown.REFUSED if answer is None else shown_by(listing, shows_itself=parser.shows_itself)
        asked.append((way, shown))
        found.append({entry.path.rpartition("/")[2] for entry in listing.entries})
    return found[best(path, asked)], learned(path, asked, known), len(asked)


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("order", [list(SITE), list(reversed(SITE)), ["empty", "a b", "", "[ab]", "b", "a"]])
def test_each_folder_is_shown_whatever_was_known_before(server: Server, order: list[str]) -> None:
    known = Known()
    for path in [*order, *order]:
        expected = {name for name in SITE[path] if server not in HIDING or not name.startswith(".")}
        found, known, times = ask(server, path, known)
        assert found == expected, (path, known)
        assert times <= 4


@pytest.mark.parametrize("server", SERVERS)
def test_what_is_known_of_a_server_makes_one_question_do(server: Server) -> None:
    known = Known()
    for path in SITE:
        _, known, _ = ask(server, path, known)
    for path in ("", "a", "b", "empty", "[ab]"):
        _, known, times = ask(server, path, known)
        assert times == 1, (path, known)
    assert ask(server, "a b", known)[2] <= 2


def test_server_that_divides_paths_at_blanks_is_asked_by_other_paths_all_the_same() -> None:
    assert ask(divides_at_blanks, "a b", Known())[1] == Known(option=True)


def test_server_that_shows_a_dot_is_asked_once_from_the_first() -> None:
    for path in ("", "a", "empty", "a b", "[ab]"):
        assert ask(of_ls, path, Known())[2] == 1


def test_root_is_asked_for_without_a_path_and_a_pattern_from_inside() -> None:
    assert next_way("", [], Known()) == Way(inside=True, all=True)
    assert next_way("a*", [], Known()) == Way(inside=True, all=True)
    assert next_way("a", [], Known()) == Way(inside=False, all=True)


@pytest.mark.parametrize("path", ["", "a", "a b"])
def test_no_way_is_asked_twice_and_all_refusals_teach_nothing(path: str) -> None:
    asked: list[tuple[Way, Shown]] = []
    while way := next_way(path, asked, Known()):
        asked.append((way, Shown.REFUSED))
    ways = [way for way, _ in asked]
    assert len(ways) == len(set(ways)) == (4 if path else 2)
    assert learned(path, asked, Known()) == Known()


def test_what_is_learned_elsewhere_meanwhile_leaves_the_other_ways_to_be_asked() -> None:
    asked = [(Way(inside=False, all=True), Shown.REFUSED)]
    assert next_way("a", asked, Known(option=True, path=False)) == Way(inside=True, all=True)


def test_file_that_is_listed_by_its_own_name_is_no_folder_for_sure() -> None:
    parser = ListingParser("x", facts=False, now=0.0)
    parser.feed(line("x").encode())
    assert shown_by(parser.end(), shows_itself=parser.shows_itself) is Shown.NAMES
