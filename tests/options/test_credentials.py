"""Where a password is looked for, and what the command that prints one may do."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest
from servers import PASSWORD
from support.here import FILE, Here
from support.program import Program, names, write

from async_mirror.model.secret import Secret
from async_mirror.model.settings import UsageError
from async_mirror.model.site import Site
from async_mirror.options.credentials import Login, Place, find_login

CANARY = "canary-Pass"
URL = "ftp://me@127.0.0.1/"


# The places.


def test_the_password_is_taken_from_the_first_place_that_has_one(here: Here, tmp_path: Path) -> None:
    line = [("--password-file", "/no/1"), ("--password-command", "/no/2")]
    environment = {"PASSWORD_FILE": "/no/3", "PASSWORD_COMMAND": "/no/4", "PASSWORD": "two\nlines"}
    in_file = ["password-file = '/no/6'", "password-command = '/no/7'", f"destination = '127.0.0.1,me,{CANARY},'"]
    netrc = write(tmp_path / "home/.netrc", f"machine 127.0.0.1 login me password two {CANARY}\n", mode=0o600)
    write(tmp_path / "source/file")

    def taken() -> str:
        here.write("\n".join([*in_file, "source = '../source'"]))
        arguments = [word for option in line for word in option]
        url = [] if any("destination" in each for each in in_file) else ["../source", URL]
        result = here.run("sync", "--once", *arguments, *url, **environment)
        assert (result.code, result.out) == (2, "")
        assert CANARY not in result.err
        return result.err

    for option in list(line):
        assert re.search(f"cannot (run|read) .* {option[1]}: ", taken())
        line.remove(option)
    assert "cannot read the password file /no/3" in taken()
    del environment["PASSWORD_FILE"]
    assert "cannot run the password command /no/4" in taken()
    del environment["PASSWORD_COMMAND"]
    assert "the password from ASYNC_MIRROR_PASSWORD contains a line break" in taken()
    del environment["PASSWORD"]
    assert "cannot read the password file /no/6" in taken()
    del in_file[0]
    assert "cannot run the password command /no/7" in taken()
    del in_file[0]
    here.write(in_file[0])
    assert here.run("config").out.endswith(f"# password: {FILE}\n")
    del in_file[0]
    assert f"cannot read the logins in {netrc}: line " in taken()
    netrc.unlink()
    assert "no password for ftp://me@127.0.0.1/" in taken()


def test_config_tells_of_a_password_command_without_running_it(here: Here, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    command = f"touch {shlex.quote(str(ran))}"
    for arguments, environment in ((("--password-command", command), {}), ((), {"PASSWORD_COMMAND": command})):
        out = here.run("config", ".", URL, *arguments, **environment).out
        assert out.endswith("# password: the password command\n")
        result = here.run("healthcheck", ".", URL, *arguments, **environment)
        assert "never synced" in result.err
    assert not ran.exists()


# The command.


def printing(output: bytes) -> str:
    return shlex.join([sys.executable, "-c", f"import sys; sys.stdout.buffer.write({output!r})"])


def printed_by(command: str) -> str:
    site = Site("ftpes", "host", 21, "me", "")
    password = Login(site, None, "the password command", command=command).ask()
    assert password is not None
    return password.reveal()


@pytest.mark.parametrize(
    ("printed", "password"),
    [
        (b"secret", "secret"),
        (b"secret\n", "secret"),
        (b"secret\r\n", "secret"),
        (b" secret word \n", " secret word "),
        ("gehe\u00efm\n".encode(), "gehe\u00efm"),
    ],
)
def test_what_the_command_prints_is_the_password_but_for_one_line_break(printed: bytes, password: str) -> None:
    assert printed_by(printing(printed)) == password


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (printing(b""), "printed nothing"),
        (printing(b"secret\n\n"), "contains a line break"),
        (printing(b"canary-Pass\nlogin: me\n"), "contains a line break"),
        (printing(b"canary-Pass\0"), "contains a line break"),
        (printing(b"canary-Pass\xff"), "is not UTF-8"),
        (f"sh -c 'echo {CANARY}; exit 3' {CANARY}", "the password command sh failed (exit code 3)"),
        (f"sh -c 'kill -9 $$' {CANARY}", "the password command sh failed (exit code -9)"),
        (f"/not/there {CANARY}", "cannot run the password command /not/there: No such file or directory"),
        (f"/etc/passwd {CANARY}", "cannot run the password command /etc/passwd: Permission denied"),
        (f"echo '{CANARY}", "cannot parse the password command: no closing quotation"),
        (f"echo {CANARY}\\", "cannot parse the password command: no escaped character"),
        ("  ", "is empty"),
    ],
)
def test_a_command_that_gives_no_password_is_told_without_its_arguments(command: str, said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)) as caught:
        printed_by(command)
    assert CANARY not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_command_is_split_as_by_a_shell_but_no_shell_runs_it() -> None:
    assert printed_by("printf %s 'two  words'") == "two  words"
    assert printed_by('printf %s,%s one\\ word "it\'s"') == "one word,it's"
    assert printed_by("echo $HOME; exit 3 | cat > /tmp/no `id` * ~") == "$HOME; exit 3 | cat > /tmp/no `id` * ~"


@pytest.mark.parametrize("multi", ["A2", "T2", "P2", "S"])
def test_the_command_is_run_once_however_many_connections_there_are(
    program: Program, tmp_path: Path, multi: str
) -> None:
    for number in range(8):
        program.write(f"{number}", "content")
    ran = tmp_path / "ran"
    command = f"sh -c 'echo ran >>\"$0\"; echo {PASSWORD}' {shlex.quote(str(ran))}"
    result = program.sync("--password-command", command, "--multi", multi, "-v", password=False)
    assert (result.code, names(program.site)) == (0, set(map(str, range(8)))), result.err
    assert ran.read_text() == "ran\n"
    assert PASSWORD not in result.out + result.err


def test_a_command_that_fails_ends_the_program_before_anything_is_done(program: Program) -> None:
    program.write("file", "content")
    result = program.sync("--password-command", f"sh -c 'exit 1' {CANARY}", password=False)
    assert (result.code, result.out) == (2, "")
    assert result.err == "async-mirror: the password command sh failed (exit code 1)\n"
    assert (program.server.connections(), program.state.exists()) == (0, False)


@pytest.mark.parametrize("content", ["", "\n"])
def test_an_empty_password_file_is_a_secret_that_was_not_filled_in(here: Here, content: str) -> None:
    file = here.write(content, "secret")
    result = here.run("sync", "--once", "--password-file", file, ".", URL)
    assert result.code == 2
    assert f"the password file {file} is empty" in result.err


def test_an_empty_variable_or_an_entry_without_a_password_is_none(here: Here) -> None:
    logins = here.write('machine 127.0.0.1 login me password ""\n', "logins")
    result = here.run("sync", "--once", ".", URL, PASSWORD="", CONFIG="")
    assert (result.code, "no password for" in result.err) == (2, True)
    found = find_login(Site("ftp", "127.0.0.1", 21, "me", ""), [Place("variable", Secret(""))], {"NETRC": str(logins)})
    assert found.password is None


@pytest.mark.parametrize("password", ["", "secret"])
def test_a_missing_source_ends_it_with_5_whether_or_not_there_is_a_password(here: Here, password: str) -> None:
    result = here.run("sync", "--once", "gone", URL, PASSWORD=password)
    assert (result.code, "the source" in result.err) == (5, True)
    here.write(f'destination = "{URL}"\n[mirror.one]\nsource = "gone"\n[mirror.two]\nsource = "gone too"\n')
    result = here.run("sync", "--once", PASSWORD=password)
    assert (result.code, result.err.count("the source")) == (5, 2)
