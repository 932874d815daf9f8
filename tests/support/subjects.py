"""Sites that a session is opened to: in memory, and on real servers; what the contract of sessions is tested on."""

from __future__ import annotations

import os
import stat
from typing import Protocol

from servers import KINDS, FtpServer, Kind, Tls, TlsVersion

from async_mirror.ftp.session import connect
from async_mirror.ftp.wire import tls
from async_mirror.model.paths import decode, encode, split
from async_mirror.model.secret import Secret
from async_mirror.model.site import MACHINE, SCHEMES, Site, Trust
from async_mirror.remote.session import RemoteSession
from support.memory_site import SECOND_NS, MemoryFile, MemorySession, MemorySite

MTIME_S = 1_709_210_096  # 29 February 2024, 12:34:56 UTC
SILENCE_SECONDS = 2


class Subject(Protocol):
    """One implementation: how a session is opened, what its site can do, and what is truly on it."""

    replaces: bool
    """A rename may take the name of an existing file."""
    sets_attributes: bool
    """The site can set mtimes and modes, and tell them."""

    async def open(self, timeout_seconds: float = 15) -> RemoteSession: ...

    def put(self, path: str, content: bytes = b"") -> None: ...

    def put_folder(self, path: str) -> None: ...

    def content(self, path: str) -> bytes | None: ...

    def mtime_s(self, path: str) -> int: ...

    def mode(self, path: str) -> int: ...

    def names(self, folder: str = "") -> set[str]: ...

    def stop(self) -> None: ...


class MemorySubject:
    """The site in memory, as able or as unable as the servers."""

    def __init__(self, able: bool) -> None:
        self.replaces = self.sets_attributes = able
        self._site = MemorySite(replaces=able, sets_mtime=able, sets_mode=able)

    async def open(self, timeout_seconds: float = 15) -> RemoteSession:
        return MemorySession(self._site)

    def put(self, path: str, content: bytes = b"") -> None:
        self._site.files[path] = MemoryFile(content, MTIME_S * SECOND_NS)

    def put_folder(self, path: str) -> None:
        self._site.folders[path] = 0o755

    def content(self, path: str) -> bytes | None:
        return self._site.files[path].content if path in self._site.files else None

    def mtime_s(self, path: str) -> int:
        return self._site.files[path].mtime_ns // SECOND_NS

    def mode(self, path: str) -> int:
        return self._site.folders[path] if path in self._site.folders else self._site.files[path].mode

    def names(self, folder: str = "") -> set[str]:
        return {split(path)[1] for path in self._site.children(folder)}

    def stop(self) -> None:
        self._site.down = True


class FtpSubject:
    """The FTP session against a server, with the server's docroot for what is truly there."""

    def __init__(self, server: FtpServer) -> None:
        # aioftp's server knows neither MFMT, MDTM nor SITE CHMOD and answers 550 to an RNTO onto what exists.
        self.replaces = self.sets_attributes = server.kind != "aioftp"
        self.server = server

    async def open(self, timeout_seconds: float = 15) -> RemoteSession:
        scheme = SCHEMES[self.server.tls or "off"]
        site = Site(scheme, self.server.host, self.server.port, self.server.user, "")
        trust = Trust(ca_cert=self.server.certificates.ca) if self.server.tls else MACHINE
        return await connect(site, Secret(self.server.password), tls=tls.Tls(trust), timeout_seconds=timeout_seconds)

    def _at(self, path: str) -> bytes:
        return os.path.join(os.fsencode(self.server.docroot), encode(path))

    def put(self, path: str, content: bytes = b"") -> None:
        with open(self._at(path), "wb") as file:
            file.write(content)
        os.utime(self._at(path), (MTIME_S, MTIME_S))
        self.server.adopt()

    def put_folder(self, path: str) -> None:
        os.mkdir(self._at(path))
        self.server.adopt()

    def content(self, path: str) -> bytes | None:
        if not os.path.isfile(self._at(path)):
            return None
        with open(self._at(path), "rb") as file:
            return file.read()

    def mtime_s(self, path: str) -> int:
        return os.stat(self._at(path)).st_mtime_ns // SECOND_NS

    def mode(self, path: str) -> int:
        return stat.S_IMODE(os.stat(self._at(path)).st_mode)

    def names(self, folder: str = "") -> set[str]:
        return {decode(name) for name in os.listdir(self._at(folder))}

    def stop(self) -> None:
        self.server.stop()


SECURE: dict[str, tuple[Kind, Tls, TlsVersion]] = {
    "vsftpd-explicit-1.3": ("vsftpd", "explicit", "1.3"),
    "proftpd-implicit-1.2": ("proftpd", "implicit", "1.2"),
    "pure-ftpd-explicit-1.3": ("pure-ftpd", "explicit", "1.3"),
}
SUBJECTS: tuple[str, ...] = ("memory", "memory-unable", *KINDS)
