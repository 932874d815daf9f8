"""Settings from the command line, the environment and a file: which of them counts, how each is written, what is wrong.

`async-mirror config` tells what is in force and where it is from, so most of it can be asked without a server.
"""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import NamedTuple

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers import PASSWORD, USER
from support.here import FILE, Here, printed
from support.program import MTIME, PROGRAM, Program, Result, contents, names, run_to_end, write

from async_mirror.model.secret import Secret
from async_mirror.model.site import SCHEMES
from async_mirror.options.declared import SYNC
from async_mirror.options.destination import is_original_form, parse_destination, parse_original

CANARY = "canary-Pass"


class Sample(NamedTuple):
    """Values of one parameter as they are written in the file, in the environment and on the command line."""

    in_file: object
    in_environment: str
    on_command_line: tuple[str, ...]
    printed: tuple[object, object]
    """What `config` prints of the latter two; of the first it prints what is there."""


def flag(option: str, *, on: bool = True) -> Sample:
    return Sample(on, "no" if on else "yes", (option,), (not on, on))


def text(option: str, in_file: object, in_environment: str, on_command_line: str) -> Sample:
    return Sample(in_file, in_environment, (option, on_command_line), (in_environment, on_command_line))


SAMPLES: dict[str | None, Sample] = {
    "source": Sample("/srv/file", "/srv/environment", ("/srv/line",), ("/srv/environment", "/srv/line")),
    "destination": Sample(
        "ftp://file@host/www",
        "ftp://environment@host/www",
        ("/srv/line", "ftp://line@host/www"),
        ("ftp://environment@host/www", "ftp://line@host/www"),
    ),
    "exclude": Sample(
        [".git/", "a b", "!kept"],
        r"*.log a\ b !kept",
        ("--exclude", "two words", "--exclude", "!kept"),
        (["*.log", r"a\ b", "!kept"], ["two words", "!kept"]),
    ),
    "exclude_from": Sample(
        ["/srv/file 1", "/srv/file 2"],
        "/srv/a b:/srv/c",
        ("--exclude-from", "/srv/line"),
        (["/srv/a b", "/srv/c"], ["/srv/line"]),
    ),
    "exclude_ext": Sample(
        [".tmp"], ".bak old,.log", ("--exclude-ext", "o", "--exclude-ext", ".a"), ([".bak", "old", ".log"], ["o", ".a"])
    ),
    "max_depth": Sample(1, "2", ("--max-depth", "3"), (2, 3)),
    "perms": flag("--no-perms", on=False),
    "in_place": flag("--in-place"),
    "temp_name": text("--temp-name", "am-*.part", "am-*.tmp", "am-*.EXT"),
    "every": text("--every", 600, "1h30m", "90s"),
    "watch": flag("--watch"),
    "settle": text("--settle", 2, "500ms", "1s500ms"),
    "once": flag("--once"),
    "dry_run": flag("-n"),
    "rescan": flag("--rescan"),
    "existing": Sample("skip", "fail", ("--existing", "overwrite"), ("fail", "overwrite")),
    "existing_equal": Sample("size", "content", ("--existing-equal", "time"), ("content", "time")),
    "ctime": flag("--no-ctime", on=False),
    "max_verify_uploads": text("--max-verify-uploads", 100, "25%", "7"),
    "delete": flag("--no-delete", on=False),
    "max_delete": text("--max-delete", 100, "25%", "7"),
    "allow_empty_source": flag("--allow-empty-source"),
    "allow_unmounted": flag("--allow-unmounted"),
    "multi": text("--multi", "S", "A3", "a4"),
    "bwlimit": text("--bwlimit", 5e6, "500k", "2Mi"),
    "timeout": text("--timeout", 1.5, "20s", "30"),
    "retries": Sample(0, "1", ("--retries", "2"), (1, 2)),
    "retry_for": text("--retry-for", 600, "1h30m", "90s"),
    "pasv_address": Sample("server", "control", ("--pasv-address", "server"), ("control", "server")),
    "max_connections": Sample(4, "5", ("--max-connections", "6"), (5, 6)),
    "password_file": text("--password-file", "/srv/file", "/srv/environment", "/srv/line"),
    "password_command": text("--password-command", "pass file", "pass environment", "pass show 'the line'"),
    "tls": text("--tls", "explicit", "implicit", "off"),
    "ca_cert": text("--ca-cert", "/srv/file", "/srv/environment", "/srv/line"),
    "tls_pin": text("--tls-pin", f"sha256:{'0f' * 32}", f"SHA256:{'0F' * 32}", f"sha256:{':'.join(['0f'] * 32)}"),
    "client_cert": text("--client-cert", "/srv/file", "/srv/environment", "/srv/line"),
    "client_key": text("--client-key", "/srv/file", "/srv/environment", "/srv/line"),
    "insecure": flag("--insecure"),
    "quiet": flag("-q"),
    "verbose": flag("-v"),
    "stats": text("--stats", 600, "0", "90s"),
    "exit_code": flag("--exit-code"),
    "no_progress": flag("--no-progress"),
    "json": flag("--json"),
    "log_file": text("--log-file", "/srv/file", "/srv/environment", "/srv/line"),
    "log_format": Sample("json", "text", ("--log-format", "json"), ("text", "json")),
    "state_dir": text("--state-dir", "/srv/file", "/srv/environment", "/srv/line"),
}
KINDS = {
    "true or false": {"true"},
    "a whole number": {"3"},
    "a text or a number": {"3", "1.5", '"word"', "nan"},
    "a text": {'"word"'},
    "a path": {'"word"'},
    "one of text, json": set(),
    "one of overwrite, skip, fail": set(),
    "one of time, size, content": set(),
    "one of control, server": set(),
    "one of .am-*.part, am-*.part, am-*.tmp, am-*, am-*.EXT": set(),
    "one of explicit, implicit, off": set(),
    "a list, each a text": {'["word"]'},
    "a list, each a path": {'["word"]'},
}
"""What a key may hold, as its message says, and which of `VALUES` are that."""
VALUES = ("true", "3", "1.5", '"word"', '["word"]', "[3]", '["word", 3]', "{word = 3}", "2026-11-22", "nan")
"""A value of each type that TOML knows."""
PARAMETERS = [param for param in SYNC if param.expose_value]
each_parameter = pytest.mark.parametrize("param", PARAMETERS, ids=lambda param: param.name)


