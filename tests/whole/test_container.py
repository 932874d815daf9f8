"""What Dockerfile and compose.yaml say exists in the program and the repository; the image lives in tests/container."""

import fnmatch
import json
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.here import Here
from support.program import PROJECT

from async_mirror.cli import cli
from async_mirror.options.click_types import ENVIRONMENT, variable
from async_mirror.options.declared import SYNC

DOCKERFILE = (PROJECT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((PROJECT / "compose.yaml").read_text(encoding="utf-8"))
VARIABLES = {variable(param) for param in SYNC} | {f"{ENVIRONMENT}_PASSWORD"}


def instructions(dockerfile: str) -> list[tuple[str, str]]:
    """Return the instructions of a Dockerfile with what they are given."""
    lines = "\n".join(line for line in dockerfile.splitlines() if not line.lstrip().startswith("#"))
    joined = re.sub(r"\\\n\s*", " ", lines)
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


INSTRUCTIONS = instructions(DOCKERFILE)


def last(word: str) -> str:
    return [rest for name, rest in INSTRUCTIONS if name == word][-1]


def settings() -> dict[str, str]:
    """Return the variables that the image sets."""
    words = (word for name, rest in INSTRUCTIONS if name == "ENV" for word in shlex.split(rest))
    return dict(word.split("=", 1) for word in words)


@pytest.mark.parametrize("path", ["Dockerfile", "compose.yaml", "contrib/async-mirror.service"])
def test_every_variable_that_is_named_is_one_of_the_programs(path: str) -> None:
    named = set(re.findall(rf"\b{ENVIRONMENT}_[A-Z_]+", (PROJECT / path).read_text(encoding="utf-8")))
    assert named
    assert named <= VARIABLES


def test_the_image_runs_commands_that_exist_without_a_shell() -> None:
    entry, command = json.loads(last("ENTRYPOINT")), json.loads(last("CMD"))
    scripts = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    assert entry == ["async-mirror"]
    assert entry[0] in scripts
    assert command == ["sync"]
    probe = json.loads(last("HEALTHCHECK").partition(" CMD ")[2])
    assert probe == ["async-mirror", "healthcheck", "--strict-after", "1h"]
    assert {command[0], probe[1]} <= set(cli.commands)


def test_the_image_is_not_roots_and_keeps_its_state_in_a_volume() -> None:
    assert last("USER") == "10001:10001"
    assert last("VOLUME") == str(Path(settings()[f"{ENVIRONMENT}_STATE_DIR"]).parent) == "/state"
    assert "install -d -m 1777 /state" in last("RUN")
    assert f"contrib/container.toml {settings()[f'{ENVIRONMENT}_CONFIG']}" in [rest for _, rest in INSTRUCTIONS]
    froms = [rest for name, rest in INSTRUCTIONS if name == "FROM"]
    assert froms == ["${PYTHON} AS build", "${PYTHON}"]
    assert next(rest for name, rest in INSTRUCTIONS if name == "ARG") == "PYTHON=python:3.13-slim"


def test_what_is_copied_into_the_image_is_there_and_nothing_else_is_sent_to_the_builder() -> None:
    copied = {
        source
        for name, rest in INSTRUCTIONS
        if name == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    }
    rules = (PROJECT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [rule for rule in rules if rule and not rule.startswith("#")]
    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == copied
    assert all((PROJECT / source).exists() for source in copied)
    assert fnmatch.fnmatch("async_mirror/__pycache__", rules[-1])


def test_what_the_image_and_the_service_of_the_trial_set_makes_sense_to_the_program(here: Here) -> None:
    asked = settings() | COMPOSE["services"]["mirror"]["environment"]
    names = {name.removeprefix(f"{ENVIRONMENT}_"): value for name, value in asked.items() if ENVIRONMENT in name}
    (here.folder / "secret").write_text("secret")
    names["PASSWORD_FILE"] = names["CA_CERT"] = "secret"
    names["CONFIG"] = str(PROJECT / "contrib/container.toml")
    found = here.config(**names)
    assert found["destination"] == ("ftpes://me@ftp/", f"{ENVIRONMENT}_DESTINATION")
    assert found["source"] == ("/data", names["CONFIG"])
    assert found["every"][0] == "30s"


def test_the_trial_is_whole_and_as_locked_in_as_can_be() -> None:
    mirror, ftp = COMPOSE["services"]["mirror"], COMPOSE["services"]["ftp"]
    assert (mirror["read_only"], mirror["cap_drop"]) == (True, ["ALL"])
    mounts = [mount.split(":") for service in (mirror, ftp) for mount in service["volumes"]]
    for source, *_ in mounts:
        assert source in COMPOSE["volumes"] or (PROJECT / source).is_dir(), source
    targets = {target: rest for _, target, *rest in (mount.split(":") for mount in mirror["volumes"])}
    assert targets["/data"] == ["ro"]
    assert targets["/state"] == []
    given = mirror["environment"]
    assert given[f"{ENVIRONMENT}_PASSWORD_FILE"] == f"/run/secrets/{mirror['secrets'][0]}"
    assert str(Path(given[f"{ENVIRONMENT}_CA_CERT"]).parent) in targets
    assert all((PROJECT / secret["file"]).is_file() for secret in COMPOSE["secrets"].values())


def test_what_is_for_production_is_locked_in_and_has_what_its_mirrors_name(here: Here) -> None:
    compose = yaml.safe_load((PROJECT / "contrib/compose.yaml").read_text(encoding="utf-8"))
    mirror = compose["services"]["mirror"]
    assert (mirror["read_only"], mirror["cap_drop"]) == (True, ["ALL"])
    mounted = dict(mount.split(":")[1::-1] for mount in mirror["volumes"])
    assert settings()[f"{ENVIRONMENT}_CONFIG"].startswith("/config/")
    assert mounted == {"/config": "./config", "/data": "./sites", "/state": "state"}
    assert set(mirror["secrets"]) == set(compose["secrets"])
    told = here.run("config", "--config", PROJECT / "contrib/async-mirror.toml").out
    tables = tomllib.loads(told)["mirror"]
    assert set(tables) == set(mirror["secrets"])
    for name, table in tables.items():
        assert (table["source"], table["password-file"]) == (f"/data/{name}", f"/run/secrets/{name}")


def test_the_image_says_what_it_is() -> None:
    labels = dict(word.split("=", 1) for word in shlex.split(last("LABEL")))
    assert labels["org.opencontainers.image.title"] == "async-mirror"
    assert labels["org.opencontainers.image.licenses"] == "MIT"
    assert labels["org.opencontainers.image.version"] == "$VERSION"


def test_the_trials_server_is_made_of_debians_package_alone() -> None:
    inline = instructions(COMPOSE["services"]["ftp"]["build"]["dockerfile_inline"].replace("$$", "$"))
    assert [name for name, _ in inline] == ["ARG", "FROM", "RUN", "RUN", "RUN", "CMD"]
    shell, flags, script = json.loads(inline[-1][1])
    assert (shell, flags) == ("sh", "-euc")
    assert script.endswith("exec vsftpd")  # so that it is what is told to end
    assert COMPOSE["services"]["ftp"]["init"] is True
