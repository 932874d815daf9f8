"""On every server that is here, in every mode: mirrored, left alone, changed, adopted, killed, emptied.

The tree is small and nasty. What a server cannot hold is named in each pass, and nothing of ours is left.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path

import pytest
from faults.tree import TEMPORARY
from servers import ALL, FtpServer, KeptServer, Kind
from support.program import MTIME, Program, Result, contents, eventually, names

DAY = 86_400
ALL_MAY_GO = ("--max-delete", "100%")
NAMES = (
    *("with a blank", "two  blanks", " leading", "trailing ", "-dash", "-a", "-la x", ".hidden", "..dots", "..."),
    *("\u00fcmlaut/\u00e4.txt", "nfd/e\u0301", "nfc/\u00e9", "emoji \U0001f600", "\u6f22\u5b57"),
    *('a "quoted" name', "back\\slash", "percent%20", "semi;colon", "a=b; c", "[1]", "*star", "~", "a:b", "q?", "dot."),
    *("tab\there", "latin\udce9", "\udcff\udcfe", "x" * 240, "-> x", "drwxr-xr-x 1 a", "12:34 x", "RNFR x", "nul"),
    *("a folder/-rf/.deep/er/and er/file", "/".join(f"level {level}" for level in range(12))),
)
_NO_UTF8 = frozenset({"latin\udce9", "\udcff\udcfe"})
CANNOT: Mapping[Kind, frozenset[str]] = {
    "proftpd": frozenset({"\udcff\udcfe"}),
    "pure-ftpd": frozenset({"trailing ", "back\\slash", "tab\there"}),
    "pyftpdlib": _NO_UTF8,
    "aioftp": _NO_UTF8 | {"trailing "},
    "inetutils": frozenset({"\udcff\udcfe"}),
    "twisted": frozenset(name for name in NAMES if not name.isascii()),
    "ftp-srv": _NO_UTF8 | {'a "quoted" name', "back\\slash"},
    "nodeftpd": _NO_UTF8 | {"trailing "},
}
"""The names of files that a server does not hold as they are, or not at all."""
KEEPS_TIMES = ("vsftpd", "proftpd", "pure-ftpd", "pyftpdlib")
SERVERS = tuple(kind for kind in ALL if kind != "simple-ftpd")
"""simple-ftpd holds only what lies in its root, see `test_simple_ftpd_holds_what_lies_in_its_root`."""
MODES = ("S", "A8", "T2", "P2")


def fill(program: Program) -> None:
    for name in NAMES:
        program.write(name, f"content of {name}".encode("utf-8", "surrogateescape"))
    program.write("index.html", "<h1>Welcome</h1>")
    program.write("empty")
    program.write("large.bin", bytes(range(250)) * 12_000)
    for number in range(25):
        program.write(f"many/{number:02}.txt", f"number {number}\n" * number, MTIME + 3 * number)
    for folder in ("nothing in it", ".empty"):
        (program.source / folder).mkdir()


def change_everything(program: Program, by: str, mtime_s: int) -> None:
    for path, content in contents(program.source).items():
        program.write(path, content + by.encode(), mtime_s)


def assert_mirrored(program: Program, result: Result) -> None:
    """Compare the trees: what is not there is named, and nothing else is."""
    source, site = contents(program.source), contents(program.site)
    missing = source.keys() - site.keys()
    assert missing == source.keys() & CANNOT.get(program.server.kind, frozenset()), result.err
    assert site == {path: content for path, content in source.items() if path not in missing}, result.err
    folders = {path for path in names(program.source) if path.endswith("/")}
    folders -= {"\u00fcmlaut/"} if program.server.kind == "twisted" else set()
    assert {path for path in names(program.site) if path.endswith("/")} == folders, result.err
    assert not [path for path in names(program.site) if TEMPORARY.search(path.encode("utf-8", "surrogateescape"))]
    assert result.code == (1 if missing else 0), result.err
    told = {line for line in result.err.splitlines() if "  failed  " in line}
    assert len(told) == len(missing), result.err


def combinations() -> list[tuple[str, Kind]]:
    """Return all modes for vsftpd, the others in turns: threads and processes differ little from server to server."""
    turns: list[tuple[str, Kind]] = [("A8", kind) for kind in SERVERS]
    turns += [(MODES[number % 4], kind) for number, kind in enumerate(SERVERS) if MODES[number % 4] != "A8"]
    return turns + [(mode, "vsftpd") for mode in MODES if (mode, "vsftpd") not in turns]


@pytest.mark.few(8)
@pytest.mark.parametrize(("mode", "kind"), combinations())
def test_every_server_holds_the_tree_whatever_happens(
    mode: str, kind: Kind, kept_server: KeptServer, tmp_path: Path
) -> None:
    program = Program(tmp_path, kept_server(kind))
    options = ("--multi", mode, *ALL_MAY_GO)
    fill(program)
    assert_mirrored(program, program.sync(*options))

    again = program.sync(*options)
    assert_mirrored(program, again)
    assert sent(again) == []

    program.state = tmp_path / "another state"
    adopted = program.sync(*options)
    assert_mirrored(program, adopted)
    assert kind not in KEEPS_TIMES or not [line for line in sent(adopted) if not is_misread(line)]

    change_everything(program, "second", MTIME + DAY)
    assert_mirrored(program, program.sync(*options))

    change_everything(program, "third", MTIME + 2 * DAY)
    kill_in_the_middle(program, *options)
    assert_mirrored(program, program.sync(*options))
    assert_mirrored(program, program.sync(*options))

    for path in program.source.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    (program.source / "last").mkdir()
    assert_mirrored(program, program.sync(*options))


def is_misread(line: str) -> bool:
    """Tell whether it is of a name that a listing may show and a command not reach: nobody believes those."""
    return "tab\\x09here" in line or "\\xff\\xfe" in line


def sent(result: Result) -> list[str]:
    """Return what was uploaded for good."""
    return [line for line in result.err.splitlines() if "  uploaded  " in line]


def kill_in_the_middle(program: Program, *options: str) -> None:
    program.server.mark()
    with program.started("--once", *options) as running:
        eventually(lambda: len(program.commands("STOR")) > 20, "twenty uploads")
        os.kill(running.pid, signal.SIGKILL)


def test_simple_ftpd_holds_what_lies_in_its_root(kept_server: KeptServer, tmp_path: Path) -> None:
    server: FtpServer = kept_server("simple-ftpd")
    program = Program(tmp_path, server)
    for number in range(20):
        program.write(f"{number}.txt", f"number {number}")
    for _ in range(2):
        assert_mirrored(program, program.sync("--multi", "A2"))
