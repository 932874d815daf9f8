"""An FTP server in memory (RFC 959, 2389, 3659), of whatever kind. What goes wrong with it is decided in `events`."""

from __future__ import annotations

import calendar
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from .kinds import Kind
from .site import ROOT, No, Node, Site
from .wire import Connection, Pipe
from .world import World

_FORGOTTEN_PORT_S = 60.0
_LATEST_S = 290.0
"""No later than so long after it fell asleep a process does what it was sent; else never."""
_NEVER_S = 1e9


class Trouble(Protocol):
    """Who is asked, before and after each command, whether something happens."""

    def before(self, session: FtpSession, verb: str, line: bytes) -> bool:
        """Tell whether the session is to go on with the command as usual."""
        ...

    def after(self, session: FtpSession, verb: str, reply: bytes) -> bool:
        """Tell whether the reply is to be sent as usual."""
        ...

    def content(self, session: FtpSession, node: Node, pipe: Pipe) -> int:
        """Return how many bytes of a file that comes are kept, -1 for all."""
        ...


class FtpServer:
    """All sessions with one site."""

    def __init__(self, world: World, kind: Kind, site: Site, trouble: Trouble, cap: int) -> None:
        self.world, self.kind, self.site, self.trouble = world, kind, site, trouble
        self.cap = cap
        self.sessions: list[FtpSession] = []
        self._ports: dict[int, FtpSession] = {}
        self._last_port = 50_000
        self.commands = 0

    def accept(self, connection: Connection) -> FtpSession:
        session = FtpSession(self, connection, len(self.sessions) + 1)
        self.sessions.append(session)
        self.world.note(f"{session} connects")
        open_now = sum(not each.connection.closed for each in self.sessions)
        if open_now > self.cap:
            self.world.found("never more connections than the cap", f"{open_now} are open, {self.cap} are allowed")
        session.greet()
        return session

    def new_port(self, session: FtpSession) -> int:
        self._last_port += 1
        self._ports[self._last_port] = session
        return self._last_port

    def accept_data(self, port: int, pipe: Pipe) -> bool:
        session = self._ports.pop(port, None)
        return session is not None and session.joined(port, pipe)