def key_of(param: click.Parameter) -> str:
    """Return an option's name, as the user knows it."""
    return max(param.opts, key=len).lstrip("-")


def variable_of(param: click.Parameter) -> str:
    """Return the name of an option's variable but for its first part, which is the program's name."""
    return key_of(param).replace("-", "_").upper()


def toml(value: object) -> str:
    """Write a value as TOML."""
    match value:
        case bool():
            return str(value).lower()
        case list():
            return f"[{', '.join(map(toml, value))}]"
        case str():
            return f"'{value}'"
        case _:
            return str(value)


def sync_in(folder: Path, program: Program, *arguments: str | Path) -> Result:
    """Run `async-mirror sync` as a process in a folder."""
    return run_to_end([*PROGRAM, "sync", *arguments], program.environment, folder=folder)


# Each option, from each place.


@each_parameter
def test_the_command_line_goes_before_the_environment_and_that_before_the_file(
    here: Here, param: click.Parameter
) -> None:
    sample = SAMPLES[param.name]
    key, variable = key_of(param), {variable_of(param): sample.in_environment}
    assert here.config().get(key, (None, "default"))[1] == "default"
    assert here.config(**variable)[key] == (sample.printed[0], f"ASYNC_MIRROR_{variable_of(param)}")
    here.write(f"{key} = {toml(sample.in_file)}")
    assert here.config()[key] == (sample.in_file, FILE)
    assert here.config(**variable)[key] == (sample.printed[0], f"ASYNC_MIRROR_{variable_of(param)}")
    assert here.config(*sample.on_command_line)[key] == (sample.printed[1], "command line")
    assert here.config(*sample.on_command_line, **variable)[key] == (sample.printed[1], "command line")


def test_only_the_file_itself_cannot_be_named_in_a_file(here: Here) -> None:
    assert [param.name for param in SYNC if not param.expose_value] == ["config"]
    here.write("config = 'other.toml'")
    assert "unknown key config" in here.refused()


def test_an_empty_variable_is_none(here: Here) -> None:
    here.write("multi = 'S'\nexclude-ext = ['.tmp']")
    for variable in ("MULTI", "EXCLUDE_EXT", "SOURCE", "ONCE", "CONFIG"):
        assert here.config(**{variable: ""}) == here.config()


def test_what_is_configured_runs_with_no_more_than_what_differs(program: Program, tmp_path: Path) -> None:
    for name in ("index.html", "notes.tmp", "drafts/idea", "drafts/ready"):
        program.write(name, "content")
    folder = tmp_path / "configured"
    write(
        folder / FILE,
        f"source = '../source'\ndestination = '{program.url}'\npassword-file = '../password'\nstate_dir = '../state'\n"
        "once = true\nmulti = 'X'\nmax-depth = 1\njson = true\n",
    )
    program.environment |= {"ASYNC_MIRROR_MAX_DEPTH": "2", "ASYNC_MIRROR_EXCLUDE": "drafts/* !drafts/ready"}
    program.environment |= {"ASYNC_MIRROR_EXCLUDE_EXT": ".tmp", "ASYNC_MIRROR_QUIET": "1"}
    program.password_file.chmod(0o600)
    result = sync_in(folder, program, "--multi", "A1", "--no-perms")
    assert (result.code, result.err) == (0, "")
    assert len(result.out.splitlines()) == 1
    assert names(program.site) == {"index.html", "drafts/", "drafts/ready"}
    assert program.server.connections() == 1
    assert not program.commands("SITE")
    assert names(folder) == {FILE}


