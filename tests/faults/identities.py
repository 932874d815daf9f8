"""What servers that lie show for themselves: certificates, good and bad, and contexts for TLS that have them.

Knows neither servers nor clients.
"""

from __future__ import annotations

import ssl
import warnings
from pathlib import Path
from typing import get_args

from servers.certificates import Certificate, Certificates


class Identity:
    """A certificate with its key, both in `file`."""

    def __init__(self, files: Certificates) -> None:
        self.fingerprint = f"sha256:{files.fingerprint()}"
        self.file = files.server

    def context(
        self,
        *,
        oldest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2,
        newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
        tickets: int = 2,
    ) -> ssl.SSLContext:
        """Return a server context with sessions of its own.

        `tickets` is how many TLS 1.3 gives to each client; without any it never takes up a session again.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file)
        context.num_tickets = tickets
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # an old version is what a test may ask for
            context.minimum_version, context.maximum_version = oldest, newest
        if newest < ssl.TLSVersion.TLSv1_2:
            context.set_ciphers("ALL:@SECLEVEL=0")  # OpenSSL 3 takes their signatures for too weak
        return context


class Identities:
    """An identity for each kind of certificate, and "other": as good as "good", but another one.

    Who trusts `ca_file` finds one thing wrong with each of the bad ones, and nothing else.
    """

    def __init__(self, folder: Path) -> None:
        kinds: dict[str, Certificate] = {kind: kind for kind in get_args(Certificate)}
        files = {name: Certificates(folder / name, kind) for name, kind in (kinds | {"other": "good"}).items()}
        for name, each in files.items():
            (folder / name).mkdir()
            each.make()
        self.ca_file = folder / "ca.pem"
        self.ca_file.write_bytes(b"".join(each.ca.read_bytes() for each in files.values()))
        self._identities = {name: Identity(each) for name, each in files.items()}

    def __getitem__(self, name: str) -> Identity:
        return self._identities[name]
