"""What the user may write of pins, intervals, limits and extensions, and what becomes of it."""

import pytest

from async_mirror.model.settings import FileLimit, UsageError
from async_mirror.options.values import parse_extension, parse_file_limit, parse_interval, parse_pin

DIGITS = "0123456789abcdef" * 4
COLONS = ":".join(DIGITS[place : place + 2] for place in range(0, 64, 2))


@pytest.mark.parametrize(
    "text",
    [
        f"sha256:{DIGITS}",
        f"sha256:{DIGITS.upper()}",
        f"SHA256:{DIGITS}",
        f"sha256:{COLONS}",
        f"sha256:{COLONS.upper()}",
        f" sha256:{DIGITS}\n",
        DIGITS,
        COLONS,
        f"sha256 Fingerprint={COLONS.upper()}",
    ],
)
def test_a_pin_is_read_with_colons_and_capitals_or_without(text: str) -> None:
    assert parse_pin(text) == DIGITS


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256:",
        f"sha1:{DIGITS[:40]}",
        f"md5:{DIGITS}",
        f"sha256:{DIGITS[:40]}",
        f"sha256:{DIGITS[:-1]}",
        f"sha256:{DIGITS}0",
        f"sha256:{DIGITS}:",
        f"sha256::{DIGITS}",
        f"sha256:{DIGITS[:-1]}g",
        f"sha256: {DIGITS}",
        f"sha256:{COLONS.replace(':', ' ')}",
        f"sha256:{COLONS.replace(':', '::')}",
        f"sha256:{DIGITS[0]}:{DIGITS[1:]}",
        f"sha256:{DIGITS}\nsha256:{DIGITS}",
    ],
)
def test_a_pin_that_is_no_fingerprint_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"invalid fingerprint .*: write sha256:"):
        parse_pin(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("15m", 900.0),
        ("90s", 90.0),
        ("1h30m", 5400.0),
        ("1h30m15s", 5415.0),
        ("1h15s", 3615.0),
        ("45", 45.0),
        ("0.5s", 0.5),
        ("0.5", 0.5),
        ("1.5h", 5400.0),
        (" 2M ", 120.0),
        ("0h0m1s", 1.0),
        ("500ms", 0.5),
        ("1s500ms", 1.5),
        ("1m500ms", 60.5),
        ("1.5MS", 0.0015),
        ("1h30", 3630.0),
    ],
)
def test_an_interval_is_read(text: str, seconds: float) -> None:
    assert parse_interval(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "0",
        "0s",
        "0h0m",
        "",
        " ",
        "abc",
        "15x",
        "-5",
        "-5m",
        "+5",
        "1m1h",
        "5 m",
        "0ms",
        "1ms1s",
        "30500m s",
        "1e3",
        "m",
        ".5",
        "5.",
        "inf",
        "nan",
    ],
)
def test_an_interval_that_cannot_be_meant_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="invalid interval"):
        parse_interval(text)


def test_an_endless_interval_is_refused() -> None:
    with pytest.raises(UsageError):
        parse_interval("9" * 400 + "h")


@pytest.mark.parametrize(
    ("text", "limit", "written"),
    [
        ("100", FileLimit(100), "100"),
        ("0", FileLimit(0), "0"),
        ("25%", FileLimit(percent=25.0, counts_from=0), "25%"),
        ("0%", FileLimit(percent=0.0, counts_from=0), "0%"),
        ("100%", FileLimit(percent=100.0, counts_from=0), "100%"),
        (" 2.5 % ", FileLimit(percent=2.5, counts_from=0), "2.5%"),
    ],
)
def test_a_delete_limit_is_read_and_written(text: str, limit: FileLimit, written: str) -> None:
    assert parse_file_limit(text) == limit
    assert str(limit) == written


@pytest.mark.parametrize("text", ["", "x", "-1", "1.5", "101%", "-1%", "%", "10%%", "1 0", "inf", "nan%"])
def test_a_delete_limit_that_cannot_be_meant_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="invalid limit"):
        parse_file_limit(text)


@pytest.mark.parametrize(("text", "extension"), [(".tmp", ".tmp"), ("tmp", ".tmp"), ("TMP", ".TMP"), ("~", ".~")])
def test_an_extension_is_read_with_or_without_its_dot(text: str, extension: str) -> None:
    assert parse_extension(text) == extension


@pytest.mark.parametrize("text", ["", ".", "..", "tar.gz", ".tar.gz", "a/b", "tmp."])
def test_an_extension_that_no_file_can_have_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="invalid extension"):
        parse_extension(text)
