"""What is to be done to the site and what came of it. Pure data that goes down as a Change, up as one Outcome."""

from enum import StrEnum
from typing import NamedTuple, Self, assert_never

from async_mirror.model.entry import UNKNOWN, Entry

Inside = tuple[tuple[str, bytes], ...]
"""What a folder holds: for it ("") and each folder below it the path inside, and the fingerprint of its content."""


class MakeFolder(NamedTuple):
    """Make a folder; it is fine if it is there."""

    entry: Entry
    why: str


class SendFile(NamedTuple):
    """Publish a file under its final name, whole. `held` is the version the site is known to hold, if any."""

    entry: Entry
    held: Entry | None
    why: str


class SetAttributes(NamedTuple):
    """Set the mode of what the site holds already."""

    entry: Entry
    held: Entry
    why: str


class Move(NamedTuple):
    """Rename `held.path` to `entry.path`.

    A `twin` differs from its old name in case or Unicode form alone: it is renamed first and sent afterwards if its
    content changed. Any other file is renamed only if its content is what was sent under the old name, and any other
    folder only if the site shows just what is held `inside` it; else it is made, and its content comes by itself.
    """

    entry: Entry
    held: Entry
    why: str
    twin: bool = False
    inside: Inside = ()


class RemoveFile(NamedTuple):
    """Remove a file that we put there and that is gone from the source."""

    held: Entry
    why: str


class RemoveFolder(NamedTuple):
    """Remove an empty folder that we made and that is gone from the source."""

    held: Entry
    why: str


Change = MakeFolder | SendFile | SetAttributes | Move | RemoveFile | RemoveFolder


def path_of(change: Change) -> str:
    """Return the path that a change is about; for a Move, the new one."""
    if isinstance(change, RemoveFile | RemoveFolder):
        return change.held.path
    return change.entry.path


TRIES_PER_ATTEMPT = 2
"""How many temporaries one attempt makes at the most: a file that changed while it was sent is sent once more."""


class Job(NamedTuple):
    """A change on its way. `token` makes its temporary names; at most `tries` of them are ever made."""

    change: Change
    token: str
    tries: int

    def temporary_token(self, attempt: int) -> str:
        """Return the token of one attempt's temporary: new for each, yet known in advance to whoever cleans up."""
        return f"{self.token}{attempt}"

    @property
    def aside_token(self) -> str:
        """Return the token of the name that a version in the way gets for a moment."""
        return f"{self.token}o"

    @property
    def probe_token(self) -> str:
        """Return the token of the folder that tries whether the site keeps odd names."""
        return f"{self.token}p"


REPLACES = "replaces a file of the site that differs"
"""Why a file is sent that has the name of another on the site."""

NO_MODES = "this server does not set every mode: some stay as the server makes them (--no-perms leaves all alone)"
"""The note of an outcome whose mode the site did not take."""


class Problem(StrEnum):
    """What kind of failure it was, in words that follow the path; `advice` says what the user can do."""

    advice: str

    def __new__(cls, text: str, advice: str) -> Self:
        """Make a member whose value is the text."""
        member = str.__new__(cls, text)
        member._value_ = text
        member.advice = advice
        return member

    UNREADABLE = (
        "could not be read",
        "let the user who runs this read it in the source, or leave it out with --exclude; on the site it stays",
    )
    UNSENDABLE = "cannot be sent", "rename it in the source, or leave it out with --exclude"
    ALTERED = (
        "would be stored under another name",
        "rename it in the source, or leave it out with --exclude: this server does not keep such a name",
    )
    REFUSED = (
        "was refused",
        "see what the server said, and who may write there; it is tried again in the next pass",
    )
    NO_SPACE = "found no room on the site", "make room there, or have the quota raised; what was there before is intact"
    BUSY = "kept changing while it was sent", "it is sent in a later pass, once nobody writes to it"
    CONNECTION = (
        "lost its connection",
        "it is tried again in the next pass; if it happens often, use fewer connections (--multi) or more --timeout",
    )
    LED_ELSEWHERE = (
        "was not sent to whom we do not know",
        "the site's server is another one for files than for commands, or somebody is on the way: ask the site's host",
    )
    INCOMPLETE = (
        "arrived incomplete",
        "it was not published, and is tried again in the next pass; if it happens often, ask the site's host",
    )
    NOT_TRIED = "was not tried", "see what is said about the folder above it, or about what is in its way"
    INTERNAL = "met an error of ours", "this is a defect of async-mirror: please report it with the log of -v"


class Failure(NamedTuple):
    """A path that was not mirrored, and why. `detail` is text for people, the server's own words included."""

    path: str
    problem: Problem
    detail: str = ""
    transient: bool = False


class Outcome(NamedTuple):
    """What came of one job.

    When `certain`, the site holds `held` at the path now (None: nothing). A job that is not certain stays pending in
    the state and is looked at again; its `held` is what may be there. `temporary` names what this attempt may have
    left on the site, `whole` says that all its bytes were sent, `tries` counts the temporaries made so far; `strays`
    name those of attempts that nobody heard of again.
    `missing` names a folder that turned out not to be there; `given_up` says that a folder is no longer ours, `moved`
    that a Move was a rename indeed.
    """

    job: Job
    held: Entry | None
    failure: Failure | None = None
    certain: bool = True
    skipped: str = ""
    notes: tuple[str, ...] = ()
    bytes_sent: int = 0
    temporary: str = ""
    whole: bool = False
    tries: int = 0
    strays: tuple[str, ...] = ()
    missing: str | None = None
    given_up: bool = False
    moved: bool = False


class Pending(NamedTuple):
    """A change that was begun and never confirmed: what the path may hold now (None: nothing), and held before.

    `leftovers` are the paths of all temporary files that it may have left, `box` that of the folder where it may have
    tried whether the site keeps odd names. `twin` is the other path of a rename that changed case or Unicode form
    alone: a site to which the two are one must be asked how it spells the name. `origin` is the old path of any other
    folder that may have been renamed, with what is held `inside`.
    """

    path: str
    expected: Entry | None
    held: Entry | None
    leftovers: tuple[str, ...] = ()
    box: str = ""
    twin: str = ""
    origin: str = ""
    inside: Inside = ()


def noted(change: Change) -> tuple[tuple[str, Entry | None], ...]:
    """Return what may be at each path that a change touches once it was begun; None for nothing.

    That is noted before the change is begun. What is sent in place of it is noted when it is read.
    """
    match change:
        case SendFile(entry):
            return ((entry.path, entry),)
        case MakeFolder(entry):
            return ((entry.path, entry._replace(mode=UNKNOWN)),)
        case SetAttributes(entry, held):
            return ((entry.path, held._replace(mode=UNKNOWN)),)
        case Move(entry, held, _, twin):
            old: tuple[tuple[str, Entry | None], ...] = ((held.path, None),)
            new = (entry.path, held._replace(path=entry.path, mount=entry.mount or held.mount))
            return (*(old if twin or not entry.is_folder else ()), new)
        case RemoveFile(held) | RemoveFolder(held):
            return ((held.path, None),)
        case _ as never:
            assert_never(never)
