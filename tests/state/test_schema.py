"""One specification gives the columns of a version, its rows, and what is read from them."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_mirror.model.entry import UNKNOWN, Entry, Kind
from async_mirror.state.schema import (
    CANDIDATES,
    HELD,
    PENDING,
    VERSION_COLUMNS,
    Table,
    bring_up_to_date,
    insert,
    row_of,
    version_of,
)

NUMBERS = st.integers(-(1 << 63) + 1, (1 << 63) - 1)
ENTRIES = st.builds(
    Entry,
    st.just("folder/name"),
    st.sampled_from(Kind),
    size=NUMBERS,
    mtime_ns=NUMBERS,
    mode=st.integers(UNKNOWN, 0o777),
    inode=st.integers(0, (1 << 64) - 1),
    mount=st.booleans(),
    digest=st.binary(max_size=16),
    ctime_ns=NUMBERS,
    site_size=NUMBERS,
    site_mtime_ns=NUMBERS,
)
KEYS: dict[str, tuple[object, ...]] = {
    "held": (b"folder", b"name"),
    "pending": (b"folder/name", "token", 0, b"", 0, 0, 0, 1, 1),
    "candidates": (b"folder/name", "token", 0),
}


@pytest.fixture(scope="module")
def database() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as made:
        bring_up_to_date(made)
        yield made


def test_version_has_a_column_for_each_field_of_an_entry_after_its_path() -> None:
    assert tuple(VERSION_COLUMNS) == Entry._fields[1:]


@pytest.mark.parametrize("table", [HELD, PENDING, CANDIDATES], ids=lambda table: table.name)
@given(version=st.none() | ENTRIES)
def test_version_is_read_from_any_table_as_it_was_written(
    database: sqlite3.Connection, table: Table, version: Entry | None
) -> None:
    insert(database, table, [(*KEYS[table.name], *row_of(version))])
    [row] = database.execute(f"SELECT {', '.join(VERSION_COLUMNS)} FROM {table.name}")
    assert repr(version_of("folder/name", row)) == repr(version)


def test_candidates_go_with_what_was_pending(database: sqlite3.Connection) -> None:
    nothing = row_of(None)
    insert(database, PENDING, [(b"a", token, 0, b"", 0, 0, 0, 1, 1, *nothing) for token in "st"])
    insert(database, CANDIDATES, [(path, token, 0, *nothing) for path in (b"a", b"b") for token in "st"])
    database.execute("DELETE FROM pending WHERE path = CAST('a' AS BLOB) AND token = 's'")
    left = database.execute("SELECT path, token FROM candidates WHERE path IN (CAST('a' AS BLOB), CAST('b' AS BLOB))")
    assert left.fetchall() == [(b"a", "t"), (b"b", "s"), (b"b", "t")]
