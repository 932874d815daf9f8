"""When what was touched may be looked at."""

import pytest

from async_mirror.crew.alarm import Wish
from async_mirror.source import burst
from async_mirror.source.burst import FEW, LONGEST, LONGEST_FEW, LONGEST_GONE, MOST, Burst, Touch

SETTLE = 0.5
EVERYTHING = Wish(whole=True)


def folders(*names: str) -> Wish:
    return Wish(whole=False, folders=frozenset(names))


@pytest.fixture
def changes() -> Burst:
    return Burst(SETTLE)


def test_a_path_is_taken_once_it_was_quiet_for_the_settle_time(changes: Burst) -> None:
    assert changes.due_s(10.0) is None
    changes.touch("blog", "a", 10.0)
    changes.touch("blog", "a", 10.3)
    assert changes.due_s(10.3) == pytest.approx(SETTLE)
    assert changes.take(10.7) is None
    assert "blog/a" in changes
    assert changes.take(10.8) == folders("blog")
    assert "blog/a" not in changes
    assert changes.due_s(10.8) is None


def test_a_burst_is_taken_at_its_end_and_all_at_once(changes: Burst) -> None:
    for number in range(5000):
        changes.touch(f"folder {number % 7}", f"{number}", number / 1000)
    assert changes.take(5.0) is None
    assert changes.take(4.999 + SETTLE) == folders(*(f"folder {number}" for number in range(7)))
    assert changes.due_s(6.0) is None


def test_single_changes_do_not_hold_up_one_another_for_long(changes: Burst) -> None:
    waited: dict[str, float] = {}
    for tenth in range(50):
        now = tenth / 10
        if tenth % 4 == 0:
            changes.touch("", f"{tenth}", now)
        before = [f"{each}" for each in range(0, tenth, 4) if f"{each}" in changes]
        if changes.take(now):
            waited |= {each: now - int(each) / 10 for each in before if each not in changes}
    assert len(waited) > 8
    assert max(waited.values()) <= LONGEST_FEW * SETTLE + 0.1


def test_what_happens_almost_together_is_taken_together(changes: Burst) -> None:
    changes.touch("a", "", 1.0)
    changes.touch("b", "", 1.001)
    assert changes.due_s(1.001) == pytest.approx(SETTLE)
    assert changes.take(1.5009) is None
    assert changes.take(1.5011) == folders("a", "b")


def test_what_is_gone_waits_until_all_is_quiet(changes: Burst) -> None:
    changes.touch("out", "page", 1.0, Touch.GONE)
    for tenth in range(10, 40, 2):
        changes.touch("other", f"{tenth}", tenth / 10)
        assert changes.take(tenth / 10 + 0.11) in {None, folders("other")}
    assert "out/page" in changes
    assert changes.take(3.8 + SETTLE) == folders("out", "other")


def test_what_comes_back_is_not_gone(changes: Burst) -> None:
    changes.touch("out", "page", 1.0, Touch.GONE)
    changes.touch("out", "page", 1.3)
    changes.touch("other", "x", 1.6)
    assert changes.take(2.01) == folders("out")


def test_a_path_that_is_never_quiet_holds_up_no_other_for_long_and_is_not_taken(changes: Burst) -> None:
    for tenth in range(100):
        changes.touch("", "log", tenth / 10)
    changes.touch("blog", "old", 9.0, Touch.GONE)
    assert changes.due_s(9.0) == pytest.approx(SETTLE)
    assert changes.take(9.5) == folders("blog")
    assert changes.take(9.9 + SETTLE) == folders("")


def test_a_burst_without_an_end_holds_up_what_is_quiet_no_longer_than_so(changes: Burst) -> None:
    changes.touch("early", "page", 0.0)
    changes.touch("early", "old", 0.0, Touch.GONE)
    taken: dict[str, float] = {}
    for tenth in range(int(LONGEST_GONE * SETTLE * 10) + 10):
        now = tenth / 10
        for number in range(FEW // 4):
            changes.touch("busy", f"{tenth} {number}", now)
        was = "early/old" in changes
        wish = changes.take(now)
        if wish and "early" in wish.folders:
            taken["old" if was and "early/old" not in changes else "page"] = now
    assert taken == {"page": LONGEST * SETTLE, "old": LONGEST_GONE * SETTLE}


def test_what_was_lost_is_everything_once_it_is_quiet(changes: Burst) -> None:
    changes.touch("a", "b", 1.0)
    changes.lose(1.2)
    changes.touch("a", "c", 1.6)
    assert changes.take(2.0) is None
    assert changes.due_s(2.0) == pytest.approx(0.1)
    assert changes.take(2.1) == EVERYTHING
    assert changes.due_s(2.1) is None


def test_more_paths_than_are_kept_are_everything(changes: Burst, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(burst, "MOST", 1000)
    assert MOST > 10_000
    for number in range(5000):
        changes.touch("", f"{number}", 1.0)
    assert changes.take(1.0 + SETTLE) == EVERYTHING


def test_a_folder_as_a_whole_is_no_path_in_it(changes: Burst) -> None:
    changes.touch("blog", "", 1.0)
    changes.touch("", "", 1.0)
    assert "blog" not in changes
    assert changes.take(1.5) == folders("blog", "")
