"""The run of hours: its sources are what they are said to be, it sees what is there, and a short one holds."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from random import Random

import pytest
from endurance.changing import Change, Source
from endurance.course import Course
from endurance.mirrors import Mirrors
from endurance.seeing import Site
from endurance.service import Asker, Needs, Service
from endurance.summary import Summary
from servers import REAL, Kind, available
from support.program import contents, names
from support.several import Several

NEEDED: tuple[Kind, ...] = (*REAL, "inetutils")
ROOT = Path(__file__).parents[2]


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return Source("name", tmp_path / "source", Random(0))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "site").mkdir()
    return Site("name", tmp_path / "site")


def publish(source: Source, site: Site) -> None:
    shutil.rmtree(site.folder)
    shutil.copytree(source.folder, site.folder)


def test_a_source_knows_what_it_holds_whatever_is_changed(source: Source, site: Site) -> None:
    changes = [source.change(site.is_taken, deletes=True) for _ in range(150)]
    changes += [change for _ in range(3) for change in source.burst()]
    assert {change.kind for change in changes} == {
        *("write", "new", "rename", "delete", "move", "burst", "burst deleted")
    }
    assert source.files == contents(source.folder)
    assert {path.parts[0] for path in map(Path, source.files)} == {
        path.removesuffix("/") for path in names(source.folder) if path.count("/") == 1 and path.endswith("/")
    }, "an empty folder is left"


def test_each_change_is_seen_once_it_is_there_and_not_before(source: Source, site: Site) -> None:
    publish(source, site)
    for _ in range(20):
        change = source.change(site.is_taken, deletes=True)
        site.expect(change)
        assert site.look() == []
        publish(source, site)
        assert site.look() == [change]


def test_changes_that_a_later_one_undid_are_not_waited_for(source: Source, site: Site) -> None:
    publish(source, site)
    for _ in range(80):
        site.expect(source.change(lambda path: False, deletes=True))
    publish(source, site)
    seen = site.look()
    assert site.waiting == []
    assert len(seen) + site.superseded == 80
    assert seen
    assert site.superseded


def test_what_was_changed_while_something_was_the_matter_counts_apart(site: Site) -> None:
    before, meanwhile, afterwards = (Change("name", "write", {path: b""}) for path in "abc")
    site.expect(before)
    site.set_apart("outage")
    site.expect(meanwhile)
    site.count_again("outage")
    site.expect(afterwards)
    assert [change.apart for change in site.waiting] == ["outage", "outage", ""]


def grown(folder: Path, per_minute: float) -> list[str]:
    """Return what is told of two hours in which memory grows like that after half an hour."""
    several = Several(folder, 21)
    service = Service(several)
    course = Course(Mirrors(folder, several, {}, {}, {}, service, Asker(service)), 7200, 0)
    course.needs = [
        Needs(60.0 * minute, 60 + per_minute * max(0, minute - 30), 49, 10, minute, 0, 0) for minute in range(120)
    ]
    summary = Summary(course)
    assert len(list(summary.growth())) == 4
    return summary.broken


def test_memory_that_grows_on_and_on_is_told(tmp_path: Path) -> None:
    for name in ("flat", "growing"):
        (tmp_path / name).mkdir()
    assert grown(tmp_path / "flat", 0.01) == []
    (told,) = grown(tmp_path / "growing", 0.1)
    assert told.startswith("rss_mb grew by ")


@pytest.mark.exhaustive
@pytest.mark.skipif(any(map(available, NEEDED)), reason="the real servers are not here")
def test_all_is_there_after_a_minute_in_which_everything_goes_wrong() -> None:
    ran = subprocess.run(
        [ROOT / "tests/endurance/run", "--minutes", "0.2"], capture_output=True, text=True, timeout=600, check=False
    )
    assert "trees equal, all seen: yes" in ran.stdout.splitlines(), ran.stdout + ran.stderr
    for told in ("lifted by settings", "lifted by what came back", "was away", "settings that were broken"):
        assert told in ran.stdout
