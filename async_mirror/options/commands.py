"""The parameters of the commands beside `sync`: those that all have, and their own."""

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
    SYNC,
    TLS,
)

HEALTHCHECK: list[click.Parameter] = [
    SOURCE,
    DESTINATION,
    Option(
        ["--strict"],
        is_flag=True,
        group="When",
        help="Exit with 1 while single paths fail, too.",
    ),
    Option(
        ["--strict-after"],
        type=INTERVAL,
        metavar="INTERVAL",
        group="When",
        help="Exit with 1 once a path has failed for this long, e.g. 1h.",
    ),
    PASSWORD_FILE,
    PASSWORD_COMMAND,
    TLS,
    CONFIG,
    STATE_DIR,
]
_SELECTION = {"source", "exclude", "exclude_from", "exclude_ext", "max_depth"}
LIST: list[click.Parameter] = [
    *(param for param in SYNC if param.name in _SELECTION),
    Option(["-v", "--verbose"], is_flag=True, group="Output", help="List excluded paths, too, each with the rule."),
    CONFIG,
]
