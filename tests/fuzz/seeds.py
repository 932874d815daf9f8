"""What servers do send, to begin with, and the words that matter in it. Knows no target's code."""

from __future__ import annotations

from typing import Final

# What each server says, from its greeting to its farewell: login, features, a transfer, a rename, a refusal.

VSFTPD: Final = """\
220 (vsFTPd 3.0.3)
331 Please specify the password.
230 Login successful.
202 Superfluous.
211-Features:
 EPRT
 EPSV
 MDTM
 PASV
 REST STREAM
 SIZE
 UTF8
211 End
229 Entering Extended Passive Mode (|||30001|)
227 Entering Passive Mode (127,0,0,1,117,49).
150 Ok to send data.
226 Transfer complete.
213 5
350 Ready for RNTO.
250 Rename successful.
221 Goodbye.
"""
PROFTPD: Final = """\
220 ProFTPD Server (Debian) [::ffff:127.0.0.1]
331 Password required for tester
230-Welcome, tester
230-since yesterday
230 User tester logged in
202 Command not needed
211-Features:
 MLST modify*;perm*;size*;type*;unique*;UNIX.group*;UNIX.mode*;UNIX.owner*;
 MFF modify;UNIX.group;UNIX.mode;
 SITE COPY
 LANG en-US.UTF-8*;en-US
 TVFS
211 End
229 Entering Extended Passive Mode (|||65535|)
227 Entering Passive Mode (127,0,0,1,255,255).
150 Opening BINARY mode data connection for .am-0-0.part
226 Transfer complete
213 4294967296
350 File or directory exists, ready for destination name
250 Rename successful
221 Goodbye.
"""
PURE_FTPD: Final = """\
220---------- Welcome to Pure-FTPd [privsep] [TLS] ----------
220-You are user number 1 of 50 allowed.
220-Local time is now 20:14. Server port: 21.
220 You will be disconnected after 15 minutes of inactivity.
331 User tester OK. Password required
230-Your bandwidth usage is restricted
230 OK. Current directory is /
502 Not needed
211-Extensions supported:
 UTF8
 MLST type*;size*;sizd*;modify*;UNIX.mode*;UNIX.uid*;UNIX.gid*;unique*;
 SPSV
211 End.
229 Extended Passive mode OK (|||30001|)
227 Entering Passive Mode (127,0,0,1,117,49)
150 Accepted data connection
226-File successfully transferred
226 0.001 seconds (measured here), 4.52 Kbytes per second
213 0
350 RNFR accepted - file exists, ready for destination
250 File successfully renamed or moved
221-Goodbye. You uploaded 1 and downloaded 0 kbytes.
221 Logout.
"""
AIOFTP: Final = """\
220 welcome
331 password required
230 normal login
502 'ACCT' not implemented
502 'FEAT' not implemented
229-listen socket created
229 (|||30001|)
227-listen socket created
227 (127,0,0,1,117,49)
150 data transfer started
226 data transfer done
502 'SIZE' not implemented
350 rename from accepted
550 file exists
221 bye
"""
IIS: Final = """\
220 Microsoft FTP Service
331 Password required
230 User logged in.
503 Bad sequence of commands.
211-Extended features supported:
 LANG EN*
 UTF8
 AUTH TLS;TLS-C;SSL;TLS-P;
 HOST
 SIZE
211 END
229 Entering Extended Passive Mode (|||50012|)
227 Entering Passive Mode (127,0,0,1,195,92).
125 Data connection already open; Transfer starting.
226 Transfer complete.
213 5
350 Requested file action pending further information.
550-The system cannot find the file specified.
 Win32 error:   The system cannot find the file specified.
 Error details: File system returned an error.
550 End
221 Goodbye.
"""
FILEZILLA: Final = """\
220-FileZilla Server 1.8.2
220 Please visit https://filezilla-project.org/
331 Please, specify the password.
230 Login successful.
500 Wrong command.
211-Features:
 MDTM
 MLST type*;size*;modify*;perm*;
 MFMT
 TVFS
211 End
229 Entering Extended Passive Mode (|||50012|)
227 Entering Passive Mode (127,0,0,1,195,92)
150 Starting data transfer.
226 Operation successful
213 5
350 File exists, ready for destination name.
250 Successfully renamed
221 Goodbye.
"""
TALKS: Final = tuple(
    talk.replace("\n", "\r\n").encode() for talk in (VSFTPD, PROFTPD, PURE_FTPD, AIOFTP, IIS, FILEZILLA)
)

