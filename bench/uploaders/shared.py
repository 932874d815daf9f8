"""What the benchmark's own two uploaders share: their command line, the walk through the source, TLS."""

from __future__ import annotations

import argparse
import os
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Upload(NamedTuple):
    """One file: where it is, how it is called on the site, and its mtime as MFMT wants it."""

    local: str
    remote: str
    time: str


class Given(NamedTuple):
    """What the command line says."""

    host: str
    port: int
    user: str
    password: str
    source: Path
    lanes: int
    tls: ssl.SSLContext | None


def given(about: str | None) -> Given:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("user")
    parser.add_argument("password_file", type=Path)
    parser.add_argument("source", type=Path)
    parser.add_argument("--lanes", type=int, default=1)
    parser.add_argument("--ca", type=Path)
    said = parser.parse_args()
    password = said.password_file.read_text()
    return Given(said.host, said.port, said.user, password, said.source, said.lanes, said.ca and _context(said.ca))


def _context(ca: Path) -> ssl.SSLContext:
    """Return a context that trusts one issuer; its curve is the one that servers take without asking once more."""
    context = ssl.create_default_context(cafile=ca)
    context.set_ecdh_curve("prime256v1")
    return context


def folders(source: Path) -> Iterator[str]:
    """Yield the folders as the site calls them, each after the one that holds it."""
    for folder, names, _ in os.walk(source):
        names.sort()
        if relative := os.path.relpath(folder, source).removeprefix("."):
            yield f"/{relative}"


def uploads(source: Path) -> Iterator[Upload]:
    """Yield the files, folder by folder."""
    for folder, names, files in os.walk(source):
        names.sort()
        for name in sorted(files):
            local = os.path.join(folder, name)
            when = time.strftime("%Y%m%d%H%M%S", time.gmtime(os.stat(local).st_mtime))
            yield Upload(local, f"/{os.path.relpath(local, source)}", when)
