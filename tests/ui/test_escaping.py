"""Names and replies that would write on a terminal, taken through the whole program: each byte that it writes counts.

Knows of the program its command line and what it says.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from faults import reactions, text
from faults.reactions import ALWAYS
from faults.scripted import Exchange, Reaction, ScriptedServer
from servers import PASSWORD
from support.forked import Started
from support.program import LONGEST_SECONDS, PROGRAM, PROJECT, at_terminal, write

WRITES = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""What a terminal obeys, but for the line break."""
TURNS = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u206f]")
"""What alters the order of the text around it: Bidi_Control, as Unicode has it, and the old ones beside it."""
DRAWN = re.compile(r"\x1b\[(?:K|J|\d*A|[\d;]*m|\?25[hl]|\?7[hl])|[\r\n]")
"""What the live display writes of its own."""

EVIL = "\x1b]0;EVIL\x07\x1b[2J\x08\x7f\x9b31m\u202e\u2066\u200f\u061c\u2028"
EVIL_BYTES = EVIL.encode() + b"\x9b\xff"
ESCAPED = r"\x1b]0;EVIL\x07\x1b[2J\x08\x7f\x9b31m\u202e\u2066\u200f\u061c\u2028"


def assert_harmless(raw: bytes, *, lines: bool = True) -> str:
    """Return the text of what was written; fail if a terminal would do with it anything but show it."""
    written = raw.decode()  # what is no UTF-8 fails here
    for pattern in (WRITES, TURNS):
        found = pattern.search(written)
        assert not found, f"{found[0]!r} in {written[max(0, found.start() - 80) : found.end() + 80]!r}"
    assert lines or "\n" not in written
    return written


def texts(value: Any) -> Iterator[str]:
    """Yield all texts of a JSON value, keys too."""
    match value:
        case str():
            yield value
        case dict():
            for key, each in value.items():
                yield from (key, *texts(each))
        case list():
            for each in value:
                yield from texts(each)


def assert_harmless_json(raw: bytes) -> list[dict[str, Any]]:
    """Return the objects, one on each line; fail if a text in them is not fit to be shown as it is."""
    objects: list[dict[str, Any]] = [json.loads(line) for line in assert_harmless(raw).splitlines()]
    for found in texts(objects):
        assert_harmless(found.encode(), lines=False)
    return objects


