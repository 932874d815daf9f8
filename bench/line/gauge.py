"""Gauges a line with TCP itself: round-trip times of one byte, throughput of one stream. Knows only sockets."""

from __future__ import annotations

import argparse
import json
import socket
import statistics
import subprocess
import sys
import time
from contextlib import suppress
from typing import Final, TypedDict

from bench.line.network import PROJECT, Line, helper, python, within

_PORT: Final = 5001
_ECHOES: Final = 50
_SECONDS: Final = 3.0
_BLOCK: Final = 1 << 18


class Gauged(TypedDict):
    """What a line is like; `mbit_per_s` is 0 where that was not measured."""

    rtt_ms: list[float]
    mbit_per_s: float
    congestion: str


def gauge(line: Line, throughput: bool = False) -> Gauged:
    """Measure a line from the client's end; `rtt_ms` has the least, the median and the most.

    Throughput is for a machine that does nothing else: it takes all that it can get.
    """
    with helper(within(line.server, python("line.gauge", "answer", line.host))):
        options = ["--throughput"] if throughput else []
        ask = within(line.client, python("line.gauge", "ask", line.host, *options))
        told = subprocess.run(  # noqa: S603
            ask, check=True, capture_output=True, cwd=PROJECT, timeout=60
        )
    found: Gauged = json.loads(told.stdout)
    return found


def _answer(host: str) -> None:
    """Echo what comes on the first connection, swallow what comes on the second."""
    with socket.create_server((host, _PORT)) as listener:
        print("ready", flush=True)
        echo, _ = listener.accept()
        echo.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while byte := echo.recv(1):
            echo.sendall(byte)
        sink, _ = listener.accept()
        buffer = bytearray(1 << 20)
        while sink.recv_into(buffer):
            pass
        with suppress(BrokenPipeError, ConnectionResetError):  # who did not measure does not wait
            sink.sendall(b".")
        sys.stdin.read()


def _ask(host: str, throughput: bool) -> Gauged:
    with socket.create_connection((host, _PORT)) as echo:
        echo.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        times = [_round_trip_ms(echo) for _ in range(_ECHOES)]
    with socket.create_connection((host, _PORT)) as sink:
        rate = _throughput(sink) if throughput else 0
        name = sink.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0").decode()
    rtt = [round(value, 3) for value in (min(times), statistics.median(times), max(times))]
    return {"rtt_ms": rtt, "mbit_per_s": round(rate), "congestion": name}


def _round_trip_ms(echo: socket.socket) -> float:
    start = time.monotonic()
    echo.sendall(b".")
    echo.recv(1)
    return (time.monotonic() - start) * 1000


def _throughput(sink: socket.socket) -> float:
    """Send for some seconds, wait until all has arrived, return Mbit/s."""
    block, sent, start = bytes(_BLOCK), 0, time.monotonic()
    while time.monotonic() - start < _SECONDS:
        sent += sink.send(block)
    sink.shutdown(socket.SHUT_WR)
    sink.recv(1)
    return sent * 8 / (time.monotonic() - start) / 1e6


def main() -> None:
    """Be one of the two ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("end", choices=["answer", "ask"])
    parser.add_argument("host")
    parser.add_argument("--throughput", action="store_true")
    given = parser.parse_args()
    if given.end == "answer":
        _answer(given.host)
    else:
        print(json.dumps(_ask(given.host, given.throughput)))


if __name__ == "__main__":
    main()
