"""Holds the network namespace it was started in, until its standard input ends: so nothing outlives the benchmark.

Knows nothing of what the namespace is for.
"""

from __future__ import annotations

import fcntl
import socket
import struct
import sys
from pathlib import Path
from typing import Final

_SETTINGS: Final = {
    "tcp_no_metrics_save": "1",  # no run may profit from the one before
    "ip_local_port_range": "10000 19999",  # apart from the servers' control and passive ports
    "tcp_tw_reuse": "1",
}
_GET_FLAGS: Final = 0x8913
_SET_FLAGS: Final = 0x8914
_UP: Final = 1


def bring_up(name: str) -> None:
    """Bring a network interface of this namespace up."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = fcntl.ioctl(control, _GET_FLAGS, struct.pack("16sH22x", name.encode(), 0))
        (flags,) = struct.unpack_from("H", request, 16)
        fcntl.ioctl(control, _SET_FLAGS, struct.pack("16sH22x", name.encode(), flags | _UP))


def main() -> None:
    """Prepare the namespace, say so, and wait."""
    bring_up("lo")
    for name, value in _SETTINGS.items():
        Path("/proc/sys/net/ipv4", name).write_text(value)
    print("ready", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