def test_the_environment_alone_is_enough(program: Program, tmp_path: Path) -> None:
    program.write("file", "content")
    program.environment |= {
        "ASYNC_MIRROR_SOURCE": str(program.source),
        "ASYNC_MIRROR_DESTINATION": program.url,
        "ASYNC_MIRROR_PASSWORD_FILE": str(program.password_file),
        "ASYNC_MIRROR_ONCE": "1",
        "ASYNC_MIRROR_MULTI": "S",
    }
    result = sync_in(tmp_path, program)
    assert (result.code, names(program.site)) == (0, {"file"}), result.err


@pytest.mark.parametrize(
    ("variable", "meant"),
    [("NO_DELETE", "DELETE=no"), ("NO_PERMS", "PERMS=no"), ("EXCLUDES", "EXCLUDE"), ("MAX_DEPHT", "MAX_DEPTH")],
)
def test_a_variable_that_is_nearly_an_option_is_refused_with_the_right_one(
    here: Here, variable: str, meant: str
) -> None:
    line = here.refused(**{variable: "1"})
    assert f"ASYNC_MIRROR_{variable}" in line
    assert f"ASYNC_MIRROR_{meant}" in line


def test_a_variable_that_is_like_no_option_is_left_alone(here: Here) -> None:
    assert here.config(IMAGE="1", VERSION="0.1.0", SERVERS="/srv", NO_SUCH="1") == here.config()


# What may be repeated, in one variable.


@pytest.mark.parametrize(
    ("variable", "written", "meant"),
    [
        ("EXCLUDE", "a b\tc\nd", ["a", "b", "c", "d"]),
        ("EXCLUDE", "\n  .git/\n  drafts/*\n  !drafts/ready.html\n", [".git/", "drafts/*", "!drafts/ready.html"]),
        ("EXCLUDE", r"my\ file other", [r"my\ file", "other"]),
        ("EXCLUDE", r"ends\ in\ blank\  b", [r"ends\ in\ blank\ ", "b"]),
        ("EXCLUDE", r"\!a \#b", [r"\!a", r"\#b"]),
        ("EXCLUDE", "a,b c:d", ["a,b", "c:d"]),
        ("EXCLUDE", " \n ", None),
        ("EXCLUDE_EXT", ".tmp .bak", [".tmp", ".bak"]),
        ("EXCLUDE_EXT", ".tmp,.bak", [".tmp", ".bak"]),
        ("EXCLUDE_EXT", "\n.tmp\n.bak\n", [".tmp", ".bak"]),
        ("EXCLUDE_EXT", " , tmp ,, bak,\n", ["tmp", "bak"]),
        ("EXCLUDE_EXT", " , \n", None),
        ("EXCLUDE_FROM", "/srv/a:/srv/b c,d", ["/srv/a", "/srv/b c,d"]),
    ],
)
def test_a_variable_holds_many_as_the_readme_tells(here: Here, variable: str, written: str, meant: object) -> None:
    found = here.config(**{variable: written})
    assert found.get(variable.lower().replace("_", "-"), (None, ""))[0] == meant


def test_a_blank_in_a_pattern_of_the_environment_leaves_out_what_has_one(program: Program) -> None:
    for name in ("my file", "my", "file"):
        program.write(name, "content")
    program.environment["ASYNC_MIRROR_EXCLUDE"] = r"my\ file"
    assert program.sync().code == 0
    assert names(program.site) == {"my", "file"}


# Which file, and what its paths count from.


def test_a_file_is_looked_for_here_and_then_in_the_users_configuration_folder(here: Here, tmp_path: Path) -> None:
    assert "multi" not in {key for key, (_, origin) in here.config().items() if origin != "default"}
    users = here.write("multi = 'A2'\nretries = 2", here.users / FILE)
    assert here.config()["multi"] == ("A2", str(users))
    here.write("multi = 'A3'")
    assert here.config()["multi"] == ("A3", FILE)
    assert here.config()["retries"] == (5, "default"), "two files were read"
    in_environment = here.write("multi = 'A4'", tmp_path / "elsewhere/any.toml")
    assert here.config(CONFIG=str(in_environment))["multi"] == ("A4", str(in_environment))
    named = here.write("multi = 'A5'", "named")
    assert here.config("--config", "named", CONFIG=str(in_environment))["multi"] == ("A5", "named")
    assert here.config("--config", named)["multi"] == ("A5", str(named))


