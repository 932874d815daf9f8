"""A RemoteSession over FTP. The only module that knows the protocol's commands; `control` carries them."""

import asyncio
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from typing import NamedTuple

from async_mirror.ftp.client import Client
from async_mirror.ftp.control import WIDE_WINDOW, AwaitedReply, length_of
from async_mirror.ftp.features import AHEAD, LONG_LINE, NO_UTF8, SHORT_COMMAND, TOGETHER, Features
from async_mirror.ftp.figures import format_time
from async_mirror.ftp.hashes import HashCommand, offered, parse_hash
from async_mirror.ftp.list_ways import Known, Shown, Way, best, learned, next_way, shown_by
from async_mirror.ftp.listing import ListingParser
from async_mirror.ftp.login import client_for, greet, log_in
from async_mirror.ftp.lookup import Lookup, read_facts, told_time
from async_mirror.ftp.passive_ports import Refused, SessionSpent
from async_mirror.ftp.proofs import prove_ahead, prove_together
from async_mirror.ftp.replies import Reply, parse_path
from async_mirror.ftp.reply_flow import OutOfStep
from async_mirror.ftp.tls import Tls, TooNarrow, tls_for
from async_mirror.ftp.transfer import Taken, Transfers
from async_mirror.model import escape, odd_names
from async_mirror.model.entry import UNKNOWN, Entry, Kind
from async_mirror.model.facts import Facts
from async_mirror.model.paths import is_utf8, lineage, parent, split
from async_mirror.model.secret import Secret
from async_mirror.model.site import MACHINE, Site, Trust
from async_mirror.model.temporary_names import is_temporary, named_in
from async_mirror.remote.errors import (
    ABOUT_NO_CHANGES,
    FOLDER_IN_THE_WAY,
    LINK_IN_THE_WAY,
    CannotBeSent,
    ConnectionBroken,
    ConnectionRefused,
    InTheWay,
    NoPort,
    Refusal,
    RootMissing,
    SiteUnusable,
)
from async_mirror.remote.session import Barred, Content, Published, RemoteListing, Removal, SiteHash, Target

_MOST_PROOFS = 5
"""More sessions are not spent on proofs: each rung may cost two."""

_TAKES_WORK = frozenset({"DELE", "RMD", "MKD", "RNTO", "CWD"})
"""Commands that may keep a disk busy."""

_ABSENT = re.compile(r"no such|not found|(?:not|n't) exist", re.IGNORECASE)
"""What some servers (bftpd) say of an absent folder, with a code of 4xx."""
_LISTING_AS_IMAGE = "listings with TYPE I"
_WANTS_TEXT = re.compile(r"\b(?:encoding|ascii|TYPE A)\b", re.IGNORECASE)
_TEMPORARIES = "our temporaries in listings"
"""As a thing that the server does: it may hide just these, and show all other names with a dot (`hide_file={.am*}`)."""
_REPLACING = "renaming over an existing file"
_TIMES = {"MFMT": "MFMT", "MDTM": "MDTM with a time", "SITE UTIME": "SITE UTIME"}
"""The commands that set times, as they are known; MDTM without a time is another command."""

_LOST_BY_SITE = frozenset({"^ ", " $", "\t", '"'})
"""Odd traits with which ProFTPD takes the argument of SITE CHMOD for another name: it splits it at blanks."""

_HASHED_BYTES_PER_S = 20e6
_ASKED_ONE_BY_ONE = 8
"""So many paths of a folder are asked for one by one before its listing costs less."""
_REMOVED_UNSEEN = 16
"""So many paths of a folder that may be there are removed before it is listed which of them are."""

_LISTED_AGAIN = 4
"""So often a listing is asked for again that failed because a temporary got its final name meanwhile: simple-ftpd."""

_OF_THE_PATH = frozenset({450, 451})
"""Refusals "for the moment" that servers give for good, too, of a path that they do not find."""
_RESUMED_WITHIN_S = 5.0


