"""What a site is bound to, and whether it is on this machine."""

import pytest

from async_mirror.model.site import Site


def test_the_case_of_a_host_does_not_bind_however_the_site_was_made() -> None:
    assert Site("ftp", "HOST", 21, None, "").binding == Site("ftp", "host", 990, None, "").binding


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("localhost", True),
        ("LOCALHOST", True),
        ("127.0.0.1", True),
        ("127.0.0.2", True),
        ("::1", True),
        ("notlocalhost", False),
        ("ftp.example.org", False),
        ("localhost.example.org", False),
        ("192.168.0.1", False),
        ("0.0.0.0", False),
        ("fe80::1", False),
    ],
)
def test_only_what_stays_on_this_machine_is_here(host: str, here: bool) -> None:
    assert Site("ftp", host, 21, None, "").is_here is here
