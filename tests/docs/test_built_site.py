"""The site and the man page are built without a warning, load nothing from elsewhere, and have every option."""

from __future__ import annotations

import html
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.messages import EXIT_CODES, quoted, rows
from support.pages import PAGES
from support.program import PROJECT

from async_mirror.cli import cli

LOADS = re.compile(
    r"""<(?:script|img|iframe|source|video|audio|embed|object|link(?![^>]*rel="(?:canonical|license)"))\b[^>]*?"""
    r"""\b(?:src|href|data|srcset)=["'](?P<html>[^"']+)|@import\s+(?:url\()?["']?(?P<css>[^"')]+)"""
    r"""|url\(["']?(?P<url>(?!data:)[^"')]+)""",
    re.IGNORECASE,
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    environment = {**os.environ, "VENV": sys.prefix, "OUT": str(folder)}
    done = subprocess.run(
        [PROJECT / "docs/build"], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return folder


def told(site: Path, page: str) -> str:
    """Return the text of a page without its markup."""
    text = re.sub(r"<[^>]+>", "", (site / "html" / page).read_text(encoding="utf-8"))
    return " ".join(html.unescape(text).split())


def test_every_page_is_built_and_in_the_contents(site: Path) -> None:
    contents = (site / "html/index.html").read_text(encoding="utf-8")
    for page in PAGES:
        if page.startswith("docs/"):
            built = f"{Path(page).stem}.html"
            assert (site / "html" / built).is_file()
            assert built == "index.html" or f'href="{built}"' in contents, built


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    files = [path for path in (site / "html").rglob("*") if path.suffix in {".html", ".css", ".svg"}]
    loads = {
        next(filter(None, found.groups()))
        for path in files
        for found in LOADS.finditer(path.read_text(encoding="utf-8"))
    }
    assert any("furo.css" in each for each in loads)
    assert [each for each in loads if re.match(r"(?:[a-z]+:)?//", each)] == []


def test_what_a_page_would_load_is_found() -> None:
    for markup in (
        '<script src="https://e.org/a.js">',
        '<link rel="stylesheet" href="//e.org/a.css">',
        "@import url(http://e.org)",
        "src: url('https://e.org/font.woff2')",
    ):
        (found,) = LOADS.finditer(markup)
        assert "//e.org" in "".join(filter(None, found.groups()))


def test_every_option_is_on_its_page_and_in_the_man_page_with_its_help(site: Path) -> None:
    man = (site / "man/async-mirror.1").read_text(encoding="utf-8").replace("\\-", "-").replace("\\(aq", "'")
    man = " ".join(re.sub(r"\\fB|\\fP", "", man.replace("\\(dq", '"')).split())
    page = told(site, "options.html")
    for command in cli.commands.values():
        for param in command.params:
            for option in (*param.opts, *param.secondary_opts) if param.param_type_name == "option" else ():
                assert option in page, option
                assert option in man, option
            text = getattr(param, "help", None) or ""
            assert " ".join(text.split()) in page, param.name
            assert " ".join(text.split()) in man, param.name


def test_every_message_is_listed_by_its_first_words(site: Path) -> None:
    page = told(site, "messages.html").partition("All messages, by their first words")[2]
    messages = [text for heading, cells in rows() if heading != EXIT_CODES and (text := quoted(cells[0]))]
    assert len(messages) > 200
    assert [message for message in messages if " ".join(message.split()) not in page] == []


def test_the_man_page_can_be_shown(site: Path) -> None:
    command = shutil.which("man")
    if not command:
        if os.environ.get("CI") == "true":
            pytest.fail("no man here: install man-db")
        pytest.skip("no man here")
    done = subprocess.run(
        [command, "--local-file", "--warnings", site / "man/async-mirror.1"],
        env={**os.environ, "MANPAGER": "cat", "MANWIDTH": "100", "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "async-mirror sync" in done.stdout
