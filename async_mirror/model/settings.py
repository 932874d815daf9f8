"""What the user asked for, immutable and checked. Knows how it is written, not what is done with it."""

import math
import re
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

DEFAULT_PORTS = {"ftp": 21, "ftpes": 21, "ftps": 990}
SCHEMES = {"off": "ftp", "explicit": "ftpes", "implicit": "ftps"}
"""How a session is protected, and the scheme that says so."""

SLOWEST_BYTES_PER_S = 1000

_RATE = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)\s*([kmg]?)(i?)(?:b(?:/s|ps)?)?", re.IGNORECASE)
_CONTROL = re.compile("[\x00-\x1f\x7f]|\udcff[\udcf0-\udcff]")
"""What ends a command or alters it: ProFTPD takes pairs that begin with 0xFF for Telnet's, and takes them out."""
_MISREAD = re.compile(r"[%?#@]")
_INTERVAL = re.compile(
    r"(?:(\d{1,9}(?:\.\d{1,9})?)h)?(?:(\d{1,9}(?:\.\d{1,9})?)m)?(?:(\d{1,9}(?:\.\d{1,9})?)s?)?", re.IGNORECASE
)


class UsageError(ValueError):
    """What the user wrote cannot be meant; the text says what is wrong and what to write."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where the mirror is. `root` is relative to the login folder unless it starts with `/`; "" is the login folder."""

    scheme: str
    host: str
    port: int
    user: str | None
    root: str

    @property
    def shown(self) -> str:
        """The site as a URL that reads back as the same site, without any secret."""
        user = f"{quote(self.user, safe='', errors='surrogateescape')}@" if self.user else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == DEFAULT_PORTS[self.scheme] else f":{self.port}"
        root = _MISREAD.sub(lambda found: f"%{ord(found[0]):02X}", self.root)
        return f"{self.scheme}://{user}{host}{port}/{root}"

    @property
    def is_encrypted(self) -> bool:
        """True if nothing is sent in the clear but the wish to encrypt."""
        return self.scheme != "ftp"

    @property
    def is_here(self) -> bool:
        """True if what is sent to the site does not leave this machine."""
        with suppress(ValueError):
            return ip_address(self.host).is_loopback
        return self.host.lower() == "localhost" or self.host.lower().endswith(".localhost")

    @property
    def account(self) -> str:
        """Whom the server knows us as: what it allows, it allows to this user of this host."""
        return f"{self.user}@{self.host.lower()}:{self.port}"

    @property
    def binding(self) -> tuple[str, str, str, str]:
        """What a state is bound to: host, port (21 and 990 are two doors of one server), user, root."""
        port = "ftp" if self.port in DEFAULT_PORTS.values() else str(self.port)
        return self.host.lower(), port, self.user or "", self.root


@dataclass(frozen=True, slots=True)
class Trust:
    """Which certificate a server may show, and which one we show. With nothing set: what this machine trusts.

    `pin` is the SHA-256 of the one certificate that will do, in hexadecimal; who has signed it does not matter then.
    """

    ca_cert: Path | None = None
    pin: str = ""
    client_cert: Path | None = None
    client_key: Path | None = None
    insecure: bool = False


MACHINE = Trust()
"""Trust what this machine trusts."""


@dataclass(frozen=True, slots=True)
class DeleteLimit:
    """How many held files one pass may remove: a number, or a percentage of those held once there are so many."""

    number: int | None = None
    percent: float = 50.0
    counts_from: int = 21

    def allows(self, removals: int, held: int) -> bool:
        """Tell whether `removals` out of `held` files are within the limit."""
        if self.number is not None:
            return removals <= self.number
        if held < self.counts_from:
            return True
        return removals * 100 <= held * self.percent

    def __str__(self) -> str:
        """Return the limit as the user would write it."""
        return str(self.number) if self.number is not None else f"{self.percent:g}%"


