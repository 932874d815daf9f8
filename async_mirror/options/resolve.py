"""What was asked for: options become settings, a login and trust; every slip ends the command. Connects to nothing."""

import json
import os
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import click

from async_mirror.model.escape import CONTROL, shown
from async_mirror.model.secret import NO_SECRET, Secret
from async_mirror.model.selection import Selection
from async_mirror.model.settings import Existing, ExistingEqual, FileLimit, Settings, UsageError
from async_mirror.model.site import Site, Trust
from async_mirror.model.temporary_names import SHAPES
from async_mirror.options import config_file
from async_mirror.options.asked import Asked, AskedList, AskedMirror
from async_mirror.options.click_types import (
    ENVIRONMENT,
    IN_ENVIRONMENT,
    RANKS,
    Option,
    as_given,
    origin,
    rank,
    variable,
)
from async_mirror.options.credentials import ANONYMOUS, Login, Place, find_login, is_open_to_others, netrc_path
from async_mirror.options.declared import DESTINATION, PASSWORD_COMMAND, PASSWORD_FILE, TLS
from async_mirror.options.destination import is_original_form, parse_destination, parse_original
from async_mirror.source.secrecy import holds_state, published
from async_mirror.state.opening import StateFile, state_path

_SITE = re.compile(r"(^|/)[a-z]+:/|^[^/,]+(,[^,]*){3,4}$", re.IGNORECASE)  # of the two slashes a path keeps one


def login_of(asked: AskedMirror) -> Login:
    """Return site, user and password, as far as they are known without asking."""
    site, secret = site_of(asked)
    return find_login(site, _places(asked, secret), os.environ)


def _places(asked: AskedMirror, secret: Secret) -> Iterator[Place]:
    """Yield where a password may be: command line, environment, configuration file, and then the destination itself."""
    context = click.get_current_context()
    where = origin(context, DESTINATION)
    for given in RANKS:
        if (file := asked.password_file) and rank(context, PASSWORD_FILE) == given:
            yield Place(str(file), file=file)
        if (command := asked.password_command) is not None and rank(context, PASSWORD_COMMAND) == given:
            yield Place("the password command", command=command)
        if given == IN_ENVIRONMENT:
            yield Place(f"{ENVIRONMENT}_PASSWORD", Secret(os.environ.get(f"{ENVIRONMENT}_PASSWORD", "")))
    if secret:
        yield Place(where, secret, None if where == variable(DESTINATION) else config_file.file(context))


def site_of(asked: AskedMirror) -> tuple[Site, Secret]:
    """Return the site, and the password if the destination holds one."""
    text, tls = asked.destination, asked.tls
    if not text:
        raise UsageError(_missing("destination"))
    site, password = parse_original(text, tls) if is_original_form(text) else (parse_destination(text, tls), NO_SECRET)
    if is_original_form(text) and origin(click.get_current_context(), DESTINATION) == "command line":
        better = site if tls else replace(site, scheme="ftpes")
        raise UsageError(
            "a password on the command line is visible to all users of this machine: write"
            f" {better.shown} and keep the password in --password-file, --password-command or ASYNC_MIRROR_PASSWORD;"
            " host,user,password,directory[,port] is for the configuration file and ASYNC_MIRROR_DESTINATION"
        )
    scheme = text.partition("://")[0]
    weaker = rank(click.get_current_context(), TLS) > rank(click.get_current_context(), DESTINATION)
    if weaker and not site.is_encrypted and scheme in {"ftpes", "ftps"}:
        raise UsageError(
            f"{origin(click.get_current_context(), TLS)} switches TLS off, but the destination has {scheme}://:"
            " write ftp:// for an unencrypted connection"
        )
    return site, password


def _missing(name: str) -> str:
    return f"no {name}: set it on the command line, in ASYNC_MIRROR_{name.upper()} or as {name} in {config_file.NAME}"


def trust_of(asked: Asked, site: Site) -> Trust:
    """Return which certificate the site may show. Said of a site without TLS it is a slip that sends a password."""
    trust = Trust(asked.ca_cert, asked.tls_pin or "", asked.client_cert, asked.client_key, asked.insecure)
    given = {
        "--ca-cert": trust.ca_cert,
        "--tls-pin": trust.pin,
        "--client-cert": trust.client_cert,
        "--client-key": trust.client_key,
        "--insecure": trust.insecure,
    }
    used = [option for option, value in given.items() if value]
    if used and not site.is_encrypted:
        raise UsageError(f"{used[0]} needs TLS, but the destination is unencrypted (ftp:// or --tls off): choose one")
    ways = [option for option in used if not option.startswith("--client")]
    if len(ways) > 1:
        raise UsageError(f"{ways[0]} and {ways[1]} cannot be used together")
    if trust.client_key and not trust.client_cert:
        raise UsageError("--client-key needs --client-cert")
    return trust


def warnings_about(login: Login, trust: Trust) -> Iterator[tuple[str, str]]:
    """Yield what the user should change, each with a hint."""
    site = login.site
    for what, file in (("password", login.file), ("key", trust.client_key or trust.client_cert)):
        if file and is_open_to_others(file):
            yield f"others on this machine can read the {what} in {file}", f"chmod 600 {file}"
    if not (site.is_encrypted or site.is_here or site.user == ANONYMOUS):
        yield (
            f"ftp:// sends the password and all files to {site.host} unencrypted",
            "write ftpes:// if the server supports TLS",
        )
    if site.is_encrypted and (log := os.environ.get("SSLKEYLOGFILE")):
        yield f"SSLKEYLOGFILE is set: the traffic can be decrypted with {log}", ""
    if trust.insecure:
        yield (
            f"--insecure: the certificate of {site.host} is not checked; an attacker can read the password and files",
            "use --tls-pin with the fingerprint of the certificate instead",
        )


