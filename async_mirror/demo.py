"""Shows the main job with nothing to set up: a server inside this process, a mirror, changes, the mirror again."""

import asyncio
import logging
import os
import random
import shutil
import stat
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import aioftp
import click
from aioftp.common import StreamIO

from async_mirror import multi
from async_mirror.crew.alarm import Alarm
from async_mirror.crew.mode import Mode
from async_mirror.crew.patience import Patience
from async_mirror.crew.stop import Stop
from async_mirror.engine import keep
from async_mirror.ftp.session import connect
from async_mirror.model.secret import Secret
from async_mirror.model.settings import Settings
from async_mirror.model.site import Site
from async_mirror.state.opening import open_state
from async_mirror.sync.mirror import Mirror
from async_mirror.ui.report import Report
from async_mirror.ui.summary import Counts
from async_mirror.ui.text import human_size

REPLY_DELAY_S = 0.010
LANES = 8
_USER, _PASSWORD = "demo", "demo-password"


class SlowServer(aioftp.Server):
    """aioftp's own server, every reply of which comes a little later, as over a real link. Counts commands."""

    def __init__(self, folder: Path) -> None:
        """Serve a folder."""
        super().__init__([aioftp.User(_USER, _PASSWORD, base_path=folder)])
        self.commands: Counter[str] = Counter()

    async def write_response(self, stream: StreamIO, code: str, lines: str = "", list: bool = False) -> None:  # noqa: A002
        """Send a reply, later."""
        await asyncio.sleep(REPLY_DELAY_S)
        await super().write_response(stream, code, lines, list)

    async def parse_command(self, stream: StreamIO, censor_commands: tuple[str] = ("pass",)) -> tuple[str, str]:
        """Read a command and count it."""
        command, rest = await super().parse_command(stream, censor_commands)
        self.commands[command.upper()] += 1
        return command, rest


class Step(NamedTuple):
    """What one pass of the demonstration took."""

    code: int
    seconds: float
    commands: Counter[str]
    counts: Counts


def show(folder: Path | None) -> int:
    """Run the demonstration on a copy of `folder`, or on a made-up web site; return the exit code."""
    logging.basicConfig(format="     %(message)s", stream=sys.stdout)
    logging.getLogger("aioftp").setLevel(logging.CRITICAL)  # the server, which takes each connection cut for an error
    with tempfile.TemporaryDirectory(prefix="async-mirror-demo-") as name:
        work = Path(name)
        source = work / "source"
        if folder:
            _copy(folder, source)
        else:
            _make_site(source)
        return multi.run(lambda stop: _show(work, source, stop))


async def _show(work: Path, source: Path, stop: Stop) -> int:
    remote = work / "server"
    remote.mkdir()
    async with _serving(remote) as server:
        files = list(_files(source))
        size = sum(path.stat().st_size for path in files)
        click.echo(f"The source: {len(files)} files, {human_size(size)}, in a temporary folder.")
        click.echo(
            f"The server: aioftp's own, on 127.0.0.1:{server.server_port};"
            f" each reply comes {REPLY_DELAY_S * 1000:.0f} ms later, as over a real link.\n"
        )
        demonstration = _Demonstration(work, source, server, stop)
        return await demonstration.run(remote)


@asynccontextmanager
async def _serving(folder: Path) -> AsyncIterator[SlowServer]:
    server = SlowServer(folder)
    await server.start("127.0.0.1", 0)
    try:
        yield server
    finally:
        await server.close()


