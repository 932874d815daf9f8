"""Watching real folders on the real kernel."""

from __future__ import annotations

import asyncio
import os
import re
import resource
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from support.editors import WAYS, Save
from support.program import PROJECT

from async_mirror.crew.alarm import Alarm, Wish
from async_mirror.crew.stop import Stop
from async_mirror.model.selection import Selection
from async_mirror.multi import beside
from async_mirror.source import elsewhere
from async_mirror.source.mounts import Mount
from async_mirror.source.notices import Notices
from async_mirror.source.watch import SourceWatch

SETTLE_S = 0.1
LONGEST_S = 30.0
FENCE = "fence"
EVERYTHING = Wish(whole=True)
ALL = Selection()

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="inotify is Linux's")


def only(*folders: str) -> Wish:
    return Wish(whole=False, folders=frozenset(folders))


class Watched:
    """A source that is watched."""

    def __init__(self, root: Path, watch: SourceWatch, alarm: Alarm, notes: list[str]) -> None:
        self.root = root
        self.watch = watch
        self.notes = notes
        self._alarm = alarm

    async def wish(self) -> Wish:
        """Return the next wish."""
        async with asyncio.timeout(LONGEST_S):
            return await self._alarm.wait(2 * LONGEST_S, Stop())

    async def wishes(self) -> list[Wish]:
        """Return all wishes that there are, up to one for a change that is made now, which is not among them."""
        (self.root / FENCE).mkdir(exist_ok=True)
        (self.root / FENCE / str(time.monotonic_ns())).write_bytes(b"")
        wishes = []
        while FENCE not in (wish := await self.wish()).folders:
            wishes.append(wish)
        rest = wish.folders - {FENCE}
        return [*wishes, *([Wish(wish.whole, rest)] if rest else [])]


@asynccontextmanager
async def watching(
    root: Path, selection: Selection = ALL, *, settle_s: float = SETTLE_S, poll_s: float = 3600.0
) -> AsyncIterator[Watched]:
    """Watch a source, as long as this is open."""
    (root / FENCE).mkdir(parents=True, exist_ok=True)
    alarm, notes = Alarm(), list[str]()
    notices = Notices()
    watch = SourceWatch(
        os.fsencode(root),
        selection,
        settle_s=settle_s,
        ring=alarm.ring,
        note=notes.append,
        notices=notices,
        poll_s=poll_s,
    )
    try:
        await watch.stand()
        async with beside() as start:
            start(notices.run())
            start(watch.run())
            yield Watched(root, watch, alarm, notes)
    finally:
        notices.close()


Act = Callable[[Watched], Awaitable[None]]


def run(root: Path, act: Act, selection: Selection = ALL, *, settle_s: float = SETTLE_S) -> None:
    """Do something while a source is watched."""

    async def main() -> None:
        async with watching(root, selection, settle_s=settle_s) as watched:
            await act(watched)

    asyncio.run(main())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path.resolve() / "site"
    (root / "blog").mkdir(parents=True)
    return root


@pytest.mark.parametrize("save", WAYS.values(), ids=WAYS)
def test_each_way_to_save_is_one_wish_for_its_folder(root: Path, save: Save) -> None:
    page = root / "blog" / "page.html"
    page.write_bytes(b"as it was")

    async def act(watched: Watched) -> None:
        for content in (b"the first one of two versions", b"the second one"):
            save(page, content)
            assert await watched.wish() == only("blog")
        assert await watched.wishes() == []

    run(root, act)


def test_a_mode_or_a_date_that_is_set_is_told(root: Path) -> None:
    page = root / "page.html"
    page.write_bytes(b"x")

    async def act(watched: Watched) -> None:
        page.chmod(0o600)
        assert await watched.wish() == only("")
        os.utime(page, (1, 1))
        assert await watched.wish() == only("")
        (root / "blog").chmod(0o700)
        assert await watched.wish() == only("")
        assert await watched.wishes() == []

    run(root, act)


def test_what_is_read_and_not_written_is_not_told(root: Path) -> None:
    (root / "page.html").write_bytes(b"x")

    async def act(watched: Watched) -> None:
        assert (root / "page.html").read_bytes() == b"x"
        assert sorted(os.listdir(root)) == ["blog", FENCE, "page.html"]
        assert await watched.wishes() == []

    run(root, act)


def test_folders_that_are_filled_before_their_watch_stands_are_told_with_all_that_is_below(root: Path) -> None:
    async def act(watched: Watched) -> None:
        deep = root / "new" / "a" / "b"
        deep.mkdir(parents=True)
        (deep / "page").write_bytes(b"x")
        assert (await watched.wish()).folders >= {"new", "new/a", "new/a/b"}
        (deep / "page").write_bytes(b"y")
        assert await watched.wish() == only("new/a/b")

    run(root, act)


