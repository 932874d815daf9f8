"""Servers as they were seen on the wire, each a tuple of traits for `ScriptedServer(*UFTPD)`.

Of those that a registry has, `servers` runs the real ones; here they are for what needs cues, too.
"""

from __future__ import annotations

from .sites import hides_dot_names, lists_question_marks, renames_onto_nothing
from .traits import (
    drops_the_rest_of_a_read,
    has_ports,
    lacks,
    refuses_with,
    says,
    takes_the_rest_for_a_parameter,
    tells_no_size_of_an_empty_file,
    voids_ports,
    waits_for_data_after_a_port,
    when_absent,
)

UFTPD = (drops_the_rest_of_a_read, lacks("RNFR", "RNTO", "SITE"), says("MKD", b"200 Command OK"))
BFTPD = (refuses_with(b"451 Error: No such file or directory.", "SIZE"),)
APACHE = (
    when_absent("MLST", b"501 Not a valid pathname."),
    when_absent("DELE", b"450 No permission to delete."),
    hides_dot_names,
    renames_onto_nothing,
)
NODEFTPD = (
    takes_the_rest_for_a_parameter,
    when_absent("SIZE", b"450 Failed to get size of file"),
    when_absent("DELE", b"550 Permission denied"),
    lacks("MLSD", "MLST", "MFMT", "SITE"),
)
FTP_SRV = (voids_ports, tells_no_size_of_an_empty_file, lacks("MLSD", "MLST", "MFMT"))
TWISTED = (waits_for_data_after_a_port, lacks("MLSD", "MLST", "MFMT", "SITE", "STAT"))
VSFTPD_WITH_TWO_PORTS = (has_ports(2), lacks("MLSD", "MLST", "MFMT"))
BUSYBOX = (lists_question_marks, lacks("MLSD", "MLST", "MFMT", "SITE"))
