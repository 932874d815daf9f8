"""Five mirrors of one process: their sources, their servers, their settings, and what looks after each."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from servers import FtpServer, Kind, Tls, ZooKind
from support.program import contents, names
from support.several import Several

from endurance.changing import Change, Source
from endurance.seeing import Site
from endurance.service import Asker, Service

WRONG: Final = "wrong"
"""The mirror with the wrong password: on the server of another, under the same account."""
GUARD, OUTAGE = "guard", "outage"
"""Why changes count apart."""


@dataclass
class Mirrors:
    """What there is by the name of each mirror; that with the wrong password has a source alone."""

    folder: Path
    several: Several
    servers: dict[str, FtpServer]
    sources: dict[str, Source]
    sites: dict[str, Site]
    service: Service
    asker: Asker

    def __post_init__(self) -> None:
        self.locks = {name: threading.Lock() for name in self.sources}
        """Whoever changes a source has its lock."""
        self.changes: list[Change] = []

    def expect(self, change: Change) -> None:
        """Look out for what was changed just now."""
        self.sites[change.mirror].expect(change)
        self.changes.append(change)

    def differences(self) -> Iterator[str]:
        """Yield in which mirrors the trees differ, and where."""
        for name, site in self.sites.items():
            here, there = contents(self.sources[name].folder), contents(site.folder)
            paths = [path for path in here.keys() | there.keys() if here.get(path) != there.get(path)]
            folders = names(self.sources[name].folder) ^ names(site.folder)
            if paths or folders:
                yield f"{name}: the trees differ: {paths[:10]} {sorted(folders)[:10]}"
        if (self.servers["vsftpd"].docroot / WRONG).exists():
            yield "something was mirrored with the wrong password"


@contextmanager
def mirrors(folder: Path, seed: int, zoo: ZooKind) -> Iterator[Mirrors]:
    """Start the servers, fill the sources and write the settings."""
    kinds: dict[Kind, Tls] = {"vsftpd": "", "proftpd": "explicit", "pure-ftpd": "", zoo: ""}
    with ExitStack() as stack:
        servers: dict[str, FtpServer] = {
            kind: stack.enter_context(FtpServer(kind, folder / kind, folder / f"{kind}-work", log=False, tls=tls))
            for kind, tls in kinds.items()
        }
        several = Several(folder, servers["vsftpd"].port, watch=True, every="5m")
        for name, server in servers.items():
            several.add(name, **_settings(name, server))
        several.say("wrong-password", "not the password")
        several.add(WRONG, password_file="wrong-password")
        service = Service(several)
        yield Mirrors(
            folder,
            several,
            servers,
            {name: Source(name, several.folder / name, Random(f"{seed} {name}")) for name in (*servers, WRONG)},
            {name: Site(name, server.docroot / name) for name, server in servers.items()},
            service,
            Asker(service),
        )


def _settings(name: str, server: FtpServer) -> dict[str, str]:
    scheme = "ftpes" if server.tls else "ftp"
    trust = {"ca-cert": str(server.certificates.ca)} if server.tls else {}
    return {"destination": f"{scheme}://{server.user}@{server.host}:{server.port}/{name}", **trust}
