"""Listings are read as the servers write them; nothing that a server lists can surprise the reader."""

from __future__ import annotations

import calendar
import time

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from async_mirror.ftp.wire.figures import UnreadableLineError, format_time, parse_size, parse_time
from async_mirror.ftp.wire.list_lines import parse_list
from async_mirror.ftp.wire.listing import LONGEST_LISTING, MOST_LINES, ListingParser, parse_facts
from async_mirror.ftp.wire.replies import LONGEST_LINE
from async_mirror.model import paths
from async_mirror.model.entry import UNKNOWN, Entry, Kind
from async_mirror.remote.session import RemoteListing

NS = 1_000_000_000
LARGEST_SIZE = 2**63 - 1  # what the state, SQLite, can hold


def at(*moment: int) -> int:
    return calendar.timegm((*moment, 0, 0, 0)[:6]) * NS


def at_noon(*day: int) -> float:
    return calendar.timegm((*day, 12, 0, 0))


NOW = at_noon(2026, 6, 15)


def file(path: str, size: int, mtime_ns: int = UNKNOWN, mode: int = UNKNOWN) -> Entry:
    return Entry(path, Kind.FILE, size, mtime_ns, mode)


def folder(path: str, mtime_ns: int = UNKNOWN, mode: int = UNKNOWN) -> Entry:
    return Entry(path, Kind.FOLDER, 0, mtime_ns, mode)


def parse_listing(raw: bytes, under: str, *, facts: bool, now: float, cut: bool = False) -> RemoteListing:
    parser = ListingParser(under, facts=facts, now=now)
    parser.feed(raw)
    return parser.end(cut=cut)


def read_mlsd(raw: bytes, under: str = "") -> RemoteListing:
    return parse_listing(raw, under, facts=True, now=NOW)


def read_list(raw: bytes, under: str = "", now: float = NOW) -> RemoteListing:
    return parse_listing(raw, under, facts=False, now=now)


# Whole listings, as the servers sent them.

PROFTPD_MLSD = (
    b"modify=20261122201439;perm=flcdmpe;type=cdir;unique=FE00U20E0E6;UNIX.group=2121;UNIX.groupname=tester;"
    b"UNIX.mode=0755;UNIX.owner=2121;UNIX.ownername=tester; .\r\n"
    b"modify=20240229123456;perm=adfrw;size=5;type=file;unique=FE00U20E164;UNIX.group=2121;UNIX.groupname=tester;"
    b"UNIX.mode=0640;UNIX.owner=2121;UNIX.ownername=tester; file\r\n"
    b"modify=20261122201439;perm=flcdmpe;type=pdir;unique=FE00U20E0E6;UNIX.group=2121;UNIX.groupname=tester;"
    b"UNIX.mode=0755;UNIX.owner=2121;UNIX.ownername=tester; ..\r\n"
    b"modify=20261122201440;perm=flcdmpe;type=dir;unique=FE00U20E0E7;UNIX.group=2121;UNIX.groupname=tester;"
    b"UNIX.mode=0755;UNIX.owner=2121;UNIX.ownername=tester; folder\r\n"
    b"modify=20261122201440;perm=adfrw;size=4;type=OS.unix=symlink;unique=FE00U20E0E8;UNIX.mode=0777; link\r\n"
)
PURE_FTPD_MLSD = (
    b"type=cdir;sizd=4096;modify=20261122201439;UNIX.mode=0755;UNIX.uid=2121;UNIX.gid=2121;unique=fe00g20e084; .\r\n"
    b"type=pdir;sizd=4096;modify=20261122201439;UNIX.mode=0755;UNIX.uid=2121;UNIX.gid=2121;unique=fe00g20e084; ..\r\n"
    b"type=file;size=5;modify=20240229123456;UNIX.mode=0640;UNIX.uid=2121;UNIX.gid=2121;unique=fe00g20e090; file\r\n"
    b"type=dir;sizd=4096;modify=20261122201440;UNIX.mode=0755;UNIX.uid=2121;UNIX.gid=2121;unique=fe00g20e1; folder\r\n"
)
PYFTPDLIB_MLSD = (
    b"type=file;size=5;perm=radfwMT;modify=20240229123456;unique=fe0020e090;unix.mode=0640; file\r\n"
    b"type=dir;size=4096;perm=elcdmpMT;modify=20261122201440;unique=fe0020e091;unix.mode=0755; folder\r\n"
)
AIOFTP_MLSD = (
    b"Size=5;Create=20261122201520;Modify=20240229123456;Type=file; file\r\n"
    b"Size=4096;Create=20261122201520;Modify=20261122201440;Type=dir; folder\r\n"
)