@dataclass(frozen=True, slots=True)
class Settings:
    """All that a run needs to know except how many lanes it has and what is secret."""

    source: Path
    site: Site
    max_depth: int | None = None
    excluded_extensions: frozenset[str] = field(default_factory=frozenset)
    patterns: tuple[str, ...] = ()
    delete: bool = True
    delete_limit: DeleteLimit = field(default_factory=DeleteLimit)
    allow_empty_source: bool = False
    allow_unmounted: bool = False
    perms: bool = True
    timeout_seconds: float = 60.0
    every_seconds: float = 900.0
    bytes_per_s: float | None = None


def is_original_form(text: str) -> bool:
    """Tell whether a destination is meant as `host,user,password,directory[,port]`."""
    return "://" not in text and "," in text


def parse_original(text: str, tls: str | None = None) -> tuple[Site, str]:
    """Read `host,user,password,directory[,port]`; return the site and the password. Raises UsageError without it.

    `tls` is one of SCHEMES; None is "off", for this form does not say.
    """
    if _CONTROL.search(text):
        raise UsageError("the destination holds a line break or another control character, which FTP cannot carry")
    parts = text.split(",")
    if len(parts) not in {4, 5} or not re.fullmatch(r"[^\s/@]+", parts[0].strip()):
        raise UsageError(
            "the destination cannot be read: write ftpes://user@host[:port]/path, or"
            " host,user,password,directory[,port] (a password with a comma goes into a file: --password-file)"
        )
    host, user, password, directory = parts[:4]
    scheme = SCHEMES[tls or "off"]
    port = parts[4].strip() if len(parts) == 5 else str(DEFAULT_PORTS[scheme])
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        raise UsageError("the destination's port must be a number from 1 to 65535: host,user,password,directory[,port]")
    if not tls and int(port) == DEFAULT_PORTS["ftps"]:
        raise UsageError(f"on port {port} servers expect TLS from the first byte: say how it is there with --tls")
    root = _normal_root(directory.strip())
    return Site(scheme, _host(host.strip()), int(port), user.strip() or None, root), password


def parse_destination(text: str, tls: str | None = None) -> Site:
    """Read `ftp://[user@]host[:port]/path`. The path is relative to the login folder; `//` or `%2F` makes it absolute.

    `ftpes://` asks for TLS after the greeting (RFC 4217), `ftps://` begins with it; `tls`, one of SCHEMES, goes before
    that. Raises UsageError, without ever repeating a password.
    """
    if _CONTROL.search(text):
        raise UsageError("the destination holds a line break or another control character, which FTP cannot carry")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:  # its text may repeat a password
        raise UsageError("the destination is no URL that can be read: write ftpes://user@host[:port]/path") from None
    if parts.scheme not in DEFAULT_PORTS:
        raise UsageError("the destination must look like ftpes://user@host/path (ftpes is FTP with TLS, ftp without)")
    if parts.password is not None:
        raise UsageError(
            "the destination holds a password, which everybody on this machine could see: leave it out and use"
            " --password-file, --password-command, ASYNC_MIRROR_PASSWORD_FILE, ASYNC_MIRROR_PASSWORD or ~/.netrc"
        )
    if "," in (parts.netloc or ""):
        raise UsageError(
            "the destination's host holds a comma: host,user,password,directory[,port] begins without a scheme"
        )
    if not parts.hostname:
        raise UsageError("the destination names no host: write ftpes://user@host/path")
    if parts.query or parts.fragment or "@" in parts.path:
        raise UsageError("the destination holds ?, # or @ in its path: if they belong there, write %3F, %23 and %40")
    if port == 0:
        raise UsageError("the destination names port 0, where nothing listens: leave it out, or write the server's")
    scheme = SCHEMES[tls] if tls else parts.scheme
    if not tls and port and (scheme == "ftps") != (port == DEFAULT_PORTS["ftps"]) and port in DEFAULT_PORTS.values():
        other = "ftpes" if scheme == "ftps" else "ftps"
        raise UsageError(
            f"on port {port} servers do not expect {scheme}://: write {other}://, or say how it is there with --tls"
        )
    user = unquote(parts.username, errors="surrogateescape") if parts.username else None
    root = _normal_root(unquote(parts.path[1:], errors="surrogateescape"))
    if _CONTROL.search(f"{user}{root}{parts.hostname}"):
        raise UsageError("the destination holds a line break or another control character, which FTP cannot carry")
    return Site(scheme, _host(parts.hostname), port or DEFAULT_PORTS[scheme], user, root)


