"""Which reply answers which command. Pure: bytes in, replies out; owns no socket, no clock and no event loop.

The rules (RFC 959, 5.4):

- A server answers commands in the order in which they were sent, the connection itself before all of them (GREETING).
  Each gets any number of preliminary replies (1xx), and one that is final.
- One disorder is borne and noted (`overtaken`): 200 to the NOOP behind a transfer that is still under way.
- A final reply to nothing, and a success that no server gives to the command whose turn it is, mean that the server
  does not answer one command after the other. Then it is not known what any reply was to: OutOfStep.
- 421, and vsftpd's `500 OOPS`, are the server's last words, also without a question: ConnectionBroken, which any
  server and any network may bring about, and which tells nothing of how a server takes its commands.
"""

from collections import deque
from typing import Generic, TypeVar

from async_mirror.ftp.wire.replies import LOGIN, Reply, ReplyError, ReplyParser
from async_mirror.model.escape import shown
from async_mirror.model.secret import NO_SECRET, Secret
from async_mirror.remote.errors import ConnectionBroken

GREETING = "connecting"
"""What stands in the place of a command for the reply that no command asks for."""

_LONGEST_TOLD = 80
"""Characters of what is no reply that are told."""

_TRANSFERS = frozenset({"STOR", "RETR", "MLSD", "LIST"})

_SUCCESS = {
    "EPSV": frozenset({229}),
    "PASV": frozenset({227}),
    "SIZE": frozenset({213}),
    "RNFR": frozenset({350}),
    **dict.fromkeys(("STOR", "RETR"), frozenset({226, 250})),
    **dict.fromkeys(("MLSD", "LIST"), frozenset({200, 226, 250})),  # 200 is aioftp's server's
    "NOOP": frozenset({200}),
}
"""The codes with which a server says yes to these; another yes answers another command."""


class OutOfStep(ConnectionBroken):
    """The server said what fits no command, or answered out of order: a conclusive oddity, no network's doing.

    All other ConnectionBroken (silence, a cut, 421) are ambiguous: any server may meet them.
    """


class PendingReply:
    """The final reply to one command: still to come, come, or never to come any more."""

    has_begun = False
    has_ended = False
    """True once the reply has come, or cannot come any more; asked so often that it is no property."""
    outcome: Reply | ConnectionBroken | None = None

    def __init__(self, command: str, length: int = 0) -> None:
        """Name the command by its verb, or GREETING, and how many bytes it takes on the wire."""
        self.command = command
        self.length = length

    def begin(self) -> None:
        """Note that the server began to do the command (1xx), or will never."""
        self.has_begun = True

    def end(self, outcome: Reply | ConnectionBroken) -> None:
        """Note the reply, or why there will be none."""
        self.outcome = outcome
        self.has_begun = self.has_ended = True

    def take(self) -> Reply:
        """Return the reply that has come. Raises ConnectionBroken if it cannot come any more."""
        if isinstance(self.outcome, Reply):
            return self.outcome
        assert self.outcome is not None
        raise self.outcome


P = TypeVar("P", bound=PendingReply)


class ReplyFlow(Generic[P]):
    """The replies of one control connection, as they come. Once it has raised, it is of no more use but to `fail`.

    No reply is handed on with the `secret` in what is told of it.
    """

    def __init__(self, secret: Secret = NO_SECRET) -> None:
        """Begin with nothing sent and nothing received."""
        self.secret = secret
        self.pending: deque[P] = deque()
        """What is not answered yet, oldest first; only to be looked at."""
        self.in_flight = 0
        """Bytes of the commands that are not answered yet."""
        self.greeting = ""
        self.overtaken = False
        """True once the server answered NOOP during a transfer that had been sent before it."""
        self._parser = ReplyParser()

    @property
    def is_quiet(self) -> bool:
        """True if nothing is pending, and nothing was received but whole replies."""
        return not self.pending and self._parser.is_idle

    def expect(self, *pending: P) -> None:
        """Expect replies to what is sent now, in this order."""
        self.pending.extend(pending)
        for each in pending:
            self.in_flight += each.length

    def feed(self, data: bytes) -> None:
        """Take the next bytes, in whatever pieces they come, and end what they answer.

        Raises OutOfStep, or ConnectionBroken for a farewell, at the same byte whatever the pieces.
        """
        try:
            for reply in self._parser.feed(data):
                self._take(reply)
        except ReplyError as error:
            line = self.secret.redact(error.line, even_short=self._is_at_login)[:_LONGEST_TOLD]
            raise OutOfStep(str(error), repr(shown(line))) from None

    def fail(self, broken: ConnectionBroken) -> None:
        """End all that is pending, since no reply can come any more, or none could be believed."""
        for each in self.pending:
            each.end(broken)
        self.pending.clear()

    @property
    def _is_at_login(self) -> bool:
        return bool(self.pending) and self.pending[0].command in LOGIN

    def _take(self, reply: Reply) -> None:
        reply.secret = self.secret
        if not self.pending:
            raise self._unasked(reply)
        code, pending = reply.code, self.pending[0]
        if code < 200:
            pending.begin()
            return
        if code == 200 and pending.command in _TRANSFERS:
            pending = self._behind_transfer(pending)
        reply.command = command = pending.command
        if code < 400 and command in _SUCCESS and code not in _SUCCESS[command]:
            raise OutOfStep(f"replies out of order after {command}", reply.text)
        self.pending.remove(pending)
        self.in_flight -= pending.length
        pending.end(reply)
        if command == GREETING:
            self.greeting = reply.text
        elif code >= 400 and reply.is_farewell:
            raise ConnectionBroken("the server closed the connection", reply.text, by_server=True)

    def _behind_transfer(self, transfer: P) -> P:
        """Return what 200 answers during a transfer: the NOOP right behind it, if there is one."""
        following = self.pending[1] if len(self.pending) > 1 else transfer
        if following.command != "NOOP":
            return transfer
        self.overtaken = True
        return following

    @staticmethod
    def _unasked(reply: Reply) -> ConnectionBroken:
        if reply.is_farewell:
            return ConnectionBroken("the server closed the connection", reply.text, by_server=True)
        return OutOfStep("unexpected reply from the server", reply.text)