@pytest.mark.parametrize(
    ("raw", "file_mode", "folder_mode", "others"),
    [
        (PROFTPD_MLSD, 0o640, 0o755, ("link",)),
        (PURE_FTPD_MLSD, 0o640, 0o755, ()),
        (PYFTPDLIB_MLSD, 0o640, 0o755, ()),
        (AIOFTP_MLSD, UNKNOWN, UNKNOWN, ()),
    ],
    ids=["proftpd", "pure-ftpd", "pyftpdlib", "aioftp"],
)
@pytest.mark.parametrize("under", ["", "some/where"])
def test_mlsd_of_each_server_is_read(
    raw: bytes, file_mode: int, folder_mode: int, others: tuple[str, ...], under: str
) -> None:
    listing = read_mlsd(raw, under)
    assert set(listing.entries) == {
        file(paths.join(under, "file"), 5, at(2024, 2, 29, 12, 34, 56), file_mode),
        folder(paths.join(under, "folder"), at(2026, 11, 22, 20, 14, 40), folder_mode),
    }
    assert (listing.exact, listing.cut, listing.others, listing.oddities) == (True, False, others, ())


VSFTPD_LIST = (
    b"drwxr-xr-x    3 2121     2121         4096 Mar 02 20:14 .\r\n"
    b"drwxr-xr-x    3 2121     2121         4096 Mar 02 20:14 ..\r\n"
    b"-rw-r-----    1 2121     2121            5 Feb 29  2024 file\r\n"
    b"drwxr-xr-x    2 2121     2121         4096 Mar 02 20:14 folder\r\n"
    b"lrwxrwxrwx    1 2121     2121            4 Mar 02 20:14 link -> file\r\n"
)
PROFTPD_LIST = (
    b"drwxr-xr-x   2 tester   tester       4096 Mar  2 20:14 .\r\n"
    b"-rw-r-----   1 tester   tester          5 Feb 29  2024 file\r\n"
    b"drwxr-xr-x   2 tester   tester       4096 Mar  2 20:14 folder\r\n"
)
PYFTPDLIB_LIST = (
    b"-rw-r-----   1 tester   tester          5 Feb 29  2024 file\r\n"
    b"drwxr-xr-x   2 tester   tester       4096 Mar 02 20:14 folder\r\n"
)
AIOFTP_LIST = (
    b"-rw-r----- 1 none none 5 Feb 29  2024 file\r\n"
    b"drwxr-xr-x 2 none none 4096 Mar  2 20:14 folder\r\n"
)  # fmt: skip
GROUPLESS_LIST = b"total 8\r\n-rw-r-----+ 1 owner 5 Feb 29 2024 file\r\ndrwxr-xr-x. 2 owner 4096 Mar 2 20:14 folder\r\n"


@pytest.mark.parametrize(
    ("raw", "others"),
    [
        (VSFTPD_LIST, ("link",)),
        (PROFTPD_LIST, ()),
        (PYFTPDLIB_LIST, ()),
        (AIOFTP_LIST, ()),
        (GROUPLESS_LIST, ()),
    ],
    ids=["vsftpd", "proftpd", "pyftpdlib", "aioftp", "no-group"],
)
@pytest.mark.parametrize("line_end", [b"\r\n", b"\n"])
def test_list_of_each_server_is_read(raw: bytes, others: tuple[str, ...], line_end: bytes) -> None:
    listing = read_list(raw.replace(b"\r\n", line_end), "f")
    assert set(listing.entries) == {
        file("f/file", 5, at(2024, 2, 29), 0o640),
        folder("f/folder", at(2026, 3, 2, 20, 14), 0o755),
    }
    assert (listing.exact, listing.cut, listing.others, listing.oddities) == (False, False, others, ())


