"""How a mirror is, in words: one line that says it all, and some below it. Pure."""

from collections.abc import Iterator, Mapping
from itertools import chain, repeat

from async_mirror.ftp.known.in_words import in_words
from async_mirror.model.escape import shown
from async_mirror.service.condition import Condition, Kind, Live, Process
from async_mirror.ui.health import result_told
from async_mirror.ui.last_pass import LastPass
from async_mirror.ui.text import human_size, human_time, plural, quoted, time_left


def told(condition: Condition, now: float) -> Iterator[str]:
    """Yield the lines of `status` about a mirror; `now` is in seconds since 1970."""
    name = f"{condition.name}: " if condition.name else ""
    yield f"{name}{headline(condition, now)}"
    for title, text in _details(condition, now):
        yield f"  {title:12}  {text}"


def headline(condition: Condition, now: float) -> str:
    """Return how a mirror is in one line."""
    kind = condition.kind
    match kind:
        case Kind.PAUSED if condition.paused_since is not None:
            return f"{kind} for {_long(now - condition.paused_since)}: resume it with {condition.resume}"
        case Kind.UPLOADING if condition.live:
            return f"{kind}: {progress(condition.live)}"
        case Kind.DEGRADED:
            return f"{kind}: {plural(condition.failing.number, 'path')} not mirrored"
        case Kind.FAILING | Kind.STOPPED:
            return f"{kind}{_since_when(condition, now)}"
        case Kind.STARTING:
            return f"{kind}: the first pass is under way"
        case _:
            return str(kind)


def _since_when(condition: Condition, now: float) -> str:
    """Return for how long passes fail, and why: what the process says is later than what the state holds."""
    last = condition.last
    why = (condition.live.trouble if condition.live else "") or (last.why[0] if last and last.why else "")
    long = f" for {_long(now - last.since)}" if last and last.why else ""
    return f"{long}: {shown(why)}" if why else long


def brief(mirrors: Mapping[str, Live]) -> str:
    """Return how mirrors are in one line, by what their process knows of them without looking."""
    told = [f"{name}: {_brief(live)}" if name else _brief(live) for name, live in mirrors.items()]
    return f"{len(told)} mirrors: {'; '.join(told)}" if len(told) > 1 else "".join(told)


def _brief(live: Live) -> str:
    if live.under_way_s is not None:
        return progress(live) if live.files_total else live.phase
    failed = f", {plural(live.failed, 'path')} failed" if live.failed else ""
    waits = "" if live.next_pass_in_s is None else f"next pass in {human_time(live.next_pass_in_s)}{failed}"
    return waits or live.phase or "starting"


def progress(live: Live) -> str:
    """Return how far a pass is, and how long it will take."""
    parts = [f"{live.files_done:,} of {plural(live.files_total, 'file')}"]
    if live.bytes_total:
        parts.append(f"{human_size(live.bytes_done)} of {human_size(live.bytes_total)}")
    if live.bytes_per_s:
        parts.append(f"{human_size(live.bytes_per_s)}/s")
    parts.append("time left not known yet" if live.left_s is None else time_left(live.left_s))
    return ", ".join(parts)


def _details(condition: Condition, now: float) -> Iterator[tuple[str, str]]:
    yield "source", shown(condition.source)
    yield "destination", shown(condition.destination)
    yield "state", f"{shown(condition.state)}{'' if condition.is_known else ', which is not there'}"
    yield "process", _process(condition)
    live, last = condition.live, condition.last
    if live and live.under_way_s is not None:
        far = f": {progress(live)}" if live.files_total and condition.kind is not Kind.UPLOADING else ""
        yield "this pass", f"{shown(live.phase)} for {human_time(live.under_way_s)}{far}"
    if last:
        yield "last pass", _last(last, now - (condition.last_ended(now) or now))
        yield from (("", shown(why)) for why in last.why)
    if live and live.next_pass_in_s is not None:
        yield "next pass", f"in {human_time(live.next_pass_in_s)}"
    yield from _failing(condition, now)
    for title, learned in zip(chain(["server"], repeat("")), in_words(_learned(condition)), strict=False):
        yield title, shown(learned)


def _learned(condition: Condition) -> dict[str, int | str]:
    return {name: value for _, name, value in condition.server}


def _process(condition: Condition) -> str:
    match condition.process:
        case Process.RUNNING:
            return f"running (pid {condition.live.pid})" if condition.live else "running"
        case Process.SILENT:
            return f"{shown(condition.holder)} is running and does not answer; this is from the state file"
        case Process.DIED:
            return "it was killed, or the machine went down; this is from the state file"
        case Process.NONE:
            return "not running; this is from the state file"


def _last(last: LastPass, ago: float) -> str:
    return f"{_ago(ago)}, took {human_time(last.seconds)}, {result_told(last.result)}: {shown(last.told)}"


def _long(seconds: float) -> str:
    """Return a length of time, none where the clock was set back meanwhile."""
    return human_time(max(0.0, seconds))


def _ago(seconds: float) -> str:
    return f"{human_time(seconds)} ago" if seconds >= 0 else f"{human_time(-seconds)} from now, by this machine's clock"


def _failing(condition: Condition, now: float) -> Iterator[tuple[str, str]]:
    """Yield the paths that fail, each with why and for how long, those that fail for longest first."""
    why = {each["path"]: each for each in condition.last.failures} if condition.last else {}
    for path, since in condition.failing.longest():
        known = why.get(shown(path))
        reason = f"  {known['problem']}{': ' * bool(known['detail'])}{known['detail']}" if known else ""
        yield "failing", shown(f"{quoted(path)}{reason} (for {_long(now - since)})")
    if (more := condition.failing.number - len(condition.failing.longest())) > 0:
        yield "", f"and {more:,} more"
