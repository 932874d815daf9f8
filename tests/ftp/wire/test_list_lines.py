"""LIST is read in every format that a server is known to write; no standard says what it shows."""

from __future__ import annotations

import calendar
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_mirror.ftp.wire.figures import UnreadableLineError, parse_date
from async_mirror.ftp.wire.list_lines import parse_list
from async_mirror.model.entry import UNKNOWN, Kind

NS = 1_000_000_000


def at(*moment: int) -> int:
    return calendar.timegm((*moment, 0, 0, 0)[:6]) * NS


NOW = calendar.timegm((2026, 6, 15, 12, 0, 0))
FEB_29 = at(2024, 2, 29)
MAR_2 = at(2026, 3, 2, 20, 14)


def of_file(line: str) -> tuple[str, int, int, int]:
    read = parse_list(line, "f", NOW)
    assert read is not None
    name, entry = read
    assert entry is not None
    assert (entry.path, entry.kind) == (f"f/{name}", Kind.FILE)
    return name, entry.size, entry.mtime_ns, entry.mode


def of_folder(line: str) -> tuple[str, int, int]:
    read = parse_list(line, "f", NOW)
    assert read is not None
    name, entry = read
    assert entry is not None
    assert (entry.path, entry.kind, entry.size) == (f"f/{name}", Kind.FOLDER, 0)
    return name, entry.mtime_ns, entry.mode


# Unix: what stands between rights and size.

OWNERS = (
    "1 anna     web             ",
    "1 1000     1000            ",
    "1 33 33 ",
    "12 10 12 ",
    "1 anna                     ",
    "1 ",
    "  anna web ",
    "12345678 anna web ",
    "1 anna     domain users    ",
    "1 FIRMA\\anna FIRMA\\domain users ",
    "1 Anna Maria Berg  web designers of the house ",
    "1 anna@firma.example  none+of+these ",
    "1 anna 4711 2 ",
    "1 anna Jan 12 ",
    "1 anna 2024-01 ",
    "1\tanna\tweb\t",
    "1 b\u00fcro \udce4rzte ",
)
DATES = (
    ("Feb 29  2024", FEB_29),
    ("29 Feb 2024", FEB_29),
    ("Mar  2 20:14", MAR_2),
    ("02 mar 20:14", MAR_2),
    ("2026-03-02 20:14", MAR_2),
    ("02-Mar-26 20:14", MAR_2),
)


@pytest.mark.parametrize(("date", "modified"), DATES)
@pytest.mark.parametrize("owner", OWNERS)
def test_owner_and_group_may_hold_blanks_or_be_left_out(owner: str, date: str, modified: int) -> None:
    for size in (0, 7, 28, 2004, 123_456_789_012):
        line = f"-rw-r----- {owner}{size} {date} my 5 Jan 01 2000 file"
        assert of_file(line) == ("my 5 Jan 01 2000 file", size, modified, 0o640)


words = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.@\\-]{0,12}[A-Za-z_$]( [A-Za-z_]{1,12}){0,2}", fullmatch=True)
users = st.lists(words | st.from_regex("[0-9]{1,6}", fullmatch=True), max_size=2).map(" ".join)
forms = ("%b %d %H:%M", "%b %d  %Y", "%d %b %Y", "%Y-%m-%d %H:%M", "%m/%d/%y %H:%M", "%d-%b-%y", "%b %d, %Y %H:%M")
moments = st.integers(NOW - 300 * 86400, NOW)


@given(users, st.integers(0, 10**12), moments, st.sampled_from(forms), st.text("ab1- :\u00e9", min_size=1))
def test_whoever_it_belongs_to_size_date_and_name_are_found(
    owner: str, size: int, moment: int, form: str, name: str
) -> None:
    date = time.strftime(form, time.gmtime(moment))
    expected = moment // 60 * 60 if "%M" in form else moment // 86400 * 86400
    line = f"-rw-r--r-- 1 {owner} {size} {date} {name}"
    read, (_, found, modified, _) = parse_list(line, "f", NOW), of_file(line)
    assert read is not None
    assert (found, modified) == (size, expected * NS)
    assert read[0] in {name, name.lstrip(" ")}


def test_size_that_is_glued_to_the_group_is_read() -> None:
    line = "-rw-r--r-- 1 administrator webdesigners1234567 Feb 29  2024 file"
    assert of_file(line) == ("file", 1_234_567, FEB_29, 0o644)


