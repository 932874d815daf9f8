"""Certificates for servers on the loopback address, good and bad, made by authorities that exist only in a test run.

Knows neither servers nor clients: what it makes are files, fingerprints and server contexts.
"""

from __future__ import annotations

import hashlib
import ssl
import warnings
from datetime import UTC, datetime
from pathlib import Path

import trustme

LOOPBACK = ("localhost", "127.0.0.1", "::1")
LONG_AGO = datetime(2021, 3, 4, 5, 6, 7, tzinfo=UTC)
ELSEWHERE = "other.example"


class Certificate:
    """A certificate with its key, in one file as servers want it."""

    def __init__(self, file: Path, certificate: trustme.Blob, chain_and_key: bytes) -> None:
        self.file = file
        self.file.write_bytes(chain_and_key)
        der = ssl.PEM_cert_to_DER_cert(certificate.bytes().decode())
        self.fingerprint = f"sha256:{hashlib.sha256(der).hexdigest()}"

    def context(
        self,
        *,
        oldest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2,
        newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
        tickets: int = 2,
    ) -> ssl.SSLContext:
        """Return a server context with this certificate that has a session cache of its own.

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


class Certificates:
    """One certificate of each kind. Clients that take `ca_file` for their only authority believe `good` alone.

    `good` and `other` are both in order, but two; `self_signed` names no host at all, as many on real servers.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        authority, unknown = trustme.CA(organization_name="known"), trustme.CA(organization_name="unknown")
        self.ca_file = folder / "ca.pem"
        authority.cert_pem.write_to_path(str(self.ca_file))
        self.good = self._issue("good", authority)
        self.other = self._issue("other", authority)
        self.expired = self._issue("expired", authority, not_after=LONG_AGO)
        self.wrong_host = self._issue("wrong_host", authority, hosts=(ELSEWHERE,))
        self.unknown_issuer = self._issue("unknown_issuer", unknown)
        alone = trustme.CA(organization_name="self-signed")
        both = alone.cert_pem.bytes() + alone.private_key_pem.bytes()
        self.self_signed = Certificate(folder / "self_signed.pem", alone.cert_pem, both)

    def _issue(
        self, name: str, issuer: trustme.CA, *, hosts: tuple[str, ...] = LOOPBACK, not_after: datetime | None = None
    ) -> Certificate:
        leaf = issuer.issue_cert(*hosts, not_after=not_after)
        file = self._folder / f"{name}.pem"
        return Certificate(file, leaf.cert_chain_pems[0], leaf.private_key_and_cert_chain_pem.bytes())
