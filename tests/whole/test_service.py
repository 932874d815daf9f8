"""The unit for systemd: systemd understands all of it, it is locked in, and what it names exists."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest
from support.here import Here

from async_mirror.engine import Exit
from async_mirror.options.click_types import ENVIRONMENT

UNIT = Path(__file__).parents[2] / "contrib/async-mirror.service"
PROGRAM = "/opt/async-mirror/bin/async-mirror"


def parsed() -> dict[str, list[str]]:
    """Return all that is set, whatever the section: no name is in two."""
    found = defaultdict(list)
    for line in UNIT.read_text(encoding="utf-8").splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found[name].append(value)
    return found


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = shutil.which("systemd-analyze") or ""
    reason = "" if command else "no systemd-analyze here: install systemd"
    if reason and os.environ.get("CI") == "true":
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    return subprocess.run([command, *arguments], capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """Return the unit with a program that is there: systemd looks whether it is."""
    program = tmp_path / "async-mirror"
    program.write_text(f"#!{sys.executable}\n")
    program.chmod(0o755)
    there = tmp_path / UNIT.name
    there.write_text(UNIT.read_text(encoding="utf-8").replace(f"ExecStart={PROGRAM}", f"ExecStart={program}"))
    return there


def test_systemd_has_nothing_to_say_against_it(unit: Path) -> None:
    done = analyze("verify", "--man=no", unit)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_systemd_would_have_something_to_say(unit: Path) -> None:
    unit.write_text(unit.read_text().replace("UMask=", "UMaks="))
    assert "UMaks" in analyze("verify", "--man=no", unit).stderr


def test_it_is_locked_in(unit: Path) -> None:
    """Systemd adds up what a service might do to the machine; 20 is 2.0 of 10, and less is better."""
    done = analyze("security", "--offline=true", "--threshold=20", "--no-pager", unit)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_it_starts_and_sets_makes_sense_to_the_program(here: Here) -> None:
    told = parsed()
    program, command, *options = shlex.split(told["ExecStart"][0])
    assert (program, command) == (PROGRAM, "sync")
    (here.folder / "state").mkdir()
    here.write('source = "site"\ndestination = "ftpes://me@ftp.example.org/www"\n')
    (here.folder / "ftp").write_text("secret")
    names: dict[str, str] = {}
    for assignment in told["Environment"]:
        name, _, value = assignment.partition("=")
        value = value.replace("/etc/async-mirror", str(here.folder)).replace("%S", str(here.folder / "state"))
        names[name.removeprefix(f"{ENVIRONMENT}_")] = value.replace("%d", str(here.folder))
    found = here.config(*options, **names)
    assert found["state-dir"] == (f"{here.folder}/state/{told['StateDirectory'][0]}", f"{ENVIRONMENT}_STATE_DIR")
    assert found["password-file"] == (f"{here.folder}/ftp", f"{ENVIRONMENT}_PASSWORD_FILE")
    assert found["destination"][0] == "ftpes://me@ftp.example.org/www"


def test_the_password_is_the_credential_that_is_loaded() -> None:
    told = parsed()
    name, _, file = told["LoadCredential"][0].partition(":")
    assert f"{ENVIRONMENT}_PASSWORD_FILE=%d/{name}" in told["Environment"]
    assert file in re.findall(r"^# +install .* (/\S+)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE)


def test_it_tells_when_it_is_up_and_is_watched() -> None:
    told = parsed()
    assert (told["Type"], told["WatchdogSec"]) == (["notify"], ["2min"])
    assert told["ExecReload"] == ["/bin/kill -HUP $MAINPID"]
    assert "AF_UNIX" in told["RestrictAddressFamilies"][0], "systemd is told over such a socket"


def test_exit_codes_are_the_programs() -> None:
    told = parsed()
    assert told["Restart"] == ["on-failure"]
    assert told["RestartPreventExitStatus"] == [str(int(Exit.USAGE))]
    assert told["SuccessExitStatus"] == [str(128 + 15)]
