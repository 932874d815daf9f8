"""How intervals, rates, limits, pins and extensions are written."""

import math
import re

from async_mirror.model.settings import SLOWEST_BYTES_PER_S, FileLimit, UsageError

_RATE = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)\s*([kmg]?)(i?)(?:b(?:/s|ps)?)?", re.IGNORECASE)
_NUMBER = r"(\d{1,9}(?:\.\d{1,9})?)"
_INTERVAL = re.compile(
    rf"(?:{_NUMBER}h)?(?:{_NUMBER}m(?!s))?(?:{_NUMBER}(?:s|\Z))?(?:{_NUMBER}ms)?",
    re.IGNORECASE,
)


def parse_interval(text: str) -> float:
    """Read `15m`, `90s`, `1h30m`, `500ms` or plain seconds; return seconds, more than 0."""
    found = _INTERVAL.fullmatch(text.strip())
    if not found or not any(found.groups()):
        raise UsageError(f"invalid interval {text!r}: write 90s, 15m, 1h30m or seconds")
    hours, minutes, seconds, milliseconds = (float(part or 0) for part in found.groups())
    total = hours * 3600 + minutes * 60 + seconds + milliseconds / 1000
    if total <= 0 or not math.isfinite(total):
        raise UsageError(f"invalid interval {text!r}: it must be more than 0")
    return total


def parse_interval_or_0(text: str) -> float:
    """Read an interval, or 0 for none."""
    return 0.0 if text.strip() == "0" else parse_interval(text)


def written_interval(seconds: float) -> str:
    """Return an interval as it may be written, in its largest unit that makes a whole number of 2 or more."""
    if seconds < 1:
        return f"{seconds * 1000:g}ms"
    unit, name = next(
        (unit for unit in ((3600, "h"), (60, "m")) if seconds % unit[0] == 0 and seconds > unit[0]), (1, "s")
    )
    return f"{seconds / unit:g}{name}"


def parse_rate(text: str) -> float:
    """Read `5M`, `500k`, `1.5M`, `2Mi` or plain bytes per second; k is 1,000, Ki is 1,024."""
    found = _RATE.fullmatch(text.strip())
    if not found:
        raise UsageError(f"invalid rate {text!r}: write bytes per second, e.g. 500k, 5M or 1.5M")
    base = 1024 if found[3] else 1000
    rate = float(found[1]) * float(base ** " kmg".index(found[2].lower() or " "))
    if rate < SLOWEST_BYTES_PER_S:
        raise UsageError(f"invalid rate {text!r}: it must be at least 1k (1,000 bytes/s)")
    return rate


def parse_file_limit(text: str) -> FileLimit:
    """Read a number of files or a percentage (`100`, `25%`)."""
    found = re.fullmatch(r"(\d{1,15})|(\d{1,3}(?:\.\d{1,15})?)\s*%", text.strip())
    if not found:
        raise UsageError(
            f"invalid limit {text!r}: write a number of files (100) or a percentage of the tracked files (25%)"
        )
    if found[1]:
        return FileLimit(number=int(found[1]))
    percent = float(found[2])
    if percent > 100:
        raise UsageError(f"invalid limit {text!r}: a percentage goes from 0% to 100%")
    return FileLimit(percent=percent, counts_from=0)


def parse_pin(text: str) -> str:
    """Read the 64 hexadecimal digits of a certificate's fingerprint, with colons or without, behind `sha256:` or not.

    openssl writes `sha256 Fingerprint=` before them.
    """
    found = re.fullmatch(
        r"(?:sha-?256(?::| fingerprint=))?((?:[0-9a-f]{2}:?){31}[0-9a-f]{2})", text.strip(), re.IGNORECASE
    )
    if not found:
        raise UsageError(
            f"invalid fingerprint {text!r}: write sha256: and 64 digits, as an error of a connection shows it, or"
            " openssl x509 -noout -fingerprint -sha256"
        )
    return found[1].replace(":", "").lower()


def parse_extension(text: str) -> str:
    """Read `.tmp` or `tmp`; return it with its dot."""
    extension = "." + text.removeprefix(".")
    if len(extension) == 1 or "/" in extension or "." in extension[1:]:
        raise UsageError(f"invalid extension {text!r}: write .tmp (of a.tar.gz the extension is .gz)")
    return extension