ANSWERS: Final = (
    "Entering Extended Passive Mode (|||6446|).",
    "listen socket created\r\n(127,0,0,1,4,1)",
    '"/a ""quoted"" folder" is your current location',
    '"/caf\u00e9" is current directory.',
    "20240229123456.123",
    "Start of list for file\r\n modify=20240229123456;size=5;type=file;UNIX.mode=0640; /www/file\r\nEnd of list",
    "Features:\r\n MDTM\r\n MLST type*;size*;\r\nEnd",
    "Sorry, the maximum number of clients (2) from your host are already connected.",
    "Too many connections (2) from this IP",
    "Failure writing to local file: No space left on device",
)

# A listing of each server: a file, a folder, sometimes the folder itself, its parent, a link.

PROFTPD_FACTS: Final = (
    "perm=adfrw;unique=FE00U20E1;UNIX.group=2121;UNIX.groupname=tester;UNIX.mode=0755;UNIX.owner=2121;"
)
MLSD: Final = (
    f"""\
modify=20261122201439;type=cdir;{PROFTPD_FACTS} .
modify=20261122201439;type=pdir;{PROFTPD_FACTS} ..
modify=20240229123456;size=5;type=file;{PROFTPD_FACTS} file
modify=20261122201440;type=dir;{PROFTPD_FACTS} folder
modify=20261122201440;size=4;type=OS.unix=symlink;{PROFTPD_FACTS} link
""",
    """\
type=cdir;sizd=4096;modify=20261122201439;UNIX.mode=0755;UNIX.uid=2121;UNIX.gid=2121;unique=fe00g20e084; .
type=file;size=5;modify=20240229123456;UNIX.mode=0640;UNIX.uid=2121;UNIX.gid=2121;unique=fe00g20e090; file
type=dir;sizd=4096;modify=20261122201440;UNIX.mode=0755;UNIX.uid=2121;UNIX.gid=2121;unique=fe00g20e1; folder
""",
    """\
type=file;size=5;perm=radfwMT;modify=20240229123456;unique=fe0020e090;unix.mode=0640; file
type=dir;size=4096;perm=elcdmpMT;modify=20261122201440;unique=fe0020e091;unix.mode=0755; folder
""",
    """\
Size=5;Create=20240229123456;Modify=20240229123456;Type=file; file
Size=4096;Create=20261122201440;Modify=20261122201440;Type=dir; folder
""",
    """\
type=file;size=5;modify=20240229123456;UNIX.groupname=domain users;UNIX.mode=0640; file
type=dir;modify=20261122201440;UNIX.groupname=domain users;UNIX.mode=0755; folder
""",
    """\
type=file;size=5;modify=20240229123456.000;perm=awr; file
type=dir;modify=20261122201440.000;perm=cplem; folder
""",
)
LARGEST_MLSD: Final = "type=file;size=9223372036854775807;modify=22620411234716.854775807;UNIX.mode=0777; file\n"
LIST: Final = (
    """\
drwxr-xr-x    3 2121     2121         4096 Mar 02 20:14 .
drwxr-xr-x    3 2121     2121         4096 Mar 02 20:14 ..
-rw-r-----    1 2121     2121            5 Feb 29  2024 file
drwxr-xr-x    2 2121     2121         4096 Mar 02 20:14 folder
lrwxrwxrwx    1 2121     2121            4 Mar 02 20:14 link -> file
""",
    """\
total 8
-rw-r-----   1 tester   tester          5 Feb 29  2024 file
drwxr-xr-x.  2 tester   tester       4096 Mar  2 20:14 folder
""",
    """\
-rw-r--r-- 1 owner 5 Feb 29 2024 file
drwxr-xr-x 1 ftp ftp              0 Mar 02  2026 folder
""",
    """\
02-29-24  12:34PM                    5 file
03-02-2026  08:14PM       <DIR>          folder
2024/02/29  12:34                1,005 file
03-02-26  08:14PM       <JUNCTION>     link [D:\\folder]
""",
    """\
-rw-r-----+ 1 FIRMA\\anna FIRMA\\domain users 5 2024-02-29 12:34 file
drwxr-x--- 1 anna webdesigners4096 Oct 08, 2012 09:47 folder
crw-r----- 1 root root 1, 3 29 feb 2024 link
-rw-r----- 1 33 33 5 2 29 12:34 file
-rw-r----- 1 33 33 5 29-feb-24 file
-rw-r----- 1 33 33 5 2024.02.29 file
-rw-r----- 1 33 33 5 2\u6708 29\u65e5 2024\u5e74 file
""",
    """\
- [RWCEAFMS] anna berg                    5 Feb 29  2024    file
d[R----F--] anna                        512 Mar 02 20:14    folder
-------r--         326  1391972  1392298 Feb 29  2024 file
drwxrwxr-x               folder        2 Mar 02 20:14 folder
""",
    """\
+i77.1,m1709210096,r,s5,up640,\tfile
+i77.2,m1709210096,/,\tfolder
""",
)
LARGEST_LIST: Final = "-rwsrwsrwt 1 a b 9223372036854775807 Dec 31 2261 file\n"
NAMES: Final = (
    "..",
    "../up",
    "/etc/passwd",
    "a/b",
    "nul\0",
    "cr\r",
    " blank ",
    "caf\u00e9",
    "\udce9",
    "\U0001f600",
    ";=",
)


