"""Tells which of the mistakes that were once handed out a failing history is: by that the machine was measured."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from .history import History, Incident
from .play import Verdict

_LOST = {"cut", "half", "hang-up", "stall", "replied"}
_GOES = {"remove", "stash", "rename", "swap", "kind", "link", "take", "rebuild"}
_COMES = {"unstash", "restore", "write", "replace", "rename", "swap", "rebuild"}


def _incidents(history: History) -> Iterator[Incident]:
    return (incident for phase in history.phases for incident in phase.incidents)


def _faults(history: History) -> set[str]:
    return {incident.fault.partition(":")[0] for incident in _incidents(history)}


def _acts_beside(history: History) -> set[str]:
    """Return what is done in the middle of passes."""
    return {act[0] for incident in _incidents(history) for act in incident.acts}


def _acts(history: History) -> set[str]:
    return {act[0] for phase in history.phases for act in phase.acts} | _acts_beside(history)


def _swapped_then_killed(history: History, verdict: Verdict) -> bool:
    found = re.search(r"is (b'[^']*'), not (b'[^']*')", verdict.how)
    same_size = bool(found) and len(str(found[1] if found else "")) == len(str(found[2] if found else ""))
    moved = bool(_acts(history) & {"swap", "rename", "stash", "unstash"})
    return (
        verdict.law == "equal in the end"
        and same_size
        and moved
        and bool(_faults(history) & (_LOST | {"kill", "power"}))
    )


def _is_final(verdict: Verdict) -> bool:
    return verdict.law == "nothing of ours is left"


def _lost_reply_then_gone(history: History, verdict: Verdict) -> bool:
    lost = any(each.verb in {"RNTO", "*"} and each.fault.partition(":")[0] in _LOST for each in _incidents(history))
    return _is_final(verdict) and lost and bool(_acts_beside(history) & _GOES)


def _dele_then_back(history: History, verdict: Verdict) -> bool:
    lost = any(each.verb in {"DELE", "*"} and each.fault.partition(":")[0] in _LOST for each in _incidents(history))
    return "is not on the site" in verdict.how and lost and bool(_acts(history) & _COMES)


def _killed_then_deleted(history: History, verdict: Verdict) -> bool:
    return _is_final(verdict) and bool(_faults(history) & {"kill", "power"}) and bool(_acts(history) & _GOES)


def _twin_gone(history: History, verdict: Verdict) -> bool:
    return _is_final(verdict) and not _faults(history) - {""} and bool(_acts_beside(history) & _GOES)


def _collides(_: History, verdict: Verdict) -> bool:
    return verdict.law == "what is not mirrored is told"


def _takes_along(_: History, verdict: Verdict) -> bool:
    return verdict.law == "nothing of others" and "is renamed, with" in verdict.how


def _no_room(_: History, verdict: Verdict) -> bool:
    return verdict.law == "set aside until the new one stands"


def _alike(history: History, verdict: Verdict) -> bool:
    return verdict.law == "equal in the end" and not _faults(history) - {""} and history.alike


KNOWN: dict[str, Callable[[History, Verdict], bool]] = {
    "two_names_on_a_site_that_ignores_case": _collides,
    "case_rename_takes_foreign_along": _takes_along,
    "no_room_after_kill_in_steps": _no_room,
    "dele_lost_reply_then_back": _dele_then_back,
    "killed_changed_deleted": _killed_then_deleted,
    "new_file_lost_reply_then_gone": _lost_reply_then_gone,
    "twin_gone_before_it_is_sent": _twin_gone,
    "swapped_then_killed": _swapped_then_killed,
    "(same size and date)": _alike,
}


def name_of(history: History, verdict: Verdict) -> str:
    """Return which of the handed-out mistakes a history shows, once it is shrunk; else which law was broken."""
    return next((name for name, is_it in KNOWN.items() if is_it(history, verdict)), f"other: {verdict.law}")
