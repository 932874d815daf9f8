"""Lives of the container and of the service, in real containers beside real servers; see `tests/container/run`."""

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from servers import PASSWORD, USER, FtpServer, ServerFactory
from support.program import contents, eventually, touch, write

from async_mirror.engine import Exit

PROJECT = Path(__file__).parents[2]
KEPT = PROJECT / ".container"
SUITE = os.environ.get("SUITE", "trixie")
BASE = f"localhost/{SUITE}-python:latest"
STANDS_FOR = ("python:3.13-slim", "debian:stable-slim")
IMAGE = "localhost/async-mirror:life"
NUMBER = 10001
LONGEST_STOP_S = 10
CONFIGURATION = """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_backend = "netavark"
network_config_dir = "{folder}/networks"
"""
"""Limits that root can set without all its capabilities, and what works without systemd."""
INSTALL_SYSTEMD = """\
RUN apt-get update && apt-get install --yes --no-install-recommends systemd dbus
"""
BOOT = """\
mount --make-rshared / && exec /lib/systemd/systemd SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1
"""
"""Credentials come by a mount that has to spread; and systemd has to do with the cgroups that are here."""


class Podman:
    """Podman with a store of its own, which no image and no setting of the machine's gets into."""

    def __init__(self, folder: Path) -> None:
        (folder / "containers.conf").write_text(CONFIGURATION.format(folder=folder))
        self.script = folder / "podman"
        self.environment = os.environ | {"CONTAINERS_CONF": str(folder / "containers.conf")}
        self.options = ["--root", f"{folder}/storage", "--runroot", f"{folder}/run", "--storage-driver", "overlay"]
        self.script.write_text(f'#!/bin/sh\nexec podman {shlex.join(self.options)} "$@"\n')
        self.script.chmod(0o755)

    def call(self, *words: str | Path, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """Call it and return what it says, whatever the exit code is."""
        argv = ["podman", *self.options, *words]
        return subprocess.run(
            argv, cwd=PROJECT, env=self.environment, capture_output=True, text=True, timeout=seconds, check=False
        )

    def __call__(self, *words: str | Path, seconds: float = 60) -> str:
        """Call it and return what it prints; fail where it fails."""
        done = self.call(*words, seconds=seconds)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def build_options(folder: Path) -> list[str]:
    """Let what is built reach the packages by the way that they are reached here.

    Nothing of it gets into the image but the names of what is mounted, as empty files.
    """
    told = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    lines = ["[global]", "cert = /etc/ssl/certs/ca-certificates.crt"]
    for line in told.stdout.splitlines():
        name, _, value = line.partition("=")
        key = name.rpartition(".")[2]
        if key in {"index-url", "extra-index-url", "proxy", "trusted-host"} and "file:" not in value:
            lines.append(f"{key} = {value.strip(chr(39))}")
    (folder / "pip.conf").write_text("\n".join(lines) + "\n")
    mounts = {folder / "pip.conf": "/etc/pip.conf", Path("/etc/ssl/certs"): "/etc/ssl/certs"}
    mounts |= {path: str(path) for path in Path("/etc/apt/apt.conf.d").glob("*") if "docker" not in path.name}
    volumes = [word for source, target in mounts.items() for word in ("--volume", f"{source}:{target}:ro")]
    return ["--format", "docker", "--isolation", "chroot", "--network", "host", "--pull-never", *volumes]


@pytest.fixture(scope="session")
def podman() -> Podman:
    found = Podman(KEPT)
    found("import", KEPT / f"{SUITE}.tar", BASE, seconds=300)
    for name in STANDS_FOR:
        found("tag", BASE, f"docker.io/library/{name}")
    return found


@pytest.fixture(scope="session")
def image(podman: Podman) -> str:
    """Build the image as a user does."""
    podman("build", *build_options(KEPT), "--tag", IMAGE, PROJECT, seconds=600)
    return IMAGE


class Container:
    """A container of the image between a source, a volume and a server, locked in as far as can be."""

    def __init__(self, podman: Podman, image: str, folder: Path, server: FtpServer) -> None:
        self.podman = podman
        self.name = f"life-{uuid.uuid4().hex[:12]}"
        self.volume = f"{self.name}-state"
        self.server = server
        self.source = folder / "source"
        self.source.mkdir()
        self._image = image
        self._password = write(folder / "password", PASSWORD, mode=0o400)
        os.chown(self._password, NUMBER, NUMBER)
        self._authority = write(folder / "ca.pem", server.certificates.ca.read_bytes())

    def options(self, *network: str, **settings: str) -> list[str]:
        """Return the options of podman's `run`; settings are the program's."""
        named = {
            "DESTINATION": f"ftpes://{USER}@{self.server.host}:{self.server.port}/",
            "PASSWORD_FILE": "/run/secrets/ftp",
            "CA_CERT": "/ca.pem",
            **settings,
        }
        mounts = {
            f"{self.source}:/data:ro",
            f"{self.volume}:/state",
            f"{self._password}:/run/secrets/ftp:ro",
            f"{self._authority}:/ca.pem:ro",
        }
        return [
            *(network or ("--network", "host")),
            *("--read-only", "--read-only-tmpfs=false", "--cap-drop", "all", "--security-opt", "no-new-privileges"),
            *(word for mount in mounts for word in ("--volume", mount)),
            *(word for key, value in named.items() for word in ("--env", f"ASYNC_MIRROR_{key}={value}")),
        ]

    def run(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, as `docker run` does."""
        return self.podman.call("run", "--rm", *self.options(**settings), self._image, *arguments)

    def start(self, **settings: str) -> None:
        """Start it in the background, with nothing but settings in the environment."""
        self.podman("run", "--detach", "--name", self.name, *self.options(**settings), self._image)

    def has_mirrored(self) -> bool:
        """Tell whether the site is the source's mirror at the moment."""
        try:
            return contents(self.server.docroot) == contents(self.source)
        except FileNotFoundError:  # what was on its way has got its name
            return False

    def log(self) -> str:
        """Return all that it has said."""
        done = self.podman.call("logs", self.name)
        return done.stdout + done.stderr

    def wait_for(self, words: str, times: int = 1, seconds: float = 60) -> None:
        """Wait until it has said something so often."""
        eventually(lambda: self.log().count(words) >= times, f"{words!r} {times} times in: {self.log()}", seconds)

    def execute(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command inside."""
        return self.podman.call("exec", self.name, *words)

    def check_health(self) -> subprocess.CompletedProcess[str]:
        """Run the image's own health check, as an engine does from time to time."""
        return self.podman.call("healthcheck", "run", self.name)

    def state(self) -> Any:
        """Return what the engine knows of it."""
        return json.loads(self.podman("inspect", self.name))[0]["State"]

    def stop(self) -> tuple[int, float]:
        """Stop it as `docker stop` does: SIGTERM to process 1, SIGKILL after ten seconds. Return exit code and time."""
        begun = time.monotonic()
        self.podman("stop", "--time", str(LONGEST_STOP_S), self.name)
        return self.state()["ExitCode"], time.monotonic() - begun

    def remove(self) -> None:
        """See that nothing is left of it."""
        self.podman.call("rm", "--force", "--time", "0", self.name)
        self.podman.call("volume", "rm", "--force", self.volume)


@pytest.fixture
def server(server_factory: ServerFactory) -> FtpServer:
    return server_factory("vsftpd", tls="explicit")


@pytest.fixture
def container(podman: Podman, image: str, tmp_path: Path, server: FtpServer) -> Iterator[Container]:
    made = Container(podman, image, tmp_path, server)
    try:
        yield made
    finally:
        made.remove()


def test_image_has_what_it_needs_and_nothing_else(podman: Podman, image: str) -> None:
    (told,) = json.loads(podman("inspect", image))
    config = told["Config"]
    assert config["User"] == f"{NUMBER}:{NUMBER}"
    assert (config["Entrypoint"], config["Cmd"]) == (["async-mirror"], ["sync"])
    assert list(config["Volumes"]) == ["/state"]
    assert config["Labels"]["org.opencontainers.image.licenses"] == "MIT"
    assert (told.get("HealthCheck") or told["Healthcheck"])["Test"] == [
        "CMD",
        "async-mirror",
        "healthcheck",
        "--strict-after",
        "1h",
    ]
    assert not [each for each in config["Env"] if "PASS" in each or "pip" in each.lower()]
    run = ("run", "--rm", "--network", "none", "--read-only")
    assert podman(*run, image, "--version").startswith("async-mirror ")
    script = "cd /opt/async-mirror/lib/python3*/site-packages; ls -d * /source"
    installed = podman.call(*run, "--entrypoint", "sh", image, "-c", script).stdout.split()
    assert "async_mirror" in installed
    assert not {"tests", "bench", "pip", "/source"} & set(installed)
    assert podman(*run, "--entrypoint", "python", image, "-c", "import uvloop; print('there')") == "there\n"


def test_demonstration_runs_without_network_volume_or_anything_to_write_to(podman: Podman, image: str) -> None:
    out = podman(
        "run", "--rm", "--network", "none", "--read-only", "--read-only-tmpfs=false", image, "demo", seconds=120
    )
    assert "files are equal" in out


def test_life_from_the_first_pass_to_the_last(container: Container, server: FtpServer) -> None:
    for number in range(20):
        write(container.source / f"pages/{number}.html", f"page {number}")
    container.start(EVERY="2s", TIMEOUT="5s", RETRIES="0")
    container.wait_for("next pass in")
    assert contents(server.docroot) == contents(container.source)

    status = Path(f"/proc/{container.state()['Pid']}/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert fields["Uid"].split() == [str(NUMBER)] * 4
    assert fields["NSpid"].split()[-1] == "1"
    assert int(fields["CapEff"], 16) == 0
    assert fields["NoNewPrivs"] == "1"
    for place in ("/file", "/tmp/file", "/data/file", "/opt/async-mirror/file"):
        assert container.execute("touch", place).returncode != 0, place
    assert "Read-only file system" in container.execute("touch", "/tmp/file").stderr
    modes = container.execute("find", "/state", "-type", "f", "-printf", "%m %u\n").stdout
    assert set(modes.splitlines()) == {"600 async-mirror"}
    assert container.check_health().returncode == 0
    assert "\n  process       running (pid 1)\n" in container.execute("async-mirror", "status").stdout

    touch(write(container.source / "pages/3.html", "changed"), 1_710_000_000)
    (container.source / "pages/4.html").unlink()
    eventually(container.has_mirrored, "the change has arrived")

    server.stop()
    touch(write(container.source / "pages/3.html", "changed again"), 1_720_000_000)
    eventually(lambda: container.check_health().returncode != 0, "it is unhealthy", 100)
    said = container.execute("async-mirror", "healthcheck")
    assert said.returncode == 1
    assert "last error: connection failed" in said.stderr
    assert container.state()["Running"]

    server.start()
    eventually(container.has_mirrored, "it goes on by itself", 100)
    eventually(lambda: container.check_health().returncode == 0, "it is healthy again")
    code, seconds = container.stop()
    assert (code, seconds < LONGEST_STOP_S) == (128 + signal.SIGTERM, True)


def sizes(folder: Path) -> Iterator[int]:
    """Yield how much of each file that is on its way has arrived."""
    for path in folder.glob(".am-*"):
        with contextlib.suppress(FileNotFoundError):
            yield path.stat().st_size


@pytest.mark.parametrize("mode", ["A", "S", "T2", "P2"])
def test_sigterm_in_the_middle_of_files_ends_it_in_time_and_loses_nothing(
    mode: str, container: Container, server: FtpServer
) -> None:
    for number in range(4):
        write(container.source / f"{number}.bin", os.urandom(2_000_000))
    write(container.source / "first.txt", "small")
    container.start(MULTI=mode, BWLIMIT="200k")
    eventually(
        lambda: any(sent > 100_000 for sent in sizes(server.docroot)), f"a file is on its way: {container.log()}"
    )
    code, seconds = container.stop()
    assert (code, seconds < LONGEST_STOP_S) == (128 + signal.SIGTERM, True), container.log()
    whole = contents(container.source)
    assert all(
        whole[name] == content for name, content in contents(server.docroot).items() if not name.startswith(".am-")
    )

    done = container.run("sync", "--once", MULTI=mode)
    assert done.returncode == 0, done.stderr
    assert contents(server.docroot) == whole


@pytest.mark.parametrize("mode", ["A", "P2"])
def test_sigterm_ends_it_in_time_though_the_server_has_fallen_silent(
    mode: str, container: Container, server: FtpServer
) -> None:
    for number in range(4):
        write(container.source / f"{number}.bin", os.urandom(2_000_000))
    container.start(MULTI=mode, BWLIMIT="200k")
    eventually(
        lambda: any(sent > 100_000 for sent in sizes(server.docroot)), f"a file is on its way: {container.log()}"
    )
    server.freeze()
    try:
        code, seconds = container.stop()
    finally:
        server.thaw()
    assert (code, seconds < LONGEST_STOP_S) == (128 + signal.SIGTERM, True), container.log()

    done = container.run("sync", "--once", MULTI=mode)
    assert done.returncode == Exit.MIRRORED, done.stderr
    assert contents(server.docroot) == contents(container.source)


def test_every_mode_and_the_dry_run_work_on_a_file_system_that_is_read_only(
    container: Container, server: FtpServer
) -> None:
    write(container.source / "index.html", "first")
    for number, mode in enumerate(("A", "A2", "T2", "P2", "S")):
        write(container.source / f"{number}.html", mode)
        done = container.run("sync", "--once", MULTI=mode)
        assert done.returncode == 0, done.stderr
        assert contents(server.docroot) == contents(container.source)
    write(container.source / "later.html", "later")
    done = container.run("sync", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "later.html" in done.stdout + done.stderr
    assert "later.html" not in contents(server.docroot)
    listed = container.run("config")
    assert 'source = "/data"' in listed.stdout
    assert "the configuration file: /config/async-mirror.toml" in listed.stdout


def test_a_source_that_nobody_mounted_is_an_error_and_no_empty_folder(podman: Podman, image: str) -> None:
    settings = ("ASYNC_MIRROR_DESTINATION=ftp://me@localhost/", "ASYNC_MIRROR_PASSWORD=secret")
    words = [word for setting in settings for word in ("--env", setting)]
    done = podman.call("run", "--rm", "--network", "none", "--read-only", *words, image, "sync", "--once")
    assert done.returncode == Exit.SAFETY, done.stderr
    assert "cannot read the source /data: No such file or directory" in done.stderr


def test_what_is_wrong_is_told_and_ends_it(container: Container) -> None:
    done = container.run("sync", "--once", SOURCE="/nowhere")
    assert done.returncode == Exit.SAFETY, done.stderr
    assert "/nowhere" in done.stderr
    done = container.run("sync", "--once", PASSWORD_FILE="/run/secrets/other")
    assert done.returncode == Exit.USAGE
    assert "cannot read the password file /run/secrets/other" in done.stderr
    done = container.run("sync", "--once", EVERYY="5m")
    assert done.returncode == Exit.USAGE
    assert "did you mean ASYNC_MIRROR_EVERY" in done.stderr
    assert container.run("healthcheck").returncode == 1


class Systemd:
    """A machine of systemd's own in a container, with the image's program and the unit."""

    def __init__(self, podman: Podman, image: str, name: str, folder: Path) -> None:
        self._podman = podman
        self._name = f"{name}-systemd"
        self._image = f"localhost/{self._name}:latest"
        self.source = folder / "site"
        self.etc = folder / "etc"
        self.source.mkdir()
        self.etc.mkdir()
        recipe = write(folder / "recipe/Dockerfile", f"FROM {image}\nUSER 0\n{INSTALL_SYSTEMD}")
        podman("build", *build_options(KEPT), "--tag", self._image, recipe.parent, seconds=600)

    def start(self, project: str) -> None:
        """Boot it on the network of the trial's server, and where that server's certificate is."""
        mounts = {
            f"{PROJECT}/contrib/async-mirror.service:/etc/systemd/system/async-mirror.service:ro",
            f"{self.etc}:/etc/async-mirror:ro",
            f"{self.source}:/srv/site:ro",
            f"{project}_certificate:/certificate:ro",
        }
        volumes = [word for mount in mounts for word in ("--volume", mount)]
        privileges = ("--systemd=always", "--cap-add", "all", "--security-opt", "seccomp=unconfined")
        network = ("--network", f"{project}_default")
        boot = ("--entrypoint", "sh", self._image, "-c", BOOT)
        self._podman("run", "--detach", "--name", self._name, *privileges, *network, *volumes, *boot)
        eventually(
            lambda: self.call("systemctl", "is-system-running").stdout.strip() in {"running", "degraded"}, "boot"
        )

    def call(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it."""
        return self._podman.call("exec", self._name, *words)

    def shows(self, name: str) -> str:
        """Return a property of the service."""
        return self.call("systemctl", "show", "--value", "--property", name, "async-mirror").stdout.strip()

    def log(self) -> str:
        """Return what the service has said."""
        return self.call("journalctl", "--no-pager", "--output", "cat", "--unit", "async-mirror").stdout

    def remove(self) -> None:
        """See that nothing is left of it."""
        self._podman.call("rm", "--force", "--volumes", "--time", "0", self._name)
        self._podman.call("rmi", "--force", self._image)


@pytest.fixture
def compose(podman: Podman) -> Iterator[tuple[str, Callable[..., str]]]:
    """Give the name of a project of the test's own, and what calls `podman-compose` on compose.yaml as it is."""
    name = f"life-{uuid.uuid4().hex[:12]}"
    argv = [sys.executable, "-m", "podman_compose", "--podman-path", str(podman.script), "--project-name", name]
    argv += ["--podman-build-args", shlex.join(build_options(KEPT))]

    def call(*words: str, seconds: float = 60) -> str:
        done = subprocess.run(
            [*argv, *words],
            cwd=PROJECT,
            env=podman.environment,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    try:
        yield name, call
    finally:
        call("down", "--volumes", "--rmi", "local", "--timeout", "0")


def test_compose_starts_a_mirror_beside_a_server(podman: Podman, compose: tuple[str, Callable[..., str]]) -> None:
    name, call = compose
    call("build", seconds=600)
    call("up", "--detach", seconds=120)

    def is_healthy(service: str) -> bool:
        return podman.call("healthcheck", "run", f"{name}_{service}_1").returncode == 0

    eventually(lambda: is_healthy("ftp"), "the server is healthy")
    eventually(lambda: is_healthy("mirror"), "the mirror is healthy")
    there = call("exec", "-T", "ftp", "ls", "/srv/site").split()
    assert there == sorted(os.listdir(PROJECT / "docs"))
    call("stop", "--timeout", str(LONGEST_STOP_S))
    ends = [
        json.loads(podman("inspect", f"{name}_{service}_1"))[0]["State"]["ExitCode"] for service in ("mirror", "ftp")
    ]
    assert ends == [128 + signal.SIGTERM] * 2


def test_service_of_systemd_keeps_the_mirror_locked_in(
    podman: Podman, image: str, compose: tuple[str, Callable[..., str]], tmp_path: Path
) -> None:
    name, call = compose
    systemd = Systemd(podman, image, name, tmp_path)
    settings = 'source = "/srv/site"\ndestination = "ftpes://me@ftp/"\nca-cert = "/certificate/ftp.pem"\n'
    configuration = write(systemd.etc / "async-mirror.toml", f'{settings}every = "2s"\nmulti = "P2"\n')
    write(systemd.etc / "password", (PROJECT / "contrib/password-to-try").read_text(), mode=0o600)
    for number in range(5):
        write(systemd.source / f"{number}.html", f"{number}")
    call("up", "--build", "--detach", "ftp", seconds=600)
    eventually(lambda: podman.call("healthcheck", "run", f"{name}_ftp_1").returncode == 0, "the server is healthy")
    try:
        systemd.start(name)
        assert systemd.call("systemctl", "start", "async-mirror").returncode == 0
        eventually(lambda: "next pass in" in systemd.log(), f"a pass has ended: {systemd.log()}")
        assert call("exec", "-T", "ftp", "ls", "/srv/site").split() == sorted(os.listdir(systemd.source))
        status = systemd.call("cat", f"/proc/{systemd.shows('MainPID')}/status").stdout
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert "0" not in fields["Uid"].split()
        assert (int(fields["CapBnd"], 16), fields["NoNewPrivs"], fields["Seccomp"]) == (0, "1", "2")
        eventually(lambda: "next pass in" in systemd.shows("StatusText"), "systemd knows how it is")
        bare = ("env", "-i", "PATH=/opt/async-mirror/bin:/usr/bin:/bin", "async-mirror")
        places = ("--config", "/etc/async-mirror/async-mirror.toml", "--state-dir", "/var/lib/async-mirror")
        told = systemd.call(*bare, "status", *places).stdout
        assert f"running (pid {systemd.shows('MainPID')})" in told
        write(systemd.source / "later.html", "later")
        eventually(lambda: "later.html" in systemd.log(), "the next pass has found it")

        systemd.call("systemctl", "stop", "async-mirror")
        assert "async-mirror.service: Deactivated successfully" in systemd.log()

        systemd.call("systemctl", "start", "async-mirror")
        systemd.call("systemctl", "kill", "--signal", "KILL", "async-mirror")
        eventually(lambda: systemd.shows("SubState") == "auto-restart", "it is to be started again")

        write(configuration, "nonsense = 1\n")
        systemd.call("systemctl", "restart", "async-mirror")
        eventually(lambda: systemd.shows("SubState") == "failed", "a slip in the settings ends it")
        assert systemd.shows("ExecMainStatus") == "2"
    finally:
        systemd.remove()
