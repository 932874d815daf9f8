"""How soon a change is on the site of a mirror that watches, and what watching costs while nothing changes.

python -m bench.watch [--changes 200] [--files 1000] [--idle 0] [--server vsftpd]: writes small files here and there,
one after the other, as an editor does, at times that fit no rhythm; prints the time from the last write to the moment
at which the site has the content (median, nine tenths, worst), and the CPU taken in so many idle seconds. Needs Linux.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_HERE: Final = Path(__file__).resolve().parent
_LONGEST_S: Final = 60.0
_LOOKED_EVERY_S: Final = 0.002
_PER_FOLDER: Final = 50
_RHYTHM: Final = random.Random(21)  # noqa: S311 - no secret


def main() -> None:
    """Keep a mirror that watches, and print what was measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.watch", description=__doc__)
    parser.add_argument("--changes", type=int, default=200)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--idle", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--server", default="vsftpd")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="async-mirror-watch-") as name, _serving(Path(name), given.server) as url:
        _measure(Path(name), url, given.files, given.changes, given.idle)


@contextmanager
def _serving(folder: Path, kind: str) -> Iterator[str]:
    """Run a server, and yield where it is; its password is in the file `password`."""
    argv: list[str | Path] = [
        sys.executable,
        _HERE / "line/server.py",
        kind,
        folder / "site",
        folder / "server",
        "127.0.0.1",
    ]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own
        assert process.stdin
        assert process.stdout
        login = json.loads(process.stdout.readline())
        (folder / "password").write_text(login["password"])
        (folder / "password").chmod(0o600)
        try:
            yield f"ftp://{login['user']}@127.0.0.1:{login['port']}/"
        finally:
            process.stdin.close()


def _measure(folder: Path, url: str, files: int, changes: int, idle_s: float) -> None:
    source, site = folder / "source", folder / "site"
    for number in range(files):
        (source / f"{number // _PER_FOLDER}").mkdir(parents=True, exist_ok=True)
        (source / f"{number // _PER_FOLDER}" / f"{number}.html").write_text(f"page {number}\n")
    places: list[str | Path] = ["--password-file", folder / "password", "--state-dir", folder / "state", "--json"]
    argv: list[str | Path] = [sys.executable, "-m", "async_mirror", "sync", "--watch", *places, source, url]
    passes = folder / "passes"
    with passes.open("wb") as out, subprocess.Popen(argv, stdout=out, stderr=subprocess.DEVNULL) as mirror:  # noqa: S603
        try:
            while not passes.stat().st_size:
                if mirror.poll() is not None:
                    sys.exit(f"bench.watch: the mirror ended with {mirror.returncode}")
                time.sleep(_LOOKED_EVERY_S)
            before = _cpu_s(mirror.pid)
            time.sleep(idle_s)
            idle_cpu_s = _cpu_s(mirror.pid) - before
            took = [_soon(source, site, number, files) for number in range(changes)]
        finally:
            mirror.terminate()
    tenth = statistics.quantiles(took, n=10)[-1]
    print(f"{changes} changes among {files:,} files, from the last write to the site:")
    print(f"median {statistics.median(took):.3f} s, nine tenths within {tenth:.3f} s, worst {max(took):.3f} s")
    if idle_s:
        print(f"idle for {idle_s:.0f} s: {idle_cpu_s:.2f} s of CPU, {100 * idle_cpu_s / idle_s:.3f} % of a core")


def _soon(source: Path, site: Path, number: int, files: int) -> float:
    """Change a file, and return how long it took to get onto the site."""
    time.sleep(_RHYTHM.uniform(0.05, 1.5))
    which = _RHYTHM.randrange(files)
    path = f"{which // _PER_FOLDER}/{which}.html"
    content = f"page {which}, change {number}\n"
    beside = source / f"{path}.new"
    beside.write_text(content)
    beside.replace(source / path)
    written = time.monotonic()
    while (site / path).read_text() != content:
        if time.monotonic() - written > _LONGEST_S:
            sys.exit(f"bench.watch: {path} was not on the site after {_LONGEST_S:.0f} s")
        time.sleep(_LOOKED_EVERY_S)
    return time.monotonic() - written


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
