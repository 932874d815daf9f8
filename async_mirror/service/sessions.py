"""Opens FTP sessions, also in workers. FTP is imported when the first one is needed: an unchanged pass needs none."""

from typing import TYPE_CHECKING

from async_mirror.model.facts import Facts
from async_mirror.model.secret import Secret
from async_mirror.model.site import Site
from async_mirror.remote.session import RootedSession

if TYPE_CHECKING:
    from async_mirror.ftp.wire.tls import Tls


async def ftp_session(
    site: Site,
    password: Secret,
    *,
    tls: "Tls | None",
    facts: Facts,
    timeout_seconds: float,
    create_root: bool,
    pasv_address_believed: bool = False,
) -> RootedSession:
    """Open an FTP session."""
    from async_mirror.ftp.session import connect  # noqa: PLC0415 - see above

    return await connect(
        site,
        password,
        tls=tls,
        facts=facts,
        timeout_seconds=timeout_seconds,
        create_root=create_root,
        pasv_address_believed=pasv_address_believed,
    )
