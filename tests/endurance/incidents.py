"""What happens to a run now and then: servers stop, guards trip, settings change. Each ends when all is well again."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from random import Random

from support.program import eventually

from endurance.changing import BULK, Change
from endurance.mirrors import GUARD, OUTAGE, Mirrors

STOPPED = "stopped for safety"
EACH_S = 150.0
SPECIAL_EACH = 15
"""Among so many there is one of each kind other than that of a server that stops."""
LONGEST_OUTAGE_S, LONGEST_GUARD_S = 60.0, 30.0
RECOVERS_WITHIN_S = 180.0


class Incidents:
    """Lets one thing happen after the other, all within so many seconds."""

    def __init__(
        self, mirrors: Mirrors, seconds: float, chance: Random, over: threading.Event, wrong: list[str]
    ) -> None:
        """Begin with none; what must not happen is added to `wrong`."""
        self._mirrors = mirrors
        self._seconds = seconds
        self._chance = chance
        self._over = over
        self._wrong = wrong
        self._begun = 0.0
        self.outages: dict[str, list[float]] = {name: [] for name in mirrors.servers}
        self.recoveries: list[float] = []
        self.told: list[str] = []

    def run(self) -> None:
        """Let all happen, in an order that is drawn."""
        self._begun = time.monotonic()
        first, last = min(60.0, self._seconds / 12), self._seconds - min(180.0, self._seconds / 3)
        special = [self._trip_and_put_back, self._trip_and_allow, self._break_settings]
        number = max(len(special) + 2, int((last - first) / EACH_S))
        special *= max(1, number // SPECIAL_EACH)
        incidents = [*special, *[self._stop_a_server] * (number - len(special))]
        self._chance.shuffle(incidents)
        for place, incident in enumerate(incidents):
            at = self._begun + first + (last - first) * place / number
            self._over.wait(max(0.0, at - time.monotonic()))
            try:
                told = incident(self._chance.choice(sorted(self._mirrors.sites)))
                self.told.append(f"{(time.monotonic() - self._begun) / 60:6.2f} min  {told}")
            except Exception:  # noqa: BLE001 - whatever it is counts, and the next one may happen all the same
                self._wrong.append(traceback.format_exc())

    def _stop_a_server(self, name: str) -> str:
        server, site = self._mirrors.servers[name], self._mirrors.sites[name]
        seconds = self._chance.uniform(3, max(4.0, min(LONGEST_OUTAGE_S, self._seconds / 24)))
        site.set_apart(OUTAGE)
        server.stop()
        self._over.wait(seconds)
        server.start()
        started = time.monotonic()
        self.outages[name].append(seconds)
        self._passes(name, started)
        self.recoveries.append(time.monotonic() - started)
        site.count_again(OUTAGE)
        return f"{name} was away for {seconds:.0f} s, mirrored {self.recoveries[-1]:.1f} s after its start"

    def _trip_and_put_back(self, name: str) -> str:
        source, away = self._mirrors.sources[name], self._mirrors.folder / "away"
        self._trip(name, lambda: source.take_bulk_away(away))
        if not (self._mirrors.sites[name].folder / BULK / "0" / "0").exists():
            self._wrong.append(f"{name}: the guard kept nothing")
        with self._mirrors.locks[name]:
            source.put_bulk_back(away)
        self._passes(name, time.monotonic())
        self._is_lifted(name)
        return f"{name}: a guard tripped, and was lifted by what came back"

    def _trip_and_allow(self, name: str) -> str:
        source, site, table = self._mirrors.sources[name], self._mirrors.sites[name], self._mirrors.several.tables[name]
        self._trip(name, source.delete_bulk)
        table["max-delete"] = "100%"
        self._reload(name)
        eventually(lambda: not (site.folder / BULK).exists(), f"{name}: all is deleted", RECOVERS_WITHIN_S)
        del table["max-delete"]
        self._reload(name)
        with self._mirrors.locks[name]:
            self._mirrors.expect(made := Change(name, "bulk", source.make_bulk()))
        eventually(lambda: made.seen_at > 0, f"{name}: all is there again", RECOVERS_WITHIN_S)
        self._is_lifted(name)
        return f"{name}: a guard tripped, and was lifted by settings, read again twice (SIGHUP)"

    def _break_settings(self, name: str) -> str:
        """Have a broken file read again, and then the whole one: nothing may change."""
        service, file = self._mirrors.service, self._mirrors.several.file
        service.read()
        before = service.not_reloaded
        file.write_text(file.read_text() + "[mirror.\n")
        service.hang_up()
        try:
            eventually(lambda: self._is_told(before), "the broken file is told", 30)
        finally:
            self._mirrors.several.configure()
        service.hang_up()
        return "settings that were broken, and whole again, were read again (SIGHUP)"

    def _is_told(self, before: int) -> bool:
        self._mirrors.service.read()
        return self._mirrors.service.not_reloaded == before + 1

    def _trip(self, name: str, take_away: Callable[[], None]) -> None:
        self._mirrors.sites[name].set_apart(GUARD)
        with self._mirrors.locks[name]:
            take_away()
        asker = self._mirrors.asker
        eventually(lambda: asker.conditions.get(name) == STOPPED, f"{name} is {STOPPED}", RECOVERS_WITHIN_S)
        self._over.wait(min(LONGEST_GUARD_S, self._seconds / 24))

    def _is_lifted(self, name: str) -> None:
        asker = self._mirrors.asker
        eventually(lambda: asker.conditions.get(name) != STOPPED, f"{name} is not {STOPPED}", RECOVERS_WITHIN_S)
        self._mirrors.sites[name].count_again(GUARD)

    def _reload(self, name: str) -> None:
        self._mirrors.several.configure()
        self._mirrors.asker.restarting = name
        self._mirrors.service.hang_up()
        self._passes(name, time.monotonic())
        self._mirrors.asker.restarting = ""

    def _passes(self, name: str, since: float) -> None:
        eventually(lambda: self._mirrors.service.has_passed(name, since), f"{name} goes on", RECOVERS_WITHIN_S)
