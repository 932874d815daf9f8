"""Every option, declared once: name, type, default, help, group."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from async_mirror.crew.patience import Patience
from async_mirror.model.settings import Existing, ExistingEqual, Settings, UsageError
from async_mirror.model.site import SCHEMES
from async_mirror.model.temporary_names import SHAPES
from async_mirror.options import config_file
from async_mirror.options.click_types import ENVIRONMENT, Argument, FileName, Option, Parsed, Pattern
from async_mirror.options.values import (
    parse_extension,
    parse_file_limit,
    parse_interval,
    parse_pin,
    parse_rate,
    written_interval,
)

CONTEXT: dict[str, Any] = {
    "max_content_width": 100,
    "auto_envvar_prefix": ENVIRONMENT,
    "help_option_names": ["-h", "--help"],
}


def _mode(text: str) -> Any:
    from async_mirror.crew.mode import Mode  # noqa: PLC0415 - asyncio is not needed to print help

    return Mode.parse(text)


MODE = Parsed("mode", _mode)
INTERVAL = Parsed("interval", parse_interval, numbers=True)
LIMIT = Parsed("limit", parse_file_limit, numbers=True)
RATE = Parsed("rate", parse_rate, numbers=True)
EXTENSION = Parsed("extension", parse_extension)
PIN = Parsed("pin", parse_pin)
PATH = FileName(path_type=Path)


def _look_for_slips(environment: Iterable[str]) -> None:
    """Refuse a variable that is nearly one of ours: what it was to switch off or leave out would be done."""
    prefix = f"{ENVIRONMENT}_"
    known = {str(param.name).upper() for param in SYNC} | {"PASSWORD"}
    for written in environment:
        name = written.removeprefix(prefix)
        if name == written or name in known:
            continue
        if name.startswith("NO_") and name[3:] in known:
            raise UsageError(f"the environment has {written}, which is no setting: write {prefix}{name[3:]}=no")
        import difflib  # noqa: PLC0415 - only needed here

        if close := difflib.get_close_matches(name, sorted(known), 1, 0.7):
            raise UsageError(f"the environment has {written}, which is no setting: did you mean {prefix}{close[0]}?")


def _read_config(ctx: click.Context, _: click.Parameter, path: Path | None) -> None:
    if not ctx.resilient_parsing:
        _look_for_slips(os.environ)
        config_file.use(ctx, path, SYNC, _OUTPUT)


# The parameters.

_WHAT, _WHEN, _SAFETY = "What is mirrored", "When", "Safety"
_SECURITY, _CONNECTION, _OUTPUT, _FILES = "Security", "Connection", "Output", "Files of its own"

SOURCE = Argument(["source"], type=PATH, required=False, envvar=f"{ENVIRONMENT}_SOURCE")
DESTINATION = Argument(["destination"], required=False, envvar=f"{ENVIRONMENT}_DESTINATION")
CONFIG = Option(
    ["--config"],
    type=PATH,
    is_eager=True,
    expose_value=False,
    callback=_read_config,
    metavar="FILE",
    group=_FILES,
    help=f"Settings in TOML.  [default: {config_file.NAME} here, else in the user's configuration folder]",
)
STATE_DIR = Option(
    ["--state-dir"],
    type=PATH,
    metavar="FOLDER",
    group=_FILES,
    unset="it is in the user's state folder, on Linux ~/.local/state/async-mirror",
    help="Where to remember what the site holds.  [default: the user's state folder, ~/.local/state/async-mirror]",
)
PASSWORD_FILE = Option(
    ["--password-file"],
    type=PATH,
    metavar="FILE",
    group=_SECURITY,
    help="Where the password is.  [else: what --password-command prints, ASYNC_MIRROR_PASSWORD, ~/.netrc, a prompt]",
)
PASSWORD_COMMAND = Option(
    ["--password-command"],
    metavar="COMMAND",
    group=_SECURITY,
    help="What prints the password, as in 'pass show ftp/site'; run once, at the start, without a shell.",
)
TLS = Option(
    ["--tls"],
    type=click.Choice(sorted(SCHEMES)),
    group=_SECURITY,
    unset="the scheme of the destination says it",
    help="explicit: as with ftpes://, TLS after the greeting (port 21); implicit: as with ftps://, from the first byte"
    " (port 990); off: as with ftp://.  [default: what DESTINATION says]",
)

SYNC: list[click.Parameter] = [
    SOURCE,
    DESTINATION,
    Option(
        ["--exclude"],
        type=Pattern(),
        multiple=True,
        metavar="PATTERN",
        group=_WHAT,
        help="Leave out what matches, as in .gitignore; !PATTERN takes back in (repeatable).",
    ),
    Option(
        ["--exclude-from"],
        type=PATH,
        multiple=True,
        metavar="FILE",
        group=_WHAT,
        help="Patterns, one per line, that come before those of --exclude (repeatable).",
    ),
    Option(
        ["--exclude-ext"],
        type=EXTENSION,
        multiple=True,
        metavar="EXT",
        group=_WHAT,
        help="Leave out files with this extension, as in .tmp (repeatable).",
    ),
    Option(
        ["--max-depth"],
        type=click.IntRange(min=1),
        metavar="N",
        group=_WHAT,
        unset="all is mirrored",
        help="How deep to go; 1 means the files directly in SOURCE.",
    ),
    Option(
        ["--perms/--no-perms"],
        default=Settings.perms,
        show_default=True,
        group=_WHAT,
        help="Whether to mirror file modes.",
    ),
    Option(
        ["--every"],
        type=INTERVAL,
        default=written_interval(Settings.every_seconds),
        show_default=True,
        metavar="INTERVAL",
        group=_WHEN,
        help="How often a pass begins: 90s, 15m, 1h30m or plain seconds.",
    ),
    Option(
        ["--watch/--no-watch"],
        default=Settings.watch,
        show_default=True,
        group=_WHEN,
        help="Whether to upload a change as soon as it is made, too; --every still looks at everything.",
    ),
    Option(
        ["--settle"],
        type=INTERVAL,
        default=written_interval(Settings.settle_seconds),
        show_default=True,
        metavar="INTERVAL",
        group=_WHEN,
        help="How long a file must be quiet before --watch uploads it.",
    ),
    Option(["--once"], is_flag=True, group=_WHEN, help="Run one pass and exit."),
    Option(
        ["-n", "--dry-run"],
        is_flag=True,
        group=_WHEN,
        help="Print what one pass would do, and change nothing anywhere.",
    ),
    Option(
        ["--rescan"],
        is_flag=True,
        group=_WHEN,
        help="List the site again first: after it, or this machine, was restored from a backup.",
    ),
    Option(
        ["--existing"],
        type=click.Choice([str(each) for each in Existing]),
        default=str(Settings.existing),
        show_default=True,
        group=_SAFETY,
        help="What becomes of a file of others that has the name of one here; fail leaves it, too, and exits 1.",
    ),
    Option(
        ["--existing-equal"],
        type=click.Choice([str(each) for each in ExistingEqual]),
        default=str(Settings.existing_equal),
        show_default=True,
        group=_SAFETY,
        help="When a file that is there already is taken for equal: same size and time, same size, or same content"
        " (its hash, else it is read back).",
    ),
    Option(
        ["--ctime/--no-ctime"],
        default=Settings.ctime,
        show_default=True,
        group=_WHAT,
        help="Whether a file is read again whose ctime or inode changed, and neither size nor date.",
    ),
    Option(
        ["--max-verify-uploads"],
        type=LIMIT,
        metavar="N|N%",
        group=_SAFETY,
        unset="it is 10%, from 21 held files on",
        help="Send no more files than this in a pass only because their content cannot be compared with the site's."
        "  [default: 10% from 21 held files on]",
    ),
    Option(
        ["--delete/--no-delete"],
        default=Settings.delete,
        show_default=True,
        group=_SAFETY,
        help="Whether to remove from the site what is gone from SOURCE.",
    ),
    Option(
        ["--max-delete"],
        type=LIMIT,
        metavar="N|N%",
        group=_SAFETY,
        unset="it is 50%, from 21 held files on",
        help="Remove nothing if a pass would remove more files than this, or this share of what is held."
        "  [default: 50% from 21 held files on]",
    ),
    Option(
        ["--allow-empty-source"],
        is_flag=True,
        group=_SAFETY,
        help="Go on although SOURCE is empty and the site is not.",
    ),
    Option(
        ["--allow-unmounted"],
        is_flag=True,
        group=_SAFETY,
        help="Go on although a folder that was a mount point is none now.",
    ),
    Option(
        ["--multi"],
        type=MODE,
        default="A",
        show_default=True,
        metavar="MODE",
        group=_CONNECTION,
        help="A: asynchronous, as many connections as help; A<n>, T<n>, P<n>: n connections, as tasks, in"
        " threads, in processes (T, P: one per core); S: serial.",
    ),
    Option(
        ["--max-connections"],
        type=click.IntRange(1, 256),
        default=16,
        show_default=True,
        metavar="N",
        group=_CONNECTION,
        help="The most connections that A opens by itself.",
    ),
    Option(
        ["--bwlimit"],
        type=RATE,
        metavar="RATE",
        group=_CONNECTION,
        unset="there is no limit",
        help="Send no more than this, over all connections: 5M is 5,000,000 bytes per second.",
    ),
    Option(
        ["--timeout"],
        type=INTERVAL,
        default=written_interval(Settings.timeout_seconds),
        show_default=True,
        metavar="INTERVAL",
        group=_CONNECTION,
        help="How long a connection may make no progress.",
    ),
    Option(
        ["--retries"],
        type=click.IntRange(0, 100),
        default=Patience.retries,
        show_default=True,
        metavar="N",
        group=_CONNECTION,
        help="How often to try again what failed for the moment.",
    ),
    Option(
        ["--temp-name"],
        type=click.Choice(SHAPES),
        group=_CONNECTION,
        unset="the first of them that the server takes, but for the last",
        help="What a file is called until all of it is there; EXT is its own extension.",
    ),
    Option(
        ["--in-place"],
        is_flag=True,
        group=_SAFETY,
        help="Write files under their final names, half of one until all of it is there: where nothing can be renamed.",
    ),
    Option(
        ["--pasv-address"],
        type=click.Choice(["control", "server"]),
        default="control",
        show_default=True,
        group=_CONNECTION,
        help="Address for data in passive mode: the control connection's, or the one the server names.",
    ),
    PASSWORD_FILE,
    PASSWORD_COMMAND,
    TLS,
    Option(
        ["--ca-cert"],
        type=PATH,
        metavar="FILE",
        group=_SECURITY,
        unset="the issuers are those that this machine trusts",
        help="Trust the certificates in this PEM file alone, and those that they signed.",
    ),
    Option(
        ["--tls-pin"],
        type=PIN,
        metavar="sha256:HEX",
        group=_SECURITY,
        help="Trust the certificate with this fingerprint alone, whoever signed it, whatever host it is for.",
    ),
    Option(
        ["--client-cert"],
        type=PATH,
        metavar="FILE",
        group=_SECURITY,
        help="The certificate to show to a server that asks for one (PEM).",
    ),
    Option(
        ["--client-key"],
        type=PATH,
        metavar="FILE",
        group=_SECURITY,
        unset="it is in the file of client-cert",
        help="Its key, not encrypted (PEM).  [default: in the file of --client-cert]",
    ),
    Option(
        ["--insecure"],
        is_flag=True,
        group=_SECURITY,
        help="Trust any certificate: whoever is on the way can read the password and change the files.",
    ),
    Option(["-q", "--quiet"], is_flag=True, group=_OUTPUT, help="Tell only of trouble."),
    Option(["-v", "--verbose"], is_flag=True, group=_OUTPUT, help="Tell more."),
    Option(
        ["--no-progress"],
        is_flag=True,
        group=_OUTPUT,
        help="Write plain lines on a terminal too, and do not show what is going on at the moment.",
    ),
    Option(
        ["--json"],
        is_flag=True,
        group=_OUTPUT,
        help="Print a JSON object per pass on standard output.",
    ),
    Option(
        ["--log-file"],
        type=PATH,
        metavar="FILE",
        group=_OUTPUT,
        help="Write a detailed log too; a new file at midnight, five old ones are kept.",
    ),
    Option(
        ["--log-format"],
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        group=_OUTPUT,
        help="How the log is written, on standard error and in the file.",
    ),
    CONFIG,
    STATE_DIR,
]
