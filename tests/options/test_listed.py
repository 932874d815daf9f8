"""`ls` lists what would be mirrored, and with -v what would not and why."""

import os
import subprocess

from support.here import Here
from support.program import PROGRAM, write


def fill(here: Here) -> None:
    for name in ("index.html", "notes.tmp", "drafts/idea.html", "drafts/ready.html", ".git/config", "deep/er/page"):
        write(here.folder / "site" / name)
    (here.folder / "site/link").symlink_to("nowhere")


OPTIONS = ("--exclude", ".git/", "--exclude", "drafts/*", "--exclude", "!drafts/ready.html", "--exclude-ext", ".tmp")


def test_paths_that_would_be_mirrored_are_listed_in_order(here: Here) -> None:
    fill(here)
    listed = here.run("ls", *OPTIONS, "--max-depth", "2", "site")
    assert (listed.code, listed.err) == (0, "")
    assert listed.out.splitlines() == ["deep/", "drafts/", "drafts/ready.html", "index.html"]


def test_excluded_paths_are_listed_with_the_rule_that_took_them(here: Here) -> None:
    fill(here)
    excluded = [
        line for line in here.run("ls", "-v", *OPTIONS, "--max-depth", "2", "site").out.splitlines() if "  (" in line
    ]
    assert excluded == [
        ".git/  (excluded: --exclude .git/)",
        "deep/er/  (excluded: --max-depth 2)",
        "drafts/idea.html  (excluded: --exclude drafts/*)",
        "link  (skipped: a symbolic link)",
        "notes.tmp  (excluded: --exclude-ext .tmp)",
    ]


def test_source_and_rules_come_from_the_file_of_sync_too(here: Here) -> None:
    fill(here)
    here.write('source = "site"\ndestination = "ftp://me@host/"\nexclude = [".git/", "drafts", "deep"]\nevery = "1h"')
    assert here.run("ls").out.splitlines() == ["index.html", "notes.tmp"]


def test_a_source_that_is_missing_is_told(here: Here) -> None:
    listed = here.run("ls", "gone")
    assert (listed.code, listed.out) == (2, "")
    assert listed.err == "async-mirror: cannot read the source gone: No such file or directory\n"
    assert here.run("ls").err.startswith("async-mirror: no source: ")


def test_mirrors_of_the_file_are_listed_by_name_and_a_folder_beside_them(here: Here) -> None:
    fill(here)
    write(here.folder / "blog/post")
    here.write(
        'exclude = [".git/", "drafts", "deep"]\n[mirror.shop]\nsource = "site"\ndestination = "ftp://me@host/shop"\n'
        '[mirror.blog]\nsource = "blog"\ndestination = "ftp://me@host/blog"\n'
    )
    assert here.run("ls", "shop").out.splitlines() == ["index.html", "notes.tmp"]
    assert here.run("ls").out.splitlines() == ["shop  index.html", "shop  notes.tmp", "blog  post"]
    assert here.run("ls", "blog", "shop").out.splitlines() == ["blog  post", "shop  index.html", "shop  notes.tmp"]
    assert here.run("ls", "site").out.splitlines() == ["index.html", "notes.tmp"], "no mirror is called so"
    assert "there is no mirror other in" in here.run("ls", "shop", "other").err


def test_a_reader_that_is_gone_ends_the_list_without_a_word(here: Here) -> None:
    for number in range(3):
        write(here.folder / f"site/{number}")
    ours, theirs = os.pipe()
    os.close(ours)
    with open(theirs, "wb") as gone:
        ended = subprocess.run([*PROGRAM, "ls", "site"], stdout=gone, stderr=subprocess.PIPE, check=False)
    assert (ended.returncode, ended.stderr) == (141, b"")
