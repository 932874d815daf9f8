"""Lanes whose hands work in threads and processes: what they are told, how they die, and what is left of them."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.program import eventually
from support.toys import STUCK, Did, Errand, Fatal, Refused, Toy, log

from async_mirror.crew.cap import Climb, FixedCap
from async_mirror.crew.door import OPENINGS_PER_S
from async_mirror.crew.ledger import DEATHS
from async_mirror.crew.mode import Mode
from async_mirror.crew.patience import Patience
from async_mirror.crew.stop import Stop
from async_mirror.crew.work import Finished, Terms, Watcher, WorkerDied
from async_mirror.crew.workers import LAST_SECONDS
from async_mirror.multi import ROOM_PER_LANE, Crew
from async_mirror.remote.errors import (
    ConnectionBroken,
    ConnectionRefused,
    LoginFailed,
    Refusal,
    RemoteError,
    RootMissing,
    SiteUnusable,
)

pytestmark = pytest.mark.smoke

T = TypeVar("T")
AT_ONCE = Patience(retries=5, first_seconds=0.0)
TESTS = Path(__file__).resolve().parents[1]
Listener = Callable[[Errand, int], None]
Ended = Finished[Errand, Did]

far = pytest.mark.parametrize("kind", ["T", "P"])
everywhere = pytest.mark.parametrize("kind", ["A", "T", "P"])


class Ear(Watcher[Errand, Did]):
    """Hears how far items are, and may act upon it."""

    def __init__(self, listener: Listener | None = None) -> None:
        self.amounts: Counter[int] = Counter()
        self.listener = listener

    def advanced(self, lane: int, item: Errand, amount: int) -> None:
        self.amounts[item.number] += amount
        if self.listener:
            self.listener(item, amount)


@dataclass
class Company:
    """A crew that plays with toys in a folder of its own, and all that it needs."""

    kind: str
    folder: Path

    def toy(self, **details: Any) -> Toy:
        return Toy(str(self.folder), self.kind == "P", **details)

    def crew(
        self,
        toy: Toy,
        lanes: int = 1,
        *,
        stop: Stop | None = None,
        listener: Listener | None = None,
        patience: Patience = AT_ONCE,
        **details: Any,
    ) -> Crew[Any, Errand, Did]:
        watcher = details.pop("watcher", None) or Ear(listener)
        cap = details.pop("cap", None)
        terms: Terms[Errand] = Terms(grace_seconds=0.0, **details)
        return Crew(toy, Mode(self.kind, lanes), stop or Stop(), patience, watcher=watcher, cap=cap, terms=terms)

    def play(
        self,
        errands: Sequence[Errand],
        lanes: int = 1,
        overlap: int = 1,
        *,
        toy: Toy | None = None,
        **details: Any,
    ) -> dict[int, Ended]:
        """Return what became of each errand."""

        async def scenario() -> list[Ended]:
            return await everything(self.crew(toy or self.toy(), lanes, **details), errands, overlap)

        ended = play(scenario())
        assert sorted(done.item.number for done in ended) == [errand.number for errand in errands]
        return {done.item.number: done for done in ended}


def play(scenario: Coroutine[Any, Any, T]) -> T:
    """Run a scenario to its end, after which nothing that it started is left."""

    async def bounded() -> T:
        async with asyncio.timeout(60):
            return await scenario

    result = asyncio.run(bounded())
    assert lane_threads() == []
    assert multiprocessing.active_children() == []
    return result


def lane_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "lane"]


async def each(errands: Sequence[Errand]) -> AsyncGenerator[Errand, None]:
    for errand in errands:
        yield errand


async def everything(crew: Crew[Any, Errand, Did], errands: Sequence[Errand], overlap: int = 1) -> list[Ended]:
    async with crew:
        return [done async for batch in crew.run(each(errands), overlap) for done in batch]


@pytest.fixture
def company(kind: str, tmp_path: Path) -> Iterator[Company]:
    made = Company(kind, tmp_path)
    yield made
    assert made.toy().faults == []


# What goes there and comes back.


@far
def test_all_items_are_done_by_the_lanes_and_nowhere_else(company: Company) -> None:
    errands = [Errand(number, load=bytes([number])) for number in range(60)]
    ended = company.play(errands, 3, toy=company.toy(seats=3))
    dids = sorted(done.result for done in ended.values() if done.result)
    assert [did.load for did in dids] == [bytes([number]) for number in range(60)]
    assert {did.attempt for did in dids} == {0}
    assert (os.getpid() in {did.pid for did in dids}) is (company.kind == "T")
    assert threading.get_ident() not in {did.thread for did in dids} or company.kind == "P"
    assert len({(did.pid, did.thread) for did in dids}) <= 3


@far
def test_another_attempt_sees_the_result_before(company: Company) -> None:
    ended = company.play([Errand(0, ("again", "again", "fine"))])
    did = ended[0].result
    assert did is not None
    assert (did.attempt, did.previous, ended[0].error) == (2, 1, "")


@everywhere
def test_amounts_add_up_however_an_item_ends(company: Company) -> None:
    acts = ["advance " * 50 + "leave " + "advance " * 7, "advance " * 50, "advance " * 50 + "raise"]
    ear = Ear()
    company.play([Errand(number, (act,)) for number, act in enumerate(acts)], watcher=ear)
    assert ear.amounts == {0: 57, 1: 50, 2: 50}


@far
def test_left_lets_the_next_item_begin_in_the_same_worker(company: Company) -> None:
    """The first item ends only when the second one, which it makes room for, has told who does it."""
    heard: list[int] = []

    async def scenario() -> None:
        stop = Stop()

        def listener(errand: Errand, amount: int) -> None:
            heard.append(errand.number)
            if heard == [0, 1]:
                stop.request()

        ended = await everything(
            company.crew(company.toy(), stop=stop, listener=listener),
            [Errand(0, ("tell leave hang",)), Errand(1, ("tell hang",))],
            2,
        )
        assert {done.error for done in ended} == {"interrupted"}

    play(scenario())
    assert heard == [0, 1]


@far
def test_what_all_lanes_together_may_do_is_asked_for_where_the_clock_is(company: Company) -> None:
    asked: list[int] = []

    def wait_for(amount: int, now: float) -> float:
        asked.append(amount)
        return 0.001

    ended = company.play([Errand(number, ("ask ask ask",)) for number in range(1, 9)], 2, wait_for=wait_for)
    assert all(done.result for done in ended.values())
    assert sorted(asked) == sorted(list(range(1, 9)) * 3)


@far
def test_who_may_never_go_on_is_cut_like_anybody(company: Company) -> None:
    async def scenario() -> list[Ended]:
        stop = Stop()

        def wait_for(amount: int, now: float) -> float:
            stop.request()
            return 1e6

        return await everything(company.crew(company.toy(), stop=stop, wait_for=wait_for), [Errand(0, ("ask",))])

    assert [done.error for done in play(scenario())] == ["interrupted"]


@everywhere
def test_what_is_logged_anywhere_is_in_the_log_while_it_is_under_way(company: Company) -> None:
    stop = Stop()
    heard: list[logging.LogRecord] = []

    async def scenario() -> None:
        loop = asyncio.get_running_loop()

        class Log(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                heard.append(record)
                loop.call_soon_threadsafe(stop.request)

        listener = Log()
        log.addHandler(listener)
        try:
            await everything(company.crew(company.toy(), stop=stop), [Errand(7, ("log hang",))])
        finally:
            log.removeHandler(listener)

    before = log.level
    log.setLevel(logging.INFO)
    try:
        play(scenario())
    finally:
        log.setLevel(before)
    (record,) = heard
    assert record.getMessage() == "errand 7"
    assert (record.event, record.fields) == ("said", {"number": 7})  # type: ignore[attr-defined]


@far
def test_what_a_perform_has_kept_is_kept_before_it_goes_on(company: Company) -> None:
    kept: list[tuple[int, object]] = []

    async def keep(item: Errand, what: object) -> None:
        await asyncio.sleep(0)
        kept.append((item.number, what))

    ended = company.play([Errand(number, ("keep leave keep",)) for number in range(1, 9)], 2, keep=keep)
    assert all(done.result for done in ended.values())
    assert sorted(kept) == sorted([(number, number) for number in range(1, 9)] * 2)


@far
def test_a_perform_that_can_have_nothing_kept_ends_with_the_reason_and_the_next_one_goes_on(company: Company) -> None:
    async def keep(item: Errand, what: object) -> None:
        raise OSError(f"no room for {what}")

    ended = company.play([Errand(1, ("keep",)), Errand(2)], 1, keep=keep)
    assert ended[1].error == "OSError: no room for 1"
    assert ended[2].result


@far
def test_megabytes_go_both_ways_at_once(company: Company) -> None:
    loads = [os.urandom(8_000_000) for _ in range(4)]
    errands = [Errand(number, ("leave", ""), load=load) for number, load in enumerate(loads)]
    ended = company.play(errands, 1, 4)
    for number, load in enumerate(loads):
        did = ended[number].result
        assert did is not None
        assert did.load == load


@everywhere
def test_items_are_taken_only_as_far_as_there_is_room_while_nobody_looks_at_the_results(company: Company) -> None:
    toy = company.toy()
    taken: list[Errand] = []

    async def many() -> AsyncGenerator[Errand, None]:
        for number in range(1_000_000):
            taken.append(Errand(number))
            yield taken[-1]

    def all_taken_are_done() -> bool:
        return all(toy.noted(f"over {errand.number}") for errand in taken)

    async def scenario() -> None:
        stop = Stop()
        async with company.crew(toy, 2, stop=stop) as crew:
            ended: list[Ended] = []
            async with aclosing(crew.run(many(), 2)) as batches:
                for _ in range(3):
                    ended += await anext(batches)
                    await asyncio.to_thread(eventually, all_taken_are_done, "what was taken is done")
                    assert len(taken) <= len(ended) + 2 * ROOM_PER_LANE
                stop.request()
                async for batch in batches:
                    ended += batch
        assert sorted(done.item.number for done in ended) == [errand.number for errand in taken]

    play(scenario())


# Errors.


@everywhere
def test_an_exception_becomes_a_result_and_the_session_goes_on(company: Company) -> None:
    toy = company.toy()
    ended = company.play([Errand(0, ("raise",)), Errand(1)], toy=toy)
    assert (ended[0].result, ended[0].error) == (None, "Trouble: with 0")
    assert ended[1].result
    assert toy.noted("openings") == 1


@everywhere
@pytest.mark.parametrize(
    ("act", "told"), [("odd", "Odd"), ("cancelled", "interrupted"), ("unpicklable", "I stay here")]
)
def test_what_does_not_travel_is_told_of_all_the_same(company: Company, act: str, told: str) -> None:
    ended = company.play([Errand(0, (act,)), Errand(1)])
    assert told in ended[0].error or (company.kind == "A" and act == "unpicklable")
    assert ended[1].result


@far
def test_an_item_that_cannot_be_sent_there_ends_with_the_error(company: Company) -> None:
    ended = company.play([Errand(0, (), lambda: 0), Errand(1)])  # type: ignore[arg-type]
    assert "<lambda>" in ended[0].error
    assert ended[1].result


@far
def test_a_session_that_broke_is_replaced_and_its_worker_is_not(company: Company) -> None:
    toy = company.toy(seats=1)
    ended = company.play([Errand(number, ("break",)) for number in range(5)], toy=toy)
    assert toy.noted("openings") == 5
    assert len({(done.result.pid, done.result.thread) for done in ended.values() if done.result}) == 1


@far
def test_an_item_that_comes_to_a_broken_session_is_begun_on_the_next_one_alone(company: Company) -> None:
    toy = company.toy()
    ended = company.play([Errand(0, ("leave break",)), Errand(1), Errand(2)], 1, 3, toy=toy)
    assert all(done.result for done in ended.values())
    assert [toy.noted(f"begun {number}") for number in range(3)] == [1, 1, 1]


@far
@pytest.mark.parametrize(("opening", "error"), [("fatal", Fatal), ("odd", Exception), ("broken", ConnectionError)])
def test_an_error_of_the_first_opening_is_judged_and_ends_it(
    company: Company, opening: str, error: type[Exception]
) -> None:
    toy = company.toy(openings=(opening,) * 10)
    crews: list[Crew[Any, Errand, Did]] = []

    async def scenario() -> list[Ended]:
        crews.append(company.crew(toy, 2, patience=Patience(1, 0.0)))
        return await everything(crews[0], [Errand(number) for number in range(5)])

    ended = play(scenario())
    assert all(done.unbegun for done in ended)
    assert isinstance(crews[0].door.failure, error)
    assert toy.noted("openings") <= (1 if opening == "fatal" else 4)


@far
def test_refusals_shrink_the_cap_and_cost_no_item(company: Company) -> None:
    toy = company.toy(seats=2, openings=("fine", "refused", "refused", "fine"))
    crews: list[Crew[Any, Errand, Did]] = []

    async def scenario() -> list[Ended]:
        crews.append(company.crew(toy, 4))
        return await everything(crews[0], [Errand(number, ("leave",)) for number in range(400)])

    assert all(done.result for done in play(scenario()))
    assert crews[0].door.refused
    assert crews[0].door.failure is None
    assert crews[0].door.most_open <= crews[0].door.limits.lanes == 2


@pytest.mark.parametrize(
    "error",
    [
        *(kind("said", "530 no") for kind in (RemoteError, ConnectionBroken, ConnectionRefused, LoginFailed)),
        *(kind("said", "550 no") for kind in (SiteUnusable, RootMissing)),
        Refusal("said", "452 no", transient=True, no_space=True),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_of_a_site_travel_with_all_they_tell(error: RemoteError) -> None:
    there = pickle.loads(pickle.dumps(error))
    assert type(there) is type(error)
    assert (there.told, there.advice, vars(there)) == (error.told, error.advice, vars(error))


# Deaths.


@far
def test_an_item_that_killed_one_worker_is_done_by_another(company: Company) -> None:
    toy = company.toy(seats=2)
    ended = company.play([Errand(0, ("die",)), Errand(1, ("leave die", "die")), Errand(2)], 2, 2, toy=toy)
    assert [done.error for done in ended.values()] == ["", "", ""]
    assert ended[0].result
    assert ended[0].result.attempt >= 1


@far
def test_what_kills_three_workers_is_a_failure_and_the_rest_goes_on(company: Company) -> None:
    toy = company.toy(seats=2)
    errands = [Errand(number, ("die",) * 9 if number == 3 else ()) for number in range(20)]
    ended = company.play(errands, 2, toy=toy)
    assert toy.noted("begun 3") == DEATHS == 3
    assert ended[3].result is None
    assert "died" in ended[3].error
    assert "3 times" in ended[3].error
    assert not ended[3].unbegun
    assert all(done.result for number, done in ended.items() if number != 3)


@far
def test_deaths_do_not_use_up_retries_nor_retries_deaths(company: Company) -> None:
    acts = ("again", "die", "again", "die", "again", "fine")
    ended = company.play([Errand(0, acts)], patience=Patience(3, 0.0))
    assert ended[0].result
    assert (ended[0].result.attempt, ended[0].result.previous) == (5, 4)


@far
@pytest.mark.parametrize("opening", ["die", "die soon"])
def test_a_worker_that_dies_while_it_opens_or_right_after_costs_no_item(company: Company, opening: str) -> None:
    toy = company.toy(seats=2, openings=("fine", opening, opening))
    ended = company.play([Errand(number, ("leave",)) for number in range(50)], 2, toy=toy)
    assert all(done.result for done in ended.values())


@far
@pytest.mark.parametrize("opening", ["die", "die soon"])
def test_workers_that_always_die_when_they_open_end_it(company: Company, opening: str) -> None:
    toy = company.toy(seats=1, openings=(opening,) * 100)
    ended = company.play([Errand(number) for number in range(2)], toy=toy, patience=Patience(2, 0.0))
    assert all(done.result is None for done in ended.values())
    assert toy.noted("openings") <= 3 * 2 * DEATHS


@pytest.mark.parametrize("kind", ["P"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_process_killed_from_outside_is_noticed_at_once_and_its_items_are_done_by_another(
    company: Company, number: int
) -> None:
    killed: list[int] = []

    def kill(errand: Errand, pid: int) -> None:
        killed.append(pid)
        os.kill(pid, number)

    errands = [Errand(0, ("leave tell hang",)), Errand(1), Errand(2)]
    ended = company.play(errands, 1, 2, listener=kill)
    assert len(killed) == 1
    for done in ended.values():
        assert done.result
    assert ended[0].result
    assert ended[0].result.pid != killed[0]


@pytest.mark.parametrize("kind", ["P"])
def test_a_process_killed_while_it_is_idle_is_replaced_when_it_is_needed(company: Company) -> None:
    async def scenario() -> list[Ended]:
        async with company.crew(company.toy(seats=1)) as crew:
            first = [done async for batch in crew.run(each([Errand(0)])) for done in batch]
            (child,) = multiprocessing.active_children()
            child.kill()
            await asyncio.get_running_loop().run_in_executor(None, child.join)
            second = [done async for batch in crew.run(each([Errand(1)])) for done in batch]
            return first + second

    first, second = play(scenario())
    assert first.result
    assert second.result
    assert first.result.pid != second.result.pid


@far
def test_what_was_begun_by_a_worker_that_died_is_not_unbegun_when_the_stop_comes(company: Company) -> None:
    """Nobody knows what it did, so nobody may take it for untouched."""

    toy = company.toy(openings=("fine", "hang"))
    (done,) = play(stopped_while_an_opening_hangs(company, toy, Errand(0, ("die",))))
    assert not done.unbegun
    assert "died" in done.error


async def stopped_while_an_opening_hangs(company: Company, toy: Toy, errand: Errand) -> list[Ended]:
    stop = Stop()

    async def ask_to_stop() -> None:
        await asyncio.to_thread(eventually, lambda: toy.noted("hanging") > 0, "the opening hangs")
        stop.request()

    asking = asyncio.create_task(ask_to_stop())
    ended = await everything(company.crew(toy, stop=stop), [errand])
    await asking
    return ended


# The end.


@far
def test_nothing_is_left_open_when_a_crew_has_ended(company: Company) -> None:
    company.play([Errand(0)])  # what is made once and kept, such as the resource tracker's pipe
    before = set(os.listdir("/proc/self/fd"))
    company.play([Errand(number, ("break die", "leave")) for number in range(4)], 2, 2)
    assert len(os.listdir("/proc/self/fd")) == len(before)


@far
@pytest.mark.parametrize("act", ["stick", "leave stick"])
def test_a_stop_cuts_what_hangs_and_it_ends(company: Company, act: str) -> None:
    async def scenario() -> list[Ended]:
        stop = Stop()

        def listener(errand: Errand, amount: int) -> None:
            assert amount == STUCK
            stop.request()

        crew = company.crew(company.toy(), 2, stop=stop, listener=listener)
        return await everything(crew, [Errand(number, (act,)) for number in range(8)], 2)

    ended = play(scenario())
    assert {done.error for done in ended if done.error} == {"interrupted"}
    assert all(done.unbegun for done in ended if not done.error)
    toy = company.toy()
    assert all(toy.noted(f"begun {number}") == toy.noted(f"over {number}") for number in range(8))


@far
def test_a_stop_ends_an_opening_that_hangs(company: Company) -> None:
    toy = company.toy(openings=("hang",))
    ended = play(stopped_while_an_opening_hangs(company, toy, Errand(0)))
    assert [done.unbegun for done in ended] == [True]


@far
def test_an_error_of_the_consumer_ends_all_workers(company: Company) -> None:
    async def scenario() -> None:
        async with company.crew(company.toy(), 2) as crew:
            async for _ in crew.run(each([Errand(0), Errand(1, ("hang",)), Errand(2, ("hang",))])):
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        play(scenario())


@pytest.mark.parametrize("kind", ["P"])
def test_a_process_that_ignores_everything_is_killed(company: Company) -> None:
    async def scenario() -> tuple[list[Ended], float]:
        stop = Stop()
        begun: list[float] = []

        def listener(errand: Errand, amount: int) -> None:
            begun.append(asyncio.get_running_loop().time())
            stop.request()

        crew = company.crew(company.toy(), stop=stop, listener=listener)
        ended = await everything(crew, [Errand(0, ("tell block",))])
        return ended, asyncio.get_running_loop().time() - begun[0]

    ended, seconds = play(scenario())
    assert [done.error for done in ended] == ["interrupted"]
    assert seconds < 2 * LAST_SECONDS + 2


def test_processes_are_deaf_to_signals_from_their_first_moment_on(tmp_path: Path) -> None:
    """A Ctrl-C in a terminal reaches all processes; one that is just being started would die with a traceback.

    The program is fresh, because with its first process the language's library starts one of its own.
    """
    with playing(tmp_path, "P", "hang") as program:
        masks = [int(mask_of(pid, "SigBlk"), 16) for pid in program.workers]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        assert all(mask & 1 << (number - 1) for mask in masks), number


def mask_of(pid: int, name: str) -> str:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith(name))


# The crew in a program of its own, which is killed or interrupted.

PROGRAM = """
import asyncio, os, sys
from async_mirror.multi import run
from async_mirror.multi import Crew
from async_mirror.crew.mode import Mode
from async_mirror.crew.patience import Patience
from async_mirror.crew.work import Terms, Watcher
from support.toys import Errand, Toy

