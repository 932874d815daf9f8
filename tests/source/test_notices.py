"""What the library tells of the kernel's notices: the bytes of names, and that some were lost."""

import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from async_mirror.multi import beside
from async_mirror.source.notices import CLOSE_WRITE, CREATE, DELETE, IGNORED, Notices

LONGEST_S = 30.0

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="inotify is Linux's")


LAST = "the last"


class Recorder:
    """Takes down what it is told until it has heard the last of it, or that some was lost."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, str, int]] = []
        self.lost = 0
        self.ended = asyncio.Event()

    def noticed(self, number: int, name: str, what: int) -> None:
        self.heard.append((number, name, what))
        if name == LAST:
            self.ended.set()

    def missed(self) -> None:
        self.lost += 1
        self.ended.set()


def heard(folder: Path, change: Callable[[], None], number: int = 1) -> list[Recorder]:
    """Have recorders listen to a folder while something is done in it, and to its end."""

    async def listen() -> list[Recorder]:
        recorders = [Recorder() for _ in range(number)]
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            with closing(Notices()) as notices:
                for each in recorders:
                    notices.listen(descriptor, each)
                change()
                (folder / LAST).mkdir()
                async with beside() as start, asyncio.timeout(LONGEST_S):
                    start(notices.run())
                    for each in recorders:
                        await each.ended.wait()
        finally:
            os.close(descriptor)
        return recorders

    return asyncio.run(listen())


NAMES = [b"\xff", b"caf\xe9", "caf\u00e9".encode(), b" ", b"a\nb", b"x" * 255, b"\xff" * 255, b".\xff.", b"~", b"a:b"]


def test_every_byte_of_a_name_is_kept(tmp_path: Path) -> None:
    def change() -> None:
        for name in NAMES:
            os.close(os.open(os.path.join(os.fsencode(tmp_path), name), os.O_CREAT | os.O_WRONLY))

    (recorder,) = heard(tmp_path, change)
    told = [(os.fsencode(name), what) for _, name, what in recorder.heard if name != LAST]
    assert told == [(name, what) for name in NAMES for what in (CREATE, CLOSE_WRITE)]
    assert recorder.lost == 0


def test_notices_that_the_kernel_had_to_drop_are_told_to_all(tmp_path: Path) -> None:
    queued = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())

    def change() -> None:
        for number in range(queued // 2 + 1):
            (tmp_path / f"{number % 2}").mkdir()
            (tmp_path / f"{number % 2}").rmdir()

    one, other = heard(tmp_path, change, 2)
    assert (one.lost, other.lost) == (1, 1)


def test_a_folder_that_is_gone_is_told_once_and_for_all(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()

    async def listen() -> None:
        recorder = Recorder()
        descriptor = os.open(folder, os.O_RDONLY)
        above = os.open(tmp_path, os.O_RDONLY)
        with closing(Notices()) as notices:
            number = notices.listen(descriptor, recorder)
            os.close(descriptor)
            notices.listen(above, recorder)
            os.close(above)
            folder.rmdir()
            (tmp_path / LAST).mkdir()
            async with beside() as start, asyncio.timeout(LONGEST_S):
                start(notices.run())
                await recorder.ended.wait()
            assert (number, "", IGNORED) in recorder.heard
            assert any(name == "folder" and what & DELETE for _, name, what in recorder.heard)
            notices.forget([number], recorder)  # which is gone: nothing is raised

    asyncio.run(listen())
