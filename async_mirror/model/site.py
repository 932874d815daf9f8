"""Where the mirror is and whom it trusts, immutable and checked. Pure."""

import re
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import quote

from async_mirror.model import paths

DEFAULT_PORTS = {"ftp": 21, "ftpes": 21, "ftps": 990}
SCHEMES = {"off": "ftp", "explicit": "ftpes", "implicit": "ftps"}
"""How a session is protected, and the scheme that says so."""
_MISREAD = re.compile(r"[%?#@]")


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
    def server(self) -> str:
        """Which server it is, whatever the account."""
        return f"{self.host.lower()}:{self.port}"

    @property
    def account(self) -> str:
        """Whom the server knows us as: what it allows, it allows to this user of this host."""
        return f"{self.user}@{self.server}"

    @property
    def binding(self) -> tuple[str, str, str, str]:
        """What a state is bound to: host, port (21 and 990 are two doors of one server), user, root."""
        port = "ftp" if self.port in DEFAULT_PORTS.values() else str(self.port)
        return self.host.lower(), port, self.user or "", self.root

    def inside(self, outer: "Site") -> str:
        """Return where in another site this one is; "" if it is not, as far as that shows before a login."""
        if self.binding[:3] != outer.binding[:3] or self.root.startswith("/") != outer.root.startswith("/"):
            return ""
        root, above = self.root.strip("/"), outer.root.strip("/")
        return root.removeprefix(f"{above}/" if above else "") if root != above and paths.is_inside(root, above) else ""


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
