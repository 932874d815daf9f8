"""What is asked for of TLS and of secrets: what is refused, what is warned of, and what must not be published."""

from __future__ import annotations

import json
import signal
from dataclasses import fields
from pathlib import Path

import pytest
from servers import USER
from servers.certificates import Certificates
from support.here import Here
from support.program import Program, names, write

from async_mirror.model.secret import Secret
from async_mirror.model.site import Site, Trust
from async_mirror.options.asked import Asked, AskedHealth, AskedList
from async_mirror.options.commands import LIST
from async_mirror.options.credentials import Login
from async_mirror.options.declared import SYNC
from async_mirror.options.questions import HEALTHCHECK
from async_mirror.options.resolve import caution_about, warnings_about
from async_mirror.options.values import parse_interval, written_interval

PIN = f"sha256:{'0f' * 32}"
CLOSED = "ftpes://me@127.0.0.1:1/"
"""Where nobody listens."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with certificates, keys, and what is neither."""
    folder = tmp_path_factory.mktemp("certificates")
    ours, others = (Certificates(tmp_path_factory.mktemp("made")) for _ in range(2))
    ours.make()
    others.make()
    for name, content in {
        "ca": ours.ca.read_bytes(),
        "certificate": ours.client_certificate.read_bytes(),
        "key": ours.client_key.read_bytes(),
        "both": ours.client.read_bytes(),
        "other-key": others.client_key.read_bytes(),
        "encrypted-key": ours.client_encrypted_key.read_bytes(),
        "text": b"no certificate",
        "nothing": b"",
        "bytes": b"\xff\0" * 100,
        "cut": ours.ca.read_bytes()[:200],
    }.items():
        write(folder / name, content, mode=0o600)
    (folder / "folder").mkdir()
    return folder


def refused(here: Here, url: str, *options: str | Path, **environment: str) -> str:
    """Return the one line with which `sync` refuses to begin."""
    result = here.run("sync", "--once", "--state-dir", "state", *options, ".", url, PASSWORD="secret", **environment)
    assert (result.code, result.out) == (2, "")
    (line,) = result.err.splitlines()
    assert not (here.folder / "state").exists()
    return line


# What cannot be meant.


@pytest.mark.parametrize(
    "option",
    [
        ("--ca-cert", "../file"),
        ("--tls-pin", PIN),
        ("--client-cert", "../file"),
        ("--client-key", "../file"),
        ("--insecure",),
    ],
    ids=lambda option: option[0],
)
def test_an_option_of_tls_is_refused_without_tls(here: Here, option: tuple[str, ...]) -> None:
    said = f"{option[0]} needs TLS, but the destination is unencrypted"
    assert said in refused(here, "ftp://me@host/", *option)
    assert said in refused(here, "ftpes://me@host/", "--tls", "off", *option)
    name = option[0].removeprefix("--")
    value = option[1] if len(option) > 1 else "yes"
    assert said in refused(here, "ftp://me@host/", **{name.upper().replace("-", "_"): value})
    here.write(f"{name} = {'true' if value == 'yes' else repr(value)}")
    assert said in refused(here, "ftp://me@host/")