def test_the_users_configuration_folder_may_be_elsewhere(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.write("multi = 'A2'", here.users / FILE)
    there = here.write("multi = 'A3'", tmp_path / "xdg/async-mirror" / FILE)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    assert here.config()["multi"] == ("A3", str(there))


def test_a_named_file_that_is_not_there_is_no_reason_to_take_another(here: Here) -> None:
    here.write("multi = 'S'")
    assert re.search(r"other\.toml: No such file", here.refused("--config", "other.toml"))
    assert re.search(r"other\.toml: No such file", here.refused(CONFIG="other.toml"))


def test_a_path_counts_from_the_folder_of_the_file_that_it_is_written_in(here: Here, tmp_path: Path) -> None:
    there = here.write(
        "source = 'site'\nexclude-from = ['patterns', '/etc/patterns', '~/patterns']\nlog-file = '../log'\n"
        "password-file = '~/.password'\nstate-dir = './state'\n",
        tmp_path / "there" / FILE,
    )
    home, folder = tmp_path / "home", tmp_path / "there"
    for named in (there, os.path.relpath(there)):
        found = {key: value for key, (value, origin) in here.config("--config", named).items() if origin == str(named)}
        assert found == {
            "source": str(folder / "site"),
            "exclude-from": [str(folder / "patterns"), "/etc/patterns", str(home / "patterns")],
            "log-file": str(tmp_path / "log"),
            "password-file": str(home / ".password"),
            "state-dir": str(folder / "state"),
        }


def test_a_path_elsewhere_counts_from_the_current_folder(here: Here, tmp_path: Path) -> None:
    found = here.config("site", "--log-file", "~/log", EXCLUDE_FROM="a:~/b", PASSWORD_FILE="~nobody-has-this-name/c")
    assert found["source"][0] == str(here.folder / "site")
    assert found["log-file"][0] == str(tmp_path / "home/log")
    assert found["exclude-from"][0] == [str(here.folder / "a"), str(tmp_path / "home/b")]
    assert found["password-file"][0] == str(here.folder / "~nobody-has-this-name/c")


def test_an_empty_path_is_refused_rather_than_taken_for_the_current_folder(here: Here) -> None:
    assert "empty" in here.refused("")
    assert "empty" in here.refused("--state-dir", "")
    here.write("source = ''")
    assert "source must be a path" in here.refused()


def test_a_home_that_may_not_be_entered_holds_no_settings(program: Program) -> None:
    program.bind_by_permissions()
    program.write("file", "content")
    program.home.chmod(0)
    program.environment["ASYNC_MIRROR_PASSWORD"] = PASSWORD
    result = program.sync(password=False)
    assert (result.code, names(program.site)) == (0, {"file"}), result.err


# What a file may hold.


@each_parameter
def test_a_key_may_have_underscores_as_well(here: Here, param: click.Parameter) -> None:
    key, value = key_of(param), SAMPLES[param.name].in_file
    here.write(f"{key.replace('-', '_')} = {toml(value)}")
    assert here.config()[key] == (value, FILE)


def test_a_key_is_not_taken_twice_however_it_is_written(here: Here) -> None:
    here.write("max-depth = 1\nmax_depth = 2")
    assert re.search(rf"{FILE}.*duplicate key max-depth", here.refused())
    here.write("max-depth = 1\nmax-depth = 2")
    assert re.search(rf"{FILE}.*not valid TOML.*overwrite", here.refused())


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("multy = 'S'", "multi"),
        ("exclude_exts = []", "exclude-ext"),
        ("no-delete = true", "delete"),
        ("no_perms = true", "perms"),
        ("Multi = 'S'", "multi"),
        ("logfile = 'log'", "log-file"),
        ("'-multi' = 'S'", "multi"),
    ],
)
def test_an_unknown_key_is_refused_and_the_one_that_is_like_it_named(here: Here, written: str, meant: str) -> None:
    path = here.write(f"once = true\n{written}", "mine.toml")
    line = here.refused("--config", path)
    assert str(path) in line
    assert written.partition(" =")[0].strip("'") in line
    assert f"(did you mean {meant}?)" in line


def test_an_unknown_key_is_answered_with_all_that_there_are(here: Here) -> None:
    for written in ("nonsense = 1", "[sync]\nmulti = 'S'", "sync.multi = 'S'", "once = true\n[[x]]"):
        here.write(written)
        line = here.refused()
        assert "did you mean" not in line
        allowed = line.partition("allowed are ")[2].split(", ")
        assert sorted(allowed) == sorted(map(key_of, PARAMETERS))


@each_parameter
def test_a_value_of_another_type_is_refused_with_what_is_allowed(here: Here, param: click.Parameter) -> None:
    key = key_of(param)
    here.write(f"{key} = {{}}")
    allowed = re.fullmatch(rf"async-mirror: {FILE}: {key} must be (.*), as in {key} = (.*)", here.refused())
    assert allowed
    fitting = KINDS[allowed[1]]
    assert [value for value in VALUES if value not in fitting]
    for value in VALUES:
        here.write(f"{key} = {value}")
        result = here.run("config")
        refused = f"{FILE}: {key} must be {allowed[1]}" in result.err
        assert refused is (value not in fitting), value
        assert not refused or (result.code, result.out) == (2, "")
    here.write(f"{key} = {allowed[2]}")
    assert "must be" not in here.run("config").err.replace("the destination must be a URL", ""), (
        "the example is refused"
    )


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("multi", ["'X9'", "'A0'", "''"]),
        ("every", ["'soon'", "0", "-1", "inf", "''"]),
        ("timeout", ["'0s'", "-1.5"]),
        ("max-delete", ["'most'", "-1", "1.5", "'101%'"]),
        ("bwlimit", ["'fast'", "999"]),
        ("max-depth", ["0", "-1"]),
        ("retries", ["-1"]),
        ("exclude-ext", ["['.tar.gz']", "['']"]),
        ("tls-pin", ["'sha256:0f'", "''", f"'md5:{'0f' * 32}'"]),
    ],
)
def test_a_value_that_means_nothing_is_refused_with_its_file_or_variable(
    here: Here, key: str, values: list[str]
) -> None:
    variable = key.replace("-", "_").upper()
    for value in values:
        here.write(f"{key} = {value}")
        assert re.search(rf"{key} in {FILE}", here.refused()), value
        plain = value.strip("[]'")
        if plain:
            (here.folder / FILE).unlink()
            assert f"ASYNC_MIRROR_{variable}" in here.refused(**{variable: plain}), value
            assert f"--{key}" in here.refused(f"--{key}={plain}"), value


