"""Replies of an FTP server, read from bytes. Pure: owns no connection, and believes no length it was not given."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from async_mirror.model import odd_names, paths
from async_mirror.model.secret import NO_SECRET, Secret
from async_mirror.remote.errors import Refusal

LOGIN = frozenset({"USER", "PASS", "ACCT"})
"""The commands whose replies may hold even a short password."""

LONGEST_LINE = 16 * 1024
LONGEST_REPLY = 256 * 1024
"""Bytes; in memory, as very short lines, they become forty times as many."""

_TELNET = re.compile(rb"(?:\xff[\xfb-\xfe].)+", re.DOTALL)
"""What answers an option of Telnet (RFC 854), as ProFTPD does to a name that holds one: it belongs to no reply."""
_CODE = re.compile(r"[1-6][0-9][0-9]")
_PLAIN = re.compile(rb"([1-6][0-9][0-9]) ([^\r]{0,200})\r?")
_EPSV = re.compile(r"\(([!-~])\1\1(\d{1,5})\1\)")
_PASV = re.compile(r"(\d{1,3}),(\d{1,3}),(\d{1,3}),(\d{1,3}),(\d{1,3}),(\d{1,3})")
_QUOTED = re.compile(r'"((?:[^"]|"")*)"')
_TOO_MANY = re.compile(
    r"too many|\bmax(?:imum)?\b.*(?:client|connection|user|login|session)|(?:client|connection|user|login)s? limit"
    r"|limit .*(?:connection|client|user)|no more (?:connection|user)",
    re.IGNORECASE,
)
_NO_SPACE = re.compile(r"no space|quota|disk (?:is )?full|insufficient (?:storage|space)|storage", re.IGNORECASE)


class ReplyError(ValueError):
    """What came is no reply of RFC 959, or longer than any honest one. `line` is the server's own, unescaped."""

    def __init__(self, message: str, line: bytes) -> None:
        super().__init__(message)
        self.line = paths.decode(line[:LONGEST_LINE])


@dataclass(slots=True)
class Reply:
    """One reply: its code, its lines without the code's column on the first and last, and the verb that it answers.

    No text that is made of it for people has the `secret`.
    """

    code: int
    lines: tuple[str, ...]
    command: str = ""
    secret: Secret = NO_SECRET

    def __repr__(self) -> str:
        """Tell no more than `text` does: asyncio logs what a future holds when it looks for what is slow."""
        return f"Reply({self.text!r})"

    @property
    def told(self) -> list[str]:
        """The lines as they may be told."""
        return self.secret.redact("\n".join(self.lines), even_short=self.command in LOGIN).split("\n")

    @property
    def text(self) -> str:
        """The reply as one line, for people, unescaped."""
        return f"{self.code} {' / '.join(line.strip() for line in self.told if line.strip())}".strip()

    @property
    def succeeded(self) -> bool:
        """True for 2xx."""
        return 200 <= self.code < 300

    @property
    def continues(self) -> bool:
        """True for 3xx: the server waits for the next command of a sequence."""
        return 300 <= self.code < 400

    @property
    def transient(self) -> bool:
        """True for 4xx: the same command may succeed later."""
        return 400 <= self.code < 500

    @property
    def unknown_command(self) -> bool:
        """True if the server does not know the command, whatever its parameter."""
        return self.code in {500, 502, 504}

    @property
    def is_farewell(self) -> bool:
        """True if the server ends the session with this: 421, or what vsftpd says when it dies."""
        return self.code == 421 or (self.code == 500 and self.lines[0].startswith("OOPS:"))

    @property
    def too_many(self) -> bool:
        """True if the server says that it has too many clients."""
        return self.code == 421 or (self.code >= 400 and _TOO_MANY.search(self._beginning) is not None)

    @property
    def no_space(self) -> bool:
        """True if the site is full or the account's quota is."""
        return self.code in {452, 552} or (self.code >= 400 and _NO_SPACE.search(self._beginning) is not None)

    @property
    def _beginning(self) -> str:
        """As much of the text as is judged: a hostile reply must not cost more."""
        return " ".join(self.lines)[:400]


