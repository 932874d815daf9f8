"""`multi.py` is the one file of multiprogramming: nothing else in the package starts or makes what runs beside."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.law import sitecustomize as law

import async_mirror

PACKAGE = Path(async_mirror.__file__).parent
LAW = PACKAGE / "multi.py"

STARTS = {
    # tasks
    "create_task", "ensure_future", "gather", "TaskGroup", "to_thread", "as_completed", "run_coroutine_threadsafe",
    # threads, processes, programs
    "Thread", "Timer", "Process", "ThreadPoolExecutor", "ProcessPoolExecutor", "Pool", "ThreadPool", "get_context",
    "run_in_executor", "set_default_executor", "start_new_thread", "fork", "forkpty", "posix_spawn", "posix_spawnp",
    "system", "popen", "Popen", "create_subprocess_exec", "create_subprocess_shell", "subprocess_exec",
    "subprocess_shell",
    # queues, semaphores, loops
    "Queue", "PriorityQueue", "LifoQueue", "SimpleQueue", "JoinableQueue", "Semaphore", "BoundedSemaphore",
    "new_event_loop", "set_event_loop", "run_until_complete", "run_forever", "Runner",
    # what listens
    "start_server", "start_unix_server", "create_server", "create_unix_server", "add_signal_handler",
    "add_reader", "add_writer",
}  # fmt: skip
MODULES = {"threading", "multiprocessing", "concurrent", "subprocess", "queue", "_thread", "socketserver"}


def breaches(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the name of each thing in a module that only `multi.py` may use."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names):
                yield from ((node.lineno, each.name) for each in names if each.name.split(".")[0] in MODULES)
            case ast.ImportFrom(module=str(module), names=names):
                if module.split(".")[0] in MODULES:
                    yield node.lineno, module
                elif not module.startswith("async_mirror"):
                    yield from ((node.lineno, each.name) for each in names if each.name in STARTS)
            case ast.Attribute(attr=name) if name in STARTS:
                yield node.lineno, name
            case ast.Call(func=ast.Attribute(value=ast.Name("asyncio"), attr="run")):
                yield node.lineno, "asyncio.run"


@pytest.mark.parametrize("module", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_multi_starts_or_makes_what_runs_beside(module: Path) -> None:
    found = list(breaches(module.read_text()))
    if module == LAW:
        assert {name for _, name in found} >= {"create_task", "Thread", "Process", "Semaphore", "Queue", "Runner"}
    else:
        assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "import threading",
        "import concurrent.futures",
        "from multiprocessing import get_context",
        "from asyncio import Queue",
        "loop.run_in_executor(None, print)",
        "asyncio.create_task(work())",
        "make = asyncio.Semaphore",
        "import subprocess as programs",
        "asyncio.run(main())",
        "asyncio.start_unix_server(serve, path)",
        "loop.add_signal_handler(1, print)",
        "os.fork()",
    ],
)
def test_each_way_to_start_something_is_seen(line: str) -> None:
    assert list(breaches(f"def hidden():\n    {line}"))


def test_multi_is_small_enough_to_be_read() -> None:
    text = LAW.read_text()
    assert len(text.splitlines()) <= 900
    classes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ClassDef)]
    assert {node.name: size for node in classes if (size := (node.end_lineno or 0) - node.lineno + 1) > 250} == {}


def test_multi_knows_neither_ftp_nor_files() -> None:
    imported = {
        node.module
        for node in ast.walk(ast.parse(LAW.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("async_mirror")
    }
    assert {module.split(".")[1] for module in imported} == {"crew"}


STARTER = """
import asyncio, sys
sys.path.insert(0, {folder!r})
from support.law import sitecustomize as law

law.install()
code = compile("def begin(make): return make()", {package!r} + "/sync/made_up.py", "exec")
made_up = {{}}
exec(code, made_up)

async def main():
    await made_up["begin"](lambda: asyncio.create_task(asyncio.sleep(0)))

asyncio.run(main())
"""


def test_who_starts_a_task_outside_multi_is_found_while_it_runs(tmp_path: Path) -> None:
    program = STARTER.format(folder=str(Path(__file__).parent), package=str(PACKAGE))
    subprocess.run([sys.executable, "-c", program], check=True, env={**os.environ, law.VARIABLE: str(tmp_path)})
    told = "".join(file.read_text() for file in tmp_path.iterdir())
    assert "BaseEventLoop.create_task by" in told
    assert "sync/made_up.py:1 in begin" in told
