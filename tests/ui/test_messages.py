"""docs/messages.md explains what the user gets to see, and failures are told as promised there.

Beside this, each run of the program by `Here` or `Mirror`, in whatever test, fails if a line of it has no row.
"""

import ast
import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest
from faults import reactions
from faults.scripted import Reaction, ScriptedServer
from servers import PASSWORD, USER
from support.here import Here
from support.messages import EXIT_CODES, begins, kinds, quoted, rows, told, unexplained
from support.mirror import Mirror
from support.program import PROJECT, write

from async_mirror.engine import Exit
from async_mirror.ftp.session import connect
from async_mirror.jobs import adopt, recover
from async_mirror.model.candidates import Candidates
from async_mirror.model.outcome import Failure, Pending, Problem
from async_mirror.model.secret import Secret
from async_mirror.model.settings import UsageError
from async_mirror.model.site import Site
from async_mirror.options.credentials import find_login
from async_mirror.remote.session import RemoteSession

# The document in itself.


def test_no_message_has_two_rows() -> None:
    assert sorted(told()) == sorted(set(told()))


def is_put_together(part: str, texts: str) -> bool:
    """Tell whether words stand in the program's texts, whole or in two parts."""
    cuts = [found.start() for found in re.finditer(r"\s|$", part)]
    return any(part[:cut] in texts and part[cut:].strip() in texts for cut in cuts)


def test_every_word_that_a_row_quotes_is_in_the_program_still() -> None:
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (PROJECT / "async_mirror").rglob("*.py")]
    texts = "\n".join(str(node.value) for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant))
    gone = [row for row in told() if not all(is_put_together(part.strip(), texts) for part in row.split("…"))]
    assert gone == []
    assert not is_put_together("did not answer the green sky", texts)


def test_every_row_quotes_a_message_and_explains_it() -> None:
    for _, cells in rows():
        assert quoted(cells[0]), cells
        assert all(cells), cells
        assert len(cells) >= 2, cells
        assert re.fullmatch(r"\W*[A-Z`].*[.!]", next(cell for cell in cells[1:] if not quoted(cell))), cells


def test_kinds_of_failures_stand_beside_the_advice_that_comes_with_them() -> None:
    assert kinds() == {str(problem): problem.advice for problem in Problem}


def test_exit_codes_are_those_of_the_program() -> None:
    table = {int(quoted(cells[0]) or -1): quoted(cells[1]) for heading, cells in rows() if heading == EXIT_CODES}
    signals = {130: "interrupted", 143: "interrupted"}
    assert table == {code.value: code.name.lower() for code in Exit} | signals


@pytest.mark.parametrize(
    "line",
    [
        "async-mirror: the sky is green",
        "note      the sky is green",
        "2026-05-04 09:41:07  error     the sky fell: 421 Look up; retrying in 1.0 s",
        "failed    pictures/1.jpg  was green: the sky fell",
        "failed    pictures/1.jpg  refused by the server: the sky fell",
        "hint      look up at noon",
        '{"event": "warning", "text": "the sky is green"}',
    ],
)
def test_line_without_a_row_is_noticed(line: str) -> None:
    assert len(unexplained(f"{line}\n")) == 1


# What the user gets to see has its row.


def has(line: str, row: str) -> bool:
    """Tell whether a line holds the message of the one row with these first words, behind a colon or wide blanks."""
    (whole,) = [each for each in told() if each.startswith(row)]
    return any(begins(line[gap.end() :], whole) for gap in re.finditer("  +|: ", line))


