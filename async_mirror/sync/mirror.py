"""What stays the same from pass to pass, and the crew that is put together from it. Knows neither changes nor plans."""

from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from async_mirror.crew.broker import Broker
from async_mirror.crew.cap import Climb, FixedCap
from async_mirror.crew.mode import MOST_LANES, Mode
from async_mirror.crew.parking import Parking
from async_mirror.crew.patience import Patience
from async_mirror.crew.stop import Stop
from async_mirror.crew.turns import Turns
from async_mirror.crew.work import Terms
from async_mirror.jobs.adopt import ALL_TIMES, TIMES
from async_mirror.jobs.attempt import Publisher
from async_mirror.jobs.bandwidth import Pace
from async_mirror.jobs.perform import PLACE, ROOT, Answer, Hands, Item, WrongSite
from async_mirror.model import escape, odd_names, paths
from async_mirror.model.change import Job, Shapes
from async_mirror.model.entry import Entry
from async_mirror.model.facts import Fact, Facts
from async_mirror.model.secret import Secret
from async_mirror.model.selection import Selection
from async_mirror.model.settings import Settings
from async_mirror.model.temporary_names import known_shape
from async_mirror.multi import Crew
from async_mirror.remote.errors import SiteUnusable
from async_mirror.remote.session import Connect, RootedSession
from async_mirror.source.files import HalfRead
from async_mirror.state.awaitable import AwaitableMemory, AwaitableState
from async_mirror.state.database import StateError
from async_mirror.state.root_lock import RootLock
from async_mirror.state.server_memory import ServerMemory
from async_mirror.sync.lane_progress import Watch
from async_mirror.sync.room import Room
from async_mirror.ui.report import Report
from async_mirror.ui.text import plural

MAX_CONNECTIONS = 16
LIMIT_LASTS_S = 3600.0
CONNECTIONS_LAST_S = NAMES_LAST_S = 90 * 86400.0
_LIMIT, _FOUND = "most connections", "connections"

MirrorCrew = Crew[RootedSession, Item, Answer]


def _resumed(session: RootedSession) -> Awaitable[bool]:
    return session.resume()


@dataclass(frozen=True)
class Mirror:
    """All that stays the same from pass to pass."""

    settings: Settings
    mode: Mode
    connect: Connect
    password: Secret
    report: Report
    patience: Patience
    max_connections: int = MAX_CONNECTIONS
    memory: ServerMemory = field(default_factory=ServerMemory)
    pace: Pace = field(default_factory=Pace)
    facts: Facts = field(default_factory=Facts)
    half_read: HalfRead | None = None
    """What the next pass reads on, if there is to be one."""
    broker: Broker = field(default_factory=Broker)
    parking: Parking[RootedSession] = field(default_factory=lambda: Parking(_resumed))
    roots: RootLock | None = None
    disks: Turns = field(default_factory=Turns)
    dry_run: bool = False
    rescan: bool = False

    @property
    def selection(self) -> Selection:
        """What of the source is mirrored."""
        settings = self.settings
        apart = frozenset(self.roots.inner if self.roots else ())
        return Selection(settings.max_depth, settings.excluded_extensions, settings.patterns, apart)


class Apart(SiteUnusable):
    """Others have roots below this one, which a pass has to know from its beginning. `root` is where this one is."""

    def __init__(self, root: str) -> None:
        """Be about this root."""
        super().__init__(f"the roots of other mirrors are below {root}")
        self.root = root


def claim_root(mirror: Mirror, root: str, place: str = "") -> None:
    """Take the root for this mirror alone, `place` where the server was reached. Raises WrongSite if another has it."""
    if mirror.roots and (keeper := mirror.roots.claim(escape.shown(root), place)):
        raise WrongSite(
            f"{mirror.settings.site.shown} is the folder {escape.shown(root)} of the server, in use by {keeper}",
            "change one of the destinations, or stop the other mirror",
        )


@asynccontextmanager
async def one_connection(mirror: Mirror) -> AsyncIterator[None]:
    """Wait for one of the account's connections, and have it meanwhile."""
    share = mirror.broker.share(_account(mirror), FixedCap(1))
    await share.acquire()
    try:
        yield
    finally:
        share.release()


async def know_root(mirror: Mirror, state: AwaitableState) -> None:
    """Before a pass, take the root if it is known, and forget what was held where others have theirs: it stays there.

    Raises WrongSite.
    """
    if not mirror.roots or not (root := await state.fact("root")):
        return
    claim_root(mirror, root)
    for folder, other in mirror.roots.inner.items():
        text = f"{folder}/ belongs to the mirror {other}: nothing is uploaded or deleted there"
        if mirror.report.note(text):
            name = odd_names.folded(folder)
            alike = {each for each in await state.held.folders() if odd_names.folded(each) == name}
            for each in alike | {folder}:
                await state.held.void(each)


def _see_root(mirror: Mirror, selection: Selection) -> None:
    """Take the root that a session is in. Raises WrongSite, or Apart if the pass began without what is known now."""
    root = mirror.facts.value(_account(mirror), ROOT)
    if not isinstance(root, str):
        return
    claim_root(mirror, root, str(mirror.facts.value(_account(mirror), PLACE) or ""))
    if mirror.selection.apart != selection.apart:
        raise Apart(root)