@pytest.mark.parametrize(("key", "written"), [("ONCE", "maybe"), ("LOG_FORMAT", "xml"), ("MAX_DEPTH", "deep")])
def test_a_variable_of_another_type_is_refused_by_its_name(here: Here, key: str, written: str) -> None:
    assert re.search(rf"ASYNC_MIRROR_{key}.*{written}", here.refused(**{key: written}))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"multi = S", r"not valid TOML.*line 1"),
        (b"multi: S", r"not valid TOML.*line 1"),
        (b"source = 'a'\n\ndestination = 'b", r"not valid TOML.*at end"),
        (b"source = 'caf\xe9'", r"not valid TOML"),
        (b"\xff\xfem\0u\0", r"not valid TOML"),
        (b"source = 'a\0b'", r"not valid TOML"),
    ],
)
def test_a_file_that_is_no_toml_is_refused_with_the_line(here: Here, content: bytes, said: str) -> None:
    path = write(here.folder / "mine.toml", content)
    line = here.refused("--config", path)
    assert re.search(said, line)
    assert str(path) in line


def test_a_file_that_cannot_be_read_is_refused(program: Program, tmp_path: Path) -> None:
    program.bind_by_permissions()
    program.write("file", "content")
    locked = write(tmp_path / "locked.toml", "multi = 'S'", mode=0)
    (tmp_path / "folder.toml").mkdir()
    for path in (locked, tmp_path / "folder.toml"):
        result = program.sync("--config", path)
        assert (result.code, result.out, program.server.connections()) == (2, "", 0)
        (line,) = result.err.splitlines()
        assert str(path) in line
    assert names(program.site) == set()


# What `config` prints.


def test_what_is_printed_is_a_file_with_the_same_settings(here: Here, tmp_path: Path) -> None:
    options = [word for name, sample in SAMPLES.items() for word in sample.on_command_line if name != "source"]
    from_command_line = here.config(*options)
    assert {origin for _, origin in from_command_line.values()} == {"command line"}
    from_environment = here.config(**{variable_of(param): SAMPLES[param.name].in_environment for param in PARAMETERS})
    here.write("".join(f"{key_of(param)} = {toml(SAMPLES[param.name].in_file)}\n" for param in PARAMETERS))
    from_file = here.config()
    (here.folder / FILE).unlink()
    nothing = here.config()
    for found, arguments, environment in (
        (from_command_line, options, {}),
        (from_environment, [], {variable_of(param): SAMPLES[param.name].in_environment for param in PARAMETERS}),
        (nothing, [], {}),
    ):
        copy = here.write(here.run("config", *arguments, **environment).out, tmp_path / "copy/of.toml")
        again = here.config("--config", copy)
        assert {key: value for key, (value, _) in again.items()} == {key: value for key, (value, _) in found.items()}
        assert {origin for _, origin in again.values()} == {str(copy)}
    assert from_file.keys() == from_command_line.keys() == {key_of(param) for param in PARAMETERS}


