"""The README is read in two minutes, shows the program and says how it is tested."""

from support.pages import PAGES, blocks
from support.program import PROJECT

README = PAGES["README.md"]
COMMANDS = [line for block in blocks("README.md") if block.is_commands for line in block.text.splitlines()]


def test_the_readme_has_at_most_120_lines() -> None:
    assert len(README.splitlines()) <= 120


def test_the_readme_has_one_demonstration_five_everyday_commands_and_the_test_command() -> None:
    assert sum("demo" in command for command in COMMANDS) == 1
    assert sum(command.startswith("async-mirror ") for command in COMMANDS) == 5
    assert COMMANDS.count("tests/run") == 1


def test_the_readme_links_every_page() -> None:
    pages = {path.name for path in (PROJECT / "docs").glob("*.md")} - {"index.md", "options.md", "faults.md"}
    assert [page for page in pages if f"](docs/{page})" not in README] == []
