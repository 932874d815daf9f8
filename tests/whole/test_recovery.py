"""What is left half-done by hundreds is settled by one look at each folder, whatever the server can tell of a file."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from servers import Kind, ServerFactory
from support.program import Program, tree

from async_mirror.model.change import Job, SendFile
from async_mirror.source.look import look
from async_mirror.state.opening import open_state

FILES = 330
LONGEST_S = 20.0
"""Far more than is needed, as other work may slow the machine down; it took 37 s on an idle one before."""


def half_done(program: Program) -> None:
    """Leave as many files in doubt as a killed run may, of which some were published and some have a temporary."""
    program.write("first.txt", "first")
    assert program.sync("--multi", "S").code == 0
    (file,) = program.state.glob("*.sqlite3")
    for number in range(FILES):
        program.write(f"{'many/' if number % 2 else ''}{number}.txt", f"content {number}")
    entries = [look(bytes(program.source), f"{'many/' if each % 2 else ''}{each}.txt") for each in range(FILES)]
    jobs = [Job(SendFile(entry, None, "new"), f"t{number:x}z", 16) for number, entry in enumerate(entries) if entry]
    (program.site / "many").mkdir()
    with open_state(file) as state:
        state.begin(jobs)
        for number, job in enumerate(jobs[:60]):
            entry = job.change.entry  # type: ignore[union-attr]
            name = f".am-{state.id}-{job.temporary_token(number % 16)}.part" if number % 3 else Path(entry.path).name
            (program.site / entry.path).with_name(name).write_bytes((program.source / entry.path).read_bytes())
    program.server.adopt()


@pytest.mark.parametrize("kind", ["inetutils", "vsftpd", "proftpd"])
def test_hundreds_of_interrupted_paths_are_settled_by_two_listings_a_folder(
    kind: Kind, server_factory: ServerFactory, tmp_path: Path
) -> None:
    program = Program(tmp_path, server_factory(kind))
    half_done(program)
    begun = time.monotonic()
    ran = program.sync("--multi", "A2", "-v")
    assert ran.code == 0, ran.err
    seconds = time.monotonic() - begun
    assert [each.content for each in tree(program.site).values()] == [
        each.content for each in tree(program.source).values()
    ]
    assert not [path for path in tree(program.site) if b".am-" in path]
    assert len(program.commands("LIST", "MLSD")) <= 5, program.commands("LIST", "MLSD")
    assert len(program.commands("DELE")) < FILES, "only what is listed is deleted, of thousands that may be left"
    assert seconds < LONGEST_S
