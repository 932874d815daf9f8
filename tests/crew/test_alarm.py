"""What wakes a mirror before its time."""

import asyncio
import signal
from collections.abc import Callable, Sequence

from async_mirror.crew.alarm import Alarm, Wish
from async_mirror.crew.stop import Stop

Step = Callable[[Alarm, Stop], None]


def waited(*calls: Step | None, seconds: float = 60.0, before: Sequence[Step] = ()) -> list[Wish]:
    """Return the wishes that waiting gives, one for each call made while it waits."""

    async def wishes() -> list[Wish]:
        alarm, stop = Alarm(), Stop()
        got = []
        for first in before:
            first(alarm, stop)
        for call in calls:
            if call:
                asyncio.get_running_loop().call_soon(call, alarm, stop)
            got.append(await alarm.wait(seconds, stop))
        return got

    return asyncio.run(wishes())


def test_time_that_has_gone_by_is_a_wish_for_nothing() -> None:
    assert waited(None, seconds=0.001) == [Wish(whole=False)]


def test_folders_are_gathered_and_everything_is_everything() -> None:
    def ring(alarm: Alarm, _: Stop) -> None:
        alarm.ring(["a"])
        alarm.ring(["a/b"])

    assert waited(ring) == [Wish(whole=False, folders=frozenset({"a", "a/b"}))]
    assert waited(lambda alarm, stop: alarm.ring()) == [Wish(whole=True)]


def test_a_wish_made_during_a_pass_is_there_at_once_and_taken_once() -> None:
    assert waited(None, None, seconds=0.001, before=[lambda alarm, stop: alarm.ring(["a"])]) == [
        Wish(whole=False, folders=frozenset({"a"})),
        Wish(whole=False),
    ]


def test_the_request_to_end_wakes_it_before_and_while_it_waits() -> None:
    def end(_: Alarm, stop: Stop) -> None:
        stop.request()

    assert waited(end) == [Wish(whole=False)]
    assert waited(None, before=[end]) == [Wish(whole=False)]


def test_a_pass_is_ended_by_its_own_halt_and_the_program_is_not() -> None:
    alarm, stop = Alarm(), Stop()
    with alarm.passing(stop) as own:
        alarm.halt()
        assert own.requested
    alarm.halt()
    with alarm.passing(stop) as next_one:
        assert not next_one.requested
    assert not stop.requested


def test_the_end_of_the_program_ends_the_pass_before_and_while_it_is_under_way() -> None:
    alarm, stop = Alarm(), Stop()
    with alarm.passing(stop) as own:
        stop.request(signal.SIGINT)
        assert (own.requested, own.signum) == (True, signal.SIGINT)
    with alarm.passing(stop) as next_one:
        assert (next_one.requested, next_one.signum) == (True, signal.SIGINT)


def test_a_halt_between_two_passes_wakes_what_waits_for_the_next_one() -> None:
    assert waited(lambda alarm, stop: alarm.halt()) == [Wish(whole=True)]
    assert waited(None, before=[lambda alarm, stop: alarm.halt()]) == [Wish(whole=True)]
