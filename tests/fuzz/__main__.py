"""Fuzzes all targets in turn: `python -m fuzz [seconds in total]`. Knows libFuzzer's options, and nothing of FTP."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

from fuzz.seeds import SEEDS, WORDS

KEPT = Path(__file__).resolve().parents[2] / ".fuzz"
"""What was found worth keeping, from run to run: inputs that reach new code, and those that broke something."""


def main() -> int:
    if importlib.util.find_spec("atheris") is None:
        print("atheris, which makes up the bytes, is there for CPython 3.11 on Linux (x86-64) only", file=sys.stderr)
        return 2
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    KEPT.mkdir(exist_ok=True)
    dictionary = KEPT / "words"
    dictionary.write_text("".join(f'"{_escaped(word)}"\n' for word in WORDS))
    return max([_fuzz(name, seconds // len(SEEDS), dictionary) for name in SEEDS])


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


def _fuzz(name: str, seconds: int, dictionary: Path) -> int:
    corpus, seeds, findings = (KEPT / name / each for each in ("corpus", "seeds", "findings"))
    for folder in (corpus, seeds, findings):
        folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(SEEDS[name]):
        (seeds / str(number)).write_bytes(seed)
    options = ["-max_len=65536", "-timeout=2", "-rss_limit_mb=1024", f"-max_total_time={max(seconds, 1)}"]
    places = [f"-dict={dictionary}", f"-artifact_prefix={findings}/", str(corpus), str(seeds)]
    command = [sys.executable, "-m", "fuzz.one", name, *options, *places]
    run = subprocess.run(command, stderr=subprocess.STDOUT, stdout=subprocess.PIPE, text=True, check=False)
    found = re.findall(r"Test unit written to (.*)", run.stdout)
    if run.returncode or found:
        print(run.stdout)
        for path in found:
            print(f"{name} fails with this input, kept as {path}:\n{Path(path).read_bytes()!r}", flush=True)
        return 1
    done = re.search(r"^#\d+\s+DONE .*", run.stdout, re.MULTILINE)
    print(f"{name}: {done[0] if done else 'libFuzzer did not say how far it came'}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
