"""One pass: its phases, one after the other. Leaves how many things are done at once to `multi`."""

from functools import partial

from async_mirror.crew.stop import Stop
from async_mirror.planning.examination import Examination
from async_mirror.planning.folder_renames import Renamed
from async_mirror.planning.inodes import Inodes
from async_mirror.planning.planner import Planner, Planning
from async_mirror.planning.scope import EVERYTHING, Scope
from async_mirror.source.mounts import mounts
from async_mirror.source.opened_folder import OpenedFolder
from async_mirror.state.awaitable import AwaitableState
from async_mirror.sync.adoption import Adoption
from async_mirror.sync.context import Context
from async_mirror.sync.deletions import Deletions
from async_mirror.sync.feed import Feed, Jobs
from async_mirror.sync.guards import Guards
from async_mirror.sync.mirror import Mirror, learn_limits, remember
from async_mirror.sync.publishing import Publishing
from async_mirror.sync.recovery import Recovery
from async_mirror.sync.settlement import Settlement

PLANNER = 3
"""To be counted up when a listing may be planned otherwise than before: what was in step may be so no longer."""


class Pass:
    """One pass: its phases, put together from what they share."""

    def __init__(
        self, mirror: Mirror, state: AwaitableState, stop: Stop, root: OpenedFolder, scope: Scope = EVERYTHING
    ) -> None:
        """Prepare a pass over an open source, or what of it is in the scope."""
        self._context = context = Context(mirror, root, state, stop, scope)
        settings, selection = context.settings, context.selection
        jobs, feed, guards = Jobs(context), Feed(context), Guards(context)
        renamed, inodes = Renamed(root, state.blocking, selection), Inodes(state.blocking, partial(mounts, root))
        planner = Planner(
            root,
            state.blocking,
            settings,
            selection,
            renamed=renamed,
            inodes=inodes,
            names_all=mirror.report.names_excluded,
            scope=scope,
        )
        self._examination = Examination(root, state, settings, inodes, stop, half_read=mirror.half_read)
        self._deletions = Deletions(context, guards, jobs, feed)
        self._recovery = Recovery(context, self._deletions)
        self._adoption = Adoption(context)
        self._publishing = Publishing(
            context,
            jobs,
            feed,
            guards=guards,
            deletions=self._deletions,
            planning=Planning(planner, state.off_loop),
            renamed=renamed,
            examination=self._examination,
        )
        self._settlement = Settlement(context, self._publishing, self._examination)

    async def run(self) -> None:
        """Run the pass. Raises StateError or RemoteError when it cannot go on; all else is reported."""
        try:
            await self._run()
        finally:
            if self._context.stop.requested and not self._context.mirror.dry_run:
                await self._recovery.clean_up()

    async def _run(self) -> None:
        context, mirror, settings = self._context, self._context.mirror, self._context.settings
        context.site.has_root = bool(await context.state.fact("root"))
        rules = f"{PLANNER} {context.selection.rules} {settings.perms} {settings.ctime}"
        await context.state.held.keep_rules(rules)
        crew = await context.crew(context.stop, mirror.patience)
        try:
            async with crew:
                await self._recovery.run(crew)
                await self._adoption.run(crew)
                await self._publishing.run(crew)
                if not context.stop.requested:
                    await self._deletions.run(crew)
                    await self._settlement.run(crew)
            if context.scope.is_whole and not mirror.dry_run:
                await self._examination.digest()
        finally:
            self._settlement.tell_room()
            counts = context.report.counts
            counts.connections += crew.door.opened + crew.door.resumed
            counts.at_once = max(counts.at_once, crew.door.most_open)
            learn_limits(crew, mirror)
            await remember(mirror, context.memory)
