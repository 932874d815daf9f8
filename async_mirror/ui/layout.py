"""What the live display shows at one moment. Pure: an activity and the room that there is go in, rows come out."""

import math
import textwrap
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from async_mirror.model.escape import shown
from async_mirror.ui.activity import IN_SYNC, LISTING, STOPPING, Activity
from async_mirror.ui.text import human_size, human_time, plural, quoted, time_left

NARROW = 60


class Page(NamedTuple):
    """The room there is: cells of a row, rows of the screen, and whether only ASCII can be written."""

    width: int
    height: int
    ascii_only: bool = False

    @property
    def dots(self) -> str:
        """What stands for what was cut out."""
        return "..." if self.ascii_only else "…"

    def said(self, text: str) -> str:
        """Return text as this terminal can show it, on one row, without control characters."""
        text = shown(text)
        return text.encode("ascii", "backslashreplace").decode() if self.ascii_only else text

    def cut(self, text: str, cells: int) -> str:
        """Return text in so many cells at most, its end cut off if need be."""
        if cell_len(text) <= cells:
            return text
        return set_cell_size(set_cell_size(text, max(0, cells - len(self.dots))).rstrip() + self.dots, cells).rstrip()

    def fitted(self, path: str, cells: int) -> str:
        """Return a path in so many cells at most; of its parts the name goes last, and the name's ends after that."""
        if cell_len(path) <= cells:
            return path
        folder, slash, name = path.rpartition("/")
        head = cells - len(self.dots) - cell_len(slash + name)
        if slash and head >= 0:
            return set_cell_size(folder, head) + self.dots + slash + name
        tail = max(0, cells - len(self.dots)) // 2
        return self.cut(name, cells - tail) + _last_cells(name, tail)


def _last_cells(text: str, cells: int) -> str:
    for taken, character in enumerate(reversed(text)):
        cells -= cell_len(character)
        if cells < 0:
            return text[len(text) - taken :]
    return text