@pytest.mark.parametrize("raw", [b"", b"\r\n", b"total 0\r\n"])
def test_listing_of_nothing_is_empty(raw: bytes) -> None:
    for facts in (True, False):
        assert parse_listing(raw, "", facts=facts, now=NOW).entries == ()


# Names.

KEPT_NAMES = (
    " leading",
    "trailing ",
    "  both  ",
    " ",
    "two  spaces",
    "tab\t",
    "name -> goal",
    "semi;colon=equals; type=dir; x",
    "...",
    ".hidden",
    "-la",
    "~",
    "\\",
    '"',
    "12:34 2024 x",
    "Jan 01 2024 x",
    "caf\u00e9",
    "cafe\u0301",
    "\udce9 Latin-1",
    "\U0001f600",
    "line\u2028separator\x0b\x0c\x1c\x85",
    "x" * 255,
)


def mlsd_line(name: str) -> bytes:
    return b"type=file;size=5;modify=20240229123456; " + paths.encode(name) + b"\r\n"


def list_line(name: str) -> bytes:
    return b"-rw-r--r--    1 2121     2121            5 Feb 29  2024 " + paths.encode(name) + b"\r\n"


@pytest.mark.parametrize("name", KEPT_NAMES)
def test_name_is_kept_byte_for_byte(name: str) -> None:
    for listing in (read_mlsd(mlsd_line(name)), read_list(list_line(name))):
        assert [(entry.path, entry.size) for entry in listing.entries] == [(name, 5)]
        assert listing.oddities == ()


REJECTED_NAMES = ("..", ".", "/etc/passwd", "../up", "a/b", "/", "nul\0inside", "cr\rinside", "cr\r")


@pytest.mark.parametrize("name", REJECTED_NAMES)
def test_name_that_no_site_may_have_never_becomes_an_entry(name: str) -> None:
    raw = mlsd_line("before") + mlsd_line(name) + mlsd_line("after")
    listing = read_mlsd(raw)
    assert [entry.path for entry in listing.entries] == ["before", "after"]
    assert listing.oddities == (name,)
    listing = read_list(raw.replace(mlsd_line("before"), b"").replace(mlsd_line(name), list_line(name)))
    assert listing.entries == ()
    # Every LIST -a shows the folder itself and the one above.
    assert listing.oddities == (() if name in {".", ".."} else (name,))


def test_link_with_an_evil_name_is_no_entry_either() -> None:
    listing = read_list(b"lrwxrwxrwx 1 a b 4 Mar 02 20:14 ../up -> /etc/passwd\r\n")
    assert (listing.entries, listing.others) == ((), ())
    assert listing.oddities


name_bytes = (
    st.binary(min_size=1, max_size=40)
    .map(lambda raw: raw.replace(b"\n", b"").replace(b"\0", b"").replace(b"\r", b"").replace(b"/", b""))
    .filter(lambda raw: raw not in {b"", b".", b".."})
)


@given(name_bytes)
def test_every_possible_name_is_kept(raw: bytes) -> None:
    name = paths.decode(raw)
    assert [entry.path for entry in read_mlsd(mlsd_line(name), "f").entries] == [f"f/{name}"]
    assert [entry.path for entry in read_list(list_line(name), "f").entries] == [f"f/{name}"]


