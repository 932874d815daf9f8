"""How a destination is written: a URL, or the original `host,user,password,directory[,port]`."""

import re
from urllib.parse import unquote, urlsplit

from async_mirror.model.secret import Secret
from async_mirror.model.settings import UsageError
from async_mirror.model.site import DEFAULT_PORTS, SCHEMES, Site

_CONTROL = re.compile("[\x00-\x1f\x7f]|\udcff[\udcf0-\udcff]")
"""What ends a command or alters it: ProFTPD takes pairs that begin with 0xFF for Telnet's, and takes them out."""


def is_original_form(text: str) -> bool:
    """Tell whether a destination is meant as `host,user,password,directory[,port]`."""
    return "://" not in text and "," in text


def parse_original(text: str, tls: str | None = None) -> tuple[Site, Secret]:
    """Read `host,user,password,directory[,port]`; return the site and the password. Raises UsageError without it.

    `tls` is one of SCHEMES; None is "off", for this form does not say.
    """
    if _CONTROL.search(text):
        raise UsageError("the destination contains a control character, which FTP cannot transmit")
    parts = text.split(",")
    if len(parts) not in {4, 5} or not re.fullmatch(r"[^\s/@]+", parts[0].strip()):
        raise UsageError(
            "invalid destination: write ftpes://user@host[:port]/path, or"
            " host,user,password,directory[,port] (for a password with a comma use --password-file)"
        )
    host, user, password, directory = parts[:4]
    scheme = SCHEMES[tls or "off"]
    port = parts[4].strip() if len(parts) == 5 else str(DEFAULT_PORTS[scheme])
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        raise UsageError("the port of the destination must be from 1 to 65535: host,user,password,directory[,port]")
    if not tls and int(port) == DEFAULT_PORTS["ftps"]:
        raise UsageError(f"on port {port} servers expect TLS from the first byte: choose with --tls")
    root = _normal_root(directory.strip())
    return Site(scheme, _host(host.strip()), int(port), user.strip() or None, root), Secret(password)


def parse_destination(text: str, tls: str | None = None) -> Site:
    """Read `ftp://[user@]host[:port]/path`. The path is relative to the login folder; `//` or `%2F` makes it absolute.

    `ftpes://` asks for TLS after the greeting (RFC 4217), `ftps://` begins with it; `tls`, one of SCHEMES, goes before
    that. Raises UsageError, without ever repeating a password.
    """
    if _CONTROL.search(text):
        raise UsageError("the destination contains a control character, which FTP cannot transmit")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:  # its text may repeat a password
        raise UsageError("invalid URL as destination: write ftpes://user@host[:port]/path") from None
    if parts.scheme not in DEFAULT_PORTS:
        raise UsageError(_not_ours(parts.scheme if "://" in text else ""))
    if parts.password is not None:
        raise UsageError(
            "the destination contains a password, visible to all users of this machine: leave it out and use"
            " --password-file, --password-command, ASYNC_MIRROR_PASSWORD_FILE, ASYNC_MIRROR_PASSWORD or ~/.netrc"
        )
    if "," in (parts.netloc or ""):
        raise UsageError(
            "the host of the destination contains a comma: write host,user,password,directory[,port] without a scheme"
        )
    if not parts.hostname:
        raise UsageError("no host in the destination: write ftpes://user@host/path")
    if parts.query or parts.fragment or "@" in parts.path:
        raise UsageError("?, # or @ in the path of the destination: write %3F, %23 or %40")
    if port == 0:
        raise UsageError("invalid port 0 in the destination: leave it out, or write the port of the server")
    scheme = SCHEMES[tls] if tls else parts.scheme
    if not tls and port and (scheme == "ftps") != (port == DEFAULT_PORTS["ftps"]) and port in DEFAULT_PORTS.values():
        other = "ftpes" if scheme == "ftps" else "ftps"
        raise UsageError(f"on port {port} servers do not expect {scheme}://: write {other}://, or choose with --tls")
    user = unquote(parts.username, errors="surrogateescape") if parts.username else None
    root = _normal_root(unquote(parts.path[1:], errors="surrogateescape"))
    if _CONTROL.search(f"{user}{root}{parts.hostname}"):
        raise UsageError("the destination contains a control character, which FTP cannot transmit")
    return Site(scheme, _host(parts.hostname), port or DEFAULT_PORTS[scheme], user, root)


def _not_ours(scheme: str) -> str:
    if not scheme:
        return "the destination must be a URL: write ftpes://user@host/path (ftpes is FTP with TLS, ftp without)"
    return f"unknown scheme {scheme}:// in the destination: write ftpes:// (FTP with TLS), ftps:// or ftp://"


def _host(name: str) -> str:
    """Return a host's name if it can be looked up: no part of it is empty, too long, or holds what is no letter."""
    try:
        name.encode("idna")
    except UnicodeError:
        raise UsageError("invalid host name in the destination: check its spelling") from None
    return name


def _normal_root(path: str) -> str:
    parts = [part for part in path.split("/") if part not in {"", "."}]
    if ".." in parts:
        raise UsageError("the path of the destination contains ..: write the final path")
    return ("/" if path.startswith("/") else "") + "/".join(parts)
