"""Stands in for `async-mirror` on a page: the program, but a `sync` that stays is asked to end after its first pass."""

import os
import re
import signal
import subprocess
import sys


def main() -> int:
    """Run the program with these arguments; return its exit code, 0 if it was asked to end and did."""
    arguments = sys.argv[1:]
    program = [sys.executable, "-m", "async_mirror", *arguments]
    if arguments[:1] != ["sync"] or any(
        re.fullmatch("--once|--dry-run|--help|-[a-z]*n[a-z]*", each) for each in arguments
    ):
        os.execv(program[0], program)
    process = subprocess.Popen(program, stderr=subprocess.PIPE)
    assert process.stderr is not None
    asked = False
    for line in process.stderr:
        os.write(2, line)
        if b"next pass in" in line and not asked:
            asked = True
            process.send_signal(signal.SIGTERM)
    code = process.wait()
    return 0 if asked and code == 128 + signal.SIGTERM else code


sys.exit(main())
