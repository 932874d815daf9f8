"""An FTP server in memory (RFC 959, 2389, 3659), of whatever kind. What goes wrong with it is decided in `events`."""

from __future__ import annotations

import calendar
import time
from collections.abc import Callable

from .answers import facts, stamp, unix
from .kinds import Kind
from .process import Process, Trouble
from .site import ROOT, No, Node, Site, shown
from .wire import PASSWORD, Connection, Pipe
from .world import World


class FtpServer:
    """All sessions with one site."""

    def __init__(self, world: World, kind: Kind, site: Site, trouble: Trouble, cap: int) -> None:
        self.world, self.kind, self.site, self.trouble = world, kind, site, trouble
        self.cap = cap
        self.pass_began = 0.0
        self.may_begin: Callable[[], bool] = lambda: True
        """Tells whether a file can be noted as begun."""
        self.noted: set[bytes] = set()
        """What has been begun or removed before, and so was noted."""
        self.inner = b""
        """Where the root of another mirror is, if there is one."""
        self.sessions: list[FtpSession] = []
        self._ports: dict[int, FtpSession] = {}
        self._last_port = 50_000

    @property
    def commands(self) -> int:
        return sum(session.commands for session in self.sessions)

    @property
    def lost(self) -> int:
        """How many sessions the client has left without a word."""
        return sum(session.was_left for session in self.sessions)

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


class FtpSession(Process):
    """What the commands of one session do to the site."""

    def __init__(self, server: FtpServer, connection: Connection, number: int) -> None:
        super().__init__(server.world, server.kind, server.trouble, connection, number)
        self.server, self.site = server, server.site
        self.began_in = server.pass_began
        self.folder = b"/"
        self.renaming = b""

    # Transfers.

    def do_epsv(self, _: bytes) -> None:
        self._pipe, self._port = None, self.server.new_port(self)
        self.say(229, f"Entering Extended Passive Mode (|||{self._port}|)")

    def do_pasv(self, _: bytes) -> None:
        self._pipe, self._port = None, self.server.new_port(self)
        self.say(227, f"Entering Passive Mode (192,0,2,1,{self._port // 256},{self._port % 256})")

    def do_stor(self, argument: bytes) -> None:
        path = self.path(argument)
        if not self.gone and path not in self.server.noted and not self.server.may_begin():
            self.world.found("nothing is begun that could not be noted", f"{self._verb} {shown(argument)}")
        self.server.noted.add(path)
        node = self.site.begin_file(path)
        if not self.has_port:
            self.site.end_file(node, whole=True)  # as empty as all that was sent
        self.with_pipe(lambda pipe: self._store(node, pipe))

    def _store(self, node: Node, pipe: Pipe) -> None:
        self.deliver(b"150 go on\r\n")
        kept = self.trouble.content(self, node, pipe)

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

    def do_mlsd(self, argument: bytes) -> None:
        if not self.kind.mlst:
            self.say(500, "unknown")
            return
        folder = self._folder(argument)
        lines = [facts(self.kind, folder, "cdir", b".")]
        lines += [facts(self.kind, node, "", node.path.rpartition(b"/")[2]) for node in self.site.children(folder.path)]
        self.with_pipe(lambda pipe: self._list(lines, pipe))

    def do_list(self, argument: bytes) -> None:
        folder = self._folder(argument.removeprefix(b"-a").strip())
        nodes = [(b".", folder), (b"..", folder)]
        nodes += [(node.path.rpartition(b"/")[2], node) for node in self.site.children(folder.path)]
        lines = [unix(name, node, self.world.wall) for name, node in nodes]
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
        if (inner := self.server.inner) and self.folder != b"/":
            self._keep_apart(path, inner)
        return path

    def _keep_apart(self, path: bytes, inner: bytes) -> None:
        """See that a mirror leaves another one alone whose root is in its own, and that one all that is not its."""
        there, folder, inner = map(self.site.key, (path, self.folder, inner))
        is_inner = (folder + b"/").startswith(inner + b"/")
        if there != inner and is_inner != there.startswith(inner + b"/"):
            self.world.found("mirrors leave each other alone", f"{self._verb} {shown(path)} in {shown(self.folder)}")

    def file(self, argument: bytes) -> Node:
        node = self.site.find(self.path(argument))
        if node is None or node.content is None:
            raise No("No such file")
        return node

    # What else there is.

    def do_user(self, _: bytes) -> None:
        self.say(331, "and the password?")

    def do_pass(self, argument: bytes) -> None:
        self.say(*(230, "welcome") if argument == PASSWORD.encode() else (530, "Login incorrect"))

    def do_feat(self, _: bytes) -> None:
        features = ["EPSV", "UTF8"] + ["SIZE"] * self.kind.size
        features += ["MLST type*;size*;modify*;UNIX.mode*;"] * self.kind.mlst
        features += ["MDTM"] * (self.kind.times != "none") + ["MFMT"] * (self.kind.times in {"set", "refused"})
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
        self.say(213, stamp(self.file(argument).mtime))

    def do_mfmt(self, argument: bytes) -> None:
        stamp, _, path = argument.partition(b" ")
        if self.kind.times == "refused":
            raise No("Operation not permitted")
        if self.kind.times != "set":
            self.say(500, "unknown")
            return
        node = self.file(path)
        node.mtime, node.is_dated = calendar.timegm(time.strptime(stamp.decode(), "%Y%m%d%H%M%S")), True
        self.say(213, f"Modify={stamp.decode()}; set")

    def refuse(self, line: bytes, code: int, text: str) -> None:
        verb, *details = line.split(b" ", 2)
        if verb == b"MFMT" and (node := self.site.find(self.path(details[-1]))):
            node.is_undated = True
        super().refuse(line, code, text)

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
        if self.kind.in_place:
            self.site.renames_refused += 1
            raise No("Permission denied")
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
        self.site.pass_began = self.began_in
        self.site.rename(old, self.path(argument))
        self.say(250, "renamed")

    def do_dele(self, argument: bytes) -> None:
        self._may_remove(argument)
        self.server.noted.add(self.path(argument))
        self.site.remove_file(self.path(argument))
        self.say(250, "deleted")

    def _may_remove(self, argument: bytes) -> None:
        """See that nothing goes because there is no source; of one whose client is gone, that may be long decided."""
        if not self.gone:
            self.site.sees_source(self.path(argument))

    def do_mkd(self, argument: bytes) -> None:
        path = self.path(argument)
        self.site.make_folder(path)
        if not self.gone:
            self.site.begin_anew(path)
        self.say(257, '"made"')

    def do_rmd(self, argument: bytes) -> None:
        self._may_remove(argument)
        self.site.pass_began = self.began_in
        self.site.remove_folder(self.path(argument))
        self.say(250, "removed")

    def do_mlst(self, argument: bytes) -> None:
        if not self.kind.mlst:
            self.say(500, "unknown")
            return
        node = self.site.find(self.path(argument))
        if node is None:
            raise No("No such file")
        told = facts(self.kind, node, "", node.path).decode("utf-8", "surrogateescape")
        self.say(250, "Facts:", f" {told}", "End")
