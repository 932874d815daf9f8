"""What the site behind a server is like: traits of names, times, room, listings and folders for `ScriptedServer`.

A plain name is a trait; a call such as `keeps_times_to(2)` returns one.
"""

from __future__ import annotations

import re
import time
import unicodedata
from collections.abc import Callable

from . import text
from .exchange import Behaviour, Exchange
from .scripted import ScriptedServer, Trait
from .traits import instead
from .tree import StoredFile, StoredTree, name_of

CREATING = ("STOR", "MKD", "RNTO")


def has_room_for(size: int, reply: bytes = b"451 Failure writing to local file.") -> Trait:
    """Be full with so many bytes of files: what comes beyond is lost, and the upload refused at its end."""

    def change(exchange: Exchange, usual: Behaviour) -> bytes:
        others = sum(len(file.content) for path, file in exchange.site.files.items() if path != exchange.path)
        exchange.stored_limit = room = max(0, size - others)
        done = usual(exchange)
        return done if len(exchange.site.file(exchange.path).content) < room else reply

    return instead(change, "STOR")


# Names and times.


def refuses_names(pattern: bytes, reply: bytes = b"553 Prohibited file name.") -> Trait:
    """Make nothing whose last part matches."""

    def change(exchange: Exchange, usual: Behaviour) -> bytes:
        return reply if re.search(pattern, name_of(exchange.path)) else usual(exchange)

    return instead(change, *CREATING)


refuses_dot_names = refuses_names(rb"^\.")


def spells(spelling: Callable[[bytes], bytes]) -> Trait:
    """Take every path in this spelling, so that what was made as README is found as readme, under either name."""

    def trait(server: ScriptedServer) -> None:
        server.spell = spelling

    return trait


def alters_new_names(change_name: Callable[[bytes], bytes]) -> Trait:
    """Give what is made another name than was asked for, under which it is not found again."""

    def change(exchange: Exchange, usual: Behaviour) -> bytes:
        folder, slash, name = exchange.argument.rpartition(b"/")
        exchange.argument = folder + slash + change_name(name)
        return usual(exchange)

    return instead(change, *CREATING)


lower_cases_names = spells(bytes.lower)
decomposes_names = spells(lambda path: unicodedata.normalize("NFD", path.decode()).encode())
"""As on HFS+: what was made with one letter is listed with two, and found under either; names are UTF-8."""


def keeps_times_to(seconds: int) -> Trait:
    """Round times down to so many seconds, as FAT does to two."""

    def trait(server: ScriptedServer) -> None:
        server.site.seconds = seconds

    return trait


def _keep_time(exchange: Exchange, usual: Behaviour) -> bytes:
    mtime = exchange.site.file(exchange.path).mtime
    reply = usual(exchange)
    exchange.site.set_mtime(exchange.path, mtime)
    return reply


forgets_times = instead(_keep_time, "MFMT")
"""Answer as if the time had been set, and keep that of the upload."""


def _make_all_above(exchange: Exchange, usual: Behaviour) -> bytes:
    folder = exchange.path.rpartition(b"/")[0]
    while folder and folder not in exchange.site.folders:
        exchange.site.folders.add(folder)
        folder = folder.rpartition(b"/")[0]
    return usual(exchange)


makes_folders_above = instead(_make_all_above, "MKD")
takes_backslashes_for_slashes = spells(lambda path: path.replace(b"\\", b"/"))
"""As servers on Windows: one name becomes several levels."""


# Listings.


def lists_as(start: Callable[[StoredFile | None], bytes]) -> Trait:
    """Have LIST and STAT write lines that begin so, before the name; None is for a folder."""

    def trait(server: ScriptedServer) -> None:
        server.site.line_start = start

    return trait


def _dos(file: StoredFile | None, date: str = "%m-%d-%y  %I:%M%p") -> bytes:
    when = time.strftime(date, time.gmtime(file.mtime if file else 0))
    size = f"{len(file.content):>20}" if file else "      <DIR>         "
    return f"{when} {size} ".encode()


def _dos_with_centuries(file: StoredFile | None) -> bytes:
    return _dos(file, "%m-%d-%Y  %I:%M%p")


