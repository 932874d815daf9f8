"""A RemoteSession over FTP: opened, and put together from its parts."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from hashlib import sha256

from async_mirror.ftp.batch_lookup import BatchLookup
from async_mirror.ftp.exchange import Exchange, are_short
from async_mirror.ftp.folders import Folders
from async_mirror.ftp.known import quirks
from async_mirror.ftp.known.features import Features
from async_mirror.ftp.login import client_for, greet, log_in
from async_mirror.ftp.passive_ports import SessionSpent
from async_mirror.ftp.proofs import prove_ahead, prove_together
from async_mirror.ftp.publishing import Publishing
from async_mirror.ftp.site_hashes import SiteHashes
from async_mirror.ftp.transfer import Taken, Transfers
from async_mirror.ftp.wire.client import Client
from async_mirror.ftp.wire.control import WIDE_WINDOW
from async_mirror.ftp.wire.replies import Reply, check, parse_path
from async_mirror.ftp.wire.tls import Tls, TooNarrow
from async_mirror.model import escape
from async_mirror.model.entry import UNKNOWN, Entry
from async_mirror.model.facts import Facts
from async_mirror.model.paths import lineage
from async_mirror.model.secret import Secret
from async_mirror.model.site import MACHINE, Site
from async_mirror.remote.errors import (
    ABOUT_NO_CHANGES,
    ConnectionBroken,
    ConnectionRefused,
    NoPort,
    Refusal,
    RootMissing,
    SiteUnusable,
)
from async_mirror.remote.session import Barred, Content, Published, RemoteListing, Removal, SiteHash, Target

_MOST_PROOFS = 5
"""More sessions are not spent on proofs: each rung may cost two."""
_RESUMED_WITHIN_S = 5.0


async def connect(
    site: Site,
    password: Secret,
    *,
    tls: Tls | None = None,
    facts: Facts | None = None,
    timeout_seconds: float,
    create_root: bool = True,
    pasv_address_believed: bool = False,
) -> "FtpSession":
    """Open a session, logged in and in the site's root.

    Sessions of one mirror share `tls`; without one, certificates are to be such as this machine trusts.
    Raises LoginFailed, ConnectionRefused (too many clients), ConnectionBroken, SiteUnusable (Untrusted if whom we
    speak to is not sure), and RootMissing when the root is absent and not to be made. What is found out about the
    server is noted in `facts`, for all sessions with it. A session that a proof left out of step is replaced.
    """
    tls = (tls or Tls(MACHINE)) if site.is_encrypted else None
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
    raise ConnectionBroken("the server does not answer basic commands (NOOP, PWD, EPSV)")


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
    """One logged-in connection; see `remote.session.RemoteSession` for what its methods promise.

    It has more methods than a class should, because that protocol has; nearly all of them hand on to a part.
    """

    def __init__(
        self, client: Client, site: Site, tls: Tls | None, facts: Facts, *, pasv_address_believed: bool
    ) -> None:
        """Wrap a client; `begin` makes it ready."""
        self.root = ""
        self.made_root = False
        self._client = client  # whose end is that of the connection
        self._control = client.control
        self._site = site
        self._features = Features(facts, site)
        self._transfers = Transfers(
            client.control, site.host, tls, self._features, pasv_address_believed=pasv_address_believed
        )
        self._exchange = Exchange(client.control, self._features, self._transfers)
        self._folders = Folders(self._exchange)
        self._lookup = self._folders.lookup
        self._batch_lookup = BatchLookup(self._exchange, self._folders, self._lookup)
        self._publishing = Publishing(self._exchange, self._lookup)
        self._hashes = SiteHashes(self._exchange, self._lookup)

    # The session itself.

    async def begin(self, create_root: bool) -> None:
        """Learn what the server can do, prove how quickly it can be asked, and enter the root. Raises SessionSpent."""
        features, clock = self._features, asyncio.get_running_loop().time
        began = clock()
        (reply,) = await self._exchange.ask("FEAT")
        features.path.timed(clock() - began)
        greeting = self._control.flow.greeting
        features.identity.read_features(greeting, reply)
        if quirks.takes_long_writes(greeting):
            self._control.window = WIDE_WINDOW
        if not features.recognise():
            (system,) = await self._exchange.ask("SYST")
            features.identify(system)
        await prove_together(self._control, features)
        await self._settle_in(create_root)
        await prove_together(self._control, features)
        await prove_ahead(self._control, features, self._transfers.ports)
        await self._transfers.ports.try_kind()

    async def _settle_in(self, create_root: bool) -> None:
        """Agree upon bytes and names, and enter the root, all in one write where the server takes that."""
        root, features = self._site.root, self._features
        commands = ["SYST"] * (features.known.level > 0)
        commands += ["OPTS UTF8 ON"] * ("UTF8" in features.identity.offers)
        commands += ["TYPE I", *[f"CWD {root}"] * bool(root), "PWD"]
        replies = dict(zip(commands, await self._exchange.ask(*commands), strict=True))
        if "SYST" in replies:
            features.identify(replies["SYST"])
        check(replies["TYPE I"])
        where = replies["PWD"]
        if root and not replies[f"CWD {root}"].succeeded:
            await self._make_root(replies[f"CWD {root}"], create_root)
            (where,) = await self._exchange.ask("PWD")
        self._exchange.root = (parse_path(where) or "") if where.succeeded else ""
        here = self._exchange.root
        self.root = here if self._control.flow.secret.redact(here) == here else ""

    async def _make_root(self, reply: Reply, create: bool) -> None:
        """Make and enter the root, which could not be entered. Raises RootMissing, SiteUnusable, ConnectionBroken."""
        root = self._site.root
        if not create:
            if reply.transient and not quirks.is_absent_now(reply):
                raise ConnectionBroken(f"the folder {escape.shown(root)} cannot be entered at the moment", reply.text)
            raise RootMissing(f"the folder {escape.shown(root)} does not exist", reply.text)
        made = reply
        for folder in [*lineage(root), root]:
            if folder:
                (made,) = await self._exchange.ask(f"MKD {folder}")
        (reply,) = await self._exchange.ask(f"CWD {root}")
        if reply.transient:
            raise ConnectionBroken(f"the folder {escape.shown(root)} cannot be entered at the moment", reply.text)
        if not reply.succeeded:
            raise SiteUnusable(f"the folder {escape.shown(root)} cannot be entered or created", made.text)
        self.made_root = made.succeeded

    @property
    def place(self) -> str:
        """The address of the server with a digest of its certificate: one may have many sites. "" if unknown."""
        address = self._control.transport.get_extra_info("peername") if self._control.transport else None
        if not address:
            return ""
        host = "127.0.0.1" if address[0] == "::1" else address[0]
        certificate = self._control.peer.getpeercert(binary_form=True) if self._control.peer else None
        return f"{host} {sha256(certificate or b'').hexdigest()}"

    @property
    def usable(self) -> bool:
        """False once the control connection is cut or out of step."""
        return self._control.broken is None

    async def resume(self) -> bool:
        """Tell whether an idle session is of use still, and in its root."""
        self.made_root = False
        if not self.usable:
            return False
        root = self._exchange.root
        try:
            async with asyncio.timeout(_RESUMED_WITHIN_S):
                (reply,) = await self._exchange.ask(f"CWD {root}" if root else "NOOP")
        except (ConnectionBroken, TimeoutError):
            return False
        return reply.succeeded or not root

    async def close(self) -> None:
        """Say QUIT and go; the farewell is not waited for longer than a second."""
        if self.usable and self._exchange.lock.holder is None and not self._control.flow.in_flight:
            with suppress(ConnectionBroken):
                await self._control.reply(self._control.send("QUIT")[0], 1.0)
        self._transfers.ports.close()
        self._control.break_off("it was closed")

    # What is known of the server.

    @property
    def sets_times(self) -> bool:
        """True if the server was seen to show a time that it was told."""
        return self._publishing.sets_times

    @property
    def may_set_times(self) -> bool:
        """True if the server offers MFMT, or was seen to take a command for it, and not to show another time then."""
        return self._publishing.may_set_times

    @property
    def kept(self) -> set[str]:
        """Which odd traits of names this site was seen to keep."""
        return set(self._features.known.kept)

    def keeps(self, traits: Iterable[str]) -> None:
        """Note which odd traits of names it keeps."""
        self._features.account.keeps(traits)

    @property
    def shape(self) -> int:
        """The shape of temporary names that this account takes, as far as is known."""
        return self._features.known.shape

    def takes_shape(self, shape: int) -> None:
        """Note which shape of temporary names this account takes."""
        self._features.account.takes_shape(shape)

    @property
    def removal(self) -> Removal | None:
        """What RMD of a folder that is not empty comes to, as far as is known."""
        known = self._features.account.removal
        return Removal(known) if known else None

    def found_removal(self, removal: Removal) -> None:
        """Note what RMD of a folder that is not empty comes to."""
        recursive = "this server deletes folders with their content: only folders listed as empty are deleted"
        self._features.account.found_removal(removal, "" if removal is Removal.REFUSED else recursive)

    def barred(self, folder: str) -> Barred | None:
        """Return what was found not to be allowed in a folder, in this pass."""
        known = self._features.known.bars and self._features.account.barred(folder)
        return Barred(known) if known else None

    def found_barred(self, folder: str, what: Barred) -> None:
        """Note what is not allowed in a folder."""
        self._features.account.found_barred(folder, what, ABOUT_NO_CHANGES if what is Barred.CHANGES else "")

    def found_hash(self, by: str, *, is_right: bool) -> None:
        """Note whether a hash was right."""
        self._features.found_hash(by, is_right=is_right)

    # Files.

    async def store(self, path: str, content: Content, left: Callable[[], None], target: Target | None = None) -> int:
        """Write a file whole, and return the size that the site says it has."""
        size_command = self._lookup.size_command(path)
        before = self._lookup.size_command(target.path) if target else ""
        command = f"STOR {self._exchange.name(path)}"
        if not are_short((command, before)):
            await self._exchange.see_that_lines_fit(command, before)
        reply, answer, told = await self._transfers.store(command, size_command, content, left, before)
        size: int | None = self._lookup.told_size(answer) if answer else UNKNOWN
        if size == UNKNOWN:
            size = await self._lookup.size(path, answer)
        if target:
            target.is_there = await self._lookup.is_there(target.path, told)
        if size is None:
            raise Refusal("the file is missing after the upload", reply.text, transient=True)
        return size

    async def size(self, path: str) -> int | None:
        """Ask SIZE, MLST, or look the file up in its folder's listing."""
        return await self._lookup.size(path)

    async def hash_of(self, path: str, size: int) -> SiteHash | None:
        """Ask by HASH, XSHA256, XSHA1, XMD5 or XCRC, whichever is offered and not known to tell what is wrong."""
        return await self._hashes.hash_of(path, size)

    async def read_back(
        self, path: str, most: int, take: Callable[[bytes], None], may_read: Callable[[int], Awaitable[None]]
    ) -> bool:
        """Read a file by RETR."""
        command = f"RETR {self._exchange.name(path)}"
        await self._exchange.see_that_lines_fit(command)
        taken = Taken(most, take, may_read)
        reply, whole = await self._transfers.fetch(command, taken)
        if taken.endless and self._control.broken:
            raise self._control.broken
        check(reply)
        return whole

    async def publish(self, temporary: str, entry: Entry, mode: int | None, aside: Callable[[], str]) -> Published:
        """Set attributes and rename, in one write where the server takes that."""
        return await self._publishing.publish(temporary, entry, mode, aside)

    async def set_mode(self, path: str, mode: int) -> bool:
        """Set the permission bits by SITE CHMOD; False where that is unknown."""
        return await self._publishing.set_mode(path, mode)

    async def set_mtime(self, path: str, mtime_ns: int) -> bool:
        """Set the modification time by the first command that this server takes."""
        return await self._publishing.set_mtime(path, mtime_ns)

    async def prove_times(self, path: str) -> None:
        """See by a file of no use whether the server still sets and shows times."""
        await self._publishing.prove_times(path)

    async def rename(self, old: str, new: str) -> None:
        """Rename by RNFR and RNTO."""
        await self._publishing.rename(old, new)

    async def remove_files(self, paths: Sequence[str]) -> None:
        """Remove by DELE; a refusal for what is absent counts as done."""
        await self._batch_lookup.look_at((), without=paths)

    # Folders.

    async def make_folder(self, path: str) -> bool:
        """Make by MKD; a refusal for what is there counts as done if it is a folder, and no link to one."""
        return await self._folders.make(path)

    async def remove_folder(self, path: str) -> None:
        """Remove by RMD; a refusal for what is absent counts as done."""
        await self._folders.remove(path)

    async def list_folder(self, path: str) -> RemoteListing | None:
        """List by MLSD, else by LIST, in such ways as the server takes."""
        return await self._folders.listing(path)

    # Looking.

    async def modified(self, paths: Iterable[str]) -> list[int]:
        """Ask MDTM for each."""
        return await self._batch_lookup.modified(paths)

    async def look(self, path: str) -> Entry | None:
        """Ask MLST; else SIZE and MDTM, and whether it can be entered; else look it up in its folder's listing."""
        return await self._lookup.look(path)

    async def look_at(self, paths: Sequence[str], *, without: Sequence[str] = ()) -> list[Entry | None]:
        """Send DELE for each of `without`, and MLST for each path; else list their folders, once each, and ask MDTM."""
        return await self._batch_lookup.look_at(paths, without=without)
