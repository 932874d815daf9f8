"""Finds user and password of a site where users keep them, never on the command line."""

import netrc
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from async_mirror.settings import Site, UsageError

ANONYMOUS = "anonymous"


def find_password(site: Site, password_file: Path | None, environment: Mapping[str, str]) -> tuple[Site, str | None]:
    """Return the site with its user, and the password; None when nobody knows it.

    Looks, in this order, at: the file, `ASYNC_MIRROR_PASSWORD`, `~/.netrc` (which may name the user too). A site
    without a user is logged in to as `anonymous`. Raises UsageError when what is there cannot be used.
    """
    password = _from_file(password_file) if password_file else environment.get("ASYNC_MIRROR_PASSWORD")
    if password is None:
        site, password = _from_netrc(site, environment)
    if site.user is None:
        site = replace(site, user=ANONYMOUS)
        password = password or f"{ANONYMOUS}@"
    if password is not None and any(character in password for character in "\r\n\0"):
        raise UsageError("the password holds a line break, which FTP cannot carry")
    return site, password


def _from_file(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(f"the password file {path} cannot be read: {reason}") from None
    return text.removesuffix("\n").removesuffix("\r")


def _from_netrc(site: Site, environment: Mapping[str, str]) -> tuple[Site, str | None]:
    path = Path(environment.get("NETRC") or Path.home() / ".netrc")
    if not path.exists():
        return site, None
    try:
        entry = netrc.netrc(os.fspath(path)).authenticators(site.host)
    except (OSError, netrc.NetrcParseError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    if entry is None or (site.user is not None and entry[0] != site.user):
        return site, None
    return replace(site, user=site.user or entry[0] or None), entry[2]