listing_bytes = st.lists(
    st.one_of(
        st.binary(max_size=60),
        st.sampled_from(
            [line + b"\r\n" for raw in (PROFTPD_MLSD, VSFTPD_LIST, AIOFTP_LIST) for line in raw.splitlines()]
        ).flatmap(lambda line: st.tuples(st.integers(0, len(line)), st.binary(max_size=4)).map(
            lambda change: line[: change[0]] + change[1] + line[change[0] + len(change[1]) :]
        )),
        st.tuples(
            st.from_regex(rb"[-dl]([-r][-w][-x]){3} +\d{1,3} [ab] c? +\d{1,30}", fullmatch=True),
            st.from_regex(rb" [A-Z][a-z]{2} \d{1,2} (\d\d:\d\d|\d{4}) [ab./]{0,4}\r?\n", fullmatch=True),
        ).map(b"".join),
        st.from_regex(
            rb"(type=(file|dir|x);|size=\d{0,30};|modify=\d{10,18}(\.\d{0,12})?;|unix\.mode=\d{0,8};){1,4}"
            rb" [ab./]{0,4}\r\n",
            fullmatch=True,
        ),
    ),
    max_size=8,
).map(b"".join)  # fmt: skip


@given(listing_bytes, st.booleans())
def test_arbitrary_bytes_never_raise_and_never_give_a_path_outside_the_folder(raw: bytes, facts: bool) -> None:
    listing = parse_listing(raw, "f", facts=facts, now=NOW)
    for entry in listing.entries:
        before, name = paths.split(entry.path)
        assert before == "f"
        assert paths.is_one_component(name)
        assert 0 <= entry.size <= LARGEST_SIZE
        assert UNKNOWN <= entry.mode <= 0o777
        assert -(2**63) <= entry.mtime_ns < 2**63
    assert len(listing.entries) + len(listing.others) + len(listing.oddities) <= raw.count(b"\n") + 1
    assert len({entry.path for entry in listing.entries}) == len(listing.entries)


@pytest.mark.parametrize("size", ["9" * 19, "9" * 30, "9" * 5000], ids=len)
def test_size_that_no_file_can_have_is_not_believed(size: str) -> None:
    facts = read_mlsd(f"type=file;size={size};modify=20240229123456; x\r\n".encode())
    unix = read_list(f"-rw-r--r-- 1 a b {size} Feb 29 2024 x\r\n".encode())
    for listing in (facts, unix):
        assert all(entry.size <= LARGEST_SIZE for entry in listing.entries)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("0005", 5),
        (str(LARGEST_SIZE), LARGEST_SIZE),
        (str(LARGEST_SIZE + 1), UNKNOWN),
        ("9" * 5000, UNKNOWN),
        ("", UNKNOWN),
        ("-1", UNKNOWN),
        ("5 bytes", UNKNOWN),
        ("\u0665", UNKNOWN),
    ],
    ids=lambda value: str(value)[:20],
)
def test_size_is_read_if_a_file_can_have_it(text: str, expected: int) -> None:
    assert parse_size(text) == expected


@pytest.mark.parametrize("size", ["", "-1", "+5", "5x", "0x5", "\u0665", "1e3"])
def test_file_without_a_readable_size_is_no_entry(size: str) -> None:
    assert read_mlsd(f"type=file;size={size}; x\r\n".encode()).entries == ()


FACTS = {
    "type": ("file", "file", "file", "dir", "cdir", "File", "OS.unix=slink", ""),
    "size": ("5", "0005", "12345", str(LARGEST_SIZE), str(LARGEST_SIZE + 1), "-1", ""),
    "modify": ("20240229123456", "19700101000000", "20230229123456", "20161231235960", "17000101000000.5", ""),
    "UNIX.mode": ("0644", "600", "0104755", "0644", "8", ""),
    "unix.MODE": ("0600",),
    "\tUNIX.mode": ("0640",),
    "unique": ("a=b", "(", "\r", ""),
    "UNIX.groupname": ("staff", "domain users", " ", ""),
}