def test_moves_into_and_out_of_the_tree_and_within_are_told_and_followed(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "inner").mkdir(parents=True)

    async def act(watched: Watched) -> None:
        outside.rename(root / "here")
        assert await watched.wish() == only("", "here", "here/inner")
        (root / "here" / "inner" / "x").write_bytes(b"x")
        assert await watched.wish() == only("here/inner")
        (root / "here").rename(root / "blog" / "there")
        assert await watched.wish() == only("", "blog", "blog/there", "blog/there/inner")
        (root / "blog" / "there" / "inner" / "x").write_bytes(b"y")
        assert await watched.wish() == only("blog/there/inner")
        (root / "blog" / "there").rename(outside)
        assert await watched.wish() == only("blog")
        (outside / "inner" / "x").write_bytes(b"z")
        assert await watched.wishes() == []

    run(root, act)


def test_a_folder_that_takes_the_place_of_one_that_was_moved_is_watched_under_its_name(root: Path) -> None:
    (root / "a").mkdir()
    (root / "b").mkdir()

    async def act(watched: Watched) -> None:
        (root / "a").rename(root / "c")
        (root / "b").rename(root / "a")
        assert await watched.wish() == only("", "a", "c")
        (root / "a" / "was b").write_bytes(b"")
        assert await watched.wish() == only("a")
        (root / "c" / "was a").write_bytes(b"")
        assert await watched.wish() == only("c")

    run(root, act)


def test_a_folder_that_is_deleted_and_made_again_is_watched(root: Path) -> None:
    async def act(watched: Watched) -> None:
        shutil.rmtree(root / "blog")
        (root / "blog").mkdir()
        assert (await watched.wish()).folders == {"", "blog"}
        (root / "blog" / "page").write_bytes(b"")
        assert await watched.wish() == only("blog")

    run(root, act)


def test_a_name_that_is_not_utf_8_keeps_its_bytes(root: Path) -> None:
    async def act(watched: Watched) -> None:
        folder = os.fsencode(root) + b"/\xff\xfe"
        os.mkdir(folder)
        assert (await watched.wish()).folders == {"", "\udcff\udcfe"}
        os.close(os.open(folder + b"/caf\xe9", os.O_CREAT | os.O_WRONLY))
        assert await watched.wish() == only("\udcff\udcfe")

    run(root, act)


def test_what_is_left_out_costs_nothing(root: Path) -> None:
    (root / "node_modules" / "inner").mkdir(parents=True)
    (root / ".am-0123abcd-7.part").write_bytes(b"of an upload elsewhere")

    async def act(watched: Watched) -> None:
        (root / "node_modules" / "inner" / "x").write_bytes(b"")
        (root / "node_modules" / "other").mkdir()
        (root / "access.log").write_bytes(b"GET /")
        (root / "blog" / "access.log").write_bytes(b"GET /")
        (root / "x.tmp").write_bytes(b"")
        (root / ".am-0123abcd-7.part").write_bytes(b"x")
        assert await watched.wishes() == []
        assert kernel_watches() == len(["", "blog", FENCE]) + len(root.parents)

    run(root, act, Selection(excluded_extensions=frozenset({".tmp"}), patterns=("node_modules/", "*.log")))


def kernel_watches() -> int:
    """Return how many watches this process has."""
    watches = 0
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # that of the folder that is listed
            watches += Path(f"/proc/self/fdinfo/{descriptor}").read_text().count("inotify wd:")
    return watches


def test_a_checkout_of_5000_files_is_one_wish_or_two(root: Path) -> None:
    program = """
import os, sys
for number in range(5000):
    folder = f"{sys.argv[1]}/checkout/{number // 100}"
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/{number}", "w") as file:
        file.write("x" * number)
"""

    async def act(watched: Watched) -> None:
        checkout = await asyncio.create_subprocess_exec(sys.executable, "-c", program, str(root))
        wishes = [await watched.wish()]
        await checkout.wait()
        wishes += await watched.wishes()
        assert len(wishes) <= 2
        told = frozenset().union(*(wish.folders for wish in wishes))
        assert told == {"", "checkout", *(f"checkout/{number}" for number in range(50))}

    run(root, act, settle_s=1.0)


