"""What came of one job, and what is not known of it: a closed union, read with `match`. Pure data."""

from enum import StrEnum
from typing import NamedTuple, Self

from async_mirror.model.candidates import Candidates
from async_mirror.model.change import Deed, Inside, Job
from async_mirror.model.entry import Entry


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
    TOO_QUICK = (
        "was asked for in a way that this server does not support",
        "it is tried again in the next pass, more slowly; if that happens again, report it with the log of -v",
    )
    PERHAPS_TOO_QUICK = (
        "lost its connection in the midst of several commands",
        "it is tried again in the next pass; if it happens often, see whether the line loses connections under load",
    )
    NO_PORT = (
        "found no free data port on the server",
        "use fewer connections (--multi), or have more passive ports opened on the server",
    )
    LED_ELSEWHERE = (
        "was not sent to whom we do not know",
        "the site's server is another one for files than for commands, or somebody is on the way: ask the site's host",
    )
    INCOMPLETE = (
        "arrived incomplete",
        "it was not published, and is tried again in the next pass; if it happens often, ask the site's host",
    )
    EXISTS = (
        "may not replace what others have on the site",
        "rename it here or there, or choose --existing overwrite, or --existing skip",
    )
    SAME_NAME = (
        "has the name of another one for this server",
        "rename one of the two in the source, or leave it out with --exclude: the server has room for one",
    )
    NOT_TRIED = "was not tried", "see what is said about the folder above it, or about what is in its way"
    INTERNAL = "met an error of ours", "this is a defect of async-mirror: please report it with the log of -v"


NO_MTIMES = "this server does not set every modification time: some files bear that of their upload"
"""The note of an outcome whose time the site did not take."""
NO_MODES = "this server does not set every mode: some stay as the server makes them (--no-perms leaves all alone)"
"""The note of an outcome whose mode the site did not take."""
OLD_SPELLING = (
    "this server does not rename what differs in case, or in Unicode form, alone: a folder stays under its old name"
)
"""The note of a folder that bears both names to the site, which goes on to list the old one."""


UNTOLD = "the server does not tell of every new name whether others have it: what had one was replaced unseen"
"""The note of an outcome that may have replaced something."""
KEPT = "others have this name on the site, and --existing skip leaves it to them"
"""Why a file was skipped."""


UNCOMPARED = "its content cannot be compared with that of the site"
"""Why a file was skipped, or sent, that looks as it was and yet may be another."""


class Failure(NamedTuple):
    """A path that was not mirrored, and why. `detail` is text for people, the server's own words included.

    `perhaps_full` has the server's words, names cut out, where they may mean that the site is full: if they are heard
    of many files.
    """

    path: str
    problem: Problem
    detail: str = ""
    transient: bool = False
    perhaps_full: str = ""


class Left(NamedTuple):
    """What the attempts at a job left for the next one.

    `temporary` may be on the site; if it `holds` a version, all bytes of that one were sent. `tries` counts the
    temporaries made so far, `shapes` has a bit for each shape that they may have, `strays` name those of attempts that
    nobody heard of again, and the `box` may be left in which an odd name was tried. `unanswered` says that a session
    did not end with a reply or a close by the server: what it was sent may still be done, much later. `replaces` says
    that others had the name; None if nothing told.
    """

    temporary: str = ""
    holds: Entry | None = None
    tries: int = 0
    shapes: int = 0
    strays: tuple[str, ...] = ()
    box: str = ""
    unanswered: bool = False
    replaces: bool | None = False


class Doubt(NamedTuple):
    """A path of which it is not known what is there."""

    path: str
    candidates: Candidates


class Done(NamedTuple):
    """The site holds `held` at the path now (None: nothing).

    `change` is what was done in the end: a Move may have become a SendFile or a MakeFolder, a SendFile a SetDate.
    `unanswered` says that an attempt before this one was sent what may still be done: the path is looked at again
    later. `doubts` are of other paths that the job touched, as the origin of a Move that may have been renamed before
    it was sent.
    """

    job: Job
    change: Deed
    held: Entry | None
    notes: tuple[str, ...] = ()
    bytes_sent: int = 0
    unanswered: bool = False
    doubts: tuple[Doubt, ...] = ()


class Skipped(NamedTuple):
    """There was nothing to do any more; the site is as it was."""

    job: Job
    why: str
    bytes_sent: int = 0


class Unmanaged(NamedTuple):
    """What is there is not ours, or holds what is not: it stays, and is tracked no longer.

    `unanswered` says that something of ours may be left beside it: the path is looked at again later.
    """

    job: Job
    why: str
    bytes_sent: int = 0
    unanswered: bool = False


class Failed(NamedTuple):
    """It was not done; the site is as it was. `missing` names a folder that turned out not to be there."""

    job: Job
    failure: Failure
    missing: str | None = None
    left: Left = Left()
    bytes_sent: int = 0


class InDoubt(NamedTuple):
    """It is not known what was done, at which paths, or a temporary may be left: somebody has to look."""

    job: Job
    failure: Failure
    doubts: tuple[Doubt, ...]
    missing: str | None = None
    left: Left = Left()
    bytes_sent: int = 0


Outcome = Done | Skipped | Unmanaged | Failed | InDoubt


class Pending(NamedTuple):
    """A path that was touched and not confirmed. `held` is what the state says of it, its candidates what may be there.

    `leftovers` are the paths of all temporary files that may be left, `asides` those of the names that an old version
    got while a new one took its place. `boxes` are the folders where it may have been tried whether the site keeps odd
    names. `twin` is the other path of a rename that changed case or Unicode form alone: a site to which the two are one
    must be asked how it spells the name. `origin` is the old path of any other folder that may have been renamed, with
    what was held `inside`. `answered` says that nothing that was sent about it can still be done later, `alike` that
    another path of ours beside it differs in case or Unicode form alone, too. `earlier` are versions that stood there,
    or were to: a late command may have set one aside.
    """

    path: str
    candidates: Candidates
    held: Entry | None
    leftovers: tuple[str, ...] = ()
    asides: tuple[str, ...] = ()
    boxes: tuple[str, ...] = ()
    twin: str = ""
    origin: str = ""
    inside: Inside = ()
    answered: bool = False
    alike: bool = False
    earlier: tuple[Entry, ...] = ()

    @property
    def may_be_written(self) -> bool:
        """True if a session that nobody has now may still write the file itself."""
        return self.candidates.torn and not self.answered