@pytest.mark.parametrize(
    ("arguments", "row"),
    [
        ((), "no …: set it on the command line, in ASYNC_MIRROR_… or as … in …"),
        (("ftp://h/", "site"), "the source looks like a destination: write the folder first, then the destination"),
        (("file", "ftp://h/"), "the source … is not a folder"),
        (("site", "h"), "the destination must be a URL: write ftpes://user@host/path (ftpes is FTP with TLS"),
        (("site", "sftp://h/"), "unknown scheme …:// in the destination: write ftpes:// (FTP with TLS), ftps:// or"),
        (("site", "ftp://h:990/"), "on port … servers do not expect …://: write …://, or choose with --tls"),
        (("site", "ftp://h:0/"), "invalid port 0 in the destination: leave it out, or write"),
        (("site", "ftp://a..b/"), "invalid host name in the destination: check its spelling"),
        (("site", "ftp:///a"), "no host in the destination: write ftpes://user@host/path"),
        (("site", "ftp://h/../a"), "the path of the destination contains ..: write the final path"),
        (("site", "ftp://h/a?b"), "?, # or @ in the path of the destination: write %3F"),
        (("site", "ftp://h/%0a"), "the destination contains a control character, which FTP cannot"),
        (("site", "ftp://a:b@h/"), "the destination contains a password, visible to all users of this machine"),
        (("site", "h,me,pw,www"), "a password on the command line is visible to all users of this machine: write …"),
        (("--every", "x"), "invalid interval …: write 90s, 15m, 1h30m or seconds"),
        (("--every", "0"), "invalid interval …: it must be more than 0"),
        (("--max-delete", "x"), "invalid limit …: write a number of files (100) or a percentage of the tracked"),
        (("--max-delete", "101%"), "invalid limit …: a percentage goes from 0% to 100%"),
        (("--bwlimit", "x"), "invalid rate …: write bytes per second, e.g. 500k, 5M or 1.5M"),
        (("--bwlimit", "1"), "invalid rate …: it must be at least 1k (1,000 bytes/s)"),
        (("--multi", "X"), "invalid mode …: use …"),
        (("--exclude-ext", "a.b"), "invalid extension …: write .tmp (of a.tar.gz the extension is .gz)"),
        (("--exclude", "!"), "invalid pattern …: write a backslash before a literal [ or !"),
        (("--exclude", "./a"), "pattern … matches nothing (.gitignore syntax): write …"),
        (("--exclude-from", "gone"), "cannot read the patterns in …: …"),
        (("--tls-pin", "x"), "invalid fingerprint …: write sha256: and 64 digits, as an error of a connection"),
        (("--client-key", "file"), "--client-key needs --client-cert"),
        (("--ca-cert", "file"), "the file … cannot be used for --ca-cert: …"),
        (("--client-cert", "file"), "the client certificate … cannot be used: …"),
        (("--ca-cert", "file", "--insecure"), "… and … cannot be used together"),
        (("--state-dir", "site/state"), "the state folder … lies in the source: choose another with --state-dir"),
        (("--log-file", "site/log"), "the file … with the … lies in the source and would be published: move it, or"),
        (
            ("--log-file", "gone/log", "--password-file", "secret"),
            "cannot write the log file …: …",
        ),
        (("--password-file", "gone"), "cannot read the password file …: …"),
        (("--password-file", "empty"), "the password file … is empty"),
        (("--password-command", ""), "the password command is empty: write a program and its arguments"),
        (("--password-command", "'"), "cannot parse the password command: …"),
        (("--password-command", "/gone"), "cannot run the password command …: …"),
        (("--password-command", "false"), "the password command … failed (exit code …)"),
        (("--password-command", "true"), "the password command … printed nothing"),
        (("--config", "gone"), "cannot read the configuration …: …"),
        (("--config", "file"), "the configuration … is not valid TOML: …"),
        (("--config", "key.toml"), "unknown key …; allowed are …"),
        (("--config", "password.toml"), "no password in this file: use password-file"),
        (("--config", "value.toml"), "…: … must be …, as in … = …"),
        (("--once",), "no password for …: use --password-file, --password-command, ASYNC_MIRROR_PASSWORD_FILE"),
    ],
)
def test_wrong_use_is_told_in_one_line_that_has_its_row(here: Here, arguments: tuple[str, ...], row: str) -> None:
    write(here.folder / "site/file", "content")
    write(here.folder / "file", "not = what it is to be = at all")
    write(here.folder / "empty")
    write(here.folder / "secret", "secret", mode=0o600)
    write(here.folder / "key.toml", "evry = 1")
    write(here.folder / "password.toml", "password = 'secret'")
    write(here.folder / "value.toml", "every = true")
    places = ("site", "ftpes://me@127.0.0.1:9/") if arguments and arguments[0].startswith("--") else ()
    ran = here.run("sync", *arguments, *places)
    (line,) = ran.err.splitlines()
    assert ran.code == Exit.USAGE
    assert has(line, row), line