class Tell(Watcher):
    def advanced(self, lane, item, amount):
        os.write(1, b"%d\\n" % amount)

async def each(count):
    for number in range(count):
        yield Errand(number, ("tell " + sys.argv[3],))

async def main(stop):
    lock = os.open(sys.argv[2] + "/lock", os.O_RDWR | os.O_CREAT, 0o600)
    import fcntl
    fcntl.flock(lock, fcntl.LOCK_EX)
    toy = Toy(sys.argv[2], sys.argv[1] == "P")
    mode = Mode(sys.argv[1], 2)
    async with Crew(toy, mode, stop, watcher=Tell(), terms=Terms(kept=[lock], grace_seconds=0.5)) as crew:
        async for batch in crew.run(each(2)):
            pass
    return 128 + stop.signum

if __name__ == "__main__":
    sys.exit(run(main))
"""


@dataclass
class Playing:
    """The program, and the workers that it told of."""

    process: subprocess.Popen[bytes]
    workers: list[int]
    lock: Path

    def is_locked(self) -> bool:
        lock = os.open(self.lock, os.O_RDWR)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return False


@contextmanager
def playing(folder: Path, kind: str, act: str) -> Iterator[Playing]:
    """Start the program in a group of its own, and wait until both its lanes are at work."""
    path = folder / "playing.py"
    path.write_text(PROGRAM)
    environment = {**os.environ, "PYTHONPATH": f"{TESTS.parent}:{TESTS}"}
    process = subprocess.Popen(
        [sys.executable, str(path), kind, str(folder), act],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        start_new_session=True,
    )
    assert process.stdout is not None
    with process:
        try:
            yield Playing(process, [int(process.stdout.readline()) for _ in range(2)], folder / "lock")
        finally:
            process.kill()


def lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def test_processes_end_by_themselves_when_the_program_is_killed_and_keep_its_lock_until_then(tmp_path: Path) -> None:
    with playing(tmp_path, "P", "hang") as program:
        for pid in program.workers:
            os.kill(pid, signal.SIGSTOP)
        program.process.kill()
        program.process.wait()
        first, second = program.workers
        assert program.is_locked()
        os.kill(first, signal.SIGCONT)
        eventually(lambda: not lives(first), "the first worker ended")
        assert program.is_locked(), "the other one still lives"
        os.kill(second, signal.SIGCONT)
        eventually(lambda: not lives(second), "the second worker ended")
        assert not program.is_locked()


@pytest.mark.few(2)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@far
def test_a_signal_to_the_whole_group_ends_it_without_a_word_and_leaves_nobody(
    tmp_path: Path, kind: str, number: int
) -> None:
    with playing(tmp_path, kind, "hang") as program:
        os.killpg(program.process.pid, number)
        out, err = program.process.communicate(timeout=10)
        assert (program.process.returncode, out, err) == (128 + number, b"", b"")
        eventually(lambda: group_of(program.process.pid) == [], "nobody of the group is left", 5)


@far
def test_a_second_signal_ends_it_at_once_and_leaves_nobody(tmp_path: Path, kind: str) -> None:
    with playing(tmp_path, kind, "block") as program:
        for _ in range(2):
            os.kill(program.process.pid, signal.SIGTERM)
            eventually(lambda: pending_signals(program.process.pid) == 0, "the signal was taken")
        assert program.process.wait(2) == 128 + signal.SIGTERM
        if kind == "P":  # a process that is deaf to its socket is all that is left, and ends when it is not
            for pid in program.workers:
                os.kill(pid, signal.SIGKILL)
        eventually(lambda: group_of(program.process.pid) == [], "nobody of the group is left", 5)


def pending_signals(pid: int) -> int:
    try:
        return int(mask_of(pid, "ShdPnd"), 16)
    except (OSError, StopIteration):
        return 0


def group_of(leader: int) -> list[int]:
    """List the living processes of a group."""
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdecimal() and lives(int(path.name)):
            try:
                if os.getpgid(int(path.name)) == leader:
                    found.append(int(path.name))
            except ProcessLookupError:
                continue
    return found


# At most so many openings in a second.


@everywhere
def test_sessions_are_opened_so_many_in_a_second_at_the_most(company: Company) -> None:
    toy = company.toy(seats=1)
    count = 2 * OPENINGS_PER_S + 2
    ended = company.play([Errand(number, ("break",)) for number in range(count)], toy=toy)
    assert all(done.result for done in ended.values())
    times = toy.times()
    assert len(times) == count
    assert all(late - early > 0.95 for early, late in zip(times, times[OPENINGS_PER_S:], strict=False))


# Under any mix of troubles.


@dataclass(frozen=True)
class Mix:
    lanes: int
    adaptive: bool
    limit: int | None
    overlap: int
    retries: int
    items: tuple[tuple[str, ...], ...]
    openings: tuple[str, ...]
    stop_after: int | None


FAIR = ["fine", "leave fine", "again", "leave again", "raise", "break", "break again", "leave break", "advance ask"]
ACTS = st.sampled_from([*FAIR, *FAIR, "odd", "die", "leave die", "stick"])
MIXES = st.builds(
    Mix,
    st.integers(1, 4),
    st.booleans(),
    st.none() | st.integers(1, 4),
    st.integers(1, 3),
    st.integers(0, 2),
    st.lists(st.lists(ACTS, max_size=4).map(tuple), max_size=10).map(tuple),
    st.lists(
        st.sampled_from(["fine", "fine", "fine", "refused", "broken", "die", "die soon", "fatal"]), max_size=5
    ).map(tuple),
    st.none() | st.integers(0, 8),
)


def mixed(kind: str, mix: Mix) -> None:
    with tempfile.TemporaryDirectory() as folder:
        cap = min(mix.lanes, mix.limit or mix.lanes)
        company = Company(kind, Path(folder))
        toy = company.toy(seats=cap, openings=mix.openings)
        errands = [Errand(number, acts) for number, acts in enumerate(mix.items)]
        taken: list[Errand] = []
        ended: list[Ended] = []

        async def counted() -> AsyncGenerator[Errand, None]:
            for errand in errands:
                taken.append(errand)
                yield errand

        async def scenario() -> tuple[bool, Crew[Any, Errand, Did]]:
            stop = Stop()

            def listener(errand: Errand, amount: int) -> None:
                if amount == STUCK:
                    stop.request()

            crew = company.crew(
                toy,
                mix.lanes,
                stop=stop,
                listener=listener,
                patience=Patience(mix.retries, 0.0),
                cap=Climb(cap) if mix.adaptive else FixedCap(cap),
                wait_for=lambda amount, now: 0.0,
            )
            async with crew:
                async for batch in crew.run(counted(), mix.overlap):
                    ended.extend(batch)
                    if mix.stop_after is not None and len(ended) >= mix.stop_after:
                        stop.request()
            return stop.requested or crew.door.failure is not None, crew

        cut_short, crew = play(scenario())
        assert toy.faults == []
        assert Counter(done.item.number for done in ended) == Counter(errand.number for errand in taken)
        assert cut_short or taken == errands
        assert crew.door.most_open <= cap
        assert 1 <= crew.door.limits.lanes <= cap
        assert isinstance(crew.door.failure, Fatal | Refused | ConnectionError | WorkerDied | None)
        for done in ended:
            begun = toy.noted(f"begun {done.item.number}")
            assert done.unbegun or begun or "died" in done.error or "interrupted" in done.error
            assert not (done.unbegun and begun)
            assert not done.unbegun or cut_short
            assert begun <= mix.retries + DEATHS
            assert done.error == "" or any(
                told in done.error for told in ("Trouble: with", "Odd: one", "interrupted", "died")
            )
            assert "interrupted" not in done.error or cut_short


MANY = settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
FEW = settings(MANY, max_examples=10)


@MANY
@given(MIXES)
def test_every_item_ends_exactly_once_in_threads_under_any_mix_of_troubles(mix: Mix) -> None:
    mixed("T", mix)


@FEW
@given(MIXES)
def test_every_item_ends_exactly_once_in_processes_under_any_mix_of_troubles(mix: Mix) -> None:
    mixed("P", mix)
