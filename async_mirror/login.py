"""The beginning of an FTP session: the greeting and the login. Knows what servers say when they turn one away."""

import os

import aioftp
from aioftp.errors import StatusCodeError

from async_mirror import names
from async_mirror.control import Client
from async_mirror.remote import ConnectionBroken, ConnectionRefused, LoginFailed
from async_mirror.replies import Reply
from async_mirror.settings import Site


async def greet(client: Client, site: Site) -> None:
    """Connect and read the greeting. Raises ConnectionBroken, or ConnectionRefused when there are too many clients."""
    where = f"{site.host}:{site.port}"
    try:
        await client.connect(site.host, site.port)
    except StatusCodeError as error:
        reply = _reply_of(error)
        if reply.too_many:
            raise ConnectionRefused(f"{where} has too many clients", reply.text) from None
        raise ConnectionBroken(f"{where} does not greet as an FTP server does", reply.text) from None
    except TimeoutError:
        raise ConnectionBroken(f"{where} did not answer within {client.control.timeout_seconds:g} s") from None
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise ConnectionBroken(f"cannot connect to {where}: {reason}") from None


async def log_in(client: Client, site: Site, password: str) -> None:
    """Say who we are. Raises LoginFailed, ConnectionRefused (too many clients), or ConnectionBroken (not now)."""
    where = f"{site.host}:{site.port}"
    user = site.user or aioftp.DEFAULT_USER
    try:
        code, _ = await client.command(f"USER {user}", ("2xx", "33x"))
        if code == "331":
            code, _ = await client.command(f"PASS {password}", ("2xx", "332"), censor_after=5)
        if code == "332":
            await client.command("ACCT ", "2xx")
    except StatusCodeError as error:
        reply = _reply_of(error)
        if reply.too_many:
            raise ConnectionRefused(f"{where} has too many clients", reply.text) from None
        if reply.transient:
            raise ConnectionBroken(f"{where} does not log anybody in now", reply.text) from None
        raise LoginFailed(f"{where} refuses the login of user {names.shown(user)!r}", reply.text) from None


def _reply_of(error: StatusCodeError) -> Reply:
    return Reply(int(error.received_codes[0]), tuple(error.info))
