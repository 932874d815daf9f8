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
        "cannot be read",
        "make it readable for this user, or --exclude it; it stays on the site",
    )
    UNSENDABLE = "invalid name for FTP", "rename it in the source, or --exclude it"
    ALTERED = (
        "the server changes this name",
        "the server does not keep this name: rename it in the source, or --exclude it",
    )
    REFUSED = (
        "refused by the server",
        "check the permissions on the site; retried in the next pass",
    )
    NO_SPACE = "no space on the site", "free some space or raise the quota; the old version is intact"
    BUSY = "changed during the upload", "uploaded in a later pass"
    CONNECTION = (
        "connection lost",
        "retried in the next pass; if it happens often, use fewer connections (--multi) or raise --timeout",
    )
    TOO_QUICK = (
        "needs a slower mode for this server",
        "retried in the next pass, more slowly; if it happens again, report it with the log of -v",
    )
    PERHAPS_TOO_QUICK = (
        "connection lost between several commands",
        "retried in the next pass; if it happens often, check whether the network drops connections under load",
    )
    NO_PORT = (
        "no free data port on the server",
        "use fewer connections (--multi), or open more passive ports on the server",
    )
    LED_ELSEWHERE = (
        "held back: the data connection led to an unverified server",
        "ask the site's host: files go to another server than commands, or this is an attack",
    )
    INCOMPLETE = (
        "incomplete upload",
        "not published, retried in the next pass; if it happens often, ask the site's host",
    )
    EXISTS = (
        "already on the site (--existing fail)",
        "rename one of the two, or choose --existing overwrite or --existing skip",
    )
    SAME_NAME = (
        "same name as another file for this server",
        "rename one of the two in the source, or --exclude it",
    )
    NOT_TRIED = "skipped", "see the message about the folder above it, or about what is in its way"
    INTERNAL = "internal error", "please report it with the log of -v"


NO_MTIMES = "the server does not set every modification time: some files have that of their upload"
"""The note of an outcome whose time the site did not take."""
NO_MODES = "the server does not set every mode (--no-perms leaves them alone)"
"""The note of an outcome whose mode the site did not take."""
OLD_SPELLING = "the server does not rename names that differ only in case or Unicode form: a folder keeps its old name"
"""The note of a folder that has both names to the site, which goes on to list the old one."""
OTHER_SPELLING = "an existing folder keeps its name, which differs from the source only in case or Unicode form"
"""The note of a folder of others that the site lists under another name."""


UNTOLD = "the server does not say which new names exist already: existing files may have been overwritten"
"""The note of an outcome that may have replaced something."""
KEPT = "exists on the site (--existing skip)"
"""Why a file was skipped."""


UNCOMPARED = "content cannot be compared with the site"
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
    """It is not known what was done, at which paths, or a temporary may be left: it has to be looked at."""

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
    what was held `inside`. `answered` says that nothing that was sent about it can still be done later; `alike` are
    other paths of ours beside it that differ in case or Unicode form alone. `earlier` are versions that stood there, or
    were to: a late command may have set one aside. `below_alike` says that a folder above it has such another one
    beside it: to some sites the two are one.
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
    alike: tuple[str, ...] = ()
    earlier: tuple[Entry, ...] = ()
    below_alike: bool = False

    @property
    def may_be_written(self) -> bool:
        """True if a lost session may still write the file itself."""
        return self.candidates.torn and not self.answered