@pytest.mark.few(8)
@pytest.mark.parametrize(
    ("verb", "reaction", "code", "row"),
    [
        ("CONNECT", reactions.turn_away(), Exit.CONNECTION, "… has too many clients"),
        (
            "CONNECT",
            reactions.say_bytes(b"SSH-2.0-x\r\n"),
            Exit.CONNECTION,
            "the server's reply is not FTP",
        ),
        ("CONNECT", reactions.stay_silent, Exit.CONNECTION, "the server was silent for … s after …"),
        ("CONNECT", reactions.say(b"500 No."), Exit.CONNECTION, "… does not answer like an FTP server"),
        ("PASS", reactions.say(b"530 Wrong."), Exit.LOGIN, "… refused the login of user …"),
        ("PASS", reactions.say(b"450 Later."), Exit.CONNECTION, "… accepts no logins at the moment"),
        ("PASS", reactions.close_before_replying, Exit.CONNECTION, "the server closed the connection"),
        ("PASS", reactions.reset_before_replying, Exit.CONNECTION, "the connection was lost (…)"),
        ("PASS", reactions.endless_reply, Exit.CONNECTION, "the server sent an endless reply"),
        ("CWD", reactions.say(b"450 Later."), Exit.CONNECTION, "the folder … cannot be entered at the moment"),
        ("CWD", reactions.permission_denied, Exit.CONNECTION, "the folder … cannot be entered or created"),
        ("STOR", reactions.permission_denied, Exit.PARTLY, "the server answered … with"),
        ("STOR", reactions.disk_full, Exit.PARTLY, "the server answered … with"),
        ("STOR", reactions.truncate_stored(3), Exit.PARTLY, "uploaded … bytes, the site has …"),
        ("RNTO", reactions.permission_denied, Exit.PARTLY, "the server answered … with"),
        ("MFMT", reactions.not_implemented, Exit.MIRRORED, "the server does not set every modification time"),
    ],
)
def test_what_a_server_does_is_told_in_lines_that_have_their_rows(
    tmp_path: Path, server: ScriptedServer, verb: str, reaction: Reaction, code: Exit, row: str
) -> None:
    mirror = Mirror(tmp_path, server.port, "root")
    mirror.write("file", "content")
    server.on(verb, reaction, times=reactions.ALWAYS)
    if verb == "CWD":
        server.on("MKD", reactions.permission_denied, times=reactions.ALWAYS)
    ran = mirror.run("--retries", "1")
    assert ran.code == code, ran.said
    assert any(has(line, row) for line in ran.said.splitlines()), ran.said


def test_password_is_not_told_by_whoever_cannot_read_it(tmp_path: Path) -> None:
    logins = tmp_path / "netrc"
    logins.write_text("machine elsewhere login me password nothing\nmachine host login me password my s3cret word\n")
    with pytest.raises(UsageError, match=f"cannot read the logins in {logins}: line 2: ") as caught:
        find_login(Site("ftp", "host", 21, "me", ""), (), {"NETRC": str(logins)})
    assert "s3cret" not in str(caught.value)


# What a session says of a refusal.


Result = TypeVar("Result")


def in_session(server: ScriptedServer, ask: Callable[[RemoteSession], Awaitable[Result]]) -> Result:
    async def talk() -> Result:
        site = Site("ftp", "127.0.0.1", server.port, USER, "")
        session = await connect(site, Secret(PASSWORD), timeout_seconds=5)
        try:
            return await ask(session)
        finally:
            await session.close()

    return asyncio.run(talk())


def test_refused_listing_tells_what_was_asked() -> None:
    async def ask(session: RemoteSession) -> Failure | None:
        return (await adopt.compare(session, adopt.Compare("pictures", ()))).failure

    with ScriptedServer() as server:
        server.put(b"/pictures/1.jpg", b"content")
        server.on("MLSD", reactions.say(b"450 Not now."), times=reactions.ALWAYS)
        failure = in_session(server, ask)
    assert failure == Failure("pictures", Problem.REFUSED, "the server answered MLSD with: 450 Not now.", True)


def settled(refusal: bytes) -> recover.Settled:
    """Settle a path with a temporary that the server does not delete."""

    async def ask(session: RemoteSession) -> recover.Settled:
        return await recover.settle(session, Pending("a.txt", Candidates((None,)), None, ("left behind",)))

    with ScriptedServer() as server:
        server.put(b"/left behind", b"half")
        server.on("DELE", reactions.say(refusal), times=reactions.ALWAYS)
        return in_session(server, ask)


def test_refusal_for_the_moment_in_clearing_up_tells_so() -> None:
    detail = "while recovering an interrupted upload: the server answered DELE with: 450 Not now."
    assert settled(b"450 Not now.").failure == Failure("a.txt", Problem.REFUSED, detail, transient=True)


def test_a_temporary_that_may_never_be_deleted_holds_up_no_path() -> None:
    found = settled(b"550 Permission denied.")
    assert (found.failure, found.stays) == (None, True)
