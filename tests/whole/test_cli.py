"""What the command line says of itself, what it completes, what it loads, and how it answers wrong use."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from functools import cache
from pathlib import Path

import click
import pytest
from servers import ServerFactory
from support.program import PROGRAM, PROJECT, Program, Result, contents, names, run_to_end

import async_mirror
from async_mirror import __version__
from async_mirror.options.declared import SYNC

INSTALL = (PROJECT / "docs/install.md").read_text(encoding="utf-8")
COMMANDS = ("", "sync", "config", "ls", "status", "now", "pause", "resume", "healthcheck", "demo")
GROUPS = ["Selection", "When", "Safety", "Connection", "Security", "Output", "Files", "Other"]
SLOW = {"aioftp", "asyncio", "rich", "sqlite3", "aiofiles", "blake3", "pathspec"}
"""What takes long to import."""

each_command = pytest.mark.parametrize("command", COMMANDS)


def run(folder: Path, *arguments: str | Path, **environment: str) -> Result:
    """Run the program as a process in an empty folder, with nothing configured."""
    usual = {"PATH": os.defpath, "HOME": str(folder), "LANG": "C.UTF-8"}
    return run_to_end([*PROGRAM, *arguments], usual | environment, folder=folder)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder for questions that leave nothing in it."""
    return tmp_path_factory.mktemp("empty")


@cache
def help_of(folder: Path, command: str, columns: int = 100) -> str:
    """Return the help of a command as a terminal of so many columns gets it."""
    result = run(folder, *command.split(), "--help", COLUMNS=str(columns))
    assert (result.code, result.err) == (0, "")
    return result.out


def sections(text: str) -> dict[str, str]:
    """Return the parts of a help text by their headings."""
    parts = re.split(r"^([A-Z][A-Za-z ]*):\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def imported(err: str) -> set[str]:
    """Return the packages whose modules a process told that it imported."""
    return {
        line.rpartition("|")[2].strip().partition(".")[0] for line in err.splitlines() if line.startswith("import ")
    }


# Help.


@each_command
def test_help_fits_100_columns_however_wide_the_terminal_is(empty: Path, command: str) -> None:
    for columns in (100, 250):
        lines = help_of(empty, command, columns).splitlines()
        assert 70 < max(map(len, lines)) <= 100


@pytest.mark.parametrize("command", ["", "sync"])
def test_help_has_examples_before_options(empty: Path, command: str) -> None:
    text = help_of(empty, command)
    headings = [re.escape(heading) for heading in sections(text)]
    before = re.split(rf"^(?:{'|'.join(headings)}):\n", text, maxsplit=1, flags=re.MULTILINE)[0]
    assert len(re.findall(r"async-mirror (?:demo|sync)\b.*", before)) >= 3
    assert "--dry-run ./site ftpes://me@host/www" in before


def test_help_of_sync_has_each_option_in_one_group(empty: Path) -> None:
    found = sections(help_of(empty, "sync"))
    assert list(found) == GROUPS
    entries = re.findall(r"^  (-.*?)(?:  |$)", "\n".join(found.values()), re.MULTILINE)
    for param in SYNC:
        if isinstance(param, click.Option):
            name = max(param.opts, key=len)
            assert sum(bool(re.search(rf"{name}(?![a-z-])", entry)) for entry in entries) == 1, name
    assert re.findall(r"^  -.*$", found["Other"], re.MULTILINE) == ["  -h, --help  Show this message and exit."]
    assert len(entries) == sum(isinstance(param, click.Option) for param in SYNC) + 1


@pytest.mark.parametrize(
    ("group", "options"),
    [
        ("Selection", {"exclude", "exclude_from", "exclude_ext", "max_depth", "perms"}),
        ("When", {"every", "once", "dry_run", "rescan"}),
        ("Safety", {"in_place", "existing", "delete", "max_delete", "allow_empty_source", "allow_unmounted"}),
        ("Connection", {"multi", "bwlimit", "timeout", "retries", "retry_for", "temp_name", "pasv_address"}),
        (
            "Security",
            {
                *("password_file", "password_command"),
                *("tls", "ca_cert", "tls_pin", "client_cert", "client_key", "insecure"),
            },
        ),
        ("Output", {"quiet", "verbose", "stats", "exit_code", "no_progress", "json", "log_file", "log_format"}),
        ("Files", {"config", "state_dir"}),
    ],
)
def test_help_of_sync_is_grouped_by_purpose(empty: Path, group: str, options: set[str]) -> None:
    text = sections(help_of(empty, "sync"))[group]
    assert options <= {name.replace("-", "_") for name in re.findall(r"--([a-z-]+)", text)}


def test_list_of_commands_tells_of_each_in_a_whole_sentence(empty: Path) -> None:
    listed = sections(help_of(empty, ""))["Commands"].strip().splitlines()
    assert {line.split()[0] for line in listed} == set(COMMANDS) - {""}
    assert all(line.endswith(".") and not line.endswith("...") for line in listed)


def test_no_arguments_are_answered_with_the_help(empty: Path) -> None:
    result = run(empty, COLUMNS="100")
    assert (result.out, result.err) == (help_of(empty, ""), "")


def test_help_is_given_whatever_is_configured(tmp_path: Path) -> None:
    (tmp_path / "async-mirror.toml").write_text("nonsense = 1")
    assert run(tmp_path, "sync").code == 2
    for arguments in (("sync", "--help"), ("sync", "-h"), ("config", "--help"), ("--help",)):
        assert run(tmp_path, *arguments).code == 0


# What is loaded.


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["sync", "--help"]], ids=" ".join)
def test_asking_the_program_about_itself_loads_nothing_slow(tmp_path: Path, arguments: list[str]) -> None:
    result = run(tmp_path, *arguments, PYTHONPROFILEIMPORTTIME="1")
    assert result.code == 0
    assert {"async_mirror", "click"} <= imported(result.err)
    assert not imported(result.err) & SLOW


