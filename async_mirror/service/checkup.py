"""Whether a mirror is kept, as `healthcheck` tells: by what its passes left and, before the first, by how it moves."""

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

from async_mirror.service.asking import Target, live_of_target, paused_since
from async_mirror.service.told import progress
from async_mirror.state.database import StateError
from async_mirror.state.opening import facts_of
from async_mirror.ui.health import Failing, complaint, praise, regret
from async_mirror.ui.text import human_time

MOVES_WITHIN_S = 300.0
"""A first pass that has not moved on for so long is not starting any more."""


class Checked(NamedTuple):
    """What a mirror's checkup came to: an exit code, and why."""

    code: int
    text: str


def checked(target: Target, longest: float | None) -> Checked:
    """Tell whether a mirror is kept; what is degraded for `longest` seconds is not."""
    found = _checked(target, longest)
    return found._replace(text=f"{target.name}: {found.text}") if target.name else found


def _checked(target: Target, longest: float | None) -> Checked:
    try:
        facts = facts_of(target.state)
    except StateError as error:
        return Checked(1, str(error))
    now = time.time()
    last_good = facts.get("last_good")
    if (paused := paused_since(facts)) is not None:
        return _degraded(f"degraded: paused for {human_time(max(0.0, now - paused))}", now - paused, longest)
    if reason := complaint(last_good, facts.get("last_result"), now):
        starting = "" if last_good else _starting(target, facts)
        return Checked(0, starting) if starting else Checked(1, f"unhealthy: {reason}")
    failing = Failing.read(facts.get("failing"))
    if not failing.number:
        return Checked(0, praise(facts["last_good"], now, facts.get("last_result")))
    return _degraded(regret(facts["last_good"], failing, now), failing.seconds(now), longest)


def _degraded(text: str, seconds: float, longest: float | None) -> Checked:
    return Checked(int(longest is not None and seconds >= longest), text)


def _starting(target: Target, facts: Mapping[str, str]) -> str:
    """Tell how far a first pass is that is under way and moves on, "" if there is none."""
    if live := live_of_target(target):
        if live.under_way_s is None or live.still_s > MOVES_WITHIN_S:
            return ""
        far = f": {progress(live)}" if live.files_total else ""
        return f"starting: the first pass has been under way for {human_time(live.under_way_s)}{far}"
    if "last_result" not in facts and target.holder and _written_ago(target) < MOVES_WITHIN_S:
        return "starting: the first pass is under way"
    return ""


def _written_ago(target: Target) -> float:
    """Return how long ago the state was written, where that is all there is to tell whether a pass moves."""
    newest = 0.0
    for suffix in ("", "-wal"):
        with suppress(OSError):
            newest = max(newest, target.state.with_name(target.state.name + suffix).stat().st_mtime)
    return time.time() - newest
