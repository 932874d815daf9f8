"""Plays one history to its end, and says which law was broken. The laws of the end are here, the others in `site`."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path

from . import package
from .durable import Durable
from .events import Events
from .history import SITE_ACTS, History
from .kernel import Inotify, Kernel
from .local import INNER, Act, Local
from .loop import VirtualLoop
from .old_state import make_old
from .outside import OUTSIDE_ACTS, Outside
from .server import FtpServer
from .site import ROOT, Node, Site, shown, shown_content
from .staying import EVERY_S, Staying
from .wire import Life
from .world import Found, Killed, World

QUIET_SECONDS = 900.0
LONGEST_SECONDS = 120
_OTHER_SPELLING = "an existing folder keeps its name, which differs from the source only in case"
_COARSE_S = 2
"""Times so near to each other may be one to some sites."""
_FORETOLD = ("created_folders", "uploaded_files", "renamed", "changed_modes", "deleted_files", "deleted_folders")
_numbers = itertools.count()


@dataclass
class Verdict:
    """What came of a history; `law` is "" if nothing was found."""

    law: str
    how: str
    transcript: list[str]
    coverage: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def trivial(self) -> bool:
        return not self.coverage


class Stage:
    """A source, a site and the program's states, in a folder of their own."""

    def __init__(self, history: History, base: Path) -> None:
        self.history = history
        self.home = base
        self.folder = base / f"h{next(_numbers)}"
        self.folder.mkdir()
        self.world = World(history.seed)
        self.source = self.folder / "source"
        self.local = Local(self.world, self.source, alike=history.alike)
        for path in ["k", *[f"{INNER}/k"] * history.inner]:
            self.local.do(("write", path, "5", "old"))
        self.site = Site(self.world, history.kind, self.local)
        self.events = Events(self.world, self.do)
        self.events.kill = self.kill
        self.server = FtpServer(self.world, history.kind, self.site, self.events, history.connections)
        self.server.inner = self.inner
        self.server.may_begin = self._may_begin
        self.lives: list[Life] = []
        self.deaths = 0
        self.durable: Durable | None = None
        self.told_of_spelling = False
        """True once it was told that a folder of others keeps a name that is spelled otherwise."""
        self.marks: dict[bytes, tuple[int, ...]] | None = None
        """What the source was like when the last pass began, where the program watches and did not end since."""
        self.may_lose_power = "power" in {each.fault for phase in history.phases for each in phase.incidents}
        self.kernel = Kernel(self.world, os.fsencode(self.folder), self.local.stat_of)
        self.outside = Outside(
            self.world, self.kernel, command=self._command, configure=self._configure, kill=self.kill
        )
        if self.history.inner or self.history.stays:
            self.mirrors.configure()
        self.room = self.outside.room if any(act[0] == "disk" for act in history.acts()) else None

    @property
    def inner(self) -> bytes:
        """Where on the site the inner mirror is, if there is one."""
        return ROOT + b"/" + INNER.encode() if self.history.inner else b""

    @property
    def state(self) -> Path:
        return self.folder / f"state{self.deaths}"

    def do(self, act: Act) -> None:
        """Do what the history says, to the source, to the site, or to what is around the program."""
        if act[0] in OUTSIDE_ACTS | {"source"}:
            self.events.coverage[act[0], f"{self.events.phase or 'first'} beside"] += 1
        if act[0] in OUTSIDE_ACTS:
            self.outside.do(act)
            return
        if act[0] not in SITE_ACTS:
            self.local.do(act)
            self.kernel.look()
            return
        verb, path = act[0], ROOT + b"/" + act[1].encode("utf-8", "surrogateescape")
        if verb == "take":
            self.site.take(path)
        elif verb == "put":
            self.site.put(path, b"of others", mtime=self.world.wall - 777)
        else:
            self.site.put(path, self._like(act[1], path), mtime=self.world.wall - 1_234_567)

    def _like(self, name: str, path: bytes) -> bytes:
        """Return a content that is like the one at a path by size alone."""
        local = self.local.at(name.encode("utf-8", "surrogateescape"))
        there = self.site.find(path)
        try:
            size = len(Path(local.decode("utf-8", "surrogateescape")).read_bytes())
        except OSError:
            size = len(there.content or b"") if there else 5
        return b"#" * size

    def kill(self, how: str) -> None:
        """Kill the program: what it has committed stays ("power": what is on the disk), what it has sent arrives."""
        life = self.lives[-1]
        if life.dead:
            return
        self.world.note("   killed")
        before = self.durable.survivors() if how == "power" and self.durable else self.state
        self.deaths += 1
        if before.exists():
            shutil.copytree(before, self.state)
        if life.loop:
            life.remains = asyncio.all_tasks(life.loop)
        life.end()

    def _command(self, what: str) -> int:
        return package.ask(what, self.mirrors)

    def _may_begin(self) -> bool:
        """False in a pass for whose state there was no room from its beginning."""
        return (since := self.outside.full_since) is None or since >= self.server.pass_began

    def _configure(self, what: str) -> None:
        every = EVERY_S // 2 if what == "sooner" else EVERY_S
        self.mirrors.configure(every=every, broken=what == "broken", twice=what == "twice")

    @property
    def mirrors(self) -> package.Mirrors:
        return package.Mirrors(
            self.source, self.state, self.home, INNER * self.history.inner, in_file=self.history.stays
        )

    @property
    def is_watched(self) -> bool:
        """True if passes look at what was touched alone, where the one before went well: in each third history."""
        return self.history.seed % 3 == 2 and not self.history.inner

    def run_over_changes(self) -> package.Result | None:
        """Run a pass, over what was touched since the last one began if the program watches; None if it was killed."""
        touched = None if self.marks is None else self.local.touched_since(self.marks)
        marks = self.local.marks()
        result = self.run(touched=touched)
        self.marks = marks if self.is_watched and result and result.is_pass and result.code in {0, 1} else None
        return result

    def run(
        self,
        *more: str,
        touched: frozenset[str] | None = None,
        meanwhile: Callable[[Life], None] | None = None,
    ) -> package.Result | None:
        """Run a pass, with more options; None if it was killed. With something to do `meanwhile` the program stays."""
        life = Life(self.world, self.server)
        self.lives.append(life)
        life.loop = loop = VirtualLoop(self.world, life)
        self.outside.life = life
        Inotify.kernel = self.kernel
        if meanwhile:
            self.world.after(0.0, meanwhile, life)
        life.at_work, life.at_piece = self.events.at_work, self.events.at_piece
        options = ["--multi", f"A{self.history.connections}", "--timeout", "5", "--retries", "3"]
        options += ["--max-delete", "100%", *self.history.options, *more]
        options += ["--in-place"] * self.history.kind.in_place
        self.server.pass_began = self.world.now
        was_paused, sessions = self.outside.is_paused, len(self.server.sessions)
        self.world.note(f"-- the program begins{'' if touched is None else f', told of {sorted(touched)}'}")
        try:
            self.durable = Durable(self.state, self.folder / "durable") if self.may_lose_power else None
            result = package.sync(
                loop,
                self.mirrors,
                options,
                durable=self.durable,
                room=self.room,
                touched=touched,
                stays=meanwhile is not None,
            )
        except Killed as killed:
            self.hear(killed.log)
            return None
        except Found as found:
            self.hear(found.log)
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it was not to be
            self.world.found("no traceback", f"{type(error).__name__}: {error}")
        finally:
            life.dead = True
            self.kernel.forget()
        self.hear(result.log)
        self.world.note(f"-- exit {result.code} {result.problems}")
        begun = len(self.server.sessions) - sessions
        if was_paused and self.outside.is_paused and not meanwhile and begun:
            self.world.found("nothing is done while it is paused", f"{begun} sessions")
        if loop.troubles or package.OWN_ERROR in result.problems:
            self.world.found("no traceback", f"{loop.troubles} {result.log}")
        return result

    def hear(self, log: str) -> None:
        """Note what the program says."""
        for line in log.splitlines():
            said = line[21:].replace(str(self.source), "SOURCE").replace(str(self.folder), "FOLDER")
            self.world.note(f"   says {said}")
        self.learn(log)

    def learn(self, log: str) -> None:
        """Learn from what was said what a user knows."""
        self.told_of_spelling = self.told_of_spelling or _OTHER_SPELLING in log

    def play(self) -> None:
        """Play all phases, and then see what comes of it in quiet."""
        if self.history.stays:
            Staying(self).play()
        else:
            self._play_phases()
        self.world.rest(QUIET_SECONDS)
        if self.history.inner:
            self._see_that_others_are_not_disturbed()
        self.end_trouble()
        self._converge()

    def end_trouble(self) -> None:
        """Let nothing be in the program's way any more."""
        self.local.come_back()
        self.local.inner_comes_back()
        self.kernel.look()
        if self.history.inner or self.history.stays:
            self.mirrors.configure()
        self.outside.end_trouble()

    def _play_phases(self) -> None:
        killed = False
        for number, phase in enumerate(self.history.phases):
            for act in phase.acts:
                self.do(act)
            self.world.rest(phase.seconds)
            self.events.begin(phase.incidents, "recovery" if killed else "later" if number else "first")
            result = self.run_over_changes()
            self.events.end()
            killed = result is None
            if self.history.old_state and not (number or killed):
                self.world.note(f"-- the state is one of version 1: {make_old(self.state)}")
            self._see_that_torn_ones_are_known()

    def _see_that_others_are_not_disturbed(self) -> None:
        """With the inner mirror in trouble for good, the outer one does what it does alone."""
        self.end_trouble()
        match self.history.seed % 3:
            case 0:
                self.local.do(("source", "inner away"))
            case 1:
                self.outside.do(("ask", f"pause {INNER}"))
            case _:
                self.mirrors.configure(wrong=True)
        for _ in range(2):
            code = self._code()
            self.world.rest(QUIET_SECONDS)
        self.compare(code, but=self.inner)

    def _see_that_torn_ones_are_known(self) -> None:
        """Where no pass is under way, a file that is not whole is one that the state holds as that."""
        torn = [path[len(ROOT) + 1 :] for path in self.site.torn()]
        if torn and (unknown := package.believed(self.state, torn)):
            self.world.found("what is torn is known", f"{shown(unknown[0])} is torn, and the state says nothing of it")

    def _converge(self) -> None:
        """In quiet two passes make both equal, and the third has nothing to do."""
        self.world.note("-- quiet")
        self._see_that_torn_ones_are_known()
        replaced = any(node.replaces_ours for node in self.site.nodes.values())
        robbed = replaced or bool(self.site.taken)  # what somebody has taken away a dry run does not miss
        foretold = self._foretold() if self.history.seed % 4 == 0 else {}
        refused = self.site.renames_refused
        result = self.run()
        assert result is not None, "nobody kills it in quiet"
        done = _told_of(result, foretold)
        sent_instead = self.site.renames_refused > refused  # whether a name is to be had shows the attempt
        if done != foretold and not (result.told("failed") or robbed or sent_instead):
            self.world.found("a dry run tells what would be done", f"{foretold}, and it was {done}")
        self.world.rest(QUIET_SECONDS)
        lost = self.server.lost
        code = self._code()
        self.world.rest(QUIET_SECONDS)
        self.compare(code)
        if self.server.lost > lost:  # what such a session was sent is looked at once more
            self._code()
            self.world.rest(QUIET_SECONDS)
        before = self.server.commands
        code = self._code()
        if not code and self.server.commands != before:
            self.world.found("the third pass is silent", f"{self.server.commands - before} commands")
        if not code and self.history.seed % 4 == 1 and not self.outside.is_early:
            self._touch_all()
        if not code and self.is_watched:
            self._change_some()

    def _touch_all(self) -> None:
        """Touch what is mirrored: that alone sends nothing, and the site gets the dates that it takes."""
        for path, content in self.local.tree().items():
            node = self.site.find(ROOT + b"/" + path)
            if content is not None and node and not (node.others or node.replaces_ours):
                self.do(("touch", path.decode("utf-8", "surrogateescape")))
        result = self.run()
        assert result is not None, "nobody kills it in quiet"
        if sent := result.told("uploaded_files"):
            self.world.found("a touch alone sends nothing", f"{sent} files were sent")
        self.compare(result.code)

    def _change_some(self) -> None:
        """Do once more what was done before the last pass: one over what was touched leaves nothing to be done."""
        self.marks = self.local.marks()
        for phase in self.history.phases[-1:]:
            for act in phase.acts:
                if act[0] not in SITE_ACTS:
                    self.do(act)
        self.world.rest(QUIET_SECONDS)
        lost = self.server.lost
        result = self.run_over_changes()
        assert result is not None, "nobody kills it in quiet"
        self.world.rest(QUIET_SECONDS)
        if result.code:
            return
        self.compare(result.code)
        if self.server.lost > lost:  # what such a session was sent is looked at once more
            self._code()
            self.world.rest(QUIET_SECONDS)
        before = self.server.commands
        if not self._code() and self.server.commands != before:
            commands = self.server.commands - before
            self.world.found("a pass over what was touched leaves nothing to do", f"{commands} commands")

    def _foretold(self) -> dict[str, int]:
        """Make a dry run, and return what it says would be done."""
        before = deepcopy(self.site.nodes)
        result = self.run("--dry-run")
        assert result is not None, "nobody kills it in quiet"
        if self.site.nodes != before:
            self.world.found("a dry run changes nothing", f"{self.site.nodes} instead of {before}")
        told = _FORETOLD if self.history.kind.chmod else [each for each in _FORETOLD if each != "changed_modes"]
        return _told_of(result, told)

    def _code(self) -> int:
        result = self.run()
        assert result is not None, "nobody kills it in quiet"
        return result.code

    def compare(self, code: int, but: bytes = b"") -> None:
        """See that all is equal, but for what is somewhere."""
        excused = _Excuses(self.local, self.site, self.inner)
        wanted = {ROOT + b"/" + path: content for path, content in self.local.tree().items()}
        told = {path for path, content in wanted.items() if excused.must_be_told(path, content)}
        if told and not code:
            self.world.found("what is not mirrored is told", f"{shown(min(told))} cannot be right, and exit 0")
        for path in sorted(wanted.keys() - told):
            if not (excused.taken(path) or (but and but in _lineage(path))):
                self._compare_one(path, wanted[path], code)
        spelled_otherwise = set(map(self.site.key, wanted)) if self._keeps_spelling else set()
        for node in self.site.inside(ROOT):
            path = node.path
            is_wanted = path in wanted or self.site.key(path) in spelled_otherwise
            is_ours = not (node.others or self._looks_like_others(node))
            is_there = is_ours and not (but and but in _lineage(path))
            is_excused = excused.kept(path) or excused.may_be_told(path) or _waits(path, told)
            if not is_wanted and is_there and not is_excused:
                law = "nothing of ours is left" if path[len(ROOT) + 1 :] in self.local.ever else "no temporary is left"
                self.world.found(law, f"{shown(path)} {shown_content(node.content)}; exit {code}")
        if code and not (told or but) and not any(map(excused.may_be_told, wanted)):
            self.world.found("what is mirrored is no failure", f"exit {code}")

    def _compare_one(self, path: bytes, content: bytes | None, code: int) -> None:
        node = self.site.find(path)
        if node is None or (node.path != path and not (self._keeps_spelling or self._is_of_others(node))):
            self.world.found("equal in the end", f"{shown(path)} is not on the site; exit {code}")
        if node.replaces_ours:
            return
        if node.content != content and not self._is_alike_to_version_1(path, node):
            there, here = shown_content(node.content), shown_content(content)
            self.world.found("equal in the end", f"{shown(path)} is {there}, not {here}; exit {code}")
        self._compare_attributes(path, node)

    def _is_alike_to_version_1(self, path: bytes, node: Node) -> bool:
        """Tell whether a state of version 1, which keeps no ctime, takes a file for the one that was sent."""
        status = os.lstat(self.local.at(path[len(ROOT) + 1 :]))
        marks = (len(node.content or b""), int(node.mtime))
        return self.history.old_state and marks == (status.st_size, int(status.st_mtime))

    def _is_of_others(self, folder: Node) -> bool:
        """Tell whether it was told that a folder keeps its name, and others have something in it."""
        return self.told_of_spelling and any(node.others for node in self.site.inside(folder.path))

    def _looks_like_others(self, node: Node) -> bool:
        """Tell whether a file does not bear the time that it was to get, for that was refused of this one alone."""
        is_final = node.path[len(ROOT) + 1 :] in self.local.ever
        return is_final and node.content is not None and node.is_undated and not node.is_dated

    @property
    def _keeps_spelling(self) -> bool:
        """True if a site that takes two names for one has refused a rename: either finds what bears the other."""
        return not self.site.kind.heeds_case and (
            self.site.kind.in_place or bool(self.events.refused & {"RNFR", "RNTO"})
        )

    def _takes_modes(self, node: Node) -> bool:
        """Tell whether a mode can be set: without a temporary, of no name that SITE CHMOD may take for another's."""
        name = node.path.rpartition(b"/")[2]
        is_odd = name.strip(b" ") != name or b"\t" in name or b'"' in name
        return self.history.kind.chmod and not (is_odd and self.history.kind.in_place)

    def _compare_attributes(self, path: bytes, node: Node) -> None:
        status = os.lstat(self.local.at(path[len(ROOT) + 1 :]))
        mode = status.st_mode & 0o777 | (0o700 if node.content is None else 0)
        is_set = self._takes_modes(node) and "--no-perms" not in self.history.options and path != self.inner
        if is_set and "SITE" not in self.events.refused and node.mode != mode:
            self.world.found("equal in the end", f"{shown(path)} has mode {node.mode:o}, not {mode:o}")
        apart = abs(int(node.mtime) - int(status.st_mtime))
        nearly = _COARSE_S * self.history.kind.in_place  # cut short before its time was set, it is whole by its size
        takes_times = self.history.kind.times == "set" and not self.events.refused & {"MFMT", "MDTM"}
        if takes_times and node.content is not None and apart > nearly:
            self.world.found("equal in the end", f"{shown(path)} is of {node.mtime:.0f}, not {status.st_mtime:.0f}")


