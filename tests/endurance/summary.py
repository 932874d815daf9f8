"""What came of a run: a line each minute, and at the end what held and what did not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import fmean, median, quantiles
from typing import Final

from endurance.changing import Change
from endurance.course import Course
from endurance.mirrors import WRONG
from endurance.service import Needs

IN_TIME_S: Final = 2.0
BUCKETS: Final = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0)
LATE_SHARE: Final = 0.01
"""How much of what was changed while all was well may be late: the machine may be busy with something else."""
WINDOW, WARM = 5, 5
"""Figures are means over so many minutes, of the least of each; growth counts from the fifth minute on."""
MORE: Final = {"rss_mb": (20.0, 4.0), "descriptors": (4.0, 4.0), "threads": (2.0, 2.0)}
"""Growth that is none, over the whole time and in its second half: caches fill for half an hour, a leak never ends."""
_BURSTS = ("burst", "burst deleted", "bulk")


class Summary:
    """Tells of a run, while it goes on and afterwards."""

    def __init__(self, course: Course) -> None:
        self._course = course
        self._mirrors = course.mirrors
        self.broken: list[str] = []

    # While it goes on.

    def line(self, minute: float) -> str:
        """Return the figures up to a minute."""
        course, asker = self._course, self._mirrors.asker
        now, seen = course.needs[-1], self._seen()
        counted = self._counted()
        took = [change.latency for change in counted]
        return (
            f"minute {minute:3.0f}  rss {now.rss_mb:.1f} MB  fds {now.descriptors}  threads {now.threads}"
            f"  cpu {now.cpu_s:.1f} s  load {now.load:.1f}"
            f"  changes {len(self._mirrors.changes)}  seen {len(seen)}"
            f"  {_spread(took)}  late {sum(each > IN_TIME_S for each in took)}"
            f" (in quiet {sum(each.latency_in_quiet > IN_TIME_S for each in counted)})"
            f"  outages {sum(map(len, course.incidents.outages.values()))}"
            f"  status {len(asker.by_socket) + len(asker.by_command)}, slowest {max(asker.by_socket, default=0):.3f} s"
            f" (command {max(asker.by_command, default=0):.2f} s)"
            f"  {', '.join(f'{name} {condition}' for name, condition in asker.conditions.items())}"
            + "".join(f"\n  WRONG: {each}" for each in course.wrong)
        )

    def _seen(self) -> list[Change]:
        return [change for site in self._mirrors.sites.values() for change in tuple(site.seen)]

    def _counted(self) -> list[Change]:
        """Return the single changes that were made, and seen, while all was well."""
        return [change for change in self._seen() if not change.apart and change.kind not in _BURSTS]

    # Afterwards.

    def lines(self) -> Iterator[str]:
        """Yield the summary; what did not hold is in `broken` then."""
        yield ""
        yield from self._course.incidents.told
        yield ""
        yield from self._latencies()
        yield from self._late()
        yield from self._outages()
        yield from self.growth()
        yield from self._answers()
        self.broken += self._course.wrong
        yield "trees equal, all seen: " + ("yes" if not self._course.wrong else "NO, or something else went wrong")
        yield from (f"BROKEN: {each}" for each in self.broken)
        yield "all held" if not self.broken else f"{len(self.broken)} did not hold"

    def _latencies(self) -> Iterator[str]:
        seen, counted = self._seen(), self._counted()
        superseded = sum(site.superseded for site in self._mirrors.sites.values())
        yield (
            f"{len(self._mirrors.changes)} changes, {len(seen)} seen on the site, {superseded} superseded before;"
            f" {len(counted)} single ones while their server was up"
        )
        yield _table("", [change.latency for change in counted], head=True)
        for kind in sorted({change.kind for change in counted}):
            yield _table(f"  {kind}", [change.latency for change in counted if change.kind == kind])
        for name in self._mirrors.sites:
            yield _table(f"  on {name}", [change.latency for change in counted if change.mirror == name])
        for kind in _BURSTS[:2]:
            yield _table(
                f"apart: {kind}", [change.latency for change in seen if change.kind == kind and not change.apart]
            )
        for why in sorted({change.apart for change in seen} - {""}):
            yield _table(f"apart: {why}", [change.latency for change in seen if change.apart == why])

    def _late(self) -> Iterator[str]:
        counted = self._counted()
        late = [change for change in counted if change.latency > IN_TIME_S]
        held_up = sum(change.latency_in_quiet <= IN_TIME_S for change in late)
        yield (
            f"late (over {IN_TIME_S:.0f} s): {len(late)} of {len(counted)}; {held_up} were deletions or renames that"
            " other changes held up"
        )
        yield from (f"  {self._told(change)}" for change in sorted(late, key=lambda each: -each.latency)[:50])
        if len(late) - held_up > LATE_SHARE * max(1, len(counted)):
            self.broken.append(f"more than {LATE_SHARE:.0%} were late")

    def _told(self, change: Change) -> str:
        course = self._course
        begun, seen = change.at - 0.1, change.seen_at + 0.5
        passes = [
            f"{'changes' if each.partial else 'pass'} {each.seconds:.1f} s"
            for each in self._mirrors.service.passes
            if each.mirror == change.mirror and begun <= each.at and each.at - each.seconds <= seen
        ]
        bursts = any(
            each.kind in _BURSTS and each.mirror == change.mirror and -12 < each.at - change.at < change.latency
            for each in self._mirrors.changes
        )
        waited = _over([(each.at, each.waited_s) for each in course.needs], begun, seen)
        cpu = _over([(each.at, each.cpu_s) for each in course.needs], begun, seen)
        load = next((each.load for each in course.needs if each.at >= change.at), 0.0)
        blind = max((gap for at, gap in course.gaps if begun <= at <= seen), default=0.0)
        return (
            f"{(change.at - course.begun) / 60:6.2f} min  {change.mirror}: {change.kind} {change.latency:.2f} s"
            f" ({change.latency_in_quiet:.2f} s in quiet); passes: {', '.join(passes) or 'none'};"
            f" {'beside a burst; ' if bursts else ''}the process had {cpu:.1f} s of CPU and waited for {waited:.1f} s;"
            f" load {load:.1f}; not looked for {blind:.1f} s"
        )

    def _outages(self) -> Iterator[str]:
        for name, seconds in self._course.incidents.outages.items():
            yield f"{name} was stopped {len(seconds)} times, for {sum(seconds):.0f} s together"
        yield f"mirrored again after the start of a server: {_spread(self._course.incidents.recoveries)}"

    def growth(self) -> Iterator[str]:
        """Yield how memory, descriptors and threads grew; growth that does not end is in `broken` then."""
        minutes = _by_minute(self._course.needs, self._course.begun)
        is_long = len(minutes) >= WARM + 3 * WINDOW
        middle = (len(minutes) - WINDOW) // 2
        for name, most in MORE.items():
            least = [min(getattr(each, name) for each in minute) for minute in minutes]
            begins = (WARM, middle, len(minutes) - WINDOW) if is_long else (0, 0, 0)
            early, half, end = (fmean(least[begin : begin + WINDOW]) for begin in begins)
            grown = (end - early, end - half)
            top = max(getattr(each, name) for each in self._course.needs)
            yield f"{name}: {early:.1f} early, {half:.1f} halfway, {end:.1f} at the end; most {top:.1f}"
            if not is_long:
                yield "  too short to tell whether it grows"
            elif any(more > allowed for more, allowed in zip(grown, most, strict=True)):
                self.broken.append(f"{name} grew by {grown[0]:.1f}, in the second half by {grown[1]:.1f}")
        yield f"CPU: {self._course.needs[-1].cpu_s:.0f} s in {len(minutes)} minutes"

    def _answers(self) -> Iterator[str]:
        asker = self._mirrors.asker
        yield f"status by socket: {len(asker.by_socket)} times, {_spread(asker.by_socket)}"
        yield f"status by command: {len(asker.by_command)} times, {_spread(asker.by_command)}"
        self.broken += [f"not answered: {each}" for each in asker.unanswered]
        for name in (*self._mirrors.sites, WRONG):
            yield f"  {name}: {dict(Counter(each.get(name, 'not listed') for _, each in asker.history))}"
        wrongs = {each[WRONG] for _, each in asker.history[1:] if WRONG in each}
        if not wrongs <= {"failing", "uploading"} or "failing" not in wrongs:
            self.broken.append(f"the mirror with the wrong password was {wrongs}")


def _spread(took: Sequence[float]) -> str:
    if not took:
        return "none"
    most = quantiles(took, n=20)[-1] if len(took) > 1 else took[0]
    return f"median {median(took):.3f} s  95 % {most:.3f} s  worst {max(took):.3f} s"


def _table(what: str, took: Sequence[float], *, head: bool = False) -> str:
    """Return a row of the histogram."""
    edges = [*BUCKETS, float("inf")]
    row = "".join(f"{sum(low <= each < high for each in took):7d}" for low, high in pairwise(edges))
    titles = "".join(f"{title:>7}" for title in ("<0.5", "<1", "<1.5", "<2", "<3", "<5", ">=5"))
    title = f"{'seconds':24}{titles}\n" if head else ""
    return f"{title}{what or 'single, all well':24}{row}   {_spread(took)}"


def _over(figures: Sequence[tuple[float, float]], begun: float, end: float) -> float:
    """Return how much a figure grew, taken each second."""
    before = [figure for at, figure in figures if at <= begun]
    after = [figure for at, figure in figures if at >= end]
    return (after or [figures[-1][1]])[0] - (before or [figures[0][1]])[-1]


def _by_minute(needs: Sequence[Needs], begun: float) -> list[list[Needs]]:
    minutes: dict[int, list[Needs]] = {}
    for each in needs:
        minutes.setdefault(int((each.at - begun) // 60), []).append(each)
    return [minutes[number] for number in sorted(minutes)]
