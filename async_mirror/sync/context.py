"""What the phases of a pass share: the mirror, what becomes known of the site, what waits. Does nothing by itself."""

from dataclasses import dataclass, field

from async_mirror.crew.patience import Patience
from async_mirror.crew.stop import Stop
from async_mirror.jobs.adopt import Compared
from async_mirror.model import paths
from async_mirror.model.change import (
    CHANGED,
    MISSING,
    REPLACES,
    Change,
    MakeFolder,
    Move,
    SendFile,
    SetAttributes,
)
from async_mirror.model.entry import Entry
from async_mirror.model.plan import Swap
from async_mirror.planning.scope import EVERYTHING, Scope
from async_mirror.source.opened_folder import OpenedFolder
from async_mirror.state.awaitable import AwaitableMemory, AwaitableState
from async_mirror.sync.folder_gates import Gates
from async_mirror.sync.mirror import Mirror, MirrorCrew, crew_for
from async_mirror.sync.room import Room


class SiteKnown:
    """What this pass knows of the site: what has been seen there, and what is unknown. Pure."""

    def __init__(self) -> None:
        """Begin with nothing known."""
        self.has_root = False
        """True if the state knows which folder of the server the site is."""
        self.listed: dict[str, bool] = {}
        """The folders of which it is known what they hold, and whether that is so of names with a dot, too."""
        self.unseen: set[str] = set()
        """The folders that could not be looked at."""
        self.unsettled: set[str] = set()
        """The paths of which it could not be found out what an earlier run has done there."""
        self.in_doubt: set[str] = set()
        self.freed: set[str] = set()
        """The paths that something of another kind had until it was removed in this pass."""
        self.missing: set[str] = set()
        """The folders that turned out not to be there."""
        self.voided: set[str] = set()
        """Those of them of which the state knows it."""
        self._differing: set[str] = set()
        self._unsure: set[str] = set()
        self._changed: dict[str, str] = {}

    def is_unsettled_below(self, folder: str) -> bool:
        """Tell whether something at or below a path could not be looked at."""
        return any(paths.is_inside(each, folder) for each in self.unsettled)

    @property
    def newly_missing(self) -> set[str]:
        """The folders that are missing, and of which the state does not know it yet."""
        return self.missing - self.voided

    def saw(self, compared: Compared) -> None:
        """Learn from the listing of a folder."""
        self._differing.update(compared.differing)
        self._unsure.update(compared.unsure)
        self._changed.update(dict.fromkeys(compared.changed, CHANGED))
        self._changed.update(dict.fromkeys(compared.lost, MISSING))
        if compared.complete:
            self.listed[compared.folder] = self.listed.get(compared.folder, False) or compared.shows_dot_names

    def explained(self, change: SendFile) -> SendFile:
        """Give as the reason of an upload what was seen of the file when the site was looked at, if anything was."""
        path = change.entry.path
        if path in self.in_doubt:
            return change._replace(compares=False) if change.compares else change
        why = REPLACES if path in self._differing else self._changed.get(path)
        return change._replace(why=why) if why else change

    def asking(self, change: Change) -> Change:
        """Have the site asked before a name is used that may be taken or free."""
        if not isinstance(change, SendFile | MakeFolder | Move) or (isinstance(change, SendFile) and change.held):
            return change
        path = change.entry.path
        if change.why == REPLACES or path in self.in_doubt or path in self.freed or self._lists(path):
            return change
        return change._replace(asks=True)

    def _lists(self, path: str) -> bool:
        """Tell whether what was listed shows for sure what has a name, if anything has."""
        folder, name = paths.split(path)
        shows_dot_names = self.listed.get(folder)
        if shows_dot_names is None or (name[:1] == "." and not shows_dot_names):
            return False
        return path not in self._differing and path not in self._unsure


@dataclass
class SetAside:
    """What waits until the whole picture is there."""

    moves: list[Move] = field(default_factory=list)
    doubles: list[SendFile] = field(default_factory=list)
    """Files whose names differ from others in case or Unicode form alone."""
    swaps: list[Swap] = field(default_factory=list)
    modes: list[SetAttributes] = field(default_factory=list)
    uncompared: list[SendFile] = field(default_factory=list)
    """Files that may be others, and cannot be compared with the site."""
    at_risk: list[Entry] = field(default_factory=list)
    """What a rename or a removal may have taken from the site."""


class Context:
    """What stays the same during a pass, and what its phases tell each other."""

    def __init__(
        self, mirror: Mirror, root: OpenedFolder, state: AwaitableState, stop: Stop, scope: Scope = EVERYTHING
    ) -> None:
        """Begin a pass over an open source."""
        self.scope = scope
        self.mirror = mirror
        self.settings = mirror.settings
        self.selection = mirror.selection
        self.report = mirror.report
        self.root = root
        self.state = state
        self.memory = AwaitableMemory(mirror.memory, state.off_loop)
        self.stop = stop
        self.disk = mirror.disks.of(root.device)
        self.site = SiteKnown()
        self.gates = Gates()
        self.room = Room()
        self.aside = SetAside()

    async def crew(self, stop: Stop, patience: Patience) -> MirrorCrew:
        """Put a crew together."""
        return await crew_for(
            self.mirror,
            self.root,
            self.state,
            self.memory,
            room=self.room,
            selection=self.selection,
            stop=stop,
            patience=patience,
        )