def test_notices_that_were_lost_lead_to_a_look_at_everything_and_new_folders_are_watched_again(root: Path) -> None:
    queued = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())

    async def act(watched: Watched) -> None:
        for number in range(queued // 2 + 100):  # nobody reads meanwhile, so this cannot but overflow
            (root / f"{number}").write_bytes(b"")
            (root / f"{number}").unlink()
        (root / "unseen").mkdir()
        assert await watched.wish() == EVERYTHING
        (root / "unseen" / "page").write_bytes(b"")
        assert await watched.wish() == only("unseen")

    run(root, act)


def test_a_root_that_is_replaced_is_looked_at_as_a_whole_and_watched(root: Path, tmp_path: Path) -> None:
    async def act(watched: Watched) -> None:
        os.rename(root, tmp_path / "old")
        (root / "other").mkdir(parents=True)
        assert await watched.wish() == EVERYTHING
        (tmp_path / "old" / "blog" / "x").write_bytes(b"")
        (root / "other" / "x").write_bytes(b"")
        assert await watched.wish() == only("other")

    run(root, act)


def test_a_root_that_is_gone_and_comes_back_is_looked_at_as_a_whole(root: Path) -> None:
    async def act(watched: Watched) -> None:
        shutil.rmtree(root)
        assert await watched.wish() == EVERYTHING
        os.mkdir(root)
        assert await watched.wish() == EVERYTHING
        (root / "x").write_bytes(b"")
        assert await watched.wish() == only("")

    run(root, act)


@pytest.mark.parametrize("link", ["current", "srv"])
def test_a_link_on_the_way_to_the_root_that_is_switched_is_noticed(tmp_path: Path, link: str) -> None:
    for release in ("1", "2"):
        (tmp_path / "releases" / release / "current" / FENCE).mkdir(parents=True)
    source = {"current": tmp_path / "current", "srv": tmp_path / "srv" / "current"}[link]
    (tmp_path / link).symlink_to("releases/1" if link == "srv" else tmp_path / "releases" / "1" / "current")

    async def act(watched: Watched) -> None:
        new = tmp_path / "new link"
        new.symlink_to("releases/2" if link == "srv" else tmp_path / "releases" / "2" / "current")
        new.replace(tmp_path / link)
        assert await watched.wish() == EVERYTHING
        (tmp_path / "releases" / "2" / "current" / "x").write_bytes(b"")
        assert await watched.wish() == only("")

    run(source, act)


def test_what_happens_beside_the_way_to_the_root_is_not_told(root: Path, tmp_path: Path) -> None:
    async def act(watched: Watched) -> None:
        (tmp_path / "beside").mkdir()
        (tmp_path / "beside").rmdir()
        assert await watched.wishes() == []

    run(root, act)


def test_a_folder_that_may_be_read_again_is_watched(root: Path) -> None:
    blog = root / "blog"
    if os.geteuid() == 0:
        blog = root / "of root"  # whom nothing binds: it sees the folder all along
        blog.mkdir()
    blog.chmod(0)

    async def act(watched: Watched) -> None:
        blog.chmod(0o755)
        assert "" in (await watched.wish()).folders
        (blog / "page").write_bytes(b"")
        assert await watched.wish() == only(blog.name)

    run(root, act)


def test_a_watch_that_has_ended_leaves_no_descriptor_and_no_watch(root: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))

    async def act(watched: Watched) -> None:
        assert kernel_watches() > 0

    run(root, act)
    assert (kernel_watches(), len(os.listdir("/proc/self/fd"))) == (0, before)


def test_two_mirrors_of_one_source_share_an_inotify_instance_and_both_are_told(root: Path) -> None:
    async def main() -> None:
        notices = Notices()
        alarms = [Alarm(), Alarm()]
        watches = [
            SourceWatch(os.fsencode(root), Selection(), settle_s=SETTLE_S, ring=alarm.ring, note=print, notices=notices)
            for alarm in alarms
        ]
        for watch in watches:
            await watch.stand()
        async with beside() as start:
            start(notices.run())
            async with beside() as start_one:
                start(watches[0].run())
                start_one(watches[1].run())
                (root / "blog" / "x").write_bytes(b"")
                for alarm in alarms:
                    assert await alarm.wait(LONGEST_S, Stop()) == only("blog")
            (root / "blog" / "x").unlink()
            assert await alarms[0].wait(LONGEST_S, Stop()) == only("blog")
        notices.close()

    asyncio.run(main())


IN_A_NAMESPACE = """
import asyncio, subprocess, sys
from pathlib import Path
sys.path.insert(0, "tests")
from source.test_watch import EVERYTHING, only, watching

async def main(root):
    async with watching(root, poll_s=0.2) as watched:
{}

asyncio.run(main(Path(sys.argv[1])))
"""