@pytest.mark.parametrize("mark", ["+", ".", "@", ""])
def test_marks_for_acl_selinux_and_attributes_say_nothing(mark: str) -> None:
    assert of_file(f"-rw-r-----{mark} 1 a b 5 Feb 29 2024 x") == ("x", 5, FEB_29, 0o640)
    assert of_folder(f"drwxr-x---{mark} 1 a b 5 Feb 29 2024 x") == ("x", FEB_29, 0o750)


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("lrwxrwxrwx 1 anna domain users 4 Mar  2 20:14 link -> to -> there", "link"),
        ("crw-rw-rw- 1 root root 1, 3 Mar  2 20:14 null", "null"),
        ("prw-rw-rw- 1 root root 0 2026-03-02 20:14 pipe -> x", "pipe -> x"),
        ("Drw-rw-rw- 1 root root 0 Mar  2 20:14 door", "door"),
        ("03-02-26  08:14PM       <JUNCTION>     Documents [C:\\Users\\all]", "Documents"),
        ("03-02-26  08:14PM       <SYMLINKD>     www [D:\\www]", "www"),
        ("+i77.1,m1709210096,\tneither", "neither"),
    ],
)
def test_links_and_devices_are_neither_file_nor_folder(line: str, name: str) -> None:
    assert parse_list(line, "f", NOW) == (name, None)


# Dates.


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        ("Feb 29  2024", FEB_29),
        ("FEB 29  2024", FEB_29),
        ("Febr. 29  2024", FEB_29),
        ("29 Feb  2024", FEB_29),
        ("29. Feb. 2024", FEB_29),
        ("Mar  2 20:14", MAR_2),
        ("March 2 20:14", MAR_2),
        ("2. Mar, 20:14", MAR_2),
        ("Mar  2 20:14:59", MAR_2 + 59 * NS),
        ("Mar  2 20:14:59 2023", at(2023, 3, 2, 20, 14, 59)),
        ("Oct 08, 2012 09:47", at(2012, 10, 8, 9, 47)),
        ("Oct  8, 2012 09:47:11", at(2012, 10, 8, 9, 47, 11)),
        ("Oct 08, 2012", at(2012, 10, 8)),
        ("2024-02-29", FEB_29),
        ("2024/02/29", FEB_29),
        ("2024.02.29 ", FEB_29),
        ("2024-02-29     ", FEB_29),
        ("2026-03-02 20:14", MAR_2),
        ("2026/03/02 20:14", MAR_2),
        ("2026-03-02 20:14:30.123456789 +0100", MAR_2 + 30 * NS),
        ("2026-03-02 20:14:30.123456789", MAR_2 + 30 * NS),
        ("03-02-2026 20:14", MAR_2),
        ("03/02/26 20:14", MAR_2),
        ("02.03.2026 20:14", MAR_2),
        ("29-02-2024", FEB_29),
        ("29/02/24", FEB_29),
        ("02-29-124", FEB_29),
        ("03-02 20:14", MAR_2),
        ("02-29 2024", FEB_29),
        ("3 2 20:14", MAR_2),
        ("2 29 2024", FEB_29),
        ("29-feb-24", FEB_29),
        ("01-jun-11", at(2011, 6, 1)),
        ("01-jun-99", at(1999, 6, 1)),
        ("1-Jun-2011 07:05", at(2011, 6, 1, 7, 5)),
        ("3\u6708  2 20:14", MAR_2),
        ("2\u6708 29\u65e5 2024\u5e74", FEB_29),
        ("2024\u5e74 2\u6708 29\u65e5", FEB_29),
        ("3\udc8c\udc8e 2\udc93\udcfa 20:14", MAR_2),
        # In other languages, and where there is no such day: the name is read all the same.
        ("M\u00e4rz  2 20:14", UNKNOWN),
        ("2 f\u00e9vr. 2024", UNKNOWN),
        ("2 f\udce9vr. 2024", UNKNOWN),
        ("13-13-13", UNKNOWN),
        ("2023-02-29 10:00", UNKNOWN),
        ("2026-03-02 24:00", UNKNOWN),
        ("2026-03-02 20:60", UNKNOWN),
    ],
)
def test_date_is_read_in_whatever_order_it_stands_and_the_name_begins_right_behind_it(date: str, expected: int) -> None:
    for name in ("x", "12 2024", "-1"):
        assert of_file(f"-rw-r--r-- 1 anna domain users 531 {date} {name}") == (name, 531, expected, 0o644)


@pytest.mark.parametrize("date", ["Mar  2 20:14", "Feb 29  2024", "Oct 08, 2012 09:47", "2024-02-29 09:47"])
def test_blanks_before_and_behind_a_name_belong_to_it(date: str) -> None:
    assert of_file(f"-rw-r--r-- 1 a b 5 {date}   two  blanks  ")[0] == "  two  blanks  "


@given(
    st.integers(calendar.timegm((2020, 1, 1, 0, 0, 0)), calendar.timegm((2032, 1, 1, 0, 0, 0))),
    st.integers(-86000, 8 * 365 * 86400),
    st.sampled_from(["%b %d %H:%M", "%d %b %H:%M", "%m-%d %H:%M:%S"]),
)
def test_date_without_a_year_is_the_latest_that_does_not_lie_a_day_ahead(now: int, age: int, form: str) -> None:
    text = time.strftime(form, time.gmtime(now - age))
    found = parse_date(text, now) // NS
    assert time.strftime(form, time.gmtime(found)) == text
    assert now - 8 * 366 * 86400 < found <= now + 86400
    assert found >= (now - age) // 60 * 60


