"""What the documents name exists: options, messages, modules, other documents."""

import re
import shlex
from pathlib import Path

import click
import pytest
from support import picture
from support.program import PROJECT

from async_mirror.cli import cli

DOCUMENTS = {path.name: path.read_text(encoding="utf-8") for path in sorted((PROJECT / "docs").glob("*.md"))}
OTHERS = "coming-from-lftp-or-rclone.md"
OPTIONS = {
    option
    for command in cli.commands.values()
    for parameter in command.params
    for option in (*parameter.opts, *parameter.secondary_opts)
}


def quotes(text: str) -> list[str]:
    """Return what stands between backticks in running text."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE))


def table(text: str, heading: str) -> list[list[str]]:
    """Return the rows of the first table below a heading, without its head."""
    section = text.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    assert len(lines) > 5, heading
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[2:]]


def options_told(text: str) -> set[str]:
    return {
        option
        for quoted in quotes(text)
        for option in re.findall(r"(?<![\w-])--?[a-z][a-z-]*", quoted.split(" -- ")[0])
    }


OF_OTHER_COMMANDS = {"--faults", "--help", "--no-deps", "--user"}


@pytest.mark.parametrize("name", [name for name in DOCUMENTS if name not in {OTHERS, "messages.md"}])
def test_every_option_that_a_document_names_is_one_of_ours(name: str) -> None:
    told = {option for option in options_told(DOCUMENTS[name]) if option.startswith("--")}
    assert told - OF_OTHER_COMMANDS <= OPTIONS


def test_every_option_that_is_said_to_be_ours_is_so() -> None:
    for what, _lftp, _rclone, ours in table(DOCUMENTS[OTHERS], "Options"):
        assert quotes(ours) or "always" in ours, what
        assert options_told(ours) <= OPTIONS, what
        for example in quotes(ours):
            if example.startswith("-"):
                parsed(f"async-mirror sync {_filled(example)} ./site ftpes://me@ftp.example.org/www")


def test_every_option_of_sync_that_others_have_too_is_in_the_table() -> None:
    known = {option for *_, ours in table(DOCUMENTS[OTHERS], "Options") for option in options_told(ours)}
    ours_alone = {
        "--once",
        "--exclude-ext",
        "--perms",
        "--no-progress",
        "--exit-code",
        "--state-dir",
        "--password-file",
    }
    ours_alone |= {"--password-command", "--allow-empty-source", "--allow-unmounted", "--ctime", "--max-verify-uploads"}
    for parameter in cli.commands["sync"].params:
        names = {*parameter.opts, *parameter.secondary_opts}
        if isinstance(parameter, click.Option) and "--help" not in names:
            assert names & (known | ours_alone), names


@pytest.fixture(autouse=True)
def nobody_elses_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no configuration file of this machine be found."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in ("FILE", "issuer.pem", "me.pem"):
        (tmp_path / name).write_text("")


def _filled(example: str) -> str:
    example = example.replace("PATTERN", "drafts/").replace("HEX", "0" * 64)
    return example if " " in example or example not in {"--client-cert", "--client-key"} else f"{example} FILE"


def parsed(command: str) -> click.Context:
    """Parse a command as the program would; a slip in it raises click's UsageError."""
    name, *arguments = shlex.split(command)[1:]
    return cli.commands[name].make_context(name, arguments)


def test_a_wrong_command_would_be_noticed() -> None:
    for wrong in ("--multi X3", "--no-such-option", "--max-delete many"):
        with pytest.raises((click.UsageError, click.ClickException)):
            parsed(f"async-mirror sync {wrong} ./site ftpes://me@ftp.example.org/www")


def test_what_users_see_of_a_server_is_explained_with_the_messages() -> None:
    seen = [
        quoted
        for *_, cell in table(DOCUMENTS["servers.md"], "What async-mirror does about it, and what you see")
        for quoted in quotes(cell)
    ]
    assert len(seen) > 5
    assert [message for message in seen if f"| `{message}` |" not in DOCUMENTS["messages.md"]] == []


def test_every_module_that_a_document_draws_exists() -> None:
    texts = (text for name, text in DOCUMENTS.items() if name != "faults.md")  # that one names tests
    modules = set(re.findall(r"\b(?:[a-z_]+/)?[a-z_]+\.py\b", "".join(texts)))
    assert "multi.py" in modules
    assert {module for module in modules if not (PROJECT / "async_mirror" / module).is_file()} == set()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_leads_somewhere(name: str) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", DOCUMENTS[name]):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        assert not path or (PROJECT / "docs" / path).is_file(), target
        text = DOCUMENTS[Path(path).name if path else name] if anchor else ""
        headings = {
            re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-")
            for each in re.findall(r"^#+ (.*)", text, re.MULTILINE)
        }
        assert not anchor or anchor in headings, target


def test_the_picture_of_the_display_is_what_the_program_draws_now() -> None:
    assert picture.PICTURE.read_text(encoding="utf-8") == picture.draw(), "draw it again: see support/picture.py"
    assert "http" not in picture.draw().replace("http://www.w3.org", "").replace("https://www.textualize.io", "")
