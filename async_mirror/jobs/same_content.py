"""Compares files of the site with the source's by their content, where that is cheap: they are read back."""

from collections.abc import Iterable
from contextlib import suppress

from async_mirror.model.entry import Entry
from async_mirror.remote.errors import Refusal
from async_mirror.remote.session import RemoteSession
from async_mirror.source.files import digest_of, digest_of_bytes

CHEAP = 64 * 1024
"""Bytes of a file that costs hardly more to read than to send again."""
CHEAP_IN_ALL = 4 * 1024 * 1024
"""Bytes of all that is read back of one folder."""


def cheap(entries: Iterable[Entry]) -> list[Entry]:
    """Return as many as are worth it."""
    left, some = CHEAP_IN_ALL, []
    for entry in entries:
        if entry.size <= min(CHEAP, left):
            left -= entry.size
            some.append(entry)
    return some


async def with_content_of_site(session: RemoteSession, source: bytes, entry: Entry) -> Entry | None:
    """Return the source's version with the digest of its content if the site has the same; None if not.

    No ctime stands for it: it may have changed since the scan.
    """
    content = None
    with suppress(Refusal):
        content = await session.read(entry.path, entry.size)
    if content is None or len(content) != entry.size:
        return None
    digest = digest_of_bytes(content)
    return entry._replace(digest=digest, ctime_ns=0) if await digest_of(source, entry.path) == digest else None
