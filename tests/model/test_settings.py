"""What the settings allow."""

import dataclasses
from pathlib import Path

import pytest

from async_mirror.model.settings import FileLimit, Settings
from async_mirror.model.site import Site


@pytest.mark.parametrize(
    ("limit", "removals", "held", "allowed"),
    [
        (FileLimit(), 20, 20, True),
        (FileLimit(), 21, 21, False),
        (FileLimit(), 50, 100, True),
        (FileLimit(), 51, 100, False),
        (FileLimit(percent=0.0), 20, 20, True),
        (FileLimit(percent=0.0), 1, 21, False),
        (FileLimit(percent=0.0), 0, 21, True),
        (FileLimit(percent=100.0), 10_000, 10_000, True),
        (FileLimit(3), 3, 3, True),
        (FileLimit(3), 4, 1_000_000, False),
        (FileLimit(0), 1, 1, False),
        (FileLimit(0), 0, 0, True),
        (FileLimit(percent=0.0, counts_from=0), 1, 3, False),
    ],
)
def test_a_limit_allows_a_number_or_a_share(limit: FileLimit, removals: int, held: int, allowed: bool) -> None:
    assert limit.allows(removals, held) is allowed


def test_settings_cannot_be_changed() -> None:
    asked = Settings(Path("/srv"), Site("ftp", "host", 21, None, ""))
    with pytest.raises(dataclasses.FrozenInstanceError):
        asked.delete = False  # type: ignore[misc]