# Other formats.


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("d [RWCEAFMS] admin                      512 Mar  2 20:14    web site", ("web site", MAR_2, UNKNOWN)),
        ("d[RWCEMFA] admin                        512 Feb 29  2024    web", ("web", FEB_29, UNKNOWN)),
        ("drwxr-xr-x               folder        2 Feb 29  2024 web site", ("web site", FEB_29, 0o755)),
        ("03-02-26  08:14PM       <DIR>          web site", ("web site", MAR_2, UNKNOWN)),
        ("03-02-2026  08:14PM       <DIR>          web", ("web", MAR_2, UNKNOWN)),
        ("2026-03-02  20:14    <DIR>     web", ("web", MAR_2, UNKNOWN)),
        ("02.03.2026  20:14    <DIR>          .web", (".web", MAR_2, UNKNOWN)),
        ("03-02-26  08:14PM       <DIR>            two blanks", ("  two blanks", MAR_2, UNKNOWN)),
        ("+i77.1,m1709210096,/,\tweb site", ("web site", at(2024, 2, 29, 12, 34, 56), UNKNOWN)),
        ("+/,up755\t web", (" web", UNKNOWN, 0o755)),
    ],
)
def test_folder_is_read_in_each_format(line: str, expected: tuple[str, int, int]) -> None:
    assert of_folder(line) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("- [R----F--] anna berg              214059 Mar  2 20:14    a b.exe", ("a b.exe", 214_059, MAR_2, UNKNOWN)),
        ("-[RWCEMFA] anna                     214059 Feb 29  2024    a", ("a", 214_059, FEB_29, UNKNOWN)),
        ("-------r--         326  1391972  1392298 Feb 29  2024 a b", ("a b", 1_392_298, FEB_29, 0o004)),
        ("03-02-26  08:14PM                    5 a b", ("a b", 5, MAR_2, UNKNOWN)),
        ("03-02-2026  08:14PM                    5  a", (" a", 5, MAR_2, UNKNOWN)),
        ("03/02/2026  08:14 pm            9,730,001 a", ("a", 9_730_001, MAR_2, UNKNOWN)),
        ("2026/03/02  20:14                9.730 a", ("a", 9_730, MAR_2, UNKNOWN)),
        ("02-29-24  12:00AM   0 a", ("a", 0, FEB_29, UNKNOWN)),
        ("02-29-24  12:34p 0 a", ("a", 0, at(2024, 2, 29, 12, 34), UNKNOWN)),
        ("02-29-24  12:34:56PM 0 a", ("a", 0, at(2024, 2, 29, 12, 34, 56), UNKNOWN)),
        ("02-29-24  13:34 12 34 56 a", ("34 56 a", 12, at(2024, 2, 29, 13, 34), UNKNOWN)),
        ("13-13-24  13:34 12 a", ("a", 12, UNKNOWN, UNKNOWN)),
        ("+i77.2,m1709210096,r,s280,up640\ta b", ("a b", 280, at(2024, 2, 29, 12, 34, 56), 0o640)),
        ("+s280,r,,x=y\ta\tb", ("a\tb", 280, UNKNOWN, UNKNOWN)),
        ("+r,s0,m9999999999999999999\ta", ("a", 0, UNKNOWN, UNKNOWN)),
    ],
)
def test_file_is_read_in_each_format(line: str, expected: tuple[str, int, int, int]) -> None:
    assert of_file(line) == expected


@pytest.mark.parametrize(
    "line", ["total 8", "Total 1.2M", "total: 8", "insgesamt 8", "\u603b\u7528\u91cf 8", "Total of 3 Files, 8 Blocks."]
)
def test_total_names_nothing(line: str) -> None:
    assert parse_list(line, "f", NOW) is None


@pytest.mark.parametrize(
    "line",
    [
        "",
        "web:",
        "total",
        "total wreck",
        "ls: web: No such file or directory",
        "03-02-26  08:14PM                    5",
        "03-02-26  08:14PM                    x a",
        "03-02-26  08:14PM       <DIR>",
        "-rw-r--r-- 1 anna web 33.5k Mar  2 20:14 a",
        "-rw-r--r-- 1 anna web -5 2024-02-29 a",
        "-rw-r--r-- 1 anna web 5 Mar  2 20:14",
        "-rw-r--r-- 1 anna web 5 a",
        "-rw-r--r-- 1 anna web 12345678901234567890 Mar  2 20:14 a",
        "-rw-r--r-- 1 anna web123456789012345678901 Mar  2 20:14 a",
        "-rw-r--r-- 1 anna web 1.5 Mar  2 20:14 a",
        "?rw-r--r-- 1 anna web 5 Mar  2 20:14 a",
        "-rw-r--r 1 anna web 5 Mar  2 20:14 a",
        "-rw-r--r-- 1 anna web \u0665 Mar  2 20:14 a",
        "+r,s1 a",
        "+r\ta",
        "+r,s-1\ta",
    ],
)
def test_line_that_is_not_known_for_sure_is_unreadable(line: str) -> None:
    with pytest.raises(UnreadableLineError):
        parse_list(line, "f", NOW)
