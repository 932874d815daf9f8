"""What a process that runs on keeps of what it has let go of: counted in a process of its own."""

import asyncio
import ctypes
import gc
import platform
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from weakref import ref

import pytest

from async_mirror import multi
from async_mirror.crew.stop import Stop
from async_mirror.service.assemble import share_heap

_THREADS = 4
_YOUNG = 20_000


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library has no heap for each thread")
@pytest.mark.parametrize(("how", "heaps"), [("heaps_apart", range(_THREADS, 100)), ("heaps_shared", range(1, 2))])
def test_threads_of_a_long_run_have_one_heap(how: str, heaps: range) -> None:
    assert _told_by(how).count("<heap nr=") in heaps


def test_an_old_circle_is_gone_two_million_objects_later() -> None:
    assert _told_by("circle") == "gone"


def _told_by(how: str) -> str:
    return subprocess.run(
        [sys.executable, __file__, how], check=True, timeout=60, capture_output=True, text=True
    ).stdout


def _heaps_apart() -> None:
    """Print what glibc tells of its heaps while some threads have allocated, each something."""
    library = ctypes.CDLL(None)
    library.malloc.restype = library.fdopen.restype = ctypes.c_void_p
    library.malloc_info.argtypes = [ctypes.c_int, ctypes.c_void_p]
    library.fflush.argtypes = [ctypes.c_void_p]
    all_have = Barrier(_THREADS)

    def allocate(size: int) -> None:
        library.malloc(size)
        all_have.wait(30)

    with ThreadPoolExecutor(_THREADS) as threads:
        list(threads.map(allocate, [10_000] * _THREADS))
        stream = library.fdopen(1, b"w")
        library.malloc_info(0, stream)
        library.fflush(stream)


def _heaps_shared() -> None:
    share_heap()
    _heaps_apart()


def _circle() -> None:
    """Print whether a circle that was old when it was let go of is gone after so many other objects."""

    async def main(_stop: Stop) -> int:
        gc.collect()
        circle = asyncio.Event()
        vars(circle)["itself"] = circle
        gone = ref(circle)
        gc.collect(0)
        gc.collect(1)
        del circle
        stays: list[list[int]] = []
        for _ in range(100):
            made: list[list[int]] = [[] for _ in range(_YOUNG + 1)]
            stays += made[:100]
        print("gone" if gone() is None else "kept", end="")
        return 0

    multi.run(main)


_WAYS: dict[str, Callable[[], None]] = {
    "heaps_apart": _heaps_apart,
    "heaps_shared": _heaps_shared,
    "circle": _circle,
}

if __name__ == "__main__":
    _WAYS[sys.argv[1]]()