async def connect(
    site: Site,
    password: Secret,
    *,
    trust: Trust = MACHINE,
    facts: Facts | None = None,
    timeout_seconds: float,
    create_root: bool = True,
    pasv_address_believed: bool = False,
) -> "FtpSession":
    """Open a session, logged in and in the site's root.

    Raises LoginFailed, ConnectionRefused (too many clients), ConnectionBroken, SiteUnusable (Untrusted if whom we
    speak to is not sure), and RootMissing when the root is absent and not to be made. What is found out about the
    server is noted in `facts`, for all sessions with it. A session that a proof left out of step is replaced.
    """
    tls = tls_for(trust) if site.is_encrypted else None
    facts = Facts() if facts is None else facts
    for _ in range(_MOST_PROOFS):
        client = await _greeted(site, tls, password, timeout_seconds)
        try:
            session = FtpSession(client, site, tls, facts, pasv_address_believed=pasv_address_believed)
            await log_in(client, site, password)
            await session.begin(create_root)
        except SessionSpent:
            continue
        except NoPort as full:
            raise ConnectionRefused(str(full), full.reply) from None
        except BaseException:
            client.control.break_off("it was not to be opened")
            raise
        return session
    raise ConnectionBroken("the server does not answer what any server answers (NOOP, PWD, EPSV)")


async def _greeted(site: Site, tls: Tls | None, password: Secret, timeout_seconds: float) -> Client:
    """Connect, twice if TLS was offered too narrowly at first."""
    client = _client(site, tls, password, timeout_seconds)
    try:
        try:
            await greet(client, site, tls)
        except TooNarrow:
            client.control.break_off("another way is tried")
            client = _client(site, tls, password, timeout_seconds)
            await greet(client, site, tls)
    except BaseException:
        client.control.break_off("it was not to be opened")
        raise
    return client


def _client(site: Site, tls: Tls | None, password: Secret, timeout_seconds: float) -> Client:
    return client_for(site, tls.context if tls else None, timeout_seconds, password)


