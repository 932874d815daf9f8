"""Fuzzes all targets in turn. Knows libFuzzer's options, and nothing of FTP.

python -m fuzz               so many inputs for each, the same ones in every run of the same code
python -m fuzz SECONDS       for so long in total, others each time, and on from what earlier runs kept
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from fuzz.seeds import SEEDS, WORDS

KEPT = Path(__file__).resolve().parents[2] / ".fuzz"
"""What was found worth keeping, from run to run: inputs that reach new code, and those that broke something."""
INPUTS = 15_000
"""Made up for each target if no time is given."""


def main() -> int:
    if importlib.util.find_spec("atheris") is None:
        print("atheris, which makes up the bytes, is there for CPython 3.11 on Linux (x86-64) only", file=sys.stderr)
        return 2
    KEPT.mkdir(exist_ok=True)
    dictionary = KEPT / "words"
    dictionary.write_text("".join(f'"{_escaped(word)}"\n' for word in WORDS))
    if len(sys.argv) > 1:
        seconds = max(int(sys.argv[1]) // len(SEEDS), 1)
        return max([_fuzz(name, dictionary, KEPT / name / "corpus", f"-max_total_time={seconds}") for name in SEEDS])
    with tempfile.TemporaryDirectory() as new:
        return max([_fuzz(name, dictionary, Path(new, name), "-seed=1", f"-runs={INPUTS}") for name in SEEDS])


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


def _fuzz(name: str, dictionary: Path, corpus: Path, *limits: str) -> int:
    seeds, findings = KEPT / name / "seeds", KEPT / name / "findings"
    for folder in (corpus, seeds, findings):
        folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(SEEDS[name]):
        (seeds / str(number)).write_bytes(seed)
    options = ["-max_len=65536", "-timeout=2", "-rss_limit_mb=1024", *limits]
    places = [f"-dict={dictionary}", f"-artifact_prefix={findings}/", str(corpus), str(seeds)]
    command = [*_fixed_addresses(), sys.executable, "-m", "fuzz.one", name, *options, *places]
    same = os.environ | {"PYTHONHASHSEED": "0"}
    run = subprocess.run(command, stderr=subprocess.STDOUT, stdout=subprocess.PIPE, text=True, check=False, env=same)
    found = re.findall(r"Test unit written to (.*)", run.stdout)
    if run.returncode or found:
        print(run.stdout)
        for path in found:
            print(f"{name} fails with this input, kept as {path}:\n{Path(path).read_bytes()!r}", flush=True)
        return 1
    done = re.search(r"^#\d+\s+DONE .*", run.stdout, re.MULTILINE)
    print(f"{name}: {done[0] if done else 'libFuzzer did not say how far it came'}", flush=True)
    return 0


def _fixed_addresses() -> list[str]:
    """Return what keeps the addresses in memory the same, where it may be used: libFuzzer's choices hang on them."""
    prefix = ["setarch", "--addr-no-randomize"]
    allowed = (
        shutil.which(prefix[0]) and subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0
    )
    return prefix if allowed else []


if __name__ == "__main__":
    sys.exit(main())
