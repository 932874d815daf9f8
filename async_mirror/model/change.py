"""What is to be done to the site. Pure data that goes down as a Change, and comes up as an Outcome."""

from typing import NamedTuple, assert_never

from async_mirror.model.entry import UNKNOWN, Entry

Inside = tuple[tuple[str, bytes], ...]
"""What a folder holds: for it ("") and each folder below it the path inside, and the fingerprint of its content."""


class MakeFolder(NamedTuple):
    """Make a folder; it is fine if it is there. `asks`: nothing has told yet whether it is.

    `double` is the path of another folder of the source that some sites take for the same; only one can be there then.
    `spelled`, of what was done: the path by which the site lists the folder, if that is another one.
    """

    entry: Entry
    why: str
    asks: bool = False
    double: str = ""
    spelled: str = ""


class SendFile(NamedTuple):
    """Publish a file under its final name, whole. `held` is the version the site is known to hold, if any.

    `asks`: nothing has told yet whether another's file has the name, so the site is to be asked. `double` is the
    path of another thing of the source that some sites take for the same. `compares`: the content may be that of `held`
    all the same; then only its date is set.
    """

    entry: Entry
    held: Entry | None
    why: str
    asks: bool = False
    double: str = ""
    compares: bool = False


class SetDate(NamedTuple):
    """Set the date of a file whose content the site holds already; not `is_set` where it has that, or takes none."""

    entry: Entry
    held: Entry
    why: str
    is_set: bool = True


class SetAttributes(NamedTuple):
    """Set the mode of what the site holds already."""

    entry: Entry
    held: Entry
    why: str


class Move(NamedTuple):
    """Rename `held.path` to `entry.path`.

    A `twin` differs from its old name in case or Unicode form alone: a file is renamed even if its content changed,
    which is sent afterwards. Any other file is renamed only if its content is what was sent under the old name, and a
    folder only if the site shows just what is held `inside` it; else it is made, and its content comes by itself.
    `asks`: nothing has told yet whether another's has the new name.
    """

    entry: Entry
    held: Entry
    why: str
    twin: bool = False
    inside: Inside = ()
    asks: bool = False


class RemoveFile(NamedTuple):
    """Remove a file that we put there and that is deleted from the source."""

    held: Entry
    why: str


class RemoveFolder(NamedTuple):
    """Remove an empty folder that we made and that is deleted from the source."""

    held: Entry
    why: str


Change = MakeFolder | SendFile | SetAttributes | Move | RemoveFile | RemoveFolder
Deed = Change | SetDate
"""What was done in the end."""


def path_of(change: Deed) -> str:
    """Return the path that a change is about; for a Move, the new one."""
    if isinstance(change, SendFile):  # nearly all are, and a type that is asked for in vain costs more than the rest
        return change.entry.path
    return change.held.path if isinstance(change, RemoveFile | RemoveFolder) else change.entry.path


TRIES_PER_ATTEMPT = 2
"""How many temporaries one attempt makes at the most: a file that changed while it was sent is sent once more."""


class Shapes(NamedTuple):
    """What is noted for good of a job before a temporary has another shape: the shapes they may have, a bit each."""

    path: str
    shapes: int


class Job(NamedTuple):
    """A change on its way. `token` makes its temporary names; at most `tries` of them are ever made.

    `shapes` has a bit for each shape (see `temporary_names`) that they may have, and one if the file itself is written.
    """

    change: Change
    token: str
    tries: int
    shapes: int = 1

    def temporary_token(self, attempt: int) -> str:
        """Return the token of one attempt's temporary: new for each, yet known in advance to recovery."""
        return f"{self.token}{attempt}"

    @property
    def aside_token(self) -> str:
        """Return the token of the name that a version in the way gets for a moment."""
        return f"{self.token}o"

    @property
    def probe_token(self) -> str:
        """Return the token of the folder that tries whether the site keeps odd names."""
        return f"{self.token}p"


REPLACES = "overwrites a different file"
"""Why a file is sent that has the name of another on the site."""

CHANGED, MISSING = "changed on the site", "missing on the site"
"""Why a file is sent that the site has no longer as it was sent."""

FOUND = "existing"
"""Why a folder did not have to be made."""


def touches(change: Deed) -> tuple[tuple[str, Entry | None, Entry | None], ...]:
    """Return each path that a change touches, with what is held there before and after; None for nothing.

    What is after is noted before the change is begun. If another version is sent, that is noted when it was read.
    """
    match change:
        case SendFile():  # nearly all are one, and to take it apart in a pattern takes longer
            return ((change.entry.path, change.held, change.entry),)
        case SetDate(entry, held):
            return ((entry.path, held, entry),)
        case MakeFolder(entry):
            return ((entry.path, None, entry._replace(mode=UNKNOWN)),)
        case SetAttributes(entry, held):
            return ((entry.path, held, held._replace(mode=UNKNOWN)),)
        case Move(entry, held, _, twin):
            moved = held._replace(path=entry.path, mount=entry.mount or held.mount)
            to = (entry.path, None, moved)
            return ((held.path, held, None), to) if twin or not entry.is_folder else (to,)
        case RemoveFile(held) | RemoveFolder(held):
            return ((held.path, held, None),)
        case _ as never:
            assert_never(never)


def touched(change: Deed) -> tuple[str, ...]:
    """Return the paths that a change touches."""
    if isinstance(change, Move) and (change.twin or not change.entry.is_folder):
        return change.held.path, change.entry.path
    return (path_of(change),)
