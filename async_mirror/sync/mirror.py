"""What stays the same from pass to pass, and the crew that is put together from it. Knows neither changes nor plans."""

import math
from dataclasses import dataclass, field

from async_mirror.crew.cap import Climb
from async_mirror.crew.off_loop import Offload
from async_mirror.crew.stop import Stop
from async_mirror.jobs.attempt import Publisher
from async_mirror.jobs.bandwidth import Pace
from async_mirror.jobs.dry_run import DryHands
from async_mirror.jobs.perform import Answer, Hands, Item
from async_mirror.model.change import Job
from async_mirror.model.entry import Entry
from async_mirror.model.secret import Secret
from async_mirror.model.selection import Selection
from async_mirror.model.settings import Settings
from async_mirror.multi import MOST_LANES, Crew, FixedCap, Mode, Patience
from async_mirror.remote.session import Connect, Manners, RootedSession
from async_mirror.state.server_memory import Hosts
from async_mirror.state.store import State
from async_mirror.sync.lane_progress import Watch
from async_mirror.sync.room import Room
from async_mirror.ui.report import Report
from async_mirror.ui.text import plural

MAX_CONNECTIONS = 16
LIMIT_LASTS_SECONDS = 3600.0
MANNERS_LAST_SECONDS = 30 * 86400.0

MirrorCrew = Crew[RootedSession, Item, Answer]


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
    hosts: Hosts = field(default_factory=Hosts)
    pace: Pace = field(default_factory=Pace)
    manners: Manners = field(default_factory=Manners)
    dry_run: bool = False
    resurvey: bool = False

    @property
    def selection(self) -> Selection:
        """What of the source is mirrored."""
        settings = self.settings
        return Selection(settings.max_depth, settings.excluded_extensions, settings.patterns)


async def crew_for(
    mirror: Mirror, source: bytes, state: State, offload: Offload, room: Room, *, stop: Stop, patience: Patience
) -> MirrorCrew:
    """Put a crew together, as large as the settings say and the server was seen to allow."""
    mode = Mode("S", 1) if mirror.dry_run else mirror.mode

    async def keep(item: Item, version: Entry) -> None:
        if isinstance(item, Job):
            await offload(state.add_candidate, version.path, item.token, version)

    return Crew(
        await _hands(mirror, source, state, offload),
        mode,
        stop,
        patience,
        watcher=Watch(mirror.report, room),
        cap=await _cap(mirror, mode, offload),
        wait_for=mirror.pace.wait_for if mirror.pace.piece else None,
        keep=keep,
        kept=state.descriptors,
        wanted=room.takes_item,
    )


async def _hands(mirror: Mirror, source: bytes, state: State, offload: Offload) -> Hands:
    settings = mirror.settings
    holds = await offload(state.holds_anything)
    root = await offload(state.fact, "root")
    if mirror.manners.in_order is None:
        known = await offload(mirror.hosts.number, settings.site.account, "in order", MANNERS_LAST_SECONDS)
        mirror.manners.in_order = bool(known - 1) if known else None
    make = DryHands if mirror.dry_run else Hands
    return make(
        connect=mirror.connect,
        site=settings.site,
        password=mirror.password,
        timeout_seconds=settings.timeout_seconds,
        publisher=Publisher(source, state.id, settings.perms, mirror.pace.piece),
        create_root=not holds and not mirror.dry_run,
        expected_root=root or "",
        manners=mirror.manners,
    )


async def _cap(mirror: Mirror, mode: Mode, offload: Offload) -> FixedCap | Climb:
    account = mirror.settings.site.account
    most = await offload(mirror.hosts.number, account, "most connections", LIMIT_LASTS_SECONDS) or MOST_LANES
    if mode.lanes:
        return FixedCap(min(mode.lanes, most))
    found = await offload(mirror.hosts.number, account, "connections", math.inf)
    return Climb(min(mirror.max_connections, most), found)


async def remember_limits(crew: MirrorCrew, mirror: Mirror, offload: Offload) -> None:
    """Remember what the crew learned about this server: how many connections are right, whether it works in order."""
    account = mirror.settings.site.account
    if mirror.manners.in_order is not None and crew.opened:
        await offload(mirror.hosts.learn, account, "in order", 1 + mirror.manners.in_order)
    if crew.refused:
        mirror.report.note(
            f"the server allows no more than {plural(crew.most_open, 'connection')}; that is kept in mind for an hour"
        )
        await offload(mirror.hosts.learn, account, "most connections", crew.most_open)
    if isinstance(crew.limits, Climb) and crew.limits.found:
        await offload(mirror.hosts.learn, account, "connections", crew.limits.found)