def test_completion_loads_nothing_slow(tmp_path: Path) -> None:
    words = {"COMP_WORDS": "async-mirror sync --ex", "COMP_CWORD": "2", "_ASYNC_MIRROR_COMPLETE": "bash_complete"}
    result = run(tmp_path, **words, PYTHONPROFILEIMPORTTIME="1")
    assert "--exclude-from" in result.out
    assert not imported(result.err) & SLOW


def test_unchanged_pass_loads_neither_ftp_nor_the_display(server_factory: ServerFactory, tmp_path: Path) -> None:
    program = Program(tmp_path, server_factory("pyftpdlib"))
    program.write("file", "content")
    program.environment["PYTHONPROFILEIMPORTTIME"] = "1"
    first, second = program.sync(), program.sync()
    assert (first.code, second.code) == (0, 0)
    assert {"aioftp", "blake3"} <= imported(first.err)
    assert {"async_mirror", "sqlite3"} <= imported(second.err)
    assert not imported(second.err) & {"aioftp", "blake3", "rich"}


# Completion.


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_for_completion_is_printed_as_the_readme_tells(tmp_path: Path, shell: str) -> None:
    variable = f"_ASYNC_MIRROR_COMPLETE={shell}_source"
    assert f"{variable} async-mirror" in INSTALL
    result = run(tmp_path, **dict([variable.split("=")]))
    assert result.code == 0
    assert re.search(rf"_ASYNC_MIRROR_COMPLETE={shell}_complete", result.out)


