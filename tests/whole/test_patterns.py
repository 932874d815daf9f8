"""Patterns in files: `--exclude-from`, as a whole pass takes them. What a pattern means is told in test_selection."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.program import Program, names, write


@pytest.fixture
def patterns(tmp_path: Path) -> Path:
    return tmp_path / "patterns"


@pytest.mark.parametrize(
    ("content", "left_out"),
    [
        (b"*.log\n!kept.log\n", {"a.log"}),
        (b"# *.txt\n\n   \n*.log\n", {"a.log", "kept.log"}),
        (b"*.log\r\n# *.txt\r\n\r\n!kept.log\r\n", {"a.log"}),
        (b"\xef\xbb\xbf*.log\n!kept.log", {"a.log"}),
        (b"\xef\xbb\xbf# *.txt\r\nsub/", {"sub/", "sub/a.txt"}),
        (b"*.log   \n!kept.log", {"a.log"}),
        (b"a\\ b\n", {"a b"}),
        (b"a b\n", {"a b"}),
        (b"\\#x\n", {"#x"}),
        (b"caf\xc3\xa9\n", {"caf\u00e9"}),
        (b"", set()),
    ],
)
def test_a_file_of_patterns_is_read_as_git_reads_it(
    program: Program, patterns: Path, content: bytes, left_out: set[str]
) -> None:
    for name in ("a.log", "kept.log", "a.txt", "sub/a.txt", "a b", "#x", "caf\u00e9"):
        program.write(name, "content")
    patterns.write_bytes(content)
    assert program.sync("--exclude-from", patterns).code == 0
    assert names(program.site) == names(program.source) - left_out


def test_a_pattern_may_have_bytes_that_are_no_utf8(program: Program, patterns: Path) -> None:
    program.write(b"caf\xe9", "content")
    program.write("caf\u00e9", "content")
    patterns.write_bytes(b"caf\xe9\n")
    assert program.sync("--exclude-from", patterns).code == 0
    assert names(program.site) == {"caf\u00e9"}


def test_patterns_of_files_come_first_and_those_of_options_after_them(program: Program, patterns: Path) -> None:
    for name in ("a.log", "b.log", "c.log"):
        program.write(name, "content")
    patterns.write_text("*.log\n!c.log\n")
    more = write(patterns.with_name("more"), "!b.log\nc.log\n")
    assert program.sync("--dry-run", "--exclude", "!*.log", "--exclude-from", patterns).out.count("upload ") == 3
    options = ("--exclude", "!a.log", "--exclude-from", patterns, "--exclude-from", more)
    assert program.sync(*options).code == 0
    assert names(program.site) == {"a.log", "b.log"}
    assert program.sync("--exclude-from", more, "--exclude-from", patterns).code == 0
    assert names(program.site) == {"a.log", "b.log", "c.log"}


def test_a_file_of_patterns_that_cannot_be_used_is_named_in_one_line(program: Program, patterns: Path) -> None:
    program.bind_by_permissions()
    program.write("file", "content")
    fine, locked = write(patterns, "*.log\n"), write(patterns.with_name("locked"), "*.log\n", mode=0)
    wrong = write(patterns.with_name("wrong"), "*.log\na[z-a]\n")
    for path in (patterns.with_name("missing"), patterns.parent, locked, wrong):
        result = program.sync("--exclude-from", fine, "--exclude-from", path)
        assert (result.code, result.out) == (2, "")
        (line,) = result.err.splitlines()
        assert f"{path}" in line
        assert program.server.connections() == 0
    assert "a[z-a]" in line


def test_patterns_are_read_once_at_the_start(program: Program, patterns: Path) -> None:
    program.write("a.log", "content")
    program.write("file", "content")
    patterns.write_text("*.log")
    with program.started("--every", "1s", "--exclude-from", patterns) as running:
        running.wait_for("pass: uploaded 1 file")
        patterns.unlink()
        program.write("b.log", "content")
        program.write("other", "content")
        running.wait_for("pass: uploaded 1 file")
    assert names(program.site) == {"file", "other"}