async def crew_for(
    mirror: Mirror,
    source: bytes,
    state: AwaitableState,
    memory: AwaitableMemory,
    *,
    room: Room,
    selection: Selection,
    stop: Stop,
    patience: Patience,
) -> MirrorCrew:
    """Put a crew together, as large as the settings say and the server was seen to allow."""
    mode = Mode("S", 1) if mirror.dry_run else mirror.mode
    known = await memory.recall(mirror.settings.site.server)
    mirror.facts.renew(known or mirror.facts.lasting())

    async def keep(item: Item, what: Entry | Shapes) -> None:
        if not isinstance(item, Job):
            return
        try:
            if isinstance(what, Shapes):
                await state.journal.note_shapes(what.path, item.token, what.shapes)
            else:
                await state.journal.add_candidate(what.path, item.token, what)
        except StateError as error:
            crew.door.fail(error)
            raise

    crew = Crew(
        await _hands(mirror, source, state),
        mode,
        stop,
        patience,
        watcher=Watch(mirror.report, room),
        cap=mirror.broker.share(_account(mirror), _cap(mirror, mode)),
        terms=Terms(
            wait_for=mirror.pace.wait_for if mirror.pace.piece else None,
            keep=keep,
            wanted=room.takes_item,
            opened=partial(_see_root, mirror, selection),
            kept=state.blocking.descriptors,
        ),
        parking=mirror.parking if mode.is_near else None,
    )
    return crew


def _kind_of_hands(mirror: Mirror) -> type[Hands]:
    if not mirror.dry_run:
        return Hands
    from async_mirror.jobs.dry_run import DryHands  # noqa: PLC0415 - a pass that is none needs much less

    return DryHands


async def _hands(mirror: Mirror, source: bytes, state: AwaitableState) -> Hands:
    settings = mirror.settings
    holds = await state.held.is_anything()
    root = await state.fact("root")
    return _kind_of_hands(mirror)(
        connect=mirror.connect,
        site=settings.site,
        password=mirror.password,
        timeout_seconds=settings.timeout_seconds,
        publisher=Publisher(
            source,
            state.blocking.id,
            settings.perms,
            mirror.pace.piece,
            shape=settings.shape,
            existing=settings.existing,
            in_place=settings.in_place,
            timeout_seconds=settings.timeout_seconds,
            existing_equal=settings.existing_equal,
        ),
        create_root=not holds and not mirror.dry_run,
        expected_root=root or "",
        facts=mirror.facts,
    )


def _cap(mirror: Mirror, mode: Mode) -> FixedCap | Climb:
    most = mirror.facts.number(_account(mirror), _LIMIT) or MOST_LANES
    if mode.lanes:
        return FixedCap(min(mode.lanes, most))
    return Climb(min(mirror.max_connections, most), mirror.facts.number(_account(mirror), _FOUND))


def shape_of_temporaries(mirror: Mirror) -> int:
    """Return the shape of temporary names: the one that was asked for, or that the account is known to take."""
    asked = mirror.settings.shape
    return known_shape(mirror.facts, _account(mirror)) if asked is None else asked


def _account(mirror: Mirror) -> str:
    return f"account {mirror.settings.site.account}"


async def remember(mirror: Mirror, memory: AwaitableMemory) -> None:
    """Keep what was found out about the server lately, and tell of it."""
    news = mirror.facts.news()
    if news:
        await memory.learn(mirror.settings.site.server, news)
    for text, is_note in dict.fromkeys((fact.told, fact.is_note) for fact in news if fact.told):
        (mirror.report.note if is_note else mirror.report.found_out)(text)


def learn_limits(crew: MirrorCrew, mirror: Mirror) -> None:
    """Learn how many connections are right, as the crew has found."""
    account = _account(mirror)
    if crew.door.refused:
        most = min(crew.door.most_open + crew.door.limits.beside, crew.door.limits.own.lanes)
        told = f"the server allows only {plural(most, 'connection')}: no more are opened for an hour"
        mirror.facts.find(Fact(account, _LIMIT, most, LIMIT_LASTS_S, told=told, is_note=True))
    cap = crew.door.limits.own
    if isinstance(cap, Climb) and cap.found:
        mirror.facts.find(Fact(account, _FOUND, cap.found, CONNECTIONS_LAST_S))


def learn_one_for_two(mirror: Mirror, path: str, double: str) -> None:
    """Learn that the server takes two names for one."""
    told = "the server ignores case or Unicode form in names: only one of two such names is mirrored"
    fact = Fact(_account(mirror), _one_for_two(path, double), 1, NAMES_LAST_S, told=told, is_note=True)
    mirror.facts.find(fact)


def takes_for_one(mirror: Mirror, path: str, double: str) -> bool:
    """Tell whether the server is known to take two names for one."""
    return bool(mirror.facts.number(_account(mirror), _one_for_two(path, double)))


_ALTERED = {
    TIMES: "this server rounds modification times to two seconds: they are compared with that precision",
    ALL_TIMES: "this server accepts modification times but does not show them as set: files are compared by size",
    "case": "this server changes upper and lower case in names: its spelling is accepted",
    "form": "this server changes the Unicode form of names: its spelling is accepted",
}
"""What a server was seen to alter of what it was sent, and how that is told."""


def learn_altered(mirror: Mirror, altered: Iterable[str]) -> None:
    """Learn what the server alters of what it is sent."""
    for what in altered:
        mirror.facts.find(Fact(_account(mirror), f"alters {what}", 1, NAMES_LAST_S, told=_ALTERED[what], is_note=True))


def _one_for_two(path: str, double: str) -> str:
    return f"one name for two: {odd_names.differ_in(paths.split(path)[1], paths.split(double)[1])}"
