"""A CA, a server's certificate, sound or with a flaw, and a client's, as files in PEM; knows nothing of FTP."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final, Literal, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Certificate = Literal["good", "expired", "early", "self-signed", "wrong-host", "unknown-ca"]

HOSTS: Final = ("localhost", "127.0.0.1", "::1")
KEY_PASSWORD: Final = "k3y-Pass"

_VALID_DAYS: dict[Certificate, tuple[int, int]] = {"expired": (-3, -2), "early": (2, 3)}


class Certificates:
    """The files of one server and its clients in a folder; `make` makes them, and others when called again.

    Clients trust `ca`. `server` has the server's certificate and key. The server trusts `client_ca`. `client` has a
    client's certificate and key, which are there apart, too: `client_certificate`, `client_key`, and
    `client_encrypted_key` under the password KEY_PASSWORD. The server's certificate is good for HOSTS and `host`, or
    is not yet or no longer valid, is signed by itself, is for another host, or comes from a CA that is not the one of
    `ca`.
    """

    def __init__(self, folder: Path, certificate: Certificate = "good", host: str = HOSTS[0]) -> None:
        self.ca = folder / "ca.pem"
        self.server = folder / "server.pem"
        self.client_ca = folder / "client-ca.pem"
        self.client = folder / "client.pem"
        self.client_certificate = folder / "client-certificate.pem"
        self.client_key = folder / "client-key.pem"
        self.client_encrypted_key = folder / "client-encrypted-key.pem"
        self._certificate = certificate
        self._hosts = HOSTS if host in HOSTS else (*HOSTS, host)

    def make(self) -> None:
        """Write all files."""
        ca = _issue("tests CA")
        hosts = ("elsewhere.example",) if self._certificate == "wrong-host" else self._hosts
        issuer = None if self._certificate == "self-signed" else ca
        server = _issue(hosts[0], hosts, issuer, _VALID_DAYS.get(self._certificate, (-1, 30)))
        trusted = _issue("another CA") if self._certificate == "unknown-ca" else ca
        client_ca = _issue("tests CA of clients")
        client = _issue("client", ("client.example",), client_ca)
        for path, content in {
            self.ca: trusted.certificate_pem(),
            self.server: server.certificate_pem() + server.key_pem(),
            self.client_ca: client_ca.certificate_pem(),
            self.client: client.certificate_pem() + client.key_pem(),
            self.client_certificate: client.certificate_pem(),
            self.client_key: client.key_pem(),
            self.client_encrypted_key: client.key_pem(KEY_PASSWORD),
        }.items():
            path.write_bytes(content)
            path.chmod(0o600)

    def fingerprint(self) -> str:
        """Return the SHA-256 of the server's certificate in hexadecimal digits."""
        return x509.load_pem_x509_certificate(self.server.read_bytes()).fingerprint(hashes.SHA256()).hex()


class _Pair(NamedTuple):
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def key_pem(self, password: str = "") -> bytes:
        encryption = (
            serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
        )
        return self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def _issue(
    name: str, hosts: tuple[str, ...] = (), issuer: _Pair | None = None, valid_days: tuple[int, int] = (-1, 30)
) -> _Pair:
    """Make a key and a certificate for hosts, or for a CA when there are none; without an issuer it signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer_key = issuer.key if issuer else key
    begin, end = (datetime.now(UTC) + timedelta(days) for days in valid_days)
    builder = x509.CertificateBuilder(
        issuer.certificate.subject if issuer else subject, subject, key.public_key(), x509.random_serial_number()
    )
    builder = builder.not_valid_before(begin).not_valid_after(end)
    for extension, critical in (
        (x509.BasicConstraints(ca=not hosts, path_length=None), True),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), False),
        (x509.SubjectAlternativeName(map(_general_name, hosts)), False) if hosts else (_CA_USAGE, True),
    ):
        builder = builder.add_extension(extension, critical)
    return _Pair(builder.sign(issuer_key, hashes.SHA256()), key)


_CA_USAGE = x509.KeyUsage(
    key_cert_sign=True,
    crl_sign=True,
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    encipher_only=False,
    decipher_only=False,
)


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)
