"""What is done off the event loop, many things at a time."""

import asyncio
import threading
from collections.abc import Sequence

from async_mirror.multi import Batched

SECONDS = 20


def test_what_is_asked_for_during_a_call_goes_together_into_the_next() -> None:
    calls: list[list[int]] = []
    asked = threading.Event()

    def double(numbers: Sequence[int]) -> list[int]:
        calls.append(list(numbers))
        assert asked.wait(SECONDS)
        return [2 * number for number in numbers]

    async def conversation() -> list[int]:
        batched = Batched(double, lambda _: None)
        tasks = [asyncio.create_task(batched(number)) for number in range(40)]
        await asyncio.sleep(0)  # all have asked then
        asked.set()
        async with asyncio.timeout(SECONDS):
            return [await task for task in tasks]

    assert asyncio.run(conversation()) == [2 * number for number in range(40)]
    assert calls[0] == [0]
    assert len(calls) <= 4


def test_call_that_takes_long_holds_up_nobody_else() -> None:
    freed = threading.Event()

    def wait(names: Sequence[str]) -> Sequence[str]:
        if "stuck" in names:
            assert freed.wait(SECONDS)
        return names

    async def conversation() -> None:
        batched = Batched(wait, lambda _: None)
        stuck = asyncio.create_task(batched("stuck"))
        await asyncio.sleep(0)
        async with asyncio.timeout(SECONDS):
            assert await asyncio.gather(*map(batched, "abc")) == ["a", "b", "c"]
        assert not stuck.done()
        freed.set()
        assert await stuck == "stuck"

    asyncio.run(conversation())


def test_result_that_nobody_waits_for_any_more_is_discarded() -> None:
    freed = threading.Event()
    discarded: list[str] = []

    def wait(names: Sequence[str]) -> Sequence[str]:
        assert freed.wait(SECONDS)
        return names

    async def conversation() -> None:
        batched = Batched(wait, discarded.append)
        tasks = [asyncio.create_task(batched("dropped"))]
        await asyncio.sleep(0)
        tasks[0].cancel()
        await asyncio.wait(tasks)
        freed.set()
        async with asyncio.timeout(SECONDS):
            assert await batched("kept") == "kept"

    asyncio.run(conversation())
    assert discarded == ["dropped"]
