"""Writes Markdown from measurements: the summary, the modes over the number of connections, a table for each cell."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from bench.cells import CELLS, MIB
from bench.figures.records import Measurement, Record, Records, measurements, median, round_trips

_INTRO: Final = """\
# Results

Written by `bench/run`; [what is measured, and how](README.md). Medians of the good runs: those that ended with exit
code 0 and left a tree equal to the source in names and bytes, of async-mirror in mtimes and modes, too. All else is
marked and counted nowhere.
"""
_SUMMARY: Final = """\
## Summary

Seconds; in parentheses how many times as long as async-mirror it took. *lftp* is the quickest of its settings (`t` is
tuned, `s` tuned and listing by STAT). *minimal* is no mirror but the floor: it keeps no state, checks nothing, and is
not atomic. *Round trips* are async-mirror's on each connection for a file (in parentheses: minimal's, the best lftp's).
"""
_MODES: Final = """\
## async-mirror's modes, and the others, over N connections

Seconds for {files:,} small files to vsftpd over 20 ms.{fewer}
"""
_MARKS: Final = {"lftp": "", "lftp tuned": " t", "lftp tuned, STAT": " s"}
_FEW: Final = 50
_KEEPS: Final = (("mtime", "mtimes"), ("mode", "modes"))

RoundTrips = Callable[[Measurement, str], float | None]
Told = Callable[[Measurement], str]


def markdown(records: Records) -> str:
    """Return all of it."""
    found = sorted(measurements(records), key=lambda measurement: _place(measurement.name))
    trips = round_trips(found)
    parts = [_INTRO, _summary(found, trips), _modes(found)]
    parts += _machines([record for record in records if record["kind"] == "machine"])
    parts.append(_lines([record for record in records if record["kind"] == "line"]))
    parts += [_cell(measurement, trips) for measurement in found]
    known = {measurement.name for measurement in found}
    for record in records:
        if record["kind"] == "failure" and record["cell"] not in known:
            parts.append(f"**`{record['cell']}` could not be measured:** {record['words']}\n")
    return "\n".join(part for part in parts if part)


def _place(cell: str) -> int:
    """Return the place of a cell, as in the list of all; those that are no longer in it come first."""
    return next((place for place, known in enumerate(CELLS) if known.name == cell), -1)


def _rows(head: Sequence[str], left: int, rows: Iterable[Sequence[str]]) -> str:
    """Return a table; so many columns on the left are words."""
    lines = [head, ["---"] * left + ["--:"] * (len(head) - left), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _summary(found: Iterable[Measurement], trips: RoundTrips) -> str:
    compared = [m for m in found if set(m.cell["families"]) - {"ours"}]
    head = ["cell", "server", "TLS", "round trip", "N", "async-mirror", "lftp", "rclone", "minimal", "round trips"]
    return _SUMMARY + "\n" + _rows(head, 3, [_summed(measurement, trips) for measurement in compared])


def _summed(measurement: Measurement, trips: RoundTrips) -> list[str]:
    cell = measurement.cell
    ours = measurement.best("ours")
    line = f"{cell['rtt_ms']:g} ms" if cell["rtt_ms"] else "none"
    row = [f"`{cell['cell']}`", cell["server_kind"], "yes" if cell["tls"] else "", line, str(cell["lanes"])]
    row.append(f"**{ours[1]:.2f}**" if ours else "failed")
    row += [_against(measurement, family, ours) for family in ("lftp", "rclone", "minimal")]
    told = [_trips(measurement, family, trips) for family in ("ours", "minimal", "lftp")]
    others = ", ".join(filter(None, told[1:]))
    return [*row, f"**{told[0]}** ({others})" if told[0] else ""]


def _against(measurement: Measurement, family: str, ours: tuple[str, float] | None) -> str:
    if family not in measurement.cell["families"]:
        return ""
    best = measurement.best(family)
    if not best:
        names, families = measurement.cell["contenders"], measurement.cell["families"]
        killed = measurement.killed_s(name for name, its in zip(names, families, strict=True) if its == family)
        return f"not in {killed:.0f}" if killed else "failed"
    ratio = f" ({best[1] / ours[1]:.2f})" if ours else ""
    return f"{best[1]:.2f}{ratio}{_MARKS.get(best[0], '')}"


def _trips(measurement: Measurement, family: str, trips: RoundTrips) -> str:
    best = measurement.best(family)
    value = trips(measurement, best[0]) if best else None
    return f"{value:.2f}" if value is not None else ""


def _modes(found: Iterable[Measurement]) -> str:
    """Return one row for each mode and each peer, one column for each number of connections."""
    by_lanes: dict[int, list[Measurement]] = {}
    for measurement in found:
        if measurement.name.startswith(("modes-N", "line20-vsftpd-N")):
            by_lanes.setdefault(measurement.cell["lanes"], []).append(measurement)
    if not any(m.name.startswith("modes-N") for several in by_lanes.values() for m in several):
        return ""
    files = {lanes: several[0].cell["files"] for lanes, several in sorted(by_lanes.items())}
    most = max(files.values())
    rows = []
    for row in ("A<n>", "T<n>", "P<n>", "A", "S", "lftp", "lftp tuned", "rclone", "minimal"):
        walls = [_wall(by_lanes[n], row.replace("<n>", str(n)), most / files[n]) for n in files]
        rows.append([f"`{row}`" if row[0].isupper() else row, *walls])
    few = [f" With N = {n} it was {count:,} files: scaled up." for n, count in files.items() if count < most]
    intro = _MODES.format(files=most, fewer="".join(few))
    return intro + "\n" + _rows(["", *(f"N = {n}" for n in files)], 1, rows)


def _wall(several: Iterable[Measurement], contender: str, times: float) -> str:
    walls = [wall for measurement in several if (wall := measurement.wall(contender)) is not None]
    return f"{walls[-1] * times:.1f}" if walls else ""


def _machines(machines: Records) -> list[str]:
    """Return what the figures were measured on, each machine and version once."""
    told: dict[str, list[str]] = {}
    for machine in machines:
        words = (
            f"{machine['date']}: {machine['cores']} cores of {machine['cpu']}, {machine['memory_gib']} GiB;"
            f" {machine['system']}; Python {machine['python']}; {machine['program']}, {', '.join(machine['peers'])}.\n"
            f"Source and site on {machine['site']}, what async-mirror remembers on {machine['state']}"
        )
        told.setdefault(words, []).append(f"{machine['load']:g}")
    return [
        "## The machine\n",
        *(f"{words}; load {', '.join(loads)} before the first run.\n" for words, loads in told.items()),
    ]


def _lines(lines: Records) -> str:
    """Return what the lines turned out to be: alone, and when other cells kept the machine busy."""
    rows = []
    for rtt_ms in sorted({line["rtt_ms"] for line in lines}):
        for when, some in (
            ("alone", [line for line in lines if line["rtt_ms"] == rtt_ms and not line["cell"]]),
            ("before each cell", [line for line in lines if line["rtt_ms"] == rtt_ms and line["cell"]]),
        ):
            if some:
                rows.append(_line(f"{rtt_ms:g} ms, {when}" if rtt_ms else f"loopback, {when}", some))
    head = ["line", "round trip, ms: least / median / most", "one TCP stream, Mbit/s", "congestion control"]
    return "## The lines\n\n" + _rows(head, 1, rows)


def _line(name: str, lines: Records) -> list[str]:
    least, most = min(line["gauged"]["rtt_ms"][0] for line in lines), max(line["gauged"]["rtt_ms"][2] for line in lines)
    middle = sorted(line["gauged"]["rtt_ms"][1] for line in lines)[len(lines) // 2]
    rate = max(line["gauged"]["mbit_per_s"] for line in lines)
    return [
        name,
        f"{least:.2f} / {middle:.2f} / {most:.2f}",
        f"{rate:,}" if rate else "",
        lines[0]["gauged"]["congestion"],
    ]


def _cell(measurement: Measurement, trips: RoundTrips) -> str:
    cell = measurement.cell
    large = cell["bytes"] >= MIB * cell["files"]
    ours = measurement.best("ours")
    head = [
        "",
        "wall, s",
        "least to most",
        "MiB/s" if large else "files/s",
        "CPU, s",
        "CPU per file, µs",
        "memory, MiB",
    ]
    head += ["connections", "round trips per file", "times ours", "kept", "good runs"]
    rows = [_row(measurement, name, ours[1] if ours else None, large, trips) for name in cell["contenders"]]
    empty = [place for place in range(1, len(head)) if not any(row[place] for row in rows)]
    table = _rows(*_without(empty, head, rows))
    about = f"`{cell['cell']}`: {cell['bytes'] / MIB:,.1f} MiB, {cell['server']}{_beside(measurement)}."
    return "\n".join([f"## {cell['title']}\n", f"{about}\n", table, *_notes(measurement)])


def _without(
    places: Sequence[int], head: Sequence[str], rows: Iterable[Sequence[str]]
) -> tuple[list[str], int, list[list[str]]]:
    """Leave out columns that hold nothing."""
    cut = [[word for place, word in enumerate(row) if place not in places] for row in (head, *rows)]
    return cut[0], 1, cut[1:]


def _row(measurement: Measurement, name: str, ours: float | None, large: bool, trips: RoundTrips) -> list[str]:
    runs, good = measurement.of(name), measurement.good(name)
    ended = f"{len(good)} of {len(runs)}"
    wall = measurement.wall(name)
    if wall is None:
        killed = measurement.killed_s([name])
        return [name, f"not in {killed:.0f}" if killed else "failed", *[""] * 9, ended]
    cell = measurement.cell
    walls = [run["wall_s"] for run in good]
    amount = cell["bytes"] / MIB if large else cell["concerned"]
    cpu = median(good, "cpu_s") or 0
    slope = trips(measurement, name)
    return [
        name,
        f"**{wall:.2f}**",
        f"{min(walls):.2f} to {max(walls):.2f}" if len(walls) > 1 else "",
        f"{amount / wall:,.0f}",
        f"{cpu:.2f}",
        "" if large else f"{cpu / cell['concerned'] * 1e6:,.0f}",
        f"{peak / MIB:.0f}" if (peak := median(good, "peak_bytes")) else "",
        f"{median(good, 'connections') or 0:,.0f}",
        f"{slope:.2f}" if slope is not None else "",
        f"{wall / ours:.2f}" if ours else "",
        _kept(good, cell["files"]),
        ended,
    ]


def _kept(good: Records, files: int) -> str:
    """Return what is right beside names and bytes, but for a few files, whose number it tells."""
    words = []
    for key, name in _KEEPS:
        wrong = max(run["difference"][key] for run in good)
        if wrong * _FEW < files:
            words.append(f"{name} but {wrong:,}" if wrong else name)
    return ", ".join(words) or "neither mtimes nor modes"


def _beside(measurement: Measurement) -> str:
    """Return what else went on, and how much of a core the wire needed."""
    cell = measurement.cell
    if not cell["rtt_ms"]:
        return ""
    busy = max((run["wire_s"] / run["wall_s"] for run in measurement.runs), default=0)
    others = f", at most {cell['beside']} cells side by side" if cell["beside"] > 1 else ""
    return f"{others}; the wire took {busy * 100:.0f} % of a core at most"


def _notes(measurement: Measurement) -> list[str]:
    """Return a line for each run that failed or left another tree, and the commands where they were counted."""
    lines = [_mark(run) for run in measurement.runs if not run["good"]]
    for run in measurement.runs:
        if commands := run.get("commands"):
            words = ", ".join(f"{count:,} {verb}" for verb, count in commands.items())
            lines.append(f"* {run['contender']}, round {run['round']}, sent {words}")
    if measurement.failure:
        lines.append(f"* **The cell was not finished:** {measurement.failure}")
    return [*lines, ""] if lines else []


def _mark(run: Record) -> str:
    counts = {key: value for key, value in run["difference"].items() if value and key != "names"}
    found = ", ".join(f"{key} {value}" for key, value in counts.items()) or "the tree is right"
    end = "killed, it took too long" if run["timed_out"] else f"exit code {run['code']}"
    words = " ".join(run["words"].split())[-120:].replace("|", "/").replace("`", "'")
    return f"* **{run['contender']}**, round {run['round']}: {end}; {found}" + (f"; `{words}`" if words else "")
