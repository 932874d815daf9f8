"""What is published: wheel and sdist as a user gets them, and the wheel in an environment that has nothing else."""

import configparser
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.metadata import Metadata
from packaging.requirements import Requirement
from servers import PASSWORD, USER, KeptServer
from support.program import PROJECT, contents, write
from trove_classifiers import classifiers

from async_mirror import __version__

NAME = f"async_mirror-{__version__}"
ENVIRONMENT = {
    key: value
    for key, value in os.environ.items()
    if key not in {"PYTHONPATH", "VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE"}
}


class Packages(NamedTuple):
    """A wheel and an sdist, the names of the files that they were built from, and what was said meanwhile."""

    wheel: Path
    sdist: Path
    sources: frozenset[str]
    said: str


def run(*argv: str | Path, cwd: Path, seconds: float = 300) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(argv, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def sources() -> Iterator[str]:
    """Yield what belongs to the project: in a clone what git knows or would take, in an sdist all that is there."""
    if (PROJECT / ".git").exists():
        listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=PROJECT).stdout
        yield from (name for name in listed.split("\0") if name and (PROJECT / name).exists())
        return
    made = {"PKG-INFO", "setup.cfg"}
    for path in PROJECT.rglob("*"):
        name = path.relative_to(PROJECT).as_posix()
        is_made = name in made or re.search(r"(^|/)(__pycache__|\.(?!ci/)[^/]+|[^/]+\.egg-info)/", name)
        if path.is_file() and not is_made:
            yield name


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Packages:
    """Build both from a copy, for setuptools leaves traces, and takes what it finds of older ones for its own."""
    folder = tmp_path_factory.mktemp("package")
    copy, dist = folder / "copy", folder / "dist"
    names = frozenset(sources())
    for name in names:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(PROJECT / name, copy / name)
    done = run(sys.executable, "-m", "build", "--outdir", dist, copy, cwd=folder)
    wheel, sdist = dist / f"{NAME}-py3-none-any.whl", dist / f"{NAME}.tar.gz"
    assert set(dist.iterdir()) == {wheel, sdist}
    return Packages(wheel, sdist, names, done.stdout + done.stderr)


@pytest.fixture(scope="module")
def metadata(packages: Packages) -> Metadata:
    with zipfile.ZipFile(packages.wheel) as wheel:
        return Metadata.from_email(wheel.read(f"{NAME}.dist-info/METADATA"), validate=True)


def test_both_are_built_without_a_warning(packages: Packages) -> None:
    harmless = re.compile(r"no previously-included files")  # what MANIFEST.in leaves out is not in the copy
    warnings = [line for line in packages.said.splitlines() if re.search("warning|deprecat|error", line, re.IGNORECASE)]
    assert [line for line in warnings if not harmless.search(line) and not line.startswith(("copying", "adding"))] == []


def test_the_wheel_holds_the_package_its_types_its_licence_and_nothing_else(packages: Packages) -> None:
    with zipfile.ZipFile(packages.wheel) as wheel:
        names = {name for name in wheel.namelist() if not name.startswith(f"{NAME}.dist-info/")}
        licence = wheel.read(f"{NAME}.dist-info/licenses/LICENSE").decode()
        commands = configparser.ConfigParser()
        commands.read_string(wheel.read(f"{NAME}.dist-info/entry_points.txt").decode())
    assert names == {name for name in packages.sources if name.startswith("async_mirror/")}
    assert "async_mirror/py.typed" in names
    assert licence == (PROJECT / "LICENSE").read_text(encoding="utf-8")
    assert dict(commands["console_scripts"]) == {"async-mirror": "async_mirror.cli:main"}


def test_the_sdist_holds_all_that_the_repository_holds(packages: Packages) -> None:
    with tarfile.open(packages.sdist) as sdist:
        names = {member.name.removeprefix(f"{NAME}/") for member in sdist.getmembers() if member.isfile()}
    made = {name for name in names if name in {"PKG-INFO", "setup.cfg"} or name.startswith("async_mirror.egg-info/")}
    assert packages.sources - names == set()
    assert names - made - packages.sources == set()


