"""What the table of patterns on the page says is so."""

import re

import pytest
from support.pages import PAGES

from async_mirror.model.entry import Entry, Kind
from async_mirror.model.selection import Selection

ROWS = set(re.findall(r"^\| `([^`]+)` \|", PAGES["docs/exclude.md"], re.MULTILINE))
TRIED = {
    "*.tmp": (["a.tmp", "blog/b.tmp", "old.tmp/page"], ["tmp", "a.tmp.txt"]),
    ".git/": ([".git/config", "module/.git/config"], [".gitignore"]),
    "/drafts/": (["drafts/idea"], ["blog/drafts/idea"]),
    "drafts/*": (["drafts/idea", "drafts/deep/idea"], ["blog/drafts/idea"]),
    "**/cache/": (["cache/a", "blog/cache/a"], ["cache"]),
    "notes-??.txt": (["notes-01.txt", "blog/notes-01.txt"], ["notes-1.txt"]),
    "!drafts/ready.html": ([], ["drafts/ready.html"]),
}


@pytest.mark.parametrize("pattern", TRIED)
def test_a_pattern_excludes_what_the_page_says(pattern: str) -> None:
    excluded, mirrored = TRIED[pattern]
    selection = Selection(patterns=("drafts/*", pattern) if pattern.startswith("!") else (pattern,))
    for path in (*excluded, *mirrored):
        is_mirrored = selection.includes_with_parents(Entry(path, Kind.FILE, 1, 1, 0o644))
        assert is_mirrored is (path in mirrored), path


def test_every_pattern_of_the_page_is_tried() -> None:
    assert set(TRIED) == ROWS
