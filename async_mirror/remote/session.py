"""What may be asked of a site. Knows no library and no other module that does."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import chain
from typing import NamedTuple, Protocol

from async_mirror.model.entry import Entry
from async_mirror.model.facts import Facts
from async_mirror.model.paths import split
from async_mirror.model.secret import Secret
from async_mirror.model.site import Site


class Published(NamedTuple):
    """What came of a publication: which attributes the site took, and whether the rename was one step.

    `aside` says that the old version is still there, under the name that it got for the other step.
    """

    mtime_set: bool
    mode_set: bool
    atomic: bool
    aside: bool = False


@dataclass(slots=True)
class Target:
    """A final name that others may have. A `store` finds out whether a file is there; None if the site did not tell."""

    path: str
    is_there: bool | None = None


@dataclass(frozen=True, slots=True)
class RemoteListing:
    """A remote folder as the site shows it.

    `entries` may have UNKNOWN modes; `exact` says that mtimes are to the second (MLSD), not to the minute or day.
    `cut` says that the server told, or let see, that the listing is not whole. `others` are names of what is neither
    file nor folder. `oddities` are names that no site may have (`..`, with a slash …), never used. `unreadable` are
    lines in no known format (the beginning of the first hundred): what they name is unknown. `shows_itself` says
    that it names the folder itself by a dot, and so hides no other name with one.
    """

    entries: tuple[Entry, ...]
    exact: bool
    cut: bool = False
    others: tuple[str, ...] = ()
    oddities: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    shows_itself: bool = False

    @property
    def complete(self) -> bool:
        """False if it may leave out what is there: nothing may be derived from what such a listing does not show."""
        return not self.cut and not self.unreadable

    @property
    def is_empty(self) -> bool:
        """True if nothing was listed, nothing that could not be read either."""
        return not (self.entries or self.others or self.oddities or self.unreadable)

    def shows_absence_of(self, name: str) -> bool:
        """Tell whether what is not listed is not there: names with a dot may be hidden unless such a one is shown."""
        return self.complete and (not name.startswith(".") or self.shows_dot_names)

    @property
    def shows_dot_names(self) -> bool:
        """True if it was seen to hide no names with a dot."""
        if self.shows_itself:
            return True
        names = chain((split(entry.path)[1] for entry in self.entries), self.others)
        return any(name.startswith(".") for name in names)


class SiteHash(NamedTuple):
    """What a site says is the hash of a file's content: `algorithm` is sha256, sha512, sha1, md5 or crc32.

    `by` names the way it was asked; `is_proved` says that this one was seen to be right, of another file.
    """

    algorithm: str
    value: bytes
    by: str = ""
    is_proved: bool = False


class Removal(IntEnum):
    """What becomes of a folder that is not empty when it is to be removed."""

    REFUSED = 1
    """It stays, as is the rule."""
    BLIND = 2
    """It goes with all that is in it, and a listing may not show all of that."""
    WHOLE = 3
    """It goes with all that is in it; listings show names with a dot, too."""


class Barred(IntEnum):
    """What this account may not do in a folder, whatever the name."""

    UPLOADS = 1
    """No file can be written there."""
    RENAMES = 2
    """Nothing can be renamed there."""
    CHANGES = 3
    """Nothing can be renamed, nor deleted."""


class Reader(Protocol):
    """The bytes of a content as a thread reads them. It has a hold of its own on what it reads, until it is closed."""

    size: int
    """Bytes that are to be expected."""

    def read_into(self, buffer: memoryview) -> int:
        """Read the next bytes, as many as there is room for at the most; return how many, 0 at the end. Blocks."""
        ...

    def close(self) -> None:
        """Let go of what is read."""
        ...


class Content(Protocol):
    """The bytes of one local file, to be sent once: as a `whole`, by a `reader`, or in `blocks`."""

    size: int
    """Bytes that the file had when it was opened."""

    @property
    def whole(self) -> bytes | None:
        """All of the bytes, where they are there already and may leave at once."""
        ...

    def reader(self) -> Reader | None:
        """Return what many bytes are to be read by, to be closed; None where that is not for them. Raises OSError."""
        ...

    def advanced(self, amount: int) -> None:
        """Take note that so many bytes have left that a reader has read; call in the event loop's thread."""
        ...

    def blocks(self) -> AsyncIterator[bytes]:
        """Yield the bytes in blocks."""
        ...


