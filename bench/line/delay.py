"""The line with a delay: takes IP packets from one network namespace, hands them to another a fixed time later.

It needs /dev/net/tun and nothing of the kernel's traffic control. Packets pass as the kernel's segmentation offload
makes them, up to 64 KiB each, so that a stream of many MB/s costs few of them. No loss, no limit of the rate.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import gc
import os
import select
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bench.line.holder import bring_up

CLIENT: Final = "10.77.0.1"
SERVER: Final = "10.77.0.2"

_DEVICE: Final = b"wire0"
_NEW_NET: Final = 0x40000000
_SET_DEVICE, _SET_OFFLOAD = 0x400454CA, 0x400454D0
_TUN, _NO_PACKET_INFO, _OFFLOAD_HEADER = 0x0001, 0x1000, 0x4000
_CHECKSUM_OFFLOAD, _SEGMENTATION_OFFLOAD = 0x01, 0x02
_SET_ADDRESS, _SET_PEER, _SET_QUEUE = 0x8916, 0x8918, 0x8943
_QUEUE: Final = 10_000
_PACKET: Final = 65_536 + 64
_BURST: Final = 64
_WAKING_NS: Final = 200_000
"""What passes, each way, until this process has woken up to read and to write: the delay is that much less."""

Waiting = deque[tuple[int, bytes]]


def _enter(namespace: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    with namespace.open() as file:
        if libc.setns(file.fileno(), _NEW_NET):
            raise OSError(ctypes.get_errno(), f"cannot enter {namespace}")


def _open_end(namespace: Path, address: str, peer: str) -> int:
    """Make a device in the namespace with an address and a route to its peer; return its descriptor."""
    _enter(namespace)
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    flags = _TUN | _NO_PACKET_INFO | _OFFLOAD_HEADER
    fcntl.ioctl(device, _SET_DEVICE, struct.pack("16sH22x", _DEVICE, flags))
    fcntl.ioctl(device, _SET_OFFLOAD, _CHECKSUM_OFFLOAD | _SEGMENTATION_OFFLOAD)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for request, value in ((_SET_ADDRESS, address), (_SET_PEER, peer)):
            packed = struct.pack("16sHH4s16x", _DEVICE, socket.AF_INET, 0, socket.inet_aton(value))
            fcntl.ioctl(control, request, packed)
        fcntl.ioctl(control, _SET_QUEUE, struct.pack("16si20x", _DEVICE, _QUEUE))
    bring_up(_DEVICE.decode())
    return device


def _hand_over(waiting: Waiting, device: int) -> None:
    """Write what is due."""
    while waiting and waiting[0][0] <= time.monotonic_ns():
        os.write(device, waiting.popleft()[1])


def _take(device: int, waiting: Waiting, delay_ns: int) -> None:
    """Read what has come, but let the other direction have its turn."""
    for _ in range(_BURST):
        try:
            packet = os.read(device, _PACKET)
        except BlockingIOError:
            return
        waiting.append((time.monotonic_ns() + delay_ns, packet))


def _pause(lines: Mapping[int, Waiting]) -> float | None:
    """Return the seconds until the next packet is due, None if there is none."""
    due = [waiting[0][0] for waiting in lines.values() if waiting]
    return max(0, min(due) - time.monotonic_ns()) / 1e9 if due else None


def carry(one: int, other: int, delay_ns: int) -> None:
    """Carry packets both ways until standard input ends."""
    lines: dict[int, Waiting] = {one: deque(), other: deque()}
    far_end = {one: other, other: one}
    stdin = sys.stdin.fileno()
    while True:
        ready, _, _ = select.select([one, other, stdin], [], [], _pause(lines))
        if stdin in ready:
            return
        for device, waiting in lines.items():
            if device in ready:
                _take(device, waiting, delay_ns)
            _hand_over(waiting, far_end[device])


def main() -> None:
    """Open both ends, say so, carry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("client", type=Path, help="the namespace of the client, a file")
    parser.add_argument("server", type=Path, help="the namespace of the server")
    parser.add_argument("--delay-ms", type=float, required=True, help="one way")
    given = parser.parse_args()
    client = _open_end(given.client, CLIENT, SERVER)
    server = _open_end(given.server, SERVER, CLIENT)
    Path("/proc/self/timerslack_ns").write_text("1000")
    gc.disable()  # there are no cycles here, and a pause would be a delay
    print("ready", flush=True)
    carry(client, server, max(0, round(given.delay_ms * 1e6) - _WAKING_NS))


if __name__ == "__main__":
    main()