def test_what_is_printed_means_the_same_from_another_folder(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.write("log-file = 'log'", "sub/mine.toml")
    options = ("site", "--config", "sub/mine.toml", "--state-dir", "~/state", "--exclude-from", "patterns")
    copy = here.write(here.run("config", *options).out, tmp_path / "copy.toml")
    before = here.config(*options)
    monkeypatch.chdir(tmp_path)
    after = here.config("--config", copy)
    assert {key: value for key, (value, _) in after.items()} == {key: value for key, (value, _) in before.items()}


@pytest.mark.parametrize(
    "odd",
    ['"quoted"', "it's", "back\\slash", "\x7f and \x1b[31m", "tab\tand\nline", "caf\u00e9 \u65e5\U0001f600", "a  # b"],
)
def test_any_text_is_printed_so_that_it_reads_back(here: Here, odd: str, tmp_path: Path) -> None:
    result = here.run("config", f"/srv/{odd}", "--exclude", odd, "--exclude", f"!{odd}")
    assert "\x7f" not in result.out
    assert "\x1b" not in result.out
    found = tomllib.loads(result.out)
    assert (found["source"], found["exclude"]) == (f"/srv/{odd}", [odd, f"!{odd}"])
    copy = here.write(result.out, tmp_path / "copy.toml")
    assert tomllib.loads(here.run("config", "--config", copy).out) == found


def test_what_is_not_set_is_named_too(here: Here) -> None:
    out = here.run("config").out
    for param in PARAMETERS:
        key = key_of(param)
        assert len(re.findall(rf"^(# {key} is not set.*|{key} = .*)$", out, re.MULTILINE)) == 1, key


def test_where_the_password_is_from_is_told_and_not_what_it_is(here: Here, tmp_path: Path) -> None:
    def where(*arguments: str, **environment: str) -> str:
        out = here.run("config", ".", *arguments, **environment).out
        assert CANARY not in out
        return out.partition("# password: ")[2].strip()

    assert where() == ""
    assert where("ftp://me@host/").startswith("none found")
    assert where("ftp://me@host/", PASSWORD_FILE="/not/there").endswith(
        "cannot read the password file /not/there: No such file or directory"
    )
    assert where("ftp://me@host/", PASSWORD=CANARY) == "ASYNC_MIRROR_PASSWORD"
    write(tmp_path / "home/.netrc", f"machine host login me password {CANARY}\n", mode=0o600)
    assert where("ftp://me@host/") == str(tmp_path / "home/.netrc")
    assert where(DESTINATION=f"host,me,{CANARY},") == "ASYNC_MIRROR_DESTINATION"
    secret = write(tmp_path / "secret", CANARY, mode=0o600)
    assert where("ftp://me@host/", PASSWORD_FILE=str(secret), PASSWORD=CANARY) == str(secret)
    here.write(f"destination = 'host,me,{CANARY},www'")
    assert where() == FILE


# The form of the original program.

READABLE = [
    (f"host,me,{CANARY},", "ftp://me@host/"),
    (f"host,me,{CANARY},www/a b", "ftp://me@host/www/a b"),
    (f"host,me,{CANARY},/srv/www", "ftp://me@host//srv/www"),
    (f" host , me ,{CANARY}, /srv/www/ , 2121 ", "ftp://me@host:2121//srv/www"),
    (f"host,me@example.org,{CANARY},a#b", "ftp://me%40example.org@host/a%23b"),
    (f"host,,{CANARY},100%", "ftp://host/100%25"),
    (f"::1,me,{CANARY},", "ftp://me@[::1]/"),
]
UNREADABLE = [
    f"host,me,{CANARY}",
    f"host,me,{CANARY},dir,21,more",
    f"host,me,{CANARY},dir,port",
    f"host,me,{CANARY},dir,0",
    f"host,me,{CANARY},a/../b",
    f"host,me,{CANARY}\r\n,dir",
    f"host/,me,{CANARY},dir",
    f"host,me,{CANARY}://x,dir",
    f"ftp://me:{CANARY}@host/",
    f"ftp://me:{CANARY}@host:port/",
    f"ftp://me:{CANARY}@[host/",
    f"ftpes://me:{CANARY}@host/",
    f"http://me:{CANARY}@host/",
    f"me:{CANARY}@host",
]


@pytest.mark.parametrize(("original", "url"), READABLE)
def test_the_original_form_is_read_from_file_and_environment_and_printed_without_its_password(
    here: Here, original: str, url: str
) -> None:
    in_environment = here.run("config", DESTINATION=original)
    here.write(f"destination = '{original}'")
    in_file = here.run("config")
    for result, origin in ((in_environment, "ASYNC_MIRROR_DESTINATION"), (in_file, FILE)):
        assert (result.code, printed(result.out)["destination"]) == (0, (url, origin))
        assert CANARY not in result.out + result.err
    assert here.config("/srv", url)["destination"] == (url, "command line")


@pytest.mark.parametrize("written", UNREADABLE, ids=lambda text: text.replace(CANARY, "…"))
def test_a_destination_that_cannot_be_meant_never_repeats_its_password(here: Here, written: str) -> None:
    for command in ("config", "healthcheck", "sync"):
        for arguments, environment in (((), {"DESTINATION": written}), ((written,), {})):
            result = here.run(command, "/srv", *arguments, **environment)
            assert (result.code, result.out) == (2, "")
            assert len(result.err.splitlines()) == 1
            assert CANARY not in result.err
    here.write(f'source = "/srv"\ndestination = {toml(written) if chr(13) not in written else chr(39) * 2}')
    result = here.run("config")
    assert result.code == 2 or chr(13) in written
    assert CANARY not in result.out + result.err


@pytest.mark.parametrize(("original", "url"), READABLE)
@pytest.mark.parametrize("command", ["sync", "config", "healthcheck"])
def test_the_original_form_is_refused_on_the_command_line_with_the_one_to_use(
    here: Here, command: str, original: str, url: str
) -> None:
    result = here.run(command, "/srv", original)
    assert (result.code, result.out) == (2, "")
    (line,) = result.err.splitlines()
    assert "command line" in line
    assert f"write {url.replace('ftp:', 'ftpes:')} " in line
    assert "--password-file" in line
    assert CANARY not in line


def test_the_order_of_the_original_program_is_answered_with_the_new_one(here: Here) -> None:
    for site in (f"host,me,{CANARY},/srv/www", f"host,me,{CANARY},www,21", f"ftp://me:{CANARY}@host/", "FTP://host/"):
        for destination in ("./site", "ftp://me@host/"):
            result = here.run("sync", site, destination)
            assert result.code == 2
            assert "write the folder first" in result.err
            assert CANARY not in result.err


def test_a_folder_that_is_there_is_a_source_whatever_its_name(here: Here) -> None:
    for name in ("a,b,c,d", "ftp:/host"):
        (here.folder / name).mkdir(parents=True)
        assert "never synced" in here.run("healthcheck", name, "ftp://me@host/").err


HOSTS = st.from_regex(r"[a-z0-9][a-z0-9.-]{0,20}", fullmatch=True) | st.just("2001:db8::1")
LETTERS = st.characters(exclude_characters=",", exclude_categories=["Cc", "Cs"]) | st.sampled_from("%#?@:/ .\udce9")
TEXTS = st.text(LETTERS, max_size=12)


@given(HOSTS, TEXTS, TEXTS, st.integers(1, 65535), st.sampled_from(sorted(SCHEMES)))
def test_whatever_the_original_form_says_its_url_says_too(
    host: str, user: str, folder: str, port: int, tls: str
) -> None:
    original = f"{host},{user},{CANARY},{folder},{port}"
    if not is_original_form(original):
        return
    try:
        site, password = parse_original(original, tls)
    except ValueError:
        assert ".." in f"{folder} {host}"
    else:
        assert password == Secret(CANARY)
        assert parse_destination(site.shown, tls) == site


@pytest.mark.parametrize("place", ["file", "environment"])
def test_the_original_form_mirrors_and_its_password_is_nowhere_told(
    program: Program, tmp_path: Path, place: str
) -> None:
    program.write("deep/file", "content")
    original = f"127.0.0.1,{USER},{PASSWORD},/www,{program.server.port}"
    if place == "environment":
        program.environment["ASYNC_MIRROR_DESTINATION"] = original
        program.environment["ASYNC_MIRROR_SOURCE"] = str(program.source)
    else:
        write(tmp_path / FILE, f"source = 'source'\ndestination = '{original}'\n", mode=0o600)
    for log_format in ("text", "json"):
        program.write("deep/file", f"content for a log in {log_format}", MTIME + ord(log_format[0]))
        options = ("--once", "-v", "--json", "--log-file", "log", "--log-format", log_format)
        result = sync_in(tmp_path, program, *options)
        assert (result.code, names(program.site)) == (0, {"www/", "www/deep/", "www/deep/file"}), result.err
        assert contents(program.site)["www/deep/file"] == f"content for a log in {log_format}".encode()
        assert PASSWORD not in result.out + result.err + (tmp_path / "log").read_text()
        assert "chmod" not in result.err


# Where secrets lie.


def test_a_password_that_others_can_read_is_told_of(program: Program, tmp_path: Path) -> None:
    def told(path: Path, mode: int, *options: str | Path) -> bool:
        path.chmod(mode)
        result = sync_in(tmp_path, program, "--once", "--state-dir", program.state, *options)
        assert result.code == 0, result.err
        warnings = [line for line in result.err.splitlines() if "chmod" in line]
        assert len(warnings) <= 1
        assert all(str(path) in line for line in warnings)
        return bool(warnings)

    program.write("file", "content")
    config = write(tmp_path / "c.toml", f"destination = '127.0.0.1,{USER},{PASSWORD},,{program.server.port}'\n")
    named = ("--config", config, program.source)
    assert told(config, 0o644, *named)
    assert told(config, 0o640, *named)
    assert not told(config, 0o600, *named)
    password = write(program.home / "password", PASSWORD)
    config.write_text(f"source = 'source'\ndestination = '{program.url}'\npassword-file = '~/password'\n")
    config.chmod(0o644)
    assert told(password, 0o604, "--config", config)
    assert not told(password, 0o600, "--config", config), "it holds no password itself"
    program.environment["ASYNC_MIRROR_PASSWORD_FILE"] = "~/password"
    config.write_text(f"source = 'source'\ndestination = '{program.url}'\n")
    assert told(password, 0o644, "--config", config)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make files of others and mounts")
def test_a_password_that_nobody_else_need_see_is_not_told_of(program: Program) -> None:
    """A group may have been given the file to read it; a container's secrets are readable, and cannot be changed."""
    program.write("file", "content")
    password = program.password_file

    def told(*before: str) -> bool:
        options = ["--once", "--state-dir", str(program.state), "--password-file", str(password)]
        ran = run_to_end([*before, *PROGRAM, "sync", *options, str(program.source), program.url], program.environment)
        assert ran.code == 0, ran.err
        return "others on this machine can read the password" in ran.err

    password.chmod(0o640)
    assert told()
    os.chown(password, 12345, -1)
    assert not told(), "it is another user's, and read by the group"
    password.chmod(0o644)
    assert told()
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("mount namespaces are needed, and unshare -m is refused here")
    mount = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
    assert not told("unshare", "-m", "sh", "-c", mount, str(password))


def test_a_password_file_in_the_source_is_refused_unless_it_is_left_out(program: Program, tmp_path: Path) -> None:
    program.write("file", "content")
    password = program.write("private/.password", PASSWORD, mode=0o600)
    link = tmp_path / "link"
    link.symlink_to(password)
    for path in (password, link):
        program.password_file = path
        result = program.sync()
        assert (result.code, names(program.site)) == (2, set())
        assert "would be published" in result.err
        assert str(path) in result.err
        assert PASSWORD not in result.err
    assert program.sync("--exclude", "private/").code == 0
    assert names(program.site) == {"file"}
    assert program.sync("--exclude", "*", "--exclude", "!private/", "--exclude", "!.password").code == 2
    assert names(program.site) == {"file"}


def test_a_configuration_with_a_password_in_the_source_is_refused_unless_it_is_left_out(program: Program) -> None:
    program.write("file", "content")
    original = f"127.0.0.1,{USER},{PASSWORD},,{program.server.port}"
    config = program.write(FILE, f"source = '.'\ndestination = '{original}'\n", mode=0o600)
    for options in ((), ("--config", config)):
        result = sync_in(program.source, program, "--once", *options)
        assert (result.code, names(program.site)) == (2, set())
        assert "would be published" in result.err
    result = sync_in(program.source, program, "--once", "--exclude", FILE)
    assert (result.code, names(program.site)) == (0, {"file"}), result.err
    program.environment["ASYNC_MIRROR_PASSWORD"] = PASSWORD
    config.write_text(f"source = '.'\ndestination = '{program.url}'\n")
    result = sync_in(program.source, program, "--once")
    assert (result.code, names(program.site)) == (0, {"file", FILE}), "without a password it is a file as any other"


def test_a_log_in_the_source_is_refused_unless_it_and_its_old_ones_are_left_out(program: Program) -> None:
    program.write("file", "content")
    log = program.source / "logs/sync.log"
    log.parent.mkdir()
    for options in ((), ("--exclude", "sync.log"), ("--exclude-ext", ".log"), ("--exclude", "sync.log.*")):
        result = program.sync("--log-file", log, *options)
        assert (result.code, names(program.site), log.exists()) == (2, set(), False)
        assert "would be published" in result.err
    for options in (("--exclude", "sync.log*"), ("--max-depth", "1")):
        assert program.sync("--log-file", log, *options).code == 0
        assert {name for name in names(program.site) if not name.endswith("/")} == {"file"}


@pytest.mark.parametrize("override", ["variable", "argument"])
def test_file_that_holds_a_password_is_not_published_though_another_one_is_used(here: Here, override: str) -> None:
    here.write(f'destination = "127.0.0.1,me,{CANARY},/"\n', "source/async-mirror.toml")
    site = ["ftp://me@127.0.0.1:1/"] if override == "argument" else []
    config = here.folder / "source/async-mirror.toml"
    result = here.run("sync", "--once", "--config", config, here.folder / "source", *site, PASSWORD="another")
    assert result.code == 2
    assert "would be published" in result.err
    assert CANARY not in result.err


def test_a_link_to_a_configuration_is_judged_by_what_it_leads_to(program: Program, tmp_path: Path) -> None:
    """Whether others can read the password in it, and whether it lies in the source: of the link neither counts."""
    program.write("file", "content")
    original = f"127.0.0.1,{USER},{PASSWORD},,{program.server.port}"
    config = write(tmp_path / "mine.toml", f"source = 'source'\ndestination = '{original}'\n", mode=0o600)
    link = program.source / "link.toml"
    link.symlink_to(config)
    options = ("--once", "--state-dir", program.state, "--config", link, program.source)
    result = program.run("sync", *options)
    assert (result.code, "can read the password" in result.err) == (0, False), result.err
    config.chmod(0o644)
    assert f"others on this machine can read the password in {link}" in program.run("sync", *options).err
    inside = program.write("inside.toml", config.read_text(), mode=0o600)
    outside = tmp_path / "outside.toml"
    outside.symlink_to(inside)
    result = program.run("sync", "--once", "--state-dir", program.state, "--config", outside, program.source)
    assert result.code == 2
    assert f"the file {outside} with the password lies in the source and would be published" in result.err
    assert names(program.site) == {"file"}


@pytest.mark.parametrize("where", ["here", "users", "named"])
def test_a_link_that_leads_nowhere_is_no_missing_configuration(here: Here, where: str) -> None:
    """What it was to leave out would be mirrored."""
    link = {"here": here.folder / FILE, "users": here.users / FILE, "named": here.folder / "other.toml"}[where]
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to("nowhere.toml")
    arguments = ("--config", link) if where == "named" else ()
    assert re.search(r"cannot read the configuration \S+: No such file", here.refused(*arguments))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_link_here_is_of_whoever_has_the_file_that_it_leads_to(here: Here) -> None:
    (here.folder / FILE).symlink_to(here.write("multi = 'S'", "elsewhere.toml"))
    os.lchown(here.folder / FILE, 12345, 12345)
    assert here.config()["multi"][0] == "S"
    os.chown(here.folder / "elsewhere.toml", 12345, 12345)
    assert "belongs to another user" in here.refused()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_that_merely_lies_here_is_not_believed(here: Here) -> None:
    os.chown(here.write("multi = 'S'"), 12345, 12345)
    assert "belongs to another user" in here.refused()
    assert here.config("--config", FILE)["multi"] == ("S", FILE)