class RemoteSession(Protocol):
    """One connection to a site. Paths are relative to the site's root.

    Idempotent by contract: removing what is absent succeeds; making a folder that is there succeeds if it is a folder.
    Several calls may be under way at once, one of them a `store`. Each raises Refusal when the server said no, and
    ConnectionBroken when the session is of no more use. After a cancellation in mid-call it is not usable either.
    """

    @property
    def kept(self) -> set[str]:
        """Which odd traits of names (see `odd_names.odd_traits`) this site was seen to keep."""
        ...

    def keeps(self, traits: Iterable[str]) -> None:
        """Note odd traits that it keeps."""
        ...

    @property
    def usable(self) -> bool:
        """False once the session is cut or out of step."""
        ...

    @property
    def shape(self) -> int:
        """The shape of temporary names (see `temporary_names.SHAPES`) that this site is known to take, 0 at first."""
        ...

    def takes_shape(self, shape: int) -> None:
        """Note that this site takes temporary names of this shape, and none before it."""
        ...

    @property
    def removal(self) -> Removal | None:
        """What this account's removing a folder that is not empty comes to; None if that was not tried."""
        ...

    def found_removal(self, removal: Removal) -> None:
        """Note what it comes to."""
        ...

    def barred(self, folder: str) -> Barred | None:
        """Return what was found not to be allowed in a folder, in this pass."""
        ...

    def found_barred(self, folder: str, what: Barred) -> None:
        """Note what is not allowed in a folder; no changes anywhere, unless something was renamed in this pass."""
        ...

    @property
    def sets_times(self) -> bool:
        """True if this site is known to give a file the modification time that it is told."""
        ...

    @property
    def may_set_times(self) -> bool:
        """True if this site says that it does, or is known to."""
        ...

    async def store(self, path: str, content: Content, left: Callable[[], None], target: Target | None = None) -> int:
        """Write a file, whole, and return the size that the site says it has.

        Calls `left` when the last byte has left and only the server's answer is awaited. The confirmation (226) and
        the size have come when this returns; the next call made before any other await goes out ahead of any other's.
        What `content` raises comes through as it is. A `target` is asked for before the file is sent, in the same write
        where the server takes that.
        """
        ...

    async def size(self, path: str) -> int | None:
        """Return the size of a file in bytes, None when there is no such file, UNKNOWN if nothing tells its size.

        Raises Refusal if it cannot be told whether there is one; so does `look`.
        """
        ...

    async def hash_of(self, path: str, size: int) -> SiteHash | None:
        """Return the strongest hash that the site tells of a file of so many bytes; None if it tells none.

        What was found to be wrong once is not asked for again.
        """
        ...

    def found_hash(self, by: str, *, is_right: bool) -> None:
        """Note whether the site was right about a hash."""
        ...

    async def read_back(
        self, path: str, most: int, take: Callable[[bytes], None], may_read: Callable[[int], Awaitable[None]]
    ) -> bool:
        """Read a file and have all of it taken, block by block; False if its end was not surely all.

        After each block `may_read` is awaited, with its length, before the next one is read. More than `most` bytes end
        the session.
        """
        ...

    async def publish(self, temporary: str, entry: Entry, mode: int | None, aside: Callable[[], str]) -> Published:
        """Give `temporary` the mtime of `entry` and `mode` (None: leave it), then its final name `entry.path`.

        Whatever has that name is replaced, in one step where the site can; else it is renamed to what `aside` returns
        first, where it stays, and back if need be. A Refusal leaves all as it was.
        """
        ...

    async def set_mode(self, path: str, mode: int) -> bool:
        """Set the 0o777 bits; False when this site cannot."""
        ...

    async def set_mtime(self, path: str, mtime_ns: int) -> bool:
        """Set the modification time, to the second; False when this site cannot."""
        ...

    async def prove_times(self, path: str) -> None:
        """Find out by a file of no use whether `sets_times` still holds: the server may be another one by now."""
        ...

    async def rename(self, old: str, new: str) -> None:
        """Rename a file or folder."""
        ...

    async def make_folder(self, path: str) -> bool:
        """Make a folder, or find it there: False then."""
        ...

    async def remove_files(self, paths: Sequence[str]) -> None:
        """Remove files, or find them absent."""
        ...

    async def remove_folder(self, path: str) -> None:
        """Remove an empty folder, or find it absent."""
        ...

    async def list_folder(self, path: str) -> RemoteListing | None:
        """Return what a folder holds, dot files too; None when there is no such folder."""
        ...

    async def modified(self, paths: Iterable[str]) -> list[int]:
        """Return the mtimes in ns of files, to the second; UNKNOWN where the site does not say."""
        ...

    async def look(self, path: str) -> Entry | None:
        """Return what is at a path, as far as the site tells (UNKNOWN mtime or mode where it does not), or None."""
        ...

    async def look_at(self, paths: Sequence[str], *, without: Sequence[str] = ()) -> list[Entry | None]:
        """Remove the files `without`, or find them absent; then return what is at each path, as `look` does."""
        ...

    async def close(self) -> None:
        """End the session, politely if that is quick."""
        ...


class RootedSession(RemoteSession, Protocol):
    """A session that tells where it is."""

    root: str
    """The absolute path of the site's root, "" if the server does not say, or names the password in it."""

    made_root: bool
    """True if the root was not there and this session made it."""

    @property
    def place(self) -> str:
        """Where the server was reached, whatever its name: two names of one place are one server. "" if unknown."""
        ...

    async def resume(self) -> bool:
        """Tell, in a few seconds, whether a session that was idle is of use still, and in its root.

        If so, it is as one that was just begun.
        """
        ...


class Connect(Protocol):
    """Opens sessions; see `ftp.session.connect`."""

    def __call__(
        self, site: Site, password: Secret, *, facts: Facts, timeout_seconds: float, create_root: bool
    ) -> Awaitable[RootedSession]:
        """Open a session in the site's root."""
        ...
