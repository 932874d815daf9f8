"""Whom data connections lead to: to the server itself, in TLS if it is to be, and with the certificate that is due."""

import socket
import ssl

from async_mirror.ftp.wire.control import Control
from async_mirror.ftp.wire.data import Data, SecureData
from async_mirror.ftp.wire.tls import Tls, concerns_trust
from async_mirror.remote.errors import LedElsewhere, Refusal, Untrusted

_THE_DATA_CONNECTION = "the data connection"


class DataConnections:
    """Makes the data connections of one session, none of them connected yet."""

    def __init__(self, control: Control, host: str, tls: Tls | None) -> None:
        """Begin with a session that is logged in; `host` is whose certificate they are to show."""
        self.tls = tls
        self._control = control
        self._host = host
        self._ticket: ssl.SSLSession | None = None

    def new(self) -> Data:
        """Make what will connect to the control connection's own address, whatever the server says of addresses.

        Raises Refusal.
        """
        assert self._control.transport is not None
        address = self._control.transport.get_extra_info("peername")
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        seconds = self._control.timeout_seconds
        try:
            if self.tls is None:
                return Data(family, seconds)
            peer = self._control.peer
            assert peer is not None
            if self._ticket is None or not self._ticket.has_ticket:  # in TLS 1.3 it comes some time after the handshake
                self._ticket = peer.session
            return SecureData(family, seconds, self.tls.context, self._host, self._ticket)
        except OSError as error:
            raise Refusal(f"no data connection can be made: {error.strerror}", transient=True) from None

    def check(self, data: SecureData) -> None:
        """See that the certificate at the other end is the pinned one, if one is. Raises Untrusted."""
        assert self.tls is not None
        self.tls.check(data.peer, _THE_DATA_CONNECTION)

    def distrust(self, data: Data, error: ssl.SSLError | Untrusted) -> None:
        """End the session if an error is about whom a data connection leads to: no next session is opened either."""
        if not isinstance(data, SecureData) or not (isinstance(error, Untrusted) or concerns_trust(error)):
            return
        assert self.tls is not None
        doubt = self.tls.distrust(_THE_DATA_CONNECTION, error, data.peer)
        self._control.break_off(str(doubt))
        raise LedElsewhere(str(doubt))
