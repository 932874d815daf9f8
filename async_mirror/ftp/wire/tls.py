"""TLS: whom we trust, and what is wrong with a certificate that we do not. Knows certificates, not FTP."""

import hashlib
import ssl
import time
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from async_mirror.model.escape import shown
from async_mirror.model.settings import UsageError
from async_mirror.model.site import Site, Trust
from async_mirror.remote.errors import Untrusted

_OTHER_HOST = {62, 64}
"""X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH."""
_ISSUER_UNKNOWN = "is signed by an unknown CA"
_WRONG = {
    9: "is not valid yet",
    10: "has expired",
    18: "is self-signed",
    19: _ISSUER_UNKNOWN,
    20: _ISSUER_UNKNOWN,
    21: _ISSUER_UNKNOWN,
    62: "is for another host",
    64: "is for another host",
}
_MEND = {
    9: "check the clock of this machine",
    10: "ask the site's host to renew it, and check the clock of this machine",
    18: "name the certificate's file with --ca-cert",
    62: "use a host name from the certificate in the destination",
    64: "use a host name from the certificate in the destination",
}
_NAME_ISSUER = "name the CA's certificate file with --ca-cert"
_NAMES_TOLD = 10
_DOUBT_LASTS_SECONDS = 60.0
_DER = 2
_GUESSES_BETTER = (3, 5)
"""From this version on OpenSSL offers a curve that resists quantum computers, which is worth a round trip."""
_NO_PEM = {None, "PEM", "NO_CERTIFICATE_OR_CRL_FOUND", "NO_START_LINE", "BAD_BASE64_DECODE", "BAD_END_LINE"}
_NOT_TLS = {
    "WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNEXPECTED_MESSAGE", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG",
    "WRONG_SSL_VERSION", "UNEXPECTED_RECORD", "BAD_RECORD_TYPE",
}  # fmt: skip


class Certificate(NamedTuple):
    """What a server showed: the SHA-256 of its certificate, and the names that this is for if it was verified."""

    fingerprint: str
    names: tuple[str, ...]

    @classmethod
    def of(cls, peer: ssl.SSLObject) -> "Certificate":
        """Return the one at the other end, once the handshake is done."""
        raw = peer.getpeercert(binary_form=True) or b""
        alternatives = (peer.getpeercert() or {}).get("subjectAltName", ())
        return cls(hashlib.sha256(raw).hexdigest(), tuple(str(each[1]) for each in alternatives))

    @classmethod
    def refused(cls, peer: ssl.SSLObject) -> "Certificate | None":
        """Return the one that the handshake failed for, None where Python does not tell."""
        with suppress(AttributeError, TypeError, ValueError):  # of Python's own use: SSLObject has no way to it
            connection: Any = getattr(peer, "_sslobj", peer)
            certificates = connection.get_unverified_chain()
            return cls(hashlib.sha256(certificates[0].public_bytes(_DER)).hexdigest(), ())
        return None


class TooNarrow(Exception):
    """No TLS was agreed upon, perhaps because only one curve was offered; now all are."""


class Tls:
    """What TLS needs from session to session of one mirror: a context, and the doubt that a data connection left.

    At first it offers P-256 alone, which each server of TLS 1.3 must know (RFC 8446, 9.1): many prefer it to what
    OpenSSL guesses, and asking for it would cost every data connection another round trip.
    """

    def __init__(self, trust: Trust) -> None:
        """Begin without a context and without a doubt."""
        self._trust = trust
        self._is_narrow = ssl.OPENSSL_VERSION_INFO < _GUESSES_BETTER
        self._doubt: tuple[Untrusted, float] | None = None

    def __reduce__(self) -> "tuple[type[Tls], tuple[Trust]]":
        """Travel to a worker, where it has a context and doubts of its own."""
        return Tls, (self._trust,)

    @cached_property
    def context(self) -> ssl.SSLContext:
        """The context of all connections, made when first asked for: reading a machine's certificates takes a while.

        Raises UsageError when a file cannot be used.
        """
        context = _context(self._trust)
        if self._is_narrow:
            context.set_ecdh_curve("prime256v1")
        return context

    def widen(self, error: ssl.SSLError) -> bool:
        """Offer all curves from now on, if only one was and that may be why the handshake failed."""
        if not self._is_narrow or "HANDSHAKE_FAILURE" not in (error.reason or ""):
            return False
        self.context, self._is_narrow = _context(self._trust), False
        return True

    def distrust(self, whose: str, error: ssl.SSLError | Untrusted, peer: ssl.SSLObject) -> Untrusted:
        """Return why a connection beside the first is not to be used, and let the next session be refused for that."""
        if isinstance(error, Untrusted):
            doubt = error.with_traceback(None)
        elif isinstance(error, ssl.SSLCertVerificationError):
            doubt = untrusted(whose, error, Certificate.refused(peer))
        else:
            doubt = Untrusted(
                f"{whose} is not encrypted",
                "ask the site's host: the server accepted encryption, then sent something else",
            )
        self._doubt = doubt, time.monotonic()
        return doubt

    def take_doubt(self) -> Untrusted | None:
        """Return why no session should be opened now, once; what was long ago does not count."""
        doubt, self._doubt = self._doubt, None
        return doubt[0] if doubt and time.monotonic() - doubt[1] < _DOUBT_LASTS_SECONDS else None

    def check(self, peer: ssl.SSLObject, whose: str) -> None:
        """See that the other end is the one that was pinned, if one was. Raises Untrusted."""
        if self._trust.pin and (seen := Certificate.of(peer).fingerprint) != self._trust.pin:
            raise Untrusted(
                f"{whose} shows a certificate that does not match --tls-pin: sha256:{seen}",
                "use --tls-pin with this fingerprint only if the site's host confirms a new certificate",
            )

    def to_look(self, error: ssl.SSLCertVerificationError) -> ssl.SSLContext:
        """Return a context with which a certificate that was found wrong can be looked at; nothing else may use it."""
        if error.verify_code not in _OTHER_HOST:
            return _context(Trust(insecure=True))
        context = _context(replace(self._trust, client_cert=None, client_key=None))
        context.check_hostname = False
        return context


