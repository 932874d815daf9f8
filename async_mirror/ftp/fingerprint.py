"""By what a server is known again: a mark of what it says of itself, whatever time or number stands in it. Pure."""

import re
from hashlib import sha256

_JUDGED = 1000
"""Characters of a greeting, or of a feature, that are looked at: a hostile one must not cost more."""

_VARIABLE = re.compile(
    r"\b\d{1,2}:\d\d(?::\d\d)?\b|\b(?:mon|tue|wed|thu|fri|sat|sun|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)\w*\b"
    r"|\b\d{4}-\d\d-\d\d\b|\b\d{1,2}[./]\d{1,2}[./]\d{4}\b|\b\d{1,3}(?:\.\d{1,3}){3}\b|\b(?=\w*\d)[0-9a-f-]{8,}\b"
    r"|(?<![\w.])\d+(?![\w.]*\w)",
    re.IGNORECASE,
)
"""What differs from one greeting of a server to the next: times, dates, addresses, long hex, counters; no versions."""


def mark_of(*texts: str) -> str:
    """Return a short mark of texts, in which what varies from one session to the next does not count."""
    told = "\n".join(_VARIABLE.sub("#", text[:_JUDGED]) for text in texts)
    return sha256(told.encode("utf-8", "surrogateescape")).hexdigest()[:16]
