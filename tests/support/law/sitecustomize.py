"""Watches who starts tasks, threads and processes: of our package that is `multi.py` alone.

The suite installs this in itself, and each program that it runs does so too, because Python imports a module of this
name when it starts. What breaks the law is written to a file in the folder that `LAW_OF_MULTI` names.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

VARIABLE = "LAW_OF_MULTI"
_PACKAGE = f"{os.sep}async_mirror{os.sep}"
_LAW = f"{_PACKAGE}multi.py"
THIRD_PARTIES = {
    "aioftp": "its client and its server have tasks of their own",
    "aiofiles": "what it offers runs in the loop's threads",
    "anyio": "watchfiles waits in one of its threads",
    "asyncinotify": "it has ldconfig name the C library when it is loaded",
}
"""Packages that start something by themselves."""
CONNECTING = {"getaddrinfo", "create_connection", "open_connection", "create_datagram_endpoint"}
"""Functions of asyncio that do: names are looked up in a thread."""


def breach() -> str:
    """Return who of our package is about to start something, if that is not `multi.py`; else nothing."""
    frame = sys._getframe(2)
    while frame:
        name = frame.f_code.co_filename
        if f"{os.sep}tests{os.sep}" in name:
            return ""
        if _PACKAGE in name:
            return "" if name.endswith(_LAW) else f"{name}:{frame.f_lineno} in {frame.f_code.co_name}"
        module = frame.f_globals.get("__name__", "").split(".")[0]
        if module in THIRD_PARTIES or (module == "asyncio" and frame.f_code.co_name in CONNECTING):
            return ""
        frame = frame.f_back  # type: ignore[assignment]
    return ""


def environment() -> dict[str, str]:
    """Return what a program needs in its environment to be watched too, and measured if the tests are."""
    measured = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
    return measured | {VARIABLE: os.environ[VARIABLE], "PYTHONPATH": os.path.dirname(__file__)}


def install() -> None:
    """Look at whatever is started in this process from now on."""
    import asyncio
    import multiprocessing.process
    import subprocess
    import threading

    watch(asyncio.BaseEventLoop, "create_task")
    watch(asyncio.BaseEventLoop, "run_in_executor")
    watch(threading.Thread, "start")
    watch(multiprocessing.process.BaseProcess, "start")
    watch(subprocess.Popen, "__init__")


def watch(owner: type[Any], name: str) -> None:
    """Have each call of a method looked at."""
    original: Callable[..., Any] = getattr(owner, name)

    def watched(self: Any, /, *arguments: Any, **keywords: Any) -> Any:
        if told := breach():
            tell(f"{owner.__name__}.{name} by {told}")
        return original(self, *arguments, **keywords)

    setattr(owner, name, watched)


def tell(line: str) -> None:
    """Write down a breach."""
    with open(os.path.join(os.environ[VARIABLE], str(os.getpid())), "a") as file:
        file.write(f"{line}\n")


_WORDS = " ".join(sys.orig_argv)
if (
    os.environ.get(VARIABLE)
    and any(word in _WORDS for word in (" sync", " demo", "spawn_main"))
    and "--help" not in _WORDS
):
    install()