class _Demonstration:
    def __init__(self, work: Path, source: Path, server: SlowServer, stop: Stop) -> None:
        self.work = work
        self.source = source
        self.server = server
        self.stop = stop
        self.report = Report()

    async def run(self, remote: Path) -> int:
        serial = await self.mirror("serial", "S", "First pass, one after the other (--multi S)")
        if serial.code:
            return serial.code
        crowd = await self.mirror("site", f"A{LANES}", f"First pass, {LANES} connections (--multi A{LANES})")
        if crowd.code:
            return crowd.code
        click.echo(f"     {serial.seconds / crowd.seconds:.1f} times as fast\n")
        await self.mirror("site", f"A{LANES}", "Second pass, nothing changed")
        changes = _change(self.source)
        click.echo(f"\nNow {changes}.")
        logging.getLogger("async_mirror").setLevel(logging.INFO)
        last = await self.mirror("site", f"A{LANES}", "Third pass")
        different = [
            path for path in _all_paths(self.source, remote / "site") if not _same(self.source, remote / "site", path)
        ]
        for path in different[:10]:
            click.echo(f"     different: {path}")
        equal = len(list(_files(remote / "site")))
        click.echo(
            f"\nBoth trees compared byte by byte: {len(different)} differences."
            if different
            else f"\nBoth trees compared byte by byte: all {equal} files are equal."
        )
        return 1 if different else last.code

    async def mirror(self, name: str, mode: str, title: str) -> Step:
        self.server.commands.clear()
        begun = time.monotonic()
        mirror = Mirror(
            settings=Settings(self.source, Site("ftp", "127.0.0.1", self.server.server_port, _USER, name)),
            mode=Mode.parse(mode),
            connect=connect,
            password=Secret(_PASSWORD),
            report=self.report,
            patience=Patience(),
        )
        with open_state(self.work / "state" / f"{name}.sqlite3") as state:
            code = await keep(mirror, state, self.stop, Alarm(), once=True)
        step = Step(code, time.monotonic() - begun, self.server.commands.copy(), self.report.counts)
        commands = ", ".join(f"{number} {verb}" for verb, number in step.commands.most_common(5))
        connections = step.counts.at_once
        over = (
            f"{connections} connection{'s' * (connections != 1)}: {commands}, ..." if connections else "no connection"
        )
        click.echo(f"{title:48} {step.seconds:6.2f} s   {over}")
        return step


# A source to play with.


def _make_site(folder: Path) -> None:
    """Make up a small web site: pages, styles, scripts, pictures, in folders."""
    chance = random.Random(1)  # noqa: S311
    for year in (2024, 2025, 2026):
        for number in range(1, 13):
            page = "".join(f"<p>{chance.random()}</p>\n" for _ in range(chance.randint(5, 80)))
            _write(
                folder / f"blog/{year}/{number:02}-entry.html",
                f"<!doctype html><title>{number}</title>\n{page}".encode(),
            )
    for number in range(16):
        _write(
            folder / f"pictures/album-{number % 4}/picture {number:02}.jpg",
            chance.randbytes(chance.randint(4_000, 60_000)),
        )
    for name in (
        "index.html",
        "about.html",
        "css/site.css",
        "css/print.css",
        "js/site.js",
        "robots.txt",
        "été.html",
        "empty.txt",
    ):
        _write(folder / name, b"" if name == "empty.txt" else f"/* {name} */\n".encode() * chance.randint(1, 300))


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _copy(folder: Path, copy: Path) -> None:
    def special(inside: str, found: list[str]) -> set[str]:
        modes = ((name, os.lstat(os.path.join(inside, name)).st_mode) for name in found)
        return {name for name, mode in modes if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) or not _is_text(name)}

    try:
        shutil.copytree(folder, copy, ignore=special)
    except (OSError, shutil.Error) as error:
        raise click.ClickException(f"{folder} cannot be copied: {error}") from None


def _is_text(name: str) -> bool:
    """Tell whether a name is UTF-8; the demonstration's server knows no other."""
    return name.isprintable() and not any("\ud800" <= character <= "\udfff" for character in name)


def _change(source: Path) -> str:
    """Change, rename and remove some files and add one; say so in words."""
    files = sorted(_files(source))
    told = ["one file is added"]
    _write(source / "news" / "today.html", b"<p>News</p>\n")
    if files:
        files[0].write_bytes(files[0].read_bytes() + b"\n<!-- changed -->\n")
        told.append("one is changed")
    if len(files) > 2:
        files[1].rename(files[1].with_name("renamed-" + files[1].name))
        files[2].unlink()
        told.append("one is renamed, one is deleted")
    return ", ".join(told)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _all_paths(*folders: Path) -> list[Path]:
    return sorted({path.relative_to(folder) for folder in folders for path in folder.rglob("*")})


def _same(one: Path, other: Path, path: Path) -> bool:
    here, there = one / path, other / path
    if here.is_file() and there.is_file():
        return here.read_bytes() == there.read_bytes()
    return here.is_dir() and there.is_dir()