def lines_with(facts: list[str]) -> st.SearchStrategy[list[str]]:
    values = [st.just(FACTS[fact][0]) | st.just(FACTS[fact][0]) | st.sampled_from(FACTS[fact]) for fact in facts]
    written = [value.map(f"{fact}={{}};".format) for fact, value in zip(facts, values, strict=True)]
    named = st.sampled_from(
        ["x", "y", " x", "x y ", "\udcff", "\u2028", ".x", "..", "a/b", "nul\0", "cr\r", "cr\rx", ""]
    )
    space, end = st.just(" ") | st.sampled_from(["", "; "]), st.just("\r\n") | st.sampled_from(["\n", "\n\n"])
    return st.lists(st.tuples(*written, space, named, end).map("".join), max_size=8)


some_facts = st.permutations(["type", "size", "modify", "UNIX.mode"]) | st.lists(st.sampled_from(sorted(FACTS)))


@given(some_facts.flatmap(lines_with), st.integers(1, 1000))
@example(["type=file;size=5;modify=20240229123456;\tUNIX.mode=0640; x\n"], 1000)
def test_line_means_the_same_among_others_like_it_and_alone(lines: list[str], length: int) -> None:
    raw = paths.encode("".join(lines))
    together = ListingParser("f", facts=True, now=NOW)
    for start in range(0, len(raw), length):
        together.feed(raw[start : start + length])
    found: dict[str, Entry] = {}
    others, oddities, unreadable = [], [], []
    for line in "".join(lines).split("\n"):
        try:
            read = parse_facts(line.removesuffix("\r"), "f") if line.removesuffix("\r") else None
        except UnreadableLineError:
            unreadable.append(line.removesuffix("\r")[:200])
            continue
        if read and not paths.is_one_component(read[0]):
            oddities.append(read[0])
        elif read and read[1]:
            found[read[1].path] = read[1]
        elif read:
            others.append(read[0])
    kept = tuple(found.values()), True, False, tuple(others), tuple(oddities), tuple(unreadable)
    assert together.end() == RemoteListing(*kept)


# Times.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20240229123456", at(2024, 2, 29, 12, 34, 56)),
        ("19700101000000", 0),
        ("19691231235959", -NS),
        ("20240229123456.5", at(2024, 2, 29, 12, 34, 56) + NS // 2),
        ("20240229123456.123456789123", at(2024, 2, 29, 12, 34, 56) + 123_456_789),
        ("20231231235959", at(2023, 12, 31, 23, 59, 59)),
        ("20161231235960", at(2017, 1, 1)),
        # The state keeps 63 bits.
        ("22620411234716.854775807", 2**63 - 1),
        ("22620411234716.854775808", UNKNOWN),
        ("16770921001243.145224192", -(2**63)),
        ("16770921001243.145224191", UNKNOWN),
        ("99991231235960", UNKNOWN),
        ("00010101000000", UNKNOWN),
        ("20230229123456", UNKNOWN),
        ("20240431000000", UNKNOWN),
        ("20241301000000", UNKNOWN),
        ("20240100000000", UNKNOWN),
        ("20240101240000", UNKNOWN),
        ("20240101006000", UNKNOWN),
        ("00000101000000", UNKNOWN),
        ("2024022912345", UNKNOWN),
        ("202402291234567", UNKNOWN),
        ("2024-02-29T12:34:56", UNKNOWN),
        ("20240229123456.", UNKNOWN),
        ("20240229123456Z", UNKNOWN),
        ("19124022912345678", UNKNOWN),
        ("", UNKNOWN),
        ("\u0662\u0660\u0662\u0664\u0660\u0662\u0662\u0669\u0661\u0662\u0663\u0664\u0665\u0666", UNKNOWN),
    ],
)
def test_time_of_rfc_3659_is_read_and_anything_else_unknown(text: str, expected: int) -> None:
    assert parse_time(text) == expected


