"""One run: what is changed, stopped, broken and asked, and when. What came of it is for `summary` to tell."""

from __future__ import annotations

import shutil
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Final

from servers import FtpServer, ZooKind
from support.program import contents, eventually, names
from support.several import Several

from endurance.changing import BULK, Change, Source
from endurance.seeing import LOOKS_EACH_S, Site
from endurance.service import Asker, Needs, Service, needs_of

WRONG: Final = "wrong"
"""The mirror with the wrong password: on the server of another, under the same account."""
GUARD, OUTAGE = "guard", "outage"
STOPPED = "stopped for safety"
CHANGE_EACH_S, BURST_EACH_S, INCIDENT_EACH_S = 2.0, 240.0, 150.0
LONGEST_OUTAGE_S = 60.0
RECOVERS_WITHIN_S = 180.0


class Course:
    """Five mirrors in one process, and all that happens to them for so many seconds."""

    def __init__(self, folder: Path, seconds: float, seed: int, zoo: ZooKind) -> None:
        """Prepare sources and settings; `enter` starts the servers."""
        self.seconds = seconds
        self.chance = Random(seed)
        self._folder = folder
        self._stack = ExitStack()
        self.servers = {
            "vsftpd": FtpServer("vsftpd", folder / "vsftpd", folder / "vsftpd-work", log=False),
            "proftpd": FtpServer("proftpd", folder / "proftpd", folder / "proftpd-work", log=False, tls="explicit"),
            "pure-ftpd": FtpServer("pure-ftpd", folder / "pure-ftpd", folder / "pure-ftpd-work", log=False),
            zoo: FtpServer(zoo, folder / zoo, folder / f"{zoo}-work", log=False),
        }
        self.wrong: list[str] = []
        """What must not have happened."""
        self.needs: list[Needs] = []
        self.gaps: list[tuple[float, float]] = []
        """When nobody looked at the sites for a while, and for how long."""
        self.outages: dict[str, list[float]] = {name: [] for name in self.servers}
        self.recoveries: list[float] = []
        self.incidents: list[str] = []
        self.changes: list[Change] = []
        self._over = threading.Event()

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """Have the servers run and the settings written."""
        with self._stack:
            for server in self.servers.values():
                self._stack.enter_context(server)
            self.several = Several(self._folder, self.servers["vsftpd"].port, watch=True, every="5m", log_format="text")
            for name, server in self.servers.items():
                scheme = "ftpes" if server.tls else "ftp"
                trust = {"ca-cert": str(server.certificates.ca)} if server.tls else {}
                url = f"{scheme}://{server.user}@{server.host}:{server.port}/{name}"
                self.several.add(name, destination=url, **trust)
            self.several.say("wrong-password", "not the password")
            self.several.add(WRONG, password_file="wrong-password")
            folders = {name: self.several.folder / name for name in (*self.servers, WRONG)}
            self.sources = {name: Source(name, folder, self.chance) for name, folder in folders.items()}
            self.sites = {name: Site(name, server.docroot / name) for name, server in self.servers.items()}
            self.locks = {name: threading.Lock() for name in self.sources}
            self.service = Service(self.several)
            self.asker = Asker(self.service)
            yield

    def run(self, each_minute: Callable[[float], None]) -> None:
        """Run it all to its end."""
        with self.service.running() as process:
            self._first_passes()
            self.begun = time.monotonic()
            threads = [threading.Thread(target=self._guarded, args=(each,)) for each in (self._watch, self._ask)]
            incidents = threading.Thread(target=self._guarded, args=(self._incidents,))
            for thread in (*threads, incidents):
                thread.start()
            self._guarded(lambda: self._change_until_over(incidents, each_minute))
            self._guarded(self._settle)
            self._over.set()
            for thread in (*threads, incidents):
                thread.join()
            self._guarded(self._compare)
            process.terminate()
            if (code := process.wait(30)) != 143:
                self.wrong.append(f"it ended with {code} after SIGTERM")

    def _guarded(self, run: Callable[[], None]) -> None:
        """Run a part of it, and note what goes wrong there."""
        try:
            run()
        except Exception:  # noqa: BLE001 - each part is a thread, and the others go on
            self.wrong.append(traceback.format_exc())

    def _first_passes(self) -> None:
        for name in self.sites:
            eventually(lambda name=name: self.service.has_passed(name, 0.0), f"the first pass of {name}", 120)  # type: ignore[misc]

    # What goes on all the time.

    def _watch(self) -> None:
        last = time.monotonic()
        while not self._over.wait(LOOKS_EACH_S):
            for site in self.sites.values():
                site.look()
            now = time.monotonic()
            if now - last > 0.2:
                self.gaps.append((now, now - last))
            last = now

    def _ask(self) -> None:
        next_at = time.monotonic()
        while not self._over.wait(max(0.0, next_at - time.monotonic())):
            self.service.read()
            self.needs.append(needs_of(self.service.pid))
            self.asker.ask()
            next_at = max(next_at + 1, time.monotonic())

    def _change_until_over(self, incidents: threading.Thread, each_minute: Callable[[float], None]) -> None:
        due = {name: self.begun + self.chance.uniform(0, CHANGE_EACH_S) for name in self.sources}
        bursts = {name: self.begun + self.chance.uniform(10, min(BURST_EACH_S, self.seconds)) for name in self.sites}
        minutes = 0
        while (now := time.monotonic()) < self.begun + self.seconds or incidents.is_alive():
            for name in [name for name, at in due.items() if at <= now]:
                self._change(name)
                due[name] = time.monotonic() + self.chance.expovariate(1 / CHANGE_EACH_S)
            for name in [name for name, at in bursts.items() if at <= now]:
                self._burst(name)
                bursts[name] = time.monotonic() + self.chance.expovariate(1 / BURST_EACH_S)
            if now >= self.begun + 60 * (minutes + 1):
                minutes += 1
                each_minute(minutes)
            self._over.wait(max(0.0, min(*due.values(), *bursts.values(), now + 1) - time.monotonic()))

    def _change(self, name: str) -> None:
        site = self.sites.get(name)
        with self.locks[name]:
            if site is None:
                self.sources[name].change(lambda path: False, deletes=True)
                return
            is_taken = (lambda path: False) if OUTAGE in site.why_apart else site.is_taken
            self._expect(self.sources[name].change(is_taken, deletes=GUARD not in site.why_apart))

    def _burst(self, name: str) -> None:
        with self.locks[name]:
            if GUARD not in self.sites[name].why_apart:
                for change in self.sources[name].burst():
                    self._expect(change)

    def _expect(self, change: Change) -> None:
        self.sites[change.mirror].expect(change)
        self.changes.append(change)

    # What happens now and then.

    def _incidents(self) -> None:
        """Let one thing happen after the other, all within the time; each ends when all is well again."""
        first, last = min(60.0, self.seconds / 12), self.seconds - min(180.0, self.seconds / 3)
        kinds = [self._trip_and_put_back, self._trip_and_allow, self._break_settings]
        number = max(len(kinds) + 2, int((last - first) / INCIDENT_EACH_S))
        kinds *= max(1, number // 15)
        whole = [*kinds, *[self._stop_a_server] * (number - len(kinds))]
        self.chance.shuffle(whole)
        for place, incident in enumerate(whole):
            at = self.begun + first + (last - first) * place / number
            self._over.wait(max(0.0, at - time.monotonic()))
            self._guarded(incident)

    def _say(self, text: str) -> None:
        self.incidents.append(f"{(time.monotonic() - self.begun) / 60:6.2f} min  {text}")

    def _any_mirror(self) -> str:
        return self.chance.choice(sorted(self.sites))

    def _stop_a_server(self) -> None:
        name = self._any_mirror()
        server, site = self.servers[name], self.sites[name]
        seconds = self.chance.uniform(3, max(4.0, min(LONGEST_OUTAGE_S, self.seconds / 24)))
        site.set_apart(OUTAGE)
        server.stop()
        self._over.wait(seconds)
        server.start()
        started = time.monotonic()
        self.outages[name].append(seconds)
        eventually(lambda: self.service.has_passed(name, started), f"{name} goes on", RECOVERS_WITHIN_S)
        self.recoveries.append(time.monotonic() - started)
        site.count_again(OUTAGE)
        self._say(f"{name} was away for {seconds:.0f} s, mirrored {self.recoveries[-1]:.1f} s after its start")

    def _trip(self, name: str, take_away: Callable[[], None]) -> None:
        self.sites[name].set_apart(GUARD)
        with self.locks[name]:
            take_away()
        eventually(lambda: self.asker.conditions.get(name) == STOPPED, f"{name} is {STOPPED}", RECOVERS_WITHIN_S)
        self._over.wait(min(30.0, self.seconds / 24))

    def _is_well(self, name: str) -> None:
        eventually(lambda: self.asker.conditions.get(name) != STOPPED, f"{name} is not {STOPPED}", RECOVERS_WITHIN_S)
        self.sites[name].count_again(GUARD)

    def _trip_and_put_back(self) -> None:
        name = self._any_mirror()
        source, away = self.sources[name], self._folder / "away"
        self._trip(name, lambda: source.take_bulk_away(away))
        if not (self.sites[name].folder / BULK / "0" / "0").exists():
            self.wrong.append(f"{name}: the guard kept nothing")
        with self.locks[name]:
            source.put_bulk_back(away)
        back = time.monotonic()
        eventually(lambda: self.service.has_passed(name, back), f"{name} goes on", RECOVERS_WITHIN_S)
        self._is_well(name)
        self._say(f"{name}: a guard tripped, and was lifted by what came back")

    def _trip_and_allow(self) -> None:
        name = self._any_mirror()
        source, site = self.sources[name], self.sites[name]
        self._trip(name, source.delete_bulk)
        self.several.tables[name]["max-delete"] = "100%"
        self._reload(name)
        eventually(lambda: not (site.folder / BULK).exists(), f"{name}: all is deleted", RECOVERS_WITHIN_S)
        del self.several.tables[name]["max-delete"]
        self._reload(name)
        with self.locks[name]:
            source.make_bulk()
            left: dict[str, bytes | None] = {path: each for path, each in source.files.items() if path.startswith(BULK)}
            self._expect(bulk := Change(name, "bulk", left))
        eventually(lambda: bulk.seen_at > 0, f"{name}: all is there again", RECOVERS_WITHIN_S)
        self._is_well(name)
        self._say(f"{name}: a guard tripped, and was lifted by settings, read again twice (SIGHUP)")

    def _reload(self, name: str) -> None:
        self.several.configure()
        self.asker.restarting = name
        self.service.hang_up()
        since = time.monotonic()
        eventually(lambda: self.service.has_passed(name, since), f"{name} goes on", RECOVERS_WITHIN_S)
        self.asker.restarting = ""

    def _break_settings(self) -> None:
        """Have a broken file read again, and then the whole one: nothing may change."""
        self.service.read()
        before = self.service.not_reloaded
        self.several.file.write_text(self.several.file.read_text() + "[mirror.\n")
        self.service.hang_up()
        try:
            eventually(lambda: self._is_told(before), "the broken file is told", 30)
        finally:
            self.several.configure()
        self.service.hang_up()
        self._say("settings that were broken, and whole again, were read again (SIGHUP)")

    def _is_told(self, before: int) -> bool:
        self.service.read()
        return self.service.not_reloaded == before + 1

    # The end.

    def _settle(self) -> None:
        """Wait until all that was changed is there."""
        eventually(lambda: not any(site.waiting for site in self.sites.values()), "all changes are there", 180)
        eventually(self._all_in_sync, "all are in sync", 60)

    def _all_in_sync(self) -> bool:
        return all(self.asker.conditions.get(name) == "in sync" for name in self.sites)

    def _compare(self) -> None:
        for name, site in self.sites.items():
            source = self.sources[name].folder
            if contents(source) != contents(site.folder) or names(source) != names(site.folder):
                there, here = contents(site.folder), contents(source)
                differ = [path for path in there.keys() | here.keys() if there.get(path) != here.get(path)]
                self.wrong.append(f"{name}: the trees differ: {differ[:10]} {names(source) ^ names(site.folder)}")
        if (self.servers["vsftpd"].docroot / WRONG).exists():
            self.wrong.append("something was mirrored with the wrong password")

    def clear(self) -> None:
        """Remove all that was made."""
        shutil.rmtree(self._folder, ignore_errors=True)
