"""What mirrors cost that have nothing to do: many in one process, each with a folder of a few files.

python -m bench.idle [--mirrors 200] [--seconds 120]: prints memory, CPU, descriptors and threads of the process once
each mirror has made its first pass, over so many seconds of passes every 15 minutes. Needs Linux.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

_FILES = 20


class Cost(NamedTuple):
    """What a process has taken so far, or has now."""

    cpu_s: float
    memory_mb: float
    descriptors: int
    threads: int


def main() -> None:
    """Keep mirrors, and print what that costs."""
    parser = argparse.ArgumentParser(prog="python -m bench.idle", description=__doc__)
    parser.add_argument("--mirrors", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=120)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="async-mirror-idle-") as name:
        _measure(Path(name), given.mirrors, given.seconds)


def _measure(folder: Path, mirrors: int, seconds: float) -> None:
    port = _free_port()
    configuration = _make(folder, mirrors, port)
    server = [sys.executable, "-m", "pyftpdlib", "-i", "127.0.0.1", "-p", str(port), "-w", "-u", "me", "-P", "secret"]
    serving = subprocess.Popen(  # noqa: S603 - our own
        [*server, "-d", str(folder / "site")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    keeping = None
    try:
        _wait_for_port(port)
        begun = time.monotonic()
        with (folder / "passes").open("w") as passes:
            argv = [sys.executable, "-m", "async_mirror", "sync", "--json", "--config", str(configuration)]
            keeping = subprocess.Popen(  # noqa: S603 - our own
                argv, stdout=passes, stderr=subprocess.DEVNULL, start_new_session=True
            )
        while (folder / "passes").read_text().count("\n") < mirrors:
            if keeping.poll() is not None:
                sys.exit(f"bench.idle: the mirrors ended with {keeping.returncode}")
            time.sleep(0.2)
        first_s = time.monotonic() - begun
        time.sleep(5)
        before = _cost(keeping.pid)
        time.sleep(seconds)
        after = _cost(keeping.pid)
        passes_made = (folder / "passes").read_text().count("\n") - mirrors
    finally:
        for process in filter(None, (keeping, serving)):
            process.terminate()
            process.wait()
    share = 100 * (after.cpu_s - before.cpu_s) / seconds
    print(
        f"{mirrors} mirrors of {_FILES} files; first passes {first_s:.1f} s; then {seconds:.0f} s, {passes_made} passes"
    )
    print(f"memory       {after.memory_mb:7.1f} MB")
    print(f"CPU          {share:7.2f} % of a core")
    print(f"descriptors  {after.descriptors:7} ({after.descriptors / mirrors:.2f} a mirror)")
    print(f"threads      {after.threads:7}")


def _make(folder: Path, mirrors: int, port: int) -> Path:
    (folder / "site").mkdir()
    (folder / "password").write_text("secret\n")
    (folder / "password").chmod(0o600)
    lines = ['state-dir = "state"', 'password-file = "password"', "quiet = true"]
    for number in range(mirrors):
        source = folder / f"source/{number}"
        source.mkdir(parents=True)
        for each in range(_FILES):
            (source / f"file-{each}").write_text(f"{number} {each}\n")
        url = f"ftp://me@127.0.0.1:{port}/{number}"
        lines += [f"[mirror.m{number}]", f'source = "source/{number}"', f'destination = "{url}"']
    configuration = folder / "async-mirror.toml"
    configuration.write_text("\n".join(lines) + "\n")
    return configuration


def _cost(pid: int) -> Cost:
    process = Path(f"/proc/{pid}")
    fields = (process / "stat").read_text().rpartition(")")[2].split()
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    return Cost(
        (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"),
        int(status["VmRSS"].split()[0]) / 1000,
        len(os.listdir(process / "fd")),
        int(status["Threads"]),
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for_port(port: int) -> None:
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.05)
        else:
            return


if __name__ == "__main__":
    main()
