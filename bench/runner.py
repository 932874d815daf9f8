"""Measures cells: one after the other, or side by side where all that they do is wait. Prints nothing."""

from __future__ import annotations

import threading  # not the product
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final

from bench import corpora
from bench.cell_run import Keep, Record, served
from bench.cells import KIB, Cell, Corpus
from bench.line.gauge import gauge
from bench.line.network import laid
from bench.machine import describe
from bench.measure import kill_all
from bench.places import Place, placed

_WARM_UP: Final = Cell("warm-up", "first", Corpus(8, KIB, KIB, per_folder=4), "vsftpd", (), lanes=2, limit_s=30)
_CLEARED_S: Final = 10.0
MOST_LOAD: Final = 1.25
"""Of cells side by side, see `Cell.load`: three with N = 8 at 20 ms, or fifteen at 100 ms.

With 1.6 most runs were still within 10 % of those alone, from 2 on async-mirror's took 13 to 25 % longer.
"""


def run(cells: Sequence[Cell], beside: int, keep: Keep) -> None:
    """Measure the cells: first those that must be alone, then the others, up to `beside` at a time."""
    alone = [cell for cell in cells if cell.alone]
    waiting = sorted((cell for cell in cells if not cell.alone), key=lambda cell: -cell.expected_s)
    guarded = _guarded(keep)
    with placed(cells, beside) as place:
        guarded({"kind": "machine", **describe(place.trees, place.work)})
        _warm_up(cells, place)
        for rtt_ms in sorted({cell.rtt_ms for cell in cells}):
            with laid(rtt_ms) as line:
                guarded({"kind": "line", "cell": "", "rtt_ms": rtt_ms, "gauged": gauge(line, throughput=True)})
        for cell in alone:
            _measure(cell, place, 1, guarded)
        _side_by_side(waiting, beside, lambda cell: _measure(cell, place, beside, guarded))


def _guarded(keep: Keep) -> Keep:
    """Let one record be kept at a time."""
    lock = threading.Lock()

    def one_by_one(record: Record) -> None:
        with lock:
            keep(record)

    return one_by_one


def _warm_up(cells: Iterable[Cell], place: Place) -> None:
    """Let everyone run once, uncounted: programs come from the disk the first time."""
    everyone = {contender.name: contender for cell in cells for contender in cell.contenders}
    cell = replace(_WARM_UP, contenders=tuple(everyone.values()))
    with place.part(cell.name) as part, laid(0) as line, served(cell, line, part) as session:
        corpora.make(cell.corpus, part.source)
        for contender in cell.contenders:
            session.run(contender)


def _measure(cell: Cell, place: Place, beside: int, keep: Keep) -> None:
    """Measure one cell; what goes wrong with all of it is a record, too, so that the others are measured."""
    try:
        with place.part(cell.name) as part, laid(cell.rtt_ms) as line, served(cell, line, part) as session:
            keep({"kind": "line", "cell": cell.name, "rtt_ms": cell.rtt_ms, "gauged": gauge(line)})
            session.measure_all(beside, keep)
    except (OSError, RuntimeError, ValueError) as error:
        keep({"kind": "failure", "cell": cell.name, "words": f"{type(error).__name__}: {error}"})


def _side_by_side(cells: Iterable[Cell], beside: int, measure: Callable[[Cell], None]) -> None:
    """Measure in threads, in order, but let smaller ones go ahead where the next is too much for the machine."""
    pending, running, threads = list(cells), list[Cell](), list[threading.Thread]()
    changed = threading.Condition()

    def measured(cell: Cell) -> None:
        try:
            measure(cell)
        finally:
            with changed:
                running.remove(cell)
                changed.notify()

    try:
        with changed:
            while pending or running:
                while fitting := [cell for cell in pending if _fits(cell, running, beside)]:
                    pending.remove(fitting[0])
                    running.append(fitting[0])
                    threads.append(threading.Thread(target=measured, args=(fitting[0],), daemon=True))
                    threads[-1].start()
                changed.wait()
    except BaseException:  # a signal, too: what was begun ends and clears up first
        kill_all()
        for thread in threads:
            thread.join(_CLEARED_S)
        raise


def _fits(cell: Cell, running: Sequence[Cell], beside: int) -> bool:
    load = sum(other.load for other in running) + cell.load
    return not running or (len(running) < beside and load <= MOST_LOAD)
