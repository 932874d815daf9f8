"""A plug-in of pytest: while a test runs, what is measured is noted under its name, and then how long it took.

So it is in programs that the test runs: they read the configuration anew, with the name in their environment.
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from pathlib import Path

import pytest
from coverage import Coverage

CONFIGURATION = Path(__file__).with_name("coverage.ini")


def pytest_configure() -> None:
    os.environ.pop("COVERAGE_PROCESS_CONFIG", None)  # the parent's, with the name of no test
    os.environ["COVERAGE_PROCESS_START"] = str(CONFIGURATION)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    begun = time.monotonic()
    os.environ["COVERAGE_TEST"] = item.nodeid
    if current := Coverage.current():
        current.switch_context(item.nodeid)
    result = yield
    with open(os.path.join(os.environ["COVERAGE_FOLDER"], "seconds"), "a") as file:
        file.write(f"{item.nodeid}\t{time.monotonic() - begun:.3f}\n")
    return result
