"""Proofs, on a new session, that a server can be asked in a quick manner. None contains what changes anything.

To a server that takes what one read brings for one command the rest is the *parameter*: only NOOP, PWD and a request
for a port are harmless then. The third rung is proved behind the first upload, see `transfer`.
"""

import asyncio
from collections.abc import Sequence

from async_mirror.ftp.known.features import Features
from async_mirror.ftp.known.rungs import Rung
from async_mirror.ftp.passive_ports import PassivePorts, SessionSpent
from async_mirror.ftp.wire.control import AwaitedReply, Control
from async_mirror.ftp.wire.replies import Reply
from async_mirror.ftp.wire.reply_flow import OutOfStep


async def prove_together(control: Control, features: Features) -> None:
    """Prove that several commands may leave in one write. Raises SessionSpent."""
    if features.rungs.may_prove(Rung.TOGETHER):
        pending = control.send("NOOP", "PWD", "NOOP")
        await _within(features.path.patience_s, pending)
        holds = _judged(Rung.TOGETHER, control, features, pending)
        features.rungs.proved(Rung.TOGETHER, holds=holds and [each.take().code for each in pending] == [200, 257, 200])


async def prove_ahead(control: Control, features: Features, ports: PassivePorts) -> None:
    """Prove that a port may be asked for before there is a data connection; it is kept for the first transfer.

    Twisted goes on only when the data connection is there, so it is made before the session is given up.
    Raises SessionSpent, NoPort.
    """
    while features.rungs.may_prove(Rung.AHEAD):
        command = features.passive_command
        asked, noop = control.send(command, "NOOP")
        await _within(features.path.patience_s, [asked, noop])
        in_time = noop.has_ended
        if control.broken is None and asked.has_ended and not in_time:
            features.rungs.proved(Rung.AHEAD, holds=False)
            ports.ask_ahead(asked)
            await ports.try_kind()
            await _within(features.path.patience_s, [noop])
        holds = _judged(Rung.AHEAD, control, features, [asked, noop]) and in_time and noop.take().code == 200
        if asked.take().unknown_command and command != "PASV":
            features.lack(command)
            features.rungs.proved(Rung.AHEAD, holds=None)
        else:
            features.rungs.proved(Rung.AHEAD, holds=holds)
            if in_time:
                ports.ask_ahead(asked)


async def _within(seconds: float, pending: Sequence[AwaitedReply]) -> None:
    await asyncio.wait({each.reply for each in pending}, timeout=seconds)


def _judged(rung: Rung, control: Control, features: Features, pending: Sequence[AwaitedReply]) -> bool:
    """Return True if all replies have come. Else note what that means for a rung, and raise SessionSpent.

    A beginning that was answered, and a rest that was not, is conclusive; silence altogether, or a cut, is not.
    """
    if all(each.has_ended and isinstance(each.outcome, Reply) for each in pending):
        return True
    silent_after_some = control.broken is None and pending[0].has_ended
    if isinstance(control.broken, OutOfStep) or silent_after_some:
        features.rungs.proved(rung, holds=False)
    else:
        features.rungs.doubt(rung)
    control.break_off("the server does not answer several commands at once")
    raise SessionSpent
