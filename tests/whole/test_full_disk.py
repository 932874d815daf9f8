"""Real servers on a disk that is full: few uploads are tried in vain, and what is deleted makes room for others."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from servers import REAL, Kind, ServerFactory
from support.program import Program, contents, names, tree

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount a disk that is small")

SIZE_KB = 400
PAGE = 4096


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Give the test a folder with room for a hundred pages."""
    folder = tmp_path / "disk"
    folder.mkdir()
    with ExitStack() as stack:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE_KB}k,mode=755", "none", folder], check=True)
        stack.callback(lambda: subprocess.run(["umount", "--lazy", folder], check=True))
        yield folder


def text_of(number: int) -> bytes:
    return b"%5d" % number * (PAGE // 5)


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", REAL)
@pytest.mark.parametrize("mode", ["S", "A3"])
def test_a_full_disk_is_found_out_by_few_files_and_deletions_make_room(
    kind: Kind, mode: str, disk: Path, server_factory: ServerFactory, tmp_path: Path
) -> None:
    program = Program(tmp_path, server_factory(kind, disk))
    for number in range(150):
        program.write(f"{number % 50}/{number}.bin", text_of(number))
    first = program.sync("--multi", mode)
    fitted = contents(program.site)
    assert first.code == 1, first.err
    assert 80 < len(fitted) < 101
    assert fitted.items() <= contents(program.source).items()
    assert first.err.count("the site is full") == 1, first.err
    assert len(program.commands("STOR")) < len(fitted) + 30, "many uploads were tried on a full disk"
    assert not any("am-" in name for name in names(program.site))
    for number in range(20):
        shutil.rmtree(program.source / f"{number}")
    later = program.sync("--multi", mode, "--max-delete", "100%")
    assert later.code == 0, later.err
    assert tree(program.site) == tree(program.source)


@pytest.mark.few(1)
@pytest.mark.parametrize("kind", REAL)
def test_a_file_that_is_larger_than_the_disk_keeps_no_other_from_being_mirrored(
    kind: Kind, disk: Path, server_factory: ServerFactory, tmp_path: Path
) -> None:
    program = Program(tmp_path, server_factory(kind, disk))
    program.write("0/large.bin", b"x" * 2 * SIZE_KB * 1024)
    for number in range(1, 40):
        program.write(f"{number % 4}/{number}.bin", text_of(number))
    ran = program.sync("--multi", "S")
    assert ran.code == 1, ran.err
    assert "0/large.bin" in ran.err
    assert "the site is full" not in ran.err, ran.err
    assert names(program.site) == names(program.source) - {"0/large.bin"}
