"""The names under which files are uploaded before they get their own. Pure."""

import re

from async_mirror.model.facts import Facts

SHAPES = (".am-*.part", "am-*.part", "am-*.tmp", "am-*", "am-*.EXT")
"""What temporaries are called, the best first: `*` tells whose it is and of which job, EXT is the file's own extension.

Servers refuse names that begin with a dot, or end with `.part`; some take none but names with an extension they know.
"""
FOUND_OUT = SHAPES[:-1]
"""The shapes that are tried where one is refused. The last only if chosen: a web server may run such a file."""
FACT = "shape of temporary names"
"""What it is called that an account takes names of one shape alone: its number in SHAPES."""

IN_PLACE = 1 << 16
"""A bit beside those of the shapes that temporaries may have: the file itself is written, under its final name."""

_OURS = re.compile(
    r"\.am-[0-9a-f]{8}-[0-9a-z]+\.part|am-[0-9a-f]{8}-[0-9a-z]+\.(?:part|tmp)|am-[0-9a-f]{8}-[0-9a-f]{9,}z(?:\d+|[op])(?:\.\w+)?",
    re.ASCII,
)
"""Without a dot and an extension of ours, only the whole form of a token tells a name from one that a user may give."""
_PLAIN_EXTENSION = re.compile(r"\.[0-9A-Za-z_]{1,16}$", re.ASCII)


def known_shape(facts: Facts, of: str) -> int:
    """Return the shape that an account is known to take, the best one if nothing is known."""
    shape = facts.number(of, FACT)
    return shape if 0 <= shape < len(FOUND_OUT) else 0


def temporary(state_id: str, token: str, shape: int = 0, final: str = "") -> str:
    """Return a temporary name that tells whose it is; but in the last shape, nothing of the `final` name is in it."""
    name = SHAPES[shape].replace("*", f"{state_id}-{token}")
    if not name.endswith(".EXT"):
        return name
    extension = _PLAIN_EXTENSION.search(final)
    return name.replace(".EXT", extension[0] if extension else "")


def shapes_in(bits: int) -> list[int]:
    """Return the shapes for which there is a bit."""
    return [shape for shape in range(len(SHAPES)) if bits >> shape & 1]


def is_temporary(name: str) -> bool:
    """Tell whether a name is one that `temporary` makes, in whatever shape and for whatever state."""
    return name.startswith((".am-", "am-")) and _OURS.fullmatch(name) is not None


def named_in(text: str) -> str:
    """Return the first temporary that is named in a text, "" for none."""
    found = _OURS.search(text)
    return found[0] if found else ""


def is_temporary_of(state_id: str, name: str) -> bool:
    """Tell whether a name is one that `temporary` makes for this state."""
    return is_temporary(name) and name.removeprefix(".").startswith(f"am-{state_id}-")
