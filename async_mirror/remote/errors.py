"""How a site may fail."""

from async_mirror.model.outcome import Problem

FOLDER_IN_THE_WAY = "a folder is in the way: delete it on the site, or rename the file"
LINK_IN_THE_WAY = "a symbolic link is in the way: delete it on the site"

NO_CHANGES = "this server refuses all renames and deletions"
"""What is told of each file; what to do about it is told once."""
ABOUT_NO_CHANGES = (
    "this server refuses all renames and deletions, so atomic uploads are impossible:"
    " --in-place writes files under their final names, where visitors may see half a file"
)

_LONGEST_TOLD = 1000
"""Characters of a reply that are told: a hostile one must not fill the log."""


class RemoteError(Exception):
    """Something a site did, or did not do. `reply` is the server's own text, unescaped, or ""; `advice` what to do."""

    advice = ""

    def __init__(self, message: str, reply: str = "") -> None:
        super().__init__(message)
        self.reply = reply

    @property
    def told(self) -> str:
        """What happened, and what the server said; unescaped."""
        return f"{self}: {self.reply[:_LONGEST_TOLD]}" if self.reply else str(self)


class ConnectionBroken(RemoteError):
    """The session is of no more use: cut, silent for too long, or out of step. A new one may do better."""

    problem = Problem.CONNECTION
    """What it is to whatever was to be done."""
    advice = "check host, port and network"

    def __init__(self, message: str, reply: str = "", *, by_server: bool = False) -> None:
        """Say what happened; `by_server` if what it was sent is not done any more, for the server ended that.

        It has closed the session, or refused in its reply what this is raised for.
        """
        super().__init__(message, reply)
        self.by_server = by_server


class TooQuick(ConnectionBroken):
    """The server showed that it does not bear the manner in which it was asked; the same again, more slowly, is right.

    That says nothing of what was asked for. The session itself may still be usable.
    """

    problem = Problem.TOO_QUICK
    advice = ""


class PerhapsTooQuick(ConnectionBroken):
    """The session was lost after something quick; any network may have done that. The same again is right."""

    problem = Problem.PERHAPS_TOO_QUICK


class NoPort(ConnectionBroken):
    """The server has no data port for this session: fewer sessions may do better."""

    problem = Problem.NO_PORT
    advice = "use fewer connections (--multi A2), or open more passive ports on the server"


class LedElsewhere(ConnectionBroken):
    """A data connection led to another host than the site, as far as is known; nothing was sent there."""

    problem = Problem.LED_ELSEWHERE
    advice = ""


class ConnectionRefused(RemoteError):
    """The server has too many clients (421, 530 "too many"): fewer connections may do better."""

    advice = "use fewer connections (--multi A2), or close other sessions of this user"


class LoginFailed(RemoteError):
    """The server does not accept user and password; asking again locks accounts."""

    advice = "check user and password; async-mirror config with the same options shows where the password is from"


class SiteUnusable(RemoteError):
    """The site is not the one that was meant, or cannot do what is needed; asking again does not help."""

    advice = "check the path of the destination, and whether this user may create folders there"


class Untrusted(SiteUnusable):
    """It is not certain that the other end is the right one, or that others cannot read what is sent."""

    def __init__(self, message: str, advice: str = "", reply: str = "") -> None:
        super().__init__(message, reply)
        self.advice = advice


class UnknownHost(SiteUnusable):
    """There is no host of this name."""

    advice = "check the spelling of the host and the network"


class RootMissing(SiteUnusable):
    """The site's root is not there, and was not to be made."""


class Refusal(RemoteError):
    """The server said no to one command. `transient` for a 4xx reply: it may say yes later (RFC 959, 4.2.1).

    `no_space` says that the site is full or a quota used up, `perhaps_full` that this may be meant: 451 to an upload
    (RFC 959: "local error in processing") is what several servers say of a full disk, and of much else.
    """

    advice = "see the server's reply; if that does not help, ask the site's host"

    def __init__(
        self,
        message: str,
        reply: str = "",
        *,
        transient: bool = False,
        no_space: bool = False,
        perhaps_full: bool = False,
    ) -> None:
        super().__init__(message, reply)
        self.transient = transient
        self.no_space = no_space
        self.perhaps_full = perhaps_full


class CannotBeSent(Refusal):
    """The server takes no command with this path: that is too long, or no UTF-8; the command was not sent."""


class InTheWay(Refusal):
    """What has the name already cannot be replaced; the text says what it is."""


class ContentFailedError(Exception):
    """The content itself could not be read; that is no fault of the connection."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error
