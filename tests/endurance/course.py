"""One run: what is changed and asked all the time, and looked at. What happens now and then is for `incidents`."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from functools import partial
from random import Random

from support.program import eventually

from endurance.incidents import Incidents
from endurance.mirrors import GUARD, OUTAGE, Mirrors
from endurance.seeing import LOOKS_EACH_S
from endurance.service import Needs, needs_of

CHANGE_EACH_S, BURST_EACH_S = 2.0, 240.0
BLIND_S = 0.2


class Course:
    """So many seconds in the life of a process that keeps five mirrors."""

    def __init__(self, mirrors: Mirrors, seconds: float, seed: int) -> None:
        """Begin with mirrors that nobody keeps yet."""
        self.mirrors = mirrors
        self.wrong: list[str] = []
        """What must not have happened."""
        self.needs: list[Needs] = []
        self.gaps: list[tuple[float, float]] = []
        """When nobody looked at the sites for a while, and for how long."""
        self.begun = 0.0
        self._seconds = seconds
        self._chance = Random(f"{seed} changes")
        self._over = threading.Event()
        self.incidents = Incidents(mirrors, seconds, Random(f"{seed} incidents"), self._over, self.wrong)

    def run(self, each_minute: Callable[[float], None]) -> None:
        """Run it all to its end."""
        with self.mirrors.service.running() as process:
            for name in self.mirrors.sites:
                first = partial(self.mirrors.service.has_passed, name, 0.0)
                eventually(first, f"the first pass of {name}", 120)
            self.begun = time.monotonic()
            threads = [threading.Thread(target=self._guarded, args=(each,)) for each in (self._watch, self._ask)]
            incidents = threading.Thread(target=self._guarded, args=(self.incidents.run,))
            for thread in (*threads, incidents):
                thread.start()
            self._guarded(lambda: self._change_until_over(incidents, each_minute))
            self._guarded(self._settle)
            self._over.set()
            for thread in (*threads, incidents):
                thread.join()
            self.wrong += self.mirrors.differences()
            process.terminate()
            if (code := process.wait(60)) != 143:
                self.wrong.append(f"it ended with {code} after SIGTERM")

    def _guarded(self, run: Callable[[], None]) -> None:
        """Run a part of it, and note what goes wrong there: the others go on."""
        try:
            run()
        except Exception:  # noqa: BLE001 - whatever it is counts
            self.wrong.append(traceback.format_exc())

    def _watch(self) -> None:
        last = time.monotonic()
        while not self._over.wait(LOOKS_EACH_S):
            for site in self.mirrors.sites.values():
                site.look()
            now = time.monotonic()
            if now - last > BLIND_S:
                self.gaps.append((now, now - last))
            last = now

    def _ask(self) -> None:
        next_at = time.monotonic()
        while not self._over.wait(max(0.0, next_at - time.monotonic())):
            self.mirrors.service.read()
            self.needs.append(needs_of(self.mirrors.service.pid))
            self.mirrors.asker.ask()
            next_at = max(next_at + 1, time.monotonic())

    def _change_until_over(self, incidents: threading.Thread, each_minute: Callable[[float], None]) -> None:
        sources, sites = self.mirrors.sources, self.mirrors.sites
        due = {name: self.begun + self._chance.uniform(0, CHANGE_EACH_S) for name in sources}
        bursts = {name: self.begun + self._chance.uniform(10, min(BURST_EACH_S, self._seconds)) for name in sites}
        minutes = 0
        while (now := time.monotonic()) < self.begun + self._seconds or incidents.is_alive():
            for name in [name for name, at in due.items() if at <= now]:
                self._change(name)
                due[name] = time.monotonic() + self._chance.expovariate(1 / CHANGE_EACH_S)
            for name in [name for name, at in bursts.items() if at <= now]:
                self._burst(name)
                bursts[name] = time.monotonic() + self._chance.expovariate(1 / BURST_EACH_S)
            if now >= self.begun + 60 * (minutes + 1):
                minutes += 1
                each_minute(minutes)
            self._over.wait(max(0.0, min(*due.values(), *bursts.values(), now + 1) - time.monotonic()))

    def _change(self, name: str) -> None:
        """Change something whose last change is on the site; while the server is away anything."""
        source, site = self.mirrors.sources[name], self.mirrors.sites.get(name)
        with self.mirrors.locks[name]:
            if site is None:
                source.change(lambda path: False, deletes=True)
            elif OUTAGE in site.why_apart:
                self.mirrors.expect(source.change(lambda path: False, deletes=True))
            else:
                self.mirrors.expect(source.change(site.is_taken, deletes=GUARD not in site.why_apart))

    def _burst(self, name: str) -> None:
        with self.mirrors.locks[name]:
            if GUARD not in self.mirrors.sites[name].why_apart:
                for change in self.mirrors.sources[name].burst():
                    self.mirrors.expect(change)

    def _settle(self) -> None:
        """Wait until all that was changed is there, and `status` says so."""
        asker, sites = self.mirrors.asker, self.mirrors.sites
        eventually(lambda: not any(site.waiting for site in sites.values()), "all changes are there", 180)
        eventually(lambda: all(asker.conditions.get(name) == "in sync" for name in sites), "all are in sync", 60)
