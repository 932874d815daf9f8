"""Lines in the forms that real servers write them, each read whole, or told as unreadable."""

from __future__ import annotations

import calendar
import time

import pytest

from async_mirror.ftp.wire.figures import UnreadableLineError
from async_mirror.ftp.wire.list_lines import Read, parse_list
from async_mirror.ftp.wire.listing import parse_facts
from async_mirror.model.entry import UNKNOWN

NOW = calendar.timegm((2026, 6, 15, 12, 0, 0))
LISTED = {
    # Unix: GNU, BSD, Solaris, busybox, and what takes after them
    "-rw-rw-r--   1 root     other        531 Jan 29 03:26 README": "file README 531 2026-01-29 03:26:00",
    "dr-xr-xr-x   2 root                  512 Apr  8  1994 etc": "folder etc 0 1994-04-08 00:00:00",
    "-rw-r--r--   1 1356107  15000    4356349 Nov 23  2009 09 trio.zip": "file 09 trio.zip 4356349 2009-11-23 00:00:00",
    "drwxr-xr-x 3 FIRMA\\adm FIRMA\\domain users 4096 Jan  5 10:11 a dir": "folder a dir 0 2026-01-05 10:11:00",
    "-rwx------ 1 user domain users 12345 2011-01-05 09:08 f": "file f 12345 2011-01-05 09:08:00",
    "-rw-r--r-- 1 ftp ftp 1024 01-jun-11 a b": "file a b 1024 2011-06-01 00:00:00",
    "-rw-r--r-- 1 ftp ftp 1024 Oct 08, 2012 09:47 a b": "file a b 1024 2012-10-08 09:47:00",
    "-rw-r--r--+ 1 ftp ftp 1024 Oct  8  2012 acl": "file acl 1024 2012-10-08 00:00:00",
    "-rw-r--r--. 1 ftp ftp 1024 Oct  8  2012 selinux": "file selinux 1024 2012-10-08 00:00:00",
    "-rw-r--r--@ 1 ftp ftp 1024 Oct  8  2012 macos": "file macos 1024 2012-10-08 00:00:00",
    "-rw-r--r-- 1 ftp a-group-with-a-name1024 Oct  8  2012 glued": "file glued 1024 2012-10-08 00:00:00",
    "-rw-r--r-- 1 ftp ftp 1024 8 Oct 2012 day first": "file day first 1024 2012-10-08 00:00:00",
    "-rw-r--r-- 1 ftp ftp 1024 08 Oct 09:47 day first": "file day first 1024 2025-10-08 09:47:00",
    "-rw-r--r-- 1 ftp ftp 1024 10-08 09:47 numbers": "file numbers 1024 2025-10-08 09:47:00",
    "-rw-r--r-- 1 ftp ftp 1024 08.10.2012 09:47 dots": "file dots 1024 2012-10-08 09:47:00",
    "-rw-r--r-- 1 ftp ftp 1024 2012/10/08 09:47:11 slashes": "file slashes 1024 2012-10-08 09:47:11",
    "-rw-r--r-- 1 ftp ftp 1024 2012-10-08T09:47 iso": "file iso 1024 2012-10-08 09:47:00",
    "-rw-r--r-- 1 ftp ftp 1024 2012-10-08T09:47:11Z iso": "file iso 1024 2012-10-08 09:47:11",
    "-rw-r--r-- 1 ftp ftp 1024 Mon Oct  8 09:47:11 2012 in full": "file in full 1024 2012-10-08 09:47:11",
    "-rw-r--r-- 1 ftp ftp 1024 2012-10-08 09:47:11.000000000 +0200 f": "file f 1024 2012-10-08 09:47:11",
    "-rw-r--r-- ftp ftp 1024 Oct 8 2012 no links": "file no links 1024 2012-10-08 00:00:00",
    "-rw-r--r-- 1 0 0 1024 Oct  8 9:47 short": "file short 1024 2025-10-08 09:47:00",
    "-rw-r--r-- 1 0 0 1024 Oct  8 09:47  a blank first": "file  a blank first 1024 2025-10-08 09:47:00",
    "-rw-r--r-- 1 S-1-5-21-1 S-1-5-32-544 1024 Oct 8 2012 sid": "file sid 1024 2012-10-08 00:00:00",
    "-rw-r--r-- 1 2012 10 08 Oct  8  2012 all numbers": "file all numbers 8 2012-10-08 00:00:00",
    "-rw-r--r-- 1 ftp ftp 1024 8. Mai 2012 in German": "file in German 1024 ?",
    "-rw-r--r-- 1 ftp ftp 1024 okt 8 09:47 in Dutch": "file in Dutch 1024 ?",
    "---------- 1 owner group 1803128 Jul 10 10:18 ls-lR.Z": "file ls-lR.Z 1803128 2025-07-10 10:18:00",
    "-rw-rwSr-T 1 u g 5 Oct  8  2012 special": "file special 5 2012-10-08 00:00:00",
    "lrwxrwxrwx 1 root other 7 Jan 25 00:17 bin -> usr/bin": "other bin",
    "brw-rw---- 1 root disk 8,   0 Jan 25 00:17 sda": "other sda",
    "srwxr-xr-x 1 user group 0 Feb 28 10:00 socket": "other socket",
    # NetWare, NetPresenz
    "d [R----F--] supervisor            512       Jan 16 18:53    login": "folder login 0 2026-01-16 18:53:00",
    "- [R----F--] rhesus             214059       Oct 20 15:27    cx.exe": "file cx.exe 214059 2025-10-20 15:27:00",
    "-------r--         326  1391972  1392298 Nov 22  1995 Mega.sit": "file Mega.sit 1392298 1995-11-22 00:00:00",
    "drwxrwxr-x               folder        2 May 10  1996 network": "folder network 0 1996-05-10 00:00:00",
    # EPLF
    "+i8388621.29609,m824255902,/,\ttdev": "folder tdev 0 1996-02-13 23:58:22",
    "+i8388621.44468,m839956783,r,s10376,\tRFCEPLF": "file RFCEPLF 10376 1996-08-13 17:19:43",
    "+up644,r,s280,m824253270,\t943 name": "file 943 name 280 1996-02-13 23:14:30",
    # DOS, IIS
    "04-27-00  09:09PM       <DIR>          licensed": "folder licensed 0 2000-04-27 21:09:00",
    "04-14-00  03:47PM                  589 readme.htm": "file readme.htm 589 2000-04-14 15:47:00",
    "10-08-2012  09:47AM              1,024 commas.txt": "file commas.txt 1024 2012-10-08 09:47:00",
    "2012-10-08  09:47    <DIR>          iso dir": "folder iso dir 0 2012-10-08 09:47:00",
    "08.10.2012  09:47             1.024 dots": "file dots 1024 2012-10-08 09:47:00",
    "10/08/12  09:47a         1024 a.txt": "file a.txt 1024 2012-10-08 09:47:00",
    "10/08/2012  09:47 AM    <DIR>          dir": "folder dir 0 2012-10-08 09:47:00",
    "10/08/2012  09:47 AM    <SYMLINK>      l [C:\\x]": "other l",
    "05-26-95  10:57AM               143712 $LDR$": "file $LDR$ 143712 1995-05-26 10:57:00",
    "10-08-12 21:47  1024 24h": "file 24h 1024 2012-10-08 21:47:00",
    "total 12": "nothing",
    # what means nothing to us is never misread: VMS, OS/400, OS/2, and what no size can be taken from
    "CORE.COM;1                     11 8-NOV-1999 07:02 [SYSTEM] (RWED,RWED,RE,)": "unreadable",
    "QSYS            77824 02/23/00 15:09:55 *DIR QOpenSys/": "unreadable",
    "  5000  A  1995-08-23  11:08  os2.txt": "unreadable",
    "-rw-r--r-- 1 ftp ftp 1.2K Oct  8  2012 rounded": "unreadable",
    "-rw-r--r-- 1 ftp ftp Oct  8  2012 without a size": "unreadable",
    "-rw-r--r-- 1 ftp ftp 18446744073709551615 Oct  8  2012 huge": "unreadable",
    "?rw-r--r-- 1 user group 0 Feb 28 10:00 of no known kind": "unreadable",
    "ftpd: /absent: No such file or directory": "unreadable",
}
FACTS = {
    "type=file;size=12;modify=20121008094711; name": "file name 12 2012-10-08 09:47:11",
    "Type=file;Size=12;Modify=20121008094711.123;UNIX.owner=FIRMA\\domain users; a b; c": (
        "file a b; c 12 2012-10-08 09:47:11"
    ),
    "type=dir;modify=20121008094711;UNIX.group=a group; d": "folder d 0 2012-10-08 09:47:11",
    "modify=20121008094711;type=OS.unix=slink:/x/y;perm=; l": "other l",
    "type=OS.unix=slink:../a b;size=3; l": "other l",
    "type=OS.unix=chr-13/29;size=0; tty": "other tty",
    "type=cdir;perm=el; .": "nothing",
    "type=pdir;perm=el; ..": "nothing",
    "type=cdir;modify=20121008094711; /home/x": "nothing",
    "type=file;size=12;perm=adfrw;CHARSET=UTF-8;X.foo=bar; no time": "file no time 12 ?",
    "perm=adfrw;size=12;type=file;unique=801U1; any order": "file any order 12 ?",
    "type=dir;sizd=4096;UNIX.mode=0755;unique=fd00g1; x=y; z": "folder x=y; z 0 ?",
    " type=file;size=12;modify=20121008094711; blank before": "file blank before 12 2012-10-08 09:47:11",
    "TYPE=FILE;SIZE=12;MODIFY=20121008094711; upper": "file upper 12 2012-10-08 09:47:11",
    "type=file;size=12; -rw-r--r-- 1 a b 5 Oct 8 2012 x": "file -rw-r--r-- 1 a b 5 Oct 8 2012 x 12 ?",
    "type=file;size=-1;modify=20121008094711; negative": "unreadable",
    "type=file;size=12;modify=20121008094711;": "unreadable",
    "-rw-r--r-- 1 ftp ftp 1024 Oct  8  2012 no facts": "unreadable",
}


def told(read: Read | None) -> str:
    """Return what was read as one line: kind, name, size, time."""
    if read is None:
        return "nothing"
    name, entry = read
    if entry is None:
        return f"other {name}"
    when = "?" if entry.mtime_ns == UNKNOWN else time.strftime("%F %T", time.gmtime(entry.mtime_ns // 10**9))
    return f"{entry.kind.name.lower()} {name} {entry.size} {when}"


@pytest.mark.parametrize(("line", "expected"), LISTED.items())
def test_line_of_list_is_read_whole_or_not_at_all(line: str, expected: str) -> None:
    if expected == "unreadable":
        with pytest.raises(UnreadableLineError):
            parse_list(line, "f", NOW)
    else:
        assert told(parse_list(line, "f", NOW)) == expected


@pytest.mark.parametrize(("line", "expected"), FACTS.items())
def test_line_of_facts_is_read_whole_or_not_at_all(line: str, expected: str) -> None:
    if expected == "unreadable":
        with pytest.raises(UnreadableLineError):
            parse_facts(line, "f")
    else:
        assert told(parse_facts(line, "f")) == expected
