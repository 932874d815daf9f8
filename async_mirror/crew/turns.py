"""One at a time of what gets in each other's way, as two scans of one disk do."""

import asyncio
from collections import defaultdict
from collections.abc import Hashable


class Turns:
    """A lock for each key, whatever a key is; those that wait get it in the order in which they came."""

    def __init__(self) -> None:
        """Begin with none at work."""
        self._locks: defaultdict[Hashable, asyncio.Lock] = defaultdict(asyncio.Lock)

    def of(self, key: Hashable) -> asyncio.Lock:
        """Return the lock of a key."""
        return self._locks[key]