class FtpSession:
    """One session: its commands are done one after the other, however early they come.

    `gone` says that the client has left, `ended` that the process has; a process whose client is gone may yet do what
    is queued: now, later or never.
    """

    def __init__(self, server: FtpServer, connection: Connection, number: int) -> None:
        self.server, self.connection, self.number = server, connection, number
        self.world, self.site, self.kind = server.world, server.site, server.kind
        self.queue: deque[bytes] = deque()
        self.busy = True
        self.gone = self.ended = False
        self.asleep_until = self._latest = 0.0
        self.folder = b"/"
        self.renaming = b""
        self._port = 0
        self._pipe: Pipe | None = None
        self._on_pipe: Callable[[Pipe], None] | None = None
        self._rest = b""
        self._verb = ""

    def __str__(self) -> str:
        return f"#{self.number}"

    # Commands in, replies out.

    def greet(self) -> None:
        self._verb = "CONNECT"
        if self.server.trouble.before(self, "CONNECT", b""):
            self.say(220, "ready")

    def received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\r\n")
        if self.kind.one_read_one_command and lines:
            lines, self._rest = lines[:1], b""
        if not self.kind.hears_during_transfers and self.busy and self._verb in _TRANSFERS:
            lines = []
        self.queue.extend(lines)
        if self.kind.overtakes and self.busy and self.queue and self.queue[0] == b"NOOP" and self._verb in _TRANSFERS:
            self.queue.popleft()
            self.connection.reply(b"200 yes\r\n")
        self.go_on()

    def left(self, *, abruptly: bool) -> None:
        """The client has closed the connection. Abruptly: what is queued is done now, later or never."""
        self.gone = True
        if abruptly and self.queue and not self.ended:
            self.orphan()
        elif not self.queue and not self.busy:
            self.ended = True

    def orphan(self) -> None:
        """Lose the client."""
        self.gone = True
        fate = self.world.chance.random()
        if fate < 0.4:
            self.ended = True
        elif fate < 0.6:
            self.sleep(self.world.chance.choice([0.5, 3.0, 20.0, 100.0, 200.0]))

    def sleep(self, seconds: float) -> None:
        self._latest = self._latest or self.world.now + _LATEST_S
        wakes = min(self.world.now + seconds, max(self._latest, self.world.now)) if seconds < _NEVER_S else _NEVER_S
        self.asleep_until = max(self.asleep_until, wakes)
        self.world.note(f"{self} sleeps {seconds:g} s, {len(self.queue)} queued")
        self.world.at(self.asleep_until, self.go_on)

    def go_on(self) -> None:
        if self.queue and not self.busy and not self.ended and self.world.now >= self.asleep_until:
            self.busy = True
            self.world.after(0.0002 + self.world.delay(), self._begin, self.queue.popleft())

    def _begin(self, line: bytes) -> None:
        if self.ended:
            return
        if self.world.now < self.asleep_until:
            self.world.at(self.asleep_until, self._begin, line)
            return
        verb = line.split(b" ", 1)[0].decode("latin-1").upper()
        self._verb = verb
        if not self.kind.keeps_ports and verb not in _TRANSFERS:
            self.done_with_pipe()
        self.server.commands += 1
        self.world.note(f"{self} > {line.decode('utf-8', 'backslashreplace')}")
        if self.server.trouble.before(self, verb, line):
            self.perform(line)

    def perform(self, line: bytes) -> None:
        verb, _, argument = line.partition(b" ")
        do = getattr(self, f"do_{verb.decode('latin-1').lower()}", None)
        if do is None:
            self.say(500, "unknown")
            return
        try:
            do(argument)
        except No as no:
            self.say(550, str(no))

    def say(self, code: int, *lines: str) -> None:
        """Give the final reply to the command under way, and go on with the next one."""
        self.say_raw(_reply(code, lines))

    def say_raw(self, reply: bytes) -> None:
        self.busy = False
        if self.server.trouble.after(self, self._verb, reply):
            self.deliver(reply)
        self.go_on()

    def deliver(self, reply: bytes) -> None:
        self.world.note(f"{self} < {reply.decode('utf-8', 'backslashreplace').rstrip()}")
        self.connection.reply(reply)

    def hang_up(self) -> None:
        """End the process."""
        self.ended = True
        self.queue.clear()
        self.connection.hang_up()
        if self._pipe:
            self._pipe.sever()

    # Data connections.

    def joined(self, port: int, pipe: Pipe) -> bool:
        if port != self._port or self.ended:
            return False
        self._pipe = pipe
        if self._on_pipe:
            on_pipe, self._on_pipe = self._on_pipe, None
            on_pipe(pipe)
        return True

    def with_pipe(self, use: Callable[[Pipe], None]) -> None:
        """Use the data connection once it is there; wait for it for a minute."""
        if not self._port:
            self.say(425, "no port was asked for")
        elif self._pipe:
            use(self._pipe)
        else:
            self._on_pipe = use
            self.world.after(_FORGOTTEN_PORT_S, self._give_up, use)

    def _give_up(self, use: Callable[[Pipe], None]) -> None:
        if self._on_pipe is use:
            self._on_pipe = None
            self._port = 0
            self.say(425, "nobody came")

    def done_with_pipe(self) -> None:
        self._pipe, self._port = None, 0

    def do_epsv(self, _: bytes) -> None:
        self._pipe, self._port = None, self.server.new_port(self)
        self.say(229, f"Entering Extended Passive Mode (|||{self._port}|)")

    def do_pasv(self, _: bytes) -> None:
        self._pipe, self._port = None, self.server.new_port(self)
        self.say(227, f"Entering Passive Mode (192,0,2,1,{self._port // 256},{self._port % 256})")

    def do_stor(self, argument: bytes) -> None:
        node = self.site.begin_file(self.path(argument))
        self.with_pipe(lambda pipe: self._store(node, pipe))

    def _store(self, node: Node, pipe: Pipe) -> None:
        self.deliver(b"150 go on\r\n")
        kept = self.server.trouble.content(self, node, pipe)

        def on_data(data: bytes) -> None:
            node.content = (node.content or b"") + data
            if kept >= 0:
                node.content = node.content[:kept]

        def on_end(reset: bool) -> None:
            pipe.deafen()
            self.site.end_file(node, whole=not reset)
            self.done_with_pipe()
            if self.ended:
                return
            pipe.finish()
            if reset:
                self.say(426, "the transfer was broken off")
            elif self.full:
                self.say(552, "Quota exceeded")
            else:
                self.say(226, "done")

        pipe.listen(on_data, on_end)

    full = False

    def do_mlsd(self, argument: bytes) -> None:
        if not self.kind.mlst:
            self.say(500, "unknown")
            return
        folder = self._folder(argument)
        lines = [_facts(self.kind, folder, "cdir", b".")]
        lines += [
            _facts(self.kind, node, "", node.path.rpartition(b"/")[2]) for node in self.site.children(folder.path)
        ]
        self.with_pipe(lambda pipe: self._list(lines, pipe))

    def do_list(self, argument: bytes) -> None:
        folder = self._folder(argument.removeprefix(b"-a").strip())
        nodes = [(b".", folder), (b"..", folder)]
        nodes += [(node.path.rpartition(b"/")[2], node) for node in self.site.children(folder.path)]
        lines = [_unix(name, node, self.world.wall) for name, node in nodes]
        self.with_pipe(lambda pipe: self._list(lines, pipe))

    def _list(self, lines: list[bytes], pipe: Pipe) -> None:
        self.deliver(b"150 it comes\r\n")
        self.done_with_pipe()
        for line in lines:
            pipe.push(line + b"\r\n")
        pipe.finish()
        self.say(226, "done")

    def _folder(self, argument: bytes) -> Node:
        node = self.site.find(self.path(argument))
        if node is None or node.content is not None:
            raise No("No such directory")
        return node

    # Paths.

    def path(self, argument: bytes) -> bytes:
        """Return the path that is meant, and see that it is in the site."""
        parts: list[bytes] = [] if argument.startswith(b"/") else [part for part in self.folder.split(b"/") if part]
        for part in argument.split(b"/"):
            if part == b"..":
                parts[-1:] = []
            elif part not in {b"", b"."}:
                parts.append(part)
        path = b"/" + b"/".join(parts)
        if path != ROOT and not path.startswith(ROOT + b"/"):
            self.world.found("nothing outside the root", f"{self._verb} {argument!r} in {self.folder!r}")
        return path

    def file(self, argument: bytes) -> Node:
        node = self.site.find(self.path(argument))
        if node is None or node.content is None:
            raise No("No such file")
        return node

    # What else there is.

    def do_user(self, _: bytes) -> None:
        self.say(331, "and the password?")

    def do_pass(self, _: bytes) -> None:
        self.say(230, "welcome")

    def do_feat(self, _: bytes) -> None:
        features = ["EPSV", "UTF8"] + ["SIZE"] * self.kind.size
        features += ["MLST type*;size*;modify*;UNIX.mode*;"] * self.kind.mlst
        features += ["MDTM"] * (self.kind.times != "none") + ["MFMT"] * (self.kind.times == "set")
        self.say(211, "Features:", *(f" {each}" for each in features), "End")

    def do_opts(self, _: bytes) -> None:
        self.say(200, "yes")

    do_type = do_noop = do_opts

    def do_cwd(self, argument: bytes) -> None:
        self.folder = self._folder(argument).path
        self.say(250, "here")

    def do_pwd(self, _: bytes) -> None:
        self.say(257, '"' + self.folder.decode("utf-8", "surrogateescape").replace('"', '""') + '"')

    def do_quit(self, _: bytes) -> None:
        self.say(221, "bye")
        self.hang_up()

    def do_size(self, argument: bytes) -> None:
        if not self.kind.size:
            self.say(500, "unknown")
            return
        self.say(213, str(len(self.file(argument).content or b"")))

    def do_mdtm(self, argument: bytes) -> None:
        if self.kind.times == "none":
            self.say(500, "unknown")
            return
        self.say(213, _stamp(self.file(argument).mtime))

    def do_mfmt(self, argument: bytes) -> None:
        stamp, _, path = argument.partition(b" ")
        if self.kind.times != "set":
            self.say(500, "unknown")
            return
        self.file(path).mtime = calendar.timegm(time.strptime(stamp.decode(), "%Y%m%d%H%M%S"))
        self.say(213, f"Modify={stamp.decode()}; set")

    def do_site(self, argument: bytes) -> None:
        verb, _, rest = argument.partition(b" ")
        mode, _, path = rest.partition(b" ")
        if verb.upper() != b"CHMOD" or not self.kind.chmod:
            self.say(500, "unknown")
            return
        node = self.site.find(self.path(path))
        if node is None:
            raise No("No such file")
        node.mode = int(mode, 8)
        self.say(200, "set")

    def do_rnfr(self, argument: bytes) -> None:
        self.renaming = self.path(argument)
        if not self.site.find(self.renaming):
            self.renaming = b""
            raise No("No such file")
        self.say(350, "and to?")

    def do_rnto(self, argument: bytes) -> None:
        old, self.renaming = self.renaming, b""
        if not old:
            self.say(503, "RNFR comes first")
            return
        self.site.rename(old, self.path(argument))
        self.say(250, "renamed")

    def do_dele(self, argument: bytes) -> None:
        self.site.remove_file(self.path(argument))
        self.say(250, "deleted")

    def do_mkd(self, argument: bytes) -> None:
        self.site.make_folder(self.path(argument))
        self.say(257, '"made"')

    def do_rmd(self, argument: bytes) -> None:
        self.site.remove_folder(self.path(argument))
        self.say(250, "removed")

    def do_mlst(self, argument: bytes) -> None:
        if not self.kind.mlst:
            self.say(500, "unknown")
            return
        node = self.site.find(self.path(argument))
        if node is None:
            raise No("No such file")
        facts = _facts(self.kind, node, "", node.path).decode("utf-8", "surrogateescape")
        self.say(250, "Facts:", f" {facts}", "End")


