"""The files on the server, and the laws that hold for them at every moment. Knows neither FTP nor the program."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field

from .kinds import Kind
from .local import Local
from .world import World

ROOT = b"/www"
_SHOWN = 300


class No(Exception):
    """The file system of the server refuses."""


@dataclass
class Node:
    """A file, or a folder if `content` is None."""

    path: bytes
    content: bytes | None
    mtime: float
    mode: int
    others: bool = False
    """True if somebody else put it there."""
    replaces_ours: bool = False
    """True if somebody else put it, or its origin, in the place of ours."""
    whole: bool = True
    put_at: float = -1.0
    """When somebody else put it there."""
    set_aside_from: bytes = b""
    is_dated: bool = False
    """True once its time was set."""
    is_undated: bool = False
    """True once that was refused, of this one alone."""


@dataclass
class Site:
    """A tree by path; `ours` are the paths that the program has made, `taken` those of them that somebody removed."""

    world: World
    kind: Kind
    local: Local
    nodes: dict[bytes, Node] = field(default_factory=dict)
    ours: set[bytes] = field(default_factory=set)
    taken: set[bytes] = field(default_factory=set)
    pass_began: float = 0.0
    """When the pass began that sent what is done just now: a session that is lost may do it in a later one."""
    renames_refused: int = 0
    """How often something could not be renamed that bears its final name."""

    def __post_init__(self) -> None:
        for path in (b"/", ROOT):
            self.nodes[self.key(path)] = Node(path, None, self.world.wall, 0o755, others=True)

    def key(self, path: bytes) -> bytes:
        if self.kind.heeds_case:
            return path
        text = path.decode("utf-8", "surrogateescape")
        return unicodedata.normalize("NFC", text).casefold().encode("utf-8", "surrogateescape")

    def find(self, path: bytes) -> Node | None:
        return self.nodes.get(self.key(path))

    def inside(self, folder: bytes) -> list[Node]:
        start = self.key(folder).rstrip(b"/") + b"/"
        found = [node for key, node in self.nodes.items() if key.startswith(start) and key != start]
        return sorted(found, key=lambda node: node.path)

    def children(self, folder: bytes) -> Iterator[Node]:
        depth = folder.rstrip(b"/").count(b"/") + 1
        return (node for node in self.inside(folder) if node.path.count(b"/") == depth)

    # What the program does.

    def begin_file(self, path: bytes) -> Node:
        """Begin to write a file: from now on it is empty, and not whole."""
        self._needs_parent(path)
        self._may_be_called(path)
        there = self.find(path)
        if there and there.content is None:
            raise No("Is a directory")
        if self._is_final(path) and not self.kind.in_place:
            self.world.found("old or new, never half", f"{shown(path)} is written in place")
        self._touches(there, "is overwritten")
        node = Node(there.path if there else path, b"", self.world.wall, 0o644, whole=False)
        self.nodes[self.key(path)] = node
        self.ours.add(self.key(path))
        return node

    def end_file(self, node: Node, *, whole: bool) -> None:
        node.whole = whole
        node.mtime = self.world.wall

    def rename(self, old: bytes, new: bytes) -> None:
        try:
            self._rename(old, new)
        except No:
            self.renames_refused += self._is_final(old)
            raise

    def _rename(self, old: bytes, new: bytes) -> None:
        node, there = self.find(old), self.find(new)
        if node is None:
            raise No("No such file or directory")
        self._needs_parent(new)
        self._may_be_called(new)
        if there is not None and there is not node:
            if there.content is None or node.content is None or not self.kind.renames_over:
                raise No("File exists")
            self._touches(there, "is renamed onto")
        below = self.inside(old) if node.content is None else []
        if node.content is None and (self.key(new) + b"/").startswith(self.key(old) + b"/") and there is not node:
            raise No("Invalid argument")
        for each in (node, *below):
            # Where case is ignored, what is found by either name stays where it is.
            if there is not node and not self._came_meanwhile(each):
                self._touches(each, f"is renamed, with {shown(old)} to {shown(new)}")
            del self.nodes[self.key(each.path)]
            self._let_go(each.path)
        for each in (node, *below):
            origin = each.path
            each.path = new + origin[len(old) :]
            self.nodes[self.key(each.path)] = each
            self.ours.add(self.key(each.path))
            self._is_back(each.path)
            self._arrives(each, origin if each is node else b"")

    def _arrives(self, node: Node, origin: bytes) -> None:
        """See that what bears a final name now is a whole version of some file."""
        if node.content is None:
            return
        if not self._is_final(node.path):
            if origin and self._is_final(origin):
                node.set_aside_from, node.replaces_ours = origin, node.replaces_ours or node.others
            return
        node.set_aside_from = b""
        known = node.content in self.local.contents or node.others
        if not (node.whole and known):
            self.world.found("old or new, never half", f"{shown(node.path)} is {shown_content(node.content)}")

    def remove_file(self, path: bytes) -> None:
        node = self.find(path)
        if node is None or node.content is None:
            raise No("No such file or directory" if node is None else "Is a directory")
        self._touches(node, "is deleted")
        origin = node.set_aside_from
        if origin and self.find(origin) is None and self.local.has(origin[len(ROOT) + 1 :]):
            self.world.found(
                "set aside until the new one stands", f"{shown(origin)} is absent, and what was set aside is deleted"
            )
        self._drop(node)

    def sees_source(self, path: bytes) -> None:
        """See that there is a source, or was one when the pass began that removes something."""
        for source, since in self.local.away_since.items():
            is_there = source and self.local.has(source)
            if (
                not is_there
                and path.startswith(ROOT + b"/" + source)
                and self.pass_began > since
                and self._is_final(path)
            ):
                self.world.found("without a source nothing is deleted", f"{shown(path)} is deleted")

    def make_folder(self, path: bytes) -> None:
        if self.find(path):
            raise No("File exists")
        self._needs_parent(path)
        self._may_be_called(path)
        self.nodes[self.key(path)] = Node(path, None, self.world.wall, 0o755)
        self.ours.add(self.key(path))
        self._is_back(path)

    def begin_anew(self, folder: bytes) -> None:
        """Excuse nothing any more that was taken from a folder which is made by one who waits: nothing is in it."""
        for path in [each for each in self.taken if each.startswith(folder + b"/")]:
            self._is_back(path)

    def remove_folder(self, path: bytes) -> None:
        node = self.find(path)
        if node is None or node.content is not None:
            raise No("No such file or directory")
        below = self.inside(path)
        if below and not self.kind.removes_full_folders:
            raise No("Directory not empty")
        for each in (*below, node):
            if not self._came_meanwhile(each):
                self._touches(each, f"is removed with {shown(path)}")
            self._drop(each)

    # What others do.

    def put(self, path: bytes, content: bytes, *, mtime: float) -> None:
        """Somebody puts a file there, whatever there was."""
        there = self.find(path)
        parent = self.find(path.rpartition(b"/")[0] or b"/")
        if parent is None or parent.content is not None or (there and there.content is None):
            return
        ours = self.key(path) in self.ours
        name = there.path if there else path
        self.nodes[self.key(path)] = Node(name, content, mtime, 0o644, others=True, replaces_ours=ours)
        self.nodes[self.key(path)].put_at = self.world.now
        self.world.note(f"   others put {shown(path)} {content!r}")

    def take(self, path: bytes) -> None:
        """Somebody removes what is there, with all below it."""
        node = self.find(path)
        if node is None:
            return
        gone = {self.key(each.path) for each in (*self.inside(path), node)}
        self.taken |= gone
        for each in gone:
            del self.nodes[each]
        for aside in self.nodes.values():
            if self.key(aside.set_aside_from) in gone:
                aside.set_aside_from = b""  # the new one has stood
        self.world.note(f"   others remove {shown(path)}")

    # Laws.

    def torn(self) -> list[bytes]:
        """Return the final paths at which there is no whole version of anything."""
        files = [node for node in self.nodes.values() if node.content is not None and not node.others]
        torn = [node.path for node in files if not (node.whole and node.content in self.local.contents)]
        return [path for path in torn if self._is_final(path)]

    def _came_meanwhile(self, node: Node) -> bool:
        """Tell whether it was put there since that pass began: who looks first cannot see what comes after."""
        return node.put_at >= self.pass_began

    def _may_be_called(self, path: bytes) -> None:
        if not self.kind.dot_names and b"/." in path:
            raise No("Prohibited name")

    def _needs_parent(self, path: bytes) -> None:
        parent = self.find(path.rpartition(b"/")[0] or b"/")
        if parent is None or parent.content is not None:
            raise No("No such file or directory")

    def _touches(self, node: Node | None, what: str) -> None:
        """See that what goes away is not somebody else's, whose name the source never had."""
        if node is None or not node.others or node.replaces_ours:
            return
        if not self._ever_local(node.path):
            self.world.found("nothing of others", f"{shown(node.path)} {what}")

    def _is_final(self, path: bytes) -> bool:
        return self._ever_local(path)

    def _ever_local(self, path: bytes) -> bool:
        key = self.key(path)
        return any(self.key(ROOT + b"/" + each) == key for each in self.local.ever)

    def _drop(self, node: Node) -> None:
        del self.nodes[self.key(node.path)]
        self._let_go(node.path)

    def _let_go(self, path: bytes) -> None:
        self.ours.discard(self.key(path))
        self._is_back(path)

    def _is_back(self, path: bytes) -> None:
        """Where case is ignored another one may be there instead, which the program has no reason to look for."""
        if self.kind.heeds_case:
            self.taken.discard(path)


def shown(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")


def shown_content(content: bytes | None) -> str:
    """Return a content as a person reads it: of a large one where it begins to be another than at its beginning."""
    if content is None or len(content) <= _SHOWN:
        return repr(content)
    other = next((place for place in range(0, len(content), 5) if content[place : place + 5] != content[:5]), 0)
    return f"{content[:5]!r} (from {other} on {content[other : other + 5]!r}, {len(content)} bytes)"
