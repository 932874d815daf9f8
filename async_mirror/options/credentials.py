"""Finds user and password of a site where users keep them, never on the command line."""

import netrc
import os
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from async_mirror.model.escape import shown
from async_mirror.model.odd_names import refusal
from async_mirror.model.secret import Secret
from async_mirror.model.settings import UsageError
from async_mirror.model.site import Site
from async_mirror.multi import run_program

ANONYMOUS = "anonymous"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a password may be: `text` itself (out of `file` if there is one), in a file, in what a command prints."""

    where: str
    text: Secret | None = None
    file: Path | None = None
    command: str | None = None


@dataclass(frozen=True, slots=True)
class Login:
    """A site with its user, and the password (None: unknown) or the command that prints it.

    `where` tells where the password is from, `file` which file holds it.
    """

    site: Site
    password: Secret | None
    where: str
    file: Path | None = None
    command: str | None = None

    def ask(self) -> Secret | None:
        """Return the password, None if it is unknown. The command may ask on the terminal. Raises UsageError."""
        if self.command is None:
            return self.password
        return sendable(replace(self, password=_printed_by(self.command))).password


def find_login(site: Site, places: Iterable[Place], environment: Mapping[str, str]) -> Login:
    """Find user and password in the first of the places that has any, else in `~/.netrc` (which may name the user too).

    A site without a user is logged in to as `anonymous`. Raises UsageError when what is there cannot be used.
    """
    login = _found(site, places, environment)
    if login.site.user is None and (login.password is not None or login.command is not None):
        raise UsageError(
            f"a password without a user: write {site.scheme}://user@{site.host} (anonymous is a user, too)"
        )
    if login.site.user is None:
        login = Login(replace(site, user=ANONYMOUS), Secret(f"{ANONYMOUS}@"), ANONYMOUS)
    return sendable(login)


def sendable(login: Login) -> Login:
    """Return a login that commands can be made of. Raises UsageError for another one."""
    password = login.password.reveal() if login.password else ""
    for what, text in (("user", login.site.user or ""), ("password", password)):
        if refusal(text):
            raise UsageError(f"the {what} from {login.where} contains a line break, which FTP cannot transmit")
    return login


def _found(site: Site, places: Iterable[Place], environment: Mapping[str, str]) -> Login:
    for place in places:
        if place.text:
            return Login(site, place.text, place.where, place.file)
        if place.file and place.text is None:
            return Login(site, _from_file(place.file), place.where, place.file)
        if place.command is not None:
            return Login(site, None, place.where, command=place.command)
    return _from_netrc(site, environment)


def _printed_by(command: str) -> Secret:
    """Return what a command prints, but for a line break at the end. Its arguments may be secret, so are not told."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"cannot parse the password command: {str(error).lower()}") from None
    if not words:
        raise UsageError("the password command is empty: write a program and its arguments")
    try:
        done = run_program(words)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it contains NUL"
        raise UsageError(f"cannot run the password command {shown(words[0])}: {why}") from None
    if done.returncode:
        raise UsageError(f"the password command {shown(words[0])} failed (exit code {done.returncode})")
    try:
        password = Secret(_without_line_break(done.stdout.decode()))
    except UnicodeDecodeError:
        raise UsageError(f"the output of the password command {shown(words[0])} is not UTF-8") from None
    if not password:
        raise UsageError(f"the password command {shown(words[0])} printed nothing")
    return password


def _without_line_break(text: str) -> str:
    return text.removesuffix("\n").removesuffix("\r")


def is_open_to_others(file: Path) -> bool:
    """Tell whether others may read a file, and that can be changed.

    The file of another user is ours to read by its group. A container's secrets are on a mount that is read-only.
    """
    try:
        status = file.stat()
        can_be_changed = not os.statvfs(file).f_flag & os.ST_RDONLY
    except OSError:
        return False
    readers = 0o044 if status.st_uid == os.geteuid() else 0o004
    return can_be_changed and bool(status.st_mode & readers)


def _from_file(path: Path) -> Secret:
    try:
        password = Secret(_without_line_break(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise UsageError(f"cannot read the password file {path}: {reason}") from None
    if not password:
        raise UsageError(f"the password file {path} is empty")
    return password


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
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        if isinstance(error, netrc.NetrcParseError):
            reason = f"line {error.lineno}: syntax error"
        raise UsageError(f"cannot read the logins in {path}: {reason}") from None
    if entry is None or (site.user is not None and entry[0] != site.user):
        return Login(site, None, "")
    password = Secret(entry[2]) if entry[2] else None
    return Login(replace(site, user=site.user or entry[0] or None), password, str(path), path)