def test_an_option_of_tls_is_meant_where_tls_is_asked_for_by_another_one(here: Here) -> None:
    for tls in ("explicit", "implicit"):
        assert "--ca-cert: No such file" in refused(here, "ftp://me@host/", "--tls", tls, "--ca-cert", "missing")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--tls-pin", PIN, "--insecure"], "--tls-pin and --insecure cannot be used together"),
        (["--ca-cert", "../file", "--tls-pin", PIN], "--ca-cert and --tls-pin cannot be used together"),
        (["--ca-cert", "../file", "--insecure"], "--ca-cert and --insecure cannot be used together"),
        (["--client-key", "../file"], "--client-key needs --client-cert"),
        (["--tls-pin", "sha256:0f"], "invalid fingerprint"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_does_not_go_together_is_refused(here: Here, options: list[str], said: str) -> None:
    for scheme in ("ftpes", "ftps"):
        assert said in refused(here, f"{scheme}://me@host/", *options)


@pytest.mark.parametrize(
    ("ca", "why"),
    [
        ("missing", "No such file or directory"),
        ("folder", "Is a directory"),
        ("text", "not a PEM file"),
        ("nothing", "not a PEM file"),
        ("bytes", "not a PEM file"),
        ("key", "not a PEM file"),
        ("cut", "not a PEM file"),
    ],
)
def test_a_file_without_a_certificate_is_refused(here: Here, files: Path, ca: str, why: str) -> None:
    line = refused(here, CLOSED, "--ca-cert", files / ca)
    assert f"the file {files / ca} cannot be used for --ca-cert: " in line
    assert why in line


@pytest.mark.parametrize(
    ("certificate", "key", "why"),
    [
        ("missing", "key", "No such file or directory"),
        ("certificate", "missing", "No such file or directory"),
        ("folder", "key", "Is a directory"),
        ("text", "key", "no PEM certificate or no PEM key"),
        ("nothing", "key", "no PEM certificate or no PEM key"),
        ("certificate", "text", "no PEM certificate or no PEM key"),
        ("certificate", "bytes", "no PEM certificate or no PEM key"),
        ("certificate", "certificate", "no PEM certificate or no PEM key"),
        ("certificate", "other-key", "key values mismatch"),
        ("ca", "key", "key values mismatch"),
        ("certificate", None, "which must also contain the key, cannot be used: no PEM certificate or no PEM key"),
        ("key", None, "no PEM certificate or no PEM key"),
    ],
)
def test_a_client_certificate_that_cannot_be_shown_is_refused(
    here: Here, files: Path, certificate: str, key: str | None, why: str
) -> None:
    line = refused(here, CLOSED, "--client-cert", files / certificate, *(("--client-key", files / key) if key else ()))
    assert f"the client certificate {files / certificate}" in line
    assert key is None or f"with the key in {files / key}" in line
    assert why in line


def test_an_encrypted_key_is_refused_rather_than_asked_for(here: Here, files: Path) -> None:
    line = refused(here, CLOSED, "--client-cert", files / "certificate", "--client-key", files / "encrypted-key")
    assert f"the key in {files / 'encrypted-key'} is encrypted" in line


def test_files_that_can_be_used_are_no_reason_to_refuse(program: Program, files: Path) -> None:
    program.url = CLOSED
    for options in (
        ("--ca-cert", files / "ca"),
        ("--ca-cert", files / "certificate"),
        ("--client-cert", files / "both"),
        ("--client-cert", files / "certificate", "--client-key", files / "key", "--tls-pin", PIN),
    ):
        result = program.sync("--retries", "0", *options)
        assert result.code == 4
        assert "cannot connect to 127.0.0.1:1" in result.err


# What is warned of.


def told(scheme: str, host: str, user: str = "me", trust: Trust | None = None, file: Path | None = None) -> list[str]:
    login = Login(Site(scheme, host, 21, user, ""), Secret("secret"), "somewhere", file)
    return [f"{warning}: {hint}" for warning, hint in warnings_about(login, trust or Trust())]


@pytest.mark.parametrize("host", ["ftp.example.org", "192.168.0.1", "2001:db8::1", "localhost.example.org"])
def test_a_password_in_clear_text_to_another_machine_is_warned_of(host: str) -> None:
    (warning,) = told("ftp", host)
    assert f"to {host} unencrypted" in warning
    assert "write ftpes://" in warning


@pytest.mark.parametrize("host", ["localhost", "LocalHost", "127.0.0.1", "127.0.0.2", "::1"])
def test_a_password_that_does_not_leave_this_machine_is_not_warned_of(host: str) -> None:
    assert told("ftp", host) == []


def test_neither_tls_nor_a_login_without_password_is_warned_of() -> None:
    assert told("ftp", "ftp.example.org", "anonymous") == []
    assert told("ftpes", "ftp.example.org") == []
    assert told("ftps", "ftp.example.org") == []
    assert told("ftpes", "ftp.example.org", trust=Trust(pin="0f" * 32)) == []


@pytest.mark.parametrize("scheme", ["ftpes", "ftps"])
@pytest.mark.parametrize("host", ["ftp.example.org", "127.0.0.1"])
def test_a_certificate_that_is_not_checked_is_warned_of_wherever_the_site_is(scheme: str, host: str) -> None:
    (warning,) = told(scheme, host, trust=Trust(insecure=True))
    assert warning.startswith(f"--insecure: the certificate of {host} is not checked")
    assert "--tls-pin" in warning


def test_each_warning_is_told(tmp_path: Path) -> None:
    password = write(tmp_path / "password", "secret", mode=0o644)
    assert ["chmod 600" in warning for warning in told("ftp", "ftp.example.org", file=password)] == [True, False]


def test_only_what_is_insecure_goes_with_a_caution() -> None:
    assert caution_about(Trust()) == ""
    assert caution_about(Trust(pin="0f" * 32)) == ""
    assert caution_about(Trust(insecure=True)).startswith("INSECURE: ")


def test_clear_text_is_warned_of_once_and_not_with_each_pass(program: Program) -> None:
    program.write("file", "content")
    program.url = f"ftp://{USER}@0.0.0.0:{program.server.port}/"  # Linux connects to itself there
    with program.started("--every", "1s") as running:
        for _ in range(2):
            running.wait_for("pass: .*next pass")
        assert running.end(signal.SIGTERM, within_seconds=10) == 143
        running.wait()
    assert running.said.count("unencrypted") == 1
    assert running.said.count("warning   ftp:// sends the password and all files to 0.0.0.0 unencrypted") == 1
    assert names(program.site) == {"file"}


def test_a_run_on_this_machine_is_not_warned_of_clear_text(program: Program) -> None:
    program.password_file.chmod(0o600)
    assert "warning" not in program.sync().err


@pytest.mark.parametrize("quiet", [(), ("--quiet",)], ids=" ".join)
def test_insecure_is_told_at_the_start_and_with_each_pass(program: Program, quiet: tuple[str, ...]) -> None:
    program.write("file", "content")
    program.url = CLOSED
    caution = "INSECURE: certificates are not checked"
    with program.started("--insecure", "--every", "1s", "--retries", "0", *quiet) as running:
        for _ in range(2):
            assert f"; {caution}; next pass in" in running.wait_for("incomplete: ")
        assert running.end(signal.SIGTERM, within_seconds=10) == 143
        running.wait()
    assert running.said.count("warning   --insecure: the certificate of 127.0.0.1 is not checked") == 1


def test_insecure_is_told_in_json(program: Program) -> None:
    program.write("file", "content")
    program.url = CLOSED
    caution = "INSECURE: certificates are not checked"
    for options, meant in ((("--insecure",), caution), ((), None)):
        result = program.sync("--json", "--log-format", "json", "--retries", "0", *options)
        assert json.loads(result.out)["caution"] == meant
        (ending,) = (each for each in map(json.loads, result.err.splitlines()) if each["event"] == "pass")
        assert ending["caution"] == meant


def test_a_temporary_name_is_refused_where_there_is_none(program: Program) -> None:
    program.url = CLOSED
    refused = program.sync("--in-place", "--temp-name", "am-*.tmp")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "--in-place and --temp-name cannot be used together" in refused.err


# What must not be published.


def test_a_key_in_the_source_is_refused_unless_it_is_left_out(program: Program, files: Path, tmp_path: Path) -> None:
    program.url = CLOSED
    program.write("file", "content")
    both = program.write("private/both.pem", (files / "both").read_bytes(), mode=0o600)
    key = program.write("private/key.pem", (files / "key").read_bytes(), mode=0o600)
    link = tmp_path / "link"
    link.symlink_to(key)
    for options in (
        ("--client-cert", both),
        ("--client-cert", files / "certificate", "--client-key", key),
        ("--client-cert", files / "certificate", "--client-key", link),
    ):
        result = program.sync("--retries", "0", *options)
        assert (result.code, result.out) == (2, "")
        assert f"the file {options[-1]} with the key lies in the source and would be published" in result.err
        assert program.sync("--retries", "0", "--exclude", "private/", *options).code == 4


def test_a_certificate_without_its_key_may_be_published(program: Program, files: Path) -> None:
    program.url = CLOSED
    certificate = program.write("certificate.pem", (files / "certificate").read_bytes())
    options = ("--client-cert", certificate, "--client-key", files / "key")
    assert program.sync("--retries", "0", *options).code == 4


def test_each_parameter_has_a_field_and_each_field_a_parameter() -> None:
    for params, asked in ((SYNC, Asked), (HEALTHCHECK, AskedHealth), (LIST, AskedList)):
        assert {param.name for param in params if param.expose_value} == {field.name for field in fields(asked)}


@pytest.mark.parametrize(
    ("seconds", "written"), [(900, "15m"), (60, "60s"), (90, "90s"), (7200, "2h"), (3600, "60m"), (0.5, "500ms")]
)
def test_an_interval_is_written_as_it_is_read(seconds: float, written: str) -> None:
    assert written_interval(seconds) == written
    assert parse_interval(written) == seconds