def picture(activities: Mapping[str, Activity], now: float, page: Page) -> list[Text]:
    """Return what is to be seen of activities by their titles: of several a row each, of one alone as `rows` does."""
    begun = [(title, activity) for title, activity in activities.items() if activity.passes]
    if len(activities) == 1:
        return rows(begun[0][1], begun[0][0], now, page) if begun else []
    room = max(1, page.height * 3 // 4)
    begun.sort(key=lambda each: each[1].resting_until is not None)  # those at work first
    shown_rows = begun if len(begun) <= room else begun[: room - 1]
    width = max((cell_len(title) for title, _ in shown_rows), default=0)
    found = [
        _row(page.fitted(page.said(title), width).ljust(width), activity, now, page) for title, activity in shown_rows
    ]
    more = len(begun) - len(shown_rows)
    return [*found, Text(f"and {plural(more, 'more mirror')}", "dim")] if more else found


def _row(title: str, activity: Activity, now: float, page: Page) -> Text:
    """Return what one of several mirrors is doing, on one row."""
    if activity.resting_until is not None:
        more = f"{_next_pass(activity.resting_until, now)}   {activity.last_result}"
    elif activity.is_away:
        more = _away(activity, now)
    else:
        percent = f"{int(_share_done(activity) * 100)}%   " if activity.scanned and activity.files_total else ""
        more = f"{percent}{_numbers(activity, now, page).plain}"
    state = f"{activity.state}   {more}"
    style = "red" if activity.state == activity.trouble else _COLOURS.get(activity.state, "")
    row = Text.assemble(
        (title, "bold"), "  ", (page.cut(page.said(state), max(0, page.width - cell_len(title) - 2)), style)
    )
    row.truncate(page.width, overflow="crop")
    return row


def rows(activity: Activity, title: str, now: float, page: Page) -> list[Text]:
    """Return what is to be seen now: at least one row, none wider than the page, and room left for log lines above."""
    room = max(1, page.height * 3 // 4)
    draw = _passing if activity.resting_until is None else _resting
    drawn = draw(activity, page.said(title), now, page, room)
    for row in drawn:
        row.truncate(page.width, overflow="crop")
    return drawn[:room]


def _passing(activity: Activity, title: str, now: float, page: Page, room: int) -> list[Text]:
    elapsed = _whole_time(now - activity.begun)
    where = _heading(title, activity, f"pass {activity.passes}, {elapsed}", page)
    found = [where, _bar(activity, page), _numbers(activity, now, page)][-room:]
    if activity.is_away and (away := _away(activity, now)):
        found.append(Text(page.cut(page.said(away), page.width), "yellow"))
        return found + _failures(activity, page, room - len(found))
    failures = _failures(activity, page, (room - len(found)) // 3)
    return found + _lanes(activity, now, page, room - len(found) - len(failures)) + failures


def _resting(activity: Activity, title: str, now: float, page: Page, room: int) -> list[Text]:
    heading = _heading(title, activity, f"after pass {activity.passes}", page)
    found = [heading, Text(_next_pass(activity.resting_until or 0.0, now), "bold")][-room:]
    first, *more = textwrap.wrap(page.said(activity.last_result), page.width) or [""]
    result = [first, page.cut(" ".join(more), page.width)] if more else [first]
    return found + [Text(line) for line in result] + _failures(activity, page, len(activity.failures))


def _next_pass(until: float, now: float) -> str:
    return "until it is resumed" if math.isinf(until) else f"next pass in {_whole_time(max(0.0, until - now))}"


_COLOURS = {IN_SYNC: "bold green", "unreachable": "bold yellow", STOPPING: "bold yellow"}
"""The colours of states; what fails is red, all others are cyan."""


def _heading(title: str, activity: Activity, more: str, page: Page) -> Text:
    """Return the title, and behind it the state in a word, in its colour."""
    state = page.said(activity.state)
    colour = "bold red" if activity.state == activity.trouble else _COLOURS.get(activity.state, "bold cyan")
    room = page.width - cell_len(f"{state}  {more}") - 2
    if page.width < NARROW or room < 10:
        return Text.assemble((page.cut(state, page.width), colour), page.cut(f"  {more}", page.width - cell_len(state)))
    title = page.fitted(title, room)
    return Text.assemble((title, "bold"), " " * (room - cell_len(title) + 2), (state, colour), f"  {more}")


def _bar(activity: Activity, page: Page) -> Text:
    """Return the bar; as long as the source is being looked at, what is done is no share of anything yet."""
    full, rest = "#-" if page.ascii_only else "━─"
    share = _share_done(activity)
    cells = max(0, page.width - 5)
    done = int(cells * share)
    percent = f" {int(share * 100):3}%" if activity.scanned and activity.files_total else ""
    return Text.assemble((full * done, "green"), (rest * (cells - done), "dim"), (percent, "bold"))


def _share_done(activity: Activity) -> float:
    if not activity.scanned or not activity.files_total:
        return 0.0
    of_files = activity.files_done / activity.files_total
    if not activity.bytes_total or of_files == 1:
        return of_files
    return min(0.99, activity.bytes_so_far / activity.bytes_total)


def _numbers(activity: Activity, now: float, page: Page) -> Text:
    """Return as many of the numbers as fit on a row; failures, in red, are the last to go."""
    failed = f"{activity.failed:,} failed" if activity.failed else ""
    room = page._replace(width=page.width - len(failed) - 3 * bool(failed))
    numbers = _counts(activity, now, room)
    return Text.assemble(numbers, ("   " if numbers and failed else ""), (failed, "bold red"))


def _counts(activity: Activity, now: float, page: Page) -> str:
    if activity.phase == LISTING:
        return _longest((f"{plural(activity.folders_compared, 'folder')} listed", "listing"), page)
    if not activity.files_total:
        return _longest(("nothing to upload" if activity.scanned else "nothing to upload so far", "nothing"), page)
    done, total = f"{activity.files_done:,}", f"{activity.files_total:,}"
    files = f"{done} of {total} file{'s' * (activity.files_total != 1)}{'' if activity.scanned else ' so far'}"
    sizes, rate, left = _bytes(activity), f"{human_size(activity.rates(now)[0])}/s", _time_left(activity)
    if not activity.bytes_total:
        sizes = rate = ""
    others = "   ".join(
        f"{number:,} {verb}"
        for number, verb in ((activity.renamed, "renamed"), (activity.deleted, "deleted"))
        if number
    )
    choices = (
        (files, sizes, rate, others, left),
        (files, sizes, others, left),
        (files, others, left),
        (files, left),
        (files,),
        (f"{done}/{total}",),
    )
    return _longest(("   ".join(filter(None, choice)) for choice in choices), page)


def _longest(choices: Iterator[str] | tuple[str, ...], page: Page) -> str:
    text = ""
    for text in choices:
        if len(text) <= page.width:
            break
    return text


def _bytes(activity: Activity) -> str:
    done, total = human_size(activity.bytes_so_far), human_size(activity.bytes_total)
    number, unit = done.split(" ")
    return f"{number if total.endswith(f' {unit}') else done} of {total}"


def _time_left(activity: Activity) -> str:
    left = activity.seconds_left()
    return "" if left is None else time_left(left)


def _away(activity: Activity, now: float) -> str:
    """Return why the server cannot be reached, how many connections are opened again, and when the next one is."""
    whys = [retry.why for retry in activity.retrying.values() if retry.why]
    if not whys:
        return ""
    left = _whole_time(max(0.0, min(retry.at for retry in activity.retrying.values()) - now))
    retrying = plural(len(activity.retrying), "connection")
    return f"server unreachable, {retrying} retrying, next in {left}: {whys[-1]}"


def _whole_time(seconds: float) -> str:
    """Return a length of time that changes once a second."""
    whole = math.ceil(seconds)
    return f"{whole} s" if whole < 10 else human_time(whole)


def _lanes(activity: Activity, now: float, page: Page, room: int) -> list[Text]:
    """Return a row for each connection, one for all that do small files only; the busy ones first if room is short."""
    lanes = activity.lanes_of_late(now)
    small = [lane for lane in lanes if lane not in activity.retrying and not activity.has_large(lane, now)]
    if len(small) > 1:
        lanes = [lane for lane in lanes if lane not in small]
        room -= 1
    kept = lanes
    if len(lanes) > room:
        kept = sorted(sorted(lanes, key=lambda lane: (activity.is_idle(lane, now), lane))[: max(0, room - 1)])
    found = [_lane(lane, activity, now, page) for lane in kept]
    if len(small) > 1 and room >= 0:
        found.append(_small(small, activity, now, page))
    more = len(lanes) - len(kept)
    return [*found, Text(f"and {plural(more, 'more connection')}", "dim")] if more and room > 0 else found


def _small(lanes: list[int], activity: Activity, now: float, page: Page) -> Text:
    """Return the row of the connections that do small files only: how many a second, and the one begun last."""
    lead = f"{plural(len(lanes), 'connection')}: small files, {activity.rates(now)[1]:.0f}/s  "
    errands = [activity.lanes[lane] for lane in lanes if lane in activity.lanes]
    last = max(errands, key=lambda errand: errand.begun).path if errands else ""
    path = page.fitted(page.said(quoted(last)), max(0, page.width - len(lead))) if last else ""
    return Text.assemble((lead, "dim"), path)


def _lane(lane: int, activity: Activity, now: float, page: Page) -> Text:
    number = f"{lane:3} " if page.width >= NARROW else ""
    if retry := activity.retrying.get(lane):
        left = f", next attempt in {_whole_time(retry.at - now)}" if retry.at > now else ""
        return Text(page.cut(f"{number}reconnecting{left}", page.width), "yellow")
    errand = activity.lanes.get(lane)
    if errand is None:
        return Text(f"{number}idle", "dim")
    verb = f"{errand.verb} " if number else ""
    percent = f" {min(100, errand.sent * 100 // errand.size):3}%" if errand.size else ""
    speed = f"{human_size(errand.bytes_per_s(now))}/s" if errand.size and number else ""
    speed = f"{speed:>12}" if speed else ""
    room = max(0, page.width - len(number) - len(verb) - len(percent) - len(speed))
    path = page.fitted(page.said(quoted(errand.path)), room)
    blanks = " " * (room - cell_len(path)) if percent else ""
    return Text.assemble((number + verb, "dim"), path, blanks, percent, (speed, "dim"))


def _failures(activity: Activity, page: Page, room: int) -> list[Text]:
    last = list(activity.failures)[-room:] if room > 0 else []
    return [Text(page.cut(_failure(page.said(line), page), page.width), "red") for line in last]


def _failure(line: str, page: Page) -> str:
    """Return a path and what is wrong with it; the path may be cut down to half of the row."""
    lead = "failed " if page.width >= NARROW else ""
    path, gap, why = line.partition("  ")
    return lead + page.fitted(path, max(page.width // 2, page.width - cell_len(lead + gap + why))) + gap + why
