"""What shows a quirk of a server, and that what was remembered of one is found again."""

from __future__ import annotations

import pytest

from async_mirror.ftp.known import quirks
from async_mirror.ftp.wire.replies import Reply


@pytest.mark.parametrize(
    ("code", "said", "is_void"),
    [
        (425, "Can't open data connection.", True),
        (503, "Bad sequence of commands.", True),
        (550, "Use PORT or PASV first.", True),
        (550, "No connector established.", True),
        (550, "PASV.txt: no such file", False),
        (550, "/a/PORT: permission denied", False),
        (553, "Use PORT or PASV first.", False),
        (550, "x" * 400 + "PORT or PASV", False),
    ],
)
def test_port_is_void_only_where_the_beginning_of_a_refusal_says_so(code: int, said: str, is_void: bool) -> None:
    assert quirks.is_void_port(Reply(code, (said,))) is is_void


@pytest.mark.parametrize(
    ("code", "said", "wants"),
    [(550, "Wrong encoding: use TYPE A", True), (550, "ASCII only", True), (550, "no", False), (450, "ascii", False)],
)
def test_listing_is_asked_for_as_text_only_where_that_is_refused_for_good(code: int, said: str, wants: bool) -> None:
    assert quirks.wants_text(Reply(code, (said,))) is wants


@pytest.mark.parametrize(
    ("code", "said", "is_absent"),
    [
        (451, "Folder does not exist", True),
        (450, "No such folder", True),
        (450, "busy", False),
        (550, "no such", False),
    ],
)
def test_folder_is_absent_for_the_moment_only_where_4xx_says_that(code: int, said: str, is_absent: bool) -> None:
    assert quirks.is_absent_now(Reply(code, (said,))) is is_absent


@pytest.mark.parametrize(
    ("code", "said", "of_root", "passes"),
    [
        (425, "not now", 250, True),
        (450, "not now", 450, True),
        (450, "no, never", 250, False),
        (450, "no, never", 550, False),
        (451, "no such file", 451, False),
        (550, "not now", 550, False),
    ],
)
def test_refusal_tells_what_is_not_there_unless_it_may_be_said_of_all_for_the_moment(
    code: int, said: str, of_root: int, passes: bool
) -> None:
    assert quirks.is_for_the_moment(Reply(code, (said,)), Reply(of_root, (said,))) is passes


def test_no_name_of_a_quirk_changes_because_it_is_remembered_for_months() -> None:
    assert [
        quirks.LONG_LINE,
        quirks.NO_UTF8,
        quirks.LISTING_AS_IMAGE,
        quirks.SHOWN_TEMPORARIES,
        quirks.REPLACING,
        quirks.SIZE_OF_FILE,
        quirks.EARLY_END,
        *quirks.TIMES.values(),
    ] == [
        "a long line",
        "names that are no UTF-8",
        "listings with TYPE I",
        "our temporaries in listings",
        "renaming over an existing file",
        "SIZE of a file",
        "an early end of a data connection",
        "MFMT",
        "MDTM with a time",
        "SITE UTIME",
    ]
