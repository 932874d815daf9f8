"""The names under which files are uploaded before they get their own. Pure."""

import re

TEMPORARY = re.compile(r"\.am-[0-9a-f]{8}-[0-9a-z]+\.part")


def temporary(state_id: str, token: str) -> str:
    """Return a temporary name that no web server runs or shows, and that tells whose it is."""
    return f".am-{state_id}-{token}.part"


def is_temporary(name: str) -> bool:
    """Tell whether a name is one that `temporary` makes, for whatever state."""
    return name.startswith(".am-") and TEMPORARY.fullmatch(name) is not None
