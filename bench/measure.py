"""Runs one command and measures it: time, CPU and memory of its whole tree of processes. Linux only.

CPU is what the kernel accounts to the command and to all its descendants that were waited for (wait4). Memory is the
sum of the PSS of all processes of its session, sampled; PSS divides what processes share among them, so that the sum
counts it once. A peak that is shorter than the sampling interval may be missed.
"""

from __future__ import annotations

import math
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_SAMPLED: Final = ((0.5, 0.05), (6.0, 0.3), (math.inf, 1.5))
"""Until so many seconds have passed, every so many seconds: looking must not disturb what runs beside for long."""

_running: Final = set[int]()
_ended: Final = threading.Event()


@dataclass(frozen=True, slots=True)
class Measured:
    """What a run cost; `machine_s` is the CPU time of everything on the machine meanwhile, the command included."""

    code: int
    wall_s: float
    cpu_s: float
    machine_s: float
    peak_bytes: int
    processes: int
    timed_out: bool


def measure(
    argv: Sequence[str], environment: Mapping[str, str], folder: Path, output: Path, longest_s: float
) -> Measured:
    """Run a command in a session of its own, its words going to `output`; kill what runs for too long."""
    if _ended.is_set():
        raise RuntimeError("the benchmark was ended")
    with output.open("wb") as out:
        machine, start = _machine_s(), time.monotonic()
        process = subprocess.Popen(  # noqa: S603
            argv,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env=dict(environment),
            cwd=folder,
            start_new_session=True,
        )
        _running.add(process.pid)
        peak, most, timed_out = _watch(process.pid, start, longest_s)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.monotonic() - start
        _running.discard(process.pid)
    process.returncode = os.waitstatus_to_exitcode(status)
    cpu, machine = used.ru_utime + used.ru_stime, _machine_s() - machine
    return Measured(process.returncode, wall, cpu, machine, peak, most, timed_out)


def kill_all() -> None:
    """Kill what is being measured, with its descendants, and let nothing more begin: the benchmark ends early."""
    _ended.set()
    for pid in tuple(_running):
        _kill(_session(pid))


def _watch(pid: int, start: float, longest_s: float) -> tuple[int, int, bool]:
    """Sample until the process ends or is killed for its time: peak, most processes, whether it was killed."""
    ended = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    peak = most = 0
    timed_out = False
    try:
        while not poll.poll(1000 * _pause(time.monotonic() - start)):
            members = _session(pid)
            peak = max(peak, sum(map(_pss, members)))
            most = max(most, len(members))
            if time.monotonic() > start + longest_s:
                timed_out = True
                _kill(members)
    finally:
        os.close(ended)
        _kill(_session(pid))
    return peak, most, timed_out


def _pause(passed_s: float) -> float:
    return next(every_s for until_s, every_s in _SAMPLED if passed_s < until_s)


def _session(leader: int) -> list[int]:
    """List the processes of a session, zombies too."""
    return [pid for name in os.listdir("/proc") if name.isdecimal() and _session_of(pid := int(name)) == leader]


def _session_of(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0


def _pss(pid: int) -> int:
    """Return the bytes a process has in memory, shared ones divided by their number of users; 0 if it has ended."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:")), 0)


def _kill(pids: Sequence[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _machine_s() -> float:
    """Return the CPU seconds that the machine has spent on anything since it started."""
    fields = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")
