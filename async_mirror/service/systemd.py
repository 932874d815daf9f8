"""Tells systemd what this process does, if that wants to know: sd_notify(3). Raises nothing, waits for nothing."""

import os
import socket
import time
from collections.abc import Mapping
from contextlib import closing, suppress

_LONGEST_STATUS = 300


class Notifier:
    """Speaks to the socket that systemd gave this process; without one it is silent."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Find out from the environment what is wanted."""
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self.watchdog_s = _watchdog_s(environment) if address else None
        """The longest time between two signs of life, None if there need be none."""

    @property
    def is_wanted(self) -> bool:
        """True if systemd listens."""
        return bool(self._address)

    def ready(self) -> None:
        """Say that the service is up, for the first time or after a reload."""
        self._say("READY=1")

    def reloading(self) -> None:
        """Say that the configuration is being read again."""
        self._say(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Say that the end has begun."""
        self._say("STOPPING=1")

    def alive(self, status: str) -> None:
        """Give a sign of life, and say how things are."""
        line = " ".join(status.split())[:_LONGEST_STATUS]
        self._say(f"WATCHDOG=1\nSTATUS={line}")

    def _say(self, text: str) -> None:
        if self._address:
            with suppress(OSError), closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as to:
                to.setblocking(False)
                to.sendto(text.encode(errors="replace"), self._address)


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    with suppress(ValueError):
        return int(environment.get("WATCHDOG_USEC", "")) / 1e6 or None
    return None
