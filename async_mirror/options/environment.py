"""The variables that options are set by. Knows no option but by its name."""

from collections.abc import Collection, Iterable

from async_mirror.model.settings import UsageError
from async_mirror.options.click_types import ENVIRONMENT


def refuse_slips(environment: Iterable[str], known: Collection[str]) -> None:
    """Refuse a variable that is nearly one of ours: what it was to switch off or leave out would be done."""
    prefix = f"{ENVIRONMENT}_"
    for written in environment:
        name = written.removeprefix(prefix)
        if name == written or name in known:
            continue
        if name.startswith("NO_") and name[3:] in known:
            raise UsageError(f"unknown variable {written}: write {prefix}{name[3:]}=no")
        import difflib  # noqa: PLC0415 - only needed here

        if close := difflib.get_close_matches(name, sorted(known), 1, 0.7):
            raise UsageError(f"unknown variable {written}: did you mean {prefix}{close[0]}?")