def _of_odd_names(listing: str) -> str:
    file = next(line for line in listing.splitlines() if line.endswith("file"))
    return "".join(file.removesuffix("file") + name + "\n" for name in NAMES)


def _raw(listings: tuple[str, ...]) -> list[bytes]:
    raw = [listing.encode("utf-8", "surrogateescape") for listing in (*listings, *map(_of_odd_names, listings))]
    return [each.replace(b"\n", b"\r\n") for each in raw]


SEEDS: Final[dict[str, list[bytes]]] = {
    "read_replies": [
        *TALKS,
        b"\xff\xfe\xff421 \xff\xfb\x18\0\n",
        b"\xff\xfe\x18\xff\xfe\x1f220-Hello\r\n\xff\xfe\x18\r\n220 \r\n",
    ],
    "judge_lines": [answer.encode() for answer in ANSWERS],
    "read_mlsd": _raw((*MLSD, LARGEST_MLSD)),
    "read_list": _raw((*LIST, LARGEST_LIST)),
    "match_replies": [
        *(b"0" + talk for talk in TALKS),
        b"2PASS hunter2\r\n",
        b"5230 hunter2\r\n421 \r\n",
        b'<200 OK\r\n257 "/"\r\n200 OK\r\n',
        b"=150 Go\r\n226 Done\r\n200 OK\r\n213 5\r\n229 (|||5|)\r\n500 MFMT?\r\n350 To?\r\n250 Done\r\n",
        b"=200 OK\r\n150 Go\r\n226 Done\r\n213 5\r\n500 OOPS: hunter2\r\n",
        b">150 Go\r\n200 OK\r\n200 Done\r\n200 OK\r\n226 Done\r\n",
        b"?500 OOPS: child died\r\n",
    ],
}

_WORDS: Final = (
    *("\r\n", "\n", "\r", "-", " ", "\0", "\t", "hunter2", "\u0665", "\u2028", "\udcff", "\U0001f600"),
    *(
        "150 ",
        "213 ",
        "220 ",
        "220-",
        "226 ",
        "227 ",
        "229 ",
        "230-",
        "230 ",
        "257 ",
        "331 ",
        "350 ",
        "421 ",
        "500 ",
        "550 ",
    ),
    *("(|||", "|)", "65536", "0,0", "256,", '"', '""', "too many", "max", "quota", "211 End", "OOPS:", "22\n", "9\n"),
    *("type=", "file;", "dir;", "cdir;", "size=", "modify=", "UNIX.mode=", "; ", "..", "/", ".", "OS.unix="),
    *("9223372036854775807", "9223372036854775808", "99991231235960", "00010101000000", "22630101000000", "0777"),
    *("total 0", "drwxr-xr-x", "-rw-r--r--", "lrwxrwxrwx", " -> ", " Feb 29 ", "23:59 ", "2024 ", "0000 ", "9999 "),
    *(
        "domain users",
        "2024-02-29",
        "02/29/24",
        "29.02.",
        "29-feb-24",
        "Oct 08, 2012 ",
        "\u6708",
        "\udc8c\udc8e",
        "PM",
        "<DIR>",
    ),
    *("1,005", "[RWCEAFMS]", "+i7,", "m1709210096,", "r,", "s5,", "up640,", "\t", " +0100", ".123456789", "12:34:56"),
)
WORDS: Final = tuple(word.encode("utf-8", "surrogateescape") for word in _WORDS)