def in_a_namespace(root: Path, before: str, act: str) -> str:
    """Watch a source in a user's and mount's namespace of its own, and return what is printed."""
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", f'{before} && exec "$@"', "sh"]
    if subprocess.run([*command[:-2], "true"], capture_output=True, check=False).returncode:
        assert os.environ.get("CI") != "true"
        pytest.skip("user namespaces are needed, and unshare --user is refused here")
    program = IN_A_NAMESPACE.format(textwrap.indent(textwrap.dedent(act), " " * 8))
    done = subprocess.run(
        [*command, sys.executable, "-c", program, str(root)],
        cwd=PROJECT, env={**os.environ, "PYTHONPATH": str(PROJECT)}, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_at_the_limit_of_watches_the_number_to_set_is_told_and_the_rest_is_polled(root: Path) -> None:
    for number in range(300):
        (root / f"{number}").mkdir()
    act = """
        print(watched.notes)
        (root / "299" / "late").mkdir()
        assert "299" in (await watched.wish()).folders
        (root / "299" / "page").write_bytes(b"x")
        assert "299" in (await watched.wish()).folders
        """
    notes = in_a_namespace(root, "echo 100 >/proc/sys/user/max_inotify_watches", act)
    told = re.search(r"only (\d+) of the 303 folders in .* can be watched \(No space left on device\)", notes)
    assert told
    assert 80 < int(told[1]) <= 100
    to_set = re.search(r"set fs.inotify.max_user_watches to (\d+)", notes)
    assert to_set
    assert int(to_set[1]) >= int(Path("/proc/sys/fs/inotify/max_user_watches").read_text()) + 200


def test_a_source_that_is_watched_can_be_unmounted_and_is_looked_at_as_a_whole_then_and_when_it_is_back(
    root: Path,
) -> None:
    act = """
        subprocess.run(["umount", root], check=True)
        assert await watched.wish() == EVERYTHING
        (root / "beneath").write_bytes(b"x")
        assert await watched.wish() == only("")
        subprocess.run(["mount", "-t", "tmpfs", "none", root], check=True)
        assert await watched.wish() == EVERYTHING
        (root / "above").write_bytes(b"x")
        assert await watched.wish() == only("")
        """
    in_a_namespace(root, f"mount -t tmpfs none '{root}'", act)


def test_without_the_kernels_help_all_is_polled(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elsewhere, "is_installed", lambda: False)
    (root / "blog" / "page").write_bytes(b"x")

    async def main() -> None:
        alarm = Alarm()
        notes = list[str]()
        watch = SourceWatch(
            os.fsencode(root),
            Selection(patterns=("*.log",)),
            settle_s=SETTLE_S,
            ring=alarm.ring,
            note=notes.append,
            notices=None,
            poll_s=SETTLE_S,
        )
        await watch.stand()
        async with beside() as start:
            start(watch.run())
            (root / "blog" / "page.log").write_bytes(b"GET /")
            (root / "blog" / "page").write_bytes(b"y")
            assert await alarm.wait(LONGEST_S, Stop()) == only("blog")
            (root / "new" / "inner").mkdir(parents=True)
            wish = only()
            while "new/inner" not in wish.folders:
                wish = await alarm.wait(LONGEST_S, Stop())
            (root / "new" / "inner" / "x").write_bytes(b"")
            assert await alarm.wait(LONGEST_S, Stop()) == only("new/inner")
            os.rename(root, root.with_name("elsewhere"))
            os.mkdir(root)
            assert await alarm.wait(LONGEST_S, Stop()) == EVERYTHING

    asyncio.run(main())


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "fuseblk", "9p", "vboxsf", "virtiofs"])
def test_of_file_systems_that_others_may_write_to_the_kernel_does_not_tell_all(kind: str) -> None:
    assert not Mount("", kind.encode(), "").tells_of_changes


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "vfat"])
def test_of_file_systems_of_this_machine_the_kernel_tells_all(kind: str) -> None:
    assert Mount("", kind.encode(), "").tells_of_changes


@pytest.mark.exhaustive
def test_100000_folders_are_watched_within_a_minute_and_100_mb() -> None:
    root = Path("/dev/shm") / f"watched {os.getpid()}"  # a disk takes minutes to delete so many
    limit = int(Path("/proc/sys/fs/inotify/max_user_watches").read_text())
    number = min(100_000, limit * 3 // 4)
    try:
        for place in range(number // 100):
            (root / f"{place}").mkdir(parents=True)
            for inner in range(99):
                os.mkdir(root / f"{place}" / f"{inner}")

        async def act(watched: Watched) -> None:
            assert watched.notes == []
            (root / "7" / "98" / "page").write_bytes(b"x")
            begun = time.monotonic()
            assert await watched.wish() == only("7/98")
            assert time.monotonic() - begun < 2
            (root / "7").rename(root / "seven")
            assert len((await watched.wish()).folders) == 101

        before_kib, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
        run(root, act)
        assert time.monotonic() - begun < 60
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 100_000
    finally:
        shutil.rmtree(root, ignore_errors=True)
