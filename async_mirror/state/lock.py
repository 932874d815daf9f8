"""The lock that keeps a state to one process, named in the file itself. Knows nothing of what is in the state."""

import fcntl
import os
import re
import socket
import time
from contextlib import suppress
from pathlib import Path

from async_mirror.model.escape import shown
from async_mirror.state import private_files
from async_mirror.state.database import StateError, explained

ORPHANS_END_SECONDS = 10.0


def lock(path: Path) -> int:
    """Lock a state by this file and return the descriptor that keeps it; raise StateError naming who has it."""
    with explained(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        private_files.close_to_others(descriptor)
    holder = _holder_after(descriptor, ORPHANS_END_SECONDS)
    if holder:
        os.close(descriptor)
        raise StateError(f"already running ({shown(holder)}, lock {path}): wait for its end, or stop it")
    with explained(path):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
    return descriptor


def unlock(descriptor: int) -> None:
    """Let the next process have a state; that no process is named in the lock any more shows that this one ended."""
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
    os.close(descriptor)


def was_killed(path: Path) -> bool:
    """Tell whether who had a state locked by this file last did not come to unlock it."""
    with suppress(OSError):
        return path.stat().st_size > 0 and not holder_of(path)
    return False


def holder_of(path: Path) -> str:
    """Return which process has a state locked by this file, "" if none has; nothing is written.

    For a moment the lock is shared, and only where the process that is named there lives.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return ""
    try:
        holder = os.pread(descriptor, 200, 0).decode("utf-8", "replace").strip()
        if holder and not _has_ended(holder):
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return shown(holder)
    finally:
        os.close(descriptor)
    return ""


def _holder_after(descriptor: int, seconds: float) -> str:
    """Take the lock and return "", or return who has it; what a killed process left running is waited for so long."""
    end = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 200, 0).decode("utf-8", "replace").strip() or "another process"
            if time.monotonic() >= end or not _has_ended(holder):
                return holder
            time.sleep(0.05)
        else:
            return ""


def _has_ended(holder: str) -> bool:
    """Tell whether a process of this machine, as the lock names it, is gone."""
    named = re.fullmatch(r"process (\d+) on (.+)", holder)
    if not named or named[2] != socket.gethostname():
        return False
    try:
        os.kill(int(named[1]), 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    return False
