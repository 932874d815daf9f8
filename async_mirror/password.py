"""Finds user and password of a site where users keep them, never on the command line."""

import netrc
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from async_mirror.names import refusal
from async_mirror.settings import Site, UsageError

ANONYMOUS = "anonymous"


@dataclass(frozen=True, slots=True)
class Login:
    """A site with its user, the password (None: nobody knows it), where that is from, and the file that holds it."""

    site: Site
    password: str | None = field(repr=False)
    where: str
    file: Path | None = None

    @property
    def warning(self) -> str:
        """What is wrong with where the password is, "" if nothing is."""
        told = f"others on this machine can read the password in {self.file}: run chmod 600 on it"
        return told * bool(self.file and _is_open_to_others(self.file))


def _is_open_to_others(file: Path) -> bool:
    """Tell whether others may read a file, and somebody can change that.

    The file of another user is ours to read by its group. A container's secrets are on a mount that is read-only.
    """
    try:
        status = file.stat()
        can_be_changed = not os.statvfs(file).f_flag & os.ST_RDONLY
    except OSError:
        return False
    readers = 0o044 if status.st_uid == os.geteuid() else 0o004
    return can_be_changed and bool(status.st_mode & readers)


def find_login(
    site: Site, password_file: Path | None, environment: Mapping[str, str], configured: tuple[str, str, Path | None]
) -> Login:
    """Find user and password.

    Looks, in this order, at: the file, `ASYNC_MIRROR_PASSWORD`, what was `configured` with the destination (password,
    where that was, the file if it was one), `~/.netrc` (which may name the user too). A site without a user is logged
    in to as `anonymous`. Raises UsageError when what is there cannot be used.
    """
    login = _found(site, password_file, environment, configured)
    if login.site.user is None and login.password is not None:
        raise UsageError(
            f"there is a password but no user: write {site.scheme}://user@{site.host} (anonymous is a user, too)"
        )
    if login.site.user is None:
        login = Login(replace(site, user=ANONYMOUS), f"{ANONYMOUS}@", ANONYMOUS)
    return sendable(login)


def sendable(login: Login) -> Login:
    """Return a login that commands can be made of. Raises UsageError for another one."""
    for what, text in (("user", login.site.user), ("password", login.password)):
        if refusal(text or ""):
            raise UsageError(f"the {what} in {login.where} holds a line break, which FTP cannot carry: write one line")
    return login


def _found(
    site: Site, password_file: Path | None, environment: Mapping[str, str], configured: tuple[str, str, Path | None]
) -> Login:
    if password_file:
        return Login(site, _from_file(password_file), str(password_file), password_file)
    if (password := environment.get("ASYNC_MIRROR_PASSWORD")) is not None:
        return Login(site, password, "ASYNC_MIRROR_PASSWORD")
    password, where, file = configured
    if password:
        return Login(site, password, where, file)
    return _from_netrc(site, environment)


def _from_file(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(f"the password file {path} cannot be read: {reason}") from None
    return text.removesuffix("\n").removesuffix("\r")


def netrc_path(environment: Mapping[str, str]) -> Path:
    """Return where the logins of other programs are kept."""
    return Path(os.path.expanduser(environment.get("NETRC") or "~/.netrc"))


def _from_netrc(site: Site, environment: Mapping[str, str]) -> Login:
    path = netrc_path(environment)
    if not os.path.exists(path):
        return Login(site, None, "")
    try:
        entry = netrc.netrc(os.fspath(path)).authenticators(site.host)
    except (OSError, UnicodeDecodeError, netrc.NetrcParseError) as error:
        # Python's own text repeats a word of the line, which may be the password
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        if isinstance(error, netrc.NetrcParseError):
            reason = f"line {error.lineno} cannot be meant"
        raise UsageError(f"the logins in {path} cannot be read: {reason}") from None
    if entry is None or (site.user is not None and entry[0] != site.user):
        return Login(site, None, "")
    return Login(replace(site, user=site.user or entry[0] or None), entry[2], str(path), path)