def tls_of(site: Site, trust: Trust) -> Tls | None:
    """Return what the sessions of one mirror share, None where there is no TLS. Raises UsageError as `context` does."""
    tls = Tls(trust) if site.is_encrypted else None
    return tls if tls and tls.context else None


def _context(trust: Trust) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=trust.ca_cert)
    except OSError as error:
        if trust.ca_cert is None:
            raise UsageError(f"TLS cannot be set up: {_why(error)}") from None
        raise UsageError(f"the file {trust.ca_cert} cannot be used for --ca-cert: {_why(error)}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)  # a cut must not look like an end
    context.options |= getattr(ssl, "OP_NO_RENEGOTIATION", 0)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # Python 3.13's default, which many private issuers do not meet
    if trust.ca_cert:
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if trust.pin or trust.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if trust.client_cert:
        _show(context, trust.client_cert, trust.client_key)
    return context


def _show(context: ssl.SSLContext, certificate: Path, key: Path | None) -> None:
    def passphrase() -> str:
        raise UsageError(f"the key in {key or certificate} is encrypted: use an unencrypted key")

    try:
        context.load_cert_chain(certificate, key, passphrase)
    except OSError as error:
        files = f"{certificate} with the key in {key}" if key else f"{certificate}, which must also contain the key,"
        why = "no PEM certificate or no PEM key in it" if _is_no_pem(error) else _why(error)
        raise UsageError(f"the client certificate {files} cannot be used: {why}") from None


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return "not a PEM file of that kind" if _is_no_pem(error) else reason(error)
    return error.strerror or str(error)


def _is_no_pem(error: OSError) -> bool:
    return isinstance(error, ssl.SSLError) and error.reason in _NO_PEM


def reason(error: BaseException) -> str:
    """Return in words what OpenSSL says of an error, if it is one of TLS."""
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    return str(error)


def concerns_trust(error: ssl.SSLError) -> bool:
    """Tell whether the other end is not, or not provably, the one that was meant."""
    return isinstance(error, ssl.SSLCertVerificationError) or is_not_tls(error)


def is_not_tls(error: ssl.SSLError) -> bool:
    """Tell whether the other end does not speak TLS at all."""
    return error.reason in _NOT_TLS


def untrusted(whose: str, error: ssl.SSLCertVerificationError, seen: Certificate | None) -> Untrusted:
    """Return what is wrong with a certificate, with its fingerprint if it was seen, and what to do."""
    code = error.verify_code
    wrong = _WRONG.get(code, f"cannot be verified ({error.verify_message})")
    names = f" ({shown(', '.join(seen.names[:_NAMES_TOLD]))})" if seen and seen.names and code in _OTHER_HOST else ""
    fingerprint = f": sha256:{seen.fingerprint}" if seen else ""
    pin = "; or use --tls-pin with this fingerprint, if the site's host confirms it" if seen else ""
    mend = _MEND.get(code, _NAME_ISSUER)
    return Untrusted(f"the certificate of {whose} {wrong}{names}{fingerprint}", f"{mend}{pin}")
