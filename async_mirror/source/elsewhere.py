"""What systems other than Linux tell of changes in a folder, by way of `watchfiles` if that is installed.

It tells neither of what it missed, nor of a folder that is exchanged: the periodic full pass finds that.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterable
from importlib.util import find_spec

from async_mirror.model import paths

Change = tuple[str, bool]
"""A path, relative to the folder, and whether nothing is there any more."""
_STEP_MS, _TOGETHER_MS = 50, 200


def is_installed() -> bool:
    """Tell whether the library is there; it is not loaded."""
    return find_spec("watchfiles") is not None


async def changes(root: bytes, until: asyncio.Event) -> AsyncIterator[Iterable[Change]]:
    """Yield what changes in a folder and below until an event is set. Raises OSError or RuntimeError if it cannot."""
    from watchfiles import Change as Kind  # noqa: PLC0415 - only who watches needs it
    from watchfiles import awatch  # noqa: PLC0415

    resolved = _resolved(root)
    told = awatch(
        os.fsdecode(resolved),
        watch_filter=None,
        step=_STEP_MS,
        debounce=_TOGETHER_MS,
        ignore_permission_denied=True,
        stop_event=until,
    )
    async for some in told:
        inside = [(_inside(path, resolved), kind is Kind.deleted) for kind, path in some]
        yield [change for change in inside if change[0] != "."]


def _resolved(root: bytes) -> bytes:
    return os.path.realpath(root)


def _inside(path: str, root: bytes) -> str:
    return paths.decode(os.path.relpath(os.fsencode(path), root))