def _dos_with_commas(file: StoredFile | None) -> bytes:
    when = time.strftime("%Y/%m/%d  %H:%M", time.gmtime(file.mtime if file else 0))
    return f"{when} {len(file.content):>17,} ".encode() if file else f"{when}    <DIR>          ".encode()


def _eplf(file: StoredFile | None) -> bytes:
    return f"+m{file.mtime},s{len(file.content)},r,\t".encode() if file else b"+/,\t"


def _unix(owner: str, date: str) -> Callable[[StoredFile | None], bytes]:
    """Make starts of Unix lines with this text between the links and the date."""

    def start(file: StoredFile | None) -> bytes:
        kind, size = ("-rw-r--r--", len(file.content)) if file else ("drwxr-xr-x", 4096)
        when = time.strftime(date, time.gmtime(file.mtime if file else 0))
        return f"{kind} 1 {owner}{size:>5} {when} ".encode()

    return start


lists_as_dos = lists_as(_dos)
lists_as_dos_with_centuries = lists_as(_dos_with_centuries)
lists_as_dos_with_commas = lists_as(_dos_with_commas)
lists_as_eplf = lists_as(_eplf)
lists_groups_with_blanks = lists_as(_unix("DOMAIN\\some user DOMAIN\\domain users ", "%b %d  %Y"))
lists_no_groups = lists_as(_unix("ftp ", "%b %d  %Y"))
lists_sizes_glued_to_the_group = lists_as(_unix("ftp a-long-name-of-a-group", "%b %d  %Y"))
lists_iso_dates = lists_as(_unix("ftp ftp ", "%Y-%m-%d %H:%M"))
lists_days_first = lists_as(_unix("ftp ftp ", "%d %b  %Y"))


def lists_names_as(shown: Callable[[bytes], bytes | None]) -> Trait:
    """Show other names in listings than those under which things are found, None for nothing."""

    def trait(server: ScriptedServer) -> None:
        server.site.listed = shown

    return trait


def hides_names(pattern: bytes) -> Trait:
    """Leave names out of listings that match."""
    return lists_names_as(lambda name: None if re.search(pattern, name) else name)


hides_dot_names = hides_names(rb"^\.")
lists_question_marks = lists_names_as(lambda name: re.sub(rb"[^\x20-\x7e]", b"?", name))


def _list_by_name(exchange: Exchange, usual: Behaviour) -> bytes:
    exchange.listing = text(exchange.site.unix_lines(exchange.path))
    return usual(exchange)


takes_list_options_for_a_name = instead(_list_by_name, "LIST")


def _list_nothing(exchange: Exchange, usual: Behaviour) -> bytes:
    if exchange.argument.startswith(b"-"):
        exchange.listing = b""
    return usual(exchange)


lists_nothing_with_options = instead(_list_nothing, "LIST")


def _list_here(exchange: Exchange, usual: Behaviour) -> bytes:
    exchange.listing = text(exchange.site.unix_lines(exchange.connection.folder))
    usual(exchange)
    return b"226 Done."


ignores_paths_of_list = instead(_list_here, "LIST")
"""List where the session is, whatever is asked for."""


def _list_words(exchange: Exchange, usual: Behaviour) -> bytes:
    words = [word for word in exchange.argument.split() if not word.startswith(b"-")]
    if len(words) > 1:
        exchange.listing = text([word + b": No such file or directory" for word in words])
    return usual(exchange)


takes_each_word_of_list_for_a_name = instead(_list_words, "LIST")


# Folders and renames.


def _remove_all(site: StoredTree, folder: bytes) -> None:
    for path in site.children(folder):
        if path in site.folders:
            _remove_all(site, path)
        else:
            site.remove_file(path)
    site.remove_folder(folder)


def _rmd(exchange: Exchange, _: Behaviour) -> bytes:
    _remove_all(exchange.site, exchange.path)
    return b"250 Done."


removes_recursively = instead(_rmd, "RMD")


def _rnto(exchange: Exchange, usual: Behaviour) -> bytes:
    return b"550 File exists." if exchange.site.exists(exchange.path) else usual(exchange)


renames_onto_nothing = instead(_rnto, "RNTO")
"""Refuse to rename onto what exists."""
