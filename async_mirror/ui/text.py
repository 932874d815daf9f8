"""How sizes, times, numbers, paths and changes are put into words. Pure."""

from typing import assert_never

from async_mirror.model.change import (
    REPLACES,
    Change,
    Deed,
    MakeFolder,
    Move,
    RemoveFile,
    RemoveFolder,
    SendFile,
    SetAttributes,
    SetDate,
    path_of,
)
from async_mirror.model.entry import UNKNOWN
from async_mirror.model.escape import shown


def human_size(size: float) -> str:
    """Return a number of bytes as people read it: 999 B, 1.0 KB, 2.5 MB."""
    if size < 1000:
        return f"{size:.0f} B"
    number = float(size)
    for unit in ("KB", "MB", "GB", "TB", "PB"):
        number /= 1000
        if number < 999.95 or unit == "PB":
            break
    return f"{number:.1f} {unit}"


def human_time(seconds: float) -> str:
    """Return a length of time as people read it: 0.4 s, 42 s, 14m59s, 1h05m, 3 days 2h."""
    if seconds < 9.95:
        return f"{max(0.0, seconds):.1f} s"
    whole = round(seconds)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{plural(days, 'day')} {hour}h" if hour else plural(days, "day")
    if hours:
        return f"{hours}h{minute:02}m" if minute else f"{hours}h"
    if minutes:
        return f"{minutes}m{second:02}s" if second else f"{minutes}m"
    return f"{whole} s"


def time_left(seconds: float) -> str:
    """Return a forecast, as exactly as one can be, to about a tenth: about 5 s left."""
    steps = (5, 10, 30, 60, 300, 600, 1800, 3600, 6 * 3600, 86400)
    step = next((each for each in steps if seconds < 20 * each), steps[-1])
    rounded = max(step, round(seconds / step) * step)
    return f"about {human_time(rounded) if rounded > steps[0] else f'{rounded} s'} left"


def plural(number: int, noun: str) -> str:
    """Return `1 file`, `1,200 files`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def quoted(path: str) -> str:
    """Return a path as it is shown: escaped, in quotes if blanks at its ends could be missed."""
    text = shown(path) or "/"
    return text if path.strip(" ") == path else f"'{text}'"


_VERBS = {
    MakeFolder: ("created", "creating"),
    SendFile: ("uploaded", "uploading"),
    SetAttributes: ("mode", "setting the mode of"),
    SetDate: ("dated", "setting the date of"),
    Move: ("renamed", "renaming to"),
    RemoveFile: ("deleted", "deleting"),
    RemoveFolder: ("deleted", "deleting"),
}
"""What is said of a change that was made, and of one that is being made."""


def verb_of(change: Deed) -> str:
    """Return the verb for a change that was made."""
    return "unchanged" if isinstance(change, SetDate) and not change.is_set else _VERBS[type(change)][0]


def doing(change: Change) -> str:
    """Return the verb for a change that is being made."""
    return _VERBS[type(change)][1]


def described(change: Deed) -> str:
    """Return what follows the verb for a change that was made."""
    path = quoted(path_of(change))
    match change:
        case MakeFolder(_, why) | RemoveFolder(_, why):
            return f"{path}/  ({why})"
        case SendFile(entry, _, why):
            return f"{path}  {human_size(entry.size)}  ({shown(why)})"
        case SetDate(_, _, why):
            return f"{path}  ({why})"
        case SetAttributes(entry, _, why):
            return f"{path}{'/' * entry.is_folder}  ({why})"
        case Move(entry, held, why):
            replacing = f"  ({why})" if why == REPLACES else ""
            return f"{quoted(held.path)} -> {path}{'/' * entry.is_folder}{replacing}"
        case RemoveFile(held, why):
            size = "" if held.size == UNKNOWN else f"  {human_size(held.size)}"
            return f"{path}{size}  ({why})"
        case _ as never:
            assert_never(never)