def complete(folder: Path, *words: str) -> list[str]:
    """Return what bash offers for the last of these words, with the script that the program printed."""
    script = run(folder, _ASYNC_MIRROR_COMPLETE="bash_source").out
    command = folder / "async-mirror"
    command.write_text(f'#!/bin/sh\nexec {" ".join(PROGRAM)} "$@"\n')
    command.chmod(0o755)
    ask = f'{script}\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _async_mirror_completion "$1"\n'
    ask += 'printf "%s\\n" "${COMPREPLY[@]}"\n'
    done = subprocess.run(
        ["bash", "-c", ask, "bash", str(command), *words],
        cwd=folder,
        env={"PATH": os.defpath, "HOME": str(folder), "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_bash_completes_commands_and_options_and_choices(tmp_path: Path) -> None:
    (tmp_path / "async-mirror.toml").write_text("nonsense = 1")  # which is no reason to be silent
    assert complete(tmp_path, "") == [
        "config",
        "demo",
        "healthcheck",
        "ls",
        "now",
        "pause",
        "resume",
        "status",
        "sync",
    ]
    assert complete(tmp_path, "sync", "--exc") == ["--exclude", "--exclude-from", "--exclude-ext"]
    assert complete(tmp_path, "sync", "--log-format", "") == ["text", "json"]


# Version.


def test_version_is_told_in_one_line(tmp_path: Path) -> None:
    result = run(tmp_path, "--version")
    assert result == (0, f"async-mirror {__version__}\n", "")


def test_a_variable_that_only_looks_like_an_option_is_none(tmp_path: Path) -> None:
    for value in ("1", "0.1.0"):
        result = run(tmp_path, "config", ASYNC_MIRROR_VERSION=value)
        assert (result.code, result.err) == (0, "")
        assert "multi = " in result.out


# Wrong use.


@pytest.mark.parametrize("command", ["sync", "healthcheck"])
def test_what_is_missing_is_told_with_all_three_places_for_it(tmp_path: Path, command: str) -> None:
    for name, arguments, environment in (
        ("source", [], {}),
        ("source", [], {"ASYNC_MIRROR_DESTINATION": "ftp://me@host/"}),
        ("destination", ["."], {}),
        ("destination", [], {"ASYNC_MIRROR_SOURCE": "."}),
    ):
        result = run(tmp_path, command, *arguments, **environment)
        assert (result.code, result.out) == (2, "")
        (line,) = result.err.splitlines()
        for said in (f"no {name}", "command line", f"ASYNC_MIRROR_{name.upper()}", "async-mirror.toml"):
            assert said in line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sync", "ftp://me@host/www", "./site"], "write the folder first"),
        (["sync", "ftp://me@host/www"], "write the folder first"),
        (["sync", "sftp://me@host/www", "ftp://me@host/www"], "write the folder first"),
        (["healthcheck", "ftp://me@host/www", "./site"], "write the folder first"),
        (["sync", "", "ftp://me@host/www"], "empty"),
        (["sync", ".", ""], "no destination"),
        (["sync", ".", "host:/www"], "ftpes://user@host/path"),
        (["sync", ".", "ftps://me@host:21/"], "write ftpes://"),
        (["sync", ".", "ftpes://me@host:990/"], "write ftps://"),
        (["sync", ".", "ftp://me@host:990/"], "write ftps://"),
        (["healthcheck", ".", "ftps://me@host:21/"], "write ftpes://"),
        (["sync", ".", "ftps://me@host/", "--tls", "on"], "explicit"),
        (["sync", ".", "ftp://me@host/", "more"], "unexpected extra argument"),
        (["sync", "--exclud", "x"], "--exclude"),
        (["sync", "--exclude"], "--exclude"),
        (["sync", "--once=yes"], "--once"),
        (["snyc"], "snyc"),
        (["healthcheck", "--once"], "--once"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_use_is_told_in_one_line_before_anything_is_done(tmp_path: Path, arguments: list[str], said: str) -> None:
    result = run(tmp_path, *arguments)
    assert (result.code, result.out) == (2, "")
    (line,) = result.err.splitlines()
    assert line.startswith("async-mirror: ")
    assert said in line
    assert names(tmp_path) == set()


# Standard streams that are not there, or that nobody reads.


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_keep_nothing_from_being_mirrored(
    closed: str, server_factory: ServerFactory, tmp_path: Path
) -> None:
    program = Program(tmp_path, server_factory("pyftpdlib"))
    program.write("file", "content")
    command = shlex.join(map(str, [*PROGRAM, *program.arguments("--once")]))
    done = subprocess.run(["sh", "-c", f"{command} {closed}"], env=in_source(program), check=False, timeout=60)
    assert done.returncode == 0
    assert contents(program.site) == contents(program.source)


def test_reader_that_is_gone_changes_nothing_of_the_exit_code(server_factory: ServerFactory, tmp_path: Path) -> None:
    program = Program(tmp_path, server_factory("pyftpdlib"))
    program.write("file", "content")
    command = shlex.join(map(str, [*PROGRAM, *program.arguments("--once")]))
    script = f"({command}; echo $? >code) 2>&1 >/dev/null | true"
    subprocess.run(["sh", "-c", script], cwd=tmp_path, env=in_source(program), check=True, timeout=60)
    assert (tmp_path / "code").read_text().strip() == "0"


def in_source(program: Program) -> dict[str, str]:
    """Return an environment in which the program is found from any folder."""
    return program.environment | {"PYTHONPATH": str(Path(async_mirror.__file__).parents[1])}
