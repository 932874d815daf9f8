"""The report is built in both languages, fits its pages, and names nothing that does not exist."""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import make
import medians
import pytest
from support.program import PROJECT

from async_mirror.cli import sync

REPORT = PROJECT / "docs/rapport"
SOURCES = {path.name: path.read_text(encoding="utf-8") for path in sorted(REPORT.glob("*.typ"))}
LANGUAGES = {"fr": "rapport.pdf", "en": "report.pdf"}
MOST_PAGES = 4

# What is told of, each with contenders that all have a figure.
CONNECTIONS = (1, 2, 4, 8, 16)
PEERS = {"lftp": "lftp", "lftp tuned": "lftp", "lftp tuned, STAT": "lftp", "rclone": "rclone", "minimal": "minimal"}
MODES = {f"modes-N{n}": [f"{kind}{n}" for kind in "ATP"] + ["S", "A"] for n in CONNECTIONS}
OTHERS = (
    *("loopback-vsftpd-N8", "site-20ms", "large-plain", "unchanged-100k-20ms", "rename-20ms"),
    *("unchanged-1m", "delta-20ms", "survey-proftpd"),
    *(f"tls{rtt}-{server}-N8" for rtt in (20, 100) for server in ("vsftpd", "proftpd", "pure-ftpd")),
)
LINES = [
    f"line{rtt}-{server}-N{n}"
    for rtt in (20, 100)
    for server in ("vsftpd", "proftpd", "pure-ftpd")
    for n in CONNECTIONS
]


def records(*, good: bool = True) -> Iterator[dict[str, object]]:
    """Yield records of a benchmark that never ran: as many digits as any, and each contender a little slower."""
    peers = ["cat 4.9.2-2+b1", "dog 1.60.1+dfsg-2+b5"]
    yield {"kind": "machine", "date": "2001-02-03", "cpu": "Abacus", "cores": 2, "memory_gib": 24, "peers": peers} | {
        "system": "Debian GNU/Linux 12 (bookworm), Linux 6.18.44",
        "python": "3.11.7",
    }
    for cell in (*MODES, "modes-cpu", *LINES, *OTHERS):
        rtt = 100 if "100-" in cell else 20 if "20" in cell or cell in MODES else 0
        lanes = int(cell.rpartition("-N")[2]) if "-N" in cell else 8
        ours = MODES.get(cell, ["S", "A", "A8", "T8", "P8"] if cell == "modes-cpu" else ["A4", "A8", f"A{lanes}"])
        contenders = dict.fromkeys(ours, "ours") | ({} if cell.startswith("modes") else PEERS)
        yield {"kind": "cell", "cell": cell, "task": "first", "server_kind": "ftpd", "tls": False, "files": 100_000} | {
            "concerned": 10_000,
            "rtt_ms": rtt,
            "lanes": lanes,
            "contenders": list(contenders),
        }
        for place, (name, family) in enumerate(contenders.items()):
            for wall in (rtt + 1000.5, rtt + 1234.5 + place, 9999.5):
                yield {
                    "kind": "run",
                    "cell": cell,
                    "contender": name,
                    "family": family,
                    "good": good,
                    "wall_s": wall,
                } | {
                    "cpu_s": wall / 4,
                    "peak_bytes": 170 << 20,
                }


def written(folder: Path, *, good: bool = True) -> Path:
    path = folder / "results.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records(good=good)))
    return path


def pages(pdf: Path) -> int:
    """Count the pages of a PDF as typst writes it: its page tree tells how many there are."""
    return max(int(count) for count in re.findall(rb"/Type\s*/Pages\b.*?/Count\s+(\d+)", pdf.read_bytes(), re.DOTALL))


@pytest.mark.parametrize("good", [True, False], ids=["measured", "failed"])
def test_both_languages_fit_their_pages(tmp_path: Path, *, good: bool) -> None:
    assert make.build(written(tmp_path, good=good), tmp_path) == []
    for name in LANGUAGES.values():
        assert 2 <= pages(tmp_path / name) <= MOST_PAGES


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    source = written(tmp_path)
    make.build(source, tmp_path / "one")
    make.build(source, tmp_path / "two")
    for name in LANGUAGES.values():
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
        assert b"D:20010203" in (tmp_path / "one" / name).read_bytes()