class FtpSession:
    """One logged-in connection; see `remote.session.RemoteSession` for what its methods promise."""

    def __init__(
        self, client: Client, site: Site, tls: Tls | None, facts: Facts, *, pasv_address_believed: bool
    ) -> None:
        """Wrap a client; `begin` makes it ready."""
        self.root = ""
        self.made_root = False
        self._folder = ""
        self._client = client  # whose end is that of the connection
        self._control = client.control
        self._site = site
        self._chosen_hash = ""
        self._features = Features(facts, site)
        self._lookup = Lookup(self._features, self._exchange, self._name, self.list_folder, self._is_folder)
        self._transfers = Transfers(
            client.control, site.host, tls, self._features, pasv_address_believed=pasv_address_believed
        )

    @property
    def usable(self) -> bool:
        """False once the control connection is cut or out of step."""
        return self._control.broken is None

    @property
    def sets_times(self) -> bool:
        """True if the server offers MFMT, or was seen to take another command for it."""
        return "MFMT" in self._features.offers or any(map(self._features.has, _TIMES.values()))

    @property
    def kept(self) -> set[str]:
        """Which odd traits of names this site was seen to keep."""
        return set(self._features.known.kept)

    def keeps(self, traits: Iterable[str]) -> None:
        """Note which odd traits of names it keeps."""
        self._features.keeps(traits)

    @property
    def shape(self) -> int:
        """The shape of temporary names that this account takes, as far as is known."""
        return self._features.known.shape

    def takes_shape(self, shape: int) -> None:
        """Note which shape of temporary names this account takes."""
        self._features.takes_shape(shape)

    @property
    def removal(self) -> Removal | None:
        """What RMD of a folder that is not empty comes to, as far as is known."""
        known = self._features.removal
        return Removal(known) if known else None

    def found_removal(self, removal: Removal) -> None:
        """Note what RMD of a folder that is not empty comes to."""
        recursive = "this server removes a folder with all that is in it: only one that is seen to be empty is removed"
        self._features.found_removal(removal, "" if removal is Removal.REFUSED else recursive)

    def barred(self, folder: str) -> Barred | None:
        """Return what was found not to be allowed in a folder, in this pass."""
        known = self._features.barred(folder)
        return Barred(known) if known else None

    def found_barred(self, folder: str, what: Barred) -> None:
        """Note what is not allowed in a folder."""
        self._features.found_barred(folder, what, ABOUT_NO_CHANGES if what is Barred.CHANGES else "")

    async def begin(self, create_root: bool) -> None:
        """Learn what the server can do, prove what it bears, and enter the root. Raises SessionSpent."""
        features, clock = self._features, asyncio.get_running_loop().time
        began = clock()
        (reply,) = await self._exchange("FEAT")
        features.path.timed(clock() - began)
        greeting = self._control.flow.greeting
        features.read_features(greeting, reply)
        if "vsFTPd" in greeting:
            self._control.window = WIDE_WINDOW
        if not features.recognise():
            (system,) = await self._exchange("SYST")
            features.identify(system)
        await prove_together(self._control, features)
        await self._settle_in(create_root)
        await prove_together(self._control, features)
        await prove_ahead(self._control, features, self._transfers.ports)
        await self._transfers.ports.try_kind()

    async def _settle_in(self, create_root: bool) -> None:
        """Agree upon bytes and names, and enter the root, all in one write where the server takes that."""
        root, features = self._site.root, self._features
        commands = ["SYST"] * (features.level > 0)
        commands += ["OPTS UTF8 ON"] * ("UTF8" in features.offers) + ["TYPE I"] + [f"CWD {root}"] * bool(root) + ["PWD"]
        replies = dict(zip(commands, await self._exchange(*commands), strict=True))
        if "SYST" in replies:
            features.identify(replies["SYST"])
        self._check(replies["TYPE I"])
        where = replies["PWD"]
        if root and not replies[f"CWD {root}"].succeeded:
            await self._make_root(replies[f"CWD {root}"], create_root)
            (where,) = await self._exchange("PWD")
        self._folder = (parse_path(where) or "") if where.succeeded else ""
        self._lookup.root = self._folder
        self.root = self._folder if self._control.flow.secret.redact(self._folder) == self._folder else ""

    async def _make_root(self, reply: Reply, create: bool) -> None:
        """Make and enter the root, which could not be entered. Raises RootMissing, SiteUnusable, ConnectionBroken."""
        root = self._site.root
        if not create:
            if reply.transient and not _ABSENT.search(reply.text):
                raise ConnectionBroken(f"the folder {escape.shown(root)} cannot be entered now", reply.text)
            raise RootMissing(f"the folder {escape.shown(root)} is not there", reply.text)
        made = reply
        for folder in [*lineage(root), root]:
            if folder:
                (made,) = await self._exchange(f"MKD {folder}")
        (reply,) = await self._exchange(f"CWD {root}")
        if reply.transient:
            raise ConnectionBroken(f"the folder {escape.shown(root)} cannot be entered now", reply.text)
        if not reply.succeeded:
            raise SiteUnusable(f"the folder {escape.shown(root)} cannot be entered, and not be made", made.text)
        self.made_root = made.succeeded

    # Commands and replies.

    async def _exchange(self, *commands: str) -> list[Reply]:
        """Send commands, in one write if this server takes that, and return their replies."""
        if not commands:
            return []
        if not _are_short(commands):
            await self._see_that_lines_fit(*commands)
        if not self._transfers.lock.is_free:
            await self._transfers.lock.until_free()
        control, known = self._control, self._features.known
        if known.level < AHEAD:  # there, a port is asked for directly before its transfer
            self._transfers.ports.close()
        if not known.level or control.flow.in_flight + length_of(*commands) > control.window:
            async with self._transfers.lock:
                return await self._one_by_one(commands)
        together = len(commands) > 1 or control.flow.in_flight > 0
        try:
            replies = await self._replies(control.send(*commands))
        except ConnectionBroken as broken:
            raise self._transfers.judge(broken, together * TOGETHER, known.generations[TOGETHER]) from None
        if together:
            self._features.passed(TOGETHER)
        return replies

    async def _replies(self, pending: Sequence[AwaitedReply]) -> list[Reply]:
        """Wait for replies; once the first has come, those that take a server no work are not waited for so long."""
        for each in pending:
            if not each.has_ended:
                quick = each is not pending[0] and each.command not in _TAKES_WORK
                await self._control.reply(each, self._quickly_s if quick else None)
        return self._control.come(pending)

    @property
    def _quickly_s(self) -> float:
        return min(self._features.path.patience_s, self._control.quick_seconds)

    async def _see_that_lines_fit(self, *commands: str) -> None:
        """Raise CannotBeSent for a line that this server does not take as one, or at which it ends the connection.

        There are servers that take the end of a long line for another command, whatever a path may say there. So a
        harmless one of that length goes first: its path has a name that no file system can hold.
        """
        if not all(map(is_utf8, commands)):
            await self._see_that_bytes_fit()
        features, length = self._features, max(map(length_of, commands))
        if length <= features.longest_line:
            return
        if length < features.too_long_line:
            probe = await self._reply_to_probe(f"CWD {'x' * (length - 6)}", LONG_LINE)
            if probe and not probe.unknown_command:
                features.line_taken(length)
                return
        features.line_not_taken(length)
        raise CannotBeSent(
            f"its path is too long for this server, which takes no line of {features.too_long_line:.0f} bytes"
        )

    async def _see_that_bytes_fit(self) -> None:
        features = self._features
        if features.has(NO_UTF8):
            return
        if not features.lacks(NO_UTF8):
            if await self._reply_to_probe("CWD am-absent-\udce9-x", NO_UTF8):
                features.have(NO_UTF8)
                return
            features.lack(NO_UTF8)
        raise CannotBeSent("its path is no UTF-8, and this server ends the connection at such a path")

    async def _reply_to_probe(self, command: str, what: str) -> Reply | None:
        """Return how the server refuses an odd sort of line; None if it does not take such a line, or not as one.

        Raises ConnectionBroken for the first cut, which may be chance.
        """
        async with self._transfers.lock:
            await self._control.room(self._control.window)
            try:
                probe, after = await self._one_by_one([command, "PWD"])
            except OutOfStep:
                return None
            except ConnectionBroken:
                if not self._features.cut_at(what):
                    raise
                return None
            if probe.succeeded or not after.succeeded:
                self._control.break_off(f"the server does not take {what} as it is")
                return None
        return probe

    async def _one_by_one(self, commands: Sequence[str]) -> list[Reply]:
        """Send commands one after the other; no more than one at a time to a server that bears no more."""
        control = self._control
        expected: list[AwaitedReply] = []
        for command in commands:
            await control.room(length_of(command) if self._features.level else control.window)
            expected.extend(control.send(command))
        return await control.replies(expected)

    def _check(self, *replies: Reply) -> None:
        for reply in replies:
            if not reply.succeeded:
                raise Refused(reply)

    def _name(self, path: str) -> str:
        """Return a path as it may stand in a command.

        A leading `~` or `-` means something else to servers, and Pure-FTPd alters a leading blank, even after `./`;
        behind the root's own path all of them are kept.
        """
        if path[:1] not in {"~", "-", " ", "\t"}:
            return path or "."
        return f"{self._folder.rstrip('/')}/{path}" if self._folder else f"./{path}"

    # Files.

    async def store(self, path: str, content: Content, left: Callable[[], None], target: Target | None = None) -> int:
        """Write a file whole, and return the size that the site says it has."""
        size_command = self._lookup.size_command(path)
        before = self._lookup.size_command(target.path) if target else ""
        command = f"STOR {self._name(path)}"
        if not _are_short((command, before)):
            await self._see_that_lines_fit(command, before)
        reply, answer, told = await self._transfers.store(command, size_command, content, left, before)
        size: int | None = self._lookup.told_size(answer) if answer else UNKNOWN
        if size == UNKNOWN:
            size = await self._lookup.size(path, answer)
        if target:
            target.is_there = await self._lookup.is_there(target.path, told)
        if size is None:
            raise Refusal("the file is not there after it was sent", reply.text, transient=True)
        return size

    async def size(self, path: str) -> int | None:
        """Ask SIZE, MLST, or look the file up in its folder's listing."""
        return await self._lookup.size(path)

    async def hash_of(self, path: str, size: int) -> SiteHash | None:
        """Ask by HASH, XSHA256, XSHA1, XMD5 or XCRC, whichever is offered and not known to tell what is wrong."""
        for command in offered(self._features.offers):
            stands = self._features.hash_stands(command.name)
            if stands < 0 or self._features.lacks(command.name):
                continue
            reply = await self._ask_hash(command, path, size, is_proved=stands > 0)
            if value := parse_hash(reply, command.algorithm):
                return SiteHash(command.algorithm, value, command.name, is_proved=stands > 0)
            if stands == 0 and await self.size(path) is not None:
                self._features.lack(command.name)
        return None

    async def _ask_hash(self, command: HashCommand, path: str, size: int, *, is_proved: bool) -> Reply:
        """Have a hash reckoned, which may take a server long; a way that breaks the connection is not tried again."""
        line = f"{command.verb} {self._name(path)}"
        await self._see_that_lines_fit(line)
        try:
            async with self._transfers.lock:
                if command.choice and self._chosen_hash != command.choice:
                    (chosen,) = await self._one_by_one([command.choice])
                    if not chosen.succeeded:
                        return chosen
                    self._chosen_hash = command.choice
                await self._control.room(self._control.window)
                (awaited,) = self._control.send(line)
                return await self._control.reply(awaited, self._control.timeout_seconds + size / _HASHED_BYTES_PER_S)
        except ConnectionBroken:
            if not is_proved:
                self._features.found_hash(command.name, is_right=False)
            raise

    def found_hash(self, by: str, *, is_right: bool) -> None:
        """Note whether a hash was right."""
        self._features.found_hash(by, is_right=is_right)

    async def read_back(
        self, path: str, most: int, take: Callable[[bytes], None], may_read: Callable[[int], Awaitable[None]]
    ) -> bool:
        """Read a file by RETR."""
        command = f"RETR {self._name(path)}"
        await self._see_that_lines_fit(command)
        taken = Taken(most, take, may_read)
        reply, whole = await self._transfers.fetch(command, taken)
        if taken.endless and self._control.broken:
            raise self._control.broken
        self._check(reply)
        return whole

    async def publish(self, temporary: str, entry: Entry, mode: int | None, aside: Callable[[], str]) -> Published:
        """Set attributes and rename, in one write where the server takes that."""
        lacked = self._features.known.lacked
        commands, atomic = {}, _REPLACING not in lacked
        if verb := self._mtime_verb(lacked):
            commands["mtime"] = self._set_mtime_command(verb, temporary, entry.mtime_ns)
        if mode is not None and "SITE CHMOD" not in lacked:  # the temporary's name is a plain one
            commands["mode"] = self._set_mode_command(temporary, mode)
        if not atomic and await self.size(entry.path) is not None:
            commands["old from"], commands["old to"] = self._rename_commands(entry.path, aside())
        commands["new from"], commands["new to"] = self._rename_commands(temporary, entry.path)
        replies = dict(zip(commands, await self._exchange(*commands.values()), strict=True))
        put_aside = "old to" in replies and self._was_renamed(replies["old from"], replies["old to"])
        if not self._was_renamed(replies["new from"], replies["new to"]):
            refused = _rename_refusal(replies["new from"], replies["new to"])
            if "old to" in replies:
                if put_aside:
                    await self._put_back(aside(), entry.path)
                raise refused
            await self._publish_in_steps(temporary, entry.path, aside(), refused)
            atomic, put_aside = False, True
        self._features.renamed()
        mode_set = mode is None or ("mode" in replies and replies["mode"].succeeded)
        if not mode_set and "mode" in replies and replies["mode"].unknown_command:
            self._features.lack("SITE CHMOD")
        mtime_set = "mtime" in replies and replies["mtime"].succeeded
        if mtime_set:
            self._features.have(_TIMES[verb])
        elif "mtime" in replies and self._doubts_mtime(verb, replies["mtime"]):
            self._features.lack(_TIMES[verb])
            with suppress(Refusal):  # the file itself is published by now
                mtime_set = await self.set_mtime(entry.path, entry.mtime_ns)
        return Published(mtime_set, mode_set, atomic, put_aside)

    async def _publish_in_steps(self, temporary: str, final: str, aside: str, refused: Refusal) -> None:
        """Rename where a file is in the way: that one first, and back if need be. Some tell a size of a folder, too."""
        if await self._is_folder(final):
            raise InTheWay(FOLDER_IN_THE_WAY, refused.reply)
        if refused.transient or await self.size(temporary) is None or await self.size(final) is None:
            raise refused
        await self.rename(final, aside)
        try:
            await self.rename(temporary, final)
        except Refusal:
            await self._put_back(aside, final)
            raise
        self._features.lack(_REPLACING)

    async def _put_back(self, aside: str, final: str) -> None:
        try:
            await self.rename(aside, final)
        except Refusal as refusal:  # what bears the final name is not known any more: somebody has to look
            self._control.break_off("the old version could not be put back")
            raise ConnectionBroken("the old version could not be put back", refusal.reply) from None

    def _rename_commands(self, old: str, new: str) -> tuple[str, str]:
        return f"RNFR {self._name(old)}", f"RNTO {self._name(new)}"

    def _set_mtime_command(self, verb: str, path: str, mtime_ns: int) -> str:
        return f"{verb} {format_time(mtime_ns)} {self._name(path)}"

    def _set_mode_command(self, path: str, mode: int) -> str:
        return f"SITE CHMOD {mode:03o} {self._name(path)}"

    async def set_mtime(self, path: str, mtime_ns: int) -> bool:
        """Set the modification time by the first command that this server takes; forget those that it does not."""
        while verb := self._mtime_verb(self._features.known.lacked):
            (reply,) = await self._exchange(self._set_mtime_command(verb, path, mtime_ns))
            if reply.succeeded:
                self._features.have(_TIMES[verb])
                return True
            if not self._doubts_mtime(verb, reply) or await self.size(path) is None:
                return False
            self._features.lack(_TIMES[verb])
        return False

    def _mtime_verb(self, lacked: AbstractSet[str]) -> str:
        """Return the command that sets times where some are lacked, as far as is known; "" for none."""
        for verb in ("MFMT",) if "MFMT" in self._features.offers else ("MDTM", "SITE UTIME"):
            if _TIMES[verb] not in lacked:
                return verb
        return ""

    def _doubts_mtime(self, verb: str, reply: Reply) -> bool:
        """Tell whether a refusal means that the command is not understood: a guessed one may be taken for a query."""
        return reply.unknown_command or not self._features.has(_TIMES[verb])

    async def set_mode(self, path: str, mode: int) -> bool:
        """Set the permission bits by SITE CHMOD; False where that is unknown."""
        if self._features.lacks("SITE CHMOD"):
            return False
        if odd_names.odd_traits(split(path)[1]) & _LOST_BY_SITE:
            raise Refusal("SITE CHMOD may take the name for another one")
        (reply,) = await self._exchange(self._set_mode_command(path, mode))
        if reply.unknown_command:
            self._features.lack("SITE CHMOD")
            return False
        self._check(reply)
        return True

    async def rename(self, old: str, new: str) -> None:
        """Rename by RNFR and RNTO."""
        first, second = await self._exchange(*self._rename_commands(old, new))
        if not self._was_renamed(first, second):
            raise _rename_refusal(first, second)

    def _was_renamed(self, first: Reply, second: Reply) -> bool:
        """Tell whether RNFR and RNTO renamed a file; a server that took another one's RNFR for it is not believed."""
        if second.succeeded and not first.continues:
            what = "the server renamed something else than it was told to"
            self._control.break_off(what, first.text)
            raise ConnectionBroken(what, first.text)
        return second.succeeded

    async def remove_files(self, paths: Sequence[str]) -> None:
        """Remove by DELE; a refusal for what is absent counts as done."""
        await self.look_at((), without=paths)

    # Folders.

    async def make_folder(self, path: str) -> bool:
        """Make by MKD; a refusal for what is there counts as done if it is a folder, and no link to one."""
        (reply,) = await self._exchange(f"MKD {self._name(path)}")
        if reply.succeeded:
            return True
        if not await self._is_folder(path):
            raise Refused(reply)
        listing = await self.list_folder(parent(path))
        if listing and split(path)[1] in listing.others:
            raise Refusal(LINK_IN_THE_WAY, reply.text)
        return False

    async def remove_folder(self, path: str) -> None:
        """Remove by RMD; a refusal for what is absent counts as done."""
        (reply,) = await self._exchange(f"RMD {self._name(path)}")
        if not reply.succeeded and await self.look(path) is not None:
            raise Refused(reply)

    async def _is_folder(self, path: str) -> bool:
        """Try to enter the folder, and come back in the same breath."""
        if not self._folder:
            raise Refusal("the server does not tell where it is (PWD), so no folder can be told from a file")
        async with self._transfers.lock:
            entered, back = await self._exchange(f"CWD {self._name(path)}", f"CWD {self._folder}")
        self._check_back(back)
        return entered.succeeded

    def _check_back(self, back: Reply) -> None:
        if not back.succeeded:
            self._control.break_off("the root cannot be entered again", back.text)

    async def list_folder(self, path: str) -> RemoteListing | None:
        """List by MLSD, else by LIST, in such ways as the server takes."""
        answer = await self._list(path)
        return answer.listing if answer else None

    async def _list(self, path: str) -> "_Answer | None":
        if self._lookup.knows_facts:
            answer = await self._fetch(f"MLSD {self._name(path)}", path, facts=True)
            if answer.shown is Shown.FOLDER:
                return answer
            if not answer.reply.unknown_command:
                if answer.reply.transient:
                    raise Refused(answer.reply)
                if not await self._is_folder(path):
                    await self._no_folder(path, answer.reply)
                    return None
                if answer.reply.succeeded:
                    return answer
            if answer.reply.unknown_command:
                self._features.lack("MLST")
        return await self._list_in_some_way(path)

    async def _no_folder(self, path: str, reply: Reply) -> None:
        """Raise if what can be neither listed nor entered is there all the same."""
        if await self._lookup.is_forbidden(path):
            raise Refused(reply)

    async def _list_in_some_way(self, path: str) -> "_Answer | None":
        answers: list[_Answer] = []
        asked: list[tuple[Way, Shown]] = []
        is_folder = not path
        while way := next_way(path, asked, self._features.list_ways):
            answer = await self._ask(way, path)
            if answer.reply.transient and answer.reply.code not in _OF_THE_PATH:
                raise Refused(answer.reply)
            is_folder = is_folder or answer.shown is Shown.FOLDER or (way.inside and answer.reply.succeeded)
            if not is_folder and not answer.reply.transient:
                is_folder = await self._is_folder(path)
                if not is_folder:
                    await self._no_folder(path, answer.reply)
                    return None
            answers.append(answer)
            asked.append((way, answer.shown))
        ways = self._features.list_ways
        known = learned(path, asked, ways)
        if known.path and ways.path is None and await self._ignores_paths(known):
            self._features.list_ways = known._replace(path=False)
            return await self._list_in_some_way(path)
        self._features.list_ways = known
        answer = answers[best(path, asked)]
        self._check(answer.reply)
        return answer

    async def _ignores_paths(self, known: Known) -> bool:
        """Tell whether LIST of what cannot be there shows something: then it shows where one is, whatever is asked."""
        answer = await self._ask(Way(inside=False, all=bool(known.option)), f"am-absent-{secrets.token_hex(8)}")
        return answer.shown in {Shown.FOLDER, Shown.NAMES}

    async def _ask(self, way: Way, path: str) -> "_Answer":
        if not way.inside:
            return await self._fetch(f"{way.command} {self._name(path)}", path)
        if not path:
            return await self._fetch(way.command, path)
        if not self._folder:
            raise Refusal("the server does not tell where it is (PWD), so no folder can be entered and left")
        async with self._transfers.lock:
            try:
                (entered,) = await self._exchange(f"CWD {self._name(path)}")
                refused = _Answer(entered, RemoteListing((), False), Shown.REFUSED)
                answer = await self._fetch(way.command, path) if entered.succeeded else refused
                (back,) = await self._exchange(f"CWD {self._folder}")
            except BaseException:
                self._control.break_off("it was left in a folder")
                raise
        self._check_back(back)
        return answer

    async def _fetch_as_text(self, command: str, parser: ListingParser) -> tuple[Reply, bool]:
        async with self._transfers.lock:
            await self._exchange("TYPE A")
            fetched = await self._transfers.fetch(command, parser)
            (back,) = await self._exchange("TYPE I")
        self._check(back)
        return fetched

    async def _fetch(self, command: str, path: str, *, facts: bool = False, again: int = _LISTED_AGAIN) -> "_Answer":
        if not _are_short((command,)):
            await self._see_that_lines_fit(command)
        parser = ListingParser(path, facts=facts, now=time.time())
        if self._features.lacks(_LISTING_AS_IMAGE):
            reply, whole = await self._fetch_as_text(command, parser)
        else:
            reply, whole = await self._transfers.fetch(command, parser)
            if reply.code == 550 and _WANTS_TEXT.search(reply.text):  # simple-ftpd
                self._features.lack(_LISTING_AS_IMAGE)
                return await self._fetch(command, path, facts=facts)
        if not reply.succeeded and (vanished := named_in(reply.text)) and vanished not in command:
            if again:
                return await self._fetch(command, path, facts=facts, again=again - 1)
            raise Refusal(
                "the server does not list a folder while something in it gets its name", reply.text, transient=True
            )
        listing = parser.end(cut=not whole or "truncated" in reply.text.lower())
        shown = shown_by(listing, shows_itself=parser.shows_itself) if reply.succeeded else Shown.REFUSED
        return _Answer(reply, listing, shown)

    # Looking.

    async def modified(self, paths: Iterable[str]) -> list[int]:
        """Ask MDTM for each."""
        replies = await self._exchange(*(f"MDTM {self._name(path)}" for path in paths))
        return [told_time(reply) for reply in replies]

    async def look(self, path: str) -> Entry | None:
        """Ask MLST; else SIZE and MDTM, and whether it can be entered; else look it up in its folder's listing."""
        return await self._lookup.look(path)

    async def look_at(self, paths: Sequence[str], *, without: Sequence[str] = ()) -> list[Entry | None]:
        """Send DELE for each of `without`, and MLST for each path; else list their folders, once each, and ask MDTM."""
        listed = await self._listed(without)
        without = _perhaps_there(without, listed, shows_temporaries=self._features.has(_TEMPORARIES))
        replies = await self._exchange(*(f"DELE {self._name(path)}" for path in without))
        refused = {path: reply for path, reply in zip(without, replies, strict=True) if not reply.succeeded}
        by_facts = self._lookup.knows_facts
        looked = [*refused, *paths]
        seen = await (
            self._look_by_facts(looked) if by_facts else self._look_by_listings(looked, refused.keys(), listed)
        )
        for path, reply in refused.items():
            if seen[path] is not None:
                raise Refused(reply)
        return [seen[path] for path in paths]

    async def _listed(self, paths: Sequence[str]) -> "dict[str, _Answer]":
        """List the folders in which many paths are to be removed."""
        listed: dict[str, _Answer] = {}
        for folder, some in _by_folder(paths).items():
            with suppress(Refusal):
                answer = await self._list(folder) if len(some) > _REMOVED_UNSEEN else None
                if answer:
                    listed[folder] = answer
                    if any(is_temporary(split(entry.path)[1]) for entry in answer.listing.entries):
                        self._features.have(_TEMPORARIES)
        return listed

    async def _look_by_facts(self, paths: Sequence[str]) -> dict[str, Entry | None]:
        replies = await self._exchange(*(f"MLST {self._name(path)}" for path in paths))
        seen: dict[str, Entry | None] = {}
        for path, reply in zip(paths, replies, strict=True):
            seen[path] = read_facts(reply, path)
            if not seen[path] and not await self._lookup.is_absent("MLST", reply, path):
                seen[path] = await self.look(path)
        return seen

    async def _look_by_listings(
        self, paths: Sequence[str], refused: AbstractSet[str], listed: "Mapping[str, _Answer]"
    ) -> dict[str, Entry | None]:
        """Look for each path in the listing of its folder, where that costs less than to ask for one after the other.

        What is not listed is asked for, unless DELE was `refused` for it and the listing leaves out no dot names.
        """
        seen: dict[str, Entry | None] = {}
        for folder, some in _by_folder(paths).items():
            answer = listed.get(folder) or (await self._list(folder) if len(some) > _ASKED_ONE_BY_ONE else None)
            if answer is None or not answer.listing.complete:
                seen |= {path: await self.look(path) for path in some}
            else:
                seen |= await self._look_in(answer, some, refused)
        return seen

    async def _look_in(
        self, answer: "_Answer", paths: Sequence[str], refused: AbstractSet[str]
    ) -> dict[str, Entry | None]:
        listed = {entry.path: entry for entry in answer.listing.entries}
        absent = refused - listed.keys() if answer.shown is Shown.FOLDER else frozenset[str]()
        asked = [path for path in paths if path not in absent]
        seen: dict[str, Entry | None] = dict.fromkeys(paths)
        for path, mtime_ns in zip(asked, await self.modified(asked), strict=True):
            entry = listed.get(path)
            if entry and not entry.is_folder:
                seen[path] = Entry(path, Kind.FILE, entry.size, mtime_ns, UNKNOWN)
            elif entry or mtime_ns != UNKNOWN or split(path)[1] in answer.listing.others:
                seen[path] = await self.look(path)
        return seen

    async def resume(self) -> bool:
        """Tell whether an idle session is of use still, and in its root."""
        self.made_root = False
        if not self.usable:
            return False
        try:
            async with asyncio.timeout(_RESUMED_WITHIN_S):
                (reply,) = await self._exchange(f"CWD {self._folder}" if self._folder else "NOOP")
        except (ConnectionBroken, TimeoutError):
            return False
        return reply.succeeded or not self._folder

    async def close(self) -> None:
        """Say QUIT and go; the farewell is not waited for longer than a second."""
        if self.usable and self._transfers.is_free and not self._control.flow.in_flight:
            with suppress(ConnectionBroken):
                await self._control.reply(self._control.send("QUIT")[0], 1.0)
        self._transfers.ports.close()
        self._control.break_off("it was closed")