class Hostile:
    """The program between a source of evil names and a server of evil replies, in folders of evil names."""

    def __init__(self, folder: Path, server: ScriptedServer) -> None:
        self.server = server
        self.folder = folder / os.fsdecode(b"folder" + EVIL_BYTES)
        self.source = self.folder / "source"
        self.log = self.folder / "log"
        self.environment = {"PATH": os.defpath, "HOME": str(self.folder), "LANG": "C.UTF-8", "NETRC": ""}
        self.source.mkdir(parents=True)
        self.password_file = write(self.folder / "password", PASSWORD)
        spelled = quote("me\x9b\u202e", safe="")
        self.url = f"ftp://{spelled}@127.0.0.1:{server.port}/{quote('root' + chr(0x9B) + chr(0x202E), safe='')}"

    @property
    def root(self) -> bytes:
        """The destination's folder."""
        return b"/root" + "\x9b\u202e".encode()

    def write(self, name: bytes, content: str = "content") -> Path:
        return write(self.source / os.fsdecode(name), content)

    def begin(self, *arguments: str | Path, **streams: Any) -> subprocess.Popen[bytes]:
        return Started[bytes](
            [*PROGRAM, *arguments], cwd=PROJECT, env=self.environment, stdin=subprocess.DEVNULL, **streams
        )

    def run(self, *arguments: str | Path) -> tuple[int, bytes, bytes]:
        """Run the program, and return its code and what it wrote."""
        with self.begin(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            out, err = process.communicate(timeout=LONGEST_SECONDS)
        return process.returncode, out, err

    def arguments(self, *options: str | Path) -> list[str | Path]:
        places: list[str | Path] = ["--password-file", self.password_file, "--state-dir", self.folder / "state"]
        return ["sync", "--once", "--retries", "1", *places, *options, self.source, self.url]

    def sync(self, *options: str | Path) -> tuple[int, bytes, bytes]:
        return self.run(*self.arguments(*options))


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        yield running


@pytest.fixture
def hostile(tmp_path: Path, server: ScriptedServer) -> Hostile:
    return Hostile(tmp_path, server)


def list_evil(exchange: Exchange) -> None:
    """List what is there and names that no site may have."""
    if exchange.path not in exchange.site.folders:
        exchange.reply(b"550 " + EVIL_BYTES)
        return
    lies = [b"type=file;size=1; ../" + EVIL_BYTES, b"type=file;size=1; nul\0" + EVIL_BYTES]
    exchange.listing = text([b"type=cdir; .", *exchange.site.mlsd_lines(exchange.path), *lies])
    exchange.reply(exchange.perform() + b" " + EVIL_BYTES)


def say_evil(code: bytes) -> Reaction:
    return reactions.say(code + b"-first " + EVIL_BYTES + b"\r\n middle\r" + EVIL_BYTES + b"\r\n" + code + b" last")


def fill(hostile: Hostile) -> None:
    """Put into source and site whatever is told of in a line of its own."""
    server = hostile.server
    for number in range(3):
        hostile.write(b"page%d" % number + EVIL_BYTES, f"page {number}")
    hostile.write(b"in" + EVIL_BYTES + b"/deep", "deep")
    hostile.write(b"in the way" + EVIL_BYTES + b"/deep", "deep")
    hostile.write(b"line\r\nbreak" + EVIL_BYTES, "cannot be sent")
    hostile.write(b"differs" + EVIL_BYTES, "of ours")
    (hostile.source / os.fsdecode(b"link" + EVIL_BYTES)).symlink_to("nowhere")
    server.put(hostile.root + b"/in the way" + EVIL_BYTES, b"a file of others")
    server.put(hostile.root + b"/differs" + EVIL_BYTES, b"of others")
    server.put(hostile.root + b"/foreign" + EVIL_BYTES, b"of others")


def sizes(server: ScriptedServer) -> int:
    """Count the questions for a size; those that came along with a refused STOR are the first ones."""
    return sum(line.startswith("SIZE ") for _, line in server.log)


def misbehave(server: ScriptedServer) -> None:
    server.on("CONNECT", say_evil(b"220"))
    server.on("MLSD", list_evil, times=ALWAYS)
    server.on("STOR", say_evil(b"450"))
    server.on("STOR", say_evil(b"550"))
    server.on("SITE", say_evil(b"550"), times=ALWAYS)
    server.on("SIZE", reactions.say_bytes(b"no reply " + EVIL_BYTES + b"\r\n"), when=lambda _: sizes(server) > 2)
    server.on("RNTO", reactions.with_unsolicited(b"226 unasked " + EVIL_BYTES))


def change(hostile: Hostile) -> None:
    """Change the source so that a later pass renames, removes, and sets modes; and let some of that be refused."""
    page = [hostile.source / os.fsdecode(b"page%d" % number + EVIL_BYTES) for number in range(3)]
    page[0].unlink()
    page[1].rename(page[1].with_name(page[1].name + "moved"))
    page[2].chmod(0o600)
    (hostile.source / os.fsdecode(b"in" + EVIL_BYTES + b"/deep")).unlink()
    (hostile.source / os.fsdecode(b"in" + EVIL_BYTES)).rmdir()
    folder = hostile.root + b"/in" + EVIL_BYTES
    hostile.server.on("DELE", say_evil(b"550"), when=reactions.for_path(folder + b"/deep"))
    hostile.server.on("RMD", say_evil(b"550"), when=reactions.for_path(folder))


def told_as_text(hostile: Hostile, result: tuple[int, bytes, bytes]) -> str:
    """Return all that was written, once it was looked at."""
    _, out, err = result
    return "".join(map(assert_harmless, (out, err, hostile.log.read_bytes() if hostile.log.exists() else b"")))


def test_nothing_that_is_logged_obeys_a_name_or_a_reply(hostile: Hostile) -> None:
    fill(hostile)
    plan = told_as_text(hostile, hostile.sync("--dry-run"))
    assert f"upload  page1{ESCAPED}\\x9b\\xff" in plan
    misbehave(hostile.server)
    code, *written = result = hostile.sync("-v", "--log-file", hostile.log, "--multi", "S")
    assert code == 1, written
    said = told_as_text(hostile, result)
    for event in (
        "uploaded  ",
        "created   in",
        "skipped   link",
        "failed    line\\x0d\\x0abreak",
        f"failed    in the way{ESCAPED}",
        f"invalid names in the listing of /: ../{ESCAPED}\\x9b\\xff",
        f"450 first {ESCAPED}",
        "the server's reply is not FTP",
        f"226 unasked {ESCAPED}",
        f"ftp://me%C2%9B%E2%80%AE@127.0.0.1:{hostile.server.port}/root\\x9b\\u202e",
    ):
        assert event in said, f"{event} is not in {said}"
    told_as_text(hostile, hostile.sync())
    change(hostile)
    said = told_as_text(hostile, hostile.sync("-v", "--log-file", hostile.log, "--max-delete", "0"))
    assert f"would be deleted: in{ESCAPED}" in said
    said = told_as_text(hostile, hostile.sync("-v", "--log-file", hostile.log, "--max-delete", "100%"))
    for event in ("renamed   page1", "skipped   page2", "deleted   page0", f"550 first {ESCAPED}"):
        assert event in said, f"{event} is not in {said}"


def test_nothing_that_is_told_in_json_obeys_a_name_or_a_reply(hostile: Hostile) -> None:
    fill(hostile)
    misbehave(hostile.server)
    options = ("-v", "--json", "--log-format", "json", "--log-file", hostile.log)
    for _ in range(2):
        _, out, err = hostile.sync(*options)
        found = [
            *assert_harmless_json(out),
            *assert_harmless_json(err),
            *assert_harmless_json(hostile.log.read_bytes()),
        ]
        assert {"path", "detail", "first_failures", "destination", "source"} <= {key for each in found for key in each}
        assert any(f"in the way{ESCAPED}" in str(each.get("path")) for each in found)
        change(hostile) if hostile.source.joinpath(os.fsdecode(b"page0" + EVIL_BYTES)).exists() else None


@pytest.mark.parametrize(
    ("verb", "reply", "code"),
    [("PASS", b"530", 3), ("PASS", b"430", 3), ("CONNECT", b"550", 4), ("CONNECT", b"421", 4), ("CWD", b"550", 4)],
)
def test_nothing_that_is_said_of_a_connection_obeys_a_reply(
    hostile: Hostile, verb: str, reply: bytes, code: int
) -> None:
    hostile.write(b"page")
    hostile.server.on(verb, say_evil(reply), times=ALWAYS)
    hostile.server.on("MKD", say_evil(b"550"), times=ALWAYS)
    result = hostile.sync("--json", "--log-file", hostile.log)
    assert result[0] == code
    said = told_as_text(hostile, result)
    assert f"first {ESCAPED}\\x9b\\xff" in said
    assert_harmless_json(result[1])


def test_path_that_the_server_says_it_is_in_is_told_harmlessly(hostile: Hostile) -> None:
    hostile.write(b"page")
    cue = hostile.server.on("PWD", reactions.say(b'257 "/' + EVIL_BYTES + b'"'), times=ALWAYS)
    assert hostile.sync()[0] == 0
    cue.times_left = 0
    hostile.server.on("PWD", reactions.say(b'257 "/elsewhere' + EVIL_BYTES + b'"'), times=ALWAYS)
    hostile.write(b"page", "changed content")
    code, _, err = hostile.sync()
    assert code == 2
    assert f"is now the folder /elsewhere{ESCAPED}" in assert_harmless(err)


WRONG_USE: list[tuple[Sequence[str], str]] = [
    (("sync", "FILE", "URL"), "is not a folder"),
    (("sync", "--every", EVIL, "SOURCE", "URL"), "invalid interval"),
    (("sync", "--multi", EVIL, "SOURCE", "URL"), "invalid mode"),
    (("sync", "--log-format", EVIL, "SOURCE", "URL"), "is not one of"),
    (("sync", f"--{EVIL}", "SOURCE", "URL"), "o such option"),
    (("sync", "SOURCE", "URL", EVIL), "unexpected extra argument"),
    ((EVIL,), "o such command"),
    (("sync", "SOURCE", f"{EVIL}://host/"), "control character"),
    (("sync", "SOURCE", "gopher\u202e://host/"), "must be a URL"),
    (("sync", "SOURCE", "ftp://me@\u202ehost\x9b.invalid/"), "invalid host name"),
    (("sync", "--password-file", "FOLDER/gone", "SOURCE", "URL"), "cannot read"),
    (("sync", "--password-file", "FILE", "SOURCE", "URL", "--log-file", "FOLDER/gone/log"), "cannot write"),
    (("sync", "--exclude-from", "FOLDER/gone", "SOURCE", "URL"), "cannot read"),
    (("sync", "--exclude", f"./{EVIL}", "SOURCE", "URL"), "matches nothing"),
    (("sync", "--config", "FOLDER/gone", "SOURCE", "URL"), "cannot read"),
    (("sync", "--config", "BAD", "SOURCE", "URL"), "not valid TOML"),
    (("sync", "--config", "UNKNOWN", "SOURCE", "URL"), "unknown key"),
    (("sync", "--state-dir", "SOURCE/state", "SOURCE", "URL"), "lies in the source"),
    (("sync", "--password-file", "FILE", "--state-dir", "FILE", "SOURCE", "URL"), "cannot use the state"),
    (("healthcheck", "--state-dir", "FOLDER/gone", "SOURCE", "URL"), "never synced"),
    (("demo", "FOLDER/gone"), "does not exist"),
]


@pytest.mark.parametrize(("arguments", "said"), WRONG_USE, ids=[said for _, said in WRONG_USE])
def test_nothing_that_is_said_of_wrong_use_obeys_what_was_given(
    hostile: Hostile, arguments: Sequence[str], said: str
) -> None:
    hostile.write(b"page")
    hostile.environment["ASYNC_MIRROR_PASSWORD"] = PASSWORD
    write(hostile.folder / "bad", f'every = "{EVIL}')
    write(hostile.folder / "unknown", '"\\u001b]0;EVIL\\u0007\\u009b\\u202e" = 1')
    places = {"FILE": "password", "FOLDER": "", "SOURCE": "source", "BAD": "bad", "UNKNOWN": "unknown"}
    given = [re.sub("FILE|FOLDER|SOURCE|BAD|UNKNOWN", lambda at: str(hostile.folder / places[at[0]]), each)
             for each in arguments]  # fmt: skip
    code, out, err = hostile.run(*(hostile.url if each == "URL" else each for each in given))
    assert code
    assert said in assert_harmless(err)
    assert_harmless(out)


def test_printed_settings_obey_none_and_read_back(hostile: Hostile) -> None:
    folder = hostile.folder.parent / f"folder{EVIL}"
    folder.mkdir()
    config = write(folder / "config.toml", "max-depth = 3")
    arguments = ("--config", config, "--exclude", EVIL, "--state-dir", folder / "state")
    code, out, err = hostile.run("config", *arguments, folder, hostile.url)
    assert (code, err) == (0, b"")
    settings = tomllib.loads(assert_harmless(out))
    assert (settings["source"], settings["exclude"]) == (str(folder), [EVIL])
    assert settings["destination"] == hostile.url
    assert f"# configuration file: {folder.parent}/folder{ESCAPED}/config.toml" in out.decode()
    code, out, _ = hostile.run("config", "--password-file", hostile.folder / "gone", folder, hostile.url)
    assert "# password: " in assert_harmless(out)
    assert ESCAPED in out.decode().partition("# password: ")[2]


def test_live_display_obeys_neither_names_nor_replies(hostile: Hostile) -> None:
    fill(hostile)
    misbehave(hostile.server)
    ours, theirs = os.openpty()
    hostile.environment |= {"TERM": "xterm-256color", "COLUMNS": "200", "LINES": "40"}
    with hostile.begin(*hostile.arguments("-v"), stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        drawn = b"".join(read_to_end(ours))
    os.close(ours)
    assert process.returncode == 1, drawn
    assert b"\x1b[?25l" in drawn, "nothing was drawn"
    rest = DRAWN.sub("\n", drawn.decode())
    assert f"in the way{ESCAPED}" in assert_harmless(rest.encode())


def read_to_end(descriptor: int) -> Iterator[bytes]:
    while True:
        try:
            block = os.read(descriptor, 1 << 16)
        except OSError:  # the other end of a terminal is gone
            return
        if not block:
            return
        yield block


def test_prompt_for_a_password_obeys_no_destination(hostile: Hostile) -> None:
    command: list[str | Path] = [*PROGRAM, "sync", "--once", hostile.source, hostile.url]
    with at_terminal(command, hostile.environment) as terminal:
        terminal.wait_for(b"Password for")
        terminal.wait_to_be_asked()
    assert "root\\x9b\\u202e" in assert_harmless(terminal.said)


def test_whatever_a_library_logs_is_told_harmlessly(tmp_path: Path) -> None:
    program = (
        "import logging, sys; from pathlib import Path; from async_mirror.ui.log_output import set_up\n"
        "evil = sys.argv[1]\n"
        "for as_json in (False, True):\n"
        "    set_up(logging.StreamHandler(), quiet=False, verbose=True, file=Path(sys.argv[2]), as_json=as_json,"
        " is_screen_text=False)\n"
        "    try:\n"
        "        raise ValueError(evil)\n"
        "    except ValueError:\n"
        "        logging.getLogger('asyncio').exception('caught %s', evil)\n"
        "        logging.getLogger('async_mirror').exception('caught %s', evil)\n"
    )
    command = [PROGRAM[0], "-c", program, EVIL, str(tmp_path / "log")]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, check=True, timeout=LONGEST_SECONDS)
    assert f"ValueError: {ESCAPED}" in assert_harmless(done.stderr)
    assert f"caught {ESCAPED}" in assert_harmless((tmp_path / "log").read_bytes())
    objects = [line for line in done.stderr.splitlines() if line.startswith(b"{")]
    assert [each["text"] for each in assert_harmless_json(b"\n".join(objects))] == [f"caught {ESCAPED}"] * 2