class Refused(Refusal):
    """The server said no to a command."""

    def __init__(self, answer: Reply) -> None:
        """Tell to which, and keep what it said."""
        what = f"the server answered {answer.command} with"
        super().__init__(
            what,
            answer.text,
            transient=answer.transient,
            no_space=answer.no_space,
            perhaps_full=answer.code == 451 and answer.command == "STOR" and not answer.no_space,
        )
        self.answer = answer


def check(reply: Reply) -> None:
    """Raise Refused for a reply that says no."""
    if not reply.succeeded:
        raise Refused(reply)


class ReplyParser:
    """Turns bytes, as they come, into replies (RFC 959, 4.2: a multi-line reply ends with its code and a space)."""

    def __init__(self) -> None:
        """Begin with nothing received."""
        self._rest = b""
        self._code = ""
        self._lines: list[str] = []
        self._length = 0

    @property
    def is_idle(self) -> bool:
        """True if nothing was received but whole replies."""
        return not self._rest and not self._code

    def feed(self, data: bytes) -> Iterator[Reply]:
        """Take the next bytes and yield the replies that they complete; nothing is taken before the first is asked for.

        Raises ReplyError at the same byte whatever the pieces, and is of no more use then.
        """
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if not self._code and (found := _PLAIN.fullmatch(line)):  # nearly all are of one short line
                yield Reply(int(found[1]), (paths.decode(found[2]),))
            elif reply := self._take(line):
                yield reply
        if len(self._rest) > LONGEST_LINE:
            raise ReplyError("the server sent an endless line", self._rest)

    def _take(self, raw: bytes) -> Reply | None:
        if len(raw) > LONGEST_LINE:
            raise ReplyError("the server sent an endless line", raw)
        self._length += len(raw) + 1
        if self._length > LONGEST_REPLY:
            raise ReplyError("the server sent an endless reply", raw)
        if raw[:1] == b"\xff" and not self._code and (telnet := _TELNET.match(raw)):
            raw = raw[telnet.end() :]
        line = paths.decode(raw).removesuffix("\r")
        code, mark = line[:3], line[3:4]
        if self._code:
            ends = code == self._code and mark in {" ", ""}
            self._lines.append(line[4:] if ends else line)
        else:
            if not (_CODE.fullmatch(code) and mark in {" ", "-", ""}):
                raise ReplyError("the server's reply is not FTP", raw.removesuffix(b"\r"))
            ends = mark != "-"
            self._code = code
            self._lines = [line[4:]]
        if not ends:
            return None
        reply = Reply(int(code), tuple(self._lines))
        self._code, self._lines, self._length = "", [], 0
        return reply


def parse_epsv(reply: Reply) -> int | None:
    """Return the port of a 229 reply (RFC 2428), None if there is none."""
    found = _EPSV.search(" ".join(reply.lines))
    return _port(int(found[2])) if found else None


def parse_pasv(reply: Reply) -> int | None:
    """Return the port of a 227 reply (RFC 959); its address is another matter."""
    found = _PASV.search(" ".join(reply.lines))
    if not found or any(int(number) > 255 for number in found.groups()):
        return None
    return _port(int(found[5]) * 256 + int(found[6]))


def parse_pasv_address(reply: Reply) -> str:
    """Return the address of a 227 reply, for those who believe it; "" if there is none."""
    found = _PASV.search(" ".join(reply.lines))
    return ".".join(found.groups()[:4]) if found else ""


def _port(number: int) -> int | None:
    return number if 0 < number < 65536 else None


def parse_features(reply: Reply) -> dict[str, str]:
    """Return the features of a 211 reply to FEAT (RFC 2389): upper-case names and what follows them."""
    features = {}
    for line in reply.lines[1:-1]:
        name, _, rest = line.strip().partition(" ")
        features[name.upper()] = rest
    return features


def parse_path(reply: Reply) -> str | None:
    """Return the quoted path of a 257 reply (RFC 959, appendix II), None if there is none that a command can hold."""
    found = _QUOTED.search(reply.lines[0])
    path = found[1].replace('""', '"') if found else None
    return None if path is None or odd_names.refusal(path) else path