@pytest.mark.exhaustive
def test_the_tests_are_complete_in_the_sdist(packages: Packages, tmp_path: Path) -> None:
    with tarfile.open(packages.sdist) as sdist:
        sdist.extractall(tmp_path, filter="data")
    pytest_ = (sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider")
    found = run(*pytest_, "--collect-only", "tests", cwd=tmp_path / NAME).stdout
    modules = {name for name in packages.sources if re.fullmatch(r"tests/(?:[a-z]+/)*test_[a-z_]+\.py", name)}
    assert {line.partition("::")[0] for line in found.splitlines() if "::" in line} == modules
    assert (
        " passed"
        in run(*pytest_, "tests/model/test_paths.py", "tests/options/test_values.py", cwd=tmp_path / NAME).stdout
    )


def test_the_metadata_says_what_there_is_to_know(metadata: Metadata) -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (metadata.name, str(metadata.version)) == ("async-mirror", __version__)
    assert "version" not in project  # it is said in one place
    assert metadata.summary == project["description"]
    assert metadata.license_expression == "MIT"
    assert metadata.license_files == ["LICENSE"]
    assert metadata.description_content_type == "text/markdown"
    assert metadata.description == (PROJECT / "README.md").read_text(encoding="utf-8")
    assert str(metadata.requires_python) == ">=3.11"
    assert metadata.keywords
    assert not metadata.project_urls
    assert set(metadata.classifiers or []) <= classifiers
    assert "Typing :: Typed" in (metadata.classifiers or [])


def test_what_makes_it_fast_is_asked_for_where_it_exists(metadata: Metadata) -> None:
    assert {"dev", "fast"} <= set(metadata.provides_extra or [])
    wanted = [each for each in metadata.requires_dist or [] if each.name == "uvloop"]
    assert len(wanted) == 1
    (marker,) = (each.marker for each in wanted)
    assert marker is not None
    environment = {"extra": "fast", "platform_python_implementation": "CPython"}
    assert marker.evaluate({**environment, "sys_platform": "linux"})
    assert marker.evaluate({**environment, "sys_platform": "darwin"})
    assert not marker.evaluate({**environment, "sys_platform": "win32"})
    assert not marker.evaluate({**environment, "sys_platform": "linux", "extra": ""})


@pytest.mark.exhaustive
def test_demonstration_and_processes_work_in_an_environment_that_has_only_the_wheel(
    packages: Packages, metadata: Metadata, tmp_path: Path, kept_server: KeptServer
) -> None:
    run(sys.executable, "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    scripts = tmp_path / "venv/bin"
    run(scripts / "python", "-m", "pip", "install", "--quiet", packages.wheel, cwd=tmp_path)
    told = run(scripts / "python", "-m", "pip", "inspect", "--local", cwd=tmp_path).stdout
    installed = {each["metadata"]["name"].lower() for each in json.loads(told)["installed"]}
    asked = {each.name for each in metadata.requires_dist or [] if _is_for_all(each)}
    assert asked <= installed
    assert not installed & {"pytest", "pyftpdlib", "uvloop"}
    assert run(scripts / "async-mirror", "--version", cwd=tmp_path).stdout == f"async-mirror {__version__}\n"
    assert "files are equal" in run(scripts / "async-mirror", "demo", cwd=tmp_path).stdout
    server = kept_server("aioftp")
    source = write(tmp_path / "source/page.html", "a page").parent
    password = write(tmp_path / "password", PASSWORD, mode=0o600)
    places = ("--password-file", password, "--state-dir", tmp_path / "state", source)
    site = f"ftp://{USER}@127.0.0.1:{server.port}/"
    run(scripts / "async-mirror", "sync", "--once", "--multi", "P2", *places, site, cwd=tmp_path)
    assert contents(server.docroot) == contents(source) != {}


def _is_for_all(requirement: Requirement) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": ""})


def test_the_changelog_tells_of_this_version() -> None:
    text = (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall("^## (.*)$", text, re.MULTILINE)
    assert all(re.fullmatch(r"\[Unreleased\]|\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", heading) for heading in headings)
    assert f"[{__version__}]" in text or (headings[0] == "[Unreleased]" and f"is to be {__version__}" in text)
    parts = set(re.findall("^### (.*)$", text, re.MULTILINE))
    assert parts <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_what_contributing_names_is_there() -> None:
    text = (PROJECT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 60  # one screen
    package = PROJECT / "async_mirror"
    rooms = {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}
    modules = {path.stem for path in package.glob("[a-z]*.py")}
    rows = [row.split("|")[2] for row in text.partition("`async_mirror/` |")[2].splitlines() if row.startswith("| ")]
    named = {name for row in rows for name in re.findall(r"`([a-z_]+/?)`", row)}
    assert named == rooms | modules
    paths = set(re.findall(r"(?:\.ci|bench|docs|tests)/[a-z_/]*[a-zA-Z_.]*[a-zA-Z/]", text))
    assert "tests/container/run" in paths
    assert [path for path in paths if not (PROJECT / path).exists()] == []
