"""The options of the commands that ask about mirrors: those that name a mirror, and a few of their own."""

import click

from async_mirror.options.click_types import Option
from async_mirror.options.declared import (
    CONFIG,
    DESTINATION,
    INTERVAL,
    PASSWORD_COMMAND,
    PASSWORD_FILE,
    SOURCE,
    STATE_DIR,
    TLS,
)

_ASKED = "Output"

MIRROR: list[click.Parameter] = [SOURCE, DESTINATION, PASSWORD_FILE, PASSWORD_COMMAND, TLS, CONFIG, STATE_DIR]
"""What names a mirror, as for `sync`."""
STATUS: list[click.Parameter] = [
    *MIRROR,
    Option(["--json", "as_json"], is_flag=True, group=_ASKED, help="Print one JSON object per mirror, each on a line."),
]
HEALTHCHECK: list[click.Parameter] = [
    *MIRROR,
    Option(["--strict"], is_flag=True, group=_ASKED, help="Exit 1 also while single paths fail, or it is paused."),
    Option(
        ["--strict-after"],
        type=INTERVAL,
        metavar="INTERVAL",
        group=_ASKED,
        help="Exit 1 also once a path has failed, or it is paused, for so long, as in 1h.",
    ),
]
