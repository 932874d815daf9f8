"""Draws histories. Much of one history is about one path, for most mistakes need several things to meet there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random

from . import kinds
from .history import History, Incident, Phase
from .kinds import Kind
from .local import INNER, Act

_FILES = ["a", "b", "A", "D/x", "d/x", "d/y", "page.html", "e/x", "d/s/z"]
_FILES_WITH_INNER = ["a", "in/a", "in/b", "d/x", "in/d/x", "b", "in/A", "A", "in/d/y"]
_FOLDERS = ["d", "e", "D", "d/s"]
_ODD = ["-x", "~x", " x", "x ", "x y", "\u00e9", "e\u0301", "\udcff", "\udcff\udcf4x", "n\nl", 'q"', "x.", "a:b", ".am"]
_LARGE = ["70000", "1100000"]
"""The sizes of files that are not read at once: of the second one not even in one block."""
_VERBS = {
    "RNTO": 24, "STOR": 14, "PASS": 14, "DELE": 12, "RNFR": 6, "DATA": 6, "*": 10, "MKD": 5, "SIZE": 4, "MLST": 4,
    "MLSD": 3, "RMD": 4, "MFMT": 3, "EPSV": 3, "CONNECT": 3, "SITE": 2, "WORK": 8, "CWD": 1, "MDTM": 1, "LIST": 1,
}  # fmt: skip
_LIKELY = {"PASS": 20, "*": 20, "STOR": 15, "RNTO": 25}
_VERBS_OF = {
    "write": ["STOR", "RNTO"], "replace": ["STOR", "RNTO"], "append": ["RNTO"], "touch": ["RNTO"], "restore": ["RNTO"],
    "remove": ["DELE"], "stash": ["DELE"], "unstash": ["RNTO"], "rename": ["RNTO"], "swap": ["RNTO"],
    "rebuild": ["RNTO"], "chmod": ["SITE"], "folder": ["MKD"], "kind": ["DELE", "MKD"], "link": [],
}  # fmt: skip
"""At which commands what follows from an act is cut short, mostly."""
_ACTS = {
    "write": 14, "remove": 9, "touch": 3, "chmod": 3, "rename": 9, "swap": 9, "restore": 8, "append": 5, "stash": 7,
    "unstash": 6, "rename_folder": 9, "remove_folder": 3, "rebuild": 2, "kind": 3, "link": 2, "odd": 1,
}  # fmt: skip
_OUTSIDE = {"clock": 4, "source": 4, "disk": 3, "pause": 2, "now": 1, "SIGTERM": 3, "SIGUSR1": 1}
_OF_ONE_THAT_STAYS = {"kernel": 8, "reload": 3}
_FAULTS_BEFORE = {"": 5, "cut": 3, "hang-up": 2, "stall": 3, "refuse": 3, "full": 1, "kill": 4}
_FAULTS_AFTER = {"": 4, "cut": 5, "half": 1, "replied": 2, "hang-up": 5, "stall": 3, "kill": 7}
_FAULTS = {
    "DATA": {"": 4, "cut": 3, "short": 3, "full": 2, "stall": 2, "kill": 2},
    "WORK": {"": 2, "kill": 3},
}
_LASTING = {"cut", "half", "replied", "hang-up", "stall", "refuse"}
_LASTS = 12
"""At so many commands something goes wrong that outlives all attempts."""
_CODES = ["550", "450", "451", "553", "552", "421", "425"]


def draw(seed: int, kind: Kind | None = None, *, alike: bool = True) -> History:
    """Draw a history, with a server of this kind or of any; the same seed gives the same one."""
    history = _Drawing(seed).history()
    return replace(history, kind=kind or history.kind, alike=alike and not history.old_state)


class _Drawing:
    """Keeps in mind what the source has, more or less, so that most of what is drawn can be done."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.chance = Random(f"history {seed}")
        self.inner = self.often(0.1)
        self.stays = self.often(0.12)
        self.files = _FILES_WITH_INNER if self.inner else _FILES
        self.focus = self.chance.choice(self.files[:6])
        self.others = self.chance.sample([each for each in self.files if each != self.focus], 3)
        self.there: list[str] = []
        self.away: list[str] = []
        self.done: list[Act] = []
        self.trouble: Act | None = None
        """What ends what keeps the program from going on."""

    def one_of(self, weights: dict[str, int]) -> str:
        return self.chance.choices(list(weights), list(weights.values()))[0]

    def often(self, share: float) -> bool:
        return self.chance.random() < share

    def history(self) -> History:
        phases = [self.phase(first=True)]
        phases += [self.phase() for _ in range(self.chance.choice([1, 1, 2, 2, 3]))]
        connections = self.chance.choice([1, 1, 2, 3])
        options = ["--no-perms"] * self.often(0.1) + ["--bwlimit=100K"] * self.often(0.1)
        kind, old_state = kinds.draw(self.chance), self.often(0.05) and not (self.inner or self.stays)
        if any(map(_is_in_case_alone, _acts(phases))) and self.often(0.3):
            kind = replace(kind, heeds_case=False)
        more = {"old_state": old_state, "stays": self.stays, "inner": self.inner}
        return History(self.seed, kind, connections, tuple(phases), tuple(options), **more)

    def phase(self, *, first: bool = False) -> Phase:
        acts = self.beginning() if first else self.changes()
        incidents = self.incidents(acts, 0.5 if first else 0.97)
        return Phase(tuple(acts), tuple(incidents), self.chance.choice([0.0, 1.0, 30.0, 400.0]))

    # What is done.

    def beginning(self) -> list[Act]:
        """Put some files there: sometimes the focus too, sometimes with what others have on the site already."""
        paths = [self.focus] * self.often(0.8) + self.others[: self.chance.randint(0, 3)]
        acts: list[Act] = [self.write(path) for path in paths]
        if self.often(0.1):
            acts.append(("write", self.chance.choice(_ODD), "5", "old"))
        if self.often(0.1):
            acts.append(("folder", self.chance.choice(_FOLDERS)))
        if self.often(0.1):
            acts.append((self.chance.choice(["put", "impostor"]), self.any()))
        return acts

    def changes(self) -> list[Act]:
        acts = [self.act() for _ in range(self.chance.choice([1, 1, 1, 2, 2, 3]))]
        if self.often(0.15):
            acts.insert(self.chance.randint(0, len(acts)), self.interference())
        if self.often(0.8 if self.trouble else 0.4 if self.stays else 0.1):
            outside = self.outside()
            acts.insert(self.chance.randint(0, len(acts)), outside)
            if _sets_back(outside):  # what is written then is older than what was there, by its change time alone
                acts.append(("write", self.one(), "5", "old"))
        return acts

    def write(self, path: str) -> Act:
        size = self.chance.choice(["5", "5", "5", "5", "9", "0", "300"])
        size = self.chance.choice(_LARGE) if self.often(0.03) else size
        self.comes(path)
        return (
            self.chance.choice(["write", "write", "replace"]),
            path,
            size,
            self.chance.choice(["old", "old", "old", "now", "now", "second"]),
        )

    def any(self) -> str:
        """Draw a path, whether or not it is there."""
        return self.focus if self.often(0.6) else self.chance.choice(self.others if self.often(0.7) else self.files)

    def one(self) -> str:
        """Draw a path that is there, if there is any."""
        if self.focus in self.there and self.often(0.65):
            return self.focus
        return self.chance.choice(self.there) if self.there and self.often(0.95) else self.any()

    def folder(self) -> str:
        folders = [path.rpartition("/")[0] for path in self.there if "/" in path]
        folders = [each for each in folders if each != INNER]
        return self.chance.choice(folders or _FOLDERS)

    def has(self, path: str) -> bool:
        return any(each == path or each.startswith(path + "/") for each in self.there)

    def comes(self, path: str) -> None:
        if path not in self.there:
            self.there.append(path)

    def goes(self, path: str) -> None:
        self.there = [each for each in self.there if each != path and not each.startswith(path + "/")]

    def moves(self, old: str, new: str) -> None:
        moved = [each for each in self.there if each == old or each.startswith(old + "/")]
        self.goes(old)
        for each in moved:
            self.comes(new + each[len(old) :])
        if self.focus in moved:  # what happens next happens mostly to that, too
            self.focus = new + self.focus[len(old) :]

    def act(self) -> Act:
        """Draw a change of the source: something new, or what undoes something."""
        act: Act
        if self.done and self.often(0.25):
            act = self.undo(self.chance.choice(self.done))
        else:
            along = self.came_along()
            act = self.happens_to(self.chance.choice(along)) if along and self.often(0.4) else self.anything()
        self.done = [*self.done[-2:], act]
        return act

    def came_along(self) -> list[str]:
        """Return what has come to where it is with a folder that was renamed."""
        renamed = [act[2] for act in self.done if act[0] == "rename"]
        return [path for path in self.there if any(path.startswith(f"{folder}/") for folder in renamed)]

    def happens_to(self, path: str) -> Act:
        """Draw what makes a difference if it was forgotten that a file is there."""
        if self.often(0.3):
            return ("append", path)
        self.goes(path)
        return ("remove", path)

    def anything(self) -> Act:
        act: Act = getattr(self, "_" + self.one_of(_ACTS))()
        return act

    def undo(self, act: Act) -> Act:
        match act:
            case ("stash", path):
                self.comes(path)
                return ("unstash", path)
            case ("rename", old, new):
                self.moves(new, old)
                return ("rename", new, old)
            case ("swap", *_):
                return act
            case (_, path, *_) if self.often(0.5):
                self.goes(path)
                return (self.chance.choice(["remove", "stash"]), path)
            case (_, path, *_):
                self.comes(path)
                return ("restore", path)
            case _:
                return act

    def _write(self) -> Act:
        return self.write(self.any())

    def _remove(self) -> Act:
        path = self.one()
        self.goes(path)
        return ("remove", path)

    def _touch(self) -> Act:
        return ("touch", self.one())

    def _chmod(self) -> Act:
        return ("chmod", self.one())

    def _append(self) -> Act:
        return ("append", self.one())

    def _rename(self) -> Act:
        old = self.one()
        new = self.another(old)
        self.moves(old, new)
        return ("rename", old, new)

    def _swap(self) -> Act:
        one = self.one()
        there = [each for each in self.there if each != one]
        return ("swap", one, self.chance.choice(there) if there else self.another(one))

    def _restore(self) -> Act:
        path = self.any()
        self.comes(path)
        return ("restore", path)

    def _stash(self) -> Act:
        path = self.one()
        self.goes(path)
        self.away.append(path)
        return ("stash", path)

    def _unstash(self) -> Act:
        if not self.away:
            return self._stash()
        path = self.away.pop()
        self.comes(path)
        return ("unstash", path)

    def _rename_folder(self) -> Act:
        if not any("/" in each for each in self.there):
            return self._rename()
        old = self.folder()
        new = self.twin(old) if self.often(0.4) else self.chance.choice(["d", "e", "D", "f", "e/s"])
        self.moves(old, new)
        return ("rename", old, new)

    def _remove_folder(self) -> Act:
        folder = self.folder()
        self.goes(folder)
        return ("remove", folder)

    def _rebuild(self) -> Act:
        return ("rebuild", self.folder())

    def _kind(self) -> Act:
        path = self.one() if self.often(0.7) else self.folder()
        self.moves(path, path + "/inner")
        return ("kind", path)

    def _link(self) -> Act:
        path = self.one()
        self.goes(path)
        return ("link", path)

    def _odd(self) -> Act:
        return ("write", self.chance.choice(_ODD), "5", "old")

    def another(self, path: str) -> str:
        """Draw another path: its twin in case, or any."""
        if self.often(0.3):
            return self.twin(path, deep=False)
        return self.chance.choice([each for each in [*self.others, *self.files] if each != path])

    def twin(self, path: str, *, deep: bool = True) -> str:
        """Return the twin in case, of what is above, too."""
        folder, slash, name = path.rpartition("/")
        return path.swapcase() if deep else folder + slash + name.swapcase()

    def interference(self) -> Act:
        folder = self.folder()
        match self.chance.randrange(6):
            case 0 | 1 | 2:
                return ("put", self.chance.choice([f"{folder}/theirs", f"{folder}/theirs", "theirs"]))
            case 3:
                return ("put", self.any())
            case 4:
                return ("impostor", self.any() if self.often(0.5) else self.another(self.one()))
            case _:
                renamed = [
                    act[1] for act in self.done if act[0] == "rename"
                ]  # if it was cut short, that is there still
                return ("take", self.one() if self.often(0.6) else self.chance.choice([folder, *renamed]))

    def outside(self) -> Act:
        """Draw what happens to the program from outside: what keeps it from going on mostly ends, next time."""
        if (end := self.trouble) and self.often(0.8):
            self.trouble = None
            return end
        match self.one_of(_OUTSIDE | _OF_ONE_THAT_STAYS if self.stays else _OUTSIDE):
            case "clock":
                return ("clock", self.chance.choice(["1", "-1", "400", "-400", "90000", "-90000", "1e8", "-1e8"]))
            case "source":
                if self.inner and self.often(0.5):
                    self.trouble = ("source", "inner back")
                    return ("source", "inner away")
                self.trouble = ("source", "back")
                return ("source", self.chance.choice(["away", "empty", "copy"]))
            case "disk":
                self.trouble = ("disk", "free")
                return ("disk", "full")
            case "pause":
                return self.pause()
            case "reload":
                return ("reload", self.chance.choice(["sooner", "later", "broken", "twice"]))
            case "kernel":
                return ("kernel", "overflows" if self.often(0.7) else "is short of watches")
            case what:
                return ("signal", what) if what.startswith("SIG") else ("ask", what)

    def end(self) -> Act:
        """Draw what cuts a pass short that is under way."""
        if self.often(0.6):
            return ("signal", "SIGTERM")
        return self.pause()

    def pause(self) -> Act:
        name = f" {INNER}" * (self.inner and self.often(0.5))
        self.trouble = ("ask", "resume" + name)
        return ("ask", "pause" + name)

    # What goes wrong.

    def incidents(self, acts: list[Act], often: float) -> list[Incident]:
        """Draw what happens in a pass; the first at a command that comes if anything is to be done at all."""
        if not self.often(often):
            return []
        verbs = _LIKELY | {verb: 30 for act in acts for verb in _VERBS_OF.get(act[0], ())}
        first = self.incident(self.one_of(verbs))
        if any(_is_in_case_alone(act) and self.has(act[2]) for act in acts) and self.often(0.5):
            first = Incident("RNTO", 1, "after", (), self.chance.choice(["kill", "kill", "hang-up", "cut"]))
        incidents = [replace(first, number=min(first.number, 9 if first.verb == "*" else 1))]
        incidents += [self.meanwhile(act) for act in acts if _is_large(act) and self.often(0.5)][:1]
        return incidents + [self.incident(self.one_of(_VERBS)) for _ in range(self.chance.choice([0, 0, 1, 1, 2]))]

    def meanwhile(self, act: Act) -> Incident:
        """Draw another version of a large file, which comes while its bytes are on their way."""
        verb, path, size, _ = act
        again = (self.chance.choice(["write", "write", verb]), path, size, self.chance.choice(["old", "now"]))
        return Incident("PIECE", self.chance.randint(1, 30), "before", (again,))

    def beside(self) -> Act:
        chance = self.chance.random()
        return self.act() if chance < 0.85 else self.interference() if chance < 0.93 else self.outside()

    def incident(self, verb: str) -> Incident:
        many = {"*": 16, "WORK": 40}.get(verb)
        number = self.chance.randint(1, many) if many else self.chance.choice([1, 1, 1, 1, 2, 2, 3])
        moment = "before" if verb in {"CONNECT", "DATA"} or self.often(0.4) else "after"
        weights = _FAULTS.get(verb, _FAULTS_BEFORE if moment == "before" else _FAULTS_AFTER)
        fault = "" if verb == "PASS" and self.often(0.7) else self.one_of(weights)
        if fault == "kill" and self.often(0.25) and not self.inner:  # of one state it is known what is durable
            fault = "power"
        if fault == "stall":
            fault += ":" + self.chance.choice(["1", "7", "20", "100", "250", "never"])
        if fault == "refuse":
            fault += ":" + ("421" if verb in {"CONNECT", "PASS"} else self.chance.choice(_CODES))
        number_of_acts = self.chance.choice([0, 1, 1, 2] if fault else [1, 1, 2])
        acts = [self.beside() for _ in range(number_of_acts)]
        if self.often(0.06):
            acts.append(self.end())
            fault = self.chance.choice(["", *(f"stall:{seconds}" for seconds in ("7", "100", "never", "never"))])
        lasts = fault.partition(":")[0] in _LASTING and self.often(0.1)
        return Incident(verb, number, moment, tuple(acts), fault, _LASTS if lasts else 1)


def _is_large(act: Act) -> bool:
    return act[0] in {"write", "replace"} and act[2] in _LARGE


def _acts(phases: list[Phase]) -> Iterator[Act]:
    for phase in phases:
        yield from phase.acts
        for incident in phase.incidents:
            yield from incident.acts


def _sets_back(act: Act) -> bool:
    return act[0] == "clock" and act[1].startswith("-")


def _is_in_case_alone(act: Act) -> bool:
    return act[0] == "rename" and act[1] != act[2] and act[1].lower() == act[2].lower()
