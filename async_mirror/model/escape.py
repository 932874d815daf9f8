"""Text made fit for a terminal or a log. Pure."""

import re

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ud800-\udfff]")
"""What a terminal would obey, what turns the order of the text around it, and what is no character at all.

Joiners, which no emoji and no Persian word can do without, alter nothing but their neighbours' shape.
"""


def shown(text: str) -> str:
    r"""Return text fit for a terminal or a log: what is `CONTROL` as `\x..` or `\u....`, nothing else changed."""
    return CONTROL.sub(lambda found: _escape(found[0]), text)


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
