"""The parameters of the commands beside `sync`: those that all have, and their own."""

import click

from async_mirror.options.click_types import Option
from async_mirror.options.declared import (
    CONFIG,
    SYNC,
)

_SELECTION = {"source", "exclude", "exclude_from", "exclude_ext", "max_depth"}
LIST: list[click.Parameter] = [
    *(param for param in SYNC if param.name in _SELECTION),
    Option(["-v", "--verbose"], is_flag=True, group="Output", help="List excluded paths, too, each with the rule."),
    CONFIG,
]
