"""Lets a history's incidents happen: acts and faults, at the commands that they are meant for. Knows no law."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from .history import Incident
from .local import Act
from .process import Process
from .site import Node
from .wire import Pipe
from .world import World

_NEVER = 1e9
_NO_COMMANDS = {"CONNECT", "DATA", "PIECE", "WORK"}
_SOON_S = 0.05
"""Within so long what is done in the middle of a pass is done: as long as some files take."""


class Events:
    """The incidents of one pass, and what has come of all of them. `kill` ends the program, or all power."""

    def __init__(self, world: World, act: Callable[[Act], None]) -> None:
        self.world = world
        self.act = act
        self.kill: Callable[[str], None] = lambda _: None
        self.coverage: Counter[tuple[str, str]] = Counter()
        self.incidents: tuple[Incident, ...] = ()
        self.refused: set[str] = set()
        """The verbs of what was refused without a reason."""
        self.phase = ""
        self._seen: Counter[str] = Counter()
        self._full = self._short = False
        self._refusal = ("", 0)

    def begin(self, incidents: tuple[Incident, ...], phase: str) -> None:
        self.incidents = incidents
        self.phase = phase
        self._seen.clear()

    def end(self) -> None:
        self.incidents = ()
        self._full = self._short = False

    def before(self, session: Process, verb: str, line: bytes) -> bool:
        """See `process.Trouble`."""
        self._count(verb)
        goes_on = True
        for incident in self._meant(verb, "before"):
            goes_on = goes_on and self._happens_before(incident, session, verb, line)
        if goes_on and verb == "STOR" and self._full:
            session.full = True
        return goes_on

    def after(self, session: Process, verb: str, reply: bytes) -> bool:
        """See `process.Trouble`."""
        if verb == "CONNECT":
            return True
        goes_on = True
        for incident in self._meant(verb, "after"):
            goes_on = goes_on and self._happens_after(incident, session, verb, reply)
        return goes_on

    def content(self, session: Process, node: Node, pipe: Pipe) -> int:
        """See `process.Trouble`."""
        self._count("DATA")
        kept = 3 if session.full else -1
        for incident in self._meant("DATA", "before"):
            self._act(incident, "DATA")
            match incident.fault.partition(":")[0]:
                case "cut" | "half" | "replied" | "hang-up" | "refuse":
                    kept = 3
                    self.world.after(0.01, self._break_data, pipe)
                case "short":
                    kept = 3
                case "full":
                    self._full = session.full = True
                    kept = 3
                case "kill" | "power":
                    self.kill(incident.fault)
                case "stall":
                    session.sleep(_seconds(incident.fault))
        return kept

    def at_work(self, moment: str) -> None:
        """Let happen what is meant for what the program does with its state or its source."""
        if moment == "before":
            self._count("WORK")
        for incident in self._meant("WORK", moment):
            self._act(incident, "WORK")
            if incident.fault in {"kill", "power"}:
                self.kill(incident.fault)

    def at_piece(self) -> None:
        """Let happen what is meant for a piece of a large file."""
        self._count("PIECE")
        for incident in self._meant("PIECE", "before"):
            self._act(incident, "PIECE")

    def _break_data(self, pipe: Pipe) -> None:
        if not pipe.cut:
            pipe.sever()

    def _count(self, verb: str) -> None:
        self._seen[verb] += 1
        if verb not in _NO_COMMANDS:
            self._seen["*"] += 1

    def _meant(self, verb: str, moment: str) -> list[Incident]:
        return [
            each
            for each in self.incidents
            if each.moment == moment
            and each.verb in {verb, "*"}
            and each.is_at(self._seen[each.verb])
            and (each.verb == verb or verb not in _NO_COMMANDS)
        ]

    def _act(self, incident: Incident, verb: str) -> None:
        fault = incident.fault.partition(":")[0]
        if fault:
            self.world.note(f"   fault: {incident.moment} {verb}: {incident.fault}")
        self.coverage[(fault or "acts only", f"{self.phase} {verb}")] += 1
        acts = incident.acts if self._seen[incident.verb] == incident.number else ()
        for act in acts[:1]:
            self.act(act)
        for act in acts[1:]:
            if self.world.chance.random() < 0.5:
                self.act(act)
            else:
                self.world.after(self.world.delay(_SOON_S), self.act, act)

    def _happens_before(self, incident: Incident, session: Process, verb: str, line: bytes) -> bool:
        self._act(incident, verb)
        fault, _, detail = incident.fault.partition(":")
        match fault:
            case "cut" | "half" | "replied":
                session.connection.sever()
            case "hang-up":
                session.hang_up()
                return False
            case "refuse":
                if verb == "FEAT":
                    return True
                self.refused.add(verb)
                code = "451" if verb in _LOGIN else detail
                if code == "421":  # a server that says so ends the session (RFC 959, 5.4), and does nothing more of it
                    session.queue.clear()
                session.refuse(line, int(code), _TEXTS.get(code, "not now"))
                if code == "421":
                    session.hang_up()
                return False
            case "full":
                self._full = True
                return True
            case "stall":
                session.sleep(_seconds(incident.fault))
            case "kill" | "power":
                self.kill(incident.fault)
            case _:
                return True
        if verb == "CONNECT":
            return False
        session.queue.appendleft(line)
        session.busy = False
        if fault != "stall":
            session.orphan()
        session.go_on()
        return False

    def _happens_after(self, incident: Incident, session: Process, verb: str, reply: bytes) -> bool:
        self._act(incident, verb)
        match incident.fault.partition(":")[0]:
            case "half":
                session.connection.reply(reply[: len(reply) // 2])
                session.connection.sever()
            case "replied":
                session.deliver(reply)
                session.connection.sever()
            case "cut":
                session.connection.sever()
            case "hang-up":
                session.hang_up()
                return False
            case "stall":
                session.sleep(_seconds(incident.fault))
                self.world.at(session.asleep_until, session.deliver, reply)
                return False
            case "kill" | "power":
                self.kill(incident.fault)
            case _:
                return True
        session.orphan()
        return False


_LOGIN = {"OPTS", "TYPE", "CWD", "PWD"}
"""Refused for good, these say that the site is another one."""
_TEXTS = {"421": "too many connections", "552": "Quota exceeded", "550": "Permission denied", "451": "try later"}


def _seconds(fault: str) -> float:
    detail = fault.partition(":")[2]
    return _NEVER if detail == "never" else float(detail)