def _told_of(result: package.Result, what: Iterable[str]) -> dict[str, int]:
    """Return what was told of a pass; whether others have something in a folder may show its removal alone."""
    told = {each: result.told(each) for each in what}
    if "deleted_folders" in told:
        told["deleted_folders"] += result.told("no_longer_managed")
    return told


class _Excuses:
    """Why a path may differ in the end without a fault of the program."""

    def __init__(self, local: Local, site: Site, inner: bytes) -> None:
        self._site = site
        self._inner = inner
        self._left_out = [ROOT + b"/" + path for path in local.left_out()]
        keys = Counter(site.key(ROOT + b"/" + path) for path in local.tree())
        self._twice = {key for key, number in keys.items() if number > 1}

    def must_be_told(self, path: bytes, content: bytes | None) -> bool:
        """It cannot be mirrored, and the exit code is to say so."""
        if self.taken(path):
            return False
        odd = b"\n" in path or b"\r" in path or (b"/." in path and not self._site.kind.dot_names)
        return odd or self._collides(path) or self._blocked(path, content) or self._is_like_inner(path)

    def _is_like_inner(self, path: bytes) -> bool:
        """The outer mirror leaves alone what some site would take for the inner one's folder."""
        return any(each.lower() == self._inner != each for each in _lineage(path))

    def may_be_told(self, path: bytes) -> bool:
        """Somebody has taken one of two that this site takes for one, and the program need not know."""
        return self.taken(path) and self._collides(path)

    def _collides(self, path: bytes) -> bool:
        """One of two names that this site takes for one, or below such a folder."""
        return any(self._site.key(each) in self._twice for each in _lineage(path))

    def taken(self, path: bytes) -> bool:
        """Somebody has taken it away after the program had put it there."""
        return any(self._site.key(each) in self._site.taken for each in _lineage(path))

    def _blocked(self, path: bytes, content: bytes | None) -> bool:
        """Something of another kind that stays is in its place or above it: of others, or of what left the selection.

        The latter is so only where the site takes two names for one.
        """
        for each in _lineage(path):
            node = self._site.find(each)
            is_folder = each != path or content is None
            if node and is_folder != (node.content is None):
                return node.others or self.kept(node.path)
        return False

    def kept(self, path: bytes) -> bool:
        """It left the selection (a link is in its place or above it), or holds something of others."""
        if any(each in _lineage(path) for each in self._left_out):
            return True
        return any(node.others or self.kept(node.path) for node in self._site.inside(path))