def _host(name: str) -> str:
    """Return a host's name if it can be looked up: no part of it is empty, too long, or holds what is no letter."""
    try:
        name.encode("idna")
    except UnicodeError:
        raise UsageError("the destination's host is no name that can be looked up: check its spelling") from None
    return name


def _normal_root(path: str) -> str:
    parts = [part for part in path.split("/") if part not in {"", "."}]
    if ".." in parts:
        raise UsageError("the destination's path holds `..`: name the folder itself")
    return ("/" if path.startswith("/") else "") + "/".join(parts)


def parse_interval(text: str) -> float:
    """Read `15m`, `90s`, `1h30m` or plain seconds; return seconds, more than 0."""
    found = _INTERVAL.fullmatch(text.strip())
    if not found or not any(found.groups()):
        raise UsageError(f"{text!r} is no interval: write 90s, 15m, 1h30m or a number of seconds")
    hours, minutes, seconds = (float(part or 0) for part in found.groups())
    total = hours * 3600 + minutes * 60 + seconds
    if total <= 0 or not math.isfinite(total):
        raise UsageError(f"{text!r} is no interval: it must be more than 0")
    return total


def parse_rate(text: str) -> float:
    """Read `5M`, `500k`, `1.5M`, `2Mi` or plain bytes per second; k is 1,000, Ki is 1,024."""
    found = _RATE.fullmatch(text.strip())
    if not found:
        raise UsageError(f"{text!r} is no rate: write bytes per second as in 500k, 5M or 1.5M")
    base = 1024 if found[3] else 1000
    rate = float(found[1]) * float(base ** " kmg".index(found[2].lower() or " "))
    if rate < SLOWEST_BYTES_PER_S:
        raise UsageError(f"{text!r} is no rate: it must be at least 1k, a thousand bytes per second")
    return rate


def parse_delete_limit(text: str) -> DeleteLimit:
    """Read a number of files or a percentage (`100`, `25%`)."""
    found = re.fullmatch(r"(\d{1,15})|(\d{1,3}(?:\.\d{1,15})?)\s*%", text.strip())
    if not found:
        raise UsageError(f"{text!r} is no limit: write a number of files (100) or a percentage of the mirror (25%)")
    if found[1]:
        return DeleteLimit(number=int(found[1]))
    percent = float(found[2])
    if percent > 100:
        raise UsageError(f"{text!r} is no limit: a percentage goes from 0% to 100%")
    return DeleteLimit(percent=percent, counts_from=0)


def parse_pin(text: str) -> str:
    """Read the 64 hexadecimal digits of a certificate's fingerprint, with colons or without, behind `sha256:` or not.

    openssl writes `sha256 Fingerprint=` before them.
    """
    found = re.fullmatch(
        r"(?:sha-?256(?::| fingerprint=))?((?:[0-9a-f]{2}:?){31}[0-9a-f]{2})", text.strip(), re.IGNORECASE
    )
    if not found:
        raise UsageError(
            f"{text!r} is no fingerprint: write sha256: and its 64 digits, as a failed connection tells them, or"
            " openssl x509 -noout -fingerprint -sha256"
        )
    return found[1].replace(":", "").lower()


def parse_extension(text: str) -> str:
    """Read `.tmp` or `tmp`; return it with its dot."""
    extension = "." + text.removeprefix(".")
    if len(extension) == 1 or "/" in extension or "." in extension[1:]:
        raise UsageError(f"{text!r} is no extension: write .tmp (of a.tar.gz the extension is .gz)")
    return extension
