"""Every option, declared once: name, type, default, help, group."""

import os
from pathlib import Path
from typing import Any

import click

from async_mirror.crew.patience import Patience
from async_mirror.model.settings import Existing, ExistingEqual, Settings
from async_mirror.model.site import SCHEMES
from async_mirror.model.temporary_names import SHAPES
from async_mirror.options import config_file
from async_mirror.options.click_types import ENVIRONMENT, Argument, FileName, Option, Parsed, Pattern
from async_mirror.options.environment import refuse_slips
from async_mirror.options.values import (
    parse_extension,
    parse_file_limit,
    parse_interval,
    parse_interval_or_0,
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
STATS = Parsed("interval", parse_interval_or_0, numbers=True)
LIMIT = Parsed("limit", parse_file_limit, numbers=True)
RATE = Parsed("rate", parse_rate, numbers=True)
EXTENSION = Parsed("extension", parse_extension)
PIN = Parsed("pin", parse_pin)
PATH = FileName(path_type=Path)


def _read_config(ctx: click.Context, _: click.Parameter, path: Path | None) -> None:
    if not ctx.resilient_parsing:
        refuse_slips(os.environ, {str(param.name).upper() for param in SYNC} | {"PASSWORD"})
        config_file.use(ctx, path, SYNC, _OUTPUT)


# The parameters.

_WHAT, _WHEN, _SAFETY = "Selection", "When", "Safety"
_SECURITY, _CONNECTION, _OUTPUT, _FILES = "Security", "Connection", "Output", "Files"

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
    help=f"Configuration file.  [default: {config_file.NAME} here, else in the user's configuration folder]",
)
STATE_DIR = Option(
    ["--state-dir"],
    type=PATH,
    metavar="FOLDER",
    group=_FILES,
    unset="it is in the user's state folder, on Linux ~/.local/state/async-mirror",
    help="State folder.  [default: ~/.local/state/async-mirror]",
)
PASSWORD_FILE = Option(
    ["--password-file"],
    type=PATH,
    metavar="FILE",
    group=_SECURITY,
    help="File with the password.  [else: --password-command, ASYNC_MIRROR_PASSWORD, ~/.netrc, a prompt]",
)
PASSWORD_COMMAND = Option(
    ["--password-command"],
    metavar="COMMAND",
    group=_SECURITY,
    help="Command that prints the password, e.g. 'pass show ftp/site' (no shell).",
)
TLS = Option(
    ["--tls"],
    type=click.Choice(sorted(SCHEMES)),
    group=_SECURITY,
    unset="as the destination says",
    help="explicit (ftpes, port 21), implicit (ftps, port 990) or off (ftp).  [default: as DESTINATION says]",
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
        help="Exclude matching paths (.gitignore syntax); !PATTERN includes again (repeatable).",
    ),
    Option(
        ["--exclude-from"],
        type=PATH,
        multiple=True,
        metavar="FILE",
        group=_WHAT,
        help="File of patterns, one per line; they apply before --exclude (repeatable).",
    ),
    Option(
        ["--exclude-ext"],
        type=EXTENSION,
        multiple=True,
        metavar="EXT",
        group=_WHAT,
        help="Exclude files with this extension, e.g. .tmp (repeatable).",
    ),
    Option(
        ["--max-depth"],
        type=click.IntRange(min=1),
        metavar="N",
        group=_WHAT,
        unset="no limit",
        help="Maximum depth; 1 is the files directly in SOURCE.  [default: no limit]",
    ),
    Option(
        ["--perms/--no-perms"],
        default=Settings.perms,
        show_default=True,
        group=_WHAT,
        help="Mirror file modes.",
    ),
    Option(
        ["--every"],
        type=INTERVAL,
        default=written_interval(Settings.every_seconds),
        show_default=True,
        metavar="INTERVAL",
        group=_WHEN,
        help="Interval between passes: 90s, 15m, 1h30m or seconds.",
    ),
    Option(
        ["--watch/--no-watch"],
        default=Settings.watch,
        show_default=True,
        group=_WHEN,
        help="Upload changes at once, too; --every still looks at everything.",
    ),
    Option(
        ["--settle"],
        type=INTERVAL,
        default=written_interval(Settings.settle_seconds),
        show_default=True,
        metavar="INTERVAL",
        group=_WHEN,
        help="With --watch: how long a file must be quiet before its upload.",
    ),
    Option(["--once"], is_flag=True, group=_WHEN, help="Run one pass, then exit."),
    Option(
        ["-n", "--dry-run"],
        is_flag=True,
        group=_WHEN,
        help="Print what one pass would do; change nothing.",
    ),
    Option(
        ["--rescan"],
        is_flag=True,
        group=_WHEN,
        help="List the site again first (after a restore from backup).",
    ),
    Option(
        ["--existing"],
        type=click.Choice([str(each) for each in Existing]),
        default=str(Settings.existing),
        show_default=True,
        group=_SAFETY,
        help="Files on the site that differ and are not tracked: overwrite, skip, or fail (exit 1).",
    ),
    Option(
        ["--existing-equal"],
        type=click.Choice([str(each) for each in ExistingEqual]),
        default=str(Settings.existing_equal),
        show_default=True,
        group=_SAFETY,
        help="When an existing file counts as equal: same size and time, size, or content (hash, else read back).",
    ),
    Option(
        ["--ctime/--no-ctime"],
        default=Settings.ctime,
        show_default=True,
        group=_WHAT,
        help="Read files again whose ctime or inode changed, but not size or date.",
    ),
    Option(
        ["--max-verify-uploads"],
        type=LIMIT,
        metavar="N|N%",
        group=_SAFETY,
        unset="10% from 21 tracked files on",
        help="Maximum number (or share) of uploads only because the content cannot be compared with the site."
        "  [default: 10% from 21 tracked files on]",
    ),
    Option(
        ["--delete/--no-delete"],
        default=Settings.delete,
        show_default=True,
        group=_SAFETY,
        help="Delete from the site what was deleted from SOURCE.",
    ),
    Option(
        ["--max-delete"],
        type=LIMIT,
        metavar="N|N%",
        group=_SAFETY,
        unset="50% from 21 tracked files on",
        help="Delete nothing if a pass would delete more files (or a larger share) than this."
        "  [default: 50% from 21 tracked files on]",
    ),
    Option(
        ["--allow-empty-source"],
        is_flag=True,
        group=_SAFETY,
        help="Continue even if SOURCE is empty.",
    ),
    Option(
        ["--allow-unmounted"],
        is_flag=True,
        group=_SAFETY,
        help="Continue even if a former mount point is not mounted.",
    ),
    Option(
        ["--multi"],
        type=MODE,
        default="A",
        show_default=True,
        metavar="MODE",
        group=_CONNECTION,
        help="A: adaptive; A<n>, T<n>, P<n>: n connections as tasks, threads, processes; S: serial.",
    ),
    Option(
        ["--max-connections"],
        type=click.IntRange(1, 256),
        default=16,
        show_default=True,
        metavar="N",
        group=_CONNECTION,
        help="Maximum number of connections for --multi A.",
    ),
    Option(
        ["--bwlimit"],
        type=RATE,
        metavar="RATE",
        group=_CONNECTION,
        unset="no limit",
        help="Upload limit over all connections: 5M is 5,000,000 bytes/s.  [default: no limit]",
    ),
    Option(
        ["--timeout"],
        type=INTERVAL,
        default=written_interval(Settings.timeout_seconds),
        show_default=True,
        metavar="INTERVAL",
        group=_CONNECTION,
        help="Stall timeout.",
    ),
    Option(
        ["--retries"],
        type=click.IntRange(0, 100),
        default=Patience.retries,
        show_default=True,
        metavar="N",
        group=_CONNECTION,
        help="Retries for temporary failures.",
    ),
    Option(
        ["--retry-for"],
        type=INTERVAL,
        metavar="INTERVAL",
        group=_CONNECTION,
        unset="only --retries counts",
        help="Keep retrying a server that is unreachable for this long, e.g. 10m.  [default: --retries decides]",
    ),
    Option(
        ["--temp-name"],
        type=click.Choice(SHAPES),
        group=_CONNECTION,
        unset="the first that the server accepts",
        help="Name of a file during its upload; EXT is its own extension.",
    ),
    Option(
        ["--in-place"],
        is_flag=True,
        group=_SAFETY,
        help="Write files under their final names, for servers that rename nothing. Visitors may see half a file.",
    ),
    Option(
        ["--pasv-address"],
        type=click.Choice(["control", "server"]),
        default="control",
        show_default=True,
        group=_CONNECTION,
        help="Data address in passive mode: the control connection's, or the server's.",
    ),
    PASSWORD_FILE,
    PASSWORD_COMMAND,
    TLS,
    Option(
        ["--ca-cert"],
        type=PATH,
        metavar="FILE",
        group=_SECURITY,
        unset="the CAs of this machine",
        help="Trust only the CAs in this PEM file.",
    ),
    Option(
        ["--tls-pin"],
        type=PIN,
        metavar="sha256:HEX",
        group=_SECURITY,
        help="Trust only the certificate with this fingerprint.",
    ),
    Option(
        ["--client-cert"],
        type=PATH,
        metavar="FILE",
        group=_SECURITY,
        help="Client certificate (PEM).",
    ),
    Option(
        ["--client-key"],
        type=PATH,
        metavar="FILE",
        group=_SECURITY,
        unset="in the file of client-cert",
        help="Key of the client certificate, unencrypted (PEM).  [default: in --client-cert]",
    ),
    Option(
        ["--insecure"],
        is_flag=True,
        group=_SECURITY,
        help="Accept any certificate. Insecure: an attacker can read the password.",
    ),
    Option(["-q", "--quiet"], is_flag=True, group=_OUTPUT, help="Show only warnings and errors."),
    Option(["-v", "--verbose"], is_flag=True, group=_OUTPUT, help="Show more: each file, each excluded path."),
    Option(
        ["--stats"],
        type=STATS,
        metavar="INTERVAL",
        group=_OUTPUT,
        unset="1m, off on a live display",
        help="Interval of progress lines in a long pass, 0 for none.  [default: 1m; on a live display 0]",
    ),
    Option(
        ["--exit-code"],
        is_flag=True,
        group=_OUTPUT,
        help="With --dry-run: exit 7 if there is something to do.",
    ),
    Option(
        ["--no-progress"],
        is_flag=True,
        group=_OUTPUT,
        help="No live display; plain lines on a terminal, too.",
    ),
    Option(
        ["--json"],
        is_flag=True,
        group=_OUTPUT,
        help="Print one JSON object per pass on standard output.",
    ),
    Option(
        ["--log-file"],
        type=PATH,
        metavar="FILE",
        group=_OUTPUT,
        help="Write a detailed log, too; rotated daily, five old files kept.",
    ),
    Option(
        ["--log-format"],
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        group=_OUTPUT,
        help="Log format.",
    ),
    CONFIG,
    STATE_DIR,
]