def _waits(path: bytes, told: set[bytes]) -> bool:
    """Tell whether something has not got its new name, which differs in case alone, for what is told."""
    folded = [each.lower() for each in _lineage(path)]
    return any(each.lower() in folded for each in told)


def _lineage(path: bytes) -> list[bytes]:
    parts = path.split(b"/")
    return [b"/".join(parts[:depth]) for depth in range(2, len(parts) + 1)]


def play(history: History, base: Path) -> Verdict:
    """Play a history in a folder under `base`, and return what was found."""
    stage = Stage(history, base)
    law = how = ""
    with package.at_hand(stage.world, stage.local, stage.outside.send), _in_time(stage.world):
        try:
            stage.play()
        except Found as found:
            law, how = found.law, found.how
        verdict = Verdict(law, how, stage.world.transcript, stage.events.coverage)
        _let_go(stage)
    return verdict


@contextmanager
def _in_time(world: World) -> Iterator[None]:
    """Find a program that never comes back, not even to wait."""

    def ring(*_: object) -> None:
        world.found("bounded", f"the program calculates for {LONGEST_SECONDS} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(LONGEST_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _let_go(stage: Stage) -> None:
    """Let what is left of killed programs end, where it does no harm."""
    for life in stage.lives:
        life.dead = True
        for task in life.remains:
            with suppress(Exception), package.unheard():  # whatever it does or says then, it was killed
                task.get_coro().close()
        life.remains.clear()
        life.loop = None
    shutil.rmtree(stage.folder)
    stage.lives.clear()
    stage.server.sessions.clear()
    gc.collect(1)
