"""Tables of mirrors in the configuration file: what each has of its own, over what all have in common."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from support.here import FILE, Here

URL = "ftp://me@localhost"


def says(here: Here, text: str) -> Path:
    file = here.folder / FILE
    file.write_text(text)
    return file


def config(here: Here, *arguments: str, **environment: str) -> dict[str, dict[str, object]]:
    result = here.run("config", *arguments, **environment)
    assert (result.code, result.err) == (0, "")
    tables: dict[str, dict[str, object]] = tomllib.loads(result.out).get("mirror", {})
    return tables


def test_a_table_goes_over_the_file_the_environment_over_both_and_the_command_line_over_all(here: Here) -> None:
    says(
        here, f'every = "1h"\n[mirror.a]\nevery = "2h"\ndestination = "{URL}/a"\n[mirror.b]\ndestination = "{URL}/b"\n'
    )
    assert config(here)["a"]["every"] == "2h"
    assert "every" not in config(here)["b"]
    assert "every" not in config(here, EVERY="3h")["a"]
    assert here.config(EVERY="3h")["every"] == ("3h", "ASYNC_MIRROR_EVERY")
    assert here.config("--every", "4h", EVERY="3h")["every"] == ("4h", "command line")


def test_what_is_printed_reads_back_as_the_same(here: Here) -> None:
    says(
        here, f'[mirror."a.b"]\nsource = "x"\ndestination = "{URL}/a"\nexclude = ["*.tmp"]\n[mirror.c]\nmulti = "T2"\n'
    )
    printed = here.run("config").out
    (here.folder / "printed").write_text(printed)
    again = here.run("config", "--config", "printed").out
    assert tomllib.loads(again) == tomllib.loads(printed)
    assert tomllib.loads(printed)["mirror"]["a.b"]["exclude"] == ["*.tmp"]


def test_only_the_mirrors_that_are_named_are_meant(here: Here) -> None:
    says(here, f'[mirror.a]\ndestination = "{URL}/a"\n[mirror.b]\ndestination = "{URL}/b"\n')
    assert list(config(here, "b")) == ["b"]
    assert list(config(here, "b", "a", "b")) == ["b", "a"]
    assert config(here, "folder", URL) == {}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("mirror = 1\n", "mirror must be a table for each mirror, as in [mirror.shop]"),
        ("[mirror]\na = 1\n", "mirror must be a table for each mirror"),
        ('[mirror."-x"]\n', "a mirror cannot be called '-x'"),
        ('[mirror."a/b"]\n', "a mirror cannot be called 'a/b'"),
        ('[mirror."ftp://x"]\n', "a mirror cannot be called 'ftp://x'"),
        ("[mirror.a]\nevry = 1\n", "unknown key evry"),
        ("[mirror.a]\nevery = true\n", "mirror.a.every must be"),
        ("[mirror.a]\nquiet = true\n", "quiet is the same for all mirrors: write it above [mirror.a]"),
        ('[mirror.a]\nlog-file = "x"\n', "log-file is the same for all mirrors"),
        ("[mirror.a]\nmax-depth = 1\nmax_depth = 2\n", "duplicate key mirror.a.max-depth"),
        ('[mirror.a]\npassword = "x"\n', "use password-file"),
    ],
)
def test_what_no_table_can_mean_is_refused(here: Here, text: str, told: str) -> None:
    file = says(here, text)
    refused = here.refused()
    assert told in refused
    assert file.name in refused


def test_a_third_word_is_refused_without_tables(here: Here) -> None:
    assert "unexpected extra argument" in here.refused("a", URL, "b")


def test_a_word_that_may_hold_a_password_is_not_repeated(here: Here) -> None:
    says(here, f'[mirror.a]\ndestination = "{URL}/a"\n')
    assert "canary" not in here.refused("a", "ftp//me:canary@host")


@pytest.mark.parametrize("own", ["password-command", "password-file"])
def test_the_password_of_a_table_goes_before_that_of_all(here: Here, own: str) -> None:
    other = {"password-command": "password-file", "password-file": "password-command"}[own]
    (here.folder / "secret").write_text("secret\n")
    values = {"password-command": "printf secret", "password-file": "secret"}
    says(here, f'{other} = "{values[other]}"\n[mirror.a]\n{own} = "{values[own]}"\ndestination = "{URL}/a"\n')
    printed = here.run("config").out
    where = {"password-command": "the password command", "password-file": str(here.folder / "secret")}[own]
    assert f"# password: {where}" in printed.partition("[mirror.a]")[2]


def test_no_tls_of_all_takes_the_encryption_from_the_destination_of_a_table(here: Here) -> None:
    says(here, f'tls = "off"\n[mirror.a]\nsource = "x"\ndestination = "{URL.replace("ftp", "ftpes")}/a"\n')
    result = here.run("sync", "--once", PASSWORD="secret")
    assert result.code == 2
    assert "switches TLS off, but the destination has ftpes://" in result.err


def test_two_tables_that_are_one_mirror_are_refused(here: Here) -> None:
    says(
        here,
        'source = "x"\n[mirror.a]\ndestination = "ftp://me@Localhost:21/www/"\n'
        '[mirror.b]\ndestination = "ftp://me@localhost/www"\n',
    )
    result = here.run("sync", "--once", PASSWORD="secret")
    assert result.code == 2
    assert "mirror b: it has the source and the destination of mirror a" in result.err


NOT_KEPT = "async-mirror: no process keeps this mirror now: run `async-mirror sync --once{}` with its options\n"


@pytest.mark.parametrize(
    ("text", "arguments", "environment", "told"),
    [
        ("", ("si te", f"{URL}/a b"), {}, " '{here}/si te' 'ftp://me@localhost/a b'"),
        ("", (), {"SOURCE": "site", "DESTINATION": "localhost,me,s3cret,/a"}, " {here}/site ftp://me@localhost//a"),
        ("", (), {"SOURCE": "site", "DESTINATION": f"{URL}/a"}, " {here}/site ftp://me@localhost/a"),
        (f'source = "site"\ndestination = "{URL}/a"\n', (), {}, ""),
        (f'destination = "{URL}/a"\n', ("site",), {}, " {here}/site ftp://me@localhost/a"),
        (f'[mirror.a]\nsource = "site"\ndestination = "{URL}/a"\n', (), {}, " a"),
        (
            f'[mirror.a]\nsource = "site"\ndestination = "{URL}/a"\n',
            ("--config", FILE, "--state-dir", "x", "a"),
            {},
            " --config {here}/async-mirror.toml --state-dir {here}/x a",
        ),
    ],
)
def test_a_command_that_a_hint_names_finds_the_same_mirror(
    here: Here, text: str, arguments: tuple[str, ...], environment: dict[str, str], told: str
) -> None:
    if text:
        says(here, text)
    result = here.run("now", *arguments, **environment)
    assert result.err.removeprefix("async-mirror: mirror a: ").removeprefix("async-mirror: ") == NOT_KEPT.format(
        told.format(here=here.folder)
    ).removeprefix("async-mirror: ")
