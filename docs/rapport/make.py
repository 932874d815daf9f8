"""Builds the report: sources in this folder and the benchmark's records go in, a PDF for each language comes out."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import typst
from medians import load, medians

HERE = Path(__file__).parent
RECORDS = HERE.parents[1] / "bench/results.jsonl"
NAMES = {"fr": "rapport.pdf", "en": "report.pdf"}
_UNMEASURED = datetime(2026, 1, 1, tzinfo=UTC)


def build(records: Path, into: Path, languages: Iterable[str] = tuple(NAMES)) -> list[str]:
    """Build the report, and return what it wants to tell of that was not measured (in its place it has a mark).

    The same sources and records give the same bytes: the date is that of the measurements.
    """
    told = medians(load(records))
    day = told["machine"].get("date")
    date = datetime.fromisoformat(day).replace(tzinfo=UTC) if day else _UNMEASURED
    missing: dict[str, None] = {}
    into.mkdir(parents=True, exist_ok=True)
    for language in languages:
        inputs = {"lang": language, "figures": json.dumps(told), "day": f"{date:%Y-%m-%d}"}
        source = HERE / "report.typ"
        compiler = typst.Compiler(source, root=HERE, ignore_system_fonts=True, sys_inputs=inputs)
        compiler.compile(output=into / NAMES[language], timestamp=int(date.timestamp()))
        missing |= dict.fromkeys(json.loads(compiler.query("<missing>", field="value")))
    return sorted(missing)


def main(argv: Sequence[str]) -> int:
    """Build as the command line says; exit code 1 tells that figures are missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=Path, default=RECORDS, help="the benchmark's records (bench/results.jsonl)")
    parser.add_argument("--into", type=Path, default=HERE, help="the folder for the PDFs (docs/rapport)")
    options = parser.parse_args(argv)
    missing = build(options.records, options.into)
    for name in missing:
        print(f"not measured: {name}", file=sys.stderr)
    if missing:
        print(f"{len(missing)} figures are missing in {options.records}, and marked in the report", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
