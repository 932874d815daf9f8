"""What `status`, `now`, `pause`, `resume` do: ask the process that keeps a mirror, and its state where none answers."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import click

from async_mirror.model.settings import UsageError, UsageErrors
from async_mirror.options import resolve
from async_mirror.options.asked import AskedMirror
from async_mirror.options.mirrors import called, context_of, names_of
from async_mirror.service import channel
from async_mirror.service.channel import Unanswered
from async_mirror.service.condition import Condition, Live, Process, kind_of
from async_mirror.service.told import told
from async_mirror.state import server_memory
from async_mirror.state.beside import note_in
from async_mirror.state.database import StateError
from async_mirror.state.lock import holder_of, was_killed
from async_mirror.state.opening import facts_of
from async_mirror.state.server_memory import ServerMemory
from async_mirror.ui.health import Failing
from async_mirror.ui.last_pass import LastPass


class Target(NamedTuple):
    """A mirror that is asked about, and where its state is."""

    name: str
    source: str
    destination: str
    server: str
    state: Path
    called: str
    """What commands find it by, as words for a shell."""

    def command(self, verb: str) -> str:
        """Return a command about it, as it can be pasted."""
        return f"`async-mirror {verb} {self.called}`" if self.called else f"`async-mirror {verb}`"

    def ask(self, what: str) -> dict[str, Any]:
        """Ask the process that keeps it. Raises Unanswered."""
        answer = channel.ask(self.state, {"ask": what, "state": str(self.state)}, os.environ.get("XDG_RUNTIME_DIR"))
        if "error" in answer:
            raise Unanswered(str(answer["error"]))
        return answer

    @property
    def holder(self) -> str:
        """Return who has the state locked, "" if it is free."""
        return holder_of(self.lock)

    @property
    def lock(self) -> Path:
        """The file by which the state is locked."""
        return self.state.with_suffix(".lock")


def targets(context: click.Context) -> Iterator[Target]:
    """Yield the mirrors that a command is meant for. Raises UsageError and click.ClickException."""
    for name in names_of(context):
        own = context_of(name, context)
        with own.scope(cleanup=False):
            asked = AskedMirror(**{field.name: own.params[field.name] for field in fields(AskedMirror)})
            source = resolve.source_of(asked)
            site, _ = resolve.site_of(asked)
            if site.user is None:  # who asks need not be able to read the password, unless the user stands beside it
                site = resolve.login_of(asked).site
            file = resolve.state_file_of(asked, source, site)
            words = called(name, own, source, site)
        yield Target(name, str(source), site.shown, site.server, file.found, words)


def live_of_target(target: Target) -> Live | None:
    """Return what the process that keeps a mirror answers, None where none does."""
    with suppress(Unanswered):
        return Live.read(target.ask("status"))
    return None


def condition_of(target: Target) -> Condition:
    """Return how a mirror is. Raises StateError if there is a state that cannot be read."""
    live = live_of_target(target)
    holder = "" if live else target.holder
    facts = facts_of(target.state) if target.state.exists() else {}
    last, failing = LastPass.read(facts.get("last_pass")), Failing.read(facts.get("failing"))
    memory = ServerMemory(target.state.with_name(server_memory.NAME), learns=False)
    return Condition(
        name=target.name,
        resume=target.command("resume"),
        source=target.source,
        destination=target.destination,
        state=str(target.state),
        is_known=target.state.exists(),
        kind=kind_of(live, last, failing, paused="paused" in facts),
        process=_process(target, live, holder),
        holder=holder,
        live=live,
        paused_since=paused_since(facts),
        last=last,
        failing=failing,
        server=[(fact.of, fact.name, fact.value) for fact in memory.recall(target.server)],
    )


def _process(target: Target, live: Live | None, holder: str) -> Process:
    if live:
        return Process.RUNNING
    if holder:
        return Process.SILENT
    return Process.DIED if was_killed(target.lock) else Process.NONE


def paused_since(facts: dict[str, str]) -> float | None:
    """Return since when a mirror is paused, in seconds since 1970; None if it is not."""
    if "paused" not in facts:
        return None
    try:
        return float(facts["paused"])
    except ValueError:
        return 0.0


def now(target: Target) -> str:
    """Have a pass begin at once, and return what is told. Raises UsageError where that cannot be."""
    if target.state.exists() and "paused" in facts_of(target.state):
        raise UsageError(f"it is paused: run {target.command('resume')} instead")
    try:
        target.ask("now")
    except Unanswered as error:
        return _signal(target, str(error))
    return "a pass begins at once, or after the one that is under way"


def _signal(target: Target, why: str) -> str:
    """Ring by signal, where the process that keeps the mirror has no socket."""
    pid = _pid_of(target.holder)
    if not pid:
        raise UsageError(f"no process keeps this mirror now: run {target.command('sync --once')} with its options")
    try:
        os.kill(pid, signal.SIGUSR1)
    except OSError as error:
        raise UsageError(f"process {pid} does not answer ({why}) and cannot be signalled: {error.strerror}") from None
    return f"process {pid} does not answer ({why}) and was signalled: a pass of each of its mirrors begins"


def _pid_of(holder: str) -> int:
    """Return the number of the process that a lock names, 0 if it is on another machine or in another container."""
    words = holder.split(" ", 3)
    if len(words) == 4 and words[0] == "process" and words[1].isdecimal() and words[3] == os.uname().nodename:
        return int(words[1])
    return 0


def pause(target: Target) -> str:
    """Have no pass begin until `resume`, and end the one that is under way; return what is told. Raises StateError."""
    if "paused" not in (facts_of(target.state) if target.state.exists() else {}):  # since when it is, stays
        note_in(target.state, "paused", str(time.time()))
    try:
        target.ask("pause")
    except Unanswered as error:
        if holder := target.holder:
            return f"paused once the pass that is under way has ended: {holder} does not answer ({error})"
    return f"paused: nothing is done until {target.command('resume')}"


def resume(target: Target) -> str:
    """Undo `pause`; return what is told. Raises StateError."""
    if "paused" not in (facts_of(target.state) if target.state.exists() else {}):
        return "not paused: nothing to resume"
    note_in(target.state, "paused", None)
    try:
        target.ask("now")
    except Unanswered as error:
        if target.holder:
            return f"resumed: {_signal(target, str(error))}"
        return "resumed: the next run will mirror it"
    return "resumed: a pass begins at once"


def status(targets: Iterable[Target], *, as_json: bool) -> Iterator[str]:
    """Yield what `status` prints, of one mirror after the other.

    Raises StateError; where it is about one of several, once all others are told.
    """
    wrong = []
    for target in targets:
        try:
            condition = condition_of(target)
        except StateError as error:
            if not target.name:
                raise
            wrong.append(f"mirror {target.name}: {error}")
            continue
        if as_json:
            yield json.dumps(condition.as_json(time.time()))
        else:
            yield from told(condition, time.time())
    if wrong:
        raise StateError("; ".join(wrong))


def each(targets: Iterable[Target], do: Callable[[Target], str]) -> Iterator[str]:
    """Do something to one mirror after the other, and yield what is told of each.

    Raises UsageError and StateError; what is wrong with one of several is raised once all others are through.
    """
    wrong = []
    for target in targets:
        try:
            text = do(target)
        except (UsageError, StateError) as error:
            if not target.name:
                raise
            wrong.append(f"mirror {target.name}: {error}")
        else:
            yield f"{target.name}: {text}" if target.name else text
    if wrong:
        raise UsageErrors(wrong)
