"""Several mirrors in one process, as whole programs on real servers: what happens to one is its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults.scripted import ScriptedServer
from servers import FtpServer, ServerFactory
from support.program import contents, eventually, write
from support.several import Several, hang_up


@pytest.fixture
def site(server_factory: ServerFactory) -> FtpServer:
    return server_factory("pyftpdlib")


@pytest.fixture
def several(tmp_path: Path, site: FtpServer) -> Several:
    return Several(tmp_path, site.port)


def published(site: FtpServer, *names: str) -> bool:
    return all((site.docroot / name / f"of-{name}").exists() for name in names)


def test_all_mirrors_of_the_file_are_kept_or_those_that_are_named(several: Several, site: FtpServer) -> None:
    for name in ("shop", "blog", "wiki"):
        several.add(name)
    assert several.once("blog", "wiki").code == 0
    assert sorted(contents(site.docroot)) == ["blog/of-blog", "wiki/of-wiki"]
    result = several.once()
    assert result.code == 0
    assert published(site, "shop", "blog", "wiki")
    said = [line for line in result.err.splitlines() if "uploaded" in line]
    assert said
    assert all("  shop  " in line for line in said)


def test_a_name_that_is_not_in_the_file_is_refused_and_nothing_starts(several: Several, site: FtpServer) -> None:
    several.add("shop")
    result = several.once("shop", "shpo")
    assert (result.code, site.connections()) == (2, 0)
    assert "there is no mirror shpo" in result.err
    assert "which has shop" in result.err


def test_a_folder_and_a_site_are_mirrored_beside_the_tables(several: Several, site: FtpServer, tmp_path: Path) -> None:
    several.add("shop")
    write(tmp_path / "other/file", "content")
    assert several.once(str(tmp_path / "other"), several.url + "other").code == 0
    assert contents(site.docroot) == {"other/file": b"content"}


def test_errors_of_use_are_told_for_all_mirrors_before_any_starts(several: Several, site: FtpServer) -> None:
    several.add("shop", every="soon")
    several.add("blog", password_file="nowhere")
    several.add("wiki")
    result = several.once()
    assert (result.code, site.connections()) == (2, 0)
    assert len(result.err.splitlines()) == 2
    assert "mirror shop: Invalid value for mirror.shop.every in " in result.err
    assert "mirror blog: cannot read the password file " in result.err


def test_a_wrong_password_of_one_disturbs_no_other_and_counts_most(several: Several, site: FtpServer) -> None:
    several.say("wrong", "not the password")
    several.add("shop", password_file="wrong")
    several.add("blog")
    result = several.once("--json")
    ends = {each["mirror"]: each["exit_code"] for each in map(json.loads, result.out.splitlines())}
    assert ends == {"shop": 3, "blog": 0}
    assert result.code == 3
    assert published(site, "blog")


def test_the_worst_exit_code_counts(several: Several) -> None:
    several.add("shop", retries=0, destination="ftp://me@127.0.0.1:9/")
    source = several.add("blog")
    several.add("wiki")
    assert several.once("blog", "wiki").code == 0
    (source / "of-blog").unlink()
    assert several.once("wiki", "shop").code == 4
    assert several.once("shop", "blog", "wiki").code == 5


def test_a_state_in_use_or_damaged_is_one_mirrors_own(several: Several, site: FtpServer) -> None:
    several.add("shop")
    several.add("blog")
    with several.started("shop") as running:
        running.wait_for("shop  pass: uploaded 1 file")
        result = several.once()
        assert result.code == 6
        assert "shop  error" in result.err
        assert published(site, "blog")
        assert running.end(signal.SIGTERM, within_seconds=5) == 143
    for state in several.state.glob("127*.sqlite3"):
        state.write_bytes(b"no database at all, for sure" * 100)
        break
    result = several.once()
    assert (result.code, result.err.count("  error  ")) == (6, 1)
    assert several.once().code == 0


def test_one_signal_ends_all(several: Several) -> None:
    several.add("shop")
    several.add("blog")
    with several.started() as running:
        running.wait_for("shop  pass: uploaded 1 file")
        running.wait_for("blog  pass: uploaded 1 file") if "blog  pass:" not in running.said else None
        assert running.end(signal.SIGTERM, within_seconds=5) == 143


def test_the_health_of_all_is_asked_or_that_of_one(several: Several) -> None:
    several.add("shop")
    several.add("blog")
    several.once("shop")
    assert several.run("healthcheck", "shop").code == 0
    result = several.run("healthcheck")
    assert result.code == 1
    assert "blog: never synced" in result.err
    assert "shop: healthy" in result.out


# One account for all.


@pytest.mark.parametrize("mode", ["A4", "T4", "P4", "A"])
def test_mirrors_of_one_account_never_have_more_connections_than_the_cap(tmp_path: Path, mode: str) -> None:
    with ScriptedServer() as server:
        several = Several(tmp_path, server.port, multi=mode, max_connections=4)
        for name in ("shop", "blog", "wiki"):
            source = several.add(name)
            for number in range(60):
                write(source / f"{number}", str(number))
        assert several.once().code == 0
        assert 1 < server.most_connections <= 4
        assert len(server.files) == 183


def test_a_mirror_that_the_server_has_no_connection_left_for_waits_for_the_other(tmp_path: Path) -> None:
    with ScriptedServer(limit=2) as server:
        several = Several(tmp_path, server.port, multi="A4")
        for name in ("shop", "blog"):
            source = several.add(name)
            for number in range(100):
                write(source / f"{number}", str(number))
        assert several.once().code == 0
        assert server.most_connections <= 2
        assert len(server.files) == 202


# The configuration is read again.


def test_reload_starts_ends_and_restarts_only_what_changed(several: Several, site: FtpServer) -> None:
    several.add("shop")
    several.add("blog")
    several.add("wiki")
    with several.started() as running:
        eventually(lambda: published(site, "shop", "blog", "wiki"), "all are mirrored")
        del several.tables["shop"]
        several.tables["blog"]["exclude"] = ["*.tmp"]
        several.add("new")
        running.wait_for("next pass in")
        hang_up(running)
        running.wait_for("new  pass: uploaded 1 file")
        hang_up(running)
        running.wait_for("configuration was reloaded")
        assert running.end(signal.SIGTERM, within_seconds=5) == 143
    begun = [line for line in running.said.splitlines() if " -> ftp://" in line]
    assert {name: sum(f"  {name}  " in line for line in begun) for name in ("shop", "blog", "wiki", "new")} == {
        "shop": 1,
        "blog": 2,
        "wiki": 1,
        "new": 1,
    }


def test_reload_of_the_only_mirror_does_not_end_the_process(several: Several, site: FtpServer) -> None:
    source = several.add("shop")
    with several.started() as running:
        running.wait_for("shop  pass: uploaded 1 file")
        write(source / "new", "content")
        several.tables["shop"]["exclude"] = ["of-*"]
        several.configure()
        hang_up(running)
        running.wait_for("shop  pass: uploaded 1 file.* next pass in")
        assert running.end(signal.SIGTERM, within_seconds=5) == 143
    assert (site.docroot / "shop/new").exists()


def test_reload_with_a_broken_file_tells_one_error_and_changes_nothing(several: Several, site: FtpServer) -> None:
    source = several.add("shop")
    several.common["every"] = "1s"
    several.configure()
    with several.started() as running:
        running.wait_for("shop  pass: uploaded 1 file")
        several.file.write_text("[mirror.shop\n")
        hang_up(running)
        running.wait_for("the configuration was not reloaded, the old settings stay: .* line 1")
        several.file.unlink()
        hang_up(running)
        running.wait_for("old settings stay: cannot read the configuration .*: No such file or directory")
        write(source / "later", "content")
        running.wait_for("shop  pass: uploaded 1 file")
        assert running.end(signal.SIGTERM, within_seconds=5) == 143
    assert running.said.count("not reloaded") == 2
    assert (site.docroot / "shop/later").exists()


# One root for two, and roots in roots.


@pytest.mark.parametrize("mode", ["A", "T2", "P2"])
def test_two_mirrors_on_one_root_are_refused_and_told_which(several: Several, site: FtpServer, mode: str) -> None:
    several.common["multi"] = mode
    several.add("shop", "www")
    several.add("blog", "//www/")
    several.tables["blog"]["destination"] = f"ftp://tester@127.0.0.1:{site.port}/%2Fwww"
    several.configure()
    result = several.once()
    assert result.code == 2
    [refused] = [line for line in result.err.splitlines() if "of the server, in use by" in line]
    assert re.search(r"(shop  .* in use by blog|blog  .* in use by shop) \(process \d+ on ", refused)
    assert len(contents(site.docroot)) == 1


def test_a_root_that_another_process_keeps_is_refused(several: Several, site: FtpServer) -> None:
    several.add("shop", "www")
    several.add("blog", "//www")
    with several.started("shop") as running:
        running.wait_for("shop  pass: uploaded 1 file")
        result = several.once("blog")
        assert result.code == 2
        assert f"in use by shop (process {running.pid} on " in result.err
        with several.started("blog") as waiting:
            waiting.wait_for(f"blog  error .* in use by shop .process {running.pid} on ")
            waiting.wait_for("blog  .*incomplete: .*; next pass in")
            found = several.run("status", "blog").out
            assert f"running (pid {waiting.pid})" in found, found
            assert found.startswith("blog: failing"), found
            assert several.run("now", "blog").code == 0
            waiting.wait_for("blog  .*incomplete: .*; next pass in")
            assert waiting.end(signal.SIGTERM, within_seconds=5) == 143
        assert running.end(signal.SIGTERM, within_seconds=5) == 143
    assert list(contents(site.docroot)) == ["www/of-shop"]
    assert several.once("blog").code == 0


@pytest.mark.parametrize("mode", ["A", "P2"])
def test_two_names_of_one_host_are_one_site(several: Several, site: FtpServer, mode: str) -> None:
    several.common["multi"] = mode
    several.add("shop", "www")
    several.add("blog")
    several.tables["blog"]["destination"] = f"ftp://tester@localhost:{site.port}/www"
    several.configure()
    with several.started("shop") as running:
        running.wait_for("shop  pass: uploaded 1 file")
        result = several.once("blog")
        assert result.code == 2
        assert f"in use by shop (process {running.pid} on " in result.err
    assert list(contents(site.docroot)) == ["www/of-shop"]


def test_the_outer_of_nested_roots_leaves_the_inner_alone(several: Several, site: FtpServer) -> None:
    outer = several.add("www", "www")
    write(outer / "blog/old", "from www")
    assert several.once("www").code == 0
    several.add("blog", "www/blog")
    assert several.once("blog").code == 0
    (outer / "blog/old").unlink()
    (outer / "blog").rmdir()
    write(outer / "new", "content")
    result = several.once("www")
    assert (result.code, result.err.count("blog/ belongs to the mirror blog")) == (0, 1)
    assert contents(site.docroot) == {
        "www/of-www": b"www",
        "www/new": b"content",
        "www/blog/old": b"from www",
        "www/blog/of-blog": b"blog",
    }


def test_nested_roots_are_recognised_under_two_names_of_one_host(several: Several, site: FtpServer) -> None:
    outer = several.add("www", "www")
    several.add("blog")
    several.tables["blog"]["destination"] = f"ftp://tester@localhost:{site.port}/www/blog"
    several.configure()
    assert several.once("blog").code == 0
    write(outer / "blog/of-blog", "from www")
    for _ in range(2):
        result = several.once("www")
        assert (result.code, result.err.count("blog/ belongs to the mirror blog")) == (0, 1)
    assert contents(site.docroot) == {"www/of-www": b"www", "www/blog/of-blog": b"blog"}


def test_a_new_outer_mirror_knows_the_inner_before_its_first_upload(several: Several, site: FtpServer) -> None:
    several.add("blog", "www/blog")
    assert several.once().code == 0
    outer = several.add("www", "www")
    write(outer / "blog/of-blog", "from www")
    assert several.once().code == 0
    assert contents(site.docroot) == {"www/of-www": b"www", "www/blog/of-blog": b"blog"}


def test_nested_mirrors_that_are_both_new_keep_apart_from_the_beginning(several: Several, site: FtpServer) -> None:
    outer, inner = several.add("www", "www"), several.add("blog", "www/blog")
    for number in range(30):
        write(outer / f"blog/{number}", "from www")
        write(inner / f"{number}", "from blog")
    assert several.once().code == 0
    assert contents(site.docroot / "www/blog") == contents(inner)


def test_what_a_site_may_take_for_the_inner_folder_is_left_alone_and_told_in_each_pass(
    several: Several, site: FtpServer
) -> None:
    outer = several.add("www", "www")
    write(outer / "Blog/old", "from www")
    assert several.once("www").code == 0
    several.add("blog", "www/blog")
    write(outer / "Blog/new", "from www")
    (outer / "Blog/old").unlink()
    for _ in range(2):
        result = several.once()
        assert (result.code, result.err.count("Blog  same name as another file for this server")) == (1, 1)
    assert contents(site.docroot) == {
        "www/of-www": b"www",
        "www/Blog/old": b"from www",
        "www/blog/of-blog": b"blog",
    }


def test_a_mirror_is_started_again_that_has_a_new_one_inside(several: Several, site: FtpServer) -> None:
    outer = several.add("www", "www")
    with several.started() as running:
        running.wait_for("pass: .*next pass")
        write(outer / "blog/page", "from www")
        several.add("blog", "www/blog")
        hang_up(running)
        running.wait_for("mirror www restarts")
        running.wait_for("www  .*pass: .*next pass")
        assert running.end(signal.SIGTERM, within_seconds=5) == 143
    assert several.once().code == 0
    assert contents(site.docroot / "www") == {"of-www": b"www", "blog/of-blog": b"blog"}


def test_the_status_of_the_others_is_told_beside_a_damaged_state(several: Several) -> None:
    for name in ("shop", "blog"):
        several.add(name)
    assert several.once().code == 0
    shop = json.loads(several.run("status", "shop", "--json").out)
    Path(shop["state"]).write_bytes(b"no database" * 1000)
    result = several.run("status")
    assert result.code == 6
    assert "blog: in sync" in result.out
    assert "mirror shop: the state " in result.err


# A disk without room for a state.


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give the test a folder with next to no room."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40k,mode=700", "none", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_state_folder_without_room_ends_one_mirror_and_no_other(
    several: Several, site: FtpServer, small_disk: Path
) -> None:
    several.add("shop", state_dir=str(small_disk))
    several.add("blog")
    result = several.once()
    assert result.code == 6
    assert "shop  error  " in result.err
    assert sorted(contents(site.docroot)) == ["blog/of-blog"]
    assert "blog  pass: uploaded 1 file" in result.err
