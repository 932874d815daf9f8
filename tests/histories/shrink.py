"""Makes a failing history as short as it can be while it breaks the same law."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from .history import History, Phase

MOST_TRIES = 150


def shrink(history: History, fails: Callable[[History], bool]) -> History:
    """Return a history that still fails, and of which hardly a part can be left out.

    What could not be left out is tried again only after all the rest.
    """
    tries = place = failed_in_a_row = 0
    while tries < MOST_TRIES:
        candidates = list(_simpler(history))
        if failed_in_a_row >= len(candidates):
            break
        candidate = candidates[place % len(candidates)]
        tries += 1
        if fails(candidate):
            history, failed_in_a_row = candidate, 0
        else:
            failed_in_a_row += 1
            place = place % len(candidates) + 1
    return history


def _simpler(history: History) -> Iterator[History]:
    """Yield histories with one thing less, large things first."""
    phases = history.phases
    for index in range(len(phases) - 1, -1, -1):
        yield replace(history, phases=phases[:index] + phases[index + 1 :])
    for index, phase in enumerate(phases):
        for less in _simpler_phase(phase):
            yield replace(history, phases=(*phases[:index], less, *phases[index + 1 :]))
    for index in range(len(phases) - 1):
        yield replace(
            history, phases=(*phases[:index], _joined(phases[index], phases[index + 1]), *phases[index + 2 :])
        )
    for kind in history.kind.simpler():
        yield replace(history, kind=kind)
    if history.options:
        yield replace(history, options=())
    if history.old_state:
        yield replace(history, old_state=False)
    if history.connections > 1:
        yield replace(history, connections=1)


def _joined(one: Phase, other: Phase) -> Phase:
    return Phase(one.acts + other.acts, one.incidents + other.incidents, one.seconds)


def _simpler_phase(phase: Phase) -> Iterator[Phase]:
    for index in range(len(phase.incidents)):
        yield replace(phase, incidents=phase.incidents[:index] + phase.incidents[index + 1 :])
    for index in range(len(phase.acts)):
        yield replace(phase, acts=phase.acts[:index] + phase.acts[index + 1 :])
    for index, incident in enumerate(phase.incidents):
        rest = phase.incidents
        if incident.fault and incident.acts:
            yield replace(phase, incidents=(*rest[:index], replace(incident, fault=""), *rest[index + 1 :]))
        if incident.times > 1:
            yield replace(phase, incidents=(*rest[:index], replace(incident, times=1), *rest[index + 1 :]))
        for number in range(len(incident.acts)):
            acts = incident.acts[:number] + incident.acts[number + 1 :]
            yield replace(phase, incidents=(*rest[:index], replace(incident, acts=acts), *rest[index + 1 :]))
    if phase.seconds not in {1.0, 0.0}:
        yield replace(phase, seconds=1.0)