@given(st.integers(1670, 2270), st.integers(0, 13), st.integers(0, 32), st.integers(0, 25), st.integers(0, 61))
def test_time_is_either_what_it_says_or_unknown(year: int, month: int, day: int, hour: int, minute: int) -> None:
    text = f"{year:04}{month:02}{day:02}{hour:02}{minute:02}07"
    found = parse_time(text)
    assert found == UNKNOWN or time.strftime("%Y%m%d%H%M%S", time.gmtime(found // NS)) == text


@given(st.integers(-(2**33), 2**33), st.integers(0, NS - 1))
def test_time_that_is_written_is_read_back_to_the_second(seconds: int, fraction: int) -> None:
    assume(seconds * NS != UNKNOWN)
    assert parse_time(format_time(seconds * NS + fraction)) == seconds * NS


def list_time(day: str, now: float) -> int:
    (entry,) = read_list(f"-rw-r--r-- 1 a b 5 {day} x\r\n".encode(), now=now).entries
    return entry.mtime_ns


@pytest.mark.parametrize(
    ("day", "now", "expected"),
    [
        ("Jun 15 11:59", at_noon(2026, 6, 15), at(2026, 6, 15, 11, 59)),
        ("Jun  1 00:00", at_noon(2026, 6, 15), at(2026, 6, 1)),
        # Around New Year, seen from both sides.
        ("Dec 31 23:59", at_noon(2027, 1, 1), at(2026, 12, 31, 23, 59)),
        ("Jan 01 00:01", at_noon(2027, 1, 1), at(2027, 1, 1, 0, 1)),
        ("Jan  1 00:01", at_noon(2026, 12, 31), at(2027, 1, 1, 0, 1)),  # a server east of us
        ("Dec 31 11:00", at_noon(2026, 12, 31), at(2026, 12, 31, 11)),
        ("Jan  2 00:01", at_noon(2026, 12, 30), at(2026, 1, 2, 0, 1)),
        ("Jul 10 10:00", at_noon(2027, 1, 5), at(2026, 7, 10, 10)),
        # 29 February.
        ("Feb 29 10:00", at_noon(2024, 2, 29), at(2024, 2, 29, 10)),
        ("Feb 29 10:00", at_noon(2024, 8, 1), at(2024, 2, 29, 10)),
        ("Feb 29 10:00", at_noon(2025, 1, 31), at(2024, 2, 29, 10)),
        ("Feb 28 10:00", at_noon(2025, 3, 1), at(2025, 2, 28, 10)),
        ("Feb 29  2024", at_noon(2026, 6, 15), at(2024, 2, 29)),
        ("Feb 29  2023", at_noon(2026, 6, 15), UNKNOWN),
        ("Dec 31  2025", at_noon(2026, 1, 1), at(2025, 12, 31)),
        ("Jan  1  2030", at_noon(2026, 1, 1), at(2030, 1, 1)),
        ("Jan 01 1970", at_noon(2026, 1, 1), 0),
        # What no calendar or clock has.
        ("Jan 01 0000", at_noon(2026, 1, 1), UNKNOWN),
        ("Jan 01 0001", at_noon(2026, 1, 1), UNKNOWN),
        ("Dec 31 9999", at_noon(2026, 1, 1), UNKNOWN),
        ("Foo 01 2024", at_noon(2026, 1, 1), UNKNOWN),
        ("Jan 32 2024", at_noon(2026, 1, 1), UNKNOWN),
        ("Jan 01 24:00", at_noon(2026, 1, 1), UNKNOWN),
        ("Jan 01 10:60", at_noon(2026, 1, 1), UNKNOWN),
    ],
)
def test_date_of_list_is_the_latest_that_does_not_lie_in_the_future(day: str, now: float, expected: int) -> None:
    assert list_time(day, now) == expected


@pytest.mark.parametrize("year", [2025, 2026, 2027])
def test_29_february_without_a_year_is_never_taken_for_1_march(year: int) -> None:
    assert list_time("Feb 29 10:00", at_noon(year, 3, 10)) in {UNKNOWN, at(2024, 2, 29, 10)}


@given(
    st.integers(calendar.timegm((2020, 1, 1, 0, 0, 0)), calendar.timegm((2032, 1, 1, 0, 0, 0))),
    st.integers(0, 180 * 86400),
)
def test_date_without_a_year_within_half_a_year_is_right(now: int, age: int) -> None:
    moment = now - age
    text = time.strftime("%b %d %H:%M", time.gmtime(moment))
    assert list_time(text, now) == moment // 60 * 60 * NS


# Modes and kinds.


@pytest.mark.parametrize(
    ("rights", "mode"),
    [
        ("rw-r--r--", 0o644),
        ("rwxr-x---", 0o750),
        ("---------", 0),
        ("rwxrwxrwx", 0o777),
        ("rwsr-sr-t", 0o755),
        ("rwSr-Sr-T", 0o644),
    ],
)
def test_rights_are_read_as_a_mode(rights: str, mode: int) -> None:
    (entry,) = read_list(f"-{rights} 1 a b 5 Feb 29 2024 x\r\n".encode()).entries
    assert entry.mode == mode


@pytest.mark.parametrize(
    ("fact", "mode"),
    [
        ("0644", 0o644),
        ("644", 0o644),
        ("100644", 0o644),
        ("04755", 0o755),
        ("0o644", UNKNOWN),
        ("9", UNKNOWN),
        ("", UNKNOWN),
    ],
)
def test_mode_fact_is_octal(fact: str, mode: int) -> None:
    (entry,) = read_mlsd(f"type=file;size=1;UNIX.mode={fact}; x\r\n".encode()).entries
    assert entry.mode == mode


@pytest.mark.parametrize("kind", ["OS.unix=symlink", "OS.unix=slink:/goal", "OS.unix=chr-1/3", "unknown", ""])
def test_what_is_neither_file_nor_folder_is_kept_apart(kind: str) -> None:
    listing = read_mlsd(f"type={kind};size=1; x\r\n".encode())
    assert (listing.entries, listing.others) == ((), ("x",))


@pytest.mark.parametrize("kind", "lbcps")
def test_links_and_devices_of_list_are_kept_apart(kind: str) -> None:
    listing = read_list(f"{kind}rwxrwxrwx 1 a b 4 Feb 29 2024 x -> goal\r\n".encode())
    assert listing.entries == ()
    assert len(listing.others) == 1


def test_facts_are_read_in_any_order_and_case() -> None:
    for line in ("TYPE=file;SIZE=5; x", "size=5;Type=FILE;unknown=;; x", "perm=r;type=file;size=5; x"):
        read = parse_facts(line, "")
        assert read == ("x", file("x", 5)), line


@pytest.mark.parametrize("line", ["", " ", "type=file;size=5;", "type=file;size=5; ", "x"])
def test_line_without_a_name_is_kept_as_unreadable(line: str) -> None:
    with pytest.raises(UnreadableLineError):
        parse_facts(line, "")
    assert parse_listing(line.encode(), "", facts=True, now=NOW).unreadable == ((line,) if line else ())


UNREADABLE = ["-rw-r--r--", "folder:", "5 files", "x" * 100, "-rw-r--r-- 1 a b 5 yesterday x", "+no tab"]


@pytest.mark.parametrize("line", UNREADABLE)
def test_line_of_list_in_no_known_format_is_kept_as_unreadable(line: str) -> None:
    with pytest.raises(UnreadableLineError):
        parse_list(line, "", NOW)
    assert parse_listing(line.encode(), "", facts=False, now=NOW).unreadable == (line,)


@pytest.mark.parametrize("facts", [True, False])
def test_listing_with_an_unreadable_line_is_not_complete_and_the_other_lines_are_read(facts: bool) -> None:
    line = (mlsd_line if facts else list_line)("x")
    listing = parse_listing(line + b"?\r\n" + line.replace(b"x", b"y"), "", facts=facts, now=NOW)
    assert ([entry.path for entry in listing.entries], listing.cut, listing.complete) == (["x", "y"], False, False)
    assert parse_listing(line, "", facts=facts, now=NOW).complete


def test_of_many_unreadable_lines_the_beginnings_of_some_are_kept() -> None:
    listing = read_list((b"?" * 10_000 + b"\r\n") * 2000 + list_line("x"))
    assert 0 < sum(map(len, listing.unreadable)) <= 100_000
    assert [entry.path for entry in listing.entries] == ["x"]


def test_name_that_is_listed_twice_is_one_entry() -> None:
    assert len(read_mlsd(mlsd_line("x") + mlsd_line("y") + mlsd_line("x")).entries) == 2


def test_listing_that_was_cut_stays_marked() -> None:
    assert parse_listing(b"", "", facts=True, now=NOW, cut=True).cut


# As it comes, and when to stop.


@pytest.mark.parametrize("raw", [PROFTPD_MLSD, VSFTPD_LIST, b"\n\r\n\n", b"no end of line", b"\xff\r\n\xc3"])
@pytest.mark.parametrize("facts", [True, False])
def test_pieces_in_which_a_listing_comes_do_not_matter(raw: bytes, facts: bool) -> None:
    whole = parse_listing(raw, "f", facts=facts, now=NOW)
    for length in (1, 2, 7, 100):
        parser = ListingParser("f", facts=facts, now=NOW)
        for start in range(0, len(raw), length):
            parser.feed(raw[start : start + length])
        assert parser.end() == whole


def test_listing_is_of_a_folder_for_sure_if_it_shows_the_folder_or_is_in_facts() -> None:
    for raw, facts, expected in (
        (VSFTPD_LIST, False, True),
        (PYFTPDLIB_LIST, False, False),
        (list_line("x ."), False, False),
        (b"", False, False),
        (PYFTPDLIB_MLSD, True, True),
        (b"", True, False),
    ):
        parser = ListingParser("f", facts=facts, now=NOW)
        parser.feed(raw)
        assert parser.shows_itself is expected


@pytest.mark.parametrize(
    "piece",
    [b"\n" * 65536, b"x\r\n" * 20_000, b"x" * 65536, (b"x" * 10_000 + b"\n") * 20],
    ids=["empty", "short", "one line", "long"],
)
def test_listing_without_end_is_noticed_and_nothing_more_of_it_kept(piece: bytes) -> None:
    parser = ListingParser("f", facts=True, now=NOW)
    pieces = 0
    while not parser.endless:
        parser.feed(piece)
        pieces += 1
    assert pieces <= min(LONGEST_LISTING // len(piece), MOST_LINES // max(piece.count(b"\n"), 1)) + 1
    parser.feed(mlsd_line("more"))
    listing = parser.end()
    assert listing.cut
    assert "f/more" not in {entry.path for entry in listing.entries}


@pytest.mark.parametrize("facts", [True, False])
def test_line_is_too_long_for_any_folder_whether_its_end_has_come_or_not(facts: bool) -> None:
    for tail, endless in ((b"", False), (b"x", True), (b"\n", False), (b"x\n", True)):
        parser = ListingParser("f", facts=facts, now=NOW)
        parser.feed(b"x" * LONGEST_LINE + tail)
        assert parser.endless is endless


def test_of_many_oddities_some_are_kept() -> None:
    listing = read_mlsd(mlsd_line("..") * 100_000 + mlsd_line("x"))
    assert 0 < len(listing.oddities) <= 1000
    assert [entry.path for entry in listing.entries] == ["x"]


HOSTILE = (
    " ",
    "1",
    "1 ",
    "- ",
    "a 1 ",
    "1 Jan ",
    "1 1 1 ",
    "1 Jan" + " " * 80,
    "2024-01-01 ",
    "1,000 ",
    "1" * 19 + " ",
)


@pytest.mark.parametrize("hostile", [*HOSTILE, "-rw-r--r-- 1 ", "; ", "a=b;", "size=", "\t", "a "])
@pytest.mark.parametrize("start", ["-rw-r--r-- 1 ", "d [RWCEAFMS] ", "01-31-26  03:04PM ", "+", "type=file;", ""])
def test_cost_of_a_hostile_line_is_bounded(start: str, hostile: str) -> None:
    line = start + hostile * ((LONGEST_LINE - 100) // len(hostile)) + "\r\n"
    began = time.process_time()
    for facts in (True, False):
        parse_listing(line.encode(), "", facts=facts, now=NOW)
    assert time.process_time() - began < 0.1
