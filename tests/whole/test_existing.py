"""What others have where a name of the source belongs is told in each pass, and never replaced by another kind."""

from __future__ import annotations

from pathlib import Path

import pytest
from servers import FtpServer, KeptServer, Kind
from support.program import Program, names

OURS, THEIRS = "ours, of another size", "theirs"


@pytest.fixture(params=["vsftpd", "proftpd", "twisted", "ftp-srv", "nodeftpd"])
def program(request: pytest.FixtureRequest, kept_server: KeptServer, tmp_path: Path) -> Program:
    """Give a source in whose way is what others have: a folder for a file, a file for a folder, a file for a file."""
    kind: Kind = request.param
    server: FtpServer = kept_server(kind)
    program = Program(tmp_path, server)
    for name in ("first", "a file", "a folder/inside", "both", "free"):
        program.write(name, OURS)
    (program.site / "a file").mkdir()
    for name in ("a file/inside", "a folder", "both"):
        (program.site / name).write_text(THEIRS)
    server.adopt()
    return program


@pytest.mark.few(2)
@pytest.mark.parametrize("existing", ["overwrite", "skip", "fail"])
def test_another_kind_of_thing_in_the_way_stays_and_is_told_in_each_pass(program: Program, existing: str) -> None:
    options = ("--existing", existing)
    said = [program.sync(*options, *more) for more in (("--dry-run",), (), ("--dry-run",), ())]
    for number, result in enumerate(said):
        assert result.code == 1, result.err
        for name in ("a file", "a folder"):
            told = [line for line in result.err.splitlines() if f"failed    {name}  " in line]
            assert len(told) == 1, (number, result.err)
    assert (program.site / "a file/inside").read_text() == (program.site / "a folder").read_text() == THEIRS
    assert (program.site / "both").read_text() == (OURS if existing == "overwrite" else THEIRS)
    assert names(program.site) == {"first", "free", "both", "a file/", "a file/inside", "a folder"}


@pytest.mark.few(2)
@pytest.mark.parametrize("existing", ["overwrite", "skip", "fail"])
def test_file_in_the_way_is_told_in_dry_run_log_and_summary_of_each_pass(program: Program, existing: str) -> None:
    options = ("--existing", existing)
    told = {
        "overwrite": "(1 overwritten)",
        "skip": "1 existing file skipped",
        "fail": "both  already on the site (--existing fail)",
    }
    passes = [program.sync(*options, "--dry-run").err, program.sync(*options).err, program.sync(*options).err]
    for number, said in enumerate(passes):
        assert (told[existing] in said) == (existing != "overwrite" or number < 2), said