_TRANSFERS = {"STOR", "MLSD", "LIST"}


def _reply(code: int, lines: tuple[str, ...]) -> bytes:
    *more, last = lines
    text = [f"{code}-{more[0]}", *more[1:]] if more else []
    return "".join(f"{line}\r\n" for line in [*text, f"{code} {last}"]).encode("utf-8", "surrogateescape")


def _stamp(moment: float) -> str:
    return time.strftime("%Y%m%d%H%M%S", time.gmtime(int(moment)))


def _facts(kind: Kind, node: Node, what: str, name: bytes) -> bytes:
    facts = f"type={what or ('dir' if node.content is None else 'file')};"
    if node.content is not None:
        facts += f"size={len(node.content)};"
    if kind.times != "none":
        facts += f"modify={_stamp(node.mtime)};"
    return f"{facts}UNIX.mode=0{node.mode:o}; ".encode() + name


def _unix(name: bytes, node: Node, now: float) -> bytes:
    then = time.gmtime(node.mtime)
    month = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"][then.tm_mon - 1]
    recent = now - node.mtime < 180 * 86400
    clock = f"{then.tm_hour:02}:{then.tm_min:02}" if recent else f" {then.tm_year}"
    letter = "d" if node.content is None else "-"
    rights = "".join(right if node.mode >> 8 - place & 1 else "-" for place, right in enumerate("rwxrwxrwx"))
    size = len(node.content or b"")
    return f"{letter}{rights} 1 ftp ftp {size} {month} {then.tm_mday:2} {clock} ".encode() + name