def test_what_was_not_measured_is_told_and_ends_the_command_with_1(tmp_path: Path) -> None:
    source = written(tmp_path)
    lines = [line for line in source.read_text().splitlines() if '"modes-N16"' not in line]
    source.write_text("\n".join(lines) + "\n")
    argv = [sys.executable, str(REPORT / "make.py"), "--records", str(source), "--into", str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    told = [line for line in done.stderr.splitlines() if line.startswith("not measured: ")]
    assert told == [f"not measured: modes-N16, {kind}16, wall_s" for kind in "APT"]
    assert (tmp_path / "report.pdf").exists()


def test_medians_are_of_good_runs_and_of_the_last_measurement(tmp_path: Path) -> None:
    source = written(tmp_path)
    bad = {"kind": "run", "cell": "modes-N8", "contender": "A8", "family": "ours", "good": False, "wall_s": 1.0}
    source.write_text(source.read_text() + json.dumps(bad | {"cpu_s": 0, "peak_bytes": 0}) + "\n")
    told = medians.medians(medians.load(source))["cells"]
    assert told["modes-N8"]["contenders"]["A8"] | {"family": ""} == {
        "runs": 4,
        "good": 3,
        "family": "",
        "wall_s": 1254.5,
        "cpu_s": 1254.5 / 4,
        "peak_bytes": 170 << 20,
    }
    near, far = (told[f"line{rtt}-vsftpd-N8"]["contenders"]["A8"]["round_trips"] for rtt in (20, 100))
    assert near == far == pytest.approx((1335.5 - 1255.5) * 1000 / 80 * 8 / 100_000)


# What it names.


def named(what: str) -> set[str]:
    """Return what the sources name as `#module("multi.py")`, and as lists of such names."""
    calls = (re.findall(rf'\b{what}\("([^"]+)"', text) for text in SOURCES.values())
    return {name for found in calls for name in found}


def listed(key: str) -> set[str]:
    """Return the names in the first column of a table of the words, `key: ((("a", "b"), [why]), …)`."""
    found = set()
    for language in LANGUAGES:
        table = SOURCES[f"{language}.typ"].partition(f"    {key}: (\n")[2].partition("\n    ),\n")[0]
        rows = re.findall(r"^      \(\(([^)]+)\)", table, re.MULTILINE)
        assert rows, (language, key)
        found |= {name for row in rows for name in re.findall(r'"([^"]+)"', row)}
    return found


def test_every_module_that_it_names_exists() -> None:
    modules = named("module") | named("part") | listed("places")
    assert len(modules) > 20
    assert {name for name in modules if not (PROJECT / "async_mirror" / name).is_file()} == set()
    assert {name for name in named("test") if not (PROJECT / "tests" / name).is_file()} == set()


def test_every_option_that_it_names_exists() -> None:
    known = {option for parameter in sync.params for option in (*parameter.opts, *parameter.secondary_opts)}
    options = named("option")
    assert "--multi" in options
    assert options <= known


def test_every_library_that_it_names_is_one_of_ours_and_none_is_left_out() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    ours = {_name(each) for each in project["dependencies"]}
    extras = {_name(each) for extra in project["optional-dependencies"].values() for each in extra}
    assert listed("rows") | named("lib") <= ours | extras
    assert ours <= listed("rows")
    dev = {_name(each) for each in project["optional-dependencies"]["dev"]} - {project["name"]}  # which has extras
    assert dev <= listed("rows")


def _name(requirement: str) -> str:
    found = re.match(r"[\w.-]+", requirement)
    assert found is not None
    return found[0].lower()


def test_every_command_and_file_that_it_names_exists() -> None:
    paths = {name for name in named("code") if re.fullmatch(r"[\w.-]+(/[\w.-]+)+", name)}
    assert {"bench/run", "docs/rapport/build", "tests/run"} <= paths
    assert {name for name in paths if not (PROJECT / name).is_file()} == set()


def test_both_languages_say_the_same_in_the_same_places() -> None:
    shapes = [re.findall(r"^ +([\w-]+): ", SOURCES[f"{language}.typ"], re.MULTILINE) for language in LANGUAGES]
    assert shapes[0] == shapes[1]
    for what in ("module", "option", "lib", "measured", "best", "files"):
        one, other = (sorted(re.findall(rf'#{what}\("[^)]*\)', SOURCES[f"{each}.typ"])) for each in LANGUAGES)
        assert one == other