class _Answer(NamedTuple):
    """What came of a listing that was asked for."""

    reply: Reply
    listing: RemoteListing
    shown: Shown


def _are_short(commands: Sequence[str]) -> bool:
    """Tell whether each is, for sure, a line that any server takes as one."""
    return max(map(len, commands)) <= SHORT_COMMAND and "".join(commands).isascii()


def _perhaps_there(paths: Iterable[str], listed: Mapping[str, _Answer], *, shows_temporaries: bool) -> list[str]:
    """Leave out what is not there for sure, given the listings of some folders by a server that may hide ours."""
    there = {entry.path for answer in listed.values() for entry in answer.listing.entries}
    places = ((path, listed.get(parent(path))) for path in paths)
    return [
        path
        for path, answer in places
        if answer is None or path in there or not (shows_temporaries and answer.listing.complete)
    ]


def _by_folder(paths: Iterable[str]) -> dict[str, list[str]]:
    by_folder: dict[str, list[str]] = {}
    for path in paths:
        by_folder.setdefault(parent(path), []).append(path)
    return by_folder


def _rename_refusal(first: Reply, second: Reply) -> Refusal:
    """Return the refusal of a rename: what RNFR said if it was not taken, for RNTO then says only "bad sequence"."""
    return Refused(second if first.continues else first)