def caution_about(trust: Trust) -> str:
    """Return what each pass is to say about its security, "" if there is nothing to say."""
    return "INSECURE: certificates are not checked" if trust.insecure else ""


def source_of(asked: AskedMirror | AskedList) -> Path:
    """Return the folder that is to be mirrored; it need not be there."""
    path: Path | None = asked.source
    if path is None:
        raise UsageError(_missing("source"))
    if _SITE.search(str(path)) and not os.path.exists(path):
        # the path is not repeated, for it may hold a password
        raise UsageError(
            "the source looks like a destination: write the folder first, then the destination (ftpes://user@host/path)"
        )
    if os.path.exists(path) and not os.path.isdir(path):
        raise UsageError(f"the source {path} is not a folder")
    return _as_given(path)


def _as_given(path: Path) -> Path:
    """Return a path from the system's root on, its links kept; only what `..` would leave by a link is resolved."""
    made = Path("/")
    for part in (Path.cwd() / path).parts[1:]:
        if part == "..":
            made = (Path(os.path.realpath(made)) if made.is_symlink() else made).parent
        else:
            made /= part
    return made


def settings_of(asked: Asked, source: Path, login: Login) -> Settings:
    """Return what a run needs to know. No file with a secret, and no log, may lie in what is mirrored."""
    if asked.in_place and asked.temp_name:
        raise UsageError(
            "--in-place and --temp-name cannot be used together: files written in place have no temporary name"
        )
    if asked.exit_code and not asked.dry_run:
        raise UsageError("--exit-code needs --dry-run")
    selection = selection_of(asked)
    settings = Settings(
        source=source,
        site=login.site,
        max_depth=asked.max_depth,
        excluded_extensions=selection.excluded_extensions,
        patterns=selection.patterns,
        existing=Existing(asked.existing),
        existing_equal=ExistingEqual(asked.existing_equal),
        ctime=asked.ctime,
        delete=asked.delete,
        delete_limit=asked.max_delete or FileLimit(),
        verify_limit=asked.max_verify_uploads or FileLimit(percent=10.0),
        allow_empty_source=asked.allow_empty_source,
        allow_unmounted=asked.allow_unmounted,
        perms=asked.perms,
        timeout_seconds=asked.timeout,
        every_seconds=asked.every,
        watch=asked.watch,
        settle_seconds=asked.settle,
        in_place=asked.in_place,
        shape=None if asked.temp_name is None else SHAPES.index(asked.temp_name),
    )
    log = asked.log_file
    old_log = log and log.with_name(f"{log.name}{time.strftime('.%Y-%m-%d')}")
    key = asked.client_key or asked.client_cert
    secrets = (("password", file) for file in _secret_files(login))
    files = (("log", log), ("old log", old_log), ("key", key), *secrets)
    private = tuple((what, file) for what, file in files if file)
    for said in published(private, Path(os.path.realpath(source)), selection):
        raise UsageError(said)
    return replace(settings, private=private)


def selection_of(asked: Asked | AskedList) -> Selection:
    """Return what of the source is mirrored."""
    patterns = (*_patterns(asked.exclude_from), *asked.exclude)
    try:
        return Selection(asked.max_depth, frozenset(asked.exclude_ext), patterns)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _secret_files(login: Login) -> Iterator[Path]:
    """Yield the files that are known to hold a password, whether or not that one is used."""
    context = click.get_current_context()
    configured = context.default_map or {}
    candidates = [login.file, netrc_path(os.environ), configured.get("password_file")]
    candidates.append(os.environ.get("ASYNC_MIRROR_PASSWORD_FILE"))
    if is_original_form(configured.get("destination", "")):
        candidates.append(config_file.file(context))
    yield from (Path(os.path.expanduser(each)) for each in candidates if each and os.path.exists(each))


def _patterns(files: Iterable[Path]) -> Iterator[str]:
    for file in files:
        try:
            text = file.read_text(encoding="utf-8-sig", errors="surrogateescape")
        except OSError as error:
            raise UsageError(f"cannot read the patterns in {file}: {error.strerror}") from None
        lines = text.split("\n")
        try:
            Selection(patterns=tuple(lines))
        except ValueError as error:
            raise UsageError(f"{file}: {error}") from None
        yield from lines


def state_file_of(asked: AskedMirror, source: Path, site: Site) -> StateFile:
    """Return where the state of this source on this site is, and where it was when a source's links were resolved."""
    from platformdirs import user_state_path  # noqa: PLC0415 - only needed where no folder is named

    resolved = Path(os.path.realpath(source))
    folder = Path(os.path.realpath(asked.state_dir or user_state_path("async-mirror")))
    if said := holds_state(resolved, folder):
        raise UsageError(said)
    path, former = (state_path(folder, (str(each), *site.binding)) for each in (source, resolved))
    return StateFile(path, former)


def setting_line(context: click.Context, param: click.Parameter, asked: AskedMirror) -> str:
    """Return a line of a configuration file for one setting, with where it is from as a comment."""
    value, where = as_given(context, param), origin(context, param)
    if value in (None, (), []):
        default = f", so {param.unset}" if isinstance(param, Option) and param.unset else ""
        return f"# {config_file.key(param)} is not set{default}"
    if param is DESTINATION:
        site, _ = site_of(asked)  # fails for a URL that holds a password
        value = site.shown if is_original_form(value) else value
    written = CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False))
    return f"{config_file.key(param)} = {written}".ljust(50) + f"  # {shown(where)}"
